use super::journal::{Journal, JournalError};
use super::record::Record;
use super::*;
use crate::content::{Content, Entry};
use crate::limits::{Limits, TRANSACTIONS_MAX};
use crate::mempool::Mempool;
use crate::payload::Payload;
use commonware_cryptography::Signer as _;
use protocol::api::{SubmissionPlace, SubmissionState, SubmissionStatus};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const GENESIS: [u8; 32] = [7; 32];

fn single(namespace: u64, text: &str) -> Submission {
    Submission::Transaction(namespace, text.to_owned().into())
}

fn pair(first: &str, second: &str) -> Submission {
    Submission::Bundle(vec![(5, first.to_owned().into()), (9, second.to_owned().into())])
}

fn hash(submission: &Submission) -> Hash {
    submission.clone().check().unwrap().hash
}

fn accepted(expires: u64, submission: Submission) -> Record {
    Record::Accepted { expires, submission }
}

/// A mempool that writes to `path`, after what is there already.
fn open(path: &Path) -> Arc<Mempool> {
    let mempool = Arc::new(Mempool::new(Limits::default()));
    mempool.restore(Journal::read(path, &GENESIS).unwrap());
    let told = Arc::downgrade(&mempool);
    let snapshot = Box::new(move || told.upgrade().map_or_else(Vec::new, |mempool| mempool.snapshot()));
    mempool.attach(
        Journal::start(path, GENESIS, snapshot, Writer::Thread).unwrap(),
        Seats::others(&crate::testing::committee(), &crate::testing::keys(1)),
    );
    mempool
}

/// Accepts and waits until it is on the disk.
fn accept(mempool: &Mempool, submission: Submission, blocks: u64) -> Receipt {
    let (mut receipts, written) = mempool.accept(vec![submission.check()], Lifetime::new(blocks).unwrap());
    written.unwrap().blocking_recv().unwrap().unwrap();
    receipts.pop().unwrap().unwrap()
}

fn status(mempool: &Mempool, submission: &Submission) -> SubmissionStatus {
    mempool.statuses(&[hash(submission)], 0).pop().unwrap()
}

fn state(mempool: &Mempool, submission: &Submission) -> SubmissionState {
    status(mempool, submission).state
}

/// A payload with everything that waits.
fn block(mempool: &Mempool, height: u64) -> Payload {
    Payload::new(mempool.candidates(&HashSet::new(), 1 << 20, height)).unwrap()
}

fn file() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("submissions.log");
    (directory, path)
}

#[test]
fn a_submission_is_pending_then_included_then_final_then_finalized() {
    let (_directory, path) = file();
    let mempool = open(&path);
    let (one, two) = (single(9, "one"), pair("a", "b"));
    for submission in [&one, &two] {
        assert_eq!(state(&mempool, submission), SubmissionState::Unknown);
        accept(&mempool, submission.clone(), 50);
        let told = status(&mempool, submission);
        assert_eq!((told.state, told.expires, told.copies), (SubmissionState::Pending, Some(50), Some(1)));
    }
    let payload = block(&mempool, 1);
    mempool.included(1, &payload);
    let told = status(&mempool, &one);
    assert_eq!((told.state, told.height), (SubmissionState::Included, Some(1)));
    mempool.finalized(1, &payload);
    let told = status(&mempool, &one);
    let place = Some(SubmissionPlace::Transaction { namespace: 9, index: 0 });
    assert_eq!((told.state, told.height, told.place), (SubmissionState::Final, Some(1), place));
    assert_eq!(status(&mempool, &two).place, Some(SubmissionPlace::Bundle { number: 0 }));
    let finalized = mempool.statuses(&[hash(&one)], 1).pop().unwrap();
    assert_eq!((finalized.state, finalized.finalized_height), (SubmissionState::Finalized, 1));
}

#[test]
fn the_same_bytes_have_one_answer_and_wait_once() {
    let (_directory, path) = file();
    let mempool = open(&path);
    let one = single(9, "one");
    let first = accept(&mempool, one.clone(), 50);
    let again = accept(&mempool, one.clone(), 50);
    assert_eq!((first.hash, first.is_known, again.hash, again.is_known), (again.hash, false, first.hash, true));
    assert_eq!(accept(&mempool, one.clone(), 10).expires, 50, "an earlier end changes nothing");
    assert_eq!(accept(&mempool, one.clone(), 60).expires, 60, "a later one counts");
    assert_eq!(mempool.len(), 1);
    mempool.finalized(1, &block(&mempool, 1));
    assert!(accept(&mempool, one.clone(), 50).is_known);
    assert_eq!((mempool.len(), state(&mempool, &one)), (0, SubmissionState::Final));
}

