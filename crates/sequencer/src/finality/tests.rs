//! Desks of one committee over chains made by hand, and a network with a validator that votes twice.

use super::actor::Message;
use super::desk::{Desk, Refused, Stake};
use super::waiting::Full;
use super::{KEPT_BYTES_MAX, KeptCheckpoint, KeptError, Link, Tracker};
use crate::block::Block;
use crate::content::Entry;
use crate::engine::{CHANNEL_STAKE_VOTES, CHANNELS, network, quota, tracker};
use crate::equivocation::tests::equivocation;
use crate::guard::Guard;
use crate::history::History;
use crate::limits::EVIDENCE_PER_BLOCK_MAX;
use crate::system::{Offender, SYSTEM, System};
use crate::testing::{CHAIN_ID, child, committee, genesis, keys};
use crate::{Application as _, Config, Limits, OrderOnly, Sequencer, VerifyError};
use commonware_p2p::{Recipients, Sender as _};
use commonware_runtime::{IoBuf, Quota, Runner as _};
use commonware_utils::{NZU32, NZUsize};
use proof::checkpoint::{Evidence, Point, SignedVote, Signers, Vote, Witness};
use std::sync::Arc;
use std::time::Duration;

const EPOCH_BLOCKS: u64 = 4;

/// One validator's view of a chain that the test makes.
struct Seat {
    desk: Desk,
    number: u64,
    _directory: tempfile::TempDir,
}

fn seat(number: u64) -> Seat {
    let directory = tempfile::tempdir().unwrap();
    let history = Arc::new(History::open(&directory.path().join("history.redb")).unwrap());
    let tracker = Tracker::genesis(&committee(), &genesis(), EPOCH_BLOCKS).unwrap();
    let desk = Desk::new(keys(number).votes.clone(), tracker, history).unwrap();
    Seat { desk, number, _directory: directory }
}

fn none(_: &Block) -> Option<proof::checkpoint::ValidatorSet> {
    None
}

/// A child of `parent` with what `proposer` puts into namespace 0.
fn next(parent: &Block, proposer: &Seat) -> Block {
    let system = proposer.desk.collect(&[], parent.digest(), &none).encode();
    let entries = if system.is_empty() { vec![] } else { vec![Entry::new(SYSTEM, system)] };
    child(parent, parent.view + 1, entries)
}

/// The message with the vote of `seat` on the current checkpoint of its desk.
fn vote(seat: &Seat, change: impl Fn(&mut Vote)) -> Option<Message> {
    let finality = seat.desk.view().borrow().clone();
    let point = |name: &protocol::api::CheckpointName| Point { epoch: name.epoch, root: name.root };
    let mut vote = Vote { source: point(&finality.justified), target: point(&finality.current) };
    if vote.source.epoch >= vote.target.epoch {
        return None;
    }
    change(&mut vote);
    let domain = super::parameters(CHAIN_ID, genesis().digest(), EPOCH_BLOCKS).domain;
    let secret = &keys(seat.number).votes;
    Some(Message::Vote { key: Box::new(secret.public()), vote, signature: secret.sign_unguarded(&domain, &vote) })
}

/// Lets all seats take the next block, made by seat 0, and vote on what it opened.
fn step(seats: &[Seat], parent: &Block, voters: usize) -> Block {
    let block = next(parent, &seats[0]);
    for seat in seats {
        seat.desk.judge(&[], &block, block.digest(), &none).unwrap();
        seat.desk.deliver(&block, &none).unwrap();
    }
    for voter in &seats[..voters] {
        let Some(message) = vote(voter, |_| ()) else { continue };
        seats.iter().for_each(|seat| seat.desk.hear(message.clone()).unwrap());
    }
    block
}

fn run(seats: &[Seat], blocks: u64, voters: usize) -> Block {
    (0..blocks).fold(genesis(), |parent, _| step(seats, &parent, voters))
}

