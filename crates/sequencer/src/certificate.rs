//! The proof that a block is final: a quorum's finalization of it or of a descendant, and the headers in between.
//!
//! Finality is inherited: whoever finalises a block finalises its ancestors. A block whose own view was abandoned after
//! a quorum had notarised it has no finalization of its own, so its proof names a descendant that has one.

use crate::block::Header;
use crate::limits::CERTIFICATE_HEADERS_MAX;
use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, Decode as _, EncodeSize, Error, Read, ReadExt as _, Write};
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types;
use commonware_cryptography::sha256;

/// A quorum's finalization of one block digest.
pub(crate) type Finalization = types::Finalization<Scheme, sha256::Digest>;

/// Proof of finality of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// Headers of the children up to the block that was finalised; empty if that is the block itself.
    pub descendants: Vec<Header>,
    /// Quorum certificate of the last descendant, or of the block itself.
    pub finalization: Finalization,
}

impl Certificate {
    /// Decodes a certificate of a committee of `participants`.
    pub fn decode(bytes: Bytes, participants: usize) -> Result<Self, Error> {
        Self::decode_cfg(bytes, &participants)
    }

    pub fn encode(&self) -> Bytes {
        commonware_codec::Encode::encode(self)
    }
}

impl Write for Certificate {
    fn write(&self, buf: &mut impl BufMut) {
        buf.put_u32(self.descendants.len() as u32);
        self.descendants.iter().for_each(|header| header.write(buf));
        self.finalization.write(buf);
    }
}

impl EncodeSize for Certificate {
    fn encode_size(&self) -> usize {
        let headers: usize = self.descendants.iter().map(EncodeSize::encode_size).sum();
        4 + headers + self.finalization.encode_size()
    }
}

impl Read for Certificate {
    type Cfg = usize;

    fn read_cfg(buf: &mut impl Buf, participants: &usize) -> Result<Self, Error> {
        let count = u32::read(buf)? as usize;
        if count > CERTIFICATE_HEADERS_MAX {
            return Err(Error::InvalidLength(count));
        }
        let mut descendants = Vec::new();
        for _ in 0..count {
            descendants.push(Header::read(buf)?);
        }
        let finalization = Finalization::read_cfg(buf, participants)?;
        Ok(Self { descendants, finalization })
    }
}

#[cfg(test)]
mod tests;
