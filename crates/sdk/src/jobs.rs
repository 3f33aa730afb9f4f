//! Jobs: checked and priced before anything is paid, opened with escrow in one transaction, followed to their outputs.
//!
//! ```text
//! prepare ─▶ quote ─▶ open ─▶ run (keys to providers and auditors, pokes) ─▶ logs, outputs (checked here)
//! ```
//!
//! Who may read a job's inputs is decided on chain: the key bundle goes to accounts that `JobMarket.isKeyHolder` names,
//! wrapped to the key each has in the registry. A gateway takes no part in it.

mod bundle;
mod document;
mod duties;
mod logs;
mod outputs;
mod prepare;
mod run;
#[cfg(test)]
mod tests;

pub use bundle::{BundleError, HOLDERS_PER_DELIVERY, deliver, open_bundle, open_bundle_named, was_delivered};
pub use compute::job::{Job, TEMPLATE};
pub use document::{Edit, EditError};
pub use duties::{Duty, Situation, TaskSituation, duties};
pub use logs::{LogLine, LogsError};
pub use outputs::{Outputs, OutputsError, TaskOutput, read_manifest};
pub use prepare::{PrepareError, PreparedJob, check};
pub use run::{KeyService, Outcome, RunError, Until};

use crate::chain::{ChainClient, ChainError};
use crate::files::Files;
use crate::gateway::{EventStream, Gateway, GatewayError};
use crate::wallet::Wallet;
use alloy_primitives::{Address, U256};
use alloy_sol_types::SolEvent;
use protocol::abi::{IJobMarket, JOB_MARKET};
use protocol::api::{JobView, Quote};

/// Why a job was not opened or not found.
#[derive(Debug, thiserror::Error)]
pub enum JobsError {
    /// The gateway refused or was not reached.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The chain refused or was not reached.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The account cannot lock the escrow.
    #[error("the job needs {required} wei of escrow, account {account} has {balance} wei")]
    TooPoor {
        /// Who should pay.
        account: Address,
        /// What it has.
        balance: U256,
        /// What the market asks for.
        required: U256,
    },
    /// The market did what was asked and did not say under which id.
    #[error("transaction {0} opened no job")]
    NotOpened(alloy_primitives::B256),
}

/// What one account can do with jobs.
#[derive(Clone, Debug)]
pub struct Jobs {
    pub(crate) chain: ChainClient,
    pub(crate) gateway: Gateway,
    pub(crate) files: Files,
    pub(crate) wallet: Wallet,
}

impl Jobs {
    /// Jobs of `wallet`'s account.
    pub fn new(chain: ChainClient, gateway: Gateway, files: Files, wallet: Wallet) -> Self {
        Self { chain, gateway, files, wallet }
    }

    /// The account.
    pub fn wallet(&self) -> &Wallet {
        &self.wallet
    }

    /// What the job would cost and who could run it; nothing is stored or paid.
    pub async fn quote(&self, job: &compute::Job) -> Result<Quote, JobsError> {
        let spec = serde_json::to_string(&job.to_spec()).expect("a specification has string keys only");
        Ok(self.gateway.quote(&spec).await?)
    }

    /// What [`Self::open`] will lock, in wei.
    pub async fn escrow(&self, prepared: &PreparedJob) -> Result<U256, JobsError> {
        let terms = &prepared.terms;
        let call =
            IJobMarket::escrowRequiredCall { tasks: terms.tasks, priceMax: terms.priceMax, auditBps: terms.auditBps };
        Ok(self.chain.call(JOB_MARKET, call).await?)
    }

    /// Opens the job and locks its escrow in one transaction; returns its id.
    pub async fn open(&self, prepared: &PreparedJob) -> Result<u64, JobsError> {
        let required = self.escrow(prepared).await?;
        let account = self.wallet.address();
        let balance = self.chain.balance(account).await?;
        if balance < required {
            return Err(JobsError::TooPoor { account, balance, required });
        }
        let call = IJobMarket::openCall { terms: prepared.terms.clone() };
        let receipt = self.chain.send(&self.wallet, JOB_MARKET, call, required).await?;
        let opened = receipt.logs().iter().filter(|log| log.address() == JOB_MARKET);
        let mut events = opened.filter_map(|log| IJobMarket::JobOpened::decode_log_data(log.data()).ok());
        let event = events.next().ok_or(JobsError::NotOpened(receipt.transaction_hash))?;
        Ok(event.jobId.saturating_to())
    }

    /// Takes back a job that still takes bids; the escrow is refunded.
    pub async fn cancel(&self, id: u64) -> Result<(), JobsError> {
        let call = IJobMarket::cancelCall { jobId: U256::from(id) };
        self.chain.send(&self.wallet, JOB_MARKET, call, U256::ZERO).await?;
        Ok(())
    }

    /// One job with bids and tasks, as the gateway reads it from the chain.
    pub async fn show(&self, id: u64) -> Result<JobView, JobsError> {
        Ok(self.gateway.job(id).await?)
    }

    /// Jobs, newest first, only ids below `before`.
    pub async fn list(&self, limit: usize, before: Option<u64>) -> Result<Vec<JobView>, JobsError> {
        Ok(self.gateway.jobs(limit, before).await?)
    }

    /// Everything that happens to the job, from its opening to its close.
    pub fn follow(&self, id: u64) -> EventStream {
        self.gateway.job_events(id)
    }

    /// The job as the chain has it.
    pub async fn on_chain(&self, id: u64) -> Result<IJobMarket::Job, ChainError> {
        self.chain.call(JOB_MARKET, IJobMarket::jobCall { jobId: U256::from(id) }).await
    }
}
