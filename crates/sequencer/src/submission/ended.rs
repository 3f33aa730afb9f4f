//! Submissions that ended without becoming final: a bounded memory of the newest ones.

use crate::content::Hash;
use crate::limits::ENDED_SUBMISSIONS_MAX;
use std::collections::{HashMap, VecDeque};

/// How a submission ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It became final.
    Final,
    /// It was in no block up to its last height.
    Expired,
    /// The application can never include it.
    Rejected,
}

/// The newest that expired or were rejected.
#[derive(Default)]
pub(crate) struct EndedLog {
    endings: HashMap<Hash, (Ended, u64)>,
    /// Oldest first; what was submitted again is still in it.
    order: VecDeque<(Hash, u64)>,
}

impl EndedLog {
    /// Remembers how something ended, and at which height.
    pub fn insert(&mut self, hash: Hash, ending: Ended, height: u64) {
        self.endings.insert(hash, (ending, height));
        self.order.push_back((hash, height));
        if self.order.len() > ENDED_SUBMISSIONS_MAX {
            let (oldest, at) = self.order.pop_front().expect("more than the maximum are in it");
            if self.endings.get(&oldest).is_some_and(|(_, height)| *height == at) {
                self.endings.remove(&oldest);
            }
        }
    }

    /// Forgets something that was submitted again, or became final after all.
    pub fn remove(&mut self, hash: &Hash) {
        self.endings.remove(hash);
    }

    /// How it ended, and at which height.
    pub fn get(&self, hash: &Hash) -> Option<(Ended, u64)> {
        self.endings.get(hash).copied()
    }

    /// Everything remembered, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Hash, Ended, u64)> {
        self.order.iter().filter_map(|(hash, at)| {
            let (ending, height) = self.endings.get(hash)?;
            (height == at).then_some((*hash, *ending, *height))
        })
    }
}
