//! The tracers of `debug_trace*`: which one a request asks for, and its result.

use super::super::failure::Failure;
use super::budget::{Budget, Keeps, Watched};
use super::simulation::Simulation;
use super::structlog::StructLogger;
use crate::replay::Replay;
use alloy_evm::FromRecoveredTx;
use alloy_primitives::B256;
use alloy_rpc_types_trace::geth::{
    GethDebugBuiltInTracerType as BuiltIn, GethDebugTracerType, GethDebugTracingOptions, GethTrace,
};
use revm::DatabaseRef;
use revm::context::{BlockEnv, TxEnv};
use revm::context_interface::result::ResultAndState;
use revm_inspectors::tracing::{DebugInspector, TransactionContext};
use serde::Serialize;
use serde_json::value::RawValue;
use std::time::Duration;

/// Tracers that are built in, as `tracer` names them. Without a name it is the struct logger.
const TRACERS: &str = "callTracer, prestateTracer, 4byteTracer, flatCallTracer, muxTracer, noopTracer";

/// A tracer with its options, checked.
#[derive(Debug)]
pub(super) struct Tracer {
    options: GethDebugTracingOptions,
    keeps: Keeps,
}

/// The result of one traced transaction.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Traced {
    /// Of the struct logger, written already.
    StructLogs(Box<RawValue>),
    /// Of any other tracer.
    Frame(Box<GethTrace>),
}

/// Which transaction is traced; nothing of it is known for a call.
pub(super) type Place = TransactionContext;

impl Tracer {
    /// The tracer a request asks for, and the time it gives it.
    pub(super) fn new(options: GethDebugTracingOptions) -> Result<(Self, Option<Duration>), Failure> {
        let time = options.timeout.as_deref().map(parse_duration).transpose()?;
        let mut keeps = Keeps { steps: false, data: true };
        match &options.tracer {
            Some(GethDebugTracerType::JsTracer(code)) if !code.is_empty() => {
                let start: String = code.chars().take(40).collect();
                return Err(Failure::Params(format!(
                    "tracer \"{start}\" is not built in, and JavaScript tracers are not supported; use one of {TRACERS}, or none for struct logs"
                )));
            }
            Some(GethDebugTracerType::BuiltInTracer(BuiltIn::Erc7562Tracer)) => keeps.steps = true,
            Some(GethDebugTracerType::BuiltInTracer(
                BuiltIn::CallTracer | BuiltIn::FlatCallTracer | BuiltIn::MuxTracer,
            )) => {}
            _ => keeps.data = false,
        }
        let tracer = Self { options, keeps };
        if !tracer.is_struct_logger() {
            // The options of a tracer are checked before anything runs.
            tracer.inspector()?;
        }
        Ok((tracer, time))
    }

    /// Traces the transaction at `index`, which must be the next one of the block, and keeps its effect.
    pub(super) fn replayed(&self, replay: &mut Replay, index: usize, budget: &mut Budget) -> Result<Traced, Failure> {
        let hash = *replay.transaction(index).ok_or(Failure::TransactionNotFound)?.tx_hash();
        let place = place(replay.block().hash, index, hash);
        let (outcome, traced) = if self.is_struct_logger() {
            let mut logger = StructLogger::new(&self.options.config);
            let outcome = replay.inspect(index, Watched::new(&mut logger, budget, self.keeps));
            budget.check()?;
            let outcome = outcome?;
            let logs = logger.finish(&outcome.result).map_err(|_| Failure::Internal)?;
            (outcome, Traced::StructLogs(logs))
        } else {
            let mut inspector = self.inspector()?;
            let outcome = replay.inspect(index, Watched::new(&mut inspector, budget, self.keeps));
            budget.check()?;
            let outcome = outcome?;
            let transaction = replay.transaction(index).ok_or(Failure::Internal)?;
            let environment = TxEnv::from_recovered_tx(transaction.inner(), transaction.signer());
            let block = replay.environment().block_env;
            let frame = frame(&mut inspector, place, &environment, &block, &outcome, replay.state())?;
            (outcome, frame)
        };
        replay.commit(index, outcome)?;
        Ok(traced)
    }

    /// Traces a call.
    pub(super) fn simulated(
        &self,
        simulation: &mut Simulation<'_>,
        call: TxEnv,
        budget: &mut Budget,
    ) -> Result<Traced, Failure> {
        if self.is_struct_logger() {
            let mut logger = StructLogger::new(&self.options.config);
            let outcome = simulation.inspect(call, Watched::new(&mut logger, budget, self.keeps));
            budget.check()?;
            return Ok(Traced::StructLogs(logger.finish(&outcome?.result).map_err(|_| Failure::Internal)?));
        }
        let mut inspector = self.inspector()?;
        let outcome = simulation.inspect(call.clone(), Watched::new(&mut inspector, budget, self.keeps));
        budget.check()?;
        let (place, block) = (Place::default(), simulation.env.block_env.clone());
        frame(&mut inspector, place, &call, &block, &outcome?, &mut simulation.state)
    }

    fn is_struct_logger(&self) -> bool {
        self.options.tracer.as_ref().is_none_or(|tracer| tracer.as_str().is_empty())
    }

    fn inspector(&self) -> Result<DebugInspector, Failure> {
        DebugInspector::new(self.options.clone()).map_err(|error| Failure::Params(error.to_string()))
    }
}

/// Where a transaction is in a block.
fn place(block: B256, index: usize, hash: B256) -> Place {
    Place::default().with_block_hash(block).with_tx_index(index).with_tx_hash(hash)
}

fn frame<DB: DatabaseRef>(
    inspector: &mut DebugInspector,
    place: Place,
    transaction: &TxEnv,
    block: &BlockEnv,
    outcome: &ResultAndState,
    state: &mut DB,
) -> Result<Traced, Failure>
where
    DB::Error: std::fmt::Display,
{
    let frame = inspector.get_result(Some(place), transaction, block, outcome, state);
    let frame = frame.map_err(|error| {
        tracing::error!(%error, "trace cannot be put together");
        Failure::Internal
    })?;
    Ok(Traced::Frame(Box::new(frame)))
}

/// A duration as Go writes it, with one unit: `500ms`, `5s`, `2m`.
fn parse_duration(text: &str) -> Result<Duration, Failure> {
    let unknown = || Failure::Params(format!("timeout \"{text}\" is no duration; write it like 500ms, 5s or 2m"));
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(unknown)?;
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| unknown())?;
    let seconds = match unit {
        "ns" => number / 1e9,
        "us" | "µs" => number / 1e6,
        "ms" => number / 1e3,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3_600.0,
        _ => return Err(unknown()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| unknown())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        let parsed = |text| parse_duration(text).ok();
        assert_eq!(parsed("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parsed("1.5s"), Some(Duration::from_millis(1_500)));
        assert_eq!(parsed("2m"), Some(Duration::from_secs(120)));
        for wrong in ["", "5", "s", "-1s", "5 s", "1e9999s", "5d"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_script_is_refused_with_the_tracers_there_are() {
        let options = GethDebugTracingOptions::js_tracer("{ data: [], fault: function(log) {} }");
        let error = Tracer::new(options).unwrap_err().to_string();
        assert!(error.contains("JavaScript tracers are not supported") && error.contains("callTracer"), "{error}");
    }
}
