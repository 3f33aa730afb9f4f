//! The storage nodes that are registered on chain, as peers of the cluster.

use super::jobs;
use ::gateway::client::{ClientError, ShardClient};
use alloy_primitives::{Address, B256};
use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use parking_lot::RwLock;
use protocol::abi::ROLE_STORAGE;
use protocol::api::{ShardNodeInfo, StorageNode};
use sdk::ChainClient;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use storage::cluster::Node;
use storage::{NodeInfo, PeerError, ShardPeer};
use tokio::sync::watch;

/// Pause between two looks at the registry and the nodes.
const REFRESH_PAUSE: Duration = Duration::from_millis(1_000);
/// Pause while no storage node is known, as when a network starts.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// How long a node may take to say that it is up.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The storage nodes as last seen.
pub struct Nodes {
    http: reqwest::Client,
    /// Endpoints as registered, by account.
    known: RwLock<BTreeMap<Address, String>>,
    seen: RwLock<Vec<StorageNode>>,
}

impl Default for Nodes {
    fn default() -> Self {
        Self { http: ::gateway::client::http_client(), known: RwLock::default(), seen: RwLock::default() }
    }
}

impl Nodes {
    /// All registered nodes, as last seen.
    pub fn all(&self) -> Vec<StorageNode> {
        self.seen.read().clone()
    }

    /// Keeps the list and the cluster's peers current until dropped.
    pub async fn watch(self: Arc<Self>, chain: ChainClient, peers: watch::Sender<Arc<[Node]>>) {
        loop {
            self.learn(&chain, &peers).await;
            let known = self.known.read().clone();
            let seen = probe(&known, &self.http).await;
            *self.seen.write() = seen;
            tokio::time::sleep(if known.is_empty() { FIRST_PAUSE } else { REFRESH_PAUSE }).await;
        }
    }

    /// Reads the registry once and tells the cluster its peers. A gateway does this before it serves: without peers every
    /// stored file would look lost.
    pub async fn learn(&self, chain: &ChainClient, peers: &watch::Sender<Arc<[Node]>>) {
        let all = match jobs::registered(chain).await {
            Ok(all) => all,
            Err(problem) => return tracing::debug!(problem.detail, "cannot read the registry"),
        };
        let found = all
            .into_iter()
            .filter(|(_, profile)| profile.roles & (1 << ROLE_STORAGE) != 0)
            .map(|(address, profile)| (address, profile.endpoint))
            .collect::<BTreeMap<_, _>>();
        if found != *self.known.read() {
            peers.send_replace(peers_of(&found, &self.http));
            *self.known.write() = found;
        }
    }
}

/// Every node has the same weight until deals and proofs tell them apart; each operator is its own failure domain.
fn peers_of(known: &BTreeMap<Address, String>, http: &reqwest::Client) -> Arc<[Node]> {
    let mut peers = Vec::with_capacity(known.len());
    for (address, endpoint) in known {
        match ShardClient::new(endpoint, http.clone()) {
            Ok(client) => {
                let info = NodeInfo { address: *address, weight: 1, domain: address.to_string() };
                peers.push(Node { info, peer: Arc::new(HttpPeer(client)) });
            }
            Err(error) => tracing::warn!(%address, %error, "storage node has no usable endpoint"),
        }
    }
    peers.into()
}

async fn probe(known: &BTreeMap<Address, String>, http: &reqwest::Client) -> Vec<StorageNode> {
    let probes = known.iter().map(|(address, endpoint)| async move {
        let client = ShardClient::new(endpoint, http.clone()).ok();
        let info = match client {
            Some(client) => tokio::time::timeout(PROBE_TIMEOUT, client.info()).await.ok().and_then(Result::ok),
            None => None,
        };
        // An answer for another account is another node at the same address.
        let info = info.filter(|info| info.address == *address);
        StorageNode {
            address: *address,
            endpoint: endpoint.clone(),
            up: info.is_some(),
            used_bytes: info.as_ref().map_or(0, |i| i.used_bytes),
            capacity_bytes: info.as_ref().map_or(0, |i| i.capacity_bytes),
            shards: info.as_ref().map_or(0, |i| i.shards),
        }
    });
    futures::future::join_all(probes).await
}

/// A storage node over HTTP.
struct HttpPeer(ShardClient);

fn peer_error(error: ClientError) -> PeerError {
    match error {
        ClientError::Refused { problem, .. } if problem.status < 500 || problem.status == 507 => {
            PeerError::Refused(problem.detail)
        }
        other => PeerError::Unreachable(other.to_string()),
    }
}

#[async_trait]
impl ShardPeer for HttpPeer {
    async fn info(&self) -> Result<ShardNodeInfo, PeerError> {
        self.0.info().await.map_err(peer_error)
    }

    async fn put_shard(&self, id: B256, bytes: Bytes) -> Result<(), PeerError> {
        self.0.put_shard(id, bytes).await.map_err(peer_error)
    }

    async fn shard(&self, id: B256) -> Result<Option<Bytes>, PeerError> {
        match self.0.shard(id).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(peer_error(error)),
        }
    }

    async fn has_shard(&self, id: B256) -> Result<bool, PeerError> {
        self.0.has_shard(id).await.map_err(peer_error)
    }

    async fn put_manifest(&self, root: Cid, bytes: Bytes) -> Result<(), PeerError> {
        self.0.put_manifest(&root, bytes).await.map_err(peer_error)
    }

    async fn manifests(&self, cid: Cid) -> Result<Vec<Bytes>, PeerError> {
        self.0.manifests(&cid).await.map_err(peer_error)
    }
}
