use super::*;
use crate::limits::HEADER_BYTES_MAX;
use crate::testing::{child, entry, genesis};
use proptest::prelude::*;

fn sample() -> Block {
    child(&genesis(), 1, vec![entry(1, &["a", "bc"]), entry(7, &["d"])])
}

/// Encodes and decodes; both must agree.
fn reencode(block: &Block) -> Result<Block, DecodeError> {
    Block::decode(block.encode())
}

#[test]
fn encoding_round_trips() {
    for block in [genesis(), sample()] {
        assert_eq!(reencode(&block).unwrap(), block);
        assert_eq!(block.encode().len(), block.encode_size());
    }
}

#[test]
fn digest_covers_every_field() {
    let block = sample();
    let changes: [fn(&mut Block); 9] = [
        |b| b.parent[31] ^= 1,
        |b| b.height += 1,
        |b| b.view += 1,
        |b| b.timestamp_millis += 1,
        |b| b.reveal[95] ^= 1,
        |b| b.randomness[0] ^= 1,
        |b| b.entries[0].namespace = 2,
        |b| b.entries[1].transactions[0] = Bytes::from_static(b"e"),
        |b| b.commitment = Bytes::from_static(b"c"),
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut changed = block.clone();
        change(&mut changed);
        assert_ne!(changed.digest(), block.digest(), "change {i}");
    }
}

#[test]
fn digest_distinguishes_how_transactions_are_split() {
    let of = |entries: Vec<Entry>| entries_root(&entries);
    assert_ne!(of(vec![entry(1, &["ab"])]), of(vec![entry(1, &["a", "b"])]));
    assert_ne!(of(vec![entry(1, &["a"]), entry(2, &["b"])]), of(vec![entry(1, &["a", "b"])]));
}

#[test]
fn header_has_the_digest_of_its_block() {
    let block = sample();
    assert_eq!(block.header().digest(), block.digest());
    let encoded = block.header().encode();
    assert!(encoded.len() <= HEADER_BYTES_MAX);
    assert_eq!(<Header as commonware_codec::DecodeExt<()>>::decode(encoded).unwrap(), block.header());
}

#[test]
fn transaction_hash_is_sha256_over_namespace_and_payload() {
    // printf '\0\0\0\0\0\0\0\1abc' | sha256sum
    let expected = protocol::content::sha256(b"\0\0\0\0\0\0\0\x01abc");
    assert_eq!(transaction_hash(1, b"abc")[..], expected[..]);
}

#[test]
fn entries_out_of_order_or_empty_do_not_decode() {
    let with = |entries| Block { entries, ..sample() };
    for entries in [
        vec![entry(2, &["a"]), entry(1, &["b"])],
        vec![entry(1, &["a"]), entry(1, &["b"])],
        vec![entry(1, &[])],
        vec![entry(1, &[""])],
    ] {
        assert!(check_entries(&entries).is_err());
        assert!(reencode(&with(entries)).is_err());
    }
}

#[test]
fn transaction_of_the_largest_size_decodes_and_one_byte_more_does_not() {
    let with = |bytes: usize| {
        let transactions = vec![Bytes::from(vec![1; bytes])];
        Block { entries: vec![Entry { namespace: 1, transactions }], ..sample() }
    };
    let largest = with(TRANSACTION_BYTES_MAX);
    assert_eq!(reencode(&largest).unwrap(), largest);
    assert_eq!(check_entries(&largest.entries), Ok(()));
    assert!(reencode(&with(TRANSACTION_BYTES_MAX + 1)).is_err());
    assert!(check_entries(&with(TRANSACTION_BYTES_MAX + 1).entries).is_err());
}

#[test]
fn payload_of_the_largest_size_decodes_and_one_byte_more_does_not() {
    let room = BLOCK_PAYLOAD_BYTES_MAX - ENTRY_OVERHEAD_BYTES;
    let each = TRANSACTION_BYTES_MAX + TRANSACTION_OVERHEAD_BYTES;
    let rest = room % each - TRANSACTION_OVERHEAD_BYTES;
    let with = |last: usize| {
        let mut transactions = vec![Bytes::from(vec![1; TRANSACTION_BYTES_MAX]); room / each];
        transactions.push(Bytes::from(vec![2; last]));
        Block { entries: vec![Entry { namespace: 1, transactions }], ..sample() }
    };
    let fullest = with(rest);
    assert_eq!(counted_bytes(&fullest.entries), BLOCK_PAYLOAD_BYTES_MAX);
    assert!(fullest.encode().len() <= BLOCK_BYTES_MAX);
    assert_eq!(reencode(&fullest).unwrap(), fullest);
    assert!(reencode(&with(rest + 1)).is_err());
    assert!(check_entries(&with(rest + 1).entries).is_err());
}

#[test]
fn commitment_beyond_its_limit_does_not_decode() {
    let with = |bytes: usize| Block { commitment: Bytes::from(vec![0; bytes]), ..sample() };
    assert!(reencode(&with(COMMITMENT_BYTES_MAX)).is_ok());
    assert!(reencode(&with(COMMITMENT_BYTES_MAX + 1)).is_err());
}

#[test]
fn only_genesis_has_no_reveal() {
    assert!(reencode(&Block { reveal: vec![], ..sample() }).is_err());
    assert!(reencode(&Block { height: 0, ..sample() }).is_err());
}

#[test]
fn error_names_the_length_of_what_did_not_decode() {
    let error = Block::decode(Bytes::from_static(b"nonsense")).unwrap_err();
    assert!(error.to_string().starts_with("8 bytes do not decode as a block"));
    let error = Block::decode(Bytes::from(vec![0; BLOCK_BYTES_MAX + 1])).unwrap_err();
    assert!(error.reason.contains(&BLOCK_BYTES_MAX.to_string()));
}

fn any_entries() -> impl Strategy<Value = Vec<Entry>> {
    let transaction = proptest::collection::vec(any::<u8>(), 1..64).prop_map(Bytes::from);
    let transactions = proptest::collection::vec(transaction, 1..8);
    proptest::collection::btree_map(any::<u64>(), transactions, 0..6)
        .prop_map(|map| map.into_iter().map(|(namespace, transactions)| Entry { namespace, transactions }).collect())
}

proptest! {
    #[test]
    fn any_valid_block_round_trips(entries in any_entries(), commitment in proptest::collection::vec(any::<u8>(), 0..80)) {
        let block = Block { entries, commitment: commitment.into(), ..sample() };
        prop_assert_eq!(check_entries(&block.entries), Ok(()));
        prop_assert_eq!(reencode(&block).unwrap(), block);
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Block::decode(bytes.clone().into());
        let _ = crate::certificate::Certificate::decode(bytes.into(), 4);
    }

    #[test]
    fn whatever_decodes_encodes_to_the_same_bytes(entries in any_entries(), position in any::<prop::sample::Index>(), value: u8) {
        let mut bytes = Block { entries, ..sample() }.encode().to_vec();
        let position = position.index(bytes.len());
        bytes[position] = value;
        if let Ok(block) = Block::decode(bytes.clone().into()) {
            prop_assert_eq!(block.encode().to_vec(), bytes);
        }
    }

    #[test]
    fn a_truncated_block_does_not_decode(entries in any_entries(), cut in any::<prop::sample::Index>()) {
        let bytes = Block { entries, ..sample() }.encode();
        prop_assert!(Block::decode(bytes.slice(..cut.index(bytes.len()))).is_err());
    }
}
