//! Final blocks and their certificates on disk, from genesis on; of old ones the headers (see `retained`).
//!
//! One redb file per validator. Writes are buffered and become durable together in one transaction, so that a final
//! block costs one `fsync`; a crash leaves the state before or after it. Which heights are present is kept as ranges,
//! so that opening a long history reads a few rows.

mod backend;
mod begun;
mod retained;

use crate::block::{Block, Header};
use crate::certificate::{Certificate, Finalization};
use crate::committees::Announcement;
use crate::equivocation::{CONSENSUS_KEY_BYTES, Equivocation};
use crate::finality::{KeptCheckpoint, Link, Tracker};
use crate::limits::{
    CERTIFICATE_HEADERS_MAX, CHECKPOINTS_KEPT, COMMITTEE_MAX, FINALIZED_BYTES_MAX, LINKS_KEPT,
    LINKS_PAGE_ELECTORATES_MAX,
};
use crate::ranges::Ranges;
pub(crate) use retained::STEP_BLOCKS_MAX;

use backend::Backend;
use bytes::Bytes;
use commonware_codec::Decode as _;
use parking_lot::Mutex;
use proof::checkpoint::{Evidence, KEY_BYTES};
use protocol::api::CertifiedBlock;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the tables hold and how; a file of another format is refused.
///
/// | format | what is new |
/// |---|---|
/// | 1 | – (the file does not name its format) |
/// | 2 | payloads with tables, three roots in the header |
/// | 3 | namespace 0 is the protocol's: votes and evidence; checkpoints |
/// | 4 | reveals are proofs of a verifiable random function; blocks may be pruned to their headers |
/// | 5 | accounts of namespaces name everything that was ordered; blocks name the committees that were announced before them |
const FORMAT: u64 = 5;

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const BLOCKS: TableDefinition<u64, &[u8]> = TableDefinition::new("blocks");
/// An empty last row of [`BLOCKS`], so that a new block goes into the leaf of this one, and the long block before it need
/// not be read for that.
const BLOCKS_END: u64 = u64::MAX;
/// Headers of pruned blocks.
const HEADERS: TableDefinition<u64, &[u8]> = TableDefinition::new("headers");
/// What stood where in the pruned blocks that are still remembered.
const PLACES: TableDefinition<u64, &[u8]> = TableDefinition::new("places");
/// Row of [`META`]: the height from which on every block is whole.
const OLDEST: &str = "oldest";
const HEIGHTS: TableDefinition<[u8; 32], u64> = TableDefinition::new("heights");
const CERTIFICATES: TableDefinition<u64, &[u8]> = TableDefinition::new("certificates");
/// Kept checkpoints by epoch.
const CHECKPOINTS: TableDefinition<u64, &[u8]> = TableDefinition::new("checkpoints");
/// The encrypted lane after a block, in one row.
const LANE: TableDefinition<u64, &[u8]> = TableDefinition::new("lane");
/// Heights of the blocks that announce a committee.
const ANNOUNCEMENTS: TableDefinition<u64, ()> = TableDefinition::new("announcements");
/// Seats that the application named, by the epoch of the checkpoint.
const CANDIDATES: TableDefinition<u64, &[u8]> = TableDefinition::new("candidates");
/// Links that were voted for, by the epoch of their target.
const LINKS: TableDefinition<u64, &[u8]> = TableDefinition::new("links");
/// The newest kept checkpoint of a link that names an electorate, by the electorate's root.
const ELECTORATES: TableDefinition<[u8; 32], &[u8]> = TableDefinition::new("electorates");
/// Evidence against voters by their key.
const EVIDENCE: TableDefinition<[u8; KEY_BYTES], &[u8]> = TableDefinition::new("evidence");
const EQUIVOCATIONS: TableDefinition<[u8; CONSENSUS_KEY_BYTES], &[u8]> = TableDefinition::new("equivocations");
const BLOCK_RANGES: TableDefinition<u64, u64> = TableDefinition::new("block_ranges");
const CERTIFICATE_RANGES: TableDefinition<u64, u64> = TableDefinition::new("certificate_ranges");

