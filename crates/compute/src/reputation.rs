//! The reputation that the contract `Reputation` keeps, repeated in integers so that anybody can foresee a score.
//!
//! Evidence is counted in 10^18 = one event and halves every half-life (exactly at whole half-lives, linearly between
//! them). The score is a lower bound of the share of good work: little evidence scores low, and so does no evidence.
//! Source: Jøsang and Ismail, "The Beta Reputation System" (2002).

use alloy_primitives::U256;

/// One event.
pub const ONE: u128 = 1_000_000_000_000_000_000;
/// Halvings after which nothing is left.
const HALVINGS_MAX: u64 = 128;
/// Most evidence that the contract keeps of one kind: 2^96 - 1.
const EVIDENCE_MAX: u128 = (1 << 96) - 1;

/// Parameters of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Seconds in which evidence halves; above 0.
    pub half_life_seconds: u64,
    /// Standard deviations that are taken off the mean, in 1/1000.
    pub z_milli: u64,
    /// Most that one event weighs.
    pub weight_max: u128,
}

impl Default for Rules {
    /// What genesis sets.
    fn default() -> Self {
        Self { half_life_seconds: 30 * 86_400, z_milli: 1000, weight_max: 10 * ONE }
    }
}

/// What is known of a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Good events.
    pub good: u128,
    /// Bad events.
    pub bad: u128,
    /// When this was written, Unix seconds.
    pub updated_at: u64,
}

impl Evidence {
    /// What is left of it at `now`; a time before the last event counts as that event's time.
    pub fn at(&self, now: u64, rules: &Rules) -> Self {
        let elapsed = now.saturating_sub(self.updated_at);
        let half_life = rules.half_life_seconds.max(1);
        Self { good: decay(self.good, elapsed, half_life), bad: decay(self.bad, elapsed, half_life), updated_at: now }
    }

    /// With one more event at `now`.
    pub fn record(&self, good: bool, weight: u128, now: u64, rules: &Rules) -> Self {
        let mut next = self.at(now, rules);
        let side = if good { &mut next.good } else { &mut next.bad };
        *side = side.saturating_add(weight.min(rules.weight_max)).min(EVIDENCE_MAX);
        next
    }

    /// Score at `now`, 0..=10000.
    pub fn score_bps(&self, now: u64, rules: &Rules) -> u16 {
        let left = self.at(now, rules);
        score(left.good, left.bad, rules.z_milli)
    }
}

fn decay(value: u128, elapsed: u64, half_life: u64) -> u128 {
    let halvings = elapsed / half_life;
    if halvings >= HALVINGS_MAX {
        return 0;
    }
    let halved = U256::from(value >> halvings);
    let lost = halved * U256::from(elapsed % half_life) / (U256::from(half_life) * U256::from(2));
    (halved - lost).to()
}

fn score(good: u128, bad: u128, z_milli: u64) -> u16 {
    let one = U256::from(ONE);
    let a = U256::from(good) + one;
    let n = a + U256::from(bad) + one;
    let mean = a * one / n;
    let deviation = (mean * (one - mean) * one / (n + one)).root(2);
    let penalty = U256::from(z_milli) * deviation / U256::from(1000);
    (mean.saturating_sub(penalty) * U256::from(10_000) / one).to()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: u64 = 86_400;

    fn evidence(good: u128, bad: u128) -> Evidence {
        Evidence { good: good * ONE, bad: bad * ONE, updated_at: 0 }
    }

    #[test]
    fn vectors_of_the_score() {
        let bps = |good, bad| evidence(good, bad).score_bps(0, &Rules::default());
        // mean - sqrt(mean * (1 - mean) / (n + 1)), with n = good + bad + 2.
        assert_eq!(bps(0, 0), 2113); // 0.5 - sqrt(0.25 / 3)
        assert_eq!(bps(1, 0), 4309); // 2/3 - sqrt(2/9 / 4)
        assert_eq!(bps(10, 0), 8400); // 11/12 - sqrt(11/144 / 13)
        assert_eq!(bps(0, 1), 976); // 1/3 - sqrt(2/9 / 4)
        assert_eq!(bps(1000, 0), 9980);
    }

    #[test]
    fn evidence_halves_exactly_and_vanishes() {
        let rules = Rules::default();
        let later = |days| evidence(8, 2).at(days * DAY, &rules);
        assert_eq!((later(30).good, later(30).bad), (4 * ONE, ONE));
        assert_eq!(later(15).good, 6 * ONE, "linear between halvings");
        assert_eq!(later(30 * 128).good, 0);
    }

    #[test]
    fn one_event_weighs_at_most_the_limit() {
        let rules = Rules::default();
        let next = Evidence::default().record(false, 1000 * ONE, 5, &rules);
        assert_eq!(next, Evidence { good: 0, bad: 10 * ONE, updated_at: 5 });
    }

    #[test]
    fn a_clock_that_goes_back_changes_nothing() {
        let seen = Evidence { updated_at: 100, ..evidence(3, 1) };
        assert_eq!(seen.score_bps(50, &Rules::default()), seen.score_bps(100, &Rules::default()));
    }

    proptest! {
        #[test]
        fn good_work_raises_and_bad_work_lowers(good in 0u128..1 << 90, bad in 0u128..1 << 90, now in 0u64..1 << 40) {
            let rules = Rules { weight_max: u128::MAX, ..Rules::default() };
            let seen = Evidence { good, bad, updated_at: now };
            let before = seen.score_bps(now, &rules);
            prop_assert!(before <= 10_000);
            prop_assert!(seen.record(true, ONE, now, &rules).score_bps(now, &rules) >= before);
            prop_assert!(seen.record(false, ONE, now, &rules).score_bps(now, &rules) <= before);
        }
    }
}
