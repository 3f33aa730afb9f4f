use super::*;
use proof::checkpoint::{Point, SignedVote, Vote, VoteSignature, Witness};
use sequencer::finality::Tracker;
use sequencer::guard::Guard;
use sequencer::simulated::stake_vote;
use sequencer::{Block, Committee};

const VALIDATORS: usize = 4;

/// A network of four validators at genesis.
fn origin() -> Tracker {
    let validators: Vec<_> = (0..VALIDATORS).map(|seat| keyring::with(seat, |seat| seat.validator.clone())).collect();
    let committee = Committee::new(&validators, 5886).unwrap();
    Tracker::genesis(&committee, &Block::genesis(5886, 0, bytes::Bytes::new()), 4).unwrap()
}

fn point(epoch: u64, root: u8) -> Point {
    Point { epoch, root: B256::repeat_byte(root) }
}

/// A vote with the signature of a seat, by a guard that knows of no other vote.
fn signed(seat: usize, domain: &Domain, source: Point, target: Point) -> SignedVote {
    let directory = tempfile::tempdir().unwrap();
    let guard = Guard::create(&directory.path().join("guard"), domain.genesis.0).unwrap();
    let vote = Vote { source, target };
    let message = keyring::with(seat, |seat| stake_vote(&seat.keys, &guard, domain, vote)).unwrap();
    let signature = VoteSignature(message[message.len() - 48..].try_into().unwrap());
    SignedVote { vote, witness: Witness::Alone(signature) }
}

fn evidence(accused: usize, first: SignedVote, second: SignedVote) -> Evidence {
    let key = keyring::with(accused, |seat| VoteKey::decode(&seat.vote_key)).unwrap();
    Evidence { key, first, second }
}

fn judged(proofs: &[Evidence], convictions: &[Vec<Offender>]) -> Result<Judgement, String> {
    let origin = origin();
    let (checkpoint, electorate) = origin.state().checkpoint();
    let domain = origin.state().parameters().domain;
    let trusted = (*checkpoint, electorate.clone());
    judge(&Case { domain, trusted, validators: VALIDATORS, links: &[], proofs, convictions })
}

fn offender(seat: usize, kind: usize) -> Offender {
    keyring::with(seat, |seat| seat.offenders()[kind])
}

#[test]
fn true_proofs_are_taken_and_the_convicted_lose_their_stake() {
    let domain = origin().state().parameters().domain;
    let (a, b) = (point(1, 1), point(2, 2));
    let double = evidence(1, signed(1, &domain, a, b), signed(1, &domain, a, point(2, 3)));
    let surround = evidence(2, signed(2, &domain, a, b), signed(2, &domain, point(0, 0), point(3, 3)));
    let convictions = [vec![offender(1, 0)], vec![offender(2, 1), offender(1, 1)]];
    let judgement = judged(&[double, surround], &convictions).unwrap();
    assert_eq!(judgement, Judgement { links: 0, proofs: 2, convicted: 2 });
}

#[test]
fn a_proof_that_the_contract_refuses_is_noticed() {
    let domain = origin().state().parameters().domain;
    let (a, b) = (point(1, 1), point(2, 2));
    let framed = evidence(0, signed(1, &domain, a, b), signed(1, &domain, a, point(2, 3)));
    let harmless = evidence(1, signed(1, &domain, a, b), signed(1, &domain, b, point(3, 3)));
    let elsewhere = Domain { chain_id: 1, ..domain };
    let foreign = evidence(1, signed(1, &elsewhere, a, b), signed(1, &elsewhere, a, point(2, 3)));
    for proof in [framed, harmless, foreign] {
        let reason = judged(&[proof], &[]).unwrap_err();
        assert!(reason.starts_with("the vault refuses"), "{reason}");
    }
}

#[test]
fn a_conviction_of_nobody_is_noticed() {
    let reason = judged(&[], &[vec![Offender::Consensus([9; 32])]]).unwrap_err();
    assert!(reason.ends_with("is not registered"), "{reason}");
}

#[test]
fn a_light_client_that_cannot_follow_is_noticed() {
    let origin = origin();
    let (checkpoint, electorate) = origin.state().checkpoint();
    let domain = origin.state().parameters().domain;
    let target = Checkpoint { epoch: 1, height: 4, ..*checkpoint };
    let vote = Vote { source: checkpoint.point(), target: target.point() };
    let signatures: Vec<_> = (0..3).map(|seat| signed(seat, &domain, vote.source, vote.target)).collect();
    let signatures: Vec<_> = signatures.iter().map(|signed| alone(&signed.witness)).collect();
    let mut signers = proof::checkpoint::Signers::none(VALIDATORS);
    for seat in 0..3 {
        let key = keyring::with(seat, |seat| VoteKey::decode(&seat.vote_key)).unwrap();
        signers.insert(electorate.position(&key).unwrap());
    }
    let certificate = |signatures: &[VoteSignature]| proof::checkpoint::Certificate {
        vote,
        signers: signers.clone(),
        signature: VoteSignature::aggregate(signatures).unwrap(),
    };
    let link = |signatures| Link { certificate: certificate(signatures), target, electorate: electorate.clone() };
    let follow = |link: Link| {
        let trusted = (*checkpoint, electorate.clone());
        judge(&Case { domain, trusted, validators: VALIDATORS, links: &[link], proofs: &[], convictions: &[] })
    };
    assert_eq!(follow(link(&signatures)), Ok(Judgement { links: 1, proofs: 0, convicted: 0 }));
    let reason = follow(link(&signatures[..2])).unwrap_err();
    assert!(reason.starts_with("link 0→1"), "{reason}");
}

fn alone(witness: &Witness) -> VoteSignature {
    match witness {
        Witness::Alone(signature) => *signature,
        Witness::Aggregate { .. } => panic!("it was signed alone"),
    }
}
