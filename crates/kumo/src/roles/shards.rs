//! Single shards of final blocks, for those who sample.
//!
//! To prove one shard is to encode the whole payload, so what was encoded is kept for a while, and one payload is encoded
//! at a time: whoever asks for shards of many blocks waits, and holds up nobody who orders.

use ::gateway::backend::Answer;
use ::gateway::problem;
use bytes::Bytes;
use parking_lot::Mutex;
use proof::shard::ShardProof;
use sequencer::Shards;
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of encoded payloads that are kept; one is kept whatever it has.
const KEPT_BYTES_MAX: usize = 64 << 20;
/// Encoded payloads that are kept.
const KEPT_BLOCKS_MAX: usize = 64;

/// An encoded payload.
struct Kept {
    height: u64,
    shards: Arc<Shards>,
    bytes: usize,
}

/// The shards of the blocks that were asked for last.
#[derive(Default)]
pub(super) struct ShardDesk {
    /// The one asked for last at the end.
    kept: Mutex<VecDeque<Kept>>,
    encoding: tokio::sync::Mutex<()>,
}

impl ShardDesk {
    /// Shard `index` of the block of `height`, whose payload `read` gives.
    pub async fn prove(
        &self,
        height: u64,
        index: u32,
        read: impl AsyncFnOnce() -> Answer<Bytes>,
    ) -> Answer<ShardProof> {
        let shards = match self.find(height) {
            Some(shards) => shards,
            None => self.encode(height, read).await?,
        };
        let absent =
            || problem::not_found("shard", index, format!("the payload has shards 0 to {}", shards.count() - 1));
        shards.prove(index).ok_or_else(absent)
    }

    async fn encode(&self, height: u64, read: impl AsyncFnOnce() -> Answer<Bytes>) -> Answer<Arc<Shards>> {
        let _one_at_a_time = self.encoding.lock().await;
        // Somebody else may have asked for the same block.
        if let Some(shards) = self.find(height) {
            return Ok(shards);
        }
        let payload = read().await?;
        let encoded = tokio::task::spawn_blocking(move || {
            let shards = Shards::encode(&payload)?;
            let bytes = shards.count() * shards.prove(0).map_or(0, |proof| proof.shard.len());
            Ok::<_, sequencer::ErasureError>((shards, bytes))
        });
        let encoded = encoded.await.map_err(|error| problem::internal(error.to_string()))?;
        let (shards, bytes) = encoded.map_err(|error| problem::internal(error.to_string()))?;
        let shards = Arc::new(shards);
        self.keep(Kept { height, shards: shards.clone(), bytes });
        Ok(shards)
    }

    fn find(&self, height: u64) -> Option<Arc<Shards>> {
        let mut kept = self.kept.lock();
        let place = kept.iter().position(|kept| kept.height == height)?;
        let found = kept.remove(place)?;
        let shards = found.shards.clone();
        kept.push_back(found);
        Some(shards)
    }

    fn keep(&self, new: Kept) {
        let mut kept = self.kept.lock();
        kept.push_back(new);
        let mut bytes: usize = kept.iter().map(|kept| kept.bytes).sum();
        while kept.len() > KEPT_BLOCKS_MAX || (bytes > KEPT_BYTES_MAX && kept.len() > 1) {
            bytes -= kept.pop_front().map_or(0, |oldest| oldest.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn a_payload_is_encoded_once_and_any_third_of_its_shards_gives_it_back() {
        let (desk, reads) = (ShardDesk::default(), AtomicUsize::new(0));
        let payload = Bytes::from((0..50_000u32).map(|i| (i % 251) as u8).collect::<Vec<_>>());
        let read = async || {
            reads.fetch_add(1, Ordering::SeqCst);
            Ok(payload.clone())
        };
        let root = Shards::encode(&payload).unwrap().root();
        let mut shards = Vec::new();
        for index in [11, 3, 6, 9] {
            let proof = desk.prove(7, index, read).await.unwrap();
            shards.push((index, proof.verify(root.into()).unwrap().clone().0));
        }
        assert_eq!(reads.load(Ordering::SeqCst), 1);
        assert_eq!(sequencer::reconstruct(50_000, &shards, &root).unwrap(), payload);
        let absent = desk.prove(7, 12, read).await.unwrap_err();
        assert!(absent.status == 404 && absent.detail.contains("shards 0 to 11"), "{}", absent.detail);
        let gone = desk.prove(8, 0, async || Err(problem::gone("pruned"))).await.unwrap_err();
        assert_eq!(gone.status, 410);
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded_and_what_is_asked_for_stays() {
        let desk = ShardDesk::default();
        for height in 0..KEPT_BLOCKS_MAX as u64 + 10 {
            desk.prove(height, 0, async || Ok(Bytes::from_static(b"small"))).await.unwrap();
            desk.prove(0, 1, async || Err(problem::internal("asked for again and again"))).await.unwrap();
        }
        let heights: Vec<u64> = desk.kept.lock().iter().map(|kept| kept.height).collect();
        assert_eq!((heights.len(), heights.contains(&0), heights.contains(&1)), (KEPT_BLOCKS_MAX, true, false));
        let large = |height| Kept { height, shards: desk.find(0).unwrap(), bytes: KEPT_BYTES_MAX / 2 + 1 };
        desk.keep(large(100));
        desk.keep(large(101));
        let heights: Vec<u64> = desk.kept.lock().iter().map(|kept| kept.height).collect();
        assert_eq!(heights, [0, 101], "the one before has left, what was asked for since then stays");
    }
}
