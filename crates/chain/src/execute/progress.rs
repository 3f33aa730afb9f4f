//! State roots inside a block, which receipts named before Byzantium (EIP-658).
//!
//! Each transaction's changes are applied to the tries on top of the changes before it, and all are merged into one
//! effect of the block in the end.

use super::{BlockState, changes};
use crate::{
    ChainError,
    state::{Overlay, StateChanges, StateView},
};
use alloy_primitives::B256;
use std::sync::Arc;

/// The tries as the transactions so far left them.
pub(super) struct Progress {
    parent: StateView,
    /// Everything the block changed so far; `None` before its first transaction.
    so_far: Option<Arc<Overlay>>,
    number: u64,
}

impl Progress {
    pub(super) fn new(parent: StateView, number: u64) -> Self {
        Self { parent, so_far: None, number }
    }

    /// Takes what happened since the last call into the tries and returns their root.
    pub(super) fn advance(&mut self, state: &mut BlockState) -> Result<B256, ChainError> {
        self.apply(changes(state))?;
        Ok(self.so_far.as_ref().map_or(B256::ZERO, |overlay| overlay.state_root))
    }

    /// Takes the last changes and returns the effect of the whole block.
    pub(super) fn finish(mut self, changes: StateChanges) -> Result<Overlay, ChainError> {
        self.apply(changes)?;
        Ok(self.so_far.map(Arc::unwrap_or_clone).unwrap_or_default())
    }

    fn apply(&mut self, changes: StateChanges) -> Result<(), ChainError> {
        let view = match &self.so_far {
            Some(overlay) => self.parent.clone().above(overlay.clone()),
            None => self.parent.clone(),
        };
        let later = changes.apply(&view)?.sealed(self.number, B256::ZERO);
        // The view shares the overlay; without it the merge needs no copy.
        drop(view);
        self.so_far = Some(Arc::new(match self.so_far.take() {
            Some(earlier) => Arc::unwrap_or_clone(earlier).then(later),
            None => later,
        }));
        Ok(())
    }
}
