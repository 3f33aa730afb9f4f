//! Transactions and bundles that wait to be ordered: first in, first out within a namespace, fair between namespaces.
//!
//! When a block cannot take everything, the namespace that got the fewest bytes so far is served next, so that a busy
//! rollup cannot crowd out a quiet one. A bundle is offered, whole, when its turn has come in all of its namespaces: it
//! overtakes nothing, and what stands behind it does not wait for it. Nothing is dropped to make room: a full queue
//! refuses, and says so. Everything that waits has a last height, and leaves when that is final without it.
//! Source of the fairness rule: max-min fair sharing by bytes, as in deficit round robin (Shreedhar, Varghese 1995).

use crate::content::{Bundle, Content, Entry, Hash, Transaction};
use crate::lane::{Fault, Rules};
use crate::limits::{
    BUNDLES_MAX, ENTRY_OVERHEAD_BYTES, INCLUDING_BLOCKS_MAX, JOURNAL_QUEUE_BYTES_MAX, LIFETIME_BLOCKS_MAX, Limits,
    NAMESPACES_MAX, PAYLOAD_OVERHEAD_BYTES, RELAY_BYTES_MAX, RELAY_COUNT_MAX, SUBMISSIONS_MAX, SYSTEM_TRANSACTIONS_MAX,
    TRANSACTION_BYTES_MAX, TRANSACTIONS_MAX,
};
use crate::payload::{Payload, bundle_bytes, transaction_bytes};
use crate::submission::{
    Checked, Ended, EndedLog, Finals, Journal, Lifetime, Members, Outcome, Place, Receipt, Record, Seats, Submission,
    places,
};
use crate::system::SYSTEM;
use bytes::Bytes;
use parking_lot::Mutex;
use proof::bundle::{BUNDLE_BYTES_MAX, MEMBERS_MAX, MEMBERS_MIN, Position};
use proof::lane::Envelope;
use protocol::api::{SubmissionState, SubmissionStatus};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, btree_map};
use std::sync::{Arc, OnceLock};
use tokio::sync::{Notify, oneshot};

/// A transaction or a bundle was not queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Empty or over the limit.
    #[error("a transaction has 1 to {TRANSACTION_BYTES_MAX} bytes, this one {bytes}")]
    Size {
        /// Its length.
        bytes: usize,
    },
    /// Too few or too many transactions in a bundle, an empty one, or too many bytes.
    #[error(
        "a bundle has {MEMBERS_MIN} to {MEMBERS_MAX} transactions, none empty, with {BUNDLE_BYTES_MAX} bytes, this one \
         {transactions} with {bytes}"
    )]
    Bundle {
        /// Number of its transactions.
        transactions: usize,
        /// Bytes of all.
        bytes: usize,
    },
    /// The protocol itself writes there.
    #[error("namespace {SYSTEM} belongs to the protocol: votes and evidence; choose another one")]
    Reserved,
    /// The namespace has too much waiting; it can be tried again after the next blocks.
    #[error("namespace {namespace} has {transactions} transactions with {bytes} bytes waiting, no room for more")]
    NamespaceFull {
        /// Namespace.
        namespace: u64,
        /// Waiting in it.
        transactions: usize,
        /// Bytes waiting in it.
        bytes: usize,
    },
    /// All namespaces together have too much waiting; it can be tried again after the next blocks.
    #[error("{transactions} transactions with {bytes} bytes in {namespaces} namespaces are waiting, no room for more")]
    Full {
        /// Waiting in all.
        transactions: usize,
        /// Bytes waiting in all.
        bytes: usize,
        /// Namespaces with transactions.
        namespaces: usize,
    },
    /// More submissions at a time than are taken.
    #[error("{submissions} submissions at a time, the limit is {SUBMISSIONS_MAX}")]
    TooMany {
        /// How many there were.
        submissions: usize,
    },
    /// Too much waits to be written to the disk; it can be tried again at once.
    #[error("{JOURNAL_QUEUE_BYTES_MAX} bytes wait to be written, try again")]
    Busy,
    /// It could not be written to the disk. It may still be ordered.
    #[error("the submission is not on the disk: {0}")]
    Journal(Arc<str>),
    /// The namespace does not take it, or not any more: an envelope that is late or broken, or a transaction that is none
    /// where only envelopes stand.
    #[error(transparent)]
    Lane(#[from] Fault),
    /// The validator has stopped.
    #[error("the validator has stopped")]
    Stopped,
}

/// Each time that something is handed over, it waits twice as long for the next one, so many times.
const SENDINGS_DOUBLED: u32 = 5;

/// A bundle that waits.
struct Waiting {
    hash: Hash,
    /// Namespace and transaction, in its order.
    members: Vec<(u64, Transaction)>,
    /// Its namespaces.
    namespaces: BTreeSet<u64>,
    arrival: u64,
}

