//! The routes of Espresso's query service and submit API, version 0 and 1, over our data.
//!
//! A client that speaks those finds the same paths and JSON shapes here: heights, headers, payloads, transactions,
//! namespaces, ranges with their limits, and streams. What is ours inside of them, since it is another protocol:
//!
//! | there | here |
//! |---|---|
//! | `TX~…`, `BLOCK~…`, `HASH~…` | our hashes in that notation: SHA-256 of the transaction, digest of the block, erasure root |
//! | `proof` of a namespace | our header, certificate and namespace proof; it needs no `vid/common` |
//! | `leaf`, `qc` | our header and certificate |
//! | L1, builder, fee and reward fields of a header | zero or null |
//! | namespaces beyond 32 bits | in no table and no payload, but with routes of their own |
//!
//! Not served, as we have nothing to say there: block Merkle proofs (`block-state`), VID shares, stake tables, rewards,
//! light client, marketplace, catchup, consensus events. `/seq/v1` is the API to prefer.

mod availability;
mod shapes;
mod stream;
mod tagged;

use crate::api::{PAYLOAD_BYTES_MAX, check_payload};
use crate::backend::Submission;
use crate::body::{self, Limits};
use crate::extract::Parameters;
use crate::problem::{MEDIA_TYPE, Reply, bad_request};
use crate::validator::Node;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use protocol::api::{Problem, SubmitRequest};
use serde::Deserialize;
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

/// Largest JSON body with one transaction: four characters for three bytes.
const SUBMIT_BODY_BYTES_MAX: u64 = (PAYLOAD_BYTES_MAX / 3 + 1) as u64 * 4 + 1024;
/// Largest problem document that is put into the envelope of Espresso.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;

/// The routes that answer at once.
pub(crate) fn router() -> Router<Node> {
    let routes = Router::new()
        .route("/submit/submit", post(submit))
        .route("/status/block-height", get(block_height))
        .route("/status/success-rate", get(success_rate))
        .route("/status/time-since-last-decide", get(time_since_last_decide))
        .route("/node/block-height", get(block_height))
        .nest("/availability", availability::router());
    both(routes)
}

/// The routes that go on until somebody ends them.
pub(crate) fn streams() -> Router<Node> {
    both(Router::new().nest("/availability/stream", stream::router()))
}

/// The same under both versions, with errors in Espresso's envelope.
fn both(routes: Router<Node>) -> Router<Node> {
    let routes = routes.layer(map_response(envelope));
    Router::new().nest("/v0", routes.clone()).nest("/v1", routes)
}

/// Puts a problem document into `{"Custom":{"message":…,"status":…}}`.
async fn envelope(response: Response) -> Response {
    if response.headers().get(header::CONTENT_TYPE) != Some(&HeaderValue::from_static(MEDIA_TYPE)) {
        return response;
    }
    let status = response.status();
    let problem = to_bytes(response.into_body(), PROBLEM_BYTES_MAX).await.ok();
    let problem: Option<Problem> = problem.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let message = problem.map_or_else(|| status.to_string(), |problem| problem.detail);
    (status, Json(json!({ "Custom": { "message": message, "status": status.as_u16() } }))).into_response()
}

/// A transaction in Espresso's shape.
#[derive(Deserialize)]
struct Submitted {
    namespace: u64,
    /// Base64 with padding.
    payload: String,
}

async fn submit(State(node): State<Node>, query: Parameters, request: Request) -> Reply<Json<String>> {
    query.only(&[])?;
    let limits = Limits { what: "JSON body", bytes_max: SUBMIT_BODY_BYTES_MAX, stall: node.config.body_stall };
    let asked: Submitted = body::json(request, limits).await?;
    let payload = shapes::from_base64(&asked.payload)
        .ok_or_else(|| bad_request("payload", &asked.payload, "base64 of 1 byte to 1 MiB, with padding"))?;
    let checked = SubmitRequest { namespace: asked.namespace, payload: payload.into() };
    check_payload(&checked)?;
    let receipt = node.accept(Submission::Transaction(checked.namespace, checked.payload.0), None).await?;
    Ok(Json(tagged::write("TX", receipt.hash)))
}

/// How many blocks there are: the newest height and one, for genesis.
async fn block_height(State(node): State<Node>) -> Reply<Json<u64>> {
    Ok(Json(node.backend.status().await?.height + 1))
}

/// Blocks per view, as a fraction: how many views ended with a block.
async fn success_rate(State(node): State<Node>) -> Reply<Json<f64>> {
    let height = node.backend.status().await?.height;
    let view = node.backend.block(height).await?.view;
    Ok(Json(height as f64 / view.max(1) as f64))
}

/// Seconds since the time of the newest final block.
async fn time_since_last_decide(State(node): State<Node>) -> Reply<Json<u64>> {
    let height = node.backend.status().await?.height;
    let block = node.backend.block(height).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Ok(Json(now.saturating_sub(block.timestamp_millis / 1000)))
}
