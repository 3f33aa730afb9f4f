//! Proofs against offenders that wait for a block: one for each offender, and a named number of them.
//!
//! Anybody can make a key and let it contradict itself, so what peers send about a key that may have nothing to lose is
//! *doubtful* until the next final block tells; it waits apart, where it takes no room from what costs its signer something.

use std::collections::BTreeMap;

/// Doubtful proofs at a time; more are dropped, and whoever has them sends them again.
const DOUBTFUL_MAX: usize = 64;

/// No more proofs can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "evidence against {0} offenders waits for blocks, which is all that this validator keeps: send it again some blocks \
     later, or to another validator"
)]
pub struct Full(pub usize);

/// Proofs of one kind, by offender.
#[derive(Debug)]
pub(super) struct Waiting<K, P> {
    max: usize,
    certain: BTreeMap<K, P>,
    doubtful: BTreeMap<K, P>,
}

impl<K: Ord + Copy, P> Waiting<K, P> {
    /// At most `max` certain ones, of which `kept` are there already.
    pub fn resume(max: usize, kept: impl IntoIterator<Item = (K, P)>) -> Self {
        Self { max, certain: kept.into_iter().take(max).collect(), doubtful: BTreeMap::new() }
    }

    /// Certain ones first.
    pub fn iter(&self) -> impl Iterator<Item = &P> {
        self.certain.values().chain(self.doubtful.values())
    }

    /// Whether a certain proof against `key` would be kept, or is there already.
    pub fn has_room(&self, key: &K) -> Result<(), Full> {
        let has_room = self.certain.contains_key(key) || self.certain.len() < self.max;
        has_room.then_some(()).ok_or(Full(self.max))
    }

    /// Whether a certain proof against `key` is there.
    pub fn is_certain(&self, key: &K) -> bool {
        self.certain.contains_key(key)
    }

    /// Whether a doubtful proof against `key` would be kept.
    pub fn wants_doubtful(&self, key: &K) -> bool {
        let is_new = !self.certain.contains_key(key) && !self.doubtful.contains_key(key);
        is_new && self.doubtful.len() < DOUBTFUL_MAX
    }

    /// Keeps a proof against somebody who has something to lose, unless there is one: one is enough. Returns the one
    /// that is kept.
    pub fn keep(&mut self, key: K, proof: P) -> Result<&P, Full> {
        self.has_room(&key)?;
        self.doubtful.remove(&key);
        Ok(self.certain.entry(key).or_insert(proof))
    }

    /// Keeps a proof against somebody who may have nothing to lose.
    pub fn doubt(&mut self, key: K, proof: P) {
        if self.wants_doubtful(&key) {
            self.doubtful.insert(key, proof);
        }
    }

    /// Forgets everything that is of no use any more; what is of use is not doubtful any more.
    pub fn settle(&mut self, is_of_use: impl Fn(&K, &P) -> bool) {
        self.certain.retain(|key, proof| is_of_use(key, proof));
        for (key, proof) in std::mem::take(&mut self.doubtful) {
            if is_of_use(&key, &proof) && self.certain.len() < self.max {
                self.certain.insert(key, proof);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proofs(waiting: &Waiting<u64, &'static str>) -> Vec<&'static str> {
        waiting.iter().copied().collect()
    }

    #[test]
    fn one_proof_waits_for_each_offender_and_the_first_one_stays() {
        let mut waiting = Waiting::resume(2, [(1, "kept")]);
        assert_eq!(waiting.keep(1, "another"), Ok(&"kept"));
        assert_eq!(waiting.keep(2, "found"), Ok(&"found"));
        assert_eq!(waiting.keep(3, "too many"), Err(Full(2)));
        assert_eq!(waiting.keep(2, "again"), Ok(&"found"), "what is there is not refused");
        assert_eq!((waiting.has_room(&2), waiting.has_room(&3)), (Ok(()), Err(Full(2))));
        waiting.settle(|key, _| *key != 1);
        assert_eq!(waiting.keep(3, "now"), Ok(&"now"));
        assert_eq!(proofs(&waiting), ["found", "now"]);
    }

    #[test]
    fn doubtful_proofs_take_no_room_from_certain_ones() {
        let mut waiting = Waiting::resume(2, []);
        for key in 0..DOUBTFUL_MAX as u64 {
            assert!(waiting.wants_doubtful(&key));
            waiting.doubt(key, "strange");
            assert!(!waiting.wants_doubtful(&key), "once");
        }
        assert!(!waiting.wants_doubtful(&1_000));
        waiting.doubt(1_000, "one more");
        assert_eq!(waiting.iter().count(), DOUBTFUL_MAX);
        assert_eq!(waiting.keep(7, "certain"), Ok(&"certain"));
        assert!(waiting.is_certain(&7) && !waiting.is_certain(&6));
        assert_eq!((waiting.iter().count(), waiting.iter().next()), (DOUBTFUL_MAX, Some(&"certain")));
        waiting.settle(|key, _| *key < 9);
        assert_eq!(proofs(&waiting), ["strange", "certain"], "as many as there is room for");
        assert!(waiting.wants_doubtful(&1_000), "the others are forgotten");
    }
}
