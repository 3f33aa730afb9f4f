//! The words of the command line that start and check networks; everything a user does stands in `cli`.

use crate::chain::ChainCommand;
use crate::da::DaCommand;
use crate::dev::plan;
use crate::lane;
use crate::retention::Retention;
use crate::roles::validator::ChainOptions;
use crate::settings::{Settings, Table};
use crate::stake::StakeCommand;
use crate::validator_snapshot::SnapshotCommand;
use ::chain::ChainConfig;
use alloy_primitives::Address;
use clap::{Args, Parser, Subcommand, ValueEnum};
use proof::checkpoint::Point;
use protocol::network::{EPOCH_BLOCKS_DEFAULT, LanePolicy};
use std::path::PathBuf;

/// A computer owned by its users: shared sequencer, EVM settlement, encrypted storage, paid and audited compute.
#[derive(Debug, Parser)]
#[command(
    name = "kumo",
    version,
    propagate_version = true,
    max_term_width = 110,
    after_help = "Start here:\n  kumo demo                    the whole loop on this machine, in a minute\n  kumo dev                     the same network, for your own files and jobs\n  kumo store put FILE          encrypt and store a file; prints its CID\n  kumo job init > job.yaml     a job to start from; then `kumo job run job.yaml --wait`\n\nExit codes: 0 ok, 1 failure, 2 usage, 3 invalid file, 5 not found, 6 refused or insufficient funds,\n            7 network unavailable, 8 timed out, 9 reverted, 20 job failed, 130 interrupted"
)]
pub struct Arguments {
    /// Which network, which account, how to print.
    #[command(flatten)]
    pub global: cli::Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command of the program.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the whole loop on this machine and narrate it
    ///
    /// Starts 4 validators, 8 storage nodes, 4 compute providers (one dishonest on purpose), a gateway and the JSON-RPC in
    /// one process and a temporary directory; then stores, hires, runs, catches the cheat, pays, and orders a rollup.
    #[command(after_help = "Examples:\n  kumo demo\n  kumo demo --exit --output json > report.json")]
    Demo(DemoArguments),
    /// Run a development network on this machine until Ctrl-C
    ///
    /// The chain is marked `dev`: ten accounts have public keys. With --state everything survives a stop, also kill -9.
    #[command(after_help = "Examples:\n  kumo dev\n  kumo dev --state ./net --ports auto --config-out net.json")]
    Dev(DevArguments),
    /// Make the keys and the network file of a new development network, for `kumo node`
    #[command(
        after_help = "Example:\n  kumo init --dir ./net --validators 4\n  kumo node --role validator --seat 0 --network ./net/network.json --state ./net/validator-0"
    )]
    Init(InitArguments),
    /// Run one role as a process of its own
    ///
    /// validator and rpc need the network file with genesis and committee (`kumo init`, or DIR/network.json of
    /// `kumo dev --state DIR`); storage, provider and gateway can join a running `kumo dev`. An rpc node over a directory
    /// of `kumo chain import` needs no network file.
    #[command(
        after_help = "Examples:\n  kumo node --role rpc --state ./eth --ports auto --config-out eth.json\n  kumo node --role provider --network net.json --state ./my-provider\n  kumo node --role storage --network net.json --state ./my-disk --capacity 10Gi\n  kumo node slashing-protection export --dir net/validator-0 signed.json"
    )]
    Node(NodeWords),
    /// Carry finality to an L1: deploy the contracts, see how far they are
    ///
    /// `kumo node --role bridge` posts to them.
    #[command(subcommand)]
    Bridge(BridgeCommand),
    /// Import an Ethereum chain, run state tests, check or copy a chain on disk
    #[command(subcommand)]
    Chain(ChainCommand),
    /// Check this machine and the network: reachability, chain, storage, disk, limits
    #[command(after_help = "Example:\n  kumo doctor --network net.json --output json")]
    Doctor,
    /// Sample whether the data of a block can be had, and fetch it from shards
    #[command(subcommand)]
    Da(DaCommand),
    /// Show what configuration file, environment and flags make of the settings of a node
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Stake as a validator: register, rotate keys, leave
    #[command(subcommand)]
    Stake(StakeCommand),
    /// What a user does: store, job, provider, wallet.
    #[command(flatten)]
    User(cli::Command),
}

