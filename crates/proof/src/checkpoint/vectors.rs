//! Histories for the contracts of an L1: what they are called with, and what the follower makes of the same certificates.
//!
//! `contracts/test/l1` runs them. The file is current when it holds what this makes.

use super::tests::{DOMAIN, certify, key, secret};
use super::*;
use alloy_primitives::hex;
use alloy_sol_types::{SolCall, SolError, SolValue};
use blst::min_sig::SecretKey;
use protocol::abi::l1;
use serde_json::{Value, json};

/// Seconds of silence that the contracts bear, and when their time begins.
const TRUST_SECONDS: u64 = 100_000;
const START_SECONDS: u64 = 1_800_000_000;

/// Secrets and the set of validators with these seeds and stakes.
struct Committee {
    secrets: Vec<SecretKey>,
    set: ValidatorSet,
}

impl Committee {
    fn new(seeds: std::ops::Range<u8>) -> Self {
        let secrets: Vec<SecretKey> = seeds.map(secret).collect();
        let validators = secrets.iter().map(|secret| Validator { key: key(secret), stake: 1_000 });
        Self { set: ValidatorSet::sorted(validators.collect()).unwrap(), secrets }
    }
}

/// One light client: a follower, and the calls that a contract gets.
struct History {
    name: &'static str,
    trusted: Checkpoint,
    origin: Electorate,
    follower: Follower,
    /// Electorate of the last justified checkpoint, whose sets a contract may ask for.
    known: Electorate,
    checkpoints: Vec<Checkpoint>,
    steps: Vec<Value>,
}

fn checkpoint_of(epoch: u64, electorate: &Electorate) -> Checkpoint {
    Checkpoint {
        epoch,
        height: epoch * 150,
        seconds: START_SECONDS + epoch * 30,
        block: alloy_primitives::keccak256(epoch.to_be_bytes()),
        application: alloy_primitives::keccak256([1, epoch as u8]),
        electorate: electorate.root(),
        state: alloy_primitives::keccak256([2, epoch as u8]),
    }
}

impl History {
    fn new(name: &'static str, electorate: &Electorate) -> Self {
        let trusted = checkpoint_of(0, electorate);
        let follower = Follower::new(&trusted, electorate.clone()).unwrap();
        let (origin, known) = (electorate.clone(), electorate.clone());
        Self { name, trusted, origin, follower, known, checkpoints: vec![trusted], steps: vec![] }
    }

    /// The links of these epochs, all signed by `signing`, in one call.
    fn step(&mut self, name: &str, links: &[(u64, u64)], electorate: &Electorate, signing: &[&SecretKey]) {
        let targets = links.iter().map(|(source, target)| (*source, checkpoint_of(*target, electorate)));
        self.call(name, &targets.collect::<Vec<_>>(), electorate, signing);
    }

