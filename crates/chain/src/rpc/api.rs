//! The methods, by namespace.
//!
//! Block parameters take a number, a tag, a hash, or an EIP-1898 object. `latest` is the newest block, which a quorum has
//! made final; `safe` and `finalized` are the newest checkpoints that two thirds of the stake have justified and
//! finalised, and `latest` on a chain where nobody votes. At `pending`, nonces count the pool, and a block and its
//! transactions are those that the pool would give next; state is the head's.
//! Types that do not fit give −32602, methods that are not listed −32601.

use super::convert::Waiting;
pub use super::facts::{Capabilities, DeleteStrategy, Resource};
pub use super::pending::BlockAnswer;
pub use super::simulate::{BlockCalls, Payload, SimulatedHeader};
pub use super::slot::Slot;
use alloy_consensus::TypedTransaction;
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
use jsonrpsee::core::{RpcResult, SubscriptionResult};
use jsonrpsee::proc_macros::rpc;
use serde::Serialize;
use std::collections::BTreeMap;

/// The Ethereum namespace (ethereum/execution-apis).
#[rpc(server, namespace = "eth")]
pub trait Eth {
    /// EIP-155 chain id.
    #[method(name = "chainId")]
    fn chain_id(&self) -> RpcResult<U64>;

    /// Number of the head.
    #[method(name = "blockNumber")]
    fn block_number(&self) -> RpcResult<U64>;

    /// `false`, or how far this node is on its way to the newest final block.
    #[method(name = "syncing")]
    fn syncing(&self) -> RpcResult<SyncStatus>;

    /// Forks of this chain, with their precompiles and system contracts (EIP-7910).
    #[method(name = "config")]
    fn config(&self) -> RpcResult<EthConfig>;

    /// Which data this node has, and how far back.
    #[method(name = "capabilities")]
    fn capabilities(&self) -> RpcResult<Capabilities>;

    /// Base fee of the next block, in wei per gas.
    #[method(name = "baseFee")]
    fn base_fee(&self) -> RpcResult<U256>;

    /// Always empty: this node holds no keys.
    #[method(name = "accounts")]
    fn accounts(&self) -> RpcResult<Vec<Address>>;

    /// Next base fee plus a tip, in wei.
    #[method(name = "gasPrice")]
    fn gas_price(&self) -> RpcResult<U256>;

    /// A tip that was enough lately, in wei.
    #[method(name = "maxPriorityFeePerGas")]
    fn max_priority_fee_per_gas(&self) -> RpcResult<U256>;

    /// Price of blob gas; blob transactions are not accepted, so it is the minimum.
    #[method(name = "blobBaseFee")]
    fn blob_base_fee(&self) -> RpcResult<U256>;

    /// Base fees, fullness and tips of recent blocks.
    #[method(name = "feeHistory")]
    async fn fee_history(
        &self,
        block_count: U64,
        newest_block: BlockNumberOrTag,
        reward_percentiles: Option<Vec<f64>>,
    ) -> RpcResult<FeeHistory>;

    /// Balance in wei.
    #[method(name = "getBalance")]
    fn balance(&self, address: Address, block: Option<BlockId>) -> RpcResult<U256>;

    /// Nonce; at `pending` it counts the transactions in the pool.
    #[method(name = "getTransactionCount")]
    fn transaction_count(&self, address: Address, block: Option<BlockId>) -> RpcResult<U64>;

    /// Code of an account.
    #[method(name = "getCode")]
    fn code(&self, address: Address, block: Option<BlockId>) -> RpcResult<Bytes>;

    /// One storage slot.
    #[method(name = "getStorageAt")]
    fn storage_at(&self, address: Address, slot: Slot, block: Option<BlockId>) -> RpcResult<B256>;

    /// Storage slots of several accounts.
    #[method(name = "getStorageValues")]
    async fn storage_values(
        &self,
        slots: BTreeMap<Address, Vec<Slot>>,
        block: Option<BlockId>,
    ) -> RpcResult<BTreeMap<Address, Vec<B256>>>;

    /// Merkle proof of an account and of some of its slots (EIP-1186).
    #[method(name = "getProof")]
    async fn proof(
        &self,
        address: Address,
        slots: Vec<Slot>,
        block: Option<BlockId>,
    ) -> RpcResult<EIP1186AccountProofResponse>;

