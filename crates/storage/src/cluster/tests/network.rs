//! A network of storage nodes in one process, whose nodes can be made to fail.

use super::super::{Clock, Cluster, ClusterConfig, Node};
use crate::manifest::Manifest;
use crate::peer::{LocalPeer, PeerError, ShardPeer};
use crate::placement::NodeInfo;
use crate::shards::ShardStore;
use alloy_primitives::{Address, B256};
use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use parking_lot::Mutex;
use protocol::api::ShardNodeInfo;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use tokio::sync::watch;

/// How a node behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mood {
    Good,
    Down,
    Full,
    Lying,
    /// Never answers.
    Silent,
}

pub fn config() -> ClusterConfig {
    ClusterConfig { cache_bytes: 40 * 1024 * 1024, ..ClusterConfig::default() }
}

pub fn clock() -> Clock {
    Clock::new(|| 1_800_000_000)
}

/// A node with a mood in front of the real one.
pub struct Moody {
    inner: LocalPeer,
    mood: Mutex<Mood>,
    junk: Mutex<Vec<Bytes>>,
    requests: AtomicUsize,
}

impl Moody {
    async fn enter(&self) -> Result<Mood, PeerError> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mood = *self.mood.lock();
        match mood {
            Mood::Down => return Err(PeerError::Unreachable("down".into())),
            Mood::Silent => std::future::pending().await,
            _ => {}
        }
        Ok(mood)
    }
}

#[async_trait]
impl ShardPeer for Moody {
    async fn info(&self) -> Result<ShardNodeInfo, PeerError> {
        self.enter().await?;
        self.inner.info().await
    }

    async fn put_shard(&self, id: B256, bytes: Bytes) -> Result<(), PeerError> {
        match self.enter().await? {
            Mood::Full => Err(PeerError::Refused("full".into())),
            _ => self.inner.put_shard(id, bytes).await,
        }
    }

    async fn shard(&self, id: B256) -> Result<Option<Bytes>, PeerError> {
        match self.enter().await? {
            Mood::Lying => Ok(self.inner.shard(id).await?.map(|shard| vec![0x66; shard.len()].into())),
            _ => self.inner.shard(id).await,
        }
    }

    async fn has_shard(&self, id: B256) -> Result<bool, PeerError> {
        self.enter().await?;
        self.inner.has_shard(id).await
    }

    async fn put_manifest(&self, root: Cid, bytes: Bytes) -> Result<(), PeerError> {
        match self.enter().await? {
            Mood::Full => Err(PeerError::Refused("full".into())),
            _ => self.inner.put_manifest(root, bytes).await,
        }
    }

    async fn manifests(&self, cid: Cid) -> Result<Vec<Bytes>, PeerError> {
        self.enter().await?;
        let mut manifests = self.junk.lock().clone();
        manifests.extend(self.inner.manifests(cid).await?);
        Ok(manifests)
    }
}

pub struct Network {
    dir: TempDir,
    members: Vec<(NodeInfo, Arc<Moody>)>,
    created: usize,
    sender: watch::Sender<Arc<[Node]>>,
    gateways: AtomicUsize,
}

impl Network {
    /// `count` nodes, each with a directory.
    pub fn new(count: usize) -> Self {
        let mut network = Self {
            dir: tempfile::tempdir().unwrap(),
            members: Vec::new(),
            created: 0,
            sender: watch::Sender::new(Vec::new().into()),
            gateways: AtomicUsize::new(0),
        };
        (0..count).for_each(|_| network.add());
        network
    }

    pub fn add(&mut self) {
        let address = Address::with_last_byte(self.created as u8 + 1);
        let store = ShardStore::open(&self.dir.path().join(format!("node{}", self.created)), 1 << 30).unwrap();
        self.created += 1;
        let inner = LocalPeer::new(address, Arc::new(store));
        let mood = Mutex::new(Mood::Good);
        let moody = Moody { inner, mood, junk: Mutex::default(), requests: AtomicUsize::new(0) };
        let info = NodeInfo { address, weight: 100, domain: String::new() };
        self.members.push((info, Arc::new(moody)));
        self.announce();
    }

    pub fn remove(&mut self, address: Address) {
        self.members.retain(|(info, _)| info.address != address);
        self.announce();
    }

    fn announce(&self) {
        let node = |(info, peer): &(NodeInfo, Arc<Moody>)| Node { info: info.clone(), peer: peer.clone() };
        self.sender.send_replace(self.members.iter().map(node).collect());
    }

    pub fn nodes(&self) -> watch::Receiver<Arc<[Node]>> {
        self.sender.subscribe()
    }

    /// A gateway that knows nothing yet.
    pub fn gateway(&self) -> Cluster {
        self.gateway_with(config())
    }

    pub fn gateway_with(&self, config: ClusterConfig) -> Cluster {
        let number = self.gateways.fetch_add(1, Ordering::Relaxed);
        let index = self.dir.path().join(format!("gateway{number}.redb"));
        Cluster::open(&index, self.nodes(), config, clock()).unwrap()
    }

    pub fn gateway_at(&self, index: &Path) -> Cluster {
        Cluster::open(index, self.nodes(), config(), clock()).unwrap()
    }

    pub fn set(&self, node: usize, mood: Mood) {
        *self.members[node].1.mood.lock() = mood;
    }

    pub fn address(&self, node: usize) -> Address {
        self.members[node].0.address
    }

    pub fn addresses(&self, nodes: Range<usize>) -> Vec<String> {
        nodes.map(|i| self.address(i).to_string()).collect()
    }

    pub fn requests(&self, node: usize) -> usize {
        self.members[node].1.requests.load(Ordering::Relaxed)
    }

    fn store(&self, node: usize) -> &Arc<ShardStore> {
        self.members[node].1.inner.store()
    }

    pub fn used(&self) -> Vec<u64> {
        (0..self.members.len()).map(|i| self.store(i).usage().used_bytes).collect()
    }

    pub fn delete_all_shards_of(&self, node: usize) {
        self.store(node).list().iter().for_each(|id| assert!(self.store(node).delete(id).unwrap()));
    }

    /// Flips a bit of every shard file of a node.
    pub fn damage_all_shards_of(&self, node: usize) {
        let shards = self.dir.path().join(format!("node{node}/shards"));
        for id in self.store(node).list() {
            let name = format!("{id:x}");
            let path = shards.join(&name[..2]).join(&name);
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
            std::fs::write(path, bytes).unwrap();
        }
    }

    pub async fn manifest_of(&self, root: &Cid) -> Manifest {
        for (_, node) in &self.members {
            if let Some(bytes) = node.inner.manifests(*root).await.unwrap().first() {
                return Manifest::decode(bytes).unwrap();
            }
        }
        panic!("no manifest of {root}");
    }

    /// Gives a manifest to every node.
    pub async fn force_manifest(&self, manifest: &Manifest) {
        for (_, node) in &self.members {
            node.inner.put_manifest(manifest.root, manifest.encode().into()).await.unwrap();
        }
    }

    /// Makes every node answer with bytes that are no manifests, before the real ones.
    pub fn force_junk_manifests(&self) {
        for (_, node) in &self.members {
            *node.junk.lock() = vec![Bytes::new(), Bytes::from_static(b"junk"), Bytes::from(vec![0x9f; 5000])];
        }
    }
}
