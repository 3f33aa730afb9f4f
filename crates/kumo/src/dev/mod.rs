//! A development network in one process: the same roles that `kumo node` runs, started one after the other.

pub mod plan;

use crate::roles::shared::Shared;
use crate::roles::{self, Running, lock_directory};
use eyre::{Context as _, Result, ensure, eyre};
use futures::future::join_all;
use plan::{Options, Plan};
use protocol::network::Network;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the network may take until its first blocks are final and every node is registered.
pub const READY_SECONDS_MAX: u64 = 60;
/// Seat of the validator whose chain the rpc node serves.
const SHARED_SEAT: usize = 0;
/// Pause between two looks at the network while it starts.
const READY_POLL: Duration = Duration::from_millis(50);
/// Bytes that each storage node of a development network offers.
const CAPACITY_BYTES: u64 = 10 << 30;
/// Whole AKE that each node of a development network stakes.
pub const STAKE_AKE: u64 = 200;

/// A running development network.
pub struct DevNetwork {
    plan: Plan,
    running: BTreeMap<String, Running>,
    /// Between the rpc node and the validator of seat [`SHARED_SEAT`].
    shared: Shared,
    temporary: Option<PathBuf>,
    _lock: std::fs::File,
}

impl DevNetwork {
    /// Starts everything; returns when all roles serve. Use [`Self::ready`] to wait for blocks and registrations.
    ///
    /// # Errors
    /// When a port is taken, the state directory is in use or damaged, or an option is out of range.
    pub async fn start(options: Options) -> Result<Self> {
        let (state, temporary) = match &options.state {
            Some(dir) => (dir.clone(), None),
            None => {
                let dir = temporary_directory()?;
                (dir.clone(), Some(dir))
            }
        };
        let lock = lock_directory(&state)?;
        let plan = Plan::prepare(&state, options)?;
        let mut network = Self { plan, running: BTreeMap::new(), shared: Shared::default(), temporary, _lock: lock };
        if let Err(error) = network.start_all().await {
            network.stop().await;
            return Err(error);
        }
        Ok(network)
    }

    async fn start_all(&mut self) -> Result<()> {
        let options = self.plan.options.clone();
        let names = |kind: &str, count: usize| (0..count).map(|i| format!("{kind}-{i}")).collect::<Vec<_>>();
        self.start_nodes(names("validator", options.validators)).await?;
        // One after the other: the gateway waits for an rpc, and if that one cannot start its reason is the one to tell.
        self.start_nodes(vec!["rpc".to_owned()]).await?;
        self.start_nodes(vec!["gateway".to_owned()]).await?;
        let nodes = [names("storage", options.storage_nodes), names("provider", options.providers)].concat();
        self.start_nodes(nodes).await
    }

