//! State as the EVM reads it: a snapshot of the store, pending blocks above it, or a height below it.
//!
//! ```text
//! overlays (pending ancestors, newest first) ─▶ history (old values after the height) ─▶ snapshot (values at the head)
//! ```

mod changes;
mod overlay;
mod remembered;
mod witness;

pub(crate) use changes::{AccountNodes, StateChanges, StorageNodes};
pub(crate) use overlay::{Change, Overlay};
pub(crate) use remembered::{Known, Remembered};
pub(crate) use witness::{Reads, Recorder, WitnessState};

use crate::{ChainError, cache::Cache, store::Snapshot};
use alloy_primitives::{Address, B256, U256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount};
use revm::{
    DatabaseRef,
    primitives::KECCAK_EMPTY,
    state::{AccountInfo, Bytecode},
};
use std::{collections::BTreeMap, sync::Arc};

/// State after one block, readable by the EVM ([`DatabaseRef`]) for as long as it is held.
#[derive(Clone)]
pub struct StateView {
    /// `None`: nothing is stored (genesis is being built).
    snapshot: Option<Arc<Snapshot>>,
    codes: Arc<Cache<B256, Bytecode>>,
    number: u64,
    /// Height below that of the snapshot, where history has to be asked first.
    past: Option<u64>,
    overlays: Vec<Arc<Overlay>>,
    /// Where to write down what is read.
    recorder: Option<Arc<Recorder>>,
    /// What to read instead of all of the above.
    witness: Option<Arc<WitnessState>>,
}

impl std::fmt::Debug for StateView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { number, past, overlays, .. } = self;
        write!(f, "StateView {{ number: {number}, past: {past:?}, overlays: {} }}", overlays.len())
    }
}

impl StateView {
    /// Height of the block this is the state after.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The account with its storage root, if it exists.
    pub fn account(&self, address: Address) -> Result<Option<TrieAccount>, ChainError> {
        if let Some(recorder) = &self.recorder {
            recorder.account(address);
        }
        if let Some(change) = self.overlays.iter().find_map(|overlay| overlay.accounts.get(&address)) {
            return Ok(change.new);
        }
        if let Some(witness) = &self.witness {
            return witness.account(address);
        }
        let Some(snapshot) = &self.snapshot else { return Ok(None) };
        if let Some(past) = self.past
            && let Some(old) = snapshot.account_after(address, past)?
        {
            return Ok(old);
        }
        snapshot.account(address)
    }

    /// Balance in wei; 0 for an account that does not exist.
    pub fn balance(&self, address: Address) -> Result<U256, ChainError> {
        Ok(self.account(address)?.map(|account| account.balance).unwrap_or_default())
    }

    /// Nonce; 0 for an account that does not exist.
    pub fn nonce(&self, address: Address) -> Result<u64, ChainError> {
        Ok(self.account(address)?.map(|account| account.nonce).unwrap_or_default())
    }

    /// Code; empty for an account that has none.
    pub fn code(&self, address: Address) -> Result<Bytecode, ChainError> {
        match self.account(address)? {
            Some(account) => self.code_by_hash(account.code_hash),
            None => Ok(Bytecode::default()),
        }
    }

    /// Code by its Keccak-256.
    pub fn code_by_hash(&self, hash: B256) -> Result<Bytecode, ChainError> {
        if hash == KECCAK_EMPTY {
            return Ok(Bytecode::default());
        }
        let code = self.load_code(hash)?;
        if let Some(recorder) = &self.recorder {
            recorder.code(hash, code.original_bytes());
        }
        Ok(code)
    }

    fn load_code(&self, hash: B256) -> Result<Bytecode, ChainError> {
        if let Some(code) = self.codes.get(&hash) {
            return Ok(code);
        }
        let code = match self.overlays.iter().find_map(|overlay| overlay.codes.get(&hash)) {
            Some(code) => code.clone(),
            None => {
                let stored = match &self.witness {
                    Some(witness) => witness.codes.get(&hash).cloned(),
                    None => self.snapshot.as_ref().map(|snapshot| snapshot.code(hash)).transpose()?.flatten(),
                };
                let stored = stored.ok_or(ChainError::MissingCode(hash))?;
                Bytecode::new_raw_checked(stored).map_err(|error| ChainError::decode("code", error))?
            }
        };
        self.codes.insert(hash, code.clone());
        Ok(code)
    }

