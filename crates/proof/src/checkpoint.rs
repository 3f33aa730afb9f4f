//! Whether validators finalised a checkpoint, whether one of them broke the rules, and how to follow both.
//!
//! Casper FFG: a [`Vote`] names a justified *source* and a later *target*. When two thirds of the stake vote for one
//! link, the target is justified; when the link spans one epoch, or two with the epoch between justified as well, the
//! source is finalised. A [`Certificate`] is such a link with one aggregate signature; a [`Follower`] needs nothing but
//! certificates to know what is final. Two votes of one key that exclude each other are [`Evidence`].
//!
//! Keys are points of G2 and signatures points of G1 (96 and 48 bytes, *minimal signature size*). EIP-2537 charges
//! 5,500 gas to map a field element to G1 and 23,800 to G2, and hashing takes two of them, so a contract checks one
//! aggregate for about 36,600 gas less than with the sizes reversed. Its price is that a signer who is missing costs more:
//! 600 gas instead of 375 for the sum, and 256 bytes of calldata instead of 128.
//!
//! Every hash is `keccak256(abi.encode(keccak256(tag), words…))`, so that a contract computes it in one line.
//! Sources: Buterin and Griffith, Casper the Friendly Finality Gadget (2017), sections 2 and 3; Combining GHOST and
//! Casper (2020), section 4, for k-finality; RFC 9380; draft-irtf-cfrg-bls-signature-05 sections 3.3 and 4.2.3.

mod electorate;
mod evidence;
mod follow;
mod key;
mod witness;

pub use electorate::{
    ELECTORATE_SETS_MAX, Electorate, Member, STAKE_TOTAL_MAX, SetError, Signers, VALIDATORS_MAX, Validator,
    ValidatorSet, is_supermajority,
};
pub use evidence::{EVIDENCE_BYTES_MAX, Evidence, EvidenceError, Offence, SignedVote, Witness};
pub use follow::{FollowError, Follower};
pub use key::{
    KEY_BYTES, KeyError, MESSAGE_DST, POSSESSION_DST, SIGNATURE_BYTES, VoteKey, VoteSignature, possession_message,
    verify_possession, verify_possession_of,
};
pub use witness::{WitnessError, abi_checkpoint, abi_key, abi_member, abi_signature, abi_slash, abi_witness};

use alloy_primitives::{B256, U256, keccak256};

const VOTE_TAG: &str = "kumo/ffg/vote/v1";
const CHECKPOINT_TAG: &str = "kumo/ffg/checkpoint/v1";

/// Bytes of an encoded [`Certificate`], for any electorate.
pub const CERTIFICATE_BYTES_MAX: usize =
    VOTE_BYTES + 4 + (VALIDATORS_MAX * ELECTORATE_SETS_MAX).div_ceil(8) + SIGNATURE_BYTES;

/// Bytes of an encoded [`Vote`]: two epochs and two roots.
const VOTE_BYTES: usize = 2 * (8 + 32);

/// What every vote is bound to: one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Chain id.
    pub chain_id: u64,
    /// Digest of the network's genesis block.
    pub genesis: B256,
}

/// A checkpoint as votes name it; `Checkpoint` of the phase0 specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// Epoch; 0 is genesis.
    pub epoch: u64,
    /// [`Checkpoint::root`].
    pub root: B256,
}

/// What a checkpoint's root covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Epoch that begins with its block.
    pub epoch: u64,
    /// Height of its block.
    pub height: u64,
    /// Unix time of its block, in seconds.
    pub seconds: u64,
    /// Digest of its block, see [`crate::certificate::Header::digest`].
    pub block: B256,
    /// What the application wants light clients to see: for the settlement chain the hash of its header.
    pub application: B256,
    /// [`Electorate::root`] of those who vote on this checkpoint.
    pub electorate: B256,
    /// Commitment to the finality state before this checkpoint was added, from which a node can start.
    pub state: B256,
}

/// A link from a justified source to a later target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vote {
    /// Justified checkpoint.
    pub source: Point,
    /// Checkpoint to justify.
    pub target: Point,
}

/// Votes for one link, added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The link.
    pub vote: Vote,
    /// Who signed, by position among the members of the target's electorate.
    pub signers: Signers,
    /// Sum of their signatures.
    pub signature: VoteSignature,
}

/// Why a certificate proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The bytes are no certificate.
    #[error("{0} bytes do not decode as a vote certificate (at most {CERTIFICATE_BYTES_MAX})")]
    Encoding(usize),
    /// The link does not lead to this checkpoint.
    #[error("the certificate is for target {voted} of epoch {epoch}, the checkpoint has root {root}")]
    Target {
        /// Epoch of the target.
        epoch: u64,
        /// Root that was voted for.
        voted: B256,
        /// Root of the checkpoint.
        root: B256,
    },
    /// The target is not later than the source.
    #[error("a vote from epoch {source_epoch} to epoch {target_epoch} does not go forward")]
    Backward {
        /// Epoch of the source.
        source_epoch: u64,
        /// Epoch of the target.
        target_epoch: u64,
    },
    /// Another electorate than the checkpoint names.
    #[error("the electorate has root {given}, the checkpoint names {named}")]
    Electorate {
        /// Root of the given electorate.
        given: B256,
        /// Root in the checkpoint.
        named: B256,
    },
    /// The list of signers is not for this electorate.
    #[error("the signers are marked among {marked} members, the electorate has {members}")]
    Signers {
        /// Bits of the list.
        marked: usize,
        /// Members of the electorate.
        members: usize,
    },
    /// Too little stake.
    #[error("signers hold {voted} of {total} stake in set {set} of the electorate, two thirds are needed")]
    Stake {
        /// Position of the set.
        set: usize,
        /// Stake of the signers.
        voted: u128,
        /// Stake of the set.
        total: u128,
    },
    /// The signature is false.
    #[error("the aggregate signature of {0} signers does not verify")]
    Signature(usize),
}

