//! Tagged Base64: `TAG~` and the base64url, without padding, of the bytes and a checksum.
//!
//! The checksum is CRC-8 (polynomial 7, start 0) over tag and bytes, exclusive-or the number of bytes.
//! Source: the format of the `tagged-base64` crate; the examples of its README are the vectors of the test.

use super::shapes::{from_base64_url, to_base64_url};
use crate::extract::Name;
use alloy_primitives::B256;

/// A transaction by its hash: `TX~…`, or hex digits as everywhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TransactionHash(pub B256);

/// A block by its digest: `BLOCK~…`, or hex digits as everywhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockHash(pub B256);

impl Name for TransactionHash {
    const WHAT: &'static str = "transaction hash";
    const ACCEPTED: &'static str = "TX~ and tagged base64 of 32 bytes, or 64 hex digits";

    fn read(text: &str) -> Option<Self> {
        hash("TX", text).map(Self)
    }
}

impl Name for BlockHash {
    const WHAT: &'static str = "block hash";
    const ACCEPTED: &'static str = "BLOCK~ and tagged base64 of 32 bytes, or 64 hex digits";

    fn read(text: &str) -> Option<Self> {
        hash("BLOCK", text).map(Self)
    }
}

fn hash(tag: &str, text: &str) -> Option<B256> {
    match text.contains('~') {
        true => B256::try_from(read(tag, text)?.as_slice()).ok(),
        false => B256::read(text),
    }
}

/// `TAG~…` of these bytes.
pub(super) fn write(tag: &str, bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    format!("{tag}~{}", to_base64_url([bytes, &[checksum(tag, bytes)]].concat()))
}

/// The bytes of `TAG~…`.
fn read(tag: &str, text: &str) -> Option<Vec<u8>> {
    let mut bytes = from_base64_url(text.strip_prefix(tag)?.strip_prefix('~')?)?;
    let sum = bytes.pop()?;
    (sum == checksum(tag, &bytes)).then_some(bytes)
}

fn checksum(tag: &str, bytes: &[u8]) -> u8 {
    let step =
        |sum: u8, byte: &u8| (0..8).fold(sum ^ byte, |sum, _| if sum & 0x80 == 0 { sum << 1 } else { (sum << 1) ^ 7 });
    tag.as_bytes().iter().chain(bytes).fold(0, step) ^ bytes.len() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_examples_read_and_write() {
        for (tag, value, text) in [("TX", "Beautiful", "TX~QmVhdXRpZnVsEA"), ("LA", "Home", "LA~SG9tZbo")] {
            assert_eq!(write(tag, value), text);
            assert_eq!(read(tag, text).unwrap(), value.as_bytes());
        }
    }

    #[test]
    fn a_changed_character_or_another_tag_is_refused() {
        let hash = B256::repeat_byte(7);
        let text = write("TX", hash);
        assert_eq!(TransactionHash::read(&text), Some(TransactionHash(hash)));
        assert_eq!(TransactionHash::read(&hash.to_string()), Some(TransactionHash(hash)));
        assert_eq!(BlockHash::read(&text), None);
        assert_eq!(BlockHash::read(&write("BLOCK", hash)), Some(BlockHash(hash)));
        for place in 3..text.len() {
            let other = if text.as_bytes()[place] == b'A' { "B" } else { "A" };
            let changed = [&text[..place], other, &text[place + 1..]].concat();
            assert_eq!(TransactionHash::read(&changed), None, "{changed}");
        }
        assert_eq!(TransactionHash::read(&write("TX", [7; 31])), None);
    }
}
