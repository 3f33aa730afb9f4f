//! Transactions that wait for a block, as an RPC node sees them.
//!
//! The node does not order anything: the sequencer does. The pool exists to answer senders at once and exactly, to
//! count pending nonces, to show what waits, and to hand a transaction to the sequencer again until it is mined.
//! A transaction is *executable* when every lower nonce of its sender is mined or executable and its fee cap reaches
//! the next base fee; only executable ones are broadcast, the others wait here. Pure: time and state are arguments.

mod admission;
#[cfg(test)]
mod tests;

pub use admission::{
    AccountState, BASE_FEE_MIN_WEI, HeadState, INIT_CODE_BYTES_MAX, NONCE_GAP_MAX, PoolError, PooledTransaction,
    REPLACEMENT_PERCENT,
};

use crate::TRANSACTION_BYTES_MAX;
use alloy_primitives::{Address, B256, Bytes, U256, map::HashMap};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::broadcast;

/// Most transactions kept.
pub const POOL_TRANSACTIONS_MAX: usize = 100_000;
/// Most encoded bytes kept, over all transactions.
pub const POOL_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Most transactions kept of one sender.
pub const SENDER_TRANSACTIONS_MAX: usize = 1_024;
/// A transaction that waits longer than this many seconds is dropped.
pub const PENDING_SECONDS_MAX: u64 = 3 * 60 * 60;
/// An executable transaction is broadcast again when it was not mined within this many blocks.
pub const REBROADCAST_BLOCKS: u64 = 15;
/// Most transactions broadcast again after one block.
pub const REBROADCAST_MAX: usize = 256;
/// Hashes remembered for pollers of new pending transactions.
pub const RECENT_HASHES_MAX: usize = 8_192;
/// Additions a slow subscriber may fall behind before it misses some.
const SUBSCRIBER_LAG_MAX: usize = 4_096;

const _: () = assert!(SENDER_TRANSACTIONS_MAX <= POOL_TRANSACTIONS_MAX);
const _: () = assert!(TRANSACTION_BYTES_MAX <= POOL_BYTES_MAX);
const _: () = assert!(NONCE_GAP_MAX as usize <= SENDER_TRANSACTIONS_MAX);

/// Where the pool's transactions go to be ordered.
#[async_trait]
pub trait Broadcast: Send + Sync {
    /// Hands EIP-2718 bytes to the sequencer; `Ok` once at least one validator took them. May be called several times
    /// for the same bytes. The error says who did not answer and why.
    async fn broadcast(&self, raw: Bytes) -> Result<(), String>;

    /// Hands over many at once; one answer for each, in order.
    async fn broadcast_all(&self, raws: Vec<Bytes>) -> Vec<Result<(), String>> {
        let mut answers = Vec::with_capacity(raws.len());
        for raw in raws {
            answers.push(self.broadcast(raw).await);
        }
        answers
    }
}

/// Transactions of one sender: executable ones, and those that wait for a lower nonce; each in nonce order.
#[derive(Clone, Debug)]
pub struct SenderContent {
    /// The sender.
    pub sender: Address,
    /// Nonces without a gap from the account's nonce on.
    pub pending: Vec<Arc<PooledTransaction>>,
    /// The others.
    pub queued: Vec<Arc<PooledTransaction>>,
}

/// The pool. All methods are short and never wait.
#[derive(Debug)]
pub struct Pool {
    chain_id: u64,
    entries: Mutex<Entries>,
    additions: broadcast::Sender<Arc<PooledTransaction>>,
}

#[derive(Debug, Default)]
struct Entries {
    senders: HashMap<Address, Sender>,
    by_hash: HashMap<B256, (Address, u64)>,
    bytes: usize,
    recent: VecDeque<B256>,
    recent_end: u64,
}

#[derive(Debug, Default)]
struct Sender {
    nonce: u64,
    entries: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    tx: Arc<PooledTransaction>,
    added_at: u64,
    broadcast_at: Option<u64>,
}

impl Pool {
    /// An empty pool of the chain with this EIP-155 id.
    pub fn new(chain_id: u64) -> Self {
        Self { chain_id, entries: Mutex::default(), additions: broadcast::Sender::new(SUBSCRIBER_LAG_MAX) }
    }

