use super::actor::{Letter, Message};
use super::ceremony::Key;
use super::dealings::Dealings;
use super::desk::Desk;
use super::state::State;
use super::vault::Vault;
use super::*;
use crate::block::Block;
use crate::committees::Schedule;
use crate::content::{Content, Entry};
use crate::history::History;
use crate::payload::Payload;
use crate::system::{SYSTEM, System};
use crate::testing::{CHAIN_ID, committee, genesis, keys};
use bytes::Bytes;
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_cryptography::bls12381::primitives::variant::MinPk;
use commonware_cryptography::bls12381::tle;
use commonware_utils::{NZU32, test_rng};
use proof::lane::{Entropy, LaneKey, MAGIC, OPENING_NAMESPACE, Opening, Record, message, seal};
use std::sync::Arc;
use tempfile::TempDir;

const EXECUTED: u64 = 1;
const OPAQUE: u64 = 7;
const STRICT: u64 = 8;
const PERIOD: u64 = 4;

fn config(secret: Secret) -> Config {
    let policies = [(EXECUTED, LanePolicy::Both), (OPAQUE, LanePolicy::Both), (STRICT, LanePolicy::Encrypted)];
    Config { period_blocks: PERIOD, policies: policies.into(), dealt: Some(secret), randomness: Randomness::System }
}

/// Four validators, their desks, and the envelopes of their users.
struct Network {
    desks: Vec<Arc<Desk>>,
    histories: Vec<Arc<History>>,
    tasks: Vec<actor::Tasks>,
    secrets: Vec<Secret>,
    start: State,
    used: u16,
    _directory: TempDir,
}

impl Network {
    fn new() -> Self {
        let dealt = Dealt::new(NZU32!(4)).unwrap();
        let secrets: Vec<Secret> = (0..4).map(|seat| dealt.secret(&committee(), &keys(seat)).unwrap()).collect();
        let directory = tempfile::tempdir().unwrap();
        let rules = Arc::new(Rules::new(&config(secrets[0].clone()), CHAIN_ID, Some(EXECUTED), 4));
        let key = Key::dealt(&dealt.sharing, committee().participants());
        let start = State::genesis(rules, Schedule::new(committee(), 32), key);
        let history = |seat| Arc::new(History::open(&directory.path().join(format!("{seat}.redb"))).unwrap());
        let histories: Vec<_> = (0..4).map(history).collect();
        let desk = |seat: usize| Arc::new(Desk::new(dealings(seat, &secrets), start.clone(), histories[seat].clone()));
        let desks: Vec<_> = (0..4).map(desk).collect();
        let tasks = desks.iter().map(|desk| desk.tasks().unwrap()).collect();
        Self { desks, histories, tasks, secrets, start, used: 0, _directory: directory }
    }

    fn sharing(&self) -> &Sharing {
        &self.start.key().expect("it was dealt").sharing
    }

    fn key(&self) -> LaneKey {
        *self.sharing().public()
    }

    fn seal(&mut self, namespace: u64, target: u64, payload: &[u8]) -> Bytes {
        self.used += 1;
        let entropy = Entropy(std::array::from_fn(|place| self.used.to_be_bytes()[place % 2]));
        seal(&self.key(), CHAIN_ID, namespace, target, payload, entropy).unwrap().into()
    }

    /// What a quorum makes together.
    fn opening(&self, target: u64) -> Opening {
        let parts: Vec<_> = self.secrets[1..].iter().map(|secret| secret.part(CHAIN_ID, target).unwrap()).collect();
        self.sharing().recover(&parts).unwrap()
    }

    fn deliver(&mut self, block: &Block) {
        self.desks.iter().for_each(|desk| desk.deliver(block).unwrap());
    }

    fn released(&mut self, seat: usize) -> Vec<Message> {
        let tasks = std::iter::from_fn(|| self.tasks[seat].try_recv().ok());
        tasks.map(|task| share(task.letter)).collect()
    }
}

