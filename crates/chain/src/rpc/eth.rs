//! The `eth_*` methods.

use super::api::{BlockAnswer, Capabilities, EthServer, Payload};
use super::execute::{self, Overrides};
use super::failure::Failure;
use super::filters::{FilterId, FilterKind};
use super::node::Node;
use super::slot::Slot;
use super::{convert, facts, fees, fill, logs, pending, simulate, subscriptions};
use crate::BlockRecord;
use alloy_consensus::TypedTransaction;
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::AccessListResult;
use alloy_eips::eip7910::EthConfig;
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, U64, U128, U256};
use alloy_rpc_types_eth::pubsub::{Params, SubscriptionKind};
use alloy_rpc_types_eth::simulate::SimulatedBlock;
use alloy_rpc_types_eth::state::StateOverride;
use alloy_rpc_types_eth::{
    Block, BlockOverrides, EIP1186AccountProofResponse, FeeHistory, FillTransaction, Filter, FilterChanges, Header,
    Index, Log, SyncStatus, Transaction, TransactionReceipt, TransactionRequest,
};
use jsonrpsee::core::{RpcResult, SubscriptionResult, async_trait};
use jsonrpsee::{ConnectionId, Extensions, PendingSubscriptionSink};
use revm::DatabaseRef;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Wait of `eth_sendRawTransactionSync` when the caller names none.
const SEND_SYNC_DEFAULT: Duration = Duration::from_secs(2);

/// The methods over one node.
pub(super) struct Eth(pub(super) Arc<Node>);

#[async_trait]
impl EthServer for Eth {
    fn chain_id(&self) -> RpcResult<U64> {
        Ok(U64::from(self.0.chain.chain_id()))
    }

    fn block_number(&self) -> RpcResult<U64> {
        Ok(U64::from(self.0.chain.head().number()))
    }

    fn syncing(&self) -> RpcResult<SyncStatus> {
        Ok(facts::syncing(&self.0))
    }

    fn config(&self) -> RpcResult<EthConfig> {
        Ok(facts::config(&self.0)?)
    }

    fn capabilities(&self) -> RpcResult<Capabilities> {
        Ok(facts::capabilities(&self.0)?)
    }

    fn base_fee(&self) -> RpcResult<U256> {
        Ok(U256::from(fees::next_base_fee(&self.0.chain.head())))
    }

    fn accounts(&self) -> RpcResult<Vec<Address>> {
        Ok(Vec::new())
    }

    fn gas_price(&self) -> RpcResult<U256> {
        Ok(U256::from(fees::gas_price(&self.0)?))
    }

    fn max_priority_fee_per_gas(&self) -> RpcResult<U256> {
        Ok(U256::from(fees::suggested_tip(&self.0)?))
    }

    fn blob_base_fee(&self) -> RpcResult<U256> {
        Ok(U256::from(fees::next_blob_base_fee(self.0.chain.rules(), &self.0.chain.head().header)))
    }

    async fn fee_history(
        &self,
        block_count: U64,
        newest_block: BlockNumberOrTag,
        reward_percentiles: Option<Vec<f64>>,
    ) -> RpcResult<FeeHistory> {
        let (count, percentiles) = (block_count.to::<u64>(), reward_percentiles.unwrap_or_default());
        let work = move |node: &Node, _| fees::history(node, count, newest_block.into(), &percentiles);
        Ok(self.0.heavy(work).await?)
    }

    fn balance(&self, address: Address, block: Option<BlockId>) -> RpcResult<U256> {
        Ok(self.0.account(&*self.0.block(block)?, address)?.balance)
    }

    fn transaction_count(&self, address: Address, block: Option<BlockId>) -> RpcResult<U64> {
        let nonce = self.0.account(&*self.0.block(block)?, address)?.nonce;
        let pending = block.is_some_and(|block| block.is_pending());
        Ok(U64::from(if pending { self.0.pool.pending_nonce(&address, nonce) } else { nonce }))
    }

    fn code(&self, address: Address, block: Option<BlockId>) -> RpcResult<Bytes> {
        Ok(self.0.code(&*self.0.block(block)?, address)?)
    }

    fn storage_at(&self, address: Address, slot: Slot, block: Option<BlockId>) -> RpcResult<B256> {
        let state = self.0.chain.state(self.0.block(block)?.number()).map_err(Failure::from)?;
        let value = state.storage_ref(address, slot.number()).map_err(Failure::from)?;
        Ok(B256::from(value))
    }

