//! What the pool keeps of a transaction: its bytes, and the few facts that decide its place.
//!
//! The decoded form is three times as long as the bytes and is needed only when somebody asks to see a transaction, so
//! it is made again then.

use alloy_consensus::TxEnvelope;
use alloy_primitives::{Address, B256, Bytes, U256};

/// A transaction with what was derived from its bytes once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PooledTransaction {
    /// Its hash.
    pub hash: B256,
    /// Who signed it.
    pub sender: Address,
    /// EIP-2718 bytes, as received.
    pub raw: Bytes,
    /// Most it can take from the sender, in wei: gas limit times fee cap, plus value.
    pub cost: U256,
    pub(super) nonce: u64,
    pub(super) gas_limit: u64,
    pub(super) fee_cap: u128,
    pub(super) tip_cap: u128,
    pub(super) authorities: Box<[Address]>,
}

impl PooledTransaction {
    /// Sender's nonce in the transaction.
    pub fn nonce(&self) -> u64 {
        self.nonce
    }

    /// Gas limit.
    pub fn gas_limit(&self) -> u64 {
        self.gas_limit
    }

    /// Highest price per gas it pays, in wei.
    pub fn fee_cap(&self) -> u128 {
        self.fee_cap
    }

    /// Highest tip per gas it pays, in wei.
    pub fn tip_cap(&self) -> u128 {
        self.tip_cap
    }

    /// Accounts whose code it sets (EIP-7702), without those whose signature is invalid.
    pub fn authorities(&self) -> &[Address] {
        &self.authorities
    }

    /// What the proposer of a block with this base fee gets per gas, in wei; negative if it cannot be in such a block.
    pub fn effective_tip(&self, base_fee: u64) -> i128 {
        above(self.fee_cap, base_fee).min(wei(self.tip_cap))
    }

    /// The transaction, decoded again.
    pub fn decoded(&self) -> TxEnvelope {
        crate::transactions::decode_exact(&self.raw).expect("the same bytes were decoded when it was admitted")
    }
}

/// The sender's account at the head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountState {
    /// Next nonce that can run.
    pub nonce: u64,
    /// Wei.
    pub balance: U256,
    /// Whether it holds code other than an EIP-7702 delegation.
    pub has_code: bool,
    /// Whether it holds an EIP-7702 delegation.
    pub delegated: bool,
}

/// What the pool must know of the head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadState {
    /// Number of the head.
    pub number: u64,
    /// Its time in Unix seconds.
    pub timestamp: u64,
    /// Base fee of the block after the head, in wei.
    pub base_fee: u64,
    /// Gas limit of a block.
    pub gas_limit: u64,
}

/// `fee_cap` less `base_fee`, in wei.
pub(super) fn above(fee_cap: u128, base_fee: u64) -> i128 {
    wei(fee_cap) - i128::from(base_fee)
}

/// Prices beyond 2^127 wei are no different from that: all coins together are fewer.
pub(super) fn wei(price: u128) -> i128 {
    i128::try_from(price).unwrap_or(i128::MAX)
}
