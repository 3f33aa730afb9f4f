//! Store an archive.

use super::config::{manifests_to_acknowledge, shards_to_acknowledge};
use super::intake::{CodedSegment, Intake, RawSegment};
use super::members::{Members, Node};
use super::{Cluster, ClusterError, blocking};
use crate::catalogue::{Stored, manifest_id};
use crate::erasure::Code;
use crate::manifest::{MANIFEST_BYTES_MAX, Manifest, ManifestError, SEGMENTS_MAX, Segment, root_key};
use crate::peer::PeerError;
use crate::placement::assign;
use alloy_primitives::{Address, B256};
use bytes::Bytes;
use cid::Cid;
use futures::StreamExt;
use futures::stream::Stream;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Segments of one upload that are coded and sent at the same time. Each takes up to `n/k` times 16 MiB of memory.
const SEGMENTS_IN_FLIGHT_MAX: usize = 2;

/// How a number of things was spread over nodes.
#[derive(Default)]
pub(super) struct Spread {
    pub(super) placed: usize,
    pub(super) unplaced: usize,
    pub(super) refused: Vec<(Address, String)>,
}

/// What an upload is stored with.
#[derive(Clone)]
struct Plan {
    members: Members,
    code: Arc<Code>,
    root: Cid,
}

impl Cluster {
    /// Stores all blocks of a CARv1 stream with exactly one root, and returns once enough shards of every segment are
    /// durable (see the module). Memory is bounded whatever the length of the stream.
    pub async fn put_car<S>(&self, car: S) -> Result<Stored, ClusterError>
    where
        S: Stream<Item = io::Result<Bytes>> + Send,
    {
        let members = self.members();
        let nodes = members.weighted();
        if nodes == 0 {
            return Err(ClusterError::NoNodes);
        }
        let (k, n) = self.0.config.code(nodes);
        let code = Arc::new(Code::new(k, n)?);
        let mut intake = Intake::new();
        let mut uploads = Uploads { cluster: self, tasks: JoinSet::new(), done: Vec::new(), unplaced: 0 };
        let mut car = std::pin::pin!(car);
        let plan = |root| Plan { members: members.clone(), code: code.clone(), root };
        while let Some(bytes) = car.next().await {
            intake.push(&bytes.map_err(ClusterError::Upload)?);
            while let Some(segment) = intake.next_segment()? {
                let root = intake.root().expect("the header comes before the blocks");
                uploads.start(plan(root), segment).await?;
            }
        }
        let root = intake.root();
        let last = intake.finish()?;
        let root = root.expect("a complete archive has a header");
        uploads.start(plan(root), last).await?;
        let (segments, unplaced) = uploads.finish().await?;
        let manifest = Manifest { root, k: k as u8, n: n as u8, segments };
        self.publish(&members, manifest, unplaced).await
    }

