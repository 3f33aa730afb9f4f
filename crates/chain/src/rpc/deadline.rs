//! Ends an execution when its time is over.
//!
//! Little gas does not run for long, and most calls have little. An execution with more gas, and whatever is traced, is
//! watched: the clock is looked at now and then, and at every call, because a precompile may take long.

use revm::Inspector;
use revm::context_interface::{ContextError, ContextTr};
use revm::interpreter::interpreter_types::LoopControl;
use revm::interpreter::{CallInputs, CallOutcome, CreateInputs, CreateOutcome, Interpreter};
use std::time::Instant;

/// Gas that needs no watching: the default of what a call may use, some tenths of a second.
pub(super) const UNWATCHED_GAS_MAX: u64 = 50_000_000;
/// Opcodes between two looks at the clock: few, because one may hash all the memory there is.
const CLOCK_STEPS: u32 = 256;

/// The end of the time of an execution; as an inspector it stops what runs longer.
#[derive(Debug)]
pub(super) struct Deadline {
    at: Instant,
    steps_to_clock: u32,
    passed: bool,
}

impl Deadline {
    pub(super) fn new(at: Instant) -> Self {
        Self { at, steps_to_clock: CLOCK_STEPS, passed: false }
    }

    /// Whether a look at the clock has found the time over.
    pub(super) fn has_passed(&self) -> bool {
        self.passed
    }

    /// Looks at the clock.
    pub(super) fn look(&mut self) -> bool {
        self.passed |= Instant::now() >= self.at;
        self.passed
    }

    /// Counts an opcode, and looks at the clock if it is time to.
    pub(super) fn step(&mut self) -> bool {
        match self.steps_to_clock.checked_sub(1) {
            Some(left) => self.steps_to_clock = left,
            None => {
                self.steps_to_clock = CLOCK_STEPS;
                self.look();
            }
        }
        self.passed
    }
}

impl<CTX: ContextTr> Inspector<CTX> for Deadline {
    fn step(&mut self, interpreter: &mut Interpreter, context: &mut CTX) {
        if Self::step(self) {
            stop(interpreter, context);
        }
    }

    fn call(&mut self, context: &mut CTX, _: &mut CallInputs) -> Option<CallOutcome> {
        if self.look() {
            flag(context);
        }
        None
    }

    fn create(&mut self, context: &mut CTX, _: &mut CreateInputs) -> Option<CreateOutcome> {
        if self.look() {
            flag(context);
        }
        None
    }
}

/// Ends the whole execution with a fatal error.
pub(super) fn stop<CTX: ContextTr>(interpreter: &mut Interpreter, context: &mut CTX) {
    flag(context);
    // Whatever the opcode wanted to do next, it no longer does.
    interpreter.bytecode.action().take();
    interpreter.bytecode.reset_action();
    interpreter.halt_fatal();
}

/// Makes the execution fail at its next look at the context.
pub(super) fn flag<CTX: ContextTr>(context: &mut CTX) {
    if context.error().is_ok() {
        *context.error() = Err(ContextError::Custom("a limit of the request is passed".into()));
    }
}
