//! What the pool keeps at most, and what it takes at least.

use super::admission::BASE_FEE_MIN_WEI;
use crate::TRANSACTION_BYTES_MAX;
use serde::{Deserialize, Serialize};

/// Default of [`PoolLimits::transactions`].
pub const POOL_TRANSACTIONS_MAX: usize = 100_000;

/// Greatest [`PoolLimits::transactions`].
pub(super) const TRANSACTIONS_MAX: usize = 10_000_000;
/// Greatest [`PoolLimits::bytes`].
pub(super) const BYTES_MAX: usize = 64 << 30;
/// Greatest [`PoolLimits::nonce_gap`].
pub(super) const NONCE_GAP_MAX: u64 = 1_000_000;
/// Greatest [`PoolLimits::queued_seconds`]: a year.
pub(super) const QUEUED_SECONDS_MAX: u64 = 365 * 24 * 60 * 60;
/// Greatest [`PoolLimits::fee_min_wei`] and [`PoolLimits::tip_min_wei`]: one coin.
pub(super) const PRICE_WEI_MAX: u128 = 1_000_000_000_000_000_000;

/// Limits of a pool; [`Default`] is for a public node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolLimits {
    /// Most transactions kept (1..=10,000,000). Default 100,000; a plain transfer takes less than 1 KiB of memory.
    pub transactions: usize,
    /// Most encoded bytes kept, over all transactions (131,072..=64 GiB). Default 128 MiB.
    pub bytes: usize,
    /// Most transactions kept of one sender (1..=`transactions`). Default 1,024.
    pub sender_transactions: usize,
    /// How far a nonce may be ahead of the next one that can run (0..=1,000,000). Default 256.
    pub nonce_gap: u64,
    /// A transaction behind a nonce gap is dropped after so many seconds (1..=31,536,000). Default 10,800 (3 hours).
    pub queued_seconds: u64,
    /// Least `maxFeePerGas` (or `gasPrice`) taken, in wei (7..=10^18). Default 7: the base fee never falls below.
    pub fee_min_wei: u128,
    /// Least `maxPriorityFeePerGas` (or `gasPrice`) taken, in wei (0..=10^18). Default 0.
    pub tip_min_wei: u128,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            transactions: POOL_TRANSACTIONS_MAX,
            bytes: 128 << 20,
            sender_transactions: 1_024,
            nonce_gap: 256,
            queued_seconds: 3 * 60 * 60,
            fee_min_wei: BASE_FEE_MIN_WEI,
            tip_min_wei: 0,
        }
    }
}

/// A limit outside its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pool limit {name} is {value}, it must be within {min} and {max}")]
pub struct PoolLimitsError {
    /// Name of the field.
    pub name: &'static str,
    /// Its value.
    pub value: u128,
    /// Least value it may have.
    pub min: u128,
    /// Largest value it may have.
    pub max: u128,
}

impl PoolLimits {
    /// Checks that every limit is within its range.
    pub fn check(&self) -> Result<(), PoolLimitsError> {
        let ranges = [
            ("transactions", self.transactions as u128, 1, TRANSACTIONS_MAX as u128),
            ("bytes", self.bytes as u128, TRANSACTION_BYTES_MAX as u128, BYTES_MAX as u128),
            ("sender_transactions", self.sender_transactions as u128, 1, self.transactions as u128),
            ("nonce_gap", self.nonce_gap.into(), 0, NONCE_GAP_MAX.into()),
            ("queued_seconds", self.queued_seconds.into(), 1, QUEUED_SECONDS_MAX.into()),
            ("fee_min_wei", self.fee_min_wei, BASE_FEE_MIN_WEI, PRICE_WEI_MAX),
            ("tip_min_wei", self.tip_min_wei, 0, PRICE_WEI_MAX),
        ];
        match ranges.into_iter().find(|(_, value, min, max)| !(min..=max).contains(&value)) {
            Some((name, value, min, max)) => Err(PoolLimitsError { name, value, min, max }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_their_ranges() {
        assert_eq!(PoolLimits::default().check(), Ok(()));
    }

    #[test]
    fn a_limit_outside_its_range_is_named_with_the_range() {
        let limits = PoolLimits { transactions: 10, sender_transactions: 11, ..Default::default() };
        let error = limits.check().unwrap_err().to_string();
        assert_eq!(error, "pool limit sender_transactions is 11, it must be within 1 and 10");
        let limits = PoolLimits { bytes: TRANSACTION_BYTES_MAX - 1, ..Default::default() };
        assert_eq!(limits.check().unwrap_err().name, "bytes");
        let limits = PoolLimits { fee_min_wei: 6, ..Default::default() };
        assert_eq!(limits.check().unwrap_err().min, 7);
    }

    #[test]
    fn limits_are_read_by_name_and_unknown_names_are_refused() {
        let limits: PoolLimits = serde_json::from_str(r#"{"transactions": 5, "sender_transactions": 2}"#).unwrap();
        assert_eq!((limits.transactions, limits.nonce_gap), (5, 256));
        assert!(serde_json::from_str::<PoolLimits>(r#"{"transaction": 5}"#).is_err());
    }
}
