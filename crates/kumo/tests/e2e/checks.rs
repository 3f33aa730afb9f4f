//! Many checks on one network: all of them run, and all that fail are named.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// A promise by name, and the function that tries it on `T`.
pub type Check<T> = (&'static str, fn(&T));

/// Runs the checks in order on `subject`; panics with the names of those that failed.
pub fn run<T>(subject: &T, checks: &[Check<T>]) {
    let mut failed = Vec::new();
    for (name, check) in checks {
        let begin = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| check(subject)));
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("  {word:<6} {:>6.1} s  {name}", begin.elapsed().as_secs_f64());
        if outcome.is_err() {
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "{} of {} checks failed: {}", failed.len(), checks.len(), failed.join(", "));
}

/// Names the functions by themselves.
macro_rules! checks {
    ($subject:expr, [$($check:ident),+ $(,)?]) => {
        $crate::checks::run($subject, &[$((stringify!($check), $check)),+])
    };
}
pub(crate) use checks;
