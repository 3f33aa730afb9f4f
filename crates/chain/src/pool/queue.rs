//! The transactions of one sender in nonce order: first those that can run, then those behind a gap.
//!
//! A transaction is *pending* when every lower nonce from the account's on is mined or waits here; the others are
//! *queued*. The border between them moves only when a nonce enters or leaves at it, so nothing is recounted.

use super::{AccountState, HeadState, PoolError, PooledTransaction};
use alloy_primitives::U256;
use std::collections::{VecDeque, vec_deque};
use std::sync::Arc;

/// A waiting transaction.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) tx: Arc<PooledTransaction>,
    /// How many came before it.
    pub(super) serial: u64,
    /// When it came, in Unix seconds.
    pub(super) added_at: u64,
    /// The head when it was last handed to the validators.
    pub(super) sent_at: Option<u64>,
}

/// The transactions of one sender.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Next nonce that can run.
    pub(super) nonce: u64,
    /// Whether the account delegates its code (EIP-7702).
    pub(super) delegated: bool,
    /// When to look at it again: see [`super::schedule`].
    pub(super) wake: Option<u64>,
    /// Fee cap it waits with for a lower base fee: see [`super::schedule`].
    pub(super) parked: Option<u128>,
    balance: U256,
    cost: U256,
    entries: VecDeque<Entry>,
    pending: usize,
    /// All pending ones before this position were handed over once.
    unsent: usize,
}

/// What was taken to be handed over.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) txs: Vec<Arc<PooledTransaction>>,
    /// Fee cap of the first that the base fee holds back.
    pub(super) blocked: Option<u128>,
    /// Oldest hand-over of those that remain.
    pub(super) oldest: Option<u64>,
}

impl Queue {
    /// Nonce after the last pending one.
    pub(super) fn next_nonce(&self) -> u64 {
        self.nonce.saturating_add(self.pending as u64)
    }

    /// Number of transactions.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Number of pending ones.
    pub(super) fn pending(&self) -> usize {
        self.pending
    }

    /// Position of a nonce, or where it belongs.
    pub(super) fn find(&self, nonce: u64) -> Result<usize, usize> {
        match nonce.checked_sub(self.nonce).and_then(|ahead| usize::try_from(ahead).ok()) {
            Some(ahead) if ahead < self.pending => Ok(ahead),
            _ => self.entries.binary_search_by_key(&nonce, |entry| entry.tx.nonce),
        }
    }

    /// The entry at a position.
    pub(super) fn get(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }

