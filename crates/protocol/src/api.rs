//! The REST API under `/v1` and the node APIs: bodies that the gateway, the SDK and the nodes exchange.
//!
//! Amounts are decimal strings of wei; bytes are `0x` hex; addresses are EIP-55 hex; times are Unix seconds unless the
//! name says milliseconds. Unknown fields are ignored by readers, so that fields can be added.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::Serializer;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Wei as a decimal string: no reader loses digits, and people can read it. Readers accept `0x` hex, too.
fn decimal<S: Serializer>(amount: &U256, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(amount)
}

fn decimals<S: Serializer>(amounts: &[U256], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(amounts.iter().map(U256::to_string))
}

/// `GET /v1/status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Whether this is a development network.
    pub dev: bool,
    /// Newest final block of the settlement chain.
    pub block_number: u64,
    /// Its time.
    pub block_timestamp: u64,
    /// Newest block that two thirds of the stake have justified.
    #[serde(default)]
    pub safe_block_number: u64,
    /// Newest block that two thirds of the stake have finalised.
    #[serde(default)]
    pub finalized_block_number: u64,
    /// Validators in the committee.
    pub validators: u32,
    /// Storage nodes registered on chain.
    pub storage_nodes: u32,
    /// Storage nodes that answered the last probe.
    pub storage_nodes_up: u32,
    /// Compute providers registered on chain.
    pub providers: u32,
    /// Jobs opened so far.
    pub jobs: u64,
    /// Files this gateway knows.
    pub files: u64,
}

/// A stored object: `POST /v1/files`, `GET /v1/files`, `GET /v1/files/{cid}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileInfo {
    /// Root CID.
    pub cid: String,
    /// Bytes of all blocks of the DAG.
    pub size: u64,
    /// Erasure-coded segments.
    pub segments: u32,
    /// Shards any of which rebuild a segment.
    pub k: u8,
    /// Shards stored per segment.
    pub n: u8,
    /// When this gateway stored it.
    pub stored_at: u64,
    /// Shards found and healthy when last checked, over all segments; absent if not checked in this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards_healthy: Option<u32>,
    /// Shards that should exist.
    pub shards_total: u32,
}

/// `POST /v1/files/{cid}/repair`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RepairReport {
    /// Shards looked at.
    pub checked: u32,
    /// Shards missing or damaged.
    pub damaged: u32,
    /// Shards rebuilt and stored again.
    pub rebuilt: u32,
    /// Shards that could not be placed (no node with room answered).
    pub unplaced: u32,
}

/// One storage node: `GET /v1/storage/nodes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorageNode {
    /// Account of the node.
    #[schema(value_type = String)]
    pub address: Address,
    /// URL of its shard service.
    pub endpoint: String,
    /// Whether it answered the last probe.
    pub up: bool,
    /// Bytes of shards it keeps.
    pub used_bytes: u64,
    /// Bytes it offers.
    pub capacity_bytes: u64,
    /// Shards it keeps.
    pub shards: u64,
}

/// `GET /shard/v1/info` of a storage node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShardNodeInfo {
    /// Account of the node.
    #[schema(value_type = String)]
    pub address: Address,
    /// Bytes of shards it keeps.
    pub used_bytes: u64,
    /// Bytes it offers.
    pub capacity_bytes: u64,
    /// Shards it keeps.
    pub shards: u64,
    /// Shards found damaged by the last scrub.
    pub damaged: u64,
}

/// A compute provider: `GET /v1/providers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderInfo {
    /// Account of the provider.
    #[schema(value_type = String)]
    pub address: Address,
    /// Role bits: 1 compute, 2 storage.
    pub roles: u8,
    /// Service URL, may be empty.
    pub endpoint: String,
    /// Facts about the machine, JSON as registered.
    pub attributes: String,
    /// X25519 key that job keys are wrapped to.
    #[schema(value_type = String)]
    pub encryption_key: B256,
    /// Active stake, wei.
    #[schema(value_type = String)]
    #[serde(serialize_with = "decimal")]
    pub stake: U256,
    /// Part of it that backs open tasks, wei.
    #[schema(value_type = String)]
    #[serde(serialize_with = "decimal")]
    pub reserved: U256,
    /// Reputation 0..=10000.
    pub reputation_bps: u16,
    /// Unix seconds until which it may neither bid nor audit; 0 if free.
    pub jailed_until: u64,
    /// Native balance, wei.
    #[schema(value_type = String)]
    #[serde(serialize_with = "decimal")]
    pub balance: U256,
}

