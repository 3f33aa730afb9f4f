use super::*;
use alloy_primitives::hex;
use blst::min_sig::SecretKey;
use proptest::prelude::*;
use std::slice;

pub(super) const DOMAIN: Domain = Domain { chain_id: 5886, genesis: B256::repeat_byte(0x11) };

pub(super) fn secret(seed: u8) -> SecretKey {
    SecretKey::key_gen(&[seed; 32], &[]).unwrap()
}

pub(super) fn key(secret: &SecretKey) -> VoteKey {
    VoteKey::decode(&secret.sk_to_pk().to_bytes()).unwrap()
}

fn sign(secret: &SecretKey, vote: &Vote) -> VoteSignature {
    VoteSignature(secret.sign(vote.signing_root(&DOMAIN).as_slice(), MESSAGE_DST, &[]).to_bytes())
}

/// Secrets by position in a set of `count` validators with this stake each, and the set.
fn committee(seeds: std::ops::Range<u8>, stake: u128) -> (Vec<SecretKey>, ValidatorSet) {
    let mut secrets: Vec<SecretKey> = seeds.map(secret).collect();
    secrets.sort_by_key(key);
    let validators = secrets.iter().map(|secret| Validator { key: key(secret), stake }).collect();
    (secrets, ValidatorSet::new(validators).unwrap())
}

fn point(epoch: u64) -> Point {
    Point { epoch, root: B256::repeat_byte(epoch as u8) }
}

fn vote(source: u64, target: u64) -> Vote {
    Vote { source: point(source), target: point(target) }
}

fn checkpoint(epoch: u64, electorate: &Electorate) -> Checkpoint {
    Checkpoint {
        epoch,
        height: epoch * 4,
        seconds: 1_000 + epoch,
        block: B256::repeat_byte(0xb0),
        application: B256::ZERO,
        electorate: electorate.root(),
        state: B256::ZERO,
    }
}

pub(super) fn certify(vote: Vote, electorate: &Electorate, signing: &[&SecretKey]) -> Certificate {
    let mut signers = Signers::none(electorate.members().len());
    signing.iter().for_each(|secret| assert!(signers.insert(electorate.position(&key(secret)).unwrap())));
    let signatures: Vec<VoteSignature> = signing.iter().map(|secret| sign(secret, &vote)).collect();
    Certificate { vote, signers, signature: VoteSignature::aggregate(&signatures).unwrap() }
}

#[test]
fn threshold_is_two_thirds_and_not_one_less_for_any_numbers() {
    assert!(is_supermajority(2, 3) && !is_supermajority(1, 3) && is_supermajority(200, 300));
    assert!(!is_supermajority(199, 300) && is_supermajority(201, 301) && !is_supermajority(200, 301));
    assert!(is_supermajority(u128::MAX, u128::MAX) && !is_supermajority(u128::MAX / 3, u128::MAX));
}

#[test]
fn hashing_to_the_curve_is_that_of_rfc_9380() {
    // Appendix J.9.1, message "abc"; a signature with the secret 1 is the hash itself.
    let mut one = [0; 32];
    one[31] = 1;
    let domain = b"QUUX-V01-CS02-with-BLS12381G1_XMD:SHA-256_SSWU_RO_";
    let point = SecretKey::from_bytes(&one).unwrap().sign(b"abc", domain, &[]).serialize();
    let x = "03567bc5ef9c690c2ab2ecdf6a96ef1c139cc0b2f284dca0a9a7943388a49a3aee664ba5379a7655d3c68900be2f6903";
    assert_eq!(hex::encode(&point[..48]), x);
}

#[test]
fn key_is_encoded_for_the_precompiles_with_real_parts_first() {
    let mut one = [0; 32];
    one[31] = 1;
    let generator = key(&SecretKey::from_bytes(&one).unwrap()).to_eip2537();
    let starts = ["024aa2b2f08f0a91", "13e02b6052719f60", "0ce5d527727d6e11", "0606c4a02ea734cc"];
    for (element, start) in generator.chunks(64).zip(starts) {
        assert_eq!((hex::encode(&element[..16]), hex::encode(&element[16..24])), ("00".repeat(16), start.to_owned()));
    }
}

