//! Plays a plan: validators on a deterministic runtime, with a network whose links break as planned.
//!
//! Consensus writes to the runtime's disks, which lose what was not synced when power fails; history and evidence are files
//! in a temporary directory. Killing a validator drops all its tasks at once, wherever they wait.

use crate::court::{self, Case};
use crate::invariants::{Invariant, Violation};
use crate::keyring;
use crate::ledger::{Broken, Chronicle, Ledger, Seats, Stakes, transactions};
use crate::plan::{Event, Link, Part, Plan, SEALED_NAMESPACE};
use crate::pruning;
use crate::twins::Sights;
use alloy_primitives::{B256, keccak256};
use bytes::Bytes;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::simulated::{self, Network, Oracle, SplitOrigin};
use commonware_p2p::{Recipients, Sender as _};
use commonware_runtime::{Clock as _, Handle, IoBuf, Metrics as _, Spawner as _, Supervisor as _, deterministic};
use commonware_utils::{NZUsize, Probability, TestRng};
use futures::channel::oneshot;
use parking_lot::Mutex;
use proof::checkpoint::{Evidence, Offence, Point, Vote};
use proof::lane::{Entropy, LaneKey, seal};
use protocol::api::{CertifiedBlock, SubmissionState};
use protocol::network::LanePolicy;
use sequencer::committees::Schedule;
use sequencer::finality::{self, Tracker};
use sequencer::guard::Guard;
use sequencer::lane::{self, Dealt, LaneStatus, Randomness};
use sequencer::simulated::{
    CHANNELS, Division, STAKE_VOTES, Setting, Validator, channels, head_of_part, released, stake_vote,
};
use sequencer::{
    Application, Block, Committee, Config, EvidenceRecord, FinalizedError, Hash, Lifetime, Limits, Receipt, Submission,
    ValidatorKeys, transaction_hash,
};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Chain id of every run.
const CHAIN_ID: u64 = 5886;
/// Simulated time in which blocks must become final everywhere after the last fault.
const PATIENCE: Duration = Duration::from_secs(120);
/// Blocks between two targets of the encrypted lane.
const PERIOD_BLOCKS: u64 = 4;
/// Between two looks at the validators.
const LOOK: Duration = Duration::from_millis(20);
/// Looks until the files of a killed validator are free.
const RELEASE_LOOKS_MAX: usize = 100;
/// Links that a validator is asked for at a time.
const LINKS_PAGE: usize = 256;
/// Bytes of a message; above those of any block here.
const MESSAGE_BYTES_MAX: u32 = 4 << 20;

/// When blocks go in shards where a plan wants that: as soon as everybody gets one.
const SMALL: Division = Division { validators_min: 4, payload_bytes_min: 1 };

/// What a run was, when nothing was broken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Final blocks.
    pub blocks: u64,
    /// Final transactions.
    pub transactions: u64,
    /// Crashes, partitions and degraded links.
    pub faults: u64,
    /// Power failures of all validators at once.
    pub power_failures: u64,
    /// Twins.
    pub twins: u64,
    /// Pieces of evidence against twins.
    pub evidence: u64,
    /// Links that the light client of an L1 has taken.
    pub links: u64,
    /// Proofs against voters that the contracts of an L1 have taken.
    pub proofs: u64,
    /// Validators that have lost their stake on the chain.
    pub convicted: u64,
    /// Changes of the committee.
    pub changes: u64,
    /// Messages between validators.
    pub messages: u64,
    /// Bytes of the longest header.
    pub header_bytes: u64,
    /// Bytes of the longest certificate of a block that was finalised itself.
    pub certificate_bytes: u64,
    /// Shares of the encrypted lane that honest validators sent.
    pub shares: u64,
    /// Keys of the encrypted lane that validators made, or handed over.
    pub keys: u64,
    /// Blocks that honest validators have pruned, all of them together.
    pub pruned: u64,
    /// Blocks that went from validator to validator in shards.
    pub sharded: u64,
    /// State of the runtime's auditor at the end of each part: the same for the same seed.
    pub audits: Vec<String>,
}

