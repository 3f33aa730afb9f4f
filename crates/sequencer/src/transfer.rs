//! What a validator keeps but for its keys, as one file from which another one begins: without the blocks before a checkpoint.
//!
//! ```text
//! file      = "kumo validator snapshot 2\n" ‖ row… ‖ 0 (1) ‖ 32 (4) ‖ SHA-256 of everything before this row
//! row       = kind (1) ‖ length (4) ‖ bytes, in this order:
//!   1  head         digest of genesis (32) ‖ blocks of an epoch (8) ‖ first height (8) ‖ last height (8)
//!   2  checkpoint   the one of the epoch of the application's newest block, as it is kept
//!   3  landmarks    certified blocks before the first one that announced committees
//!   4  floor        certified header of the block before the committee of the last block began, if that is before the
//!                   first one
//!   5  blocks       certified, from the first to the last height; the last one with a finalization of its own
//!   6  seats        epoch (8) ‖ whom the application would seat, see `committees`
//!   7  accounts     of namespaces, see `fees`
//!   8  lane         the encrypted lane after a block, if there is one
//! certified = height (8) ‖ length (4) ‖ block, or header ‖ certificate
//! ```
//! Integers are big endian. Whoever imports it names the checkpoint that he trusts, and believes nothing else: the checkpoint
//! commits to its block and to the votes counted; that block names the committees before it, and the accounts, by their roots; blocks are
//! proven by certificates of those committees, each block is the child of the one before. Three things are not proven to who does not
//! trust the keys of former committees: the floor, the seats and the lane. False ones make the new validator refuse what
//! the others accept, and nothing worse.
//!
//! The state of the application is not in it; it must be that after a block between the checkpoint and the last one.

use crate::block::{Block, Header};
use crate::certificate::Certificate;
use crate::committee::{Committee, VerifyError};
use crate::committees::{Announcement, Schedule};
use crate::fees::{ACCOUNTS_FILE, Accounts, FeeError, Ledger, kept};
use crate::finality::{KeptCheckpoint, Tracker};
use crate::history::{History, HistoryError};
use crate::lane;
use crate::limits::{COMMITTEE_MAX, HEIGHT_MAX};
use crate::sequencer::{HISTORY_FILE, StartError, lock_directory, open_history, restore_committees};
use crate::system::System;
use bytes::Bytes;
use commonware_codec::{DecodeExt as _, Encode as _};
use commonware_cryptography::{Hasher as _, Sha256};
use proof::checkpoint::Point;
use protocol::api::CertifiedBlock;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

const MAGIC: &[u8] = b"kumo validator snapshot 2\n";
/// Largest row: a block with its certificate, or the accounts, or the lane.
const ROW_BYTES_MAX: usize = 64 << 20;
/// Most rows of landmarks and of seats each.
const ROWS_MAX: usize = 1 << 16;
/// Blocks that are read at a time.
const PAGE_BLOCKS: usize = 16;
const HEAD_BYTES: usize = 32 + 3 * 8;

const END: u8 = 0;
const HEAD: u8 = 1;
const CHECKPOINT: u8 = 2;
const LANDMARK: u8 = 3;
const FLOOR: u8 = 4;
const BLOCK: u8 = 5;
const SEATS: u8 = 6;
const ACCOUNTS: u8 = 7;
const LANE: u8 = 8;
/// Kinds of rows, [`END`] among them.
const KINDS: usize = 9;

