//! commonware's simplex and marshal with an application that does nothing: what the engine gives by itself.
//!
//! Ed25519 votes, authenticated TCP over loopback, blocks broadcast whole, archives of commonware on disk; no namespaces, no
//! roots, no randomness, no mempool.

use crate::Result;
use crate::measure::{Figures, Load, Taken, now_micros, observe};
use bytes::{BufMut, Bytes};
use commonware_actor::Feedback;
use commonware_broadcast::buffered;
use commonware_codec::{Buf, EncodeSize, Error, RangeCfg, Read, ReadExt as _, Write};
use commonware_consensus::marshal::{
    self, Update, ancestry::Ancestry, core::Actor, resolver, standard::Inline, standard::Standard,
};
use commonware_consensus::simplex::{
    self, ForwardPolicy, SkipPolicy, elector::RoundRobin, scheme::ed25519::Scheme, types,
};
use commonware_consensus::types::{Epoch, FixedEpocher, Height, ViewDelta};
use commonware_consensus::{Application, Heightable, Reporter, Reporters};
use commonware_cryptography::certificate::{ConstantProvider, Verifier as _};
use commonware_cryptography::{
    ChaCha20Poly1305, Digested, Digestible, Hasher as _, Sha256, Signer as _, ed25519, sha256::Digest,
};
use commonware_p2p::authenticated::lookup::{self, Network};
use commonware_p2p::{Address, AddressableManager as _};
use commonware_parallel::Sequential;
use commonware_runtime::buffer::paged::CacheRef;
use commonware_runtime::{Clock, Quota, Runner as _, Supervisor as _, tokio};
use commonware_storage::{archive::prunable, translator::EightCap};
use commonware_stream::cups::{self, Cups};
use commonware_stream::sake::{self, Sake};
use commonware_utils::acknowledgement::Exact;
use commonware_utils::ordered::{Map, Set};
use commonware_utils::{Acknowledgement as _, NZDuration, NZU16, NZU32, NZU64, NZUsize, TryCollect as _};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const NAMESPACE: &[u8] = b"bench";
/// Largest payload.
const PAYLOAD_BYTES_MAX: usize = 9 << 20;
const MESSAGE_BYTES_MAX: u32 = 10 << 20;
const FETCH_TIMEOUT: Duration = Duration::from_secs(1);

/// A block with opaque bytes; its digest is hashed once.
#[derive(Clone)]
struct Block {
    parent: Digest,
    height: Height,
    made_micros: u64,
    payload: Bytes,
    digest: Digest,
}

impl Block {
    fn new(parent: Digest, height: Height, made_micros: u64, payload: Bytes) -> Self {
        let parts: [&[u8]; 4] =
            [parent.as_ref(), &height.get().to_be_bytes(), &made_micros.to_be_bytes(), payload.as_ref()];
        Self { parent, height, made_micros, digest: Sha256::hash(&parts), payload }
    }
}

impl Write for Block {
    fn write(&self, buf: &mut impl BufMut) {
        self.parent.write(buf);
        self.height.write(buf);
        self.made_micros.write(buf);
        self.payload.write(buf);
    }
}

impl EncodeSize for Block {
    fn encode_size(&self) -> usize {
        let fixed = self.parent.encode_size() + self.height.encode_size() + self.made_micros.encode_size();
        fixed + self.payload.encode_size()
    }
}

impl Read for Block {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> std::result::Result<Self, Error> {
        let (parent, height, made_micros) = (Digest::read(buf)?, Height::read(buf)?, u64::read(buf)?);
        let payload = Bytes::read_cfg(buf, &RangeCfg::from(0..=PAYLOAD_BYTES_MAX))?;
        Ok(Self::new(parent, height, made_micros, payload))
    }
}

impl Digestible for Block {
    type Digest = Digest;

    fn digest(&self) -> Digest {
        self.digest
    }
}

impl Heightable for Block {
    fn height(&self) -> Height {
        self.height
    }
}

impl commonware_consensus::Block for Block {
    fn parent(&self) -> Digest {
        self.parent
    }
}

#[derive(Clone)]
struct Proposer {
    payload: Bytes,
    pace: Duration,
}

impl<E: Clock> Application<E> for Proposer {
    type SigningScheme = Scheme;
    type Context = types::Context<Digest, ed25519::PublicKey>;
    type Block = Block;
    type Input = ();

