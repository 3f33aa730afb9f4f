//! The rpc role: follow final blocks, execute them on an own state, serve the Ethereum JSON-RPC.
//!
//! In the process of a validator it serves that validator's chain instead, see [`super::shared`].

use super::handover::Handover;
use super::shared::Shared;
use super::validator::{ChainOptions, open_chain, socket_of};
use super::{Running, lock_directory};
use crate::follower::{self, Sink};
use crate::seam;
use crate::settings::Settings;
use ::gateway::client::ValidatorClient;
use async_trait::async_trait;
use bytes::Bytes;
use chain::Chain;
use chain::pool::{Pool, PoolLimits};
use chain::rpc::{Certificate, Checkpoints, SyncStatus, Upstream};
use eyre::{Result, eyre};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use protocol::network::Network;
use sequencer::{Block, Committee};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// File in the directory of an rpc node that holds what waits in its pool.
const POOL_JOURNAL: &str = "pool.journal";

/// What an rpc node needs to start.
pub struct Config {
    /// The network, with its committee and genesis.
    pub network: Network,
    /// Its directory.
    pub dir: PathBuf,
    /// Where it listens; `None`: where the network file says.
    pub listen: Option<SocketAddr>,
    /// What it gives to its callers and keeps in its pool at most.
    pub settings: Settings,
    /// What the validator of this process shares, and its seat.
    pub local: Option<(Shared, usize)>,
    /// How it keeps its chain, where it has one of its own.
    pub chain: ChainOptions,
}

/// Starts an rpc node; returns when it serves.
///
/// # Errors
/// When the port, the directory or the network file do not fit.
pub async fn start(config: Config) -> Result<Running> {
    let lock = lock_directory(&config.dir)?;
    let mut role = Running::new("rpc");
    role.hold(lock);
    let address = config.listen.map_or_else(|| socket_of(&config.network.rpc), Ok)?;
    let shared = config.local.as_ref().map(|(shared, _)| shared.clone()).unwrap_or_default();
    let chain = match shared.chain().await {
        Some(chain) => chain,
        None => open_chain(&config.dir, &config.network, config.chain).await?,
    };
    let validators = clients(&config.network)?;
    let sync = SyncStatus::default();
    let sink = Arc::new(Executor { chain: chain.clone(), shared, sync: sync.clone() });
    let committee = Arc::new(Committee::new(&config.network.validators, config.network.chain_id)?);
    let follow = follower::follow(validators.clone(), committee.clone(), sink);
    let failure = role.failure();
    role.spawn(async move {
        if let Err(error) = follow.await {
            tracing::error!(%error, "the rpc node stopped following: its state is behind; restart it");
            failure.send_replace(Some(format!("{error:#}")));
        }
    });
    let checkpoints = Certificates { validators: validators.clone(), committee };
    let (broadcast, handing_over) = Handover::new(validators, config.local);
    role.spawn(handing_over);
    let upstream = Upstream { broadcast: Arc::new(broadcast), sync, checkpoints: Some(Arc::new(checkpoints)) };
    let pool = open_pool(&chain, config.settings.pool, config.dir.join(POOL_JOURNAL)).await?;
    let server = chain::rpc::serve_pool(address, chain, pool, upstream, config.settings.rpc)
        .await
        .map_err(|e| eyre!("rpc: {e}; if the port is taken, stop the other `kumo dev` or use --ports auto"))?;
    role.on_stop(move || async move { server.stop().await });
    Ok(role)
}

/// Opens the pool with its journal, which takes as long as recovering who signed what waits.
async fn open_pool(chain: &Chain, limits: PoolLimits, journal: PathBuf) -> Result<Pool> {
    let chain = chain.clone();
    let opening = tokio::task::spawn_blocking(move || Pool::open(&chain, limits, &journal));
    Ok(opening.await??)
}

/// One client per validator.
///
/// # Errors
/// When a validator's API is no URL.
pub fn clients(network: &Network) -> Result<Vec<ValidatorClient>> {
    let http = ::gateway::client::http_client();
    let clients = network.validators.iter().map(|v| Ok(ValidatorClient::new(&v.api, http.clone())?));
    clients.collect()
}

struct Executor {
    chain: Chain,
    shared: Shared,
    sync: SyncStatus,
}

#[async_trait]
impl Sink for Executor {
    async fn wanted(&self) {
        self.shared.released().await;
    }

    fn next_height(&self) -> Result<u64> {
        Ok(self.chain.head().header.number + 1)
    }

    fn apply(&self, block: &Block) -> Result<()> {
        let apply = || {
            if block.height <= self.chain.head().header.number {
                return Ok(());
            }
            let hash = seam::execute(&self.chain, block).map_err(|e| eyre!("final block {}: {e}", block.height))?;
            self.chain.finalize(hash)?;
            Ok(())
        };
        // A validator that has started meanwhile brings the block itself.
        self.shared.unless_driven(apply).unwrap_or(Ok(()))
    }

    fn heard_of(&self, height: u64) {
        self.sync.seen(height);
    }
}

/// Fetches the certificates of final blocks from validators, which keep them all, and believes none unchecked.
struct Certificates {
    validators: Vec<ValidatorClient>,
    committee: Arc<Committee>,
}

#[async_trait]
impl Checkpoints for Certificates {
    async fn checkpoint(&self, height: u64) -> Result<Certificate, String> {
        if height == 0 {
            return Err("block 0 needs no certificate: everybody computes it from the genesis".to_owned());
        }
        let mut refusal = "the network file names no validators".to_owned();
        for validator in &self.validators {
            let certified = match validator.certified(height).await {
                Ok(certified) => certified,
                Err(error) => {
                    refusal = error.to_string();
                    continue;
                }
            };
            match self.committee.verify(&certified) {
                Ok(block) => {
                    return Ok(Certificate {
                        header: block.header().encode().into(),
                        commitment: block.commitment.into(),
                        block: certified.block.0.into(),
                        certificate: certified.certificate.0.into(),
                    });
                }
                Err(error) => refusal = error.to_string(),
            }
        }
        Err(format!("no validator proved that block {height} is final: {refusal}"))
    }
}

/// Submits to all validators at once and returns with the first one that takes it; the others get it in the background, so
/// that a validator that hangs delays nobody.
///
/// # Errors
/// When none took it; the text is what the last one said.
pub async fn submit_to_all(
    validators: &[ValidatorClient],
    namespace: u64,
    payload: Bytes,
) -> Result<protocol::api::SubmitResponse, String> {
    let mut answers: FuturesUnordered<_> = validators
        .iter()
        .map(|validator| {
            let (validator, payload) = (validator.clone(), payload.clone());
            tokio::spawn(async move { validator.submit(namespace, payload).await })
        })
        .collect();
    let mut refusal = "the network file names no validators".to_owned();
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(error)) => refusal = error.to_string(),
            Err(error) => refusal = error.to_string(),
        }
    }
    Err(refusal)
}
