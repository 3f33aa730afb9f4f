//! Blocks and what is in them as they become final, over a WebSocket.

use super::availability::namespace_at;
use super::shapes;
use crate::backend::FinalBlock;
use crate::extract::{Height, Named, NamedPair, Namespace};
use crate::problem::Reply;
use crate::server::Stopping;
use crate::validator::Node;
use crate::validator::streams::{End, upgrade};
use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Extension, State};
use axum::response::Response;
use axum::routing::get;
use serde_json::Value;

/// What is told of one block: any number of messages.
type Shape = fn(&FinalBlock, Option<u64>) -> Vec<Value>;

/// The routes below `availability/stream`.
pub(super) fn router() -> Router<Node> {
    let kinds: [(&str, Shape); 5] = [
        ("leaves", |block, _| vec![shapes::leaf(block)]),
        ("headers", |block, _| vec![shapes::header(block)]),
        ("blocks", |block, _| vec![shapes::block(block)]),
        ("payloads", |block, _| vec![shapes::payload(block)]),
        ("vid/common", |block, _| vec![shapes::vid_common(block)]),
    ];
    let mut router = Router::new()
        .route("/transactions/{height}", get(all_transactions))
        .route("/transactions/{height}/namespace/{namespace}", get(transactions))
        .route("/blocks/{height}/namespace/{namespace}", get(namespace));
    for (kind, shape) in kinds {
        let handler = async move |State(node): State<Node>,
                                  Named(Height(from)): Named<Height>,
                                  stopping: Option<Extension<Stopping>>,
                                  socket: WebSocketUpgrade|
                    -> Reply<Response> { follow(node, from, None, shape, stopping, socket) };
        router = router.route(&format!("/{kind}/{{height}}"), get(handler));
    }
    router
}

fn told(block: &FinalBlock, wanted: Option<u64>) -> Vec<Value> {
    let namespaces: Vec<u64> = shapes::transactions(block).map(|(namespace, _)| namespace).collect();
    let here = namespaces.iter().enumerate().filter(|(_, namespace)| wanted.is_none_or(|wanted| wanted == **namespace));
    here.filter_map(|(index, _)| shapes::transaction(block, index, None)).collect()
}

async fn all_transactions(
    State(node): State<Node>,
    Named(Height(from)): Named<Height>,
    stopping: Option<Extension<Stopping>>,
    socket: WebSocketUpgrade,
) -> Reply<Response> {
    follow(node, from, None, told, stopping, socket)
}

async fn transactions(
    State(node): State<Node>,
    NamedPair(Height(from), Namespace(namespace)): NamedPair<Height, Namespace>,
    stopping: Option<Extension<Stopping>>,
    socket: WebSocketUpgrade,
) -> Reply<Response> {
    follow(node, from, Some(namespace), told, stopping, socket)
}

/// Sends what `shape` tells of each block from `from` on.
fn follow(
    node: Node,
    from: u64,
    wanted: Option<u64>,
    shape: Shape,
    stopping: Option<Extension<Stopping>>,
    socket: WebSocketUpgrade,
) -> Reply<Response> {
    let slot = node.stream_slot()?;
    Ok(upgrade(socket, slot, stopping, async move |mut sender| {
        for height in from.. {
            let next = async {
                wait(&node, height).await?;
                Ok(node.backend.block(height).await?)
            };
            let block = match sender.or_gone(next).await {
                Ok(block) => block,
                Err(end) => return (sender, end),
            };
            for value in shape(&block, wanted) {
                if let Err(end) = sender.json(&value).await {
                    return (sender, end);
                }
            }
        }
        (sender, End::Gone)
    }))
}

/// Sends the transactions of one namespace, with their proof, for each block from a height on.
async fn namespace(
    State(node): State<Node>,
    NamedPair(Height(from), Namespace(namespace)): NamedPair<Height, Namespace>,
    stopping: Option<Extension<Stopping>>,
    socket: WebSocketUpgrade,
) -> Reply<Response> {
    let slot = node.stream_slot()?;
    Ok(upgrade(socket, slot, stopping, async move |mut sender| {
        // Genesis has no certificate, and no transactions.
        for height in from.max(1).. {
            let next = async {
                wait(&node, height).await?;
                namespace_at(&node, height, namespace).await
            };
            let told = match sender.or_gone(next).await {
                Ok(value) => sender.json(&value).await,
                Err(end) => Err(end),
            };
            if let Err(end) = told {
                return (sender, end);
            }
        }
        (sender, End::Gone)
    }))
}

/// Waits until `height` is final.
async fn wait(node: &Node, height: u64) -> Reply<()> {
    match height.checked_sub(1) {
        Some(before) => Ok(node.backend.height_above(before).await.map(drop)?),
        None => Ok(()),
    }
}
