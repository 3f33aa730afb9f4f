//! Writing behind: rows that would each land on a page of their own are gathered over some blocks first.
//!
//! What a block adds to the history of accounts, slots and nodes and to the index of transactions is ordered by keys that
//! have nothing to do with each other, so every row would change another page of its table. Instead a block writes its
//! rows one after the other into one row of [`BEHIND`], and moves to their tables only the rows of one of [`BUCKETS`] parts
//! of the key space, from all blocks since that part was last moved: as many rows, on a fraction of the pages.
//!
//! ```text
//!              bucket  0   1   2   3          block 6 writes its rows to BEHIND and moves bucket 2 of the blocks 3 to 6;
//!     block 3          ■   ■   ▣   ■  ┐       afterwards block 3 has nothing left there, and its row is removed
//!     block 4          ■   □   ▣   ■  │
//!     block 5          ■'  □'  ▣   □  │ BEHIND (here with four buckets; ■ moved, ▣ moves now, □ waits)
//!     block 6          □   □   ▣   □  ┘
//! ```
//!
//! It all happens in the one durable transaction of the block, so no crash can part a row from its block. The rows that
//! wait are in memory, too, where readers find them behind those of the tables: all rows of a bucket that wait are of
//! later blocks than those that were moved. When a chain is opened, everything that waits is moved.
//!
//! Buckets are made from bytes of the key that are spread evenly for honest users. Who grinds keys of one bucket only makes
//! one block in [`BUCKETS`] move what all of them would have moved.

use super::{nodes, tables::*};
use crate::ChainError;
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use std::{collections::VecDeque, ops::Range, sync::Arc};

/// Height to rows that are not all in their tables: first height of the block's table of nodes, then the rows.
///
/// A row is its kind (1 byte), length of the key (1 byte), length of the value (4 bytes, big endian), key, value.
pub(super) const BEHIND: TableDefinition<u64, &[u8]> = TableDefinition::new("behind");

/// Parts of the key space, and so the blocks until a row is moved.
pub(super) const BUCKETS: u64 = 16;
/// Bytes that may wait; when there are more, everything is moved at once.
const BYTES_MAX: usize = 64 << 20;
/// Bytes of a row before its key.
const ROW_HEAD: usize = 1 + 1 + 4;
/// Bytes before the first row.
const HEAD: usize = 8;

/// Which table a row belongs to; part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Kind {
    /// [`ACCOUNT_HISTORY`].
    Account = 1,
    /// [`STORAGE_HISTORY`].
    Slot,
    /// [`TRANSACTIONS`].
    Transaction,
    /// The table of nodes of the row's block.
    Node,
}

/// The rows of one block.
pub(super) struct Rows {
    number: u64,
    /// As stored in [`BEHIND`].
    bytes: Vec<u8>,
    /// In order, once sorted.
    index: Vec<Place>,
}

/// Where a row is, in an order that is seldom decided by looking there.
#[derive(Clone, Copy)]
struct Place {
    bucket: u8,
    kind: Kind,
    /// The first bytes of its key.
    prefix: u64,
    offset: u32,
}

/// The rows that wait, by block, oldest first.
#[derive(Default)]
pub(super) struct Behind {
    blocks: VecDeque<Arc<Rows>>,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [Self::Account, Self::Slot, Self::Transaction, Self::Node].into_iter().find(|kind| *kind as u8 == byte)
    }

    /// The part of the key space. All heights of an account, slot or node are in one.
    fn bucket(self, key: &[u8]) -> u8 {
        let byte = |at: usize| key.get(at).copied().unwrap_or_default();
        let spread = match self {
            Self::Account | Self::Transaction => byte(0),
            // The slots of a busy contract are in all buckets, and so are those of many small ones.
            Self::Slot => byte(0).wrapping_add(byte(20)),
            Self::Node => nodes::spread(key),
        };
        spread / (256 / BUCKETS) as u8
    }
}

