//! The committee changes while the network runs: validators join, leave, change their keys, and are stopped meanwhile.

use crate::cluster::{Cluster, PATIENCE, wait_for};
use sequencer::committees::Term;
use sequencer::{Sequencer, TakeError};
use std::collections::BTreeSet;

/// Four validators and one that waits, all running, in short epochs.
fn network() -> Cluster {
    let mut cluster = Cluster::with_waiting(4, 1, 20);
    cluster.epoch_blocks = 4;
    (0..5).for_each(|number| cluster.start_seat(number));
    cluster
}

/// Waits until a validator knows `count` committees; returns the last one.
fn committee(sequencer: &Sequencer, count: usize) -> Term {
    let mut heights = sequencer.heights();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let known = runtime.block_on(async {
        tokio::time::timeout(PATIENCE, heights.wait_for(|_| sequencer.committees().terms().len() >= count))
            .await
            .is_ok()
    });
    assert!(known, "{count} committees, knows {:?}, {:?}", sequencer.committees().terms(), sequencer.failure());
    sequencer.committees().terms()[count - 1].clone()
}

/// Waits until these validators are at `height`.
fn reach(cluster: &Cluster, seats: &[usize], height: u64) {
    seats.iter().for_each(|seat| wait_for(cluster.seat(*seat), height));
}

/// Who proposed the blocks of a committee, by the numbers of its seats, checked as a follower would from genesis on.
fn proposers(cluster: &Cluster, seat: usize, term: &Term) -> BTreeSet<u32> {
    let blocks = cluster.follow(seat, 1);
    let own = blocks.iter().filter(|block| block.height >= term.first);
    own.map(|block| term.committee.proposer(block.view)).collect()
}

/// The same block at every height, wherever there is one.
fn agree(cluster: &Cluster, seats: &[usize]) {
    let histories: Vec<_> = seats.iter().map(|seat| cluster.recorders[*seat].blocks()).collect();
    for history in &histories {
        for (height, block) in history {
            assert_eq!(histories[0].get(height).unwrap_or(block), block, "height {height}");
        }
    }
}

#[test]
fn a_validator_joins_a_running_network_and_proposes() {
    let cluster = network();
    wait_for(cluster.seat(0), 5);
    assert_eq!(cluster.seat(4).seat(), None);
    cluster.name_seats(&[0, 1, 2, 3, 4]);
    let term = committee(cluster.seat(0), 2);
    assert_eq!((term.first % 4, term.announced), (0, term.first - 7), "two epochs ahead");
    cluster.wait_for(term.first + 14);
    assert_eq!(cluster.seat(4).seat(), Some(4));
    assert_eq!(proposers(&cluster, 4, &term), BTreeSet::from([0, 1, 2, 3, 4]), "as all others do");
    agree(&cluster, &[0, 1, 2, 3, 4]);
}

#[test]
fn a_validator_without_a_seat_takes_what_others_serve_and_nothing_else() {
    let cluster = network();
    wait_for(cluster.seat(0), 9);
    let pages = cluster.pages(0, 1);
    let waiting = cluster.seat(4);
    assert!(matches!(waiting.take(&pages[1..]), Err(TakeError::Gap { given: 2, wanted: 1 })));
    let mut swapped = pages[..4].to_vec();
    swapped[2].certificate = pages[3].certificate.clone();
    assert!(matches!(waiting.take(&swapped), Err(TakeError::Verify(_))));
    assert_eq!((waiting.height(), waiting.seat()), (0, None));
    waiting.take(&pages[..4]).unwrap();
    waiting.take(&pages).unwrap();
    assert_eq!(waiting.height(), pages.len() as u64);
    cluster.name_seats(&[0, 1, 2, 3, 4]);
    let term = committee(waiting, 2);
    cluster.wait_for(term.first + 8);
    agree(&cluster, &[0, 1, 2, 3, 4]);
    assert_eq!(cluster.follow(4, 1)[..9], cluster.follow(0, 1)[..9]);
}

#[test]
fn a_validator_leaves_and_goes_on_without_a_seat() {
    let mut cluster = network();
    cluster.name_seats(&[0, 1, 2]);
    let term = committee(cluster.seat(3), 2);
    reach(&cluster, &[0, 1, 2, 3], term.first + 10);
    assert_eq!((cluster.seat(3).seat(), cluster.seat(2).seat()), (None, Some(2)));
    assert_eq!(proposers(&cluster, 3, &term), BTreeSet::from([0, 1, 2]));
    cluster.stop_seat(3);
    let height = cluster.seat(0).height();
    reach(&cluster, &[0, 1, 2], height + 8);
    agree(&cluster, &[0, 1, 2, 3]);
}

#[test]
fn a_validator_changes_its_keys() {
    let mut cluster = network();
    cluster.name_seats(&[0, 1, 2, 4]);
    let term = committee(cluster.seat(0), 2);
    wait_for(cluster.seat(4), term.first + 4);
    // The machine with the old keys is switched off: three of four go on, then the new keys are needed.
    cluster.stop_seat(3);
    cluster.stop_seat(2);
    let height = cluster.seat(0).height();
    reach(&cluster, &[0, 1, 4], height + 8);
    assert!(proposers(&cluster, 4, &term).contains(&3), "the seat is that of the new keys");
    agree(&cluster, &[0, 1, 2, 3, 4]);
}

#[test]
fn whoever_misses_the_change_catches_up_and_is_needed_again() {
    let mut cluster = network();
    wait_for(cluster.seat(2), 3);
    cluster.stop_seat(2);
    cluster.name_seats(&[0, 1, 2, 3, 4]);
    let term = committee(cluster.seat(0), 2);
    reach(&cluster, &[0, 1, 3, 4], term.first + 10);
    cluster.start_seat(2);
    assert!(cluster.seat(2).committees().terms().len() < 2, "it was away when the committee was announced");
    wait_for(cluster.seat(2), term.first + 10);
    cluster.stop_seat(1);
    let height = cluster.seat(0).height();
    reach(&cluster, &[0, 2, 3, 4], height + 8);
    agree(&cluster, &[0, 1, 2, 3, 4]);
}

#[test]
fn all_stop_around_the_change_and_go_on_with_the_right_committee() {
    let mut cluster = network();
    cluster.name_seats(&[1, 2, 3, 4]);
    let term = committee(cluster.seat(0), 2);
    for height in [term.announced, term.first - 1, term.first] {
        reach(&cluster, &[1, 2, 3, 4], height);
        cluster.stop_all();
        (0..5).for_each(|seat| cluster.start_seat(seat));
    }
    assert_eq!(committee(cluster.seat(1), 2).first, term.first, "as it was announced");
    cluster.wait_for(term.first + 8);
    assert_eq!(proposers(&cluster, 1, &term), BTreeSet::from([0, 1, 2, 3]));
    agree(&cluster, &[0, 1, 2, 3, 4]);
}
