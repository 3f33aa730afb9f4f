//! Shards of a payload: any third of them gives it back.
//!
//! Reed–Solomon over GF(2¹⁶) in Leopard's basis, as `reed-solomon-simd` computes it, from the library that consensus
//! uses already. How many shards there are follows from the size of the payload ([`Code::of`]); up to 16 KiB they are
//! copies, so that a small block pays for one hash. Wide shards are coded in strips, which bounds the memory.
//! Source: Lin, Al-Naffouri, Han, Chung, "Novel Polynomial Basis With Fast Fourier Transform" (2016).

use crate::content::Hash;
use bytes::{Bytes, BytesMut};
use commonware_cryptography::reed_solomon::{Decoder, Encoder, Error, SHARD_CHUNK_BYTES};
use proof::merkle::{self, Tree};
use proof::shard::{Code, ShardProof, erasure_root, leaf};

/// Bytes of each shard that are coded at once: a whole number of the library's chunks.
const STRIP_BYTES: usize = 4096;

const _: () = assert!(STRIP_BYTES.is_multiple_of(SHARD_CHUNK_BYTES));

/// Shards do not give a payload back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErasureError {
    /// No payload has this size.
    #[error("no payload has {0} bytes")]
    Size(u32),
    /// A shard has the wrong number or length.
    #[error("shard {index} with {bytes} bytes is none of the {total} shards of {expected} bytes")]
    Shard {
        /// Claimed number.
        index: u32,
        /// Its length.
        bytes: usize,
        /// Shards of the payload.
        total: u32,
        /// Bytes of each.
        expected: u32,
    },
    /// Too few different shards.
    #[error("{given} shards given, {needed} are needed")]
    TooFew {
        /// Different shards given.
        given: usize,
        /// Shards that give the payload back.
        needed: usize,
    },
    /// The shards give other bytes than those that were committed to.
    #[error("the shards do not belong to the payload that was committed to")]
    Root,
}

/// All shards of a payload and the tree over them.
#[derive(Clone, Debug)]
pub struct Shards {
    payload_bytes: u32,
    shards: Vec<Bytes>,
    tree: Tree,
}

impl Shards {
    /// Encodes a payload (1 byte to 8 MiB); takes three times its memory.
    pub fn encode(payload: &Bytes) -> Result<Self, ErasureError> {
        let (payload_bytes, code) = code_of(payload)?;
        let mut shards: Vec<Bytes> = (0..code.data).map(|index| data_shard(payload, code, index)).collect();
        shards.extend(parity(&shards, code));
        let tree = Tree::new(shards.iter().map(|shard| leaf(shard)).collect());
        Ok(Self { payload_bytes, shards, tree })
    }

    /// What the header commits to.
    pub fn root(&self) -> Hash {
        erasure_root(self.payload_bytes, &self.tree.root()).0
    }

    /// Number of shards.
    pub fn count(&self) -> usize {
        self.shards.len()
    }

    /// Shard number `index` with its proof; `None` beyond the last one.
    pub fn prove(&self, index: u32) -> Option<ShardProof> {
        let shard = self.shards.get(index as usize)?.clone().into();
        Some(ShardProof { payload_bytes: self.payload_bytes, index, path: self.tree.path(index as usize), shard })
    }
}

/// The payload with the erasure root `root`, of which these shards are a part that was checked against it. Encodes it
/// again, so that shards that were no codeword give nothing rather than different payloads to different readers.
pub fn reconstruct(payload_bytes: u32, shards: &[(u32, Bytes)], root: &Hash) -> Result<Bytes, ErasureError> {
    let payload = restore(payload_bytes, shards)?;
    if Shards::encode(&payload)?.root() != *root {
        return Err(ErasureError::Root);
    }
    Ok(payload)
}

/// The same for whoever checks the payload otherwise: shards that are no codeword give some bytes.
pub(crate) fn restore(payload_bytes: u32, shards: &[(u32, Bytes)]) -> Result<Bytes, ErasureError> {
    let code = Code::of(payload_bytes).ok_or(ErasureError::Size(payload_bytes))?;
    let mut given: Vec<Option<&Bytes>> = vec![None; code.total as usize];
    for (index, shard) in shards {
        let (total, expected, bytes) = (code.total, code.shard_bytes, shard.len());
        if *index >= total || bytes != expected as usize {
            return Err(ErasureError::Shard { index: *index, bytes, total, expected });
        }
        given[*index as usize] = Some(shard);
    }
    let (count, needed) = (given.iter().flatten().count(), code.data as usize);
    if count < needed {
        return Err(ErasureError::TooFew { given: count, needed });
    }
    let mut payload = BytesMut::with_capacity(needed * code.shard_bytes as usize);
    recover(&given, code).iter().for_each(|shard| payload.extend_from_slice(shard));
    payload.truncate(payload_bytes as usize);
    Ok(payload.freeze())
}

