//! Read a file, or a range of it, from the blocks of its DAG.
//!
//! A planner walks the tree depth-first and skips every part outside the range; leaves are then fetched a few ahead
//! of the reader. Every block is checked against its CID, and every part against the size its parent claims, so the
//! reader ends with exactly the bytes asked for or with an error.

use super::node::{DagNode, Kind, NodeError, UnixFs};
use crate::block::{BlockError, BlockSource, verified};
use bytes::Bytes;
use cid::Cid;
use futures::stream::{BoxStream, StreamExt, TryStreamExt, try_unfold};
use protocol::content::RAW;
use std::ops::Range;
use std::sync::Arc;

/// Deepest tree that is read. A full tree of 1024 links and 1 MiB leaves reaches 2^60 bytes at depth 4.
pub const DEPTH_MAX: usize = 16;

/// Leaves fetched ahead of the reader.
const READ_AHEAD: usize = 4;

/// Bytes of a file in order; an error ends the stream.
pub type ByteStream = BoxStream<'static, Result<Bytes, ReadError>>;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A block cannot be had or is wrong.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A block is not a node.
    #[error("{cid} is not readable: {source}")]
    Node {
        /// The block.
        cid: Cid,
        /// What is wrong with it.
        source: NodeError,
    },
    /// The DAG is something else than a file.
    #[error("{cid} is a {kind:?}, not a file")]
    NotAFile {
        /// The block.
        cid: Cid,
        /// What it is.
        kind: Kind,
    },
    /// A node contradicts itself or its parent.
    #[error("{cid} has {found} bytes of file, its parent claims {claimed}")]
    Size {
        /// The block.
        cid: Cid,
        /// Bytes that it has.
        found: u64,
        /// Bytes that were claimed.
        claimed: u64,
    },
    /// Links and block sizes of a node differ in number.
    #[error("{cid} has {links} links and {sizes} block sizes")]
    Links {
        /// The block.
        cid: Cid,
        /// Its links.
        links: usize,
        /// Its block sizes.
        sizes: usize,
    },
    /// The tree is too deep.
    #[error("{cid} stands {DEPTH_MAX} levels below the root of its file, which is the limit")]
    Depth {
        /// The block.
        cid: Cid,
    },
}

/// A file that is being read.
pub struct File {
    /// Size of the whole file in bytes.
    pub size: u64,
    /// The part that `stream` carries: the range asked for, clamped to the file.
    pub range: Range<u64>,
    /// Its bytes.
    pub stream: ByteStream,
}

/// A part of the tree that is still to be visited.
struct Part {
    cid: Cid,
    /// Offset of the part in the file.
    start: u64,
    /// Its size as its parent claims.
    size: u64,
    depth: usize,
}

/// What the planner hands to the fetcher.
enum Piece {
    Inline(Bytes),
    Leaf { cid: Cid, size: u64, take: Range<u64> },
}

/// Opens the file `root` of `source`; `None` reads all of it.
///
/// Fails at once when the root is missing or not a file; later failures end the stream.
pub async fn read<S>(source: Arc<S>, root: Cid, range: Option<Range<u64>>) -> Result<File, ReadError>
where
    S: BlockSource + ?Sized + 'static,
{
    let bytes = verified(&*source, &root).await?;
    let (size, pieces) = if root.codec() == RAW {
        (bytes.len() as u64, None)
    } else {
        let node = file_node(&root, &bytes)?;
        (node.0.file_size.unwrap_or(0), Some(node))
    };
    let range = range.map_or(0..size, |r| r.start.min(size)..r.end.min(size));
    let range = range.start..range.end.max(range.start);
    let Some(node) = pieces else {
        let part = slice(&bytes, 0, &range);
        return Ok(File { size, range, stream: futures::stream::iter([Ok(part)]).boxed() });
    };
    let stream = stream(source, root, node, range.clone());
    Ok(File { size, range, stream })
}

fn stream<S>(source: Arc<S>, root: Cid, node: (UnixFs, Vec<Cid>), range: Range<u64>) -> ByteStream
where
    S: BlockSource + ?Sized + 'static,
{
    let mut planner = Planner { source: source.clone(), range, stack: Vec::new(), inline: None };
    let first = planner.expand(&Part { cid: root, start: 0, size: node.0.file_size.unwrap_or(0), depth: 0 }, node);
    let planned = futures::stream::once(async move { first.map(|()| planner) })
        .map_ok(|planner| try_unfold(planner, |mut p| async move { Ok(p.next().await?.map(|piece| (piece, p))) }))
        .try_flatten();
    planned.map_ok(move |piece| fetch(source.clone(), piece)).try_buffered(READ_AHEAD).boxed()
}