    /// Decodes EIP-2718 bytes and checks everything that needs no state. `recover` finds the sender of valid ones.
    pub fn decode(
        &self,
        raw: &Bytes,
        recover: impl FnOnce(&[u8]) -> Result<Address, String>,
    ) -> Result<PooledTransaction, PoolError> {
        admission::decode(raw, self.chain_id, recover)
    }

    /// Takes a transaction in, replacing one of the same sender and nonce if it pays 10 % more.
    pub fn add(
        &self,
        tx: PooledTransaction,
        account: AccountState,
        head: HeadState,
    ) -> Result<Arc<PooledTransaction>, PoolError> {
        let tx = Arc::new(tx);
        self.entries.lock().add(tx.clone(), account, head)?;
        // An error only says that nobody listens.
        let _ = self.additions.send(tx.clone());
        Ok(tx)
    }

    /// Forgets a transaction.
    pub fn remove(&self, hash: &B256) {
        self.entries.lock().remove(hash);
    }

    /// A waiting transaction.
    pub fn get(&self, hash: &B256) -> Option<Arc<PooledTransaction>> {
        let entries = self.entries.lock();
        let (sender, nonce) = entries.by_hash.get(hash)?;
        Some(entries.senders.get(sender)?.entries.get(nonce)?.tx.clone())
    }

    /// The nonce after the last transaction that follows `state_nonce` without a gap.
    pub fn pending_nonce(&self, sender: &Address, state_nonce: u64) -> u64 {
        self.entries.lock().senders.get(sender).map_or(state_nonce, |s| s.contiguous_end(state_nonce))
    }

    /// Number of executable and of waiting transactions.
    pub fn status(&self) -> (usize, usize) {
        let entries = self.entries.lock();
        let pending = entries.senders.values().map(Sender::contiguous).map(Iterator::count).sum();
        (pending, entries.by_hash.len() - pending)
    }

    /// Everything that waits, or what `only` has waiting, by sender.
    pub fn content(&self, only: Option<Address>) -> Vec<SenderContent> {
        let entries = self.entries.lock();
        let senders = entries.senders.iter().filter(|(sender, _)| only.is_none_or(|only| only == **sender));
        let mut content: Vec<_> = senders.map(|(sender, s)| s.content(*sender)).collect();
        content.sort_unstable_by_key(|c| c.sender);
        content
    }

    /// Senders that have transactions waiting.
    pub fn senders(&self) -> Vec<Address> {
        self.entries.lock().senders.keys().copied().collect()
    }

    /// Executable transactions of `sender` that were never broadcast, marked as broadcast at the head.
    pub fn take_ready(&self, sender: &Address, head: HeadState) -> Vec<Arc<PooledTransaction>> {
        let mut entries = self.entries.lock();
        let Some(sender) = entries.senders.get_mut(sender) else { return Vec::new() };
        sender.take_due(head, |at| at.is_none(), SENDER_TRANSACTIONS_MAX)
    }

    /// Executable transactions that were never broadcast or too long ago, at most [`REBROADCAST_MAX`], marked as
    /// broadcast at the head.
    pub fn take_due(&self, head: HeadState) -> Vec<Arc<PooledTransaction>> {
        let mut due = Vec::new();
        for sender in self.entries.lock().senders.values_mut() {
            let late = |at: Option<u64>| at.is_none_or(|at| head.number >= at.saturating_add(REBROADCAST_BLOCKS));
            due.extend(sender.take_due(head, late, REBROADCAST_MAX - due.len()));
            if due.len() == REBROADCAST_MAX {
                break;
            }
        }
        due
    }

    /// Makes a transaction due again, because handing it over failed.
    pub fn mark_unsent(&self, hash: &B256) {
        let mut entries = self.entries.lock();
        let Some((sender, nonce)) = entries.by_hash.get(hash).copied() else { return };
        if let Some(entry) = entries.senders.get_mut(&sender).and_then(|s| s.entries.get_mut(&nonce)) {
            entry.broadcast_at = None;
        }
    }

    /// Drops what `sender` has mined or can no longer pay.
    pub fn settle(&self, sender: Address, account: AccountState) {
        self.entries.lock().settle(sender, account);
    }