impl Waiting {
    fn submission(&self) -> Submission {
        let plain = |(namespace, transaction): &(u64, Transaction)| (*namespace, transaction.payload().clone());
        Submission::Bundle(self.members.iter().map(plain).collect())
    }
}

#[derive(Clone)]
enum Item {
    Single(Transaction),
    /// In the queue of each of its namespaces, under the same number.
    Bundle(Arc<Waiting>),
}

#[derive(Default)]
struct Queue {
    /// By arrival number.
    waiting: BTreeMap<u64, Item>,
    transactions: usize,
    bytes: usize,
}

/// What is known of something that waits.
#[derive(Clone, Debug, Default)]
struct Terms {
    /// Last height at which it may stand.
    expires: u64,
    /// Whether it is in the journal.
    is_durable: bool,
    /// Whether another validator accepted it first.
    is_from_peer: bool,
    /// Its number by arrival.
    arrival: u64,
    /// Who else has it on disk.
    holders: Seats,
    /// How often it was handed over.
    sendings: u32,
    /// When it is handed over next, in rounds.
    next: u64,
}

impl Terms {
    /// Its place among what is handed over.
    fn due(&self) -> (u64, u64) {
        (self.next, self.arrival)
    }
}

struct Single {
    namespace: u64,
    terms: Terms,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<u64, Queue>,
    /// Where each waiting transaction that is in no bundle is.
    singles: HashMap<Hash, Single>,
    bundles: HashMap<Hash, (Arc<Waiting>, Terms)>,
    /// What waits, by the last height at which it may stand.
    deadlines: BTreeSet<(u64, Hash)>,
    transactions: usize,
    bytes: usize,
    arrivals: u64,
    /// Newest final height.
    height: u64,
    finals: Finals,
    ended: EndedLog,
    /// What was accepted here and is not known to be on the disks of all others, by the round in which it is handed over
    /// next and by arrival.
    unshared: BTreeMap<(u64, u64), Hash>,
    /// The others.
    others: Seats,
    /// Where things stand in valid blocks that are not final yet.
    including: BTreeMap<u64, HashMap<Hash, Place>>,
    /// Transactions and bytes that wait because other validators accepted them.
    from_peers: (usize, usize),
}

/// How something comes into the mempool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Queued, and forgotten at a restart.
    Volatile,
    /// Accepted here.
    Own,
    /// Accepted by another validator.
    Peer,
}

/// Something to hand to members of the committee that do not have it yet.
pub(crate) struct Handed {
    pub record: Record,
    pub lacking: Seats,
}

/// The waiting transactions of one validator.
pub(crate) struct Mempool {
    limits: Limits,
    state: Mutex<State>,
    journal: OnceLock<Journal>,
    /// Rules of the encrypted lane, if there is one.
    sealed: OnceLock<Arc<Rules>>,
    /// Why no envelopes are taken now.
    closed: Mutex<Option<Fault>>,
    /// Told when something was accepted that others do not have.
    news: Notify,
}

