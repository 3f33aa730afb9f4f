//! The payload of an encrypted file: chunks that can be checked and opened one by one.

use super::header::{OpenedFile, PREFIX_BYTES, header_length, open_header, open_with_key, write};
use super::keys::derive32;
use super::{CryptError, FileKey, PublicKey, SecretKey};
use alloy_primitives::B256;
use chacha20poly1305::aead::Aead;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce};
use hpke::rand_core::CryptoRng;
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of plaintext in every chunk but the last.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes of authentication in every chunk.
const TAG_BYTES: usize = 16;
/// Bytes of every sealed chunk but the last.
pub const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;

/// Bytes of all chunks of a plaintext of `plaintext` bytes; at least one chunk exists.
pub fn payload_bytes(plaintext: u64) -> u64 {
    plaintext + plaintext.div_ceil(CHUNK_BYTES as u64).max(1) * TAG_BYTES as u64
}

/// Bytes of plaintext in a payload of `payload` bytes; `None` if no plaintext gives that length.
pub fn plaintext_bytes(payload: u64) -> Option<u64> {
    let chunks = payload.div_ceil(SEALED_CHUNK_BYTES as u64).max(1);
    let plaintext = payload.checked_sub(chunks * TAG_BYTES as u64)?;
    (payload_bytes(plaintext) == payload).then_some(plaintext)
}

/// The key of the chunks of one file. Opens any chunk by its number, so ranges can be read without the rest.
pub struct PayloadKey(ChaCha20Poly1305);

impl fmt::Debug for PayloadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PayloadKey(..)")
    }
}

impl PayloadKey {
    /// The payload key of an opened file.
    pub fn of(file: &OpenedFile) -> Self {
        Self::derive(&file.key, &file.hash)
    }

    fn derive(key: &FileKey, header: &B256) -> Self {
        let bytes = Zeroizing::new(derive32(key.as_bytes(), &header[..], &[b"kumo/enc/v1/payload"]));
        Self(ChaCha20Poly1305::new((&*bytes).into()))
    }

    fn seal_chunk(&self, index: u64, last: bool, plaintext: &[u8]) -> Vec<u8> {
        self.0.encrypt(&nonce(index, last), plaintext).expect("a chunk is far below the limit of the cipher")
    }

    /// Opens chunk `index`, counted from 0; `last` says whether the file ends with it.
    pub fn open_chunk(&self, index: u64, last: bool, sealed: &[u8]) -> Result<Vec<u8>, CryptError> {
        let damaged = CryptError::Chunk { index };
        if sealed.len() > SEALED_CHUNK_BYTES || (!last && sealed.len() != SEALED_CHUNK_BYTES) {
            return Err(damaged);
        }
        let plaintext = self.0.decrypt(&nonce(index, last), sealed).map_err(|_| damaged.clone())?;
        // Only an empty file has an empty chunk, so that a plaintext has one encoding.
        if plaintext.is_empty() && index > 0 { Err(damaged) } else { Ok(plaintext) }
    }
}

fn nonce(index: u64, last: bool) -> Nonce {
    let mut bytes = [0; 12];
    bytes[3..11].copy_from_slice(&index.to_be_bytes());
    bytes[11] = u8::from(last);
    bytes.into()
}

/// Encrypts a stream. Holds one chunk.
///
/// The same encryptor cloned before the first [`Self::push`] encrypts the same plaintext to the same bytes; that is
/// how a file is sent in two passes, the first one to learn its CID. A plaintext that differs between the passes
/// would be sealed under used nonces: compare the CIDs and throw both away.
#[derive(Clone)]
pub struct Encryptor {
    header: Vec<u8>,
    key: FileKey,
    hash: B256,
    buffer: Zeroizing<Vec<u8>>,
    index: u64,
}

impl fmt::Debug for Encryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encryptor {{ chunk: {}, .. }}", self.index)
    }
}

impl Encryptor {
    /// An encryptor for one file under `key`, which each of `recipients` (1..=256) can recover.
    pub fn new(key: &FileKey, recipients: &[PublicKey], rng: &mut impl CryptoRng) -> Result<Self, CryptError> {
        let (header, hash) = write(key, recipients, rng)?;
        Ok(Self { header, key: key.clone(), hash, buffer: Zeroizing::new(Vec::new()), index: 0 })
    }

    /// Bytes of the whole encrypted file for a plaintext of `plaintext` bytes. Ask before the first push.
    pub fn encrypted_bytes(&self, plaintext: u64) -> u64 {
        self.header.len() as u64 + payload_bytes(plaintext)
    }

