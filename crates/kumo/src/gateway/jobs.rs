//! Jobs and providers as the gateway shows them: read from the contracts through the JSON-RPC at every request.

use ::gateway::backend::Answer;
use ::gateway::problem;
use alloy_primitives::{Address, B256, U256};
use cid::Cid;
use futures::future::try_join_all;
use protocol::abi::{
    self, IJobMarket, IProviderRegistry, IReputation, ISlashingCourt, IStakeManager, JOB_MARKET, PROVIDER_REGISTRY,
    REPUTATION, SLASHING_COURT, STAKE_MANAGER,
};
use protocol::api::Problem;
use protocol::api::{BidView, JobView, ProviderInfo, TaskView};
use protocol::content::{RAW, cid_of_digest};
use sdk::ChainClient;

/// Tasks read with one call.
const TASKS_PER_CALL: u32 = 64;
/// Providers listed at most.
pub const PROVIDERS_MAX: u64 = 1_000;
/// Providers read with one call of the registry.
const PROVIDERS_PER_CALL: u64 = 50;

/// Says that the chain could not be asked.
pub fn chain_problem(error: sdk::chain::ChainError) -> Problem {
    problem::bad_gateway(format!("the settlement chain did not answer: {error}"))
}

/// How many jobs were opened.
pub async fn count(chain: &ChainClient) -> Answer<u64> {
    let count = chain.call(JOB_MARKET, IJobMarket::jobCountCall {}).await.map_err(chain_problem)?;
    Ok(count.saturating_to())
}

/// A job without bids and tasks.
pub async fn summary(chain: &ChainClient, id: u64) -> Answer<JobView> {
    Ok(view(id, &job(chain, id).await?))
}

/// A job with bids and tasks.
pub async fn details(chain: &ChainClient, id: u64) -> Answer<JobView> {
    let job = job(chain, id).await?;
    let mut shown = view(id, &job);
    let bids = chain.call(JOB_MARKET, IJobMarket::bidsCall { jobId: U256::from(id) }).await.map_err(chain_problem)?;
    shown.bids = bids.iter().map(bid_view).collect();
    shown.tasks = tasks(chain, id, job.terms.tasks).await?;
    Ok(shown)
}

async fn job(chain: &ChainClient, id: u64) -> Answer<IJobMarket::Job> {
    if id == 0 || id > count(chain).await? {
        return Err(problem::not_found("job", id, "no job of this id was opened on this chain"));
    }
    chain.call(JOB_MARKET, IJobMarket::jobCall { jobId: U256::from(id) }).await.map_err(chain_problem)
}

async fn tasks(chain: &ChainClient, id: u64, count: u32) -> Answer<Vec<TaskView>> {
    let mut views = Vec::with_capacity(count as usize);
    for from in (0..count).step_by(TASKS_PER_CALL as usize) {
        let call = IJobMarket::tasksCall { jobId: U256::from(id), from, count: TASKS_PER_CALL.min(count - from) };
        let tasks = chain.call(JOB_MARKET, call).await.map_err(chain_problem)?;
        let with_auditors = tasks.iter().zip(from..).map(|(task, index)| task_view(chain, id, index, task));
        views.extend(try_join_all(with_auditors).await?);
    }
    Ok(views)
}

async fn task_view(chain: &ChainClient, id: u64, index: u32, task: &IJobMarket::Task) -> Answer<TaskView> {
    let auditor = match task.receiptBlock {
        0 => Address::ZERO,
        _ => {
            let call = ISlashingCourt::auditCall { jobId: U256::from(id), task: index };
            chain.call(SLASHING_COURT, call).await.map_err(chain_problem)?.auditor
        }
    };
    Ok(TaskView {
        index,
        state: task_state(task.state).to_owned(),
        attempt: task.attempt,
        provider: task.provider,
        price: U256::from(task.price),
        deadline: task.deadline,
        auditor,
        commitment: task.commitment,
        output: content(task.output),
    })
}

fn content(digest: B256) -> String {
    if digest.is_zero() { String::new() } else { cid_of_digest(RAW, digest).to_string() }
}

