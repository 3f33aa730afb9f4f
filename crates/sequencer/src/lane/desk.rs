//! What one validator does about the lane: judge blocks, release shares of what is final, collect those of others.
//!
//! Nothing of this is written together with blocks, as all of it follows from them: every 32 blocks the state after one
//! is kept, and those after it are applied again at the next start. Shares are made again then.

use super::actor::{Message, Tasks};
use super::secret::{Part, Secret};
use super::state::{Fault, Settled, State};
use super::{Front, OPENINGS_PER_BLOCK_MAX, Rules, TARGET_AHEAD_MAX};
use crate::block::Block;
use crate::content::{Content, Transaction};
use crate::history::History;
use crate::system::SYSTEM;
use bytes::Bytes;
use parking_lot::Mutex;
use proof::lane::{Opening, Record};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Judged blocks that are not final yet; when there are more, they are judged again where needed.
const JUDGED_MAX: usize = 256;
/// Blocks after which an own share is sent again while no block has the opening.
const RESEND_BLOCKS: u64 = 4;
/// Targets whose shares are kept at a time.
const TARGETS_MAX: usize = 64;
/// Shares that wait to be sent; more are dropped and come again some blocks later.
const TASKS_MAX: usize = 64;
/// Blocks between two states that are kept.
const KEPT_BLOCKS: u64 = 32;

struct Inner {
    /// After the last final block.
    state: State,
    /// By digest of the block.
    judged: HashMap<[u8; 32], State>,
    /// By target and member.
    shares: BTreeMap<u64, BTreeMap<u32, Part>>,
    /// By target, until a final block has it.
    openings: BTreeMap<u64, Opening>,
    /// Height at which the own share of a target was sent last.
    sent: BTreeMap<u64, u64>,
}

/// The lane in one running validator.
pub(crate) struct Desk {
    secret: Secret,
    inner: Mutex<Inner>,
    history: Arc<History>,
    outgoing: mpsc::Sender<Message>,
    tasks: Mutex<Option<Tasks>>,
}

/// What a proposal has to carry, and what it may.
pub(crate) struct Turn {
    openings: Vec<(u64, Opening)>,
    /// With the openings, before the block's own transactions.
    state: State,
    /// The same when everything is settled that is due.
    settled: State,
}

impl Turn {
    /// What is due at the front of the block.
    pub fn due(&self) -> &[Bytes] {
        self.state.due()
    }

    /// What of `content` may stand in the block if that settles everything that is due; bundles stay whole or leave.
    pub fn admit(&self, content: Content) -> Content {
        // The application may settle less of it.
        let mut more = self.state.beyond(&self.settled);
        content.retain(|namespace, transaction: &Transaction| {
            namespace == SYSTEM || self.settled.admits(namespace, transaction, &mut more).is_ok()
        })
    }

    /// What stands in namespace 0 of a block that comes so far with what is due.
    pub fn records(&self, taken: usize, included: usize) -> Vec<Record> {
        let opening = |(target, opening): &(u64, Opening)| Record::Opening { target: *target, opening: *opening };
        let mut records: Vec<Record> = self.openings.iter().map(opening).collect();
        if taken > 0 {
            records.push(Record::Front { taken: taken as u32, included: included as u32 });
        }
        records
    }
}

/// A block that may be voted for, as far as the lane is concerned.
pub(crate) struct Judged {
    state: State,
    settled: Settled,
}

impl Judged {
    pub fn front(&self) -> Front<'_> {
        self.settled.front()
    }
}

impl Desk {
    /// Goes on from `state`.
    pub fn new(secret: Secret, state: State, history: Arc<History>) -> Self {
        let (outgoing, tasks) = mpsc::channel(TASKS_MAX);
        let inner = Inner {
            state,
            judged: HashMap::new(),
            shares: BTreeMap::new(),
            openings: BTreeMap::new(),
            sent: BTreeMap::new(),
        };
        Self { secret, inner: Mutex::new(inner), history, outgoing, tasks: Mutex::new(Some(tasks)) }
    }

    /// What is to be sent; only the first caller gets it.
    pub fn tasks(&self) -> Option<Tasks> {
        self.tasks.lock().take()
    }

    /// What is the same for all validators.
    pub fn rules(&self) -> Arc<Rules> {
        self.inner.lock().state.rules().clone()
    }

    /// Height of the last final block here.
    pub fn height(&self) -> u64 {
        self.inner.lock().state.height()
    }

    /// Envelopes that wait to be opened after the last final block.
    #[cfg(test)]
    pub fn sealed(&self) -> usize {
        self.inner.lock().state.sealed()
    }

    /// What a block on these ancestors carries. The last of them is the parent; without any, it is the last final block.
    pub fn turn(&self, ancestors: &[Arc<Block>], parent: [u8; 32]) -> Result<Turn, Fault> {
        let (state, openings) = {
            let mut inner = self.inner.lock();
            let state = inner.after(ancestors, parent)?;
            // In the order of targets, and none behind one that is not known yet.
            let known = state.targets(state.height()).map_while(|target| Some((target, *inner.openings.get(&target)?)));
            let openings: Vec<_> = known.take(OPENINGS_PER_BLOCK_MAX).collect();
            (state, openings)
        };
        let state = state.open(&openings)?;
        Ok(Turn { openings, settled: state.all_settled(), state })
    }

