//! A storage node as its peers see it.
//!
//! The cluster reaches every node through [`ShardPeer`]; over HTTP in a network, and through [`LocalPeer`] where the
//! store is in the same process, which is also what serves the node's own API.

use crate::shards::{ShardStore, StoreError};
use alloy_primitives::{Address, B256};
use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use protocol::api::ShardNodeInfo;
use std::sync::Arc;

/// Why a node did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The node answered and declined: no room, bad bytes, too large.
    #[error("refused: {0}")]
    Refused(String),
    /// The node did not answer, or failed to.
    #[error("not answering: {0}")]
    Unreachable(String),
}

/// What can be asked of a storage node. The caller limits the time of each request by dropping it.
#[async_trait]
pub trait ShardPeer: Send + Sync + 'static {
    /// Who the node is and what it keeps.
    async fn info(&self) -> Result<ShardNodeInfo, PeerError>;
    /// Keeps a shard; durable when this returns.
    async fn put_shard(&self, id: B256, bytes: Bytes) -> Result<(), PeerError>;
    /// A shard; `None` if the node does not have it, or not undamaged. The caller checks the bytes.
    async fn shard(&self, id: B256) -> Result<Option<Bytes>, PeerError>;
    /// Whether the shard is there and healthy.
    async fn has_shard(&self, id: B256) -> Result<bool, PeerError>;
    /// Keeps a manifest of the DAG `root`.
    async fn put_manifest(&self, root: Cid, bytes: Bytes) -> Result<(), PeerError>;
    /// The manifests of every DAG that the block `cid` belongs to, at most
    /// [`MANIFESTS_ANSWER_BYTES_MAX`](crate::shards::MANIFESTS_ANSWER_BYTES_MAX) in all.
    async fn manifests(&self, cid: Cid) -> Result<Vec<Bytes>, PeerError>;
}

/// A store in this process. Cheap to clone.
#[derive(Clone)]
pub struct LocalPeer {
    address: Address,
    store: Arc<ShardStore>,
}

impl LocalPeer {
    /// The node `address` with its store.
    pub fn new(address: Address, store: Arc<ShardStore>) -> Self {
        Self { address, store }
    }

    /// The store itself, to scrub it.
    pub fn store(&self) -> &Arc<ShardStore> {
        &self.store
    }

    /// Runs `f` where blocking on the disk stops nobody.
    async fn on_disk<T, F>(&self, f: F) -> Result<T, PeerError>
    where
        T: Send + 'static,
        F: FnOnce(&ShardStore) -> Result<T, StoreError> + Send + 'static,
    {
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || f(&store)).await;
        done.map_err(|e| PeerError::Unreachable(e.to_string()))?.map_err(PeerError::from)
    }
}

impl From<StoreError> for PeerError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Mismatch { .. }
            | StoreError::TooLarge { .. }
            | StoreError::Full { .. }
            | StoreError::Manifest(_)
            | StoreError::OtherRoot { .. } => Self::Refused(error.to_string()),
            StoreError::Catalogue(crate::catalogue::CatalogueError::Full { .. }) => Self::Refused(error.to_string()),
            StoreError::InUse { .. } | StoreError::Io { .. } | StoreError::Catalogue(_) => {
                Self::Unreachable(error.to_string())
            }
        }
    }
}

#[async_trait]
impl ShardPeer for LocalPeer {
    async fn info(&self) -> Result<ShardNodeInfo, PeerError> {
        let usage = self.store.usage();
        Ok(ShardNodeInfo {
            address: self.address,
            used_bytes: usage.used_bytes,
            capacity_bytes: usage.capacity_bytes,
            shards: usage.shards,
            damaged: usage.damaged,
        })
    }

    async fn put_shard(&self, id: B256, bytes: Bytes) -> Result<(), PeerError> {
        self.on_disk(move |store| store.put(&id, &bytes)).await
    }

    async fn shard(&self, id: B256) -> Result<Option<Bytes>, PeerError> {
        self.on_disk(move |store| store.get(&id)).await
    }

    async fn has_shard(&self, id: B256) -> Result<bool, PeerError> {
        self.on_disk(move |store| store.has(&id)).await
    }

    async fn put_manifest(&self, root: Cid, bytes: Bytes) -> Result<(), PeerError> {
        self.on_disk(move |store| store.put_manifest(&root, &bytes)).await
    }

    async fn manifests(&self, cid: Cid) -> Result<Vec<Bytes>, PeerError> {
        self.on_disk(move |store| store.manifests(&cid)).await
    }
}
