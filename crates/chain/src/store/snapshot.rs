//! The store as it was at one moment.

use super::{
    behind::{Behind, Kind, decode_position},
    log_keys::{LogKeys, META_LOG_KEYS_FROM},
    nodes::NodeHistory,
    tables::*,
};
use crate::{BlockRecord, ChainError, LogFilter};
use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_trie::{Nibbles, TrieAccount};
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

type Table<K, V> = ReadOnlyTable<K, V>;

/// Every table, frozen. Cheap to share, and it keeps the pages it shows from being reused while it lives.
pub(crate) struct Snapshot {
    transaction: ReadTransaction,
    /// What is in no table yet.
    behind: Arc<Behind>,
    /// Opened when first asked for.
    node_history: OnceLock<NodeHistory>,
    meta: Table<&'static str, &'static [u8]>,
    accounts: Table<&'static [u8; 20], &'static [u8]>,
    storage: Table<&'static [u8; 52], &'static [u8]>,
    codes: Table<&'static [u8; 32], &'static [u8]>,
    account_nodes: Table<&'static [u8], &'static [u8]>,
    storage_nodes: Table<&'static [u8], &'static [u8]>,
    headers: Table<u64, &'static [u8]>,
    bodies: Table<u64, &'static [u8]>,
    receipts: Table<u64, &'static [u8]>,
    numbers: Table<&'static [u8; 32], u64>,
    transactions: Table<&'static [u8; 32], (u64, u32)>,
    account_history: Table<&'static [u8; 28], &'static [u8]>,
    storage_history: Table<&'static [u8; 60], &'static [u8]>,
    log_keys: LogKeys,
}

impl Snapshot {
    pub(super) fn open(transaction: ReadTransaction, behind: Arc<Behind>) -> Result<Self, ChainError> {
        Ok(Self {
            meta: transaction.open_table(META)?,
            log_keys: LogKeys::open(&transaction)?,
            accounts: transaction.open_table(ACCOUNTS)?,
            storage: transaction.open_table(STORAGE)?,
            codes: transaction.open_table(CODES)?,
            account_nodes: transaction.open_table(ACCOUNT_NODES)?,
            storage_nodes: transaction.open_table(STORAGE_NODES)?,
            headers: transaction.open_table(HEADERS)?,
            bodies: transaction.open_table(BODIES)?,
            receipts: transaction.open_table(RECEIPTS)?,
            numbers: transaction.open_table(NUMBERS)?,
            transactions: transaction.open_table(TRANSACTIONS)?,
            account_history: transaction.open_table(ACCOUNT_HISTORY)?,
            storage_history: transaction.open_table(STORAGE_HISTORY)?,
            node_history: OnceLock::new(),
            behind,
            transaction,
        })
    }

    /// Height of the newest block.
    pub(crate) fn head_number(&self) -> Result<u64, ChainError> {
        self.meta_number(META_HEAD)
    }

    /// Lowest height whose state can be read.
    pub(crate) fn history_from(&self) -> Result<u64, ChainError> {
        self.meta_number(META_HISTORY_FROM)
    }

    /// Lowest height whose trie can be read.
    pub(crate) fn proofs_from(&self) -> Result<u64, ChainError> {
        Ok(self.meta_number(META_PROOFS_FROM)?.max(self.history_from()?))
    }

    /// Lowest height but 0 whose block is kept.
    pub(crate) fn blocks_from(&self) -> Result<u64, ChainError> {
        self.meta_number(META_BLOCKS_FROM)
    }

    /// State root of the newest block.
    pub(crate) fn state_root(&self) -> Result<B256, ChainError> {
        let header = self.header(self.head_number()?)?;
        header.map(|(_, header)| header.state_root).ok_or_else(|| ChainError::decode(META_HEAD, "it has no header"))
    }

    pub(crate) fn account(&self, address: Address) -> Result<Option<TrieAccount>, ChainError> {
        let stored = self.accounts.get(&address.0.0)?;
        Ok(stored.map(|account| decode_account(account.value())).transpose()?.flatten())
    }

