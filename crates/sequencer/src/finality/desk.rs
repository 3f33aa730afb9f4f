//! What one validator does about finality: judge blocks, collect votes and evidence, vote itself.
//!
//! All of it is behind one lock that is never held while the disk is waited for: who must sign is told to the actor,
//! which lets the guard write and brings the signature back.

use super::actor::{Message, Task};
use super::kept::KeptCheckpoint;
use super::links::{Link, Links};
use super::tracker::{Applied, JudgeError, Tracker};
use super::waiting::{Full, Waiting};
use crate::block::Block;
use crate::committee::namespace;
use crate::equivocation::{CONSENSUS_KEY_BYTES, Equivocation};
use crate::ffg::{Detector, Pool, PoolError, State, VoteError, VoteSecret};
use crate::history::{History, HistoryError};
use crate::limits::EVIDENCE_PER_BLOCK_MAX;
use crate::system::{Offender, System};
use parking_lot::Mutex;
use proof::checkpoint::{Evidence, KEY_BYTES, ValidatorSet, Vote, VoteKey, VoteSignature};
use protocol::api::StakeFinality;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, watch};

/// Epochs whose votes are compared with new ones, in memory.
const DETECTOR_EPOCHS: u64 = 1024;
/// Epochs whose blocks are shown to the detector at start.
pub(crate) const REPLAYED_EPOCHS: u64 = 16;
/// Judged blocks that are not final yet; when there are more, they are judged again where needed.
const JUDGED_MAX: usize = 256;
/// Blocks after which an own vote that no block has counted, and evidence that no block has, are sent again.
const RESEND_BLOCKS: u64 = 4;
/// Evidence of each kind that waits for a block, one piece for each offender; more is refused.
const EVIDENCE_WAITING_MAX: usize = 1024;
/// Tasks for the actor that are not begun; more are dropped and come again some blocks later.
const TASKS_MAX: usize = 64;

/// Evidence from outside is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// It proves nothing that could cost anybody anything here.
    #[error("{0}")]
    False(String),
    /// There is no room for it.
    #[error(transparent)]
    Full(#[from] Full),
}

/// What the application knows of the stake.
pub(crate) trait Stake {
    /// Who votes by the stake after a block, see [`Application::candidate`](crate::Application::candidate).
    fn candidate(&self, block: &Block) -> Option<ValidatorSet>;

    /// Whether an offender has stake to lose after the block that the question is about, see
    /// [`Application::liable`](crate::Application::liable).
    fn is_liable(&self, _offender: &Offender) -> bool {
        false
    }

    /// Whether the block was taken before, and the stake after it may not be known any more.
    fn is_replayed(&self) -> bool {
        false
    }
}

impl<F: Fn(&Block) -> Option<ValidatorSet>> Stake for F {
    fn candidate(&self, block: &Block) -> Option<ValidatorSet> {
        self(block)
    }
}

/// The stake, as the application sees it.
pub(crate) type Candidate<'a> = &'a dyn Stake;

struct Judged {
    height: u64,
    tracker: Tracker,
    applied: Applied,
}

/// The own vote on the current checkpoint.
struct Own {
    vote: Vote,
    /// `None` while it is being signed, and for ever if the guard refused.
    signature: Option<VoteSignature>,
    /// Height at which it was sent last.
    sent: u64,
}

struct Inner {
    /// After the last final block.
    tracker: Tracker,
    /// By digest of the block.
    judged: HashMap<[u8; 32], Judged>,
    pool: Pool,
    detector: Detector,
    /// Votes for a checkpoint that this validator has not seen yet, one for each key of the set.
    early: BTreeMap<[u8; KEY_BYTES], (Vote, VoteSignature)>,
    /// Evidence that no block has yet.
    evidence: Waiting<VoteKey, Evidence>,
    /// Votes in final blocks, added up.
    links: Links,
    /// Equivocations that no block has yet, by consensus key.
    equivocations: Waiting<[u8; CONSENSUS_KEY_BYTES], Equivocation>,
    own: Option<Own>,
}

/// Finality in one running validator.
pub(crate) struct Desk {
    secret: VoteSecret,
    inner: Mutex<Inner>,
    history: Arc<History>,
    tasks: mpsc::Sender<Task>,
    waiting: Mutex<Option<mpsc::Receiver<Task>>>,
    /// Newest height that a quorum is known to have made final.
    tip: AtomicU64,
    found: AtomicU64,
    view: watch::Sender<StakeFinality>,
}

