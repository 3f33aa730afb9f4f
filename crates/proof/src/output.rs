//! Whether outputs are what a provider committed to.
//!
//! The chain keeps only `keccak256(abi.encode(root, provider, jobId, task))`; the root is salted with the job's secret.
//! Who holds the secret and the summary recomputes both, and then every file must hash to its line in the summary.
//! Paths are checked as well: a manifest is written by a stranger, and its paths become paths on the consumer's disk.

use alloy_primitives::{Address, B256};
use protocol::abi;
use protocol::content::sha256;
use protocol::output::{OutputFile, OutputManifest, OutputSummary};
use std::collections::BTreeSet;

/// Most files that one task may put out.
pub const FILES_MAX: usize = 4096;

/// Longest path of an output file, in bytes.
pub const PATH_BYTES_MAX: usize = 1024;

/// Why outputs are not what was committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// The summary, secret, provider, job or task is not the one committed to.
    #[error("outputs give commitment {computed}, the receipt says {committed}")]
    Commitment {
        /// Recomputed.
        computed: B256,
        /// On chain.
        committed: B256,
    },
    /// The manifest belongs to another task.
    #[error("manifest is of job {job_id} task {task}, expected job {wanted_job} task {wanted_task}")]
    OtherTask {
        /// Job in the manifest.
        job_id: u64,
        /// Task in the manifest.
        task: u32,
        /// Job asked for.
        wanted_job: u64,
        /// Task asked for.
        wanted_task: u32,
    },
    /// More files than any task may write.
    #[error("manifest lists {0} files, allowed are {FILES_MAX}")]
    TooManyFiles(usize),
    /// A file without an address, or an address without a file.
    #[error("manifest lists {files} files and {cids} CIDs")]
    LengthMismatch {
        /// Files in the summary.
        files: usize,
        /// CIDs in the manifest.
        cids: usize,
    },
    /// A path that leaves the output directory, or that cannot be a path.
    #[error("output path {0:?} is not a plain relative path of at most {PATH_BYTES_MAX} bytes")]
    Path(String),
    /// The same path twice.
    #[error("output path {0:?} is listed twice, or is both a file and a directory")]
    Clash(String),
    /// Content of another length.
    #[error("output {path:?} has {found} bytes, its summary says {expected}")]
    Size {
        /// Path below `/out`.
        path: String,
        /// Bytes found.
        found: u64,
        /// Bytes in the summary.
        expected: u64,
    },
    /// Other content.
    #[error("output {path:?} has SHA-256 {found}, its summary says {expected}")]
    Content {
        /// Path below `/out`.
        path: String,
        /// Digest found.
        found: B256,
        /// Digest in the summary.
        expected: B256,
    },
    /// Other log.
    #[error("log has SHA-256 {found}, the summary says {expected}")]
    Log {
        /// Digest found.
        found: B256,
        /// Digest in the summary.
        expected: B256,
    },
}

/// `Ok(root)` when `provider` committed to exactly these outputs for `task` of job `job_id`.
pub fn check(
    commitment: B256,
    summary: &OutputSummary,
    secret: &[u8; 32],
    provider: Address,
    job_id: u64,
    task: u32,
) -> Result<B256, OutputError> {
    let root = summary.root(secret);
    let computed = abi::commitment(root, provider, job_id, task);
    if computed != commitment {
        return Err(OutputError::Commitment { computed, committed: commitment });
    }
    Ok(root)
}

/// `Ok` when the manifest is of this task and can be downloaded safely: bounded, complete, and with paths that stay
/// below the directory they are written to.
pub fn check_manifest(manifest: &OutputManifest, job_id: u64, task: u32) -> Result<(), OutputError> {
    if (manifest.job_id, manifest.task) != (job_id, task) {
        let (wanted_job, wanted_task) = (job_id, task);
        return Err(OutputError::OtherTask { job_id: manifest.job_id, task: manifest.task, wanted_job, wanted_task });
    }
    let (files, cids) = (manifest.summary.files.len(), manifest.cids.len());
    if files > FILES_MAX {
        return Err(OutputError::TooManyFiles(files));
    }
    if files != cids {
        return Err(OutputError::LengthMismatch { files, cids });
    }
    check_paths(&manifest.summary.files)
}

/// `Ok` when `bytes` are the content of `file`.
pub fn check_file(file: &OutputFile, bytes: &[u8]) -> Result<(), OutputError> {
    check_digest(file, bytes.len() as u64, sha256(bytes))
}

/// `Ok` when content of `size` bytes with SHA-256 `digest` is that of `file`: for content hashed while it streams.
pub fn check_digest(file: &OutputFile, size: u64, digest: B256) -> Result<(), OutputError> {
    if size != file.size {
        return Err(OutputError::Size { path: file.path.clone(), found: size, expected: file.size });
    }
    if digest != file.sha256 {
        return Err(OutputError::Content { path: file.path.clone(), found: digest, expected: file.sha256 });
    }
    Ok(())
}

/// `Ok` when `bytes` are the log that `summary` names.
pub fn check_log(summary: &OutputSummary, bytes: &[u8]) -> Result<(), OutputError> {
    let found = sha256(bytes);
    if found != summary.log {
        return Err(OutputError::Log { found, expected: summary.log });
    }
    Ok(())
}

fn check_paths(files: &[OutputFile]) -> Result<(), OutputError> {
    let mut seen = BTreeSet::new();
    for file in files {
        if !is_plain(&file.path) {
            return Err(OutputError::Path(file.path.clone()));
        }
        if !seen.insert(file.path.as_str()) {
            return Err(OutputError::Clash(file.path.clone()));
        }
    }
    for path in &seen {
        let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
        if let Some(parent) = parents.into_iter().find(|parent| seen.contains(parent)) {
            return Err(OutputError::Clash(parent.to_string()));
        }
    }
    Ok(())
}