    /// Takes plaintext; returns the encrypted bytes that are complete, the header first.
    pub fn push(&mut self, mut data: &[u8]) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.header);
        let key = PayloadKey::derive(&self.key, &self.hash);
        while !data.is_empty() {
            // A full chunk waits for the next byte, because the last chunk is sealed differently.
            if self.buffer.len() == CHUNK_BYTES {
                out.extend(key.seal_chunk(self.index, false, &self.buffer));
                self.buffer.clear();
                self.index += 1;
            }
            let taken = data.len().min(CHUNK_BYTES - self.buffer.len());
            self.reserve_chunk();
            self.buffer.extend_from_slice(&data[..taken]);
            data = &data[taken..];
        }
        out
    }

    /// Ends the file; returns the rest of its bytes.
    pub fn finish(mut self) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.header);
        let key = PayloadKey::derive(&self.key, &self.hash);
        out.extend(key.seal_chunk(self.index, true, &self.buffer));
        out
    }

    /// One allocation for the whole life of the buffer: growing would leave copies of plaintext behind.
    fn reserve_chunk(&mut self) {
        if self.buffer.capacity() < CHUNK_BYTES {
            self.buffer.reserve_exact(CHUNK_BYTES);
        }
    }
}

enum Unlock {
    Secret(SecretKey),
    Key(FileKey),
}

enum State {
    Header(Unlock),
    Payload { key: PayloadKey, file: OpenedFile, index: u64 },
}

/// Decrypts a stream. Holds one chunk, or the header; gives out no byte before it is authenticated.
///
/// What comes out is the whole file only once [`Self::finish`] has succeeded.
pub struct Decryptor {
    state: State,
    buffer: Vec<u8>,
    /// Bytes taken so far.
    bytes: u64,
}

impl fmt::Debug for Decryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decryptor {{ bytes: {}, .. }}", self.bytes)
    }
}

impl Decryptor {
    /// Decrypts with the secret key of a recipient.
    pub fn with_secret(secret: &SecretKey) -> Self {
        Self::new(Unlock::Secret(secret.clone()))
    }

    /// Decrypts with the file key, as a provider does that was handed it.
    pub fn with_key(key: &FileKey) -> Self {
        Self::new(Unlock::Key(key.clone()))
    }

    fn new(unlock: Unlock) -> Self {
        Self { state: State::Header(unlock), buffer: Vec::new(), bytes: 0 }
    }

    /// The file key, once the header has been read.
    pub fn file_key(&self) -> Option<&FileKey> {
        match &self.state {
            State::Header(_) => None,
            State::Payload { file, .. } => Some(&file.key),
        }
    }

    /// Takes encrypted bytes; returns the plaintext of the chunks that are complete.
    pub fn push(&mut self, mut data: &[u8]) -> Result<Vec<u8>, CryptError> {
        self.bytes += data.len() as u64;
        if let State::Header(unlock) = &self.state {
            let (taken, opened) = read_header(&mut self.buffer, data, unlock)?;
            data = &data[taken..];
            let Some(file) = opened else { return Ok(Vec::new()) };
            self.buffer.clear();
            self.state = State::Payload { key: PayloadKey::of(&file), file, index: 0 };
        }
        self.chunks(data)
    }

    /// Ends the file; returns the rest of its plaintext, or an error if it was cut short.
    pub fn finish(self) -> Result<Vec<u8>, CryptError> {
        let truncated = CryptError::Truncated { bytes: self.bytes };
        match self.state {
            State::Payload { key, index, .. } if self.buffer.len() >= TAG_BYTES => {
                key.open_chunk(index, true, &self.buffer).map_err(|damaged| {
                    // A chunk that opens as an inner one shows that the file was cut exactly behind it.
                    if key.open_chunk(index, false, &self.buffer).is_ok() { truncated } else { damaged }
                })
            }
            _ => Err(truncated),
        }
    }

    fn chunks(&mut self, mut data: &[u8]) -> Result<Vec<u8>, CryptError> {
        let State::Payload { key, index, .. } = &mut self.state else { return Ok(Vec::new()) };
        let mut out = Vec::new();
        while !data.is_empty() {
            if self.buffer.len() == SEALED_CHUNK_BYTES {
                out.extend(key.open_chunk(*index, false, &self.buffer)?);
                self.buffer.clear();
                *index += 1;
            }
            let taken = data.len().min(SEALED_CHUNK_BYTES - self.buffer.len());
            self.buffer.extend_from_slice(&data[..taken]);
            data = &data[taken..];
        }
        Ok(out)
    }
}

/// Moves bytes of `data` into `buffer` until it holds the header; returns how many, and the header if it is complete.
fn read_header(buffer: &mut Vec<u8>, data: &[u8], unlock: &Unlock) -> Result<(usize, Option<OpenedFile>), CryptError> {
    let mut taken = 0;
    loop {
        let wanted = header_length(buffer)?.unwrap_or(PREFIX_BYTES);
        if buffer.len() == wanted {
            let opened = match unlock {
                Unlock::Secret(secret) => open_header(buffer, secret)?,
                Unlock::Key(key) => open_with_key(buffer, key)?,
            };
            return Ok((taken, Some(opened)));
        }
        if taken == data.len() {
            return Ok((taken, None));
        }
        let more = (wanted - buffer.len()).min(data.len() - taken);
        buffer.extend_from_slice(&data[taken..taken + more]);
        taken += more;
    }
}
