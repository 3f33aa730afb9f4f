//! The secret that votes on checkpoints, apart from those of the consensus engine.
//!
//! There is no way to sign with it but through a [`Guard`], which has written the vote down before.

use crate::guard::{Attestation, Guard, Refused};
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_cryptography::bls12381::primitives::{
    group::Private,
    ops,
    variant::{MinSig, Variant},
};
use commonware_cryptography::{Signer as _, bls12381};
use commonware_utils::sys_rng;
use proof::checkpoint::{
    Domain, MESSAGE_DST, POSSESSION_DST, SIGNATURE_BYTES, Vote, VoteKey, VoteSignature, possession_message,
};
use std::fmt;

/// Bytes of a secret.
const SECRET_BYTES: usize = 32;
/// Tells the vote key of a development seed from its randomness key.
const SEED_MASK: u64 = 0x6666_672d_766f_7465;

/// The bytes are not a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes are not a vote secret: a number below the order of the group, not zero, has {SECRET_BYTES}")]
pub struct SecretError(usize);

/// The secret of a validator's votes.
#[derive(Clone)]
pub struct VoteSecret {
    secret: Private,
    public: VoteKey,
}

impl fmt::Debug for VoteSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VoteSecret").field("public", &self.public).finish_non_exhaustive()
    }
}

impl VoteSecret {
    /// A new secret from the operating system's randomness.
    pub fn generate() -> Self {
        Self::new(ops::keypair::<_, MinSig>(&mut sys_rng()).0)
    }

    /// A secret that everybody can derive: for development networks and tests only.
    pub fn from_seed(seed: u64) -> Self {
        let derived = bls12381::PrivateKey::from_seed(seed ^ SEED_MASK).encode();
        Self::decode(&derived).expect("a private key of the same curve")
    }

    /// Decodes [`VoteSecret::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, SecretError> {
        Private::decode(Copying(bytes)).map(Self::new).map_err(|_| SecretError(bytes.len()))
    }

    /// The number, big endian.
    pub fn encode(&self) -> [u8; SECRET_BYTES] {
        self.secret.encode().as_ref().try_into().expect("a scalar has 32 bytes")
    }

    /// The key that others know.
    pub fn public(&self) -> VoteKey {
        self.public
    }

    /// Proof that this secret is held, to register its key.
    pub fn possession(&self) -> VoteSignature {
        self.sign_in(POSSESSION_DST, self.public.bytes())
    }

    /// Proof that this secret is held, for an account of another chain that locks stake behind its key.
    pub fn possession_for(&self, owner: &[u8; 20]) -> VoteSignature {
        self.sign_in(POSSESSION_DST, &possession_message(&self.public, owner))
    }

    /// Signs a vote if the guard allows it, after the guard has made it durable.
    pub fn sign(&self, guard: &Guard, domain: &Domain, vote: &Vote) -> Result<VoteSignature, Refused> {
        let root = vote.signing_root(domain);
        let attestation = Attestation { source: vote.source.epoch, target: vote.target.epoch, root: Some(root.0) };
        guard.sign_attestation(self.public.bytes(), attestation, || self.sign_in(MESSAGE_DST, root.as_slice()))
    }

    /// Signs whatever it is told: for tests of what must not happen.
    #[cfg(test)]
    pub(crate) fn sign_unguarded(&self, domain: &Domain, vote: &Vote) -> VoteSignature {
        self.sign_in(MESSAGE_DST, vote.signing_root(domain).as_slice())
    }

    fn new(secret: Private) -> Self {
        let public = ops::compute_public::<MinSig>(&secret).encode();
        let public = VoteKey::decode(&public).expect("the public key of a secret that is not zero");
        Self { secret, public }
    }

    fn sign_in(&self, domain: &'static [u8], message: &[u8]) -> VoteSignature {
        let point: <MinSig as Variant>::Signature = ops::sign::<MinSig>(&self.secret, domain, message);
        let bytes: [u8; SIGNATURE_BYTES] = point.encode().as_ref().try_into().expect("a compressed point of G1");
        VoteSignature(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;
    use proof::checkpoint::{Point, verify_possession, verify_possession_of};

    #[test]
    fn secret_survives_its_encoding_and_never_shows() {
        let secret = VoteSecret::generate();
        let again = VoteSecret::decode(&secret.encode()).unwrap();
        assert_eq!(again.public(), secret.public());
        assert!(!format!("{secret:?}").contains(&hex::encode(secret.encode())));
        for bad in [&[][..], &[0; 32], &[0xff; 32], &[1; 31], &[1; 33]] {
            assert_eq!(VoteSecret::decode(bad).unwrap_err(), SecretError(bad.len()));
        }
    }

    #[test]
    fn possession_and_votes_verify_where_nothing_is_known_of_the_engine() {
        let secret = VoteSecret::from_seed(1);
        assert!(verify_possession(&secret.public(), &secret.possession()));
        assert!(!verify_possession(&VoteSecret::from_seed(2).public(), &secret.possession()));
        let owned = secret.possession_for(&[7; 20]);
        assert!(
            verify_possession_of(&secret.public(), &[7; 20], &owned) && !verify_possession(&secret.public(), &owned)
        );
        assert!(!verify_possession_of(&secret.public(), &[8; 20], &owned));
        let domain = Domain { chain_id: 5886, genesis: B256::ZERO };
        let point = |epoch| Point { epoch, root: B256::repeat_byte(epoch as u8) };
        let vote = Vote { source: point(1), target: point(2) };
        let signature = secret.sign_unguarded(&domain, &vote);
        assert!(signature.verify(&secret.public(), vote.signing_root(&domain).as_slice()));
    }
}
