//! A whole network in one process: seeded clock, network, disks and faults.
//!
//! The validators are those of the crate `sequencer`, with their mempool, history, journal and consensus; only what they run on
//! is simulated. A [`Plan`] is drawn from a seed: how many validators, how bad the links are, who is malicious, what breaks
//! when, and what users submit. [`run`] plays it on commonware's deterministic runtime and checks the [`invariants`]. The
//! same seed is the same run, to the last message.
//!
//! | module | decides |
//! |---|---|
//! | [`plan`] | what happens, from a seed |
//! | [`world`] | how it happens |
//! | [`invariants`] | what must hold whatever happens |
//! | [`scale`] | what a committee costs by its size |
//! | `ledger` | what each validator's application took, and what users were told |
//! | `court` | whether the contracts that slash take what was proven |
//! | `pruning` | what validators that prune owe those who ask |
//! | `keyring` | the keys of the seats |
//! | `twins` | how two validators with one key are kept apart |

#![warn(missing_docs)]

mod court;
pub mod invariants;
mod keyring;
mod ledger;
pub mod plan;
mod pruning;
pub mod scale;
mod twins;
pub mod world;

pub use invariants::{Invariant, Violation};
pub use plan::Plan;
pub use scale::{Scale, measure};
pub use world::{Outcome, run};
