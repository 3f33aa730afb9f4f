//! What was ordered for a rollup, from the L1 alone.
//!
//! The events of an inbox name its batches; the data of one stands in the transaction that posted it, or in its blobs. Nobody is
//! believed about data: calldata and blobs are what the event and the names of the blobs cover, and each batch must lead from the
//! name of the inputs before it to its own, which the contract checked against the stake's finality.
//!
//! ```text
//!  events ─▶ transaction ─▶ batch in calldata ───────────┐
//!                └▶ names of blobs ─▶ blobs ─▶ batch ────┴─▶ inputs before ─▶ inputs after, as the contract has it
//! ```

use crate::blobs;
use crate::http::HttpL1;
use crate::l1::L1Error;
use alloy_primitives::{Address, B256, Bytes, U64, U256, keccak256};
use alloy_sol_types::{SolCall as _, SolEvent as _};
use proof::batch::{BLOB_BYTES, BLOBS_MAX, Batch, BatchError};
use protocol::abi::l1::{Carrier, IRollupInbox};
use serde_json::{Value, json};
use std::future::Future;

/// Most blocks of the L1 whose events are asked for at a time; fewer where a node has too much to say.
const PAGE_BLOCKS: u64 = 2_000;
/// Events of one page.
const EVENTS_MAX: usize = 4_000;

/// Why the batches cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeriveError {
    /// The L1 does not answer.
    #[error(transparent)]
    L1(#[from] L1Error),
    /// A batch is missing, or there is one too many.
    #[error("event of batch {found} where batch {expected} is next: begin before the inbox was made")]
    Gap {
        /// Index in the event.
        found: U256,
        /// Index that is next.
        expected: u64,
    },
    /// The transaction is not the call that the event tells of.
    #[error("transaction {transaction} does not hold the data of batch {index}")]
    Data {
        /// Transaction.
        transaction: B256,
        /// Batch.
        index: u64,
    },
    /// Nobody has the blobs any more.
    #[error("the blobs of batch {index} are not to be had: {reason}")]
    Blobs {
        /// Batch.
        index: u64,
        /// Why.
        reason: String,
    },
    /// The data is no batch.
    #[error("the data of batch {index} is not what was ordered: {source}")]
    Batch {
        /// Batch.
        index: u64,
        /// What is wrong.
        source: BatchError,
    },
    /// The data leads elsewhere.
    #[error("the data of batch {index} leads to inputs {reached}, the network ordered {expected}")]
    Inputs {
        /// Batch.
        index: u64,
        /// Where it leads.
        reached: B256,
        /// As the contract has it.
        expected: B256,
    },
}

/// A source of blobs; what it gives is checked.
pub trait Blobs: Send + Sync {
    /// Blobs of a block of the L1, among them those with these names.
    fn blobs(&self, block: u64, names: &[B256]) -> impl Future<Output = Result<Vec<Bytes>, L1Error>> + Send;
}

/// A batch as the L1 has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derived {
    /// Its number, from 0 on.
    pub index: u64,
    /// Last block of the network that it covers.
    pub height: u64,
    /// Name of everything up to it.
    pub inputs: B256,
    /// What it carries.
    pub content: Content,
    /// Transaction of the L1.
    pub transaction: B256,
    /// Block of the L1.
    pub block: u64,
}

/// What a batch carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// All that was ordered, from calldata.
    Calldata(Batch),
    /// All that was ordered, from so many blobs.
    Blobs(Batch, usize),
    /// A state that was proven, and what changed.
    State {
        /// The new state.
        root: B256,
        /// State difference.
        diff: Bytes,
    },
}

impl Content {
    /// The blocks; none in a state.
    pub fn batch(&self) -> Option<&Batch> {
        match self {
            Self::Calldata(batch) | Self::Blobs(batch, _) => Some(batch),
            Self::State { .. } => None,
        }
    }
}

/// Reads the batches of one rollup of an inbox.
#[derive(Clone, Debug)]
pub struct Deriver<B> {
    l1: HttpL1,
    blobs: B,
    contract: Address,
    id: U256,
    namespace: u64,
    next: u64,
    inputs: B256,
}

