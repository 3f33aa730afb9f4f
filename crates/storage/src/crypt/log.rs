//! Seal the live log of a task, so that only those with the job's secret read it.

use super::CryptError;
use super::keys::derive32;
use chacha20poly1305::aead::Aead;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce};
use std::fmt;
use zeroize::Zeroizing;

/// Bytes that a sealed record is longer than its text.
pub const LOG_TAG_BYTES: usize = 16;

fn cipher(secret: &[u8; 32], job_id: u64, task: u32, attempt: u8) -> ChaCha20Poly1305 {
    let place = [&job_id.to_be_bytes()[..], &task.to_be_bytes(), &[attempt]].concat();
    let key = Zeroizing::new(derive32(secret, b"kumo/log/v1", &[&place]));
    ChaCha20Poly1305::new((&*key).into())
}

fn nonce(seq: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&seq.to_be_bytes());
    bytes.into()
}

/// Seals the records of one attempt in order. Make only one per attempt: two would seal under the same nonces.
pub struct LogSealer {
    cipher: ChaCha20Poly1305,
    seq: u64,
}

impl fmt::Debug for LogSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogSealer {{ seq: {}, .. }}", self.seq)
    }
}

impl LogSealer {
    /// A sealer at position 0 of the log of an attempt, under the job's secret.
    pub fn new(secret: &[u8; 32], job_id: u64, task: u32, attempt: u8) -> Self {
        Self { cipher: cipher(secret, job_id, task, attempt), seq: 0 }
    }

    /// Seals the next record; returns its position and its bytes.
    pub fn seal(&mut self, text: &[u8]) -> (u64, Vec<u8>) {
        let seq = self.seq;
        self.seq += 1;
        (seq, self.cipher.encrypt(&nonce(seq), text).expect("a record is far below the limit of the cipher"))
    }
}

/// Opens the records of one attempt, in any order.
pub struct LogOpener(ChaCha20Poly1305);

impl fmt::Debug for LogOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogOpener(..)")
    }
}

impl LogOpener {
    /// An opener for the log of an attempt, under the job's secret.
    pub fn new(secret: &[u8; 32], job_id: u64, task: u32, attempt: u8) -> Self {
        Self(cipher(secret, job_id, task, attempt))
    }

    /// Opens the record at position `seq`.
    pub fn open(&self, seq: u64, sealed: &[u8]) -> Result<Vec<u8>, CryptError> {
        self.0.decrypt(&nonce(seq), sealed).map_err(|_| CryptError::Log { seq })
    }
}
