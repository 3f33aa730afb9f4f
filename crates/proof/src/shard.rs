//! Whether some bytes are one shard of a block's payload.
//!
//! The payload is cut into k shards and extended by 2k more (Reed–Solomon over GF(2¹⁶), Leopard's code); any k of the
//! 3k give it back. The header commits to all of them, so that whoever takes part in dissemination, or samples, checks
//! a shard without the payload:
//!
//! ```text
//! leaf = BLAKE3(shard)
//! root = keccak256(0x06 ‖ bytes of the payload ‖ root of the leaves)
//! ```
//!
//! The size of the payload alone fixes k: small payloads have few shards, so that they cost next to nothing. A third is
//! the part that honest voters hold after a quorum voted, whoever the rest are. That the shards belong to one codeword
//! is checked by everybody who votes, not by who has a few of them. So every voter hashes three times the payload: BLAKE3 does
//! that several times faster than SHA-256, and no contract needs these leaves.

use crate::merkle;
use crate::namespace::PAYLOAD_BYTES_MAX;
use crate::reader::Reader;
use alloy_primitives::{B256, Bytes};
use serde::{Deserialize, Serialize};

/// Most shards that the payload is cut into.
pub const DATA_SHARDS_MAX: u32 = 128;
/// Shards in all, for each that the payload is cut into.
pub const EXPANSION: u32 = 3;
/// A payload has more than one shard of data only above this size.
pub const SHARD_BYTES_MIN: u32 = 16 * 1024;

const ROOT: u8 = 0x06;

/// Why bytes are not a shard of the payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// Not the encoding of a proof.
    #[error("{0} bytes do not decode as a proof of a shard")]
    Malformed(usize),
    /// No block has such a payload.
    #[error("a payload of {0} bytes, allowed are 1 to {PAYLOAD_BYTES_MAX}")]
    Payload(u32),
    /// The shard has another length than the code gives it.
    #[error("a shard of {found} bytes, this payload has shards of {expected}")]
    Length {
        /// Bytes given.
        found: usize,
        /// Bytes of each shard.
        expected: u32,
    },
    /// There is no such shard, or its path has the wrong number of hashes.
    #[error("shard {index} of {shards} with a path of {hashes} hashes")]
    Path {
        /// Claimed position.
        index: u32,
        /// Shards of the payload.
        shards: u32,
        /// Hashes given.
        hashes: usize,
    },
    /// The evidence gives another root.
    #[error("the proof gives root {computed}, the header has {committed}")]
    Root {
        /// Recomputed.
        computed: B256,
        /// In the header.
        committed: B256,
    },
}

/// How a payload is cut: follows from its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Shards that the payload is cut into, and that give it back: a power of two (1..=128).
    pub data: u32,
    /// Shards in all: three times as many.
    pub total: u32,
    /// Bytes of each, even; the last ones of the payload are followed by zeros.
    pub shard_bytes: u32,
}

impl Code {
    /// The code of a payload of `payload_bytes` bytes; `None` if no block has such a payload.
    pub const fn of(payload_bytes: u32) -> Option<Self> {
        if payload_bytes == 0 || payload_bytes as usize > PAYLOAD_BYTES_MAX {
            return None;
        }
        let data = payload_bytes.div_ceil(SHARD_BYTES_MIN).next_power_of_two();
        let data = if data < DATA_SHARDS_MAX { data } else { DATA_SHARDS_MAX };
        Some(Self { data, total: data * EXPANSION, shard_bytes: payload_bytes.div_ceil(data).next_multiple_of(2) })
    }
}

/// Leaf of a shard.
pub fn leaf(shard: &[u8]) -> B256 {
    B256::from(*blake3::hash(shard).as_bytes())
}

/// What a header commits to: the root over the leaves of all shards of a payload.
pub fn erasure_root(payload_bytes: u32, tree: &B256) -> B256 {
    crate::namespace::counted_root(ROOT, payload_bytes, tree)
}

/// A shard and the proof of its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardProof {
    /// Bytes of the payload.
    pub payload_bytes: u32,
    /// Number of the shard.
    pub index: u32,
    /// Siblings of its leaf, leaf to root.
    pub path: Vec<B256>,
    /// The shard.
    pub shard: Bytes,
}

impl ShardProof {
    /// The shard, if it is number [`ShardProof::index`] under the erasure root `committed`.
    pub fn verify(&self, committed: B256) -> Result<&Bytes, ShardError> {
        let Self { payload_bytes, index, path, shard } = self;
        let code = Code::of(*payload_bytes).ok_or(ShardError::Payload(*payload_bytes))?;
        if shard.len() != code.shard_bytes as usize {
            return Err(ShardError::Length { found: shard.len(), expected: code.shard_bytes });
        }
        let wrong = ShardError::Path { index: *index, shards: code.total, hashes: path.len() };
        let tree = merkle::climb(leaf(shard), *index, code.total, path).ok_or(wrong)?;
        let computed = erasure_root(*payload_bytes, &tree);
        if computed != committed {
            return Err(ShardError::Root { computed, committed });
        }
        Ok(shard)
    }

    /// Canonical encoding. A proof that verifies decodes from it again.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = [self.payload_bytes, self.index].map(u32::to_be_bytes).concat();
        bytes.extend(self.path.iter().flatten());
        bytes.extend(&self.shard);
        bytes
    }

    /// Decodes exactly one proof; allocates no more than the bytes given take.
    pub fn decode(bytes: &[u8]) -> Result<Self, ShardError> {
        Self::read(Reader(bytes)).ok_or(ShardError::Malformed(bytes.len()))
    }

    fn read(mut reader: Reader<'_>) -> Option<Self> {
        let (payload_bytes, index) = (reader.u32()?, reader.u32()?);
        let code = Code::of(payload_bytes).filter(|code| index < code.total)?;
        let path = reader.words(merkle::path_length(index, code.total))?;
        let shard = reader.bytes(code.shard_bytes as usize)?;
        reader.end(Self { payload_bytes, index, path, shard })
    }
}

#[cfg(test)]
mod tests;
