//! What became final, as all honest validators see it, and the application that each of them runs.

use crate::invariants::Invariant;
use crate::plan::{NAMESPACES, QUIET_NAMESPACE, SEALED_NAMESPACE};
use alloy_primitives::B256;
use bytes::Bytes;
use parking_lot::Mutex;
use proof::checkpoint::Evidence;
use proof::lane::KeyRecord;
use proof::namespace::NamespaceProof;
use protocol::api::CheckpointName;
use protocol::network::Validator;
use sequencer::committees::Schedule;
use sequencer::lane::Front;
use sequencer::{Application, Block, Entry, Hash, Offender, Proposal, Propose, SYSTEM, System, transaction_hash};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A broken promise, before it is known when.
pub(crate) type Broken = (Invariant, String);

/// Everything that happened, over all validators and parts.
#[derive(Default)]
pub(crate) struct Chronicle {
    digests: BTreeMap<u64, [u8; 32]>,
    /// Committees by these blocks.
    schedule: Option<Schedule>,
    /// Heads of blocks that honest validators have sent or handed on in shards.
    sharded: BTreeSet<Vec<u8>>,
    /// Transactions that users made.
    known: BTreeSet<Hash>,
    /// The transactions of each bundle that users made.
    bundles: Vec<Vec<Hash>>,
    /// Where transactions are final.
    heights: BTreeMap<Hash, u64>,
    /// Checkpoints that the stake finalised: height and root, by epoch.
    finalized: BTreeMap<u64, (u64, B256)>,
    /// Newest one of each seat.
    newest: BTreeMap<usize, u64>,
    /// Vote keys and consensus keys of malicious seats.
    malicious: BTreeSet<Vec<u8>>,
    /// Newest block that each seat has taken.
    taken: BTreeMap<usize, u64>,
    /// Shares of the encrypted lane that honest validators have sent.
    pub shares: u64,
    /// Its keys, by the round that made them.
    keys: BTreeMap<u64, KeyRecord>,
    /// Evidence in blocks.
    pub accusations: u64,
    /// Evidence of votes in blocks.
    pub proofs: Vec<Evidence>,
    /// Whom each block convicts that convicts anybody, in the order of the blocks.
    pub convictions: Vec<Vec<Offender>>,
    /// The first promise that was broken.
    pub broken: Option<Broken>,
}

impl Chronicle {
    /// Of a run with these committees, in which the seats with these keys are malicious.
    pub fn new(malicious: BTreeSet<Vec<u8>>, schedule: Schedule) -> Self {
        Self { malicious, schedule: Some(schedule), ..Self::default() }
    }

    /// Notes that an honest validator has sent shards of the block with this head.
    pub fn spread(&mut self, head: &[u8]) {
        if !self.sharded.contains(head) {
            self.sharded.insert(head.to_vec());
        }
    }

    /// Blocks of which shards were sent.
    pub fn sharded(&self) -> u64 {
        self.sharded.len() as u64
    }

    /// Notes that users made these transactions; two or more are a bundle.
    pub fn made(&mut self, hashes: Vec<Hash>) {
        self.known.extend(hashes.iter().copied());
        if hashes.len() > 1 {
            self.bundles.push(hashes);
        }
    }

    /// Height at which a transaction is final.
    pub fn height_of(&self, hash: &Hash) -> Option<u64> {
        self.heights.get(hash).copied()
    }

    /// How many transactions are final.
    pub fn transactions(&self) -> u64 {
        self.heights.len() as u64
    }

    /// Highest block that is final somewhere.
    pub fn height(&self) -> u64 {
        self.digests.last_key_value().map_or(0, |(height, _)| *height)
    }

    /// Committees by the blocks that are final somewhere.
    pub fn schedule(&self) -> Option<&Schedule> {
        self.schedule.as_ref()
    }

    /// Compares what a validator says is final with what others said.
    pub fn compare(&mut self, seat: usize, height: u64, digest: [u8; 32]) -> Result<bool, Broken> {
        match self.digests.get(&height) {
            None => {
                self.digests.insert(height, digest);
                Ok(true)
            }
            Some(known) if *known == digest => Ok(false),
            Some(known) => {
                let (known, digest) = (hex::encode(known), hex::encode(digest));
                Err((Invariant::OneBlockPerHeight, format!("height {height} is {known}, for seat {seat} {digest}")))
            }
        }
    }

    /// Notes that an honest validator has sent its share for `target`: that must be final for it.
    pub fn released(&mut self, seat: usize, target: u64) {
        self.shares += 1;
        let height = self.taken.get(&seat).copied().unwrap_or_default();
        if target > height {
            let text = format!("seat {seat} at height {height} sent its share for {target}");
            self.broken.get_or_insert((Invariant::NoShareBeforeFinality, text));
        }
    }