/// `kumo config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print every setting with its value, its range and what happens beyond it
    #[command(after_help = "Example:\n  KUMO_RPC_LOG_BLOCKS=500 kumo config show --origin --config kumo.toml")]
    Show(ConfigShowArguments),
}

/// `kumo config show`.
#[derive(Debug, Args)]
pub struct ConfigShowArguments {
    /// Print where each value came from: default, file, environment or flag
    #[arg(long)]
    pub origin: bool,
    /// Where settings come from.
    #[command(flatten)]
    pub config: ConfigArguments,
}

/// Where the settings of a node come from, beside the environment.
#[derive(Clone, Debug, Default, Args)]
pub struct ConfigArguments {
    /// Configuration file (TOML); also KUMO_CONFIG
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// rpc: one limit of the JSON-RPC, for example log_blocks=500; also KUMO_RPC_LOG_BLOCKS, or [rpc] of the file
    #[arg(long = "rpc", value_name = "KEY=VALUE")]
    pub rpc: Vec<String>,
    /// rpc: one limit of the pool, for example nonce_gap=1000; also KUMO_POOL_NONCE_GAP, or [pool] of the file
    #[arg(long = "pool", value_name = "KEY=VALUE")]
    pub pool: Vec<String>,
}

impl ConfigArguments {
    /// The settings among the words.
    pub fn flags(&self) -> Vec<(Table, String)> {
        let of = |table, flags: &[String]| flags.iter().map(|flag| (table, flag.clone())).collect::<Vec<_>>();
        [of(Table::Rpc, &self.rpc), of(Table::Pool, &self.pool)].concat()
    }
}

/// `kumo demo`.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Stop at the end; the exit code is 0 only if every step's check passed
    #[arg(long)]
    pub exit: bool,
    /// `auto` takes free ports, `default` takes 8080 and 8545
    #[arg(long, value_enum, default_value_t = Ports::Auto)]
    pub ports: Ports,
}

/// Which ports a development network takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ports {
    /// Gateway 8080, JSON-RPC 8545.
    Default,
    /// Whatever is free.
    Auto,
}

/// `EPOCH:ROOT`.
pub(crate) fn checkpoint(text: &str) -> Result<Point, String> {
    let point = || {
        let (epoch, root) = text.split_once(':')?;
        Some(Point { epoch: epoch.parse().ok()?, root: root.parse().ok()? })
    };
    point().ok_or_else(|| "expected EPOCH:ROOT, a number and 32 bytes as 0x hex".to_owned())
}