    async fn start_nodes(&mut self, names: Vec<String>) -> Result<()> {
        let started = join_all(names.iter().map(|name| start_node(&self.plan, &self.shared, name))).await;
        let mut failure = None;
        for (name, role) in names.into_iter().zip(started) {
            match role {
                Ok(role) => drop(self.running.insert(name, role)),
                Err(error) => failure = Some(error.wrap_err(format!("cannot start {name}"))),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// The network file's content.
    pub fn network(&self) -> &Network {
        &self.plan.network
    }

    /// How many storage nodes the network was made with.
    pub fn storage_nodes(&self) -> usize {
        self.plan.options.storage_nodes
    }

    /// Directory that holds everything.
    pub fn state(&self) -> &Path {
        &self.plan.state
    }

    /// Directory of one node.
    pub fn node_dir(&self, name: &str) -> PathBuf {
        self.plan.node_dir(name)
    }

    /// Stops one node and leaves its directory; the others go on.
    ///
    /// # Errors
    /// When no node of that name runs.
    pub async fn stop_node(&mut self, name: &str) -> Result<()> {
        self.running.remove(name).ok_or_else(|| eyre!("no node {name} runs"))?.stop().await;
        Ok(())
    }

    /// Starts a node again that was stopped.
    ///
    /// # Errors
    /// When it runs already or cannot start.
    pub async fn start_node(&mut self, name: &str) -> Result<()> {
        ensure!(!self.running.contains_key(name), "{name} runs already");
        self.start_nodes(vec![name.to_owned()]).await
    }

    /// Waits until blocks are final, every node is registered and the gateway says that it is ready.
    ///
    /// # Errors
    /// After [`READY_SECONDS_MAX`]; the text says what is missing.
    pub async fn ready(&self) -> Result<()> {
        wait_ready(self.network(), self.plan.options.storage_nodes, self.plan.options.providers).await
    }

    /// Stops all roles, users of the network first, and removes a temporary directory.
    pub async fn stop(mut self) {
        for kind in ["provider", "gateway", "storage", "rpc", "validator"] {
            let names: Vec<String> = self.running.keys().filter(|n| n.starts_with(kind)).cloned().collect();
            let roles = names.iter().filter_map(|n| self.running.remove(n)).collect::<Vec<_>>();
            join_all(roles.into_iter().map(Running::stop)).await;
        }
        if let Some(dir) = self.temporary.take()
            && let Err(error) = std::fs::remove_dir_all(&dir)
        {
            tracing::warn!(dir = %dir.display(), %error, "cannot remove the temporary directory");
        }
    }
}

async fn wait_ready(network: &Network, storage_nodes: usize, providers: usize) -> Result<()> {
    let gateway = sdk::gateway::Gateway::new(&network.gateway);
    let begin = Instant::now();
    loop {
        let missing = match gateway.status().await {
            Err(error) => format!("the gateway does not answer: {error}"),
            Ok(s) if s.block_number < 2 => format!("block {} is the newest final one", s.block_number),
            Ok(s) if (s.storage_nodes_up as usize) < storage_nodes => {
                format!("{} of {storage_nodes} storage nodes are registered and up", s.storage_nodes_up)
            }
            Ok(s) if (s.providers as usize) < providers => {
                format!("{} of {providers} providers are registered", s.providers)
            }
            Ok(_) => return Ok(()),
        };
        ensure!(
            begin.elapsed().as_secs() < READY_SECONDS_MAX,
            "the network is not ready after {READY_SECONDS_MAX} s: {missing}"
        );
        tokio::time::sleep(READY_POLL).await;
    }
}

/// Starts the node `name` (`validator-0`, `storage-3`, `rpc`, …) of a plan.
async fn start_node(plan: &Plan, shared: &Shared, name: &str) -> Result<Running> {
    let (network, chain) = (plan.network.clone(), plan.options.chain);
    let dir = plan.node_dir(name);
    let (kind, index) = match name.rsplit_once('-') {
        Some((kind, index)) => (kind, index.parse::<usize>().wrap_err("node names end in a number")?),
        None => (name, 0),
    };
    match kind {
        "validator" => {
            let shared = (index == SHARED_SEAT).then(|| shared.clone());
            let place = roles::validator::Place::Seat(index);
            roles::validator::start(roles::validator::Config { network, place, dir, shared, chain }).await
        }
        "rpc" => {
            let (settings, local) = (plan.options.settings.clone(), Some((shared.clone(), SHARED_SEAT)));
            roles::rpc::start(roles::rpc::Config { network, dir, listen: None, settings, local, chain, trusted: None })
                .await
        }
        "gateway" => roles::gateway::start(roles::gateway::Config { network, dir, listen: None }).await,
        "storage" => {
            let listen = SocketAddr::from(([127, 0, 0, 1], 0));
            let config = roles::storage::Config {
                network,
                dir,
                listen,
                capacity_bytes: CAPACITY_BYTES,
                stake: plan::ake(STAKE_AKE),
                name: name.to_owned(),
            };
            roles::storage::start(config).await
        }
        "provider" => {
            let options = &plan.options;
            let config = roles::provider::Config {
                network,
                dir,
                slots: None,
                stake: plan::ake(STAKE_AKE),
                dishonest: index >= options.providers - options.dishonest.min(options.providers),
                name: name.to_owned(),
            };
            roles::provider::start(config).await
        }
        _ => Err(eyre!("there is no role {kind}")),
    }
}

fn temporary_directory() -> Result<PathBuf> {
    let base = std::env::temp_dir();
    let mut suffix = [0_u8; 8];
    getrandom::fill(&mut suffix).map_err(|e| eyre!("no randomness: {e}"))?;
    let dir = base.join(format!("kumo-{}", hex::encode(suffix)));
    std::fs::create_dir(&dir).wrap_err_with(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}
