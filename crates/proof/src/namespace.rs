//! Whether these are all the transactions of a namespace in a block, or one of them, or there are none.
//!
//! The header of a block commits to a tree of two levels. Below, the transactions of one namespace under their root;
//! above, one leaf per namespace, ascending by namespace:
//!
//! ```text
//! transaction  = SHA-256(namespace ‖ bytes)                       node = keccak256(0x01 ‖ left ‖ right)
//! leaf         = keccak256(0x02 ‖ namespace ‖ root of its transactions ‖ their number ‖ start ‖ end)
//! root         = keccak256(0x03 ‖ number of namespaces ‖ root of the leaves)
//! ```
//!
//! `start` and `end` are where the namespace stands in the payload. Whoever has all transactions recomputes the leaf,
//! so nothing can be left out, added, moved or reordered. That a namespace is not there is shown by its two neighbours.
//! `docs/formats.md` has the bytes; `contracts/src/NamespaceProof.sol` decides the same.
//! Source: RFC 9162 for the shape; Al-Bassam, LazyLedger (2019), for completeness by neighbours.

use crate::certificate::{self, CertificateError, Header};
use crate::merkle;
use crate::reader::Reader;
use alloy_primitives::{B256, Bytes, Keccak256};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Namespaces with transactions in one block.
pub const NAMESPACES_MAX: u32 = 4_096;
/// Transactions in one block, over all namespaces.
pub const TRANSACTIONS_MAX: u32 = 131_072;
/// Bytes of one transaction (1..=1 MiB).
pub const TRANSACTION_BYTES_MAX: usize = 1 << 20;
/// Bytes of the encoded payload of one block.
pub const PAYLOAD_BYTES_MAX: usize = 8 << 20;
/// Bytes of an encoded [`NamespaceProof`] beyond the transactions and the table of their ends.
pub const EVIDENCE_BYTES_MAX: usize = 1024;

/// Bytes of an encoded [`NamespaceLeaf`].
const LEAF_BYTES: usize = 8 + 32 + 3 * 4;
const LEAF: u8 = 0x02;
const ROOT: u8 = 0x03;

const ABSENT: u8 = 0;
const PRESENT: u8 = 1;

// Both neighbours with their paths, between 4,096 namespaces.
const _: () = assert!(9 + 2 * (LEAF_BYTES + 32 * NAMESPACES_MAX.ilog2() as usize) <= EVIDENCE_BYTES_MAX);
const _: () = assert!(TRANSACTION_BYTES_MAX < PAYLOAD_BYTES_MAX && PAYLOAD_BYTES_MAX <= u32::MAX as usize);

/// Why a proof shows nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamespaceError {
    /// Not the encoding of a proof.
    #[error("{0} bytes do not decode as a proof")]
    Malformed(usize),
    /// More namespaces than a block may have, or a place beyond them.
    #[error("place {index} among {namespaces} namespaces, a block has at most {NAMESPACES_MAX}")]
    Place {
        /// Claimed position among the namespaces.
        index: u32,
        /// Claimed number of namespaces.
        namespaces: u32,
    },
    /// The transactions cannot be those of one namespace: none, too many, an empty or too large one.
    #[error("{count} transactions with {bytes} bytes cannot be those of one namespace in a block")]
    Transactions {
        /// Number of transactions.
        count: usize,
        /// Bytes of all.
        bytes: usize,
    },
    /// The proof is about another transaction.
    #[error("the proof is about transaction {found}, asked for was {asked}")]
    Index {
        /// In the proof.
        found: u32,
        /// Asked for.
        asked: u32,
    },
    /// The neighbours do not enclose the namespace, or one is missing.
    #[error("the neighbours given do not show that namespace {0} is absent")]
    Neighbours(u64),
    /// A path has the wrong number of hashes.
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
    /// The header is not final.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// What the upper level of the tree says about one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceLeaf {
    /// Namespace.
    pub namespace: u64,
    /// Merkle root over the hashes of its transactions.
    pub transactions_root: B256,
    /// Number of its transactions (1..=131,072).
    pub transactions: u32,
    /// First byte of its section in the payload.
    pub start: u32,
    /// First byte after its section.
    pub end: u32,
}

/// A namespace beside the one asked for, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbour {
    /// Its leaf.
    pub leaf: NamespaceLeaf,
    /// Siblings, leaf to root.
    pub path: Vec<B256>,
}

/// The two possible answers about a namespace in a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Evidence {
    /// It has transactions.
    Present {
        /// Position among the namespaces of the block.
        index: u32,
        /// First byte of its section in the payload.
        start: u32,
        /// Siblings of its leaf, leaf to root.
        path: Vec<B256>,
        /// All its transactions, in order.
        transactions: Vec<Bytes>,
    },
    /// It has none.
    Absent {
        /// Namespaces of the block that are below it.
        index: u32,
        /// The nearest one below, number `index - 1`; `None` if `index` is 0.
        below: Option<Neighbour>,
        /// The nearest one above, number `index`; `None` if all are below.
        above: Option<Neighbour>,
    },
}

