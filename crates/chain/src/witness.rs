//! Witnesses: all that is needed to run a block without a state.
//!
//! A witness is made by running the block while everything that is read of its parent's state is written down, and by
//! proving each of these values against the parent's state root. Where the block removes values, a trie may collapse
//! into a neighbour that nothing else reads; which one depends on the order of the changes, so the removals are tried
//! first, which needs the most neighbours. Before a witness leaves the node the block is run once more on nothing but
//! the witness, and its header must come out the same, state root and all.

use crate::{
    BlockRecord, Chain, ChainError, StateView,
    engine::Base,
    execute::Rules,
    replay::Replay,
    state::{AccountNodes, Overlay, Reads, Recorder, StorageNodes, WitnessState},
    trie::{HashedNodes, Trie, prove},
};
use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256, map::AddressMap};
use alloy_rpc_types_debug::ExecutionWitness;
use alloy_trie::EMPTY_ROOT_HASH;
use std::{collections::BTreeMap, sync::Arc};

/// Blocks whose hash a contract can ask for (yellow paper appendix H.2, BLOCKHASH).
const HASHES_MAX: usize = 256;

impl Chain {
    /// The witness of a finalised block: nodes of its parent's tries, codes, addresses and slots that it reads, and
    /// headers, oldest first, up to its parent's.
    ///
    /// Fails for block 0 and where the history of the parent's tries has been removed.
    pub fn witness(&self, block: Arc<BlockRecord>) -> Result<ExecutionWitness, ChainError> {
        let number = block.number().checked_sub(1).ok_or(ChainError::GenesisReplay)?;
        let parent = self.block_by_number(number)?.ok_or(ChainError::GenesisReplay)?;
        let recorder = Arc::new(Recorder::default());
        let view = self.provable_state(number)?.recorded(recorder.clone());
        let base = Base { record: parent.clone(), view: view.clone() };
        let changes = run(Replay::start(self.rules(), base, block.clone())?)?;
        prove_reads(&view, &recorder.reads())?;
        try_removals(&view, &changes)?;
        let reads = recorder.reads();
        let headers = self.headers(reads.oldest_hash.unwrap_or(number).min(number), &parent.header)?;
        let witness = assemble(reads, headers);
        check_witness(self.rules(), block, &witness)?;
        Ok(witness)
    }

    /// Headers from `oldest` to the one given, as RLP.
    fn headers(&self, oldest: u64, newest: &Header) -> Result<Vec<Bytes>, ChainError> {
        let mut headers = Vec::new();
        for number in oldest..newest.number {
            let header = self.header_by_number(number)?;
            headers.extend(header.map(|(_, header)| Bytes::from(alloy_rlp::encode(header))));
        }
        headers.push(alloy_rlp::encode(newest).into());
        Ok(headers)
    }
}

/// Runs a block on nothing but a witness; succeeds only if exactly this block comes out.
pub(crate) fn check_witness(
    rules: &Rules,
    block: Arc<BlockRecord>,
    witness: &ExecutionWitness,
) -> Result<(), ChainError> {
    let (parent, hashes) = check_headers(&block, &witness.headers)?;
    let by_hash = |list: &[Bytes]| list.iter().map(|bytes| (keccak256(bytes), bytes.clone())).collect();
    let state = WitnessState {
        root: parent.state_root,
        nodes: HashedNodes(by_hash(&witness.state)),
        codes: by_hash(&witness.codes),
        slots: witness.keys.iter().filter(|key| key.len() == 32).map(|key| U256::from_be_slice(key)).collect(),
        hashes,
    };
    let view = StateView::witnessed(Arc::new(state), parent.number);
    let record = Arc::new(BlockRecord::new(parent, Vec::new(), Vec::new(), Vec::new()));
    run(Replay::start(rules, Base { record, view }, block)?).map(|_| ())
}

/// The parent's header, and the hashes of the ancestors: each header must be the parent of the next.
fn check_headers(block: &BlockRecord, headers: &[Bytes]) -> Result<(Header, BTreeMap<u64, B256>), ChainError> {
    if headers.len() > HASHES_MAX {
        let reason = format!("{} headers, a block can ask for {HASHES_MAX}", headers.len());
        return Err(ChainError::decode("witness", reason));
    }
    let (mut expected, mut hashes, mut parent) = (block.header.parent_hash, BTreeMap::new(), None);
    for rlp in headers.iter().rev() {
        let header: Header =
            alloy_rlp::decode_exact(rlp).map_err(|error| ChainError::decode("header of a witness", error))?;
        if keccak256(rlp) != expected {
            let reason = format!("block {} is not the parent {expected} of the next", header.number);
            return Err(ChainError::decode("header of a witness", reason));
        }
        hashes.insert(header.number, expected);
        expected = header.parent_hash;
        parent.get_or_insert(header);
    }
    let parent = parent.ok_or_else(|| ChainError::decode("witness", "the header of the parent is missing"))?;
    Ok((parent, hashes))
}

/// Runs all transactions and ends the block.
fn run(mut replay: Replay) -> Result<Overlay, ChainError> {
    for index in 0..replay.block().transactions.len() {
        replay.run(index)?;
    }
    replay.finish()
}

/// Reads the nodes towards everything that was read.
fn prove_reads(view: &StateView, reads: &Reads) -> Result<(), ChainError> {
    let root = view.state_root()?;
    for address in &reads.accounts {
        prove(&AccountNodes(view), root, &keccak256(address))?;
    }
    for (address, slot) in &reads.slots {
        let hashed = keccak256(address);
        prove(&AccountNodes(view), root, &hashed)?;
        prove(&StorageNodes(view, hashed), storage_root(view, *address)?, &keccak256(slot.to_be_bytes::<32>()))?;
    }
    Ok(())
}

/// Reads the nodes that an update needs which removes values before it sets any.
fn try_removals(view: &StateView, changes: &Overlay) -> Result<(), ChainError> {
    let mut accounts = Trie::open(AccountNodes(view), view.state_root()?);
    for (address, _) in changes.accounts.iter().filter(|(_, change)| change.new.is_none()) {
        accounts.remove(&keccak256(address))?;
    }
    let mut removed: AddressMap<Vec<B256>> = AddressMap::default();
    for ((address, slot), _) in changes.storage.iter().filter(|(_, change)| change.new.is_zero()) {
        removed.entry(*address).or_default().push(keccak256(slot.to_be_bytes::<32>()));
    }
    for (address, keys) in removed {
        let mut slots = Trie::open(StorageNodes(view, keccak256(address)), storage_root(view, address)?);
        keys.iter().try_for_each(|key| slots.remove(key))?;
    }
    Ok(())
}

fn storage_root(view: &StateView, address: Address) -> Result<B256, ChainError> {
    Ok(view.account(address)?.map_or(EMPTY_ROOT_HASH, |account| account.storage_root))
}

fn assemble(reads: Reads, headers: Vec<Bytes>) -> ExecutionWitness {
    let slots: std::collections::BTreeSet<B256> = reads.slots.iter().map(|(_, slot)| B256::from(*slot)).collect();
    let addresses = reads.accounts.iter().map(|address| Bytes::copy_from_slice(address.as_slice()));
    ExecutionWitness {
        state: reads.nodes.into_iter().collect(),
        codes: reads.codes.into_values().collect(),
        keys: addresses.chain(slots.into_iter().map(|slot| Bytes::copy_from_slice(slot.as_slice()))).collect(),
        headers,
    }
}

#[cfg(test)]
mod tests;
