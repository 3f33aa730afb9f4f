//! `kumo doctor`: what works and what does not, on this machine and in the network.

use eyre::Result;
use protocol::network::Network;
use sdk::ChainClient;
use sdk::gateway::Gateway;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Open files that a busy node needs.
const OPEN_FILES_MIN: u64 = 4_096;
/// How long the chain gets to make a block.
const BLOCK_WAIT: Duration = Duration::from_secs(5);

/// One check.
#[derive(Debug, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it is in order.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
}

/// All checks; `network` is an error when none could be found.
pub async fn examine(network: Result<Network>) -> Vec<Check> {
    let mut checks = vec![open_files()];
    let network = match network {
        Ok(network) => network,
        Err(error) => {
            checks.push(Check { name: "network", ok: false, detail: format!("{error:#}") });
            return checks;
        }
    };
    let detail = format!("chain {}{}", network.chain_id, if network.dev { ", development" } else { "" });
    checks.push(Check { name: "network", ok: true, detail });
    checks.push(rpc(&network).await);
    checks.push(blocks(&network).await);
    checks.extend(gateway(&network).await);
    checks
}

fn open_files() -> Check {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|l| l.starts_with("Max open files")).unwrap_or_default();
    let soft = line.split_whitespace().nth(3).and_then(|n| n.parse::<u64>().ok());
    let detail = match soft {
        Some(soft) => format!("{soft} open files allowed, {OPEN_FILES_MIN} recommended"),
        None => "the limit of open files is not known on this system".to_owned(),
    };
    Check { name: "open files", ok: soft.is_none_or(|soft| soft >= OPEN_FILES_MIN), detail }
}

async fn rpc(network: &Network) -> Check {
    let begin = Instant::now();
    let (ok, detail) = match ChainClient::connect(&network.rpc, network.chain_id).await {
        Ok(chain) => (
            true,
            format!(
                "{} serves chain {}, answered in {} ms",
                network.rpc,
                chain.chain_id(),
                begin.elapsed().as_millis()
            ),
        ),
        Err(error) => (false, error.to_string()),
    };
    Check { name: "json-rpc", ok, detail }
}

async fn blocks(network: &Network) -> Check {
    let chain = ChainClient::new(&network.rpc, network.chain_id);
    let seen = async {
        let first = chain.block_number().await?;
        chain.wait_for_block(first + 1, BLOCK_WAIT).await.map(|newest| (first, newest))
    };
    let (ok, detail) = match seen.await {
        Ok((first, newest)) => (true, format!("block {first} became {newest}: the chain advances")),
        Err(error) => (false, format!("no new block within {} s: {error}", BLOCK_WAIT.as_secs())),
    };
    Check { name: "blocks", ok, detail }
}

async fn gateway(network: &Network) -> Vec<Check> {
    let client = Gateway::new(&network.gateway);
    let status = match client.status().await {
        Ok(status) => status,
        Err(error) => return vec![Check { name: "gateway", ok: false, detail: error.to_string() }],
    };
    let detail = format!("{} runs version {}", network.gateway, status.version);
    let storage = format!("{} of {} storage nodes are up", status.storage_nodes_up, status.storage_nodes);
    let providers = format!("{} compute providers are registered", status.providers);
    let all_up = status.storage_nodes > 0 && status.storage_nodes_up == status.storage_nodes;
    vec![
        Check { name: "gateway", ok: true, detail },
        Check { name: "storage", ok: all_up, detail: storage },
        Check { name: "providers", ok: status.providers > 0, detail: providers },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_reached_is_said_with_its_address() {
        let network = Network {
            lane: None,
            chain_id: 5886,
            dev: true,
            rpc: "http://127.0.0.1:9".into(),
            gateway: "http://127.0.0.1:9".into(),
            accounts: vec![],
            contracts: Default::default(),
            validators: vec![],
            genesis: None,
        };
        let checks = examine(Ok(network)).await;
        let failed: Vec<_> = checks.iter().filter(|c| !c.ok).map(|c| c.name).collect();
        assert!(failed.contains(&"json-rpc") && failed.contains(&"gateway"), "{checks:?}");
        assert!(checks.iter().any(|c| c.detail.contains("127.0.0.1:9")), "{checks:?}");
    }

    #[tokio::test]
    async fn without_a_network_it_says_how_to_name_one() {
        let checks = examine(crate::locate::network(None, &Default::default())).await;
        assert!(checks.iter().any(|c| !c.ok && c.detail.contains("kumo dev")), "{checks:?}");
    }
}
