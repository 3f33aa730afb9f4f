//! The plan of a development network: how many nodes, with which keys, at which addresses, on which genesis.
//!
//! A state directory fixes the plan: a later start with the same directory goes on with the same chain and the same
//! accounts; only addresses may change.

use crate::lane;
use crate::locate;
use crate::roles::free_port;
use crate::roles::validator::{ChainOptions, KEY_FILE};
use crate::settings::Settings;
use alloy_primitives::{Address, U256};
use eyre::{Context, Result, bail, ensure, eyre};
use protocol::abi;
use protocol::network::{
    DEV_CHAIN_ID, EPOCH_BLOCKS_DEFAULT, Genesis, LanePolicy, Mint, Network, Validator, ValidatorStake,
};
use sdk::Wallet;
use sequencer::ValidatorKeys;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Most validators in one process.
pub const VALIDATORS_MAX: usize = 16;
/// Port of a validator's consensus socket, where every validator has a host of its own.
pub const P2P_PORT: u16 = 9600;
/// Port of a validator's API, where every validator has a host of its own.
pub const API_PORT: u16 = 9601;
/// Most storage nodes in one process.
pub const STORAGE_NODES_MAX: usize = 64;
/// Most compute providers in one process.
pub const PROVIDERS_MAX: usize = 64;
/// A day, in milliseconds: the epoch of minting.
const DAY_MILLIS: u64 = 86_400_000;
/// Whole AKE given to each development account at genesis.
const DEV_ACCOUNT_AKE: u64 = 10_000;
/// Whole AKE given to each node that exists at genesis, for stake and gas.
pub const NODE_AKE: u64 = 1_000;
/// Whole AKE that each validator stakes at genesis: what a seat costs at least.
pub const VALIDATOR_STAKE_AKE: u64 = 1_000;
/// Whole AKE given to the owner of each validator, for gas.
const VALIDATOR_GAS_AKE: u64 = 10;
/// Gas limit of every block.
const GAS_LIMIT: u64 = 100_000_000;

/// What a person may choose about a development network.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where everything is kept; `None`: a temporary directory that goes with the process.
    pub state: Option<PathBuf>,
    /// Free ports instead of 8080 and 8545.
    pub ports_auto: bool,
    /// Validators (1..=16).
    pub validators: usize,
    /// The hosts of the validators, one each in the order of seats; empty: all on this machine, at free ports.
    pub hosts: Vec<IpAddr>,
    /// Storage nodes (0..=64).
    pub storage_nodes: usize,
    /// Compute providers (0..=64).
    pub providers: usize,
    /// How many of the providers return wrong outputs on purpose (the last ones); they say so in their attributes.
    pub dishonest: usize,
    /// Least time between blocks, milliseconds.
    pub block_millis: u64,
    /// Blocks of an epoch: the stake votes on the first one.
    pub epoch_blocks: u64,
    /// What stands in which namespace; first come, first served in all others.
    pub policies: BTreeMap<u64, LanePolicy>,
    /// Who makes the key of the encrypted lane.
    pub lane: lane::KeyMaker,
    /// How the validators keep their chains.
    pub chain: ChainOptions,
    /// The limits of the JSON-RPC and the pool.
    pub settings: Settings,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            state: None,
            ports_auto: false,
            validators: 4,
            hosts: Vec::new(),
            storage_nodes: 8,
            providers: 4,
            dishonest: 0,
            block_millis: 200,
            epoch_blocks: EPOCH_BLOCKS_DEFAULT,
            policies: lane::policies(&[]),
            lane: lane::KeyMaker::default(),
            chain: ChainOptions::default(),
            settings: Settings::default(),
        }
    }
}

/// A network ready to be started from a state directory.
pub struct Plan {
    /// Where everything is kept.
    pub state: PathBuf,
    /// The network file.
    pub network: Network,
    /// What was asked for.
    pub options: Options,
}

impl Plan {
    /// Makes the state directory, or goes on with the one that is there.
    ///
    /// # Errors
    /// When a number is out of range, the directory cannot be used, or it belongs to a network of another shape.
    pub fn prepare(state: &Path, options: Options) -> Result<Self> {
        check(&options)?;
        let file = state.join("network.json");
        let mut network = if file.exists() { resume(&file, &options)? } else { create(state, &options)? };
        renew_addresses(&mut network, &options)?;
        locate::write(&file, &network)?;
        Ok(Self { state: state.to_owned(), network, options })
    }

    /// Directory of one node.
    pub fn node_dir(&self, name: &str) -> PathBuf {
        self.state.join(name)
    }
}

