//! Whether a header is the one that a hash names.
//!
//! A block hash is the Keccak-256 of the RLP of its header (Ethereum Yellow Paper, section 4.4.3); with the header
//! checked, its state root can be trusted as far as the hash is.

use alloy_consensus::Header;
use alloy_primitives::B256;

/// Why a header is not the one asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Another header, or a changed field.
    #[error("header of block {number} hashes to {computed}, expected {expected}")]
    Hash {
        /// Block number in the header.
        number: u64,
        /// Recomputed.
        computed: B256,
        /// Asked for.
        expected: B256,
    },
    /// Not the child of the header it should follow.
    #[error("block {number} names parent {parent}, expected {expected}")]
    Parent {
        /// Block number in the header.
        number: u64,
        /// Parent it names.
        parent: B256,
        /// Hash of the block before it.
        expected: B256,
    },
}

/// `Ok` when `header` hashes to `expected`.
pub fn verify(header: &Header, expected: B256) -> Result<(), HeaderError> {
    let computed = header.hash_slow();
    if computed != expected {
        return Err(HeaderError::Hash { number: header.number, computed, expected });
    }
    Ok(())
}

/// `Ok` when `header` follows directly on the block with hash `parent`.
pub fn verify_parent(header: &Header, parent: B256) -> Result<(), HeaderError> {
    if header.parent_hash != parent {
        return Err(HeaderError::Parent { number: header.number, parent: header.parent_hash, expected: parent });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{U256, keccak256};

    fn header() -> Header {
        Header { number: 9, timestamp: 1_700_000_000, base_fee_per_gas: Some(7), ..Header::default() }
    }

    #[test]
    fn a_header_has_the_hash_of_its_encoding() {
        let expected = keccak256(alloy_rlp::encode(header()));
        assert_eq!(verify(&header(), expected), Ok(()));
    }

    #[test]
    fn changing_any_field_changes_the_hash() {
        let expected = header().hash_slow();
        let changes: [fn(&mut Header); 6] = [
            |h| h.state_root = B256::repeat_byte(1),
            |h| h.receipts_root = B256::repeat_byte(1),
            |h| h.number += 1,
            |h| h.mix_hash = B256::repeat_byte(1),
            |h| h.difficulty = U256::from(1),
            |h| h.base_fee_per_gas = None,
        ];
        for change in changes {
            let mut changed = header();
            change(&mut changed);
            let computed = changed.hash_slow();
            let number = changed.number;
            assert_eq!(verify(&changed, expected), Err(HeaderError::Hash { number, computed, expected }));
        }
    }

    #[test]
    fn a_child_names_its_parent() {
        let parent = header().hash_slow();
        let child = Header { number: 10, parent_hash: parent, ..header() };
        assert_eq!(verify_parent(&child, parent), Ok(()));
        let other = B256::repeat_byte(3);
        assert_eq!(verify_parent(&child, other), Err(HeaderError::Parent { number: 10, parent, expected: other }));
    }
}
