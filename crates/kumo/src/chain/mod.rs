//! `kumo chain`: work on the chain in a state directory, without a network.

pub mod import;
pub mod snapshot;
pub mod statetest;
pub mod verify;

use crate::args::ChainArguments;
use crate::roles::validator::CHAIN_DIR;
use chain::CHAIN_FILE;
use clap::{Args, Subcommand};
use cli::Output;
use eyre::Result;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Memory for the cache of the database, in bytes.
const CACHE_BYTES: usize = 256 << 20;

/// What to do with a chain on disk.
#[derive(Debug, Subcommand)]
pub enum ChainCommand {
    /// Execute the blocks of an Ethereum chain from a file and keep them
    ///
    /// Reads blocks one after the other (concatenated RLP, as `geth export` writes it), executes each under the forks of
    /// the genesis, and refuses the first one whose header, receipts or state root does not match, naming block, field,
    /// expected and got. Everything before it is kept; running again goes on after the head. Seals are not checked.
    #[command(
        after_help = "Examples:\n  kumo chain import --genesis genesis.json --blocks chain.rlp --state ./eth --archive\n  kumo node --role rpc --state ./eth --ports auto --config-out eth.json"
    )]
    Import(ImportArguments),
    /// Run Ethereum state tests (GeneralStateTests) through the executor and the state tries
    ///
    /// Takes files and folders; every .json below a folder is a file of tests. Exits with 1 if anything failed.
    #[command(
        after_help = "Examples:\n  kumo chain statetest GeneralStateTests\n  kumo chain statetest GeneralStateTests/stExample/add11.json --output json"
    )]
    Statetest(StatetestArguments),
    /// Check a chain on disk: all checksums, the state root from scratch, every block
    #[command(after_help = "Example:\n  kumo chain verify --state ./rpc")]
    Verify(verify::Arguments),
    /// Copy a chain to one file, or make one from such a file
    #[command(subcommand)]
    Snapshot(snapshot::SnapshotCommand),
}

/// What a command found, for a person and for a program.
pub struct Done {
    /// One line or more.
    pub text: String,
    /// The same values.
    pub json: serde_json::Value,
}

impl Done {
    /// Prints it; the exit code is 0.
    fn print(self, output: Output) -> Result<ExitCode> {
        let mut out = std::io::stdout().lock();
        match output {
            Output::Json => writeln!(out, "{}", self.json)?,
            Output::Text => writeln!(out, "{}", self.text)?,
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// `kumo chain import`.
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// Genesis of the chain, as geth reads it; not needed to go on with a directory that has one
    #[arg(long, value_name = "FILE")]
    pub genesis: Option<PathBuf>,
    /// File of blocks
    #[arg(long, value_name = "FILE")]
    pub blocks: PathBuf,
    /// Directory for the chain; made if absent
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// History and cache.
    #[command(flatten)]
    pub chain: ChainArguments,
}

/// `kumo chain statetest`.
#[derive(Debug, Args)]
pub struct StatetestArguments {
    /// Files and folders of tests
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// Runs a command. It works on files only, so it has threads of its own and no network.
///
/// # Errors
/// When a file or directory cannot be used, or a block is refused.
pub fn run(command: ChainCommand, output: Output) -> Result<ExitCode> {
    match command {
        ChainCommand::Import(arguments) => import::run(&arguments, output),
        ChainCommand::Statetest(arguments) => statetest::run(&arguments, output),
        ChainCommand::Verify(arguments) => verify::run(&arguments)?.print(output),
        ChainCommand::Snapshot(command) => snapshot::run(command)?.print(output),
    }
}

/// Directory of the chain: that of a node has it below itself, any other is taken as it is.
fn chain_dir(state: &Path) -> PathBuf {
    if state.join(CHAIN_FILE).exists() { state.into() } else { state.join(CHAIN_DIR) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, U256};
    use chain::{Chain, ChainConfig, GenesisSpec};

    #[test]
    fn a_copied_chain_verifies_to_the_same_head() {
        let dir = tempfile::tempdir().unwrap();
        let (node, copy, file) = (dir.path().join("rpc"), dir.path().join("copy"), dir.path().join("file"));
        let alloc = [(Address::repeat_byte(1), U256::from(7))].into();
        let spec = GenesisSpec { chain_id: 1, gas_limit: 1_000_000, alloc, ..Default::default() };
        let head = Chain::open(&node.join(CHAIN_DIR), &spec, ChainConfig::default()).unwrap().head().hash;
        let export = snapshot::Export { state: node.clone(), out: file.clone() };
        let exported = snapshot::run(snapshot::SnapshotCommand::Export(export)).unwrap();
        let import = snapshot::Import { file, state: copy.clone() };
        snapshot::run(snapshot::SnapshotCommand::Import(import)).unwrap();
        for state in [&node, &copy, &copy.join(CHAIN_DIR)] {
            let found = verify::run(&verify::Arguments { state: state.clone() }).unwrap();
            assert_eq!(found.json["hash"], head.to_string());
            assert_eq!(found.json["hash"], exported.json["hash"]);
            assert!(found.text.contains(&head.to_string()), "{}", found.text);
        }
        let nowhere = verify::run(&verify::Arguments { state: dir.path().join("nowhere") }).err().unwrap().to_string();
        assert!(nowhere.contains("nowhere"), "{nowhere}");
    }
}
