//! What blocks hold, by height, by hash, and in ranges.
//!
//! A range ends before `until`, is never longer than its limit, and never past what is final: it fails at once.

use super::shapes;
use super::tagged::{BlockHash, TransactionHash};
use crate::backend::FinalBlock;
use crate::extract::{Height, Name, Named, NamedPair, Namespace, number};
use crate::problem::{ProblemResponse, Reply, bad_request, not_found, too_large};
use crate::validator::Node;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::routing::get;
use axum::{Json, Router};
use protocol::api::SubmissionPlace;
use serde_json::{Value, json};

/// Headers, leaves and summaries in one range.
const SMALL_RANGE_MAX: u64 = 500;
/// Blocks, payloads and namespaces in one range.
const LARGE_RANGE_MAX: u64 = 100;
/// Bytes of blocks that one range may read.
const RANGE_BYTES_MAX: usize = 32 << 20;

/// How a block is told.
type Shape = fn(&FinalBlock) -> Value;

/// The routes below `availability`.
pub(super) fn router() -> Router<Node> {
    let mut router = Router::new()
        .route("/limits", get(limits))
        .route("/vid/common/{height}", get(vid_common))
        .route("/block/summary/{height}", get(summary))
        .route("/block/{from}/{until}/namespace/{namespace}", get(namespaces))
        .route("/block/{height}/namespace/{namespace}", get(namespace))
        .route("/block/hash/{hash}/namespace/{namespace}", get(namespace_by_hash))
        .route("/transaction/hash/{hash}", get(transaction_by_hash))
        .route("/transaction/{height}/{index}", get(transaction));
    let kinds: [(&str, Shape, u64); 4] = [
        ("header", shapes::header, SMALL_RANGE_MAX),
        ("leaf", shapes::leaf, SMALL_RANGE_MAX),
        ("block", shapes::block, LARGE_RANGE_MAX),
        ("payload", shapes::payload, LARGE_RANGE_MAX),
    ];
    for (kind, shape, limit) in kinds {
        let one = async move |State(node): State<Node>, Named(Height(height)): Named<Height>| -> Reply<Json<Value>> {
            Ok(Json(shape(&node.backend.block(height).await?)))
        };
        let by_hash =
            async move |State(node): State<Node>, Named(BlockHash(hash)): Named<BlockHash>| -> Reply<Json<Value>> {
                Ok(Json(shape(&node.backend.block(node.backend.height_of(hash).await?).await?)))
            };
        let range = async move |State(node): State<Node>, range: Range| -> Reply<Json<Vec<Value>>> {
            let mut told = Vec::new();
            let mut bytes = 0;
            for height in range.heights(&node, limit).await? {
                told.push(shape(&read(&node, height, &mut bytes).await?));
            }
            Ok(Json(told))
        };
        router = router
            .route(&format!("/{kind}/{{height}}"), get(one))
            .route(&format!("/{kind}/hash/{{hash}}"), get(by_hash))
            .route(&format!("/{kind}/{{from}}/{{until}}"), get(range));
    }
    router
}

/// `from` and `until` of a path.
struct Range {
    from: u64,
    until: u64,
}

