//! Starting from a checkpoint that the operator trusts.
//!
//! Whoever was away for longer than stake stays bonded can be shown a second history by validators who have nothing to lose any
//! more: no rule helps against that. So a node that starts names a recent checkpoint, learned from somebody it trusts, and
//! follows the chain from there. The period in which that is safe is how long stake stays bonded, less the time that
//! evidence may take. The specification's term for the churn of the set only makes it longer; here a set may change entirely
//! within an epoch, so the term is left out.
//! Source: `compute_weak_subjectivity_period`, `is_within_weak_subjectivity_period` of phase0.

use super::state::{ApplyError, State};
use alloy_primitives::{B256, keccak256};
use proof::checkpoint::{Checkpoint, Point};

/// How far ahead of our clock a checkpoint may be, in seconds.
const AHEAD_SECONDS_MAX: u64 = 60;

/// A checkpoint cannot be started from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Not the checkpoint that is trusted.
    #[error(
        "the checkpoint has epoch {epoch} and root {root}, trusted is epoch {trusted_epoch} with root {trusted_root}"
    )]
    Untrusted {
        /// Epoch offered.
        epoch: u64,
        /// Root offered.
        root: B256,
        /// Trusted epoch.
        trusted_epoch: u64,
        /// Trusted root.
        trusted_root: B256,
    },
    /// The state is not the one that the checkpoint commits to.
    #[error("the state hashes to {given}, the checkpoint commits to {named}")]
    State {
        /// Hash of the bytes.
        given: B256,
        /// Commitment.
        named: B256,
    },
    /// The bytes are no state.
    #[error("the state does not decode: {0}")]
    Encoding(String),
    /// The state is not the one before the checkpoint.
    #[error(
        "the state is before height {next} of epoch {epoch}, the checkpoint is at height {height} of epoch {named}"
    )]
    Position {
        /// Height after the state.
        next: u64,
        /// Epoch after the state.
        epoch: u64,
        /// Height of the checkpoint.
        height: u64,
        /// Epoch of the checkpoint.
        named: u64,
    },
    /// The electorate is not the one that the state leads to.
    #[error("the state leads to electorate {computed}, the checkpoint names {named}")]
    Electorate {
        /// From the state.
        computed: B256,
        /// In the checkpoint.
        named: B256,
    },
    /// No electorate at all.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Too old: those who made it may have withdrawn their stake.
    #[error(
        "the checkpoint is {age} s old, beyond {period} s it proves nothing; get a newer one from somebody you trust"
    )]
    Old {
        /// Age in seconds.
        age: u64,
        /// Weak subjectivity period in seconds.
        period: u64,
    },
    /// From the future.
    #[error(
        "the checkpoint is {ahead} s ahead of this clock, at most {AHEAD_SECONDS_MAX} s are accepted; set the clock"
    )]
    Ahead {
        /// Seconds.
        ahead: u64,
    },
}

impl State {
    /// Seconds during which a checkpoint can be trusted.
    pub fn weak_subjectivity_seconds(&self) -> u64 {
        self.parameters.unbonding_seconds.saturating_sub(self.parameters.evidence_seconds)
    }

    /// Starts from a trusted checkpoint with the state that [`Opened`](super::Opened) gave for it. The next block to apply
    /// is the one after the checkpoint. `now_seconds` is Unix time.
    pub fn trust(trusted: Point, checkpoint: Checkpoint, state: &[u8], now_seconds: u64) -> Result<Self, TrustError> {
        let Point { epoch, root } = checkpoint.point();
        if (epoch, root) != (trusted.epoch, trusted.root) {
            let (trusted_epoch, trusted_root) = (trusted.epoch, trusted.root);
            return Err(TrustError::Untrusted { epoch, root, trusted_epoch, trusted_root });
        }
        let state = Self::resume(checkpoint, state)?;
        state.check_age(&checkpoint, now_seconds)?;
        Ok(state)
    }

    /// Goes on from a checkpoint that this node has kept itself, of any age, with the state that
    /// [`Opened`](super::Opened) gave for it.
    pub fn resume(checkpoint: Checkpoint, state: &[u8]) -> Result<Self, TrustError> {
        let (given, named) = (keccak256(state), checkpoint.state);
        if given != named {
            return Err(TrustError::State { given, named });
        }
        let mut state = Self::decode(state).map_err(|error| TrustError::Encoding(error.to_string()))?;
        let next = state.epoch().saturating_add(1);
        if (state.height, next) != (checkpoint.height, checkpoint.epoch) {
            let (height, named) = (checkpoint.height, checkpoint.epoch);
            return Err(TrustError::Position { next: state.height, epoch: next, height, named });
        }
        let electorate = state.next_electorate(next)?;
        let (computed, named) = (electorate.root(), checkpoint.electorate);
        if computed != named {
            return Err(TrustError::Electorate { computed, named });
        }
        state.register(checkpoint, electorate);
        Ok(state)
    }

    fn check_age(&self, checkpoint: &Checkpoint, now_seconds: u64) -> Result<(), TrustError> {
        let ahead = checkpoint.seconds.saturating_sub(now_seconds);
        if ahead > AHEAD_SECONDS_MAX {
            return Err(TrustError::Ahead { ahead });
        }
        let (age, period) = (now_seconds.saturating_sub(checkpoint.seconds), self.weak_subjectivity_seconds());
        if age > period {
            return Err(TrustError::Old { age, period });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
