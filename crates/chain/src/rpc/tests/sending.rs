//! Transactions on their way in.

use super::*;
use alloy_consensus::TxLegacy;
use std::time::Duration;

#[tokio::test]
async fn deploy_send_call_logs_and_receipt() {
    let world = World::automatic().await;
    let contract = world.deploy().await;
    let call = Transfer { nonce: 1, to: TxKind::Call(contract), input: word(42), ..transfer() };
    let hash = world.send(&call.raw(1)).await;

    let receipt = world.get("eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!((&receipt["status"], &receipt["type"]), (&json!("0x1"), &json!("0x2")));
    assert_eq!(receipt["transactionHash"], hash);
    assert_eq!(receipt["to"], json!(contract));
    assert_eq!(receipt["contractAddress"], Value::Null);
    assert_eq!(receipt["gasUsed"], receipt["cumulativeGasUsed"]);
    let log = &receipt["logs"][0];
    assert_eq!((&log["data"], &log["logIndex"], &log["removed"]), (&json!(word(42)), &json!("0x0"), &json!(false)));
    assert_eq!(log["topics"], json!([word(7)]));
    assert_eq!(log["blockHash"], receipt["blockHash"]);

    let stored = world.get("eth_call", json!([{"to": contract}, "latest"])).await;
    assert_eq!(stored, json!(word(42)));
    let logs = world.get("eth_getLogs", json!([{"address": contract, "fromBlock": "0x0"}])).await;
    assert_eq!(&logs[0], log);
    assert_eq!(logs.as_array().unwrap().len(), 1);
    let price = number(&receipt["effectiveGasPrice"]) as u128;
    let block = world.get("eth_getBlockByHash", json!([receipt["blockHash"], false])).await;
    assert_eq!(price, number(&block["baseFeePerGas"]) as u128 + GWEI);
}

#[tokio::test]
async fn pending_nonce_counts_the_pool_without_gaps() {
    let world = World::manual(RpcLimits::default()).await;
    let sender = signer(1).address();
    world.send(&transfer().raw(1)).await;
    world.send(&Transfer { nonce: 2, ..transfer() }.raw(1)).await;
    assert_eq!(world.nonce(sender, "pending").await, 1);
    assert_eq!(world.nonce(sender, "latest").await, 0);
    assert_eq!(world.miner.seen.lock().len(), 1, "a transaction behind a gap waits in the pool");
    assert_eq!(world.get("txpool_status", json!([])).await, json!({"pending": "0x1", "queued": "0x1"}));

    world.send(&Transfer { nonce: 1, ..transfer() }.raw(1)).await;
    assert_eq!(world.nonce(sender, "pending").await, 3);
    assert_eq!(world.miner.seen.lock().len(), 3, "filling the gap sends what waited behind it");
    assert_eq!(world.miner.mine().transactions.len(), 3);
    assert_eq!(world.nonce(sender, "latest").await, 3);
    world.settle().await;
}

#[tokio::test]
async fn a_pending_transaction_is_found_without_a_block() {
    let world = World::manual(RpcLimits::default()).await;
    let raw = transfer().raw(1);
    let hash = world.send(&raw).await;
    let pending = world.get("eth_getTransactionByHash", json!([hash])).await;
    assert_eq!((&pending["blockHash"], &pending["blockNumber"]), (&Value::Null, &Value::Null));
    assert_eq!(pending["from"], json!(signer(1).address()));
    assert_eq!(world.get("eth_getRawTransactionByHash", json!([hash])).await, json!(raw));
    assert_eq!(world.get("eth_getTransactionReceipt", json!([hash])).await, Value::Null);

    world.miner.mine();
    let mined = world.get("eth_getTransactionByHash", json!([hash])).await;
    assert_eq!((&mined["blockNumber"], &mined["transactionIndex"]), (&json!("0x1"), &json!("0x0")));
    assert_eq!(world.get("eth_getRawTransactionByHash", json!([hash])).await, json!(raw));
}

#[tokio::test]
async fn a_replacement_pays_ten_percent_more() {
    let world = World::manual(RpcLimits::default()).await;
    let first = world.send(&transfer().raw(1)).await;
    let cheap = Transfer { fee: 11 * GWEI, tip: GWEI + GWEI / 11, ..transfer() };
    let (code, message) = world.fail("eth_sendRawTransaction", json!([cheap.raw(1)])).await;
    assert_eq!(code, -32000);
    assert!(message.starts_with("replacement transaction underpriced: "), "{message}");
    assert!(message.contains("11000000000 and 1100000000"), "{message}");

    let dear = Transfer { fee: 11 * GWEI, tip: GWEI + GWEI / 10, ..transfer() };
    let second = world.send(&dear.raw(1)).await;
    assert_eq!(world.get("eth_getTransactionByHash", json!([first])).await, Value::Null);
    world.miner.mine();
    assert_eq!(world.get("eth_getTransactionReceipt", json!([second])).await["status"], "0x1");
}

#[tokio::test]
async fn each_rejection_says_why_in_the_words_that_clients_match() {
    let world = World::automatic().await;
    world.send(&transfer().raw(1)).await;
    let poor = Transfer { value: U256::from(1_001 * ETHER), nonce: 1, ..transfer() };
    let old = TxLegacy { nonce: 1, gas_price: 10 * GWEI, gas_limit: 21_000, ..Default::default() };
    let unprotected = {
        let mut old = old;
        let signature = signer(1).sign_transaction_sync(&mut old).unwrap();
        Bytes::from(TxEnvelope::from(old.into_signed(signature)).encoded_2718())
    };
    let next = Transfer { nonce: 1, ..transfer() };
    let create = Transfer { to: TxKind::Create, input: vec![0; 49_153].into(), gas: 16_000_000, ..next.clone() };
    let cases: Vec<(Bytes, &str)> = vec![
        (transfer().raw(1), "nonce too low: next nonce 1, tx nonce 0"),
        (poor.raw(1), "insufficient funds for gas * price + value: balance "),
        (Transfer { gas: 20_999, ..next.clone() }.raw(1), "intrinsic gas too low: gas 20999, minimum needed 21000"),
        (
            Transfer { gas: 16_777_217, ..next.clone() }.raw(1),
            "transaction gas limit too high (cap: 16777216, tx: 16777217)",
        ),
        (Transfer { chain_id: 1, ..next.clone() }.raw(1), "invalid chain id for signer: have 1 want 5886"),
        (
            Transfer { fee: 6, tip: 0, ..next.clone() }.raw(1),
            "max fee per gas less than block base fee: maxFeePerGas: 6",
        ),
        (Transfer { tip: 11 * GWEI, ..next.clone() }.raw(1), "max priority fee per gas higher than max fee per gas"),
        (Transfer { nonce: 258, ..transfer() }.raw(1), "nonce too high: next nonce 1, tx nonce 258, at most 256 ahead"),
        (create.raw(1), "max initcode size exceeded: code size 49153, limit 49152"),
        (unprotected, "only replay-protected (EIP-155) transactions allowed over RPC"),
        (Bytes::from_static(&[3, 0xc0]), "transaction type not supported: blob transactions (type 3)"),
        (Bytes::from_static(&[2, 0xc0]), "transaction cannot be decoded"),
        (Bytes::new(), "transaction is empty"),
        (vec![2; 131_073].into(), "oversized data: transaction size 131073, limit 131072"),
    ];
    for (raw, expected) in cases {
        let (code, message) = world.fail("eth_sendRawTransaction", json!([raw])).await;
        assert!(message.starts_with(expected), "expected {expected:?}, got {message:?}");
        assert_eq!(code, -32000, "{message}");
    }
    assert_eq!(world.miner.seen.lock().len(), 1, "nothing refused reaches a validator");
}

#[tokio::test]
async fn what_is_known_is_not_taken_twice() {
    let world = World::manual(RpcLimits::default()).await;
    let raw = transfer().raw(1);
    let hash = world.send(&raw).await;
    let (code, message) = world.fail("eth_sendRawTransaction", json!([raw])).await;
    assert_eq!((code, message), (-32000, format!("already known: {}", hash.as_str().unwrap())));
}

#[tokio::test]
async fn a_transaction_no_validator_took_is_an_error_and_can_be_sent_again() {
    let world = World::automatic().await;
    let raw = transfer().raw(1);
    world.miner.failing.store(true, Relaxed);
    let (code, message) = world.fail("eth_sendRawTransaction", json!([raw])).await;
    assert_eq!(code, -32000);
    assert!(message.contains("no validator took it (connection refused)"), "{message}");
    world.miner.failing.store(false, Relaxed);
    world.send(&raw).await;
    assert_eq!(world.nonce(signer(1).address(), "latest").await, 1);
}

#[tokio::test]
async fn what_stays_pending_is_broadcast_again() {
    let world = World::manual(RpcLimits::default()).await;
    world.send(&transfer().raw(1)).await;
    // The validators lost it: their blocks come without it.
    world.miner.queue.lock().clear();
    for _ in 0..crate::pool::REBROADCAST_BLOCKS {
        assert!(world.miner.mine().transactions.is_empty());
    }
    while world.miner.queue.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.miner.mine().transactions.len(), 1);
    world.settle().await;
}

