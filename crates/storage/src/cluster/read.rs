//! Fetch a segment from any `k` of its shards.
//!
//! The `k` data shards are asked for first, each at the node where it belongs. A shard that is missing, wrong or late
//! is replaced by the next one; silence for [`ClusterConfig::hedge_after`](super::ClusterConfig) adds one more request.
//! When all shards have been tried where they belong, they are looked for on the other nodes, since nodes join and
//! leave and full nodes pass shards on.

use super::members::Members;
use super::{Cluster, ClusterError, Silent, blocking};
use crate::erasure::Code;
use crate::manifest::Manifest;
use crate::peer::PeerError;
use crate::placement::assign;
use alloy_primitives::{Address, B256};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use protocol::content::sha256;
use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

/// Nodes on which a shard is looked for besides the one where it belongs.
pub(super) const OTHER_NODES_MAX: usize = 32;

/// A segment of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SegmentKey {
    pub(super) manifest: B256,
    pub(super) segment: usize,
}

/// The bytes of a segment, as its data shards.
pub(super) struct SegmentData {
    shards: Vec<Bytes>,
    shard_bytes: usize,
}

impl SegmentData {
    /// A part of the segment; without a copy when it lies in one shard.
    pub(super) fn slice(&self, range: Range<usize>) -> Bytes {
        let first = range.start / self.shard_bytes;
        let within = range.start - first * self.shard_bytes..range.end - first * self.shard_bytes;
        if within.end <= self.shard_bytes {
            // An empty block may stand at the very end, where no shard begins.
            return self.shards.get(first).map_or(Bytes::new(), |shard| shard.slice(within));
        }
        let mut out = BytesMut::with_capacity(range.len());
        for (i, shard) in self.shards.iter().enumerate().skip(first) {
            let from = range.start.max(i * self.shard_bytes) - i * self.shard_bytes;
            let to = range.end.min((i + 1) * self.shard_bytes).saturating_sub(i * self.shard_bytes);
            if from < to {
                out.extend_from_slice(&shard[from..to]);
            }
        }
        out.freeze()
    }
}

/// Healthy shards with their positions, as many as were asked for.
pub(super) type Shards = Vec<(usize, Bytes)>;

impl Cluster {
    /// The bytes of a segment, from the cache or from the nodes. Many readers of one segment fetch it once.
    pub(super) async fn segment(
        &self,
        key: &SegmentKey,
        manifest: &Arc<Manifest>,
    ) -> Result<Arc<SegmentData>, ClusterError> {
        if let Some(data) = self.0.segments.lock().get(key) {
            return Ok(data);
        }
        let _turn = self.0.gates.enter(key.clone()).await;
        if let Some(data) = self.0.segments.lock().get(key) {
            return Ok(data);
        }
        let shards = self.fetch(&self.members(), manifest, key.segment).await?;
        let data = Arc::new(decode(manifest, key.segment, shards).await?);
        self.0.segments.lock().insert(key.clone(), data.clone(), data.shard_bytes * data.shards.len());
        Ok(data)
    }

    /// Any `k` healthy shards of a segment.
    pub(super) async fn fetch(
        &self,
        members: &Members,
        manifest: &Manifest,
        segment: usize,
    ) -> Result<Shards, ClusterError> {
        let k = usize::from(manifest.k);
        let mut search = Search::new(self, members, manifest, segment);
        let mut pending = FuturesUnordered::new();
        let mut found: Shards = Vec::with_capacity(k);
        let mut hedges = 0;
        while found.len() < k {
            while pending.len() < k - found.len() + hedges {
                let Some(attempt) = search.next(&found) else { break };
                pending.push(self.attempt(members, manifest, segment, attempt));
            }
            tokio::select! {
                biased;
                done = pending.next() => match done {
                    None => return Err(search.failure(manifest, segment, found.len())),
                    Some((attempt, Ok(Some(shard)))) => search.found(&mut found, attempt, shard),
                    Some((_, Ok(None) | Err(PeerError::Refused(_)))) => {}
                    Some((attempt, Err(PeerError::Unreachable(_)))) => search.silence(members, attempt),
                },
                () = tokio::time::sleep(self.0.config.hedge_after), if !search.queue.is_empty() => hedges += 1,
            }
        }
        Ok(found)
    }

