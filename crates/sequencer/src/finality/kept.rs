//! A checkpoint with the state that it commits to, as bytes.
//!
//! ```text
//! epoch (8) ‖ height (8) ‖ seconds (8) ‖ block (32) ‖ application (32) ‖ electorate (32) ‖ state (32) ‖ state…
//! ```

use crate::ffg::State;
use alloy_primitives::B256;
use proof::checkpoint::Checkpoint;

const FIELDS_BYTES: usize = 3 * 8 + 4 * 32;

/// Bytes of a kept checkpoint.
pub const KEPT_BYTES_MAX: usize = FIELDS_BYTES + crate::ffg::STATE_BYTES_MAX;

/// The bytes are no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes are no kept checkpoint ({FIELDS_BYTES} to {KEPT_BYTES_MAX})")]
pub struct KeptError(pub usize);

/// A checkpoint and what is needed to go on from it: see [`State::resume`] and [`State::trust`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptCheckpoint {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Encoded [`State`] that it commits to.
    pub state: Vec<u8>,
}

impl KeptCheckpoint {
    /// Fields of the checkpoint, then the state.
    pub fn encode(&self) -> Vec<u8> {
        let Checkpoint { epoch, height, seconds, block, application, electorate, state } = &self.checkpoint;
        let mut out = Vec::with_capacity(FIELDS_BYTES + self.state.len());
        [epoch, height, seconds].iter().for_each(|number| out.extend(number.to_be_bytes()));
        [block, application, electorate, state].iter().for_each(|word| out.extend(word.as_slice()));
        out.extend(&self.state);
        out
    }

    /// Decodes [`KeptCheckpoint::encode`]; what the state says is checked when it is used.
    pub fn decode(bytes: &[u8]) -> Result<Self, KeptError> {
        let fail = KeptError(bytes.len());
        if bytes.len() > KEPT_BYTES_MAX {
            return Err(fail);
        }
        let (fields, state) = bytes.split_at_checked(FIELDS_BYTES).ok_or(fail)?;
        let number = |at: usize| fields[at..at + 8].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let word = |at: usize| B256::from_slice(&fields[at..at + 32]);
        let checkpoint = Checkpoint {
            epoch: number(0),
            height: number(8),
            seconds: number(16),
            block: word(24),
            application: word(56),
            electorate: word(88),
            state: word(120),
        };
        Ok(Self { checkpoint, state: state.to_vec() })
    }

    /// The state from which the block after the checkpoint is applied.
    pub(crate) fn resume(&self) -> Result<State, crate::ffg::TrustError> {
        State::resume(self.checkpoint, &self.state)
    }
}
