//! A history that begins in the middle, because its validator began from a checkpoint.
//!
//! To everybody who asks which blocks are present, those before the first one look as if they had been here, so that
//! nobody fetches them; they cannot be read.

use super::{BLOCK_RANGES, HEADERS, HEIGHTS, History, HistoryError, META, OLDEST};
use crate::block::Header;
use redb::{ReadableDatabase as _, TableError};

/// Row of [`META`]: height of the first block that was ever here.
const BEGINS: &str = "begins";

impl History {
    /// Says that nothing before `first` will come but what is here already, and of the block with the header `floor` that header;
    /// everything else must be committed. Durable when it returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(&self, first: u64, floor: Option<&Header>) -> Result<(), HistoryError> {
        let ranges: Vec<(u64, u64)> = {
            let mut state = self.state.lock();
            state.presence.blocks.fill(0, first.saturating_sub(1));
            state.oldest = first;
            state.presence.blocks.from(0).collect()
        };
        let write = || -> Result<(), redb::Error> {
            let transaction = self.database.begin_write()?;
            {
                let mut table = transaction.open_table(BLOCK_RANGES)?;
                table.retain(|_, _| false)?;
                for (start, end) in ranges {
                    table.insert(start, end)?;
                }
                if let Some(header) = floor {
                    transaction.open_table(HEADERS)?.insert(header.height, header.encode().as_ref())?;
                    transaction.open_table(HEIGHTS)?.insert(header.digest(), header.height)?;
                }
                let mut table = transaction.open_table(META)?;
                table.insert(BEGINS, first)?;
                table.insert(OLDEST, first)?;
            }
            transaction.commit()?;
            Ok(())
        };
        write().map_err(|error| HistoryError::Write { path: self.path.clone(), reason: error.to_string() })
    }

    /// Height of the first block that was ever here, but for genesis; 1 if all were.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn begins(&self) -> Result<u64, HistoryError> {
        let read = || -> Result<u64, redb::Error> {
            match self.database.begin_read()?.open_table(META) {
                Ok(table) => Ok(table.get(BEGINS)?.map_or(1, |first| first.value())),
                Err(TableError::TableDoesNotExist(_)) => Ok(1),
                Err(error) => Err(error.into()),
            }
        };
        read().map_err(|error| self.read_error(&error))
    }

    /// The nearest height from `height` on that has a finalization of its own.
    pub fn certified_from(&self, height: u64) -> Option<u64> {
        self.with_certificates(|ranges| match ranges.next_gap(height) {
            (Some(_), _) => Some(height),
            (None, next) => next,
        })
    }
}
