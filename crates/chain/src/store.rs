//! The chain on disk: one redb file, one durable transaction per block.
//!
//! The file appears under its name only when block 0 is in it, so a file without a chain is a damaged one. redb commits
//! copy-on-write: after a crash the file shows the last finalised block entirely, and nothing of a later one.

mod snapshot;
mod tables;
#[cfg(test)]
mod tests;

pub(crate) use snapshot::Snapshot;

use crate::{BlockRecord, ChainError, genesis::Genesis, state::Overlay};
use alloy_genesis::ChainConfig;
use alloy_primitives::B256;
use redb::{Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, StorageError, WriteTransaction};
use std::{
    fs::{self, File},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};
use tables::*;

/// Name of the file in the state directory.
const FILE: &str = "chain.redb";
/// Newest format this program reads and writes.
const FORMAT: u32 = 1;
/// Blocks of history pruned per finalised block, so that a shortened history is caught up with gradually.
const PRUNE_MAX: u64 = 16;

/// The open database.
pub(crate) struct Store {
    path: PathBuf,
    database: Database,
}

impl Store {
    /// Opens the chain in `dir`, or creates it from `genesis`.
    pub(crate) fn open(dir: &Path, genesis: &Genesis, cache_bytes: usize) -> Result<Self, ChainError> {
        fs::create_dir_all(dir).map_err(|source| ChainError::Io { path: dir.into(), source })?;
        let path = dir.join(FILE);
        if !path.try_exists().map_err(|source| ChainError::Io { path: path.clone(), source })? {
            create(dir, &path, genesis, cache_bytes)?;
        }
        let database = open_file(dir, &path, cache_bytes)?;
        let store = Self { path, database };
        store.check(dir, genesis)?;
        Ok(store)
    }

    /// Opens the imported Ethereum chain in `dir`, with its configuration and the hash of its genesis. `None` when there
    /// is no chain, or one of Kumo.
    pub(crate) fn open_imported(
        dir: &Path,
        cache_bytes: usize,
    ) -> Result<Option<(Self, ChainConfig, B256)>, ChainError> {
        let path = dir.join(FILE);
        if !path.try_exists().map_err(|source| ChainError::Io { path: path.clone(), source })? {
            return Ok(None);
        }
        let store = Self { database: open_file(dir, &path, cache_bytes)?, path };
        store.check_format()?;
        let Some(config) = store.meta(META_ETHEREUM)? else { return Ok(None) };
        let config = serde_json::from_slice(&config).map_err(|error| store.corrupt(error))?;
        let genesis = store.meta(META_GENESIS)?.ok_or_else(|| store.corrupt("genesis is missing"))?;
        let genesis = array(&genesis, META_GENESIS)?.into();
        Ok(Some((store, config, genesis)))
    }

    /// All tables as they are now.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, ChainError> {
        Snapshot::open(&self.database.begin_read()?)
    }

    /// Writes a block and its effect on top of the last one; durable when this returns.
    pub(crate) fn append(
        &self,
        record: &BlockRecord,
        overlay: &Overlay,
        history_blocks: u64,
    ) -> Result<(), ChainError> {
        let transaction = begin(&self.database)?;
        write_state(&transaction, overlay)?;
        write_history(&transaction, overlay)?;
        write_block(&transaction, record)?;
        prune(&transaction, record.number().saturating_sub(history_blocks))?;
        transaction.commit()?;
        Ok(())
    }

    /// The error for a file that opens but does not hold what it should.
    pub(crate) fn corrupt(&self, reason: impl ToString) -> ChainError {
        ChainError::Corrupt { path: self.path.clone(), reason: reason.to_string() }
    }

    fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, ChainError> {
        let transaction = self.database.begin_read()?;
        let meta = transaction.open_table(META).map_err(|error| self.corrupt(error))?;
        let value = meta.get(key).map_err(|error| self.corrupt(error))?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    fn check_format(&self) -> Result<(), ChainError> {
        let stored = self.meta(META_FORMAT)?.ok_or_else(|| self.corrupt("format is missing"))?;
        let found = u32::from_be_bytes(array(&stored, META_FORMAT)?);
        match found > FORMAT {
            true => Err(ChainError::Format { path: self.path.clone(), found, supported: FORMAT }),
            false => Ok(()),
        }
    }

    fn check(&self, dir: &Path, genesis: &Genesis) -> Result<(), ChainError> {
        self.check_format()?;
        let read = |key: &str| self.meta(key)?.ok_or_else(|| self.corrupt(format!("{key} is missing")));
        let (stored, expected) =
            (u64::from_be_bytes(array(&read(META_CHAIN_ID)?, META_CHAIN_ID)?), genesis.rules.chain_id);
        if stored != expected {
            return Err(ChainError::OtherChainId { dir: dir.into(), stored, expected });
        }
        let (stored, expected) = (array(&read(META_GENESIS)?, META_GENESIS)?.into(), genesis.record.hash);
        if stored != expected {
            return Err(ChainError::OtherGenesis { dir: dir.into(), stored, expected });
        }
        Ok(())
    }
}

