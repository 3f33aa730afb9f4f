//! Which envelopes wait after a block, and which blocks may follow: a pure function of the blocks.

use super::ceremony::{DEALINGS_PER_BLOCK_MAX, DealingError, Key, Ring, Round};
use super::{
    ENVELOPES_PER_TARGET_MAX, LaneStatus, OPENED_BYTES_PER_BLOCK_MAX, OPENED_PER_BLOCK_MAX, OPENINGS_PER_BLOCK_MAX,
    Rules, TARGET_AHEAD_MAX, WAITING_BYTES_MAX,
};
use crate::block::Block;
use crate::committees::Schedule;
use crate::content::Transaction;
use crate::limits::HEIGHT_MAX;
use crate::system::{SYSTEM, System, SystemError};
use bytes::{BufMut as _, Bytes, BytesMut};
use proof::lane::{Envelope, KeyRecord, LaneError, Opening, Record};
use protocol::network::LanePolicy;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// A block, or a submission, breaks the rules of the lane.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Namespace 0 does not decode.
    #[error(transparent)]
    System(#[from] SystemError),
    /// An envelope is broken.
    #[error(transparent)]
    Envelope(#[from] LaneError),
    /// A transaction that is no envelope where only envelopes stand.
    #[error("namespace {0} takes envelopes of the encrypted lane only")]
    Plain(u64),
    /// A target that is none.
    #[error("an envelope is for height {target}; targets are multiples of {period}, here up to {latest}")]
    Target {
        /// Its target.
        target: u64,
        /// Blocks between two targets.
        period: u64,
        /// Highest target now.
        latest: u64,
    },
    /// The target is over: everybody may be able to read it.
    #[error("an envelope is for height {target}, too late for block {height}: encrypt again to a later height")]
    Late {
        /// Its target.
        target: u64,
        /// Height of the block.
        height: u64,
    },
    /// No more envelopes for a target.
    #[error("{ENVELOPES_PER_TARGET_MAX} envelopes for height {0} are in blocks already: choose another target")]
    Full(u64),
    /// Too many bytes wait.
    #[error("{0} bytes wait to be opened, the limit is {WAITING_BYTES_MAX}")]
    Bytes(usize),
    /// An opening whose turn it is not.
    #[error("an opening for height {found} in block {height}, the next one is for {expected:?}")]
    Turn {
        /// Its target.
        found: u64,
        /// The lowest target with envelopes, if it is final.
        expected: Option<u64>,
        /// Height of the block.
        height: u64,
    },
    /// An opening that opens nothing.
    #[error("the opening for height {0} is no signature of the lane key")]
    Opening(u64),
    /// More openings than a block may have, or two fronts.
    #[error("{0} records of the lane in one block, too many")]
    Records(usize),
    /// The block does not say rightly how far it comes with what is due.
    #[error("{due} opened transactions are due; the block says it settles {taken} and has {included}")]
    Front {
        /// How many are due.
        due: usize,
        /// How many the block says it settles.
        taken: usize,
        /// How many of them it says are in it.
        included: usize,
    },
    /// What stands at the front is not what was opened.
    #[error("transaction {0} at the front is not what was opened, or stands at another place")]
    Order(usize),
    /// Other transactions go before envelopes that are about to be opened.
    #[error("transactions of namespace {0} wait until its envelopes are opened")]
    Held(u64),
    /// A block without the one before it.
    #[error("block {height} does not follow block {after}")]
    Gap {
        /// Its height.
        height: u64,
        /// Height of the state.
        after: u64,
    },
    /// There is no key now.
    #[error(
        "the encrypted lane is closed at height {height}: the validators are making its key, at the earliest until block \
         {until}; send it again then"
    )]
    Closed {
        /// Height of the last block.
        height: u64,
        /// Last block of the attempt under way.
        until: u64,
    },
    /// A dealing that is of no use.
    #[error(transparent)]
    Dealing(#[from] DealingError),
    /// The block does not name the key that was made, or one that was not.
    #[error("the block names the key of round {found:?}, it must be {expected:?}")]
    Key {
        /// The round that it names.
        found: Option<u64>,
        /// The round that the block before decided.
        expected: Option<u64>,
    },
    /// There is a lane record where there is no lane.
    #[error("this network has no encrypted lane")]
    NoLane,
}

