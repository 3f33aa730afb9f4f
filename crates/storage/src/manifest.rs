//! How a DAG is stored: its blocks in order, cut into segments, and the shards of each segment.
//!
//! A manifest is immutable and follows from the sequence of blocks and the code alone, so two gateways that store the
//! same archive write the same bytes. It names every shard by its SHA-256, which makes a shard from an untrusted node
//! checkable; the blocks are checked again against their CIDs, so a false manifest can hide data but never forge it.

use crate::block::{self, BLOCK_BYTES_MAX, BlockError};
use crate::car::BLOCKS_MAX;
use crate::erasure::{K_MAX, N_MAX};
use alloy_primitives::B256;
use ciborium::Value;
use cid::Cid;
use protocol::content::{DAG_PB, RAW, cid_of_digest, sha256};
use std::ops::Range;

/// Bytes of blocks in one segment, at most.
pub const SEGMENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most segments of a DAG: 1 TiB in full segments.
pub const SEGMENTS_MAX: usize = 65_536;
/// Largest manifest, in bytes.
pub const MANIFEST_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest shard, in bytes: a whole segment, when `k` is 1.
pub const SHARD_BYTES_MAX: usize = SEGMENT_BYTES_MAX;

/// Version of the format.
const VERSION: u64 = 1;
/// Codec byte, digest and length of one block.
const BLOCK_RECORD_BYTES: usize = 1 + 32 + 4;

const _: () = assert!(BLOCK_BYTES_MAX <= SEGMENT_BYTES_MAX);
const _: () = assert!(BLOCKS_MAX * BLOCK_RECORD_BYTES < MANIFEST_BYTES_MAX);

/// Why bytes are not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Larger than allowed.
    #[error("manifest has {0} bytes, at most {MANIFEST_BYTES_MAX} are allowed")]
    TooLarge(usize),
    /// Not the canonical bytes of a manifest.
    #[error("not a manifest: {0}")]
    Format(&'static str),
    /// Another version.
    #[error("manifest version {0} is not supported, only version {VERSION}")]
    Version(u64),
    /// A count is beyond its limit.
    #[error("manifest has {count} {what}, at most {max} are allowed")]
    Count {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many are allowed.
        max: usize,
    },
    /// The root cannot be stored.
    #[error(transparent)]
    Root(#[from] BlockError),
}

/// A block of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRecord {
    /// Name of the block, CIDv1.
    pub cid: Cid,
    /// Its length in bytes.
    pub bytes: u32,
}

/// Blocks that are coded together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The blocks, whose bytes follow each other without gaps.
    pub blocks: Vec<BlockRecord>,
    /// SHA-256 of each of the `n` shards.
    pub shards: Vec<B256>,
}

/// How a DAG is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Root of the DAG, CIDv1.
    pub root: Cid,
    /// Shards of a segment that rebuild it.
    pub k: u8,
    /// Shards of a segment.
    pub n: u8,
    /// The segments in order.
    pub segments: Vec<Segment>,
}

/// Where a block stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Segment.
    pub segment: usize,
    /// Bytes of the segment.
    pub bytes: Range<usize>,
}

impl Segment {
    /// Bytes of all its blocks.
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(|b| b.bytes as usize).sum()
    }

    /// Length of each of its shards when it is coded with `k` data shards: the last data shard is padded with zeros.
    pub fn shard_bytes(&self, k: u8) -> usize {
        shard_bytes(self.bytes(), k)
    }

    /// What its placement is drawn from: the shards themselves.
    pub fn key(&self) -> B256 {
        let mut preimage = b"kumo/segment/v1".to_vec();
        self.shards.iter().for_each(|id| preimage.extend_from_slice(&id[..]));
        sha256(&preimage)
    }
}

/// Length of each shard of a segment of `segment_bytes`, at least 1.
pub fn shard_bytes(segment_bytes: usize, k: u8) -> usize {
    segment_bytes.div_ceil(usize::from(k)).max(1)
}

/// What the placement of the manifests of `root` is drawn from.
pub fn root_key(root: &B256) -> B256 {
    sha256(&[&b"kumo/manifest/v1"[..], &root[..]].concat())
}