impl Mempool {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: Mutex::default(),
            journal: OnceLock::new(),
            sealed: OnceLock::new(),
            closed: Mutex::default(),
            news: Notify::new(),
        }
    }

    /// Uses `journal` from now on, and hands to `others` what is in it.
    pub fn attach(&self, journal: Journal, others: Seats) {
        self.state.lock().others = others;
        let is_first = self.journal.set(journal).is_ok();
        assert!(is_first, "a mempool has one journal");
    }

    /// Takes envelopes by these rules from now on: none waits longer than up to its target.
    pub fn seal(&self, rules: Arc<Rules>) {
        let is_first = self.sealed.set(rules).is_ok();
        assert!(is_first, "a mempool has one lane");
    }

    /// Takes no envelopes from now on for this reason, or takes them again.
    pub fn close_lane(&self, reason: Option<Fault>) {
        *self.closed.lock() = reason;
    }

    /// Last height at which these may stand, which is the target of an envelope among them if that is lower.
    fn deadline(&self, members: &Members, height: u64, expires: u64) -> Result<u64, SubmitError> {
        let Some(rules) = self.sealed.get() else { return Ok(expires) };
        let last = |expires: u64, namespace: u64, transaction: &Transaction| -> Result<u64, SubmitError> {
            let target = rules.check(namespace, transaction, height + 1)?;
            if target.is_some() {
                self.closed.lock().clone().map_or(Ok(()), Err)?;
                Envelope::decode(transaction.payload()).and_then(|envelope| envelope.check()).map_err(Fault::from)?;
            }
            Ok(target.map_or(expires, |target| expires.min(target)))
        };
        match members {
            Members::Single(namespace, transaction) => last(expires, *namespace, transaction),
            Members::Bundle(members) => {
                members.iter().try_fold(expires, |expires, (namespace, member)| last(expires, *namespace, member))
            }
        }
    }

    /// There is another committee, whose members are numbered anew: hands everything that was accepted here to `others`.
    pub fn reseat(&self, others: Seats) {
        {
            let mut state = self.state.lock();
            let State { singles, bundles, unshared, .. } = &mut *state;
            unshared.clear();
            let singles = singles.iter_mut().map(|(hash, single)| (hash, &mut single.terms));
            for (hash, terms) in singles.chain(bundles.iter_mut().map(|(hash, (_, terms))| (hash, terms))) {
                (terms.holders, terms.next, terms.sendings) = (Seats::default(), 0, 0);
                if terms.is_durable && !terms.is_from_peer {
                    unshared.insert(terms.due(), *hash);
                }
            }
            state.others = others;
        }
        self.news.notify_one();
    }

    /// Waits until something was accepted that others do not have.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// Writes what waits to be written, and takes no more.
    pub fn close(&self) {
        if let Some(journal) = self.journal.get() {
            journal.close();
        }
    }

    /// Queues a transaction and returns its hash. One that waits already, or became final lately, is not queued twice.
    pub fn submit(&self, namespace: u64, payload: Bytes) -> Result<Hash, SubmitError> {
        self.queue(Submission::Transaction(namespace, payload))
    }

    /// Queues transactions that must be ordered together, and returns the name of the bundle. The same bundle is queued
    /// once. Its transactions may also wait alone, or be final: the bundle has them once more.
    pub fn submit_bundle(&self, members: Vec<(u64, Bytes)>) -> Result<Hash, SubmitError> {
        self.queue(Submission::Bundle(members))
    }

    fn queue(&self, submission: Submission) -> Result<Hash, SubmitError> {
        let checked = submission.check()?;
        let mut state = self.state.lock();
        let expires = state.height + Lifetime::default().blocks();
        let expires = self.deadline(&checked.members, state.height, expires)?;
        state.take_in(&self.limits, checked, expires, Origin::Volatile).map(|(receipt, _)| receipt.hash)
    }

    /// Queues submissions that were accepted here, and says of each whether it was. The second value tells when they
    /// are on the disk; it is `None` without a journal.
    pub fn accept(
        &self,
        checked: Vec<Result<Checked, SubmitError>>,
        lifetime: Lifetime,
    ) -> (Vec<Result<Receipt, SubmitError>>, Option<oneshot::Receiver<Outcome>>) {
        let mut state = self.state.lock();
        let expires = state.height + lifetime.blocks();
        let checked = checked.into_iter().map(|checked| (checked, expires)).collect();
        self.take_all(&mut state, checked, Origin::Own)
    }

    /// Queues what another validator accepted, up to the heights it says.
    pub fn accept_from_peer(
        &self,
        checked: Vec<(Result<Checked, SubmitError>, u64)>,
    ) -> (Vec<Result<Receipt, SubmitError>>, Option<oneshot::Receiver<Outcome>>) {
        let mut state = self.state.lock();
        let latest = state.height + LIFETIME_BLOCKS_MAX;
        let checked = checked.into_iter().map(|(checked, expires)| (checked, expires.min(latest))).collect();
        self.take_all(&mut state, checked, Origin::Peer)
    }

    fn take_all(
        &self,
        state: &mut State,
        checked: Vec<(Result<Checked, SubmitError>, u64)>,
        origin: Origin,
    ) -> (Vec<Result<Receipt, SubmitError>>, Option<oneshot::Receiver<Outcome>>) {
        if self.journal.get().is_some_and(|journal| !journal.has_room()) {
            return (checked.iter().map(|_| Err(SubmitError::Busy)).collect(), None);
        }
        let mut records = Vec::new();
        let take = |(checked, expires): (Result<Checked, SubmitError>, u64)| {
            let checked = checked?;
            let expires = self.deadline(&checked.members, state.height, expires)?;
            let (receipt, record) = state.take_in(&self.limits, checked, expires, origin)?;
            records.extend(record);
            Ok(receipt)
        };
        let receipts = checked.into_iter().map(take).collect();
        if origin == Origin::Own && !records.is_empty() {
            self.news.notify_one();
        }
        // Within the lock, so that the journal has the order in which things happened.
        (receipts, self.journal.get().map(|journal| journal.append(records)))
    }

    /// Takes back what the journal told, oldest first, whatever the limits are now.
    pub fn restore(&self, records: Vec<Record>) {
        let mut state = self.state.lock();
        for record in records {
            match record {
                Record::Accepted { expires, submission } => {
                    if let Ok(checked) = submission.check() {
                        state.ended.remove(&checked.hash);
                        state.put(checked, expires, Origin::Own);
                    }
                }
                Record::Ended { hash, how, height } => {
                    state.remove(&hash);
                    if how != Ended::Final {
                        state.ended.insert(hash, how, height);
                    }
                }
            }
        }
    }

    /// What the journal must tell from now on.
    pub fn snapshot(&self) -> Vec<Record> {
        let state = self.state.lock();
        let ended = state.ended.iter().map(|(hash, how, height)| Record::Ended { hash, how, height });
        ended.chain(state.durable()).collect()
    }

    /// Transactions waiting, those in bundles included.
    pub fn len(&self) -> usize {
        self.state.lock().transactions
    }

    /// What a proposal may hold: without what is in `ordered` or has expired at `height`, at most `bytes_max` encoded.
    /// `height` also decides which namespace comes first among equals.
    pub fn candidates(&self, ordered: &HashSet<Hash>, bytes_max: usize, height: u64) -> Content {
        let state = self.state.lock();
        let left_out = state.left_out(ordered, height);
        let mut offer = Offer::new(&state, &left_out, bytes_max.saturating_sub(PAYLOAD_OVERHEAD_BYTES));
        offer.serve(height);
        offer.content()
    }

    /// Forgets transactions and bundles that the application rejected.
    pub fn reject(&self, hashes: &[Hash]) {
        let mut state = self.state.lock();
        let height = state.height;
        let gone = hashes.iter().filter_map(|hash| Some((*hash, state.remove(hash)?))).collect::<Vec<_>>();
        self.end(&mut state, gone, Ended::Rejected, height);
    }

    /// Remembers a valid block that is not final yet.
    pub fn included(&self, height: u64, payload: &Payload) {
        if payload.transaction_count() == 0 {
            return;
        }
        // Hashed and gathered before the lock, which proposals and deliveries need, too.
        let places = places(payload).collect();
        let mut state = self.state.lock();
        if height > state.height {
            state.including.insert(height, places);
            if state.including.len() > INCLUDING_BLOCKS_MAX {
                state.including.pop_first();
            }
        }
    }

    /// Forgets the transactions and bundles of a final block and what has expired with it, and remembers both.
    pub fn finalized(&self, height: u64, payload: &Payload) {
        self.took(height, &places(payload).collect::<Vec<_>>());
    }

    /// The same with what stood where in a block.
    pub fn took(&self, height: u64, places: &[(Hash, Place)]) {
        let mut state = self.state.lock();
        let mut gone = Vec::new();
        for (hash, _) in places {
            let hash = *hash;
            state.ended.remove(&hash);
            gone.extend(state.remove(&hash).map(|terms| (hash, terms)));
        }
        state.height = state.height.max(height);
        state.finals.insert(height, places.iter().copied());
        state.including = state.including.split_off(&(height + 1));
        self.end(&mut state, gone, Ended::Final, height);
        let expired = state.take_expired();
        self.end(&mut state, expired, Ended::Expired, height);
    }

    /// Remembers how these ended, and notes it in the journal where they are in it.
    fn end(&self, state: &mut State, gone: Vec<(Hash, Terms)>, how: Ended, height: u64) {
        if how != Ended::Final {
            gone.iter().for_each(|(hash, _)| state.ended.insert(*hash, how, height));
        }
        if let Some(journal) = self.journal.get() {
            let durable = gone.into_iter().filter(|(_, terms)| terms.is_durable);
            journal.note(durable.map(|(hash, _)| Record::Ended { hash, how, height }).collect());
        }
    }

    /// What became of these, `finalized_height` being the newest height that stake has finalised.
    pub fn statuses(&self, hashes: &[Hash], finalized_height: u64) -> Vec<SubmissionStatus> {
        let state = self.state.lock();
        hashes.iter().map(|hash| state.status(hash, finalized_height)).collect()
    }

    /// What to hand over next in this `round`, what is due longest first, as much as one message holds. Each comes again
    /// later and later until all have it.
    pub fn to_hand_over(&self, round: u64) -> Vec<Handed> {
        let mut state = self.state.lock();
        let (mut handed, mut bytes): (Vec<(Hash, Handed)>, usize) = (Vec::new(), 0);
        for hash in state.unshared.range(..=(round, u64::MAX)).map(|(_, hash)| hash) {
            let Some(terms) = state.terms(hash) else { continue };
            let Some(record) = state.record(hash) else { continue };
            bytes += record.bytes();
            if !handed.is_empty() && (bytes > RELAY_BYTES_MAX || handed.len() == RELAY_COUNT_MAX) {
                break;
            }
            handed.push((*hash, Handed { lacking: state.others.without(&terms.holders), record }));
        }
        for (hash, _) in &handed {
            state.hand_over_later(hash, round);
        }
        handed.into_iter().map(|(_, handed)| handed).collect()
    }

    /// Notes that a member of the committee has these on disk.
    pub fn held_by(&self, member: usize, hashes: &[Hash]) {
        let mut state = self.state.lock();
        for hash in hashes {
            let Some(terms) = state.terms_mut(hash) else { continue };
            terms.holders.insert(member);
            let (due, holders) = (terms.due(), terms.holders.clone());
            if state.others.without(&holders).is_empty() {
                state.unshared.remove(&due);
            }
        }
    }
}

