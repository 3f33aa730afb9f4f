//! The nouns every part agrees on, and how they are encoded.
//!
//! A type stands here only if two crates exchange it over a wire, a disk or the chain. No IO, no clocks, no async.

pub mod abi;
pub mod api;
pub mod content;
pub mod job;
pub mod keys;
pub mod network;
pub mod output;
pub mod units;
