//! Keep, place, prove, repair and serve content-addressed data.
//!
//! ```text
//!  file ─▶ crypt ─▶ unixfs ─▶ car ─▶ Cluster::put_car ─▶ segments ─▶ erasure ─▶ placement ─▶ ShardPeer × n
//!  file ◀─ crypt ◀─ unixfs ◀─────── Cluster::block ◀──── segment  ◀─ any k shards ◀────────── ShardStore
//! ```
//!
//! The left half ([`crypt`], [`unixfs`], [`car`]) is pure and runs on the user's side: a gateway sees ciphertext and
//! is not trusted for content, because every block is checked against its CID. The right half ([`erasure`],
//! [`placement`], [`manifest`]) decides how a DAG is cut into shards and where each one lives; [`cluster`] does it
//! over nodes that it reaches through [`peer::ShardPeer`]; [`shards`] is the disk of one such node.

// Errors name the CIDs that they are about, 96 bytes each; none is made where speed counts.
#![allow(clippy::result_large_err)]

pub mod block;
pub mod car;
pub mod catalogue;
pub mod cluster;
pub mod crypt;
pub mod erasure;
pub mod manifest;
pub mod peer;
pub mod placement;
pub mod shards;
pub mod unixfs;

pub use block::{Block, BlockError, BlockSource};
pub use catalogue::Stored;
pub use cluster::{Clock, Cluster, ClusterConfig, ClusterError, Node};
pub use peer::{LocalPeer, PeerError, ShardPeer};
pub use placement::NodeInfo;
pub use shards::ShardStore;

#[cfg(test)]
mod testing;
