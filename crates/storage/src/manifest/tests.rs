//! A manifest has one encoding, and nothing else is read as one.

use super::*;
use crate::testing::content;
use proptest::prelude::*;
use protocol::content::raw_cid;

fn manifest(blocks: u32, per_segment: usize, n: u8) -> Manifest {
    let records: Vec<BlockRecord> =
        (0..blocks).map(|i| BlockRecord { cid: raw_cid(&i.to_be_bytes()), bytes: 1000 + i }).collect();
    let segment = |blocks: &[BlockRecord]| Segment {
        blocks: blocks.to_vec(),
        shards: content("ids", usize::from(n) * 32).chunks(32).map(B256::from_slice).collect(),
    };
    let segments = records.chunks(per_segment).map(segment).collect();
    Manifest { root: records[0].cid, k: n / 2, n, segments }
}

#[test]
fn manifests_round_trip() {
    for (blocks, per_segment, n) in [(1, 1, 2), (10, 3, 8), (1000, 16, 40)] {
        let manifest = manifest(blocks, per_segment, n);
        assert_eq!(Manifest::decode(&manifest.encode()).unwrap(), manifest);
    }
}

#[test]
fn blocks_follow_each_other_in_their_segment() {
    let positions: Vec<_> = manifest(4, 3, 2).positions().map(|(_, at)| (at.segment, at.bytes)).collect();
    assert_eq!(positions, [(0, 0..1000), (0, 1000..2001), (0, 2001..3003), (1, 0..1003)]);
    assert_eq!(manifest(4, 3, 2).bytes(), 4006);
}

#[test]
fn shards_are_as_long_as_the_data_needs() {
    assert_eq!(shard_bytes(0, 4), 1);
    assert_eq!(shard_bytes(1, 4), 1);
    assert_eq!(shard_bytes(8, 4), 2);
    assert_eq!(shard_bytes(9, 4), 3);
    assert_eq!(shard_bytes(SEGMENT_BYTES_MAX, 1), SHARD_BYTES_MAX);
}

#[test]
fn another_encoding_of_the_same_manifest_is_refused() {
    let bytes = manifest(3, 3, 4).encode();
    assert!(matches!(Manifest::decode(&[&bytes[..], b"\0"].concat()), Err(ManifestError::Format("not canonical"))));
    // The version as a one-byte integer argument instead of an immediate one.
    let longer = [&bytes[..1], &[0x18, 1], &bytes[2..]].concat();
    assert!(matches!(Manifest::decode(&longer), Err(ManifestError::Format("not canonical"))));
}

#[test]
fn limits_are_checked_with_their_values() {
    let mut large = manifest(1, 1, 2);
    large.segments[0].blocks[0].bytes = BLOCK_BYTES_MAX as u32 + 1;
    let error = Manifest::decode(&large.encode()).unwrap_err().to_string();
    assert_eq!(error, "manifest has 2097153 bytes in a block, at most 2097152 are allowed");

    let mut full = manifest(9, 9, 2);
    full.segments[0].blocks.iter_mut().for_each(|b| b.bytes = BLOCK_BYTES_MAX as u32);
    assert!(matches!(
        Manifest::decode(&full.encode()),
        Err(ManifestError::Count { what: "bytes in a segment", count: 18_874_368, max: SEGMENT_BYTES_MAX })
    ));
    full.segments[0].blocks.pop();
    assert!(Manifest::decode(&full.encode()).is_ok());

    assert!(matches!(Manifest::decode(&vec![0; MANIFEST_BYTES_MAX + 1]), Err(ManifestError::TooLarge(_))));
}

#[test]
fn contradictions_are_refused() {
    let good = manifest(3, 3, 4);
    let refused = |change: &dyn Fn(&mut Manifest)| {
        let mut changed = good.clone();
        change(&mut changed);
        Manifest::decode(&changed.encode()).unwrap_err().to_string()
    };
    assert_eq!(refused(&|m| m.k = 0), "not a manifest: k is not in 1..=n");
    assert_eq!(refused(&|m| m.k = 5), "not a manifest: k is not in 1..=n");
    assert_eq!(refused(&|m| m.k = 65), "manifest has 65 data shards, at most 64 are allowed");
    assert_eq!(refused(&|m| m.root = raw_cid(b"else")), "not a manifest: root is not among the blocks");
    assert_eq!(refused(&|m| m.segments[0].blocks.clear()), "not a manifest: blocks are not whole records");
    let shards = "not a manifest: segment has another number of shards than the code";
    assert_eq!(refused(&|m| m.segments[0].shards.truncate(3)), shards);
    let version2 = {
        let mut bytes = good.encode();
        bytes[1] = 2;
        bytes
    };
    assert!(matches!(Manifest::decode(&version2), Err(ManifestError::Version(2))));
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_without_panic(bytes: Vec<u8>) {
        let _ = Manifest::decode(&bytes);
    }

    #[test]
    fn a_changed_byte_gives_another_manifest_or_none(at: prop::sample::Index, value: u8) {
        let good = manifest(5, 2, 4);
        let mut bytes = good.encode();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != value);
        bytes[at] = value;
        if let Ok(other) = Manifest::decode(&bytes) {
            prop_assert_ne!(&other, &good);
            prop_assert_eq!(other.encode(), bytes);
        }
    }
}
