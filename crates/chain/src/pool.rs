//! Transactions that wait for a block, as an RPC node sees them.
//!
//! The node does not order anything: the sequencer does. The pool exists to answer senders at once and exactly, to
//! count pending nonces, to show what waits, and to hand a transaction to the sequencer again until it is mined.
//!
//! - A transaction is *pending* when every lower nonce of its sender is mined or pending, else *queued* behind a gap.
//!   Pending ones whose fee cap reaches the next base fee are handed over; the others wait here.
//! - One of the same sender and nonce is replaced by one that pays 10 % more in both prices.
//! - When the pool is full, the cheapest leaves ([`PoolLimits`]): queued ones before pending ones, by effective tip at
//!   the next base fee, a sender's last nonce first. A newcomer must be worth more than what it displaces.
//! - All that one sender has waiting must be payable together. If a balance falls below that, which only an account
//!   with delegated code can bring about, its last nonces leave until the rest can be paid.
//! - An account that delegates its code, or is about to, may have one pending transaction (EIP-7702).
//! - A block concerns only the accounts it changed: see [`Pool::settle`]. A new base fee concerns nobody until a
//!   transaction can run with it.
//!
//! With a journal ([`Pool::open`]), what was taken in is in a file before [`Pool::add`] returns.
//!
//! ```text
//! raw ─▶ decode (all cores) ─▶ add ─▶ queue of the sender ─▶ take_ready, take_due ─▶ validators
//!                               │            ▲ settle (after each block)
//!                               └▶ journal ──┘ at the start
//! ```
//!
//! Pure but for the journal: time and state are arguments.

mod admission;
mod entries;
mod error;
mod journal;
mod limits;
mod prices;
mod queue;
mod restore;
mod schedule;
mod settings;
#[cfg(test)]
mod tests;
mod transaction;

pub use admission::{BASE_FEE_MIN_WEI, INIT_CODE_BYTES_MAX, REPLACEMENT_PERCENT};
pub use error::{JournalError, PoolError};
pub use limits::{POOL_TRANSACTIONS_MAX, PoolLimits, PoolLimitsError};
pub use restore::Admitted;
pub use transaction::{AccountState, HeadState, PooledTransaction};

use crate::Chain;
use crate::transactions::Senders;
use alloy_consensus::TxEnvelope;
use alloy_consensus::transaction::Recovered;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes};
use async_trait::async_trait;
use entries::Entries;
use journal::Journal;
use parking_lot::Mutex;
use rayon::prelude::*;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::broadcast;

/// A pending transaction is handed over again when it was not mined within this many blocks.
pub const REBROADCAST_BLOCKS: u64 = 15;
/// Most transactions handed over again after one block.
pub const REBROADCAST_MAX: usize = 1_024;
/// Hashes remembered for pollers of new pending transactions.
pub const RECENT_HASHES_MAX: usize = 8_192;
/// Additions a slow subscriber may fall behind before it misses some.
const SUBSCRIBER_LAG_MAX: usize = 4_096;

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

/// Transactions of one sender, in nonce order.
#[derive(Clone, Debug)]
pub struct SenderContent {
    /// The sender.
    pub sender: Address,
    /// Nonces without a gap from the account's nonce on.
    pub pending: Vec<Arc<PooledTransaction>>,
    /// The others.
    pub queued: Vec<Arc<PooledTransaction>>,
}

/// A transaction on its way in, with what the head says about its sender.
#[derive(Clone, Debug)]
pub struct Newcomer {
    /// The transaction.
    pub tx: Arc<PooledTransaction>,
    /// Its sender's account at the head.
    pub account: AccountState,
}

/// The pool. All methods are short and never wait; the lock is never held over a signature, a file or a state.
#[derive(Debug)]
pub struct Pool {
    senders: Senders,
    limits: PoolLimits,
    entries: Mutex<Entries>,
    additions: broadcast::Sender<Arc<PooledTransaction>>,
    journal: Option<Journal>,
}

