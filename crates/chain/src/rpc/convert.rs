//! Records of the chain in the exact shape of Ethereum's JSON-RPC.

use crate::BlockRecord;
use crate::pool::PooledTransaction;
use alloy_consensus::{ReceiptEnvelope, Sealable, Sealed, Transaction as _, TxEnvelope, transaction::Recovered};
use alloy_eips::eip7840::BlobParams;
use alloy_primitives::{B256, U256};
use alloy_rpc_types_eth::{Block, BlockTransactions, Header, Log, Transaction, TransactionInfo, TransactionReceipt};

/// The header of a block.
pub(super) fn header(block: &BlockRecord) -> Header {
    let sealed = Sealed::new_unchecked(block.header.clone(), block.hash);
    Header::from_consensus(sealed, None, Some(U256::from(block.size)))
}

/// The ommer at `index` of a block, which has no body here.
pub(super) fn ommer(block: &BlockRecord, index: usize) -> Option<Block> {
    let ommer = block.ommers.get(index)?.clone();
    let size = BlockRecord::new(ommer.clone(), Vec::new(), Vec::new(), Vec::new()).size;
    let header = Header::from_consensus(ommer.seal_slow(), None, Some(U256::from(size)));
    Some(Block { header, uncles: Vec::new(), transactions: BlockTransactions::Uncle, withdrawals: None })
}

/// A block with whole transactions, or with their hashes.
pub(super) fn block(block: &BlockRecord, full: bool) -> Block {
    let transactions = match full {
        true => BlockTransactions::Full((0..block.transactions.len()).filter_map(|i| transaction(block, i)).collect()),
        false => BlockTransactions::Hashes(block.transactions.iter().map(|tx| *tx.tx_hash()).collect()),
    };
    let uncles = block.ommers.iter().map(|ommer| ommer.hash_slow()).collect();
    Block { header: header(block), uncles, transactions, withdrawals: block.withdrawals.clone() }
}

/// The transaction at `index` of a block.
pub(super) fn transaction(block: &BlockRecord, index: usize) -> Option<Transaction> {
    let (tx, sender) = (block.transactions.get(index)?, block.senders.get(index)?);
    let info = TransactionInfo {
        hash: Some(*tx.tx_hash()),
        index: Some(index as u64),
        block_hash: Some(block.hash),
        block_number: Some(block.number()),
        base_fee: block.header.base_fee_per_gas,
        block_timestamp: Some(block.header.timestamp),
    };
    Some(Transaction::from_transaction(Recovered::new_unchecked(tx.clone(), *sender), info))
}

/// A transaction that waits in the pool: without a block.
pub(super) fn pending_transaction(tx: &PooledTransaction) -> Transaction {
    let info = TransactionInfo { hash: Some(tx.hash), ..Default::default() };
    Transaction::from_transaction(Recovered::new_unchecked(tx.decoded(), tx.sender), info)
}

/// A transaction as the pool shows it: all that a block would tell is there and null.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    #[serde(flatten)]
    transaction: Transaction,
    block_timestamp: (),
}

impl Waiting {
    pub(super) fn of(tx: &PooledTransaction) -> Self {
        Self { transaction: pending_transaction(tx), block_timestamp: () }
    }
}

/// The receipt of the transaction at `index` of a block. `blobs` are the parameters of the blob market at that block.
pub(super) fn receipt(block: &BlockRecord, index: usize, blobs: Option<BlobParams>) -> Option<TransactionReceipt> {
    let (tx, sender) = (block.transactions.get(index)?, *block.senders.get(index)?);
    let blob_price = blobs.zip(block.header.excess_blob_gas).map(|(params, excess)| params.calc_blob_fee(excess));
    let contract_address = tx.is_create().then(|| sender.create(tx.nonce()));
    Some(TransactionReceipt {
        inner: with_log_positions(block, index)?,
        transaction_hash: *tx.tx_hash(),
        transaction_index: Some(index as u64),
        block_hash: Some(block.hash),
        block_number: Some(block.number()),
        gas_used: *block.gas_used.get(index)?,
        effective_gas_price: tx.effective_gas_price(block.header.base_fee_per_gas),
        blob_gas_used: tx.blob_gas_used(),
        blob_gas_price: tx.blob_gas_used().and(blob_price),
        from: sender,
        to: tx.to(),
        contract_address,
    })
}

/// All receipts of a block.
pub(super) fn receipts(block: &BlockRecord, blobs: Option<BlobParams>) -> Vec<TransactionReceipt> {
    (0..block.transactions.len()).filter_map(|index| receipt(block, index, blobs)).collect()
}

fn with_log_positions(block: &BlockRecord, index: usize) -> Option<ReceiptEnvelope<Log>> {
    let hash = *block.transactions.get(index)?.tx_hash();
    let first = block.first_log_index(index);
    let mut position = first;
    Some(block.receipts.get(index)?.clone().map_logs(|inner| {
        let log = positioned(block, inner, hash, index, position);
        position += 1;
        log
    }))
}

fn positioned(block: &BlockRecord, inner: alloy_primitives::Log, tx: B256, index: usize, position: u64) -> Log {
    Log {
        inner,
        block_hash: Some(block.hash),
        block_number: Some(block.number()),
        block_timestamp: Some(block.header.timestamp),
        transaction_hash: Some(tx),
        transaction_index: Some(index as u64),
        log_index: Some(position),
        removed: false,
    }
}

/// One line about a transaction, for `txpool_inspect`, as geth writes it.
pub(super) fn summary(tx: &TxEnvelope) -> String {
    let to = tx.to().map_or_else(|| "contract creation".to_owned(), |to| to.to_string());
    format!("{to}: {} wei + {} gas × {} wei", tx.value(), tx.gas_limit(), tx.max_fee_per_gas())
}
