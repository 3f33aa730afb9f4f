//! The same validator on a simulated clock, network and disk.
//!
//! [`Validator`] is [`Sequencer`](crate::Sequencer) without its thread, its runtime and its TCP: the actors, the mempool, the
//! history and the evidence are those of a real one. Whoever starts it chooses the runtime (most often commonware's
//! deterministic one, seeded) and the links to the other validators.
//!
//! Only for simulations and tests.

use crate::application::Application;
use crate::block::{Block, Header};
use crate::dissemination;
use crate::engine::{self, Links, Setup};
use crate::finality::actor::Message;
use crate::guard::{Guard, Refused};
use crate::history::{History, LinkPage};
use crate::keys::ValidatorKeys;
use crate::lane::LaneStatus;
use crate::lane::actor::shared_target;
use crate::mempool::SubmitError;
use crate::orderer::Core;
use crate::sequencer::{Config, FinalizedError, Prepared, StartError, certified_header, finalized, prepare};
use crate::submission::{Lifetime, Receipt, Submission, Writer};
use bytes::Bytes;
use commonware_cryptography::ed25519;
use commonware_p2p::{Blocker, Provider, Receiver, Sender};
use commonware_runtime::{Clock, Metrics, Quota, Spawner, Storage};
use proof::checkpoint::{Domain, Evidence, Vote};
use protocol::api::{CertifiedBlock, StakeFinality, SubmissionStatus};
use rand_core::CryptoRng;
use std::fs::File;
use std::sync::Arc;

pub use crate::dissemination::Division;

/// How many channels there are between two validators.
pub const CHANNELS: usize = engine::CHANNELS.len();

/// Every channel, with what a peer may send on it.
pub fn channels() -> [(u64, Quota); CHANNELS] {
    engine::CHANNELS.map(|channel| (channel, engine::quota(channel)))
}

/// The target of a share of an opening in the encrypted lane, if that is what a message on a channel is.
pub fn released(channel: u64, message: &[u8]) -> Option<u64> {
    (channel == engine::CHANNEL_LANE).then(|| shared_target(message)).flatten()
}

/// The head of the block that a message on a channel has shards of, if it has.
pub fn head_of_part(channel: u64, message: &[u8]) -> Option<&[u8]> {
    if channel == engine::CHANNEL_BLOCKS { dissemination::head_of_part(message) } else { None }
}

/// What a simulation chooses for a validator.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// Begins the names of the engine's files, as validators of one simulation share a disk.
    pub prefix: String,
    /// When blocks go in shards.
    pub division: Division,
}

/// The channel on which validators send each other votes on checkpoints.
pub const STAKE_VOTES: u64 = engine::CHANNEL_STAKE_VOTES;

/// A vote on a checkpoint as its voter sends it on [`STAKE_VOTES`], if `guard` allows the signature. Whoever brings a new guard for
/// each vote can contradict itself, which is what simulations of malicious voters do.
pub fn stake_vote(keys: &ValidatorKeys, guard: &Guard, domain: &Domain, vote: Vote) -> Result<Vec<u8>, Refused> {
    let signature = keys.votes.sign(guard, domain, &vote)?;
    Ok(Message::Vote { key: Box::new(keys.votes.public()), vote, signature }.encode())
}

/// A validator whose actors run in somebody else's runtime. They end when the context they were started with does.
pub struct Validator {
    core: Arc<Core>,
    history: Arc<History>,
    /// Until it is dropped, no other validator takes the directory.
    _lock: File,
}

impl Validator {
    /// Opens the directory and starts the actors. Where to listen does not matter.
    pub async fn start<E, S, R, P, B>(
        context: E,
        config: Config,
        Setting { prefix, division }: Setting,
        application: Arc<dyn Application>,
        channels: [(S, R); CHANNELS],
        peers: P,
        blocker: B,
    ) -> Result<Self, StartError>
    where
        E: Clock + CryptoRng + Metrics + Spawner + Storage,
        S: Sender<PublicKey = ed25519::PublicKey>,
        R: Receiver<PublicKey = ed25519::PublicKey>,
        P: Provider<PublicKey = ed25519::PublicKey>,
        B: Blocker<PublicKey = ed25519::PublicKey>,
    {
        let Prepared { lock, setup, .. } = prepare(config, application, Writer::Caller, || Ok(()))?;
        // All that the engine keeps is on the simulated disk.
        let setup = Setup { prefix, blocks: None, division, ..setup };
        let (core, history) = (setup.core.clone(), setup.history.clone());
        // Who is connected to whom is the simulation's to decide.
        let track = Box::new(|_: &_| ());
        let links = Links { channels, peers, peers_max: usize::MAX, blocker, track };
        let path = history.path().to_owned();
        let started = engine::start(context, setup, links).await;
        started.map_err(|error| StartError::Engine { path, reason: error.to_string() })?;
        Ok(Self { core, history, _lock: lock })
    }

