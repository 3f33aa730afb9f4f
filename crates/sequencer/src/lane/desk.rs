//! What one validator does about the lane: judge blocks, release shares of what is final, collect those of others.
//!
//! Nothing of this is written together with blocks, as all of it follows from them: every 32 blocks the state after one
//! is kept, and those after it are applied again at the next start. Shares of openings are made again then; for those of
//! the key see [`Dealings`].

use super::actor::{Letter, Message, Task, Tasks};
use super::ceremony::{DEALINGS_PER_BLOCK_MAX, Key, Round};
use super::dealings::{Asked, Dealings, decode_dealt};
use super::secret::{Part, Secret};
use super::state::{Fault, Settled, State};
use super::{Front, LaneStatus, OPENINGS_PER_BLOCK_MAX, Rules, TARGET_AHEAD_MAX};
use crate::block::Block;
use crate::content::{Content, Transaction};
use crate::history::History;
use crate::limits::COMMITTEE_MAX;
use crate::system::SYSTEM;
use bytes::Bytes;
use commonware_cryptography::ed25519::PublicKey;
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
/// Messages that wait to be sent; more are dropped and come again some blocks later.
const TASKS_MAX: usize = 4 * COMMITTEE_MAX;
/// Blocks between two states that are kept.
const KEPT_BLOCKS: u64 = 32;

struct Inner {
    /// After the last final block.
    state: State,
    /// What this validator holds of the key in force then.
    secret: Option<Secret>,
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
    /// Never locked while `inner` is.
    dealings: Mutex<Dealings>,
    inner: Mutex<Inner>,
    history: Arc<History>,
    outgoing: mpsc::Sender<Task>,
    tasks: Mutex<Option<Tasks>>,
}

/// What a proposal has to carry, and what it may.
pub(crate) struct Turn {
    openings: Vec<(u64, Opening)>,
    /// Of a round for the key: its number, and dealings.
    dealings: Vec<Record>,
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

    /// The state before the block.
    #[cfg(test)]
    pub fn state(&self) -> &State {
        &self.state
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
        records.extend(self.dealings.iter().cloned());
        records.extend(self.state.announcement().map(Record::Key));
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
    pub fn new(dealings: Dealings, state: State, history: Arc<History>) -> Self {
        let (outgoing, tasks) = mpsc::channel(TASKS_MAX);
        let inner = Inner {
            secret: state.key().map(|key| dealings.secret(key)),
            state,
            judged: HashMap::new(),
            shares: BTreeMap::new(),
            openings: BTreeMap::new(),
            sent: BTreeMap::new(),
        };
        let (dealings, tasks) = (Mutex::new(dealings), Mutex::new(Some(tasks)));
        let desk = Self { dealings, inner: Mutex::new(inner), history, outgoing, tasks };
        desk.deal();
        desk
    }

    /// Who holds the key after the last final block here.
    pub fn status(&self) -> LaneStatus {
        let inner = self.inner.lock();
        let has_share = inner.secret.as_ref().is_some_and(|secret| secret.share().is_some());
        inner.state.status(has_share)
    }

    /// What is to be sent; only the first caller gets it.
    pub fn tasks(&self) -> Option<Tasks> {
        self.tasks.lock().take()
    }

    /// What is the same for all validators.
    pub fn rules(&self) -> Arc<Rules> {
        self.inner.lock().state.rules().clone()
    }

    /// Why nothing is taken now, if there is no key.
    pub fn closed(&self) -> Option<Fault> {
        self.inner.lock().state.closed()
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
        let dealings = state.round().map_or_else(Vec::new, |round| {
            let ready = self.dealings.lock().ready(round, DEALINGS_PER_BLOCK_MAX);
            let record = |dealing: Bytes| Record::Dealing { round: round.number, dealing: dealing.into() };
            ready.into_iter().map(record).collect()
        });
        let state = state.open(&openings)?;
        Ok(Turn { openings, dealings, settled: state.all_settled(), state })
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
        if !self.advance(block)? {
            return Ok(());
        }
        // Before the state is kept: a share that is not on the disk must not be behind what is applied again.
        self.deal();
        let mut inner = self.inner.lock();
        self.release(&mut inner);
        if block.height.is_multiple_of(KEPT_BLOCKS) {
            self.history.put_lane(inner.state.encode());
        }
        Ok(())
    }

    /// Returns whether the block is new.
    fn advance(&self, block: &Block) -> Result<bool, String> {
        let mut inner = self.inner.lock();
        if block.height <= inner.state.height() {
            return Ok(false);
        }
        let state = match inner.judged.remove(&block.digest()) {
            Some(state) => state,
            None => inner.state.apply(block).map_err(|fault| format!("the lane at block {}: {fault}", block.height))?.0,
        };
        inner.state = state;
        inner.judged.retain(|_, state| state.height() > block.height);
        inner.forget();
        Ok(true)
    }

    /// Goes on making the key after the last final block, and takes the own share of the key that is in force now.
    fn deal(&self) {
        let (state, is_other_key) = {
            let inner = self.inner.lock();
            let sharing = inner.secret.as_ref().map(Secret::sharing);
            (inner.state.clone(), inner.state.key().map(|key| &key.sharing) != sharing)
        };
        let (tasks, secret) = {
            let mut dealings = self.dealings.lock();
            let tasks = dealings.follow(state.height(), state.ring());
            (tasks, is_other_key.then(|| state.key().map(|key| dealings.secret(key))))
        };
        tasks.into_iter().for_each(|task| self.send(task));
        if let Some(secret) = secret {
            self.inner.lock().hold(secret);
        }
    }

    fn send(&self, task: Task) {
        if self.outgoing.try_send(task).is_err() {
            tracing::debug!(limit = TASKS_MAX, "too many messages of the lane wait to be sent, they come again later");
        }
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
            let chain_id = inner.state.rules().chain_id;
            let Some(part) = inner.secret.as_ref().and_then(|secret| secret.part(chain_id, target)) else { continue };
            inner.take(target, part.clone());
            self.send(Task { to: None, letter: Letter::Share(Box::new(Message { target, part })) });
        }
    }

