//! The chain on disk: one redb file, one durable transaction per block.
//!
//! The file appears under its name only when block 0 is in it, so a file without a chain is a damaged one. redb commits
//! copy-on-write: after a crash the file shows the last finalised block entirely, and nothing of a later one. Every page
//! read from disk is compared with its checksum ([`pages`]), so a damaged file stops the node instead of lying. After a
//! write that failed nothing is written any more until the chain is opened again.

mod behind;
mod draft;
mod log_keys;
mod migrate;
mod nodes;
mod pages;
mod scratch;
mod snapshot;
mod tables;
#[cfg(test)]
mod tests;
mod transfer;
mod verify;

pub(crate) use snapshot::Snapshot;
pub use transfer::{Exported, export_snapshot, import_snapshot};
pub use verify::{Verified, verify_directory};

use crate::{BlockRecord, ChainError, genesis::Genesis, state::Overlay};
use alloy_genesis::ChainConfig;
use alloy_primitives::B256;
use behind::{Behind, Kind, Rows};
use draft::Draft;
use nodes::NodeLog;
use pages::{Pages, SharedPages};
use parking_lot::Mutex;
use redb::{Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, StorageError, WriteTransaction};
use std::{
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};
use tables::*;

/// Name of the file in the directory of a chain.
pub const FILE: &str = "chain.redb";
/// Newest format this program reads and writes; [`migrate`] tells them apart.
const FORMAT: u32 = 2;
/// Blocks of history pruned per finalised block, so that a shortened history is caught up with gradually.
const PRUNE_MAX: u64 = 16;
/// Blocks of history of a new chain, unless it is told otherwise.
const HISTORY_BLOCKS: u64 = 10_000;
/// Blocks of history from which on rows are written behind: what is pruned must not wait any more.
const BEHIND_HISTORY_MIN: u64 = 2 * behind::BUCKETS;
/// As a number of blocks of history: all of them.
pub(crate) const ARCHIVE: u64 = u64::MAX;

/// Blocks of history to keep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct History {
    /// As somebody asks for; `None`: as before.
    pub asked: Option<u64>,
    /// Never less than this.
    pub min: u64,
}

/// The open database.
pub(crate) struct Store {
    path: PathBuf,
    database: Database,
    history_blocks: u64,
    /// Rows that are not in their tables yet; locked while a block is written.
    behind: Mutex<Arc<Behind>>,
    /// Why the last write failed, if it did.
    failure: OnceLock<String>,
}

impl Store {
    /// Blocks below the head whose state is kept; `None`: all.
    pub(crate) fn history_blocks(&self) -> Option<u64> {
        (self.history_blocks != ARCHIVE).then_some(self.history_blocks)
    }

    /// Opens the chain in `dir`, or creates it from `genesis`. `history` says how much history is kept.
    pub(crate) fn open(
        dir: &Path,
        genesis: &Genesis,
        cache_bytes: usize,
        history: History,
    ) -> Result<Self, ChainError> {
        fs::create_dir_all(dir).map_err(|source| ChainError::Io { path: dir.into(), source })?;
        let path = dir.join(FILE);
        if !path.try_exists().map_err(|source| ChainError::Io { path: path.clone(), source })? {
            create(dir, genesis, cache_bytes)?;
        }
        let mut store = Self::open_existing(dir, cache_bytes)?;
        store.check(dir, genesis)?;
        store.set_history(dir, history)?;
        Ok(store)
    }

    /// Opens the chain in `dir`, whatever its genesis; migrates an older format.
    pub(crate) fn open_existing(dir: &Path, cache_bytes: usize) -> Result<Self, ChainError> {
        let path = dir.join(FILE);
        migrate::to_newest(dir, &path, cache_bytes)?;
        let database = open_file(dir, &path, cache_bytes)?;
        let behind = Mutex::default();
        let store = Self { path, database, history_blocks: HISTORY_BLOCKS, behind, failure: OnceLock::new() };
        let found = u32::from_be_bytes(array(&store.meta(META_FORMAT)?, META_FORMAT)?);
        if found > FORMAT {
            return Err(ChainError::Format { path: store.path, found, supported: FORMAT });
        }
        store.settle()?;
        Ok(store)
    }