/// Plays `plan`; `tell` hears of every event, with its part, step and time. A panic of the code is a violation, too.
pub fn run(plan: &Plan, tell: &mut dyn FnMut(usize, usize, Duration, &str)) -> Result<Outcome, Violation> {
    let directory = temporary().map_err(|error| Violation {
        invariant: Invariant::StartsAgain,
        part: 0,
        step: 0,
        at: Duration::ZERO,
        detail: format!("no temporary directory: {error}"),
    })?;
    if plan.shares_checks {
        proof::memo::remember_on_this_thread();
    }
    let mut world = World::new(plan, directory.path());
    let mut outcome = Outcome { twins: plan.twins.len() as u64, ..Outcome::default() };
    let mut checkpoint = None;
    for (number, part) in plan.parts.iter().enumerate() {
        let runner = match checkpoint.take() {
            None => deterministic::Runner::new(deterministic::Config::new().with_seed(plan.seed)),
            Some(checkpoint) => deterministic::Runner::from(checkpoint),
        };
        world.part = number;
        let played =
            catch_unwind(AssertUnwindSafe(|| runner.start_and_recover(|context| world.play(context, part, tell))));
        let (ended, recovered) = match played {
            Ok((ended, recovered)) => (ended, recovered),
            Err(panic) => return Err(world.violation((Invariant::NoPanic, panic_text(&*panic)))),
        };
        ended.map_err(|broken| world.violation(broken))?;
        outcome.audits.push(recovered.auditor().state());
        outcome.power_failures += u64::from(number > 0);
        outcome.faults += part.events.iter().filter(|(_, event)| event.is_fault()).count() as u64;
        checkpoint = Some(recovered);
    }
    outcome.blocks = world.chronicle.lock().height();
    outcome.transactions = world.chronicle.lock().transactions();
    (outcome.messages, outcome.header_bytes) = (world.messages, world.header_bytes);
    outcome.certificate_bytes = world.certificate_bytes;
    outcome.shares = world.chronicle.lock().shares;
    outcome.keys = world.chronicle.lock().keys();
    outcome.sharded = world.chronicle.lock().sharded();
    outcome.pruned = world.oldest.values().map(|oldest| oldest - 1).sum();
    outcome.evidence = world.accusations().map_err(|broken| world.violation(broken))?;
    outcome.evidence += world.chronicle.lock().accusations;
    let judged = world.judge().map_err(|reason| world.violation((Invariant::SlashProofsVerify, reason)))?;
    (outcome.links, outcome.proofs, outcome.convicted) = (judged.links, judged.proofs, judged.convicted);
    let height = world.chronicle.lock().height();
    outcome.changes = world.schedule.terms().iter().filter(|term| (1..=height).contains(&term.first)).count() as u64;
    Ok(outcome)
}

/// A directory in memory where there is one: files outlive validators there, and nothing waits for a disk.
pub(crate) fn temporary() -> std::io::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it says nothing").to_owned()
}

type Context = deterministic::Context;
type SimulatedOracle = Oracle<PublicKey, Context>;

/// What outlives a power failure.
struct World<'a> {
    plan: &'a Plan,
    directory: &'a Path,
    committee: Committee,
    /// A key that is none of this network: what is sealed to it opens to nothing.
    stranger: LaneKey,
    /// Whom the applications seat later.
    seats: Arc<Seats>,
    /// Who has stake.
    stakes: Arc<Stakes>,
    /// What the stake has voted for, as the honest validator with the most of it serves it.
    links: Vec<finality::Link>,
    /// Evidence against voters that honest validators keep or blocks have, by its bytes.
    proofs: BTreeMap<Vec<u8>, Evidence>,
    false_votes: u64,
    /// Committees by the blocks that were served last.
    schedule: Schedule,
    peers: Vec<PublicKey>,
    chronicle: Arc<Mutex<Chronicle>>,
    /// Applications of the seats, the second halves of twins behind them.
    ledgers: BTreeMap<String, Arc<Ledger>>,
    /// From where on honest seats keep blocks, as far as they prune.
    oldest: BTreeMap<usize, u64>,
    submissions: u64,
    acknowledged: Vec<Acknowledged>,
    part: usize,
    step: usize,
    at: Duration,
    messages: u64,
    header_bytes: u64,
    certificate_bytes: u64,
}

/// What one validator, or one half of twins, runs as.
struct Process {
    handle: Handle<()>,
    validator: Arc<Mutex<Option<Validator>>>,
}

/// What lasts from power on to power off.
struct Powered {
    context: Context,
    oracle: SimulatedOracle,
    /// By seat; twins have two.
    processes: Vec<Vec<Process>>,
    sights: BTreeMap<usize, Sights>,
    /// What twins send false votes with.
    voices: BTreeMap<usize, Voice>,
    /// Links that are cut.
    cut: Vec<(usize, usize)>,
    link: Link,
}

/// Sends a vote to everybody.
type Voice = Box<dyn FnMut(Vec<u8>)>;

