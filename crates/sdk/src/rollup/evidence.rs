//! What is believed of a validator's answers: what the committee has signed, and what follows from it. No IO.

use super::RollupError;
use alloy_primitives::{B256, Bytes};
use proof::account::{self, Account, AccountError, AccountProof};
use proof::certificate::{self, CertificateError, Header};
use proof::lane::{KeyError, KeyRecord};
use proof::namespace::{NamespaceError, NamespaceProof, TransactionProof};
use protocol::api::{CommittedAccount, NamespaceBlock, SharedKeyProof};
use protocol::network::Network;

/// Why an answer is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Another block than the one asked for.
    #[error("it is about block {0}")]
    Height(u64),
    /// Not the child of the block before.
    #[error("its parent is {found}, the block before is {expected}")]
    Parent {
        /// In its header.
        found: B256,
        /// Digest of the block before.
        expected: B256,
    },
    /// The account of another namespace.
    #[error("it is the account of namespace {0}")]
    Namespace(u64),
    /// No quorum of the committee signed the header.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The header does not have these transactions.
    #[error(transparent)]
    Transactions(#[from] NamespaceError),
    /// The header has no key of the encrypted lane there.
    #[error(transparent)]
    LaneKey(#[from] KeyError),
    /// The header does not have this account.
    #[error(transparent)]
    Account(#[from] AccountError),
}

/// The committee that a network file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    chain_id: u64,
    /// Ed25519 keys, ascending.
    committee: Vec<B256>,
}

/// All transactions of a namespace in a final block; none if that is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedBlock {
    /// Height.
    pub height: u64,
    /// Digest of the block.
    pub digest: B256,
    /// Unix milliseconds.
    pub timestamp_millis: u64,
    /// Transactions of the namespace, in order.
    pub transactions: Vec<Bytes>,
    /// Bytes of header, certificate and proof beyond the transactions.
    pub evidence_bytes: usize,
}

/// What a namespace owes after a final block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedAccount {
    /// The block that commits to it; it is counted up to the block before.
    pub height: u64,
    /// Digest of that block.
    pub digest: B256,
    /// The account.
    pub account: Account,
    /// What proves it, for the contract that charges the namespace.
    pub evidence: CommittedAccount,
}

impl Trust {
    /// The committee of a network.
    ///
    /// # Errors
    /// When it has no validators, or a key that is none.
    pub fn of(network: &Network) -> Result<Self, RollupError> {
        let key = |text: &String| {
            text.parse::<B256>().map_err(|e| RollupError::Committee(format!("public key {text:?}: {e}")))
        };
        let keys = network.validators.iter().map(|validator| key(&validator.public_key));
        Self::new(network.chain_id, keys.collect::<Result<_, _>>()?)
    }

    /// A committee by its Ed25519 keys, of a network with this chain id.
    ///
    /// # Errors
    /// When there are no keys.
    pub fn new(chain_id: u64, mut committee: Vec<B256>) -> Result<Self, RollupError> {
        if committee.is_empty() {
            return Err(RollupError::Committee("it has no validators".to_owned()));
        }
        committee.sort_unstable();
        Ok(Self { chain_id, committee })
    }

    /// Keys of the committee, ascending.
    pub fn committee(&self) -> &[B256] {
        &self.committee
    }

    /// The transactions of `namespace` in the block of `height`, the child of `parent` if that is given.
    pub(super) fn block(
        &self,
        namespace: u64,
        height: u64,
        parent: Option<&VerifiedBlock>,
        told: &NamespaceBlock,
    ) -> Result<VerifiedBlock, TrustError> {
        let header = self.header(height, &told.header, &told.certificate)?;
        if let Some(expected) = parent.map(|parent| parent.digest).filter(|digest| *digest != header.parent) {
            return Err(TrustError::Parent { found: header.parent, expected });
        }
        let proof = NamespaceProof::decode(&told.proof)?;
        let transactions = proof.verify(header.namespaces_root, namespace)?.to_vec();
        let payload: usize = transactions.iter().map(|transaction| transaction.len()).sum();
        Ok(VerifiedBlock {
            height,
            digest: header.digest,
            timestamp_millis: header.timestamp_millis,
            evidence_bytes: told.header.len() + told.certificate.len() + told.proof.len() - payload,
            transactions,
        })
    }

    /// The account of `namespace` as a block commits to it.
    pub(super) fn account(&self, namespace: u64, told: &CommittedAccount) -> Result<VerifiedAccount, TrustError> {
        let header = self.header(told.height, &told.header, &told.certificate)?;
        let root = account::committed_root(&header, &TransactionProof::decode(&told.commitment)?)?;
        let account = *AccountProof::decode(&told.account)?.verify(root)?;
        if account.namespace != namespace {
            return Err(TrustError::Namespace(account.namespace));
        }
        Ok(VerifiedAccount { height: header.height, digest: header.digest, account, evidence: told.clone() })
    }

    /// The key of the encrypted lane as a block names it.
    pub(super) fn lane_key(&self, told: &SharedKeyProof) -> Result<KeyRecord, TrustError> {
        let header = self.header(told.height, &told.header, &told.certificate)?;
        Ok(KeyRecord::prove(&header, &TransactionProof::decode(&told.record)?)?)
    }

    pub(crate) fn header(&self, height: u64, header: &[u8], certificate: &[u8]) -> Result<Header, TrustError> {
        let header = certificate::verify(self.chain_id, &self.committee, header, certificate)?;
        match header.height == height {
            true => Ok(header),
            false => Err(TrustError::Height(header.height)),
        }
    }
}
