//! Opaque transactions by HTTP batch: how many per second become final, and at what cost.
//!
//! A development network runs as a process of its own. Each connection posts binary batches to one of the validators, the
//! next one when the last is on the disk; at the end the state of every single transaction is asked for. What counts is the time from the
//! first batch sent to the last transaction final. `cargo xtask bench sequencer` builds the program and runs this.

use clap::Parser;
use eyre::{Context as _, Result, ensure, eyre};
use protocol::api::{SubmissionState, SubmissionStatus};
use protocol::network::Network;
use reqwest::Client;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for the network to start, and for what was accepted to become final.
const WAIT: Duration = Duration::from_secs(120);
/// Pause before what had no room is sent again.
const RETRY: Duration = Duration::from_millis(20);
/// States asked for at a time.
const STATES: usize = 1_024;
/// First namespace that is written to.
const NAMESPACE: u64 = 7_001;
/// Clock ticks per second in `/proc` (USER_HZ), fixed on Linux.
const TICKS_PER_SECOND: u64 = 100;
const BINARY: &str = "application/octet-stream";

/// Measure submissions by HTTP batch.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// The kumo program, built for release
    #[arg(long)]
    kumo: PathBuf,
    /// Validators
    #[arg(long, default_value_t = 4)]
    validators: usize,
    /// Least time between two blocks, in milliseconds
    #[arg(long, default_value_t = 200)]
    block_millis: u64,
    /// Transactions in all
    #[arg(long, default_value_t = 200_000)]
    transactions: usize,
    /// Bytes of a transaction
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    bytes: u32,
    /// Transactions of a batch
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    /// Connections; they take the validators in turns
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Namespaces that the batches are about, in turns
    #[arg(long, default_value_t = 4)]
    namespaces: u64,
    /// Rounds; the last line has the median
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Directory for the state, on the disk that is to be measured
    #[arg(long, default_value = "target")]
    directory: PathBuf,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What one round gave.
struct Figures {
    per_second: f64,
    cpu_micros: f64,
    answers: Vec<Duration>,
    retries: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut rounds = Vec::new();
    for round in 1..=arguments.rounds {
        let figures = runtime.block_on(measure(&arguments))?;
        println!("round {round}: {}", text(&arguments, &figures));
        rounds.push(figures);
    }
    rounds.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    let median = rounds.get(rounds.len() / 2).ok_or_else(|| eyre!("no rounds"))?;
    println!("submissions by HTTP batch: {}", text(&arguments, median));
    Ok(())
}

fn text(arguments: &Arguments, figures: &Figures) -> String {
    let Arguments { transactions, bytes, validators, batch, .. } = arguments;
    let mut answers = figures.answers.clone();
    answers.sort();
    let at = |part: usize| answers[(answers.len() - 1) * part / 100].as_millis();
    format!(
        "{transactions} of {bytes} B in batches of {batch}, {validators} validators: {:.0}/s final, {:.1} us CPU each, batch on disk p50 {} ms, \
         p99 {} ms, {} tries more",
        figures.per_second,
        figures.cpu_micros,
        at(50),
        at(99),
        figures.retries,
    )
}

/// A running program; killed when dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running network.
struct Running {
    program: Program,
    network: Network,
    _state: tempfile::TempDir,
}

impl Running {
    async fn start(arguments: &Arguments) -> Result<Self> {
        let state = tempfile::tempdir_in(&arguments.directory)?;
        let config = state.path().join("network-out.json");
        let child = Command::new(&arguments.kumo)
            .args(["dev", "--storage-nodes", "0", "--providers", "0", "--ports", "auto"])
            .args(["--validators", &arguments.validators.to_string()])
            .args(["--block-millis", &arguments.block_millis.to_string()])
            .arg("--state")
            .arg(state.path().join("state"))
            .arg("--config-out")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .wrap_err_with(|| format!("cannot start {}", arguments.kumo.display()))?;
        let program = Program(child);
        let begin = Instant::now();
        while !config.exists() {
            ensure!(begin.elapsed() < WAIT, "no network file after {} s", WAIT.as_secs());
            tokio::time::sleep(RETRY).await;
        }
        let network = serde_json::from_slice(&fs::read(&config)?)?;
        Ok(Self { program, network, _state: state })
    }