#[tokio::test]
async fn sync_sending_answers_the_receipt() {
    let world = World::automatic().await;
    let receipt = world.get("eth_sendRawTransactionSync", json!([transfer().raw(1)])).await;
    assert_eq!((&receipt["status"], &receipt["blockNumber"]), (&json!("0x1"), &json!("0x1")));
}

#[tokio::test]
async fn sync_sending_gives_the_hash_when_time_is_up() {
    let limits = RpcLimits { send_sync_time: Duration::from_millis(20), ..Default::default() };
    let world = World::manual(limits).await;
    let tx = transfer().sign(1);
    let raw: Bytes = tx.encoded_2718().into();
    let answer = world.ask("eth_sendRawTransactionSync", json!([raw, "0xffff"])).await;
    assert_eq!(answer["error"]["code"], 4);
    assert_eq!(answer["error"]["data"], json!(tx.tx_hash()));
    world.miner.mine();
    assert_eq!(world.get("eth_getTransactionReceipt", json!([tx.tx_hash()])).await["status"], "0x1");
}

#[tokio::test]
async fn the_pool_can_be_looked_into() {
    let world = World::manual(RpcLimits::default()).await;
    let sender = signer(1).address();
    world.send(&transfer().raw(1)).await;
    world.send(&Transfer { nonce: 5, value: U256::from(3), ..transfer() }.raw(1)).await;
    let content = world.get("txpool_content", json!([])).await;
    let address = sender.to_string().to_lowercase();
    let by_nonce = |part: &str| {
        let (key, value) = content[part].as_object().unwrap().iter().next().unwrap();
        assert_eq!(key.to_lowercase(), address);
        value.clone()
    };
    assert_eq!(by_nonce("pending")["0"]["nonce"], "0x0");
    assert_eq!(by_nonce("queued")["5"]["value"], "0x3");
    let from = world.get("txpool_contentFrom", json!([sender])).await;
    assert_eq!(from["queued"]["5"]["from"], json!(sender));
    assert_eq!(from["queued"]["5"].get("blockTimestamp"), Some(&Value::Null));
    let inspect = world.get("txpool_inspect", json!([])).await.to_string();
    assert!(inspect.contains("3 wei + 200000 gas × 10000000000 wei"), "{inspect}");
}
