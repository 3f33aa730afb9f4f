//! What an L1 is asked.

use crate::fees::Fees;
use alloy_primitives::{Address, B256, Bytes};
use std::future::Future;

/// Why the L1 has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum L1Error {
    /// Not reached, or no sensible answer: try again later.
    #[error("cannot ask the L1 {what}: {reason}")]
    Unreachable {
        /// Method.
        what: &'static str,
        /// What happened.
        reason: String,
    },
    /// A call reverts.
    #[error("the call reverts with {0}")]
    Reverted(Bytes),
    /// The transaction is known already: as good as sent.
    #[error("the transaction is known")]
    Known,
    /// Another transaction with this nonce waits, and this one offers too little more.
    #[error("another transaction with this nonce offers as much")]
    Underpriced,
    /// The nonce was used.
    #[error("the nonce was used")]
    NonceUsed,
    /// The transaction is refused for another reason.
    #[error("the L1 refuses the transaction: {0}")]
    Refused(String),
}

/// A mined transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Height of its block.
    pub block: u64,
    /// False if it reverted.
    pub is_success: bool,
    /// Gas it used.
    pub gas: u64,
    /// Wei per gas it paid.
    pub price: u128,
}

/// A call to simulate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Sender.
    pub from: Address,
    /// Contract.
    pub to: Address,
    /// Calldata.
    pub data: Bytes,
    /// Names of the blobs of the transaction, none in an ordinary one.
    pub blobs: Vec<B256>,
}

impl Call {
    /// A call without blobs.
    pub fn new(from: Address, to: Address, data: impl Into<Bytes>) -> Self {
        Self { from, to, data: data.into(), blobs: vec![] }
    }
}

/// An L1. Every answer may be about another branch than the one before.
pub trait L1: Send + Sync {
    /// Its chain id.
    fn chain_id(&self) -> impl Future<Output = Result<u64, L1Error>> + Send;
    /// Height of its last block.
    fn height(&self) -> impl Future<Output = Result<u64, L1Error>> + Send;
    /// Base fee of the last block, in wei per gas.
    fn base_fee(&self) -> impl Future<Output = Result<u128, L1Error>> + Send;
    /// Price of blobs in the next block, in wei per gas of blobs.
    fn blob_base_fee(&self) -> impl Future<Output = Result<u128, L1Error>> + Send;
    /// Transactions of an account that were mined up to block `height`, or up to the last one.
    fn nonce(&self, account: Address, height: Option<u64>) -> impl Future<Output = Result<u64, L1Error>> + Send;
    /// Result of a call on the last block.
    fn call(&self, call: &Call) -> impl Future<Output = Result<Bytes, L1Error>> + Send;
    /// Gas that a transaction would need on the last block.
    fn estimate(&self, call: &Call) -> impl Future<Output = Result<u64, L1Error>> + Send;
    /// Sends a signed transaction.
    fn send(&self, raw: &Bytes) -> impl Future<Output = Result<(), L1Error>> + Send;
    /// The receipt of a transaction, if it is mined in the branch of the last block.
    fn receipt(&self, hash: B256) -> impl Future<Output = Result<Option<Receipt>, L1Error>> + Send;
}

/// A transaction as it was signed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Signed {
    /// Its hash.
    pub hash: B256,
    /// Its bytes.
    pub raw: Bytes,
    /// What it offers.
    pub fees: Fees,
    /// Most that is paid for blobs, in wei per gas of blobs; 0 without blobs.
    #[serde(default)]
    pub blob_fee: u128,
    /// When it was signed, in Unix milliseconds.
    pub millis: u64,
}
