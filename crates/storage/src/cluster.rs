//! Store DAGs on many nodes and read them back from any `k` shards of each segment.
//!
//! ```text
//! put_car:  blocks ─▶ segments of 16 MiB ─▶ n shards each ─▶ the n nodes chosen for the segment (spill: next ranked)
//!                                                            then the manifest ─▶ the n nodes chosen for the root
//! block:    catalogue (or the nodes, on a miss) ─▶ segment ─▶ first k shards to arrive ─▶ block, checked by its CID
//! ```
//!
//! *Acknowledgement.* A segment counts as stored when `k + ⌈(n − k)/2⌉` of its shards are durable on distinct nodes:
//! enough that half of the redundancy is there from the first moment, and that one slow or full node does not refuse
//! a file. Shards without a place are counted in [`Stored::unplaced`] and placed by [`Cluster::repair_degraded`].
//! A manifest counts as stored on `n − k + 1` nodes, so it survives every loss that the shards survive.
//!
//! *Trust.* Nodes are not trusted: a shard is checked against the manifest, and a block against its CID. A manifest
//! that does not lead to the block asked for is passed over. *Liveness* is what requests show: a node that did not
//! answer is asked last, and with less patience, for a while.

mod cache;
mod config;
mod error;
mod intake;
mod locate;
mod members;
mod put;
mod read;
mod repair;

pub use config::{Clock, ClusterConfig};
pub use error::{ClusterError, Silent};
pub use members::Node;
pub use repair::{Health, SegmentHealth};

use crate::block::{BlockError, BlockSource};
use crate::car::{CarStream, car_stream};
use crate::catalogue::{Catalogue, Stored};
use crate::manifest::Manifest;
use crate::unixfs::{self, File};
use alloy_primitives::B256;
use async_trait::async_trait;
use bytes::Bytes;
use cache::{Cache, Gates};
use cid::Cid;
use members::{Liveness, Members};
use parking_lot::Mutex;
use protocol::api::ShardNodeInfo;
use read::{SegmentData, SegmentKey};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// Files stored on nodes. Cheap to clone; all clones are one cluster.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    nodes: watch::Receiver<Arc<[Node]>>,
    catalogue: Arc<Catalogue>,
    config: ClusterConfig,
    clock: Clock,
    liveness: Liveness,
    segments: Mutex<Cache<SegmentKey, SegmentData>>,
    gates: Gates<SegmentKey>,
    manifests: Mutex<Cache<B256, Manifest>>,
}

impl Cluster {
    /// A cluster over `nodes`, which may change while it runs, with its index in the file at `index`. An empty index
    /// is no loss: it fills again from the nodes. `clock` gives Unix seconds.
    pub fn open(
        index: &Path,
        nodes: watch::Receiver<Arc<[Node]>>,
        config: ClusterConfig,
        clock: Clock,
    ) -> Result<Self, ClusterError> {
        Ok(Self(Arc::new(Inner {
            nodes,
            catalogue: Arc::new(Catalogue::open(index)?),
            liveness: Liveness::new(&config),
            segments: Mutex::new(Cache::new(config.cache_bytes)),
            gates: Gates::default(),
            manifests: Mutex::new(Cache::new(config.manifest_cache_bytes)),
            config,
            clock,
        })))
    }

    /// The DAG below `root` as CARv1, depth-first, each block once.
    pub async fn car(&self, root: &Cid) -> Result<CarStream, ClusterError> {
        self.block(root).await?;
        Ok(car_stream(*root, Arc::new(self.clone())).await?)
    }

    /// The UnixFS file or raw block `root`, or a range of it.
    pub async fn unixfs(&self, root: &Cid, range: Option<Range<u64>>) -> Result<File, ClusterError> {
        self.block(root).await?;
        Ok(unixfs::read(Arc::new(self.clone()), *root, range).await?)
    }

    /// Files that this gateway knows, newest first, at most `limit`.
    pub fn files(&self, limit: usize) -> Result<Vec<Stored>, ClusterError> {
        let mut files = self.0.catalogue.files()?;
        files.truncate(limit);
        Ok(files)
    }

    /// Number of files that this gateway knows.
    pub fn files_count(&self) -> Result<u64, ClusterError> {
        Ok(self.0.catalogue.files_count()?)
    }

    /// Asks every node who it is and what it keeps; `None` for those that do not answer.
    pub async fn probe(&self) -> Vec<(Node, Option<ShardNodeInfo>)> {
        let members = self.members();
        let ask = |node: &Node| {
            let node = node.clone();
            async move {
                let info = self.ask(&node, node.peer.info()).await.ok();
                (node, info)
            }
        };
        futures::future::join_all(members.nodes.iter().map(ask)).await
    }

    fn members(&self) -> Members {
        Members::new(self.0.nodes.borrow().clone())
    }

    /// Runs blocking work on the catalogue.
    async fn on_catalogue<T, F>(&self, f: F) -> Result<T, ClusterError>
    where
        T: Send + 'static,
        F: FnOnce(&Catalogue) -> Result<T, crate::catalogue::CatalogueError> + Send + 'static,
    {
        let catalogue = self.0.catalogue.clone();
        Ok(blocking(move || f(&catalogue)).await?)
    }
}

#[async_trait]
impl BlockSource for Cluster {
    async fn block(&self, cid: &Cid) -> Result<Bytes, BlockError> {
        Cluster::block(self, cid).await.map_err(|error| match error {
            ClusterError::Block(error) => error,
            ClusterError::Unknown { cid } => BlockError::Unknown { cid },
            other => BlockError::unavailable(cid, other),
        })
    }
}

/// Runs `f` where blocking stops nobody.
async fn blocking<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(f).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests;
