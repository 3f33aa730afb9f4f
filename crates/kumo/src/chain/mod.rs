//! `kumo chain`: work on the chain in a state directory, without a network.

pub mod import;
pub mod statetest;

use clap::{Args, Subcommand};
use cli::Output;
use eyre::Result;
use std::path::PathBuf;
use std::process::ExitCode;

/// What to do with a chain on disk.
#[derive(Debug, Subcommand)]
pub enum ChainCommand {
    /// Execute the blocks of an Ethereum chain from a file and keep them
    ///
    /// Reads blocks one after the other (concatenated RLP, as `geth export` writes it), executes each under the forks of
    /// the genesis, and refuses the first one whose header, receipts or state root does not match, naming block, field,
    /// expected and got. Everything before it is kept; running again goes on after the head. Seals are not checked.
    #[command(
        after_help = "Examples:\n  kumo chain import --genesis genesis.json --blocks chain.rlp --state ./eth\n  kumo node --role rpc --state ./eth --ports auto --config-out eth.json"
    )]
    Import(ImportArguments),
    /// Run Ethereum state tests (GeneralStateTests) through the executor and the state tries
    ///
    /// Takes files and folders; every .json below a folder is a file of tests. Exits with 1 if anything failed.
    #[command(
        after_help = "Examples:\n  kumo chain statetest GeneralStateTests\n  kumo chain statetest GeneralStateTests/stExample/add11.json --output json"
    )]
    Statetest(StatetestArguments),
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
    }
}
