//! What a block changes in the flat state, and what that does to the tries.

use super::{Change, Known, Overlay, StateView, account_info};
use crate::{
    ChainError,
    trie::{NodeSource, Trie, TrieChanges},
};
use alloy_primitives::{Address, B256, U256, keccak256, map::B256Map};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount};
use rayon::prelude::*;
use revm::{
    database::BundleState,
    state::{AccountInfo, Bytecode},
};
use std::collections::BTreeMap;

/// Changed accounts and slots from which on they are looked up, and storage tries updated, in parallel.
const PARALLEL_CHANGES_MIN: usize = 64;

/// New values of accounts and slots. An account whose slots change must exist afterwards, or have none left.
#[derive(Debug, Default)]
pub(crate) struct StateChanges {
    accounts: BTreeMap<Address, AccountChanges>,
    codes: B256Map<Bytecode>,
}

#[derive(Debug)]
struct AccountChanges {
    /// Nonce, balance and code hash; `None` when the account is gone.
    info: Option<AccountInfo>,
    slots: BTreeMap<U256, U256>,
    /// Whether it lost all its slots before those here were set (`SELFDESTRUCT` before EIP-6780).
    wiped: bool,
}

/// One account with its storage trie updated.
struct Updated {
    address: Address,
    hashed: B256,
    account: Change<Option<TrieAccount>>,
    slots: Vec<(U256, Change<U256>)>,
    nodes: Vec<(Nibbles, Option<Vec<u8>>)>,
}

/// Nodes of the account trie.
pub(crate) struct AccountNodes<'a>(pub &'a StateView);

/// Nodes of the storage trie of one account, named by its hashed address.
pub(crate) struct StorageNodes<'a>(pub &'a StateView, pub B256);

impl NodeSource for AccountNodes<'_> {
    fn node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, ChainError> {
        self.0.account_node(path)
    }
}

impl NodeSource for StorageNodes<'_> {
    fn node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, ChainError> {
        self.0.storage_node(self.1, path)
    }
}

impl StateChanges {
    /// The changes an executed block left behind.
    pub(crate) fn from_bundle(bundle: BundleState) -> Self {
        let mut changes = Self { codes: bundle.contracts.into_iter().collect(), ..Default::default() };
        for (address, account) in bundle.state {
            let slots = account.storage.into_iter().map(|(slot, value)| (slot, value.present_value));
            let wiped = account.status.was_destroyed();
            changes.accounts.insert(address, AccountChanges { info: account.info, slots: slots.collect(), wiped });
        }
        changes
    }

    /// Sets an account.
    pub(crate) fn set_account(&mut self, address: Address, account: Option<TrieAccount>) {
        let info = account.map(account_info);
        self.accounts.insert(address, AccountChanges { info, slots: BTreeMap::new(), wiped: false });
    }

    /// Adds code by its Keccak-256.
    pub(crate) fn set_code(&mut self, hash: B256, code: Bytecode) {
        self.codes.insert(hash, code);
    }

    /// Sets a slot of an account that was set before.
    pub(crate) fn set_slot(&mut self, address: Address, slot: U256, value: U256) {
        if let Some(account) = self.accounts.get_mut(&address) {
            account.slots.insert(slot, value);
        }
    }

    /// Computes old values, tries and state root of these changes on top of `parent`.
    pub(crate) fn apply(self, parent: &StateView) -> Result<Overlay, ChainError> {
        self.apply_knowing(parent, &Known::default())
    }

    /// The same where a part of `parent` is known already.
    pub(crate) fn apply_knowing(self, parent: &StateView, known: &Known) -> Result<Overlay, ChainError> {
        let changes: usize = self.accounts.values().map(|account| 1 + account.slots.len()).sum();
        let update = |(address, account)| update_account(parent, known, address, account);
        let updated: Vec<Updated> = if changes >= PARALLEL_CHANGES_MIN {
            self.accounts.into_par_iter().map(update).collect::<Result<_, _>>()?
        } else {
            self.accounts.into_iter().map(update).collect::<Result<_, _>>()?
        };
        let TrieChanges { root, nodes } = update_accounts(parent, &updated)?;
        let mut overlay = Overlay { state_root: root, codes: self.codes, ..Default::default() };
        overlay.account_nodes.extend(nodes);
        for Updated { address, hashed, account, slots, nodes } in updated {
            if account.old != account.new {
                overlay.accounts.insert(address, account);
            }
            overlay.storage.extend(slots.into_iter().map(|(slot, change)| ((address, slot), change)));
            if !nodes.is_empty() {
                overlay.storage_nodes.insert(hashed, nodes.into_iter().collect());
            }
        }
        Ok(overlay)
    }
}

/// Finds the old values of one account and updates its storage trie.
fn update_account(
    parent: &StateView,
    known: &Known,
    address: Address,
    changes: AccountChanges,
) -> Result<Updated, ChainError> {
    let old = known.account(parent, address)?;
    let hashed = keccak256(address);
    let old_root = old.map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
    let mut slots = Vec::new();
    let mut new_slots = changes.slots;
    if changes.wiped && old_root != EMPTY_ROOT_HASH {
        for slot in parent.slots(address)?.into_keys() {
            new_slots.entry(slot).or_default();
        }
    }
    for (slot, new) in new_slots {
        let before = known.storage(parent, address, slot)?;
        if before != new {
            slots.push((slot, Change { old: before, new }));
        }
    }
    let TrieChanges { root, nodes } = update_storage(parent, hashed, old_root, &slots)?;
    if changes.info.is_none() && root != EMPTY_ROOT_HASH {
        return Err(ChainError::StorageLeft(address));
    }
    let new = changes.info.map(|info| TrieAccount::new(info.nonce, info.balance, root, info.code_hash));
    Ok(Updated { address, hashed, account: Change { old, new }, slots, nodes })
}

fn update_storage(
    parent: &StateView,
    hashed: B256,
    root: B256,
    slots: &[(U256, Change<U256>)],
) -> Result<TrieChanges, ChainError> {
    let mut trie = Trie::open(StorageNodes(parent, hashed), root);
    let change = |(slot, change): &(U256, Change<U256>)| {
        let value = (!change.new.is_zero()).then(|| alloy_rlp::encode(change.new));
        (keccak256(slot.to_be_bytes::<32>()), value)
    };
    trie.update(slots.iter().map(change).collect())?;
    Ok(trie.commit())
}

fn update_accounts(parent: &StateView, updated: &[Updated]) -> Result<TrieChanges, ChainError> {
    let mut trie = Trie::open(AccountNodes(parent), parent.state_root()?);
    let changed = updated.iter().filter(|updated| updated.account.old != updated.account.new);
    trie.update(changed.map(|updated| (updated.hashed, updated.account.new.map(alloy_rlp::encode))).collect())?;
    Ok(trie.commit())
}
