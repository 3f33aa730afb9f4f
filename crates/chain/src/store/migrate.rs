//! Bring a directory of an older format to the newest one.
//!
//! The old file is never changed: the new one is made beside it, the old one gets a second name, and one rename puts the
//! new one in its place. So an interruption at any instant leaves either the old chain or the new one, and the old file
//! stays as the snapshot from before, for the operator to remove.
//!
//! | format | what it is |
//! |---|---|
//! | 1 | a bare redb file; proofs of the past by undoing later blocks |
//! | 2 | redb on checked pages; trie nodes of the past; how much history is kept stands in the file |

use super::{Draft, FILE, FORMAT, HISTORY_BLOCKS, begin, open_failed, pages::MAGIC, tables::*, write_meta};
use crate::ChainError;
use redb::{Database, Key, ReadableDatabase, ReadableTable, TableDefinition, Value, WriteTransaction};
use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

/// First bytes of a bare redb file.
const REDB_MAGIC: &[u8; 9] = b"redb\x1a\x0a\xa9\x0d\x0a";
/// What the format follows in the first line of a file with checked pages.
const LAYOUT: &[u8] = b"kumo pages v";
/// Rows copied in one transaction, which bounds memory.
const ROWS_PER_TRANSACTION: usize = 50_000;

/// Migrates the file at `path` if it is of an older format.
pub(super) fn to_newest(dir: &Path, path: &Path, cache_bytes: usize) -> Result<(), ChainError> {
    if !is_bare(path)? {
        return Ok(());
    }
    let old = open_bare(dir, path, cache_bytes)?;
    let found = format_of(&old, path)?;
    if found != 1 {
        return Err(match found > FORMAT {
            true => ChainError::Format { path: path.into(), found, supported: FORMAT },
            false => corrupt(path, format!("format {found} is never a bare file")),
        });
    }
    let kept = dir.join(format!("{FILE}.format-{found}"));
    check_space(dir, path)?;
    tracing::info!(file = %path.display(), from = found, to = FORMAT, "migrating the chain; the old file is kept");
    let draft = Draft::begin(dir, cache_bytes)?;
    if let Err(error) = from_1(&old, &draft) {
        draft.discard();
        return Err(error);
    }
    drop(old);
    keep(path, &kept)?;
    draft.finish()?;
    tracing::info!(kept = %kept.display(), "the chain is migrated; remove the old file when you no longer want it");
    Ok(())
}

/// Format 1 to format 2: the same tables, and what the new ones begin with.
///
/// Steps for tables that change their encoding stand here, between the copy and the metadata.
fn from_1(old: &Database, draft: &Draft) -> Result<(), ChainError> {
    let transaction = begin(draft.database())?;
    create_tables(&transaction)?;
    transaction.commit()?;
    copy(old, draft, META)?;
    copy(old, draft, ACCOUNTS)?;
    copy(old, draft, STORAGE)?;
    copy(old, draft, CODES)?;
    copy(old, draft, ACCOUNT_NODES)?;
    copy(old, draft, STORAGE_NODES)?;
    copy(old, draft, HEADERS)?;
    copy(old, draft, BODIES)?;
    copy(old, draft, RECEIPTS)?;
    copy(old, draft, NUMBERS)?;
    copy(old, draft, TRANSACTIONS)?;
    copy(old, draft, ACCOUNT_HISTORY)?;
    copy(old, draft, STORAGE_HISTORY)?;
    copy(old, draft, CHANGED)?;

    let transaction = begin(draft.database())?;
    let head = head_of(&transaction)?;
    write_meta(&transaction, META_FORMAT, &FORMAT.to_be_bytes())?;
    write_meta(&transaction, META_HISTORY, &HISTORY_BLOCKS.to_be_bytes())?;
    // The tries of earlier blocks were not kept.
    write_meta(&transaction, META_PROOFS_FROM, &head)?;
    write_meta(&transaction, META_BLOCKS_FROM, &0u64.to_be_bytes())?;
    transaction.commit()?;
    Ok(())
}

