//! What a caller should pay: base fee, tip, and their history.
//!
//! The base fee follows EIP-1559. The suggested tip is the median over recent transactions of what they paid above
//! the base fee, at least [`TIP_MIN_WEI`]: blocks here are seldom full, so a tip buys little.

use super::failure::Failure;
use super::node::Node;
use crate::BlockRecord;
use crate::execute::Rules;
use alloy_consensus::{Header, Transaction};
use alloy_eips::BlockId;
use alloy_eips::eip7840::BlobParams;
use alloy_rpc_types_eth::{FeeHistory, TxGasAndReward};

/// Least tip suggested, in wei per gas.
pub(super) const TIP_MIN_WEI: u128 = 1_000_000;
/// Most tip suggested, in wei per gas, so that one odd transaction does not make wallets overpay.
const TIP_MAX_WEI: u128 = 100_000_000_000;
/// Blocks the suggestion looks back on.
const TIP_BLOCKS: u64 = 20;
/// Most percentiles in one fee history.
const PERCENTILES_MAX: usize = 100;

/// Base fee of the block after `block`, in wei per gas.
pub(super) fn next_base_fee(block: &BlockRecord) -> u64 {
    crate::execute::next_base_fee(&block.header)
}

/// Price of blob gas in the block of this header, in wei; 0 before there were blobs. A chain of ours takes none, so there
/// it stays at its minimum.
pub(super) fn blob_base_fee(rules: &Rules, header: &Header) -> u128 {
    let Some(excess) = header.excess_blob_gas else { return 0 };
    blob_params(rules, header.timestamp).calc_blob_fee(excess)
}

/// Price of blob gas in a child of `parent` at the same time, in wei.
pub(super) fn next_blob_base_fee(rules: &Rules, parent: &Header) -> u128 {
    if parent.excess_blob_gas.is_none() {
        return 0;
    }
    blob_params(rules, parent.timestamp).calc_blob_fee(next_excess_blob_gas(rules, parent, parent.timestamp))
}

/// Excess blob gas of a child of `parent` at `timestamp`; a parent from before the blob market used nothing.
pub(super) fn next_excess_blob_gas(rules: &Rules, parent: &Header, timestamp: u64) -> u64 {
    parent.next_block_excess_blob_gas(blob_params(rules, timestamp)).unwrap_or_default()
}

fn blob_params(rules: &Rules, timestamp: u64) -> BlobParams {
    let scheduled = rules.ethereum.as_ref().and_then(|ethereum| ethereum.blob_params(timestamp));
    scheduled.unwrap_or_else(BlobParams::osaka)
}

/// A tip that was enough lately, in wei per gas.
pub(super) fn suggested_tip(node: &Node) -> Result<u128, Failure> {
    let head = node.chain.head().number();
    let mut tips = Vec::new();
    for number in head.saturating_sub(TIP_BLOCKS - 1)..=head {
        let Some(block) = node.chain.block_by_number(number)? else { continue };
        tips.extend(rewards(&block).into_iter().map(|tx| tx.reward));
    }
    let middle = tips.len() / 2;
    let median = match tips.is_empty() {
        true => TIP_MIN_WEI,
        false => *tips.select_nth_unstable(middle).1,
    };
    Ok(median.clamp(TIP_MIN_WEI, TIP_MAX_WEI))
}

/// Next base fee plus a tip that was enough lately, in wei per gas.
pub(super) fn gas_price(node: &Node) -> Result<u128, Failure> {
    Ok(u128::from(next_base_fee(&node.chain.head())).saturating_add(suggested_tip(node)?))
}