/// A validator cannot be written to a file, or not be made from one.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// A file or directory cannot be used.
    #[error("cannot use {path}: {source}")]
    File {
        /// File.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory cannot be opened.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The history cannot be read or written.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// Something that is needed is not there yet.
    #[error("{0}; let the validator run for a while, stop it, and try again")]
    Missing(String),
    /// A block that is needed is pruned.
    #[error("block {0} is needed and was pruned; export from a validator that keeps it, see `--retention`")]
    Pruned(u64),
    /// The accounts of namespaces do not follow from the blocks.
    #[error(transparent)]
    Accounts(#[from] FeeError),
    /// The file is not what it should be.
    #[error("{path} is refused: {reason}")]
    Refused {
        /// File.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Newest block of the application.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Its height.
    pub height: u64,
    /// Its name in the application.
    pub hash: [u8; 32],
    /// The name of a block in the application.
    pub hash_of: fn(&Block) -> [u8; 32],
}

/// What is the same for all validators of a network.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Block 0.
    pub genesis: &'a Block,
    /// The committee of the network file.
    pub committee: &'a Committee,
    /// Blocks of an epoch.
    pub epoch_blocks: u64,
    /// Whether the network has an encrypted lane.
    pub has_lane: bool,
}

/// What a file must fit.
#[derive(Clone, Copy, Debug)]
pub struct Begin<'a> {
    /// The network.
    pub origin: Origin<'a>,
    /// The checkpoint that the operator has from somebody he trusts.
    pub trusted: Point,
    /// What the application has.
    pub head: Head,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transferred {
    /// Epoch of the checkpoint that it begins with.
    pub epoch: u64,
    /// Root of that checkpoint.
    pub root: [u8; 32],
    /// First block.
    pub first: u64,
    /// Last block.
    pub last: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> TransferError {
    |source| TransferError::File { path: path.to_owned(), source }
}

fn missing(what: impl Into<String>) -> TransferError {
    TransferError::Missing(what.into())
}

/// Writes rows, and their sum at the end.
struct Writer {
    file: BufWriter<File>,
    sum: Sha256,
    bytes: u64,
}

impl Writer {
    fn create(path: &Path) -> io::Result<Self> {
        let file = File::options().write(true).create_new(true).open(path)?;
        let mut writer = Self { file: BufWriter::new(file), sum: Sha256::default(), bytes: 0 };
        writer.put(MAGIC)?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sum.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn row(&mut self, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let length = u32::try_from(bytes).ok().filter(|_| bytes <= ROW_BYTES_MAX).ok_or(io::ErrorKind::FileTooLarge)?;
        self.put(&[kind])?;
        self.put(&length.to_be_bytes())?;
        parts.iter().try_for_each(|part| self.put(part))
    }

    fn certified(&mut self, kind: u8, certified: &CertifiedBlock) -> io::Result<()> {
        let (block, certificate) = (&certified.block.0, &certified.certificate.0);
        self.row(kind, &[&certified.height.to_be_bytes(), &(block.len() as u32).to_be_bytes(), block, certificate])
    }

    /// Everything is durable when it returns.
    fn finish(mut self) -> io::Result<u64> {
        let sum = self.sum.finalize().1.0;
        self.file.write_all(&[END])?;
        self.file.write_all(&(sum.len() as u32).to_be_bytes())?;
        self.file.write_all(&sum)?;
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(self.bytes + 5 + sum.len() as u64)
    }
}

/// Writes what the validator in `directory`, which must not run, keeps from the checkpoint on that its application has
/// reached with block `height`, to the new file `out`.
///
/// # Errors
/// When the directory holds no validator of this network or runs, something needed is pruned, or the file cannot be written.
pub fn export(directory: &Path, out: &Path, origin: Origin<'_>, height: u64) -> Result<Transferred, TransferError> {
    let path = directory.join(HISTORY_FILE);
    if !path.exists() {
        return Err(file_error(&path)(io::ErrorKind::NotFound.into()));
    }
    let _lock = lock_directory(directory)?;
    let history = open_history(directory, origin.genesis)?;
    let source = Source { history: &history, directory, origin };
    if out.try_exists().map_err(file_error(out))? {
        return Err(file_error(out)(io::ErrorKind::AlreadyExists.into()));
    }
    let draft = PathBuf::from(format!("{}.part", out.display()));
    let _ = fs::remove_file(&draft);
    let written = source.write(&draft, height).inspect_err(|_| drop(fs::remove_file(&draft)))?;
    fs::rename(&draft, out).map_err(file_error(out))?;
    Ok(written)
}

/// A validator that is written to a file.
struct Source<'a> {
    history: &'a History,
    directory: &'a Path,
    origin: Origin<'a>,
}

impl Source<'_> {
    fn write(&self, draft: &Path, height: u64) -> Result<Transferred, TransferError> {
        let epoch = height / self.origin.epoch_blocks;
        let kept = self.history.checkpoint(epoch)?;
        let kept = kept.filter(|_| epoch > 0).ok_or_else(|| missing(format!("epoch {epoch} has no checkpoint yet")))?;
        let last = self
            .history
            .certified_from(height)
            .ok_or_else(|| missing(format!("no block from {height} on is certified")))?;
        let lane = self.history.lane()?;
        let begun = kept.checkpoint.height;
        let first = if self.origin.has_lane { begun.min(laned(lane.as_deref()) + 1) } else { begun };
        let accounts = self.accounts(begun)?;
        let failed = || file_error(draft);
        let mut writer = Writer::create(draft).map_err(failed())?;
        let heights = [self.origin.epoch_blocks, first, last].map(u64::to_be_bytes).concat();
        writer.row(HEAD, &[&self.origin.genesis.digest(), &heights]).map_err(failed())?;
        writer.row(CHECKPOINT, &[&kept.encode()]).map_err(failed())?;
        let committees = restore_committees(self.origin.committee, self.history, self.origin.epoch_blocks)?;
        let schedule = committees.now();
        for landmark in schedule.terms().iter().map(|term| term.announced).filter(|height| (1..first).contains(height))
        {
            writer.certified(LANDMARK, &self.certified(landmark)?).map_err(failed())?;
        }
        if let Some(height) = floor(&schedule, first, last) {
            writer.certified(FLOOR, &self.certified_header(height)?).map_err(failed())?;
        }
        let mut next = first;
        while next <= last {
            let page = self.history.certified(next, last, PAGE_BLOCKS)?;
            let newest = page.last().ok_or(TransferError::Pruned(next))?.height;
            page.iter().try_for_each(|certified| writer.certified(BLOCK, certified)).map_err(failed())?;
            next = newest + 1;
        }
        for (epoch, seats) in self.history.candidates()? {
            let encoded =
                seats.encode().ok_or_else(|| missing(format!("the seats of epoch {epoch} have no encoding")))?;
            writer.row(SEATS, &[&epoch.to_be_bytes(), &encoded]).map_err(failed())?;
        }
        writer.row(ACCOUNTS, &[&kept::encode(&self.origin.genesis.digest(), &accounts)]).map_err(failed())?;
        if let Some(lane) = lane {
            writer.row(LANE, &[&lane]).map_err(failed())?;
        }
        let bytes = writer.finish().map_err(failed())?;
        let Point { epoch, root } = kept.checkpoint.point();
        Ok(Transferred { epoch, root: root.0, first, last, bytes })
    }

    fn certified(&self, height: u64) -> Result<CertifiedBlock, TransferError> {
        let page = self.history.certified(height, height, 1)?;
        page.into_iter().next().ok_or(TransferError::Pruned(height))
    }

    /// The header of a block that may be pruned, in place of the block.
    fn certified_header(&self, height: u64) -> Result<CertifiedBlock, TransferError> {
        let absent = || missing(format!("the header of block {height} has no certificate"));
        let (header, certificate) = (self.history.header(height)?, self.history.certificate(height)?);
        let (header, certificate) = header.zip(certificate).ok_or_else(absent)?;
        Ok(CertifiedBlock { height, block: header.encode().into(), certificate: certificate.encode().into() })
    }

    /// The accounts before the checkpoint's block, or the newest that are kept.
    fn accounts(&self, begun: u64) -> Result<Accounts, TransferError> {
        let ledger = Ledger::open(self.directory, self.origin.genesis.digest(), self.origin.epoch_blocks);
        let mut accounts = Accounts::clone(&ledger.accounts());
        if accounts.height() >= begun {
            return Err(missing(format!(
                "what namespaces owe is kept from after block {}, not {begun}",
                accounts.height()
            )));
        }
        for height in accounts.height() + 1..begun {
            let block = self.history.block(height)?;
            let block = block.ok_or(TransferError::Pruned(height))?;
            accounts.apply(height, &block.payload)?;
        }
        Ok(accounts)
    }
}

/// Reads rows; everything is bounded, and the sum is checked at the end.
struct Reader<'a> {
    path: &'a Path,
    file: BufReader<File>,
    sum: Sha256,
    bytes: u64,
}

