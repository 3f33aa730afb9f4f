//! What a server knows of the network behind it: where transactions go, how far others are, what is final, who can
//! prove it.

use crate::pool::Broadcast;
use alloy_primitives::Bytes;
use async_trait::async_trait;
use protocol::api::StakeFinality;
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
    /// What the stake has justified and finalised: tags `safe` and `finalized`.
    pub finality: FinalityStatus,
}

/// What the stake has made of the chain's blocks, as the one who follows them computes it. Clones share it. Until it is
/// told for the first time, nobody votes on this chain, and its quorum is all the finality there is.
#[derive(Clone, Debug)]
pub struct FinalityStatus(Arc<watch::Sender<StakeFinality>>);

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
        Self { broadcast, sync: SyncStatus::default(), checkpoints: None, finality: FinalityStatus::default() }
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

impl Default for FinalityStatus {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(StakeFinality::default())))
    }
}

impl FinalityStatus {
    /// Notes what became of the stake's votes; what is older than what is known is ignored.
    pub fn seen(&self, finality: StakeFinality) {
        self.0.send_if_modified(|known| {
            let is_newer = (finality.epoch, finality.voted) > (known.epoch, known.voted) || known.epoch_blocks == 0;
            let is_newer = is_newer && finality.epoch >= known.epoch;
            if is_newer {
                *known = finality;
            }
            is_newer
        });
    }

    /// The newest one; `None` where nobody votes.
    pub fn current(&self) -> Option<StakeFinality> {
        let known = self.0.borrow();
        (known.epoch_blocks > 0).then(|| known.clone())
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
    fn finality_never_goes_back() {
        let status = FinalityStatus::default();
        assert_eq!(status.current(), None);
        let at = |epoch| StakeFinality { epoch, epoch_blocks: 32, ..StakeFinality::default() };
        status.seen(at(0));
        assert_eq!(status.current(), Some(at(0)));
        status.seen(at(7));
        status.seen(at(6));
        assert_eq!(status.current().unwrap().epoch, 7);
    }

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
