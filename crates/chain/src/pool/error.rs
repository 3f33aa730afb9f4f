//! Why the pool refuses a transaction, and what it would take instead.

use crate::{ChainError, InvalidTransaction};
use alloy_primitives::{Address, B256, U256};
use std::io;
use std::path::PathBuf;

/// Why the pool refused a transaction. Messages begin with the words that Ethereum clients and libraries match on, and
/// then give the values and the limit they broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each message names its fields")]
pub enum PoolError {
    #[error("transaction is empty")]
    Empty,
    /// It is valid on no state.
    #[error(transparent)]
    Invalid(#[from] InvalidTransaction),
    #[error("already known: {hash}")]
    AlreadyKnown { hash: B256 },
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow { next: u64, nonce: u64 },
    #[error("nonce too high: next nonce {next}, tx nonce {nonce}, at most {limit} ahead")]
    NonceTooHigh { next: u64, nonce: u64, limit: u64 },
    #[error("nonce has max value: {nonce} can never run (EIP-2681)")]
    NonceMax { nonce: u64 },
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, tx cost {cost}, overshot {}",
        .cost.saturating_sub(*.balance)
    )]
    InsufficientFunds { balance: U256, cost: U256 },
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, tx cost {cost}, overshot {}",
        .queued.saturating_add(*.cost).saturating_sub(*.balance)
    )]
    InsufficientFundsQueued { balance: U256, queued: U256, cost: U256 },
    #[error("gas uint64 overflow: gas {gas} at {price} wei and value {value} exceed 2^256")]
    CostOverflow { gas: u64, price: u128, value: U256 },
    #[error("intrinsic gas too low: gas {gas}, minimum needed {needed}")]
    IntrinsicGas { gas: u64, needed: u64 },
    #[error("insufficient gas for floor data gas cost: gas {gas}, minimum needed {needed}")]
    FloorDataGas { gas: u64, needed: u64 },
    #[error("exceeds block gas limit: gas {gas}, block gas limit {limit}")]
    BlockGasLimit { gas: u64, limit: u64 },
    #[error("max fee per gas less than block base fee: maxFeePerGas: {fee}, baseFee: {base_fee}")]
    FeeTooLow { fee: u128, base_fee: u128 },
    #[error("transaction underpriced: gas tip cap {tip}, minimum needed {tip_min}")]
    TipTooLow { tip: u128, tip_min: u128 },
    #[error("max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: {tip}, maxFeePerGas: {fee}")]
    TipAboveFee { tip: u128, fee: u128 },
    #[error("max initcode size exceeded: code size {size}, limit {limit}")]
    InitCode { size: usize, limit: usize },
    #[error("sender not an eoa: address {sender} has code")]
    SenderHasCode { sender: Address },
    #[error("set code transaction has an empty authorization list")]
    NoAuthorization,
    #[error(
        "replacement transaction underpriced: maxFeePerGas {fee}, maxPriorityFeePerGas {tip}, needed at least {fee_min} and {tip_min}"
    )]
    Underpriced { fee: u128, tip: u128, fee_min: u128, tip_min: u128 },
    #[error("account limit exceeded: {sender} has {count} transactions waiting, limit {limit}; wait for a block")]
    SenderFull { sender: Address, count: usize, limit: usize },
    #[error(
        "in-flight transaction limit reached for delegated accounts: {sender} has nonce {waiting} waiting, limit 1; wait for it or replace it"
    )]
    DelegatedInFlight { sender: Address, waiting: u64 },
    #[error("gapped-nonce tx from delegated accounts: next nonce {next}, tx nonce {nonce}; send nonce {next}")]
    DelegatedGap { next: u64, nonce: u64 },
    #[error(
        "authority already reserved: {authority} has {count} transactions waiting, at most 1 may wait when it delegates; wait for a block"
    )]
    AuthorityReserved { authority: Address, count: usize },
    /// The prices are per gas, above the next base fee.
    #[error(
        "txpool is full: {count} of {count_max} transactions, {bytes} of {bytes_max} bytes; this one pays {price} wei per gas over the base fee {base_fee} (the least of it and its sender's lower nonces), pay at least {price_min} wei (maxPriorityFeePerGas {price_min}, maxFeePerGas {})",
        .price_min.saturating_add(i128::from(*.base_fee))
    )]
    Full { count: usize, count_max: usize, bytes: usize, bytes_max: usize, price: i128, price_min: i128, base_fee: u64 },
    #[error(
        "txpool is full: {count} of {count_max} transactions, {bytes} of {bytes_max} bytes, all can run; nonce {nonce} cannot before nonce {next}, send nonce {next} first"
    )]
    FullForGapped { count: usize, count_max: usize, bytes: usize, bytes_max: usize, nonce: u64, next: u64 },
    /// The caller must read the account again; [`super::Pool`] never takes anything on an outdated state.
    #[error("the account was read at block {head}, the pool knows block {newest}: read it again")]
    Outdated { head: u64, newest: u64 },
    #[error("the transaction cannot be written to the journal of the pool ({0}), so it was not taken; try again later")]
    Journal(String),
}

/// Why the journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be read or written.
    #[error("cannot open the journal of the pool {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no journal, or of a newer version.
    #[error("{path} is no journal of version {version}: move it away to begin a new one")]
    Format {
        /// The file.
        path: PathBuf,
        /// The version this program writes.
        version: u32,
    },
    /// It belongs to another chain.
    #[error("the journal {path} is of chain {got}, this is chain {expected}: move it away to begin a new one")]
    Chain {
        /// The file.
        path: PathBuf,
        /// Chain id in the file.
        got: u64,
        /// Chain id of this chain.
        expected: u64,
    },
    /// What it holds cannot be checked against the chain.
    #[error("cannot check the journal of the pool: {0}")]
    State(#[from] ChainError),
}
