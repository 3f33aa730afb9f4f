//! The bridge role: post what the network finalises to a light client on an L1.
//!
//! It keeps a journal in its directory ([`bridge_ethereum::Journal`]), and asks the network's validators for everything else
//! ([`crate::links`]). Several bridges may post to one contract; whoever is first pays.

use super::{Running, lock_directory};
use crate::genesis;
use crate::links::Links;
use crate::roles::rpc::clients;
use crate::roles::validator::{ChainOptions, open_chain};
use crate::seam::Settlement;
use bridge_ethereum::journal::Identity;
use bridge_ethereum::{HttpL1, Journal, Pace, Poster, Settings};
use eyre::{Result, WrapErr as _};
use protocol::network::Network;
use sdk::Wallet;
use sequencer::finality::Tracker;
use sequencer::{Application as _, Block, Committee};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// File in a bridge's directory that holds what was sent.
pub const JOURNAL_FILE: &str = "bridge.journal";

/// What a bridge needs to start.
pub struct Config {
    /// The network, with its committee and genesis.
    pub network: Network,
    /// Its directory.
    pub dir: PathBuf,
    /// URL of a node of the L1.
    pub l1: String,
    /// File with the key of the account that pays.
    pub key_file: PathBuf,
    /// What it posts to, and what it may cost.
    pub settings: Settings,
    /// How often it looks, about the time of a block of the L1.
    pub poll: Duration,
}

/// Starts a bridge; returns when its journal is open, not when anything is posted.
///
/// # Errors
/// When key, directory or network file do not fit.
pub async fn start(config: Config) -> Result<Running> {
    let lock = lock_directory(&config.dir)?;
    let mut role = Running::new("bridge");
    role.hold(lock);
    let signer = key(&config.key_file)?;
    let links = links(&config.network, &config.dir).await?;
    let Settings { chain_id, contract, .. } = config.settings;
    let identity = Identity { chain_id, contract, account: signer.address() };
    let journal = Journal::open(&config.dir.join(JOURNAL_FILE), identity)?;
    let totals = journal.totals().clone();
    tracing::info!(account = %identity.account, %contract, chain_id, posted = totals.posted, "bridge starts");
    let l1 = HttpL1::new(&config.l1)?;
    let poster = Poster::new(l1, links, signer.signer().clone(), config.settings, journal);
    let (pace, failure) = (Pace::new(config.poll), role.failure());
    role.spawn(async move {
        // Without randomness bridges come back together after an outage, no more.
        let error = poster.run(pace, unix_millis, || getrandom::u64().unwrap_or(0)).await;
        tracing::error!(%error, "the bridge stopped");
        failure.send_replace(Some(format!("the bridge stopped: {error}")));
    });
    Ok(role)
}

/// The account in a key file that only its owner can read.
///
/// # Errors
/// When there is none.
pub fn key(path: &Path) -> Result<Wallet> {
    Wallet::load(path).wrap_err_with(|| format!("cannot use the key file {}", path.display()))
}

/// The network's validators as a source of finality. Block 0 is computed here, below `dir`, so that nobody is believed about it.
///
/// # Errors
/// When the network file has no genesis or validators, or the directory cannot be used.
pub async fn links(network: &Network, dir: &Path) -> Result<Links> {
    let genesis = genesis::of(network)?;
    let chain = open_chain(dir, network, ChainOptions::default()).await?;
    let commitment = Settlement::new(chain, network)?.genesis_commitment();
    let first = Block::genesis(network.chain_id, genesis.timestamp * 1000, commitment);
    let committee = Committee::new(&network.validators, network.chain_id)?;
    Links::new(clients(network)?, &Tracker::genesis(&committee, &first, genesis.epoch_blocks)?)
}

fn unix_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
