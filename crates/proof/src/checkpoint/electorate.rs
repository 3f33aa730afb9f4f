//! Who votes on a checkpoint, with how much stake, and what commits to it.
//!
//! A [`ValidatorSet`] is what is in force in one epoch. Where the set has changed since the last finalised checkpoint, a
//! link needs two thirds of *every* set since then: the [`Electorate`]. This is the paper's stitching of the rear and the
//! forward validator set (section 4.1), kept up until something is final under the new set, because two branches
//! could otherwise each finalise with a set that the other has never heard of.
//!
//! The commitment of a set is made for a contract: it has the sum of all keys, so that an aggregate is checked by taking away
//! those who are missing, each with a Merkle path. Tree: RFC 9162 section 2.1 with keccak256.

use super::key::{VoteKey, point_to_eip2537};
use super::{hash_words, number_word, take};
use alloy_primitives::{B256, U256, keccak256};
use blst::min_sig::{AggregatePublicKey, PublicKey};
use std::sync::Arc;

/// Validators of one set.
pub const VALIDATORS_MAX: usize = 1024;
/// Sets that one electorate joins. The set in force changes at most once an epoch, and only after something was final: with
/// finalisation at most four epochs after the checkpoint and a change two epochs later, no more than seven can meet.
pub const ELECTORATE_SETS_MAX: usize = 8;
/// Stake of one set, in the smallest unit; three times as much still fits.
pub const STAKE_TOTAL_MAX: u128 = 1 << 120;

const SET_TAG: &str = "kumo/ffg/validator-set/v1";
const ELECTORATE_TAG: &str = "kumo/ffg/electorate/v1";
const LEAF_PREFIX: [u8; 1] = [0];
const NODE_PREFIX: [u8; 1] = [1];

/// Whether `voted` is two thirds of `total` or more: `voted * 3 >= total * 2`, as in phase0; takes any numbers.
pub fn is_supermajority(voted: u128, total: u128) -> bool {
    U256::from(voted) * U256::from(3) >= U256::from(total) * U256::from(2)
}

/// One validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validator {
    /// Key that votes. Whoever puts it into a set has checked that it is possessed, see
    /// [`verify_possession`](super::verify_possession).
    pub key: VoteKey,
    /// Stake in the smallest unit (1..=2¹²⁰ over all).
    pub stake: u128,
}

/// A list is no set of validators.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// No validators, or too many.
    #[error("a set has 1 to {VALIDATORS_MAX} validators, {0} were given")]
    Size(usize),
    /// The keys are not strictly ascending, or appear twice.
    #[error("keys must ascend, the one at position {0} does not")]
    Order(usize),
    /// A validator without stake.
    #[error("validator {0} has no stake")]
    NoStake(usize),
    /// Too much stake.
    #[error("stake adds up to more than {STAKE_TOTAL_MAX}")]
    TooMuchStake,
    /// The keys add up to zero, which no signature can match.
    #[error("the keys add up to zero")]
    Cancel,
    /// No sets, or too many.
    #[error("an electorate joins 1 to {ELECTORATE_SETS_MAX} sets, {0} were given")]
    Sets(usize),
}

/// The validators of one epoch, ascending by key. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ValidatorSet(Arc<SetInner>);

#[derive(Debug)]
struct SetInner {
    validators: Vec<Validator>,
    total: u128,
    /// Sum of the keys, as EIP-2537 takes it.
    sum: [u8; 256],
    root: B256,
}

impl PartialEq for ValidatorSet {
    fn eq(&self, other: &Self) -> bool {
        self.0.root == other.0.root
    }
}

impl Eq for ValidatorSet {}

impl ValidatorSet {
    /// A set of validators in ascending order of their keys.
    pub fn new(validators: Vec<Validator>) -> Result<Self, SetError> {
        if validators.is_empty() || validators.len() > VALIDATORS_MAX {
            return Err(SetError::Size(validators.len()));
        }
        if let Some(position) = validators.windows(2).position(|pair| pair[0].key >= pair[1].key) {
            return Err(SetError::Order(position + 1));
        }
        if let Some(position) = validators.iter().position(|validator| validator.stake == 0) {
            return Err(SetError::NoStake(position));
        }
        let total = validators.iter().try_fold(0u128, |sum, validator| sum.checked_add(validator.stake));
        let total = total.filter(|total| *total <= STAKE_TOTAL_MAX).ok_or(SetError::TooMuchStake)?;
        let sum = sum_of_keys(&validators)?;
        let root = set_root(&validators, total, &sum);
        Ok(Self(Arc::new(SetInner { validators, total, sum, root })))
    }