    /// Opens the imported Ethereum chain in `dir`, with its configuration and the hash of its genesis. `None` when there
    /// is no chain, or one of Kumo. `history` says how much history is kept.
    pub(crate) fn open_imported(
        dir: &Path,
        cache_bytes: usize,
        history: History,
    ) -> Result<Option<(Self, ChainConfig, B256)>, ChainError> {
        let path = dir.join(FILE);
        if !path.try_exists().map_err(|source| ChainError::Io { path: path.clone(), source })? {
            return Ok(None);
        }
        let mut store = Self::open_existing(dir, cache_bytes)?;
        let Some(config) = store.meta_if_any(META_ETHEREUM)? else { return Ok(None) };
        let config = serde_json::from_slice(&config).map_err(|error| store.corrupt(error))?;
        let genesis = array(&store.meta(META_GENESIS)?, META_GENESIS)?.into();
        store.set_history(dir, history)?;
        Ok(Some((store, config, genesis)))
    }

    /// All tables as they are now.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, ChainError> {
        let behind = self.behind.lock();
        Snapshot::open(self.database.begin_read()?, behind.clone())
    }

    /// Moves the rows that waited when the chain was last closed to their tables.
    fn settle(&self) -> Result<(), ChainError> {
        let transaction = begin(&self.database)?;
        Behind::settle(&transaction).map_err(|error| match error {
            ChainError::Decode { .. } => self.corrupt(error),
            other => other,
        })?;
        Ok(transaction.commit()?)
    }

    /// Writes a block and its effect on top of the last one; durable when this returns.
    ///
    /// When it fails, nothing of the block is kept and every later call fails, too: memory must not run ahead of a disk
    /// that is full or broken.
    pub(crate) fn append(&self, record: &BlockRecord, overlay: &Overlay) -> Result<(), ChainError> {
        let stopped = |reason: &String| ChainError::WriteFailed { path: self.path.clone(), reason: reason.clone() };
        if let Some(reason) = self.failure.get() {
            return Err(stopped(reason));
        }
        self.write(record, overlay).map_err(|error| {
            tracing::error!(file = %self.path.display(), %error, block = record.number(), "cannot write a block");
            stopped(self.failure.get_or_init(|| format!("block {}: {error}", record.number())))
        })
    }

    fn write(&self, record: &BlockRecord, overlay: &Overlay) -> Result<(), ChainError> {
        let mut behind = self.behind.lock();
        let transaction = begin(&self.database)?;
        let mut rows = Rows::new(record.number());
        write_state(&transaction, overlay, &mut rows)?;
        write_history(&transaction, overlay, &mut rows)?;
        write_block(&transaction, record, &mut rows)?;
        let nodes_from = nodes::table_for(&transaction, record.number(), rows.count(Kind::Node))?;
        let next = behind.append(&transaction, rows.finish(nodes_from), self.history_blocks >= BEHIND_HISTORY_MIN)?;
        if self.history_blocks != ARCHIVE {
            prune(&transaction, record.number().saturating_sub(self.history_blocks))?;
        }
        transaction.commit()?;
        *behind = Arc::new(next);
        Ok(())
    }

    #[cfg(test)]
    fn database(&self) -> &Database {
        &self.database
    }

    /// The error for a file that opens but does not hold what it should.
    pub(crate) fn corrupt(&self, reason: impl ToString) -> ChainError {
        ChainError::Corrupt { path: self.path.clone(), reason: reason.to_string() }
    }

    fn meta(&self, key: &str) -> Result<Vec<u8>, ChainError> {
        self.meta_if_any(key)?.ok_or_else(|| self.corrupt(format!("{key} is missing")))
    }

    fn meta_if_any(&self, key: &str) -> Result<Option<Vec<u8>>, ChainError> {
        let transaction = self.database.begin_read()?;
        let meta = transaction.open_table(META).map_err(|error| self.corrupt(error))?;
        let value = meta.get(key).map_err(|error| self.corrupt(error))?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    fn check(&self, dir: &Path, genesis: &Genesis) -> Result<(), ChainError> {
        let (stored, expected) =
            (u64::from_be_bytes(array(&self.meta(META_CHAIN_ID)?, META_CHAIN_ID)?), genesis.rules.chain_id);
        if stored != expected {
            return Err(ChainError::OtherChainId { dir: dir.into(), stored, expected });
        }
        let (stored, expected) = (array(&self.meta(META_GENESIS)?, META_GENESIS)?.into(), genesis.record.hash);
        if stored != expected {
            return Err(ChainError::OtherGenesis { dir: dir.into(), stored, expected });
        }
        Ok(())
    }

    /// Keeps as much history as asked for, else as much as the directory keeps already; never less than is needed.
    fn set_history(&mut self, dir: &Path, History { asked, min }: History) -> Result<(), ChainError> {
        let stored = u64::from_be_bytes(array(&self.meta(META_HISTORY)?, META_HISTORY)?);
        self.history_blocks = asked.unwrap_or(stored).max(min);
        if self.history_blocks == stored {
            return Ok(());
        }
        if self.history_blocks == ARCHIVE {
            let oldest = self.snapshot()?.history_from()?;
            if oldest > 0 {
                return Err(ChainError::NoArchive { dir: dir.into(), oldest });
            }
        }
        let transaction = begin(&self.database)?;
        write_meta(&transaction, META_HISTORY, &self.history_blocks.to_be_bytes())?;
        transaction.commit()?;
        Ok(())
    }
}