    /// The account after block `number`, if a later block changed it.
    pub(crate) fn account_after(
        &self,
        address: Address,
        number: u64,
    ) -> Result<Option<Option<TrieAccount>>, ChainError> {
        let (from, to) = (account_history_key(address, number + 1), account_history_key(address, u64::MAX));
        match self.account_history.range::<&[u8; 28]>(&from..=&to)?.next() {
            Some(entry) => decode_account(entry?.1.value()).map(Some),
            None => self.behind.first(Kind::Account, &from, &to).map(decode_account).transpose(),
        }
    }

    pub(crate) fn storage(&self, address: Address, slot: U256) -> Result<U256, ChainError> {
        let stored = self.storage.get(&slot_key(address, slot))?;
        stored.map_or(Ok(U256::ZERO), |value| decode_word(value.value()))
    }

    /// The slot after block `number`, if a later block changed it.
    pub(crate) fn storage_after(&self, address: Address, slot: U256, number: u64) -> Result<Option<U256>, ChainError> {
        let (from, to) = (slot_history_key(address, slot, number + 1), slot_history_key(address, slot, u64::MAX));
        match self.storage_history.range::<&[u8; 60]>(&from..=&to)?.next() {
            Some(entry) => decode_word(entry?.1.value()).map(Some),
            None => self.behind.first(Kind::Slot, &from, &to).map(decode_word).transpose(),
        }
    }

    pub(crate) fn code(&self, hash: B256) -> Result<Option<Bytes>, ChainError> {
        Ok(self.codes.get(&hash.0)?.map(|code| Bytes::copy_from_slice(code.value())))
    }

    pub(crate) fn account_node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, ChainError> {
        Ok(self.account_nodes.get(account_node_key(path).as_slice())?.map(|node| node.value().to_vec()))
    }

    pub(crate) fn storage_node(&self, owner: B256, path: &Nibbles) -> Result<Option<Vec<u8>>, ChainError> {
        Ok(self.storage_nodes.get(storage_node_key(owner, path).as_slice())?.map(|node| node.value().to_vec()))
    }

    /// Node of the account trie after block `number`, below the head.
    pub(crate) fn account_node_after(&self, path: &Nibbles, number: u64) -> Result<Option<Vec<u8>>, ChainError> {
        self.node_history()?.node_after(None, path, number, || self.account_node(path))
    }

    /// Node of a storage trie after block `number`, below the head.
    pub(crate) fn storage_node_after(
        &self,
        owner: B256,
        path: &Nibbles,
        number: u64,
    ) -> Result<Option<Vec<u8>>, ChainError> {
        self.node_history()?.node_after(Some(owner), path, number, || self.storage_node(owner, path))
    }

    fn node_history(&self) -> Result<&NodeHistory, ChainError> {
        match self.node_history.get() {
            Some(history) => Ok(history),
            None => {
                let history = NodeHistory::open(&self.transaction, self.behind.clone())?;
                Ok(self.node_history.get_or_init(|| history))
            }
        }
    }

    pub(crate) fn number(&self, hash: B256) -> Result<Option<u64>, ChainError> {
        Ok(self.numbers.get(&hash.0)?.map(|number| number.value()))
    }

    pub(crate) fn hash(&self, number: u64) -> Result<Option<B256>, ChainError> {
        self.headers.get(number)?.map(|header| decode_hash(header.value())).transpose()
    }

    pub(crate) fn header(&self, number: u64) -> Result<Option<(B256, Header)>, ChainError> {
        self.headers.get(number)?.map(|header| decode_header(header.value())).transpose()
    }

    /// Lowest height from which on [`Snapshot::blocks_with_logs`] knows every block; `None` while it knows none.
    pub(crate) fn log_keys_from(&self) -> Result<Option<u64>, ChainError> {
        let stored = self.meta.get(META_LOG_KEYS_FROM)?;
        stored.map(|from| Ok(u64::from_be_bytes(array(from.value(), META_LOG_KEYS_FROM)?))).transpose()
    }

    /// Blocks of `from..=to` that may hold a wanted log, in order.
    pub(crate) fn blocks_with_logs(&self, from: u64, to: u64, filter: &LogFilter) -> Result<Vec<u64>, ChainError> {
        self.log_keys.candidates(from..=to, filter)
    }

