//! The disk of a storage node: shards named by the SHA-256 of their bytes, and the manifests given to it.
//!
//! ```text
//! lock                       held while the store is open
//! shards/ab/abcdef…          the bytes of a shard; its name is its checksum
//! incoming/                  shards being written; emptied when the store opens
//! quarantine/abcdef…         damaged shards, the newest few
//! manifests.redb             see [`crate::catalogue`]
//! ```
//!
//! A shard is written aside, synchronised, and renamed into place, so a name in `shards/` is either absent or was once
//! complete. It is hashed again on every read: a truncated or rotten shard is put into quarantine and reported as
//! missing, and a repair brings it back.

use crate::catalogue::{Catalogue, CatalogueError};
use crate::manifest::{Manifest, ManifestError, SHARD_BYTES_MAX};
use alloy_primitives::B256;
use bytes::Bytes;
use cid::Cid;
use parking_lot::Mutex;
use protocol::content::{digest_of_cid, sha256};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Damaged shards that are kept for inspection; older ones are deleted.
const QUARANTINE_FILES_MAX: usize = 16;
/// Bytes of manifests in one answer, at most.
pub const MANIFESTS_ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Why the store cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the directory open.
    #[error("{dir} is in use by another process")]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The file system failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The bytes are not those that the name promises.
    #[error("shard {id} was given {bytes} bytes that hash to {digest}")]
    Mismatch {
        /// Name of the shard.
        id: B256,
        /// Hash of the bytes given.
        digest: B256,
        /// Their number.
        bytes: usize,
    },
    /// The shard is too large.
    #[error("shard {id} has {bytes} bytes, at most {SHARD_BYTES_MAX} are allowed")]
    TooLarge {
        /// Name of the shard.
        id: B256,
        /// Its size.
        bytes: usize,
    },
    /// No room left.
    #[error("{bytes} bytes do not fit: {used} of {capacity} bytes are used")]
    Full {
        /// Bytes asked for.
        bytes: u64,
        /// Bytes used.
        used: u64,
        /// Bytes offered.
        capacity: u64,
    },
    /// The manifest is not one, or of another root.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The manifest belongs to another DAG.
    #[error("manifest of {found} was given for {root}")]
    OtherRoot {
        /// Root asked for.
        root: Cid,
        /// Root in the manifest.
        found: Cid,
    },
    /// The catalogue of manifests failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

/// What a store keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of shards and manifests.
    pub used_bytes: u64,
    /// Bytes offered.
    pub capacity_bytes: u64,
    /// Number of shards.
    pub shards: u64,
    /// Shards found damaged since the store was opened.
    pub damaged: u64,
}

/// Result of [`ShardStore::scrub`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Shards read.
    pub checked: u64,
    /// Those that were damaged and are now in quarantine.
    pub damaged: Vec<B256>,
}

/// What is kept, so that nobody has to ask the disk. About 60 bytes of memory per shard of a MiB or more.
#[derive(Default)]
struct Accounts {
    /// Bytes of shards and manifests.
    used: u64,
    /// Bytes being written.
    reserved: u64,
    /// Size of every shard when it was written or the store was opened, whatever has become of its file since.
    shards: HashMap<B256, u64>,
}

impl Accounts {
    fn add(&mut self, id: B256, bytes: u64) {
        self.remove(&id);
        self.used += bytes;
        self.shards.insert(id, bytes);
    }

    fn remove(&mut self, id: &B256) -> bool {
        let bytes = self.shards.remove(id);
        self.used -= bytes.unwrap_or(0);
        bytes.is_some()
    }
}

/// Shards and manifests in one directory. All methods block on the disk.
pub struct ShardStore {
    dir: PathBuf,
    capacity: u64,
    accounts: Mutex<Accounts>,
    damaged: AtomicU64,
    written: AtomicU64,
    catalogue: Catalogue,
    /// Locked until the store is dropped or the process ends, however it ends.
    _lock: File,
}

impl ShardStore {
    /// Opens the store in `dir`, or creates it, to keep up to `capacity_bytes`. A store that holds more than that
    /// already keeps what it has and takes nothing.
    pub fn open(dir: &Path, capacity_bytes: u64) -> Result<Self, StoreError> {
        for part in ["shards", "incoming", "quarantine"] {
            let path = dir.join(part);
            fs::create_dir_all(&path).map_err(|e| io_error("create", &path, e))?;
        }
        let lock = lock(dir)?;
        empty(&dir.join("incoming"))?;
        let catalogue = Catalogue::open(&dir.join("manifests.redb"))?;
        let mut accounts = Accounts { used: catalogue.manifest_bytes()?, ..Accounts::default() };
        for_each_shard(dir, |id, bytes| accounts.add(id, bytes))?;
        Ok(Self {
            dir: dir.into(),
            capacity: capacity_bytes,
            accounts: Mutex::new(accounts),
            damaged: AtomicU64::new(0),
            written: AtomicU64::new(0),
            catalogue,
            _lock: lock,
        })
    }

