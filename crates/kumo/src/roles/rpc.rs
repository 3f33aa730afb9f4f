//! The rpc role: follow final blocks, execute them on an own state, serve the Ethereum JSON-RPC.
//!
//! In the process of a validator it serves that validator's chain instead, see [`super::shared`].

use super::handover::Handover;
use super::shared::Shared;
use super::validator::{ChainOptions, open_chain, socket_of};
use super::{Running, lock_directory};
use crate::finality::Followed;
use crate::follower::{self, Sink, Source};
use crate::genesis;
use crate::seam::{self, Settlement};
use crate::settings::Settings;
use crate::validators::Registry;
use ::gateway::client::ValidatorClient;
use alloy_primitives::B256;
use async_trait::async_trait;
use bytes::Bytes;
use chain::Chain;
use chain::pool::{Pool, PoolLimits};
use chain::rpc::{Certificate, Checkpoints, SyncStatus, Upstream};
use eyre::{Result, ensure, eyre};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use proof::checkpoint::{Checkpoint, Point};
use protocol::api::CertifiedBlock;
use protocol::network::Network;
use sequencer::committees::Committees;
use sequencer::{Application as _, Block, Committee};
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
    /// A checkpoint that the operator trusts: the chain must contain it.
    pub trusted: Option<Point>,
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
    let committees = genesis::committees(&config.network)?;
    let finality = Arc::new(open_finality(&config, &committees.at(0), &chain)?);
    let pinned = match config.trusted {
        Some(trusted) => Some(trust(&finality, &validators, trusted, &chain).await?),
        None => None,
    };
    let (mirror, validator) = (finality.clone(), shared.clone());
    role.spawn(async move {
        loop {
            mirror.clone().mirror(validator.attached().await).await;
            validator.released().await;
        }
    });
    let sink = Arc::new(Executor {
        registry: Registry::new(chain.clone(), &config.network),
        chain: chain.clone(),
        shared,
        sync: sync.clone(),
        finality: finality.clone(),
        pinned,
    });
    let follow = follower::follow(Source::new(validators.clone(), committees.clone())?, sink);
    let failure = role.failure();
    role.spawn(async move {
        if let Err(error) = follow.await {
            tracing::error!(%error, "the rpc node stopped following: its state is behind; restart it");
            failure.send_replace(Some(format!("{error:#}")));
        }
    });
    let checkpoints = Certificates { validators: validators.clone(), committees };
    let (broadcast, handing_over) = Handover::new(validators, config.local);
    role.spawn(handing_over);
    let (broadcast, checkpoints) = (Arc::new(broadcast), Some(Arc::new(checkpoints) as Arc<dyn Checkpoints>));
    let upstream = Upstream { broadcast, sync, checkpoints, finality: finality.status() };
    let pool = open_pool(&chain, config.settings.pool, config.dir.join(POOL_JOURNAL)).await?;
    let server = chain::rpc::serve_pool(address, chain, pool, upstream, config.settings.rpc)
        .await
        .map_err(|e| eyre!("rpc: {e}; if the port is taken, stop the other `kumo dev` or use --ports auto"))?;
    role.on_stop(move || async move { server.stop().await });
    Ok(role)
}

/// Gets the trusted checkpoint from whoever has it, and starts finality there. What the chain has already must agree.
async fn trust(
    finality: &Followed,
    validators: &[ValidatorClient],
    trusted: Point,
    chain: &Chain,
) -> Result<Checkpoint> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // What is wrong with a checkpoint says more than that somebody does not answer.
    let (mut refusal, mut absent) = (None, eyre!("the network file names no validators"));
    for validator in validators {
        let kept = match validator.checkpoint(trusted.epoch).await {
            Ok(kept) => kept.kept,
            Err(error) => {
                absent = error.into();
                continue;
            }
        };
        match finality.trust(trusted, &kept, now) {
            Ok(checkpoint) => {
                let known = chain.header_by_number(checkpoint.height)?.map(|(hash, _)| hash);
                known.map_or(Ok(()), |hash| check_pinned(Some(&checkpoint), checkpoint.height, hash))?;
                return Ok(checkpoint);
            }
            Err(error) => refusal = Some(error),
        }
    }
    Err(refusal
        .unwrap_or(absent)
        .wrap_err(format!("cannot start from the checkpoint {}:{}", trusted.epoch, trusted.root)))
}

/// The block at the height of the trusted checkpoint must be the one that it commits to.
fn check_pinned(pinned: Option<&Checkpoint>, height: u64, block: B256) -> Result<()> {
    let Some(pinned) = pinned.filter(|pinned| pinned.height == height) else { return Ok(()) };
    ensure!(
        pinned.application == block,
        "block {height} is {block}, the trusted checkpoint of epoch {} has {}: this is not the chain that you trust",
        pinned.epoch,
        pinned.application
    );
    Ok(())
}

/// Finality as it follows from the blocks, from where this node left it.
fn open_finality(config: &Config, committee: &Committee, chain: &Chain) -> Result<Followed> {
    let genesis = genesis::of(&config.network)?;
    let commitment = Settlement::new(chain.clone(), &config.network)?.genesis_commitment();
    let first = Block::genesis(config.network.chain_id, genesis.timestamp * 1000, commitment);
    Followed::open(&config.dir, committee, &first, genesis.epoch_blocks)
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
    finality: Arc<Followed>,
    registry: Registry,
    /// The checkpoint that the operator trusts.
    pinned: Option<Checkpoint>,
}

#[async_trait]
impl Sink for Executor {
    async fn wanted(&self) {
        self.shared.released().await;
    }

    fn next_height(&self) -> Result<u64> {
        Ok((self.chain.head().header.number + 1).min(self.finality.next_height()))
    }

    fn apply(&self, block: &Block) -> Result<()> {
        let apply = || {
            check_pinned(self.pinned.as_ref(), block.height, seam::block_hash(block))?;
            if block.height > self.chain.head().header.number {
                let hash = seam::execute(&self.chain, block).map_err(|e| eyre!("final block {}: {e}", block.height))?;
                self.chain.finalize(hash)?;
            }
            self.finality.apply(block, &self.registry)
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
    committees: Committees,
}

impl Certificates {
    /// Checks a block, if need be after learning which committees there are.
    async fn verify(&self, validator: &ValidatorClient, certified: &CertifiedBlock) -> Result<Block> {
        if let Ok(block) = self.committees.now().verify(certified) {
            return Ok(block);
        }
        follower::learn(validator, &self.committees).await?;
        Ok(self.committees.now().verify(certified)?)
    }
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
            match self.verify(validator, &certified).await {
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
