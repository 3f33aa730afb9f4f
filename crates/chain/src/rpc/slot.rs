//! A storage slot as callers write it: up to 32 bytes of hex, with or without leading zeros.

use alloy_primitives::{B256, U256};
use alloy_serde::JsonStorageKey;
use serde::{Deserialize, Deserializer, de::Error};

/// Hex digits of the longest key.
const DIGITS_MAX: usize = 64;

/// A storage slot; keeps how it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(pub(super) JsonStorageKey);

impl Slot {
    /// The key in the trie, before hashing.
    pub(super) fn as_b256(&self) -> B256 {
        self.0.as_b256()
    }

    /// The number of the slot.
    pub(super) fn number(&self) -> U256 {
        self.as_b256().into()
    }
}

impl<'de> Deserialize<'de> for Slot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").unwrap_or(&text);
        if digits.len() > DIGITS_MAX {
            return Err(D::Error::custom(format!("storage key too long (want at most 32 bytes): {text:?}")));
        }
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(D::Error::custom(format!("invalid hex in storage key: {text:?}")));
        }
        let key = serde_json::from_value(serde_json::Value::String(text)).map_err(D::Error::custom)?;
        Ok(Self(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_has_at_most_32_bytes_of_hex() {
        let read = |text: &str| serde_json::from_value::<Slot>(json!(text));
        assert_eq!(read("0x0").unwrap().number(), U256::ZERO);
        assert_eq!(read(&format!("0x{}1", "0".repeat(63))).unwrap().number(), U256::from(1));
        for bad in ["0x", "0xasdf", "", &format!("0x{}", "0".repeat(65))] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
