//! Starting, asking and stopping one validator.
//!
//! Every validator has its own thread with its own runtime, its own directory and its own port, so that several live
//! in one process as they would in several. The directory holds `lock`, `history.redb` (final blocks), `consensus/`
//! (the engine's write-ahead log, which keeps it from voting twice), `submissions.log`, `accounts.kept` and
//! `evidence.jsonl`. Two processes never share it.

use crate::application::Application;
use crate::block::{Block, Header};
use crate::committee::Committee;
use crate::committees::{Candidates, Committees, Schedule};
use crate::disk;
use crate::dissemination::Division;
use crate::engine::{self, Setup};
use crate::evidence::EvidenceLog;
use crate::fees::{Accounts, Committed, Ledger};
use crate::ffg::{ParametersError, TrustError};
use crate::finality::desk::{Desk, REPLAYED_EPOCHS, Refused};
use crate::finality::{Full, KeptCheckpoint, Tracker};
use crate::guard::Guard;
use crate::history::{History, HistoryError, LinkPage};
use crate::intake::{self, TakeError};
use crate::keys::ValidatorKeys;
use crate::lane::{self, Rules as LaneRules};
use crate::limits::{
    BLOCK_MILLIS_MAX, FINALIZED_BLOCKS_MAX, Limits, REMEMBERED_BYTES_MAX, STATUS_BLOCKS_MAX, SUBMISSIONS_MAX,
};
use crate::mempool::{Mempool, SubmitError};
use crate::orderer::Core;
use crate::submission::{Journal, JournalError, Lifetime, Receipt, Seats, Submission, Writer};
use bytes::Bytes;
use commonware_runtime::Runner as _;
use parking_lot::{Mutex, RwLock};
use protocol::api::{CertifiedBlock, StakeFinality, SubmissionStatus, ValidatorStatus};
use std::any::Any;
use std::fs::{self, File, TryLockError};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// Threads of one validator's runtime; blocking work has its own.
const WORKER_THREADS: usize = 1;
/// Threads for file access and for the application.
const BLOCKING_THREADS_MAX: usize = 64;

/// Everything that a validator is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Secrets of the validator. While no committee has a seat for them, it follows the others and waits for one.
    pub keys: ValidatorKeys,
    /// The first committee of the network.
    pub committee: Committee,
    /// Where to listen for the other validators; they dial the address in the committee.
    pub listen: SocketAddr,
    /// Directory of this validator alone; created if missing.
    pub directory: PathBuf,
    /// Unix milliseconds of genesis, the same on every validator.
    pub genesis_timestamp_millis: u64,
    /// Least time between two blocks in milliseconds (0..=60_000); 0 is as fast as the quorum can.
    pub block_millis: u64,
    /// What this validator queues and proposes.
    pub limits: Limits,
    /// Blocks of an epoch (2..=65_536), the same on every validator: the stake votes on the first one.
    pub epoch_blocks: u64,
    /// What the vote key has signed, and must not contradict. Opened for the digest of the genesis block.
    pub guard: Arc<Guard>,
    /// The encrypted lane, the same on every validator but for the share; `None` if the network has none.
    pub lane: Option<lane::Config>,
}

