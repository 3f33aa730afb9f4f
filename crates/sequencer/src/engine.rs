//! Wiring of the consensus engine: who speaks to whom inside one validator.
//!
//! ```text
//!  peers ◀─ authenticated TCP ─▶ votes, certificates, resolver ─▶ epochs ─▶ simplex ─▶ Orderer (propose, verify)
//!                 blocks ◀─▶ dissemination ─▶ broadcast buffer ─▶ marshal ─▶ History, deliver_all (final blocks)
//!                                backfill ─▶ resolver ─────────▶ marshal
//!                                submissions ◀─▶ relay ◀─▶ mempool, journal
//!                                stake votes ─▶ finality::actor ─▶ Desk ◀─ deliver_all
//!                                lane shares ─▶ lane::actor ─▶ lane::Desk ◀─ deliver_all
//!                                History ◀─ retention ◀─ heights
//! ```
//!
//! Consensus is commonware `simplex` (after Chan and Pass, "Simplex Consensus", 2023) with Ed25519 certificates, a
//! rotating proposer and one view per term, one engine for each committee (see `epochs`); `marshal` orders, repairs and delivers final blocks. Queues are bounded by
//! the constants below.

mod epochs;
mod lanes;
mod log;
mod schemes;

pub(crate) use epochs::Track;

use crate::archive::{BlockArchive, CertificateArchive};
use crate::block::Block;
use crate::dissemination::{self, Division};
use crate::evidence::EvidenceLog;
use crate::finality::actor::{self, VOTE_MESSAGE_BYTES_MAX};
use crate::guard::Guard;
use crate::history::History;
use crate::keys::ValidatorKeys;
use crate::lane::actor::{self as lane_actor, LANE_MESSAGE_BYTES_MAX};
use crate::limits::MESSAGE_BYTES_MAX;
use crate::orderer::{Core, deliver_all};
use crate::ranges::Ranges;
use crate::retention;
use crate::submission::relay;
use commonware_actor::Feedback;
use commonware_broadcast::buffered;
use commonware_consensus::Reporter;
use commonware_consensus::marshal::{self, Update, core::Actor, resolver, standard::Standard};
use commonware_consensus::simplex::scheme::ed25519 as ed25519_scheme;
use commonware_consensus::types::ViewDelta;
use commonware_cryptography::{ChaCha20Poly1305, Digested, Signer as _, ed25519, sha256};
use commonware_p2p::authenticated::lookup::{self, Network};
use commonware_p2p::utils::mux::{Builder as _, Muxer};
use commonware_p2p::{Address, AddressableManager as _, Blocker, Provider, Receiver, Sender};
use commonware_parallel::Sequential;
use commonware_runtime::buffer::paged::CacheRef;
use commonware_runtime::{Clock, Handle, Metrics, Quota, Spawner, Storage, Supervisor as _, tokio::Context};
use commonware_stream::cups::{self, Cups};
use commonware_stream::sake::{self, Sake};
use commonware_utils::acknowledgement::Exact;
use commonware_utils::{NZDuration, NZU16, NZU32, NZU64, NZUsize, ordered::Map};
use epochs::Epochs;
use lanes::Lanes;
use log::Logged;
use rand_core::CryptoRng;
use schemes::Schemes;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Validators that can be connected, beside twice as many as are known at the start: memory of the network's queues is
/// taken for each. When committees grow beyond that, the members of former ones are left out, and after them those of
/// later ones, until the validator is started again.
const PEERS_SPARE: usize = 8;
/// Messages in the mailbox of each actor.
const MAILBOX: NonZeroUsize = NZUsize!(1024);
/// Messages that one peer may send on one channel, per second.
const PEER_MESSAGES_PER_SECOND: NonZeroU32 = NZU32!(1024);
/// Votes on checkpoints and pieces of evidence that one peer may send, per second: each may take a millisecond to check.
const PEER_STAKE_VOTES_PER_SECOND: NonZeroU32 = NZU32!(16);
/// Shares of the encrypted lane that one peer may send, per second: each takes a millisecond to check.
const PEER_LANE_SHARES_PER_SECOND: NonZeroU32 = NZU32!(64);
/// Blocks kept per peer until consensus asks for them.
const BUFFERED_BLOCKS: usize = 8;
/// Final blocks handed to the application and not yet taken.
pub(crate) const DELIVERIES_MAX: NonZeroUsize = NZUsize!(16);
/// Missing final blocks fetched at a time.
const REPAIRS_MAX: NonZeroUsize = NZUsize!(16);
/// Views behind the tip whose votes and blocks are kept, for peers that lag and for evidence.
const VIEWS_KEPT: ViewDelta = ViewDelta::new(128);
/// Memory of the page cache: 256 pages of 4 KiB less the checksum each holds.
const PAGE_BYTES: std::num::NonZeroU16 = NZU16!(4084);
const PAGES: NonZeroUsize = NZUsize!(256);
const REPLAY_BUFFER: NonZeroUsize = NZUsize!(128 * 1024);
const WRITE_BUFFER: NonZeroUsize = NZUsize!(64 * 1024);
/// Handshakes per second from one address: all validators may share a host.
const HANDSHAKES_PER_SECOND: NonZeroU32 = NZU32!(512);
const DIAL_INTERVAL: Duration = Duration::from_millis(50);
/// Least time between two connections to one peer: short, so that validators that start together meet soon.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(250);
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
const FETCH_RETRY: Duration = Duration::from_millis(50);

