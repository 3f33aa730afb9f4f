//! The four-bit rule: what the votes of one epoch justify and finalise.
//!
//! Bit i says whether the checkpoint i epochs before the current one is justified. A checkpoint becomes final when it is
//! the source of a link over one epoch (k = 1), or over two with the epoch between justified as well (k = 2), and both are
//! recognised one epoch late, too: four cases.
//! Source: `weigh_justification_and_finalization` of phase0.

use proof::checkpoint::Point;

/// What is justified and what is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Justification {
    /// Whether the checkpoints of the current epoch and of the three before are justified, the newest first.
    pub bits: [bool; 4],
    /// Last justified checkpoint as it was an epoch ago: source of late votes.
    pub previous: Point,
    /// Last justified checkpoint: source of votes.
    pub current: Point,
    /// Last final checkpoint.
    pub finalized: Point,
}

impl Justification {
    /// Everything begins with a checkpoint that is justified and final.
    pub const fn genesis(point: Point) -> Self {
        Self { bits: [false; 4], previous: point, current: point, finalized: point }
    }

    /// Closes epoch `epoch`: the checkpoints of it and of the one before are given where two thirds voted for them.
    pub fn weigh(&mut self, epoch: u64, previous_target: Option<Point>, current_target: Option<Point>) {
        let (old_previous, old_current) = (self.previous, self.current);
        self.previous = self.current;
        self.bits.copy_within(0..3, 1);
        self.bits[0] = false;
        if let Some(point) = previous_target {
            self.current = point;
            self.bits[1] = true;
        }
        if let Some(point) = current_target {
            self.current = point;
            self.bits[0] = true;
        }
        let spans = |source: Point, epochs: u64| source.epoch.checked_add(epochs) == Some(epoch);
        let all = |range: std::ops::Range<usize>| self.bits[range].iter().all(|bit| *bit);
        // The order matters: a later line takes the newer checkpoint.
        let cases = [
            (all(1..4) && spans(old_previous, 3), old_previous),
            (all(1..3) && spans(old_previous, 2), old_previous),
            (all(0..3) && spans(old_current, 2), old_current),
            (all(0..2) && spans(old_current, 1), old_current),
        ];
        if let Some((_, source)) = cases.into_iter().rev().find(|(holds, _)| *holds) {
            self.finalized = source;
        }
    }
}

#[cfg(test)]
mod tests;
