//! The secret of the lane: shares of it, and what everybody knows of them.
//!
//! Source: Shamir, "How to share a secret" (1979), with the commitments of Feldman (1987); BLS signatures add up in the
//! exponent (Boldyreva, 2003), so that a quorum signs without anybody ever knowing the secret.

use crate::committee::Committee;
use crate::keys::ValidatorKeys;
use crate::limits::COMMITTEE_MAX;
use commonware_codec::{Copying, Decode as _, DecodeExt as _, Encode as _};
use commonware_cryptography::Signer as _;
use commonware_cryptography::bls12381::dkg::feldman_desmedt::deal_anonymous;
use commonware_cryptography::bls12381::primitives::group::Share;
use commonware_cryptography::bls12381::primitives::ops::threshold;
use commonware_cryptography::bls12381::primitives::sharing::{self, Mode, ModeVersion};
use commonware_cryptography::bls12381::primitives::variant::{MinPk, PartialSignature};
use commonware_parallel::Sequential;
use commonware_utils::{N3f1, NZU32, Participant, sys_rng};
use proof::lane::{LaneKey, OPENING_BYTES, OPENING_NAMESPACE, Opening, message};
use rand_core::CryptoRng;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::num::NonZeroU32;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Name of the dealer who knows the whole secret of a development network.
pub const DEALER: &str = "dev-dealer";
/// What stands in its place where the validators make the key together.
pub const DKG: &str = "dkg";
/// Bytes of the file of a share, in hex.
const SHARE_FILE_BYTES_MAX: u64 = 256;
const OWNER_ONLY: u32 = 0o600;

/// A share, or what is known of all, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The bytes are no commitment to a shared secret.
    #[error("{0} bytes are no commitment to a shared lane key")]
    Sharing(usize),
    /// It is for a committee of another size.
    #[error(
        "the lane key is shared by {shares}, any {required} of whom open; the committee has {validators} and {quorum}"
    )]
    Committee {
        /// Number of shares.
        shares: u32,
        /// How many open.
        required: u32,
        /// Size of the committee.
        validators: usize,
        /// Its quorum.
        quorum: u32,
    },
    /// The file cannot be read or written.
    #[error("cannot use {path}")]
    File {
        /// File.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read the file.
    #[error("{path} has mode {mode:o}, but only its owner may have access (600)")]
    Exposed {
        /// File.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It holds no share, or one of another seat or key.
    #[error("{path} holds no share of this seat in the lane key of the network file")]
    Share {
        /// File.
        path: PathBuf,
    },
}

/// What everybody knows of the shared secret: the lane key, and what belongs to each share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharing {
    points: sharing::Sharing<MinPk>,
    public: LaneKey,
}

impl Sharing {
    /// What a dealer, or those who made the key together, commit to.
    pub(super) fn of(points: sharing::Sharing<MinPk>) -> Result<Self, SecretError> {
        let encoded = points.public().encode();
        let public = LaneKey::decode(&encoded).map_err(|_| SecretError::Sharing(encoded.len()))?;
        Ok(Self { points, public })
    }

    /// Reads [`Sharing::encode`], of the committee of a network.
    ///
    /// # Errors
    /// When it is none, or of a committee of another size or quorum.
    pub fn decode(bytes: &[u8], committee: &Committee) -> Result<Self, SecretError> {
        let config = (NZU32!(COMMITTEE_MAX as u32), ModeVersion::v0());
        let points = sharing::Sharing::decode_cfg(Copying(bytes), &config);
        let points = points.map_err(|_| SecretError::Sharing(bytes.len()))?;
        let (shares, required) = (points.total().get(), points.required());
        let (validators, quorum) = (committee.size(), quorum(committee.size()));
        if shares as usize != validators || required != quorum {
            return Err(SecretError::Committee { shares, required, validators, quorum });
        }
        Self::of(points)
    }

    /// The commitment; 48 bytes for each of a quorum, and 8.
    pub fn encode(&self) -> Vec<u8> {
        self.points.encode().to_vec()
    }

    /// The key that senders encrypt to.
    pub const fn public(&self) -> &LaneKey {
        &self.public
    }

    /// How many shares there are.
    pub fn shares(&self) -> usize {
        self.points.total().get() as usize
    }

    /// Whether `share` is one of them.
    pub(super) fn has(&self, share: &Share) -> bool {
        self.points.partial_public(share.index).ok() == Some(share.public::<MinPk>())
    }

    /// How many shares open.
    pub fn required(&self) -> usize {
        self.points.required() as usize
    }

    /// Whether `part` is the part of this member in the opening of `target`: one pairing check.
    pub(crate) fn verify(&self, chain_id: u64, target: u64, part: &Part) -> bool {
        threshold::verify_message::<MinPk>(&self.points, OPENING_NAMESPACE, &message(chain_id, target), &part.0).is_ok()
    }

    /// The opening from verified parts of different members; `None` if they are too few.
    pub(crate) fn recover<'a>(&self, parts: impl IntoIterator<Item = &'a Part>) -> Option<Opening> {
        let parts = parts.into_iter().map(|part| &part.0);
        let signature = threshold::recover::<MinPk, _>(&self.points, parts, &Sequential).ok()?;
        signature.encode().as_ref().try_into().ok().map(Opening)
    }
}

