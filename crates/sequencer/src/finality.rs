//! Casper FFG in a running node: final blocks in, votes and evidence out.
//!
//! [`Tracker`] is the pure part: what final blocks mean for finality. Validators, followers and whoever reads the
//! history compute the same from the same blocks. `desk` adds what only a validator has: the state after blocks that
//! are not final yet, waiting votes, its own vote, evidence. `actor` carries votes between validators. `kept` is how a
//! checkpoint is kept, so that this node after a crash, or another one, goes on from it; `links` adds up votes for those who
//! follow by signatures alone; `waiting` bounds the evidence that no block has yet.
//!
//! ```text
//!  final block ──▶ Tracker ──▶ checkpoint opened ──▶ kept          peers ──▶ actor ──▶ Pool, Detector
//!                     │                                                        │           │
//!                     └──▶ duty ──▶ guard (fsync) ──▶ own vote ──▶ actor ──▶ peers         │
//!                                                                                          ▼
//!                                 next proposal: namespace 0 ◀── votes not counted yet, evidence
//! ```
//!
//! Nothing of it is written together with a block, since all of it follows from the blocks: after a crash the newest
//! checkpoint kept is the start, and the blocks after it are applied again.

pub(crate) mod actor;
pub(crate) mod desk;
mod kept;
mod links;
mod tracker;
mod waiting;

pub use kept::{KEPT_BYTES_MAX, KeptCheckpoint, KeptError};
pub use links::{Link, LinkError};
pub use tracker::{Applied, EVIDENCE_SECONDS, JudgeError, Tracker, UNBONDING_SECONDS, parameters};
pub use waiting::Full;

#[cfg(test)]
mod tests;
