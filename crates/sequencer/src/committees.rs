//! Which committee orders which blocks: a pure function of final blocks.
//!
//! The block after the one that opens epoch E may announce the committee of epoch E + 2: the validators that the
//! application names after the newest checkpoint that the stake has finalised, if they are others than those announced
//! last. So a committee changes only across finalised checkpoints, two epochs ahead, as the set of voters does; while
//! nothing becomes final, nothing changes. The announcement is part of the block, voted for and finalised by the
//! committee before: whoever knows the first committee and follows the blocks, or only those that announce, knows all.
//!
//! Once a committee was announced, the blocks that open epochs or announce another one name all of them by a root. So whoever knows
//! one such block by its digest needs no signatures of former committees, whose keys may be anybody's by now, and nobody can
//! leave an announcement out:
//!
//! ```text
//! root after the first announcement = SHA-256("kumo/committees/v1" ‖ 32 zero bytes ‖ height (8) ‖ announcement)
//! root after each other one         = SHA-256("kumo/committees/v1" ‖ root before   ‖ height (8) ‖ announcement)
//! ```
//!
//! ```text
//! epoch          E               E + 1            E + 2
//! blocks   ──┬─────────────────┬────────────────┬──────────────▶
//!            │└ announces       │                └ first block of the next committee
//!            └ opens E: checkpoint C is final by now, the application's seats after C count
//! ```
//!
//! Consensus numbers the committees ("consensus epoch"), not the epochs of checkpoints: while the committee stays, one
//! engine goes on. The last block of a committee is decided by that committee alone; the first of the next one is the
//! child of that final block.

mod announcement;
mod candidates;
#[cfg(test)]
mod tests;

pub use announcement::{ANNOUNCEMENT_BYTES_MAX, Announcement, AnnouncementError};
pub(crate) use candidates::Candidates;

use crate::block::{Block, Header};
use crate::committee::{Committee, CommitteeError, VerifyError, check_link};
use crate::system::System;
use bytes::Bytes;
use commonware_consensus::types::{Epoch, EpochInfo, Epocher, Height};
use commonware_cryptography::{Hasher as _, Sha256, ed25519};
use parking_lot::RwLock;
use protocol::api::CertifiedBlock;
use protocol::network::Validator;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Epochs from an announcement to the first block of the announced committee.
const LOOKAHEAD: u64 = 2;
const ROOT_DOMAIN: &[u8] = b"kumo/committees/v1";

/// One committee and the heights from which on it orders blocks, until the next one does.
#[derive(Clone, Debug)]
pub struct Term {
    /// First height.
    pub first: u64,
    /// Height of the block that announced it; 0 for the committee of the network file.
    pub announced: u64,
    /// Who orders.
    pub committee: Committee,
    /// Root over this and all earlier announcements; zero for the committee of the network file.
    pub root: [u8; 32],
}

/// A block announces what cannot be a committee then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnouncementRefusal {
    /// Announcements stand only after the block that opens an epoch.
    #[error("block {height} announces a committee; only the block after one that opens an epoch does, and not block 1")]
    Place {
        /// Height of the block.
        height: u64,
    },
    /// The wrong first height.
    #[error("block {height} announces a committee from height {first} on, it must be {expected}")]
    First {
        /// Height of the block.
        height: u64,
        /// What it says.
        first: u64,
        /// What it must say.
        expected: u64,
    },
    /// The validators make no committee.
    #[error(transparent)]
    Committee(#[from] CommitteeError),
    /// Announcements before it are not known.
    #[error(
        "block {height} announces a committee after others than the {known} that are known: an announcement before it is missing"
    )]
    Missing {
        /// Height of the block.
        height: u64,
        /// Announcements that are known.
        known: usize,
    },
    /// The validators have no encoding.
    #[error("block {height} announces validators whose keys or addresses do not fit into a block")]
    Encoding {
        /// Height of the block.
        height: u64,
    },
    /// The validators are those of the last committee.
    #[error("block {height} announces the committee that is there already")]
    Same {
        /// Height of the block.
        height: u64,
    },
}

/// The committees of a network so far, and those announced.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// By first height, ascending; the first is of height 0.
    terms: Vec<Term>,
    epoch_blocks: u64,
}

impl Schedule {
    /// Only the committee of the network file is known; `epoch_blocks` as in the genesis (2..=65_536).
    pub fn new(committee: Committee, epoch_blocks: u64) -> Self {
        Self { terms: vec![Term { first: 0, announced: 0, committee, root: [0; 32] }], epoch_blocks }
    }

    /// Blocks of an epoch.
    pub(crate) const fn epoch_blocks(&self) -> u64 {
        self.epoch_blocks
    }

