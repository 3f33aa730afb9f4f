//! Choose transactions for a block.
//!
//! Of each sender the lowest nonce goes first; between senders the higher priority fee goes first, then the earlier
//! candidate. Of two candidates with one nonce the better paying one is taken and the other waits, to be rejected when
//! the first is final.

use crate::{
    BlockAttributes, BlockRecord, Chain, ChainError, Proposed, StateView,
    engine::Base,
    execute::{Execution, Refusal, next_header},
    front::{Front, HEADER_BYTES_MAX},
    state::Overlay,
    transactions::{BLOCK_BYTES_MAX, TRANSACTION_GAS_MIN},
};
use alloy_consensus::{Transaction, TxEnvelope, transaction::Recovered};
use alloy_primitives::{Address, B256, Bytes, map::AddressMap};
use alloy_rlp::Encodable;
use revm::context_interface::result::InvalidTransaction as Invalid;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

/// Candidates looked at for one block; further ones are deferred unseen.
const CANDIDATES_MAX: usize = 10_000;

/// A decoded candidate.
struct Candidate {
    index: usize,
    tip: u128,
    transaction: Recovered<TxEnvelope>,
}

/// Candidates by sender, and the next one of each by what it pays.
#[derive(Default)]
struct Queue {
    senders: AddressMap<VecDeque<Candidate>>,
    next: BinaryHeap<(u128, Reverse<usize>, Address)>,
}

/// What became of the candidates.
#[derive(Default)]
struct Verdicts {
    included: Vec<usize>,
    rejected: Vec<usize>,
    deferred: Vec<usize>,
    front: Front,
}

impl Chain {
    /// Builds a block on `parent` (the head or a pending block) from candidates in EIP-2718 encoding, in any order.
    ///
    /// The block is pending afterwards, so verifying or finalising it costs no execution.
    /// Fails when the parent is not known or the timestamp is before the parent's.
    pub fn propose(
        &self,
        parent: B256,
        attributes: BlockAttributes,
        candidates: &[Bytes],
    ) -> Result<Proposed, ChainError> {
        self.propose_after(parent, attributes, &[], candidates)
    }

    /// The same with transactions that come first, in this order: see [`Front`]. If not all of them are settled, no
    /// candidate is in the block.
    pub fn propose_after(
        &self,
        parent: B256,
        attributes: BlockAttributes,
        due: &[Bytes],
        candidates: &[Bytes],
    ) -> Result<Proposed, ChainError> {
        if self.rules().ethereum.is_some() {
            return Err(ChainError::Imported);
        }
        let base = self.base(parent).ok_or(ChainError::NotPending(parent))?;
        let (record, overlay, verdicts) = self.build(&base, attributes, due, candidates)?;
        let header_rlp = alloy_rlp::encode(&record.header).into();
        let hash = self.hold(record, overlay)?;
        let Verdicts { included, mut rejected, mut deferred, front } = verdicts;
        rejected.sort_unstable();
        deferred.sort_unstable();
        Ok(Proposed { hash, header_rlp, included, rejected, deferred, front })
    }

    /// The block that a proposal on the head would give; it is kept nowhere.
    pub(crate) fn preview(&self, attributes: BlockAttributes, candidates: &[Bytes]) -> Result<BlockRecord, ChainError> {
        let head = self.head().hash;
        let base = self.base(head).ok_or(ChainError::NotPending(head))?;
        self.build(&base, attributes, &[], candidates).map(|(record, _, _)| record)
    }

    /// Executes what is due, and those of the candidates that fit, on a block.
    fn build(
        &self,
        base: &Base,
        attributes: BlockAttributes,
        due: &[Bytes],
        candidates: &[Bytes],
    ) -> Result<(BlockRecord, Overlay, Verdicts), ChainError> {
        let (timestamp, earliest) = (attributes.timestamp, base.record.header.timestamp);
        if timestamp < earliest {
            return Err(ChainError::Timestamp { timestamp, parent: earliest });
        }
        let header = next_header(self.rules(), &base.record, attributes);
        let mut verdicts = Verdicts::default();
        let seen = candidates.len().min(CANDIDATES_MAX);
        verdicts.deferred.extend(seen..candidates.len());
        let base_fee = header.base_fee_per_gas.unwrap_or_default();
        let mut queue = self.queue(&candidates[..seen], base_fee, &mut verdicts);

        let mut execution = Execution::start(self.rules(), base, header)?;
        execution.expect(due.len() + seen);
        verdicts.front = self.settle(&mut execution, due)?;
        while verdicts.front.taken == due.len()
            && execution.gas_left() >= TRANSACTION_GAS_MIN
            && let Some(candidate) = queue.pop()
        {
            self.try_candidate(&mut execution, candidate, &mut verdicts)?;
        }
        verdicts.deferred.extend(queue.rest());

        let (record, overlay) = execution.finish()?;
        Ok((record, overlay, verdicts))
    }

