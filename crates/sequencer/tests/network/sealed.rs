//! The encrypted lane, with leaders who would like to know.

use crate::cluster::{Cluster, FRONT_RUN, LaneKeyMaker, PERIOD, SEALED, SEALED_ONLY, wait_for};
use bytes::Bytes;
use proof::lane::{Entropy, Envelope, LaneKey, Record, Unsealer, is_envelope, seal};
use protocol::api::SubmissionState;
use sequencer::fees::{Accounts, Pricing};
use sequencer::lane::{Dealt, Fault};
use sequencer::{Application as _, Block, Lifetime, SYSTEM, Sequencer, Submission, SubmitError, System};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A network of four with a lane.
fn sealed_network() -> Cluster {
    let mut cluster = Cluster::new(4, 20);
    cluster.lane = Some(LaneKeyMaker::Dealer(Arc::new(Dealt::new(NonZeroU32::new(4).unwrap()).unwrap())));
    (0..4).for_each(|seat| cluster.start_seat(seat));
    cluster.wait_for(1);
    cluster
}

fn key(cluster: &Cluster) -> LaneKey {
    cluster.running.iter().flatten().find_map(|validator| validator.lane().unwrap().unwrap().key).unwrap().key
}

/// A target that is some blocks away.
fn target(cluster: &Cluster) -> u64 {
    (cluster.seat(0).height() / PERIOD + 3) * PERIOD
}

fn envelope(cluster: &Cluster, namespace: u64, target: u64, text: &str) -> Bytes {
    let entropy: [u8; 64] = std::array::from_fn(|place| text.as_bytes()[place % text.len()] ^ (place as u8));
    let chain_id = crate::cluster::CHAIN_ID;
    seal(&key(cluster), chain_id, namespace, target, text.as_bytes(), Entropy(entropy)).unwrap().into()
}

fn submit(sequencer: &Sequencer, namespace: u64, payload: Bytes) -> Result<[u8; 32], SubmitError> {
    let submission = vec![Submission::Transaction(namespace, payload)];
    let answers = futures::executor::block_on(sequencer.accept(submission, Lifetime::default()));
    answers.into_iter().next().unwrap().map(|receipt| receipt.hash)
}

fn texts(block: &Block, namespace: u64) -> Vec<Bytes> {
    block.payload.transactions(namespace).iter().map(|transaction| transaction.payload().clone()).collect()
}

/// Height of the first block with the opening of `target`.
fn opened(blocks: &[Block], target: u64) -> Option<u64> {
    let has = |block: &&Block| {
        let records = System::read(&block.payload).unwrap().lane;
        records.iter().any(|record| matches!(record, Record::Opening { target: opened, .. } if *opened == target))
    };
    blocks.iter().find(has).map(|block| block.height)
}

/// Waits until the envelopes for `target` are opened in the chain of `seat`; the chain until then.
fn until_opened(cluster: &Cluster, seat: usize, target: u64) -> Vec<Block> {
    for height in target + 1..target + 200 {
        cluster.wait_for(height);
        let blocks = cluster.follow(seat, 1);
        if opened(&blocks, target).is_some() {
            return blocks;
        }
    }
    panic!("no opening for {target}");
}

#[test]
fn envelopes_are_ordered_unread_and_executed_in_that_order_after_their_target() {
    let cluster = sealed_network();
    let target = target(&cluster);
    for (seat, text) in ["first", "second", "third"].into_iter().enumerate() {
        submit(cluster.seat(seat), SEALED, envelope(&cluster, SEALED, target, text)).unwrap();
    }
    let opaque = envelope(&cluster, SEALED_ONLY, target, "for a rollup");
    submit(cluster.seat(3), SEALED_ONLY, opaque.clone()).unwrap();
    let blocks = until_opened(&cluster, 1, target);
    let height = opened(&blocks, target).unwrap();
    assert!(height > target);
    let sealed: Vec<Bytes> =
        blocks.iter().flat_map(|block| texts(block, SEALED)).filter(|it| is_envelope(it)).collect();
    assert_eq!(sealed.len(), 3);
    let before: Vec<_> = blocks.iter().take(target as usize).flat_map(|block| texts(block, SEALED)).collect();
    assert_eq!(before, sealed, "all of them, up to the target, and nothing that can be read");
    let System { lane, .. } = System::read(&blocks[height as usize - 1].payload).unwrap();
    let Record::Opening { opening, .. } = &lane[0] else { panic!("{lane:?}") };
    let read = |envelope: &Bytes| {
        Envelope::decode(envelope).unwrap().open(opening, crate::cluster::CHAIN_ID, SEALED).map(Bytes::from).unwrap()
    };
    assert_eq!(texts(&blocks[height as usize - 1], SEALED), sealed.iter().map(read).collect::<Vec<_>>());
    // A rollup opens its own.
    let mut unsealer = Unsealer::new(crate::cluster::CHAIN_ID, SEALED_ONLY, key(&cluster));
    let executed = blocks.iter().flat_map(|block| {
        let (protocol, own) = (texts(block, SYSTEM), texts(block, SEALED_ONLY));
        let own: Vec<_> = own.into_iter().map(Into::into).collect();
        unsealer.apply(protocol.iter().map(AsRef::as_ref), &own)
    });
    assert_eq!(executed.map(Bytes::from).collect::<Vec<_>>(), [Bytes::from_static(b"for a rollup")]);
}

