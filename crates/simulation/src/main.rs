//! `cargo run --release -p simulation -- --seeds N`: plays N seeds and stops at the first that breaks a promise.

use clap::{Parser, Subcommand};
use eyre::{Result, bail, eyre};
use parking_lot::Mutex;
use simulation::{Invariant, Outcome, Plan, Scale, Violation, measure, run};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Play whole networks on simulated machines and check what must hold.
///
/// Every seed is another network: its size, links, twins (malicious validators), crashes, partitions, power failures and
/// users are drawn from it. The run stops at the first broken invariant, prints its seed and step, and plays it again with
/// every event. The same seed is the same run.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// How many seeds to play.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// First seed.
    #[arg(long, default_value_t = 0)]
    start: u64,
    /// Validators in each network; 4 or 7, as drawn, if left out.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    validators: Option<u16>,
    /// Runs at the same time; as many as there are cores if left out.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Print every event of every run; best with `--jobs 1`.
    #[arg(long)]
    events: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// What committees of several sizes cost, without faults: CPU, messages and bytes per block, size of a certificate.
    Scale {
        /// Sizes of the committees.
        #[arg(long, value_delimiter = ',', default_value = "4,16,64,128", value_parser = clap::value_parser!(u16).range(1..=256))]
        validators: Vec<u16>,
        /// Blocks that become final in each.
        #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(2..=10_000))]
        blocks: u64,
    },
}

/// Validators start and end all the time, with large queues each.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_env_filter(filter()).with_writer(std::io::stderr).init();
    // A panic is a violation, which is printed with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(Command::Scale { validators, blocks }) = &arguments.command {
        println!("{}", Scale::HEADER);
        return validators.iter().try_for_each(|count| {
            println!("{}", measure(*count, *blocks).map_err(|reason| eyre!(reason))?);
            Ok(())
        });
    }
    let total = play(&arguments)?;
    println!("{total}");
    Ok(())
}

/// Plays all seeds, on as many threads as asked for; every run has one thread.
fn play(arguments: &Arguments) -> Result<Total> {
    let jobs =
        arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |cores| cores.get() as u16));
    let state = Mutex::new((Total::default(), None::<(Plan, Violation)>));
    let (next, begin) = (AtomicU64::new(arguments.start), Instant::now());
    let end = arguments.start.saturating_add(arguments.seeds);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while state.lock().1.is_none() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let plan = Plan::draw(seed, arguments.validators.map(usize::from));
                    let outcome = run(&plan, &mut |part, step, at, event| {
                        if arguments.events {
                            print(part, step, at, event);
                        }
                    });
                    let (total, first) = &mut *state.lock();
                    match outcome {
                        Ok(outcome) => total.add(&outcome),
                        // Of two that break at once, the lower seed is told.
                        Err(violation) => match first {
                            Some((earlier, _)) if earlier.seed < seed => {}
                            _ => *first = Some((plan, violation)),
                        },
                    }
                    if total.seeds.is_multiple_of(50) {
                        eprintln!("{} seeds, {} s", total.seeds, begin.elapsed().as_secs());
                    }
                }
            });
        }
    });
    match state.into_inner() {
        (total, None) => Ok(total),
        (_, Some((plan, violation))) => replay(&plan, &violation).map(|()| Total::default()),
    }
}

fn filter() -> tracing_subscriber::EnvFilter {
    tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "off".into())
}

fn print(part: usize, step: usize, at: Duration, event: &str) {
    println!("  part {part} step {step:>3} {:>6} ms  {event}", at.as_millis());
}

/// Plays a broken run again, with every event.
fn replay(plan: &Plan, violation: &Violation) -> Result<()> {
    let Plan { seed, validators, pace, link, twins, seats, retention, is_sharded, .. } = plan;
    println!("seed {seed}: {violation}");
    println!("again: {validators} validators, pace {pace:?}, links {link:?}, twins {twins:?}, seats {seats:?}");
    println!("blocks are kept for {retention:?}, in shards: {is_sharded}");
    let again = run(plan, &mut print);
    match again {
        Err(again) if again == *violation => println!("seed {seed}: the same again"),
        Err(again) => println!("seed {seed}: another one: {again}"),
        Ok(_) => println!("seed {seed}: not again"),
    }
    bail!("{} is broken by seed {seed}: run it with --seeds 1 --start {seed} --events", violation.invariant)
}

#[derive(Default)]
struct Total {
    seeds: u64,
    sum: Outcome,
}

impl Total {
    fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.sum.blocks += outcome.blocks;
        self.sum.transactions += outcome.transactions;
        self.sum.faults += outcome.faults;
        self.sum.power_failures += outcome.power_failures;
        self.sum.twins += outcome.twins;
        self.sum.evidence += outcome.evidence;
        self.sum.changes += outcome.changes;
        self.sum.keys += outcome.keys;
        self.sum.links += outcome.links;
        self.sum.proofs += outcome.proofs;
        self.sum.convicted += outcome.convicted;
        self.sum.pruned += outcome.pruned;
        self.sum.sharded += outcome.sharded;
    }
}

impl std::fmt::Display for Total {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Outcome { blocks, transactions, faults, power_failures, twins, evidence, changes, keys, .. } = &self.sum;
        let Outcome { links, proofs, convicted, pruned, sharded, .. } = &self.sum;
        write!(
            f,
            "{} seeds, {faults} faults, {power_failures} power failures, {twins} twins, {evidence} pieces of evidence, \
             {proofs} slash proofs and {links} links taken by the contracts, {convicted} validators slashed, \
             {changes} changes of the committee, {keys} keys of the encrypted lane, {blocks} blocks, {sharded} of them in shards, {transactions} transactions, {pruned} blocks \
             pruned: {} invariants held",
            self.seeds,
            Invariant::ALL.len()
        )
    }
}