const CHANNEL_VOTES: u64 = 0;
const CHANNEL_CERTIFICATES: u64 = 1;
const CHANNEL_RESOLVER: u64 = 2;
pub(crate) const CHANNEL_BLOCKS: u64 = 3;
const CHANNEL_BACKFILL: u64 = 4;
const CHANNEL_SUBMISSIONS: u64 = 5;
pub(crate) const CHANNEL_STAKE_VOTES: u64 = 6;
pub(crate) const CHANNEL_LANE: u64 = 7;
/// Every channel, in the order of [`Links::channels`].
pub(crate) const CHANNELS: [u64; 8] = [
    CHANNEL_VOTES,
    CHANNEL_CERTIFICATES,
    CHANNEL_RESOLVER,
    CHANNEL_BLOCKS,
    CHANNEL_BACKFILL,
    CHANNEL_SUBMISSIONS,
    CHANNEL_STAKE_VOTES,
    CHANNEL_LANE,
];

const _: () = assert!(VOTE_MESSAGE_BYTES_MAX <= MESSAGE_BYTES_MAX && LANE_MESSAGE_BYTES_MAX <= MESSAGE_BYTES_MAX);

/// How long a validator waits before it gives up a view.
#[derive(Clone, Copy, Debug)]
struct Timeouts {
    leader: Duration,
    certification: Duration,
    retry: Duration,
    skip: Duration,
}

impl Timeouts {
    /// A proposer may wait one pace before it proposes, and execution takes its time on a busy machine.
    fn new(pace: Duration) -> Self {
        let leader = pace + Duration::from_millis(800);
        let certification = leader * 2;
        let retry = Duration::from_secs(2);
        Self { leader, certification, retry, skip: certification.max(retry) + Duration::from_millis(500) }
    }
}

/// What the actors run on: threads, clock and disk of this machine, or a simulation of them.
pub(crate) trait Runtime: Clock + CryptoRng + Metrics + Spawner + Storage {}

impl<E: Clock + CryptoRng + Metrics + Spawner + Storage> Runtime for E {}

/// What a validator hears its peers through.
pub(crate) struct Links<S, R, P, B> {
    /// One for each of [`CHANNELS`].
    pub channels: [(S, R); CHANNELS.len()],
    /// Who they are.
    pub peers: P,
    /// How many there may be.
    pub peers_max: usize,
    /// Blocks those who send what no honest one sends.
    pub blocker: B,
    /// Told when they are others.
    pub track: Track,
}

