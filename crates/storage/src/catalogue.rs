//! Manifests on disk, found by any block they cover.
//!
//! A storage node keeps the manifests given to it here, and a gateway its index of files. One redb file, one write
//! transaction per change: what was acknowledged survives `kill -9`. A file that cannot be read any more is put aside
//! and replaced by an empty one, because every manifest also stands on other nodes and comes back with a repair.

use crate::manifest::{Manifest, Position};
use alloy_primitives::B256;
use bytes::Bytes;
use cid::Cid;
use protocol::content::{cid_of_digest, sha256};
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Most manifests of one root: one for each code and block order that it was stored with.
pub const MANIFESTS_PER_ROOT_MAX: usize = 8;
/// Most manifests that are looked at for one block.
pub const MANIFESTS_PER_BLOCK_MAX: usize = 16;
/// Memory for pages of the database, in bytes.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// Manifest id (SHA-256 of its bytes) to its bytes.
const MANIFESTS: TableDefinition<[u8; 32], &[u8]> = TableDefinition::new("manifests");
/// Block digest and manifest id to where the block stands: segment, first byte, length.
const BLOCKS: TableDefinition<[u8; 64], (u32, u32, u32)> = TableDefinition::new("blocks");
/// Root digest and manifest id.
const ROOTS: TableDefinition<[u8; 64], ()> = TableDefinition::new("roots");
/// Root digest to codec, manifest id, bytes, segments, k, n, Unix seconds, and shards not placed.
const FILES: TableDefinition<[u8; 32], FileRow> = TableDefinition::new("files");

type FileRow = (u64, [u8; 32], u64, u32, u8, u8, u64, u32);

/// Why the catalogue cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// Another process has it open.
    #[error("{path} is in use by another process")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be opened, read or written.
    #[error("cannot use {path}: {source}")]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
    /// No room for another manifest of this root.
    #[error("{root} has {MANIFESTS_PER_ROOT_MAX} manifests already, which is the limit")]
    Full {
        /// The root.
        root: Cid,
    },
}

/// A file as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Root of the DAG, CIDv1.
    pub root: Cid,
    /// Id of the manifest by which it is read first.
    pub manifest: B256,
    /// Bytes of all its blocks.
    pub bytes: u64,
    /// Its segments.
    pub segments: u32,
    /// Shards of a segment that rebuild it.
    pub k: u8,
    /// Shards of a segment.
    pub n: u8,
    /// Unix seconds when this gateway stored it, or first saw it.
    pub stored_at: u64,
    /// Shards, and copies of the manifest, that had no place when it was last stored or repaired.
    pub unplaced: u32,
}

impl Stored {
    /// A file stored as `manifest` says.
    pub fn new(manifest: &Manifest, id: B256, stored_at: u64, unplaced: u32) -> Self {
        Self {
            root: manifest.root,
            manifest: id,
            bytes: manifest.bytes(),
            segments: manifest.segments.len() as u32,
            k: manifest.k,
            n: manifest.n,
            stored_at,
            unplaced,
        }
    }

    /// Shards that should exist.
    pub fn shards(&self) -> u32 {
        self.segments * u32::from(self.n)
    }
}

/// Manifests, and where each block stands.
#[derive(Debug)]
pub struct Catalogue {
    path: PathBuf,
    db: Database,
}

/// Id of a manifest with these bytes.
pub fn manifest_id(bytes: &[u8]) -> B256 {
    sha256(bytes)
}

impl Catalogue {
    /// Opens the file, or creates it.
    pub fn open(path: &Path) -> Result<Self, CatalogueError> {
        let db = match create(path) {
            Err(source @ (DatabaseError::Storage(_) | DatabaseError::RepairAborted)) => {
                let aside = path.with_extension("damaged");
                tracing::warn!(path = %path.display(), %source, aside = %aside.display(), "catalogue put aside");
                std::fs::rename(path, &aside).map_err(|e| error(path, e))?;
                create(path)
            }
            other => other,
        };
        let db = db.map_err(|source| match source {
            DatabaseError::DatabaseAlreadyOpen => CatalogueError::InUse { path: path.into() },
            other => error(path, other),
        })?;
        let catalogue = Self { path: path.into(), db };
        catalogue.write(|txn| {
            txn.open_table(MANIFESTS)?;
            txn.open_table(BLOCKS)?;
            txn.open_table(ROOTS)?;
            txn.open_table(FILES)?;
            Ok(())
        })?;
        Ok(catalogue)
    }

    /// Keeps a manifest, durable when this returns; `false` if it was there already.
    pub fn insert(&self, manifest: &Manifest, bytes: &[u8]) -> Result<bool, CatalogueError> {
        let id = manifest_id(bytes);
        let root = B256::new(digest_bytes(&manifest.root));
        let inserted = self.write(|txn| {
            let mut roots = txn.open_table(ROOTS)?;
            if roots.get(pair(&root, &id))?.is_some() {
                return Ok(Some(false));
            }
            if roots.range(every_pair(&root))?.count() >= MANIFESTS_PER_ROOT_MAX {
                return Ok(None);
            }
            roots.insert(pair(&root, &id), ())?;
            txn.open_table(MANIFESTS)?.insert(id.0, bytes)?;
            let mut blocks = txn.open_table(BLOCKS)?;
            for (cid, at) in manifest.positions() {
                let place = (at.segment as u32, at.bytes.start as u32, at.bytes.len() as u32);
                blocks.insert(pair(&B256::new(digest_bytes(&cid)), &id), place)?;
            }
            Ok(Some(true))
        })?;
        inserted.ok_or(CatalogueError::Full { root: manifest.root })
    }