impl Range {
    /// The heights of the range, if it is within `limit` and final.
    async fn heights(&self, node: &Node, limit: u64) -> Reply<std::ops::Range<u64>> {
        let Self { from, until } = *self;
        if until.saturating_sub(from) > limit {
            let accepted = format!("at most {limit} heights, from the first to before the second");
            return Err(bad_request("range", format!("{from}/{until}"), accepted).into());
        }
        let height = node.backend.status().await?.height;
        match until <= height + 1 {
            true => Ok(from..until),
            false => {
                Err(not_found("range", format!("{from}/{until}"), format!("the newest final height is {height}"))
                    .into())
            }
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Range {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Reply<Self> {
        let segments = Path::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let segments = segments.map_or_else(|_| Vec::new(), |Path(segments)| segments);
        let read = |name: &str| segments.iter().find(|(found, _)| found == name).and_then(|(_, text)| number(text));
        match (read("from"), read("until")) {
            (Some(from), Some(until)) => Ok(Self { from, until }),
            _ => Err(bad_request("range", parts.uri.path(), "two heights").into()),
        }
    }
}

/// Reads a block of a range, and counts its bytes.
async fn read(node: &Node, height: u64, bytes: &mut usize) -> Reply<FinalBlock> {
    let block = node.backend.block(height).await?;
    *bytes += block.payload.len();
    match *bytes <= RANGE_BYTES_MAX {
        true => Ok(block),
        false => Err(too_large("range of blocks", RANGE_BYTES_MAX as u64).into()),
    }
}

async fn limits() -> Json<Value> {
    Json(json!({ "small_object_range_limit": SMALL_RANGE_MAX, "large_object_range_limit": LARGE_RANGE_MAX }))
}

async fn vid_common(State(node): State<Node>, Named(Height(height)): Named<Height>) -> Reply<Json<Value>> {
    Ok(Json(shapes::vid_common(&node.backend.block(height).await?)))
}

async fn summary(State(node): State<Node>, Named(Height(height)): Named<Height>) -> Reply<Json<Value>> {
    Ok(Json(shapes::summary(&node.backend.block(height).await?)))
}

async fn namespace(
    State(node): State<Node>,
    NamedPair(Height(height), Namespace(namespace)): NamedPair<Height, Namespace>,
) -> Reply<Json<Value>> {
    namespace_at(&node, height, namespace).await.map(Json)
}

async fn namespace_by_hash(
    State(node): State<Node>,
    NamedPair(BlockHash(hash), Namespace(namespace)): NamedPair<BlockHash, Namespace>,
) -> Reply<Json<Value>> {
    namespace_at(&node, node.backend.height_of(hash).await?, namespace).await.map(Json)
}

/// The transactions of one namespace, with their proof.
pub(super) async fn namespace_at(node: &Node, height: u64, namespace: u64) -> Reply<Value> {
    let proof = node.backend.namespace(height, namespace).await?;
    Ok(shapes::namespace(&node.backend.block(height).await?, namespace, &proof))
}

async fn namespaces(
    State(node): State<Node>,
    range: Range,
    path: Path<Vec<(String, String)>>,
) -> Reply<Json<Vec<Value>>> {
    let text = path.iter().find(|(name, _)| name == "namespace").map_or("", |(_, text)| text);
    let Namespace(namespace) =
        Namespace::read(text).ok_or_else(|| bad_request(Namespace::WHAT, text, Namespace::ACCEPTED))?;
    let (mut told, mut bytes) = (Vec::new(), 0);
    for height in range.heights(&node, LARGE_RANGE_MAX).await? {
        let block = read(&node, height, &mut bytes).await?;
        let proof = node.backend.namespace(height, namespace).await?;
        told.push(shapes::namespace(&block, namespace, &proof));
    }
    Ok(Json(told))
}

async fn transaction(
    State(node): State<Node>,
    NamedPair(Height(height), Height(index)): NamedPair<Height, Height>,
) -> Reply<Json<Value>> {
    let block = node.backend.block(height).await?;
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    transaction_at(&node, &block, index).await.map(Json)
}

async fn transaction_by_hash(
    State(node): State<Node>,
    Named(TransactionHash(hash)): Named<TransactionHash>,
) -> Reply<Json<Value>> {
    let found = node.backend.statuses(vec![hash]).await?.pop().unwrap_or_default();
    let missing = || not_found("transaction", hash, format!("not final from height {} on", found.since));
    let Some(SubmissionPlace::Transaction { .. }) = found.place else { return Err(missing().into()) };
    let height = found.height.filter(|height| *height <= found.final_height).ok_or_else(missing)?;
    let block = node.backend.block(height).await?;
    let position = shapes::transactions(&block).position(|(n, payload)| shapes::transaction_hash(n, payload) == hash);
    transaction_at(&node, &block, position.ok_or_else(missing)?).await.map(Json)
}

async fn transaction_at(node: &Node, block: &FinalBlock, index: usize) -> Reply<Value> {
    let missing = || not_found("transaction", index, format!("block {} has fewer", block.height));
    let (namespace, _) = shapes::transactions(block).nth(index).ok_or_else(missing)?;
    let proof = node.backend.namespace(block.height, namespace).await?;
    Ok(shapes::transaction(block, index, Some(&proof)).ok_or_else(missing)?)
}