/// An envelope in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sealed {
    namespace: u64,
    envelope: Bytes,
}

/// All envelopes for one target, in order.
#[derive(Clone, Debug, Default)]
struct Batch {
    sealed: Vec<Sealed>,
    /// What is in those of the executed namespace: opened once, however many blocks are judged with them.
    opened: OnceLock<Vec<Bytes>>,
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.sealed == other.sealed
    }
}

impl Eq for Batch {}

impl Batch {
    fn bytes(&self) -> usize {
        self.sealed.iter().map(|sealed| sealed.envelope.len()).sum()
    }

    /// What the opening of their target, which is the only one, gives.
    fn open(&self, opening: &Opening, rules: &Rules) -> &[Bytes] {
        self.opened.get_or_init(|| {
            let executed = self.sealed.iter().filter(|sealed| Some(sealed.namespace) == rules.executed);
            let open = |Sealed { namespace, envelope }: &Sealed| {
                Envelope::decode(envelope).ok()?.open(opening, rules.chain_id, *namespace).map(Bytes::from)
            };
            executed.filter_map(open).collect()
        })
    }
}

/// The committees that were known after the block.
#[derive(Clone, Debug)]
struct Known(Arc<Schedule>);

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        let terms = |known: &Self| known.0.terms().iter().map(|term| (term.first, term.announced)).collect::<Vec<_>>();
        terms(self) == terms(other)
    }
}

impl Eq for Known {}

/// The lane after a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    rules: Arc<Rules>,
    height: u64,
    ring: Ring,
    known: Known,
    /// By target.
    waiting: BTreeMap<u64, Arc<Batch>>,
    /// Opened transactions of the executed namespace that no block has settled.
    due: Arc<Vec<Bytes>>,
    /// Bytes of all of these.
    bytes: usize,
}

/// What the records of a block say.
#[derive(Default)]
struct Records {
    openings: Vec<(u64, Opening)>,
    taken: usize,
    included: usize,
    dealings: Vec<(u64, Bytes)>,
    key: Option<KeyRecord>,
}

impl Records {
    fn read(records: &[Record]) -> Result<Self, Fault> {
        let mut read = Self::default();
        let (mut fronts, mut keys) = (0, 0);
        for record in records {
            match record {
                Record::Opening { target, opening } => read.openings.push((*target, *opening)),
                Record::Front { taken, included } => {
                    fronts += 1;
                    (read.taken, read.included) = (*taken as usize, *included as usize);
                }
                Record::Dealing { round, dealing } => read.dealings.push((*round, dealing.0.clone())),
                Record::Key(key) => {
                    keys += 1;
                    read.key = Some(key.clone());
                }
            }
        }
        let is_too_much = read.openings.len() > OPENINGS_PER_BLOCK_MAX || read.dealings.len() > DEALINGS_PER_BLOCK_MAX;
        if fronts > 1 || keys > 1 || is_too_much {
            return Err(Fault::Records(records.len()));
        }
        Ok(read)
    }
}

impl State {
    /// At genesis, with a dealt key or none.
    pub fn genesis(rules: Arc<Rules>, schedule: Schedule, dealt: Option<Key>) -> Self {
        let ring = Ring::new(rules.chain_id, &schedule, dealt);
        let known = Known(Arc::new(schedule));
        Self { rules, height: 0, ring, known, waiting: BTreeMap::new(), due: Arc::default(), bytes: 0 }
    }

    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    pub const fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The key in force.
    pub const fn key(&self) -> Option<&Arc<Key>> {
        self.ring.now()
    }

    /// The round under way.
    pub const fn round(&self) -> Option<&Arc<Round>> {
        self.ring.round()
    }

    /// What the next block must say of the key.
    pub fn announcement(&self) -> Option<KeyRecord> {
        self.ring.announcement(self.height)
    }

