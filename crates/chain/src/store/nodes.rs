//! Trie nodes as they were: what every block replaced, so that a proof of a past block reads only its own path.
//!
//! One row per node and block that changed it, read like the flat history: the node at height `n` is the old value of
//! its first change after `n`, or the node of today. A branch is kept as the children that differ from the branch after
//! it, which are few; every [`FULL_BLOCKS`] blocks it is kept whole, so that few rows make a node again.
//!
//! Rows are written in tables of about [`ROWS_MAX`] rows, each for a range of blocks. Rows of one block so lie close
//! together, which a table ordered by path alone could not give; and what is no longer wanted goes a table at a time.
//! A lookup visits the tables after its height, so it costs in proportion to what changed since, not to the blocks.

use super::{
    behind::{Behind, Kind, Rows},
    tables::array,
};
use crate::ChainError;
use alloy_primitives::B256;
use alloy_rlp::Header;
use alloy_trie::Nibbles;
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use std::sync::Arc;

/// Rows from which on the next block begins a table of its own.
const ROWS_MAX: u64 = 1 << 16;
/// Nodes changed by a block whose height is a multiple of this are kept whole.
const FULL_BLOCKS: u64 = 256;
/// Tables removed per block while pruning.
const PRUNE_TABLES_MAX: usize = 4;
/// Children of a branch.
const CHILDREN: usize = 16;
/// The value of a branch, which no branch of ours has.
const NO_VALUE: &[u8] = &[0x80];

/// Lowest height of a table of rows to how many it has.
pub(super) const NODE_EPOCHS: TableDefinition<u64, u64> = TableDefinition::new("node_epochs");

/// Value of a row: a whole node follows, or nothing where there was none.
const WHOLE: u8 = 0;
/// Value of a row: a mask and the children of a branch that differ.
const CHANGED_CHILDREN: u8 = 1;

/// First byte of the key of a row of the account trie.
const ACCOUNT_TRIE: u8 = 0;
/// First byte of the key of a row of a storage trie.
const STORAGE_TRIE: u8 = 1;

type Table = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// Notes which nodes a block replaces.
pub(super) struct NodeLog<'a> {
    rows: &'a mut Rows,
}

/// The rows of a snapshot, oldest table first.
pub(super) struct NodeHistory {
    tables: Vec<(u64, Table)>,
    behind: Arc<Behind>,
}

impl<'a> NodeLog<'a> {
    /// Adds to the rows of a block.
    pub(super) fn new(rows: &'a mut Rows) -> Self {
        Self { rows }
    }

    /// Notes that the node at `path` (in the account trie, or in the storage trie of a hashed address) changes.
    pub(super) fn replaced(&mut self, owner: Option<B256>, path: &Nibbles, old: Option<&[u8]>, new: Option<&[u8]>) {
        if old == new {
            return;
        }
        let number = self.rows.number();
        let difference = match (old, new) {
            (Some(old), Some(new)) if !number.is_multiple_of(FULL_BLOCKS) => changed_children(old, new),
            _ => None,
        };
        let key = row_key(owner, path, number);
        match difference {
            Some(row) => self.rows.push(Kind::Node, &key, &[&row]),
            None => self.rows.push(Kind::Node, &key, &[&[WHOLE], old.unwrap_or_default()]),
        }
    }
}

/// Chooses the table for so many rows of a block, and returns its lowest height.
pub(super) fn table_for(transaction: &WriteTransaction, number: u64, rows: u64) -> Result<u64, ChainError> {
    let mut epochs = transaction.open_table(NODE_EPOCHS)?;
    let newest = epochs.last()?.map(|(first, rows)| (first.value(), rows.value()));
    let (first, count) = newest.filter(|(_, rows)| *rows < ROWS_MAX).unwrap_or((number, 0));
    // Readers open it before the first row is there.
    transaction.open_table(definition(&table_name(first)))?;
    epochs.insert(first, count + rows)?;
    Ok(first)
}

/// Writes rows in the order of their keys into a table that [`table_for`] chose.
pub(super) fn write<'a>(
    transaction: &WriteTransaction,
    first: u64,
    rows: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<(), ChainError> {
    let name = table_name(first);
    let mut table = transaction.open_table(definition(&name))?;
    for (key, value) in rows {
        table.insert(key, value)?;
    }
    Ok(())
}

/// A byte of a row's key that is spread evenly, and in the order of the keys of one trie.
pub(super) fn spread(key: &[u8]) -> u8 {
    let byte = |at: usize| key.get(at).copied().unwrap_or_default();
    match byte(0) {
        ACCOUNT_TRIE => byte(2),
        _ => byte(1).wrapping_add(byte(34)),
    }
}

impl NodeHistory {
    pub(super) fn open(transaction: &ReadTransaction, behind: Arc<Behind>) -> Result<Self, ChainError> {
        let mut tables = Vec::new();
        for entry in transaction.open_table(NODE_EPOCHS)?.iter()? {
            let first = entry?.0.value();
            let name = table_name(first);
            tables.push((first, transaction.open_table(definition(&name))?));
        }
        Ok(Self { tables, behind })
    }

    /// The node at `path` after block `number`, if a later block changed it; `today` reads the node as it is now.
    pub(super) fn node_after(
        &self,
        owner: Option<B256>,
        path: &Nibbles,
        number: u64,
        today: impl FnOnce() -> Result<Option<Vec<u8>>, ChainError>,
    ) -> Result<Option<Vec<u8>>, ChainError> {
        let (from, to) = (row_key(owner, path, number + 1), row_key(owner, path, u64::MAX));
        let begin = self.tables.partition_point(|(first, _)| *first <= number + 1).saturating_sub(1);
        let mut past = Past::default();
        for (_, table) in &self.tables[begin..] {
            for row in table.range::<&[u8]>(from.as_slice()..=to.as_slice())? {
                if let Some(node) = past.take(row?.1.value())? {
                    return Ok(node);
                }
            }
        }
        for row in self.behind.values(Kind::Node, &from, &to) {
            if let Some(node) = past.take(row)? {
                return Ok(node);
            }
        }
        past.0.over(today()?)
    }
}

