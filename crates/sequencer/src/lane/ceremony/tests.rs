use super::super::actor::{Letter, Task, Tasks};
use super::super::dealings::{Asked, Dealings};
use super::super::desk::Desk;
use super::super::state::State;
use super::super::vault::Vault;
use super::super::{Config, Fault, Randomness, Rules};
use super::*;
use crate::block::Block;
use crate::committee::Committee;
use crate::committees::Announcement;
use crate::content::{Content, Entry};
use crate::history::History;
use crate::payload::Payload;
use crate::system::{SYSTEM, System};
use crate::testing::{CHAIN_ID, genesis, keys};
use commonware_cryptography::Signer as _;
use proof::lane::{Entropy, Envelope, Opening, Record, seal};
use protocol::network::{LanePolicy, Validator};
use std::collections::BTreeSet;
use std::ops::Range;
use tempfile::TempDir;

const EPOCH_BLOCKS: u64 = 16;
const NAMESPACE: u64 = 7;
const PERIOD: u64 = 4;

fn validators(seats: Range<u64>) -> Vec<Validator> {
    seats.map(|seat| keys(seat).validator(format!("127.0.0.1:{}", 9000 + seat), String::new())).collect()
}

fn peer(seat: u64) -> PublicKey {
    keys(seat).consensus.public_key()
}

/// What happens to a message on its way.
enum Way {
    Arrives,
    Changed(Letter),
    Lost,
}

/// A validator that can be killed.
struct Home {
    desk: Desk,
    tasks: Tasks,
}

/// Validators, their disks, and the blocks.
struct Town {
    seats: Range<u64>,
    start: State,
    schedule: Schedule,
    homes: BTreeMap<u64, Home>,
    blocks: Vec<Block>,
    letters: usize,
    epoch_blocks: u64,
    /// Messages that are slow, with the height at which they arrive.
    on_way: Vec<(u64, u64, Task)>,
    directory: TempDir,
}

impl Town {
    /// The first `size` of `seats` are the committee; nobody runs.
    fn new(size: u64, seats: Range<u64>) -> Self {
        Self::with(size, seats, EPOCH_BLOCKS)
    }

    fn with(size: u64, seats: Range<u64>, epoch_blocks: u64) -> Self {
        let committee = Committee::new(&validators(0..size), CHAIN_ID).unwrap();
        let policies = [(NAMESPACE, LanePolicy::Both)].into();
        let config = Config { period_blocks: PERIOD, policies, dealt: None, randomness: Randomness::System };
        let rules = Arc::new(Rules::new(&config, CHAIN_ID, None, size as usize));
        let schedule = Schedule::new(committee, epoch_blocks);
        let start = State::genesis(rules, schedule.clone(), None);
        let (homes, directory) = (BTreeMap::new(), tempfile::tempdir().unwrap());
        let (blocks, on_way) = (Vec::new(), Vec::new());
        Self { seats, start, schedule, homes, blocks, letters: 0, epoch_blocks, on_way, directory }
    }

    /// A network of `size`, all running.
    fn running(size: u64) -> Self {
        let mut town = Self::new(size, 0..size);
        (0..size).for_each(|seat| town.open(seat));
        town
    }

    /// Starts a validator on what it kept, and shows it all blocks.
    fn open(&mut self, seat: u64) {
        let root = self.directory.path().join(seat.to_string());
        std::fs::create_dir_all(&root).unwrap();
        let history = Arc::new(History::open(&root.join("history.redb")).unwrap());
        let vault = Vault::new(root.join("lane"));
        let dealings = Dealings::new(keys(seat).consensus.clone(), vault, None, Randomness::System);
        let desk = Desk::new(dealings, self.start.clone(), history);
        self.blocks.iter().for_each(|block| desk.deliver(block).unwrap());
        let tasks = desk.tasks().unwrap();
        self.homes.insert(seat, Home { desk, tasks });
    }

    fn kill(&mut self, seat: u64) {
        self.homes.remove(&seat);
    }

    fn height(&self) -> u64 {
        self.blocks.len() as u64
    }

    fn state(&self, seat: u64) -> State {
        self.homes[&seat].desk.turn(&[], [0; 32]).unwrap().state().clone()
    }

