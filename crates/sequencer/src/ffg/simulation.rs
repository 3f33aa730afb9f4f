//! The two theorems of the paper (section 2), over random histories.

use super::detector::Detector;
use super::key::VoteSecret;
use super::testing::{Branch, DOMAIN, certify, committee, set};
use crate::guard::Guard;
use proof::checkpoint::{Certificate, Electorate, Evidence, Follower, ValidatorSet, VoteKey};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const VALIDATORS: usize = 6;

/// What happens in one epoch of one branch.
#[derive(Clone, Debug)]
struct Plan {
    /// Who votes in time, by bit.
    prompt: u8,
    /// Who votes in the epoch after.
    late: u8,
    /// Which set the checkpoint proposes.
    candidate: usize,
}

fn plan() -> impl Strategy<Value = Plan> {
    // Two masks joined, so that many vote.
    (any::<[u8; 2]>(), any::<u8>(), 0usize..4).prop_map(|(prompt, late, candidate)| Plan {
        prompt: prompt[0] | prompt[1],
        late,
        candidate,
    })
}

fn chosen(secrets: &[VoteSecret], mask: u8) -> Vec<VoteSecret> {
    let is_chosen = |position: &usize| mask >> position & 1 == 1;
    (0..secrets.len()).filter(is_chosen).map(|position| secrets[position].clone()).collect()
}

/// Everything that was ever signed, and what it proves.
struct Court {
    detector: Detector,
    electorates: BTreeMap<alloy_primitives::B256, Electorate>,
    guilty: BTreeSet<VoteKey>,
}

impl Court {
    fn new() -> Self {
        let mut detector = Detector::new(DOMAIN, 64);
        detector.advance(32);
        Self { detector, electorates: BTreeMap::new(), guilty: BTreeSet::new() }
    }

    fn hear(&mut self, certificate: &Certificate, electorate: &Electorate) {
        self.electorates.insert(electorate.root(), electorate.clone());
        for evidence in self.detector.observe(certificate, electorate).unwrap() {
            let decoded = Evidence::decode(&evidence.encode()).unwrap();
            decoded.verify(&DOMAIN, |root| self.electorates.get(root)).unwrap();
            self.guilty.insert(evidence.key);
        }
    }

    fn stake(&self, set: &ValidatorSet) -> u128 {
        self.guilty.iter().map(|key| set.stake(key)).sum()
    }
}

/// Votes of these validators for the current target, shown to the court and put into a block.
fn vote(branch: &mut Branch, court: &mut Court, signing: &[VoteSecret]) {
    if signing.is_empty() {
        return;
    }
    let certificate = branch.duty(signing);
    if certificate.signers.is_empty() {
        return;
    }
    let electorate = branch.state.electorate(&certificate.vote).unwrap().clone();
    court.hear(&certificate, &electorate);
    branch.block(&[certificate], None);
}

/// Votes that were signed in the epoch before come late.
fn vote_late(branch: &mut Branch, court: &mut Court, before: &Branch, signing: &[VoteSecret]) {
    let Some(link) = before.state.duty() else { return };
    let Ok(electorate) = branch.state.electorate(&link).cloned() else { return };
    let certificate = certify(link, &electorate, signing);
    if !certificate.signers.is_empty() {
        court.hear(&certificate, &electorate);
        branch.block(&[certificate], None);
    }
}

fn run(branch: &mut Branch, court: &mut Court, plan: &Plan, secrets: &[VoteSecret], sets: &[ValidatorSet]) {
    let before = branch.clone();
    branch.open(Some(&sets[plan.candidate]));
    vote(branch, court, &chosen(secrets, plan.prompt));
    vote_late(branch, court, &before, &chosen(secrets, plan.late));
}

/// Runs both branches from a common start; whether they finalised different checkpoints.
fn fork(common: &[Plan], branches: &[Vec<Plan>; 2], stakes: &[u128; VALIDATORS]) -> Result<bool, TestCaseError> {
    let (secrets, _) = committee(0..VALIDATORS as u64, 1);
    let members = [0..4, 2..6, 1..5, 4..6];
    let sets = members.map(|range| set(&secrets[range.clone()], &stakes[range]));
    let mut court = Court::new();
    let mut trunk = Branch::new(sets[0].clone());
    common.iter().for_each(|plan| run(&mut trunk, &mut court, plan, &secrets, &sets));
    let forked = trunk.state.epoch();
    let shared = trunk.state.set(forked + 1).clone();
    let mut finals = Vec::new();
    for (salt, plans) in branches.iter().enumerate() {
        let mut branch = Branch { salt: salt as u8 + 1, ..trunk.clone() };
        // Votes for the last common target may stand on one branch only.
        let mask = plans[0].late;
        if branch.state.duty().is_some() {
            vote(&mut branch, &mut court, &chosen(&secrets, mask));
        }
        plans.iter().for_each(|plan| run(&mut branch, &mut court, plan, &secrets, &sets));
        finals.push(branch.finalized());
    }
    let is_conflict = finals.iter().all(|epoch| *epoch > forked);
    if is_conflict {
        let guilty = court.stake(&shared);
        prop_assert!(guilty * 3 >= shared.total(), "guilty {guilty} of {}, final {finals:?}", shared.total());
    }
    Ok(is_conflict)
}

fn everybody(epochs: usize, candidate: usize) -> Vec<Plan> {
    vec![Plan { prompt: 0xff, late: 0, candidate }; epochs]
}

#[test]
fn conflicting_finality_with_unchanged_and_with_changed_sets_costs_a_third() {
    for candidates in [[0, 0], [1, 1], [1, 2], [2, 0]] {
        let branches = candidates.map(|candidate| everybody(7, candidate));
        assert!(fork(&everybody(4, 0), &branches, &[1; VALIDATORS]).unwrap(), "{candidates:?}");
    }
}

