//! The seam between a task and whatever runs it.
//!
//! What a guest does wrong in the same way on every machine (a trap, too much memory, too much output) is an
//! [`Outcome`] with an exit code: it has an output root, a receipt can be signed for it, and an auditor finds the same.
//! What depends on the machine (time on the clock, a full disk, cancellation) is an [`ExecutorError`]: no honest
//! receipt exists, and the attempt is lost.

use async_trait::async_trait;
use bytes::Bytes;
use protocol::output::OutputSummary;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use crate::module::{ModuleError, ModuleFacts};

/// Exit code of a guest that trapped: unreachable code, a bad memory access, division by zero, stack exhaustion.
pub const EXIT_TRAP: i32 = 134;
/// Exit code of a guest that asked for more memory or tables than it may use.
pub const EXIT_MEMORY: i32 = 137;
/// Exit code of a guest that used up its fuel.
pub const EXIT_FUEL: i32 = 152;
/// Exit code of a guest that wrote more bytes or files below `/out` than it may.
pub const EXIT_OUTPUT: i32 = 153;
/// Exit code of a guest that wrote more to stdout and stderr than it may.
pub const EXIT_LOG: i32 = 154;

/// Most files and folders below `/out`.
pub const OUTPUT_FILES_MAX: u32 = 1024;
/// Log chunks that may wait for a slow reader; more stay in the log of the outcome and are sent when there is room.
pub const LOG_CHUNKS_MAX: usize = 64;
/// Largest log chunk, in bytes.
pub const LOG_CHUNK_BYTES_MAX: usize = 16 * 1024;

/// Runs tasks.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Name of the run-time and of its deterministic rules, for example `wasmtime-48/deterministic-v1`. Two executors
    /// with the same profile give the same [`Outcome::summary`] for the same [`Work`].
    fn profile(&self) -> &str;

    /// Whether `module` could run at all; quick, without compiling it.
    fn check(&self, module: &[u8]) -> Result<ModuleFacts, ModuleError>;

    /// Runs one task to its end. Several may run at a time. Dropping the future cancels the task.
    async fn run(&self, work: Work, control: Control) -> Result<Outcome, ExecutorError>;
}

/// One task, ready to run.
#[derive(Clone, Debug)]
pub struct Work {
    /// The WebAssembly module.
    pub module: Bytes,
    /// Arguments, the program's name first.
    pub args: Vec<String>,
    /// The whole environment; nothing is inherited.
    pub env: BTreeMap<String, String>,
    /// Input files: path below `/in`, and where the file is on this machine.
    pub inputs: Vec<(String, PathBuf)>,
    /// Where the output files are put: a folder that does not exist yet or is empty.
    pub out_dir: PathBuf,
    /// What the task may use.
    pub limits: Limits,
    /// What the guest's random numbers are made of, see `Job::seed`.
    pub seed: [u8; 32],
}

/// What a task may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fuel: about one per executed instruction and per byte that a bulk or host operation moves.
    pub fuel: u64,
    /// Linear memory in bytes.
    pub memory_bytes: u64,
    /// Time on the clock of this machine.
    pub wall: Duration,
    /// Bytes of all files below `/out`.
    pub output_bytes: u64,
    /// Bytes of stdout and stderr together.
    pub log_bytes: u64,
    /// Files and folders below `/out`.
    pub files_max: u32,
}

/// How the caller follows and stops a run.
#[derive(Clone, Debug)]
pub struct Control {
    /// Where the log goes while the task runs, in order. A slow reader never slows the guest; a closed one is ignored.
    pub logs: mpsc::Sender<LogChunk>,
    /// Ends the run with [`ExecutorError::Cancelled`].
    pub cancel: CancellationToken,
}

impl Control {
    /// A control and its log reader, with room for [`LOG_CHUNKS_MAX`] chunks.
    pub fn new(cancel: CancellationToken) -> (Self, mpsc::Receiver<LogChunk>) {
        let (logs, reader) = mpsc::channel(LOG_CHUNKS_MAX);
        (Self { logs, cancel }, reader)
    }
}

/// A piece of the log, at most [`LOG_CHUNK_BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    /// Which stream.
    pub stream: Stream,
    /// What was written; need not end at a line or character.
    pub bytes: Bytes,
}

/// Standard stream of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a guest ended; the same on every machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It returned (0) or exited with this code.
    Code(i32),
    /// It trapped, for this reason.
    Trap(String),
    /// It asked for more memory than it may use.
    Memory,
    /// It used up its fuel.
    Fuel,
    /// It wrote too many bytes or files.
    Output,
    /// It logged too much.
    Log,
}

impl Exit {
    /// The exit code that the output root covers.
    pub fn code(&self) -> i32 {
        match self {
            Self::Code(code) => *code,
            Self::Trap(_) => EXIT_TRAP,
            Self::Memory => EXIT_MEMORY,
            Self::Fuel => EXIT_FUEL,
            Self::Output => EXIT_OUTPUT,
            Self::Log => EXIT_LOG,
        }
    }

    /// Whether the guest itself reported success.
    pub fn is_success(&self) -> bool {
        *self == Self::Code(0)
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Trap(reason) => write!(f, "trap: {reason}"),
            Self::Memory => f.write_str("over the memory limit"),
            Self::Fuel => f.write_str("out of fuel"),
            Self::Output => f.write_str("over the output limit"),
            Self::Log => f.write_str("over the log limit"),
        }
    }
}

/// What a run used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Fuel; the same on every machine.
    pub fuel: u64,
    /// Largest linear memory in bytes; the same on every machine.
    pub memory_bytes: u64,
    /// Time on the clock of this machine, compilation included.
    pub wall_millis: u64,
    /// Bytes of the files below `/out` at the end.
    pub output_bytes: u64,
}

/// What came of a task.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How the guest ended.
    pub exit: Exit,
    /// What it used.
    pub usage: Usage,
    /// Everything it wrote to stdout and stderr, in order, within the limit.
    pub log: Vec<u8>,
    /// What the output root is made of.
    pub summary: OutputSummary,
    /// Where each of `summary.files` is on this machine, in the same order.
    pub files: Vec<PathBuf>,
}

/// Why no result can be given; the guest may be innocent.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The module cannot run under these rules.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// The guest ran longer than it may.
    #[error("task ran for more than its {} ms", limit.as_millis())]
    WallTime {
        /// The limit.
        limit: Duration,
    },
    /// The caller stopped it.
    #[error("task was cancelled")]
    Cancelled,
    /// The mounts or limits of the work make no sense.
    #[error("task cannot be set up: {0}")]
    Setup(String),
    /// A file of this machine cannot be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// `read`, `create`, `write`.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// This machine or the run-time failed.
    #[error("run-time failed: {0}")]
    Host(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_own_code() {
        let exits = [Exit::Trap("x".into()), Exit::Memory, Exit::Fuel, Exit::Output, Exit::Log];
        let mut codes: Vec<i32> = exits.iter().map(Exit::code).collect();
        assert!(exits.iter().all(|exit| !exit.is_success()));
        codes.dedup();
        assert_eq!(codes, [EXIT_TRAP, EXIT_MEMORY, EXIT_FUEL, EXIT_OUTPUT, EXIT_LOG]);
    }

    #[test]
    fn success_is_code_zero_only() {
        assert!(Exit::Code(0).is_success());
        assert!(!Exit::Code(1).is_success());
        assert_eq!(Exit::Code(-7).code(), -7);
    }
}