    /// Drops what has waited longer than [`PENDING_SECONDS_MAX`] at Unix second `now`.
    pub fn expire(&self, now: u64) {
        let mut entries = self.entries.lock();
        let old: Vec<B256> = entries.expired(now);
        for hash in old {
            entries.remove(&hash);
        }
    }

    /// Every transaction taken in from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<PooledTransaction>> {
        self.additions.subscribe()
    }

    /// Cursor after the newest addition, for [`Pool::added_since`].
    pub fn cursor(&self) -> u64 {
        self.entries.lock().recent_end
    }

    /// Hashes added since `cursor` (the newest [`RECENT_HASHES_MAX`] of them), and the next cursor.
    pub fn added_since(&self, cursor: u64) -> (Vec<B256>, u64) {
        let entries = self.entries.lock();
        let start = entries.recent_end - entries.recent.len() as u64;
        let skip = cursor.saturating_sub(start) as usize;
        (entries.recent.iter().skip(skip).copied().collect(), entries.recent_end)
    }
}

impl Entries {
    fn add(&mut self, tx: Arc<PooledTransaction>, account: AccountState, head: HeadState) -> Result<(), PoolError> {
        if self.by_hash.contains_key(&tx.hash) {
            return Err(PoolError::AlreadyKnown { hash: tx.hash });
        }
        admission::check(&tx, &account, &head)?;
        self.settle(tx.sender, account);
        let replaced = self.check_sender(&tx, &account)?;
        self.check_room(&tx, replaced.as_deref())?;
        if let Some(old) = replaced {
            self.remove(&old.hash);
        }
        self.insert(tx, account.nonce, head.timestamp);
        Ok(())
    }

    /// Checks `tx` against what its sender has waiting; returns the transaction it would replace.
    fn check_sender(
        &self,
        tx: &PooledTransaction,
        account: &AccountState,
    ) -> Result<Option<Arc<PooledTransaction>>, PoolError> {
        let Some(sender) = self.senders.get(&tx.sender) else {
            return check_gap(account.nonce, tx.nonce()).map(|()| None);
        };
        let replaced = sender.entries.get(&tx.nonce()).map(|entry| entry.tx.clone());
        match &replaced {
            Some(old) => check_replacement(old, tx)?,
            None => {
                check_gap(sender.contiguous_end(account.nonce), tx.nonce())?;
                sender.check_count(tx.sender)?;
            }
        }
        sender.check_funds(tx, replaced.as_deref(), account.balance)?;
        Ok(replaced)
    }

    fn check_room(&self, tx: &PooledTransaction, replaced: Option<&PooledTransaction>) -> Result<(), PoolError> {
        let count = self.by_hash.len() - usize::from(replaced.is_some());
        let bytes = self.bytes - replaced.map_or(0, |old| old.raw.len());
        if count < POOL_TRANSACTIONS_MAX && bytes + tx.raw.len() <= POOL_BYTES_MAX {
            return Ok(());
        }
        Err(PoolError::Full { count, bytes, count_max: POOL_TRANSACTIONS_MAX, bytes_max: POOL_BYTES_MAX })
    }

    fn insert(&mut self, tx: Arc<PooledTransaction>, state_nonce: u64, now: u64) {
        self.bytes += tx.raw.len();
        self.by_hash.insert(tx.hash, (tx.sender, tx.nonce()));
        self.remember(tx.hash);
        let sender = self.senders.entry(tx.sender).or_default();
        sender.nonce = state_nonce;
        sender.entries.insert(tx.nonce(), Entry { tx, added_at: now, broadcast_at: None });
    }

    fn remember(&mut self, hash: B256) {
        if self.recent.len() == RECENT_HASHES_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(hash);
        self.recent_end += 1;
    }

    fn remove(&mut self, hash: &B256) {
        let Some((address, nonce)) = self.by_hash.remove(hash) else { return };
        let Some(sender) = self.senders.get_mut(&address) else { return };
        if let Some(entry) = sender.entries.remove(&nonce) {
            self.bytes -= entry.tx.raw.len();
        }
        if sender.entries.is_empty() {
            self.senders.remove(&address);
        }
    }

