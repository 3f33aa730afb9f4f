//! Whether a bundle of transactions of several namespaces was included whole.
//!
//! A bundle is a list of (namespace, transaction) that stands in a block as a whole or not at all, and contiguous:
//! nothing comes between its transactions in any namespace, nor in the order of the block. The header commits to all
//! bundles of the block:
//!
//! ```text
//! bundle = SHA-256("kumo/bundle/v1" ‖ hash of each transaction)
//! leaf   = keccak256(0x04 ‖ bundle ‖ (namespace ‖ index in it)…)
//! root   = keccak256(0x05 ‖ number of bundles ‖ root of the leaves)
//! ```
//!
//! A quorum votes only for a block whose bundles stand where they say. What is proven is that all were included
//! together; that they are executed together is the agreement of the rollups that read them.

use crate::merkle;
use crate::namespace::{TRANSACTION_BYTES_MAX, TRANSACTIONS_MAX, counted_root, transaction_hash};
use crate::reader::Reader;
use alloy_primitives::{B256, Bytes, Keccak256};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Least transactions of a bundle; one alone is a transaction.
pub const MEMBERS_MIN: usize = 2;
/// Most transactions of a bundle.
pub const MEMBERS_MAX: usize = 64;
/// Bytes of all transactions of a bundle.
pub const BUNDLE_BYTES_MAX: usize = TRANSACTION_BYTES_MAX;
/// Bundles in one block.
pub const BUNDLES_MAX: u32 = 4_096;

const DOMAIN: &[u8] = b"kumo/bundle/v1";
const LEAF: u8 = 0x04;
const ROOT: u8 = 0x05;

/// Why a proof shows nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Not the encoding of a proof.
    #[error("{0} bytes do not decode as a proof of a bundle")]
    Malformed(usize),
    /// Too few or too many transactions or bytes.
    #[error(
        "a bundle of {members} transactions with {bytes} bytes, allowed are {MEMBERS_MIN} to {MEMBERS_MAX}, none empty, \
         with {BUNDLE_BYTES_MAX} bytes"
    )]
    Size {
        /// Number of transactions.
        members: usize,
        /// Bytes of all.
        bytes: usize,
    },
    /// Its transactions in one namespace do not follow on each other.
    #[error("transactions of the bundle in namespace {namespace} are not contiguous at index {index}")]
    Scattered {
        /// Namespace.
        namespace: u64,
        /// Index of the one that does not follow.
        index: u32,
    },
    /// More bundles than a block may have, or a place beyond them.
    #[error("place {index} among {bundles} bundles, a block has at most {BUNDLES_MAX}")]
    Place {
        /// Claimed position.
        index: u32,
        /// Claimed number.
        bundles: u32,
    },
    /// The path has the wrong number of hashes.
    #[error("a path of {0} hashes does not fit its place")]
    Path(usize),
    /// The evidence gives another root.
    #[error("the proof gives root {computed}, the header has {committed}")]
    Root {
        /// Recomputed.
        computed: B256,
        /// In the header.
        committed: B256,
    },
}

/// Where a transaction stands in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Namespace.
    pub namespace: u64,
    /// Position among the transactions of the namespace in the block.
    pub index: u32,
}

/// A transaction of a bundle and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Where it stands.
    pub position: Position,
    /// The transaction.
    pub transaction: Bytes,
}

/// Proof that a bundle is in a block as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleProof {
    /// Bundles in the block.
    pub bundles: u32,
    /// Position of the bundle among them.
    pub index: u32,
    /// Its transactions, in its order.
    pub members: Vec<Member>,
    /// Siblings of its leaf, leaf to root.
    pub path: Vec<B256>,
}

/// Name of a bundle: over the hashes of its transactions, which name their namespaces, in order.
pub fn bundle_hash<'a>(transactions: impl IntoIterator<Item = &'a B256>) -> B256 {
    let mut hasher = Sha256::new_with_prefix(DOMAIN);
    transactions.into_iter().for_each(|hash| hasher.update(hash));
    B256::from_slice(&hasher.finalize())
}

/// Leaf of a bundle whose transactions stand at `positions`, in its order.
pub fn leaf(bundle: &B256, positions: impl IntoIterator<Item = Position>) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update([LEAF]);
    hasher.update(bundle);
    for Position { namespace, index } in positions {
        hasher.update(namespace.to_be_bytes());
        hasher.update(index.to_be_bytes());
    }
    hasher.finalize()
}

