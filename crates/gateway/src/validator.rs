//! The node API of a validator: submit opaque transactions and learn what became of them, follow final blocks with their
//! certificates, read one namespace or single shards with proofs.

pub(crate) mod namespaces;
mod shards;
pub(crate) mod streams;
pub(crate) mod submit;

use crate::backend::ValidatorBackend;
use crate::body::{self, Limits};
use crate::config::{ValidatorConfig, WAIT_MILLIS_MAX};
use crate::espresso;
use crate::extract::{Height, Named, Parameters};
use crate::grpc;
use crate::problem::{Reply, bad_request};
use crate::stack;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use axum::{Json, Router};
pub(crate) use namespaces::reach;
use protocol::api::{
    CertifiedBlock, Committees, FinalizedPage, KeptCheckpoint, LaneState, LinkPage, SubmitAllRequest,
    SubmitAllResponse, ValidatorStatus,
};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Most blocks in one page.
pub(crate) const BLOCKS_MAX: usize = 256;
/// Blocks in a page of unspecified length.
pub(crate) const BLOCKS_DEFAULT: usize = 64;
/// Most links in one page.
pub(crate) const LINKS_MAX: usize = 256;
/// A page ends before its blocks have more bytes than this, but always holds one if there is one.
pub(crate) const PAGE_BYTES_MAX: usize = 16 << 20;
/// Most transactions in one `submit-all`.
pub(crate) const SUBMIT_TRANSACTIONS_MAX: usize = 1_024;
/// Largest evidence, in bytes: generously more than two aggregates of the largest electorate have.
const EVIDENCE_BYTES_MAX: u64 = 64 << 10;
/// Largest body of a `submit-all`, in bytes.
pub(crate) const SUBMIT_BYTES_MAX: usize = 4 << 20;

/// What every route of a validator has at hand.
#[derive(Clone)]
pub(crate) struct Node {
    pub backend: Arc<dyn ValidatorBackend>,
    pub config: Arc<ValidatorConfig>,
    /// One permit for each stream.
    pub streams: Arc<Semaphore>,
}

/// The API of a validator, answered by `backend`: `/seq/v1`, the shapes of Espresso under `/v0` and `/v1`, [gRPC](crate::grpc),
/// and `/healthz`.
pub fn validator_router(backend: Arc<dyn ValidatorBackend>, config: ValidatorConfig) -> Router {
    let limit = from_fn_with_state(config.request_timeout, stack::limit_time);
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/seq/v1/status", get(status))
        .route("/seq/v1/submit", post(submit::single))
        .route("/seq/v1/submit-batch", post(submit::batch))
        .route("/seq/v1/submit-bundle", post(submit::bundle))
        .route("/seq/v1/submit-all", post(submit_all))
        .route("/seq/v1/submissions", post(submit::statuses))
        .route("/seq/v1/submissions/{hash}", get(submit::status))
        .route("/seq/v1/finalized", get(finalized))
        .route("/seq/v1/blocks/{height}", get(certified))
        .route("/seq/v1/blocks/{height}/header", get(shards::header))
        .route("/seq/v1/blocks/{height}/shards/{index}", get(shards::shard))
        .route("/seq/v1/blocks/{height}/namespaces/{namespace}", get(namespaces::one))
        .route("/seq/v1/namespaces/{namespace}/blocks", get(namespaces::page))
        .route("/seq/v1/namespaces/{namespace}/account", get(namespaces::account))
        .route("/seq/v1/namespaces/{namespace}/fee", get(namespaces::fee))
        .merge(espresso::router())
        .route("/seq/v1/checkpoint", get(checkpoint))
        .route("/seq/v1/committees", get(committees))
        .route("/seq/v1/lane", get(lane))
        .route("/seq/v1/links", get(links))
        .route("/seq/v1/evidence", post(evidence))
        .route_layer(limit);
    let streams = Router::new()
        .route("/seq/v1/submit-stream", get(streams::submissions))
        .route("/seq/v1/namespaces/{namespace}/stream", get(streams::namespace))
        .merge(espresso::streams());
    let streams_max = Arc::new(Semaphore::new(config.streams_max));
    let node = Node { backend, config: Arc::new(config), streams: streams_max };
    stack::complete(router.merge(streams).with_state(node.clone()).merge(grpc::router(node)))
}

/// The first height asked for in a message: 0 stands for the first there is.
pub(crate) fn first(from: u64) -> u64 {
    from.max(1)
}

/// The length of a page asked for in a message: 0 stands for `default`.
pub(crate) fn page_length(asked: u32, max: usize, default: usize) -> Reply<usize> {
    match asked as usize {
        0 => Ok(default),
        asked if asked <= max => Ok(asked),
        asked => Err(bad_request("max", asked, format!("0 to {max}")).into()),
    }
}

async fn healthz(State(node): State<Node>) -> Reply<Json<Value>> {
    node.backend.status().await?;
    Ok(Json(json!({ "status": "ok" })))
}

