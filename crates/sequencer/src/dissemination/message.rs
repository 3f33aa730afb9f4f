//! What validators send each other on the channel of blocks.
//!
//! ```text
//! whole  = 0 ‖ block
//! part   = 1 ‖ length of the head (4) ‖ head ‖ (length (4) ‖ shard with its proof)…
//! head   = the block up to its payload
//! ```

use super::PART_SHARDS_MAX;
use crate::block::Head;
use bytes::{BufMut as _, Bytes, BytesMut};
use proof::shard::ShardProof;

/// First byte of a whole block.
pub(super) const WHOLE: u8 = 0;
/// First byte of a part.
pub(super) const PART: u8 = 1;

/// Some shards of a block, all of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub head: Head,
    pub shards: Vec<ShardProof>,
}

impl Part {
    pub fn encode(&self) -> Bytes {
        let encoded = self.head.encoded();
        let mut bytes = BytesMut::with_capacity(5 + encoded.len() + self.shards.iter().map(size).sum::<usize>());
        bytes.put_u8(PART);
        bytes.put_u32(encoded.len() as u32);
        bytes.put_slice(encoded);
        for shard in &self.shards {
            bytes.put_u32(size(shard) as u32 - 4);
            bytes.put_slice(&shard.encode());
        }
        bytes.freeze()
    }

    /// `None` if the bytes behind the first one are no part.
    pub fn decode(mut bytes: Bytes) -> Option<Self> {
        let head = Head::decode(take(&mut bytes)?)?;
        let mut shards = Vec::new();
        while !bytes.is_empty() {
            if shards.len() == PART_SHARDS_MAX {
                return None;
            }
            shards.push(ShardProof::decode(&take(&mut bytes)?).ok()?);
        }
        Some(Self { head, shards })
    }
}

/// The head of the block that a message has shards of; `None` if it is no part.
pub(crate) fn head_of_part(message: &[u8]) -> Option<&[u8]> {
    let (length, rest) = message.strip_prefix(&[PART])?.split_first_chunk::<4>()?;
    rest.get(..u32::from_be_bytes(*length) as usize)
}

/// Bytes of an encoded shard with its length.
fn size(shard: &ShardProof) -> usize {
    4 + 8 + 32 * shard.path.len() + shard.shard.len()
}

/// A run of bytes behind its length.
fn take(bytes: &mut Bytes) -> Option<Bytes> {
    let (length, _) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    let end = length.checked_add(4).filter(|end| *end <= bytes.len())?;
    let mut taken = bytes.split_to(end);
    Some(taken.split_off(4))
}