    /// Carries messages until there are none.
    fn carry(&mut self, way: &mut dyn FnMut(u64, u64, &Letter) -> Way) {
        loop {
            let mut sent: Vec<(u64, Task)> = Vec::new();
            for (seat, home) in &mut self.homes {
                sent.extend(std::iter::from_fn(|| home.tasks.try_recv().ok()).map(|task| (*seat, task)));
            }
            if sent.is_empty() {
                return;
            }
            for (from, Task { to, letter }) in sent {
                for seat in self.seats.clone().filter(|seat| *seat != from) {
                    if to.as_ref().is_none_or(|to| *to == peer(seat)) {
                        self.arrive(from, seat, &letter, way);
                    }
                }
            }
        }
    }

    fn arrive(&mut self, from: u64, to: u64, letter: &Letter, way: &mut dyn FnMut(u64, u64, &Letter) -> Way) {
        let letter = match way(from, to, letter) {
            Way::Arrives => letter.clone(),
            Way::Changed(letter) => letter,
            Way::Lost => return,
        };
        self.letters += 1;
        let Some(home) = self.homes.get(&to) else { return };
        let _ = home.desk.hear(&peer(from), Letter::decode(&letter.encode()).unwrap());
    }

    /// The next block, by the first validator that runs.
    fn block(&self, announced: Option<Announcement>, envelopes: &[Bytes]) -> Block {
        let home = self.homes.values().next().unwrap();
        let turn = home.desk.turn(&[], [0; 32]).unwrap();
        let committees = self.schedule.root_for(self.height() + 1, announced.is_some());
        let system = System { lane: turn.records(0, 0), committee: announced, committees, ..System::default() };
        let users = (!envelopes.is_empty()).then(|| Entry::new(NAMESPACE, envelopes.iter().cloned()));
        let system = system.encode();
        let protocol = (!system.is_empty()).then(|| Entry::new(SYSTEM, system));
        let content = Content { entries: protocol.into_iter().chain(users).collect(), bundles: vec![] };
        Block { height: self.height() + 1, payload: Payload::new(content).unwrap(), ..genesis() }
    }

    fn deliver(&mut self, block: Block) {
        for home in self.homes.values() {
            home.desk.judge(&[], &block).unwrap();
            home.desk.deliver(&block).unwrap();
        }
        self.schedule.apply(&block);
        self.blocks.push(block);
    }

    fn step(&mut self, way: &mut dyn FnMut(u64, u64, &Letter) -> Way) {
        self.carry(way);
        self.deliver(self.block(None, &[]));
        self.carry(way);
    }

    /// Blocks up to this height.
    fn reach(&mut self, height: u64, way: &mut dyn FnMut(u64, u64, &Letter) -> Way) {
        while self.height() < height {
            self.step(way);
        }
    }

    /// Announces another committee in the block after the one that opens the next epoch; returns its first height.
    fn announce(&mut self, seats: Range<u64>, way: &mut dyn FnMut(u64, u64, &Letter) -> Way) -> u64 {
        let opening = (self.height() / self.epoch_blocks + 1) * self.epoch_blocks;
        self.reach(opening, way);
        let first = opening + 2 * self.epoch_blocks;
        self.deliver(self.block(Some(Announcement { first, validators: validators(seats) }), &[]));
        first
    }

    /// Blocks up to this height, while every message takes `hop` blocks.
    fn reach_slowly(&mut self, height: u64, hop: u64, way: &mut dyn FnMut(u64, u64, &Letter) -> Way) {
        loop {
            let now = self.height();
            let (due, later) = std::mem::take(&mut self.on_way).into_iter().partition(|(arrives, ..)| *arrives <= now);
            self.on_way = later;
            for (_, from, Task { to, letter }) in due {
                for seat in self.seats.clone().filter(|seat| *seat != from) {
                    if to.as_ref().is_none_or(|to| *to == peer(seat)) {
                        self.arrive(from, seat, &letter, way);
                    }
                }
            }
            for (seat, home) in &mut self.homes {
                let sent = std::iter::from_fn(|| home.tasks.try_recv().ok()).map(|task| (now + hop, *seat, task));
                self.on_way.extend(sent);
            }
            if now >= height {
                return;
            }
            self.deliver(self.block(None, &[]));
        }
    }

    fn key(&self, seat: u64) -> Option<Arc<Key>> {
        self.state(seat).key().cloned()
    }

    fn has_share(&self, seat: u64) -> bool {
        self.homes[&seat].desk.status().has_share
    }