    async fn storage_values(
        &self,
        slots: BTreeMap<Address, Vec<Slot>>,
        block: Option<BlockId>,
    ) -> RpcResult<BTreeMap<Address, Vec<B256>>> {
        Ok(self.0.heavy(move |node, _| storage_values(node, slots, block)).await?)
    }

    async fn proof(
        &self,
        address: Address,
        slots: Vec<Slot>,
        block: Option<BlockId>,
    ) -> RpcResult<EIP1186AccountProofResponse> {
        let work = move |node: &Node, _| proof(node, address, &slots, block);
        Ok(self.0.heavy(work).await?)
    }

    async fn call(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        state_overrides: Option<StateOverride>,
        block_overrides: Option<Box<BlockOverrides>>,
    ) -> RpcResult<Bytes> {
        let overrides = Overrides { state: state_overrides, block: block_overrides.map(|block| *block) };
        let work = move |node: &Node, deadline| execute::call(node, &*node.block(block)?, request, overrides, deadline);
        Ok(self.0.heavy(work).await?)
    }

    async fn estimate_gas(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        state_overrides: Option<StateOverride>,
        block_overrides: Option<Box<BlockOverrides>>,
    ) -> RpcResult<U64> {
        let overrides = Overrides { state: state_overrides, block: block_overrides.map(|block| *block) };
        let work = move |node: &Node, deadline| {
            execute::estimate_gas(node, &*node.block(block)?, request, overrides, deadline)
        };
        Ok(U64::from(self.0.heavy(work).await?))
    }

    async fn simulate_v1(&self, payload: Payload, block: Option<BlockId>) -> RpcResult<Vec<SimulatedBlock>> {
        let work = move |node: &Node, deadline| simulate::simulate(node, &*node.block(block)?, payload, deadline);
        Ok(self.0.heavy(work).await?)
    }

    async fn create_access_list(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        state_overrides: Option<StateOverride>,
    ) -> RpcResult<AccessListResult> {
        let overrides = Overrides { state: state_overrides, block: None };
        let work =
            move |node: &Node, deadline| execute::access_list(node, &*node.block(block)?, request, overrides, deadline);
        Ok(self.0.heavy(work).await?)
    }

    async fn fill_transaction(&self, request: TransactionRequest) -> RpcResult<FillTransaction<TypedTransaction>> {
        Ok(self.0.heavy(move |node, deadline| fill::fill(node, request, deadline)).await?)
    }

    async fn block_by_number(&self, number: BlockNumberOrTag, full: Option<bool>) -> RpcResult<Option<BlockAnswer>> {
        let full = full.unwrap_or_default();
        if number.is_pending() {
            return Ok(Some(pending::show(&*self.pending().await?, full)?));
        }
        let block = self.0.find_block(number.into())?;
        Ok(block.map(|block| BlockAnswer::Final(Box::new(convert::block(&block, full)))))
    }

    fn header_by_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<Header>> {
        Ok(self.0.find_block(number.into())?.map(|block| convert::header(&block)))
    }

    fn header_by_hash(&self, hash: B256) -> RpcResult<Option<Header>> {
        Ok(self.0.find_block(hash.into())?.map(|block| convert::header(&block)))
    }

    fn block_by_hash(&self, hash: B256, full: Option<bool>) -> RpcResult<Option<Block>> {
        let block = self.0.find_block(hash.into())?;
        Ok(block.map(|block| convert::block(&block, full.unwrap_or_default())))
    }

    fn block_receipts(&self, block: BlockId) -> RpcResult<Option<Vec<TransactionReceipt>>> {
        Ok(self.0.find_block(block)?.map(|block| convert::receipts(&block, self.0.blobs(&block))))
    }

    async fn block_transaction_count_by_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<U64>> {
        if number.is_pending() {
            return Ok(Some(U64::from(self.pending().await?.transactions.len())));
        }
        Ok(self.0.find_block(number.into())?.map(|block| U64::from(block.transactions.len())))
    }

    fn block_transaction_count_by_hash(&self, hash: B256) -> RpcResult<Option<U64>> {
        Ok(self.0.find_block(hash.into())?.map(|block| U64::from(block.transactions.len())))
    }

    fn transaction_by_hash(&self, hash: B256) -> RpcResult<Option<Transaction>> {
        // The pool first: a transaction mined in between is then still found, in the chain.
        let waiting = self.0.pool.get(&hash);
        if let Some((block, index)) = self.0.mined(hash)? {
            return Ok(convert::transaction(&block, index));
        }
        Ok(waiting.map(|tx| convert::pending_transaction(&tx)))
    }

