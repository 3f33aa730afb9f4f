//! When cheating does not pay: audit probability against stake.
//!
//! Let `p` be the fee, `Δ` what a cheat saves, `G` what it gains elsewhere, `Φ` the value of future business, `q` the
//! probability of an audit, `S` the stake that is slashed. A rational provider is honest if
//!
//! ```text
//! q · (p + S + Φ) ≥ Δ + G      ⇔      S ≥ (Δ + G) / q − p − Φ
//! ```
//!
//! The contract reserves `S` for each open task, so that the same stake never backs two bets.
//! Source: Becker, "Crime and Punishment: An Economic Approach" (1968).

use protocol::units::Bps;

/// Whole in 1/10000.
const BPS: u128 = 10_000;
/// Fixed point of [`tasks_until_caught`].
const FIXED: u128 = 1 << 64;
/// Tasks after which [`tasks_until_caught`] gives up: more than the lowest probability needs for 99.99 %.
const TASKS_MAX: u64 = 200_000;

/// Money at stake in one task, in wei.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Temptation {
    /// Fee of the task.
    pub fee: u128,
    /// Cost that a cheat saves.
    pub saved: u128,
    /// Gain from a wrong result outside the market.
    pub gain: u128,
    /// Value of future business that a caught cheat loses.
    pub future: u128,
}

impl Temptation {
    /// Least slash that makes honesty pay, in wei; `None` if nothing is ever audited and there is a temptation, or if
    /// no 128-bit amount is enough.
    pub fn slash_min(&self, audit: Bps) -> Option<u128> {
        let loot = self.saved.checked_add(self.gain)?;
        if loot == 0 {
            return Some(0);
        }
        let wanted = loot.checked_mul(BPS)?.checked_add(u128::from(audit.0).saturating_sub(1))?;
        let wanted = wanted.checked_div(u128::from(audit.0))?;
        Some(wanted.saturating_sub(self.fee).saturating_sub(self.future))
    }

    /// Whether `slash` makes honesty pay.
    pub fn is_deterred(&self, audit: Bps, slash: u128) -> bool {
        self.slash_min(audit).is_some_and(|min| slash >= min)
    }
}

/// Wrong results until a provider that always cheats is caught with probability `confidence`; `None` if that never
/// happens (no audits, or a confidence of 100 % with fewer than all tasks audited).
pub fn tasks_until_caught(audit: Bps, confidence: Bps) -> Option<u64> {
    let escape_max = FIXED * (BPS - u128::from(confidence.0).min(BPS)) / BPS;
    let kept = BPS - u128::from(audit.0).min(BPS);
    let mut escape = FIXED;
    for tasks in 0..=TASKS_MAX {
        if escape <= escape_max && (escape_max > 0 || kept == 0) {
            return Some(tasks);
        }
        escape = escape * kept / BPS;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FEE: u128 = 1_000_000;

    fn lazy() -> Temptation {
        Temptation { fee: FEE, saved: FEE * 8 / 10, ..Temptation::default() }
    }

    #[test]
    fn rarer_audits_need_more_stake() {
        let fees = |percent: u16| lazy().slash_min(Bps(percent * 100)).map(|slash| slash * 10 / FEE);
        assert_eq!(fees(1), Some(790));
        assert_eq!(fees(5), Some(150));
        assert_eq!(fees(10), Some(70));
        assert_eq!(fees(20), Some(30));
        assert_eq!(fees(50), Some(6));
        assert_eq!(fees(100), Some(0), "the lost fee is enough when everything is audited");
        assert_eq!(lazy().slash_min(Bps(0)), None);
    }

    #[test]
    fn without_temptation_no_stake_is_needed() {
        assert_eq!(Temptation { fee: FEE, ..Temptation::default() }.slash_min(Bps(0)), Some(0));
    }

    #[test]
    fn amounts_beyond_128_bits_are_never_deterred() {
        let huge = Temptation { gain: u128::MAX, ..Temptation::default() };
        assert!(!huge.is_deterred(Bps(500), u128::MAX));
    }

    #[test]
    fn persistent_cheats_are_caught_soon() {
        let tasks = |percent: u16| tasks_until_caught(Bps(percent * 100), Bps(9500));
        assert_eq!((tasks(2), tasks(5), tasks(10), tasks(100)), (Some(149), Some(59), Some(29), Some(1)));
        assert_eq!(tasks(0), None);
        assert_eq!(tasks_until_caught(Bps(500), Bps(10_000)), None);
        assert_eq!(tasks_until_caught(Bps(10_000), Bps(10_000)), Some(1));
    }

    proptest! {
        #[test]
        fn the_least_slash_is_exact(fee in 0u128..1 << 90, saved in 1u128..1 << 90, audit in 1u16..=10_000) {
            let temptation = Temptation { fee, saved, ..Temptation::default() };
            let slash = temptation.slash_min(Bps(audit)).unwrap();
            let pays = |slash: u128| u128::from(audit) * (fee + slash) < saved * BPS;
            prop_assert!(!pays(slash));
            prop_assert!(slash == 0 || pays(slash - 1));
        }
    }
}
