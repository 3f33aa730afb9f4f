//! What final blocks mean for finality: a pure function of them.
//!
//! Votes count in every block but those that open an epoch: a checkpoint commits to the state before its own block, and
//! whoever starts from it must miss nothing. Evidence counts in all blocks: the offender is not among the candidates
//! of the next checkpoint any more, and so leaves the set two epochs after that checkpoint is final. Evidence against
//! somebody who is no candidate is refused, so nobody is convicted twice for being in one set.

use super::kept::KeptCheckpoint;
use crate::block::Block;
use crate::committee::Committee;
use crate::equivocation::EquivocationError;
use crate::ffg::{ApplyError, Input, Leak, Outcome, Parameters, ParametersError, State, TrustError, VoteError};
use crate::system::{System, SystemError};
use alloy_primitives::{B256, U256, keccak256};
use proof::checkpoint::{
    Domain, Electorate, Evidence, EvidenceError, Point, Validator, ValidatorSet, VoteKey, Witness,
};
use protocol::api::{CheckpointName, StakeFinality};
use std::collections::BTreeSet;

/// Seconds after which stake that left can no longer be slashed: what `StakeManager` begins with (21 days).
pub const UNBONDING_SECONDS: u64 = 21 * 86_400;
/// Seconds that evidence may take to be included (7 days).
pub const EVIDENCE_SECONDS: u64 = 7 * 86_400;

const _: () = assert!(EVIDENCE_SECONDS < UNBONDING_SECONDS);

/// The rules of the network with this genesis block.
pub fn parameters(chain_id: u64, genesis: [u8; 32], epoch_blocks: u64) -> Parameters {
    Parameters {
        domain: Domain { chain_id, genesis: genesis.into() },
        epoch_blocks,
        unbonding_seconds: UNBONDING_SECONDS,
        evidence_seconds: EVIDENCE_SECONDS,
        leak: Leak::default(),
    }
}

/// Namespace 0 of a block holds what must not be there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JudgeError {
    /// It does not decode.
    #[error(transparent)]
    System(#[from] SystemError),
    /// A vote that does not count.
    #[error("votes {number} do not count: {reason}")]
    Vote {
        /// Position among the votes.
        number: usize,
        /// Why.
        reason: VoteError,
    },
    /// Votes where none count.
    #[error("block {0} opens an epoch, so no votes count in it")]
    Opening(u64),
    /// Evidence that proves nothing.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// Evidence against somebody who is no candidate and has no stake left, or twice against one.
    #[error("evidence against key {0}, which is not among the candidates (any more) and has no stake to lose")]
    NoCandidate(String),
    /// An equivocation that proves nothing.
    #[error(transparent)]
    Equivocation(#[from] EquivocationError),
    /// The block does not follow.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// What a block changed.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// What it changed in the state.
    pub outcome: Outcome,
    /// Who is proven to have broken the rules by evidence in the block.
    pub convicted: Vec<VoteKey>,
}

/// Finality after a block.
#[derive(Clone, Debug)]
pub struct Tracker {
    state: State,
    /// Convicted since the last checkpoint: the next one proposes a set without them.
    convicted: BTreeSet<VoteKey>,
}

fn input(block: &Block, digest: [u8; 32]) -> Input<'static> {
    Input {
        height: block.height,
        block: digest.into(),
        seconds: block.timestamp_millis / 1000,
        application: keccak256(&block.commitment),
        l1_seconds: None,
        candidate: None,
        votes: &[],
    }
}

impl Tracker {
    /// Finality at block 0: the committee's seats vote with one unit of stake each.
    ///
    /// # Errors
    /// When the epoch is too short or too long.
    pub fn genesis(committee: &Committee, genesis: &Block, epoch_blocks: u64) -> Result<Self, ParametersError> {
        let digest = genesis.digest();
        let rules = parameters(committee.chain_id(), digest, epoch_blocks);
        let state = State::genesis(rules, &input(genesis, digest), committee.vote_set().clone())?;
        Ok(Self { state, convicted: BTreeSet::new() })
    }

