//! The `trace_*` methods.

use super::super::execute::Overrides;
use super::super::failure::Failure;
use super::super::node::Node;
use super::api::{RangeFilter, TraceServer};
use super::budget::{Budget, Keeps, Watched};
use super::rewards;
use super::search::find_traces;
use super::simulation::Simulation;
use crate::BlockRecord;
use crate::replay::Replay;
use alloy_eips::BlockId;
use alloy_primitives::{B256, Bytes, map::HashSet};
use alloy_rpc_types_eth::state::StateOverride;
use alloy_rpc_types_eth::{BlockOverrides, Index, TransactionInfo, TransactionRequest};
use alloy_rpc_types_trace::parity::{
    LocalizedTransactionTrace, TraceResults, TraceResultsWithTransactionHash, TraceType,
};
use jsonrpsee::core::{RpcResult, async_trait};
use revm::context::TxEnv;
use revm_inspectors::tracing::{TracingInspector, TracingInspectorConfig};
use std::sync::Arc;
use std::time::Instant;

/// The methods over one node.
pub(in crate::rpc) struct Parity(pub(in crate::rpc) Arc<Node>);

/// Types of traces wanted of a transaction.
type Types = HashSet<TraceType>;

#[async_trait]
impl TraceServer for Parity {
    async fn block(&self, block: BlockId) -> RpcResult<Option<Vec<LocalizedTransactionTrace>>> {
        let work = move |node: &Node, deadline| {
            let Some(block) = node.find_block(block)? else { return Ok(None) };
            let mut budget = Budget::new(&node.limits, deadline, None);
            block_traces(node, &block, &mut budget).map(Some)
        };
        Ok(self.0.heavy(work).await?)
    }

    async fn transaction(&self, hash: B256) -> RpcResult<Option<Vec<LocalizedTransactionTrace>>> {
        Ok(self.0.heavy(move |node, deadline| transaction_traces(node, hash, deadline)).await?)
    }

    async fn get(&self, hash: B256, address: Vec<Index>) -> RpcResult<Option<LocalizedTransactionTrace>> {
        let work = move |node: &Node, deadline| {
            let address: Vec<usize> = address.into_iter().map(usize::from).collect();
            let traces = transaction_traces(node, hash, deadline)?.unwrap_or_default();
            Ok(traces.into_iter().find(|localized| localized.trace.trace_address == address))
        };
        Ok(self.0.heavy(work).await?)
    }

    async fn filter(&self, filter: RangeFilter) -> RpcResult<Vec<LocalizedTransactionTrace>> {
        Ok(self.0.heavy(move |node, deadline| find_traces(node, filter, deadline)).await?)
    }

    async fn replay_block(
        &self,
        block: BlockId,
        types: Types,
    ) -> RpcResult<Option<Vec<TraceResultsWithTransactionHash>>> {
        let work = move |node: &Node, deadline| {
            let Some(block) = node.find_block(block)? else { return Ok(None) };
            replay_block(node, block, &types, deadline).map(Some)
        };
        Ok(self.0.heavy(work).await?)
    }

    async fn replay_transaction(&self, hash: B256, types: Types) -> RpcResult<TraceResults> {
        let work = move |node: &Node, deadline| {
            let (block, index) = node.mined(hash)?.ok_or(Failure::TransactionNotFound)?;
            let mut budget = Budget::new(&node.limits, deadline, None);
            let mut replay = replay_until(node, block, index, &mut budget)?;
            replayed(&mut replay, index, &types, &mut budget)
        };
        Ok(self.0.heavy(work).await?)
    }

    async fn call(
        &self,
        request: TransactionRequest,
        types: Types,
        block: Option<BlockId>,
        state_overrides: Option<StateOverride>,
        block_overrides: Option<Box<BlockOverrides>>,
    ) -> RpcResult<TraceResults> {
        let overrides = Overrides { state: state_overrides, block: block_overrides.map(|block| *block) };
        let work = move |node: &Node, deadline| {
            let mut simulation = Simulation::after(node, &*node.block(block)?)?;
            simulation.apply(overrides)?;
            let call = simulation.call(request)?;
            simulated(&mut simulation, call, &types, &mut Budget::new(&node.limits, deadline, None))
        };
        Ok(self.0.heavy(work).await?)
    }

    async fn call_many(
        &self,
        calls: Vec<(TransactionRequest, Types)>,
        block: Option<BlockId>,
    ) -> RpcResult<Vec<TraceResults>> {
        Ok(self.0.heavy(move |node, deadline| call_many(node, calls, block, deadline)).await?)
    }

    async fn raw_transaction(&self, raw: Bytes, types: Types, block: Option<BlockId>) -> RpcResult<TraceResults> {
        let work = move |node: &Node, deadline| {
            let mut simulation = Simulation::after(node, &*node.block(block)?)?;
            let signed = node.chain.recover(&raw).map_err(|error| Failure::Params(error.to_string()))?;
            let call = simulation.signed(&signed);
            simulated(&mut simulation, call, &types, &mut Budget::new(&node.limits, deadline, None))
        };
        Ok(self.0.heavy(work).await?)
    }
}