async fn fetch<S: BlockSource + ?Sized>(source: Arc<S>, piece: Piece) -> Result<Bytes, ReadError> {
    match piece {
        Piece::Inline(bytes) => Ok(bytes),
        Piece::Leaf { cid, size, take } => {
            let bytes = verified(&*source, &cid).await?;
            if bytes.len() as u64 != size {
                return Err(ReadError::Size { cid, found: bytes.len() as u64, claimed: size });
            }
            Ok(bytes.slice(take.start as usize..take.end as usize))
        }
    }
}

struct Planner<S: ?Sized> {
    source: Arc<S>,
    range: Range<u64>,
    /// Parts to visit, the next one last.
    stack: Vec<Part>,
    inline: Option<Bytes>,
}

impl<S: BlockSource + ?Sized> Planner<S> {
    async fn next(&mut self) -> Result<Option<Piece>, ReadError> {
        loop {
            if let Some(bytes) = self.inline.take() {
                return Ok(Some(Piece::Inline(bytes)));
            }
            let Some(part) = self.stack.pop() else { return Ok(None) };
            if part.cid.codec() == RAW {
                let take = overlap(part.start, part.size, &self.range);
                return Ok(Some(Piece::Leaf { cid: part.cid, size: part.size, take }));
            }
            if part.depth == DEPTH_MAX {
                return Err(ReadError::Depth { cid: part.cid });
            }
            let bytes = verified(&*self.source, &part.cid).await?;
            let node = file_node(&part.cid, &bytes)?;
            self.expand(&part, node)?;
        }
    }

    /// Queues the data of a node and those of its children that overlap the range.
    fn expand(&mut self, part: &Part, (node, links): (UnixFs, Vec<Cid>)) -> Result<(), ReadError> {
        let own = node.data.len() as u64;
        let total = node.block_sizes.iter().try_fold(own, |sum, size| sum.checked_add(*size)).unwrap_or(u64::MAX);
        if total != part.size {
            return Err(ReadError::Size { cid: part.cid, found: total, claimed: part.size });
        }
        let inline = slice(&node.data, part.start, &self.range);
        self.inline = (!inline.is_empty()).then_some(inline);
        let mut start = part.start + own;
        let mut children = Vec::new();
        for (cid, size) in links.into_iter().zip(&node.block_sizes) {
            // Empty parts are never visited, so the work is bounded by the bytes that come out.
            if !overlap(start, *size, &self.range).is_empty() {
                children.push(Part { cid, start, size: *size, depth: part.depth + 1 });
            }
            start += size;
        }
        self.stack.extend(children.into_iter().rev());
        Ok(())
    }
}

/// The node and its links, if it is (a part of) a file.
fn file_node(cid: &Cid, bytes: &Bytes) -> Result<(UnixFs, Vec<Cid>), ReadError> {
    let broken = |source| ReadError::Node { cid: *cid, source };
    let node = DagNode::decode(bytes).map_err(broken)?;
    let data = node.data.ok_or(NodeError::UnixFs("node without data")).map_err(broken)?;
    let mut message = UnixFs::decode(&data).map_err(broken)?;
    if !matches!(message.kind, Kind::File | Kind::Raw) {
        return Err(ReadError::NotAFile { cid: *cid, kind: message.kind });
    }
    if node.links.len() != message.block_sizes.len() {
        return Err(ReadError::Links { cid: *cid, links: node.links.len(), sizes: message.block_sizes.len() });
    }
    let whole = message.block_sizes.iter().try_fold(message.data.len() as u64, |sum, size| sum.checked_add(*size));
    let whole = whole.ok_or(NodeError::UnixFs("sizes beyond 64 bits")).map_err(broken)?;
    let claimed = *message.file_size.get_or_insert(whole);
    if claimed != whole {
        return Err(ReadError::Size { cid: *cid, found: whole, claimed });
    }
    Ok((message, node.links.into_iter().map(|link| link.cid).collect()))
}

/// The part of `start..start + size` inside `range`, relative to `start`; empty if none.
fn overlap(start: u64, size: u64, range: &Range<u64>) -> Range<u64> {
    let from = range.start.clamp(start, start + size) - start;
    let to = range.end.clamp(start, start + size) - start;
    from..to.max(from)
}

fn slice(bytes: &Bytes, start: u64, range: &Range<u64>) -> Bytes {
    let part = overlap(start, bytes.len() as u64, range);
    bytes.slice(part.start as usize..part.end as usize)
}