#[test]
fn keys_outside_the_group_are_refused() {
    let good = *key(&secret(1)).bytes();
    let mut infinity = [0; KEY_BYTES];
    infinity[0] = 0xc0;
    let mut flipped = good;
    flipped[95] ^= 1;
    for bad in [&[][..], &good[..95], &[0; KEY_BYTES], &infinity, &flipped, &[0xff; KEY_BYTES], &[good, good].concat()]
    {
        assert_eq!(VoteKey::decode(bad), Err(KeyError(bad.len())), "{}", hex::encode(bad));
    }
    assert!(VoteKey::decode(&good).is_ok());
}

#[test]
fn possession_is_no_vote_and_a_vote_is_no_possession() {
    let (holder, other) = (secret(1), secret(2));
    let public = key(&holder);
    let proof = VoteSignature(holder.sign(public.bytes(), POSSESSION_DST, &[]).to_bytes());
    assert!(verify_possession(&public, &proof));
    assert!(!verify_possession(&key(&other), &proof));
    assert!(!proof.verify(&public, public.bytes()));
    let as_message = VoteSignature(holder.sign(public.bytes(), MESSAGE_DST, &[]).to_bytes());
    assert!(!verify_possession(&public, &as_message));
}

/// `keccak256(abi.encode(…))` by the encoder that the contracts' bindings use.
#[test]
fn votes_and_checkpoints_are_hashed_as_a_contract_hashes_them() {
    use alloy_sol_types::SolValue as _;
    let link = vote(3, 4);
    let words = (keccak256(VOTE_TAG), DOMAIN.chain_id, DOMAIN.genesis, 3u64, link.source.root, 4u64, link.target.root);
    assert_eq!(link.signing_root(&DOMAIN), keccak256(words.abi_encode()));
    let (_, set) = committee(1..4, 5);
    let electorate = Electorate::new(slice::from_ref(&set)).unwrap();
    let at = checkpoint(4, &electorate);
    let numbers = (keccak256(CHECKPOINT_TAG), at.epoch, at.height, at.seconds);
    let hashes = (at.block, at.application, at.electorate, at.state);
    assert_eq!(at.root(), keccak256([numbers.abi_encode(), hashes.abi_encode()].concat()));
    let joined = (keccak256("kumo/ffg/electorate/v1"), 1u64, set.root());
    assert_eq!(electorate.root(), keccak256(joined.abi_encode()));
    // One validator: the sum of the keys is its key, the tree its leaf.
    let (_, alone) = committee(1..2, 5);
    let key = alone.validators()[0].key.to_eip2537();
    let stake = U256::from(5).abi_encode();
    let leaf = keccak256([&[0][..], &key, &stake].concat());
    let words = (keccak256("kumo/ffg/validator-set/v1"), 1u64, U256::from(5), keccak256(key), leaf);
    assert_eq!(alone.root(), keccak256(words.abi_encode()));
}

#[test]
fn vote_is_bound_to_network_and_every_field() {
    let base = vote(3, 4);
    let root = base.signing_root(&DOMAIN);
    let mut others = vec![
        base.signing_root(&Domain { chain_id: 1, ..DOMAIN }),
        base.signing_root(&Domain { genesis: B256::ZERO, ..DOMAIN }),
        vote(2, 4).signing_root(&DOMAIN),
        vote(3, 5).signing_root(&DOMAIN),
        Vote { source: Point { epoch: 3, root: B256::ZERO }, ..base }.signing_root(&DOMAIN),
        Vote { target: Point { epoch: 4, root: B256::ZERO }, ..base }.signing_root(&DOMAIN),
    ];
    others.push(root);
    let count = others.len();
    others.sort_unstable();
    others.dedup();
    assert_eq!(others.len(), count);
}

#[test]
fn certificate_needs_two_thirds_of_the_stake_and_true_signatures() {
    let (secrets, set) = committee(1..4, 5);
    let electorate = Electorate::new(&[set]).unwrap();
    let target = checkpoint(4, &electorate);
    let link = Vote { source: point(3), target: target.point() };
    let two = certify(link, &electorate, &[&secrets[0], &secrets[2]]);
    two.verify(&DOMAIN, &target, &electorate).unwrap();
    let one = certify(link, &electorate, &[&secrets[1]]);
    let little = CertificateError::Stake { set: 0, voted: 5, total: 15 };
    assert_eq!(one.verify(&DOMAIN, &target, &electorate), Err(little));
    let claimed = Certificate { signers: two.signers.clone(), ..one };
    assert_eq!(claimed.verify(&DOMAIN, &target, &electorate), Err(CertificateError::Signature(2)));
    let other = Domain { chain_id: 1, ..DOMAIN };
    assert_eq!(two.verify(&other, &target, &electorate), Err(CertificateError::Signature(2)));
    let nobody = Certificate { signers: Signers::none(3), ..two.clone() };
    assert_eq!(nobody.verify(&DOMAIN, &target, &electorate), Err(CertificateError::Signature(0)));
    let longer = Certificate { signers: Signers::none(4), ..two };
    let error = CertificateError::Signers { marked: 4, members: 3 };
    assert_eq!(longer.verify(&DOMAIN, &target, &electorate), Err(error));
}