/// Memory for pages of the file.
const CACHE_BYTES: usize = 2 * 1024 * 1024;
/// Blocks kept in memory as they were put: the engine asks for each once more, and followers ask for the newest ones.
const RECENT_BLOCKS_MAX: usize = 64;
/// Bytes of their payloads; one block is kept whatever it has.
const RECENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The history of a validator cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file does not open: another process holds it, or it is damaged.
    #[error("cannot open {path}: {reason}")]
    Open {
        /// File.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file was written by another version of the program.
    #[error(
        "{path} has format {found}, this program reads format {FORMAT}: run the program that wrote it, or begin a new \
         network in another directory"
    )]
    Format {
        /// File.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// A read failed.
    #[error("cannot read {path}: {reason}")]
    Read {
        /// File.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A write failed.
    #[error("cannot write {path}: {reason}")]
    Write {
        /// File.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What was read makes no sense.
    #[error("{path} is damaged at height {height}: {reason}")]
    Damaged {
        /// File.
        path: PathBuf,
        /// Height of the record.
        height: u64,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Clone, Default)]
struct Pending {
    blocks: BTreeMap<u64, ([u8; 32], Bytes)>,
    certificates: BTreeMap<u64, Bytes>,
    checkpoints: BTreeMap<u64, Bytes>,
    announcements: BTreeSet<u64>,
    candidates: BTreeMap<u64, Bytes>,
    /// Candidates before this epoch are forgotten.
    candidates_from: u64,
    evidence: BTreeMap<[u8; KEY_BYTES], Bytes>,
    equivocations: BTreeMap<[u8; CONSENSUS_KEY_BYTES], Bytes>,
    lane: Option<Bytes>,
    /// Each with the root of its electorate, and the checkpoint that names it.
    links: BTreeMap<u64, (Bytes, [u8; 32], Bytes)>,
}

/// Links in order, and the electorates that they name.
#[derive(Clone, Debug, Default)]
pub struct LinkPage {
    /// Links, ascending by the epoch of their target.
    pub links: Vec<Link>,
    /// For each of their electorates a kept checkpoint that names it, by its root.
    pub electorates: BTreeMap<[u8; 32], KeptCheckpoint>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.blocks.is_empty()
            && self.certificates.is_empty()
            && self.checkpoints.is_empty()
            && self.announcements.is_empty()
            && self.candidates.is_empty()
            && self.evidence.is_empty()
            && self.lane.is_none()
            && self.links.is_empty()
            && self.equivocations.is_empty()
    }
}

#[derive(Default)]
struct Presence {
    blocks: Ranges,
    certificates: Ranges,
}

#[derive(Default)]
struct State {
    /// Accepted, not yet durable.
    pending: Pending,
    /// Present, pending ones included.
    presence: Presence,
    recent: Recent,
    /// Blocks below are pruned.
    oldest: u64,
}

/// The newest blocks, decoded.
#[derive(Default)]
struct Recent {
    blocks: BTreeMap<u64, Arc<Block>>,
    bytes: usize,
}

impl Recent {
    fn insert(&mut self, block: Arc<Block>) {
        self.bytes += block.payload.encoded().len();
        if let Some(before) = self.blocks.insert(block.height, block) {
            self.bytes -= before.payload.encoded().len();
        }
        while self.blocks.len() > RECENT_BLOCKS_MAX || (self.bytes > RECENT_BYTES_MAX && self.blocks.len() > 1) {
            let Some((_, oldest)) = self.blocks.pop_first() else { return };
            self.bytes -= oldest.payload.encoded().len();
        }
    }
}

/// The durable history of one validator.
pub(crate) struct History {
    path: PathBuf,
    database: Database,
    state: Mutex<State>,
    /// Held while a commit runs, so that whoever waits for an earlier write waits for its commit.
    committing: Mutex<()>,
}

impl History {
    /// Opens or creates the file and repairs it after a crash.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        let fail = |error: redb::Error| HistoryError::Open { path: path.to_owned(), reason: error.to_string() };
        let backend = Backend::open(path).map_err(|e| fail(e.into()))?;
        let database = redb::Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend);
        let database = database.map_err(|e| fail(e.into()))?;
        let found = open_format(&database).map_err(fail)?;
        if found != FORMAT {
            return Err(HistoryError::Format { path: path.to_owned(), found });
        }
        let presence = load_presence(&database).map_err(fail)?;
        let oldest = retained::load_oldest(&database).map_err(fail)?;
        let state = Mutex::new(State { presence, oldest, ..State::default() });
        Ok(Self { path: path.to_owned(), database, state, committing: Mutex::new(()) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Last height of the unbroken run of blocks from genesis on; `None` without a genesis.
    pub fn tip(&self) -> Option<u64> {
        self.with_blocks(|blocks| blocks.get(0).map(|(_, end)| end))
    }

    /// Reads the presence of blocks, pending ones included.
    pub fn with_blocks<T>(&self, read: impl FnOnce(&Ranges) -> T) -> T {
        read(&self.state.lock().presence.blocks)
    }

    /// Reads the presence of certificates, pending ones included.
    pub fn with_certificates<T>(&self, read: impl FnOnce(&Ranges) -> T) -> T {
        read(&self.state.lock().presence.certificates)
    }

    /// Buffers a final block; ignored if its height is present.
    pub fn put_block(&self, height: u64, digest: [u8; 32], encoded: Bytes) {
        let mut state = self.state.lock();
        if state.presence.blocks.get(height).is_none() {
            state.presence.blocks.insert(height);
            state.pending.blocks.insert(height, (digest, encoded));
        }
    }

    /// Keeps a block in memory for a while; it must be the one that was put at its height.
    pub fn remember(&self, block: Arc<Block>) {
        self.state.lock().recent.insert(block);
    }

    /// Buffers a finalization; ignored if its height is present.
    pub fn put_certificate(&self, height: u64, encoded: Bytes) {
        let mut state = self.state.lock();
        if state.presence.certificates.get(height).is_none() {
            state.presence.certificates.insert(height);
            state.pending.certificates.insert(height, encoded);
        }
    }

    /// Buffers the checkpoint of an epoch; those of epochs long past are forgotten.
    pub fn put_checkpoint(&self, epoch: u64, encoded: Bytes) {
        self.state.lock().pending.checkpoints.insert(epoch, encoded);
    }

    /// Buffers the lane after a block, in place of the one before. It is durable only together with that block and all
    /// before it, or after them.
    pub fn put_lane(&self, encoded: Bytes) {
        self.state.lock().pending.lane = Some(encoded);
    }

    /// The lane as it was kept last.
    pub fn lane(&self) -> Result<Option<Bytes>, HistoryError> {
        match self.state.lock().pending.lane.clone() {
            Some(encoded) => Ok(Some(encoded)),
            None => self.read(LANE, 0),
        }
    }

    /// Buffers that the block of this height announces a committee.
    pub fn put_announcement(&self, height: u64) {
        self.state.lock().pending.announcements.insert(height);
    }

    /// Heights of the blocks that announce a committee, ascending.
    pub fn announcements(&self) -> Result<Vec<u64>, HistoryError> {
        let read = || -> Result<Vec<u64>, redb::Error> {
            match self.database.begin_read()?.open_table(ANNOUNCEMENTS) {
                Ok(table) => table.iter()?.map(|row| Ok(row?.0.value())).collect(),
                Err(redb::TableError::TableDoesNotExist(_)) => Ok(Vec::new()),
                Err(error) => Err(error.into()),
            }
        };
        read().map_err(|error| self.read_error(&error))
    }

    /// Buffers a link and the kept checkpoint that names its electorate; it replaces what was known of the link.
    pub fn put_link(&self, link: &Link, kept: Bytes) {
        let value = (link.encode().into(), link.target.electorate.0, kept);
        self.state.lock().pending.links.insert(link.target.epoch, value);
    }

    /// Links to targets of epoch `from` and later, at most `max` and of a few electorates.
    pub fn links(&self, from: u64, max: usize) -> Result<LinkPage, HistoryError> {
        let pending = self.state.lock().pending.links.clone();
        let mut rows = self.read_links(from, max)?;
        rows.extend(pending.range(from..).map(|(epoch, (link, ..))| (*epoch, link.clone())));
        let mut electorates = BTreeMap::new();
        let mut page = LinkPage::default();
        for (epoch, row) in rows.into_iter().take(max) {
            let damaged = |reason: String| self.damaged(epoch, reason);
            let (target, _) = Link::decode_parts(&row).map_err(|error| damaged(error.to_string()))?;
            let root = target.electorate.0;
            if !electorates.contains_key(&root) {
                if electorates.len() == LINKS_PAGE_ELECTORATES_MAX {
                    break;
                }
                let waiting = pending.values().find(|(_, named, _)| *named == root).map(|(_, _, kept)| kept.clone());
                let kept = match waiting {
                    Some(kept) => Some(kept),
                    None => self.read(ELECTORATES, root)?,
                };
                let kept = kept.ok_or_else(|| damaged("the electorate of a link is missing".to_owned()))?;
                let kept = KeptCheckpoint::decode(&kept).map_err(|error| damaged(error.to_string()))?;
                let tracker = Tracker::resume(&kept).map_err(|error| damaged(error.to_string()))?;
                electorates.insert(root, tracker.state().checkpoint().1.clone());
                page.electorates.insert(root, kept);
            }
            let link = Link::decode(&row, &electorates[&root]).map_err(|error| damaged(error.to_string()))?;
            page.links.push(link);
        }
        Ok(page)
    }

    fn read_links(&self, from: u64, max: usize) -> Result<BTreeMap<u64, Bytes>, HistoryError> {
        let read = || -> Result<BTreeMap<u64, Bytes>, redb::Error> {
            let table = match self.database.begin_read()?.open_table(LINKS) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(BTreeMap::new()),
                Err(error) => return Err(error.into()),
            };
            let rows = table.range(from..)?.take(max);
            rows.map(|row| row.map(|(epoch, link)| (epoch.value(), Bytes::copy_from_slice(link.value()))))
                .collect::<Result<_, _>>()
                .map_err(Into::into)
        };
        read().map_err(|error| self.read_error(&error))
    }

    /// Buffers the seats that the application named after the checkpoint of an epoch.
    pub fn put_candidates(&self, epoch: u64, encoded: Bytes) {
        self.state.lock().pending.candidates.insert(epoch, encoded);
    }

    /// Forgets, with the next commit that has candidates, those of epochs before `epoch`.
    pub fn forget_candidates(&self, epoch: u64) {
        self.state.lock().pending.candidates_from = epoch;
    }

    /// The seats that were kept, by the epoch of the checkpoint.
    pub fn candidates(&self) -> Result<Vec<(u64, Announcement)>, HistoryError> {
        let read = || -> Result<Vec<(u64, Bytes)>, redb::Error> {
            let table = match self.database.begin_read()?.open_table(CANDIDATES) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                Err(error) => return Err(error.into()),
            };
            let row = |row: Result<(redb::AccessGuard<'_, u64>, redb::AccessGuard<'_, &[u8]>), _>| {
                let (epoch, encoded) = row?;
                Ok((epoch.value(), Bytes::copy_from_slice(encoded.value())))
            };
            table.iter()?.map(row).collect()
        };
        let decode = |(epoch, encoded): (u64, Bytes)| match Announcement::decode(&encoded) {
            Ok(seats) => Ok((epoch, seats)),
            Err(error) => Err(self.damaged(epoch, error.to_string())),
        };
        read().map_err(|error| self.read_error(&error))?.into_iter().map(decode).collect()
    }

    /// Buffers evidence against a voter, in place of what there may be against it.
    pub fn put_evidence(&self, key: [u8; KEY_BYTES], encoded: Bytes) {
        self.state.lock().pending.evidence.insert(key, encoded);
    }

    /// Buffers the equivocation of a consensus key, in place of what there may be of it.
    pub fn put_equivocation(&self, key: [u8; CONSENSUS_KEY_BYTES], encoded: Bytes) {
        self.state.lock().pending.equivocations.insert(key, encoded);
    }

    /// The checkpoint of an epoch, if it is kept.
    pub fn checkpoint(&self, epoch: u64) -> Result<Option<KeptCheckpoint>, HistoryError> {
        let pending = self.state.lock().pending.checkpoints.get(&epoch).cloned();
        let Some(encoded) = (match pending {
            Some(encoded) => Some(encoded),
            None => self.read(CHECKPOINTS, epoch)?,
        }) else {
            return Ok(None);
        };
        KeptCheckpoint::decode(&encoded).map(Some).map_err(|error| self.damaged(epoch, error.to_string()))
    }

    /// Evidence that was kept, at most `max`.
    pub fn evidence(&self, max: usize) -> Result<Vec<Evidence>, HistoryError> {
        let encoded = self.values(EVIDENCE, max)?;
        let decode = |bytes: &Bytes| Evidence::decode(bytes).map_err(|error| self.damaged(0, error.to_string()));
        encoded.iter().map(decode).collect()
    }

    /// Equivocations on disk, at most `max`.
    pub fn equivocations(&self, max: usize) -> Result<Vec<Equivocation>, HistoryError> {
        let encoded = self.values(EQUIVOCATIONS, max)?;
        let decode = |bytes: &Bytes| Equivocation::decode(bytes).map_err(|error| self.damaged(0, error.to_string()));
        encoded.iter().map(decode).collect()
    }

    /// The first values of a table that may not be there.
    fn values<const N: usize>(
        &self,
        definition: TableDefinition<[u8; N], &[u8]>,
        max: usize,
    ) -> Result<Vec<Bytes>, HistoryError> {
        let read = || -> Result<Vec<Bytes>, redb::Error> {
            let table = match self.database.begin_read()?.open_table(definition) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                Err(error) => return Err(error.into()),
            };
            table.iter()?.take(max).map(|row| Ok(Bytes::copy_from_slice(row?.1.value()))).collect()
        };
        read().map_err(|error| self.read_error(&error))
    }

    /// Makes everything accepted so far durable.
    pub fn commit(&self) -> Result<(), HistoryError> {
        let _committing = self.committing.lock();
        let pending = self.state.lock().pending.clone();
        if pending.is_empty() {
            return Ok(());
        }
        self.write(&pending)
            .map_err(|error| HistoryError::Write { path: self.path.clone(), reason: error.to_string() })?;
        let mut state = self.state.lock();
        state.pending.blocks.retain(|height, _| !pending.blocks.contains_key(height));
        state.pending.certificates.retain(|height, _| !pending.certificates.contains_key(height));
        state.pending.checkpoints.retain(|epoch, _| !pending.checkpoints.contains_key(epoch));
        state.pending.announcements.retain(|height| !pending.announcements.contains(height));
        state.pending.candidates.retain(|epoch, _| !pending.candidates.contains_key(epoch));
        state.pending.evidence.retain(|key, encoded| pending.evidence.get(key) != Some(encoded));
        if state.pending.lane == pending.lane {
            state.pending.lane = None;
        }
        // A link may have grown meanwhile.
        state.pending.links.retain(|epoch, link| pending.links.get(epoch) != Some(link));
        state.pending.equivocations.retain(|key, encoded| pending.equivocations.get(key) != Some(encoded));
        Ok(())
    }

    fn write(&self, pending: &Pending) -> Result<(), redb::Error> {
        let Pending {
            blocks,
            certificates,
            checkpoints,
            announcements,
            candidates,
            candidates_from,
            evidence,
            lane,
            equivocations,
            links,
        } = pending;
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(BLOCKS)?;
            let mut heights = transaction.open_table(HEIGHTS)?;
            if table.get(BLOCKS_END)?.is_none() {
                table.insert(BLOCKS_END, &[][..])?;
            }
            for (height, (digest, encoded)) in blocks {
                table.insert(height, encoded.as_ref())?;
                heights.insert(digest, height)?;
            }
            let mut table = transaction.open_table(CERTIFICATES)?;
            for (height, encoded) in certificates {
                table.insert(height, encoded.as_ref())?;
            }
        }
        if let Some(encoded) = lane {
            transaction.open_table(LANE)?.insert(0, encoded.as_ref())?;
        }
        write_checkpoints(&transaction, checkpoints)?;
        write_announcements(&transaction, announcements)?;
        write_candidates(&transaction, candidates, *candidates_from)?;
        write_evidence(&transaction, EVIDENCE, evidence)?;
        write_evidence(&transaction, EQUIVOCATIONS, equivocations)?;
        write_links(&transaction, links)?;
        write_ranges(&transaction, BLOCK_RANGES, blocks.keys())?;
        write_ranges(&transaction, CERTIFICATE_RANGES, certificates.keys())?;
        transaction.commit()?;
        Ok(())
    }

    /// The encoded block of a height.
    pub fn encoded_block(&self, height: u64) -> Result<Option<Bytes>, HistoryError> {
        if height == BLOCKS_END {
            return Ok(None);
        }
        let (pending, recent) = {
            let state = self.state.lock();
            let pending = state.pending.blocks.get(&height).map(|(_, encoded)| encoded.clone());
            (pending, state.recent.blocks.get(&height).cloned())
        };
        match (pending, recent) {
            (Some(encoded), _) => Ok(Some(encoded)),
            (None, Some(block)) => Ok(Some(block.encode())),
            (None, None) => self.read(BLOCKS, height),
        }
    }

    /// The block of a height.
    pub fn block(&self, height: u64) -> Result<Option<Block>, HistoryError> {
        Ok(self.shared_block(height)?.map(Arc::unwrap_or_clone))
    }

    /// The block of a height, with others who hold it.
    pub fn shared_block(&self, height: u64) -> Result<Option<Arc<Block>>, HistoryError> {
        if let Some(block) = self.state.lock().recent.blocks.get(&height) {
            return Ok(Some(block.clone()));
        }
        let Some(encoded) = self.encoded_block(height)? else { return Ok(None) };
        self.decoded(height, encoded).map(|block| Some(Arc::new(block)))
    }

    /// Decodes a stored block.
    pub fn decoded(&self, height: u64, encoded: Bytes) -> Result<Block, HistoryError> {
        Block::decode(encoded).map_err(|error| self.damaged(height, error.to_string()))
    }

    /// Height of the block with a digest.
    pub fn height(&self, digest: &[u8; 32]) -> Result<Option<u64>, HistoryError> {
        let pending = self.state.lock().pending.blocks.iter().find(|(_, (d, _))| d == digest).map(|(h, _)| *h);
        if pending.is_some() {
            return Ok(pending);
        }
        let read = || -> Result<Option<u64>, redb::Error> {
            match self.database.begin_read()?.open_table(HEIGHTS) {
                Ok(table) => Ok(table.get(digest)?.map(|height| height.value())),
                Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
                Err(error) => Err(error.into()),
            }
        };
        read().map_err(|error| self.read_error(&error))
    }

    /// The finalization stored for a height, if it has one of its own.
    pub fn finalization(&self, height: u64) -> Result<Option<Finalization>, HistoryError> {
        let pending = self.state.lock().pending.certificates.get(&height).cloned();
        let encoded = match pending {
            Some(encoded) => Some(encoded),
            None => self.read(CERTIFICATES, height)?,
        };
        let Some(encoded) = encoded else { return Ok(None) };
        Finalization::decode_cfg(encoded, &COMMITTEE_MAX)
            .map(Some)
            .map_err(|error| self.damaged(height, error.to_string()))
    }

    /// Final blocks from height `from` (at least 1) to `to` with their proofs, at most `max` and about
    /// [`FINALIZED_BYTES_MAX`] bytes.
    pub fn certified(&self, from: u64, to: u64, max: usize) -> Result<Vec<CertifiedBlock>, HistoryError> {
        let (mut page, mut bytes) = (Vec::new(), 0);
        for height in from.max(1)..=to {
            if page.len() >= max || bytes >= FINALIZED_BYTES_MAX {
                break;
            }
            let Some(block) = self.encoded_block(height)? else { break };
            let Some(certificate) = self.certificate(height)? else { break };
            let certificate = certificate.encode();
            bytes += block.len() + certificate.len();
            page.push(CertifiedBlock { height, block: block.into(), certificate: certificate.into() });
        }
        Ok(page)
    }

    /// The proof of a height: its own finalization, or that of the nearest descendant with the headers in between.
    pub fn certificate(&self, height: u64) -> Result<Option<Certificate>, HistoryError> {
        let Some(certified) = self.certified_from(height) else { return Ok(None) };
        if certified - height > CERTIFICATE_HEADERS_MAX as u64 {
            return Err(self.damaged(height, format!("the next finalization is of height {certified}")));
        }
        let descendants = (height + 1..=certified).map(|h| self.known_header(h)).collect::<Result<_, _>>()?;
        let finalization = self
            .finalization(certified)?
            .ok_or_else(|| self.damaged(certified, "its finalization is missing".to_owned()))?;
        Ok(Some(Certificate { descendants, finalization }))
    }

    fn known_header(&self, height: u64) -> Result<Header, HistoryError> {
        self.header(height)?.ok_or_else(|| self.damaged(height, "its header is missing".to_owned()))
    }

    fn read<'k, K: redb::Key + 'static>(
        &self,
        table: TableDefinition<K, &[u8]>,
        key: impl std::borrow::Borrow<K::SelfType<'k>>,
    ) -> Result<Option<Bytes>, HistoryError> {
        let read = || -> Result<Option<Bytes>, redb::Error> {
            match self.database.begin_read()?.open_table(table) {
                Ok(table) => Ok(table.get(key)?.map(|value| Bytes::copy_from_slice(value.value()))),
                Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
                Err(error) => Err(error.into()),
            }
        };
        read().map_err(|error| self.read_error(&error))
    }

    fn read_error(&self, error: &redb::Error) -> HistoryError {
        HistoryError::Read { path: self.path.clone(), reason: error.to_string() }
    }

    fn damaged(&self, height: u64, reason: String) -> HistoryError {
        HistoryError::Damaged { path: self.path.clone(), height, reason }
    }
}