#[test]
fn the_votes_in_blocks_add_up_to_links_that_a_light_client_follows() {
    let seats = [0, 1, 2, 3].map(seat);
    run(&seats, 6 * EPOCH_BLOCKS, 4);
    let history = &seats[1].desk.history();
    for is_durable in [false, true] {
        if is_durable {
            history.commit().unwrap();
        }
        let page = history.links(1, 100).unwrap();
        let start = Tracker::genesis(&committee(), &genesis(), EPOCH_BLOCKS).unwrap();
        let (checkpoint, electorate) = start.state().checkpoint();
        let mut follower = proof::checkpoint::Follower::new(checkpoint, electorate.clone()).unwrap();
        let domain = start.state().parameters().domain;
        for link in page.links.iter().filter(|link| link.is_justified()) {
            follower.apply(&domain, &link.certificate, &link.target, &link.electorate).unwrap();
            assert_eq!(Link::decode(&link.encode(), &link.electorate).as_ref(), Ok(link));
        }
        let finality = seats[1].desk.view().borrow().clone();
        assert_eq!(follower.finalized().root, finality.finalized.root);
        assert!(finality.finalized.epoch >= 2, "{finality:?}");
        assert_eq!(page.electorates.keys().copied().collect::<Vec<_>>(), [electorate.root().0]);
    }
}

#[test]
fn votes_that_come_late_join_the_link_and_overlapping_ones_never_count_twice() {
    let seats = [0, 1, 2, 3].map(seat);
    let last = run(&seats, 2 * EPOCH_BLOCKS, 0);
    assert!(seats[0].desk.history().links(0, 9).unwrap().links.is_empty(), "nobody voted");
    let counts: Vec<usize> = (0..3)
        .scan(last, |parent, voter| {
            let message = vote(&seats[voter], |_| ()).unwrap();
            seats.iter().for_each(|seat| seat.desk.hear(message.clone()).unwrap());
            *parent = step(&seats, parent, 0);
            Some(seats[3].desk.history().links(2, 9).unwrap().links[0].certificate.signers.count())
        })
        .collect();
    assert_eq!(counts, [1, 2, 3]);
    let link = seats[3].desk.history().links(2, 1).unwrap().links.remove(0);
    let domain = super::parameters(CHAIN_ID, genesis().digest(), EPOCH_BLOCKS).domain;
    link.certificate.verify(&domain, &link.target, &link.electorate).unwrap();
}

#[test]
fn a_message_is_what_it_decodes_from() {
    let seats = [seat(0)];
    run(&seats, EPOCH_BLOCKS, 0);
    let message = vote(&seats[0], |_| ()).unwrap();
    let bytes = message.encode();
    assert_eq!(Message::decode(&bytes), Some(message));
    for length in 0..bytes.len() {
        assert_eq!(Message::decode(&bytes[..length]), None);
    }
    assert_eq!(Message::decode(&[&bytes[..], &[0]].concat()), None);
    assert_eq!(Message::decode(&[3]), None);
}

#[test]
fn two_of_four_do_not_finalise_and_three_do() {
    for (voters, is_final) in [(2, false), (3, true)] {
        let seats = [0, 1, 2, 3].map(seat);
        run(&seats, 6 * EPOCH_BLOCKS, voters);
        let finality = seats[3].desk.view().borrow().clone();
        assert_eq!(finality.finalized.epoch > 0, is_final, "{voters} voters: {finality:?}");
    }
}

#[test]
fn what_does_not_count_is_not_voted_for() {
    let seats = [0, 1].map(seat);
    let parent = run(&seats, EPOCH_BLOCKS, 2);
    let good = next(&parent, &seats[0]);
    let votes = System::read(&good.payload).unwrap().votes;
    assert_eq!(votes[0].signers.count(), 2);
    let with = |votes: Vec<_>| {
        let system = System { votes, ..System::default() }.encode();
        child(&parent, parent.view + 1, vec![Entry::new(SYSTEM, system)])
    };
    let mut false_signature = votes[0].clone();
    false_signature.signature = keys(3).votes.possession();
    let mut other_target = votes[0].clone();
    other_target.vote.target.root = [7; 32].into();
    for (name, bad) in [
        ("a false signature", with(vec![false_signature])),
        ("another target", with(vec![other_target])),
        ("twice the same", with(vec![votes[0].clone(), votes[0].clone()])),
        ("junk", child(&parent, parent.view + 1, vec![Entry::new(SYSTEM, [bytes::Bytes::from_static(b"x")])])),
    ] {
        let judged = seats[1].desk.judge(&[], &bad, bad.digest(), &none);
        assert!(judged.is_err(), "{name}");
    }
    seats[1].desk.judge(&[], &good, good.digest(), &none).unwrap();
    // Blocks that open an epoch carry no votes, so that a checkpoint's state misses none.
    let mut parent = good;
    while !(parent.height + 1).is_multiple_of(EPOCH_BLOCKS) {
        seats.iter().for_each(|seat| seat.desk.deliver(&parent, &none).unwrap());
        parent = child(&parent, parent.view + 1, vec![]);
    }
    seats.iter().for_each(|seat| seat.desk.deliver(&parent, &none).unwrap());
    let opening =
        child(&parent, parent.view + 1, vec![Entry::new(SYSTEM, System { votes, ..System::default() }.encode())]);
    assert!(seats[1].desk.judge(&[], &opening, opening.digest(), &none).is_err());
}