/// A validator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The directory cannot be created or written.
    #[error("cannot use {path}")]
    Directory {
        /// Directory or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process, or another validator of this one, uses the directory.
    #[error("{path} is in use by another validator: stop it, or choose another directory")]
    Locked {
        /// Directory.
        path: PathBuf,
    },
    /// The address cannot be listened on.
    #[error("cannot listen for validators on {address}")]
    Address {
        /// Address.
        address: SocketAddr,
        /// Why; most often it is in use.
        source: io::Error,
    },
    /// The keys are only in part those of a seat.
    #[error(
        "seat {seat} has the consensus key {public_key}, but another randomness or vote key than the keys that were given"
    )]
    OtherKeys {
        /// Consensus key.
        public_key: String,
        /// Seat in the newest committee that has the key.
        seat: u32,
    },
    /// The pace is out of range.
    #[error("block pace is {millis} ms, the limit is {BLOCK_MILLIS_MAX}")]
    Pace {
        /// What was asked.
        millis: u64,
    },
    /// The history cannot be used.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The journal of submissions cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The length of an epoch is out of range.
    #[error(transparent)]
    Epoch(#[from] ParametersError),
    /// The guard is of another network.
    #[error("{path} guards signatures for the network with genesis {found}, this one has {expected}")]
    Guard {
        /// File of the guard.
        path: PathBuf,
        /// Its genesis, in hex.
        found: String,
        /// Ours, in hex.
        expected: String,
    },
    /// A kept checkpoint cannot be gone on from.
    #[error("the checkpoint of epoch {epoch} in {path} cannot be used: {reason}")]
    Checkpoint {
        /// Epoch.
        epoch: u64,
        /// History file.
        path: PathBuf,
        /// Why.
        reason: TrustError,
    },
    /// What was kept of the encrypted lane cannot be used.
    #[error("what {path} keeps of the encrypted lane is damaged: remove the file and let the validator catch up")]
    Lane {
        /// History file.
        path: PathBuf,
    },
    /// The encrypted lane is set up wrongly.
    #[error("the encrypted lane has targets every {blocks} blocks, allowed are 1 to {}", lane::PERIOD_BLOCKS_MAX)]
    Period {
        /// What was asked.
        blocks: u64,
    },
    /// The directory belongs to a network with another genesis.
    #[error("{path} holds the history of another network: its genesis differs")]
    GenesisMismatch {
        /// History file.
        path: PathBuf,
    },
    /// The application has blocks that the history lacks.
    #[error("the application is at height {application}, but {path} ends at {stored}: they belong to different runs")]
    ApplicationAhead {
        /// Height of the application.
        application: u64,
        /// Last stored height.
        stored: u64,
        /// History file.
        path: PathBuf,
    },
    /// Blocks are pruned that something has still to take.
    #[error(
        "{what} goes on from block {height}, but {path} keeps whole blocks from height {oldest} on: restore what was lost \
         from a backup of this validator, or begin again in an empty directory with what another one kept"
    )]
    Pruned {
        /// What is behind.
        what: &'static str,
        /// The next block that it needs.
        height: u64,
        /// The oldest whole block.
        oldest: u64,
        /// History file.
        path: PathBuf,
    },
    /// The application refused a final block that it had missed.
    #[error("{0}")]
    Application(String),
    /// The engine failed, most often on damaged files.
    #[error("consensus cannot start from {path}: {reason}")]
    Engine {
        /// Directory of the engine.
        path: PathBuf,
        /// What the engine said.
        reason: String,
    },
}

/// Final blocks cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FinalizedError {
    /// The validator has stopped.
    #[error("the validator has stopped")]
    Stopped,
    /// The history cannot be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The block is older than blocks are kept.
    #[error("block {height} is pruned: this validator keeps blocks from height {oldest} on")]
    Pruned {
        /// Height asked for.
        height: u64,
        /// The height from which on every block is kept.
        oldest: u64,
    },
}

/// Evidence from outside was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The validator has stopped.
    #[error("the validator has stopped")]
    Stopped,
    /// It proves nothing that could cost anybody anything here.
    #[error("{0}")]
    Refused(String),
    /// There is no room for it.
    #[error(transparent)]
    Full(Full),
    /// It cannot be kept.
    #[error(transparent)]
    History(#[from] HistoryError),
}

/// What exists only while the validator runs.
struct Running {
    core: Arc<Core>,
    history: Arc<History>,
    evidence: EvidenceLog,
}

impl Running {
    /// Evidence seen since the start, of blocks and of votes on checkpoints.
    fn evidence(&self) -> u64 {
        self.evidence.count() + self.core.desk.found()
    }
}

type Slot = Arc<RwLock<Option<Running>>>;

struct Inner {
    public_key: String,
    committees: Committees,
    finality: watch::Receiver<StakeFinality>,
    slot: Slot,
    heights: watch::Receiver<u64>,
    failure: watch::Receiver<Option<String>>,
    stop: watch::Sender<bool>,
    done: watch::Receiver<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// Handle of a running validator; cheap to clone. When the last one is dropped, the validator stops by itself.
#[derive(Clone)]
pub struct Sequencer(Arc<Inner>);

fn directory_error(path: &Path) -> impl FnOnce(io::Error) -> StartError {
    |source| StartError::Directory { path: path.to_owned(), source }
}

/// File with the final blocks in the directory of a validator.
pub(crate) const HISTORY_FILE: &str = "history.redb";

/// Creates the directory and takes its lock, which lasts as long as the file is open.
pub(crate) fn lock_directory(directory: &Path) -> Result<File, StartError> {
    fs::create_dir_all(directory).map_err(directory_error(directory))?;
    let path = directory.join("lock");
    let file = File::options().create(true).append(true).open(&path).map_err(directory_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::Locked { path: directory.to_owned() }),
        Err(TryLockError::Error(source)) => Err(StartError::Directory { path, source }),
    }
}

/// Whether the guard is of the network with this genesis.
fn check_guard(guard: &Guard, genesis: &Block) -> Result<(), StartError> {
    let (found, expected) = (guard.genesis(), genesis.digest());
    if found == expected {
        return Ok(());
    }
    let path = guard.path().to_owned();
    Err(StartError::Guard { path, found: hex::encode(found), expected: hex::encode(expected) })
}