    /// Takes what a peer sent; the error says what is false about it.
    pub fn hear(&self, peer: &PublicKey, letter: Letter) -> Result<(), String> {
        match &letter {
            Letter::Share(message) => self
                .hear_share(Message::clone(message))
                .map_err(|target| format!("no share of the opening of {target}")),
            Letter::Published { round, dealing } => self.hear_dealing(peer, *round, dealing),
            Letter::Dealt { round, dealing } => self.hear_dealt(peer, *round, dealing),
            Letter::Acknowledged { round, acknowledgement } => {
                let published = self.dealings.lock().answered(peer, *round, acknowledgement);
                published.into_iter().for_each(|task| self.send(task));
                Ok(())
            }
        }
    }

    /// Takes the share that a dealer sent. Only dealers are listened to, each until it sends nonsense.
    fn hear_dealt(&self, dealer: &PublicKey, round: u64, dealing: &[u8]) -> Result<(), String> {
        let asked = self.dealings.lock().ask(dealer, round, dealing.len())?;
        let answer = match asked {
            Asked::Nothing => None,
            Asked::Again(answer) => Some(*answer),
            Asked::New => {
                // Without the lock, which proposals need.
                let decoded = decode_dealt(dealing);
                self.dealings.lock().take_dealt(dealer, round, decoded)?
            }
        };
        answer.into_iter().for_each(|task| self.send(task));
        Ok(())
    }

    /// Takes a share of another validator; the error is the target of a share that is none.
    pub fn hear_share(&self, message: Message) -> Result<(), u64> {
        let Message { target, part } = message;
        let (key, chain_id) = {
            let inner = self.inner.lock();
            let Some(key) = inner.state.key().filter(|_| inner.wants(target, part.member())) else { return Ok(()) };
            (key.clone(), inner.state.rules().chain_id)
        };
        // Without the lock, which proposals need.
        if !key.sharing.verify(chain_id, target, &part) {
            return Err(target);
        }
        let mut inner = self.inner.lock();
        // It may have become one of a former key meanwhile.
        if inner.state.key() == Some(&key) {
            inner.take(target, part);
        }
        Ok(())
    }

    /// Takes what a dealer wants in a block, from itself alone: nobody else can make this validator check much.
    fn hear_dealing(&self, dealer: &PublicKey, number: u64, dealing: &Bytes) -> Result<(), String> {
        let round = self.inner.lock().state.round().cloned();
        let is_due = |round: &Arc<Round>| round.number == number && round.deals(dealer) && !round.has(dealer);
        let Some(round) = round.filter(is_due) else { return Ok(()) };
        if !self.dealings.lock().wants(dealer, number) {
            return Ok(());
        }
        let checked = match round.check(dealing) {
            Ok((signer, _)) if signer == *dealer => Ok(()),
            Ok((signer, _)) => Err(format!("the dealing of {signer}, not its own")),
            Err(error) => Err(error.to_string()),
        };
        let is_true = checked.is_ok();
        self.dealings.lock().heard(dealer.clone(), number, is_true.then(|| dealing.clone()));
        checked
    }
}

impl Inner {
    /// Uses the share of the key in force. Parts of openings that were made with shares of another one do not add up with
    /// it.
    fn hold(&mut self, secret: Option<Secret>) {
        let key = |secret: &Option<Secret>| secret.as_ref().map(|secret| *secret.sharing().public());
        if key(&self.secret) != key(&secret) {
            self.openings.clear();
        }
        self.secret = secret;
        self.shares.clear();
        self.sent.clear();
    }

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
        let Some(Key { sharing: key, .. }) = self.state.key().map(|key| &**key) else { return };
        if self.openings.contains_key(&target) {
            return;
        }
        let parts = self.shares.entry(target).or_default();
        parts.insert(part.member(), part);
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
