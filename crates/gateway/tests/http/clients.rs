//! The node APIs, through the clients that speak to them.

use crate::nodes::{Seat, Shards};
use crate::site::{listener, problem};
use alloy_primitives::B256;
use axum::body::Bytes;
use gateway::client::{ClientError, ShardClient, ValidatorClient, http_client};
use gateway::{ServeLimits, Server, ShardConfig, ValidatorConfig, serve, shard_router, validator_router};
use protocol::api::Problem;
use protocol::content::{raw_cid, sha256};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn storage_node() -> (Server, Arc<Shards>, ShardClient) {
    let shards = Arc::new(Shards::default());
    let config = ShardConfig { shard_bytes_max: 1 << 20, manifest_bytes_max: 100, ..ShardConfig::default() };
    let server = serve(listener().await, shard_router(shards.clone(), config), ServeLimits::node()).unwrap();
    let client = ShardClient::new(&format!("http://{}", server.local_addr()), http_client()).unwrap();
    (server, shards, client)
}

async fn validator() -> (Server, Arc<Seat>, ValidatorClient) {
    let seat = Arc::new(Seat::default());
    let router = validator_router(seat.clone(), ValidatorConfig::default());
    let server = serve(listener().await, router, ServeLimits::node()).unwrap();
    let client = ValidatorClient::new(&format!("http://{}", server.local_addr()), http_client()).unwrap();
    (server, seat, client)
}

