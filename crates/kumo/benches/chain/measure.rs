//! What is measured on one running server.

use crate::peer::{Peer, wait_for};
use crate::wire::Connection;
use crate::work::{Load, Work, call};
use alloy_primitives::{B256, U256};
use eyre::{Result, bail, ensure, eyre};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

/// Transactions sent and not yet mined, at most: some blocks' worth, below what either pool holds.
const OUTSTANDING_MAX: usize = 12_000;
/// Longest time without a mined transaction before a load counts as failed.
const STALL: Duration = Duration::from_secs(30);
/// How often new blocks are looked for.
const POLL: Duration = Duration::from_millis(20);
/// How often the receipt of a single transaction is asked for.
const RECEIPT_POLL: Duration = Duration::from_millis(1);

/// A load that was mined to its end.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Transactions mined.
    pub transactions: usize,
    /// From the first send to the last inclusion.
    pub seconds: f64,
    /// Transactions mined per second.
    pub per_second: f64,
    /// CPU time of the server per transaction, in µs.
    pub cpu_micros: f64,
    /// Blocks that held them.
    pub blocks: usize,
}

/// Times of one kind of call, in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Times {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
}

impl Times {
    /// Of these calls, at least one.
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
        Self { p50: at(50), p99: at(99) }
    }
}

/// Sends a load as fast as it is taken and waits until all of it is mined.
pub fn run(peer: &Peer, load: &Load) -> Result<Run> {
    let (sent, mined, failed) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let mut watch = Connection::open(peer.address)?;
    let mut height = watch.number("eth_blockNumber", json!([]))?;
    let (cpu, begin) = (peer.cpu()?, Instant::now());
    let outcome = thread::scope(|scope| {
        let senders: Vec<_> = load
            .bodies
            .iter()
            .map(|bodies| {
                let (sent, mined, failed) = (&sent, &mined, &failed);
                scope.spawn(move || {
                    let outcome = send(peer, bodies, sent, mined, failed);
                    failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
                    outcome
                })
            })
            .collect();
        let watched = watch_blocks(&mut watch, &mut height, load.transactions, &mined, &failed);
        failed.fetch_or(watched.is_err(), Ordering::Relaxed);
        for sender in senders {
            sender.join().expect("a sender does not panic")?;
        }
        watched
    });
    let (end, blocks) = outcome?;
    let seconds = (end - begin).as_secs_f64();
    let cpu = peer.cpu()? - cpu;
    Ok(Run {
        transactions: load.transactions,
        seconds,
        per_second: load.transactions as f64 / seconds,
        cpu_micros: cpu.as_secs_f64() * 1e6 / load.transactions as f64,
        blocks,
    })
}

fn send(
    peer: &Peer,
    bodies: &[(Vec<u8>, usize)],
    sent: &AtomicUsize,
    mined: &AtomicUsize,
    failed: &AtomicBool,
) -> Result<()> {
    let mut connection = Connection::open(peer.address)?;
    for (body, count) in bodies {
        while sent.load(Ordering::Relaxed) - mined.load(Ordering::Relaxed).min(sent.load(Ordering::Relaxed))
            > OUTSTANDING_MAX
        {
            if failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            sleep(Duration::from_millis(2));
        }
        sent.fetch_add(*count, Ordering::Relaxed);
        let answer = connection.post(body)?;
        if let Some(at) = answer.windows(8).position(|bytes| bytes == b"\"error\":") {
            bail!("a transaction was refused: {}", String::from_utf8_lossy(&answer[at..answer.len().min(at + 300)]));
        }
    }
    Ok(())
}

