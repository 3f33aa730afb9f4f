//! The shard service of a storage node: bytes by their SHA-256, and manifests by the root that they describe.
//!
//! Bodies are plain bytes. `GET` of manifests answers all that are kept for a root, see [`frames`].

pub(crate) mod frames;

use crate::backend::ShardBackend;
use crate::body::{self, Limits};
use crate::config::ShardConfig;
use crate::extract::{Named, Parameters};
use crate::problem::{ProblemResponse, Reply, not_found};
use crate::stack;
use alloy_primitives::B256;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use cid::Cid;
use protocol::api::ShardNodeInfo;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Media type of shards and manifests.
const BYTES: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/octet-stream")];
/// Bytes named by their hash never change.
const FOREVER: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "public, max-age=29030400, immutable")];

#[derive(Clone)]
struct Node {
    backend: Arc<dyn ShardBackend>,
    config: Arc<ShardConfig>,
    writes: Arc<Semaphore>,
}

/// The API of a storage node, answered by `backend`: `/shard/v1` and `/healthz`.
pub fn shard_router(backend: Arc<dyn ShardBackend>, config: ShardConfig) -> Router {
    let writes = Arc::new(Semaphore::new(config.writes_max.clamp(1, Semaphore::MAX_PERMITS)));
    let limit = from_fn_with_state(config.request_timeout, stack::limit_time);
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/shard/v1/info", get(info))
        .route("/shard/v1/shards/{id}", get(shard).head(has_shard).put(put_shard))
        .route("/shard/v1/manifests/{cid}", get(manifests).put(put_manifest))
        .route_layer(limit);
    stack::complete(router.with_state(Node { backend, config: Arc::new(config), writes }))
}

async fn healthz(State(node): State<Node>) -> Reply<Json<Value>> {
    node.backend.info().await?;
    Ok(Json(json!({ "status": "ok" })))
}

async fn info(State(node): State<Node>, query: Parameters) -> Reply<Json<ShardNodeInfo>> {
    query.only(&[])?;
    Ok(Json(node.backend.info().await?))
}

async fn shard(State(node): State<Node>, Named(id): Named<B256>, query: Parameters) -> Reply<Response> {
    query.only(&[])?;
    Ok((BYTES, FOREVER, node.backend.shard(id).await?).into_response())
}

async fn has_shard(State(node): State<Node>, Named(id): Named<B256>) -> Reply<StatusCode> {
    match node.backend.has_shard(id).await? {
        true => Ok(StatusCode::OK),
        false => Err(not_found("shard", id, "missing or damaged on this node").into()),
    }
}

async fn put_shard(State(node): State<Node>, Named(id): Named<B256>, request: Request) -> Reply<StatusCode> {
    let (_slot, bytes) = node.read(request, "shard", node.config.shard_bytes_max).await?;
    node.backend.put_shard(id, bytes).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn manifests(State(node): State<Node>, Named(root): Named<Cid>, query: Parameters) -> Reply<Response> {
    query.only(&[])?;
    let kept = node.backend.manifests(root).await?;
    Ok((BYTES, frames::encode(&kept)).into_response())
}

async fn put_manifest(State(node): State<Node>, Named(root): Named<Cid>, request: Request) -> Reply<StatusCode> {
    let (_slot, bytes) = node.read(request, "manifest", node.config.manifest_bytes_max).await?;
    node.backend.put_manifest(root, bytes).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Node {
    /// Reads a body when it is its turn; the slot is kept until the bytes are durable.
    async fn read(
        &self,
        request: Request,
        what: &'static str,
        bytes_max: usize,
    ) -> Result<(tokio::sync::OwnedSemaphorePermit, Bytes), ProblemResponse> {
        let slot = self.writes.clone().acquire_owned().await.expect("the semaphore is never closed");
        let limits = Limits { what, bytes_max: bytes_max as u64, stall: self.config.body_stall };
        Ok((slot, body::bytes(request, limits).await?))
    }
}
