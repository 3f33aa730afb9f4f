//! Proofs of accounts and storage slots (EIP-1186).
//!
//! The nodes of a past trie are read from the history of nodes, only those on the path; each is compared with the hash
//! that its parent, or the header, has of it.

use crate::{
    Chain, ChainError,
    state::{AccountNodes, StateView, StorageNodes},
    trie::prove,
};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_rpc_types_eth::{EIP1186AccountProofResponse, EIP1186StorageProof};
use alloy_serde::JsonStorageKey;
use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY};

/// Slots one proof may ask for.
pub const PROOF_SLOTS_MAX: usize = 1_024;

impl Chain {
    /// Proof of an account and of slots of it (existing or not) against the state root of block `number`.
    ///
    /// Fails over [`PROOF_SLOTS_MAX`] slots, beyond the head, and below [`Chain::oldest_proof`].
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

    /// Oldest block that can be proven: [`Chain::oldest_state`], or where a chain of an older format was migrated.
    pub fn oldest_proof(&self) -> Result<u64, ChainError> {
        self.snapshot().proofs_from()
    }

    /// A state whose tries can be read.
    pub(crate) fn provable_state(&self, number: u64) -> Result<StateView, ChainError> {
        let (head, snapshot, codes) = self.parts();
        let view = StateView::at(snapshot.clone(), codes, number, head.number())?;
        let oldest = snapshot.proofs_from()?;
        if number < oldest {
            return Err(ChainError::ProofTooOld { number, oldest });
        }
        Ok(view)
    }
}

#[cfg(test)]
mod tests;
