use crate::fees::FeeLimits;
use crate::journal::{Identity, Journal};
use crate::pace::Pace;
use crate::plan::PlanError;
use crate::poster::{Poster, PosterError, Settings, Step};
use crate::testing::{CHAIN_ID, CONTRACT, FakeL1, Faults, Network, forget, last_final};
use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const REPLACE_MILLIS: u64 = 60_000;

/// A future over traits that never wait.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing in these tests waits"),
    }
}

fn signer(seed: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(seed)).unwrap()
}

struct World {
    network: Network,
    l1: FakeL1,
    folder: tempfile::TempDir,
    millis: u64,
}

impl World {
    fn new(epochs: u64) -> Self {
        let network = Network::new(1_000);
        (0..epochs).for_each(|_| network.epoch());
        let l1 = FakeL1::new(&network);
        Self { network, l1, folder: tempfile::tempdir().unwrap(), millis: 0 }
    }

    fn settings(&self) -> Settings {
        Settings {
            chain_id: CHAIN_ID,
            contract: CONTRACT,
            confirmations: 3,
            epochs_min: 1,
            fees: FeeLimits { max: 1_000, tip: 2 },
            replace_millis: REPLACE_MILLIS,
            gas_max: 1_000_000,
        }
    }

    fn journal(&self, seed: u8) -> PathBuf {
        self.folder.path().join(format!("journal-{seed}"))
    }

    fn poster(&self, seed: u8) -> Poster<FakeL1, Network> {
        poster(&self.l1, &self.network, self.settings(), &self.journal(seed), seed)
    }

    /// Steps and blocks until nothing is left to do.
    fn run(&mut self, poster: &mut Poster<FakeL1, Network>) {
        for _ in 0..100 {
            self.millis += 12_000;
            if ready(poster.step(self.millis)).unwrap() == Step::Idle {
                return;
            }
            self.l1.mine();
        }
        panic!("it does not come to rest");
    }
}

fn poster(l1: &FakeL1, network: &Network, settings: Settings, path: &Path, seed: u8) -> Poster<FakeL1, Network> {
    let identity = Identity { chain_id: CHAIN_ID, contract: CONTRACT, account: signer(seed).address() };
    Poster::new(l1.clone(), network.clone(), signer(seed), settings, Journal::open(path, identity).unwrap())
}

fn hash(step: &Step) -> B256 {
    match step {
        Step::Sent { hash, .. } | Step::Waiting { hash, .. } | Step::Settled { hash, .. } => *hash,
        other => panic!("{other:?} is about no transaction"),
    }
}

#[test]
fn every_checkpoint_that_is_final_is_posted_and_counted_once() {
    let mut world = World::new(2);
    let mut bridge = world.poster(1);
    world.run(&mut bridge);
    assert_eq!((world.l1.finalised(), bridge.totals().posted), (1, 1));
    for epoch in 2..5 {
        world.network.epoch();
        world.run(&mut bridge);
        assert_eq!((world.l1.finalised(), bridge.totals().posted), (epoch, epoch));
    }
    assert_eq!(world.l1.mined(), (4, 0));
    assert_eq!((bridge.totals().epoch, bridge.totals().reverted), (4, 0));
    assert_eq!(bridge.totals().spent, U256::from(4 * 242_000 * 12));
}

#[test]
fn catching_up_takes_one_call_for_each_32_links_of_the_same_signers() {
    let mut world = World::new(40);
    let mut bridge = world.poster(1);
    world.run(&mut bridge);
    assert_eq!((world.l1.finalised(), world.l1.mined()), (39, (2, 0)));
    world.network.link(40, 41, 1);
    world.network.epoch();
    world.run(&mut bridge);
    assert_eq!((world.l1.finalised(), world.l1.mined()), (41, (4, 0)), "other signers take another call");
}

#[test]
fn a_thrifty_bridge_waits_for_several_epochs() {
    let mut world = World::new(4);
    let settings = Settings { epochs_min: 4, ..world.settings() };
    let mut bridge = poster(&world.l1, &world.network, settings, &world.journal(1), 1);
    assert_eq!(ready(bridge.step(0)).unwrap(), Step::Idle, "three are final");
    world.network.epoch();
    world.run(&mut bridge);
    assert_eq!((world.l1.finalised(), world.l1.mined()), (4, (1, 0)));
}

#[test]
fn running_ends_only_with_what_no_waiting_helps() {
    let world = World::new(2);
    world.l1.set_chain_id(7);
    let bridge = world.poster(1);
    let pace = Pace::new(Duration::from_secs(12));
    let error = ready(bridge.run(pace, || 0, || 0));
    assert!(matches!(error, PosterError::OtherChain { found: 7, .. }));
}

#[test]
fn links_that_lead_nowhere_are_left_out() {
    let mut world = World::new(1);
    world.network.link(1, 2, 0);
    world.network.link(2, 3, 1);
    world.network.link(2, 4, 0);
    world.network.link(4, 5, 0);
    let mut bridge = world.poster(1);
    world.run(&mut bridge);
    assert_eq!(
        (world.l1.finalised(), world.l1.mined()),
        (4, (1, 0)),
        "the link to 3 would have taken a call of its own"
    );
}

