//! Transactions before they meet a state: decoding, the rules every state shares, and the sender.
//!
//! Recovering a sender costs more than executing a transfer, so it happens on all cores and is remembered by hash from
//! admission to finality, once for all chains of the process: the hash covers the signature, so it fixes the sender.
//! Accepted are the types 0 (with EIP-155 chain id), 1, 2 and 4; blob transactions are not,
//! because there is no blob market. Source: EIP-2718, EIP-155, EIP-2, EIP-7825.

use crate::cache::Cache;
use alloy_consensus::{
    Header, Transaction, TxEnvelope,
    transaction::{Recovered, SignerRecoverable},
};
use alloy_eips::{
    eip2718::{Decodable2718, Eip2718Error},
    eip4895::Withdrawals,
    eip7825::MAX_TX_GAS_LIMIT_OSAKA,
};
use alloy_primitives::{Address, B256, Bytes, ChainId};
use alloy_rlp::Encodable;
use rayon::prelude::*;
use std::sync::LazyLock;

/// Encoded length of one transaction, in bytes.
pub const TRANSACTION_BYTES_MAX: usize = 128 * 1024;
/// Gas limit of one transaction (EIP-7825).
pub const TRANSACTION_GAS_MAX: u64 = MAX_TX_GAS_LIMIT_OSAKA;
/// Gas of the cheapest transaction (yellow paper appendix G).
pub(crate) const TRANSACTION_GAS_MIN: u64 = 21_000;
/// Length of the RLP of a block, in bytes (EIP-7934: 10 MiB less a margin of 2 MiB).
pub(crate) const BLOCK_BYTES_MAX: usize = 8 << 20;
/// Senders remembered, over all chains of the process. Each is kept for at least half as many further ones, so for as
/// long as a transaction waits in a full pool.
const SENDERS_MAX: usize = 2 * crate::pool::POOL_TRANSACTIONS_MAX;
/// First byte of a blob transaction (EIP-4844).
const BLOB_TYPE: u8 = 3;

const _: () = assert!(TRANSACTION_BYTES_MAX < BLOCK_BYTES_MAX);

/// Why a transaction is valid on no state of this chain. Messages begin with the words that Ethereum clients match on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTransaction {
    /// Too long.
    #[error("oversized data: transaction size {bytes}, limit {max}")]
    Size {
        /// Its length.
        bytes: usize,
        /// Limit.
        max: usize,
    },
    /// Not an EIP-2718 transaction.
    #[error("transaction cannot be decoded: {0}")]
    Decode(String),
    /// Type 3.
    #[error("transaction type not supported: blob transactions (type 3) are not accepted, send the data as calldata")]
    Blob,
    /// Made for another chain.
    #[error("invalid chain id for signer: have {got} want {expected}")]
    ChainId {
        /// Chain id of the transaction.
        got: ChainId,
        /// Chain id of this chain.
        expected: ChainId,
    },
    /// Valid on every chain.
    #[error("only replay-protected (EIP-155) transactions allowed over RPC: sign for the chain id of this chain")]
    Unprotected,
    /// Over the limit of EIP-7825.
    #[error("transaction gas limit too high (cap: {max}, tx: {gas})")]
    Gas {
        /// Gas limit of the transaction.
        gas: u64,
        /// Limit.
        max: u64,
    },
    /// The signature belongs to nobody, or is the malleable twin of a signature (EIP-2).
    #[error("invalid sender: {0}")]
    Signature(String),
}

/// Recovers senders and remembers them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Senders {
    chain_id: ChainId,
}

/// Sender of each transaction seen lately. A pure function of the signed bytes, so every chain may use it.
static KNOWN: LazyLock<Cache<B256, Address>> = LazyLock::new(|| Cache::new(SENDERS_MAX));

impl Senders {
    /// For transactions of one chain.
    pub(crate) fn new(chain_id: ChainId) -> Self {
        Self { chain_id }
    }

    /// Decodes and checks a transaction and finds its sender.
    pub(crate) fn recover(&self, encoded: &[u8]) -> Result<Recovered<TxEnvelope>, InvalidTransaction> {
        let transaction = self.decode(encoded)?;
        let sender = self.sender(&transaction)?;
        Ok(Recovered::new_unchecked(transaction, sender))
    }

    /// Decodes and checks a transaction, all but its signature.
    pub(crate) fn decode(&self, encoded: &[u8]) -> Result<TxEnvelope, InvalidTransaction> {
        // Before the length, because blobs make a transaction long and shorter ones would not help.
        if encoded.first() == Some(&BLOB_TYPE) {
            return Err(InvalidTransaction::Blob);
        }
        if encoded.len() > TRANSACTION_BYTES_MAX {
            return Err(InvalidTransaction::Size { bytes: encoded.len(), max: TRANSACTION_BYTES_MAX });
        }
        let transaction = decode_exact(encoded).map_err(|error| InvalidTransaction::Decode(error.to_string()))?;
        self.check(&transaction)?;
        Ok(transaction)
    }

    /// The sender of a decoded transaction.
    pub(crate) fn sender(&self, transaction: &TxEnvelope) -> Result<Address, InvalidTransaction> {
        let hash = *transaction.tx_hash();
        if let Some(sender) = KNOWN.get(&hash) {
            return Ok(sender);
        }
        let sender = transaction.recover_signer().map_err(|error| InvalidTransaction::Signature(error.to_string()))?;
        KNOWN.insert(hash, sender);
        Ok(sender)
    }

    /// The same for many, on all cores.
    pub(crate) fn recover_all(&self, encoded: &[Bytes]) -> Vec<Result<Recovered<TxEnvelope>, InvalidTransaction>> {
        encoded.par_iter().map(|transaction| self.recover(transaction)).collect()
    }

    fn check(&self, transaction: &TxEnvelope) -> Result<(), InvalidTransaction> {
        match transaction.chain_id() {
            None => return Err(InvalidTransaction::Unprotected),
            Some(got) if got != self.chain_id => {
                return Err(InvalidTransaction::ChainId { got, expected: self.chain_id });
            }
            Some(_) => {}
        }
        let gas = transaction.gas_limit();
        if gas > TRANSACTION_GAS_MAX {
            return Err(InvalidTransaction::Gas { gas, max: TRANSACTION_GAS_MAX });
        }
        Ok(())
    }
}

/// Decodes a transaction that fills the bytes.
pub(crate) fn decode_exact(encoded: &[u8]) -> Result<TxEnvelope, Eip2718Error> {
    TxEnvelope::decode_2718_exact(encoded)
}

/// Length of the RLP of a block, in bytes.
pub(crate) fn block_rlp_length(
    header: &Header,
    transactions: &[TxEnvelope],
    ommers: &[Header],
    withdrawals: Option<&Withdrawals>,
) -> usize {
    let transactions = transactions.iter().map(Encodable::length).sum::<usize>();
    let ommers = ommers.iter().map(Encodable::length).sum::<usize>();
    let withdrawals = withdrawals.map_or(0, Encodable::length);
    list_length(header.length() + list_length(transactions) + list_length(ommers) + withdrawals)
}

fn list_length(payload_length: usize) -> usize {
    payload_length + alloy_rlp::length_of_length(payload_length)
}

#[cfg(test)]
mod tests;
