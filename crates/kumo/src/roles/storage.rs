//! The storage role: keep shards in one directory, serve them, be registered on chain.

use super::{Running, listen, lock_directory};
use crate::membership::{self, Member};
use ::gateway::backend::{Answer, ShardBackend};
use ::gateway::{ServeLimits, ShardConfig, problem};
use alloy_primitives::{B256, U256};
use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use eyre::{Context as _, Result};
use protocol::abi::{IProviderRegistry, ROLE_STORAGE};
use protocol::api::{Problem, ShardNodeInfo};
use protocol::network::Network;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use storage::manifest::{MANIFEST_BYTES_MAX, SHARD_BYTES_MAX};
use storage::{LocalPeer, PeerError, ShardPeer as _, ShardStore};
use tokio::net::TcpListener;

/// Pause between two scrubs of all shards.
const SCRUB_PAUSE: Duration = Duration::from_secs(600);

/// What a storage node needs to start.
pub struct Config {
    /// The network; a client's file is enough.
    pub network: Network,
    /// Its directory: key, shards.
    pub dir: PathBuf,
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Bytes it offers.
    pub capacity_bytes: u64,
    /// Stake in wei.
    pub stake: U256,
    /// Name for people.
    pub name: String,
}

/// Starts a storage node; it registers itself as soon as the chain answers.
///
/// # Errors
/// When the port or the directory cannot be used.
pub async fn start(config: Config) -> Result<Running> {
    let lock = lock_directory(&config.dir)?;
    let mut role = Running::new(&config.name);
    role.hold(lock);
    let wallet = crate::dev::plan::node_wallet(&config.dir)?;
    let (dir, capacity) = (config.dir.join("shards"), config.capacity_bytes);
    let store = Arc::new(tokio::task::spawn_blocking(move || ShardStore::open(&dir, capacity)).await??);
    let listener = listen_again(&config.dir, config.listen).await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let backend = Arc::new(Shards(LocalPeer::new(wallet.address(), store.clone())));
    let limits = ShardConfig {
        shard_bytes_max: SHARD_BYTES_MAX,
        manifest_bytes_max: MANIFEST_BYTES_MAX,
        ..ShardConfig::default()
    };
    let router = ::gateway::shard_router(backend, limits);
    let server = ::gateway::serve(listener, router, ServeLimits::node())?;
    role.on_stop(move || async move { server.stop().await });
    role.spawn(scrub(store));
    let profile = IProviderRegistry::Profile {
        roles: 1 << ROLE_STORAGE,
        encryptionKey: wallet.exchange_public(),
        endpoint,
        attributes: serde_json::json!({"kind": "storage", "name": config.name, "capacity_bytes": capacity}).to_string(),
    };
    role.spawn(membership::keep(Member { network: config.network, wallet, profile, stake: config.stake }));
    Ok(role)
}

/// Listens where the node listened last, if any port was asked for and that one is still free: an address that stays the
/// same need not be registered again.
async fn listen_again(dir: &Path, wanted: SocketAddr) -> Result<TcpListener> {
    let file = dir.join("address");
    let last = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse::<SocketAddr>().ok());
    let again = match last.filter(|last| wanted.port() == 0 && last.ip() == wanted.ip()) {
        Some(last) => ::gateway::listen(last).ok(),
        None => None,
    };
    let listener = match again {
        Some(listener) => listener,
        None => listen("storage node", wanted).await?,
    };
    std::fs::write(&file, listener.local_addr()?.to_string())
        .wrap_err_with(|| format!("cannot write {}", file.display()))?;
    Ok(listener)
}

/// Reads every shard now and then, so that damage is found before all copies have it.
async fn scrub(store: Arc<ShardStore>) {
    loop {
        tokio::time::sleep(SCRUB_PAUSE).await;
        let store = store.clone();
        match tokio::task::spawn_blocking(move || store.scrub()).await {
            Ok(Ok(report)) => tracing::debug!(?report, "scrubbed"),
            Ok(Err(error)) => tracing::warn!(%error, "scrub failed"),
            Err(error) => tracing::warn!(%error, "scrub ended"),
        }
    }
}

/// The node's store as its HTTP service sees it.
struct Shards(LocalPeer);

fn peer_problem(error: PeerError) -> Problem {
    match error {
        PeerError::Refused(reason) => problem::insufficient_storage(reason),
        PeerError::Unreachable(reason) => problem::internal(reason),
    }
}

#[async_trait]
impl ShardBackend for Shards {
    async fn info(&self) -> Answer<ShardNodeInfo> {
        self.0.info().await.map_err(peer_problem)
    }

    async fn put_shard(&self, id: B256, bytes: Bytes) -> Answer<()> {
        self.0.put_shard(id, bytes).await.map_err(peer_problem)
    }

    async fn shard(&self, id: B256) -> Answer<Bytes> {
        let found = self.0.shard(id).await.map_err(peer_problem)?;
        found.ok_or_else(|| problem::not_found("shard", id, "this node does not keep it, or its copy is damaged"))
    }

    async fn has_shard(&self, id: B256) -> Answer<bool> {
        self.0.has_shard(id).await.map_err(peer_problem)
    }

    async fn put_manifest(&self, root: Cid, bytes: Bytes) -> Answer<()> {
        self.0.put_manifest(root, bytes).await.map_err(peer_problem)
    }

    async fn manifests(&self, root: Cid) -> Answer<Vec<Bytes>> {
        self.0.manifests(root).await.map_err(peer_problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_restarted_node_keeps_its_port_unless_it_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = listen_again(dir.path(), any).await.unwrap();
        let address = first.local_addr().unwrap();
        let other = listen_again(dir.path(), any).await.unwrap();
        assert_ne!(other.local_addr().unwrap(), address, "the port is taken, so another one is used");
        drop((first, other));
        std::fs::write(dir.path().join("address"), address.to_string()).unwrap();
        assert_eq!(listen_again(dir.path(), any).await.unwrap().local_addr().unwrap(), address);
    }
}
