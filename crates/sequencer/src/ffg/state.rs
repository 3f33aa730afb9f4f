//! What a final block changes.
//!
//! Block `E * epoch_blocks` is the checkpoint of epoch E. Before it counts, epoch E − 1 is closed: votes for the targets of E − 1
//! and E − 2 are weighed, absent stake may leak, the set of epoch E + 2 is fixed. Votes for a target count in its own
//! epoch and in the next one, from the source that was the last justified checkpoint in the target's epoch. As in phase0,
//! nothing is weighed before epoch 2 ends.
//! Sources: `process_attestation`, `process_justification_and_finalization` of phase0.

use super::justification::Justification;
use super::leak::{L1Clock, Leak, shrink};
use super::schedule::Schedule;
use super::{CERTIFICATES_PER_BLOCK_MAX, EPOCH_BLOCKS_MAX};
use alloy_primitives::{B256, keccak256};
use proof::checkpoint::{
    Certificate, CertificateError, Checkpoint, Domain, Electorate, Point, SetError, Signers, ValidatorSet, Vote,
    VoteKey,
};

/// Rules of one network; part of the commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// What votes are bound to.
    pub domain: Domain,
    /// Blocks of an epoch (2..=65_536).
    pub epoch_blocks: u64,
    /// Seconds after which stake that left can no longer be slashed (1..).
    pub unbonding_seconds: u64,
    /// Seconds that evidence may take to be included (0..unbonding).
    pub evidence_seconds: u64,
    /// Loss of absent stake.
    pub leak: Leak,
}

/// Rules that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParametersError {
    /// Too short or too long an epoch.
    #[error("an epoch of {0} blocks, allowed are 2 to {EPOCH_BLOCKS_MAX}")]
    EpochBlocks(u64),
    /// Evidence would come when the stake is gone.
    #[error("evidence may take {evidence} s, stake is free after {unbonding} s; unbonding must take longer")]
    Unbonding {
        /// Seconds for evidence.
        evidence: u64,
        /// Seconds of unbonding.
        unbonding: u64,
    },
    /// A leak with a zero where one divides.
    #[error("leak period of {0} s and quotient {1}, both must be positive")]
    Leak(u64, u64),
}

/// What the state needs to know of a final block.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Height, one more than the last.
    pub height: u64,
    /// Digest of the block.
    pub block: B256,
    /// Unix time of the block, in seconds.
    pub seconds: u64,
    /// What light clients are shown of the application, see [`Checkpoint::application`].
    pub application: B256,
    /// Time of the newest L1 block that this block refers to, in Unix seconds, if it refers to one.
    pub l1_seconds: Option<u64>,
    /// Stake as the application sees it after this block; read at checkpoints, `None` leaves it as it was.
    pub candidate: Option<&'a ValidatorSet>,
    /// Votes in the block, in order.
    pub votes: &'a [Certificate],
}

/// A checkpoint that a block opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Encoded state that the checkpoint commits to: keep it for those who start here, see [`State::trust`].
    pub state: Vec<u8>,
}

/// What a block changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Checkpoint of this block.
    pub opened: Option<Opened>,
    /// Checkpoint that became justified, if it is a new one.
    pub justified: Option<Point>,
    /// Checkpoint that became final.
    pub finalized: Option<Point>,
    /// Validators whose vote counted first in this block.
    pub counted: usize,
    /// Votes that did not count: position in the block and reason.
    pub refused: Vec<(usize, VoteError)>,
    /// Periods of the leak that absent validators were charged for; 0 while there is no leak.
    pub leaked_periods: u128,
}

/// A block cannot be applied; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Not the next block.
    #[error("block {given} does not follow block {last}")]
    Height {
        /// Height of the block.
        given: u64,
        /// Height of the state.
        last: u64,
    },
    /// The sets in force make no electorate.
    #[error("no electorate for epoch {epoch}: {source}")]
    Electorate {
        /// Epoch.
        epoch: u64,
        /// Why.
        source: SetError,
    },
}