    async fn propose(
        &mut self,
        (context, _): (E, Self::Context),
        ancestry: impl Ancestry<Block>,
        (): (),
    ) -> Option<Digested<Block>> {
        context.sleep(self.pace).await;
        let parent = ancestry.peek()?;
        let block = Block::new(parent.digest(), parent.height().next(), now_micros(), self.payload.clone());
        let digest = block.digest();
        Some(Digested::precomputed(block, digest))
    }

    async fn verify(&mut self, _: (E, Self::Context), ancestry: impl Ancestry<Block>) -> bool {
        ancestry.peek().is_some()
    }
}

/// Takes final blocks.
#[derive(Clone)]
struct Taker(Arc<Taken>);

impl Reporter for Taker {
    type Activity = Update<Block, Exact>;

    fn report(&mut self, update: Self::Activity) -> Feedback {
        if let Update::Block(block, taken) = update {
            let block = block.inner();
            self.0.note(block.made_micros, block.payload.len());
            taken.acknowledge();
        }
        Feedback::Ok
    }
}

/// Runs one validator on each of the ports, and measures.
pub fn run(load: Load, seconds: u64, ports: &[u16], directory: &Path) -> Result<Figures> {
    let taken: Vec<Arc<Taken>> = ports.iter().map(|_| Arc::default()).collect();
    let config = tokio::Config::new().with_worker_threads(2).with_storage_directory(directory);
    let (ports, observed) = (ports.to_vec(), taken.clone());
    let (tell, told) = std::sync::mpsc::channel();
    // Beside the runtime, which must not be blocked.
    std::thread::spawn(move || {
        let taken: Vec<&Taken> = observed.iter().map(Arc::as_ref).collect();
        let _ = tell.send(observe(&taken, seconds));
    });
    let figures = tokio::Runner::new(config).start(|context| async move {
        for (seat, taken) in taken.into_iter().enumerate() {
            start(&context, seat, &ports, load, taken).await;
        }
        loop {
            context.sleep(Duration::from_millis(100)).await;
            if let Ok(figures) = told.try_recv() {
                return figures;
            }
        }
    });
    Ok(figures?)
}

fn archive<C>(name: &str, cache: &CacheRef, codec_config: C) -> prunable::Config<EightCap, C> {
    prunable::Config {
        translator: EightCap,
        metadata_partition: format!("{name}-metadata"),
        key_partition: format!("{name}-keys"),
        key_page_cache: cache.clone(),
        value_partition: format!("{name}-values"),
        compression: None,
        codec_config,
        items_per_section: NZU64!(1024),
        key_write_buffer: NZUsize!(1 << 16),
        value_write_buffer: NZUsize!(1 << 20),
        replay_buffer: NZUsize!(1 << 20),
    }
}

