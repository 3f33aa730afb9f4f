use super::*;
use alloy_primitives::{B256, Bytes};
use proptest::prelude::*;

const CHAIN: u64 = 5886;

fn secret(seed: u8) -> SecretKey {
    SecretKey::key_gen(&[seed; 32], &[]).unwrap()
}

fn key(secret: &SecretKey) -> LaneKey {
    LaneKey::decode(&secret.sk_to_pk().to_bytes()).unwrap()
}

fn opening(secret: &SecretKey, target: u64) -> Opening {
    Opening(secret.sign(&in_namespace(&message(CHAIN, target)), MESSAGE_DST, &[]).to_bytes())
}

fn sealed(payload: &[u8]) -> Vec<u8> {
    seal(&key(&secret(1)), CHAIN, 7, 16, payload, Entropy([5; 64])).unwrap()
}

#[test]
fn an_envelope_opens_with_the_opening_of_its_height_and_with_nothing_else() {
    let envelope = sealed(b"buy");
    assert_eq!(envelope.len(), 3 + ENVELOPE_OVERHEAD_BYTES);
    let read = Envelope::decode(&envelope).unwrap();
    assert_eq!((read.target, read.check()), (16, Ok(())));
    let opened = |opening| read.open(&opening, CHAIN, 7);
    assert_eq!(opened(opening(&secret(1), 16)).as_deref(), Some(&b"buy"[..]));
    assert_eq!(opened(opening(&secret(1), 24)), None, "of another height");
    assert_eq!(opened(opening(&secret(2), 16)), None, "of another key");
    assert_eq!(opened(Opening([0; 96])), None, "no point");
    let mut identity = [0; 96];
    identity[0] = 0xc0;
    assert_eq!(opened(Opening(identity)), None, "the point at infinity");
    assert!(opening(&secret(1), 16).verify(&key(&secret(1)), CHAIN, 16));
    assert!(!opening(&secret(1), 16).verify(&key(&secret(1)), CHAIN, 24));
    assert!(!opening(&secret(1), 16).verify(&key(&secret(1)), CHAIN + 1, 16));
    assert!(!Opening(identity).verify(&key(&secret(1)), CHAIN, 16));
}

#[test]
fn an_envelope_means_nothing_in_another_namespace_or_chain() {
    let envelope = sealed(b"buy");
    let read = Envelope::decode(&envelope).unwrap();
    assert_eq!(read.open(&opening(&secret(1), 16), CHAIN, 8), None);
    assert_eq!(read.open(&opening(&secret(1), 16), CHAIN + 1, 7), None);
}

#[test]
fn sizes_are_bounded_on_both_sides() {
    let seal = |length| seal(&key(&secret(1)), CHAIN, 7, 16, &vec![1; length], Entropy([5; 64]));
    assert_eq!(seal(0), Err(LaneError::Payload(0)));
    assert_eq!(seal(ENVELOPE_PAYLOAD_BYTES_MAX + 1), Err(LaneError::Payload(ENVELOPE_PAYLOAD_BYTES_MAX + 1)));
    let longest = seal(ENVELOPE_PAYLOAD_BYTES_MAX).unwrap();
    assert!(Envelope::decode(&longest).is_ok());
    let over = [&longest[..], &[0]].concat();
    assert_eq!(Envelope::decode(&over), Err(LaneError::Size(over.len())));
    let shortest = sealed(b"x");
    assert!(Envelope::decode(&shortest).is_ok());
    let under = &shortest[..shortest.len() - 1];
    assert_eq!(Envelope::decode(under), Err(LaneError::Size(under.len())));
    assert_eq!(Envelope::decode(b"\x02plain"), Err(LaneError::Magic(6)));
}

