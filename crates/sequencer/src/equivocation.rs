//! Two votes of the engine by one consensus key that exclude each other, as a proof that stands by itself.
//!
//! ```text
//! equivocation = consensus key (32) ‖ kind (1) ‖ two votes, as the engine encodes those of a committee of this key alone
//! kind:          1 two notarisations of one view   2 two finalisations of one view   3 skipping and finalising one view
//! ```
//! The engine names a signer by its place in the committee, which may have changed since. With the key itself in place of that,
//! everybody who knows the network can judge. A validator that keeps its write-ahead log never signs such votes.

use crate::evidence::Activity;
use crate::keys;
use commonware_codec::{Copying, DecodeExt as _, Encode, ReadExt};
use commonware_consensus::Viewable as _;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::{
    ConflictingFinalize, ConflictingNotarize, Finalize, Notarize, Nullify, NullifyFinalize,
};
use commonware_cryptography::ed25519::PublicKey;
use commonware_cryptography::sha256::Digest;
use commonware_parallel::Sequential;
use commonware_utils::{Participant, TryCollect as _, sys_rng};

/// Bytes of a consensus key.
pub const CONSENSUS_KEY_BYTES: usize = 32;
/// Bytes of an encoded equivocation; one has about 250.
pub const EQUIVOCATION_BYTES_MAX: usize = 384;

const NOTARIZES: u8 = 1;
const FINALIZES: u8 = 2;
const NULLIFY_FINALIZE: u8 = 3;

/// The offender's place in a committee of its own.
const ALONE: Participant = Participant::new(0);

/// An equivocation proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EquivocationError {
    /// The bytes are none, or the votes may both be cast.
    #[error("{0} bytes are not two votes of one key that exclude each other (at most {EQUIVOCATION_BYTES_MAX})")]
    Encoding(usize),
    /// A signature is false.
    #[error("a vote of view {0} is not signed by the accused key")]
    Signature(u64),
}

/// Votes that exclude each other, both by the signer [`ALONE`].
#[derive(Clone, Debug, PartialEq, Eq)]
enum Votes {
    Notarizes(ConflictingNotarize<Scheme, Digest>),
    Finalizes(ConflictingFinalize<Scheme, Digest>),
    NullifyFinalize(NullifyFinalize<Scheme, Digest>),
}

/// Proof that a consensus key signed two votes that exclude each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equivocation {
    key: PublicKey,
    votes: Votes,
}

impl Equivocation {
    /// What the engine reports of the signer with this key; `None` if it is no evidence.
    pub(crate) fn of(key: &PublicKey, activity: &Activity) -> Option<Self> {
        let votes = match activity {
            Activity::ConflictingNotarize(both) => {
                let (mut first, mut second): (Notarize<Scheme, Digest>, Notarize<Scheme, Digest>) = split(both)?;
                (first.attestation.signer, second.attestation.signer) = (ALONE, ALONE);
                Votes::Notarizes(ConflictingNotarize::new(first, second))
            }
            Activity::ConflictingFinalize(both) => {
                let (mut first, mut second): (Finalize<Scheme, Digest>, Finalize<Scheme, Digest>) = split(both)?;
                (first.attestation.signer, second.attestation.signer) = (ALONE, ALONE);
                Votes::Finalizes(ConflictingFinalize::new(first, second))
            }
            Activity::NullifyFinalize(both) => {
                let (mut first, mut second): (Nullify<Scheme>, Finalize<Scheme, Digest>) = split(both)?;
                (first.attestation.signer, second.attestation.signer) = (ALONE, ALONE);
                Votes::NullifyFinalize(NullifyFinalize::new(first, second))
            }
            _ => return None,
        };
        Some(Self { key: key.clone(), votes })
    }

    /// The offender's consensus key.
    pub fn key(&self) -> [u8; CONSENSUS_KEY_BYTES] {
        self.key.as_ref().try_into().expect("an Ed25519 key has 32 bytes")
    }

    /// View that both votes are about.
    pub fn view(&self) -> u64 {
        match &self.votes {
            Votes::Notarizes(votes) => votes.view().get(),
            Votes::Finalizes(votes) => votes.view().get(),
            Votes::NullifyFinalize(votes) => votes.view().get(),
        }
    }

    /// Checks that the key signed both votes in the network whose signatures are bound to `namespace`.
    pub(crate) fn verify(&self, namespace: &[u8]) -> Result<(), EquivocationError> {
        let alone = [self.key.clone()].into_iter().try_collect().expect("one key is distinct");
        let scheme = Scheme::verifier(namespace, alone);
        let valid = match &self.votes {
            Votes::Notarizes(votes) => votes.verify(&mut sys_rng(), &scheme, &Sequential),
            Votes::Finalizes(votes) => votes.verify(&mut sys_rng(), &scheme, &Sequential),
            Votes::NullifyFinalize(votes) => votes.verify(&mut sys_rng(), &scheme, &Sequential),
        };
        valid.then_some(()).ok_or(EquivocationError::Signature(self.view()))
    }

    /// Key, kind, votes.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, votes) = match &self.votes {
            Votes::Notarizes(votes) => (NOTARIZES, votes.encode()),
            Votes::Finalizes(votes) => (FINALIZES, votes.encode()),
            Votes::NullifyFinalize(votes) => (NULLIFY_FINALIZE, votes.encode()),
        };
        [&self.key()[..], &[kind], votes.as_ref()].concat()
    }

    /// Decodes exactly one; the votes exclude each other, signatures are not checked.
    pub fn decode(bytes: &[u8]) -> Result<Self, EquivocationError> {
        let decoded = if bytes.len() <= EQUIVOCATION_BYTES_MAX { read(bytes) } else { None };
        decoded.ok_or(EquivocationError::Encoding(bytes.len()))
    }
}

