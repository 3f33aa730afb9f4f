//! Who makes the key of the lane, and who holds it: a pure function of final blocks.
//!
//! In a *round* each dealer sends every member of the committee a share of a secret of its own, over their encrypted
//! connection, and the members acknowledge. What the dealer publishes, its *dealing*, has the commitment to its
//! polynomial, and of each member the acknowledgement, or the share for all to see. Dealings stand in blocks, where
//! everybody checks them; so everybody adds up the same ones to the same key, and each member its share of it.
//!
//! - While there is no key, the committee makes one: all members deal, and the round ends when all dealings stand in
//!   blocks, or with an epoch in which those of a quorum do. As long as they do not, it goes on for another epoch.
//! - When a committee with other members is announced, those who hold the key deal their shares to it. The round ends
//!   when all dealings are there, at the latest with the last block of the old committee, and the key stays the same.
//! - If fewer than a quorum dealt by then, the lane is closed: what waits is dropped, and the new committee makes a key.
//!
//! Sources: Pedersen (1991) and Gennaro, Jarecki, Krawczyk, Rabin, "Secure Distributed Key Generation for Discrete-Log
//! Based Cryptosystems" (1999), the variant that they call Joint-Feldman; Desmedt and Jajodia, "Redistributing secret
//! shares to new access structures and its applications" (1997).

use super::dealings::RESEND_BLOCKS;
use super::secret::{DecodeUnit as _, Sharing};
use crate::committees::Schedule;
use crate::limits::{COMMITTEE_MAX, HEIGHT_MAX};
use bytes::{BufMut as _, Bytes, BytesMut};
use commonware_codec::{Copying, Decode as _, Encode as _, EncodeSize as _};
use commonware_cryptography::bls12381::dkg::feldman_desmedt::{self as feldman, Failure, Reveal, observe};
use commonware_cryptography::bls12381::primitives::sharing::{Mode, ModeVersion};
use commonware_cryptography::bls12381::primitives::variant::MinPk;
use commonware_cryptography::ed25519::PublicKey;
use commonware_parallel::Sequential;
use commonware_utils::ordered::{Quorum as _, Set};
use commonware_utils::{N3f1, NZU32, sys_rng};
use proof::lane::{DEALING_BYTES_MAX, KeyRecord, LANE_KEY_BYTES};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

pub(super) type Info = feldman::Info<MinPk, PublicKey>;
pub(super) type Output = feldman::Output<MinPk, PublicKey>;
pub(super) type Logs = feldman::Logs<MinPk, PublicKey, N3f1>;
pub(super) type Log = feldman::DealerLog<MinPk, PublicKey>;
pub(super) type SignedLog = feldman::SignedDealerLog<MinPk, PublicKey>;

/// Dealings in one block.
pub const DEALINGS_PER_BLOCK_MAX: usize = 8;
/// Bytes of a point of the commitment to a polynomial.
const POINT_BYTES: usize = LANE_KEY_BYTES;
/// Bytes of a share: a scalar.
const SHARE_BYTES: usize = 32;
/// Blocks until a message is answered, or shows in a block: some are proposed and not yet final when it is sent, and when it arrives.
pub(super) const HOP_BLOCKS: u64 = 3;
/// Domain of everything that is signed in a round.
const DOMAIN: &[u8] = b"kumo/lane/dkg/v1/";

/// A dealing is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DealingError {
    /// No key is being made now, or in another round.
    #[error("a dealing for round {found} of the lane key, now is {now:?}")]
    Round {
        /// Its round.
        found: u64,
        /// The round that is under way.
        now: Option<u64>,
    },
    /// The bytes are none.
    #[error("{0} bytes are not the dealing of anybody")]
    Encoding(usize),
    /// Its signature is false, or it is for another round.
    #[error("the signature of a dealing does not verify")]
    Signature,
    /// Somebody signed it who has nothing to deal.
    #[error("{0} is no dealer in this round")]
    Dealer(String),
    /// There is one of this dealer.
    #[error("{0} has dealt already")]
    Twice(String),
    /// An acknowledgement or a share is false, members are missing, or the polynomial is of the wrong degree or not
    /// that of the dealer's share.
    #[error("the dealing of {0} is false")]
    False(String),
}

