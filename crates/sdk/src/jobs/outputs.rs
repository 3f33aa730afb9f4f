//! Outputs: found through the chain, checked against the chain, decrypted here.
//!
//! For each task, in this order: the receipt's EIP-712 signature is the provider's; the manifest is what the receipt names;
//! the commitment on chain, recomputed from manifest and job secret, is the receipt's; every file hashes to its line in the
//! manifest. A file is given its name only after that, so nothing unchecked is ever found under an output's name.

use super::Jobs;
use super::bundle::open_bundle;
use crate::chain::ChainError;
use crate::files::{FilesError, Scratch, Unlock};
use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, U256};
use alloy_rpc_types_eth::Filter;
use alloy_sol_types::SolCall;
use cid::Cid;
use proof::output::OutputError;
use proof::receipt::ReceiptError;
use protocol::abi::IJobMarket::{self, Receipt, TaskState};
use protocol::abi::JOB_MARKET;
use protocol::content::{RAW, cid_of_digest};
use protocol::output::{OutputFile, OutputManifest};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Largest manifest that is read, in bytes: it is one block.
const MANIFEST_BYTES_MAX: usize = 1 << 20;
/// Largest log that is read, in bytes: what a task may write at most.
const LOG_BYTES_MAX: usize = compute::job::LOGS_MAX.0 as usize;

/// Why outputs are not handed out.
#[derive(Debug, thiserror::Error)]
pub enum OutputsError {
    /// The chain refused or was not reached.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A file cannot be fetched or decrypted.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The account cannot read this job.
    #[error("account {account} has no key of job {job_id}: it was opened by {consumer}")]
    NoKey {
        /// The account.
        account: Address,
        /// The job.
        job_id: u64,
        /// Who opened it.
        consumer: Address,
    },
    /// The receipt that the chain accepted cannot be found.
    #[error("task {task}: no transaction with the receipt of attempt {attempt} by {provider}")]
    NoReceipt {
        /// The task.
        task: u32,
        /// Attempt.
        attempt: u8,
        /// Its provider.
        provider: Address,
    },
    /// The receipt is not the provider's.
    #[error("task {task}: {source}")]
    Receipt {
        /// The task.
        task: u32,
        /// What is wrong.
        source: ReceiptError,
    },
    /// The receipt is not the one that the chain keeps.
    #[error("task {task}: the receipt commits to {receipt}, the chain keeps {chain}")]
    OtherReceipt {
        /// The task.
        task: u32,
        /// Commitment in the receipt.
        receipt: B256,
        /// Commitment on chain.
        chain: B256,
    },
    /// The manifest cannot be read.
    #[error("task {task}: {cid} is not an output manifest: {reason}")]
    NotAManifest {
        /// The task.
        task: u32,
        /// The manifest.
        cid: Cid,
        /// What the parser says.
        reason: String,
    },
    /// The outputs are not what was committed.
    #[error("task {task}: {source}")]
    Output {
        /// The task.
        task: u32,
        /// What differs.
        source: OutputError,
    },
    /// The folder cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The outputs of one task whose receipt and commitment were checked; its files are checked when they are fetched.
#[derive(Clone, Debug)]
pub struct TaskOutput {
    /// State of the task: only `Paid` is final, before that an audit may still reject the output.
    pub state: TaskState,
    /// The receipt as signed.
    pub receipt: Receipt,
    /// CID of the manifest.
    pub cid: Cid,
    /// The manifest, decrypted.
    pub manifest: OutputManifest,
    /// Output root, recomputed.
    pub root: B256,
}

/// Checked outputs of a job, by task; tasks without a receipt are left out.
pub type Outputs = Vec<TaskOutput>;

/// Reads a decrypted manifest and checks that it is of this task and safe to download.
pub fn read_manifest(bytes: &[u8], job_id: u64, task: u32, cid: Cid) -> Result<OutputManifest, OutputsError> {
    let manifest: OutputManifest =
        serde_json::from_slice(bytes).map_err(|e| OutputsError::NotAManifest { task, cid, reason: e.to_string() })?;
    proof::output::check_manifest(&manifest, job_id, task).map_err(|source| OutputsError::Output { task, source })?;
    Ok(manifest)
}

impl Jobs {
    /// The checked outputs of every task that has a receipt.
    pub async fn outputs(&self, id: u64) -> Result<Outputs, OutputsError> {
        let job = self.on_chain(id).await?;
        let bundle = open_bundle(&self.chain, &self.wallet, id).await?;
        let account = self.wallet.address();
        let bundle = bundle.ok_or(OutputsError::NoKey { account, job_id: id, consumer: job.consumer })?;
        let mut outputs = Vec::new();
        for (index, task) in (0u32..).zip(self.tasks(id, job.terms.tasks).await?) {
            if has_receipt(&task) {
                outputs.push(self.task_output(id, index, &task, &job, &bundle.secret).await?);
            }
        }
        Ok(outputs)
    }

    /// Downloads the files of a task to `folder`, under their own paths; returns where they are.
    pub async fn download(&self, output: &TaskOutput, folder: &Path) -> Result<Vec<PathBuf>, OutputsError> {
        let mut paths = Vec::new();
        for (file, cid) in output.manifest.summary.files.iter().zip(&output.manifest.cids) {
            let path = folder.join(&file.path);
            self.download_file(output.manifest.task, file, cid, &path).await?;
            paths.push(path);
        }
        Ok(paths)
    }

