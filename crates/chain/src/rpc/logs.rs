//! Log queries: from the filter of a caller to a bounded range of blocks.

use super::failure::Failure;
use super::node::Node;
use crate::LogFilter;
use alloy_eips::BlockId;
use alloy_rpc_types_eth::{Filter, FilterBlockOption, Log};
use std::ops::RangeInclusive;

/// Most addresses, and most alternatives of one topic, in a filter.
const ALTERNATIVES_MAX: usize = 1_000;

/// `eth_getLogs`.
pub(super) fn query(node: &Node, filter: &Filter) -> Result<Vec<Log>, Failure> {
    let wanted = wanted(filter)?;
    if let FilterBlockOption::AtBlockHash(hash) = filter.block_option {
        return bounded(node, wanted.select(&*node.block(Some(BlockId::from(hash)))?));
    }
    let range = range(node, filter)?;
    bounded(node, node.chain.logs(*range.start(), *range.end(), &wanted)?)
}

/// What matches in the blocks `next..=head` and in the filter's own range: for pollers and subscribers.
pub(super) fn since(node: &Node, filter: &Filter, next: u64, head: u64) -> Result<Vec<Log>, Failure> {
    let (from, to) = filter.extract_block_range();
    let (from, to) = (from.map_or(next, |from| from.max(next)), to.map_or(head, |to| to.min(head)));
    if from > to {
        return Ok(Vec::new());
    }
    check_span(node, from, to)?;
    bounded(node, node.chain.logs(from, to, &wanted(filter)?)?)
}

fn bounded(node: &Node, logs: Vec<Log>) -> Result<Vec<Log>, Failure> {
    let (found, limit) = (logs.len(), node.limits.log_results);
    if found <= limit {
        return Ok(logs);
    }
    Err(Failure::Limit(format!("query finds {found} logs, limit {limit}; narrow the range, addresses or topics")))
}

/// Refuses a filter that can never find anything, or is beyond the bounds.
pub(super) fn check(filter: &Filter) -> Result<(), Failure> {
    if let (Some(from), Some(to)) = filter.extract_block_range()
        && from > to
    {
        return Err(backwards(from, to));
    }
    wanted(filter).map(drop)
}

fn backwards(from: u64, to: u64) -> Failure {
    Failure::Params(format!("invalid block range params: fromBlock {from} is above toBlock {to}"))
}

/// The addresses and topics of a filter, within bounds.
pub(super) fn wanted(filter: &Filter) -> Result<LogFilter, Failure> {
    let longest = filter.topics.iter().map(|topic| topic.len()).chain([filter.address.len()]).max().unwrap_or(0);
    if longest > ALTERNATIVES_MAX {
        let message = format!("filter names {longest} alternatives at one place, the limit is {ALTERNATIVES_MAX}");
        return Err(Failure::Limit(message));
    }
    Ok(LogFilter {
        addresses: filter.address.iter().copied().collect(),
        topics: filter.topics.each_ref().map(|topic| topic.iter().copied().collect()),
    })
}

fn range(node: &Node, filter: &Filter) -> Result<RangeInclusive<u64>, Failure> {
    let head = node.chain.head().number();
    let (from, to) = filter.block_option.as_range();
    let resolve = |tag: Option<&alloy_eips::BlockNumberOrTag>| match tag {
        None => head,
        Some(tag) if tag.is_earliest() => 0,
        Some(tag) => tag.as_number().unwrap_or(head),
    };
    let (from, to) = (resolve(from), resolve(to));
    if from > to {
        return Err(backwards(from, to));
    }
    if to > head {
        let message = format!("block range extends beyond current head block: toBlock {to}, head {head}");
        return Err(Failure::Params(message));
    }
    check_span(node, from, to)?;
    Ok(from..=to)
}

fn check_span(node: &Node, from: u64, to: u64) -> Result<(), Failure> {
    let (asked, limit) = (to - from + 1, node.limits.log_blocks);
    if asked <= limit {
        return Ok(());
    }
    Err(Failure::Limit(format!("block range too large: {asked} blocks asked, limit {limit}; query in parts")))
}
