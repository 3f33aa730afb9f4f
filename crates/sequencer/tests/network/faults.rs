//! What remains when validators stop, lie or break.

use crate::cluster::{Cluster, PATIENCE};
use sequencer::Application as _;
use std::sync::atomic::Ordering;

#[test]
fn one_stopped_validator_of_four_does_not_stop_the_chain() {
    let mut cluster = Cluster::start(4, 20);
    cluster.wait_for(3);
    cluster.stop_seat(2);
    let height = cluster.seat(0).height();
    cluster.wait_for(height + 12);
    let chain = cluster.follow(0, 1);
    let proposers: Vec<u32> = chain[height as usize + 2..].iter().map(|b| cluster.committee.proposer(b.view)).collect();
    assert!(!proposers.contains(&2), "a stopped validator proposes nothing");
}

#[test]
fn a_restarted_validator_catches_up_with_what_it_missed() {
    let mut cluster = Cluster::start(4, 20);
    cluster.wait_for(3);
    cluster.stop_seat(1);
    let missed = cluster.recorders[1].finalized_height();
    let height = cluster.seat(0).height() + 10;
    cluster.wait_for(height);
    cluster.start_seat(1);
    cluster.wait_for(height + 2);
    assert!(cluster.recorders[1].finalized_height() > missed);
    let height = height as usize;
    assert_eq!(cluster.follow(1, 1)[..height], cluster.follow(0, 1)[..height]);
}

#[test]
fn a_chain_without_a_quorum_goes_on_when_one_returns() {
    let mut cluster = Cluster::start(4, 20);
    cluster.wait_for(3);
    cluster.stop_seat(0);
    cluster.stop_seat(1);
    cluster.start_seat(0);
    let height = cluster.seat(2).height();
    cluster.wait_for(height + 3);
    assert_eq!(cluster.follow(0, 1)[..3], cluster.follow(2, 1)[..3]);
}

#[test]
fn a_block_that_the_application_refuses_is_never_final() {
    let cluster = Cluster::start(4, 20);
    cluster.recorders[0].corrupt.store(true, Ordering::SeqCst);
    cluster.wait_for(2);
    let refused = || cluster.recorders[1..].iter().map(|r| r.refused.load(Ordering::SeqCst)).sum::<u64>();
    let mut height = cluster.seat(1).height();
    while refused() < 2 {
        height += 1;
        cluster.wait_for(height);
    }
    cluster.wait_for(height + 4);
    let poisoned = cluster
        .follow(1, 1)
        .iter()
        .flat_map(|block| block.payload.entries())
        .any(|entry| entry.payloads().any(|payload| payload == crate::cluster::POISON));
    assert!(!poisoned);
    assert_eq!(cluster.seat(1).status().evidence, 0, "a bad block is not equivocation");
}

#[test]
fn an_application_that_cannot_take_a_block_stops_its_validator_and_says_why() {
    let cluster = Cluster::start(1, 20);
    cluster.wait_for(1);
    cluster.recorders[0].broken.store(true, Ordering::SeqCst);
    let sequencer = cluster.seat(0).clone();
    let mut failed = sequencer.failed();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let reason = runtime.block_on(async {
        let reason = tokio::time::timeout(PATIENCE, failed.wait_for(Option::is_some)).await.unwrap().unwrap().clone();
        sequencer.clone().stop().await;
        reason
    });
    assert!(reason.unwrap().contains("disk on fire"));
    assert!(!sequencer.is_running());
    assert!(sequencer.finalized(1, 1).is_err());
    assert!(sequencer.submit(1, "late".into()).is_err());
}
