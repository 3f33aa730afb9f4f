//! Blocks: what the committee orders.
//!
//! A block carries the transactions of many namespaces as opaque bytes, and one opaque commitment of the application
//! (for the settlement chain: the Ethereum header). Its digest is the SHA-256 of a short [`Header`], which holds
//! the roots of the payload, so that ancestry, and what is in a namespace, can be proven without the payload.
//!
//! The roots over namespaces and bundles name the payload and follow from it, so a block cannot have wrong ones. The
//! erasure root follows from it too, but costs more; the proposer states it, and every voter recomputes it before it
//! votes. The encoding is canonical: whatever decodes encodes to the same bytes.

use crate::limits::{BLOCK_BYTES_MAX, BLOCK_PAYLOAD_BYTES_MAX, COMMITMENT_BYTES_MAX};
use crate::payload::Payload;
use crate::randomness::REVEAL_BYTES;
use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, EncodeSize, Error, RangeCfg, Read, ReadExt as _, Write};
use commonware_consensus::types::Height;
use commonware_cryptography::{Digestible, Hasher as _, Sha256, sha256};

const HEADER_DOMAIN: &[u8] = b"kumo/block/header/v3";
const GENESIS_DOMAIN: &[u8] = b"kumo/block/genesis/v1";

/// Bytes do not encode a block.
#[derive(Debug, thiserror::Error)]
#[error("{bytes} bytes do not decode as a block: {reason}")]
pub struct DecodeError {
    /// Length of the input.
    pub bytes: usize,
    /// What was wrong.
    pub reason: String,
}

/// An ordered block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Digest of the parent; zero at genesis.
    pub parent: [u8; 32],
    /// Height, one more than the parent's; 0 at genesis.
    pub height: u64,
    /// Consensus view in which it was proposed, which names the proposer; 0 at genesis.
    pub view: u64,
    /// Unix milliseconds, never before the parent's.
    pub timestamp_millis: u64,
    /// What the proposer had to reveal (80 bytes, a proof of [`proof::vrf`] about the chain and the height); empty at genesis.
    pub reveal: Vec<u8>,
    /// SHA-256 over the parent's randomness and the output that the reveal is about.
    pub randomness: [u8; 32],
    /// Root over the shards of the payload, see [`Payload::erasure_root`].
    pub erasure_root: [u8; 32],
    /// Transactions by namespace, and bundles among them.
    pub payload: Payload,
    /// What the application commits to by this block (0..=4096 bytes).
    pub commitment: Bytes,
}

/// What a block's digest covers: enough to prove ancestry without the transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Digest of the parent.
    pub parent: [u8; 32],
    /// Height.
    pub height: u64,
    /// Consensus view in which it was proposed.
    pub view: u64,
    /// Unix milliseconds.
    pub timestamp_millis: u64,
    /// The proposer's reveal, empty at genesis.
    pub reveal: Vec<u8>,
    /// Randomness of this block.
    pub randomness: [u8; 32],
    /// Root over the namespaces and their transactions, see [`proof::namespace`].
    pub namespaces_root: [u8; 32],
    /// Root over the shards of the payload, see [`proof::shard`].
    pub erasure_root: [u8; 32],
    /// Root over the bundles, see [`proof::bundle`].
    pub bundles_root: [u8; 32],
    /// SHA-256 of the application's commitment.
    pub commitment_hash: [u8; 32],
}

/// Hash of a transaction: SHA-256 over the namespace (8 bytes, big endian) and the payload.
pub fn transaction_hash(namespace: u64, payload: &[u8]) -> [u8; 32] {
    proof::namespace::transaction_hash(namespace, payload).0
}

impl Block {
    /// Block 0 of a network: no parent, no transactions, randomness fixed by the chain id.
    pub fn genesis(chain_id: u64, timestamp_millis: u64, commitment: Bytes) -> Self {
        let payload = Payload::default();
        Self {
            parent: [0; 32],
            height: 0,
            view: 0,
            timestamp_millis,
            reveal: Vec::new(),
            randomness: Sha256::hash(&[GENESIS_DOMAIN, &chain_id.to_be_bytes()]).0,
            erasure_root: payload.erasure_root(),
            payload,
            commitment,
        }
    }

