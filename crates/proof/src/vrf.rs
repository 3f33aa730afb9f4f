//! Whether a value is the one that the holder of a key had to give for an input.
//!
//! A verifiable random function: nobody but the holder of the secret knows the output before it is shown, and there is
//! one output for each key and input, whoever made the key. The proof of it is not unique (a holder who draws another
//! nonce makes another proof), so what must not be chosen is taken from the [`Output`], never from the proof.
//!
//! ```text
//! key    = point (32)
//! proof  = gamma, a point (32) ‖ challenge (16) ‖ response (32)
//! output = SHA-512(4 ‖ 3 ‖ 8 · gamma ‖ 0)
//! ```
//!
//! Points have one encoding (RFC 8032 section 5.1.3: the coordinate is reduced, and zero has no sign), the response is
//! below the group's order, and keys of small order are refused: that is what section 5.4.5 of the RFC asks for full
//! uniqueness.
//! Source: RFC 9381, suite ECVRF-EDWARDS25519-SHA512-ELL2, with its test vectors; RFC 9380 for hashing to the curve.

use curve25519_dalek::{
    edwards::{CompressedEdwardsY, EdwardsPoint},
    scalar::{Scalar, clamp_integer},
    traits::VartimeMultiscalarMul as _,
};
use sha2::{Digest, Sha512};
use std::fmt;
use zeroize::{Zeroize as _, Zeroizing};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a secret.
pub const SECRET_BYTES: usize = 32;
/// Bytes of a proof.
pub const PROOF_BYTES: usize = 32 + CHALLENGE_BYTES + 32;

const CHALLENGE_BYTES: usize = 16;
const SUITE: u8 = 4;
const HASH_DOMAIN: &[u8] = b"ECVRF_edwards25519_XMD:SHA-512_ELL2_NU_\x04";
const CHALLENGE_FRONT: u8 = 2;
const OUTPUT_FRONT: u8 = 3;
const BACK: u8 = 0;

/// Bytes are no key: not a point in its only encoding, or one of small order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes are not a key of Ed25519: a compressed point, not of small order, has {KEY_BYTES}")]
pub struct KeyError(pub usize);

/// The value that belongs to a key and an input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Output(pub [u8; 64]);

/// What proofs are verified with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key {
    bytes: [u8; KEY_BYTES],
    point: EdwardsPoint,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", alloy_primitives::hex::encode(self.bytes))
    }
}

impl Key {
    /// Decodes a key and checks that it may be used.
    ///
    /// # Errors
    /// When the bytes are no point, not its only encoding, or a point of small order.
    pub fn decode(bytes: &[u8]) -> Result<Self, KeyError> {
        let fail = KeyError(bytes.len());
        let bytes: [u8; KEY_BYTES] = bytes.try_into().map_err(|_| fail)?;
        let point = decode_point(&bytes).filter(|point| !point.is_small_order()).ok_or(fail)?;
        Ok(Self { bytes, point })
    }

    /// The compressed point.
    pub const fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }

    /// The output that `proof` shows to be that of this key and `input`; `None` if it shows nothing.
    pub fn verify(&self, input: &[u8], proof: &[u8]) -> Option<Output> {
        let Proof { gamma, gamma_bytes, challenge, response } = Proof::decode(proof)?;
        let hashed = self.hash_to_curve(input);
        let c = scalar_of(&challenge);
        let u = EdwardsPoint::vartime_double_scalar_mul_basepoint(&c, &-self.point, &response);
        let v = EdwardsPoint::vartime_multiscalar_mul([&response, &c], [hashed, -gamma]);
        let expected = challenge_of([&self.bytes, &bytes_of(&hashed), &gamma_bytes, &bytes_of(&u), &bytes_of(&v)]);
        (expected == challenge).then(|| output_of(&gamma))
    }

    /// Section 5.4.1.2, with the key as salt.
    fn hash_to_curve(&self, input: &[u8]) -> EdwardsPoint {
        EdwardsPoint::encode_to_curve::<Sha512>(&[&self.bytes, input], &[HASH_DOMAIN])
    }
}