#[test]
fn blocks_that_are_not_final_yet_count_for_what_follows() {
    let seats = [0, 1].map(seat);
    let parent = run(&seats, EPOCH_BLOCKS, 2);
    let first = next(&parent, &seats[0]);
    assert!(!System::read(&first.payload).unwrap().is_empty());
    let ancestors = [Arc::new(first.clone())];
    assert!(seats[0].desk.collect(&ancestors, first.digest(), &none).is_empty(), "the votes are in the parent");
    let again = child(&first, first.view + 1, first.payload.entries().to_vec());
    assert!(seats[1].desk.judge(&ancestors, &again, again.digest(), &none).is_err(), "nobody counts twice");
    let empty = child(&first, first.view + 1, vec![]);
    seats[1].desk.judge(&ancestors, &empty, empty.digest(), &none).unwrap();
}

#[test]
fn who_votes_twice_is_convicted_on_every_desk_and_leaves_the_set() {
    let seats = [0, 1, 2, 3].map(seat);
    let parent = run(&seats, 3 * EPOCH_BLOCKS, 4);
    let other = vote(&seats[3], |vote| vote.target.root = [9; 32].into()).unwrap();
    // One of them hears of it, and tells the others.
    seats[0].desk.hear(other).unwrap();
    assert_eq!(seats[0].desk.found(), 1);
    let mut block = next(&parent, &seats[0]);
    let evidence = System::read(&block.payload).unwrap().evidence;
    assert_eq!(evidence.iter().map(|e| e.key).collect::<Vec<_>>(), [keys(3).votes.public()]);
    let twice = System { evidence: vec![evidence[0].clone(), evidence[0].clone()], ..System::default() }.encode();
    let twice = child(&parent, parent.view + 1, vec![Entry::new(SYSTEM, twice)]);
    assert!(seats[1].desk.judge(&[], &twice, twice.digest(), &none).is_err(), "nobody is convicted twice");
    for seat in &seats {
        seat.desk.judge(&[], &block, block.digest(), &none).unwrap();
        seat.desk.deliver(&block, &none).unwrap();
    }
    for _ in 0..6 * EPOCH_BLOCKS {
        block = step(&seats, &block, 3);
        assert!(System::read(&block.payload).unwrap().evidence.is_empty());
    }
    for seat in &seats {
        let finality = seat.desk.view().borrow().clone();
        assert_eq!((finality.validators, finality.finalized.epoch + 2), (3, finality.epoch), "{finality:?}");
    }
}

/// Stake of which every key can lose something.
struct Liable;

impl Stake for Liable {
    fn candidate(&self, _: &Block) -> Option<proof::checkpoint::ValidatorSet> {
        None
    }

    fn is_liable(&self, _: &Offender) -> bool {
        true
    }
}

/// A first block with this in namespace 0.
fn opening(system: &System) -> Block {
    let entries = if system.is_empty() { vec![] } else { vec![Entry::new(SYSTEM, system.encode())] };
    child(&genesis(), 1, entries)
}

