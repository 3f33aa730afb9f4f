//! Follow the sequencer from another process: final blocks with their quorum certificates, checked, in order.

use crate::roles::validator::passed_over;
use async_trait::async_trait;
use eyre::{Result, ensure, eyre};
use gateway::client::ValidatorClient;
use sequencer::Block;
use sequencer::committees::{AnnouncementRefusal, Committees, Schedule};
use std::sync::Arc;
use std::time::Duration;

/// Blocks asked for at a time.
const PAGE_BLOCKS: usize = 64;
/// How long a validator may hold a request open until the next block is final.
const WAIT_MILLIS: u64 = 2_000;
/// Validators that are asked in turn.
const FOLLOWED_MAX: usize = 512;
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
    /// Told that nobody has the height wanted any more, and that every height from `oldest` on is there. Whether it goes on
    /// from there, with a gap.
    ///
    /// # Errors
    /// When the gap cannot be kept; the follower stops.
    fn skip_to(&self, _oldest: u64) -> Result<bool> {
        Ok(false)
    }
}

/// Whom to follow, and what they must prove.
pub struct Source {
    validators: Vec<ValidatorClient>,
    committees: Committees,
    /// The height up to which all announcements of committees are known.
    known: u64,
    /// Pages in a row that nobody gave, and whether somebody has pruned their blocks.
    missed: usize,
    is_pruned: bool,
}

impl Source {
    /// Follows the validators of the network file, and later those of its committees. `committees` are extended by what is
    /// followed.
    ///
    /// # Errors
    /// When there is nobody to follow.
    pub fn new(validators: Vec<ValidatorClient>, committees: Committees) -> Result<Self> {
        ensure!(!validators.is_empty(), "the network file names no validators to follow");
        Ok(Self { validators, committees, known: 0, missed: 0, is_pruned: false })
    }

    fn validator(&self, turn: usize) -> &ValidatorClient {
        &self.validators[turn % self.validators.len()]
    }

    /// The next blocks, each with a valid certificate and each the child of the one before, and the newest height that
    /// the validator says it has. Without a block before it (after the start) the first one is believed by its
    /// certificate alone.
    async fn page(&mut self, turn: usize, parent: Option<&Block>, next: u64) -> Result<(Vec<Block>, u64)> {
        if self.known + 1 != next {
            learn(self.validator(turn), &self.committees).await?;
        }
        // Known until somebody proves a block by what is not.
        self.known = 0;
        let page = self.validator(turn).finalized(next, PAGE_BLOCKS, WAIT_MILLIS).await.map_err(|error| {
            self.is_pruned |= passed_over(&error, next);
            eyre!("{error}")
        })?;
        let mut schedule = Schedule::clone(&self.committees.now());
        let mut blocks: Vec<Block> = Vec::with_capacity(page.blocks.len());
        for (certified, height) in page.blocks.iter().zip(next..) {
            let block = match blocks.last().or(parent) {
                Some(parent) => schedule.verify_child(parent, certified)?,
                None => schedule.verify(certified)?,
            };
            ensure!(block.height == height, "asked for height {height}, got {}", block.height);
            // Nothing else can be wrong with an announcement that a quorum voted for.
            if let Err(gap @ AnnouncementRefusal::Missing { .. }) = schedule.take(&block) {
                return Err(gap.into());
            }
            blocks.push(block);
        }
        let announced = blocks.iter().filter(|block| self.committees.apply(block)).count();
        if announced > 0 {
            self.extend();
        }
        self.known = next - 1 + blocks.len() as u64;
        Ok((blocks, page.height))
    }

    /// The lowest height from which on somebody has every block, if all were asked in vain and some have pruned what is
    /// wanted.
    async fn oldest(&mut self) -> Option<u64> {
        self.missed += 1;
        if !self.is_pruned || self.missed < 2 * self.validators.len() {
            return None;
        }
        (self.missed, self.is_pruned) = (0, false);
        let mut oldest = None;
        for validator in &self.validators {
            let told = validator.status().await.ok().map(|status| status.oldest_height);
            oldest = oldest.into_iter().chain(told).min();
        }
        oldest
    }

    /// Follows those who were announced, too.
    fn extend(&mut self) {
        let http = ::gateway::client::http_client();
        for validator in self.committees.now().last().committee.validators() {
            match ValidatorClient::new(&validator.api, http.clone()) {
                Ok(client) if !self.validators.iter().any(|known| known.endpoint() == client.endpoint()) => {
                    self.validators.push(client);
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, api = validator.api, "cannot follow an announced validator"),
            }
        }
        // The last ones are those of the newest committees.
        let surplus = self.validators.len().saturating_sub(FOLLOWED_MAX);
        self.validators.drain(..surplus);
    }
}

/// Reads the blocks that announce committees, each proven by the committee before. Each names all announcements before it, so a
/// validator that leaves one out is found out, and another one is asked.
///
/// # Errors
/// When the validator does not answer, does not prove what it says, or leaves a committee out.
pub async fn learn(validator: &ValidatorClient, committees: &Committees) -> Result<()> {
    for term in validator.committees().await?.committees {
        if term.announced <= committees.now().last().announced {
            continue;
        }
        let certified = validator.certified(term.announced).await?;
        let block = committees.now().verify(&certified)?;
        ensure!(committees.take(&block)?, "block {} announces no committee", term.announced);
    }
    Ok(())
}

/// Follows until cancelled (by dropping the future) or until the sink fails. Validators that do not answer, answer for
/// another height or with a bad certificate are passed over.
///
/// # Errors
/// When the sink fails.
pub async fn follow(mut source: Source, sink: Arc<dyn Sink>) -> Result<()> {
    let mut newest = None;
    let mut turn = 0;
    loop {
        sink.wanted().await;
        let next = sink.next_height()?;
        let parent = newest.as_ref().filter(|block: &&Block| block.height + 1 == next);
        match source.page(turn, parent, next).await {
            // A validator that has nothing new may be cut off from the others: ask the next one.
            Ok((blocks, _)) if blocks.is_empty() => {
                sink.heard_of(next.saturating_sub(1));
                turn += 1;
            }
            Ok((blocks, height)) => {
                (source.missed, source.is_pruned) = (0, false);
                sink.heard_of(height);
                let sink = sink.clone();
                newest = tokio::task::spawn_blocking(move || take(&*sink, blocks)).await??;
            }
            Err(error) => {
                tracing::debug!(%error, turn, height = next, "passed over a validator");
                turn += 1;
                if let Some(oldest) = source.oldest().await.filter(|oldest| *oldest > next)
                    && sink.skip_to(oldest)?
                {
                    tracing::warn!(from = next, to = oldest, "blocks that all validators have pruned are left out");
                    continue;
                }
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
