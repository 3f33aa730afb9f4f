//! One validator's part in building and judging blocks, and in handing final ones over.
//!
//! The engine asks for a proposal or for a verdict; the application decides about content, this module about everything
//! else: pace, time, randomness, sizes and links. A verdict of `false` is for ever, so whatever may still change (a
//! timestamp slightly ahead, an application that lags behind) is waited for instead; the engine ends the wait with the
//! view.

use crate::application::{Application, Propose};
use crate::block::Block;
use crate::committee::check_link;
use crate::committees::{Announcement, Candidates, Committees, Schedule};
use crate::content::{Content, Entry};
use crate::engine::DELIVERIES_MAX;
use crate::fees::Ledger;
use crate::finality::JudgeError;
use crate::finality::desk::{Desk, Refused, Stake};
use crate::keys::ValidatorKeys;
use crate::lane::desk::{Desk as LaneDesk, Judged, Turn};
use crate::lane::{Fault, Front};
use crate::limits::{ANCESTORS_MAX, CLOCK_DRIFT_MILLIS_MAX, COMMITMENT_BYTES_MAX};
use crate::mempool::Mempool;
use crate::payload::Payload;
use crate::randomness;
use crate::system::{Offender, SYSTEM, System, is_lane_record};
use commonware_consensus::marshal::ancestry::Ancestry;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::Context;
use commonware_consensus::types::Round;
use commonware_cryptography::{Digested, Digestible as _, ed25519, sha256};
use commonware_runtime::{Clock, Spawner};
use commonware_utils::{Acknowledgement as _, acknowledgement::Exact};
use futures::StreamExt as _;
use parking_lot::RwLock;
use proof::checkpoint::ValidatorSet;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// Final blocks that the engine is told of together to be taken: it syncs its progress to the disk each time it is told.
/// After a crash it hands over again those that it was not told of.
const TOLD_TOGETHER: usize = 8;
/// How long it waits at most to be told, unless another final block comes.
const TOLD_AFTER: Duration = Duration::from_millis(50);

const _: () = assert!(TOLD_TOGETHER <= DELIVERIES_MAX.get());

pub(crate) type RoundContext = Context<sha256::Digest, ed25519::PublicKey>;

/// What one running validator shares between its engine and its handles.
pub(crate) struct Core {
    pub committees: Committees,
    /// Who the application would seat.
    pub candidates: Candidates,
    pub keys: ValidatorKeys,
    pub application: Arc<dyn Application>,
    pub mempool: Arc<Mempool>,
    /// Votes of the stake.
    pub desk: Arc<Desk>,
    /// The encrypted lane, if the network has one.
    pub lane: Option<Arc<LaneDesk>>,
    /// What namespaces owe.
    pub ledger: Ledger,
    /// Least time between two blocks.
    pub pace: Duration,
    /// Bytes that the payload of a proposal may have.
    pub proposal_bytes: usize,
    /// Read while the application proposes or verifies, written while it takes a final block.
    pub gate: RwLock<()>,
    /// Newest height that the application has taken.
    pub heights: watch::Sender<u64>,
    /// Why the validator cannot go on.
    pub failure: watch::Sender<Option<String>>,
}

/// The stake as the application knows it; whoever may be liable is looked up in the state after `parent`.
struct Asked<'a> {
    application: &'a dyn Application,
    parent: &'a Block,
    is_replayed: bool,
}

impl Stake for Asked<'_> {
    fn candidate(&self, block: &Block) -> Option<ValidatorSet> {
        self.application.candidate(block)
    }

    fn is_liable(&self, offender: &Offender) -> bool {
        self.application.liable(self.parent, offender)
    }

    fn is_replayed(&self) -> bool {
        self.is_replayed
    }
}

/// Outcome of judging a block.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Valid,
    /// Permanently wrong.
    Invalid(String),
    /// The application is already past this height; the view is history.
    Outdated,
}

fn unix_millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn at_millis(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}

/// Blocks above `height` and up to the parent, oldest first. `None` if the parent is below `height`.
fn above(height: u64, parent: &Block, mut ancestors: Vec<Arc<Block>>) -> Option<Vec<Arc<Block>>> {
    if parent.height < height {
        return None;
    }
    ancestors.retain(|block| block.height > height);
    Some(ancestors)
}

