//! The transactions of a block while it is put together, and the bundles among them.
//!
//! Within a namespace, order is the order of the list. The order of the whole block follows from its bundles: before
//! each, what stands before its transactions in their namespaces, by namespace; then the bundle, in its own order; at
//! the end the rest, by namespace. So a bundle is contiguous, and two bundles must meet in the same order in every
//! namespace that they share.

use crate::block::transaction_hash;
use crate::limits::ENTRY_OVERHEAD_BYTES;
use crate::payload::{entry_bytes, transaction_bytes};
use bytes::Bytes;
use proof::bundle::{Position, bundle_hash};
use std::collections::{BTreeMap, HashSet};
use std::sync::OnceLock;

/// Hash of a transaction or a bundle.
pub type Hash = [u8; 32];

/// An opaque transaction. Its hash is computed once, however often it is copied afterwards.
#[derive(Clone, Debug)]
pub struct Transaction {
    payload: Bytes,
    /// In the namespace of the entry that it is in.
    hash: OnceLock<Hash>,
}

impl Transaction {
    /// The transaction with its hash in `namespace`.
    pub(crate) fn new(namespace: u64, payload: Bytes) -> Self {
        let hash = OnceLock::from(transaction_hash(namespace, &payload));
        Self { payload, hash }
    }

    /// Its bytes.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Number of its bytes.
    pub fn bytes(&self) -> usize {
        self.payload.len()
    }

    /// Its hash as a transaction of `namespace`, which is always the same for one transaction.
    pub(crate) fn hash(&self, namespace: u64) -> Hash {
        *self.hash.get_or_init(|| transaction_hash(namespace, &self.payload))
    }
}

impl From<Bytes> for Transaction {
    fn from(payload: Bytes) -> Self {
        Self { payload, hash: OnceLock::new() }
    }
}

impl PartialEq for Transaction {
    fn eq(&self, other: &Self) -> bool {
        self.payload == other.payload
    }
}

impl Eq for Transaction {}

/// The transactions of one namespace in a block, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Namespace; 1 is the settlement chain.
    namespace: u64,
    transactions: Vec<Transaction>,
}

impl Entry {
    /// Transactions of `namespace`: at least one to stand in a block, each 1 byte to 1 MiB.
    pub fn new(namespace: u64, transactions: impl IntoIterator<Item = Bytes>) -> Self {
        Self { namespace, transactions: transactions.into_iter().map(Transaction::from).collect() }
    }

    pub(crate) fn of(namespace: u64, transactions: Vec<Transaction>) -> Self {
        Self { namespace, transactions }
    }

    /// Namespace; 1 is the settlement chain.
    pub fn namespace(&self) -> u64 {
        self.namespace
    }

    /// Its transactions, in order.
    pub fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    /// The bytes of its transactions, in order.
    pub fn payloads(&self) -> impl ExactSizeIterator<Item = &Bytes> + Clone {
        self.transactions.iter().map(Transaction::payload)
    }

    /// Bytes that it takes in a payload, tables included.
    pub fn payload_bytes(&self) -> usize {
        entry_bytes(self.transactions.iter().map(Transaction::bytes))
    }

    /// Bytes that the transactions at these positions would take in a payload if the namespace had no others.
    pub fn bytes_at(&self, positions: &[usize]) -> usize {
        entry_bytes(positions.iter().filter_map(|position| self.transactions.get(*position)).map(Transaction::bytes))
    }

    /// Those of these positions, from the first on, whose transactions take at most so many bytes in a payload, tables
    /// included.
    pub fn fitting(&self, positions: impl Iterator<Item = usize>, bytes_max: usize) -> Vec<usize> {
        let mut bytes = ENTRY_OVERHEAD_BYTES;
        let fits = |position: &usize| {
            bytes += self.transactions.get(*position).map_or(0, |transaction| transaction_bytes(transaction.bytes()));
            bytes <= bytes_max
        };
        positions.take_while(fits).collect()
    }

    /// Hashes of its transactions, in order.
    pub fn hashes(&self) -> impl ExactSizeIterator<Item = Hash> {
        self.transactions.iter().map(|transaction| transaction.hash(self.namespace))
    }
}

/// Transactions that are in a block together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Where its transactions stand, in its order (2..=64); those of one namespace follow on each other.
    pub positions: Vec<Position>,
}