/// Makes a file with block 0.
fn create(dir: &Path, genesis: &Genesis, cache_bytes: usize) -> Result<(), ChainError> {
    let draft = Draft::begin(dir, cache_bytes)?;
    let transaction = begin(draft.database())?;
    create_tables(&transaction)?;
    write_identity(&transaction, genesis.rules.chain_id, genesis.record.hash)?;
    write_history_from(&transaction, 0)?;
    write_meta(&transaction, META_HISTORY, &HISTORY_BLOCKS.to_be_bytes())?;
    if let Some(ethereum) = &genesis.rules.ethereum {
        let config = serde_json::to_vec(ethereum.config()).map_err(|error| ChainError::Execution(error.to_string()))?;
        write_meta(&transaction, META_ETHEREUM, &config)?;
    }
    // Before block 0 there is no history, and it has no transactions.
    let mut rows = Rows::new(0);
    write_state(&transaction, &genesis.overlay, &mut rows)?;
    write_block(&transaction, &genesis.record, &mut rows)?;
    transaction.commit()?;
    draft.finish()
}

/// Format, chain id and genesis hash.
fn write_identity(transaction: &WriteTransaction, chain_id: u64, genesis: B256) -> Result<(), ChainError> {
    write_meta(transaction, META_FORMAT, &FORMAT.to_be_bytes())?;
    write_meta(transaction, META_CHAIN_ID, &chain_id.to_be_bytes())?;
    write_meta(transaction, META_GENESIS, genesis.as_slice())
}

/// A chain whose states, proofs and blocks begin at `number` (and block 0).
fn write_history_from(transaction: &WriteTransaction, number: u64) -> Result<(), ChainError> {
    [META_HISTORY_FROM, META_PROOFS_FROM, META_BLOCKS_FROM]
        .into_iter()
        .try_for_each(|key| write_meta(transaction, key, &number.to_be_bytes()))
}

/// Opens the file, and repairs it after a crash.
fn open_file(dir: &Path, path: &Path, cache_bytes: usize) -> Result<Database, ChainError> {
    let length = fs::metadata(path).map_err(|source| ChainError::Io { path: path.into(), source })?.len();
    if length == 0 {
        return Err(ChainError::Corrupt { path: path.into(), reason: "it is empty".into() });
    }
    let failed = |error: io::Error| open_failed(dir, path, StorageError::Io(error).into());
    let pages = SharedPages::new(Pages::open(path).map_err(failed)?);
    if redb::StorageBackend::len(&pages).map_err(failed)? == 0 {
        return Err(ChainError::Corrupt { path: path.into(), reason: "it holds no page".into() });
    }
    let backend = pages.clone();
    // A damaged file may break an assertion of the database; for the caller it is damaged all the same.
    let opened =
        catch_unwind(AssertUnwindSafe(|| Database::builder().set_cache_size(cache_bytes).create_with_backend(backend)));
    let database = match opened {
        Ok(opened) => opened.map_err(|error| open_failed(dir, path, error))?,
        Err(_) => return Err(ChainError::Corrupt { path: path.into(), reason: "its structure is broken".into() }),
    };
    pages.distrust();
    Ok(database)
}