#[test]
fn what_expired_is_never_offered_and_said_to_be_expired() {
    let (_directory, path) = file();
    let mempool = open(&path);
    let (short, long, bundle) = (single(9, "short"), single(9, "long"), pair("a", "b"));
    accept(&mempool, short.clone(), 2);
    accept(&mempool, bundle.clone(), 2);
    accept(&mempool, long.clone(), 3);
    assert_eq!(block(&mempool, 2).transaction_count(), 4, "at its last height it may still stand");
    assert_eq!(block(&mempool, 3).transaction_count(), 1, "although heights 1 and 2 are not final yet");
    mempool.finalized(1, &Payload::default());
    assert_eq!(state(&mempool, &short), SubmissionState::Pending);
    mempool.finalized(2, &Payload::default());
    for submission in [&short, &bundle] {
        let told = status(&mempool, submission);
        assert_eq!((told.state, told.expires), (SubmissionState::Expired, Some(2)));
    }
    assert_eq!((mempool.len(), state(&mempool, &long)), (1, SubmissionState::Pending));
    drop(mempool);
    let mempool = open(&path);
    assert_eq!(state(&mempool, &short), SubmissionState::Expired, "and after a restart, too");
    assert_eq!(mempool.len(), 1);
    assert!(!accept(&mempool, short.clone(), 9).is_known, "submitted again, it is a new one");
    assert_eq!(state(&mempool, &short), SubmissionState::Pending);
}

#[test]
fn what_the_application_refuses_is_told_as_rejected() {
    let (_directory, path) = file();
    let mempool = open(&path);
    let one = single(1, "one");
    accept(&mempool, one.clone(), 50);
    mempool.reject(&[hash(&one)]);
    assert_eq!((mempool.len(), state(&mempool, &one)), (0, SubmissionState::Rejected));
    drop(mempool);
    let mempool = open(&path);
    assert_eq!((mempool.len(), state(&mempool, &one)), (0, SubmissionState::Rejected));
}

#[test]
fn a_restart_keeps_what_waits_in_its_order_and_nothing_that_is_final() {
    let (_directory, path) = file();
    let mempool = open(&path);
    let gone = single(9, "gone");
    accept(&mempool, gone.clone(), 50);
    mempool.finalized(1, &block(&mempool, 1));
    for name in ["c", "a", "b"] {
        accept(&mempool, single(9, name), 50);
    }
    accept(&mempool, pair("x", "y"), 50);
    mempool.submit(9, "volatile".into()).unwrap();
    drop(mempool);
    for run in 0..2 {
        let mempool = open(&path);
        let offered = mempool.candidates(&HashSet::new(), 1 << 20, 2);
        let expected = [Entry::new(5, ["x".into()]), Entry::new(9, ["c", "a", "b", "y"].map(bytes::Bytes::from))];
        assert_eq!(offered.entries, expected, "run {run}");
        assert_eq!(offered.bundles.len(), 1);
    }
}

#[test]
fn a_file_cut_off_at_any_byte_keeps_every_record_before_it() {
    let (_directory, path) = file();
    let mempool = open(&path);
    let empty = std::fs::read(&path).unwrap().len();
    let mut ends = vec![empty];
    for submission in [single(9, "one"), pair("a", "bb"), single(3, "three")] {
        accept(&mempool, submission, 50);
        ends.push(std::fs::read(&path).unwrap().len());
    }
    mempool.close();
    let whole = std::fs::read(&path).unwrap();
    let all = Journal::read(&path, &GENESIS).unwrap();
    assert_eq!(all.len(), 3);
    for length in empty..=whole.len() {
        for tail in [&[][..], &[0; 40], &[0xff; 40]] {
            std::fs::write(&path, [&whole[..length], tail].concat()).unwrap();
            let kept = ends.iter().filter(|end| **end <= length).count() - 1;
            assert_eq!(Journal::read(&path, &GENESIS).unwrap(), all[..kept], "{length} bytes and {} more", tail.len());
        }
    }
    for length in 0..empty {
        std::fs::write(&path, &whole[..length]).unwrap();
        // The header is on the disk before the file has its name.
        assert!(Journal::read(&path, &GENESIS).is_err(), "{length} bytes");
    }
}

