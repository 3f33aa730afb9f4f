//! What each namespace owes for what was ordered: a pure function of final blocks.
//!
//! Every namespace has a base fee of its own, in wei per byte. A block charges each of its namespaces for the bytes that
//! it takes in the payload, at the fee before the block; then the fee moves by at most an eighth: up if the namespace
//! took more than its target, down if less, also while it is silent. So whoever crowds pays more for it, and nobody else
//! does. Namespace 1 pays gas on its own chain and owes nothing here; namespace 0 is the protocol's and has no account.
//!
//! Transactions are opaque, so nothing can be taken from whoever sent one: a fee is a debt of the namespace, and an
//! account of it is kept for as long as it is among the [`ACCOUNTS_MAX`] that were used last. Accounts that are
//! forgotten are summed up, so that nothing is lost from the total; one that comes back begins anew, and says since when.
//!
//! The block that opens an epoch commits to the accounts after the block before it ([`proof::account`]), and everybody
//! who votes recomputes that: so a namespace proves to its users, and to `RollupRegistry`, what it owes; and to `RollupInbox` on an
//! L1, what was ordered in it.
//! Source: EIP-1559 for the step.

pub(crate) mod kept;
mod ledger;

pub use kept::KeptError;
pub use ledger::Committed;
pub(crate) use ledger::{ACCOUNTS_FILE, Ledger};

use crate::content::Entry;
use crate::limits::BLOCK_PAYLOAD_BYTES_MAX;
use crate::payload::{Payload, entry_bytes};
use crate::system::SYSTEM;
use bytes::Bytes;
pub use proof::account::Account;
use proof::account::{AccountProof, accounts_root, extend_inputs};
use proof::merkle::Tree;
use proof::namespace::NamespaceLeaf;
use std::collections::{BTreeMap, BTreeSet};

/// Namespaces with an account.
pub const ACCOUNTS_MAX: usize = proof::account::ACCOUNTS_MAX as usize;
/// A base fee moves by at most this part of itself in a block.
pub const STEP: u64 = 8;
/// Namespace that pays elsewhere.
const FREE: u64 = 1;

/// How fees are set; the same for everybody who computes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pricing {
    /// Bytes of one namespace in one block at which its fee stays as it is (1..=8 MiB).
    pub target_bytes: u64,
    /// Lowest base fee, in wei per byte, and the first one of a namespace (1 and more).
    pub base_fee_min: u64,
}

impl Default for Pricing {
    /// 256 KiB a block, and a gwei a byte.
    fn default() -> Self {
        Self { target_bytes: 256 * 1024, base_fee_min: 1_000_000_000 }
    }
}

/// A block is not the next one, or the prices make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeeError {
    /// Blocks are counted in order, each once.
    #[error("block {found} is not the next one, {expected} is")]
    Order {
        /// Height given.
        found: u64,
        /// Height expected.
        expected: u64,
    },
    /// A price or target is out of range.
    #[error(
        "target is {target_bytes} bytes (1 to {BLOCK_PAYLOAD_BYTES_MAX}), lowest base fee {base_fee_min} (at least 1)"
    )]
    Pricing {
        /// Target.
        target_bytes: u64,
        /// Lowest base fee.
        base_fee_min: u64,
    },
}

/// The accounts of all namespaces after a final block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounts {
    pricing: Pricing,
    height: u64,
    accounts: BTreeMap<u64, Account>,
    /// Newest height and namespace of each account.
    used: BTreeSet<(u64, u64)>,
    /// Sum of the accounts that are no longer kept.
    forgotten: Account,
}

impl Pricing {
    /// The fee after a block in which the namespace took `bytes`, `base_fee` being the one before. Moves by at least one
    /// wei where it should move, within its limits.
    fn after(&self, base_fee: u64, bytes: u64) -> u64 {
        let target = self.target_bytes;
        // Twice the target is as far as one step goes.
        let distance = bytes.min(2 * target).abs_diff(target);
        let moved = u128::from(base_fee) * u128::from(distance) / u128::from(target) / u128::from(STEP);
        let moved = u64::try_from(moved).unwrap_or(u64::MAX).max(u64::from(distance > 0));
        match bytes > target {
            true => base_fee.saturating_add(moved),
            false => base_fee.saturating_sub(moved).max(self.base_fee_min),
        }
    }

    /// The fee after so many blocks without transactions.
    fn after_silence(&self, mut base_fee: u64, blocks: u64) -> u64 {
        for _ in 0..blocks {
            // An eighth less each time reaches the lowest fee within some hundred blocks.
            if base_fee <= self.base_fee_min {
                break;
            }
            base_fee = self.after(base_fee, 0);
        }
        base_fee
    }
}

impl Default for Accounts {
    /// The accounts at genesis under the prices of the network.
    fn default() -> Self {
        let (accounts, used, forgotten) = Default::default();
        Self { pricing: Pricing::default(), height: 0, accounts, used, forgotten }
    }
}