    /// CPU time used so far by all its threads, user and system.
    fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.program.0.id()))?;
        // The name is in brackets and may hold spaces; utime and stime are fields 14 and 15.
        let rest = stat.rsplit_once(')').ok_or_else(|| eyre!("/proc stat has no name: {stat}"))?.1;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }
}

async fn measure(arguments: &Arguments) -> Result<Figures> {
    let running = Running::start(arguments).await?;
    // Made before, so that the load costs as little as it can while it is measured.
    let works: Vec<Vec<Batch>> = works(arguments);
    let http = Client::builder().tls_certs_only([]).build().unwrap();
    wait_for_blocks(&http, &running.network).await?;
    let (begun, begin) = (running.cpu()?, Instant::now());
    let posts = works.iter().enumerate().map(|(connection, batches)| {
        let api = &running.network.validators[connection % running.network.validators.len()].api;
        post_all(http.clone(), api.trim_end_matches('/').to_owned(), batches)
    });
    let posted = futures::future::try_join_all(posts).await?;
    let api = running.network.validators[0].api.trim_end_matches('/').to_owned();
    // The last one of each batch is seldom overtaken; asking for all of them, all the time, would be a load of its own.
    let last: Vec<[u8; 32]> = works.iter().flatten().map(|batch| batch.hashes[batch.hashes.len() - 1]).collect();
    wait_until_final(&http, &api, last).await?;
    let (mut took, mut cpu) = (begin.elapsed(), running.cpu()?.saturating_sub(begun));
    let all: Vec<[u8; 32]> = works.iter().flatten().flat_map(|batch| batch.hashes.iter().copied()).collect();
    let rest = unfinished(&http, &api, &all).await?;
    if !rest.is_empty() {
        wait_until_final(&http, &api, rest).await?;
        (took, cpu) = (begin.elapsed(), running.cpu()?.saturating_sub(begun));
    }
    let count = arguments.transactions as f64;
    Ok(Figures {
        per_second: count / took.as_secs_f64(),
        cpu_micros: cpu.as_secs_f64() * 1e6 / count,
        answers: posted.iter().flat_map(|posted| posted.0.iter().copied()).collect(),
        retries: posted.iter().map(|posted| posted.1).sum(),
    })
}

/// What is posted at a time.
struct Batch {
    body: bytes::Bytes,
    hashes: Vec<[u8; 32]>,
}

/// The batches of each connection. All transactions differ.
fn works(arguments: &Arguments) -> Vec<Vec<Batch>> {
    let mut works: Vec<Vec<Batch>> = (0..arguments.connections).map(|_| Vec::new()).collect();
    let (batch, mut done, mut number) = (arguments.batch as usize, 0, 0);
    while done < arguments.transactions {
        let count = batch.min(arguments.transactions - done);
        let namespace = NAMESPACE + number as u64 % arguments.namespaces;
        works[number % arguments.connections].push(Batch::new(namespace, done, count, arguments.bytes as usize));
        (done, number) = (done + count, number + 1);
    }
    works
}

impl Batch {
    fn new(namespace: u64, first: usize, count: usize, bytes: usize) -> Self {
        let (mut body, mut hashes) = (Vec::with_capacity(count * (12 + bytes)), Vec::with_capacity(count));
        for number in first..first + count {
            // Nothing compresses it.
            let seed = Sha256::digest((number as u64).to_be_bytes());
            let payload: Vec<u8> = seed.iter().copied().cycle().take(bytes).collect();
            body.extend(namespace.to_be_bytes());
            body.extend((bytes as u32).to_be_bytes());
            body.extend(&payload);
            hashes.push(Sha256::new().chain_update(namespace.to_be_bytes()).chain_update(&payload).finalize().into());
        }
        Self { body: body.into(), hashes }
    }
}

