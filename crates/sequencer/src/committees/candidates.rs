//! Who the application would seat after each checkpoint, until the stake has finalised a later one.
//!
//! The application answers about a checkpoint while it is new, and the answer is needed when the checkpoint is final,
//! so it is kept. It is put into the history together with the checkpoint of the same epoch; where a crash loses one,
//! it loses both, and the block is delivered again.

use super::Announcement;
use crate::history::{History, HistoryError};
use parking_lot::Mutex;
use protocol::network::Validator;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The answers of the application that may still matter.
pub(crate) struct Candidates {
    /// By the epoch of the checkpoint; an epoch without an entry has that of the one before.
    answers: Mutex<BTreeMap<u64, Vec<Validator>>>,
    history: Arc<History>,
}

impl Candidates {
    /// Reads what was kept.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn open(history: Arc<History>) -> Result<Self, HistoryError> {
        let answers = history.candidates()?.into_iter().map(|(epoch, seats)| (epoch, seats.validators)).collect();
        Ok(Self { answers: Mutex::new(answers), history })
    }

    /// Where they are kept.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Keeps the answer about the checkpoint of `epoch`, a final block; those before the newest one that the checkpoint of epoch
    /// `finalized` has are forgotten.
    pub fn keep(&self, epoch: u64, finalized: u64, seats: Vec<Validator>) {
        let answer = Announcement { first: 0, validators: seats };
        let Some(encoded) = answer.encode() else {
            tracing::error!(epoch, "the application names seats that do not fit into a block; the committee stays");
            return;
        };
        let mut answers = self.answers.lock();
        let newest = answers.range(..epoch).next_back().map(|(_, seats)| seats);
        if newest != Some(&answer.validators) {
            self.history.put_candidates(epoch, encoded.into());
            answers.insert(epoch, answer.validators);
        }
        let first = answers.range(..=finalized).next_back().map_or(0, |(epoch, _)| *epoch);
        answers.retain(|epoch, _| *epoch >= first);
        self.history.forget_candidates(first);
    }

    /// The seats after the checkpoint of `epoch`.
    pub fn of(&self, epoch: u64) -> Option<Vec<Validator>> {
        self.answers.lock().range(..=epoch).next_back().map(|(_, seats)| seats.clone())
    }
}