/// Opens the history, and stores genesis in a new one.
pub(crate) fn open_history(directory: &Path, genesis: &Block) -> Result<History, StartError> {
    let history = History::open(&directory.join(HISTORY_FILE))?;
    match history.block(0)? {
        Some(stored) if stored != *genesis => {
            return Err(StartError::GenesisMismatch { path: history.path().to_owned() });
        }
        Some(_) => {}
        None => {
            history.put_block(0, genesis.digest(), genesis.encode());
            history.commit()?;
        }
    }
    Ok(history)
}

/// From so many blocks on, catching up is told, and again each time as many are done.
const CATCH_UP_TOLD: u64 = 500;

/// Brings the application to the end of the history, and the mempool to know what is final. Returns the last height.
fn catch_up(core: &Core, history: &History) -> Result<u64, StartError> {
    let (application, stored) = (core.application.finalized_height(), history.tip().unwrap_or(0));
    if application > stored {
        return Err(StartError::ApplicationAhead { application, stored, path: history.path().to_owned() });
    }
    let laned = core.lane.as_ref().map_or(u64::MAX, |lane| lane.height());
    let behind = [
        ("the application", application),
        ("what the stake has finalised", core.desk.height()),
        ("what namespaces owe", core.ledger.height()),
        ("the encrypted lane", laned),
    ];
    let (what, behind) = behind.into_iter().min_by_key(|(_, height)| *height).expect("there are four");
    let oldest = history.oldest();
    if behind + 1 < oldest {
        return Err(StartError::Pruned { what, height: behind + 1, oldest, path: history.path().to_owned() });
    }
    let first = (behind + 1).min(first_remembered(history, stored)?);
    core.desk.heard_of_tip(stored);
    // Of pruned blocks it is known what was in them, as far as it is remembered.
    for height in (stored + 1).saturating_sub(STATUS_BLOCKS_MAX).max(1)..first.min(oldest) {
        let places = history.places(height)?;
        if !places.is_empty() {
            core.mempool.took(height, &places);
        }
    }
    for height in first..=stored {
        if stored - application >= CATCH_UP_TOLD && (height - first).is_multiple_of(CATCH_UP_TOLD) {
            tracing::info!(height, until = stored, "the application takes the final blocks it has missed");
        }
        if let Some(block) = history.block(height)? {
            core.deliver(&block).map_err(StartError::Application)?;
        }
    }
    Ok(stored)
}

/// Finality after the newest checkpoint kept, or at genesis, and the blocks before it whose votes are still compared
/// with new ones, each with the state after it.
fn restore(
    committee: &Committee,
    history: &History,
    genesis: &Block,
    epoch_blocks: u64,
) -> Result<(Tracker, Vec<(Tracker, Block)>), StartError> {
    let start = Tracker::genesis(committee, genesis, epoch_blocks)?;
    let unusable = |epoch, reason| StartError::Checkpoint { epoch, path: history.path().to_owned(), reason };
    let newest_epoch = history.tip().unwrap_or(0) / epoch_blocks;
    let mut epoch = newest_epoch;
    // A crash may have lost the newest one or two, as blocks are stored before they are applied.
    let newest = loop {
        if epoch == 0 {
            return Ok((start, Vec::new()));
        }
        if let Some(kept) = history.checkpoint(epoch)? {
            break Tracker::resume(&kept).map_err(|reason| unusable(epoch, reason))?;
        }
        epoch -= 1;
    };
    let mut reviewed = Vec::new();
    for past in epoch.saturating_sub(REPLAYED_EPOCHS)..epoch {
        let Some(kept) = history.checkpoint(past)? else { continue };
        let tracker = Tracker::resume(&kept).map_err(|reason| unusable(past, reason))?;
        for height in past * epoch_blocks + 1..(past + 1) * epoch_blocks {
            reviewed.extend(history.block(height)?.map(|block| (tracker.clone(), block)));
        }
    }
    Ok((newest, reviewed))
}