    /// An envelope from the next block on, for a target that is ordered in time.
    fn order(&mut self, text: &[u8]) -> (u64, Bytes) {
        let target = (self.height() / PERIOD + 2) * PERIOD;
        let key = *self.homes.keys().next().and_then(|seat| self.key(*seat)).unwrap().sharing.public();
        let envelope: Bytes = seal(&key, CHAIN_ID, NAMESPACE, target, text, Entropy([3; 64])).unwrap().into();
        self.deliver(self.block(None, std::slice::from_ref(&envelope)));
        (target, envelope)
    }

    /// The opening that stands in the blocks.
    fn opening(&self, target: u64) -> Option<Opening> {
        let records = self.blocks.iter().flat_map(|block| System::read(&block.payload).unwrap().lane);
        records.into_iter().find_map(|record| match record {
            Record::Opening { target: opened, opening } if opened == target => Some(opening),
            _ => None,
        })
    }

    fn opens(&mut self, text: &[u8]) {
        let (target, envelope) = self.order(text);
        self.reach(target + 3, &mut all);
        let opening = self.opening(target).expect("an opening");
        let read = Envelope::decode(&envelope).unwrap().open(&opening, CHAIN_ID, NAMESPACE);
        assert_eq!(read.as_deref(), Some(text));
    }

    /// All of these hold a share of one key, which is what the state says.
    fn agree(&self, seats: Range<u64>) -> Arc<Key> {
        let key = self.key(seats.start).unwrap();
        for seat in seats {
            assert_eq!(self.key(seat).unwrap(), key, "seat {seat}");
            assert!(self.has_share(seat), "seat {seat}");
        }
        key
    }
}

fn all(_: u64, _: u64, _: &Letter) -> Way {
    Way::Arrives
}

#[test]
fn four_validators_make_a_key_from_nothing_and_open_with_it() {
    let mut town = Town::running(4);
    assert_eq!(town.state(0).closed(), Some(Fault::Closed { height: 0, until: EPOCH_BLOCKS - 1 }));
    town.carry(&mut all);
    town.reach(2, &mut all);
    let key = town.agree(0..4);
    assert_eq!((key.round, key.first, key.made, key.sharing.required()), (1, 2, 1, 3));
    let records = System::read(&town.blocks[1].payload).unwrap().lane;
    assert!(matches!(&records[..], [Record::Key(record)] if *record == key.record()), "{records:?}");
    assert_eq!(key.record().members.len(), 4);
    town.opens(b"buy");
}

#[test]
fn one_validator_alone_makes_a_key() {
    let mut town = Town::running(1);
    town.reach(2, &mut all);
    town.agree(0..1);
    town.opens(b"buy");
}

#[test]
fn a_dealer_who_sends_a_false_share_and_one_who_stays_away_stop_nothing() {
    let mut town = Town::new(7, 0..7);
    (0..6).for_each(|seat| town.open(seat));
    // Seat 5 sends seat 1 a share that is none, and seat 2 that of another one.
    let mut lie = |from: u64, to: u64, letter: &Letter| match letter {
        Letter::Dealt { round, dealing } if from == 5 && (to == 1 || to == 2) => {
            let mut dealing = dealing.to_vec();
            *dealing.last_mut().unwrap() ^= to as u8;
            Way::Changed(Letter::Dealt { round: *round, dealing: dealing.into() })
        }
        _ => Way::Arrives,
    };
    town.reach(EPOCH_BLOCKS - 1, &mut lie);
    let key = town.agree(0..6);
    assert_eq!((key.made, key.sharing.required()), (EPOCH_BLOCKS - 1, 5), "five of seven dealt");
    // Its shares were published in place of its acknowledgements, so it has one, too.
    town.open(6);
    town.agree(0..7);
    town.opens(b"buy");
}

#[test]
fn a_dealer_who_sent_nonsense_is_not_heard_again_in_that_round() {
    let junk = |dealing: &Bytes, kind: usize| -> Bytes {
        let mut bytes = dealing.to_vec();
        match kind {
            0 => bytes.fill(0xff),
            1 => bytes.truncate(bytes.len() - 1),
            _ => *bytes.last_mut().unwrap() ^= 1,
        }
        bytes.into()
    };
    for kind in 0..3 {
        let mut town = Town::running(4);
        let (mut sent, mut answers) = (0, 0);
        let mut way = |from: u64, to: u64, letter: &Letter| match letter {
            Letter::Dealt { round, dealing } if (from, to) == (3, 1) => {
                sent += 1;
                match sent {
                    1 => Way::Changed(Letter::Dealt { round: *round, dealing: junk(dealing, kind) }),
                    _ => Way::Arrives,
                }
            }
            Letter::Acknowledged { .. } if (from, to) == (1, 3) => {
                answers += 1;
                Way::Arrives
            }
            _ => Way::Arrives,
        };
        town.reach(EPOCH_BLOCKS, &mut way);
        assert!(sent > 2, "it was sent again");
        assert_eq!(answers, 0, "kind {kind}");
        // The share stands in the dealing, for all to see.
        town.agree(0..4);
        town.opens(b"buy");
    }
}

