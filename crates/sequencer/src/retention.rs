//! When blocks are old enough to be pruned, and nobody needs them any more.
//!
//! A block may go when it is older than the window, by its own timestamp and that of the newest final block, so that
//! neither a wrong clock nor a pause of the network prunes anything. Whatever its age, a block stays
//!
//! - until the stake has finalised it, and [`REPLAYED_EPOCHS`] more, whose votes are compared with new ones after a start;
//! - until the application and the accounts of namespaces have taken it durably;
//! - while it is one of the newest [`KEPT_BLOCKS_MIN`]: what engine and lane begin with after a crash.
//!
//! [`History::prune`] takes the steps; between them final blocks are stored.

use crate::fees::KeptError;
use crate::finality::desk::REPLAYED_EPOCHS;
use crate::history::{History, HistoryError, STEP_BLOCKS_MAX};
use crate::limits::KEPT_BLOCKS_MIN;
use crate::orderer::Core;
use commonware_runtime::{Clock, Spawner};
use futures::future::pending;
use std::sync::Arc;
use std::time::Duration;

/// Pause after which it is looked again whether there is something to prune. Not told by new heights: who of several is woken first
/// when a watched value changes is random, and a simulation could not be repeated.
const LOOK: Duration = Duration::from_secs(1);
/// Pause between two steps.
const PAUSE: Duration = Duration::from_millis(20);

/// A step of pruning failed.
#[derive(Debug, thiserror::Error)]
enum PruneError {
    /// The blocks cannot be read or removed.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// What namespaces owe cannot be kept, so the blocks that say it must be.
    #[error(transparent)]
    Accounts(#[from] KeptError),
}

struct Pruner {
    core: Arc<Core>,
    history: Arc<History>,
    window_millis: u64,
    /// Timestamp of the oldest block when it was too young last.
    young_millis: u64,
}

/// Prunes for as long as the validator runs; without a window it keeps everything.
pub(crate) async fn run<E: Clock + Spawner>(
    context: E,
    core: Arc<Core>,
    history: Arc<History>,
    window: Option<Duration>,
) {
    let Some(window) = window else { return pending().await };
    let window_millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    let mut pruner = Pruner { core, history, window_millis, young_millis: 0 };
    loop {
        loop {
            let turn = context.child("prune").shared(true).spawn(move |_| async move {
                let is_pruned = pruner.step();
                (pruner, is_pruned)
            });
            let Ok((returned, outcome)) = turn.await else { return };
            pruner = returned;
            match outcome {
                Ok(true) => context.sleep(PAUSE).await,
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(%error, "old blocks cannot be pruned; it is tried again in a second");
                    break;
                }
            }
        }
        context.sleep(LOOK).await;
    }
}

impl Pruner {
    /// Prunes some blocks; whether it did. Blocks the thread.
    fn step(&mut self) -> Result<bool, PruneError> {
        let height = *self.core.heights.borrow();
        let Some(newest) = self.history.shared_block(height)? else { return Ok(false) };
        let until_millis = newest.timestamp_millis.saturating_sub(self.window_millis);
        if until_millis <= self.young_millis {
            return Ok(false);
        }
        let step = self.history.prune(self.needed(height)?, until_millis)?;
        self.young_millis = step.young_millis.unwrap_or(self.young_millis);
        if step.heights > 0 {
            tracing::debug!(heights = step.heights, oldest = self.history.oldest(), "blocks were pruned");
        }
        Ok(step.heights > 0)
    }

    /// The lowest height that is still needed, or one below it.
    fn needed(&self, height: u64) -> Result<u64, PruneError> {
        let finality = self.core.desk.view().borrow().clone();
        let reviewed = finality.finalized.epoch.saturating_sub(REPLAYED_EPOCHS) * finality.epoch_blocks;
        let newest = (height + 1).saturating_sub(KEPT_BLOCKS_MIN);
        let needed = reviewed.min(newest).min(self.core.application.finalized_height() + 1);
        let (ledger, mut kept) = (&self.core.ledger, self.core.ledger.kept());
        // Long windows never wait for it.
        if kept + 1 < needed && kept < self.history.oldest() + STEP_BLOCKS_MAX as u64 {
            kept = ledger.keep()?;
        }
        Ok(needed.min(kept + 1))
    }
}
