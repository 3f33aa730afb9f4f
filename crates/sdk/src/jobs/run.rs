//! Accompany an open job: hand out its keys, and do what is due when nobody else does.
//!
//! One loop looks at the chain. Keys go out as soon as an assignment or a draw names a new holder; a duty is done only when
//! it was due at [`PATIENCE`] looks in a row, because providers do them too and two transactions for one duty waste one.

use super::Jobs;
use super::bundle::{BundleError, deliver};
use super::duties::{Duty, Situation, TaskSituation, duties};
use crate::chain::{ChainClient, ChainError};
use crate::wallet::Wallet;
use alloy_primitives::{Address, U256};
use alloy_rpc_types_eth::{Filter, Log};
use alloy_sol_types::SolEvent;
use protocol::abi::IJobMarket::{self, JobState, TaskState};
use protocol::abi::{ISlashingCourt, JOB_MARKET, SLASHING_COURT};
use protocol::keys::KeyBundle;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// Time between two looks at the job and its keys.
const LOOK: Duration = Duration::from_millis(100);
/// Time between two looks at what is due.
pub const PATROL: Duration = Duration::from_secs(1);
/// Looks in a row at which a duty must be due before it is done here.
pub const PATIENCE: u32 = 2;
/// Failures in a row after which accompanying ends: a node may need a while to come back.
const FAILURES_MAX: u32 = 60;
/// Tasks asked for in one call.
const TASKS_PER_CALL: u32 = 64;

/// Why a job is not accompanied any longer. The job itself goes on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The chain refused or was not reached.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Keys could not be handed out.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

/// How long a job is accompanied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until providers are selected, and all of them that will get a task at once have their keys: no task waits any more,
    /// or every bidder has one. From then on providers do without the consumer.
    Selected,
    /// Until the job is closed and its escrow is settled.
    Closed,
}

/// How far a job came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// State when accompanying ended.
    pub state: JobState,
    /// Tasks in all.
    pub tasks: u32,
    /// Tasks paid.
    pub paid: u32,
    /// Tasks that failed for good.
    pub failed: u32,
    /// Paid to providers, auditors and fees, wei.
    pub spent: U256,
    /// Given back, wei.
    pub refunded: U256,
}

impl Outcome {
    /// Whether every task was paid.
    pub fn is_success(&self) -> bool {
        self.state == JobState::Closed && self.paid == self.tasks
    }

    fn of(job: &IJobMarket::Job) -> Self {
        Self {
            state: job.state,
            tasks: job.terms.tasks,
            paid: job.tasksPaid,
            failed: job.tasksFailed,
            spent: job.paid,
            refunded: job.refunded,
        }
    }
}

/// Hands a job's keys to everybody that the chain names as a holder, each once.
#[derive(Debug)]
pub struct KeyService {
    chain: ChainClient,
    wallet: Wallet,
    job_id: u64,
    bundle: KeyBundle,
    served: BTreeSet<Address>,
    next_block: u64,
}

impl KeyService {
    /// A service for `job_id`; it looks at events from the block of the job's opening on.
    pub async fn start(chain: ChainClient, wallet: Wallet, job_id: u64, bundle: KeyBundle) -> Result<Self, RunError> {
        let job = chain.call(JOB_MARKET, IJobMarket::jobCall { jobId: U256::from(job_id) }).await?;
        let next_block = chain.block_at(job.openedAt).await?;
        let mut service = Self { chain, wallet, job_id, bundle, served: BTreeSet::new(), next_block };
        service.served = service.served_before().await?;
        Ok(service)
    }

    /// Looks at the blocks since the last look; returns who was handed the keys now.
    pub async fn step(&mut self) -> Result<Vec<Address>, RunError> {
        let newest = self.chain.block_number().await?;
        if newest < self.next_block {
            return Ok(Vec::new());
        }
        let logs = self.chain.logs(&self.filter().to_block(newest)).await?;
        let mut waiting: BTreeSet<Address> = logs.iter().filter_map(holder).collect();
        // The consumer's own copy lets its other machines read logs and outputs.
        waiting.insert(self.wallet.address());
        waiting.retain(|account| !self.served.contains(account));
        let waiting: Vec<Address> = waiting.into_iter().collect();
        let served = deliver(&self.chain, &self.wallet, self.job_id, &self.bundle, &waiting).await?;
        // Who may not hold the key any more is not asked about again until the chain names it again.
        self.served.extend(&served);
        self.next_block = newest + 1;
        Ok(served)
    }

