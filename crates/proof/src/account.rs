//! What a namespace owes for what was ordered, as the network has committed to it.
//!
//! The block that opens an epoch has, as its first transaction in namespace 0, a root over the accounts of all namespaces
//! after the block before it. Every validator recomputes it before it votes, so a final block is witness to it:
//!
//! ```text
//! certificate ─▶ header ─▶ namespaces root ─▶ transaction 0 of namespace 0 = 8 ‖ root ─▶ account
//! leaf = keccak256(0x07 ‖ account)                    root = keccak256(0x08 ‖ number of accounts ‖ root of leaves)
//! account = namespace ‖ since ‖ height ‖ transactions ‖ bytes ‖ base fee (8 each) ‖ owed (16) ‖ inputs (32)
//! inputs after a block = keccak256(0x0a ‖ inputs before ‖ height (8) ‖ root of its transactions ‖ their number (4))
//! ```
//!
//! `inputs` names everything that was ordered in the namespace since its first block, in order: 32 bytes that a contract of
//! another chain can check data against. `contracts/src/RollupRegistry.sol` decides the same before it charges a namespace, and
//! `contracts/src/l1/RollupInbox.sol` before it takes a batch.
//! Source: RFC 9162 for the shape.

use crate::certificate::Header;
use crate::merkle::{self, Tree};
use crate::namespace::{NamespaceError, TransactionProof, counted_root};
use crate::reader::Reader;
use alloy_primitives::{B256, Keccak256};

/// Accounts under one root.
pub const ACCOUNTS_MAX: u32 = 65_536;
/// First byte of the transaction in namespace 0 that holds the root.
pub const COMMITMENT_TAG: u8 = 8;
/// Bytes of an encoded [`AccountProof`].
pub const PROOF_BYTES_MAX: usize = 8 + 32 * 16 + ACCOUNT_BYTES;
/// Namespace of the protocol itself.
const SYSTEM: u64 = 0;
/// Bytes of an encoded [`Account`].
pub const ACCOUNT_BYTES: usize = 6 * 8 + 16 + 32;

const LEAF: u8 = 0x07;
const ROOT: u8 = 0x08;
const INPUTS: u8 = 0x0a;

const _: () = assert!(ACCOUNTS_MAX == 1 << 16);

/// Why a proof shows no account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// Not the encoding of a proof.
    #[error("{0} bytes do not decode as a proof of an account")]
    Malformed(usize),
    /// A place beyond the accounts, or a path of another length than the place has.
    #[error("place {index} among {accounts} accounts with a path of {path} hashes")]
    Place {
        /// Claimed position.
        index: u32,
        /// Claimed number of accounts.
        accounts: u32,
        /// Hashes in the path.
        path: usize,
    },
    /// The account gives another root.
    #[error("the account gives root {computed}, the block has {committed}")]
    Root {
        /// Recomputed.
        computed: B256,
        /// In the block.
        committed: B256,
    },
    /// The first transaction of namespace 0 is something else.
    #[error("transaction 0 of namespace 0 in block {0} commits to no accounts")]
    NoCommitment(u64),
    /// The transaction is not in the block.
    #[error(transparent)]
    Transaction(#[from] NamespaceError),
}

/// What a namespace used and owes, from its first transaction on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Namespace.
    pub namespace: u64,
    /// First block that is counted.
    pub since: u64,
    /// Newest block with transactions of the namespace.
    pub height: u64,
    /// Transactions ordered.
    pub transactions: u64,
    /// Bytes that they took in payloads, tables included.
    pub bytes: u64,
    /// Base fee after the block of `height`, in wei per byte.
    pub base_fee: u64,
    /// Fees for all of it, in wei.
    pub owed: u128,
    /// Name of everything that was ordered since, see [`extend_inputs`]; zero before the first block.
    pub inputs: B256,
}

