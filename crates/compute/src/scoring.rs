//! The public score of a bid, as the contract `JobMarket` computes it.
//!
//! The lowest score wins. A provider without reputation must be cheaper by the reputation weight to win against one
//! with the best; ties go to the lower keccak256(abi.encode(jobId, provider)), which nobody can steer by bidding early.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolValue;

/// Whole in 1/10000.
const BPS: u64 = 10_000;

/// A bid to be ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoredBid {
    /// Bidder.
    pub provider: Address,
    /// Price per task in wei.
    pub price: u128,
    /// Tasks it takes at a time.
    pub capacity: u32,
    /// Its score when it bid.
    pub score: U256,
}

/// `price * (10000 + weight * (10000 - reputation) / 10000) / 10000`, every division rounding down.
///
/// `reputation_bps` above 10000 counts as 10000.
pub fn score(price: u128, reputation_bps: u16, weight_bps: u16) -> U256 {
    let lacking = BPS - u64::from(reputation_bps).min(BPS);
    let factor = BPS + u64::from(weight_bps) * lacking / BPS;
    U256::from(price) * U256::from(factor) / U256::from(BPS)
}

/// Order of bids with the same score: lower first.
pub fn tie_break(job_id: u64, provider: Address) -> B256 {
    keccak256((U256::from(job_id), provider).abi_encode())
}

/// Sorts `bids` best first.
pub fn rank(job_id: u64, bids: &mut [ScoredBid]) {
    bids.sort_by_cached_key(|bid| (bid.score, tie_break(job_id, bid.provider)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bid(byte: u8, price: u128, reputation: u16) -> ScoredBid {
        let provider = Address::repeat_byte(byte);
        ScoredBid { provider, price, capacity: 1, score: score(price, reputation, 5000) }
    }

    #[test]
    fn vectors_of_the_formula() {
        assert_eq!(score(1000, 10_000, 5000), U256::from(1000));
        assert_eq!(score(1000, 0, 5000), U256::from(1500));
        assert_eq!(score(1000, 5000, 5000), U256::from(1250));
        assert_eq!(score(999, 3333, 1), U256::from(999), "the weight rounds down to nothing");
        assert_eq!(score(0, 0, 5000), U256::ZERO);
        assert_eq!(score(1000, u16::MAX, 5000), U256::from(1000));
        assert!(score(u128::MAX, 0, u16::MAX) > U256::from(u128::MAX), "no overflow");
    }

    #[test]
    fn a_good_record_is_worth_money() {
        let mut bids = [bid(1, 1000, 0), bid(2, 1400, 10_000), bid(3, 1600, 10_000)];
        rank(1, &mut bids);
        assert_eq!(bids.map(|b| b.provider.0[0]), [2, 1, 3]);
    }

    #[test]
    fn ties_depend_on_the_job_not_on_the_order_of_bids() {
        let mut one = [bid(1, 5, 0), bid(2, 5, 0), bid(3, 5, 0), bid(4, 5, 0)];
        let mut other = one;
        other.reverse();
        rank(7, &mut one);
        rank(7, &mut other);
        assert_eq!(one, other);
        let first = |job| {
            let mut bids = one;
            rank(job, &mut bids);
            bids[0].provider
        };
        assert!((0..64).any(|job| first(job) != first(7)), "no provider wins every tie");
    }

    proptest! {
        #[test]
        fn a_better_record_never_scores_worse(price in 0u128..1 << 96, a in 0u16..=10_000, b in 0u16..=10_000, w in 0u16..=20_000) {
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(score(price, high, w) <= score(price, low, w));
            prop_assert!(score(price, low, w) >= U256::from(price));
        }
    }
}
