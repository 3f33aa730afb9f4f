//! Build the DAG of a file from a stream of bytes, by a CID profile.
//!
//! Leaves are sealed as soon as they are full, and an inner node as soon as it has all its links, so memory is one
//! leaf and at most `links` links per level, whatever the size of the file. A file of a single chunk is its leaf.
//! Source: IPIP-499 (`unixfs-v1-2025`, `unixfs-v0-2015`), balanced layout.

use super::node::{DagLink, DagNode, Kind, UnixFs};
use crate::block::Block;
use bytes::Bytes;
use cid::Cid;
use protocol::content::{DAG_PB, cid_of_digest, raw_cid, sha256};

/// How a file becomes blocks: two tools with the same profile give a file the same CID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Bytes of file in one leaf (1..=1 MiB).
    chunk_bytes: usize,
    /// Links of an inner node (2..=1024).
    links: usize,
    /// Leaves are raw blocks and CIDs have version 1; otherwise dag-pb leaves and version 0.
    raw_leaves: bool,
}

impl Profile {
    /// `unixfs-v1-2025`: CIDv1, raw leaves of 1 MiB, 1024 links. What this network stores.
    pub const V1_2025: Self = Self { chunk_bytes: 1024 * 1024, links: 1024, raw_leaves: true };
    /// `unixfs-v0-2015`: CIDv0, dag-pb leaves of 256 KiB, 174 links. To recompute CIDs of older tools.
    pub const V0_2015: Self = Self { chunk_bytes: 256 * 1024, links: 174, raw_leaves: false };

    /// The profile with this name in IPIP-499.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "unixfs-v1-2025" => Some(Self::V1_2025),
            "unixfs-v0-2015" => Some(Self::V0_2015),
            _ => None,
        }
    }
}

/// What an import produced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Root of the file.
    pub root: Cid,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes of all blocks given to the sink.
    pub dag_bytes: u64,
    /// Blocks given to the sink.
    pub blocks: u64,
}

/// Streaming importer. Blocks go to the sink children first; the root comes last.
pub struct Importer {
    profile: Profile,
    chunk: Vec<u8>,
    /// Links waiting for a parent, leaves at level 0.
    levels: Vec<Vec<Child>>,
    total: Imported,
}

struct Child {
    cid: Cid,
    file_bytes: u64,
    dag_bytes: u64,
}

impl Default for Importer {
    fn default() -> Self {
        Self::new(Profile::V1_2025)
    }
}

impl Importer {
    /// An importer of one file.
    pub fn new(profile: Profile) -> Self {
        let total = Imported { root: raw_cid(b""), file_bytes: 0, dag_bytes: 0, blocks: 0 };
        Self { profile, chunk: Vec::new(), levels: vec![Vec::new()], total }
    }

    /// Takes the next bytes of the file; `sink` receives every block that is complete.
    pub fn push(&mut self, mut data: &[u8], sink: &mut impl FnMut(Block)) {
        while !data.is_empty() {
            // A full chunk waits for the next byte, so that the last leaf of a file is never empty.
            if self.chunk.len() == self.profile.chunk_bytes {
                self.seal_leaf(sink);
            }
            let taken = data.len().min(self.profile.chunk_bytes - self.chunk.len());
            self.chunk.extend_from_slice(&data[..taken]);
            data = &data[taken..];
        }
    }

    /// Ends the file and returns its root.
    pub fn finish(mut self, sink: &mut impl FnMut(Block)) -> Imported {
        self.seal_leaf(sink);
        let mut level = 0;
        loop {
            let top = level + 1 == self.levels.len();
            if top && self.levels[level].len() == 1 {
                self.total.root = self.levels[level][0].cid;
                return self.total;
            }
            if !self.levels[level].is_empty() {
                self.seal_node(level, sink);
            }
            level += 1;
        }
    }

    fn seal_leaf(&mut self, sink: &mut impl FnMut(Block)) {
        let chunk = Bytes::from(std::mem::take(&mut self.chunk));
        let file_bytes = chunk.len() as u64;
        let block = if self.profile.raw_leaves {
            Block { cid: raw_cid(&chunk), bytes: chunk }
        } else {
            self.node_block(
                &[],
                UnixFs { kind: Kind::File, data: chunk, file_size: Some(file_bytes), block_sizes: vec![] },
            )
        };
        self.total.file_bytes += file_bytes;
        self.add(0, file_bytes, 0, block, sink);
    }

    fn seal_node(&mut self, level: usize, sink: &mut impl FnMut(Block)) {
        let children = std::mem::take(&mut self.levels[level]);
        let file_bytes = children.iter().map(|c| c.file_bytes).sum();
        let below = children.iter().map(|c| c.dag_bytes).sum();
        let block_sizes = children.iter().map(|c| c.file_bytes).collect();
        let message = UnixFs { kind: Kind::File, data: Bytes::new(), file_size: Some(file_bytes), block_sizes };
        let block = self.node_block(&children, message);
        self.add(level + 1, file_bytes, below, block, sink);
    }

    fn node_block(&self, children: &[Child], message: UnixFs) -> Block {
        let link = |c: &Child| DagLink { cid: c.cid, name: Some(String::new()), size: Some(c.dag_bytes) };
        let node = DagNode { links: children.iter().map(link).collect(), data: Some(message.encode().into()) };
        let bytes = Bytes::from(node.encode());
        let v1 = cid_of_digest(DAG_PB, sha256(&bytes));
        let cid = if self.profile.raw_leaves { v1 } else { Cid::new_v0(*v1.hash()).expect("dag-pb with SHA-256") };
        Block { cid, bytes }
    }

    /// Hands a block to the sink and its link to `level`; a level that is full becomes a node of the next one.
    fn add(&mut self, level: usize, file_bytes: u64, below: u64, block: Block, sink: &mut impl FnMut(Block)) {
        if level == self.levels.len() {
            self.levels.push(Vec::new());
        }
        let own = block.bytes.len() as u64;
        self.levels[level].push(Child { cid: block.cid, file_bytes, dag_bytes: below + own });
        self.total.dag_bytes += own;
        self.total.blocks += 1;
        sink(block);
        if self.levels[level].len() == self.profile.links {
            self.seal_node(level, sink);
        }
    }
}