    /// Compares the key of the encrypted lane in force for a validator with what others said of the same round.
    pub fn holds(&mut self, seat: usize, key: &KeyRecord) -> Result<(), Broken> {
        let known = self.keys.entry(key.round).or_insert_with(|| key.clone());
        match known == key {
            true => Ok(()),
            false => Err((Invariant::OneLaneKey, format!("seat {seat} has {key:?}, others {known:?}"))),
        }
    }

    /// How many there were.
    pub fn keys(&self) -> u64 {
        self.keys.len() as u64
    }

    fn take(&mut self, seat: usize, block: &Block) -> Result<(), Broken> {
        self.taken.insert(seat, block.height);
        if self.compare(seat, block.height, block.digest())? {
            if let Some(schedule) = &mut self.schedule {
                schedule.apply(block);
            }
            self.check_transactions(block)?;
            self.check_system(block)?;
            check_namespaces(block)?;
            self.check_bundles(block)?;
        }
        Ok(())
    }

    /// Compares what a validator says the stake has finalised with what is final, and with what others said.
    pub fn finalized(&mut self, seat: usize, checkpoint: &CheckpointName) -> Result<(), Broken> {
        let CheckpointName { epoch, height, root } = *checkpoint;
        let broken = |what: String| (Invariant::FinalizedIsFinal, format!("seat {seat}, epoch {epoch}: {what}"));
        if height > self.height() {
            return Err(broken(format!("block {height} is finalised, {} is final", self.height())));
        }
        if let Some(earlier) = self.newest.insert(seat, epoch).filter(|earlier| *earlier > epoch) {
            return Err(broken(format!("epoch {earlier} was finalised before")));
        }
        match self.finalized.insert(epoch, (height, root)) {
            Some(known) if known != (height, root) => Err(broken(format!("{known:?} was finalised, now {root}"))),
            _ => Ok(()),
        }
    }

    /// Evidence that is in a block is against malicious seats.
    fn check_system(&mut self, block: &Block) -> Result<(), Broken> {
        let broken = |what: String| (Invariant::HonestNeverAccused, format!("block {}: {what}", block.height));
        let system = System::read(&block.payload).map_err(|error| broken(error.to_string()))?;
        for offender in system.offenders() {
            let key = match &offender {
                Offender::Vote(key) => &key[..],
                Offender::Consensus(key) => &key[..],
            };
            if !self.malicious.contains(key) {
                return Err(broken(format!("evidence against {}, who is honest", hex::encode(key))));
            }
            self.accusations += 1;
        }
        if !system.offenders().is_empty() {
            self.convictions.push(system.offenders());
        }
        self.proofs.extend(system.evidence);
        Ok(())
    }

    fn check_transactions(&mut self, block: &Block) -> Result<(), Broken> {
        for hash in block.payload.entries().iter().filter(|entry| entry.namespace() != SYSTEM).flat_map(Entry::hashes) {
            let broken = |what: String| (Invariant::NothingTwiceNothingInvented, what);
            if !self.known.contains(&hash) {
                return Err(broken(format!("block {} has {}, which nobody made", block.height, hex::encode(hash))));
            }
            if let Some(earlier) = self.heights.insert(hash, block.height) {
                let text = format!("{} is in blocks {earlier} and {}", hex::encode(hash), block.height);
                return Err(broken(text));
            }
        }
        Ok(())
    }

    fn check_bundles(&self, block: &Block) -> Result<(), Broken> {
        let broken = |what: String| (Invariant::BundlesAtomic, format!("block {}: {what}", block.height));
        for hash in block.payload.bundle_hashes() {
            let proof = block.payload.prove_bundle(&hash).ok_or_else(|| broken("a bundle has no proof".to_owned()))?;
            proof.verify(block.payload.bundles_root().into()).map_err(|error| broken(error.to_string()))?;
        }
        for bundle in &self.bundles {
            let here = bundle.iter().filter(|hash| self.heights.get(*hash) == Some(&block.height)).count();
            if here != 0 && here != bundle.len() {
                return Err(broken(format!("{here} of {} transactions of a bundle are in it", bundle.len())));
            }
        }
        Ok(())
    }
}

