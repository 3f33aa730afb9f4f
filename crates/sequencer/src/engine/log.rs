//! The engine's small files in one log: a vote costs one write to the disk, not the making of a file.
//!
//! commonware's engine keeps a file per view for what it has signed, and three for each kind of certificate; each is synced by
//! itself, and making or removing one syncs its directory, too: 18 syncs per block and validator. [`Logged`] is the runtime
//! that the engine is given in place of the real one. Who asks it for a file gets one of three kinds:
//!
//! | files | kept |
//! |---|---|
//! | of the engine's votes (`simplex…`), and the indices and marks of `marshal` | in memory, and every change in the log, which is on the disk when a sync of the file returns |
//! | caches of certificates | in memory only: the engine reports those that it has in its own log again at each start |
//! | with blocks | on a real disk in a directory of their own, written around the page cache; on a simulated one as below |
//! | all others | by the real runtime |
//!
//! Changes of all files are in the log in the order in which they were made, so after a crash the files are as they were at
//! one moment at or after the last sync, even if a change that was not synced is the reason that they are.
//!
//! Files of a committee that has ended are put away in one file ([`Logged::put_away`]), which is read again should they be
//! asked for.

mod blocks;
mod frames;
mod records;
#[cfg(test)]
mod tests;

use super::Runtime;
use blocks::BlockFile;
use bytes::BufMut as _;
use commonware_runtime::telemetry::metrics::{Metric, Registered};
use commonware_runtime::{
    Blob as _, BlobVersion, Clock, DEFAULT_BLOB_VERSION, Error, Handle, IoBufMut, IoBufs, IoBufsMut, Metrics, Name,
    ReadOptions, Spawner, Storage, Supervisor, WriteOptions, signal::Signal,
};
use frames::Frames;
use parking_lot::{Mutex, RwLock};
use rand_core::{TryCryptoRng, TryRng};
use records::Record;
use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

/// Bytes from which on a new generation of the log begins, unless what it holds is more than a quarter of that.
const GENERATION_BYTES: usize = 4 << 20;
/// Bytes that a small file may have.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// How the files of a partition are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// By the runtime.
    Own,
    /// In the log. Whether a removal may wait until something is synced: each file stands for itself.
    Logged { removes_later: bool },
    /// In memory.
    Volatile,
    /// Around the page cache, if there is a directory for that.
    Blocks,
}

impl Kind {
    fn of(partition: &str, prefix: &str) -> Self {
        let name = partition.strip_prefix(prefix).unwrap_or(partition);
        let is_of_marshal = name.starts_with("marshal-");
        if name.starts_with("simplex") {
            Self::Logged { removes_later: true }
        } else if is_of_marshal && ["-notarizations-", "-finalizations-"].iter().any(|cache| name.contains(cache)) {
            Self::Volatile
        } else if is_of_marshal && ["-metadata", "-key"].iter().any(|end| name.ends_with(end)) {
            Self::Logged { removes_later: false }
        } else if is_of_marshal && name.ends_with("-value") {
            Self::Blocks
        } else {
            Self::Own
        }
    }
}

/// A small file.
struct File {
    number: u64,
    version: BlobVersion,
    is_kept: bool,
    is_removed: AtomicBool,
    content: RwLock<Vec<u8>>,
    /// Alive while the file is open.
    open: Mutex<Weak<()>>,
}

type Files = BTreeMap<Vec<u8>, Arc<File>>;

#[derive(Default)]
struct State {
    partitions: BTreeMap<String, Files>,
    next_number: u64,
    /// Records that are not in the log yet.
    queue: Vec<u8>,
    /// Records so far.
    recorded: u64,
}

/// The log as it is written.
struct Disk<B> {
    frames: Frames<B>,
    /// Bytes from which on the next generation begins.
    limit: usize,
    /// Records that are on the disk.
    synced: u64,
    /// Why nothing can be written any more: what is behind a failed write is not known.
    failure: Option<Error>,
}

