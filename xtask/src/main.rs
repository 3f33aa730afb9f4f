//! All automation of the repository, in Rust.

mod abi;
mod bench;
mod clients;
mod demo;
mod differ;
mod fuzz;
mod guests;
mod l1;
mod layers;
mod net;
mod network;
mod process;

use clap::{Parser, Subcommand};

/// All automation of the repository.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the contracts and write contracts/artifacts.
    Abi {
        /// Compare with the committed artifacts instead of writing them.
        #[arg(long)]
        check: bool,
    },
    /// Measure the chain against a peer in the same run.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Run cast, forge, ethers, viem, web3.py and hardhat against a development network.
    Clients(clients::Options),
    /// Run the contract tests and check the size of the contracts.
    Contracts,
    /// Compare what Kumo and anvil make of the same random transactions.
    DiffAnvil(differ::Options),
    /// Run the fuzz targets, ten minutes each.
    Fuzz(fuzz::Options),
    /// Build the release program, run the whole demo and check its report.
    Demo,
    /// Rebuild the example guests and write them with their digests.
    Guests {
        /// Compare instead of writing; without a WebAssembly standard library only the digests are checked.
        #[arg(long)]
        check: bool,
    },
    /// Test the bridge and the contracts of an L1 against anvil.
    L1(l1::Options),
    /// Check which crate depends on which.
    Layers,
    /// Run validators on hosts of their own, and let everything happen to them that can.
    Net(net::Options),
}

fn main() -> eyre::Result<()> {
    match Arguments::parse().command {
        Task::Abi { check } => abi::run(check),
        Task::Bench(bench) => bench::run(&bench),
        Task::Clients(options) => clients::clients(&options),
        Task::Contracts => abi::test(),
        Task::Demo => demo::run(),
        Task::DiffAnvil(options) => differ::differ(&options),
        Task::Fuzz(options) => fuzz::fuzz(&options),
        Task::Guests { check } => guests::run(check),
        Task::L1(options) => l1::run_l1(&options),
        Task::Layers => layers::run(),
        Task::Net(options) => net::run(&options),
    }
}
