//! What absent validators lose while nothing is finalised.
//!
//! If more than a third of the stake stays away, nothing can be finalised until it counts for less. After a grace of four
//! periods without finality, each period costs an absent validator `stake × periods without finality / quotient`, so that the loss
//! grows with the square of the time. Periods are counted by the clock of the L1, as blocks carry it: all nodes see the
//! same one, and the validators cannot make it run faster. Without an L1 there is no leak.
//!
//! What the paper says holds here too (section 4.2): if two partitions each leak the other, both can finalise without a
//! slashable vote. The L1 sees one chain and is the judge; light clients do not follow a set that shrank in this way
//! unless two thirds of the set they know signed for it.
//! Source: `get_inactivity_penalty_deltas` of phase0, `MIN_EPOCHS_TO_INACTIVITY_PENALTY`, `INACTIVITY_PENALTY_QUOTIENT`.

use alloy_primitives::U256;
use proof::checkpoint::{Validator, ValidatorSet, VoteKey};

/// How fast absent stake is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leak {
    /// Seconds of L1 time that count as one period (1..); an epoch of Ethereum has 384.
    pub period_seconds: u64,
    /// Periods without finality before the leak begins.
    pub grace_periods: u64,
    /// Stake is divided by this for each period (1..).
    pub quotient: u64,
}

impl Default for Leak {
    fn default() -> Self {
        Self { period_seconds: 384, grace_periods: 4, quotient: 1 << 26 }
    }
}

/// How long the L1 has waited for finality.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct L1Clock {
    /// Newest L1 time seen, in Unix seconds; 0 before the first.
    pub seconds: u64,
    /// L1 time when a checkpoint last became final.
    pub finalized_seconds: u64,
    /// Periods since then that were charged.
    pub charged: u64,
}

impl L1Clock {
    /// Takes the L1 time of a block; it never runs backwards.
    pub fn observe(&mut self, seconds: u64) {
        if self.finalized_seconds == 0 {
            self.finalized_seconds = seconds;
        }
        self.seconds = self.seconds.max(seconds);
    }

    /// Something became final.
    pub fn finalized(&mut self) {
        (self.finalized_seconds, self.charged) = (self.seconds, 0);
    }

    /// Sum over the periods to charge now of the number each one has, and marks them charged; 0 for none.
    pub fn charge(&mut self, leak: &Leak) -> u128 {
        let elapsed = self.seconds.saturating_sub(self.finalized_seconds) / leak.period_seconds.max(1);
        let first = u128::from(self.charged.max(leak.grace_periods)) + 1;
        let last = u128::from(elapsed);
        if last < first {
            return 0;
        }
        self.charged = elapsed;
        (first + last) * (last - first + 1) / 2
    }
}

/// The set after `periods` (a sum of [`L1Clock::charge`]) were charged to those who are `absent`. Everybody keeps
/// at least one unit, so that sets stay sets.
pub(super) fn shrink(
    set: &ValidatorSet,
    absent: impl Fn(&VoteKey) -> bool,
    periods: u128,
    leak: &Leak,
) -> ValidatorSet {
    let reduce = |validator: &Validator| {
        let loss = U256::from(validator.stake) * U256::from(periods) / U256::from(leak.quotient.max(1));
        let loss = u128::try_from(loss).unwrap_or(u128::MAX);
        Validator { stake: validator.stake.saturating_sub(loss).max(1), ..*validator }
    };
    let charged = |validator: &Validator| if absent(&validator.key) { reduce(validator) } else { *validator };
    let validators: Vec<Validator> = set.validators().iter().map(charged).collect();
    if validators == set.validators() {
        return set.clone();
    }
    ValidatorSet::new(validators).expect("the same keys as in a valid set, with stakes of 1 up to what they were")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaks_before_the_grace_is_over_and_each_period_is_charged_once() {
        let leak = Leak { period_seconds: 10, grace_periods: 4, quotient: 100 };
        let mut clock = L1Clock::default();
        clock.observe(1_000);
        clock.observe(1_049);
        assert_eq!(clock.charge(&leak), 0);
        clock.observe(1_050);
        assert_eq!(clock.charge(&leak), 5);
        assert_eq!(clock.charge(&leak), 0);
        clock.observe(1_075);
        assert_eq!(clock.charge(&leak), 6 + 7);
        clock.finalized();
        assert_eq!(clock.charge(&leak), 0);
        clock.observe(1_115);
        assert_eq!(clock.charge(&leak), 0);
        clock.observe(1_125);
        assert_eq!(clock.charge(&leak), 5);
    }

    #[test]
    fn clock_of_the_l1_never_runs_backwards_and_extremes_do_not_overflow() {
        let leak = Leak { period_seconds: 1, grace_periods: 0, quotient: 1 };
        let mut clock = L1Clock::default();
        clock.observe(1);
        clock.observe(u64::MAX);
        clock.observe(5);
        assert_eq!(clock.seconds, u64::MAX);
        let last = u128::from(u64::MAX - 1);
        assert_eq!(clock.charge(&leak), last * (last + 1) / 2);
    }

    #[test]
    fn only_absent_stake_shrinks_and_never_to_nothing() {
        let (keys, set) = super::super::testing::committee(0..3, 1_000);
        let leak = Leak { quotient: 100, ..Leak::default() };
        let gone = keys[1].public();
        let smaller = shrink(&set, |key| *key == gone, 5, &leak);
        assert_eq!((smaller.stake(&gone), smaller.stake(&keys[0].public())), (950, 1_000));
        let least = shrink(&set, |key| *key == gone, u128::MAX, &leak);
        assert_eq!((least.stake(&gone), least.total()), (1, 2_001));
        assert_eq!(shrink(&set, |_| false, 5, &leak), set);
    }
}
