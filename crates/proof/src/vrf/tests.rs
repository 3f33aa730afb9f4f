use super::*;
use alloy_primitives::hex;
use curve25519_dalek::constants::EIGHT_TORSION;
use proptest::prelude::*;

/// Appendix B.4 of RFC 9381, examples 19 to 21: secret, key, input, proof, output.
const RFC9381: [[&str; 5]; 3] = [
    [
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "7d9c633ffeee27349264cf5c667579fc583b4bda63ab71d001f89c10003ab46f14adf9a3cd8b8412d9038531e865c341cafa73589b023d14311c331a9ad15ff2fb37831e00f0acaa6d73bc9997b06501",
        "9d574bf9b8302ec0fc1e21c3ec5368269527b87b462ce36dab2d14ccf80c53cccf6758f058c5b1c856b116388152bbe509ee3b9ecfe63d93c3b4346c1fbc6c54",
    ],
    [
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "47b327393ff2dd81336f8a2ef10339112401253b3c714eeda879f12c509072ef055b48372bb82efbdce8e10c8cb9a2f9d60e93908f93df1623ad78a86a028d6bc064dbfc75a6a57379ef855dc6733801",
        "38561d6b77b71d30eb97a062168ae12b667ce5c28caccdf76bc88e093e4635987cd96814ce55b4689b3dd2947f80e59aac7b7675f8083865b46c89b2ce9cc735",
    ],
    [
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "926e895d308f5e328e7aa159c06eddbe56d06846abf5d98c2512235eaa57fdce35b46edfc655bc828d44ad09d1150f31374e7ef73027e14760d42e77341fe05467bb286cc2c9d7fde29120a0b2320d04",
        "121b7f9b9aaaa29099fc04a94ba52784d44eac976dd1a3cca458733be5cd090a7b5fbd148444f17f8daf1fb55cb04b1ae85a626e30a54b4b0f8abf4a43314a58",
    ],
];

const INPUT: &[u8] = b"input";

/// The order of the group, little endian.
const ORDER: [u8; 32] = hex!("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");

fn secret(seed: u8) -> Secret {
    Secret::new([seed; SECRET_BYTES])
}

/// The proof that a holder makes who draws the nonce itself, with an input and gamma of its choice.
fn proof_with(secret: &Secret, input: &[u8], gamma: EdwardsPoint, nonce: Scalar) -> [u8; PROOF_BYTES] {
    let hashed = secret.key.hash_to_curve(input);
    let points = [hashed, gamma, EdwardsPoint::mul_base(&nonce), nonce * hashed].map(|point| bytes_of(&point));
    let challenge = challenge_of([&secret.key.bytes, &points[0], &points[1], &points[2], &points[3]]);
    let response = nonce + scalar_of(&challenge) * secret.x;
    [&points[1][..], &challenge, response.as_bytes()].concat().try_into().unwrap()
}

#[test]
fn the_vectors_of_the_rfc_hold() {
    for [seed, key, input, proof, result] in RFC9381 {
        let input = hex::decode(input).unwrap();
        let secret = Secret::new(hex::decode(seed).unwrap().try_into().unwrap());
        assert_eq!(hex::encode(secret.key().bytes()), key);
        assert_eq!(hex::encode(secret.prove(&input)), proof);
        let proof = hex::decode(proof).unwrap();
        let shown = Key::decode(&hex::decode(key).unwrap()).unwrap().verify(&input, &proof).unwrap();
        assert_eq!(hex::encode(shown.0), result);
        assert_eq!(output(&proof), Some(shown));
    }
}

#[test]
fn a_proof_is_about_one_key_and_one_input() {
    let proof = secret(1).prove(INPUT);
    assert!(secret(1).key().verify(INPUT, &proof).is_some());
    assert_eq!(secret(2).key().verify(INPUT, &proof), None);
    assert_eq!(secret(1).key().verify(b"other", &proof), None);
}

#[test]
fn another_proof_has_the_same_output() {
    let secret = secret(1);
    let proof = secret.prove(INPUT);
    let gamma = secret.x * secret.key.hash_to_curve(INPUT);
    for nonce in 1..20u64 {
        let other = proof_with(&secret, INPUT, gamma, Scalar::from(nonce));
        assert_ne!(other, proof);
        assert_eq!(secret.key().verify(INPUT, &other), output(&proof));
    }
}

/// Adding a point of small order to gamma may give another valid proof, when the challenge is a multiple of that order;
/// the output is the same.
#[test]
fn a_gamma_outside_of_the_group_changes_nothing() {
    let secret = secret(1);
    let wanted = output(&secret.prove(INPUT));
    let gamma = secret.x * secret.key.hash_to_curve(INPUT) + EIGHT_TORSION[4];
    let proofs = (1..40u64).map(|nonce| proof_with(&secret, INPUT, gamma, Scalar::from(nonce)));
    let shown: Vec<_> = proofs.filter_map(|proof| secret.key().verify(INPUT, &proof)).collect();
    assert!(!shown.is_empty(), "half of the challenges are even");
    assert!(shown.iter().all(|shown| Some(*shown) == wanted));
}

#[test]
fn a_gamma_of_choice_shows_nothing() {
    let secret = secret(1);
    let gamma = (secret.x + Scalar::ONE) * secret.key.hash_to_curve(INPUT);
    assert_eq!(secret.key().verify(INPUT, &proof_with(&secret, INPUT, gamma, Scalar::from(5u64))), None);
}

#[test]
fn keys_of_small_order_or_with_a_second_encoding_are_refused() {
    for point in EIGHT_TORSION {
        assert_eq!(Key::decode(&bytes_of(&point)), Err(KeyError(32)));
    }
    // p + 3, of which 3 is the coordinate of a point of large order.
    let mut second = [0xff; 32];
    (second[0], second[31]) = (0xf0, 0x7f);
    assert!(CompressedEdwardsY(second).decompress().is_some_and(|point| !point.is_small_order()), "it decodes");
    assert_eq!(Key::decode(&second), Err(KeyError(32)));
    assert_eq!(Key::decode(&bytes_of(&CompressedEdwardsY(second).decompress().unwrap())).unwrap().bytes()[0], 3);
    assert_eq!(Key::decode(&[2; 31]), Err(KeyError(31)));
    assert_eq!(Key::decode(&[0; 33]), Err(KeyError(33)));
}

#[test]
fn a_response_has_one_encoding() {
    let secret = secret(1);
    let mut proof = secret.prove(INPUT);
    let mut carry = 0;
    for (byte, order) in proof[48..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    assert_eq!(carry, 0);
    assert_eq!(secret.key().verify(INPUT, &proof), None);
    assert_eq!(output(&proof), None);
}

#[test]
fn a_secret_survives_its_seed_and_does_not_show() {
    let secret = secret(9);
    assert_eq!(Secret::new(*secret.seed()).key(), secret.key());
    assert!(!format!("{secret:?}").contains("9, 9"));
}

proptest! {
    #[test]
    fn what_is_proven_verifies_and_nothing_near_it(
        seed: [u8; 32],
        input in proptest::collection::vec(any::<u8>(), 0..64),
        bit in 0..8 * PROOF_BYTES,
    ) {
        let secret = Secret::new(seed);
        let mut proof = secret.prove(&input);
        prop_assert_eq!(secret.key().verify(&input, &proof), output(&proof));
        proof[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(secret.key().verify(&input, &proof), None);
        let longer = [&proof[..], &[0]].concat();
        prop_assert_eq!(secret.key().verify(&input, &longer), None);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = (Key::decode(&bytes), output(&bytes), secret(1).key().verify(INPUT, &bytes));
    }
}
