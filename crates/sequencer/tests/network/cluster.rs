//! A committee on free ports with a recording application on each seat.

use bytes::Bytes;
use proof::lane::is_envelope;
use protocol::api::CertifiedBlock;
use protocol::network::LanePolicy;
use protocol::network::Validator;
use sequencer::committees::Schedule;
use sequencer::guard::Guard;
use sequencer::lane::{self, Dealt, Front};
use sequencer::{
    Application, Block, Committee, Config, Content, Entry, Limits, Proposal, Propose, Sequencer, StartError,
    ValidatorKeys,
};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// Chain id of all test networks.
pub const CHAIN_ID: u64 = 5886;
/// No test waits longer than this for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A payload that no honest application accepts.
pub const POISON: &[u8] = b"poison";

/// The namespace whose opened envelopes are executed where there is a lane.
pub const SEALED: u64 = 21;
/// A namespace in which envelopes alone stand where there is a lane.
pub const SEALED_ONLY: u64 = 22;
/// Blocks between two targets where there is a lane: not a multiple of four, so that each of four proposers has its turn.
pub const PERIOD: u64 = 5;
/// What a proposer makes of what it has read.
pub const FRONT_RUN: &[u8] = b"front-run";

/// Remembers what became final; refuses blocks that carry [`POISON`] unless it is corrupt.
#[derive(Default)]
pub struct Recorder {
    /// Proposes [`POISON`] in every block, and accepts anything.
    pub corrupt: AtomicBool,
    /// Blocks refused.
    pub refused: AtomicU64,
    /// Leaves envelopes out of its proposals.
    pub censors: AtomicBool,
    /// Puts [`FRONT_RUN`] before what was opened.
    pub front_runs: AtomicBool,
    /// How often it did.
    pub attempts: AtomicU64,
    /// Fails to take the next final block.
    pub broken: AtomicBool,
    /// Seats to name from a height on; the same for all.
    pub seats: Arc<Mutex<BTreeMap<u64, Vec<Validator>>>>,
    taken: Mutex<BTreeMap<u64, Block>>,
}

fn poisoned(block: &Block) -> bool {
    block.payload.entries().iter().flat_map(Entry::payloads).any(|payload| payload == POISON)
}

fn commitment(height: u64) -> Bytes {
    Bytes::from(height.to_be_bytes().to_vec())
}

impl Recorder {
    pub fn blocks(&self) -> BTreeMap<u64, Block> {
        self.taken.lock().unwrap().clone()
    }
}

impl Application for Recorder {
    fn genesis_commitment(&self) -> Bytes {
        commitment(0)
    }

    fn propose(&self, request: Propose<'_>) -> Option<Proposal> {
        check_ancestors(request.ancestors, request.parent, self.finalized_height());
        let height = request.height();
        let mut content = request.candidates;
        if self.corrupt.load(Ordering::SeqCst) {
            let entries = vec![Entry::new(7, [Bytes::from_static(POISON)])];
            content = Content { entries, bundles: vec![] };
        }
        let (mut front, settled) = (request.due.to_vec(), request.due.len());
        if self.censors.load(Ordering::SeqCst) {
            content = content.retain(|_, transaction| !is_envelope(transaction.payload()));
        }
        if self.front_runs.load(Ordering::SeqCst) && settled > 0 {
            // What it makes once it has read what the others sealed.
            front.insert(0, Bytes::from_static(FRONT_RUN));
            self.attempts.fetch_add(1, Ordering::SeqCst);
        }
        let proposal = Proposal { taken: settled, included: settled, ..Proposal::default() };
        Some(Proposal { content: content.with_front(SEALED, front), commitment: commitment(height), ..proposal })
    }

    fn executes(&self) -> Option<u64> {
        Some(SEALED)
    }

    fn verify_front(&self, ancestors: &[Arc<Block>], block: &Block, front: &Front<'_>) -> bool {
        front.taken == front.due.len() && front.included == front.due.len() && self.verify(ancestors, block)
    }

    fn verify(&self, ancestors: &[Arc<Block>], block: &Block) -> bool {
        if let Some(parent) = ancestors.last() {
            check_ancestors(ancestors, parent, self.finalized_height());
            assert_eq!(block.parent, parent.digest());
        }
        let valid = self.corrupt.load(Ordering::SeqCst) || !poisoned(block);
        self.refused.fetch_add(u64::from(!valid), Ordering::SeqCst);
        valid && block.commitment == commitment(block.height)
    }

    fn seats(&self, block: &Block) -> Option<Vec<Validator>> {
        self.seats.lock().unwrap().range(..=block.height).next_back().map(|(_, seats)| seats.clone())
    }