/// Validators whose shares open: as many as the engine needs for a block.
fn quorum(validators: usize) -> u32 {
    use commonware_utils::Faults as _;
    N3f1::quorum(validators as u32)
}

/// A part of an opening, made with one share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part(PartialSignature<MinPk>);

impl Part {
    /// Bytes of [`Part::encode`].
    pub const BYTES: usize = 4 + OPENING_BYTES;

    /// The member whose share made it.
    pub fn member(&self) -> u32 {
        self.0.index.get()
    }

    pub fn encode(&self) -> Vec<u8> {
        let value = self.0.value.encode();
        [&self.member().to_be_bytes()[..], &value].concat()
    }

    /// Checks the point, and not what it signs.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (member, value) = bytes.split_first_chunk()?;
        let index = Participant::new(u32::from_be_bytes(*member));
        Some(Self(PartialSignature { index, value: DecodeUnit::decode_unit(value)? }))
    }
}

/// Decoding of points, which need no configuration.
pub(super) trait DecodeUnit: Sized {
    /// Exactly one value.
    fn decode_unit(bytes: &[u8]) -> Option<Self>;
}

impl<T: commonware_codec::Read<Cfg = ()>> DecodeUnit for T {
    fn decode_unit(bytes: &[u8]) -> Option<Self> {
        T::decode(Copying(bytes)).ok()
    }
}

/// The share of one validator, and what everybody knows.
#[derive(Clone)]
pub struct Secret {
    sharing: Sharing,
    /// None without a seat when the key was dealt.
    share: Option<Share>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("public", self.sharing.public()).finish_non_exhaustive()
    }
}

/// A secret from one who knows all of it.
pub struct Dealt {
    /// What everybody knows.
    pub sharing: Sharing,
    /// By member of the committee.
    shares: Vec<Share>,
}

impl Dealt {
    /// Deals to a committee of this size. Who does this can read everything: for development networks and tests only,
    /// and labelled [`DEALER`].
    ///
    /// # Errors
    /// Never in practice: when the key is zero.
    pub fn new(validators: NonZeroU32) -> Result<Self, SecretError> {
        Self::with(sys_rng(), validators)
    }

    /// The same with this randomness, for simulations.
    ///
    /// # Errors
    /// Never in practice: when the key is zero.
    pub fn with(randomness: impl CryptoRng, validators: NonZeroU32) -> Result<Self, SecretError> {
        let (points, shares) = deal_anonymous::<MinPk, N3f1>(randomness, Mode::NonZeroCounter, validators);
        Ok(Self { sharing: Sharing::of(points)?, shares })
    }

    /// The share of the validator with these keys; `None` if it is not in the committee.
    pub fn secret(&self, committee: &Committee, keys: &ValidatorKeys) -> Option<Secret> {
        let member = member(committee, keys)?;
        Some(Secret { sharing: self.sharing.clone(), share: Some(self.shares.get(member)?.clone()) })
    }
}

/// Its place in the committee.
fn member(committee: &Committee, keys: &ValidatorKeys) -> Option<usize> {
    let key = keys.consensus.public_key();
    committee.participants().iter().position(|member| *member == key)
}

impl Secret {
    /// What everybody knows.
    pub const fn sharing(&self) -> &Sharing {
        &self.sharing
    }

    /// The own part in the opening of `target`: for what is final only.
    pub(crate) fn part(&self, chain_id: u64, target: u64) -> Option<Part> {
        let share = self.share.as_ref()?;
        Some(Part(threshold::sign_message::<MinPk>(share, OPENING_NAMESPACE, &message(chain_id, target))))
    }

    /// Of a validator that has no share, as it was no member of the committee that the key was dealt to.
    pub const fn without_share(sharing: Sharing) -> Self {
        Self { sharing, share: None }
    }

    pub(super) const fn new(sharing: Sharing, share: Option<Share>) -> Self {
        Self { sharing, share }
    }

    pub(super) const fn share(&self) -> Option<&Share> {
        self.share.as_ref()
    }

    /// Writes the share to a new file with mode 0600, durably.
    ///
    /// # Errors
    /// When there is one, or it cannot be written.
    pub fn store(&self, path: &Path) -> Result<(), SecretError> {
        let text = self.share.as_ref().map(|share| hex::encode(share.encode())).unwrap_or_default();
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(|source| SecretError::File { path: path.to_owned(), source })
    }

    /// Reads what [`Secret::store`] wrote.
    ///
    /// # Errors
    /// When others may read it, or it is no share of this validator in the key that `sharing` commits to.
    pub fn load(
        path: &Path,
        sharing: Sharing,
        committee: &Committee,
        keys: &ValidatorKeys,
    ) -> Result<Self, SecretError> {
        let failed = |source| SecretError::File { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SecretError::Exposed { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        file.take(SHARE_FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        let share: Option<Share> = hex::decode(text.trim()).ok().and_then(|bytes| DecodeUnit::decode_unit(&bytes));
        let fits = |share: &Share| member(committee, keys) == Some(usize::from(share.index)) && sharing.has(share);
        match share.filter(fits) {
            Some(share) => Ok(Self { sharing, share: Some(share) }),
            None => Err(SecretError::Share { path: path.to_owned() }),
        }
    }
}
