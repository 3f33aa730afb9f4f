//! The header of an encrypted file: who may read it.

use super::envelope::{ENC_BYTES, SEAL_OVERHEAD_BYTES, open, seal};
use super::keys::derive32;
use super::{CryptError, FileKey, PublicKey, SecretKey};
use alloy_primitives::B256;
use ciborium::Value;
use hpke::rand_core::CryptoRng;
use protocol::content::sha256;
use zeroize::Zeroizing;

/// First bytes of every encrypted file.
pub const MAGIC: &[u8; 7] = b"KUMOENC";
/// Version of the format.
const VERSION: u8 = 1;
/// Bytes up to and including the length of the header.
pub const PREFIX_BYTES: usize = MAGIC.len() + 1 + 4;
/// Most recipients of a file.
pub const RECIPIENTS_MAX: usize = 256;
/// Longest header, without prefix and check value, in bytes.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the check value behind the header.
const CHECK_BYTES: usize = 32;
/// HPKE `info` of a wrapped file key.
const WRAP_INFO: &[u8] = b"kumo/file-key/v1";
/// Bytes of a wrapped file key without its encapsulated key.
const SEALED_KEY_BYTES: usize = 32 + SEAL_OVERHEAD_BYTES - ENC_BYTES;

const _: () = assert!(RECIPIENTS_MAX * (3 * 32 + SEALED_KEY_BYTES) < HEADER_BYTES_MAX);

/// One recipient in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Whose key it is.
    pub key: PublicKey,
    /// Encapsulated key.
    enc: [u8; ENC_BYTES],
    /// The file key, sealed.
    sealed: [u8; SEALED_KEY_BYTES],
}

/// A header that was read and checked.
#[derive(Debug)]
pub struct OpenedFile {
    /// The key of the file.
    pub key: FileKey,
    /// Bytes before the first chunk: prefix, header and check value.
    pub header_bytes: usize,
    /// Hash of prefix and header, which the payload key depends on.
    pub(super) hash: B256,
}

/// Everything before the first chunk, for a new file.
pub(super) fn write(
    key: &FileKey,
    recipients: &[PublicKey],
    rng: &mut impl CryptoRng,
) -> Result<(Vec<u8>, B256), CryptError> {
    if recipients.is_empty() || recipients.len() > RECIPIENTS_MAX {
        return Err(CryptError::Recipients(recipients.len()));
    }
    let wrapped: Vec<Value> =
        recipients.iter().map(|to| Ok(Recipient::wrap(to, key, rng)?.to_value())).collect::<Result<_, CryptError>>()?;
    let mut body = Vec::new();
    let value = Value::Map(vec![("recipients".into(), Value::Array(wrapped))]);
    ciborium::into_writer(&value, &mut body).expect("writing to a vector does not fail");
    let mut out = MAGIC.to_vec();
    out.push(VERSION);
    out.extend((body.len() as u32).to_be_bytes());
    out.extend(body);
    let hash = sha256(&out);
    out.extend(check_value(key, &hash));
    Ok((out, hash))
}

/// Bytes before the first chunk, from the first [`PREFIX_BYTES`] of a file; `None` if there are fewer.
pub fn header_length(start: &[u8]) -> Result<Option<usize>, CryptError> {
    let magic = start.len().min(MAGIC.len());
    if start[..magic] != MAGIC[..magic] {
        return Err(CryptError::Magic);
    }
    if let Some(version) = start.get(MAGIC.len()).filter(|v| **v != VERSION) {
        return Err(CryptError::Version(*version));
    }
    let Some(length) = start.get(MAGIC.len() + 1..PREFIX_BYTES) else { return Ok(None) };
    let bytes = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
    if bytes > HEADER_BYTES_MAX {
        return Err(CryptError::HeaderLength { bytes });
    }
    Ok(Some(PREFIX_BYTES + bytes + CHECK_BYTES))
}

/// Finds the file key for `secret` in the header at the front of `bytes`. Needs only as many bytes of the file as
/// [`header_length`] says.
pub fn open_header(bytes: &[u8], secret: &SecretKey) -> Result<OpenedFile, CryptError> {
    let (signed, _) = split(bytes)?;
    let recipients = read_recipients(&signed[PREFIX_BYTES..])?;
    let public = secret.public();
    let mut keys = recipients.iter().filter(|r| r.key == public).map(|r| r.unwrap(secret));
    let key = keys.next().ok_or(CryptError::NotARecipient { key: public, recipients: recipients.len() })??;
    open_with_key(bytes, &key)
}

