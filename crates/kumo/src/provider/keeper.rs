//! What is due for a job, and who does it.
//!
//! Anybody may end a bid window, draw an auditor or expire a task; the contract checks that it is time. The one with the
//! most interest goes first, the others step in when nothing happened for a while, each a little later than the other, so
//! that usually one transaction is sent and a dead peer stops nobody.

use super::{Duty, Provider, audit, bid, task};
use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall;
use eyre::Result;
use protocol::abi::{IJobMarket, ISlashingCourt, JOB_MARKET, SLASHING_COURT};
use std::sync::Arc;

use IJobMarket::{JobState, TaskState};

/// Tasks read with one call.
const TASKS_PER_CALL: u32 = 64;
/// Waiting tasks assigned by one transaction.
const ASSIGN_COUNT: u32 = 32;
/// Seconds for which those in charge go first.
const PATIENCE_SECONDS: f64 = 1.5;
/// Seconds over which the others spread.
const SPREAD_SECONDS: f64 = 2.0;
/// Seconds over which bidders spread when a bid window ends and nobody is in charge.
const SELECT_SPREAD_SECONDS: f64 = 0.8;

/// Does everything that is due for a job; `true` when it is closed.
///
/// # Errors
/// When the chain does not answer.
pub async fn advance(provider: &Arc<Provider>, id: u64) -> Result<bool> {
    let job = provider.job(id).await?;
    match job.state {
        JobState::Closed => return Ok(true),
        JobState::Bidding => bidding(provider, id, &job).await?,
        JobState::Running => running(provider, id, &job).await?,
        _ => {}
    }
    Ok(false)
}

async fn bidding(provider: &Arc<Provider>, id: u64, job: &IJobMarket::Job) -> Result<()> {
    let now = provider.chain.timestamp().await?;
    if now < job.bidEnd {
        let (provider_, job) = (provider.clone(), job.clone());
        provider.undertake(Duty::Bid(id), async move { bid::consider(&provider_, id, &job).await });
    } else if provider.due_for(Duty::Select(id)) > place(provider) * SELECT_SPREAD_SECONDS {
        poke(provider, Duty::Select(id), JOB_MARKET, IJobMarket::selectCall { jobId: U256::from(id) });
    }
    Ok(())
}

async fn running(provider: &Arc<Provider>, id: u64, job: &IJobMarket::Job) -> Result<()> {
    let now = provider.chain.timestamp().await?;
    let tasks = tasks(provider, id, job.terms.tasks).await?;
    let over = now > job.deadline;
    for (task, index) in tasks.iter().zip(0..) {
        follow(provider, Task { id, index, job, task, now }).await?;
    }
    let waiting = tasks.iter().any(|t| t.state == TaskState::Open);
    if waiting && !over && in_turn(provider, Duty::Assign(id), false) {
        let call = IJobMarket::assignCall { jobId: U256::from(id), count: ASSIGN_COUNT };
        poke(provider, Duty::Assign(id), JOB_MARKET, call);
    }
    if over && in_turn(provider, Duty::Finish(id), false) {
        let call = IJobMarket::finishCall { jobId: U256::from(id), count: job.terms.tasks };
        poke(provider, Duty::Finish(id), JOB_MARKET, call);
    }
    Ok(())
}

/// One task of a running job, seen at one moment.
#[derive(Clone, Copy)]
struct Task<'a> {
    id: u64,
    index: u32,
    job: &'a IJobMarket::Job,
    task: &'a IJobMarket::Task,
    now: u64,
}

async fn follow(provider: &Arc<Provider>, seen: Task<'_>) -> Result<()> {
    match seen.task.state {
        TaskState::Assigned => assigned(provider, seen),
        TaskState::Receipted => receipted(provider, seen).await?,
        TaskState::Audited => audited(provider, seen, false).await?,
        TaskState::Disputed => audited(provider, seen, true).await?,
        _ => {}
    }
    Ok(())
}

fn assigned(provider: &Arc<Provider>, seen: Task<'_>) {
    let Task { id, index, task: found, .. } = seen;
    let attempt = found.attempt;
    if seen.now > found.deadline {
        if found.provider != provider.me() && in_turn(provider, Duty::Expire(id, index, attempt), false) {
            let call = IJobMarket::expireCall { jobId: U256::from(id), task: index };
            poke(provider, Duty::Expire(id, index, attempt), JOB_MARKET, call);
        }
    } else if found.provider == provider.me() {
        let (provider_, job) = (provider.clone(), seen.job.clone());
        let order = task::Order { id, index, attempt, deadline: found.deadline };
        provider.undertake(Duty::Run(id, index, attempt), async move { task::run(&provider_, order, &job).await });
    } else if attempt > 1 {
        hand_on_in_turn(provider, id, found.provider, false);
    }
}

