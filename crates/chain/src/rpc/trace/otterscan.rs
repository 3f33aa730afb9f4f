//! The `ots_*` methods: what the Otterscan explorer asks for.
//!
//! Source: Otterscan, `docs/custom-jsonrpc.md`.

use super::super::convert;
use super::super::failure::Failure;
use super::super::node::Node;
use super::api::{CallEntry, OtsServer};
use super::budget::{Budget, Keeps, Watched};
use super::parity::{replay_until, transaction_traces};
use super::rewards;
use super::search::{self, Direction};
use crate::BlockRecord;
use alloy_consensus::Transaction as _;
use alloy_eips::eip1898::LenientBlockNumberOrTag;
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_rpc_types_eth::{BlockTransactions, Header, Transaction};
use alloy_rpc_types_trace::otterscan::{
    BlockDetails, ContractCreator, InternalOperation, OtsBlock, OtsBlockTransactions, OtsReceipt,
    OtsTransactionReceipt, TransactionsWithReceipts,
};
use alloy_rpc_types_trace::parity::{
    Action, CallType, CreationMethod, LocalizedTransactionTrace, TraceOutput, TransactionTrace,
};
use jsonrpsee::core::{RpcResult, async_trait};
use revm::context_interface::result::ExecutionResult;
use revm::inspector::NoOpInspector;
use revm_inspectors::otterscan::InternalOperationsInspector;
use std::sync::Arc;
use std::time::Instant;

/// Level of the interface that is served.
const API_LEVEL: u64 = 8;

/// The methods over one node.
pub(in crate::rpc) struct Otterscan(pub(in crate::rpc) Arc<Node>);

#[async_trait]
impl OtsServer for Otterscan {
    fn api_level(&self) -> RpcResult<u64> {
        Ok(API_LEVEL)
    }

    async fn internal_operations(&self, hash: B256) -> RpcResult<Vec<InternalOperation>> {
        Ok(self.0.heavy(move |node, deadline| internal_operations(node, hash, deadline)).await?)
    }

    async fn transaction_error(&self, hash: B256) -> RpcResult<Bytes> {
        Ok(self.0.heavy(move |node, deadline| transaction_error(node, hash, deadline)).await?)
    }

    async fn trace_transaction(&self, hash: B256) -> RpcResult<Option<Vec<CallEntry>>> {
        let work = move |node: &Node, deadline| {
            let traces = transaction_traces(node, hash, deadline)?;
            Ok(traces.map(|traces| traces.into_iter().filter_map(entry).collect()))
        };
        Ok(self.0.heavy(work).await?)
    }

    fn has_code(&self, address: Address, block: Option<BlockId>) -> RpcResult<bool> {
        Ok(!self.0.code(&*self.0.block(block)?, address)?.is_empty())
    }

    async fn block_details(&self, number: LenientBlockNumberOrTag) -> RpcResult<Option<BlockDetails<Header>>> {
        self.details(number.into()).await
    }

    async fn block_details_by_hash(&self, hash: B256) -> RpcResult<Option<BlockDetails<Header>>> {
        self.details(hash.into()).await
    }

    async fn block_transactions(
        &self,
        number: LenientBlockNumberOrTag,
        page: usize,
        page_size: usize,
    ) -> RpcResult<OtsBlockTransactions<Transaction, Header>> {
        let work = move |node: &Node, _| {
            check_page(node, page_size)?;
            Ok(block_page(node, &*node.block(Some(number.into()))?, page, page_size))
        };
        Ok(self.0.heavy(work).await?)
    }

    async fn search_before(
        &self,
        address: Address,
        block: LenientBlockNumberOrTag,
        page_size: usize,
    ) -> RpcResult<TransactionsWithReceipts<Transaction>> {
        let block = self.number(block);
        self.search(address, block, page_size, Direction::Older).await
    }

    async fn search_after(
        &self,
        address: Address,
        block: LenientBlockNumberOrTag,
        page_size: usize,
    ) -> RpcResult<TransactionsWithReceipts<Transaction>> {
        let block = self.number(block);
        self.search(address, block, page_size, Direction::Newer).await
    }

    async fn transaction_by_nonce(&self, sender: Address, nonce: U64) -> RpcResult<Option<B256>> {
        let work = move |node: &Node, deadline| search::transaction_by_nonce(node, sender, nonce.to(), deadline);
        Ok(self.0.heavy(work).await?)
    }

    async fn contract_creator(&self, address: Address) -> RpcResult<Option<ContractCreator>> {
        Ok(self.0.heavy(move |node, deadline| search::contract_creator(node, address, deadline)).await?)
    }
}

impl Otterscan {
    async fn details(&self, block: BlockId) -> RpcResult<Option<BlockDetails<Header>>> {
        let work = move |node: &Node, _| Ok(node.find_block(block)?.map(|block| details(node, &block)));
        Ok(self.0.heavy(work).await?)
    }

    /// The height that a number or tag names.
    fn number(&self, block: LenientBlockNumberOrTag) -> u64 {
        match block.into_inner() {
            BlockNumberOrTag::Number(number) => number,
            BlockNumberOrTag::Earliest => 0,
            _ => self.0.chain.head().number(),
        }
    }

