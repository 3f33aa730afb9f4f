//! The server under clients that are many, slow, silent or gone.

use crate::memory::{event, job};
use crate::site::{PATIENCE, Site, piece, problem};
use gateway::server::raise_open_files;
use gateway::{GatewayConfig, ServeLimits, listen};
use protocol::api::Quote;
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const SHORT: Duration = Duration::from_millis(200);

async fn with(limits: ServeLimits) -> Site {
    Site::with(GatewayConfig::default(), limits).await
}

async fn connect(site: &Site) -> TcpStream {
    TcpStream::connect(site.server.local_addr()).await.unwrap()
}

/// Everything that still comes; a reset counts as an end.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server closes the connection");
    bytes
}

#[tokio::test]
async fn thousands_of_idle_connections_block_nobody_and_are_closed() {
    const IDLE: usize = 3000;
    let room = raise_open_files(2 * IDLE as u64 + 1000).unwrap_or(u64::MAX);
    assert!(room > 2 * IDLE as u64 + 100, "this test needs {} open files, the system allows {room}", 2 * IDLE + 100);
    let site = with(ServeLimits { idle: Duration::from_secs(3), ..ServeLimits::default() }).await;
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(connect(&site).await);
    }
    assert_eq!(site.get("/healthz").await.status(), StatusCode::OK);
    for stream in &mut idle {
        assert_eq!(rest(stream).await, b"");
    }
    assert_eq!(site.get("/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn when_connections_run_out_the_next_one_waits_for_an_idle_one_to_end() {
    let limits = ServeLimits { connections_max: 2, idle: Duration::from_secs(2), ..ServeLimits::default() };
    let site = with(limits).await;
    let _idle = [connect(&site).await, connect(&site).await];
    assert_eq!(site.get("/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_and_so_is_an_idle_keep_alive() {
    let site = with(ServeLimits { idle: SHORT, ..ServeLimits::default() }).await;
    let mut slow = connect(&site).await;
    slow.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-").await.unwrap();
    assert_eq!(rest(&mut slow).await, b"");
    let mut kept = connect(&site).await;
    kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(rest(&mut kept).await.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn an_oversized_head_is_refused() {
    let site = with(ServeLimits::default()).await;
    let mut stream = connect(&site).await;
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let _ = stream.write_all(head.as_bytes()).await;
    assert!(!rest(&mut stream).await.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut() {
    let site = with(ServeLimits { stall: SHORT, ..ServeLimits::default() }).await;
    let cid = site.memory.keep("endless");
    let mut stream = connect(&site).await;
    stream.write_all(format!("GET /ipfs/{cid} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    // Reading would wake the answer up, so the end shows when something can no longer be written.
    let cut = async {
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    timeout(PATIENCE, cut).await.expect("the server closes the connection");
}

#[tokio::test]
async fn answers_that_take_too_long_are_given_up() {
    let config = GatewayConfig { request_timeout: SHORT, ..GatewayConfig::default() };
    let site = Site::with(config, ServeLimits::default()).await;
    let late = site.post("/v1/jobs/quote", json!({ "spec": "wait" })).await;
    assert_eq!(problem(late, 504, "timeout").await, "no answer within 0.2 s");
}

#[tokio::test]
async fn a_body_that_stops_halfway_is_answered() {
    let config = GatewayConfig { body_stall: SHORT, ..GatewayConfig::default() };
    let site = Site::with(config, ServeLimits::default()).await;
    let mut stream = connect(&site).await;
    let head =
        "POST /v1/jobs/quote HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with(b"HTTP/1.1 408 Request Timeout\r\n"));
}

#[tokio::test]
async fn requests_beyond_the_limit_are_refused_at_once() {
    let site = with(ServeLimits { requests_max: 1, ..ServeLimits::default() }).await;
    let asked = site.request(Method::POST, "/v1/jobs/quote").json(&json!({ "spec": "wait" }));
    let first = tokio::spawn(asked.send());
    site.memory.waiting.notified().await;
    site.refused("/healthz", 503, "unavailable").await;
    site.memory.go_on.notify_one();
    assert_eq!(first.await.unwrap().unwrap().status(), StatusCode::OK);
    assert_eq!(site.get("/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_stop_lets_running_requests_end_and_frees_the_port() {
    let site = with(ServeLimits::default()).await;
    let address = site.server.local_addr();
    let asked = site.request(Method::POST, "/v1/jobs/quote").json(&json!({ "spec": "wait" }));
    let running = tokio::spawn(asked.send());
    site.memory.waiting.notified().await;
    let stopping = tokio::spawn(site.server.stop());
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    site.memory.go_on.notify_one();
    assert_eq!(running.await.unwrap().unwrap().json::<Quote>().await.unwrap().tasks, 1);
    timeout(PATIENCE, stopping).await.unwrap().unwrap();
    listen(address).unwrap();
}

#[tokio::test]
async fn a_port_is_served_by_one_server_only() {
    let site = with(ServeLimits::default()).await;
    let taken = listen(site.server.local_addr()).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
    assert_eq!(site.get("/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_stop_ends_event_streams_without_calling_the_job_over() {
    let site = with(ServeLimits { drain: PATIENCE, ..ServeLimits::default() }).await;
    site.memory.jobs.lock().unwrap().push(job(1));
    site.memory.tell(event(1, 1, 1));
    let mut stream = site.get("/v1/jobs/1/events").await;
    assert!(piece(&mut stream).await.unwrap().contains("id: 1-1"));
    timeout(PATIENCE / 2, site.server.stop()).await.expect("streams do not hold up the stop");
    assert_eq!(piece(&mut stream).await, None);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let site = with(ServeLimits { drain: SHORT, ..ServeLimits::default() }).await;
    let asked = site.request(Method::POST, "/v1/jobs/quote").json(&json!({ "spec": "wait" }));
    let running = tokio::spawn(asked.send());
    site.memory.waiting.notified().await;
    timeout(PATIENCE, site.server.stop()).await.unwrap();
    assert!(running.await.unwrap().is_err());
}

#[tokio::test]
async fn http_2_is_spoken_on_the_same_port() {
    let site = with(ServeLimits { idle: SHORT, ..ServeLimits::default() }).await;
    let mut stream = connect(&site).await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let answer = rest(&mut stream).await;
    assert_eq!(answer[3], 4, "the first frame is SETTINGS: {answer:?}");
}
