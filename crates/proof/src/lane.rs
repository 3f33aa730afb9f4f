//! Envelopes of the encrypted lane: transactions that nobody can read before the block at their target height is final.
//!
//! A sender encrypts to the network's lane key and to a height. What opens every envelope for that height is one BLS
//! signature of the lane key over it, the *opening*, which the validators make together, each with a share of the secret
//! and only once the block at that height is final.
//!
//! ```text
//! envelope = magic (4) ‖ target height (8) ‖ U (48) ‖ V (32) ‖ W (32) ‖ ChaCha20-Poly1305 of the payload (16 longer)
//! content key = 32 random bytes, encrypted in U, V, W to the message chain id (8) ‖ target height (8)
//! associated data = "kumo/lane/v1" ‖ chain id (8) ‖ namespace (8) ‖ everything before the sealed payload
//! ```
//!
//! U, V, W are the identity-based encryption of Boneh and Franklin ("Identity-Based Encryption from the Weil Pairing",
//! 2001) with the transform of Fujisaki and Okamoto, as in "tlock: Practical Timelock Encryption from Threshold BLS"
//! (eprint 2023/189); keys are in G1, openings in G2. Byte for byte what commonware's `bls12381::tle` does (a test of the
//! sequencer compares them). A content key seals one payload, so its nonce is zero.

use crate::memo::recall;
use crate::reader::Reader;
use alloy_primitives::hex;
use blst::BLST_ERROR::BLST_SUCCESS;
use blst::min_pk::{PublicKey, SecretKey, Signature};
use blst::{blst_fp12, blst_p1_affine, blst_p2_affine, blst_scalar};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce};
use sha2::{Digest, Sha256};
use std::fmt;

mod record;
mod unseal;

pub use record::{DEALING_BYTES_MAX, KIND, KeyError, KeyRecord, Record, RecordError};
pub use unseal::Unsealer;

/// First bytes of every envelope. No Ethereum transaction begins with the first of them.
pub const MAGIC: [u8; 4] = [0xbe, b'K', b'L', 1];
/// Bytes of a lane key: a compressed point of G1.
pub const LANE_KEY_BYTES: usize = 48;
/// Bytes of an opening: a compressed point of G2.
pub const OPENING_BYTES: usize = 96;
/// Bytes of the encrypted content key.
const CAPSULE_BYTES: usize = 48 + 32 + 32;
/// Bytes before the sealed payload.
const HEADER_BYTES: usize = 4 + 8 + CAPSULE_BYTES;
/// Bytes by which an envelope is longer than its payload.
pub const ENVELOPE_OVERHEAD_BYTES: usize = HEADER_BYTES + 16;
/// Bytes of the transaction in an envelope (1..=131,072).
pub const ENVELOPE_PAYLOAD_BYTES_MAX: usize = 128 * 1024;
/// Bytes of an envelope.
pub const ENVELOPE_BYTES_MAX: usize = ENVELOPE_OVERHEAD_BYTES + ENVELOPE_PAYLOAD_BYTES_MAX;

/// Domain of the messages that openings sign.
pub const OPENING_NAMESPACE: &[u8] = b"kumo/lane/v1";
/// Suite that hashes them to G2 (RFC 9380; draft-irtf-cfrg-bls-signature-05 section 4.2.3).
const MESSAGE_DST: &[u8] = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";
/// Suite that hashes to the scalar that U is made from.
const SCALAR_DST: &[u8] = b"TLE_BLS12381_XMD:SHA-256_SSWU_RO_H3_";

const _: () = assert!(ENVELOPE_BYTES_MAX <= crate::namespace::TRANSACTION_BYTES_MAX);

/// Bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaneError {
    /// They do not begin as an envelope.
    #[error("{0} bytes do not begin with the mark of an envelope")]
    Magic(usize),
    /// Too short or too long.
    #[error("an envelope has more than {ENVELOPE_OVERHEAD_BYTES} and at most {ENVELOPE_BYTES_MAX} bytes, this one {0}")]
    Size(usize),
    /// What is to be sealed is empty or too long.
    #[error("a transaction in an envelope has 1 to {ENVELOPE_PAYLOAD_BYTES_MAX} bytes, this one {0}")]
    Payload(usize),
    /// The point in the header is none.
    #[error("the envelope holds no point of G1, nobody could ever open it: encrypt again")]
    Point,
    /// No key of a lane.
    #[error(
        "{0} bytes are not a lane key: a compressed point of G1 in the right subgroup, not zero, has {LANE_KEY_BYTES}"
    )]
    Key(usize),
}

