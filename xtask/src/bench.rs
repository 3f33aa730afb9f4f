//! `cargo xtask bench chain`: anvil from npm, the release program, and the benchmark that compares them;
//! `cargo xtask bench sequencer`: validators beside the bare consensus engine.

use eyre::{Context, Result, bail, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version that is compared with.
const ANVIL: &str = "@foundry-rs/anvil@1.7.1";
/// Folder below the target directory that anvil is installed in.
const FOLDER: &str = "xtask/anvil";

/// What to measure.
#[derive(clap::Subcommand)]
pub enum Bench {
    /// Kumo and anvil with the same pre-signed load, in turns.
    Chain {
        /// Words for the benchmark, for example `-- --rounds 5 --peers anvil,kumo-1`; `-- --help` lists them.
        #[arg(last = true)]
        words: Vec<String>,
    },
    /// Validators beside the bare consensus engine, in one process and as processes, in turns; then, unless there are words,
    /// submissions to the program by HTTP batch.
    Sequencer {
        /// Words for the benchmark, for example `-- --rounds 5 --loads 0,1M`; `-- --help` lists them.
        #[arg(last = true)]
        words: Vec<String>,
    },
}

/// Installs, builds, runs.
///
/// # Errors
/// When npm, the build or the benchmark fails.
pub fn run(bench: &Bench) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = target_directory(&root)?;
    match bench {
        Bench::Chain { words } => chain(&root, &target, words),
        Bench::Sequencer { words } => sequencer(&root, &target, words),
    }
}

fn sequencer(root: &Path, target: &Path, words: &[String]) -> Result<()> {
    let directory = target.join("bench");
    std::fs::create_dir_all(&directory).wrap_err_with(|| format!("cannot make {}", directory.display()))?;
    let mut command = Command::new(env!("CARGO"));
    command.args(["bench", "--locked", "-p", "sequencer", "--bench", "network", "--", "--directory"]);
    execute(command.arg(&directory).args(words).current_dir(root))?;
    if words.is_empty() {
        submissions(root, target, &directory)?;
    }
    Ok(())
}

/// What the program takes by HTTP.
fn submissions(root: &Path, target: &Path, directory: &Path) -> Result<()> {
    execute(Command::new(env!("CARGO")).args(["build", "--release", "--locked"]).current_dir(root))?;
    let mut command = Command::new(env!("CARGO"));
    command.args(["bench", "--locked", "-p", "kumo", "--bench", "submissions", "--", "--kumo"]);
    execute(command.arg(target.join("release/kumo")).arg("--directory").arg(directory).current_dir(root))
}

fn chain(root: &Path, target: &Path, words: &[String]) -> Result<()> {
    let anvil = install(&target.join(FOLDER))?;
    execute(Command::new(env!("CARGO")).args(["build", "--release", "--locked"]).current_dir(root))?;
    let kumo = target.join("release/kumo");
    let mut command = Command::new(env!("CARGO"));
    command.args(["bench", "--locked", "-p", "kumo", "--bench", "chain", "--", "--anvil"]).arg(anvil);
    command.arg("--kumo").arg(kumo).arg("--directory").arg(target.join("bench")).args(words);
    execute(command.current_dir(root))
}

/// The pinned anvil, installed below the target folder.
///
/// # Errors
/// When npm fails, or there is no anvil for this machine.
pub fn anvil() -> Result<PathBuf> {
    install(&crate::process::target_directory()?.join(FOLDER))
}

/// Installs the pinned anvil, unless it is there; returns the program itself, without npm's launcher around it.
fn install(folder: &Path) -> Result<PathBuf> {
    if program(folder).is_err() {
        std::fs::create_dir_all(folder).wrap_err_with(|| format!("cannot make {}", folder.display()))?;
        let words = ["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"];
        execute(Command::new("npm").args(words).arg(folder).arg(ANVIL))?;
    }
    program(folder)
}

fn program(folder: &Path) -> Result<PathBuf> {
    let packages = folder.join("node_modules/@foundry-rs");
    let listed = packages.read_dir().wrap_err_with(|| format!("cannot read {}", packages.display()))?;
    for package in listed {
        let found = package?.path().join("bin/anvil");
        if found.is_file() {
            return Ok(found);
        }
    }
    bail!("{} holds no anvil for this machine; its packages are for Linux, macOS and Windows", packages.display())
}

fn execute(command: &mut Command) -> Result<()> {
    let status =
        command.status().wrap_err_with(|| format!("cannot run {command:?}; is Node 20 or later installed?"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}

fn target_directory(root: &Path) -> Result<PathBuf> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()?;
    let json: Value = serde_json::from_slice(&output.stdout)?;
    match json["target_directory"].as_str() {
        Some(path) => Ok(path.into()),
        None => bail!("cargo metadata names no target directory"),
    }
}
