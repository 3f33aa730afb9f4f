//! What a job would cost and who could take it, before anything is paid.

use super::jobs::chain_problem;
use ::gateway::backend::Answer;
use ::gateway::problem;
use alloy_primitives::{U256, aliases::U96};
use compute::Job;
use compute::matching::{Inventory, Offer, fits};
use compute::pricing::price;
use protocol::abi::{IJobMarket, JOB_MARKET};
use protocol::api::{Exclusion, ProviderInfo, Quote};
use sdk::ChainClient;
use std::collections::BTreeMap;

/// Quotes a specification as text; local paths in it need not be stored yet.
pub async fn quote(chain: &ChainClient, providers: &[ProviderInfo], now: u64, spec: &str) -> Answer<Quote> {
    let job = Job::parse_yaml(spec).map_err(|e| problem::unprocessable(e.to_string()))?;
    let price_max = U96::from(job.price_max.0);
    let call = IJobMarket::escrowRequiredCall { tasks: job.task_count(), priceMax: price_max, auditBps: job.audit.0 };
    let escrow = chain.call(JOB_MARKET, call).await.map_err(chain_problem)?;
    let (prices, excluded) = screen(&job, providers, now);
    Ok(Quote {
        tasks: job.task_count(),
        price_max: U256::from(price_max),
        escrow,
        providers_fit: prices.len() as u32,
        prices,
        providers_total: providers.len() as u32,
        excluded,
    })
}

/// Prices of the providers that fit, cheapest first, and why the others do not.
fn screen(job: &Job, providers: &[ProviderInfo], now: u64) -> (Vec<U256>, Vec<Exclusion>) {
    let mut prices = Vec::new();
    let mut reasons: BTreeMap<String, u32> = BTreeMap::new();
    for provider in providers {
        match reason(job, provider, now) {
            Ok(price) => prices.push(price),
            Err(found) => found.into_iter().for_each(|reason| *reasons.entry(reason).or_default() += 1),
        }
    }
    prices.sort();
    let excluded = reasons.into_iter().map(|(reason, providers)| Exclusion { reason, providers });
    (prices, excluded.collect())
}

fn reason(job: &Job, provider: &ProviderInfo, now: u64) -> Result<U256, Vec<String>> {
    if provider.jailed_until > now {
        return Err(vec!["jailed: caught with a wrong result".to_owned()]);
    }
    let offer = Offer::parse(&provider.attributes).map_err(|e| vec![format!("offer: {e}")])?;
    let asked = price(job, &offer.prices);
    let text = |found: Vec<compute::matching::Mismatch>| found.iter().map(ToString::to_string).collect::<Vec<_>>();
    fits(job, &Inventory::idle(offer)).map_err(text)?;
    Ok(U256::from(asked))
}
