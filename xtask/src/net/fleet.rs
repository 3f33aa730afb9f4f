//! The nodes of the network, each a process on a host of its own.

use super::hosts;
use super::http;
use crate::process::{Group, run};
use eyre::{Context, Result, bail, ensure, eyre};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Port of a validator's consensus, as `kumo init --host` says.
const P2P_PORT: u16 = 9600;
/// Port of a validator's API, as `kumo init --host` says.
const API_PORT: u16 = 9601;
/// Port of the JSON-RPC.
const RPC_PORT: u16 = 8545;
/// Least time between blocks, in milliseconds: the harness looks at correctness, on a machine that all nodes share.
const BLOCK_MILLIS: &str = "200";
/// Blocks of an epoch.
pub const EPOCH_BLOCKS: u64 = 16;
/// Time a node has until it answers.
const START_TIME: Duration = Duration::from_secs(60);
/// Time without any new block after which a condition is given up: a slow machine makes blocks slowly, a broken network none.
pub const PATIENCE: Duration = Duration::from_secs(150);
/// Time after which a condition is given up although blocks are made.
const PATIENCE_MAX: Duration = Duration::from_secs(1_200);
/// How often it is looked at.
const POLL: Duration = Duration::from_millis(200);

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A validator with its seat; one that came later finds its own.
    Validator(Option<usize>),
    /// A follower that serves the JSON-RPC, and the checkpoint it starts from.
    Rpc(Option<String>),
}

/// A node and its process, if it runs.
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Its host.
    pub host: u8,
    /// Its directory.
    pub state: PathBuf,
    /// What it writes to standard output and error.
    pub log: PathBuf,
    /// How far its clock is off, in seconds.
    pub clock: i64,
    /// The first block that it has.
    pub first: u64,
    process: Option<Group>,
}

/// Programs and files that all nodes share.
pub struct Fleet {
    /// The nodes; validators first, in the order of their seats.
    pub nodes: Vec<Node>,
    kumo: PathBuf,
    network: PathBuf,
    clock: PathBuf,
}

impl Fleet {
    /// Makes keys and network file in `folder` for `validators` validators on hosts 1, 2, … and one follower on the next one.
    ///
    /// # Errors
    /// When the program fails.
    pub fn create(kumo: &Path, folder: &Path, validators: u8) -> Result<Self> {
        let dir = folder.join("net");
        let mut init = Command::new(kumo);
        init.args(["init", "--validators", &validators.to_string(), "--block-millis", BLOCK_MILLIS]);
        init.args(["--epoch-blocks", &EPOCH_BLOCKS.to_string()]).arg("--dir").arg(&dir).stdout(Stdio::null());
        for host in 1..=validators {
            init.arg("--host").arg(hosts::address(host).to_string());
        }
        run(&mut init)?;
        let clock = folder.join("clock.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/net/clock.c");
        run(Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&clock).arg(source).arg("-ldl"))?;
        let mut fleet = Self { nodes: vec![], kumo: kumo.into(), network: dir.join("network.json"), clock };
        for host in 1..=validators {
            let seat = usize::from(host) - 1;
            fleet.add(Kind::Validator(Some(seat)), host, dir.join(format!("validator-{seat}")));
        }
        let rpc = fleet.add(Kind::Rpc(None), validators + 1, dir.join("rpc"));
        // Where the file says that the JSON-RPC is.
        let mut network: Value = serde_json::from_slice(&fs::read(&fleet.network)?)?;
        network["rpc"] = json!(format!("http://{}", fleet.nodes[rpc].address()));
        fs::write(&fleet.network, serde_json::to_vec_pretty(&network)?)?;
        Ok(fleet)
    }

    /// Adds a node that does not run yet; returns its place.
    pub fn add(&mut self, kind: Kind, host: u8, state: PathBuf) -> usize {
        let log = self.network.with_file_name(format!("host-{host}.log"));
        self.nodes.push(Node { kind, host, state, log, clock: 0, first: 1, process: None });
        self.nodes.len() - 1
    }

    /// Places of the validators.
    pub fn validators(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|place| matches!(self.nodes[*place].kind, Kind::Validator(_))).collect()
    }

    /// How many of the validators may be absent.
    pub fn faults(&self) -> usize {
        (self.validators().len() - 1) / 3
    }

    /// Starts a node and waits until it answers; one that runs stays as it is.
    ///
    /// # Errors
    /// When it ends, or does not answer in time.
    pub fn start(&mut self, place: usize) -> Result<()> {
        let begin = Instant::now();
        if self.nodes[place].process.is_some() {
            return Ok(());
        }
        let process = self.spawn(place)?;
        let node = &mut self.nodes[place];
        node.process = Some(process);
        loop {
            if let Some(code) = node.ended(POLL)? {
                bail!("host {} ended with {code}: {}", node.host, node.tail());
            }
            if node.height().is_ok() {
                return Ok(());
            }
            ensure!(begin.elapsed() < START_TIME, "host {} does not answer: {}", node.host, node.tail());
        }
    }

    fn spawn(&self, place: usize) -> Result<Group> {
        let node = &self.nodes[place];
        let mut command = hosts::on(node.host);
        if node.clock != 0 {
            let preload = format!("LD_PRELOAD={}", self.clock.display());
            command.args(["env", &preload, &format!("CLOCK_OFFSET_SECONDS={}", node.clock)]);
        }
        command.arg(&self.kumo).args(["node", "--cache-mib", "32", "--network"]).arg(&self.network);
        command.arg("--state").arg(&node.state);
        match &node.kind {
            Kind::Validator(Some(seat)) => command.args(["--role", "validator", "--seat", &seat.to_string()]),
            Kind::Validator(None) => {
                let (p2p, api) = (node.p2p().to_string(), node.address().to_string());
                command.args(["--role", "validator", "--p2p", &p2p, "--listen", &api])
            }
            Kind::Rpc(checkpoint) => {
                command.args(["--role", "rpc", "--listen", &node.address().to_string()]);
                checkpoint.iter().fold(&mut command, |command, point| command.args(["--checkpoint", point]))
            }
        };
        let log = File::options().create(true).append(true).open(&node.log);
        let log = log.wrap_err_with(|| format!("cannot write {}", node.log.display()))?;
        Group::spawn(command.stdin(Stdio::null()).stderr(log.try_clone()?).stdout(log))
    }

    /// Runs the program on the host of a node. What it writes to standard output as JSON.
    ///
    /// # Errors
    /// When it fails.
    pub fn command(&self, place: usize, words: &[&str]) -> Result<Value> {
        let mut command = hosts::on(self.nodes[place].host);
        command.arg(&self.kumo).args(words).args(["--output", "json", "--network"]).arg(&self.network);
        let ended = command.env("RUST_LOG", "warn").stdin(Stdio::null()).output().wrap_err("cannot run the program")?;
        let told = String::from_utf8_lossy(&ended.stderr);
        ensure!(ended.status.success(), "kumo {} ended with {}: {told}", words.join(" "), ended.status);
        Ok(serde_json::from_slice(&ended.stdout)?)
    }

    /// Starts everything that does not run; a node that runs keeps running.
    ///
    /// # Errors
    /// As [`Fleet::start`].
    pub fn start_all(&mut self) -> Result<()> {
        (0..self.nodes.len()).try_for_each(|place| self.start(place))
    }

    /// Newest final height of each node that answers.
    pub fn heights(&self) -> Vec<u64> {
        self.nodes.iter().filter_map(|node| node.height().ok()).collect()
    }

    /// Greatest final height of all nodes.
    pub fn highest(&self) -> u64 {
        self.heights().into_iter().max().unwrap_or(0)
    }

    /// Looks until it is true.
    ///
    /// # Errors
    /// With `what` and the last failure, when it is not true and no block was made for [`PATIENCE`], or after 20 minutes.
    pub fn eventually(&self, what: &str, mut is_true: impl FnMut() -> Result<bool>) -> Result<()> {
        let begin = Instant::now();
        let (mut height, mut since) = (self.highest(), begin);
        loop {
            let found = is_true();
            if matches!(found, Ok(true)) {
                return Ok(());
            }
            let now = self.highest();
            if now > height {
                (height, since) = (now, Instant::now());
            }
            if since.elapsed() > PATIENCE || begin.elapsed() > PATIENCE_MAX {
                let reason = found.err().map_or_else(|| "it is not so".to_owned(), |error| format!("{error:#}"));
                bail!("{what}: not within {} s: {reason}", begin.elapsed().as_secs());
            }
            std::thread::sleep(POLL);
        }
    }

    /// Waits until the greatest height is `blocks` more than now.
    ///
    /// # Errors
    /// When it is not in time.
    pub fn advance(&self, blocks: u64) -> Result<()> {
        let target = self.highest() + blocks;
        self.eventually(&format!("block {target} is final somewhere"), || Ok(self.highest() >= target))
    }
}