/// Transactions and bytes by namespace.
fn demand(members: &Members) -> BTreeMap<u64, (usize, usize)> {
    let mut demand = BTreeMap::<u64, (usize, usize)>::new();
    let mut add = |namespace: u64, transaction: &Transaction| {
        let (count, bytes) = demand.entry(namespace).or_default();
        (*count, *bytes) = (*count + 1, *bytes + transaction.bytes());
    };
    match members {
        Members::Single(namespace, transaction) => add(*namespace, transaction),
        Members::Bundle(members) => members.iter().for_each(|(namespace, transaction)| add(*namespace, transaction)),
    }
    demand
}

/// Transactions and bytes in all namespaces.
fn total(demand: &BTreeMap<u64, (usize, usize)>) -> (usize, usize) {
    demand.values().fold((0, 0), |(transactions, bytes), (count, added)| (transactions + count, bytes + added))
}

impl State {
    /// Queues something unless it is known, and says what the journal must tell about it.
    fn take_in(
        &mut self,
        limits: &Limits,
        checked: Checked,
        expires: u64,
        origin: Origin,
    ) -> Result<(Receipt, Option<Record>), SubmitError> {
        let hash = checked.hash;
        if self.finals.contains(&hash) {
            return Ok((Receipt { hash, expires: 0, is_known: true }, None));
        }
        if let Some(terms) = self.terms_mut(&hash) {
            let news = origin != Origin::Volatile && (!terms.is_durable || terms.expires < expires);
            terms.is_durable |= origin != Origin::Volatile;
            let before = terms.due();
            if news {
                // The others know an earlier end, if any.
                (terms.holders, terms.next) = (Seats::default(), 0);
            }
            let (due, holders) = (terms.due(), terms.holders.clone());
            let expires = self.prolong(hash, expires).unwrap_or(expires);
            let was_unshared = self.unshared.remove(&before).is_some();
            // What came from another validator is handed on by this one from now on.
            if was_unshared || (origin == Origin::Own && !self.others.without(&holders).is_empty()) {
                self.unshared.insert(due, hash);
            }
            let record = news.then(|| Record::Accepted { expires, submission: checked.members.submission() });
            return Ok((Receipt { hash, expires, is_known: true }, record));
        }
        let demand = demand(&checked.members);
        self.check_room(limits, &demand)?;
        if origin == Origin::Peer {
            self.check_peers(limits, &demand)?;
        }
        self.ended.remove(&hash);
        let submission = (origin != Origin::Volatile).then(|| checked.members.submission());
        self.put(checked, expires, origin);
        let record = submission.map(|submission| Record::Accepted { expires, submission });
        Ok((Receipt { hash, expires, is_known: false }, record))
    }