impl Core {
    /// Builds a block on `parent`. Blocks the thread.
    fn build(
        &self,
        parent: &Digested<Block>,
        ancestors: Vec<Arc<Block>>,
        round: Round,
        now: u64,
    ) -> Option<Digested<Block>> {
        let mut fault = None;
        let built = self.build_of(parent, ancestors.clone(), round, now, true, &mut fault);
        match fault {
            None => built,
            // The protocol's own part goes on, so that what waits is opened or expires and nothing stays for ever.
            Some(_) => self.build_of(parent, ancestors, round, now, false, &mut fault),
        }
    }

    /// The same with what users sent, or without it; `fault` says why nobody would vote for it.
    fn build_of(
        &self,
        parent: &Digested<Block>,
        ancestors: Vec<Arc<Block>>,
        round: Round,
        now: u64,
        with_users: bool,
        fault: &mut Option<Fault>,
    ) -> Option<Digested<Block>> {
        let _gate = self.gate.read();
        let (parent_digest, parent) = (parent.digest().0, parent.inner());
        let ancestors = above(self.application.finalized_height(), parent, ancestors)?;
        let height = parent.height + 1;
        let schedule = self.committees.after(&ancestors);
        let committee = &schedule.at(height).committee;
        if committee.epoch() != round.epoch() {
            tracing::debug!(height, epoch = round.epoch().get(), "another committee orders this block");
            return None;
        }
        let (reveal, view) =
            (randomness::reveal(&self.keys.randomness, committee.chain_id(), height), round.view().get());
        let randomness = randomness::mix(&parent.randomness, &reveal)?;
        let timestamp_millis = now.max(parent.timestamp_millis);
        let payloads = ancestors.iter().map(|block| &block.payload);
        let ordered: HashSet<_> = payloads
            .flat_map(|payload| payload.entries().iter().flat_map(Entry::hashes).chain(payload.bundle_hashes()))
            .collect();
        let turn = self.turn(&ancestors, parent_digest).inspect_err(|fault| tracing::error!(height, %fault, "no turn"));
        let turn = turn.ok()?;
        let room = if with_users { self.proposal_bytes } else { 0 };
        let mut candidates = self.mempool.candidates(&ordered, room, height);
        if let Some(turn) = &turn {
            candidates = turn.admit(candidates);
        }
        let due = turn.as_ref().map_or(&[][..], Turn::due);
        // Whoever missed the vote for an ancestor executes it now: what is collected depends on the stake after it.
        if let Some((newest, before)) = ancestors.split_last()
            && !self.application.verify(before, newest)
        {
            tracing::error!(height, "cannot propose: the application refuses an ancestor");
            return None;
        }
        let mut system = self.desk.collect(&ancestors, parent_digest, &self.stake_after(parent));
        system.committee = match self.due(&schedule, &ancestors, parent, parent_digest) {
            Ok(committee) => committee,
            Err(error) => {
                tracing::error!(height, %error, "finality after the parent is not known");
                return None;
            }
        };
        system.committees = schedule.root_for(height, system.committee.is_some());
        let offenders = system.offenders();
        let request = Propose {
            ancestors: &ancestors,
            parent,
            timestamp_millis,
            randomness,
            candidates,
            due,
            offenders: &offenders,
        };
        let proposal = self.application.propose(request)?;
        self.mempool.reject(&proposal.rejected);
        let commitment = proposal.commitment;
        if let Some(turn) = &turn {
            system.lane = turn.records(proposal.taken, proposal.included);
        }
        system.accounts = match self.ledger.commitment(&ancestors, height) {
            Ok(root) => root,
            Err(error) => {
                tracing::error!(height, %error, "cannot propose: the accounts do not end at the parent");
                return None;
            }
        };
        let payload = match Payload::new(with_system(proposal.content, system.encode())) {
            Ok(payload) => payload,
            Err(error) => {
                tracing::error!(height, %error, "the application proposed what cannot stand in a block");
                return None;
            }
        };
        if commitment.len() > COMMITMENT_BYTES_MAX {
            tracing::error!(height, bytes = commitment.len(), limit = COMMITMENT_BYTES_MAX, "commitment is too large");
            return None;
        }
        let (parent, erasure_root) = (parent_digest, payload.erasure_root());
        let block =
            Block { parent, height, view, timestamp_millis, reveal, randomness, erasure_root, payload, commitment };
        let digest = sha256::Digest(block.digest());
        if let Some(lane) = &self.lane {
            match lane.judge(&ancestors, &block) {
                Ok(judged) => lane.remember(digest.0, judged),
                Err(found) => {
                    tracing::error!(height, fault = %found, "the application proposed what the lane does not allow");
                    *fault = Some(found);
                    return None;
                }
            }
        }
        self.mempool.included(height, &block.payload);
        Some(Digested::precomputed(block, digest))
    }