    /// Puts the manifest of a DAG whose shards are stored on its nodes and into the catalogue.
    async fn publish(&self, members: &Members, manifest: Manifest, unplaced: usize) -> Result<Stored, ClusterError> {
        let bytes = Bytes::from(manifest.encode());
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(ClusterError::TooLarge(ManifestError::TooLarge(bytes.len())));
        }
        let (k, n) = (usize::from(manifest.k), usize::from(manifest.n));
        let spread = self.spread_manifest(members, &manifest, &bytes).await;
        let needed = manifests_to_acknowledge(k, n);
        if spread.placed < needed {
            let (root, placed) = (manifest.root, spread.placed);
            return Err(ClusterError::ManifestNotStored { root, placed, needed, refused: spread.refused });
        }
        let unplaced = (unplaced + spread.unplaced) as u32;
        let file = Stored::new(&manifest, manifest_id(&bytes), self.0.clock.now(), unplaced);
        self.on_catalogue(move |catalogue| {
            catalogue.insert(&manifest, &bytes)?;
            catalogue.record(&file)
        })
        .await?;
        Ok(file)
    }

    /// Gives the manifest to the nodes chosen for its root.
    pub(super) async fn spread_manifest(&self, members: &Members, manifest: &Manifest, bytes: &Bytes) -> Spread {
        let key = root_key(&B256::from_slice(manifest.root.hash().digest()));
        let targets = members.chosen(&key, usize::from(manifest.k), usize::from(manifest.n));
        let spares = members.ranked(&key).into_iter().filter(|i| !targets.contains(i)).collect();
        let send = |_, node: Node| async move { node.peer.put_manifest(manifest.root, bytes.clone()).await };
        self.spread(members, &targets, spares, send).await
    }

    async fn place(&self, plan: &Plan, index: usize, coded: CodedSegment) -> Result<(Segment, usize), ClusterError> {
        let (k, n) = (plan.code.k(), plan.code.n());
        let key = coded.segment.key();
        let chosen = plan.members.chosen(&key, k, n);
        let targets = assign(&key, &plan.members.infos, &chosen, n);
        let spares = plan.members.ranked(&key).into_iter().filter(|i| !chosen.contains(i)).collect();
        let send = |shard: usize, node: Node| {
            let (id, bytes) = (coded.segment.shards[shard], coded.shards[shard].clone());
            async move { node.peer.put_shard(id, bytes).await }
        };
        let spread = self.spread(&plan.members, &targets, spares, send).await;
        let needed = shards_to_acknowledge(k, n);
        if spread.placed < needed {
            let (root, placed, refused) = (plan.root, spread.placed, spread.refused);
            return Err(ClusterError::NotStored { root, segment: index, placed, n, needed, refused });
        }
        Ok((coded.segment, spread.unplaced))
    }

    /// Sends thing `i` to the node `targets[i]`, and when that one does not take it, to the next spare, until one
    /// does or there is none left.
    pub(super) async fn spread<F, R>(&self, members: &Members, targets: &[usize], spares: Vec<usize>, send: F) -> Spread
    where
        F: Fn(usize, Node) -> R,
        R: Future<Output = Result<(), PeerError>>,
    {
        let spares = Mutex::new(VecDeque::from(spares));
        let refused = Mutex::new(Vec::new());
        let one = |(thing, target): (usize, &usize)| {
            let (spares, refused, send, first) = (&spares, &refused, &send, *target);
            async move {
                let mut target = Some(first);
                while let Some(at) = target {
                    let node = &members.nodes[at];
                    match self.ask(node, send(thing, node.clone())).await {
                        Ok(()) => return true,
                        Err(error) => refused.lock().push((node.info.address, error.to_string())),
                    }
                    target = spares.lock().pop_front();
                }
                false
            }
        };
        let placed = futures::future::join_all(targets.iter().enumerate().map(one)).await;
        let placed = placed.into_iter().filter(|p| *p).count();
        Spread { placed, unplaced: targets.len() - placed, refused: refused.into_inner() }
    }
}

/// The segments of one upload that are on their way. Dropping it stops them.
struct Uploads<'a> {
    cluster: &'a Cluster,
    tasks: JoinSet<Result<(usize, Segment, usize), ClusterError>>,
    done: Vec<Option<Segment>>,
    unplaced: usize,
}

impl Uploads<'_> {
    async fn start(&mut self, plan: Plan, segment: RawSegment) -> Result<(), ClusterError> {
        if self.tasks.len() >= SEGMENTS_IN_FLIGHT_MAX {
            self.wait_for_one().await?;
        }
        let index = self.done.len();
        if index == SEGMENTS_MAX {
            let (what, count, max) = ("segments", index + 1, SEGMENTS_MAX);
            return Err(ClusterError::TooLarge(ManifestError::Count { what, count, max }));
        }
        self.done.push(None);
        let cluster = self.cluster.clone();
        self.tasks.spawn(async move {
            let code = plan.code.clone();
            let coded = blocking(move || segment.encode(&code)).await?;
            let (segment, unplaced) = cluster.place(&plan, index, coded).await?;
            Ok((index, segment, unplaced))
        });
        Ok(())
    }

    async fn wait_for_one(&mut self) -> Result<(), ClusterError> {
        if let Some(joined) = self.tasks.join_next().await {
            let result = joined.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            let (index, segment, unplaced) = result?;
            self.done[index] = Some(segment);
            self.unplaced += unplaced;
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<(Vec<Segment>, usize), ClusterError> {
        while !self.tasks.is_empty() {
            self.wait_for_one().await?;
        }
        let segments = self.done.into_iter().map(|s| s.expect("every task has reported its segment")).collect();
        Ok((segments, self.unplaced))
    }
}
