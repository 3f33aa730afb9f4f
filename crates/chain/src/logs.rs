//! Find logs by address and topic.
//!
//! The store keeps the addresses and topics of each block with logs, so a query reads only blocks that match. Headers carry
//! a bloom filter of their logs; older blocks, which have no such row, are skipped by it.
//! Source: Ethereum yellow paper section 4.3.1 (logs bloom).

use crate::{BlockRecord, Chain, ChainError};
use alloy_primitives::{Address, B256, Bloom, BloomInput, Log};

/// Blocks one query may span.
pub const LOG_BLOCKS_MAX: u64 = 100_000;
/// Logs one query may return.
pub const LOG_RESULTS_MAX: usize = 10_000;

/// Which logs are wanted. Empty lists mean "any".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Emitting contracts.
    pub addresses: Vec<Address>,
    /// Per topic position, the accepted values.
    pub topics: [Vec<B256>; 4],
}

impl LogFilter {
    /// Whether a log is wanted.
    pub fn matches(&self, log: &Log) -> bool {
        let address = self.addresses.is_empty() || self.addresses.contains(&log.address);
        address
            && self
                .topics
                .iter()
                .enumerate()
                .all(|(i, wanted)| wanted.is_empty() || log.topics().get(i).is_some_and(|topic| wanted.contains(topic)))
    }

    /// Whether a block with this bloom can hold a wanted log.
    pub fn may_match(&self, bloom: &Bloom) -> bool {
        let any =
            |mut raw: Box<dyn Iterator<Item = &[u8]> + '_>| raw.any(|raw| bloom.contains_input(BloomInput::Raw(raw)));
        let address = self.addresses.is_empty() || any(Box::new(self.addresses.iter().map(|a| a.as_slice())));
        address
            && self.topics.iter().all(|wanted| wanted.is_empty() || any(Box::new(wanted.iter().map(|t| t.as_slice()))))
    }

    /// The wanted logs of one block, in order.
    pub fn select(&self, block: &BlockRecord) -> Vec<alloy_rpc_types_eth::Log> {
        if !self.may_match(&block.header.logs_bloom) {
            return Vec::new();
        }
        let mut log_index = 0;
        let mut found = Vec::new();
        for (index, (receipt, transaction)) in block.receipts.iter().zip(&block.transactions).enumerate() {
            for log in receipt.logs() {
                if self.matches(log) {
                    found.push(alloy_rpc_types_eth::Log {
                        inner: log.clone(),
                        block_hash: Some(block.hash),
                        block_number: Some(block.number()),
                        block_timestamp: Some(block.header.timestamp),
                        transaction_hash: Some(*transaction.tx_hash()),
                        transaction_index: Some(index as u64),
                        log_index: Some(log_index),
                        removed: false,
                    });
                }
                log_index += 1;
            }
        }
        found
    }
}

impl Chain {
    /// Logs of the finalised blocks `from..=to` that match, in order; `to` is clamped to the head.
    ///
    /// Fails over [`LOG_BLOCKS_MAX`] blocks or [`LOG_RESULTS_MAX`] logs.
    pub fn logs(&self, from: u64, to: u64, filter: &LogFilter) -> Result<Vec<alloy_rpc_types_eth::Log>, ChainError> {
        let to = to.min(self.head().number());
        if from > to {
            return Ok(Vec::new());
        }
        check_span(from, to)?;
        let mut found = Vec::new();
        for number in self.log_candidates(from, to, filter)? {
            let Some(block) = self.block_by_number(number)? else { continue };
            found.extend(filter.select(&block));
            check_results(found.len(), number)?;
        }
        Ok(found)
    }

    /// Blocks that may hold a wanted log, in order.
    fn log_candidates(&self, from: u64, to: u64, filter: &LogFilter) -> Result<Vec<u64>, ChainError> {
        let snapshot = self.snapshot();
        let known = snapshot.log_keys_from()?.unwrap_or(u64::MAX).clamp(from, to.saturating_add(1));
        let mut candidates = Vec::new();
        for number in from..known {
            if filter.may_match(&self.bloom(number)?) {
                candidates.push(number);
            }
        }
        if known <= to {
            candidates.extend(snapshot.blocks_with_logs(known, to, filter)?);
        }
        Ok(candidates)
    }
}

/// Refuses a span of more than [`LOG_BLOCKS_MAX`] blocks; `from` is at most `to`.
fn check_span(from: u64, to: u64) -> Result<(), ChainError> {
    let asked = (to - from).saturating_add(1);
    if asked > LOG_BLOCKS_MAX {
        return Err(ChainError::LogRange { asked, max: LOG_BLOCKS_MAX });
    }
    Ok(())
}

/// Refuses more than [`LOG_RESULTS_MAX`] logs.
fn check_results(found: usize, block: u64) -> Result<(), ChainError> {
    if found > LOG_RESULTS_MAX {
        return Err(ChainError::LogResults { max: LOG_RESULTS_MAX, block });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Bytes, LogData};

    const CONTRACT: Address = Address::repeat_byte(1);

    fn topic(byte: u8) -> B256 {
        B256::repeat_byte(byte)
    }

    fn log(topics: &[B256]) -> Log {
        Log { address: CONTRACT, data: LogData::new_unchecked(topics.to_vec(), Bytes::new()) }
    }

    fn by_topics(topics: [Vec<B256>; 4]) -> LogFilter {
        LogFilter { addresses: Vec::new(), topics }
    }

    #[test]
    fn spans_and_results_are_bounded() {
        assert!(check_span(1, LOG_BLOCKS_MAX).is_ok());
        let error = check_span(0, LOG_BLOCKS_MAX).unwrap_err();
        assert!(matches!(error, ChainError::LogRange { asked: 100_001, max: 100_000 }), "{error}");
        assert!(check_span(0, u64::MAX).is_err());
        assert!(check_results(LOG_RESULTS_MAX, 7).is_ok());
        let error = check_results(LOG_RESULTS_MAX + 1, 7).unwrap_err();
        assert!(matches!(error, ChainError::LogResults { max: 10_000, block: 7 }), "{error}");
    }

    #[test]
    fn an_empty_position_accepts_anything_and_a_full_one_any_of_its_values() {
        let seen = log(&[topic(1), topic(2)]);
        assert!(LogFilter::default().matches(&seen));
        assert!(by_topics([vec![], vec![topic(2)], vec![], vec![]]).matches(&seen));
        assert!(by_topics([vec![topic(9), topic(1)], vec![], vec![], vec![]]).matches(&seen));
        assert!(!by_topics([vec![topic(2)], vec![], vec![], vec![]]).matches(&seen));
        assert!(!by_topics([vec![], vec![], vec![topic(3)], vec![]]).matches(&seen), "the log has two topics");
        let other = LogFilter { addresses: vec![Address::ZERO], ..Default::default() };
        assert!(!other.matches(&seen));
    }

    #[test]
    fn the_bloom_never_hides_a_wanted_log() {
        let seen = log(&[topic(1), topic(2)]);
        let mut bloom = Bloom::ZERO;
        bloom.accrue_log(&seen);
        let wanted = LogFilter { addresses: vec![CONTRACT], topics: [vec![topic(1)], vec![topic(2)], vec![], vec![]] };
        assert!(wanted.matches(&seen) && wanted.may_match(&bloom));
        assert!(LogFilter::default().may_match(&Bloom::ZERO));
        assert!(!wanted.may_match(&Bloom::ZERO));
        assert!(!LogFilter { addresses: vec![Address::ZERO], ..Default::default() }.may_match(&bloom));
    }
}
