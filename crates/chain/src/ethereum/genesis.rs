//! Block 0 of an Ethereum chain.

use super::{Ethereum, GenesisError};
use crate::state::StateChanges;
use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, Header,
    constants::{EMPTY_RECEIPTS, EMPTY_TRANSACTIONS, EMPTY_WITHDRAWALS},
};
use alloy_eips::{eip1559::INITIAL_BASE_FEE, eip7685::EMPTY_REQUESTS_HASH};
use alloy_genesis::Genesis;
use alloy_primitives::{B64, B256, U256};
use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY, TrieAccount};
use revm::state::Bytecode;

/// Largest gas limit of a block (EIP-1985).
const GAS_LIMIT_MAX: u64 = i64::MAX as u64;
/// Largest excess blob gas a chain may begin with: the price is far beyond every balance by then.
const EXCESS_BLOB_GAS_MAX: u64 = 1 << 32;

/// The accounts of a genesis, empty ones included.
pub(crate) fn state(genesis: &Genesis) -> Result<StateChanges, GenesisError> {
    let mut changes = StateChanges::default();
    for (address, account) in &genesis.alloc {
        let code_hash = account.code_hash().unwrap_or(KECCAK_EMPTY);
        if let Some(code) = account.non_empty_code() {
            let invalid = |error: String| GenesisError::Code { address: *address, reason: error };
            let code = Bytecode::new_raw_checked(code.clone()).map_err(|error| invalid(error.to_string()))?;
            changes.set_code(code_hash, code);
        }
        let nonce = account.nonce.unwrap_or_default();
        let entry = TrieAccount::new(nonce, account.balance, EMPTY_ROOT_HASH, code_hash);
        changes.set_account(*address, Some(entry));
        for (slot, value) in account.storage_slots() {
            changes.set_slot(*address, U256::from_be_bytes(slot.0), value);
        }
    }
    Ok(changes)
}

/// The header of block 0, with the fields of the forks that hold from the beginning.
pub(crate) fn header(ethereum: &Ethereum, genesis: &Genesis, state_root: B256) -> Result<Header, GenesisError> {
    check(genesis)?;
    let config = ethereum.config();
    let london = config.london_block == Some(0);
    let reached = |time: Option<u64>| london && time.is_some_and(|time| genesis.timestamp >= time);
    let (shanghai, cancun) = (reached(config.shanghai_time), reached(config.cancun_time));
    let base_fee = genesis
        .base_fee_per_gas
        .map_or(Ok(INITIAL_BASE_FEE), |fee| u64::try_from(fee).map_err(|_| field("baseFeePerGas", fee, u64::MAX)))?;
    Ok(Header {
        parent_hash: genesis.parent_hash.unwrap_or_default(),
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: genesis.coinbase,
        state_root,
        transactions_root: EMPTY_TRANSACTIONS,
        receipts_root: EMPTY_RECEIPTS,
        difficulty: genesis.difficulty,
        gas_limit: genesis.gas_limit,
        timestamp: genesis.timestamp,
        extra_data: genesis.extra_data.clone(),
        mix_hash: genesis.mix_hash,
        nonce: B64::from(genesis.nonce),
        base_fee_per_gas: london.then_some(base_fee),
        withdrawals_root: shanghai.then_some(EMPTY_WITHDRAWALS),
        blob_gas_used: cancun.then(|| genesis.blob_gas_used.unwrap_or_default()),
        excess_blob_gas: cancun.then(|| genesis.excess_blob_gas.unwrap_or_default()),
        parent_beacon_block_root: cancun.then_some(B256::ZERO),
        requests_hash: reached(config.prague_time).then_some(EMPTY_REQUESTS_HASH),
        ..Default::default()
    })
}

fn check(genesis: &Genesis) -> Result<(), GenesisError> {
    let number = genesis.number.unwrap_or_default();
    if number != 0 {
        return Err(field("number", number, 0u64));
    }
    if genesis.gas_limit > GAS_LIMIT_MAX {
        return Err(field("gasLimit", genesis.gas_limit, GAS_LIMIT_MAX));
    }
    for (name, value) in [("excessBlobGas", genesis.excess_blob_gas), ("blobGasUsed", genesis.blob_gas_used)] {
        if let Some(value) = value.filter(|value| *value > EXCESS_BLOB_GAS_MAX) {
            return Err(field(name, value, EXCESS_BLOB_GAS_MAX));
        }
    }
    Ok(())
}

fn field(field: &'static str, value: impl ToString, max: impl ToString) -> GenesisError {
    GenesisError::Field { field, value: value.to_string(), max: max.to_string() }
}