    /// Whether there is a key; if not, why nothing is taken.
    pub fn closed(&self) -> Option<Fault> {
        let until = self.ring.attempt_ends(self.height);
        self.key().is_none().then_some(Fault::Closed { height: self.height, until })
    }

    /// Who holds the key.
    pub fn status(&self, has_share: bool) -> LaneStatus {
        let until = self.ring.attempt_ends(self.height);
        LaneStatus {
            height: self.height,
            key: self.key().map(|key| key.record()),
            announced: self.key().filter(|key| key.round > 0).map(|key| key.made + 1),
            attempt: self.round().map(|round| (round.number, until)),
            has_share,
        }
    }

    pub const fn height(&self) -> u64 {
        self.height
    }

    /// Targets up to `height` whose envelopes wait for an opening, ascending.
    pub fn targets(&self, height: u64) -> impl Iterator<Item = u64> + '_ {
        self.waiting.range(..=height).map(|(target, _)| *target)
    }

    /// Whether envelopes wait for this target.
    pub fn is_waiting(&self, target: u64) -> bool {
        self.waiting.contains_key(&target)
    }

    /// The committees that are known.
    #[cfg(test)]
    pub fn schedule(&self) -> &Schedule {
        &self.known.0
    }

    /// Envelopes that wait.
    #[cfg(test)]
    pub fn sealed(&self) -> usize {
        self.waiting.values().map(|batch| batch.sealed.len()).sum()
    }

    /// What it takes in this state that `settled`, the same with less due, does not count.
    pub fn beyond(&self, settled: &Self) -> More {
        More { bytes: self.bytes.saturating_sub(settled.bytes), ..More::default() }
    }

    /// What is due at the front of the next block.
    pub fn due(&self) -> &[Bytes] {
        let (mut count, mut bytes) = (0, 0);
        for opened in self.due.iter().take(OPENED_PER_BLOCK_MAX) {
            bytes += opened.len();
            if bytes > OPENED_BYTES_PER_BLOCK_MAX {
                break;
            }
            count += 1;
        }
        &self.due[..count]
    }

    /// The state with nothing due at the front of the next block.
    pub fn all_settled(&self) -> Self {
        let mut settled = self.clone();
        settled.take(self.due().len());
        settled
    }

    fn take(&mut self, count: usize) {
        if count > 0 {
            self.bytes -= self.due[..count].iter().map(Bytes::len).sum::<usize>();
            self.due = Arc::new(self.due[count..].to_vec());
        }
    }

    /// The state in which the next block decides what is due, with these openings in it.
    pub fn open(&self, openings: &[(u64, Opening)]) -> Result<Self, Fault> {
        let height = self.height + 1;
        let mut next = self.clone();
        for (target, opening) in openings {
            let key = self.key().ok_or(Fault::Turn { found: *target, expected: None, height })?;
            let expected = next.waiting.range(..height).next().map(|(target, _)| *target);
            if expected != Some(*target) {
                return Err(Fault::Turn { found: *target, expected, height });
            }
            if !opening.verify(key.sharing.public(), self.rules.chain_id, *target) {
                return Err(Fault::Opening(*target));
            }
            next.unseal(*target, opening);
        }
        Ok(next)
    }

    fn unseal(&mut self, target: u64, opening: &Opening) {
        let Some(batch) = self.waiting.remove(&target) else { return };
        self.bytes -= batch.bytes();
        let opened = batch.open(opening, &self.rules);
        if !opened.is_empty() {
            self.bytes += opened.iter().map(Bytes::len).sum::<usize>();
            self.due = Arc::new(self.due.iter().chain(opened).cloned().collect());
        }
    }

    /// Whether other transactions of this namespace have to wait in the next block: envelopes are about to be opened, or
    /// what was opened is not all executed.
    pub fn holds(&self, namespace: u64) -> bool {
        let next = self.height + 1;
        let first = next.saturating_sub(self.rules.hold_blocks);
        let here = |batch: &Batch| batch.sealed.iter().any(|sealed| sealed.namespace == namespace);
        let is_left_over = Some(namespace) == self.rules.executed && !self.due.is_empty();
        is_left_over || self.waiting.range(first..next).any(|(_, batch)| here(batch))
    }

    /// Whether `transaction` may stand in the next block, beside those that are noted in `more`: the numbers of
    /// envelopes for each target there.
    pub fn admits(&self, namespace: u64, transaction: &Transaction, more: &mut More) -> Result<(), Fault> {
        let Some(target) = self.rules.check(namespace, transaction, self.height + 1)? else {
            let is_held = self.rules.policy(namespace) != LanePolicy::Fcfs && self.holds(namespace);
            return if is_held { Err(Fault::Held(namespace)) } else { Ok(()) };
        };
        if let Some(closed) = self.closed() {
            return Err(closed);
        }
        let count = more
            .targets
            .entry(target)
            .or_insert_with(|| self.waiting.get(&target).map_or(0, |batch| batch.sealed.len()));
        if *count >= ENVELOPES_PER_TARGET_MAX {
            return Err(Fault::Full(target));
        }
        let bytes = self.bytes + more.bytes + transaction.bytes();
        if bytes > WAITING_BYTES_MAX {
            return Err(Fault::Bytes(bytes));
        }
        *count += 1;
        more.bytes += transaction.bytes();
        Ok(())
    }

    /// The state after the next block, and what was due at its front.
    pub fn apply(&self, block: &Block) -> Result<(Self, Settled), Fault> {
        if block.height != self.height + 1 {
            return Err(Fault::Gap { height: block.height, after: self.height });
        }
        let system = System::read(&block.payload)?;
        let records = Records::read(&system.lane)?;
        let due = self.announcement();
        if records.key != due {
            let round = |key: Option<KeyRecord>| key.map(|key| key.round);
            return Err(Fault::Key { found: round(records.key), expected: round(due) });
        }
        let mut next = self.open(&records.openings)?;
        let settled = next.settle(block, records.taken, records.included)?;
        let (mut more, mut added) = (More::default(), Vec::new());
        for entry in block.payload.entries().iter().filter(|entry| entry.namespace() != SYSTEM) {
            let namespace = entry.namespace();
            if self.rules.policy(namespace) == LanePolicy::Fcfs {
                continue;
            }
            let front = if Some(namespace) == self.rules.executed { records.included } else { 0 };
            for transaction in &entry.transactions()[front..] {
                next.admits(namespace, transaction, &mut more)?;
                added.push((namespace, transaction));
            }
        }
        // Only now, as all of them are counted in `more` and would be counted twice.
        added.into_iter().for_each(|(namespace, transaction)| next.seal(namespace, transaction));
        for (round, dealing) in &records.dealings {
            next.ring.take(*round, dealing)?;
        }
        if system.committee.is_some() {
            Arc::make_mut(&mut next.known.0).apply(block);
        }
        next.height = block.height;
        if next.ring.advance(block.height, &next.known.0) {
            // Nobody can open it any more.
            next.bytes -= next.waiting.values().map(|batch| batch.bytes()).sum::<usize>();
            next.waiting.clear();
        }
        Ok((next, settled))
    }

    /// Takes from the front what the block settles.
    fn settle(&mut self, block: &Block, taken: usize, included: usize) -> Result<Settled, Fault> {
        let due: Arc<[Bytes]> = self.due().into();
        let front = self.rules.executed.map_or(&[][..], |namespace| block.payload.transactions(namespace));
        // The first one always fits, so that nothing stays for ever.
        let is_right = taken <= due.len() && included <= taken && included <= front.len();
        if !is_right || (taken == 0) != due.is_empty() {
            return Err(Fault::Front { due: due.len(), taken, included });
        }
        let mut rest = due[..taken].iter();
        for (place, transaction) in front[..included].iter().enumerate() {
            if !rest.any(|opened| opened == transaction.payload()) {
                return Err(Fault::Order(place));
            }
        }
        self.take(taken);
        Ok(Settled { due, taken, included })
    }

    fn seal(&mut self, namespace: u64, transaction: &Transaction) {
        let Ok(Envelope { target, .. }) = Envelope::decode(transaction.payload()) else { return };
        self.bytes += transaction.bytes();
        let sealed = Sealed { namespace, envelope: transaction.payload().clone() };
        Arc::make_mut(self.waiting.entry(target).or_default()).sealed.push(sealed);
    }
}