#[test]
fn no_changed_byte_goes_unnoticed() {
    let (_directory, path) = file();
    let mempool = open(&path);
    for submission in [single(9, "one"), pair("a", "bb")] {
        accept(&mempool, submission, 50);
    }
    mempool.close();
    let whole = std::fs::read(&path).unwrap();
    let all = Journal::read(&path, &GENESIS).unwrap();
    for place in 0..whole.len() {
        let mut changed = whole.clone();
        changed[place] ^= 1;
        std::fs::write(&path, changed).unwrap();
        if let Ok(records) = Journal::read(&path, &GENESIS) {
            assert!(records.len() < all.len() && all.starts_with(&records), "byte {place}");
        }
    }
}

#[test]
fn a_journal_of_another_network_is_refused() {
    let (_directory, path) = file();
    open(&path).close();
    assert!(matches!(Journal::read(&path, &[8; 32]), Err(JournalError::Genesis { .. })));
}

#[test]
fn after_a_failed_write_everything_that_waits_is_written_anew() {
    let (directory, path) = file();
    let mempool = open(&path);
    accept(&mempool, single(9, "before"), 50);
    // A directory where the second file must be created makes every rewriting fail.
    let hurdle = directory.path().join("submissions.new");
    std::fs::create_dir(&hurdle).unwrap();
    let mut appender = super::journal::testing::full_disk(&path, GENESIS, mempool.snapshot());
    assert!(appender(&[accepted(50, single(9, "lost"))]).is_err(), "no space");
    assert!(appender(&[accepted(50, single(9, "lost"))]).is_err(), "and no new file");
    std::fs::remove_dir(&hurdle).unwrap();
    appender(&[]).unwrap();
    assert_eq!(Journal::read(&path, &GENESIS).unwrap(), [accepted(50, single(9, "before"))]);
}

#[test]
fn a_closed_journal_acknowledges_nothing() {
    let (_directory, path) = file();
    let mempool = open(&path);
    mempool.close();
    let (_, written) = mempool.accept(vec![single(9, "late").check()], Lifetime::default());
    assert!(written.unwrap().blocking_recv().is_err());
    assert_eq!(Journal::read(&path, &GENESIS).unwrap(), []);
}

#[test]
fn the_copies_of_many_groups_are_all_on_the_disk_when_told() {
    let (_directory, path) = file();
    let mempool = open(&path);
    let told: Vec<_> = (1..=200)
        .map(|number| mempool.accept(vec![single(number, "t").check()], Lifetime::default()).1.unwrap())
        .collect();
    for written in told {
        written.blocking_recv().unwrap().unwrap();
    }
    assert_eq!(Journal::read(&path, &GENESIS).unwrap().len(), 200);
}

#[test]
fn records_read_back_and_nothing_else_does() {
    let records = [
        accepted(u64::MAX, single(u64::MAX, "t")),
        accepted(1, pair("a", "bb")),
        Record::Ended { hash: [1; 32], how: Ended::Final, height: 3 },
        Record::Ended { hash: [2; 32], how: Ended::Expired, height: 4 },
        Record::Ended { hash: [3; 32], how: Ended::Rejected, height: 5 },
    ];
    for record in records {
        let mut bytes = bytes::BytesMut::new();
        record.write(&mut bytes);
        assert_eq!(bytes.len(), record.bytes());
        for length in 0..bytes.len() {
            assert_eq!(Record::read(bytes::Bytes::copy_from_slice(&bytes[..length])), None);
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Record::read(longer.into()), None);
        assert_eq!(Record::read(bytes.freeze()), Some(record));
    }
}