/// A node of the past in the making.
#[derive(Default)]
struct Past(PastBranch);

impl Past {
    /// Takes the next later row; the node, if it is known now.
    fn take(&mut self, row: &[u8]) -> Result<Option<Option<Vec<u8>>>, ChainError> {
        match row.split_first() {
            Some((&WHOLE, [])) => std::mem::take(&mut self.0).over(None).map(Some),
            Some((&WHOLE, node)) => std::mem::take(&mut self.0).over(Some(node.to_vec())).map(Some),
            Some((&CHANGED_CHILDREN, children)) => {
                self.0.take(children)?;
                if self.0.is_complete() { std::mem::take(&mut self.0).over(None).map(Some) } else { Ok(None) }
            }
            _ => Err(damaged("its row is of no kind")),
        }
    }
}

/// Children of a past branch, as far as rows have told them.
#[derive(Default)]
struct PastBranch {
    children: [Option<Vec<u8>>; CHILDREN],
    known: usize,
}

impl PastBranch {
    /// Takes the children of a row; those of an earlier row stand.
    fn take(&mut self, row: &[u8]) -> Result<(), ChainError> {
        let (mask, mut items) = row.split_at_checked(2).ok_or_else(|| damaged("its row is too short"))?;
        let mask = u16::from_be_bytes(array(mask, "trie node of the past")?);
        for index in (0..CHILDREN).filter(|index| mask & (1 << index) != 0) {
            let item = next_item(&mut items).ok_or_else(|| damaged("its row ends early"))?;
            if self.children[index].is_none() {
                self.children[index] = Some(item.to_vec());
                self.known += 1;
            }
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.known == CHILDREN
    }

    /// The whole node: the known children over those of `base`.
    fn over(self, base: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, ChainError> {
        if self.known == 0 {
            return Ok(base);
        }
        let base = base.unwrap_or_default();
        let mut items = if self.is_complete() {
            [NO_VALUE; CHILDREN + 1]
        } else {
            branch_items(&base).ok_or_else(|| damaged("it became another kind of node unnoticed"))?
        };
        for (item, child) in items.iter_mut().zip(&self.children) {
            *item = child.as_deref().unwrap_or(item);
        }
        let payload_length = items.iter().map(|item| item.len()).sum();
        let mut rlp = Vec::with_capacity(payload_length + 3);
        Header { list: true, payload_length }.encode(&mut rlp);
        items.iter().for_each(|item| rlp.extend_from_slice(item));
        Ok(Some(rlp))
    }
}

/// Removes tables that tell only of blocks up to `oldest`.
pub(super) fn prune(transaction: &WriteTransaction, oldest: u64) -> Result<(), ChainError> {
    let mut epochs = transaction.open_table(NODE_EPOCHS)?;
    for _ in 0..PRUNE_TABLES_MAX {
        let mut firsts = epochs.iter()?;
        let (Some(first), Some(next)) = (firsts.next(), firsts.next()) else { return Ok(()) };
        let (first, next) = (first?.0.value(), next?.0.value());
        drop(firsts);
        if next > oldest + 1 {
            return Ok(());
        }
        let name = table_name(first);
        transaction.delete_table(definition(&name))?;
        epochs.remove(first)?;
    }
    Ok(())
}

fn table_name(first: u64) -> String {
    format!("nodes_from_{first:016x}")
}

fn definition(name: &str) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
    TableDefinition::new(name)
}

/// Trie, length and nibbles of the path, height. The length keeps rows of a longer path out of a range over heights.
fn row_key(owner: Option<B256>, path: &Nibbles, number: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + 32 + 1 + 32 + 8);
    key.push(if owner.is_some() { STORAGE_TRIE } else { ACCOUNT_TRIE });
    key.extend_from_slice(owner.as_ref().map_or(&[], |owner| owner.as_slice()));
    key.push(path.len() as u8);
    key.extend_from_slice(&path.pack());
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The row for a branch that stays one: the children of `old` that differ. `None` where a whole node is as short.
fn changed_children(old: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    let (before, after) = (branch_items(old)?, branch_items(new)?);
    let mut row = vec![CHANGED_CHILDREN, 0, 0];
    let mut mask = 0u16;
    for (index, (before, after)) in before.iter().zip(&after).take(CHILDREN).enumerate() {
        if before != after {
            mask |= 1 << index;
            row.extend_from_slice(before);
        }
    }
    row[1..3].copy_from_slice(&mask.to_be_bytes());
    (row.len() <= old.len()).then_some(row)
}

/// The items of the RLP of a branch, each with its header; `None` for other nodes.
fn branch_items(rlp: &[u8]) -> Option<[&[u8]; CHILDREN + 1]> {
    let mut rest = rlp;
    let header = Header::decode(&mut rest).ok()?;
    if !header.list || header.payload_length != rest.len() {
        return None;
    }
    let mut items = [NO_VALUE; CHILDREN + 1];
    for item in &mut items {
        *item = next_item(&mut rest)?;
    }
    rest.is_empty().then_some(items)
}

/// The next RLP item with its header.
fn next_item<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let begin = *rest;
    let header = Header::decode(rest).ok()?;
    *rest = rest.get(header.payload_length..)?;
    Some(&begin[..begin.len() - rest.len()])
}

fn damaged(reason: &str) -> ChainError {
    ChainError::decode("trie node of the past", reason)
}

#[cfg(test)]
mod tests;