/// `kumo dev`.
#[derive(Debug, Args)]
pub struct DevArguments {
    /// Keep everything in this directory and go on from it; without it a temporary one is used and removed
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// `auto` takes free ports, `default` takes 8080 and 8545
    #[arg(long, value_enum, default_value_t = Ports::Default)]
    pub ports: Ports,
    /// Write the network file (addresses, development accounts, contracts) here
    #[arg(long, value_name = "FILE")]
    pub config_out: Option<PathBuf>,
    /// Validators, 1 to 16; fixed when the state directory is made
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub validators: usize,
    /// Storage nodes, 0 to 64
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub storage_nodes: usize,
    /// Compute providers, 0 to 64
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub providers: usize,
    /// How many of the providers return wrong outputs on purpose (labelled; development only)
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub dishonest: usize,
    /// Least time between two blocks, in milliseconds, 10 to 60000; fixed when the state directory is made
    #[arg(long, default_value_t = 200, value_name = "MS")]
    pub block_millis: u64,
    /// Blocks of an epoch, 2 to 65536: validators vote with their stake on its first one, and two epochs later it is
    /// finalised; fixed when the state directory is made
    #[arg(long, default_value_t = EPOCH_BLOCKS_DEFAULT, value_name = "N")]
    pub epoch_blocks: u64,
    /// What stands in a namespace: fcfs, encrypted or both; 1=both unless said otherwise, fcfs in all others; fixed when
    /// the state directory is made
    #[arg(long = "policy", value_parser = lane::policy_of, value_name = "NAMESPACE=POLICY")]
    pub policies: Vec<(u64, LanePolicy)>,
    /// Who makes the key of the encrypted lane: a dealer who can read everything, or the validators together (the lane opens
    /// some blocks after genesis); fixed when the state directory is made
    #[arg(long, value_enum, default_value_t, value_name = "MAKER")]
    pub lane: lane::KeyMaker,
    /// History and cache.
    #[command(flatten)]
    pub chain: ChainArguments,
    /// How long validators keep the blocks of the sequencer, 1s to 3650d, or forever; of older ones the headers stay
    #[arg(long, value_name = "TIME", default_value_t)]
    pub retention: Retention,
    /// Where settings come from.
    #[command(flatten)]
    pub config: ConfigArguments,
}

/// How a node keeps its chain.
#[derive(Clone, Copy, Debug, Args)]
pub struct ChainArguments {
    /// Keep the state of every block for ever; only for a directory that has lost none yet
    #[arg(long, conflicts_with = "prune")]
    pub archive: bool,
    /// Blocks of history that answer calls, balances and proofs, at least 1, and two epochs in a network; older states are
    /// removed. Default: as the directory was told last, 10000 for a new one
    #[arg(long, value_name = "BLOCKS", value_parser = clap::value_parser!(u64).range(1..))]
    pub prune: Option<u64>,
    /// Memory for the cache of each chain, in MiB, 1 to 1048576
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub cache_mib: u32,
    /// Check the whole chain on disk before it is used: checksums, state root from scratch, blocks
    #[arg(long)]
    pub verify: bool,
}

impl ChainArguments {
    /// The options that these words mean.
    pub fn options(&self) -> ChainOptions {
        let history_blocks = if self.archive { Some(ChainConfig::ARCHIVE) } else { self.prune };
        let cache_bytes = (self.cache_mib as usize) << 20;
        let config = ChainConfig { history_blocks, cache_bytes, ..ChainConfig::default() };
        ChainOptions { config, verify: self.verify, retention: Retention::default() }
    }
}

impl DevArguments {
    /// The options that these words mean, with the limits that the settings say.
    pub fn options(&self, settings: Settings) -> plan::Options {
        plan::Options {
            settings,
            state: self.state.clone(),
            ports_auto: self.ports == Ports::Auto,
            validators: self.validators,
            hosts: Vec::new(),
            storage_nodes: self.storage_nodes,
            providers: self.providers,
            dishonest: self.dishonest,
            block_millis: self.block_millis,
            epoch_blocks: self.epoch_blocks,
            policies: lane::policies(&self.policies),
            lane: self.lane,
            chain: ChainOptions { retention: self.retention, ..self.chain.options() },
        }
    }
}

