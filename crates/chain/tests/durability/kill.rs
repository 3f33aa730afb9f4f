//! `kill -9` at random instants, many times in a row on one directory.

use crate::load::{Random, advance, open};
use alloy_primitives::B256;
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Where the process that is killed keeps its chain, and the seed of its transactions.
const DIR: &str = "KUMO_TEST_KILL_DIR";
const SEED: &str = "KUMO_TEST_KILL_SEED";
/// Blocks that a process may report before it is killed.
const REPORTS_MAX: u64 = 6;
/// Longest wait behind the last report, in microseconds: about two blocks.
const WAIT_MICROS_MAX: u64 = 60_000;
/// Blocks after which a process ends by itself, should its parent be gone.
const BLOCKS_MAX: u64 = 10_000;

/// Not a test by itself: the process that is killed. Without its directory it has nothing to do.
#[test]
fn victim() {
    let (Some(dir), Ok(seed)) = (std::env::var_os(DIR), std::env::var(SEED)) else { return };
    let chain = open(dir.as_ref()).unwrap();
    let mut random = Random(seed.parse().unwrap());
    for _ in 0..BLOCKS_MAX {
        let record = advance(&chain, &mut random).unwrap();
        // Standard error is not buffered: what is in the pipe was acknowledged.
        if writeln!(std::io::stderr(), "final {} {}", record.number(), record.hash).is_err() {
            return;
        }
    }
}

fn start(dir: &Path, seed: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::victim", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(SEED, seed.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs the victim, kills it at a random instant, and returns every block that it reported.
fn killed(dir: &Path, seed: u64, random: &mut Random) -> Vec<(u64, B256)> {
    let mut victim = start(dir, seed);
    let mut lines = BufReader::new(victim.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut reported = Vec::new();
    let parse = |line: String| {
        let (number, hash) = line.strip_prefix("final ")?.split_once(' ')?;
        // The last line may be cut by the kill.
        Some((number.parse().ok()?, hash.parse().ok()?))
    };
    let wanted = random.below(REPORTS_MAX) as usize;
    while reported.len() < wanted {
        reported.push(parse(lines.next().expect("the process runs until it is killed")).expect("a whole line"));
    }
    // The instant of the kill is what this test varies.
    std::thread::sleep(Duration::from_micros(random.below(WAIT_MICROS_MAX)));
    victim.kill().unwrap();
    victim.wait().unwrap();
    reported.extend(lines.filter_map(parse));
    reported
}

fn kill_again_and_again(rounds: u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(9);
    let (mut acknowledged, mut repeated) = (0, 0);
    for round in 0..rounds {
        let reported = killed(dir.path(), round, &mut random);
        let before_genesis = !dir.path().join("chain.redb").exists();
        if before_genesis {
            assert!(reported.is_empty(), "round {round}: the chain is gone");
            continue;
        }
        // Every checksum, the state root from the flat state alone, every block.
        let found =
            chain::verify_directory(dir.path(), 4 << 20).unwrap_or_else(|error| panic!("round {round}: {error}"));
        let chain = open(dir.path()).unwrap();
        assert_eq!((found.head, found.hash), (chain.head().number(), chain.head().hash));
        assert_eq!(found.state_root, chain.head().header.state_root);
        chain.verify_supply().unwrap_or_else(|error| panic!("round {round}: {error}"));
        for (number, hash) in &reported {
            let record = chain.block_by_number(*number).unwrap();
            assert_eq!(record.map(|record| record.hash), Some(*hash), "round {round}: block {number} was acknowledged");
        }
        acknowledged += reported.len();
        repeated += u64::from(reported.last().is_none_or(|(number, _)| found.head > *number));
    }
    let head = open(dir.path()).unwrap().head().number();
    println!(
        "{rounds} kills: {acknowledged} blocks acknowledged, none lost; {repeated} times more was on disk; head {head}"
    );
    assert!(acknowledged > 0);
}

#[test]
fn kill_9_loses_nothing_that_was_acknowledged() {
    kill_again_and_again(8);
}

/// `cargo test -p chain --test durability -- --ignored --nocapture kill_9_two_hundred_times`
#[test]
#[ignore = "takes minutes"]
fn kill_9_two_hundred_times() {
    kill_again_and_again(200);
}
