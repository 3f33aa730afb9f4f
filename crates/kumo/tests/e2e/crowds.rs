//! Crowds and rude clients: idle connections by the thousand, bodies that are too large, requests that are no requests.

use crate::checks::checks;
use crate::http;
use crate::network::{Dev, SMALL};
use crate::process::until;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Idle connections to each of the two servers.
const IDLE: usize = 5_000;
/// Descriptors that this process and the network need beside them.
const SPARE: u64 = 2_000;

#[test]
fn crowds_and_rude_clients_disturb_nobody() {
    let dev = Dev::start(&SMALL);
    checks!(
        &dev,
        [
            requests_are_answered_beside_thousands_of_idle_connections,
            malformed_requests_to_the_json_rpc_get_their_error,
            bodies_that_are_too_large_are_refused_with_the_limit,
            malformed_requests_to_the_gateway_get_their_problem,
        ]
    );
}

fn requests_are_answered_beside_thousands_of_idle_connections(dev: &Dev) {
    let allowed = gateway::server::raise_open_files(2 * IDLE as u64 + 2 * SPARE).unwrap_or(u64::MAX);
    let each = IDLE.min((allowed.saturating_sub(SPARE) / 2) as usize);
    println!("  {} idle connections, {allowed} open files allowed", 2 * each);
    assert!(each >= 200, "{allowed} open files are too few for a crowd");
    let mut crowd: Vec<TcpStream> = Vec::new();
    for url in [&dev.network.gateway, &dev.network.rpc] {
        let begin = std::time::Instant::now();
        crowd.extend((0..each).map(|_| connect(url)));
        println!("  connected to {url} after {:.1} s", begin.elapsed().as_secs_f64());
    }
    for _ in 0..3 {
        assert_eq!(http::get(&format!("{}/v1/status", dev.network.gateway)).status, 200);
        assert!(http::block_number(&dev.network.rpc) > 0);
    }
    let before = http::block_number(&dev.network.rpc);
    until("blocks go on", || (http::block_number(&dev.network.rpc) > before).then_some(()));
    let file = dev.person.write("file", "stored in a crowd");
    let cid = dev.person.ok(&["store", "put", file.to_str().unwrap()]);
    assert_eq!(dev.person.ok(&["store", "get", &cid]), "stored in a crowd");
    assert_eq!(crowd.len(), 2 * each);
}

fn connect(url: &str) -> TcpStream {
    let address: SocketAddr = url.trim_start_matches("http://").parse().expect("an address");
    let wait = Duration::from_secs(10);
    TcpStream::connect_timeout(&address, wait).unwrap_or_else(|e| panic!("an idle connection to {address}: {e}"))
}

fn malformed_requests_to_the_json_rpc_get_their_error(dev: &Dev) {
    let code = |body: &str| http::post(&dev.network.rpc, "application/json", body).json()["error"]["code"].clone();
    assert_eq!(code("{\"jsonrpc\": \"2.0\", "), Value::from(-32700), "no JSON");
    assert_eq!(code("{\"jsonrpc\": \"2.0\", \"id\": 1}"), Value::from(-32600), "no request");
    assert_eq!(code(&json!({"jsonrpc": "2.0", "id": 1, "method": "eth_nothing"}).to_string()), Value::from(-32601));
    let bad = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getBalance", "params": ["0x12", "latest"]});
    assert_eq!(code(&bad.to_string()), Value::from(-32602), "no address");
    let junk = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": ["0xdeadbeef"]});
    assert!(code(&junk.to_string()).is_number(), "no transaction");
    assert!(http::block_number(&dev.network.rpc) > 0);
}

fn bodies_that_are_too_large_are_refused_with_the_limit(dev: &Dev) {
    let rpc = http::post(&dev.network.rpc, "application/json", vec![b' '; 6 << 20]);
    assert!(rpc.status == 413 || String::from_utf8_lossy(&rpc.body).contains("-32007"), "{}", rpc.status);
    let quote = http::post(&format!("{}/v1/jobs/quote", dev.network.gateway), "application/json", vec![b' '; 2 << 20]);
    assert_eq!((quote.status, quote.content_type.as_str()), (413, "application/problem+json"));
    assert!(quote.json()["detail"].as_str().unwrap().contains("1048576"), "{}", quote.json());
    let payload = format!("0x{}", "ab".repeat((1 << 20) + 1));
    let body = json!({ "namespace": 7, "payload": payload }).to_string();
    let submit = http::post(&format!("{}/v1/submit/submit", dev.network.gateway), "application/json", body);
    assert!((400..500).contains(&submit.status), "{}", submit.status);
    assert!(submit.json()["detail"].as_str().unwrap().contains("1048576"), "{}", submit.json());
}

fn malformed_requests_to_the_gateway_get_their_problem(dev: &Dev) {
    let at = |path: &str| http::get(&format!("{}{path}", dev.network.gateway));
    let car = http::post(&format!("{}/v1/files", dev.network.gateway), "application/vnd.ipld.car", "no archive");
    for (answer, status) in
        [(at("/ipfs/no-cid"), 400), (at("/v1/jobs/first"), 400), (at("/v1/nothing"), 404), (car, 422)]
    {
        assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.content_type, "application/problem+json");
        assert_eq!(answer.json()["status"], status);
    }
}
