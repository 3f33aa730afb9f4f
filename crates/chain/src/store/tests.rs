use super::*;
use crate::{
    Chain, ChainConfig, GenesisSpec,
    test_support::{TestChain, genesis, signed, transfer},
};
use alloy_primitives::Address;

fn open(dir: &Path) -> Result<Chain, ChainError> {
    Chain::open(dir, &genesis(), ChainConfig::default())
}

/// A closed chain of a few blocks.
fn closed_chain() -> tempfile::TempDir {
    let TestChain { dir, chain } = {
        let test = TestChain::new();
        for nonce in 0..3 {
            test.advance(&[signed(1, transfer(nonce, Address::with_last_byte(9), 1))]);
        }
        test
    };
    drop(chain);
    dir
}

#[test]
fn a_directory_in_use_is_refused() {
    let test = TestChain::new();
    let error = open(test.dir.path()).unwrap_err();
    assert!(matches!(&error, ChainError::Locked { dir } if dir == test.dir.path()), "{error}");
    assert!(error.to_string().starts_with("another kumo uses "), "{error}");
}

#[test]
fn another_genesis_and_another_chain_id_are_refused() {
    let dir = closed_chain();
    let later = GenesisSpec { timestamp: genesis().timestamp + 1, ..genesis() };
    let error = Chain::open(dir.path(), &later, ChainConfig::default()).unwrap_err();
    assert!(matches!(error, ChainError::OtherGenesis { stored, expected, .. } if stored != expected), "{error}");
    let renamed = GenesisSpec { chain_id: 1, ..genesis() };
    let error = Chain::open(dir.path(), &renamed, ChainConfig::default()).unwrap_err();
    assert!(matches!(error, ChainError::OtherChainId { stored: 5886, expected: 1, .. }), "{error}");
    assert!(open(dir.path()).is_ok());
}

#[test]
fn a_newer_format_is_refused() {
    let dir = closed_chain();
    let (database, _) = open_file(dir.path(), &dir.path().join(FILE), 1 << 20).unwrap();
    let transaction = begin(&database).unwrap();
    write_meta(&transaction, META_FORMAT, &(FORMAT + 1).to_be_bytes()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, ChainError::Format { found: 3, supported: 2, .. }), "{error}");
}

/// Whatever a crash or a bad disk leaves, opening ends with an error that names the file, or with a working chain.
#[test]
fn a_truncated_file_is_reported_by_name_and_never_panics() {
    let dir = closed_chain();
    let path = dir.path().join(FILE);
    let whole = fs::read(&path).unwrap();
    let cuts = [0, 1, 63, 512, 4_096, 8_192, whole.len() / 4, whole.len() / 2, whole.len() - 4_096, whole.len() - 1];
    let mut refused = 0;
    for length in cuts {
        fs::write(&path, &whole[..length]).unwrap();
        match open(dir.path()).and_then(|chain| chain.supply()) {
            Ok(supply) => assert_eq!(supply.total, supply.genesis, "cut to {length}"),
            Err(ChainError::Corrupt { path: named, .. }) => {
                assert_eq!(named, path);
                refused += 1;
            }
            Err(other) => panic!("cut to {length}: {other}"),
        }
    }
    assert!(refused >= 6, "{refused} of {} cuts were noticed", cuts.len());
}

#[test]
fn a_file_that_is_no_database_is_reported_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    for garbage in [b"".to_vec(), b"not a database".to_vec(), vec![0xff; 100_000]] {
        fs::write(&path, &garbage).unwrap();
        let error = open(dir.path()).unwrap_err();
        assert!(matches!(&error, ChainError::Corrupt { path: named, .. } if *named == path), "{error}");
    }
}

#[test]
fn a_database_without_a_chain_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    drop(Database::create(dir.path().join(FILE)).unwrap());
    assert!(matches!(open(dir.path()), Err(ChainError::Corrupt { .. })));
}

#[test]
fn a_creation_that_was_interrupted_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(format!("{FILE}.new")), b"half").unwrap();
    assert_eq!(open(dir.path()).unwrap().head().number(), 0);
    assert!(!dir.path().join(format!("{FILE}.new")).exists());
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = open(&file.join("chain")).unwrap_err();
    assert!(matches!(&error, ChainError::Io { path, .. } if *path == file.join("chain")), "{error}");
}

#[test]
fn a_shortened_history_is_pruned_a_few_blocks_at_a_time() {
    let long = TestChain::new();
    for _ in 0..40 {
        long.advance(&[]);
    }
    let TestChain { dir, chain } = long;
    drop(chain);
    let chain =
        Chain::open(dir.path(), &genesis(), ChainConfig { history_blocks: Some(2), ..Default::default() }).unwrap();
    let test = TestChain { dir, chain };
    for expected in [16, 32, 41, 42] {
        test.advance(&[]);
        assert_eq!(test.chain.oldest_state().unwrap(), expected);
    }
}

/// Where the process of [`a_killed_process_loses_nothing_it_reported`] keeps its chain.
const VICTIM_DIR: &str = "KUMO_TEST_VICTIM_DIR";
/// Blocks reported before the process is killed.
const REPORTED: usize = 5;

/// Not a test by itself: the process that is killed. Without its directory it has nothing to do.
#[test]
fn victim() {
    use std::io::Write;
    let Some(dir) = std::env::var_os(VICTIM_DIR) else { return };
    let chain = open(dir.as_ref()).unwrap();
    // Ends when the parent process kills this one, or no longer listens.
    for _ in 0..10_000 {
        let head = chain.head();
        let block = chain.propose(head.hash, crate::test_support::attributes(&head), &[]).unwrap();
        let number = chain.finalize(block.hash).unwrap().number();
        if writeln!(io::stderr(), "finalised {number}").is_err() {
            return;
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_it_reported() {
    use std::{
        io::{BufRead, BufReader},
        process::{Command, Stdio},
    };
    let dir = tempfile::tempdir().unwrap();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::victim", "--nocapture", "--test-threads=1"])
        .env(VICTIM_DIR, dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stderr.take().unwrap()).lines().map_while(Result::ok);
    let reported = lines.filter_map(|line| line.strip_prefix("finalised ")?.parse::<u64>().ok()).nth(REPORTED - 1);
    victim.kill().unwrap();
    victim.wait().unwrap();

    let reported = reported.expect("the process ran until it was killed");
    let chain = open(dir.path()).unwrap();
    assert!(chain.head().number() >= reported, "{} < {reported}", chain.head().number());
    chain.supply().unwrap();
    let head = chain.head();
    chain.proof(head.number(), Address::ZERO, &[]).unwrap();
    let block = chain.propose(head.hash, crate::test_support::attributes(&head), &[]).unwrap();
    chain.finalize(block.hash).unwrap();
}