    /// Value of a storage slot; 0 where nothing is stored.
    pub fn storage(&self, address: Address, slot: U256) -> Result<U256, ChainError> {
        if let Some(recorder) = &self.recorder {
            recorder.slot(address, slot);
        }
        let key = (address, slot);
        if let Some(change) = self.overlays.iter().find_map(|overlay| overlay.storage.get(&key)) {
            return Ok(change.new);
        }
        if let Some(witness) = &self.witness {
            return witness.storage(address, slot);
        }
        let Some(snapshot) = &self.snapshot else { return Ok(U256::ZERO) };
        if let Some(past) = self.past
            && let Some(old) = snapshot.storage_after(address, slot, past)?
        {
            return Ok(old);
        }
        snapshot.storage(address, slot)
    }

    /// Root of the state if these balances, in wei, were set; nothing is changed.
    pub fn root_with(&self, balances: impl IntoIterator<Item = (Address, U256)>) -> Result<B256, ChainError> {
        let set = |(address, balance)| {
            let account = self.account(address)?.unwrap_or_default();
            Ok((address, TrieAccount { balance, ..account }))
        };
        let accounts = balances.into_iter().map(set).collect::<Result<Vec<_>, ChainError>>()?;
        let mut changes = StateChanges::default();
        accounts.into_iter().for_each(|(address, account)| changes.set_account(address, Some(account)));
        Ok(changes.apply(self)?.state_root)
    }

    /// Hash of an ancestor, or of the block itself; zero where there is none.
    pub fn block_hash(&self, number: u64) -> Result<B256, ChainError> {
        if let Some(recorder) = &self.recorder {
            recorder.block_hash(number);
        }
        if let Some(overlay) = self.overlays.iter().find(|overlay| overlay.number == number) {
            return Ok(overlay.hash);
        }
        if number > self.number {
            return Ok(B256::ZERO);
        }
        if let Some(witness) = &self.witness {
            return witness.block_hash(number);
        }
        match &self.snapshot {
            Some(snapshot) => Ok(snapshot.hash(number)?.unwrap_or_default()),
            None => Ok(B256::ZERO),
        }
    }

    /// The state of a chain that holds nothing.
    pub(crate) fn empty(codes: Arc<Cache<B256, Bytecode>>) -> Self {
        Self { snapshot: None, codes, number: 0, past: None, overlays: Vec::new(), recorder: None, witness: None }
    }

    /// The state after block `number`, as far as a witness tells it; anything else is an error.
    pub(crate) fn witnessed(witness: Arc<WitnessState>, number: u64) -> Self {
        let codes = Arc::new(Cache::new(witness.codes.len().max(2)));
        Self { number, witness: Some(witness), ..Self::empty(codes) }
    }

    /// The same state, whose reads are written down.
    pub(crate) fn recorded(self, recorder: Arc<Recorder>) -> Self {
        Self { recorder: Some(recorder), ..self }
    }

    /// The state of the snapshot itself.
    pub(crate) fn latest(snapshot: Arc<Snapshot>, codes: Arc<Cache<B256, Bytecode>>, head: u64) -> Self {
        Self { snapshot: Some(snapshot), number: head, ..Self::empty(codes) }
    }

    /// The state after block `number` of a snapshot of `head`.
    pub(crate) fn at(
        snapshot: Arc<Snapshot>,
        codes: Arc<Cache<B256, Bytecode>>,
        number: u64,
        head: u64,
    ) -> Result<Self, ChainError> {
        if number > head {
            return Err(ChainError::UnknownBlock { number, head });
        }
        let oldest = snapshot.history_from()?;
        if number < oldest {
            return Err(ChainError::Pruned { number, oldest });
        }
        Ok(Self { number, past: (number < head).then_some(number), ..Self::latest(snapshot, codes, head) })
    }

    /// The same state with changes above it, newest first.
    pub(crate) fn with_overlays(mut self, overlays: Vec<Arc<Overlay>>) -> Self {
        self.number = overlays.first().map_or(self.number, |newest| newest.number);
        self.overlays = overlays;
        self
    }

    /// The same state with one more change above it.
    pub(crate) fn above(mut self, overlay: Arc<Overlay>) -> Self {
        self.number = overlay.number;
        self.overlays.insert(0, overlay);
        self
    }

    /// Whether the nodes of the tries can be read; they cannot where their history was removed or never kept.
    pub(crate) fn has_tries(&self) -> bool {
        match (self.past, &self.snapshot) {
            (Some(past), Some(snapshot)) => snapshot.proofs_from().is_ok_and(|oldest| oldest <= past),
            _ => true,
        }
    }

    /// Every slot of an account that holds something. Only for states with tries.
    pub(crate) fn slots(&self, address: Address) -> Result<BTreeMap<U256, U256>, ChainError> {
        self.slots_read(address, usize::MAX)
    }

