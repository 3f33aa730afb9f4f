//! Bytes that are no calls, too many calls, and callers that do nothing.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Open files a test may take, of those the process may open.
const FILES_RESERVED: usize = 400;

#[tokio::test]
async fn a_batch_is_answered_in_order_with_each_error_in_its_place() {
    let world = World::automatic().await;
    let call = |id: u64, method: &str| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": []});
    let notification = json!({"jsonrpc": "2.0", "method": "eth_blockNumber"});
    let batch = json!([call(1, "eth_chainId"), notification, call(2, "eth_nothing"), 5, call(3, "net_version")]);
    let (status, answers) = world.post(batch.to_string()).await;
    assert_eq!((status, answers.as_array().unwrap().len()), (200, 4), "{answers}");
    assert_eq!((&answers[0]["id"], &answers[0]["result"]), (&json!(1), &json!("0x16fe")));
    assert_eq!((&answers[1]["id"], &answers[1]["error"]["code"]), (&json!(2), &json!(-32601)));
    assert_eq!(answers[2]["error"]["code"], -32600);
    assert_eq!((&answers[3]["id"], &answers[3]["result"]), (&json!(3), &json!("5886")));
}

#[tokio::test]
async fn a_batch_beyond_the_limit_is_refused_whole() {
    let world = World::manual(RpcLimits { batch_calls: 2, ..Default::default() }).await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"});
    let (_, answers) = world.post(json!([call, call]).to_string()).await;
    assert_eq!(answers.as_array().unwrap().len(), 2);
    let (_, answer) = world.post(json!([call, call, call]).to_string()).await;
    assert_eq!(answer["error"]["code"], -32010, "{answer}");
    let (_, answer) = world.post("[]").await;
    assert_eq!(answer["error"]["code"], -32600, "{answer}");
}

#[tokio::test]
async fn malformed_json_is_a_parse_error_and_nothing_breaks() {
    let world = World::automatic().await;
    for (body, code) in [
        ("{", -32700),
        ("", -32700),
        ("\u{0}\u{1}", -32700),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,", -32700),
        ("[1,", -32700),
        ("{}", -32600),
        ("{\"jsonrpc\":\"2.0\",\"id\":1}", -32600),
        ("{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"eth_chainId\"}", -32600),
    ] {
        let (_, answer) = world.post(body).await;
        assert_eq!(answer["error"]["code"], code, "{body:?}: {answer}");
    }
    // Deep nesting must not use up the stack; the first level is a batch with one entry that is no call.
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let (_, answer) = world.post(deep).await;
    assert!(answer["error"].is_object() || answer[0]["error"].is_object(), "{answer}");
    assert_eq!(world.get("eth_chainId", json!([])).await, "0x16fe");
}

#[tokio::test]
async fn wrong_parameters_are_named_as_such() {
    let world = World::automatic().await;
    for (method, params) in [
        ("eth_getBalance", json!([])),
        ("eth_getBalance", json!(["0x1234"])),
        ("eth_getBalance", json!({"address": 5})),
        ("eth_getTransactionReceipt", json!(["nonsense"])),
        ("eth_getBlockByNumber", json!(["0xg", false])),
        ("eth_call", json!([5])),
        ("eth_sendRawTransaction", json!(["0x1"])),
        ("eth_getLogs", json!([{"fromBlock": "0x0", "blockHash": B256::ZERO}])),
        ("eth_getLogs", json!([{"topics": [null, null, null, null, null]}])),
        ("eth_newFilter", json!([{"address": "0x01"}])),
    ] {
        assert_eq!(world.fail(method, params.clone()).await.0, -32602, "{method} {params}");
    }
    let (_, message) = world.fail("eth_getBalance", json!(["0x1234"])).await;
    assert!(message.starts_with("invalid argument 0 (address): invalid string length"), "{message}");
    let (_, message) = world.fail("eth_getBalance", json!([])).await;
    assert_eq!(message, "missing value for required argument 0 (address)");
}

#[tokio::test]
async fn what_is_not_there_is_method_not_found() {
    let world = World::automatic().await;
    let probes = ["eth_sendTransaction", "eth_getAccountInfo", "anvil_nodeInfo", "debug_setHead", "", "eth_"];
    for method in probes {
        assert_eq!(world.fail(method, json!([])).await.0, -32601, "{method}");
    }
    let (code, message) = world.fail("eth_subscribe", json!(["newHeads"])).await;
    assert_eq!((code, message.contains("WebSocket")), (-32001, true), "{message}");
}

#[tokio::test]
async fn an_oversized_body_is_refused_and_the_next_request_served() {
    let world = World::manual(RpcLimits { request_bytes: 1_000, ..Default::default() }).await;
    let padded = |length: usize| {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}).to_string();
        format!("{call}{}", " ".repeat(length - call.len()))
    };
    let (status, answer) = world.post(padded(1_000)).await;
    assert_eq!((status, &answer["result"]), (200, &json!("0x16fe")));
    let (status, _) = world.post(padded(1_001)).await;
    assert_eq!(status, 413);
    let chunks = futures::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(vec![b' '; 100])));
    let (status, _) = world.post(reqwest::Body::wrap_stream(chunks)).await;
    assert_eq!(status, 413, "a body without a length");
    assert_eq!(world.get("eth_chainId", json!([])).await, "0x16fe");
}