struct Log<E: Storage> {
    context: E,
    prefix: String,
    /// Where blocks are.
    directory: Option<PathBuf>,
    state: Mutex<State>,
    disk: tokio::sync::Mutex<Disk<E::Blob>>,
    /// Partitions of which nothing is anywhere else.
    adopted: tokio::sync::Mutex<BTreeSet<String>>,
}

/// A runtime whose small files are in a log.
pub(crate) struct Logged<E: Storage> {
    inner: E,
    log: Arc<Log<E>>,
}

/// A file of a [`Logged`] runtime.
pub(crate) enum Blob<E: Storage> {
    Own(E::Blob),
    Small(Small<E>),
    Block(Block<E>),
}

/// A file of blocks that is open.
pub(crate) struct Block<E: Storage> {
    file: Arc<BlockFile>,
    log: Arc<Log<E>>,
}

/// A file of the log that is open.
pub(crate) struct Small<E: Storage> {
    file: Arc<File>,
    log: Arc<Log<E>>,
    _open: Arc<()>,
}

impl State {
    fn record(&mut self, record: &Record<'_>) {
        record.encode(&mut self.queue);
        self.recorded += 1;
    }

    fn create(&mut self, partition: &str, name: &[u8], version: BlobVersion, is_kept: bool) -> Arc<File> {
        let number = self.next_number;
        self.next_number += 1;
        if is_kept {
            self.record(&Record::Create { file: number, version: version.get(), partition, name });
        }
        self.insert(partition, name, number, version, is_kept)
    }

    fn insert(&mut self, partition: &str, name: &[u8], number: u64, version: BlobVersion, is_kept: bool) -> Arc<File> {
        let file = Arc::new(File {
            number,
            version,
            is_kept,
            is_removed: AtomicBool::new(false),
            content: RwLock::default(),
            open: Mutex::default(),
        });
        self.partitions.entry(partition.to_owned()).or_default().insert(name.to_vec(), file.clone());
        file
    }

    fn write(&mut self, file: &File, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= FILE_BYTES_MAX);
        let end = end.ok_or(Error::OffsetOverflow)? as usize;
        if file.is_recorded() {
            self.record(&Record::Write { file: file.number, offset, bytes });
        }
        let mut content = file.content.write();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn resize(&mut self, file: &File, length: u64) -> Result<(), Error> {
        if length > FILE_BYTES_MAX {
            return Err(Error::OffsetOverflow);
        }
        if file.is_recorded() {
            self.record(&Record::Resize { file: file.number, length });
        }
        file.content.write().resize(length as usize, 0);
        Ok(())
    }

    fn removed(&mut self, file: &File) {
        if file.is_recorded() {
            self.record(&Record::Remove { file: file.number });
        }
        file.is_removed.store(true, Ordering::Relaxed);
    }

    /// Removes a file, or all of a partition.
    fn remove(&mut self, partition: &str, name: Option<&[u8]>) -> Result<(), Error> {
        let Slot::Occupied(mut slot) = self.partitions.entry(partition.to_owned()) else {
            return Err(Error::PartitionMissing(partition.to_owned()));
        };
        let files: Vec<_> = match name {
            Some(name) => slot.get_mut().remove(name).into_iter().collect(),
            None => slot.remove().into_values().collect(),
        };
        match name {
            Some(name) if files.is_empty() => Err(Error::BlobMissing(partition.to_owned(), hex::encode(name))),
            _ => {
                files.iter().for_each(|file| self.removed(file));
                Ok(())
            }
        }
    }

    /// Records that make all files that are kept, or those of one partition.
    fn snapshot(&self, of: Option<&str>) -> Vec<u8> {
        let mut records = Vec::new();
        let partitions = self.partitions.iter().filter(|(partition, _)| of.is_none_or(|of| of == *partition));
        for (partition, files) in partitions {
            for (name, file) in files.iter().filter(|(_, file)| file.is_kept) {
                let (number, content) = (file.number, file.content.read());
                Record::Create { file: number, version: file.version.get(), partition, name }.encode(&mut records);
                Record::Write { file: number, offset: 0, bytes: &content }.encode(&mut records);
            }
        }
        records
    }

