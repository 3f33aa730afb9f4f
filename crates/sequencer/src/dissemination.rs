//! Blocks on their way from the leader to all: whole in small committees, in shards in large ones.
//!
//! A leader who sends a block of b bytes whole to n − 1 others sends (n − 1)·b. From [`VALIDATORS_MIN`] validators on it sends
//! each of them another part of the 3k shards that the header commits to anyway, about 3·b in all, and each hands its part to
//! all others, about 3·b again. Whoever has k shards puts the block together and gives it to the engine as if it had
//! been sent whole; the part of a leader's bytes that everybody else carried before is spread over all of them.
//!
//! ```text
//!                 whole ┌────────────────────────────────────────────┐
//!  engine ──▶ actor ────┤  channel of blocks                         ├────▶ actor ──▶ engine
//!                       └ leader ─▶ member i: shards i, i + n, … ─▶ all ┘  k of 3k
//! ```
//!
//! It is a layer below the engine's broadcast and above the channel, and changes nothing that is voted for: what arrives is
//! a block or nothing, and a block that does not arrive is fetched whole by its digest, as ever. A member believes no shard
//! without its proof under the erasure root of the head that it comes with. Heads that nobody votes for cost those who
//! send them their own places alone, see `desk`.
//!
//! The engine's library brings the same (`marshal::coding`), with consensus on the root of the shards instead of the
//! digest of the block: certificates, vectors and clients would change with it, and it is marked ALPHA.
//! Source: Cachin and Tessaro, "Asynchronous Verifiable Information Dispersal" (2005).

mod actor;
mod desk;
mod message;
#[cfg(test)]
mod tests;

pub(crate) use actor::open;
pub(crate) use message::head_of_part;

use crate::limits::MESSAGE_BYTES_MAX;
use proof::shard::{DATA_SHARDS_MAX, EXPANSION};

/// Committees of fewer validators are sent whole blocks.
const VALIDATORS_MIN: usize = 10;
/// Payloads with fewer bytes are sent whole: their shards would be fewer than validators, or take more than they save.
const PAYLOAD_BYTES_MIN: usize = 64 * 1024;

/// When blocks go in shards: the same for all validators of a network, as each takes only those of blocks that go so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Division {
    /// Committees of fewer validators are sent whole blocks.
    pub validators_min: usize,
    /// Payloads of fewer bytes are sent whole.
    pub payload_bytes_min: usize,
}

impl Default for Division {
    /// What networks do.
    fn default() -> Self {
        Self { validators_min: VALIDATORS_MIN, payload_bytes_min: PAYLOAD_BYTES_MIN }
    }
}

/// Shards of one member are at most as many as the smallest such committee makes them, and one.
const PART_SHARDS_MAX: usize = (DATA_SHARDS_MAX * EXPANSION) as usize / VALIDATORS_MIN + 1;

// 64 KiB of shard and 9 hashes of path each.
const _: () = assert!(PART_SHARDS_MAX * (65 * 1024) < MESSAGE_BYTES_MAX);
