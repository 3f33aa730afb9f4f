//! What can go wrong with a file on many nodes.

use crate::block::BlockError;
use crate::car::{BLOCKS_MAX, CarError, WalkError};
use crate::catalogue::CatalogueError;
use crate::erasure::ErasureError;
use crate::manifest::ManifestError;
use crate::unixfs::{NodeError, ReadError};
use alloy_primitives::Address;
use cid::Cid;
use std::fmt;

/// Most nodes that an error names.
const NAMED_MAX: usize = 16;

/// Nodes that did not answer, as the end of a message; nothing if there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Silent(pub Vec<Address>);

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, address) in self.0.iter().take(NAMED_MAX).enumerate() {
            write!(f, "{}{address}", if i == 0 { "; nodes not answering: " } else { ", " })?;
        }
        match self.0.len().checked_sub(NAMED_MAX) {
            Some(more) if more > 0 => write!(f, " and {more} more"),
            _ => Ok(()),
        }
    }
}

/// Why the cluster could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// There are no nodes to store on.
    #[error("no storage nodes are registered")]
    NoNodes,
    /// The upload broke off.
    #[error("upload ended early: {0}")]
    Upload(std::io::Error),
    /// The upload is not a CARv1 archive of blocks that can be stored.
    #[error(transparent)]
    Car(#[from] CarError),
    /// The archive has no root, or several.
    #[error("archive has {0} roots, exactly one is needed")]
    Roots(usize),
    /// A block points to one that the archive does not have.
    #[error("archive of {root} lacks block {missing}")]
    Incomplete {
        /// Root of the archive.
        root: Cid,
        /// First block found to be missing.
        missing: Cid,
    },
    /// A dag-pb block cannot be read.
    #[error("{cid}: {source}")]
    Node {
        /// The block.
        cid: Cid,
        /// What is wrong with it.
        source: NodeError,
    },
    /// Too many blocks.
    #[error("archive has more than {BLOCKS_MAX} blocks")]
    Blocks,
    /// The manifest of the archive would be too large.
    #[error("archive is too large: {0}")]
    TooLarge(ManifestError),
    /// Too few nodes took a shard of a segment.
    #[error("segment {segment} of {root}: {placed} of {n} shards stored, {needed} needed{}", Reasons(.refused))]
    NotStored {
        /// Root of the archive.
        root: Cid,
        /// Position of the segment.
        segment: usize,
        /// Shards stored.
        placed: usize,
        /// Shards of the segment.
        n: usize,
        /// Shards needed.
        needed: usize,
        /// What the nodes answered that did not take one.
        refused: Vec<(Address, String)>,
    },
    /// Too few nodes took the manifest.
    #[error("manifest of {root} stored on {placed} nodes, {needed} needed{}", Reasons(.refused))]
    ManifestNotStored {
        /// Root of the archive.
        root: Cid,
        /// Nodes that keep it.
        placed: usize,
        /// Nodes needed.
        needed: usize,
        /// What the other nodes answered.
        refused: Vec<(Address, String)>,
    },
    /// Nobody knows the block.
    #[error("{cid} is not stored in this network")]
    Unknown {
        /// Block asked for.
        cid: Cid,
    },
    /// Nobody who answered knows the block, but those who did not answer may.
    #[error("{cid} was not found{silent}")]
    Undecided {
        /// Block asked for.
        cid: Cid,
        /// Nodes that did not answer.
        silent: Silent,
    },
    /// Too few shards of a segment can be had.
    #[error("segment {segment} of {root}: {reachable} of {n} shards reachable, {needed} needed{silent}")]
    Unavailable {
        /// Root of the DAG.
        root: Cid,
        /// Position of the segment.
        segment: usize,
        /// Healthy shards found.
        reachable: usize,
        /// Shards of the segment.
        n: usize,
        /// Shards needed.
        needed: usize,
        /// Nodes that did not answer.
        silent: Silent,
    },
    /// The manifest is false: its shards are there, but do not contain what it says.
    #[error("manifest of {root} is false: segment {segment} does not contain {cid}")]
    FalseManifest {
        /// Root that the manifest claims.
        root: Cid,
        /// Segment.
        segment: usize,
        /// Block that should be in it.
        cid: Cid,
    },
    /// The block cannot be stored here at all.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The DAG cannot be walked.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The index failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// Shards of a segment do not fit together.
    #[error(transparent)]
    Erasure(#[from] ErasureError),
}

impl ClusterError {
    /// Whether the same request may succeed later without a new upload.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::NoNodes
                | Self::NotStored { .. }
                | Self::ManifestNotStored { .. }
                | Self::Undecided { .. }
                | Self::Unavailable { .. }
                | Self::Catalogue(_)
                | Self::Read(ReadError::Block(BlockError::Unavailable { .. }))
                | Self::Walk(WalkError::Block(BlockError::Unavailable { .. }))
        )
    }

    /// Whether nothing of that name is stored.
    pub fn is_unknown(&self) -> bool {
        matches!(
            self,
            Self::Unknown { .. }
                | Self::Read(ReadError::Block(BlockError::Unknown { .. }))
                | Self::Walk(WalkError::Block(BlockError::Unknown { .. }))
        )
    }
}

struct Reasons<'a>(&'a [(Address, String)]);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(NAMED_MAX).try_for_each(|(address, reason)| write!(f, "; {address} {reason}"))
    }
}
