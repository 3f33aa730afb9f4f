//! Requests that try to use up memory, time or sockets: each is bounded, and others are served meanwhile and after.

use super::*;
use futures::{SinkExt, StreamExt};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// Pause between two looks at what the server closes by itself, and most looks.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS_MAX: usize = 3_000;
/// Buffer that a test asks for at its end of a socket, so that it is soon full.
const BUFFER_BYTES: u32 = 4 << 10;

/// State in which a contract at 0x77…77 runs without end: JUMPDEST, PUSH0, JUMP.
fn endless() -> (Value, Value) {
    let contract = Address::repeat_byte(0x77);
    (json!({"from": signer(1).address(), "to": contract}), json!({contract.to_string(): {"code": "0x5b5f56"}}))
}

/// A socket that takes little before it blocks.
async fn narrow(world: &World) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(BUFFER_BYTES).unwrap();
    socket.connect(world.server.local_addr).await.unwrap()
}

async fn websocket(world: &World) -> WebSocketStream<TcpStream> {
    let url = format!("ws://{}", world.server.local_addr);
    tokio_tungstenite::client_async(url, narrow(world).await).await.unwrap().0
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Value {
    loop {
        if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

async fn ask(socket: &mut WebSocketStream<TcpStream>, method: &str, params: Value) -> Value {
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    socket.send(Message::text(request.to_string())).await.unwrap();
    next(socket).await
}

/// Mines a transaction whose log has `bytes` bytes.
async fn log_of(world: &World, nonce: u64, bytes: u32) {
    // PUSH4 bytes, PUSH0, LOG0, STOP
    let code = [&[0x63], bytes.to_be_bytes().as_slice(), &[0x5f, 0xa0, 0x00]].concat();
    let gas = 100_000 + u64::from(bytes) * 12;
    world.send(&Transfer { nonce, to: TxKind::Create, input: code.into(), gas, ..transfer() }.raw(1)).await;
    world.miner.mine();
    assert_eq!(world.chain.head().receipts[0].logs()[0].data.data.len(), bytes as usize);
}

/// Waits until the server has closed every connection but the one of the test's HTTP client.
async fn others_closed(world: &World) {
    for _ in 0..LOOKS_MAX {
        if world.server.connections() <= 1 {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
    panic!("{} connections are still open", world.server.connections());
}

#[tokio::test]
async fn nesting_costs_no_stack_wherever_it_stands() {
    let world = World::automatic().await;
    let lists = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    for depth in [200, 200_000] {
        for deep in [lists(depth), objects(depth)] {
            for message in [
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_call","params":{deep}}}"#),
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{deep},"latest",{deep}]}}"#),
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_getLogs","params":[{{"topics":{deep}}}]}}"#),
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"debug_traceCall","params":[{{}},"latest",{deep}]}}"#),
                format!(r#"{{"jsonrpc":"2.0","id":{deep},"method":"eth_chainId"}}"#),
                format!(r#"[{{"jsonrpc":"2.0","id":1,"method":"eth_chainId","x":{deep}}},{deep}]"#),
            ] {
                let (status, answer) = world.post(message.clone()).await;
                assert_eq!(status, 200, "{message:.100}");
                assert!(answer.is_object() || answer.is_array(), "{message:.100}: {answer}");
            }
        }
    }
    assert_eq!(world.get("eth_chainId", json!([])).await, "0x16fe");
}

#[tokio::test]
async fn what_runs_without_end_ends_with_its_time_and_gives_its_slot_back() {
    let limits =
        RpcLimits { call_gas: 1 << 40, call_time: Duration::from_millis(300), executions: 1, ..Default::default() };
    let world = World::manual(limits).await;
    let (request, state) = endless();
    let simulated = json!({"blockStateCalls": [{"stateOverrides": state, "calls": [request]}]});
    let all = json!({"stateOverrides": state, "tracer": "callTracer"});
    for (method, params) in [
        ("eth_call", json!([request, "latest", state])),
        ("eth_estimateGas", json!([request, "latest", state])),
        ("eth_createAccessList", json!([request, "latest", state])),
        ("eth_simulateV1", json!([simulated, "latest"])),
        ("debug_traceCall", json!([request, "latest", all])),
        ("trace_call", json!([request, ["trace"], "latest", state])),
    ] {
        let answer = world.ask(method, params).await;
        // A gas limit below the one of calls may end it first, which is an answer, too.
        assert!(answer["error"]["code"] != -32603, "{method}: {answer}");
        // The only slot is free again: a call that needs it has an answer.
        let after = world.get("eth_call", json!([{"to": Address::repeat_byte(0x78)}])).await;
        assert_eq!(after, "0x", "after {method}");
    }
    let (code, message) = world.fail("eth_call", json!([request, "latest", state])).await;
    assert_eq!((code, message.contains("time")), (-32000, true), "{message}");
}

#[tokio::test]
async fn a_request_for_too_much_names_the_limit_it_breaks() {
    let world = World::automatic().await;
    let many = |count: usize| (0..count).map(|i| B256::from(U256::from(i))).collect::<Vec<_>>();
    let account = signer(1).address();
    for (method, params, code, limit) in [
        ("eth_getProof", json!([account, many(1_025), "latest"]), -32005, "1024"),
        ("eth_getLogs", json!([{"topics": [many(1_001)]}]), -32005, "1000"),
        ("eth_newFilter", json!([{"topics": [null, many(1_001)]}]), -32005, "1000"),
        ("eth_feeHistory", json!(["0x1", "latest", vec![1.0; 101]]), -32602, "100"),
        ("eth_simulateV1", json!([{"blockStateCalls": vec![json!({}); 257]}, "latest"]), -38026, "256"),
        ("trace_callMany", json!([vec![json!([{"to": account}, ["trace"]]); 101], "latest"]), -32005, "100"),
        ("trace_filter", json!([{"fromAddress": vec![account; 1_001]}]), -32005, "1000"),
    ] {
        let (got, message) = world.fail(method, params).await;
        assert_eq!((got, message.contains(limit)), (code, true), "{method}: {message}");
    }
}

#[tokio::test]
async fn a_batch_whose_answers_are_too_long_together_stops() {
    let world = World::manual(RpcLimits { response_bytes: 10_000, ..Default::default() }).await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": ["latest", true]});
    let (_, answer) = world.post(Value::Array(vec![call; 1_000]).to_string()).await;
    assert_eq!(answer["error"]["code"], -32011, "{answer}");
    assert_eq!(world.get("eth_chainId", json!([])).await, "0x16fe");
}

#[tokio::test]
async fn filters_and_subscriptions_name_a_bounded_number_of_topics_together() {
    let world = World::manual(RpcLimits { filter_values: 10, ..Default::default() }).await;
    let topics = |count: u64| json!({"topics": [(0..count).map(word).collect::<Vec<_>>()]});
    let filter = world.get("eth_newFilter", json!([topics(8)])).await;
    let (code, message) = world.fail("eth_newFilter", json!([topics(3)])).await;
    assert_eq!((code, message.contains("10 addresses and topics")), (-32005, true), "{message}");
    let mut socket = websocket(&world).await;
    let refused = ask(&mut socket, "eth_subscribe", json!(["logs", topics(3)])).await;
    assert_eq!(refused["error"]["code"], -32005, "{refused}");
    // What names nothing takes no room.
    world.get("eth_newFilter", json!([{}])).await;
    world.get("eth_newBlockFilter", json!([])).await;

    assert_eq!(world.get("eth_uninstallFilter", json!([filter])).await, true);
    let subscribed = ask(&mut socket, "eth_subscribe", json!(["logs", topics(9)])).await;
    assert!(subscribed["result"].is_string(), "{subscribed}");
    assert_eq!(world.fail("eth_newFilter", json!([topics(2)])).await.0, -32005);
    drop(socket);
    others_closed(&world).await;
    // The room of a subscription comes back just after its connection is gone.
    for _ in 0..LOOKS_MAX {
        if world.ask("eth_newFilter", json!([topics(9)])).await["result"].is_string() {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
    panic!("the room of the subscription is lost");
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_is_cut_off() {
    let world = World::manual(RpcLimits { stall_time: Duration::from_millis(200), ..Default::default() }).await;
    let mut deaf = websocket(&world).await;
    assert!(ask(&mut deaf, "eth_subscribe", json!(["logs"])).await["result"].is_string());
    let mut heard = websocket(&world).await;
    assert!(ask(&mut heard, "eth_subscribe", json!(["newHeads"])).await["result"].is_string());
    // More than the buffers of the system take.
    for nonce in 0..12 {
        log_of(&world, nonce, 1_000_000).await;
    }
    for number in 1..=12 {
        assert_eq!(next(&mut heard).await["params"]["result"]["number"], json!(format!("{number:#x}")));
    }
    heard.close(None).await.unwrap();
    drop(heard);
    others_closed(&world).await;
    drop(deaf);
}

#[tokio::test]
async fn a_caller_that_does_not_read_its_answer_is_cut_off() {
    let world = World::manual(RpcLimits { stall_time: Duration::from_millis(200), ..Default::default() }).await;
    for nonce in 0..10 {
        log_of(&world, nonce, 1_000_000).await;
    }
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"eth_getLogs","params":[{"fromBlock":"0x0"}]}"#;
    let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let mut deaf = narrow(&world).await;
    deaf.write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
    others_closed(&world).await;
    assert_eq!(world.get("eth_chainId", json!([])).await, "0x16fe");
    drop(deaf);
}

#[tokio::test]
async fn a_caller_that_drips_its_request_is_closed() {
    let world = World::manual(RpcLimits { idle_time: Duration::from_millis(200), ..Default::default() }).await;
    let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    for part in ["", "POST / HT", head, &format!("{head}content-length: 1000\r\n\r\n{{\"json")] {
        let mut socket = TcpStream::connect(world.server.local_addr).await.unwrap();
        socket.write_all(part.as_bytes()).await.unwrap();
        // Ends when the server closes, whether it says something before or not.
        let _ = socket.read_to_end(&mut Vec::new()).await;
    }
    assert_eq!(world.get("eth_chainId", json!([])).await, "0x16fe");
}