#[test]
fn only_dealers_are_decoded_and_only_what_has_their_length() {
    let town = Town::running(4);
    let directory = tempfile::tempdir().unwrap();
    let mut dealings =
        Dealings::new(keys(0).consensus.clone(), Vault::new(directory.path().into()), None, Randomness::System);
    let sent = dealings.follow(0, town.start.ring());
    let Letter::Dealt { round: 1, dealing } = &sent[0].letter else { panic!("{sent:?}") };
    let right = dealing.len();
    assert_eq!(town.start.round().unwrap().dealt_bytes(), right, "what it sends itself");
    assert_eq!(dealings.ask(&peer(1), 1, right), Ok(Asked::New));
    assert_eq!(dealings.ask(&peer(1), 2, right), Ok(Asked::Nothing), "another round");
    for bytes in [0, right, right + 1, DEALING_BYTES_MAX] {
        assert_eq!(dealings.ask(&peer(9), 1, bytes), Ok(Asked::Nothing), "a stranger");
    }
    for (seat, bytes) in [(1, right - 1), (2, right + 1)] {
        assert!(dealings.ask(&peer(seat), 1, bytes).is_err());
        assert_eq!(dealings.ask(&peer(seat), 1, right), Ok(Asked::Nothing), "it is not asked again");
    }
    assert_eq!(dealings.ask(&peer(3), 1, right), Ok(Asked::New), "others are");
    assert!(dealings.take_dealt(&peer(3), 1, None).is_err());
    assert_eq!(dealings.ask(&peer(3), 1, right), Ok(Asked::Nothing));
    assert_eq!(town.homes[&0].desk.hear(&peer(9), Letter::Dealt { round: 1, dealing: vec![7; right].into() }), Ok(()));
    let published = Letter::Published { round: 1, dealing: vec![7; 100].into() };
    assert_eq!(town.homes[&0].desk.hear(&peer(9), published.clone()), Ok(()), "a stranger's is not looked at");
    assert!(town.homes[&0].desk.hear(&peer(3), published).is_err());
}

#[test]
fn a_dealing_longer_than_one_of_the_committee_is_not_decoded() {
    let (round, good) = a_dealing();
    let most = SignedLog::max_encode_size(NZU32!(4));
    assert!(good.len() <= most && most < DEALING_BYTES_MAX);
    let longer = vec![0; most + 1];
    assert_eq!(round.check(&longer).map(drop), Err(DealingError::Encoding(most + 1)));
}

#[test]
fn as_long_as_fewer_than_a_quorum_deal_the_lane_is_closed_and_the_round_goes_on() {
    let mut town = Town::new(4, 0..4);
    (0..2).for_each(|seat| town.open(seat));
    let height = 3 * EPOCH_BLOCKS;
    town.reach(height, &mut all);
    assert_eq!(town.key(0), None);
    let until = 4 * EPOCH_BLOCKS - 1;
    assert_eq!(town.state(0).closed(), Some(Fault::Closed { height, until }));
    let envelope: Bytes = {
        let other = Town::key_of_another_network();
        seal(&other, CHAIN_ID, NAMESPACE, height + 4, b"x", Entropy([1; 64])).unwrap().into()
    };
    let closed = town.homes[&0].desk.judge(&[], &town.block(None, &[envelope])).map(drop);
    assert_eq!(closed, Err(Fault::Closed { height, until }));
    (2..4).for_each(|seat| town.open(seat));
    town.reach(height + 6, &mut all);
    town.agree(0..4);
    town.opens(b"buy");
}

impl Town {
    fn key_of_another_network() -> proof::lane::LaneKey {
        *super::super::Dealt::new(NZU32!(4)).unwrap().sharing.public()
    }
}

