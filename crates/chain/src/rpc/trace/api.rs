//! The methods of `debug`, `trace` and `ots`.
//!
//! All of them run transactions again, so all of them are heavy: a few at a time, each within the time and the memory
//! of [`RpcLimits`](crate::rpc::RpcLimits).

use alloy_eips::eip1898::LenientBlockNumberOrTag;
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, U64, map::HashSet};
use alloy_rpc_types_debug::ExecutionWitness;
use alloy_rpc_types_eth::state::StateOverride;
use alloy_rpc_types_eth::{BlockOverrides, Header, Index, Transaction, TransactionRequest};
use alloy_rpc_types_trace::filter::TraceFilterMode;
use alloy_rpc_types_trace::geth::{GethDebugTracingCallOptions, GethDebugTracingOptions};
use alloy_rpc_types_trace::otterscan::{
    BlockDetails, ContractCreator, InternalOperation, OtsBlockTransactions, TransactionsWithReceipts,
};
use alloy_rpc_types_trace::parity::{
    LocalizedTransactionTrace, TraceResults, TraceResultsWithTransactionHash, TraceType,
};
use jsonrpsee::core::RpcResult;
use jsonrpsee::proc_macros::rpc;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The debug namespace of geth (ethereum/execution-apis `debug`).
#[rpc(server, namespace = "debug")]
pub trait Debug {
    /// RLP of a block.
    #[method(name = "getRawBlock")]
    async fn raw_block(&self, block: BlockId) -> RpcResult<Bytes>;

    /// RLP of a header.
    #[method(name = "getRawHeader")]
    async fn raw_header(&self, block: BlockId) -> RpcResult<Bytes>;

    /// EIP-2718 encoding of each receipt of a block.
    #[method(name = "getRawReceipts")]
    async fn raw_receipts(&self, block: BlockId) -> RpcResult<Vec<Bytes>>;

    /// EIP-2718 encoding of a transaction, of a block or of the pool; empty if it is unknown.
    #[method(name = "getRawTransaction")]
    async fn raw_transaction(&self, hash: PrefixedHash) -> RpcResult<Bytes>;

    /// Trace of a transaction.
    #[method(name = "traceTransaction")]
    async fn trace_transaction(&self, hash: B256, options: Option<GethDebugTracingOptions>)
    -> RpcResult<Box<RawValue>>;

    /// Trace of each transaction of a block.
    #[method(name = "traceBlockByNumber")]
    async fn trace_block_by_number(
        &self,
        number: BlockNumberOrTag,
        options: Option<GethDebugTracingOptions>,
    ) -> RpcResult<Box<RawValue>>;

    /// Trace of each transaction of a block.
    #[method(name = "traceBlockByHash")]
    async fn trace_block_by_hash(
        &self,
        hash: B256,
        options: Option<GethDebugTracingOptions>,
    ) -> RpcResult<Box<RawValue>>;

    /// Trace of each transaction of a block given as RLP; its parent must be a block of this chain.
    #[method(name = "traceBlock")]
    async fn trace_block(&self, rlp: Bytes, options: Option<GethDebugTracingOptions>) -> RpcResult<Box<RawValue>>;

    /// Trace of a call after a block, or before a transaction of it.
    #[method(name = "traceCall")]
    async fn trace_call(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        options: Option<GethDebugTracingCallOptions>,
    ) -> RpcResult<Box<RawValue>>;

    /// All that is needed to run a block again without any state: trie nodes, codes, keys, headers.
    #[method(name = "executionWitness")]
    async fn execution_witness(&self, block: BlockNumberOrTag) -> RpcResult<ExecutionWitness>;

    /// All that is needed to run a block again without any state: trie nodes, codes, keys, headers.
    #[method(name = "executionWitnessByBlockHash")]
    async fn execution_witness_by_hash(&self, hash: B256) -> RpcResult<ExecutionWitness>;
}

/// The trace namespace of OpenEthereum.
#[rpc(server, namespace = "trace")]
pub trait Trace {
    /// All traces of a block, rewards of proof of work included; `null` if there is no such block.
    #[method(name = "block")]
    async fn block(&self, block: BlockId) -> RpcResult<Option<Vec<LocalizedTransactionTrace>>>;

    /// All traces of a transaction; `null` if there is no such transaction.
    #[method(name = "transaction")]
    async fn transaction(&self, hash: B256) -> RpcResult<Option<Vec<LocalizedTransactionTrace>>>;

    /// The trace with this `traceAddress`; `null` if there is none.
    #[method(name = "get")]
    async fn get(&self, hash: B256, address: Vec<Index>) -> RpcResult<Option<LocalizedTransactionTrace>>;

    /// The traces of a range of blocks that match.
    #[method(name = "filter")]
    async fn filter(&self, filter: RangeFilter) -> RpcResult<Vec<LocalizedTransactionTrace>>;

    /// Traces of the wanted types of each transaction of a block; `null` if there is no such block.
    #[method(name = "replayBlockTransactions")]
    async fn replay_block(
        &self,
        block: BlockId,
        types: HashSet<TraceType>,
    ) -> RpcResult<Option<Vec<TraceResultsWithTransactionHash>>>;

    /// Traces of the wanted types of a transaction.
    #[method(name = "replayTransaction")]
    async fn replay_transaction(&self, hash: B256, types: HashSet<TraceType>) -> RpcResult<TraceResults>;