/// Proof of all transactions of a namespace in a block, or that there are none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceProof {
    /// Namespaces with transactions in the block (0..=4,096).
    pub namespaces: u32,
    /// The answer.
    pub evidence: Evidence,
}

/// Proof that one transaction is in a block, at a known place of its namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransactionProof {
    /// Namespaces with transactions in the block.
    pub namespaces: u32,
    /// Position of its namespace among them.
    pub place: u32,
    /// Siblings of the namespace's leaf, leaf to root.
    pub path: Vec<B256>,
    /// First byte of the namespace's section in the payload.
    pub start: u32,
    /// First byte after it.
    pub end: u32,
    /// Transactions of the namespace.
    pub transactions: u32,
    /// Position of the transaction among them.
    pub index: u32,
    /// Siblings of the transaction's hash, leaf to root.
    pub transaction_path: Vec<B256>,
    /// The transaction.
    pub transaction: Bytes,
}

/// Hash of a transaction: SHA-256 over the namespace (8 bytes, big endian) and the payload.
pub fn transaction_hash(namespace: u64, payload: &[u8]) -> B256 {
    B256::from_slice(&Sha256::new().chain_update(namespace.to_be_bytes()).chain_update(payload).finalize())
}

/// Root over the transactions of a namespace in a block, 32 zeros without any.
pub fn transactions_root(namespace: u64, transactions: &[Bytes]) -> B256 {
    merkle::root(transactions.iter().map(|transaction| transaction_hash(namespace, transaction)).collect())
}

/// What a header commits to: the root over the leaves of `namespaces` namespaces.
pub fn namespaces_root(namespaces: u32, tree: &B256) -> B256 {
    counted_root(ROOT, namespaces, tree)
}

/// Bytes that the transactions of one namespace take in the payload, with the table of their ends; `None` if they
/// cannot stand there.
pub fn section_bytes(lengths: impl IntoIterator<Item = usize>) -> Option<u32> {
    let (mut count, mut bytes) = (0u32, 4usize);
    for length in lengths {
        count += 1;
        bytes += 4 + length;
        let fits = (1..=TRANSACTION_BYTES_MAX).contains(&length) && count <= TRANSACTIONS_MAX;
        if !fits || bytes > PAYLOAD_BYTES_MAX {
            return None;
        }
    }
    (count > 0).then_some(bytes as u32)
}

pub(crate) fn counted_root(domain: u8, count: u32, tree: &B256) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update([domain]);
    hasher.update(count.to_be_bytes());
    hasher.update(tree);
    hasher.finalize()
}

impl NamespaceLeaf {
    /// The leaf in the upper tree.
    pub fn hash(&self) -> B256 {
        let mut hasher = Keccak256::new();
        hasher.update([LEAF]);
        hasher.update(self.encode());
        hasher.finalize()
    }

    fn encode(&self) -> [u8; LEAF_BYTES] {
        let mut bytes = [0; LEAF_BYTES];
        bytes[..8].copy_from_slice(&self.namespace.to_be_bytes());
        bytes[8..40].copy_from_slice(self.transactions_root.as_slice());
        bytes[40..44].copy_from_slice(&self.transactions.to_be_bytes());
        bytes[44..48].copy_from_slice(&self.start.to_be_bytes());
        bytes[48..].copy_from_slice(&self.end.to_be_bytes());
        bytes
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (namespace, transactions_root) = (reader.u64()?, reader.word()?);
        let (transactions, start, end) = (reader.u32()?, reader.u32()?, reader.u32()?);
        Some(Self { namespace, transactions_root, transactions, start, end })
    }
}

/// Checks that `leaf` is number `index` of `namespaces` under the root in a header.
fn check_leaf(
    leaf: &NamespaceLeaf,
    index: u32,
    namespaces: u32,
    path: &[B256],
    committed: B256,
) -> Result<(), NamespaceError> {
    if namespaces > NAMESPACES_MAX || index >= namespaces {
        return Err(NamespaceError::Place { index, namespaces });
    }
    let tree = merkle::climb(leaf.hash(), index, namespaces, path).ok_or(NamespaceError::Path(path.len()))?;
    check_root(namespaces_root(namespaces, &tree), committed)
}

fn check_root(computed: B256, committed: B256) -> Result<(), NamespaceError> {
    if computed != committed {
        return Err(NamespaceError::Root { computed, committed });
    }
    Ok(())
}

