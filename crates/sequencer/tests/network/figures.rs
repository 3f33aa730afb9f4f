//! Figures for the curious, printed with `--nocapture`; nothing is asserted about time.

use crate::cluster::Cluster;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn peak_mebibytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn now_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// Milliseconds from the block's timestamp until a validator's application has it, for `blocks` blocks.
fn finality(cluster: &Cluster, blocks: u64) -> Vec<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut heights = cluster.seat(0).heights();
    let last = cluster.seat(0).height() + blocks;
    let mut millis = Vec::new();
    runtime.block_on(async {
        while *heights.borrow_and_update() < last {
            heights.changed().await.unwrap();
            let (height, now) = (*heights.borrow(), now_millis());
            let block = &cluster.recorders[0].blocks()[&height];
            millis.push(now.saturating_sub(block.timestamp_millis));
        }
    });
    millis.sort_unstable();
    millis
}

fn report(name: &str, block_millis: u64, blocks: u64, epoch_blocks: u64) {
    let started = Instant::now();
    let mut cluster = Cluster::new(4, block_millis);
    cluster.epoch_blocks = epoch_blocks;
    (0..4).for_each(|seat| cluster.start_seat(seat));
    cluster.wait_for(1);
    let ready = started.elapsed();
    cluster.wait_for(3);
    let (cpu, begun) = (cpu_seconds(), Instant::now());
    let millis = finality(&cluster, blocks);
    let (cpu, elapsed) = (cpu_seconds() - cpu, begun.elapsed().max(Duration::from_millis(1)));
    println!(
        "{name}: first block after {ready:?}; {:.1} blocks/s; finality p50 {} ms, p95 {} ms; {:.1} CPU ms per block of \
         all four; peak {} MiB",
        blocks as f64 / elapsed.as_secs_f64(),
        millis[millis.len() / 2],
        millis[millis.len() * 95 / 100],
        cpu * 1000.0 / blocks as f64,
        peak_mebibytes(),
    );
}

#[test]
#[ignore = "prints figures; run alone: cargo test -p sequencer figures -- --ignored --nocapture --test-threads 1"]
fn figures_at_200_ms() {
    report("4 validators at 200 ms", 200, 64, 32);
}

#[test]
#[ignore = "prints figures; run alone: cargo test -p sequencer figures -- --ignored --nocapture --test-threads 1"]
fn figures_unpaced() {
    report("4 validators unpaced", 0, 192, 32);
}

#[test]
#[ignore = "prints figures; run alone: cargo test -p sequencer figures -- --ignored --nocapture --test-threads 1"]
fn figures_unpaced_while_no_stake_votes() {
    report("4 validators unpaced, no epoch ends", 0, 192, 65_536);
}

#[test]
#[ignore = "prints figures; run alone: cargo test -p sequencer figures -- --ignored --nocapture --test-threads 1"]
fn figures_of_full_blocks() {
    let cluster = Cluster::start(4, 0);
    cluster.wait_for(3);
    let (started, first) = (Instant::now(), cluster.seat(0).height());
    let mut tag = 0_u64;
    for height in first..first + 40 {
        // Every validator keeps about two blocks' worth waiting.
        while cluster.seat(0).status().pending < 16 {
            let mut payload = vec![0; 128 * 1024];
            payload[..8].copy_from_slice(&tag.to_be_bytes());
            tag += 1;
            (0..4).for_each(|seat| assert!(cluster.seat(seat).submit(7, payload.clone().into()).is_ok()));
        }
        cluster.wait_for(height);
    }
    let elapsed = started.elapsed().as_secs_f64();
    let taken = cluster.recorders[0].blocks();
    let bytes: usize = taken.range(first..).map(|(_, block)| block.payload.encoded().len()).sum();
    let megabytes = bytes as f64 / 1e6;
    println!("4 validators, full blocks: {:.1} MB/s final, peak {} MiB", megabytes / elapsed, peak_mebibytes());
}