#[test]
fn whoever_is_killed_at_any_moment_goes_on_and_has_its_share() {
    let mut town = Town::running(4);
    town.carry(&mut all);
    town.reach(2, &mut all);
    let letters = town.letters;
    assert!(letters > 24, "{letters}");
    for moment in (0..letters).step_by(4) {
        let mut town = Town::running(4);
        let mut count = 0;
        // Everything is lost behind the moment, and seat 1 with it.
        let mut until = |_: u64, _: u64, _: &Letter| {
            count += 1;
            if count > moment { Way::Lost } else { Way::Arrives }
        };
        town.carry(&mut until);
        town.step(&mut until);
        town.kill(1);
        town.open(1);
        town.reach(EPOCH_BLOCKS, &mut all);
        town.agree(0..4);
    }
}

#[test]
fn a_validator_that_lost_its_disk_has_no_share_and_the_others_open() {
    let mut town = Town::running(4);
    town.reach(2, &mut all);
    town.kill(2);
    std::fs::remove_dir_all(town.directory.path().join("2/lane")).unwrap();
    town.open(2);
    assert!(!town.has_share(2));
    town.opens(b"buy");
}

#[test]
fn another_committee_gets_shares_of_the_same_key_before_it_begins() {
    let mut town = Town::new(4, 0..6);
    (0..6).for_each(|seat| town.open(seat));
    town.reach(2, &mut all);
    let before = town.agree(0..4);
    let first = town.announce(1..6, &mut all);
    town.reach(first - 1, &mut all);
    // Ordered under the old committee, opened by the new one.
    assert_eq!(town.key(4).unwrap().members().len(), 5);
    let after = town.agree(1..6);
    assert_eq!(after.sharing.public(), before.sharing.public());
    assert_eq!((after.round, after.first), (2, first));
    assert!(!town.has_share(0), "who left");
    assert!(!town.directory.path().join("1/lane/1").exists(), "the former share is gone");
    town.opens(b"buy");
}

/// Whether the first `size` validators hand their key to a committee without the first and with a new one, which is away,
/// while every message takes [`HOP_BLOCKS`] and what dealers publish is lost once.
fn hands_over(size: u64, epoch_blocks: u64) -> bool {
    let mut town = Town::with(size, 0..size + 1, epoch_blocks);
    (0..size).for_each(|seat| town.open(seat));
    town.reach(2 + size / DEALINGS_PER_BLOCK_MAX as u64, &mut all);
    let before = town.agree(0..size);
    let first = town.announce(1..size + 1, &mut all);
    let (mut sent, round) = (BTreeSet::new(), before.round + 1);
    let mut way = |from: u64, to: u64, letter: &Letter| match letter {
        Letter::Published { round: number, .. } if *number == round && sent.insert((from, to)) => Way::Lost,
        _ => Way::Arrives,
    };
    town.reach_slowly(first - 1, HOP_BLOCKS, &mut way);
    town.key(1).is_some_and(|key| key.round == round && key.sharing.public() == before.sharing.public())
}

#[test]
fn with_the_shortest_epochs_that_are_taken_the_key_is_handed_over_and_with_shorter_ones_not() {
    let fewest = epoch_blocks_min(4);
    assert!(hands_over(4, fewest), "with {fewest} blocks");
    assert!(!hands_over(4, fewest - 1), "with {} blocks", fewest - 1);
    assert_eq!([1, 4, 23, 24, COMMITTEE_MAX].map(epoch_blocks_min), [8, 8, 8, 9, 28]);
    assert!(epoch_blocks_min(COMMITTEE_MAX) <= protocol::network::EPOCH_BLOCKS_DEFAULT, "any committee, as a rule");
}

#[test]
fn an_envelope_that_waits_during_a_change_is_opened_by_the_new_committee() {
    let mut town = Town::new(4, 0..6);
    (0..6).for_each(|seat| town.open(seat));
    town.reach(2, &mut all);
    let first = town.announce(1..6, &mut all);
    town.reach(first - 7, &mut all);
    let (target, envelope) = town.order(b"buy");
    assert_eq!(target, first - 4 + 4);
    town.reach(target + 3, &mut all);
    let opening = town.opening(target).unwrap();
    assert!(Envelope::decode(&envelope).unwrap().open(&opening, CHAIN_ID, NAMESPACE).is_some());
}

