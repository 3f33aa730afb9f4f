//! How accepted submissions get to the disk, and back after a crash at any byte.
//!
//! An append-only file written by one thread: everything that arrived while the last `fsync` ran goes out with the
//! next, so that the cost of one is shared by all who wait. Each record has a checksum that also covers the one before
//! it. A crash can tear only what nobody was told is there; that is dropped. Damage further up is refused, as it would
//! take acknowledged submissions with it. When the file has grown, what still waits is written to a second file that
//! takes its place; so is everything after a write that failed, since what such a write left behind is not known.
//!
//! ```text
//! header:  "KUMOSUBM" ‖ version 1 (4) ‖ genesis (32) ‖ checksum (8)
//! record:  length of the body (4) ‖ body ‖ checksum (8)
//! ```
//! Numbers are big endian; a checksum is the first 8 bytes of SHA-256(checksum before ‖ length ‖ body). The bodies are
//! those of `record.rs`.

use super::record::{RECORD_BYTES_MAX, Record};
use crate::limits::{JOURNAL_BYTES_MAX, JOURNAL_QUEUE_BYTES_MAX};
use bytes::{BufMut as _, Bytes, BytesMut};
use commonware_cryptography::{Hasher as _, Sha256};
use parking_lot::{Condvar, Mutex};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

const MAGIC: &[u8; 8] = b"KUMOSUBM";
const VERSION: u32 = 1;
const SUM_BYTES: usize = 8;
const HEADER_BYTES: usize = 8 + 4 + 32 + SUM_BYTES;
/// Bytes of a record beside its body.
const FRAME_BYTES: usize = 4 + SUM_BYTES;
/// Bytes that one write may have and a crash may therefore tear: what may wait, and the records of one submission.
const TORN_BYTES_MAX: usize = 2 * JOURNAL_QUEUE_BYTES_MAX;

type Sum = [u8; SUM_BYTES];

/// The journal of submissions cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file is of another network.
    #[error("{path} belongs to the network with genesis 0x{found}, this one has 0x{expected}")]
    Genesis {
        /// File.
        path: PathBuf,
        /// In the file.
        found: String,
        /// Of this network.
        expected: String,
    },
    /// The file is damaged before its end.
    #[error(
        "{path} is damaged at byte {offset}, {bytes} bytes before its end: restore it, or move it away and lose what is \
         only in it"
    )]
    Damaged {
        /// File.
        path: PathBuf,
        /// Where.
        offset: usize,
        /// How much follows.
        bytes: usize,
    },
    /// Reading or writing failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// File.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a group of submissions is told: done, or why not.
pub(crate) type Outcome = Result<(), Arc<str>>;

/// Tells what must be in a file that is written anew.
pub(crate) type Snapshot = Box<dyn Fn() -> Vec<Record> + Send>;

#[derive(Default)]
struct Queue {
    records: Vec<Record>,
    bytes: usize,
    waiting: Vec<oneshot::Sender<Outcome>>,
    is_closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

/// Who writes the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// A thread, which gathers what arrives while it writes.
    Thread,
    /// Whoever adds records, at once: in a simulation, where nothing may depend on real time. The file only grows.
    Caller,
}

/// The open journal, with the thread that writes it.
pub(crate) struct Journal {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// For [`Writer::Caller`].
    inline: Option<Mutex<Option<OpenFile>>>,
}