/// Makes a file with block 0 under another name, then gives it its name.
fn create(dir: &Path, path: &Path, genesis: &Genesis, cache_bytes: usize) -> Result<(), ChainError> {
    let draft = dir.join(format!("{FILE}.new"));
    match fs::remove_file(&draft) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(ChainError::Io { path: draft, source });
        }
        _ => {}
    }
    let database = Database::builder()
        .set_cache_size(cache_bytes)
        .create(&draft)
        .map_err(|error| open_failed(dir, &draft, error))?;
    let transaction = begin(&database)?;
    create_tables(&transaction)?;
    write_meta(&transaction, META_FORMAT, &FORMAT.to_be_bytes())?;
    write_meta(&transaction, META_CHAIN_ID, &genesis.rules.chain_id.to_be_bytes())?;
    write_meta(&transaction, META_GENESIS, genesis.record.hash.as_slice())?;
    write_meta(&transaction, META_HISTORY_FROM, &0u64.to_be_bytes())?;
    if let Some(ethereum) = &genesis.rules.ethereum {
        let config = serde_json::to_vec(ethereum.config()).map_err(|error| ChainError::Execution(error.to_string()))?;
        write_meta(&transaction, META_ETHEREUM, &config)?;
    }
    write_state(&transaction, &genesis.overlay)?;
    write_block(&transaction, &genesis.record)?;
    transaction.commit()?;
    drop(database);
    let renamed = fs::rename(&draft, path).and_then(|()| File::open(dir)?.sync_all());
    renamed.map_err(|source| ChainError::Io { path: path.into(), source })
}

fn open_file(dir: &Path, path: &Path, cache_bytes: usize) -> Result<Database, ChainError> {
    let length = fs::metadata(path).map_err(|source| ChainError::Io { path: path.into(), source })?.len();
    if length == 0 {
        return Err(ChainError::Corrupt { path: path.into(), reason: "it is empty".into() });
    }
    // A damaged file may break an assertion of the database; for the caller it is damaged all the same.
    let opened = catch_unwind(AssertUnwindSafe(|| Database::builder().set_cache_size(cache_bytes).open(path)));
    match opened {
        Ok(opened) => opened.map_err(|error| open_failed(dir, path, error)),
        Err(_) => Err(ChainError::Corrupt { path: path.into(), reason: "its structure is broken".into() }),
    }
}

fn open_failed(dir: &Path, path: &Path, error: DatabaseError) -> ChainError {
    let damaged = [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof];
    match error {
        DatabaseError::DatabaseAlreadyOpen => ChainError::Locked { dir: dir.into() },
        DatabaseError::Storage(StorageError::Io(source)) if !damaged.contains(&source.kind()) => {
            ChainError::Io { path: path.into(), source }
        }
        error => ChainError::Corrupt { path: path.into(), reason: error.to_string() },
    }
}

fn begin(database: &Database) -> Result<WriteTransaction, ChainError> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate).map_err(|error| ChainError::Execution(error.to_string()))?;
    Ok(transaction)
}

fn write_meta(transaction: &WriteTransaction, key: &str, value: &[u8]) -> Result<(), ChainError> {
    transaction.open_table(META)?.insert(key, value)?;
    Ok(())
}