#[test]
fn certificate_for_another_checkpoint_or_electorate_is_refused() {
    let (secrets, set) = committee(1..4, 5);
    let electorate = Electorate::new(&[set]).unwrap();
    let target = checkpoint(4, &electorate);
    let all: Vec<&SecretKey> = secrets.iter().collect();
    let certificate = certify(Vote { source: point(3), target: target.point() }, &electorate, &all);
    let moved = Checkpoint { height: 17, ..target };
    assert!(matches!(certificate.verify(&DOMAIN, &moved, &electorate), Err(CertificateError::Target { .. })));
    let strangers = Electorate::new(&[committee(5..8, 5).1]).unwrap();
    assert!(matches!(certificate.verify(&DOMAIN, &target, &strangers), Err(CertificateError::Electorate { .. })));
    let backward = certify(Vote { source: point(4), target: target.point() }, &electorate, &all);
    assert!(matches!(backward.verify(&DOMAIN, &target, &electorate), Err(CertificateError::Backward { .. })));
}

#[test]
fn changed_set_needs_two_thirds_of_both() {
    let (old_secrets, old) = committee(1..4, 1);
    let (new_secrets, new) = committee(3..6, 1);
    let electorate = Electorate::new(&[old, new]).unwrap();
    assert_eq!(electorate.members().len(), 5);
    let target = checkpoint(4, &electorate);
    let link = Vote { source: point(3), target: target.point() };
    let both: Vec<&SecretKey> = old_secrets.iter().chain(&new_secrets).collect();
    let mut distinct = both.clone();
    distinct.sort_by_key(|secret| key(secret));
    distinct.dedup_by_key(|secret| key(secret));
    certify(link, &electorate, &distinct).verify(&DOMAIN, &target, &electorate).unwrap();
    let only_old: Vec<&SecretKey> = old_secrets.iter().collect();
    let error = certify(link, &electorate, &only_old).verify(&DOMAIN, &target, &electorate);
    assert_eq!(error, Err(CertificateError::Stake { set: 1, voted: 1, total: 3 }));
}

#[test]
fn sets_that_are_none_are_refused_by_name() {
    let (_, set) = committee(1..4, 5);
    let good = set.validators().to_vec();
    assert_eq!(ValidatorSet::new(vec![]), Err(SetError::Size(0)));
    assert_eq!(ValidatorSet::new(vec![good[0]; VALIDATORS_MAX + 1]), Err(SetError::Size(VALIDATORS_MAX + 1)));
    assert_eq!(ValidatorSet::new(vec![good[0], good[0]]), Err(SetError::Order(1)));
    assert_eq!(ValidatorSet::new(vec![good[1], good[0]]), Err(SetError::Order(1)));
    assert_eq!(ValidatorSet::new(vec![Validator { stake: 0, ..good[0] }]), Err(SetError::NoStake(0)));
    let most = Validator { stake: STAKE_TOTAL_MAX, ..good[0] };
    assert!(ValidatorSet::new(vec![most]).is_ok());
    assert_eq!(ValidatorSet::new(vec![most, good[1]]), Err(SetError::TooMuchStake));
    assert_eq!(Electorate::new(&[]), Err(SetError::Sets(0)));
}

#[test]
fn set_root_changes_with_key_and_stake() {
    let (_, set) = committee(1..4, 5);
    let mut richer = set.validators().to_vec();
    richer[1].stake += 1;
    assert_ne!(ValidatorSet::new(richer).unwrap().root(), set.root());
    assert_ne!(committee(2..5, 5).1.root(), set.root());
    assert_eq!(ValidatorSet::sorted(set.validators().iter().rev().copied().collect()).unwrap().root(), set.root());
}