/// `kumo init`.
#[derive(Debug, Args)]
pub struct InitArguments {
    /// Directory to make: network.json, and one directory with keys per validator
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Validators, 1 to 16
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub validators: usize,
    /// Address of the next validator's host, once for each in the order of seats; it listens there on ports 9600 (consensus) and
    /// 9601 (API). Without it all validators are on this machine, at free ports
    #[arg(long = "host", value_name = "IP")]
    pub hosts: Vec<std::net::IpAddr>,
    /// `auto` takes free ports, `default` takes 8080 and 8545 for gateway and JSON-RPC
    #[arg(long, value_enum, default_value_t = Ports::Default)]
    pub ports: Ports,
    /// Least time between two blocks, in milliseconds, 10 to 60000
    #[arg(long, default_value_t = 200, value_name = "MS")]
    pub block_millis: u64,
    /// Blocks of an epoch, 2 to 65536: validators vote with their stake on its first one
    #[arg(long, default_value_t = EPOCH_BLOCKS_DEFAULT, value_name = "N")]
    pub epoch_blocks: u64,
    /// What stands in a namespace: fcfs, encrypted or both; 1=both unless said otherwise, fcfs in all others
    #[arg(long = "policy", value_parser = lane::policy_of, value_name = "NAMESPACE=POLICY")]
    pub policies: Vec<(u64, LanePolicy)>,
    /// Who makes the key of the encrypted lane: a dealer who can read everything, or the validators together (the lane opens
    /// some blocks after genesis)
    #[arg(long, value_enum, default_value_t, value_name = "MAKER")]
    pub lane: lane::KeyMaker,
}

/// What a node can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// Orders and executes blocks with the others.
    Validator,
    /// Keeps shards.
    Storage,
    /// Bids, runs tasks, audits.
    Provider,
    /// Serves the REST API and IPFS paths.
    Gateway,
    /// Follows the chain and serves the Ethereum JSON-RPC.
    Rpc,
    /// Posts what is finalised to an L1.
    Bridge,
}

/// `kumo bridge`.
#[derive(Debug, Subcommand)]
pub enum BridgeCommand {
    /// Put the light client on an L1, and with --token the vault for stake
    #[command(
        after_help = "Example:\n  kumo bridge deploy --network net/network.json --l1 http://127.0.0.1:8546 --l1-chain-id 1 --key-file l1.key --checkpoint 7:0x…"
    )]
    Deploy(DeployArguments),
    /// Show what the light client believes, and what a bridge has spent
    #[command(
        after_help = "Example:\n  kumo bridge status --l1 http://127.0.0.1:8546 --contract 0x… --state ./bridge --output json"
    )]
    Status(StatusArguments),
}

/// What a transaction on the L1 may cost.
#[derive(Clone, Copy, Debug, Args)]
pub struct FeeArguments {
    /// bridge: most gwei per gas, ever; above it nothing is sent
    #[arg(long, value_name = "GWEI", default_value_t = 50)]
    pub fee_max_gwei: u32,
    /// bridge: gwei per gas for the proposer at first
    #[arg(long, value_name = "GWEI", default_value_t = 1)]
    pub tip_gwei: u32,
}

/// `kumo bridge deploy`.
#[derive(Debug, Args)]
pub struct DeployArguments {
    /// URL of a node of the L1
    #[arg(long, value_name = "URL")]
    pub l1: String,
    /// Chain id that the L1 must have
    #[arg(long, value_name = "ID")]
    pub l1_chain_id: u64,
    /// File with the private key of the account that pays, 32 bytes in hex, readable by its owner alone
    #[arg(long, value_name = "FILE")]
    pub key_file: PathBuf,
    /// Checkpoint that the light client begins with, as `kumo_finality` of a node that you trust names it; on a development
    /// network the newest one unless you say otherwise
    #[arg(long, value_name = "EPOCH:ROOT", value_parser = checkpoint)]
    pub checkpoint: Option<Point>,
    /// Days without anything new after which the light client takes nothing any more, less than stake stays bonded
    #[arg(long, value_name = "DAYS", default_value_t = 14, value_parser = clap::value_parser!(u64).range(1..=20))]
    pub trust_days: u64,
    /// ERC-20 that is staked; without it no vault is deployed
    #[arg(long, value_name = "ADDRESS")]
    pub token: Option<Address>,
    /// Who gets what is slashed; default: the account that pays
    #[arg(long, value_name = "ADDRESS", requires = "token")]
    pub treasury: Option<Address>,
    /// Days until stake is free after it left, more than --trust-days and --evidence-days
    #[arg(long, value_name = "DAYS", default_value_t = 21, value_parser = clap::value_parser!(u64).range(1..=3650))]
    pub unbond_days: u64,
    /// Days that evidence may take
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=3650))]
    pub evidence_days: u64,
    /// Least deposit, in the token's smallest unit
    #[arg(long, value_name = "AMOUNT", default_value_t = 1_000_000_000_000_000_000)]
    pub deposit_min: u128,
    /// How often the L1 is asked, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub poll_millis: u64,
    /// Prices.
    #[command(flatten)]
    pub fees: FeeArguments,
}

