//! What there is to post: decided anew before each transaction, from the L1 as it is now.

use crate::finality::Finality;
use crate::l1::L1;
use crate::plan::{self, PlanError, View};
use crate::poster::Settings;
use alloy_primitives::Bytes;
use std::future::Future;

/// The next call of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Calldata.
    pub data: Bytes,
    /// How far it brings the contract, for reports: the epoch that it finalises, the height up to which a batch goes.
    pub mark: u64,
    /// Blobs of 131,072 bytes that go with it; none in an ordinary transaction.
    pub blobs: Vec<Bytes>,
}

/// A source of calls.
pub trait Work: Send + Sync {
    /// The next call that the contract needs; `None` if it has everything, or not enough for a call has come together.
    fn next(&self, l1: &impl L1, settings: &Settings) -> impl Future<Output = Result<Option<Job>, PlanError>> + Send;
    /// Whether a revert says that somebody else has posted the same already.
    fn is_known(&self, revert: &[u8]) -> bool;
    /// What a revert says that no waiting mends; `None` for all others, which are tried again.
    fn refusal(&self, _revert: &[u8]) -> Option<PlanError> {
        None
    }
}

/// Checkpoints for a light client.
impl<F: Finality> Work for F {
    async fn next(&self, l1: &impl L1, settings: &Settings) -> Result<Option<Job>, PlanError> {
        let view = View::read(l1, settings.contract, self).await?;
        let Some(plan) = plan::next(&view, self).await? else { return Ok(None) };
        let is_enough = plan.newest.saturating_sub(view.finalised.epoch) >= settings.epochs_min;
        Ok(is_enough.then_some(Job { data: plan.data, mark: plan.epoch, blobs: vec![] }))
    }

    fn is_known(&self, revert: &[u8]) -> bool {
        plan::is_known(revert)
    }
}