#[test]
fn an_equivocation_stands_in_a_block_where_its_signer_has_stake_to_lose() {
    let [finder, other] = [0, 1].map(seat);
    let both = equivocation(3);
    finder.desk.found_equivocation(both.clone());
    other.desk.hear(Message::Equivocation(Box::new(both.clone()))).unwrap();
    assert!(finder.desk.collect(&[], genesis().digest(), &none).is_empty(), "without stake it costs nothing");
    for seat in [&finder, &other] {
        let system = seat.desk.collect(&[], genesis().digest(), &Liable);
        assert_eq!(system.offenders(), [Offender::Consensus(both.key())]);
    }
    let system = System { equivocations: vec![both.clone()], ..System::default() };
    let block = opening(&system);
    other.desk.judge(&[], &block, block.digest(), &Liable).unwrap();
    assert!(seat(2).desk.judge(&[], &block, block.digest(), &none).is_err(), "nobody would lose anything");
    let twice = opening(&System { equivocations: vec![both.clone(), both.clone()], ..System::default() });
    assert!(other.desk.judge(&[], &twice, twice.digest(), &Liable).is_err());
    other.desk.deliver(&block, &none).unwrap();
    assert!(other.desk.collect(&[], block.digest(), &Liable).is_empty(), "settled");
}

#[test]
fn found_equivocations_survive_a_restart() {
    let finder = seat(0);
    finder.desk.found_equivocation(equivocation(3));
    finder.desk.commit().unwrap();
    let directory = finder._directory;
    drop(finder.desk);
    let history = Arc::new(History::open(&directory.path().join("history.redb")).unwrap());
    let tracker = Tracker::genesis(&committee(), &genesis(), EPOCH_BLOCKS).unwrap();
    let again = Desk::new(keys(0).votes.clone(), tracker, history).unwrap();
    assert_eq!(again.collect(&[], genesis().digest(), &Liable).equivocations, [equivocation(3)]);
}

/// Two votes of a voter that exclude each other, each signed by it.
fn double_vote(secret: &crate::ffg::VoteSecret) -> Evidence {
    let domain = super::parameters(CHAIN_ID, genesis().digest(), EPOCH_BLOCKS).domain;
    let signed = |root: u8| {
        let (source, target) = ([1; 32].into(), [root; 32].into());
        let vote = Vote { source: Point { epoch: 0, root: source }, target: Point { epoch: 1, root: target } };
        SignedVote { vote, witness: Witness::Alone(secret.sign_unguarded(&domain, &vote)) }
    };
    Evidence { key: secret.public(), first: signed(2), second: signed(3) }
}

fn report(desk: &Desk, system: &System, stake: &dyn Stake) -> Result<(), Refused> {
    system.encode().iter().try_for_each(|piece| desk.report(piece, stake))
}

/// Evidence against these seats; the first four are all candidates there are.
fn accusing(seats: impl IntoIterator<Item = u64>) -> Vec<Evidence> {
    seats.into_iter().map(|seat| double_vote(&keys(seat).votes)).collect()
}

#[test]
fn when_everybody_is_accused_at_once_the_block_leaves_one_to_judge() {
    let [leader, voter] = [0, 1].map(seat);
    let all = System { evidence: accusing(0..4), ..System::default() };
    report(&leader.desk, &all, &none).unwrap();
    let refused = opening(&all);
    assert!(voter.desk.judge(&[], &refused, refused.digest(), &none).is_err(), "nobody would be left");
    let collected = leader.desk.collect(&[], genesis().digest(), &none);
    assert_eq!(collected.evidence.len(), 3);
    let block = opening(&collected);
    voter.desk.judge(&[], &block, block.digest(), &none).unwrap();
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]

    /// Whatever waits: a leader proposes what the others vote for, and leaves nothing out that they would vote for as well.
    #[test]
    fn what_a_leader_collects_is_what_others_take(
        voters in proptest::collection::btree_set(0_u64..8, 0..8),
        engine in proptest::collection::btree_set(0_u64..8, 0..8),
        has_stake in proptest::prelude::any::<bool>(),
    ) {
        let [leader, voter] = [0, 1].map(seat);
        let stake: &dyn Stake = if has_stake { &Liable } else { &none };
        let pool = System {
            evidence: accusing(voters),
            equivocations: engine.into_iter().map(equivocation).collect(),
            ..System::default()
        };
        for piece in pool.encode() {
            // Some are against nobody who has anything to lose.
            let _ = leader.desk.report(&piece, stake);
        }
        let collected = leader.desk.collect(&[], genesis().digest(), stake);
        let block = opening(&collected);
        voter.desk.judge(&[], &block, block.digest(), stake).unwrap();
        let room = EVIDENCE_PER_BLOCK_MAX - collected.offenders().len();
        if room > 0 {
            for piece in &pool.evidence {
                let mut more = collected.clone();
                more.evidence.push(piece.clone());
                let block = opening(&more);
                proptest::prop_assert!(voter.desk.judge(&[], &block, block.digest(), stake).is_err());
            }
        }
    }
}