/// A vote does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoteError {
    /// Not a checkpoint that can be voted for now.
    #[error("target {root} of epoch {epoch} is neither the checkpoint of epoch {current} nor of the one before")]
    Target {
        /// Epoch of the target.
        epoch: u64,
        /// Root of the target.
        root: B256,
        /// Epoch now.
        current: u64,
    },
    /// Not the source that the target's epoch requires.
    #[error("source of epoch {given} for target epoch {target}, votes must name the checkpoint of epoch {needed}")]
    Source {
        /// Epoch of the source.
        given: u64,
        /// Epoch of the target.
        target: u64,
        /// Epoch of the source that counts.
        needed: u64,
    },
    /// Everybody in it was counted before.
    #[error("all {0} signers were counted before")]
    Known(usize),
    /// The signature does not verify, or its signers are not the electorate's.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The block has too many.
    #[error("a block counts {CERTIFICATES_PER_BLOCK_MAX} vote certificates, this one has {0}")]
    TooMany(usize),
}

/// A checkpoint and who voted for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ballot {
    pub checkpoint: Checkpoint,
    pub electorate: Electorate,
    pub signers: Signers,
}

impl Ballot {
    pub fn open(checkpoint: Checkpoint, electorate: Electorate) -> Self {
        let signers = Signers::none(electorate.members().len());
        Self { checkpoint, electorate, signers }
    }

    /// The checkpoint, if two thirds of every set voted for it.
    fn won(&self) -> Option<Point> {
        self.electorate.is_supermajority(&self.signers).then(|| self.checkpoint.point())
    }

    fn is_absent(&self, key: &VoteKey) -> bool {
        self.electorate.position(key).is_some_and(|position| !self.signers.contains(position))
    }
}

/// Finality as a function of final blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub(super) parameters: Parameters,
    pub(super) height: u64,
    pub(super) justification: Justification,
    pub(super) schedule: Schedule,
    pub(super) clock: L1Clock,
    /// Votes on the checkpoint of the current epoch.
    pub(super) current: Ballot,
    /// Votes on the one before, which still count.
    pub(super) previous: Option<Ballot>,
}

impl Parameters {
    /// Checks that the rules make sense together.
    pub fn check(&self) -> Result<(), ParametersError> {
        if !(2..=EPOCH_BLOCKS_MAX).contains(&self.epoch_blocks) {
            return Err(ParametersError::EpochBlocks(self.epoch_blocks));
        }
        if self.evidence_seconds >= self.unbonding_seconds {
            let (evidence, unbonding) = (self.evidence_seconds, self.unbonding_seconds);
            return Err(ParametersError::Unbonding { evidence, unbonding });
        }
        if self.leak.period_seconds == 0 || self.leak.quotient == 0 {
            return Err(ParametersError::Leak(self.leak.period_seconds, self.leak.quotient));
        }
        Ok(())
    }
}

impl State {
    /// The state at block 0, which is justified and final: `genesis` has height 0 and no votes; its candidate is ignored, `set` is in
    /// force.
    pub fn genesis(parameters: Parameters, genesis: &Input<'_>, set: ValidatorSet) -> Result<Self, ParametersError> {
        parameters.check()?;
        let electorate = Electorate::new(std::slice::from_ref(&set)).expect("one set makes an electorate");
        let checkpoint = Checkpoint {
            epoch: 0,
            height: 0,
            seconds: genesis.seconds,
            block: genesis.block,
            application: genesis.application,
            electorate: electorate.root(),
            state: B256::ZERO,
        };
        Ok(Self {
            parameters,
            height: 0,
            justification: Justification::genesis(checkpoint.point()),
            schedule: Schedule::genesis(0, set),
            clock: L1Clock::default(),
            current: Ballot::open(checkpoint, electorate),
            previous: None,
        })
    }

    /// Rules of the network.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Height of the last block.
    pub fn height(&self) -> u64 {
        self.height
    }

    /// Current epoch.
    pub fn epoch(&self) -> u64 {
        self.current.checkpoint.epoch
    }

