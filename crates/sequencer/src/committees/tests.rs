use super::*;
use crate::content::{Content, Entry};
use crate::history::History;
use crate::payload::Payload;
use crate::system::SYSTEM;
use crate::testing::{CHAIN_ID, committee, genesis, keys};

/// Blocks of an epoch.
const EPOCH_BLOCKS: u64 = 4;

fn validators(seats: std::ops::Range<u64>) -> Vec<Validator> {
    seats.map(|seat| keys(seat).validator(format!("127.0.0.1:{}", 9000 + seat), "http://127.0.0.1:1".into())).collect()
}

fn schedule() -> Schedule {
    Schedule::new(committee(), EPOCH_BLOCKS)
}

fn announcement(first: u64, seats: std::ops::Range<u64>) -> Announcement {
    Announcement { first, validators: validators(seats) }
}

/// A block of `height` that carries an announcement after those in `schedule`.
fn block(schedule: &Schedule, height: u64, announcement: Announcement) -> Block {
    let committees = schedule.root_for(height, true);
    let system = System { committee: Some(announcement), committees, ..System::default() };
    let entries = vec![Entry::new(SYSTEM, system.encode())];
    let payload = Payload::new(Content { entries, bundles: vec![] }).unwrap();
    Block { height, payload, ..genesis() }
}

/// Committees of 0..4, from 12 on 1..6, from 16 on 2..6.
fn changing() -> Schedule {
    let mut schedule = schedule();
    assert!(schedule.apply(&block(&schedule, 5, announcement(12, 1..6))));
    assert!(schedule.apply(&block(&schedule, 9, announcement(16, 2..6))));
    schedule
}

#[test]
fn blocks_that_open_epochs_or_announce_name_all_committees_before_them() {
    let (none, both) = (schedule(), changing());
    assert_eq!([4, 5, 8].map(|height| none.root_for(height, true)), [None; 3], "the first one is in the network file");
    let root = both.root_for(12, false);
    assert!(root.is_some() && root == both.root_for(13, true));
    assert_eq!([11, 13].map(|height| both.root_for(height, false)), [None; 2]);
    let mut one = schedule();
    one.apply(&block(&one, 5, announcement(12, 1..6)));
    assert_ne!(one.root_for(12, false), root);
    let mut other = schedule();
    other.apply(&block(&other, 5, announcement(12, 1..7)));
    other.apply(&block(&other, 9, announcement(16, 2..6)));
    assert_ne!(other.root_for(12, false), root, "an earlier one differs");
    assert_eq!(both.until(8).root_for(12, false), one.root_for(12, false));
}

#[test]
fn an_announcement_after_one_that_is_not_known_is_no_committee_but_a_gap() {
    let (mut schedule, whole) = (schedule(), changing());
    let first = block(&schedule, 5, announcement(12, 1..6));
    let second = block(&whole.until(5), 9, announcement(16, 2..6));
    assert_eq!(schedule.take(&second), Err(AnnouncementRefusal::Missing { height: 9, known: 0 }));
    assert!(!schedule.apply(&second));
    assert_eq!(schedule.terms().len(), 1, "nothing is numbered wrongly");
    assert_eq!((schedule.take(&first), schedule.take(&second)), (Ok(true), Ok(true)));
    assert_eq!((schedule.take(&first), schedule.take(&genesis())), (Ok(false), Ok(false)));
    assert_eq!(schedule.last().root, whole.last().root);
}

#[test]
fn each_committee_orders_the_heights_up_to_the_next_one() {
    let schedule = changing();
    let sizes = |height: u64| schedule.at(height).committee.size();
    assert_eq!([0, 1, 11, 12, 15, 16, u64::MAX].map(sizes), [4, 4, 4, 5, 5, 4, 4]);
    assert_eq!([11, 12, 13, 16].map(|height| schedule.begins(height)), [false, true, false, true]);
    let numbers: Vec<u64> = schedule.terms().iter().map(|term| term.committee.epoch().get()).collect();
    assert_eq!(numbers, [0, 1, 2]);
}

#[test]
fn only_the_block_after_an_opening_one_announces_and_two_epochs_ahead() {
    let schedule = schedule();
    assert_eq!([0, 1, 4, 5, 6].map(|height| schedule.first_if_announced(height)), [None, None, None, Some(12), None]);
    assert_eq!(schedule.first_if_announced(u64::MAX), None);
    let check = |height, first, seats| schedule.check(height, &announcement(first, seats)).err();
    assert_eq!(check(5, 12, 1..5), None);
    assert_eq!(check(6, 12, 1..5), Some(AnnouncementRefusal::Place { height: 6 }));
    assert_eq!(check(1, 8, 1..5), Some(AnnouncementRefusal::Place { height: 1 }));
    assert_eq!(check(5, 8, 1..5), Some(AnnouncementRefusal::First { height: 5, first: 8, expected: 12 }));
    assert_eq!(check(5, 12, 0..0), Some(AnnouncementRefusal::Committee(CommitteeError::Size(0))));
    let same = Announcement { first: 12, validators: committee().validators().to_vec() };
    assert_eq!(schedule.check(5, &same).err(), Some(AnnouncementRefusal::Same { height: 5 }));
}

#[test]
fn a_final_block_with_a_false_announcement_and_one_taken_twice_change_nothing() {
    let mut schedule = changing();
    assert!(!schedule.apply(&block(&schedule, 5, announcement(12, 1..6))), "taken before");
    assert!(!schedule.apply(&block(&schedule, 13, announcement(21, 1..6))), "false height");
    let mut doubled = announcement(20, 1..6);
    doubled.validators[1] = doubled.validators[0].clone();
    assert!(!schedule.apply(&block(&schedule, 13, doubled)), "no committee");
    assert_eq!(schedule.terms().len(), 3);
}