    /// Queues something, or gives what waits already a later end.
    fn put(&mut self, Checked { hash, members }: Checked, expires: u64, origin: Origin) {
        if self.prolong(hash, expires).is_some() {
            return;
        }
        self.deadlines.insert((expires, hash));
        let is_from_peer = origin == Origin::Peer;
        if is_from_peer {
            let (transactions, bytes) = total(&demand(&members));
            self.from_peers = (self.from_peers.0 + transactions, self.from_peers.1 + bytes);
        }
        self.arrivals += 1;
        if origin == Origin::Own {
            self.unshared.insert((0, self.arrivals), hash);
        }
        let is_durable = origin != Origin::Volatile;
        let terms = Terms { expires, is_durable, is_from_peer, arrival: self.arrivals, ..Terms::default() };
        match members {
            Members::Single(namespace, transaction) => self.insert(namespace, hash, transaction, terms),
            Members::Bundle(members) => self.insert_bundle(hash, members, terms),
        }
    }

    /// Lets something that waits stand up to `expires`, if that is later; returns its last height then.
    fn prolong(&mut self, hash: Hash, expires: u64) -> Option<u64> {
        let terms = self.terms_mut(&hash)?;
        let earlier = terms.expires;
        terms.expires = earlier.max(expires);
        let last = terms.expires;
        self.deadlines.remove(&(earlier, hash));
        self.deadlines.insert((last, hash));
        Some(last)
    }