impl Manifest {
    /// Bytes of all blocks.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.bytes() as u64).sum()
    }

    /// All blocks, with where they stand.
    pub fn positions(&self) -> impl Iterator<Item = (Cid, Position)> + '_ {
        self.segments.iter().enumerate().flat_map(|(segment, s)| {
            s.blocks.iter().scan(0, move |at, block| {
                let bytes = *at..*at + block.bytes as usize;
                *at = bytes.end;
                Some((block.cid, Position { segment, bytes }))
            })
        })
    }

    /// Canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let segments = self.segments.iter().map(|s| {
            let blocks = s.blocks.iter().flat_map(encode_record).collect();
            let shards = s.shards.iter().flat_map(|id| id.0).collect();
            Value::Array(vec![Value::Bytes(blocks), Value::Bytes(shards)])
        });
        let value = Value::Array(vec![
            VERSION.into(),
            Value::Bytes(self.root.to_bytes()),
            self.k.into(),
            self.n.into(),
            Value::Array(segments.collect()),
        ]);
        let mut out = Vec::new();
        ciborium::into_writer(&value, &mut out).expect("writing to a vector does not fail");
        out
    }

    /// Reads untrusted bytes: only what [`Self::encode`] writes for a manifest within all limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLarge(bytes.len()));
        }
        let value: Value = ciborium::from_reader(bytes).map_err(|_| ManifestError::Format("not CBOR"))?;
        let manifest = Self::from_value(value)?;
        if manifest.encode() != bytes {
            return Err(ManifestError::Format("not canonical"));
        }
        Ok(manifest)
    }

    fn from_value(value: Value) -> Result<Self, ManifestError> {
        let fields = value.into_array().map_err(|_| ManifestError::Format("not an array"))?;
        let [version, root, k, n, segments]: [Value; 5] =
            fields.try_into().map_err(|_| ManifestError::Format("not five fields"))?;
        match integer(&version)? {
            VERSION => {}
            other => return Err(ManifestError::Version(other)),
        }
        let root = root.into_bytes().map_err(|_| ManifestError::Format("root is not bytes"))?;
        let root = Cid::try_from(&root[..]).map_err(|_| ManifestError::Format("root is not a CID"))?;
        let root = block::normalise(&root)?;
        let (k, n) = (within("data shards", &k, K_MAX)?, within("shards", &n, N_MAX)?);
        if k == 0 || k > n {
            return Err(ManifestError::Format("k is not in 1..=n"));
        }
        let segments = segments.into_array().map_err(|_| ManifestError::Format("segments are not an array"))?;
        at_most("segments", segments.len(), SEGMENTS_MAX)?;
        let segments: Vec<Segment> = segments.into_iter().map(|s| decode_segment(s, n)).collect::<Result<_, _>>()?;
        at_most("blocks", segments.iter().map(|s| s.blocks.len()).sum(), BLOCKS_MAX)?;
        if !segments.iter().flat_map(|s| &s.blocks).any(|b| b.cid == root) {
            return Err(ManifestError::Format("root is not among the blocks"));
        }
        Ok(Self { root, k, n, segments })
    }
}

fn encode_record(record: &BlockRecord) -> [u8; BLOCK_RECORD_BYTES] {
    let mut out = [0; BLOCK_RECORD_BYTES];
    out[0] = record.cid.codec() as u8;
    out[1..33].copy_from_slice(record.cid.hash().digest());
    out[33..].copy_from_slice(&record.bytes.to_be_bytes());
    out
}

fn decode_record(record: &[u8; BLOCK_RECORD_BYTES]) -> Result<BlockRecord, ManifestError> {
    let codec = u64::from(record[0]);
    if codec != RAW && codec != DAG_PB {
        return Err(ManifestError::Format("block codec is neither raw nor dag-pb"));
    }
    let bytes = u32::from_be_bytes(record[33..].try_into().expect("four bytes"));
    at_most("bytes in a block", bytes as usize, BLOCK_BYTES_MAX)?;
    Ok(BlockRecord { cid: cid_of_digest(codec, B256::from_slice(&record[1..33])), bytes })
}

fn decode_segment(value: Value, n: u8) -> Result<Segment, ManifestError> {
    let parts = value.into_array().map_err(|_| ManifestError::Format("segment is not an array"))?;
    let [blocks, shards]: [Value; 2] =
        parts.try_into().map_err(|_| ManifestError::Format("segment has not two parts"))?;
    let blocks = blocks.into_bytes().map_err(|_| ManifestError::Format("blocks are not bytes"))?;
    let shards = shards.into_bytes().map_err(|_| ManifestError::Format("shards are not bytes"))?;
    let (records, rest) = blocks.as_chunks::<BLOCK_RECORD_BYTES>();
    if records.is_empty() || !rest.is_empty() {
        return Err(ManifestError::Format("blocks are not whole records"));
    }
    if shards.len() != usize::from(n) * 32 {
        return Err(ManifestError::Format("segment has another number of shards than the code"));
    }
    let segment = Segment {
        blocks: records.iter().map(decode_record).collect::<Result<_, _>>()?,
        shards: shards.chunks_exact(32).map(B256::from_slice).collect(),
    };
    at_most("bytes in a segment", segment.bytes(), SEGMENT_BYTES_MAX)?;
    Ok(segment)
}

fn integer(value: &Value) -> Result<u64, ManifestError> {
    let number = value.as_integer().and_then(|i| u64::try_from(i).ok());
    number.ok_or(ManifestError::Format("number expected"))
}

fn within(what: &'static str, value: &Value, max: usize) -> Result<u8, ManifestError> {
    let count = usize::try_from(integer(value)?).unwrap_or(usize::MAX);
    at_most(what, count, max)?;
    Ok(count as u8)
}

fn at_most(what: &'static str, count: usize, max: usize) -> Result<(), ManifestError> {
    if count > max { Err(ManifestError::Count { what, count, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
