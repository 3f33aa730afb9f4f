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
//! | "these are all transactions of this namespace" | namespaces root, paths | [`namespace::NamespaceProof`] |
//! | "this namespace has no transactions here" | namespaces root, its two neighbours | [`namespace::NamespaceProof`] |
//! | "this transaction stands here" | namespaces root, paths | [`namespace::TransactionProof`] |
//! | "this bundle was included whole" | bundles root, its transactions, path | [`bundle::BundleProof`] |
//! | "this opens the envelopes for a height" | lane key, opening | [`lane::Opening`] |
//! | "this namespace owes this" | root of accounts in a block, path | [`account::AccountProof`] |
//! | "this is all that was ordered in this namespace" | blocks, what an account says of them | [`batch::Batch`] |
//! | "this is a shard of the payload" | erasure root, path | [`shard::ShardProof`] |
//! | "this is my value for this input" | key, proof | [`vrf::Key::verify`] |
//! | "I still hold this data" | Merkle root, challenged leaves, path | [`possession::Proof`] |

pub mod account;
pub mod batch;
pub mod bundle;
pub mod certificate;
pub mod checkpoint;
mod ed25519;
pub mod header;
pub mod lane;
pub mod memo;
pub mod merkle;
pub mod namespace;
pub mod output;
pub mod possession;
mod reader;
pub mod receipt;
pub mod shard;
pub mod state;
pub mod vrf;