/// `kumo bridge status`.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// URL of a node of the L1
    #[arg(long, value_name = "URL")]
    pub l1: String,
    /// The light client
    #[arg(long, value_name = "ADDRESS")]
    pub contract: Address,
    /// Directory of a bridge, which may run
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

/// What `kumo node --role bridge` needs besides.
#[derive(Clone, Debug, Args)]
pub struct BridgeArguments {
    /// bridge: URL of a node of the L1
    #[arg(long, value_name = "URL")]
    pub l1: Option<String>,
    /// bridge: chain id that the L1 must have
    #[arg(long, value_name = "ID")]
    pub l1_chain_id: Option<u64>,
    /// bridge: the light client on the L1
    #[arg(long, value_name = "ADDRESS")]
    pub contract: Option<Address>,
    /// bridge: file with the private key of the account that pays, used for nothing else
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// bridge: blocks of the L1 that must be on top of a transaction before it counts
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u64).range(..=10_000))]
    pub confirmations: u64,
    /// bridge: epochs posted together; 32 cost a sixth of what they cost one by one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=4_096))]
    pub epochs_min: u64,
    /// bridge: milliseconds after which a transaction that is not mined is replaced by a dearer one
    #[arg(long, value_name = "MS", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1_000..=86_400_000))]
    pub replace_millis: u64,
    /// bridge: most gas of one transaction
    #[arg(long, value_name = "GAS", default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(100_000..=16_777_216))]
    pub gas_max: u64,
    /// bridge: how often it looks, in milliseconds, about the time of a block of the L1
    #[arg(long, value_name = "MS", default_value_t = 12_000, value_parser = clap::value_parser!(u64).range(10..=600_000))]
    pub l1_poll_millis: u64,
    /// Prices.
    #[command(flatten)]
    pub fees: FeeArguments,
}

/// `kumo node`: a role, or a command about a node that does not run.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct NodeWords {
    /// What to do with a node that does not run.
    #[command(subcommand)]
    pub command: Option<NodeCommand>,
    /// The role to run.
    #[command(flatten)]
    pub node: NodeArguments,
}

/// Commands about a node that does not run.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Move what a validator's key has signed, in the interchange format of EIP-3076
    ///
    /// A validator never signs two votes that exclude each other, as both together cost it its stake. What it signed is
    /// recorded in signing.guard in its directory. To move a validator: stop it for good, export there, import here, start.
    #[command(subcommand)]
    SlashingProtection(ProtectionCommand),
    /// Make the keys of a new validator, and the account that owns its stake
    ///
    /// They are written to validator.key and wallet.key in the directory, which must not have any. What others may know is printed.
    #[command(after_help = "Example:\n  kumo node keys --dir net/validator-4")]
    Keys(KeysArguments),
    /// Let a new validator begin at a checkpoint, with what another one keeps
    ///
    /// Without it a new validator takes every block from the first one on, and cannot once the others have pruned them.
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
}

/// `kumo node keys`.
#[derive(Debug, Args)]
pub struct KeysArguments {
    /// Directory of the new validator
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
}

