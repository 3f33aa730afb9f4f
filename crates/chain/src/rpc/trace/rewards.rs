//! Rewards of proof of work, for blocks that were imported from a chain that had it.

use super::super::node::Node;
use crate::BlockRecord;
use alloy_eips::BlockNumHash;
use alloy_primitives::U256;
use alloy_rpc_types_trace::otterscan::InternalIssuance;
use alloy_rpc_types_trace::parity::{LocalizedTransactionTrace, RewardAction, RewardType};

/// One trace for the miner of the block, then one for the miner of each ommer; none without proof of work.
pub(super) fn traces(node: &Node, block: &BlockRecord) -> Vec<LocalizedTransactionTrace> {
    let mut paid = node.chain.rewards(block);
    // The miner of the block comes last where they are paid, and first where they are shown.
    paid.reverse();
    if let Some(ommers) = paid.get_mut(1..) {
        ommers.reverse();
    }
    let place = BlockNumHash::new(block.number(), block.hash);
    let reward = |(index, (author, value)): (usize, (_, u128))| {
        let reward_type = if index == 0 { RewardType::Block } else { RewardType::Uncle };
        RewardAction { author, reward_type, value: U256::from(value) }.into_localized_trace(place)
    };
    paid.into_iter().enumerate().map(reward).collect()
}

/// The same as sums.
pub(super) fn issuance(node: &Node, block: &BlockRecord) -> InternalIssuance {
    let mut paid = node.chain.rewards(block);
    let block_reward = paid.pop().map(|(_, value)| U256::from(value)).unwrap_or_default();
    let uncle_reward = paid.iter().map(|(_, value)| U256::from(*value)).sum::<U256>();
    InternalIssuance { block_reward, uncle_reward, issuance: block_reward + uncle_reward }
}