impl<B: Blobs> Deriver<B> {
    /// Begins with the first batch of rollup `id`, which is of `namespace`.
    pub fn new(l1: HttpL1, blobs: B, contract: Address, id: U256, namespace: u64) -> Self {
        Self { l1, blobs, contract, id, namespace, next: 0, inputs: B256::ZERO }
    }

    /// All batches that were posted in these blocks of the L1, in order and checked. `from` is not above the block of the first batch,
    /// and then the block after the last `to`.
    ///
    /// # Errors
    /// When the L1 does not answer, or what it has is not what the network ordered.
    pub async fn batches(&mut self, from: u64, to: u64) -> Result<Vec<Derived>, DeriveError> {
        let (mut found, mut pages) = (Vec::new(), Pages::new(from, to));
        while let Some((from, last)) = pages.next() {
            match self.events(from, last).await {
                Ok(events) => {
                    for event in events {
                        found.push(self.read(&event).await?);
                    }
                    pages.done(last);
                }
                // Nodes refuse what is too long in words of their own.
                Err(error) => pages.halve().then_some(()).ok_or(error)?,
            }
        }
        Ok(found)
    }

    async fn events(&self, from: u64, to: u64) -> Result<Vec<Posted>, DeriveError> {
        let filter = json!([{
            "address": self.contract,
            "fromBlock": format!("{from:#x}"),
            "toBlock": format!("{to:#x}"),
            "topics": [IRollupInbox::BatchPosted::SIGNATURE_HASH, B256::from(self.id)],
        }]);
        let logs = self.l1.request("eth_getLogs", filter).await?;
        let logs = logs.as_array().filter(|logs| logs.len() <= EVENTS_MAX).ok_or_else(|| malformed("eth_getLogs"))?;
        logs.iter().map(|log| Posted::read(log).ok_or_else(|| malformed("eth_getLogs").into())).collect()
    }

    async fn read(&mut self, posted: &Posted) -> Result<Derived, DeriveError> {
        let Posted { event, transaction, block } = posted;
        let index = self.next;
        if event.index != U256::from(index) {
            return Err(DeriveError::Gap { found: event.index, expected: index });
        }
        let found = self.l1.request("eth_getTransactionByHash", json!([transaction])).await?;
        let wrong = || DeriveError::Data { transaction: *transaction, index };
        let input: Bytes = serde_json::from_value(found["input"].clone()).map_err(|_| wrong())?;
        let content = match event.carrier {
            Carrier::Calldata => {
                let call = IRollupInbox::postCalldataCall::abi_decode(&input).map_err(|_| wrong())?;
                if call.id != self.id || keccak256(&call.batch) != event.content {
                    return Err(wrong());
                }
                let batch = match call.batch.is_empty() {
                    true => Batch::default(),
                    false => Batch::decode(&call.batch).map_err(|source| DeriveError::Batch { index, source })?,
                };
                Content::Calldata(batch)
            }
            Carrier::Blobs => {
                let names: Vec<B256> =
                    serde_json::from_value(found["blobVersionedHashes"].clone()).map_err(|_| wrong())?;
                let (batch, count) = self.read_blobs(index, *block, &names).await?;
                Content::Blobs(batch, count)
            }
            _ => {
                let call = IRollupInbox::postProofCall::abi_decode(&input).map_err(|_| wrong())?;
                if call.id != self.id || keccak256(&call.stateDiff) != event.content {
                    return Err(wrong());
                }
                Content::State { root: call.newStateRoot, diff: call.stateDiff }
            }
        };
        self.check(index, &content, event.inputs)?;
        (self.next, self.inputs) = (index + 1, event.inputs);
        let (height, inputs) = (event.height, event.inputs);
        Ok(Derived { index, height, inputs, content, transaction: *transaction, block: *block })
    }

    fn check(&self, index: u64, content: &Content, expected: B256) -> Result<(), DeriveError> {
        let Some(batch) = content.batch() else { return Ok(()) };
        let reached = batch.extend(self.namespace, self.inputs);
        match reached == expected {
            true => Ok(()),
            false => Err(DeriveError::Inputs { index, reached, expected }),
        }
    }

