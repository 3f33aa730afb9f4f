//! The state root from the flat state alone: hashed keys in order through a hash builder, no stored node is read.
//!
//! Memory is bounded: where there are more rows than [`ROWS_MAX`], the rows are gone through several times and each
//! time those of one range of hashes are sorted and hashed.

use super::Snapshot;
use crate::ChainError;
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, KECCAK_EMPTY, Nibbles};

/// Rows sorted in memory at a time (about 120 bytes each).
const ROWS_MAX: u64 = 1 << 20;
/// Values of the first two bytes of a hash.
const PREFIXES: u64 = 1 << 16;

/// The flat state, counted and hashed.
pub(super) struct FlatState {
    /// Its root.
    pub root: B256,
    /// Accounts.
    pub accounts: u64,
    /// Storage slots.
    pub slots: u64,
}

/// Hashes the flat state. Fails where an account's storage or code is not what the account says.
pub(super) fn flat_state(snapshot: &Snapshot) -> Result<FlatState, ChainError> {
    let (mut accounts, mut slots) = (0, 0);
    for entry in snapshot.accounts()? {
        let (address, account) = entry?;
        accounts += 1;
        let count = snapshot.each_slot_of(address)?.count() as u64;
        slots += count;
        let root = storage_root(snapshot, address, count)?;
        if root != account.storage_root {
            let reason = format!("the storage of {address} hashes to {root}, its account has {}", account.storage_root);
            return Err(ChainError::decode("state", reason));
        }
        if account.code_hash != KECCAK_EMPTY {
            let code = snapshot.code(account.code_hash)?.ok_or(ChainError::MissingCode(account.code_hash))?;
            let hash = keccak256(&code);
            if hash != account.code_hash {
                return Err(ChainError::decode("code", format!("{} hashes to {hash}", account.code_hash)));
            }
        }
    }
    let stored = snapshot.slots_count()?;
    if stored != slots {
        let reason = format!("{stored} slots are stored, the accounts have {slots}");
        return Err(ChainError::decode("state", reason));
    }
    let root = root_of(accounts, || {
        let accounts = snapshot.accounts()?;
        Ok(accounts.map(|entry| entry.map(|(address, account)| (keccak256(address), alloy_rlp::encode(account)))))
    })?;
    Ok(FlatState { root, accounts, slots })
}

fn storage_root(snapshot: &Snapshot, address: Address, count: u64) -> Result<B256, ChainError> {
    root_of(count, || {
        let slots = snapshot.each_slot_of(address)?;
        Ok(slots.map(|entry| entry.map(|(slot, value)| hashed_slot(slot, value))))
    })
}

/// Key and value of a slot in a storage trie.
pub(super) fn hashed_slot(slot: U256, value: U256) -> (B256, Vec<u8>) {
    (keccak256(slot.to_be_bytes::<32>()), alloy_rlp::encode(value))
}

/// Root of the trie of `count` rows, which `rows` gives in any order, as often as it is asked.
fn root_of<I>(count: u64, rows: impl Fn() -> Result<I, ChainError>) -> Result<B256, ChainError>
where
    I: Iterator<Item = Result<(B256, Vec<u8>), ChainError>>,
{
    if count == 0 {
        return Ok(EMPTY_ROOT_HASH);
    }
    let passes = count.div_ceil(ROWS_MAX).min(PREFIXES);
    let mut builder = HashBuilder::default();
    for pass in 0..passes {
        let range = pass * PREFIXES / passes..(pass + 1) * PREFIXES / passes;
        let within = |key: &B256| range.contains(&u64::from(u16::from_be_bytes([key[0], key[1]])));
        let mut sorted = Vec::new();
        for row in rows()? {
            let row = row?;
            if within(&row.0) {
                sorted.push(row);
            }
        }
        sorted.sort_unstable_by_key(|row| row.0);
        sorted.iter().for_each(|(key, value)| builder.add_leaf(Nibbles::unpack(key), value));
    }
    Ok(builder.root())
}
