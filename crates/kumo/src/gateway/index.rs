//! What a gateway remembers of the chain and the sequencer, so that it can answer without scanning: job events and the
//! transactions of every namespace but the settlement chain's. Everything here can be rebuilt from the network.

use alloy_primitives::B256;
use eyre::{Context, Result};
use protocol::api::{JobEvent, SequencedTransaction};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::path::Path;

/// (job, block, log index) → event as JSON.
const EVENTS: TableDefinition<(u64, u64, u64), &[u8]> = TableDefinition::new("events");
/// (namespace, height, index) → hash and payload.
const TRANSACTIONS: TableDefinition<(u64, u64, u32), &[u8]> = TableDefinition::new("transactions");
/// Hash → (namespace, height, index).
const BY_HASH: TableDefinition<&[u8; 32], (u64, u64, u32)> = TableDefinition::new("by_hash");
/// Named cursors: the next block to read.
const CURSORS: TableDefinition<&str, u64> = TableDefinition::new("cursors");

const EVENTS_CURSOR: &str = "events";
const SEQUENCER_CURSOR: &str = "sequencer";
/// Behind the last height that was skipped, as nobody had it any more.
const SEQUENCER_FROM: &str = "sequencer_from";
/// Which chain the index was built from.
const GENESIS: TableDefinition<&str, &[u8; 32]> = TableDefinition::new("genesis");

/// Events returned by one call.
pub const EVENTS_MAX: usize = 10_000;

/// The index of one gateway, on disk.
pub struct Index {
    database: Database,
}

impl Index {
    /// Opens or creates the index below `dir` for the chain whose block 0 is `genesis`; an index of another chain is
    /// emptied, because all of it is derived.
    ///
    /// # Errors
    /// When the folder or the database cannot be opened; a damaged one may be deleted, it is rebuilt.
    pub fn open(dir: &Path, genesis: B256) -> Result<Self> {
        std::fs::create_dir_all(dir).wrap_err_with(|| format!("cannot make {}", dir.display()))?;
        let path = dir.join("index.redb");
        let open = || -> Result<Database> {
            let database = Database::builder().set_cache_size(8 << 20).create(&path)?;
            let write = database.begin_write()?;
            {
                let mut table = write.open_table(GENESIS)?;
                let same = table.get("hash")?.is_none_or(|found| found.value() == &genesis.0);
                if !same {
                    write.delete_table(EVENTS)?;
                    write.delete_table(TRANSACTIONS)?;
                    write.delete_table(BY_HASH)?;
                    write.delete_table(CURSORS)?;
                }
                table.insert("hash", &genesis.0)?;
                write.open_table(EVENTS)?;
                write.open_table(TRANSACTIONS)?;
                write.open_table(BY_HASH)?;
                write.open_table(CURSORS)?;
            }
            write.commit()?;
            Ok(database)
        };
        let database = open().wrap_err_with(|| {
            format!("cannot open {}: it is derived data; delete it and start again to rebuild it", path.display())
        })?;
        Ok(Self { database })
    }

    /// Keeps the events of all blocks below `next` at once with the cursor.
    pub fn put_events(&self, events: &[JobEvent], next: u64) -> Result<()> {
        let write = self.database.begin_write()?;
        {
            let mut table = write.open_table(EVENTS)?;
            for event in events {
                let value = serde_json::to_vec(event)?;
                table.insert((event.job_id, event.block_number, event.log_index), value.as_slice())?;
            }
            write.open_table(CURSORS)?.insert(EVENTS_CURSOR, next)?;
        }
        write.commit()?;
        Ok(())
    }

    /// Events of a job after a position, at most [`EVENTS_MAX`], in order.
    pub fn events(&self, job_id: u64, after: Option<(u64, u64)>) -> Result<Vec<JobEvent>> {
        let read = self.database.begin_read()?;
        let table = read.open_table(EVENTS)?;
        let start = match after {
            Some((block, index)) => (job_id, block, index.saturating_add(1)),
            None => (job_id, 0, 0),
        };
        let mut events = Vec::new();
        for item in table.range(start..=(job_id, u64::MAX, u64::MAX))?.take(EVENTS_MAX) {
            events.push(serde_json::from_slice(item?.1.value())?);
        }
        Ok(events)
    }

    /// The next block whose logs are wanted.
    pub fn events_cursor(&self) -> Result<u64> {
        self.cursor(EVENTS_CURSOR)
    }

    /// The next sequencer height wanted; heights start at 1.
    pub fn sequencer_cursor(&self) -> Result<u64> {
        Ok(self.cursor(SEQUENCER_CURSOR)?.max(1))
    }

    /// The height from which on the transactions of all blocks are here.
    pub fn complete_from(&self) -> Result<u64> {
        Ok(self.cursor(SEQUENCER_FROM)?.max(1))
    }

    /// Goes on from `height`, and remembers that blocks below it are missing.
    pub fn skip_to(&self, height: u64) -> Result<()> {
        let write = self.database.begin_write()?;
        {
            let mut cursors = write.open_table(CURSORS)?;
            cursors.insert(SEQUENCER_CURSOR, height)?;
            cursors.insert(SEQUENCER_FROM, height)?;
        }
        write.commit()?;
        Ok(())
    }