#[test]
fn a_leader_who_has_read_the_envelopes_cannot_go_before_them() {
    let cluster = sealed_network();
    cluster.recorders[0].front_runs.store(true, Ordering::SeqCst);
    // Every opening gives it a chance: it reads as early as everybody, and proposes in its turn.
    let (mut targets, mut blocks) = (Vec::new(), Vec::new());
    while cluster.recorders[0].attempts.load(Ordering::SeqCst) == 0 {
        assert!(targets.len() < 24, "seat 0 never had its turn");
        let target = target(&cluster);
        let text = format!("buy at {target}");
        submit(cluster.seat(1), SEALED, envelope(&cluster, SEALED, target, &text)).unwrap();
        targets.push(target);
        blocks = until_opened(&cluster, 1, target);
    }
    let executed: Vec<Bytes> =
        blocks.iter().flat_map(|block| texts(block, SEALED)).filter(|it| !is_envelope(it)).collect();
    let expected: Vec<Bytes> = targets.iter().map(|target| format!("buy at {target}").into()).collect();
    assert_eq!(executed, expected, "in their order, and no {FRONT_RUN:?}");
    // Nor does it help to submit something else once the shares are out: it waits until everything is opened, and is
    // behind it.
    for target in &targets {
        let opening = opened(&blocks, *target).unwrap();
        let between = &blocks[*target as usize..opening as usize - 1];
        assert!(between.iter().all(|block| texts(block, SEALED).iter().all(|it| is_envelope(it))));
    }
}

#[test]
fn a_leader_who_leaves_envelopes_out_delays_them_by_its_own_blocks_alone() {
    let cluster = sealed_network();
    cluster.recorders[0].censors.store(true, Ordering::SeqCst);
    let target = target(&cluster);
    let begin = cluster.seat(0).height();
    let hashes: Vec<[u8; 32]> = (0..8)
        .map(|number| {
            let envelope = envelope(&cluster, SEALED, target, &format!("number {number}"));
            submit(cluster.seat(1 + number % 3), SEALED, envelope).unwrap()
        })
        .collect();
    let blocks = until_opened(&cluster, 1, target);
    for hash in &hashes {
        let told = cluster.seat(1).statuses(&[*hash], 0).unwrap().pop().unwrap();
        assert_eq!(told.state, SubmissionState::Final, "{told:?}");
        let height = told.height.unwrap();
        let proposer = cluster.committee.proposer(blocks[height as usize - 1].view);
        assert_ne!(proposer, 0, "somebody else took it");
        assert!(height <= target && height > begin);
    }
    // What it costs: the fees of everything that it did not take, up to the target.
    let mut accounts = Accounts::new(Pricing::default()).unwrap();
    let mut earned = [0; 4];
    for block in &blocks[..target as usize] {
        let owed = |accounts: &Accounts| accounts.account(SEALED).map_or(0, |account| account.owed);
        let before = owed(&accounts);
        accounts.apply(block.height, &block.payload).unwrap();
        earned[cluster.committee.proposer(block.view) as usize] += owed(&accounts) - before;
    }
    assert_eq!(earned[0], 0, "{earned:?}");
    assert!(earned[1..].iter().sum::<u128>() > 0, "{earned:?}");
}