#[test]
fn rules_find_double_and_surround_votes_in_both_orders_and_nothing_else() {
    let other_root = Vote { target: Point { epoch: 4, root: B256::ZERO }, ..vote(3, 4) };
    assert_eq!(vote(3, 4).conflict(&other_root), Some(Offence::Double));
    assert_eq!(vote(3, 4).conflict(&vote(2, 4)), Some(Offence::Double));
    for (a, b) in [(vote(1, 6), vote(2, 5)), (vote(2, 5), vote(1, 6)), (vote(1, 9), vote(7, 8))] {
        assert_eq!(a.conflict(&b), Some(Offence::Surround));
    }
    for (a, b) in
        [(vote(3, 4), vote(3, 4)), (vote(3, 4), vote(4, 5)), (vote(3, 4), vote(3, 5)), (vote(1, 5), vote(1, 4))]
    {
        assert_eq!(a.conflict(&b), None, "{a:?} {b:?}");
    }
}

#[test]
fn evidence_of_single_signatures_stands_by_itself() {
    let offender = secret(1);
    let alone = |vote: Vote, by: &SecretKey| SignedVote { vote, witness: Witness::Alone(sign(by, &vote)) };
    let evidence =
        Evidence { key: key(&offender), first: alone(vote(1, 6), &offender), second: alone(vote(2, 5), &offender) };
    assert_eq!(evidence.verify(&DOMAIN, |_| None), Ok(Offence::Surround));
    let decoded = Evidence::decode(&evidence.encode()).unwrap();
    assert_eq!(decoded, evidence);
    let harmless = Evidence { second: alone(vote(6, 7), &offender), ..evidence.clone() };
    assert_eq!(harmless.verify(&DOMAIN, |_| None), Err(EvidenceError::Harmless(1, 6, 6, 7)));
    let framed = Evidence { second: alone(vote(2, 5), &secret(2)), ..evidence };
    assert_eq!(framed.verify(&DOMAIN, |_| None), Err(EvidenceError::Signature(5)));
}

#[test]
fn evidence_within_aggregates_needs_a_known_electorate_and_the_accused_among_its_signers() {
    let (secrets, set) = committee(1..5, 1);
    let electorate = Electorate::new(&[set]).unwrap();
    let aggregate = |vote: Vote, signing: &[&SecretKey]| {
        let Certificate { vote, signers, signature } = certify(vote, &electorate, signing);
        SignedVote { vote, witness: Witness::Aggregate { electorate: electorate.root(), signers, signature } }
    };
    let first = aggregate(vote(3, 4), &[&secrets[0], &secrets[1]]);
    let second = aggregate(vote(2, 4), &[&secrets[1], &secrets[2]]);
    let evidence = Evidence { key: key(&secrets[1]), first, second };
    let known = |root: &B256| (*root == electorate.root()).then_some(&electorate);
    assert_eq!(evidence.verify(&DOMAIN, known), Ok(Offence::Double));
    assert_eq!(Evidence::decode(&evidence.encode()).unwrap(), evidence);
    assert_eq!(evidence.verify(&DOMAIN, |_| None), Err(EvidenceError::Unknown(electorate.root())));
    let strangers = Electorate::new(&[committee(7..9, 1).1]).unwrap();
    assert_eq!(evidence.verify(&DOMAIN, |_| Some(&strangers)), Err(EvidenceError::Unknown(electorate.root())));
    let innocent = Evidence { key: key(&secrets[0]), ..evidence };
    assert_eq!(innocent.verify(&DOMAIN, known), Err(EvidenceError::NotSigned(4)));
}

/// A chain of checkpoints with one electorate, and certificates between them.
fn follow(links: &[(u64, u64)]) -> (Follower, Vec<Result<Option<Point>, FollowError>>) {
    let (secrets, set) = committee(1..4, 1);
    let electorate = Electorate::new(&[set]).unwrap();
    let all: Vec<&SecretKey> = secrets.iter().collect();
    let mut follower = Follower::new(&checkpoint(0, &electorate), electorate.clone()).unwrap();
    let apply = |(source, target): &(u64, u64)| {
        let target = checkpoint(*target, &electorate);
        let link = Vote { source: checkpoint(*source, &electorate).point(), target: target.point() };
        follower.apply(&DOMAIN, &certify(link, &electorate, &all), &target, &electorate)
    };
    let results = links.iter().map(apply).collect();
    (follower, results)
}