impl<'a> Reader<'a> {
    fn open(path: &'a Path) -> Result<Self, TransferError> {
        let file = BufReader::new(File::open(path).map_err(file_error(path))?);
        let mut reader = Self { path, file, sum: Sha256::default(), bytes: 0 };
        let magic = reader.take(MAGIC.len())?;
        reader.sum.update(&magic);
        match magic == MAGIC {
            true => Ok(reader),
            false => Err(reader.refused("it is no snapshot of a validator, or one of another version")),
        }
    }

    fn refused(&self, reason: impl Into<String>) -> TransferError {
        TransferError::Refused { path: self.path.to_owned(), reason: reason.into() }
    }

    fn take(&mut self, bytes: usize) -> Result<Vec<u8>, TransferError> {
        let mut out = Vec::new();
        let read = self.file.by_ref().take(bytes as u64).read_to_end(&mut out).map_err(file_error(self.path))?;
        self.bytes += read as u64;
        match read == bytes {
            true => Ok(out),
            false => Err(self.refused(format!("it ends after {} bytes, in the middle", self.bytes))),
        }
    }

    /// The next row; `None` after the last one, if the sum is right and nothing follows.
    fn row(&mut self) -> Result<Option<(u8, Bytes)>, TransferError> {
        let head = self.take(5)?;
        let (kind, length) = (head[0], u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize);
        if length > ROW_BYTES_MAX {
            return Err(self.refused(format!("a row has {length} bytes, the limit is {ROW_BYTES_MAX}")));
        }
        let bytes = self.take(length)?;
        if kind != END {
            self.sum.update(&head);
            self.sum.update(&bytes);
            return Ok(Some((kind, bytes.into())));
        }
        let mut rest = [0];
        let is_whole = bytes[..] == std::mem::take(&mut self.sum).finalize().1.0
            && self.file.read(&mut rest).map_err(file_error(self.path))? == 0;
        match is_whole {
            true => Ok(None),
            false => Err(self.refused("its sum is wrong: it was damaged on its way")),
        }
    }
}