#[test]
fn shares_of_those_who_left_do_not_open_with_those_who_stayed() {
    let mut town = Town::new(4, 0..6);
    (0..6).for_each(|seat| town.open(seat));
    town.reach(2, &mut all);
    let old: Vec<_> = (0..4).map(|seat| town.secret(seat, &town.key(seat).unwrap())).collect();
    let first = town.announce(2..6, &mut all);
    town.reach(first - 1, &mut all);
    let key = town.agree(2..6);
    let mixed = [
        old[0].part(CHAIN_ID, 8).unwrap(),
        old[1].part(CHAIN_ID, 8).unwrap(),
        town.secret(4, &key).part(CHAIN_ID, 8).unwrap(),
    ];
    assert!(!mixed[..2].iter().any(|part| key.sharing.verify(CHAIN_ID, 8, part)));
    let opens = |parts: &[super::super::secret::Part]| {
        let opening = key.sharing.recover(parts);
        opening.is_some_and(|opening| opening.verify(key.sharing.public(), CHAIN_ID, 8))
    };
    assert!(!opens(&mixed));
    let new: Vec<_> = (2..5).map(|seat| town.secret(seat, &key).part(CHAIN_ID, 8).unwrap()).collect();
    assert!(opens(&new));
}

impl Town {
    /// What a validator holds of a key.
    fn secret(&self, seat: u64, key: &Key) -> super::super::Secret {
        let vault = Vault::new(self.directory.path().join(seat.to_string()).join("lane"));
        Dealings::new(keys(seat).consensus.clone(), vault, None, Randomness::System).secret(key)
    }
}

#[test]
fn if_the_key_is_not_handed_over_the_lane_closes_and_the_new_committee_makes_one() {
    let mut town = Town::new(4, 0..6);
    (0..6).for_each(|seat| town.open(seat));
    town.reach(2, &mut all);
    let before = town.agree(0..4);
    let mut cut = |_: u64, _: u64, letter: &Letter| match letter {
        Letter::Dealt { round: 2, .. } => Way::Lost,
        _ => Way::Arrives,
    };
    let first = town.announce(1..6, &mut cut);
    town.reach(first - 3, &mut cut);
    let (target, _) = town.order(b"too late");
    assert!(target >= first);
    town.reach(first - 1, &mut cut);
    assert_eq!((town.key(1), town.state(1).sealed()), (None, 0), "nobody could open it");
    let until = first + EPOCH_BLOCKS - 1;
    assert_eq!(town.state(1).closed(), Some(Fault::Closed { height: first - 1, until }));
    town.reach(first + EPOCH_BLOCKS, &mut cut);
    let after = town.agree(1..6);
    assert_eq!(after.round, 3);
    assert_ne!(after.sharing.public(), before.sharing.public());
    town.opens(b"buy");
    assert_eq!(town.opening(target), None);
}

#[test]
fn a_dealt_key_is_handed_over_like_any_other() {
    let dealt = super::super::Dealt::new(NZU32!(4)).unwrap();
    let mut town = Town::new(4, 0..6);
    let committee = Committee::new(&validators(0..4), CHAIN_ID).unwrap();
    let key = Key::dealt(&dealt.sharing, committee.participants()).unwrap();
    town.start = State::genesis(town.start.rules().clone(), Schedule::new(committee.clone(), EPOCH_BLOCKS), Some(key));
    for seat in 0..6 {
        town.open(seat);
        let root = town.directory.path().join(seat.to_string());
        let secret = dealt.secret(&committee, &keys(seat));
        let dealings =
            Dealings::new(keys(seat).consensus.clone(), Vault::new(root.join("lane")), secret, Randomness::System);
        let history = Arc::new(History::open(&root.join("other.redb")).unwrap());
        let desk = Desk::new(dealings, town.start.clone(), history);
        let tasks = desk.tasks().unwrap();
        town.homes.insert(seat, Home { desk, tasks });
    }
    town.opens(b"dealt");
    let first = town.announce(2..6, &mut all);
    town.reach(first - 1, &mut all);
    let after = town.agree(2..6);
    assert_eq!((after.round, after.sharing.public()), (1, dealt.sharing.public()));
    town.opens(b"handed over");
}

