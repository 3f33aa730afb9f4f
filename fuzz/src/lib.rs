//! What strangers send must never make a node panic, hang or disagree with itself.
//!
//! The targets share a tiny chain of three blocks with funded keys and one contract. Nothing a target does moves its
//! head, so that a finding depends on its input alone. `cargo xtask fuzz` builds and runs them.

pub mod seeds;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_network::TxSignerSync;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, hex};
use alloy_signer_local::PrivateKeySigner;
use async_trait::async_trait;
use chain::pool::Broadcast;
use chain::rpc::{LocalRpc, RpcLimits};
use chain::{BlockAttributes, BlockRecord, Chain, ChainConfig, GenesisSpec, Predeploy};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// EIP-155 chain id.
pub const CHAIN_ID: u64 = 5886;
/// Funded keys: 1 to this number.
pub const KEYS: u8 = 4;
/// Where the contract of genesis stands.
pub const CONTRACT: Address = Address::repeat_byte(0xcc);
/// Counts its calls in slot 0, stores its first word in slot 1, logs with one topic, and returns the word.
const RUNTIME: [u8; 24] = hex!("5f546001015f555f356001555f5f526007602060205fa15f");
/// Largest message that a target takes, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Takes every transaction and orders none.
struct Nowhere;

#[async_trait]
impl Broadcast for Nowhere {
    async fn broadcast(&self, _: Bytes) -> Result<(), String> {
        Ok(())
    }
}

/// A chain and everything in front of it.
pub struct World {
    /// The chain, with its head at block 3.
    pub chain: Chain,
    /// Its methods.
    pub rpc: LocalRpc,
    runtime: Runtime,
    _dir: TempDir,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// The same chain each time.
    pub fn new() -> Self {
        let dir = TempDir::new().expect("there is a folder for temporary files");
        let chain = Chain::open(dir.path(), &genesis(), ChainConfig::default()).expect("the genesis is valid");
        for nonce in 0..3 {
            let transactions = [call(nonce, Bytes::from(vec![nonce as u8; 32]))].map(|call| signed(1, call));
            advance(&chain, &transactions);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let rpc = LocalRpc::new(chain.clone(), Arc::new(Nowhere), limits()).expect("no two methods share a name");
        Self { chain, rpc, runtime: runtime.expect("threads can be started"), _dir: dir }
    }

    /// The answer to a JSON-RPC message.
    pub fn answer(&self, message: &[u8]) -> Option<String> {
        self.runtime.block_on(self.rpc.answer(message))
    }

    /// Attributes of a next block.
    pub fn attributes(&self) -> BlockAttributes {
        attributes(&self.chain.head())
    }
}

/// Small, so that one input takes milliseconds.
fn limits() -> RpcLimits {
    RpcLimits {
        batch_calls: 16,
        call_gas: 1_000_000,
        call_time: Duration::from_millis(500),
        send_sync_time: Duration::from_millis(5),
        filters: 16,
        ..Default::default()
    }
}

fn genesis() -> GenesisSpec {
    GenesisSpec {
        chain_id: CHAIN_ID,
        timestamp: 1_800_000_000,
        gas_limit: 30_000_000,
        alloc: (1..=KEYS).map(|key| (signer(key).address(), U256::from(10).pow(U256::from(24)))).collect(),
        predeploys: vec![Predeploy {
            name: "Contract".into(),
            address: CONTRACT,
            creation_code: deployer(&RUNTIME),
            init_calls: Vec::new(),
        }],
        ..Default::default()
    }
}

/// Creation code that returns `runtime`.
pub fn deployer(runtime: &[u8]) -> Bytes {
    // PUSH2 length, DUP1, PUSH1 offset, PUSH0, CODECOPY, PUSH0, RETURN
    let mut code = vec![0x61];
    code.extend_from_slice(&(runtime.len() as u16).to_be_bytes());
    code.extend_from_slice(&[0x80, 0x60, 0x0a, 0x5f, 0x39, 0x5f, 0xf3]);
    code.extend_from_slice(runtime);
    code.into()
}

/// The key with this number.
pub fn signer(key: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(key)).expect("a byte other than 0, repeated, is a key")
}

/// A call of the contract.
pub fn call(nonce: u64, input: Bytes) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 100_000,
        max_fee_per_gas: 3_000_000_000,
        max_priority_fee_per_gas: 1_000_000,
        to: TxKind::Call(CONTRACT),
        input,
        ..Default::default()
    }
}

/// Signs with a key and encodes (EIP-2718).
pub fn signed<T>(key: u8, mut transaction: T) -> Bytes
where
    T: SignableTransaction<Signature>,
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    let signature = signer(key).sign_transaction_sync(&mut transaction).expect("a local key signs");
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
}

/// Attributes of a child of `parent`.
pub fn attributes(parent: &BlockRecord) -> BlockAttributes {
    BlockAttributes {
        timestamp: parent.header.timestamp + 1,
        randomness: B256::with_last_byte(parent.number() as u8),
        parent_beacon_root: B256::repeat_byte(7),
        beneficiary: Address::repeat_byte(0xbb),
        ..Default::default()
    }
}

fn advance(chain: &Chain, transactions: &[Bytes]) {
    let head = chain.head();
    let block = chain.propose(head.hash, attributes(&head), transactions).expect("the head can be built on");
    assert_eq!(block.included.len(), transactions.len());
    chain.finalize(block.hash).expect("the block was just built");
}
