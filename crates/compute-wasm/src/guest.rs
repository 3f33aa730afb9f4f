//! What a running guest has: its arguments, files, log, clock, randomness and limits; and why it stopped.

use crate::limiter::Limiter;
use crate::log::Log;
use crate::wasi::{Clock, Descriptors, Random, Tree};
use compute::executor::{ExecutorError, Work};
use std::collections::BTreeMap;

/// State of one guest.
pub(crate) struct Guest {
    pub(crate) args: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) tree: Tree,
    pub(crate) descriptors: Descriptors,
    pub(crate) log: Log,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) limiter: Limiter,
}

impl Guest {
    /// A guest that has not begun; fails if an input cannot be opened.
    pub(crate) fn new(work: &Work, log: Log) -> Result<Self, ExecutorError> {
        let tree = Tree::new(&work.inputs, work.limits.output_bytes, work.limits.files_max)?;
        Ok(Self {
            args: work.args.clone(),
            env: work.env.clone(),
            tree,
            descriptors: Descriptors::new(),
            log,
            clock: Clock::new(),
            random: Random::new(work.seed),
            limiter: Limiter::new(work.limits.memory_bytes),
        })
    }
}

/// Why the host ended a guest.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error("guest exited with {0}")]
    Exit(i32),
    #[error("guest is over its memory limit")]
    Memory,
    #[error("guest is out of fuel")]
    Fuel,
    #[error("guest is over its output limit")]
    Output,
    #[error("guest is over its log limit")]
    Log,
    #[error("guest trapped: {0}")]
    Trap(&'static str),
    /// Not the guest's doing: no result can be given.
    #[error(transparent)]
    Host(#[from] ExecutorError),
}
