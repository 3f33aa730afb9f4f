//! The steps about the network, the wallet and the storage.

use super::report::Narrator;
use crate::dev::DevNetwork;
use crate::roles;
use alloy_primitives::{Address, U256};
use cid::Cid;
use cli::ake;
use eyre::{Context as _, Result, ensure, eyre};
use protocol::abi::{self, IFeeVault};
use protocol::api::ProviderInfo;
use sdk::files::{Protection, Unlock};
use sdk::gateway::Gateway;
use sdk::wallet::AccountChoice;
use sdk::{ChainClient, Files, Jobs, Wallet};
use serde::Deserialize;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// UCI "Optical Recognition of Handwritten Digits", 1,797 images of 8×8 (E. Alpaydin and C. Kaynak, CC BY 4.0).
pub const DIGITS: &[u8] = include_bytes!("../../../../examples/digits/digits.csv");
/// How long a step waits for what it expects.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Pause between two looks.
pub const POLL: Duration = Duration::from_millis(100);

/// The consumer: a development account with clients to the network.
pub struct Consumer {
    /// Its account.
    pub wallet: Wallet,
    /// The settlement chain.
    pub chain: ChainClient,
    /// The gateway.
    pub gateway: Gateway,
    /// Files as this account.
    pub files: Files,
    /// Jobs as this account.
    pub jobs: Jobs,
    /// Folder for this run's files.
    pub folder: PathBuf,
    /// Account of the provider that is dishonest on purpose.
    pub cheat: Address,
}

/// Who is there.
pub async fn describe(network: &DevNetwork) -> Result<String> {
    let status = Gateway::new(&network.network().gateway).status().await?;
    Ok(format!(
        "{} validators, {} storage nodes, {} providers (one dishonest on purpose); block {} is final",
        status.validators, status.storage_nodes_up, status.providers, status.block_number
    ))
}

/// The consumer's account and balance.
pub async fn wallet(network: &DevNetwork) -> Result<(Consumer, String)> {
    let file = network.network();
    let wallet = Wallet::dev(file, AccountChoice::Index(0))?;
    let chain = ChainClient::connect(&file.rpc, file.chain_id).await?;
    let gateway = Gateway::new(&file.gateway);
    let folder = network.state().join("consumer");
    std::fs::create_dir_all(&folder).wrap_err_with(|| format!("cannot make {}", folder.display()))?;
    let files = Files::new(gateway.clone(), folder.clone());
    let jobs = Jobs::new(chain.clone(), gateway.clone(), files.clone(), wallet.clone());
    let providers = gateway.providers().await?;
    let cheat = providers.iter().find(|p| p.attributes.contains("dishonest on purpose"));
    let cheat = cheat.ok_or_else(|| eyre!("no provider is labelled dishonest"))?.address;
    let balance = chain.balance(wallet.address()).await?;
    ensure!(!balance.is_zero(), "account {} has no coin", wallet.address());
    let detail = format!("{} has {}", wallet.address(), ake(balance));
    Ok((Consumer { wallet, chain, gateway, files, jobs, folder, cheat }, detail))
}

/// Stores the data set encrypted, stops half of the storage nodes, and reads it back through a gateway that has never
/// seen it.
pub async fn store(network: &mut DevNetwork, consumer: &Consumer) -> Result<(Cid, String)> {
    let stored = consumer.files.put_bytes(DIGITS, &Protection::owner(&consumer.wallet)).await?;
    let names: Vec<String> = (0..network.storage_nodes() / 2).map(|i| format!("storage-{i}")).collect();
    for name in &names {
        network.stop_node(name).await?;
    }
    let read = read_elsewhere(network, consumer, &stored.cid).await;
    for name in &names {
        network.start_node(name).await?;
    }
    ensure!(read? == DIGITS, "the data set came back changed");
    let info = &stored.info;
    let detail = format!(
        "{} bytes encrypted as {}, {} of {} shards suffice; read back whole with {} of {} nodes stopped",
        stored.file_bytes,
        stored.cid,
        info.k,
        info.n,
        names.len(),
        network.storage_nodes()
    );
    Ok((stored.cid, detail))
}