impl NamespaceProof {
    /// All transactions of `namespace`, in order, in the block whose header has the namespaces root `committed`; empty
    /// if it has none there.
    pub fn verify(&self, committed: B256, namespace: u64) -> Result<&[Bytes], NamespaceError> {
        match &self.evidence {
            Evidence::Present { index, start, path, transactions } => {
                let leaf = leaf_of(namespace, *start, transactions)?;
                check_leaf(&leaf, *index, self.namespaces, path, committed)?;
                Ok(transactions)
            }
            Evidence::Absent { index, below, above } => {
                self.check_absent(committed, namespace, *index, [below.as_ref(), above.as_ref()])?;
                Ok(&[])
            }
        }
    }

    fn check_absent(
        &self,
        committed: B256,
        namespace: u64,
        index: u32,
        [below, above]: [Option<&Neighbour>; 2],
    ) -> Result<(), NamespaceError> {
        let namespaces = self.namespaces;
        if namespaces > NAMESPACES_MAX || index > namespaces {
            return Err(NamespaceError::Place { index, namespaces });
        }
        let enclosed = below.is_none_or(|below| below.leaf.namespace < namespace)
            && above.is_none_or(|above| above.leaf.namespace > namespace);
        if !enclosed || below.is_some() != (index > 0) || above.is_some() != (index < namespaces) {
            return Err(NamespaceError::Neighbours(namespace));
        }
        if namespaces == 0 {
            return check_root(namespaces_root(0, &B256::ZERO), committed);
        }
        if let Some(Neighbour { leaf, path }) = below {
            check_leaf(leaf, index - 1, namespaces, path, committed)?;
        }
        if let Some(Neighbour { leaf, path }) = above {
            check_leaf(leaf, index, namespaces, path, committed)?;
        }
        Ok(())
    }

    /// Canonical encoding. A proof that verifies decodes from it again.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.namespaces.to_be_bytes().to_vec();
        match &self.evidence {
            Evidence::Present { index, start, path, transactions } => {
                bytes.push(PRESENT);
                bytes.extend(index.to_be_bytes());
                bytes.extend(start.to_be_bytes());
                bytes.extend(path.iter().flatten());
                write_section(&mut bytes, transactions);
            }
            Evidence::Absent { index, below, above } => {
                bytes.push(ABSENT);
                bytes.extend(index.to_be_bytes());
                for neighbour in [below, above].into_iter().flatten() {
                    bytes.extend(neighbour.leaf.encode());
                    bytes.extend(neighbour.path.iter().flatten());
                }
            }
        }
        bytes
    }

    /// Decodes exactly one proof; allocates no more than the bytes given take.
    pub fn decode(bytes: &[u8]) -> Result<Self, NamespaceError> {
        let malformed = NamespaceError::Malformed(bytes.len());
        if bytes.len() > EVIDENCE_BYTES_MAX + PAYLOAD_BYTES_MAX {
            return Err(malformed);
        }
        Self::read(Reader(bytes)).ok_or(malformed)
    }

    fn read(mut reader: Reader<'_>) -> Option<Self> {
        let namespaces = reader.u32().filter(|namespaces| *namespaces <= NAMESPACES_MAX)?;
        let [tag] = reader.array()?;
        let index = reader.u32()?;
        let evidence = match tag {
            PRESENT if index < namespaces => {
                let start = reader.u32()?;
                let path = reader.words(merkle::path_length(index, namespaces))?;
                Evidence::Present { index, start, path, transactions: read_section(&mut reader)? }
            }
            ABSENT if index <= namespaces => {
                let mut neighbour = |place: u32| {
                    let leaf = NamespaceLeaf::read(&mut reader)?;
                    Some(Neighbour { leaf, path: reader.words(merkle::path_length(place, namespaces))? })
                };
                let below = if index > 0 { Some(neighbour(index - 1)?) } else { None };
                let above = if index < namespaces { Some(neighbour(index)?) } else { None };
                Evidence::Absent { index, below, above }
            }
            _ => return None,
        };
        reader.end(Self { namespaces, evidence })
    }
}

/// The leaf of a namespace with these transactions.
fn leaf_of(namespace: u64, start: u32, transactions: &[Bytes]) -> Result<NamespaceLeaf, NamespaceError> {
    let bytes = section_bytes(transactions.iter().map(|transaction| transaction.len()));
    let end = bytes.and_then(|bytes| start.checked_add(bytes));
    let Some(end) = end else {
        let bytes = transactions.iter().map(|transaction| transaction.len()).sum();
        return Err(NamespaceError::Transactions { count: transactions.len(), bytes });
    };
    let transactions_root = transactions_root(namespace, transactions);
    Ok(NamespaceLeaf { namespace, transactions_root, transactions: transactions.len() as u32, start, end })
}