/// Messages that a peer may send on a channel.
pub(crate) fn quota(channel: u64) -> Quota {
    Quota::per_second(match channel {
        CHANNEL_STAKE_VOTES => PEER_STAKE_VOTES_PER_SECOND,
        CHANNEL_LANE => PEER_LANE_SHARES_PER_SECOND,
        _ => PEER_MESSAGES_PER_SECOND,
    })
}

/// What the engine of one validator needs.
pub(crate) struct Setup {
    pub core: Arc<Core>,
    pub history: Arc<History>,
    pub evidence: EvidenceLog,
    pub genesis: Block,
    /// Begins the names of the engine's files: for validators that share a disk.
    pub prefix: String,
    /// Directory of blocks that are not final yet; with the engine's other files if left out.
    pub blocks: Option<PathBuf>,
    pub guard: Arc<Guard>,
    /// How long blocks are kept; `None` for ever.
    pub retention: Option<Duration>,
    pub division: Division,
}

/// Hands final blocks from the engine to [`deliver_all`].
#[derive(Clone)]
struct Delivery(mpsc::Sender<(Digested<Block>, Exact)>, Arc<Core>);

impl Reporter for Delivery {
    type Activity = Update<Block, Exact>;

    fn report(&mut self, update: Self::Activity) -> Feedback {
        let (block, acknowledgement) = match update {
            Update::Block(block, acknowledgement) => (block, acknowledgement),
            Update::Tip(_, height, _) => {
                self.1.desk.heard_of_tip(height.get());
                return Feedback::Ok;
            }
        };
        match self.0.try_send((block, acknowledgement)) {
            Ok(()) => Feedback::Ok,
            Err(_) => Feedback::Closed,
        }
    }
}

type PeerNetwork = Network<Context, Cups<Sake<ed25519::PrivateKey>, ChaCha20Poly1305>>;
type Oracle = lookup::Oracle<ed25519::PublicKey>;

/// The network of the validators, as the one with these keys sees it; nobody is in it until they are tracked.
pub(crate) fn network(
    context: &Context,
    namespace: &[u8],
    keys: &ValidatorKeys,
    listen: SocketAddr,
    peers_max: NonZeroUsize,
) -> (PeerNetwork, Oracle) {
    let signer = keys.consensus.clone();
    let handshake = Sake {
        signer,
        synchrony_bound: Duration::from_secs(5),
        max_handshake_age: Duration::from_secs(10),
        version: sake::Version::V1,
    };
    let mut config = lookup::Config::local(
        Cups::new(handshake, cups::Version::V1),
        namespace,
        listen,
        peers_max,
        MESSAGE_BYTES_MAX as u32,
        MAILBOX,
    );
    config.allowed_handshake_rate_per_ip = Quota::per_second(HANDSHAKES_PER_SECOND);
    config.allowed_handshake_rate_per_subnet = Quota::per_second(HANDSHAKES_PER_SECOND);
    config.dial_frequency = DIAL_INTERVAL;
    config.peer_connection_cooldown = RECONNECT_INTERVAL;
    config.tracked_peer_sets = NZUsize!(1);
    let (network, oracle) = Network::new(context.child("network"), config);
    (network, oracle)
}

/// Tells the network whom to connect to. Each telling has a higher number than the last one.
pub(crate) fn tracker(oracle: &Oracle) -> Track {
    let (mut manager, mut number) = (oracle.clone(), 0);
    Box::new(move |peers| {
        let addresses: Vec<(_, Address)> = peers.iter().map(|(key, at)| (key.clone(), (*at).into())).collect();
        let addresses = Map::try_from(addresses).expect("the keys of a map are distinct");
        manager.track(number, addresses);
        number += 1;
    })
}

