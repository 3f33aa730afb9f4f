//! Short runs, so that every test run plays some; `cargo run --release -p simulation` plays many.

use simulation::plan::{Event, SEALED_NAMESPACE};
use simulation::{Outcome, Plan, run};
use std::time::Duration;

#[test]
fn a_few_seeds_hold_every_invariant() {
    for seed in 0..3 {
        let outcome = run(&Plan::draw(seed, Some(4)), &mut |_, _, _, _| {})
            .unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        assert!(outcome.blocks > 0);
    }
}

#[test]
fn committees_change_while_validators_fail() {
    let changes: u64 = (20..23)
        .map(|seed| run(&Plan::draw(seed, Some(4)), &mut |_, _, _, _| {}).unwrap_or_else(|broken| panic!("{broken}")))
        .map(|outcome| outcome.changes)
        .sum();
    assert!(changes > 0, "three runs, and the committee stayed");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let play = || {
        let mut events = Vec::new();
        let plan = Plan::draw(5, Some(4));
        let outcome = run(&plan, &mut |part, step, at, event| events.push((part, step, at, event.to_owned())));
        (outcome, events)
    };
    let (first, second) = (play(), play());
    assert!(first.0.is_ok(), "{:?}", first.0);
    assert_eq!(first, second);
}

#[test]
fn twins_are_caught() {
    let evidence: u64 = (0..12)
        .map(|seed| Plan::draw(seed, Some(4)))
        .filter(|plan| !plan.twins.is_empty())
        .take(3)
        .map(|plan| run(&plan, &mut |_, _, _, _| {}).unwrap_or_else(|broken| panic!("{broken}")).evidence)
        .sum();
    assert!(evidence > 0, "three networks with a malicious validator, and nobody saw it");
}

#[test]
fn four_validators_make_a_key_and_open_an_envelope() {
    let sealed = Event::Submit { seat: 1, transactions: vec![(SEALED_NAMESPACE, 200)], lifetime: 3_000 };
    let mut plan = Plan::quiet(4, 30);
    plan.parts[0].events = vec![(Duration::from_secs(3), sealed)];
    let outcome = run(&plan, &mut |_, _, _, _| {}).unwrap_or_else(|broken| panic!("{broken}"));
    assert_eq!((outcome.keys, outcome.transactions), (1, 2), "the envelope, and what was in it");
    assert!(outcome.shares >= 3, "{} shares", outcome.shares);
}

#[test]
fn the_key_goes_with_the_committee_while_validators_fail() {
    let keys: u64 = (30..36)
        .map(|seed| Plan { epoch_blocks: 12, ..Plan::draw(seed, Some(4)) })
        .map(|plan| run(&plan, &mut |_, _, _, _| {}).unwrap_or_else(|broken| panic!("seed {}: {broken}", plan.seed)))
        .map(|outcome| outcome.keys)
        .sum();
    assert!(keys > 6, "{keys} keys in six runs: none was handed over");
}

#[test]
fn the_contracts_take_every_slash_proof() {
    let (mut proofs, mut convicted) = (0, 0);
    let plans = (0..).map(|seed| Plan::draw(seed, Some(4))).filter(|plan| !plan.twins.is_empty());
    for plan in plans.take(16) {
        let outcome = run(&plan, &mut |_, _, _, _| {}).unwrap_or_else(|broken| panic!("seed {}: {broken}", plan.seed));
        proofs += outcome.proofs;
        convicted += outcome.convicted;
        assert!(outcome.convicted <= plan.twins.len() as u64);
        assert!(outcome.proofs == 0 || outcome.links > 0, "the light client follows when there is something to judge");
        if proofs > 0 && convicted > 0 {
            return;
        }
    }
    panic!("sixteen networks with a malicious validator: {proofs} proofs, {convicted} slashed");
}

/// Plays the first plan of this kind twice.
fn twice(wanted: impl Fn(&Plan) -> bool) -> Outcome {
    let plan = (0..).map(|seed| Plan::draw(seed, Some(4))).find(wanted).unwrap();
    let [first, second] = [(); 2].map(|()| run(&plan, &mut |_, _, _, _| {}));
    let first = first.unwrap_or_else(|broken| panic!("seed {}: {broken}", plan.seed));
    assert_eq!(Ok(&first), second.as_ref(), "seed {} again", plan.seed);
    first
}

#[test]
fn validators_that_prune_start_again_and_the_run_can_be_repeated() {
    let outcome = twice(|plan| plan.retention.is_some());
    assert!(outcome.pruned > 0 && outcome.power_failures > 0, "{outcome:?}");
}

#[test]
fn blocks_go_in_shards_and_the_run_can_be_repeated() {
    let outcome = twice(|plan| plan.is_sharded && plan.retention.is_none());
    assert!(outcome.sharded > 0, "{outcome:?}");
}
