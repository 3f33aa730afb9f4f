//! Logs, filters and subscriptions.

use super::*;
use futures::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn connect(world: &World) -> Socket {
    tokio_tungstenite::connect_async(format!("ws://{}", world.server.local_addr)).await.unwrap().0
}

async fn next(socket: &mut Socket) -> Value {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
}

async fn ask(socket: &mut Socket, method: &str, params: Value) -> Value {
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    socket.send(Message::text(request.to_string())).await.unwrap();
    next(socket).await
}

fn store(contract: Address, nonce: u64, value: u64) -> Bytes {
    Transfer { nonce, to: TxKind::Call(contract), input: word(value), ..transfer() }.raw(1)
}

#[tokio::test]
async fn logs_are_found_by_address_topic_range_and_block() {
    let world = World::automatic().await;
    let contract = world.deploy().await;
    for nonce in 1..=3 {
        world.send(&store(contract, nonce, nonce)).await;
    }
    let hash = world.get("eth_getBlockByNumber", json!(["0x3", false])).await["hash"].clone();
    let other = Address::repeat_byte(1);
    for (filter, values) in [
        (json!({"fromBlock": "earliest", "toBlock": "latest"}), vec![1, 2, 3]),
        (json!({}), vec![3]),
        (json!({"fromBlock": "0x2", "toBlock": "0x3"}), vec![1, 2]),
        (json!({"blockHash": hash}), vec![2]),
        (json!({"fromBlock": "0x0", "address": [other, contract]}), vec![1, 2, 3]),
        (json!({"fromBlock": "0x0", "address": other}), vec![]),
        (json!({"fromBlock": "0x0", "topics": [word(7)]}), vec![1, 2, 3]),
        (json!({"fromBlock": "0x0", "topics": [[word(6), word(7)]]}), vec![1, 2, 3]),
        (json!({"fromBlock": "0x0", "topics": [null]}), vec![1, 2, 3]),
        (json!({"fromBlock": "0x0", "topics": [word(8)]}), vec![]),
        (json!({"fromBlock": "0x0", "topics": [word(7), word(7)]}), vec![]),
    ] {
        let logs = world.get("eth_getLogs", json!([filter])).await;
        let found: Vec<Value> = logs.as_array().unwrap().iter().map(|log| log["data"].clone()).collect();
        let expected: Vec<Value> = values.into_iter().map(|value| json!(word(value))).collect();
        assert_eq!(found, expected, "{filter}");
    }
    let backwards = json!([{"fromBlock": "0x3", "toBlock": "0x2"}]);
    assert_eq!(world.fail("eth_getLogs", backwards.clone()).await.0, -32602);
    assert_eq!(world.fail("eth_newFilter", backwards).await.0, -32602);
    let beyond = json!([{"fromBlock": "0x2", "toBlock": "0x99"}]);
    assert_eq!(world.fail("eth_getLogs", beyond).await.0, -32602);
    assert_eq!(world.fail("eth_getLogs", json!([{"blockHash": B256::ZERO}])).await.0, -32000);
}

#[tokio::test]
async fn a_log_query_over_too_many_blocks_names_the_limit() {
    let world = World::manual(RpcLimits { log_blocks: 2, ..Default::default() }).await;
    for _ in 0..3 {
        world.miner.mine();
    }
    assert_eq!(world.get("eth_getLogs", json!([{"fromBlock": "0x2"}])).await, json!([]));
    let (code, message) = world.fail("eth_getLogs", json!([{"fromBlock": "0x1"}])).await;
    assert_eq!((code, message.as_str()), (-32005, "block range too large: 3 blocks asked, limit 2; query in parts"));
}

#[tokio::test]
async fn filters_report_each_thing_once() {
    let world = World::automatic().await;
    let contract = world.deploy().await;
    let logs = world.get("eth_newFilter", json!([{"address": contract, "fromBlock": "0x0"}])).await;
    let blocks = world.get("eth_newBlockFilter", json!([])).await;
    let pending = world.get("eth_newPendingTransactionFilter", json!([])).await;
    let hash = world.send(&store(contract, 1, 11)).await;

    let found = world.get("eth_getFilterChanges", json!([logs])).await;
    assert_eq!((&found[0]["data"], found.as_array().unwrap().len()), (&json!(word(11)), 1));
    let head = json!([world.chain.head().hash]);
    assert_eq!(world.get("eth_getFilterChanges", json!([blocks])).await, head);
    assert_eq!(world.get("eth_getFilterChanges", json!([pending])).await, json!([hash]));
    for id in [&logs, &blocks, &pending] {
        assert_eq!(world.get("eth_getFilterChanges", json!([id])).await, json!([]), "reported twice");
    }
    world.send(&store(contract, 2, 12)).await;
    assert_eq!(world.get("eth_getFilterLogs", json!([logs])).await.as_array().unwrap().len(), 2);
    assert_eq!(world.fail("eth_getFilterLogs", json!([blocks])).await.0, -32602);

    assert_eq!(world.get("eth_uninstallFilter", json!([logs])).await, true);
    assert_eq!(world.get("eth_uninstallFilter", json!([logs])).await, false);
    let (code, message) = world.fail("eth_getFilterChanges", json!([logs])).await;
    assert_eq!(code, -32000);
    assert!(message.starts_with("filter not found"), "{message}");
}

