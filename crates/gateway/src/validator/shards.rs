//! Headers and single shards of final blocks: what somebody needs who samples, or puts a payload together.

use super::Node;
use crate::extract::{Height, Named, NamedPair, Parameters, ShardIndex};
use crate::problem::Reply;
use axum::Json;
use axum::extract::State;
use protocol::api::{BlockHeader, BlockShard};

pub(super) async fn header(
    State(node): State<Node>,
    Named(Height(height)): Named<Height>,
    query: Parameters,
) -> Reply<Json<BlockHeader>> {
    query.only(&[])?;
    Ok(Json(node.backend.header(height).await?))
}

pub(super) async fn shard(
    State(node): State<Node>,
    NamedPair(Height(height), ShardIndex(index)): NamedPair<Height, ShardIndex>,
    query: Parameters,
) -> Reply<Json<BlockShard>> {
    query.only(&[])?;
    Ok(Json(node.backend.shard(height, index).await?))
}
