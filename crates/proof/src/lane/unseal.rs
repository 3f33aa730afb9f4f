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
    key: LaneKey,
    waiting: BTreeMap<u64, Vec<Bytes>>,
}

impl Unsealer {
    /// Begins where no envelope of the namespace waits, for example at genesis.
    pub fn new(chain_id: u64, namespace: u64, key: LaneKey) -> Self {
        Self { chain_id, namespace, key, waiting: BTreeMap::new() }
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
            let Record::Opening { target, opening } = record else { continue };
            // Validators have checked it; who only has a proof of the block may still not want to trust a quorum here.
            if !opening.verify(&self.key, self.chain_id, target) {
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

    /// Envelopes that wait for their opening.
    pub fn waiting(&self) -> usize {
        self.waiting.values().map(Vec::len).sum()
    }
}