/// A job and its tasks: `GET /v1/jobs/{id}`; without bids and tasks in `GET /v1/jobs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    /// Job id.
    pub id: u64,
    /// Who pays.
    #[schema(value_type = String)]
    pub consumer: Address,
    /// `bidding`, `running` or `closed`.
    pub state: String,
    /// CID of the specification.
    pub spec: String,
    /// Name from the specification, empty if it could not be read.
    pub name: String,
    /// Most paid per task, wei.
    #[schema(value_type = String)]
    #[serde(serialize_with = "decimal")]
    pub price_max: U256,
    /// Probability of an audit, 1/10000.
    pub audit_bps: u16,
    /// When it was opened.
    pub opened_at: u64,
    /// End of the bid window.
    pub bid_end: u64,
    /// When it must be done.
    pub deadline: u64,
    /// Tasks in all.
    pub task_count: u32,
    /// Tasks paid.
    pub tasks_paid: u32,
    /// Tasks that failed for good.
    pub tasks_failed: u32,
    /// Locked when opened, wei.
    #[schema(value_type = String)]
    #[serde(serialize_with = "decimal")]
    pub escrowed: U256,
    /// Paid to providers, auditors and fees, wei.
    #[schema(value_type = String)]
    #[serde(serialize_with = "decimal")]
    pub paid: U256,
    /// Given back, wei.
    #[schema(value_type = String)]
    #[serde(serialize_with = "decimal")]
    pub refunded: U256,
    /// Bids, best first.
    #[serde(default)]
    pub bids: Vec<BidView>,
    /// Tasks by index.
    #[serde(default)]
    pub tasks: Vec<TaskView>,
}

/// One bid of a [`JobView`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BidView {
    /// Bidder.
    #[schema(value_type = String)]
    pub provider: Address,
    /// Price per task, wei.
    #[schema(value_type = String)]
    #[serde(serialize_with = "decimal")]
    pub price: U256,
    /// Tasks it takes at a time.
    pub capacity: u32,
    /// Score, lower is better.
    #[schema(value_type = String)]
    #[serde(serialize_with = "decimal")]
    pub score: U256,
}

/// One task of a [`JobView`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskView {
    /// Index from 0.
    pub index: u32,
    /// `open`, `assigned`, `receipted`, `audited`, `disputed`, `paid` or `failed`.
    pub state: String,
    /// Times assigned so far.
    pub attempt: u8,
    /// Provider of the current attempt.
    #[schema(value_type = String)]
    pub provider: Address,
    /// Agreed price, wei.
    #[schema(value_type = String)]
    #[serde(serialize_with = "decimal")]
    pub price: U256,
    /// Deadline of the current step.
    pub deadline: u64,
    /// Auditor, zero if none was drawn.
    #[schema(value_type = String)]
    pub auditor: Address,
    /// Commitment of the receipt, zero before.
    #[schema(value_type = String)]
    pub commitment: B256,
    /// CID of the output manifest, empty before the receipt.
    pub output: String,
}

/// What happened to a job, from the chain's logs: server-sent events of `GET /v1/jobs/{id}/events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobEvent {
    /// Job id.
    pub job_id: u64,
    /// Name of the contract event, for example `TaskAssigned`.
    pub event: String,
    /// Block that holds it.
    pub block_number: u64,
    /// Position of the log in its block; with `block_number`, the SSE id `block-index`.
    pub log_index: u64,
    /// Time of the block.
    pub timestamp: u64,
    /// Transaction that emitted it.
    #[schema(value_type = String)]
    pub transaction: B256,
    /// The task, if the event is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<u32>,
    /// The account that the event is about, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub account: Option<Address>,
    /// All fields by name, as strings.
    pub fields: std::collections::BTreeMap<String, String>,
}

/// A piece of a running task's log, sealed to the consumer: `POST` and server-sent events of `/v1/jobs/{id}/logs`.
///
/// The gateway cannot read it: the key comes from the job's key bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogRecord {
    /// Job id.
    pub job_id: u64,
    /// Task index.
    pub task: u32,
    /// Attempt that wrote it.
    pub attempt: u8,
    /// Provider that wrote it.
    #[schema(value_type = String)]
    pub provider: Address,
    /// Position in this attempt's log, from 0 without gaps.
    pub seq: u64,
    /// Sealed UTF-8 bytes (at most 16 KiB).
    #[schema(value_type = String)]
    pub sealed: Bytes,
    /// EIP-191 signature of the provider over [`LogRecord::signing_bytes`].
    #[schema(value_type = String)]
    pub signature: Bytes,
}