#[test]
fn branches_whose_sets_drift_apart_cannot_both_finalise() {
    // The trunk ends before the votes on its last checkpoint; only the first branch has them, finalises a common checkpoint
    // with them, and goes over to validators 4 and 5. Nobody votes on both branches. If the new set could finalise
    // without the old one, both branches would, and nobody would be guilty.
    let mut trunk = everybody(2, 3);
    trunk.push(Plan { prompt: 0, late: 0, candidate: 3 });
    let mut first = vec![Plan { prompt: 0b11_0000, late: 0, candidate: 3 }; 8];
    first[0].late = 0xff;
    let second = vec![Plan { prompt: 0b00_1111, late: 0, candidate: 0 }; 8];
    assert!(!fork(&trunk, &[first, second], &[1; VALIDATORS]).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Accountable safety: two conflicting final checkpoints cost a third of the stake.
    #[test]
    fn conflicting_finality_costs_a_third(
        common in proptest::collection::vec(plan(), 0..5),
        first in proptest::collection::vec(plan(), 4..8),
        second in proptest::collection::vec(plan(), 4..8),
        stakes in proptest::array::uniform6(1u128..4),
    ) {
        fork(&common, &[first, second], &stakes)?;
    }
}

/// Honest validators with their guards, which are opened again after every crash.
struct Honest {
    secrets: Vec<VoteSecret>,
    directory: tempfile::TempDir,
    guards: Vec<Option<Guard>>,
}

impl Honest {
    fn new(secrets: &[VoteSecret]) -> Self {
        let guards = secrets.iter().map(|_| None).collect();
        Self { secrets: secrets.to_vec(), directory: tempfile::tempdir().unwrap(), guards }
    }

    fn crash(&mut self, mask: u8) {
        let crashed = |position: usize| mask >> position & 1 == 1;
        (0..self.guards.len()).filter(|position| crashed(*position)).for_each(|position| self.guards[position] = None);
    }

    /// Every one of `mask` signs the vote of the state; none may be refused.
    fn sign(&mut self, branch: &Branch, mask: u8) {
        let vote = branch.state.duty().unwrap();
        for position in (0..self.secrets.len()).filter(|position| mask >> position & 1 == 1) {
            let path = self.directory.path().join(position.to_string());
            let open = if path.exists() { Guard::open } else { Guard::create };
            let guard = self.guards[position].get_or_insert_with(|| open(&path, [1; 32]).unwrap());
            let signature = self.secrets[position].sign(guard, &DOMAIN, &vote).unwrap();
            let key = self.secrets[position].public();
            assert!(signature.verify(&key, vote.signing_root(&DOMAIN).as_slice()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Plausible liveness: whatever happened, two thirds that go on voting finalise, and no guard refuses.
    #[test]
    fn two_thirds_can_always_go_on(
        history in proptest::collection::vec((any::<[u8; 3]>(), 0usize..2), 1..8),
    ) {
        let (secrets, _) = committee(0..6, 1);
        let sets = [set(&secrets, &[1; 6]), set(&secrets, &[2, 2, 2, 2, 2, 1])];
        let mut honest = Honest::new(&secrets[..4]);
        let mut branch = Branch::new(sets[0].clone());
        for (masks, candidate) in history {
            branch.open(Some(&sets[candidate]));
            // Not every vote that is signed gets into a block.
            honest.sign(&branch, masks[0]);
            honest.crash(masks[2]);
            let included = chosen(&secrets, masks[0] & masks[1] & 0b1111 | masks[2] & 0b11_0000);
            if !included.is_empty() {
                let votes = [branch.duty(&included)];
                branch.block(&votes, None);
            }
        }
        let before = branch.finalized();
        for _ in 0..4 {
            branch.open(Some(&sets[0]));
            honest.sign(&branch, 0b1111);
            let votes = [branch.duty(&secrets[..4])];
            prop_assert!(branch.block(&votes, None).refused.is_empty());
        }
        prop_assert!(branch.finalized() > before, "{:?}", branch.state.justification());
    }
}

/// What a light client sees of an epoch: its checkpoint, its electorate and the votes for it.
fn follow(follower: &mut Follower, branch: &Branch, certificate: &Certificate) -> Option<u64> {
    let (checkpoint, electorate) = branch.state.checkpoint();
    follower.apply(&DOMAIN, certificate, checkpoint, electorate).unwrap().map(|point| point.epoch)
}

#[test]
fn light_client_follows_the_state_across_changes_of_the_set() {
    let (secrets, _) = committee(0..VALIDATORS as u64, 1);
    let sets = [0..4, 2..6, 0..6].map(|range| set(&secrets[range], &[1; VALIDATORS]));
    let mut branch = Branch::new(sets[0].clone());
    let (genesis, electorate) = branch.state.checkpoint();
    let mut follower = Follower::new(genesis, electorate.clone()).unwrap();
    let mut electorates = BTreeSet::new();
    for epoch in 1..24u64 {
        branch.open(Some(&sets[(epoch / 6 % 3) as usize]));
        let certificate = branch.duty(&secrets);
        follow(&mut follower, &branch, &certificate);
        branch.block(&[certificate], None);
        electorates.insert(branch.state.checkpoint().1.root());
        // The client knows of a link when it is signed, the state when the epoch ends.
        assert!(follower.finalized().epoch >= branch.finalized());
    }
    assert!(electorates.len() >= 5, "{} electorates", electorates.len());
    branch.open(None);
    assert_eq!(follower.justified(), branch.state.justification().current);
    assert_eq!(follower.finalized(), branch.state.justification().finalized);
}
