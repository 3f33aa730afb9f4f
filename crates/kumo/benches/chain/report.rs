//! Medians over the rounds, as a table for people and JSON for programs.

use crate::measure::{Run, Times};
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything measured on one server in one round.
#[derive(Debug, Default, Serialize)]
pub struct Round {
    /// By kind of load.
    pub loads: BTreeMap<&'static str, Run>,
    /// From sending to the receipt.
    pub receipt: Option<Times>,
    /// By method.
    pub reads: BTreeMap<&'static str, Times>,
    /// `eth_getLogs` over 10,000 sparse blocks.
    pub logs: Option<Times>,
    /// Most memory held, in MiB.
    pub memory_mib: u64,
}

/// The rounds of each server, by its name.
pub type Rounds = BTreeMap<String, Vec<Round>>;

/// Median with smallest and largest.
#[derive(Debug, Serialize)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        Some(Self { median: values[values.len() / 2], min, max })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = if self.median < 10.0 { 2 } else { 0 };
        write!(f, "{:.digits$} ({:.digits$}–{:.digits$})", self.median, self.min, self.max)
    }
}

/// A Markdown table: one line per figure, one column per server.
pub fn table(rounds: &Rounds) -> String {
    let mut lines: Vec<(String, Vec<Option<Spread>>)> = Vec::new();
    let mut line = |what: String, value: &dyn Fn(&Round) -> Option<f64>| {
        lines.push((what, rounds.values().map(|rounds| Spread::of(rounds.iter().filter_map(value))).collect()));
    };
    for load in ["transfers", "erc20", "mixed"] {
        line(format!("{load}: included per second"), &|round| round.loads.get(load).map(|run| run.per_second));
        line(format!("{load}: CPU µs each"), &|round| round.loads.get(load).map(|run| run.cpu_micros));
    }
    line("send to receipt, p50 ms".into(), &|round| round.receipt.as_ref().map(|times| times.p50));
    line("send to receipt, p99 ms".into(), &|round| round.receipt.as_ref().map(|times| times.p99));
    for method in ["eth_call", "eth_getBalance", "eth_blockNumber", "eth_getTransactionCount"] {
        line(format!("{method}, p50 ms"), &|round| round.reads.get(method).map(|times| times.p50));
        line(format!("{method}, p99 ms"), &|round| round.reads.get(method).map(|times| times.p99));
    }
    line("eth_getLogs over 10,000 sparse blocks, p50 ms".into(), &|round| round.logs.as_ref().map(|times| times.p50));
    line("eth_getLogs over 10,000 sparse blocks, p99 ms".into(), &|round| round.logs.as_ref().map(|times| times.p99));
    line("peak memory, MiB".into(), &|round| Some(round.memory_mib as f64));
    let mut table = format!("| median (min–max) | {} |\n", rounds.keys().cloned().collect::<Vec<_>>().join(" | "));
    table.push_str(&format!("|---|{}\n", "---|".repeat(rounds.len())));
    for (what, values) in lines {
        if values.iter().all(Option::is_none) {
            continue;
        }
        let values = values.iter().map(|value| value.as_ref().map_or("–".into(), ToString::to_string));
        table.push_str(&format!("| {what} | {} |\n", values.collect::<Vec<_>>().join(" | ")));
    }
    table
}
