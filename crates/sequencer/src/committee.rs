//! The validators that order some of the blocks of a network as everybody sees them, and what their signatures prove.
//!
//! The order of the list numbers the seats, the sorted consensus keys fix the rotation of proposers. The first committee
//! is that of the network file; each later one is announced in a block, see [`Schedule`](crate::committees::Schedule).
//! Signatures name the consensus epoch, which counts the committees, so that those of one prove nothing under another.

use crate::block::{Block, DecodeError, Header};
use crate::certificate::Certificate;
use crate::keys;
use crate::limits::{CERTIFICATE_BYTES_MAX, COMMITTEE_MAX};
use crate::randomness;
use commonware_codec::Encode as _;
use commonware_consensus::Epochable as _;
use commonware_consensus::simplex::elector::{Config as _, Elector as _, RoundRobin, RoundRobinElector};
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::types::{Epoch, Round, View};
use commonware_cryptography::{Sha256, ed25519};
use commonware_parallel::Sequential;
use commonware_utils::{TryCollect as _, ordered::Set, sys_rng};
use proof::checkpoint::{self, ValidatorSet, VoteKey, VoteSignature, verify_possession};
use proof::memo::recall;
use proof::vrf;
use protocol::api::CertifiedBlock;
use protocol::network::Validator;
use std::net::SocketAddr;
use std::sync::Arc;

const NAMESPACE: &[u8] = b"kumo/sequencer/v1/";
/// Hex digits of a compressed point of BLS12-381 in G1.
const OLD_RANDOMNESS_KEY_DIGITS: usize = 96;

