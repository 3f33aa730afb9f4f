//! The secrets of a validator seat: Ed25519 for blocks and connections, another one for randomness reveals (a verifiable
//! random function over the same curve), and BLS12-381 for votes on checkpoints.
//!
//! All stand in one JSON file that only its owner may read. A file that others can read is refused, as a copied
//! key lets its holder vote twice in the validator's name.

use crate::ffg::VoteSecret;
use crate::randomness;
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_cryptography::{Signer, ed25519};
use commonware_utils::sys_rng;
use proof::checkpoint::VoteSignature;
use proof::vrf;
use protocol::network::Validator;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Bytes of a key file.
const KEY_FILE_BYTES_MAX: u64 = 4096;
const OWNER_ONLY: u32 = 0o600;

/// A key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// File.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written; it must not exist yet.
    #[error("cannot write {path}")]
    Write {
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
    /// A file of a version without votes on checkpoints.
    #[error(
        "{path} has no vote key: it was made before validators voted on checkpoints. Its network has no vote keys \
         either; begin a new network in another directory (`kumo init`)"
    )]
    NoVoteKey {
        /// File.
        path: PathBuf,
    },
    /// A file of a version whose reveals were signatures.
    #[error(
        "{path} has a BLS12-381 key for randomness: it was made before reveals were those of a verifiable random \
         function, and so was its network; begin a new network in another directory (`kumo init`)"
    )]
    OldRandomnessKey {
        /// File.
        path: PathBuf,
    },
    /// The content is not what it should be.
    #[error("{path} holds no validator keys: {reason}")]
    Malformed {
        /// File.
        path: PathBuf,
        /// What is wrong, without the content.
        reason: &'static str,
    },
}

/// The secrets of one validator.
#[derive(Clone)]
pub struct ValidatorKeys {
    pub(crate) consensus: ed25519::PrivateKey,
    pub(crate) randomness: vrf::Secret,
    pub(crate) votes: VoteSecret,
}

impl std::fmt::Debug for ValidatorKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ValidatorKeys").field("public_key", &self.public_key()).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    consensus: String,
    vrf: Option<String>,
    /// What stood there in place of `vrf`.
    #[serde(default, skip_serializing)]
    randomness: Option<String>,
    #[serde(default)]
    votes: Option<String>,
}

fn random<S: Signer>() -> S {
    S::random(sys_rng())
}

fn decode_hex<T: DecodeExtUnit>(text: &str) -> Option<T> {
    let bytes = hex::decode(text).ok()?;
    T::decode_unit(&bytes)
}

/// Decoding of the key types, which need no configuration.
trait DecodeExtUnit: Sized {
    fn decode_unit(bytes: &[u8]) -> Option<Self>;
}

impl<T: commonware_codec::Read<Cfg = ()>> DecodeExtUnit for T {
    fn decode_unit(bytes: &[u8]) -> Option<Self> {
        T::decode(Copying(bytes)).ok()
    }
}

/// Decodes an Ed25519 public key from hex.
pub(crate) fn consensus_key(text: &str) -> Option<ed25519::PublicKey> {
    decode_hex(text)
}

/// Decodes a randomness key from hex, see [`vrf::Key::decode`].
pub(crate) fn randomness_key(text: &str) -> Option<vrf::Key> {
    vrf::Key::decode(&hex::decode(text).ok()?).ok()
}

/// The file that says that the keys in `path` have never signed. Only while it is there may a record of what they signed
/// begin empty; whoever begins one removes it.
pub fn unused_mark(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".unused");
    name.into()
}

impl ValidatorKeys {
    /// New keys from the operating system's randomness.
    pub fn generate() -> Self {
        Self { consensus: random(), randomness: randomness::generate(), votes: VoteSecret::generate() }
    }

    /// Keys that everybody can derive: for development networks and tests only.
    pub fn from_seed(seed: u64) -> Self {
        Self {
            consensus: Signer::from_seed(seed),
            randomness: randomness::from_seed(seed),
            votes: VoteSecret::from_seed(seed),
        }
    }

    /// Ed25519 public key, 64 hex digits.
    pub fn public_key(&self) -> String {
        hex::encode(self.consensus.public_key().encode())
    }

    /// Key of the randomness reveals (Ed25519), 64 hex digits.
    pub fn randomness_key(&self) -> String {
        hex::encode(self.randomness.key().bytes())
    }

    /// BLS12-381 public key of votes on checkpoints (G2, 96 bytes), 192 hex digits.
    pub fn vote_key(&self) -> String {
        hex::encode(self.votes.public().bytes())
    }

    /// Proof that the vote key is held, for the account that registers it in `ValidatorRegistry`.
    pub fn possession_for(&self, owner: &[u8; 20]) -> VoteSignature {
        self.votes.possession_for(owner)
    }

    /// The public entry of this validator in a network file.
    pub fn validator(&self, p2p: String, api: String) -> Validator {
        Validator {
            public_key: self.public_key(),
            randomness_key: self.randomness_key(),
            vote_key: self.vote_key(),
            vote_possession: hex::encode(self.votes.possession().0),
            p2p,
            api,
        }
    }