    /// Bits and points of the four-bit rule.
    pub fn justification(&self) -> &Justification {
        &self.justification
    }

    /// Checkpoint of the current epoch, and who votes on it.
    pub fn checkpoint(&self) -> (&Checkpoint, &Electorate) {
        (&self.current.checkpoint, &self.current.electorate)
    }

    /// Set in force in `epoch`, known up to two epochs ahead.
    pub fn set(&self, epoch: u64) -> &ValidatorSet {
        self.schedule.set(epoch)
    }

    /// Stake that the newest checkpoint proposes for later epochs.
    pub fn candidate(&self) -> &ValidatorSet {
        let newest = self.schedule.candidates.last_key_value().map(|(_, set)| set);
        newest.unwrap_or(self.schedule.set(self.epoch()))
    }

    /// Who was counted for the checkpoint of the current epoch.
    pub fn counted(&self) -> &Signers {
        &self.current.signers
    }

    /// What an honest validator votes for now; nothing before epoch 1.
    pub fn duty(&self) -> Option<Vote> {
        let vote = Vote { source: self.justification.current, target: self.current.checkpoint.point() };
        (vote.source.epoch < vote.target.epoch).then_some(vote)
    }

    /// Who votes on the target of `vote`, if the link is one that counts now.
    pub fn electorate(&self, vote: &Vote) -> Result<&Electorate, VoteError> {
        self.ballot(vote).map(|ballot| &ballot.electorate)
    }

    /// Target of `vote` and who votes for it, if the link is one that counts now.
    pub fn target(&self, vote: &Vote) -> Result<(&Checkpoint, &Electorate), VoteError> {
        self.ballot(vote).map(|ballot| (&ballot.checkpoint, &ballot.electorate))
    }

    /// Who votes on the checkpoint of `epoch`, the current one or the one before: for the detector, which also looks at votes
    /// that do not count.
    pub fn electorate_at(&self, epoch: u64) -> Option<&Electorate> {
        let mut ballots = std::iter::once(&self.current).chain(&self.previous);
        ballots.find(|ballot| ballot.checkpoint.epoch == epoch).map(|ballot| &ballot.electorate)
    }

    /// Whether `certificate` would count in the next block of this epoch. Whoever proposes or votes for a block calls this
    /// first, so that blocks carry only votes that count.
    pub fn check(&self, certificate: &Certificate) -> Result<(), VoteError> {
        let ballot = self.ballot(&certificate.vote)?;
        if certificate.signers.iter().all(|index| ballot.signers.contains(index)) {
            return Err(VoteError::Known(certificate.signers.count()));
        }
        Ok(certificate.verify_signature(&self.parameters.domain, &ballot.electorate)?)
    }

    /// Whether member `position` of the electorate of `vote` was counted.
    pub fn is_counted(&self, vote: &Vote, position: usize) -> bool {
        self.ballot(vote).is_ok_and(|ballot| ballot.signers.contains(position))
    }

    /// Applies the next final block.
    pub fn apply(&mut self, input: &Input<'_>) -> Result<Outcome, ApplyError> {
        if Some(input.height) != self.height.checked_add(1) {
            return Err(ApplyError::Height { given: input.height, last: self.height });
        }
        let mut next = self.clone();
        next.height = input.height;
        if let Some(seconds) = input.l1_seconds {
            next.clock.observe(seconds);
        }
        let mut outcome = Outcome::default();
        if input.height.is_multiple_of(self.parameters.epoch_blocks) {
            next.close(&mut outcome);
            next.open(input, &mut outcome)?;
        }
        next.count(input.votes, &mut outcome);
        *self = next;
        Ok(outcome)
    }

