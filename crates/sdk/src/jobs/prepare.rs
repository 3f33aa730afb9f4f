//! From `job.yaml` to a job that can be opened: checked, its files stored, its terms fixed.
//!
//! Nothing is uploaded before the specification, the module and every local file have been looked at, so a mistake costs
//! no time and no storage. The module is stored plain (providers cache it by CID), inputs are encrypted; their keys go into
//! the job's key bundle and nowhere else.

use super::Jobs;
use super::document::{Edit, EditError};
use crate::files::{FilesError, Protection, Unlock};
use cid::Cid;
use compute::job::{Content, Job, JobErrors};
use compute::module::{self, MODULE_BYTES_MAX, ModuleError};
use protocol::abi::IJobMarket::Terms;
use protocol::content::{raw_cid, sha256};
use protocol::job::{SPEC_BYTES_MAX, document};
use protocol::keys::{FileKey, KeyBundle};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Why a job cannot be prepared. Nothing has been paid.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A local file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A local file is larger than it may be.
    #[error("{path} has more than {max} bytes")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        max: usize,
    },
    /// The specification is not YAML text.
    #[error("{path} is not UTF-8 text")]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// An edit (`--set`) cannot be made.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// Problems of the specification, one a line.
    #[error("{errors}")]
    Spec {
        /// The file.
        path: PathBuf,
        /// All problems.
        errors: JobErrors,
    },
    /// The program cannot run.
    #[error("{name}: {source}")]
    Module {
        /// Path or CID of the module.
        name: String,
        /// What is wrong with it.
        source: ModuleError,
    },
    /// A file cannot be stored or fetched.
    #[error(transparent)]
    Files(#[from] FilesError),
}

/// A job whose files are stored and whose terms are fixed; nothing has been paid.
#[derive(Clone, Debug)]
pub struct PreparedJob {
    /// The job as checked, every path replaced by a CID.
    pub job: Job,
    /// CID of its specification block.
    pub cid: Cid,
    /// What [`Jobs::open`] signs up to.
    pub terms: Terms,
    /// What providers and auditors will be given. Keep it until the job is closed.
    pub bundle: KeyBundle,
}

/// Checks the specification at `path` after `edits`, and everything local it names; needs no network and no key.
pub fn check(path: &Path, edits: &[Edit]) -> Result<Job, PrepareError> {
    let bytes = read_limited(path, SPEC_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_| PrepareError::NotText { path: path.to_owned() })?;
    let text = edited(text, edits)?;
    let job = Job::parse_yaml(&text).map_err(|errors| PrepareError::Spec { path: path.to_owned(), errors })?;
    if let Content::Local(local) = &job.module {
        let local = beside(path, local);
        let bytes = read_limited(&local, MODULE_BYTES_MAX)?;
        check_module(&local.display().to_string(), &bytes)?;
    }
    for local in job.local_paths() {
        let local = beside(path, local);
        let opened = std::fs::File::open(&local).and_then(|file| file.metadata());
        let failed = |source| PrepareError::Read { path: local.clone(), source };
        if opened.map_err(failed)?.is_dir() {
            return Err(failed(std::io::ErrorKind::IsADirectory.into()));
        }
    }
    Ok(job)
}

impl Jobs {
    /// Checks the specification at `path` after `edits`, stores what it names, and fixes the terms.
    pub async fn prepare(&self, path: &Path, edits: &[Edit]) -> Result<PreparedJob, PrepareError> {
        let mut job = check(path, edits)?;
        if let Some(cid) = job.module.cid() {
            let bytes = self.files.get_bytes(&cid, &Unlock::AsStored, MODULE_BYTES_MAX).await?;
            check_module(&cid.to_string(), &bytes)?;
        }
        let mut keys = self.stored_keys(&job).await?;
        let stored = self.store_local(&job, path, &mut keys).await?;
        job.resolve(&stored);
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).expect("the system has randomness");
        let bundle = KeyBundle { secret, files: keys };
        job.keys = Some(bundle.digest());
        let block = job.to_block().map_err(|errors| PrepareError::Spec { path: path.to_owned(), errors })?;
        let terms = job.terms(sha256(&block), self.wallet.exchange_public());
        let cid = self.files.put_bytes(block.clone(), &Protection::Plain).await?.cid;
        debug_assert_eq!(cid, raw_cid(&block), "a specification fits one block");
        Ok(PreparedJob { job, cid, terms, bundle })
    }

    /// Keys of inputs that are stored already; whoever cannot read them cannot hire somebody to.
    async fn stored_keys(&self, job: &Job) -> Result<Vec<FileKey>, PrepareError> {
        let mut keys = Vec::new();
        for cid in job.inputs.iter().filter_map(|input| input.content.cid()) {
            let known = keys.iter().any(|key: &FileKey| key.cid == cid);
            if let Some(key) = self.files.file_key(&cid, &self.wallet).await?.filter(|_| !known) {
                keys.push(FileKey { cid, key: *key.as_bytes() });
            }
        }
        Ok(keys)
    }

    async fn store_local(
        &self,
        job: &Job,
        spec: &Path,
        keys: &mut Vec<FileKey>,
    ) -> Result<BTreeMap<PathBuf, Cid>, PrepareError> {
        let mut stored = BTreeMap::new();
        for local in job.local_paths() {
            let is_module = matches!(&job.module, Content::Local(module) if module == local);
            let protection = if is_module { Protection::Plain } else { Protection::owner(&self.wallet) };
            let put = self.files.put(&beside(spec, local), &protection).await?;
            if let Some(key) = put.key {
                keys.push(FileKey { cid: put.cid, key: *key.as_bytes() });
            }
            stored.insert(local.to_owned(), put.cid);
        }
        Ok(stored)
    }
}

fn edited(text: String, edits: &[Edit]) -> Result<String, PrepareError> {
    if edits.is_empty() {
        return Ok(text);
    }
    // A text that is no document has no places to set; the check below says what is wrong with it.
    let Ok(mut tree) = document(&text) else { return Ok(text) };
    for edit in edits {
        edit.apply(&mut tree)?;
    }
    Ok(tree.to_string())
}

/// Paths in a specification are relative to its folder.
fn beside(spec: &Path, local: &Path) -> PathBuf {
    spec.parent().unwrap_or(Path::new("")).join(local)
}

fn read_limited(path: &Path, max: usize) -> Result<Vec<u8>, PrepareError> {
    let failed = |source| PrepareError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(max as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > max {
        return Err(PrepareError::TooLong { path: path.to_owned(), max });
    }
    Ok(bytes)
}

fn check_module(name: &str, bytes: &[u8]) -> Result<(), PrepareError> {
    module::check(bytes).map(drop).map_err(|source| PrepareError::Module { name: name.to_owned(), source })
}
