//! What a trace may use, and the inspector that stops an execution that uses more.
//!
//! Gas bounds how long a transaction runs, not how much a tracer writes down about it: a megabyte of call data costs
//! nothing to pass on a second time. So what tracers keep is counted while they keep it, over all transactions of one
//! request, and the clock is looked at now and then.

use super::super::deadline::{self, Deadline};
use super::super::failure::Failure;
use super::super::limits::RpcLimits;
use alloy_primitives::{Address, Log, U256};
use revm::Inspector;
use revm::context_interface::ContextTr;
use revm::inspector::NoOpInspector;
use revm::interpreter::{CallInputs, CallOutcome, CreateInputs, CreateOutcome, Interpreter};
use revm_inspectors::otterscan::InternalOperationsInspector;
use revm_inspectors::tracing::{DebugInspector, TracingInspector};
use std::time::{Duration, Instant};

/// Memory of one call in a tracer and in its answer, besides data, in bytes.
const CALL_BYTES: usize = 1_024;
/// Memory of one recorded opcode, in bytes.
const STEP_BYTES: usize = 384;
/// Memory of one recorded log besides its data, in bytes.
const LOG_BYTES: usize = 512;

/// What is left to one request.
#[derive(Debug)]
pub(super) struct Budget {
    deadline: Deadline,
    time: Duration,
    bytes_max: usize,
    bytes_left: usize,
    exceeded: Option<Exceeded>,
}

/// Which limit ended an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exceeded {
    Time,
    Bytes,
}

/// An inspector whose records are counted against a budget.
#[derive(Debug)]
pub(super) struct Watched<'a, I> {
    inner: I,
    budget: &'a mut Budget,
    keeps: Keeps,
    kept_bytes: usize,
}

/// What an inspector keeps, besides that there was a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Keeps {
    /// Something of every opcode.
    pub(super) steps: bool,
    /// Input and output of every call, and logs.
    pub(super) data: bool,
}

/// What can say how much it keeps, beyond what [`Keeps`] tells.
pub(super) trait Kept {
    /// Bytes kept so far.
    fn kept_bytes(&self) -> usize {
        0
    }
}

impl Kept for DebugInspector {}
impl Kept for TracingInspector {}
impl Kept for InternalOperationsInspector {}
impl Kept for NoOpInspector {}

impl<K: Kept> Kept for &mut K {
    fn kept_bytes(&self) -> usize {
        K::kept_bytes(self)
    }
}

impl Budget {
    /// The budget of a request that must end by `deadline`, or sooner if the caller gives it less time.
    pub(super) fn new(limits: &RpcLimits, deadline: Instant, asked: Option<Duration>) -> Self {
        let time = asked.unwrap_or(limits.call_time).min(limits.call_time);
        let deadline = Deadline::new(deadline.min(Instant::now() + time));
        let (bytes_max, bytes_left) = (limits.trace_bytes, limits.trace_bytes);
        Self { deadline, time, bytes_max, bytes_left, exceeded: None }
    }

    /// An error once a limit is passed: to be asked between transactions, and before any error of an execution.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        if self.exceeded.is_none() && self.deadline.look() {
            self.exceeded = Some(Exceeded::Time);
        }
        match self.exceeded {
            None => Ok(()),
            Some(Exceeded::Time) => {
                let message = format!("execution timeout: the trace took longer than {:?}, the limit", self.time);
                Err(Failure::Execution(message))
            }
            Some(Exceeded::Bytes) => Err(Failure::Limit(format!(
                "trace needs more than {} bytes, the limit; trace fewer transactions or record less of each",
                self.bytes_max
            ))),
        }
    }

    /// Counts bytes that are about to be kept.
    pub(super) fn spend(&mut self, bytes: usize) {
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => self.bytes_left = left,
            None => self.exceeded = self.exceeded.or(Some(Exceeded::Bytes)),
        }
    }

    /// Looks at the clock if it is time to.
    fn step(&mut self) {
        if self.deadline.step() {
            self.exceeded = self.exceeded.or(Some(Exceeded::Time));
        }
    }
}

impl<'a, I: Kept> Watched<'a, I> {
    /// `inner` within `budget`.
    pub(super) fn new(inner: I, budget: &'a mut Budget, keeps: Keeps) -> Self {
        Self { inner, budget, keeps, kept_bytes: 0 }
    }

    /// Counts data of a call or log: it is kept once in bytes, and once in hexadecimal in the answer.
    fn spend_data(&mut self, overhead: usize, bytes: usize) {
        self.budget.spend(if self.keeps.data { overhead + 3 * bytes } else { overhead });
    }

    /// Ends the whole execution with a fatal error when a limit is passed.
    fn stop<CTX: ContextTr>(&self, interpreter: &mut Interpreter, context: &mut CTX) {
        if self.budget.exceeded.is_some() {
            deadline::stop(interpreter, context);
        }
    }

    fn flag<CTX: ContextTr>(&self, context: &mut CTX) {
        if self.budget.exceeded.is_some() {
            deadline::flag(context);
        }
    }
}

impl<CTX: ContextTr, I: Inspector<CTX> + Kept> Inspector<CTX> for Watched<'_, I> {
    fn initialize_interp(&mut self, interpreter: &mut Interpreter, context: &mut CTX) {
        self.inner.initialize_interp(interpreter, context);
        self.stop(interpreter, context);
    }

    fn step(&mut self, interpreter: &mut Interpreter, context: &mut CTX) {
        self.budget.step();
        if self.keeps.steps {
            self.budget.spend(STEP_BYTES);
        }
        self.stop(interpreter, context);
        if self.budget.exceeded.is_none() {
            self.inner.step(interpreter, context);
        }
    }

    fn step_end(&mut self, interpreter: &mut Interpreter, context: &mut CTX) {
        self.inner.step_end(interpreter, context);
        let kept_bytes = self.inner.kept_bytes();
        self.budget.spend(kept_bytes.saturating_sub(self.kept_bytes));
        self.kept_bytes = kept_bytes;
        self.stop(interpreter, context);
    }

    fn log(&mut self, context: &mut CTX, log: Log) {
        self.spend_data(LOG_BYTES, log.data.data.len());
        self.inner.log(context, log);
    }

    fn log_full(&mut self, interpreter: &mut Interpreter, context: &mut CTX, log: Log) {
        self.spend_data(LOG_BYTES, log.data.data.len());
        self.inner.log_full(interpreter, context, log);
    }

    fn call(&mut self, context: &mut CTX, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.spend_data(CALL_BYTES, inputs.input.len());
        self.flag(context);
        self.inner.call(context, inputs)
    }

    fn call_end(&mut self, context: &mut CTX, inputs: &CallInputs, outcome: &mut CallOutcome) {
        self.spend_data(0, outcome.result.output.len());
        self.inner.call_end(context, inputs, outcome);
    }

    fn create(&mut self, context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.spend_data(CALL_BYTES, inputs.init_code().len());
        self.flag(context);
        self.inner.create(context, inputs)
    }

    fn create_end(&mut self, context: &mut CTX, inputs: &CreateInputs, outcome: &mut CreateOutcome) {
        self.spend_data(0, outcome.result.output.len());
        self.inner.create_end(context, inputs, outcome);
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        self.inner.selfdestruct(contract, target, value);
    }
}