fn check_namespaces(block: &Block) -> Result<(), Broken> {
    let broken = |what: String| (Invariant::NamespaceProofsComplete, format!("block {}: {what}", block.height));
    for namespace in NAMESPACES.into_iter().chain([QUIET_NAMESPACE]) {
        // As a client gets it: encoded, and verified against the root alone.
        let encoded = block.payload.prove_namespace(namespace).encode();
        let proof = NamespaceProof::decode(&encoded).map_err(|error| broken(error.to_string()))?;
        let proven = proof.verify(block.payload.namespaces_root().into(), namespace);
        let proven: Vec<_> = proven.map_err(|error| broken(error.to_string()))?.iter().map(AsRef::as_ref).collect();
        let held: Vec<&[u8]> = block.payload.transactions(namespace).iter().map(|it| it.payload().as_ref()).collect();
        if proven != held {
            return Err(broken(format!("{} of {} transactions of {namespace} are proven", proven.len(), held.len())));
        }
    }
    Ok(())
}

/// The application of one validator: what it took is on its disk.
pub(crate) struct Ledger {
    seat: usize,
    /// Of honest validators.
    chronicle: Option<Arc<Mutex<Chronicle>>>,
    state: Mutex<State>,
    /// Seats that it names, from a height on.
    seats: Arc<Seats>,
    stakes: Arc<Stakes>,
}

/// After the newest final block.
#[derive(Clone, Copy, Default)]
struct State {
    height: u64,
    convicted: Convicted,
}

/// Who has a seat, from a height on.
pub(crate) type Seats = BTreeMap<u64, Vec<Validator>>;

/// Everybody with stake: the keys that evidence may name.
pub(crate) type Stakes = Vec<[Offender; 2]>;

/// One bit for each of [`Stakes`] that is lost.
type Convicted = u64;

impl Ledger {
    /// For a seat; what malicious ones take is believed by nobody.
    pub fn new(seat: usize, chronicle: Option<Arc<Mutex<Chronicle>>>, seats: Arc<Seats>, stakes: Arc<Stakes>) -> Self {
        Self { seat, chronicle, state: Mutex::default(), seats, stakes }
    }

    /// The bit of an offender; 0 if it has no stake.
    fn bit(&self, offender: &Offender) -> Convicted {
        self.stakes
            .iter()
            .position(|keys| keys.contains(offender))
            .map_or(0, |place| 1u64.checked_shl(place as u32).unwrap_or(0))
    }

    fn convict(&self, before: Convicted, offenders: &[Offender]) -> Convicted {
        offenders.iter().fold(before, |convicted, offender| convicted | self.bit(offender))
    }
}

/// The height, and who has lost its stake if anybody has.
fn commitment(height: u64, convicted: Convicted) -> Bytes {
    let convicted = convicted.to_be_bytes();
    [&height.to_be_bytes()[..], if convicted == [0; 8] { &[] } else { &convicted }].concat().into()
}

fn convicted(block: &Block) -> Convicted {
    let bytes = block.commitment.get(8..).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, Convicted::from_be_bytes)
}

impl Application for Ledger {
    fn genesis_commitment(&self) -> Bytes {
        commitment(0, 0)
    }

    fn propose(&self, request: Propose<'_>) -> Option<Proposal> {
        let convicted = self.convict(convicted(request.parent), request.offenders);
        let (commitment, due) = (commitment(request.height(), convicted), request.due.len());
        let content = request.candidates.with_front(SEALED_NAMESPACE, request.due.to_vec());
        Some(Proposal { content, commitment, taken: due, included: due, ..Proposal::default() })
    }

    fn executes(&self) -> Option<u64> {
        Some(SEALED_NAMESPACE)
    }

    fn verify_front(&self, ancestors: &[Arc<Block>], block: &Block, front: &Front<'_>) -> bool {
        let due = front.due.len();
        (front.taken, front.included) == (due, due) && self.verify(ancestors, block)
    }

    fn verify(&self, ancestors: &[Arc<Block>], block: &Block) -> bool {
        let before = ancestors.last().map_or_else(|| self.state.lock().convicted, |parent| convicted(parent));
        let Ok(system) = System::read(&block.payload) else { return false };
        block.commitment == commitment(block.height, self.convict(before, &system.offenders()))
    }

    fn liable(&self, block: &Block, offender: &Offender) -> bool {
        self.bit(offender) & !convicted(block) != 0
    }

    fn seats(&self, block: &Block) -> Option<Vec<Validator>> {
        self.seats.range(..=block.height).next_back().map(|(_, seats)| seats.clone())
    }

