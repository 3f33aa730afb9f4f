use super::*;
use crate::testing::{CHAIN_ID, child, committee, core, entry, genesis, keys};
use commonware_consensus::Application as _;
use commonware_consensus::marshal::ancestry::from_iter;
use commonware_consensus::types::{Epoch, Round, View};
use commonware_cryptography::Signer as _;
use commonware_runtime::{Runner as _, Supervisor as _, deterministic};

/// A change to a block.
type Change = Box<dyn Fn(&mut Block)>;

const PACE: Duration = Duration::from_millis(200);

fn digested(block: &Block) -> Digested<Block> {
    Digested::precomputed(block.clone(), sha256::Digest(block.digest()))
}

/// Blocks in the order of an ancestry: newest first.
fn ancestry(blocks: &[Block]) -> impl Ancestry<Block> {
    from_iter(blocks.iter().map(digested).collect::<Vec<_>>())
}

fn round(core: &Core, view: u64, parent: &Block) -> RoundContext {
    Context {
        round: Round::new(Epoch::zero(), View::new(view)),
        leader: core.keys.consensus.public_key(),
        parent: (View::new(parent.view), sha256::Digest(parent.digest())),
    }
}

/// The first view after 0 in which seat 0 proposes.
fn own_view(_: &Core) -> u64 {
    (1..).find(|view| committee().proposer(*view) == 0).unwrap()
}

/// What seat 0 proposes on genesis, and the simulated time that it took.
fn propose(core: &Arc<Core>, start: SystemTime) -> (Option<Block>, SystemTime) {
    let (core, view) = (core.clone(), own_view(core));
    deterministic::Runner::timed(Duration::from_secs(30)).start(|context| async move {
        context.sleep_until(start).await;
        let parent = genesis();
        let call = (context.child("propose"), round(&core, view, &parent));
        let block = Orderer(core).propose(call, ancestry(&[parent]), ()).await;
        (block.map(|block| block.inner().clone()), context.current())
    })
}

/// The verdict of seat 0 on `blocks[0]`, or `None` if there is none by simulated time `until`.
fn verify(core: &Arc<Core>, blocks: Vec<Block>, view: u64, until: SystemTime) -> Option<bool> {
    let core = core.clone();
    deterministic::Runner::timed(Duration::from_secs(60)).start(|context| async move {
        let call = (context.child("verify"), round(&core, view, &blocks[1]));
        let mut orderer = Orderer(core);
        tokio::select! {
            verdict = orderer.verify(call, ancestry(&blocks)) => Some(verdict),
            () = context.sleep_until(until) => None,
        }
    })
}

fn late() -> SystemTime {
    at_millis(20_000)
}

#[test]
fn proposal_waits_one_pace_after_its_parent() {
    let block = propose(&core(PACE), at_millis(1_050)).0.unwrap();
    assert_eq!((block.height, block.timestamp_millis), (1, 1_200));
}

#[test]
fn proposal_on_an_old_parent_does_not_wait() {
    assert_eq!(propose(&core(PACE), at_millis(5_000)).0.unwrap().timestamp_millis, 5_000);
}

#[test]
fn proposal_on_a_parent_ahead_of_the_clock_waits_one_pace_and_keeps_its_time() {
    let (block, now) = propose(&core(PACE), at_millis(100));
    // The simulated clock moves by a millisecond with each step of the scheduler.
    assert!((300..310).contains(&unix_millis(now)));
    assert_eq!(block.unwrap().timestamp_millis, 1_000);
}

#[test]
fn own_proposal_is_judged_valid_by_the_others() {
    let core = core(PACE);
    core.mempool.submit(7, "hello".into()).unwrap();
    let block = propose(&core, late()).0.unwrap();
    assert_eq!(block.payload.entries(), [entry(7, &["hello"])]);
    assert_eq!(verify(&core, vec![block, genesis()], own_view(&core), late()), Some(true));
}

#[test]
fn proposal_offers_nothing_that_an_ancestor_holds() {
    let core = core(PACE);
    core.mempool.submit(7, "first".into()).unwrap();
    core.mempool.submit(7, "second".into()).unwrap();
    let parent = child(&genesis(), 1, vec![entry(7, &["first"])]);
    let block = core
        .build(&digested(&parent), vec![Arc::new(parent.clone())], Round::new(Epoch::zero(), View::new(2)), 0)
        .unwrap();
    assert_eq!(block.inner().payload.entries(), [entry(7, &["second"])]);
    assert_eq!(block.inner().parent, parent.digest());
}

/// A final block that opens epoch 1, with whom the application would seat after genesis.
fn opened(core: &Core, seats: &[protocol::network::Validator]) -> Block {
    core.candidates.keep(0, 0, seats.to_vec());
    let mut parent = genesis();
    for view in 1..=4 {
        parent = child(&parent, view, vec![]);
        core.deliver(&parent).unwrap();
    }
    parent
}

