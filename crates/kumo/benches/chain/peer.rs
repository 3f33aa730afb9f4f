//! The servers that are compared, each started afresh on an empty state.

use crate::wire::Connection;
use crate::work::CHAIN_ID;
use eyre::{Context as _, Result, bail, eyre};
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Gas limit of a block, the same on both: that of `kumo dev`.
const GAS_LIMIT: &str = "100000000";
/// Base fee of block 1 on anvil; Kumo starts with the same.
const BASE_FEE: &str = "1000000000";
/// Longest wait for a server to answer.
const START_WAIT: Duration = Duration::from_secs(60);
/// Clock ticks per second in `/proc` (USER_HZ), fixed on Linux.
const TICKS_PER_SECOND: u64 = 100;

/// What to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// anvil, which keeps everything in memory.
    Anvil,
    /// `kumo dev` with so many validators and its state on disk.
    Kumo(usize),
}

/// Where the programs are.
pub struct Programs {
    /// anvil.
    pub anvil: PathBuf,
    /// kumo, release build.
    pub kumo: PathBuf,
    /// How anvil makes blocks: words of its command line.
    pub anvil_mining: Vec<String>,
}

/// A running server; killed when dropped.
pub struct Peer {
    child: Child,
    /// Where it answers.
    pub address: SocketAddr,
    _state: TempDir,
}

impl Kind {
    /// Name in reports.
    pub fn name(self) -> String {
        match self {
            Self::Anvil => "anvil".into(),
            Self::Kumo(validators) => format!("kumo-{validators}"),
        }
    }
}

impl Peer {
    /// Starts a server and waits until it has made a block or answers.
    pub fn start(kind: Kind, programs: &Programs, directory: &Path) -> Result<Self> {
        let state = tempfile::tempdir_in(directory)?;
        let (child, address) = match kind {
            Kind::Anvil => start_anvil(programs)?,
            Kind::Kumo(validators) => start_kumo(programs, state.path(), validators)?,
        };
        let peer = Self { child, address, _state: state };
        wait_for("an answer", || Ok(Connection::open(address)?.number("eth_chainId", json!([]))? == CHAIN_ID))?;
        Ok(peer)
    }

    /// CPU time used so far by all its threads, user and system.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name is in brackets and may hold spaces; utime and stime are fields 14 and 15.
        let rest = stat.rsplit_once(')').ok_or_else(|| eyre!("/proc stat has no name: {stat}"))?.1;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }

    /// Most memory it held so far, in MiB.
    pub fn memory_mib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).ok_or_else(|| eyre!("no VmHWM"))?;
        Ok(kib.parse::<u64>()? / 1024)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start_anvil(programs: &Programs) -> Result<(Child, SocketAddr)> {
    let port = kumo::roles::free_port()?;
    let child = Command::new(&programs.anvil)
        .args(["--silent", "--host", "127.0.0.1", "--port", &port.to_string(), "--chain-id", &CHAIN_ID.to_string()])
        .args(["--gas-limit", GAS_LIMIT, "--block-base-fee-per-gas", BASE_FEE, "--hardfork", "osaka"])
        .args(["--no-request-size-limit", "--prune-history"])
        .args(&programs.anvil_mining)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .wrap_err_with(|| format!("cannot start {}", programs.anvil.display()))?;
    Ok((child, SocketAddr::from(([127, 0, 0, 1], port))))
}

fn start_kumo(programs: &Programs, state: &Path, validators: usize) -> Result<(Child, SocketAddr)> {
    let config = state.join("network-out.json");
    let child = Command::new(&programs.kumo)
        .args(["dev", "--storage-nodes", "0", "--providers", "0", "--ports", "auto"])
        .args(["--validators", &validators.to_string()])
        .arg("--state")
        .arg(state.join("state"))
        .arg("--config-out")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .wrap_err_with(|| format!("cannot start {}", programs.kumo.display()))?;
    wait_for("the network file", || Ok(config.exists()))?;
    let network: Value = serde_json::from_slice(&fs::read(&config)?)?;
    let url = network["rpc"].as_str().unwrap_or_default();
    let address = kumo::roles::validator::socket_of(url)?;
    Ok((child, address))
}

/// Asks until the answer is yes; a failed question counts as no.
pub fn wait_for(what: &str, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let begin = Instant::now();
    loop {
        let answer = ready();
        if matches!(answer, Ok(true)) {
            return Ok(());
        }
        if begin.elapsed() > START_WAIT {
            bail!("waited {} s for {what}: {answer:?}", START_WAIT.as_secs());
        }
        sleep(Duration::from_millis(20));
    }
}