/// The transactions of a block, not yet checked against the limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Transactions by namespace: ascending, without duplicates, none empty.
    pub entries: Vec<Entry>,
    /// Bundles among them, in the order of the block.
    pub bundles: Vec<Bundle>,
}

/// Bundles that a choice of transactions would tear apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} bundles would be torn apart", bundles.len())]
pub struct Torn {
    /// Their numbers in [`Content::bundles`], ascending.
    pub bundles: Vec<usize>,
}

impl Content {
    /// The transactions of `namespace`; `None` if there are none.
    pub fn entry(&self, namespace: u64) -> Option<&Entry> {
        let place = self.entries.binary_search_by_key(&namespace, Entry::namespace).ok()?;
        Some(&self.entries[place])
    }

    /// Name of a bundle of this content.
    pub fn bundle_hash(&self, bundle: &Bundle) -> Option<Hash> {
        bundle_hash_in(&self.entries, bundle)
    }

    /// Numbers of the bundles with at least `count` transactions in `namespace`.
    pub fn bundles_in(&self, namespace: u64, count: usize) -> Vec<usize> {
        let here = |bundle: &Bundle| bundle.positions.iter().filter(|position| position.namespace == namespace).count();
        (0..self.bundles.len()).filter(|number| here(&self.bundles[*number]) >= count).collect()
    }

    /// The content without these bundles, that is without all of their transactions.
    pub fn without(&self, bundles: &[usize]) -> Self {
        let gone: HashSet<Position> =
            bundles.iter().filter_map(|number| self.bundles.get(*number)).flat_map(|b| b.positions.clone()).collect();
        let kept = |entry: &Entry| {
            let stays = |index: &usize| !gone.contains(&at(entry.namespace, *index));
            (entry.namespace, (0..entry.transactions.len()).filter(stays).collect())
        };
        let order = self.entries.iter().map(kept).collect();
        self.rearranged(&order, |number| !bundles.contains(&number))
    }

    /// The content with the transactions of `namespace` replaced by those at the positions `chosen`, in that order. A
    /// bundle with a transaction that was not chosen leaves with its other ones. Fails if it had another one in this
    /// namespace that was chosen, if something was put between its transactions, or if it would come before a bundle
    /// that it came after: [`Content::without`] that bundle, choose again.
    ///
    /// # Panics
    /// When a position is chosen twice, or there is no transaction at it.
    pub fn choose(&self, namespace: u64, chosen: &[usize]) -> Result<Self, Torn> {
        let place: BTreeMap<usize, usize> = chosen.iter().enumerate().map(|(place, index)| (*index, place)).collect();
        let count = self.entry(namespace).map_or(0, |entry| entry.transactions.len());
        let distinct = place.len() == chosen.len() && place.last_key_value().is_none_or(|(last, _)| *last < count);
        assert!(distinct, "positions among {count} transactions are chosen once each: {chosen:?}");
        let (mut torn, mut leaving, mut cursor) = (Vec::new(), Vec::new(), 0);
        for (number, bundle) in self.bundles.iter().enumerate() {
            let here = bundle.positions.iter().filter(|position| position.namespace == namespace);
            let places: Vec<_> = here.map(|position| place.get(&(position.index as usize)).copied()).collect();
            match places.as_slice() {
                [] => {}
                absent if absent.iter().all(Option::is_none) => leaving.push(number),
                [Some(first), ..] if *first >= cursor && consecutive(&places) => cursor = first + places.len(),
                _ => torn.push(number),
            }
        }
        if !torn.is_empty() {
            return Err(Torn { bundles: torn });
        }
        let mut order: BTreeMap<u64, Vec<usize>> =
            self.entries.iter().map(|entry| (entry.namespace, (0..entry.transactions.len()).collect())).collect();
        order.insert(namespace, chosen.to_vec());
        for Position { namespace: other, index } in leaving.iter().flat_map(|number| &self.bundles[*number].positions) {
            order.entry(*other).or_default().retain(|kept| *kept != *index as usize);
        }
        Ok(self.rearranged(&order, |number| !leaving.contains(&number)))
    }