/// Copies a table, a bounded number of rows at a time.
fn copy<K: Key + 'static, V: Value + 'static>(
    old: &Database,
    draft: &Draft,
    definition: TableDefinition<'static, K, V>,
) -> Result<(), ChainError> {
    let from = old.begin_read()?.open_table(definition)?;
    let mut rows = from.iter()?;
    loop {
        let transaction = begin(draft.database())?;
        let mut copied = 0;
        let mut to = transaction.open_table(definition)?;
        for row in rows.by_ref().take(ROWS_PER_TRANSACTION) {
            let (key, value) = row?;
            to.insert(key.value(), value.value())?;
            copied += 1;
        }
        drop(to);
        transaction.commit()?;
        if copied < ROWS_PER_TRANSACTION {
            return Ok(());
        }
    }
}

fn head_of(transaction: &WriteTransaction) -> Result<[u8; 8], ChainError> {
    let meta = transaction.open_table(META)?;
    let head = meta.get(META_HEAD)?.ok_or_else(|| ChainError::decode(META_HEAD, "it is missing"))?;
    array(head.value(), META_HEAD)
}

/// Whether the file is a database without checked pages around it. Refuses one with pages of a newer layout.
fn is_bare(path: &Path) -> Result<bool, ChainError> {
    let mut begin = [0; MAGIC.len()];
    let read = File::open(path).and_then(|file| file.take(begin.len() as u64).read(&mut begin));
    read.map_err(|source| ChainError::Io { path: path.into(), source })?;
    if let Some(found) = layout_of(&begin).filter(|found| *found > FORMAT) {
        return Err(ChainError::Format { path: path.into(), found, supported: FORMAT });
    }
    Ok(begin.starts_with(REDB_MAGIC))
}

/// The format that the first line of a file with checked pages names.
fn layout_of(begin: &[u8]) -> Option<u32> {
    let line = begin.strip_prefix(LAYOUT)?.split(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(line).ok()?.parse().ok()
}

/// Opens the old file. Repairing it after a crash changes nothing that it says.
fn open_bare(dir: &Path, path: &Path, cache_bytes: usize) -> Result<Database, ChainError> {
    let opened = catch_unwind(AssertUnwindSafe(|| Database::builder().set_cache_size(cache_bytes).open(path)));
    match opened {
        Ok(opened) => opened.map_err(|error| open_failed(dir, path, error)),
        Err(_) => Err(corrupt(path, "its structure is broken")),
    }
}

fn format_of(old: &Database, path: &Path) -> Result<u32, ChainError> {
    let meta = old.begin_read()?.open_table(META).map_err(|error| corrupt(path, error))?;
    let format = meta.get(META_FORMAT)?.ok_or_else(|| corrupt(path, "its format is missing"))?;
    Ok(u32::from_be_bytes(array(format.value(), META_FORMAT)?))
}

/// Refuses to begin what the disk has no room for: the new file is about as long as the old one.
fn check_space(dir: &Path, path: &Path) -> Result<(), ChainError> {
    let io_error = |source| ChainError::Io { path: path.into(), source };
    let needed = fs::metadata(path).map_err(io_error)?.len();
    let system = rustix::fs::statvfs(dir).map_err(|error| io_error(error.into()))?;
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    if free < needed {
        return Err(ChainError::NoSpace { dir: dir.into(), needed, free });
    }
    Ok(())
}

/// Gives the old file a second name, which survives the rename over its first one.
fn keep(path: &Path, kept: &Path) -> Result<(), ChainError> {
    let failed = |source| ChainError::Io { path: kept.into(), source };
    match fs::hard_link(path, kept) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let (file, other) = (fs::metadata(path).map_err(failed)?, fs::metadata(kept).map_err(failed)?);
            // An interrupted migration may have come this far before; the copy of another chain is not ours to replace.
            match (file.dev(), file.ino()) == (other.dev(), other.ino()) {
                true => Ok(()),
                false => Err(failed(error)),
            }
        }
        Err(source) => Err(failed(source)),
        Ok(()) => Ok(()),
    }
}

fn corrupt(path: &Path, reason: impl ToString) -> ChainError {
    ChainError::Corrupt { path: path.into(), reason: reason.to_string() }
}
