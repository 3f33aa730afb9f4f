//! dag-pb nodes and the UnixFS message inside them.
//!
//! Source: the dag-pb specification (IPLD), and the UnixFS specification with its `Data` message.
//! Decoding is strict as dag-pb demands: known fields only, links in one run, nothing left over.

use super::wire::{Field, field, put_bytes, put_uint};
use bytes::Bytes;
use cid::Cid;

/// Most links in one node.
pub const LINKS_MAX: usize = 32_768;

/// Why bytes are not a node that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The bytes are not dag-pb.
    #[error("not a dag-pb node: {0}")]
    DagPb(&'static str),
    /// The data of the node is not UnixFS.
    #[error("not a UnixFS node: {0}")]
    UnixFs(&'static str),
    /// More links than a node may have.
    #[error("node has more than {LINKS_MAX} links")]
    Links,
}

/// A link of a dag-pb node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DagLink {
    /// What it points to.
    pub cid: Cid,
    /// Its name; files use the empty name.
    pub name: Option<String>,
    /// Bytes of all blocks below, as the builder claims.
    pub size: Option<u64>,
}

/// A dag-pb node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DagNode {
    /// Links in the order stored.
    pub links: Vec<DagLink>,
    /// Payload.
    pub data: Option<Bytes>,
}

impl DagNode {
    /// Canonical bytes: links first, in the order given, then data.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for link in &self.links {
            put_bytes(&mut out, 2, &link.encode());
        }
        if let Some(data) = &self.data {
            put_bytes(&mut out, 1, data);
        }
        out
    }

    /// Reads a node; the data shares the memory of `bytes`.
    pub fn decode(bytes: &Bytes) -> Result<Self, NodeError> {
        let mut node = Self::default();
        let mut rest = &bytes[..];
        let mut links_closed = false;
        while !rest.is_empty() {
            let (next, tail) = field(rest).ok_or(NodeError::DagPb("broken field"))?;
            rest = tail;
            match next {
                Field::Bytes(1, _) if node.data.is_some() => return Err(NodeError::DagPb("data twice")),
                Field::Bytes(1, data) => {
                    node.data = Some(bytes.slice_ref(data));
                    links_closed = !node.links.is_empty();
                }
                Field::Bytes(2, _) if links_closed => return Err(NodeError::DagPb("links in two runs")),
                Field::Bytes(2, _) if node.links.len() == LINKS_MAX => return Err(NodeError::Links),
                Field::Bytes(2, link) => node.links.push(DagLink::decode(link)?),
                _ => return Err(NodeError::DagPb("unknown field")),
            }
        }
        Ok(node)
    }
}

impl DagLink {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, 1, &self.cid.to_bytes());
        if let Some(name) = &self.name {
            put_bytes(&mut out, 2, name.as_bytes());
        }
        if let Some(size) = self.size {
            put_uint(&mut out, 3, size);
        }
        out
    }

    fn decode(mut rest: &[u8]) -> Result<Self, NodeError> {
        let (mut cid, mut name, mut size) = (None, None, None);
        while !rest.is_empty() {
            let (next, tail) = field(rest).ok_or(NodeError::DagPb("broken field in a link"))?;
            rest = tail;
            match next {
                Field::Bytes(1, bytes) if cid.is_none() => cid = Some(link_cid(bytes)?),
                Field::Bytes(2, bytes) if name.is_none() => {
                    let text = std::str::from_utf8(bytes).map_err(|_| NodeError::DagPb("link name is not UTF-8"))?;
                    name = Some(text.to_owned());
                }
                Field::Uint(3, value) if size.is_none() => size = Some(value),
                _ => return Err(NodeError::DagPb("unknown or repeated field in a link")),
            }
        }
        Ok(Self { cid: cid.ok_or(NodeError::DagPb("link without a CID"))?, name, size })
    }
}

fn link_cid(bytes: &[u8]) -> Result<Cid, NodeError> {
    let cid = Cid::try_from(bytes).map_err(|_| NodeError::DagPb("link with a broken CID"))?;
    if cid.to_bytes() != bytes {
        return Err(NodeError::DagPb("link with bytes after its CID"));
    }
    Ok(cid)
}

/// What a UnixFS node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes, as older builders write leaves.
    Raw,
    /// A directory.
    Directory,
    /// A file, or a part of one.
    File,
    /// A CID of other data.
    Metadata,
    /// A symbolic link.
    Symlink,
    /// A directory spread over a hash trie.
    Sharded,
}

impl Kind {
    fn of(value: u64) -> Option<Self> {
        [Self::Raw, Self::Directory, Self::File, Self::Metadata, Self::Symlink, Self::Sharded]
            .get(usize::try_from(value).ok()?)
            .copied()
    }
}

/// The UnixFS message of a node; fields that files do not use are skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixFs {
    /// What the node is.
    pub kind: Kind,
    /// Bytes of the file that stand in this node, before those of its children.
    pub data: Bytes,
    /// Size of the file or part, in bytes.
    pub file_size: Option<u64>,
    /// Size of each child's part, in bytes, in the order of the links.
    pub block_sizes: Vec<u64>,
}

impl UnixFs {
    /// Bytes as the reference implementations write them: type, data if any, size, block sizes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_uint(&mut out, 1, self.kind as u64);
        if !self.data.is_empty() {
            put_bytes(&mut out, 2, &self.data);
        }
        if let Some(size) = self.file_size {
            put_uint(&mut out, 3, size);
        }
        for size in &self.block_sizes {
            put_uint(&mut out, 4, *size);
        }
        out
    }

    /// Reads the message from the data of a dag-pb node.
    pub fn decode(bytes: &Bytes) -> Result<Self, NodeError> {
        let mut kind = None;
        let mut node = Self { kind: Kind::File, data: Bytes::new(), file_size: None, block_sizes: Vec::new() };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (next, tail) = field(rest).ok_or(NodeError::UnixFs("broken field"))?;
            rest = tail;
            match next {
                Field::Uint(1, value) => kind = Some(Kind::of(value).ok_or(NodeError::UnixFs("unknown type"))?),
                Field::Bytes(2, data) => node.data = bytes.slice_ref(data),
                Field::Uint(3, size) => node.file_size = Some(size),
                Field::Uint(4, _) if node.block_sizes.len() == LINKS_MAX => return Err(NodeError::Links),
                Field::Uint(4, size) => node.block_sizes.push(size),
                Field::Bytes(4, packed) => node.push_packed_sizes(packed)?,
                Field::Uint(..) | Field::Bytes(..) => {}
            }
        }
        node.kind = kind.ok_or(NodeError::UnixFs("type missing"))?;
        Ok(node)
    }

    fn push_packed_sizes(&mut self, mut packed: &[u8]) -> Result<(), NodeError> {
        while !packed.is_empty() {
            let (size, rest) = super::wire::varint(packed).ok_or(NodeError::UnixFs("broken block size"))?;
            if self.block_sizes.len() == LINKS_MAX {
                return Err(NodeError::Links);
            }
            self.block_sizes.push(size);
            packed = rest;
        }
        Ok(())
    }
}