impl Journal {
    /// What the file at `path` tells, oldest first; nothing if there is no file.
    pub fn read(path: &Path, genesis: &[u8; 32]) -> Result<Vec<Record>, JournalError> {
        match fs::read(path) {
            Ok(bytes) => parse(path, genesis, bytes.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(io_error("read", path, source)),
        }
    }

    /// Puts what `snapshot` tells into the file, and starts the thread.
    pub fn start(path: &Path, genesis: [u8; 32], snapshot: Snapshot, writer: Writer) -> Result<Self, JournalError> {
        let mut file = Appender { path: path.to_owned(), genesis, open: None, snapshot };
        file.rewrite()?;
        let shared = Arc::new(Shared::default());
        if writer == Writer::Caller {
            let inline = Some(Mutex::new(file.open));
            return Ok(Self { shared, thread: Mutex::new(None), inline });
        }
        let writer = shared.clone();
        let thread = std::thread::Builder::new()
            .name("submissions".to_owned())
            .spawn(move || write_all(&writer, &mut file))
            .map_err(|source| io_error("start the thread of", path, source))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)), inline: None })
    }

    /// Whether more may wait.
    pub fn has_room(&self) -> bool {
        self.shared.queue.lock().bytes < JOURNAL_QUEUE_BYTES_MAX
    }

    /// Adds records, and tells when they and all before them are on the disk. The receiver fails if the journal closes.
    pub fn append(&self, records: Vec<Record>) -> oneshot::Receiver<Outcome> {
        let (done, told) = oneshot::channel();
        if let Some(file) = &self.inline {
            let outcome = write_now(file, &records);
            let _ = done.send(outcome);
            return told;
        }
        let mut queue = self.shared.queue.lock();
        if !queue.is_closed {
            queue.add(records);
            queue.waiting.push(done);
            self.shared.arrived.notify_one();
        }
        told
    }

    /// Adds records that need not be on the disk before anything else is.
    pub fn note(&self, records: Vec<Record>) {
        if let Some(file) = &self.inline {
            // Who relies on it appends.
            let _ = write_now(file, &records);
            return;
        }
        let mut queue = self.shared.queue.lock();
        if !queue.is_closed && !records.is_empty() {
            queue.add(records);
            self.shared.arrived.notify_one();
        }
    }

    /// Writes what waits and ends the thread; what comes later is not taken.
    pub fn close(&self) {
        self.shared.queue.lock().is_closed = true;
        self.shared.arrived.notify_one();
        let thread = self.thread.lock().take();
        // The last handle may be dropped by the thread itself, which then ends.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id())
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes submissions panicked");
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

impl Queue {
    fn add(&mut self, records: Vec<Record>) {
        self.bytes += records.iter().map(Record::bytes).sum::<usize>();
        self.records.extend(records);
    }
}

/// Writes records to the disk before it returns. After a failure nothing is written any more.
fn write_now(file: &Mutex<Option<OpenFile>>, records: &[Record]) -> Outcome {
    let mut file = file.lock();
    let open = file.take().ok_or_else(|| Arc::from("the journal failed before"))?;
    *file = Some(open.append(records, true).map_err(|error| Arc::from(error.to_string()))?);
    Ok(())
}

/// Body of the thread.
fn write_all(shared: &Shared, file: &mut Appender) {
    loop {
        let Queue { records, waiting, .. } = {
            let mut queue = shared.queue.lock();
            while queue.records.is_empty() && queue.waiting.is_empty() {
                if queue.is_closed {
                    return;
                }
                shared.arrived.wait(&mut queue);
            }
            let is_closed = queue.is_closed;
            std::mem::replace(&mut *queue, Queue { is_closed, ..Queue::default() })
        };
        let outcome = file.append(&records, !waiting.is_empty()).map_err(|error| {
            tracing::error!(%error, "submissions are not accepted until they can be written");
            Arc::from(error.to_string())
        });
        // Whoever no longer waits has gone away.
        waiting.into_iter().for_each(|waiting| drop(waiting.send(outcome.clone())));
    }
}

struct OpenFile {
    file: File,
    sum: Sum,
    bytes: usize,
    is_synced: bool,
}

/// The file, as the thread sees it.
struct Appender {
    path: PathBuf,
    genesis: [u8; 32],
    /// `None` after a failure.
    open: Option<OpenFile>,
    snapshot: Snapshot,
}

impl Appender {
    fn append(&mut self, records: &[Record], durable: bool) -> Result<(), JournalError> {
        match self.open.take() {
            Some(open) if open.bytes < JOURNAL_BYTES_MAX => {
                let written = open.append(records, durable);
                self.open = Some(written.map_err(|source| io_error("write", &self.path, source))?);
                Ok(())
            }
            // The snapshot is newer than the records.
            _ => self.rewrite(),
        }
    }

    fn rewrite(&mut self) -> Result<(), JournalError> {
        let records = (self.snapshot)();
        let written = write_new(&self.path, &self.genesis, &records);
        self.open = Some(written.map_err(|source| io_error("write", &self.path, source))?);
        Ok(())
    }
}

impl OpenFile {
    fn append(mut self, records: &[Record], durable: bool) -> io::Result<Self> {
        if !records.is_empty() {
            let mut bytes = BytesMut::new();
            self.sum = encode(&mut bytes, self.sum, records);
            self.file.write_all(&bytes)?;
            (self.bytes, self.is_synced) = (self.bytes + bytes.len(), false);
        }
        if durable && !self.is_synced {
            self.file.sync_data()?;
            self.is_synced = true;
        }
        Ok(self)
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> JournalError {
    JournalError::Io { action, path: path.to_owned(), source }
}

fn header(genesis: &[u8; 32]) -> (BytesMut, Sum) {
    let mut bytes = BytesMut::with_capacity(HEADER_BYTES);
    bytes.put_slice(MAGIC);
    bytes.put_u32(VERSION);
    bytes.put_slice(genesis);
    let sum = sum(&[&bytes]);
    bytes.put_slice(&sum);
    (bytes, sum)
}

fn sum(parts: &[&[u8]]) -> Sum {
    *Sha256::hash(parts).0.first_chunk().expect("a hash has 32 bytes")
}

/// Adds the records, each with its frame; returns the last checksum.
fn encode(out: &mut BytesMut, mut last: Sum, records: &[Record]) -> Sum {
    out.reserve(records.iter().map(|record| record.bytes() + FRAME_BYTES).sum());
    for record in records {
        let start = out.len();
        out.put_u32(record.bytes() as u32);
        record.write(out);
        last = sum(&[&last, &out[start..]]);
        out.put_slice(&last);
    }
    last
}

/// Writes a second file, and puts it in the place of the first.
fn write_new(path: &Path, genesis: &[u8; 32], records: &[Record]) -> io::Result<OpenFile> {
    let (mut bytes, sum) = header(genesis);
    let sum = encode(&mut bytes, sum, records);
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&beside)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(OpenFile { file, sum, bytes: bytes.len(), is_synced: true })
}

/// Reads every whole record. What follows the last one is dropped if a crash can have left it.
fn parse(path: &Path, genesis: &[u8; 32], bytes: Bytes) -> Result<Vec<Record>, JournalError> {
    let damaged = |offset: usize| JournalError::Damaged { path: path.to_owned(), offset, bytes: bytes.len() - offset };
    let (expected, mut last) = header(genesis);
    if bytes.get(..HEADER_BYTES) != Some(&expected[..]) {
        // The header is whole before the file gets its name.
        return match bytes.get(12..44) {
            Some(found) if bytes.starts_with(&expected[..12]) && found != genesis => Err(JournalError::Genesis {
                path: path.to_owned(),
                found: hex::encode(found),
                expected: hex::encode(genesis),
            }),
            _ => Err(damaged(0)),
        };
    }
    let (mut records, mut at) = (Vec::new(), HEADER_BYTES);
    while let Some((record, next, sum)) = next_record(&bytes, at, &last) {
        records.push(record);
        (at, last) = (next, sum);
    }
    let torn = bytes.len() - at;
    if torn > TORN_BYTES_MAX {
        return Err(damaged(at));
    }
    if torn > 0 {
        tracing::warn!(path = %path.display(), bytes = torn, "dropped submissions that were never written to their end");
    }
    Ok(records)
}

/// The record at `at`, where the next one begins, and its checksum.
fn next_record(bytes: &Bytes, at: usize, last: &Sum) -> Option<(Record, usize, Sum)> {
    let length = u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?) as usize;
    let end = at + 4 + length.min(RECORD_BYTES_MAX);
    let found: &Sum = bytes.get(end..)?.first_chunk()?;
    let expected = sum(&[last, &bytes[at..end]]);
    let record = if *found == expected { Record::read(bytes.slice(at + 4..end))? } else { return None };
    Some((record, end + SUM_BYTES, expected))
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// Appends to a disk without room, in the place of the file at `path`.
    pub fn full_disk(
        path: &Path,
        genesis: [u8; 32],
        records: Vec<Record>,
    ) -> impl FnMut(&[Record]) -> Result<(), JournalError> {
        let file = OpenOptions::new().write(true).open("/dev/full").expect("the system has a full device");
        let open = Some(OpenFile { file, sum: Sum::default(), bytes: 0, is_synced: true });
        let snapshot = Box::new(move || records.clone());
        let mut appender = Appender { path: path.to_owned(), genesis, open, snapshot };
        move |records| appender.append(records, true)
    }
}