#[test]
fn junk_dealings_stand_in_no_block() {
    let mut town = Town::running(4);
    town.carry(&mut all);
    let good = town.block(None, &[]);
    let records = System::read(&good.payload).unwrap().lane;
    assert_eq!(records.len(), 4);
    let Record::Dealing { round, dealing } = records[0].clone() else { panic!("{records:?}") };
    let judge = |records: Vec<Record>| {
        let entries = vec![Entry::new(SYSTEM, System { lane: records, ..System::default() }.encode())];
        let payload = Payload::new(Content { entries, bundles: vec![] }).unwrap();
        town.homes[&1].desk.judge(&[], &Block { payload, ..good.clone() }).map(drop)
    };
    let with = |dealing: Vec<u8>| judge(vec![Record::Dealing { round, dealing: dealing.into() }]);
    assert_eq!(with(dealing.to_vec()), Ok(()));
    let junk = DealingError::Encoding(3);
    assert_eq!(with(vec![1, 2, 3]), Err(Fault::Dealing(junk)));
    let longer = [&dealing[..], &[0]].concat();
    assert_eq!(with(longer.clone()), Err(Fault::Dealing(DealingError::Encoding(longer.len()))));
    let mut unsigned = dealing.to_vec();
    *unsigned.last_mut().unwrap() ^= 1;
    assert_eq!(with(unsigned), Err(Fault::Dealing(DealingError::Signature)));
    let early = judge(vec![Record::Dealing { round: 2, dealing: dealing.clone() }]);
    assert_eq!(early, Err(Fault::Dealing(DealingError::Round { found: 2, now: Some(1) })));
    let twice = judge(vec![records[0].clone(), records[0].clone()]);
    assert!(matches!(twice, Err(Fault::Dealing(DealingError::Twice(_)))), "{twice:?}");
    let many = judge(vec![records[0].clone(); DEALINGS_PER_BLOCK_MAX + 1]);
    assert_eq!(many, Err(Fault::Records(DEALINGS_PER_BLOCK_MAX + 1)));
    let key = KeyRecord { round: 1, first: 2, key: Town::key_of_another_network(), required: 3, members: vec![] };
    let members = (0..4).map(|seat| proof_word(&peer(seat))).collect::<BTreeSet<_>>().into_iter().collect();
    let invented = judge(vec![Record::Key(KeyRecord { members, ..key })]);
    assert_eq!(invented, Err(Fault::Key { found: Some(1), expected: None }));
}

fn proof_word(key: &PublicKey) -> alloy_primitives::B256 {
    alloy_primitives::B256::from_slice(key.as_ref())
}

#[test]
fn a_dealing_that_its_dealer_signed_and_that_is_false_stands_in_no_block() {
    use commonware_cryptography::bls12381::dkg::feldman_desmedt::Dealer;
    let town = Town::running(4);
    let round = town.state(0).round().unwrap().clone();
    // Nobody has acknowledged it, and more than a third of the shares for all to see would be too many.
    let (dealer, ..) = Dealer::start::<N3f1>(sys_rng(), round.info.clone(), keys(2).consensus.clone(), None).unwrap();
    let silent: Bytes = dealer.finalize::<N3f1>().encode();
    assert_eq!(round.check(&silent).map(drop), Err(DealingError::False(hex::encode(peer(2)))));
    // A stranger's, which is signed rightly.
    let strangers = Round::new(CHAIN_ID, 1, (0, None), None, &Set::from_iter_dedup((4..8).map(peer))).unwrap();
    let (dealer, ..) =
        Dealer::start::<N3f1>(sys_rng(), strangers.info.clone(), keys(5).consensus.clone(), None).unwrap();
    let strange: Bytes = dealer.finalize::<N3f1>().encode();
    assert_eq!(round.check(&strange).map(drop), Err(DealingError::Signature));
}

#[test]
fn a_block_names_the_key_that_was_made_and_no_other() {
    let mut town = Town::running(4);
    town.carry(&mut all);
    town.reach(1, &mut all);
    let silent = Block { height: 2, payload: Payload::new(Content::default()).unwrap(), ..genesis() };
    let judged = town.homes[&0].desk.judge(&[], &silent).map(drop);
    assert_eq!(judged, Err(Fault::Key { found: None, expected: Some(1) }));
    town.reach(2, &mut all);
    let named = Block { height: 3, ..town.blocks[1].clone() };
    assert_eq!(town.homes[&0].desk.judge(&[], &named).map(drop), Err(Fault::Key { found: Some(1), expected: None }));
}

