//! Keys that vote, their signatures, and the proof that somebody holds the secret.
//!
//! BLS12-381 with keys in G2 and signatures in G1; messages are hashed to G1 by RFC 9380. Whoever adds up keys must know
//! that each was proven to be possessed: otherwise the last one to register could choose a key that cancels the others.
//! Source: draft-irtf-cfrg-bls-signature-05 section 3.3 (scheme with proof of possession), the two suites of its
//! section 4.2.3 for G1.

use crate::memo::recall;
use blst::BLST_ERROR::BLST_SUCCESS;
use blst::min_sig::{AggregateSignature, PublicKey, Signature};
use std::fmt;

/// Bytes of a key: a compressed point of G2.
pub const KEY_BYTES: usize = 96;
/// Bytes of a signature: a compressed point of G1.
pub const SIGNATURE_BYTES: usize = 48;
/// Domain of votes when they are hashed to G1 (RFC 9380 section 3.1).
pub const MESSAGE_DST: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
/// Domain of proofs of possession.
pub const POSSESSION_DST: &[u8] = b"BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";

/// The bytes are not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes are not a vote key: a compressed point of G2 in the right subgroup, not zero, has {KEY_BYTES}")]
pub struct KeyError(pub usize);

/// A key that votes: a point of G2 in the right subgroup, not zero.
#[derive(Clone, Copy)]
pub struct VoteKey {
    bytes: [u8; KEY_BYTES],
    point: PublicKey,
}

/// A signature, or the sum of several; checked only where it is verified.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VoteSignature(pub [u8; SIGNATURE_BYTES]);

impl VoteKey {
    /// Decodes a key and checks that it may be used.
    pub fn decode(bytes: &[u8]) -> Result<Self, KeyError> {
        let fail = KeyError(bytes.len());
        let bytes: [u8; KEY_BYTES] = bytes.try_into().map_err(|_| fail)?;
        // `key_validate` would also take the uncompressed form, which is longer.
        let point = PublicKey::key_validate(&bytes).map_err(|_| fail)?;
        Ok(Self { bytes, point })
    }

    /// The compressed point.
    pub const fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }

    /// The point as EIP-2537 takes it: four field elements of 64 bytes, real parts first.
    pub fn to_eip2537(&self) -> [u8; 256] {
        point_to_eip2537(&self.point)
    }

    /// The decoded point.
    pub(crate) const fn point(&self) -> &PublicKey {
        &self.point
    }
}

impl PartialEq for VoteKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for VoteKey {}

impl PartialOrd for VoteKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for VoteKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bytes.cmp(&other.bytes)
    }
}

impl fmt::Debug for VoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VoteKey({})", alloy_primitives::hex::encode(self.bytes))
    }
}

impl fmt::Debug for VoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VoteSignature({})", alloy_primitives::hex::encode(self.0))
    }
}

impl VoteSignature {
    /// Whether `key` signed `message`.
    pub fn verify(&self, key: &VoteKey, message: &[u8]) -> bool {
        self.verify_all(&[key], message)
    }

    /// Whether all `keys` signed `message`: one pairing check. False for no keys.
    pub fn verify_all(&self, keys: &[&VoteKey], message: &[u8]) -> bool {
        let points: Vec<&PublicKey> = keys.iter().map(|key| key.point()).collect();
        self.check(&points, message, MESSAGE_DST)
    }

    /// Adds up signatures over the same message; `None` if there is none, or one is not a point of G1.
    pub fn aggregate(signatures: &[Self]) -> Option<Self> {
        let points: Vec<Signature> = signatures.iter().map(Self::point).collect::<Option<_>>()?;
        let points: Vec<&Signature> = points.iter().collect();
        // The subgroup was checked by `point`.
        let sum = AggregateSignature::aggregate(&points, false).ok()?;
        Some(Self(sum.to_signature().to_bytes()))
    }

    /// The point as EIP-2537 takes it: two field elements of 64 bytes. `None` if it is not a point of G1, or zero.
    pub fn to_eip2537(&self) -> Option<[u8; 128]> {
        let serialized = self.point()?.serialize();
        let mut out = [0; 128];
        out[16..64].copy_from_slice(&serialized[..48]);
        out[80..].copy_from_slice(&serialized[48..]);
        Some(out)
    }

    fn point(&self) -> Option<Signature> {
        Signature::sig_validate(&self.0, true).ok()
    }

    fn check(&self, keys: &[&PublicKey], message: &[u8], domain: &[u8]) -> bool {
        // `point` has checked the subgroup, and keys were checked when they were decoded.
        let verify = || {
            self.point().is_some_and(|point| point.fast_aggregate_verify(false, message, domain, keys) == BLST_SUCCESS)
        };
        if cfg!(not(feature = "memo")) {
            return verify();
        }
        let keys: Vec<_> = keys.iter().flat_map(|key| key.serialize()).collect();
        recall("vote signature", &[&self.0, &keys, domain, message], verify)
    }
}

/// Whether `proof` shows that somebody holds the secret of `key`: a signature over the key itself, in a domain of its
/// own, so that no vote can be taken for one.
pub fn verify_possession(key: &VoteKey, proof: &VoteSignature) -> bool {
    proof.check(&[key.point()], key.bytes(), POSSESSION_DST)
}

/// What a key signs to be registered by `owner`, an account of another chain: nobody else can register it first.
pub fn possession_message(key: &VoteKey, owner: &[u8; 20]) -> Vec<u8> {
    [&key.bytes()[..], owner].concat()
}

/// As [`verify_possession`], of a key that is registered by `owner`.
pub fn verify_possession_of(key: &VoteKey, owner: &[u8; 20], proof: &VoteSignature) -> bool {
    proof.check(&[key.point()], &possession_message(key, owner), POSSESSION_DST)
}

/// A point of G2 for the precompiles. Compressed and serialised points have the imaginary part first, EIP-2537 the real.
pub(crate) fn point_to_eip2537(point: &PublicKey) -> [u8; 256] {
    const FIELD: usize = 48;
    let serialized = point.serialize();
    let mut out = [0; 256];
    for (position, source) in [1, 0, 3, 2].into_iter().enumerate() {
        let end = (position + 1) * 64;
        out[end - FIELD..end].copy_from_slice(&serialized[source * FIELD..(source + 1) * FIELD]);
    }
    out
}
