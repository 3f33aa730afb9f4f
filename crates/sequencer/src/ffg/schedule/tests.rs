use super::super::testing::committee;
use super::*;

/// Sets of one validator each.
fn sets(count: u64) -> Vec<ValidatorSet> {
    (0..count).map(|seed| committee(seed..seed + 1, 1).1).collect()
}

#[test]
fn candidate_comes_into_force_two_epochs_after_it_is_final() {
    let sets = sets(2);
    let mut schedule = Schedule::genesis(0, sets[0].clone());
    schedule.open(1, Some(&sets[1]), [0, 0, 0, 1, 0]).unwrap();
    schedule.open(2, None, [0, 0, 1, 2, 1]).unwrap();
    assert_eq!(schedule.set(4), &sets[0]);
    schedule.open(3, None, [1, 1, 2, 3, 2]).unwrap();
    assert_eq!((schedule.set(4), schedule.set(5)), (&sets[0], &sets[1]));
    assert_eq!(schedule.electorate(1, 4).unwrap().sets(), &sets[..1]);
    assert_eq!(schedule.electorate(1, 5).unwrap().sets(), &sets[..]);
}

#[test]
fn without_finality_nothing_changes_and_nothing_grows() {
    let sets = sets(40);
    let mut schedule = Schedule::genesis(0, sets[0].clone());
    for epoch in 1..40 {
        schedule.open(epoch, Some(&sets[epoch as usize]), [0, 0, 0, epoch, epoch - 1]).unwrap();
        assert_eq!(schedule.set(epoch + 2), &sets[0]);
        assert!(schedule.runs.len() == 1 && schedule.candidates.len() <= CANDIDATES_MAX);
    }
}

#[test]
fn old_set_votes_until_something_is_final_under_the_new_one() {
    let sets = sets(2);
    let mut schedule = Schedule::genesis(0, sets[0].clone());
    schedule.open(1, Some(&sets[1]), [0, 0, 0, 1, 0]).unwrap();
    schedule.open(2, None, [1, 1, 1, 2, 1]).unwrap();
    for epoch in 3..20 {
        schedule.open(epoch, None, [1, 1, 1, epoch, epoch - 1]).unwrap();
    }
    assert_eq!(schedule.electorate(1, 19).unwrap().sets(), &sets[..]);
    schedule.open(20, None, [5, 5, 5, 20, 19]).unwrap();
    assert_eq!(schedule.electorate(5, 20).unwrap().sets(), &sets[1..]);
}

#[test]
fn a_new_set_every_epoch_with_the_latest_finality_stays_within_the_limit() {
    let sets = sets(64);
    let mut schedule = Schedule::genesis(0, sets[0].clone());
    for epoch in 1..64u64 {
        // Four epochs late, which is the latest that the rule allows, after a gap as well.
        let lag = if epoch % 7 < 4 { 4 } else { 2 };
        let finalized = epoch.saturating_sub(lag);
        schedule
            .open(epoch, Some(&sets[epoch as usize]), [finalized, finalized + 1, finalized + 2, epoch, epoch - 1])
            .unwrap();
        assert!(schedule.runs.len() <= RUNS_MAX, "epoch {epoch}: {} runs", schedule.runs.len());
        assert!(schedule.electorate(finalized, epoch).is_ok());
    }
}

#[test]
fn changing_every_set_joins_those_that_become_equal() {
    let sets = sets(2);
    let mut schedule = Schedule::genesis(0, sets[0].clone());
    schedule.open(1, Some(&sets[1]), [0, 0, 0, 1, 0]).unwrap();
    schedule.open(2, None, [1, 1, 1, 2, 1]).unwrap();
    assert_eq!(schedule.runs.len(), 2);
    schedule.map(|_| sets[0].clone());
    assert_eq!(schedule.runs.len(), 1);
    assert!(schedule.candidates.values().all(|set| *set == sets[0]));
}