/// A list of validators is not a committee.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitteeError {
    /// No validators, or too many.
    #[error("a committee has 1 to {COMMITTEE_MAX} validators, the network file lists {0}")]
    Size(usize),
    /// A key does not decode.
    #[error("validator {seat}: {field} is not a valid key: {value:?}")]
    Key {
        /// Position in the list.
        seat: usize,
        /// Name of the field.
        field: &'static str,
        /// What stands there.
        value: String,
    },
    /// A network file of a version whose reveals were signatures.
    #[error(
        "validator {seat} has a BLS12-381 key as randomness_key: the network file was made before reveals were those of \
         a verifiable random function; begin a new network in another directory"
    )]
    OldRandomnessKey {
        /// Position in the list.
        seat: usize,
    },
    /// The consensus address does not parse.
    #[error("validator {seat}: p2p address {value:?} is not `ip:port`")]
    Address {
        /// Position in the list.
        seat: usize,
        /// What stands there.
        value: String,
    },
    /// A network file of a version without votes on checkpoints.
    #[error(
        "validator {seat} has no vote_key: the network file was made before validators voted on checkpoints; begin a \
         new network in another directory"
    )]
    NoVoteKey {
        /// Position in the list.
        seat: usize,
    },
    /// Nobody has proven to hold the vote key.
    #[error("validator {seat}: vote_possession does not prove that somebody holds the secret of its vote_key")]
    Possession {
        /// Position in the list.
        seat: usize,
    },
    /// The vote keys make no set.
    #[error("the vote keys make no validator set: {0}")]
    VoteSet(#[from] checkpoint::SetError),
    /// Two validators share a key.
    #[error("two validators have the same {0}")]
    Duplicate(&'static str),
}

/// A certified block proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The block does not decode.
    #[error(transparent)]
    Block(#[from] DecodeError),
    /// The certificate does not decode.
    #[error("{bytes} bytes do not decode as a certificate: {reason}")]
    Certificate {
        /// Length of the input.
        bytes: usize,
        /// What was wrong.
        reason: String,
    },
    /// The block is of another height than announced.
    #[error("the block is of height {actual}, not {claimed}")]
    Height {
        /// Announced height.
        claimed: u64,
        /// Height in the block.
        actual: u64,
    },
    /// The certificate is about another block.
    #[error("the certificate of height {height} does not lead to this block")]
    Unrelated {
        /// Height of the block.
        height: u64,
    },
    /// Fewer than a quorum signed, or a signature is false.
    #[error("the quorum certificate of height {height} does not verify")]
    Quorum {
        /// Height of the block.
        height: u64,
    },
    /// The reveal is not that of the proposer of the block's view.
    #[error("the randomness reveal of height {height} is not by seat {seat}, who proposed in view {view}")]
    Reveal {
        /// Height of the block.
        height: u64,
        /// View of the block.
        view: u64,
        /// Seat that had to reveal.
        seat: u32,
    },
    /// Another committee orders blocks of this height.
    #[error("no committee is known for height {height}: the follower has not seen the blocks before it")]
    Unknown {
        /// Height of the block.
        height: u64,
    },
    /// The block does not follow the given parent.
    #[error("height {height} does not follow the parent: {field} differs")]
    Parent {
        /// Height of the block.
        height: u64,
        /// The field that does not fit.
        field: &'static str,
    },
}

#[derive(Clone, Debug)]
struct Seat {
    consensus: ed25519::PublicKey,
    randomness: vrf::Key,
    vote: VoteKey,
    p2p: SocketAddr,
}

#[derive(Debug)]
struct Roster {
    chain_id: u64,
    epoch: Epoch,
    validators: Vec<Validator>,
    namespace: Vec<u8>,
    seats: Vec<Seat>,
    /// Seat numbers in the order of the sorted consensus keys.
    order: Vec<usize>,
    participants: Set<ed25519::PublicKey>,
    elector: RoundRobinElector<Scheme>,
    verifier: Scheme,
    vote_set: ValidatorSet,
}

/// The validators that order blocks together. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Committee(Arc<Roster>);

fn parse(seat: usize, validator: &Validator) -> Result<Seat, CommitteeError> {
    let key = |field, value: &str| CommitteeError::Key { seat, field, value: value.to_owned() };
    Ok(Seat {
        consensus: keys::consensus_key(&validator.public_key)
            .ok_or_else(|| key("public_key", &validator.public_key))?,
        randomness: keys::randomness_key(&validator.randomness_key).ok_or_else(|| {
            match validator.randomness_key.len() == OLD_RANDOMNESS_KEY_DIGITS {
                true => CommitteeError::OldRandomnessKey { seat },
                false => key("randomness_key", &validator.randomness_key),
            }
        })?,
        vote: parse_vote_key(seat, validator)?,
        p2p: validator.p2p.parse().map_err(|_| CommitteeError::Address { seat, value: validator.p2p.clone() })?,
    })
}

/// The vote key of a seat, if its possession is proven.
fn parse_vote_key(seat: usize, validator: &Validator) -> Result<VoteKey, CommitteeError> {
    let invalid = |field, value: &str| CommitteeError::Key { seat, field, value: value.to_owned() };
    if validator.vote_key.is_empty() {
        return Err(CommitteeError::NoVoteKey { seat });
    }
    let key = hex::decode(&validator.vote_key).ok().and_then(|bytes| VoteKey::decode(&bytes).ok());
    let key = key.ok_or_else(|| invalid("vote_key", &validator.vote_key))?;
    let proof = hex::decode(&validator.vote_possession).ok().and_then(|bytes| bytes.try_into().ok());
    let proof = proof.ok_or_else(|| invalid("vote_possession", &validator.vote_possession))?;
    match verify_possession(&key, &VoteSignature(proof)) {
        true => Ok(key),
        false => Err(CommitteeError::Possession { seat }),
    }
}

/// The seats as voters with one unit of stake each.
fn vote_set(seats: &[Seat]) -> Result<ValidatorSet, CommitteeError> {
    let distinct: std::collections::BTreeSet<_> = seats.iter().map(|seat| seat.vote).collect();
    if distinct.len() != seats.len() {
        return Err(CommitteeError::Duplicate("vote_key"));
    }
    let voter = |key| checkpoint::Validator { key, stake: 1 };
    Ok(ValidatorSet::sorted(distinct.into_iter().map(voter).collect())?)
}

impl Committee {
    /// The committee of a network file, the first one of the network; `validators` in the order of the file.
    pub fn new(validators: &[Validator], chain_id: u64) -> Result<Self, CommitteeError> {
        Self::of_epoch(validators, chain_id, Epoch::zero())
    }

    /// The committee that follows this one.
    pub(crate) fn next(&self, validators: &[Validator]) -> Result<Self, CommitteeError> {
        Self::of_epoch(validators, self.chain_id(), self.epoch().next())
    }

    fn of_epoch(validators: &[Validator], chain_id: u64, epoch: Epoch) -> Result<Self, CommitteeError> {
        if validators.is_empty() || validators.len() > COMMITTEE_MAX {
            return Err(CommitteeError::Size(validators.len()));
        }
        let seats = validators.iter().enumerate().map(|(i, v)| parse(i, v)).collect::<Result<Vec<_>, _>>()?;
        let distinct: std::collections::HashSet<_> = seats.iter().map(|seat| *seat.randomness.bytes()).collect();
        if distinct.len() != seats.len() {
            return Err(CommitteeError::Duplicate("randomness_key"));
        }
        let participants: Set<_> = (seats.iter().map(|seat| seat.consensus.clone()))
            .try_collect()
            .map_err(|_| CommitteeError::Duplicate("public_key"))?;
        let seat_of = |key: &ed25519::PublicKey| {
            seats.iter().position(|seat| seat.consensus == *key).expect("participants come from seats")
        };
        let vote_set = vote_set(&seats)?;
        let order = participants.iter().map(seat_of).collect();
        let namespace = namespace(chain_id);
        Ok(Self(Arc::new(Roster {
            chain_id,
            epoch,
            validators: validators.to_vec(),
            order,
            elector: RoundRobin::<Sha256>::default().build(&participants),
            verifier: Scheme::verifier(&namespace, participants.clone()),
            vote_set,
            namespace,
            seats,
            participants,
        })))
    }

    /// Chain id that every signature is bound to.
    pub fn chain_id(&self) -> u64 {
        self.0.chain_id
    }

    /// Consensus epoch: how many committees the network had before.
    pub(crate) fn epoch(&self) -> Epoch {
        self.0.epoch
    }

    /// The validators as they were listed, in the order of the seats.
    pub fn validators(&self) -> &[Validator] {
        &self.0.validators
    }

    /// Number of validators.
    pub fn size(&self) -> usize {
        self.0.seats.len()
    }

    /// Validators that must sign: more than two thirds.
    pub fn quorum(&self) -> usize {
        let size = self.size();
        size - (size - 1) / 3
    }

    /// Who votes on checkpoints from genesis on: every seat with one unit of stake.
    pub fn vote_set(&self) -> &ValidatorSet {
        &self.0.vote_set
    }

    /// Ed25519 consensus keys in ascending order: what a certificate names its signers by.
    pub fn keys(&self) -> Vec<[u8; 32]> {
        let bytes = |key: &ed25519::PublicKey| key.as_ref().try_into().expect("an Ed25519 key has 32 bytes");
        self.0.participants.iter().map(bytes).collect()
    }

    /// Seat that proposes in `view`.
    pub fn proposer(&self, view: u64) -> u32 {
        let participant = self.0.elector.elect(Round::new(self.epoch(), View::new(view)), ());
        self.0.order[participant.get() as usize] as u32
    }

    /// Seat of the validator with this Ed25519 public key (hex).
    pub fn seat(&self, public_key: &str) -> Option<u32> {
        let key = keys::consensus_key(public_key)?;
        self.0.seats.iter().position(|seat| seat.consensus == key).map(|seat| seat as u32)
    }

    /// Checks a finalised block on its own: quorum certificate, digest and the proposer's reveal.
    ///
    /// A caller that follows the chain also knows the parent and uses [`Committee::verify_child`]. Who follows a network
    /// whose committee may change asks the [`Schedule`](crate::committees::Schedule) instead.
    pub fn verify(&self, certified: &CertifiedBlock) -> Result<Block, VerifyError> {
        let block = Block::decode(certified.block.0.clone())?;
        if block.height != certified.height {
            return Err(VerifyError::Height { claimed: certified.height, actual: block.height });
        }
        self.verify_header(&block.header(), certified.certificate.0.clone())?;
        self.verify_reveal(&block)?;
        Ok(block)
    }

    /// Checks a finalised block as the child of `parent`, a block of the same committee, whose randomness and time it
    /// continues.
    pub fn verify_child(&self, parent: &Block, certified: &CertifiedBlock) -> Result<Block, VerifyError> {
        let block = self.verify(certified)?;
        check_link(parent, parent.digest(), &block, false)
            .map_err(|field| VerifyError::Parent { height: block.height, field })?;
        Ok(block)
    }

    /// Checks that the block with this header is final: what every member of the quorum checked before it signed is not
    /// checked again.
    pub(crate) fn verify_header(&self, header: &Header, bytes: bytes::Bytes) -> Result<(), VerifyError> {
        let (length, height) = (bytes.len(), header.height);
        let malformed = |reason: String| VerifyError::Certificate { bytes: length, reason };
        if length > CERTIFICATE_BYTES_MAX {
            return Err(malformed(format!("the limit is {CERTIFICATE_BYTES_MAX}")));
        }
        let certificate = Certificate::decode(bytes, self.size()).map_err(|error| malformed(error.to_string()))?;
        let (mut digest, mut view) = (header.digest(), header.view);
        for header in &certificate.descendants {
            if header.parent != digest {
                return Err(VerifyError::Unrelated { height });
            }
            (digest, view) = (header.digest(), header.view);
        }
        let proposal = &certificate.finalization.proposal;
        // The last block of a committee is proposed again in later views until one of them makes it final.
        let is_later = proposal.round.view() >= View::new(view);
        if proposal.payload.0 != digest || !is_later {
            return Err(VerifyError::Unrelated { height });
        }
        let is_own = certificate.finalization.epoch() == self.epoch();
        if !is_own || !certificate.finalization.verify(&mut sys_rng(), &self.0.verifier, &Sequential) {
            return Err(VerifyError::Quorum { height });
        }
        Ok(())
    }

    /// Checks that the block's reveal is by the proposer of its view.
    pub(crate) fn verify_reveal(&self, block: &Block) -> Result<(), VerifyError> {
        let seat = self.proposer(block.view);
        let key = &self.0.seats[seat as usize].randomness;
        let message = [self.0.chain_id, block.height].map(u64::to_be_bytes).concat();
        let verify = || randomness::verify_reveal(key, self.0.chain_id, block.height, &block.reveal);
        if !recall("reveal", &[key.bytes(), &message, &block.reveal], verify) {
            return Err(VerifyError::Reveal { height: block.height, view: block.view, seat });
        }
        Ok(())
    }

    pub(crate) fn namespace(&self) -> &[u8] {
        &self.0.namespace
    }

    pub(crate) fn participants(&self) -> &Set<ed25519::PublicKey> {
        &self.0.participants
    }

    pub(crate) fn verifier(&self) -> &Scheme {
        &self.0.verifier
    }

    /// Keys and consensus addresses of all seats.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (ed25519::PublicKey, SocketAddr)> {
        self.0.seats.iter().map(|seat| (seat.consensus.clone(), seat.p2p))
    }

    /// Seat that a consensus index (position among the sorted keys) stands for.
    pub(crate) fn seat_of_participant(&self, index: u32) -> Option<u32> {
        self.0.order.get(index as usize).map(|seat| *seat as u32)
    }

    /// Whether these keys are those of `seat`.
    pub(crate) fn owns(&self, seat: u32, keys: &keys::ValidatorKeys) -> bool {
        self.0.seats.get(seat as usize).is_some_and(|public| {
            hex::encode(public.consensus.encode()) == keys.public_key()
                && hex::encode(public.randomness.bytes()) == keys.randomness_key()
                && public.vote == keys.votes.public()
        })
    }
}

/// What the signatures of the engine are bound to in the network with this chain id.
pub(crate) fn namespace(chain_id: u64) -> Vec<u8> {
    [NAMESPACE, &chain_id.to_be_bytes()].concat()
}

/// Whether `block` continues `parent`; the error names the field that does not. Views begin again with the first block
/// of a committee.
pub(crate) fn check_link(
    parent: &Block,
    parent_digest: [u8; 32],
    block: &Block,
    is_first_of_committee: bool,
) -> Result<(), &'static str> {
    if block.parent != parent_digest {
        return Err("parent");
    }
    if Some(block.height) != parent.height.checked_add(1) {
        return Err("height");
    }
    if block.view <= parent.view && !is_first_of_committee {
        return Err("view");
    }
    if block.timestamp_millis < parent.timestamp_millis {
        return Err("timestamp_millis");
    }
    if randomness::mix(&parent.randomness, &block.reveal) != Some(block.randomness) {
        return Err("randomness");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