    /// Whoever was served by an earlier run of this service.
    async fn served_before(&self) -> Result<BTreeSet<Address>, RunError> {
        let events = self.chain.events::<IJobMarket::KeyDelivered>(&self.filter()).await?;
        let mine = events.into_iter().filter(|(event, _)| event.from == self.wallet.address());
        Ok(mine.map(|(event, _)| event.to).collect())
    }

    fn filter(&self) -> Filter {
        let filter = Filter::new().address(vec![JOB_MARKET, SLASHING_COURT]);
        filter.topic1(U256::from(self.job_id)).from_block(self.next_block)
    }
}

/// The account that a log makes a holder of the key.
fn holder(log: &Log) -> Option<Address> {
    if log.address() == JOB_MARKET {
        return IJobMarket::TaskAssigned::decode_log_data(log.data()).ok().map(|event| event.provider);
    }
    ISlashingCourt::AuditorDrawn::decode_log_data(log.data()).ok().map(|event| event.auditor)
}

impl Jobs {
    /// A key service for a job of this account.
    pub async fn keys(&self, id: u64, bundle: KeyBundle) -> Result<KeyService, RunError> {
        KeyService::start(self.chain.clone(), self.wallet.clone(), id, bundle).await
    }

    /// Accompanies job `id`: hands out its keys and does what is due, until the job has come as far as `until`.
    ///
    /// Dropping the future leaves the job as it is; providers carry on without the consumer once they have the keys.
    pub async fn run(&self, id: u64, bundle: KeyBundle, until: Until) -> Result<Outcome, RunError> {
        let mut keys = self.keys(id, bundle).await?;
        let mut patrol = Patrol { jobs: self, id, due: BTreeMap::new(), next: Instant::now() };
        let mut pause = tokio::time::interval(LOOK);
        pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failures = 0;
        loop {
            pause.tick().await;
            match patrol.look(&mut keys, until).await {
                Ok(Some(outcome)) => return Ok(outcome),
                Ok(None) => failures = 0,
                Err(error) if failures < FAILURES_MAX && may_pass(&error) => {
                    failures += 1;
                    tracing::debug!(job = id, %error, "cannot accompany the job right now");
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The job and its tasks at the newest block, with everything that decides what is due.
    pub async fn situation(&self, id: u64) -> Result<Situation, ChainError> {
        let header = self.chain.header(alloy_eips::BlockNumberOrTag::Latest).await?;
        let job = self.on_chain(id).await?;
        let mut tasks = Vec::new();
        for (index, task) in (0u32..).zip(self.tasks(id, job.terms.tasks).await?) {
            tasks.push(self.task_situation(id, index, task).await?);
        }
        Ok(Situation { now: header.timestamp, block: header.number, job, tasks })
    }

    pub(super) async fn tasks(&self, id: u64, count: u32) -> Result<Vec<IJobMarket::Task>, ChainError> {
        let mut tasks = Vec::new();
        while (tasks.len() as u32) < count {
            let from = tasks.len() as u32;
            let piece = TASKS_PER_CALL.min(count - from);
            let call = IJobMarket::tasksCall { jobId: U256::from(id), from, count: piece };
            let more = self.chain.call(JOB_MARKET, call).await?;
            if more.is_empty() {
                break;
            }
            tasks.extend(more);
        }
        Ok(tasks)
    }

    async fn task_situation(&self, id: u64, task: u32, state: IJobMarket::Task) -> Result<TaskSituation, ChainError> {
        let job = U256::from(id);
        let pending = matches!(state.state, TaskState::Receipted | TaskState::Disputed);
        let audited = matches!(state.state, TaskState::Audited | TaskState::Disputed);
        let draw_block = match pending {
            true => self.chain.call(SLASHING_COURT, ISlashingCourt::drawBlockCall { jobId: job, task }).await?,
            false => U256::ZERO,
        };
        let audit = match audited {
            true => Some(self.chain.call(SLASHING_COURT, ISlashingCourt::auditCall { jobId: job, task }).await?),
            false => None,
        };
        Ok(TaskSituation { task: state, draw_block, audit })
    }

    async fn perform(&self, id: u64, duty: Duty) -> Result<(), ChainError> {
        let (job, wallet, none) = (U256::from(id), &self.wallet, U256::ZERO);
        let chain = &self.chain;
        let outcome = match duty {
            Duty::Select => chain.send(wallet, JOB_MARKET, IJobMarket::selectCall { jobId: job }, none).await,
            Duty::Assign(count) => {
                chain.send(wallet, JOB_MARKET, IJobMarket::assignCall { jobId: job, count }, none).await
            }
            Duty::Expire(task) => {
                chain.send(wallet, JOB_MARKET, IJobMarket::expireCall { jobId: job, task }, none).await
            }
            Duty::Finish(count) => {
                chain.send(wallet, JOB_MARKET, IJobMarket::finishCall { jobId: job, count }, none).await
            }
            Duty::Draw(task) => {
                chain.send(wallet, SLASHING_COURT, ISlashingCourt::drawCall { jobId: job, task }, none).await
            }
            Duty::DrawSecond(task) => {
                chain.send(wallet, SLASHING_COURT, ISlashingCourt::drawSecondCall { jobId: job, task }, none).await
            }
            Duty::Lapse(task) => {
                chain.send(wallet, SLASHING_COURT, ISlashingCourt::lapseCall { jobId: job, task }, none).await
            }
        };
        outcome.map(drop)
    }
}

/// Whether the next look may go better: the node is away, or somebody was quicker and the state moved on.
fn may_pass(error: &RunError) -> bool {
    use crate::error::{Kind, of_run};
    matches!(of_run(error), Kind::Unavailable | Kind::TimedOut | Kind::Reverted)
}

/// Looks at a job again and again, and remembers what has been due for how long.
struct Patrol<'a> {
    jobs: &'a Jobs,
    id: u64,
    due: BTreeMap<Duty, u32>,
    next: Instant,
}

impl Patrol<'_> {
    /// The outcome, once the job has come as far as `until`. The job is read before the keys are handed out: whoever
    /// holds a task of what was read was served.
    async fn look(&mut self, keys: &mut KeyService, until: Until) -> Result<Option<Outcome>, RunError> {
        let job = self.jobs.on_chain(self.id).await?;
        let waiting = match (until, job.state) {
            (Until::Selected, JobState::Running) => self.has_waiting_tasks(&job).await?,
            _ => true,
        };
        for account in keys.step().await? {
            tracing::info!(job = self.id, %account, "handed over the job's keys");
        }
        if Instant::now() >= self.next && job.state != JobState::Closed {
            self.next = Instant::now() + PATROL;
            self.do_what_is_due().await?;
        }
        let done = match (until, job.state) {
            (_, JobState::Closed) => true,
            (Until::Selected, JobState::Running) => !waiting || self.all_bidders_served(keys).await?,
            _ => false,
        };
        Ok(done.then(|| Outcome::of(&job)))
    }

    async fn has_waiting_tasks(&self, job: &IJobMarket::Job) -> Result<bool, RunError> {
        let tasks = self.jobs.tasks(self.id, job.terms.tasks).await?;
        Ok(tasks.iter().any(|task| task.state == TaskState::Open))
    }

    async fn all_bidders_served(&self, keys: &KeyService) -> Result<bool, RunError> {
        let call = IJobMarket::bidsCall { jobId: U256::from(self.id) };
        let bids = self.jobs.chain.call(JOB_MARKET, call).await?;
        Ok(bids.iter().all(|bid| keys.served.contains(&bid.provider)))
    }

    async fn do_what_is_due(&mut self) -> Result<(), RunError> {
        let due = duties(&self.jobs.situation(self.id).await?);
        for duty in ripe(&mut self.due, &due) {
            match self.jobs.perform(self.id, duty).await {
                Ok(()) => tracing::info!(job = self.id, ?duty, "done, nobody else had"),
                Err(error) if error.is_revert() => tracing::debug!(job = self.id, ?duty, %error, "not needed"),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Counts looks at which each duty was due; returns those that have waited long enough, and starts their count again.
fn ripe(counts: &mut BTreeMap<Duty, u32>, due: &[Duty]) -> Vec<Duty> {
    counts.retain(|duty, _| due.contains(duty));
    let mut ripe = Vec::new();
    for duty in due {
        let count = counts.entry(*duty).or_default();
        *count += 1;
        if *count > PATIENCE {
            *count = 0;
            ripe.push(*duty);
        }
    }
    ripe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duty_is_done_only_when_nobody_else_does_it_for_a_while() {
        let mut counts = BTreeMap::new();
        for _ in 0..PATIENCE {
            assert_eq!(ripe(&mut counts, &[Duty::Draw(1), Duty::Select]), []);
        }
        assert_eq!(ripe(&mut counts, &[Duty::Draw(1), Duty::Expire(2)]), [Duty::Draw(1)]);
        assert_eq!(ripe(&mut counts, &[Duty::Draw(1)]), [], "and not again at once");
        assert_eq!(ripe(&mut counts, &[]), []);
        assert!(counts.is_empty(), "what is not due any more is forgotten");
    }
}