impl Desk {
    /// Goes on from `tracker`; evidence that was kept waits for a block again.
    pub fn new(secret: VoteSecret, tracker: Tracker, history: Arc<History>) -> Result<Self, HistoryError> {
        Self::with_room(secret, tracker, history, EVIDENCE_WAITING_MAX)
    }

    /// The same with room for evidence of each kind against so many offenders.
    pub(super) fn with_room(
        secret: VoteSecret,
        tracker: Tracker,
        history: Arc<History>,
        room: usize,
    ) -> Result<Self, HistoryError> {
        let (tasks, waiting) = mpsc::channel(TASKS_MAX);
        let mut detector = Detector::new(tracker.state().parameters().domain, DETECTOR_EPOCHS);
        detector.advance(tracker.state().epoch());
        let kept = history.evidence(room)?;
        let equivocations = history.equivocations(room)?;
        let view = watch::Sender::new(tracker.finality());
        let open = history.links(tracker.state().epoch().saturating_sub(1), 2)?;
        let inner = Inner {
            links: Links::resume(open.links),
            evidence: Waiting::resume(room, kept.into_iter().map(|evidence| (evidence.key, evidence))),
            equivocations: Waiting::resume(room, equivocations.into_iter().map(|both| (both.key(), both))),
            tracker,
            judged: HashMap::new(),
            pool: Pool::default(),
            detector,
            early: BTreeMap::new(),
            own: None,
        };
        Ok(Self {
            secret,
            inner: Mutex::new(inner),
            history,
            tasks,
            waiting: Mutex::new(Some(waiting)),
            tip: AtomicU64::new(0),
            found: AtomicU64::new(0),
            view,
        })
    }

    /// What the actor has to do; only the first caller gets it.
    pub fn tasks(&self) -> Option<mpsc::Receiver<Task>> {
        self.waiting.lock().take()
    }

    /// The secret that votes.
    pub const fn secret(&self) -> &VoteSecret {
        &self.secret
    }

    /// Where it keeps things.
    #[cfg(test)]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Height of the last final block here.
    pub fn height(&self) -> u64 {
        self.inner.lock().tracker.height()
    }

    /// Follows what the stake has made of the final blocks.
    pub fn view(&self) -> watch::Receiver<StakeFinality> {
        self.view.subscribe()
    }

    /// Evidence found since the start.
    pub fn found(&self) -> u64 {
        self.found.load(Ordering::Relaxed)
    }

    /// The newest height that a quorum is known to have made final.
    pub fn heard_of_tip(&self, height: u64) {
        self.tip.fetch_max(height, Ordering::Relaxed);
    }

    /// What a block on these ancestors should carry in namespace 0. The last of them is the parent; without any, it is
    /// the last final block.
    pub fn collect(&self, ancestors: &[Arc<Block>], parent: [u8; 32], candidate: Candidate<'_>) -> System {
        let mut inner = self.inner.lock();
        let tracker = match inner.after(ancestors, parent, candidate) {
            Ok(tracker) => tracker,
            Err(error) => {
                tracing::debug!(%error, "no votes for the next block");
                return System::default();
            }
        };
        let votes = match tracker.opens(tracker.height() + 1) {
            true => Vec::new(),
            false => inner.pool.certificates(tracker.state()),
        };
        // One after the other, as they are judged.
        let (mut convicted, liable) = (tracker, |key: &VoteKey| is_liable(candidate, key));
        let counts = |evidence: &&Evidence| convicted.convict(evidence, &liable).is_ok();
        let evidence: Vec<_> = inner.evidence.iter().filter(counts).take(EVIDENCE_PER_BLOCK_MAX).cloned().collect();
        let liable = |both: &&Equivocation| candidate.is_liable(&Offender::Consensus(both.key()));
        let room = EVIDENCE_PER_BLOCK_MAX - evidence.len();
        let equivocations = inner.equivocations.iter().filter(liable).take(room).cloned().collect();
        System { votes, evidence, equivocations, ..System::default() }
    }

    /// What the stake has finalised after the last of `ancestors`, as in [`Desk::collect`].
    pub fn finalized_after(
        &self,
        ancestors: &[Arc<Block>],
        parent: [u8; 32],
        candidate: Candidate<'_>,
    ) -> Result<StakeFinality, JudgeError> {
        Ok(self.inner.lock().after(ancestors, parent, candidate)?.finality())
    }

