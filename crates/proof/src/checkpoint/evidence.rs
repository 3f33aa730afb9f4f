//! Two votes of one key that exclude each other.
//!
//! The rules of the paper (section 2, the two commandments): no two votes for one target epoch, and no vote within the span
//! of another. Neither depends on any state, so two signatures are all it takes, whatever became of the chain.
//! A vote is shown either alone or within an aggregate. The latter names the electorate, which the judge must know:
//! a list of keys made up by the accuser could hold one that was chosen to cancel the others.

use super::{CERTIFICATE_BYTES_MAX, KEY_BYTES};
use super::{Certificate, Domain, Electorate, Signers, Vote, VoteKey, VoteSignature, take};
use alloy_primitives::B256;

/// Bytes of encoded evidence: the key and two aggregates with the roots of their electorates.
pub const EVIDENCE_BYTES_MAX: usize = KEY_BYTES + 2 * (1 + 32 + CERTIFICATE_BYTES_MAX);

const ALONE: u8 = 0;
const AGGREGATE: u8 = 1;

/// Which rule was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offence {
    /// Two different votes with one target epoch.
    Double,
    /// One vote spans the other: it begins earlier and ends later.
    Surround,
}

/// How it is shown that a key signed a vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Witness {
    /// The key's own signature.
    Alone(VoteSignature),
    /// An aggregate that it is part of.
    Aggregate {
        /// Root of the electorate that numbers the signers.
        electorate: B256,
        /// Who signed.
        signers: Signers,
        /// Sum of their signatures.
        signature: VoteSignature,
    },
}

/// A vote and how it is shown that it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedVote {
    /// The vote.
    pub vote: Vote,
    /// Signature.
    pub witness: Witness,
}

/// Proof that a key broke a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The offender.
    pub key: VoteKey,
    /// One vote.
    pub first: SignedVote,
    /// The other one.
    pub second: SignedVote,
}

/// Why evidence shows nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// The bytes are no evidence.
    #[error("{0} bytes do not decode as evidence (at most {EVIDENCE_BYTES_MAX})")]
    Encoding(usize),
    /// The votes may both be cast.
    #[error("votes {0}→{1} and {2}→{3} do not exclude each other")]
    Harmless(u64, u64, u64, u64),
    /// The judge does not know the electorate.
    #[error("electorate {0} is unknown here, so its signers cannot be told")]
    Unknown(B256),
    /// The key is not among the signers.
    #[error("the accused key is not among the signers of the vote for epoch {0}")]
    NotSigned(u64),
    /// A signature is false.
    #[error("the signature of the vote for epoch {0} does not verify")]
    Signature(u64),
}

impl Evidence {
    /// Which rule the key broke. `electorates` knows the electorates of this network by their roots; it is asked only
    /// about votes within aggregates, so evidence of two single signatures stands by itself.
    pub fn verify<'a>(
        &self,
        domain: &Domain,
        electorates: impl Fn(&B256) -> Option<&'a Electorate>,
    ) -> Result<Offence, EvidenceError> {
        let (a, b) = (&self.first.vote, &self.second.vote);
        let offence = a.conflict(b).ok_or(EvidenceError::Harmless(
            a.source.epoch,
            a.target.epoch,
            b.source.epoch,
            b.target.epoch,
        ))?;
        self.first.verify(domain, &self.key, &electorates)?;
        self.second.verify(domain, &self.key, &electorates)?;
        Ok(offence)
    }

    /// Key, then both votes; canonical.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.key.bytes().to_vec();
        self.first.write(&mut out);
        self.second.write(&mut out);
        out
    }

    /// Decodes exactly one piece of evidence.
    pub fn decode(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let mut rest = bytes;
        let mut read = || {
            let key = VoteKey::decode(take::<KEY_BYTES>(&mut rest)?).ok()?;
            let (first, second) = (SignedVote::read(&mut rest)?, SignedVote::read(&mut rest)?);
            rest.is_empty().then_some(Self { key, first, second })
        };
        let decoded = if bytes.len() <= EVIDENCE_BYTES_MAX { read() } else { None };
        decoded.ok_or(EvidenceError::Encoding(bytes.len()))
    }
}

impl SignedVote {
    fn verify<'a>(
        &self,
        domain: &Domain,
        key: &VoteKey,
        electorates: &impl Fn(&B256) -> Option<&'a Electorate>,
    ) -> Result<(), EvidenceError> {
        let epoch = self.vote.target.epoch;
        let valid = match &self.witness {
            Witness::Alone(signature) => signature.verify(key, self.vote.signing_root(domain).as_slice()),
            Witness::Aggregate { electorate, signers, signature } => {
                let known = electorates(electorate).filter(|known| known.root() == *electorate);
                let known = known.ok_or(EvidenceError::Unknown(*electorate))?;
                if !known.position(key).is_some_and(|position| signers.contains(position)) {
                    return Err(EvidenceError::NotSigned(epoch));
                }
                let certificate = Certificate { vote: self.vote, signers: signers.clone(), signature: *signature };
                certificate.verify_signature(domain, known).is_ok()
            }
        };
        valid.then_some(()).ok_or(EvidenceError::Signature(epoch))
    }

    fn write(&self, out: &mut Vec<u8>) {
        match &self.witness {
            Witness::Alone(signature) => {
                out.push(ALONE);
                self.vote.write(out);
                out.extend(signature.0);
            }
            Witness::Aggregate { electorate, signers, signature } => {
                out.push(AGGREGATE);
                out.extend(electorate);
                let certificate = Certificate { vote: self.vote, signers: signers.clone(), signature: *signature };
                certificate.write(out);
            }
        }
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        match *take(bytes)? {
            [ALONE] => {
                let vote = Vote::read(bytes)?;
                Some(Self { vote, witness: Witness::Alone(VoteSignature(*take(bytes)?)) })
            }
            [AGGREGATE] => {
                let electorate = B256::from(*take(bytes)?);
                let Certificate { vote, signers, signature } = Certificate::read(bytes)?;
                Some(Self { vote, witness: Witness::Aggregate { electorate, signers, signature } })
            }
            _ => None,
        }
    }
}
