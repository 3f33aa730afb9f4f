//! A chain as one file, for another machine to go on from its head: state, newest blocks, and block 0.
//!
//! ```text
//! "kumo snapshot 1\n" │ row … │ end row │ Keccak-256 of everything before
//! row: table (1 byte) │ length of key (1 byte) │ length of value (4 bytes, big endian) │ key │ value
//! ```
//!
//! Tables come in the order of [`Part`], rows in the order of their keys, both as they stand in the database. The end row
//! has the number of rows as its key. The checksum finds accidents; what is believed is the state root in the head's
//! header, against which the imported state is hashed from scratch. Nothing of the trie is in the file.

use super::{
    Draft, FILE, META_HISTORY, Rows, Snapshot, Store, begin, create_tables, scratch, tables::*, verify,
    write_history_from, write_identity, write_meta,
};
use crate::{
    ChainError,
    trie::{NodeSource, Trie},
};
use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Keccak256, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount};
use redb::{ReadableDatabase, ReadableTable, WriteTransaction};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

/// First bytes of the file.
const MAGIC: &[u8; 16] = b"kumo snapshot 1\n";
/// Newest blocks in the file: as many as the EVM can ask the hash of.
const BLOCKS: u64 = 256;
/// Longest value of a row, in bytes: the receipts of a block of 10 MiB fit.
const VALUE_BYTES_MAX: usize = 64 << 20;
/// Rows, trie keys or trie nodes written in one transaction, which bounds memory.
const BATCH: usize = 20_000;

/// What tells chains apart, in the order of the file: the fork schedule is there for an imported Ethereum chain only.
const IDENTITY: [&str; 3] = [META_CHAIN_ID, META_ETHEREUM, META_GENESIS];

/// What a row is of, in the order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Part {
    /// What stands in [`IDENTITY`].
    Identity = 1,
    Headers,
    Bodies,
    Receipts,
    Accounts,
    Storage,
    Codes,
    End,
}

/// What a snapshot file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Height of its head.
    pub head: u64,
    /// Hash of its head.
    pub hash: B256,
    /// State root of its head.
    pub state_root: B256,
    /// Rows in the file.
    pub rows: u64,
    /// Length of the file in bytes.
    pub bytes: u64,
}

