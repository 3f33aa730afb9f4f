//! The `debug_*` methods.

use super::super::execute::Overrides;
use super::super::failure::Failure;
use super::super::node::Node;
use super::api::{DebugServer, PrefixedHash};
use super::budget::Budget;
use super::raw;
use super::simulation::Simulation;
use super::tracer::{Traced, Tracer};
use crate::BlockRecord;
use crate::replay::Replay;
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{B256, Bytes};
use alloy_rpc_types_debug::ExecutionWitness;
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_trace::geth::{GethDebugTracingCallOptions, GethDebugTracingOptions};
use jsonrpsee::core::{RpcResult, async_trait};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::sync::Arc;
use std::time::Instant;

/// The methods over one node.
pub(in crate::rpc) struct Debug(pub(in crate::rpc) Arc<Node>);

/// The trace of one transaction of a block.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TracedTransaction {
    tx_hash: B256,
    result: Traced,
}

#[async_trait]
impl DebugServer for Debug {
    async fn raw_block(&self, block: BlockId) -> RpcResult<Bytes> {
        Ok(self.0.heavy(move |node, _| Ok(raw::block(&*named(node, block)?))).await?)
    }

    async fn raw_header(&self, block: BlockId) -> RpcResult<Bytes> {
        Ok(self.0.heavy(move |node, _| Ok(alloy_rlp::encode(&named(node, block)?.header).into())).await?)
    }

    async fn raw_receipts(&self, block: BlockId) -> RpcResult<Vec<Bytes>> {
        Ok(self.0.heavy(move |node, _| Ok(raw::receipts(&*named(node, block)?))).await?)
    }

    async fn raw_transaction(&self, hash: PrefixedHash) -> RpcResult<Bytes> {
        Ok(self.0.heavy(move |node, _| raw::transaction(node, hash.0)).await?)
    }

    async fn trace_transaction(
        &self,
        hash: B256,
        options: Option<GethDebugTracingOptions>,
    ) -> RpcResult<Box<RawValue>> {
        let work = move |node: &Node, deadline| trace_transaction(node, hash, options.unwrap_or_default(), deadline);
        Ok(self.0.heavy(work).await?)
    }

    async fn trace_block_by_number(
        &self,
        number: BlockNumberOrTag,
        options: Option<GethDebugTracingOptions>,
    ) -> RpcResult<Box<RawValue>> {
        self.trace_named_block(number.into(), options).await
    }

    async fn trace_block_by_hash(
        &self,
        hash: B256,
        options: Option<GethDebugTracingOptions>,
    ) -> RpcResult<Box<RawValue>> {
        self.trace_named_block(hash.into(), options).await
    }

    async fn trace_block(&self, rlp: Bytes, options: Option<GethDebugTracingOptions>) -> RpcResult<Box<RawValue>> {
        let work = move |node: &Node, deadline| {
            let replay = raw::replay(node, &rlp)?;
            trace_block(node, replay, options.unwrap_or_default(), deadline)
        };
        Ok(self.0.heavy(work).await?)
    }

    async fn trace_call(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        options: Option<GethDebugTracingCallOptions>,
    ) -> RpcResult<Box<RawValue>> {
        let work = move |node: &Node, deadline| {
            let block = node.block(block)?;
            trace_call(node, &block, request, options.unwrap_or_default(), deadline)
        };
        Ok(self.0.heavy(work).await?)
    }

    async fn execution_witness(&self, block: BlockNumberOrTag) -> RpcResult<ExecutionWitness> {
        self.witness(block.into()).await
    }

    async fn execution_witness_by_hash(&self, hash: B256) -> RpcResult<ExecutionWitness> {
        self.witness(hash.into()).await
    }
}

impl Debug {
    async fn trace_named_block(
        &self,
        block: BlockId,
        options: Option<GethDebugTracingOptions>,
    ) -> RpcResult<Box<RawValue>> {
        let work = move |node: &Node, deadline| {
            let replay = node.chain.replay(named(node, block)?)?;
            trace_block(node, replay, options.unwrap_or_default(), deadline)
        };
        Ok(self.0.heavy(work).await?)
    }

    async fn witness(&self, block: BlockId) -> RpcResult<ExecutionWitness> {
        Ok(self.0.heavy(move |node, _| Ok(node.chain.witness(named(node, block)?)?)).await?)
    }
}

/// The block a parameter names, with geth's words if there is none.
fn named(node: &Node, id: BlockId) -> Result<Arc<BlockRecord>, Failure> {
    node.find_block(id)?.ok_or_else(|| {
        Failure::Execution(match id {
            BlockId::Hash(hash) => format!("block {} not found", hash.block_hash),
            BlockId::Number(BlockNumberOrTag::Number(number)) => format!("block #{number} not found"),
            BlockId::Number(tag) => format!("block {tag} not found"),
        })
    })
}

fn trace_transaction(
    node: &Node,
    hash: B256,
    options: GethDebugTracingOptions,
    deadline: Instant,
) -> Result<Box<RawValue>, Failure> {
    let (tracer, time) = Tracer::new(options)?;
    let mut budget = Budget::new(&node.limits, deadline, time);
    let (block, index) = node.mined(hash)?.ok_or(Failure::TransactionNotFound)?;
    let mut replay = node.chain.replay(block)?;
    for earlier in 0..index {
        budget.check()?;
        replay.run(earlier)?;
    }
    answer(node, &tracer.replayed(&mut replay, index, &mut budget)?)
}

fn trace_block(
    node: &Node,
    mut replay: Replay,
    options: GethDebugTracingOptions,
    deadline: Instant,
) -> Result<Box<RawValue>, Failure> {
    let (tracer, time) = Tracer::new(options)?;
    let mut budget = Budget::new(&node.limits, deadline, time);
    let hashes: Vec<B256> = replay.block().transactions.iter().map(|transaction| *transaction.tx_hash()).collect();
    let mut traces = Vec::with_capacity(hashes.len());
    for (index, tx_hash) in hashes.into_iter().enumerate() {
        budget.check()?;
        traces.push(TracedTransaction { tx_hash, result: tracer.replayed(&mut replay, index, &mut budget)? });
    }
    answer(node, &traces)
}

fn trace_call(
    node: &Node,
    block: &Arc<BlockRecord>,
    request: TransactionRequest,
    options: GethDebugTracingCallOptions,
    deadline: Instant,
) -> Result<Box<RawValue>, Failure> {
    let (tracer, time) = Tracer::new(options.tracing_options)?;
    let mut budget = Budget::new(&node.limits, deadline, time);
    let mut simulation = match options.tx_index {
        None => Simulation::after(node, block)?,
        Some(index) => Simulation::before(node, block, index as usize, &mut budget)?,
    };
    simulation.apply(Overrides { state: options.state_overrides, block: options.block_overrides })?;
    let call = simulation.call(request)?;
    answer(node, &tracer.simulated(&mut simulation, call, &mut budget)?)
}

/// The answer as JSON, within the size of a response: written here, on the thread for heavy work.
fn answer(node: &Node, traced: &impl Serialize) -> Result<Box<RawValue>, Failure> {
    let json = to_raw_value(traced).map_err(|_| Failure::Internal)?;
    let (bytes, limit) = (json.get().len(), node.limits.response_bytes as usize);
    if bytes > limit {
        return Err(Failure::Limit(format!(
            "trace has {bytes} bytes, a response at most {limit}; trace fewer transactions or record less of each"
        )));
    }
    Ok(json)
}