fn read(bytes: &[u8]) -> Option<Equivocation> {
    let (key, rest) = bytes.split_first_chunk::<CONSENSUS_KEY_BYTES>()?;
    let (kind, votes) = rest.split_first()?;
    let votes = match *kind {
        NOTARIZES => Votes::Notarizes(ConflictingNotarize::decode(Copying(votes)).ok()?),
        FINALIZES => Votes::Finalizes(ConflictingFinalize::decode(Copying(votes)).ok()?),
        NULLIFY_FINALIZE => Votes::NullifyFinalize(NullifyFinalize::decode(Copying(votes)).ok()?),
        _ => return None,
    };
    Some(Equivocation { key: keys::consensus_key(&hex::encode(key))?, votes })
}

/// The two votes that evidence of the engine consists of, one encoded after the other.
fn split<A: ReadExt, B: ReadExt>(both: &impl Encode) -> Option<(A, B)> {
    let encoded = both.encode();
    let mut rest = Copying(encoded.as_ref());
    Some((A::read(&mut rest).ok()?, B::read(&mut rest).ok()?))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::committee::namespace;
    use crate::testing::{CHAIN_ID, child, entry, genesis, keys, proposal, signer};
    use commonware_consensus::simplex::types::Proposal;
    use commonware_consensus::types::{Epoch, Round, View};
    use commonware_cryptography::Signer as _;

    /// Two blocks of the same view.
    fn fork() -> [Proposal<Digest>; 2] {
        [vec![], vec![entry(1, &["t"])]].map(|entries| proposal(&child(&genesis(), 1, entries), 0))
    }

    fn activities(seat: u64) -> [Activity; 3] {
        let [a, b] = fork().map(|proposal| Notarize::sign(&signer(seat), proposal).unwrap());
        let [c, d] = fork().map(|proposal| Finalize::sign(&signer(seat), proposal).unwrap());
        let nullify = Nullify::sign::<Digest>(&signer(seat), Round::new(Epoch::zero(), View::new(1))).unwrap();
        [
            Activity::ConflictingNotarize(ConflictingNotarize::new(a, b)),
            Activity::ConflictingFinalize(ConflictingFinalize::new(c.clone(), d)),
            Activity::NullifyFinalize(NullifyFinalize::new(nullify, c)),
        ]
    }

    /// A contradiction of this seat, also of one beyond the committee.
    pub(crate) fn equivocation(seat: u64) -> Equivocation {
        let secret = keys(seat).consensus;
        let key = secret.public_key();
        let alone = [key.clone()].into_iter().try_collect().unwrap();
        let signer = Scheme::signer(&namespace(CHAIN_ID), alone, secret).unwrap();
        let [first, second] = fork().map(|proposal| Finalize::sign(&signer, proposal).unwrap());
        Equivocation::of(&key, &Activity::ConflictingFinalize(ConflictingFinalize::new(first, second))).unwrap()
    }

    #[test]
    fn every_kind_proves_itself_without_the_committee() {
        let key = keys(2).consensus.public_key();
        for activity in activities(2) {
            let evidence = Equivocation::of(&key, &activity).unwrap();
            let encoded = evidence.encode();
            assert!(encoded.len() < EQUIVOCATION_BYTES_MAX - 100, "{}", encoded.len());
            let decoded = Equivocation::decode(&encoded).unwrap();
            assert_eq!((&decoded, decoded.view()), (&evidence, 1));
            assert_eq!(hex::encode(decoded.key()), keys(2).public_key());
            decoded.verify(&namespace(CHAIN_ID)).unwrap();
            let elsewhere = decoded.verify(&namespace(CHAIN_ID + 1));
            assert_eq!(elsewhere, Err(EquivocationError::Signature(1)), "votes of another network prove nothing here");
        }
    }

    #[test]
    fn nobody_is_accused_of_what_somebody_else_signed() {
        let other = keys(1).consensus.public_key();
        for activity in activities(2) {
            let framed = Equivocation::of(&other, &activity).unwrap();
            assert_eq!(framed.verify(&namespace(CHAIN_ID)), Err(EquivocationError::Signature(1)));
        }
    }

    #[test]
    fn junk_and_votes_that_agree_do_not_decode() {
        let key = keys(2).consensus.public_key();
        for activity in activities(2) {
            let encoded = Equivocation::of(&key, &activity).unwrap().encode();
            for length in 0..encoded.len() {
                assert_eq!(Equivocation::decode(&encoded[..length]), Err(EquivocationError::Encoding(length)));
            }
            let longer = [&encoded[..], &[0]].concat();
            assert_eq!(Equivocation::decode(&longer), Err(EquivocationError::Encoding(longer.len())));
        }
        let [vote, _] = fork().map(|proposal| Notarize::sign(&signer(2), proposal).unwrap());
        assert_eq!(Equivocation::of(&key, &Activity::Notarize(vote.clone())), None);
        let vote = vote.encode();
        let twice = [key.as_ref(), &[NOTARIZES], &vote, &vote].concat();
        assert!(Equivocation::decode(&twice).is_err(), "the same vote twice is no offence");
        assert!(Equivocation::decode(&vec![1; EQUIVOCATION_BYTES_MAX + 1]).is_err());
    }
}