async fn receipted(provider: &Arc<Provider>, seen: Task<'_>) -> Result<()> {
    let Task { id, index, task: found, .. } = seen;
    let duty = Duty::Draw(id, index, found.attempt);
    let job_id = U256::from(id);
    let call = ISlashingCourt::drawBlockCall { jobId: job_id, task: index };
    let block = provider.chain.call(SLASHING_COURT, call).await?.saturating_to::<u64>();
    let due = block != 0 && provider.chain.block_number().await? > block;
    if due && in_turn(provider, duty, found.provider == provider.me()) {
        poke(provider, duty, SLASHING_COURT, ISlashingCourt::drawCall { jobId: job_id, task: index });
    }
    Ok(())
}

async fn audited(provider: &Arc<Provider>, seen: Task<'_>, disputed: bool) -> Result<()> {
    let Task { id, index, task: found, .. } = seen;
    let job_id = U256::from(id);
    let case = provider.chain.call(SLASHING_COURT, ISlashingCourt::auditCall { jobId: job_id, task: index }).await?;
    let auditor = if disputed { case.second } else { case.auditor };
    if disputed && auditor.is_zero() {
        return draw_second(provider, seen, case.auditor == provider.me()).await;
    }
    if seen.now > case.deadline {
        let duty = Duty::Lapse(id, index, case.deadline);
        if in_turn(provider, duty, found.provider == provider.me()) {
            poke(provider, duty, SLASHING_COURT, ISlashingCourt::lapseCall { jobId: job_id, task: index });
        }
    } else if auditor == provider.me() {
        let (provider_, job) = (provider.clone(), seen.job.clone());
        let case = audit::Case {
            id,
            index,
            attempt: found.attempt,
            provider: found.provider,
            commitment: found.commitment,
            second: disputed,
        };
        let duty = Duty::Audit(id, index, found.attempt, disputed);
        provider.undertake(duty, async move { audit::judge(&provider_, case, &job).await });
    } else if found.provider == provider.me() {
        hand_on_in_turn(provider, id, auditor, true);
    }
    Ok(())
}

/// Hands the job's key on, once the consumer had its chance: it may not be online. The one that wants to be paid for the
/// audited task goes first.
fn hand_on_in_turn(provider: &Arc<Provider>, id: u64, to: Address, in_charge: bool) {
    let duty = Duty::Deliver(id, to);
    let wait = if in_charge { 0.0 } else { place(provider) * SPREAD_SECONDS };
    if provider.due_for(duty) > PATIENCE_SECONDS + wait {
        let provider_ = provider.clone();
        provider.undertake(duty, async move { super::data::hand_on(&provider_, id, to).await });
    }
}

async fn draw_second(provider: &Arc<Provider>, seen: Task<'_>, in_charge: bool) -> Result<()> {
    let duty = Duty::DrawSecond(seen.id, seen.index, seen.task.attempt);
    let (job_id, task) = (U256::from(seen.id), seen.index);
    let call = ISlashingCourt::drawBlockCall { jobId: job_id, task };
    let block = provider.chain.call(SLASHING_COURT, call).await?.saturating_to::<u64>();
    let due = block != 0 && provider.chain.block_number().await? > block;
    if due && in_turn(provider, duty, in_charge) {
        poke(provider, duty, SLASHING_COURT, ISlashingCourt::drawSecondCall { jobId: job_id, task });
    }
    Ok(())
}

async fn tasks(provider: &Provider, id: u64, count: u32) -> Result<Vec<IJobMarket::Task>> {
    let mut all = Vec::with_capacity(count as usize);
    for from in (0..count).step_by(TASKS_PER_CALL as usize) {
        let call = IJobMarket::tasksCall { jobId: U256::from(id), from, count: TASKS_PER_CALL.min(count - from) };
        all.extend(provider.chain.call(JOB_MARKET, call).await?);
    }
    Ok(all)
}

/// Whether it is this provider's turn: at once if it is in charge, else after the others had their chance.
fn in_turn(provider: &Provider, duty: Duty, in_charge: bool) -> bool {
    let due = provider.due_for(duty);
    in_charge || due > PATIENCE_SECONDS + place(provider) * SPREAD_SECONDS
}

/// This provider's place in the order in which providers step in, 0 to 1: its address, so that no two agree to wait.
fn place(provider: &Provider) -> f64 {
    f64::from(provider.me().0[0]) / 256.0
}

/// Sends a call that anybody may make. When it is refused, somebody else was quicker or it is not time.
fn poke<C: SolCall + Send + Sync + 'static>(provider: &Arc<Provider>, duty: Duty, to: Address, call: C) {
    let sender = provider.clone();
    provider.undertake(duty, async move {
        sender.chain.send(&sender.wallet, to, call, U256::ZERO).await?;
        Ok(())
    });
}
