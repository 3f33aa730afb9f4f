//! Which validators are in force in which epoch, and who votes on a checkpoint.
//!
//! Each checkpoint brings a *candidate*, the stake as the application sees it at that block. The set of epoch E + 2 is the
//! candidate of the last checkpoint that was final when epoch E began; while nothing becomes final, nothing changes
//! (the paper's dynasty d + 2, section 4.1).
//!
//! A link to a checkpoint needs two thirds of every set in force since the last final one. That joins the rear and
//! the forward set until something is final under the new one. Otherwise two branches from one block, of which only the first
//! includes the votes that finalise a common checkpoint, could go on with different sets and finalise different blocks
//! without anybody having voted twice. With it, every link beyond the fork, up to the first checkpoint that is final on its
//! branch only, has two thirds of the set of the epoch after the fork, which both branches share; the paper's
//! proof (section 2, theorem 1) then holds for that set.

use proof::checkpoint::{ELECTORATE_SETS_MAX, Electorate, SetError, ValidatorSet};
use std::collections::BTreeMap;

/// Epochs between the fixing of a set and its first epoch.
const LOOKAHEAD: u64 = 2;
/// Candidates kept: of the two newest checkpoints, of the two justified ones and of the final one.
pub(super) const CANDIDATES_MAX: usize = 5;
/// Runs kept; see [`ELECTORATE_SETS_MAX`] for why no more can be in force since the last final checkpoint.
pub(super) const RUNS_MAX: usize = ELECTORATE_SETS_MAX;

/// The sets since the last final checkpoint and the candidates that may follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    /// First epoch of a set, which is in force until the next one; ascending, neighbours differ.
    pub runs: Vec<(u64, ValidatorSet)>,
    /// Epoch of a checkpoint and the set it proposes.
    pub candidates: BTreeMap<u64, ValidatorSet>,
}

impl Schedule {
    /// One set from `epoch` on.
    pub fn genesis(epoch: u64, set: ValidatorSet) -> Self {
        Self { runs: vec![(epoch, set.clone())], candidates: BTreeMap::from([(epoch, set)]) }
    }

    /// Set in force in `epoch`; before the first one known, that one.
    pub fn set(&self, epoch: u64) -> &ValidatorSet {
        let run = self.runs.iter().rev().find(|(first, _)| *first <= epoch);
        &run.unwrap_or(&self.runs[0]).1
    }

    /// Begins `epoch`: fixes the set of `epoch` + 2 and takes the candidate of its checkpoint, by default the last one.
    /// `needed` are the epochs whose candidates may still matter, the last final checkpoint first.
    pub fn open(
        &mut self,
        epoch: u64,
        candidate: Option<&ValidatorSet>,
        needed: [u64; CANDIDATES_MAX],
    ) -> Result<(), SetError> {
        let finalized = needed[0];
        let next = self.candidates.get(&finalized).unwrap_or(self.set(epoch + 1)).clone();
        if next != *self.set(epoch + LOOKAHEAD) {
            self.runs.push((epoch + LOOKAHEAD, next));
        }
        let last = self.candidates.last_key_value().map(|(_, set)| set);
        let candidate = candidate.or(last).unwrap_or(self.set(epoch)).clone();
        self.candidates.insert(epoch, candidate);
        self.candidates.retain(|epoch, _| needed.contains(epoch));
        // A run ends where the next one begins.
        while self.runs.len() > 1 && self.runs[1].0 <= finalized {
            self.runs.remove(0);
        }
        // Never so in a state that came about by blocks; one that was decoded may be anything.
        if self.runs.len() > RUNS_MAX { Err(SetError::Sets(self.runs.len())) } else { Ok(()) }
    }

    /// Who votes on the checkpoint of `epoch`.
    pub fn electorate(&self, finalized: u64, epoch: u64) -> Result<Electorate, SetError> {
        let started = |first: u64| first <= epoch;
        let begin = self.runs.iter().rposition(|(first, _)| *first <= finalized).unwrap_or(0);
        let sets: Vec<ValidatorSet> =
            self.runs[begin..].iter().filter(|(first, _)| started(*first)).map(|(_, set)| set.clone()).collect();
        Electorate::new(&sets)
    }

    /// Changes every set, each distinct one once; neighbours that become equal are joined.
    pub fn map(&mut self, change: impl Fn(&ValidatorSet) -> ValidatorSet) {
        let mut done: Vec<(ValidatorSet, ValidatorSet)> = Vec::new();
        let mut changed = |set: &mut ValidatorSet| {
            let known = done.iter().find(|(before, _)| before == set).map(|(_, after)| after.clone());
            let after = known.unwrap_or_else(|| {
                let after = change(set);
                done.push((set.clone(), after.clone()));
                after
            });
            *set = after;
        };
        self.runs.iter_mut().for_each(|(_, set)| changed(set));
        self.candidates.values_mut().for_each(changed);
        self.runs.dedup_by(|later, earlier| later.1 == earlier.1);
    }
}

#[cfg(test)]
mod tests;