    /// What is kept and offered.
    pub fn usage(&self) -> Usage {
        let accounts = self.accounts.lock();
        Usage {
            used_bytes: accounts.used,
            capacity_bytes: self.capacity,
            shards: accounts.shards.len() as u64,
            damaged: self.damaged.load(Ordering::Relaxed),
        }
    }

    /// Keeps a shard; durable when this returns. A healthy shard of the same name is left as it is, a damaged one is
    /// replaced.
    pub fn put(&self, id: &B256, bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.len() > SHARD_BYTES_MAX {
            return Err(StoreError::TooLarge { id: *id, bytes: bytes.len() });
        }
        let digest = sha256(bytes);
        if digest != *id {
            return Err(StoreError::Mismatch { id: *id, digest, bytes: bytes.len() });
        }
        if self.get(id)?.is_some() {
            return Ok(());
        }
        let reserved = self.reserve(bytes.len() as u64)?;
        let incoming = self.write_aside(bytes)?;
        self.move_in(id, &incoming, reserved)
    }

    /// A shard, checked against its name; `None` if it is not there, or was damaged and is now in quarantine.
    pub fn get(&self, id: &B256) -> Result<Option<Bytes>, StoreError> {
        match self.look(id)? {
            Look::Healthy(bytes) => Ok(Some(bytes)),
            Look::Absent | Look::Damaged => Ok(None),
        }
    }

    /// Whether the shard is there and healthy; reads all of it.
    pub fn has(&self, id: &B256) -> Result<bool, StoreError> {
        Ok(self.get(id)?.is_some())
    }

    /// Forgets a shard; `false` if it was not there.
    pub fn delete(&self, id: &B256) -> Result<bool, StoreError> {
        let path = self.path(id);
        let mut accounts = self.accounts.lock();
        match fs::remove_file(&path) {
            Ok(()) => sync_parent(&path)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(io_error("delete", &path, e)),
        }
        Ok(accounts.remove(id))
    }

    /// Names of all shards, unchecked, in order.
    pub fn list(&self) -> Vec<B256> {
        let mut ids: Vec<B256> = self.accounts.lock().shards.keys().copied().collect();
        ids.sort();
        ids
    }

    /// Reads every shard and puts damaged ones into quarantine.
    pub fn scrub(&self) -> Result<ScrubReport, StoreError> {
        let mut report = ScrubReport::default();
        for id in self.list() {
            report.checked += 1;
            if let Look::Damaged = self.look(&id)? {
                report.damaged.push(id);
            }
        }
        Ok(report)
    }

    /// Keeps a manifest of the DAG `root`; durable when this returns, identical ones once.
    pub fn put_manifest(&self, root: &Cid, bytes: &[u8]) -> Result<(), StoreError> {
        let manifest = Manifest::decode(bytes)?;
        if digest_of_cid(root) != digest_of_cid(&manifest.root) {
            return Err(StoreError::OtherRoot { root: *root, found: manifest.root });
        }
        let reserved = self.reserve(bytes.len() as u64)?;
        if self.catalogue.insert(&manifest, bytes)? {
            self.accounts.lock().used += reserved.bytes;
        }
        Ok(())
    }

    /// The manifests of every DAG that the block `cid` belongs to, those with it as root first.
    pub fn manifests(&self, cid: &Cid) -> Result<Vec<Bytes>, StoreError> {
        let Some(digest) = digest_of_cid(cid) else { return Ok(Vec::new()) };
        let mut ids = self.catalogue.of_root(&digest)?;
        for (id, _) in self.catalogue.containing(&digest)? {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let mut out: Vec<Bytes> = Vec::new();
        let mut total = 0;
        for id in ids {
            let Some(bytes) = self.catalogue.manifest(&id)? else { continue };
            total += bytes.len();
            if total > MANIFESTS_ANSWER_BYTES_MAX {
                break;
            }
            out.push(bytes);
        }
        Ok(out)
    }

    fn look(&self, id: &B256) -> Result<Look, StoreError> {
        if !self.accounts.lock().shards.contains_key(id) {
            return Ok(Look::Absent);
        }
        let path = self.path(id);
        match read_bounded(&path) {
            Ok(bytes) if sha256(&bytes) == *id => Ok(Look::Healthy(bytes.into())),
            Ok(_) => self.look_closely(id),
            Err(e) if e.kind() == io::ErrorKind::NotFound => self.look_closely(id),
            Err(e) => Err(io_error("read", &path, e)),
        }
    }

    fn path(&self, id: &B256) -> PathBuf {
        let name = format!("{id:x}");
        self.dir.join("shards").join(&name[..2]).join(&name)
    }

    fn reserve(&self, bytes: u64) -> Result<Reservation<'_>, StoreError> {
        let mut accounts = self.accounts.lock();
        let used = accounts.used + accounts.reserved;
        if used.saturating_add(bytes) > self.capacity {
            return Err(StoreError::Full { bytes, used, capacity: self.capacity });
        }
        accounts.reserved += bytes;
        Ok(Reservation { accounts: &self.accounts, bytes })
    }

