use super::*;
use crate::testing::{CHAIN_ID, certified, child, committee, entry, finalization, genesis, keys};

/// A change to a block.
type Change = fn(&mut Block);

fn validators() -> Vec<Validator> {
    (0..4).map(|seat| keys(seat).validator(format!("127.0.0.1:{}", 9000 + seat), String::new())).collect()
}

/// Two descendants of genesis and of each other.
fn chain(length: u64) -> Vec<Block> {
    let mut chain = vec![genesis()];
    for view in 1..=length {
        let next = child(chain.last().unwrap(), 2 * view, vec![entry(view, &["t"])]);
        chain.push(next);
    }
    chain
}

#[test]
fn certified_block_verifies_alone_and_after_its_parent() {
    let chain = chain(2);
    let first = certified(&chain[1], &[]);
    assert_eq!(committee().verify(&first).unwrap(), chain[1]);
    assert_eq!(committee().verify_child(&chain[0], &first).unwrap(), chain[1]);
    assert_eq!(committee().verify_child(&chain[1], &certified(&chain[2], &[])).unwrap(), chain[2]);
}

#[test]
fn descendant_proves_its_ancestors() {
    let chain = chain(3);
    let proven = certified(&chain[1], &chain[2..4]);
    assert_eq!(committee().verify(&proven).unwrap(), chain[1]);
    let gap = certified(&chain[1], &chain[3..4]);
    assert!(matches!(committee().verify(&gap), Err(VerifyError::Unrelated { height: 1 })));
    let stranger = child(&chain[1], 9, vec![]);
    let forked = certified(&chain[2], &[stranger]);
    assert!(matches!(committee().verify(&forked), Err(VerifyError::Unrelated { height: 2 })));
}

#[test]
fn two_of_four_are_no_quorum() {
    use commonware_consensus::simplex::types::Finalize;
    use commonware_utils::non_empty;
    let block = &chain(1)[1];
    let votes =
        [0, 1].map(|seat| Finalize::sign(&crate::testing::signer(seat), crate::testing::proposal(block, 1)).unwrap());
    let verifier = crate::testing::signer(0);
    // The engine refuses to assemble it.
    let assembled = crate::certificate::Finalization::from_finalizes(&verifier, non_empty![@votes.iter()], &Sequential);
    assert!(assembled.is_err());
    assert_eq!(committee().quorum(), 3);
}

#[test]
fn certificate_of_another_chain_id_does_not_verify() {
    let certified = certified(&chain(1)[1], &[]);
    let other = Committee::new(&validators(), CHAIN_ID + 1).unwrap();
    assert!(matches!(other.verify(&certified), Err(VerifyError::Quorum { height: 1 })));
}

#[test]
fn reveal_by_anybody_else_is_refused_even_if_a_quorum_signed() {
    let mut block = child(&genesis(), 1, vec![]);
    let wrong = keys(u64::from(committee().proposer(2)));
    block.reveal = randomness::reveal(&wrong.randomness, CHAIN_ID, 1);
    let seat = committee().proposer(1);
    let error = committee().verify(&certified(&block, &[])).unwrap_err();
    assert!(matches!(error, VerifyError::Reveal { height: 1, view: 1, seat: s } if s == seat));
}

#[test]
fn certificate_of_another_round_is_refused() {
    let block = child(&genesis(), 4, vec![]);
    let verify = |epoch: u64, view: u64| {
        let mut finalization = finalization(&block);
        finalization.proposal.round = Round::new(Epoch::new(epoch), View::new(view));
        let certificate = Certificate { descendants: vec![], finalization }.encode();
        committee().verify(&CertifiedBlock { certificate: certificate.into(), ..certified(&block, &[]) })
    };
    assert_eq!(verify(0, 4).unwrap(), block);
    assert!(matches!(verify(0, 3), Err(VerifyError::Unrelated { height: 1 })), "before the block was proposed");
    assert!(matches!(verify(0, 5), Err(VerifyError::Quorum { height: 1 })), "nobody signed that");
    assert!(matches!(verify(1, 4), Err(VerifyError::Quorum { height: 1 })), "another committee");
}

