//! What can be wrong with a job specification.

use protocol::job::SPEC_BYTES_MAX;
use protocol::units::UnitError;

/// One problem: the path of the field, the value, the limit, what is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The text is no document at all.
    #[error("{reason}")]
    Document {
        /// What the parser says.
        reason: String,
    },
    /// A field that does not exist.
    #[error("{path}: unknown field, {}", hint(suggestion, accepted))]
    Unknown {
        /// The field.
        path: String,
        /// The field that was probably meant.
        suggestion: Option<String>,
        /// The fields that exist there.
        accepted: String,
    },
    /// A field that must be there.
    #[error("{path}: missing, expected {expected}")]
    Missing {
        /// The field.
        path: String,
        /// What belongs there.
        expected: String,
    },
    /// A list where a string belongs, and the like.
    #[error("{path}: expected {expected}, found {found}")]
    WrongType {
        /// The field.
        path: String,
        /// What belongs there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// Not a number with a known unit.
    #[error("{path}: {source}")]
    Quantity {
        /// The field.
        path: String,
        /// What is wrong.
        source: UnitError,
    },
    /// Too much.
    #[error("{path}: {value:?} is over the limit of {max}")]
    Over {
        /// The field.
        path: String,
        /// The value as written.
        value: String,
        /// The largest accepted value.
        max: String,
    },
    /// Too little.
    #[error("{path}: {value:?} is under the least of {min}")]
    Under {
        /// The field.
        path: String,
        /// The value as written.
        value: String,
        /// The smallest accepted value.
        min: String,
    },
    /// Too many entries or bytes.
    #[error("{path}: {count} {what}, over the limit of {max}")]
    TooMany {
        /// The field.
        path: String,
        /// How many.
        count: usize,
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// A value of the right type that makes no sense there.
    #[error("{path}: {value:?} is not accepted, expected {expected}")]
    NotAccepted {
        /// The field.
        path: String,
        /// The value as written.
        value: String,
        /// What is accepted.
        expected: String,
    },
    /// All tasks at their highest price cost more than the whole may.
    #[error("{path}: {tasks} tasks at {per_task} are {total}, over the limit of {max}")]
    OverBudget {
        /// The field.
        path: String,
        /// Tasks.
        tasks: usize,
        /// Price of one.
        per_task: String,
        /// Price of all.
        total: String,
        /// The limit.
        max: String,
    },
    /// A local file in a job that is about to be sent.
    #[error("{path}: {value:?} is a local file, it must be stored first")]
    Unresolved {
        /// The field.
        path: String,
        /// The local path.
        value: String,
    },
    /// The expanded job is too large for one block.
    #[error("job has {bytes} bytes when expanded, over the limit of {SPEC_BYTES_MAX}")]
    BlockTooLong {
        /// Its size.
        bytes: usize,
    },
}

fn hint(suggestion: &Option<String>, accepted: &str) -> String {
    match suggestion {
        Some(name) => format!("did you mean {name:?}?"),
        None => format!("accepted: {accepted}"),
    }
}

/// Every problem of a specification, in document order; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobErrors(pub Vec<JobError>);

impl JobErrors {
    /// A single problem.
    pub fn one(error: JobError) -> Self {
        Self(vec![error])
    }
}

impl std::fmt::Display for JobErrors {
    /// One line each.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for JobErrors {}