    /// Bytes of a manifest.
    pub fn manifest(&self, id: &B256) -> Result<Option<Bytes>, CatalogueError> {
        self.read(|txn| {
            let table = txn.open_table(MANIFESTS)?;
            let found = table.get(id.0)?;
            Ok(found.map(|bytes| Bytes::copy_from_slice(bytes.value())))
        })
    }

    /// Ids of the manifests of the DAG below the block with this digest.
    pub fn of_root(&self, digest: &B256) -> Result<Vec<B256>, CatalogueError> {
        self.read(|txn| {
            let table = txn.open_table(ROOTS)?;
            let range = table.range(every_pair(digest))?;
            range.take(MANIFESTS_PER_ROOT_MAX).map(|entry| Ok(second(&entry?.0.value()))).collect()
        })
    }

    /// Manifests that cover the block with this digest, and where it stands in each.
    pub fn containing(&self, digest: &B256) -> Result<Vec<(B256, Position)>, CatalogueError> {
        self.read(|txn| {
            let table = txn.open_table(BLOCKS)?;
            let range = table.range(every_pair(digest))?;
            range
                .take(MANIFESTS_PER_BLOCK_MAX)
                .map(|entry| {
                    let (key, value) = entry?;
                    let (segment, start, bytes) = value.value();
                    let bytes = start as usize..start as usize + bytes as usize;
                    Ok((second(&key.value()), Position { segment: segment as usize, bytes }))
                })
                .collect()
        })
    }

    /// Bytes of all manifests.
    pub fn manifest_bytes(&self) -> Result<u64, CatalogueError> {
        self.read(|txn| {
            let table = txn.open_table(MANIFESTS)?;
            table.iter()?.try_fold(0, |sum, entry| Ok(sum + entry?.1.value().len() as u64))
        })
    }

    /// Remembers a file, over an older record of the same root.
    pub fn record(&self, file: &Stored) -> Result<(), CatalogueError> {
        self.write(|txn| {
            txn.open_table(FILES)?.insert(digest_bytes(&file.root), row(file))?;
            Ok(())
        })
    }

    /// The file whose root has this digest.
    pub fn file(&self, digest: &B256) -> Result<Option<Stored>, CatalogueError> {
        self.read(|txn| {
            let found = txn.open_table(FILES)?.get(digest.0)?;
            Ok(found.map(|value| stored(digest.0, value.value())))
        })
    }

    /// All files, newest first.
    pub fn files(&self) -> Result<Vec<Stored>, CatalogueError> {
        let mut files: Vec<Stored> = self.read(|txn| {
            let table = txn.open_table(FILES)?;
            let rows = table.iter()?.map(|entry| entry.map(|(key, value)| stored(key.value(), value.value())));
            Ok(rows.collect::<Result<_, _>>()?)
        })?;
        files.sort_by_key(|file| (std::cmp::Reverse(file.stored_at), file.root));
        Ok(files)
    }

    /// Number of files.
    pub fn files_count(&self) -> Result<u64, CatalogueError> {
        self.read(|txn| Ok(txn.open_table(FILES)?.len()?))
    }

    fn read<T>(&self, f: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>) -> Result<T, CatalogueError> {
        let txn = self.db.begin_read().map_err(|e| error(&self.path, e))?;
        f(&txn).map_err(|e| error(&self.path, e))
    }

    fn write<T>(&self, f: impl FnOnce(&redb::WriteTransaction) -> Result<T, redb::Error>) -> Result<T, CatalogueError> {
        let txn = self.db.begin_write().map_err(|e| error(&self.path, e))?;
        let value = f(&txn).map_err(|e| error(&self.path, e))?;
        txn.commit().map_err(|e| error(&self.path, e))?;
        Ok(value)
    }
}

fn create(path: &Path) -> Result<Database, DatabaseError> {
    Database::builder().set_cache_size(CACHE_BYTES).create(path)
}

fn error(path: &Path, source: impl Into<redb::Error>) -> CatalogueError {
    CatalogueError::Database { path: path.into(), source: Box::new(source.into()) }
}

fn pair(first: &B256, second: &B256) -> [u8; 64] {
    let mut out = [0; 64];
    out[..32].copy_from_slice(&first[..]);
    out[32..].copy_from_slice(&second[..]);
    out
}

/// All pairs with this first half.
fn every_pair(first: &B256) -> RangeInclusive<[u8; 64]> {
    pair(first, &B256::ZERO)..=pair(first, &B256::repeat_byte(0xff))
}

fn second(pair: &[u8; 64]) -> B256 {
    B256::from_slice(&pair[32..])
}

fn digest_bytes(cid: &Cid) -> [u8; 32] {
    cid.hash().digest().try_into().expect("stored CIDs are SHA-256")
}

fn row(file: &Stored) -> FileRow {
    let Stored { root, manifest, bytes, segments, k, n, stored_at, unplaced } = *file;
    (root.codec(), manifest.0, bytes, segments, k, n, stored_at, unplaced)
}

fn stored(digest: [u8; 32], (codec, manifest, bytes, segments, k, n, stored_at, unplaced): FileRow) -> Stored {
    let root = cid_of_digest(codec, B256::new(digest));
    Stored { root, manifest: B256::new(manifest), bytes, segments, k, n, stored_at, unplaced }
}

#[cfg(test)]
mod tests;
