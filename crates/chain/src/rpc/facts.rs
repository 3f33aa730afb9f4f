//! What this node is and has: `eth_config`, `eth_capabilities`, `eth_syncing`.
//!
//! Sources: EIP-7910, ethereum/execution-apis.

use super::failure::Failure;
use super::node::Node;
use crate::evm::evm;
use crate::execute::Rules;
use alloy_consensus::Header;
use alloy_eips::eip7840::BlobParams;
use alloy_eips::eip7910::{EthConfig, EthForkConfig, SystemContract};
use alloy_eips::{
    eip2124::ForkHash, eip2935, eip4788, eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS,
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
};
use alloy_evm::Evm;
use alloy_evm::precompiles::Precompile;
use alloy_primitives::{Address, Bytes, U64, U256};
use alloy_rpc_types_eth::{SyncInfo, SyncStatus};
use revm::database::{CacheDB, EmptyDB};
use revm::primitives::hardfork::SpecId;
use serde::Serialize;
use std::collections::BTreeMap;

/// `eth_capabilities`: which queries this node can answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// Newest block.
    pub head: super::api::BlockName,
    /// Balances, nonces, code, storage; calls.
    pub state: Resource,
    /// Transactions by hash and by place.
    pub tx: Resource,
    /// Log queries.
    pub logs: Resource,
    /// Receipts.
    pub receipts: Resource,
    /// Headers and bodies.
    pub blocks: Resource,
    /// Merkle proofs.
    pub stateproofs: Resource,
}

/// How far back something is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Whether it is not there at all.
    pub disabled: bool,
    /// Oldest block for which it is there.
    pub oldest_block: U64,
    /// What is deleted as the chain grows; `None` if nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_strategy: Option<DeleteStrategy>,
}

/// What is deleted as the chain grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum DeleteStrategy {
    /// Everything below a window that ends at the head.
    Window {
        /// Blocks in the window.
        retention_blocks: U64,
    },
}

/// `eth_capabilities`.
pub(super) fn capabilities(node: &Node) -> Result<Capabilities, Failure> {
    let head = node.chain.head();
    let history = node.chain.history_blocks();
    let state = kept(node.chain.oldest_state()?, history);
    // A directory that began with a snapshot has no older blocks than that, and deletes none.
    let all = kept(node.chain.oldest_block()?, None);
    Ok(Capabilities {
        head: super::namespaces::name(&head),
        state,
        tx: all.clone(),
        logs: all.clone(),
        receipts: all.clone(),
        blocks: all,
        stateproofs: kept(node.chain.oldest_proof()?, history),
    })
}

fn kept(oldest: u64, window: Option<u64>) -> Resource {
    let delete_strategy = window.map(|blocks| DeleteStrategy::Window { retention_blocks: U64::from(blocks) });
    Resource { disabled: false, oldest_block: U64::from(oldest), delete_strategy }
}

/// `eth_syncing`: `false` at the tip, else from where to where this node is on its way.
pub(super) fn syncing(node: &Node) -> SyncStatus {
    let head = node.chain.head().number();
    let Some(highest) = node.sync.behind(head) else { return SyncStatus::None };
    SyncStatus::Info(Box::new(SyncInfo {
        starting_block: U256::from(node.started_at),
        current_block: U256::from(head),
        highest_block: U256::from(highest),
        ..Default::default()
    }))
}

/// `eth_config`: the rules of the head, and those that are scheduled after it.
pub(super) fn config(node: &Node) -> Result<EthConfig, Failure> {
    let head = node.chain.head().header.timestamp;
    let times = match &node.chain.rules().ethereum {
        Some(ethereum) => ethereum.fork_times(),
        // This chain has had all its forks since genesis.
        None => vec![0],
    };
    let begun = times.iter().rev().find(|time| **time <= head);
    let too_old = || Failure::Execution("eth_config describes forks since Cancun, and none has begun here".into());
    let current = fork(node, *begun.ok_or_else(too_old)?)?;
    let next = times.iter().find(|time| **time > head).map(|time| fork(node, *time)).transpose()?;
    let last = if next.is_some() { times.last().map(|time| fork(node, *time)).transpose()? } else { None };
    Ok(EthConfig { current, next, last })
}

/// The fork that begins at this time.
fn fork(node: &Node, time: u64) -> Result<EthForkConfig, Failure> {
    let rules = node.chain.rules();
    let genesis = node.chain.block_by_number(0)?.ok_or(Failure::Internal)?;
    let header = Header { number: u64::MAX, timestamp: time, ..Default::default() };
    let (hash, began) = (node.chain.genesis_hash(), genesis.header.timestamp);
    let (blob_schedule, id) = match &rules.ethereum {
        Some(ethereum) => (ethereum.blob_params(time).ok_or(Failure::Internal)?, ethereum.fork_hash(hash, began, time)),
        None => (BlobParams::osaka(), ForkHash::from(hash)),
    };
    Ok(EthForkConfig {
        // A fork of genesis itself is said to begin at 0.
        activation_time: if time <= began { 0 } else { time },
        blob_schedule,
        chain_id: node.chain.chain_id(),
        fork_id: Bytes::from(id.0),
        precompiles: precompiles(node, &header),
        system_contracts: system_contracts(rules, &header),
    })
}

/// The precompiles that run in the block of this header, by the names of their EIPs.
fn precompiles(node: &Node, header: &Header) -> BTreeMap<String, Address> {
    let evm = evm(node.chain.rules(), CacheDB::new(EmptyDB::new()), node.chain.evm_env(header));
    let map = evm.precompiles();
    let named = |address: &Address| {
        let precompile = map.get(address)?;
        Some((precompile.precompile_id().name().to_owned(), *address))
    };
    map.addresses().filter_map(named).collect()
}

/// The contracts that the protocol itself calls or reads.
fn system_contracts(rules: &Rules, header: &Header) -> BTreeMap<SystemContract, Address> {
    let mut contracts = BTreeMap::from([(SystemContract::BeaconRoots, eip4788::BEACON_ROOTS_ADDRESS)]);
    let Some(ethereum) = &rules.ethereum else {
        contracts.insert(SystemContract::HistoryStorage, eip2935::HISTORY_STORAGE_ADDRESS);
        return contracts;
    };
    if ethereum.is_active(SpecId::PRAGUE, header) {
        let deposits = ethereum.config().deposit_contract_address.unwrap_or(MAINNET_DEPOSIT_CONTRACT_ADDRESS);
        contracts.extend([
            (SystemContract::HistoryStorage, eip2935::HISTORY_STORAGE_ADDRESS),
            (SystemContract::DepositContract, deposits),
            (SystemContract::WithdrawalRequestPredeploy, WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS),
            (SystemContract::ConsolidationRequestPredeploy, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS),
        ]);
    }
    contracts
}
