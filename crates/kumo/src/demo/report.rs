//! What the demo tells: one line a step on stderr, one JSON object on stdout at the end.

use serde::Serialize;
use serde_json::{Map, Value};
use std::time::Instant;

/// One step as it went.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// `network`, `wallet`, `store`, `hire`, `run`, `caught`, `paid` or `rollup`.
    pub name: &'static str,
    /// Whether the step's check passed.
    pub ok: bool,
    /// How long it took, milliseconds.
    pub ms: u64,
    /// What was seen, or what went wrong.
    pub detail: String,
}

/// The whole run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Whether every step's check passed.
    pub ok: bool,
    /// The steps that ran, in order.
    pub steps: Vec<Step>,
    /// The job as the gateway shows it at the end.
    pub job: Map<String, Value>,
    /// Balances, stakes and supply before and after, wei as decimal strings.
    pub balances: Map<String, Value>,
}

/// Speaks to the person who watches.
#[derive(Clone, Copy, Debug)]
pub struct Voice {
    /// Says nothing.
    pub quiet: bool,
}

impl Voice {
    /// Says something between two steps.
    #[allow(clippy::print_stderr)]
    pub fn say(&self, text: impl AsRef<str>) {
        if !self.quiet {
            eprintln!("            {}", text.as_ref());
        }
    }
}

/// Runs steps and tells about them.
pub struct Narrator {
    report: Report,
    quiet: bool,
}

impl Narrator {
    /// `quiet`: nothing on stderr (tests).
    pub fn new(quiet: bool) -> Self {
        Self { report: Report { ok: true, ..Report::default() }, quiet }
    }

    /// The voice for what is said within a step.
    pub fn voice(&self) -> Voice {
        Voice { quiet: self.quiet }
    }

    /// Runs one step; its detail is the text it returns, or its error.
    ///
    /// # Errors
    /// The step's own error, after it was told.
    pub async fn step<T>(
        &mut self,
        name: &'static str,
        work: impl Future<Output = eyre::Result<(T, String)>>,
    ) -> eyre::Result<T> {
        let begin = Instant::now();
        let outcome = work.await;
        let ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (result, ok, detail) = match outcome {
            Ok((value, detail)) => (Ok(value), true, detail),
            Err(error) => {
                let detail = format!("{error:#}");
                (Err(error), false, detail)
            }
        };
        self.tell(&Step { name, ok, ms, detail });
        result
    }

    #[allow(clippy::print_stderr)]
    fn tell(&mut self, step: &Step) {
        if !self.quiet {
            let mark = if step.ok { "ok" } else { "FAILED" };
            eprintln!("{:<8} {:>6.1} s  {mark:<6} {}", step.name, step.ms as f64 / 1000.0, step.detail);
        }
        self.report.ok &= step.ok;
        self.report.steps.push(step.clone());
    }

    /// The job, for the report.
    pub fn job(&mut self, job: Map<String, Value>) {
        self.report.job = job;
    }

    /// A named balance, for the report.
    pub fn balance(&mut self, name: &str, value: Value) {
        self.report.balances.insert(name.to_owned(), value);
    }

    /// The report; `ok` only if no step failed.
    pub fn finish(self) -> Report {
        self.report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_step_fails_the_report_and_keeps_its_reason() {
        let mut narrator = Narrator::new(true);
        narrator.step("network", async { Ok(((), "up".to_owned())) }).await.unwrap();
        let failed: eyre::Result<()> = narrator.step("wallet", async { Err(eyre::eyre!("empty")) }).await;
        assert!(failed.is_err());
        let report = narrator.finish();
        assert!(!report.ok);
        assert_eq!(
            report.steps.iter().map(|s| (s.name, s.ok)).collect::<Vec<_>>(),
            [("network", true), ("wallet", false)]
        );
        assert_eq!(report.steps[1].detail, "empty");
    }
}
