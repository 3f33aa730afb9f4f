use super::*;
use proptest::prelude::*;

/// Bytes without a pattern that a code could like.
fn payload(bytes: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..bytes).map(|_| next()).collect::<Vec<_>>().into()
}

fn some(shards: &Shards, indices: impl IntoIterator<Item = u32>) -> Vec<(u32, Bytes)> {
    indices.into_iter().map(|index| (index, shards.prove(index).unwrap().shard.0)).collect()
}

#[test]
fn any_third_gives_the_payload_back() {
    // One shard, several, an odd size, several strips with a last one that is no whole chunk.
    for bytes in [8, 16_384, 16_385, 60_001, 200_000, 1_100_001] {
        let payload = payload(bytes);
        let shards = Shards::encode(&payload).unwrap();
        let code = Code::of(bytes as u32).unwrap();
        let (data, total) = (code.data, code.total);
        for indices in [0..data, data..2 * data, total - data..total, data / 2..data / 2 + data] {
            let given = some(&shards, indices.clone());
            assert_eq!(
                reconstruct(bytes as u32, &given, &shards.root()).as_ref(),
                Ok(&payload),
                "{bytes} from {indices:?}"
            );
        }
        let all = some(&shards, 0..total);
        assert_eq!(reconstruct(bytes as u32, &all, &shards.root()).as_ref(), Ok(&payload), "{bytes} from all");
    }
}

#[test]
fn shards_verify_against_the_root_of_the_header() {
    for bytes in [8, 60_001] {
        let payload = payload(bytes);
        let shards = Shards::encode(&payload).unwrap();
        assert_eq!(shards.root(), root(&payload));
        for index in 0..shards.count() as u32 {
            assert!(shards.prove(index).unwrap().verify(root(&payload).into()).is_ok());
        }
        assert_eq!(shards.prove(shards.count() as u32), None);
    }
}

#[test]
fn too_few_or_wrong_shards_give_nothing() {
    let payload = payload(60_001);
    let shards = Shards::encode(&payload).unwrap();
    let give = |given: &[(u32, Bytes)]| reconstruct(60_001, given, &shards.root());
    assert_eq!(give(&some(&shards, 0..3)), Err(ErasureError::TooFew { given: 3, needed: 4 }));
    assert_eq!(give(&some(&shards, [0, 1, 2, 2])), Err(ErasureError::TooFew { given: 3, needed: 4 }));
    let mut changed = some(&shards, 4..8);
    changed[1].1 = Bytes::from(vec![0; changed[1].1.len()]);
    assert_eq!(give(&changed), Err(ErasureError::Root));
    let beyond = [(12, changed[0].1.clone())];
    assert_eq!(give(&beyond), Err(ErasureError::Shard { index: 12, bytes: 15_002, total: 12, expected: 15_002 }));
    let short = [(1, changed[0].1.slice(2..))];
    assert_eq!(give(&short), Err(ErasureError::Shard { index: 1, bytes: 15_000, total: 12, expected: 15_002 }));
    assert_eq!(reconstruct(0, &[], &[0; 32]), Err(ErasureError::Size(0)));
}

#[test]
fn strips_give_the_bytes_of_one_piece() {
    let (payload, code) = (payload(100_000), Code::of(100_000).unwrap());
    let data: Vec<Bytes> = (0..code.data).map(|index| data_shard(&payload, code, index)).collect();
    let count = (code.total - code.data) as usize;
    let mut encoder = Encoder::new(data.len(), count, code.shard_bytes as usize).unwrap();
    data.iter().for_each(|shard| encoder.add_original_shard(shard).unwrap());
    let whole: Vec<Bytes> = encoder.encode().unwrap().recovery_iter().map(Bytes::copy_from_slice).collect();
    assert!(code.shard_bytes as usize > STRIP_BYTES, "more than one strip");
    assert_eq!(parity(&data, code), whole);
}

#[test]
fn the_root_is_pinned() {
    // What the code and the tree give for these bytes may never change: headers commit to it.
    for (bytes, expected) in [(8, PINNED[0]), (60_001, PINNED[1])] {
        assert_eq!(hex::encode(root(&payload(bytes))), expected, "{bytes} bytes");
    }
}

const PINNED: [&str; 2] = [
    "4e71a5cb7319347a1f92d0f2a4dde8a5320769a85f29271d503cb4e52509b824",
    "4152e59884825b9a186e8cb917444c0ceb9635db7ef897188312e8502c090087",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_shards_enough_give_the_payload_back(bytes in 1..60_000usize, order in any::<[u8; 32]>()) {
        let payload = payload(bytes);
        let shards = Shards::encode(&payload).unwrap();
        let code = Code::of(bytes as u32).unwrap();
        let mut indices: Vec<u32> = (0..code.total).collect();
        indices.sort_by_key(|index| order[*index as usize % 32].wrapping_mul(*index as u8 | 1));
        let given = some(&shards, indices.into_iter().take(code.data as usize));
        prop_assert_eq!(reconstruct(bytes as u32, &given, &shards.root()), Ok(payload));
    }
}