/// The wallet of a node below `dir`, made at the first start.
///
/// # Errors
/// When the key file cannot be read or written.
pub fn node_wallet(dir: &Path) -> Result<Wallet> {
    std::fs::create_dir_all(dir).wrap_err_with(|| format!("cannot make {}", dir.display()))?;
    Ok(Wallet::load_or_create(&dir.join("wallet.key"))?)
}

fn check(options: &Options) -> Result<()> {
    let within = |what: &str, value: usize, min: usize, max: usize| -> Result<()> {
        ensure!((min..=max).contains(&value), "--{what} {value} is out of range: {min} to {max}");
        Ok(())
    };
    within("validators", options.validators, 1, VALIDATORS_MAX)?;
    let hosts = options.hosts.len();
    ensure!(
        hosts == 0 || hosts == options.validators,
        "--host was given {hosts} times for {} validators: name one for each, or none",
        options.validators
    );
    within("storage-nodes", options.storage_nodes, 0, STORAGE_NODES_MAX)?;
    within("providers", options.providers, 0, PROVIDERS_MAX)?;
    within("dishonest", options.dishonest, 0, options.providers)?;
    ensure!(
        (10..=60_000).contains(&options.block_millis),
        "--block-millis {} is out of range: 10 to 60000",
        options.block_millis
    );
    ensure!(
        (2..=sequencer::ffg::EPOCH_BLOCKS_MAX).contains(&options.epoch_blocks),
        "--epoch-blocks {} is out of range: 2 to {}",
        options.epoch_blocks,
        sequencer::ffg::EPOCH_BLOCKS_MAX
    );
    lane::check_epochs(options.lane, options.validators, options.epoch_blocks)
}

fn resume(file: &Path, options: &Options) -> Result<Network> {
    let network = locate::read(file)?;
    let found = network.validators.len();
    if found != options.validators {
        bail!(
            "{} holds a network of {found} validators, --validators {} was asked for; the committee of a chain is fixed at its genesis",
            file.display(),
            options.validators
        );
    }
    ensure!(network.genesis.is_some(), "{} holds no genesis; it is a client's network file", file.display());
    Ok(network)
}

fn create(state: &Path, options: &Options) -> Result<Network> {
    let accounts = sdk::wallet::mnemonic_accounts();
    let mut alloc: BTreeMap<Address, U256> = accounts.iter().map(|a| (a.address, ake(DEV_ACCOUNT_AKE))).collect();
    let names = (0..options.storage_nodes)
        .map(|i| format!("storage-{i}"))
        .chain((0..options.providers).map(|i| format!("provider-{i}")));
    for name in names {
        alloc.insert(node_wallet(&state.join(name))?.address(), ake(NODE_AKE));
    }
    let authority = accounts.first().ok_or_else(|| eyre!("no development accounts"))?.address;
    let validators = validators(state, options.validators)?;
    let lane = lane::create(state, &validators, DEV_CHAIN_ID, options.policies.clone(), options.lane)?;
    let stakes = stakes(state, options.validators)?;
    alloc.extend(stakes.iter().map(|stake| (stake.owner, ake(VALIDATOR_GAS_AKE))));
    Ok(Network {
        lane: Some(lane),
        chain_id: DEV_CHAIN_ID,
        dev: true,
        rpc: String::new(),
        gateway: String::new(),
        contracts: abi::CONTRACTS.iter().chain(&abi::PRECOMPILES).map(|(n, a)| ((*n).to_owned(), *a)).collect(),
        accounts,
        validators,
        genesis: Some(Genesis {
            timestamp: unix_seconds(),
            gas_limit: GAS_LIMIT,
            block_millis: options.block_millis,
            epoch_blocks: options.epoch_blocks,
            authority,
            mint: Some(mint(&alloc, options.block_millis)),
            stakes,
            alloc,
        }),
    })
}

/// One part in a hundred of the genesis supply a day, by the contracts for emission and for coin from other chains.
fn mint(alloc: &BTreeMap<Address, U256>, block_millis: u64) -> Mint {
    let supply = alloc.values().fold(U256::ZERO, |sum, balance| sum.saturating_add(*balance));
    Mint {
        epoch_blocks: DAY_MILLIS.div_ceil(block_millis.max(1)),
        cap: supply / U256::from(100),
        minters: vec![abi::EMISSION_CONTROLLER, abi::BRIDGE_GATEWAY],
    }
}

