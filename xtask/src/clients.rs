//! `cargo xtask clients`: what clients of Ethereum and of gRPC do with a development network.
//!
//! Installs the locked packages below the target folder, starts `kumo dev`, and runs each flow of `examples/clients`
//! with an account of its own. A flow prints `ok STEP`, `not ok STEP: reason` or `skip STEP: reason`, one a line.

use crate::network::Network;
use crate::process::{Limited, run, run_limited};
use clap::Args;
use eyre::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Time one flow may take.
const FLOW_TIME: Duration = Duration::from_secs(300);

/// Options of `cargo xtask clients`.
#[derive(Args)]
pub struct Options {
    /// Program to test; without it the release program is built
    #[arg(long, value_name = "PATH")]
    kumo: Option<PathBuf>,
    /// Only this client; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

/// A client: its name, and the program and arguments that run its flow.
type Flow = (&'static str, &'static str, &'static [&'static str]);

/// Each uses the account of its place, counted from 1; account 0 belongs to the network.
const FLOWS: [Flow; 7] = [
    ("cast", "bash", &["cast.sh"]),
    ("forge", "bash", &["forge.sh"]),
    ("ethers", "node", &["ethers.mjs"]),
    ("viem", "node", &["viem.mjs"]),
    ("web3.py", "venv/bin/python", &["web3_flow.py"]),
    ("hardhat", "node_modules/.bin/hardhat", &["run", "hardhat.mjs"]),
    ("grpcio", "venv/bin/python", &["grpc_flow.py"]),
];

/// Steps by outcome.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

/// Installs, starts a network, runs the flows and prints a line per client and step.
///
/// # Errors
/// When something cannot be installed or started, a step failed, or a flow ended without having finished.
pub fn clients(options: &Options) -> Result<()> {
    let unknown = options.only.iter().find(|name| !FLOWS.iter().any(|(flow, ..)| flow == *name));
    ensure!(unknown.is_none(), "there is no client {unknown:?}; there are {:?}", FLOWS.map(|(name, ..)| name));
    let kumo = crate::process::kumo(options.kumo.as_deref())?;
    let folder = install()?;
    run(Command::new("node").arg("compile.mjs").current_dir(&folder))?;
    let network = Network::start(&kumo, &folder.join("network"), &["--epoch-blocks", "4"])?;
    let mut total = Tally::default();
    for (index, flow) in FLOWS.iter().enumerate() {
        if options.only.is_empty() || options.only.iter().any(|name| name == flow.0) {
            let tally = run_flow(flow, &folder, &network, index + 1)?;
            total.passed += tally.passed;
            total.failed += tally.failed;
            total.skipped += tally.skipped;
        }
    }
    println!("clients: {} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    ensure!(total.failed == 0, "{} steps failed", total.failed);
    Ok(())
}

/// The folder with the flows and everything they need: a copy of `examples/clients` with its packages installed.
///
/// # Errors
/// When Node or Python is absent, or a package cannot be installed.
pub fn install() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = crate::process::target_directory()?.join("clients");
    copy(&root.join("examples/clients"), &folder)?;
    // The wrapper that gives forge the compiler package instead of a download.
    copy(&root.join("contracts/tools"), &folder.join("tools"))?;
    installed(&folder, "package-lock.json", || {
        run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder))
    })?;
    installed(&folder, "requirements.txt", || {
        run(Command::new("python3").args(["-m", "venv", "venv"]).current_dir(&folder))?;
        let install = ["install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"];
        run(Command::new(folder.join("venv/bin/pip")).args(install).current_dir(&folder))
    })?;
    Ok(folder)
}

/// Runs `install` unless it ran for this very lock file already.
fn installed(folder: &Path, lock: &str, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let text = fs::read(folder.join(lock)).wrap_err_with(|| format!("cannot read {lock}"))?;
    let (stamp, digest) = (folder.join(format!("{lock}.installed")), hex::encode(Sha256::digest(text)));
    if fs::read_to_string(&stamp).ok().as_ref() != Some(&digest) {
        install()?;
        fs::write(&stamp, digest).wrap_err_with(|| format!("cannot write {}", stamp.display()))?;
    }
    Ok(())
}

/// Copies the files of a folder and of the folders in it; what is in `to` besides stays.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).wrap_err_with(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).wrap_err_with(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).wrap_err_with(|| format!("cannot write {}", target.display()))?;
        }
    }
    Ok(())
}

fn run_flow(flow: &Flow, folder: &Path, network: &Network, account: usize) -> Result<Tally> {
    let (name, program, arguments) = flow;
    let program = if program.contains('/') { folder.join(program) } else { program.into() };
    let mut command = Command::new(program);
    command.args(*arguments).current_dir(folder);
    command
        .env("KUMO_RPC", network.rpc())
        .env("KUMO_VALIDATOR", network.validator())
        .env("KUMO_KEY", network.key(account)?);
    // hardhat asks nothing and tells nobody.
    command.env("HARDHAT_DISABLE_TELEMETRY_PROMPT", "true").env("CI", "true");
    let Limited { output, success } = run_limited(&mut command, FLOW_TIME)?;
    let mut tally = judge(&output);
    for line in output.lines() {
        println!("{name}: {line}");
    }
    if tally.passed == 0 || (tally.failed == 0 && !success) {
        println!("{name}: not ok flow: it did not end well ({})", if success { "no step ran" } else { "see above" });
        tally.failed += 1;
    }
    Ok(tally)
}

/// Counts the lines of a flow; what is no line of a step does not count.
fn judge(output: &str) -> Tally {
    let count = |start: &str| output.lines().filter(|line| line.starts_with(start)).count();
    Tally { passed: count("ok "), failed: count("not ok "), skipped: count("skip ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_by_how_their_lines_begin() {
        let output = "Compiled 3 files\nok call\nnot ok write: got 1\nskip batch: not ok there\nok logs\n";
        assert_eq!(judge(output), Tally { passed: 2, failed: 1, skipped: 1 });
    }

    #[test]
    fn every_flow_is_in_the_examples() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/clients");
        for (name, _, arguments) in FLOWS {
            let file = arguments.last().expect("a flow names its file");
            assert!(folder.join(file).exists(), "{name}: {file} is absent");
        }
    }

    #[test]
    fn an_install_is_repeated_only_for_another_lock_file() {
        let folder = std::env::temp_dir().join(format!("kumo-xtask-clients-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut runs = 0;
        for (lock, expected) in [("a", 1), ("a", 1), ("b", 2)] {
            fs::write(folder.join("lock"), lock).unwrap();
            installed(&folder, "lock", || {
                runs += 1;
                Ok(())
            })
            .unwrap();
            assert_eq!(runs, expected);
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