    /// Goes on from a checkpoint that this node has kept itself; the next block is the one after it.
    ///
    /// # Errors
    /// When checkpoint and state do not belong together.
    pub fn resume(kept: &KeptCheckpoint) -> Result<Self, TrustError> {
        Ok(Self { state: kept.resume()?, convicted: BTreeSet::new() })
    }

    /// Starts from a checkpoint that the operator trusts, see [`State::trust`].
    ///
    /// # Errors
    /// When it is another one, too old, or does not belong to the state.
    pub fn trust(trusted: Point, kept: &KeptCheckpoint, now_seconds: u64) -> Result<Self, TrustError> {
        let state = State::trust(trusted, kept.checkpoint, &kept.state, now_seconds)?;
        Ok(Self { state, convicted: BTreeSet::new() })
    }

    /// The state after the last block.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Height of the last block.
    pub fn height(&self) -> u64 {
        self.state.height()
    }

    /// Whether the block of this height opens an epoch.
    pub fn opens(&self, height: u64) -> bool {
        height.is_multiple_of(self.state.parameters().epoch_blocks)
    }

    /// Whether a block may carry this evidence now.
    ///
    /// # Errors
    /// When it proves nothing, or the offender is no candidate.
    pub fn check_evidence(&self, evidence: &Evidence) -> Result<(), JudgeError> {
        self.check_evidence_against(evidence, false)
    }

    /// The same; `is_liable` says whether the offender, if it is no candidate, still has stake to lose.
    pub(super) fn check_evidence_against(&self, evidence: &Evidence, is_liable: bool) -> Result<(), JudgeError> {
        let has_something_to_lose = self.accuses(&evidence.key) || (is_liable && self.is_outside(&evidence.key));
        if !has_something_to_lose {
            return Err(JudgeError::NoCandidate(hex::encode(evidence.key.bytes())));
        }
        evidence.verify(&self.state.parameters().domain, |root| self.electorate(root))?;
        Ok(())
    }

    /// Takes a piece of evidence that stands in the next block, behind those that were taken: the rule for judges and proposers.
    ///
    /// # Errors
    /// When it must not stand there; nothing has changed.
    pub(super) fn convict(&mut self, evidence: &Evidence, liable: &dyn Fn(&VoteKey) -> bool) -> Result<(), JudgeError> {
        let is_liable = self.is_outside(&evidence.key) && liable(&evidence.key);
        self.check_evidence_against(evidence, is_liable)?;
        self.convicted.insert(evidence.key);
        Ok(())
    }

    /// Whether everything is known that it takes to judge the signatures of a piece of evidence.
    pub(super) fn knows_signers(&self, evidence: &Evidence) -> bool {
        [&evidence.first, &evidence.second].into_iter().all(|signed| match &signed.witness {
            Witness::Alone(_) => true,
            Witness::Aggregate { electorate, .. } => self.electorate(electorate).is_some(),
        })
    }

    /// Whether evidence against `key` would be looked at: it is a candidate, not convicted, and not the last one, whom
    /// nobody would be left to judge.
    pub(super) fn accuses(&self, key: &VoteKey) -> bool {
        let candidates = self.state.candidate();
        let innocent = candidates.validators().iter().filter(|validator| !self.convicted.contains(&validator.key));
        candidates.stake(key) > 0 && !self.convicted.contains(key) && innocent.count() > 1
    }

    /// Whether `key` is neither a candidate nor convicted since the last checkpoint.
    pub(super) fn is_outside(&self, key: &VoteKey) -> bool {
        self.state.candidate().stake(key) == 0 && !self.convicted.contains(key)
    }

    fn electorate(&self, root: &B256) -> Option<&Electorate> {
        let epoch = self.state.epoch();
        let known = [Some(epoch), epoch.checked_sub(1)].into_iter().flatten();
        known.filter_map(|epoch| self.state.electorate_at(epoch)).find(|electorate| electorate.root() == *root)
    }