    /// Runs a call without a transaction.
    #[method(name = "call")]
    async fn call(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        state_overrides: Option<StateOverride>,
        block_overrides: Option<Box<BlockOverrides>>,
    ) -> RpcResult<Bytes>;

    /// A gas limit with which a transaction succeeds.
    #[method(name = "estimateGas")]
    async fn estimate_gas(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        state_overrides: Option<StateOverride>,
        block_overrides: Option<Box<BlockOverrides>>,
    ) -> RpcResult<U64>;

    /// Runs blocks of calls, each on the state the one before left.
    #[method(name = "simulateV1")]
    async fn simulate_v1(&self, payload: Payload, block: Option<BlockId>) -> RpcResult<Vec<SimulatedBlock>>;

    /// Accounts and slots that a call touches (EIP-2930).
    #[method(name = "createAccessList")]
    async fn create_access_list(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        state_overrides: Option<StateOverride>,
    ) -> RpcResult<AccessListResult>;

    /// A transaction with everything but its signature.
    #[method(name = "fillTransaction")]
    async fn fill_transaction(&self, request: TransactionRequest) -> RpcResult<FillTransaction<TypedTransaction>>;

    /// A block, with whole transactions or their hashes; at `pending` the one that the pool would give.
    #[method(name = "getBlockByNumber")]
    async fn block_by_number(&self, number: BlockNumberOrTag, full: Option<bool>) -> RpcResult<Option<BlockAnswer>>;

    /// A header.
    #[method(name = "getHeaderByNumber")]
    fn header_by_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<Header>>;

    /// A header.
    #[method(name = "getHeaderByHash")]
    fn header_by_hash(&self, hash: B256) -> RpcResult<Option<Header>>;

    /// A block, with whole transactions or their hashes.
    #[method(name = "getBlockByHash")]
    fn block_by_hash(&self, hash: B256, full: Option<bool>) -> RpcResult<Option<Block>>;

    /// All receipts of a block.
    #[method(name = "getBlockReceipts")]
    fn block_receipts(&self, block: BlockId) -> RpcResult<Option<Vec<TransactionReceipt>>>;

    /// Number of transactions in a block.
    #[method(name = "getBlockTransactionCountByNumber")]
    async fn block_transaction_count_by_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<U64>>;

    /// Number of transactions in a block.
    #[method(name = "getBlockTransactionCountByHash")]
    fn block_transaction_count_by_hash(&self, hash: B256) -> RpcResult<Option<U64>>;

    /// A transaction, mined or in the pool.
    #[method(name = "getTransactionByHash")]
    fn transaction_by_hash(&self, hash: B256) -> RpcResult<Option<Transaction>>;

    /// A transaction of a block.
    #[method(name = "getTransactionByBlockNumberAndIndex")]
    async fn transaction_by_block_number_and_index(
        &self,
        number: BlockNumberOrTag,
        index: Index,
    ) -> RpcResult<Option<Transaction>>;

    /// A transaction of a block.
    #[method(name = "getTransactionByBlockHashAndIndex")]
    fn transaction_by_block_hash_and_index(&self, hash: B256, index: Index) -> RpcResult<Option<Transaction>>;

    /// The receipt of a mined transaction.
    #[method(name = "getTransactionReceipt")]
    fn transaction_receipt(&self, hash: B256) -> RpcResult<Option<TransactionReceipt>>;

    /// The EIP-2718 bytes of a transaction, mined or in the pool.
    #[method(name = "getRawTransactionByHash")]
    fn raw_transaction_by_hash(&self, hash: B256) -> RpcResult<Option<Bytes>>;

    /// Hands in a signed transaction; answers its hash once a validator has it.
    #[method(name = "sendRawTransaction")]
    async fn send_raw_transaction(&self, raw: Bytes) -> RpcResult<B256>;

    /// Hands in a signed transaction and waits for its receipt (EIP-7966), by default 2 s.
    #[method(name = "sendRawTransactionSync")]
    async fn send_raw_transaction_sync(&self, raw: Bytes, timeout_millis: Option<U64>)
    -> RpcResult<TransactionReceipt>;

