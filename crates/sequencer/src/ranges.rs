//! Which heights are present, as disjoint inclusive ranges.

use std::collections::BTreeMap;

/// A set of heights. Neighbouring ranges are merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds a stored range, which must neither overlap nor touch one that is present.
    pub fn load(&mut self, start: u64, end: u64) {
        self.0.insert(start, end);
    }

    /// Adds one height.
    pub fn insert(&mut self, height: u64) {
        let start = match self.0.range(..=height).next_back() {
            Some((_, end)) if *end >= height => return,
            Some((start, end)) if *end + 1 == height => *start,
            _ => height,
        };
        let end = height.checked_add(1).and_then(|next| self.0.remove(&next)).unwrap_or(height);
        self.0.insert(start, end);
    }

    /// Adds all heights from `start` to `end`.
    pub fn fill(&mut self, start: u64, end: u64) {
        let before = start.checked_sub(1).and_then(|before| self.get(before)).or_else(|| self.get(start));
        let after = end.checked_add(1).and_then(|after| self.get(after)).or_else(|| self.get(end));
        let (start, end) = (before.map_or(start, |(s, _)| s), after.map_or(end, |(_, e)| e));
        self.0.retain(|first, _| !(start..=end).contains(first));
        self.0.insert(start, end);
    }

    /// The range that holds `height`.
    pub fn get(&self, height: u64) -> Option<(u64, u64)> {
        let (start, end) = self.0.range(..=height).next_back()?;
        (*end >= height).then_some((*start, *end))
    }

    /// Highest height.
    pub fn last(&self) -> Option<u64> {
        self.0.last_key_value().map(|(_, end)| *end)
    }

    /// End of the range that holds `height`, and start of the first range beyond `height` that does not.
    pub fn next_gap(&self, height: u64) -> (Option<u64>, Option<u64>) {
        let end = self.get(height).map(|(_, end)| end);
        let next = height.checked_add(1).and_then(|from| self.0.range(from..).next()).map(|(start, _)| *start);
        (end, next)
    }

    /// Up to `max` absent heights from `start` on that lie before a present one.
    pub fn missing(&self, start: u64, max: usize) -> Vec<u64> {
        let mut missing = Vec::new();
        let mut height = start;
        for (range_start, range_end) in self.from(start) {
            missing.extend((height..range_start).take(max - missing.len()));
            if missing.len() == max {
                break;
            }
            height = range_end.saturating_add(1);
        }
        missing
    }

    /// Ranges that hold or follow `height`, ascending.
    pub fn from(&self, height: u64) -> impl Iterator<Item = (u64, u64)> {
        let start = self.get(height).map_or(height, |(start, _)| start);
        self.0.range(start..).map(|(start, end)| (*start, *end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use commonware_storage::rmap::RMap;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_agree_with_a_reference(heights in proptest::collection::vec(0u64..60, 0..60), probe in 0u64..64) {
            let (mut ours, mut reference) = (Ranges::default(), RMap::new());
            for height in heights {
                ours.insert(height);
                reference.insert(height);
            }
            prop_assert_eq!(ours.get(probe), reference.get(probe));
            prop_assert_eq!(ours.last(), reference.last_index());
            prop_assert_eq!(ours.next_gap(probe), reference.next_gap(probe));
            prop_assert_eq!(ours.missing(probe, 5), reference.missing_items(probe, 5));
            let expected: Vec<_> = reference.iter_from(probe).map(|(start, end)| (*start, *end)).collect();
            prop_assert_eq!(ours.from(probe).collect::<Vec<_>>(), expected);
        }
    }

    proptest! {
        #[test]
        fn filling_is_adding_each(heights in proptest::collection::vec(0u64..60, 0..30), start in 0u64..60, length in 0u64..20) {
            let mut filled = Ranges::default();
            heights.into_iter().for_each(|height| filled.insert(height));
            let mut added = filled.clone();
            filled.fill(start, start + length);
            (start..=start + length).for_each(|height| added.insert(height));
            prop_assert_eq!(filled.from(0).collect::<Vec<_>>(), added.from(0).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_height_between_two_ranges_joins_them() {
        let mut ranges = Ranges::default();
        [1, 3, 2].into_iter().for_each(|height| ranges.insert(height));
        assert_eq!(ranges.get(1), Some((1, 3)));
        ranges.insert(u64::MAX);
        assert_eq!(ranges.next_gap(u64::MAX), (Some(u64::MAX), None));
    }
}