    /// The ballot that a link counts for.
    fn ballot(&self, vote: &Vote) -> Result<&Ballot, VoteError> {
        let (target, justification) = (vote.target, &self.justification);
        let candidates =
            [(Some(&self.current), justification.current), (self.previous.as_ref(), justification.previous)];
        let found = candidates.into_iter().find_map(|(ballot, source)| {
            let ballot = ballot.filter(|ballot| ballot.checkpoint.point() == target)?;
            Some((ballot, source))
        });
        let unknown = VoteError::Target { epoch: target.epoch, root: target.root, current: self.epoch() };
        let (ballot, source) = found.ok_or(unknown)?;
        if vote.source != source || source.epoch >= target.epoch {
            let (given, needed) = (vote.source.epoch, source.epoch);
            return Err(VoteError::Source { given, target: target.epoch, needed });
        }
        Ok(ballot)
    }

    fn count(&mut self, votes: &[Certificate], outcome: &mut Outcome) {
        for (position, certificate) in votes.iter().enumerate() {
            let checked = match position < CERTIFICATES_PER_BLOCK_MAX {
                true => self.check(certificate),
                false => Err(VoteError::TooMany(votes.len())),
            };
            if let Err(reason) = checked {
                outcome.refused.push((position, reason));
                continue;
            }
            let is_current = certificate.vote.target.epoch == self.epoch();
            let ballot = if is_current { Some(&mut self.current) } else { self.previous.as_mut() };
            let ballot = ballot.expect("`check` has found the ballot of this target");
            let before = ballot.signers.count();
            ballot.signers.extend(&certificate.signers);
            outcome.counted += ballot.signers.count() - before;
        }
    }

    /// Ends the current epoch.
    fn close(&mut self, outcome: &mut Outcome) {
        let before = self.justification;
        if self.epoch() > 1 {
            let previous = self.previous.as_ref().and_then(Ballot::won);
            self.justification.weigh(self.epoch(), previous, self.current.won());
        }
        let after = &self.justification;
        outcome.justified = (after.current != before.current).then_some(after.current);
        outcome.finalized = (after.finalized != before.finalized).then_some(after.finalized);
        if outcome.finalized.is_some() {
            self.clock.finalized();
        }
        self.leak(outcome);
    }

    /// Charges those who did not vote on the checkpoint whose votes can no longer be included.
    fn leak(&mut self, outcome: &mut Outcome) {
        let Some(ballot) = &self.previous else { return };
        let leak = self.parameters.leak;
        let periods = self.clock.charge(&leak);
        if periods > 0 {
            self.schedule.map(|set| shrink(set, |key| ballot.is_absent(key), periods, &leak));
            outcome.leaked_periods = periods;
        }
    }

    /// Begins the epoch whose checkpoint is this block.
    fn open(&mut self, input: &Input<'_>, outcome: &mut Outcome) -> Result<(), ApplyError> {
        let epoch = self.epoch() + 1;
        let Justification { previous, current, finalized, .. } = self.justification;
        let needed = [finalized.epoch, previous.epoch, current.epoch, epoch, epoch - 1];
        let opened = self.schedule.open(epoch, input.candidate, needed);
        opened.map_err(|source| ApplyError::Electorate { epoch, source })?;
        let electorate = self.next_electorate(epoch)?;
        let state = self.encode();
        let checkpoint = Checkpoint {
            epoch,
            height: input.height,
            seconds: input.seconds,
            block: input.block,
            application: input.application,
            electorate: electorate.root(),
            state: keccak256(&state),
        };
        self.register(checkpoint, electorate);
        outcome.opened = Some(Opened { checkpoint, state });
        Ok(())
    }

    /// Who votes on the checkpoint of `epoch`, the next one.
    pub(super) fn next_electorate(&self, epoch: u64) -> Result<Electorate, ApplyError> {
        let electorate = self.schedule.electorate(self.justification.finalized.epoch, epoch);
        electorate.map_err(|source| ApplyError::Electorate { epoch, source })
    }

    /// Takes a checkpoint whose votes count from now on.
    pub(super) fn register(&mut self, checkpoint: Checkpoint, electorate: Electorate) {
        let ended = std::mem::replace(&mut self.current, Ballot::open(checkpoint, electorate));
        self.previous = Some(ended);
    }
}

#[cfg(test)]
mod tests;
