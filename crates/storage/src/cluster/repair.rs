//! Look for shards that are missing or damaged, and rebuild them.

use super::members::{Members, Node};
use super::read::OTHER_NODES_MAX;
use super::{Cluster, ClusterError, Silent, blocking};
use crate::catalogue::Stored;
use crate::erasure::Code;
use crate::manifest::{Manifest, Segment};
use crate::peer::PeerError;
use crate::placement::{assign, reassign};
use alloy_primitives::Address;
use bytes::Bytes;
use cid::Cid;
use parking_lot::Mutex;
use protocol::api::RepairReport;
use protocol::content::sha256;
use std::collections::HashSet;
use std::sync::Arc;

/// How well one segment is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHealth {
    /// Node that keeps each shard, in the order of the shards; `None` for those that no node has.
    pub holders: Vec<Option<Address>>,
    /// Nodes that did not answer.
    pub silent: Silent,
}

impl SegmentHealth {
    /// Shards that some node has.
    pub fn healthy(&self) -> usize {
        self.holders.iter().flatten().count()
    }
}

/// How well a file is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The file.
    pub file: Stored,
    /// Its segments in order.
    pub segments: Vec<SegmentHealth>,
}

impl Health {
    /// Shards that some node has, over all segments.
    pub fn shards_healthy(&self) -> u32 {
        self.segments.iter().map(|s| s.healthy() as u32).sum()
    }

    /// Whether every segment can be rebuilt.
    pub fn is_readable(&self) -> bool {
        self.segments.iter().all(|s| s.healthy() >= usize::from(self.file.k))
    }
}

/// Where the shards of a segment are: positions of nodes.
struct Found {
    holders: Vec<Option<usize>>,
    silent: HashSet<usize>,
}

impl Cluster {
    /// Asks the nodes for every shard of a file; each node reads and checks what it has.
    pub async fn health(&self, root: &Cid) -> Result<Health, ClusterError> {
        let (record, manifest) = self.file_manifest(root).await?;
        let members = self.members();
        let mut segments = Vec::with_capacity(manifest.segments.len());
        for segment in &manifest.segments {
            let found = self.find_shards(&members, &manifest, segment).await;
            segments.push(health_of(&members, &found));
        }
        Ok(Health { file: record, segments })
    }

    /// Rebuilds the missing and damaged shards of a file and gives its manifest to the nodes that lack it.
    ///
    /// Goes through all segments; if one has fewer than `k` shards left, that is the error, after the others have
    /// been repaired.
    pub async fn repair(&self, root: &Cid) -> Result<RepairReport, ClusterError> {
        let (record, manifest) = self.file_manifest(root).await?;
        let members = self.members();
        let code = Arc::new(Code::new(usize::from(manifest.k), usize::from(manifest.n))?);
        let mut report = RepairReport::default();
        let mut lost = None;
        for index in 0..manifest.segments.len() {
            match self.repair_segment(&members, &manifest, index, &code, &mut report).await {
                Ok(()) => {}
                Err(error) if lost.is_none() => lost = Some(error),
                Err(_) => {}
            }
        }
        let bytes = Bytes::from(manifest.encode());
        let copies = self.spread_manifest(&members, &manifest, &bytes).await;
        let unplaced = report.unplaced + copies.unplaced as u32;
        self.on_catalogue(move |catalogue| catalogue.record(&Stored { unplaced, ..record })).await?;
        lost.map_or(Ok(report), Err)
    }

    /// Repairs every file that this gateway knows, one after the other.
    pub async fn repair_all(&self) -> Result<Vec<(Cid, Result<RepairReport, ClusterError>)>, ClusterError> {
        self.repair_where(|_| true).await
    }

    /// Repairs the files that had shards without a place when they were last stored or repaired.
    pub async fn repair_degraded(&self) -> Result<Vec<(Cid, Result<RepairReport, ClusterError>)>, ClusterError> {
        self.repair_where(|file| file.unplaced > 0).await
    }

    async fn repair_where(
        &self,
        wanted: impl Fn(&Stored) -> bool,
    ) -> Result<Vec<(Cid, Result<RepairReport, ClusterError>)>, ClusterError> {
        let mut reports = Vec::new();
        for file in self.0.catalogue.files()?.into_iter().filter(wanted) {
            reports.push((file.root, self.repair(&file.root).await));
        }
        Ok(reports)
    }

    async fn file_manifest(&self, root: &Cid) -> Result<(Stored, Arc<Manifest>), ClusterError> {
        let record = self.file(root).await?;
        let manifest = self.manifest(&record.manifest)?.ok_or(ClusterError::Unknown { cid: *root })?;
        Ok((record, manifest))
    }