/// The lane after the last block for which it was kept, or at genesis.
fn restore_lane(
    config: Option<lane::Config>,
    (committee, keys, schedule): (&Committee, &ValidatorKeys, &Schedule),
    (history, directory): (&Arc<History>, &Path),
    application: &dyn Application,
) -> Result<Option<Arc<lane::desk::Desk>>, StartError> {
    let Some(config) = config else { return Ok(None) };
    if !(1..=lane::PERIOD_BLOCKS_MAX).contains(&config.period_blocks) {
        return Err(StartError::Period { blocks: config.period_blocks });
    }
    let rules = LaneRules::new(&config, committee.chain_id(), application.executes(), committee.size());
    let rules = Arc::new(rules);
    let damaged = || StartError::Lane { path: history.path().to_owned() };
    let state = match history.lane()? {
        Some(kept) => lane::state::State::decode(rules, schedule, &kept).ok_or_else(damaged)?,
        None => {
            let sharing = config.dealt.as_ref().map(lane::Secret::sharing);
            let dealt = sharing.and_then(|sharing| lane::ceremony::Key::dealt(sharing, committee.participants()));
            lane::state::State::genesis(rules, schedule.until(0), dealt)
        }
    };
    let vault = lane::vault::Vault::new(directory.join("lane"));
    let dealings = lane::dealings::Dealings::new(keys.consensus.clone(), vault, config.dealt, config.randomness);
    Ok(Some(Arc::new(lane::desk::Desk::new(dealings, state, history.clone()))))
}

/// First height whose transactions are remembered after a start: what is read for it is bounded by blocks and bytes.
fn first_remembered(history: &History, stored: u64) -> Result<u64, HistoryError> {
    let (mut first, mut bytes) = (stored + 1, 0);
    while first > history.oldest() && stored + 1 - first < STATUS_BLOCKS_MAX {
        bytes += history.encoded_block(first - 1)?.map_or(0, |block| block.len());
        if bytes > REMEMBERED_BYTES_MAX {
            break;
        }
        first -= 1;
    }
    Ok(first)
}

/// The committees that the blocks in the history announce.
pub(crate) fn restore_committees(
    committee: &Committee,
    history: &History,
    epoch_blocks: u64,
) -> Result<Committees, HistoryError> {
    let mut schedule = Schedule::new(committee.clone(), epoch_blocks);
    for height in history.announcements()? {
        if let Some(block) = history.block(height)? {
            schedule.apply(&block);
        }
    }
    Ok(Committees::new(schedule))
}

/// Keys that are listed with others than these would propose and vote in vain.
fn check_keys(committees: &Committees, keys: &ValidatorKeys) -> Result<(), StartError> {
    let (schedule, public_key) = (committees.now(), keys.public_key());
    for term in schedule.terms().iter().rev() {
        let Some(seat) = term.committee.seat(&public_key) else { continue };
        return match term.committee.owns(seat, keys) {
            true => Ok(()),
            false => Err(StartError::OtherKeys { public_key, seat }),
        };
    }
    Ok(())
}

/// Writes to the disk from now on what `core` accepts.
fn open_journal(core: &Core, path: &Path, genesis: [u8; 32], writer: Writer) -> Result<(), JournalError> {
    let told = Arc::downgrade(&core.mempool);
    let snapshot = Box::new(move || told.upgrade().map_or_else(Vec::new, |mempool| mempool.snapshot()));
    let others = Seats::others(&core.committees.at(core.next_height()), &core.keys);
    core.mempool.attach(Journal::start(path, genesis, snapshot, writer)?, others);
    Ok(())
}

/// A validator that takes no part yet.
pub(crate) struct Prepared {
    /// Of its directory.
    pub lock: File,
    pub setup: Setup,
    /// Height of the application.
    pub height: u64,
}

