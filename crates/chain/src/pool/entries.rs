//! What the pool holds, and every way in and out of it. Guarded by one lock, held for microseconds.
//!
//! Room is made by evicting the cheapest, transactions behind a nonce gap before those that can run. The last nonce of a
//! sender can never be worth more than a lower one that must run before it, so the cheapest transaction names the
//! sender, and what leaves is that sender's last one: nothing evicted opens a gap.

use super::prices::Prices;
use super::queue::{Entry, Queue, Taken};
use super::schedule::Schedule;
use super::{
    AccountState, HeadState, PoolError, PoolLimits, PooledTransaction, REBROADCAST_BLOCKS, RECENT_HASHES_MAX,
    SenderContent, admission,
};
use alloy_primitives::map::{AddressMap, B256Map};
use alloy_primitives::{Address, B256};
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

/// The transactions of a pool.
#[derive(Debug, Default)]
pub(super) struct Entries {
    limits: PoolLimits,
    senders: AddressMap<Queue>,
    by_hash: B256Map<Arc<PooledTransaction>>,
    bytes: usize,
    /// Those that can run, and those behind a nonce gap.
    runnable: Prices,
    gapped: Prices,
    /// How many waiting transactions set the code of an account.
    authorities: AddressMap<u32>,
    schedule: Schedule,
    serial: u64,
    /// Number of the newest block that was heard of.
    newest: u64,
    recent: VecDeque<B256>,
    recent_end: u64,
}

/// Where a newcomer goes.
struct Place {
    replaced: Option<Arc<PooledTransaction>>,
    runs: bool,
}