/// The directory that becomes `directory` when an import is done.
pub fn draft(directory: &Path) -> PathBuf {
    directory.with_extension("part")
}

/// Makes the directory of a validator from a file; there must be none yet. The trusted checkpoint must be the one in the file,
/// and not too old to be trusted. What is refused or interrupted leaves no directory.
///
/// # Errors
/// When the file does not follow from the checkpoint, or is not about what the application has, or the directory cannot be
/// written.
pub fn import(file: &Path, directory: &Path, begin: Begin<'_>, now_seconds: u64) -> Result<Transferred, TransferError> {
    if directory.try_exists().map_err(file_error(directory))? {
        return Err(file_error(directory)(io::ErrorKind::AlreadyExists.into()));
    }
    let draft = draft(directory);
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(file_error(&draft))?;
    }
    fs::create_dir_all(&draft).map_err(file_error(&draft))?;
    let taken = Reader::open(file).and_then(|reader| {
        let history = open_history(&draft, begin.origin.genesis)?;
        let schedule = Schedule::new(begin.origin.committee.clone(), begin.origin.epoch_blocks);
        let blocks = Blocks::default();
        let sink = Sink { reader, draft: &draft, history, begin, schedule, blocks, accounts: None, laned: 0 };
        sink.take(now_seconds)
    });
    let taken = taken.inspect_err(|_| drop(fs::remove_dir_all(&draft)))?;
    let finish = || -> io::Result<()> {
        File::open(&draft)?.sync_all()?;
        fs::rename(&draft, directory)?;
        directory.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    finish().map_err(file_error(directory))?;
    Ok(taken)
}

