//! CARv1: a DAG as one stream of bytes.
//!
//! ```text
//! varint length │ dag-cbor {roots: [CID…], version: 1} │ (varint length │ CID │ block)*
//! ```
//!
//! [`CarDecoder`] reads a stream of untrusted bytes in pieces of any size, within limits, and checks every block
//! against its CID. [`car_stream`] writes the DAG below a root depth-first, each block once, which is the order that
//! trustless gateways promise (`order=dfs; dups=n`). Source: the CARv1 specification (IPLD).

mod decoder;
mod walk;

pub use decoder::{CarDecoder, CarError, CarItem};
pub use walk::{CarStream, WalkError, car_stream, links};

use crate::block::BLOCK_BYTES_MAX;
use crate::unixfs::wire::put_varint;
use bytes::Bytes;
use cid::Cid;

/// Largest header, in bytes.
pub const HEADER_BYTES_MAX: usize = 4096;
/// Most roots in a header.
pub const ROOTS_MAX: usize = 64;
/// Longest CID, in bytes.
pub const CID_BYTES_MAX: usize = 128;
/// Largest section: CID and block.
const SECTION_BYTES_MAX: usize = BLOCK_BYTES_MAX + CID_BYTES_MAX;
/// Most blocks in one archive that is read or written here.
pub const BLOCKS_MAX: usize = 262_144;

const _: () = assert!(HEADER_BYTES_MAX < SECTION_BYTES_MAX);

/// Header bytes of an archive with one root.
pub fn header(root: &Cid) -> Bytes {
    let cid = root.to_bytes();
    let mut body = b"\xa2\x65roots\x81\xd8\x2a\x58".to_vec();
    body.push(cid.len() as u8 + 1);
    body.push(0);
    body.extend_from_slice(&cid);
    body.extend_from_slice(b"\x67version\x01");
    let mut out = Vec::with_capacity(body.len() + 2);
    put_varint(&mut out, body.len() as u64);
    out.extend(body);
    out.into()
}

/// What stands before the bytes of a block: the length of its section, and its CID.
pub fn section_prefix(cid: &Cid, block_bytes: usize) -> Bytes {
    let cid = cid.to_bytes();
    let mut out = Vec::with_capacity(cid.len() + 5);
    put_varint(&mut out, (cid.len() + block_bytes) as u64);
    out.extend(cid);
    out.into()
}

/// Bytes of an archive with one root, given the number and the total size of its blocks under CIDs of `cid_bytes`.
pub fn section_bytes(cid: &Cid, block_bytes: usize) -> u64 {
    (section_prefix(cid, block_bytes).len() + block_bytes) as u64
}

#[cfg(test)]
mod tests;