    /// Does again what is recorded. `None` if that makes no sense.
    fn replay(&mut self, mut records: &[u8], files: &mut HashMap<u64, (Arc<File>, String, Vec<u8>)>) -> Option<()> {
        while !records.is_empty() {
            match Record::decode(&mut records)? {
                Record::Create { file, version, partition, name } => {
                    self.next_number = self.next_number.max(file.checked_add(1)?);
                    let made = self.insert(partition, name, file, BlobVersion::new(version), true);
                    files.insert(file, (made, partition.to_owned(), name.to_vec()));
                }
                Record::Write { file, offset, bytes } => {
                    self.write(&files.get(&file)?.0.clone(), offset, bytes).ok()?
                }
                Record::Resize { file, length } => self.resize(&files.get(&file)?.0.clone(), length).ok()?,
                Record::Remove { file } => {
                    let (removed, partition, name) = files.remove(&file)?;
                    let Slot::Occupied(mut slot) = self.partitions.entry(partition) else { return None };
                    // A file of this name that was made since is another one.
                    if slot.get().get(&name).is_some_and(|file| Arc::ptr_eq(file, &removed)) {
                        slot.get_mut().remove(&name);
                    }
                    if slot.get().is_empty() {
                        slot.remove();
                    }
                }
            }
        }
        Some(())
    }
}

impl File {
    fn is_recorded(&self) -> bool {
        self.is_kept && !self.is_removed.load(Ordering::Relaxed)
    }
}

impl<E: Runtime> Log<E> {
    /// Makes everything that is recorded so far durable, by a task of its own: it goes on if nobody waits for it.
    fn commit(self: &Arc<Self>) -> Handle<()> {
        let (log, recorded) = (self.clone(), self.state.lock().recorded);
        let written = self.context.child("log").spawn(move |_| async move { log.write_until(recorded).await });
        Handle::from_future(async move { written.await? })
    }

    async fn write_until(&self, recorded: u64) -> Result<(), Error> {
        let mut disk = self.disk.lock().await;
        if disk.synced >= recorded {
            return Ok(());
        }
        if let Some(failure) = &disk.failure {
            return Err(failure.clone());
        }
        // Should this end in the middle, nobody writes to the same place.
        disk.failure = Some(Error::Aborted);
        let written = self.write(&mut disk).await;
        disk.failure = written.clone().err();
        if let Err(error) = &written {
            tracing::error!(%error, "what the consensus engine keeps cannot be written");
        }
        written
    }

    /// Writes what waits, or everything if the log has become long.
    async fn write(&self, disk: &mut Disk<E::Blob>) -> Result<(), Error> {
        let (is_long, content, recorded) = {
            let mut state = self.state.lock();
            let is_long = disk.frames.bytes() + state.queue.len() > disk.limit;
            let queue = std::mem::take(&mut state.queue);
            (is_long, if is_long { state.snapshot(None) } else { queue }, state.recorded)
        };
        if is_long {
            disk.frames.begin(self.life(), &content).await?;
            disk.limit = GENERATION_BYTES.max(4 * content.len());
        } else {
            disk.frames.append(&content).await?;
        }
        disk.synced = recorded;
        Ok(())
    }

    /// A number that no other part of the log has.
    fn life(&self) -> u64 {
        self.context.child("life").next_u64()
    }

    /// Takes back what was put away of a partition.
    async fn adopt(self: &Arc<Self>, partition: &str) -> Result<(), Error> {
        let mut adopted = self.adopted.lock().await;
        if adopted.contains(partition) {
            return Ok(());
        }
        let away = self.away();
        if names(&self.context, &away).await?.iter().any(|name| name == partition.as_bytes()) {
            // What the log has is the same: the rest was to be removed.
            if !self.state.lock().partitions.contains_key(partition) {
                let bytes = read(&self.context, &away, partition.as_bytes()).await?;
                let damaged = || Error::PartitionCorrupt(format!("{away}: what was put away of {partition}"));
                self.take_back(&bytes).ok_or_else(damaged)?;
                self.commit().await?;
            }
            self.context.remove(&away, Some(partition.as_bytes())).await?;
        }
        adopted.insert(partition.to_owned());
        Ok(())
    }

