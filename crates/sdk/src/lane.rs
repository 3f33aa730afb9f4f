//! Transactions that nobody can read before they are ordered: the encrypted lane, from the sender's side.
//!
//! A dealt key comes from the network file, one that the validators made from the block that names it, which the committee
//! in the network file has signed. If the gateway is all that is known of the network, the key comes from there: whoever
//! invents a key can read what is encrypted to it. A target is one to two periods away, so that every proposer has the
//! envelope before it.

use crate::client::Client;
use crate::wallet::Wallet;
use crate::{ChainError, GatewayError, RollupError};
use alloy_primitives::{Address, B256, U256};
use alloy_rpc_types_eth::TransactionReceipt;
use proof::lane::{Entropy, LaneError, LaneKey, seal};
use protocol::api::LaneState;
use protocol::network::{Lane, LanePolicy};

/// Namespace of the settlement chain.
const SETTLEMENT: u64 = 1;

/// Why a transaction was not sent, or what became of it is not known.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The network, or the namespace, takes no envelopes.
    #[error("namespace {0} of this network takes no encrypted transactions")]
    NoLane(u64),
    /// The network file is wrong.
    #[error("lane.key and lane.period_blocks of the network are {key:?} and {period_blocks}: {reason}")]
    Network {
        /// The lane key, hex.
        key: String,
        /// Blocks between two targets.
        period_blocks: u64,
        /// What is wrong.
        reason: String,
    },
    /// The validators have no key now.
    #[error(
        "the encrypted lane is closed at height {height}: the validators are making its key, at the earliest until block \
         {until}; send it again then"
    )]
    Closed {
        /// Newest final block.
        height: u64,
        /// Last block of the attempt under way.
        until: u64,
    },
    /// No validator said what the key is, or the answer is not proven.
    #[error("the key of the encrypted lane is not known: {0}")]
    Key(#[from] Box<RollupError>),
    /// It cannot be sealed.
    #[error(transparent)]
    Seal(#[from] LaneError),
    /// The system gives no randomness.
    #[error("no randomness from the system: {0}")]
    Randomness(getrandom::Error),
    /// The gateway refused or was not reached.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// The chain refused or was not reached.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// An envelope, not handed in yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedTransaction {
    /// Height at which it is opened, and up to which it may be ordered.
    pub target: u64,
    /// What is ordered.
    pub envelope: Vec<u8>,
}

/// A transaction that was executed after it had been ordered unread.
#[derive(Clone, Debug)]
pub struct SentSealed {
    /// Hash of the envelope in its namespace: what to ask a validator about while it waits.
    pub envelope: B256,
    /// Height at which it was opened.
    pub target: u64,
    /// What became of it on the chain.
    pub receipt: TransactionReceipt,
}

impl Client {
    /// Seals `payload` for `namespace`, to be read when the block at the target is final.
    ///
    /// # Errors
    /// When the namespace takes no envelopes, or the payload is empty or too long.
    pub async fn seal(&self, namespace: u64, payload: &[u8]) -> Result<SealedTransaction, SealError> {
        let lane = self.network().lane.as_ref().ok_or(SealError::NoLane(namespace))?;
        if lane.policies.get(&namespace).is_none_or(|policy| *policy == LanePolicy::Fcfs) {
            return Err(SealError::NoLane(namespace));
        }
        let key = self.lane_key(lane).await?;
        let height = self.chain.block_number().await?;
        let target = target(height, lane.period_blocks);
        let mut entropy = [0; 64];
        getrandom::fill(&mut entropy).map_err(SealError::Randomness)?;
        let envelope = seal(&key, self.network().chain_id, namespace, target, payload, Entropy(entropy))?;
        Ok(SealedTransaction { target, envelope })
    }

    async fn lane_key(&self, lane: &Lane) -> Result<LaneKey, SealError> {
        if !lane.key.is_empty() || lane.period_blocks == 0 {
            return key(lane);
        }
        if self.network().validators.is_empty() {
            // The gateway had none when the client was connected; it may have one now.
            let now = self.gateway.network().await?.lane;
            return match now.filter(|lane| !lane.key.is_empty()) {
                Some(lane) => key(&lane),
                None => Err(self.closed(LaneState::default()).await?),
            };
        }
        let rollups = self.rollups().map_err(Box::new)?;
        match rollups.lane_key().await.map_err(Box::new)? {
            Ok(record) => Ok(record.key),
            Err(told) => Err(self.closed(told).await?),
        }
    }

    async fn closed(&self, told: LaneState) -> Result<SealError, SealError> {
        let height = told.height.max(self.chain.block_number().await?);
        let until = told.attempt.map_or(height, |attempt| attempt.until).max(height);
        Ok(SealError::Closed { height, until })
    }

    /// Sends `value` wei to `to` by the encrypted lane, and waits until it is executed. Nobody sees sender, receiver or
    /// amount before its place is fixed. While it waits, the account must send nothing else: the nonce is taken.
    ///
    /// # Errors
    /// When it was not handed in, was not ordered up to its target (nothing is paid then), or was refused when it was
    /// opened.
    pub async fn transfer_sealed(&self, wallet: &Wallet, to: Address, value: U256) -> Result<SentSealed, SealError> {
        let (raw, hash) = self.chain.sign_transfer(wallet, to, value).await?;
        let SealedTransaction { target, envelope } = self.seal(SETTLEMENT, &raw).await?;
        let envelope = self.gateway.submit(SETTLEMENT, envelope.into()).await?;
        let receipt = self.chain.confirm(wallet.address(), hash).await?;
        Ok(SentSealed { envelope, target, receipt })
    }
}

fn key(lane: &Lane) -> Result<LaneKey, SealError> {
    let Lane { period_blocks, key, .. } = lane;
    let wrong = |reason: String| SealError::Network { key: key.clone(), period_blocks: *period_blocks, reason };
    if *period_blocks == 0 {
        return Err(wrong("a period has at least one block".to_owned()));
    }
    let bytes = hex::decode(key).map_err(|error| wrong(error.to_string()))?;
    LaneKey::decode(&bytes).map_err(|error| wrong(error.to_string()))
}

/// The second target above `height`.
fn target(height: u64, period_blocks: u64) -> u64 {
    (height / period_blocks).saturating_add(2).saturating_mul(period_blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_one_to_two_periods_away() {
        for (height, expected) in [(0, 16), (7, 16), (8, 24), (15, 24)] {
            assert_eq!(target(height, 8), expected);
        }
        assert_eq!(target(5, 1), 7);
    }

    #[test]
    fn a_network_file_with_a_broken_key_is_named() {
        let lane = |key: &str, period_blocks| Lane {
            period_blocks,
            policies: Default::default(),
            dealer: String::new(),
            sharing: String::new(),
            key: key.to_owned(),
        };
        for (bad, period, wanted) in [("zz", 8, "zz"), ("00", 8, "1 bytes"), ("00", 0, "at least one block")] {
            let error = key(&lane(bad, period)).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
