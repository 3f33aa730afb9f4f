//! A failure in four lines: what happened, the detail, where the money or the data is, what to do next.
//!
//! The same object is the JSON that `--output json` writes to stderr; its members are those of a problem document
//! (RFC 9457), with `money`, `next` and `exit_code` beside them.

use crate::{Exit, Output, ake};
use sdk::chain::ChainError;
use sdk::files::FilesError;
use sdk::jobs::{JobsError, PrepareError, RunError};
use sdk::{Error, Kind};
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;

/// Said when a command had not paid anything when it failed.
const NOTHING_PAID: &str = "nothing was paid and nothing changed";

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How the process should end.
    pub exit: Exit,
    /// Kind of failure, lower case with hyphens: the last part of the problem's type.
    pub slug: &'static str,
    /// What happened; empty until the command that failed is known.
    pub what: String,
    /// Values and limits.
    pub detail: String,
    /// Where money and data are.
    pub money: String,
    /// What to do next.
    pub next: String,
}

impl Failure {
    /// A failure with a detail; the other lines say what is usual for `exit`.
    pub fn new(exit: Exit, detail: impl Into<String>) -> Self {
        let (slug, next) = usual(exit);
        Self {
            exit,
            slug,
            what: String::new(),
            detail: detail.into(),
            money: NOTHING_PAID.to_owned(),
            next: next.to_owned(),
        }
    }

    /// The same, with what happened.
    pub fn during(mut self, what: impl Into<String>) -> Self {
        if self.what.is_empty() {
            self.what = what.into();
        }
        self
    }

    /// The same, with where money and data are.
    pub fn money(mut self, money: impl Into<String>) -> Self {
        self.money = money.into();
        self
    }

    /// The same, with what to do next.
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }

    /// A failure to write the output. Whoever closed the pipe has seen enough, as `head` does: that is no failure.
    pub(crate) fn output(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::new(Exit::Ok, "the reader closed the pipe"),
            _ => Self::new(Exit::Failure, format!("cannot write the output: {error}")),
        }
    }

    pub(crate) fn timed_out(after: Duration) -> Self {
        Self::new(Exit::TimedOut, format!("not done after {} s", after.as_secs_f64()))
    }

    pub(crate) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "stopped by Ctrl-C")
    }

    /// The failure as JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "type": format!("urn:kumo:{}", self.slug),
            "title": self.what,
            "detail": self.detail,
            "money": self.money,
            "next": self.next,
            "exit_code": self.exit.code(),
        })
    }

    /// Writes the failure to `err`, as text or as JSON.
    pub fn write(&self, output: Output, err: &mut dyn Write) -> std::io::Result<()> {
        match output {
            Output::Json => writeln!(err, "{}", self.to_json()),
            Output::Text => err.write_all(self.to_text().as_bytes()),
        }
    }

    fn to_text(&self) -> String {
        let detail = self.detail.trim_end().replace('\n', "\n  ");
        format!("error[{}] {}\n  {}\n  money: {}\n  next:  {}\n", self.slug, self.what, detail, self.money, self.next)
    }
}

fn usual(exit: Exit) -> (&'static str, &'static str) {
    match exit {
        Exit::Ok => ("ok", "nothing"),
        Exit::Failure => ("failed", "try again with -v, which tells more; report it if it stays"),
        Exit::Usage => ("usage", "see the examples of --help"),
        Exit::Invalid => ("invalid", "correct the file or the value and try again"),
        Exit::NotFound => ("not-found", "check the name; `list` and `ls` show what exists"),
        Exit::Refused => ("refused", "use another account with --account, or ask who may"),
        Exit::Unavailable => ("unavailable", "start a network with `kumo dev`, or check `kumo doctor`; then try again"),
        Exit::TimedOut => ("timed-out", "try again with a longer --timeout"),
        Exit::Reverted => ("reverted", "the contract's reason says which value it refused"),
        Exit::JobFailed => ("job-failed", "read what the tasks printed with `kumo job logs`"),
        Exit::Interrupted => ("interrupted", "run the command again"),
    }
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let mut failure = Self::new(error.kind().into(), detail(&error));
        if error.kind() == Kind::Untrue {
            failure.slug = "untrue";
            failure.next = "do not use this answer; ask another gateway or RPC".to_owned();
        }
        if let Some(next) = error.problem().and_then(|problem| problem.next.clone()) {
            failure.next = next;
        }
        special(&error, failure)
    }
}