/// Runs a validator until one of its parts ends, which none does by itself. Returns why it ended.
pub(crate) async fn run(
    context: Context,
    setup: Setup,
    listen: SocketAddr,
    ready: tokio::sync::oneshot::Sender<()>,
) -> String {
    let committee = setup.core.committees.at(0);
    let known = setup.core.committees.now().peers(setup.core.next_height() - 1, usize::MAX).len();
    let peers_max = NonZeroUsize::MIN.saturating_add(2 * known + PEERS_SPARE - 1);
    let (mut network, oracle) = network(&context, committee.namespace(), &setup.core.keys, listen, peers_max);
    let channels = CHANNELS.map(|channel| network.register(channel, quota(channel)));
    let track = tracker(&oracle);
    let links = Links { channels, peers: oracle.clone(), peers_max: peers_max.get(), blocker: oracle, track };
    let mut parts = match start(context, setup, links).await {
        Ok(parts) => parts,
        Err(error) => return format!("what it has signed cannot be read: {error}"),
    };
    parts.push(("network", network.start()));
    let _ = ready.send(());
    let endings = parts.into_iter().map(|(name, handle)| {
        Box::pin(async move {
            let _ = handle.await;
            name
        })
    });
    let part = futures::future::select_all(endings).await.0;
    format!("the {part} actor ended unexpectedly")
}

