//! Searches over blocks that are run again: bounded, because nothing is indexed for them.

use super::super::failure::Failure;
use super::super::node::Node;
use super::api::RangeFilter;
use super::budget::Budget;
use super::parity::block_traces;
use crate::{BlockRecord, ChainError, StateView};
use alloy_consensus::Transaction as _;
use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{Address, B256};
use alloy_rpc_types_trace::filter::TraceFilter;
use alloy_rpc_types_trace::otterscan::ContractCreator;
use alloy_rpc_types_trace::parity::{Action, LocalizedTransactionTrace};
use alloy_trie::EMPTY_ROOT_HASH;
use std::sync::Arc;
use std::time::Instant;

/// Most addresses in one filter, per side.
const ADDRESSES_MAX: usize = 1_000;

/// `trace_filter`.
pub(super) fn find_traces(
    node: &Node,
    filter: RangeFilter,
    deadline: Instant,
) -> Result<Vec<LocalizedTransactionTrace>, Failure> {
    let (from, to) = range(node, &filter)?;
    let named = filter.from_address.len().max(filter.to_address.len());
    if named > ADDRESSES_MAX {
        return Err(Failure::Limit(format!("filter names {named} addresses, the limit is {ADDRESSES_MAX}")));
    }
    let RangeFilter { from_address, to_address, mode, after, count, .. } = filter;
    let matcher = TraceFilter { from_address, to_address, mode, ..Default::default() }.matcher();
    let (mut skip, count, limit) = (after.unwrap_or(0), count.unwrap_or(usize::MAX), node.limits.trace_results);
    let mut found = Vec::new();
    for number in from..=to {
        let Some(block) = node.chain.block_by_number(number)? else { break };
        // What a block does not keep is not held against the next one.
        let mut budget = Budget::new(&node.limits, deadline, None);
        budget.check()?;
        for trace in block_traces(node, &block, &mut budget)? {
            if !matcher.matches(&trace.trace) {
                continue;
            }
            if skip > 0 {
                skip -= 1;
                continue;
            }
            if found.len() == count {
                return Ok(found);
            }
            if found.len() == limit {
                return Err(Failure::Limit(format!(
                    "filter matches more than {limit} traces, the limit, at block {number}; narrow the range or page with after and count"
                )));
            }
            found.push(trace);
        }
    }
    Ok(found)
}

/// First and last block of a filter, within bounds.
fn range(node: &Node, filter: &RangeFilter) -> Result<(u64, u64), Failure> {
    let head = node.chain.head().number();
    let resolve = |tag: Option<BlockNumberOrTag>| match tag {
        None => head,
        Some(tag) if tag.is_earliest() => 0,
        Some(tag) => tag.as_number().unwrap_or(head),
    };
    let (from, to) = (resolve(filter.from_block), resolve(filter.to_block).min(head));
    if from > to {
        return Err(Failure::Params(format!(
            "invalid block range: fromBlock {from} is above toBlock {to}, head is {head}"
        )));
    }
    let (asked, limit) = (to - from + 1, node.limits.trace_blocks);
    if asked > limit {
        return Err(Failure::Limit(format!(
            "block range too large: {asked} blocks asked, limit {limit}; query in parts"
        )));
    }
    Ok((from, to))
}

/// Which way a search goes from a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Older,
    Newer,
}

/// A page of transactions, newest first.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) found: Vec<(Arc<BlockRecord>, usize)>,
    /// Whether nothing newer is left.
    pub(super) newest: bool,
    /// Whether nothing older is left.
    pub(super) oldest: bool,
}

/// Transactions that touch an address: as sender, recipient, contract made or destroyed, also inside of other calls.
///
/// Goes from `block` (0: from the end of the chain) until a page is full; a block is on a page with all of its
/// matches. A search that runs too many blocks again ends early with what it found; if that is nothing, it is an error.
pub(super) fn touching(
    node: &Node,
    address: Address,
    block: u64,
    page_size: usize,
    direction: Direction,
    deadline: Instant,
) -> Result<Page, Failure> {
    let head = node.chain.head().number();
    let (mut page, mut replayed) = (Page::default(), 0);
    let mut next = match direction {
        Direction::Older if block == 0 || block > head => Some(head),
        Direction::Older => block.checked_sub(1),
        Direction::Newer if block == 0 => Some(0),
        Direction::Newer => block.checked_add(1).filter(|next| *next <= head),
    };
    match direction {
        Direction::Older => page.newest = block == 0 || block > head,
        Direction::Newer => page.oldest = block == 0,
    }
    while let Some(number) = next {
        if page.found.len() >= page_size {
            break;
        }
        let mut budget = Budget::new(&node.limits, deadline, None);
        if replayed == node.limits.trace_blocks || budget.check().is_err() {
            if page.found.is_empty() {
                return Err(Failure::Limit(format!(
                    "no transaction of {address} in the {replayed} blocks run again, down or up to block {number}; a search runs at most {} again",
                    node.limits.trace_blocks
                )));
            }
            break;
        }
        if has_transactions(node, number)? {
            replayed += 1;
            find_in_block(node, number, address, direction, &mut budget, &mut page)?;
        }
        next = match direction {
            Direction::Older => number.checked_sub(1),
            Direction::Newer => Some(number + 1).filter(|next| *next <= head),
        };
    }
    match direction {
        Direction::Older => page.oldest = next.is_none(),
        Direction::Newer => {
            page.newest = next.is_none();
            page.found.reverse();
        }
    }
    Ok(page)
}