#[test]
fn evidence_is_refused_when_there_is_no_room_and_taken_again_when_there_is() {
    const ROOM: usize = 6;
    let directory = tempfile::tempdir().unwrap();
    let history = Arc::new(History::open(&directory.path().join("history.redb")).unwrap());
    let tracker = Tracker::genesis(&committee(), &genesis(), EPOCH_BLOCKS).unwrap();
    let desk = Desk::with_room(keys(0).votes.clone(), tracker, history, ROOM).unwrap();
    let both = |seat: u64| System { equivocations: vec![equivocation(seat)], ..System::default() };
    for seat in 0..ROOM as u64 {
        report(&desk, &both(seat), &Liable).unwrap();
    }
    let one_more = both(ROOM as u64);
    assert_eq!(report(&desk, &one_more, &Liable), Err(Refused::Full(Full(ROOM))));
    assert_eq!(report(&desk, &both(5), &Liable), Ok(()), "that one is kept");
    let other_kind = System { evidence: accusing([1]), ..System::default() };
    assert_eq!(report(&desk, &other_kind, &Liable), Ok(()), "each kind has its own room");
    desk.commit().unwrap();
    assert_eq!(desk.history().equivocations(usize::MAX).unwrap().len(), ROOM, "all on the disk");
    // Nobody has stake to lose after this block, so nothing of it is of use.
    desk.deliver(&child(&genesis(), 1, vec![]), &none).unwrap();
    assert_eq!(report(&desk, &one_more, &Liable), Ok(()));
}

#[test]
fn what_peers_send_about_strangers_takes_no_room_from_what_costs_somebody() {
    let [desk, _] = [0, 1].map(seat).map(|seat| seat.desk);
    for seat in 100..180 {
        desk.hear(Message::Equivocation(Box::new(equivocation(seat)))).unwrap();
        if seat < 120 {
            desk.hear(Message::Evidence(Box::new(double_vote(&keys(seat).votes)))).unwrap();
        }
    }
    let system = System { evidence: accusing([2]), equivocations: vec![equivocation(3)], ..System::default() };
    report(&desk, &system, &Liable).unwrap();
    let collected = desk.collect(&[], genesis().digest(), &Liable);
    assert!(collected.offenders().contains(&Offender::Vote(*keys(2).votes.public().bytes())));
    desk.hear(Message::Evidence(Box::new(double_vote(&keys(1).votes)))).unwrap();
    let block = child(&genesis(), 1, vec![]);
    desk.deliver(&block, &none).unwrap();
    let collected = desk.collect(&[], block.digest(), &Liable);
    let expected: std::collections::BTreeSet<_> = [1, 2].map(|seat| *keys(seat).votes.public().bytes()).into();
    assert_eq!(
        collected.evidence.iter().map(|piece| *piece.key.bytes()).collect::<std::collections::BTreeSet<_>>(),
        expected
    );
    assert!(collected.equivocations.is_empty(), "nobody had stake to lose");
}

#[test]
fn false_evidence_is_refused_whoever_sends_it() {
    let desk = seat(0).desk;
    let mut forged = double_vote(&keys(2).votes);
    forged.key = keys(3).votes.public();
    let reported = report(&desk, &System { evidence: vec![forged.clone()], ..System::default() }, &Liable);
    assert!(matches!(reported, Err(Refused::False(_))), "{reported:?}");
    assert!(desk.hear(Message::Evidence(Box::new(forged))).is_err());
    let mut bytes = equivocation(2).encode();
    bytes[..32].copy_from_slice(&equivocation(3).key());
    let framed = crate::equivocation::Equivocation::decode(&bytes).unwrap();
    let reported = report(&desk, &System { equivocations: vec![framed.clone()], ..System::default() }, &Liable);
    assert!(matches!(reported, Err(Refused::False(_))), "{reported:?}");
    assert!(desk.hear(Message::Equivocation(Box::new(framed))).is_err());
    assert!(desk.collect(&[], genesis().digest(), &Liable).is_empty());
}

