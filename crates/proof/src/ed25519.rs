//! Ed25519 signatures by the rules of ZIP 215, which every verifier decides alike.
//!
//! RFC 8032 leaves open which encodings of points are accepted and whether the cofactor counts, so that two correct
//! libraries may disagree about a crafted signature. A chain cannot: these are the rules that the committee's own
//! verifier follows, checked one signature at a time (ZIP 215 makes that agree with checking many at once).
//! Source: ZIP 215, and section 5.4.6 of the Zcash protocol specification.

use curve25519_dalek::{
    edwards::{CompressedEdwardsY, EdwardsPoint},
    scalar::Scalar,
    traits::IsIdentity,
};
use sha2::{Digest, Sha512};

/// Bytes of a public key.
pub(crate) const KEY_BYTES: usize = 32;
/// Bytes of a signature.
pub(crate) const SIGNATURE_BYTES: usize = 64;

/// Whether `signature` is by `key` over the concatenation of `message`.
///
/// `[8][s]B = [8]R + [8][k]A`, where A and R may be encoded in any way and `s` must be below the group's order.
pub(crate) fn verify(key: &[u8; KEY_BYTES], message: &[&[u8]], signature: &[u8; SIGNATURE_BYTES]) -> bool {
    let (r_bytes, s_bytes) = signature.split_at(32);
    let s_bytes: [u8; 32] = s_bytes.try_into().expect("half of 64 bytes");
    let Some(a) = CompressedEdwardsY(*key).decompress() else { return false };
    let Some(r) = CompressedEdwardsY::from_slice(r_bytes).ok().and_then(|r| r.decompress()) else { return false };
    let Some(s) = Scalar::from_canonical_bytes(s_bytes).into_option() else { return false };
    let mut hash = Sha512::new().chain_update(r_bytes).chain_update(key);
    message.iter().for_each(|part| hash.update(part));
    let k = Scalar::from_hash(hash);
    let expected = EdwardsPoint::vartime_double_scalar_mul_basepoint(&k, &-a, &s);
    (r - expected).mul_by_cofactor().is_identity()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::hex;

    /// Section 7.1 of RFC 8032: key, message, signature.
    const RFC8032: [([u8; 32], &[u8], [u8; 64]); 3] = [
        (
            hex!("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
            &[],
            hex!(
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
            ),
        ),
        (
            hex!("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
            &hex!("72"),
            hex!(
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
            ),
        ),
        (
            hex!("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"),
            &hex!("af82"),
            hex!(
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
            ),
        ),
    ];

    #[test]
    fn published_signatures_verify() {
        for (key, message, signature) in RFC8032 {
            assert!(verify(&key, &[message], &signature));
        }
        let (key, _, signature) = RFC8032[2];
        assert!(verify(&key, &[b"\xaf", b"\x82"], &signature), "parts are one message");
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let (key, message, signature) = RFC8032[1];
        assert!(!verify(&key, &[b"s"], &signature));
        for bit in 0..512 {
            let mut changed = signature;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify(&key, &[message], &changed), "bit {bit} of the signature");
        }
        for bit in 0..256 {
            let mut changed = key;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify(&changed, &[message], &signature), "bit {bit} of the key");
        }
    }

    #[test]
    fn a_second_form_of_the_same_scalar_is_refused() {
        // s + l, where l is the order of the group: the equation holds, the encoding does not.
        let order = hex!("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
        let (key, message, mut signature) = RFC8032[0];
        let mut carry = 0;
        for (byte, add) in signature[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            (*byte, carry) = (sum as u8, sum >> 8);
        }
        assert!(!verify(&key, &[message], &signature));
    }
}