    fn finalized(&self, block: &Block) -> Result<(), String> {
        if self.broken.load(Ordering::SeqCst) {
            return Err("disk on fire".to_owned());
        }
        let mut taken = self.taken.lock().unwrap();
        let last = taken.last_key_value().map_or(0, |(height, _)| *height);
        assert_eq!(block.height, last + 1, "final blocks come in height order without gaps");
        taken.insert(block.height, block.clone());
        Ok(())
    }

    fn finalized_height(&self) -> u64 {
        self.taken.lock().unwrap().last_key_value().map_or(0, |(height, _)| *height)
    }
}

/// The promise of [`Application`]: ancestors continue what was taken, up to the parent.
fn check_ancestors(ancestors: &[Arc<Block>], parent: &Block, taken: u64) {
    let heights: Vec<u64> = ancestors.iter().map(|block| block.height).collect();
    assert_eq!(heights, (taken + 1..=parent.height).collect::<Vec<_>>());
}

/// The lane as one seat takes part in it.
fn lane(key: &LaneKeyMaker, committee: &Committee, keys: &ValidatorKeys) -> lane::Config {
    let policies = [(SEALED, LanePolicy::Both), (SEALED_ONLY, LanePolicy::Encrypted)].into();
    let dealt = match key {
        LaneKeyMaker::Dealer(dealt) => Some(dealt.secret(committee, keys).unwrap()),
        LaneKeyMaker::Validators => None,
    };
    lane::Config { period_blocks: PERIOD, policies, dealt, randomness: lane::Randomness::System }
}

/// Who makes the key of the encrypted lane.
#[derive(Clone)]
pub enum LaneKeyMaker {
    Dealer(Arc<Dealt>),
    Validators,
}

/// A free port outside the range from which the system takes ports for outgoing connections.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in 0..20_000 {
        let offset = NEXT.fetch_add(1, Ordering::SeqCst);
        let port = 10_000 + (std::process::id() as u16).wrapping_mul(97).wrapping_add(offset) % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between 10000 and 30000");
}

/// A network whose validators are started and stopped one by one.
pub struct Cluster {
    pub committee: Committee,
    pub block_millis: u64,
    pub recorders: Vec<Arc<Recorder>>,
    pub running: Vec<Option<Sequencer>>,
    pub epoch_blocks: u64,
    /// How long blocks are kept.
    pub retention: Option<Duration>,
    guards: Vec<Option<Arc<Guard>>>,
    keys: Vec<ValidatorKeys>,
    ports: Vec<u16>,
    root: PathBuf,
    /// The key of the encrypted lane, if there is one.
    pub lane: Option<LaneKeyMaker>,
    /// Removes the directories of a network that chose its own at the end.
    _directory: TempDir,
}

impl Cluster {
    /// A network of one in a directory that outlives it.
    pub fn single_in(root: PathBuf, block_millis: u64) -> Self {
        let mut cluster = Self::new(1, block_millis);
        cluster.root = root;
        cluster.guards = vec![None];
        cluster.open_guard(0);
        cluster
    }

    /// A network of `size` validators, none of them started.
    pub fn new(size: usize, block_millis: u64) -> Self {
        Self::with_waiting(size, 0, block_millis)
    }

    /// A network of `size` validators, and keys of `waiting` others without a seat, none of them started.
    pub fn with_waiting(size: usize, waiting: usize, block_millis: u64) -> Self {
        let keys: Vec<_> = (0..(size + waiting) as u64).map(ValidatorKeys::from_seed).collect();
        let ports: Vec<_> = keys.iter().map(|_| free_port()).collect();
        let validators: Vec<_> = keys
            .iter()
            .zip(&ports)
            .map(|(keys, port)| keys.validator(format!("127.0.0.1:{port}"), String::new()))
            .collect();
        let directory = TempDir::new().unwrap();
        let seats: Arc<Mutex<BTreeMap<_, _>>> = Arc::default();
        let recorder = |_| Arc::new(Recorder { seats: seats.clone(), ..Recorder::default() });
        let mut cluster = Self {
            epoch_blocks: 8,
            retention: None,
            guards: keys.iter().map(|_| None).collect(),
            committee: Committee::new(&validators[..size], CHAIN_ID).unwrap(),
            block_millis,
            recorders: keys.iter().map(recorder).collect(),
            running: keys.iter().map(|_| None).collect(),
            keys,
            ports,
            root: directory.path().to_owned(),
            lane: None,
            _directory: directory,
        };
        (0..size + waiting).for_each(|seat| cluster.open_guard(seat));
        cluster
    }

    /// The listing of a validator with or without a seat.
    pub fn validator(&self, number: usize) -> Validator {
        self.keys[number].validator(format!("127.0.0.1:{}", self.ports[number]), String::new())
    }

