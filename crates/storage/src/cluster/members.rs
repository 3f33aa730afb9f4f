//! The nodes of this moment, and how they have answered lately.

use super::{Cluster, ClusterConfig};
use crate::peer::{PeerError, ShardPeer};
use crate::placement::{NodeInfo, choose, rank};
use alloy_primitives::{Address, B256};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A storage node: how placement sees it, and how it is reached.
#[derive(Clone)]
pub struct Node {
    /// Address, weight and failure domain.
    pub info: NodeInfo,
    /// The way to it.
    pub peer: Arc<dyn ShardPeer>,
}

/// The nodes as they were when an operation began.
#[derive(Clone)]
pub(super) struct Members {
    pub(super) nodes: Arc<[Node]>,
    pub(super) infos: Arc<[NodeInfo]>,
}

impl Members {
    pub(super) fn new(nodes: Arc<[Node]>) -> Self {
        let infos = nodes.iter().map(|node| node.info.clone()).collect();
        Self { nodes, infos }
    }

    /// Nodes that may be given something.
    pub(super) fn weighted(&self) -> usize {
        self.infos.iter().filter(|info| info.weight > 0).count()
    }

    /// The nodes that should keep `n` things of which `k` are needed: losing one failure domain leaves enough.
    pub(super) fn chosen(&self, key: &B256, k: usize, n: usize) -> Vec<usize> {
        choose(key, &self.infos, n, (n - k).max(1))
    }

    /// All nodes, best first; those without weight last, because they may still keep what they were given before.
    pub(super) fn ranked(&self, key: &B256) -> Vec<usize> {
        let mut ranked = rank(key, &self.infos);
        ranked.extend((0..self.infos.len()).filter(|i| self.infos[*i].weight == 0));
        ranked
    }

    pub(super) fn address(&self, node: usize) -> Address {
        self.infos[node].address
    }
}

/// Which nodes failed lately.
pub(super) struct Liveness {
    patience: Duration,
    patience_with_suspects: Duration,
    suspect_for: Duration,
    suspects: Mutex<HashMap<Address, Instant>>,
}

impl Liveness {
    pub(super) fn new(config: &ClusterConfig) -> Self {
        Self {
            patience: config.request_timeout,
            patience_with_suspects: config.suspect_timeout.min(config.request_timeout),
            suspect_for: config.suspect_for,
            suspects: Mutex::new(HashMap::new()),
        }
    }

    pub(super) fn is_suspect(&self, address: &Address) -> bool {
        self.suspects.lock().get(address).is_some_and(|until| *until > Instant::now())
    }

    fn patience(&self, address: &Address) -> Duration {
        if self.is_suspect(address) { self.patience_with_suspects } else { self.patience }
    }

    fn note(&self, address: &Address, answered: bool) {
        let mut suspects = self.suspects.lock();
        if answered {
            suspects.remove(address);
        } else {
            suspects.insert(*address, Instant::now() + self.suspect_for);
        }
    }
}

impl Cluster {
    /// One request to a node, within its time; notes whether it answered.
    pub(super) async fn ask<T>(
        &self,
        node: &Node,
        request: impl Future<Output = Result<T, PeerError>>,
    ) -> Result<T, PeerError> {
        let address = node.info.address;
        let patience = self.0.liveness.patience(&address);
        let answer = tokio::time::timeout(patience, request).await;
        let answer =
            answer.unwrap_or_else(|_| Err(PeerError::Unreachable(format!("no answer in {} ms", patience.as_millis()))));
        self.0.liveness.note(&address, !matches!(answer, Err(PeerError::Unreachable(_))));
        answer
    }

    pub(super) fn is_suspect(&self, members: &Members, node: usize) -> bool {
        self.0.liveness.is_suspect(&members.address(node))
    }
}
