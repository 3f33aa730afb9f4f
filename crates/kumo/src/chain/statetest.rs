//! `kumo chain statetest`: Ethereum's state tests, and a report about them.

use super::StatetestArguments;
use ::chain::{StateTestReport, run_state_tests};
use cli::{Exit, Output};
use eyre::Result;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

/// Runs the tests and prints what became of them.
///
/// # Errors
/// When nothing can be printed.
pub fn run(arguments: &StatetestArguments, output: Output) -> Result<ExitCode> {
    let report = run_state_tests(&arguments.paths);
    let text = match output {
        Output::Json => serde_json::to_string(&report)?,
        Output::Text => text(&report),
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { Exit::Failure.into() })
}

fn text(report: &StateTestReport) -> String {
    let mut text = String::new();
    for failure in &report.failures {
        let (file, test, fork, index) = (failure.file.display(), &failure.test, &failure.fork, failure.index);
        // Writing to a string cannot fail.
        let _ = match test.is_empty() {
            true => writeln!(text, "FAILED {file}: {}", failure.reason),
            false => writeln!(text, "FAILED {file} {test} {fork}[{index}]: {}", failure.reason),
        };
    }
    let _ = write!(text, "{} passed, {} failed, {} skipped", report.passed, report.failed, report.skipped);
    text
}