    /// What was known after the block of `height`.
    pub(crate) fn until(&self, height: u64) -> Self {
        let known = self.terms.iter().filter(|term| term.announced <= height);
        Self { terms: known.cloned().collect(), epoch_blocks: self.epoch_blocks }
    }

    /// All terms known, in the order of their heights.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// The last term known, which may not have begun.
    pub fn last(&self) -> &Term {
        self.terms.last().expect("there is always the term of genesis")
    }

    /// The term that orders blocks of `height`, as far as is known.
    pub fn at(&self, height: u64) -> &Term {
        let place = self.terms.partition_point(|term| term.first <= height);
        &self.terms[place.max(1) - 1]
    }

    /// First height of the committee that a block of `height` may announce; `None` if it may not.
    pub fn first_if_announced(&self, height: u64) -> Option<u64> {
        let opening = height.checked_sub(1).filter(|opening| *opening > 0)?;
        if !opening.is_multiple_of(self.epoch_blocks) {
            return None;
        }
        opening.checked_add(LOOKAHEAD.checked_mul(self.epoch_blocks)?)
    }

    /// The root over all announcements, which a block of `height` on those must name if it opens an epoch or `announces`
    /// another committee; `None` if it must name none.
    pub fn root_for(&self, height: u64, announces: bool) -> Option<[u8; 32]> {
        let names = announces || height.is_multiple_of(self.epoch_blocks);
        let last = self.last();
        (names && last.announced > 0).then_some(last.root)
    }

    /// Takes the announcement in the next final block, if there is one. Blocks that were taken before change nothing.
    /// Returns whether there is a new term.
    pub fn apply(&mut self, block: &Block) -> bool {
        // A quorum has voted for it nevertheless; for all who know the same it means nothing.
        self.take(block).unwrap_or_else(|error| {
            tracing::error!(%error, height = block.height, "a final block announces what is no committee");
            false
        })
    }

    /// The same for who may not know all earlier announcements.
    ///
    /// # Errors
    /// When some are missing, or the block announces what is no committee.
    pub fn take(&mut self, block: &Block) -> Result<bool, AnnouncementRefusal> {
        let System { committee, committees, .. } = System::read(&block.payload).unwrap_or_default();
        let (height, known) = (block.height, self.terms.len() - 1);
        let Some(announcement) = committee.filter(|_| height > self.last().announced) else { return Ok(false) };
        if committees != self.root_for(height, true) {
            return Err(AnnouncementRefusal::Missing { height, known });
        }
        self.terms.push(self.check(height, &announcement)?);
        Ok(true)
    }

    /// The term that an announcement in a block of this height begins.
    ///
    /// # Errors
    /// When it must not stand there, or makes no committee.
    pub fn check(&self, height: u64, announcement: &Announcement) -> Result<Term, AnnouncementRefusal> {
        let expected = self.first_if_announced(height).ok_or(AnnouncementRefusal::Place { height })?;
        if announcement.first != expected {
            return Err(AnnouncementRefusal::First { height, first: announcement.first, expected });
        }
        let last = &self.last().committee;
        if last.validators() == announcement.validators {
            return Err(AnnouncementRefusal::Same { height });
        }
        let committee = last.next(&announcement.validators)?;
        let encoded = announcement.encode().ok_or(AnnouncementRefusal::Encoding { height })?;
        let root = Sha256::hash(&[ROOT_DOMAIN, &self.last().root, &height.to_be_bytes(), &encoded]).0;
        Ok(Term { first: expected, announced: height, committee, root })
    }

    /// Checks a finalised block on its own, as [`Committee::verify`]; the blocks up to the one that announced its committee must
    /// have been applied.
    pub fn verify(&self, certified: &CertifiedBlock) -> Result<Block, VerifyError> {
        self.at(certified.height).committee.verify(certified)
    }

    /// Checks that the block with this header is final, as [`Schedule::verify`] but for the proposer's reveal.
    pub(crate) fn verify_header(&self, header: &Header, certificate: Bytes) -> Result<(), VerifyError> {
        self.at(header.height).committee.verify_header(header, certificate)
    }

    /// Checks a finalised block as the child of `parent`, whose randomness and time it continues.
    pub fn verify_child(&self, parent: &Block, certified: &CertifiedBlock) -> Result<Block, VerifyError> {
        let block = self.verify(certified)?;
        check_link(parent, parent.digest(), &block, self.begins(block.height))
            .map_err(|field| VerifyError::Parent { height: block.height, field })?;
        Ok(block)
    }

    /// Whether a committee begins with the block of this height.
    pub fn begins(&self, height: u64) -> bool {
        self.at(height).first == height
    }

    /// Terms by the number of their committee.
    fn of_epoch(&self, epoch: Epoch) -> Option<(&Term, u64)> {
        let place = usize::try_from(epoch.get()).ok()?;
        let term = self.terms.get(place)?;
        Some((term, self.terms.get(place + 1).map_or(u64::MAX, |next| next.first - 1)))
    }