/// The key of the lane as a committee holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The round that made these shares; 0 for those of a dealer.
    pub round: u64,
    /// First height from which on the members make openings with them.
    pub first: u64,
    /// The block that decided the round.
    pub made: u64,
    pub sharing: Sharing,
    output: Output,
}

impl Key {
    fn new(round: u64, first: u64, made: u64, output: Output) -> Option<Self> {
        let members = output.players().len();
        let sharing = Sharing::of(output.public().clone()).ok()?;
        // A sum of polynomials has a lower degree with negligible chance, and would be of no use.
        let is_full = sharing.shares() == members && sharing.required() == quorum(members);
        is_full.then_some(Self { round, first, made, sharing, output })
    }

    /// The key of a dealer, who knows all of it: another first output.
    pub fn dealt(sharing: &Sharing, members: &Set<PublicKey>) -> Option<Self> {
        // As a round would have it whose dealers and members were these.
        let (members, nobody) = (members.encode(), Set::<PublicKey>::default().encode());
        let encoded = [&[0; 32][..], &sharing.encode(), &members, &members, &nobody].concat();
        Self::new(0, 1, 0, decode_output(&encoded)?)
    }

    pub fn members(&self) -> &Set<PublicKey> {
        self.output.players()
    }

    /// What a block says of it.
    pub fn record(&self) -> KeyRecord {
        let member = |key: &PublicKey| key.as_ref().try_into().unwrap_or_default();
        KeyRecord {
            round: self.round,
            first: self.first,
            key: *self.sharing.public(),
            required: self.sharing.required() as u32,
            members: self.members().iter().map(member).collect(),
        }
    }
}

/// Fewest blocks of an epoch with which `validators` hand the key to another committee in time, although one of its members is
/// away, so that they wait for half of the round, and although what they publish then is lost once.
///
/// Each half is an epoch less a block: the first one must have time for a share, its acknowledgement, and the block after which it is noticed, the
/// other one for what is published twice, and for as many blocks as the dealings of a quorum take.
pub fn epoch_blocks_min(validators: usize) -> u64 {
    let blocks = quorum(validators).div_ceil(DEALINGS_PER_BLOCK_MAX) as u64;
    let (first, second) = (2 * HOP_BLOCKS + 1, RESEND_BLOCKS + HOP_BLOCKS + blocks);
    1 + first.max(second)
}

fn quorum(members: usize) -> usize {
    use commonware_utils::Faults as _;
    N3f1::quorum(members as u32) as usize
}

fn decode_output(bytes: &[u8]) -> Option<Output> {
    Output::decode_cfg(Copying(bytes), &(NZU32!(COMMITTEE_MAX as u32), ModeVersion::v0())).ok()
}

/// A round under way.
#[derive(Clone)]
pub(crate) struct Round {
    /// From 1.
    pub number: u64,
    /// The block after which it began.
    pub began: u64,
    /// The last block that may have a dealing, if the key is handed over; a new key may take longer.
    pub end: Option<u64>,
    pub info: Info,
    pub dealers: Set<PublicKey>,
    pub players: Set<PublicKey>,
    /// Dealings that it needs.
    required: usize,
    logs: Logs,
    dealings: BTreeMap<PublicKey, Bytes>,
}

impl std::fmt::Debug for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { number, began, end, .. } = self;
        write!(f, "Round({number}, from {began} to {end:?}, {} dealings)", self.dealings.len())
    }
}

impl PartialEq for Round {
    fn eq(&self, other: &Self) -> bool {
        let place = |round: &Self| (round.number, round.began, round.end);
        place(self) == place(other) && self.info == other.info && self.dealings == other.dealings
    }
}

