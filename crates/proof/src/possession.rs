//! Whether somebody still holds data that it committed to.
//!
//! A commitment is a SHA-256 Merkle tree over leaves of 256 bytes, and the size of the data. A verifier draws leaves
//! with randomness that nobody knew at the commitment; the prover answers with the bytes of those leaves and the roots
//! of the largest subtrees that contain none of them. Holding all but a part α of the data, a prover survives c
//! challenges with probability (1 − α)^c.
//!
//! The tree is that of RFC 9162 section 2.1, so that it grows by appending: `SHA-256(0x00 ‖ leaf)`,
//! `SHA-256(0x01 ‖ left ‖ right)`, the left subtree of n leaves holds the largest power of two below n. One proof for
//! many leaves names every hash once (the paths of five leaves out of 2³² share about ten).
//! Sources: RFC 9162; Ateniese et al., Provable Data Possession (2007), for the sampling.

use alloy_primitives::B256;
use sha2::{Digest, Sha256};

/// Bytes of a leaf; only the last one of the data may be shorter.
pub const LEAF_BYTES: usize = 256;
/// Bytes of the data under one commitment.
pub const SIZE_BYTES_MAX: u64 = 1 << 60;
/// Leaves that one proof may cover.
pub const CHALLENGES_MAX: usize = 256;

const LEAF_PREFIX: [u8; 1] = [0];
const NODE_PREFIX: [u8; 1] = [1];
const DRAW_DOMAIN: &[u8] = b"kumo/possession/draw/v1";

/// Why a proof shows nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PossessionError {
    /// No data, or more than one commitment may cover.
    #[error("data of {0} bytes, allowed are 1 to {SIZE_BYTES_MAX}")]
    Size(u64),
    /// No challenge, or too many.
    #[error("{0} challenges, allowed are 1 to {CHALLENGES_MAX}")]
    Challenges(usize),
    /// The numbers do not ascend, or one is beyond the data.
    #[error("leaf numbers must ascend and stay below {leaves}, number {index} does not")]
    Index {
        /// First number that does not fit.
        index: u64,
        /// Leaves of the data.
        leaves: u64,
    },
    /// Too few or too many bytes of leaves.
    #[error("{found} bytes of leaves, these challenges take {expected}")]
    Leaves {
        /// Bytes given.
        found: usize,
        /// Bytes that the challenged leaves have.
        expected: usize,
    },
    /// Too few or too many hashes.
    #[error("the path has {0} hashes, which is not what these challenges take")]
    Path(usize),
    /// The bytes are not what was committed to.
    #[error("the leaves give root {computed}, committed is {committed}")]
    Root {
        /// Recomputed.
        computed: B256,
        /// Committed.
        committed: B256,
    },
}

/// The claim that the prover holds some leaves, and its evidence.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'a> {
    /// Root of the tree.
    pub root: B256,
    /// Bytes of the data (1..=2⁶⁰).
    pub size: u64,
    /// Numbers of the challenged leaves, strictly ascending.
    pub indices: &'a [u64],
    /// The bytes of these leaves, one after the other.
    pub leaves: &'a [u8],
    /// Roots of the largest subtrees without any of these leaves, from left to right.
    pub path: &'a [B256],
}

/// What a prover sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The bytes of the challenged leaves.
    pub leaves: Vec<u8>,
    /// Roots of the largest subtrees without any of them, from left to right.
    pub path: Vec<B256>,
}

/// Leaves of data of `size` bytes.
pub const fn leaf_count(size: u64) -> u64 {
    size.div_ceil(LEAF_BYTES as u64)
}

/// Leaves to prove for `seed`: ascending, distinct, at most `count` (1..=256).
///
/// Number i is the first 16 bytes of `SHA-256(domain ‖ seed ‖ i)` modulo the number of leaves, which is as good as
/// uniform (off by less than 2⁻⁷⁰ of the mean); numbers drawn twice count once.
pub fn draw(seed: B256, size: u64, count: usize) -> Result<Vec<u64>, PossessionError> {
    check_bounds(size, count)?;
    let leaves = u128::from(leaf_count(size));
    let number = |index: u64| {
        let hash = Sha256::new().chain_update(DRAW_DOMAIN).chain_update(seed).chain_update(index.to_be_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        let (wide, _) = hash.split_first_chunk().expect("16 of 32 bytes");
        (u128::from_be_bytes(*wide) % leaves) as u64
    };
    let mut indices: Vec<u64> = (0..count as u64).map(number).collect();
    indices.sort_unstable();
    indices.dedup();
    Ok(indices)
}

impl Proof<'_> {
    /// `Ok` when all of the leaves are in the tree.
    pub fn verify(&self) -> Result<(), PossessionError> {
        check_challenges(self.size, self.indices)?;
        let expected = self.indices.iter().map(|index| leaf_bytes(self.size, *index)).sum();
        if self.leaves.len() != expected {
            return Err(PossessionError::Leaves { found: self.leaves.len(), expected });
        }
        let mut walk = Checker { size: self.size, indices: self.indices, leaves: self.leaves, path: self.path };
        let wrong_path = PossessionError::Path(self.path.len());
        let computed = walk.root(0, leaf_count(self.size)).ok_or_else(|| wrong_path.clone())?;
        if !walk.path.is_empty() {
            return Err(wrong_path);
        }
        if computed != self.root {
            return Err(PossessionError::Root { computed, committed: self.root });
        }
        Ok(())
    }
}