    /// Sorts by key first.
    pub fn sorted(mut validators: Vec<Validator>) -> Result<Self, SetError> {
        validators.sort_unstable_by_key(|validator| validator.key);
        Self::new(validators)
    }

    /// Its validators.
    pub fn validators(&self) -> &[Validator] {
        &self.0.validators
    }

    /// Stake of all.
    pub fn total(&self) -> u128 {
        self.0.total
    }

    /// Commitment to the set: number, stake, sum of the keys, and the tree of validators.
    pub fn root(&self) -> B256 {
        self.0.root
    }

    /// Stake of `key`, 0 if it is not in the set.
    pub fn stake(&self, key: &VoteKey) -> u128 {
        self.position(key).map_or(0, |position| self.0.validators[position].stake)
    }

    /// Position of `key` among the validators.
    pub fn position(&self, key: &VoteKey) -> Option<usize> {
        self.0.validators.binary_search_by_key(key, |validator| validator.key).ok()
    }

    /// Sum of all keys, as EIP-2537 takes it.
    pub fn sum_to_eip2537(&self) -> [u8; 256] {
        self.0.sum
    }

    /// The tree of validators, from the leaves to the root.
    pub(super) fn tree(&self) -> Vec<Vec<B256>> {
        let mut levels = vec![self.0.validators.iter().map(validator_leaf).collect::<Vec<_>>()];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            // The last of an odd number goes up as it is, which is the shape of RFC 9162.
            let next = level.chunks(2).map(merkle_root).collect();
            levels.push(next);
        }
        levels
    }
}

fn sum_of_keys(validators: &[Validator]) -> Result<[u8; 256], SetError> {
    let points: Vec<&PublicKey> = validators.iter().map(|validator| validator.key.point()).collect();
    let sum = AggregatePublicKey::aggregate(&points, false).map_err(|_| SetError::Size(0))?.to_public_key();
    // The points are in the subgroup, so their sum can only fail by being zero.
    sum.validate().map_err(|_| SetError::Cancel)?;
    Ok(point_to_eip2537(&sum))
}

fn set_root(validators: &[Validator], total: u128, sum: &[u8; 256]) -> B256 {
    let leaves: Vec<B256> = validators.iter().map(validator_leaf).collect();
    let words =
        [number_word(validators.len() as u64), B256::from(U256::from(total)), keccak256(sum), merkle_root(&leaves)];
    hash_words(SET_TAG, &words)
}

fn validator_leaf(validator: &Validator) -> B256 {
    let stake: B256 = U256::from(validator.stake).into();
    keccak256([&LEAF_PREFIX[..], &validator.key.to_eip2537(), stake.as_slice()].concat())
}

/// Root over at least one leaf; the left subtree holds the largest power of two below their number.
fn merkle_root(leaves: &[B256]) -> B256 {
    match leaves {
        [] => B256::ZERO,
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(1 << (leaves.len() - 1).ilog2());
            keccak256([&NODE_PREFIX[..], merkle_root(left).as_slice(), merkle_root(right).as_slice()].concat())
        }
    }
}

/// One who votes on a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Key.
    pub key: VoteKey,
    /// Stake in each set, 0 where it is not in.
    pub stakes: Vec<u128>,
}

/// Everybody who votes on one checkpoint: the union of one or more sets, ascending by key. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Electorate(Arc<ElectorateInner>);

#[derive(Debug)]
struct ElectorateInner {
    sets: Vec<ValidatorSet>,
    members: Vec<Member>,
    root: B256,
}

impl PartialEq for Electorate {
    fn eq(&self, other: &Self) -> bool {
        self.0.root == other.0.root
    }
}

impl Eq for Electorate {}