    /// The same of any state, `None` if there are more than `max` or if finding them would read many more than that.
    pub(crate) fn slots_up_to(&self, address: Address, max: usize) -> Result<Option<BTreeMap<U256, U256>>, ChainError> {
        let changed = |overlay: &Arc<Overlay>| overlay.storage.keys().filter(|(owner, _)| *owner == address).count();
        // Each changed slot may take one of those that are stored away.
        let room: usize = self.overlays.iter().map(changed).sum();
        let mut slots = self.slots_read(address, max.saturating_add(room).saturating_add(1))?;
        if let (Some(past), Some(snapshot)) = (self.past, &self.snapshot) {
            let Some(later) = snapshot.slots_changed_after(address, past, max)? else { return Ok(None) };
            for slot in later {
                slots.insert(slot, self.storage(address, slot)?);
            }
            slots.retain(|_, value| !value.is_zero());
        }
        Ok((slots.len() <= max).then_some(slots))
    }

    fn slots_read(&self, address: Address, stored_max: usize) -> Result<BTreeMap<U256, U256>, ChainError> {
        let mut slots = match &self.snapshot {
            Some(snapshot) => snapshot.slots_of(address, stored_max)?,
            None => self.witness.as_ref().map_or(Ok(BTreeMap::new()), |witness| witness.slots_of(address))?,
        };
        for overlay in self.overlays.iter().rev() {
            let changed = overlay.storage.iter().filter(|((owner, _), _)| *owner == address);
            slots.extend(changed.map(|((_, slot), change)| (*slot, change.new)));
        }
        slots.retain(|_, value| !value.is_zero());
        if let Some(recorder) = &self.recorder {
            slots.keys().for_each(|slot| recorder.slot(address, *slot));
        }
        Ok(slots)
    }

    /// Root of the account trie.
    pub(crate) fn state_root(&self) -> Result<B256, ChainError> {
        match (self.overlays.first(), &self.snapshot) {
            (Some(newest), _) => Ok(newest.state_root),
            (None, Some(snapshot)) => match self.past {
                Some(past) => {
                    let header = snapshot.header(past)?.map(|(_, header)| header.state_root);
                    header.ok_or_else(|| ChainError::decode("header", format!("block {past} has none")))
                }
                None => snapshot.state_root(),
            },
            (None, None) => Ok(self.witness.as_ref().map_or(EMPTY_ROOT_HASH, |witness| witness.root)),
        }
    }

    /// Node of the account trie.
    pub(crate) fn account_node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, ChainError> {
        Ok(self.noted(self.load_account_node(path)?))
    }

    /// Node of the storage trie of the account with this hashed address.
    pub(crate) fn storage_node(&self, owner: B256, path: &Nibbles) -> Result<Option<Vec<u8>>, ChainError> {
        Ok(self.noted(self.load_storage_node(owner, path)?))
    }

    /// A node, written down where reads are.
    fn noted(&self, node: Option<Vec<u8>>) -> Option<Vec<u8>> {
        if let (Some(recorder), Some(rlp)) = (&self.recorder, &node) {
            recorder.node(rlp);
        }
        node
    }

    fn load_account_node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, ChainError> {
        if let Some(node) = self.overlays.iter().find_map(|overlay| overlay.account_nodes.get(path)) {
            return Ok(node.clone());
        }
        if let Some(witness) = &self.witness {
            return witness.account_node(path);
        }
        match (&self.snapshot, self.past) {
            (Some(snapshot), Some(past)) => snapshot.account_node_after(path, past),
            (Some(snapshot), None) => snapshot.account_node(path),
            (None, _) => Ok(None),
        }
    }

    fn load_storage_node(&self, owner: B256, path: &Nibbles) -> Result<Option<Vec<u8>>, ChainError> {
        let changed =
            |overlay: &Arc<Overlay>| overlay.storage_nodes.get(&owner).and_then(|nodes| nodes.get(path)).cloned();
        if let Some(node) = self.overlays.iter().find_map(changed) {
            return Ok(node);
        }
        if let Some(witness) = &self.witness {
            return witness.storage_node(owner, path);
        }
        match (&self.snapshot, self.past) {
            (Some(snapshot), Some(past)) => snapshot.storage_node_after(owner, path, past),
            (Some(snapshot), None) => snapshot.storage_node(owner, path),
            (None, _) => Ok(None),
        }
    }
}

impl DatabaseRef for StateView {
    type Error = ChainError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, ChainError> {
        Ok(self.account(address)?.map(account_info))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, ChainError> {
        self.code_by_hash(hash)
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, ChainError> {
        self.storage(address, slot)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, ChainError> {
        self.block_hash(number)
    }
}

/// An account as the EVM knows it.
fn account_info(account: TrieAccount) -> AccountInfo {
    let TrieAccount { nonce, balance, code_hash, .. } = account;
    AccountInfo { balance, nonce, code_hash, code: None, ..Default::default() }
}