/// What a header commits to: the root over the leaves of `bundles` bundles.
pub fn bundles_root(bundles: u32, tree: &B256) -> B256 {
    counted_root(ROOT, bundles, tree)
}

/// The first of `positions` that does not follow on the one before it in its namespace.
pub fn scattered(positions: &[Position]) -> Option<Position> {
    let follows = |place: usize| {
        let position = positions[place];
        let before = positions[..place].iter().rev().find(|before| before.namespace == position.namespace);
        before.is_none_or(|before| before.index.checked_add(1) == Some(position.index))
    };
    (0..positions.len()).find(|place| !follows(*place)).map(|place| positions[place])
}

/// Whether a bundle of transactions with these lengths is within the limits.
pub fn check_size(lengths: impl ExactSizeIterator<Item = usize> + Clone) -> Result<(), BundleError> {
    let (members, bytes) = (lengths.len(), lengths.clone().sum());
    let empty = lengths.into_iter().any(|length| length == 0);
    if empty || !(MEMBERS_MIN..=MEMBERS_MAX).contains(&members) || bytes > BUNDLE_BYTES_MAX {
        return Err(BundleError::Size { members, bytes });
    }
    Ok(())
}

impl BundleProof {
    /// Its transactions, in order, if all of them stand together in the block whose header has the bundles root
    /// `committed`.
    pub fn verify(&self, committed: B256) -> Result<&[Member], BundleError> {
        let Self { bundles, index, members, path } = self;
        check_size(members.iter().map(|member| member.transaction.len()))?;
        if *bundles > BUNDLES_MAX || index >= bundles {
            return Err(BundleError::Place { index: *index, bundles: *bundles });
        }
        let positions: Vec<Position> = members.iter().map(|member| member.position).collect();
        if let Some(Position { namespace, index }) = scattered(&positions) {
            return Err(BundleError::Scattered { namespace, index });
        }
        let leaf = leaf(&self.hash(), positions);
        let tree = merkle::climb(leaf, *index, *bundles, path).ok_or(BundleError::Path(path.len()))?;
        let computed = bundles_root(*bundles, &tree);
        if computed != committed {
            return Err(BundleError::Root { computed, committed });
        }
        Ok(members)
    }

    /// Name of the bundle, as its submission answered it.
    pub fn hash(&self) -> B256 {
        let hashes: Vec<B256> = self
            .members
            .iter()
            .map(|member| transaction_hash(member.position.namespace, &member.transaction))
            .collect();
        bundle_hash(&hashes)
    }

    /// Canonical encoding. A proof that verifies decodes from it again.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = [self.bundles, self.index].map(u32::to_be_bytes).concat();
        bytes.extend((self.members.len() as u16).to_be_bytes());
        for Member { position, transaction } in &self.members {
            bytes.extend(position.namespace.to_be_bytes());
            bytes.extend(position.index.to_be_bytes());
            bytes.extend((transaction.len() as u32).to_be_bytes());
            bytes.extend(transaction);
        }
        bytes.extend(self.path.iter().flatten());
        bytes
    }

    /// Decodes exactly one proof; allocates no more than the bytes given take.
    pub fn decode(bytes: &[u8]) -> Result<Self, BundleError> {
        Self::read(Reader(bytes)).ok_or(BundleError::Malformed(bytes.len()))
    }

    fn read(mut reader: Reader<'_>) -> Option<Self> {
        let (bundles, index) = (reader.u32()?, reader.u32()?);
        let count = usize::from(reader.u16()?);
        if bundles > BUNDLES_MAX || index >= bundles || !(MEMBERS_MIN..=MEMBERS_MAX).contains(&count) {
            return None;
        }
        let mut members = Vec::with_capacity(count);
        for _ in 0..count {
            let position = Position { namespace: reader.u64()?, index: reader.u32()? };
            let length = reader.u32()? as usize;
            if position.index >= TRANSACTIONS_MAX || length == 0 || length > BUNDLE_BYTES_MAX {
                return None;
            }
            members.push(Member { position, transaction: reader.bytes(length)? });
        }
        let path = reader.words(merkle::path_length(index, bundles))?;
        reader.end(Self { bundles, index, members, path })
    }
}

#[cfg(test)]
mod tests;
