//! What a transaction must satisfy before the pool keeps it.
//!
//! Two steps, both pure: [`decode`] needs nothing but the bytes, the chain id and the limits, and looks at the
//! signature last because that costs most; [`check`] needs the sender's account and the head.

use super::{AccountState, HeadState, PoolError, PoolLimits, PooledTransaction};
use crate::transactions::Senders;
use alloy_consensus::{Transaction, TxEnvelope};
use alloy_primitives::{Address, Bytes, U256};
use revm::context_interface::cfg::gas::calculate_initial_tx_gas;
use revm::primitives::hardfork::SpecId;

/// Largest init code in bytes (EIP-3860).
pub const INIT_CODE_BYTES_MAX: usize = revm::primitives::eip3860::MAX_INITCODE_SIZE;
/// The base fee never falls below this many wei: one eighth of it rounds to nothing (EIP-1559).
pub const BASE_FEE_MIN_WEI: u128 = 7;
/// A replacement must pay at least this much more than what it replaces, in percent.
pub const REPLACEMENT_PERCENT: u128 = 10;

/// Decodes EIP-2718 bytes, checks everything that needs no state, and finds the sender.
pub(super) fn decode(raw: Bytes, senders: &Senders, limits: &PoolLimits) -> Result<PooledTransaction, PoolError> {
    if raw.is_empty() {
        return Err(PoolError::Empty);
    }
    let tx = senders.decode(&raw)?;
    check_shape(&tx, limits)?;
    let sender = senders.sender(&tx)?;
    summarize(raw, &tx, sender)
}

/// The pool's view of a transaction.
pub(super) fn summarize(raw: Bytes, tx: &TxEnvelope, sender: Address) -> Result<PooledTransaction, PoolError> {
    Ok(PooledTransaction {
        hash: *tx.tx_hash(),
        sender,
        raw,
        cost: cost(tx)?,
        nonce: tx.nonce(),
        gas_limit: tx.gas_limit(),
        fee_cap: tx.max_fee_per_gas(),
        tip_cap: tx.max_priority_fee_per_gas().unwrap_or_else(|| tx.max_fee_per_gas()),
        authorities: authorities(tx),
    })
}

/// Checks a decoded transaction against its sender's account and the head.
pub(super) fn check(tx: &PooledTransaction, account: &AccountState, head: &HeadState) -> Result<(), PoolError> {
    let (nonce, gas) = (tx.nonce, tx.gas_limit);
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

/// Checks that `new` pays [`REPLACEMENT_PERCENT`] more than `old` in both prices.
pub(super) fn check_replacement(old: &PooledTransaction, new: &PooledTransaction) -> Result<(), PoolError> {
    let raised = |wei: u128| wei.saturating_add((wei.saturating_mul(REPLACEMENT_PERCENT)).div_ceil(100));
    let (fee_min, tip_min) = (raised(old.fee_cap), raised(old.tip_cap));
    let (fee, tip) = (new.fee_cap, new.tip_cap);
    if fee >= fee_min && tip >= tip_min && fee > old.fee_cap {
        return Ok(());
    }
    Err(PoolError::Underpriced { fee, tip, fee_min, tip_min })
}

fn check_shape(tx: &TxEnvelope, limits: &PoolLimits) -> Result<(), PoolError> {
    if tx.nonce() == u64::MAX {
        return Err(PoolError::NonceMax { nonce: tx.nonce() });
    }
    if tx.is_create() && tx.input().len() > INIT_CODE_BYTES_MAX {
        return Err(PoolError::InitCode { size: tx.input().len(), limit: INIT_CODE_BYTES_MAX });
    }
    if tx.authorization_list().is_some_and(|list| list.is_empty()) {
        return Err(PoolError::NoAuthorization);
    }
    check_price(tx, limits)?;
    check_intrinsic_gas(tx)
}

fn check_price(tx: &TxEnvelope, limits: &PoolLimits) -> Result<(), PoolError> {
    let fee = tx.max_fee_per_gas();
    let tip = tx.max_priority_fee_per_gas().unwrap_or(fee);
    if tip > fee {
        return Err(PoolError::TipAboveFee { tip, fee });
    }
    if fee < limits.fee_min_wei {
        return Err(PoolError::FeeTooLow { fee, base_fee: limits.fee_min_wei });
    }
    if tip < limits.tip_min_wei {
        return Err(PoolError::TipTooLow { tip, tip_min: limits.tip_min_wei });
    }
    Ok(())
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

/// Each costs a signature recovery; the gas of EIP-7702 and the length of a transaction bound how many there are.
fn authorities(tx: &TxEnvelope) -> Box<[Address]> {
    let signed = tx.authorization_list().unwrap_or_default();
    let mut authorities: Vec<_> = signed.iter().filter_map(|item| item.recover_authority().ok()).collect();
    authorities.sort_unstable();
    authorities.dedup();
    authorities.into()
}