/// Something that answers every connection with these bytes, and no HTTP server of ours.
async fn stranger(answer: String) -> String {
    let listener = listener().await;
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    format!("http://{address}")
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_shard_is_kept_found_and_given_back() {
    let (_server, _, node) = storage_node().await;
    let bytes = Bytes::from(vec![7; 1 << 20]);
    let id = sha256(&bytes);
    assert!(!node.has_shard(id).await.unwrap());
    assert!(node.shard(id).await.unwrap_err().is_not_found());
    node.put_shard(id, bytes.clone()).await.unwrap();
    assert!(node.has_shard(id).await.unwrap());
    assert_eq!(node.shard(id).await.unwrap(), bytes);
    let info = node.info().await.unwrap();
    assert_eq!((info.shards, info.used_bytes), (1, 1 << 20));
}

#[tokio::test]
async fn wrong_and_oversized_shards_are_refused_with_the_reason() {
    let (_server, shards, node) = storage_node().await;
    let error = node.put_shard(B256::ZERO, Bytes::from_static(b"x")).await.unwrap_err();
    assert_eq!(Problem::from(error).status, 422);
    let beyond = Bytes::from(vec![7; (1 << 20) + 1]);
    let refused = Problem::from(node.put_shard(sha256(&beyond), beyond).await.unwrap_err());
    assert_eq!((refused.status, refused.detail.as_str()), (413, "shard is over the limit of 1048576 bytes"));
    assert!(shards.shards.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_node_that_lies_about_a_shard_is_found_out() {
    let (_server, shards, node) = storage_node().await;
    let id = sha256(b"true");
    shards.shards.lock().unwrap().insert(id, Bytes::from_static(b"false"));
    assert!(matches!(node.shard(id).await, Err(ClientError::Damaged { bytes: 5, .. })));
}

#[tokio::test]
async fn every_manifest_of_a_root_is_given_back_once() {
    let (_server, _, node) = storage_node().await;
    let root = raw_cid(b"root");
    assert!(node.manifests(&root).await.unwrap_err().is_not_found());
    for manifest in [&b"one"[..], b"two", b"one", b""] {
        node.put_manifest(&root, Bytes::from_static(manifest)).await.unwrap();
    }
    assert_eq!(node.manifests(&root).await.unwrap(), [&b"one"[..], b"two", b""]);
    let refused = Problem::from(node.put_manifest(&root, vec![0; 101].into()).await.unwrap_err());
    assert_eq!(refused.status, 413);
}

#[tokio::test]
async fn final_blocks_are_followed_and_waited_for() {
    let (_server, seat, node) = validator().await;
    seat.finalize(b"one");
    seat.finalize(b"two");
    let page = node.finalized(1, 10, 0).await.unwrap();
    assert_eq!((page.blocks.len(), page.height), (2, 2));
    assert_eq!(node.finalized(2, 1, 0).await.unwrap().blocks[0].block.to_vec(), b"two");
    assert_eq!(node.finalized(3, 1, 0).await.unwrap().blocks, []);
    let (page, ()) = tokio::join!(node.finalized(3, 1, 20_000), async { seat.finalize(b"three") });
    assert_eq!(page.unwrap().blocks[0].height, 3);
    assert_eq!(node.certified(3).await.unwrap().block.to_vec(), b"three");
    assert!(node.certified(4).await.unwrap_err().is_not_found());
    assert_eq!(node.status().await.unwrap().height, 3);
}

#[tokio::test]
async fn submissions_and_parameters_are_checked_by_the_validator_too() {
    let (_server, _, node) = validator().await;
    let hash = node.submit(7, Bytes::from_static(b"x")).await.unwrap().hash;
    assert_eq!(hash, sha256(b"\0\0\0\0\0\0\0\x07x"));
    let status = |error| Problem::from(error).status;
    assert_eq!(status(node.submit(7, Bytes::new()).await.unwrap_err()), 400);
    assert_eq!(status(node.submit(7, vec![0; (1 << 20) + 1].into()).await.unwrap_err()), 413);
    assert_eq!(status(node.finalized(0, 0, 0).await.unwrap_err()), 400);
    assert_eq!(status(node.finalized(0, 257, 0).await.unwrap_err()), 400);
    assert_eq!(status(node.finalized(0, 1, 25_001).await.unwrap_err()), 400);
}

#[tokio::test]
async fn wrong_names_and_paths_are_problems_on_nodes_too() {
    let (server, _, _) = storage_node().await;
    let get = async |path: &str| reqwest::get(format!("http://{}{path}", server.local_addr())).await.unwrap();
    problem(get("/shard/v1/shards/12").await, 400, "bad-request").await;
    problem(get("/shard/v1/manifests/12").await, 400, "bad-request").await;
    problem(get("/v1/status").await, 404, "not-found").await;
    assert_eq!(get("/healthz").await.status(), 200);
    let (server, _, _) = validator().await;
    let get = async |path: &str| reqwest::get(format!("http://{}{path}", server.local_addr())).await.unwrap();
    problem(get("/seq/v1/blocks/x").await, 400, "bad-request").await;
    problem(get("/seq/v1/finalized?form=1").await, 400, "bad-request").await;
    problem(get("/seq/v1/submit").await, 405, "method-not-allowed").await;
    assert_eq!(get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn strangers_are_not_taken_for_nodes() {
    let cases = [
        (answer("200 OK", "<html>"), "shape"),
        (answer("200 OK", &"[".repeat(1 << 21)), "too large"),
        (answer("500 Oops", "oops"), "foreign"),
        (answer("302 Found\r\nlocation: /shard/v1/info", ""), "foreign"),
        ("SSH-2.0-OpenSSH\r\n".to_owned(), "unreachable"),
    ];
    for (answer, expected) in cases {
        let node = ShardClient::new(&stranger(answer).await, http_client()).unwrap();
        let error = node.info().await.unwrap_err();
        let kind = match error {
            ClientError::Shape { .. } => "shape",
            ClientError::TooLarge { limit: 1_048_576, .. } => "too large",
            ClientError::Foreign { .. } => "foreign",
            ClientError::Unreachable { .. } => "unreachable",
            _ => "other",
        };
        assert_eq!(kind, expected, "{error}");
        assert_eq!(Problem::from(error).status, 502);
    }
}

#[tokio::test]
async fn a_validator_that_answers_other_heights_is_refused() {
    let block = r#"{"height":5,"block":"0x","certificate":"0x"}"#;
    let node = ValidatorClient::new(&stranger(answer("200 OK", block)).await, http_client()).unwrap();
    assert!(matches!(node.certified(4).await, Err(ClientError::Shape { .. })));
    let page = format!(r#"{{"blocks":[{block}],"height":5}}"#);
    let node = ValidatorClient::new(&stranger(answer("200 OK", &page)).await, http_client()).unwrap();
    assert_eq!(node.finalized(5, 1, 0).await.unwrap().blocks.len(), 1);
    assert!(matches!(node.finalized(4, 1, 0).await, Err(ClientError::Shape { .. })));
}

#[tokio::test]
async fn a_dead_node_is_unreachable() {
    let address = listener().await.local_addr().unwrap();
    let node = ShardClient::new(&format!("http://{address}"), http_client()).unwrap();
    assert!(matches!(node.has_shard(B256::ZERO).await, Err(ClientError::Unreachable { .. })));
}