#[tokio::test]
async fn a_log_query_with_too_many_results_names_the_limit() {
    let world = World::manual(RpcLimits { log_results: 2, ..Default::default() }).await;
    world.miner.automatic.store(true, Relaxed);
    let contract = world.deploy().await;
    for nonce in 1..=3 {
        world.send(&store(contract, nonce, nonce)).await;
    }
    let two = world.get("eth_getLogs", json!([{"fromBlock": "0x3"}])).await;
    assert_eq!(two.as_array().unwrap().len(), 2);
    let (code, message) = world.fail("eth_getLogs", json!([{"fromBlock": "0x0"}])).await;
    assert_eq!((code, message.contains("finds 3 logs, limit 2")), (-32005, true), "{message}");
}

#[tokio::test]
async fn filters_are_limited_in_number() {
    let world = World::manual(RpcLimits { filters: 1, ..Default::default() }).await;
    world.get("eth_newBlockFilter", json!([])).await;
    let (code, message) = world.fail("eth_newBlockFilter", json!([])).await;
    assert_eq!((code, message.contains("all 1 filters")), (-32005, true), "{message}");
    let world = World::manual(RpcLimits { filters_per_connection: 0, ..Default::default() }).await;
    let (code, message) = world.fail("eth_newBlockFilter", json!([])).await;
    assert_eq!((code, message.contains("this connection")), (-32005, true), "{message}");
}

#[tokio::test]
async fn subscriptions_push_heads_logs_and_pending_transactions() {
    let world = World::automatic().await;
    let contract = world.deploy().await;
    let mut socket = connect(&world).await;
    let mut ids = Vec::new();
    for params in [json!(["newHeads"]), json!(["logs", {"address": contract}]), json!(["newPendingTransactions"])] {
        let id = ask(&mut socket, "eth_subscribe", params).await["result"].clone();
        assert!(id.is_string(), "{id}");
        ids.push(id);
    }
    let hash = world.send(&store(contract, 1, 5)).await;
    let mut pushed = std::collections::HashMap::new();
    while pushed.len() < 3 {
        let message = next(&mut socket).await;
        assert_eq!(message["method"], "eth_subscription");
        let params = message["params"].clone();
        pushed.insert(params["subscription"].to_string(), params["result"].clone());
    }
    let [head, log, pending] = [0, 1, 2].map(|i| pushed[&ids[i].to_string()].clone());
    assert_eq!((&head["number"], &head["hash"]), (&json!("0x2"), &json!(world.chain.head().hash)));
    assert_eq!((&log["data"], &log["blockNumber"]), (&json!(word(5)), &json!("0x2")));
    assert_eq!(pending, hash);

    assert_eq!(ask(&mut socket, "eth_unsubscribe", json!([ids[0]])).await["result"], true);
    assert_eq!(ask(&mut socket, "eth_unsubscribe", json!([ids[0]])).await["result"], false);
    world.send(&transfer_at(2)).await;
    assert_eq!(next(&mut socket).await["params"]["subscription"], ids[2], "no more heads after unsubscribing");
}

fn transfer_at(nonce: u64) -> Bytes {
    Transfer { nonce, ..transfer() }.raw(1)
}

#[tokio::test]
async fn a_websocket_serves_calls_and_batches_too() {
    let world = World::automatic().await;
    let mut socket = connect(&world).await;
    assert_eq!(ask(&mut socket, "eth_chainId", json!([])).await["result"], "0x16fe");
    assert_eq!(ask(&mut socket, "eth_nothing", json!([])).await["error"]["code"], -32601);
    let call = json!({"jsonrpc": "2.0", "id": 4, "method": "net_version"});
    socket.send(Message::text(json!([call, call]).to_string())).await.unwrap();
    assert_eq!(next(&mut socket).await[1]["result"], "5886");
    socket.send(Message::text("{")).await.unwrap();
    assert_eq!(next(&mut socket).await["error"]["code"], -32700);
    assert_eq!(ask(&mut socket, "eth_blockNumber", json!([])).await["result"], "0x0");
}

#[tokio::test]
async fn subscriptions_of_one_socket_are_limited_and_checked() {
    let world = World::manual(RpcLimits { subscriptions_per_connection: 1, ..Default::default() }).await;
    let mut socket = connect(&world).await;
    assert_eq!(ask(&mut socket, "eth_subscribe", json!(["oldHeads"])).await["error"]["code"], -32602);
    assert_eq!(ask(&mut socket, "eth_subscribe", json!(["newHeads", true])).await["error"]["code"], -32602);
    let unserved = ask(&mut socket, "eth_subscribe", json!(["transactionReceipts"])).await["error"].clone();
    assert_eq!(unserved["code"], -32602);
    assert!(unserved["message"].as_str().unwrap().contains("not served"), "{unserved}");
    // A refused subscription gives its place back just after its answer.
    let mut syncing = ask(&mut socket, "eth_subscribe", json!(["syncing"])).await;
    for _ in 0..100 {
        if syncing["error"]["code"] != -32006 {
            break;
        }
        syncing = ask(&mut socket, "eth_subscribe", json!(["syncing"])).await;
    }
    assert!(syncing["result"].is_string(), "{syncing}");
    assert_eq!(next(&mut socket).await["params"]["result"], false);
    assert_eq!(ask(&mut socket, "eth_subscribe", json!(["newHeads"])).await["error"]["code"], -32006);
}