    /// Applies a block of somebody else before it is final, and says what must not be in it: everything in namespace 0
    /// must count. `candidate` is the stake after the block, if the application knows it; `liable` says of a key whether it has
    /// stake to lose before the block, although it is no candidate. Equivocations are for others to judge.
    ///
    /// # Errors
    /// When it is not to be voted for; nothing has changed.
    pub fn judge(
        &mut self,
        block: &Block,
        digest: [u8; 32],
        candidate: Option<&ValidatorSet>,
        liable: &dyn Fn(&VoteKey) -> bool,
    ) -> Result<Applied, JudgeError> {
        let system = System::read(&block.payload)?;
        if self.opens(block.height) && !system.votes.is_empty() {
            return Err(JudgeError::Opening(block.height));
        }
        let mut next = self.clone();
        system.evidence.iter().try_for_each(|evidence| next.convict(evidence, liable))?;
        let outcome = next.advance(block, digest, &system.votes, candidate)?;
        if let Some((number, reason)) = outcome.refused.into_iter().next() {
            return Err(JudgeError::Vote { number, reason });
        }
        *self = next;
        let convicted = system.evidence.iter().map(|evidence| evidence.key).collect();
        Ok(Applied { outcome: Outcome { refused: vec![], ..outcome }, convicted })
    }

    /// Applies the next final block. What should not be in it, and was voted for nevertheless, does not count.
    ///
    /// # Errors
    /// When it is not the next block.
    pub fn apply(
        &mut self,
        block: &Block,
        digest: [u8; 32],
        candidate: Option<&ValidatorSet>,
    ) -> Result<Applied, ApplyError> {
        let system = System::read(&block.payload).unwrap_or_default();
        let votes = if self.opens(block.height) { &[] } else { system.votes.as_slice() };
        let mut next = self.clone();
        let mut convicted = Vec::new();
        for evidence in &system.evidence {
            if next.check_evidence(evidence).is_ok() {
                next.convicted.insert(evidence.key);
                convicted.push(evidence.key);
            }
        }
        let outcome = next.advance(block, digest, votes, candidate)?;
        *self = next;
        Ok(Applied { outcome, convicted })
    }

    fn advance(
        &mut self,
        block: &Block,
        digest: [u8; 32],
        votes: &[proof::checkpoint::Certificate],
        candidate: Option<&ValidatorSet>,
    ) -> Result<Outcome, ApplyError> {
        let without = if candidate.is_none() && self.opens(block.height) { self.without_convicted() } else { None };
        let candidate = candidate.or(without.as_ref());
        let outcome = self.state.apply(&Input { candidate, votes, ..input(block, digest) })?;
        if outcome.opened.is_some() {
            self.convicted.clear();
        }
        Ok(outcome)
    }

    /// The last candidates without those who were convicted since; `None` if nobody was.
    fn without_convicted(&self) -> Option<ValidatorSet> {
        let innocent = |validator: &&Validator| !self.convicted.contains(&validator.key);
        let candidates = self.state.candidate().validators();
        let rest: Vec<Validator> = candidates.iter().filter(innocent).copied().collect();
        if rest.len() == candidates.len() {
            return None;
        }
        // Empty only if the application changed its candidates meanwhile: then they stay.
        ValidatorSet::new(rest).ok()
    }

    /// What others are told of it.
    pub fn finality(&self) -> StakeFinality {
        let state = &self.state;
        let (justification, epoch_blocks) = (state.justification(), state.parameters().epoch_blocks);
        let name = |point: Point| CheckpointName {
            epoch: point.epoch,
            height: point.epoch.saturating_mul(epoch_blocks),
            root: point.root,
        };
        let (checkpoint, electorate) = state.checkpoint();
        let set = electorate.in_force();
        let voted = electorate.weigh(state.counted()).last().copied().unwrap_or(0);
        StakeFinality {
            epoch: state.epoch(),
            epoch_blocks,
            current: name(checkpoint.point()),
            justified: name(justification.current),
            finalized: name(justification.finalized),
            set: set.root(),
            validators: set.validators().len() as u32,
            stake: U256::from(set.total()),
            voted: U256::from(voted),
        }
    }
}