    /// One output file of a task as bytes, checked; `None` if the task has no such file or it is longer than `max`.
    pub async fn output_bytes(
        &self,
        output: &TaskOutput,
        path: &str,
        max: usize,
    ) -> Result<Option<Vec<u8>>, OutputsError> {
        let files = output.manifest.summary.files.iter().zip(&output.manifest.cids);
        let Some((file, cid)) = files.into_iter().find(|(file, _)| file.path == path) else { return Ok(None) };
        if file.size > max as u64 {
            return Ok(None);
        }
        let bytes = self.files.get_bytes(cid, &Unlock::Wallet(&self.wallet), max).await?;
        let task = output.manifest.task;
        proof::output::check_file(file, &bytes).map_err(|source| OutputsError::Output { task, source })?;
        Ok(Some(bytes))
    }

    /// The task's log, checked.
    pub async fn output_log(&self, output: &TaskOutput) -> Result<Vec<u8>, OutputsError> {
        let unlock = Unlock::Wallet(&self.wallet);
        let log = self.files.get_bytes(&output.manifest.log_cid, &unlock, LOG_BYTES_MAX).await?;
        let task = output.manifest.task;
        proof::output::check_log(&output.manifest.summary, &log)
            .map_err(|source| OutputsError::Output { task, source })?;
        Ok(log)
    }

    async fn task_output(
        &self,
        id: u64,
        index: u32,
        task: &IJobMarket::Task,
        job: &IJobMarket::Job,
        secret: &[u8; 32],
    ) -> Result<TaskOutput, OutputsError> {
        let receipt = self.receipt(id, index, task, job).await?;
        if receipt.commitment != task.commitment || receipt.output != task.output {
            let (receipt, chain) = (receipt.commitment, task.commitment);
            return Err(OutputsError::OtherReceipt { task: index, receipt, chain });
        }
        let cid = cid_of_digest(RAW, task.output);
        let bytes = self.files.get_bytes(&cid, &Unlock::Wallet(&self.wallet), MANIFEST_BYTES_MAX).await?;
        let manifest = read_manifest(&bytes, id, index, cid)?;
        let root = proof::output::check(task.commitment, &manifest.summary, secret, task.provider, id, index)
            .map_err(|source| OutputsError::Output { task: index, source })?;
        Ok(TaskOutput { state: task.state, receipt, cid, manifest, root })
    }

    /// The receipt of the task's current attempt, out of the transaction that submitted it, with its signature checked.
    async fn receipt(
        &self,
        id: u64,
        index: u32,
        task: &IJobMarket::Task,
        job: &IJobMarket::Job,
    ) -> Result<Receipt, OutputsError> {
        let filter = Filter::new().address(JOB_MARKET).from_block(self.chain.block_at(job.openedAt).await?);
        let filter = filter.topic1(U256::from(id)).topic2(U256::from(index)).topic3(task.provider.into_word());
        let events = self.chain.events::<IJobMarket::ReceiptSubmitted>(&filter).await?;
        let attempt = |(event, _): &&(IJobMarket::ReceiptSubmitted, _)| event.attempt == task.attempt;
        let missing = || OutputsError::NoReceipt { task: index, attempt: task.attempt, provider: task.provider };
        let (_, log) = events.iter().rev().find(attempt).ok_or_else(missing)?;
        let hash = log.transaction_hash.ok_or_else(missing)?;
        let transaction = self.chain.transaction(hash).await?.ok_or_else(missing)?;
        let call = IJobMarket::submitReceiptCall::abi_decode(transaction.input()).map_err(|_| missing())?;
        proof::receipt::verify(self.chain.chain_id(), &call.receipt, &call.signature, task.provider)
            .map_err(|source| OutputsError::Receipt { task: index, source })?;
        Ok(call.receipt)
    }

    async fn download_file(&self, task: u32, file: &OutputFile, cid: &Cid, path: &Path) -> Result<(), OutputsError> {
        let failed = |source| OutputsError::Write { path: path.to_owned(), source };
        let folder = path.parent().unwrap_or(Path::new("."));
        tokio::fs::create_dir_all(folder).await.map_err(failed)?;
        let (scratch, out) = Scratch::create(folder).map_err(failed)?;
        let mut out = Hashing { out: tokio::fs::File::from_std(out), digest: Sha256::new(), bytes: 0 };
        self.files.get(cid, &Unlock::Wallet(&self.wallet), &mut out).await?;
        out.flush().await.map_err(failed)?;
        let digest = B256::from_slice(out.digest.finalize().as_slice());
        proof::output::check_digest(file, out.bytes, digest).map_err(|source| OutputsError::Output { task, source })?;
        out.out.sync_all().await.map_err(failed)?;
        scratch.persist(path).map_err(failed)
    }
}

/// A task whose current attempt has put out something; `Failed` keeps the last one for whoever wants to look.
fn has_receipt(task: &IJobMarket::Task) -> bool {
    let state = matches!(task.state, TaskState::Receipted | TaskState::Audited | TaskState::Disputed | TaskState::Paid);
    state && !task.output.is_zero()
}

/// A writer that hashes what passes.
struct Hashing<W> {
    out: W,
    digest: Sha256,
    bytes: u64,
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Hashing<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<std::io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.out).poll_write(cx, data))?;
        self.digest.update(&data[..count]);
        self.bytes += count as u64;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.out).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.out).poll_shutdown(cx)
    }
}