impl LogRecord {
    /// What the provider signs.
    pub fn signing_bytes(&self) -> Vec<u8> {
        let mut out = b"kumo/log/v1".to_vec();
        out.extend(self.job_id.to_be_bytes());
        out.extend(self.task.to_be_bytes());
        out.push(self.attempt);
        out.extend(self.provider);
        out.extend(self.seq.to_be_bytes());
        out.extend(crate::content::sha256(&self.sealed));
        out
    }
}

/// `POST /v1/jobs/quote`: the specification as JSON or YAML text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuoteRequest {
    /// The specification.
    pub spec: String,
}

/// Answer to [`QuoteRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quote {
    /// Tasks.
    pub tasks: u32,
    /// Most paid per task, wei.
    #[schema(value_type = String)]
    #[serde(serialize_with = "decimal")]
    pub price_max: U256,
    /// What `open` must be paid, wei.
    #[schema(value_type = String)]
    #[serde(serialize_with = "decimal")]
    pub escrow: U256,
    /// What the providers that fit would ask per task now, wei, cheapest first.
    #[schema(value_type = Vec<String>)]
    #[serde(serialize_with = "decimals")]
    pub prices: Vec<U256>,
    /// Providers that could take it.
    pub providers_fit: u32,
    /// Providers in all.
    pub providers_total: u32,
    /// Why the others do not fit: reason and how many.
    pub excluded: Vec<Exclusion>,
}

/// One line of "why no match?".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Exclusion {
    /// The dimension, with values: `memory: job asks for 4096 MiB, provider offers 512 MiB`.
    pub reason: String,
    /// Providers excluded by it.
    pub providers: u32,
}

/// `POST /v1/submit/submit` (the shape of Espresso's submit route) and `POST /seq/v1/submit` of a validator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmitRequest {
    /// Namespace (rollup) id; 1 is the settlement chain.
    pub namespace: u64,
    /// Opaque transaction bytes (1 byte to 1 MiB).
    #[schema(value_type = String)]
    pub payload: Bytes,
}

/// Answer to [`SubmitRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmitResponse {
    /// SHA-256 over the namespace (8 bytes, big endian) and the payload.
    #[schema(value_type = String)]
    pub hash: B256,
}

/// `POST /seq/v1/submit-all` of a validator: many transactions of one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmitAllRequest {
    /// Namespace (rollup) id; 1 is the settlement chain.
    pub namespace: u64,
    /// Opaque transactions (1 to 1,024; each 1 byte to 1 MiB).
    #[schema(value_type = Vec<String>)]
    pub payloads: Vec<Bytes>,
}

/// Answer to [`SubmitAllRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmitAllResponse {
    /// Why each transaction was not queued, in the order of the request; `null` for one that was.
    pub refusals: Vec<Option<String>>,
}

/// `POST /seq/v1/submit-batch` of a validator: transactions of any namespaces, each for itself. As
/// `application/octet-stream`, the body is `namespace (8) ‖ length (4) ‖ bytes` for each, big endian.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitBatchRequest {
    /// Transactions (1 to 65,536 with 8 MiB).
    pub transactions: Vec<SubmitRequest>,
    /// How many blocks they may wait (1 to 15,000); 3,000 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<u64>,
}

/// `POST /seq/v1/submit-bundle` of a validator: transactions that must stand together in one block, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitBundleRequest {
    /// Transactions (2 to 64 with 1 MiB).
    pub transactions: Vec<SubmitRequest>,
    /// How many blocks the bundle may wait (1 to 15,000); 3,000 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<u64>,
}

/// A submission that is on the disk of the validator that answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmissionReceipt {
    /// SHA-256 over the namespace (8 bytes, big endian) and the payload, or the name of the bundle.
    #[schema(value_type = String)]
    pub hash: B256,
    /// Last height at which it may stand; 0 if it is final already.
    pub expires: u64,
    /// Whether it waited already, or is final.
    pub known: bool,
}

/// The answer about one of many submissions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SubmissionAnswer {
    /// It is on the disk.
    Accepted(SubmissionReceipt),
    /// It is not; this is why.
    Refused(String),
}