/// Opens what a validator keeps and brings its application up to date. `reachable` is asked between taking the
/// directory and using it. Blocks the thread.
pub(crate) fn prepare(
    config: Config,
    application: Arc<dyn Application>,
    writer: Writer,
    reachable: impl FnOnce() -> Result<(), StartError>,
) -> Result<Prepared, StartError> {
    let Config {
        keys,
        committee,
        listen: _,
        directory,
        genesis_timestamp_millis,
        block_millis,
        limits,
        epoch_blocks,
        guard,
        lane,
    } = config;
    if block_millis > BLOCK_MILLIS_MAX {
        return Err(StartError::Pace { millis: block_millis });
    }
    check_keys(&Committees::new(Schedule::new(committee.clone(), epoch_blocks)), &keys)?;
    let lock = lock_directory(&directory)?;
    reachable()?;
    let genesis = Block::genesis(committee.chain_id(), genesis_timestamp_millis, application.genesis_commitment());
    let history = Arc::new(open_history(&directory, &genesis)?);
    check_guard(&guard, &genesis)?;
    let committees = restore_committees(&committee, &history, epoch_blocks)?;
    check_keys(&committees, &keys)?;
    let (tracker, reviewed) = restore(&committee, &history, &genesis, epoch_blocks)?;
    let desk = Arc::new(Desk::new(keys.votes.clone(), tracker, history.clone())?);
    reviewed.iter().for_each(|(tracker, block)| desk.review(tracker, block));
    let lane = restore_lane(lane, (&committee, &keys, &committees.now()), (&history, &directory), &*application)?;
    let mempool = Mempool::new(limits);
    if let Some(lane) = &lane {
        mempool.seal(lane.rules());
        mempool.close_lane(lane.closed());
    }
    let evidence_path = directory.join("evidence.jsonl");
    let evidence = EvidenceLog::open(&evidence_path, committees.clone()).map_err(directory_error(&evidence_path))?;
    evidence.tell(desk.clone());
    let core = Arc::new(Core {
        committees,
        candidates: Candidates::open(history.clone())?,
        keys,
        application,
        mempool: Arc::new(mempool),
        desk,
        lane,
        ledger: Ledger::open(&directory, genesis.digest(), epoch_blocks),
        pace: Duration::from_millis(block_millis),
        proposal_bytes: limits.proposal_bytes(),
        gate: RwLock::new(()),
        heights: watch::Sender::new(0),
        failure: watch::Sender::new(None),
    });
    let (journal, digest) = (directory.join("submissions.log"), genesis.digest());
    core.mempool.restore(Journal::read(&journal, &digest)?);
    let height = catch_up(&core, &history)?;
    open_journal(&core, &journal, digest, writer)?;
    let (prefix, retention, blocks) = (String::new(), limits.retention, Some(directory.join("blocks")));
    let division = Division::default();
    let setup = Setup { core, history, evidence, genesis, prefix, blocks, guard, retention, division };
    Ok(Prepared { lock, setup, height })
}

/// The final blocks from `from` to `to` with their proofs, at most `max`.
pub(crate) fn finalized(
    history: &History,
    from: u64,
    to: u64,
    max: usize,
) -> Result<Vec<CertifiedBlock>, FinalizedError> {
    let blocks = history.certified(from, to, max)?;
    let height = from.max(1);
    if blocks.is_empty() && height <= to && history.is_pruned(height)? {
        return Err(FinalizedError::Pruned { height, oldest: history.oldest() });
    }
    Ok(blocks)
}

/// The header of a block with its certificate, if it is not above `newest`.
pub(crate) fn certified_header(
    history: &History,
    height: u64,
    newest: u64,
) -> Result<Option<(Header, Bytes)>, FinalizedError> {
    if !(1..=newest).contains(&height) {
        return Ok(None);
    }
    let (header, certificate) = (history.header(height)?, history.certificate(height)?);
    Ok(header.zip(certificate).map(|(header, certificate)| (header, certificate.encode())))
}

/// What a panic said.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("unknown panic").to_owned()
}

/// Why the engine ended.
async fn supervise(
    context: commonware_runtime::tokio::Context,
    setup: Setup,
    listen: SocketAddr,
    ready: oneshot::Sender<()>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), String> {
    let mut failure = setup.core.failure.subscribe();
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => Ok(()),
        reason = failure.wait_for(Option::is_some) => Err(reason.ok().and_then(|r| r.clone()).unwrap_or_default()),
        reason = engine::run(context, setup, listen, ready) => Err(reason),
    }
}

/// Body of the validator's thread: returns when stopped or failed, with everything released.
fn run_thread(
    directory: &Path,
    setup: Setup,
    listen: SocketAddr,
    ready: oneshot::Sender<()>,
    stop: watch::Receiver<bool>,
) {
    let core = setup.core.clone();
    let config = commonware_runtime::tokio::Config::new()
        .with_worker_threads(WORKER_THREADS)
        .with_max_blocking_threads(BLOCKING_THREADS_MAX)
        .with_storage_directory(directory);
    let runner = commonware_runtime::tokio::Runner::new(config);
    let outcome =
        catch_unwind(AssertUnwindSafe(|| runner.start(|context| supervise(context, setup, listen, ready, stop))));
    let reason = match outcome {
        Ok(Ok(())) => {
            // What a crash would compute again from the last commit on.
            if let Err(error) = core.desk.commit() {
                tracing::warn!(%error, "the last blocks are taken again at the next start");
            }
            return;
        }
        Ok(Err(reason)) => reason,
        Err(panic) => panic_text(&*panic),
    };
    // The engine's log says that it could not write, but not why.
    let reason = match disk::check(directory) {
        Ok(()) => reason,
        Err(error) => format!("{reason}: {}: {error}", directory.display()),
    };
    tracing::error!(directory = %directory.display(), reason, "validator failed");
    core.failure.send_if_modified(|failure| {
        let first = failure.is_none();
        failure.get_or_insert(reason);
        first
    });
}

