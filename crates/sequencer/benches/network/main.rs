//! Four validators beside the bare consensus engine: finality, blocks and bytes per second, CPU.
//!
//! Every measurement is a process of its own (or one for each validator), so that CPU and memory are told apart; peers
//! and loads come in turns, round by round. `cargo xtask bench sequencer` runs it.
//!
//! What a proposal carries is made by the application in both, so that the pipeline from proposal to final block is
//! compared and nothing else: encoding, hashing, roots, dissemination, consensus, disk, delivery.

mod bare;
mod measure;
mod ours;

use clap::{Parser, ValueEnum};
use measure::{Figures, Load};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Peer {
    /// commonware's simplex and marshal with an application that does nothing, all validators in one process.
    Bare,
    /// Kumo's validators in one process.
    Kumo,
    /// Kumo's validators, each in a process.
    Processes,
}

/// Measure validators beside the bare engine.
#[derive(Parser)]
struct Arguments {
    /// Peers, in turns.
    #[arg(long, value_delimiter = ',', default_value = "bare,kumo,processes")]
    peers: Vec<Peer>,
    /// Bytes of the payload of every block; `K` and `M` are 1,000 and 1,000,000. `paced` is an empty block each 200 ms.
    #[arg(long, value_delimiter = ',', default_value = "0,1M,4M,paced")]
    loads: Vec<Load>,
    /// Rounds; the table has the median.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement, after a second to warm up.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Validators.
    #[arg(long, default_value_t = 4)]
    validators: usize,
    /// Folder for the state, on the disk that is to be measured.
    #[arg(long, default_value = "target")]
    directory: PathBuf,
    /// Be one measured process: peer and load, then its seats and the ports of all.
    #[arg(long, hide = true)]
    child: bool,
    #[arg(long, hide = true, value_delimiter = ',')]
    seats: Vec<usize>,
    #[arg(long, hide = true, value_delimiter = ',')]
    ports: Vec<u16>,
    /// Cargo adds it.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.child {
        return child(&arguments);
    }
    let mut found: BTreeMap<(String, Peer), Vec<Figures>> = BTreeMap::new();
    for round in 1..=arguments.rounds {
        for load in &arguments.loads {
            for peer in &arguments.peers {
                let figures = measure(&arguments, *peer, *load)?;
                eprintln!("round {round}, {load}, {peer:?}: {figures}");
                found.entry((load.to_string(), *peer)).or_default().push(figures);
            }
        }
    }
    println!(
        "| payload | peer | blocks/s | MB/s | finality p50 / p95 ms | CPU ms per block, all | peak MiB, all | epochs to finality by stake |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for ((load, peer), rounds) in &mut found {
        println!("| {load} | {peer:?} | {} |", Figures::median(rounds).row());
    }
    Ok(())
}

/// Measures one peer under one load, in new processes.
fn measure(arguments: &Arguments, peer: Peer, load: Load) -> Result<Figures> {
    let all: Vec<usize> = (0..arguments.validators).collect();
    let groups: Vec<Vec<usize>> = match peer {
        Peer::Bare | Peer::Kumo => vec![all],
        Peer::Processes => all.into_iter().map(|seat| vec![seat]).collect(),
    };
    let ports = free_ports(arguments.validators)?;
    let directory = tempfile::tempdir_in(&arguments.directory)?;
    let children: Vec<Child> = groups
        .iter()
        .map(|seats| {
            let mut command = Command::new(std::env::current_exe()?);
            let name = peer.to_possible_value().expect("no peer is skipped");
            command.args(["--child", "--peers", name.get_name(), "--loads", &load.to_string()]);
            command.args(["--seconds", &arguments.seconds.to_string(), "--seats", &join(seats)]);
            command.args(["--ports", &join(&ports), "--directory"]).arg(directory.path());
            Ok(command.stdout(Stdio::piped()).spawn()?)
        })
        .collect::<Result<_>>()?;
    let mut parts = Vec::new();
    for child in children {
        let output = child.wait_with_output()?;
        if !output.status.success() {
            return Err(format!("{peer:?} failed: {}", output.status).into());
        }
        parts.push(serde_json::from_slice(&output.stdout)?);
    }
    Ok(Figures::together(parts))
}

fn join<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

/// Ports that nobody listens on now.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners = (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<std::io::Result<Vec<_>>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

fn child(arguments: &Arguments) -> Result<()> {
    let (peer, load) = (arguments.peers[0], arguments.loads[0]);
    let figures = match peer {
        Peer::Bare => bare::run(load, arguments.seconds, &arguments.ports, &arguments.directory)?,
        Peer::Kumo | Peer::Processes => {
            ours::run(load, arguments.seconds, &arguments.seats, &arguments.ports, &arguments.directory)?
        }
    };
    let json = serde_json::to_vec(&figures)?;
    std::io::stdout().write_all(&json)?;
    Ok(())
}