    fn finalized(&self, block: &Block) -> Result<(), String> {
        let mut state = self.state.lock();
        let next = State { height: block.height, convicted: convicted(block) };
        let Some(chronicle) = &self.chronicle else {
            *state = next;
            return Ok(());
        };
        let mut chronicle = chronicle.lock();
        let taken = if block.height == state.height + 1 {
            chronicle.take(self.seat, block)
        } else {
            Err((Invariant::EveryBlockOnce, format!("seat {} got {} after {}", self.seat, block.height, state.height)))
        };
        if let Err(broken) = taken {
            chronicle.broken.get_or_insert(broken);
        }
        *state = next;
        Ok(())
    }

    fn finalized_height(&self) -> u64 {
        self.state.lock().height
    }
}

/// The transactions of a submission, which no other has: a user, a number, and as many bytes as asked for.
pub(crate) fn transactions(user: u64, shape: &[(u64, usize)]) -> (Vec<(u64, Bytes)>, Vec<Hash>) {
    let make = |(index, (namespace, length)): (usize, &(u64, usize))| {
        let mut bytes = [user.to_be_bytes().as_slice(), &(index as u64).to_be_bytes()].concat();
        bytes.resize((*length).max(16), index as u8);
        (*namespace, Bytes::from(bytes))
    };
    let made: Vec<(u64, Bytes)> = shape.iter().enumerate().map(make).collect();
    let hashes = made.iter().map(|(namespace, bytes)| transaction_hash(*namespace, bytes)).collect();
    (made, hashes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring;
    use proof::checkpoint::{Point, SignedVote, Vote, VoteKey, VoteSignature, Witness};
    use sequencer::{Bundle, Content, Payload};

    fn block(height: u64, entries: Vec<Entry>, bundles: Vec<Bundle>) -> Block {
        let payload = Payload::new(Content { entries, bundles }).unwrap();
        Block { height, payload, ..Block::genesis(1, 0, Bytes::new()) }
    }

    fn made(chronicle: &mut Chronicle, user: u64, shape: &[(u64, usize)]) -> Vec<(u64, Bytes)> {
        let (made, hashes) = transactions(user, shape);
        chronicle.made(hashes);
        made
    }

    fn entry((namespace, payload): &(u64, Bytes)) -> Entry {
        Entry::new(*namespace, [payload.clone()])
    }

    #[test]
    fn another_block_at_a_height_is_noticed() {
        let mut chronicle = Chronicle::default();
        let made = made(&mut chronicle, 1, &[(7, 20)]);
        assert_eq!(chronicle.take(0, &block(1, vec![], vec![])), Ok(()));
        assert_eq!(chronicle.take(1, &block(1, vec![], vec![])), Ok(()));
        let (invariant, text) = chronicle.take(2, &block(1, vec![entry(&made[0])], vec![])).unwrap_err();
        assert_eq!(invariant, Invariant::OneBlockPerHeight, "{text}");
    }

    #[test]
    fn a_transaction_twice_and_one_of_nobody_are_noticed() {
        let mut chronicle = Chronicle::default();
        let made = made(&mut chronicle, 1, &[(7, 20)]);
        assert_eq!(chronicle.take(0, &block(1, vec![entry(&made[0])], vec![])), Ok(()));
        let (invariant, _) = chronicle.take(0, &block(2, vec![entry(&made[0])], vec![])).unwrap_err();
        assert_eq!(invariant, Invariant::NothingTwiceNothingInvented);
        let (stranger, _) = transactions(99, &[(7, 20)]);
        let (invariant, _) = chronicle.take(0, &block(3, vec![entry(&stranger[0])], vec![])).unwrap_err();
        assert_eq!(invariant, Invariant::NothingTwiceNothingInvented);
    }

    #[test]
    fn a_share_before_its_target_is_final_is_noticed() {
        let chronicle = Arc::new(Mutex::new(Chronicle::default()));
        let ledger = Ledger::new(3, Some(chronicle.clone()), Arc::default(), Arc::default());
        ledger.finalized(&block(1, vec![], vec![])).unwrap();
        chronicle.lock().released(3, 1);
        assert_eq!(chronicle.lock().broken, None);
        chronicle.lock().released(3, 2);
        let broken = chronicle.lock().broken.clone();
        let text = "seat 3 at height 1 sent its share for 2".to_owned();
        assert_eq!(broken, Some((Invariant::NoShareBeforeFinality, text)));
    }

    #[test]
    fn a_torn_bundle_is_noticed() {
        let mut chronicle = Chronicle::default();
        let made = made(&mut chronicle, 1, &[(1, 20), (7, 20)]);
        let (invariant, text) = chronicle.take(0, &block(1, vec![entry(&made[0])], vec![])).unwrap_err();
        assert_eq!(
            (invariant, text.as_str()),
            (Invariant::BundlesAtomic, "block 1: 1 of 2 transactions of a bundle are in it")
        );
    }

    /// Evidence against a seat, which somebody else has judged.
    fn evidence(seat: usize) -> Evidence {
        let key = keyring::with(seat, |seat| VoteKey::decode(&seat.vote_key)).unwrap();
        let point = |epoch, root| Point { epoch, root: B256::repeat_byte(root) };
        let signed = |root| SignedVote {
            vote: Vote { source: point(1, 1), target: point(2, root) },
            witness: Witness::Alone(VoteSignature([0xc0; 48])),
        };
        Evidence { key, first: signed(2), second: signed(3) }
    }

    #[test]
    fn evidence_against_an_honest_validator_is_noticed() {
        let system = |seat| System { evidence: vec![evidence(seat)], ..System::default() };
        let with = |height, seat| block(height, vec![Entry::new(SYSTEM, system(seat).encode())], vec![]);
        let malicious = keyring::with(1, |twin| [twin.vote_key.clone()].into());
        let mut chronicle = Chronicle { malicious, ..Chronicle::default() };
        assert_eq!(chronicle.take(0, &with(1, 1)), Ok(()));
        assert_eq!((chronicle.accusations, chronicle.proofs.len(), chronicle.convictions.len()), (1, 1, 1));
        let (invariant, text) = chronicle.take(0, &with(2, 2)).unwrap_err();
        assert_eq!(invariant, Invariant::HonestNeverAccused, "{text}");
    }

    #[test]
    fn a_conviction_is_committed_to_and_costs_the_stake_once() {
        let stakes = Arc::new((0..2).map(|seat| keyring::with(seat, |seat| seat.offenders())).collect::<Stakes>());
        let ledger = Ledger::new(0, None, Arc::default(), stakes.clone());
        let system = System { evidence: vec![evidence(1)], ..System::default() };
        let entries = vec![Entry::new(SYSTEM, system.encode())];
        let parent = Block { commitment: commitment(0, 0), ..block(0, vec![], vec![]) };
        assert!(stakes.iter().flatten().all(|offender| ledger.liable(&parent, offender)));
        assert!(!ledger.liable(&parent, &Offender::Consensus([9; 32])), "a stranger has nothing to lose");
        let convicting = Block { commitment: commitment(1, 2), ..block(1, entries, vec![]) };
        assert!(ledger.verify(&[], &convicting));
        assert!(!ledger.verify(&[], &Block { commitment: commitment(1, 0), ..convicting.clone() }), "it is not hidden");
        assert!(!ledger.liable(&convicting, &stakes[1][0]) && !ledger.liable(&convicting, &stakes[1][1]));
        assert!(ledger.liable(&convicting, &stakes[0][1]));
        ledger.finalized(&convicting).unwrap();
        assert!(ledger.verify(&[], &Block { commitment: commitment(2, 2), ..block(2, vec![], vec![]) }));
        assert!(
            !ledger.verify(&[], &Block { commitment: commitment(2, 0), ..block(2, vec![], vec![]) }),
            "nor forgotten"
        );
    }

    #[test]
    fn finality_that_changes_or_goes_back_or_runs_ahead_is_noticed() {
        let mut chronicle = Chronicle::default();
        for height in 1..=8 {
            chronicle.take(0, &block(height, vec![], vec![])).unwrap();
        }
        let at = |epoch: u64, root| CheckpointName { epoch, height: 4 * epoch, root: B256::repeat_byte(root) };
        assert_eq!(chronicle.finalized(0, &at(1, 1)), Ok(()));
        assert_eq!(chronicle.finalized(1, &at(2, 2)), Ok(()));
        let broken = |result: Result<(), Broken>| result.unwrap_err().0 == Invariant::FinalizedIsFinal;
        assert!(broken(chronicle.finalized(2, &at(1, 9))), "another root");
        assert!(broken(chronicle.finalized(1, &at(1, 1))), "an earlier epoch of the same seat");
        assert!(broken(chronicle.finalized(3, &at(3, 3))), "a block that is not final");
    }

    #[test]
    fn a_block_that_is_left_out_is_noticed() {
        let chronicle = Arc::new(Mutex::new(Chronicle::default()));
        let ledger = Ledger::new(3, Some(chronicle.clone()), Arc::default(), Arc::default());
        ledger.finalized(&block(1, vec![], vec![])).unwrap();
        assert_eq!(chronicle.lock().broken, None);
        ledger.finalized(&block(3, vec![], vec![])).unwrap();
        let broken = chronicle.lock().broken.clone();
        assert_eq!(broken, Some((Invariant::EveryBlockOnce, "seat 3 got 3 after 1".to_owned())));
    }
}
