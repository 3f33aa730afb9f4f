//! The effect of one block that is not in the store yet.

use alloy_primitives::{
    Address, B256, U256,
    map::{AddressMap, B256Map, HashMap},
};
use alloy_trie::{Nibbles, TrieAccount};
use revm::state::Bytecode;

/// A value before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change<T> {
    pub old: T,
    pub new: T,
}

/// Everything a block changed, with the old values for the undo log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay {
    /// Height of the block.
    pub number: u64,
    /// Hash of the block.
    pub hash: B256,
    /// State root after the block.
    pub state_root: B256,
    /// Accounts, `None` where there is none.
    pub accounts: AddressMap<Change<Option<TrieAccount>>>,
    /// Slots; zero is "not stored".
    pub storage: HashMap<(Address, U256), Change<U256>>,
    /// New code.
    pub codes: B256Map<Bytecode>,
    /// New nodes of the account trie; `None` where none is stored any more.
    pub account_nodes: HashMap<Nibbles, Option<Vec<u8>>>,
    /// The same for storage tries, by hashed address.
    pub storage_nodes: B256Map<HashMap<Nibbles, Option<Vec<u8>>>>,
}

impl Overlay {
    /// Names the block that has this effect.
    pub(crate) fn sealed(self, number: u64, hash: B256) -> Self {
        Self { number, hash, ..self }
    }

    /// The effect of this and of what came after it in the same block.
    pub(crate) fn then(mut self, later: Self) -> Self {
        for (address, change) in later.accounts {
            self.accounts.entry(address).and_modify(|first| first.new = change.new).or_insert(change);
        }
        for (slot, change) in later.storage {
            self.storage.entry(slot).and_modify(|first| first.new = change.new).or_insert(change);
        }
        self.codes.extend(later.codes);
        self.account_nodes.extend(later.account_nodes);
        for (owner, nodes) in later.storage_nodes {
            self.storage_nodes.entry(owner).or_default().extend(nodes);
        }
        Self { number: later.number, hash: later.hash, state_root: later.state_root, ..self }
    }
}