impl Sequencer {
    /// Starts a validator and returns when it takes part. Blocks the thread: final blocks that the application has
    /// missed are handed to it first.
    pub fn start(config: Config, application: Arc<dyn Application>) -> Result<Self, StartError> {
        let (listen, directory) = (config.listen, config.directory.clone());
        let prepared = prepare(config, application, Writer::Thread, || {
            let bound = TcpListener::bind(listen);
            bound.map(drop).map_err(|source| StartError::Address { address: listen, source })
        })?;
        let Prepared { lock, setup, height } = prepared;
        let public_key = setup.core.keys.public_key();
        let seat = setup.core.committees.at(height + 1).seat(&public_key);
        tracing::info!(seat, height, %listen, directory = %directory.display(), "validator starts");
        Self::spawn(directory, listen, lock, setup)
    }

    fn spawn(directory: PathBuf, listen: SocketAddr, lock: File, setup: Setup) -> Result<Self, StartError> {
        let core = setup.core.clone();
        let (public_key, committees) = (core.keys.public_key(), core.committees.clone());
        let running = Running { core: core.clone(), history: setup.history.clone(), evidence: setup.evidence.clone() };
        let slot: Slot = Arc::new(RwLock::new(Some(running)));
        let (heights, failure) = (core.heights.subscribe(), core.failure.subscribe());
        let finality = core.desk.view();
        drop(core);
        let (stop, stopped) = watch::channel(false);
        let (finished, done) = watch::channel(false);
        let (ready, started) = oneshot::channel();
        let (consensus, released) = (directory.join("consensus"), slot.clone());
        let path = consensus.clone();
        let body = move || {
            run_thread(&consensus, setup, listen, ready, stopped);
            // Closing waits for the disk, and whoever asks for the status must not.
            let running = released.write().take();
            if let Some(running) = running {
                running.core.mempool.close();
            }
            drop(lock);
            finished.send_replace(true);
        };
        let thread = std::thread::Builder::new()
            .name(format!("validator-{}", &public_key[..8]))
            .spawn(body)
            .map_err(directory_error(&directory))?;
        let thread = Mutex::new(Some(thread));
        let sequencer =
            Self(Arc::new(Inner { public_key, committees, finality, slot, heights, failure, stop, done, thread }));
        if futures::executor::block_on(started).is_err() {
            sequencer.join();
            let reason = sequencer.failure().unwrap_or_else(|| "it ended before it was ready".to_owned());
            return Err(StartError::Engine { path, reason });
        }
        Ok(sequencer)
    }

    /// Queues an opaque transaction and returns its hash; it is ordered unless this validator stops before its turn, or
    /// it expires. The same bytes are queued once, also when they became final lately. For callers that keep the
    /// transaction themselves and submit it again; see [`Sequencer::accept`].
    pub fn submit(&self, namespace: u64, payload: Bytes) -> Result<[u8; 32], SubmitError> {
        self.mempool()?.submit(namespace, payload)
    }

    /// Queues opaque transactions of several namespaces, in this order, that must stand in one block together and
    /// contiguous, or not at all. Returns the name of the bundle, which is queued once, also when it became final
    /// lately. As [`Sequencer::submit`], it does not outlive this validator.
    pub fn submit_bundle(&self, transactions: Vec<(u64, Bytes)>) -> Result<[u8; 32], SubmitError> {
        self.mempool()?.submit_bundle(transactions)
    }

    /// Accepts submissions, and returns when they are on the disk: from then on each is ordered or expires, also when
    /// this validator is killed. They are handed to the other validators in the background. The answers have the order
    /// of the submissions (at most [`SUBMISSIONS_MAX`]).
    pub async fn accept(&self, submissions: Vec<Submission>, lifetime: Lifetime) -> Vec<Result<Receipt, SubmitError>> {
        let count = submissions.len();
        let refused = |error: SubmitError| (0..count).map(|_| Err(error.clone())).collect();
        if count > SUBMISSIONS_MAX {
            return refused(SubmitError::TooMany { submissions: count });
        }
        let mempool = match self.mempool() {
            Ok(mempool) => mempool,
            Err(error) => return refused(error),
        };
        let checked = submissions.into_iter().map(Submission::check).collect();
        let (receipts, written) = mempool.accept(checked, lifetime);
        // Without a journal all were refused.
        let Some(written) = written else { return receipts };
        match written.await {
            Ok(Ok(())) => receipts,
            Ok(Err(reason)) => refused(SubmitError::Journal(reason)),
            Err(_) => refused(SubmitError::Stopped),
        }
    }

