//! The key bundle of a job: what is wrapped with HPKE to each selected provider and drawn auditor.

use cid::Cid;
use serde::{Deserialize, Serialize};

/// Largest wrapped bundle that the market carries, in bytes.
pub const WRAPPED_BYTES_MAX: usize = 4096;

/// HPKE `info` of a job key bundle: binds the ciphertext to one job of one chain.
pub fn bundle_info(chain_id: u64, job_id: u64) -> Vec<u8> {
    format!("kumo/job-key/v1/{chain_id}/{job_id}").into_bytes()
}

/// Everything a provider or an auditor needs to read a job's inputs and to write what only the consumer can read.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyBundle {
    /// Fresh 32 random bytes per job: seals live log records, and salts output roots so that nobody outside can guess one.
    pub secret: [u8; 32],
    /// File keys of the encrypted inputs.
    pub files: Vec<FileKey>,
}

/// The key of one encrypted file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileKey {
    /// Root of the encrypted file.
    pub cid: Cid,
    /// Its file key.
    pub key: [u8; 32],
}

impl std::fmt::Debug for KeyBundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyBundle {{ files: {}, .. }}", self.files.len())
    }
}

impl std::fmt::Debug for FileKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileKey {{ cid: {}, .. }}", self.cid)
    }
}

impl KeyBundle {
    /// CBOR bytes, to be sealed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        ciborium::into_writer(self, &mut out).expect("writing to a vector does not fail");
        out
    }

    /// SHA-256 of [`Self::encode`]: what the specification names, see `Verify::keys`. It tells nothing about the keys,
    /// because `secret` is random.
    pub fn digest(&self) -> alloy_primitives::B256 {
        crate::content::sha256(&self.encode())
    }

    /// Reads what [`Self::encode`] wrote; `None` for anything else or for more than [`WRAPPED_BYTES_MAX`] bytes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > WRAPPED_BYTES_MAX {
            return None;
        }
        ciborium::from_reader(bytes).ok()
    }

    /// File key of `cid`, if the bundle has it.
    pub fn file(&self, cid: &Cid) -> Option<[u8; 32]> {
        self.files.iter().find(|f| &f.cid == cid).map(|f| f.key)
    }
}
