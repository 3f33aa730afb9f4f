use super::*;
use crate::merkle::Tree;
use proptest::prelude::*;

/// What it does, and how.
type Change = (&'static str, fn(&mut ShardProof));

/// Shards of some bytes; that they are a codeword is not this module's to check.
fn prove(payload_bytes: u32, index: u32) -> (B256, ShardProof) {
    let code = Code::of(payload_bytes).unwrap();
    let shard = |index: u32| Bytes::from(vec![index as u8; code.shard_bytes as usize]);
    let tree = Tree::new((0..code.total).map(|index| leaf(&shard(index))).collect());
    let proof = ShardProof { payload_bytes, index, path: tree.path(index as usize), shard: shard(index) };
    (erasure_root(payload_bytes, &tree.root()), proof)
}

#[test]
fn the_size_of_the_payload_fixes_the_code() {
    let code = |bytes| Code::of(bytes).map(|code| (code.data, code.total, code.shard_bytes));
    assert_eq!(code(0), None);
    assert_eq!(code(1), Some((1, 3, 2)));
    assert_eq!(code(SHARD_BYTES_MIN), Some((1, 3, 16_384)));
    assert_eq!(code(SHARD_BYTES_MIN + 1), Some((2, 6, 8_194)));
    assert_eq!(code(1 << 20), Some((64, 192, 16_384)));
    assert_eq!(code(PAYLOAD_BYTES_MAX as u32), Some((128, 384, 65_536)));
    assert_eq!(code(PAYLOAD_BYTES_MAX as u32 + 1), None);
}

#[test]
fn shards_hold_the_payload() {
    for bytes in (1..40).map(|n| n * 4_099).chain([PAYLOAD_BYTES_MAX as u32]) {
        let code = Code::of(bytes).unwrap();
        assert!(code.data * code.shard_bytes >= bytes && code.shard_bytes.is_multiple_of(2), "{bytes} bytes");
    }
}

#[test]
fn every_shard_is_proven_at_its_place_only() {
    for index in 0..12 {
        let (root, proof) = prove(60_000, index);
        assert_eq!(proof.verify(root), Ok(&proof.shard));
        assert_eq!(ShardProof::decode(&proof.encode()).as_ref(), Ok(&proof));
        let text = serde_json::to_string(&proof).unwrap();
        assert_eq!(serde_json::from_str::<ShardProof>(&text).unwrap(), proof);
        for other in (0..14).filter(|other| *other != index) {
            assert!(ShardProof { index: other, ..proof.clone() }.verify(root).is_err());
        }
    }
}

#[test]
fn what_was_changed_does_not_verify() {
    let (root, honest) = prove(60_000, 5);
    let changes: [Change; 6] = [
        ("other bytes", |p| p.shard = vec![0; p.shard.len()].into()),
        ("shorter", |p| p.shard = p.shard.slice(2..)),
        ("other size of payload", |p| p.payload_bytes += 1),
        ("no payload", |p| p.payload_bytes = 0),
        ("other path", |p| p.path.swap(0, 1)),
        ("shorter path", |p| p.path.truncate(1)),
    ];
    for (what, change) in changes {
        let mut proof = honest.clone();
        change(&mut proof);
        assert!(proof.verify(root).is_err(), "{what}");
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), payload in 0..600u32) {
        let framed = [&payload.to_be_bytes()[..], &[0, 0, 0, 1], &bytes].concat();
        for bytes in [bytes, framed] {
            if let Ok(proof) = ShardProof::decode(&bytes) {
                prop_assert_eq!(proof.encode(), bytes);
                prop_assert!(proof.verify(B256::ZERO).is_err());
            }
        }
    }
}
