//! Read one namespace with proofs that need no trust in the validator that gives them.

use super::{Node, PAGE_BYTES_MAX};
use crate::config::WAIT_MILLIS_MAX;
use crate::extract::{Height, Named, NamedPair, Namespace, Parameters};
use crate::problem::Reply;
use axum::Json;
use axum::extract::State;
use protocol::api::{NamespaceAccount, NamespaceBlock, NamespaceFee, NamespacePage};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Most blocks in one page.
pub(crate) const BLOCKS_MAX: usize = 64;
/// Blocks in a page of unspecified length.
pub(crate) const BLOCKS_DEFAULT: usize = 16;

pub(super) async fn one(
    State(node): State<Node>,
    NamedPair(Height(height), Namespace(namespace)): NamedPair<Height, Namespace>,
    query: Parameters,
) -> Reply<Json<NamespaceBlock>> {
    query.only(&[])?;
    Ok(Json(node.backend.namespace(height, namespace).await?))
}

/// One proof for each height from `from` on, those without transactions included: the page is complete.
pub(super) async fn page(
    State(node): State<Node>,
    Named(Namespace(namespace)): Named<Namespace>,
    query: Parameters,
) -> Reply<Json<NamespacePage>> {
    let query = query.only(&["from", "max", "wait"])?;
    let from = query.number("from", 1..=u64::MAX)?.unwrap_or(1);
    let max = query.limit("max", BLOCKS_MAX, BLOCKS_DEFAULT)?;
    let wait = Duration::from_millis(query.number("wait", 0..=WAIT_MILLIS_MAX)?.unwrap_or(0));
    let mut height = node.backend.status().await?.height;
    if height < from
        && let Ok(reached) = tokio::time::timeout(wait, reach(&node, from)).await
    {
        height = reached?;
    }
    Ok(Json(NamespacePage { blocks: proofs(&node, namespace, from..=height, max).await?, height }))
}

/// The first proofs of some heights: at most `max`, and no more than a page has room for.
pub(crate) async fn proofs(
    node: &Node,
    namespace: u64,
    heights: RangeInclusive<u64>,
    max: usize,
) -> Reply<Vec<NamespaceBlock>> {
    let (mut blocks, mut bytes): (Vec<NamespaceBlock>, usize) = (Vec::new(), 0);
    for height in heights.take(max) {
        let block = node.backend.namespace(height, namespace).await?;
        bytes += block.header.len() + block.certificate.len() + block.proof.len();
        if bytes > PAGE_BYTES_MAX && !blocks.is_empty() {
            break;
        }
        blocks.push(block);
    }
    Ok(blocks)
}

/// What it used and owes, with a proof of what the last epoch opened with, or the one that `height` opened.
pub(super) async fn account(
    State(node): State<Node>,
    Named(Namespace(namespace)): Named<Namespace>,
    query: Parameters,
) -> Reply<Json<NamespaceAccount>> {
    let height = query.only(&["height"])?.number("height", 1..=u64::MAX)?;
    Ok(Json(node.backend.account(namespace, height).await?))
}

/// What a byte costs in the next block.
pub(super) async fn fee(
    State(node): State<Node>,
    Named(Namespace(namespace)): Named<Namespace>,
    query: Parameters,
) -> Reply<Json<NamespaceFee>> {
    query.only(&[])?;
    Ok(Json(node.backend.fee(namespace).await?))
}

/// Waits until `height` is final; returns the newest final one.
pub(crate) async fn reach(node: &Node, height: u64) -> Reply<u64> {
    Ok(node.backend.height_above(height.saturating_sub(1)).await?)
}