/// The key that senders encrypt to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LaneKey {
    bytes: [u8; LANE_KEY_BYTES],
    point: PublicKey,
}

impl fmt::Debug for LaneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LaneKey({})", hex::encode(self.bytes))
    }
}

impl LaneKey {
    /// Decodes a key and checks that it may be used.
    ///
    /// # Errors
    /// When the bytes are no point of G1 in the right subgroup, or zero.
    pub fn decode(bytes: &[u8]) -> Result<Self, LaneError> {
        let fail = LaneError::Key(bytes.len());
        let bytes: [u8; LANE_KEY_BYTES] = bytes.try_into().map_err(|_| fail.clone())?;
        let point = PublicKey::key_validate(&bytes).map_err(|_| fail)?;
        Ok(Self { bytes, point })
    }

    /// The compressed point.
    pub const fn bytes(&self) -> &[u8; LANE_KEY_BYTES] {
        &self.bytes
    }
}

/// What opens all envelopes for a height: the signature of the lane key over it. Nothing is checked before
/// [`Opening::verify`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Opening(pub [u8; OPENING_BYTES]);

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opening({})", hex::encode(self.0))
    }
}

impl Opening {
    /// Whether this is the opening of `target` on the chain with this lane key: one pairing check.
    pub fn verify(&self, key: &LaneKey, chain_id: u64, target: u64) -> bool {
        let message = in_namespace(&message(chain_id, target));
        let verify = || {
            self.point()
                .is_some_and(|point| point.verify(false, &message, MESSAGE_DST, &[], &key.point, false) == BLST_SUCCESS)
        };
        recall("opening", &[&self.0, key.bytes(), &message], verify)
    }

    fn point(&self) -> Option<Signature> {
        Signature::sig_validate(&self.0, true).ok()
    }
}

/// What the opening of a height signs, in [`OPENING_NAMESPACE`].
pub fn message(chain_id: u64, target: u64) -> [u8; 16] {
    let mut message = [0; 16];
    message[..8].copy_from_slice(&chain_id.to_be_bytes());
    message[8..].copy_from_slice(&target.to_be_bytes());
    message
}

/// The message with the name of its domain and the length of that before it.
fn in_namespace(message: &[u8]) -> Vec<u8> {
    const _: () = assert!(OPENING_NAMESPACE.len() < 128);
    [&[OPENING_NAMESPACE.len() as u8], OPENING_NAMESPACE, message].concat()
}

/// Randomness of one envelope; whoever has it can open the envelope, so it is used once and kept nowhere.
pub struct Entropy(pub [u8; 64]);

/// Whether bytes in a namespace with an encrypted lane are an envelope, or try to be one.
pub fn is_envelope(transaction: &[u8]) -> bool {
    transaction.starts_with(&MAGIC)
}