    /// One request for one shard; `None` if the node does not have it, or gives something else.
    async fn attempt(
        &self,
        members: &Members,
        manifest: &Manifest,
        segment: usize,
        attempt: Attempt,
    ) -> (Attempt, Result<Option<Bytes>, PeerError>) {
        let node = &members.nodes[attempt.node];
        let segment = &manifest.segments[segment];
        let id = segment.shards[attempt.shard];
        let answer = self.ask(node, node.peer.shard(id)).await;
        let expected = segment.shard_bytes(manifest.k);
        let answer = match answer {
            Ok(Some(bytes)) if bytes.len() == expected => {
                let healthy = blocking({
                    let bytes = bytes.clone();
                    move || sha256(&bytes) == id
                });
                Ok(healthy.await.then_some(bytes))
            }
            Ok(_) => Ok(None),
            Err(error) => Err(error),
        };
        (attempt, answer)
    }
}

/// A shard and a node that may have it.
#[derive(Clone, Copy)]
struct Attempt {
    shard: usize,
    node: usize,
}

/// What is still worth trying, best first.
struct Search {
    queue: VecDeque<Attempt>,
    addresses: Vec<Address>,
    /// Nodes that did not answer, by position.
    silent: BTreeSet<usize>,
}

impl Search {
    fn new(cluster: &Cluster, members: &Members, manifest: &Manifest, segment: usize) -> Self {
        let (k, n) = (usize::from(manifest.k), usize::from(manifest.n));
        let key = manifest.segments[segment].key();
        let chosen = members.chosen(&key, k, n);
        let homes = assign(&key, &members.infos, &chosen, n);
        let mut attempts: Vec<Attempt> =
            homes.iter().enumerate().map(|(shard, node)| Attempt { shard, node: *node }).collect();
        attempts.sort_by_key(|a| (cluster.is_suspect(members, a.node), a.shard));
        for node in members.ranked(&key).into_iter().take(OTHER_NODES_MAX) {
            let others = (0..n).filter(|shard| homes.get(*shard) != Some(&node));
            attempts.extend(others.map(|shard| Attempt { shard, node }));
        }
        let addresses = members.infos.iter().map(|info| info.address).collect();
        Self { queue: attempts.into(), addresses, silent: BTreeSet::new() }
    }

    fn next(&mut self, found: &Shards) -> Option<Attempt> {
        loop {
            let attempt = self.queue.pop_front()?;
            let have = found.iter().any(|(shard, _)| *shard == attempt.shard);
            if !have && !self.silent.contains(&attempt.node) {
                return Some(attempt);
            }
        }
    }

    fn found(&mut self, found: &mut Shards, attempt: Attempt, shard: Bytes) {
        if !found.iter().any(|(have, _)| *have == attempt.shard) {
            found.push((attempt.shard, shard));
        }
    }

    fn silence(&mut self, members: &Members, attempt: Attempt) {
        tracing::debug!(node = %members.address(attempt.node), shard = attempt.shard, "node did not answer");
        self.silent.insert(attempt.node);
    }

    fn failure(&self, manifest: &Manifest, segment: usize, reachable: usize) -> ClusterError {
        let mut silent: Vec<Address> = self.silent.iter().map(|i| self.addresses[*i]).collect();
        silent.sort();
        ClusterError::Unavailable {
            root: manifest.root,
            segment,
            reachable,
            n: usize::from(manifest.n),
            needed: usize::from(manifest.k),
            silent: Silent(silent),
        }
    }
}

/// The data shards, from any `k` shards.
async fn decode(manifest: &Manifest, segment: usize, found: Shards) -> Result<SegmentData, ClusterError> {
    let (k, n) = (usize::from(manifest.k), usize::from(manifest.n));
    let shard_bytes = manifest.segments[segment].shard_bytes(manifest.k);
    let mut shards = vec![Bytes::new(); k];
    for (at, shard) in found.iter().filter(|(at, _)| *at < k) {
        shards[*at] = shard.clone();
    }
    if found.iter().any(|(at, _)| *at >= k) {
        for (at, shard) in blocking(move || Code::new(k, n)?.missing_data(&found)).await? {
            shards[at] = shard.into();
        }
    }
    Ok(SegmentData { shards, shard_bytes })
}

#[cfg(test)]
impl Cluster {
    /// Empties the cache of segments.
    pub(super) fn forget_segments(&self) {
        *self.0.segments.lock() = super::cache::Cache::new(self.0.config.cache_bytes);
    }
}