fn has_transactions(node: &Node, number: u64) -> Result<bool, Failure> {
    let header = node.chain.header_by_number(number)?;
    Ok(header.is_some_and(|(_, header)| header.transactions_root != EMPTY_ROOT_HASH))
}

fn find_in_block(
    node: &Node,
    number: u64,
    address: Address,
    direction: Direction,
    budget: &mut Budget,
    page: &mut Page,
) -> Result<(), Failure> {
    let Some(block) = node.chain.block_by_number(number)? else { return Ok(()) };
    let touches = |localized: &LocalizedTransactionTrace| {
        let heir = match &localized.trace.action {
            Action::Selfdestruct(destroyed) => destroyed.refund_address == address,
            _ => false,
        };
        heir || localized.contains_address(address)
    };
    let traces = block_traces(node, &block, budget)?;
    let matching = traces.iter().filter(|trace| touches(trace)).filter_map(|trace| trace.transaction_position);
    let mut indices: Vec<usize> = matching.map(|position| position as usize).collect();
    indices.dedup();
    if direction == Direction::Older {
        indices.reverse();
    }
    page.found.extend(indices.into_iter().map(|index| (block.clone(), index)));
    Ok(())
}

/// The transaction of a sender with this nonce, found through the block that counted it.
pub(super) fn transaction_by_nonce(
    node: &Node,
    sender: Address,
    nonce: u64,
    deadline: Instant,
) -> Result<Option<B256>, Failure> {
    let counted = |state: &StateView| Ok(state.nonce(sender)? > nonce);
    let Some(number) = first_block(node, counted, deadline)? else { return Ok(None) };
    let Some(block) = node.chain.block_by_number(number)? else { return Ok(None) };
    let mut sent = block.senders.iter().zip(&block.transactions);
    // A nonce may also have been used by an authorisation (EIP-7702) or to create a contract.
    let found = sent.find(|(from, tx)| **from == sender && (**tx).nonce() == nonce);
    Ok(found.map(|(_, tx)| *tx.tx_hash()))
}

/// Who made a contract, found through the block after which it was there.
pub(super) fn contract_creator(
    node: &Node,
    address: Address,
    deadline: Instant,
) -> Result<Option<ContractCreator>, Failure> {
    let made = |state: &StateView| {
        let code = state.code(address)?;
        Ok(!code.is_empty() && !code.is_eip7702())
    };
    let Some(number) = first_block(node, made, deadline)? else { return Ok(None) };
    let Some(block) = node.chain.block_by_number(number)? else { return Ok(None) };
    let traces = block_traces(node, &block, &mut Budget::new(&node.limits, deadline, None))?;
    // An earlier creation at the same address was reverted by a call around it.
    let creation = traces.into_iter().rev().find_map(|localized| {
        let creator = localized.trace.action.as_create()?.from;
        let contract = localized.trace.result.as_ref()?.created_contract()?;
        let hash = localized.transaction_hash.filter(|_| contract == address)?;
        Some(ContractCreator { hash, creator })
    });
    Ok(creation)
}

/// The first block after which a condition holds that, once it holds, holds for good; `None` if it does not hold at
/// the head or held at genesis.
fn first_block(
    node: &Node,
    holds: impl Fn(&StateView) -> Result<bool, ChainError>,
    deadline: Instant,
) -> Result<Option<u64>, Failure> {
    let (mut low, mut high) = (node.chain.oldest_state()?, node.chain.head().number());
    if !holds(&node.chain.state(high)?)? {
        return Ok(None);
    }
    if holds(&node.chain.state(low)?)? {
        return match low {
            0 => Ok(None),
            oldest => Err(ChainError::Pruned { number: oldest - 1, oldest }.into()),
        };
    }
    let mut budget = Budget::new(&node.limits, deadline, None);
    while high - low > 1 {
        budget.check()?;
        let middle = low + (high - low) / 2;
        match holds(&node.chain.state(middle)?)? {
            true => high = middle,
            false => low = middle,
        }
    }
    Ok(Some(high))
}