    pub(crate) fn transaction(&self, hash: B256) -> Result<Option<(u64, usize)>, ChainError> {
        let waiting = self.behind.first(Kind::Transaction, &hash.0, &hash.0).map(decode_position).transpose()?;
        let place = match waiting {
            None => self.transactions.get(&hash.0)?.map(|place| place.value()),
            waiting => waiting,
        };
        Ok(place.map(|(number, index)| (number, index as usize)))
    }

    pub(crate) fn block(&self, number: u64) -> Result<Option<BlockRecord>, ChainError> {
        let Some((_, header)) = self.header(number)? else { return Ok(None) };
        let absent = || ChainError::decode("block", format!("block {number} has a header only"));
        let body = decode_body(self.bodies.get(number)?.ok_or_else(absent)?.value())?;
        let receipts = decode_receipts(self.receipts.get(number)?.ok_or_else(absent)?.value())?;
        let record = BlockRecord::new(header, body.transactions, body.senders, receipts);
        Ok(Some(match body.imported {
            Some(ImportedBody { ommers, withdrawals, total_difficulty }) => {
                record.with_body(ommers, withdrawals, (!total_difficulty.is_zero()).then_some(total_difficulty))
            }
            None => record,
        }))
    }

    /// Every account, in order of address.
    pub(crate) fn accounts(
        &self,
    ) -> Result<impl Iterator<Item = Result<(Address, TrieAccount), ChainError>>, ChainError> {
        let accounts = self.accounts.iter()?;
        Ok(accounts.map(|entry| {
            let (address, account) = entry?;
            let account = decode_account(account.value())?;
            Ok((Address::from(address.value()), account.ok_or_else(|| ChainError::decode("account", "it is empty"))?))
        }))
    }

    /// Slots of one account in order, at most `max`.
    pub(crate) fn slots_of(&self, address: Address, max: usize) -> Result<BTreeMap<U256, U256>, ChainError> {
        self.each_slot_of(address)?.take(max).collect()
    }

    /// Slots of one account that blocks after `number` changed; `None` if they changed more than `max` times.
    pub(crate) fn slots_changed_after(
        &self,
        address: Address,
        number: u64,
        max: usize,
    ) -> Result<Option<BTreeSet<U256>>, ChainError> {
        let from = slot_history_key(address, U256::ZERO, 0);
        let to = slot_history_key(address, U256::MAX, u64::MAX);
        let mut slots = BTreeSet::new();
        let mut read = 0;
        let mut note = |key: &[u8]| {
            let (slot, height) = key[20..].split_at(32);
            if height > number.to_be_bytes().as_slice() {
                slots.insert(U256::from_be_slice(slot));
            }
            read += 1;
            read <= max
        };
        for entry in self.storage_history.range::<&[u8; 60]>(&from..=&to)? {
            if !note(entry?.0.value()) {
                return Ok(None);
            }
        }
        Ok(self.behind.keys(Kind::Slot, &from, &to).all(note).then_some(slots))
    }

    /// The slots of an account, in order.
    pub(crate) fn each_slot_of(
        &self,
        address: Address,
    ) -> Result<impl Iterator<Item = Result<(U256, U256), ChainError>>, ChainError> {
        let (from, to) = (slot_key(address, U256::ZERO), slot_key(address, U256::MAX));
        let slots = self.storage.range::<&[u8; 52]>(&from..=&to)?;
        Ok(slots.map(|entry| {
            let (key, value) = entry?;
            Ok((U256::from_be_slice(&key.value()[20..]), decode_word(value.value())?))
        }))
    }

    /// How many slots are stored.
    pub(crate) fn slots_count(&self) -> Result<u64, ChainError> {
        Ok(self.storage.len()?)
    }

    /// Every slot, in order of address and slot.
    #[cfg(test)]
    pub(crate) fn slots(&self) -> Result<Vec<(Address, U256, U256)>, ChainError> {
        let mut slots = Vec::new();
        for entry in self.storage.iter()? {
            let (key, value) = entry?;
            let (address, slot) = key.value().split_at(20);
            slots.push((Address::from_slice(address), U256::from_be_slice(slot), decode_word(value.value())?));
        }
        Ok(slots)
    }

    fn meta_number(&self, key: &'static str) -> Result<u64, ChainError> {
        let stored = self.meta.get(key)?.ok_or_else(|| ChainError::decode(key, "it is missing"))?;
        Ok(u64::from_be_bytes(array(stored.value(), key)?))
    }
}
