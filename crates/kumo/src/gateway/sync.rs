//! Keep the gateway's index up to date: job events from the chain, other namespaces from the sequencer.

use super::events::{self, Position};
use super::index::Index;
use crate::follower::Sink;
use crate::seam::SETTLEMENT;
use alloy_primitives::{Address, B256, LogData};
use alloy_rpc_types_eth::Filter;
use eyre::Result;
use protocol::abi::{JOB_MARKET, SLASHING_COURT};
use protocol::api::{JobEvent, SequencedTransaction};
use sdk::ChainClient;
use sequencer::{Block, Entry, SYSTEM};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Pause between two looks at the head.
const POLL: Duration = Duration::from_millis(100);
/// Blocks whose logs are read at a time.
const BLOCKS_PER_READ: u64 = 2_000;
/// Sequencer blocks without transactions of ours after which the cursor is written anyway.
const EMPTY_BLOCKS_MAX: u64 = 64;

/// Follows market and court into the index until dropped; `news` carries the block after the newest one read.
pub async fn job_events(chain: ChainClient, index: Arc<Index>, news: watch::Sender<u64>) {
    loop {
        match read_more(&chain, &index).await {
            Ok(Some(next)) => {
                news.send_replace(next);
            }
            Ok(None) => tokio::time::sleep(POLL).await,
            Err(error) => {
                tracing::debug!(error = format!("{error:#}"), "cannot read job events");
                tokio::time::sleep(POLL * 5).await;
            }
        }
    }
}

/// Reads the next blocks, if there are any; returns the new cursor.
async fn read_more(chain: &ChainClient, index: &Arc<Index>) -> Result<Option<u64>> {
    let next = index.events_cursor()?;
    let head = chain.block_number().await?;
    if next > head {
        return Ok(None);
    }
    let to = head.min(next + BLOCKS_PER_READ - 1);
    let filter = Filter::new().address(vec![JOB_MARKET, SLASHING_COURT]).from_block(next).to_block(to);
    let mut times = HashMap::new();
    let mut found: Vec<JobEvent> = Vec::new();
    for log in chain.logs(&filter).await? {
        let (Some(block_number), Some(log_index)) = (log.block_number, log.log_index) else { continue };
        let timestamp = match times.get(&block_number) {
            Some(timestamp) => *timestamp,
            None => {
                let timestamp = chain.header(block_number.into()).await?.timestamp;
                times.insert(block_number, timestamp);
                timestamp
            }
        };
        let transaction: B256 = log.transaction_hash.unwrap_or_default();
        let at = Position { block_number, log_index, timestamp, transaction };
        let (address, data): (Address, &LogData) = (log.address(), log.data());
        found.extend(events::decode(address, data, at));
    }
    // A quiet chain need not be written down block by block: reading a stretch again costs less.
    if found.is_empty() && to - next < EMPTY_BLOCKS_MAX {
        tokio::time::sleep(POLL).await;
        return Ok(None);
    }
    let keep = index.clone();
    tokio::task::spawn_blocking(move || keep.put_events(&found, to + 1)).await??;
    Ok(Some(to + 1))
}

/// Takes the transactions of all namespaces but the settlement chain's and the protocol's out of final sequencer blocks.
pub struct Namespaces {
    index: Arc<Index>,
    next: parking_lot::Mutex<Option<u64>>,
}

impl Namespaces {
    /// Into `index`.
    pub fn new(index: Arc<Index>) -> Self {
        Self { index, next: parking_lot::Mutex::new(None) }
    }
}

#[async_trait::async_trait]
impl Sink for Namespaces {
    fn next_height(&self) -> Result<u64> {
        let mut next = self.next.lock();
        match *next {
            Some(height) => Ok(height),
            None => {
                let height = self.index.sequencer_cursor()?;
                *next = Some(height);
                Ok(height)
            }
        }
    }

    /// What is indexed is only what somebody still has.
    fn skip_to(&self, oldest: u64) -> Result<bool> {
        self.index.skip_to(oldest)?;
        *self.next.lock() = Some(oldest);
        Ok(true)
    }

    fn apply(&self, block: &Block) -> Result<()> {
        let transactions = opaque_transactions(block);
        if !transactions.is_empty() || block.height.is_multiple_of(EMPTY_BLOCKS_MAX) {
            self.index.put_block(block.height, &transactions)?;
        }
        *self.next.lock() = Some(block.height + 1);
        Ok(())
    }
}

fn opaque_transactions(block: &Block) -> Vec<SequencedTransaction> {
    let mut all = Vec::new();
    let is_users = |entry: &&Entry| ![SETTLEMENT, SYSTEM].contains(&entry.namespace());
    for entry in block.payload.entries().iter().filter(is_users) {
        for ((payload, hash), index) in entry.payloads().zip(entry.hashes()).zip(0..) {
            all.push(SequencedTransaction {
                hash: hash.into(),
                namespace: entry.namespace(),
                height: block.height,
                index,
                timestamp_millis: block.timestamp_millis,
                payload: payload.clone().into(),
            });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use sequencer::{Content, Payload, transaction_hash};

    fn block(height: u64, entries: Vec<Entry>) -> Block {
        let mut block = Block::genesis(1, 1000, Bytes::new());
        block.height = height;
        block.payload = Payload::new(Content { entries, bundles: vec![] }).unwrap();
        block
    }

    #[test]
    fn only_other_namespaces_are_kept_and_the_cursor_moves_over_empty_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let index = Arc::new(Index::open(dir.path(), B256::ZERO).unwrap());
        let sink = Namespaces::new(index.clone());
        assert_eq!(sink.next_height().unwrap(), 1);
        sink.apply(&block(1, vec![])).unwrap();
        let pay = |text: &'static [u8]| Bytes::from_static(text);
        let entries = vec![Entry::new(1, [pay(b"evm")]), Entry::new(7, [pay(b"a"), pay(b"b")])];
        sink.apply(&block(2, entries)).unwrap();
        assert_eq!(sink.next_height().unwrap(), 3);
        let kept = index.transactions(7, 0, 10).unwrap();
        assert_eq!(kept.iter().map(|t| (t.height, t.index)).collect::<Vec<_>>(), [(2, 0), (2, 1)]);
        assert_eq!(kept[1].hash, B256::from(transaction_hash(7, b"b")));
        assert!(index.transactions(1, 0, 10).unwrap().is_empty());
        let again = Namespaces::new(index.clone());
        assert_eq!(again.next_height().unwrap(), 3, "a restart goes on behind the last block kept");
        assert_eq!(index.complete_from().unwrap(), 1);
        assert!(again.skip_to(9).unwrap());
        assert_eq!((again.next_height().unwrap(), index.complete_from().unwrap()), (9, 9));
        again.apply(&block(9, vec![Entry::new(7, [pay(b"c")])])).unwrap();
        assert_eq!((Namespaces::new(index.clone()).next_height().unwrap(), index.complete_from().unwrap()), (10, 9));
    }
}
