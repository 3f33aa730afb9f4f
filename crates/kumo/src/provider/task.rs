//! Run one task: from the assignment to the receipt on chain.

use super::{Provider, data};
use alloy_primitives::U256;
use compute::executor::{Control, LogChunk, Outcome};
use compute::matching::slots;
use eyre::{Result, ensure};
use protocol::abi::{self, IJobMarket, JOB_MARKET};
use protocol::api::LogRecord;
use protocol::content::sha256;
use protocol::keys::KeyBundle;
use protocol::output::{OutputManifest, OutputSummary};
use sdk::files::Protection;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use storage::crypt::LogSealer;
use tokio::sync::mpsc;

/// Pause while log chunks are gathered into one record.
const LOG_PAUSE: Duration = Duration::from_millis(150);
/// Log bytes in one record before sealing.
const LOG_RECORD_BYTES: usize = 8 * 1024;

/// Which task to run, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Job.
    pub id: u64,
    /// Task index.
    pub index: u32,
    /// Attempt.
    pub attempt: u8,
    /// When the receipt must be on chain, Unix seconds.
    pub deadline: u64,
}

/// Runs a task that was assigned to this provider and submits the receipt.
///
/// # Errors
/// When inputs cannot be had, the run gives no result, or the receipt is refused; tried again while the deadline lasts.
pub async fn run(provider: &Arc<Provider>, order: Order, job: &IJobMarket::Job) -> Result<()> {
    let spec = data::specification(provider, job).await?;
    let bundle = data::bundle(provider, order.id, &spec).await?;
    let _slots = provider.slots.acquire_many(slots(&spec, &provider.offer)).await?;
    ensure!(provider.chain.timestamp().await? < order.deadline, "the deadline passed while the task waited for a slot");
    let scratch = data::Scratch::make(provider, &format!("{}-{}-{}", order.id, order.index, order.attempt))?;
    let work = data::work(provider, &spec, job.terms.spec, order.index, &bundle, &scratch).await?;
    let (control, logs) = Control::new(provider.cancel.child_token());
    let follow_log = tokio::spawn(publish_log(provider.clone(), order, bundle.secret, logs));
    let outcome = provider.executor.run(work, control).await;
    // The log is a courtesy: a gateway that refuses it does not fail the task.
    let _ = follow_log.await;
    let mut outcome = outcome?;
    if provider.dishonest {
        tamper(&mut outcome)?;
    }
    let receipt = store_outputs(provider, order, job, &bundle, &outcome).await?;
    submit(provider, receipt).await
}

/// What `--dishonest` does: changes the first byte of every output file, and hashes the result as if it were true.
fn tamper(outcome: &mut Outcome) -> Result<()> {
    for (file, path) in outcome.summary.files.iter_mut().zip(&outcome.files) {
        let mut bytes = std::fs::read(path)?;
        if let Some(first) = bytes.first_mut() {
            *first ^= 1;
        }
        std::fs::write(path, &bytes)?;
        file.sha256 = sha256(&bytes);
    }
    if outcome.summary.files.is_empty() {
        outcome.summary.exit_code ^= 1;
    }
    Ok(())
}

async fn store_outputs(
    provider: &Provider,
    order: Order,
    job: &IJobMarket::Job,
    bundle: &KeyBundle,
    outcome: &Outcome,
) -> Result<IJobMarket::Receipt> {
    let consumer = Protection::Encrypted(vec![job.terms.consumerKey]);
    let mut cids = Vec::with_capacity(outcome.files.len());
    for path in &outcome.files {
        cids.push(provider.files.put(path, &consumer).await?.cid);
    }
    let log_cid = provider.files.put_bytes(outcome.log.clone(), &consumer).await?.cid;
    let summary = outcome.summary.clone();
    let manifest = OutputManifest { job_id: order.id, task: order.index, summary, cids, log_cid };
    let manifest_cid = provider.files.put_bytes(serde_json::to_vec(&manifest)?, &consumer).await?.cid;
    receipt(provider, order, outcome, &manifest.summary, bundle, manifest_cid)
}

