//! Is a connection busy, slow or abandoned? Pure: the caller brings the time.

use super::ServeLimits;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// The idle limit is divided by this when connections are scarce.
const PRESSURE_DIVISOR: u32 = 8;

/// What happens on one connection. Times are milliseconds since it was accepted.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Requests whose answer has not begun.
    waiting: AtomicU32,
    /// Answers being sent.
    sending: AtomicU32,
    /// Last time that anything of use happened.
    progress_millis: AtomicU64,
}

/// What to do with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Look again after this time.
    Keep(Duration),
    /// It has been useless for too long.
    Close,
}

impl Activity {
    /// A complete request head came.
    pub fn request(&self, now: Duration) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.progress(now);
    }

    /// The answer to a request begins, or the request was given up.
    pub fn answered(&self, now: Duration) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.progress(now);
    }

    /// A body begins.
    pub fn body(&self, now: Duration) {
        self.sending.fetch_add(1, Ordering::Relaxed);
        self.progress(now);
    }

    /// A body ended.
    pub fn sent(&self, now: Duration) {
        self.sending.fetch_sub(1, Ordering::Relaxed);
        self.progress(now);
    }

    /// The client took a piece of a body.
    pub fn progress(&self, now: Duration) {
        self.progress_millis.store(millis(now), Ordering::Relaxed);
    }

    /// Judges the connection at `now`; `pressed` when connections are scarce.
    ///
    /// While a handler works there is no limit here: the router bounds handlers.
    pub fn verdict(&self, now: Duration, limits: &ServeLimits, pressed: bool) -> Verdict {
        let look_again = (limits.idle / PRESSURE_DIVISOR).max(Duration::from_millis(1));
        if self.waiting.load(Ordering::Relaxed) > 0 {
            return Verdict::Keep(look_again);
        }
        let limit = match (self.sending.load(Ordering::Relaxed) > 0, pressed) {
            (true, _) => limits.stall,
            (false, true) => limits.idle / PRESSURE_DIVISOR,
            (false, false) => limits.idle,
        };
        let silent = now.saturating_sub(Duration::from_millis(self.progress_millis.load(Ordering::Relaxed)));
        match limit.checked_sub(silent) {
            Some(left) if !left.is_zero() => Verdict::Keep(left.min(look_again)),
            _ => Verdict::Close,
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("a connection does not live for millions of years")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ServeLimits = ServeLimits {
        connections_max: 1,
        requests_max: 1,
        idle: Duration::from_secs(80),
        stall: Duration::from_secs(200),
        drain: Duration::from_secs(1),
    };
    const LOOK: Verdict = Verdict::Keep(Duration::from_secs(10));

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_silent_connection_is_closed_at_the_idle_limit_and_not_before() {
        let activity = Activity::default();
        assert_eq!(activity.verdict(at(0), &LIMITS, false), LOOK);
        assert_eq!(activity.verdict(at(79), &LIMITS, false), Verdict::Keep(at(1)));
        assert_eq!(activity.verdict(at(80), &LIMITS, false), Verdict::Close);
    }

    #[test]
    fn scarcity_shortens_patience_with_idle_connections_only() {
        let activity = Activity::default();
        assert_eq!(activity.verdict(at(10), &LIMITS, true), Verdict::Close);
        activity.body(at(10));
        assert_eq!(activity.verdict(at(30), &LIMITS, true), LOOK);
    }

    #[test]
    fn a_working_handler_is_never_cut_here() {
        let activity = Activity::default();
        activity.request(at(1));
        assert_eq!(activity.verdict(at(1_000_000), &LIMITS, true), LOOK);
        activity.answered(at(1_000_000));
        assert_eq!(activity.verdict(at(1_000_079), &LIMITS, false), Verdict::Keep(at(1)));
    }

    #[test]
    fn a_body_that_nobody_reads_is_cut_at_the_stall_limit() {
        let activity = Activity::default();
        activity.body(at(0));
        activity.progress(at(50));
        assert_eq!(activity.verdict(at(249), &LIMITS, false), Verdict::Keep(at(1)));
        assert_eq!(activity.verdict(at(250), &LIMITS, false), Verdict::Close);
        activity.sent(at(251));
        assert_eq!(activity.verdict(at(252), &LIMITS, false), LOOK);
    }
}