    /// The content without the transactions that `keep` refuses, asked of each in its namespace in order. A bundle with
    /// one of them leaves with its other ones.
    pub fn retain(self, mut keep: impl FnMut(u64, &Transaction) -> bool) -> Self {
        let mut gone: HashSet<Position> = HashSet::new();
        for entry in &self.entries {
            let refused = entry.transactions.iter().enumerate().filter(|(_, it)| !keep(entry.namespace, it));
            gone.extend(refused.map(|(index, _)| at(entry.namespace, index)));
        }
        if gone.is_empty() {
            return self;
        }
        let torn = |bundle: &Bundle| bundle.positions.iter().any(|position| gone.contains(position));
        let leaving: Vec<usize> = (0..self.bundles.len()).filter(|number| torn(&self.bundles[*number])).collect();
        gone.extend(leaving.iter().flat_map(|number| self.bundles[*number].positions.clone()));
        let kept = |entry: &Entry| {
            let stays = |index: &usize| !gone.contains(&at(entry.namespace, *index));
            (entry.namespace, (0..entry.transactions.len()).filter(stays).collect())
        };
        let order = self.entries.iter().map(kept).collect();
        self.rearranged(&order, |number| !leaving.contains(&number))
    }

    /// The content with `transactions` before all others of `namespace`.
    pub fn with_front(mut self, namespace: u64, transactions: Vec<Bytes>) -> Self {
        if transactions.is_empty() {
            return self;
        }
        let moved = transactions.len() as u32;
        let mut front: Vec<Transaction> =
            transactions.into_iter().map(|bytes| Transaction::new(namespace, bytes)).collect();
        match self.entries.binary_search_by_key(&namespace, Entry::namespace) {
            Ok(place) => {
                front.append(&mut self.entries[place].transactions);
                self.entries[place].transactions = front;
            }
            Err(place) => self.entries.insert(place, Entry::of(namespace, front)),
        }
        let positions = self.bundles.iter_mut().flat_map(|bundle| &mut bundle.positions);
        positions.filter(|position| position.namespace == namespace).for_each(|position| position.index += moved);
        self
    }

    /// Takes from each entry the transactions at the positions in `order`, and moves the bundles that stay along.
    fn rearranged(&self, order: &BTreeMap<u64, Vec<usize>>, stays: impl Fn(usize) -> bool) -> Self {
        let mut moved: BTreeMap<Position, u32> = BTreeMap::new();
        let mut entries = Vec::new();
        for entry in &self.entries {
            let kept = order.get(&entry.namespace).map_or(&[][..], Vec::as_slice);
            let old = |index: &usize| at(entry.namespace, *index);
            moved.extend(kept.iter().enumerate().map(|(new, index)| (old(index), new as u32)));
            let transactions: Vec<_> = kept.iter().map(|index| entry.transactions[*index].clone()).collect();
            if !transactions.is_empty() {
                entries.push(Entry { namespace: entry.namespace, transactions });
            }
        }
        let shift = |bundle: &Bundle| {
            let position = |old: &Position| Some(Position { index: *moved.get(old)?, ..*old });
            Some(Bundle { positions: bundle.positions.iter().map(position).collect::<Option<_>>()? })
        };
        let numbered = self.bundles.iter().enumerate();
        Self { bundles: numbered.filter(|(number, _)| stays(*number)).filter_map(|(_, b)| shift(b)).collect(), entries }
    }
}

fn at(namespace: u64, index: usize) -> Position {
    Position { namespace, index: index as u32 }
}

fn consecutive(places: &[Option<usize>]) -> bool {
    places.windows(2).all(|pair| matches!(pair, [Some(before), Some(after)] if before + 1 == *after))
        && places.iter().all(Option::is_some)
}

/// Name of a bundle among `entries`; `None` if a position is not there.
pub(crate) fn bundle_hash_in(entries: &[Entry], bundle: &Bundle) -> Option<Hash> {
    let hash = |position: &Position| {
        let place = entries.binary_search_by_key(&position.namespace, Entry::namespace).ok()?;
        let transaction = entries[place].transactions.get(position.index as usize)?;
        Some(transaction.hash(position.namespace).into())
    };
    let hashes = bundle.positions.iter().map(hash).collect::<Option<Vec<_>>>()?;
    Some(bundle_hash(&hashes).0)
}

#[cfg(test)]
mod tests;
