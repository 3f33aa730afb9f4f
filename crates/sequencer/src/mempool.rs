//! Transactions and bundles that wait to be ordered: first in, first out within a namespace, fair between namespaces.
//!
//! When a block cannot take everything, the namespace that got the fewest bytes so far is served next, so that a busy
//! rollup cannot crowd out a quiet one. A bundle is offered, whole, when its turn has come in all of its namespaces: it
//! overtakes nothing, and what stands behind it does not wait for it. Nothing is dropped to make room: a full queue
//! refuses, and says so.
//! Source of the fairness rule: max-min fair sharing by bytes, as in deficit round robin (Shreedhar, Varghese 1995).

use crate::content::{Bundle, Content, Entry, Hash, Transaction};
use crate::limits::{
    BUNDLES_MAX, ENTRY_OVERHEAD_BYTES, Limits, NAMESPACES_MAX, PAYLOAD_OVERHEAD_BYTES, RECENT_TRANSACTIONS_MAX,
    TRANSACTION_BYTES_MAX, TRANSACTIONS_MAX,
};
use crate::payload::{Payload, bundle_bytes, transaction_bytes};
use bytes::Bytes;
use parking_lot::Mutex;
use proof::bundle::{BUNDLE_BYTES_MAX, MEMBERS_MAX, MEMBERS_MIN, Position, bundle_hash, check_size};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque, btree_map};
use std::sync::Arc;

/// A transaction or a bundle was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
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
    /// The validator has stopped.
    #[error("the validator has stopped")]
    Stopped,
}

/// A bundle that waits.
struct Waiting {
    hash: Hash,
    /// Namespace and transaction, in its order.
    members: Vec<(u64, Transaction)>,
    /// Its namespaces.
    namespaces: BTreeSet<u64>,
    arrival: u64,
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

#[derive(Default)]
struct State {
    queues: BTreeMap<u64, Queue>,
    /// Where each waiting transaction that is in no bundle is.
    singles: HashMap<Hash, (u64, u64)>,
    bundles: HashMap<Hash, Arc<Waiting>>,
    transactions: usize,
    bytes: usize,
    arrivals: u64,
    /// Transactions and bundles that became final lately.
    recent: HashSet<Hash>,
    recent_order: VecDeque<Hash>,
}

/// The waiting transactions of one validator.
pub(crate) struct Mempool {
    limits: Limits,
    state: Mutex<State>,
}

impl Mempool {
    pub fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// Queues a transaction and returns its hash. One that waits already, or became final lately, is not queued twice.
    pub fn submit(&self, namespace: u64, payload: Bytes) -> Result<Hash, SubmitError> {
        if payload.is_empty() || payload.len() > TRANSACTION_BYTES_MAX {
            return Err(SubmitError::Size { bytes: payload.len() });
        }
        let transaction = Transaction::new(namespace, payload);
        let hash = transaction.hash(namespace);
        let mut state = self.state.lock();
        if !state.knows(&hash) {
            state.check_room(&self.limits, &BTreeMap::from([(namespace, (1, transaction.bytes()))]))?;
            state.insert(namespace, hash, transaction);
        }
        Ok(hash)
    }

    /// Queues transactions that must be ordered together, and returns the name of the bundle. The same bundle is queued
    /// once. Its transactions may also wait alone, or be final: the bundle has them once more.
    pub fn submit_bundle(&self, members: Vec<(u64, Bytes)>) -> Result<Hash, SubmitError> {
        if check_size(members.iter().map(|(_, payload)| payload.len())).is_err() {
            let bytes = members.iter().map(|(_, payload)| payload.len()).sum();
            return Err(SubmitError::Bundle { transactions: members.len(), bytes });
        }
        let hashed = |(namespace, payload)| (namespace, Transaction::new(namespace, payload));
        let members: Vec<(u64, Transaction)> = members.into_iter().map(hashed).collect();
        let hashes: Vec<_> = members.iter().map(|(namespace, t)| t.hash(*namespace).into()).collect();
        let hash = bundle_hash(&hashes).0;
        let mut state = self.state.lock();
        if !state.knows(&hash) {
            state.check_room(&self.limits, &demand(&members))?;
            state.insert_bundle(hash, members);
        }
        Ok(hash)
    }

    /// Transactions waiting, those in bundles included.
    pub fn len(&self) -> usize {
        self.state.lock().transactions
    }