    /// Files that were put away, under new numbers.
    fn take_back(&self, bytes: &[u8]) -> Option<()> {
        let (sum, mut records) = bytes.split_first_chunk()?;
        if crc32fast::hash(records) != u32::from_be_bytes(*sum) {
            return None;
        }
        let mut state = self.state.lock();
        let mut files = HashMap::new();
        while !records.is_empty() {
            match Record::decode(&mut records)? {
                Record::Create { file, version, partition, name } => {
                    files.insert(file, state.create(partition, name, BlobVersion::new(version), true));
                }
                Record::Write { file, offset, bytes } => state.write(&files.get(&file)?.clone(), offset, bytes).ok()?,
                _ => return None,
            }
        }
        Some(())
    }

    /// Partition of what was put away.
    fn away(&self) -> String {
        format!("{}away", self.prefix)
    }

    fn kind(&self, partition: &str) -> Kind {
        match Kind::of(partition, &self.prefix) {
            Kind::Blocks if self.directory.is_none() => Kind::Own,
            kind => kind,
        }
    }

    /// Does something with files on a thread that may wait for the disk; it goes on if nobody waits for it.
    fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Handle<T> {
        let done = self.context.child("blocks").shared(true).spawn(move |_| async move { work() });
        Handle::from_future(async move { done.await?.map_err(|error| Error::Io(Arc::new(error))) })
    }

    /// The same with the directory of blocks and a partition in it.
    fn on_blocks<T: Send + 'static>(
        &self,
        partition: &str,
        work: impl FnOnce(&Path, &str) -> io::Result<T> + Send + 'static,
    ) -> Handle<T> {
        let (directory, partition) = (self.directory.clone().unwrap_or_default(), partition.to_owned());
        self.blocking(move || work(&directory, &partition))
    }
}

impl<E: Runtime> Log<E> {
    async fn open_block(
        self: &Arc<Self>,
        partition: &str,
        name: &[u8],
        versions: RangeInclusive<BlobVersion>,
    ) -> Result<(Blob<E>, u64, BlobVersion), Error> {
        if !versions.contains(&DEFAULT_BLOB_VERSION) {
            return Err(Error::BlobVersionMismatch { expected: versions, found: DEFAULT_BLOB_VERSION });
        }
        let named = name.to_vec();
        let opened = self.on_blocks(partition, move |directory, partition| blocks::open(directory, partition, &named));
        let is_open = || Error::BlobAlreadyOpen(partition.to_owned(), hex::encode(name));
        let (file, length) = opened.await?.ok_or_else(is_open)?;
        Ok((Blob::Block(Block { file: Arc::new(file), log: self.clone() }), length, DEFAULT_BLOB_VERSION))
    }

    async fn remove_blocks(&self, partition: &str, name: Option<&[u8]>) -> Result<(), Error> {
        let named = name.map(<[u8]>::to_vec);
        let removed = self
            .on_blocks(partition, move |directory, partition| blocks::remove(directory, partition, named.as_deref()));
        removed.await?.ok_or_else(|| match name {
            Some(name) => Error::BlobMissing(partition.to_owned(), hex::encode(name)),
            None => Error::PartitionMissing(partition.to_owned()),
        })
    }
}

/// Names of the files of a partition; none if it is missing.
async fn names<S: Storage>(storage: &S, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
    match storage.scan(partition).await {
        Err(Error::PartitionMissing(_)) => Ok(Vec::new()),
        names => names,
    }
}

async fn read<S: Storage>(storage: &S, partition: &str, name: &[u8]) -> Result<Vec<u8>, Error> {
    let (blob, length) = storage.open(partition, name).await?;
    let length = usize::try_from(length).map_err(|_| Error::OffsetOverflow)?;
    Ok(blob.read_at(0, length, ReadOptions::DONT_CACHE).await?.coalesce().as_ref().to_vec())
}

