//! Cut an uploaded archive into segments, and make sure that it is complete.

use super::ClusterError;
use crate::block::{Block, digest, normalise};
use crate::car::{BLOCKS_MAX, CarDecoder, CarItem, links};
use crate::erasure::Code;
use crate::manifest::{BlockRecord, SEGMENT_BYTES_MAX, Segment, shard_bytes};
use alloy_primitives::B256;
use bytes::Bytes;
use cid::Cid;
use protocol::content::sha256;
use std::collections::{HashMap, HashSet};

/// Blocks of a segment that is not coded yet.
#[derive(Default)]
pub(super) struct RawSegment {
    blocks: Vec<BlockRecord>,
    bytes: Vec<u8>,
}

/// A segment and its shards.
pub(super) struct CodedSegment {
    pub(super) segment: Segment,
    pub(super) shards: Vec<Bytes>,
}

impl RawSegment {
    /// Codes the segment. Takes tens of milliseconds for a full one.
    pub(super) fn encode(self, code: &Code) -> Result<CodedSegment, ClusterError> {
        let length = shard_bytes(self.bytes.len(), code.k() as u8);
        let mut data = self.bytes;
        data.resize(length * code.k(), 0);
        let data = Bytes::from(data);
        let mut shards: Vec<Bytes> = (0..code.k()).map(|i| data.slice(i * length..(i + 1) * length)).collect();
        shards.extend(code.encode(&shards)?.into_iter().map(Bytes::from));
        let ids = shards.iter().map(|shard| sha256(shard)).collect();
        Ok(CodedSegment { segment: Segment { blocks: self.blocks, shards: ids }, shards })
    }
}

/// Takes the bytes of an archive with one root; gives segments as they fill up. Equal blocks are stored once.
pub(super) struct Intake {
    decoder: CarDecoder,
    root: Option<Cid>,
    seen: HashSet<B256>,
    /// Blocks that others point to and that have not come yet.
    missing: HashMap<B256, Cid>,
    segment: RawSegment,
}

impl Intake {
    pub(super) fn new() -> Self {
        Self {
            decoder: CarDecoder::new(),
            root: None,
            seen: HashSet::new(),
            missing: HashMap::new(),
            segment: RawSegment::default(),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.decoder.push(bytes);
    }

    /// The next full segment, or `None` when more bytes are needed.
    pub(super) fn next_segment(&mut self) -> Result<Option<RawSegment>, ClusterError> {
        while let Some(item) = self.decoder.next_item()? {
            match item {
                CarItem::Header(roots) => self.root = Some(only_root(&roots)?),
                CarItem::Block(block) => {
                    if let Some(full) = self.add(block)? {
                        return Ok(Some(full));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Root of the archive, once its header has been read.
    pub(super) fn root(&self) -> Option<Cid> {
        self.root
    }

    /// The last segment, if the archive is complete.
    pub(super) fn finish(self) -> Result<RawSegment, ClusterError> {
        self.decoder.finish()?;
        let root = self.root.ok_or(ClusterError::Roots(0))?;
        if !self.seen.contains(&digest(&root)?) {
            return Err(ClusterError::Incomplete { root, missing: root });
        }
        match self.missing.into_values().min() {
            Some(missing) => Err(ClusterError::Incomplete { root, missing }),
            None => Ok(self.segment),
        }
    }

    fn add(&mut self, block: Block) -> Result<Option<RawSegment>, ClusterError> {
        let name = digest(&block.cid)?;
        if !self.seen.insert(name) {
            return Ok(None);
        }
        self.missing.remove(&name);
        for link in links(&block.cid, &block.bytes).map_err(|source| ClusterError::Node { cid: block.cid, source })? {
            let name = digest(&link)?;
            if !self.seen.contains(&name) {
                self.missing.insert(name, link);
            }
        }
        if self.seen.len() + self.missing.len() > BLOCKS_MAX {
            return Err(ClusterError::Blocks);
        }
        let fits = self.segment.bytes.len() + block.bytes.len() <= SEGMENT_BYTES_MAX;
        let full = (!fits).then(|| std::mem::take(&mut self.segment));
        self.segment.blocks.push(BlockRecord { cid: normalise(&block.cid)?, bytes: block.bytes.len() as u32 });
        self.segment.bytes.extend_from_slice(&block.bytes);
        Ok(full)
    }
}

fn only_root(roots: &[Cid]) -> Result<Cid, ClusterError> {
    match roots {
        [root] => Ok(normalise(root)?),
        _ => Err(ClusterError::Roots(roots.len())),
    }
}
