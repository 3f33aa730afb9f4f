//! `cargo run --release -p simulation -- --seeds N`: plays N seeds and stops at the first that breaks a promise.

use clap::Parser;
use eyre::{Result, bail};
use simulation::{Invariant, Outcome, Plan, Violation, run};
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
    /// Print every event of every run.
    #[arg(long)]
    events: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_env_filter(filter()).with_writer(std::io::stderr).init();
    // A panic is a violation, which is printed with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    let begin = Instant::now();
    let mut total = Total::default();
    for seed in arguments.start..arguments.start.saturating_add(arguments.seeds) {
        let plan = Plan::draw(seed, arguments.validators.map(usize::from));
        match run(&plan, &mut |part, step, at, event| {
            if arguments.events {
                print(part, step, at, event);
            }
        }) {
            Ok(outcome) => total.add(&outcome),
            Err(violation) => return replay(&plan, &violation),
        }
        if total.seeds.is_multiple_of(50) {
            eprintln!("{} seeds, up to {seed}, {} s", total.seeds, begin.elapsed().as_secs());
        }
    }
    println!("{total}");
    Ok(())
}

fn filter() -> tracing_subscriber::EnvFilter {
    tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "off".into())
}

fn print(part: usize, step: usize, at: Duration, event: &str) {
    println!("  part {part} step {step:>3} {:>6} ms  {event}", at.as_millis());
}

/// Plays a broken run again, with every event.
fn replay(plan: &Plan, violation: &Violation) -> Result<()> {
    let Plan { seed, validators, pace, link, twins, .. } = plan;
    println!("seed {seed}: {violation}");
    println!("again: {validators} validators, pace {pace:?}, links {link:?}, twins {twins:?}");
    let again = run(plan, &mut print);
    match again {
        Err(again) if again == *violation => println!("seed {seed}: the same again"),
        Err(again) => println!("seed {seed}: another one: {again}"),
        Ok(_) => println!("seed {seed}: not again"),
    }
    bail!("{} is broken by seed {seed}: run with --seeds 1 --start {seed} --events", violation.invariant)
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
    }
}

impl std::fmt::Display for Total {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Outcome { blocks, transactions, faults, power_failures, twins, evidence, .. } = &self.sum;
        write!(
            f,
            "{} seeds, {faults} faults, {power_failures} power failures, {twins} twins, {evidence} pieces of evidence, \
             {blocks} blocks, {transactions} transactions: {} invariants held",
            self.seeds,
            Invariant::ALL.len()
        )
    }
}