    async fn repair_segment(
        &self,
        members: &Members,
        manifest: &Manifest,
        index: usize,
        code: &Arc<Code>,
        report: &mut RepairReport,
    ) -> Result<(), ClusterError> {
        let segment = &manifest.segments[index];
        let found = self.find_shards(members, manifest, segment).await;
        let missing: Vec<usize> = (0..code.n()).filter(|shard| found.holders[*shard].is_none()).collect();
        report.checked += code.n() as u32;
        report.damaged += missing.len() as u32;
        report.unplaced += missing.len() as u32;
        if missing.is_empty() {
            return Ok(());
        }
        let shards = self.rebuild(members, manifest, index, code).await?;
        let placed = self.place_again(members, segment, code, &found, &missing, &shards).await;
        report.rebuilt += placed as u32;
        report.unplaced -= placed as u32;
        Ok(())
    }

    /// All shards of a segment, from any `k`.
    async fn rebuild(
        &self,
        members: &Members,
        manifest: &Manifest,
        index: usize,
        code: &Arc<Code>,
    ) -> Result<Vec<Bytes>, ClusterError> {
        let present = self.fetch(members, manifest, index).await?;
        let code = code.clone();
        let shards = blocking(move || {
            let mut shards: Vec<Option<Vec<u8>>> = vec![None; code.n()];
            for (at, shard) in present {
                shards[at] = Some(shard.into());
            }
            code.reconstruct(&mut shards).map(|()| shards)
        })
        .await?;
        let shards: Vec<Bytes> = shards.into_iter().flatten().map(Bytes::from).collect();
        let segment = &manifest.segments[index];
        // The shards that were fetched match the manifest; if the others do not, they were never one code word.
        if shards.iter().zip(&segment.shards).any(|(shard, id)| sha256(shard) != *id) {
            let cid = segment.blocks.first().map_or(manifest.root, |block| block.cid);
            return Err(ClusterError::FalseManifest { root: manifest.root, segment: index, cid });
        }
        Ok(shards)
    }

    /// Puts rebuilt shards where they belong, without a second one on a node as long as there are enough nodes.
    async fn place_again(
        &self,
        members: &Members,
        segment: &Segment,
        code: &Code,
        found: &Found,
        missing: &[usize],
        shards: &[Bytes],
    ) -> usize {
        let key = segment.key();
        let chosen = members.chosen(&key, code.k(), code.n());
        let homes = reassign(&key, &members.infos, &chosen, &found.holders);
        let targets: Vec<usize> = missing.iter().filter_map(|shard| homes.get(*shard).copied()).collect();
        let taken: HashSet<usize> = found.holders.iter().flatten().chain(&targets).copied().collect();
        let ranked = members.ranked(&key);
        let mut spares: Vec<usize> = ranked.iter().copied().filter(|i| !taken.contains(i)).collect();
        if members.weighted() < code.n() {
            spares.extend(ranked.iter().filter(|i| taken.contains(i) && !found.silent.contains(i)));
        }
        let send = |i: usize, node: Node| {
            let shard = missing[i];
            let (id, bytes) = (segment.shards[shard], shards[shard].clone());
            async move { node.peer.put_shard(id, bytes).await }
        };
        self.spread(members, &targets, spares, send).await.placed
    }

    /// Which node has each shard of a segment: first where it belongs, then on the other nodes.
    async fn find_shards(&self, members: &Members, manifest: &Manifest, segment: &Segment) -> Found {
        let (k, n) = (usize::from(manifest.k), usize::from(manifest.n));
        let key = segment.key();
        let homes = assign(&key, &members.infos, &members.chosen(&key, k, n), n);
        let ranked = members.ranked(&key);
        let silent = Mutex::new(HashSet::new());
        let find = |shard: usize| {
            let home = homes.get(shard).copied();
            let others = ranked.iter().copied().take(OTHER_NODES_MAX).filter(move |i| Some(*i) != home);
            let candidates: Vec<usize> = home.into_iter().chain(others).collect();
            let silent = &silent;
            async move {
                for at in candidates {
                    if silent.lock().contains(&at) {
                        continue;
                    }
                    let node = &members.nodes[at];
                    match self.ask(node, node.peer.has_shard(segment.shards[shard])).await {
                        Ok(true) => return Some(at),
                        Ok(false) | Err(PeerError::Refused(_)) => {}
                        Err(PeerError::Unreachable(_)) => {
                            silent.lock().insert(at);
                        }
                    }
                }
                None
            }
        };
        let holders = futures::future::join_all((0..n).map(find)).await;
        Found { holders, silent: silent.into_inner() }
    }
}

fn health_of(members: &Members, found: &Found) -> SegmentHealth {
    let mut silent: Vec<Address> = found.silent.iter().map(|i| members.address(*i)).collect();
    silent.sort();
    let holders = found.holders.iter().map(|holder| holder.map(|i| members.address(i))).collect();
    SegmentHealth { holders, silent: Silent(silent) }
}