/// Where an account stands under a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountProof {
    /// Accounts under the root (1..=65,536).
    pub accounts: u32,
    /// Position of this one, ascending by namespace.
    pub index: u32,
    /// Siblings, leaf to root.
    pub path: Vec<B256>,
    /// The account.
    pub account: Account,
}

/// What the transaction in namespace 0 has behind its tag.
pub fn accounts_root(accounts: u32, tree: &B256) -> B256 {
    counted_root(ROOT, accounts, tree)
}

/// The name of what was ordered up to and with the block of `height`, in which the namespace has so many transactions under this
/// root; `inputs` is the one before.
pub fn extend_inputs(inputs: &B256, height: u64, transactions_root: &B256, transactions: u32) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update([INPUTS]);
    hasher.update(inputs);
    hasher.update(height.to_be_bytes());
    hasher.update(transactions_root);
    hasher.update(transactions.to_be_bytes());
    hasher.finalize()
}

/// The tree over accounts, which ascend by namespace.
pub fn tree(accounts: impl IntoIterator<Item = Account>) -> Tree {
    Tree::new(accounts.into_iter().map(|account| account.leaf()).collect())
}

/// The root that the block with this header commits to; `proof` is of the first transaction of namespace 0.
///
/// # Errors
/// When the transaction is not in the block, or is no commitment to accounts.
pub fn committed_root(header: &Header, proof: &TransactionProof) -> Result<B256, AccountError> {
    let transaction = proof.verify(header.namespaces_root, SYSTEM, 0)?;
    match transaction.split_first() {
        Some((&COMMITMENT_TAG, root)) if root.len() == 32 => Ok(B256::from_slice(root)),
        _ => Err(AccountError::NoCommitment(header.height)),
    }
}

impl Account {
    /// Canonical encoding.
    pub fn encode(&self) -> [u8; ACCOUNT_BYTES] {
        let mut bytes = [0; ACCOUNT_BYTES];
        let fields = [self.namespace, self.since, self.height, self.transactions, self.bytes, self.base_fee];
        for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_be_bytes());
        }
        bytes[48..64].copy_from_slice(&self.owed.to_be_bytes());
        bytes[64..].copy_from_slice(self.inputs.as_slice());
        bytes
    }

    /// Decodes exactly one account; any 96 bytes are one.
    pub fn decode(encoded: &[u8; ACCOUNT_BYTES]) -> Self {
        let field = |place: usize| u64::from_be_bytes(std::array::from_fn(|byte| encoded[8 * place + byte]));
        let owed = u128::from_be_bytes(std::array::from_fn(|byte| encoded[48 + byte]));
        let [namespace, since, height, transactions, bytes, base_fee] = std::array::from_fn(field);
        let inputs = B256::from_slice(&encoded[64..]);
        Self { namespace, since, height, transactions, bytes, base_fee, owed, inputs }
    }

    fn leaf(&self) -> B256 {
        let mut hasher = Keccak256::new();
        hasher.update([LEAF]);
        hasher.update(self.encode());
        hasher.finalize()
    }
}

impl AccountProof {
    /// The account, if it stands under `committed`, a root from [`committed_root`].
    ///
    /// # Errors
    /// When it does not.
    pub fn verify(&self, committed: B256) -> Result<&Account, AccountError> {
        let Self { accounts, index, path, account } = self;
        let place = AccountError::Place { index: *index, accounts: *accounts, path: path.len() };
        if *accounts > ACCOUNTS_MAX {
            return Err(place);
        }
        let tree = merkle::climb(account.leaf(), *index, *accounts, path).ok_or(place)?;
        let computed = accounts_root(*accounts, &tree);
        match computed == committed {
            true => Ok(account),
            false => Err(AccountError::Root { computed, committed }),
        }
    }