async fn status(State(node): State<Node>, query: Parameters) -> Reply<Json<ValidatorStatus>> {
    query.only(&[])?;
    Ok(Json(node.backend.status().await?))
}

async fn submit_all(State(node): State<Node>, query: Parameters, request: Request) -> Reply<Json<SubmitAllResponse>> {
    query.only(&[])?;
    let limits = Limits { what: "JSON body", bytes_max: SUBMIT_BYTES_MAX as u64, stall: node.config.body_stall };
    let asked: SubmitAllRequest = body::json(request, limits).await?;
    check_count(asked.payloads.len())?;
    let payloads = asked.payloads.into_iter().map(|payload| payload.0).collect();
    Ok(Json(SubmitAllResponse { refusals: node.backend.submit_all(asked.namespace, payloads).await? }))
}

fn check_count(count: usize) -> Reply<()> {
    match count {
        1..=SUBMIT_TRANSACTIONS_MAX => Ok(()),
        _ => Err(bad_request("number of payloads", count, "1 to 1024").into()),
    }
}

async fn finalized(State(node): State<Node>, query: Parameters) -> Reply<Json<FinalizedPage>> {
    let query = query.only(&["from", "max", "wait"])?;
    let from = query.number("from", 0..=u64::MAX)?.unwrap_or(0);
    let max = query.limit("max", BLOCKS_MAX, BLOCKS_DEFAULT)?;
    let wait = query.number("wait", 0..=WAIT_MILLIS_MAX)?.unwrap_or(0);
    let mut page = node.backend.finalized(from, max, wait).await?;
    shorten(&mut page.blocks, max);
    Ok(Json(page))
}

async fn certified(
    State(node): State<Node>,
    Named(Height(height)): Named<Height>,
    query: Parameters,
) -> Reply<Json<CertifiedBlock>> {
    query.only(&[])?;
    Ok(Json(node.backend.certified(height).await?))
}

async fn checkpoint(State(node): State<Node>, query: Parameters) -> Reply<Json<KeptCheckpoint>> {
    let query = query.only(&["epoch"])?;
    Ok(Json(node.backend.checkpoint(query.number("epoch", 1..=u64::MAX)?).await?))
}

async fn committees(State(node): State<Node>, query: Parameters) -> Reply<Json<Committees>> {
    query.only(&[])?;
    Ok(Json(node.backend.committees().await?))
}

async fn lane(State(node): State<Node>, query: Parameters) -> Reply<Json<LaneState>> {
    query.only(&[])?;
    Ok(Json(node.backend.lane().await?))
}

async fn links(State(node): State<Node>, query: Parameters) -> Reply<Json<LinkPage>> {
    let query = query.only(&["from", "max"])?;
    let from = query.number("from", 0..=u64::MAX)?.unwrap_or(0);
    let max = query.limit("max", LINKS_MAX, LINKS_MAX)?;
    Ok(Json(node.backend.links(from, max).await?))
}

/// Evidence as it stands in blocks, encoded; whoever has it need not be a validator.
async fn evidence(State(node): State<Node>, query: Parameters, request: Request) -> Reply<Json<Value>> {
    query.only(&[])?;
    let limits = Limits { what: "evidence", bytes_max: EVIDENCE_BYTES_MAX, stall: node.config.body_stall };
    node.backend.report(body::bytes(request, limits).await?).await?;
    Ok(Json(json!({ "accepted": true })))
}

/// Ends a page before it is too long; whoever follows asks again from where it ends.
fn shorten(blocks: &mut Vec<CertifiedBlock>, max: usize) {
    let mut bytes = 0;
    let fits = |block: &CertifiedBlock| {
        bytes += block.block.len() + block.certificate.len();
        bytes <= PAGE_BYTES_MAX
    };
    let fitting = blocks.iter().map(fits).take_while(|fits| *fits).count();
    blocks.truncate(fitting.max(1).min(max));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(height: u64, bytes: usize) -> CertifiedBlock {
        CertifiedBlock { height, block: vec![0; bytes].into(), certificate: Default::default() }
    }

    fn heights(mut blocks: Vec<CertifiedBlock>, max: usize) -> Vec<u64> {
        shorten(&mut blocks, max);
        blocks.iter().map(|block| block.height).collect()
    }

    #[test]
    fn a_page_ends_at_its_limits_without_a_gap() {
        assert_eq!(heights(vec![block(1, 1), block(2, 1), block(3, 1)], 2), [1, 2]);
        assert_eq!(heights(vec![block(1, PAGE_BYTES_MAX - 1), block(2, 1), block(3, 1)], 9), [1, 2]);
        assert_eq!(heights(vec![block(1, 9), block(2, PAGE_BYTES_MAX), block(3, 1)], 9), [1]);
    }

    #[test]
    fn the_first_block_is_told_whatever_its_size() {
        assert_eq!(heights(vec![block(1, PAGE_BYTES_MAX + 1), block(2, 1)], 9), [1]);
        assert_eq!(heights(vec![], 9), [0_u64; 0]);
    }
}