    fn settle(&mut self, address: Address, account: AccountState) {
        let Some(sender) = self.senders.get_mut(&address) else { return };
        // A reader of an older head must not take the nonce back.
        sender.nonce = sender.nonce.max(account.nonce);
        let nonce = sender.nonce;
        let dead = |tx: &PooledTransaction| tx.nonce() < nonce || tx.cost > account.balance;
        let gone: Vec<B256> = sender.entries.values().filter(|e| dead(&e.tx)).map(|e| e.tx.hash).collect();
        for hash in gone {
            self.remove(&hash);
        }
    }

    fn expired(&self, now: u64) -> Vec<B256> {
        let entries = self.senders.values().flat_map(|sender| sender.entries.values());
        entries.filter(|e| now.saturating_sub(e.added_at) > PENDING_SECONDS_MAX).map(|e| e.tx.hash).collect()
    }
}

impl Sender {
    fn contiguous_end(&self, from: u64) -> u64 {
        let mut end = from;
        while self.entries.contains_key(&end) {
            end += 1;
        }
        end
    }

    fn contiguous(&self) -> impl Iterator<Item = (&u64, &Entry)> {
        let first = self.nonce;
        self.entries.range(first..).zip(first..).take_while(|((nonce, _), next)| *nonce == next).map(|(item, _)| item)
    }

    fn take_due(
        &mut self,
        head: HeadState,
        due: impl Fn(Option<u64>) -> bool,
        limit: usize,
    ) -> Vec<Arc<PooledTransaction>> {
        let executable = self.contiguous().take_while(|(_, e)| e.tx.fee_cap() >= u128::from(head.base_fee));
        let nonces: Vec<u64> =
            executable.filter(|(_, e)| due(e.broadcast_at)).map(|(nonce, _)| *nonce).take(limit).collect();
        let mut taken = Vec::with_capacity(nonces.len());
        for nonce in nonces {
            let entry = self.entries.get_mut(&nonce).expect("the nonce was read from this map");
            entry.broadcast_at = Some(head.number);
            taken.push(entry.tx.clone());
        }
        taken
    }

    fn content(&self, sender: Address) -> SenderContent {
        let pending: Vec<_> = self.contiguous().map(|(_, e)| e.tx.clone()).collect();
        let end = self.nonce + pending.len() as u64;
        let queued = self.entries.range(end..).map(|(_, e)| e.tx.clone()).collect();
        SenderContent { sender, pending, queued }
    }

    fn check_count(&self, sender: Address) -> Result<(), PoolError> {
        let count = self.entries.len();
        if count < SENDER_TRANSACTIONS_MAX {
            return Ok(());
        }
        Err(PoolError::SenderFull { sender, count, limit: SENDER_TRANSACTIONS_MAX })
    }

    fn check_funds(
        &self,
        tx: &PooledTransaction,
        replaced: Option<&PooledTransaction>,
        balance: U256,
    ) -> Result<(), PoolError> {
        let waiting = self.entries.values().fold(U256::ZERO, |sum, e| sum.saturating_add(e.tx.cost));
        let queued = waiting.saturating_sub(replaced.map_or(U256::ZERO, |old| old.cost));
        if queued.saturating_add(tx.cost) <= balance {
            return Ok(());
        }
        Err(PoolError::InsufficientFundsQueued { balance, queued, cost: tx.cost })
    }
}

fn check_gap(next: u64, nonce: u64) -> Result<(), PoolError> {
    if nonce.saturating_sub(next) <= NONCE_GAP_MAX {
        return Ok(());
    }
    Err(PoolError::NonceTooHigh { next, nonce, limit: NONCE_GAP_MAX })
}

fn check_replacement(old: &PooledTransaction, new: &PooledTransaction) -> Result<(), PoolError> {
    let raised = |wei: u128| wei.saturating_add((wei.saturating_mul(REPLACEMENT_PERCENT)).div_ceil(100));
    let (fee_min, tip_min) = (raised(old.fee_cap()), raised(old.tip_cap()));
    let (fee, tip) = (new.fee_cap(), new.tip_cap());
    if fee >= fee_min && tip >= tip_min && fee > old.fee_cap() {
        return Ok(());
    }
    Err(PoolError::Underpriced { fee, tip, fee_min, tip_min })
}