/// A submission that an honest validator has acknowledged.
struct Acknowledged {
    seat: usize,
    /// Hash of the transaction, or name of the bundle.
    name: Hash,
    /// Of its transactions.
    hashes: Vec<Hash>,
    expires: u64,
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan, directory: &'a Path) -> Self {
        let validators: Vec<_> =
            (0..plan.validators).map(|seat| keyring::with(seat, |seat| seat.validator.clone())).collect();
        let committee = Committee::new(&validators, CHAIN_ID).expect("the keys of a plan are distinct");
        let named = |seats: &Vec<usize>| seats.iter().map(|seat| validators[*seat].clone()).collect();
        let seats = plan.seats.iter().map(|(epoch, seats)| (epoch * plan.epoch_blocks, named(seats))).collect();
        let keys_of = |seat: &usize| keyring::with(*seat, |seat| [seat.vote_key.clone(), seat.peer.as_ref().to_vec()]);
        let schedule = Schedule::new(committee.clone(), plan.epoch_blocks);
        let chronicle = Chronicle::new(plan.twins.iter().flat_map(keys_of).collect(), schedule.clone());
        let stakes = (0..plan.validators).map(|seat| keyring::with(seat, |seat| seat.offenders())).collect();
        Self {
            plan,
            directory,
            schedule,
            committee,
            stranger: stranger(plan),
            seats: Arc::new(seats),
            stakes: Arc::new(stakes),
            links: Vec::new(),
            proofs: BTreeMap::new(),
            false_votes: 0,
            peers: (0..plan.validators).map(peer).collect(),
            chronicle: Arc::new(Mutex::new(chronicle)),
            ledgers: BTreeMap::new(),
            oldest: BTreeMap::new(),
            submissions: 0,
            acknowledged: Vec::new(),
            part: 0,
            step: 0,
            at: Duration::ZERO,
            messages: 0,
            header_bytes: 0,
            certificate_bytes: 0,
        }
    }

    fn violation(&self, (invariant, detail): Broken) -> Violation {
        Violation { invariant, part: self.part, step: self.step, at: self.at, detail }
    }

    /// One part, from power on until everything that was acknowledged is final.
    async fn play(
        &mut self,
        context: Context,
        part: &Part,
        tell: &mut dyn FnMut(usize, usize, Duration, &str),
    ) -> Result<(), Broken> {
        let begin = context.current();
        let mut powered = self.power_on(context).await?;
        for (at, event) in &part.events {
            powered.context.sleep_until(begin + *at).await;
            (self.step, self.at) = (self.step + 1, *at);
            tell(self.part, self.step, *at, &event.to_string());
            self.happen(&mut powered, event).await?;
            self.check_now(&powered)?;
            self.check_pruned(&powered)?;
        }
        for seat in 0..self.plan.validators {
            self.restart(&mut powered, seat).await?;
        }
        self.heal(&mut powered, self.plan.link).await;
        tell(self.part, self.step, self.at, "all faults have ended");
        self.settle(&powered, part.blocks, begin).await?;
        self.check_pruned(&powered)?;
        self.check_served(&powered)?;
        self.check_expired()?;
        self.collect_proofs(&powered)?;
        self.messages += messages_sent(&powered.context.encode());
        self.accusations().map(drop)
    }

    async fn power_on(&mut self, context: Context) -> Result<Powered, Broken> {
        let config = simulated::Config {
            max_size: MESSAGE_BYTES_MAX,
            max_peers_per_set: NZUsize!(256),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(1),
        };
        let (network, oracle) = Network::new_with_peers(context.child("network"), config, self.peers.clone()).await;
        network.start();
        let twins = self.plan.twins.iter();
        let mut powered = Powered {
            context,
            oracle,
            processes: (0..self.plan.validators).map(|_| Vec::new()).collect(),
            sights: twins.map(|seat| (*seat, Sights::new(&self.peers))).collect(),
            voices: BTreeMap::new(),
            cut: Vec::new(),
            link: self.plan.link,
        };
        for (from, to) in pairs(self.plan.validators) {
            powered.connect(&self.peers, from, to).await;
        }
        for seat in 0..self.plan.validators {
            self.restart(&mut powered, seat).await?;
        }
        Ok(powered)
    }

    async fn happen(&mut self, powered: &mut Powered, event: &Event) -> Result<(), Broken> {
        match event {
            // Twins are never killed: what they lose would make them weaker.
            Event::Crash { seat } if !self.plan.twins.contains(seat) => powered.kill(*seat),
            Event::Crash { .. } => {}
            Event::Restart { seat } => self.restart(powered, *seat).await?,
            Event::Partition { side } => {
                self.heal(powered, powered.link).await;
                for (from, to) in pairs(self.plan.validators).filter(|(from, to)| side[*from] != side[*to]) {
                    powered.disconnect(&self.peers, from, to).await;
                    powered.cut.push((from, to));
                }
            }
            Event::Heal => self.heal(powered, self.plan.link).await,
            Event::Degrade { link } => self.heal(powered, *link).await,
            Event::Reshuffle { first, both } => {
                for sights in powered.sights.values() {
                    (0..self.plan.validators).for_each(|seat| sights.set(&self.peers[seat], first[seat], both[seat]));
                }
            }
            Event::FalseVote { seat, offence } => self.vote_falsely(powered, *seat, *offence)?,
            Event::Submit { seat, transactions, lifetime } => self.submit(powered, *seat, transactions, *lifetime),
        }
        Ok(())
    }

    /// Connects everybody again, by links like this.
    async fn heal(&self, powered: &mut Powered, link: Link) {
        let cut = std::mem::take(&mut powered.cut);
        if powered.link != link {
            powered.link = link;
            for (from, to) in pairs(self.plan.validators).filter(|pair| !cut.contains(pair)) {
                powered.disconnect(&self.peers, from, to).await;
                powered.connect(&self.peers, from, to).await;
            }
        }
        for (from, to) in cut {
            powered.connect(&self.peers, from, to).await;
        }
    }

    fn submit(&mut self, powered: &mut Powered, seat: usize, shape: &[(u64, usize)], lifetime: u64) {
        let (mut made, mut hashes) = transactions(self.submissions, shape);
        self.submissions += 1;
        self.chronicle.lock().made(hashes.clone());
        if let [(SEALED_NAMESPACE, payload)] = made.as_slice() {
            // What it holds may stand in a block when it is opened.
            let key = powered.with(seat, Validator::lane).flatten().and_then(|lane| lane.key);
            let envelope = self.seal(key.map_or(self.stranger, |record| record.key), powered.height(seat), payload);
            hashes = vec![transaction_hash(SEALED_NAMESPACE, &envelope)];
            made = vec![(SEALED_NAMESPACE, envelope)];
            self.chronicle.lock().made(hashes.clone());
        }
        let lifetime = Lifetime::new(lifetime).expect("a plan keeps the limits");
        for process in &powered.processes[seat] {
            let validator = process.validator.lock();
            let Some(validator) = validator.as_ref() else { continue };
            let submission = match made.as_slice() {
                [(namespace, payload)] => Submission::Transaction(*namespace, payload.clone()),
                _ => Submission::Bundle(made.clone()),
            };
            let accepted = validator.accept(submission, lifetime);
            if let Ok(Receipt { hash: name, expires, .. }) = accepted
                && !self.plan.twins.contains(&seat)
            {
                self.acknowledged.push(Acknowledged { seat, name, hashes: hashes.clone(), expires });
            }
        }
    }

    /// A twin votes on the current checkpoint against what it votes for there, or around what it has voted for before.
    fn vote_falsely(&mut self, powered: &mut Powered, seat: usize, offence: Offence) -> Result<(), Broken> {
        let view = self.plan.honest().find_map(|seat| powered.with(seat, Validator::finality));
        let (Some(view), Some(voice)) = (view, powered.voices.get_mut(&seat)) else { return Ok(()) };
        self.false_votes += 1;
        let source = match offence {
            Offence::Double => Point { epoch: view.justified.epoch, root: view.justified.root },
            Offence::Surround => Point { epoch: 0, root: B256::ZERO },
        };
        let target = Point { epoch: view.current.epoch, root: keccak256(self.false_votes.to_be_bytes()) };
        if source.epoch >= target.epoch {
            return Ok(());
        }
        let failed = |error: String| (Invariant::StartsAgain, format!("the guard of a false vote: {error}"));
        let path = self.directory.join(format!("false-{}.guard", self.false_votes));
        let guard = Guard::create(&path, genesis().digest()).map_err(|error| failed(error.to_string()))?;
        let domain = self.origin()?.state().parameters().domain;
        let vote = stake_vote(&keys(seat), &guard, &domain, Vote { source, target });
        voice(vote.map_err(|error| failed(error.to_string()))?);
        Ok(())
    }

    /// What the stake finalises from genesis on.
    fn origin(&self) -> Result<Tracker, Broken> {
        let tracker = Tracker::genesis(&self.committee, &genesis(), self.plan.epoch_blocks);
        tracker.map_err(|error| (Invariant::StartsAgain, error.to_string()))
    }

    /// Notes what honest validators keep for those who slash.
    fn collect_proofs(&mut self, powered: &Powered) -> Result<(), Broken> {
        for seat in self.plan.honest() {
            let broken = |error: FinalizedError| (Invariant::CertifiedWhenServed, format!("seat {seat}: {error}"));
            let kept =
                powered.with(seat, |validator| validator.vote_evidence(usize::MAX)).unwrap_or_else(|| Ok(vec![]));
            self.proofs.extend(kept.map_err(broken)?.into_iter().map(|proof| (proof.encode(), proof)));
            let links = powered.links(seat).map_err(broken)?;
            if links.len() >= self.links.len() {
                self.links = links;
            }
        }
        let in_blocks = std::mem::take(&mut self.chronicle.lock().proofs);
        self.proofs.extend(in_blocks.into_iter().map(|proof| (proof.encode(), proof)));
        Ok(())
    }

    /// Has the contracts judge what was proven.
    fn judge(&self) -> Result<court::Judgement, String> {
        let convictions = self.chronicle.lock().convictions.clone();
        if self.proofs.is_empty() && convictions.is_empty() {
            return Ok(court::Judgement::default());
        }
        let tracker = self.origin().map_err(|(_, reason)| reason)?;
        let (checkpoint, electorate) = tracker.state().checkpoint();
        let proofs: Vec<Evidence> = self.proofs.values().cloned().collect();
        court::judge(&Case {
            domain: tracker.state().parameters().domain,
            trusted: (*checkpoint, electorate.clone()),
            validators: self.plan.validators,
            links: &self.links,
            proofs: &proofs,
            convictions: &convictions,
        })
    }

    /// An envelope for the second target above `height`.
    fn seal(&self, key: LaneKey, height: u64, payload: &Bytes) -> Bytes {
        let target = (height / PERIOD_BLOCKS + 2) * PERIOD_BLOCKS;
        let mut entropy = [0; 64];
        entropy[..8].copy_from_slice(&self.submissions.to_be_bytes());
        let sealed = seal(&key, CHAIN_ID, SEALED_NAMESPACE, target, payload, Entropy(entropy));
        sealed.expect("a plan keeps the limits").into()
    }

    /// Starts a seat that does not run.
    async fn restart(&mut self, powered: &mut Powered, seat: usize) -> Result<(), Broken> {
        if !powered.processes[seat].is_empty() {
            return Ok(());
        }
        let control = powered.oracle.control(self.peers[seat].clone());
        let mut links = Vec::new();
        for (channel, quota) in channels() {
            let registered = control.register(channel, quota).await;
            let (sender, receiver) =
                registered.map_err(|error| (Invariant::StartsAgain, format!("channel {channel}: {error}")))?;
            links.push((channel, sender, receiver));
        }
        let Some(sights) = powered.sights.get(&seat).cloned() else {
            let heard = links.into_iter().map(|(channel, sender, receiver)| {
                let chronicle = self.chronicle.clone();
                // Everybody hears what is said; what an honest validator says is looked at here.
                let forward = move |_: SplitOrigin, recipients: &Recipients<PublicKey>, message: &IoBuf| {
                    if let Some(target) = released(channel, message.as_ref()) {
                        chronicle.lock().released(seat, target);
                    }
                    if let Some(head) = head_of_part(channel, message.as_ref()) {
                        chronicle.lock().spread(head);
                    }
                    Some(recipients.clone())
                };
                (sender.split_with(forward).0, receiver)
            });
            let links: [_; CHANNELS] =
                heard.collect::<Vec<_>>().try_into().unwrap_or_else(|_| unreachable!("one link for each channel"));
            let process = self.start(powered, seat, "", links).await?;
            powered.processes[seat].push(process);
            return Ok(());
        };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for (channel, sender, receiver) in links {
            if channel == STAKE_VOTES {
                let mut voice = sender.clone();
                let speak = move |vote: Vec<u8>| drop(voice.send(Recipients::All, IoBuf::from(vote), false));
                powered.voices.insert(seat, Box::new(speak));
            }
            let (forward, route) = (sights.clone(), sights.clone());
            let (left, right) = sender.split_with(move |half, recipients: &_, _: &_| forward.forward(half, recipients));
            let route = move |(sender, _): &(PublicKey, _)| route.route(sender);
            let (heard_left, heard_right) = receiver.split_with(powered.context.child("split"), route);
            first.push((left, heard_left));
            second.push((right, heard_right));
        }
        for (half, links) in [("a", first), ("b", second)] {
            let links: [_; CHANNELS] = links.try_into().unwrap_or_else(|_| unreachable!("one link for each channel"));
            let process = self.start(powered, seat, half, links).await?;
            powered.processes[seat].push(process);
        }
        Ok(())
    }

    async fn start<S, R>(
        &mut self,
        powered: &Powered,
        seat: usize,
        half: &str,
        links: [(S, R); CHANNELS],
    ) -> Result<Process, Broken>
    where
        S: commonware_p2p::Sender<PublicKey = PublicKey>,
        R: commonware_p2p::Receiver<PublicKey = PublicKey>,
    {
        let name = format!("{seat}{half}");
        let honest = half.is_empty();
        let chronicle = honest.then(|| self.chronicle.clone());
        let ledger = || Arc::new(Ledger::new(seat, chronicle, self.seats.clone(), self.stakes.clone()));
        let ledger = self.ledgers.entry(name.clone()).or_insert_with(ledger);
        let application: Arc<dyn Application> = ledger.clone();
        let config = Config {
            keys: keys(seat),
            committee: self.committee.clone(),
            listen: ([127, 0, 0, 1], 0).into(),
            directory: self.directory_of(&name),
            genesis_timestamp_millis: 0,
            block_millis: self.plan.pace.as_millis() as u64,
            limits: Limits { retention: self.plan.retention, ..Limits::default() },
            epoch_blocks: self.plan.epoch_blocks,
            guard: self.guard(powered, &name).await?,
            lane: Some(self.lane(&name)),
        };
        free(&powered.context, &config.directory).await;
        let slot: Arc<Mutex<Option<Validator>>> = Arc::default();
        let (filled, peers) = (slot.clone(), powered.oracle.manager());
        let blocker = powered.oracle.control(self.peers[seat].clone());
        let division = if self.plan.is_sharded { SMALL } else { Division::default() };
        let (tell, told) = oneshot::channel();
        let handle = powered.context.child("validator").spawn(move |context| async move {
            let setting = Setting { prefix: format!("{name}-"), division };
            let started = Validator::start(context, config, setting, application, links, peers, blocker).await;
            let _ = tell.send(started.map(|validator| *filled.lock() = Some(validator)));
            std::future::pending().await
        });
        match told.await {
            Ok(Ok(())) => Ok(Process { handle, validator: slot }),
            Ok(Err(error)) => Err((Invariant::StartsAgain, format!("seat {seat}: {error}"))),
            Err(_) => Err((Invariant::StartsAgain, format!("seat {seat} ended while it started"))),
        }
    }

    /// The encrypted lane as a validator takes part in it, whose key the validators make. Halves of twins deal differently.
    fn lane(&self, name: &str) -> lane::Config {
        let policies = [(SEALED_NAMESPACE, LanePolicy::Both)].into();
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.plan.seed.to_be_bytes());
        seed[8..8 + name.len()].copy_from_slice(name.as_bytes());
        let randomness = Randomness::Seeded(seed);
        lane::Config { period_blocks: PERIOD_BLOCKS, policies, dealt: None, randomness }
    }

    /// The record of what a validator signed; twins have one each.
    async fn guard(&self, powered: &Powered, name: &str) -> Result<Arc<Guard>, Broken> {
        let path = self.directory.join(format!("{name}.guard"));
        let genesis = genesis().digest();
        let mut opened = if path.exists() { Guard::open(&path, genesis) } else { Guard::create(&path, genesis) };
        for _ in 0..RELEASE_LOOKS_MAX {
            if opened.is_ok() {
                break;
            }
            powered.context.sleep(Duration::from_millis(1)).await;
            opened = Guard::open(&path, genesis);
        }
        opened.map(Arc::new).map_err(|error| (Invariant::StartsAgain, format!("the guard of {name}: {error}")))
    }

    fn directory_of(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// What was broken while blocks were taken.
    fn check_now(&self, powered: &Powered) -> Result<(), Broken> {
        let mut chronicle = self.chronicle.lock();
        chronicle.broken.take().map_or(Ok(()), Err)?;
        self.plan.honest().try_for_each(|seat| match powered.with(seat, Validator::lane).flatten() {
            Some(LaneStatus { key: Some(key), has_share: true, .. }) => chronicle.holds(seat, &key),
            _ => Ok(()),
        })?;
        self.plan.honest().try_for_each(|seat| match powered.with(seat, Validator::finality) {
            Some(finality) => chronicle.finalized(seat, &finality.finalized),
            None => Ok(()),
        })
    }

    /// Waits until all honest validators have new blocks, and everything that was acknowledged.
    async fn settle(&mut self, powered: &Powered, blocks: u64, begin: SystemTime) -> Result<(), Broken> {
        let (healed, height) = (powered.context.current(), self.chronicle.lock().height());
        let target = height + blocks;
        loop {
            powered.context.sleep(LOOK).await;
            self.at = powered.context.current().duration_since(begin).unwrap_or_default();
            self.check_now(powered)?;
            let heights: Vec<u64> = self.plan.honest().map(|seat| powered.height(seat)).collect();
            let missing = self.missing(powered);
            let finalized =
                |seat| powered.with(seat, |validator| validator.finality().finalized.height).unwrap_or_default();
            let is_finalized = !self.plan.finality || self.plan.honest().all(|seat| finalized(seat) > height);
            if missing.is_none() && is_finalized && heights.iter().all(|height| *height >= target) {
                return Ok(());
            }
            if let Some(reason) = self.plan.honest().find_map(|seat| powered.failure(seat)) {
                return Err((Invariant::Progress, reason));
            }
            if powered.context.current() > healed + PATIENCE {
                let broken = match missing {
                    Some(missing) if heights.iter().all(|height| *height >= target) => {
                        (Invariant::AcknowledgedIsIncluded, missing)
                    }
                    None if heights.iter().all(|height| *height >= target) => {
                        let finalized: Vec<u64> = self.plan.honest().map(finalized).collect();
                        (Invariant::Progress, format!("finalised {finalized:?}, above {height} is wanted"))
                    }
                    _ => (Invariant::Progress, format!("heights {heights:?} after {PATIENCE:?}, {target} is wanted")),
                };
                return Err(broken);
            }
        }
    }

    /// What an honest validator has acknowledged, and neither is final nor expired.
    fn missing(&self, powered: &Powered) -> Option<String> {
        let chronicle = self.chronicle.lock();
        let is_missing = |it: &&Acknowledged| {
            let is_final = it.hashes.iter().all(|hash| chronicle.height_of(hash).is_some());
            // It may say so only when the chain is behind the last height that it promised.
            let is_over = chronicle.height() >= it.expires;
            let is_expired = is_over && powered.state(it.seat, it.name) == Some(SubmissionState::Expired);
            !(is_final || is_expired)
        };
        let missing = self.acknowledged.iter().find(is_missing)?;
        let (name, state) = (hex::encode(missing.name), powered.state(missing.seat, missing.name));
        Some(format!("seat {} acknowledged {name}, whose state is {state:?}", missing.seat))
    }

    /// Nothing is final above the height at which it expired.
    fn check_expired(&self) -> Result<(), Broken> {
        let chronicle = self.chronicle.lock();
        for it in &self.acknowledged {
            let late =
                it.hashes.iter().filter_map(|hash| chronicle.height_of(hash)).find(|height| *height > it.expires);
            if let Some(height) = late {
                let name = hex::encode(it.name);
                let text = format!("{name} expired at {} and is final in block {height}", it.expires);
                return Err((Invariant::AcknowledgedIsIncluded, text));
            }
        }
        Ok(())
    }

    /// What honest validators say about blocks that are too old.
    fn check_pruned(&mut self, powered: &Powered) -> Result<(), Broken> {
        let Some(retention) = self.plan.retention else { return Ok(()) };
        for seat in self.plan.honest() {
            let before = self.oldest.get(&seat).copied().unwrap_or(1);
            let look = |validator: &Validator| {
                pruning::check((seat, validator), retention, before, &mut self.chronicle.lock())
            };
            if let Some(oldest) = powered.with(seat, look) {
                self.oldest.insert(seat, oldest?);
            }
        }
        Ok(())
    }

    /// What the honest validators serve is certified, and what the others have.
    fn check_served(&mut self, powered: &Powered) -> Result<(), Broken> {
        for seat in self.plan.honest() {
            let broken = |what: String| (Invariant::CertifiedWhenServed, format!("seat {seat}: {what}"));
            let (mut from, mut parent) = (self.oldest.get(&seat).copied().unwrap_or(1), None);
            // As whoever follows from genesis on, or who knows the committees and cannot get the oldest blocks any more.
            let known = self.chronicle.lock().schedule().filter(|_| from > 1).cloned();
            let mut schedule = known.unwrap_or_else(|| Schedule::new(self.committee.clone(), self.plan.epoch_blocks));
            loop {
                let page = powered.served(seat, from).map_err(broken)?;
                let Some(last) = page.last() else { break };
                from = last.height + 1;
                for certified in &page {
                    let height = certified.height;
                    let block = match &parent {
                        Some(parent) => schedule.verify_child(parent, certified),
                        None => schedule.verify(certified),
                    };
                    let block = block.map_err(|error| broken(format!("{height}: {error}")))?;
                    schedule.apply(&block);
                    self.chronicle.lock().compare(seat, height, block.digest())?;
                    let header = block.header().encode().len() as u64;
                    self.header_bytes = self.header_bytes.max(header);
                    let certificate = certified.certificate.0.len() as u64;
                    // It begins with the number of headers down to the block that was finalised.
                    if certified.certificate.0.starts_with(&[0; 4]) {
                        self.certificate_bytes = self.certificate_bytes.max(certificate);
                    }
                    parent = Some(block);
                }
            }
            if schedule.terms().len() > self.schedule.terms().len() {
                self.schedule = schedule;
            }
            if from <= powered.height(seat) {
                return Err(broken(format!("it serves up to {}, its height is {}", from - 1, powered.height(seat))));
            }
        }
        Ok(())
    }

    /// Whether the seat that evidence is against is that of twins.
    fn is_twin(&self, record: &EvidenceRecord) -> bool {
        let term = usize::try_from(record.epoch).ok().and_then(|number| self.schedule.terms().get(number));
        let accused = term.and_then(|term| term.committee.validators().get(record.seat as usize));
        let is = |twin: &usize, key: &str| keyring::with(*twin, |twin| twin.validator.public_key == key);
        accused.is_some_and(|accused| self.plan.twins.iter().any(|twin| is(twin, &accused.public_key)))
    }

    /// How much evidence the honest validators have kept; it must be against twins.
    fn accusations(&self) -> Result<u64, Broken> {
        let mut count = 0;
        for seat in self.plan.honest() {
            let broken = |what: String| (Invariant::HonestNeverAccused, format!("seat {seat}: {what}"));
            let file = self.directory_of(&seat.to_string()).join("evidence.jsonl");
            let text = std::fs::read_to_string(&file).map_err(|error| broken(error.to_string()))?;
            for line in text.lines() {
                let record: EvidenceRecord = serde_json::from_str(line).map_err(|error| broken(error.to_string()))?;
                if !self.is_twin(&record) {
                    let EvidenceRecord { kind, seat, epoch, view, .. } = record;
                    return Err(broken(format!("{kind} of seat {seat} of committee {epoch} in view {view}")));
                }
                count += 1;
            }
        }
        Ok(count)
    }
}