/// Writes the chain in `dir`, which no process may use meanwhile, to the new file `out`.
pub fn export_snapshot(dir: &Path, out: &Path, cache_bytes: usize) -> Result<Exported, ChainError> {
    let path = dir.join(FILE);
    if !path.exists() {
        return Err(ChainError::NoChain { path });
    }
    let store = Store::open_existing(dir, cache_bytes)?;
    let draft = PathBuf::from(format!("{}.part", out.display()));
    let failed = |source| ChainError::Io { path: out.into(), source };
    if out.try_exists().map_err(failed)? {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let mut writer = RowWriter::create(&draft)?;
    let head = write_rows(&store, &mut writer)?;
    let (rows, bytes) = writer.finish()?;
    fs::rename(&draft, out).map_err(failed)?;
    let (hash, header) = head;
    Ok(Exported { head: header.number, hash, state_root: header.state_root, rows, bytes })
}

fn write_rows(store: &Store, writer: &mut RowWriter) -> Result<(B256, Header), ChainError> {
    let transaction = store.database.begin_read()?;
    for key in IDENTITY {
        if let Some(value) = store.meta_if_any(key)? {
            writer.row(Part::Identity, key.as_bytes(), &value)?;
        }
    }
    let snapshot = store.snapshot()?;
    let head = snapshot.head_number()?;
    let oldest = first_block(head).max(snapshot.blocks_from()?);
    for (part, table) in [(Part::Headers, HEADERS), (Part::Bodies, BODIES), (Part::Receipts, RECEIPTS)] {
        let table = transaction.open_table(table)?;
        for number in std::iter::once(0).chain(oldest.max(1)..=head) {
            let value = table.get(number)?.ok_or_else(|| ChainError::decode("block", "a block is incomplete"))?;
            writer.row(part, &number.to_be_bytes(), value.value())?;
        }
    }
    for row in transaction.open_table(ACCOUNTS)?.iter()? {
        let (key, value) = row?;
        writer.row(Part::Accounts, key.value(), value.value())?;
    }
    for row in transaction.open_table(STORAGE)?.iter()? {
        let (key, value) = row?;
        writer.row(Part::Storage, key.value(), value.value())?;
    }
    for row in transaction.open_table(CODES)?.iter()? {
        let (key, value) = row?;
        writer.row(Part::Codes, key.value(), value.value())?;
    }
    snapshot.header(head)?.ok_or_else(|| ChainError::decode("header", "the head has none"))
}

/// Oldest block but 0 in a snapshot of this head.
fn first_block(head: u64) -> u64 {
    (head + 1).saturating_sub(BLOCKS)
}

/// Makes the chain in `dir` from a snapshot file; there must be none yet.
///
/// Nothing in the file is believed: lengths are bounded, the tries are built anew, and the state root, the headers and
/// the contents of the blocks must agree. Whether the head is the one of the network is for the caller to compare. What
/// is refused or interrupted leaves no chain.
pub fn import_snapshot(file: &Path, dir: &Path, cache_bytes: usize) -> Result<Exported, ChainError> {
    fs::create_dir_all(dir).map_err(|source| ChainError::Io { path: dir.into(), source })?;
    let path = dir.join(FILE);
    if path.exists() {
        return Err(ChainError::Io { path, source: io::ErrorKind::AlreadyExists.into() });
    }
    let mut rows = RowReader::open(file)?;
    let draft = Draft::begin(dir, cache_bytes)?;
    match build(&mut rows, &draft) {
        Ok(exported) => draft.finish().map(|()| exported),
        Err(error) => {
            draft.discard();
            Err(match error {
                ChainError::Decode { what, reason } => rows.refused(format!("{what}: {reason}")),
                other => other,
            })
        }
    }
}

fn build(rows: &mut RowReader, draft: &Draft) -> Result<Exported, ChainError> {
    let transaction = begin(draft.database())?;
    create_tables(&transaction)?;
    transaction.commit()?;
    let mut identity = BTreeMap::new();
    let mut numbers = Vec::new();
    while let Some(()) = write_batch(rows, draft, &mut identity, &mut numbers)? {}
    let (Some(chain_id), Some(genesis)) = (identity.get(META_CHAIN_ID), identity.get(META_GENESIS)) else {
        return Err(rows.refused("it does not say of which chain it is"));
    };
    let chain_id = u64::from_be_bytes(array(chain_id, META_CHAIN_ID)?);
    let genesis: B256 = array::<32>(genesis, META_GENESIS)?.into();
    let head = *numbers.last().ok_or_else(|| rows.refused("it has no block"))?;
    // Block 0, then the newest ones without a gap.
    let oldest = numbers.get(1).copied().unwrap_or(0);
    if numbers[0] != 0 || !numbers[1..].iter().copied().eq(oldest..oldest + numbers.len() as u64 - 1) {
        return Err(rows.refused("its blocks have gaps"));
    }
    if oldest > first_block(head).max(1) {
        return Err(rows.refused(format!("its oldest block is {oldest}; {BLOCKS} are needed")));
    }
    let transaction = begin(draft.database())?;
    write_identity(&transaction, chain_id, genesis)?;
    write_history_from(&transaction, head)?;
    if let Some(schedule) = identity.get(META_ETHEREUM) {
        write_meta(&transaction, META_ETHEREUM, schedule)?;
    }
    write_meta(&transaction, META_BLOCKS_FROM, &oldest.to_be_bytes())?;
    write_meta(&transaction, META_HISTORY, &super::HISTORY_BLOCKS.to_be_bytes())?;
    write_meta(&transaction, META_HEAD, &head.to_be_bytes())?;
    index_blocks(&transaction, &numbers)?;
    transaction.commit()?;

    let snapshot = snapshot_of(draft)?;
    let (_, head) = verify::check_blocks(&snapshot, genesis)?;
    let state = verify::check_state(&snapshot, head.header.state_root)?;
    drop(snapshot);
    let built = build_tries(draft)?;
    if built != state.root {
        return Err(rows.refused(format!("its trie has root {built}, its head {}", state.root)));
    }
    Ok(Exported { head: head.number(), hash: head.hash, state_root: state.root, rows: rows.count, bytes: rows.bytes })
}

fn snapshot_of(draft: &Draft) -> Result<Snapshot, ChainError> {
    Snapshot::open(draft.database().begin_read()?, Default::default())
}

/// Writes the next rows; `None` after the last one.
fn write_batch(
    rows: &mut RowReader,
    draft: &Draft,
    identity: &mut BTreeMap<&'static str, Vec<u8>>,
    numbers: &mut Vec<u64>,
) -> Result<Option<()>, ChainError> {
    let transaction = begin(draft.database())?;
    let mut ended = None;
    let mut bytes = 0;
    while bytes < BATCH * 100 {
        let Some((part, key, value)) = rows.next()? else {
            ended = Some(());
            break;
        };
        bytes += key.len() + value.len() + 64;
        let key = key.as_slice();
        match part {
            Part::Identity => {
                let known = IDENTITY.into_iter().find(|known| known.as_bytes() == key);
                identity.insert(known.ok_or_else(|| rows.refused("it says more of its chain than is known"))?, value);
            }
            Part::End => return Err(rows.refused("a row stands where none may")),
            Part::Headers | Part::Bodies | Part::Receipts => {
                let number = u64::from_be_bytes(array(key, "height")?);
                let table = match part {
                    Part::Headers => HEADERS,
                    Part::Bodies => BODIES,
                    _ => RECEIPTS,
                };
                if part == Part::Headers {
                    if numbers.len() as u64 > BLOCKS {
                        return Err(rows.refused(format!("it has more than {BLOCKS} blocks")));
                    }
                    numbers.push(number);
                }
                transaction.open_table(table)?.insert(number, value.as_slice())?;
            }
            Part::Accounts => {
                decode_account(&value)?.ok_or_else(|| ChainError::decode("account", "it is empty"))?;
                transaction.open_table(ACCOUNTS)?.insert(&array(key, "address")?, value.as_slice())?;
            }
            Part::Storage => {
                if decode_word(&value)?.is_zero() {
                    return Err(ChainError::decode("storage value", "it is zero"));
                }
                transaction.open_table(STORAGE)?.insert(&array(key, "slot")?, value.as_slice())?;
            }
            Part::Codes => {
                let hash: [u8; 32] = array(key, "code hash")?;
                if keccak256(&value) != hash {
                    return Err(ChainError::decode("code", format!("{} has another hash", B256::from(hash))));
                }
                transaction.open_table(CODES)?.insert(&hash, value.as_slice())?;
            }
        }
    }
    transaction.commit()?;
    Ok(match ended {
        Some(()) => None,
        None => Some(()),
    })
}

/// Hash to height, and transaction to place, of every block.
fn index_blocks(transaction: &WriteTransaction, numbers: &[u64]) -> Result<(), ChainError> {
    let (headers, bodies) = (transaction.open_table(HEADERS)?, transaction.open_table(BODIES)?);
    let (mut by_hash, mut places) = (transaction.open_table(NUMBERS)?, transaction.open_table(TRANSACTIONS)?);
    for number in numbers {
        let header = headers.get(number)?.ok_or_else(|| ChainError::decode("block", "a header is missing"))?;
        by_hash.insert(&decode_hash(header.value())?.0, number)?;
        let body = bodies.get(number)?.ok_or_else(|| ChainError::decode("block", "a body is missing"))?;
        for (index, item) in (0u32..).zip(&decode_body(body.value())?.transactions) {
            places.insert(&item.tx_hash().0, (*number, index))?;
        }
    }
    Ok(())
}

type TrieNodes = Vec<(Nibbles, Option<Vec<u8>>)>;

/// Builds the tries of the flat state in bounded memory; returns the root.
fn build_tries(draft: &Draft) -> Result<B256, ChainError> {
    let snapshot = snapshot_of(draft)?;
    let mut pending: Vec<(B256, TrieNodes)> = Vec::new();
    let mut waiting = 0;
    let mut root = EMPTY_ROOT_HASH;
    let mut accounts = Vec::new();
    for entry in snapshot.accounts()? {
        let (address, account) = entry?;
        if account.storage_root != EMPTY_ROOT_HASH {
            let nodes = build_storage(draft, &snapshot, address)?;
            waiting += nodes.len();
            pending.push((keccak256(address), nodes));
        }
        accounts.push((keccak256(address), account));
        if waiting >= BATCH || accounts.len() >= BATCH {
            root = write_tries(draft, root, &mut accounts, &mut pending)?;
            waiting = 0;
        }
    }
    write_tries(draft, root, &mut accounts, &mut pending)
}

/// Builds one storage trie. What is more than a batch is written here; the rest is returned.
fn build_storage(draft: &Draft, snapshot: &Snapshot, address: Address) -> Result<TrieNodes, ChainError> {
    let owner = keccak256(address);
    let mut root = EMPTY_ROOT_HASH;
    let mut slots = snapshot.each_slot_of(address)?;
    loop {
        let written = snapshot_of(draft)?;
        let mut trie = Trie::open(Stored { snapshot: &written, owner: Some(owner) }, root);
        let mut count = 0;
        for slot in slots.by_ref().take(BATCH) {
            let (slot, value): (U256, U256) = slot?;
            let (key, value) = scratch::hashed_slot(slot, value);
            trie.insert(&key, value)?;
            count += 1;
        }
        let changes = trie.commit();
        if count < BATCH {
            return Ok(changes.nodes);
        }
        root = changes.root;
        write_nodes(draft, &[(owner, changes.nodes)], Vec::new())?;
    }
}

/// Adds accounts to the account trie and writes all nodes that wait.
fn write_tries(
    draft: &Draft,
    root: B256,
    accounts: &mut Vec<(B256, TrieAccount)>,
    storage: &mut Vec<(B256, TrieNodes)>,
) -> Result<B256, ChainError> {
    let snapshot = snapshot_of(draft)?;
    let mut trie = Trie::open(Stored { snapshot: &snapshot, owner: None }, root);
    for (key, account) in accounts.drain(..) {
        trie.insert(&key, alloy_rlp::encode(account))?;
    }
    let changes = trie.commit();
    write_nodes(draft, storage, changes.nodes)?;
    storage.clear();
    Ok(changes.root)
}

fn write_nodes(draft: &Draft, storage: &[(B256, TrieNodes)], accounts: TrieNodes) -> Result<(), ChainError> {
    let transaction = begin(draft.database())?;
    let mut overlay = crate::state::Overlay::default();
    overlay.account_nodes.extend(accounts);
    for (owner, nodes) in storage {
        overlay.storage_nodes.insert(*owner, nodes.iter().cloned().collect());
    }
    super::write_state(&transaction, &overlay, &mut Rows::new(0))?;
    transaction.commit()?;
    Ok(())
}

/// Nodes that are in the draft already.
struct Stored<'a> {
    snapshot: &'a Snapshot,
    owner: Option<B256>,
}

