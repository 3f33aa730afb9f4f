//! What a transaction must satisfy before the pool keeps it.
//!
//! Two steps, both pure: [`decode`] needs nothing but the bytes and the chain id; [`check`] needs the sender's account
//! and the head. Messages begin with the words that Ethereum clients and libraries match on, and then give the values.

use crate::{TRANSACTION_BYTES_MAX, TRANSACTION_GAS_MAX};
use alloy_consensus::{Transaction, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, B256, Bytes, U256};
use revm::context_interface::cfg::gas::calculate_initial_tx_gas;
use revm::primitives::hardfork::SpecId;

/// Largest init code in bytes (EIP-3860).
pub const INIT_CODE_BYTES_MAX: usize = revm::primitives::eip3860::MAX_INITCODE_SIZE;
/// The base fee never falls below this many wei: one eighth of it rounds to nothing (EIP-1559).
pub const BASE_FEE_MIN_WEI: u128 = 7;
/// How far a nonce may be ahead of the next one that can run.
pub const NONCE_GAP_MAX: u64 = 256;
/// A replacement must pay at least this much more than what it replaces, in percent.
pub const REPLACEMENT_PERCENT: u128 = 10;

const BLOB_TYPE: u8 = 3;

/// Why the pool refused a transaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each message names its fields")]
pub enum PoolError {
    #[error("transaction is empty")]
    Empty,
    #[error("oversized data: transaction size {size}, limit {limit}")]
    Oversized { size: usize, limit: usize },
    #[error("transaction cannot be decoded: {0}")]
    Undecodable(String),
    #[error("transaction type not supported: blob transactions (type 3) are not accepted, send data as calldata")]
    BlobRefused,
    #[error("invalid sender: {0}")]
    Signature(String),
    #[error("only replay-protected (EIP-155) transactions allowed over RPC")]
    Unprotected,
    #[error("invalid chain id for signer: have {have} want {want}")]
    ChainId { have: u64, want: u64 },
    #[error("already known: {hash}")]
    AlreadyKnown { hash: B256 },
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow { next: u64, nonce: u64 },
    #[error("nonce too high: next nonce {next}, tx nonce {nonce}, at most {limit} ahead")]
    NonceTooHigh { next: u64, nonce: u64, limit: u64 },
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
    #[error("transaction gas limit too high (cap: {limit}, tx: {gas})")]
    GasTooHigh { gas: u64, limit: u64 },
    #[error("max fee per gas less than block base fee: maxFeePerGas: {fee}, baseFee: {base_fee}")]
    FeeTooLow { fee: u128, base_fee: u128 },
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
    #[error("account limit exceeded: {sender} has {count} transactions waiting, limit {limit}")]
    SenderFull { sender: Address, count: usize, limit: usize },
    #[error("txpool is full: {count} transactions, {bytes} bytes waiting, limits {count_max} and {bytes_max}")]
    Full { count: usize, bytes: usize, count_max: usize, bytes_max: usize },
}

/// A decoded transaction with what was derived from its bytes once.
#[derive(Clone, Debug)]
pub struct PooledTransaction {
    /// The signed transaction.
    pub tx: TxEnvelope,
    /// Its hash.
    pub hash: B256,
    /// Who signed it.
    pub sender: Address,
    /// EIP-2718 bytes, as received.
    pub raw: Bytes,
    /// Most it can take from the sender, in wei: gas limit times fee cap, plus value.
    pub cost: U256,
}

impl PooledTransaction {
    /// Sender's nonce in the transaction.
    pub fn nonce(&self) -> u64 {
        self.tx.nonce()
    }

    /// Highest price per gas it pays, in wei.
    pub fn fee_cap(&self) -> u128 {
        self.tx.max_fee_per_gas()
    }