    /// Whether namespace 0 of `block`, a child of the last of `ancestors`, is as it must be.
    pub fn judge(
        &self,
        ancestors: &[Arc<Block>],
        block: &Block,
        digest: [u8; 32],
        candidate: Candidate<'_>,
    ) -> Result<(), JudgeError> {
        let mut inner = self.inner.lock();
        if inner.judged.contains_key(&digest) {
            return Ok(());
        }
        let mut tracker = inner.after(ancestors, block.parent, candidate)?;
        judge_equivocations(&tracker, block, candidate)?;
        let stake = if tracker.opens(block.height) { candidate.candidate(block) } else { None };
        let applied = tracker.judge(block, digest, stake.as_ref(), &|key| is_liable(candidate, key))?;
        inner.remember(digest, Judged { height: block.height, tracker, applied });
        Ok(())
    }

    /// Takes the next final block; one that was taken before changes nothing.
    pub fn deliver(&self, block: &Block, candidate: Candidate<'_>) -> Result<(), String> {
        let mut inner = self.inner.lock();
        if block.height <= inner.tracker.height() {
            return Ok(());
        }
        let Inner { links, tracker, .. } = &mut *inner;
        let voted = links.observe(tracker.state(), block);
        let applied = inner.finalize(block, candidate)?;
        voted.iter().try_for_each(|link| self.keep_link(link))?;
        if let Some(opened) = &applied.outcome.opened {
            let kept = KeptCheckpoint { checkpoint: opened.checkpoint, state: opened.state.clone() };
            self.history.put_checkpoint(opened.checkpoint.epoch, kept.encode().into());
        }
        if let Some(finalized) = applied.outcome.finalized {
            tracing::debug!(epoch = finalized.epoch, root = %finalized.root, "checkpoint finalised");
        }
        for key in &applied.convicted {
            tracing::warn!(key = hex::encode(key.bytes()), height = block.height, "a voter is convicted");
        }
        let epoch = inner.tracker.state().epoch();
        inner.detector.advance(epoch);
        let found = inner.observe(block);
        self.take_evidence(&mut inner, found);
        let found = inner.advance(candidate);
        self.take_evidence(&mut inner, found);
        self.vote(&mut inner);
        self.resend_evidence(&inner);
        self.view.send_replace(inner.tracker.finality());
        Ok(())
    }

    /// Buffers a link with the checkpoint that names its electorate.
    fn keep_link(&self, link: &Link) -> Result<(), String> {
        let kept = self.history.checkpoint(link.target.epoch).map_err(|error| error.to_string())?;
        // Without it nobody could be shown who voted; every checkpoint that is voted on was kept when it was opened.
        if let Some(kept) = kept {
            self.history.put_link(link, kept.encode().into());
        }
        Ok(())
    }

    /// Shows a past block to the detector, at start: its votes count against those who vote again.
    pub fn review(&self, tracker: &Tracker, block: &Block) {
        let mut inner = self.inner.lock();
        let found = observe(&mut inner.detector, tracker.state(), block);
        self.take_evidence(&mut inner, found);
    }

    /// Takes a message of a peer. Whatever is false or useless changes nothing.
    pub fn hear(&self, message: Message) -> Result<(), String> {
        match message {
            Message::Vote { key, vote, signature } => self.hear_vote(&key, vote, signature),
            Message::Evidence(evidence) => self.hear_evidence(*evidence),
            Message::Equivocation(both) => self.hear_equivocation(*both),
        }
    }

    fn hear_vote(&self, key: &VoteKey, vote: Vote, signature: VoteSignature) -> Result<(), String> {
        let mut inner = self.inner.lock();
        let state = inner.tracker.state();
        if vote.target.epoch == state.epoch() + 1 {
            // Its sender is a block ahead. Whether it is true is seen when the checkpoint is known.
            // Signed by who it says, so that nobody takes the place of somebody else's.
            let is_member = state.set(vote.target.epoch).stake(key) > 0;
            if is_member && signature.verify(key, vote.signing_root(&state.parameters().domain).as_slice()) {
                inner.early.entry(*key.bytes()).or_insert((vote, signature));
            }
            return Ok(());
        }
        let found = inner.hear(key, vote, signature)?;
        self.take_evidence(&mut inner, found);
        Ok(())
    }

