//! Evidence of misbehaviour: two signed votes of one validator that exclude each other.
//!
//! The engine reports what it sees; only evidence whose signatures verify is counted and kept, one JSON object a line,
//! so that it outlives the engine's own memory and can be shown to others.

use crate::committees::Committees;
use crate::equivocation::Equivocation;
use crate::finality::desk::Desk;
use crate::limits::EVIDENCE_FILE_BYTES_MAX;
use commonware_actor::Feedback;
use commonware_codec::Encode as _;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::{self, Attributable as _};
use commonware_consensus::types::Round;
use commonware_consensus::{Epochable as _, Reporter, Viewable as _};
use commonware_cryptography::sha256::Digest;
use commonware_parallel::Sequential;
use commonware_utils::sys_rng;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

pub(crate) type Activity = types::Activity<Scheme, Digest>;

/// One line of the evidence file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceRecord {
    /// `conflicting-notarize`, `conflicting-finalize` or `nullify-finalize`.
    pub kind: String,
    /// Seat of the validator that signed both votes.
    pub seat: u32,
    /// Number of the committee (consensus epoch) that the seat is of.
    #[serde(default)]
    pub epoch: u64,
    /// View that the votes are about.
    pub view: u64,
    /// Both votes, encoded by the engine, hex.
    pub votes: String,
}

struct Inner {
    committees: Committees,
    /// Who has it included.
    desk: OnceLock<Arc<Desk>>,
    count: AtomicU64,
    file: Mutex<File>,
}

/// Counts and keeps evidence.
#[derive(Clone)]
pub(crate) struct EvidenceLog(Arc<Inner>);

impl EvidenceLog {
    /// Opens the file to append to it.
    pub fn open(path: &Path, committees: Committees) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self(Arc::new(Inner {
            committees,
            desk: OnceLock::new(),
            count: AtomicU64::new(0),
            file: Mutex::new(file),
        })))
    }

    /// From now on what is found is handed to this desk, too, which has it included in a block.
    pub fn tell(&self, desk: Arc<Desk>) {
        // The first one stays: a log belongs to one validator.
        let _ = self.0.desk.set(desk);
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

/// Kind, consensus index of the signer and round, if the activity is evidence.
fn describe(activity: &Activity) -> Option<(&'static str, u32, Round)> {
    let round = |epoch, view| Round::new(epoch, view);
    match activity {
        Activity::ConflictingNotarize(e) => {
            Some(("conflicting-notarize", e.signer().get(), round(e.epoch(), e.view())))
        }
        Activity::ConflictingFinalize(e) => {
            Some(("conflicting-finalize", e.signer().get(), round(e.epoch(), e.view())))
        }
        Activity::NullifyFinalize(e) => Some(("nullify-finalize", e.signer().get(), round(e.epoch(), e.view()))),
        _ => None,
    }
}

impl Reporter for EvidenceLog {
    type Activity = Activity;

    fn report(&mut self, activity: Activity) -> Feedback {
        let Some((kind, signer, round)) = describe(&activity) else { return Feedback::Ok };
        let Some(committee) = self.0.committees.of_epoch(round.epoch()) else { return Feedback::Ok };
        let Some(seat) = committee.seat_of_participant(signer) else { return Feedback::Ok };
        if !activity.verify(&mut sys_rng(), committee.verifier(), &Sequential) {
            return Feedback::Ok;
        }
        let (epoch, view) = (round.epoch().get(), round.view().get());
        self.0.count.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(kind, seat, epoch, view, "validator signed two votes that exclude each other");
        let key = committee.participants().iter().nth(signer as usize);
        if let (Some(desk), Some(both)) = (self.0.desk.get(), key.and_then(|key| Equivocation::of(key, &activity))) {
            desk.found_equivocation(both);
        }
        let record = EvidenceRecord { kind: kind.to_owned(), seat, epoch, view, votes: hex::encode(activity.encode()) };
        if let Err(error) = self.append(&record) {
            tracing::error!(%error, kind, seat, view, "evidence is counted but cannot be kept");
        }
        Feedback::Ok
    }
}

#[cfg(test)]
mod tests;