    async fn transaction_by_block_number_and_index(
        &self,
        number: BlockNumberOrTag,
        index: Index,
    ) -> RpcResult<Option<Transaction>> {
        if number.is_pending() {
            return Ok(pending::transaction(&*self.pending().await?, index.0));
        }
        Ok(self.0.find_block(number.into())?.and_then(|block| convert::transaction(&block, index.0)))
    }

    fn transaction_by_block_hash_and_index(&self, hash: B256, index: Index) -> RpcResult<Option<Transaction>> {
        Ok(self.0.find_block(hash.into())?.and_then(|block| convert::transaction(&block, index.0)))
    }

    fn transaction_receipt(&self, hash: B256) -> RpcResult<Option<TransactionReceipt>> {
        Ok(self.0.mined(hash)?.and_then(|(block, index)| convert::receipt(&block, index, self.0.blobs(&block))))
    }

    fn raw_transaction_by_hash(&self, hash: B256) -> RpcResult<Option<Bytes>> {
        let waiting = self.0.pool.get(&hash);
        if let Some((block, index)) = self.0.mined(hash)? {
            return Ok(block.transactions.get(index).map(|tx| tx.encoded_2718().into()));
        }
        Ok(waiting.map(|tx| tx.raw.clone()))
    }

    async fn send_raw_transaction(&self, raw: Bytes) -> RpcResult<B256> {
        Ok(self.0.submit(raw).await?)
    }

    async fn send_raw_transaction_sync(
        &self,
        raw: Bytes,
        timeout_millis: Option<U64>,
    ) -> RpcResult<TransactionReceipt> {
        let limit = self.0.limits.send_sync_time;
        let asked = timeout_millis.map(|millis| Duration::from_millis(millis.to()));
        // A time that is none, or too long, counts as not named.
        let wanted = asked.filter(|time| !time.is_zero() && *time <= limit).unwrap_or(SEND_SYNC_DEFAULT.min(limit));
        Ok(send_sync(&self.0, raw, wanted).await?)
    }

    async fn logs(&self, filter: Filter) -> RpcResult<Vec<Log>> {
        Ok(self.0.heavy(move |node, _| logs::query(node, &filter)).await?)
    }

    fn new_filter(&self, caller: &Extensions, filter: Filter) -> RpcResult<U128> {
        logs::check(&filter)?;
        let next = self.0.chain.head().number() + 1;
        Ok(self.add_filter(caller, FilterKind::Logs { filter: Box::new(filter), next })?)
    }

    fn new_block_filter(&self, caller: &Extensions) -> RpcResult<U128> {
        Ok(self.add_filter(caller, FilterKind::Blocks { next: self.0.chain.head().number() + 1 })?)
    }

    fn new_pending_transaction_filter(&self, caller: &Extensions) -> RpcResult<U128> {
        Ok(self.add_filter(caller, FilterKind::Transactions { cursor: self.0.pool.cursor() })?)
    }

    async fn filter_changes(&self, id: U128) -> RpcResult<FilterChanges> {
        let kind = self.filter(id)?;
        Ok(self.0.heavy(move |node, _| changes(node, id, kind)).await?)
    }

    async fn filter_logs(&self, id: U128) -> RpcResult<Vec<Log>> {
        let FilterKind::Logs { filter, .. } = self.filter(id)? else {
            return Err(Failure::Params(format!("filter {id:#x} does not collect logs")).into());
        };
        Ok(self.0.heavy(move |node, _| logs::query(node, &filter)).await?)
    }

    fn uninstall_filter(&self, id: U128) -> RpcResult<bool> {
        Ok(self.0.filters.remove(id))
    }

    fn uncle_count_by_block_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<U64>> {
        Ok(self.0.find_block(number.into())?.map(|block| U64::from(block.ommers.len())))
    }

    fn uncle_count_by_block_hash(&self, hash: B256) -> RpcResult<Option<U64>> {
        Ok(self.0.find_block(hash.into())?.map(|block| U64::from(block.ommers.len())))
    }

    fn uncle_by_block_number_and_index(&self, number: BlockNumberOrTag, index: Index) -> RpcResult<Option<Block>> {
        Ok(self.0.find_block(number.into())?.and_then(|block| convert::ommer(&block, index.0)))
    }

    fn uncle_by_block_hash_and_index(&self, hash: B256, index: Index) -> RpcResult<Option<Block>> {
        Ok(self.0.find_block(hash.into())?.and_then(|block| convert::ommer(&block, index.0)))
    }

    async fn subscribe(
        &self,
        pending: PendingSubscriptionSink,
        kind: SubscriptionKind,
        params: Option<Params>,
    ) -> SubscriptionResult {
        subscriptions::serve(&self.0, pending, kind, params.unwrap_or_default()).await;
        Ok(())
    }
}

