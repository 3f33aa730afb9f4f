//! The files of ethereum/tests, as far as they are read.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Tests by name.
pub(super) type Tests = BTreeMap<String, Test>;

/// One test.
#[derive(Debug, Deserialize)]
pub(super) struct Test {
    pub env: Environment,
    pub pre: BTreeMap<Address, Account>,
    /// By fork.
    pub post: BTreeMap<String, Vec<Expected>>,
}

/// The block.
#[derive(Debug, Deserialize)]
pub(super) struct Environment {
    #[serde(rename = "currentCoinbase")]
    pub coinbase: Address,
    #[serde(rename = "currentDifficulty")]
    pub difficulty: Option<U256>,
    #[serde(rename = "currentGasLimit")]
    pub gas_limit: U256,
    #[serde(rename = "currentNumber")]
    pub number: U256,
    #[serde(rename = "currentTimestamp")]
    pub timestamp: U256,
    #[serde(rename = "currentBaseFee")]
    pub base_fee: Option<U256>,
    #[serde(rename = "currentRandom")]
    pub random: Option<U256>,
    #[serde(rename = "currentExcessBlobGas")]
    pub excess_blob_gas: Option<U256>,
}

/// An account before the transaction.
#[derive(Debug, Deserialize)]
pub(super) struct Account {
    pub balance: U256,
    pub code: Bytes,
    pub nonce: U256,
    pub storage: BTreeMap<U256, U256>,
}

/// A transaction and what it must leave.
#[derive(Debug, Deserialize)]
pub(super) struct Expected {
    /// State root.
    pub hash: B256,
    /// Keccak-256 of the RLP of the logs.
    pub logs: B256,
    /// The signed transaction in EIP-2718 encoding.
    pub txbytes: Bytes,
    /// Why it must be refused; which of several reasons is found first is not compared.
    #[serde(rename = "expectException")]
    pub exception: Option<String>,
}

impl Account {
    /// Whether it holds storage, but neither code nor a nonce: something no transaction since EIP-161 can make.
    pub fn is_storage_only(&self) -> bool {
        self.nonce.is_zero() && self.code.is_empty() && self.storage.values().any(|value| !value.is_zero())
    }
}
