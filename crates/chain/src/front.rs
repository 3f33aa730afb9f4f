//! Transactions that come before all others of a block, in an order that was fixed before anybody could read them.
//!
//! They run one after the other. Who cannot run at its place (it does not decode, or its nonce or its funds are not what
//! they would have to be) is passed over for good. The first one that the block has no room for ends the front: it and
//! all behind it come first in the next block, and no other transaction stands in this one. So what a block settles
//! follows from its parent and from the list, and who makes the block has no choice. The first one always has room.

use crate::{
    Chain, ChainError, InvalidBlock,
    execute::{Execution, Refusal},
    transactions::BLOCK_BYTES_MAX,
};
use alloy_primitives::Bytes;
use alloy_rlp::Encodable as _;

/// Bytes of a block that are not transactions, generously.
pub(crate) const HEADER_BYTES_MAX: usize = 4_096;

/// How far a block comes with what is due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Front {
    /// How many are settled: all of these are in the block or were passed over.
    pub taken: usize,
    /// Which of them are in the block, before all other transactions.
    pub included: Vec<usize>,
}

impl Chain {
    /// Runs what is due on a block that has no transactions yet.
    pub(crate) fn settle(&self, execution: &mut Execution, due: &[Bytes]) -> Result<Front, ChainError> {
        let mut front = Front::default();
        for (index, recovered) in self.senders().recover_all(due).into_iter().enumerate() {
            if let Ok(transaction) = recovered {
                let bytes = execution.transactions_bytes() + transaction.inner().length();
                if bytes > BLOCK_BYTES_MAX - HEADER_BYTES_MAX {
                    return Ok(front);
                }
                match execution.run(&transaction) {
                    Ok(()) => front.included.push(index),
                    Err(Refusal::NoRoom { gas_limit, .. }) if gas_limit <= self.rules().gas_limit => return Ok(front),
                    Err(Refusal::NoRoom { .. } | Refusal::Invalid(_)) => {
                        tracing::debug!(index, "an opened transaction cannot run at its place");
                    }
                    Err(Refusal::Failed(error)) => return Err(error),
                }
            }
            front.taken = index + 1;
        }
        Ok(front)
    }

    /// Runs what is due, and compares it with the first transactions of somebody else's block. Returns how many of its
    /// transactions that were.
    pub(crate) fn check_front(
        &self,
        execution: &mut Execution,
        due: &[Bytes],
        taken: usize,
        transactions: &[Bytes],
    ) -> Result<usize, InvalidBlock> {
        let front = self.settle(execution, due)?;
        let wrong = |index: usize, reason: String| Err(InvalidBlock::Transaction { index, reason });
        if front.taken != taken {
            let (due, found) = (due.len(), front.taken);
            return wrong(
                0,
                format!("of {due} transactions that are due {found} can be settled, the block says {taken}"),
            );
        }
        for (index, number) in front.included.iter().enumerate() {
            if transactions.get(index) != Some(&due[*number]) {
                return wrong(index, format!("transaction {number} of those that are due stands here"));
            }
        }
        let included = front.included.len();
        if taken < due.len() && transactions.len() > included {
            return wrong(included, format!("{} transactions that are due come before it", due.len() - taken));
        }
        Ok(included)
    }
}

#[cfg(test)]
mod tests;
