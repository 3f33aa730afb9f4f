//! What was sent, on the disk.
//!
//! One file, written whole: to a new file, synced, renamed over the old one, and the folder synced. It is written before
//! anything is sent, so that after `kill -9` at any point the bridge knows every transaction that may be on its way. A lock
//! keeps a second process out. Losing the file costs no money: nonces come from the L1, so the next transaction either
//! replaces the one in flight or follows it.

use crate::l1::Signed;
use alloy_primitives::{Address, Bytes, U256};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Replacements of one transaction that are remembered; with an eighth more each the price is then 10¹⁰ times the first.
pub const VERSIONS_MAX: usize = 200;
/// Bytes of the largest journal that is read.
const BYTES_MAX: u64 = 256 << 20;
const VERSION: u32 = 1;

/// The journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system refuses.
    #[error("cannot use the journal {path}")]
    Io {
        /// File.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it.
    #[error("the journal {0} is in use by another process")]
    Locked(PathBuf),
    /// It cannot be understood.
    #[error("the journal {path} cannot be read: {reason}; move it away to start without it")]
    Malformed {
        /// File.
        path: PathBuf,
        /// What was wrong.
        reason: String,
    },
    /// It belongs to another bridge.
    #[error(
        "the journal {path} is of chain {found_chain}, contract {found_contract}, account {found_account}; use another file"
    )]
    Foreign {
        /// File.
        path: PathBuf,
        /// Chain id in it.
        found_chain: u64,
        /// Contract in it.
        found_contract: Address,
        /// Account in it.
        found_account: Address,
    },
}

/// Whose transactions these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Chain id of the L1.
    pub chain_id: u64,
    /// The light client.
    pub contract: Address,
    /// Who pays.
    pub account: Address,
}

/// A nonce that is in use, and everything that was signed with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    /// Nonce.
    pub nonce: u64,
    /// What the last version calls the contract with.
    pub data: Bytes,
    /// Gas limit of the last version.
    pub gas: u64,
    /// Epoch that it finalises; height up to which a batch goes.
    pub epoch: u64,
    /// Blobs of the last version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<Bytes>,
    /// All versions, the dearest last.
    pub versions: Vec<Signed>,
}

/// What the bridge has spent and reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Posts that were taken.
    pub posted: u64,
    /// Transactions that were mined for nothing: another bridge was quicker.
    pub reverted: u64,
    /// Gas of both.
    pub gas: u64,
    /// Wei paid for it.
    pub spent: U256,
    /// Last epoch that a post of this bridge finalised; height up to which its batches go.
    pub epoch: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Content {
    version: u32,
    identity: Identity,
    totals: Totals,
    in_flight: Option<InFlight>,
}

/// The journal of one bridge.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    content: Content,
    _lock: File,
}

impl Journal {
    /// Opens a journal, or begins one.
    ///
    /// # Errors
    /// When it is of another bridge, damaged, in use, or the system refuses.
    pub fn open(path: &Path, identity: Identity) -> Result<Self, JournalError> {
        let lock = lock(path)?;
        let content = read(path)?;
        let Some(content) = content else {
            let content = Content { version: VERSION, identity, totals: Totals::default(), in_flight: None };
            let journal = Self { path: path.into(), content, _lock: lock };
            journal.write()?;
            return Ok(journal);
        };
        if content.identity != identity {
            let Identity { chain_id, contract, account } = content.identity;
            return Err(JournalError::Foreign {
                path: path.into(),
                found_chain: chain_id,
                found_contract: contract,
                found_account: account,
            });
        }
        Ok(Self { path: path.into(), content, _lock: lock })
    }

    /// What the journal at `path` says, while its bridge may run: whose it is, what was spent, and the nonce in flight. `None` if
    /// there is no journal.
    ///
    /// # Errors
    /// When it is damaged, or the system refuses.
    pub fn peek(path: &Path) -> Result<Option<(Identity, Totals, Option<u64>)>, JournalError> {
        // It is replaced whole, so it is never seen half written.
        let found = read(path)?;
        Ok(found.map(|content| (content.identity, content.totals, content.in_flight.map(|sent| sent.nonce))))
    }

    /// What is in flight.
    pub fn in_flight(&self) -> Option<&InFlight> {
        self.content.in_flight.as_ref()
    }