    /// What a block on these ancestors carries of the lane.
    fn turn(&self, ancestors: &[Arc<Block>], parent: [u8; 32]) -> Result<Option<Turn>, Fault> {
        self.lane.as_ref().map(|lane| lane.turn(ancestors, parent)).transpose()
    }

    /// What the lane says of a block; without a lane there is nothing of it in the block.
    fn judge_lane(&self, ancestors: &[Arc<Block>], block: &Block) -> Result<Option<Judged>, Fault> {
        match &self.lane {
            Some(lane) => lane.judge(ancestors, block).map(Some),
            None if block.payload.transactions(SYSTEM).iter().any(is_lane_record) => Err(Fault::NoLane),
            None => Ok(None),
        }
    }

    /// Judges `block` on `parent`. Blocks the thread.
    fn judge(&self, parent: &Digested<Block>, ancestors: Vec<Arc<Block>>, block: &Block, round: Round) -> Verdict {
        let view = round.view().get();
        if block.view != view {
            return Verdict::Invalid(format!("it names view {}, proposed in view {view}", block.view));
        }
        // The other roots are in the digest as they follow from the payload.
        if block.erasure_root != block.payload.erasure_root() {
            return Verdict::Invalid("its erasure root is not that of its payload".to_owned());
        }
        let _gate = self.gate.read();
        let Some(ancestors) = above(self.application.finalized_height(), parent.inner(), ancestors) else {
            return Verdict::Outdated;
        };
        let schedule = self.committees.after(&ancestors);
        if let Err(reason) = check_order(&schedule, parent, block, round) {
            return Verdict::Invalid(reason);
        }
        if let Err(error) = self.ledger.judge(&ancestors, block) {
            return Verdict::Invalid(error.to_string());
        }
        let laned = match self.judge_lane(&ancestors, block) {
            Ok(laned) => laned,
            Err(fault) => return Verdict::Invalid(fault.to_string()),
        };
        let front = laned.as_ref().map_or_else(Front::default, Judged::front);
        if !self.application.verify_front(&ancestors, block, &front) {
            return Verdict::Invalid("the application refuses it".to_owned());
        }
        let judged = self.desk.judge(&ancestors, block, block.digest(), &self.stake_after(parent.inner()));
        let due = judged.and_then(|()| self.due(&schedule, &ancestors, parent.inner(), parent.digest().0));
        match due {
            Ok(due)
                if System::read(&block.payload)
                    .is_ok_and(|system| announces(&system, &due, &schedule, block.height)) =>
            {
                if let (Some(lane), Some(judged)) = (&self.lane, laned) {
                    lane.remember(block.digest(), judged);
                }
                self.mempool.included(block.height, &block.payload);
                Verdict::Valid
            }
            Ok(due) => {
                let due = due.map_or(0, |due| due.validators.len());
                Verdict::Invalid(format!(
                    "it does not announce the committee that is due ({due} validators), or not after those before it"
                ))
            }
            Err(error) => Verdict::Invalid(error.to_string()),
        }
    }

    /// The committee that a block on `parent` must announce; `ancestors` are the blocks after the last final one, up to the
    /// parent, and `schedule` is the one after them.
    fn due(
        &self,
        schedule: &Schedule,
        ancestors: &[Arc<Block>],
        parent: &Block,
        parent_digest: [u8; 32],
    ) -> Result<Option<Announcement>, JudgeError> {
        if schedule.first_if_announced(parent.height + 1).is_none() {
            return Ok(None);
        }
        let finalized = self.desk.finalized_after(ancestors, parent_digest, &self.stake_after(parent))?;
        // A final checkpoint is nearly always a final block, too.
        let opening = ancestors.iter().rev().filter(|block| {
            block.height.is_multiple_of(finalized.epoch_blocks) && block.height <= finalized.finalized.height
        });
        let seats = opening.filter_map(|block| self.application.seats(block)).next();
        Ok(Committees::due(schedule, parent, seats.or_else(|| self.candidates.of(finalized.finalized.epoch))))
    }

    /// Keeps whom the application would seat after a final block that opens an epoch.
    fn keep_seats(&self, block: &Block) {
        let finality = self.desk.view().borrow().clone();
        let opens = block.height > 0 && block.height.is_multiple_of(finality.epoch_blocks);
        if let Some(seats) = opens.then(|| self.application.seats(block)).flatten() {
            self.candidates.keep(block.height / finality.epoch_blocks, finality.finalized.epoch, seats);
        }
    }