    /// Takes evidence that was not found by a validator, as it stands in blocks; it is sent to the others with the next blocks.
    /// What is taken is on the disk after the next [`Desk::commit`].
    pub fn report(&self, evidence: &[u8], stake: &dyn Stake) -> Result<(), Refused> {
        let system = System::read_evidence(evidence).map_err(|error| Refused::False(error.to_string()))?;
        for evidence in system.evidence {
            let tracker = {
                let inner = self.inner.lock();
                inner.evidence.has_room(&evidence.key)?;
                inner.tracker.clone()
            };
            // Without the lock, which every block needs: signatures take a millisecond each.
            let is_liable = is_liable(stake, &evidence.key);
            tracker.check_evidence_against(&evidence, is_liable).map_err(|error| Refused::False(error.to_string()))?;
            self.keep_evidence(&mut self.inner.lock(), evidence)?;
        }
        for both in system.equivocations {
            let namespace = {
                let inner = self.inner.lock();
                inner.equivocations.has_room(&both.key())?;
                inner.namespace()
            };
            check_equivocation(&namespace, &both, stake).map_err(|error| Refused::False(error.to_string()))?;
            self.keep_equivocation(&mut self.inner.lock(), both)?;
        }
        Ok(())
    }

    /// Takes what the engine of this validator has found out, whose signatures were checked.
    pub fn found_equivocation(&self, both: Equivocation) {
        if let Err(error) = self.keep_equivocation(&mut self.inner.lock(), both.clone()) {
            tracing::error!(%error, "an equivocation is not kept");
        }
        self.order(Task::Send(Message::Equivocation(Box::new(both))));
    }

    /// Kept in memory alone, as the one who found it has it on the disk; whether it costs anything is seen with the next block.
    fn hear_equivocation(&self, both: Equivocation) -> Result<(), String> {
        let namespace = {
            let inner = self.inner.lock();
            if !inner.equivocations.wants_doubtful(&both.key()) {
                return Ok(());
            }
            inner.namespace()
        };
        both.verify(&namespace).map_err(|error| error.to_string())?;
        self.inner.lock().equivocations.doubt(both.key(), both);
        Ok(())
    }

    fn hear_evidence(&self, evidence: Evidence) -> Result<(), String> {
        let (tracker, is_outside) = {
            let inner = self.inner.lock();
            let (key, is_outside) = (&evidence.key, inner.tracker.is_outside(&evidence.key));
            if inner.evidence.is_certain(key) || (is_outside && !inner.evidence.wants_doubtful(key)) {
                return Ok(());
            }
            (inner.tracker.clone(), is_outside)
        };
        // Somebody who left may still have stake to lose, which is seen with the next block.
        tracker.check_evidence_against(&evidence, is_outside).map_err(|error| error.to_string())?;
        let mut inner = self.inner.lock();
        if is_outside {
            inner.evidence.doubt(evidence.key, evidence);
            return Ok(());
        }
        self.keep_evidence(&mut inner, evidence).map_err(|error| error.to_string())
    }

    /// The guard has allowed the own vote.
    pub fn signed(&self, vote: Vote, signature: VoteSignature) {
        let mut inner = self.inner.lock();
        let Some(own) = inner.own.as_mut().filter(|own| own.vote == vote) else { return };
        own.signature = Some(signature);
        let key = self.secret.public();
        let Inner { tracker, pool, .. } = &mut *inner;
        if let Err(error) = pool.insert(tracker.state(), &key, vote, signature) {
            tracing::debug!(%error, "the own vote came too late");
        }
        drop(inner);
        self.order(Task::Send(Message::Vote { key: Box::new(key), vote, signature }));
    }

    /// Has the own vote on the current checkpoint signed, or sends it again.
    fn vote(&self, inner: &mut Inner) {
        let (key, height) = (self.secret.public(), inner.tracker.height());
        let state = inner.tracker.state();
        let Some(vote) = state.duty() else { return };
        let Some(position) = state.checkpoint().1.position(&key) else { return };
        // Nobody counts votes on a checkpoint that others have left behind.
        let is_late = height + 2 * state.parameters().epoch_blocks < self.tip.load(Ordering::Relaxed);
        if is_late || state.is_counted(&vote, position) {
            return;
        }
        match inner.own.as_mut().filter(|own| own.vote == vote) {
            None => {
                // Asked for again with the next block if there is no room for it now.
                if self.order(Task::Sign { domain: inner.tracker.state().parameters().domain, vote }) {
                    inner.own = Some(Own { vote, signature: None, sent: height });
                }
            }
            Some(own) => {
                if let Some(signature) = own.signature.filter(|_| height >= own.sent + RESEND_BLOCKS) {
                    own.sent = height;
                    self.order(Task::Send(Message::Vote { key: Box::new(key), vote, signature }));
                }
            }
        }
    }

