//! What a block reads of a state, and a state that has only that.

use crate::{ChainError, trie::HashedNodes};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256, map::B256Map};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};

/// Writes down what is read of a state.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Reads>);

/// What was read of a state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    /// Accounts, existing or not.
    pub accounts: BTreeSet<Address>,
    /// Slots, set or not.
    pub slots: BTreeSet<(Address, U256)>,
    /// Codes by hash.
    pub codes: BTreeMap<B256, Bytes>,
    /// Lowest block whose hash was asked for.
    pub oldest_hash: Option<u64>,
    /// RLP of trie nodes.
    pub nodes: BTreeSet<Bytes>,
}

/// A state that knows only what a witness tells.
#[derive(Debug)]
pub(crate) struct WitnessState {
    /// Root of the account trie.
    pub root: B256,
    /// Nodes of all tries.
    pub nodes: HashedNodes,
    /// Codes by hash.
    pub codes: B256Map<Bytes>,
    /// Slots of any account that may be set.
    pub slots: Vec<U256>,
    /// Hashes of blocks.
    pub hashes: BTreeMap<u64, B256>,
}

impl Recorder {
    /// What was read so far.
    pub(crate) fn reads(&self) -> Reads {
        self.0.lock().clone()
    }

    pub(super) fn account(&self, address: Address) {
        self.0.lock().accounts.insert(address);
    }

    pub(super) fn slot(&self, address: Address, slot: U256) {
        self.0.lock().slots.insert((address, slot));
    }

    pub(super) fn code(&self, hash: B256, code: Bytes) {
        self.0.lock().codes.insert(hash, code);
    }

    pub(super) fn block_hash(&self, number: u64) {
        let mut reads = self.0.lock();
        reads.oldest_hash = Some(reads.oldest_hash.map_or(number, |oldest| oldest.min(number)));
    }

    pub(super) fn node(&self, rlp: &[u8]) {
        self.0.lock().nodes.insert(Bytes::copy_from_slice(rlp));
    }
}

impl WitnessState {
    pub(super) fn account(&self, address: Address) -> Result<Option<TrieAccount>, ChainError> {
        self.account_by_hash(keccak256(address))
    }

    pub(super) fn storage(&self, address: Address, slot: U256) -> Result<U256, ChainError> {
        let root = self.account(address)?.map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
        match self.nodes.value(root, &keccak256(slot.to_be_bytes::<32>()))? {
            Some(value) => decode(&value, "storage value"),
            None => Ok(U256::ZERO),
        }
    }

    /// The set slots of an account, as far as they are named. A missing node leads to a slot of another account, or
    /// the storage root tells that one was left out.
    pub(super) fn slots_of(&self, address: Address) -> Result<BTreeMap<U256, U256>, ChainError> {
        let mut slots = BTreeMap::new();
        for slot in &self.slots {
            match self.storage(address, *slot) {
                Ok(value) => drop(slots.insert(*slot, value)),
                Err(ChainError::MissingNode { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(slots)
    }

    pub(super) fn account_node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, ChainError> {
        self.nodes.node(self.root, path)
    }

    pub(super) fn storage_node(&self, owner: B256, path: &Nibbles) -> Result<Option<Vec<u8>>, ChainError> {
        let root = self.account_by_hash(owner)?.map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
        self.nodes.node(root, path)
    }

    pub(super) fn block_hash(&self, number: u64) -> Result<B256, ChainError> {
        self.hashes.get(&number).copied().ok_or(ChainError::NotInWitness { what: "header of block", which: number })
    }

    fn account_by_hash(&self, hashed: B256) -> Result<Option<TrieAccount>, ChainError> {
        self.nodes.value(self.root, &hashed)?.map(|rlp| decode(&rlp, "account")).transpose()
    }
}

fn decode<T: alloy_rlp::Decodable>(rlp: &[u8], what: &'static str) -> Result<T, ChainError> {
    alloy_rlp::decode_exact(rlp).map_err(|error| ChainError::decode(what, error))
}