impl Powered {
    async fn connect(&self, peers: &[PublicKey], from: usize, to: usize) {
        let Link { latency, jitter, lost } = self.link;
        let success_rate = Probability::new(1_000 - u64::from(lost), 1_000).expect("at most all are lost");
        let link = simulated::Link { latency, jitter, success_rate };
        let added = self.oracle.add_link(peers[from].clone(), peers[to].clone(), link).await;
        added.expect("a link is added once");
    }

    async fn disconnect(&self, peers: &[PublicKey], from: usize, to: usize) {
        let removed = self.oracle.remove_link(peers[from].clone(), peers[to].clone()).await;
        removed.expect("a link that is there is removed");
    }

    fn kill(&mut self, seat: usize) {
        for process in self.processes[seat].drain(..) {
            process.handle.abort();
            process.validator.lock().take();
        }
    }

    fn with<T>(&self, seat: usize, ask: impl FnOnce(&Validator) -> T) -> Option<T> {
        self.processes[seat].first().and_then(|process| process.validator.lock().as_ref().map(ask))
    }

    fn height(&self, seat: usize) -> u64 {
        self.with(seat, Validator::height).unwrap_or_default()
    }

    fn failure(&self, seat: usize) -> Option<String> {
        self.with(seat, Validator::failure).flatten().map(|reason| format!("seat {seat} failed: {reason}"))
    }

