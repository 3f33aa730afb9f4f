//! What is left of blocks that are older than anybody may still ask for.
//!
//! Of a pruned block its header stays, under its height, with its certificate and the height by its digest: enough to
//! prove every later block, and to say of any digest that it was final. Blocks that announce a committee stay whole, as
//! whoever learns the committees is shown them. Everything else of the history does not grow with its blocks. Of the newest
//! ones the hashes of their transactions stay, too: what is final is not ordered again, also after a restart.
//!
//! A step is one transaction of bounded size: after a crash it was done or not. Presence is not touched, so that the
//! engine does not fetch again what was pruned.

use super::{ANNOUNCEMENTS, BLOCKS, HEADERS, History, HistoryError, META, OLDEST, PLACES};
use crate::block::{Block, Header};
use crate::content::Hash;
use crate::limits::STATUS_BLOCKS_MAX;
use crate::submission::finals::{self, Place};
use bytes::Bytes;
use commonware_codec::DecodeExt as _;
use redb::{Database, ReadableDatabase as _, WriteTransaction};

/// Blocks that one step prunes.
pub(crate) const STEP_BLOCKS_MAX: usize = 64;
/// Bytes of blocks that one step prunes, after which it ends; one block is always pruned.
const STEP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a step of pruning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// Heights that are behind it now.
    pub heights: u64,
    /// Unix milliseconds of the block at which it ended because that is too young.
    pub young_millis: Option<u64>,
}

/// A block that is to be pruned.
struct Old {
    height: u64,
    /// `None` if it stays whole.
    header: Option<Bytes>,
    /// What stood where in it.
    places: Vec<u8>,
}

impl History {
    /// The height from which on every block is whole; at least 1. Genesis is always there.
    pub fn oldest(&self) -> u64 {
        self.state.lock().oldest
    }

    /// Whether the block of a height was pruned.
    pub fn is_pruned(&self, height: u64) -> Result<bool, HistoryError> {
        Ok((1..self.oldest()).contains(&height) && !self.is_announcement(height)?)
    }

    /// The header of a height, also when the block was pruned.
    pub fn header(&self, height: u64) -> Result<Option<Header>, HistoryError> {
        if let Some(block) = self.shared_block(height)? {
            return Ok(Some(block.header()));
        }
        let Some(encoded) = self.read(HEADERS, height)? else { return Ok(None) };
        Header::decode(encoded).map(Some).map_err(|error| self.damaged(height, error.to_string()))
    }

    /// Prunes the oldest blocks: some of those below height `below` and from before the Unix millisecond `until_millis`.
    /// There are no more if it prunes none. Reads and writes the disk.
    pub fn prune(&self, below: u64, until_millis: u64) -> Result<Step, HistoryError> {
        let from = self.oldest();
        let (mut old, mut bytes, mut young_millis) = (Vec::new(), 0, None);
        for height in from..below {
            if old.len() == STEP_BLOCKS_MAX || bytes >= STEP_BYTES_MAX {
                break;
            }
            let encoded = self.encoded_block(height)?;
            let encoded = encoded.ok_or_else(|| self.damaged(height, "its block is missing".to_owned()))?;
            let size = encoded.len();
            let block = self.decoded(height, encoded)?;
            if block.timestamp_millis >= until_millis {
                young_millis = Some(block.timestamp_millis);
                break;
            }
            bytes += size;
            old.push(self.old(&block)?);
        }
        let step = Step { heights: old.len() as u64, young_millis };
        if !old.is_empty() {
            // Told first, so that nobody who finds no block believes that there never was one.
            self.state.lock().oldest = from + step.heights;
            if let Err(error) = self.remove(&old) {
                self.state.lock().oldest = from;
                return Err(HistoryError::Write { path: self.path.clone(), reason: error.to_string() });
            }
        }
        Ok(step)
    }

    fn old(&self, block: &Block) -> Result<Old, HistoryError> {
        let stays = self.is_announcement(block.height)?;
        let header = (!stays).then(|| block.header().encode());
        Ok(Old { height: block.height, header, places: finals::encode(&block.payload) })
    }

    /// What stood where in a pruned block, if that is among the newest [`STATUS_BLOCKS_MAX`].
    pub fn places(&self, height: u64) -> Result<Vec<(Hash, Place)>, HistoryError> {
        let Some(encoded) = self.read(PLACES, height)? else { return Ok(Vec::new()) };
        finals::decode(&encoded).ok_or_else(|| self.damaged(height, "the hashes of a pruned block".to_owned()))
    }

    fn is_announcement(&self, height: u64) -> Result<bool, HistoryError> {
        if self.state.lock().pending.announcements.contains(&height) {
            return Ok(true);
        }
        let read = || -> Result<bool, redb::Error> {
            match self.database.begin_read()?.open_table(ANNOUNCEMENTS) {
                Ok(table) => Ok(table.get(height)?.is_some()),
                Err(redb::TableError::TableDoesNotExist(_)) => Ok(false),
                Err(error) => Err(error.into()),
            }
        };
        read().map_err(|error| self.read_error(&error))
    }

    fn remove(&self, old: &[Old]) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        remove_blocks(&transaction, old)?;
        transaction.commit()?;
        Ok(())
    }
}

fn remove_blocks(transaction: &WriteTransaction, old: &[Old]) -> Result<(), redb::Error> {
    let Some(newest) = old.last() else { return Ok(()) };
    let mut blocks = transaction.open_table(BLOCKS)?;
    let (mut headers, mut remembered) = (transaction.open_table(HEADERS)?, transaction.open_table(PLACES)?);
    for Old { height, header, places } in old {
        if !places.is_empty() {
            remembered.insert(height, places.as_slice())?;
        }
        remembered.remove(height.saturating_sub(STATUS_BLOCKS_MAX))?;
        let Some(header) = header else { continue };
        blocks.remove(height)?;
        headers.insert(height, header.as_ref())?;
    }
    transaction.open_table(META)?.insert(OLDEST, newest.height + 1)?;
    Ok(())
}

/// The height from which on every block is whole, as the file says.
pub(super) fn load_oldest(database: &Database) -> Result<u64, redb::Error> {
    match database.begin_read()?.open_table(META) {
        Ok(table) => Ok(table.get(OLDEST)?.map_or(1, |oldest| oldest.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(1),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
