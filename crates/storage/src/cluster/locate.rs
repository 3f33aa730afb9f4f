//! Find a block: in the catalogue, or by asking the nodes for manifests that lead to it.

use super::read::SegmentKey;
use super::{Cluster, ClusterError, Silent, blocking};
use crate::block::{check, digest};
use crate::catalogue::{CatalogueError, MANIFESTS_PER_BLOCK_MAX, Stored, manifest_id};
use crate::manifest::{Manifest, Position, root_key};
use crate::peer::PeerError;
use alloy_primitives::B256;
use bytes::Bytes;
use cid::Cid;
use futures::StreamExt;
use futures::stream;
use protocol::content::digest_of_cid;
use std::collections::HashSet;
use std::sync::Arc;

/// Most nodes that are asked for a manifest, best ranked first.
const NODES_ASKED_MAX: usize = 64;
/// Nodes asked at the same time.
const NODES_AT_ONCE_MAX: usize = 16;

impl Cluster {
    /// One block, checked against its CID.
    pub async fn block(&self, cid: &Cid) -> Result<Bytes, ClusterError> {
        let name = digest(cid)?;
        let mut tried = HashSet::new();
        let mut failure = None;
        for (id, position) in self.0.catalogue.containing(&name)? {
            let Some(manifest) = self.manifest(&id)? else { continue };
            match self.block_at(&id, &manifest, &position, cid).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => failure = Some(error),
            }
            tried.insert(id);
        }
        match self.discover(cid, &name, &mut tried).await {
            Ok(bytes) => Ok(bytes),
            // What stood in the way of a manifest that we trust says more than that there is no other one.
            Err(ClusterError::Unknown { .. } | ClusterError::Undecided { .. } | ClusterError::NoNodes)
                if failure.is_some() =>
            {
                Err(failure.expect("just checked"))
            }
            Err(error) => Err(error),
        }
    }

    /// One file as it is stored, found among the nodes if this gateway does not know it yet. Does not look at the
    /// shards of files that it knows.
    pub async fn file(&self, root: &Cid) -> Result<Stored, ClusterError> {
        let name = digest(root)?;
        if let Some(record) = self.0.catalogue.file(&name)? {
            return Ok(record);
        }
        self.discover(root, &name, &mut HashSet::new()).await?;
        self.0.catalogue.file(&name)?.ok_or(ClusterError::Unknown { cid: *root })
    }

    /// A manifest from the catalogue.
    pub(super) fn manifest(&self, id: &B256) -> Result<Option<Arc<Manifest>>, ClusterError> {
        if let Some(manifest) = self.0.manifests.lock().get(id) {
            return Ok(Some(manifest));
        }
        let Some(bytes) = self.0.catalogue.manifest(id)? else { return Ok(None) };
        let Ok(manifest) = Manifest::decode(&bytes) else { return Ok(None) };
        let manifest = Arc::new(manifest);
        self.0.manifests.lock().insert(*id, manifest.clone(), bytes.len());
        Ok(Some(manifest))
    }

    async fn block_at(
        &self,
        id: &B256,
        manifest: &Arc<Manifest>,
        position: &Position,
        cid: &Cid,
    ) -> Result<Bytes, ClusterError> {
        let key = SegmentKey { manifest: *id, segment: position.segment };
        let bytes = self.segment(&key, manifest).await?.slice(position.bytes.clone());
        if check(cid, &bytes).is_err() {
            let (root, segment) = (manifest.root, position.segment);
            return Err(ClusterError::FalseManifest { root, segment, cid: *cid });
        }
        Ok(bytes)
    }

    /// Asks the nodes for manifests, and reads the block by the first one that leads to it.
    async fn discover(&self, cid: &Cid, name: &B256, tried: &mut HashSet<B256>) -> Result<Bytes, ClusterError> {
        let members = self.members();
        if members.nodes.is_empty() {
            return Err(ClusterError::NoNodes);
        }
        let ranked = members.ranked(&root_key(name));
        let requests = ranked.into_iter().take(NODES_ASKED_MAX).map(|i| {
            let node = members.nodes[i].clone();
            async move {
                let answer = self.ask(&node, node.peer.manifests(*cid)).await;
                (node.info.address, answer)
            }
        });
        let mut answers = stream::iter(requests).buffer_unordered(NODES_AT_ONCE_MAX);
        let (mut silent, mut failure) = (Vec::new(), None);
        while let Some((address, answer)) = answers.next().await {
            let manifests = match answer {
                Ok(manifests) => manifests,
                Err(PeerError::Unreachable(_)) => {
                    silent.push(address);
                    continue;
                }
                Err(PeerError::Refused(_)) => continue,
            };
            for bytes in manifests.into_iter().take(MANIFESTS_PER_BLOCK_MAX) {
                match self.try_manifest(cid, bytes, tried).await {
                    Some(Ok(block)) => return Ok(block),
                    Some(Err(error)) => failure = Some(error),
                    None => {}
                }
            }
        }
        silent.sort();
        // A manifest stands on at least n − k + 1 nodes: if no more than n − k are silent, one of those answered.
        let (k, n) = self.0.config.code(members.weighted());
        match failure {
            Some(error) => Err(error),
            None if silent.len() > n - k => Err(ClusterError::Undecided { cid: *cid, silent: Silent(silent) }),
            None => Err(ClusterError::Unknown { cid: *cid }),
        }
    }

    /// Reads the block by a manifest from a node, and keeps the manifest if that works. `None` if the bytes are not a
    /// manifest of the block, or were tried before.
    async fn try_manifest(
        &self,
        cid: &Cid,
        bytes: Bytes,
        tried: &mut HashSet<B256>,
    ) -> Option<Result<Bytes, ClusterError>> {
        let id = manifest_id(&bytes);
        if tried.len() >= 2 * MANIFESTS_PER_BLOCK_MAX || !tried.insert(id) {
            return None;
        }
        let encoded = bytes.clone();
        let manifest = Arc::new(blocking(move || Manifest::decode(&encoded)).await.ok()?);
        let name = digest_of_cid(cid)?;
        let (_, position) = manifest.positions().find(|(found, _)| digest_of_cid(found) == Some(name))?;
        let block = match self.block_at(&id, &manifest, &position, cid).await {
            Ok(block) => block,
            Err(error) => return Some(Err(error)),
        };
        Some(self.learn(cid, id, manifest, bytes).await.map(|()| block))
    }

    /// Keeps a manifest that has led to `cid`. It becomes a file of ours only if `cid` is its root: for any other
    /// block, what it says about its root is not proven.
    async fn learn(&self, cid: &Cid, id: B256, manifest: Arc<Manifest>, bytes: Bytes) -> Result<(), ClusterError> {
        let is_root = digest_of_cid(cid) == digest_of_cid(&manifest.root);
        let file = Stored::new(&manifest, id, self.0.clock.now(), 0);
        let learned = self.on_catalogue(move |catalogue| {
            catalogue.insert(&manifest, &bytes)?;
            if is_root { catalogue.record(&file) } else { Ok(()) }
        });
        match learned.await {
            // The block is there; that the index has no room for one more way to it is no reason to withhold it.
            Err(ClusterError::Catalogue(CatalogueError::Full { .. })) => Ok(()),
            other => other,
        }
    }
}