    /// The batch in the blobs with these names, in their order.
    async fn read_blobs(&self, index: u64, block: u64, names: &[B256]) -> Result<(Batch, usize), DeriveError> {
        let missing = |reason: String| DeriveError::Blobs { index, reason };
        if names.is_empty() || names.len() > BLOBS_MAX {
            return Err(missing(format!("a transaction with {} blobs, at most {BLOBS_MAX} hold a batch", names.len())));
        }
        let given = self.blobs.blobs(block, names).await.map_err(|error| missing(error.to_string()))?;
        let mut named = Vec::with_capacity(given.len());
        for blob in given.iter().filter(|blob| blob.len() == BLOB_BYTES) {
            named.push((blobs::name(blob)?, blob));
        }
        let find = |name: &B256| named.iter().find(|(found, _)| found == name).map(|(_, blob)| *blob);
        let ordered: Option<Vec<&Bytes>> = names.iter().map(find).collect();
        let ordered = ordered.ok_or_else(|| missing("the source does not have all of them".to_owned()))?;
        let batch = Batch::from_blobs(&ordered).map_err(|source| DeriveError::Batch { index, source })?;
        Ok((batch, ordered.len()))
    }
}

/// Blocks of the L1, some at a time.
#[derive(Debug)]
struct Pages {
    from: u64,
    to: u64,
    /// Blocks of the next page.
    blocks: u64,
}

impl Pages {
    fn new(from: u64, to: u64) -> Self {
        Self { from, to, blocks: PAGE_BLOCKS }
    }

    /// First and last block of the next page.
    fn next(&self) -> Option<(u64, u64)> {
        (self.from <= self.to).then(|| (self.from, self.to.min(self.from.saturating_add(self.blocks - 1))))
    }

    /// The page up to `last` is read; the next one may be twice as long.
    fn done(&mut self, last: u64) {
        (self.from, self.blocks) = (last + 1, (2 * self.blocks).min(PAGE_BLOCKS));
    }

    /// The page is asked for again, half as long; false if it was of one block.
    fn halve(&mut self) -> bool {
        let is_one = self.next().is_none_or(|(from, last)| from == last);
        self.blocks = (self.blocks / 2).max(1);
        !is_one
    }
}

/// An event and where it stands.
struct Posted {
    event: IRollupInbox::BatchPosted,
    transaction: B256,
    block: u64,
}

impl Posted {
    fn read(log: &Value) -> Option<Self> {
        let topics: Vec<B256> = serde_json::from_value(log["topics"].clone()).ok()?;
        let data: Bytes = serde_json::from_value(log["data"].clone()).ok()?;
        let event = IRollupInbox::BatchPosted::decode_raw_log(topics, &data).ok()?;
        let transaction = serde_json::from_value(log["transactionHash"].clone()).ok()?;
        let block: U64 = serde_json::from_value(log["blockNumber"].clone()).ok()?;
        Some(Self { event, transaction, block: block.to() })
    }
}

fn malformed(what: &'static str) -> L1Error {
    L1Error::Unreachable { what, reason: "the answer cannot be read".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_with_too_much_is_halved_until_it_is_read_and_no_block_is_left_out() {
        let (mut pages, mut read) = (Pages::new(5, 9_000), 5);
        while let Some((from, last)) = pages.next() {
            assert_eq!(from, read);
            // A node that says at most the events of 7 blocks around block 3,000, where they are dense.
            if (from..=last).contains(&3_000) && last - from >= 7 {
                assert!(pages.halve());
                continue;
            }
            assert!(last - from < PAGE_BLOCKS);
            read = last + 1;
            pages.done(last);
        }
        assert_eq!(read, 9_001);
        assert_eq!(pages.blocks, PAGE_BLOCKS, "it is long again after them");
    }

    #[test]
    fn one_block_is_not_halved() {
        let mut pages = Pages::new(3, 3);
        assert!(!pages.halve());
        assert_eq!(Pages::new(4, 3).next(), None);
        let (mut pages, mut tries) = (Pages::new(0, 10_000), 0);
        while pages.halve() {
            tries += 1;
        }
        assert_eq!((tries, pages.next()), (10, Some((0, 0))));
    }
}
