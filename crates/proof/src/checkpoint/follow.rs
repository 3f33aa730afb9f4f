//! Following finality with certificates alone.
//!
//! A light client, or a contract, starts from a checkpoint it trusts and its electorate. A certificate whose source
//! is justified justifies its target; a span of one epoch, or of two with the epoch between justified, finalises the
//! source. A target may bring a new electorate. It counts if two thirds signed of every known set from the one in force at
//! the last final checkpoint on, so that less than a third of dishonest stake cannot introduce one; older sets are
//! no longer needed, as in the chain. A client that missed the certificates that finalised must be given them first.
//! Source: `weigh_justification_and_finalization` of phase0 for the spans; the paper, section 4.1, for changed sets.

use super::{
    Certificate, CertificateError, Checkpoint, Domain, Electorate, Point, ValidatorSet, VoteKey, is_supermajority,
};

/// Justified checkpoints remembered: sources reach at most two epochs back from the target they finalise.
const JUSTIFIED_MAX: usize = 4;

/// What a light client believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follower {
    /// Of the last justified checkpoint.
    electorate: Electorate,
    /// Ascending by epoch, each with the set in force in it.
    justified: Vec<(Point, ValidatorSet)>,
    finalized: Point,
    /// Target of the link that finalised it.
    until: u64,
    /// Set in force at the last final checkpoint.
    settled: ValidatorSet,
}

/// Why a certificate changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    /// The certificate itself is wrong.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The source is not known to be justified.
    #[error("source of epoch {0} is not justified here")]
    Source(u64),
    /// Another checkpoint of the epoch is justified: a third of the stake broke the rules.
    #[error("epoch {epoch} has two justified checkpoints, {known} and {claimed}: a third of the stake can be slashed")]
    Conflict {
        /// Epoch of both.
        epoch: u64,
        /// Known one.
        known: alloy_primitives::B256,
        /// Target of the certificate.
        claimed: alloy_primitives::B256,
    },
    /// A link around the one that made the last final checkpoint so: a third of the stake broke the rules.
    #[error(
        "a link {source_epoch}→{target_epoch} spans the one that finalised epoch {finalized}: a third of the stake can be slashed"
    )]
    Surround {
        /// Epoch of the source.
        source_epoch: u64,
        /// Epoch of the target.
        target_epoch: u64,
        /// Last final epoch.
        finalized: u64,
    },
    /// Too little of the last known electorate signed for a new one.
    #[error(
        "too few of those known here signed for the electorate of epoch {0}; certificates that finalise may be missing before it"
    )]
    Unsupported(u64),
}

impl Follower {
    /// Starts from a checkpoint that is trusted to be final, and its electorate.
    pub fn new(trusted: &Checkpoint, electorate: Electorate) -> Result<Self, FollowError> {
        let (given, named) = (electorate.root(), trusted.electorate);
        if given != named {
            return Err(CertificateError::Electorate { given, named }.into());
        }
        let settled = electorate.in_force().clone();
        let justified = vec![(trusted.point(), settled.clone())];
        Ok(Self { electorate, justified, finalized: trusted.point(), until: trusted.epoch, settled })
    }

    /// Last final checkpoint.
    pub fn finalized(&self) -> Point {
        self.finalized
    }

    /// Last justified checkpoint.
    pub fn justified(&self) -> Point {
        self.justified.last().expect("never empty: starts with one, and the last one stays").0
    }

    /// Takes a certificate for `target`; the checkpoint that became final, if any.
    pub fn apply(
        &mut self,
        domain: &Domain,
        certificate: &Certificate,
        target: &Checkpoint,
        electorate: &Electorate,
    ) -> Result<Option<Point>, FollowError> {
        let source = certificate.vote.source;
        let known = self.justified.iter().find(|(point, _)| *point == source);
        let in_force = known.ok_or(FollowError::Source(source.epoch))?.1.clone();
        certificate.verify(domain, target, electorate)?;
        self.check_support(certificate, electorate)?;
        let point = target.point();
        let known = self.justified.iter().map(|(known, _)| known).find(|known| known.epoch == point.epoch);
        if let Some(known) = known.filter(|known| **known != point) {
            return Err(FollowError::Conflict { epoch: point.epoch, known: known.root, claimed: point.root });
        }
        if source.epoch < self.finalized.epoch && point.epoch > self.until {
            let finalized = self.finalized.epoch;
            return Err(FollowError::Surround { source_epoch: source.epoch, target_epoch: point.epoch, finalized });
        }
        let finalized = self.finalizes(source, point).then_some(source);
        self.insert(point, electorate);
        if finalized.is_some() {
            (self.finalized, self.until, self.settled) = (source, point.epoch, in_force);
        }
        Ok(finalized)
    }

    /// Two thirds of every set known here, from the one in force at the last final checkpoint on, must have signed.
    fn check_support(&self, certificate: &Certificate, electorate: &Electorate) -> Result<(), FollowError> {
        let known = self.electorate.sets();
        let first = known.iter().rposition(|set| *set == self.settled).unwrap_or(0);
        let signers: Vec<&VoteKey> = certificate.signers.iter().map(|index| &electorate.members()[index].key).collect();
        let supports = |set: &ValidatorSet| {
            // Members are distinct, so no sum exceeds the total of the set.
            is_supermajority(signers.iter().map(|key| set.stake(key)).sum(), set.total())
        };
        let supported = known[first..].iter().all(supports);
        supported.then_some(()).ok_or(FollowError::Unsupported(certificate.vote.target.epoch))
    }

    /// k = 1, or k = 2 with the epoch between justified.
    fn finalizes(&self, source: Point, target: Point) -> bool {
        let between = |epoch: u64| self.justified.iter().any(|(point, _)| point.epoch == epoch);
        source.epoch > self.finalized.epoch
            && match target.epoch - source.epoch {
                1 => true,
                2 => between(source.epoch + 1),
                _ => false,
            }
    }

    fn insert(&mut self, point: Point, electorate: &Electorate) {
        if self.justified.iter().any(|(known, _)| *known == point) {
            return;
        }
        if point.epoch > self.justified().epoch {
            self.electorate = electorate.clone();
        }
        self.justified.push((point, electorate.in_force().clone()));
        self.justified.sort_unstable_by_key(|(point, _)| *point);
        if self.justified.len() > JUSTIFIED_MAX {
            self.justified.remove(0);
        }
    }
}
