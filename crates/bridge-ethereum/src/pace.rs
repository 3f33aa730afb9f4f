//! How long to wait before the next step: longer after each failure, and not the same for everybody.

use crate::poster::Step;
use std::time::Duration;

/// Wait after the first failure.
const FIRST: Duration = Duration::from_secs(1);
/// Longest wait after failures.
const LONGEST: Duration = Duration::from_secs(60);

/// Waiting times between steps.
#[derive(Clone, Debug)]
pub struct Pace {
    poll: Duration,
    failures: u32,
}

impl Pace {
    /// Looks again every `poll` while all is well, about the time of a block of the L1.
    pub fn new(poll: Duration) -> Self {
        Self { poll, failures: 0 }
    }

    /// Wait after a step, `None` for a failed one; `random` is uniform.
    pub fn after(&mut self, step: Option<&Step>, random: u64) -> Duration {
        match step {
            // There may be more to do at once.
            Some(Step::Settled { .. } | Step::Abandoned { .. }) => {
                self.failures = 0;
                Duration::ZERO
            }
            Some(_) => {
                self.failures = 0;
                self.poll
            }
            None => {
                let longest = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
                self.failures = self.failures.saturating_add(1);
                // Half of it fixed, half random, so that bridges do not come back together.
                let half = longest / 2;
                half + half.mul_f64(random as f64 / u64::MAX as f64)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_with_failures_stay_bounded_and_start_over() {
        let mut pace = Pace::new(Duration::from_secs(12));
        let waits: Vec<_> = (0..12).map(|_| pace.after(None, u64::MAX)).collect();
        assert_eq!(waits[..3], [FIRST, 2 * FIRST, 4 * FIRST]);
        assert_eq!(waits[11], LONGEST);
        assert_eq!(pace.after(None, 0), LONGEST / 2);
        assert_eq!(pace.after(Some(&Step::Idle), 7), Duration::from_secs(12));
        assert_eq!(pace.after(None, u64::MAX), FIRST);
    }
}