async fn start(context: &tokio::Context, seat: usize, ports: &[u16], load: Load, taken: Arc<Taken>) {
    let context = context.child("validator").with_attribute("seat", seat);
    let keys: Vec<_> = (0..ports.len() as u64).map(ed25519::PrivateKey::from_seed).collect();
    let (key, address) = (keys[seat].clone(), |seat: usize| std::net::SocketAddr::from(([127, 0, 0, 1], ports[seat])));
    let handshake = Sake {
        signer: key.clone(),
        synchrony_bound: Duration::from_secs(5),
        max_handshake_age: Duration::from_secs(10),
        version: sake::Version::V1,
    };
    let mut config = lookup::Config::local(
        Cups::<_, ChaCha20Poly1305>::new(handshake, cups::Version::V1),
        NAMESPACE,
        address(seat),
        NonZeroUsize::new(ports.len()).expect("there is a validator"),
        MESSAGE_BYTES_MAX,
        NZUsize!(1024),
    );
    config.allowed_handshake_rate_per_ip = Quota::per_second(NZU32!(512));
    config.dial_frequency = Duration::from_millis(50);
    let (mut network, mut oracle) = Network::new(context.child("network"), config);
    let peers: Vec<(_, Address)> =
        keys.iter().enumerate().map(|(seat, key)| (key.public_key(), address(seat).into())).collect();
    oracle.track(0, Map::try_from(peers).expect("the keys are distinct"));
    let [votes, certificates, fetches, blocks, backfill] =
        [0, 1, 2, 3, 4].map(|channel| network.register(channel, Quota::per_second(NZU32!(1024))));

    let cache = CacheRef::new(NZU16!(4084), NZUsize!(4096));
    let participants: Set<_> = keys.iter().map(|key| key.public_key()).try_collect().expect("the keys are distinct");
    let scheme = Scheme::signer(NAMESPACE, participants, key.clone()).expect("the key is one of them");
    let name = format!("validator-{seat}");
    let certificate_codec = Scheme::certificate_codec_config_unbounded();
    let finalizations = archive(&format!("{name}-finalizations"), &cache, certificate_codec);
    let finalizations = prunable::Archive::init(context.child("finalizations"), finalizations).await;
    let final_blocks = archive(&format!("{name}-blocks"), &cache, ());
    let final_blocks = prunable::Archive::init(context.child("blocks"), final_blocks).await;
    let genesis = Block::new(Sha256::hash(&[b"genesis"]), Height::zero(), 0, Bytes::new());
    let genesis_digest = genesis.digest();
    let epocher = FixedEpocher::new(NZU64!(u64::MAX));
    let (marshal, mailbox, _) = Actor::<_, Standard<Block>, _, _, _, _, _, Exact>::init(
        context.child("marshal"),
        finalizations.expect("an archive opens in an empty directory"),
        final_blocks.expect("an archive opens in an empty directory"),
        marshal::Config {
            provider: ConstantProvider::<Scheme, Epoch>::new(scheme.clone()),
            epocher: epocher.clone(),
            start: marshal::Start::Genesis(Digested::precomputed(genesis, genesis_digest)),
            partition_prefix: format!("{name}-marshal"),
            mailbox_size: NZUsize!(1024),
            view_retention: ViewDelta::new(64),
            prunable_items_per_section: NZU64!(256),
            page_cache: cache.clone(),
            replay_buffer: NZUsize!(1 << 20),
            key_write_buffer: NZUsize!(1 << 16),
            value_write_buffer: NZUsize!(1 << 20),
            block_codec_config: (),
            max_repair: NZUsize!(16),
            max_pending_acks: NZUsize!(16),
            strategy: Sequential,
        },
    )
    .await;
    let (broadcast, buffer) = buffered::Engine::new(
        context.child("broadcast"),
        buffered::Config {
            public_key: key.public_key(),
            mailbox_size: NZUsize!(1024),
            deque_size: 16,
            priority: true,
            codec_config: (),
            peer_provider: oracle.clone(),
            strategy: Sequential,
        },
    );
    broadcast.start(blocks);
    let repairs = resolver::p2p::init(
        context.child("backfill"),
        resolver::p2p::Config {
            public_key: key.public_key(),
            peer_provider: oracle.clone(),
            blocker: oracle.clone(),
            mailbox_size: NZUsize!(1024),
            fetch_timeout: NZDuration!(FETCH_TIMEOUT),
            fetch_retry_delay: Duration::from_millis(50),
            priority_requests: false,
            priority_responses: false,
        },
        backfill,
    );
    marshal.start(Taker(taken), buffer, repairs);
    let payload = Bytes::from(vec![7; load.bytes]);
    let proposer = Proposer { payload, pace: Duration::from_millis(load.pace_millis) };
    let application = Inline::new(context.child("application"), proposer, mailbox.clone(), epocher);
    let engine = simplex::Engine::new(
        context.child("engine"),
        simplex::Config {
            scheme,
            elector: RoundRobin::<Sha256>::default(),
            blocker: oracle,
            automaton: application.clone(),
            relay: application.clone(),
            reporter: Reporters::from((application, mailbox)),
            track_historical_votes: true,
            strategy: Sequential,
            partition: format!("{name}-simplex"),
            mailbox_size: NZUsize!(1024),
            epoch: Epoch::zero(),
            floor: simplex::Floor::Genesis(genesis_digest),
            replay_buffer: NZUsize!(1 << 20),
            write_buffer: NZUsize!(1 << 20),
            page_cache: cache,
            leader_timeout: Duration::from_secs(2),
            certification_timeout: Duration::from_secs(4),
            timeout_retry: Duration::from_secs(5),
            view_retention: ViewDelta::new(256),
            skip: SkipPolicy::Disabled,
            fetch_timeout: NZDuration!(FETCH_TIMEOUT),
            fetch_retry_delay: Duration::from_millis(50),
            forward: ForwardPolicy::Disabled,
        },
    );
    network.start();
    engine.start(votes, certificates, fetches);
}
