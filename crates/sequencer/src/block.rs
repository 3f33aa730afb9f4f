//! Blocks: what the committee orders.
//!
//! A block carries the transactions of many namespaces as opaque bytes, and one opaque commitment of the application
//! (for the settlement chain: the Ethereum header). Its digest is the SHA-256 of a short [`Header`], which in turn
//! holds digests of the entries and of the commitment, so that ancestry can be proven with headers alone. The
//! encoding is canonical: whatever decodes encodes to the same bytes.

use crate::limits::{
    BLOCK_BYTES_MAX, BLOCK_PAYLOAD_BYTES_MAX, COMMITMENT_BYTES_MAX, ENTRY_OVERHEAD_BYTES, TRANSACTION_BYTES_MAX,
    TRANSACTION_OVERHEAD_BYTES,
};
use crate::randomness::REVEAL_BYTES;
use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, EncodeSize, Error, RangeCfg, Read, ReadExt as _, Write};
use commonware_consensus::types::Height;
use commonware_cryptography::{Digestible, Hasher as _, Sha256, sha256};

const HEADER_DOMAIN: &[u8] = b"kumo/block/header/v1";
const ENTRIES_DOMAIN: &[u8] = b"kumo/block/entries/v1";
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

/// The transactions of one namespace in a block, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Namespace; 1 is the settlement chain.
    pub namespace: u64,
    /// Opaque transactions, at least one, each 1 to 131,072 bytes.
    pub transactions: Vec<Bytes>,
}

impl Entry {
    /// Bytes that this entry counts towards [`BLOCK_PAYLOAD_BYTES_MAX`], overheads included.
    pub fn counted_bytes(&self) -> usize {
        let transactions: usize = self.transactions.iter().map(|t| t.len() + TRANSACTION_OVERHEAD_BYTES).sum();
        ENTRY_OVERHEAD_BYTES + transactions
    }

    /// Hashes of its transactions, in order.
    pub fn hashes(&self) -> impl Iterator<Item = [u8; 32]> {
        self.transactions.iter().map(|payload| transaction_hash(self.namespace, payload))
    }
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
    /// The proposer's BLS12-381 signature (96 bytes, G2) over the chain and the height; empty at genesis.
    pub reveal: Vec<u8>,
    /// SHA-256 over the parent's randomness and the reveal.
    pub randomness: [u8; 32],
    /// Transactions by namespace: ascending, without duplicates, none empty.
    pub entries: Vec<Entry>,
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
    /// Digest of all entries, see [`entries_root`].
    pub entries_root: [u8; 32],
    /// SHA-256 of the application's commitment.
    pub commitment_hash: [u8; 32],
}

/// Hash of a transaction: SHA-256 over the namespace (8 bytes, big endian) and the payload.
pub fn transaction_hash(namespace: u64, payload: &[u8]) -> [u8; 32] {
    Sha256::hash(&[&namespace.to_be_bytes(), payload]).0
}

/// Digest of all entries: SHA-256 over, for each, its namespace, its number of transactions (8 bytes each, big endian)
/// and the SHA-256 of its transaction hashes in order.
pub fn entries_root(entries: &[Entry]) -> [u8; 32] {
    let mut table = Vec::with_capacity(entries.len() * 48);
    for entry in entries {
        let hashes: Vec<u8> = entry.hashes().flatten().collect();
        table.extend(entry.namespace.to_be_bytes());
        table.extend((entry.transactions.len() as u64).to_be_bytes());
        table.extend(Sha256::hash(&[&hashes]).0);
    }
    Sha256::hash(&[ENTRIES_DOMAIN, &table]).0
}

/// Bytes that `entries` count towards [`BLOCK_PAYLOAD_BYTES_MAX`].
pub fn counted_bytes(entries: &[Entry]) -> usize {
    entries.iter().map(Entry::counted_bytes).sum()
}

/// Whether `entries` may stand in a block: order, sizes and totals. The error names what is wrong.
pub(crate) fn check_entries(entries: &[Entry]) -> Result<(), &'static str> {
    if !entries.windows(2).all(|pair| pair[0].namespace < pair[1].namespace) {
        return Err("namespaces are not strictly ascending");
    }
    if entries.iter().any(|entry| entry.transactions.is_empty()) {
        return Err("a namespace has no transactions");
    }
    let mut transactions = entries.iter().flat_map(|entry| &entry.transactions);
    if transactions.any(|payload| payload.is_empty() || payload.len() > TRANSACTION_BYTES_MAX) {
        return Err("a transaction is empty or too large");
    }
    if counted_bytes(entries) > BLOCK_PAYLOAD_BYTES_MAX {
        return Err("the entries are too large");
    }
    Ok(())
}