/// `eth_feeHistory`: `count` blocks up to `newest`.
pub(super) fn history(node: &Node, count: u64, newest: BlockId, percentiles: &[f64]) -> Result<FeeHistory, Failure> {
    check_percentiles(percentiles)?;
    let newest = node.block(Some(newest))?;
    let count = count.min(node.limits.fee_history_blocks).min(newest.number() + 1);
    if count == 0 {
        return Ok(FeeHistory::default());
    }
    let oldest = newest.number() + 1 - count;
    let mut history = FeeHistory { oldest_block: oldest, ..Default::default() };
    let mut reward = Vec::new();
    for number in oldest..=newest.number() {
        let head = newest.number();
        let missing = || Failure::BlockNotFound { asked: number.to_string(), head };
        let block = node.chain.block_by_number(number)?.ok_or_else(missing)?;
        add_block(node.chain.rules(), &mut history, &block);
        reward.push(reward_percentiles(&block, percentiles));
    }
    history.base_fee_per_gas.push(next_base_fee(&newest).into());
    history.base_fee_per_blob_gas.push(next_blob_base_fee(node.chain.rules(), &newest.header));
    history.reward = (!percentiles.is_empty()).then_some(reward);
    Ok(history)
}

fn check_percentiles(percentiles: &[f64]) -> Result<(), Failure> {
    if percentiles.len() > PERCENTILES_MAX {
        let asked = percentiles.len();
        return Err(Failure::Params(format!("over the query limit {PERCENTILES_MAX} of percentiles: {asked} asked")));
    }
    let ordered = percentiles.windows(2).all(|pair| pair[0] <= pair[1]);
    if ordered && percentiles.iter().all(|p| (0.0..=100.0).contains(p)) {
        return Ok(());
    }
    Err(Failure::Params(format!("invalid reward percentiles {percentiles:?}: they must rise within 0 and 100")))
}

fn add_block(rules: &Rules, history: &mut FeeHistory, block: &BlockRecord) {
    history.base_fee_per_gas.push(block.base_fee().into());
    history.gas_used_ratio.push(block.header.gas_used as f64 / block.header.gas_limit.max(1) as f64);
    history.base_fee_per_blob_gas.push(blob_base_fee(rules, &block.header));
    let blob_gas = blob_params(rules, block.header.timestamp).max_blob_gas_per_block().max(1);
    history.blob_gas_used_ratio.push(block.header.blob_gas_used.unwrap_or_default() as f64 / blob_gas as f64);
}

/// Tip at each percentile of the block's gas, in order of rising tips; zeros for an empty block.
fn reward_percentiles(block: &BlockRecord, percentiles: &[f64]) -> Vec<u128> {
    let mut paid = rewards(block);
    paid.sort_unstable();
    let Some(first) = paid.first().copied() else { return vec![0; percentiles.len()] };
    let (mut next, mut at, mut gas) = (1, first, first.gas_used);
    let mut rewards = Vec::with_capacity(percentiles.len());
    for percentile in percentiles {
        let threshold = (block.header.gas_used as f64 * percentile / 100.0) as u64;
        while gas < threshold && next < paid.len() {
            at = paid[next];
            gas += at.gas_used;
            next += 1;
        }
        rewards.push(at.reward);
    }
    rewards
}

fn rewards(block: &BlockRecord) -> Vec<TxGasAndReward> {
    let base_fee = block.base_fee();
    let tip = |tx: &alloy_consensus::TxEnvelope| tx.effective_tip_per_gas(base_fee).unwrap_or_default();
    let paid = block.transactions.iter().zip(&block.gas_used);
    paid.map(|(tx, gas)| TxGasAndReward { gas_used: *gas, reward: tip(tx) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_must_rise_within_their_range() {
        assert!(check_percentiles(&[]).is_ok());
        assert!(check_percentiles(&[0.0, 50.0, 50.0, 100.0]).is_ok());
        for bad in [vec![50.0, 49.9], vec![-0.1], vec![100.1], vec![f64::NAN], vec![1.0; PERCENTILES_MAX + 1]] {
            assert!(matches!(check_percentiles(&bad), Err(Failure::Params(_))), "{bad:?}");
        }
    }
}
