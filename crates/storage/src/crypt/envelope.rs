//! Seal a short message to one public key (HPKE base mode, one message per encapsulation).

use super::{CryptError, PublicKey, SecretKey};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::CryptoRng;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal_with_rng};

type Encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey;

/// Bytes of the encapsulated key at the front of a sealed message.
pub(super) const ENC_BYTES: usize = 32;
/// Bytes that a sealed message is longer than its plaintext.
pub const SEAL_OVERHEAD_BYTES: usize = ENC_BYTES + 16;
/// Longest `info` and `aad`, in bytes.
const CONTEXT_BYTES_MAX: usize = 4096;

/// Seals `plaintext` to `to`. `info` names the purpose and `aad` the circumstances; both must be the same to open it.
///
/// # Panics
/// When `info` or `aad` is longer than 4096 bytes.
pub fn seal(
    to: &PublicKey,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, CryptError> {
    assert!(info.len().max(aad.len()) <= CONTEXT_BYTES_MAX, "context of a sealed message is short");
    let unusable = |_| CryptError::PublicKey(*to);
    let key = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&to.0).map_err(unusable)?;
    let (enc, sealed) = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &key,
        info,
        plaintext,
        aad,
        rng,
    )
    .map_err(unusable)?;
    Ok([&enc.to_bytes()[..], &sealed].concat())
}

/// Opens what [`seal`] made for `secret`'s public half with the same `info` and `aad`.
pub fn open(secret: &SecretKey, info: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, CryptError> {
    let failed = CryptError::Sealed { bytes: sealed.len() };
    if info.len().max(aad.len()) > CONTEXT_BYTES_MAX {
        return Err(failed);
    }
    let Some((enc, ciphertext)) = sealed.split_at_checked(ENC_BYTES) else { return Err(failed) };
    let Ok(enc) = Encapsulated::from_bytes(enc) else { return Err(failed) };
    single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &secret.kem(),
        &enc,
        info,
        ciphertext,
        aad,
    )
    .map_err(|_| failed)
}
