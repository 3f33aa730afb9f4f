//! The network file: everything a node or a client needs to find and check one network.

use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Chain id of development networks.
pub const DEV_CHAIN_ID: u64 = 5886;

/// What `kumo dev --config-out FILE` and `kumo init` write, and `--network FILE` reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Network {
    /// EIP-155 chain id of the settlement chain.
    pub chain_id: u64,
    /// Whether this is a development network: only there are the built-in accounts accepted.
    #[serde(default)]
    pub dev: bool,
    /// URL of the Ethereum JSON-RPC.
    pub rpc: String,
    /// URL of the gateway.
    pub gateway: String,
    /// Development accounts with their keys; empty on any other network.
    #[serde(default)]
    pub accounts: Vec<Account>,
    /// Address of each system contract by name.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub contracts: BTreeMap<String, Address>,
    /// The validators, in the order that fixes their seats; absent in a client's own file.
    #[serde(default)]
    pub validators: Vec<Validator>,
    /// What block 0 is made of; absent in a client's own file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genesis: Option<Genesis>,
    /// The encrypted lane; absent: the network has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<Lane>,
}

/// What stands in a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LanePolicy {
    /// Any transaction, first come, first served.
    #[default]
    Fcfs,
    /// Envelopes of the encrypted lane alone.
    Encrypted,
    /// Envelopes, and any other transaction when no envelope is about to be opened.
    Both,
}

/// The encrypted lane: transactions that are ordered before anybody can read them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lane {
    /// Envelopes are for heights that are multiples of this (1..=64).
    pub period_blocks: u64,
    /// What stands in which namespace, at most 1,024 of them; `fcfs` in all others.
    pub policies: BTreeMap<u64, LanePolicy>,
    /// Who made the key, and knows all of it: `dev-dealer`, on development networks only; `dkg` if the validators make it
    /// together, and nobody knows it.
    pub dealer: String,
    /// Commitment to the dealt key and to the share of each validator, hex; the key is its first point. Empty if the
    /// validators make the key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sharing: String,
    /// The dealt key that senders encrypt to: a point of G1, 48 bytes, hex. If the validators make the key it is empty in
    /// the network file, and what the gateway knows in its answer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
}

/// Namespaces with a policy of their own.
pub const LANE_POLICIES_MAX: usize = 1_024;

/// An account whose key everybody knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// Its address.
    #[schema(value_type = String)]
    pub address: Address,
    /// Its secp256k1 private key.
    #[schema(value_type = String)]
    pub private_key: B256,
}

/// One validator seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Validator {
    /// Ed25519 consensus key, hex.
    pub public_key: String,
    /// Ed25519 key (hex) of the verifiable random function that reveals the randomness of the blocks it proposes.
    pub randomness_key: String,
    /// BLS12-381 key (G2, 96 bytes, hex) that votes on checkpoints; absent in a file made before there were votes.
    #[serde(default)]
    pub vote_key: String,
    /// Proof that somebody holds the secret of `vote_key` (48 bytes, hex).
    #[serde(default)]
    pub vote_possession: String,
    /// Address of its consensus socket, `ip:port`.
    pub p2p: String,
    /// URL of its node API: submit transactions, follow finalised blocks.
    pub api: String,
}

/// Block 0 of the settlement chain, and the pace of the sequencer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Genesis {
    /// Unix seconds.
    pub timestamp: u64,
    /// Gas limit of every block.
    pub gas_limit: u64,
    /// Least time between two blocks, in milliseconds (10..=60000).
    pub block_millis: u64,
    /// Blocks of an epoch (2..=65536): validators vote on its first block.
    #[serde(default = "epoch_blocks_default")]
    pub epoch_blocks: u64,
    /// Account that may change the parameters of the system contracts.
    #[schema(value_type = String)]
    pub authority: Address,
    /// Balances in wei.
    #[schema(value_type = BTreeMap<String, String>)]
    pub alloc: BTreeMap<Address, U256>,
    /// Owner and stake of each validator, in the order of `validators`; empty: the committee of the file stays for ever.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stakes: Vec<ValidatorStake>,
    /// Who may make coin later; absent: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mint: Option<Mint>,
}

/// What stands behind a validator at genesis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ValidatorStake {
    /// Account that may rotate its keys, leave, and is paid then.
    #[schema(value_type = String)]
    pub owner: Address,
    /// Wei, beside what `alloc` says.
    #[schema(value_type = String)]
    pub stake: U256,
}

/// Blocks of an epoch where the network file does not say it.
pub const EPOCH_BLOCKS_DEFAULT: u64 = 32;

const fn epoch_blocks_default() -> u64 {
    EPOCH_BLOCKS_DEFAULT
}

/// Who may make coin after genesis, and how much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Mint {
    /// Blocks of an epoch (1..).
    pub epoch_blocks: u64,
    /// Wei that all minters together may mint in one epoch.
    #[schema(value_type = String)]
    pub cap: U256,
    /// Contracts that may mint.
    #[schema(value_type = Vec<String>)]
    pub minters: Vec<Address>,
}
