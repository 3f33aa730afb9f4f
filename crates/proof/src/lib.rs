//! Decide whether a claim about a job, a machine, stored data or finality is true.
//!
//! Every function takes a claim and its evidence and answers yes, or says what differs. No IO, no clock: who fetches the
//! evidence, and whom it asks, does not matter to the answer.
//!
//! | claim | evidence | decided by |
//! |---|---|---|
//! | "this provider signed this receipt" | receipt, EIP-712 signature | [`receipt::verify`] |
//! | "these outputs are what was committed" | output summary, job secret | [`output::check`] |
//! | "this account has this balance" | state root, Merkle-Patricia path | [`state::verify_account`] |
//! | "this storage slot has this value" | storage root, Merkle-Patricia path | [`state::verify_storage`] |
//! | "this header has this hash" | the header | [`header::verify`] |
//! | "a quorum finalised this block" | keys of the committee, header, certificate | [`certificate::Claim`] |
//! | "two thirds of the stake finalised this checkpoint" | certificates, validator sets | [`checkpoint::Follower`] |
//! | "this validator voted twice" | two signed votes | [`checkpoint::Evidence`] |
//! | "I still hold this data" | Merkle root, challenged leaves, path | [`possession::Proof`] |

pub mod certificate;
pub mod checkpoint;
mod ed25519;
pub mod header;
pub mod output;
pub mod possession;
pub mod receipt;
pub mod state;
