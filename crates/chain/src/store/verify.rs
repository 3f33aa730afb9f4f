//! Check a whole chain on disk, trusting nothing in it but the hash of its head.

use super::{ARCHIVE, FILE, META_GENESIS, META_HISTORY, Snapshot, Store, scratch, tables::array};
use crate::{
    BlockRecord, ChainError,
    block::{receipts_root, transactions_root},
};
use alloy_consensus::transaction::SignerRecoverable;
use alloy_primitives::{B256, keccak256};
use std::path::Path;

/// What a chain on disk was found to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Height of the head.
    pub head: u64,
    /// Hash of the head.
    pub hash: B256,
    /// State root, computed from the flat state.
    pub state_root: B256,
    /// Accounts in the state.
    pub accounts: u64,
    /// Storage slots in the state.
    pub slots: u64,
    /// Blocks whose header, transactions and receipts were checked.
    pub blocks: u64,
    /// Oldest height whose state can be read.
    pub oldest_state: u64,
    /// Whether all history is kept.
    pub archive: bool,
}

/// Checks the chain in `dir`, which no process may use meanwhile: all checksums, the structure of the database, the
/// state root from scratch, and the header, transactions and receipts of every block that is kept.
///
/// Fails with the first thing that is not right. Takes time in proportion to the file; memory is bounded.
pub fn verify_directory(dir: &Path, cache_bytes: usize) -> Result<Verified, ChainError> {
    let path = dir.join(FILE);
    if !path.exists() {
        return Err(ChainError::NoChain { path });
    }
    let mut store = Store::open_existing(dir, cache_bytes)?;
    let damaged = |error: &dyn std::fmt::Display| ChainError::Corrupt { path: path.clone(), reason: error.to_string() };
    // Reads every page that is in use, so it compares our checksums, too. Others may be half written: a process that
    // was killed leaves pages behind that no header reaches.
    if !store.database.check_integrity().map_err(|error| damaged(&error))? {
        return Err(damaged(&"its free pages were counted wrongly and have been repaired; verify it again"));
    }
    let snapshot = store.snapshot()?;
    let genesis = array::<32>(&store.meta(META_GENESIS)?, META_GENESIS)?.into();
    let (blocks, head) = check_blocks(&snapshot, genesis)?;
    let state = check_state(&snapshot, head.header.state_root)?;
    Ok(Verified {
        head: head.number(),
        hash: head.hash,
        state_root: state.root,
        accounts: state.accounts,
        slots: state.slots,
        blocks,
        oldest_state: snapshot.history_from()?,
        archive: array(&store.meta(META_HISTORY)?, META_HISTORY)? == ARCHIVE.to_be_bytes(),
    })
}

/// Compares the root of the flat state with the one in the header of the head.
pub(super) fn check_state(snapshot: &Snapshot, expected: B256) -> Result<scratch::FlatState, ChainError> {
    let state = scratch::flat_state(snapshot)?;
    if state.root != expected {
        let reason = format!("it hashes to {}, the header of the head has {expected}", state.root);
        return Err(ChainError::decode("state", reason));
    }
    Ok(state)
}

/// Checks block 0 and every other block that is kept; returns how many, and the head.
pub(super) fn check_blocks(snapshot: &Snapshot, genesis: B256) -> Result<(u64, BlockRecord), ChainError> {
    let head = snapshot.head_number()?;
    let first = check_block(snapshot, 0)?;
    if first.hash != genesis {
        return Err(wrong(0, format!("its hash is {}, the chain began with {genesis}", first.hash)));
    }
    let (mut count, mut parent) = (1, first);
    let oldest = snapshot.blocks_from()?.max(1);
    for number in oldest..=head {
        let block = check_block(snapshot, number)?;
        let follows = number > 1 && number == oldest;
        if !follows && block.header.parent_hash != parent.hash {
            return Err(wrong(number, format!("its parent is {}, not {}", block.header.parent_hash, parent.hash)));
        }
        parent = block;
        count += 1;
    }
    Ok((count, parent))
}

/// Checks one block against its own header and the indexes.
fn check_block(snapshot: &Snapshot, number: u64) -> Result<BlockRecord, ChainError> {
    let block = snapshot.block(number)?.ok_or_else(|| wrong(number, "it is missing"))?;
    let stored = snapshot.hash(number)?.unwrap_or_default();
    let header = &block.header;
    if keccak256(alloy_rlp::encode(header)) != stored || header.number != number {
        return Err(wrong(number, format!("its header is {} of height {}", block.hash, header.number)));
    }
    if transactions_root(&block.transactions) != header.transactions_root {
        return Err(wrong(number, "its transactions are not those of its header"));
    }
    if receipts_root(&block.receipts) != header.receipts_root {
        return Err(wrong(number, "its receipts are not those of its header"));
    }
    for (index, (transaction, sender)) in block.transactions.iter().zip(&block.senders).enumerate() {
        if transaction.recover_signer().ok() != Some(*sender) {
            return Err(wrong(number, format!("transaction {index} was not signed by {sender}")));
        }
    }
    if block.senders.len() != block.transactions.len() {
        return Err(wrong(number, "its senders are not those of its transactions"));
    }
    if snapshot.number(stored)? != Some(number) {
        return Err(wrong(number, "its hash is not indexed"));
    }
    for (index, transaction) in block.transactions.iter().enumerate() {
        if snapshot.transaction(*transaction.tx_hash())? != Some((number, index)) {
            return Err(wrong(number, format!("its transaction {index} is not indexed")));
        }
    }
    Ok(block)
}

fn wrong(number: u64, reason: impl std::fmt::Display) -> ChainError {
    ChainError::decode("block", format!("block {number}: {reason}"))
}
