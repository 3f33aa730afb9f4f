//! What a server knows of the network behind it: where transactions go, how far others are, who can prove finality.

use crate::pool::Broadcast;
use alloy_primitives::Bytes;
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::watch;

/// Blocks that a node may be behind and still count as up to date: what is final elsewhere must be fetched and executed
/// first, so a node at the tip is always one or two behind.
pub const BEHIND_BLOCKS_MAX: u64 = 16;

/// The network behind a server.
#[derive(Clone)]
pub struct Upstream {
    /// Where transactions go.
    pub broadcast: Arc<dyn Broadcast>,
    /// How far others are, as the one who follows them learns it.
    pub sync: SyncStatus,
    /// Who can prove that a block is final; `None` on a chain without a quorum.
    pub checkpoints: Option<Arc<dyn Checkpoints>>,
}

/// The newest block that others are known to have. Clones share it.
#[derive(Clone, Debug)]
pub struct SyncStatus(Arc<watch::Sender<u64>>);

/// Proves that blocks are final.
#[async_trait]
pub trait Checkpoints: Send + Sync {
    /// The certificate of the block at `height`, checked against the committee. The error says why there is none.
    async fn checkpoint(&self, height: u64) -> Result<Certificate, String>;
}

/// What proves that a block is final, in the encoding of the sequencer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// RLP of the header that the sequencer block commits to.
    pub commitment: Bytes,
    /// Header of the sequencer block: what its digest covers, the hash of the commitment included.
    pub header: Bytes,
    /// The sequencer block, which holds the commitment and the transactions.
    pub block: Bytes,
    /// A quorum's finalization of the block, or of a descendant with the headers in between.
    pub certificate: Bytes,
}

impl<B: Broadcast + 'static> From<Arc<B>> for Upstream {
    /// Nothing but a place where transactions go.
    fn from(broadcast: Arc<B>) -> Self {
        Self { broadcast, sync: SyncStatus::default(), checkpoints: None }
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").field("sync", &self.sync).finish_non_exhaustive()
    }
}

impl Default for SyncStatus {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl SyncStatus {
    /// Notes the newest block that another node says it has.
    pub fn seen(&self, highest: u64) {
        self.0.send_if_modified(|known| std::mem::replace(known, highest) != highest);
    }

    /// The newest block others have, if a node at `head` is behind.
    pub(super) fn behind(&self, head: u64) -> Option<u64> {
        let highest = *self.0.borrow();
        (highest > head.saturating_add(BEHIND_BLOCKS_MAX)).then_some(highest)
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_behind_only_beyond_what_is_usual() {
        let sync = SyncStatus::default();
        assert_eq!(sync.behind(0), None);
        sync.seen(100);
        assert_eq!(sync.behind(100 - BEHIND_BLOCKS_MAX), None);
        assert_eq!(sync.behind(99 - BEHIND_BLOCKS_MAX), Some(100));
        sync.seen(50);
        assert_eq!(sync.behind(40), None, "the last word counts");
        assert_eq!(sync.behind(u64::MAX), None);
    }
}
