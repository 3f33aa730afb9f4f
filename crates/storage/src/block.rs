//! Blocks: bytes under the CID that names them, and where to ask for them.
//!
//! Only SHA-256 is accepted, with the codecs raw and dag-pb, because a block of another codec hides its links from a
//! walk and a block of another hash could not be checked. A block is named by its digest: CIDv0 and CIDv1 of the same
//! dag-pb bytes are one block.

use alloy_primitives::B256;
use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use protocol::content::{DAG_PB, RAW, cid_of_digest, digest_of_cid, sha256};
use std::fmt::Display;

/// Largest block, in bytes: what IPFS peers exchange.
pub const BLOCK_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Bytes and the CID that they hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Name of the block.
    pub cid: Cid,
    /// Its bytes, at most [`BLOCK_BYTES_MAX`].
    pub bytes: Bytes,
}

/// Why a block is refused or cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// No place that was asked knows the block.
    #[error("{cid} is not stored here")]
    Unknown {
        /// Block asked for.
        cid: Cid,
    },
    /// The block should exist, but cannot be had now.
    #[error("{cid} cannot be read: {reason}")]
    Unavailable {
        /// Block asked for.
        cid: Cid,
        /// What stood in the way.
        reason: String,
    },
    /// The bytes are not what the CID names.
    #[error("{bytes} bytes given as {cid} hash to {digest}")]
    Mismatch {
        /// Name under which the bytes came.
        cid: Cid,
        /// Their SHA-256.
        digest: B256,
        /// Their number.
        bytes: usize,
    },
    /// Hash function other than SHA-256.
    #[error("{cid} uses multihash 0x{code:x}, only 0x12 (sha2-256, 32 bytes) is stored")]
    Hash {
        /// The CID.
        cid: Cid,
        /// Its multihash code.
        code: u64,
    },
    /// Codec other than raw and dag-pb.
    #[error("{cid} uses codec 0x{codec:x}, only 0x55 (raw) and 0x70 (dag-pb) are stored")]
    Codec {
        /// The CID.
        cid: Cid,
        /// Its multicodec.
        codec: u64,
    },
    /// The block is too large.
    #[error("{cid} has {bytes} bytes, at most {BLOCK_BYTES_MAX} are allowed")]
    TooLarge {
        /// The CID.
        cid: Cid,
        /// Its size.
        bytes: usize,
    },
}

impl BlockError {
    /// [`BlockError::Unavailable`] with whatever stood in the way.
    pub fn unavailable(cid: &Cid, reason: impl Display) -> Self {
        Self::Unavailable { cid: *cid, reason: reason.to_string() }
    }
}

/// Where blocks come from: a cluster, a gateway over HTTP, a CAR file, a map in a test. Callers check what they get.
#[async_trait]
pub trait BlockSource: Send + Sync {
    /// The bytes of `cid`, not necessarily checked.
    async fn block(&self, cid: &Cid) -> Result<Bytes, BlockError>;
}

#[async_trait]
impl<S: BlockSource + ?Sized> BlockSource for std::sync::Arc<S> {
    async fn block(&self, cid: &Cid) -> Result<Bytes, BlockError> {
        (**self).block(cid).await
    }
}

/// A block of `source`, checked against its CID and the size limit.
pub async fn verified<S: BlockSource + ?Sized>(source: &S, cid: &Cid) -> Result<Bytes, BlockError> {
    digest(cid)?;
    let bytes = source.block(cid).await?;
    check(cid, &bytes)?;
    Ok(bytes)
}

/// The digest by which `cid` is kept; refuses hashes and codecs that are not stored.
pub fn digest(cid: &Cid) -> Result<B256, BlockError> {
    let digest = digest_of_cid(cid).ok_or(BlockError::Hash { cid: *cid, code: cid.hash().code() })?;
    match cid.codec() {
        RAW | DAG_PB => Ok(digest),
        codec => Err(BlockError::Codec { cid: *cid, codec }),
    }
}

/// Checks that `bytes` are what `cid` names and not too large.
pub fn check(cid: &Cid, bytes: &[u8]) -> Result<(), BlockError> {
    let expected = digest(cid)?;
    if bytes.len() > BLOCK_BYTES_MAX {
        return Err(BlockError::TooLarge { cid: *cid, bytes: bytes.len() });
    }
    let digest = sha256(bytes);
    if digest != expected {
        return Err(BlockError::Mismatch { cid: *cid, digest, bytes: bytes.len() });
    }
    Ok(())
}

/// CIDv1 of the same block, so that one block has one name.
pub fn normalise(cid: &Cid) -> Result<Cid, BlockError> {
    Ok(cid_of_digest(cid.codec(), digest(cid)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cid::multihash::Multihash;
    use protocol::content::raw_cid;

    #[test]
    fn bytes_under_a_foreign_name_are_refused() {
        let cid = raw_cid(b"a");
        assert!(check(&cid, b"a").is_ok());
        assert!(matches!(check(&cid, b"b"), Err(BlockError::Mismatch { bytes: 1, .. })));
    }

    #[test]
    fn the_largest_block_passes_and_one_byte_more_does_not() {
        let bytes = vec![1; BLOCK_BYTES_MAX + 1];
        assert!(check(&raw_cid(&bytes[1..]), &bytes[1..]).is_ok());
        assert!(matches!(check(&raw_cid(&bytes), &bytes), Err(BlockError::TooLarge { .. })));
    }

    #[test]
    fn other_hashes_and_codecs_are_refused_with_their_code() {
        let identity = Cid::new_v1(RAW, Multihash::wrap(0, b"inline").unwrap());
        assert!(matches!(digest(&identity), Err(BlockError::Hash { code: 0, .. })));
        let cbor = cid_of_digest(0x71, sha256(b"x"));
        assert!(matches!(digest(&cbor), Err(BlockError::Codec { codec: 0x71, .. })));
    }

    #[test]
    fn version_zero_and_one_name_the_same_block() {
        let v1 = cid_of_digest(DAG_PB, sha256(b"x"));
        let v0 = Cid::new_v0(*v1.hash()).unwrap();
        assert_eq!(normalise(&v0).unwrap(), v1);
    }
}