impl Entries {
    pub(super) fn new(limits: PoolLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes in a transaction that came at Unix second `added_at`.
    pub(super) fn add(
        &mut self,
        tx: Arc<PooledTransaction>,
        account: AccountState,
        head: HeadState,
        added_at: u64,
    ) -> Result<(), PoolError> {
        if self.by_hash.contains_key(&tx.hash) {
            return Err(PoolError::AlreadyKnown { hash: tx.hash });
        }
        self.settle(tx.sender, account, head.number)?;
        admission::check(&tx, &account, &head)?;
        let place = self.place(&tx, &account)?;
        self.check_authorities(&tx)?;
        self.senders.entry(tx.sender).or_default().learn(&account);
        let room = self.make_room(&tx, &place, head.base_fee);
        if room.is_ok() {
            self.remember(tx.hash);
            let entry = Entry { tx: tx.clone(), serial: self.serial, added_at, sent_at: None };
            self.serial += 1;
            self.enter(entry);
        }
        self.drop_if_empty(tx.sender);
        room
    }

    /// Forgets a transaction.
    pub(super) fn remove(&mut self, hash: &B256) {
        let Some(tx) = self.by_hash.get(hash).cloned() else { return };
        let found = self.senders.get(&tx.sender).and_then(|queue| queue.find(tx.nonce).ok());
        if let Some(index) = found {
            self.leave(tx.sender, index);
            self.drop_if_empty(tx.sender);
        }
    }

    /// Takes over what block `number` left of an account: what it mined leaves, and if the rest is more than the balance
    /// can pay, the last nonces leave.
    pub(super) fn settle(&mut self, sender: Address, account: AccountState, number: u64) -> Result<(), PoolError> {
        if number < self.newest {
            return Err(PoolError::Outdated { head: number, newest: self.newest });
        }
        self.newest = number;
        if !self.senders.contains_key(&sender) {
            return Ok(());
        }
        self.leave_mined(sender, account.nonce);
        if let Some(queue) = self.senders.get_mut(&sender) {
            queue.learn(&account);
        }
        self.promote(sender);
        while let Some(queue) = self.senders.get(&sender)
            && !queue.is_payable()
        {
            self.leave(sender, queue.len() - 1);
        }
        self.drop_if_empty(sender);
        Ok(())
    }

    /// Drops what has waited behind a gap since before `since`, in Unix seconds.
    pub(super) fn expire(&mut self, since: u64) {
        let queues = self.senders.values().filter(|queue| queue.len() > queue.pending());
        let old = queues.flat_map(Queue::iter_queued).filter(|entry| entry.added_at < since);
        let old: Vec<B256> = old.map(|entry| entry.tx.hash).collect();
        for hash in old {
            self.remove(&hash);
        }
    }

    /// Pending transactions of `sender` that were never handed over.
    pub(super) fn take_ready(&mut self, sender: Address, head: HeadState) -> Vec<Arc<PooledTransaction>> {
        let Some(queue) = self.senders.get_mut(&sender) else { return Vec::new() };
        let Taken { txs, blocked, .. } = queue.take_unsent(head, usize::MAX);
        self.schedule.park(sender, queue, blocked);
        if !txs.is_empty() && queue.wake.is_none_or(|at| at == 0) {
            self.schedule.wake(sender, queue, Some(head.number + REBROADCAST_BLOCKS));
        }
        txs
    }

    /// At most `limit` pending transactions that were never handed over, or too long ago.
    pub(super) fn take_due(&mut self, head: HeadState, limit: usize) -> Vec<Arc<PooledTransaction>> {
        let mut due = Vec::new();
        while due.len() < limit
            && let Some(sender) = self.schedule.due(head.number, head.base_fee)
            && let Some(queue) = self.senders.get_mut(&sender)
        {
            let room = limit - due.len();
            let taken = queue.take_late(head, REBROADCAST_BLOCKS, room);
            if taken.txs.len() == room {
                // There may be more: the sender stays due.
                self.schedule.park(sender, queue, None);
                self.schedule.wake(sender, queue, Some(0));
            } else {
                self.schedule.park(sender, queue, taken.blocked);
                self.schedule.wake(sender, queue, taken.oldest.map(|at| at + REBROADCAST_BLOCKS));
            }
            due.extend(taken.txs);
        }
        due
    }

    /// Makes a transaction due again.
    pub(super) fn mark_unsent(&mut self, hash: &B256) {
        let Some(tx) = self.by_hash.get(hash) else { return };
        let Some(queue) = self.senders.get_mut(&tx.sender) else { return };
        if let Ok(index) = queue.find(tx.nonce) {
            queue.mark_unsent(index);
            self.schedule.wake(tx.sender, queue, Some(0));
        }
    }

    /// The best `count` transactions for a block on the head, in an order in which they can run.
    pub(super) fn best(&self, head: HeadState, count: usize) -> Vec<Arc<PooledTransaction>> {
        let offer = |queue: &Queue, index: usize, sender: Address| {
            let entry = queue.get(index).filter(|_| index < queue.pending())?;
            let tip = entry.tx.effective_tip(head.base_fee);
            (tip >= 0).then_some((tip, std::cmp::Reverse(entry.serial), sender, index))
        };
        let firsts = self.senders.iter().filter_map(|(sender, queue)| offer(queue, 0, *sender));
        let mut offers: BinaryHeap<_> = firsts.collect();
        let mut best = Vec::with_capacity(count.min(self.runnable.len()));
        while best.len() < count
            && let Some((.., sender, index)) = offers.pop()
            && let Some(queue) = self.senders.get(&sender)
        {
            best.extend(queue.get(index).map(|entry| entry.tx.clone()));
            offers.extend(offer(queue, index + 1, sender));
        }
        best
    }

    pub(super) fn get(&self, hash: &B256) -> Option<Arc<PooledTransaction>> {
        self.by_hash.get(hash).cloned()
    }

    /// The nonce after the last pending transaction of an account whose next nonce is `nonce`.
    pub(super) fn pending_nonce(&self, sender: &Address, nonce: u64) -> u64 {
        self.senders.get(sender).map_or(nonce, |queue| queue.next_nonce().max(nonce))
    }

    /// Number of pending and of queued transactions.
    pub(super) fn status(&self) -> (usize, usize) {
        (self.runnable.len(), self.gapped.len())
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn content(&self, only: Option<Address>) -> Vec<SenderContent> {
        let content = |(sender, queue): (&Address, &Queue)| SenderContent {
            sender: *sender,
            pending: queue.iter_pending().map(|entry| entry.tx.clone()).collect(),
            queued: queue.iter_queued().map(|entry| entry.tx.clone()).collect(),
        };
        match only {
            Some(sender) => self.senders.get_key_value(&sender).map(content).into_iter().collect(),
            None => self.senders.iter().map(content).collect(),
        }
    }

    pub(super) fn senders(&self) -> impl Iterator<Item = &Address> {
        self.senders.keys()
    }

    pub(super) fn contains_sender(&self, sender: &Address) -> bool {
        self.senders.contains_key(sender)
    }

    /// All transactions with the second they came at, each sender's in nonce order.
    pub(super) fn all(&self) -> Vec<(Arc<PooledTransaction>, u64)> {
        self.senders.values().flat_map(Queue::iter).map(|entry| (entry.tx.clone(), entry.added_at)).collect()
    }

    pub(super) fn recent_end(&self) -> u64 {
        self.recent_end
    }

    pub(super) fn recent_since(&self, cursor: u64) -> Vec<B256> {
        let start = self.recent_end - self.recent.len() as u64;
        let skip = cursor.saturating_sub(start) as usize;
        self.recent.iter().skip(skip).copied().collect()
    }

    pub(super) fn remember(&mut self, hash: B256) {
        if self.recent.len() == RECENT_HASHES_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(hash);
        self.recent_end += 1;
    }

    /// Checks `tx` against what its sender has waiting, and finds where it goes.
    fn place(&self, tx: &PooledTransaction, account: &AccountState) -> Result<Place, PoolError> {
        let queue = self.senders.get(&tx.sender);
        let next = queue.map_or(account.nonce, Queue::next_nonce);
        let replaced = queue.and_then(|queue| queue.get(queue.find(tx.nonce).ok()?)).map(|entry| entry.tx.clone());
        let place = Place { replaced, runs: tx.nonce <= next };
        match &place.replaced {
            Some(old) => admission::check_replacement(old, tx)?,
            None => self.check_new(tx, next, queue)?,
        }
        if let Some(queue) = queue {
            queue.check_funds(tx, place.replaced.as_deref())?;
        }
        self.check_delegation(tx, account, &place)?;
        Ok(place)
    }

    fn check_new(&self, tx: &PooledTransaction, next: u64, queue: Option<&Queue>) -> Result<(), PoolError> {
        let (nonce, limit) = (tx.nonce, self.limits.nonce_gap);
        if nonce.saturating_sub(next) > limit {
            return Err(PoolError::NonceTooHigh { next, nonce, limit });
        }
        let (count, limit) = (queue.map_or(0, Queue::len), self.limits.sender_transactions);
        if count >= limit {
            return Err(PoolError::SenderFull { sender: tx.sender, count, limit });
        }
        Ok(())
    }

    /// What a delegated account has can be spent without its nonce, so only one of its transactions waits at a time
    /// (EIP-7702, as other pools do).
    fn check_delegation(&self, tx: &PooledTransaction, account: &AccountState, place: &Place) -> Result<(), PoolError> {
        let (sender, nonce) = (tx.sender, tx.nonce);
        if !account.delegated && !self.authorities.contains_key(&sender) {
            return Ok(());
        }
        let queue = self.senders.get(&sender);
        let pending = queue.map_or(0, Queue::pending);
        match pending {
            0 if nonce == account.nonce => Ok(()),
            0 => Err(PoolError::DelegatedGap { next: account.nonce, nonce }),
            _ if place.replaced.is_some() && nonce < account.nonce + pending as u64 => Ok(()),
            _ => Err(PoolError::DelegatedInFlight { sender, waiting: account.nonce }),
        }
    }

    fn check_authorities(&self, tx: &PooledTransaction) -> Result<(), PoolError> {
        for authority in &tx.authorities {
            let count = self.senders.get(authority).map_or(0, Queue::len);
            if count > 1 {
                return Err(PoolError::AuthorityReserved { authority: *authority, count });
            }
        }
        Ok(())
    }

    /// Evicts what is cheaper until there is room; if that is not enough, nothing has changed.
    fn make_room(&mut self, tx: &PooledTransaction, place: &Place, base_fee: u64) -> Result<(), PoolError> {
        if self.has_room(tx) {
            return Ok(());
        }
        let queue = self.senders.get(&tx.sender);
        let price = queue.map_or_else(|| tx.effective_tip(base_fee), |queue| queue.worth(tx, base_fee));
        // What is about to be replaced is nobody's cheapest any more.
        let replaced = queue.and_then(|queue| queue.get(queue.find(tx.nonce).ok()?)).cloned();
        if let Some(old) = &replaced {
            self.class(place.runs).remove(&old.tx, old.serial);
        }
        let mut evicted: Vec<Entry> = Vec::new();
        let mut room = Ok(());
        while room.is_ok() && !self.has_room(tx) {
            match self.victim(tx, place, price, base_fee) {
                Ok(sender) => evicted.extend(self.leave_last(sender)),
                Err(refused) => room = Err(refused),
            }
        }
        if room.is_err() {
            while let Some(entry) = evicted.pop() {
                self.enter(entry);
            }
            if let Some(old) = &replaced {
                self.class(place.runs).insert(&old.tx, old.serial);
            }
        }
        // The newcomer's own queue is needed, even if it is empty now.
        for entry in evicted.iter().filter(|entry| entry.tx.sender != tx.sender) {
            self.drop_if_empty(entry.tx.sender);
        }
        room
    }

    fn has_room(&self, tx: &PooledTransaction) -> bool {
        let queue = self.senders.get(&tx.sender);
        let replaced = queue.and_then(|queue| queue.get(queue.find(tx.nonce).ok()?)).map(|entry| &entry.tx);
        let count = self.by_hash.len() - usize::from(replaced.is_some());
        let bytes = self.bytes - replaced.map_or(0, |old| old.raw.len());
        count < self.limits.transactions && bytes + tx.raw.len() <= self.limits.bytes
    }

    /// The sender whose last transaction makes room for one that is worth `price`.
    fn victim(&self, tx: &PooledTransaction, place: &Place, price: i128, base_fee: u64) -> Result<Address, PoolError> {
        let (count, count_max, bytes, bytes_max) =
            (self.by_hash.len(), self.limits.transactions, self.bytes, self.limits.bytes);
        let class = match self.gapped.cheapest(base_fee) {
            // What can run displaces what cannot, whatever that pays.
            Some((gapped, _)) if place.runs => return Ok(gapped.sender),
            None if place.runs => self.runnable.cheapest(base_fee),
            gapped => gapped,
        };
        match class {
            Some((cheapest, least)) if price > least => Ok(cheapest.sender),
            Some((_, least)) => {
                let price_min = least.saturating_add(1);
                Err(PoolError::Full { count, count_max, bytes, bytes_max, price, price_min, base_fee })
            }
            None => {
                let next = self.senders.get(&tx.sender).map_or(tx.nonce, Queue::next_nonce);
                Err(PoolError::FullForGapped { count, count_max, bytes, bytes_max, nonce: tx.nonce, next })
            }
        }
    }

    /// Puts an entry in its place, or in the place of the one with its nonce.
    fn enter(&mut self, entry: Entry) {
        let tx = entry.tx.clone();
        let queue = self.senders.get_mut(&tx.sender).expect("the queue of a newcomer is made before it enters");
        self.bytes += tx.raw.len();
        self.by_hash.insert(tx.hash, tx.clone());
        tx.authorities.iter().for_each(|authority| *self.authorities.entry(*authority).or_default() += 1);
        let serial = entry.serial;
        let (runs, replaced) = match queue.find(tx.nonce) {
            Ok(index) => (index < queue.pending(), queue.replace(index, entry)),
            Err(_) => (queue.insert(entry), None),
        };
        if runs && queue.wake.is_none() {
            // Until it is handed over.
            self.schedule.wake(tx.sender, queue, Some(0));
        }
        self.class(runs).insert(&tx, serial);
        match replaced {
            Some(old) => self.forget(&old, runs),
            None => self.promote(tx.sender),
        }
    }

    fn leave_last(&mut self, sender: Address) -> Option<Entry> {
        let last = self.senders.get(&sender)?.len().checked_sub(1)?;
        self.leave(sender, last)
    }

    fn leave(&mut self, sender: Address, index: usize) -> Option<Entry> {
        let Self { senders, runnable, gapped, .. } = self;
        let queue = senders.get_mut(&sender)?;
        let ran = index < queue.pending();
        let entry = queue.remove(index, |demoted| {
            runnable.remove(&demoted.tx, demoted.serial);
            gapped.insert(&demoted.tx, demoted.serial);
        })?;
        self.forget(&entry, ran);
        Some(entry)
    }

    fn leave_mined(&mut self, sender: Address, nonce: u64) {
        while let Some((entry, ran)) = self.senders.get_mut(&sender).and_then(|queue| queue.pop_mined(nonce)) {
            self.forget(&entry, ran);
        }
    }

    /// Moves what has no gap before it any more to those that can run.
    fn promote(&mut self, sender: Address) {
        let Self { senders, runnable, gapped, schedule, .. } = self;
        let Some(queue) = senders.get_mut(&sender) else { return };
        let before = queue.pending();
        while let Some(entry) = queue.promote() {
            gapped.remove(&entry.tx, entry.serial);
            runnable.insert(&entry.tx, entry.serial);
        }
        if queue.pending() > before {
            schedule.wake(sender, queue, Some(0));
        }
    }

    /// Strikes an entry that has left its queue out of the books.
    fn forget(&mut self, entry: &Entry, ran: bool) {
        self.class(ran).remove(&entry.tx, entry.serial);
        self.by_hash.remove(&entry.tx.hash);
        self.bytes -= entry.tx.raw.len();
        for authority in &entry.tx.authorities {
            if let Some(count) = self.authorities.get_mut(authority) {
                *count -= 1;
                if *count == 0 {
                    self.authorities.remove(authority);
                }
            }
        }
    }

    fn class(&mut self, runs: bool) -> &mut Prices {
        if runs { &mut self.runnable } else { &mut self.gapped }
    }

    fn drop_if_empty(&mut self, sender: Address) {
        if self.senders.get(&sender).is_some_and(|queue| queue.len() == 0)
            && let Some(mut queue) = self.senders.remove(&sender)
        {
            self.schedule.forget(sender, &mut queue);
        }
    }
}
