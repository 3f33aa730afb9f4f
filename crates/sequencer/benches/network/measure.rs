//! Loads and figures.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Before anything counts: validators find each other, and caches fill.
pub const WARM_UP: Duration = Duration::from_secs(1);
/// Longest wait for the first blocks.
const PATIENCE: Duration = Duration::from_secs(30);
/// Blocks after which the warm-up begins.
const FIRST_BLOCKS: usize = 3;

/// What every block carries, and how often one comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    pub bytes: usize,
    pub pace_millis: u64,
}

impl FromStr for Load {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "paced" {
            return Ok(Self { bytes: 0, pace_millis: 200 });
        }
        let (digits, unit) = match text.strip_suffix('M') {
            Some(digits) => (digits, 1_000_000),
            None => text.strip_suffix('K').map_or((text, 1), |digits| (digits, 1_000)),
        };
        let count: usize = digits.parse().map_err(|_| format!("{text}: a load is like 0, 500K, 4M or paced"))?;
        Ok(Self { bytes: count * unit, pace_millis: 0 })
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pace_millis, self.bytes) {
            (0, bytes) if bytes > 0 && bytes.is_multiple_of(1_000_000) => write!(f, "{}M", bytes / 1_000_000),
            (0, bytes) => write!(f, "{bytes}"),
            _ => write!(f, "paced"),
        }
    }
}

/// Final blocks of one validator.
#[derive(Default)]
pub struct Taken(Mutex<Vec<(u64, usize)>>);

impl Taken {
    /// Notes a final block that was made at a Unix time in microseconds.
    pub fn note(&self, made_micros: u64, bytes: usize) {
        self.0.lock().unwrap().push((now_micros().saturating_sub(made_micros), bytes));
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// What was measured in one process, or in several.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    pub blocks_per_second: f64,
    pub megabytes_per_second: f64,
    pub p50_millis: f64,
    pub p95_millis: f64,
    pub cpu_millis_per_block: f64,
    pub peak_mebibytes: f64,
    /// Most epochs from a checkpoint to its finality by stake; 0 where nobody votes, or too few epochs were seen.
    pub finality_epochs: u64,
}

/// Waits for the first blocks and the warm-up, then measures. Blocks the thread.
pub fn observe(validators: &[&Taken], seconds: u64) -> Result<Figures, String> {
    let first = validators[0];
    let begin = Instant::now();
    while first.count() < FIRST_BLOCKS {
        if begin.elapsed() > PATIENCE {
            return Err(format!("only {} blocks in {PATIENCE:?}", first.count()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(WARM_UP);
    validators.iter().for_each(|taken| taken.0.lock().unwrap().clear());
    let (cpu, begin) = (cpu_seconds(), Instant::now());
    std::thread::sleep(Duration::from_secs(seconds));
    let (cpu, elapsed) = (cpu_seconds() - cpu, begin.elapsed().as_secs_f64());
    let blocks: Vec<_> = first.0.lock().unwrap().clone();
    let mut micros: Vec<u64> =
        validators.iter().flat_map(|taken| taken.0.lock().unwrap().clone()).map(|(micros, _)| micros).collect();
    if blocks.is_empty() {
        return Err(format!("no block in {seconds} s"));
    }
    micros.sort_unstable();
    let bytes: usize = blocks.iter().map(|(_, bytes)| bytes).sum();
    Ok(Figures {
        blocks_per_second: blocks.len() as f64 / elapsed,
        megabytes_per_second: bytes as f64 / 1e6 / elapsed,
        p50_millis: micros[micros.len() / 2] as f64 / 1e3,
        p95_millis: micros[micros.len() * 95 / 100] as f64 / 1e3,
        cpu_millis_per_block: cpu * 1e3 / blocks.len() as f64,
        peak_mebibytes: peak_mebibytes(),
        finality_epochs: 0,
    })
}

impl Figures {
    /// Those of several processes: means of rates and times, sums of CPU and memory.
    pub fn together(parts: Vec<Self>) -> Self {
        let mean = |get: fn(&Self) -> f64| parts.iter().map(get).sum::<f64>() / parts.len() as f64;
        Self {
            blocks_per_second: mean(|it| it.blocks_per_second),
            megabytes_per_second: mean(|it| it.megabytes_per_second),
            p50_millis: mean(|it| it.p50_millis),
            p95_millis: mean(|it| it.p95_millis),
            cpu_millis_per_block: parts.iter().map(|it| it.cpu_millis_per_block).sum(),
            peak_mebibytes: parts.iter().map(|it| it.peak_mebibytes).sum(),
            finality_epochs: parts.iter().map(|it| it.finality_epochs).max().unwrap_or(0),
        }
    }

    /// Each figure's own median over rounds.
    pub fn median(rounds: &[Self]) -> Self {
        let median = |get: fn(&Self) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(get).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Self {
            blocks_per_second: median(|it| it.blocks_per_second),
            megabytes_per_second: median(|it| it.megabytes_per_second),
            p50_millis: median(|it| it.p50_millis),
            p95_millis: median(|it| it.p95_millis),
            cpu_millis_per_block: median(|it| it.cpu_millis_per_block),
            peak_mebibytes: median(|it| it.peak_mebibytes),
            finality_epochs: rounds.iter().map(|it| it.finality_epochs).max().unwrap_or(0),
        }
    }

    /// Cells of a table.
    pub fn row(&self) -> String {
        let Self { blocks_per_second, megabytes_per_second, p50_millis, p95_millis, .. } = self;
        let (cpu, peak, epochs) = (self.cpu_millis_per_block, self.peak_mebibytes, self.finality_epochs);
        format!(
            "{blocks_per_second:.1} | {megabytes_per_second:.1} | {p50_millis:.1} / {p95_millis:.1} | {cpu:.1} | {peak:.0} | {epochs}"
        )
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.row())
    }
}

pub fn now_micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// User and system time of this process. `/proc/self/stat` counts in hundredths of a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / 100.0
}

fn peak_mebibytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}
