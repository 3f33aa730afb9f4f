use super::*;
use crate::content::{Content, Entry};
use crate::limits::{HEADER_BYTES_MAX, TRANSACTION_BYTES_MAX};
use crate::testing::{child, entry, genesis, payload};
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
    let changes: [fn(&mut Block); 11] = [
        |b| b.parent[31] ^= 1,
        |b| b.height += 1,
        |b| b.view += 1,
        |b| b.timestamp_millis += 1,
        |b| b.reveal[79] ^= 1,
        |b| b.randomness[0] ^= 1,
        |b| b.payload = payload(vec![entry(2, &["a", "bc"]), entry(7, &["d"])]),
        |b| b.payload = payload(vec![entry(1, &["a", "bc"]), entry(7, &["e"])]),
        |b| b.payload = with_a_bundle(),
        |b| b.erasure_root[0] ^= 1,
        |b| b.commitment = Bytes::from_static(b"c"),
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut changed = block.clone();
        change(&mut changed);
        assert_ne!(changed.digest(), block.digest(), "change {i}");
    }
}

/// The entries of [`sample`], two of whose transactions are a bundle.
fn with_a_bundle() -> Payload {
    let position = |namespace, index| proof::bundle::Position { namespace, index };
    let bundles = vec![crate::content::Bundle { positions: vec![position(1, 1), position(7, 0)] }];
    Payload::new(Content { entries: sample().payload.entries().to_vec(), bundles }).unwrap()
}

#[test]
fn roots_distinguish_how_transactions_are_split() {
    let of = |entries| payload(entries).trees().namespaces_root;
    assert_ne!(of(vec![entry(1, &["ab"])]), of(vec![entry(1, &["a", "b"])]));
    assert_ne!(of(vec![entry(1, &["a"]), entry(2, &["b"])]), of(vec![entry(1, &["a", "b"])]));
}

#[test]
fn a_bundle_changes_the_roots() {
    let (alone, bundled) = (sample().payload, with_a_bundle());
    let with = |payload: Payload| Block { payload, ..sample() }.header();
    let (alone, bundled) = (with(alone), with(bundled));
    assert_ne!(alone.bundles_root, bundled.bundles_root);
    // The table of bundles moves the sections, of which the leaves of the namespaces tell.
    assert_ne!(alone.namespaces_root, bundled.namespaces_root);
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
fn a_block_of_the_largest_payload_decodes() {
    let full = (0..7u64).map(|namespace| Entry::new(namespace, [Bytes::from(vec![1; TRANSACTION_BYTES_MAX])]));
    let block = Block { payload: payload(full.collect()), ..sample() };
    assert!(block.encode().len() <= BLOCK_BYTES_MAX);
    assert_eq!(reencode(&block).unwrap(), block);
}

#[test]
fn a_payload_that_breaks_a_rule_does_not_decode() {
    let mut bytes = sample().encode().to_vec();
    let last = bytes.len() - 1;
    bytes.truncate(last);
    assert!(Block::decode(bytes.clone().into()).is_err());
    // One byte less in the length, too: the payload itself is cut.
    let at = last - sample().payload.encoded().len() - 3;
    let length = sample().payload.encoded().len() as u32 - 1;
    bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
    assert!(Block::decode(bytes.into()).unwrap_err().reason.contains("payload"));
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

fn any_payload() -> impl Strategy<Value = Payload> {
    let transaction = proptest::collection::vec(any::<u8>(), 1..64).prop_map(Bytes::from);
    let transactions = proptest::collection::vec(transaction, 1..8);
    proptest::collection::btree_map(any::<u64>(), transactions, 0..6)
        .prop_map(|map| payload(map.into_iter().map(|(namespace, payloads)| Entry::new(namespace, payloads)).collect()))
}

proptest! {
    #[test]
    fn any_valid_block_round_trips(payload in any_payload(), commitment in proptest::collection::vec(any::<u8>(), 0..80)) {
        let block = Block { payload, commitment: commitment.into(), ..sample() };
        prop_assert_eq!(reencode(&block).unwrap(), block);
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Block::decode(bytes.clone().into());
        let _ = crate::certificate::Certificate::decode(bytes.into(), 4);
    }

    #[test]
    fn whatever_decodes_encodes_to_the_same_bytes(payload in any_payload(), position in any::<prop::sample::Index>(), value: u8) {
        let mut bytes = Block { payload, ..sample() }.encode().to_vec();
        let position = position.index(bytes.len());
        bytes[position] = value;
        if let Ok(block) = Block::decode(bytes.clone().into()) {
            prop_assert_eq!(block.encode().to_vec(), bytes);
        }
    }

    #[test]
    fn a_truncated_block_does_not_decode(payload in any_payload(), cut in any::<prop::sample::Index>()) {
        let bytes = Block { payload, ..sample() }.encode();
        prop_assert!(Block::decode(bytes.slice(..cut.index(bytes.len()))).is_err());
    }
}