    /// The header, which the digest covers.
    pub fn header(&self) -> Header {
        Header {
            parent: self.parent,
            height: self.height,
            view: self.view,
            timestamp_millis: self.timestamp_millis,
            reveal: self.reveal.clone(),
            randomness: self.randomness,
            namespaces_root: self.payload.namespaces_root(),
            erasure_root: self.erasure_root,
            bundles_root: self.payload.bundles_root(),
            commitment_hash: Sha256::hash(&[&self.commitment]).0,
        }
    }

    /// Digest of the block. Hashes the transactions of a payload only once.
    pub fn digest(&self) -> [u8; 32] {
        self.header().digest()
    }

    /// Canonical encoding, at most [`BLOCK_BYTES_MAX`] bytes.
    pub fn encode(&self) -> Bytes {
        commonware_codec::Encode::encode(self)
    }

    /// Decodes [`Block::encode`]; shares the memory of `bytes`. Checks every structural limit.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let length = bytes.len();
        let fail = |reason: String| DecodeError { bytes: length, reason };
        if length > BLOCK_BYTES_MAX {
            return Err(fail(format!("the limit is {BLOCK_BYTES_MAX}")));
        }
        <Self as commonware_codec::DecodeExt<()>>::decode(bytes).map_err(|error| fail(error.to_string()))
    }

    /// Transactions in all namespaces.
    pub fn transaction_count(&self) -> usize {
        self.payload.transaction_count()
    }
}

impl Header {
    /// Digest of the block with this header.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::hash(&[HEADER_DOMAIN, &self.encode()]).0
    }

    /// Canonical encoding, at most [`HEADER_BYTES_MAX`](crate::limits::HEADER_BYTES_MAX) bytes.
    pub fn encode(&self) -> Bytes {
        commonware_codec::Encode::encode(self)
    }
}

/// The fields that a block and its header encode alike.
struct Prefix {
    parent: [u8; 32],
    height: u64,
    view: u64,
    timestamp_millis: u64,
    reveal: Vec<u8>,
    randomness: [u8; 32],
}

const PREFIX_FIXED_BYTES: usize = 32 + 3 * 8 + 1 + 32;

fn write_prefix(buf: &mut impl BufMut, parent: &[u8; 32], numbers: [u64; 3], reveal: &[u8], randomness: &[u8; 32]) {
    buf.put_slice(parent);
    numbers.iter().for_each(|number| buf.put_u64(*number));
    buf.put_u8(u8::from(!reveal.is_empty()));
    buf.put_slice(reveal);
    buf.put_slice(randomness);
}

impl Prefix {
    fn read(buf: &mut impl Buf) -> Result<Self, Error> {
        let parent = <[u8; 32]>::read(buf)?;
        let (height, view, timestamp_millis) = (u64::read(buf)?, u64::read(buf)?, u64::read(buf)?);
        let reveal = if bool::read(buf)? { <[u8; REVEAL_BYTES]>::read(buf)?.to_vec() } else { Vec::new() };
        if reveal.is_empty() != (height == 0) {
            return Err(Error::Invalid("block", "only genesis has no reveal"));
        }
        let randomness = <[u8; 32]>::read(buf)?;
        Ok(Self { parent, height, view, timestamp_millis, reveal, randomness })
    }
}

impl Write for Header {
    fn write(&self, buf: &mut impl BufMut) {
        let numbers = [self.height, self.view, self.timestamp_millis];
        write_prefix(buf, &self.parent, numbers, &self.reveal, &self.randomness);
        for word in [&self.namespaces_root, &self.erasure_root, &self.bundles_root, &self.commitment_hash] {
            buf.put_slice(word);
        }
    }
}

impl EncodeSize for Header {
    fn encode_size(&self) -> usize {
        PREFIX_FIXED_BYTES + self.reveal.len() + 4 * 32
    }
}

