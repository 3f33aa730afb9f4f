//! `kumo bridge`: put the contracts on an L1, and see how far a contract and its bridge are.

use crate::args::{BridgeCommand, DeployArguments, FeeArguments, StatusArguments};
use crate::links::Links;
use crate::roles::bridge::{JOURNAL_FILE, key, links};
use bridge_ethereum::deploy::{self, Deployed, VaultTerms};
use bridge_ethereum::{FeeLimits, Finality as _, HttpL1, Journal, L1 as _, View};
use cli::Output;
use eyre::{Result, WrapErr as _, ensure, eyre};
use proof::checkpoint::{Checkpoint, Electorate};
use protocol::network::Network;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Part of the stake that an offence costs, in ten thousandths.
const SLASH_BPS: u16 = 5_000;
/// Part of that for the reporter, in ten thousandths.
const REWARD_BPS: u16 = 1_000;
/// Seconds in a day.
const DAY: u64 = 86_400;
/// Wei in a gwei.
const GWEI: u128 = 1_000_000_000;

/// Runs a command; what is to be printed.
///
/// # Errors
/// When the L1 or the validators do not answer, or refuse.
pub async fn run(command: &BridgeCommand, network: &Network, output: Output) -> Result<String> {
    let json = match command {
        BridgeCommand::Deploy(words) => deploy(words, network).await?,
        BridgeCommand::Status(words) => status(words, network).await?,
    };
    Ok(if output == Output::Json { json.to_string() } else { lines(&json) })
}

/// The prices that the words allow.
pub fn fees(words: &FeeArguments) -> FeeLimits {
    let wei = |gwei: u32| u128::from(gwei) * GWEI;
    FeeLimits { max: wei(words.fee_max_gwei), tip: wei(words.tip_gwei) }
}

async fn deploy(words: &DeployArguments, network: &Network) -> Result<Value> {
    let DeployArguments { l1, l1_chain_id, key_file, trust_days, .. } = words;
    let signer = key(key_file)?;
    let source = source(network).await?;
    let (trusted, electorate) = trusted(words, network, &source).await?;
    let (node, fees) = (HttpL1::new(l1)?, fees(&words.fees));
    let create = |code| {
        let poll = Duration::from_millis(words.poll_millis);
        deploy::create(&node, *l1_chain_id, signer.signer(), fees, code, poll)
    };
    let code = deploy::light_client(&source.domain(), trust_days * DAY, &trusted, &electorate)?;
    let client = create(code).await.wrap_err("the light client is not deployed")?;
    let vault = match words.token {
        None => None,
        Some(token) => {
            let terms = VaultTerms {
                token,
                treasury: words.treasury.unwrap_or_else(|| signer.address()),
                unbond_seconds: words.unbond_days * DAY,
                evidence_seconds: words.evidence_days * DAY,
                deposit_min: words.deposit_min,
                slash_bps: SLASH_BPS,
                reward_bps: REWARD_BPS,
            };
            let code = deploy::vault(client.address, &terms)?;
            let failed = || format!("the vault is not deployed; the light client is, at {}", client.address);
            Some(create(code).await.wrap_err_with(failed)?)
        }
    };
    let named = |deployed: &Deployed| json!({ "address": deployed.address, "transaction": deployed.transaction, "gas": deployed.gas });
    Ok(json!({
        "chain_id": l1_chain_id,
        "light_client": named(&client),
        "vault": vault.as_ref().map(named),
        "trusted": { "epoch": trusted.epoch, "height": trusted.height, "root": trusted.root() },
    }))
}

/// The checkpoint to begin with: the one that is named, or on a development network the newest one.
async fn trusted(words: &DeployArguments, network: &Network, source: &Links) -> Result<(Checkpoint, Electorate)> {
    let point = match words.checkpoint {
        Some(point) => point,
        None => {
            ensure!(
                network.dev,
                "name a checkpoint that you trust, --checkpoint EPOCH:ROOT: `stake.finalized` of `kumo_finality` of a node that you trust"
            );
            source.newest().await?.ok_or_else(|| eyre!("nothing is finalised yet: try again in some epochs"))?
        }
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    source.trusted(point, now).await
}

async fn status(words: &StatusArguments, network: &Network) -> Result<Value> {
    let source = source(network).await?;
    let node = HttpL1::new(&words.l1)?;
    let view = View::read(&node, words.contract, &source).await?;
    let newest = source.newest().await?.map_or(0, |point| point.epoch);
    let bridge = match &words.state {
        None => Value::Null,
        Some(dir) => {
            let found = Journal::peek(&dir.join(JOURNAL_FILE))?;
            let (identity, totals, nonce) = found.ok_or_else(|| eyre!("{} holds no bridge", dir.display()))?;
            json!({
                "account": identity.account,
                "nonce": node.nonce(identity.account, None).await?,
                "in_flight": nonce,
                "posted": totals.posted,
                "reverted": totals.reverted,
                "gas": totals.gas,
                "spent_wei": totals.spent.to_string(),
                "epoch": totals.epoch,
            })
        }
    };
    Ok(json!({
        "contract": words.contract,
        "epoch": view.finalised.epoch,
        "root": view.finalised.root,
        "timestamp": view.seconds,
        "network_epoch": newest,
        "behind": newest.saturating_sub(view.finalised.epoch),
        "bridge": bridge,
    }))
}

/// The validators; block 0 is computed in a directory that is removed again.
async fn source(network: &Network) -> Result<Links> {
    let dir =
        std::env::temp_dir().join(format!("kumo-bridge-{}-{}", std::process::id(), getrandom::u64().unwrap_or(0)));
    let made = links(network, &dir).await;
    if let Err(error) = std::fs::remove_dir_all(&dir) {
        tracing::debug!(%error, dir = %dir.display(), "a temporary directory is left");
    }
    made
}

/// One line for each value, for people.
fn lines(json: &Value) -> String {
    let mut out = Vec::new();
    collect("", json, &mut out);
    out.join("\n")
}

fn collect(name: &str, value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let name = if name.is_empty() { key.clone() } else { format!("{name} {key}") };
                collect(&name.replace('_', " "), value, out);
            }
        }
        Value::Null => {}
        Value::String(text) => out.push(format!("{name:<24} {text}")),
        other => out.push(format!("{name:<24} {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_a_line_for_each_value() {
        let text = lines(&json!({ "epoch": 3, "bridge": { "spent_wei": "7", "in_flight": null } }));
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words, [vec!["epoch", "3"], vec!["bridge", "spent", "wei", "7"]]);
    }

    #[test]
    fn prices_are_told_in_gwei() {
        let limits = fees(&FeeArguments { fee_max_gwei: 30, tip_gwei: 2 });
        assert_eq!((limits.max, limits.tip), (30_000_000_000, 2_000_000_000));
    }
}
