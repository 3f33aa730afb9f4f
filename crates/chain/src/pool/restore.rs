//! The pool and the chain: what the head says about an account, and what a journal holds that can still run.

use super::journal::Record;
use super::{AccountState, HeadState, JournalError, Newcomer, Pool, PoolError, PooledTransaction};
use crate::{BlockRecord, Chain, ChainError, StateView};
use alloy_primitives::{Address, Bytes, keccak256};
use std::io;
use std::sync::Arc;

/// Records checked at a time.
const RECORDS_MAX: usize = 4_096;
/// How often accounts are read again because a block arrived meanwhile.
const READS_MAX: usize = 8;

/// What became of each of several transactions.
pub type Admitted = Vec<Result<Arc<PooledTransaction>, PoolError>>;

impl HeadState {
    /// What the pool must know of a block, the head.
    pub(crate) fn of(head: &BlockRecord) -> Self {
        Self {
            number: head.number(),
            timestamp: head.header.timestamp,
            base_fee: crate::execute::next_base_fee(&head.header),
            gas_limit: head.header.gas_limit,
        }
    }
}

impl AccountState {
    /// What the pool must know of a sender.
    pub fn read(state: &StateView, address: Address) -> Result<Self, ChainError> {
        let Some(account) = state.account(address)? else { return Ok(Self::default()) };
        let code = state.code_by_hash(account.code_hash)?;
        let delegated = code.is_eip7702();
        let has_code = !delegated && !code.is_empty();
        Ok(Self { nonce: account.nonce, balance: account.balance, has_code, delegated })
    }
}

impl Pool {
    /// Takes decoded transactions in, in this order, each checked against its sender's account at the head; what became
    /// of each, and that head. With a journal, all of them are in it when this returns.
    pub fn admit(
        &self,
        chain: &Chain,
        decoded: Vec<Result<PooledTransaction, PoolError>>,
    ) -> Result<(Admitted, HeadState), ChainError> {
        let mut admitted: Admitted = decoded.into_iter().map(|decoded| decoded.map(Arc::new)).collect();
        let mut open: Vec<usize> = (0..admitted.len()).filter(|index| admitted[*index].is_ok()).collect();
        let mut head = HeadState::of(&chain.head());
        for _ in 0..READS_MAX {
            let state = chain.state(head.number)?;
            let newcomer = |index: &usize| {
                let tx = admitted[*index].clone().ok()?;
                Some(AccountState::read(&state, tx.sender).map(|account| Newcomer { tx, account }))
            };
            let batch: Vec<Newcomer> = open.iter().filter_map(newcomer).collect::<Result<_, _>>()?;
            let results = self.add_batch(batch.clone(), head);
            let mut outdated = Vec::new();
            for ((index, Newcomer { tx, .. }), result) in open.into_iter().zip(batch).zip(results) {
                let again = matches!(result, Err(PoolError::Outdated { .. }));
                outdated.extend(again.then_some(index));
                admitted[index] = if again { Ok(tx) } else { result };
            }
            if outdated.is_empty() {
                return Ok((admitted, head));
            }
            open = outdated;
            head = HeadState::of(&chain.head());
        }
        for index in open {
            admitted[index] = Err(PoolError::Outdated { head: head.number, newest: chain.head().number() });
        }
        Ok((admitted, head))
    }

    /// Takes over what the chain now says about `accounts`, because a block may have changed them.
    pub fn follow(&self, chain: &Chain, accounts: &[Address]) -> Result<(), ChainError> {
        for _ in 0..READS_MAX {
            let head = chain.head().number();
            let state = chain.state(head)?;
            let read = |address: &Address| AccountState::read(&state, *address).map(|account| (*address, account));
            let accounts = accounts.iter().map(read).collect::<Result<Vec<_>, _>>()?;
            if self.settle(&accounts, head).is_ok() {
                break;
            }
        }
        Ok(())
    }

    /// Takes in what the journal holds and the chain still accepts, and rewrites the journal with it.
    pub(super) fn restore(&self, chain: &Chain) -> Result<(), JournalError> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let failed = |source| JournalError::Io { path: journal.path().to_owned(), source };
        let (mut found, mut waiting) = (0_usize, Vec::new());
        for record in journal.records().map_err(failed)? {
            match record {
                Record::Added(raw, added_at) => {
                    found += 1;
                    waiting.push((raw, added_at));
                }
                Record::Struck(hash) => {
                    self.take_back(chain, std::mem::take(&mut waiting))?;
                    self.entries.lock().remove(&hash);
                }
            }
            if waiting.len() == RECORDS_MAX {
                self.take_back(chain, std::mem::take(&mut waiting))?;
            }
        }
        self.take_back(chain, waiting)?;
        journal.rewrite(|| self.entries.lock().all()).map_err(failed)?;
        let (pending, queued) = self.status();
        if found > 0 {
            tracing::info!(found, pending, queued, "the pool was restored from its journal");
        }
        Ok(())
    }

    fn take_back(&self, chain: &Chain, records: Vec<(Bytes, u64)>) -> Result<(), JournalError> {
        let head = chain.head();
        let (state, head) = (chain.state(head.number())?, HeadState::of(&head));
        let (mut raws, mut times) = (Vec::with_capacity(records.len()), Vec::with_capacity(records.len()));
        for (raw, added_at) in records {
            // Most of a journal was mined, and that is cheaper to find out than who signed it.
            if chain.transaction(keccak256(&raw))?.is_none() {
                raws.push(raw);
                times.push(added_at.min(head.timestamp));
            }
        }
        for (decoded, added_at) in self.decode_all(raws).into_iter().zip(times) {
            let taken = match decoded {
                Ok(tx) => {
                    let account = AccountState::read(&state, tx.sender)?;
                    self.entries.lock().add(Arc::new(tx), account, head, added_at)
                }
                Err(reason) => Err(reason),
            };
            if let Err(reason) = taken {
                tracing::debug!(%reason, "a transaction of the journal of the pool is stale");
            }
        }
        Ok(())
    }

    /// Puts on disk what the journal holds, and rewrites it if most of it is stale. Waits for the disk; a second call
    /// does nothing while one runs. Nothing to do without a journal.
    pub fn maintain_journal(&self) -> io::Result<()> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let (live, live_bytes) = {
            let entries = self.entries.lock();
            let (pending, queued) = entries.status();
            (pending + queued, entries.bytes())
        };
        if journal.is_stale(live, live_bytes) {
            journal.rewrite(|| self.entries.lock().all())?;
        }
        journal.sync()
    }
}
