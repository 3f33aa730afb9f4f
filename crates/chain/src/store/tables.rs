//! Tables of the store, and how their keys and values are written.
//!
//! Numbers in keys are big endian, so that the order of keys is the order of blocks.

use crate::{BlockRecord, ChainError, transactions};
use alloy_consensus::{Header, ReceiptEnvelope, TxEnvelope};
use alloy_eips::{
    eip2718::{Decodable2718, Encodable2718},
    eip4895::Withdrawals,
};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use alloy_trie::{Nibbles, TrieAccount};
use redb::{TableDefinition, WriteTransaction};

/// Format, identity and head of the chain.
pub(super) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// Address to RLP of the account (yellow paper section 4.1), as in the trie.
pub(super) const ACCOUNTS: TableDefinition<&[u8; 20], &[u8]> = TableDefinition::new("accounts");
/// Address and slot to value, big endian without leading zeros.
pub(super) const STORAGE: TableDefinition<&[u8; 52], &[u8]> = TableDefinition::new("storage");
/// Keccak-256 to code.
pub(super) const CODES: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("codes");
/// Path to RLP of the node of the account trie, one byte per nibble.
pub(super) const ACCOUNT_NODES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("account_nodes");
/// Hashed address and path to RLP of the node of a storage trie, one byte per nibble.
pub(super) const STORAGE_NODES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("storage_nodes");
/// Height to block hash and RLP of the header.
pub(super) const HEADERS: TableDefinition<u64, &[u8]> = TableDefinition::new("headers");
/// Height to transactions and senders, and on imported chains ommers, withdrawals and total difficulty.
pub(super) const BODIES: TableDefinition<u64, &[u8]> = TableDefinition::new("bodies");
/// Height to receipts.
pub(super) const RECEIPTS: TableDefinition<u64, &[u8]> = TableDefinition::new("receipts");
/// Block hash to height.
pub(super) const NUMBERS: TableDefinition<&[u8; 32], u64> = TableDefinition::new("numbers");
/// Transaction hash to height and index.
pub(super) const TRANSACTIONS: TableDefinition<&[u8; 32], (u64, u32)> = TableDefinition::new("transactions");
/// Address and height to the account before that block; empty where there was none.
pub(super) const ACCOUNT_HISTORY: TableDefinition<&[u8; 28], &[u8]> = TableDefinition::new("account_history");
/// Address, slot and height to the value before that block.
pub(super) const STORAGE_HISTORY: TableDefinition<&[u8; 60], &[u8]> = TableDefinition::new("storage_history");
/// Height to the keys the block changed.
pub(super) const CHANGED: TableDefinition<u64, &[u8]> = TableDefinition::new("changed");

/// Format version, 4 bytes.
pub(super) const META_FORMAT: &str = "format";
/// Chain id, 8 bytes.
pub(super) const META_CHAIN_ID: &str = "chain_id";
/// Genesis hash, 32 bytes.
pub(super) const META_GENESIS: &str = "genesis";
/// Height of the newest block, 8 bytes.
pub(super) const META_HEAD: &str = "head";
/// Configuration of an imported Ethereum chain, as the `config` of its `genesis.json`; absent on Kumo chains.
pub(super) const META_ETHEREUM: &str = "ethereum";
/// Lowest height whose state can be read, 8 bytes.
pub(super) const META_HISTORY_FROM: &str = "history_from";
/// Lowest height whose trie can be read, 8 bytes; the states of a chain of format 1 have none.
pub(super) const META_PROOFS_FROM: &str = "proofs_from";
/// Lowest height but 0 whose block is kept, 8 bytes; higher than 1 after a snapshot was imported.
pub(super) const META_BLOCKS_FROM: &str = "blocks_from";
/// Blocks of history kept, 8 bytes; all bits set for an archive.
pub(super) const META_HISTORY: &str = "history_blocks";

/// The keys one block changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ChangedKeys {
    pub accounts: Vec<Address>,
    pub slots: Vec<(Address, U256)>,
}

#[derive(RlpEncodable, RlpDecodable)]
struct StoredKeys {
    accounts: Vec<Address>,
    slots: Vec<StoredSlot>,
}

#[derive(RlpEncodable, RlpDecodable)]
struct StoredSlot {
    address: Address,
    slot: U256,
}

#[derive(RlpEncodable, RlpDecodable)]
#[rlp(trailing)]
struct StoredBody {
    transactions: Vec<Bytes>,
    senders: Vec<Address>,
    imported: Option<ImportedBody>,
}

/// What only blocks of imported chains hold.
#[derive(RlpEncodable, RlpDecodable)]
pub(super) struct ImportedBody {
    pub ommers: Vec<Header>,
    pub withdrawals: Withdrawals,
    /// Zero since proof of stake.
    pub total_difficulty: U256,
}

/// The parts of a block beside its header and receipts.
pub(super) struct Body {
    pub transactions: Vec<TxEnvelope>,
    pub senders: Vec<Address>,
    pub imported: Option<ImportedBody>,
}

impl ChangedKeys {
    pub(super) fn encode(self) -> Vec<u8> {
        let slots = self.slots.into_iter().map(|(address, slot)| StoredSlot { address, slot }).collect();
        alloy_rlp::encode(StoredKeys { accounts: self.accounts, slots })
    }

    pub(super) fn decode(stored: &[u8]) -> Result<Self, ChainError> {
        let StoredKeys { accounts, slots } = decode_rlp(stored, "list of changed keys")?;
        Ok(Self { accounts, slots: slots.into_iter().map(|StoredSlot { address, slot }| (address, slot)).collect() })
    }
}

