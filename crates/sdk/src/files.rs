//! Files: encrypted here, addressed by content, checked here when they come back.
//!
//! ```text
//! put:  file ─▶ encrypt (fresh file key, wrapped to each reader) ─▶ UnixFS blocks ─▶ CAR ─▶ gateway
//! get:  gateway ─▶ CAR ─▶ every block against its CID ─▶ UnixFS ─▶ decrypt ─▶ file
//! ```
//!
//! A gateway sees ciphertext only, and cannot hand out anything but what the CID names: a changed, missing or foreign
//! block ends the download. Memory stays bounded; what does not fit lies in a scratch file that only this user can read.

mod download;
mod scratch;
#[cfg(test)]
mod tests;
mod upload;

pub use scratch::Scratch;
pub use storage::crypt::{CryptError, FileKey};

use crate::gateway::{Gateway, GatewayError};
use crate::wallet::Wallet;
use alloy_primitives::B256;
use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use futures::TryStreamExt;
use protocol::api::{FileInfo, RepairReport};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::block::{self, BlockError, BlockSource};
use storage::car::CarError;
use storage::crypt::{self, HEADER_BYTES_MAX, MAGIC, PREFIX_BYTES};
use storage::unixfs::{self, ReadError};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Why a file could not be stored or fetched.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The gateway refused or was not reached.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// A file of this machine cannot be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// `read`, `write`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The output of a download cannot be written.
    #[error("cannot write the output: {0}")]
    Output(std::io::Error),
    /// The gateway stored something else.
    #[error("the gateway stored {theirs}, but the file is {ours}")]
    OtherRoot {
        /// What was sent.
        ours: Cid,
        /// What the gateway answered.
        theirs: String,
    },
    /// The gateway sent something that is not the file asked for.
    #[error("the gateway's answer is not {cid}: {source}")]
    Archive {
        /// File asked for.
        cid: Cid,
        /// What is wrong with the archive.
        source: CarError,
    },
    /// A block that the file does not contain.
    #[error("the gateway sent block {block}, which {cid} does not contain")]
    Foreign {
        /// File asked for.
        cid: Cid,
        /// The block.
        block: Cid,
    },
    /// The gateway left blocks out.
    #[error("the gateway left out {missing} blocks of {cid}")]
    Incomplete {
        /// File asked for.
        cid: Cid,
        /// Blocks that other blocks link to.
        missing: usize,
    },
    /// Larger than any archive that is read.
    #[error("{cid} has more than {max} blocks")]
    TooManyBlocks {
        /// File asked for.
        cid: Cid,
        /// The limit.
        max: usize,
    },
    /// A block is malformed, or of a kind that is not stored here.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The blocks are fine and do not make a file.
    #[error("{cid} is not a file: {source}")]
    NotAFile {
        /// What was asked for.
        cid: Cid,
        /// What is wrong.
        source: ReadError,
    },
    /// The file cannot be decrypted.
    #[error("cannot decrypt {cid}: {source}")]
    Crypt {
        /// The file.
        cid: Cid,
        /// What is wrong.
        source: CryptError,
    },
    /// The file cannot be encrypted.
    #[error("cannot encrypt: {0}")]
    Encrypt(CryptError),
    /// Larger than the caller takes.
    #[error("{cid} is longer than the {max} bytes that are taken here")]
    TooLong {
        /// The file.
        cid: Cid,
        /// The limit, in bytes.
        max: usize,
    },
}

/// Who can read a file that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Everybody: the CID is that of the file itself, and every IPFS gateway can serve it.
    Plain,
    /// Who holds the private key of one of these X25519 keys (1..=256).
    Encrypted(Vec<B256>),
}

impl Protection {
    /// For the wallet's owner alone.
    pub fn owner(wallet: &Wallet) -> Self {
        Self::Encrypted(vec![wallet.exchange_public()])
    }
}

/// How a download is decrypted.
#[derive(Clone, Debug)]
pub enum Unlock<'a> {
    /// With the wallet's exchange key, if the file is encrypted; a plain file is passed on as it is.
    Wallet(&'a Wallet),
    /// With the file key, if the file is encrypted.
    Key(FileKey),
    /// Not at all: the bytes as stored.
    AsStored,
}

/// A file that was stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its address.
    pub cid: Cid,
    /// Bytes of the file as it was read.
    pub file_bytes: u64,
    /// Its key; `None` for a plain file.
    pub key: Option<FileKey>,
    /// How the gateway placed it.
    pub info: FileInfo,
}

/// A file that was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Bytes written.
    pub bytes: u64,
    /// Whether it was encrypted.
    pub encrypted: bool,
}

/// Puts and gets files through one gateway.
#[derive(Clone, Debug)]
pub struct Files {
    gateway: Gateway,
    scratch: PathBuf,
}

impl Files {
    /// Through `gateway`, with scratch files in the folder `scratch`.
    pub fn new(gateway: Gateway, scratch: PathBuf) -> Self {
        Self { gateway, scratch }
    }

    /// Stores the file at `path`.
    pub async fn put(&self, path: &Path, protection: &Protection) -> Result<Stored, FilesError> {
        let source = upload::Source::File(path.to_owned());
        self.upload(source, protection).await
    }

