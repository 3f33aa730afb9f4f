//! The cheapest of many transactions, whatever the base fee is.
//!
//! What a block with base fee `b` gets from a transaction is min(tip cap, fee cap − b), so the least over all
//! transactions is min(least tip cap, least fee cap − b): two orders that never change replace one that would change with
//! every block. Among equals the youngest is the cheapest, so that nobody is displaced by waiting.

use super::PooledTransaction;
use super::transaction::{above, wei};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

type Ordered = BTreeMap<(u128, Reverse<u64>), Arc<PooledTransaction>>;

/// Transactions ordered by both prices.
#[derive(Debug, Default)]
pub(super) struct Prices {
    by_tip: Ordered,
    by_fee: Ordered,
}

impl Prices {
    /// Adds a transaction that came as number `serial`.
    pub(super) fn insert(&mut self, tx: &Arc<PooledTransaction>, serial: u64) {
        self.by_tip.insert((tx.tip_cap, Reverse(serial)), tx.clone());
        self.by_fee.insert((tx.fee_cap, Reverse(serial)), tx.clone());
    }

    /// Removes it.
    pub(super) fn remove(&mut self, tx: &PooledTransaction, serial: u64) {
        self.by_tip.remove(&(tx.tip_cap, Reverse(serial)));
        self.by_fee.remove(&(tx.fee_cap, Reverse(serial)));
    }

    /// Number of transactions.
    pub(super) fn len(&self) -> usize {
        self.by_tip.len()
    }

    /// The transaction with the least effective tip at a base fee, and that tip in wei.
    pub(super) fn cheapest(&self, base_fee: u64) -> Option<(&Arc<PooledTransaction>, i128)> {
        let ((tip, tip_age), least_tip) = self.by_tip.first_key_value()?;
        let ((fee, fee_age), least_fee) = self.by_fee.first_key_value()?;
        let (tip, fee) = (wei(*tip), above(*fee, base_fee));
        Some(if (fee, fee_age) < (tip, tip_age) { (least_fee, fee) } else { (least_tip, tip) })
    }
}