/// Answers a challenge about data of `size` bytes: `leaf` reads a leaf, `subtree` gives the root over `count` leaves
/// from the first on (for a tree that is kept, a look-up).
pub fn answer<E: From<PossessionError>>(
    size: u64,
    indices: &[u64],
    leaf: impl FnMut(u64) -> Result<Vec<u8>, E>,
    subtree: impl FnMut(u64, u64) -> Result<B256, E>,
) -> Result<Answer, E> {
    check_challenges(size, indices)?;
    let mut prover = Prover { indices, leaf, subtree, answer: Answer::default() };
    prover.visit(0, leaf_count(size))?;
    Ok(prover.answer)
}

/// Answers a challenge about data in memory.
pub fn prove(data: &[u8], indices: &[u64]) -> Result<Answer, PossessionError> {
    let slice = |first: u64, count: u64| {
        let start = first as usize * LEAF_BYTES;
        &data[start..data.len().min(start + count as usize * LEAF_BYTES)]
    };
    let leaf = |index| Ok(slice(index, 1).to_vec());
    answer(data.len() as u64, indices, leaf, |first, count| Ok(subtree_root(slice(first, count))))
}

/// Root of the tree over `data` (1..=2⁶⁰ bytes).
pub fn root(data: &[u8]) -> Result<B256, PossessionError> {
    check_bounds(data.len() as u64, 1)?;
    Ok(subtree_root(data))
}

/// Hash of one leaf.
pub fn leaf_hash(leaf: &[u8]) -> B256 {
    B256::from_slice(&Sha256::new().chain_update(LEAF_PREFIX).chain_update(leaf).finalize())
}

/// Hash of an inner node.
pub fn node_hash(left: B256, right: B256) -> B256 {
    B256::from_slice(&Sha256::new().chain_update(NODE_PREFIX).chain_update(left).chain_update(right).finalize())
}

fn subtree_root(data: &[u8]) -> B256 {
    if data.len() <= LEAF_BYTES {
        return leaf_hash(data);
    }
    let (left, right) = data.split_at(left_leaves(leaf_count(data.len() as u64)) as usize * LEAF_BYTES);
    node_hash(subtree_root(left), subtree_root(right))
}

/// Leaves of the left subtree of a tree of `count` (2..) leaves: the largest power of two below it.
fn left_leaves(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// Bytes of leaf `index` of data of `size` bytes.
fn leaf_bytes(size: u64, index: u64) -> usize {
    (size - index * LEAF_BYTES as u64).min(LEAF_BYTES as u64) as usize
}

fn check_bounds(size: u64, challenges: usize) -> Result<(), PossessionError> {
    if size == 0 || size > SIZE_BYTES_MAX {
        return Err(PossessionError::Size(size));
    }
    if challenges == 0 || challenges > CHALLENGES_MAX {
        return Err(PossessionError::Challenges(challenges));
    }
    Ok(())
}

fn check_challenges(size: u64, indices: &[u64]) -> Result<(), PossessionError> {
    check_bounds(size, indices.len())?;
    let leaves = leaf_count(size);
    let mut least = 0;
    for index in indices {
        if *index < least || *index >= leaves {
            return Err(PossessionError::Index { index: *index, leaves });
        }
        least = index + 1;
    }
    Ok(())
}

/// Whether the next challenged leaf is among `count` leaves from `first` on.
fn is_challenged(indices: &[u64], first: u64, count: u64) -> bool {
    indices.first().is_some_and(|index| *index < first + count)
}

/// What is left of a proof while it is walked from left to right. A subtree takes a hash or a leaf, so the walk is as
/// short as the proof.
struct Checker<'a> {
    size: u64,
    indices: &'a [u64],
    leaves: &'a [u8],
    path: &'a [B256],
}

impl Checker<'_> {
    /// Root over `count` leaves from `first` on; `None` when the path is too short.
    fn root(&mut self, first: u64, count: u64) -> Option<B256> {
        if !is_challenged(self.indices, first, count) {
            let (hash, rest) = self.path.split_first()?;
            self.path = rest;
            return Some(*hash);
        }
        if count == 1 {
            let (leaf, rest) = self.leaves.split_at_checked(leaf_bytes(self.size, first))?;
            (self.leaves, self.indices) = (rest, &self.indices[1..]);
            return Some(leaf_hash(leaf));
        }
        let left = left_leaves(count);
        Some(node_hash(self.root(first, left)?, self.root(first + left, count - left)?))
    }
}

struct Prover<'a, L, S> {
    indices: &'a [u64],
    leaf: L,
    subtree: S,
    answer: Answer,
}

impl<E, L: FnMut(u64) -> Result<Vec<u8>, E>, S: FnMut(u64, u64) -> Result<B256, E>> Prover<'_, L, S> {
    fn visit(&mut self, first: u64, count: u64) -> Result<(), E> {
        if !is_challenged(self.indices, first, count) {
            self.answer.path.push((self.subtree)(first, count)?);
        } else if count == 1 {
            self.indices = &self.indices[1..];
            self.answer.leaves.extend((self.leaf)(first)?);
        } else {
            let left = left_leaves(count);
            self.visit(first, left)?;
            self.visit(first + left, count - left)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