#[test]
fn what_is_due_is_what_the_application_names_if_it_is_new_and_possible() {
    let schedule = schedule();
    let parent = |height: u64| Block { height, ..genesis() };
    let due = |height: u64, seats: Option<Vec<Validator>>| Committees::due(&schedule, &parent(height), seats);
    assert_eq!(due(4, Some(validators(1..5))), Some(announcement(12, 1..5)));
    assert_eq!(due(5, Some(validators(1..5))), None, "not after this parent");
    assert_eq!(due(4, None), None);
    assert_eq!(due(4, Some(committee().validators().to_vec())), None, "nothing changes");
    assert_eq!(due(4, Some(vec![])), None, "no committee");
    let mut long = validators(1..5);
    long[0].api = "x".repeat(129);
    assert_eq!(due(4, Some(long)), None, "no encoding");
}

#[test]
fn announcements_decode_to_what_was_encoded_and_nothing_else_does() {
    let announcement = announcement(12, 0..3);
    let bytes = announcement.encode().unwrap();
    assert!(bytes.len() < ANNOUNCEMENT_BYTES_MAX);
    assert_eq!(Announcement::decode(&bytes), Ok(announcement));
    for length in 0..bytes.len() {
        assert_eq!(Announcement::decode(&bytes[..length]), Err(AnnouncementError(length)));
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(Announcement::decode(&longer), Err(AnnouncementError(longer.len())));
    let many = [&12u64.to_be_bytes()[..], &257u16.to_be_bytes()].concat();
    assert_eq!(Announcement::decode(&many), Err(AnnouncementError(10)));
}

#[test]
fn blocks_that_are_not_final_yet_count_for_their_children() {
    let committees = Committees::new(schedule());
    let announcing = Arc::new(block(&schedule(), 5, announcement(12, 1..6)));
    assert_eq!(committees.after(std::slice::from_ref(&announcing)).terms().len(), 2);
    assert_eq!(committees.now().terms().len(), 1, "and for nobody else");
    assert!(committees.apply(&announcing));
    assert_eq!(committees.now().terms().len(), 2);
}

#[test]
fn consensus_epochs_are_contiguous_and_the_last_has_no_end() {
    let committees = Committees::new(changing());
    let bounds = |epoch: u64| (committees.first(Epoch::new(epoch)), committees.last(Epoch::new(epoch)));
    let heights = |first: u64, last: u64| (Some(Height::new(first)), Some(Height::new(last)));
    assert_eq!([0, 1, 2].map(bounds), [heights(0, 11), heights(12, 15), heights(16, u64::MAX)]);
    assert_eq!(bounds(3), (None, None));
    for height in [0, 11, 12, 15, 16] {
        let info = committees.containing(Height::new(height)).unwrap();
        assert!(info.first().get() <= height && height <= info.last().get());
    }
}

#[test]
fn a_laggard_asks_only_for_what_its_own_committee_makes_final() {
    let schedule = changing();
    assert_eq!(schedule.surely_of(Epoch::zero(), 9), 11, "known to end");
    // The block that is missing may announce: from height 17, committee 4 begins at 24.
    assert_eq!(schedule.surely_of(Epoch::new(2), 17), 23);
}

#[test]
fn peers_are_those_of_the_last_committee_of_this_one_and_of_those_announced() {
    let schedule = changing();
    let seats = |height, max| schedule.peers(height, max).len();
    assert_eq!([seats(3, 99), seats(13, 99), seats(15, 99), seats(40, 99)], [6, 6, 5, 5]);
    let newest: Vec<_> = schedule.peers(3, 4).into_keys().collect();
    let own: Vec<_> = schedule.last().committee.participants().iter().cloned().collect();
    assert_eq!(newest, own, "the newest first");
}

#[test]
fn a_chain_names_its_committees_by_itself() {
    let other = Committee::new(&validators(0..4), CHAIN_ID + 1).unwrap();
    let next = Schedule::new(other, EPOCH_BLOCKS).check(5, &announcement(12, 1..5)).unwrap();
    assert_eq!(next.committee.chain_id(), CHAIN_ID + 1);
    assert_eq!(next.committee.epoch(), Epoch::new(1));
}

#[test]
fn seats_that_the_application_named_are_kept_until_a_later_checkpoint_is_final() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.redb");
    let names = |candidates: &Candidates| [1, 2, 3, 4, 5].map(|epoch| candidates.of(epoch).map(|seats| seats.len()));
    {
        let history = Arc::new(History::open(&path).unwrap());
        let candidates = Candidates::open(history.clone()).unwrap();
        candidates.keep(2, 0, validators(0..4));
        candidates.keep(3, 0, validators(0..4));
        candidates.keep(4, 0, validators(0..5));
        assert_eq!(names(&candidates), [None, Some(4), Some(4), Some(5), Some(5)]);
        history.put_announcement(9);
        history.commit().unwrap();
    }
    let history = Arc::new(History::open(&path).unwrap());
    assert_eq!(history.announcements().unwrap(), [9]);
    let candidates = Candidates::open(history.clone()).unwrap();
    assert_eq!(names(&candidates), [None, Some(4), Some(4), Some(5), Some(5)], "after a restart");
    candidates.keep(5, 4, validators(0..3));
    assert_eq!(names(&candidates), [None, None, None, Some(5), Some(3)], "epoch 4 is final");
    history.commit().unwrap();
    assert_eq!(history.candidates().unwrap().len(), 2);
}