#[test]
fn what_is_late_expires_and_is_refused() {
    let cluster = sealed_network();
    let height = cluster.seat(0).height();
    let past = height / PERIOD * PERIOD;
    let late = envelope(&cluster, SEALED, past, "late");
    let refused = submit(cluster.seat(0), SEALED, late).unwrap_err();
    assert!(matches!(refused, SubmitError::Lane(Fault::Late { target, .. }) if target == past), "{refused:?}");
    let plain = submit(cluster.seat(0), SEALED_ONLY, Bytes::from_static(b"plain")).unwrap_err();
    assert_eq!(plain, SubmitError::Lane(Fault::Plain(SEALED_ONLY)));
    // Nobody takes it before its target is over.
    cluster.recorders.iter().for_each(|recorder| recorder.censors.store(true, Ordering::SeqCst));
    let target = target(&cluster);
    let hash = submit(cluster.seat(2), SEALED, envelope(&cluster, SEALED, target, "nobody wants it")).unwrap();
    cluster.wait_for(target + 2);
    let told = cluster.seat(2).statuses(&[hash], 0).unwrap().pop().unwrap();
    assert_eq!((told.state, told.expires), (SubmissionState::Expired, Some(target)));
}

#[test]
fn a_validator_that_was_away_when_envelopes_were_sealed_opens_them_with_the_others() {
    let mut cluster = sealed_network();
    let target = target(&cluster);
    submit(cluster.seat(1), SEALED, envelope(&cluster, SEALED, target, "sealed")).unwrap();
    cluster.stop_seat(3);
    cluster.wait_for(target - 1);
    // Two shares of three are missing until one of them is back: nothing is opened, and nothing goes before it.
    cluster.stop_seat(2);
    cluster.start_seat(3);
    let blocks = until_opened(&cluster, 1, target);
    let height = opened(&blocks, target).unwrap();
    assert_eq!(texts(&blocks[height as usize - 1], SEALED), [Bytes::from_static(b"sealed")]);
    assert!(cluster.recorders[3].finalized_height() > 0);
}

#[test]
fn validators_make_the_key_and_hand_it_to_the_next_committee() {
    let mut cluster = Cluster::with_waiting(4, 1, 20);
    cluster.lane = Some(LaneKeyMaker::Validators);
    cluster.epoch_blocks = 16;
    (0..4).for_each(|seat| cluster.start_seat(seat));
    let early = submit(cluster.seat(0), SEALED_ONLY, {
        let stranger = *Dealt::new(NonZeroU32::new(4).unwrap()).unwrap().sharing.public();
        seal(&stranger, crate::cluster::CHAIN_ID, SEALED_ONLY, PERIOD * 3, b"x", Entropy([1; 64])).unwrap().into()
    });
    // Unless the key was made before.
    assert!(matches!(early, Err(SubmitError::Lane(Fault::Closed { .. })) | Ok(_)), "{early:?}");
    let status = |cluster: &Cluster, seat: usize| cluster.seat(seat).lane().unwrap().unwrap();
    for height in 1.. {
        cluster.wait_for(height);
        if status(&cluster, 0).key.is_some() {
            break;
        }
        assert!(height < 100, "no key at {height}");
    }
    let made = status(&cluster, 0).key.unwrap();
    assert_eq!((made.round, made.required, made.members.len()), (1, 3, 4));
    let first = target(&cluster);
    submit(cluster.seat(1), SEALED, envelope(&cluster, SEALED, first, "buy")).unwrap();
    until_opened(&cluster, 1, first);
    // Seat 0 leaves, and number 4 comes, which is connected to nobody before it is announced.
    cluster.name_seats(&[1, 2, 3, 4]);
    cluster.start_seat(4);
    for height in cluster.seat(1).height().. {
        wait_for(cluster.seat(1), height);
        if status(&cluster, 1).key.is_some_and(|key| key.round > 1) {
            break;
        }
        assert!(height < 400, "the key is still where it was at {height}");
    }
    let key = status(&cluster, 1).key.unwrap();
    assert_eq!((key.key, key.members.len()), (made.key, 4), "the same key, of others");
    assert_ne!(key.members, made.members);
    cluster.stop_seat(0);
    // Killed and started again it still has its share: three of four open, and all of them are needed.
    cluster.stop_seat(2);
    cluster.start_seat(2);
    cluster.stop_seat(3);
    let target = (cluster.seat(1).height() / PERIOD + 3) * PERIOD;
    submit(cluster.seat(1), SEALED, envelope(&cluster, SEALED, target, "sell")).unwrap();
    until_opened(&cluster, 1, target);
}
