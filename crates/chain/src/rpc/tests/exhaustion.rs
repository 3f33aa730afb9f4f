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
