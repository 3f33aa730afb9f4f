//! What tasks print: sealed by the provider, carried by the gateway, opened here.
//!
//! A record must be signed by a provider that the chain assigned the attempt to. For tasks with a receipt the stored log is
//! read instead of the live records: it is complete, and the receipt vouches for it.

use super::Jobs;
use super::bundle::open_bundle;
use super::outputs::OutputsError;
use crate::chain::ChainError;
use crate::gateway::{GatewayError, LogStream};
use alloy_primitives::{Address, Signature, U256};
use alloy_rpc_types_eth::Filter;
use futures::stream::{BoxStream, StreamExt};
use protocol::abi::{IJobMarket, JOB_MARKET};
use protocol::api::LogRecord;
use protocol::keys::KeyBundle;
use std::collections::BTreeSet;
use storage::crypt::LogOpener;

/// Why a log cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The gateway refused or was not reached.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The chain refused or was not reached.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A stored log cannot be had, or the account has no key.
    #[error(transparent)]
    Outputs(#[from] OutputsError),
    /// The gateway sent a record that its provider did not write.
    #[error("log record {seq} of task {task} is not signed by {provider}, whom it names")]
    Forged {
        /// Task in the record.
        task: u32,
        /// Its position.
        seq: u64,
        /// Who should have signed it.
        provider: Address,
    },
    /// The gateway sent a record of somebody who does not run the task.
    #[error("log record {seq} of task {task} is of {provider}, who does not run attempt {attempt}")]
    Stranger {
        /// Task in the record.
        task: u32,
        /// Attempt in the record.
        attempt: u8,
        /// Its position.
        seq: u64,
        /// Who wrote it.
        provider: Address,
    },
    /// The record was sealed with another key.
    #[error("log record {seq} of task {task} does not open with the job's key")]
    Sealed {
        /// Task in the record.
        task: u32,
        /// Its position.
        seq: u64,
    },
}

/// A piece of a task's output, as written: not necessarily a whole line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Task index.
    pub task: u32,
    /// Attempt that wrote it.
    pub attempt: u8,
    /// Provider that ran it.
    pub provider: Address,
    /// Position in the live log; 0 for a stored log, which comes in one piece.
    pub seq: u64,
    /// Bytes of stdout and stderr.
    pub text: Vec<u8>,
}

impl Jobs {
    /// The log of `task`, or of all; with `follow` until the job closes.
    pub async fn logs(
        &self,
        id: u64,
        task: Option<u32>,
        follow: bool,
    ) -> Result<BoxStream<'static, Result<LogLine, LogsError>>, LogsError> {
        let job = self.on_chain(id).await?;
        let bundle = open_bundle(&self.chain, &self.wallet, id).await?;
        let account = self.wallet.address();
        let bundle = bundle.ok_or(OutputsError::NoKey { account, job_id: id, consumer: job.consumer })?;
        let stored = self.stored_logs(id, task).await?;
        let complete = stored.iter().map(|line| (line.task, line.attempt)).collect();
        let live = Live {
            jobs: self.clone(),
            id,
            from_block: self.chain.block_at(job.openedAt).await?,
            bundle,
            complete,
            assigned: BTreeSet::new(),
            records: self.gateway.job_logs(id, task, follow),
        };
        Ok(futures::stream::iter(stored.into_iter().map(Ok)).chain(live.stream()).boxed())
    }

    async fn stored_logs(&self, id: u64, task: Option<u32>) -> Result<Vec<LogLine>, LogsError> {
        let mut lines = Vec::new();
        for output in self.outputs(id).await? {
            let receipt = &output.receipt;
            if task.is_none_or(|task| task == receipt.task) {
                let text = self.output_log(&output).await?;
                let (task, attempt, provider) = (receipt.task, receipt.attempt, receipt.provider);
                lines.push(LogLine { task, attempt, provider, seq: 0, text });
            }
        }
        Ok(lines)
    }
}

/// Live records on their way to the reader.
struct Live {
    jobs: Jobs,
    id: u64,
    from_block: u64,
    bundle: KeyBundle,
    /// Attempts whose whole log was handed out already.
    complete: BTreeSet<(u32, u8)>,
    assigned: BTreeSet<(u32, u8, Address)>,
    records: LogStream,
}

impl Live {
    fn stream(self) -> BoxStream<'static, Result<LogLine, LogsError>> {
        let ended = false;
        futures::stream::unfold((self, ended), |(mut live, ended)| async move {
            if ended {
                return None;
            }
            let item = live.next().await?;
            let failed = item.is_err();
            Some((item, (live, failed)))
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<Result<LogLine, LogsError>> {
        loop {
            let record = match self.records.next().await? {
                Ok(record) => record,
                Err(error) => return Some(Err(error.into())),
            };
            if !self.complete.contains(&(record.task, record.attempt)) {
                return Some(self.open(record).await);
            }
        }
    }

    async fn open(&mut self, record: LogRecord) -> Result<LogLine, LogsError> {
        let (task, attempt, seq, provider) = (record.task, record.attempt, record.seq, record.provider);
        if record.job_id != self.id || !is_signed(&record) {
            return Err(LogsError::Forged { task, seq, provider });
        }
        if !self.is_assigned(task, attempt, provider).await? {
            return Err(LogsError::Stranger { task, attempt, seq, provider });
        }
        let opener = LogOpener::new(&self.bundle.secret, self.id, task, attempt);
        let text = opener.open(seq, &record.sealed).map_err(|_| LogsError::Sealed { task, seq })?;
        Ok(LogLine { task, attempt, provider, seq, text })
    }

    async fn is_assigned(&mut self, task: u32, attempt: u8, provider: Address) -> Result<bool, ChainError> {
        let wanted = (task, attempt, provider);
        if !self.assigned.contains(&wanted) {
            let filter = Filter::new().address(JOB_MARKET).topic1(U256::from(self.id)).from_block(self.from_block);
            let events = self.jobs.chain.events::<IJobMarket::TaskAssigned>(&filter).await?;
            self.assigned = events.into_iter().map(|(event, _)| (event.task, event.attempt, event.provider)).collect();
        }
        Ok(self.assigned.contains(&wanted))
    }
}

fn is_signed(record: &LogRecord) -> bool {
    let signature = Signature::from_raw(&record.signature).ok();
    let signer = signature.and_then(|signature| signature.recover_address_from_msg(record.signing_bytes()).ok());
    signer == Some(record.provider)
}