impl Eth {
    async fn pending(&self) -> Result<Arc<BlockRecord>, Failure> {
        self.0.heavy(|node, _| pending::record(node)).await
    }

    fn add_filter(&self, caller: &Extensions, kind: FilterKind) -> Result<FilterId, Failure> {
        let connection = caller.get::<ConnectionId>().map_or(0, |connection| connection.0);
        self.0.filters.add(connection, kind, Instant::now()).map_err(|full| Failure::Limit(full.to_string()))
    }

    fn filter(&self, id: FilterId) -> Result<FilterKind, Failure> {
        let idle = self.0.limits.filter_idle_time.as_secs();
        let gone =
            || Failure::Execution(format!("filter not found: {id:#x} (filters end after {idle} s without a poll)"));
        self.0.filters.get(id, Instant::now()).ok_or_else(gone)
    }
}

fn changes(node: &Node, id: FilterId, kind: FilterKind) -> Result<FilterChanges, Failure> {
    let head = node.chain.head().number();
    let (changes, seen) = match kind {
        FilterKind::Logs { filter, next } => {
            let found = logs::since(node, &filter, next, head)?;
            (FilterChanges::Logs(found), FilterKind::Logs { filter, next: head + 1 })
        }
        FilterKind::Blocks { next } => {
            // The newest blocks are what a late poller can still use.
            let first = next.max((head + 1).saturating_sub(node.limits.log_blocks));
            let mut hashes = Vec::new();
            for number in first..=head {
                hashes.extend(node.chain.header_by_number(number)?.map(|(hash, _)| hash));
            }
            (FilterChanges::Hashes(hashes), FilterKind::Blocks { next: head + 1 })
        }
        FilterKind::Transactions { cursor } => {
            let (hashes, cursor) = node.pool.added_since(cursor);
            (FilterChanges::Hashes(hashes), FilterKind::Transactions { cursor })
        }
    };
    node.filters.advance(id, seen);
    Ok(changes)
}

fn storage_values(
    node: &Node,
    slots: BTreeMap<Address, Vec<Slot>>,
    block: Option<BlockId>,
) -> Result<BTreeMap<Address, Vec<B256>>, Failure> {
    let (asked, limit) = (slots.values().map(Vec::len).sum::<usize>(), node.limits.proof_slots);
    if slots.is_empty() {
        return Err(Failure::Params("empty request: expected at least one address with slots".into()));
    }
    if asked > limit {
        return Err(Failure::Limit(format!("too many slots: {asked} asked, limit {limit}")));
    }
    let state = node.chain.state(node.block(block)?.number())?;
    let read = |address, slot: Slot| Ok(B256::from(state.storage(address, slot.number())?));
    let values = slots.into_iter().map(|(address, slots)| {
        let values = slots.into_iter().map(|slot| read(address, slot));
        Ok((address, values.collect::<Result<Vec<_>, Failure>>()?))
    });
    values.collect()
}

fn proof(
    node: &Node,
    address: Address,
    slots: &[Slot],
    block: Option<BlockId>,
) -> Result<EIP1186AccountProofResponse, Failure> {
    let (asked, limit) = (slots.len(), node.limits.proof_slots);
    if asked > limit {
        return Err(Failure::Limit(format!("too many keys: {asked} asked, limit {limit}")));
    }
    let keys: Vec<B256> = slots.iter().map(Slot::as_b256).collect();
    let mut proof = node.chain.proof(node.block(block)?.number(), address, &keys)?;
    for (proven, asked) in proof.storage_proof.iter_mut().zip(slots) {
        // A caller finds its keys again as it wrote them.
        proven.key = asked.0;
    }
    Ok(proof)
}

async fn send_sync(node: &Arc<Node>, raw: Bytes, limit: Duration) -> Result<TransactionReceipt, Failure> {
    let mut blocks = node.chain.subscribe();
    let hash = node.submit(raw).await?;
    if let Some(next) = node.missing_nonce(hash)? {
        return Err(Failure::NotReady { hash, next });
    }
    let mined = async {
        loop {
            if let Some((block, index)) = node.mined(hash)? {
                return convert::receipt(&block, index, node.blobs(&block)).ok_or(Failure::Internal);
            }
            // Lagging is no loss: the index is asked again. A closed channel means that the node stops.
            if let Err(tokio::sync::broadcast::error::RecvError::Closed) = blocks.recv().await {
                return Err(Failure::Internal);
            }
        }
    };
    let late = |_| Failure::NotMined { hash, millis: limit.as_millis() as u64 };
    tokio::time::timeout(limit, mined).await.map_err(late)?
}
