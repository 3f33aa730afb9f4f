//! From a CAR archive to a file: every block is checked, and only blocks of the file are taken.
//!
//! Blocks must come parents first, as trustless gateways send them: a block that no block before it links to is refused
//! at once, so a gateway cannot fill the disk with what nobody asked for.

use super::{Fetched, FilesError, Scratch, Unlock};
use crate::gateway::Gateway;
use alloy_primitives::B256;
use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use futures::StreamExt;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use storage::block::{Block, BlockError, BlockSource, digest};
use storage::car::{BLOCKS_MAX, CarDecoder, CarItem, links};
use storage::crypt::{Decryptor, MAGIC};
use storage::unixfs;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// The blocks of one file, checked, in a scratch file.
pub(super) struct Dag {
    file: Arc<File>,
    places: HashMap<B256, Place>,
    _scratch: Scratch,
}

#[derive(Clone, Copy)]
struct Place {
    offset: u64,
    length: u32,
}

/// Downloads all blocks of `cid`.
pub(super) async fn fetch(gateway: &Gateway, cid: &Cid, folder: &Path) -> Result<Dag, FilesError> {
    let mut body = gateway.car(cid).await?;
    let mut collector = Collector::new(*cid, folder)?;
    let mut decoder = CarDecoder::new();
    let archive = |source| FilesError::Archive { cid: *cid, source };
    while let Some(bytes) = body.next().await? {
        decoder.push(&bytes);
        while let Some(item) = decoder.next_item().map_err(archive)? {
            match item {
                CarItem::Header(_) => {}
                CarItem::Block(block) => collector.take(block)?,
            }
        }
    }
    decoder.finish().map_err(archive)?;
    collector.finish()
}

/// Writes the file that the blocks make to `out`, decrypted if it is encrypted.
pub(super) async fn write(
    dag: Arc<Dag>,
    cid: &Cid,
    unlock: &Unlock<'_>,
    out: &mut (impl AsyncWrite + Unpin),
) -> Result<Fetched, FilesError> {
    let not_a_file = |source| FilesError::NotAFile { cid: *cid, source };
    let mut file = unixfs::read(dag, *cid, None).await.map_err(not_a_file)?;
    let mut opener = Opener::new(unlock);
    let mut bytes = 0;
    while let Some(piece) = file.stream.next().await {
        let piece = piece.map_err(not_a_file)?;
        let plain = opener.push(&piece).map_err(|source| FilesError::Crypt { cid: *cid, source })?;
        bytes += plain.len() as u64;
        out.write_all(&plain).await.map_err(FilesError::Output)?;
    }
    let encrypted = matches!(opener, Opener::Encrypted(_));
    let plain = opener.finish().map_err(|source| FilesError::Crypt { cid: *cid, source })?;
    out.write_all(&plain).await.map_err(FilesError::Output)?;
    out.flush().await.map_err(FilesError::Output)?;
    Ok(Fetched { bytes: bytes + plain.len() as u64, encrypted })
}

/// Takes blocks while they come, parents first.
struct Collector {
    cid: Cid,
    out: BufWriter<File>,
    scratch: Scratch,
    places: HashMap<B256, Place>,
    wanted: HashSet<B256>,
    offset: u64,
}

impl Collector {
    fn new(cid: Cid, folder: &Path) -> Result<Self, FilesError> {
        let failed = |source| FilesError::Io { action: "create a scratch file in", path: folder.to_owned(), source };
        let (scratch, file) = Scratch::create(folder).map_err(failed)?;
        let wanted = HashSet::from([digest(&cid)?]);
        Ok(Self { cid, out: BufWriter::new(file), scratch, places: HashMap::new(), wanted, offset: 0 })
    }