#[test]
fn follower_finalises_spans_of_one_and_two_epochs_and_no_others() {
    let (follower, _) = follow(&[(0, 1), (1, 2)]);
    assert_eq!((follower.finalized().epoch, follower.justified().epoch), (1, 2));
    let (follower, _) = follow(&[(0, 2), (2, 4)]);
    assert_eq!((follower.finalized().epoch, follower.justified().epoch), (0, 4));
    let (follower, _) = follow(&[(0, 2), (2, 3), (2, 4)]);
    assert_eq!((follower.finalized().epoch, follower.justified().epoch), (2, 4));
    let (follower, _) = follow(&[(0, 2), (2, 5), (5, 6)]);
    assert_eq!((follower.finalized().epoch, follower.justified().epoch), (5, 6));
    let (follower, results) = follow(&[(0, 2), (3, 4)]);
    assert_eq!((follower.finalized().epoch, results[1].clone()), (0, Err(FollowError::Source(3))));
}

#[test]
fn follower_takes_a_new_electorate_only_from_the_old_one() {
    let (old_secrets, old) = committee(1..4, 1);
    let (new_secrets, new) = committee(4..7, 1);
    let (before, after) =
        (Electorate::new(slice::from_ref(&old)).unwrap(), Electorate::new(slice::from_ref(&new)).unwrap());
    let stitched = Electorate::new(&[old, new]).unwrap();
    let start = checkpoint(0, &before);
    let link = |target: &Checkpoint| Vote { source: start.point(), target: target.point() };
    let usurped = checkpoint(1, &after);
    let mut follower = Follower::new(&start, before).unwrap();
    let alone: Vec<&SecretKey> = new_secrets.iter().collect();
    let result = follower.apply(&DOMAIN, &certify(link(&usurped), &after, &alone), &usurped, &after);
    assert_eq!(result, Err(FollowError::Unsupported(1)));
    let both: Vec<&SecretKey> = old_secrets.iter().chain(&new_secrets).collect();
    let target = checkpoint(1, &stitched);
    let result = follower.apply(&DOMAIN, &certify(link(&target), &stitched, &both), &target, &stitched);
    assert_eq!(result, Ok(None), "genesis is final already");
    assert_eq!(follower.justified(), target.point());
}

#[test]
fn follower_names_two_justified_checkpoints_of_one_epoch() {
    let (secrets, set) = committee(1..4, 1);
    let electorate = Electorate::new(&[set]).unwrap();
    let all: Vec<&SecretKey> = secrets.iter().collect();
    let start = checkpoint(0, &electorate);
    let mut follower = Follower::new(&start, electorate.clone()).unwrap();
    let mut apply = |target: &Checkpoint| {
        let link = Vote { source: start.point(), target: target.point() };
        follower.apply(&DOMAIN, &certify(link, &electorate, &all), target, &electorate)
    };
    let one = checkpoint(1, &electorate);
    apply(&one).unwrap();
    apply(&one).unwrap();
    let other = Checkpoint { block: B256::ZERO, ..one };
    assert!(matches!(apply(&other), Err(FollowError::Conflict { epoch: 1, .. })));
}

proptest! {
    #[test]
    fn garbage_never_panics_and_decodes_to_itself(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(certificate) = Certificate::decode(&bytes) {
            prop_assert_eq!(certificate.encode(), bytes.clone());
        }
        if let Ok(evidence) = Evidence::decode(&bytes) {
            prop_assert_eq!(evidence.encode(), bytes);
        }
    }

    #[test]
    fn certificate_survives_its_encoding(length in 0usize..70, marks in any::<[u8; 12]>(), epochs in any::<[u64; 2]>()) {
        let mut signers = Signers::none(length);
        marks.iter().for_each(|mark| { signers.insert(usize::from(*mark)); });
        let point = |epoch| Point { epoch, root: B256::repeat_byte(7) };
        let vote = Vote { source: point(epochs[0]), target: point(epochs[1]) };
        let certificate = Certificate { vote, signers, signature: VoteSignature([marks[0]; SIGNATURE_BYTES]) };
        let bytes = certificate.encode();
        prop_assert_eq!(&Certificate::decode(&bytes).unwrap(), &certificate);
        prop_assert!(Certificate::decode(&bytes[..bytes.len() - 1]).is_err());
        prop_assert!(Certificate::decode(&[&bytes[..], &[0]].concat()).is_err());
        // Whatever is claimed, verification answers.
        let electorate = Electorate::new(&[committee(1..3, 1).1]).unwrap();
        prop_assert!(certificate.verify_signature(&DOMAIN, &electorate).is_err());
    }
}