/// Answer to [`SubmitBatchRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmitBatchResponse {
    /// In the order of the request.
    pub answers: Vec<SubmissionAnswer>,
}

/// `POST /seq/v1/submissions` of a validator: what became of many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusesRequest {
    /// Hashes and names (1 to 1,024).
    #[schema(value_type = Vec<String>)]
    pub hashes: Vec<B256>,
}

/// All transactions of a namespace in one final block, or that there are none, with everything that proves it:
/// `GET /seq/v1/blocks/{height}/namespaces/{namespace}` of a validator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamespaceBlock {
    /// Height.
    pub height: u64,
    /// Encoded header, which the committee signed.
    #[schema(value_type = String)]
    pub header: Bytes,
    /// Encoded finalization certificate.
    #[schema(value_type = String)]
    pub certificate: Bytes,
    /// Encoded namespace proof; it contains the transactions.
    #[schema(value_type = String)]
    pub proof: Bytes,
}

/// What a committee signed about one final block: `GET /seq/v1/blocks/{height}/header` of a validator. It stays when the
/// block is pruned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockHeader {
    /// Height.
    pub height: u64,
    /// Encoded header.
    #[schema(value_type = String)]
    pub header: Bytes,
    /// Encoded finalization certificate.
    #[schema(value_type = String)]
    pub certificate: Bytes,
}

/// One shard of the payload of a final block: `GET /seq/v1/blocks/{height}/shards/{index}` of a validator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockShard {
    /// Height.
    pub height: u64,
    /// Encoded shard with the proof that leads to the erasure root in the header.
    #[schema(value_type = String)]
    pub proof: Bytes,
}

/// `GET /seq/v1/namespaces/{namespace}/blocks?from=…` of a validator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamespacePage {
    /// One for each height from the one asked for on, without gaps; empty if none arrived in time.
    pub blocks: Vec<NamespaceBlock>,
    /// Newest final height of the validator asked.
    pub height: u64,
}

/// What a namespace used and owes: `GET /seq/v1/namespaces/{namespace}/account` of a validator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamespaceAccount {
    /// Namespace.
    pub namespace: u64,
    /// Newest final block that is counted.
    pub height: u64,
    /// What a byte costs in the next block, in wei.
    pub base_fee: u64,
    /// First block that is counted; absent if it has no account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Transactions ordered since.
    pub transactions: u64,
    /// Bytes that they took in payloads.
    pub bytes: u64,
    /// Fees for them, in wei, whether they are paid or not: `RollupRegistry` knows what is paid.
    #[schema(value_type = String)]
    #[serde(serialize_with = "decimal")]
    pub owed: U256,
    /// The account as the last block that opened an epoch commits to it; absent if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<CommittedAccount>,
}

/// An account with everything that proves it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommittedAccount {
    /// Height of the block that commits to it; it is counted up to the block before.
    pub height: u64,
    /// Encoded header of that block.
    #[schema(value_type = String)]
    pub header: Bytes,
    /// Encoded finalization certificate.
    #[schema(value_type = String)]
    pub certificate: Bytes,
    /// Encoded proof of transaction 0 of namespace 0.
    #[schema(value_type = String)]
    pub commitment: Bytes,
    /// Encoded proof of the account.
    #[schema(value_type = String)]
    pub account: Bytes,
}

/// Who holds the key of the encrypted lane: `GET /seq/v1/lane` of a validator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LaneState {
    /// Newest final block.
    pub height: u64,
    /// The key in force; absent while the lane is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<SharedKey>,
    /// The round under way, in which validators make a key or hand it to the next committee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<LaneAttempt>,
    /// Whether this validator holds a share of the key in force.
    pub share: bool,
}

/// A key and who opens with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SharedKey {
    /// What senders encrypt to: a point of G1, 48 bytes, hex.
    pub key: String,
    /// The round that made these shares; 0 if a dealer did.
    pub round: u64,
    /// First height from which on these members open with them.
    pub first: u64,
    /// How many members make an opening together.
    pub required: u32,
    /// Consensus keys of the members, ascending, hex.
    pub members: Vec<String>,
    /// What proves all of this; absent for a dealt key, which stands in the network file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<SharedKeyProof>,
}