    /// All entries in nonce order.
    pub(super) fn iter(&self) -> vec_deque::Iter<'_, Entry> {
        self.entries.iter()
    }

    /// The entries that can run.
    pub(super) fn iter_pending(&self) -> impl Iterator<Item = &Entry> {
        self.entries.range(..self.pending)
    }

    /// The entries behind a gap.
    pub(super) fn iter_queued(&self) -> impl Iterator<Item = &Entry> {
        self.entries.range(self.pending..)
    }

    /// Inserts an entry with a new nonce; whether it can run.
    pub(super) fn insert(&mut self, entry: Entry) -> bool {
        let index = self.find(entry.tx.nonce).unwrap_or_else(|index| index);
        let runs = index == self.pending && entry.tx.nonce == self.next_nonce();
        self.cost = self.cost.saturating_add(entry.tx.cost);
        self.entries.insert(index, entry);
        self.pending += usize::from(runs);
        runs
    }

    /// Moves the border over the first entry behind it if no gap is left before it; returns that entry.
    pub(super) fn promote(&mut self) -> Option<&Entry> {
        let entry = self.entries.get(self.pending).filter(|entry| entry.tx.nonce == self.next_nonce())?;
        self.pending += 1;
        Some(entry)
    }

    /// Exchanges an entry for another one of the same nonce.
    pub(super) fn replace(&mut self, index: usize, entry: Entry) -> Option<Entry> {
        let place = self.entries.get_mut(index)?;
        self.cost = self.cost.saturating_add(entry.tx.cost);
        let old = std::mem::replace(place, entry);
        self.cost = self.cost.saturating_sub(old.tx.cost);
        self.unsent = self.unsent.min(index);
        Some(old)
    }

    /// Removes an entry. If it was pending, `demoted` gets those behind it: they can no longer run.
    pub(super) fn remove(&mut self, index: usize, mut demoted: impl FnMut(&Entry)) -> Option<Entry> {
        let entry = self.entries.remove(index)?;
        self.cost = self.cost.saturating_sub(entry.tx.cost);
        if index < self.pending {
            self.entries.range(index..self.pending - 1).for_each(&mut demoted);
            self.pending = index;
        }
        self.unsent = self.unsent.min(index);
        Some(entry)
    }

    /// Takes over what the chain says about the account. A nonce never goes back.
    pub(super) fn learn(&mut self, account: &AccountState) {
        debug_assert!(self.pending == 0 || self.nonce >= account.nonce, "mined entries leave first");
        self.nonce = self.nonce.max(account.nonce);
        self.balance = account.balance;
        self.delegated = account.delegated;
    }

    /// Removes the first entry if its nonce is below `nonce`; whether it was pending.
    pub(super) fn pop_mined(&mut self, nonce: u64) -> Option<(Entry, bool)> {
        if self.entries.front()?.tx.nonce >= nonce {
            return None;
        }
        let entry = self.entries.pop_front()?;
        let ran = self.pending > 0;
        self.cost = self.cost.saturating_sub(entry.tx.cost);
        self.pending = self.pending.saturating_sub(1);
        self.unsent = self.unsent.saturating_sub(1);
        self.nonce = entry.tx.nonce + 1;
        Some((entry, ran))
    }

    /// Whether all entries together can be paid.
    pub(super) fn is_payable(&self) -> bool {
        self.cost <= self.balance
    }

    /// Checks that `tx` can be paid together with all others but the one it replaces.
    pub(super) fn check_funds(
        &self,
        tx: &PooledTransaction,
        replaced: Option<&PooledTransaction>,
    ) -> Result<(), PoolError> {
        let queued = self.cost.saturating_sub(replaced.map_or(U256::ZERO, |old| old.cost));
        if queued.saturating_add(tx.cost) <= self.balance {
            return Ok(());
        }
        Err(PoolError::InsufficientFundsQueued { balance: self.balance, queued, cost: tx.cost })
    }

    /// What a transaction is worth to a proposer, in wei per gas: the least effective tip of it and of what must run
    /// before it.
    pub(super) fn worth(&self, tx: &PooledTransaction, base_fee: u64) -> i128 {
        let before = self.entries.iter().take_while(|entry| entry.tx.nonce < tx.nonce);
        before.map(|entry| entry.tx.effective_tip(base_fee)).fold(tx.effective_tip(base_fee), i128::min)
    }

    /// Takes pending entries that were never handed over, from the first such on.
    pub(super) fn take_unsent(&mut self, head: HeadState, limit: usize) -> Taken {
        self.take(self.unsent, head, |sent_at| sent_at.is_none(), limit)
    }

    /// Takes pending entries that were never handed over, or at least `blocks` blocks ago.
    pub(super) fn take_late(&mut self, head: HeadState, blocks: u64, limit: usize) -> Taken {
        self.take(0, head, |sent_at| sent_at.is_none_or(|at| head.number >= at.saturating_add(blocks)), limit)
    }

    fn take(&mut self, from: usize, head: HeadState, due: impl Fn(Option<u64>) -> bool, limit: usize) -> Taken {
        let mut taken = Taken::default();
        let mut reached = from;
        for entry in self.entries.range_mut(from..self.pending) {
            if entry.tx.fee_cap < u128::from(head.base_fee) {
                taken.blocked = Some(entry.tx.fee_cap);
                break;
            }
            if due(entry.sent_at) {
                if taken.txs.len() == limit {
                    break;
                }
                entry.sent_at = Some(head.number);
                taken.txs.push(entry.tx.clone());
            }
            taken.oldest = taken.oldest.min(entry.sent_at).or(entry.sent_at);
            reached += 1;
        }
        self.unsent = self.unsent.max(reached);
        taken
    }

    /// Makes an entry due again.
    pub(super) fn mark_unsent(&mut self, index: usize) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.sent_at = None;
            self.unsent = self.unsent.min(index);
        }
    }
}
