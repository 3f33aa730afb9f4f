//! `eth_subscribe`: pushes over a WebSocket.
//!
//! A subscription follows the chain by number, not by message, so a reader that falls behind misses no block; one
//! that stays behind is cut off.

use super::failure::Failure;
use super::filters::Room;
use super::node::Node;
use super::{convert, facts, logs};
use crate::pool::PooledTransaction;
use crate::{BlockRecord, LogFilter};
use alloy_rpc_types_eth::pubsub::{Params, SubscriptionKind};
use alloy_rpc_types_eth::{Filter, SyncStatus};
use jsonrpsee::{PendingSubscriptionSink, SubscriptionSink};
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::broadcast::error::RecvError;

/// Accepts or rejects a subscription, and serves it until either side ends it.
pub(super) async fn serve(node: &Arc<Node>, pending: PendingSubscriptionSink, kind: SubscriptionKind, params: Params) {
    let feed = match Feed::new(node, kind, params) {
        Ok(feed) => feed,
        Err(failure) => return pending.reject(failure).await,
    };
    // Taken before the caller learns that it is subscribed, so that it misses nothing after that.
    let next = node.chain.head().number() + 1;
    let (blocks, additions) = (node.chain.subscribe(), node.pool.subscribe());
    let Ok(sink) = pending.accept().await else { return };
    match feed {
        Feed::Heads => follow(node, &sink, blocks, next, |block| vec![convert::header(block)]).await,
        Feed::Logs(wanted, _room) => follow(node, &sink, blocks, next, |block| wanted.select(block)).await,
        Feed::Transactions { full } => follow_pool(node, &sink, additions, full).await,
        Feed::Syncing => follow_sync(node, &sink, blocks).await,
    }
}

enum Feed {
    Heads,
    Logs(LogFilter, Room),
    Transactions { full: bool },
    Syncing,
}

impl Feed {
    fn new(node: &Node, kind: SubscriptionKind, params: Params) -> Result<Self, Failure> {
        match (kind, params) {
            (SubscriptionKind::NewHeads, Params::None) => Ok(Self::Heads),
            (SubscriptionKind::Syncing, Params::None) => Ok(Self::Syncing),
            (SubscriptionKind::Logs, Params::None) => Self::logs(node, &Filter::default()),
            (SubscriptionKind::Logs, Params::Logs(filter)) => Self::logs(node, &filter),
            (SubscriptionKind::NewPendingTransactions, Params::None) => Ok(Self::Transactions { full: false }),
            (SubscriptionKind::NewPendingTransactions, Params::Bool(full)) => Ok(Self::Transactions { full }),
            // Some libraries send an empty object where nothing is needed.
            (SubscriptionKind::NewHeads, Params::Logs(filter)) if *filter == Filter::default() => Ok(Self::Heads),
            (SubscriptionKind::TransactionReceipts, _) => Err(Failure::Params(
                "subscription transactionReceipts is not served; there are newHeads, logs, newPendingTransactions and \
                 syncing, and eth_sendRawTransactionSync waits for a receipt"
                    .into(),
            )),
            (kind, params) => Err(Failure::Params(format!("subscription {kind} does not take {params:?}"))),
        }
    }

    fn logs(node: &Node, filter: &Filter) -> Result<Self, Failure> {
        let wanted = logs::wanted(filter)?;
        let room = node.filters.room_for(filter, Instant::now()).map_err(|full| Failure::Limit(full.to_string()))?;
        Ok(Self::Logs(wanted, room))
    }
}

type Blocks = tokio::sync::broadcast::Receiver<Arc<BlockRecord>>;
type Additions = tokio::sync::broadcast::Receiver<Arc<PooledTransaction>>;

/// Pushes what `select` finds in each block from `next` on.
async fn follow<T: Serialize>(
    node: &Node,
    sink: &SubscriptionSink,
    mut blocks: Blocks,
    mut next: u64,
    select: impl Fn(&BlockRecord) -> Vec<T>,
) {
    loop {
        let head = tokio::select! {
            () = sink.closed() => return,
            received = blocks.recv() => match received {
                Ok(block) => block.number(),
                Err(RecvError::Lagged(_)) => node.chain.head().number(),
                Err(RecvError::Closed) => return,
            },
        };
        while next <= head {
            let items = match node.chain.block_by_number(next) {
                Ok(block) => block.map(|block| select(&block)).unwrap_or_default(),
                Err(error) => {
                    tracing::error!(%error, next, "subscription ends");
                    return;
                }
            };
            for item in items {
                if !push(node, sink, &item).await {
                    return;
                }
            }
            next += 1;
        }
    }
}

async fn follow_pool(node: &Node, sink: &SubscriptionSink, mut additions: Additions, full: bool) {
    loop {
        let tx = tokio::select! {
            () = sink.closed() => return,
            received = additions.recv() => match received {
                Ok(tx) => tx,
                // What waits is a hint, not a record: the newest matter.
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            },
        };
        let sent = match full {
            true => push(node, sink, &convert::pending_transaction(&tx)).await,
            false => push(node, sink, &tx.hash).await,
        };
        if !sent {
            return;
        }
    }
}

/// Pushes whether this node is behind: once at the beginning, and whenever that changes.
async fn follow_sync(node: &Node, sink: &SubscriptionSink, mut blocks: Blocks) {
    let mut seen = node.sync.watch();
    let mut told = None;
    loop {
        let status = facts::syncing(node);
        let syncing = matches!(status, SyncStatus::Info(_));
        if told != Some(syncing) {
            let news = if syncing { SyncNews::Syncing { syncing, status } } else { SyncNews::Done(false) };
            if !push(node, sink, &news).await {
                return;
            }
            told = Some(syncing);
        }
        tokio::select! {
            () = sink.closed() => return,
            changed = seen.changed() => if changed.is_err() { return },
            received = blocks.recv() => if let Err(RecvError::Closed) = received { return },
        }
    }
}

/// What subscribers of `syncing` get: `false` at the tip, else how far this node is.
#[derive(Serialize)]
#[serde(untagged)]
enum SyncNews {
    Done(bool),
    Syncing { syncing: bool, status: SyncStatus },
}

/// `false` when the subscription is over, or its reader takes nothing for too long.
async fn push<T: Serialize>(node: &Node, sink: &SubscriptionSink, item: &T) -> bool {
    let Ok(json) = serde_json::value::to_raw_value(item) else { return false };
    let time = node.limits.stall_time;
    let Some(_held) = node.memory.hold_push(json.get().len(), time).await else { return false };
    sink.send_timeout(json, time).await.is_ok()
}
