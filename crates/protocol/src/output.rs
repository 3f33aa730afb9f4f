//! Outputs of a task: the commitment over the plaintext, and the manifest through which the consumer finds the files.

use alloy_primitives::B256;
use cid::Cid;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One output file as the guest wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFile {
    /// Path below `/out`, with `/` between parts.
    pub path: String,
    /// Size of the plaintext in bytes.
    pub size: u64,
    /// SHA-256 of the plaintext.
    pub sha256: B256,
}

/// What is re-computable by anybody who runs the task again: files, log and exit code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSummary {
    /// Files sorted by path.
    pub files: Vec<OutputFile>,
    /// SHA-256 of stdout and stderr, in the order written.
    pub log: B256,
    /// Exit code of the guest.
    pub exit_code: i32,
}

impl OutputSummary {
    /// Output root: SHA-256 over a length-prefixed listing, salted with the job's `secret` so that nobody who lacks the
    /// job key can guess the root of a predictable result. Files are hashed in path order whatever the order here.
    pub fn root(&self, secret: &[u8; 32]) -> B256 {
        let mut files: Vec<&OutputFile> = self.files.iter().collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let mut h = Sha256::new();
        h.update(b"kumo/output-root/v1");
        h.update(secret);
        h.update(self.exit_code.to_be_bytes());
        h.update(self.log);
        h.update((files.len() as u64).to_be_bytes());
        for file in files {
            h.update((file.path.len() as u64).to_be_bytes());
            h.update(file.path.as_bytes());
            h.update(file.size.to_be_bytes());
            h.update(file.sha256);
        }
        B256::from_slice(h.finalize().as_slice())
    }
}

/// Where the consumer finds the outputs: stored as an encrypted file whose only recipient is the consumer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputManifest {
    /// Job and task that this is the output of.
    pub job_id: u64,
    /// Task index.
    pub task: u32,
    /// What the commitment covers.
    pub summary: OutputSummary,
    /// CID of each file, encrypted to the consumer, in the order of `summary.files`.
    pub cids: Vec<Cid>,
    /// CID of the log, encrypted to the consumer.
    pub log_cid: Cid,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> OutputSummary {
        let file = |path: &str, byte: u8| OutputFile { path: path.into(), size: 3, sha256: B256::repeat_byte(byte) };
        OutputSummary { files: vec![file("a", 1), file("b", 2)], log: B256::repeat_byte(9), exit_code: 0 }
    }

    #[test]
    fn order_of_files_does_not_change_the_root() {
        let mut other = summary();
        other.files.reverse();
        assert_eq!(summary().root(&[7; 32]), other.root(&[7; 32]));
    }

    #[test]
    fn every_field_changes_the_root() {
        let root = summary().root(&[7; 32]);
        let mut changed = vec![summary(); 6];
        changed[0].exit_code = 1;
        changed[1].log = B256::ZERO;
        changed[2].files[0].path = "c".into();
        changed[3].files[0].size = 4;
        changed[4].files[0].sha256 = B256::ZERO;
        changed[5].files.pop();
        for other in changed {
            assert_ne!(root, other.root(&[7; 32]));
        }
        assert_ne!(root, summary().root(&[8; 32]), "the salt counts too");
    }
}
