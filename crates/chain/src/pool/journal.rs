//! What waits in the pool, in a file beside the chain, so that it survives the end of the process.
//!
//! An append-only list of records, each with a checksum: a transaction taken in, or one struck out because nobody took
//! it. What was mined, replaced or evicted is not struck out: reading checks every transaction against the chain again,
//! and the file is rewritten with what waits when more than half of it is stale. A record is handed to the system before
//! the sender gets an answer, so `kill -9` loses nothing; it is on disk after the next [`Journal::sync`], so a power cut
//! loses what came since then.
//!
//! ```text
//! file    = "kumopool" ‖ version (u32) ‖ chain id (u64) ‖ record…
//! record  = crc32 of the rest (u32) ‖ kind (u8) ‖ length (u32) ‖ Unix second (u64) ‖ payload
//! payload = kind 1: EIP-2718 bytes; kind 2: hash                                (integers are little-endian)
//! ```

use super::{JournalError, PooledTransaction};
use crate::TRANSACTION_BYTES_MAX;
use alloy_primitives::{B256, Bytes};
use parking_lot::Mutex;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"kumopool";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 8 + 4 + 8;
const RECORD_BYTES: usize = 4 + 1 + 4 + 8;
const ADDED: u8 = 1;
const STRUCK: u8 = 2;
/// Stale bytes that are not worth a rewrite.
const SLACK_BYTES: u64 = 16 << 20;
/// Bytes that may arrive during a rewrite; beyond it the rewrite is given up and tried again later.
const SIDE_BYTES_MAX: usize = 64 << 20;

/// The journal of a pool.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    chain_id: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: Arc<File>,
    /// Length of the file up to the last whole record.
    bytes: u64,
    /// Whether something was written since the last sync.
    dirty: bool,
    /// Whether a torn record could not be cut off, so that nothing behind it could be read.
    torn: bool,
    /// What arrives during a rewrite.
    side: Option<Vec<u8>>,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// A transaction, and the Unix second it came at.
    Added(Bytes, u64),
    /// A transaction that was refused after all.
    Struck(B256),
}

impl Journal {
    /// Opens the journal at `path` for the chain with this EIP-155 id, creating it where absent.
    ///
    /// Fails when the file cannot be read and written, is no journal, or is of another chain.
    pub(super) fn open(path: &Path, chain_id: u64) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Io { path: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        let mut bytes = file.metadata().map_err(failed)?.len();
        if bytes == 0 {
            file.write_all(&header(chain_id)).map_err(failed)?;
            bytes = HEADER_BYTES as u64;
        }
        check_header(&mut File::open(path).map_err(failed)?, path, chain_id)?;
        let state = State { file: Arc::new(file), bytes, dirty: true, torn: false, side: None };
        Ok(Self { path: path.to_owned(), chain_id, state: Mutex::new(state) })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the records from the beginning, up to the first that is cut off or damaged.
    pub(super) fn records(&self) -> io::Result<Records> {
        let mut reader = BufReader::new(File::open(&self.path)?);
        reader.read_exact(&mut [0; HEADER_BYTES])?;
        Ok(Records { reader, offset: HEADER_BYTES as u64, path: self.path.clone() })
    }

    /// Appends transactions that came at Unix second `now`, in one write.
    pub(super) fn append(&self, txs: &[Arc<PooledTransaction>], now: u64) -> io::Result<()> {
        if txs.is_empty() {
            return Ok(());
        }
        let mut buffer = Vec::with_capacity(txs.iter().map(|tx| RECORD_BYTES + tx.raw.len()).sum());
        txs.iter().for_each(|tx| put(&mut buffer, ADDED, now, &tx.raw));
        self.state.lock().write(&buffer)
    }

    /// Strikes a transaction out.
    pub(super) fn strike(&self, hash: &B256) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(RECORD_BYTES + hash.len());
        put(&mut buffer, STRUCK, 0, hash.as_slice());
        self.state.lock().write(&buffer)
    }

    /// Waits until everything appended is on disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        let file = {
            let mut state = self.state.lock();
            if !std::mem::take(&mut state.dirty) {
                return Ok(());
            }
            state.file.clone()
        };
        file.sync_data().inspect_err(|_| self.state.lock().dirty = true)
    }

    /// Whether most of the file is stale when `live` transactions of `live_bytes` wait, or nothing can be appended.
    pub(super) fn is_stale(&self, live: usize, live_bytes: usize) -> bool {
        let state = self.state.lock();
        state.torn || state.bytes > 2 * (live_bytes + live * RECORD_BYTES) as u64 + SLACK_BYTES
    }

    /// Replaces the file with one that holds what `live` gives; what is appended meanwhile is kept.
    pub(super) fn rewrite(&self, live: impl FnOnce() -> Vec<(Arc<PooledTransaction>, u64)>) -> io::Result<()> {
        {
            let mut state = self.state.lock();
            if state.side.is_some() {
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, "the journal is being rewritten"));
            }
            state.side = Some(Vec::new());
        }
        let written = self.rewrite_aside(live());
        self.state.lock().side = None;
        written
    }

    fn rewrite_aside(&self, live: Vec<(Arc<PooledTransaction>, u64)>) -> io::Result<()> {
        let draft = self.path.with_extension("new");
        // An older draft is of a rewrite that was cut short.
        let file = OpenOptions::new().create(true).write(true).truncate(true).open(&draft)?;
        let mut writer = BufWriter::new(&file);
        writer.write_all(&header(self.chain_id))?;
        let (mut bytes, mut buffer) = (HEADER_BYTES as u64, Vec::new());
        for (tx, added_at) in live {
            buffer.clear();
            put(&mut buffer, ADDED, added_at, &tx.raw);
            writer.write_all(&buffer)?;
            bytes += buffer.len() as u64;
        }
        writer.flush()?;
        drop(writer);
        file.sync_data()?;
        let mut file = OpenOptions::new().append(true).open(&draft)?;

        let mut state = self.state.lock();
        let Some(side) = state.side.take() else {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "too much arrived during the rewrite"));
        };
        file.write_all(&side)?;
        fs::rename(&draft, &self.path)?;
        *state = State {
            file: Arc::new(file),
            bytes: bytes + side.len() as u64,
            dirty: !side.is_empty(),
            torn: false,
            side: None,
        };
        drop(state);
        sync_directory(&self.path)
    }
}