impl Eq for Round {}

impl Round {
    /// A round in which the holders of `previous` deal, or without it the members themselves.
    fn new(
        chain_id: u64,
        number: u64,
        (began, end): (u64, Option<u64>),
        previous: Option<&Key>,
        players: &Set<PublicKey>,
    ) -> Option<Self> {
        let dealers = previous.map_or(players, Key::members);
        let domain = [DOMAIN, &chain_id.to_be_bytes()].concat();
        let output = previous.map(|key| key.output.clone());
        let (mode, reveal) = (Mode::NonZeroCounter, Reveal::V1);
        let info = Info::new::<N3f1>(&domain, number, output, mode, reveal, dealers.clone(), players.clone()).ok()?;
        Some(Self {
            number,
            began,
            end,
            required: quorum(dealers.len()),
            logs: Logs::new(info.clone()),
            info,
            dealers: dealers.clone(),
            players: players.clone(),
            dealings: BTreeMap::new(),
        })
    }

    /// Whether the dealing of `dealer` stands in a block.
    pub fn has(&self, dealer: &PublicKey) -> bool {
        self.dealings.contains_key(dealer)
    }

    /// Whether `dealer` may deal.
    pub fn deals(&self, dealer: &PublicKey) -> bool {
        self.dealers.position(dealer).is_some()
    }

    /// Bytes of what a dealer sends to one member: a commitment to a polynomial that a quorum of points decides, and a share.
    pub fn dealt_bytes(&self) -> usize {
        let points = quorum(self.players.len());
        points.encode_size() + points * POINT_BYTES + SHARE_BYTES
    }

    /// Dealings that stand in blocks.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Members whose acknowledgement a dealing may lack.
    pub fn spare(&self) -> usize {
        self.players.max_faults::<N3f1>() as usize
    }

    /// Checks a dealing: some milliseconds.
    pub fn check(&self, dealing: &[u8]) -> Result<(PublicKey, Log), DealingError> {
        let wrong = || DealingError::Encoding(dealing.len());
        let members = u32::try_from(self.players.len()).ok().and_then(NonZeroU32::new).ok_or_else(wrong)?;
        // Before any point is decoded.
        if dealing.len() > SignedLog::max_encode_size(members).min(DEALING_BYTES_MAX) {
            return Err(wrong());
        }
        let signed = SignedLog::decode_cfg(Copying(dealing), &members).map_err(|_| wrong())?;
        if signed.encode() != dealing {
            return Err(wrong());
        }
        let (dealer, log) = signed.check(&self.info).ok_or(DealingError::Signature)?;
        let name = hex::encode(&dealer);
        if !self.deals(&dealer) {
            return Err(DealingError::Dealer(name));
        }
        if self.has(&dealer) {
            return Err(DealingError::Twice(name));
        }
        let mut alone = Logs::new(self.info.clone());
        alone.record(dealer.clone(), log.clone());
        // One is not enough for a key unless there is one dealer; whether it would count is what is asked.
        let counts = match observe(&mut sys_rng(), alone, &Sequential) {
            Ok(_) => true,
            Err(Failure::InsufficientLogs { found, .. }) => found == 1,
        };
        if counts { Ok((dealer, log)) } else { Err(DealingError::False(name)) }
    }

    fn add(&mut self, dealer: PublicKey, log: Log, dealing: Bytes) {
        self.logs.record(dealer.clone(), log);
        // What is known to be right now need not be checked again when the round ends.
        self.logs.pre_verify(&mut sys_rng(), &Sequential);
        self.dealings.insert(dealer, dealing);
    }

    fn is_over(&self, height: u64, epoch_blocks: u64) -> bool {
        let is_last = match self.end {
            Some(end) => height >= end,
            None => (height + 1).is_multiple_of(epoch_blocks) && self.dealings.len() >= self.required,
        };
        is_last || self.dealings.len() == self.dealers.len()
    }

