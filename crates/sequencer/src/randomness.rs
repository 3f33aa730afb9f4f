//! Randomness that each block adds to: nobody can choose it, anybody can check it.
//!
//! The proposer of height `h` reveals its BLS12-381 signature over the chain id and `h` (keys in G1, signatures in G2,
//! RFC 9380 hashing). BLS signatures are unique, so the proposer has exactly one value to reveal; all it can do is
//! keep silent and lose its turn. The randomness of a block is the SHA-256 of its parent's randomness and the reveal.

use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_cryptography::{Hasher as _, Sha256, Signer as _, Verifier as _, bls12381};

/// Bytes of a reveal: a compressed point of G2.
pub const REVEAL_BYTES: usize = 96;

const REVEAL_DOMAIN: &[u8] = b"kumo/randomness/reveal/v1";
const MIX_DOMAIN: &[u8] = b"kumo/randomness/mix/v1";

fn message(chain_id: u64, height: u64) -> [u8; 16] {
    let mut message = [0; 16];
    message[..8].copy_from_slice(&chain_id.to_be_bytes());
    message[8..].copy_from_slice(&height.to_be_bytes());
    message
}

/// The one value that the holder of `key` can reveal at `height`.
pub(crate) fn reveal(key: &bls12381::PrivateKey, chain_id: u64, height: u64) -> Vec<u8> {
    key.sign(REVEAL_DOMAIN, &message(chain_id, height)).encode().to_vec()
}

/// Whether `reveal` is what the holder of `key` had to reveal at `height`.
pub(crate) fn verify_reveal(key: &bls12381::PublicKey, chain_id: u64, height: u64, reveal: &[u8]) -> bool {
    bls12381::Signature::decode(Copying(reveal))
        .is_ok_and(|signature| key.verify(REVEAL_DOMAIN, &message(chain_id, height), &signature))
}

/// Randomness of a block from its parent's randomness and its own reveal.
pub fn mix(parent: &[u8; 32], reveal: &[u8]) -> [u8; 32] {
    Sha256::hash(&[MIX_DOMAIN, parent, reveal]).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reveal_is_unique_per_height_chain_and_key() {
        let key = bls12381::PrivateKey::from_seed(1);
        let public = key.public_key();
        let revealed = reveal(&key, 5886, 7);
        assert_eq!(revealed.len(), REVEAL_BYTES);
        assert_eq!(revealed, reveal(&key, 5886, 7));
        assert!(verify_reveal(&public, 5886, 7, &revealed));
        assert!(!verify_reveal(&public, 5886, 8, &revealed));
        assert!(!verify_reveal(&public, 5887, 7, &revealed));
        assert!(!verify_reveal(&bls12381::PrivateKey::from_seed(2).public_key(), 5886, 7, &revealed));
    }

    #[test]
    fn malformed_reveal_is_refused() {
        let public = bls12381::PrivateKey::from_seed(1).public_key();
        for bad in [vec![], vec![0; 95], vec![0; REVEAL_BYTES], vec![0xff; REVEAL_BYTES], vec![0; 97]] {
            assert!(!verify_reveal(&public, 1, 1, &bad));
        }
    }

    #[test]
    fn mix_depends_on_parent_and_reveal() {
        assert_ne!(mix(&[0; 32], b"a"), mix(&[1; 32], b"a"));
        assert_ne!(mix(&[0; 32], b"a"), mix(&[0; 32], b"b"));
    }
}