impl Pool {
    /// An empty pool of the chain with this EIP-155 id, in memory only.
    pub fn new(chain_id: u64, limits: PoolLimits) -> Self {
        Self::with(chain_id, limits, None)
    }

    /// The pool of `chain` with the journal at `path`, which is read first: what can still run waits again.
    ///
    /// Takes as long as recovering all senders on all cores. Fails when the file cannot be read and written, is no
    /// journal, or is of another chain.
    pub fn open(chain: &Chain, limits: PoolLimits, path: &Path) -> Result<Self, JournalError> {
        let pool = Self::with(chain.chain_id(), limits, Some(Journal::open(path, chain.chain_id())?));
        pool.restore(chain)?;
        Ok(pool)
    }

    fn with(chain_id: u64, limits: PoolLimits, journal: Option<Journal>) -> Self {
        let (senders, entries) = (Senders::new(chain_id), Mutex::new(Entries::new(limits.clone())));
        Self { senders, limits, entries, additions: broadcast::Sender::new(SUBSCRIBER_LAG_MAX), journal }
    }

    /// Decodes EIP-2718 bytes, checks everything that needs no state, and recovers the sender (about 40 µs).
    pub fn decode(&self, raw: Bytes) -> Result<PooledTransaction, PoolError> {
        admission::decode(raw, &self.senders, &self.limits)
    }

    /// The same for many, on all cores.
    pub fn decode_all(&self, raws: Vec<Bytes>) -> Vec<Result<PooledTransaction, PoolError>> {
        raws.into_par_iter().map(|raw| self.decode(raw)).collect()
    }

    /// A transaction whose sender the caller knows, without any check but that its cost is a number.
    pub fn trusted(tx: &Recovered<TxEnvelope>) -> Result<PooledTransaction, PoolError> {
        admission::summarize(tx.encoded_2718().into(), tx.inner(), tx.signer())
    }

    /// Takes a transaction in, replacing one of the same sender and nonce if it pays 10 % more. With a journal it is in
    /// the file when this returns.
    pub fn add(
        &self,
        tx: impl Into<Arc<PooledTransaction>>,
        account: AccountState,
        head: HeadState,
    ) -> Result<Arc<PooledTransaction>, PoolError> {
        let tx = tx.into();
        self.entries.lock().add(tx.clone(), account, head, head.timestamp)?;
        self.keep(std::slice::from_ref(&tx), head.timestamp)?;
        self.announce(&tx);
        Ok(tx)
    }

    /// The same for many, in this order, with one write to the journal.
    pub fn add_batch(&self, batch: Vec<Newcomer>, head: HeadState) -> Vec<Result<Arc<PooledTransaction>, PoolError>> {
        let mut results = Vec::with_capacity(batch.len());
        for Newcomer { tx, account } in batch {
            // One lock for each, so that others get their turn in between.
            let added = self.entries.lock().add(tx.clone(), account, head, head.timestamp);
            results.push(added.map(|()| tx));
        }
        let added: Vec<_> = results.iter().flatten().cloned().collect();
        if let Err(error) = self.keep(&added, head.timestamp) {
            return results.into_iter().map(|result| result.and(Err(error.clone()))).collect();
        }
        added.iter().for_each(|tx| self.announce(tx));
        results
    }

    fn keep(&self, added: &[Arc<PooledTransaction>], now: u64) -> Result<(), PoolError> {
        let Some(journal) = &self.journal else { return Ok(()) };
        journal.append(added, now).map_err(|error| {
            let mut entries = self.entries.lock();
            added.iter().for_each(|tx| entries.remove(&tx.hash));
            tracing::error!(%error, "the journal of the pool cannot be written");
            PoolError::Journal(error.to_string())
        })
    }

    fn announce(&self, tx: &Arc<PooledTransaction>) {
        // An error only says that nobody listens.
        let _ = self.additions.send(tx.clone());
    }

    /// Forgets a transaction that was refused after all, also in the journal.
    pub fn remove(&self, hash: &B256) {
        self.entries.lock().remove(hash);
        if let Some(journal) = &self.journal
            && let Err(error) = journal.strike(hash)
        {
            tracing::warn!(%error, %hash, "a refused transaction stays in the journal of the pool");
        }
    }

