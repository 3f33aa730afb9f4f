//! Follow the sequencer from another process: final blocks with their quorum certificates, checked, in order.

use async_trait::async_trait;
use eyre::{Result, ensure, eyre};
use gateway::client::ValidatorClient;
use sequencer::{Block, Committee};
use std::sync::Arc;
use std::time::Duration;

/// Blocks asked for at a time.
const PAGE_BLOCKS: usize = 64;
/// How long a validator may hold a request open until the next block is final.
const WAIT_MILLIS: u64 = 2_000;
/// Pause before the next validator is asked after one failed.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Takes final blocks in height order. `apply` runs on a blocking thread and is durable when it returns.
#[async_trait]
pub trait Sink: Send + Sync + 'static {
    /// Waits while the blocks come from elsewhere.
    async fn wanted(&self) {}
    /// The height wanted next.
    ///
    /// # Errors
    /// When the sink cannot say, for example because its database failed.
    fn next_height(&self) -> Result<u64>;
    /// Takes the block of that height.
    ///
    /// # Errors
    /// When the block cannot be taken; the follower stops, because skipping it would be a gap.
    fn apply(&self, block: &Block) -> Result<()>;
    /// Hears of the newest height that a validator says it has; of the height before the one wanted when the validator
    /// had nothing new. It is a hint: no certificate proves it.
    fn heard_of(&self, _height: u64) {}
}

/// Follows until cancelled (by dropping the future) or until the sink fails. Validators that do not answer, answer for
/// another height or with a bad certificate are passed over.
///
/// # Errors
/// When there is nobody to follow, or the sink fails.
pub async fn follow(validators: Vec<ValidatorClient>, committee: Arc<Committee>, sink: Arc<dyn Sink>) -> Result<()> {
    ensure!(!validators.is_empty(), "the network file names no validators to follow");
    let mut newest = None;
    let mut turn = 0;
    loop {
        sink.wanted().await;
        let validator = &validators[turn % validators.len()];
        let next = sink.next_height()?;
        match page(validator, &committee, newest.as_ref().filter(|block: &&Block| block.height + 1 == next), next).await
        {
            // A validator that has nothing new may be cut off from the others: ask the next one.
            Ok((blocks, _)) if blocks.is_empty() => {
                sink.heard_of(next.saturating_sub(1));
                turn += 1;
            }
            Ok((blocks, height)) => {
                sink.heard_of(height);
                let sink = sink.clone();
                newest = tokio::task::spawn_blocking(move || take(&*sink, blocks)).await??;
            }
            Err(error) => {
                tracing::debug!(%error, validator = turn % validators.len(), height = next, "passed over a validator");
                turn += 1;
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Applies the blocks; returns the last one.
fn take(sink: &dyn Sink, blocks: Vec<Block>) -> Result<Option<Block>> {
    blocks.iter().try_for_each(|block| sink.apply(block))?;
    Ok(blocks.into_iter().next_back())
}

/// The next blocks, each with a valid certificate and each the child of the one before, and the newest height that the
/// validator says it has. Without a block before it (after
/// the start) the first one is believed by its certificate alone.
async fn page(
    validator: &ValidatorClient,
    committee: &Committee,
    parent: Option<&Block>,
    next: u64,
) -> Result<(Vec<Block>, u64)> {
    let page = validator.finalized(next, PAGE_BLOCKS, WAIT_MILLIS).await.map_err(|e| eyre!("{e}"))?;
    let mut blocks: Vec<Block> = Vec::with_capacity(page.blocks.len());
    for (certified, height) in page.blocks.iter().zip(next..) {
        let block = match blocks.last().or(parent) {
            Some(parent) => committee.verify_child(parent, certified)?,
            None => committee.verify(certified)?,
        };
        ensure!(block.height == height, "asked for height {height}, got {}", block.height);
        blocks.push(block);
    }
    Ok((blocks, page.height))
}
