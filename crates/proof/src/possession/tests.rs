use super::*;
use proptest::prelude::*;

fn data(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

fn check(data: &[u8], indices: &[u64], answer: &Answer) -> Result<(), PossessionError> {
    let (leaves, path) = (&answer.leaves, &answer.path);
    Proof { root: root(data).unwrap(), size: data.len() as u64, indices, leaves, path }.verify()
}

/// Root by the definition in RFC 9162 section 2.1.1, one level at a time instead of one subtree at a time.
fn root_by_levels(data: &[u8]) -> B256 {
    let mut level: Vec<B256> = data.chunks(LEAF_BYTES).map(leaf_hash).collect();
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| if let [l, r] = *pair { node_hash(l, r) } else { pair[0] }).collect();
    }
    level[0]
}

#[test]
fn the_tree_is_that_of_the_rfc() {
    for leaves in 1..40 {
        for cut in [0, 1, 255] {
            let data = data(leaves * LEAF_BYTES - cut);
            assert_eq!(root(&data).unwrap(), root_by_levels(&data), "{leaves} leaves less {cut} bytes");
        }
    }
    assert_eq!(root(&[]), Err(PossessionError::Size(0)));
}

#[test]
fn every_leaf_alone_and_all_together_can_be_proven() {
    for leaves in 1..20u64 {
        let data = data(leaves as usize * LEAF_BYTES - 100);
        for index in 0..leaves {
            assert_eq!(check(&data, &[index], &prove(&data, &[index]).unwrap()), Ok(()));
        }
        let all: Vec<u64> = (0..leaves).collect();
        let answer = prove(&data, &all).unwrap();
        assert!(answer.path.is_empty() && answer.leaves == data);
        assert_eq!(check(&data, &all, &answer), Ok(()));
    }
}

#[test]
fn a_proof_for_many_leaves_names_no_hash_twice() {
    let data = data(64 * LEAF_BYTES);
    assert_eq!(prove(&data, &[5]).unwrap().path.len(), 6);
    assert_eq!(prove(&data, &[4, 5]).unwrap().path.len(), 5);
    assert_eq!(prove(&data, &[0, 63]).unwrap().path.len(), 10);
}

#[test]
fn anything_missing_or_superfluous_is_named() {
    let data = data(9 * LEAF_BYTES + 7);
    let indices = [1, 9];
    let good = prove(&data, &indices).unwrap();
    let changed = |change: &dyn Fn(&mut Answer)| {
        let mut answer = good.clone();
        change(&mut answer);
        check(&data, &indices, &answer)
    };
    let hashes = good.path.len();
    assert_eq!(changed(&|answer| answer.path.truncate(hashes - 1)), Err(PossessionError::Path(hashes - 1)));
    assert_eq!(changed(&|answer| answer.path.push(B256::ZERO)), Err(PossessionError::Path(hashes + 1)));
    assert_eq!(changed(&|a| a.leaves.push(0)), Err(PossessionError::Leaves { found: 264, expected: 263 }));
    assert_eq!(changed(&|a| a.leaves.truncate(262)), Err(PossessionError::Leaves { found: 262, expected: 263 }));
    for indices in [vec![1, 1], vec![9, 1], vec![10], vec![0, u64::MAX]] {
        let refused = check(&data, &indices, &good);
        assert!(matches!(refused, Err(PossessionError::Index { leaves: 10, .. })), "{indices:?}: {refused:?}");
    }
    assert_eq!(check(&data, &[], &good), Err(PossessionError::Challenges(0)));
    let many: Vec<u64> = (0..=CHALLENGES_MAX as u64).collect();
    assert_eq!(check(&data, &many, &good), Err(PossessionError::Challenges(257)));
}

#[test]
fn the_size_is_part_of_what_is_proven() {
    let data = data(5 * LEAF_BYTES);
    let answer = prove(&data, &[4]).unwrap();
    let root = root(&data).unwrap();
    let sized = |size| Proof { root, size, indices: &[4], leaves: &answer.leaves, path: &answer.path }.verify();
    assert_eq!(sized(5 * 256), Ok(()));
    for size in [0, 5 * 256 - 1, 5 * 256 + 1, 6 * 256, 9 * 256, SIZE_BYTES_MAX, SIZE_BYTES_MAX + 1, u64::MAX] {
        assert!(sized(size).is_err(), "{size}");
    }
}

#[test]
fn draws_are_ascending_bounded_and_differ_by_seed() {
    let tebibyte = 1 << 40;
    let drawn = draw(B256::repeat_byte(1), tebibyte, 5).unwrap();
    assert_eq!(drawn.len(), 5);
    assert!(drawn.is_sorted_by(|a, b| a < b) && drawn.iter().all(|index| *index < 1 << 32));
    assert_ne!(drawn, draw(B256::repeat_byte(2), tebibyte, 5).unwrap());
    assert_eq!(draw(B256::ZERO, 3 * 256, 256).unwrap(), [0, 1, 2], "numbers drawn twice count once");
    assert_eq!(draw(B256::ZERO, 256, 0), Err(PossessionError::Challenges(0)));
    assert_eq!(draw(B256::ZERO, 256, 257), Err(PossessionError::Challenges(257)));
    assert_eq!(draw(B256::ZERO, 0, 1), Err(PossessionError::Size(0)));
    assert_eq!(draw(B256::ZERO, SIZE_BYTES_MAX + 1, 1), Err(PossessionError::Size(SIZE_BYTES_MAX + 1)));
    assert!(draw(B256::ZERO, SIZE_BYTES_MAX, 1).is_ok());
}

#[test]
fn draws_cover_the_leaves_evenly() {
    let mut counts = [0u32; 16];
    for seed in 0..=255 {
        let indices = draw(B256::repeat_byte(seed), 16 * 256, 1).unwrap();
        counts[indices[0] as usize] += 1;
    }
    // 16 expected in each; five standard deviations.
    assert!(counts.iter().all(|count| (1..=36).contains(count)), "{counts:?}");
}

proptest! {
    #[test]
    fn what_was_proven_verifies_and_no_changed_bit_does(
        size in 1usize..20_000, seed: [u8; 32], count in 1usize..20, place: prop::sample::Index,
    ) {
        let data = data(size);
        let indices = draw(seed.into(), size as u64, count).unwrap();
        let answer = prove(&data, &indices).unwrap();
        prop_assert_eq!(check(&data, &indices, &answer), Ok(()));
        let bits = 8 * (answer.leaves.len() + 32 * answer.path.len());
        let bit = place.index(bits);
        let mut changed = answer.clone();
        match changed.leaves.get_mut(bit / 8) {
            Some(byte) => *byte ^= 1 << (bit % 8),
            None => {
                let byte = bit / 8 - answer.leaves.len();
                changed.path[byte / 32][byte % 32] ^= 1 << (bit % 8);
            }
        }
        let refused = check(&data, &indices, &changed);
        prop_assert!(matches!(refused, Err(PossessionError::Root { .. })), "{:?}", refused);
    }

    #[test]
    fn arbitrary_proofs_are_refused_without_a_panic(
        size: u64, indices in prop::collection::vec(0u64..1 << 20, 0..8), leaves: Vec<u8>, path: Vec<[u8; 32]>,
    ) {
        let path: Vec<B256> = path.into_iter().map(B256::from).collect();
        let (indices, leaves, path) = (&indices, &leaves, &path);
        let proof = Proof { root: B256::ZERO, size, indices, leaves, path };
        prop_assert!(proof.verify().is_err());
    }
}
