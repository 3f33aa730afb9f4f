//! The limits of a pool by name, see [`crate::settings`].

use super::limits::{BYTES_MAX, NONCE_GAP_MAX, PRICE_WEI_MAX, QUEUED_SECONDS_MAX, TRANSACTIONS_MAX};
use super::{BASE_FEE_MIN_WEI, PoolLimits};
use crate::TRANSACTION_BYTES_MAX;
use crate::settings::{Setting, SettingError, count, set};

impl PoolLimits {
    /// Every limit that can be set.
    pub fn settings() -> &'static [Setting<Self>] {
        SETTINGS
    }

    /// Sets the limit `key` to a whole number, written in decimal; `_` between digits is ignored. Whether the limits fit
    /// each other is for [`PoolLimits::check`].
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), SettingError> {
        set("pool", SETTINGS, self, key, value)
    }
}

const SETTINGS: &[Setting<PoolLimits>] = &[
    count!(transactions, 1, TRANSACTIONS_MAX as u64, "transactions kept", "the cheapest leaves, or error -32000"),
    count!(
        bytes,
        TRANSACTION_BYTES_MAX as u64,
        BYTES_MAX as u64,
        "encoded bytes kept",
        "the cheapest leaves, or error -32000"
    ),
    count!(
        sender_transactions,
        1,
        TRANSACTIONS_MAX as u64,
        "transactions kept of one sender, at most all",
        "error -32000"
    ),
    count!(nonce_gap, 0, NONCE_GAP_MAX, "how far a nonce may be ahead of the next", "error -32000"),
    count!(queued_seconds, 1, QUEUED_SECONDS_MAX, "how long a transaction waits behind a nonce gap", "it is dropped"),
    count!(fee_min_wei, BASE_FEE_MIN_WEI as u64, PRICE_WEI_MAX as u64, "least maxFeePerGas taken", "error -32000"),
    count!(tip_min_wei, 0, PRICE_WEI_MAX as u64, "least maxPriorityFeePerGas taken", "error -32000"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_can_be_set_to_both_ends_of_its_range() {
        for setting in SETTINGS {
            for value in [setting.min, setting.max] {
                let mut limits = PoolLimits::default();
                limits.set(setting.key, &value.to_string()).unwrap();
                assert_eq!(setting.value(&limits), value, "{setting:?}");
                // One sender may not have more than all of them, which is the only range that another limit sets.
                limits.transactions = TRANSACTIONS_MAX;
                limits.check().unwrap();
            }
            let beyond = setting.max + 1;
            assert!(PoolLimits::default().set(setting.key, &beyond.to_string()).is_err(), "{setting:?}");
        }
        assert_eq!(SETTINGS.len(), format!("{:?}", PoolLimits::default()).split(", ").count());
    }
}