impl<E: Runtime> Logged<E> {
    /// Opens the log. `prefix` begins the names of the engine's partitions; blocks go into `directory`, if there is one.
    ///
    /// # Errors
    /// When it cannot be read or written, or is damaged: without knowing what it signed a validator must not go on.
    pub async fn open(context: E, prefix: &str, directory: Option<PathBuf>) -> Result<Self, Error> {
        let (mut frames, contents) = Frames::open(&context, &format!("{prefix}log")).await?;
        let (mut state, mut files) = (State::default(), HashMap::new());
        for content in contents.iter().flatten() {
            let damaged = || Error::PartitionCorrupt(format!("{prefix}log: a record that makes no sense"));
            state.replay(content, &mut files).ok_or_else(damaged)?;
        }
        state.queue.clear();
        let content = state.snapshot(None);
        for _ in 0..if contents.is_none() { 2 } else { 1 } {
            frames.begin(context.child("life").next_u64(), &content).await?;
        }
        let limit = GENERATION_BYTES.max(4 * content.len());
        let disk = Disk { frames, limit, synced: state.recorded, failure: None };
        let log = Log {
            context: context.child("log"),
            prefix: prefix.to_owned(),
            directory,
            state: Mutex::new(state),
            disk: tokio::sync::Mutex::new(disk),
            adopted: tokio::sync::Mutex::default(),
        };
        Ok(Self { inner: context, log: Arc::new(log) })
    }

    /// Puts the files of a partition away that is not needed any more, into one that takes no memory.
    pub async fn put_away(&self, partition: &str) -> Result<(), Error> {
        let mut adopted = self.log.adopted.lock().await;
        let records = self.log.state.lock().snapshot(Some(partition));
        if records.is_empty() {
            return Ok(());
        }
        let mut content = Vec::with_capacity(4 + records.len());
        content.put_u32(crc32fast::hash(&records));
        content.put_slice(&records);
        let (file, _) = self.inner.open(&self.log.away(), partition.as_bytes()).await?;
        file.write_at(0, content, WriteOptions::SYNC).await?;
        self.log.state.lock().remove(partition, None)?;
        self.log.commit().await?;
        adopted.remove(partition);
        Ok(())
    }
}

impl<E: Runtime> Storage for Logged<E> {
    type Blob = Blob<E>;

    async fn open_versioned(
        &self,
        partition: &str,
        name: &[u8],
        versions: RangeInclusive<BlobVersion>,
    ) -> Result<(Self::Blob, u64, BlobVersion), Error> {
        let kind = self.log.kind(partition);
        if kind == Kind::Own {
            let (blob, length, version) = self.inner.open_versioned(partition, name, versions).await?;
            return Ok((Blob::Own(blob), length, version));
        }
        if kind == Kind::Blocks {
            return self.log.open_block(partition, name, versions).await;
        }
        self.log.adopt(partition).await?;
        let mut state = self.log.state.lock();
        let found = state.partitions.get(partition).and_then(|files| files.get(name)).cloned();
        let file = found.unwrap_or_else(|| state.create(partition, name, *versions.end(), kind != Kind::Volatile));
        drop(state);
        if !versions.contains(&file.version) {
            return Err(Error::BlobVersionMismatch { expected: versions, found: file.version });
        }
        let mut open = file.open.lock();
        if open.upgrade().is_some() {
            return Err(Error::BlobAlreadyOpen(partition.to_owned(), hex::encode(name)));
        }
        let opened = Arc::new(());
        *open = Arc::downgrade(&opened);
        drop(open);
        let (length, version) = (file.content.read().len() as u64, file.version);
        Ok((Blob::Small(Small { file, log: self.log.clone(), _open: opened }), length, version))
    }