    /// What was spent so far.
    pub fn totals(&self) -> &Totals {
        &self.content.totals
    }

    /// Remembers what is about to be sent; durable when it returns.
    ///
    /// # Errors
    /// When the system refuses; nothing may be sent then.
    pub fn begin(&mut self, in_flight: InFlight) -> Result<(), JournalError> {
        self.content.in_flight = Some(in_flight);
        self.write()
    }

    /// Forgets what was in flight; durable when it returns.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn finish(&mut self, totals: Totals) -> Result<(), JournalError> {
        self.content.in_flight = None;
        self.content.totals = totals;
        self.write()
    }

    fn write(&self) -> Result<(), JournalError> {
        let fresh = self.path.with_extension("new");
        let text = serde_json::to_vec(&self.content).expect("plain data always has a JSON form");
        let result = (|| {
            let mut file = File::create(&fresh)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&fresh, &self.path)?;
            File::open(self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?
                .sync_all()
        })();
        result.map_err(|source| JournalError::Io { path: self.path.clone(), source })
    }
}

fn lock(path: &Path) -> Result<File, JournalError> {
    let io = |source| JournalError::Io { path: path.into(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path.with_extension("lock"));
    let file = file.map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(JournalError::Locked(path.into())),
        Err(fs::TryLockError::Error(source)) => Err(io(source)),
    }
}

fn read(path: &Path) -> Result<Option<Content>, JournalError> {
    let malformed = |reason: String| JournalError::Malformed { path: path.into(), reason };
    let size = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(JournalError::Io { path: path.into(), source }),
    };
    if size > BYTES_MAX {
        return Err(malformed(format!("{size} bytes, at most {BYTES_MAX} are read")));
    }
    let bytes = fs::read(path).map_err(|source| JournalError::Io { path: path.into(), source })?;
    let content: Content = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    if content.version != VERSION {
        return Err(malformed(format!("version {}, this program writes {VERSION}", content.version)));
    }
    if content.in_flight.as_ref().is_some_and(|sent| sent.versions.is_empty() || sent.versions.len() > VERSIONS_MAX) {
        return Err(malformed(format!("a transaction in flight has 1 to {VERSIONS_MAX} versions")));
    }
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fees::Fees;
    use alloy_primitives::B256;

    const IDENTITY: Identity = Identity { chain_id: 1, contract: Address::ZERO, account: Address::ZERO };

    fn in_flight() -> InFlight {
        let fees = Fees { max: 3, tip: 1 };
        let signed =
            Signed { hash: B256::repeat_byte(1), raw: Bytes::from_static(b"raw"), fees, blob_fee: 0, millis: 5 };
        InFlight {
            nonce: 7,
            data: Bytes::from_static(b"data"),
            gas: 9,
            epoch: 3,
            blobs: vec![],
            versions: vec![signed],
        }
    }

    #[test]
    fn what_was_begun_is_known_after_a_restart_until_it_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        assert_eq!(Journal::peek(&path).unwrap(), None);
        Journal::open(&path, IDENTITY).unwrap().begin(in_flight()).unwrap();
        assert_eq!(Journal::peek(&path).unwrap(), Some((IDENTITY, Totals::default(), Some(7))));
        let mut journal = Journal::open(&path, IDENTITY).unwrap();
        assert_eq!(journal.in_flight(), Some(&in_flight()));
        let totals = Totals { posted: 1, spent: U256::from(5), ..Totals::default() };
        journal.finish(totals.clone()).unwrap();
        drop(journal);
        let journal = Journal::open(&path, IDENTITY).unwrap();
        assert_eq!((journal.in_flight(), journal.totals()), (None, &totals));
    }

    #[test]
    fn a_journal_is_for_one_process_and_one_bridge() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let first = Journal::open(&path, IDENTITY).unwrap();
        assert!(matches!(Journal::open(&path, IDENTITY), Err(JournalError::Locked(_))));
        drop(first);
        let other = Identity { chain_id: 2, ..IDENTITY };
        assert!(matches!(Journal::open(&path, other), Err(JournalError::Foreign { found_chain: 1, .. })));
    }

    #[test]
    fn a_damaged_journal_is_refused_and_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        for text in ["", "{}", "[1]"] {
            fs::write(&path, text).unwrap();
            assert!(matches!(Journal::open(&path, IDENTITY), Err(JournalError::Malformed { .. })));
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