/// What is added to a block while it is put together or judged.
#[derive(Default)]
pub(crate) struct More {
    targets: BTreeMap<u64, usize>,
    bytes: usize,
}

/// What was due at the front of a block, and how far it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    due: Arc<[Bytes]>,
    taken: usize,
    included: usize,
}

impl Settled {
    pub fn front(&self) -> super::Front<'_> {
        super::Front { due: &self.due, taken: self.taken, included: self.included }
    }
}

/// ```text
/// state = height (8) ‖ ring ‖ targets (4), each: target (8) ‖ envelopes (4), each: namespace (8) ‖ length (4) ‖ bytes
///         ‖ opened transactions (4), each: length (4) ‖ bytes
/// ```
impl State {
    /// The state for the disk; rules are those of the network, committees those of the blocks.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u64(self.height);
        self.ring.encode(&mut out);
        out.put_u32(self.waiting.len() as u32);
        for (target, batch) in &self.waiting {
            out.put_u64(*target);
            out.put_u32(batch.sealed.len() as u32);
            for Sealed { namespace, envelope } in &batch.sealed {
                out.put_u64(*namespace);
                put(&mut out, envelope);
            }
        }
        out.put_u32(self.due.len() as u32);
        self.due.iter().for_each(|opened| put(&mut out, opened));
        out.freeze()
    }

    /// Reads [`State::encode`]; `schedule` may know later committees. `None` if the bytes are damaged.
    pub fn decode(rules: Arc<Rules>, schedule: &Schedule, bytes: &Bytes) -> Option<Self> {
        let mut rest = bytes.clone();
        let height = number(&mut rest).filter(|height| *height <= HEIGHT_MAX)?;
        let known = Known(Arc::new(schedule.until(height)));
        let ring = Ring::decode(rules.chain_id, &known.0, &mut rest)?;
        let mut state = Self { rules, height, ring, known, waiting: BTreeMap::new(), due: Arc::default(), bytes: 0 };
        for _ in 0..count(&mut rest, TARGET_AHEAD_MAX as usize * ENVELOPES_PER_TARGET_MAX)? {
            let target = number(&mut rest).filter(|target| *target <= HEIGHT_MAX)?;
            let envelopes = count(&mut rest, ENVELOPES_PER_TARGET_MAX)?;
            let sealed: Option<Vec<_>> = (0..envelopes)
                .map(|_| Some(Sealed { namespace: number(&mut rest)?, envelope: take(&mut rest)? }))
                .collect();
            state.waiting.insert(target, Arc::new(Batch { sealed: sealed?, opened: OnceLock::new() }));
        }
        let due: Option<Vec<Bytes>> = (0..count(&mut rest, usize::MAX)?).map(|_| take(&mut rest)).collect();
        state.due = Arc::new(due?);
        let sealed: usize = state.waiting.values().map(|batch| batch.bytes()).sum();
        state.bytes = sealed + state.due.iter().map(Bytes::len).sum::<usize>();
        rest.is_empty().then_some(state)
    }
}

pub(super) fn put(out: &mut BytesMut, bytes: &Bytes) {
    out.put_u32(bytes.len() as u32);
    out.put_slice(bytes);
}

pub(super) fn array<const N: usize>(rest: &mut Bytes) -> Option<[u8; N]> {
    let array = *rest.first_chunk()?;
    *rest = rest.slice(N..);
    Some(array)
}

pub(super) fn number(rest: &mut Bytes) -> Option<u64> {
    array(rest).map(u64::from_be_bytes)
}

/// A number of things, each of at least four bytes that must follow.
pub(super) fn count(rest: &mut Bytes, max: usize) -> Option<usize> {
    let count = u32::from_be_bytes(array(rest)?) as usize;
    (count <= max && count.checked_mul(4)? <= rest.len()).then_some(count)
}

pub(super) fn take(rest: &mut Bytes) -> Option<Bytes> {
    let length = u32::from_be_bytes(array(rest)?) as usize;
    (length <= rest.len()).then(|| rest.split_to(length))
}
