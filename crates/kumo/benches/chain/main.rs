//! Kumo against anvil: the same signed transactions into both, in turns; what was included, at what cost, how fast it
//! answers.
//!
//! `cargo xtask bench chain` installs anvil, builds the program and runs this. Each server is started on an empty state
//! for each round; what is signed is the same for all. CPU time is that of the server's process, all threads.

mod logs;
mod measure;
mod peer;
mod report;
mod wire;
mod work;

use clap::Parser;
use eyre::{Context as _, Result, ensure};
use peer::{Kind, Peer, Programs};
use report::{Round, Rounds};
use std::path::PathBuf;
use work::{LogWork, Work};

/// Blocks a chain makes before it is measured, so that starting is over.
const BLOCKS_BEFORE: u64 = 3;

/// Measure Kumo and anvil with the same load.
#[derive(Debug, Parser)]
struct Arguments {
    /// The anvil program
    #[arg(long)]
    anvil: PathBuf,
    /// The kumo program, built for release
    #[arg(long)]
    kumo: PathBuf,
    /// Servers to measure, in this order in each round: anvil, kumo-1, kumo-4
    #[arg(long, value_delimiter = ',', default_value = "anvil,kumo-1,kumo-4")]
    peers: Vec<String>,
    /// Loads: transfers, erc20, mixed
    #[arg(long, value_delimiter = ',', default_value = "transfers,erc20,mixed")]
    loads: Vec<String>,
    /// Rounds
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Transactions of each load
    #[arg(long, default_value_t = 30_000)]
    transactions: usize,
    /// Accounts that send
    #[arg(long, default_value_t = 1_000)]
    senders: usize,
    /// Accounts that receive; all of them exist before anything is measured
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    accounts: u64,
    /// Transactions sent one at a time
    #[arg(long, default_value_t = 40)]
    singles: usize,
    /// Calls of each read method
    #[arg(long, default_value_t = 500)]
    reads: usize,
    /// Measure `eth_getLogs` over 10,000 blocks, too, in the first round
    #[arg(long)]
    logs: bool,
    /// How anvil makes blocks: words of its command line; `--block-time 0.2` is Kumo's pace
    #[arg(long, default_value = "--block-time 0.2")]
    anvil_mining: String,
    /// Directory for the states, on the disk that is to be measured
    #[arg(long, default_value = "target")]
    directory: PathBuf,
    /// Write all figures here, as JSON
    #[arg(long)]
    out: Option<PathBuf>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let peers = arguments.peers.iter().map(|name| peer_of(name)).collect::<Result<Vec<_>>>()?;
    let loads = arguments.loads.iter().map(|name| load_of(name)).collect::<Result<Vec<_>>>()?;
    let programs = Programs {
        anvil: arguments.anvil.clone(),
        kumo: arguments.kumo.clone(),
        anvil_mining: arguments.anvil_mining.split_whitespace().map(Into::into).collect(),
    };
    let work = Work::sign(arguments.senders, arguments.accounts, arguments.transactions, arguments.singles, &loads);
    let logs = LogWork::sign(logs::TRANSFERS);
    let mut rounds = Rounds::new();
    for round in 1..=arguments.rounds {
        for kind in &peers {
            let mut measured = measure(*kind, &programs, &work, &arguments).wrap_err_with(|| kind.name())?;
            if arguments.logs && round == 1 {
                measured.logs = measure_logs(*kind, &programs, &logs, &arguments)?;
            }
            eprintln!("round {round}, {}: {}", kind.name(), serde_json::to_string(&measured)?);
            rounds.entry(kind.name()).or_default().push(measured);
        }
    }
    println!("{}", report::table(&rounds));
    if let Some(out) = &arguments.out {
        std::fs::write(out, serde_json::to_string_pretty(&rounds)?)?;
    }
    Ok(())
}

fn peer_of(name: &str) -> Result<Kind> {
    let known = [Kind::Anvil, Kind::Kumo(1), Kind::Kumo(4)];
    let found = known.into_iter().find(|kind| kind.name() == name);
    found.ok_or_else(|| eyre::eyre!("--peers {name}: known are anvil, kumo-1, kumo-4"))
}

fn load_of(name: &str) -> Result<work::Kind> {
    let known = [work::Kind::Transfers, work::Kind::Erc20, work::Kind::Mixed];
    let found = known.into_iter().find(|kind| kind.name() == name);
    found.ok_or_else(|| eyre::eyre!("--loads {name}: known are transfers, erc20, mixed"))
}

/// On a server of its own; once for Kumo, where the number of validators makes no difference.
fn measure_logs(
    kind: Kind,
    programs: &Programs,
    work: &LogWork,
    arguments: &Arguments,
) -> Result<Option<measure::Times>> {
    match kind {
        Kind::Anvil => Ok(Some(logs::of_anvil(&Peer::start(kind, programs, &arguments.directory)?, work)?)),
        Kind::Kumo(1) => Ok(Some(logs::of_kumo(&arguments.directory, work)?)),
        Kind::Kumo(_) => Ok(None),
    }
}

fn measure(kind: Kind, programs: &Programs, work: &Work, arguments: &Arguments) -> Result<Round> {
    ensure!(arguments.senders > 1, "--senders {}: at least 2", arguments.senders);
    std::fs::create_dir_all(&arguments.directory)?;
    let peer = Peer::start(kind, programs, &arguments.directory)?;
    if kind != Kind::Anvil {
        measure::wait_height(&peer, BLOCKS_BEFORE)?;
    }
    for load in &work.setup {
        measure::run(&peer, load)?;
    }
    let mut round = Round::default();
    for load in &work.loads {
        round.loads.insert(load.kind.name(), measure::run(&peer, load)?);
    }
    round.receipt = (!work.singles.is_empty()).then(|| measure::receipts(&peer, &work.singles)).transpose()?;
    measure::check(&peer, work)?;
    round.reads = measure::reads(&peer, work, arguments.reads)?.into_iter().collect();
    round.memory_mib = peer.memory_mib()?;
    Ok(round)
}
