//! A validator that begins from what another one keeps, which has pruned most of it.

use crate::cluster::{Cluster, PATIENCE, wait_for};
use proof::checkpoint::Point;
use sequencer::committees::Term;
use sequencer::transfer::{self, Begin, Head, Origin, Transferred};
use sequencer::{Application as _, Block, FinalizedError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Waits for more blocks of a seat until something holds.
fn until(cluster: &Cluster, seat: usize, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < 4 * PATIENCE, "at height {}", cluster.seat(seat).height());
        wait_for(cluster.seat(seat), cluster.seat(seat).height() + 1);
    }
}

/// The committee with this number, once a seat knows it.
fn term(cluster: &Cluster, seat: usize, number: usize) -> Term {
    until(cluster, seat, || cluster.seat(seat).committees().terms().len() > number);
    cluster.seat(seat).committees().terms()[number].clone()
}

/// Hands what a stopped validator keeps, and its application, to one that never ran.
fn hand_over(cluster: &Cluster, from: usize, to: usize) -> Transferred {
    let (genesis, blocks) = (cluster.genesis(), cluster.recorders[from].blocks());
    let (height, newest) = blocks.last_key_value().unwrap();
    let origin = Origin {
        genesis: &genesis,
        committee: &cluster.committee,
        epoch_blocks: cluster.epoch_blocks,
        has_lane: cluster.lane.is_some(),
    };
    let file = cluster.directory(from).with_extension("snapshot");
    let written = transfer::export(&cluster.directory(from), &file, origin, *height).unwrap();
    blocks.values().for_each(|block| cluster.recorders[to].finalized(block).unwrap());
    let head = Head { height: *height, hash: newest.digest(), hash_of: Block::digest };
    let trusted = Point { epoch: written.epoch, root: written.root.into() };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    transfer::import(&file, &cluster.directory(to), Begin { origin, trusted, head }, now).unwrap()
}

#[test]
fn a_validator_begins_where_the_last_block_of_the_committee_before_is_pruned_and_is_needed_then() {
    let mut cluster = Cluster::with_waiting(1, 2, 0);
    cluster.epoch_blocks = 4;
    cluster.retention = Some(Duration::from_millis(1));
    [0, 1].into_iter().for_each(|seat| cluster.start_seat(seat));
    cluster.name_seats(&[1]);
    let second = term(&cluster, 0, 1);
    // Nobody is connected to it until it knows that it is announced.
    wait_for(cluster.seat(0), second.first - 1);
    cluster.seat(1).take(&cluster.pages(0, 1)).unwrap();
    wait_for(cluster.seat(1), second.first);
    until(&cluster, 1, || cluster.seat(1).oldest() > second.first + 8);
    cluster.stop_all();

    let moved = hand_over(&cluster, 1, 2);
    assert!(moved.first > second.first + 8, "{moved:?}");
    (0..3).for_each(|seat| cluster.start_seat(seat));
    let begun = cluster.seat(2);
    let (floor, before) = (second.first - 1, moved.first - 1);
    assert_eq!(begun.header(floor).unwrap(), cluster.seat(1).header(floor).unwrap());
    assert!(matches!(begun.block(before), Err(FinalizedError::Pruned { .. })));
    assert!(begun.header(before).unwrap().is_none(), "that was never here");

    cluster.name_seats(&[1, 2]);
    let third = term(&cluster, 1, 2);
    // From there on nothing goes on without the new one.
    wait_for(cluster.seat(1), third.first - 1);
    let missed = cluster.pages(1, cluster.seat(2).height() + 1);
    cluster.seat(2).take(&missed).unwrap();
    [1, 2].into_iter().for_each(|seat| wait_for(cluster.seat(seat), third.first + 8));
    assert_eq!(cluster.seat(2).seat(), Some(1));
}