    /// Takes the committee that a final block announces, if it does.
    fn take_announcement(&self, block: &Block) {
        if self.committees.apply(block) {
            let term = self.committees.now().last().clone();
            let (first, validators) = (term.first, term.committee.size());
            tracing::info!(height = block.height, first, validators, "the next committee is announced");
            self.candidates.history().put_announcement(block.height);
        }
    }

    /// The height after the newest one that the application has taken.
    pub fn next_height(&self) -> u64 {
        *self.heights.borrow() + 1
    }

    fn stake_after<'a>(&'a self, parent: &'a Block) -> Asked<'a> {
        Asked { application: &*self.application, parent, is_replayed: false }
    }

    /// Takes evidence from outside; `newest` is the newest final block.
    pub fn report(&self, newest: &Block, evidence: &[u8]) -> Result<(), Refused> {
        self.desk.report(evidence, &self.stake_after(newest))
    }

    /// Hands a final block to the application, unless it has it. Blocks the thread.
    pub fn deliver(&self, block: &Block) -> Result<(), String> {
        let _gate = self.gate.write();
        let is_replayed = block.height <= self.application.finalized_height();
        if !is_replayed {
            self.application
                .finalized(block)
                .map_err(|reason| format!("the application cannot take block {}: {reason}", block.height))?;
        }
        let is_new = block.height > self.desk.height();
        if is_new {
            // Before its checkpoint is kept: whatever commits meanwhile, a crash never loses the seats alone.
            self.keep_seats(block);
        }
        let stake = Asked { is_replayed, ..self.stake_after(block) };
        if is_new && block.height.is_multiple_of(self.desk.view().borrow().epoch_blocks) {
            // Asked first, so that nothing is kept of what follows from no answer.
            let _ = stake.candidate(block);
            self.application.failed().map_or(Ok(()), Err)?;
        }
        self.desk.deliver(block, &stake)?;
        self.application.failed().map_or(Ok(()), Err)?;
        self.ledger.deliver(block).map_err(|reason| format!("accounts after block {}: {reason}", block.height))?;
        if let Some(lane) = &self.lane {
            lane.deliver(block)?;
            self.mempool.close_lane(lane.closed());
        }
        if is_new {
            self.take_announcement(block);
        }
        self.mempool.finalized(block.height, &block.payload);
        self.heights.send_if_modified(|height| {
            let newer = block.height > *height;
            *height = block.height.max(*height);
            newer
        });
        Ok(())
    }

    /// Blocks that the application has not taken, oldest first, up to the newest of `ancestry`. `None` if they are more
    /// than [`ANCESTORS_MAX`] or cannot be had.
    async fn unfinalised(&self, mut ancestry: impl Ancestry<Block>) -> Option<Vec<Arc<Block>>> {
        let height = *self.heights.borrow();
        let mut ancestors = Vec::new();
        while ancestry.peek().is_none_or(|block| block.inner().height > height) {
            let block = ancestry.next().await?;
            if block.inner().height <= height {
                break;
            }
            if ancestors.len() == ANCESTORS_MAX {
                return None;
            }
            ancestors.push(block.inner_shared());
        }
        ancestors.reverse();
        Some(ancestors)
    }

    /// Waits until at most [`ANCESTORS_MAX`] blocks are between the application and `parent`.
    async fn caught_up(&self, parent: &Block) {
        let mut heights = self.heights.subscribe();
        // The sender lives in `self`, so the wait cannot fail.
        let _ = heights.wait_for(|height| parent.height <= height + ANCESTORS_MAX as u64).await;
    }
}

/// Whether `block` continues `parent` in a round of the committee that orders it; the error says what is wrong.
fn check_order(schedule: &Schedule, parent: &Digested<Block>, block: &Block, round: Round) -> Result<(), String> {
    let (term, epoch) = (schedule.at(block.height), round.epoch());
    if term.committee.epoch() != epoch {
        let due = term.committee.epoch();
        return Err(format!("committee {due} orders height {}, committee {epoch} proposed it", block.height));
    }
    check_link(parent.inner(), parent.digest().0, block, schedule.begins(block.height))
        .map_err(|field| format!("{field} does not follow the parent"))?;
    term.committee.verify_reveal(block).map_err(|error| error.to_string())
}

/// Whether a block announces the committee that is due, or none, and names those before it where it must.
fn announces(system: &System, due: &Option<Announcement>, schedule: &Schedule, height: u64) -> bool {
    system.committee == *due && system.committees == schedule.root_for(height, due.is_some())
}