    /// The block was already checked against its CID.
    fn take(&mut self, block: Block) -> Result<(), FilesError> {
        let name = digest(&block.cid)?;
        if self.places.contains_key(&name) {
            return Ok(());
        }
        if !self.wanted.remove(&name) {
            return Err(FilesError::Foreign { cid: self.cid, block: block.cid });
        }
        let children = links(&block.cid, &block.bytes).map_err(|e| BlockError::unavailable(&block.cid, e))?;
        for child in children {
            let child = digest(&child)?;
            if !self.places.contains_key(&child) && child != name {
                self.wanted.insert(child);
            }
        }
        if self.places.len() + self.wanted.len() >= BLOCKS_MAX {
            return Err(FilesError::TooManyBlocks { cid: self.cid, max: BLOCKS_MAX });
        }
        let failed = |source| FilesError::Io { action: "write", path: self.scratch.path().to_owned(), source };
        self.out.write_all(&block.bytes).map_err(failed)?;
        let length = block.bytes.len() as u32;
        self.places.insert(name, Place { offset: self.offset, length });
        self.offset += u64::from(length);
        Ok(())
    }

    fn finish(self) -> Result<Dag, FilesError> {
        if !self.wanted.is_empty() {
            return Err(FilesError::Incomplete { cid: self.cid, missing: self.wanted.len() });
        }
        let path = self.scratch.path().to_owned();
        let failed = |source| FilesError::Io { action: "write", path, source };
        let file = self.out.into_inner().map_err(|e| failed(e.into_error()))?;
        Ok(Dag { file: Arc::new(file), places: self.places, _scratch: self.scratch })
    }
}

#[async_trait]
impl BlockSource for Dag {
    async fn block(&self, cid: &Cid) -> Result<Bytes, BlockError> {
        let place = *self.places.get(&digest(cid)?).ok_or(BlockError::Unknown { cid: *cid })?;
        let file = self.file.clone();
        let read = tokio::task::spawn_blocking(move || read_at(&file, place)).await;
        read.expect("reading a file does not panic").map_err(|e| BlockError::unavailable(cid, e))
    }
}

#[cfg(unix)]
fn read_at(file: &File, place: Place) -> std::io::Result<Bytes> {
    let mut bytes = vec![0; place.length as usize];
    std::os::unix::fs::FileExt::read_exact_at(file, &mut bytes, place.offset)?;
    Ok(bytes.into())
}

#[cfg(windows)]
fn read_at(file: &File, place: Place) -> std::io::Result<Bytes> {
    let mut bytes = vec![0; place.length as usize];
    let mut done = 0;
    while done < bytes.len() {
        let count = std::os::windows::fs::FileExt::seek_read(file, &mut bytes[done..], place.offset + done as u64)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        done += count;
    }
    Ok(bytes.into())
}

/// Decrypts if the first bytes say that the file is encrypted.
enum Opener<'a> {
    Undecided { start: Vec<u8>, unlock: &'a Unlock<'a> },
    Plain,
    Encrypted(Box<Decryptor>),
}

type Opened<T> = Result<T, storage::crypt::CryptError>;

impl<'a> Opener<'a> {
    fn new(unlock: &'a Unlock<'a>) -> Self {
        match unlock {
            Unlock::AsStored => Self::Plain,
            _ => Self::Undecided { start: Vec::new(), unlock },
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Opened<Vec<u8>> {
        match self {
            Self::Plain => Ok(bytes.to_vec()),
            Self::Encrypted(decryptor) => decryptor.push(bytes),
            Self::Undecided { start, unlock } => {
                start.extend_from_slice(bytes);
                if start.len() < MAGIC.len() {
                    return Ok(Vec::new());
                }
                let start = std::mem::take(start);
                let decryptor = match unlock {
                    _ if !start.starts_with(MAGIC) => None,
                    Unlock::Wallet(wallet) => Some(Decryptor::with_secret(wallet.exchange_secret())),
                    Unlock::Key(key) => Some(Decryptor::with_key(key)),
                    Unlock::AsStored => None,
                };
                *self = decryptor.map_or(Self::Plain, |decryptor| Self::Encrypted(Box::new(decryptor)));
                self.push(&start)
            }
        }
    }

    fn finish(self) -> Opened<Vec<u8>> {
        match self {
            Self::Plain => Ok(Vec::new()),
            Self::Encrypted(decryptor) => decryptor.finish(),
            // Shorter than the mark of an encrypted file: a plain one.
            Self::Undecided { start, .. } => Ok(start),
        }
    }
}
