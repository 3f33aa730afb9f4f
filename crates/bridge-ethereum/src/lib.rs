//! Carry finality, value and messages between Kumo and Ethereum chains.
//!
//! It carries finality: it posts what a Kumo network has finalised to the contract `KumoLightClient` of an L1, where anybody's contract
//! can read it. And it carries what was ordered for a rollup: batches for the contract `RollupInbox`, and back from there.
//!
//! ```text
//!   a node  ──links──▶ Work ──call──▶ Poster ──simulate, journal, send──▶ L1 ──▶ KumoLightClient
//!           ─blocks──▶  ▲               │ ▲                               │
//!                       └── View ───────┼─┴── receipts, nonces, fees ◀────┘
//!                                       ▼
//!                                    Journal (synced before anything is sent)
//! ```
//!
//! | module | decides |
//! |---|---|
//! | [`finality`] | what a source of finality must know |
//! | [`plan`] | which links the contract needs next, and how few suffice |
//! | [`work`] | what there is to post |
//! | [`inbox`] | which batch of a rollup is next |
//! | [`derive`] | what was ordered for a rollup, from the L1 alone |
//! | [`blobs`], [`beacon`] | commitments and proofs of blobs; asking for blobs |
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

pub mod beacon;
pub mod blobs;
pub mod deploy;
pub mod derive;
pub mod fees;
pub mod finality;
pub mod http;
pub mod inbox;
pub mod journal;
pub mod l1;
pub mod pace;
pub mod plan;
pub mod poster;
pub mod work;

pub use beacon::{Beacon, NoBlobs};
pub use derive::{Blobs, Content, DeriveError, Derived, Deriver};
pub use fees::{FeeLimits, Fees};
pub use finality::{Certified, Finality, FinalityError};
pub use http::HttpL1;
pub use inbox::{Batches, Evidence, InboxError, Mail, Oldest, Ordered, Proven, SourceError, Via};
pub use journal::{Journal, JournalError};
pub use l1::{Call, L1, L1Error, Receipt};
pub use pace::Pace;
pub use plan::{Plan, PlanError, View};
pub use poster::{Poster, PosterError, Settings, Step};
pub use work::{Job, Work};

/// What a transaction that makes a contract calls.
pub const CREATE: alloy_primitives::TxKind = alloy_primitives::TxKind::Create;

// So that what tests share with the program against anvil names this crate in one way.
#[cfg(test)]
extern crate self as bridge_ethereum;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
