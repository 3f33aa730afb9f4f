//! What a validator signed, so that it never signs what contradicts it.
//!
//! The rules are the complete ones of EIP-3076: a vote or a block is refused if it can be slashed together with any that was signed
//! before, or if it is at or below the oldest one known, unless it is the same again. Before a signature is made, the file
//! has the record, synced to the disk; so whatever happens between, a restarted validator knows at least as
//! much as it signed. Votes on checkpoints are *attestations*; messages of the consensus engine are *blocks*, see [`slot`].
//!
//! ```
//! use sequencer::guard::{Attestation, Guard};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! let guard = Guard::create(&directory.path().join("slashing-protection"), [7; 32])?;
//! let key = [1; 96];
//! let vote = |source, target| Attestation { source, target, root: Some([9; 32]) };
//! guard.sign_attestation(&key, vote(1, 5), || "signed")?;
//! let refused = guard.sign_attestation(&key, vote(2, 4), || "signed").unwrap_err();
//! assert!(refused.to_string().contains("1→5"));
//! # Ok(())
//! # }
//! ```
//!
//! | module | decides |
//! |---|---|
//! | `rules` | what may be signed |
//! | `journal` | how records get to the disk and back |
//! | `interchange` | the JSON that other clients read and write |
//!
//! Source: EIP-3076, version 5 of the format, conditions 1 to 5.

mod interchange;
mod journal;
mod rules;

pub use interchange::{IMPORT_BYTES_MAX, ImportError, Imported, genesis_of};
pub use journal::JournalError;
pub use rules::{Attestation, Block, Violation};

use journal::Journal;
use parking_lot::Mutex;
use rules::{History, Verdict};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Bytes of a key: Ed25519 keys have 32, those of BLS12-381 48 or 96.
pub const KEY_BYTES_MAX: usize = 96;
/// Keys in one file.
pub const KEYS_MAX: usize = 1024;
/// Attestations, and blocks, remembered for one key; beyond it the older half is folded into one bound.
pub const RECORDS_PER_KEY_MAX: usize = 8192;

/// Records that may be superfluous before the file is written anew.
const SUPERFLUOUS_MAX: usize = 4096;

/// A signature was refused.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It would break a rule.
    #[error("refused to sign for key 0x{key}: {violation}")]
    Slashable {
        /// Key, in hex.
        key: String,
        /// Which record it contradicts.
        violation: Violation,
    },
    /// The key cannot be one.
    #[error("a key has 1 to {KEY_BYTES_MAX} bytes, this one has {0}")]
    Key(usize),
    /// Too many keys.
    #[error("the file has records of {KEYS_MAX} keys and takes no more")]
    Keys,
    /// The record did not get to the disk.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// How far back records are kept: older ones are folded into one bound for each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prune {
    /// Attestations with a target below this epoch are folded.
    pub target: u64,
    /// Blocks with a slot below this are folded.
    pub slot: u64,
}

/// Histories by key.
type Histories = BTreeMap<Vec<u8>, History>;

struct Inner {
    histories: Histories,
    journal: Journal,
}

/// The one place that allows signatures. Locks its file: a second process with the same keys is refused.
pub struct Guard {
    path: PathBuf,
    genesis: [u8; 32],
    inner: Mutex<Inner>,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A step of the consensus engine in one view. A validator may notarise and finalise the same proposal, and must neither
/// notarise two proposals, nor finalise two, nor finalise one after it voted to skip the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Vote to notarise; the signing root is the digest of the proposal. Proposing is the leader's vote.
    Notarize,
    /// Vote to finalise (the digest of the proposal) or to skip the view (a root that no proposal has).
    Finalize,
}

/// The slot that stands for a step of the engine: two for each view, so that EIP-3076's rule of one block for each slot is
/// exactly simplex's rules. `None` if the view is beyond 2⁶³.
pub fn slot(view: u64, step: Step) -> Option<u64> {
    view.checked_mul(2)?.checked_add(u64::from(step == Step::Finalize))
}

impl Guard {
    /// Creates an empty file, for keys that never signed or whose signatures will be imported. `genesis` names the
    /// network (`genesis_validators_root` of the format). An existing file is refused.
    pub fn create(path: &Path, genesis: [u8; 32]) -> Result<Self, JournalError> {
        let journal = Journal::create(path, genesis)?;
        Ok(Self { path: path.to_owned(), genesis, inner: Mutex::new(Inner { histories: Histories::new(), journal }) })
    }

