//! The code is the one that others use, and any `k` shards are enough.

use super::*;
use crate::testing::content;
use proptest::prelude::*;
use reed_solomon_erasure::galois_8::ReedSolomon;

fn data(k: usize, bytes: usize) -> Vec<Vec<u8>> {
    content("shards", k * bytes).chunks(bytes).map(<[u8]>::to_vec).collect()
}

fn encoded(code: &Code, bytes: usize) -> Vec<Vec<u8>> {
    let mut shards = data(code.k(), bytes);
    shards.extend(code.encode(&shards).unwrap());
    shards
}

#[test]
fn parity_is_that_of_an_independent_implementation() {
    for (k, n) in [(1, 2), (2, 3), (4, 8), (10, 20), (16, 40), (29, 80), (64, 255)] {
        for bytes in [1, 63, 64, 65, 1000] {
            let ours = encoded(&Code::new(k, n).unwrap(), bytes);
            let mut theirs = data(k, bytes);
            theirs.resize(n, vec![0; bytes]);
            ReedSolomon::new(k, n - k).unwrap().encode(&mut theirs).unwrap();
            assert!(ours == theirs, "{k} of {n}, {bytes} bytes");
        }
    }
}

#[test]
fn stripes_do_not_show() {
    for bytes in [STRIPE_BYTES - 1, STRIPE_BYTES, STRIPE_BYTES + 1, 3 * STRIPE_BYTES + 77] {
        let ours = encoded(&Code::new(3, 5).unwrap(), bytes);
        let mut theirs = data(3, bytes);
        theirs.resize(5, vec![0; bytes]);
        ReedSolomon::new(3, 2).unwrap().encode(&mut theirs).unwrap();
        assert!(ours == theirs, "{bytes} bytes");
    }
}

#[test]
fn every_choice_of_k_shards_rebuilds_all() {
    let code = Code::new(3, 7).unwrap();
    let shards = encoded(&code, 100);
    for mask in 0u32..1 << 7 {
        let mut partial: Vec<Option<Vec<u8>>> =
            shards.iter().enumerate().map(|(i, s)| (mask >> i & 1 == 1).then(|| s.clone())).collect();
        let result = code.reconstruct(&mut partial);
        let present = mask.count_ones() as usize;
        if present < 3 {
            assert_eq!(result, Err(ErasureError::TooFew { present, needed: 3 }));
        } else {
            let rebuilt: Vec<Vec<u8>> = partial.into_iter().flatten().collect();
            assert_eq!(rebuilt, shards, "shards present: {mask:07b}");
        }
    }
}

#[test]
fn missing_data_comes_from_any_shards_in_any_order() {
    let code = Code::new(4, 8).unwrap();
    let shards = encoded(&code, 999);
    let present: Vec<(usize, &Vec<u8>)> = [7, 1, 5, 4].map(|i| (i, &shards[i])).to_vec();
    let expected: Vec<_> = [0, 2, 3].map(|i| (i, shards[i].clone())).to_vec();
    assert_eq!(code.missing_data(&present).unwrap(), expected);
    let all: Vec<(usize, &Vec<u8>)> = [3, 2, 1, 0].map(|i| (i, &shards[i])).to_vec();
    assert!(code.missing_data(&all).unwrap().is_empty());
    let doubled: Vec<(usize, &Vec<u8>)> = [7, 7, 7, 7].map(|i| (i, &shards[i])).to_vec();
    assert_eq!(code.missing_data(&doubled), Err(ErasureError::TooFew { present: 1, needed: 4 }));
}

#[test]
fn one_of_one_is_the_data() {
    let code = Code::new(1, 1).unwrap();
    assert!(code.encode(&[b"x"]).unwrap().is_empty());
    assert!(code.missing_data(&[(0, b"x")]).unwrap().is_empty());
}

#[test]
fn codes_out_of_range_are_refused() {
    for (k, n) in [(0, 1), (2, 1), (65, 100), (1, 256)] {
        assert_eq!(Code::new(k, n).unwrap_err(), ErasureError::Code { k, n });
    }
    assert!(Code::new(64, 255).is_ok());
}

#[test]
fn wrong_numbers_and_lengths_of_shards_are_refused() {
    let code = Code::new(2, 4).unwrap();
    assert_eq!(code.encode(&[b"a"]), Err(ErasureError::Shards { given: 1, expected: 2 }));
    assert_eq!(code.encode(&[&b"ab"[..], b"a"]), Err(ErasureError::Length { index: 1, bytes: 1, expected: 2 }));
    assert_eq!(code.reconstruct(&mut [None, None]), Err(ErasureError::Shards { given: 2, expected: 4 }));
    let beyond = code.missing_data(&[(0, b"a"), (4, b"b")]);
    assert_eq!(beyond, Err(ErasureError::Shards { given: 4, expected: 4 }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn random_losses_are_rebuilt(k in 1usize..12, extra in 0usize..12, bytes in 0usize..300, order: u64) {
        let code = Code::new(k, k + extra).unwrap();
        let mut shards = content("losses", k * bytes).chunks(bytes.max(1)).map(<[u8]>::to_vec).collect::<Vec<_>>();
        shards.resize(k, Vec::new());
        shards.extend(code.encode(&shards).unwrap());
        let mut indices: Vec<usize> = (0..k + extra).collect();
        indices.sort_by_key(|i| order.wrapping_mul(2 * *i as u64 + 1).rotate_left(29));
        let mut partial = vec![None; k + extra];
        indices[..k].iter().for_each(|i| partial[*i] = Some(shards[*i].clone()));
        code.reconstruct(&mut partial).unwrap();
        prop_assert_eq!(partial.into_iter().flatten().collect::<Vec<_>>(), shards);
    }
}
