//! The server against raw JSON, over a real socket, with a chain that mines by itself or when told.

mod calls;
mod exhaustion;
mod facts;
mod polling;
mod reads;
mod sending;
mod tracing;
mod wire;

use super::{RpcLimits, RpcServer, serve};
use crate::pool::Broadcast;
use crate::{BlockAttributes, BlockRecord, Chain, ChainConfig, GenesisSpec};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_network::TxSignerSync;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex};
use alloy_signer_local::PrivateKeySigner;
use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tempfile::TempDir;

const CHAIN_ID: u64 = 5886;
const GAS_LIMIT: u64 = 100_000_000;
const ETHER: u128 = 1_000_000_000_000_000_000;
const GWEI: u128 = 1_000_000_000;

/// Without calldata it returns slot 0; with one word it stores the word there and logs it under topic 7; with anything
/// else it reverts with its calldata.
const CONTRACT: [u8; 52] = hex!(
    "36600f57600054600052602060"
    "00f35b366020146021573660006000373660"
    "00fd5b600035806000556000526007602060"
    "00a100"
);

/// A validator quorum of one, without consensus: mines what it is handed.
pub(super) struct Miner {
    chain: Chain,
    queue: Mutex<Vec<Bytes>>,
    seen: Mutex<Vec<Bytes>>,
    automatic: AtomicBool,
    failing: AtomicBool,
}

#[async_trait]
impl Broadcast for Miner {
    async fn broadcast(&self, raw: Bytes) -> Result<(), String> {
        if self.failing.load(Relaxed) {
            return Err("connection refused".into());
        }
        self.seen.lock().push(raw.clone());
        self.queue.lock().push(raw);
        if self.automatic.load(Relaxed) {
            self.mine();
        }
        Ok(())
    }
}

impl Miner {
    pub(super) fn mine(&self) -> Arc<BlockRecord> {
        let (head, candidates) = (self.chain.head(), std::mem::take(&mut *self.queue.lock()));
        let attributes = BlockAttributes {
            timestamp: head.header.timestamp + 1,
            beneficiary: Address::repeat_byte(0xbe),
            ..Default::default()
        };
        let proposed = self.chain.propose(head.hash, attributes, &candidates).unwrap();
        self.chain.finalize(proposed.hash).unwrap()
    }
}

/// A served chain with funded accounts.
pub(super) struct World {
    pub(super) chain: Chain,
    pub(super) miner: Arc<Miner>,
    server: RpcServer,
    http: reqwest::Client,
    _dir: TempDir,
}

impl World {
    /// Mines each transaction at once.
    pub(super) async fn automatic() -> Self {
        let world = Self::manual(RpcLimits::default()).await;
        world.miner.automatic.store(true, Relaxed);
        world
    }

    /// Mines when told.
    pub(super) async fn manual(limits: RpcLimits) -> Self {
        let dir = TempDir::new().unwrap();
        let alloc = (1..=3).map(|i| (signer(i).address(), U256::from(1_000 * ETHER))).collect();
        let genesis =
            GenesisSpec { chain_id: CHAIN_ID, timestamp: 1, gas_limit: GAS_LIMIT, alloc, ..Default::default() };
        let chain = Chain::open(dir.path(), &genesis, ChainConfig::default()).unwrap();
        let miner = Arc::new(Miner {
            chain: chain.clone(),
            queue: Mutex::default(),
            seen: Mutex::default(),
            automatic: AtomicBool::new(false),
            failing: AtomicBool::new(false),
        });
        let server = serve(([127, 0, 0, 1], 0).into(), chain.clone(), miner.clone(), limits).await.unwrap();
        Self { chain, miner, server, http: reqwest::Client::builder().tls_certs_only([]).build().unwrap(), _dir: dir }
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.local_addr)
    }

    /// Posts a body; HTTP status and JSON.
    async fn post(&self, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = self.http.post(self.url()).header("content-type", "application/json").body(body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or(Value::Null))
    }

    pub(super) async fn ask(&self, method: &str, params: Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let (status, answer) = self.post(request.to_string()).await;
        assert_eq!(status, 200, "{method}: {answer}");
        answer
    }

    /// The result of a call that must succeed.
    pub(super) async fn get(&self, method: &str, params: Value) -> Value {
        let answer = self.ask(method, params).await;
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Code and message of a call that must fail.
    pub(super) async fn fail(&self, method: &str, params: Value) -> (i64, String) {
        let error = self.ask(method, params).await["error"].clone();
        assert!(error.is_object(), "{method} succeeded");
        (error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_owned())
    }

    pub(super) async fn send(&self, raw: &Bytes) -> Value {
        self.get("eth_sendRawTransaction", json!([raw])).await
    }

    /// Deploys [`CONTRACT`] from account 1.
    pub(super) async fn deploy(&self) -> Address {
        let nonce = self.nonce(signer(1).address(), "latest").await;
        let hash = self.send(&Transfer { nonce, to: TxKind::Create, input: init_code(), ..transfer() }.raw(1)).await;
        let receipt = self.get("eth_getTransactionReceipt", json!([hash])).await;
        receipt["contractAddress"].as_str().unwrap().parse().unwrap()
    }

    async fn nonce(&self, address: Address, block: &str) -> u64 {
        number(&self.get("eth_getTransactionCount", json!([address, block])).await)
    }

    /// Lets the node's background task see the head.
    async fn settle(&self) {
        while self.get("txpool_status", json!([])).await["pending"] != "0x0" {
            tokio::task::yield_now().await;
        }
    }
}

/// What a test transaction says; see [`transfer`] for the defaults.
#[derive(Clone, Debug)]
pub(super) struct Transfer {
    pub(super) nonce: u64,
    pub(super) to: TxKind,
    pub(super) value: U256,
    pub(super) gas: u64,
    pub(super) fee: u128,
    pub(super) tip: u128,
    pub(super) chain_id: u64,
    pub(super) input: Bytes,
}

pub(super) fn transfer() -> Transfer {
    Transfer {
        nonce: 0,
        to: TxKind::Call(Address::repeat_byte(0x77)),
        value: U256::ZERO,
        gas: 200_000,
        fee: 10 * GWEI,
        tip: GWEI,
        chain_id: CHAIN_ID,
        input: Bytes::new(),
    }
}

impl Transfer {
    fn sign(&self, account: u8) -> TxEnvelope {
        let mut tx = TxEip1559 {
            chain_id: self.chain_id,
            nonce: self.nonce,
            gas_limit: self.gas,
            max_fee_per_gas: self.fee,
            max_priority_fee_per_gas: self.tip,
            to: self.to,
            value: self.value,
            input: self.input.clone(),
            ..Default::default()
        };
        let signature = signer(account).sign_transaction_sync(&mut tx).unwrap();
        tx.into_signed(signature).into()
    }

    pub(super) fn raw(&self, account: u8) -> Bytes {
        self.sign(account).encoded_2718().into()
    }
}

pub(super) fn signer(account: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(account)).unwrap()
}

fn init_code() -> Bytes {
    let copy_and_return = hex!("603480600b6000396000f3");
    [copy_and_return.as_slice(), &CONTRACT].concat().into()
}

pub(super) fn word(value: u64) -> Bytes {
    Bytes::from(B256::from(U256::from(value)))
}

pub(super) fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}