#[test]
fn hand_over_repeats_until_every_other_has_it() {
    let (_directory, path) = file();
    let mempool = open(&path);
    let one = single(9, "one");
    accept(&mempool, one.clone(), 50);
    mempool.submit(9, "volatile".into()).unwrap();
    let handed = |round| mempool.to_hand_over(round).len();
    assert_eq!((handed(0), handed(0)), (1, 0), "once in a round");
    assert_eq!([1, 2, 3, 4, 5, 6, 7].map(handed), [1, 0, 1, 0, 0, 0, 1], "more and more rarely");
    let (own, committee) = (crate::testing::keys(1).consensus.public_key(), crate::testing::committee());
    let others = committee.participants().iter().enumerate().filter(|(_, key)| **key != own);
    let [first, second, third] = others.map(|(member, _)| member).collect::<Vec<_>>().try_into().unwrap();
    mempool.held_by(first, &[hash(&one)]);
    mempool.held_by(second, &[hash(&one), [9; 32]]);
    assert_eq!(status(&mempool, &one).copies, Some(3));
    assert_eq!(handed(1_000), 1);
    mempool.held_by(third, &[hash(&one)]);
    assert_eq!((handed(10_000), status(&mempool, &one).copies), (0, Some(4)));
    accept(&mempool, one.clone(), 60);
    assert_eq!(handed(10_000), 1, "a later end is handed over, too");
}

#[test]
fn what_a_peer_accepted_is_kept_with_its_end_and_not_handed_on() {
    let (_directory, path) = file();
    let mempool = open(&path);
    let (one, endless) = (single(9, "one"), single(9, "endless"));
    let offered = vec![(one.clone().check(), 5), (endless.clone().check(), u64::MAX)];
    let (receipts, written) = mempool.accept_from_peer(offered);
    assert!(receipts.iter().all(Result::is_ok));
    written.unwrap().blocking_recv().unwrap().unwrap();
    assert_eq!(status(&mempool, &one).expires, Some(5));
    assert_eq!(status(&mempool, &endless).expires, Some(crate::limits::LIFETIME_BLOCKS_MAX));
    assert!(mempool.to_hand_over(0).is_empty());
    drop(mempool);
    assert_eq!(open(&path).len(), 2);
}

#[test]
fn a_lifetime_is_within_its_limits() {
    use crate::limits::LIFETIME_BLOCKS_MAX;
    assert_eq!((Lifetime::new(0), Lifetime::new(LIFETIME_BLOCKS_MAX + 1)), (None, None));
    assert_eq!(Lifetime::new(LIFETIME_BLOCKS_MAX).unwrap().blocks(), LIFETIME_BLOCKS_MAX);
}

#[test]
fn the_newest_two_full_blocks_are_always_remembered() {
    let full = |tag: u8| {
        let payload = |number: usize| [&[tag][..], &(number as u32).to_be_bytes()[1..]].concat().into();
        let entries = vec![Entry::new(9, (0..TRANSACTIONS_MAX).map(payload))];
        Payload::new(Content { entries, bundles: vec![] }).unwrap()
    };
    let mut finals = Finals::default();
    let blocks: Vec<Payload> = (1..=5).map(full).collect();
    for (payload, height) in blocks.iter().zip(1..) {
        finals.insert(height, places(payload));
        finals.insert(height, places(payload));
        assert!(finals.len() <= 3 * TRANSACTIONS_MAX);
    }
    assert_eq!(finals.since(), 3);
    let last = |payload: &Payload| payload.entries()[0].hashes().last().unwrap();
    for (payload, height) in blocks.iter().zip(1u64..) {
        assert_eq!(finals.contains(&last(payload)), height >= 3, "height {height}");
    }
    let index = TRANSACTIONS_MAX as u32 - 1;
    assert_eq!(finals.place(&last(&blocks[4])), Some((5, finals::Place::Transaction(9, index))));
}

#[test]
fn what_other_validators_accepted_leaves_half_of_the_room() {
    let (_directory, path) = file();
    let mempool = open(&path);
    let limits = Limits::default();
    let from_peer = |number: u64, count: usize| {
        let offered = (0..count).map(|index| (single(number, &format!("{index}")).check(), 50)).collect();
        mempool.accept_from_peer(offered).0.into_iter().filter(Result::is_ok).count()
    };
    let taken: usize = (1..=4).map(|namespace| from_peer(namespace, limits.namespace_transactions)).sum();
    assert_eq!(taken, limits.transactions / 2);
    // Users of this validator still find room, and what leaves makes room for peers again.
    accept(&mempool, single(77, "own"), 50);
    let content = mempool.candidates(&HashSet::new(), 1 << 16, 1);
    let payload = Payload::new(content).unwrap();
    let ordered = payload.transaction_count();
    mempool.finalized(1, &payload);
    assert!(ordered > 1);
    assert_eq!(from_peer(5, limits.namespace_transactions), ordered - 1, "all but the own one were of peers");
}