    /// Whether the lane allows `block`, a child of the last of `ancestors`.
    pub fn judge(&self, ancestors: &[Arc<Block>], block: &Block) -> Result<Judged, Fault> {
        let parent = self.inner.lock().after(ancestors, block.parent)?;
        let (state, settled) = parent.apply(block)?;
        Ok(Judged { state, settled })
    }

    /// Remembers a block that was judged, and that the application has accepted.
    pub fn remember(&self, digest: [u8; 32], judged: Judged) {
        self.inner.lock().remember(digest, judged.state);
    }

    /// Takes the next final block; one that was taken before changes nothing. What became final with it may be opened.
    pub fn deliver(&self, block: &Block) -> Result<(), String> {
        let mut inner = self.inner.lock();
        if block.height <= inner.state.height() {
            return Ok(());
        }
        let state = match inner.judged.remove(&block.digest()) {
            Some(state) => state,
            None => inner.state.apply(block).map_err(|fault| format!("the lane at block {}: {fault}", block.height))?.0,
        };
        inner.state = state;
        inner.judged.retain(|_, state| state.height() > block.height);
        inner.forget();
        self.release(&mut inner);
        if block.height.is_multiple_of(KEPT_BLOCKS) {
            self.history.put_lane(inner.state.encode());
        }
        Ok(())
    }

    /// Sends the own shares of all targets that are final and wait for their opening, each at once and every
    /// [`RESEND_BLOCKS`] blocks.
    fn release(&self, inner: &mut Inner) {
        let height = inner.state.height();
        let targets: Vec<u64> = inner.state.targets(height).take(TARGETS_MAX).collect();
        for target in targets {
            if inner.sent.get(&target).is_some_and(|sent| height < sent + RESEND_BLOCKS) {
                continue;
            }
            inner.sent.insert(target, height);
            let Some(part) = self.secret.part(inner.state.rules().chain_id, target) else { continue };
            inner.take(target, part.clone());
            if self.outgoing.try_send(Message { target, part }).is_err() {
                tracing::debug!(target, limit = TASKS_MAX, "too many shares wait to be sent, they come again later");
            }
        }
    }

    /// Takes a share of another validator; the error is the target of a share that is none.
    pub fn hear(&self, message: Message) -> Result<(), u64> {
        let Message { target, part } = message;
        let (key, chain_id) = {
            let inner = self.inner.lock();
            if !inner.wants(target, part.member()) {
                return Ok(());
            }
            (inner.state.key().clone(), inner.state.rules().chain_id)
        };
        // Without the lock, which proposals need.
        if !key.verify(chain_id, target, &part) {
            return Err(target);
        }
        self.inner.lock().take(target, part);
        Ok(())
    }
}

impl Inner {
    /// The lane after the last of `ancestors`, whose digest is `parent`; they begin above the last final block.
    fn after(&mut self, ancestors: &[Arc<Block>], parent: [u8; 32]) -> Result<State, Fault> {
        let digests: Vec<[u8; 32]> = ancestors.iter().skip(1).map(|block| block.parent).chain([parent]).collect();
        let newest = (0..ancestors.len()).rev().find(|place| self.judged.contains_key(&digests[*place]));
        let mut state = newest.map_or_else(|| self.state.clone(), |place| self.judged[&digests[place]].clone());
        for place in newest.map_or(0, |place| place + 1)..ancestors.len() {
            state = state.apply(&ancestors[place])?.0;
            self.remember(digests[place], state.clone());
        }
        Ok(state)
    }

    fn remember(&mut self, digest: [u8; 32], state: State) {
        if self.judged.len() >= JUDGED_MAX {
            self.judged.clear();
        }
        self.judged.insert(digest, state);
    }

    /// Whether a share is of use. Who sends one for a target above may be some blocks ahead.
    fn wants(&self, target: u64, member: u32) -> bool {
        let height = self.state.height();
        let (period, latest) = (self.state.rules().period_blocks, height + TARGET_AHEAD_MAX);
        // Shares for what is above must not take the place of those for what waits.
        let has_room = match target > height {
            true => target <= latest && (self.shares.contains_key(&target) || self.shares.len() < TARGETS_MAX),
            false => self.state.targets(height).take(TARGETS_MAX).any(|waiting| waiting == target),
        };
        let is_new = self.shares.get(&target).is_none_or(|parts| !parts.contains_key(&member));
        target.is_multiple_of(period) && has_room && is_new && !self.openings.contains_key(&target)
    }

    /// Adds a true share, and makes the opening if there are enough.
    fn take(&mut self, target: u64, part: Part) {
        if self.openings.contains_key(&target) {
            return;
        }
        let parts = self.shares.entry(target).or_default();
        parts.insert(part.member(), part);
        let key = self.state.key();
        if parts.len() < key.required() {
            return;
        }
        let Some(opening) = key.recover(parts.values()) else { return };
        if opening.verify(key.public(), self.state.rules().chain_id, target) {
            self.openings.insert(target, opening);
            self.shares.remove(&target);
        }
    }

    /// Forgets what final blocks have, or can never need.
    fn forget(&mut self) {
        let Self { state, shares, openings, sent, .. } = self;
        let height = state.height();
        let is_open = |target: u64| target > height || state.is_waiting(target);
        shares.retain(|target, _| is_open(*target));
        openings.retain(|target, _| is_open(*target));
        sent.retain(|target, _| is_open(*target));
    }
}
