//! Whether a state root holds an account or a storage value.
//!
//! Evidence is the answer to `eth_getProof` (EIP-1186): the nodes of a secure Merkle-Patricia trie from the root down.
//! Absence is provable too: an account that was never touched, a slot that is zero.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::proof::{ProofVerificationError, verify_proof};
use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY, Nibbles, TrieAccount};

/// Most nodes in one path: a key has 64 nibbles, so no path is longer.
pub const PROOF_NODES_MAX: usize = 65;

/// Most bytes in one node: sixteen hashes and a value, with room to spare.
pub const NODE_BYTES_MAX: usize = 1024;

/// What an account is claimed to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Transactions sent (contracts: created) so far.
    pub nonce: u64,
    /// Balance in wei.
    pub balance: U256,
    /// Root of its storage trie.
    pub storage_root: B256,
    /// Keccak-256 of its code.
    pub code_hash: B256,
}

impl Default for Account {
    /// The account that nobody has touched.
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, storage_root: EMPTY_ROOT_HASH, code_hash: KECCAK_EMPTY }
    }
}

/// Why a state root does not hold what is claimed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// A path that no trie has.
    #[error("proof has {0} nodes, a path has at most {PROOF_NODES_MAX}")]
    TooManyNodes(usize),
    /// A node that no trie has.
    #[error("proof node {index} has {bytes} bytes, a node has at most {NODE_BYTES_MAX}")]
    NodeTooLong {
        /// Position of the node, from the root.
        index: usize,
        /// Its length.
        bytes: usize,
    },
    /// The path does not lead from the root to the claimed account.
    #[error("state root {root} does not hold account {address} as claimed: {reason}")]
    Account {
        /// State root.
        root: B256,
        /// The account.
        address: Address,
        /// Where the path breaks.
        reason: Box<ProofVerificationError>,
    },
    /// The path does not lead from the root to the claimed value.
    #[error("storage root {root} does not hold {value} at slot {slot}: {reason}")]
    Storage {
        /// Storage root of the account.
        root: B256,
        /// The slot.
        slot: B256,
        /// Claimed value.
        value: U256,
        /// Where the path breaks.
        reason: Box<ProofVerificationError>,
    },
}

/// `Ok` when the state with root `state_root` has `account` at `address`; an untouched account equals `Account::default()`.
pub fn verify_account(
    state_root: B256,
    address: Address,
    account: &Account,
    proof: &[Bytes],
) -> Result<(), StateError> {
    check_size(proof)?;
    let leaf = (*account != Account::default()).then(|| {
        alloy_rlp::encode(TrieAccount {
            nonce: account.nonce,
            balance: account.balance,
            storage_root: account.storage_root,
            code_hash: account.code_hash,
        })
    });
    let key = Nibbles::unpack(keccak256(address));
    let refuse = |reason| StateError::Account { root: state_root, address, reason: Box::new(reason) };
    verify_proof(state_root, key, leaf, proof).map_err(refuse)
}

/// `Ok` when the account whose storage has root `storage_root` keeps `value` at `slot`; an empty slot is zero.
pub fn verify_storage(storage_root: B256, slot: B256, value: U256, proof: &[Bytes]) -> Result<(), StateError> {
    check_size(proof)?;
    let leaf = (!value.is_zero()).then(|| alloy_rlp::encode(value));
    let key = Nibbles::unpack(keccak256(slot));
    let refuse = |reason| StateError::Storage { root: storage_root, slot, value, reason: Box::new(reason) };
    verify_proof(storage_root, key, leaf, proof).map_err(refuse)
}

