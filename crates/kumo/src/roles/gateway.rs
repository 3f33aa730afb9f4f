//! The gateway role: the public API, over the storage nodes, the chain and the sequencer.

use super::rpc::clients;
use super::validator::socket_of;
use super::{Running, listen, lock_directory};
use crate::follower::{self, Source};
use crate::gateway::backend::Answers;
use crate::gateway::index::Index;
use crate::gateway::sync::{self, Namespaces};
use crate::genesis;
use alloy_primitives::B256;
use eyre::Result;
use protocol::network::Network;
use sdk::ChainClient;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use storage::cluster::{Cluster, ClusterConfig};
use tokio::sync::watch;

/// Pause between two rounds of repair.
const REPAIR_PAUSE: Duration = Duration::from_secs(10);
/// Pause before the chain is asked again for its block 0.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// What a gateway needs to start.
pub struct Config {
    /// The network, with its committee.
    pub network: Network,
    /// Its directory: index, catalogue of files.
    pub dir: PathBuf,
    /// Where it listens; `None`: where the network file says.
    pub listen: Option<SocketAddr>,
}

/// Starts a gateway; returns when it serves.
///
/// # Errors
/// When the port, the directory or the network file do not fit, or no JSON-RPC answers.
pub async fn start(config: Config) -> Result<Running> {
    let lock = lock_directory(&config.dir)?;
    let mut role = Running::new("gateway");
    role.hold(lock);
    let address = config.listen.map_or_else(|| socket_of(&config.network.gateway), Ok)?;
    let listener = listen("gateway", address).await?;
    let chain = ChainClient::new(&config.network.rpc, config.network.chain_id);
    let committees = genesis::committees(&config.network)?;
    let validators = clients(&config.network)?;
    let first = genesis_hash(&chain).await?;
    let dir = config.dir.clone();
    let index = Arc::new(tokio::task::spawn_blocking(move || Index::open(&dir, first)).await??);
    let (peers, nodes) = watch::channel(Arc::from([]));
    let file = config.dir.join("files.redb");
    let open = move || Cluster::open(&file, nodes, ClusterConfig::default(), clock());
    let cluster = tokio::task::spawn_blocking(open).await??;
    let (tell, news) = watch::channel(index.events_cursor()?);
    let answers = Arc::new(Answers {
        network: config.network,
        chain: chain.clone(),
        cluster: cluster.clone(),
        nodes: Default::default(),
        index: index.clone(),
        logs: Default::default(),
        news,
        validators: validators.clone(),
        names: Default::default(),
    });
    answers.nodes.learn(&chain, &peers).await;
    role.spawn(answers.nodes.clone().watch(chain.clone(), peers));
    role.spawn(sync::job_events(chain, index.clone(), tell));
    role.spawn(repair(cluster));
    let follow = follower::follow(Source::new(validators, committees)?, Arc::new(Namespaces::new(index)));
    role.spawn(async move {
        if let Err(error) = follow.await {
            tracing::error!(error = format!("{error:#}"), "the gateway stopped following the sequencer; restart it");
        }
    });
    let router = ::gateway::router(answers, Default::default());
    let server = ::gateway::serve(listener, router, Default::default())?;
    role.on_stop(move || async move { server.stop().await });
    Ok(role)
}

fn clock() -> storage::cluster::Clock {
    storage::cluster::Clock::new(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs())
    })
}

/// Block 0 tells the chain that an index belongs to.
async fn genesis_hash(chain: &ChainClient) -> Result<B256> {
    let mut error = None;
    for _ in 0..100 {
        match chain.header(0.into()).await {
            Ok(header) => return Ok(header.hash_slow()),
            Err(e) => error = Some(e),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    Err(error.map_or_else(|| eyre::eyre!("the JSON-RPC did not answer"), Into::into))
}

/// Rebuilds what is known to be damaged or badly placed, now and then.
async fn repair(cluster: Cluster) {
    loop {
        tokio::time::sleep(REPAIR_PAUSE).await;
        match cluster.repair_degraded().await {
            Ok(reports) => {
                for (root, report) in reports {
                    match report {
                        Ok(report) => tracing::info!(%root, ?report, "repaired"),
                        Err(error) => tracing::warn!(%root, %error, "cannot repair"),
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "repair failed"),
        }
    }
}