#[test]
fn keys_that_are_no_points_are_refused() {
    let mut identity = [0; 48];
    identity[0] = 0xc0;
    for bad in [&[][..], &[0; 48], &identity, &[0xff; 48], &[1; 49]] {
        assert_eq!(LaneKey::decode(bad), Err(LaneError::Key(bad.len())));
    }
    let mut broken = sealed(b"buy");
    broken[12..60].fill(0xff);
    assert_eq!(Envelope::decode(&broken).unwrap().check(), Err(LaneError::Point));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_changed_envelope_opens(place in 0_usize..ENVELOPE_OVERHEAD_BYTES + 3, bit in 0_u8..8) {
        let mut envelope = sealed(b"buy");
        envelope[place] ^= 1 << bit;
        let opened = Envelope::decode(&envelope).ok().and_then(|read| read.open(&opening(&secret(1), 16), CHAIN, 7));
        prop_assert_eq!(opened, None);
    }
}

#[test]
fn a_namespace_unseals_in_the_order_in_which_it_was_sealed() {
    let key = key(&secret(1));
    let seal = |target, payload: &[u8], entropy| {
        Bytes::from(seal(&key, CHAIN, 7, target, payload, Entropy([entropy; 64])).unwrap())
    };
    let mut unsealer = Unsealer::new(CHAIN, 7, key);
    let foreign = Bytes::from(super::seal(&key, CHAIN, 8, 8, b"for 8", Entropy([9; 64])).unwrap());
    let plain = Bytes::from_static(b"plain");
    let none: [&[u8]; 0] = [];
    assert_eq!(
        unsealer.apply(none, &[seal(16, b"late", 1), seal(8, b"b", 2), plain.clone()]),
        std::slice::from_ref(&plain)
    );
    assert_eq!(unsealer.apply(none, &[foreign, seal(8, b"a", 3)]), [] as [Bytes; 0]);
    let record = |target, at| Record::Opening { target, opening: opening(&secret(1), at) }.encode();
    assert!(unsealer.apply([&record(8, 16)[..]], &[]).is_empty(), "a wrong opening opens nothing");
    assert_eq!(unsealer.waiting(), 4);
    let opened = unsealer.apply([&record(8, 8)[..]], std::slice::from_ref(&plain));
    assert_eq!(opened, [Bytes::from_static(b"b"), Bytes::from_static(b"a"), plain]);
    assert_eq!(unsealer.apply([&record(16, 16)[..]], &[]), [Bytes::from_static(b"late")]);
}

#[test]
fn records_read_back_and_no_cut_of_them_does() {
    let records = [
        Record::Opening { target: 8, opening: opening(&secret(1), 8) },
        Record::Front { taken: 3, included: 2 },
        Record::Key(key_record(4)),
    ];
    for record in records {
        let encoded = record.encode();
        assert_eq!(Record::decode(&encoded), Ok(record));
        assert!(Record::decode(&[&encoded[..], &[0]].concat()).is_err());
        assert!((0..encoded.len()).all(|cut| Record::decode(&encoded[..cut]).is_err()));
    }
}

/// The key of a round that `members` validators took part in.
fn key_record(members: u8) -> KeyRecord {
    let (key, members) = (key(&secret(1)), (0..members).map(B256::repeat_byte).collect());
    KeyRecord { round: 3, first: 65, key, required: 3, members }
}

#[test]
fn dealings_are_kept_as_they_are_and_bounded() {
    let dealing = |length: usize| Record::Dealing { round: 7, dealing: vec![9; length].into() };
    for length in [1, DEALING_BYTES_MAX] {
        assert_eq!(Record::decode(&dealing(length).encode()), Ok(dealing(length)));
    }
    for length in [0, DEALING_BYTES_MAX + 1] {
        assert_eq!(Record::decode(&dealing(length).encode()), Err(RecordError(10 + length)));
    }
}

