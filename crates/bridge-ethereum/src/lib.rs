//! Carry finality, value and messages between Kumo and Ethereum chains.
//!
//! This version carries finality: it posts what a Kumo network has finalised to the contract `KumoLightClient` of an L1, where
//! anybody's contract can read it.
//!
//! ```text
//!  Finality ──links──▶ plan ──call──▶ Poster ──simulate, journal, send──▶ L1 ──▶ KumoLightClient
//!  (a node)             ▲               │ ▲                               │
//!                       └── View ───────┼─┴── receipts, nonces, fees ◀────┘
//!                                       ▼
//!                                    Journal (synced before anything is sent)
//! ```
//!
//! | module | decides |
//! |---|---|
//! | [`finality`] | what a source of finality must know |
//! | [`plan`] | which links the contract needs next, and how few suffice |
//! | [`fees`] | what a transaction may cost, and how much more its replacement |
//! | [`journal`] | what was sent, on the disk |
//! | [`poster`] | the next step: one transaction in flight, until it is deep enough |
//! | [`l1`], [`http`] | what an L1 is asked; asking it by JSON-RPC |
//! | [`pace`] | how long to wait between steps |
//! | [`deploy`] | putting the contracts on an L1 |
//!
//! The rule that keeps fees from being spent twice: everything that is sent has the nonce of the transaction in flight until one
//! with this nonce is so deep that it stays. So at most one of all replacements is ever mined, whatever crashes. Time and
//! randomness are arguments, the L1 and the source of finality are traits.

pub mod deploy;
pub mod fees;
pub mod finality;
pub mod http;
pub mod journal;
pub mod l1;
pub mod pace;
pub mod plan;
pub mod poster;

pub use fees::{FeeLimits, Fees};
pub use finality::{Certified, Finality, FinalityError};
pub use http::HttpL1;
pub use journal::{Journal, JournalError};
pub use l1::{Call, L1, L1Error, Receipt};
pub use pace::Pace;
pub use plan::{Plan, PlanError, View};
pub use poster::{Poster, PosterError, Settings, Step};

// So that what tests share with the program against anvil names this crate in one way.
#[cfg(test)]
extern crate self as bridge_ethereum;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
