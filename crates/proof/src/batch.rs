//! What was ordered in a namespace, as a rollup puts it on an L1.
//!
//! A batch holds the blocks with transactions of one namespace, in order, and no others. [`Batch::extend`] gives the name that an
//! account has for them ([`crate::account`]), so a batch that leaves out, adds, moves or changes anything leads to another name. The
//! contract `RollupInbox` does the same with calldata, and `docs/formats.md` has the bytes:
//!
//! ```text
//! batch   = 1 ‖ block…                                    at least one
//! block   = height (8) ‖ bytes of the section (4) ‖ section as it stands in the payload
//! leaf    = height (8) ‖ root of the transactions (32) ‖ their number (4)
//! blobs   = length of the batch (4) ‖ batch ‖ zeros       31 bytes behind a zero in each field element
//! ```
//!
//! Nothing is compressed: transactions are opaque here, a contract has to hash them as they were ordered, and a rollup that compresses
//! does it before it submits. The first byte leaves room for others.
//! Source: EIP-4844 for blobs.

use crate::account::extend_inputs;
use crate::namespace::{PAYLOAD_BYTES_MAX, read_section, section_bytes, transactions_root, write_section};
use crate::reader::Reader;
use alloy_primitives::{B256, Bytes};

/// First byte of a batch.
pub const VERSION: u8 = 1;
/// Bytes of a blob.
pub const BLOB_BYTES: usize = 4096 * 32;
/// Bytes that a blob carries: all but the first of each field element, which must be below the modulus.
pub const BLOB_CONTENT_BYTES: usize = 4096 * CHUNK_BYTES;
/// Blobs of one transaction (EIP-7594).
pub const BLOBS_MAX: usize = 6;
/// Bytes of a batch in blobs.
pub const BATCH_BYTES_MAX: usize = BLOBS_MAX * BLOB_CONTENT_BYTES - LENGTH_BYTES;
/// Bytes of an encoded [`Leaf`].
pub const LEAF_BYTES: usize = 8 + 32 + 4;
/// Leaves that are read at once.
pub const LEAVES_MAX: usize = 65_536;

const CHUNK_BYTES: usize = 31;
const LENGTH_BYTES: usize = 4;
/// Height and length of the section.
const BLOCK_HEAD_BYTES: usize = 8 + 4;

const _: () = assert!(BATCH_BYTES_MAX < PAYLOAD_BYTES_MAX);

/// Why bytes are no batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Another version, or cut off, or something that no block holds.
    #[error("{0} bytes do not decode as a batch of version {VERSION}")]
    Malformed(usize),
    /// A block that cannot stand there.
    #[error("block {height} does not follow on block {last}")]
    Order {
        /// Its height.
        height: u64,
        /// Height of the block before.
        last: u64,
    },
    /// Too many blobs, or one of another size.
    #[error("{count} blobs of {bytes} bytes in all, 1 to {BLOBS_MAX} of {BLOB_BYTES} bytes hold a batch")]
    Blobs {
        /// How many.
        count: usize,
        /// Bytes of all.
        bytes: usize,
    },
    /// A field element that the encoding does not have, or something behind the batch.
    #[error("field element {0} of the blobs is not one of a batch")]
    Element(usize),
    /// More than blobs hold.
    #[error("a batch of {0} bytes, blobs hold {BATCH_BYTES_MAX}")]
    TooLong(usize),
}

/// The transactions of the namespace in one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchBlock {
    /// Height of the block.
    pub height: u64,
    /// Its transactions in the namespace, at least one.
    pub transactions: Vec<Bytes>,
}

/// Blocks of a namespace, ascending; blocks without transactions are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The blocks.
    pub blocks: Vec<BatchBlock>,
}

/// What the name of the inputs covers of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Height of the block.
    pub height: u64,
    /// Root over its transactions in the namespace.
    pub transactions_root: B256,
    /// Their number.
    pub transactions: u32,
}

impl BatchBlock {
    /// Bytes that it takes in a batch; `None` if no block can hold these transactions.
    pub fn encoded_bytes(&self) -> Option<usize> {
        let section = section_bytes(self.transactions.iter().map(|transaction| transaction.len()))?;
        Some(BLOCK_HEAD_BYTES + section as usize)
    }

    /// What the name of the inputs covers of it.
    pub fn leaf(&self, namespace: u64) -> Leaf {
        let transactions_root = transactions_root(namespace, &self.transactions);
        Leaf { height: self.height, transactions_root, transactions: self.transactions.len() as u32 }
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let height = reader.u64()?;
        let length = reader.u32()? as usize;
        let mut section = Reader(reader.slice(length)?);
        let transactions = read_section(&mut section)?;
        section.end(Self { height, transactions })
    }
}

impl Leaf {
    /// Canonical encoding.
    pub fn encode(&self) -> [u8; LEAF_BYTES] {
        let mut bytes = [0; LEAF_BYTES];
        bytes[..8].copy_from_slice(&self.height.to_be_bytes());
        bytes[8..40].copy_from_slice(self.transactions_root.as_slice());
        bytes[40..].copy_from_slice(&self.transactions.to_be_bytes());
        bytes
    }

    /// The name of the inputs after this block, `inputs` being the one before.
    pub fn extend(&self, inputs: &B256) -> B256 {
        extend_inputs(inputs, self.height, &self.transactions_root, self.transactions)
    }