impl Rows {
    /// None yet, for the block of this height.
    pub(super) fn new(number: u64) -> Self {
        Self { number, bytes: vec![0; HEAD], index: Vec::new() }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Adds a row.
    pub(super) fn push(&mut self, kind: Kind, key: &[u8], value: &[&[u8]]) {
        let length: usize = value.iter().map(|part| part.len()).sum();
        let (Ok(offset), Ok(key_length), Ok(length)) =
            (u32::try_from(self.bytes.len()), u8::try_from(key.len()), u32::try_from(length))
        else {
            unreachable!("keys have at most 74 bytes, and the nodes of one block less than 4 GiB");
        };
        self.bytes.extend_from_slice(&[kind as u8, key_length]);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(key);
        value.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.index.push(Place::new(kind, key, offset));
    }

    /// How many rows there are of a kind.
    pub(super) fn count(&self, kind: Kind) -> u64 {
        self.index.iter().filter(|place| place.kind == kind).count() as u64
    }

    /// Names the table of the nodes, and puts the rows in order.
    pub(super) fn finish(mut self, nodes_from: u64) -> Self {
        self.bytes[..HEAD].copy_from_slice(&nodes_from.to_be_bytes());
        self.sort();
        self
    }

    fn decode(number: u64, stored: &[u8]) -> Result<Self, ChainError> {
        let damaged = || ChainError::decode("rows written behind", format!("those of block {number} are cut off"));
        let (mut index, mut offset) = (Vec::new(), HEAD);
        stored.get(..HEAD).ok_or_else(damaged)?;
        while offset < stored.len() {
            let row = RowRef::at(stored, offset).ok_or_else(damaged)?;
            let at = u32::try_from(offset).map_err(|_| damaged())?;
            index.push(Place::new(row.kind, row.key, at));
            offset += ROW_HEAD + row.key.len() + row.value.len();
        }
        let mut rows = Self { number, bytes: stored.to_vec(), index };
        rows.sort();
        Ok(rows)
    }

    fn sort(&mut self) {
        let Self { bytes, index, .. } = self;
        index.sort_unstable_by(|a, b| a.rank().cmp(&b.rank()).then_with(|| a.row(bytes).key.cmp(b.row(bytes).key)));
    }

    /// Lowest height of the table of its nodes.
    fn nodes_from(&self) -> u64 {
        self.bytes.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }

    /// The rows of a bucket.
    fn bucket(&self, bucket: u8) -> impl Iterator<Item = RowRef<'_>> {
        let places = &self.index[self.range(|place| place.bucket.cmp(&bucket))];
        places.iter().map(|place| place.row(&self.bytes))
    }

    /// The rows of a kind from key to key, in one bucket.
    fn between<'a>(&'a self, bucket: u8, kind: Kind, from: &[u8], to: &[u8]) -> impl Iterator<Item = RowRef<'a>> {
        let range = self.range(|place| {
            use std::cmp::Ordering::{Equal, Greater, Less};
            (place.bucket, place.kind).cmp(&(bucket, kind)).then_with(|| match place.row(&self.bytes).key {
                key if key < from => Less,
                key if key > to => Greater,
                _ => Equal,
            })
        });
        self.index[range].iter().map(|place| place.row(&self.bytes))
    }

    /// The places that are equal to what is looked for.
    fn range(&self, compare: impl Fn(&Place) -> std::cmp::Ordering) -> Range<usize> {
        let begin = self.index.partition_point(|place| compare(place).is_lt());
        let length = self.index[begin..].partition_point(|place| compare(place).is_eq());
        begin..begin + length
    }
}

impl Place {
    fn new(kind: Kind, key: &[u8], offset: u32) -> Self {
        let mut prefix = [0; 8];
        let length = key.len().min(prefix.len());
        prefix[..length].copy_from_slice(&key[..length]);
        Self { bucket: kind.bucket(key), kind, prefix: u64::from_be_bytes(prefix), offset }
    }

    fn rank(&self) -> (u8, Kind, u64) {
        (self.bucket, self.kind, self.prefix)
    }

    fn row<'a>(&self, bytes: &'a [u8]) -> RowRef<'a> {
        RowRef::at(bytes, self.offset as usize).expect("the index was made from these bytes")
    }
}

/// One row.
#[derive(Clone, Copy)]
struct RowRef<'a> {
    kind: Kind,
    key: &'a [u8],
    value: &'a [u8],
}

impl<'a> RowRef<'a> {
    fn at(bytes: &'a [u8], offset: usize) -> Option<Self> {
        let (head, rest) = bytes.get(offset..)?.split_first_chunk::<ROW_HEAD>()?;
        let [kind, key_length, length @ ..] = *head;
        let (key, rest) = rest.split_at_checked(key_length.into())?;
        let value = rest.get(..u32::from_be_bytes(length) as usize)?;
        Some(Self { kind: Kind::of(kind)?, key, value })
    }
}

impl Behind {
    /// Moves all rows that a file has waiting to their tables.
    pub(super) fn settle(transaction: &WriteTransaction) -> Result<(), ChainError> {
        let mut table = transaction.open_table(BEHIND)?;
        let mut blocks = Vec::new();
        for row in table.iter()? {
            let (number, rows) = row?;
            blocks.push(Rows::decode(number.value(), rows.value())?);
        }
        blocks.iter().try_for_each(|rows| table.remove(rows.number).map(drop))?;
        move_rows(transaction, &mut blocks.iter(), 0..BUCKETS as u8)
    }

