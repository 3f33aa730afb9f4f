//! What the gateway asks of the rest of the system. `kumo` implements these traits over the engines.

use alloy_primitives::{Address, B256};
use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use futures::stream::BoxStream;
use protocol::api::{
    BlockHeader, BlockShard, CertifiedBlock, Committees, FileInfo, FinalizedPage, JobEvent, JobView, KeptCheckpoint,
    LaneState, LinkPage, LogRecord, NamespaceAccount, NamespaceBlock, NamespaceFee, Problem, ProviderInfo, Quote,
    RepairReport, SequencedTransaction, ShardNodeInfo, Status, StorageNode, SubmissionReceipt, SubmissionStatus,
    ValidatorStatus,
};
use protocol::network::Network;
use std::ops::Range;

/// Result of every backend call: the error is already a problem document.
pub type Answer<T> = Result<T, Problem>;

/// A stream of body bytes; an error ends the body early, so that a client sees a broken transfer, never a short file.
pub type ByteStream = BoxStream<'static, std::io::Result<Bytes>>;

/// A UnixFS file being served.
pub struct FileBody {
    /// Size of the whole file in bytes.
    pub size: u64,
    /// The bytes of the range asked for, or all.
    pub stream: ByteStream,
}

/// The public API under `/v1` and `/ipfs`. Every CID that it is asked for is a CIDv1.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Public part of the network file (no private keys, no genesis).
    async fn network(&self) -> Answer<Network>;
    /// Summary for `/v1/status` and the page at `/`.
    async fn status(&self) -> Answer<Status>;
    /// `Ok` when the chain advances and the storage nodes can take a file.
    async fn ready(&self) -> Answer<()>;

    /// Stores all blocks of a CARv1 stream with exactly one root: erasure-coded and placed when this returns.
    async fn put_car(&self, car: ByteStream) -> Answer<FileInfo>;
    /// Files this gateway knows, newest first.
    async fn files(&self, limit: usize) -> Answer<Vec<FileInfo>>;
    /// One file with the health of its shards.
    async fn file(&self, cid: Cid) -> Answer<FileInfo>;
    /// Finds damaged and missing shards of a file and rebuilds them.
    async fn repair(&self, cid: Cid) -> Answer<RepairReport>;
    /// One block.
    async fn block(&self, cid: Cid) -> Answer<Bytes>;
    /// The DAG below `cid` as CARv1 in depth-first order without duplicates.
    async fn car(&self, cid: Cid) -> Answer<ByteStream>;
    /// The bytes of a UnixFS file or raw block; `range` is within the file once `size` is known, and clamped. The empty
    /// range `0..0` asks for the size alone, and should cost no more than the root block.
    async fn unixfs(&self, cid: Cid, range: Option<Range<u64>>) -> Answer<FileBody>;
    /// Storage nodes and whether they are up.
    async fn storage_nodes(&self) -> Answer<Vec<StorageNode>>;

    /// Jobs, newest first, without bids and tasks. `before`: only ids below it.
    async fn jobs(&self, limit: usize, before: Option<u64>) -> Answer<Vec<JobView>>;
    /// One job with bids and tasks.
    async fn job(&self, id: u64) -> Answer<JobView>;
    /// Past events after position `after` (block, log index), then new ones until the job closes.
    async fn job_events(&self, id: u64, after: Option<(u64, u64)>) -> Answer<BoxStream<'static, JobEvent>>;
    /// Kept log records, then new ones until the job closes when `follow`.
    async fn job_logs(&self, id: u64, task: Option<u32>, follow: bool) -> Answer<BoxStream<'static, LogRecord>>;
    /// Takes a log record from the provider that holds the task; the backend checks signature and assignment.
    async fn push_log(&self, record: LogRecord) -> Answer<()>;
    /// Price and fit of a specification, without paying.
    async fn quote(&self, spec: &str) -> Answer<Quote>;
    /// Compute providers.
    async fn providers(&self) -> Answer<Vec<ProviderInfo>>;
    /// One provider.
    async fn provider(&self, address: Address) -> Answer<ProviderInfo>;

    /// Hands an opaque transaction to the sequencer; returns its hash.
    async fn submit(&self, namespace: u64, payload: Bytes) -> Answer<protocol::api::SubmitResponse>;
    /// Final transactions of a namespace from `height` on, in order.
    async fn namespace_transactions(
        &self,
        namespace: u64,
        height: u64,
        limit: usize,
    ) -> Answer<Vec<SequencedTransaction>>;
    /// One final transaction by hash.
    async fn sequenced_transaction(&self, hash: B256) -> Answer<SequencedTransaction>;
}