    /// Stores `bytes` as a file.
    pub async fn put_bytes(&self, bytes: impl Into<Bytes>, protection: &Protection) -> Result<Stored, FilesError> {
        self.upload(upload::Source::Bytes(bytes.into()), protection).await
    }

    /// Writes the file `cid` to `out`. Every block is checked before the first byte is written.
    pub async fn get(
        &self,
        cid: &Cid,
        unlock: &Unlock<'_>,
        out: &mut (impl AsyncWrite + Unpin),
    ) -> Result<Fetched, FilesError> {
        let dag = download::fetch(&self.gateway, cid, &self.scratch).await?;
        download::write(Arc::new(dag), cid, unlock, out).await
    }

    /// Writes the file `cid` to `path`: the whole file, or nothing.
    pub async fn get_to_file(&self, cid: &Cid, unlock: &Unlock<'_>, path: &Path) -> Result<Fetched, FilesError> {
        let failed = |source| FilesError::Io { action: "write", path: path.to_owned(), source };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let (scratch, file) = Scratch::create(folder).map_err(failed)?;
        let mut file = tokio::fs::File::from_std(file);
        let fetched = self.get(cid, unlock, &mut file).await?;
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)?;
        scratch.persist(path).map_err(failed)?;
        Ok(fetched)
    }

    /// The file `cid`, if it has at most `max` bytes.
    pub async fn get_bytes(&self, cid: &Cid, unlock: &Unlock<'_>, max: usize) -> Result<Vec<u8>, FilesError> {
        let mut out = Limited { bytes: Vec::new(), max, exceeded: false };
        match self.get(cid, unlock, &mut out).await {
            Err(FilesError::Output(_)) if out.exceeded => Err(FilesError::TooLong { cid: *cid, max }),
            Err(error) => Err(error),
            Ok(_) => Ok(out.bytes),
        }
    }

    /// One block, checked against `cid`.
    pub async fn block(&self, cid: &Cid) -> Result<Bytes, FilesError> {
        let bytes = self.gateway.block(cid).await?;
        block::check(cid, &bytes)?;
        Ok(bytes)
    }

    /// The key of the file `cid`, opened with the wallet's exchange key; `None` if the file is not encrypted.
    ///
    /// Reads the beginning of the file only.
    pub async fn file_key(&self, cid: &Cid, wallet: &Wallet) -> Result<Option<FileKey>, FilesError> {
        let start = self.start_of(cid).await?;
        if !start.starts_with(MAGIC) {
            return Ok(None);
        }
        let opened = crypt::open_header(&start, wallet.exchange_secret());
        opened.map(|file| Some(file.key)).map_err(|source| FilesError::Crypt { cid: *cid, source })
    }

    /// Files that the gateway knows, newest first.
    pub async fn list(&self, limit: usize) -> Result<Vec<FileInfo>, FilesError> {
        Ok(self.gateway.files(limit).await?)
    }

    /// Asks the gateway to rebuild damaged and missing shards of `cid`.
    pub async fn repair(&self, cid: &Cid) -> Result<RepairReport, FilesError> {
        Ok(self.gateway.repair(cid).await?)
    }

    /// As many bytes as the largest header of an encrypted file has.
    async fn start_of(&self, cid: &Cid) -> Result<Vec<u8>, FilesError> {
        // Prefix, header and check value.
        let length = (PREFIX_BYTES + HEADER_BYTES_MAX + 32) as u64;
        let not_a_file = |source| FilesError::NotAFile { cid: *cid, source };
        let source = Arc::new(Remote(self.gateway.clone()));
        let file = unixfs::read(source, *cid, Some(0..length)).await.map_err(not_a_file)?;
        let pieces: Vec<Bytes> = file.stream.try_collect().await.map_err(not_a_file)?;
        Ok(pieces.concat())
    }

    async fn upload(&self, source: upload::Source, protection: &Protection) -> Result<Stored, FilesError> {
        let built = upload::build(source, protection, &self.scratch).await?;
        let info = self.gateway.put_car_file(built.car.path()).await?;
        if info.cid.parse::<Cid>().ok() != Some(built.cid) {
            return Err(FilesError::OtherRoot { ours: built.cid, theirs: info.cid });
        }
        Ok(Stored { cid: built.cid, file_bytes: built.file_bytes, key: built.key, info })
    }
}

/// Blocks one at a time from a gateway.
struct Remote(Gateway);

#[async_trait]
impl BlockSource for Remote {
    async fn block(&self, cid: &Cid) -> Result<Bytes, BlockError> {
        match self.0.block(cid).await {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.status() == Some(404) => Err(BlockError::Unknown { cid: *cid }),
            Err(error) => Err(BlockError::unavailable(cid, error)),
        }
    }
}

/// A buffer that refuses to grow beyond a limit.
struct Limited {
    bytes: Vec<u8>,
    max: usize,
    exceeded: bool,
}

impl AsyncWrite for Limited {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        data: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        if self.bytes.len() + data.len() > self.max {
            self.exceeded = true;
            return std::task::Poll::Ready(Err(std::io::ErrorKind::FileTooLarge.into()));
        }
        self.bytes.extend_from_slice(data);
        std::task::Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}