    /// Decodes leaves that follow on each other.
    ///
    /// # Errors
    /// When these bytes are none, or more than [`LEAVES_MAX`].
    pub fn decode_all(bytes: &[u8]) -> Result<Vec<Self>, BatchError> {
        let malformed = BatchError::Malformed(bytes.len());
        if bytes.len() > LEAVES_MAX * LEAF_BYTES {
            return Err(malformed);
        }
        let mut reader = Reader(bytes);
        let mut leaves = Vec::with_capacity(bytes.len() / LEAF_BYTES);
        while !reader.0.is_empty() {
            let leaf = (|| Some((reader.u64()?, reader.word()?, reader.u32()?)))();
            let (height, transactions_root, transactions) = leaf.ok_or_else(|| malformed.clone())?;
            leaves.push(Self { height, transactions_root, transactions });
        }
        Ok(leaves)
    }
}

impl Batch {
    /// The name of the inputs after these blocks, `inputs` being the one before.
    pub fn extend(&self, namespace: u64, inputs: B256) -> B256 {
        self.blocks.iter().fold(inputs, |inputs, block| block.leaf(namespace).extend(&inputs))
    }

    /// What the name of the inputs covers of each block, one after the other.
    pub fn leaves(&self, namespace: u64) -> Vec<u8> {
        self.blocks.iter().flat_map(|block| block.leaf(namespace).encode()).collect()
    }

    /// Canonical encoding. A batch of blocks that a network made decodes from it again.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        for block in &self.blocks {
            let section = block.encoded_bytes().unwrap_or_default().saturating_sub(BLOCK_HEAD_BYTES);
            bytes.extend(block.height.to_be_bytes());
            bytes.extend((section as u32).to_be_bytes());
            write_section(&mut bytes, &block.transactions);
        }
        bytes
    }

    /// Decodes exactly one batch of blocks with ascending heights; allocates no more than the bytes given take.
    ///
    /// # Errors
    /// When these bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, BatchError> {
        let malformed = BatchError::Malformed(bytes.len());
        let rest = bytes.strip_prefix(&[VERSION]).filter(|rest| !rest.is_empty() && bytes.len() <= PAYLOAD_BYTES_MAX);
        let mut reader = Reader(rest.ok_or_else(|| malformed.clone())?);
        let mut blocks: Vec<BatchBlock> = Vec::new();
        while !reader.0.is_empty() {
            let block = BatchBlock::read(&mut reader).ok_or_else(|| malformed.clone())?;
            let last = blocks.last().map_or(0, |block| block.height);
            if block.height <= last {
                return Err(BatchError::Order { height: block.height, last });
            }
            blocks.push(block);
        }
        Ok(Self { blocks })
    }

    /// The encoding in as few blobs as hold it.
    ///
    /// # Errors
    /// When it is more than [`BATCH_BYTES_MAX`].
    pub fn to_blobs(&self) -> Result<Vec<Vec<u8>>, BatchError> {
        let batch = self.encode();
        if batch.len() > BATCH_BYTES_MAX {
            return Err(BatchError::TooLong(batch.len()));
        }
        let content = [(batch.len() as u32).to_be_bytes().as_slice(), &batch].concat();
        Ok(content.chunks(BLOB_CONTENT_BYTES).map(blob).collect())
    }

    /// Decodes the batch in blobs, which are not more than it needs.
    ///
    /// # Errors
    /// When these blobs hold none.
    pub fn from_blobs<T: AsRef<[u8]>>(blobs: &[T]) -> Result<Self, BatchError> {
        let sizes = blobs.iter().map(|blob| blob.as_ref().len());
        let fits = (1..=BLOBS_MAX).contains(&blobs.len()) && sizes.clone().all(|size| size == BLOB_BYTES);
        if !fits {
            return Err(BatchError::Blobs { count: blobs.len(), bytes: sizes.sum() });
        }
        let mut content = Vec::with_capacity(blobs.len() * BLOB_CONTENT_BYTES);
        for (place, element) in blobs.iter().flat_map(|blob| blob.as_ref().chunks_exact(32)).enumerate() {
            match element.split_first() {
                Some((0, rest)) => content.extend(rest),
                _ => return Err(BatchError::Element(place)),
            }
        }
        let (length, rest) = content.split_at(LENGTH_BYTES);
        let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let needed = (LENGTH_BYTES + length).div_ceil(BLOB_CONTENT_BYTES);
        if length > rest.len() || needed != blobs.len() {
            return Err(BatchError::Blobs { count: blobs.len(), bytes: length });
        }
        let (batch, padding) = rest.split_at(length);
        if let Some(place) = padding.iter().position(|byte| *byte != 0) {
            return Err(BatchError::Element((LENGTH_BYTES + length + place) / CHUNK_BYTES));
        }
        Self::decode(batch)
    }
}

fn blob(content: &[u8]) -> Vec<u8> {
    let mut blob = vec![0; BLOB_BYTES];
    for (element, chunk) in blob.chunks_exact_mut(32).zip(content.chunks(CHUNK_BYTES)) {
        element[1..=chunk.len()].copy_from_slice(chunk);
    }
    blob
}

#[cfg(test)]
mod tests;