/// The format of the file; writes ours into a new one.
fn open_format(database: &Database) -> Result<u64, redb::Error> {
    let transaction = database.begin_read()?;
    if let Some(found) = read_format(&transaction)? {
        return Ok(found);
    }
    // Format 1 did not name itself, but was never without genesis.
    if transaction.list_tables()?.next().is_some() {
        return Ok(1);
    }
    drop(transaction);
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert("format", FORMAT)?;
    transaction.commit()?;
    Ok(FORMAT)
}

fn read_format(transaction: &redb::ReadTransaction) -> Result<Option<u64>, redb::Error> {
    match transaction.open_table(META) {
        Ok(table) => Ok(table.get("format")?.map(|format| format.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn load_presence(database: &Database) -> Result<Presence, redb::Error> {
    let transaction = database.begin_read()?;
    let load = |definition| -> Result<Ranges, redb::Error> {
        let mut ranges = Ranges::default();
        let table = match transaction.open_table(definition) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(ranges),
            Err(error) => return Err(error.into()),
        };
        for row in table.iter()? {
            let (start, end) = row?;
            ranges.load(start.value(), end.value());
        }
        Ok(ranges)
    };
    Ok(Presence { blocks: load(BLOCK_RANGES)?, certificates: load(CERTIFICATE_RANGES)? })
}

/// Adds checkpoints and forgets those beyond [`CHECKPOINTS_KEPT`].
fn write_checkpoints(transaction: &WriteTransaction, checkpoints: &BTreeMap<u64, Bytes>) -> Result<(), redb::Error> {
    let Some((newest, _)) = checkpoints.last_key_value() else { return Ok(()) };
    let mut table = transaction.open_table(CHECKPOINTS)?;
    for (epoch, encoded) in checkpoints {
        table.insert(epoch, encoded.as_ref())?;
    }
    table.retain_in(..newest.saturating_sub(CHECKPOINTS_KEPT), |_, _| false)?;
    Ok(())
}

fn write_announcements(transaction: &WriteTransaction, announcements: &BTreeSet<u64>) -> Result<(), redb::Error> {
    if announcements.is_empty() {
        return Ok(());
    }
    let mut table = transaction.open_table(ANNOUNCEMENTS)?;
    for height in announcements {
        table.insert(height, ())?;
    }
    Ok(())
}

/// Adds candidates and forgets those of epochs before `from`.
fn write_candidates(
    transaction: &WriteTransaction,
    candidates: &BTreeMap<u64, Bytes>,
    from: u64,
) -> Result<(), redb::Error> {
    if candidates.is_empty() {
        return Ok(());
    }
    let mut table = transaction.open_table(CANDIDATES)?;
    for (epoch, encoded) in candidates {
        table.insert(epoch, encoded.as_ref())?;
    }
    table.retain_in(..from, |_, _| false)?;
    Ok(())
}

/// Adds links with their electorates, and forgets those beyond [`LINKS_KEPT`].
fn write_links(
    transaction: &WriteTransaction,
    links: &BTreeMap<u64, (Bytes, [u8; 32], Bytes)>,
) -> Result<(), redb::Error> {
    let Some((newest, _)) = links.last_key_value() else { return Ok(()) };
    let mut table = transaction.open_table(LINKS)?;
    let mut electorates = transaction.open_table(ELECTORATES)?;
    for (epoch, (link, root, kept)) in links {
        table.insert(epoch, link.as_ref())?;
        electorates.insert(root, kept.as_ref())?;
    }
    let oldest = newest.saturating_sub(LINKS_KEPT);
    table.retain_in(..oldest, |_, _| false)?;
    // Electorates change rarely, and looking at all of them costs: not at every link.
    if oldest > 0 && newest.is_multiple_of(CHECKPOINTS_KEPT) {
        electorates.retain(|_, kept| kept.first_chunk().is_some_and(|epoch| u64::from_be_bytes(*epoch) >= oldest))?;
    }
    Ok(())
}

/// Puts evidence in place of what there is against the same keys.
fn write_evidence<const N: usize>(
    transaction: &WriteTransaction,
    definition: TableDefinition<[u8; N], &[u8]>,
    evidence: &BTreeMap<[u8; N], Bytes>,
) -> Result<(), redb::Error> {
    if evidence.is_empty() {
        return Ok(());
    }
    let mut table = transaction.open_table(definition)?;
    for (key, encoded) in evidence {
        table.insert(key, encoded.as_ref())?;
    }
    Ok(())
}

/// Adds heights to the stored ranges, merging neighbours.
fn write_ranges<'a>(
    transaction: &WriteTransaction,
    definition: TableDefinition<u64, u64>,
    heights: impl Iterator<Item = &'a u64>,
) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(definition)?;
    for &height in heights {
        let before = table.range(..=height)?.next_back().transpose()?.map(|(start, end)| (start.value(), end.value()));
        let start = match before {
            Some((_, end)) if end >= height => continue,
            Some((start, end)) if end + 1 == height => start,
            _ => height,
        };
        let after = table.remove(height + 1)?.map(|end| end.value());
        table.insert(start, after.unwrap_or(height))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