    fn state(&self, seat: usize, name: Hash) -> Option<SubmissionState> {
        self.with(seat, |validator| validator.status(name)).flatten().map(|status| status.state)
    }

    /// All links that a seat serves, page by page.
    fn links(&self, seat: usize) -> Result<Vec<finality::Link>, FinalizedError> {
        let mut links: Vec<finality::Link> = Vec::new();
        loop {
            let from = links.last().map_or(0, |link| link.target.epoch + 1);
            let page = self
                .with(seat, |validator| validator.links(from, LINKS_PAGE))
                .unwrap_or_else(|| Ok(Default::default()))?;
            if page.links.is_empty() {
                return Ok(links);
            }
            links.extend(page.links);
        }
    }

    fn served(&self, seat: usize, from: u64) -> Result<Vec<CertifiedBlock>, String> {
        let page = self.with(seat, |validator| validator.finalized(from, usize::MAX));
        page.unwrap_or_else(|| Ok(Vec::new())).map_err(|error| error.to_string())
    }
}

/// Waits until a killed validator has let go of its files.
async fn free(context: &Context, directory: &Path) {
    let history = directory.join("history.redb");
    for _ in 0..RELEASE_LOOKS_MAX {
        let free = match std::fs::File::open(&history) {
            Ok(file) => file.try_lock().is_ok(),
            Err(_) => true,
        };
        if free {
            return;
        }
        context.sleep(Duration::from_millis(1)).await;
    }
}

/// Messages that the network's metrics count.
fn messages_sent(metrics: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with("network_messages_sent_total"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// A key of nobody, the same for the same plan.
fn stranger(plan: &Plan) -> LaneKey {
    let validators = NonZeroU32::new(plan.validators as u32).expect("a plan has validators");
    *Dealt::with(TestRng::new(plan.seed), validators).expect("a key that is not zero").sharing.public()
}

fn keys(seat: usize) -> ValidatorKeys {
    keyring::with(seat, |seat| seat.keys.clone())
}

fn peer(seat: usize) -> PublicKey {
    keyring::with(seat, |seat| seat.peer.clone())
}

fn genesis() -> Block {
    let ledger = Ledger::new(0, None, Arc::default(), Arc::default());
    Block::genesis(CHAIN_ID, 0, ledger.genesis_commitment())
}

/// All ordered pairs of different seats.
fn pairs(validators: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..validators).flat_map(move |from| (0..validators).filter(move |to| *to != from).map(move |to| (from, to)))
}
