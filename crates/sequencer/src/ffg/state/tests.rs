use super::super::testing::{Branch, DOMAIN, certify, committee, input, parameters, set};
use super::*;

#[test]
fn with_all_votes_a_checkpoint_is_final_two_epochs_after_its_block() {
    let (secrets, set) = committee(0..4, 32);
    let mut branch = Branch::new(set);
    branch.epoch(&secrets, None);
    branch.epoch(&secrets, None);
    let outcome = branch.epoch(&secrets, None);
    // Epochs 0 and 1 are not weighed; closing epoch 2 justifies both targets and finalises the source of k = 2, which is genesis.
    assert_eq!((branch.justified(), branch.finalized()), (2, 0));
    assert_eq!(outcome.justified.map(|point| point.epoch), Some(2));
    for epoch in 4..10 {
        let outcome = branch.epoch(&secrets, None);
        assert_eq!((branch.justified(), branch.finalized()), (epoch - 1, epoch - 2));
        assert_eq!(outcome.finalized.map(|point| point.epoch), Some(epoch - 2));
    }
}

#[test]
fn exactly_two_thirds_justify_and_one_unit_less_does_not() {
    let (secrets, _) = committee(0..3, 1);
    // The last two vote: 66 of 100, 66 of 99, 67 of 101, 67 of 100.
    for (stakes, justified) in [([34, 33, 33], 0), ([33, 33, 33], 2), ([34, 34, 33], 0), ([33, 34, 33], 2)] {
        let mut branch = Branch::new(set(&secrets, &stakes));
        (0..3).for_each(|_| {
            branch.epoch(&secrets[1..], None);
        });
        assert_eq!(branch.justified(), justified, "{stakes:?}");
    }
}

#[test]
fn late_votes_count_in_the_next_epoch_and_no_longer() {
    let (secrets, set) = committee(0..3, 1);
    let mut branch = Branch::new(set);
    (0..3).for_each(|_| {
        branch.epoch(&secrets, None);
    });
    let late = branch.duty(&secrets);
    branch.open(None);
    // All of epoch 3 had voted in time, so these are known.
    let outcome = branch.block(&[late], None);
    assert_eq!(outcome.refused, vec![(0, VoteError::Known(3))]);
    let late = branch.duty(&secrets);
    branch.open(None);
    assert_eq!(branch.block(std::slice::from_ref(&late), None).counted, 3);
    branch.open(None);
    let outcome = branch.block(&[late], None);
    assert!(matches!(outcome.refused[..], [(0, VoteError::Target { epoch: 4, current: 6, .. })]), "{outcome:?}");
}

#[test]
fn votes_that_do_not_count_are_refused_by_reason() {
    let (secrets, set) = committee(0..3, 1);
    let mut branch = Branch::new(set);
    (0..4).for_each(|_| {
        branch.epoch(&secrets, None);
    });
    branch.open(None);
    let good = branch.duty(&secrets);
    let electorate = branch.state.checkpoint().1.clone();
    let root = B256::repeat_byte(1);
    let elsewhere = Vote { target: Point { root, ..good.vote.target }, ..good.vote };
    let from_elsewhere = Vote { source: Point { root, ..good.vote.source }, ..good.vote };
    let false_signature = Certificate { signature: branch.duty(&secrets[..2]).signature, ..good.clone() };
    let votes = [
        certify(elsewhere, &electorate, &secrets),
        certify(from_elsewhere, &electorate, &secrets),
        false_signature,
        Certificate { signers: Signers::none(3), ..good.clone() },
        good.clone(),
        good,
    ];
    let outcome = branch.block(&votes, None);
    assert_eq!(outcome.counted, 3);
    let reasons: Vec<_> = outcome.refused.iter().map(|(position, _)| *position).collect();
    assert_eq!(reasons, [0, 1, 2, 3, 5]);
    assert!(matches!(outcome.refused[0].1, VoteError::Target { .. }));
    assert!(matches!(outcome.refused[1].1, VoteError::Source { .. }));
    assert_eq!(outcome.refused[2].1, VoteError::Certificate(CertificateError::Signature(3)));
    assert_eq!(outcome.refused[3].1, VoteError::Known(0));
}

#[test]
fn a_block_counts_only_so_many_certificates() {
    let (secrets, set) = committee(0..3, 1);
    let mut branch = Branch::new(set);
    branch.open(None);
    let junk = Certificate { signers: Signers::none(3), ..branch.duty(&secrets) };
    let mut votes = vec![junk; CERTIFICATES_PER_BLOCK_MAX];
    votes.push(branch.duty(&secrets));
    let outcome = branch.block(&votes, None);
    assert_eq!((outcome.counted, outcome.refused.len()), (0, votes.len()));
    assert_eq!(outcome.refused.last().unwrap().1, VoteError::TooMany(CERTIFICATES_PER_BLOCK_MAX + 1));
}

#[test]
fn blocks_must_follow_each_other_and_a_refused_one_changes_nothing() {
    let (_, set) = committee(0..3, 1);
    let mut branch = Branch::new(set);
    let before = branch.state.clone();
    for height in [0, 2, u64::MAX] {
        let error = branch.state.apply(&input(0, height)).unwrap_err();
        assert_eq!(error, ApplyError::Height { given: height, last: 0 });
        assert_eq!(branch.state, before);
    }
}