impl Node {
    /// Where it listens for other validators.
    pub fn p2p(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(hosts::address(self.host)), P2P_PORT)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        let port = if matches!(self.kind, Kind::Rpc(_)) { RPC_PORT } else { API_PORT };
        SocketAddr::new(IpAddr::V4(hosts::address(self.host)), port)
    }

    /// Newest final height.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn height(&self) -> Result<u64> {
        match self.kind {
            Kind::Validator(_) => number(&http::get(self.address(), "/seq/v1/status")?["height"]),
            Kind::Rpc(_) => number(&http::call(self.address(), "eth_blockNumber", json!([]))?),
        }
    }

    /// The seat that a validator has in the committee of the next block.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn seat(&self) -> Result<Option<u64>> {
        Ok(http::get(self.address(), "/seq/v1/status")?["seat"].as_u64())
    }

    /// Newest checkpoint that stake has finalised: epoch and root.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn finalized(&self) -> Result<(u64, String)> {
        let point = match self.kind {
            Kind::Validator(_) => http::get(self.address(), "/seq/v1/status")?["finality"]["finalized"].take(),
            Kind::Rpc(_) => http::call(self.address(), "kumo_finality", json!([]))?["stake"]["finalized"].take(),
        };
        let root = point["root"].as_str().ok_or_else(|| eyre!("host {} names no root: {point}", self.host))?;
        Ok((number(&point["epoch"])?, root.to_owned()))
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// When it does not, or fails.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        ensure!(process.stop()?, "host {} stopped with a failure: {}", self.host, self.tail());
        Ok(())
    }

    /// How it ended, if it did within `limit`: then it does not run any more.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn ended(&mut self, limit: Duration) -> Result<Option<&'static str>> {
        let Some(process) = &mut self.process else { return Ok(Some("nothing, as it was stopped")) };
        let ended = process.wait(limit)?.map(|success| if success { "success" } else { "failure" });
        if ended.is_some() {
            self.process = None;
        }
        Ok(ended)
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n    ")
    }
}

/// A number, as such or as `0x…`.
fn number(value: &Value) -> Result<u64> {
    let hex = || u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok();
    value.as_u64().or_else(hex).ok_or_else(|| eyre!("{value} is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_both_apis_write_them() {
        assert_eq!((number(&json!(7)).unwrap(), number(&json!("0x1f")).unwrap()), (7, 31));
        assert!(number(&json!(null)).is_err() && number(&json!("12")).is_err());
    }
}