    fn call(&mut self, name: &str, links: &[(u64, Checkpoint)], electorate: &Electorate, signing: &[&SecretKey]) {
        let mut outcome: Result<(), FollowError> = Ok(());
        let mut signatures = Vec::new();
        let mut signers = Signers::none(electorate.members().len());
        let mut finalised = self.trusted;
        for (source, target) in links {
            let source = self.checkpoints.iter().rev().find(|known| known.epoch == *source).copied();
            // A source that nobody has seen.
            let source = source.unwrap_or_else(|| checkpoint_of(target.epoch - 1, electorate));
            let vote = Vote { source: source.point(), target: target.point() };
            let certificate = certify(vote, electorate, signing);
            signatures.push(certificate.signature);
            signers = certificate.signers.clone();
            match self.follower.apply(&DOMAIN, &certificate, target, electorate) {
                Ok(point) => {
                    if point.is_some() {
                        finalised = source;
                    }
                    self.checkpoints.push(*target);
                }
                Err(error) => outcome = Err(error),
            }
        }
        let signature = VoteSignature::aggregate(&signatures).unwrap();
        let witness = abi_witness(electorate, &signers, &signature, self.known.sets()).unwrap();
        let abi_link =
            |(source, target): &(u64, Checkpoint)| l1::Link { source: *source, target: abi_checkpoint(target) };
        let mut call = l1::IKumoLightClient::advanceCall {
            links: links.iter().map(abi_link).collect(),
            finalised: abi_checkpoint(&finalised),
            witness,
        };
        if self.known == *electorate {
            call.witness.known.clear();
        }
        let (revert, stops) = match &outcome {
            Ok(()) => (None, false),
            Err(FollowError::Conflict { .. } | FollowError::Surround { .. }) => (None, true),
            Err(error) => (Some(selector(error)), false),
        };
        if outcome.is_ok() {
            self.known = electorate.clone();
        }
        self.steps.push(json!({
            "name": name,
            "data": hex::encode_prefixed(call.abi_encode()),
            "missing": electorate.members().len() - signing.len(),
            "links": links.len(),
            "stops": stops,
            "revert": revert.map(hex::encode_prefixed).unwrap_or("0x".into()),
            "finalisedEpoch": self.follower.finalized().epoch,
            "finalisedRoot": self.follower.finalized().root,
            "justifiedEpoch": self.follower.justified().epoch,
            "justifiedRoot": self.follower.justified().root,
            "electorate": self.known.root(),
        }));
    }

    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "trusted": hex::encode_prefixed(abi_checkpoint(&self.trusted).abi_encode()),
            "sets": self.origin.sets().iter().map(ValidatorSet::root).collect::<Vec<_>>(),
            "count": self.steps.len(),
            "steps": self.steps,
        })
    }
}

/// The contract's error for what the follower says.
fn selector(error: &FollowError) -> [u8; 4] {
    match error {
        FollowError::Source(_) => l1::IKumoLightClient::SourceUnknown::SELECTOR,
        FollowError::Certificate(CertificateError::Stake { .. }) | FollowError::Unsupported(_) => {
            l1::IKumoLightClient::StakeTooLow::SELECTOR
        }
        other => panic!("no history has {other}"),
    }
}

fn electorate(sets: &[&Committee]) -> Electorate {
    Electorate::new(&sets.iter().map(|committee| committee.set.clone()).collect::<Vec<_>>()).unwrap()
}

/// Everybody in any of the committees, once.
fn everybody<'a>(committees: &[&'a Committee]) -> Vec<&'a SecretKey> {
    let mut secrets: Vec<&SecretKey> = committees.iter().flat_map(|committee| &committee.secrets).collect();
    secrets.sort_by_key(|secret| key(secret));
    secrets.dedup_by_key(|secret| key(secret));
    secrets
}

fn four_validators() -> History {
    let four = Committee::new(1..5);
    let (members, all) = (electorate(&[&four]), everybody(&[&four]));
    let mut history = History::new("four validators", &members);
    history.step("the first link justifies", &[(0, 1)], &members, &all);
    history.step("all signed", &[(1, 2)], &members, &all);
    history.step("one is missing", &[(2, 3)], &members, &all[1..]);
    history.step("half is not enough", &[(3, 4)], &members, &all[..2]);
    history.step("a source that is not justified", &[(7, 8)], &members, &all);
    history.step("all signed again", &[(3, 4)], &members, &all);
    history.step(
        "eight links at once",
        &(4..12).map(|source| (source, source + 1)).collect::<Vec<_>>(),
        &members,
        &all,
    );
    history.step("a span of two justifies", &[(11, 13)], &members, &all);
    history.step("a span of two finalises", &[(12, 14)], &members, &all[..3]);
    history
}