#[test]
fn nothing_is_counted_before_it_is_deep_and_a_reorganisation_is_repaired() {
    let world = World::new(2);
    let mut bridge = world.poster(1);
    let sent = ready(bridge.step(0)).unwrap();
    world.l1.mine();
    for depth in 0..3 {
        assert_eq!(ready(bridge.step(depth)).unwrap(), Step::Waiting { hash: hash(&sent), depth });
        world.l1.mine();
    }
    world.l1.reorganise(4);
    assert_eq!((world.l1.finalised(), bridge.totals().posted), (0, 0));
    assert_eq!(ready(bridge.step(5)).unwrap(), sent, "the same transaction again");
    (0..4).for_each(|_| world.l1.mine());
    assert!(matches!(ready(bridge.step(6)).unwrap(), Step::Settled { is_success: true, .. }));
    assert_eq!((world.l1.finalised(), world.l1.mined()), (1, (1, 0)));
}

#[test]
fn a_transaction_that_the_l1_forgot_is_sent_again() {
    let mut world = World::new(2);
    let mut bridge = world.poster(1);
    world.l1.set_faults(Faults { drop_sent: true, ..Faults::default() });
    let first = ready(bridge.step(0)).unwrap();
    world.l1.set_faults(Faults::default());
    world.l1.restart();
    assert_eq!(hash(&ready(bridge.step(1)).unwrap()), hash(&first));
    world.run(&mut bridge);
    assert_eq!(world.l1.mined(), (1, 0));
}

#[test]
fn a_stuck_transaction_is_replaced_with_the_same_nonce_up_to_the_cap() {
    let mut world = World::new(2);
    let mut bridge = world.poster(1);
    let first = ready(bridge.step(0)).unwrap();
    world.l1.set_base_fee(400);
    world.l1.mine();
    assert_eq!(hash(&ready(bridge.step(REPLACE_MILLIS - 1)).unwrap()), hash(&first), "not late yet");
    let second = ready(bridge.step(REPLACE_MILLIS)).unwrap();
    assert!(matches!(second, Step::Sent { version: 2, .. }) && hash(&second) != hash(&first));
    world.l1.set_base_fee(2_000);
    world.l1.mine();
    let cap = ready(bridge.step(3 * REPLACE_MILLIS)).unwrap();
    assert!(matches!(cap, Step::Sent { version: 3, .. } | Step::TooDear { .. }), "{cap:?}");
    let dear = ready(bridge.step(9 * REPLACE_MILLIS)).unwrap();
    assert_eq!(dear, Step::TooDear { base: 2_000, max: 1_000 });
    world.l1.set_base_fee(5);
    world.millis = 10 * REPLACE_MILLIS;
    world.run(&mut bridge);
    assert_eq!((world.l1.finalised(), world.l1.mined()), (1, (1, 0)), "one of all versions was mined");
}

#[test]
fn above_the_cap_nothing_is_sent() {
    let mut world = World::new(2);
    let mut bridge = world.poster(1);
    world.l1.set_base_fee(999);
    assert_eq!(ready(bridge.step(0)).unwrap(), Step::TooDear { base: 999, max: 1_000 });
    assert_eq!(world.l1.sent(), 0);
    world.l1.set_base_fee(998);
    world.run(&mut bridge);
    assert_eq!(world.l1.finalised(), 1);
}

/// A transfer of the bridge's account that the bridge knows nothing of.
fn foreign(seed: u8, nonce: u64, max: u128) -> TxEnvelope {
    let tx = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: max,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(Address::ZERO),
        value: U256::ZERO,
        access_list: Default::default(),
        input: Default::default(),
    };
    let signature = signer(seed).sign_hash_sync(&tx.signature_hash()).unwrap();
    tx.into_signed(signature).into()
}

#[test]
fn a_nonce_that_somebody_else_uses_is_given_up_only_when_that_is_deep() {
    let mut world = World::new(2);
    let mut bridge = world.poster(1);
    world.l1.set_faults(Faults { drop_sent: true, ..Faults::default() });
    ready(bridge.step(0)).unwrap();
    world.l1.set_faults(Faults::default());
    world.l1.put(foreign(1, 0, 50));
    world.l1.mine();
    for step in 1..4 {
        assert!(matches!(ready(bridge.step(step)).unwrap(), Step::Waiting { depth: 0, .. }), "{step}");
        world.l1.mine();
    }
    assert_eq!(ready(bridge.step(9)).unwrap(), Step::Abandoned { nonce: 0 });
    world.run(&mut bridge);
    assert_eq!((world.l1.finalised(), bridge.totals().posted), (1, 1));
}

#[test]
fn a_stuck_transaction_of_before_is_outbid() {
    let mut world = World::new(2);
    world.l1.put(foreign(1, 0, 60));
    world.l1.set_base_fee(70);
    let mut bridge = world.poster(1);
    world.run(&mut bridge);
    assert_eq!((world.l1.finalised(), bridge.totals().posted), (1, 1));
}