impl Read for Header {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        let Prefix { parent, height, view, timestamp_millis, reveal, randomness } = Prefix::read(buf)?;
        Ok(Self {
            parent,
            height,
            view,
            timestamp_millis,
            reveal,
            randomness,
            namespaces_root: <[u8; 32]>::read(buf)?,
            erasure_root: <[u8; 32]>::read(buf)?,
            bundles_root: <[u8; 32]>::read(buf)?,
            commitment_hash: <[u8; 32]>::read(buf)?,
        })
    }
}

impl Write for Block {
    fn write(&self, buf: &mut impl BufMut) {
        let numbers = [self.height, self.view, self.timestamp_millis];
        write_prefix(buf, &self.parent, numbers, &self.reveal, &self.randomness);
        buf.put_slice(&self.erasure_root);
        self.commitment.write(buf);
        buf.put_u32(self.payload.encoded().len() as u32);
        buf.put_slice(self.payload.encoded());
    }
}

impl EncodeSize for Block {
    fn encode_size(&self) -> usize {
        let payload = 4 + self.payload.encoded().len();
        PREFIX_FIXED_BYTES + self.reveal.len() + 32 + self.commitment.encode_size() + payload
    }
}

impl Read for Block {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        let Prefix { parent, height, view, timestamp_millis, reveal, randomness } = Prefix::read(buf)?;
        let erasure_root = <[u8; 32]>::read(buf)?;
        let commitment = Bytes::read_cfg(buf, &RangeCfg::from(0..=COMMITMENT_BYTES_MAX))?;
        let length = u32::read(buf)? as usize;
        if length > BLOCK_PAYLOAD_BYTES_MAX {
            return Err(Error::InvalidLength(length));
        }
        let payload: Bytes = buf.try_take_owned(length).map_err(|_| Error::EndOfBuffer)?;
        let payload = Payload::decode(payload).map_err(|error| Error::Wrapped("payload", Box::new(error)))?;
        Ok(Self { parent, height, view, timestamp_millis, reveal, randomness, erasure_root, payload, commitment })
    }
}

/// A block up to its payload, as it is encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    encoded: Bytes,
    name: [u8; 32],
    /// Height.
    pub height: u64,
    /// Root over the shards of the payload.
    pub erasure_root: [u8; 32],
    /// Bytes of the payload.
    pub payload_bytes: u32,
}

impl Head {
    /// Head and payload of an encoded block; `None` if it is none.
    pub fn split(block: &Bytes) -> Option<(Self, Bytes)> {
        let (head, payload) = Self::read(block)?;
        (payload.len() == head.payload_bytes as usize).then_some((head, payload))
    }

    /// Exactly one head.
    pub fn decode(bytes: Bytes) -> Option<Self> {
        let (head, rest) = Self::read(&bytes)?;
        rest.is_empty().then_some(head)
    }

    fn read(bytes: &Bytes) -> Option<(Self, Bytes)> {
        let mut rest = bytes.clone();
        let Prefix { height, .. } = Prefix::read(&mut rest).ok()?;
        let erasure_root = <[u8; 32]>::read(&mut rest).ok()?;
        Bytes::read_cfg(&mut rest, &RangeCfg::from(0..=COMMITMENT_BYTES_MAX)).ok()?;
        let payload_bytes = u32::read(&mut rest).ok()?;
        if payload_bytes as usize > BLOCK_PAYLOAD_BYTES_MAX {
            return None;
        }
        let encoded = bytes.slice(..bytes.len() - rest.len());
        let name = Sha256::hash(&[&encoded]).0;
        Some((Self { encoded, name, height, erasure_root, payload_bytes }, rest))
    }

    /// The bytes of the block that come before those of the payload.
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// SHA-256 of these bytes.
    pub fn name(&self) -> [u8; 32] {
        self.name
    }
}

impl Digestible for Block {
    type Digest = sha256::Digest;

    fn digest(&self) -> sha256::Digest {
        sha256::Digest(self.header().digest())
    }
}

impl commonware_consensus::Heightable for Block {
    fn height(&self) -> Height {
        Height::new(self.height)
    }
}

impl commonware_consensus::Block for Block {
    fn parent(&self) -> sha256::Digest {
        sha256::Digest(self.parent)
    }
}

#[cfg(test)]
mod tests;
