//! Where the newest final transactions stand, so that a late copy is not ordered again and its state is known.
//!
//! Whole blocks are remembered and forgotten: never less than the newest two full blocks, whatever is in them.

use crate::content::{Entry, Hash};
use crate::limits::{RECENT_TRANSACTIONS_MAX, STATUS_BLOCKS_MAX};
use crate::payload::Payload;
use protocol::api::SubmissionPlace;
use std::collections::{HashMap, VecDeque};

/// Half of a hash: two that agree in it cost 2⁶⁴ hashes to find, and would only be the finder's own.
type Key = [u8; 16];

/// Where something final stands in its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Namespace, and position among its transactions.
    Transaction(u64, u32),
    /// Number among the bundles.
    Bundle(u32),
}

impl From<Place> for SubmissionPlace {
    fn from(place: Place) -> Self {
        match place {
            Place::Transaction(namespace, index) => Self::Transaction { namespace, index },
            Place::Bundle(number) => Self::Bundle { number },
        }
    }
}

/// The newest final transactions and bundles.
#[derive(Default)]
pub(crate) struct Finals {
    places: HashMap<Key, (u64, Place)>,
    /// Oldest first.
    order: VecDeque<Key>,
    /// Height, and how many of `order` belong to it.
    blocks: VecDeque<(u64, usize)>,
}

fn key(hash: &Hash) -> Key {
    *hash.first_chunk().expect("a hash has 32 bytes")
}

/// Everything with a hash in a block.
pub(crate) fn places(payload: &Payload) -> impl Iterator<Item = (Hash, Place)> {
    let transactions = payload.entries().iter().flat_map(|entry: &Entry| {
        let namespace = entry.namespace();
        entry.hashes().zip(0u32..).map(move |(hash, index)| (hash, Place::Transaction(namespace, index)))
    });
    transactions.chain(payload.bundle_hashes().zip(0u32..).map(|(hash, number)| (hash, Place::Bundle(number))))
}

const TRANSACTION: u8 = 0;
const BUNDLE: u8 = 1;

/// All places of a block: the hash, a byte for the kind, and namespace and position of a transaction or number of a bundle.
pub(crate) fn encode(payload: &Payload) -> Vec<u8> {
    let mut encoded = Vec::new();
    for (hash, place) in places(payload) {
        encoded.extend(hash);
        match place {
            Place::Transaction(namespace, index) => {
                encoded.push(TRANSACTION);
                encoded.extend(namespace.to_be_bytes());
                encoded.extend(index.to_be_bytes());
            }
            Place::Bundle(number) => {
                encoded.push(BUNDLE);
                encoded.extend(number.to_be_bytes());
            }
        }
    }
    encoded
}

/// What [`encode`] wrote; `None` if it is something else.
pub(crate) fn decode(mut encoded: &[u8]) -> Option<Vec<(Hash, Place)>> {
    fn take<'a, const N: usize>(from: &mut &'a [u8]) -> Option<&'a [u8; N]> {
        let (taken, rest) = from.split_first_chunk()?;
        *from = rest;
        Some(taken)
    }
    let mut places = Vec::new();
    while !encoded.is_empty() {
        let hash = *take(&mut encoded)?;
        let place = match take(&mut encoded)? {
            [TRANSACTION] => {
                let namespace = u64::from_be_bytes(*take(&mut encoded)?);
                Place::Transaction(namespace, u32::from_be_bytes(*take(&mut encoded)?))
            }
            [BUNDLE] => Place::Bundle(u32::from_be_bytes(*take(&mut encoded)?)),
            _ => return None,
        };
        places.push((hash, place));
    }
    Some(places)
}

impl Finals {
    /// Takes the next final block; one at or below the newest is not taken again.
    pub fn insert(&mut self, height: u64, places: impl Iterator<Item = (Hash, Place)>) {
        if self.blocks.back().is_some_and(|(newest, _)| *newest >= height) {
            return;
        }
        let before = self.order.len();
        for (hash, place) in places {
            let key = key(&hash);
            // What became final twice counts where it was first.
            self.places.entry(key).or_insert_with(|| {
                self.order.push_back(key);
                (height, place)
            });
        }
        self.blocks.push_back((height, self.order.len() - before));
        while self.blocks.len() > STATUS_BLOCKS_MAX as usize || self.order.len() > RECENT_TRANSACTIONS_MAX {
            let (_, count) = self.blocks.pop_front().expect("more than the maximum are in it");
            for key in self.order.drain(..count) {
                self.places.remove(&key);
            }
        }
    }

    /// Height and place of something final.
    pub fn place(&self, hash: &Hash) -> Option<(u64, Place)> {
        self.places.get(&key(hash)).copied()
    }

    /// Whether it is remembered as final.
    pub fn contains(&self, hash: &Hash) -> bool {
        self.places.contains_key(&key(hash))
    }

    /// First height whose transactions are remembered; 0 before the first block.
    pub fn since(&self) -> u64 {
        self.blocks.front().map_or(0, |(height, _)| *height)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Content;

    #[test]
    fn places_are_read_as_written_and_nothing_else_is() {
        let entries = vec![Entry::new(3, vec!["a".into(), "b".into()]), Entry::new(9, vec!["c".into()])];
        let payload = Payload::new(Content { entries, bundles: vec![] }).unwrap();
        let (expected, encoded) = (places(&payload).collect::<Vec<_>>(), encode(&payload));
        assert_eq!(expected.len(), 3);
        assert_eq!(decode(&encoded), Some(expected));
        assert_eq!(decode(&[]), Some(vec![]));
        assert!(
            (1..encoded.len()).filter(|length| decode(&encoded[..*length]).is_some()).count() < 3,
            "whole places only"
        );
        let mut other = encoded;
        other[32] = 7;
        assert_eq!(decode(&other), None);
    }
}
