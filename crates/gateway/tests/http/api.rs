//! Health, network, providers, ordered transactions; and what every answer has in common.

use crate::memory::provider;
use crate::site::{Site, problem};
use alloy_primitives::{Address, hex};
use protocol::api::{ProviderInfo, SequencedTransaction, Status, StorageNode, SubmitResponse};
use protocol::network::Network;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

#[tokio::test]
async fn health_is_about_the_process_and_readiness_about_the_network() {
    let site = Site::start().await;
    assert_eq!(site.json::<Value>("/healthz").await, json!({ "status": "ok" }));
    assert_eq!(site.json::<Value>("/readyz").await, json!({ "status": "ok" }));
    site.memory.down.store(true, Ordering::SeqCst);
    assert_eq!(site.json::<Value>("/healthz").await, json!({ "status": "ok" }));
    let response = site.get("/readyz").await;
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(problem(response, 503, "unavailable").await, "no block for 9 s");
}

#[tokio::test]
async fn private_keys_never_leave_whatever_the_backend_says() {
    let site = Site::start().await;
    let text = site.get("/v1/network").await.text().await.unwrap();
    assert!(!text.contains("5e5e5e"), "{text}");
    let network: Network = serde_json::from_str(&text).unwrap();
    assert_eq!((network.chain_id, network.accounts, network.genesis), (5886, vec![], None));
}

#[tokio::test]
async fn status_and_nodes_are_told() {
    let site = Site::start().await;
    assert_eq!(site.json::<Status>("/v1/status").await.block_number, 77);
    let node = StorageNode {
        address: Address::repeat_byte(3),
        endpoint: "http://127.0.0.1:1".into(),
        up: false,
        used_bytes: 1,
        capacity_bytes: 2,
        shards: 3,
    };
    site.memory.nodes.lock().unwrap().push(node.clone());
    assert_eq!(site.json::<Vec<StorageNode>>("/v1/storage/nodes").await, [node]);
}

#[tokio::test]
async fn providers_are_found_by_address() {
    let site = Site::start().await;
    let known = provider(Address::repeat_byte(0xab));
    site.memory.providers.lock().unwrap().push(known.clone());
    assert_eq!(site.json::<Vec<ProviderInfo>>("/v1/providers").await, std::slice::from_ref(&known));
    assert_eq!(site.json::<ProviderInfo>(&format!("/v1/providers/{}", known.address)).await, known);
    site.refused(&format!("/v1/providers/{}", Address::ZERO), 404, "not-found").await;
    let detail = site.refused("/v1/providers/0xABcd", 400, "bad-request").await;
    assert!(detail.starts_with("address is \"0xABcd\"; accepted: 0x and 40 hex digits"), "{detail}");
}

#[tokio::test]
async fn a_submitted_payload_is_read_back_from_its_namespace() {
    let site = Site::start().await;
    let mut hashes = Vec::new();
    for payload in ["0x01", "0x02", "0x03"] {
        let response = site.post("/v1/submit/submit", json!({ "namespace": 7, "payload": payload })).await;
        assert_eq!(response.status(), StatusCode::OK);
        hashes.push(response.json::<SubmitResponse>().await.unwrap().hash);
    }
    let read = async |path: &str| -> Vec<_> {
        site.json::<Vec<SequencedTransaction>>(path).await.into_iter().map(|tx| tx.hash).collect()
    };
    assert_eq!(read("/v1/namespaces/7/transactions").await, hashes);
    assert_eq!(read("/v1/namespaces/7/transactions?height=2&limit=1").await, hashes[1..2]);
    assert_eq!(read("/v1/namespaces/8/transactions").await.len(), 0);
    let one: SequencedTransaction = site.json(&format!("/v1/transactions/{}", hashes[2])).await;
    assert_eq!(one.payload.to_vec(), [3]);
    assert_eq!(site.json::<SequencedTransaction>(&format!("/v1/transactions/{}", hex::encode(hashes[2]))).await, one);
}