    /// Notes that something was handed over in this `round`.
    fn hand_over_later(&mut self, hash: &Hash, round: u64) {
        let Some(terms) = self.terms_mut(hash) else { return };
        let before = terms.due();
        terms.next = round + (1 << terms.sendings.min(SENDINGS_DOUBLED));
        terms.sendings += 1;
        let due = terms.due();
        self.unshared.remove(&before);
        self.unshared.insert(due, *hash);
    }

    fn terms(&self, hash: &Hash) -> Option<&Terms> {
        self.singles.get(hash).map(|single| &single.terms).or_else(|| Some(&self.bundles.get(hash)?.1))
    }

    fn terms_mut(&mut self, hash: &Hash) -> Option<&mut Terms> {
        match self.singles.get_mut(hash) {
            Some(single) => Some(&mut single.terms),
            None => self.bundles.get_mut(hash).map(|(_, terms)| terms),
        }
    }

    /// Something that waits, as the journal tells it.
    fn record(&self, hash: &Hash) -> Option<Record> {
        let terms = self.terms(hash)?;
        let submission = match self.singles.get(hash) {
            Some(Single { namespace, .. }) => match self.queues.get(namespace)?.waiting.get(&terms.arrival)? {
                Item::Single(transaction) => Submission::Transaction(*namespace, transaction.payload().clone()),
                Item::Bundle(_) => return None,
            },
            None => self.bundles.get(hash)?.0.submission(),
        };
        Some(Record::Accepted { expires: terms.expires, submission })
    }

    /// Everything in the journal that waits, in the order of arrival.
    fn durable(&self) -> impl Iterator<Item = Record> {
        let singles = self.singles.iter().map(|(hash, single)| (hash, &single.terms));
        let bundles = self.bundles.iter().map(|(hash, (_, terms))| (hash, terms));
        let durable = singles.chain(bundles).filter(|(_, terms)| terms.is_durable);
        let ordered: BTreeMap<u64, &Hash> = durable.map(|(hash, terms)| (terms.arrival, hash)).collect();
        ordered.into_values().filter_map(|hash| self.record(hash))
    }