    /// What became of transactions and bundles, by hash or name; `finalized_height` is the newest height that stake has
    /// finalised.
    pub fn statuses(&self, hashes: &[[u8; 32]], finalized_height: u64) -> Result<Vec<SubmissionStatus>, SubmitError> {
        Ok(self.mempool()?.statuses(hashes, finalized_height))
    }

    /// Takes evidence that somebody else has found, as it stands in blocks (see [`System`](crate::System)). It is judged, on the
    /// disk when this returns, told to the other validators, and stands in a block as soon as one of them proposes. Blocks the thread.
    pub fn report(&self, evidence: &[u8]) -> Result<(), ReportError> {
        let slot = self.0.slot.read();
        let Running { core, history, .. } = slot.as_ref().ok_or(ReportError::Stopped)?;
        let (core, history) = (core.clone(), history.clone());
        drop(slot);
        let newest = history.block(self.height())?;
        let newest = newest.ok_or_else(|| ReportError::Refused("no block is final yet".to_owned()))?;
        core.report(&newest, evidence).map_err(|refused| match refused {
            Refused::False(reason) => ReportError::Refused(reason),
            Refused::Full(full) => ReportError::Full(full),
        })?;
        Ok(core.desk.commit()?)
    }

    fn mempool(&self) -> Result<Arc<Mempool>, SubmitError> {
        let slot = self.0.slot.read();
        Ok(slot.as_ref().ok_or(SubmitError::Stopped)?.core.mempool.clone())
    }

    /// Takes final blocks that somebody serves, in order, from the height after [`Sequencer::height`] on: for a validator
    /// without a seat, or one that nobody is connected to. Nothing but certificates is believed. Blocks the thread.
    pub fn take(&self, blocks: &[CertifiedBlock]) -> Result<(), TakeError> {
        let (core, history) = {
            let slot = self.0.slot.read();
            let running = slot.as_ref().ok_or(TakeError::Stopped)?;
            (running.core.clone(), running.history.clone())
        };
        intake::take(&core, &history, blocks)
    }

    /// Final blocks from height `from` (at least 1) on with their proofs, without gaps: at most `max`,
    /// [`FINALIZED_BLOCKS_MAX`] and about 8 MiB. Empty if `from` is not final yet. Reads the disk.
    ///
    /// # Errors
    /// Also when `from` is pruned.
    pub fn finalized(&self, from: u64, max: usize) -> Result<Vec<CertifiedBlock>, FinalizedError> {
        let history = self.0.slot.read().as_ref().ok_or(FinalizedError::Stopped)?.history.clone();
        finalized(&history, from, self.height(), max.min(FINALIZED_BLOCKS_MAX))
    }

    /// The final block of `height` with its proof, decoded: what proofs about its namespaces are made from. `None` if
    /// it is not final yet, and for genesis. Reads the disk.
    ///
    /// # Errors
    /// Also when the block is pruned.
    pub fn block(&self, height: u64) -> Result<Option<(Block, Bytes)>, FinalizedError> {
        let history = self.0.slot.read().as_ref().ok_or(FinalizedError::Stopped)?.history.clone();
        let Some(certified) = finalized(&history, height, self.height().min(height), 1)?.pop() else { return Ok(None) };
        let block = history.decoded(height, certified.block.0)?;
        Ok(Some((block, certified.certificate.0)))
    }

    /// The header of a final block with its certificate; both stay when the block is pruned. `None` if it is not final
    /// yet, and for genesis. Reads the disk.
    pub fn header(&self, height: u64) -> Result<Option<(Header, Bytes)>, FinalizedError> {
        let history = self.0.slot.read().as_ref().ok_or(FinalizedError::Stopped)?.history.clone();
        certified_header(&history, height, self.height())
    }

    /// The height from which on every final block is kept; 0 if this validator has stopped.
    pub fn oldest(&self) -> u64 {
        self.0.slot.read().as_ref().map_or(0, |running| running.history.oldest())
    }

    /// Height of the final block with this digest. Reads the disk.
    pub fn height_of(&self, digest: &[u8; 32]) -> Result<Option<u64>, FinalizedError> {
        let history = self.0.slot.read().as_ref().ok_or(FinalizedError::Stopped)?.history.clone();
        let newest = self.height();
        Ok(history.height(digest)?.filter(|height| *height <= newest))
    }

    /// Block 0, which has no certificate.
    pub fn genesis(&self) -> Result<Block, FinalizedError> {
        let history = self.0.slot.read().as_ref().ok_or(FinalizedError::Stopped)?.history.clone();
        Ok(history.block(0)?.expect("genesis is stored before the start"))
    }

    /// Newest height that the application has taken.
    pub fn height(&self) -> u64 {
        *self.0.heights.borrow()
    }