fn open_failed(dir: &Path, path: &Path, error: DatabaseError) -> ChainError {
    let damaged = [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof];
    match error {
        DatabaseError::DatabaseAlreadyOpen => ChainError::Locked { dir: dir.into() },
        DatabaseError::Storage(StorageError::Io(source)) if source.kind() == io::ErrorKind::WouldBlock => {
            ChainError::Locked { dir: dir.into() }
        }
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

/// New flat values and trie nodes, in key order, which keeps the writes of a B-tree close together. The nodes that are
/// replaced go to `rows`.
fn write_state(transaction: &WriteTransaction, overlay: &Overlay, rows: &mut Rows) -> Result<(), ChainError> {
    let mut log = NodeLog::new(rows);
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
        let old = match node {
            Some(node) => nodes.insert(account_node_key(path).as_slice(), node.as_slice())?,
            None => nodes.remove(account_node_key(path).as_slice())?,
        };
        log.replaced(None, path, old.as_ref().map(|old| old.value()), node.as_deref());
    }
    let mut nodes = transaction.open_table(STORAGE_NODES)?;
    for (owner, changed) in sorted(&overlay.storage_nodes) {
        for (path, node) in sorted(changed) {
            let old = match node {
                Some(node) => nodes.insert(storage_node_key(*owner, path).as_slice(), node.as_slice())?,
                None => nodes.remove(storage_node_key(*owner, path).as_slice())?,
            };
            log.replaced(Some(*owner), path, old.as_ref().map(|old| old.value()), node.as_deref());
        }
    }
    Ok(())
}

/// Old flat values, by key and then height, and the keys by height for pruning.
fn write_history(transaction: &WriteTransaction, overlay: &Overlay, rows: &mut Rows) -> Result<(), ChainError> {
    let mut changed = ChangedKeys::default();
    for (address, change) in &overlay.accounts {
        let old = change.old.as_ref().map(encode_account).unwrap_or_default();
        rows.push(Kind::Account, &account_history_key(*address, overlay.number), &[&old]);
        changed.accounts.push(*address);
    }
    for ((address, slot), change) in &overlay.storage {
        let old = change.old.to_be_bytes_trimmed_vec();
        rows.push(Kind::Slot, &slot_history_key(*address, *slot, overlay.number), &[&old]);
        changed.slots.push((*address, *slot));
    }
    changed.accounts.sort_unstable();
    changed.slots.sort_unstable();
    transaction.open_table(CHANGED)?.insert(overlay.number, changed.encode().as_slice())?;
    Ok(())
}

fn write_block(transaction: &WriteTransaction, record: &BlockRecord, rows: &mut Rows) -> Result<(), ChainError> {
    let number = record.number();
    transaction.open_table(HEADERS)?.insert(number, encode_header(record).as_slice())?;
    transaction.open_table(BODIES)?.insert(number, encode_body(record).as_slice())?;
    transaction.open_table(RECEIPTS)?.insert(number, encode_receipts(&record.receipts).as_slice())?;
    transaction.open_table(NUMBERS)?.insert(&record.hash.0, number)?;
    for (index, item) in (0..).zip(&record.transactions) {
        rows.push(Kind::Transaction, &item.tx_hash().0, &[&behind::encode_position(number, index)]);
    }
    log_keys::write(transaction, record)?;
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
    nodes::prune(transaction, until)
}

/// Entries in key order.
fn sorted<'a, K: Ord + 'a, V: 'a>(map: impl IntoIterator<Item = (&'a K, &'a V)>) -> Vec<(&'a K, &'a V)> {
    let mut entries: Vec<_> = map.into_iter().collect();
    entries.sort_unstable_by(|a, b| a.0.cmp(b.0));
    entries
}
