//! What the stake makes of the blocks of a running network.

use crate::cluster::{Cluster, PATIENCE};
use bytes::Bytes;
use protocol::api::StakeFinality;
use sequencer::finality::Tracker;
use sequencer::{Block, SYSTEM, Sequencer, SubmitError};

/// Waits until a validator says so of its finality.
fn wait_until(sequencer: &Sequencer, wanted: impl Fn(&StakeFinality) -> bool) -> StakeFinality {
    let mut finality = sequencer.finality();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let found = runtime.block_on(async {
        let reached = tokio::time::timeout(PATIENCE, finality.wait_for(|now| wanted(now))).await;
        reached.map(|now| now.map(|now| now.clone()))
    });
    match found {
        Ok(Ok(finality)) => finality,
        other => panic!("{other:?}: {:?} {:?}", sequencer.status(), sequencer.failure()),
    }
}

fn finalized(sequencer: &Sequencer, epoch: u64) -> StakeFinality {
    wait_until(sequencer, |finality| finality.finalized.epoch >= epoch)
}

/// Target epochs that a guard has on record, in order.
fn targets(cluster: &Cluster, seat: usize) -> Vec<u64> {
    let export: serde_json::Value = serde_json::from_str(&cluster.guard(seat).export()).unwrap();
    let signed = export["data"][0]["signed_attestations"].as_array().cloned().unwrap_or_default();
    signed.iter().map(|vote| vote["target_epoch"].as_str().unwrap().parse().unwrap()).collect()
}

/// Finality as somebody computes it who has nothing but blocks.
fn track(cluster: &Cluster, blocks: &[Block]) -> Tracker {
    let mut tracker = Tracker::genesis(&cluster.committee, &cluster.genesis(), cluster.epoch_blocks).unwrap();
    for block in blocks {
        tracker.apply(block, block.digest(), None).unwrap();
    }
    tracker
}

#[test]
fn checkpoints_are_finalised_two_epochs_after_their_block() {
    let cluster = Cluster::start(4, 20);
    for seat in 0..4 {
        let steady = |now: &StakeFinality| now.finalized.epoch >= 2 && now.finalized.epoch + 2 == now.epoch;
        let finality = wait_until(cluster.seat(seat), steady);
        assert_eq!(finality.finalized.height, finality.finalized.epoch * cluster.epoch_blocks);
        assert_eq!((finality.validators, finality.justified.epoch), (4, finality.finalized.epoch + 1));
    }
}

#[test]
fn everybody_computes_the_same_from_the_blocks_of_anybody() {
    let cluster = Cluster::start(4, 20);
    for seat in 0..4 {
        finalized(cluster.seat(seat), 3);
    }
    let chains: Vec<Vec<Block>> = [0, 3].map(|seat| cluster.follow(seat, 1)).into();
    let common = chains[0].len().min(chains[1].len());
    let [one, other] = [0, 1].map(|chain| track(&cluster, &chains[chain][..common]));
    assert_eq!((one.finality(), one.state().commitment()), (other.finality(), other.state().commitment()));
    assert!(one.finality().finalized.epoch >= 3 - 1, "{:?}", one.finality());
    // A node that starts from what another one has kept goes on alike.
    let epoch = one.finality().epoch - 1;
    let kept = cluster.seat(2).checkpoint(epoch).unwrap().unwrap();
    let mut late = Tracker::resume(&kept).unwrap();
    for block in &chains[0][late.height() as usize..common] {
        late.apply(block, block.digest(), None).unwrap();
    }
    assert_eq!(late.state().commitment(), one.state().commitment());
}

#[test]
fn three_of_four_finalise_without_the_fourth() {
    let mut cluster = Cluster::new(4, 20);
    (0..3).for_each(|seat| cluster.start_seat(seat));
    let finality = finalized(cluster.seat(1), 2);
    assert_eq!(finality.validators, 4);
}

#[test]
fn a_validator_that_was_killed_goes_on_voting_and_never_votes_twice() {
    let mut cluster = Cluster::start(4, 20);
    for round in 1..4 {
        finalized(cluster.seat(3), 2 * round);
        let before = targets(&cluster, 3);
        cluster.stop_seat(3);
        cluster.open_guard(3);
        // It may have signed one more before it stopped.
        let kept = targets(&cluster, 3);
        assert!(kept.starts_with(&before), "what was signed is on the disk: {kept:?}, before {before:?}");
        cluster.start_seat(3);
        wait_until(cluster.seat(3), |now| now.epoch > before.last().copied().unwrap_or(0) + 2);
    }
    let signed = targets(&cluster, 3);
    assert!(signed.windows(2).all(|pair| pair[0] < pair[1]), "one vote for a target: {signed:?}");
    assert!(signed.len() > 6, "{signed:?}");
    assert!((0..4).all(|seat| cluster.seat(seat).status().evidence == 0), "nobody saw two votes of one validator");
}

#[test]
fn finality_is_restored_from_disk_with_all_validators_down() {
    let mut cluster = Cluster::start(4, 20);
    let before = finalized(cluster.seat(0), 3);
    cluster.stop_all();
    (0..4).for_each(|seat| cluster.start_seat(seat));
    let after = cluster.seat(0).status().finality;
    assert!(after.finalized.epoch >= before.finalized.epoch, "{after:?} {before:?}");
    finalized(cluster.seat(2), after.finalized.epoch + 2);
}

#[test]
fn users_cannot_write_into_the_namespace_of_the_protocol() {
    let cluster = Cluster::start(1, 20);
    let (sequencer, junk) = (cluster.seat(0), Bytes::from_static(b"junk"));
    assert_eq!(sequencer.submit(SYSTEM, junk.clone()), Err(SubmitError::Reserved));
    assert_eq!(sequencer.submit_bundle(vec![(7, junk.clone()), (SYSTEM, junk)]), Err(SubmitError::Reserved));
}

#[test]
fn one_validator_alone_finalises_too() {
    let cluster = Cluster::start(1, 10);
    finalized(cluster.seat(0), 2);
}