#[test]
fn of_two_bridges_one_posts_and_the_other_pays_for_one_revert_at_most() {
    let mut world = World::new(2);
    let (mut one, mut two) = (world.poster(1), world.poster(2));
    for epoch in 1..6 {
        ready(one.step(world.millis)).unwrap();
        ready(two.step(world.millis)).unwrap();
        world.l1.mine();
        world.run(&mut one);
        world.run(&mut two);
        assert_eq!(world.l1.finalised(), epoch);
        let (posted, reverted) = world.l1.mined();
        assert!(posted as u64 == epoch && reverted as u64 <= epoch, "{posted} {reverted}");
        world.network.epoch();
    }
    assert_eq!(one.totals().posted + two.totals().posted, 5);
    assert_eq!((one.totals().reverted + two.totals().reverted) as usize, world.l1.mined().1);
}

#[test]
fn what_another_bridge_has_posted_is_not_sent() {
    let mut world = World::new(2);
    let mut one = world.poster(1);
    world.run(&mut one);
    let mut two = world.poster(2);
    assert_eq!(ready(two.step(0)).unwrap(), Step::Idle);
    assert_eq!(world.l1.mined(), (1, 0));
}

#[test]
fn wrong_chain_wrong_start_and_lost_links_are_refused_by_name() {
    let world = World::new(3);
    world.l1.set_chain_id(7);
    let mut bridge = world.poster(1);
    assert!(matches!(ready(bridge.step(0)), Err(PosterError::OtherChain { found: 7, expected: CHAIN_ID })));
    world.l1.set_chain_id(CHAIN_ID);
    forget(&world.network, 1);
    assert!(matches!(ready(bridge.step(0)), Err(PosterError::Plan(PlanError::LinkMissing(1)))));
    let other = World::new(2);
    other.network.link(2, 4, 0);
    let elsewhere = Network::new(1_000);
    let mut settings = other.settings();
    settings.gas_max = 100;
    let mut poor = poster(&other.l1, &other.network, settings, &other.journal(3), 3);
    assert!(matches!(ready(poor.step(0)), Err(PosterError::Gas { needed: 290_400, max: 100 })));
    let mut behind = poster(&other.l1, &elsewhere, other.settings(), &other.journal(4), 4);
    let mut ahead = other.poster(1);
    ready(ahead.step(0)).unwrap();
    other.l1.mine();
    let error = ready(behind.step(0)).unwrap_err();
    assert!(matches!(&error, PosterError::Plan(PlanError::Behind { epoch: 1, .. })), "{error}");
    assert!(error.is_transient(), "a node that is behind catches up");
}

/// A generator of test decisions (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// Outages, lost answers, forgotten transactions, dear times, reorganisations up to the confirmations, and a crash between any
/// two requests: in the end everything is posted, and each post was paid once.
#[test]
fn whatever_happens_everything_is_posted_and_nothing_paid_twice() {
    for seed in 0..60 {
        let mut random = Random(seed);
        let mut world = World::new(2);
        let mut bridge = world.poster(1);
        for round in 0..60 {
            world.millis += random.below(2 * REPLACE_MILLIS);
            match random.below(10) {
                // An outage after some requests is also a crash there: the journal alone survives it.
                0 | 1 => world.l1.set_faults(Faults { answers: Some(random.below(16)), ..Faults::default() }),
                2 => world.l1.set_faults(Faults { drop_sent: true, ..Faults::default() }),
                3 => world.l1.set_faults(Faults { lose_answers: true, ..Faults::default() }),
                4 => world.l1.restart(),
                5 => world.l1.set_base_fee(1 + u128::from(random.below(1_500))),
                6 => world.l1.reorganise(random.below(3) as usize),
                7 if round < 50 => world.network.epoch(),
                8 => {
                    drop(bridge);
                    bridge = world.poster(1);
                }
                _ => world.l1.set_faults(Faults::default()),
            }
            // Errors are what the outer loop waits after; nothing else is done about them.
            let _ = ready(bridge.step(world.millis));
            if random.below(3) > 0 {
                world.l1.mine();
            }
        }
        world.l1.set_faults(Faults::default());
        world.l1.set_base_fee(5);
        let goal = last_final(&world.network);
        for _ in 0..60 {
            world.millis += REPLACE_MILLIS;
            ready(bridge.step(world.millis)).unwrap();
            world.l1.mine();
        }
        assert_eq!(ready(bridge.step(world.millis)).unwrap(), Step::Idle, "seed {seed}");
        assert_eq!(world.l1.finalised(), goal, "seed {seed}");
        let (posted, reverted) = world.l1.mined();
        assert_eq!((bridge.totals().posted, bridge.totals().reverted), (posted as u64, reverted as u64), "seed {seed}");
        assert_eq!(reverted, 0, "seed {seed}: alone it never pays for nothing");
    }
}
