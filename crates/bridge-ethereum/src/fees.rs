//! What a transaction may cost, and what its replacement must offer.
//!
//! A node replaces a waiting transaction only if both of its prices rise by a tenth; an eighth is what wallets use. Above the cap nothing
//! is sent: the bridge waits until the L1 is cheaper, because a checkpoint that is late is worth as much to the light client.
//! Source: EIP-1559 for the two prices; the replacement rule of the nodes' pools.

use alloy_primitives::U256;
use serde::{Deserialize, Serialize};

/// A replacement offers this many thousandths of what was offered.
const BUMP_THOUSANDTHS: u128 = 1125;

/// Prices of one transaction, in wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fees {
    /// Most that is paid.
    pub max: u128,
    /// Part of it for the proposer, at most `max`.
    pub tip: u128,
}

/// What the operator allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeLimits {
    /// Most wei per gas, ever.
    pub max: u128,
    /// Wei per gas for the proposer at first.
    pub tip: u128,
}

impl FeeLimits {
    /// Prices for a first try while the base fee is `base`: twice of it, so that six full blocks do not hinder. `None` if
    /// even the base fee and the tip are above the cap.
    pub fn first(&self, base: u128) -> Option<Fees> {
        (base.saturating_add(self.tip) <= self.max).then(|| {
            let max = base.saturating_mul(2).saturating_add(self.tip).min(self.max);
            Fees { max, tip: self.tip.min(max) }
        })
    }

    /// Prices that replace `sent`, and pay for a base fee of `base`. `None` if that is above the cap.
    pub fn replacement(&self, sent: Fees, base: u128) -> Option<Fees> {
        let bump = |price: u128| price.saturating_mul(BUMP_THOUSANDTHS).div_ceil(1000).max(price.saturating_add(1));
        let market = self.first(base);
        let max = bump(sent.max).max(market.map_or(0, |fees| fees.max));
        let tip = bump(sent.tip).max(market.map_or(0, |fees| fees.tip)).min(max);
        (max <= self.max).then_some(Fees { max, tip })
    }

    /// What may be paid for blobs at first while they cost `base`: twice of it, as it rises by an eighth in a block at most. `None`
    /// above the cap, which is the same as for gas.
    pub fn first_blobs(&self, base: u128) -> Option<u128> {
        (base <= self.max).then(|| base.saturating_mul(2).clamp(1, self.max))
    }

    /// Prices that replace a transaction with blobs: nodes want twice of all three. `None` if one of them is above the cap.
    pub fn replacement_blobs(&self, sent: Fees, blobs: u128, base: u128, blob_base: u128) -> Option<(Fees, u128)> {
        let market = self.first(base);
        let max = sent.max.saturating_mul(2).max(market.map_or(0, |fees| fees.max));
        let tip = sent.tip.saturating_mul(2).max(1).max(market.map_or(0, |fees| fees.tip)).min(max);
        let blobs = blobs.saturating_mul(2).max(self.first_blobs(blob_base).unwrap_or(0));
        (max <= self.max && blobs <= self.max).then_some((Fees { max, tip }, blobs))
    }
}

/// What was paid for some gas.
pub fn cost(gas: u64, price: u128) -> U256 {
    U256::from(gas) * U256::from(price)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FeeLimits = FeeLimits { max: 100, tip: 2 };

    #[test]
    fn first_try_offers_twice_the_base_fee_up_to_the_cap() {
        assert_eq!(LIMITS.first(10), Some(Fees { max: 22, tip: 2 }));
        assert_eq!(LIMITS.first(98), Some(Fees { max: 100, tip: 2 }));
        assert_eq!(LIMITS.first(99), None);
        assert_eq!(LIMITS.first(u128::MAX), None);
    }

    #[test]
    fn blobs_offer_twice_of_everything_and_never_pass_the_cap() {
        assert_eq!(LIMITS.first_blobs(0), Some(1), "nothing is not a price");
        assert_eq!(LIMITS.first_blobs(20), Some(40));
        assert_eq!(LIMITS.first_blobs(60), Some(100));
        assert_eq!(LIMITS.first_blobs(101), None);
        let sent = Fees { max: 16, tip: 8 };
        assert_eq!(LIMITS.replacement_blobs(sent, 5, 1, 1), Some((Fees { max: 32, tip: 16 }, 10)));
        assert_eq!(LIMITS.replacement_blobs(sent, 5, 40, 30), Some((Fees { max: 82, tip: 16 }, 60)));
        assert_eq!(LIMITS.replacement_blobs(Fees { max: 51, tip: 2 }, 5, 1, 1), None);
        assert_eq!(LIMITS.replacement_blobs(sent, 51, 1, 1), None);
    }

    #[test]
    fn replacement_raises_both_prices_by_an_eighth_or_more_and_never_passes_the_cap() {
        let sent = Fees { max: 16, tip: 8 };
        assert_eq!(LIMITS.replacement(sent, 1), Some(Fees { max: 18, tip: 9 }));
        assert_eq!(LIMITS.replacement(sent, 30), Some(Fees { max: 62, tip: 9 }));
        assert_eq!(LIMITS.replacement(Fees { max: 1, tip: 0 }, 0), Some(Fees { max: 2, tip: 2 }));
        assert_eq!(LIMITS.replacement(Fees { max: 88, tip: 2 }, 1), Some(Fees { max: 99, tip: 3 }));
        assert_eq!(LIMITS.replacement(Fees { max: 89, tip: 2 }, 1), None);
        assert_eq!(LIMITS.replacement(Fees { max: u128::MAX, tip: 1 }, 1), None);
    }
}