    fn write_aside(&self, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join("incoming").join(number.to_string());
        let write = || {
            let mut file = File::create(&path)?;
            file.write_all(bytes)?;
            file.sync_data()
        };
        write().map_err(|e| {
            // Whatever was written is useless, and the next opening removes it if this does not.
            let _ = fs::remove_file(&path);
            io_error("write", &path, e)
        })?;
        Ok(path)
    }

    fn move_in(&self, id: &B256, incoming: &Path, reserved: Reservation<'_>) -> Result<(), StoreError> {
        let path = self.path(id);
        let parent = path.parent().expect("a shard has a directory");
        if !parent.exists() {
            fs::create_dir_all(parent).map_err(|e| io_error("create", parent, e))?;
            sync_parent(parent)?;
        }
        {
            let mut accounts = self.accounts.lock();
            fs::rename(incoming, &path).map_err(|e| io_error("move into place", &path, e))?;
            accounts.add(*id, reserved.bytes);
        }
        sync_parent(&path)
    }

    /// Looks at a shard again while nobody can replace it, and puts it aside if it is really damaged.
    fn look_closely(&self, id: &B256) -> Result<Look, StoreError> {
        let path = self.path(id);
        let mut accounts = self.accounts.lock();
        match read_bounded(&path) {
            Ok(bytes) if sha256(&bytes) == *id => return Ok(Look::Healthy(bytes.into())),
            Ok(_) => self.put_aside(id, &path)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(io_error("read", &path, e)),
        }
        if !accounts.remove(id) {
            return Ok(Look::Absent);
        }
        self.damaged.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(shard = %id, "shard is damaged");
        Ok(Look::Damaged)
    }

    fn put_aside(&self, id: &B256, path: &Path) -> Result<(), StoreError> {
        let quarantine = self.dir.join("quarantine");
        make_room(&quarantine, QUARANTINE_FILES_MAX - 1)?;
        fs::rename(path, quarantine.join(format!("{id:x}"))).map_err(|e| io_error("put into quarantine", path, e))
    }
}

enum Look {
    Healthy(Bytes),
    Absent,
    Damaged,
}

/// Bytes set aside for a write that is under way; given back when dropped.
struct Reservation<'a> {
    accounts: &'a Mutex<Accounts>,
    bytes: u64,
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.accounts.lock().reserved -= self.bytes;
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Io { action, path: path.into(), source }
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|e| io_error("open", &path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { dir: dir.into() }),
        Err(TryLockError::Error(e)) => Err(io_error("lock", &path, e)),
    }
}

fn empty(dir: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(dir).map_err(|e| io_error("list", dir, e))? {
        let path = entry.map_err(|e| io_error("list", dir, e))?.path();
        fs::remove_file(&path).map_err(|e| io_error("delete", &path, e))?;
    }
    Ok(())
}

/// Reads a file, but never more than a shard and one byte, which is enough to see that it is damaged.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read;
    let file = File::open(path)?;
    let bytes = file.metadata()?.len().min(SHARD_BYTES_MAX as u64) as usize;
    let mut out = Vec::with_capacity(bytes + 1);
    file.take(SHARD_BYTES_MAX as u64 + 1).read_to_end(&mut out)?;
    Ok(out)
}

fn file_bytes(path: &Path) -> Result<Option<u64>, StoreError> {
    match fs::metadata(path) {
        Ok(meta) => Ok(Some(meta.len())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io_error("look at", path, e)),
    }
}

fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().expect("paths of the store have a directory");
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(|e| io_error("synchronise", parent, e))
}

/// Calls `f` with the name and size of every shard; files with other names are not ours and left alone.
fn for_each_shard(dir: &Path, mut f: impl FnMut(B256, u64)) -> Result<(), StoreError> {
    let shards = dir.join("shards");
    for fan in fs::read_dir(&shards).map_err(|e| io_error("list", &shards, e))? {
        let fan = fan.map_err(|e| io_error("list", &shards, e))?.path();
        if !fan.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&fan).map_err(|e| io_error("list", &fan, e))? {
            let path = entry.map_err(|e| io_error("list", &fan, e))?.path();
            let id = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            if let (Some(id), Some(bytes)) = (id, file_bytes(&path)?) {
                f(id, bytes);
            }
        }
    }
    Ok(())
}

/// Deletes the oldest files of `dir` until at most `count` are left.
fn make_room(dir: &Path, count: usize) -> Result<(), StoreError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| io_error("list", dir, e))? {
        let entry = entry.map_err(|e| io_error("list", dir, e))?;
        let changed =
            entry.metadata().and_then(|meta| meta.modified()).map_err(|e| io_error("look at", &entry.path(), e))?;
        files.push((changed, entry.path()));
    }
    files.sort();
    for (_, path) in files.iter().rev().skip(count) {
        fs::remove_file(path).map_err(|e| io_error("delete", path, e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
