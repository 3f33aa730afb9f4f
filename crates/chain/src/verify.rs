//! Check a block somebody else built: execute it, and compare every field of its header.

use crate::{
    BlockAttributes, Chain, ChainError, InvalidBlock,
    block::transactions_root,
    execute::{Execution, Refusal, next_header},
    transactions::{BLOCK_BYTES_MAX, TRANSACTION_GAS_MIN, decode_exact},
};
use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes};
use alloy_rlp::Decodable;

impl Chain {
    /// Executes a block on `parent` (the head or a pending block) and keeps it pending; returns its hash.
    ///
    /// `transactions` are the block's, in order, in EIP-2718 encoding. A block that is pending or final already is not
    /// executed again. [`InvalidBlock::UnknownParent`] and [`InvalidBlock::Chain`] say nothing about the block.
    pub fn verify(
        &self,
        parent: B256,
        attributes: BlockAttributes,
        header_rlp: &[u8],
        transactions: &[Bytes],
    ) -> Result<B256, InvalidBlock> {
        self.verify_after(parent, attributes, header_rlp, (&[], 0), transactions)
    }

    /// The same of a block that settles the first `taken` of the transactions that are `due`, see [`Front`](crate::Front).
    /// If any are due, the block is executed also when it is pending: its hash does not say how many it settles.
    pub fn verify_after(
        &self,
        parent: B256,
        attributes: BlockAttributes,
        header_rlp: &[u8],
        (due, taken): (&[Bytes], usize),
        transactions: &[Bytes],
    ) -> Result<B256, InvalidBlock> {
        if self.rules().ethereum.is_some() {
            return Err(ChainError::Imported.into());
        }
        let header = decode_header(header_rlp)?;
        let hash = header.hash_slow();
        if header.parent_hash == parent && self.snapshot().number(hash)?.is_some() {
            return check_transactions(&header, transactions).map(|()| hash);
        }
        let base = self.base(parent).ok_or(InvalidBlock::UnknownParent(parent))?;
        let expected = next_header(self.rules(), &base.record, attributes);
        check_before_execution(&header, &expected, base.record.header.timestamp)?;
        if due.is_empty() && self.is_pending(hash) {
            return check_transactions(&header, transactions).map(|()| hash);
        }
        let (count, max) = (transactions.len(), (header.gas_limit / TRANSACTION_GAS_MIN) as usize);
        if count > max {
            return Err(InvalidBlock::Count { count, max });
        }
        let bytes = transactions.iter().map(|transaction| transaction.len()).sum::<usize>() + header_rlp.len();
        if bytes > BLOCK_BYTES_MAX {
            return Err(InvalidBlock::Size { bytes, max: BLOCK_BYTES_MAX });
        }

        let mut execution = Execution::start(self.rules(), &base, expected)?;
        execution.expect(count);
        let front = self.check_front(&mut execution, due, taken, transactions)?;
        for (index, recovered) in self.senders().recover_all(&transactions[front..]).into_iter().enumerate() {
            let invalid = |reason: String| InvalidBlock::Transaction { index: front + index, reason };
            let transaction = recovered.map_err(|error| invalid(error.to_string()))?;
            execution.run(&transaction).map_err(|refusal| match refusal {
                Refusal::Invalid(reason) => invalid(reason.to_string()),
                Refusal::NoRoom { gas_limit, left } => {
                    invalid(format!("it asks for {gas_limit} gas, the block has {left} left"))
                }
                Refusal::Failed(error) => error.into(),
            })?;
        }
        let (record, overlay) = execution.finish()?;
        check_after_execution(&header, &record.header)?;
        let max = BLOCK_BYTES_MAX;
        if record.size > max as u64 {
            return Err(InvalidBlock::Size { bytes: record.size as usize, max });
        }
        Ok(self.hold(record, overlay)?)
    }
}

/// Decodes a header and refuses every other encoding of it.
fn decode_header(header_rlp: &[u8]) -> Result<Header, InvalidBlock> {
    let mut rest = header_rlp;
    let header = Header::decode(&mut rest).map_err(|error| InvalidBlock::Header(error.to_string()))?;
    if alloy_rlp::encode(&header) != header_rlp {
        return Err(InvalidBlock::Header("it is not in canonical form".into()));
    }
    Ok(header)
}

macro_rules! compare {
    ($got:expr, $expected:expr; $($field:ident),+) => {
        $(if $got.$field != $expected.$field {
            return Err(InvalidBlock::Field {
                field: stringify!($field),
                expected: format!("{:?}", $expected.$field),
                got: format!("{:?}", $got.$field),
            });
        })+
    };
}

/// Compares what is known before execution.
fn check_before_execution(got: &Header, expected: &Header, parent_timestamp: u64) -> Result<(), InvalidBlock> {
    compare!(got, expected; parent_hash, ommers_hash, beneficiary, difficulty, number, gas_limit, timestamp, extra_data,
        mix_hash, nonce, base_fee_per_gas, withdrawals_root, blob_gas_used, excess_blob_gas, parent_beacon_block_root,
        requests_hash);
    if got.timestamp < parent_timestamp {
        return Err(InvalidBlock::Timestamp { timestamp: got.timestamp, parent: parent_timestamp });
    }
    Ok(())
}

/// Compares what execution gives, and then the whole, so that no field is forgotten.
pub(crate) fn check_after_execution(got: &Header, expected: &Header) -> Result<(), InvalidBlock> {
    compare!(got, expected; transactions_root, gas_used, receipts_root, logs_bloom, state_root);
    if got != expected {
        let (expected, got) = (format!("{expected:?}"), format!("{got:?}"));
        return Err(InvalidBlock::Field { field: "later than Osaka", expected, got });
    }
    Ok(())
}

/// Compares the transactions with the root in a header that is known to be valid.
fn check_transactions(header: &Header, transactions: &[Bytes]) -> Result<(), InvalidBlock> {
    let decoded: Result<Vec<_>, _> = transactions.iter().map(|transaction| decode_exact(transaction)).collect();
    let decoded = decoded.map_err(|error| InvalidBlock::Transaction { index: 0, reason: error.to_string() })?;
    let root = transactions_root(&decoded);
    if root != header.transactions_root {
        return Err(InvalidBlock::Field {
            field: "transactions_root",
            expected: format!("{root:?}"),
            got: format!("{:?}", header.transactions_root),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
