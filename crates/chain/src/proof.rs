//! Proofs of accounts and storage slots (EIP-1186).
//!
//! Only the newest trie is stored. The trie of an earlier block is rebuilt in memory by undoing the later changes, and
//! its root is compared with the header before anything is proven from it; that is bounded, so old blocks are refused.

use crate::{
    Chain, ChainError,
    state::{AccountNodes, StateChanges, StateView, StorageNodes},
    trie::prove,
};
use alloy_primitives::{Address, B256, U256, keccak256, map::HashSet};
use alloy_rpc_types_eth::{EIP1186AccountProofResponse, EIP1186StorageProof};
use alloy_serde::JsonStorageKey;
use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY};
use std::sync::Arc;

/// Slots one proof may ask for.
pub const PROOF_SLOTS_MAX: usize = 1_024;
/// Blocks that may be undone for a proof.
pub const PROOF_BLOCKS_MAX: u64 = 1_024;
/// Changed accounts and slots that may be undone for a proof.
pub const PROOF_CHANGES_MAX: usize = 100_000;

impl Chain {
    /// Proof of an account and of slots of it (existing or not) against the state root of block `number`.
    ///
    /// Fails over [`PROOF_SLOTS_MAX`] slots, and for blocks further back than [`PROOF_BLOCKS_MAX`] or
    /// [`PROOF_CHANGES_MAX`] changes.
    pub fn proof(
        &self,
        number: u64,
        address: Address,
        slots: &[B256],
    ) -> Result<EIP1186AccountProofResponse, ChainError> {
        if slots.len() > PROOF_SLOTS_MAX {
            return Err(ChainError::ProofSlots { asked: slots.len(), max: PROOF_SLOTS_MAX });
        }
        let view = self.provable_state(number)?;
        let hashed = keccak256(address);
        let account = view.account(address)?;
        let storage_hash = account.map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
        let prove_slot = |slot: &B256| {
            Ok(EIP1186StorageProof {
                key: JsonStorageKey::Hash(*slot),
                value: view.storage(address, U256::from_be_bytes(slot.0))?,
                proof: prove(&StorageNodes(&view, hashed), storage_hash, &keccak256(slot))?,
            })
        };
        Ok(EIP1186AccountProofResponse {
            address,
            balance: account.map(|account| account.balance).unwrap_or_default(),
            code_hash: account.map_or(KECCAK_EMPTY, |account| account.code_hash),
            nonce: account.map(|account| account.nonce).unwrap_or_default(),
            storage_hash,
            account_proof: prove(&AccountNodes(&view), view.state_root()?, &hashed)?,
            storage_proof: slots.iter().map(prove_slot).collect::<Result<_, ChainError>>()?,
        })
    }

    /// A state whose tries can be read.
    fn provable_state(&self, number: u64) -> Result<StateView, ChainError> {
        let (head, snapshot, codes) = self.parts();
        let head = head.number();
        let latest = StateView::latest(snapshot.clone(), codes.clone(), head);
        if number == head {
            return Ok(latest);
        }
        let past = StateView::at(snapshot.clone(), codes, number, head)?;
        let too_old = |changes| ChainError::ProofTooOld {
            number,
            blocks: head - number,
            changes,
            blocks_max: PROOF_BLOCKS_MAX,
            changes_max: PROOF_CHANGES_MAX,
        };
        if head - number > PROOF_BLOCKS_MAX {
            return Err(too_old(0));
        }
        let (mut accounts, mut slots) = (HashSet::<Address>::default(), HashSet::<(Address, U256)>::default());
        for later in number + 1..=head {
            let changed = snapshot.changed(later)?;
            accounts.extend(changed.accounts);
            slots.extend(changed.slots);
            if accounts.len() + slots.len() > PROOF_CHANGES_MAX {
                return Err(too_old(accounts.len() + slots.len()));
            }
        }
        let mut undo = StateChanges::default();
        for address in accounts {
            undo.set_account(address, past.account(address)?);
        }
        for (address, slot) in slots {
            undo.set_slot(address, slot, past.storage(address, slot)?);
        }
        let overlay = undo.apply(&latest)?;
        let (hash, header) = snapshot.header(number)?.ok_or(ChainError::UnknownBlock { number, head })?;
        if overlay.state_root != header.state_root {
            let reason =
                format!("undoing to block {number} gives {}, its header has {}", overlay.state_root, header.state_root);
            return Err(ChainError::decode("history", reason));
        }
        Ok(latest.with_overlays(vec![Arc::new(overlay.sealed(number, hash))]))
    }
}

#[cfg(test)]
mod tests;