impl Checkpoint {
    /// What votes name: hash of all fields.
    pub fn root(&self) -> B256 {
        let numbers = [self.epoch, self.height, self.seconds].map(number_word);
        hash_words(
            CHECKPOINT_TAG,
            &[&numbers[..], &[self.block, self.application, self.electorate, self.state]].concat(),
        )
    }

    /// Epoch and root.
    pub fn point(&self) -> Point {
        Point { epoch: self.epoch, root: self.root() }
    }
}

impl Vote {
    /// What is signed, and what a signing guard records as the signing root.
    pub fn signing_root(&self, domain: &Domain) -> B256 {
        let words = [
            number_word(domain.chain_id),
            domain.genesis,
            number_word(self.source.epoch),
            self.source.root,
            number_word(self.target.epoch),
            self.target.root,
        ];
        hash_words(VOTE_TAG, &words)
    }

    /// Which rule two votes of one key break, if any; `is_slashable_attestation_data` of phase0, in both orders.
    pub fn conflict(&self, other: &Self) -> Option<Offence> {
        let surrounds = |a: &Self, b: &Self| a.source.epoch < b.source.epoch && b.target.epoch < a.target.epoch;
        if self != other && self.target.epoch == other.target.epoch {
            return Some(Offence::Double);
        }
        (surrounds(self, other) || surrounds(other, self)).then_some(Offence::Surround)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for point in [self.source, self.target] {
            out.extend(point.epoch.to_be_bytes());
            out.extend(point.root);
        }
    }

    pub(crate) fn read(bytes: &mut &[u8]) -> Option<Self> {
        let mut point = || {
            let epoch = u64::from_be_bytes(*take(bytes)?);
            Some(Point { epoch, root: B256::from(*take(bytes)?) })
        };
        Some(Self { source: point()?, target: point()? })
    }
}

impl Certificate {
    /// Link, signers, signature; canonical.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// Decodes exactly one certificate.
    pub fn decode(bytes: &[u8]) -> Result<Self, CertificateError> {
        let mut rest = bytes;
        let decoded = Self::read(&mut rest).filter(|_| rest.is_empty() && bytes.len() <= CERTIFICATE_BYTES_MAX);
        decoded.ok_or(CertificateError::Encoding(bytes.len()))
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        self.vote.write(out);
        self.signers.write(out);
        out.extend(self.signature.0);
    }

    pub(crate) fn read(bytes: &mut &[u8]) -> Option<Self> {
        let vote = Vote::read(bytes)?;
        let signers = Signers::read(bytes)?;
        Some(Self { vote, signers, signature: VoteSignature(*take(bytes)?) })
    }

    /// Whether all signers signed: one pairing check. Says nothing about their stake.
    pub fn verify_signature(&self, domain: &Domain, electorate: &Electorate) -> Result<(), CertificateError> {
        let members = electorate.members();
        if self.signers.length() != members.len() {
            return Err(CertificateError::Signers { marked: self.signers.length(), members: members.len() });
        }
        if self.vote.source.epoch >= self.vote.target.epoch {
            let (source_epoch, target_epoch) = (self.vote.source.epoch, self.vote.target.epoch);
            return Err(CertificateError::Backward { source_epoch, target_epoch });
        }
        let keys: Vec<&VoteKey> = self.signers.iter().map(|index| &members[index].key).collect();
        match self.signature.verify_all(&keys, self.vote.signing_root(domain).as_slice()) {
            true => Ok(()),
            false => Err(CertificateError::Signature(keys.len())),
        }
    }

    /// Whether two thirds of every set of the target's electorate signed the link to `target`.
    pub fn verify(
        &self,
        domain: &Domain,
        target: &Checkpoint,
        electorate: &Electorate,
    ) -> Result<(), CertificateError> {
        let (epoch, voted, root) = (self.vote.target.epoch, self.vote.target.root, target.root());
        if (epoch, voted) != (target.epoch, root) {
            return Err(CertificateError::Target { epoch, voted, root });
        }
        let (given, named) = (electorate.root(), target.electorate);
        if given != named {
            return Err(CertificateError::Electorate { given, named });
        }
        self.verify_signature(domain, electorate)?;
        let votes = electorate.weigh(&self.signers);
        match electorate
            .sets()
            .iter()
            .zip(votes)
            .enumerate()
            .find(|(_, (set, voted))| !is_supermajority(*voted, set.total()))
        {
            None => Ok(()),
            Some((set, (validators, voted))) => Err(CertificateError::Stake { set, voted, total: validators.total() }),
        }
    }
}

/// `keccak256(abi.encode(keccak256(tag), words…))`.
pub(crate) fn hash_words(tag: &str, words: &[B256]) -> B256 {
    let mut bytes = Vec::with_capacity(32 * (words.len() + 1));
    bytes.extend(keccak256(tag));
    words.iter().for_each(|word| bytes.extend(word));
    keccak256(bytes)
}

pub(crate) fn number_word(number: u64) -> B256 {
    B256::from(U256::from(number))
}

pub(crate) fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
