//! The order in which a rollup executes a namespace with an encrypted lane.

use super::{Envelope, LaneKey, Record, is_envelope};
use alloy_primitives::Bytes;
use std::collections::BTreeMap;

/// Follows one namespace, block by block, and opens what can be opened.
///
/// Of each block first what its openings open, by target, then as the envelopes were ordered; then its transactions that
/// are no envelopes. What cannot be opened is nothing. Everybody who shows it the same blocks gets the same.
#[derive(Clone, Debug)]
pub struct Unsealer {
    chain_id: u64,
    namespace: u64,
    /// None before a block named one.
    key: Option<LaneKey>,
    waiting: BTreeMap<u64, Vec<Bytes>>,
}

impl Unsealer {
    /// Begins where no envelope of the namespace waits, for example at genesis, with the key at that place. Without one, that
    /// is where validators make it, the first block that names a key says it.
    pub fn new(chain_id: u64, namespace: u64, key: impl Into<Option<LaneKey>>) -> Self {
        Self { chain_id, namespace, key: key.into(), waiting: BTreeMap::new() }
    }

    /// Takes the next final block: the transactions of namespace 0 and those of the own one, each all and in order.
    /// Returns what to execute.
    pub fn apply<'a>(
        &mut self,
        protocol: impl IntoIterator<Item = &'a [u8]>,
        transactions: impl IntoIterator<Item = &'a Bytes>,
    ) -> Vec<Bytes> {
        let mut ready = Vec::new();
        for record in protocol.into_iter().filter_map(|bytes| Record::decode(bytes).ok()) {
            let (target, opening) = match record {
                Record::Opening { target, opening } => (target, opening),
                Record::Key(record) => {
                    self.learn(record.key);
                    continue;
                }
                Record::Front { .. } | Record::Dealing { .. } => continue,
            };
            // Validators have checked it; who only has a proof of the block may still not want to trust a quorum here.
            if !self.key.is_some_and(|key| opening.verify(&key, self.chain_id, target)) {
                continue;
            }
            for envelope in self.waiting.remove(&target).unwrap_or_default() {
                let opened = Envelope::decode(&envelope).ok();
                ready.extend(
                    opened.and_then(|read| read.open(&opening, self.chain_id, self.namespace)).map(Bytes::from),
                );
            }
        }
        for transaction in transactions {
            match Envelope::decode(transaction) {
                Ok(envelope) => self.waiting.entry(envelope.target).or_default().push(transaction.clone()),
                Err(_) if is_envelope(transaction) => {}
                Err(_) => ready.push(transaction.clone()),
            }
        }
        ready
    }

    /// Nobody opens with a former key any more.
    fn learn(&mut self, key: LaneKey) {
        if self.key.replace(key) != Some(key) {
            self.waiting.clear();
        }
    }

    /// Envelopes that wait for their opening.
    pub fn waiting(&self) -> usize {
        self.waiting.values().map(Vec::len).sum()
    }
}