impl Electorate {
    /// Joins the sets in force since the last final checkpoint, the oldest first; neighbours that are equal count once.
    pub fn new(sets: &[ValidatorSet]) -> Result<Self, SetError> {
        let mut distinct = sets.to_vec();
        distinct.dedup();
        if distinct.is_empty() || distinct.len() > ELECTORATE_SETS_MAX {
            return Err(SetError::Sets(distinct.len()));
        }
        let mut keys: Vec<VoteKey> = distinct.iter().flat_map(|set| set.validators()).map(|v| v.key).collect();
        keys.sort_unstable();
        keys.dedup();
        let stakes = |key: &VoteKey| distinct.iter().map(|set| set.stake(key)).collect();
        let members = keys.into_iter().map(|key| Member { key, stakes: stakes(&key) }).collect();
        let mut words = vec![number_word(distinct.len() as u64)];
        words.extend(distinct.iter().map(ValidatorSet::root));
        let root = hash_words(ELECTORATE_TAG, &words);
        Ok(Self(Arc::new(ElectorateInner { sets: distinct, members, root })))
    }

    /// Its sets, the oldest first.
    pub fn sets(&self) -> &[ValidatorSet] {
        &self.0.sets
    }

    /// The set in force in the epoch of the checkpoint: the newest one.
    pub fn in_force(&self) -> &ValidatorSet {
        self.0.sets.last().expect("an electorate has at least one set")
    }

    /// Everybody in any of them, ascending by key; signers are numbered by this list.
    pub fn members(&self) -> &[Member] {
        &self.0.members
    }

    /// Commitment to the sets.
    pub fn root(&self) -> B256 {
        self.0.root
    }

    /// Position of `key` among the members.
    pub fn position(&self, key: &VoteKey) -> Option<usize> {
        self.0.members.binary_search_by_key(key, |member| member.key).ok()
    }

    /// Stake of the signers in each set; signers beyond the members count nothing.
    pub fn weigh(&self, signers: &Signers) -> Vec<u128> {
        let mut votes = vec![0u128; self.0.sets.len()];
        for member in signers.iter().filter_map(|index| self.0.members.get(index)) {
            // No sum exceeds the total of its set, which was checked.
            votes.iter_mut().zip(&member.stakes).for_each(|(sum, stake)| *sum += stake);
        }
        votes
    }

    /// Whether the signers hold two thirds of every set.
    pub fn is_supermajority(&self, signers: &Signers) -> bool {
        self.weigh(signers).into_iter().zip(&self.0.sets).all(|(voted, set)| is_supermajority(voted, set.total()))
    }
}

/// Marks members of an electorate: a bitmap with its length.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Signers {
    length: usize,
    bits: Vec<u8>,
}

impl Signers {
    /// Nobody out of `length` members (at most 8,192).
    pub fn none(length: usize) -> Self {
        let length = length.min(VALIDATORS_MAX * ELECTORATE_SETS_MAX);
        Self { length, bits: vec![0; length.div_ceil(8)] }
    }

    /// Members that can be marked.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Marks a member; false, and nothing changes, if it is marked already or not a member.
    pub fn insert(&mut self, index: usize) -> bool {
        let is_new = index < self.length && !self.contains(index);
        if is_new {
            self.bits[index / 8] |= 1 << (index % 8);
        }
        is_new
    }

    /// Whether a member is marked.
    pub fn contains(&self, index: usize) -> bool {
        index < self.length && self.bits[index / 8] >> (index % 8) & 1 == 1
    }

    /// Marked members, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.length).filter(|index| self.contains(*index))
    }

    /// How many are marked.
    pub fn count(&self) -> usize {
        self.bits.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// Whether nobody is marked.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Marks everybody who is marked in `other`, of the same length; beyond it nobody.
    pub fn extend(&mut self, other: &Self) {
        let bits: Vec<usize> = other.iter().collect();
        bits.into_iter().for_each(|index| {
            self.insert(index);
        });
    }

    /// Length (4 bytes, big endian) and bits, least significant first.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend((self.length as u32).to_be_bytes());
        out.extend(&self.bits);
    }

    /// Reads what [`Signers::write`] wrote; `None` if it is too long or padding is set.
    pub fn read(bytes: &mut &[u8]) -> Option<Self> {
        let length = u32::from_be_bytes(*take(bytes)?) as usize;
        if length > VALIDATORS_MAX * ELECTORATE_SETS_MAX {
            return None;
        }
        let (bits, rest) = bytes.split_at_checked(length.div_ceil(8))?;
        *bytes = rest;
        let padding = if length.is_multiple_of(8) { 0 } else { bits.last().map_or(0, |last| last >> (length % 8)) };
        (padding == 0).then(|| Self { length, bits: bits.to_vec() })
    }
}