    /// What a proposal may hold: without what is in `ordered`, at most `bytes_max` encoded. `turn` decides which
    /// namespace comes first among equals.
    pub fn candidates(&self, ordered: &HashSet<Hash>, bytes_max: usize, turn: u64) -> Content {
        let state = self.state.lock();
        let mut offer = Offer::new(&state, ordered, bytes_max.saturating_sub(PAYLOAD_OVERHEAD_BYTES));
        offer.serve(turn);
        offer.content()
    }

    /// Forgets transactions and bundles that the application rejected.
    pub fn reject(&self, hashes: &[Hash]) {
        let mut state = self.state.lock();
        hashes.iter().for_each(|hash| state.remove(hash));
    }

    /// Forgets the transactions and bundles of a final block, and remembers that they are final.
    pub fn finalized(&self, payload: &Payload) {
        let hashes = payload.entries().iter().flat_map(Entry::hashes).chain(payload.bundle_hashes());
        let hashes: Vec<Hash> = hashes.collect();
        let mut state = self.state.lock();
        for hash in hashes {
            state.remove(&hash);
            state.remember(hash);
        }
    }
}

/// Transactions and bytes by namespace.
fn demand(members: &[(u64, Transaction)]) -> BTreeMap<u64, (usize, usize)> {
    let mut demand = BTreeMap::<u64, (usize, usize)>::new();
    for (namespace, transaction) in members {
        let (count, bytes) = demand.entry(*namespace).or_default();
        (*count, *bytes) = (*count + 1, *bytes + transaction.bytes());
    }
    demand
}

impl State {
    fn knows(&self, hash: &Hash) -> bool {
        self.singles.contains_key(hash) || self.bundles.contains_key(hash) || self.recent.contains(hash)
    }

    fn check_room(&self, limits: &Limits, demand: &BTreeMap<u64, (usize, usize)>) -> Result<(), SubmitError> {
        let transactions: usize = demand.values().map(|(count, _)| count).sum();
        let bytes: usize = demand.values().map(|(_, bytes)| bytes).sum();
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

    fn insert(&mut self, namespace: u64, hash: Hash, transaction: Transaction) {
        self.arrivals += 1;
        self.singles.insert(hash, (namespace, self.arrivals));
        self.count(namespace, transaction.bytes());
        let queue = self.queues.entry(namespace).or_default();
        queue.waiting.insert(self.arrivals, Item::Single(transaction));
    }

    fn insert_bundle(&mut self, hash: Hash, members: Vec<(u64, Transaction)>) {
        self.arrivals += 1;
        let namespaces = members.iter().map(|(namespace, _)| *namespace).collect();
        members.iter().for_each(|(namespace, transaction)| self.count(*namespace, transaction.bytes()));
        let bundle = Arc::new(Waiting { hash, members, namespaces, arrival: self.arrivals });
        for namespace in &bundle.namespaces {
            let queue = self.queues.entry(*namespace).or_default();
            queue.waiting.insert(bundle.arrival, Item::Bundle(bundle.clone()));
        }
        self.bundles.insert(hash, bundle);
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

    fn remove(&mut self, hash: &Hash) {
        if let Some((namespace, arrival)) = self.singles.remove(hash) {
            if let Some(Item::Single(transaction)) = self.take(namespace, arrival) {
                self.discount(namespace, transaction.bytes());
            }
        } else if let Some(bundle) = self.bundles.remove(hash) {
            bundle.namespaces.iter().for_each(|namespace| drop(self.take(*namespace, bundle.arrival)));
            bundle.members.iter().for_each(|(namespace, transaction)| self.discount(*namespace, transaction.bytes()));
        }
    }

    fn take(&mut self, namespace: u64, arrival: u64) -> Option<Item> {
        self.queues.get_mut(&namespace)?.waiting.remove(&arrival)
    }

    fn remember(&mut self, hash: Hash) {
        if !self.recent.insert(hash) {
            return;
        }
        self.recent_order.push_back(hash);
        if self.recent_order.len() > RECENT_TRANSACTIONS_MAX {
            let oldest = self.recent_order.pop_front().expect("more than the maximum are in it");
            self.recent.remove(&oldest);
        }
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
            transactions: TRANSACTIONS_MAX,
            namespaces: NAMESPACES_MAX,
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