/// New flat values and trie nodes, in key order, which keeps the writes of a B-tree close together.
fn write_state(transaction: &WriteTransaction, overlay: &Overlay) -> Result<(), ChainError> {
    let mut accounts = transaction.open_table(ACCOUNTS)?;
    for (address, change) in sorted(&overlay.accounts) {
        match change.new {
            Some(account) => accounts.insert(&address.0.0, encode_account(&account).as_slice())?,
            None => accounts.remove(&address.0.0)?,
        };
    }
    let mut storage = transaction.open_table(STORAGE)?;
    for ((address, slot), change) in sorted(&overlay.storage) {
        let key = slot_key(*address, *slot);
        match change.new.is_zero() {
            true => storage.remove(&key)?,
            false => storage.insert(&key, change.new.to_be_bytes_trimmed_vec().as_slice())?,
        };
    }
    let mut codes = transaction.open_table(CODES)?;
    for (hash, code) in sorted(&overlay.codes) {
        codes.insert(&hash.0, code.original_byte_slice())?;
    }
    let mut nodes = transaction.open_table(ACCOUNT_NODES)?;
    for (path, node) in sorted(&overlay.account_nodes) {
        match node {
            Some(node) => nodes.insert(account_node_key(path).as_slice(), node.as_slice())?,
            None => nodes.remove(account_node_key(path).as_slice())?,
        };
    }
    let mut nodes = transaction.open_table(STORAGE_NODES)?;
    for (owner, changed) in sorted(&overlay.storage_nodes) {
        for (path, node) in sorted(changed) {
            match node {
                Some(node) => nodes.insert(storage_node_key(*owner, path).as_slice(), node.as_slice())?,
                None => nodes.remove(storage_node_key(*owner, path).as_slice())?,
            };
        }
    }
    Ok(())
}

/// Old flat values, by key and then height, and the keys by height for pruning.
fn write_history(transaction: &WriteTransaction, overlay: &Overlay) -> Result<(), ChainError> {
    let mut changed = ChangedKeys::default();
    let mut accounts = transaction.open_table(ACCOUNT_HISTORY)?;
    for (address, change) in sorted(&overlay.accounts) {
        let old = change.old.as_ref().map(encode_account).unwrap_or_default();
        accounts.insert(&account_history_key(*address, overlay.number), old.as_slice())?;
        changed.accounts.push(*address);
    }
    let mut storage = transaction.open_table(STORAGE_HISTORY)?;
    for ((address, slot), change) in sorted(&overlay.storage) {
        let old = change.old.to_be_bytes_trimmed_vec();
        storage.insert(&slot_history_key(*address, *slot, overlay.number), old.as_slice())?;
        changed.slots.push((*address, *slot));
    }
    transaction.open_table(CHANGED)?.insert(overlay.number, changed.encode().as_slice())?;
    Ok(())
}

fn write_block(transaction: &WriteTransaction, record: &BlockRecord) -> Result<(), ChainError> {
    let number = record.number();
    transaction.open_table(HEADERS)?.insert(number, encode_header(record).as_slice())?;
    transaction.open_table(BODIES)?.insert(number, encode_body(record).as_slice())?;
    transaction.open_table(RECEIPTS)?.insert(number, encode_receipts(&record.receipts).as_slice())?;
    transaction.open_table(NUMBERS)?.insert(&record.hash.0, number)?;
    let mut transactions = transaction.open_table(TRANSACTIONS)?;
    for (index, item) in (0u32..).zip(&record.transactions) {
        transactions.insert(&item.tx_hash().0, (number, index))?;
    }
    write_meta(transaction, META_HEAD, &number.to_be_bytes())
}

/// Removes the history that is needed only for states below `oldest`.
fn prune(transaction: &WriteTransaction, oldest: u64) -> Result<(), ChainError> {
    let mut meta = transaction.open_table(META)?;
    let from = meta.get(META_HISTORY_FROM)?.map(|value| array(value.value(), META_HISTORY_FROM)).transpose()?;
    let from = u64::from_be_bytes(from.unwrap_or_default());
    let until = oldest.min(from + PRUNE_MAX);
    if until <= from {
        return Ok(());
    }
    let mut changed = transaction.open_table(CHANGED)?;
    let mut accounts = transaction.open_table(ACCOUNT_HISTORY)?;
    let mut storage = transaction.open_table(STORAGE_HISTORY)?;
    for number in from + 1..=until {
        let Some(keys) = changed.remove(number)?.map(|keys| ChangedKeys::decode(keys.value())).transpose()? else {
            continue;
        };
        for address in keys.accounts {
            accounts.remove(&account_history_key(address, number))?;
        }
        for (address, slot) in keys.slots {
            storage.remove(&slot_history_key(address, slot, number))?;
        }
    }
    meta.insert(META_HISTORY_FROM, until.to_be_bytes().as_slice())?;
    Ok(())
}

/// Entries in key order.
fn sorted<'a, K: Ord + 'a, V: 'a>(map: impl IntoIterator<Item = (&'a K, &'a V)>) -> Vec<(&'a K, &'a V)> {
    let mut entries: Vec<_> = map.into_iter().collect();
    entries.sort_unstable_by(|a, b| a.0.cmp(b.0));
    entries
}