fn changed_sets() -> History {
    let (old, new) = (Committee::new(1..5), Committee::new(3..8));
    let (before, both, after) = (electorate(&[&old]), electorate(&[&old, &new]), electorate(&[&new]));
    let mut history = History::new("changed sets", &before);
    history.step("a link of the old set", &[(0, 1)], &before, &everybody(&[&old]));
    history.step("the new set alone", &[(1, 2)], &after, &everybody(&[&new]));
    history.step("both sets", &[(1, 2)], &both, &everybody(&[&old, &new]));
    history.step("the new set before it is settled", &[(2, 3)], &after, &everybody(&[&new]));
    history.step("both sets, one missing in each", &[(2, 3)], &both, &everybody(&[&old, &new])[1..]);
    history.step("the new set once it is settled", &[(3, 4)], &after, &everybody(&[&new]));
    history.step("the new set goes on", &[(4, 5)], &after, &everybody(&[&new]));
    let third = Committee::new(4..9);
    let overlapping = electorate(&[&third]);
    history.step("a set that shares two thirds", &[(5, 6)], &overlapping, &everybody(&[&third]));
    history.step("and goes on", &[(6, 7)], &overlapping, &everybody(&[&third])[1..]);
    history
}

fn hundred_validators() -> History {
    let hundred = Committee::new(1..101);
    let (members, all) = (electorate(&[&hundred]), everybody(&[&hundred]));
    let mut history = History::new("a hundred validators", &members);
    history.step("the first link justifies", &[(0, 1)], &members, &all);
    history.step("all of a hundred signed", &[(1, 2)], &members, &all);
    history.step("one of a hundred is missing", &[(2, 3)], &members, &all[1..]);
    history.step("ten of a hundred are missing", &[(3, 4)], &members, &all[10..]);
    history.step("33 of a hundred are missing", &[(4, 5)], &members, &all[33..]);
    history.step("34 of a hundred are missing", &[(5, 6)], &members, &all[34..]);
    history
}

/// The same epoch justified twice.
fn double() -> History {
    let four = Committee::new(1..5);
    let (members, all) = (electorate(&[&four]), everybody(&[&four]));
    let mut history = History::new("two checkpoints of one epoch", &members);
    history.step("a link", &[(0, 1)], &members, &all);
    let other = Checkpoint { block: B256::ZERO, ..checkpoint_of(1, &members) };
    history.call("the same epoch again", &[(0, other)], &members, &all[1..]);
    history
}

/// A link around the one that finalised.
fn surround() -> History {
    let four = Committee::new(1..5);
    let (members, all) = (electorate(&[&four]), everybody(&[&four]));
    let mut history = History::new("a link around the last final one", &members);
    history.step("three links", &[(0, 1), (1, 2), (2, 3)], &members, &all);
    history.step("around it", &[(1, 4)], &members, &all);
    history
}