fn receipt(
    provider: &Provider,
    order: Order,
    outcome: &Outcome,
    summary: &OutputSummary,
    bundle: &KeyBundle,
    manifest: cid::Cid,
) -> Result<IJobMarket::Receipt> {
    let root = summary.root(&bundle.secret);
    let output = protocol::content::digest_of_cid(&manifest)
        .ok_or_else(|| eyre::eyre!("manifest {manifest} is not addressed by SHA-256"))?;
    ensure!(manifest.codec() == protocol::content::RAW, "the output manifest is larger than one block");
    Ok(IJobMarket::Receipt {
        jobId: U256::from(order.id),
        task: order.index,
        attempt: order.attempt,
        provider: provider.me(),
        commitment: abi::commitment(root, provider.me(), order.id, order.index),
        output,
        log: summary.log,
        fuel: outcome.usage.fuel,
        memoryBytes: outcome.usage.memory_bytes,
        wallMillis: outcome.usage.wall_millis,
        exitCode: summary.exit_code,
    })
}

async fn submit(provider: &Provider, receipt: IJobMarket::Receipt) -> Result<()> {
    let domain = abi::receipt_domain(provider.chain.chain_id());
    let signature = provider.wallet.sign_typed(&receipt, &domain);
    let (job, task) = (receipt.jobId, receipt.task);
    let call = IJobMarket::submitReceiptCall { receipt, signature: signature.to_vec().into() };
    provider.chain.send(&provider.wallet, JOB_MARKET, call, U256::ZERO).await?;
    tracing::info!(provider = %provider.me(), %job, task, "receipt submitted");
    Ok(())
}

/// Seals and pushes the log while the task runs.
///
/// An attempt that was begun before by this provider (it was killed) gets no live log: the record numbers are nonces, and
/// must not be used for other bytes again. Its log is still among the outputs.
async fn publish_log(provider: Arc<Provider>, order: Order, secret: [u8; 32], mut logs: mpsc::Receiver<LogChunk>) {
    let first_time = mark_begun(&provider.work, order);
    let mut sealer = LogSealer::new(&secret, order.id, order.index, order.attempt);
    while let Some(chunk) = logs.recv().await {
        let mut text = chunk.bytes.to_vec();
        tokio::time::sleep(LOG_PAUSE).await;
        while text.len() < LOG_RECORD_BYTES
            && let Ok(more) = logs.try_recv()
        {
            text.extend_from_slice(&more.bytes);
        }
        if !first_time {
            continue;
        }
        for piece in text.chunks(LOG_RECORD_BYTES) {
            let (seq, sealed) = sealer.seal(piece);
            if let Err(error) = provider.gateway.push_log(&record(&provider, order, seq, sealed)).await {
                tracing::debug!(%error, "log record not taken");
            }
        }
    }
}

fn record(provider: &Provider, order: Order, seq: u64, sealed: Vec<u8>) -> LogRecord {
    let mut record = LogRecord {
        job_id: order.id,
        task: order.index,
        attempt: order.attempt,
        provider: provider.me(),
        seq,
        sealed: sealed.into(),
        signature: Default::default(),
    };
    record.signature = provider.wallet.sign_message(&record.signing_bytes()).to_vec().into();
    record
}

/// Whether this is the first time that the attempt is begun on this machine.
fn mark_begun(work: &Path, order: Order) -> bool {
    let mark = work.join(format!("begun-{}-{}-{}", order.id, order.index, order.attempt));
    std::fs::OpenOptions::new().write(true).create_new(true).open(mark).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;
    use compute::executor::{Exit, Usage};
    use protocol::output::OutputFile;

    #[test]
    fn a_tampered_outcome_is_consistent_and_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model");
        std::fs::write(&path, b"truth").unwrap();
        let file = OutputFile { path: "model".into(), size: 5, sha256: sha256(b"truth") };
        let summary = OutputSummary { files: vec![file], log: B256::ZERO, exit_code: 0 };
        let mut outcome = Outcome {
            exit: Exit::Code(0),
            usage: Usage::default(),
            log: Vec::new(),
            summary: summary.clone(),
            files: vec![path.clone()],
        };
        tamper(&mut outcome).unwrap();
        let bytes = std::fs::read(path).unwrap();
        assert_ne!(bytes, b"truth");
        assert_eq!(outcome.summary.files[0].sha256, sha256(&bytes));
        assert_ne!(outcome.summary.root(&[1; 32]), summary.root(&[1; 32]));
    }

    #[test]
    fn an_attempt_is_begun_once() {
        let dir = tempfile::tempdir().unwrap();
        let order = Order { id: 1, index: 2, attempt: 1, deadline: 0 };
        assert!(mark_begun(dir.path(), order));
        assert!(!mark_begun(dir.path(), order));
        assert!(mark_begun(dir.path(), Order { attempt: 2, ..order }));
    }
}