#[tokio::test]
async fn payloads_and_parameters_beyond_the_limits_are_refused() {
    let site = Site::start().await;
    let submit =
        async |payload: Value| site.post("/v1/submit/submit", json!({ "namespace": 7, "payload": payload })).await;
    let largest = format!("0x{}", "ab".repeat(1 << 20));
    assert_eq!(submit(json!(largest)).await.status(), StatusCode::OK);
    problem(submit(json!(largest + "cd")).await, 413, "too-large").await;
    problem(submit(json!("0x")).await, 400, "bad-request").await;
    problem(submit(json!("0x1g")).await, 400, "bad-request").await;
    problem(submit(json!(12)).await, 400, "bad-request").await;
    for path in [
        "/v1/namespaces/-1/transactions",
        "/v1/namespaces/7/transactions?limit=257",
        "/v1/namespaces/7/transactions?limit=0",
        "/v1/namespaces/7/transactions?height=x",
        "/v1/namespaces/7/transactions?hieght=1",
        "/v1/transactions/0x12",
        "/v1/namespaces/%ff/transactions",
    ] {
        site.refused(path, 400, "bad-request").await;
    }
    site.refused(&format!("/v1/transactions/{}", "0".repeat(64)), 404, "not-found").await;
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let site = Site::start().await;
    let detail = site.refused("/v1/nothing?x=1", 404, "not-found").await;
    assert!(detail.starts_with("path /v1/nothing:"), "{detail}");
    let response = site.request(Method::DELETE, "/v1/files").send().await.unwrap();
    let allowed = response.headers()["allow"].to_str().unwrap().to_owned();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
    assert_eq!(problem(response, 405, "method-not-allowed").await, "DELETE is not served at /v1/files");
    site.refused("/v1/status?verbose=true", 400, "bad-request").await;
}

#[tokio::test]
async fn bodies_are_checked_before_they_are_read() {
    let site = Site::start().await;
    let request = || site.request(Method::POST, "/v1/jobs/quote");
    let plain = request().header("content-type", "text/plain").body("{}").send().await.unwrap();
    problem(plain, 415, "unsupported-media-type").await;
    problem(site.post("/v1/jobs/quote", json!({ "spec": "x".repeat(1 << 20) })).await, 413, "too-large").await;
    let detail = problem(site.post("/v1/jobs/quote", json!({ "sepc": "x" })).await, 400, "bad-request").await;
    assert!(detail.contains("missing field `spec`"), "{detail}");
    // Without a declared length the limit holds as well.
    let pieces = futures::stream::iter((0..40).map(|_| Ok::<_, std::io::Error>(vec![b' '; 64 * 1024])));
    let chunked = request().header("content-type", "application/json").body(reqwest::Body::wrap_stream(pieces));
    problem(chunked.send().await.unwrap(), 413, "too-large").await;
}

#[tokio::test]
async fn a_panic_is_answered_without_its_secrets_and_the_server_lives() {
    let site = Site::start().await;
    site.memory.panics.store(true, Ordering::SeqCst);
    let detail = site.refused("/v1/status", 500, "internal").await;
    assert!(!detail.contains("42"), "{detail}");
    site.memory.panics.store(false, Ordering::SeqCst);
    assert_eq!(site.json::<Status>("/v1/status").await.chain_id, 5886);
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let site = Site::start().await;
    let cid = site.memory.keep("content");
    for path in ["/", "/v1/status", "/v1/nothing", "/jobs/9", "/style.css", "/openapi.json", &format!("/ipfs/{cid}")] {
        let response = site.get(path).await;
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
        assert!(header("content-security-policy").contains("default-src 'none'"), "{path}");
        assert!(!header("content-security-policy").contains("script-src"), "{path}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_read_and_post() {
    let site = Site::start().await;
    let response = site.get_with("/v1/status", "origin", "https://app.example").await;
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    assert!(!response.headers().contains_key("access-control-allow-credentials"));
    let preflight = site
        .request(Method::OPTIONS, "/v1/files")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.status(), StatusCode::OK);
    assert!(preflight.headers()["access-control-allow-methods"].to_str().unwrap().contains("POST"));
    assert_eq!(preflight.headers()["access-control-allow-headers"], "*");
}