    /// Decodes the candidates and sorts out those that cannot be in this block.
    fn queue(&self, candidates: &[Bytes], base_fee: u64, verdicts: &mut Verdicts) -> Queue {
        let mut senders: AddressMap<Vec<Candidate>> = AddressMap::default();
        for (index, recovered) in self.senders().recover_all(candidates).into_iter().enumerate() {
            match recovered {
                Err(error) => {
                    tracing::debug!(index, %error, "candidate rejected");
                    verdicts.rejected.push(index);
                }
                Ok(transaction) => match transaction.effective_tip_per_gas(base_fee) {
                    None => verdicts.deferred.push(index),
                    Some(tip) => {
                        let sender = transaction.signer();
                        senders.entry(sender).or_default().push(Candidate { index, tip, transaction });
                    }
                },
            }
        }
        Queue::new(senders)
    }

    fn try_candidate(
        &self,
        execution: &mut Execution,
        candidate: Candidate,
        verdicts: &mut Verdicts,
    ) -> Result<(), ChainError> {
        let Candidate { index, transaction, .. } = candidate;
        let bytes = execution.transactions_bytes() + transaction.inner().length();
        if bytes > BLOCK_BYTES_MAX - HEADER_BYTES_MAX {
            verdicts.deferred.push(index);
            return Ok(());
        }
        match execution.run(&transaction) {
            Ok(()) => verdicts.included.push(index),
            Err(Refusal::NoRoom { .. }) if transaction.gas_limit() <= self.rules().gas_limit => {
                verdicts.deferred.push(index);
            }
            Err(Refusal::Invalid(reason)) if self.may_become_valid(&reason, &transaction)? => {
                verdicts.deferred.push(index);
            }
            Err(Refusal::Failed(error)) => return Err(error),
            Err(reason) => {
                tracing::debug!(index, ?reason, "candidate rejected");
                verdicts.rejected.push(index);
            }
        }
        Ok(())
    }

    /// Whether a later state may accept the transaction.
    fn may_become_valid(&self, reason: &Invalid, transaction: &Recovered<TxEnvelope>) -> Result<bool, ChainError> {
        match reason {
            Invalid::NonceTooHigh { .. } | Invalid::GasPriceLessThanBasefee => Ok(true),
            // Only what is final counts against a transaction: a pending ancestor may still lose.
            Invalid::NonceTooLow { .. } => Ok(transaction.nonce() >= self.final_state()?.nonce(transaction.signer())?),
            Invalid::LackOfFundForMaxFee { fee, .. } => Ok(self.final_state()?.balance(transaction.signer())? >= **fee),
            _ => Ok(false),
        }
    }

    fn final_state(&self) -> Result<StateView, ChainError> {
        self.state(self.head().number())
    }
}

impl Queue {
    fn new(candidates: AddressMap<Vec<Candidate>>) -> Self {
        let mut queue = Self::default();
        for (sender, mut candidates) in candidates {
            candidates
                .sort_by_key(|candidate| (candidate.transaction.nonce(), Reverse(candidate.tip), candidate.index));
            queue.senders.insert(sender, candidates.into());
            queue.enlist(sender);
        }
        queue
    }

    /// The best candidate whose predecessors have been tried.
    fn pop(&mut self) -> Option<Candidate> {
        let (_, _, sender) = self.next.pop()?;
        let candidate = self.senders.get_mut(&sender)?.pop_front();
        self.enlist(sender);
        candidate
    }

    fn enlist(&mut self, sender: Address) {
        if let Some(candidate) = self.senders.get(&sender).and_then(VecDeque::front) {
            self.next.push((candidate.tip, Reverse(candidate.index), sender));
        }
    }

    /// Indices of the candidates that were not tried.
    fn rest(self) -> impl Iterator<Item = usize> {
        self.senders.into_values().flatten().map(|candidate| candidate.index)
    }
}

#[cfg(test)]
mod tests;
