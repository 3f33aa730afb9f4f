//! A state that remembers what was read from it.
//!
//! Whoever executes a block reads each account and slot once, for the EVM; finding the old values of what changed then
//! needs no second look at the disk.

use super::StateView;
use crate::ChainError;
use alloy_primitives::{
    Address, B256, U256,
    map::{AddressMap, HashMap},
};
use alloy_trie::TrieAccount;
use revm::{
    Database, DatabaseRef,
    state::{AccountInfo, Bytecode},
};

/// A state as the EVM reads it while a block is executed.
#[derive(Debug)]
pub(crate) struct Remembered {
    view: StateView,
    known: Known,
}

/// Accounts and slots of a state.
#[derive(Debug, Default)]
pub(crate) struct Known {
    accounts: AddressMap<Option<TrieAccount>>,
    slots: HashMap<(Address, U256), U256>,
}

impl Remembered {
    pub(crate) fn new(view: StateView) -> Self {
        Self { view, known: Known::default() }
    }

    /// What was read so far; from now on it is read again.
    pub(crate) fn take(&mut self) -> Known {
        std::mem::take(&mut self.known)
    }

    /// Makes room for so many accounts.
    pub(crate) fn reserve(&mut self, accounts: usize) {
        self.known.accounts.reserve(accounts);
    }
}

impl Known {
    /// The account in `view`, of which this is a part.
    pub(super) fn account(&self, view: &StateView, address: Address) -> Result<Option<TrieAccount>, ChainError> {
        match self.accounts.get(&address) {
            Some(account) => Ok(*account),
            None => view.account(address),
        }
    }

    /// The slot in `view`, of which this is a part.
    pub(super) fn storage(&self, view: &StateView, address: Address, slot: U256) -> Result<U256, ChainError> {
        match self.slots.get(&(address, slot)) {
            Some(value) => Ok(*value),
            None => view.storage(address, slot),
        }
    }
}

impl Database for Remembered {
    type Error = ChainError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, ChainError> {
        let account = self.view.account(address)?;
        self.known.accounts.insert(address, account);
        Ok(account.map(super::account_info))
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, ChainError> {
        self.view.code_by_hash(hash)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, ChainError> {
        let value = self.view.storage(address, slot)?;
        self.known.slots.insert((address, slot), value);
        Ok(value)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, ChainError> {
        self.view.block_hash_ref(number)
    }
}

/// Reads on the side, which are not remembered.
impl DatabaseRef for Remembered {
    type Error = ChainError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, ChainError> {
        self.view.basic_ref(address)
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, ChainError> {
        self.view.code_by_hash_ref(hash)
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, ChainError> {
        self.view.storage_ref(address, slot)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, ChainError> {
        self.view.block_hash_ref(number)
    }
}