impl NodeSource for Stored<'_> {
    fn node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, ChainError> {
        match self.owner {
            Some(owner) => self.snapshot.storage_node(owner, path),
            None => self.snapshot.account_node(path),
        }
    }
}

/// Writes rows and hashes them.
struct RowWriter {
    path: PathBuf,
    file: BufWriter<File>,
    hasher: Keccak256,
    rows: u64,
    bytes: u64,
}

impl RowWriter {
    fn create(path: &Path) -> Result<Self, ChainError> {
        let file = File::create(path).map_err(|source| ChainError::Io { path: path.into(), source })?;
        let file = BufWriter::with_capacity(1 << 20, file);
        let mut writer = Self { path: path.into(), file, hasher: Keccak256::new(), rows: 0, bytes: 0 };
        writer.write(MAGIC)?;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ChainError> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|source| ChainError::Io { path: self.path.clone(), source })
    }

    fn row(&mut self, part: Part, key: &[u8], value: &[u8]) -> Result<(), ChainError> {
        self.write(&[part as u8, key.len() as u8])?;
        self.write(&(value.len() as u32).to_be_bytes())?;
        self.write(key)?;
        self.write(value)?;
        self.rows += 1;
        Ok(())
    }

    /// Rows and bytes; on disk when this returns.
    fn finish(mut self) -> Result<(u64, u64), ChainError> {
        let rows = self.rows;
        self.row(Part::End, &rows.to_be_bytes(), &[])?;
        let Self { path, mut file, hasher, bytes, .. } = self;
        let hash = hasher.finalize();
        let done = file.write_all(hash.as_slice()).and_then(|()| file.flush()).and_then(|()| file.get_ref().sync_all());
        done.map_err(|source| ChainError::Io { path, source })?;
        Ok((rows, bytes + hash.len() as u64))
    }
}