fn view(id: u64, job: &IJobMarket::Job) -> JobView {
    JobView {
        id,
        consumer: job.consumer,
        state: job_state(job.state).to_owned(),
        spec: content(job.terms.spec),
        name: String::new(),
        price_max: U256::from(job.terms.priceMax),
        audit_bps: job.terms.auditBps,
        opened_at: job.openedAt,
        bid_end: job.bidEnd,
        deadline: job.deadline,
        task_count: job.terms.tasks,
        tasks_paid: job.tasksPaid,
        tasks_failed: job.tasksFailed,
        escrowed: job.escrowed,
        paid: job.paid,
        refunded: job.refunded,
        bids: Vec::new(),
        tasks: Vec::new(),
    }
}

fn bid_view(bid: &IJobMarket::Bid) -> BidView {
    BidView { provider: bid.provider, price: U256::from(bid.price), capacity: bid.capacity, score: bid.score }
}

fn job_state(state: IJobMarket::JobState) -> &'static str {
    use IJobMarket::JobState as S;
    match state {
        S::Bidding => "bidding",
        S::Running => "running",
        S::Closed => "closed",
        _ => "none",
    }
}

fn task_state(state: IJobMarket::TaskState) -> &'static str {
    use IJobMarket::TaskState as S;
    match state {
        S::Open => "open",
        S::Assigned => "assigned",
        S::Receipted => "receipted",
        S::Audited => "audited",
        S::Disputed => "disputed",
        S::Paid => "paid",
        S::Failed => "failed",
        _ => "unknown",
    }
}

/// CID of a job's specification.
pub fn spec_cid(view: &JobView) -> Option<Cid> {
    view.spec.parse().ok()
}

/// Every registered account with its profile, at most [`PROVIDERS_MAX`].
pub async fn registered(chain: &ChainClient) -> Answer<Vec<(Address, IProviderRegistry::Profile)>> {
    let count = chain.call(PROVIDER_REGISTRY, IProviderRegistry::countCall {}).await.map_err(chain_problem)?;
    let count = count.saturating_to::<u64>().min(PROVIDERS_MAX);
    let mut all = Vec::with_capacity(count as usize);
    for from in (0..count).step_by(PROVIDERS_PER_CALL as usize) {
        let call = IProviderRegistry::listCall { from: U256::from(from), max: U256::from(PROVIDERS_PER_CALL) };
        let page = chain.call(PROVIDER_REGISTRY, call).await.map_err(chain_problem)?;
        all.extend(page.providers.into_iter().zip(page.profiles));
    }
    Ok(all)
}

/// The compute providers with stake, reputation and balance.
pub async fn providers(chain: &ChainClient) -> Answer<Vec<ProviderInfo>> {
    let compute = 1 << abi::ROLE_COMPUTE;
    let found = registered(chain).await?.into_iter().filter(|(_, profile)| profile.roles & compute != 0);
    try_join_all(found.map(|(address, profile)| info(chain, address, profile))).await
}

/// One registered account.
pub async fn provider(chain: &ChainClient, address: Address) -> Answer<ProviderInfo> {
    let known = chain.call(PROVIDER_REGISTRY, IProviderRegistry::isRegisteredCall { provider: address }).await;
    if !known.map_err(chain_problem)? {
        return Err(problem::not_found("provider", address, "this account is not registered"));
    }
    let profile = chain.call(PROVIDER_REGISTRY, IProviderRegistry::profileCall { provider: address }).await;
    info(chain, address, profile.map_err(chain_problem)?).await
}

async fn info(chain: &ChainClient, address: Address, profile: IProviderRegistry::Profile) -> Answer<ProviderInfo> {
    let (stake, reserved, reputation, jailed, balance) = futures::try_join!(
        chain.call(STAKE_MANAGER, IStakeManager::activeStakeCall { account: address }),
        chain.call(STAKE_MANAGER, IStakeManager::reservedStakeCall { account: address }),
        chain.call(REPUTATION, IReputation::scoreBpsCall { provider: address }),
        chain.call(PROVIDER_REGISTRY, IProviderRegistry::jailedUntilCall { provider: address }),
        chain.balance(address),
    )
    .map_err(chain_problem)?;
    Ok(ProviderInfo {
        address,
        roles: profile.roles,
        endpoint: profile.endpoint,
        attributes: profile.attributes,
        encryption_key: profile.encryptionKey,
        stake,
        reserved,
        reputation_bps: reputation.saturating_to(),
        jailed_until: jailed,
        balance,
    })
}
