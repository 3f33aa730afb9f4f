use super::*;
use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use alloy_sol_types::{SolError, SolValue};
use protocol::abi::{IJobMarket, JOB_MARKET};
use serde_json::{Value, json};
use std::sync::Mutex;

/// A refusal: code, message, data.
pub(crate) type Refusal = (i64, String, Option<Bytes>);
type Handler = Box<dyn Fn(&FakeNode, &Value) -> Result<Value, Refusal> + Send + Sync>;

const CHAIN: u64 = 5886;

/// A JSON-RPC server that behaves like a node with one account, unless a test says otherwise per method.
#[derive(Default)]
pub(crate) struct FakeNode {
    handlers: HashMap<&'static str, Handler>,
    pub(crate) sent: Mutex<Vec<TxEnvelope>>,
    pub(crate) calls: Mutex<Vec<String>>,
    /// Requests to answer with 503 before the first real answer.
    busy: Mutex<u32>,
}

use std::collections::HashMap;

impl FakeNode {
    pub(crate) fn on(
        mut self,
        method: &'static str,
        handler: impl Fn(&FakeNode, &Value) -> Result<Value, Refusal> + Send + Sync + 'static,
    ) -> Self {
        self.handlers.insert(method, Box::new(handler));
        self
    }

    /// Serves on a free port; the node lives as long as the test's runtime.
    pub(crate) async fn serve(self) -> (ChainClient, Arc<FakeNode>) {
        let node = Arc::new(self);
        let state = node.clone();
        let answer = move |axum::Json(request): axum::Json<Value>| {
            let state = state.clone();
            async move { state.answer(&request) }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().route("/", axum::routing::post(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (ChainClient::new(&url, CHAIN), node)
    }

    fn answer(&self, request: &Value) -> (axum::http::StatusCode, axum::Json<Value>) {
        let mut busy = self.busy.lock().unwrap();
        if *busy > 0 {
            *busy -= 1;
            return (axum::http::StatusCode::SERVICE_UNAVAILABLE, axum::Json(Value::Null));
        }
        drop(busy);
        let method = request["method"].as_str().unwrap();
        self.calls.lock().unwrap().push(method.to_owned());
        let outcome = match self.handlers.get(method) {
            Some(handler) => handler(self, &request["params"]),
            None => self.usual(method, &request["params"]),
        };
        let body = match outcome {
            Ok(result) => json!({"jsonrpc": "2.0", "id": request["id"], "result": result}),
            Err((code, message, data)) => {
                json!({"jsonrpc": "2.0", "id": request["id"], "error": {"code": code, "message": message, "data": data}})
            }
        };
        (axum::http::StatusCode::OK, axum::Json(body))
    }

    pub(crate) fn usual(&self, method: &str, params: &Value) -> Result<Value, Refusal> {
        Ok(match method {
            "eth_chainId" => json!(U64::from(CHAIN)),
            "eth_blockNumber" => json!("0x9"),
            "eth_getBalance" => json!(U256::from(10u64.pow(18))),
            "eth_getTransactionCount" => json!(U64::from(self.sent.lock().unwrap().len())),
            "eth_estimateGas" => json!("0x186a0"),
            "eth_maxPriorityFeePerGas" => json!("0x1"),
            "eth_getBlockByNumber" => block(&header()),
            "eth_sendRawTransaction" => {
                let raw: Bytes = serde_json::from_value(params[0].clone()).unwrap();
                let transaction = TxEnvelope::decode_2718(&mut raw.as_ref()).unwrap();
                let hash = *transaction.tx_hash();
                self.sent.lock().unwrap().push(transaction);
                json!(hash)
            }
            "eth_getTransactionReceipt" => {
                let hash: B256 = serde_json::from_value(params[0].clone()).unwrap();
                let known = self.sent.lock().unwrap().iter().any(|sent| *sent.tx_hash() == hash);
                if known { receipt(hash, true) } else { Value::Null }
            }
            other => return Err((-32601, format!("no method {other}"), None)),
        })
    }
}

fn header() -> Header {
    Header { number: 9, timestamp: 1_700_000_000, base_fee_per_gas: Some(7), ..Header::default() }
}

fn block(header: &Header) -> Value {
    let mut block = serde_json::to_value(alloy_rpc_types_eth::Header::new(header.clone())).unwrap();
    block["uncles"] = json!([]);
    block["transactions"] = json!([]);
    block
}

pub(crate) fn receipt(hash: B256, ok: bool) -> Value {
    json!({
        "type": "0x2", "status": if ok { "0x1" } else { "0x0" }, "cumulativeGasUsed": "0x5208", "logs": [],
        "logsBloom": alloy_primitives::Bloom::ZERO, "transactionHash": hash, "transactionIndex": "0x0",
        "blockHash": B256::ZERO, "blockNumber": "0xa", "gasUsed": "0x5208", "effectiveGasPrice": "0x8",
        "from": Address::ZERO, "to": Address::ZERO, "contractAddress": null
    })
}

fn wallet() -> Wallet {
    Wallet::from_private_key(&B256::repeat_byte(1)).unwrap()
}

fn cancel() -> IJobMarket::cancelCall {
    IJobMarket::cancelCall { jobId: U256::from(4) }
}

fn refuse_with(error: impl SolError) -> Refusal {
    (3, "execution reverted".into(), Some(error.abi_encode().into()))
}

fn underpaid() -> Refusal {
    refuse_with(IJobMarket::EscrowUnderpaid { sent: U256::from(5), required: U256::from(8) })
}

#[tokio::test]
async fn another_chain_is_noticed_when_connecting() {
    let (client, _) = FakeNode::default().serve().await;
    assert_eq!(ChainClient::connect(client.url(), CHAIN).await.unwrap().chain_id(), CHAIN);
    assert_eq!(ChainClient::connect(client.url(), 0).await.unwrap().chain_id(), CHAIN);
    let error = ChainClient::connect(client.url(), 1).await.unwrap_err();
    assert!(matches!(error, ChainError::WrongChain { found: CHAIN, expected: 1, .. }), "{error}");
}

#[tokio::test]
async fn calls_return_the_contracts_answer_or_its_refusal() {
    let node = FakeNode::default().on("eth_call", |_, params| {
        let input: Bytes = serde_json::from_value(params[0]["input"].clone()).unwrap();
        match input[..4] == IJobMarket::jobCountCall::SELECTOR {
            true => Ok(json!(Bytes::from(U256::from(42).abi_encode()))),
            false => Err(underpaid()),
        }
    });
    let (client, _) = node.serve().await;
    let count = client.call(JOB_MARKET, IJobMarket::jobCountCall {}).await.unwrap();
    assert_eq!(count, U256::from(42));
    let error = client.call(JOB_MARKET, cancel()).await.map(drop).unwrap_err();
    assert_eq!(error.to_string(), "cancel(uint256) reverted: EscrowUnderpaid { sent: 5, required: 8 }");
    assert_eq!(error.revert::<IJobMarket::EscrowUnderpaid>().unwrap().required, U256::from(8));
}

#[tokio::test]
async fn an_answer_of_another_shape_is_an_error() {
    let (client, _) = FakeNode::default().on("eth_call", |_, _| Ok(json!("0x"))).serve().await;
    let error = client.call(JOB_MARKET, IJobMarket::jobCountCall {}).await.unwrap_err();
    assert!(matches!(error, ChainError::Undecodable { length: 0, .. }), "{error}");
}

#[tokio::test]
async fn a_transaction_is_priced_signed_and_confirmed() {
    let (client, node) = FakeNode::default().serve().await;
    let receipt = client.send(&wallet(), JOB_MARKET, cancel(), U256::from(3)).await.unwrap();
    let sent = node.sent.lock().unwrap();
    let [transaction] = sent.as_slice() else { panic!("{} sent", sent.len()) };
    assert_eq!(receipt.transaction_hash, *transaction.tx_hash());
    assert_eq!(transaction.recover_signer().unwrap(), wallet().address());
    assert_eq!((transaction.chain_id(), transaction.nonce()), (Some(CHAIN), 0));
    assert_eq!((transaction.to(), transaction.value()), (Some(JOB_MARKET), U256::from(3)));
    assert_eq!(transaction.input().as_ref(), cancel().abi_encode());
    assert_eq!(transaction.gas_limit(), 400_000, "what the last receipt of a job needs on top");
    assert_eq!((transaction.max_fee_per_gas(), transaction.max_priority_fee_per_gas()), (15, Some(1)));
}

#[tokio::test]
async fn a_call_that_would_fail_is_not_sent() {
    let (client, node) = FakeNode::default().on("eth_estimateGas", |_, _| Err(underpaid())).serve().await;
    let error = client.send(&wallet(), JOB_MARKET, cancel(), U256::ZERO).await.unwrap_err();
    assert!(matches!(error, ChainError::Reverted { transaction: None, .. }), "{error}");
    assert!(node.sent.lock().unwrap().is_empty());
}

#[tokio::test]
async fn who_cannot_pay_learns_both_numbers() {
    let (client, node) = FakeNode::default().serve().await;
    let value = U256::from(10u64.pow(18));
    let error = client.transfer(&wallet(), Address::ZERO, value).await.unwrap_err();
    let required = value + U256::from(130_000 * 15);
    assert!(matches!(error, ChainError::TooPoor { balance, required: r, .. } if balance == value && r == required));

    let refusing = FakeNode::default().on("eth_estimateGas", |_, _| Err((-32000, "insufficient funds".into(), None)));
    let (client, _) = refusing.serve().await;
    let error = client.transfer(&wallet(), Address::ZERO, value + U256::from(1)).await.unwrap_err();
    assert!(matches!(error, ChainError::TooPoor { .. }), "{error}");
    assert!(node.sent.lock().unwrap().is_empty());
}

#[tokio::test]
async fn more_gas_than_a_transaction_may_use_is_refused() {
    let too_much = |_: &FakeNode, _: &Value| Ok(json!(U64::from(GAS_MAX + 1)));
    let (client, _) = FakeNode::default().on("eth_estimateGas", too_much).serve().await;
    let error = client.send(&wallet(), JOB_MARKET, cancel(), U256::ZERO).await.unwrap_err();
    assert!(matches!(error, ChainError::TooMuchGas { gas, .. } if gas == GAS_MAX + 1), "{error}");

    let (client, node) = FakeNode::default().on("eth_estimateGas", |_, _| Ok(json!(U64::from(GAS_MAX)))).serve().await;
    client.send(&wallet(), JOB_MARKET, cancel(), U256::ZERO).await.unwrap();
    assert_eq!(node.sent.lock().unwrap()[0].gas_limit(), GAS_MAX, "the margin stops at the limit");
}

#[tokio::test]
async fn a_nonce_that_was_taken_is_replaced() {
    let taken = Mutex::new(2);
    let node = FakeNode::default()
        .on("eth_getTransactionCount", |node, _| {
            let tries = node.calls.lock().unwrap().iter().filter(|call| *call == "eth_sendRawTransaction").count();
            Ok(json!(U64::from(5 + tries)))
        })
        .on("eth_sendRawTransaction", move |node, params| {
            let mut taken = taken.lock().unwrap();
            if *taken == 0 {
                return node.usual("eth_sendRawTransaction", params);
            }
            *taken -= 1;
            let message = if *taken == 1 { "nonce too low" } else { "replacement transaction underpriced" };
            Err((-32000, message.into(), None))
        });
    let (client, node) = node.serve().await;
    client.send(&wallet(), JOB_MARKET, cancel(), U256::ZERO).await.unwrap();
    assert_eq!(node.sent.lock().unwrap()[0].nonce(), 7);
}

#[tokio::test]
async fn an_endless_nonce_race_is_given_up() {
    let low = |_: &FakeNode, _: &Value| Err((-32000, "nonce too low".to_owned(), None));
    let (client, _) = FakeNode::default().on("eth_sendRawTransaction", low).serve().await;
    let error = client.send(&wallet(), JOB_MARKET, cancel(), U256::ZERO).await.unwrap_err();
    assert!(matches!(error, ChainError::NonceRace { tries: 8, .. }), "{error}");
}

#[tokio::test]
async fn transactions_sent_at_once_take_different_nonces() {
    // The node counts only what is included: nothing, all the time.
    let (client, node) = FakeNode::default().on("eth_getTransactionCount", |_, _| Ok(json!("0x0"))).serve().await;
    let wallet = wallet();
    let sends = (0..5).map(|_| client.send(&wallet, JOB_MARKET, cancel(), U256::ZERO));
    futures::future::try_join_all(sends).await.unwrap();
    let mut nonces: Vec<u64> = node.sent.lock().unwrap().iter().map(|sent| sent.nonce()).collect();
    nonces.sort();
    assert_eq!(nonces, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_node_that_stumbles_after_taking_a_transaction_does_not_lose_it() {
    let stumbles = Mutex::new(3);
    let node = FakeNode::default().on("eth_getTransactionReceipt", move |node, params| {
        let mut stumbles = stumbles.lock().unwrap();
        if *stumbles == 0 {
            return node.usual("eth_getTransactionReceipt", params);
        }
        *stumbles -= 1;
        Err((-32603, "restarting".into(), None))
    });
    let (client, node) = node.serve().await;
    client.send(&wallet(), JOB_MARKET, cancel(), U256::ZERO).await.unwrap();
    assert_eq!(node.sent.lock().unwrap().len(), 1, "sent once");
}

#[tokio::test]
async fn a_failed_transaction_tells_its_reason() {
    let node = FakeNode::default()
        .on("eth_getTransactionReceipt", |_, params| {
            Ok(receipt(serde_json::from_value(params[0].clone()).unwrap(), false))
        })
        .on("eth_call", |_, params| {
            assert_eq!(params[1], json!("0x9"), "replayed before the block that held it");
            Err(underpaid())
        });
    let (client, _) = node.serve().await;
    let error = client.send(&wallet(), JOB_MARKET, cancel(), U256::ZERO).await.unwrap_err();
    assert!(matches!(error, ChainError::Reverted { transaction: Some(_), .. }), "{error}");
    assert!(error.to_string().contains("EscrowUnderpaid { sent: 5, required: 8 }"));
}

#[tokio::test]
async fn a_changed_header_is_noticed() {
    let lie = |_: &FakeNode, _: &Value| {
        let mut block = block(&header());
        block["stateRoot"] = json!(B256::repeat_byte(1));
        Ok(block)
    };
    let (client, _) = FakeNode::default().on("eth_getBlockByNumber", lie).serve().await;
    let error = client.header(BlockNumberOrTag::Latest).await.unwrap_err();
    assert!(matches!(error, ChainError::Header(_)), "{error}");
}

#[tokio::test]
async fn a_balance_without_its_proof_is_not_believed() {
    let account = |balance: u64| {
        json!({"address": Address::ZERO, "balance": U256::from(balance), "nonce": "0x0", "accountProof": [],
            "codeHash": Account::default().code_hash, "storageHash": Account::default().storage_root, "storageProof": []})
    };
    let empty = Header { state_root: Account::default().storage_root, ..header() };
    let node = FakeNode::default()
        .on("eth_getBlockByNumber", move |_, _| Ok(block(&empty)))
        .on("eth_getProof", move |node, _| Ok(account(node.calls.lock().unwrap().len() as u64 / 3)));
    let (client, _) = node.serve().await;
    assert_eq!(client.proved_account(Address::ZERO).await.unwrap(), Account::default(), "absent, and proved absent");
    let error = client.proved_account(Address::ZERO).await.unwrap_err();
    assert!(matches!(error, ChainError::State(_)), "{error}");
}

#[tokio::test]
async fn a_busy_node_is_asked_again() {
    let (client, node) = FakeNode { busy: Mutex::new(2), ..FakeNode::default() }.serve().await;
    assert_eq!(client.block_number().await.unwrap(), 9);
    assert_eq!(node.calls.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn long_log_ranges_are_asked_for_in_pieces() {
    let node = FakeNode::default().on("eth_getLogs", |node, params| {
        node.calls.lock().unwrap().push(format!("{}-{}", params[0]["fromBlock"], params[0]["toBlock"]));
        Ok(json!([]))
    });
    let (client, node) = node.serve().await;
    let filter = Filter::new().from_block(1u64).to_block(LOG_RANGE_MAX + 1);
    assert!(client.logs(&filter).await.unwrap().is_empty());
    let ranges: Vec<String> = node.calls.lock().unwrap().iter().filter(|call| call.contains('-')).cloned().collect();
    assert_eq!(ranges, [r#""0x1"-"0x2710""#, r#""0x2711"-"0x2711""#]);
}