    /// Lets every application name these seats, from a height on that none has reached.
    pub fn name_seats(&self, validators: &[usize]) {
        let newest = self.running.iter().flatten().map(Sequencer::height).max().unwrap_or(0);
        let seats = validators.iter().map(|number| self.validator(*number)).collect();
        self.recorders[0].seats.lock().unwrap().insert(newest + 2 * self.epoch_blocks, seats);
    }

    /// Block 0.
    pub fn genesis(&self) -> Block {
        Block::genesis(CHAIN_ID, 1_000, commitment(0))
    }

    /// Opens the guard of a seat again, as a new process would; makes it the first time.
    pub fn open_guard(&mut self, seat: usize) {
        self.guards[seat] = None;
        let path = self.root.join(format!("validator-{seat}.guard"));
        let genesis = self.genesis().digest();
        let guard = if path.exists() { Guard::open(&path, genesis) } else { Guard::create(&path, genesis) };
        self.guards[seat] = Some(Arc::new(guard.unwrap()));
    }

    /// What a seat has signed.
    pub fn guard(&self, seat: usize) -> &Arc<Guard> {
        self.guards[seat].as_ref().unwrap()
    }

    /// Keeps the directories of its validators below `root`, which outlives it.
    pub fn move_to(&mut self, root: PathBuf) {
        self.root = root;
    }

    /// A network of `size` running validators.
    pub fn start(size: usize, block_millis: u64) -> Self {
        let mut cluster = Self::new(size, block_millis);
        (0..size).for_each(|seat| cluster.start_seat(seat));
        cluster
    }

    pub fn config(&self, seat: usize) -> Config {
        Config {
            keys: self.keys[seat].clone(),
            committee: self.committee.clone(),
            listen: ([127, 0, 0, 1], self.ports[seat]).into(),
            directory: self.root.join(format!("validator-{seat}")),
            genesis_timestamp_millis: 1_000,
            block_millis: self.block_millis,
            limits: Limits { retention: self.retention, ..Limits::default() },
            epoch_blocks: self.epoch_blocks,
            guard: self.guard(seat).clone(),
            lane: self.lane.as_ref().map(|key| lane(key, &self.committee, &self.keys[seat])),
        }
    }

    pub fn try_start(&self, seat: usize) -> Result<Sequencer, StartError> {
        Sequencer::start(self.config(seat), self.recorders[seat].clone())
    }

    pub fn start_seat(&mut self, seat: usize) {
        self.running[seat] = Some(self.try_start(seat).unwrap());
    }

    pub fn stop_seat(&mut self, seat: usize) {
        self.running[seat].take().unwrap().stop_blocking();
    }

    pub fn stop_all(&mut self) {
        (0..self.running.len()).filter(|seat| self.running[*seat].is_some()).collect::<Vec<_>>().into_iter().for_each(
            |seat| {
                self.stop_seat(seat);
            },
        );
    }

    pub fn seat(&self, seat: usize) -> &Sequencer {
        self.running[seat].as_ref().unwrap()
    }

    /// Waits until every running validator is at `height`.
    pub fn wait_for(&self, height: u64) {
        for sequencer in self.running.iter().flatten() {
            wait_for(sequencer, height);
        }
    }

    /// All final blocks of a seat from `from` on, checked as a follower would.
    pub fn follow(&self, seat: usize, from: u64) -> Vec<Block> {
        self.verify(&self.pages(seat, from))
    }

    /// All final blocks of a seat from `from` on.
    pub fn pages(&self, seat: usize, from: u64) -> Vec<CertifiedBlock> {
        let mut all: Vec<CertifiedBlock> = Vec::new();
        loop {
            let page = self.seat(seat).finalized(from + all.len() as u64, 7).unwrap();
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    }

    /// Checks blocks one after another, from those of the first committee on.
    pub fn verify(&self, certified: &[CertifiedBlock]) -> Vec<Block> {
        let mut schedule = Schedule::new(self.committee.clone(), self.epoch_blocks);
        let mut blocks: Vec<Block> = Vec::new();
        for next in certified {
            let block = match blocks.last() {
                Some(parent) => schedule.verify_child(parent, next),
                None => schedule.verify(next),
            };
            let block = block.unwrap();
            schedule.apply(&block);
            blocks.push(block);
        }
        blocks
    }

    pub fn directory(&self, seat: usize) -> PathBuf {
        self.config(seat).directory
    }
}

/// Waits until a validator is at `height`.
pub fn wait_for(sequencer: &Sequencer, height: u64) {
    let mut heights = sequencer.heights();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let reached = runtime.block_on(async {
        tokio::time::timeout(PATIENCE, heights.wait_for(|now| *now >= height)).await.map(|result| result.is_ok())
    });
    assert_eq!(reached, Ok(true), "height {height} not reached, at {}: {:?}", sequencer.height(), sequencer.failure());
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop_all();
    }
}