    async fn remove(&self, partition: &str, name: Option<&[u8]>) -> Result<(), Error> {
        let kind = self.log.kind(partition);
        if kind == Kind::Own {
            return self.inner.remove(partition, name).await;
        }
        if kind == Kind::Blocks {
            return self.log.remove_blocks(partition, name).await;
        }
        self.log.adopt(partition).await?;
        self.log.state.lock().remove(partition, name)?;
        match kind {
            Kind::Logged { removes_later } if name.is_none() || !removes_later => self.log.commit().await,
            _ => Ok(()),
        }
    }

    async fn scan(&self, partition: &str) -> Result<Vec<Vec<u8>>, Error> {
        let kind = self.log.kind(partition);
        if kind == Kind::Own {
            return self.inner.scan(partition).await;
        }
        if kind == Kind::Blocks {
            let names = self.log.on_blocks(partition, blocks::scan).await?;
            return names.ok_or_else(|| Error::PartitionMissing(partition.to_owned()));
        }
        self.log.adopt(partition).await?;
        let state = self.log.state.lock();
        let files = state.partitions.get(partition).ok_or_else(|| Error::PartitionMissing(partition.to_owned()))?;
        Ok(files.keys().cloned().collect())
    }
}

impl<E: Runtime> Small<E> {
    /// The bytes in a range, as `take` makes something of them.
    fn read<T>(&self, offset: u64, length: usize, take: impl FnOnce(&[u8]) -> T) -> Result<T, Error> {
        let start = usize::try_from(offset).map_err(|_| Error::OffsetOverflow)?;
        let end = start.checked_add(length).ok_or(Error::OffsetOverflow)?;
        self.file.content.read().get(start..end).map(take).ok_or(Error::BlobInsufficientLength)
    }

    fn commit(&self) -> Handle<()> {
        if !self.file.is_kept {
            return Handle::ready(Ok(()));
        }
        // What is written to a removed file is nowhere: nobody must believe that it is on the disk.
        if self.file.is_removed.load(Ordering::Relaxed) {
            return Handle::ready(Err(Error::WriteFailed));
        }
        self.log.commit()
    }
}

impl<E: Runtime> Block<E> {
    fn work<T: Send + 'static>(&self, work: impl FnOnce(&BlockFile) -> io::Result<T> + Send + 'static) -> Handle<T> {
        let file = self.file.clone();
        self.log.blocking(move || work(&file))
    }

    async fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, Error> {
        match self.work(move |file| file.read(offset, length)).await {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Error::BlobInsufficientLength),
            read => read,
        }
    }
}

/// The buffers of a caller with `bytes`.
///
/// # Panics
/// If they do not fit, as the runtime does.
fn fill(mut bufs: IoBufsMut, bytes: &[u8]) -> IoBufsMut {
    assert!(bytes.len() <= bufs.capacity(), "{} bytes do not fit into {}", bytes.len(), bufs.capacity());
    if bufs.is_empty() {
        bufs.put_slice(bytes);
        bufs
    } else if bufs.len() == bytes.len() {
        bufs.copy_from_slice(bytes);
        bufs
    } else {
        IoBufMut::from(bytes).into()
    }
}

impl<E: Runtime> commonware_runtime::Blob for Blob<E> {
    async fn read_at_buf(
        &self,
        offset: u64,
        len: usize,
        bufs: impl Into<IoBufsMut> + Send,
        options: ReadOptions,
    ) -> Result<IoBufsMut, Error> {
        match self {
            Self::Own(blob) => blob.read_at_buf(offset, len, bufs, options).await,
            Self::Small(small) => {
                let bufs = bufs.into();
                small.read(offset, len, |bytes| fill(bufs, bytes))
            }
            Self::Block(block) => {
                let bufs = bufs.into();
                Ok(fill(bufs, &block.read(offset, len).await?))
            }
        }
    }

    async fn read_at(&self, offset: u64, len: usize, options: ReadOptions) -> Result<IoBufsMut, Error> {
        match self {
            Self::Own(blob) => blob.read_at(offset, len, options).await,
            Self::Small(small) => small.read(offset, len, |bytes| IoBufMut::from(bytes).into()),
            Self::Block(block) => Ok(block.read(offset, len).await?.into()),
        }
    }