    /// Canonical encoding: number of accounts (4), position (4), path, account.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = [self.accounts.to_be_bytes(), self.index.to_be_bytes()].concat();
        bytes.extend(self.path.iter().flatten());
        bytes.extend(self.account.encode());
        bytes
    }

    /// Decodes exactly one proof.
    ///
    /// # Errors
    /// When these bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, AccountError> {
        Self::read(Reader(bytes)).ok_or(AccountError::Malformed(bytes.len()))
    }

    fn read(mut reader: Reader<'_>) -> Option<Self> {
        let accounts = reader.u32().filter(|accounts| *accounts <= ACCOUNTS_MAX)?;
        let index = reader.u32().filter(|index| *index < accounts)?;
        let path = reader.words(merkle::path_length(index, accounts))?;
        let account = Account::decode(&reader.array()?);
        reader.end(Self { accounts, index, path, account })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(namespace: u64) -> Account {
        let inputs = extend_inputs(&B256::ZERO, 9, &B256::repeat_byte(5), 3);
        Account { namespace, since: 1, height: 9, transactions: 3, bytes: 400, base_fee: 7, owed: 2_800, inputs }
    }

    /// The proof of each of `count` accounts, and the root.
    fn proofs(count: u32) -> (Vec<AccountProof>, B256) {
        let tree = tree((0..count).map(|n| account(2 + u64::from(n))));
        let proof = |index: u32| AccountProof {
            accounts: count,
            index,
            path: tree.path(index as usize),
            account: account(2 + u64::from(index)),
        };
        ((0..count).map(proof).collect(), accounts_root(count, &tree.root()))
    }

    #[test]
    fn every_account_verifies_after_a_round_trip_and_nothing_else_does() {
        for count in [1, 2, 3, 8, 21] {
            let (proofs, root) = proofs(count);
            for proof in proofs {
                let decoded = AccountProof::decode(&proof.encode()).unwrap();
                assert_eq!(decoded.verify(root), Ok(&proof.account));
                let mut less = proof.clone();
                less.account.owed -= 1;
                assert!(matches!(less.verify(root), Err(AccountError::Root { .. })));
                let moved = AccountProof { index: proof.index + 1, ..proof.clone() };
                assert!(moved.verify(root).is_err());
                let fewer = AccountProof { accounts: count + 1, ..proof };
                assert!(fewer.verify(root).is_err());
            }
        }
    }

    #[test]
    fn the_name_of_the_inputs_depends_on_each_of_them_and_on_what_was_before() {
        let (zero, root) = (B256::ZERO, B256::repeat_byte(5));
        let one = extend_inputs(&zero, 9, &root, 3);
        let others = [
            extend_inputs(&one, 9, &root, 3),
            extend_inputs(&zero, 10, &root, 3),
            extend_inputs(&zero, 9, &zero, 3),
            extend_inputs(&zero, 9, &root, 4),
        ];
        assert!(others.iter().all(|other| *other != one));
    }

    #[test]
    fn every_field_is_under_the_root() {
        let (proofs, root) = proofs(1);
        for byte in 0..ACCOUNT_BYTES {
            let mut bytes = proofs[0].encode();
            bytes[8 + byte] ^= 1;
            assert!(matches!(AccountProof::decode(&bytes).unwrap().verify(root), Err(AccountError::Root { .. })));
        }
    }

    #[test]
    fn bytes_that_are_no_proof_are_refused() {
        let good = proofs(3).0[1].encode();
        for length in 0..good.len() {
            assert_eq!(AccountProof::decode(&good[..length]), Err(AccountError::Malformed(length)));
        }
        let long = [good.as_slice(), &[0]].concat();
        assert_eq!(AccountProof::decode(&long), Err(AccountError::Malformed(long.len())));
        let mut beyond = good.clone();
        beyond[..4].copy_from_slice(&(ACCOUNTS_MAX + 1).to_be_bytes());
        assert_eq!(AccountProof::decode(&beyond), Err(AccountError::Malformed(beyond.len())));
        let mut outside = good;
        outside[4..8].copy_from_slice(&3u32.to_be_bytes());
        assert!(AccountProof::decode(&outside).is_err());
    }
}
