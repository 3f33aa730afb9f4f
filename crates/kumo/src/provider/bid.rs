//! Whether and for how much to bid.

use super::{Provider, data};
use alloy_primitives::{U256, aliases::U96};
use compute::matching::{Inventory, capacity, fits};
use compute::pricing::price;
use eyre::{Result, ensure, eyre};
use protocol::abi::{IJobMarket, JOB_MARKET};

/// Tasks taken for each that can run at a time: one runs, one waits.
const CAPACITY_PER_RUN: u32 = 2;

/// Looks at a job in its bid window and bids if it fits and pays.
///
/// # Errors
/// When the specification cannot be read or the bid is refused; the job is looked at again.
pub async fn consider(provider: &Provider, id: u64, job: &IJobMarket::Job) -> Result<()> {
    let bids = provider.chain.call(JOB_MARKET, IJobMarket::bidsCall { jobId: U256::from(id) }).await?;
    if bids.iter().any(|bid| bid.provider == provider.me()) {
        return wait_for_the_end(provider, job).await;
    }
    let spec = data::specification(provider, job).await?;
    // Without the digest a bundle cannot be told from a false one, and there is no safe way to work.
    ensure!(spec.keys.is_some(), "the specification of job {id} names no key bundle");
    if let Err(reasons) = fits(&spec, &Inventory::idle(provider.offer.clone())) {
        let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        tracing::info!(provider = %provider.me(), job = id, reasons = reasons.join("; "), "does not fit");
        return wait_for_the_end(provider, job).await;
    }
    let price = price(&spec, &provider.offer.prices);
    let price = U96::try_from(price).map_err(|_| eyre!("price of {price} wei does not fit the contract"))?;
    let capacity = capacity(&spec, &Inventory::idle(provider.offer.clone())).saturating_mul(CAPACITY_PER_RUN);
    let call = IJobMarket::bidCall { jobId: U256::from(id), price, capacity };
    provider.chain.send(&provider.wallet, JOB_MARKET, call, U256::ZERO).await?;
    tracing::info!(provider = %provider.me(), job = id, %price, capacity, "bid");
    wait_for_the_end(provider, job).await
}

/// Keeps the duty busy until the window ends, so that the specification is not read again at every look.
async fn wait_for_the_end(provider: &Provider, job: &IJobMarket::Job) -> Result<()> {
    let left = job.bidEnd.saturating_sub(provider.chain.timestamp().await?);
    tokio::time::sleep(std::time::Duration::from_secs(left)).await;
    Ok(())
}
