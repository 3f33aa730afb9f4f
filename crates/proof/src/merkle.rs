//! Keccak Merkle trees with named positions.
//!
//! The shape is that of RFC 9162 section 2.1: the left subtree of n leaves holds the largest power of two below n. A
//! node is `keccak256(0x01 ‖ left ‖ right)`. Leaves come hashed already, by SHA-256 or with another first byte, so that
//! no leaf is a node. The root of no leaves is zero; since a root does not tell how many leaves are under it, whoever
//! publishes one commits to their number beside it.

use alloy_primitives::{B256, Keccak256};

const NODE: u8 = 0x01;

/// Hash of an inner node.
pub fn node(left: &B256, right: &B256) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update([NODE]);
    hasher.update(left);
    hasher.update(right);
    hasher.finalize()
}

/// Root over `leaves`; zero for none.
pub fn root(leaves: Vec<B256>) -> B256 {
    let mut level = leaves;
    while level.len() > 1 {
        level = parents(&level);
    }
    level.first().copied().unwrap_or_default()
}

fn parents(level: &[B256]) -> Vec<B256> {
    // The last of an odd number goes up as it is.
    level.chunks(2).map(|pair| if let [left, right] = pair { node(left, right) } else { pair[0] }).collect()
}

/// A tree with all its nodes, from which paths are read.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Leaves first; the last level is the root.
    levels: Vec<Vec<B256>>,
}

impl Tree {
    /// The tree over `leaves`.
    pub fn new(leaves: Vec<B256>) -> Self {
        let mut levels = vec![leaves];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            levels.push(parents(level));
        }
        Self { levels }
    }

    /// Its root; zero for no leaves.
    pub fn root(&self) -> B256 {
        self.levels.last().and_then(|level| level.first()).copied().unwrap_or_default()
    }

    /// Number of leaves.
    pub fn count(&self) -> usize {
        self.levels[0].len()
    }

    /// Siblings from a leaf up to the root. `index` is below [`Tree::count`].
    pub fn path(&self, index: usize) -> Vec<B256> {
        assert!(index < self.count(), "leaf {index} of {}", self.count());
        let sibling = |(height, level): (usize, &Vec<B256>)| level.get((index >> height) ^ 1).copied();
        self.levels.iter().enumerate().filter_map(sibling).collect()
    }
}

/// Hashes in the path of leaf `index` of `count`; 0 if there is no such leaf.
pub fn path_length(index: u32, count: u32) -> usize {
    let (mut index, mut last) = (index, count.saturating_sub(1));
    let mut length = 0;
    while last > 0 {
        length += usize::from(index & 1 == 1 || index < last);
        (index, last) = (index >> 1, last >> 1);
    }
    length
}

/// Root that follows from leaf `index` of `count` and its path; `None` if there is no such leaf, or the path has not
/// exactly its length.
pub fn climb(leaf: B256, index: u32, count: u32, path: &[B256]) -> Option<B256> {
    if index >= count {
        return None;
    }
    let (mut index, mut last, mut hash, mut siblings) = (index, count - 1, leaf, path.iter());
    while last > 0 {
        if index & 1 == 1 {
            hash = node(siblings.next()?, &hash);
        } else if index < last {
            hash = node(&hash, siblings.next()?);
        }
        (index, last) = (index >> 1, last >> 1);
    }
    siblings.next().is_none().then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::keccak256;

    fn leaves(count: u32) -> Vec<B256> {
        (0..count).map(|n| keccak256(n.to_be_bytes())).collect()
    }

    /// The definition of RFC 9162, word for word.
    fn recursive(leaves: &[B256]) -> B256 {
        match leaves {
            [] => B256::ZERO,
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                keccak256([&[1], recursive(left).as_slice(), recursive(right).as_slice()].concat())
            }
        }
    }

    #[test]
    fn roots_are_those_of_the_definition() {
        for count in 0..70 {
            let leaves = leaves(count);
            assert_eq!(root(leaves.clone()), recursive(&leaves), "{count} leaves");
            assert_eq!(Tree::new(leaves.clone()).root(), recursive(&leaves), "{count} leaves");
        }
    }

    #[test]
    fn every_leaf_has_one_path_and_one_place() {
        for count in 1..40 {
            let tree = Tree::new(leaves(count));
            for index in 0..count {
                let (leaf, path) = (leaves(count)[index as usize], tree.path(index as usize));
                assert_eq!(path.len(), path_length(index, count));
                assert_eq!(climb(leaf, index, count, &path), Some(tree.root()));
                for other in (0..count + 2).filter(|other| *other != index) {
                    assert_ne!(climb(leaf, other, count, &path), Some(tree.root()), "{index} as {other} of {count}");
                }
                let longer = [path.as_slice(), &[B256::ZERO]].concat();
                assert_eq!(climb(leaf, index, count, &longer), None);
                if let Some((_, shorter)) = path.split_last() {
                    assert_eq!(climb(leaf, index, count, shorter), None);
                }
            }
        }
    }

    #[test]
    fn no_leaf_of_nothing() {
        assert_eq!(climb(B256::ZERO, 0, 0, &[]), None);
        assert_eq!(path_length(0, 0), 0);
        assert_eq!(path_length(0, 1), 0);
        assert_eq!(path_length(u32::MAX - 1, u32::MAX), 31);
    }
}
