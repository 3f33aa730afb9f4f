//! Casper FFG over final blocks: which checkpoints are justified and finalised by two thirds of the stake.
//!
//! The committee's certificates make a block final by counting seats. Once an epoch, validators also vote with their
//! stake, for a link from the last justified checkpoint to the newest one. Votes count only when they stand in a final
//! block, in order, so [`State`] is a pure function of the chain and every node agrees about it without a message.
//!
//! ```text
//!  final blocks ──▶ State ──▶ duty ──▶ guard ──▶ VoteSecret ──▶ gossip ──▶ Pool ──▶ aggregate in a later block ─┐
//!       ▲             │                                          └─▶ Detector ──▶ evidence                      │
//!       └─────────────┴── justified, finalised, who votes next ◀────────────────────────────────────────────────┘
//! ```
//!
//! | module | decides |
//! |---|---|
//! | `justification` | the four-bit rule |
//! | `state` | what a block changes |
//! | `schedule` | which set is in force in which epoch, and who votes on a checkpoint |
//! | `leak` | what absent validators lose while nothing is finalised |
//! | `trust` | starting from a trusted checkpoint |
//! | `key` | the secret that votes |
//! | `pool` | votes that wait for a block |
//! | `detector` | votes that exclude each other |
//!
//! What others verify without this crate is in [`proof::checkpoint`]. No IO, no clock: times are arguments.
//! Sources: Buterin and Griffith, Casper the Friendly Finality Gadget (2017); the phase0 specification of Ethereum's beacon
//! chain, `process_justification_and_finalization` and `process_attestation`.

mod codec;
mod detector;
mod justification;
mod key;
mod leak;
mod pool;
mod schedule;
mod state;
mod trust;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod testing;

pub(crate) use codec::STATE_BYTES_MAX;
pub use detector::{Detector, DetectorError, MemoryIndex, Seen, VoteIndex};
pub use justification::Justification;
pub use key::{SecretError, VoteSecret};
pub use leak::Leak;
pub use pool::{Pool, PoolError};
pub use state::{ApplyError, Input, Opened, Outcome, Parameters, ParametersError, State, VoteError};
pub use trust::TrustError;

/// Certificates that count in one block; later ones are refused.
pub const CERTIFICATES_PER_BLOCK_MAX: usize = 16;

/// Blocks of one epoch (2..=65_536).
pub const EPOCH_BLOCKS_MAX: u64 = 1 << 16;