async fn wait_for_blocks(http: &Client, network: &Network) -> Result<()> {
    let begin = Instant::now();
    for validator in &network.validators {
        let url = format!("{}/seq/v1/status", validator.api.trim_end_matches('/'));
        loop {
            let height = async {
                let status: serde_json::Value = http.get(&url).send().await.ok()?.json().await.ok()?;
                status["height"].as_u64()
            };
            if height.await.is_some_and(|height| height >= 3) {
                break;
            }
            ensure!(begin.elapsed() < WAIT, "{url} tells no block after {} s", WAIT.as_secs());
            tokio::time::sleep(RETRY).await;
        }
    }
    Ok(())
}

/// Posts one batch after the other; returns how long each took, and how many tries more than batches there were.
async fn post_all(http: Client, api: String, batches: &[Batch]) -> Result<(Vec<Duration>, usize)> {
    let url = format!("{api}/seq/v1/submit-batch");
    let (mut answers, mut retries) = (Vec::new(), 0);
    for batch in batches {
        let begin = Instant::now();
        loop {
            let request = http.post(&url).header("content-type", BINARY).header("accept", BINARY);
            let response = request.body(batch.body.clone()).send().await?;
            let is_full = response.status() == reqwest::StatusCode::SERVICE_UNAVAILABLE;
            if !is_full {
                let answer = response.error_for_status()?.bytes().await?;
                ensure!(answer.len() == 41 * batch.hashes.len(), "{} bytes answer a batch", answer.len());
                // Submitting again is harmless: what is there already is only named again.
                if answer.chunks_exact(41).all(|answer| answer[0] == 1) {
                    break;
                }
            }
            retries += 1;
            ensure!(begin.elapsed() < WAIT, "a batch found no room for {} s", WAIT.as_secs());
            tokio::time::sleep(RETRY).await;
        }
        answers.push(begin.elapsed());
    }
    Ok((answers, retries))
}

async fn states(http: &Client, api: &str, hashes: &[[u8; 32]]) -> Result<Vec<SubmissionState>> {
    let hashes: Vec<String> = hashes.iter().map(|hash| format!("0x{}", hex::encode(hash))).collect();
    let request = http.post(format!("{api}/seq/v1/submissions")).json(&serde_json::json!({ "hashes": hashes }));
    let told: Vec<SubmissionStatus> = request.send().await?.error_for_status()?.json().await?;
    Ok(told.into_iter().map(|status| status.state).collect())
}

async fn wait_until_final(http: &Client, api: &str, mut hashes: Vec<[u8; 32]>) -> Result<()> {
    let begin = Instant::now();
    loop {
        hashes = unfinished(http, api, &hashes).await?;
        if hashes.is_empty() {
            return Ok(());
        }
        ensure!(begin.elapsed() < WAIT, "{} are not final after {} s", hashes.len(), WAIT.as_secs());
        tokio::time::sleep(RETRY).await;
    }
}

fn is_final(state: SubmissionState) -> bool {
    matches!(state, SubmissionState::Final | SubmissionState::Finalized)
}

/// Those that are not final yet. Nothing that was accepted may end otherwise here.
async fn unfinished(http: &Client, api: &str, hashes: &[[u8; 32]]) -> Result<Vec<[u8; 32]>> {
    let mut unfinished = Vec::new();
    for chunk in hashes.chunks(STATES) {
        for (hash, state) in chunk.iter().zip(states(http, api, chunk).await?) {
            ensure!(
                !matches!(state, SubmissionState::Expired | SubmissionState::Rejected),
                "a transaction is {state:?}"
            );
            if !is_final(state) {
                unfinished.push(*hash);
            }
        }
    }
    Ok(unfinished)
}
