use super::*;
use crate::testing::entry;
use proptest::prelude::*;

fn bundle(positions: &[(u64, u32)]) -> Bundle {
    Bundle {
        positions: positions
            .iter()
            .map(|(namespace, index)| Position { namespace: *namespace, index: *index })
            .collect(),
    }
}

fn with_bundles(bundles: Vec<Bundle>) -> Content {
    let entries = vec![entry(1, &["a", "b", "c", "d"]), entry(5, &["e", "f", "g"]), entry(9, &["h"])];
    Content { entries, bundles }
}

fn of(entries: Vec<Entry>) -> Content {
    Content { entries, bundles: vec![] }
}

/// The bytes of `content`, whether it keeps the limits or not.
fn forged(content: &Content) -> Bytes {
    encode(content)
}

/// Both ways into a payload say the same.
fn verdict(content: Content) -> Result<Payload, PayloadError> {
    let made = Payload::new(content.clone());
    let decoded = Payload::decode(forged(&content));
    assert_eq!(made.is_ok(), decoded.is_ok(), "{made:?} but {decoded:?}");
    if let (Ok(made), Ok(decoded)) = (&made, &decoded) {
        assert_eq!((made, made.entries()), (decoded, decoded.entries()));
        assert_eq!(made.bundles(), decoded.bundles());
    }
    made
}

#[test]
fn the_encoding_is_the_documented_one() {
    let content =
        Content { entries: vec![entry(7, &["a", "bc"]), entry(9, &["d"])], bundles: vec![bundle(&[(9, 0), (7, 1)])] };
    let expected = "00000002 00000001\
                    0000000000000007 0000003d 0000000000000009 00000046\
                    0002 0001 00000000 0000 00000001\
                    00000002 00000001 00000003 616263\
                    00000001 00000001 64";
    let payload = Payload::new(content).unwrap();
    assert_eq!(hex::encode(payload.encoded()), expected.replace(' ', ""));
}

#[test]
fn an_empty_payload_is_eight_zeros() {
    assert_eq!(Payload::default().encoded().as_ref(), [0; 8]);
    assert_eq!(Payload::decode(Bytes::from_static(&[0; 8])).unwrap(), Payload::default());
}

#[test]
fn entries_out_of_order_or_empty_are_refused() {
    let order = PayloadError::Order(1);
    assert_eq!(verdict(of(vec![entry(2, &["a"]), entry(1, &["b"])])).unwrap_err(), order);
    assert_eq!(verdict(of(vec![entry(1, &["a"]), entry(1, &["b"])])).unwrap_err(), order);
    assert_eq!(verdict(of(vec![entry(1, &[])])).unwrap_err(), PayloadError::Empty(1));
    assert_eq!(verdict(of(vec![entry(1, &[""])])).unwrap_err(), PayloadError::Transaction { namespace: 1, bytes: 0 });
}

#[test]
fn transaction_of_the_largest_size_stands_and_one_byte_more_does_not() {
    let with = |bytes: usize| verdict(of(vec![Entry::new(1, [Bytes::from(vec![1; bytes])])]));
    assert!(with(TRANSACTION_BYTES_MAX).is_ok());
    let bytes = TRANSACTION_BYTES_MAX + 1;
    assert_eq!(with(bytes).unwrap_err(), PayloadError::Transaction { namespace: 1, bytes });
}

#[test]
fn payload_of_the_largest_size_stands_and_one_byte_more_does_not() {
    let whole = 7 * transaction_bytes(TRANSACTION_BYTES_MAX);
    let rest = BLOCK_PAYLOAD_BYTES_MAX - PAYLOAD_OVERHEAD_BYTES - ENTRY_OVERHEAD_BYTES - whole - transaction_bytes(0);
    let with = |last: usize| {
        let full = std::iter::repeat_n(Bytes::from(vec![1; TRANSACTION_BYTES_MAX]), 7);
        verdict(of(vec![Entry::new(1, full.chain([Bytes::from(vec![2; last])]))]))
    };
    assert_eq!(with(rest).unwrap().encoded().len(), BLOCK_PAYLOAD_BYTES_MAX);
    let (found, limit) = (BLOCK_PAYLOAD_BYTES_MAX + 1, BLOCK_PAYLOAD_BYTES_MAX);
    assert_eq!(with(rest + 1).unwrap_err(), PayloadError::TooMuch { what: "bytes", found, limit });
}

#[test]
fn namespaces_and_transactions_are_counted() {
    let namespaces = |count: u64| verdict(of((0..count).map(|namespace| entry(namespace, &["a"])).collect()));
    assert!(namespaces(NAMESPACES_MAX as u64).is_ok());
    assert!(namespaces(NAMESPACES_MAX as u64 + 1).is_err());
    let transactions = |count: usize| {
        let some = |namespace: u64, count: usize| Entry::new(namespace, vec![Bytes::from_static(b"a"); count]);
        verdict(of(vec![some(1, count / 2), some(2, count - count / 2)]))
    };
    assert!(transactions(TRANSACTIONS_MAX).is_ok());
    assert!(transactions(TRANSACTIONS_MAX + 1).is_err());
}

#[test]
fn bundles_that_stand_together_are_accepted() {
    for bundles in [
        vec![bundle(&[(1, 0), (5, 0)])],
        vec![bundle(&[(5, 0), (1, 3), (5, 1)])],
        vec![bundle(&[(1, 0), (1, 1)]), bundle(&[(1, 2), (1, 3)])],
        vec![bundle(&[(1, 0), (5, 0)]), bundle(&[(5, 2), (9, 0), (1, 3)])],
    ] {
        let payload = verdict(with_bundles(bundles.clone())).unwrap();
        assert_eq!(payload.bundles(), bundles);
    }
}