#[test]
fn a_round_and_its_keys_survive_their_encoding_and_no_cut_of_it_does() {
    let mut town = Town::new(4, 0..6);
    (0..6).for_each(|seat| town.open(seat));
    town.reach(2, &mut all);
    let first = town.announce(1..6, &mut all);
    // A dealing of two stands in blocks, the others are lost.
    let mut half = |from: u64, _: u64, letter: &Letter| match letter {
        Letter::Published { .. } if from > 1 => Way::Lost,
        _ => Way::Arrives,
    };
    town.reach(first - 2 * EPOCH_BLOCKS + 4, &mut half);
    let state = town.state(0);
    assert!(state.round().is_some_and(|round| round.end == Some(first - 1) && round.dealings.len() == 2));
    let encoded = state.encode();
    let mut schedule = town.start.schedule().clone();
    town.blocks.iter().for_each(|block| _ = schedule.apply(block));
    let decode = |bytes: Bytes| State::decode(state.rules().clone(), &schedule, &bytes);
    assert_eq!(decode(encoded.clone()).as_ref(), Some(&state));
    for cut in (0..encoded.len()).step_by(97).chain([encoded.len() - 1]) {
        assert!(decode(encoded.slice(..cut)).is_none(), "{cut}");
    }
}

#[test]
fn what_dealers_publish_fits_for_the_largest_committee() {
    let most = SignedLog::max_encode_size(NZU32!(COMMITTEE_MAX as u32));
    assert!(most <= DEALING_BYTES_MAX, "{most}");
    // Figures of the manual.
    assert!((18_000..19_000).contains(&SignedLog::max_encode_size(NZU32!(128))));
    // Dealings of the largest committee fit into the blocks of two epochs of the default length.
    let blocks = COMMITTEE_MAX.div_ceil(DEALINGS_PER_BLOCK_MAX) as u64;
    assert!(blocks < protocol::network::EPOCH_BLOCKS_DEFAULT * 2 - 8);
}

#[test]
fn a_round_that_began_beyond_every_height_is_no_state() {
    let schedule = Schedule::new(Committee::new(&validators(0..4), CHAIN_ID).unwrap(), EPOCH_BLOCKS);
    // Rounds, no keys, and a round with its number, beginning and end, without dealings.
    let bytes = |[rounds, number, began, end]: [u64; 4]| {
        let numbers = [number, began, end].map(u64::to_be_bytes).concat();
        Bytes::from([&rounds.to_be_bytes()[..], &[0, 0, 1], &numbers, &[0; 4]].concat())
    };
    let decode = |numbers| Ring::decode(CHAIN_ID, &schedule, &mut bytes(numbers));
    assert!(decode([1, 1, 8, 0]).is_some());
    for place in 0..4 {
        for beyond in [HEIGHT_MAX + 1, u64::MAX] {
            let mut numbers = [1, 1, 8, 0];
            numbers[place] = beyond;
            assert_eq!(decode(numbers), None, "number {place}");
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// What peers send and what stands in blocks: nothing of it makes a validator panic, and nothing changed counts.
    #[test]
    fn no_changed_dealing_counts(place in 0_usize..2_000, bit in 0_u8..8, cut in 0_usize..2_000) {
        let (round, good) = a_dealing();
        let mut changed = good.to_vec();
        let place = place % changed.len();
        changed[place] ^= 1 << bit;
        proptest::prop_assert!(round.check(&changed).is_err());
        proptest::prop_assert!(round.check(&good[..cut % good.len()]).is_err());
        let _ = Letter::decode(&changed);
    }

    #[test]
    fn junk_is_no_state(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let committee = Committee::new(&validators(0..4), CHAIN_ID).unwrap();
        let schedule = Schedule::new(committee, EPOCH_BLOCKS);
        let _ = Ring::decode(CHAIN_ID, &schedule, &mut Bytes::from(bytes.clone()));
        let _ = Letter::decode(&bytes);
    }
}

/// A true dealing of one of four, made once.
fn a_dealing() -> &'static (Arc<Round>, Bytes) {
    static MADE: std::sync::OnceLock<(Arc<Round>, Bytes)> = std::sync::OnceLock::new();
    MADE.get_or_init(|| {
        let mut town = Town::running(4);
        let mut good = None;
        town.carry(&mut |_, _, letter| {
            if let Letter::Published { dealing, .. } = letter {
                good.get_or_insert(dealing.clone());
            }
            Way::Arrives
        });
        let round = town.state(0).round().unwrap().clone();
        (round, good.unwrap())
    })
}