/// Proof that a final block names a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SharedKeyProof {
    /// Height of the block.
    pub height: u64,
    /// Its encoded header.
    #[schema(value_type = String)]
    pub header: Bytes,
    /// Encoded finalization certificate.
    #[schema(value_type = String)]
    pub certificate: Bytes,
    /// Encoded proof of the transaction of namespace 0 that names the key.
    #[schema(value_type = String)]
    pub record: Bytes,
}

/// A round that makes a key or hands it over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LaneAttempt {
    /// Its number, from 1.
    pub round: u64,
    /// Last block of the attempt; if too few validators took part by then, there is another one.
    pub until: u64,
}

/// What a byte of a namespace costs: `GET /seq/v1/namespaces/{namespace}/fee` of a validator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamespaceFee {
    /// Namespace.
    pub namespace: u64,
    /// Newest final block.
    pub height: u64,
    /// In the next block, in wei per byte.
    pub base_fee: u64,
    /// Lowest one, in wei per byte.
    pub base_fee_min: u64,
    /// Bytes of the namespace in a block above which it rises, and below which it falls.
    pub target_bytes: u64,
}

/// What became of a submission: `GET /seq/v1/submissions/{hash}` of a validator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SubmissionState {
    /// Never seen, or older than what the validator remembers.
    #[default]
    Unknown,
    /// It waits for its turn.
    Pending,
    /// In a valid block that is not final yet, and may still be replaced.
    Included,
    /// In a final block.
    Final,
    /// In a block behind a finalised checkpoint.
    Finalized,
    /// In no block up to the height at which it expired.
    Expired,
    /// The application can never include it.
    Rejected,
}

/// Where a transaction or a bundle stands in its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SubmissionPlace {
    /// A transaction.
    Transaction {
        /// Namespace.
        namespace: u64,
        /// Position among the transactions of its namespace in the block.
        index: u32,
    },
    /// A bundle.
    Bundle {
        /// Position among the bundles of the block.
        number: u32,
    },
}

/// What a validator knows about a transaction or a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmissionStatus {
    /// Hash of the transaction, or name of the bundle.
    #[schema(value_type = String)]
    pub hash: B256,
    /// What became of it.
    pub state: SubmissionState,
    /// Height of the block that holds it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub height: Option<u64>,
    /// Where in that block.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<SubmissionPlace>,
    /// While it waits, the last height at which it may stand; once it has expired or was rejected, the height at which
    /// it did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<u64>,
    /// While it waits, how many validators are known to have it on disk.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub copies: Option<u32>,
    /// Newest final height of the validator asked.
    pub final_height: u64,
    /// Newest height of it that stake has finalised; 0 if it does not know.
    pub finalized_height: u64,
    /// First height whose transactions it remembers: what became final earlier is unknown here, and still in its block.
    pub since: u64,
}

impl SubmissionState {
    /// Whether it has come as far as `goal`, or will never come there.
    pub fn has_reached(&self, goal: SubmissionState) -> bool {
        use SubmissionState::{Expired, Final, Finalized, Included, Pending, Rejected, Unknown};
        let rank = |state: SubmissionState| match state {
            Unknown => 0,
            Pending => 1,
            Included => 2,
            Final => 3,
            Finalized => 4,
            Expired | Rejected => 5,
        };
        rank(*self) >= rank(goal)
    }
}

/// An ordered transaction: `GET /v1/namespaces/{namespace}/transactions` and `GET /v1/transactions/{hash}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SequencedTransaction {
    /// Its hash, see [`SubmitResponse`].
    #[schema(value_type = String)]
    pub hash: B256,
    /// Namespace.
    pub namespace: u64,
    /// Sequencer block that holds it.
    pub height: u64,
    /// Position among its namespace's transactions in that block.
    pub index: u32,
    /// Time of the block in Unix milliseconds.
    pub timestamp_millis: u64,
    /// The bytes as submitted.
    #[schema(value_type = String)]
    pub payload: Bytes,
}

/// `GET /seq/v1/status` of a validator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ValidatorStatus {
    /// Seat in the committee that orders the next block; absent while there is none for this validator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<u32>,
    /// Newest finalised sequencer height.
    pub height: u64,
    /// Oldest height from which on every block is kept; older ones are pruned to their headers.
    #[serde(default)]
    pub oldest_height: u64,
    /// Transactions waiting.
    pub pending: u64,
    /// Evidence of misbehaviour seen since the start.
    pub evidence: u64,
    /// What the stake has made of it.
    #[serde(default)]
    pub finality: StakeFinality,
}