    /// Traces of a call after a block.
    #[method(name = "call")]
    async fn call(
        &self,
        request: TransactionRequest,
        types: HashSet<TraceType>,
        block: Option<BlockId>,
        state_overrides: Option<StateOverride>,
        block_overrides: Option<Box<BlockOverrides>>,
    ) -> RpcResult<TraceResults>;

    /// Traces of calls after a block, each on the state the one before left.
    #[method(name = "callMany")]
    async fn call_many(
        &self,
        calls: Vec<(TransactionRequest, HashSet<TraceType>)>,
        block: Option<BlockId>,
    ) -> RpcResult<Vec<TraceResults>>;

    /// Traces of a signed transaction after a block, without sending it.
    #[method(name = "rawTransaction")]
    async fn raw_transaction(
        &self,
        raw: Bytes,
        types: HashSet<TraceType>,
        block: Option<BlockId>,
    ) -> RpcResult<TraceResults>;
}

/// The namespace of the Otterscan explorer, level 8.
#[rpc(server, namespace = "ots")]
pub trait Ots {
    /// The level of this interface.
    #[method(name = "getApiLevel")]
    fn api_level(&self) -> RpcResult<u64>;

    /// Transfers, creations and destructions inside a transaction.
    #[method(name = "getInternalOperations")]
    async fn internal_operations(&self, hash: B256) -> RpcResult<Vec<InternalOperation>>;

    /// What a failed transaction returned; empty for any other.
    #[method(name = "getTransactionError")]
    async fn transaction_error(&self, hash: B256) -> RpcResult<Bytes>;

    /// The calls of a transaction, in order; `null` if there is no such transaction.
    #[method(name = "traceTransaction")]
    async fn trace_transaction(&self, hash: B256) -> RpcResult<Option<Vec<CallEntry>>>;

    /// Whether there is code at an address.
    #[method(name = "hasCode")]
    fn has_code(&self, address: Address, block: Option<BlockId>) -> RpcResult<bool>;

    /// A block without transactions, with rewards and fees; `null` if there is no such block.
    #[method(name = "getBlockDetails")]
    async fn block_details(&self, number: LenientBlockNumberOrTag) -> RpcResult<Option<BlockDetails<Header>>>;

    /// A block without transactions, with rewards and fees; `null` if there is no such block.
    #[method(name = "getBlockDetailsByHash")]
    async fn block_details_by_hash(&self, hash: B256) -> RpcResult<Option<BlockDetails<Header>>>;

    /// A page of the transactions of a block, the last ones first; pages count from 0.
    #[method(name = "getBlockTransactions")]
    async fn block_transactions(
        &self,
        number: LenientBlockNumberOrTag,
        page: usize,
        page_size: usize,
    ) -> RpcResult<OtsBlockTransactions<Transaction, Header>>;

    /// Transactions that touch an address in blocks below `block` (0: from the head), newest first.
    #[method(name = "searchTransactionsBefore")]
    async fn search_before(
        &self,
        address: Address,
        block: LenientBlockNumberOrTag,
        page_size: usize,
    ) -> RpcResult<TransactionsWithReceipts<Transaction>>;

    /// Transactions that touch an address in blocks above `block` (0: from genesis), newest first.
    #[method(name = "searchTransactionsAfter")]
    async fn search_after(
        &self,
        address: Address,
        block: LenientBlockNumberOrTag,
        page_size: usize,
    ) -> RpcResult<TransactionsWithReceipts<Transaction>>;

    /// Hash of the transaction of a sender with this nonce; `null` if there is none.
    #[method(name = "getTransactionBySenderAndNonce")]
    async fn transaction_by_nonce(&self, sender: Address, nonce: U64) -> RpcResult<Option<B256>>;

    /// Who made a contract, in which transaction; `null` if it is no contract.
    #[method(name = "getContractCreator")]
    async fn contract_creator(&self, address: Address) -> RpcResult<Option<ContractCreator>>;
}

/// A hash that begins with `0x`, as geth insists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixedHash(pub B256);

impl<'de> Deserialize<'de> for PrefixedHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if !text.starts_with("0x") {
            return Err(serde::de::Error::custom("hex string without 0x prefix"));
        }
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// The parameter of `trace_filter`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RangeFilter {
    /// First block; without it the head.
    pub from_block: Option<BlockNumberOrTag>,
    /// Last block; without it the head.
    pub to_block: Option<BlockNumberOrTag>,
    /// Senders of a call, creators, destroyed contracts; empty for any.
    pub from_address: Vec<Address>,
    /// Callees, created contracts, heirs, receivers of rewards; empty for any.
    pub to_address: Vec<Address>,
    /// Whether one of the two has to match, or both (the default).
    pub mode: TraceFilterMode,
    /// How many matches to skip.
    pub after: Option<usize>,
    /// How many matches to return.
    pub count: Option<usize>,
}

/// One entry of `ots_traceTransaction`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallEntry {
    /// `CALL`, `STATICCALL`, `DELEGATECALL`, `CALLCODE`, `CREATE`, `CREATE2` or `SELFDESTRUCT`.
    pub r#type: String,
    /// Calls above this one.
    pub depth: usize,
    /// Who calls.
    pub from: Address,
    /// Who is called, created, or inherits.
    pub to: Address,
    /// Wei that move; `null` for calls that cannot move any.
    pub value: Option<alloy_primitives::U256>,
    /// Call data or creation code.
    pub input: Bytes,
    /// Returned data or code.
    pub output: Bytes,
}