    /// Opens the file. One that is missing is refused, as it cannot be told from one that was lost; so is one of another
    /// network.
    pub fn open(path: &Path, genesis: [u8; 32]) -> Result<Self, JournalError> {
        let mut histories = Histories::new();
        let journal = Journal::open(path, genesis, |key, record| {
            histories.entry(key).or_default().insert(record);
        })?;
        Ok(Self { path: path.to_owned(), genesis, inner: Mutex::new(Inner { histories, journal }) })
    }

    /// The genesis that a file names in its header, without looking further.
    pub fn genesis_in(path: &Path) -> Result<[u8; 32], JournalError> {
        journal::genesis_in(path)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Digest of the genesis block of its network.
    pub fn genesis(&self) -> [u8; 32] {
        self.genesis
    }

    /// Calls `sign` if `key` may sign this vote, after the record is on the disk.
    pub fn sign_attestation<T>(
        &self,
        key: &[u8],
        attestation: Attestation,
        sign: impl FnOnce() -> T,
    ) -> Result<T, Refused> {
        self.admit(key, Record::Attestation(attestation), |history| history.check_attestation(&attestation))?;
        Ok(sign())
    }

    /// Calls `sign` if `key` may sign this block, after the record is on the disk.
    pub fn sign_block<T>(&self, key: &[u8], block: Block, sign: impl FnOnce() -> T) -> Result<T, Refused> {
        self.admit(key, Record::Block(block), |history| history.check_block(&block))?;
        Ok(sign())
    }

    /// Adds the records of an interchange file, all or none; records that are known change nothing. Signatures that contradict
    /// each other are taken over too: both forbid what they forbid.
    pub fn import(&self, json: &[u8]) -> Result<Imported, ImportError> {
        let parsed = interchange::parse(json, &self.genesis)?;
        let mut inner = self.inner.lock();
        let mut histories = inner.histories.clone();
        let imported = interchange::merge(&mut histories, parsed)?;
        inner.replace(histories)?;
        Ok(imported)
    }

    /// Everything that is known, as an interchange file.
    pub fn export(&self) -> String {
        interchange::format(&self.inner.lock().histories, &self.genesis)
    }

    /// Folds old records into one bound for each key, which allows less than they did, never more.
    pub fn prune(&self, prune: Prune) -> Result<(), JournalError> {
        let mut inner = self.inner.lock();
        let mut histories = inner.histories.clone();
        histories.values_mut().for_each(|history| history.prune(prune));
        inner.replace(histories)
    }

    /// Checks a record and makes it durable. Whoever gets `Ok` may sign.
    fn admit(
        &self,
        key: &[u8],
        record: Record,
        check: impl FnOnce(&History) -> Result<Verdict, Violation>,
    ) -> Result<(), Refused> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(Refused::Key(key.len()));
        }
        let mut inner = self.inner.lock();
        // Whoever cannot write must not sign, not even again: the last record may not be what it seems.
        inner.journal.check_usable()?;
        let fresh = History::default();
        let verdict = check(inner.histories.get(key).unwrap_or(&fresh));
        let slashable = |violation| Refused::Slashable { key: hex::encode(key), violation };
        if verdict.map_err(slashable)? == Verdict::Repeat {
            return Ok(());
        }
        if !inner.histories.contains_key(key) && inner.histories.len() >= KEYS_MAX {
            return Err(Refused::Keys);
        }
        inner.journal.append(key, record)?;
        inner.histories.entry(key.to_vec()).or_default().insert(record);
        inner.compact();
        Ok(())
    }
}

impl Inner {
    /// Puts other histories in the place of these, on the disk first.
    fn replace(&mut self, histories: Histories) -> Result<(), JournalError> {
        self.journal.rewrite(records(&histories))?;
        self.histories = histories;
        Ok(())
    }

    /// Writes the file anew when it has many records that no longer count. The record that led here is on the disk, so a
    /// failure is no reason to refuse the signature; the next one is refused.
    fn compact(&mut self) {
        let needed = self.histories.values().map(History::len).sum::<usize>();
        if self.journal.records() <= 2 * needed + SUPERFLUOUS_MAX {
            return;
        }
        if let Err(error) = self.journal.rewrite(records(&self.histories)) {
            tracing::error!(%error, "cannot shorten the file of signed messages");
        }
    }
}

/// One line of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Record {
    Attestation(Attestation),
    Block(Block),
    /// Bounds that stand for folded attestations: highest source and target.
    AttestationBound(Attestation),
    /// Bound that stands for folded blocks.
    BlockBound(Block),
}

fn records(histories: &Histories) -> impl Iterator<Item = (&[u8], Record)> {
    histories.iter().flat_map(|(key, history)| history.records().map(|record| (key.as_slice(), record)))
}

#[cfg(test)]
mod tests;
