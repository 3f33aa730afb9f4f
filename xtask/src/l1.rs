//! `cargo xtask l1`: the bridge and the contracts of an L1 against anvil.
//!
//! The test itself is the program `anvil` of the crate `bridge-ethereum`; this installs anvil and builds the token of the tests.

use crate::process::{root, run};
use eyre::Result;
use std::process::Command;

/// Installs, builds, runs.
///
/// # Errors
/// When npm, a build or the test fails.
pub fn run_l1() -> Result<()> {
    let anvil = crate::bench::anvil()?;
    let contracts = root().join("contracts");
    crate::abi::build_tests(&contracts)?;
    let mut command = Command::new(env!("CARGO"));
    command.args(["test", "--quiet", "--locked", "-p", "bridge-ethereum", "--test", "anvil", "--", "--anvil"]);
    command.arg(anvil).arg("--artifacts").arg(contracts.join("artifacts").canonicalize()?);
    command.arg("--token").arg(contracts.join("out/StakeVault.t.sol/Token.json").canonicalize()?);
    run(command.current_dir(root()))
}