#[test]
fn child_must_continue_every_field_of_its_parent() {
    let chain = chain(2);
    let (parent, block) = (&chain[1], &chain[2]);
    assert_eq!(check_link(parent, parent.digest(), block, false), Ok(()));
    let changes: [(Change, &str); 5] = [
        (|b| b.parent[0] ^= 1, "parent"),
        (|b| b.height += 1, "height"),
        (|b| b.view = 2, "view"),
        (|b| b.timestamp_millis -= 201, "timestamp_millis"),
        (|b| b.randomness[0] ^= 1, "randomness"),
    ];
    for (change, field) in changes {
        let mut changed = block.clone();
        change(&mut changed);
        assert_eq!(check_link(parent, parent.digest(), &changed, false), Err(field));
    }
    let same_time = Block { timestamp_millis: parent.timestamp_millis, ..block.clone() };
    assert_eq!(check_link(parent, parent.digest(), &same_time, false), Ok(()));
    let first_view = Block { view: 1, ..block.clone() };
    assert_eq!(check_link(parent, parent.digest(), &first_view, true), Ok(()), "views begin again with a committee");
}

#[test]
fn oversized_certificate_is_refused_before_it_is_decoded() {
    let block = &chain(1)[1];
    let certificate = vec![0; CERTIFICATE_BYTES_MAX + 1].into();
    let certified = CertifiedBlock { certificate, ..certified(block, &[]) };
    let error = committee().verify(&certified).unwrap_err();
    assert!(matches!(error, VerifyError::Certificate { bytes, .. } if bytes == CERTIFICATE_BYTES_MAX + 1));
}

#[test]
fn every_seat_proposes_once_a_round() {
    let committee = committee();
    for start in [1, 2, 1_000_000] {
        let mut seats: Vec<u32> = (start..start + 4).map(|view| committee.proposer(view)).collect();
        seats.sort_unstable();
        assert_eq!(seats, [0, 1, 2, 3]);
    }
}

#[test]
fn seats_follow_the_file_whatever_the_keys() {
    let mut validators = validators();
    validators.reverse();
    let committee = Committee::new(&validators, CHAIN_ID).unwrap();
    for (seat, validator) in validators.iter().enumerate() {
        assert_eq!(committee.seat(&validator.public_key), Some(seat as u32));
    }
    assert_eq!(committee.seat(&keys(9).public_key()), None);
    assert!(committee.owns(0, &keys(3)));
    assert!(!committee.owns(0, &keys(0)));
}

#[test]
fn quorum_is_more_than_two_thirds() {
    for (size, quorum) in [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (10, 7)] {
        let validators: Vec<_> =
            (0..size).map(|seat| keys(seat).validator("127.0.0.1:1".to_owned(), String::new())).collect();
        assert_eq!(Committee::new(&validators, CHAIN_ID).unwrap().quorum(), quorum);
    }
}

#[test]
fn faulty_lists_are_named() {
    let fail = |change: &dyn Fn(&mut Vec<Validator>)| {
        let mut validators = validators();
        change(&mut validators);
        Committee::new(&validators, CHAIN_ID).unwrap_err()
    };
    assert_eq!(fail(&|v| v.clear()), CommitteeError::Size(0));
    assert_eq!(fail(&|v| *v = vec![v[0].clone(); COMMITTEE_MAX + 1]), CommitteeError::Size(COMMITTEE_MAX + 1));
    assert!(matches!(
        fail(&|v| v[2].public_key = "xyz".to_owned()),
        CommitteeError::Key { seat: 2, field: "public_key", .. }
    ));
    assert!(matches!(
        fail(&|v| v[1].randomness_key = "00".repeat(32)),
        CommitteeError::Key { seat: 1, field: "randomness_key", .. }
    ));
    assert_eq!(fail(&|v| v[1].randomness_key = "ab".repeat(48)), CommitteeError::OldRandomnessKey { seat: 1 });
    assert_eq!(
        fail(&|v| v[3].p2p = "localhost".to_owned()),
        CommitteeError::Address { seat: 3, value: "localhost".to_owned() }
    );
    assert_eq!(fail(&|v| v[3].public_key = v[0].public_key.clone()), CommitteeError::Duplicate("public_key"));
    assert_eq!(
        fail(&|v| v[3].randomness_key = v[0].randomness_key.clone()),
        CommitteeError::Duplicate("randomness_key")
    );
}