    /// Takes the rows of the next block, and moves those whose turn it is, or all if nothing may wait. What is returned
    /// waits as soon as the transaction is committed.
    pub(super) fn append(
        &self,
        transaction: &WriteTransaction,
        rows: Rows,
        may_wait: bool,
    ) -> Result<Self, ChainError> {
        let mut blocks: VecDeque<_> = self.blocks.iter().cloned().collect();
        blocks.push_back(Arc::new(rows));
        let bytes: usize = blocks.iter().map(|rows| rows.bytes.len()).sum();
        let mut table = transaction.open_table(BEHIND)?;
        if !may_wait || bytes > BYTES_MAX {
            self.blocks.iter().try_for_each(|rows| table.remove(rows.number).map(drop))?;
            move_rows(transaction, &mut blocks.iter().map(Arc::as_ref), 0..BUCKETS as u8)?;
            return Ok(Self::default());
        }
        let newest = blocks.back().expect("it was just pushed");
        table.insert(newest.number, newest.bytes.as_slice())?;
        let bucket = (newest.number % BUCKETS) as u8;
        move_rows(transaction, &mut blocks.iter().map(Arc::as_ref), bucket..bucket + 1)?;
        if blocks.len() as u64 == BUCKETS
            && let Some(oldest) = blocks.pop_front()
        {
            table.remove(oldest.number)?;
        }
        Ok(Self { blocks })
    }

    /// The first value of a kind from key to key, which differ in height only.
    pub(super) fn first(&self, kind: Kind, from: &[u8], to: &[u8]) -> Option<&[u8]> {
        self.values(kind, from, to).next()
    }

    /// The values of a kind from key to key, which differ in height only, in the order of heights.
    pub(super) fn values<'a>(&'a self, kind: Kind, from: &[u8], to: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        let bucket = kind.bucket(from);
        self.blocks.iter().flat_map(move |rows| rows.between(bucket, kind, from, to)).map(|row| row.value)
    }

    /// The keys of a kind from key to key, in no order.
    pub(super) fn keys<'a>(&'a self, kind: Kind, from: &[u8], to: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        let buckets = move |rows: &'a Arc<Rows>| (0..BUCKETS as u8).map(move |bucket| (rows, bucket));
        self.blocks
            .iter()
            .flat_map(buckets)
            .flat_map(move |(rows, b)| rows.between(b, kind, from, to))
            .map(|row| row.key)
    }
}

/// Writes the rows of some buckets into their tables, in key order.
fn move_rows(
    transaction: &WriteTransaction,
    blocks: &mut dyn Iterator<Item = &Rows>,
    buckets: Range<u8>,
) -> Result<(), ChainError> {
    let mut rows = Vec::new();
    for block in blocks {
        let nodes_from = block.nodes_from();
        for row in buckets.clone().flat_map(|bucket| block.bucket(bucket)) {
            let table = if row.kind == Kind::Node { nodes_from } else { 0 };
            rows.push((row.kind, table, row.key, row.value));
        }
    }
    // Each block's rows are in order: merging them is what a stable sort does.
    rows.sort();
    for rows in rows.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        let (kind, nodes_from, ..) = rows[0];
        let rows = rows.iter().map(|(_, _, key, value)| (*key, *value));
        match kind {
            Kind::Account => {
                let mut table = transaction.open_table(ACCOUNT_HISTORY)?;
                for (key, value) in rows {
                    table.insert(&array(key, "key of an account's history")?, value)?;
                }
            }
            Kind::Slot => {
                let mut table = transaction.open_table(STORAGE_HISTORY)?;
                for (key, value) in rows {
                    table.insert(&array(key, "key of a slot's history")?, value)?;
                }
            }
            Kind::Transaction => {
                let mut table = transaction.open_table(TRANSACTIONS)?;
                for (key, value) in rows {
                    table.insert(&array(key, "hash of a transaction")?, decode_position(value)?)?;
                }
            }
            Kind::Node => nodes::write(transaction, nodes_from, rows)?,
        }
    }
    Ok(())
}

/// Height and index of a transaction, as a value.
pub(super) fn encode_position(number: u64, index: u32) -> [u8; 12] {
    let mut value = [0; 12];
    value[..8].copy_from_slice(&number.to_be_bytes());
    value[8..].copy_from_slice(&index.to_be_bytes());
    value
}

/// Height and index of a transaction.
pub(super) fn decode_position(value: &[u8]) -> Result<(u64, u32), ChainError> {
    let value: [u8; 12] = array(value, "place of a transaction")?;
    let (number, index) = value.split_at(8);
    Ok((u64::from_be_bytes(array(number, "height")?), u32::from_be_bytes(array(index, "index")?)))
}

#[cfg(test)]
mod tests;