#[test]
fn a_key_names_members_in_order_and_a_number_of_them() {
    let good = key_record(4);
    let swapped = KeyRecord { members: good.members.iter().rev().copied().collect(), ..good.clone() };
    let nobody = KeyRecord { members: vec![], required: 0, ..good.clone() };
    let (none, more) = (KeyRecord { required: 0, ..good.clone() }, KeyRecord { required: 5, ..good.clone() });
    for bad in [swapped, nobody, none, more] {
        let encoded = Record::Key(bad).encode();
        assert_eq!(Record::decode(&encoded), Err(RecordError(encoded.len())));
    }
    let most = (0..256_u64).map(|number| B256::from(alloy_primitives::U256::from(number))).collect();
    let longest = Record::Key(KeyRecord { members: most, ..good });
    assert_eq!(Record::decode(&longest.encode()), Ok(longest));
}

#[test]
fn a_key_is_that_of_the_committee_and_of_a_quorum_of_it() {
    let good = key_record(4);
    assert_eq!(good.check(&good.members), Ok(&good.key));
    let others = &key_record(5).members;
    assert_eq!(good.check(others), Err(KeyError::Members { shares: 4, first: 65 }));
    let few = KeyRecord { required: 2, ..good.clone() };
    assert_eq!(few.check(&good.members), Err(KeyError::Required { required: 2, shares: 4, quorum: 3 }));
}

#[test]
fn a_key_is_believed_where_it_stands_in_a_block_and_nowhere_else() {
    let transaction = Bytes::from(Record::Key(key_record(4)).encode());
    let transactions_root = crate::namespace::transaction_hash(0, &transaction);
    let end = crate::namespace::section_bytes([transaction.len()]).unwrap();
    let leaf = crate::namespace::NamespaceLeaf { namespace: 0, transactions_root, transactions: 1, start: 0, end };
    let namespaces_root = crate::namespace::namespaces_root(1, &leaf.hash());
    let header = crate::certificate::Header { namespaces_root, ..header() };
    let proof = crate::namespace::TransactionProof {
        namespaces: 1,
        place: 0,
        path: vec![],
        start: 0,
        end,
        transactions: 1,
        index: 0,
        transaction_path: vec![],
        transaction,
    };
    assert_eq!(KeyRecord::prove(&header, &proof), Ok(key_record(4)));
    let forged = Bytes::from(Record::Key(key_record(5)).encode());
    let forged = crate::namespace::TransactionProof { transaction: forged, ..proof.clone() };
    assert!(matches!(KeyRecord::prove(&header, &forged), Err(KeyError::Namespace(_))));
    assert!(matches!(KeyRecord::prove(&super::tests::header(), &proof), Err(KeyError::Namespace(_))));
}

fn header() -> crate::certificate::Header {
    crate::certificate::Header {
        parent: B256::ZERO,
        height: 9,
        view: 9,
        timestamp_millis: 0,
        randomness: B256::ZERO,
        namespaces_root: B256::ZERO,
        erasure_root: B256::ZERO,
        bundles_root: B256::ZERO,
        commitment_hash: B256::ZERO,
        digest: B256::ZERO,
    }
}

#[test]
fn a_rollup_learns_the_key_from_blocks_and_forgets_what_was_for_a_former_one() {
    let (old, new) = (secret(1), secret(2));
    let seal = |secret: &SecretKey, payload: &[u8]| {
        Bytes::from(seal(&key(secret), CHAIN, 7, 8, payload, Entropy([5; 64])).unwrap())
    };
    let named = |secret: &SecretKey| Record::Key(KeyRecord { key: key(secret), ..key_record(4) }).encode();
    let mut unsealer = Unsealer::new(CHAIN, 7, None);
    assert!(unsealer.apply([&named(&old)[..]], &[seal(&old, b"first")]).is_empty());
    assert!(unsealer.apply([&named(&old)[..]], &[]).is_empty(), "handed over, still the same key");
    assert_eq!(unsealer.waiting(), 1);
    assert!(unsealer.apply([&named(&new)[..]], &[seal(&new, b"second")]).is_empty());
    let record = Record::Opening { target: 8, opening: opening(&new, 8) }.encode();
    assert_eq!(unsealer.apply([&record[..]], &[]), [Bytes::from_static(b"second")]);
    assert_eq!(unsealer.waiting(), 0);
}