/// A row of the file: what it belongs to, key, value.
type Row = (Part, Vec<u8>, Vec<u8>);

/// Reads rows, hashes them, and keeps their order.
struct RowReader {
    path: PathBuf,
    file: BufReader<File>,
    hasher: Keccak256,
    last: (u8, Vec<u8>),
    count: u64,
    bytes: u64,
}

impl RowReader {
    fn open(path: &Path) -> Result<Self, ChainError> {
        let file = File::open(path).map_err(|source| ChainError::Io { path: path.into(), source })?;
        let file = BufReader::with_capacity(1 << 20, file);
        let hasher = Keccak256::new();
        let mut reader = Self { path: path.into(), file, hasher, last: (0, Vec::new()), count: 0, bytes: 0 };
        if reader.read(MAGIC.len())? != MAGIC {
            return Err(reader.refused("it is no snapshot that this program reads"));
        }
        Ok(reader)
    }

    fn refused(&self, reason: impl Into<String>) -> ChainError {
        ChainError::BadSnapshot { path: self.path.clone(), reason: reason.into() }
    }

    /// As many bytes, of which no more memory is taken than the file gives.
    fn read(&mut self, length: usize) -> Result<Vec<u8>, ChainError> {
        let mut bytes = Vec::new();
        let read = self.file.by_ref().take(length as u64).read_to_end(&mut bytes);
        let read = read.map_err(|source| ChainError::Io { path: self.path.clone(), source })?;
        if read < length {
            return Err(self.refused(format!("it ends after {} bytes", self.bytes + read as u64)));
        }
        self.hasher.update(&bytes);
        self.bytes += length as u64;
        Ok(bytes)
    }