/// Opens every table, so that readers find them.
pub(super) fn create_tables(transaction: &WriteTransaction) -> Result<(), ChainError> {
    transaction.open_table(META)?;
    transaction.open_table(ACCOUNTS)?;
    transaction.open_table(STORAGE)?;
    transaction.open_table(CODES)?;
    transaction.open_table(ACCOUNT_NODES)?;
    transaction.open_table(STORAGE_NODES)?;
    transaction.open_table(HEADERS)?;
    transaction.open_table(BODIES)?;
    transaction.open_table(RECEIPTS)?;
    transaction.open_table(NUMBERS)?;
    transaction.open_table(TRANSACTIONS)?;
    transaction.open_table(ACCOUNT_HISTORY)?;
    transaction.open_table(STORAGE_HISTORY)?;
    transaction.open_table(CHANGED)?;
    transaction.open_table(super::behind::BEHIND)?;
    transaction.open_table(super::nodes::NODE_EPOCHS)?;
    transaction.open_table(super::log_keys::LOG_KEYS)?;
    Ok(())
}

pub(super) fn slot_key(address: Address, slot: U256) -> [u8; 52] {
    let mut key = [0; 52];
    key[..20].copy_from_slice(address.as_slice());
    key[20..].copy_from_slice(&slot.to_be_bytes::<32>());
    key
}

pub(super) fn account_history_key(address: Address, number: u64) -> [u8; 28] {
    let mut key = [0; 28];
    key[..20].copy_from_slice(address.as_slice());
    key[20..].copy_from_slice(&number.to_be_bytes());
    key
}

pub(super) fn slot_history_key(address: Address, slot: U256, number: u64) -> [u8; 60] {
    let mut key = [0; 60];
    key[..52].copy_from_slice(&slot_key(address, slot));
    key[52..].copy_from_slice(&number.to_be_bytes());
    key
}

pub(super) fn account_node_key(path: &Nibbles) -> Vec<u8> {
    path.to_vec()
}

pub(super) fn storage_node_key(owner: B256, path: &Nibbles) -> Vec<u8> {
    let mut key = Vec::with_capacity(32 + path.len());
    key.extend_from_slice(owner.as_slice());
    key.extend(path.iter());
    key
}

pub(super) fn encode_account(account: &TrieAccount) -> Vec<u8> {
    alloy_rlp::encode(account)
}

/// An account; empty bytes are "none".
pub(super) fn decode_account(stored: &[u8]) -> Result<Option<TrieAccount>, ChainError> {
    if stored.is_empty() {
        return Ok(None);
    }
    decode_rlp(stored, "account").map(Some)
}

pub(super) fn decode_word(stored: &[u8]) -> Result<U256, ChainError> {
    U256::try_from_be_slice(stored).ok_or_else(|| ChainError::decode("storage value", "longer than 32 bytes"))
}

pub(super) fn encode_header(record: &BlockRecord) -> Vec<u8> {
    let mut stored = Vec::with_capacity(32 + record.header.length());
    stored.extend_from_slice(record.hash.as_slice());
    record.header.encode(&mut stored);
    stored
}

pub(super) fn decode_hash(stored: &[u8]) -> Result<B256, ChainError> {
    let hash = stored.get(..32).ok_or_else(|| ChainError::decode("header", "shorter than its hash"))?;
    Ok(B256::from_slice(hash))
}

pub(super) fn decode_header(stored: &[u8]) -> Result<(B256, Header), ChainError> {
    Ok((decode_hash(stored)?, decode_rlp(&stored[32..], "header")?))
}

pub(super) fn encode_body(record: &BlockRecord) -> Vec<u8> {
    let transactions = record.transactions.iter().map(|item| Bytes::from(item.encoded_2718())).collect();
    let withdrawals = record.withdrawals.clone().unwrap_or_default();
    let total_difficulty = record.total_difficulty.unwrap_or_default();
    let is_plain = record.ommers.is_empty() && withdrawals.is_empty() && total_difficulty.is_zero();
    let imported = (!is_plain).then(|| ImportedBody { ommers: record.ommers.clone(), withdrawals, total_difficulty });
    alloy_rlp::encode(StoredBody { transactions, senders: record.senders.clone(), imported })
}

pub(super) fn decode_body(stored: &[u8]) -> Result<Body, ChainError> {
    let StoredBody { transactions, senders, imported } = decode_rlp(stored, "body")?;
    let decoded = transactions.iter().map(|item| transactions::decode_exact(item));
    let transactions = decoded.collect::<Result<_, _>>().map_err(|error| ChainError::decode("transaction", error))?;
    Ok(Body { transactions, senders, imported })
}

pub(super) fn encode_receipts(receipts: &[ReceiptEnvelope]) -> Vec<u8> {
    let receipts: Vec<Bytes> = receipts.iter().map(|receipt| receipt.encoded_2718().into()).collect();
    alloy_rlp::encode(receipts)
}

pub(super) fn decode_receipts(stored: &[u8]) -> Result<Vec<ReceiptEnvelope>, ChainError> {
    let receipts: Vec<Bytes> = decode_rlp(stored, "receipts")?;
    let decoded = receipts.iter().map(|receipt| ReceiptEnvelope::decode_2718_exact(receipt));
    decoded.collect::<Result<_, _>>().map_err(|error| ChainError::decode("receipt", error))
}

/// Bytes of fixed length.
pub(super) fn array<const N: usize>(stored: &[u8], what: &'static str) -> Result<[u8; N], ChainError> {
    stored.try_into().map_err(|_| ChainError::decode(what, format!("{} bytes instead of {N}", stored.len())))
}

fn decode_rlp<T: Decodable>(stored: &[u8], what: &'static str) -> Result<T, ChainError> {
    alloy_rlp::decode_exact(stored).map_err(|error| ChainError::decode(what, error))
}