/// The content with what the protocol adds, in its own namespace before all others.
fn with_system(mut content: Content, transactions: Vec<bytes::Bytes>) -> Content {
    if !transactions.is_empty() {
        content.entries.insert(0, Entry::new(SYSTEM, transactions));
    }
    content
}

/// Runs `work` on a blocking thread; `None` if the runtime is stopping.
pub(crate) async fn blocking<E: Spawner, T: Send + 'static>(
    context: &E,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    context.child("application").shared(true).spawn(move |_| async move { work() }).await.ok()
}

/// Takes final blocks in order and hands each to the application.
pub(crate) async fn deliver_all<E: Clock + Spawner>(
    context: E,
    core: Arc<Core>,
    mut blocks: tokio::sync::mpsc::Receiver<(Digested<Block>, Exact)>,
) {
    let mut taken = Vec::with_capacity(TOLD_TOGETHER);
    loop {
        let next = tokio::select! {
            biased;
            next = blocks.recv() => next,
            () = context.sleep(TOLD_AFTER), if !taken.is_empty() => {
                tell(&mut taken);
                continue;
            }
        };
        let Some((block, delivered)) = next else { return };
        let (taker, block) = (core.clone(), block.inner_shared());
        match blocking(&context, move || taker.deliver(&block)).await {
            Some(Ok(())) => {
                taken.push(delivered);
                if taken.len() == TOLD_TOGETHER {
                    tell(&mut taken);
                }
            }
            Some(Err(reason)) => {
                core.failure.send_replace(Some(reason));
                // Dropping the acknowledgement would stop the engine with a less helpful message.
                return std::future::pending().await;
            }
            None => return,
        }
    }
}

/// Tells the engine that blocks are taken. The oldest one last: the engine waits for that, and finds the others told.
fn tell(taken: &mut Vec<Exact>) {
    taken.drain(..).rev().for_each(Exact::acknowledge);
}

/// The engine's view of a validator.
#[derive(Clone)]
pub(crate) struct Orderer(pub Arc<Core>);

impl<E: Clock + Spawner> commonware_consensus::Application<E> for Orderer {
    type SigningScheme = Scheme;
    type Context = RoundContext;
    type Block = Block;
    type Input = ();

    async fn propose(
        &mut self,
        (context, round): (E, RoundContext),
        ancestry: impl Ancestry<Block>,
        (): (),
    ) -> Option<Digested<Block>> {
        let parent = ancestry.peek()?.clone();
        // At most one pace from now: a parent ahead of this clock must not cost the turn.
        let earliest = at_millis(parent.inner().timestamp_millis) + self.0.pace;
        let now = context.current();
        context.sleep_until(earliest.min(now + self.0.pace)).await;
        let ancestors = self.0.unfinalised(ancestry).await?;
        let (core, now, round) = (self.0.clone(), unix_millis(context.current()), round.round);
        blocking(&context, move || core.build(&parent, ancestors, round, now)).await?
    }

    async fn verify(&mut self, (context, round): (E, RoundContext), mut ancestry: impl Ancestry<Block>) -> bool {
        let Some((block, parent)) = block_and_parent(&mut ancestry).await else {
            return std::future::pending().await;
        };
        let acceptable = block.inner().timestamp_millis.saturating_sub(CLOCK_DRIFT_MILLIS_MAX);
        if at_millis(acceptable) > context.current() {
            tracing::debug!(height = block.inner().height, "block is ahead of the clock, its vote waits");
            context.sleep_until(at_millis(acceptable)).await;
        }
        self.0.caught_up(parent.inner()).await;
        let Some(ancestors) = self.0.unfinalised(ancestry).await else { return std::future::pending().await };
        let (core, round, judged) = (self.0.clone(), round.round, block.inner_shared());
        match blocking(&context, move || core.judge(&parent, ancestors, &judged, round)).await {
            Some(Verdict::Valid) => true,
            Some(Verdict::Invalid(reason)) => {
                let (height, view) = (block.inner().height, round.view().get());
                let seat = self.0.committees.of_epoch(round.epoch()).map(|committee| committee.proposer(view));
                tracing::warn!(height, view, seat, reason, "block refused");
                false
            }
            Some(Verdict::Outdated) | None => std::future::pending().await,
        }
    }
}

/// Takes the block from the stream and leaves the stream at its parent.
async fn block_and_parent(ancestry: &mut impl Ancestry<Block>) -> Option<(Digested<Block>, Digested<Block>)> {
    let block = ancestry.next().await?;
    let parent = ancestry.clone().next().await?;
    Some((block, parent))
}

#[cfg(test)]
mod tests;
