use super::super::testing::{DOMAIN, certify, committee};
use super::*;
use proof::checkpoint::{Offence, Point};
use proptest::prelude::*;

fn vote(source: u64, target: u64, root: u8) -> Vote {
    let point = |epoch, root| Point { epoch, root: B256::repeat_byte(root) };
    Vote { source: point(source, 0), target: point(target, root) }
}

fn electorate() -> (Vec<crate::ffg::VoteSecret>, Electorate) {
    let (secrets, set) = committee(0..4, 1);
    (secrets, Electorate::new(&[set]).unwrap())
}

fn detector(epoch: u64) -> Detector {
    let mut detector = Detector::new(DOMAIN, 64);
    detector.advance(epoch);
    detector
}

#[test]
fn double_and_surround_votes_are_found_in_both_orders_with_evidence_that_verifies() {
    let (secrets, electorate) = electorate();
    let pairs = [
        (vote(3, 4, 1), vote(3, 4, 2), Offence::Double),
        (vote(3, 4, 1), vote(2, 4, 1), Offence::Double),
        (vote(1, 6, 1), vote(2, 5, 1), Offence::Surround),
        (vote(2, 5, 1), vote(1, 6, 1), Offence::Surround),
        (vote(1, 9, 1), vote(7, 8, 1), Offence::Surround),
        (vote(7, 8, 1), vote(1, 9, 1), Offence::Surround),
    ];
    for (first, second, offence) in pairs {
        let mut detector = detector(9);
        let alone = secrets[2].sign_unguarded(&DOMAIN, &first);
        assert_eq!(detector.observe_vote(&secrets[2].public(), first, alone, &electorate), Ok(vec![]));
        let found = detector.observe(&certify(second, &electorate, &secrets[1..]), &electorate).unwrap();
        assert_eq!(found.len(), 1, "{first:?} {second:?}");
        assert_eq!(found[0].key, secrets[2].public());
        let known = |root: &B256| (*root == electorate.root()).then_some(&electorate);
        assert_eq!(found[0].verify(&DOMAIN, known), Ok(offence));
    }
}

#[test]
fn honest_votes_prove_nothing_and_offenders_are_reported_once() {
    let (secrets, electorate) = electorate();
    let mut detector = detector(0);
    for epoch in 1..40 {
        detector.advance(epoch);
        let votes = certify(vote(epoch - 1, epoch, 1), &electorate, &secrets);
        assert_eq!(detector.observe(&votes, &electorate), Ok(vec![]));
        assert_eq!(detector.observe(&votes, &electorate), Ok(vec![]));
    }
    let double = certify(vote(38, 39, 2), &electorate, &secrets[..2]);
    assert_eq!(detector.observe(&double, &electorate).unwrap().len(), 2);
    let again = certify(vote(38, 39, 3), &electorate, &secrets[..3]);
    let found = detector.observe(&again, &electorate).unwrap();
    assert_eq!(found.iter().map(|evidence| evidence.key).collect::<Vec<_>>(), [secrets[2].public()]);
}

#[test]
fn what_is_outside_of_the_window_or_false_is_refused() {
    let (secrets, electorate) = electorate();
    let mut detector = detector(100);
    for target in [35, 102, u64::MAX] {
        let votes = certify(vote(1, target, 1), &electorate, &secrets);
        let expected = DetectorError::Window { epoch: target, first: 36, last: 101 };
        assert_eq!(detector.observe(&votes, &electorate), Err(expected));
    }
    for target in [36, 101] {
        let votes = certify(vote(target - 1, target, 1), &electorate, &secrets);
        assert_eq!(detector.observe(&votes, &electorate), Ok(vec![]));
    }
    let stranger = &committee(9..10, 1).0[0];
    let signature = stranger.sign_unguarded(&DOMAIN, &vote(99, 100, 1));
    let result = detector.observe_vote(&stranger.public(), vote(99, 100, 1), signature, &electorate);
    assert_eq!(result, Err(DetectorError::Stranger(electorate.root())));
    let result = detector.observe_vote(&secrets[0].public(), vote(99, 100, 1), signature, &electorate);
    assert_eq!(result, Err(CertificateError::Signature(1).into()));
}

#[test]
fn many_votes_of_one_offender_do_not_fill_the_index() {
    let (secrets, electorate) = electorate();
    let mut detector = detector(5);
    for root in 0..50 {
        let vote = vote(4, 5, root);
        let signature = secrets[0].sign_unguarded(&DOMAIN, &vote);
        detector.observe_vote(&secrets[0].public(), vote, signature, &electorate).unwrap();
    }
    assert_eq!(detector.index.0.values().map(Vec::len).sum::<usize>(), 1);
    detector.advance(200);
    assert!(detector.index.0.is_empty() && detector.reported.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whoever signed two votes that conflict is found, and nobody else.
    #[test]
    fn offenders_are_found_and_only_they(
        votes in proptest::collection::vec((0u64..8, 1u64..6, 0u8..2, 1u8..16), 1..14),
    ) {
        let (secrets, electorate) = electorate();
        let mut detector = detector(16);
        let mut signed: Vec<(Vote, Vec<VoteKey>)> = Vec::new();
        let mut found = BTreeSet::new();
        for (source, span, root, mask) in votes {
            let vote = vote(source, source + span, root);
            let signing: Vec<_> = (0..4).filter(|bit| mask >> bit & 1 == 1).map(|bit| &secrets[bit]).collect();
            let certificate = certify(vote, &electorate, signing.iter().copied());
            for evidence in detector.observe(&certificate, &electorate).unwrap() {
                let known = |root: &B256| (*root == electorate.root()).then_some(&electorate);
                prop_assert!(evidence.verify(&DOMAIN, known).is_ok());
                prop_assert!(found.insert(evidence.key), "reported twice");
            }
            signed.push((vote, signing.iter().map(|secret| secret.public()).collect()));
        }
        let is_guilty = |key: &VoteKey| {
            let mine: Vec<&Vote> = signed.iter().filter(|(_, keys)| keys.contains(key)).map(|(vote, _)| vote).collect();
            mine.iter().any(|a| mine.iter().any(|b| a.conflict(b).is_some()))
        };
        let guilty: BTreeSet<VoteKey> = secrets.iter().map(|s| s.public()).filter(|key| is_guilty(key)).collect();
        prop_assert_eq!(found, guilty);
    }
}