    async fn search(
        &self,
        address: Address,
        block: u64,
        page_size: usize,
        direction: Direction,
    ) -> RpcResult<TransactionsWithReceipts<Transaction>> {
        let work = move |node: &Node, deadline| {
            check_page(node, page_size)?;
            let page = search::touching(node, address, block, page_size, direction, deadline)?;
            let whole = |(block, index): &(Arc<BlockRecord>, usize)| {
                Some((convert::transaction(block, *index)?, receipt(node, block, *index)?))
            };
            let (txs, receipts) = page.found.iter().filter_map(whole).unzip();
            Ok(TransactionsWithReceipts { txs, receipts, first_page: page.newest, last_page: page.oldest })
        };
        Ok(self.0.heavy(work).await?)
    }
}

fn check_page(node: &Node, page_size: usize) -> Result<(), Failure> {
    match (page_size, node.limits.page_size) {
        (0, _) => Err(Failure::Params("a page has at least 1 transaction".into())),
        (asked, limit) if asked > limit => Err(Failure::Limit(format!("page of {asked} asked, the limit is {limit}"))),
        _ => Ok(()),
    }
}

fn internal_operations(node: &Node, hash: B256, deadline: Instant) -> Result<Vec<InternalOperation>, Failure> {
    let (block, index) = node.mined(hash)?.ok_or(Failure::TransactionNotFound)?;
    let mut budget = Budget::new(&node.limits, deadline, None);
    let mut replay = replay_until(node, block, index, &mut budget)?;
    let mut inspector = InternalOperationsInspector::default();
    let outcome = replay.inspect(index, Watched::new(&mut inspector, &mut budget, Keeps::default()));
    budget.check()?;
    replay.commit(index, outcome?)?;
    Ok(inspector.into_operations())
}

fn transaction_error(node: &Node, hash: B256, deadline: Instant) -> Result<Bytes, Failure> {
    let (block, index) = node.mined(hash)?.ok_or(Failure::TransactionNotFound)?;
    let mut budget = Budget::new(&node.limits, deadline, None);
    let mut replay = replay_until(node, block, index, &mut budget)?;
    let outcome = replay.inspect(index, Watched::new(NoOpInspector {}, &mut budget, Keeps::default()));
    budget.check()?;
    let outcome = outcome?;
    let error = match &outcome.result {
        ExecutionResult::Revert { output, .. } => output.clone(),
        ExecutionResult::Success { .. } | ExecutionResult::Halt { .. } => Bytes::new(),
    };
    replay.commit(index, outcome)?;
    Ok(error)
}

/// One call, creation or destruction; nothing for a reward.
fn entry(localized: LocalizedTransactionTrace) -> Option<CallEntry> {
    let TransactionTrace { action, result, trace_address, .. } = localized.trace;
    let output = result.as_ref().map(|result| result.output().clone()).unwrap_or_default();
    let depth = trace_address.len();
    Some(match action {
        Action::Call(call) => CallEntry {
            r#type: call.call_type.to_string(),
            depth,
            from: call.from,
            to: call.to,
            value: matches!(call.call_type, CallType::Call | CallType::CallCode).then_some(call.value),
            input: call.input,
            output,
        },
        Action::Create(create) => CallEntry {
            r#type: if create.creation_method == CreationMethod::Create2 { "CREATE2" } else { "CREATE" }.into(),
            depth,
            from: create.from,
            to: result.as_ref().and_then(TraceOutput::created_contract).unwrap_or_default(),
            value: Some(create.value),
            input: create.init,
            output,
        },
        Action::Selfdestruct(destroyed) => CallEntry {
            r#type: "SELFDESTRUCT".into(),
            depth,
            from: destroyed.address,
            to: destroyed.refund_address,
            value: Some(destroyed.balance),
            input: Bytes::new(),
            output,
        },
        Action::Reward(_) => return None,
    })
}

fn details(node: &Node, block: &BlockRecord) -> BlockDetails<Header> {
    let base_fee = block.header.base_fee_per_gas;
    let fee = |(transaction, gas): (&alloy_consensus::TxEnvelope, &u64)| {
        U256::from(transaction.effective_gas_price(base_fee)) * U256::from(*gas)
    };
    let fees = block.transactions.iter().zip(&block.gas_used).map(fee).sum();
    let mut details = BlockDetails::new(convert::block(block, false), rewards::issuance(node, block), fees);
    details.block.transaction_count = block.transactions.len();
    details
}

/// A page of a block, counted from its end; within the page in the order of the block.
fn block_page(
    node: &Node,
    block: &BlockRecord,
    page: usize,
    page_size: usize,
) -> OtsBlockTransactions<Transaction, Header> {
    let count = block.transactions.len();
    let end = count.saturating_sub(page.saturating_mul(page_size));
    let indices = end.saturating_sub(page_size)..end;
    let mut whole = convert::block(block, false);
    whole.transactions =
        BlockTransactions::Full(indices.clone().filter_map(|index| convert::transaction(block, index)).collect());
    OtsBlockTransactions {
        fullblock: OtsBlock { block: whole, transaction_count: count },
        receipts: indices.filter_map(|index| receipt(node, block, index)).collect(),
    }
}

/// A receipt without logs.
fn receipt(node: &Node, block: &BlockRecord, index: usize) -> Option<OtsTransactionReceipt> {
    let receipt = convert::receipt(block, index, node.blobs(block))?.map_inner(|inner| OtsReceipt {
        status: inner.status(),
        cumulative_gas_used: inner.cumulative_gas_used(),
        logs: None,
        logs_bloom: None,
        r#type: inner.tx_type() as u8,
    });
    Some(OtsTransactionReceipt { receipt, timestamp: Some(block.header.timestamp) })
}
