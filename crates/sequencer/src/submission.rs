//! What becomes of a transaction or a bundle from its submission on: accepted on disk, told to the others, ordered or
//! expired.
//!
//! A submission is acknowledged when it is in the journal of the validator that took it. It is then offered in every
//! proposal, handed to the other validators until they say that they have it on disk too, and it ends in exactly one
//! way: it becomes final, it expires, or the application can never take it. A validator never offers what expired; the
//! block does not say when a transaction expires, so the others cannot check that of a proposer who ignores the rule.
//!
//! | state | means |
//! |---|---|
//! | pending | on disk here, waits for its turn |
//! | included | in a valid block that is not final yet and may still be replaced |
//! | final | in a final block, at this height and position |
//! | finalized | the block is behind a finalised checkpoint, too (`docs/finality.md`) |
//! | expired | not in any block up to the height at which it expired |
//! | rejected | the application said that it can never be included |
//! | unknown | never seen, or older than what is remembered |
//!
//! Submitting the same bytes again answers with the same hash and changes nothing, but that the later end of the two
//! lifetimes counts. After it has expired, or is older than what is remembered, it is a new submission.

mod ended;
pub(crate) mod finals;
mod journal;
mod record;
pub(crate) mod relay;

pub(crate) use ended::{Ended, EndedLog};
pub(crate) use finals::{Finals, Place, places};
pub use journal::JournalError;
pub(crate) use journal::{Journal, Outcome, Writer};
pub(crate) use record::Record;
pub(crate) use relay::Seats;

use crate::content::{Hash, Transaction};
use crate::limits::{LIFETIME_BLOCKS_DEFAULT, LIFETIME_BLOCKS_MAX, TRANSACTION_BYTES_MAX};
use crate::mempool::SubmitError;
use crate::system::SYSTEM;
use bytes::Bytes;
use proof::bundle::{bundle_hash, check_size};

/// What is submitted: one opaque transaction, or several that must stand together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submission {
    /// Namespace and bytes (1 byte to 1 MiB).
    Transaction(u64, Bytes),
    /// Namespaces and bytes of 2 to 64 transactions, in their order.
    Bundle(Vec<(u64, Bytes)>),
}

/// The answer to a submission that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Hash of the transaction, or name of the bundle.
    pub hash: Hash,
    /// Last height at which it may stand; 0 if it is final already.
    pub expires: u64,
    /// Whether it was known before, waiting or final.
    pub is_known: bool,
}

/// How many blocks a submission may wait: within 1 to [`LIFETIME_BLOCKS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime(u64);

impl Lifetime {
    /// `blocks`, or `None` if they are 0 or more than [`LIFETIME_BLOCKS_MAX`].
    pub fn new(blocks: u64) -> Option<Self> {
        (1..=LIFETIME_BLOCKS_MAX).contains(&blocks).then_some(Self(blocks))
    }

    /// Its blocks.
    pub fn blocks(&self) -> u64 {
        self.0
    }
}

impl Default for Lifetime {
    fn default() -> Self {
        Self(LIFETIME_BLOCKS_DEFAULT)
    }
}

/// A submission that is within the limits, with its hash.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub hash: Hash,
    pub members: Members,
}

/// The transactions of a submission.
#[derive(Clone, Debug)]
pub(crate) enum Members {
    Single(u64, Transaction),
    Bundle(Vec<(u64, Transaction)>),
}

impl Submission {
    /// Checks sizes and hashes the bytes.
    pub(crate) fn check(self) -> Result<Checked, SubmitError> {
        match self {
            Self::Transaction(namespace, payload) => {
                if payload.is_empty() || payload.len() > TRANSACTION_BYTES_MAX {
                    return Err(SubmitError::Size { bytes: payload.len() });
                }
                if namespace == SYSTEM {
                    return Err(SubmitError::Reserved);
                }
                let transaction = Transaction::new(namespace, payload);
                let hash = transaction.hash(namespace);
                Ok(Checked { hash, members: Members::Single(namespace, transaction) })
            }
            Self::Bundle(members) => {
                if check_size(members.iter().map(|(_, payload)| payload.len())).is_err() {
                    let bytes = members.iter().map(|(_, payload)| payload.len()).sum();
                    return Err(SubmitError::Bundle { transactions: members.len(), bytes });
                }
                if members.iter().any(|(namespace, _)| *namespace == SYSTEM) {
                    return Err(SubmitError::Reserved);
                }
                let hashed = |(namespace, payload)| (namespace, Transaction::new(namespace, payload));
                let members: Vec<(u64, Transaction)> = members.into_iter().map(hashed).collect();
                let hashes: Vec<_> = members.iter().map(|(namespace, t)| t.hash(*namespace).into()).collect();
                Ok(Checked { hash: bundle_hash(&hashes).0, members: Members::Bundle(members) })
            }
        }
    }
}

impl Members {
    /// The bytes again.
    pub fn submission(&self) -> Submission {
        let plain = |(namespace, transaction): &(u64, Transaction)| (*namespace, transaction.payload().clone());
        match self {
            Self::Single(namespace, transaction) => Submission::Transaction(*namespace, transaction.payload().clone()),
            Self::Bundle(members) => Submission::Bundle(members.iter().map(plain).collect()),
        }
    }
}

#[cfg(test)]
mod tests;