/// Evidence for the vault, about the validators of `four_validators`.
fn evidence() -> Value {
    let four = Committee::new(1..5);
    let (members, all) = (electorate(&[&four]), everybody(&[&four]));
    let owner = |index: usize| alloy_primitives::Address::with_last_byte(0xa0 + index as u8);
    let validators = all.iter().enumerate().map(|(index, secret)| {
        let message = possession_message(&key(secret), &owner(index));
        let proof = VoteSignature(secret.sign(&message, POSSESSION_DST, &[]).to_bytes());
        assert!(verify_possession_of(&key(secret), &owner(index), &proof));
        json!({
            "owner": owner(index),
            "key": hex::encode_prefixed(key(secret).to_eip2537()),
            "possession": hex::encode_prefixed(proof.to_eip2537().unwrap()),
        })
    });
    let point = |epoch: u64, salt: u8| Point { epoch, root: B256::repeat_byte(salt) };
    let link = |from: (u64, u8), to: (u64, u8)| Vote { source: point(from.0, from.1), target: point(to.0, to.1) };
    let (first, twin) = (link((3, 3), (4, 4)), link((3, 3), (4, 5)));
    let (outer, inner) = (link((2, 2), (9, 9)), link((3, 3), (8, 8)));
    let alone = |signer: usize, vote: Vote| {
        let signature =
            VoteSignature(all[signer].sign(vote.signing_root(&DOMAIN).as_slice(), MESSAGE_DST, &[]).to_bytes());
        SignedVote { vote, witness: Witness::Alone(signature) }
    };
    let together = |range: std::ops::Range<usize>, members: &Electorate, secrets: &[&SecretKey], vote: Vote| {
        let Certificate { signers, signature, .. } = certify(vote, members, &secrets[range]);
        SignedVote { vote, witness: Witness::Aggregate { electorate: members.root(), signers, signature } }
    };
    let strangers = Committee::new(1..4);
    let (foreign, others) = (electorate(&[&strangers]), everybody(&[&strangers]));
    let case = |name: &str, offender: usize, first: SignedVote, second: SignedVote, revert: Option<[u8; 4]>| {
        let evidence = Evidence { key: key(all[offender]), first, second };
        let verdict = evidence.verify(&DOMAIN, |root| (*root == members.root()).then_some(&members));
        assert_eq!(verdict.is_err(), revert.is_some(), "{name}: {verdict:?}");
        let known = |root: &B256| [&members, &foreign].into_iter().find(|known| known.root() == *root);
        json!({
            "name": name,
            "offender": offender,
            "surround": verdict == Ok(Offence::Surround),
            "data": hex::encode_prefixed(abi_slash(&evidence, known).unwrap().abi_encode()),
            "revert": revert.map(hex::encode_prefixed).unwrap_or("0x".into()),
        })
    };
    use l1::IStakeVault::{ElectorateUnknown, Harmless, NotSigned, VoteSignatureFalse};
    let cases = vec![
        case("double vote", 0, alone(0, first), alone(0, twin), None),
        case("surround vote", 0, alone(0, outer), alone(0, inner), None),
        case("surround vote, the inner one first", 1, alone(1, inner), alone(1, outer), None),
        case("one alone, one within an aggregate", 1, alone(1, first), together(0..3, &members, &all, twin), None),
        case(
            "both within aggregates",
            2,
            together(0..4, &members, &all, outer),
            together(1..4, &members, &all, inner),
            None,
        ),
        case("votes that may both be cast", 0, alone(0, first), alone(0, inner), Some(Harmless::SELECTOR)),
        case("the same vote twice", 0, alone(0, first), alone(0, first), Some(Harmless::SELECTOR)),
        case("somebody else's vote", 0, alone(0, first), alone(1, twin), Some(VoteSignatureFalse::SELECTOR)),
        case(
            "absent from the aggregate",
            0,
            alone(0, first),
            together(1..4, &members, &all, twin),
            Some(NotSigned::SELECTOR),
        ),
        case(
            "electorate of the accuser",
            1,
            alone(1, first),
            together(0..3, &foreign, &others, twin),
            Some(ElectorateUnknown::SELECTOR),
        ),
    ];
    json!({ "validators": validators.collect::<Vec<_>>(), "count": cases.len(), "cases": cases })
}

fn made() -> Value {
    let histories = [four_validators(), changed_sets(), hundred_validators(), double(), surround()];
    json!({
        "chainId": DOMAIN.chain_id,
        "genesis": DOMAIN.genesis,
        "trustSeconds": TRUST_SECONDS,
        "startSeconds": START_SECONDS,
        "count": histories.len(),
        "histories": histories.iter().map(History::to_json).collect::<Vec<_>>(),
        "evidence": evidence(),
    })
}

/// `KUMO_VECTORS=write` writes the file instead; say why in the commit.
#[test]
fn vectors_of_the_contracts_are_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/finality.json");
    let text = serde_json::to_string_pretty(&made()).unwrap() + "\n";
    if std::env::var("KUMO_VECTORS").is_ok_and(|word| word == "write") {
        std::fs::write(path, &text).unwrap();
    }
    assert!(std::fs::read_to_string(path).unwrap() == text, "{path} should hold what this test makes");
}
