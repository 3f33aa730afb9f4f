//! Transactions that wait to be ordered: first in, first out within a namespace, fair between namespaces.
//!
//! When a block cannot take everything, the namespace that got the fewest bytes so far is served next, so that a busy
//! rollup cannot crowd out a quiet one. Nothing is dropped to make room: a full queue refuses, and says so.
//! Source of the fairness rule: max-min fair sharing by bytes, as in deficit round robin (Shreedhar, Varghese 1995).

use crate::block::{Entry, transaction_hash};
use crate::limits::{
    ENTRY_OVERHEAD_BYTES, Limits, RECENT_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_OVERHEAD_BYTES,
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, VecDeque};

type Hash = [u8; 32];

/// A transaction was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Empty or over the limit.
    #[error("a transaction has 1 to {TRANSACTION_BYTES_MAX} bytes, this one {bytes}")]
    Size {
        /// Its length.
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

#[derive(Default)]
struct Queue {
    /// By arrival number.
    waiting: BTreeMap<u64, (Hash, Bytes)>,
    bytes: usize,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<u64, Queue>,
    /// Where each waiting transaction is.
    known: HashMap<Hash, (u64, u64)>,
    bytes: usize,
    arrivals: u64,
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
        let hash = transaction_hash(namespace, &payload);
        let mut state = self.state.lock();
        if state.known.contains_key(&hash) || state.recent.contains(&hash) {
            return Ok(hash);
        }
        state.check_room(&self.limits, namespace, payload.len())?;
        state.insert(namespace, hash, payload);
        Ok(hash)
    }

    /// Transactions waiting.
    pub fn len(&self) -> usize {
        self.state.lock().known.len()
    }

    /// What a proposal may hold: entries sorted by namespace, without the transactions in `ordered`, counting at most
    /// `bytes_max`. `turn` decides which namespace comes first among equals.
    pub fn candidates(&self, ordered: &HashSet<Hash>, bytes_max: usize, turn: u64) -> Vec<Entry> {
        let state = self.state.lock();
        let count = state.queues.len().max(1) as u64;
        let mut waiting: Vec<_> = state
            .queues
            .iter()
            .map(|(namespace, queue)| {
                (*namespace, queue.waiting.values().filter(|(hash, _)| !ordered.contains(hash)).peekable(), Vec::new())
            })
            .collect();
        let mut next: BinaryHeap<_> = (0..waiting.len())
            .map(|position| Reverse((0_usize, (position as u64 + count - turn % count) % count, position)))
            .collect();
        let mut room = bytes_max;
        while let Some(Reverse((taken, tie, position))) = next.pop() {
            let (_, queue, chosen) = &mut waiting[position];
            let Some((_, payload)) = queue.peek() else { continue };
            let overhead = if chosen.is_empty() { ENTRY_OVERHEAD_BYTES } else { 0 };
            let cost = payload.len() + TRANSACTION_OVERHEAD_BYTES + overhead;
            if cost > room {
                continue;
            }
            room -= cost;
            chosen.push(payload.clone());
            queue.next();
            next.push(Reverse((taken + cost, tie, position)));
        }
        waiting
            .into_iter()
            .filter(|(_, _, transactions)| !transactions.is_empty())
            .map(|(namespace, _, transactions)| Entry { namespace, transactions })
            .collect()
    }

    /// Forgets transactions that the application rejected.
    pub fn reject(&self, hashes: &[Hash]) {
        let mut state = self.state.lock();
        hashes.iter().for_each(|hash| state.remove(hash));
    }

    /// Forgets the transactions of a final block, and remembers that they are final.
    pub fn finalized(&self, entries: &[Entry]) {
        let hashes: Vec<Hash> = entries.iter().flat_map(Entry::hashes).collect();
        let mut state = self.state.lock();
        for hash in hashes {
            state.remove(&hash);
            state.remember(hash);
        }
    }
}

impl State {
    fn check_room(&self, limits: &Limits, namespace: u64, bytes: usize) -> Result<(), SubmitError> {
        let queue = self.queues.get(&namespace);
        let full = self.known.len() >= limits.transactions
            || self.bytes + bytes > limits.bytes
            || (queue.is_none() && self.queues.len() >= limits.namespaces);
        if full {
            let (transactions, namespaces) = (self.known.len(), self.queues.len());
            return Err(SubmitError::Full { transactions, bytes: self.bytes, namespaces });
        }
        let (transactions, waiting) = queue.map_or((0, 0), |queue| (queue.waiting.len(), queue.bytes));
        if transactions >= limits.namespace_transactions || waiting + bytes > limits.namespace_bytes {
            return Err(SubmitError::NamespaceFull { namespace, transactions, bytes: waiting });
        }
        Ok(())
    }

    fn insert(&mut self, namespace: u64, hash: Hash, payload: Bytes) {
        self.arrivals += 1;
        self.bytes += payload.len();
        self.known.insert(hash, (namespace, self.arrivals));
        let queue = self.queues.entry(namespace).or_default();
        queue.bytes += payload.len();
        queue.waiting.insert(self.arrivals, (hash, payload));
    }

    fn remove(&mut self, hash: &Hash) {
        let Some((namespace, arrival)) = self.known.remove(hash) else { return };
        let queue = self.queues.get_mut(&namespace).expect("a known transaction is in a queue");
        let (_, payload) = queue.waiting.remove(&arrival).expect("a known transaction is in its queue");
        queue.bytes -= payload.len();
        self.bytes -= payload.len();
        if queue.waiting.is_empty() {
            self.queues.remove(&namespace);
        }
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

#[cfg(test)]
mod tests;