    fn cursor(&self, name: &str) -> Result<u64> {
        let read = self.database.begin_read()?;
        let table = read.open_table(CURSORS)?;
        Ok(table.get(name)?.map_or(0, |v| v.value()))
    }

    /// Keeps the transactions of one sequencer block and moves the cursor behind it.
    pub fn put_block(&self, height: u64, transactions: &[SequencedTransaction]) -> Result<()> {
        let write = self.database.begin_write()?;
        {
            let mut rows = write.open_table(TRANSACTIONS)?;
            let mut hashes = write.open_table(BY_HASH)?;
            for transaction in transactions {
                let key = (transaction.namespace, transaction.height, transaction.index);
                rows.insert(key, serde_json::to_vec(transaction)?.as_slice())?;
                hashes.insert(&transaction.hash.0, key)?;
            }
            write.open_table(CURSORS)?.insert(SEQUENCER_CURSOR, height + 1)?;
        }
        write.commit()?;
        Ok(())
    }

    /// Transactions of `namespace` from `height` on, at most `limit`, in order.
    pub fn transactions(&self, namespace: u64, height: u64, limit: usize) -> Result<Vec<SequencedTransaction>> {
        let read = self.database.begin_read()?;
        let table = read.open_table(TRANSACTIONS)?;
        let mut found = Vec::new();
        for item in table.range((namespace, height, 0)..=(namespace, u64::MAX, u32::MAX))?.take(limit) {
            found.push(serde_json::from_slice(item?.1.value())?);
        }
        Ok(found)
    }

    /// One transaction by its hash.
    pub fn transaction(&self, hash: B256) -> Result<Option<SequencedTransaction>> {
        let read = self.database.begin_read()?;
        let Some(key) = read.open_table(BY_HASH)?.get(&hash.0)?.map(|v| v.value()) else { return Ok(None) };
        let table = read.open_table(TRANSACTIONS)?;
        let row = table.get(key)?;
        Ok(match row {
            Some(row) => Some(serde_json::from_slice(row.value())?),
            None => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(job_id: u64, block: u64, index: u64) -> JobEvent {
        JobEvent {
            job_id,
            event: "TaskPaid".into(),
            block_number: block,
            log_index: index,
            timestamp: 1,
            transaction: B256::ZERO,
            task: None,
            account: None,
            fields: Default::default(),
        }
    }

    fn transaction(namespace: u64, height: u64, index: u32) -> SequencedTransaction {
        SequencedTransaction {
            hash: B256::with_last_byte((namespace * 100 + height * 10 + u64::from(index)) as u8),
            namespace,
            height,
            index,
            timestamp_millis: 5,
            payload: vec![1, 2].into(),
        }
    }

    #[test]
    fn events_resume_after_a_position_and_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(dir.path(), B256::ZERO).unwrap();
        index.put_events(&[event(1, 5, 0), event(1, 5, 1), event(2, 6, 0), event(1, 9, 4)], 10).unwrap();
        drop(index);
        let index = Index::open(dir.path(), B256::ZERO).unwrap();
        assert_eq!(index.events_cursor().unwrap(), 10);
        assert_eq!(index.events(1, None).unwrap().len(), 3);
        assert_eq!(index.events(1, Some((5, 0))).unwrap(), [event(1, 5, 1), event(1, 9, 4)]);
        assert_eq!(index.events(3, None).unwrap(), []);
    }

    #[test]
    fn namespaces_are_kept_apart_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::open(dir.path(), B256::ZERO).unwrap();
        assert_eq!(index.sequencer_cursor().unwrap(), 1);
        index.put_block(3, &[transaction(2, 3, 0), transaction(2, 3, 1), transaction(7, 3, 0)]).unwrap();
        index.put_block(4, &[transaction(2, 4, 0)]).unwrap();
        assert_eq!(index.sequencer_cursor().unwrap(), 5);
        let two = index.transactions(2, 0, 100).unwrap();
        assert_eq!(two, [transaction(2, 3, 0), transaction(2, 3, 1), transaction(2, 4, 0)]);
        assert_eq!(index.transactions(2, 4, 100).unwrap().len(), 1);
        assert_eq!(index.transactions(2, 0, 2).unwrap().len(), 2);
        let hash = transaction(7, 3, 0).hash;
        assert_eq!(index.transaction(hash).unwrap(), Some(transaction(7, 3, 0)));
        assert_eq!(index.transaction(B256::repeat_byte(9)).unwrap(), None);
    }

    #[test]
    fn an_index_of_another_chain_is_emptied() {
        let dir = tempfile::tempdir().unwrap();
        Index::open(dir.path(), B256::ZERO).unwrap().put_block(3, &[transaction(2, 3, 0)]).unwrap();
        let index = Index::open(dir.path(), B256::repeat_byte(1)).unwrap();
        assert_eq!(index.transactions(2, 0, 10).unwrap(), []);
        assert_eq!(index.sequencer_cursor().unwrap(), 1);
    }

    #[test]
    fn a_truncated_index_says_that_it_can_be_rebuilt() {
        let dir = tempfile::tempdir().unwrap();
        drop(Index::open(dir.path(), B256::ZERO).unwrap());
        let path = dir.path().join("index.redb");
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(100).unwrap();
        let error = format!("{:#}", Index::open(dir.path(), B256::ZERO).err().unwrap());
        assert!(error.contains("index.redb") && error.contains("delete it"), "{error}");
    }
}
