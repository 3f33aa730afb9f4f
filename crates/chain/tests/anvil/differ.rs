//! Comparing two answers.

use eyre::{Result, eyre};
use serde_json::Value;

/// Hashes that differ with the state roots of anvil, and fields that anvil adds.
const NOT_COMPARED: [&str; 9] = [
    "hash",
    "blockHash",
    "parentHash",
    "stateRoot",
    "blockTimestamp",
    "totalDifficulty",
    "blobGasPrice",
    "blobGasUsed",
    "size",
];

/// Where and how two answers differ; a field that is `null` is the same as none.
pub fn differ(ours: &Value, theirs: &Value, path: &str) -> Option<String> {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            let mut compared = keys.filter(|key| !NOT_COMPARED.contains(&key.as_str()));
            compared.find_map(|key| differ(&ours[key], &theirs[key], &format!("{path}.{key}")))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let mut pairs = a.iter().zip(b).enumerate();
            pairs.find_map(|(index, (a, b))| differ(a, b, &format!("{path}[{index}]")))
        }
        // Addresses with and without the letters of a checksum are the same.
        (Value::String(a), Value::String(b)) if a.eq_ignore_ascii_case(b) => None,
        _ if ours == theirs => None,
        _ => Some(format!("{path}: Kumo says {ours}, anvil says {theirs}")),
    }
}

/// A quantity.
///
/// # Errors
/// When it is none, or over 64 bits.
pub fn number(value: &Value) -> Result<u64> {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or_else(|| eyre!("{value} is no quantity"))
}