#[test]
fn evidence_whose_signers_nobody_can_tell_any_more_makes_room_for_another_piece() {
    let directory = tempfile::tempdir().unwrap();
    let history = Arc::new(History::open(&directory.path().join("history.redb")).unwrap());
    let new = double_vote(&keys(3).votes);
    let mut old = new.clone();
    let Witness::Alone(signature) = old.first.witness else { panic!("{old:?}") };
    // As a detector makes it of a certificate, of an electorate that is not known any more.
    let mut signers = Signers::none(4);
    signers.insert(3);
    old.first.witness = Witness::Aggregate { electorate: [7; 32].into(), signers, signature };
    history.put_evidence(*old.key.bytes(), old.encode().into());
    history.commit().unwrap();
    let tracker = Tracker::genesis(&committee(), &genesis(), EPOCH_BLOCKS).unwrap();
    let desk = Desk::new(keys(0).votes.clone(), tracker, history).unwrap();
    assert!(desk.collect(&[], genesis().digest(), &none).is_empty());
    let block = child(&genesis(), 1, vec![]);
    desk.deliver(&block, &none).unwrap();
    desk.hear(Message::Evidence(Box::new(new.clone()))).unwrap();
    assert_eq!(desk.collect(&[], block.digest(), &none).evidence, std::slice::from_ref(&new));
    desk.commit().unwrap();
    assert_eq!(desk.history().evidence(9).unwrap(), [new]);
}

#[test]
fn who_left_is_convicted_while_it_has_stake_to_lose() {
    let [judge, other] = [0, 1].map(seat);
    let evidence = double_vote(&keys(9).votes);
    let system = System { evidence: vec![evidence], ..System::default() };
    let reported = &system.encode()[0];
    assert!(judge.desk.report(reported, &none).is_err(), "a stranger has nothing to lose");
    judge.desk.report(reported, &Liable).unwrap();
    assert_eq!(judge.desk.collect(&[], genesis().digest(), &Liable), system);
    let block = opening(&system);
    other.desk.judge(&[], &block, block.digest(), &Liable).unwrap();
    assert!(seat(2).desk.judge(&[], &block, block.digest(), &none).is_err());
    let twice = opening(&System { evidence: [&system.evidence[..], &system.evidence].concat(), ..System::default() });
    assert!(seat(2).desk.judge(&[], &twice, twice.digest(), &Liable).is_err());
    assert!(judge.desk.report(&[7, 7], &Liable).is_err(), "junk");
}

#[test]
fn kept_checkpoints_decode_to_what_they_were_and_nothing_else_does() {
    let tracker = Tracker::genesis(&committee(), &genesis(), EPOCH_BLOCKS).unwrap();
    let (mut tracker, mut parent, mut kept) = (tracker, genesis(), None);
    while kept.is_none() {
        let block = child(&parent, parent.view + 1, vec![]);
        let opened = tracker.apply(&block, block.digest(), None).unwrap().outcome.opened;
        kept = opened.map(|opened| KeptCheckpoint { checkpoint: opened.checkpoint, state: opened.state });
        parent = block;
    }
    let kept = kept.unwrap();
    let bytes = kept.encode();
    assert_eq!(KeptCheckpoint::decode(&bytes), Ok(kept.clone()));
    let resumed = Tracker::resume(&kept).unwrap();
    assert_eq!(resumed.state().commitment(), tracker.state().commitment());
    assert_eq!(KeptCheckpoint::decode(&bytes[..100]), Err(KeptError(100)));
    assert_eq!(KeptCheckpoint::decode(&vec![0; KEPT_BYTES_MAX + 1]), Err(KeptError(KEPT_BYTES_MAX + 1)));
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        let changed = KeptCheckpoint::decode(&changed).unwrap();
        let resumed = Tracker::resume(&changed);
        let differs = |tracker: Tracker| tracker.state().checkpoint().0.root() != kept.checkpoint.root();
        assert!(resumed.is_err() || resumed.is_ok_and(differs), "byte {place}");
    }
}

/// Three honest validators, started like any, and the keys of a fourth.
struct Network {
    honest: Vec<Sequencer>,
    committee: crate::Committee,
    listen: std::net::SocketAddr,
    _directory: tempfile::TempDir,
}

