//! A bounded map that keeps what was used recently.
//!
//! Two generations: a hit in the older one moves the entry to the younger one, and when the younger one is full the
//! older one is dropped. It needs no list and forgets at most what was not used during one whole generation.

use alloy_primitives::map::HashMap;
use parking_lot::Mutex;
use std::hash::Hash;

/// Bounded, shared, approximately least-recently-used.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    half: usize,
    generations: Mutex<Generations<K, V>>,
}

#[derive(Debug)]
struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Copy + Eq + Hash, V: Clone> Cache<K, V> {
    /// Holds at most `entries_max` (at least 2) entries.
    pub(crate) fn new(entries_max: usize) -> Self {
        let generations = Generations { young: HashMap::default(), old: HashMap::default() };
        Self { half: (entries_max / 2).max(1), generations: Mutex::new(generations) }
    }

    /// The value of `key`, if it is remembered.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let mut generations = self.generations.lock();
        if let Some(value) = generations.young.get(key) {
            return Some(value.clone());
        }
        let value = generations.old.remove(key)?;
        generations.insert(self.half, *key, value.clone());
        Some(value)
    }

    /// Remembers a value.
    pub(crate) fn insert(&self, key: K, value: V) {
        self.generations.lock().insert(self.half, key, value);
    }
}

impl<K: Eq + Hash, V> Generations<K, V> {
    fn insert(&mut self, half: usize, key: K, value: V) {
        if self.young.len() >= half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_holds_more_than_its_limit() {
        let cache = Cache::new(8);
        for key in 0..100 {
            cache.insert(key, key);
            let generations = cache.generations.lock();
            assert!(generations.young.len() + generations.old.len() <= 8);
        }
        assert_eq!(cache.get(&99), Some(99));
        assert_eq!(cache.get(&0), None);
    }

    #[test]
    fn what_is_used_stays() {
        let cache = Cache::new(8);
        cache.insert(1_000, 1);
        for key in 0..100 {
            cache.insert(key, 0);
            assert_eq!(cache.get(&1_000), Some(1), "after {key}");
        }
    }
}
