//! The interchange format of EIP-3076, version 5.
//!
//! ```json
//! { "metadata": { "interchange_format_version": "5", "genesis_validators_root": "0x…" },
//!   "data": [ { "pubkey": "0x…",
//!               "signed_blocks": [ { "slot": "81952", "signing_root": "0x…" } ],
//!               "signed_attestations": [ { "source_epoch": "2290", "target_epoch": "3007", "signing_root": "0x…" } ] } ] }
//! ```
//! Numbers are decimal strings; `signing_root` may be missing. A file of another network or version is refused as a whole.

use super::journal::JournalError;
use super::rules::{Attestation, Block};
use super::{Histories, KEY_BYTES_MAX, KEYS_MAX, Record};
use serde::{Deserialize, Serialize};

/// The version that is read and written.
const VERSION: &str = "5";
/// Bytes of a file.
pub const IMPORT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A file is not taken over; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Too long.
    #[error("the file has {0} bytes, at most {IMPORT_BYTES_MAX} are read; let the other client prune it first")]
    Size(usize),
    /// Not the format.
    #[error("not an interchange file of EIP-3076: {0}")]
    Json(#[from] serde_json::Error),
    /// Another version.
    #[error("interchange format version {0:?}, only \"{VERSION}\" is understood")]
    Version(String),
    /// Another network.
    #[error("the file is for the network {found}, this one is {expected}")]
    Genesis {
        /// In the file.
        found: String,
        /// Of this network.
        expected: String,
    },
    /// A field that is no number, key or hash.
    #[error("{field} is {value:?}, expected {expected}")]
    Field {
        /// Name.
        field: &'static str,
        /// Value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Too many keys.
    #[error("records of {0} keys, at most {KEYS_MAX} are kept")]
    Keys(usize),
    /// It cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What an import changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Keys in the file.
    pub keys: usize,
    /// Attestations that were not known.
    pub attestations: usize,
    /// Blocks that were not known.
    pub blocks: usize,
}

#[derive(Serialize, Deserialize)]
struct Interchange {
    metadata: Metadata,
    data: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Metadata {
    interchange_format_version: String,
    genesis_validators_root: String,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    pubkey: String,
    signed_blocks: Vec<SignedBlock>,
    signed_attestations: Vec<SignedAttestation>,
}

#[derive(Serialize, Deserialize)]
struct SignedBlock {
    slot: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signing_root: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct SignedAttestation {
    source_epoch: String,
    target_epoch: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signing_root: Option<String>,
}

/// Records of a file, checked.
pub(super) struct Parsed(Vec<(Vec<u8>, Vec<Record>)>);

/// The network that an interchange file is for.
pub fn genesis_of(json: &[u8]) -> Result<[u8; 32], ImportError> {
    if json.len() > IMPORT_BYTES_MAX {
        return Err(ImportError::Size(json.len()));
    }
    let file: Interchange = serde_json::from_slice(json)?;
    root("genesis_validators_root", &file.metadata.genesis_validators_root)
}

/// Reads a file for the network with this genesis.
pub(super) fn parse(json: &[u8], genesis: &[u8; 32]) -> Result<Parsed, ImportError> {
    if json.len() > IMPORT_BYTES_MAX {
        return Err(ImportError::Size(json.len()));
    }
    let file: Interchange = serde_json::from_slice(json)?;
    if file.metadata.interchange_format_version != VERSION {
        return Err(ImportError::Version(file.metadata.interchange_format_version));
    }
    let found = root("genesis_validators_root", &file.metadata.genesis_validators_root)?;
    if found != *genesis {
        return Err(ImportError::Genesis { found: hex_word(&found), expected: hex_word(genesis) });
    }
    file.data.into_iter().map(parse_entry).collect::<Result<_, _>>().map(Parsed)
}

/// Adds the records to the histories.
pub(super) fn merge(histories: &mut Histories, Parsed(entries): Parsed) -> Result<Imported, ImportError> {
    let mut imported = Imported::default();
    let mut keys: Vec<&Vec<u8>> = entries.iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    keys.dedup();
    imported.keys = keys.len();
    for (key, records) in entries {
        let history = histories.entry(key).or_default();
        for record in records.into_iter().filter(|record| history.insert(*record)) {
            match record {
                Record::Attestation(_) | Record::AttestationBound(_) => imported.attestations += 1,
                Record::Block(_) | Record::BlockBound(_) => imported.blocks += 1,
            }
        }
    }
    if histories.len() > KEYS_MAX {
        return Err(ImportError::Keys(histories.len()));
    }
    Ok(imported)
}

/// Writes everything, sorted by key.
pub(super) fn format(histories: &Histories, genesis: &[u8; 32]) -> String {
    let data = histories.iter().map(|(key, history)| Entry {
        pubkey: format!("0x{}", hex::encode(key)),
        signed_blocks: history.all_blocks().map(SignedBlock::from).collect(),
        signed_attestations: history.all_attestations().map(SignedAttestation::from).collect(),
    });
    let metadata =
        Metadata { interchange_format_version: VERSION.to_owned(), genesis_validators_root: hex_word(genesis) };
    let file = Interchange { metadata, data: data.collect() };
    serde_json::to_string_pretty(&file).expect("strings and lists always serialise")
}

impl From<&Block> for SignedBlock {
    fn from(block: &Block) -> Self {
        Self { slot: block.slot.to_string(), signing_root: block.root.as_ref().map(hex_word) }
    }
}

impl From<&Attestation> for SignedAttestation {
    fn from(attestation: &Attestation) -> Self {
        Self {
            source_epoch: attestation.source.to_string(),
            target_epoch: attestation.target.to_string(),
            signing_root: attestation.root.as_ref().map(hex_word),
        }
    }
}

fn parse_entry(entry: Entry) -> Result<(Vec<u8>, Vec<Record>), ImportError> {
    let key = bytes(&entry.pubkey).filter(|key| !key.is_empty() && key.len() <= KEY_BYTES_MAX);
    let key = key.ok_or_else(|| ImportError::Field {
        field: "pubkey",
        value: entry.pubkey.clone(),
        expected: "0x and 1 to 96 bytes in hex",
    })?;
    let mut records = Vec::with_capacity(entry.signed_blocks.len() + entry.signed_attestations.len());
    for block in &entry.signed_blocks {
        let block = Block { slot: number("slot", &block.slot)?, root: optional(&block.signing_root)? };
        records.push(Record::Block(block));
    }
    for attestation in &entry.signed_attestations {
        let attestation = Attestation {
            source: number("source_epoch", &attestation.source_epoch)?,
            target: number("target_epoch", &attestation.target_epoch)?,
            root: optional(&attestation.signing_root)?,
        };
        records.push(Record::Attestation(attestation));
    }
    Ok((key, records))
}

fn optional(value: &Option<String>) -> Result<Option<[u8; 32]>, ImportError> {
    value.as_deref().map(|value| root("signing_root", value)).transpose()
}

fn root(field: &'static str, value: &str) -> Result<[u8; 32], ImportError> {
    let word = bytes(value).and_then(|bytes| bytes.try_into().ok());
    word.ok_or_else(|| ImportError::Field { field, value: value.to_owned(), expected: "0x and 32 bytes in hex" })
}

fn number(field: &'static str, value: &str) -> Result<u64, ImportError> {
    let is_plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let number = if is_plain { value.parse().ok() } else { None };
    let expected = "a decimal number below 2^64, in quotes";
    number.ok_or_else(|| ImportError::Field { field, value: value.to_owned(), expected })
}

fn bytes(value: &str) -> Option<Vec<u8>> {
    hex::decode(value.strip_prefix("0x")?).ok()
}

fn hex_word(word: &[u8; 32]) -> String {
    format!("0x{}", hex::encode(word))
}