impl Block {
    /// Block 0 of a network: no parent, no transactions, randomness fixed by the chain id.
    pub fn genesis(chain_id: u64, timestamp_millis: u64, commitment: Bytes) -> Self {
        Self {
            parent: [0; 32],
            height: 0,
            view: 0,
            timestamp_millis,
            reveal: Vec::new(),
            randomness: Sha256::hash(&[GENESIS_DOMAIN, &chain_id.to_be_bytes()]).0,
            entries: Vec::new(),
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
            entries_root: entries_root(&self.entries),
            commitment_hash: Sha256::hash(&[&self.commitment]).0,
        }
    }

    /// Digest of the block: hashes all transactions, so keep it where it is needed more than once.
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
        self.entries.iter().map(|entry| entry.transactions.len()).sum()
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
        buf.put_slice(&self.entries_root);
        buf.put_slice(&self.commitment_hash);
    }
}

impl EncodeSize for Header {
    fn encode_size(&self) -> usize {
        PREFIX_FIXED_BYTES + self.reveal.len() + 64
    }
}

impl Read for Header {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        let Prefix { parent, height, view, timestamp_millis, reveal, randomness } = Prefix::read(buf)?;
        let (entries_root, commitment_hash) = (<[u8; 32]>::read(buf)?, <[u8; 32]>::read(buf)?);
        Ok(Self { parent, height, view, timestamp_millis, reveal, randomness, entries_root, commitment_hash })
    }
}

impl Write for Entry {
    fn write(&self, buf: &mut impl BufMut) {
        buf.put_u64(self.namespace);
        buf.put_u32(self.transactions.len() as u32);
        for payload in &self.transactions {
            buf.put_u32(payload.len() as u32);
            buf.put_slice(payload);
        }
    }
}

impl EncodeSize for Entry {
    fn encode_size(&self) -> usize {
        12 + self.transactions.iter().map(|payload| 4 + payload.len()).sum::<usize>()
    }
}

/// Reads one entry that may count at most `room` bytes.
fn read_entry(buf: &mut impl Buf, room: usize) -> Result<Entry, Error> {
    let namespace = u64::read(buf)?;
    let count = u32::read(buf)? as usize;
    let mut room = room.checked_sub(ENTRY_OVERHEAD_BYTES).ok_or(TOO_LARGE)?;
    if count == 0 || count > room / TRANSACTION_OVERHEAD_BYTES {
        return Err(Error::InvalidLength(count));
    }
    let mut transactions = Vec::new();
    for _ in 0..count {
        let length = u32::read(buf)? as usize;
        if length == 0 || length > TRANSACTION_BYTES_MAX {
            return Err(Error::InvalidLength(length));
        }
        room = room.checked_sub(length + TRANSACTION_OVERHEAD_BYTES).ok_or(TOO_LARGE)?;
        transactions.push(buf.try_take_owned(length).map_err(|_| Error::EndOfBuffer)?);
    }
    Ok(Entry { namespace, transactions })
}

const TOO_LARGE: Error = Error::Invalid("block", "entries exceed the payload limit");

impl Write for Block {
    fn write(&self, buf: &mut impl BufMut) {
        let numbers = [self.height, self.view, self.timestamp_millis];
        write_prefix(buf, &self.parent, numbers, &self.reveal, &self.randomness);
        self.commitment.write(buf);
        buf.put_u32(self.entries.len() as u32);
        self.entries.iter().for_each(|entry| entry.write(buf));
    }
}

impl EncodeSize for Block {
    fn encode_size(&self) -> usize {
        let entries: usize = self.entries.iter().map(EncodeSize::encode_size).sum();
        PREFIX_FIXED_BYTES + self.reveal.len() + self.commitment.encode_size() + 4 + entries
    }
}

impl Read for Block {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        let Prefix { parent, height, view, timestamp_millis, reveal, randomness } = Prefix::read(buf)?;
        let commitment = Bytes::read_cfg(buf, &RangeCfg::from(0..=COMMITMENT_BYTES_MAX))?;
        let count = u32::read(buf)? as usize;
        if count > BLOCK_PAYLOAD_BYTES_MAX / ENTRY_OVERHEAD_BYTES {
            return Err(Error::InvalidLength(count));
        }
        let (mut entries, mut room) = (Vec::<Entry>::new(), BLOCK_PAYLOAD_BYTES_MAX);
        for _ in 0..count {
            let entry = read_entry(buf, room)?;
            if entries.last().is_some_and(|last| last.namespace >= entry.namespace) {
                return Err(Error::Invalid("block", "namespaces are not strictly ascending"));
            }
            room = room.saturating_sub(entry.counted_bytes());
            entries.push(entry);
        }
        Ok(Self { parent, height, view, timestamp_millis, reveal, randomness, entries, commitment })
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
