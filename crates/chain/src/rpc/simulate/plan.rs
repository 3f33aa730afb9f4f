//! From the blocks a caller names to the blocks that are run: numbers and times filled in, gaps closed. Pure.

use super::{BLOCKS_MAX, BlockCalls};
use crate::rpc::failure::Failure;
use alloy_consensus::Header;
use alloy_primitives::U256;
use alloy_rpc_types_eth::state::StateOverride;
use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest};

/// Seconds between two blocks whose time nobody names.
const INTERVAL_SECONDS: u64 = 12;

/// A simulation of too many blocks.
const TOO_MANY_CODE: i32 = -38026;
/// A block number that is not above the one before.
const NUMBER_ORDER_CODE: i32 = -38020;
/// A time that is not after the one before.
const TIME_ORDER_CODE: i32 = -38021;

/// A block to run. Its number and time are above those of the block before.
#[derive(Clone, Debug, Default)]
pub(super) struct Planned {
    pub number: u64,
    pub timestamp: u64,
    pub overrides: BlockOverrides,
    pub state: StateOverride,
    pub calls: Vec<TransactionRequest>,
}

/// The blocks to run on `base`, at least one and at most [`BLOCKS_MAX`].
pub(super) fn plan(base: &Header, blocks: Vec<BlockCalls>) -> Result<Vec<Planned>, Failure> {
    if blocks.is_empty() {
        return Err(Failure::Params("blockStateCalls is empty, expected at least one block".into()));
    }
    if blocks.len() as u64 > BLOCKS_MAX {
        return Err(too_many(U256::from(blocks.len())));
    }
    let (mut number, mut timestamp) = (base.number, base.timestamp);
    let mut plan = Vec::with_capacity(blocks.len());
    for block in blocks {
        let planned = next(base.number, number, timestamp, block, &mut plan)?;
        (number, timestamp) = (planned.number, planned.timestamp);
        plan.push(planned);
    }
    Ok(plan)
}

/// The block after `number`; empty blocks before it go to `gap`.
fn next(base: u64, number: u64, timestamp: u64, block: BlockCalls, gap: &mut Vec<Planned>) -> Result<Planned, Failure> {
    let header = block.block_overrides.unwrap_or_default();
    if header.withdrawals.is_some_and(|withdrawals| !withdrawals.is_empty()) {
        return Err(Failure::Params("blockOverrides.withdrawals: expected none, this chain has no withdrawals".into()));
    }
    let overrides = header.fields;
    let wanted = overrides.number.unwrap_or(U256::from(number) + U256::ONE);
    if wanted <= U256::from(number) {
        let message = format!("block numbers must be in order: {wanted} <= {number}");
        return Err(Failure::Coded { code: NUMBER_ORDER_CODE, message });
    }
    let span = wanted - U256::from(base);
    if span > U256::from(BLOCKS_MAX) {
        return Err(too_many(span));
    }
    let wanted = wanted.saturating_to::<u64>();
    let mut before = timestamp;
    for number in number + 1..wanted {
        before = before.saturating_add(INTERVAL_SECONDS);
        gap.push(Planned { number, timestamp: before, ..Default::default() });
    }
    let timestamp = overrides.time.unwrap_or(before.saturating_add(INTERVAL_SECONDS));
    if timestamp <= before {
        let message = format!("block timestamps must be in order: {timestamp} <= {before}");
        return Err(Failure::Coded { code: TIME_ORDER_CODE, message });
    }
    let state = block.state_overrides.unwrap_or_default();
    Ok(Planned { number: wanted, timestamp, overrides, state, calls: block.calls })
}

fn too_many(asked: U256) -> Failure {
    Failure::Coded { code: TOO_MANY_CODE, message: format!("too many blocks: {asked} asked, limit {BLOCKS_MAX}") }
}

#[cfg(test)]
mod tests {
    use super::super::SimulatedHeader;
    use super::*;

    fn block(number: Option<u64>, time: Option<u64>) -> BlockCalls {
        let fields = BlockOverrides { number: number.map(U256::from), time, ..Default::default() };
        let block_overrides = Some(SimulatedHeader { fields, withdrawals: None });
        BlockCalls { block_overrides, ..Default::default() }
    }

    fn planned(blocks: Vec<BlockCalls>) -> Result<Vec<(u64, u64)>, i32> {
        let base = Header { number: 10, timestamp: 100, ..Default::default() };
        match plan(&base, blocks) {
            Ok(plan) => Ok(plan.iter().map(|block| (block.number, block.timestamp)).collect()),
            Err(Failure::Coded { code, .. }) => Err(code),
            Err(_) => Err(0),
        }
    }

    #[test]
    fn gaps_are_closed_with_empty_blocks() {
        let plan = planned(vec![block(None, None), block(Some(14), None), block(None, Some(1_000))]).unwrap();
        assert_eq!(plan, [(11, 112), (12, 124), (13, 136), (14, 148), (15, 1_000)]);
    }

    #[test]
    fn numbers_and_times_must_rise() {
        assert_eq!(planned(vec![block(Some(10), None)]), Err(NUMBER_ORDER_CODE));
        assert_eq!(planned(vec![block(Some(12), None), block(Some(12), None)]), Err(NUMBER_ORDER_CODE));
        assert_eq!(planned(vec![block(None, Some(100))]), Err(TIME_ORDER_CODE));
        assert_eq!(planned(vec![block(Some(12), Some(112))]), Err(TIME_ORDER_CODE), "the gap takes 12 s");
        assert!(planned(vec![block(Some(12), Some(113))]).is_ok());
    }

    #[test]
    fn the_span_is_bounded_gaps_included() {
        assert_eq!(planned(vec![block(Some(10 + BLOCKS_MAX), None)]).unwrap().len(), BLOCKS_MAX as usize);
        assert_eq!(planned(vec![block(Some(11 + BLOCKS_MAX), None)]), Err(TOO_MANY_CODE));
        assert_eq!(planned(vec![block(Some(u64::MAX), None)]), Err(TOO_MANY_CODE));
        assert_eq!(planned(vec![BlockCalls::default(); BLOCKS_MAX as usize + 1]), Err(TOO_MANY_CODE));
        assert_eq!(planned(vec![]), Err(0));
    }
}
