//! Watch the chain for jobs, and look at every open one whenever something happened or something may be due.

use super::{Provider, keeper};
use alloy_primitives::U256;
use alloy_rpc_types_eth::Filter;
use alloy_sol_types::SolEvent as _;
use eyre::Result;
use protocol::abi::{IJobMarket, JOB_MARKET, SLASHING_COURT};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pause between two looks at the chain's head.
const POLL: Duration = Duration::from_millis(100);
/// A job with no news is looked at this often, for its deadlines.
const LOOK: Duration = Duration::from_millis(1_000);
/// Open jobs followed at a time; the oldest go on first.
const JOBS_MAX: usize = 256;
/// Jobs before the newest that are looked at after a start.
const BACKLOG: u64 = 1_024;

/// Follows all open jobs until dropped.
pub async fn run(provider: Arc<Provider>) {
    let mut watch = Watch::default();
    loop {
        if let Err(error) = watch.turn(&provider).await {
            tracing::debug!(provider = %provider.me(), error = format!("{error:#}"), "cannot look at the chain");
        }
        tokio::time::sleep(POLL).await;
    }
}

#[derive(Default)]
struct Watch {
    /// The block after the newest whose logs were read; `None` before the first look.
    next: Option<u64>,
    open: BTreeSet<u64>,
    looked: Option<Instant>,
}

impl Watch {
    async fn turn(&mut self, provider: &Arc<Provider>) -> Result<()> {
        let head = provider.chain.block_number().await?;
        let mut news = BTreeSet::new();
        match self.next {
            None => self.open.extend(unfinished(provider).await?),
            Some(next) if next <= head => news = touched(provider, next, head).await?,
            Some(_) => {}
        }
        self.next = Some(head + 1);
        for job in &news {
            if self.open.len() < JOBS_MAX {
                self.open.insert(*job);
            }
        }
        let all = self.looked.is_none_or(|at| at.elapsed() >= LOOK);
        if all {
            self.looked = Some(Instant::now());
        }
        let look: Vec<u64> = self.open.iter().copied().filter(|job| all || news.contains(job)).collect();
        for job in look {
            if keeper::advance(provider, job).await? {
                self.open.remove(&job);
                provider.forget(job);
            }
        }
        Ok(())
    }
}

/// Jobs that were opened before this provider started and are not closed.
async fn unfinished(provider: &Provider) -> Result<Vec<u64>> {
    let count = provider.chain.call(JOB_MARKET, IJobMarket::jobCountCall {}).await?.saturating_to::<u64>();
    let mut open = Vec::new();
    for id in count.saturating_sub(BACKLOG) + 1..=count {
        if provider.job(id).await?.state != IJobMarket::JobState::Closed {
            open.push(id);
        }
    }
    Ok(open)
}

/// Jobs that some log in these blocks is about; in all events of market and court the job id is the first topic.
async fn touched(provider: &Provider, from: u64, to: u64) -> Result<BTreeSet<u64>> {
    let filter = Filter::new().address(vec![JOB_MARKET, SLASHING_COURT]).from_block(from).to_block(to);
    let logs = provider.chain.logs(&filter).await?;
    let id = |topic: &alloy_primitives::B256| u64::try_from(U256::from_be_bytes(topic.0)).ok();
    let parameter = IJobMarket::ParameterChanged::SIGNATURE_HASH;
    let about_a_job = logs.iter().filter(|log| log.topic0() != Some(&parameter));
    Ok(about_a_job.filter_map(|log| log.topics().get(1).and_then(id)).collect())
}