/// The run of blocks so far.
#[derive(Default)]
struct Blocks {
    first: u64,
    last: u64,
    newest: Option<Block>,
    /// Header of the block before the committee of the last one began.
    floor: Option<Header>,
    /// The block of the checkpoint.
    begun: Option<Block>,
    /// Whether the application's newest block is among them, and not before the checkpoint.
    has_head: bool,
    /// Whether the newest one has a finalization of its own.
    is_certified: bool,
}

/// A directory that is made from a file.
struct Sink<'a> {
    reader: Reader<'a>,
    draft: &'a Path,
    history: History,
    begin: Begin<'a>,
    schedule: Schedule,
    blocks: Blocks,
    accounts: Option<Accounts>,
    /// Height after which the lane is known.
    laned: u64,
}

impl Sink<'_> {
    fn take(mut self, now_seconds: u64) -> Result<Transferred, TransferError> {
        let Some((HEAD, head)) = self.reader.row()? else { return Err(self.reader.refused("it has no head")) };
        self.head(&head)?;
        let Some((CHECKPOINT, kept)) = self.reader.row()? else {
            return Err(self.reader.refused("it has no checkpoint"));
        };
        let kept = self.checkpoint(&kept, now_seconds)?;
        let (mut newest, mut counts) = (CHECKPOINT, [0usize; KINDS]);
        while let Some((kind, bytes)) = self.reader.row()? {
            let count = counts.get_mut(usize::from(kind)).filter(|_| kind >= newest && kind > CHECKPOINT);
            let count =
                count.ok_or_else(|| self.reader.refused(format!("a row of kind {kind} after one of kind {newest}")))?;
            *count += 1;
            if kind != BLOCK && *count > ROWS_MAX {
                return Err(self.reader.refused(format!("more than {ROWS_MAX} rows of kind {kind}")));
            }
            newest = kind;
            self.row(kind, bytes, &kept)?;
        }
        self.finish(&kept)
    }

    fn head(&mut self, head: &[u8]) -> Result<(), TransferError> {
        let refused = |reason: String| TransferError::Refused { path: self.reader.path.to_owned(), reason };
        let Ok(head) = <&[u8; HEAD_BYTES]>::try_from(head) else {
            return Err(refused(format!("its head has {} bytes, not {HEAD_BYTES}", head.len())));
        };
        let number = |at: usize| head[at..at + 8].iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        let (genesis, epoch_blocks) = (&head[..32], number(32));
        if genesis != self.begin.origin.genesis.digest() || epoch_blocks != self.begin.origin.epoch_blocks {
            return Err(refused(format!("it is of the network with genesis {}", hex::encode(genesis))));
        }
        (self.blocks.first, self.blocks.last) = (number(40), number(48));
        if self.blocks.first == 0 || self.blocks.first > self.blocks.last || self.blocks.last > HEIGHT_MAX {
            return Err(refused(format!("it claims blocks {} to {}", self.blocks.first, self.blocks.last)));
        }
        Ok(())
    }

    fn checkpoint(&self, kept: &[u8], now_seconds: u64) -> Result<KeptCheckpoint, TransferError> {
        let refused = |reason: String| self.reader.refused(reason);
        let kept = KeptCheckpoint::decode(kept).map_err(|error| refused(error.to_string()))?;
        Tracker::trust(self.begin.trusted, &kept, now_seconds).map_err(|error| refused(error.to_string()))?;
        Tracker::resume(&kept).map_err(|error| refused(error.to_string()))?;
        self.history.put_checkpoint(kept.checkpoint.epoch, kept.encode().into());
        Ok(kept)
    }

    fn row(&mut self, kind: u8, bytes: Bytes, kept: &KeptCheckpoint) -> Result<(), TransferError> {
        let refused = |reason: String| TransferError::Refused { path: self.reader.path.to_owned(), reason };
        match kind {
            LANDMARK => self.landmark(&certified(&bytes).ok_or_else(|| refused("a landmark is cut off".into()))?),
            FLOOR => self.floor(&certified(&bytes).ok_or_else(|| refused("a floor is cut off".into()))?),
            BLOCK => self.block(&certified(&bytes).ok_or_else(|| refused("a block is cut off".into()))?, kept),
            SEATS => {
                let (epoch, seats) =
                    bytes.split_first_chunk::<8>().ok_or_else(|| refused("a row of seats is cut off".into()))?;
                let epoch = u64::from_be_bytes(*epoch);
                if epoch > HEIGHT_MAX {
                    return Err(refused(format!("it has seats of epoch {epoch}, the limit is {HEIGHT_MAX}")));
                }
                Announcement::decode(seats).map_err(|error| refused(error.to_string()))?;
                self.history.put_candidates(epoch, bytes.slice_ref(seats));
                Ok(())
            }
            ACCOUNTS => {
                let accounts = kept::decode(&bytes, &self.begin.origin.genesis.digest(), Default::default());
                self.accounts =
                    Some(accounts.ok_or_else(|| refused("its accounts are not those of this network".into()))?);
                Ok(())
            }
            LANE => {
                self.laned = laned(Some(&bytes));
                self.history.put_lane(bytes);
                Ok(())
            }
            _ => Err(refused(format!("a row of unknown kind {kind}"))),
        }
    }

    fn landmark(&mut self, certified: &CertifiedBlock) -> Result<(), TransferError> {
        if certified.height >= self.blocks.first {
            return Err(self.reader.refused(format!("landmark {} is not before its blocks", certified.height)));
        }
        let block = self.verified(self.schedule.verify(certified))?;
        self.put(&block, certified);
        Ok(())
    }

    /// What the engine of the committee of the last block begins on, as far as its digest and its proof go.
    fn floor(&mut self, certified: &CertifiedBlock) -> Result<(), TransferError> {
        let wanted = floor(&self.schedule, self.blocks.first, self.blocks.last);
        let header = Header::decode(certified.block.0.clone()).ok();
        let header = header.filter(|header| Some(header.height) == wanted && self.blocks.floor.is_none());
        let header = header.ok_or_else(|| self.reader.refused(needed(wanted)))?;
        let certificate = certified.certificate.0.clone();
        let verified = self.schedule.verify_header(&header, certificate.clone());
        verified.map_err(|error| self.reader.refused(error.to_string()))?;
        self.put_certificate(header.height, certificate);
        self.blocks.floor = Some(header);
        Ok(())
    }

    fn block(&mut self, certified: &CertifiedBlock, kept: &KeptCheckpoint) -> Result<(), TransferError> {
        let wanted = self.blocks.newest.as_ref().map_or(self.blocks.first, |newest| newest.height + 1);
        if certified.height != wanted || wanted > self.blocks.last {
            return Err(self.reader.refused(format!("block {} where block {wanted} belongs", certified.height)));
        }
        let verified = match &self.blocks.newest {
            Some(parent) => self.schedule.verify_child(parent, certified),
            None => self.schedule.verify(certified),
        };
        let block = self.verified(verified)?;
        self.blocks.is_certified = self.put(&block, certified);
        if block.height == kept.checkpoint.height {
            if block.digest() != kept.checkpoint.block.0 {
                return Err(self.reader.refused("its checkpoint is of another chain than its blocks"));
            }
            // Keys of committees that have left may be anybody's, so their certificates alone prove no later committee.
            let named = System::read(&block.payload).unwrap_or_default().committees;
            if named != self.schedule.until(block.height - 1).root_for(block.height, false) {
                return Err(self.reader.refused("its committees are not those that the block of the checkpoint names"));
            }
            self.blocks.begun = Some(block.clone());
        }
        let Head { height, hash, hash_of } = self.begin.head;
        self.blocks.has_head |=
            block.height == height && block.height >= kept.checkpoint.height && hash_of(&block) == hash;
        self.blocks.newest = Some(block);
        // What is buffered stays small, whatever comes.
        self.history.commit()?;
        Ok(())
    }

    fn verified(&self, verified: Result<Block, VerifyError>) -> Result<Block, TransferError> {
        verified.map_err(|error| self.reader.refused(error.to_string()))
    }

    /// Keeps a verified block; returns whether it has a finalization of its own.
    fn put(&mut self, block: &Block, certified: &CertifiedBlock) -> bool {
        if self.schedule.apply(block) {
            self.history.put_announcement(block.height);
        }
        self.history.put_block(block.height, block.digest(), certified.block.0.clone());
        self.put_certificate(block.height, certified.certificate.0.clone())
    }

    /// Keeps a verified certificate if it is a finalization of that height itself; returns whether it is.
    fn put_certificate(&self, height: u64, certificate: Bytes) -> bool {
        let certificate = Certificate::decode(certificate, COMMITTEE_MAX);
        let own = certificate.ok().filter(|certificate| certificate.descendants.is_empty());
        if let Some(certificate) = &own {
            self.history.put_certificate(height, certificate.finalization.encode());
        }
        own.is_some()
    }

    fn finish(self, kept: &KeptCheckpoint) -> Result<Transferred, TransferError> {
        let Blocks { first, last, newest, floor: floored, begun, has_head, is_certified } = &self.blocks;
        let refused = |reason: &str| Err(self.reader.refused(reason));
        let (Some(newest), Some(begun), Some(accounts)) = (newest, begun, &self.accounts) else {
            return refused("it lacks the block of its checkpoint, or the accounts");
        };
        if newest.height != *last || !is_certified {
            return refused("its blocks do not end where it says, or its last block has no finalization of its own");
        }
        let wanted = floor(&self.schedule, *first, *last);
        if floored.as_ref().map(|header| header.height) != wanted {
            return refused(&needed(wanted));
        }
        if !has_head {
            let height = self.begin.head.height;
            return refused(&format!(
                "block {height} of the application is not among its blocks from the checkpoint on"
            ));
        }
        if self.begin.origin.has_lane && !(*first..=last.saturating_add(1)).contains(&self.laned.saturating_add(1)) {
            return refused(&format!(
                "its lane is that after block {}, and its blocks do not follow on it",
                self.laned
            ));
        }
        let committed = System::read(&begun.payload).unwrap_or_default().accounts;
        if accounts.height().checked_add(1) != Some(begun.height) || accounts.root() != committed {
            return refused("its accounts are not those that the block of the checkpoint commits to");
        }
        let path = self.draft.join(ACCOUNTS_FILE);
        kept::write(&path, &self.begin.origin.genesis.digest(), accounts)
            .map_err(|error| file_error(&path)(io::Error::other(error)))?;
        self.history.commit()?;
        self.history.begin(*first, floored.as_ref())?;
        let Point { epoch, root } = kept.checkpoint.point();
        Ok(Transferred { epoch, root: root.0, first: *first, last: *last, bytes: self.reader.bytes })
    }
}

/// The last height before the committee that orders the block after `last`, if it is before `first` and not genesis.
fn floor(schedule: &Schedule, first: u64, last: u64) -> Option<u64> {
    let floor = schedule.at(last.saturating_add(1)).first.saturating_sub(1);
    (1..first).contains(&floor).then_some(floor)
}

/// Which header must stand there.
fn needed(floor: Option<u64>) -> String {
    match floor {
        Some(height) => {
            format!("it must have the header of block {height} alone, on which the committee of its blocks begins")
        }
        None => "it must have no header, as the committee of its blocks begins on one of them".to_owned(),
    }
}

/// The height after which the lane was kept; genesis if it never was.
fn laned(kept: Option<&[u8]>) -> u64 {
    kept.and_then(lane::kept_height).unwrap_or(0)
}

/// A certified block as a row has it.
fn certified(bytes: &Bytes) -> Option<CertifiedBlock> {
    let (height, rest) = bytes.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (block, certificate) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let [block, certificate] = [block, certificate].map(|part| bytes.slice_ref(part).into());
    Some(CertifiedBlock { height: u64::from_be_bytes(*height), block, certificate })
}

#[cfg(test)]
mod tests;
