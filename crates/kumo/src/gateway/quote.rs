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

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(memory_bytes: u64, jailed_until: u64) -> ProviderInfo {
        let offer = Offer {
            executor: "wasmtime-48/deterministic-v1".into(),
            slots: 2,
            memory_bytes,
            output_bytes: 1 << 30,
            fuel_per_second: 1_000_000_000,
            task_seconds_max: 600,
            prices: compute::pricing::PriceSheet { per_task: 1000, ..Default::default() },
        };
        ProviderInfo {
            address: Default::default(),
            roles: 1,
            endpoint: String::new(),
            attributes: offer.to_json(),
            encryption_key: Default::default(),
            stake: U256::ZERO,
            reserved: U256::ZERO,
            reputation_bps: 0,
            jailed_until,
            balance: U256::ZERO,
        }
    }

    #[test]
    fn screening_counts_providers_by_reason() {
        let job = Job::parse_yaml(include_str!("../../../../examples/digits/job.yaml")).unwrap();
        let nonsense = ProviderInfo { attributes: "{}".into(), ..provider(1 << 30, 0) };
        let all = [provider(1 << 30, 0), provider(1 << 20, 0), provider(1 << 20, 0), provider(1 << 30, 200), nonsense];
        let (prices, excluded) = screen(&job, &all, 100);
        assert_eq!(prices, [U256::from(1000)]);
        let count = |word: &str| excluded.iter().find(|e| e.reason.starts_with(word)).map(|e| e.providers);
        assert_eq!((count("memory"), count("jailed"), count("offer")), (Some(2), Some(1), Some(1)), "{excluded:?}");
        assert_eq!(screen(&job, &all, 200).0.len(), 2, "a sentence ends");
    }
}