fn validators(state: &Path, count: usize) -> Result<Vec<Validator>> {
    (0..count)
        .map(|seat| {
            let dir = state.join(format!("validator-{seat}"));
            std::fs::create_dir_all(&dir).wrap_err_with(|| format!("cannot make {}", dir.display()))?;
            let keys = ValidatorKeys::load_or_generate(&dir.join(KEY_FILE))?;
            Ok(keys.validator(String::new(), String::new()))
        })
        .collect()
}

/// The owners are accounts of their own, whose keys are in the validators' directories.
fn stakes(state: &Path, count: usize) -> Result<Vec<ValidatorStake>> {
    let owner = |seat| -> Result<Address> { Ok(node_wallet(&state.join(format!("validator-{seat}")))?.address()) };
    let stake = ake(VALIDATOR_STAKE_AKE);
    (0..count).map(|seat| Ok(ValidatorStake { owner: owner(seat)?, stake })).collect()
}

/// Gives every service an address for this start. Validators on hosts of their own have fixed ports, which firewalls are told;
/// others take free ones, as nobody types them.
fn renew_addresses(network: &mut Network, options: &Options) -> Result<()> {
    let port = |fixed: u16| if options.ports_auto { free_port() } else { Ok(fixed) };
    network.gateway = format!("http://127.0.0.1:{}", port(8080)?);
    network.rpc = format!("http://127.0.0.1:{}", port(8545)?);
    for (seat, validator) in network.validators.iter_mut().enumerate() {
        let (p2p, api) = match options.hosts.get(seat) {
            Some(host) => (SocketAddr::new(*host, P2P_PORT), SocketAddr::new(*host, API_PORT)),
            None => {
                (SocketAddr::from(([127, 0, 0, 1], free_port()?)), SocketAddr::from(([127, 0, 0, 1], free_port()?)))
            }
        };
        (validator.p2p, validator.api) = (p2p.to_string(), format!("http://{api}"));
    }
    Ok(())
}

/// Whole AKE in wei.
pub fn ake(whole: u64) -> U256 {
    U256::from(whole) * U256::from(10).pow(U256::from(18))
}

fn unix_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options { ports_auto: true, validators: 2, storage_nodes: 1, providers: 1, ..Options::default() }
    }

    #[test]
    fn a_second_start_keeps_keys_and_genesis_and_renews_ports() {
        let dir = tempfile::tempdir().unwrap();
        let first = Plan::prepare(dir.path(), options()).unwrap().network;
        let second = Plan::prepare(dir.path(), options()).unwrap().network;
        assert_eq!(first.genesis, second.genesis);
        assert_eq!(first.validators[1].public_key, second.validators[1].public_key);
        assert_ne!(first.validators[1].p2p, first.validators[0].p2p);
    }

    #[test]
    fn a_directory_of_another_committee_is_refused_with_both_numbers() {
        let dir = tempfile::tempdir().unwrap();
        Plan::prepare(dir.path(), options()).unwrap();
        let error = Plan::prepare(dir.path(), Options { validators: 3, ..options() }).err().unwrap().to_string();
        assert!(error.contains("2 validators") && error.contains("--validators 3"), "{error}");
    }

    #[test]
    fn hosts_are_named_for_all_validators_or_for_none() {
        let dir = tempfile::tempdir().unwrap();
        let hosts = |addresses: &[&str]| Options {
            hosts: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            ..options()
        };
        let network = Plan::prepare(dir.path(), hosts(&["10.0.0.1", "fd00::2"])).unwrap().network;
        assert_eq!(network.validators[0].p2p, "10.0.0.1:9600");
        assert_eq!(network.validators[1].api, "http://[fd00::2]:9601");
        let error = Plan::prepare(dir.path(), hosts(&["10.0.0.1"])).err().unwrap().to_string();
        assert!(error.contains("1 times for 2 validators"), "{error}");
    }

    #[test]
    fn numbers_out_of_range_are_refused_with_the_range() {
        let dir = tempfile::tempdir().unwrap();
        for (bad, wanted) in [
            (Options { validators: 0, ..options() }, "1 to 16"),
            (Options { storage_nodes: 65, ..options() }, "0 to 64"),
            (Options { dishonest: 2, ..options() }, "0 to 1"),
            (Options { block_millis: 9, ..options() }, "10 to 60000"),
            (Options { epoch_blocks: 1, ..options() }, "2 to 65536"),
            (Options { epoch_blocks: 7, lane: lane::KeyMaker::Dkg, ..options() }, "with 8 blocks or more"),
        ] {
            let error = Plan::prepare(dir.path(), bad).err().unwrap().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
