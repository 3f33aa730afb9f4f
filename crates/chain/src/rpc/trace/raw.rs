//! Blocks, receipts and transactions as bytes.

use super::super::failure::Failure;
use super::super::node::Node;
use crate::BlockRecord;
use crate::replay::Replay;
use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{Block, BlockBody, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bytes};
use rayon::prelude::*;

/// RLP of a block.
pub(super) fn block(block: &BlockRecord) -> Bytes {
    let (transactions, ommers) = (block.transactions.clone(), block.ommers.clone());
    let body = BlockBody { transactions, ommers, withdrawals: block.withdrawals.clone() };
    alloy_rlp::encode(Block { header: block.header.clone(), body }).into()
}

/// EIP-2718 encoding of each receipt.
pub(super) fn receipts(block: &BlockRecord) -> Vec<Bytes> {
    block.receipts.iter().map(|receipt| receipt.encoded_2718().into()).collect()
}

/// EIP-2718 encoding of a transaction of a block or of the pool; empty if it is unknown.
pub(super) fn transaction(node: &Node, hash: B256) -> Result<Bytes, Failure> {
    if let Some((block, index)) = node.mined(hash)? {
        return Ok(block.transactions.get(index).map(|item| item.encoded_2718().into()).unwrap_or_default());
    }
    Ok(node.pool.get(&hash).map(|pooled| pooled.raw.clone()).unwrap_or_default())
}

/// A block given as RLP, to be run on its parent.
pub(super) fn replay(node: &Node, rlp: &[u8]) -> Result<Replay, Failure> {
    let decoded: Block<TxEnvelope> =
        alloy_rlp::decode_exact(rlp).map_err(|error| Failure::Params(format!("block cannot be decoded: {error}")))?;
    let Block { header, body } = decoded;
    if let Some(known) = node.chain.block_by_hash(header.hash_slow())? {
        return Ok(node.chain.replay(known)?);
    }
    let recovered: Result<Vec<_>, _> =
        body.transactions.into_par_iter().map(|item| item.try_into_recovered()).collect();
    let transactions = recovered.map_err(|_| Failure::Params("a transaction has an invalid signature".into()))?;
    let (parent, number) = (header.parent_hash, header.number);
    let replay = node.chain.replay_foreign(header, transactions)?;
    replay.ok_or_else(|| Failure::Execution(format!("parent {parent} of block #{number} not found")))
}
