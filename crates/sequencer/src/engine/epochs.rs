//! One consensus engine after the other: each committee has its own, which begins on the last block of the one before.
//!
//! What is final says which committee orders the next block, so a validator that is started again runs the engine that
//! it would have run. A validator without a seat runs the engine, too, but has nothing to sign with: it follows.
//!
//! An engine ends when the last block of its committee is final here. Whoever lags is told nothing more by those who
//! went on, but hears that they vote as a later committee; it then asks them for the blocks that are missing, of which
//! it knows that its own committee makes them final.

use super::lanes::{Lane, Lanes};
use super::schemes::Schemes;
use super::{Runtime, Timeouts};
use crate::block::Block;
use crate::committee::Committee;
use crate::evidence::EvidenceLog;
use crate::history::History;
use crate::orderer::{Core, Orderer};
use commonware_consensus::Reporters;
use commonware_consensus::marshal::core::Mailbox;
use commonware_consensus::marshal::standard::{Inline, Standard};
use commonware_consensus::simplex::{self, ForwardPolicy, SkipPolicy, elector::RoundRobin, scheme::ed25519::Scheme};
use commonware_consensus::types::{Epoch, Height};
use commonware_cryptography::ed25519::PublicKey;
use commonware_cryptography::{Sha256, sha256};
use commonware_p2p::{Blocker, Message, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::Handle;
use commonware_runtime::buffer::paged::CacheRef;
use commonware_utils::{NZDuration, non_empty_vec};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Missing final blocks that a peer is asked for at a time.
const ASKED_MAX: u64 = 16;

/// Told who the validators around the current block are, and where, whenever that changes.
pub(crate) type Track = Box<dyn FnMut(&BTreeMap<PublicKey, SocketAddr>) + Send>;

/// A vote of a committee whose channels are not open here.
pub(super) type Foreign = (u64, Message<PublicKey>);

/// What the engines of all committees share.
pub(super) struct Epochs<S: Sender<PublicKey = PublicKey>, B> {
    pub core: Arc<Core>,
    pub history: Arc<History>,
    pub schemes: Schemes,
    pub evidence: EvidenceLog,
    pub marshal: Mailbox<Scheme, Standard<Block>>,
    pub blocker: B,
    pub lanes: Lanes<S>,
    pub foreign: mpsc::Receiver<Foreign>,
    pub track: Track,
    pub peers_max: usize,
    pub cache: CacheRef,
    pub prefix: String,
}

/// Runs the engine of one committee after the other until a part ends, which none does by itself.
pub(super) async fn run<E, S, B>(context: E, mut epochs: Epochs<S, B>)
where
    E: Runtime,
    S: Sender<PublicKey = PublicKey>,
    B: Blocker<PublicKey = PublicKey>,
{
    let mut waiting = None;
    loop {
        let committee = epochs.committee();
        let Some(ended) = epochs.serve(&context, &committee, waiting).await else { return };
        waiting = Some((committee.epoch().next(), ended));
    }
}

impl<S: Sender<PublicKey = PublicKey>, B: Blocker<PublicKey = PublicKey>> Epochs<S, B> {
    /// The committee that orders the next block.
    fn committee(&self) -> Committee {
        self.core.committees.at(self.core.next_height())
    }

    /// Runs the engine of `committee` until its last block is final here. `waiting` are channels that are open already.
    /// Returns those of the next committee; `None` if the validator stops.
    async fn serve<E: Runtime>(
        &mut self,
        context: &E,
        committee: &Committee,
        waiting: Option<(Epoch, Lane<S>)>,
    ) -> Option<Lane<S>> {
        let epoch = committee.epoch();
        let lane = match waiting.filter(|(opened, _)| *opened == epoch) {
            Some((_, lane)) => lane,
            None => self.lanes.open(epoch).await.ok()?,
        };
        let mut next = self.lanes.open(epoch.next()).await.ok()?;
        let mut heights = self.core.heights.subscribe();
        let (mut tracked, mut asked) = (BTreeMap::new(), HashMap::new());
        self.retrack(&mut tracked);
        let mut engine = self.start(context, committee, lane)?;
        loop {
            // In this order and not in a random one, so that a simulation can be repeated.
            tokio::select! {
                biased;
                _ = &mut engine => return None,
                changed = heights.changed() => {
                    changed.ok()?;
                    if self.committee().epoch() != epoch {
                        break;
                    }
                    self.retrack(&mut tracked);
                }
                heard = next.votes.1.hear() => self.ask(epoch, heard.ok()?, &mut asked),
                Some((number, (peer, _))) = self.foreign.recv() => {
                    if number > epoch.get() {
                        self.ask(epoch, peer, &mut asked);
                    }
                }
            }
        }
        engine.abort();
        let _ = engine.await;
        Some(next)
    }

    /// Asks a peer that is ahead for blocks that are missing here.
    fn ask(&self, epoch: Epoch, peer: PublicKey, asked: &mut HashMap<PublicKey, u64>) {
        let first = self.core.next_height();
        if asked.insert(peer.clone(), first) == Some(first) {
            return;
        }
        let last = self.core.committees.now().surely_of(epoch, first).min(first + ASKED_MAX - 1);
        for height in first..=last {
            self.marshal.hint_finalized(Height::new(height), non_empty_vec![peer.clone()]);
        }
    }

    /// Tells whom to connect to, if that changed.
    fn retrack(&mut self, tracked: &mut BTreeMap<PublicKey, SocketAddr>) {
        let peers = self.core.committees.now().peers(self.core.next_height() - 1, self.peers_max);
        if peers != *tracked {
            (self.track)(&peers);
            *tracked = peers;
        }
    }

    /// The block that the engine begins on: the last one of the committee before, or genesis.
    fn floor(&self, epoch: Epoch) -> Option<sha256::Digest> {
        let first = self.core.committees.now().first_of(epoch)?;
        match self.history.header(first.saturating_sub(1)) {
            Ok(Some(header)) => Some(sha256::Digest(header.digest())),
            Ok(None) => {
                tracing::error!(height = first.saturating_sub(1), "the last block of a committee is missing");
                None
            }
            Err(error) => {
                tracing::error!(%error, "the last block of a committee cannot be read");
                None
            }
        }
    }

    fn start<E: Runtime>(&self, context: &E, committee: &Committee, lane: Lane<S>) -> Option<Handle<()>> {
        let epoch = committee.epoch();
        let (scheme, floor) = (self.schemes.of(epoch)?, self.floor(epoch)?);
        let seat = committee.seat(&self.core.keys.public_key());
        tracing::info!(epoch = epoch.get(), seat, validators = committee.size(), "a committee begins");
        let context = |name| context.child(name).with_attribute("epoch", epoch);
        let timeouts = Timeouts::new(self.core.pace);
        let (marshal, committees) = (self.marshal.clone(), self.core.committees.clone());
        let orderer = Inline::new(context("orderer"), Orderer(self.core.clone()), marshal.clone(), committees);
        let engine = simplex::Engine::new(
            context("simplex"),
            simplex::Config {
                scheme: (*scheme).clone(),
                elector: RoundRobin::<Sha256>::default(),
                blocker: self.blocker.clone(),
                automaton: orderer.clone(),
                relay: orderer.clone(),
                reporter: Reporters::from((orderer, Reporters::from((marshal, self.evidence.clone())))),
                track_historical_votes: true,
                strategy: Sequential,
                partition: partition(&self.prefix, epoch),
                mailbox_size: super::MAILBOX,
                epoch,
                floor: simplex::Floor::Genesis(floor),
                replay_buffer: super::REPLAY_BUFFER,
                write_buffer: super::WRITE_BUFFER,
                page_cache: self.cache.clone(),
                leader_timeout: timeouts.leader,
                certification_timeout: timeouts.certification,
                timeout_retry: timeouts.retry,
                view_retention: super::VIEWS_KEPT,
                skip: SkipPolicy::Enabled { timeout: timeouts.skip, budget: simplex::SkipBudget::Participants },
                fetch_timeout: NZDuration!(super::FETCH_TIMEOUT),
                fetch_retry_delay: super::FETCH_RETRY,
                forward: ForwardPolicy::SilentLeader,
            },
        );
        Some(engine.start(lane.votes, lane.certificates, lane.fetches))
    }
}

/// Where the engine of a committee keeps what it has signed. It stays when the committee has ended: whatever happens to
/// the rest of the directory, nothing is signed twice.
fn partition(prefix: &str, epoch: Epoch) -> String {
    match epoch.get() {
        0 => format!("{prefix}simplex"),
        number => format!("{prefix}simplex-{number}"),
    }
}
