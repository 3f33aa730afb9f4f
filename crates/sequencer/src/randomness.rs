//! Randomness that each block adds to: nobody can choose it, anybody can check it.
//!
//! The proposer of height `h` reveals the value of a verifiable random function ([`proof::vrf`]) for the chain id and `h`,
//! with the proof of it. A key has one value for each height, so the proposer has exactly one to reveal; all it can do is
//! keep silent and lose its turn. The randomness of a block is the SHA-256 of its parent's randomness and the value. The
//! proof is not unique and is not mixed in.

use commonware_cryptography::{Hasher as _, Sha256};
use commonware_utils::sys_rng;
use proof::vrf;
use rand_core::Rng as _;

/// Bytes of a reveal: the proof that shows the value.
pub const REVEAL_BYTES: usize = vrf::PROOF_BYTES;

const REVEAL_DOMAIN: &[u8] = b"kumo/randomness/reveal/v2";
const MIX_DOMAIN: &[u8] = b"kumo/randomness/mix/v2";
const SEED_DOMAIN: &[u8] = b"kumo/randomness/development/v1";

fn message(chain_id: u64, height: u64) -> Vec<u8> {
    [REVEAL_DOMAIN, &chain_id.to_be_bytes(), &height.to_be_bytes()].concat()
}

/// A new secret from the operating system's randomness.
pub(crate) fn generate() -> vrf::Secret {
    let mut seed = [0; vrf::SECRET_BYTES];
    sys_rng().fill_bytes(&mut seed);
    vrf::Secret::new(seed)
}

/// A secret that everybody can derive: for development networks and tests only.
pub(crate) fn from_seed(seed: u64) -> vrf::Secret {
    vrf::Secret::new(Sha256::hash(&[SEED_DOMAIN, &seed.to_be_bytes()]).0)
}

/// What the holder of `secret` reveals at `height`.
pub(crate) fn reveal(secret: &vrf::Secret, chain_id: u64, height: u64) -> Vec<u8> {
    secret.prove(&message(chain_id, height)).to_vec()
}

/// Whether `reveal` shows the value that the holder of `key` had to reveal at `height`.
pub(crate) fn verify_reveal(key: &vrf::Key, chain_id: u64, height: u64, reveal: &[u8]) -> bool {
    key.verify(&message(chain_id, height), reveal).is_some()
}

/// Randomness of a block from its parent's randomness and its own reveal, which is not verified here; `None` if it does
/// not even decode.
pub fn mix(parent: &[u8; 32], reveal: &[u8]) -> Option<[u8; 32]> {
    let value = vrf::output(reveal)?;
    Some(Sha256::hash(&[MIX_DOMAIN, parent, &value.0]).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reveal_is_about_one_height_chain_and_key() {
        let secret = from_seed(1);
        let revealed = reveal(&secret, 5886, 7);
        assert_eq!(revealed.len(), REVEAL_BYTES);
        assert_eq!(revealed, reveal(&secret, 5886, 7));
        assert!(verify_reveal(secret.key(), 5886, 7, &revealed));
        assert!(!verify_reveal(secret.key(), 5886, 8, &revealed));
        assert!(!verify_reveal(secret.key(), 5887, 7, &revealed));
        assert!(!verify_reveal(from_seed(2).key(), 5886, 7, &revealed));
        assert_ne!(generate().key(), generate().key());
    }

    #[test]
    fn malformed_reveal_is_refused_and_mixes_to_nothing() {
        let key = *from_seed(1).key();
        for bad in [vec![], vec![0xff; REVEAL_BYTES], vec![0; REVEAL_BYTES - 1], vec![0; REVEAL_BYTES + 1]] {
            assert!(!verify_reveal(&key, 1, 1, &bad));
            assert_eq!(mix(&[0; 32], &bad), None);
        }
        assert!(!verify_reveal(&key, 1, 1, &[0; REVEAL_BYTES]));
    }

    #[test]
    fn mix_depends_on_parent_and_value_and_not_on_the_proof() {
        let (one, other) = (reveal(&from_seed(1), 1, 1), reveal(&from_seed(1), 1, 2));
        let mixed = mix(&[0; 32], &one).unwrap();
        assert_ne!(mix(&[1; 32], &one).unwrap(), mixed);
        assert_ne!(mix(&[0; 32], &other).unwrap(), mixed);
        // The response of the other proof: it does not verify, and shows the same value.
        let swapped = [&one[..48], &other[48..]].concat();
        assert_eq!(mix(&[0; 32], &swapped), Some(mixed));
    }
}
