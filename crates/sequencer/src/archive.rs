//! The history as the engine wants to see it: one store of final blocks, one of finalizations.
//!
//! Both are views of one [`History`], so that the engine's two syncs cost one commit. What is old is pruned by `retention`,
//! not by the engine, and stays present for it: it is neither delivered nor fetched again.

use crate::block::Block;
use crate::certificate::Finalization;
use crate::history::{History, HistoryError};
use commonware_codec::Encode as _;
use commonware_consensus::marshal::store::{Blocks, Certificates};
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::types::Height;
use commonware_cryptography::sha256::Digest;
use commonware_runtime::{Handle, Spawner};
use commonware_storage::archive::Identifier;
use std::sync::Arc;

/// Final blocks of a [`History`]; commits run in the context.
pub(crate) struct BlockArchive<E>(pub Arc<History>, pub E);

/// Finalizations of a [`History`]; commits run in the context.
pub(crate) struct CertificateArchive<E>(pub Arc<History>, pub E);

/// Starts a commit on a blocking thread; the handle completes when it is durable.
fn start_commit<E: Spawner>(context: &E, history: Arc<History>) -> Handle<Result<(), HistoryError>> {
    context.child("commit").shared(true).spawn(move |_| async move { history.commit() })
}

/// Commits; fails only if that does or the runtime shuts down.
async fn commit<E: Spawner>(context: &E, history: Arc<History>) -> Result<(), HistoryError> {
    let path = history.path().to_owned();
    match start_commit(context, history).await {
        Ok(result) => result,
        Err(error) => Err(HistoryError::Write { path, reason: error.to_string() }),
    }
}

/// The handle of a commit as the engine wants it.
fn synced(commit: Handle<Result<(), HistoryError>>) -> Handle<()> {
    Handle::from_future(async move {
        match commit.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::error!(%error, "final blocks cannot be stored");
                Err(commonware_runtime::Error::WriteFailed)
            }
            Err(error) => Err(error),
        }
    })
}

fn height_of(history: &History, id: &Identifier<'_, Digest>) -> Result<Option<u64>, HistoryError> {
    match id {
        Identifier::Index(height) => Ok(Some(*height)),
        Identifier::Key(digest) => history.height(&digest.0),
    }
}

impl<E: Spawner> Blocks for BlockArchive<E> {
    type Block = Arc<Block>;
    type Error = HistoryError;

    async fn put(self, digest: Digest, block: &Arc<Block>) -> Result<Self, HistoryError> {
        self.0.put_block(block.height, digest.0, block.encode());
        self.0.remember(block.clone());
        Ok(self)
    }

    async fn sync(self) -> Result<Self, HistoryError> {
        commit(&self.1, self.0.clone()).await?;
        Ok(self)
    }

    async fn start_sync(self) -> Result<(Self, Handle<()>), HistoryError> {
        let handle = synced(start_commit(&self.1, self.0.clone()));
        Ok((self, handle))
    }

    async fn get(&self, id: Identifier<'_, Digest>) -> Result<Option<Arc<Block>>, HistoryError> {
        match height_of(&self.0, &id)? {
            Some(height) => self.0.shared_block(height),
            None => Ok(None),
        }
    }

    async fn prune(self, _: Height) -> Result<Self, HistoryError> {
        Ok(self)
    }

    fn missing_items(&self, start: Height, max: usize) -> Vec<Height> {
        self.0.with_blocks(|ranges| ranges.missing(start.get(), max)).into_iter().map(Height::new).collect()
    }

    fn next_gap(&self, value: Height) -> (Option<Height>, Option<Height>) {
        let (end, next) = self.0.with_blocks(|ranges| ranges.next_gap(value.get()));
        (end.map(Height::new), next.map(Height::new))
    }

    fn last_index(&self) -> Option<Height> {
        self.0.with_blocks(crate::ranges::Ranges::last).map(Height::new)
    }
}

impl<E: Spawner> Certificates for CertificateArchive<E> {
    type BlockDigest = Digest;
    type Commitment = Digest;
    type Scheme = Scheme;
    type Error = HistoryError;

    async fn put(self, height: Height, _: Digest, finalization: &Finalization) -> Result<Self, HistoryError> {
        self.0.put_certificate(height.get(), finalization.encode());
        Ok(self)
    }

    async fn sync(self) -> Result<Self, HistoryError> {
        commit(&self.1, self.0.clone()).await?;
        Ok(self)
    }

    async fn start_sync(self) -> Result<(Self, Handle<()>), HistoryError> {
        let handle = synced(start_commit(&self.1, self.0.clone()));
        Ok((self, handle))
    }

    async fn get(&self, id: Identifier<'_, Digest>) -> Result<Option<Finalization>, HistoryError> {
        match height_of(&self.0, &id)? {
            Some(height) => self.0.finalization(height),
            None => Ok(None),
        }
    }

    async fn has(&self, height: Height) -> Result<bool, HistoryError> {
        Ok(self.0.with_certificates(|ranges| ranges.get(height.get()).is_some()))
    }

    async fn prune(self, _: Height) -> Result<Self, HistoryError> {
        Ok(self)
    }

    fn last_index(&self) -> Option<Height> {
        self.0.with_certificates(crate::ranges::Ranges::last).map(Height::new)
    }

    fn ranges_from(&self, from: Height) -> impl Iterator<Item = (Height, Height)> {
        let ranges: Vec<_> = self.0.with_certificates(|ranges| ranges.from(from.get()).collect());
        ranges.into_iter().map(|(start, end)| (Height::new(start), Height::new(end)))
    }
}