    /// A waiting transaction.
    pub fn get(&self, hash: &B256) -> Option<Arc<PooledTransaction>> {
        self.entries.lock().get(hash)
    }

    /// The nonce after the last transaction that follows `state_nonce` without a gap.
    pub fn pending_nonce(&self, sender: &Address, state_nonce: u64) -> u64 {
        self.entries.lock().pending_nonce(sender, state_nonce)
    }

    /// Number of pending and of queued transactions.
    pub fn status(&self) -> (usize, usize) {
        self.entries.lock().status()
    }

    /// Encoded length of all transactions, in bytes.
    pub fn bytes(&self) -> usize {
        self.entries.lock().bytes()
    }

    /// Everything that waits, or what `only` has waiting, by sender.
    pub fn content(&self, only: Option<Address>) -> Vec<SenderContent> {
        let mut content = self.entries.lock().content(only);
        content.sort_unstable_by_key(|c| c.sender);
        content
    }

    /// Senders that have transactions waiting.
    pub fn senders(&self) -> Vec<Address> {
        self.entries.lock().senders().copied().collect()
    }

    /// Those of `addresses` that have transactions waiting.
    pub fn senders_among(&self, addresses: &[Address]) -> Vec<Address> {
        let entries = self.entries.lock();
        addresses.iter().filter(|address| entries.contains_sender(address)).copied().collect()
    }

    /// The `count` transactions that a block on the head would take first: the highest effective tip of those whose
    /// lower nonces were taken. Costs as much as there are senders.
    pub fn best(&self, head: HeadState, count: usize) -> Vec<Arc<PooledTransaction>> {
        self.entries.lock().best(head, count)
    }

    /// Pending transactions of `sender` that were never handed over and that the base fee lets run, marked as handed
    /// over at the head.
    pub fn take_ready(&self, sender: &Address, head: HeadState) -> Vec<Arc<PooledTransaction>> {
        self.entries.lock().take_ready(*sender, head)
    }

    /// Pending transactions that were never handed over or [`REBROADCAST_BLOCKS`] ago, at most [`REBROADCAST_MAX`],
    /// marked as handed over at the head. Those that waited for the base fee to fall come first, the best paying before
    /// the others.
    pub fn take_due(&self, head: HeadState) -> Vec<Arc<PooledTransaction>> {
        self.entries.lock().take_due(head, REBROADCAST_MAX)
    }

    /// Makes a transaction due again, because handing it over failed.
    pub fn mark_unsent(&self, hash: &B256) {
        self.entries.lock().mark_unsent(hash);
    }

    /// Takes over what block `head` left of the accounts it changed: what it mined leaves, and what can no longer be
    /// paid. Fails with [`PoolError::Outdated`] if the pool has heard of a newer block meanwhile.
    pub fn settle(&self, accounts: &[(Address, AccountState)], head: u64) -> Result<(), PoolError> {
        // One lock for each, so that others get their turn in between.
        accounts.iter().try_for_each(|(sender, account)| self.entries.lock().settle(*sender, *account, head))
    }

    /// Drops what has waited behind a nonce gap for longer than [`PoolLimits::queued_seconds`] at Unix second `now`.
    pub fn expire(&self, now: u64) {
        self.entries.lock().expire(now.saturating_sub(self.limits.queued_seconds));
    }

    /// Every transaction taken in from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<PooledTransaction>> {
        self.additions.subscribe()
    }

    /// Cursor after the newest addition, for [`Pool::added_since`].
    pub fn cursor(&self) -> u64 {
        self.entries.lock().recent_end()
    }

    /// Hashes added since `cursor` (the newest [`RECENT_HASHES_MAX`] of them), and the next cursor.
    pub fn added_since(&self, cursor: u64) -> (Vec<B256>, u64) {
        let entries = self.entries.lock();
        (entries.recent_since(cursor), entries.recent_end())
    }
}