/// `kumo node slashing-protection`.
#[derive(Debug, Subcommand)]
pub enum ProtectionCommand {
    /// Write everything that the key has signed to a new file
    #[command(after_help = "Example:\n  kumo node slashing-protection export --dir net/validator-0 signed.json")]
    Export(ProtectionArguments),
    /// Add what a file says was signed; nothing is ever forgotten by it, and importing again changes nothing
    #[command(after_help = "Example:\n  kumo node slashing-protection import --dir net/validator-0 signed.json")]
    Import(ProtectionArguments),
}

/// Which validator, and which file.
#[derive(Debug, Args)]
pub struct ProtectionArguments {
    /// Directory of the validator, which must not run
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Interchange file (EIP-3076, version 5)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `kumo node --role`. The network comes from `--network`.
#[derive(Debug, Args)]
pub struct NodeArguments {
    /// What this node is
    #[arg(long, value_enum, required = true)]
    pub role: Option<RoleName>,
    /// Directory for keys and data of this node
    #[arg(long, value_name = "DIR", required = true)]
    pub state: Option<PathBuf>,
    /// validator: seat in the network file, from 0
    #[arg(long, value_name = "N")]
    pub seat: Option<usize>,
    /// validator that is not in the network file: where the other validators reach it; it follows them until it has a seat
    #[arg(long, value_name = "IP:PORT", conflicts_with = "seat")]
    pub p2p: Option<std::net::SocketAddr>,
    /// Address to listen on; default: a free port (storage), or what the network file says (gateway, rpc)
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<std::net::SocketAddr>,
    /// rpc over an imported chain: `auto` takes a free port, `default` takes 8545
    #[arg(long, value_enum, default_value_t = Ports::Default)]
    pub ports: Ports,
    /// rpc over an imported chain: write the URL of the JSON-RPC and the chain id here
    #[arg(long, value_name = "FILE")]
    pub config_out: Option<PathBuf>,
    /// rpc: a checkpoint that you trust, as `kumo_finality` of a node that you trust names it; the chain must contain it,
    /// and it must be younger than stake stays bonded less the time that evidence may take (14 days)
    #[arg(long, value_name = "EPOCH:ROOT", value_parser = checkpoint)]
    pub checkpoint: Option<Point>,
    /// storage: how much it offers, for example 10Gi
    #[arg(long, value_name = "SIZE", default_value = "10Gi")]
    pub capacity: String,
    /// provider: tasks it runs at a time; default: one per core
    #[arg(long, value_name = "N")]
    pub slots: Option<usize>,
    /// provider and storage: stake in AKE
    #[arg(long, value_name = "AKE", default_value_t = 200)]
    pub stake: u64,
    /// provider: return wrong outputs on purpose (labelled; refused outside a development network)
    #[arg(long)]
    pub dishonest: bool,
    /// bridge: the L1 and what it may cost.
    #[command(flatten)]
    pub bridge: Box<BridgeArguments>,
    /// validator and rpc: history and cache.
    #[command(flatten)]
    pub chain: ChainArguments,
    /// validator: how long it keeps the blocks of the sequencer, 1s to 3650d, or forever; of older ones the headers stay
    #[arg(long, value_name = "TIME", default_value_t)]
    pub retention: Retention,
    /// Where settings come from.
    #[command(flatten)]
    pub config: ConfigArguments,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_tree_of_commands_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_node_has_a_role_and_a_directory_or_is_the_matter_of_a_command() {
        let parse = |line: &str| Arguments::try_parse_from(line.split(' ')).map(|arguments| arguments.command);
        let Ok(Command::Node(words)) = parse("kumo node --role rpc --state s") else { panic!("a role") };
        assert!(words.command.is_none() && words.node.role == Some(RoleName::Rpc) && words.node.state.is_some());
        let Ok(Command::Node(words)) = parse("kumo node slashing-protection export --dir d f") else {
            panic!("export")
        };
        assert!(words.command.is_some());
        for line in ["kumo node", "kumo node --role rpc", "kumo node --state s"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    /// The words after the program's name in a unit for systemd.
    fn words_of_unit(text: &str) -> Vec<String> {
        let line =
            text.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/")).expect("a unit starts kumo");
        let contract = format!("0x{}", "ab".repeat(20));
        let value = |word: &str| match word {
            "${SEAT}" | "${SLOTS}" | "${L1_CHAIN_ID}" => "1".to_owned(),
            "${LISTEN}" => "10.0.0.1:8545".to_owned(),
            "${L1}" => "http://10.0.0.1:8545".to_owned(),
            "${CONTRACT}" => contract.clone(),
            other => other.to_owned(),
        };
        line.split(' ').map(value).collect()
    }

    #[test]
    fn the_units_for_systemd_start_roles_that_there_are() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd");
        let units: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(units.len(), 5, "{units:?}");
        for unit in units {
            let words = words_of_unit(&std::fs::read_to_string(&unit).unwrap());
            assert!(!words.iter().any(|word| word.contains('$')), "{words:?}");
            if let Err(error) = Arguments::try_parse_from(words) {
                panic!("{}: {error}", unit.display());
            }
        }
    }

    #[test]
    fn the_commands_of_the_manual_parse() {
        for line in [
            "kumo demo --exit --output json",
            "kumo dev --state d --ports auto --config-out f --validators 4 --storage-nodes 8 --providers 4",
            "kumo node --role validator --seat 0 --network n --state s",
            "kumo node --role rpc --state s --archive --cache-mib 512 --verify",
            "kumo node --role rpc --state s --checkpoint 7:0x0101010101010101010101010101010101010101010101010101010101010101",
            "kumo node slashing-protection export --dir d f",
            "kumo node slashing-protection import --dir d f --output json",
            "kumo node snapshot export --state s --out d",
            "kumo node snapshot import d --state s --checkpoint 7:0x0101010101010101010101010101010101010101010101010101010101010101",
            "kumo init --dir d --epoch-blocks 8",
            "kumo init --dir d --validators 2 --host 10.0.0.1 --host 10.0.0.2",
            "kumo dev --prune 500",
            "kumo dev --retention 12h",
            "kumo node --role validator --seat 0 --network n --state s --retention forever",
            "kumo da sample",
            "kumo da sample 7 --samples 30 --validator http://h --validator http://i --output json",
            "kumo da fetch 7 --out f",
            "kumo node --role bridge --state s --l1 http://h --l1-chain-id 1 --contract 0x00000000000000000000000000000000000000aa --key-file k",
            "kumo bridge deploy --l1 http://h --l1-chain-id 1 --key-file k --token 0x00000000000000000000000000000000000000aa",
            "kumo bridge status --l1 http://h --contract 0x00000000000000000000000000000000000000aa --state s --output json",
            "kumo chain verify --state s",
            "kumo chain snapshot export --state s --out f",
            "kumo chain snapshot import f --state s",
            "kumo store put f --plain",
            "kumo store get bafkqaaa -o f",
            "kumo store ls",
            "kumo job init",
            "kumo job validate f",
            "kumo job quote f",
            "kumo job run f --wait",
            "kumo job show 1",
            "kumo job logs 1 -f",
            "kumo job list",
            "kumo provider list",
            "kumo wallet list",
            "kumo wallet balance",
            "kumo doctor --output json",
            "kumo config show --origin --config kumo.toml",
            "kumo dev --rpc log_blocks=500 --rpc filters=10 --pool nonce_gap=9",
            "kumo node --role rpc --network n --state s --config kumo.toml --rpc call_gas=1000000",
            "kumo chain import --genesis g.json --blocks c.rlp --state d --archive --cache-mib 512",
            "kumo chain statetest a b.json --output json",
            "kumo node --role rpc --state d --ports auto --config-out f",
        ] {
            if let Err(error) = Arguments::try_parse_from(line.split(' ')) {
                panic!("{line}: {error}");
            }
        }
    }
}