    fn take_evidence(&self, inner: &mut Inner, found: Vec<Evidence>) {
        for evidence in found {
            self.found.fetch_add(1, Ordering::Relaxed);
            let (key, epoch) = (hex::encode(evidence.key.bytes()), evidence.second.vote.target.epoch);
            tracing::warn!(key, epoch, "a voter signed two votes that exclude each other");
            if inner.tracker.check_evidence(&evidence).is_ok() {
                if let Err(error) = self.keep_evidence(inner, evidence.clone()) {
                    tracing::error!(%error, "evidence is not kept");
                }
                self.order(Task::Send(Message::Evidence(Box::new(evidence))));
            }
        }
    }

    /// On disk with the next commit, which is asked for at once: before anything that is to be sent after this.
    fn keep_evidence(&self, inner: &mut Inner, evidence: Evidence) -> Result<(), Full> {
        let kept = inner.evidence.keep(evidence.key, evidence)?;
        self.history.put_evidence(*kept.key.bytes(), kept.encode().into());
        self.order(Task::Commit);
        Ok(())
    }

    /// As [`Desk::keep_evidence`].
    fn keep_equivocation(&self, inner: &mut Inner, both: Equivocation) -> Result<(), Full> {
        let kept = inner.equivocations.keep(both.key(), both)?;
        self.history.put_equivocation(kept.key(), kept.encode().into());
        self.order(Task::Commit);
        Ok(())
    }

    fn resend_evidence(&self, inner: &Inner) {
        if !inner.tracker.height().is_multiple_of(RESEND_BLOCKS) {
            return;
        }
        for evidence in inner.evidence.iter().take(EVIDENCE_PER_BLOCK_MAX) {
            self.order(Task::Send(Message::Evidence(Box::new(evidence.clone()))));
        }
        for both in inner.equivocations.iter().take(EVIDENCE_PER_BLOCK_MAX) {
            self.order(Task::Send(Message::Equivocation(Box::new(both.clone()))));
        }
    }

    /// Whether the task was taken.
    fn order(&self, task: Task) -> bool {
        let ordered = self.tasks.try_send(task).is_ok();
        if !ordered {
            tracing::debug!(limit = TASKS_MAX, "too many votes and proofs wait to be sent, they come again later");
        }
        ordered
    }

    /// Makes kept evidence durable. Blocks the thread.
    pub fn commit(&self) -> Result<(), HistoryError> {
        self.history.commit()
    }
}

impl Inner {
    /// Finality after the last of `ancestors`, whose digest is `parent`; they begin above the last final block.
    fn after(
        &mut self,
        ancestors: &[Arc<Block>],
        parent: [u8; 32],
        candidate: Candidate<'_>,
    ) -> Result<Tracker, JudgeError> {
        let digests: Vec<[u8; 32]> = ancestors.iter().skip(1).map(|block| block.parent).chain([parent]).collect();
        let known = |place: &usize| self.judged.contains_key(&digests[*place]);
        let newest = (0..ancestors.len()).rev().find(known);
        let mut tracker =
            newest.map_or_else(|| self.tracker.clone(), |place| self.judged[&digests[place]].tracker.clone());
        for place in newest.map_or(0, |place| place + 1)..ancestors.len() {
            let (block, digest) = (&ancestors[place], digests[place]);
            let stake = if tracker.opens(block.height) { candidate.candidate(block) } else { None };
            let applied = tracker.apply(block, digest, stake.as_ref())?;
            self.remember(digest, Judged { height: block.height, tracker: tracker.clone(), applied });
        }
        Ok(tracker)
    }

    fn remember(&mut self, digest: [u8; 32], judged: Judged) {
        if self.judged.len() >= JUDGED_MAX {
            self.judged.clear();
        }
        self.judged.insert(digest, judged);
    }