    fn outcome(&self) -> Option<Output> {
        observe(&mut sys_rng(), self.logs.clone(), &Sequential).ok()
    }
}

/// Who holds the key after a block, and the round that makes or hands over one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ring {
    chain_id: u64,
    epoch_blocks: u64,
    /// Rounds so far.
    rounds: u64,
    now: Option<Arc<Key>>,
    /// Of the committee that was announced, until it begins.
    next: Option<Arc<Key>>,
    round: Option<Arc<Round>>,
    /// The round that this block decided.
    decided: Option<Arc<Round>>,
}

impl Ring {
    /// After genesis: a dealt key, or none.
    pub fn new(chain_id: u64, schedule: &Schedule, dealt: Option<Key>) -> Self {
        let (now, epoch_blocks) = (dealt.map(Arc::new), schedule.epoch_blocks());
        let mut ring = Self { chain_id, epoch_blocks, rounds: 0, now, next: None, round: None, decided: None };
        ring.begin(0, schedule);
        ring
    }

    /// The key in force.
    pub const fn now(&self) -> Option<&Arc<Key>> {
        self.now.as_ref()
    }

    /// The key in force, and the one that follows.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.now.iter().chain(&self.next)
    }

    pub const fn round(&self) -> Option<&Arc<Round>> {
        self.round.as_ref()
    }

    pub const fn decided(&self) -> Option<&Arc<Round>> {
        self.decided.as_ref()
    }

    /// The last block of the attempt that is under way after the block of this height.
    pub fn attempt_ends(&self, height: u64) -> u64 {
        let epoch = (height + 1) / self.epoch_blocks;
        self.round.as_ref().and_then(|round| round.end).unwrap_or((epoch + 1) * self.epoch_blocks - 1)
    }

    /// The record that the block after the one of this height must have.
    pub fn announcement(&self, height: u64) -> Option<KeyRecord> {
        self.keys().find(|key| key.round > 0 && key.made == height).map(|key| key.record())
    }

    /// Takes a dealing that stands in the next block.
    pub fn take(&mut self, number: u64, dealing: &Bytes) -> Result<(), DealingError> {
        let now = self.round.as_ref().map(|round| round.number);
        let round = self.round.as_mut().filter(|round| round.number == number);
        let round = round.ok_or(DealingError::Round { found: number, now })?;
        let (dealer, log) = round.check(dealing)?;
        Arc::make_mut(round).add(dealer, log, dealing.clone());
        Ok(())
    }

    /// Goes on after the block of this height. Returns whether there was a key and now is none.
    pub fn advance(&mut self, height: u64, schedule: &Schedule) -> bool {
        self.decide(height, schedule);
        let had_key = self.now.is_some();
        let members = schedule.at(height + 1).committee.participants().clone();
        if let Some(next) = self.next.take_if(|next| next.first <= height + 1) {
            self.now = Some(next);
        }
        if self.now.as_ref().is_some_and(|key| *key.members() != members) {
            self.now = None;
        }
        // Members that left before they had made a key make none.
        self.round.take_if(|round| round.end.is_none() && round.players != members);
        self.begin(height, schedule);
        had_key && self.now.is_none()
    }

    fn decide(&mut self, height: u64, schedule: &Schedule) {
        self.decided = self.round.take_if(|round| round.is_over(height, self.epoch_blocks));
        let Some(round) = &self.decided else { return };
        let begins = round.end.map_or(0, |end| schedule.at(end + 1).first);
        let first = begins.max(height + 1);
        let key = round.outcome().and_then(|output| Key::new(round.number, first, height, output));
        let (number, dealings, required) = (round.number, round.dealings.len(), round.required);
        match key {
            Some(key) if first > height + 1 => self.next = Some(Arc::new(key)),
            Some(key) => self.now = Some(Arc::new(key)),
            None => tracing::warn!(round = number, height, dealings, required, "nobody got a share of the lane key"),
        }
    }

    fn begin(&mut self, height: u64, schedule: &Schedule) {
        if self.round.is_some() || self.next.is_some() {
            return;
        }
        let (number, chain_id) = (self.rounds + 1, self.chain_id);
        let round = match &self.now {
            None => {
                let members = schedule.at(height + 1).committee.participants();
                Round::new(chain_id, number, (height, None), None, members)
            }
            Some(key) => {
                let later = schedule.terms().iter().find(|term| term.first > height + 1);
                let others = later.filter(|term| term.committee.participants() != key.members());
                others.and_then(|term| {
                    let span = (height, Some(term.first - 1));
                    Round::new(chain_id, number, span, Some(key), term.committee.participants())
                })
            }
        };
        if let Some(round) = round {
            self.rounds = number;
            self.round = Some(Arc::new(round));
        }
    }
}

