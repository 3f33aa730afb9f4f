//! Evidence of misbehaviour: two signed votes of one validator that exclude each other.
//!
//! The engine reports what it sees; only evidence whose signatures verify is counted and kept, one JSON object a line,
//! so that it outlives the engine's own memory and can be shown to others.

use crate::committee::Committee;
use crate::limits::EVIDENCE_FILE_BYTES_MAX;
use commonware_actor::Feedback;
use commonware_codec::Encode as _;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::{self, Attributable as _};
use commonware_consensus::{Reporter, Viewable as _};
use commonware_cryptography::sha256::Digest;
use commonware_parallel::Sequential;
use commonware_utils::sys_rng;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) type Activity = types::Activity<Scheme, Digest>;

/// One line of the evidence file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceRecord {
    /// `conflicting-notarize`, `conflicting-finalize` or `nullify-finalize`.
    pub kind: String,
    /// Seat of the validator that signed both votes.
    pub seat: u32,
    /// View that the votes are about.
    pub view: u64,
    /// Both votes, encoded by the engine, hex.
    pub votes: String,
}

struct Inner {
    committee: Committee,
    count: AtomicU64,
    file: Mutex<File>,
}

/// Counts and keeps evidence.
#[derive(Clone)]
pub(crate) struct EvidenceLog(Arc<Inner>);

impl EvidenceLog {
    /// Opens the file to append to it.
    pub fn open(path: &Path, committee: Committee) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self(Arc::new(Inner { committee, count: AtomicU64::new(0), file: Mutex::new(file) })))
    }

    /// Evidence seen since the start.
    pub fn count(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }

    fn append(&self, record: &EvidenceRecord) -> io::Result<()> {
        let mut line = serde_json::to_vec(record).expect("strings and numbers always serialise");
        line.push(b'\n');
        let mut file = self.0.file.lock();
        if file.metadata()?.len() + line.len() as u64 > EVIDENCE_FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the evidence file is full"));
        }
        file.write_all(&line)?;
        file.sync_data()
    }
}

/// Kind, consensus index of the signer and view, if the activity is evidence.
fn describe(activity: &Activity) -> Option<(&'static str, u32, u64)> {
    match activity {
        Activity::ConflictingNotarize(e) => Some(("conflicting-notarize", e.signer().get(), e.view().get())),
        Activity::ConflictingFinalize(e) => Some(("conflicting-finalize", e.signer().get(), e.view().get())),
        Activity::NullifyFinalize(e) => Some(("nullify-finalize", e.signer().get(), e.view().get())),
        _ => None,
    }
}

impl Reporter for EvidenceLog {
    type Activity = Activity;

    fn report(&mut self, activity: Activity) -> Feedback {
        let Some((kind, signer, view)) = describe(&activity) else { return Feedback::Ok };
        let Some(seat) = self.0.committee.seat_of_participant(signer) else { return Feedback::Ok };
        if !activity.verify(&mut sys_rng(), self.0.committee.verifier(), &Sequential) {
            return Feedback::Ok;
        }
        self.0.count.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(kind, seat, view, "validator signed two votes that exclude each other");
        let record = EvidenceRecord { kind: kind.to_owned(), seat, view, votes: hex::encode(activity.encode()) };
        if let Err(error) = self.append(&record) {
            tracing::error!(%error, kind, seat, view, "evidence is counted but cannot be kept");
        }
        Feedback::Ok
    }
}

#[cfg(test)]
mod tests;