    /// Logs of a range of blocks.
    #[method(name = "getLogs")]
    async fn logs(&self, filter: Filter) -> RpcResult<Vec<Log>>;

    /// Begins to collect logs.
    #[method(name = "newFilter", with_extensions)]
    fn new_filter(&self, filter: Filter) -> RpcResult<U128>;

    /// Begins to collect hashes of blocks.
    #[method(name = "newBlockFilter", with_extensions)]
    fn new_block_filter(&self) -> RpcResult<U128>;

    /// Begins to collect hashes of transactions that enter the pool.
    #[method(name = "newPendingTransactionFilter", with_extensions)]
    fn new_pending_transaction_filter(&self) -> RpcResult<U128>;

    /// What was collected since the last call.
    #[method(name = "getFilterChanges")]
    async fn filter_changes(&self, id: U128) -> RpcResult<FilterChanges>;

    /// All logs that match a filter.
    #[method(name = "getFilterLogs")]
    async fn filter_logs(&self, id: U128) -> RpcResult<Vec<Log>>;

    /// Ends a filter; `false` if there was none.
    #[method(name = "uninstallFilter")]
    fn uninstall_filter(&self, id: U128) -> RpcResult<bool>;

    /// Number of uncles; only blocks imported from proof of work have any.
    #[method(name = "getUncleCountByBlockNumber")]
    fn uncle_count_by_block_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<U64>>;

    /// Number of uncles; only blocks imported from proof of work have any.
    #[method(name = "getUncleCountByBlockHash")]
    fn uncle_count_by_block_hash(&self, hash: B256) -> RpcResult<Option<U64>>;

    /// The header of an uncle.
    #[method(name = "getUncleByBlockNumberAndIndex")]
    fn uncle_by_block_number_and_index(&self, number: BlockNumberOrTag, index: Index) -> RpcResult<Option<Block>>;

    /// The header of an uncle.
    #[method(name = "getUncleByBlockHashAndIndex")]
    fn uncle_by_block_hash_and_index(&self, hash: B256, index: Index) -> RpcResult<Option<Block>>;

    /// Pushes `newHeads`, `logs`, `newPendingTransactions` or `syncing` over a WebSocket.
    #[subscription(name = "subscribe" => "subscription", unsubscribe = "unsubscribe", item = serde_json::Value)]
    async fn subscribe(&self, kind: SubscriptionKind, params: Option<Params>) -> SubscriptionResult;
}

/// Facts about the network.
#[rpc(server, namespace = "net")]
pub trait Net {
    /// Chain id as a decimal string.
    #[method(name = "version")]
    fn version(&self) -> RpcResult<String>;

    /// Always `true`.
    #[method(name = "listening")]
    fn listening(&self) -> RpcResult<bool>;

    /// Always 0: this node asks validators over HTTP and has no peers.
    #[method(name = "peerCount")]
    fn peer_count(&self) -> RpcResult<U64>;
}

/// Facts about the program.
#[rpc(server, namespace = "web3")]
pub trait Web3 {
    /// Name, version and platform of the program.
    #[method(name = "clientVersion")]
    fn client_version(&self) -> RpcResult<String>;

    /// Keccak-256.
    #[method(name = "sha3")]
    fn sha3(&self, data: Bytes) -> RpcResult<B256>;
}

/// What waits in this node's pool.
#[rpc(server, namespace = "txpool")]
pub trait TxPool {
    /// How many transactions can run, and how many wait for a lower nonce.
    #[method(name = "status")]
    fn status(&self) -> RpcResult<PoolStatus>;

    /// All transactions, by sender and nonce.
    #[method(name = "content")]
    fn content(&self) -> RpcResult<PoolContent<BySender<ByNonce<Waiting>>>>;

    /// The transactions of one sender, by nonce.
    #[method(name = "contentFrom")]
    fn content_from(&self, sender: Address) -> RpcResult<PoolContent<ByNonce<Waiting>>>;

    /// One line about each transaction, by sender and nonce.
    #[method(name = "inspect")]
    fn inspect(&self) -> RpcResult<PoolContent<BySender<ByNonce<String>>>>;
}