impl Accounts {
    /// The accounts at genesis.
    pub fn new(pricing: Pricing) -> Result<Self, FeeError> {
        let Pricing { target_bytes, base_fee_min } = pricing;
        if base_fee_min == 0 || !(1..=BLOCK_PAYLOAD_BYTES_MAX as u64).contains(&target_bytes) {
            return Err(FeeError::Pricing { target_bytes, base_fee_min });
        }
        Ok(Self { pricing, ..Self::default() })
    }

    /// Newest block that is counted.
    pub fn height(&self) -> u64 {
        self.height
    }

    /// How fees are set.
    pub fn pricing(&self) -> Pricing {
        self.pricing
    }

    /// Whether no namespace has an account.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// What the block that opens an epoch after this one commits to; `None` without any account.
    pub fn root(&self) -> Option<[u8; 32]> {
        (!self.is_empty()).then(|| self.root_of(&self.tree()))
    }

    fn tree(&self) -> Tree {
        proof::account::tree(self.accounts.values().copied())
    }

    fn root_of(&self, tree: &Tree) -> [u8; 32] {
        accounts_root(self.accounts.len() as u32, &tree.root()).0
    }

    /// The account of `namespace` with its place in `tree`, which is the one of these accounts.
    fn prove(&self, tree: &Tree, namespace: u64) -> Option<AccountProof> {
        let account = *self.accounts.get(&namespace)?;
        let index = self.accounts.range(..namespace).count();
        Some(AccountProof {
            accounts: self.accounts.len() as u32,
            index: index as u32,
            path: tree.path(index),
            account,
        })
    }

    /// Counts the next final block.
    pub fn apply(&mut self, height: u64, payload: &Payload) -> Result<(), FeeError> {
        let expected = self.height + 1;
        if height != expected {
            return Err(FeeError::Order { found: height, expected });
        }
        let counted = payload.entries().iter().zip(payload.leaves()).filter(|(entry, _)| entry.namespace() != SYSTEM);
        counted.for_each(|(entry, leaf)| self.charge(height, entry, leaf));
        self.height = height;
        Ok(())
    }

    /// What `namespace` pays for each byte in the next block, in wei.
    pub fn base_fee(&self, namespace: u64) -> u64 {
        match self.accounts.get(&namespace) {
            _ if namespace == FREE || namespace == SYSTEM => 0,
            Some(account) => self.pricing.after_silence(account.base_fee, self.height - account.height),
            None => self.pricing.base_fee_min,
        }
    }

    /// The account of a namespace; `None` if it has no transactions yet, or none for so long that it was forgotten.
    pub fn account(&self, namespace: u64) -> Option<&Account> {
        self.accounts.get(&namespace)
    }

    /// All accounts from `namespace` on, ascending.
    pub fn from(&self, namespace: u64) -> impl Iterator<Item = (u64, &Account)> {
        self.accounts.range(namespace..).map(|(namespace, account)| (*namespace, account))
    }

    /// Transactions, bytes and debts of all namespaces since genesis, those without an account included.
    pub fn total(&self) -> Account {
        let mut total = Account { height: self.height, ..self.forgotten };
        self.accounts.values().for_each(|account| add(&mut total, account));
        total
    }

    fn charge(&mut self, height: u64, entry: &Entry, leaf: &NamespaceLeaf) {
        let namespace = entry.namespace();
        let bytes = entry_bytes(entry.payloads().map(Bytes::len)) as u64;
        let base_fee = self.base_fee(namespace);
        let opened = Account { namespace, since: height, ..Account::default() };
        let account = self.accounts.entry(namespace).or_insert(opened);
        self.used.remove(&(account.height, namespace));
        self.used.insert((height, namespace));
        let charged = Account {
            transactions: entry.transactions().len() as u64,
            bytes,
            owed: u128::from(bytes) * u128::from(base_fee),
            ..Account::default()
        };
        add(account, &charged);
        (account.height, account.base_fee) = (height, self.pricing.after(base_fee, bytes));
        account.inputs = extend_inputs(&account.inputs, height, &leaf.transactions_root, leaf.transactions);
        if self.accounts.len() > ACCOUNTS_MAX {
            self.forget_oldest();
        }
    }

    /// Of those that were used last at the same height, the lowest namespace goes first.
    fn forget_oldest(&mut self) {
        if let Some((_, namespace)) = self.used.pop_first()
            && let Some(account) = self.accounts.remove(&namespace)
        {
            add(&mut self.forgotten, &account);
        }
    }
}

/// Adds what was used and is owed. A sum stops at the largest number of its type, after more coin than there is.
fn add(account: &mut Account, other: &Account) {
    account.transactions = account.transactions.saturating_add(other.transactions);
    account.bytes = account.bytes.saturating_add(other.bytes);
    account.owed = account.owed.saturating_add(other.owed);
}

#[cfg(test)]
mod inbox;
#[cfg(test)]
mod tests;