/// An envelope as it is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Height at which it may be opened, and up to which it may be ordered.
    pub target: u64,
    header: &'a [u8],
    capsule: &'a [u8],
    sealed: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Reads an envelope. Whether it can ever be opened is not said by this, see [`Envelope::check`].
    ///
    /// # Errors
    /// When it does not begin as one, or is too short or too long.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, LaneError> {
        if !is_envelope(bytes) {
            return Err(LaneError::Magic(bytes.len()));
        }
        let fail = LaneError::Size(bytes.len());
        if !(1..=ENVELOPE_PAYLOAD_BYTES_MAX).contains(&bytes.len().saturating_sub(ENVELOPE_OVERHEAD_BYTES)) {
            return Err(fail);
        }
        let mut reader = Reader(&bytes[MAGIC.len()..]);
        let target = reader.u64().ok_or(fail.clone())?;
        let capsule = reader.slice(CAPSULE_BYTES).ok_or(fail)?;
        Ok(Self { target, header: &bytes[..HEADER_BYTES], capsule, sealed: reader.0 })
    }

    /// Checks the point that opening begins with: some 50 µs.
    ///
    /// # Errors
    /// When there is none.
    pub fn check(&self) -> Result<(), LaneError> {
        self.point().map(drop).ok_or(LaneError::Point)
    }

    /// The transaction, or `None` if the sender made the envelope for another key, chain or namespace, or wrongly: it is
    /// nothing then. `opening` must be that of the target.
    pub fn open(&self, opening: &Opening, chain_id: u64, namespace: u64) -> Option<Vec<u8>> {
        let key = self.content_key(opening)?;
        let associated = associated(chain_id, namespace, self.header);
        let payload = Payload { msg: self.sealed, aad: &associated };
        ChaCha20Poly1305::new(&key.into()).decrypt(&Nonce::default(), payload).ok()
    }

    fn content_key(&self, opening: &Opening) -> Option<[u8; 32]> {
        let (u, v, w) = (self.point()?, &self.capsule[48..80], &self.capsule[80..]);
        let sigma = xor(v, &mask(b"h2", &pairing(&u, &opening.point()?)));
        let content = xor(w, &mask(b"h4", &sigma));
        // Only who knew sigma and the content key from the beginning could make U.
        let made = with_scalar(&sigma, &content, |scalar| scalar.sk_to_pk())?;
        (made == u).then_some(content)
    }

    fn point(&self) -> Option<PublicKey> {
        PublicKey::key_validate(&self.capsule[..48]).ok()
    }
}

/// Seals `payload` for `namespace`, to be read when the block at `target` is final.
///
/// # Errors
/// When the payload is empty or too long.
pub fn seal(
    key: &LaneKey,
    chain_id: u64,
    namespace: u64,
    target: u64,
    payload: &[u8],
    Entropy(entropy): Entropy,
) -> Result<Vec<u8>, LaneError> {
    if !(1..=ENVELOPE_PAYLOAD_BYTES_MAX).contains(&payload.len()) {
        return Err(LaneError::Payload(payload.len()));
    }
    let (sigma, content) = entropy.split_at(32);
    let message = in_namespace(&message(chain_id, target));
    // The pairing of the key with the message, to the power of the scalar, is that of the key with a signature.
    let made = with_scalar(sigma, content, |scalar| (scalar.sk_to_pk(), scalar.sign(&message, MESSAGE_DST, &[])));
    // A hash is zero once in 2^255.
    let (u, signature) = made.ok_or(LaneError::Point)?;
    let mut envelope = MAGIC.to_vec();
    envelope.extend(target.to_be_bytes());
    envelope.extend(u.to_bytes());
    envelope.extend(xor(sigma, &mask(b"h2", &pairing(&key.point, &signature))));
    envelope.extend(xor(content, &mask(b"h4", sigma)));
    let associated = associated(chain_id, namespace, &envelope);
    let cipher = ChaCha20Poly1305::new_from_slice(content).map_err(|_| LaneError::Payload(payload.len()))?;
    let sealed = cipher.encrypt(&Nonce::default(), Payload { msg: payload, aad: &associated });
    envelope.extend(sealed.map_err(|_| LaneError::Payload(payload.len()))?);
    Ok(envelope)
}

fn associated(chain_id: u64, namespace: u64, header: &[u8]) -> Vec<u8> {
    [OPENING_NAMESPACE, &chain_id.to_be_bytes(), &namespace.to_be_bytes(), header].concat()
}

fn pairing(key: &PublicKey, signature: &Signature) -> [u8; 576] {
    let (key, signature): (&blst_p1_affine, &blst_p2_affine) = (key.into(), signature.into());
    blst_fp12::miller_loop(signature, key).final_exp().to_bendian()
}

/// H2 and H4 of the scheme.
fn mask(name: &[u8; 2], input: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(name).chain_update(input).finalize().into()
}

/// Calls `use_it` with H3 of the scheme, unless that is zero.
fn with_scalar<T>(sigma: &[u8], content: &[u8], use_it: impl FnOnce(&SecretKey) -> T) -> Option<T> {
    let scalar = blst_scalar::hash_to(&[sigma, content].concat(), SCALAR_DST)?;
    <&SecretKey>::try_from(&scalar).ok().map(use_it)
}

fn xor(a: &[u8], b: &[u8; 32]) -> [u8; 32] {
    std::array::from_fn(|place| a[place] ^ b[place])
}

#[cfg(test)]
mod tests;