/// What only this chain has.
#[rpc(server, namespace = "kumo")]
pub trait Kumo {
    /// Where the coin is: what genesis gave and the minter made, less what was burned.
    #[method(name = "supply")]
    async fn supply(&self) -> RpcResult<SupplyView>;

    /// Which blocks are final, and by what rule.
    #[method(name = "finality")]
    fn finality(&self) -> RpcResult<Finality>;

    /// What proves to anybody who knows the committee that a block is final; of the head if none is named.
    #[method(name = "getCheckpoint")]
    async fn checkpoint(&self, block: Option<BlockId>) -> RpcResult<Checkpoint>;
}

/// Facts about this server.
#[rpc(server, namespace = "rpc")]
pub trait RpcInfo {
    /// The namespaces it serves, each with a version.
    #[method(name = "modules")]
    fn modules(&self) -> RpcResult<BTreeMap<String, String>>;
}

/// Something of each sender, by its address with the checksum of EIP-55.
pub type BySender<T> = BTreeMap<String, T>;

/// Something of each transaction, by decimal nonce.
pub type ByNonce<T> = BTreeMap<String, T>;

/// `txpool_status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolStatus {
    /// Transactions that can run.
    pub pending: U64,
    /// Transactions that wait for a lower nonce.
    pub queued: U64,
}

/// `txpool_content` and its relatives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PoolContent<T> {
    /// Transactions that can run.
    pub pending: T,
    /// Transactions that wait for a lower nonce.
    pub queued: T,
}

/// `kumo_supply`, in wei.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SupplyView {
    /// Block after which this was counted.
    pub block: U64,
    /// Sum of all balances at genesis.
    pub genesis: U256,
    /// Minted since.
    pub minted: U256,
    /// Sum of all balances now: `genesis` and `minted`.
    pub total: U256,
    /// Held by the burn address, which nobody can spend from.
    pub burned: U256,
    /// `total` without `burned`.
    pub circulating: U256,
}

/// `kumo_finality`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finality {
    /// `ffg`: a quorum of validators signed the finalisation of `latest` before it was served here, and the stake votes on
    /// checkpoints. `bft`: the same without votes of the stake. `imported`: the blocks come from a file, and nobody's
    /// finality was checked.
    pub rule: &'static str,
    /// Newest block.
    pub latest: BlockName,
    /// Newest block that tag `safe` names.
    pub safe: BlockName,
    /// Newest block that tag `finalized` names.
    pub finalized: BlockName,
    /// Votes of the stake, as they follow from the blocks; absent where nobody votes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stake: Option<StakeVotes>,
}

/// What the stake has decided (Casper FFG), part of `kumo_finality`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StakeVotes {
    /// Current epoch.
    pub epoch: U64,
    /// Blocks of an epoch.
    pub epoch_blocks: U64,
    /// Checkpoint that is voted on now.
    pub current: StakePoint,
    /// Newest justified checkpoint.
    pub justified: StakePoint,
    /// Newest finalised checkpoint.
    pub finalized: StakePoint,
    /// Commitment to the set that votes on the current checkpoint.
    pub set: B256,
    /// Validators in it.
    pub validators: U64,
    /// Their stake, in the smallest unit.
    pub stake: U256,
    /// Stake counted for the current checkpoint so far.
    pub voted: U256,
}

/// A checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StakePoint {
    /// Its epoch.
    pub epoch: U64,
    /// Number of its block.
    pub block: U64,
    /// What votes name.
    pub root: B256,
}

/// `kumo_getCheckpoint`: the proof that a block is final.
///
/// Whoever knows the committee of the network decodes `certificate`, checks its signatures, follows its headers to
/// `sequencerHeader`, and finds there the SHA-256 of `header`, whose Keccak-256 is the hash of the block. The precompile
/// `CertificateVerifier` takes `sequencerHeader` and `certificate` as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// The block.
    pub block: BlockName,
    /// RLP of its header, as the sequencer block commits to it.
    pub header: Bytes,
    /// Header of the sequencer block of this height.
    pub sequencer_header: Bytes,
    /// The whole of that block, with all transactions.
    pub sequencer_block: Bytes,
    /// The quorum certificate.
    pub certificate: Bytes,
}

/// A block by number and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BlockName {
    /// Height.
    pub number: U64,
    /// Hash of its header.
    pub hash: B256,
}
