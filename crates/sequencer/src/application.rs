//! The seam between ordering and execution.
//!
//! The sequencer orders opaque bytes; an [`Application`] gives them a meaning. A validator asks it to build a proposal,
//! to judge a block before the vote, and hands it every final block once it is final.
//!
//! Calls come from blocking threads. `propose` and `verify` may overlap each other, since views overlap; `finalized`
//! never overlaps anything. Between two `finalized` calls, [`Application::finalized_height`] must not change.

use crate::block::{Block, Entry};
use bytes::Bytes;
use std::sync::Arc;

/// What a proposal has to build on.
#[derive(Clone, Debug)]
pub struct Propose<'a> {
    /// Blocks after the newest final one, oldest first, up to and including the parent; empty if the parent is final.
    pub ancestors: &'a [Arc<Block>],
    /// The parent.
    pub parent: &'a Block,
    /// Time of the new block, Unix milliseconds.
    pub timestamp_millis: u64,
    /// Randomness of the new block.
    pub randomness: [u8; 32],
    /// Waiting transactions that are in no ancestor, sorted by namespace, within the size of a proposal.
    pub candidates: Vec<Entry>,
}

impl Propose<'_> {
    /// Height of the new block.
    pub fn height(&self) -> u64 {
        self.parent.height + 1
    }
}

/// What the application wants in the block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proposal {
    /// Entries sorted by namespace without duplicates, none empty: what stays of the candidates.
    pub entries: Vec<Entry>,
    /// Commitment to the outcome, at most [`COMMITMENT_BYTES_MAX`](crate::limits::COMMITMENT_BYTES_MAX) bytes.
    pub commitment: Bytes,
    /// Hashes of candidates that can never be included and leave the mempool.
    pub rejected: Vec<[u8; 32]>,
}

/// Gives meaning to what is ordered.
pub trait Application: Send + Sync + 'static {
    /// Commitment of block 0; the same on every validator.
    fn genesis_commitment(&self) -> Bytes;

    /// Chooses and commits to the content of a new block; `None` gives the turn away.
    fn propose(&self, request: Propose<'_>) -> Option<Proposal>;

    /// Whether `block` is valid on `ancestors` (as in [`Propose::ancestors`]). Must be deterministic: the answer
    /// decides the vote. Signatures, sizes, order, time and randomness are checked before.
    fn verify(&self, ancestors: &[Arc<Block>], block: &Block) -> bool;

    /// Takes the next final block; durable when it returns `Ok`. An error stops the validator. A validator that catches
    /// up takes blocks that it was never asked to verify: a quorum did.
    fn finalized(&self, block: &Block) -> Result<(), String>;

    /// Height of the newest block that [`Application::finalized`] took durably; 0 at genesis. Blocks up to it are not
    /// handed over again.
    fn finalized_height(&self) -> u64;
}

/// An application for rollups that execute elsewhere: takes every candidate as it is and accepts every block whose
/// commitment is the one of genesis.
#[derive(Debug, Default)]
pub struct OrderOnly {
    height: std::sync::atomic::AtomicU64,
}

impl Application for OrderOnly {
    fn genesis_commitment(&self) -> Bytes {
        Bytes::new()
    }

    fn propose(&self, request: Propose<'_>) -> Option<Proposal> {
        Some(Proposal { entries: request.candidates, ..Proposal::default() })
    }

    fn verify(&self, _ancestors: &[Arc<Block>], block: &Block) -> bool {
        block.commitment.is_empty()
    }

    fn finalized(&self, block: &Block) -> Result<(), String> {
        self.height.store(block.height, std::sync::atomic::Ordering::Release);
        Ok(())
    }

    fn finalized_height(&self) -> u64 {
        self.height.load(std::sync::atomic::Ordering::Acquire)
    }
}

/// Takes the entry of `namespace` out of `candidates`: what an application that executes one namespace does before it
/// passes the other ones through unchanged.
pub fn take_namespace(candidates: &mut Vec<Entry>, namespace: u64) -> Option<Entry> {
    let position = candidates.binary_search_by_key(&namespace, |entry| entry.namespace).ok()?;
    Some(candidates.remove(position))
}

/// Puts `entry` back in its place, unless it is empty. The namespace must not be there.
pub fn put_namespace(entries: &mut Vec<Entry>, entry: Entry) {
    if entry.transactions.is_empty() {
        return;
    }
    let position = entries.partition_point(|other| other.namespace < entry.namespace);
    entries.insert(position, entry);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(namespace: u64) -> Entry {
        Entry { namespace, transactions: vec![Bytes::from_static(b"t")] }
    }

    #[test]
    fn a_namespace_taken_out_goes_back_to_its_place() {
        let all = vec![entry(1), entry(5), entry(9)];
        let mut candidates = all.clone();
        assert_eq!(take_namespace(&mut candidates, 4), None);
        let taken = take_namespace(&mut candidates, 5).unwrap();
        assert_eq!(candidates, vec![entry(1), entry(9)]);
        put_namespace(&mut candidates, taken);
        assert_eq!(candidates, all);
    }

    #[test]
    fn an_emptied_namespace_is_not_put_back() {
        let mut entries = vec![entry(2)];
        put_namespace(&mut entries, Entry { namespace: 1, transactions: vec![] });
        assert_eq!(entries, vec![entry(2)]);
    }
}
