//! Write the DAG below a root as an archive.

use super::{BLOCKS_MAX, header, section_prefix};
use crate::block::{BlockError, BlockSource, digest, verified};
use crate::unixfs::{DagNode, NodeError};
use alloy_primitives::B256;
use bytes::Bytes;
use cid::Cid;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt, try_unfold};
use protocol::content::DAG_PB;
use std::collections::HashSet;
use std::sync::Arc;

/// Bytes of an archive in order; an error ends the stream.
pub type CarStream = BoxStream<'static, Result<Bytes, WalkError>>;

/// Why a DAG cannot be walked to its end.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// A block cannot be had or is wrong.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A dag-pb block is not a node.
    #[error("{cid}: {source}")]
    Node {
        /// The block.
        cid: Cid,
        /// What is wrong with it.
        source: NodeError,
    },
    /// The DAG is too large to walk.
    #[error("DAG below {root} has more than {BLOCKS_MAX} blocks")]
    Blocks {
        /// Where the walk began.
        root: Cid,
    },
}

/// The blocks that a block points to, in order.
pub fn links(cid: &Cid, bytes: &Bytes) -> Result<Vec<Cid>, NodeError> {
    if cid.codec() != DAG_PB {
        return Ok(Vec::new());
    }
    Ok(DagNode::decode(bytes)?.links.into_iter().map(|link| link.cid).collect())
}

/// The DAG below `root` as CARv1, depth-first, each block once. Fails at once when the root cannot be had.
pub async fn car_stream<S>(root: Cid, source: Arc<S>) -> Result<CarStream, WalkError>
where
    S: BlockSource + ?Sized + 'static,
{
    let walk = Walk { root, source, stack: vec![root], seen: HashSet::new() };
    let (first, walk) = walk.step().await?.expect("the root itself is visited");
    let head = stream::iter(std::iter::once(header(&root)).chain(first).map(Ok));
    let rest = try_unfold(walk, Walk::step).map_ok(|section| stream::iter(section.into_iter().map(Ok))).try_flatten();
    Ok(head.chain(rest).boxed())
}

struct Walk<S: ?Sized> {
    root: Cid,
    source: Arc<S>,
    /// Blocks to visit, the next one last.
    stack: Vec<Cid>,
    seen: HashSet<B256>,
}

impl<S: BlockSource + ?Sized> Walk<S> {
    /// The next section, its prefix and its block, and the rest of the walk.
    async fn step(mut self) -> Result<Option<([Bytes; 2], Self)>, WalkError> {
        while let Some(cid) = self.stack.pop() {
            if !self.seen.insert(digest(&cid)?) {
                continue;
            }
            if self.seen.len() > BLOCKS_MAX {
                return Err(WalkError::Blocks { root: self.root });
            }
            let bytes = verified(&*self.source, &cid).await?;
            let children = links(&cid, &bytes).map_err(|source| WalkError::Node { cid, source })?;
            self.stack.extend(children.into_iter().rev());
            return Ok(Some(([section_prefix(&cid, bytes.len()), bytes], self)));
        }
        Ok(None)
    }
}
