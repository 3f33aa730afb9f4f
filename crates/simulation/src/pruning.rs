//! What validators that prune owe those who ask: every block is served, or said to be pruned with what stays of it.

use crate::invariants::Invariant;
use crate::ledger::{Broken, Chronicle};
use sequencer::limits::KEPT_BLOCKS_MIN;
use sequencer::simulated::Validator;
use sequencer::{FinalizedError, Payload, System};
use std::time::Duration;

/// Looks at what one honest validator serves around the height from which on it keeps blocks; `before` is that height when it was
/// looked at last. Returns where it is now.
pub(crate) fn check(
    (seat, validator): (usize, &Validator),
    retention: Duration,
    before: u64,
    chronicle: &mut Chronicle,
) -> Result<u64, Broken> {
    let broken = |what: String| (Invariant::ServedOrPruned, format!("seat {seat}: {what}"));
    let (oldest, height) = (validator.oldest(), validator.height());
    if oldest < before {
        return Err(broken(format!("it kept blocks from {before} on, now from {oldest} on")));
    }
    if oldest > 1 && oldest + KEPT_BLOCKS_MIN > height + 1 {
        return Err(broken(format!(
            "at height {height} it keeps blocks from {oldest} on, fewer than {KEPT_BLOCKS_MIN}"
        )));
    }
    if oldest <= height {
        let kept = validator.finalized(oldest, 1).map_err(|error| broken(error.to_string()))?;
        if kept.first().map(|block| block.height) != Some(oldest) {
            return Err(broken(format!("block {oldest}, the first that it keeps, is not served")));
        }
    }
    for pruned in [1, oldest / 2, oldest - 1].into_iter().filter(|pruned| (1..oldest).contains(pruned)) {
        let header = validator.header(pruned).map_err(|error| broken(error.to_string()))?;
        let (header, _) = header.ok_or_else(|| broken(format!("nothing is left of block {pruned}")))?;
        chronicle.compare(seat, pruned, header.digest())?;
        match validator.finalized(pruned, 1) {
            Err(FinalizedError::Pruned { height: said, oldest: from }) if (said, from) == (pruned, oldest) => {
                check_age(validator, header.timestamp_millis, retention).map_err(broken)?;
            }
            Err(error) => return Err(broken(format!("asked for the pruned block {pruned}, it says: {error}"))),
            Ok(page) => {
                // Blocks that announce a committee stay whole.
                let block = validator.block(pruned).map_err(|error| broken(error.to_string()))?;
                let announces =
                    |payload: &Payload| System::read(payload).is_ok_and(|system| system.committee.is_some());
                let stays = block.is_some_and(|block| announces(&block.payload));
                if !stays || page.first().map(|block| block.height) != Some(pruned) {
                    return Err(broken(format!(
                        "block {pruned} is below {oldest} and neither served nor said to be pruned"
                    )));
                }
            }
        }
    }
    Ok(oldest)
}

/// A pruned block is older than the window.
fn check_age(validator: &Validator, pruned_millis: u64, retention: Duration) -> Result<(), String> {
    let newest = validator.block(validator.height()).map_err(|error| error.to_string())?;
    let newest_millis = newest.map_or(0, |block| block.timestamp_millis);
    let age = Duration::from_millis(newest_millis.saturating_sub(pruned_millis));
    match age > retention {
        true => Ok(()),
        false => Err(format!("a block is pruned after {age:?}, blocks are kept for {retention:?}")),
    }
}