/// ```text
/// ring  = rounds (8) ‖ key in force ‖ next key ‖ round;         each of them: 0, or 1 and then
/// key   = round (8) ‖ first (8) ‖ made (8) ‖ length (4) ‖ output of the round
/// round = number (8) ‖ began (8) ‖ end (8), 0 for none ‖ dealings (4), each: length (4) ‖ dealing
/// ```
impl Ring {
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_u64(self.rounds);
        for key in [&self.now, &self.next] {
            out.put_u8(u8::from(key.is_some()));
            let Some(key) = key else { continue };
            [key.round, key.first, key.made].into_iter().for_each(|number| out.put_u64(number));
            super::state::put(out, &key.output.encode());
        }
        out.put_u8(u8::from(self.round.is_some()));
        let Some(round) = &self.round else { return };
        [round.number, round.began, round.end.unwrap_or(0)].into_iter().for_each(|number| out.put_u64(number));
        out.put_u32(round.dealings.len() as u32);
        round.dealings.values().for_each(|dealing| super::state::put(out, dealing));
    }

    /// Reads [`Ring::encode`]; `schedule` is the one after the same block, and no height is beyond [`HEIGHT_MAX`].
    pub fn decode(chain_id: u64, schedule: &Schedule, rest: &mut Bytes) -> Option<Self> {
        use super::state::{count, take};
        let number = |rest: &mut Bytes| super::state::number(rest).filter(|number| *number <= HEIGHT_MAX);
        let epoch_blocks = schedule.epoch_blocks();
        let rounds = number(rest)?;
        let mut key = || -> Option<Option<Arc<Key>>> {
            if !flag(rest)? {
                return Some(None);
            }
            let (round, first, made) = (number(rest)?, number(rest)?, number(rest)?);
            let key = Key::new(round, first, made, decode_output(&take(rest)?)?)?;
            Some(Some(Arc::new(key)))
        };
        let (now, next) = (key()?, key()?);
        let mut ring = Self { chain_id, epoch_blocks, rounds, now, next, round: None, decided: None };
        if !flag(rest)? {
            return Some(ring);
        }
        let (number, began, end) = (number(rest)?, number(rest)?, number(rest)?);
        let end = (end > 0).then_some(end);
        let players = schedule.at(end.unwrap_or(began) + 1).committee.participants();
        let previous = ring.now.as_deref().filter(|_| end.is_some());
        let round = Round::new(chain_id, number, (began, end), previous, players)?;
        ring.round = Some(Arc::new(round));
        for _ in 0..count(rest, COMMITTEE_MAX)? {
            ring.take(number, &take(rest)?).ok()?;
        }
        Some(ring)
    }
}

fn flag(rest: &mut Bytes) -> Option<bool> {
    let [flag] = super::state::array(rest)?;
    (flag <= 1).then_some(flag == 1)
}

/// The key of a member from its encoding.
pub(super) fn member(bytes: &[u8]) -> Option<PublicKey> {
    PublicKey::decode_unit(bytes)
}

#[cfg(test)]
mod tests;