#[test]
fn the_committee_that_is_due_is_announced_and_no_other_and_nowhere_else() {
    let core = core(PACE);
    let seats = committee().validators()[..3].to_vec();
    let parent = opened(&core, &seats);
    let view = (5..).find(|view| committee().proposer(*view) == 0).unwrap();
    let round = Round::new(Epoch::zero(), View::new(view));
    let block = core.build(&digested(&parent), vec![], round, 0).unwrap();
    let announced = System::read(&block.inner().payload).unwrap().committee;
    assert_eq!(announced, Some(Announcement { first: 12, validators: seats.clone() }));
    let judge = |parent: &Block, block: &Block, round| core.judge(&digested(parent), vec![], block, round);
    assert_eq!(judge(&parent, block.inner(), round), Verdict::Valid);
    let with = |parent: &Block, view, validators: &[protocol::network::Validator]| {
        let committee = Some(Announcement { first: 12, validators: validators.to_vec() });
        child(parent, view, vec![Entry::new(SYSTEM, System { committee, ..System::default() }.encode())])
    };
    let refused = |verdict| matches!(verdict, Verdict::Invalid(_));
    assert!(refused(judge(&parent, &child(&parent, view, vec![]), round)), "silent");
    assert!(refused(judge(&parent, &with(&parent, view, &seats[1..]), round)), "another one");
    core.deliver(block.inner()).unwrap();
    let next = Round::new(Epoch::zero(), View::new(view + 1));
    assert!(refused(judge(block.inner(), &with(block.inner(), view + 1, &seats), next)), "once more");
    assert_eq!(judge(block.inner(), &child(block.inner(), view + 1, vec![]), next), Verdict::Valid);
}

#[test]
fn a_block_of_another_committees_height_is_neither_proposed_nor_voted_for() {
    let core = core(PACE);
    let parent = opened(&core, &committee().validators()[..3]);
    let (early, block) = (Round::new(Epoch::new(1), View::new(5)), child(&parent, 5, vec![]));
    assert!(core.build(&digested(&parent), vec![], early, 0).is_none());
    let verdict = core.judge(&digested(&parent), vec![], &block, early);
    assert!(matches!(&verdict, Verdict::Invalid(reason) if reason.contains("committee 0")), "{verdict:?}");
}

#[test]
fn blocks_that_break_a_rule_are_refused_for_ever() {
    let core = core(PACE);
    let good = child(&genesis(), 1, vec![entry(1, &["t"])]);
    assert_eq!(verify(&core, vec![good.clone(), genesis()], 1, late()), Some(true));
    let stranger = randomness::reveal(&keys(50).randomness, CHAIN_ID, 1);
    let changes: [Change; 6] = [
        Box::new(|b| b.erasure_root[0] ^= 1),
        Box::new(|b| b.timestamp_millis = 999),
        Box::new(|b| b.view = 2),
        Box::new(|b| b.randomness[0] ^= 1),
        Box::new(move |b| {
            b.randomness = randomness::mix(&genesis().randomness, &stranger).unwrap();
            b.reveal = stranger.clone();
        }),
        Box::new(|b| b.commitment = "unexpected".into()),
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut bad = good.clone();
        change(&mut bad);
        assert_eq!(verify(&core, vec![bad, genesis()], 1, late()), Some(false), "change {i}");
    }
}

#[test]
fn vote_for_a_block_ahead_of_the_clock_waits_until_it_is_near() {
    let core = core(PACE);
    let mut block = child(&genesis(), 1, vec![]);
    block.timestamp_millis = 10_000;
    let blocks = vec![block, genesis()];
    assert_eq!(verify(&core, blocks.clone(), 1, at_millis(7_900)), None);
    assert_eq!(verify(&core, blocks, 1, at_millis(8_100)), Some(true));
}

#[test]
fn block_at_a_height_already_taken_gets_no_verdict() {
    let core = core(PACE);
    let first = child(&genesis(), 1, vec![]);
    core.deliver(&first).unwrap();
    core.deliver(&child(&first, 2, vec![])).unwrap();
    let rival = child(&genesis(), 3, vec![]);
    assert_eq!(verify(&core, vec![rival, genesis()], 3, late()), None);
}

#[test]
fn proposal_below_what_is_final_is_not_made() {
    let core = core(PACE);
    core.deliver(&child(&genesis(), 1, vec![])).unwrap();
    assert_eq!(propose(&core, late()).0, None);
}

#[test]
fn vote_waits_for_an_application_that_lags_too_far_behind() {
    let core = core(PACE);
    let mut chain = vec![genesis()];
    for view in 1..=ANCESTORS_MAX as u64 + 2 {
        let next = child(&chain[0], view, vec![]);
        chain.insert(0, next);
    }
    let view = chain[0].view;
    assert_eq!(verify(&core, chain.clone(), view, at_millis(50_000)), None);
    core.deliver(&chain[chain.len() - 2]).unwrap();
    assert_eq!(verify(&core, chain, view, at_millis(50_000)), Some(true));
}

#[test]
fn delivery_is_idempotent_and_never_goes_back() {
    let core = core(PACE);
    let first = child(&genesis(), 1, vec![entry(7, &["t"])]);
    let second = child(&first, 2, vec![]);
    core.mempool.submit(7, "t".into()).unwrap();
    core.deliver(&first).unwrap();
    core.deliver(&second).unwrap();
    core.deliver(&first).unwrap();
    assert_eq!((*core.heights.borrow(), core.application.finalized_height(), core.mempool.len()), (2, 2, 0));
}