/// Checks that the header at the front of `bytes` belongs to `key`.
pub(super) fn open_with_key(bytes: &[u8], key: &FileKey) -> Result<OpenedFile, CryptError> {
    let (signed, check) = split(bytes)?;
    let hash = sha256(signed);
    // The sum of differences does not tell where the first one is.
    let difference = check_value(key, &hash).iter().zip(check).fold(0, |sum, (a, b)| sum | (a ^ b));
    if difference != 0 {
        return Err(CryptError::HeaderCheck);
    }
    Ok(OpenedFile { key: key.clone(), header_bytes: signed.len() + CHECK_BYTES, hash })
}

/// Prefix and header, and the check value.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), CryptError> {
    let truncated = CryptError::Truncated { bytes: bytes.len() as u64 };
    let length = header_length(bytes)?.ok_or(truncated.clone())?;
    let head = bytes.get(..length).ok_or(truncated)?;
    Ok(head.split_at(length - CHECK_BYTES))
}

fn check_value(key: &FileKey, hash: &B256) -> [u8; CHECK_BYTES] {
    derive32(key.as_bytes(), &hash[..], &[b"kumo/enc/v1/header"])
}

fn read_recipients(body: &[u8]) -> Result<Vec<Recipient>, CryptError> {
    let mut rest = body;
    let value: Value = ciborium::from_reader(&mut rest).map_err(|_| CryptError::Header("not CBOR"))?;
    if !rest.is_empty() {
        return Err(CryptError::Header("bytes after the header"));
    }
    let map = value.into_map().map_err(|_| CryptError::Header("not a map"))?;
    let [(name, list)]: [(Value, Value); 1] = map.try_into().map_err(|_| CryptError::Header("not one entry"))?;
    if name.as_text() != Some("recipients") {
        return Err(CryptError::Header("unknown entry"));
    }
    let list = list.into_array().map_err(|_| CryptError::Header("recipients are not an array"))?;
    if list.is_empty() || list.len() > RECIPIENTS_MAX {
        return Err(CryptError::Recipients(list.len()));
    }
    list.iter().map(|v| Recipient::from_value(v).ok_or(CryptError::Header("broken recipient"))).collect()
}

impl Recipient {
    fn wrap(to: &PublicKey, key: &FileKey, rng: &mut impl CryptoRng) -> Result<Self, CryptError> {
        let sealed = seal(to, WRAP_INFO, &[], key.as_bytes(), rng)?;
        let (enc, sealed) = sealed.split_at(ENC_BYTES);
        let enc = enc.try_into().expect("split there");
        Ok(Self { key: *to, enc, sealed: sealed.try_into().expect("key and tag have a fixed length") })
    }

    fn unwrap(&self, secret: &SecretKey) -> Result<FileKey, CryptError> {
        let sealed = [&self.enc[..], &self.sealed[..]].concat();
        let key = Zeroizing::new(open(secret, WRAP_INFO, &[], &sealed)?);
        let bytes = key[..].try_into().map_err(|_| CryptError::Header("wrapped key has not 32 bytes"))?;
        Ok(FileKey::from_bytes(bytes))
    }

    fn to_value(&self) -> Value {
        let entry = |name: &str, bytes: &[u8]| (name.into(), Value::Bytes(bytes.to_vec()));
        Value::Map(vec![entry("key", &self.key.0), entry("enc", &self.enc), entry("sealed", &self.sealed)])
    }

    fn from_value(value: &Value) -> Option<Self> {
        let [key, enc, sealed] = value.as_map()?.as_slice() else { return None };
        let bytes = |(name, value): &(Value, Value), expected: &str| {
            (name.as_text() == Some(expected)).then(|| value.as_bytes().cloned()).flatten()
        };
        Some(Self {
            key: PublicKey(bytes(key, "key")?.try_into().ok()?),
            enc: bytes(enc, "enc")?.try_into().ok()?,
            sealed: bytes(sealed, "sealed")?.try_into().ok()?,
        })
    }
}