fn three_of_four() -> Network {
    let directory = tempfile::tempdir().unwrap();
    let sockets: Vec<_> = (0..4).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
    let validators: Vec<_> =
        (0..4).map(|seat| keys(seat).validator(addresses[seat as usize].to_string(), String::new())).collect();
    let committee = crate::Committee::new(&validators, CHAIN_ID).unwrap();
    let genesis = Block::genesis(CHAIN_ID, 1_000, OrderOnly::default().genesis_commitment()).digest();
    drop(sockets);
    let start = |seat: u64| {
        let config = Config {
            keys: keys(seat),
            committee: committee.clone(),
            listen: addresses[seat as usize],
            directory: directory.path().join(format!("validator-{seat}")),
            genesis_timestamp_millis: 1_000,
            block_millis: 20,
            limits: Limits::default(),
            epoch_blocks: 8,
            guard: Arc::new(Guard::create(&directory.path().join(format!("{seat}.guard")), genesis).unwrap()),
            lane: None,
        };
        Sequencer::start(config, Arc::new(OrderOnly::default())).unwrap()
    };
    let honest = (0..3).map(start).collect();
    Network { honest, committee, listen: addresses[3], _directory: directory }
}

/// Votes twice on every checkpoint until the first validator has found out.
fn vote_twice(validators: &Network, genesis: [u8; 32]) {
    let storage = tempfile::tempdir().unwrap();
    let runtime = commonware_runtime::tokio::Config::new().with_storage_directory(storage.path());
    let secret = keys(3).votes;
    commonware_runtime::tokio::Runner::new(runtime).start(|context| async move {
        let (committee, room) = (&validators.committee, NZUsize!(4));
        let (mut peers, oracle) = network(&context, committee.namespace(), &keys(3), validators.listen, room);
        tracker(&oracle)(&committee.addresses().collect());
        let (mut sender, _receiver) = peers.register(CHANNEL_STAKE_VOTES, Quota::per_second(NZU32!(64)));
        // Whoever does not know the other channels is disconnected with the first message there.
        let others = CHANNELS.into_iter().filter(|channel| *channel != CHANNEL_STAKE_VOTES);
        let _others: Vec<_> = others.map(|channel| peers.register(channel, quota(channel))).collect();
        let _running = peers.start();
        let domain = super::parameters(CHAIN_ID, genesis, 8).domain;
        let mut finality = validators.honest[0].finality();
        while validators.honest[0].status().evidence == 0 {
            let now = finality.borrow_and_update().clone();
            let source = Point { epoch: now.justified.epoch, root: now.justified.root };
            for root in [now.current.root, [9; 32].into()] {
                let vote = Vote { source, target: Point { epoch: now.current.epoch, root } };
                if vote.source.epoch < vote.target.epoch {
                    let signature = secret.sign_unguarded(&domain, &vote);
                    let message = Message::Vote { key: Box::new(secret.public()), vote, signature };
                    sender.send(Recipients::All, IoBuf::from(message.encode()), false);
                }
            }
            finality.changed().await.unwrap();
        }
    });
}

#[test]
fn a_validator_that_votes_twice_is_found_by_all_and_loses_its_vote() {
    let network = three_of_four();
    let genesis = Block::genesis(CHAIN_ID, 1_000, OrderOnly::default().genesis_commitment()).digest();
    vote_twice(&network, genesis);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for sequencer in &network.honest {
        let mut finality = sequencer.finality();
        let left = runtime.block_on(async {
            let left = finality.wait_for(|now| now.validators == 3);
            tokio::time::timeout(Duration::from_secs(60), left).await.map(|left| left.is_ok())
        });
        assert_eq!(left, Ok(true), "{:?}", sequencer.status());
        let evidence = sequencer.vote_evidence(8).unwrap();
        assert_eq!(evidence.len(), 1, "on every disk");
        assert_eq!(evidence[0].key, keys(3).votes.public());
    }
    let blocks = network.honest[1].finalized(1, 256).unwrap();
    let read = |certified| network.committee.verify(certified).map(|block| System::read(&block.payload).unwrap());
    let systems = blocks.iter().map(read).collect::<Result<Vec<_>, VerifyError>>().unwrap();
    assert_eq!(systems.iter().map(|system| system.evidence.len()).sum::<usize>(), 1, "in one block");
    network.honest.into_iter().for_each(Sequencer::stop_blocking);
}