fn check_size(proof: &[Bytes]) -> Result<(), StateError> {
    if proof.len() > PROOF_NODES_MAX {
        return Err(StateError::TooManyNodes(proof.len()));
    }
    let long = proof.iter().enumerate().find(|(_, node)| node.len() > NODE_BYTES_MAX);
    match long {
        Some((index, node)) => Err(StateError::NodeTooLong { index, bytes: node.len() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_trie::HashBuilder;
    use alloy_trie::proof::ProofRetainer;
    use std::collections::BTreeMap;

    /// Root of the trie over `leaves` and the path to `target`.
    fn trie(leaves: BTreeMap<Nibbles, Vec<u8>>, target: Nibbles) -> (B256, Vec<Bytes>) {
        let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(vec![target]));
        for (key, value) in &leaves {
            builder.add_leaf(*key, value);
        }
        let root = builder.root();
        let nodes = builder.take_proof_nodes().into_nodes_sorted().into_iter().map(|(_, node)| node).collect();
        (root, nodes)
    }

    fn account(n: u8) -> Account {
        Account { nonce: n.into(), balance: U256::from(1_000 + u64::from(n)), ..Account::default() }
    }

    fn state(target: Address) -> (B256, Vec<Bytes>) {
        let leaf = |n: u8| {
            let a = account(n);
            let value = TrieAccount {
                nonce: a.nonce,
                balance: a.balance,
                storage_root: a.storage_root,
                code_hash: a.code_hash,
            };
            (Nibbles::unpack(keccak256(Address::repeat_byte(n))), alloy_rlp::encode(value))
        };
        trie((1..=40).map(leaf).collect(), Nibbles::unpack(keccak256(target)))
    }

    fn storage(target: B256) -> (B256, Vec<Bytes>) {
        let leaf = |n: u8| {
            let key = Nibbles::unpack(keccak256(B256::with_last_byte(n)));
            (key, alloy_rlp::encode(U256::from(u64::from(n) * 3)))
        };
        trie((1..=20).map(leaf).collect(), Nibbles::unpack(keccak256(target)))
    }

    #[test]
    fn an_account_in_the_state_is_proved() {
        let address = Address::repeat_byte(7);
        let (root, proof) = state(address);
        assert_eq!(verify_account(root, address, &account(7), &proof), Ok(()));
    }

    #[test]
    fn every_field_of_the_account_counts() {
        let address = Address::repeat_byte(7);
        let (root, proof) = state(address);
        let changes: [fn(&mut Account); 4] = [
            |a| a.nonce += 1,
            |a| a.balance += U256::from(1),
            |a| a.storage_root = B256::ZERO,
            |a| a.code_hash = B256::ZERO,
        ];
        for change in changes {
            let mut changed = account(7);
            change(&mut changed);
            let outcome = verify_account(root, address, &changed, &proof);
            assert!(matches!(outcome, Err(StateError::Account { .. })), "{outcome:?}");
        }
        assert!(verify_account(root, address, &Account::default(), &proof).is_err(), "cannot be denied either");
        assert!(verify_account(B256::ZERO, address, &account(7), &proof).is_err(), "another root");
        assert!(verify_account(root, Address::repeat_byte(8), &account(7), &proof).is_err(), "another address");
    }

    #[test]
    fn absence_of_an_account_is_proved() {
        let nobody = Address::repeat_byte(0xee);
        let (root, proof) = state(nobody);
        assert_eq!(verify_account(root, nobody, &Account::default(), &proof), Ok(()));
        assert!(verify_account(root, nobody, &account(1), &proof).is_err());
        assert_eq!(verify_account(EMPTY_ROOT_HASH, nobody, &Account::default(), &[]), Ok(()));
    }

    #[test]
    fn tampered_and_cut_proofs_fail() {
        let address = Address::repeat_byte(7);
        let (root, proof) = state(address);
        assert!(proof.len() >= 2, "the trie is deep enough to be cut");
        for index in 0..proof.len() {
            let mut nodes = proof.clone();
            let mut bytes = nodes[index].to_vec();
            *bytes.last_mut().unwrap() ^= 1;
            nodes[index] = bytes.into();
            assert!(verify_account(root, address, &account(7), &nodes).is_err(), "node {index} changed");
            let mut nodes = proof.clone();
            nodes.remove(index);
            assert!(verify_account(root, address, &account(7), &nodes).is_err(), "node {index} removed");
        }
    }

    #[test]
    fn storage_values_and_zeroes_are_proved() {
        let slot = B256::with_last_byte(5);
        let (root, proof) = storage(slot);
        assert_eq!(verify_storage(root, slot, U256::from(15), &proof), Ok(()));
        assert!(matches!(verify_storage(root, slot, U256::from(16), &proof), Err(StateError::Storage { .. })));
        assert!(verify_storage(root, slot, U256::ZERO, &proof).is_err());

        let empty = B256::with_last_byte(99);
        let (root, proof) = storage(empty);
        assert_eq!(verify_storage(root, empty, U256::ZERO, &proof), Ok(()));
        assert!(verify_storage(root, empty, U256::from(1), &proof).is_err());
    }

    #[test]
    fn oversized_proofs_are_refused_before_any_work() {
        let address = Address::ZERO;
        let many = vec![Bytes::new(); PROOF_NODES_MAX + 1];
        let outcome = verify_account(B256::ZERO, address, &Account::default(), &many);
        assert_eq!(outcome, Err(StateError::TooManyNodes(PROOF_NODES_MAX + 1)));
        let long = [Bytes::from(vec![0; NODE_BYTES_MAX + 1])];
        let outcome = verify_storage(B256::ZERO, B256::ZERO, U256::ZERO, &long);
        assert_eq!(outcome, Err(StateError::NodeTooLong { index: 0, bytes: NODE_BYTES_MAX + 1 }));
    }

    #[test]
    fn garbage_nodes_are_an_error_and_never_a_panic() {
        for byte in 0..=255u8 {
            for length in [1usize, 2, 33, 532] {
                let node = Bytes::from(vec![byte; length]);
                let root = keccak256(&node);
                let _ = verify_storage(root, B256::ZERO, U256::from(1), std::slice::from_ref(&node));
                let _ = verify_account(root, Address::ZERO, &account(1), &[node]);
            }
        }
    }
}