/// Reads through a second gateway with an empty directory, so that no cache can answer.
async fn read_elsewhere(network: &DevNetwork, consumer: &Consumer, cid: &Cid) -> Result<Vec<u8>> {
    let port = roles::free_port()?;
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let dir = network.node_dir("gateway-fresh");
    let config = roles::gateway::Config { network: network.network().clone(), dir, listen: Some(listen) };
    let role = roles::gateway::start(config).await?;
    let gateway = Gateway::new(&format!("http://{listen}"));
    let files = Files::new(gateway.clone(), consumer.folder.clone());
    let begin = Instant::now();
    let read = loop {
        match files.get_bytes(cid, &Unlock::Wallet(&consumer.wallet), DIGITS.len()).await {
            // The fresh gateway first has to read from the chain which nodes there are.
            Err(_) if begin.elapsed() < PATIENCE => tokio::time::sleep(POLL).await,
            other => break other,
        }
    };
    role.stop().await;
    Ok(read?)
}

/// `kumo_supply`: every balance added up by the node.
#[derive(Clone, Debug, Deserialize)]
pub struct Supply {
    /// What genesis gave out, wei.
    pub genesis: U256,
    /// Sum of all balances now, wei.
    pub total: U256,
    /// Balance of the burn address, wei.
    pub burned: U256,
}

/// Supply as the node counts it.
pub async fn supply(chain: &ChainClient) -> Result<Supply> {
    Ok(chain.rpc().request("kumo_supply", ()).await?)
}

/// Who had how much at one moment.
pub struct Money {
    /// The consumer's balance, wei.
    pub consumer: U256,
    /// The providers with stake, reputation and balance.
    pub providers: Vec<ProviderInfo>,
    /// Supply.
    pub supply: Supply,
    /// Treasury inside the fee vault, wei.
    pub treasury: U256,
}

impl Money {
    /// Now.
    pub async fn now(consumer: &Consumer) -> Result<Self> {
        Ok(Self {
            consumer: consumer.chain.balance(consumer.wallet.address()).await?,
            providers: consumer.gateway.providers().await?,
            supply: supply(&consumer.chain).await?,
            treasury: consumer.chain.call(abi::FEE_VAULT, IFeeVault::treasuryBalanceCall {}).await?,
        })
    }

    /// The provider of this address.
    pub fn provider(&self, address: Address) -> Result<&ProviderInfo> {
        self.providers
            .iter()
            .find(|p| p.address == address)
            .ok_or_else(|| eyre!("provider {address} is not registered"))
    }

    /// Writes before and after into the report.
    pub async fn report(&self, consumer: &Consumer, narrator: &mut Narrator) -> Result<()> {
        let after = Self::now(consumer).await?;
        let pair = |before: U256, after: U256| json!({"before": before.to_string(), "after": after.to_string()});
        narrator.balance("consumer", pair(self.consumer, after.consumer));
        narrator.balance("treasury", pair(self.treasury, after.treasury));
        narrator.balance("burned", pair(self.supply.burned, after.supply.burned));
        narrator.balance("supply", pair(self.supply.total, after.supply.total));
        let providers: Vec<_> = self
            .providers
            .iter()
            .filter_map(|before| Some((before, after.provider(before.address).ok()?)))
            .map(|(before, after)| {
                json!({
                    "address": before.address,
                    "dishonest": before.address == consumer.cheat,
                    "balance": pair(before.balance, after.balance),
                    "stake": pair(before.stake, after.stake),
                    "reputation_bps": {"before": before.reputation_bps, "after": after.reputation_bps},
                })
            })
            .collect();
        narrator.balance("providers", providers.into());
        Ok(())
    }
}
