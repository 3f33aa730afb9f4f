//! Finding votes that exclude each other.
//!
//! Everything that is seen, by gossip or in blocks, is compared with everything seen in a window of target epochs:
//! another vote with the same target is a double vote; a vote whose target lies within the new one's span, but whose
//! source is later, is surrounded by it; one with a later target and an earlier source surrounds it. Honest votes span
//! an epoch or two, so both ranges are nearly always empty.
//!
//! What is kept is bounded: a vote is kept only if it brings a signer whose vote for that link was not shown yet, a signer counts
//! once for each target, and each offender is reported once. Targets may be at most one epoch ahead: votes for later
//! ones cannot be counted, and are found when they are shown again.

use alloy_primitives::B256;
use proof::checkpoint::{
    Certificate, CertificateError, Domain, Electorate, Evidence, KEY_BYTES, SignedVote, Signers, Vote, VoteKey,
    VoteSignature, Witness,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// Target epochs beyond the current one that are looked at.
const EPOCHS_AHEAD_MAX: u64 = 1;

/// Who is shown to have signed.
#[derive(Clone, Debug)]
enum Signed {
    Alone(Box<VoteKey>),
    Aggregate(Electorate, Signers),
}

/// A vote that was seen, with its true signature.
#[derive(Clone, Debug)]
pub struct Seen {
    vote: Vote,
    signed: Signed,
    signature: VoteSignature,
}

/// Where seen votes are kept, by target epoch.
pub trait VoteIndex {
    /// Keeps a vote.
    fn insert(&mut self, seen: Seen);
    /// Shows every vote whose target epoch is in the range.
    fn visit(&self, targets: RangeInclusive<u64>, visitor: &mut dyn FnMut(&Seen));
    /// Forgets votes whose target epoch is below `epoch`.
    fn prune(&mut self, epoch: u64);
}

/// Keeps votes in memory; after a restart it is filled again from the blocks of the window.
#[derive(Clone, Debug, Default)]
pub struct MemoryIndex(BTreeMap<u64, Vec<Seen>>);

impl VoteIndex for MemoryIndex {
    fn insert(&mut self, seen: Seen) {
        self.0.entry(seen.vote.target.epoch).or_default().push(seen);
    }

    fn visit(&self, targets: RangeInclusive<u64>, visitor: &mut dyn FnMut(&Seen)) {
        if !targets.is_empty() {
            self.0.range(targets).flat_map(|(_, seen)| seen).for_each(visitor);
        }
    }

    fn prune(&mut self, epoch: u64) {
        self.0 = self.0.split_off(&epoch);
    }
}

/// A vote that cannot be looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DetectorError {
    /// Outside of the window.
    #[error("target epoch {epoch} is outside of the window from {first} to {last}")]
    Window {
        /// Target epoch.
        epoch: u64,
        /// First epoch looked at.
        first: u64,
        /// Last epoch looked at.
        last: u64,
    },
    /// The key does not vote.
    #[error("the key is not in the electorate {0}")]
    Stranger(B256),
    /// The signature is false.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Compares every vote with those seen before.
#[derive(Clone, Debug)]
pub struct Detector<I = MemoryIndex> {
    domain: Domain,
    /// Epochs back from the current one.
    window: u64,
    epoch: u64,
    index: I,
    /// Offenders reported, and the epoch of that.
    reported: BTreeMap<[u8; KEY_BYTES], u64>,
}

impl Seen {
    /// The vote.
    pub fn vote(&self) -> &Vote {
        &self.vote
    }

    fn keys(&self) -> BTreeSet<VoteKey> {
        match &self.signed {
            Signed::Alone(key) => BTreeSet::from([**key]),
            Signed::Aggregate(electorate, signers) => {
                signers.iter().map(|index| electorate.members()[index].key).collect()
            }
        }
    }

    fn contains(&self, key: &VoteKey) -> bool {
        match &self.signed {
            Signed::Alone(only) => **only == *key,
            Signed::Aggregate(electorate, signers) => {
                electorate.position(key).is_some_and(|position| signers.contains(position))
            }
        }
    }

    fn witness(&self) -> SignedVote {
        let witness = match &self.signed {
            Signed::Alone(_) => Witness::Alone(self.signature),
            Signed::Aggregate(electorate, signers) => Witness::Aggregate {
                electorate: electorate.root(),
                signers: signers.clone(),
                signature: self.signature,
            },
        };
        SignedVote { vote: self.vote, witness }
    }
}

impl Detector<MemoryIndex> {
    /// Looks back `window` epochs, which should be as many as evidence may be late.
    pub fn new(domain: Domain, window: u64) -> Self {
        Self::with_index(domain, window, MemoryIndex::default())
    }
}

impl<I: VoteIndex> Detector<I> {
    /// Keeps votes in `index`.
    pub fn with_index(domain: Domain, window: u64, index: I) -> Self {
        Self { domain, window, epoch: 0, index, reported: BTreeMap::new() }
    }

    /// The current epoch; what fell out of the window is forgotten.
    pub fn advance(&mut self, epoch: u64) {
        self.epoch = self.epoch.max(epoch);
        let first = self.first();
        self.index.prune(first);
        self.reported.retain(|_, reported| *reported >= first);
    }

    /// Looks at a vote signed by one member of the electorate, and tells what it proves.
    pub fn observe_vote(
        &mut self,
        key: &VoteKey,
        vote: Vote,
        signature: VoteSignature,
        electorate: &Electorate,
    ) -> Result<Vec<Evidence>, DetectorError> {
        self.check_window(&vote)?;
        electorate.position(key).ok_or(DetectorError::Stranger(electorate.root()))?;
        if !signature.verify(key, vote.signing_root(&self.domain).as_slice()) {
            return Err(CertificateError::Signature(1).into());
        }
        Ok(self.compare(Seen { vote, signed: Signed::Alone(Box::new(*key)), signature }))
    }

    /// Looks at votes that were added up, and tells what they prove.
    pub fn observe(
        &mut self,
        certificate: &Certificate,
        electorate: &Electorate,
    ) -> Result<Vec<Evidence>, DetectorError> {
        self.check_window(&certificate.vote)?;
        certificate.verify_signature(&self.domain, electorate)?;
        let signed = Signed::Aggregate(electorate.clone(), certificate.signers.clone());
        Ok(self.compare(Seen { vote: certificate.vote, signed, signature: certificate.signature }))
    }

    fn first(&self) -> u64 {
        self.epoch.saturating_sub(self.window)
    }

    fn last(&self) -> u64 {
        self.epoch.saturating_add(EPOCHS_AHEAD_MAX)
    }

    fn check_window(&self, vote: &Vote) -> Result<(), DetectorError> {
        let (epoch, first, last) = (vote.target.epoch, self.first(), self.last());
        if vote.source.epoch >= epoch {
            let source_epoch = vote.source.epoch;
            return Err(CertificateError::Backward { source_epoch, target_epoch: epoch }.into());
        }
        let is_inside = (first..=last).contains(&epoch);
        is_inside.then_some(()).ok_or(DetectorError::Window { epoch, first, last })
    }

    fn compare(&mut self, new: Seen) -> Vec<Evidence> {
        let Vote { source, target } = new.vote;
        let keys = new.keys();
        // Those of whom no vote for this target was seen yet.
        let mut fresh = keys.clone();
        let mut found: BTreeMap<VoteKey, Evidence> = BTreeMap::new();
        let mut visit = |old: &Seen| {
            if old.vote.target.epoch == target.epoch {
                fresh.retain(|key| !old.contains(key));
            }
            if old.vote.conflict(&new.vote).is_none() {
                return;
            }
            for key in keys.iter().filter(|key| old.contains(key) && !self.reported.contains_key(key.bytes())) {
                let evidence = || Evidence { key: *key, first: old.witness(), second: new.witness() };
                found.entry(*key).or_insert_with(evidence);
            }
        };
        // Within the span of the new vote, at its end, and beyond it.
        self.index.visit(source.epoch.saturating_add(2)..=self.last(), &mut visit);
        if source.epoch + 1 == target.epoch {
            self.index.visit(target.epoch..=target.epoch, &mut visit);
        }
        found.keys().for_each(|key| {
            self.reported.insert(*key.bytes(), self.epoch);
        });
        if !fresh.is_empty() {
            self.index.insert(new);
        }
        found.into_values().collect()
    }
}

#[cfg(test)]
mod tests;