#[test]
fn broken_bundles_are_refused() {
    let too_long = (0..65).map(|index| (1, index)).collect::<Vec<_>>();
    for (what, bundles) in [
        ("one transaction", vec![bundle(&[(1, 0)])]),
        ("none", vec![bundle(&[])]),
        ("a namespace that is not there", vec![bundle(&[(1, 0), (2, 0)])]),
        ("a transaction that is not there", vec![bundle(&[(1, 0), (9, 1)])]),
        ("the same transaction twice", vec![bundle(&[(1, 0), (1, 0)])]),
        ("something between", vec![bundle(&[(1, 0), (5, 0), (1, 2)])]),
        ("backwards", vec![bundle(&[(1, 1), (1, 0)])]),
        ("two that share a transaction", vec![bundle(&[(1, 0), (5, 0)]), bundle(&[(5, 0), (9, 0)])]),
        ("two that cross", vec![bundle(&[(1, 0), (5, 1)]), bundle(&[(5, 0), (1, 1)])]),
        ("two in the wrong order", vec![bundle(&[(1, 2), (5, 1)]), bundle(&[(1, 0), (5, 0)])]),
        ("one inside another", vec![bundle(&[(1, 0), (1, 1)]), bundle(&[(1, 1), (1, 2)])]),
        ("too many transactions", vec![bundle(&too_long)]),
    ] {
        let content = with_bundles(bundles);
        assert!(Payload::new(content.clone()).is_err(), "{what}");
        // The encoding cannot name a namespace that is not there; the place of the next one stands for it.
        if what != "a namespace that is not there" {
            assert!(Payload::decode(forged(&content)).is_err(), "{what}");
        }
    }
}

#[test]
fn a_bundle_has_at_most_a_mebibyte() {
    let with = |bytes: usize| {
        let transaction = Bytes::from(vec![1; bytes]);
        let entries = vec![Entry::new(1, [transaction.clone()]), Entry::new(5, [transaction])];
        verdict(Content { entries, bundles: vec![bundle(&[(1, 0), (5, 0)])] })
    };
    assert!(with(bundle::BUNDLE_BYTES_MAX / 2).is_ok());
    assert!(with(bundle::BUNDLE_BYTES_MAX / 2 + 1).is_err());
}

#[test]
fn tables_that_lie_do_not_decode() {
    let bytes = Payload::new(with_bundles(vec![bundle(&[(1, 0), (5, 0)])])).unwrap().encoded().to_vec();
    let with = |position: usize, value: u32| {
        let mut bytes = bytes.clone();
        bytes[position..position + 4].copy_from_slice(&value.to_be_bytes());
        Payload::decode(bytes.into())
    };
    assert!(with(0, 3).is_ok(), "unchanged");
    for value in [0, 2, 4, NAMESPACES_MAX as u32 + 1, u32::MAX] {
        assert!(with(0, value).is_err(), "{value} namespaces");
    }
    for value in [0, 2, u32::MAX] {
        assert!(with(4, value).is_err(), "{value} bundles");
    }
    // Three rows, a bundle of two, then the first section: its count and its ends.
    let (row, section) = (8 + 8, 8 + 36 + 14);
    for (position, what) in [(row, "end of a section"), (section, "count"), (section + 8, "end of a transaction")] {
        for value in [0, 1, 5, bytes.len() as u32, u32::MAX] {
            assert!(with(position, value).is_err(), "{what} {value}");
        }
    }
}

fn any_content() -> impl Strategy<Value = Content> {
    let transaction = proptest::collection::vec(any::<u8>(), 1..40).prop_map(Bytes::from);
    let transactions = proptest::collection::vec(transaction, 1..8);
    let entries = proptest::collection::btree_map(any::<u64>(), transactions, 0..6);
    entries.prop_map(|entries| {
        let entries: Vec<_> =
            entries.into_iter().map(|(namespace, payloads)| Entry::new(namespace, payloads)).collect();
        let last =
            |entry: &Entry| Position { namespace: entry.namespace(), index: entry.transactions().len() as u32 - 1 };
        let bundles =
            entries.chunks_exact(2).map(|pair| Bundle { positions: pair.iter().map(last).collect() }).collect();
        Content { entries, bundles }
    })
}

proptest! {
    #[test]
    fn any_valid_payload_round_trips(content in any_content()) {
        let payload = verdict(content.clone()).unwrap();
        prop_assert_eq!(payload.entries(), &content.entries);
        prop_assert_eq!(payload.bundles(), &content.bundles);
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), namespaces in 0..6u32, bundles in 0..3u32) {
        let framed = [&namespaces.to_be_bytes()[..], &bundles.to_be_bytes(), &bytes].concat();
        for bytes in [bytes, framed] {
            if let Ok(payload) = Payload::decode(bytes.clone().into()) {
                prop_assert_eq!(Payload::new(payload.0.content.clone()).unwrap().encoded().to_vec(), bytes);
            }
        }
    }

    #[test]
    fn whatever_decodes_encodes_to_the_same_bytes(content in any_content(), position in any::<prop::sample::Index>(), value: u8) {
        let mut bytes = forged(&content).to_vec();
        let position = position.index(bytes.len());
        bytes[position] = value;
        if let Ok(payload) = Payload::decode(bytes.clone().into()) {
            prop_assert_eq!(forged(&payload.0.content).to_vec(), bytes);
        }
    }

    #[test]
    fn a_truncated_payload_does_not_decode(content in any_content(), cut in any::<prop::sample::Index>()) {
        let bytes = forged(&content);
        prop_assert!(Payload::decode(bytes.slice(..cut.index(bytes.len()))).is_err());
    }
}
