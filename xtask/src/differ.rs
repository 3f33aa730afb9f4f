//! `cargo xtask diff-anvil`: the same random transactions into Kumo and into anvil must give the same result.
//!
//! The comparison itself is the test program `anvil` of the crate `chain`; this installs anvil and starts networks.

use crate::clients::install;
use crate::network::Network;
use crate::process::{kumo, root, run};
use clap::Args;
use eyre::{Result, eyre};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Options of `cargo xtask diff-anvil`.
#[derive(Args)]
pub struct Options {
    /// First seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, one after the other
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Transactions per seed: anvil mines them, and every block must import with each field of its header
    #[arg(long, default_value_t = 300)]
    transactions: usize,
    /// Transactions of the first seed that go to a running development network and to anvil, too; 0: none
    #[arg(long, default_value_t = 150, value_name = "N")]
    live: usize,
    /// Program for the development network; without it the release program is built
    #[arg(long, value_name = "PATH")]
    kumo: Option<PathBuf>,
}

/// Runs both comparisons.
///
/// # Errors
/// On the first difference, which is printed with its seed and transaction.
pub fn differ(options: &Options) -> Result<()> {
    let folder = install()?;
    let anvil = program(&folder.join("node_modules/@foundry-rs"))?;
    let (seed, transactions) = (options.seed.to_string(), options.transactions.to_string());
    compare(&anvil, &["--seed", &seed, "--seeds", &options.seeds.to_string(), "--transactions", &transactions])?;
    if options.live > 0 {
        let kumo = kumo(options.kumo.as_deref())?;
        let pace = ["--validators", "1", "--block-millis", "10"];
        let network = Network::start(&kumo, &folder.join("network"), &pace)?;
        compare(&anvil, &["--seed", &seed, "--transactions", &options.live.to_string(), "--live", network.rpc()])?;
    }
    Ok(())
}

fn compare(anvil: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["test", "--quiet", "--locked", "-p", "chain", "--test", "anvil", "--", "--anvil"]).arg(anvil);
    run(command.args(arguments).current_dir(root()))
}

/// The program of the package that npm chose for this platform.
fn program(packages: &Path) -> Result<PathBuf> {
    let folders = std::fs::read_dir(packages)?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut programs = folders.map(|folder| folder.join("bin/anvil")).filter(|path| path.is_file());
    programs.next().ok_or_else(|| eyre!("no package below {} has the program anvil", packages.display()))
}
