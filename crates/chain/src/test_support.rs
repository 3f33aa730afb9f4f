//! What the tests of this crate share: funded keys, signed transactions, a small contract, a chain to try them on.

use crate::{BlockAttributes, BlockRecord, Chain, ChainConfig, GenesisSpec, Proposed};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_network::TxSignerSync;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address, bytes};
use alloy_signer_local::PrivateKeySigner;
use protocol::abi;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

/// Chain id of the test chain.
pub(crate) const CHAIN_ID: u64 = 5886;
/// Wei in one coin.
pub(crate) const COIN: u128 = 1_000_000_000_000_000_000;
/// Fee cap of the test transactions, in wei per gas.
pub(crate) const FEE_MAX: u128 = 3_000_000_000;
/// Receives the priority fees of test blocks.
pub(crate) const BENEFICIARY: Address = address!("0x00000000000000000000000000000000000000bb");

/// Folder with published vectors.
pub(crate) fn testdata() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/testdata");
    std::env::var_os("KUMO_TESTDATA").map_or_else(|| default.into(), PathBuf::from)
}

/// The key with this number.
pub(crate) fn signer(number: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(number)).unwrap()
}

/// Creation code that returns `runtime`.
pub(crate) fn deployer(runtime: &[u8]) -> Bytes {
    // PUSH2 length, DUP1, PUSH1 offset, PUSH0, CODECOPY, PUSH0, RETURN
    let mut code = vec![0x61];
    code.extend_from_slice(&(runtime.len() as u16).to_be_bytes());
    code.extend_from_slice(&[0x80, 0x60, 0x0a, 0x5f, 0x39, 0x5f, 0xf3]);
    assert_eq!(code.len(), 0x0a);
    code.extend_from_slice(runtime);
    code.into()
}

/// Genesis with three funded keys, a ring of randomness and no contracts.
pub(crate) fn genesis() -> GenesisSpec {
    let alloc: BTreeMap<_, _> = (1..=3).map(|n| (signer(n).address(), U256::from(1_000 * COIN))).collect();
    GenesisSpec {
        chain_id: CHAIN_ID,
        timestamp: 1_800_000_000,
        gas_limit: 100_000_000,
        alloc,
        fee_recipient_vault: Some(abi::FEE_VAULT),
        randomness: Some(abi::RANDOMNESS),
        ..Default::default()
    }
}

/// A chain in a directory of its own.
pub(crate) struct TestChain {
    pub dir: tempfile::TempDir,
    pub chain: Chain,
}

impl TestChain {
    pub(crate) fn new() -> Self {
        Self::with(ChainConfig::default())
    }

    pub(crate) fn with(config: ChainConfig) -> Self {
        Self::of(&genesis(), config)
    }

    pub(crate) fn of(genesis: &GenesisSpec, config: ChainConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let chain = Chain::open(dir.path(), genesis, config).unwrap();
        Self { dir, chain }
    }

    /// Proposes on the head and finalises.
    pub(crate) fn advance(&self, candidates: &[Bytes]) -> (Proposed, Arc<BlockRecord>) {
        let head = self.chain.head();
        let proposed = self.chain.propose(head.hash, attributes(&head), candidates).unwrap();
        let record = self.chain.finalize(proposed.hash).unwrap();
        (proposed, record)
    }
}

/// Attributes of a child of `parent`.
pub(crate) fn attributes(parent: &BlockRecord) -> BlockAttributes {
    let number = parent.number() + 1;
    BlockAttributes {
        timestamp: parent.header.timestamp + number % 2,
        randomness: alloy_primitives::keccak256(number.to_be_bytes()),
        parent_beacon_root: B256::with_last_byte(number as u8),
        beneficiary: BENEFICIARY,
        ..Default::default()
    }
}

/// A transfer that can be changed before it is signed.
pub(crate) fn transfer(nonce: u64, to: Address, value: u128) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: FEE_MAX,
        max_priority_fee_per_gas: 1_000_000,
        to: TxKind::Call(to),
        value: U256::from(value),
        ..Default::default()
    }
}

/// A contract creation.
pub(crate) fn creation(nonce: u64, code: Bytes) -> TxEip1559 {
    TxEip1559 { to: TxKind::Create, input: code, gas_limit: 1_000_000, ..transfer(nonce, Address::ZERO, 0) }
}

/// A call.
pub(crate) fn call(nonce: u64, to: Address, input: Bytes) -> TxEip1559 {
    TxEip1559 { input, gas_limit: 1_000_000, ..transfer(nonce, to, 0) }
}

/// Signs with the key of this number and encodes.
pub(crate) fn signed<T>(number: u8, mut transaction: T) -> Bytes
where
    T: SignableTransaction<alloy_primitives::Signature>,
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    let signature = signer(number).sign_transaction_sync(&mut transaction).unwrap();
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
}

/// Runtime that adds one to slot 0, emits an empty log with topic 7, and returns.
pub(crate) const COUNTER_RUNTIME: Bytes = bytes!("5f546001015f5560075f5fa100");