#[tokio::test]
async fn an_answer_beyond_the_limit_says_so() {
    let world = World::manual(RpcLimits { response_bytes: 500, ..Default::default() }).await;
    assert_eq!(world.fail("eth_getBlockByNumber", json!(["latest", false])).await.0, -32008);
    assert_eq!(world.get("eth_chainId", json!([])).await, "0x16fe");
}

#[tokio::test]
async fn browsers_may_call_from_anywhere() {
    let world = World::automatic().await;
    let preflight = world
        .http
        .request(reqwest::Method::OPTIONS, world.url())
        .header("origin", "https://wallet.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.status(), 200);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    assert!(preflight.headers().contains_key("access-control-allow-headers"));
    assert_eq!(world.http.get(world.url()).send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn thousands_of_idle_connections_lock_nobody_out() {
    let files = open_files_max();
    let idle = 2_000.min(files.saturating_sub(FILES_RESERVED) / 2);
    let world = World::manual(RpcLimits { connections: idle / 2, ..Default::default() }).await;
    let mut silent = Vec::with_capacity(idle);
    for _ in 0..idle {
        silent.push(TcpStream::connect(world.server.local_addr).await.unwrap());
    }
    assert_eq!(world.get("eth_chainId", json!([])).await, "0x16fe");
    assert!(world.server.connections() <= idle / 2, "{} are open", world.server.connections());
    // Whoever waited longest made room.
    let mut byte = [0];
    assert_eq!(silent[0].read(&mut byte).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn an_idle_connection_below_the_limit_stays_usable() {
    let world = World::automatic().await;
    let mut socket = TcpStream::connect(world.server.local_addr).await.unwrap();
    world.get("eth_chainId", json!([])).await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;
    let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n";
    socket.write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("0x16fe"), "{answer}");
}

#[tokio::test]
async fn stopping_frees_the_port_and_closes_idle_connections() {
    let world = World::automatic().await;
    let address = world.server.local_addr;
    let mut idle = TcpStream::connect(address).await.unwrap();
    world.get("eth_chainId", json!([])).await;
    world.server.stop().await;
    assert_eq!(idle.read(&mut [0]).await.unwrap_or(0), 0);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_taken_port_is_a_clear_error() {
    let world = World::automatic().await;
    let address = world.server.local_addr;
    let error = serve(address, world.chain.clone(), world.miner.clone(), RpcLimits::default()).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot listen on {address} for JSON-RPC: ")), "{error}");
}

/// The soft limit of open files of this process.
fn open_files_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(1_024)
}

#[tokio::test]
async fn a_socket_that_asks_and_does_not_listen_stops_itself() {
    let limits = RpcLimits { calls_per_connection: 4, ..Default::default() };
    let world = World::manual(limits).await;
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}", world.server.local_addr)).await.unwrap();
    // A block is some kilobytes, so that the answers fill the buffers of the system before the questions do.
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": ["latest", true]});
    let batch = Value::Array(vec![call; 1_000]).to_string();
    let mut asked = 0;
    while asked < 10_000 {
        let send = futures::SinkExt::send(&mut socket, tokio_tungstenite::tungstenite::Message::text(batch.clone()));
        match tokio::time::timeout(std::time::Duration::from_secs(2), send).await {
            Ok(sent) => sent.unwrap(),
            Err(_) => break,
        }
        asked += 1;
    }
    assert!(asked < 10_000, "nothing stopped the questions");
    assert_eq!(world.get("eth_chainId", json!([])).await, "0x16fe", "others are served meanwhile");
}

#[tokio::test]
async fn a_message_beyond_the_limit_ends_the_socket_with_a_reason() {
    use futures::{SinkExt, StreamExt};
    let world = World::manual(RpcLimits { websocket_bytes: 1_000, ..Default::default() }).await;
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}", world.server.local_addr)).await.unwrap();
    socket.send(tokio_tungstenite::tungstenite::Message::text(" ".repeat(1_001))).await.unwrap();
    loop {
        let message = socket.next().await.unwrap().unwrap();
        if let tokio_tungstenite::tungstenite::Message::Text(text) = message {
            let answer: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(answer["error"]["code"], -32007, "{answer}");
            break;
        }
    }
    assert!(!matches!(socket.next().await, Some(Ok(tokio_tungstenite::tungstenite::Message::Text(_)))));
}

#[tokio::test]
async fn what_is_no_json_rpc_is_refused_by_its_kind() {
    let world = World::automatic().await;
    let post = |kind: &'static str| world.http.post(world.url()).header("content-type", kind).body("{}").send();
    assert_eq!(post("text/plain").await.unwrap().status(), 415);
    assert_eq!(post("application/json; charset=utf-8").await.unwrap().status(), 200);
    let upgrade = world.http.get(world.url()).header("connection", "upgrade").header("upgrade", "websocket");
    assert_eq!(upgrade.send().await.unwrap().status(), 400, "without a key there is no WebSocket");
}

#[tokio::test]
async fn the_memory_of_an_answer_is_given_back_when_it_is_taken() {
    let limits = RpcLimits { response_bytes: 2_000, responses_bytes: 2_000, ..Default::default() };
    let world = World::manual(limits).await;
    // Only one answer fits at a time.
    for _ in 0..5 {
        assert_eq!(world.get("eth_getBlockByNumber", json!(["latest", false])).await["number"], "0x0");
    }
}
