//! The provider role: an account that bids, runs tasks and audits. See [`crate::provider`].

use super::{Running, lock_directory};
use crate::membership::{self, Member};
use crate::provider::{Provider, watch};
use alloy_primitives::U256;
use compute::Executor as _;
use compute::matching::{OFFER_BYTES_MAX, Offer};
use compute::pricing::PriceSheet;
use compute_wasm::WasmExecutor;
use eyre::{Context as _, Result, ensure};
use protocol::abi::{IProviderRegistry, ROLE_COMPUTE};
use protocol::network::Network;
use sdk::gateway::Gateway;
use sdk::{ChainClient, Files};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Memory that one slot offers, bytes.
const SLOT_MEMORY_BYTES: u64 = 1 << 30;
/// Output space that one slot offers, bytes.
const SLOT_OUTPUT_BYTES: u64 = 256 << 20;
/// Fuel that one slot burns in a second on slow hardware.
const FUEL_PER_SECOND: u64 = 800_000_000;
/// Longest task taken, seconds.
const TASK_SECONDS_MAX: u32 = 3_600;
/// Prices in wei: 0.01 AKE a task, 0.002 AKE per 10^9 fuel, 0.00002 AKE per MiB of memory, 0.0001 AKE per MiB of output.
const PRICES: PriceSheet = PriceSheet {
    per_task: 10_000_000_000_000_000,
    per_giga_fuel: 2_000_000_000_000_000,
    per_mib_memory: 20_000_000_000_000,
    per_mib_output: 100_000_000_000_000,
};

/// What a provider needs to start.
pub struct Config {
    /// The network; a client's file is enough.
    pub network: Network,
    /// Its directory: key, work.
    pub dir: PathBuf,
    /// Tasks at a time; `None`: one per core.
    pub slots: Option<usize>,
    /// Stake in wei.
    pub stake: U256,
    /// Return wrong outputs on purpose.
    pub dishonest: bool,
    /// Name for people.
    pub name: String,
}

/// Starts a provider; it registers itself as soon as the chain answers.
///
/// # Errors
/// When the directory cannot be used, or a dishonest provider is asked for outside a development network.
pub async fn start(config: Config) -> Result<Running> {
    ensure!(
        !config.dishonest || config.network.dev,
        "a dishonest provider is for development networks only; chain {} is not marked `dev`",
        config.network.chain_id
    );
    let lock = lock_directory(&config.dir)?;
    let mut role = Running::new(&config.name);
    role.hold(lock);
    let wallet = crate::dev::plan::node_wallet(&config.dir)?;
    let executor = Arc::new(WasmExecutor::new()?);
    let slots = config.slots.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let offer = offer(executor.profile(), slots);
    let gateway = Gateway::new(&config.network.gateway);
    let provider = Arc::new(Provider {
        chain: ChainClient::new(&config.network.rpc, config.network.chain_id),
        files: Files::new(gateway.clone(), fresh_folder(&config.dir.join("scratch"))?),
        gateway,
        wallet: wallet.clone(),
        executor,
        offer: offer.clone(),
        slots: Arc::new(Semaphore::new(slots)),
        audit_slots: Arc::new(Semaphore::new(slots)),
        work: work_folder(&config.dir.join("work"))?,
        dishonest: config.dishonest,
        cancel: role.cancelled(),
        tracker: TaskTracker::new(),
        busy: Default::default(),
        since: Default::default(),
    });
    let profile = IProviderRegistry::Profile {
        roles: 1 << ROLE_COMPUTE,
        encryptionKey: wallet.exchange_public(),
        endpoint: String::new(),
        attributes: attributes(&offer, &config)?,
    };
    role.spawn(membership::keep(Member { network: config.network, wallet, profile, stake: config.stake }));
    role.spawn(watch::run(provider.clone()));
    role.on_stop(move || async move {
        provider.tracker.close();
        provider.tracker.wait().await;
    });
    Ok(role)
}

fn offer(executor: &str, slots: usize) -> Offer {
    let slots = u32::try_from(slots).unwrap_or(u32::MAX);
    Offer {
        executor: executor.to_owned(),
        slots,
        memory_bytes: u64::from(slots) * SLOT_MEMORY_BYTES,
        output_bytes: u64::from(slots) * SLOT_OUTPUT_BYTES,
        fuel_per_second: FUEL_PER_SECOND,
        task_seconds_max: TASK_SECONDS_MAX,
        prices: PRICES,
    }
}

/// The offer as JSON, with the name, and the label of a dishonest provider, beside its fields.
fn attributes(offer: &Offer, config: &Config) -> Result<String> {
    let mut json = serde_json::to_value(offer)?;
    json["name"] = config.name.clone().into();
    if config.dishonest {
        json["label"] = "dishonest on purpose: development only".into();
    }
    let text = json.to_string();
    ensure!(text.len() <= OFFER_BYTES_MAX, "attributes have {} bytes, at most {OFFER_BYTES_MAX} fit", text.len());
    Ok(text)
}

/// An empty folder: whatever a killed process left in it is in the clear, and goes.
fn fresh_folder(path: &Path) -> Result<PathBuf> {
    if path.exists() {
        std::fs::remove_dir_all(path).wrap_err_with(|| format!("cannot empty {}", path.display()))?;
    }
    std::fs::create_dir_all(path).wrap_err_with(|| format!("cannot make {}", path.display()))?;
    Ok(path.to_owned())
}

/// The work folder without what a killed process left, except for the marks of begun attempts.
fn work_folder(path: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(path).wrap_err_with(|| format!("cannot make {}", path.display()))?;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_run_leaves_no_plaintext_and_keeps_its_marks() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("1-0-1")).unwrap();
        std::fs::write(dir.path().join("1-0-1/in-0"), b"secret").unwrap();
        std::fs::write(dir.path().join("begun-1-0-1"), b"").unwrap();
        work_folder(dir.path()).unwrap();
        assert!(!dir.path().join("1-0-1").exists());
        assert!(dir.path().join("begun-1-0-1").exists());
    }

    #[tokio::test]
    async fn a_dishonest_provider_is_refused_outside_development() {
        let dir = tempfile::tempdir().unwrap();
        let network = Network {
            lane: None,
            chain_id: 1,
            dev: false,
            rpc: "http://127.0.0.1:1".into(),
            gateway: "http://127.0.0.1:1".into(),
            accounts: vec![],
            contracts: Default::default(),
            validators: vec![],
            genesis: None,
        };
        let config = Config {
            network,
            dir: dir.path().into(),
            slots: Some(1),
            stake: U256::ZERO,
            dishonest: true,
            name: "p".into(),
        };
        let error = start(config).await.err().unwrap().to_string();
        assert!(error.contains("chain 1 is not marked `dev`"), "{error}");
    }
}