    /// What a proposal at `height` must not hold.
    fn left_out<'a>(&self, ordered: &'a HashSet<Hash>, height: u64) -> Cow<'a, HashSet<Hash>> {
        let late: Vec<Hash> = self.deadlines.range(..(height, Hash::default())).map(|(_, hash)| *hash).collect();
        if late.is_empty() {
            return Cow::Borrowed(ordered);
        }
        Cow::Owned(ordered.iter().copied().chain(late).collect())
    }

    /// Takes out what may stand in no block above the newest final one.
    fn take_expired(&mut self) -> Vec<(Hash, Terms)> {
        let later = self.deadlines.split_off(&(self.height + 1, Hash::default()));
        let due = std::mem::replace(&mut self.deadlines, later);
        due.into_iter().filter_map(|(_, hash)| Some((hash, self.remove(&hash)?))).collect()
    }

    fn status(&self, hash: &Hash, finalized_height: u64) -> SubmissionStatus {
        let mut status = SubmissionStatus {
            hash: (*hash).into(),
            final_height: self.height,
            finalized_height,
            since: self.finals.since(),
            ..SubmissionStatus::default()
        };
        if let Some((height, place)) = self.finals.place(hash) {
            let is_finalized = height <= finalized_height;
            status.state = if is_finalized { SubmissionState::Finalized } else { SubmissionState::Final };
            (status.height, status.place) = (Some(height), Some(place.into()));
        } else if let Some(terms) = self.terms(hash) {
            status.state = SubmissionState::Pending;
            status.expires = Some(terms.expires);
            status.copies = terms.is_durable.then(|| 1 + terms.holders.count());
            let found = self.including.iter().rev().find_map(|(height, places)| Some((*height, *places.get(hash)?)));
            if let Some((height, place)) = found {
                status.state = SubmissionState::Included;
                (status.height, status.place) = (Some(height), Some(place.into()));
            }
        } else if let Some((how, height)) = self.ended.get(hash) {
            let is_expired = how == Ended::Expired;
            status.state = if is_expired { SubmissionState::Expired } else { SubmissionState::Rejected };
            status.expires = Some(height);
        }
        status
    }

    /// What other validators accepted may take half of the room: the rest is for users of this one.
    fn check_peers(&self, limits: &Limits, demand: &BTreeMap<u64, (usize, usize)>) -> Result<(), SubmitError> {
        let (transactions, bytes) = total(demand);
        let (waiting, waiting_bytes) = self.from_peers;
        if waiting + transactions > limits.transactions / 2 || waiting_bytes + bytes > limits.bytes / 2 {
            let namespaces = self.queues.len();
            return Err(SubmitError::Full { transactions: waiting, bytes: waiting_bytes, namespaces });
        }
        Ok(())
    }

    fn check_room(&self, limits: &Limits, demand: &BTreeMap<u64, (usize, usize)>) -> Result<(), SubmitError> {
        let (transactions, bytes) = total(demand);
        let opened = demand.keys().filter(|namespace| !self.queues.contains_key(namespace)).count();
        let full = self.transactions + transactions > limits.transactions
            || self.bytes + bytes > limits.bytes
            || (opened > 0 && self.queues.len() + opened > limits.namespaces);
        if full {
            let (transactions, namespaces) = (self.transactions, self.queues.len());
            return Err(SubmitError::Full { transactions, bytes: self.bytes, namespaces });
        }
        for (namespace, (count, added)) in demand {
            let (transactions, bytes) = self.queues.get(namespace).map_or((0, 0), |q| (q.transactions, q.bytes));
            if transactions + count > limits.namespace_transactions || bytes + added > limits.namespace_bytes {
                return Err(SubmitError::NamespaceFull { namespace: *namespace, transactions, bytes });
            }
        }
        Ok(())
    }

    fn insert(&mut self, namespace: u64, hash: Hash, transaction: Transaction, terms: Terms) {
        self.count(namespace, transaction.bytes());
        let queue = self.queues.entry(namespace).or_default();
        queue.waiting.insert(terms.arrival, Item::Single(transaction));
        self.singles.insert(hash, Single { namespace, terms });
    }

    fn insert_bundle(&mut self, hash: Hash, members: Vec<(u64, Transaction)>, terms: Terms) {
        let namespaces = members.iter().map(|(namespace, _)| *namespace).collect();
        members.iter().for_each(|(namespace, transaction)| self.count(*namespace, transaction.bytes()));
        let bundle = Arc::new(Waiting { hash, members, namespaces, arrival: terms.arrival });
        for namespace in &bundle.namespaces {
            let queue = self.queues.entry(*namespace).or_default();
            queue.waiting.insert(bundle.arrival, Item::Bundle(bundle.clone()));
        }
        self.bundles.insert(hash, (bundle, terms));
    }

    fn count(&mut self, namespace: u64, bytes: usize) {
        (self.transactions, self.bytes) = (self.transactions + 1, self.bytes + bytes);
        let queue = self.queues.entry(namespace).or_default();
        (queue.transactions, queue.bytes) = (queue.transactions + 1, queue.bytes + bytes);
    }

    fn discount(&mut self, namespace: u64, bytes: usize) {
        (self.transactions, self.bytes) = (self.transactions - 1, self.bytes - bytes);
        let queue = self.queues.get_mut(&namespace).expect("what is counted is in a queue");
        (queue.transactions, queue.bytes) = (queue.transactions - 1, queue.bytes - bytes);
        if queue.transactions == 0 {
            self.queues.remove(&namespace);
        }
    }

    fn remove(&mut self, hash: &Hash) -> Option<Terms> {
        let before = (self.transactions, self.bytes);
        let terms = self.remove_queued(hash)?;
        self.unshared.remove(&terms.due());
        self.deadlines.remove(&(terms.expires, *hash));
        if terms.is_from_peer {
            let (transactions, bytes) = (before.0 - self.transactions, before.1 - self.bytes);
            self.from_peers = (self.from_peers.0 - transactions, self.from_peers.1 - bytes);
        }
        Some(terms)
    }

    fn remove_queued(&mut self, hash: &Hash) -> Option<Terms> {
        if let Some(Single { namespace, terms }) = self.singles.remove(hash) {
            if let Some(Item::Single(transaction)) = self.take(namespace, terms.arrival) {
                self.discount(namespace, transaction.bytes());
            }
            return Some(terms);
        }
        let (bundle, terms) = self.bundles.remove(hash)?;
        bundle.namespaces.iter().for_each(|namespace| drop(self.take(*namespace, bundle.arrival)));
        bundle.members.iter().for_each(|(namespace, transaction)| self.discount(*namespace, transaction.bytes()));
        Some(terms)
    }

    fn take(&mut self, namespace: u64, arrival: u64) -> Option<Item> {
        self.queues.get_mut(&namespace)?.waiting.remove(&arrival)
    }
}

/// A namespace while a proposal is put together.
struct Lane<'a> {
    namespace: u64,
    queue: btree_map::Values<'a, u64, Item>,
    chosen: Vec<Transaction>,
    /// Bytes that it got so far.
    taken: usize,
}

