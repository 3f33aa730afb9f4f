//! How signed messages get to the disk, and back after a crash at any byte.
//!
//! An append-only file of records of one size, each with a checksum that also covers the checksum before it: nothing in
//! the middle can be lost, changed or moved unnoticed. A record is written and synced before the signature is made.
//! A crash can therefore tear only the last record, whose signature never left; it is dropped. Anything else that does not
//! match is damage, and the file is refused: a validator that forgot what it signed must not sign.
//! Rewriting goes through a second file that takes the place of the first.
//!
//! ```text
//! header:  "KUMOSIGN" │ version 4 │ genesis 32 │ checksum 8
//! record:  kind 1 │ key length 1 │ key 96, zeros behind it │ a 8 │ b 8 │ has root 1 │ root 32 │ zeros 5 │ checksum 8
//! ```
//! Numbers are big endian; `a`, `b` are source and target, or slot and zero.

use super::rules::{Attestation, Block};
use super::{KEY_BYTES_MAX, Record};
use commonware_cryptography::{Hasher as _, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"KUMOSIGN";
const VERSION: u32 = 1;
const SUM_BYTES: usize = 8;
pub(super) const HEADER_BYTES: usize = 8 + 4 + 32 + SUM_BYTES;
const BODY_BYTES: usize = 2 + KEY_BYTES_MAX + 8 + 8 + 1 + 32 + 5;
pub(super) const RECORD_BYTES: usize = BODY_BYTES + SUM_BYTES;

const ATTESTATION: u8 = 1;
const BLOCK: u8 = 2;
const ATTESTATION_BOUND: u8 = 3;
const BLOCK_BOUND: u8 = 4;

/// The record of signatures cannot be used; nothing may be signed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has it.
    #[error("{path} is used by another process; two with the same keys would be slashed")]
    Locked {
        /// File.
        path: PathBuf,
    },
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
    /// The file is damaged.
    #[error(
        "{path} is damaged at byte {offset}: {reason}; do not sign, restore what was signed with an import into a new file"
    )]
    Damaged {
        /// File.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// There is no file to open.
    #[error(
        "{path} is missing; put it back, or create a new one and import what was signed: without it the keys may be slashed"
    )]
    Missing {
        /// File.
        path: PathBuf,
    },
    /// There is a file where one should be created.
    #[error("{path} exists already; open it, or move it away if it is not of these keys")]
    Exists {
        /// File.
        path: PathBuf,
    },
    /// Reading or writing failed.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// File.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A write failed before.
    #[error("a write to {path} failed before, so what is on the disk is not known; restart to read it again")]
    Unknown {
        /// File.
        path: PathBuf,
    },
}

type Sum = [u8; SUM_BYTES];
type Body = [u8; BODY_BYTES];

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    genesis: [u8; 32],
    file: File,
    /// Checksum of the last record.
    sum: Sum,
    records: usize,
    is_usable: bool,
    /// Locked as long as it is open.
    _lock: File,
}

impl Journal {
    /// Creates a file without records.
    pub fn create(path: &Path, genesis: [u8; 32]) -> Result<Self, JournalError> {
        let lock = lock(path)?;
        if exists(path)? {
            return Err(JournalError::Exists { path: path.to_owned() });
        }
        write_whole(path, &genesis, std::iter::empty())?;
        Self::read(path, genesis, lock, |_, _| ())
    }

    /// Opens the file and shows every record, oldest first.
    pub fn open(path: &Path, genesis: [u8; 32], visit: impl FnMut(Vec<u8>, Record)) -> Result<Self, JournalError> {
        let lock = lock(path)?;
        if !exists(path)? {
            return Err(JournalError::Missing { path: path.to_owned() });
        }
        Self::read(path, genesis, lock, visit)
    }

    fn read(
        path: &Path,
        genesis: [u8; 32],
        lock: File,
        visit: impl FnMut(Vec<u8>, Record),
    ) -> Result<Self, JournalError> {
        let Contents { sum, records, bytes } = read(path, &genesis, visit)?;
        let open = || -> io::Result<File> {
            let file = OpenOptions::new().append(true).open(path)?;
            if file.metadata()?.len() != bytes {
                tracing::warn!(path = %path.display(), bytes, "dropped a record that was never written to its end");
                file.set_len(bytes)?;
                file.sync_all()?;
            }
            Ok(file)
        };
        let file = open().map_err(|source| io_error("open", path, source))?;
        Ok(Self { path: path.to_owned(), genesis, file, sum, records, is_usable: true, _lock: lock })
    }