    async fn write_at(&self, offset: u64, bufs: impl Into<IoBufs> + Send, options: WriteOptions) -> Result<(), Error> {
        match self {
            Self::Own(blob) => blob.write_at(offset, bufs, options).await,
            Self::Small(small) => {
                let bytes = bufs.into().coalesce();
                small.log.state.lock().write(&small.file, offset, bytes.as_ref())?;
                if options.contains(WriteOptions::SYNC) && !bytes.is_empty() { small.commit().await } else { Ok(()) }
            }
            Self::Block(block) => {
                let (bytes, is_synced) = (bufs.into().coalesce(), options.contains(WriteOptions::SYNC));
                let written = block.work(move |file| {
                    file.write(offset, bytes.as_ref())?;
                    if is_synced { file.sync() } else { Ok(()) }
                });
                written.await
            }
        }
    }

    async fn resize(&self, len: u64) -> Result<(), Error> {
        match self {
            Self::Own(blob) => blob.resize(len).await,
            Self::Small(small) => small.log.state.lock().resize(&small.file, len),
            Self::Block(block) => block.work(move |file| file.resize(len)).await,
        }
    }

    async fn sync(&self) -> Result<(), Error> {
        match self {
            Self::Own(blob) => blob.sync().await,
            Self::Small(small) => small.commit().await,
            Self::Block(block) => block.work(BlockFile::sync).await,
        }
    }

    async fn start_sync(&self) -> Handle<()> {
        match self {
            Self::Own(blob) => blob.start_sync().await,
            Self::Small(small) => small.commit(),
            Self::Block(block) => block.work(BlockFile::sync),
        }
    }
}

impl<E: Runtime> Supervisor for Logged<E> {
    fn name(&self) -> Name {
        self.inner.name()
    }

    fn child(&self, label: &'static str) -> Self {
        Self { inner: self.inner.child(label), log: self.log.clone() }
    }

    fn with_attribute(self, key: &'static str, value: impl std::fmt::Display) -> Self {
        Self { inner: self.inner.with_attribute(key, value), log: self.log }
    }
}

impl<E: Runtime> Spawner for Logged<E> {
    fn shared(self, blocking: bool) -> Self {
        Self { inner: self.inner.shared(blocking), log: self.log }
    }

    fn dedicated(self) -> Self {
        Self { inner: self.inner.dedicated(), log: self.log }
    }

    fn spawn<F, Fut, T>(self, f: F) -> Handle<T>
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let log = self.log;
        self.inner.spawn(move |inner| f(Self { inner, log }))
    }

    fn stop(self, value: i32, timeout: Option<Duration>) -> impl Future<Output = Result<(), Error>> + Send {
        self.inner.stop(value, timeout)
    }

    fn stopped(&self) -> Signal {
        self.inner.stopped()
    }
}

impl<E: Runtime> Metrics for Logged<E> {
    fn register<N: Into<String>, H: Into<String>, M: Metric>(&self, name: N, help: H, metric: M) -> Registered<M> {
        self.inner.register(name, help, metric)
    }

    fn encode(&self) -> String {
        self.inner.encode()
    }
}

impl<E: Runtime> governor::clock::Clock for Logged<E> {
    type Instant = SystemTime;

    fn now(&self) -> SystemTime {
        self.inner.now()
    }
}

impl<E: Runtime> governor::clock::ReasonablyRealtime for Logged<E> {}

impl<E: Runtime> Clock for Logged<E> {
    fn current(&self) -> SystemTime {
        self.inner.current()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static + use<E> {
        self.inner.sleep(duration)
    }

    fn sleep_until(&self, deadline: SystemTime) -> impl Future<Output = ()> + Send + 'static + use<E> {
        self.inner.sleep_until(deadline)
    }
}

impl<E: Runtime> TryRng for Logged<E> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.inner.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.inner.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.inner.fill_bytes(bytes);
        Ok(())
    }
}

impl<E: Runtime> TryCryptoRng for Logged<E> {}