/// The erasure root of a payload.
pub(crate) fn root(payload: &Bytes) -> Hash {
    let (payload_bytes, code) = code_of(payload).expect("a payload keeps its limit and is never empty");
    let mut shards: Vec<Bytes> = (0..code.data).map(|index| data_shard(payload, code, index)).collect();
    if code.data == 1 {
        let copies = vec![leaf(&shards[0]); code.total as usize];
        return erasure_root(payload_bytes, &merkle::root(copies)).0;
    }
    shards.extend(parity(&shards, code));
    erasure_root(payload_bytes, &merkle::root(shards.iter().map(|shard| leaf(shard)).collect())).0
}

fn code_of(payload: &Bytes) -> Result<(u32, Code), ErasureError> {
    let bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    Ok((bytes, Code::of(bytes).ok_or(ErasureError::Size(bytes))?))
}

/// A part of the payload, followed by zeros where it ends.
fn data_shard(payload: &Bytes, code: Code, index: u32) -> Bytes {
    let (width, length) = (code.shard_bytes as usize, payload.len());
    let start = (index as usize * width).min(length);
    let part = payload.slice(start..(start + width).min(length));
    if part.len() == width {
        return part;
    }
    let mut padded = BytesMut::from(part.as_ref());
    padded.resize(width, 0);
    padded.freeze()
}

/// Ranges of a shard that are coded one after the other.
fn strips(code: Code) -> impl Iterator<Item = std::ops::Range<usize>> {
    let width = code.shard_bytes as usize;
    (0..width).step_by(STRIP_BYTES).map(move |start| start..(start + STRIP_BYTES).min(width))
}

/// The shards beyond the payload.
fn parity(data: &[Bytes], code: Code) -> Vec<Bytes> {
    let count = (code.total - code.data) as usize;
    if let [only] = data {
        return vec![only.clone(); count];
    }
    encode_strips(data, code, count).expect("the counts and widths are those of a code that is supported")
}

fn encode_strips(data: &[Bytes], code: Code, count: usize) -> Result<Vec<Bytes>, Error> {
    let mut parity = vec![BytesMut::with_capacity(code.shard_bytes as usize); count];
    let mut encoder = Encoder::new(data.len(), count, STRIP_BYTES.min(code.shard_bytes as usize))?;
    for strip in strips(code) {
        encoder.reset(data.len(), count, strip.len())?;
        data.iter().try_for_each(|shard| encoder.add_original_shard(&shard[strip.clone()]))?;
        let coded = encoder.encode()?;
        parity.iter_mut().zip(coded.recovery_iter()).for_each(|(shard, part)| shard.extend_from_slice(part));
    }
    Ok(parity.into_iter().map(BytesMut::freeze).collect())
}

/// The shards of data from at least as many of all.
fn recover(given: &[Option<&Bytes>], code: Code) -> Vec<Bytes> {
    let (data, parity) = given.split_at(code.data as usize);
    if let Some(whole) = data.iter().map(|shard| shard.cloned()).collect() {
        return whole;
    }
    if code.data == 1 {
        return parity.iter().flatten().take(1).map(|shard| (*shard).clone()).collect();
    }
    decode_strips(data, parity, code).expect("enough shards of the right width were given")
}

fn decode_strips(data: &[Option<&Bytes>], parity: &[Option<&Bytes>], code: Code) -> Result<Vec<Bytes>, Error> {
    let mut whole = vec![BytesMut::with_capacity(code.shard_bytes as usize); data.len()];
    let mut decoder = Decoder::new(data.len(), parity.len(), STRIP_BYTES.min(code.shard_bytes as usize))?;
    for strip in strips(code) {
        decoder.reset(data.len(), parity.len(), strip.len())?;
        for (index, shard) in data.iter().enumerate().filter_map(|(index, shard)| Some((index, (*shard)?))) {
            decoder.add_original_shard(index, &shard[strip.clone()])?;
        }
        for (index, shard) in parity.iter().enumerate().filter_map(|(index, shard)| Some((index, (*shard)?))) {
            decoder.add_recovery_shard(index, &shard[strip.clone()])?;
        }
        let decoded = decoder.decode()?;
        for (index, shard) in whole.iter_mut().enumerate() {
            let restored = decoded.as_ref().and_then(|decoded| decoded.original(index));
            let part = data[index].map(|shard| &shard[strip.clone()]).or(restored).expect("all of them are restored");
            shard.extend_from_slice(part);
        }
    }
    Ok(whole.into_iter().map(BytesMut::freeze).collect())
}

#[cfg(test)]
mod tests;
