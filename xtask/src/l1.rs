//! `cargo xtask l1`: the bridge and the contracts of an L1 against anvil.
//!
//! First the library: its test is the program `anvil` of the crate `bridge-ethereum`; this installs anvil and builds the token of the
//! tests. Then the program: `kumo dev`, `kumo bridge deploy`, and `kumo node --role bridge`, which is killed while it posts; and what
//! rollups post and read (`rollup`).

mod rollup;

use crate::network::Network;
use crate::process::{Group, kumo, root, run, target_directory};
use clap::Args;
use eyre::{Context, Result, bail, ensure, eyre};
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const CHAIN_ID: &str = "31337";
/// anvil's account 0; its key is in anvil's documentation.
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
/// Posts before the bridge is killed, and after it was started again.
const POSTS: u64 = 3;
/// Time a number of posts may take.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often the bridge is looked at.
const POLL: Duration = Duration::from_millis(500);

/// Options of `cargo xtask l1`.
#[derive(Args)]
pub struct Options {
    /// Program to test; without it the release program is built
    #[arg(long, value_name = "PATH")]
    kumo: Option<PathBuf>,
    /// Only the program, not the library
    #[arg(long)]
    program: bool,
}

/// Installs, builds, runs.
///
/// # Errors
/// When npm, a build or a test fails.
pub fn run_l1(options: &Options) -> Result<()> {
    let anvil = crate::bench::anvil()?;
    crate::abi::build_tests(&root().join("contracts"))?;
    if !options.program {
        library(&anvil)?;
    }
    program(&anvil, &kumo(options.kumo.as_deref())?)
}

fn library(anvil: &Path) -> Result<()> {
    let contracts = root().join("contracts");
    let mut command = Command::new(env!("CARGO"));
    command.args(["test", "--quiet", "--locked", "-p", "bridge-ethereum", "--test", "anvil", "--", "--anvil"]);
    command.arg(anvil).arg("--artifacts").arg(contracts.join("artifacts").canonicalize()?);
    command.arg("--token").arg(contracts.join("out/StakeVault.t.sol/Token.json").canonicalize()?);
    run(command.current_dir(root()))
}

/// A network, an L1, and the files of a bridge between them.
struct World {
    kumo: PathBuf,
    folder: PathBuf,
    url: String,
    contract: String,
    _network: Network,
    _l1: Group,
}

fn program(anvil: &Path, kumo: &Path) -> Result<()> {
    let world = World::start(anvil, kumo)?;
    let mut bridge = world.bridge()?;
    let before = world.posted(&mut bridge, POSTS)?;
    bridge.kill();
    println!("l1: ok {before} posts, then the bridge was killed");
    let mut bridge = world.bridge()?;
    world.posted(&mut bridge, before + POSTS)?;
    rollup::check(&world)?;
    drop(bridge);
    let status = world.status()?;
    let number = |name: &str| status["bridge"][name].as_u64().ok_or_else(|| eyre!("no {name} in {status}"));
    let (posted, reverted, nonce) = (number("posted")?, number("reverted")?, number("nonce")?);
    ensure!(reverted == 0, "alone the bridge must never pay for nothing: {status}");
    // The deployment took one, and one may be mined and not deep.
    ensure!((posted + 1..=posted + 2).contains(&nonce), "{posted} posts took the nonces up to {nonce}");
    let epoch = status["epoch"].as_u64().unwrap_or_default();
    println!("l1: ok epoch {epoch} is final on the L1 after {posted} posts, {} gas", number("gas")?);
    Ok(())
}

impl World {
    fn start(anvil: &Path, kumo: &Path) -> Result<Self> {
        let folder = target_directory()?.join("l1");
        if folder.exists() {
            fs::remove_dir_all(&folder).wrap_err_with(|| format!("cannot empty {}", folder.display()))?;
        }
        let network = Network::start(kumo, &folder.join("network"), &["--epoch-blocks", "8"])?;
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port().to_string();
        let mut command = Command::new(anvil);
        command.args(["--port", &port, "--chain-id", CHAIN_ID, "--hardfork", "osaka", "--block-time", "1", "--silent"]);
        let l1 = Group::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()))?;
        let mut key = File::options().write(true).create_new(true).mode(0o600).open(folder.join("l1.key"))?;
        key.write_all(KEY.as_bytes())?;
        let url = format!("http://127.0.0.1:{port}");
        let mut world = Self { kumo: kumo.into(), folder, url, contract: String::new(), _network: network, _l1: l1 };
        world.contract = world.deploy()?;
        Ok(world)
    }

    /// Nothing is final at first, and the L1 does not answer: so it is tried again.
    fn deploy(&self) -> Result<String> {
        let begin = Instant::now();
        let key = self.folder.join("l1.key");
        loop {
            let mut command = self.command(&["bridge", "deploy", "--output", "json", "--poll-millis", "200"]);
            command.args(["--l1", &self.url, "--l1-chain-id", CHAIN_ID, "--key-file"]).arg(&key);
            match json(&mut command) {
                Ok(done) => {
                    let address = done["light_client"]["address"].as_str().unwrap_or_default();
                    println!("l1: ok light client deployed, {} gas", done["light_client"]["gas"]);
                    return Ok(address.to_owned());
                }
                Err(error) if begin.elapsed() > PATIENCE => return Err(error),
                Err(_) => std::thread::sleep(POLL),
            }
        }
    }

    fn bridge(&self) -> Result<Group> {
        let log = File::options().create(true).append(true).open(self.folder.join("log"))?;
        let mut command = self.command(&["node", "--role", "bridge", "--contract", &self.contract, "--l1", &self.url]);
        command.args(["--l1-chain-id", CHAIN_ID, "--confirmations", "2", "--l1-poll-millis", "200"]);
        command.arg("--key-file").arg(self.folder.join("l1.key")).arg("--state").arg(self.folder.join("bridge"));
        Group::spawn(command.stdin(Stdio::null()).stderr(log.try_clone()?).stdout(log))
    }

    fn status(&self) -> Result<Value> {
        let mut command = self.command(&["bridge", "status", "--output", "json", "--l1", &self.url]);
        json(command.args(["--contract", &self.contract, "--state"]).arg(self.folder.join("bridge")))
    }

    /// Waits until the bridge has posted so often; how often it has.
    fn posted(&self, bridge: &mut Group, posts: u64) -> Result<u64> {
        let begin = Instant::now();
        loop {
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            ensure!(bridge.wait(POLL)?.is_none(), "the bridge ended: {}", log());
            let status = self.status();
            let posted = status.as_ref().ok().and_then(|status| status["bridge"]["posted"].as_u64());
            if let Some(posted) = posted.filter(|posted| *posted >= posts) {
                return Ok(posted);
            }
            if begin.elapsed() > PATIENCE {
                bail!("not {posts} posts within {} s: {status:?}; log: {}", PATIENCE.as_secs(), log());
            }
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.kumo);
        command.args(words).arg("--network").arg(self.folder.join("network/state/network.json"));
        command
    }
}

fn json(command: &mut Command) -> Result<Value> {
    let output = command.output().wrap_err("cannot run kumo")?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}