/// The error's words; amounts are said in AKE.
fn detail(error: &Error) -> String {
    match poor(error) {
        Some((account, balance, required)) => {
            format!("needs {}, account {account} has {}", ake(required), ake(balance))
        }
        None => error.to_string(),
    }
}

fn poor(error: &Error) -> Option<(sdk::Address, sdk::U256, sdk::U256)> {
    match error {
        Error::Jobs(JobsError::TooPoor { account, balance, required })
        | Error::Chain(ChainError::TooPoor { account, balance, required })
        | Error::Jobs(JobsError::Chain(ChainError::TooPoor { account, balance, required }))
        | Error::Run(RunError::Chain(ChainError::TooPoor { account, balance, required })) => {
            Some((*account, *balance, *required))
        }
        _ => None,
    }
}

/// What can be said better than the usual words.
fn special(error: &Error, failure: Failure) -> Failure {
    if poor(error).is_some() {
        return Failure { slug: "insufficient-funds", ..failure }
            .next("lower spec.budget.perTask or the number of tasks, or use another account with --account");
    }
    match error {
        Error::Prepare(PrepareError::Spec { .. } | PrepareError::Edit(_)) => Failure { slug: "invalid-job", ..failure }
            .next("correct the fields above; `kumo job init` prints a commented example"),
        Error::Prepare(PrepareError::Module { .. }) => Failure { slug: "invalid-module", ..failure }
            .next("build the program for wasm32-wasip1, without network access"),
        Error::Files(FilesError::Crypt { source, .. }) if is_not_a_recipient(source) => {
            Failure { slug: "not-a-reader", ..failure }.next("use the account that stored it, with --account")
        }
        _ => failure,
    }
}

fn is_not_a_recipient(error: &sdk::files::CryptError) -> bool {
    matches!(error, sdk::files::CryptError::NotARecipient { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(failure: &Failure) -> String {
        let mut out = Vec::new();
        failure.write(Output::Text, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn poor() -> JobsError {
        JobsError::TooPoor {
            account: sdk::Address::ZERO,
            balance: sdk::U256::from(5 * 10u64.pow(17)),
            required: sdk::U256::from(10u64.pow(18)),
        }
    }

    #[test]
    fn a_failure_has_four_lines() {
        let failure = Failure::from(poor()).during("cannot run job.yaml");
        let expected = "error[insufficient-funds] cannot run job.yaml\n  \
            needs 1 AKE, account 0x0000000000000000000000000000000000000000 has 0.5 AKE\n  \
            money: nothing was paid and nothing changed\n  \
            next:  lower spec.budget.perTask or the number of tasks, or use another account with --account\n";
        assert_eq!(text(&failure), expected);
        assert_eq!(failure.exit, Exit::Refused);
    }

    #[test]
    fn a_failure_is_one_json_object_too() {
        let mut out = Vec::new();
        Failure::from(poor()).during("cannot run job.yaml").write(Output::Json, &mut out).unwrap();
        let json: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json["type"], "urn:kumo:insufficient-funds");
        assert_eq!(json["title"], "cannot run job.yaml");
        assert_eq!(json["exit_code"], 6);
        for member in ["detail", "money", "next"] {
            assert!(json[member].as_str().is_some_and(|text| !text.is_empty()), "{member}");
        }
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
    }

    #[test]
    fn every_problem_of_a_file_is_shown_below_the_first_line() {
        let failure = Failure::new(Exit::Invalid, "a: missing\nb: unknown").during("cannot read job.yaml");
        assert!(text(&failure).contains("\n  a: missing\n  b: unknown\n  money:"));
    }

    #[test]
    fn a_gateways_advice_is_passed_on() {
        let problem = sdk::protocol::api::Problem {
            kind: "urn:kumo:x".into(),
            title: "no".into(),
            status: 404,
            detail: "no file bafy".into(),
            next: Some("ask the owner".into()),
        };
        let failure = Failure::from(sdk::GatewayError::Problem(Box::new(problem)));
        assert_eq!((failure.exit, failure.next.as_str()), (Exit::NotFound, "ask the owner"));
        assert!(failure.detail.contains("no file bafy"));
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        assert_eq!(Failure::output(std::io::ErrorKind::BrokenPipe.into()).exit, Exit::Ok);
        assert_eq!(Failure::output(std::io::ErrorKind::StorageFull.into()).exit, Exit::Failure);
    }
}