/// Counts mined transactions until `wanted` are; returns when that was and in how many blocks.
fn watch_blocks(
    connection: &mut Connection,
    height: &mut u64,
    wanted: usize,
    mined: &AtomicUsize,
    failed: &AtomicBool,
) -> Result<(Instant, usize)> {
    let (mut moved, mut blocks) = (Instant::now(), 0);
    while mined.load(Ordering::Relaxed) < wanted {
        ensure!(!failed.load(Ordering::Relaxed), "sending failed");
        ensure!(moved.elapsed() < STALL, "only {} of {wanted} were mined", mined.load(Ordering::Relaxed));
        let head = connection.number("eth_blockNumber", json!([]))?;
        while *height < head {
            *height += 1;
            let count =
                connection.number("eth_getBlockTransactionCountByNumber", json!([format!("{:#x}", *height)]))?;
            mined.fetch_add(count as usize, Ordering::Relaxed);
            blocks += usize::from(count > 0);
            moved = Instant::now();
        }
        sleep(POLL);
    }
    Ok((moved, blocks))
}

/// Checks that every sender's nonce is what the work leaves it at, and that the token moved.
pub fn check(peer: &Peer, work: &Work) -> Result<()> {
    let mut connection = Connection::open(peer.address)?;
    for (sender, nonce) in &work.nonces {
        let found = connection.number("eth_getTransactionCount", json!([sender, "latest"]))?;
        ensure!(found == *nonce, "sender {sender} has nonce {found}, the work ends at {nonce}");
    }
    let input = call("balanceOf(address)", &[U256::from_be_slice(work.holder.as_slice())]);
    let balance = connection.call("eth_call", json!([{"to": work.token, "data": input}, "latest"]))?;
    let balance: U256 = serde_json::from_value(balance)?;
    ensure!(balance > U256::ZERO && balance <= U256::from(1_000_000), "the holder has {balance} tokens");
    Ok(())
}

/// Time from sending one transaction to its receipt, one after the other at changing phases of the block interval.
pub fn receipts(peer: &Peer, singles: &[(Vec<u8>, B256)]) -> Result<Times> {
    let mut connection = Connection::open(peer.address)?;
    let mut times = Vec::new();
    for (index, (body, hash)) in (0_u64..).zip(singles) {
        // 37 ms is prime to the interval, so that the sends spread over it.
        sleep(Duration::from_millis(index * 37 % 200));
        let begin = Instant::now();
        connection.post(body)?;
        let ask =
            json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getTransactionReceipt", "params": [hash]}).to_string();
        while !receipt_is_there(&connection.post(ask.as_bytes())?)? {
            ensure!(begin.elapsed() < STALL, "no receipt for {hash}");
            sleep(RECEIPT_POLL);
        }
        times.push(begin.elapsed());
    }
    Ok(Times::of(times))
}

fn receipt_is_there(answer: &[u8]) -> Result<bool> {
    let answer: Value = serde_json::from_slice(answer)?;
    ensure!(answer["error"].is_null(), "receipt: {answer}");
    match answer["result"]["status"].as_str() {
        Some("0x1") => Ok(true),
        Some(status) => Err(eyre!("a single transfer has status {status}")),
        None => Ok(false),
    }
}

/// Times of the calls that wallets make most, one after the other on one connection.
pub fn reads(peer: &Peer, work: &Work, calls: usize) -> Result<Vec<(&'static str, Times)>> {
    let mut connection = Connection::open(peer.address)?;
    let input = call("balanceOf(address)", &[U256::from_be_slice(work.holder.as_slice())]);
    let methods = [
        ("eth_call", json!([{"to": work.token, "data": input}, "latest"])),
        ("eth_getBalance", json!([work.holder, "latest"])),
        ("eth_blockNumber", json!([])),
        ("eth_getTransactionCount", json!([work.holder, "latest"])),
    ];
    let mut measured = Vec::new();
    for (method, params) in methods {
        connection.call(method, params.clone())?;
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let mut times = Vec::with_capacity(calls);
        for _ in 0..calls {
            let begin = Instant::now();
            connection.post(body.as_bytes())?;
            times.push(begin.elapsed());
        }
        measured.push((method, Times::of(times)));
    }
    Ok(measured)
}

/// Waits until block `height` is there.
pub fn wait_height(peer: &Peer, height: u64) -> Result<()> {
    let mut connection = Connection::open(peer.address)?;
    wait_for("the first blocks", || Ok(connection.number("eth_blockNumber", json!([]))? >= height))
}