    /// Highest tip per gas it pays, in wei.
    pub fn tip_cap(&self) -> u128 {
        self.tx.max_priority_fee_per_gas().unwrap_or_else(|| self.tx.max_fee_per_gas())
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

/// Decodes EIP-2718 bytes and checks everything that needs no state; asks `recover` for the sender last.
pub(super) fn decode(
    raw: &Bytes,
    chain_id: u64,
    recover: impl FnOnce(&[u8]) -> Result<Address, String>,
) -> Result<PooledTransaction, PoolError> {
    let first = *raw.first().ok_or(PoolError::Empty)?;
    if raw.len() > TRANSACTION_BYTES_MAX {
        return Err(PoolError::Oversized { size: raw.len(), limit: TRANSACTION_BYTES_MAX });
    }
    if first == BLOB_TYPE {
        return Err(PoolError::BlobRefused);
    }
    let tx = TxEnvelope::decode_2718_exact(raw).map_err(|e| PoolError::Undecodable(e.to_string()))?;
    let have = tx.chain_id().ok_or(PoolError::Unprotected)?;
    if have != chain_id {
        return Err(PoolError::ChainId { have, want: chain_id });
    }
    check_shape(&tx)?;
    let sender = recover(raw).map_err(PoolError::Signature)?;
    let cost = cost(&tx)?;
    Ok(PooledTransaction { hash: *tx.tx_hash(), sender, raw: raw.clone(), cost, tx })
}

/// Checks a decoded transaction against its sender's account and the head.
pub(super) fn check(tx: &PooledTransaction, account: &AccountState, head: &HeadState) -> Result<(), PoolError> {
    let (nonce, gas) = (tx.nonce(), tx.tx.gas_limit());
    if gas > head.gas_limit {
        return Err(PoolError::BlockGasLimit { gas, limit: head.gas_limit });
    }
    if nonce < account.nonce {
        return Err(PoolError::NonceTooLow { next: account.nonce, nonce });
    }
    if account.has_code {
        return Err(PoolError::SenderHasCode { sender: tx.sender });
    }
    if tx.cost > account.balance {
        return Err(PoolError::InsufficientFunds { balance: account.balance, cost: tx.cost });
    }
    Ok(())
}

fn check_shape(tx: &TxEnvelope) -> Result<(), PoolError> {
    let (gas, fee) = (tx.gas_limit(), tx.max_fee_per_gas());
    if gas > TRANSACTION_GAS_MAX {
        return Err(PoolError::GasTooHigh { gas, limit: TRANSACTION_GAS_MAX });
    }
    if tx.is_create() && tx.input().len() > INIT_CODE_BYTES_MAX {
        return Err(PoolError::InitCode { size: tx.input().len(), limit: INIT_CODE_BYTES_MAX });
    }
    if tx.authorization_list().is_some_and(|list| list.is_empty()) {
        return Err(PoolError::NoAuthorization);
    }
    if let Some(tip) = tx.max_priority_fee_per_gas().filter(|tip| *tip > fee) {
        return Err(PoolError::TipAboveFee { tip, fee });
    }
    if fee < BASE_FEE_MIN_WEI {
        return Err(PoolError::FeeTooLow { fee, base_fee: BASE_FEE_MIN_WEI });
    }
    check_intrinsic_gas(tx)
}

fn check_intrinsic_gas(tx: &TxEnvelope) -> Result<(), PoolError> {
    let gas = tx.gas_limit();
    let (accounts, slots) = tx
        .access_list()
        .map_or((0, 0), |list| (list.len() as u64, list.iter().map(|item| item.storage_keys.len() as u64).sum()));
    let authorizations = tx.authorization_list().map_or(0, |list| list.len() as u64);
    let needed =
        calculate_initial_tx_gas(SpecId::OSAKA, tx.input(), tx.is_create(), accounts, slots, authorizations, None);
    if gas < needed.initial_regular_gas {
        return Err(PoolError::IntrinsicGas { gas, needed: needed.initial_regular_gas });
    }
    if gas < needed.floor_gas {
        return Err(PoolError::FloorDataGas { gas, needed: needed.floor_gas });
    }
    Ok(())
}

fn cost(tx: &TxEnvelope) -> Result<U256, PoolError> {
    let (gas, price, value) = (tx.gas_limit(), tx.max_fee_per_gas(), tx.value());
    U256::from(gas)
        .checked_mul(U256::from(price))
        .and_then(|fee| fee.checked_add(value))
        .ok_or(PoolError::CostOverflow { gas, price, value })
}
