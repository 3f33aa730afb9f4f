//! Read CARv1 from bytes that arrive in pieces.

use super::{CID_BYTES_MAX, HEADER_BYTES_MAX, ROOTS_MAX, SECTION_BYTES_MAX};
use crate::block::{self, Block, BlockError};
use crate::unixfs::wire::varint;
use bytes::{Buf, Bytes, BytesMut};
use ciborium::Value;
use cid::Cid;

/// Longest varint that is read, in bytes: enough for every length within the limits.
const VARINT_BYTES_MAX: usize = 5;

/// Why an archive is refused.
#[derive(Debug, thiserror::Error)]
pub enum CarError {
    /// The header is not CARv1.
    #[error("not a CARv1 archive: {0}")]
    Header(&'static str),
    /// The header has a version other than 1.
    #[error("CAR version {0} is not supported, only version 1")]
    Version(u64),
    /// A length is beyond its limit.
    #[error("section at byte {at} has {bytes} bytes, at most {max} are allowed")]
    Length {
        /// Where the section begins.
        at: u64,
        /// Its length.
        bytes: u64,
        /// The limit.
        max: usize,
    },
    /// A section does not begin with a CID.
    #[error("section at byte {at} does not begin with a CID")]
    Cid {
        /// Where the section begins.
        at: u64,
    },
    /// A block is not what its CID names, or is of a kind that is not stored.
    #[error("block at byte {at}: {source}")]
    Block {
        /// Where its section begins.
        at: u64,
        /// What is wrong.
        source: BlockError,
    },
    /// The bytes end inside a section.
    #[error("archive ends at byte {at}, inside a section")]
    Truncated {
        /// Bytes read.
        at: u64,
    },
    /// The archive is empty.
    #[error("archive is empty")]
    Empty,
}

/// What an archive holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CarItem {
    /// The roots, first of all.
    Header(Vec<Cid>),
    /// A block, checked against its CID.
    Block(Block),
}

/// Decoder without input of its own: push bytes, take items until there are none, and finish.
///
/// Holds at most one section and the bytes pushed last.
#[derive(Default)]
pub struct CarDecoder {
    buffer: BytesMut,
    /// Bytes consumed so far.
    at: u64,
    header_read: bool,
}

impl CarDecoder {
    /// A decoder at the beginning of an archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes. Take all items before the next push, so that the buffer stays small.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next item, or `None` when more bytes are needed.
    pub fn next_item(&mut self) -> Result<Option<CarItem>, CarError> {
        let at = self.at;
        let max = if self.header_read { SECTION_BYTES_MAX } else { HEADER_BYTES_MAX };
        let Some(section) = self.section(max)? else { return Ok(None) };
        if self.header_read {
            return block_of(at, section).map(|b| Some(CarItem::Block(b)));
        }
        self.header_read = true;
        header_roots(&section).map(|roots| Some(CarItem::Header(roots)))
    }

    /// Ends the archive; fails when it stops inside a section.
    pub fn finish(self) -> Result<(), CarError> {
        match (self.header_read, self.buffer.is_empty()) {
            (true, true) => Ok(()),
            (false, true) => Err(CarError::Empty),
            _ => Err(CarError::Truncated { at: self.at + self.buffer.len() as u64 }),
        }
    }

    fn section(&mut self, max: usize) -> Result<Option<Bytes>, CarError> {
        let head = &self.buffer[..self.buffer.len().min(VARINT_BYTES_MAX)];
        let Some((bytes, rest)) = varint(head) else {
            if head.len() == VARINT_BYTES_MAX {
                return Err(CarError::Length { at: self.at, bytes: u64::MAX, max });
            }
            return Ok(None);
        };
        let prefix = head.len() - rest.len();
        if bytes > max as u64 {
            return Err(CarError::Length { at: self.at, bytes, max });
        }
        let bytes = bytes as usize;
        if self.buffer.len() < prefix + bytes {
            self.buffer.reserve(prefix + bytes - self.buffer.len());
            return Ok(None);
        }
        self.buffer.advance(prefix);
        self.at += (prefix + bytes) as u64;
        Ok(Some(self.buffer.split_to(bytes).freeze()))
    }
}

fn block_of(at: u64, section: Bytes) -> Result<Block, CarError> {
    let head = &section[..section.len().min(CID_BYTES_MAX)];
    let mut rest = head;
    let cid = Cid::read_bytes(&mut rest).map_err(|_| CarError::Cid { at })?;
    let used = head.len() - rest.len();
    // A copy gives the block its own memory; a slice would keep the whole read buffer alive as long as the block.
    let bytes = Bytes::copy_from_slice(&section[used..]);
    block::check(&cid, &bytes).map_err(|source| CarError::Block { at, source })?;
    Ok(Block { cid, bytes })
}

fn header_roots(header: &[u8]) -> Result<Vec<Cid>, CarError> {
    let mut rest = header;
    let value: Value = ciborium::from_reader(&mut rest).map_err(|_| CarError::Header("header is not CBOR"))?;
    if !rest.is_empty() {
        return Err(CarError::Header("bytes after the header"));
    }
    let map = value.as_map().ok_or(CarError::Header("header is not a map"))?;
    let entry = |name: &str| map.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value);
    let version = entry("version").and_then(Value::as_integer).and_then(|v| u64::try_from(v).ok());
    match version {
        Some(1) => {}
        Some(other) => return Err(CarError::Version(other)),
        None => return Err(CarError::Header("version missing")),
    }
    let roots = entry("roots").and_then(Value::as_array).ok_or(CarError::Header("roots missing"))?;
    if roots.len() > ROOTS_MAX {
        return Err(CarError::Header("more than 64 roots"));
    }
    roots.iter().map(|root| root_cid(root).ok_or(CarError::Header("root is not a CID"))).collect()
}

fn root_cid(value: &Value) -> Option<Cid> {
    let (42, inner) = value.as_tag()? else { return None };
    let bytes = inner.as_bytes()?.strip_prefix(&[0])?;
    let cid = Cid::try_from(bytes).ok()?;
    (cid.to_bytes() == bytes).then_some(cid)
}
