//! This crate against what ethereum publishes: an imported chain, and every recorded exchange of its JSON-RPC.

mod fixtures;
mod hardening;
mod import;
mod replay;
mod rlp;
mod witness;