impl State {
    fn write(&mut self, buffer: &[u8]) -> io::Result<()> {
        if self.torn {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "an earlier record could not be completed"));
        }
        if let Err(error) = (&*self.file).write_all(buffer) {
            // Whatever stands behind a torn record could not be read.
            self.torn = self.file.set_len(self.bytes).is_err();
            return Err(error);
        }
        self.bytes += buffer.len() as u64;
        self.dirty = true;
        if let Some(side) = &mut self.side {
            side.extend_from_slice(buffer);
        }
        if self.side.as_ref().is_some_and(|side| side.len() > SIDE_BYTES_MAX) {
            self.side = None;
        }
        Ok(())
    }
}

/// The records of a journal.
pub(super) struct Records {
    reader: BufReader<File>,
    offset: u64,
    path: PathBuf,
}

impl Records {
    /// The next record, `None` at the end.
    fn read(&mut self) -> Result<Option<Record>, String> {
        let mut head = [0; RECORD_BYTES];
        match read_up_to(&mut self.reader, &mut head) {
            Ok(0) => return Ok(None),
            Ok(RECORD_BYTES) => {}
            Ok(_) => return Err("it is cut off".into()),
            Err(error) => return Err(error.to_string()),
        }
        let [checksum @ .., _, _, _, _, _, _, _, _, _, _, _, _, _] = head;
        let [_, _, _, _, kind, length @ .., _, _, _, _, _, _, _, _] = head;
        let [_, _, _, _, _, _, _, _, _, added_at @ ..] = head;
        let length = u32::from_le_bytes(length) as usize;
        if length > TRANSACTION_BYTES_MAX {
            return Err(format!("its length is {length}, the limit is {TRANSACTION_BYTES_MAX}"));
        }
        let mut payload = vec![0; length];
        self.reader.read_exact(&mut payload).map_err(|_| "it is cut off".to_owned())?;
        if checksum_of(&head[4..], &payload) != u32::from_le_bytes(checksum) {
            return Err("its checksum is wrong".into());
        }
        self.offset += (RECORD_BYTES + length) as u64;
        match kind {
            ADDED => Ok(Some(Record::Added(payload.into(), u64::from_le_bytes(added_at)))),
            STRUCK => B256::try_from(payload.as_slice())
                .map(|hash| Some(Record::Struck(hash)))
                .map_err(|_| format!("a hash of {length} bytes")),
            kind => Err(format!("it is of unknown kind {kind}")),
        }
    }
}

impl Iterator for Records {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        self.read().unwrap_or_else(|reason| {
            let (path, offset) = (self.path.display(), self.offset);
            tracing::warn!(%path, offset, reason, "the journal of the pool ends with a damaged record, it is ignored");
            None
        })
    }
}

/// Fills `buffer` as far as there is something to read.
fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn put(buffer: &mut Vec<u8>, kind: u8, at: u64, payload: &[u8]) {
    let mut head = [0; RECORD_BYTES - 4];
    head[0] = kind;
    // A transaction is shorter than 2^32 bytes by far.
    head[1..5].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    head[5..].copy_from_slice(&at.to_le_bytes());
    buffer.extend_from_slice(&checksum_of(&head, payload).to_le_bytes());
    buffer.extend_from_slice(&head);
    buffer.extend_from_slice(payload);
}

fn checksum_of(head: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(payload);
    hasher.finalize()
}

fn header(chain_id: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..].copy_from_slice(&chain_id.to_le_bytes());
    header
}

fn check_header(file: &mut File, path: &Path, chain_id: u64) -> Result<(), JournalError> {
    let format = || JournalError::Format { path: path.to_owned(), version: VERSION };
    let mut found = [0; HEADER_BYTES];
    file.read_exact(&mut found).map_err(|_| format())?;
    let expected = header(chain_id);
    if found[..12] != expected[..12] {
        return Err(format());
    }
    if found != expected {
        let [_, _, _, _, _, _, _, _, _, _, _, _, got @ ..] = found;
        let got = u64::from_le_bytes(got);
        return Err(JournalError::Chain { path: path.to_owned(), got, expected: chain_id });
    }
    Ok(())
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        Some(dir) => File::open(dir)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests;