/// All traces of a block, with the rewards of proof of work at the end. Genesis has none.
pub(super) fn block_traces(
    node: &Node,
    block: &Arc<BlockRecord>,
    budget: &mut Budget,
) -> Result<Vec<LocalizedTransactionTrace>, Failure> {
    let mut traces = Vec::new();
    if !block.transactions.is_empty() {
        let mut replay = node.chain.replay(block.clone())?;
        for index in 0..block.transactions.len() {
            budget.check()?;
            traces.extend(calls(&mut replay, index, budget)?);
        }
    }
    traces.extend(rewards::traces(node, block));
    Ok(traces)
}

/// The traces of a transaction, `None` if it is not in a block.
pub(super) fn transaction_traces(
    node: &Node,
    hash: B256,
    deadline: Instant,
) -> Result<Option<Vec<LocalizedTransactionTrace>>, Failure> {
    let Some((block, index)) = node.mined(hash)? else { return Ok(None) };
    let mut budget = Budget::new(&node.limits, deadline, None);
    let mut replay = replay_until(node, block, index, &mut budget)?;
    calls(&mut replay, index, &mut budget).map(Some)
}

/// A block run again up to, and without, the transaction at `index`.
pub(super) fn replay_until(
    node: &Node,
    block: Arc<BlockRecord>,
    index: usize,
    budget: &mut Budget,
) -> Result<Replay, Failure> {
    let mut replay = node.chain.replay(block)?;
    for earlier in 0..index {
        budget.check()?;
        replay.run(earlier)?;
    }
    Ok(replay)
}

/// The calls of the transaction at `index`, which must be the next one.
fn calls(replay: &mut Replay, index: usize, budget: &mut Budget) -> Result<Vec<LocalizedTransactionTrace>, Failure> {
    let mut inspector = TracingInspector::new(TracingInspectorConfig::default_parity());
    let watched = Watched::new(&mut inspector, budget, Keeps { steps: false, data: true });
    let outcome = replay.inspect(index, watched);
    budget.check()?;
    replay.commit(index, outcome?)?;
    let block = replay.block();
    let info = TransactionInfo {
        hash: block.transactions.get(index).map(|transaction| *transaction.tx_hash()),
        index: Some(index as u64),
        block_hash: Some(block.hash),
        block_number: Some(block.number()),
        ..Default::default()
    };
    Ok(inspector.into_parity_builder().into_localized_transaction_traces(info))
}

fn replay_block(
    node: &Node,
    block: Arc<BlockRecord>,
    types: &Types,
    deadline: Instant,
) -> Result<Vec<TraceResultsWithTransactionHash>, Failure> {
    let mut budget = Budget::new(&node.limits, deadline, None);
    let hashes: Vec<B256> = block.transactions.iter().map(|transaction| *transaction.tx_hash()).collect();
    if hashes.is_empty() {
        return Ok(Vec::new());
    }
    let mut replay = node.chain.replay(block)?;
    let mut traces = Vec::with_capacity(hashes.len());
    for (index, transaction_hash) in hashes.into_iter().enumerate() {
        budget.check()?;
        let full_trace = replayed(&mut replay, index, types, &mut budget)?;
        traces.push(TraceResultsWithTransactionHash { full_trace, transaction_hash });
    }
    Ok(traces)
}

/// Traces of the wanted types of the transaction at `index`, which must be the next one.
fn replayed(replay: &mut Replay, index: usize, types: &Types, budget: &mut Budget) -> Result<TraceResults, Failure> {
    let mut inspector = inspector(types);
    let outcome = replay.inspect(index, Watched::new(&mut inspector, budget, keeps(types)));
    budget.check()?;
    let outcome = outcome?;
    let builder = inspector.into_parity_builder();
    let traces = builder.into_trace_results_with_state(&outcome, types, &*replay.state());
    let traces = traces.map_err(crate::execute::database_error)?;
    replay.commit(index, outcome)?;
    Ok(traces)
}

fn call_many(
    node: &Node,
    calls: Vec<(TransactionRequest, Types)>,
    block: Option<BlockId>,
    deadline: Instant,
) -> Result<Vec<TraceResults>, Failure> {
    let (asked, limit) = (calls.len(), node.limits.trace_calls);
    if asked > limit {
        return Err(Failure::Limit(format!("too many calls: {asked} asked, limit {limit}")));
    }
    let mut budget = Budget::new(&node.limits, deadline, None);
    let mut simulation = Simulation::after(node, &*node.block(block)?)?;
    let run = |(request, types): (TransactionRequest, Types)| {
        let call = simulation.call(request)?;
        simulated(&mut simulation, call, &types, &mut budget)
    };
    calls.into_iter().map(run).collect()
}

/// Traces of the wanted types of a call, whose effect is kept for the next one.
fn simulated(
    simulation: &mut Simulation<'_>,
    call: TxEnv,
    types: &Types,
    budget: &mut Budget,
) -> Result<TraceResults, Failure> {
    let mut inspector = inspector(types);
    let outcome = simulation.inspect(call, Watched::new(&mut inspector, budget, keeps(types)));
    budget.check()?;
    let outcome = outcome?;
    let builder = inspector.into_parity_builder();
    let traces = builder.into_trace_results_with_state(&outcome, types, &simulation.state);
    let traces = traces.map_err(crate::execute::database_error)?;
    simulation.commit(outcome);
    Ok(traces)
}

fn inspector(types: &Types) -> TracingInspector {
    TracingInspector::new(TracingInspectorConfig::from_parity_config(types))
}

fn keeps(types: &Types) -> Keeps {
    Keeps { steps: types.contains(&TraceType::VmTrace), data: types.contains(&TraceType::Trace) }
}