    /// Follows [`Sequencer::height`]; closes when the validator stops.
    pub fn heights(&self) -> watch::Receiver<u64> {
        self.0.heights.clone()
    }

    /// Follows what the stake has justified and finalised; closes when the validator stops.
    pub fn finality(&self) -> watch::Receiver<StakeFinality> {
        self.0.finality.clone()
    }

    /// The checkpoint of `epoch` with its state, from which another node can start; `None` if it is not reached yet or
    /// no longer kept. Reads the disk.
    pub fn checkpoint(&self, epoch: u64) -> Result<Option<KeptCheckpoint>, FinalizedError> {
        let history = self.0.slot.read().as_ref().ok_or(FinalizedError::Stopped)?.history.clone();
        Ok(history.checkpoint(epoch)?)
    }

    /// Links that the stake voted for, to targets of epoch `from` and later, at most `max` and of a few electorates; the newest may
    /// still miss votes. Reads the disk.
    pub fn links(&self, from: u64, max: usize) -> Result<LinkPage, FinalizedError> {
        let history = self.0.slot.read().as_ref().ok_or(FinalizedError::Stopped)?.history.clone();
        Ok(history.links(from, max)?)
    }

    /// What namespaces owe after the newest block that the application has taken.
    pub fn accounts(&self) -> Result<Arc<Accounts>, FinalizedError> {
        Ok(self.0.slot.read().as_ref().ok_or(FinalizedError::Stopped)?.core.ledger.accounts())
    }

    /// The accounts that the last block which opened an epoch commits to, or the one of `height`; `None` before the first one, and if
    /// that one is older than [`crate::limits::COMMITTED_EPOCHS_MAX`].
    pub fn committed_accounts(&self, height: Option<u64>) -> Result<Option<Arc<Committed>>, FinalizedError> {
        Ok(self.0.slot.read().as_ref().ok_or(FinalizedError::Stopped)?.core.ledger.committed(height))
    }

    /// Evidence against voters on disk, at most `max`. Reads the disk.
    pub fn vote_evidence(&self, max: usize) -> Result<Vec<proof::checkpoint::Evidence>, FinalizedError> {
        let history = self.0.slot.read().as_ref().ok_or(FinalizedError::Stopped)?.history.clone();
        Ok(history.evidence(max)?)
    }

    /// Seat, height, queue, evidence and finality.
    pub fn status(&self) -> ValidatorStatus {
        let slot = self.0.slot.read();
        let (pending, evidence) =
            slot.as_ref().map_or((0, 0), |running| (running.core.mempool.len() as u64, running.evidence()));
        let finality = self.0.finality.borrow().clone();
        let oldest_height = slot.as_ref().map_or(0, |running| running.history.oldest());
        ValidatorStatus { seat: self.seat(), height: self.height(), oldest_height, pending, evidence, finality }
    }

    /// Seat in the committee that orders the next block; `None` if that has none for these keys.
    pub fn seat(&self) -> Option<u32> {
        self.0.committees.at(self.height() + 1).seat(&self.0.public_key)
    }

    /// Who holds the key of the encrypted lane; `None` if the network has none.
    pub fn lane(&self) -> Result<Option<lane::LaneStatus>, FinalizedError> {
        let slot = self.0.slot.read();
        let running = slot.as_ref().ok_or(FinalizedError::Stopped)?;
        Ok(running.core.lane.as_ref().map(|lane| lane.status()))
    }

    /// The committees so far, and those announced.
    pub fn committees(&self) -> Arc<Schedule> {
        self.0.committees.now()
    }

    /// Why the validator failed, if it did. It has stopped then.
    pub fn failure(&self) -> Option<String> {
        self.0.failure.borrow().clone()
    }

    /// Follows [`Sequencer::failure`]; closes when the validator stops.
    pub fn failed(&self) -> watch::Receiver<Option<String>> {
        self.0.failure.clone()
    }

    /// Whether the validator still runs.
    pub fn is_running(&self) -> bool {
        !*self.0.done.borrow()
    }

    /// Stops the validator. When this returns, its thread has ended, its port is free and its directory unlocked.
    pub async fn stop(self) {
        self.0.stop.send_replace(true);
        let mut done = self.0.done.clone();
        // An error means that the thread is gone, which is what is waited for.
        let _ = done.wait_for(|done| *done).await;
        self.join();
    }

    /// [`Sequencer::stop`] for callers outside an asynchronous runtime.
    pub fn stop_blocking(self) {
        self.0.stop.send_replace(true);
        self.join();
    }

    fn join(&self) {
        let thread = self.0.thread.lock().take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!(key = self.0.public_key, "the validator's thread panicked");
        }
    }
}