/// Relative, no empty, `.` or `..` part, no backslash, no NUL: the same file on every system, and below its directory.
fn is_plain(path: &str) -> bool {
    path.len() <= PATH_BYTES_MAX
        && !path.contains(['\\', '\0'])
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::content::raw_cid;

    const SECRET: [u8; 32] = [7; 32];
    const PROVIDER: Address = Address::repeat_byte(5);

    fn summary() -> OutputSummary {
        let file = |path: &str, bytes: &[u8]| OutputFile {
            path: path.into(),
            size: bytes.len() as u64,
            sha256: sha256(bytes),
        };
        OutputSummary {
            files: vec![file("model.bin", b"weights"), file("report/accuracy", b"0.95")],
            log: sha256(b"log"),
            exit_code: 0,
        }
    }

    fn manifest() -> OutputManifest {
        let cids = vec![raw_cid(b"1"), raw_cid(b"2")];
        OutputManifest { job_id: 4, task: 2, summary: summary(), cids, log_cid: raw_cid(b"3") }
    }

    fn with_paths(paths: &[&str]) -> OutputManifest {
        let mut manifest = manifest();
        let file = |path: &&str| OutputFile { path: path.to_string(), size: 0, sha256: B256::ZERO };
        manifest.summary.files = paths.iter().map(file).collect();
        manifest.cids = vec![raw_cid(b"x"); paths.len()];
        manifest
    }

    #[test]
    fn what_was_committed_is_accepted() {
        let root = summary().root(&SECRET);
        let commitment = abi::commitment(root, PROVIDER, 4, 2);
        assert_eq!(check(commitment, &summary(), &SECRET, PROVIDER, 4, 2), Ok(root));
    }

    #[test]
    fn everything_the_commitment_covers_matters() {
        let commitment = abi::commitment(summary().root(&SECRET), PROVIDER, 4, 2);
        let mut other = summary();
        other.exit_code = 1;
        let refused = [
            check(commitment, &other, &SECRET, PROVIDER, 4, 2),
            check(commitment, &summary(), &[8; 32], PROVIDER, 4, 2),
            check(commitment, &summary(), &SECRET, Address::ZERO, 4, 2),
            check(commitment, &summary(), &SECRET, PROVIDER, 5, 2),
            check(commitment, &summary(), &SECRET, PROVIDER, 4, 3),
        ];
        for (index, outcome) in refused.into_iter().enumerate() {
            assert!(matches!(outcome, Err(OutputError::Commitment { .. })), "case {index}: {outcome:?}");
        }
    }

    #[test]
    fn files_and_log_are_compared_by_size_and_digest() {
        let summary = summary();
        assert_eq!(check_file(&summary.files[0], b"weights"), Ok(()));
        let short = check_file(&summary.files[0], b"weight");
        assert_eq!(short, Err(OutputError::Size { path: "model.bin".into(), found: 6, expected: 7 }));
        let other = check_file(&summary.files[0], b"Weights");
        assert!(matches!(other, Err(OutputError::Content { .. })), "{other:?}");
        assert_eq!(check_log(&summary, b"log"), Ok(()));
        let other = check_log(&summary, b"lag");
        assert_eq!(other, Err(OutputError::Log { found: sha256(b"lag"), expected: sha256(b"log") }));
    }

    #[test]
    fn a_manifest_of_another_task_is_refused() {
        assert_eq!(check_manifest(&manifest(), 4, 2), Ok(()));
        assert!(matches!(check_manifest(&manifest(), 4, 1), Err(OutputError::OtherTask { .. })));
        assert!(matches!(check_manifest(&manifest(), 5, 2), Err(OutputError::OtherTask { .. })));
    }

    #[test]
    fn every_file_needs_its_cid() {
        let mut short = manifest();
        short.cids.pop();
        assert_eq!(check_manifest(&short, 4, 2), Err(OutputError::LengthMismatch { files: 2, cids: 1 }));
    }

    #[test]
    fn paths_cannot_leave_the_output_directory() {
        let long = "x".repeat(PATH_BYTES_MAX + 1);
        for path in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/.", "a\\b", "a\0", "a/", &long] {
            let outcome = check_manifest(&with_paths(&[path]), 4, 2);
            assert_eq!(outcome, Err(OutputError::Path(path.into())), "path {path:?}");
        }
        let longest = "x".repeat(PATH_BYTES_MAX);
        for path in ["a", "a/b/c", "..a", "a..", ".hidden", &longest] {
            assert_eq!(check_manifest(&with_paths(&[path]), 4, 2), Ok(()), "path {path:?}");
        }
    }

    #[test]
    fn paths_cannot_clash() {
        assert_eq!(check_manifest(&with_paths(&["a", "a"]), 4, 2), Err(OutputError::Clash("a".into())));
        assert_eq!(check_manifest(&with_paths(&["a/b/c", "a/b"]), 4, 2), Err(OutputError::Clash("a/b".into())));
        assert_eq!(check_manifest(&with_paths(&["a/b", "a/bc"]), 4, 2), Ok(()));
    }

    #[test]
    fn the_number_of_files_is_bounded() {
        let paths: Vec<String> = (0..=FILES_MAX).map(|n| n.to_string()).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        assert_eq!(check_manifest(&with_paths(&paths), 4, 2), Err(OutputError::TooManyFiles(FILES_MAX + 1)));
        assert_eq!(check_manifest(&with_paths(&paths[1..]), 4, 2), Ok(()));
    }
}