    fn finalize(&mut self, block: &Block, candidate: Candidate<'_>) -> Result<Applied, String> {
        let digest = block.digest();
        let applied = match self.judged.remove(&digest) {
            Some(judged) => {
                self.tracker = judged.tracker;
                judged.applied
            }
            None => {
                let stake = if self.tracker.opens(block.height) { candidate.candidate(block) } else { None };
                let applied = self.tracker.apply(block, digest, stake.as_ref());
                applied.map_err(|error| format!("finality of block {}: {error}", block.height))?
            }
        };
        self.judged.retain(|_, judged| judged.height > block.height);
        Ok(applied)
    }

    /// What the votes in the last final block prove together with those before.
    fn observe(&mut self, block: &Block) -> Vec<Evidence> {
        observe(&mut self.detector, self.tracker.state(), block)
    }

    /// Takes a vote for a checkpoint that is known here; what it proves together with others.
    fn hear(&mut self, key: &VoteKey, vote: Vote, signature: VoteSignature) -> Result<Vec<Evidence>, String> {
        let state = self.tracker.state();
        match self.pool.insert(state, key, vote, signature) {
            Ok(false) => return Ok(Vec::new()),
            // A vote that does not count may still contradict one that did.
            Ok(true) | Err(PoolError::Vote(VoteError::Target { .. } | VoteError::Source { .. })) => {}
            Err(error) => return Err(error.to_string()),
        }
        let Some(electorate) = state.electorate_at(vote.target.epoch) else { return Ok(Vec::new()) };
        self.detector.observe_vote(key, vote, signature, electorate).map_err(|error| error.to_string())
    }

    fn namespace(&self) -> Vec<u8> {
        engine_namespace(&self.tracker)
    }

    /// Forgets what the last block has settled, and looks at votes that came too early.
    fn advance(&mut self, stake: &dyn Stake) -> Vec<Evidence> {
        let Self { tracker, pool, early, evidence, equivocations, .. } = self;
        let epoch = tracker.state().epoch();
        pool.advance(tracker.state());
        if !stake.is_replayed() {
            let costs = |key: &VoteKey| tracker.accuses(key) || (tracker.is_outside(key) && is_liable(stake, key));
            // Signers who cannot be told any more prove nothing in a block; another proof may.
            evidence.settle(|key, evidence| costs(key) && tracker.knows_signers(evidence));
            equivocations.settle(|key, _| stake.is_liable(&Offender::Consensus(*key)));
        }
        let due = early.extract_if(.., |_, (vote, _)| vote.target.epoch <= epoch).collect::<Vec<_>>();
        let mut found = Vec::new();
        for (key, (vote, signature)) in due {
            let key = VoteKey::decode(&key).expect("it was decoded before");
            match self.hear(&key, vote, signature) {
                Ok(proven) => found.extend(proven),
                Err(error) => tracing::debug!(error, "an early vote does not count"),
            }
        }
        found
    }
}

/// What the engine's signatures are bound to in this network.
fn engine_namespace(tracker: &Tracker) -> Vec<u8> {
    namespace(tracker.state().parameters().domain.chain_id)
}

fn is_liable(stake: &dyn Stake, key: &VoteKey) -> bool {
    stake.is_liable(&Offender::Vote(*key.bytes()))
}

/// Whether an equivocation proves an offence of somebody with stake to lose.
fn check_equivocation(namespace: &[u8], both: &Equivocation, stake: &dyn Stake) -> Result<(), JudgeError> {
    if !stake.is_liable(&Offender::Consensus(both.key())) {
        return Err(JudgeError::NoCandidate(hex::encode(both.key())));
    }
    Ok(both.verify(namespace)?)
}

/// Whether all equivocations in a block are true, and each against somebody else.
fn judge_equivocations(tracker: &Tracker, block: &Block, stake: &dyn Stake) -> Result<(), JudgeError> {
    let (mut accused, namespace) = (BTreeSet::new(), engine_namespace(tracker));
    for both in System::read(&block.payload)?.equivocations {
        if !accused.insert(both.key()) {
            return Err(JudgeError::NoCandidate(hex::encode(both.key())));
        }
        check_equivocation(&namespace, &both, stake)?;
    }
    Ok(())
}

/// What the votes in a block prove together with those that the detector has seen; `state` is the one after the block.
fn observe(detector: &mut Detector, state: &State, block: &Block) -> Vec<Evidence> {
    let mut found = Vec::new();
    for votes in System::read(&block.payload).unwrap_or_default().votes {
        let Some(electorate) = state.electorate_at(votes.vote.target.epoch) else { continue };
        found.extend(detector.observe(&votes, electorate).unwrap_or_default());
    }
    found
}
