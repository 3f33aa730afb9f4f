//! Executed blocks above the head, not final yet.

use crate::{BlockRecord, ChainError, state::Overlay};
use alloy_primitives::{B256, map::B256Map};
use std::{collections::VecDeque, sync::Arc};

/// Pending blocks kept; beyond it the oldest block nobody built on is forgotten (and verified again when needed).
pub(crate) const PENDING_MAX: usize = 128;

/// A pending block and its effect.
#[derive(Clone)]
pub(crate) struct PendingBlock {
    pub record: Arc<BlockRecord>,
    pub overlay: Arc<Overlay>,
}

/// Pending blocks by hash: every one descends from the head.
#[derive(Default)]
pub(crate) struct Pending {
    blocks: B256Map<PendingBlock>,
    arrival: VecDeque<B256>,
}

impl Pending {
    pub(crate) fn get(&self, hash: &B256) -> Option<&PendingBlock> {
        self.blocks.get(hash)
    }

    /// Keeps a block. Fails when there is no room because each pending block has been built on.
    pub(crate) fn insert(&mut self, block: PendingBlock) -> Result<(), ChainError> {
        let hash = block.record.hash;
        if self.blocks.contains_key(&hash) {
            return Ok(());
        }
        if self.blocks.len() >= PENDING_MAX {
            let spare = self.oldest_leaf(block.record.header.parent_hash);
            self.remove(spare.ok_or(ChainError::PendingFull { max: PENDING_MAX })?);
        }
        self.arrival.push_back(hash);
        self.blocks.insert(hash, block);
        Ok(())
    }

    /// Effects from block `hash` down to the child of the head.
    pub(crate) fn overlays(&self, hash: B256) -> Vec<Arc<Overlay>> {
        let mut overlays = Vec::new();
        let mut next = hash;
        while let Some(block) = self.blocks.get(&next) {
            overlays.push(block.overlay.clone());
            next = block.record.header.parent_hash;
        }
        overlays
    }

    /// Drops block `hash`, which is in the store now, and every block that does not descend from it.
    pub(crate) fn finalized(&mut self, hash: B256) {
        let mut kept = vec![hash];
        let mut order: Vec<_> = self.blocks.values().map(|block| block.record.clone()).collect();
        order.sort_unstable_by_key(|record| record.number());
        for record in order {
            if kept.contains(&record.header.parent_hash) {
                kept.push(record.hash);
            }
        }
        self.blocks.retain(|block, _| *block != hash && kept.contains(block));
        self.arrival.retain(|block| self.blocks.contains_key(block));
    }

    fn oldest_leaf(&self, except: B256) -> Option<B256> {
        let is_parent = |hash: &B256| self.blocks.values().any(|block| block.record.header.parent_hash == *hash);
        self.arrival.iter().copied().find(|hash| *hash != except && !is_parent(hash))
    }

    fn remove(&mut self, hash: B256) {
        self.blocks.remove(&hash);
        self.arrival.retain(|block| *block != hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::Header;

    fn block(number: u64, parent: B256, salt: u8) -> PendingBlock {
        let header = Header { number, parent_hash: parent, extra_data: vec![salt].into(), ..Default::default() };
        let record = Arc::new(BlockRecord::new(header, Vec::new(), Vec::new(), Vec::new()));
        let overlay = Arc::new(Overlay::default().sealed(number, record.hash));
        PendingBlock { record, overlay }
    }

    fn chain(pending: &mut Pending, from: B256, start: u64, length: u64, salt: u8) -> Vec<B256> {
        let mut parent = from;
        let mut hashes = Vec::new();
        for number in start..start + length {
            let next = block(number, parent, salt);
            parent = next.record.hash;
            hashes.push(parent);
            pending.insert(next).unwrap();
        }
        hashes
    }

    #[test]
    fn losing_branches_are_dropped_with_their_descendants() {
        let mut pending = Pending::default();
        let winners = chain(&mut pending, B256::ZERO, 1, 3, 0);
        let losers = chain(&mut pending, B256::ZERO, 1, 3, 1);
        pending.finalized(winners[0]);
        assert!(pending.get(&winners[0]).is_none());
        assert!(pending.get(&winners[1]).is_some() && pending.get(&winners[2]).is_some());
        assert!(losers.iter().all(|hash| pending.get(hash).is_none()));
        assert_eq!(pending.arrival.len(), 2);
    }

    #[test]
    fn overlays_come_newest_first_and_end_above_the_head() {
        let mut pending = Pending::default();
        let hashes = chain(&mut pending, B256::ZERO, 1, 3, 0);
        let numbers: Vec<_> = pending.overlays(hashes[2]).iter().map(|overlay| overlay.number).collect();
        assert_eq!(numbers, [3, 2, 1]);
        assert!(pending.overlays(B256::ZERO).is_empty());
    }

    #[test]
    fn a_full_table_forgets_leaves_but_never_an_ancestor() {
        let mut pending = Pending::default();
        let spine = chain(&mut pending, B256::ZERO, 1, PENDING_MAX as u64 - 1, 0);
        let leaf = chain(&mut pending, B256::ZERO, 1, 1, 1)[0];
        let tip = chain(&mut pending, *spine.last().unwrap(), PENDING_MAX as u64, 1, 0)[0];
        assert!(pending.get(&leaf).is_none());
        assert_eq!(pending.overlays(tip).len(), PENDING_MAX);
        let beyond = pending.insert(block(PENDING_MAX as u64 + 1, tip, 0));
        assert!(matches!(beyond, Err(ChainError::PendingFull { max: PENDING_MAX })));
    }
}