/// A validator that has nothing but a dealt share.
fn dealings(seat: usize, secrets: &[Secret]) -> Dealings {
    let vault = Vault::new("nothing-is-written-here".into());
    Dealings::new(keys(seat as u64).consensus.clone(), vault, Some(secrets[seat].clone()), Randomness::System)
}

fn share(letter: Letter) -> Message {
    match letter {
        Letter::Share(message) => *message,
        other => panic!("{other:?}"),
    }
}

fn block(height: u64, records: Vec<Record>, entries: &[(u64, &[Bytes])]) -> Block {
    let system = System { lane: records, ..System::default() }.encode();
    let protocol = (!system.is_empty()).then(|| Entry::new(SYSTEM, system));
    let users = entries.iter().map(|(namespace, payloads)| Entry::new(*namespace, payloads.iter().cloned()));
    let payload = Payload::new(Content { entries: protocol.into_iter().chain(users).collect(), bundles: vec![] });
    Block { height, payload: payload.unwrap(), ..genesis() }
}

fn plain(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn next(state: &State, block: &Block) -> State {
    state.apply(block).unwrap().0
}

fn refused(state: &State, block: &Block) -> Fault {
    state.apply(block).unwrap_err()
}

/// A state at `height` with nothing in the blocks.
fn at(state: &State, height: u64) -> State {
    (state.height() + 1..=height).fold(state.clone(), |state, height| next(&state, &block(height, vec![], &[])))
}

#[test]
fn envelopes_are_byte_for_byte_those_of_the_library() {
    let network = Network::new();
    let public = <MinPk as commonware_cryptography::bls12381::primitives::variant::Variant>::Public::decode(Copying(
        &network.key().bytes()[..],
    ));
    let (public, message) = (public.unwrap(), message(CHAIN_ID, 8));
    // Theirs is opened by ours.
    let content = tle::Block::new([0x17; 32]);
    let theirs = tle::encrypt::<_, MinPk>(&mut test_rng(), public, (OPENING_NAMESPACE, &message), &content).unwrap();
    let opening = network.opening(8);
    let signature = DecodeExt::decode_point(&opening.0);
    assert_eq!(tle::decrypt::<MinPk>(&signature, &theirs).unwrap(), content);
    // Ours has the same bytes, when sigma is the one that they drew.
    let mut sigma = [0; 32];
    rand_core::Rng::fill_bytes(&mut test_rng(), &mut sigma);
    let entropy = Entropy([sigma, [0x17; 32]].concat().try_into().unwrap());
    let ours = seal(&network.key(), CHAIN_ID, OPAQUE, 8, b"x", entropy).unwrap();
    assert_eq!(ours[12..124], theirs.encode()[..]);
    assert!(opening.verify(&network.key(), CHAIN_ID, 8));
}

/// Decoding of a signature of the library.
struct DecodeExt;

impl DecodeExt {
    fn decode_point(
        bytes: &[u8],
    ) -> <MinPk as commonware_cryptography::bls12381::primitives::variant::Variant>::Signature {
        commonware_codec::DecodeExt::decode(Copying(bytes)).unwrap()
    }
}

#[test]
fn fewer_than_a_quorum_of_shares_open_nothing() {
    let mut network = Network::new();
    let parts: Vec<_> = network.secrets.iter().map(|secret| secret.part(CHAIN_ID, 8).unwrap()).collect();
    let key = network.sharing().clone();
    assert_eq!(key.required(), 3);
    assert!(key.recover(&parts[..1]).is_none() && key.recover(&parts[..2]).is_none());
    let openings: Vec<_> = [[0, 1, 2], [1, 2, 3], [3, 0, 2]]
        .map(|members| key.recover(members.map(|member: usize| &parts[member])).unwrap())
        .into();
    assert!(openings.iter().all(|opening| *opening == openings[0]), "any quorum makes the same");
    let envelope = network.seal(OPAQUE, 8, b"secret");
    let read = Envelope::decode(&envelope).unwrap();
    for part in &parts {
        let alone = Opening(part.encode()[4..].try_into().unwrap());
        assert_eq!(read.open(&alone, CHAIN_ID, OPAQUE), None, "a share alone");
    }
    assert_eq!(read.open(&openings[0], CHAIN_ID, OPAQUE).as_deref(), Some(&b"secret"[..]));
    assert!(key.verify(CHAIN_ID, 8, &parts[3]) && !key.verify(CHAIN_ID, 12, &parts[3]));
}

#[test]
fn opened_transactions_stand_at_the_front_in_the_order_in_which_they_were_sealed() {
    let mut network = Network::new();
    let (later, first) = (network.seal(EXECUTED, 8, b"later"), network.seal(EXECUTED, 4, b"first"));
    let (second, junk) = (network.seal(EXECUTED, 4, b"second"), network.seal(OPAQUE, 4, b"elsewhere"));
    let state = next(&network.start, &block(1, vec![], &[(EXECUTED, &[later, first, plain("plain")])]));
    let state = next(&state, &block(2, vec![], &[(EXECUTED, &[second]), (OPAQUE, &[junk])]));
    let state = at(&state, 4);
    let opening = Record::Opening { target: 4, opening: network.opening(4) };
    let front = |taken, included| vec![opening.clone(), Record::Front { taken, included }];
    let both = [plain("first"), plain("second"), plain("plain")];
    let (opened, settled) = state.apply(&block(5, front(2, 2), &[(EXECUTED, &both)])).unwrap();
    assert_eq!(settled.front().due, [plain("first"), plain("second")]);
    assert_eq!((opened.sealed(), opened.due()), (1, &[][..]));
    // One of them cannot be executed: whether that is so is for the application to say.
    assert!(state.apply(&block(5, front(2, 1), &[(EXECUTED, &both[1..])])).is_ok());
    let refused = |records, payloads: &[Bytes]| refused(&state, &block(5, records, &[(EXECUTED, payloads)]));
    let turned = [plain("second"), plain("first")];
    assert_eq!(refused(front(2, 2), &turned), Fault::Order(1));
    assert_eq!(refused(front(2, 2), &[plain("mine"), plain("first"), plain("second")]), Fault::Order(0));
    assert_eq!(refused(front(3, 2), &both), Fault::Front { due: 2, taken: 3, included: 2 });
    assert_eq!(refused(front(1, 2), &both), Fault::Front { due: 2, taken: 1, included: 2 });
    assert_eq!(refused(vec![opening.clone()], &both), Fault::Front { due: 2, taken: 0, included: 0 });
    assert_eq!(refused(front(1, 1), &both), Fault::Held(EXECUTED), "nothing goes before what is left over");
    let later = state.apply(&block(5, front(1, 1), &[(EXECUTED, &both[..1])])).unwrap().0;
    assert_eq!(later.due(), [plain("second")]);
}

#[test]
fn an_envelope_stands_up_to_its_target_and_in_no_block_above() {
    let mut network = Network::new();
    let envelope = network.seal(OPAQUE, 4, b"x");
    let with = |height| block(height, vec![], &[(OPAQUE, std::slice::from_ref(&envelope))]);
    for height in 1..=4 {
        assert!(at(&network.start, height - 1).apply(&with(height)).is_ok(), "{height}");
    }
    assert_eq!(refused(&at(&network.start, 4), &with(5)), Fault::Late { target: 4, height: 5 });
    let aim = |network: &mut Network, target| {
        let envelope = network.seal(OPAQUE, target, b"x");
        network.start.apply(&block(1, vec![], &[(OPAQUE, &[envelope])])).map(drop)
    };
    let latest = 1 + TARGET_AHEAD_MAX;
    assert_eq!(aim(&mut network, 5), Err(Fault::Target { target: 5, period: 4, latest }));
    assert_eq!(aim(&mut network, 256), Ok(()));
    assert_eq!(aim(&mut network, 260), Err(Fault::Target { target: 260, period: 4, latest }));
    assert_eq!(aim(&mut network, u64::MAX - 3), Err(Fault::Target { target: u64::MAX - 3, period: 4, latest }));
}

#[test]
fn openings_come_in_the_order_of_their_targets_and_are_true() {
    let mut network = Network::new();
    let envelopes = [network.seal(OPAQUE, 4, b"a"), network.seal(OPAQUE, 8, b"b")];
    let state = at(&next(&network.start, &block(1, vec![], &[(OPAQUE, &envelopes)])), 8);
    let opening = |target, of| Record::Opening { target, opening: network.opening(of) };
    let turn = |found, expected| Fault::Turn { found, expected, height: 9 };
    assert_eq!(refused(&state, &block(9, vec![opening(8, 8)], &[])), turn(8, Some(4)));
    assert_eq!(refused(&state, &block(9, vec![opening(4, 8)], &[])), Fault::Opening(4));
    let once = vec![opening(4, 4)];
    assert_eq!(refused(&state, &block(9, [&once[..], &once].concat(), &[])), turn(4, Some(8)));
    let all = next(&state, &block(9, vec![opening(4, 4), opening(8, 8)], &[]));
    assert_eq!(all.sealed(), 0);
    let early = next(&network.start, &block(1, vec![], &[(OPAQUE, &envelopes)]));
    let fault = refused(&early, &block(2, vec![opening(4, 4)], &[]));
    assert_eq!(fault, Fault::Turn { found: 4, expected: None, height: 2 });
}

#[test]
fn other_transactions_wait_for_the_opening_but_not_for_ever() {
    let mut network = Network::new();
    let envelope = network.seal(OPAQUE, 4, b"x");
    let state = next(&network.start, &block(1, vec![], &[(OPAQUE, &[envelope])]));
    let ours = |height| block(height, vec![], &[(OPAQUE, &[plain("front-run")])]);
    let others = |height| block(height, vec![], &[(EXECUTED, &[plain("nothing sealed")]), (9, &[plain("elsewhere")])]);
    assert!(at(&state, 3).apply(&ours(4)).is_ok(), "nobody can know yet what is in the envelope");
    let hold = network.start.rules().hold_blocks;
    for height in [5, 4 + hold] {
        assert_eq!(refused(&at(&state, height - 1), &ours(height)), Fault::Held(OPAQUE));
        assert!(at(&state, height - 1).apply(&others(height)).is_ok(), "other namespaces go on");
    }
    assert!(at(&state, 4 + hold).apply(&ours(5 + hold)).is_ok(), "withheld shares do not stop a namespace");
    let opening = Record::Opening { target: 4, opening: network.opening(4) };
    assert!(at(&state, 4).apply(&block(5, vec![opening], &[(OPAQUE, &[plain("after")])])).is_ok());
}

#[test]
fn a_namespace_with_envelopes_alone_takes_nothing_else_and_broken_ones_nowhere() {
    let mut network = Network::new();
    let envelope = network.seal(STRICT, 4, b"x");
    assert!(network.start.apply(&block(1, vec![], &[(STRICT, &[envelope])])).is_ok());
    assert_eq!(refused(&network.start, &block(1, vec![], &[(STRICT, &[plain("x")])])), Fault::Plain(STRICT));
    let broken = Bytes::copy_from_slice(&MAGIC);
    let fault = refused(&network.start, &block(1, vec![], &[(OPAQUE, std::slice::from_ref(&broken))]));
    assert_eq!(fault, Fault::Envelope(proof::lane::LaneError::Size(4)));
    assert!(network.start.apply(&block(1, vec![], &[(9, &[broken])])).is_ok(), "there it means nothing");
}

#[test]
fn envelopes_for_one_target_are_bounded() {
    let mut network = Network::new();
    let envelopes: Vec<_> = (0..ENVELOPES_PER_TARGET_MAX).map(|_| network.seal(OPAQUE, 4, b"x")).collect();
    let state = next(&network.start, &block(1, vec![], &[(OPAQUE, &envelopes)]));
    let more = network.seal(STRICT, 4, b"x");
    assert_eq!(refused(&state, &block(2, vec![], &[(STRICT, &[more])])), Fault::Full(4));
    let next = network.seal(STRICT, 8, b"x");
    assert!(state.apply(&block(2, vec![], &[(STRICT, &[next])])).is_ok());
}

#[test]
fn a_state_survives_its_encoding_and_no_cut_of_it_does() {
    let mut network = Network::new();
    let sealed = [network.seal(EXECUTED, 4, b"a"), network.seal(EXECUTED, 4, b"b"), network.seal(EXECUTED, 8, b"c")];
    let state = at(&next(&network.start, &block(1, vec![], &[(EXECUTED, &sealed)])), 4);
    let records =
        vec![Record::Opening { target: 4, opening: network.opening(4) }, Record::Front { taken: 1, included: 1 }];
    let state = next(&state, &block(5, records, &[(EXECUTED, &[plain("a")])]));
    let encoded = state.encode();
    let decode = |bytes: Bytes| State::decode(state.rules().clone(), &Schedule::new(committee(), 32), &bytes);
    assert_eq!(decode(encoded.clone()), Some(state.clone()));
    assert!((0..encoded.len()).all(|cut| decode(encoded.slice(..cut)).is_none()));
}

#[test]
fn shares_leave_when_their_target_is_final_and_a_quorum_of_them_opens() {
    let mut network = Network::new();
    let envelope = network.seal(EXECUTED, 4, b"buy");
    network.deliver(&block(1, vec![], &[(EXECUTED, &[envelope])]));
    for height in 2..=3 {
        network.deliver(&block(height, vec![], &[]));
        assert!((0..4).all(|seat| network.released(seat).is_empty()), "height {height} is not the target");
    }
    network.deliver(&block(4, vec![], &[]));
    let shares: Vec<Message> = (0..4).flat_map(|seat| network.released(seat)).collect();
    assert!(shares.len() == 4 && shares.iter().all(|share| share.target == 4));
    let desk = network.desks[0].clone();
    assert!(desk.turn(&[], [0; 32]).unwrap().due().is_empty());
    let mut forged = shares[1].clone();
    forged.target = 8;
    assert_eq!(desk.hear_share(forged), Err(8), "a share of another target is none");
    for share in &shares[1..3] {
        assert_eq!(desk.hear_share(share.clone()), Ok(()));
    }
    let turn = desk.turn(&[], [0; 32]).unwrap();
    assert_eq!(turn.due(), [plain("buy")]);
    let records = turn.records(1, 1);
    assert_eq!(records.len(), 2);
    network.deliver(&block(5, records, &[(EXECUTED, &[plain("buy")])]));
    assert_eq!(network.desks[3].sealed(), 0);
}

#[test]
fn shares_that_are_lost_come_again_until_a_block_has_the_opening() {
    let mut network = Network::new();
    let envelope = network.seal(OPAQUE, 4, b"x");
    network.deliver(&block(1, vec![], &[(OPAQUE, &[envelope])]));
    (2..=4).for_each(|height| network.deliver(&block(height, vec![], &[])));
    assert_eq!(network.released(2).len(), 1);
    (5..=7).for_each(|height| network.deliver(&block(height, vec![], &[])));
    assert_eq!(network.released(2).len(), 0);
    network.deliver(&block(8, vec![], &[]));
    assert_eq!(network.released(2).len(), 1);
    let opening = Record::Opening { target: 4, opening: network.opening(4) };
    network.deliver(&block(9, vec![opening], &[]));
    (10..=20).for_each(|height| network.deliver(&block(height, vec![], &[])));
    assert_eq!(network.released(2).len(), 0);
}

#[test]
fn what_waits_is_kept_and_opened_after_a_restart() {
    let mut network = Network::new();
    let envelope = network.seal(EXECUTED, 40, b"buy");
    network.deliver(&block(1, vec![], &[(EXECUTED, &[envelope])]));
    (2..=35).for_each(|height| network.deliver(&block(height, vec![], &[])));
    let history = network.histories[1].clone();
    history.commit().unwrap();
    let kept = history.lane().unwrap().expect("the lane after block 32");
    let state = State::decode(network.start.rules().clone(), &Schedule::new(committee(), 32), &kept).unwrap();
    assert_eq!((state.height(), state.sealed()), (32, 1));
    let again = Desk::new(dealings(1, &network.secrets), state, history);
    let mut tasks = again.tasks().unwrap();
    (33..=40).for_each(|height| again.deliver(&block(height, vec![], &[])).unwrap());
    assert_eq!(share(tasks.try_recv().unwrap().letter).target, 40);
}

#[test]
fn messages_read_back_and_junk_is_none() {
    let network = Network::new();
    let part = network.secrets[2].part(CHAIN_ID, 8).unwrap();
    let message = Letter::Share(Box::new(Message { target: 8, part }));
    let encoded = message.encode();
    assert_eq!(Letter::decode(&encoded), Some(message));
    assert_eq!(actor::shared_target(&encoded), Some(8));
    assert!((0..encoded.len()).all(|cut| Letter::decode(&encoded[..cut]).is_none()));
    assert_eq!(Letter::decode(&[&encoded[..], &[0]].concat()), None);
    assert_eq!(Letter::decode(&[&encoded[..13], &[0xff; 96]].concat()), None);
    let (round, bytes) = (7, Bytes::from_static(b"bytes"));
    let letters = [
        Letter::Dealt { round, dealing: bytes.clone() },
        Letter::Acknowledged { round, acknowledgement: bytes.clone() },
        Letter::Published { round, dealing: bytes },
    ];
    for letter in letters {
        let encoded = letter.encode();
        assert_eq!(Letter::decode(&encoded), Some(letter));
        assert_eq!(actor::shared_target(&encoded), None);
        assert!((0..9).all(|cut| Letter::decode(&encoded[..cut]).is_none()));
        assert_eq!(Letter::decode(&[&encoded[..1], &vec![0; actor::LANE_MESSAGE_BYTES_MAX][..]].concat()), None);
    }
    assert_eq!(Letter::decode(&[9; 20]), None);
}

#[test]
fn a_share_is_of_one_seat_and_one_key_and_only_its_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lane.share");
    let dealt = Dealt::new(NZU32!(4)).unwrap();
    dealt.secret(&committee(), &keys(1)).unwrap().store(&path).unwrap();
    assert!(dealt.secret(&committee(), &keys(9)).is_none());
    let sharing = Sharing::decode(&dealt.sharing.encode(), &committee()).unwrap();
    assert_eq!(sharing, dealt.sharing);
    let load = |sharing: &Sharing, seat| Secret::load(&path, sharing.clone(), &committee(), &keys(seat));
    assert!(load(&sharing, 1).is_ok());
    assert!(matches!(load(&sharing, 2), Err(SecretError::Share { .. })));
    let other = Dealt::new(NZU32!(4)).unwrap().sharing;
    assert!(matches!(load(&other, 1), Err(SecretError::Share { .. })));
    let five = Dealt::new(NZU32!(7)).unwrap().sharing;
    let error = Sharing::decode(&five.encode(), &committee()).unwrap_err();
    assert!(matches!(error, SecretError::Committee { shares: 7, required: 5, validators: 4, quorum: 3 }), "{error}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(load(&sharing, 1), Err(SecretError::Exposed { mode: 0o644, .. })));
}

#[test]
fn the_lane_takes_as_much_as_it_has_room_for_and_counts_it_once() {
    let mut network = Network::new();
    let long = vec![7; 100 * 1024];
    let mut state = network.start.clone();
    for height in 1..=3 {
        let envelopes: Vec<Bytes> = (0..45).map(|_| network.seal(STRICT, 4, &long)).collect();
        state = next(&state, &block(height, vec![], &[(STRICT, &envelopes)]));
    }
    assert_eq!(state.sealed(), 135, "13.2 of 16 MiB");
    let more: Vec<Bytes> = (0..40).map(|_| network.seal(STRICT, 8, &long)).collect();
    assert!(matches!(refused(&state, &block(4, vec![], &[(STRICT, &more)])), Fault::Bytes(_)));
}