    /// First height of a committee.
    pub(crate) fn first_of(&self, epoch: Epoch) -> Option<u64> {
        self.of_epoch(epoch).map(|(term, _)| term.first)
    }

    /// The last height from `next` on that the committee of `epoch` surely orders, where `next` is the first block that is not
    /// final here: what is not known yet may only announce a later end.
    pub(crate) fn surely_of(&self, epoch: Epoch, next: u64) -> u64 {
        let last = self.of_epoch(epoch).map_or(next, |(_, last)| last);
        last.min(next.saturating_add(LOOKAHEAD * self.epoch_blocks - 2))
    }

    /// Keys and addresses of the validators around the block after `height`: of those announced, of the committee that orders
    /// it, and of the one before, which others may still need. At most `max`, the newest committees first; who is in
    /// several has the newest address.
    pub(crate) fn peers(&self, height: u64, max: usize) -> BTreeMap<ed25519::PublicKey, SocketAddr> {
        let now = self.at(height.saturating_add(1)).committee.epoch().get();
        let around = self.terms.iter().rev().filter(|term| term.committee.epoch().get() + 1 >= now);
        let mut peers = BTreeMap::new();
        for (key, address) in around.flat_map(|term| term.committee.addresses()) {
            if peers.len() < max || peers.contains_key(&key) {
                peers.entry(key).or_insert(address);
            } else {
                tracing::debug!(%address, max, "too many validators to connect to until this one is started again");
            }
        }
        peers
    }
}

/// The schedule of a running validator, which final blocks extend. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Committees(Arc<RwLock<Arc<Schedule>>>);

impl Committees {
    /// Goes on from `schedule`.
    pub fn new(schedule: Schedule) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(schedule))))
    }

    /// The schedule now.
    pub fn now(&self) -> Arc<Schedule> {
        self.0.read().clone()
    }

    /// The schedule after blocks that follow the last final one.
    pub(crate) fn after(&self, blocks: &[Arc<Block>]) -> Arc<Schedule> {
        let mut schedule = self.now();
        let may_announce = |block: &&Arc<Block>| schedule.first_if_announced(block.height).is_some();
        let announcing: Vec<_> = blocks.iter().filter(may_announce).collect();
        for block in announcing {
            Arc::make_mut(&mut schedule).apply(block);
        }
        schedule
    }

    /// Takes the next final block; returns whether it announces a committee.
    pub fn apply(&self, block: &Block) -> bool {
        if self.now().first_if_announced(block.height).is_none() {
            return false;
        }
        Arc::make_mut(&mut *self.0.write()).apply(block)
    }

    /// As [`Schedule::take`], for who may not know all earlier announcements.
    ///
    /// # Errors
    /// When some are missing, or the block announces what is no committee.
    pub fn take(&self, block: &Block) -> Result<bool, AnnouncementRefusal> {
        Arc::make_mut(&mut *self.0.write()).take(block)
    }

    /// The committee that orders blocks of `height`.
    pub fn at(&self, height: u64) -> Committee {
        self.now().at(height).committee.clone()
    }

    /// The committee with this number.
    pub(crate) fn of_epoch(&self, epoch: Epoch) -> Option<Committee> {
        self.now().of_epoch(epoch).map(|(term, _)| term.committee.clone())
    }

    /// What a block after `parent` must announce: `seats` are those that the application names after the newest final
    /// checkpoint. `None` if nothing must change, or they make no committee.
    pub(crate) fn due(schedule: &Schedule, parent: &Block, seats: Option<Vec<Validator>>) -> Option<Announcement> {
        let first = schedule.first_if_announced(parent.height.checked_add(1)?)?;
        let announcement = Announcement { first, validators: seats? };
        schedule.check(parent.height + 1, &announcement).ok().map(|_| announcement)
    }
}

/// Epochs of the consensus engine: one for each committee, and the last one known without an end. An announcement becomes
/// final at least two blocks before the first committee ends by it, so no height is ever placed in two epochs.
impl Epocher for Committees {
    fn containing(&self, height: Height) -> Option<EpochInfo> {
        let schedule = self.now();
        let epoch = schedule.at(height.get()).committee.epoch();
        let (term, last) = schedule.of_epoch(epoch)?;
        Some(EpochInfo::new(epoch, height, Height::new(term.first), Height::new(last)))
    }

    fn first(&self, epoch: Epoch) -> Option<Height> {
        self.now().of_epoch(epoch).map(|(term, _)| Height::new(term.first))
    }

    fn last(&self, epoch: Epoch) -> Option<Height> {
        self.now().of_epoch(epoch).map(|(_, last)| Height::new(last))
    }
}