    /// Records in the file.
    pub fn records(&self) -> usize {
        self.records
    }

    /// Fails after a failed write, until the file is opened again.
    pub fn check_usable(&self) -> Result<(), JournalError> {
        self.is_usable.then_some(()).ok_or_else(|| JournalError::Unknown { path: self.path.clone() })
    }

    /// Adds a record; when this returns, it is on the disk.
    pub fn append(&mut self, key: &[u8], record: Record) -> Result<(), JournalError> {
        self.check_usable()?;
        let body = encode(key, record);
        let sum = chain(&self.sum, &body);
        // Until it is known that the record is on the disk, nothing is known.
        self.is_usable = false;
        let written = self.file.write_all(&[&body[..], &sum].concat()).and_then(|()| self.file.sync_data());
        written.map_err(|source| io_error("write", &self.path, source))?;
        (self.sum, self.records, self.is_usable) = (sum, self.records + 1, true);
        Ok(())
    }

    /// Puts these records in the place of all; when this returns, they are on the disk.
    pub fn rewrite<'a>(&mut self, records: impl Iterator<Item = (&'a [u8], Record)>) -> Result<(), JournalError> {
        self.check_usable()?;
        self.is_usable = false;
        let (sum, count) = write_whole(&self.path, &self.genesis, records)?;
        let opened = OpenOptions::new().append(true).open(&self.path);
        self.file = opened.map_err(|source| io_error("open", &self.path, source))?;
        (self.sum, self.records, self.is_usable) = (sum, count, true);
        Ok(())
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> JournalError {
    JournalError::Io { action, path: path.to_owned(), source }
}

fn exists(path: &Path) -> Result<bool, JournalError> {
    path.try_exists().map_err(|source| io_error("look for", path, source))
}

/// `<path>.<extension>`.
fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// The lock is on a file of its own, as rewriting exchanges the other one.
fn lock(path: &Path) -> Result<File, JournalError> {
    let name = beside(path, "lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&name);
    let file = file.map_err(|source| io_error("open", &name, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(JournalError::Locked { path: path.to_owned() }),
        Err(fs::TryLockError::Error(source)) => Err(io_error("lock", &name, source)),
    }
}

/// Writes a second file and moves it to `path`; last checksum and number of records.
fn write_whole<'a>(
    path: &Path,
    genesis: &[u8; 32],
    records: impl Iterator<Item = (&'a [u8], Record)>,
) -> Result<(Sum, usize), JournalError> {
    let mut bytes = header(genesis);
    let mut sum = last_sum(&bytes);
    let mut count = 0;
    for (key, record) in records {
        let body = encode(key, record);
        sum = chain(&sum, &body);
        bytes.extend(body);
        bytes.extend(sum);
        count += 1;
    }
    let new = beside(path, "new");
    let write = || -> io::Result<()> {
        let mut file = File::create(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()
    };
    write().map_err(|source| io_error("write", path, source))?;
    Ok((sum, count))
}

fn header(genesis: &[u8; 32]) -> Vec<u8> {
    let body = [&MAGIC[..], &VERSION.to_be_bytes(), genesis].concat();
    let sum = chain(&[0; SUM_BYTES], &body);
    [&body[..], &sum].concat()
}

fn last_sum(bytes: &[u8]) -> Sum {
    *bytes.last_chunk().expect("a header ends with its checksum")
}

fn chain(before: &Sum, body: &[u8]) -> Sum {
    *Sha256::hash(&[before, body]).0.first_chunk().expect("8 of 32 bytes")
}

/// What was read.
struct Contents {
    sum: Sum,
    records: usize,
    /// Bytes up to the last whole record.
    bytes: u64,
}

fn read(path: &Path, genesis: &[u8; 32], mut visit: impl FnMut(Vec<u8>, Record)) -> Result<Contents, JournalError> {
    let fail = |source| io_error("read", path, source);
    let file = File::open(path).map_err(fail)?;
    let length = file.metadata().map_err(fail)?.len();
    let mut reader = BufReader::new(file);
    let sum = read_header(path, genesis, length, &mut reader)?;
    let mut contents = Contents { sum, records: 0, bytes: HEADER_BYTES as u64 };
    while length - contents.bytes >= RECORD_BYTES as u64 {
        let mut bytes = [0; RECORD_BYTES];
        reader.read_exact(&mut bytes).map_err(fail)?;
        let (body, sum) = bytes.split_first_chunk::<BODY_BYTES>().expect("a record begins with its body");
        let damaged = |reason| JournalError::Damaged { path: path.to_owned(), offset: contents.bytes, reason };
        if chain(&contents.sum, body) != sum {
            let is_last = length - contents.bytes == RECORD_BYTES as u64;
            // A file that grew before its bytes arrived ends with zeros; a checksum of zeros is no accident.
            if is_last && sum == [0; SUM_BYTES] {
                break;
            }
            return Err(damaged("a record does not match its checksum"));
        }
        let (key, record) = decode(body).ok_or_else(|| damaged("a record makes no sense"))?;
        visit(key, record);
        contents.sum = sum.try_into().expect("a record ends with its checksum");
        contents.records += 1;
        contents.bytes += RECORD_BYTES as u64;
    }
    Ok(contents)
}

/// Checks the header; its checksum.
fn read_header(path: &Path, genesis: &[u8; 32], length: u64, reader: &mut impl io::Read) -> Result<Sum, JournalError> {
    let (found, sum) = any_header(path, length, reader)?;
    if found != *genesis {
        let (found, expected) = (hex::encode(found), hex::encode(genesis));
        return Err(JournalError::Genesis { path: path.to_owned(), found, expected });
    }
    Ok(sum)
}

/// The genesis that a file names, which must be there.
pub(super) fn genesis_in(path: &Path) -> Result<[u8; 32], JournalError> {
    if !exists(path)? {
        return Err(JournalError::Missing { path: path.to_owned() });
    }
    let fail = |source| io_error("read", path, source);
    let mut file = File::open(path).map_err(fail)?;
    let length = file.metadata().map_err(fail)?.len();
    Ok(any_header(path, length, &mut file)?.0)
}

/// Genesis and checksum of a header of whatever network.
fn any_header(path: &Path, length: u64, reader: &mut impl io::Read) -> Result<([u8; 32], Sum), JournalError> {
    let damaged = |reason| JournalError::Damaged { path: path.to_owned(), offset: 0, reason };
    if length < HEADER_BYTES as u64 {
        return Err(damaged("it is shorter than its header"));
    }
    let mut bytes = [0; HEADER_BYTES];
    reader.read_exact(&mut bytes).map_err(|source| io_error("read", path, source))?;
    let found: [u8; 32] = *bytes[12..].first_chunk().expect("the header holds a genesis");
    if bytes[..] != header(&found)[..] {
        return Err(damaged("the header is none of version 1"));
    }
    Ok((found, last_sum(&bytes)))
}

fn encode(key: &[u8], record: Record) -> Body {
    let (kind, a, b, root) = match record {
        Record::Attestation(Attestation { source, target, root }) => (ATTESTATION, source, target, root),
        Record::AttestationBound(Attestation { source, target, root }) => (ATTESTATION_BOUND, source, target, root),
        Record::Block(Block { slot, root }) => (BLOCK, slot, 0, root),
        Record::BlockBound(Block { slot, root }) => (BLOCK_BOUND, slot, 0, root),
    };
    let mut body = [0; BODY_BYTES];
    let padded = |out: &mut [u8], bytes: &[u8]| out[..bytes.len()].copy_from_slice(bytes);
    (body[0], body[1]) = (kind, key.len() as u8);
    padded(&mut body[2..], key);
    let numbers = 2 + KEY_BYTES_MAX;
    padded(&mut body[numbers..], &a.to_be_bytes());
    padded(&mut body[numbers + 8..], &b.to_be_bytes());
    body[numbers + 16] = u8::from(root.is_some());
    padded(&mut body[numbers + 17..], &root.unwrap_or_default());
    body
}

/// Reads what [`encode`] wrote; `None` for anything else.
fn decode(body: &Body) -> Option<(Vec<u8>, Record)> {
    let key = body[2..].get(..usize::from(body[1]))?.to_vec();
    let numbers = &body[2 + KEY_BYTES_MAX..];
    let a = u64::from_be_bytes(*numbers.first_chunk()?);
    let b = u64::from_be_bytes(*numbers[8..].first_chunk()?);
    let root = (numbers[16] == 1).then_some(*numbers[17..].first_chunk()?);
    let record = match body[0] {
        ATTESTATION => Record::Attestation(Attestation { source: a, target: b, root }),
        ATTESTATION_BOUND => Record::AttestationBound(Attestation { source: a, target: b, root }),
        BLOCK => Record::Block(Block { slot: a, root }),
        BLOCK_BOUND => Record::BlockBound(Block { slot: a, root }),
        _ => return None,
    };
    // One record has one encoding, so this also checks lengths, flags and padding.
    (key.len() <= KEY_BYTES_MAX && encode(&key, record) == *body).then_some((key, record))
}
