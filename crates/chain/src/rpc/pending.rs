//! The block that would be next: the head's child with the transactions that wait in this node's pool.
//!
//! Nobody has agreed on it, so it has no hash and no nonce, and its time and randomness are guesses. It is built at most
//! once for each head and each state of the pool.

use super::convert;
use super::failure::Failure;
use super::node::Node;
use crate::{BlockAttributes, BlockRecord};
use alloy_primitives::B256;
use alloy_rpc_types_eth::{Block, BlockTransactions, Transaction};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// The last pending block, and what it was built from.
#[derive(Debug, Default)]
pub(super) struct PendingBlock(Mutex<Option<(Built, Arc<BlockRecord>)>>);

/// A head, and how many transactions the pool had ever seen.
type Built = (B256, u64);

/// A block that is final, or one that may come.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum BlockAnswer {
    /// A final one.
    Final(Box<Block>),
    /// The one that may come: no hash, no nonce, no beneficiary.
    Pending(Value),
}

/// The pending block on the head.
pub(super) fn record(node: &Node) -> Result<Arc<BlockRecord>, Failure> {
    let head = node.chain.head();
    let built = (head.hash, node.pool.cursor());
    let mut last = node.pending.0.lock();
    if let Some((_, record)) = last.as_ref().filter(|(from, _)| *from == built) {
        return Ok(record.clone());
    }
    let attributes = BlockAttributes { timestamp: head.header.timestamp + 1, ..Default::default() };
    let waiting = node.pool.content(None).into_iter().flat_map(|sender| sender.pending);
    let candidates: Vec<_> = waiting.map(|tx| tx.raw.clone()).collect();
    let record = Arc::new(node.chain.preview(attributes, &candidates)?);
    *last = Some((built, record.clone()));
    Ok(record)
}

/// A pending block as callers see it.
pub(super) fn show(record: &BlockRecord, full: bool) -> Result<BlockAnswer, Failure> {
    let mut block = convert::block(record, full);
    if let BlockTransactions::Full(transactions) = &mut block.transactions {
        transactions.iter_mut().for_each(unplace);
    }
    let mut json = serde_json::to_value(block).map_err(|_| Failure::Internal)?;
    for field in ["hash", "nonce", "miner"] {
        json[field] = Value::Null;
    }
    Ok(BlockAnswer::Pending(json))
}

/// A transaction of a pending block, which is in no block yet.
pub(super) fn transaction(record: &BlockRecord, index: usize) -> Option<Transaction> {
    let mut transaction = convert::transaction(record, index)?;
    unplace(&mut transaction);
    Some(transaction)
}

fn unplace(transaction: &mut Transaction) {
    transaction.block_hash = None;
    transaction.block_number = None;
    transaction.transaction_index = None;
    transaction.block_timestamp = None;
}