    /// As [`Sequencer::submit`](crate::Sequencer::submit).
    pub fn submit(&self, namespace: u64, payload: Bytes) -> Result<[u8; 32], SubmitError> {
        self.core.mempool.submit(namespace, payload)
    }

    /// As [`Sequencer::submit_bundle`](crate::Sequencer::submit_bundle).
    pub fn submit_bundle(&self, transactions: Vec<(u64, Bytes)>) -> Result<[u8; 32], SubmitError> {
        self.core.mempool.submit_bundle(transactions)
    }

    /// As [`Sequencer::accept`](crate::Sequencer::accept), of one submission; it is on the disk when this returns.
    pub fn accept(&self, submission: Submission, lifetime: Lifetime) -> Result<Receipt, SubmitError> {
        let (mut receipts, written) = self.core.mempool.accept(vec![submission.check()], lifetime);
        let receipt = receipts.pop().expect("one submission has one receipt")?;
        // The journal is written by the caller, so that this is known at once.
        match written.map(|mut written| written.try_recv()) {
            Some(Ok(Ok(()))) => Ok(receipt),
            Some(Ok(Err(reason))) => Err(SubmitError::Journal(reason)),
            _ => Err(SubmitError::Stopped),
        }
    }

    /// As [`Sequencer::statuses`](crate::Sequencer::statuses).
    pub fn status(&self, hash: [u8; 32]) -> Option<SubmissionStatus> {
        self.core.mempool.statuses(&[hash], 0).pop()
    }

    /// As [`Sequencer::height`](crate::Sequencer::height).
    pub fn height(&self) -> u64 {
        *self.core.heights.borrow()
    }

    /// As [`Sequencer::finalized`](crate::Sequencer::finalized).
    pub fn finalized(&self, from: u64, max: usize) -> Result<Vec<CertifiedBlock>, FinalizedError> {
        finalized(&self.history, from, self.height(), max)
    }

    /// As [`Sequencer::block`](crate::Sequencer::block), without the proof.
    pub fn block(&self, height: u64) -> Result<Option<Block>, FinalizedError> {
        Ok(self.history.block(height)?)
    }

    /// As [`Sequencer::oldest`](crate::Sequencer::oldest).
    pub fn oldest(&self) -> u64 {
        self.history.oldest()
    }

    /// As [`Sequencer::header`](crate::Sequencer::header), with the encoded certificate.
    pub fn header(&self, height: u64) -> Result<Option<(Header, Bytes)>, FinalizedError> {
        certified_header(&self.history, height, self.height())
    }

    /// As [`Sequencer::links`](crate::Sequencer::links).
    pub fn links(&self, from: u64, max: usize) -> Result<LinkPage, FinalizedError> {
        Ok(self.history.links(from, max)?)
    }

    /// As [`Sequencer::vote_evidence`](crate::Sequencer::vote_evidence).
    pub fn vote_evidence(&self, max: usize) -> Result<Vec<Evidence>, FinalizedError> {
        Ok(self.history.evidence(max)?)
    }

    /// What the stake has justified and finalised, as this validator sees it.
    pub fn finality(&self) -> StakeFinality {
        self.core.desk.view().borrow().clone()
    }

    /// As [`Sequencer::lane`](crate::Sequencer::lane).
    pub fn lane(&self) -> Option<LaneStatus> {
        self.core.lane.as_ref().map(|lane| lane.status())
    }

    /// Why the validator cannot go on, if it cannot.
    pub fn failure(&self) -> Option<String> {
        self.core.failure.borrow().clone()
    }
}
