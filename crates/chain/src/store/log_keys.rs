//! Which addresses and topics the logs of each block name: what a log query reads instead of headers and receipts.
//!
//! A block with logs has one row: the distinct 8-byte keys of its addresses and topics, sorted. A block without logs has
//! none, so a query over many quiet blocks reads only the few that matter. A row is written once, behind the last one.
//! Two values may share a key; that costs a look at the block, and never hides a log. Blocks below the first one that was
//! written with rows are found by the bloom of their header.

use super::tables::array;
use crate::{BlockRecord, ChainError, LogFilter};
use alloy_primitives::Address;
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, TableDefinition, TableError, WriteTransaction};
use std::ops::RangeInclusive;

/// Height to the sorted keys of its logs.
pub(super) const LOG_KEYS: TableDefinition<u64, &[u8]> = TableDefinition::new("log_keys");
/// Lowest height from which on every block with logs has a row, 8 bytes; absent before there is any.
pub(super) const META_LOG_KEYS_FROM: &str = "log_keys_from";

/// Bytes of one key.
const KEY_BYTES: usize = 8;
/// Odd, without a pattern in its bits: 2^64 divided by the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// The rows of a snapshot.
pub(super) struct LogKeys(Option<ReadOnlyTable<u64, &'static [u8]>>);

/// Keys of which a block must have at least one each, for its logs to match.
struct Wanted(Vec<Vec<u64>>);

impl LogKeys {
    pub(super) fn open(transaction: &ReadTransaction) -> Result<Self, ChainError> {
        match transaction.open_table(LOG_KEYS) {
            Ok(table) => Ok(Self(Some(table))),
            // A chain that was written by a program without rows, and has had no block since.
            Err(TableError::TableDoesNotExist(_)) => Ok(Self(None)),
            Err(error) => Err(error.into()),
        }
    }

    /// Blocks that may hold a wanted log, in order.
    pub(super) fn candidates(&self, blocks: RangeInclusive<u64>, filter: &LogFilter) -> Result<Vec<u64>, ChainError> {
        let Some(table) = &self.0 else { return Ok(Vec::new()) };
        let (wanted, mut found) = (Wanted::new(filter), Vec::new());
        for row in table.range(blocks)? {
            let (number, keys) = row?;
            if wanted.may_be_in(keys.value())? {
                found.push(number.value());
            }
        }
        Ok(found)
    }
}

impl Wanted {
    fn new(filter: &LogFilter) -> Self {
        let addresses = filter.addresses.iter().map(address_key).collect();
        let topics = filter.topics.iter().map(|topics| topics.iter().map(|topic| key(topic.as_slice())).collect());
        Self([addresses].into_iter().chain(topics).filter(|keys: &Vec<u64>| !keys.is_empty()).collect())
    }

    fn may_be_in(&self, row: &[u8]) -> Result<bool, ChainError> {
        let (keys, rest) = row.as_chunks::<KEY_BYTES>();
        if !rest.is_empty() {
            array::<KEY_BYTES>(rest, "keys of logs")?;
        }
        let has = |wanted: &u64| keys.binary_search_by(|key| u64::from_be_bytes(*key).cmp(wanted)).is_ok();
        Ok(self.0.iter().all(|any| any.iter().any(has)))
    }
}

/// Writes the row of a block, and from which block on there are rows.
pub(super) fn write(transaction: &WriteTransaction, record: &BlockRecord) -> Result<(), ChainError> {
    let mut meta = transaction.open_table(super::tables::META)?;
    if meta.get(META_LOG_KEYS_FROM)?.is_none() {
        meta.insert(META_LOG_KEYS_FROM, record.number().to_be_bytes().as_slice())?;
    }
    let mut table = transaction.open_table(LOG_KEYS)?;
    let keys = keys_of(record);
    if !keys.is_empty() {
        let row: Vec<u8> = keys.iter().flat_map(|key| key.to_be_bytes()).collect();
        table.insert(record.number(), row.as_slice())?;
    }
    Ok(())
}

/// Distinct keys of the logs of a block, in order.
fn keys_of(record: &BlockRecord) -> Vec<u64> {
    let mut keys = Vec::new();
    for log in record.receipts.iter().flat_map(|receipt| receipt.logs()) {
        keys.push(address_key(&log.address));
        keys.extend(log.topics().iter().map(|topic| key(topic.as_slice())));
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The key of an address is that of the topic it would be.
fn address_key(address: &Address) -> u64 {
    key(address.into_word().as_slice())
}

/// Folds a word into its key; part of the format.
fn key(word: &[u8]) -> u64 {
    let fold =
        |hash: u64, part: &[u8; KEY_BYTES]| (hash ^ u64::from_be_bytes(*part)).wrapping_mul(MULTIPLIER).rotate_left(29);
    word.as_chunks::<KEY_BYTES>().0.iter().fold(0, fold)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;

    fn row(words: &[B256]) -> Vec<u8> {
        let mut keys: Vec<u64> = words.iter().map(|word| key(word.as_slice())).collect();
        keys.sort_unstable();
        keys.iter().flat_map(|key| key.to_be_bytes()).collect()
    }

    #[test]
    fn a_block_matches_only_with_one_of_each_kind_that_is_wanted() {
        let (contract, word) = (Address::repeat_byte(1), B256::repeat_byte);
        let row = row(&[contract.into_word(), word(2), word(3)]);
        let may = |addresses: &[Address], topics: [&[B256]; 4]| {
            let filter = LogFilter { addresses: addresses.into(), topics: topics.map(Into::into) };
            Wanted::new(&filter).may_be_in(&row).unwrap()
        };
        assert!(may(&[], [&[]; 4]));
        assert!(may(&[contract], [&[word(2)], &[], &[word(9), word(3)], &[]]));
        assert!(!may(&[Address::repeat_byte(9)], [&[word(2)], &[], &[], &[]]));
        assert!(!may(&[contract], [&[word(2)], &[word(9)], &[], &[]]));
    }

    #[test]
    fn a_row_of_a_broken_length_is_an_error() {
        assert!(Wanted::new(&LogFilter::default()).may_be_in(&[0; 9]).is_err());
        assert!(Wanted::new(&LogFilter::default()).may_be_in(&[0; 16]).unwrap());
    }

    #[test]
    fn keys_are_those_of_the_format() {
        assert_eq!(key(B256::ZERO.as_slice()), 0);
        assert_eq!(key(B256::with_last_byte(1).as_slice()), MULTIPLIER.rotate_left(29));
        assert_ne!(key(B256::with_last_byte(1).as_slice()), key(B256::repeat_byte(1).as_slice()));
    }
}