/// A proposal while it is put together.
struct Offer<'a> {
    ordered: &'a HashSet<Hash>,
    /// Ascending by namespace.
    lanes: Vec<Lane<'a>>,
    bundles: Vec<Bundle>,
    /// Namespaces in which the turn of a bundle has not come yet, by its arrival number.
    missing: HashMap<u64, usize>,
    /// Bytes, transactions and namespaces that may still be added.
    room: usize,
    transactions: usize,
    namespaces: usize,
}

impl<'a> Offer<'a> {
    fn new(state: &'a State, ordered: &'a HashSet<Hash>, room: usize) -> Self {
        let lane = |(namespace, queue): (&u64, &'a Queue)| {
            let (namespace, queue) = (*namespace, queue.waiting.values());
            Lane { namespace, queue, chosen: Vec::new(), taken: 0 }
        };
        Self {
            ordered,
            lanes: state.queues.iter().map(lane).collect(),
            bundles: Vec::new(),
            missing: HashMap::new(),
            room,
            // The protocol itself may add its own.
            transactions: TRANSACTIONS_MAX - SYSTEM_TRANSACTIONS_MAX,
            namespaces: NAMESPACES_MAX - 1,
        }
    }

    /// Serves the namespace with the fewest bytes until nothing fits any more.
    fn serve(&mut self, turn: u64) {
        let count = self.lanes.len().max(1) as u64;
        let tie = |place: usize| (place as u64 + count - turn % count) % count;
        let mut next: BinaryHeap<_> =
            (0..self.lanes.len()).map(|place| Reverse((0_usize, tie(place), place))).collect();
        while let Some(Reverse((taken, tie, place))) = next.pop() {
            // A bundle of another namespace may have added to this one since.
            let fresh = taken == self.lanes[place].taken;
            if !fresh || self.serve_lane(place) {
                next.push(Reverse((self.lanes[place].taken, tie, place)));
            }
        }
    }

    /// Takes the next transaction or bundle of a namespace; `false` if it has no more that fits.
    fn serve_lane(&mut self, place: usize) -> bool {
        let ordered = self.ordered;
        while let Some(item) = self.lanes[place].queue.next() {
            match item {
                Item::Single(transaction) if ordered.contains(&transaction.hash(self.lanes[place].namespace)) => {}
                Item::Single(transaction) => return self.add(&[(place, transaction)], 0),
                Item::Bundle(bundle) if ordered.contains(&bundle.hash) => {}
                Item::Bundle(bundle) => {
                    let missing = self.missing.entry(bundle.arrival).or_insert(bundle.namespaces.len());
                    *missing -= 1;
                    if *missing == 0 && self.add_bundle(bundle) {
                        return true;
                    }
                }
            }
        }
        false
    }

    fn add_bundle(&mut self, bundle: &'a Waiting) -> bool {
        let place = |namespace: u64| self.lanes.partition_point(|lane| lane.namespace < namespace);
        let members: Vec<_> = bundle.members.iter().map(|(namespace, t)| (place(*namespace), t)).collect();
        let position = |(number, (place, _)): (usize, &(usize, &Transaction))| {
            let before = members[..number].iter().filter(|(other, _)| other == place).count();
            let lane = &self.lanes[*place];
            Position { namespace: lane.namespace, index: (lane.chosen.len() + before) as u32 }
        };
        let positions = members.iter().enumerate().map(position).collect();
        let added = self.bundles.len() < BUNDLES_MAX && self.add(&members, bundle_bytes(members.len()));
        if added {
            self.bundles.push(Bundle { positions });
        }
        added
    }

    /// Adds transactions, with `extra` bytes beside them, to their namespaces, all or none.
    fn add(&mut self, members: &[(usize, &Transaction)], extra: usize) -> bool {
        let opened: BTreeSet<usize> =
            members.iter().map(|(place, _)| *place).filter(|place| self.lanes[*place].chosen.is_empty()).collect();
        let bytes: usize = members.iter().map(|(_, transaction)| transaction_bytes(transaction.bytes())).sum();
        let cost = bytes + extra + ENTRY_OVERHEAD_BYTES * opened.len();
        if cost > self.room || members.len() > self.transactions || opened.len() > self.namespaces {
            return false;
        }
        self.room -= cost;
        self.transactions -= members.len();
        self.namespaces -= opened.len();
        for place in opened {
            self.lanes[place].taken += ENTRY_OVERHEAD_BYTES;
        }
        for (place, transaction) in members {
            let lane = &mut self.lanes[*place];
            lane.taken += transaction_bytes(transaction.bytes());
            lane.chosen.push((*transaction).clone());
        }
        true
    }

    fn content(self) -> Content {
        let lanes = self.lanes.into_iter().filter(|lane| !lane.chosen.is_empty());
        let entries = lanes.map(|lane| Entry::of(lane.namespace, lane.chosen)).collect();
        Content { entries, bundles: self.bundles }
    }
}

#[cfg(test)]
mod tests;
