//! What the tests of several modules share: seeded bytes, and sources of blocks.

use crate::block::{Block, BlockError, BlockSource};
use crate::unixfs::{Imported, Importer};
use alloy_primitives::B256;
use async_trait::async_trait;
use bytes::Bytes;
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use cid::Cid;
use hpke::rand_core::{Infallible, TryCryptoRng, TryRng};
use protocol::content::{digest_of_cid, sha256};
use std::collections::HashMap;
use std::path::PathBuf;

/// The key stream that IPIP-499 takes its file contents from.
pub struct KeyStream(ChaCha20);

impl KeyStream {
    pub fn new(seed: &str) -> Self {
        let key = sha256(seed.as_bytes());
        Self(ChaCha20::new((&key.0).into(), (&[0; 12]).into()))
    }

    pub fn take(&mut self, bytes: usize) -> Vec<u8> {
        let mut out = vec![0; bytes];
        self.0.apply_keystream(&mut out);
        out
    }
}

/// Bytes that depend on nothing but the seed.
pub fn content(seed: &str, bytes: usize) -> Vec<u8> {
    KeyStream::new(seed).take(bytes)
}

/// Randomness that repeats with its seed.
pub struct SeededRandom(KeyStream);

impl SeededRandom {
    pub fn new(seed: &str) -> Self {
        Self(KeyStream::new(seed))
    }
}

impl TryRng for SeededRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.0.take(4).try_into().unwrap()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.0.take(8).try_into().unwrap()))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.copy_from_slice(&self.0.take(out.len()));
        Ok(())
    }
}

impl TryCryptoRng for SeededRandom {}

/// Blocks in memory.
#[derive(Clone, Default)]
pub struct Memory(pub HashMap<B256, Bytes>);

impl Memory {
    pub fn insert(&mut self, block: Block) {
        self.0.insert(digest_of_cid(&block.cid).unwrap(), block.bytes);
    }
}

#[async_trait]
impl BlockSource for Memory {
    async fn block(&self, cid: &Cid) -> Result<Bytes, BlockError> {
        let found = digest_of_cid(cid).and_then(|digest| self.0.get(&digest));
        found.cloned().ok_or(BlockError::Unknown { cid: *cid })
    }
}

/// Imports a file; returns what the importer says, and its blocks in order.
pub fn import(bytes: &[u8]) -> (Imported, Vec<Block>) {
    let mut blocks = Vec::new();
    let mut importer = Importer::default();
    importer.push(bytes, &mut |block| blocks.push(block));
    let imported = importer.finish(&mut |block| blocks.push(block));
    (imported, blocks)
}

/// A CARv1 archive of blocks.
pub fn archive(root: &Cid, blocks: &[Block]) -> Vec<u8> {
    let mut out = crate::car::header(root).to_vec();
    for block in blocks {
        out.extend(crate::car::section_prefix(&block.cid, block.bytes.len()));
        out.extend(&block.bytes);
    }
    out
}

/// A folder or file of published test vectors, or `None` with a notice.
pub fn testdata(path: &str) -> Option<PathBuf> {
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let base = std::env::var_os("KUMO_TESTDATA").map_or(workspace.join("../shared/testdata"), PathBuf::from);
    let path = base.join(path);
    if !path.exists() {
        println!("skipped: {} is absent", path.display());
        return None;
    }
    Some(path)
}