    /// Writes a new file with mode 0600, durably; refuses to overwrite one. Beside it goes a mark that these keys have
    /// never signed, see [`unused_mark`].
    pub fn store(&self, path: &Path) -> Result<(), KeysError> {
        let file = KeyFile {
            consensus: hex::encode(self.consensus.encode()),
            vrf: Some(hex::encode(self.randomness.seed())),
            randomness: None,
            votes: Some(hex::encode(self.votes.encode())),
        };
        let text = serde_json::to_string_pretty(&file).expect("strings always serialise");
        let mark = unused_mark(path);
        let write = || -> io::Result<()> {
            if path.exists() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            File::create(&mark)?.sync_all()?;
            let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(|source| KeysError::Write { path: path.to_owned(), source })
    }

    /// Reads a file that [`ValidatorKeys::store`] wrote.
    pub fn load(path: &Path) -> Result<Self, KeysError> {
        let read = |source| KeysError::Read { path: path.to_owned(), source };
        let malformed = |reason| KeysError::Malformed { path: path.to_owned(), reason };
        let file = File::open(path).map_err(read)?;
        let mode = file.metadata().map_err(read)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeysError::Exposed { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(read)?;
        let keys: KeyFile = serde_json::from_str(&text).map_err(|_| malformed("not the expected JSON"))?;
        if keys.randomness.is_some() {
            return Err(KeysError::OldRandomnessKey { path: path.to_owned() });
        }
        let votes = keys.votes.ok_or_else(|| KeysError::NoVoteKey { path: path.to_owned() })?;
        let votes = hex::decode(votes).ok().and_then(|bytes| VoteSecret::decode(&bytes).ok());
        Ok(Self {
            votes: votes.ok_or_else(|| malformed("votes is not a BLS12-381 key"))?,
            consensus: decode_hex(&keys.consensus).ok_or_else(|| malformed("consensus is not an Ed25519 key"))?,
            randomness: (keys.vrf.and_then(|text| hex::decode(text).ok()?.try_into().ok()))
                .map(vrf::Secret::new)
                .ok_or_else(|| malformed("vrf is not a seed of 32 bytes"))?,
        })
    }

    /// Reads the file, or creates it with new keys if there is none.
    pub fn load_or_generate(path: &Path) -> Result<Self, KeysError> {
        match Self::load(path) {
            Err(KeysError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let keys = Self::generate();
                keys.store(path)?;
                Ok(keys)
            }
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn keys_survive_the_file_and_only_the_owner_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("validator.json");
        let keys = ValidatorKeys::load_or_generate(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = ValidatorKeys::load_or_generate(&path).unwrap();
        assert_eq!((again.public_key(), again.randomness_key()), (keys.public_key(), keys.randomness_key()));
        assert_ne!(keys.public_key(), ValidatorKeys::generate().public_key());
    }

    #[test]
    fn existing_file_is_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("validator.json");
        ValidatorKeys::from_seed(1).store(&path).unwrap();
        assert!(matches!(ValidatorKeys::from_seed(2).store(&path), Err(KeysError::Write { .. })));
        assert_eq!(ValidatorKeys::load(&path).unwrap().public_key(), ValidatorKeys::from_seed(1).public_key());
    }

    #[test]
    fn readable_or_malformed_file_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("validator.json");
        ValidatorKeys::from_seed(1).store(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(ValidatorKeys::load(&path), Err(KeysError::Exposed { mode: 0o640, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "{\"consensus\":\"00\",\"vrf\":\"00\",\"votes\":\"00\"}").unwrap();
        let error = ValidatorKeys::load(&path).unwrap_err();
        assert!(matches!(error, KeysError::Malformed { .. }));
        assert!(error.to_string().contains("validator.json"));
        fs::write(&path, "{\"consensus\":\"00\",\"vrf\":\"00\"}").unwrap();
        let error = ValidatorKeys::load(&path).unwrap_err();
        assert!(error.to_string().contains("has no vote key"), "{error}");
        fs::write(&path, "{\"consensus\":\"00\",\"randomness\":\"00\",\"votes\":\"00\"}").unwrap();
        let error = ValidatorKeys::load(&path).unwrap_err();
        assert!(matches!(error, KeysError::OldRandomnessKey { .. }), "{error}");
    }

    #[test]
    fn public_keys_decode_and_have_the_documented_length() {
        let keys = ValidatorKeys::from_seed(7);
        assert_eq!(keys.public_key().len(), 64);
        assert_eq!(keys.randomness_key().len(), 64);
        assert_eq!(consensus_key(&keys.public_key()), Some(keys.consensus.public_key()));
        assert_eq!(randomness_key(&keys.randomness_key()), Some(*keys.randomness.key()));
        assert_eq!(randomness_key(&keys.vote_key()), None);
    }

    #[test]
    fn secrets_never_show_in_debug_output() {
        let keys = ValidatorKeys::from_seed(7);
        let secret = hex::encode(keys.consensus.encode());
        assert!(!format!("{keys:?}").contains(&secret));
    }
}