/// What proofs are made with; it wipes itself. The seed is that of an Ed25519 key (RFC 8032 section 5.1.5), but no key
/// should be used for both.
#[derive(Clone)]
pub struct Secret {
    seed: [u8; SECRET_BYTES],
    x: Scalar,
    prefix: [u8; 32],
    key: Key,
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.seed.zeroize();
        self.x.zeroize();
        self.prefix.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Secret {
    /// The secret of a seed, which must be of full entropy.
    pub fn new(seed: [u8; SECRET_BYTES]) -> Self {
        let mut hash: [u8; 64] = Sha512::digest(seed).into();
        let (low, prefix) = hash.split_at(32);
        let low = Zeroizing::new(<[u8; 32]>::try_from(low).expect("half of 64 bytes"));
        let prefix = prefix.try_into().expect("half of 64 bytes");
        let x = Scalar::from_bytes_mod_order(clamp_integer(*low));
        hash.zeroize();
        let point = EdwardsPoint::mul_base(&x);
        Self { seed, x, prefix, key: Key { bytes: bytes_of(&point), point } }
    }

    /// The seed.
    pub const fn seed(&self) -> &[u8; SECRET_BYTES] {
        &self.seed
    }

    /// The key that others know.
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// The proof for `input`; always the same one.
    pub fn prove(&self, input: &[u8]) -> [u8; PROOF_BYTES] {
        let hashed = self.key.hash_to_curve(input);
        let hashed_bytes = bytes_of(&hashed);
        let gamma = bytes_of(&(self.x * hashed));
        let nonce = Sha512::new().chain_update(self.prefix).chain_update(hashed_bytes);
        let k = Zeroizing::new(Scalar::from_hash(nonce));
        let (u, v) = (EdwardsPoint::mul_base(&k), *k * hashed);
        let challenge = challenge_of([&self.key.bytes, &hashed_bytes, &gamma, &bytes_of(&u), &bytes_of(&v)]);
        let response = *k + scalar_of(&challenge) * self.x;
        let mut proof = [0; PROOF_BYTES];
        proof[..32].copy_from_slice(&gamma);
        proof[32..32 + CHALLENGE_BYTES].copy_from_slice(&challenge);
        proof[32 + CHALLENGE_BYTES..].copy_from_slice(response.as_bytes());
        proof
    }
}

/// The output that a proof is about, if it verifies, which is not checked here; `None` if it does not decode.
pub fn output(proof: &[u8]) -> Option<Output> {
    Proof::decode(proof).map(|proof| output_of(&proof.gamma))
}

struct Proof {
    gamma: EdwardsPoint,
    gamma_bytes: [u8; 32],
    challenge: [u8; CHALLENGE_BYTES],
    response: Scalar,
}

impl Proof {
    /// Section 5.4.4.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (gamma_bytes, rest) = bytes.split_first_chunk::<32>()?;
        let (challenge, response) = rest.split_first_chunk::<CHALLENGE_BYTES>()?;
        let response = Scalar::from_canonical_bytes(response.try_into().ok()?).into_option()?;
        let gamma = decode_point(gamma_bytes)?;
        Some(Self { gamma, gamma_bytes: *gamma_bytes, challenge: *challenge, response })
    }
}

/// RFC 8032 section 5.1.3, which takes one encoding of each point.
fn decode_point(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
    CompressedEdwardsY(*bytes).decompress().filter(|point| bytes_of(point) == *bytes)
}

fn bytes_of(point: &EdwardsPoint) -> [u8; 32] {
    point.compress().to_bytes()
}

/// Section 5.4.3: key, hash of the input, gamma, and the two points that prover and verifier compute each in their way.
fn challenge_of(points: [&[u8; 32]; 5]) -> [u8; CHALLENGE_BYTES] {
    let mut hash = Sha512::new().chain_update([SUITE, CHALLENGE_FRONT]);
    points.iter().for_each(|point| hash.update(point));
    let hash: [u8; 64] = hash.chain_update([BACK]).finalize().into();
    *hash.first_chunk().expect("16 of 64 bytes")
}

fn scalar_of(challenge: &[u8; CHALLENGE_BYTES]) -> Scalar {
    Scalar::from(u128::from_le_bytes(*challenge))
}

/// Section 5.2.
fn output_of(gamma: &EdwardsPoint) -> Output {
    let hash = Sha512::new().chain_update([SUITE, OUTPUT_FRONT]).chain_update(bytes_of(&gamma.mul_by_cofactor()));
    Output(hash.chain_update([BACK]).finalize().into())
}

#[cfg(test)]
mod tests;