#[test]
fn votes_for_another_network_never_count() {
    let (secrets, set) = committee(0..3, 1);
    let mut branch = Branch::new(set);
    branch.open(None);
    let vote = branch.state.duty().unwrap();
    let other = Domain { chain_id: 1, ..DOMAIN };
    let electorate = branch.state.checkpoint().1.clone();
    let mut certificate = certify(vote, &electorate, &secrets);
    let signatures: Vec<_> = secrets.iter().map(|secret| secret.sign_unguarded(&other, &vote)).collect();
    certificate.signature = proof::checkpoint::VoteSignature::aggregate(&signatures).unwrap();
    assert_eq!(branch.state.check(&certificate), Err(CertificateError::Signature(3).into()));
}

#[test]
fn set_changes_only_across_finalised_checkpoints_and_the_old_one_votes_along() {
    let (old, old_set) = committee(0..4, 1);
    let (new, new_set) = committee(10..14, 1);
    let both: Vec<_> = old.iter().chain(&new).cloned().collect();
    let mut branch = Branch::new(old_set.clone());
    // Nobody votes: the candidate of epoch 1 never comes into force.
    for epoch in 1..8 {
        branch.epoch(&[], Some(&new_set));
        assert_eq!(branch.state.set(epoch + 2), &old_set);
    }
    let mut first = None;
    for _ in 8..16 {
        branch.epoch(&both, Some(&new_set));
        let epoch = branch.state.epoch();
        if first.is_none() && branch.state.set(epoch + 2) == &new_set {
            first = Some((epoch + 2, branch.finalized()));
        }
    }
    let (first, finalized) = first.unwrap();
    assert!(finalized + 4 <= first, "final {finalized}, in force {first}");
    // By now something is final under the new set, so it votes alone.
    assert_eq!(branch.state.checkpoint().1.sets(), std::slice::from_ref(&new_set));
    let before = branch.finalized();
    (0..3).for_each(|_| {
        branch.epoch(&new, None);
    });
    assert!(branch.finalized() > before);
}

#[test]
fn new_set_cannot_finalise_alone_before_something_is_final_under_it() {
    let (old, old_set) = committee(0..4, 1);
    let (new, new_set) = committee(10..14, 1);
    let mut branch = Branch::new(old_set.clone());
    while branch.state.set(branch.state.epoch()) == &old_set {
        branch.epoch(&old, Some(&new_set));
    }
    let before = (branch.justified(), branch.finalized());
    (0..6).for_each(|_| {
        branch.epoch(&new, None);
    });
    assert_eq!((branch.justified(), branch.finalized()), before);
    let both: Vec<_> = old.iter().chain(&new).cloned().collect();
    (0..4).for_each(|_| {
        branch.epoch(&both, None);
    });
    assert!(branch.finalized() > before.1);
}

#[test]
fn absent_third_leaks_until_the_rest_can_finalise_and_without_an_l1_nothing_leaks() {
    let (secrets, set) = committee(0..3, 1_000_000);
    let mut still = Branch::new(set.clone());
    let mut leaking = Branch { l1_seconds: Some(5_000), ..Branch::new(set.clone()) };
    let mut leaked = 0;
    for _ in 0..40 {
        still.epoch(&secrets[..1], None);
        leaked += u32::from(leaking.epoch(&secrets[..1], None).leaked_periods > 0);
        leaking.l1_seconds = leaking.l1_seconds.map(|seconds| seconds + 20);
    }
    assert!(leaked > 0);
    assert_eq!((still.finalized(), still.state.set(still.state.epoch())), (0, &set));
    assert!(leaking.finalized() > 0, "{:?}", leaking.state.justification());
    let now = leaking.state.set(leaking.state.epoch());
    assert_eq!(now.stake(&secrets[0].public()), 1_000_000);
    assert!(now.stake(&secrets[1].public()) < 500_000);
}

#[test]
fn checkpoint_names_its_block_its_voters_and_the_state_before_it() {
    let (secrets, set) = committee(0..3, 1);
    let mut branch = Branch::new(set);
    branch.epoch(&secrets, None);
    let opened = branch.open(None).opened.unwrap();
    let checkpoint = opened.checkpoint;
    assert_eq!((checkpoint.epoch, checkpoint.height), (2, 8));
    assert_eq!(checkpoint.block, input(0, 8).block);
    assert_eq!(checkpoint.electorate, branch.state.checkpoint().1.root());
    assert_eq!(checkpoint.state, keccak256(&opened.state));
    assert_eq!(branch.state.duty().unwrap().target, checkpoint.point());
    assert_eq!(branch.state.electorate_at(2).map(Electorate::root), Some(checkpoint.electorate));
    assert!(branch.state.electorate_at(1).is_some() && branch.state.electorate_at(0).is_none());
}

#[test]
fn parameters_that_cannot_be_are_refused() {
    let good = parameters();
    assert_eq!(good.check(), Ok(()));
    for blocks in [0, 1, EPOCH_BLOCKS_MAX + 1] {
        let bad = Parameters { epoch_blocks: blocks, ..good };
        assert_eq!(bad.check(), Err(ParametersError::EpochBlocks(blocks)));
    }
    let bad = Parameters { evidence_seconds: 10_000, ..good };
    assert_eq!(bad.check(), Err(ParametersError::Unbonding { evidence: 10_000, unbonding: 10_000 }));
    let bad = Parameters { leak: Leak { quotient: 0, ..good.leak }, ..good };
    assert_eq!(bad.check(), Err(ParametersError::Leak(10, 0)));
}
