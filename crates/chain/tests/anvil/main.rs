//! The same random transactions into Kumo and into anvil must give the same result. Run by `cargo xtask diff-anvil`.
//!
//! - *Blocks.* anvil mines the stream; every block is imported under Ethereum's rules, which compares each field of the
//!   header: state root, receipts root, gas, bloom, fees. Then both are asked for the same blocks, receipts and logs.
//! - *Live.* With `--live URL`, the stream goes to a running development network and to anvil, one transaction after
//!   the other. System contracts and base fees differ there, so receipts and accounts are compared, roots are not.
//!
//! A difference is reported with the seed and the index of the transaction; in blocks it is first narrowed down by
//! mining one transaction a block.

mod anvil;
mod blocks;
mod differ;
mod live;
mod program;
mod rpc;
mod stream;

use clap::Parser;
use eyre::Result;
use std::path::PathBuf;

/// Compare the executions of Kumo and anvil.
#[derive(Parser)]
struct Arguments {
    /// The anvil program
    #[arg(long)]
    anvil: PathBuf,
    /// First seed of the stream
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, one after the other
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Transactions per seed
    #[arg(long, default_value_t = 300)]
    transactions: usize,
    /// Most transactions in a block
    #[arg(long, default_value_t = 16)]
    block: usize,
    /// JSON-RPC of a fresh development network: compare with it instead of importing blocks
    #[arg(long, value_name = "URL")]
    live: Option<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    for seed in arguments.seed..arguments.seed + arguments.seeds {
        let summary = match &arguments.live {
            Some(url) => live::compare(&arguments.anvil, url, seed, arguments.transactions).await?,
            None => blocks::compare(&arguments.anvil, seed, arguments.transactions, arguments.block.max(1)).await?,
        };
        println!("seed {seed}: {summary}");
    }
    Ok(())
}

/// What was compared.
#[derive(Debug, Default)]
struct Summary {
    blocks: usize,
    mined: usize,
    succeeded: usize,
    refused: usize,
    logs: usize,
    accounts: usize,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { blocks, mined, succeeded, refused, logs, accounts } = self;
        write!(
            f,
            "no difference; {mined} transactions ({succeeded} succeeded) in {blocks} blocks, {refused} refused, {logs} logs, \
             {accounts} accounts"
        )
    }
}