    /// The next row; `None` when the file ended as it should.
    fn next(&mut self) -> Result<Option<Row>, ChainError> {
        let head = self.read(6)?;
        let (part, key_length) = (head[0], usize::from(head[1]));
        let length = u32::from_be_bytes([head[2], head[3], head[4], head[5]]) as usize;
        if length > VALUE_BYTES_MAX {
            return Err(self.refused(format!("a value of {length} bytes; the limit is {VALUE_BYTES_MAX}")));
        }
        let (key, value) = (self.read(key_length)?, self.read(length)?);
        let place = (part, key);
        if place <= self.last {
            return Err(self.refused(format!("row {} is out of order", self.count)));
        }
        self.last = place.clone();
        let part = match part {
            1 => Part::Identity,
            2 => Part::Headers,
            3 => Part::Bodies,
            4 => Part::Receipts,
            5 => Part::Accounts,
            6 => Part::Storage,
            7 => Part::Codes,
            8 => return self.end(&place.1).map(|()| None),
            other => return Err(self.refused(format!("a row of unknown kind {other}"))),
        };
        self.count += 1;
        Ok(Some((part, place.1, value)))
    }

    fn end(&mut self, rows: &[u8]) -> Result<(), ChainError> {
        if rows != self.count.to_be_bytes() {
            return Err(self.refused(format!("{} rows were read, it says otherwise", self.count)));
        }
        let expected = self.hasher.clone().finalize();
        let stored = self.read(expected.len())?;
        if stored != expected.as_slice() {
            return Err(self.refused("its checksum does not match"));
        }
        let mut beyond = [0];
        match self.file.read(&mut beyond) {
            Ok(0) => Ok(()),
            _ => Err(self.refused("something follows its end")),
        }
    }
}

#[cfg(test)]
mod tests;