/// What the stake has justified and finalised (Casper FFG), as it follows from the final blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StakeFinality {
    /// Current epoch; 0 is that of genesis.
    pub epoch: u64,
    /// Blocks of an epoch; 0 if nobody votes on this chain.
    pub epoch_blocks: u64,
    /// Checkpoint of the current epoch, which is voted on now.
    pub current: CheckpointName,
    /// Newest justified checkpoint: tag `safe`.
    pub justified: CheckpointName,
    /// Newest finalised checkpoint: tag `finalized`.
    pub finalized: CheckpointName,
    /// Commitment to the set that votes on the current checkpoint.
    #[schema(value_type = String)]
    pub set: B256,
    /// Validators in it.
    pub validators: u32,
    /// Their stake, in the smallest unit.
    #[serde(serialize_with = "decimal")]
    #[schema(value_type = String)]
    pub stake: U256,
    /// Stake that was counted for the current checkpoint so far.
    #[serde(serialize_with = "decimal")]
    #[schema(value_type = String)]
    pub voted: U256,
}

/// `GET /seq/v1/checkpoint`: a checkpoint with the state from which a node can start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeptCheckpoint {
    /// Which one.
    pub checkpoint: CheckpointName,
    /// All its fields and the state it commits to (`docs/formats.md`).
    #[schema(value_type = String)]
    pub kept: Bytes,
}

/// `GET /seq/v1/committees`: who orders which blocks. Each committee but the first is named by a block that the one before
/// made final, so that whoever trusts the first one need not trust the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Committees {
    /// In the order of the heights.
    pub committees: Vec<CommitteeTerm>,
}

/// One committee.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommitteeTerm {
    /// First height that it orders.
    pub first: u64,
    /// Height of the block that announces it; 0 for the one of the network file.
    pub announced: u64,
    /// Its validators, in the order of their seats.
    pub validators: Vec<crate::network::Validator>,
}

/// `GET /seq/v1/links?from=…`: what the stake voted for, for those who follow finality by signatures alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LinkPage {
    /// Links, ascending by the epoch of their target; the newest may still miss votes.
    pub links: Vec<VotedLink>,
    /// For each electorate that they name a checkpoint that names it, with its state, as in [`KeptCheckpoint`].
    #[schema(value_type = Vec<String>)]
    pub electorates: Vec<Bytes>,
}

/// A link and its votes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VotedLink {
    /// Epoch of its target.
    pub epoch: u64,
    /// All fields of the target, then the certificate (`docs/formats.md`).
    #[schema(value_type = String)]
    pub link: Bytes,
}

/// A checkpoint: the block that opens an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckpointName {
    /// Its epoch.
    pub epoch: u64,
    /// Height of its block.
    pub height: u64,
    /// What votes name.
    #[schema(value_type = String)]
    pub root: B256,
}

/// `GET /seq/v1/finalized?from=…`: final blocks with their certificates, for anybody who follows the sequencer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FinalizedPage {
    /// Blocks in height order without gaps, from the height asked for; empty if none arrived in time.
    pub blocks: Vec<CertifiedBlock>,
    /// Newest finalised height of the validator asked.
    pub height: u64,
}

/// A finalised block as bytes, with the quorum certificate that proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CertifiedBlock {
    /// Height.
    pub height: u64,
    /// Encoded block.
    #[schema(value_type = String)]
    pub block: Bytes,
    /// Encoded finalization certificate.
    #[schema(value_type = String)]
    pub certificate: Bytes,
}

/// RFC 9457 problem document (`application/problem+json`): every error of every HTTP API of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// URI of the kind of problem, `urn:kumo:<slug>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What happened, the same for every problem of this kind.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What was wrong here: values and limits.
    pub detail: String,
    /// What to do next, if anything can be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_decimal_strings_and_read_back() {
        let bid = BidView {
            provider: Address::ZERO,
            price: U256::from(10).pow(U256::from(18)),
            capacity: 1,
            score: U256::MAX,
        };
        let json = serde_json::to_value(&bid).unwrap();
        assert_eq!(json["price"], "1000000000000000000");
        assert_eq!(serde_json::from_value::<BidView>(json.clone()).unwrap(), bid);
        let mut hex = json;
        hex["price"] = "0xde0b6b3a7640000".into();
        assert_eq!(serde_json::from_value::<BidView>(hex).unwrap(), bid);
    }
}
