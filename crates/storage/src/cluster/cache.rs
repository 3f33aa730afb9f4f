//! What was read lately, and gates so that many readers of one thing fetch it once.

use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use tokio::sync::OwnedMutexGuard;

/// Least weight of an entry, so that the number of entries is bounded too.
const ENTRY_BYTES_MIN: usize = 1024;

struct Entry<V> {
    value: Arc<V>,
    bytes: usize,
    used_at: u64,
}

/// A cache that forgets what was used least recently once it holds more than `bytes_max`.
pub(super) struct Cache<K, V> {
    bytes_max: usize,
    bytes: usize,
    tick: u64,
    entries: HashMap<K, Entry<V>>,
    by_use: BTreeMap<u64, K>,
}

impl<K: Clone + Eq + Hash, V> Cache<K, V> {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, tick: 0, entries: HashMap::new(), by_use: BTreeMap::new() }
    }

    pub(super) fn get(&mut self, key: &K) -> Option<Arc<V>> {
        self.tick += 1;
        let entry = self.entries.get_mut(key)?;
        self.by_use.remove(&entry.used_at);
        self.by_use.insert(self.tick, key.clone());
        entry.used_at = self.tick;
        Some(entry.value.clone())
    }

    /// Keeps a value of that many bytes; one that is larger than the whole cache is not kept.
    pub(super) fn insert(&mut self, key: K, value: Arc<V>, bytes: usize) {
        self.remove(&key);
        let bytes = bytes.max(ENTRY_BYTES_MIN);
        if bytes > self.bytes_max {
            return;
        }
        self.tick += 1;
        self.bytes += bytes;
        self.by_use.insert(self.tick, key.clone());
        self.entries.insert(key, Entry { value, bytes, used_at: self.tick });
        while self.bytes > self.bytes_max {
            let (_, oldest) = self.by_use.first_key_value().expect("bytes are in entries");
            let oldest = oldest.clone();
            self.remove(&oldest);
        }
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
            self.by_use.remove(&entry.used_at);
        }
    }
}

type Gate = Arc<tokio::sync::Mutex<()>>;

/// One gate per key that somebody is at.
pub(super) struct Gates<K: Clone + Eq + Hash>(Mutex<HashMap<K, Gate>>);

impl<K: Clone + Eq + Hash> Default for Gates<K> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

/// Held by the one who works on a key. The gate goes when the last one leaves it.
pub(super) struct Turn<'a, K: Clone + Eq + Hash> {
    gates: &'a Gates<K>,
    key: K,
    guard: Option<OwnedMutexGuard<()>>,
}

impl<K: Clone + Eq + Hash> Gates<K> {
    /// Waits until nobody else works on `key`.
    pub(super) async fn enter(&self, key: K) -> Turn<'_, K> {
        let mut turn = Turn { gates: self, key: key.clone(), guard: None };
        let gate = self.0.lock().entry(key).or_default().clone();
        turn.guard = Some(gate.lock_owned().await);
        turn
    }
}

impl<K: Clone + Eq + Hash> Drop for Turn<'_, K> {
    fn drop(&mut self) {
        self.guard = None;
        let mut gates = self.gates.0.lock();
        if gates.get(&self.key).is_some_and(|gate| Arc::strong_count(gate) == 1) {
            gates.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut cache = Cache::new(2 * ENTRY_BYTES_MIN);
        cache.insert(1, Arc::new('a'), 1);
        cache.insert(2, Arc::new('b'), 1);
        assert!(cache.get(&1).is_some());
        cache.insert(3, Arc::new('c'), 1);
        assert_eq!(cache.get(&2), None);
        assert_eq!(cache.get(&1).as_deref(), Some(&'a'));
        assert_eq!(cache.get(&3).as_deref(), Some(&'c'));
    }

    #[test]
    fn a_value_larger_than_the_cache_is_not_kept() {
        let mut cache = Cache::new(4096);
        cache.insert(1, Arc::new(()), 4096);
        cache.insert(2, Arc::new(()), 4097);
        assert!(cache.get(&1).is_some());
        assert!(cache.get(&2).is_none());
    }

    #[test]
    fn replacing_an_entry_does_not_count_it_twice() {
        let mut cache = Cache::new(4096);
        for _ in 0..10 {
            cache.insert(1, Arc::new(()), 4000);
        }
        assert_eq!((cache.bytes, cache.by_use.len()), (4000, 1));
    }

    #[tokio::test]
    async fn a_gate_lets_one_in_at_a_time_and_goes_with_the_last() {
        let gates = Gates::default();
        let first = gates.enter(7).await;
        let second = gates.enter(7);
        tokio::pin!(second);
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        drop(second.await);
        assert!(gates.0.lock().is_empty());
    }

    #[tokio::test]
    async fn leaving_the_queue_leaves_no_gate_behind() {
        let gates = Gates::default();
        let first = gates.enter(7).await;
        {
            let second = gates.enter(7);
            tokio::pin!(second);
            assert!(futures::poll!(&mut second).is_pending());
        }
        drop(first);
        assert!(gates.0.lock().is_empty());
    }
}