/// A section as it stands in the payload: number of transactions, their cumulative ends, their bytes.
pub(crate) fn write_section(bytes: &mut Vec<u8>, transactions: &[Bytes]) {
    bytes.extend((transactions.len() as u32).to_be_bytes());
    let mut end = 0u32;
    for transaction in transactions {
        end = end.wrapping_add(transaction.len() as u32);
        bytes.extend(end.to_be_bytes());
    }
    transactions.iter().for_each(|transaction| bytes.extend(transaction));
}

pub(crate) fn read_section(reader: &mut Reader<'_>) -> Option<Vec<Bytes>> {
    let count = reader.u32().filter(|count| (1..=TRANSACTIONS_MAX).contains(count))?;
    let ends = reader.slice(count as usize * 4)?;
    let mut start = 0;
    let mut transactions = Vec::with_capacity(count as usize);
    for end in ends.chunks_exact(4) {
        let end = u32::from_be_bytes(end.try_into().ok()?);
        let length = end.checked_sub(start)? as usize;
        if length == 0 || length > TRANSACTION_BYTES_MAX {
            return None;
        }
        transactions.push(reader.bytes(length)?);
        start = end;
    }
    Some(transactions)
}

impl TransactionProof {
    /// Transaction number `index` of `namespace` in the block whose header has the namespaces root `committed`.
    pub fn verify(&self, committed: B256, namespace: u64, index: u32) -> Result<&Bytes, NamespaceError> {
        if self.index != index {
            return Err(NamespaceError::Index { found: self.index, asked: index });
        }
        let bytes = self.transaction.len();
        if bytes == 0 || bytes > TRANSACTION_BYTES_MAX || self.transactions > TRANSACTIONS_MAX {
            return Err(NamespaceError::Transactions { count: self.transactions as usize, bytes });
        }
        let hash = transaction_hash(namespace, &self.transaction);
        let transactions_root = merkle::climb(hash, index, self.transactions, &self.transaction_path)
            .ok_or(NamespaceError::Path(self.transaction_path.len()))?;
        let Self { transactions, start, end, .. } = *self;
        let leaf = NamespaceLeaf { namespace, transactions_root, transactions, start, end };
        check_leaf(&leaf, self.place, self.namespaces, &self.path, committed)?;
        Ok(&self.transaction)
    }

    /// Canonical encoding. A proof that verifies decodes from it again.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = [self.namespaces, self.place].map(u32::to_be_bytes).concat();
        bytes.extend(self.path.iter().flatten());
        bytes.extend([self.start, self.end, self.transactions, self.index].map(u32::to_be_bytes).concat());
        bytes.extend(self.transaction_path.iter().flatten());
        bytes.extend(&self.transaction);
        bytes
    }

    /// Decodes exactly one proof; allocates no more than the bytes given take.
    pub fn decode(bytes: &[u8]) -> Result<Self, NamespaceError> {
        let malformed = NamespaceError::Malformed(bytes.len());
        if bytes.len() > 2 * EVIDENCE_BYTES_MAX + TRANSACTION_BYTES_MAX {
            return Err(malformed);
        }
        Self::read(Reader(bytes)).ok_or(malformed)
    }

    fn read(mut reader: Reader<'_>) -> Option<Self> {
        let (namespaces, place) = (reader.u32()?, reader.u32()?);
        if namespaces > NAMESPACES_MAX || place >= namespaces {
            return None;
        }
        let path = reader.words(merkle::path_length(place, namespaces))?;
        let (start, end, transactions, index) = (reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?);
        if transactions > TRANSACTIONS_MAX || index >= transactions {
            return None;
        }
        let transaction_path = reader.words(merkle::path_length(index, transactions))?;
        let length = reader.0.len();
        let transaction = reader.bytes(length).filter(|bytes| (1..=TRANSACTION_BYTES_MAX).contains(&bytes.len()))?;
        Some(Self { namespaces, place, path, start, end, transactions, index, transaction_path, transaction })
    }
}

/// All transactions of `namespace` in a block, for a reader that trusts nothing but the keys of the committee: checks
/// that a quorum of `committee` (keys strictly ascending) finalised `header`, and then the proof. The answer is
/// complete.
pub fn read<'a>(
    (chain_id, committee): (u64, &[B256]),
    (header, certificate): (&[u8], &[u8]),
    namespace: u64,
    proof: &'a NamespaceProof,
) -> Result<(Header, &'a [Bytes]), NamespaceError> {
    let header = certificate::verify(chain_id, committee, header, certificate)?;
    let transactions = proof.verify(header.namespaces_root, namespace)?;
    Ok((header, transactions))
}

#[cfg(test)]
mod tests;