/// Starts the actors of a validator. They end when `context` does.
///
/// # Errors
/// When the log of what it signed cannot be opened.
pub(crate) async fn start<E, S, R, P, B>(
    context: E,
    setup: Setup,
    links: Links<S, R, P, B>,
) -> Result<Vec<(&'static str, Handle<()>)>, commonware_runtime::Error>
where
    E: Runtime,
    S: Sender<PublicKey = ed25519::PublicKey>,
    R: Receiver<PublicKey = ed25519::PublicKey>,
    P: Provider<PublicKey = ed25519::PublicKey>,
    B: Blocker<PublicKey = ed25519::PublicKey>,
{
    let Links { channels, peers, peers_max, blocker, track } = links;
    let [votes, certificates, fetches, blocks, backfill, (offers, offered), stake_votes, shares] = channels;
    let Setup { core, history, evidence, genesis, prefix, blocks: directory, guard, retention, division } = setup;
    let context = Logged::open(context, &prefix, directory).await?;
    let public_key = core.keys.consensus.public_key();
    let schemes = Schemes::new(core.committees.clone(), core.keys.clone());
    let (lanes, foreign) = split(&context, (votes, certificates, fetches));
    let cache = CacheRef::new(PAGE_BYTES, PAGES);
    let kept = history.clone();
    let start = anchor(&history, genesis);

    let (marshal, mailbox, _) = Actor::<_, Standard<Block>, _, _, _, _, _, Exact>::init(
        context.child("marshal"),
        CertificateArchive(history.clone(), context.child("certificates")),
        BlockArchive(history, context.child("blocks")),
        marshal::Config {
            provider: schemes.clone(),
            epocher: core.committees.clone(),
            start,
            partition_prefix: format!("{prefix}marshal"),
            mailbox_size: MAILBOX,
            view_retention: VIEWS_KEPT,
            prunable_items_per_section: NZU64!(64),
            page_cache: cache.clone(),
            replay_buffer: REPLAY_BUFFER,
            key_write_buffer: WRITE_BUFFER,
            value_write_buffer: WRITE_BUFFER,
            block_codec_config: (),
            max_repair: REPAIRS_MAX,
            max_pending_acks: DELIVERIES_MAX,
            strategy: Sequential,
        },
    )
    .await;

    let (broadcast, buffer) = buffered::Engine::new(
        context.child("broadcast"),
        buffered::Config {
            public_key: public_key.clone(),
            mailbox_size: MAILBOX,
            deque_size: BUFFERED_BLOCKS,
            priority: true,
            codec_config: (),
            peer_provider: peers.clone(),
            strategy: Sequential,
        },
    );
    let repairs = resolver::p2p::init(
        context.child("backfill"),
        resolver::p2p::Config {
            public_key,
            peer_provider: peers,
            blocker: blocker.clone(),
            mailbox_size: MAILBOX,
            fetch_timeout: NZDuration!(FETCH_TIMEOUT),
            fetch_retry_delay: FETCH_RETRY,
            priority_requests: false,
            priority_responses: false,
        },
        backfill,
    );

    let (block_sender, block_receiver, dissemination) =
        dissemination::open(context.child("dissemination"), &core, division, blocks);
    let (final_blocks, deliveries) = mpsc::channel(2 * DELIVERIES_MAX.get());
    let deliverer = core.clone();
    let delivery = context.child("delivery").spawn(move |context| deliver_all(context, deliverer, deliveries));
    let relay = core.clone();
    let relay = context.child("submissions").spawn(move |context| relay::run(context, relay, offers, offered));
    let (desk, reporting) = (core.desk.clone(), core.clone());
    let tasks = desk.tasks().expect("an engine is started once for each desk");
    let stake = context.child("stake").spawn(move |context| actor::run(context, desk, guard, tasks, stake_votes));
    let sealed = core.lane.clone();
    let (pruned, old) = (core.clone(), kept.clone());
    let pruner = context.child("retention").spawn(move |context| retention::run(context, pruned, old, retention));
    let lane = context.child("lane").spawn(move |context| lane_actor::run(context, sealed, shares));
    let epochs = Epochs {
        core,
        history: kept,
        schemes,
        evidence,
        marshal: mailbox,
        blocker,
        lanes,
        foreign,
        track,
        peers_max,
        cache,
        prefix,
    };
    let consensus = context.child("consensus").spawn(move |context| epochs::run(context, epochs));
    Ok(vec![
        ("dissemination", dissemination),
        ("broadcast", broadcast.start((block_sender, block_receiver))),
        ("marshal", marshal.start(Delivery(final_blocks, reporting), buffer, repairs)),
        ("delivery", delivery),
        ("submissions", relay),
        ("stake", stake),
        ("lane", lane),
        ("retention", pruner),
        ("consensus", consensus),
    ])
}

/// What the engine takes for granted: genesis, or the newest block with a finalization of its own, if the blocks before a
/// checkpoint were never here. All up to there are with the application already.
fn anchor(
    history: &History,
    genesis: Block,
) -> marshal::Start<ed25519_scheme::Scheme, sha256::Digest, Digested<Block>> {
    let newest = || {
        let certified = history.with_certificates(Ranges::last)?;
        let has_begun = history.begins().is_ok_and(|first| first > 1) && history.tip()? >= certified;
        history.finalization(certified).ok().flatten().filter(|_| has_begun)
    };
    newest().map_or_else(
        || {
            let digest = sha256::Digest(genesis.digest());
            marshal::Start::Genesis(Digested::precomputed(genesis, digest))
        },
        marshal::Start::Floor,
    )
}

/// Splits the channels of the consensus engine by committee; also the votes of committees that nobody listens for.
fn split<E, S, R>(
    context: &E,
    (votes, certificates, fetches): ((S, R), (S, R), (S, R)),
) -> (Lanes<S>, mpsc::Receiver<epochs::Foreign>)
where
    E: Runtime,
    S: Sender<PublicKey = ed25519::PublicKey>,
    R: Receiver<PublicKey = ed25519::PublicKey>,
{
    let (muxer, votes, foreign) = Muxer::builder(context.child("votes"), votes.0, votes.1).with_backup().build();
    muxer.start();
    let (muxer, certificates) = Muxer::new(context.child("certificates_by_committee"), certificates.0, certificates.1);
    muxer.start();
    let (muxer, fetches) = Muxer::new(context.child("fetches"), fetches.0, fetches.1);
    muxer.start();
    (Lanes { votes, certificates, fetches }, foreign)
}
