//! The provider: bids for jobs, runs tasks, signs receipts, audits when drawn, and keeps the market moving.
//!
//! ```text
//! watch (chain logs) ─▶ advance(job) ─┬▶ bid       price and fit are pure functions of `compute`
//!                                     ├▶ task      key bundle → inputs → wasm → encrypted outputs → signed receipt
//!                                     ├▶ audit     key bundle → inputs → wasm → confirm or dispute
//!                                     └▶ keeper    select, assign, draw, expire, lapse, finish when due
//! ```
//!
//! All state is on the chain: `advance` looks at a job and does what is due, so a provider that was killed goes on with
//! what it held.

pub mod audit;
pub mod bid;
pub mod data;
pub mod keeper;
pub mod task;
pub mod watch;

use alloy_primitives::{Address, U256};
use compute::executor::Executor;
use compute::matching::Offer;
use eyre::Result;
use parking_lot::Mutex;
use protocol::abi::{IJobMarket, JOB_MARKET};
use sdk::gateway::Gateway;
use sdk::{ChainClient, Wallet};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What one provider knows and owns.
pub struct Provider {
    /// The settlement chain.
    pub chain: ChainClient,
    /// Where data is read from and outputs are stored.
    pub gateway: Gateway,
    /// Files through that gateway, as this account.
    pub files: sdk::Files,
    /// Its account.
    pub wallet: Wallet,
    /// Runs the guests.
    pub executor: Arc<dyn Executor>,
    /// What the machine offers, and for how much.
    pub offer: Offer,
    /// Tasks that run at a time.
    pub slots: Arc<Semaphore>,
    /// Audits that run at a time; apart from tasks, so that neither can starve the other into missing a deadline.
    pub audit_slots: Arc<Semaphore>,
    /// Folder for inputs and outputs of running tasks.
    pub work: PathBuf,
    /// Returns wrong outputs on purpose (development networks only).
    pub dishonest: bool,
    /// Ends everything.
    pub cancel: CancellationToken,
    /// Tasks in flight, to be waited for at the stop.
    pub tracker: TaskTracker,
    /// What is being done, so that it is done once.
    pub busy: Mutex<HashSet<Duty>>,
    /// Since when a job has been waiting for somebody to act, so that those in charge go first.
    pub since: Mutex<HashMap<Duty, Instant>>,
}

/// One thing to do for one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Duty {
    /// Bid for a job.
    Bid(u64),
    /// End the bid window.
    Select(u64),
    /// Assign waiting tasks.
    Assign(u64),
    /// Close a job past its deadline.
    Finish(u64),
    /// Run attempt `.2` of a task.
    Run(u64, u32, u8),
    /// Re-execute attempt `.2` of a task; `.3`: as the second auditor.
    Audit(u64, u32, u8, bool),
    /// Hand the job's key to an auditor.
    Deliver(u64, Address),
    /// Draw the first auditor.
    Draw(u64, u32, u8),
    /// Draw the second auditor.
    DrawSecond(u64, u32, u8),
    /// Take a task from a provider that missed its deadline.
    Expire(u64, u32, u8),
    /// Take an audit from an auditor that missed its deadline.
    Lapse(u64, u32, u64),
}

impl Duty {
    /// The job it is about.
    pub fn job(&self) -> u64 {
        match *self {
            Self::Bid(job) | Self::Select(job) | Self::Assign(job) | Self::Finish(job) | Self::Deliver(job, _) => job,
            Self::Run(job, ..)
            | Self::Audit(job, ..)
            | Self::Draw(job, ..)
            | Self::DrawSecond(job, ..)
            | Self::Expire(job, ..)
            | Self::Lapse(job, ..) => job,
        }
    }
}

impl Provider {
    /// This provider's account.
    pub fn me(&self) -> Address {
        self.wallet.address()
    }

    /// Does `work` for `duty` in the background, unless that is being done. A failure is logged; the next look at the job
    /// decides whether to try again.
    pub fn undertake<F>(self: &Arc<Self>, duty: Duty, work: F)
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        if !self.busy.lock().insert(duty) {
            return;
        }
        let provider = self.clone();
        self.tracker.spawn(async move {
            let done = tokio::select! {
                () = provider.cancel.cancelled() => Ok(()),
                done = work => done,
            };
            if let Err(error) = done {
                tracing::debug!(provider = %provider.me(), ?duty, error = format!("{error:#}"), "not done");
            }
            provider.busy.lock().remove(&duty);
        });
    }

    /// Seconds since `duty` was first seen to be due.
    pub fn due_for(&self, duty: Duty) -> f64 {
        let mut since = self.since.lock();
        since.entry(duty).or_insert_with(Instant::now).elapsed().as_secs_f64()
    }

    /// Forgets everything about a job that is closed.
    pub fn forget(&self, job: u64) {
        self.since.lock().retain(|duty, _| duty.job() != job);
    }

    /// A job as the contract has it.
    ///
    /// # Errors
    /// When the chain does not answer.
    pub async fn job(&self, id: u64) -> Result<IJobMarket::Job> {
        Ok(self.chain.call(JOB_MARKET, IJobMarket::jobCall { jobId: U256::from(id) }).await?)
    }

    /// One task as the contract has it.
    ///
    /// # Errors
    /// When the chain does not answer.
    pub async fn task(&self, id: u64, index: u32) -> Result<IJobMarket::Task> {
        Ok(self.chain.call(JOB_MARKET, IJobMarket::taskCall { jobId: U256::from(id), index }).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duty_names_its_job() {
        let duties = [
            Duty::Bid(7),
            Duty::Select(7),
            Duty::Assign(7),
            Duty::Finish(7),
            Duty::Run(7, 1, 2),
            Duty::Audit(7, 1, 2, true),
            Duty::Deliver(7, Address::ZERO),
            Duty::Draw(7, 1, 2),
            Duty::DrawSecond(7, 1, 2),
            Duty::Expire(7, 1, 2),
            Duty::Lapse(7, 1, 2),
        ];
        assert!(duties.iter().all(|duty| duty.job() == 7));
    }
}
