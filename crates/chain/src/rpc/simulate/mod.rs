//! `eth_simulateV1`: run blocks of calls on top of a block, each on the state the one before left.
//!
//! ```text
//! parse ─▶ plan (numbers, times, gaps) ─▶ run (overrides, calls, roots) ─▶ blocks with the result of each call
//! ```
//!
//! A simulated block is executed by the same code as a real one, so its header, receipts and state root are what this
//! chain would have; only signatures, and without `validation` also nonces and fees, are not asked for.
//! Source: ethereum/execution-apis, `eth_simulateV1`.

mod call;
mod plan;
mod run;
#[cfg(test)]
mod tests;
mod transfers;

use super::failure::Failure;
use super::node::Node;
use crate::BlockRecord;
use alloy_eips::eip4895::Withdrawal;
use alloy_rpc_types_eth::simulate::SimulatedBlock;
use alloy_rpc_types_eth::state::StateOverride;
use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest};
use serde::Deserialize;
use std::time::Instant;

/// Blocks one simulation may span, gaps included.
pub(super) const BLOCKS_MAX: u64 = 256;

/// What is to be simulated.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    /// Blocks, in order.
    pub block_state_calls: Vec<BlockCalls>,
    /// Whether transfers of coin are shown as logs of an ERC-20 contract at `0xeeee…eeee`.
    #[serde(default)]
    pub trace_transfers: bool,
    /// Whether nonces, fees and balances are checked as in a real block.
    #[serde(default)]
    pub validation: bool,
    /// Whether blocks show whole transactions instead of their hashes.
    #[serde(default)]
    pub return_full_transactions: bool,
}

/// One block of a simulation.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockCalls {
    /// What the block says of itself.
    #[serde(default)]
    pub block_overrides: Option<SimulatedHeader>,
    /// Accounts changed before the first call.
    #[serde(default)]
    pub state_overrides: Option<StateOverride>,
    /// Calls, in order.
    #[serde(default)]
    pub calls: Vec<TransactionRequest>,
}

/// Overrides of a simulated block.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct SimulatedHeader {
    /// Those that every call knows.
    #[serde(flatten)]
    pub fields: BlockOverrides,
    /// Withdrawals (EIP-4895); this chain has none, so a list that is not empty is refused.
    #[serde(default)]
    pub withdrawals: Option<Vec<Withdrawal>>,
}

/// `eth_simulateV1`: the simulated blocks with the result of each call. Ends with an error at `deadline`.
pub(super) fn simulate(
    node: &Node,
    base: &BlockRecord,
    payload: Payload,
    deadline: Instant,
) -> Result<Vec<SimulatedBlock>, Failure> {
    let settings = run::Settings {
        validate: payload.validation,
        trace_transfers: payload.trace_transfers,
        full: payload.return_full_transactions,
        deadline,
    };
    let plan = plan::plan(&base.header, payload.block_state_calls)?;
    let mut simulator = run::Simulator::new(node, base, settings)?;
    plan.into_iter().map(|block| simulator.block(block)).collect()
}