/// The shard service of a storage node, under `/shard/v1`. Shards are named by the SHA-256 of their bytes.
#[async_trait]
pub trait ShardBackend: Send + Sync + 'static {
    /// Who the node is and what it keeps.
    async fn info(&self) -> Answer<ShardNodeInfo>;
    /// Keeps a shard; durable when this returns. Refuses bytes that do not hash to `id`, and shards over capacity.
    async fn put_shard(&self, id: B256, bytes: Bytes) -> Answer<()>;
    /// A shard, checked against its checksum; damaged ones are reported as not found.
    async fn shard(&self, id: B256) -> Answer<Bytes>;
    /// Whether the shard is there and healthy (reads and checks it).
    async fn has_shard(&self, id: B256) -> Answer<bool>;
    /// Keeps a manifest of the DAG `root`; several may be kept per root, identical ones once.
    async fn put_manifest(&self, root: Cid, bytes: Bytes) -> Answer<()>;
    /// The manifests kept for `root`.
    async fn manifests(&self, root: Cid) -> Answer<Vec<Bytes>>;
}

/// What is submitted to a validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submission {
    /// Namespace and bytes of an opaque transaction.
    Transaction(u64, Bytes),
    /// Namespaces and bytes of transactions that must stand together in one block, in this order.
    Bundle(Vec<(u64, Bytes)>),
}

/// A final block, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FinalBlock {
    /// Height.
    pub height: u64,
    /// Consensus view in which it was proposed.
    pub view: u64,
    /// Unix milliseconds.
    pub timestamp_millis: u64,
    /// Digest of the block.
    pub digest: B256,
    /// Digest of its parent.
    pub parent: B256,
    /// Root over its namespaces.
    pub namespaces_root: B256,
    /// Root over the shards of its payload.
    pub erasure_root: B256,
    /// Encoded header.
    pub header: Bytes,
    /// Encoded finalization certificate.
    pub certificate: Bytes,
    /// Encoded payload.
    pub payload: Bytes,
    /// Transactions by namespace, ascending.
    pub namespaces: Vec<(u64, Vec<Bytes>)>,
}

/// The node API of a validator, under `/seq/v1` and in the shapes of Espresso's query service.
#[async_trait]
pub trait ValidatorBackend: Send + Sync + 'static {
    /// Seat, height, queue.
    async fn status(&self) -> Answer<ValidatorStatus>;
    /// Accepts submissions, each for itself, in order; what is accepted is on the disk when this returns. `lifetime` is
    /// how many blocks they may wait, within the limits of the sequencer.
    async fn accept(
        &self,
        submissions: Vec<Submission>,
        lifetime: Option<u64>,
    ) -> Answer<Vec<Result<SubmissionReceipt, Problem>>>;
    /// What became of submissions, by hash or name, in order.
    async fn statuses(&self, hashes: Vec<B256>) -> Answer<Vec<SubmissionStatus>>;
    /// Queues opaque transactions of somebody who keeps them and submits them again; says of each why it was not queued.
    async fn submit_all(&self, namespace: u64, payloads: Vec<Bytes>) -> Answer<Vec<Option<String>>>;
    /// Waits until the newest final height is above `height`, and returns it.
    async fn height_above(&self, height: u64) -> Answer<u64>;
    /// Final blocks from `from` on; waits up to `wait_millis` for the first one.
    async fn finalized(&self, from: u64, max: usize, wait_millis: u64) -> Answer<FinalizedPage>;
    /// One final block with its certificate.
    async fn certified(&self, height: u64) -> Answer<CertifiedBlock>;
    /// One final block, decoded (height 1 and above).
    async fn block(&self, height: u64) -> Answer<FinalBlock>;
    /// What the committee signed about one final block (height 1 and above), also when the block is pruned.
    async fn header(&self, height: u64) -> Answer<BlockHeader>;
    /// Shard `index` of the payload of one final block, with its proof.
    async fn shard(&self, height: u64, index: u32) -> Answer<BlockShard>;
    /// Height of the final block with a digest.
    async fn height_of(&self, digest: B256) -> Answer<u64>;
    /// All transactions of `namespace` in one final block, with their proof.
    async fn namespace(&self, height: u64, namespace: u64) -> Answer<NamespaceBlock>;
    /// What a namespace used and owes; proven by the last block that opened an epoch, or by the one of `height`.
    async fn account(&self, namespace: u64, height: Option<u64>) -> Answer<NamespaceAccount>;
    /// What a byte of a namespace costs.
    async fn fee(&self, namespace: u64) -> Answer<NamespaceFee>;
    /// The checkpoint of `epoch`, by default the newest finalised one, with its state.
    async fn checkpoint(&self, epoch: Option<u64>) -> Answer<KeptCheckpoint>;
    /// Who orders which blocks.
    async fn committees(&self) -> Answer<Committees>;
    /// Who holds the key of the encrypted lane.
    async fn lane(&self) -> Answer<LaneState>;
    /// At most `max` links that the stake voted for, to targets of epoch `from` and later; a page may end earlier.
    async fn links(&self, from: u64, max: usize) -> Answer<LinkPage>;
    /// Takes evidence against a validator; it is on the disk when this returns.
    async fn report(&self, evidence: Bytes) -> Answer<()>;
}
