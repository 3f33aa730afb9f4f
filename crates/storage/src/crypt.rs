//! Encrypt files on the user's side, and wrap keys to the people who may read them: the format `enc/v1`.
//!
//! ```text
//! "KUMOENC" 01 │ length u32 │ header: CBOR {recipients: [{key, enc, sealed}…]} │ check 32 │ chunks …
//! ```
//!
//! Every file has its own random [`FileKey`]. The header wraps it with HPKE (RFC 9180: DHKEM(X25519, HKDF-SHA256),
//! HKDF-SHA256, ChaCha20-Poly1305) to each recipient's X25519 key. Both the header's check value and the payload key
//! are derived from the file key and the hash of everything before, so a header cannot be exchanged or edited. The
//! payload is cut into chunks of 64 KiB under ChaCha20-Poly1305; the nonce is the chunk's number and a flag on the
//! last one (STREAM: Hoang, Reyhanitabar, Rogaway, Vizár 2015; the layout follows age), so that chunks cannot be
//! dropped, doubled or put in another order, and a file cannot be cut short. Everything is big-endian.

mod envelope;
mod header;
mod keys;
mod log;
mod stream;

pub use envelope::{SEAL_OVERHEAD_BYTES, open, seal};
pub use header::{
    HEADER_BYTES_MAX, MAGIC, OpenedFile, PREFIX_BYTES, RECIPIENTS_MAX, Recipient, header_length, open_header,
};
pub use keys::{FileKey, OsRandom, PublicKey, SecretKey};
pub use log::{LOG_TAG_BYTES, LogOpener, LogSealer};
pub use stream::{CHUNK_BYTES, Decryptor, Encryptor, PayloadKey, SEALED_CHUNK_BYTES, payload_bytes, plaintext_bytes};

pub use hpke::rand_core::CryptoRng;

/// Why something cannot be encrypted or decrypted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CryptError {
    /// The bytes do not begin with the magic number.
    #[error("not an encrypted file: the first bytes are not KUMOENC")]
    Magic,
    /// The version of the format is not known.
    #[error("encrypted file has version {0}, only version 1 is supported")]
    Version(u8),
    /// The header is longer than allowed.
    #[error("header has {bytes} bytes, at most {HEADER_BYTES_MAX} are allowed")]
    HeaderLength {
        /// Its length.
        bytes: usize,
    },
    /// The header is not what version 1 prescribes.
    #[error("broken header: {0}")]
    Header(&'static str),
    /// Too many or no recipients.
    #[error("{0} recipients, allowed are 1 to {RECIPIENTS_MAX}")]
    Recipients(usize),
    /// A recipient's public key is not a point that can be used.
    #[error("recipient {0} is not a usable X25519 key")]
    PublicKey(PublicKey),
    /// The key given is not among the recipients.
    #[error("file is not encrypted to {key}; it has {recipients} recipients")]
    NotARecipient {
        /// Public half of the key tried.
        key: PublicKey,
        /// Recipients in the header.
        recipients: usize,
    },
    /// The header was changed, or the file key is another file's.
    #[error("header does not belong to this file key")]
    HeaderCheck,
    /// A sealed message was changed, or was made for another key or purpose.
    #[error("sealed message of {bytes} bytes cannot be opened with this key for this purpose")]
    Sealed {
        /// Its length.
        bytes: usize,
    },
    /// A chunk was changed, moved, or is not the last one where the file ends.
    #[error("chunk {index} is damaged, misplaced, or not where the file ends")]
    Chunk {
        /// Its number, from 0.
        index: u64,
    },
    /// The file ends before its last chunk.
    #[error("encrypted file ends after {bytes} bytes, before its last chunk")]
    Truncated {
        /// Bytes read.
        bytes: u64,
    },
    /// A log record was changed or belongs to another place.
    #[error("log record {seq} cannot be opened with this key")]
    Log {
        /// Its position.
        seq: u64,
    },
}

#[cfg(test)]
mod tests;
