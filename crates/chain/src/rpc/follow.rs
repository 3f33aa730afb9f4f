//! What the node does after each block: clear the pool of what was mined, and hand over again what was not.

use super::node::{Node, head_state};
use super::server::stopped;
use crate::BlockRecord;
use crate::pool::Pool;
use alloy_consensus::Transaction;
use alloy_primitives::{Address, map::HashSet};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// After so many blocks every sender in the pool is looked at, not only those of the block.
const SWEEP_BLOCKS: u64 = 16;

/// Follows the chain until `stop` changes.
pub(super) async fn follow(node: Arc<Node>, mut stop: watch::Receiver<bool>) {
    let mut blocks = node.chain.subscribe();
    let mut sending: Option<JoinHandle<()>> = None;
    loop {
        let block = tokio::select! {
            () = stopped(&mut stop) => break,
            received = blocks.recv() => match received {
                Ok(block) => Some(block),
                Err(RecvError::Lagged(_)) => None,
                Err(RecvError::Closed) => break,
            },
        };
        settle(&node, block.as_deref());
        if sending.as_ref().is_none_or(JoinHandle::is_finished) {
            sending = Some(send_due(node.clone()));
        }
    }
    if let Some(sending) = sending {
        sending.abort();
    }
}

fn send_due(node: Arc<Node>) -> JoinHandle<()> {
    tokio::spawn(async move { node.send_due(head_state(&node.chain.head())).await })
}

/// Drops what `block` mined; without a block, or every [`SWEEP_BLOCKS`], looks at all senders.
fn settle(node: &Node, block: Option<&BlockRecord>) {
    let head = node.chain.head();
    let sweep = block.is_none_or(|block| block.number().is_multiple_of(SWEEP_BLOCKS));
    let touched = match block {
        Some(block) if !sweep => touched(&node.pool, block),
        _ => node.pool.senders(),
    };
    for sender in touched {
        match node.sender(&head, sender) {
            Ok(account) => node.pool.settle(sender, account),
            Err(failure) => tracing::error!(%failure, %sender, "cannot read the account of a waiting sender"),
        }
    }
    if sweep {
        node.pool.expire(head.header.timestamp);
        node.filters.remove_idle(Instant::now());
    }
}

/// Senders in the pool whose nonce the block may have moved: those of its transactions, and who authorised code.
fn touched(pool: &Pool, block: &BlockRecord) -> Vec<Address> {
    let mut moved: HashSet<Address> = block.senders.iter().copied().collect();
    for authorization in block.transactions.iter().flat_map(|tx| tx.authorization_list().unwrap_or_default()) {
        moved.extend(authorization.recover_authority());
    }
    pool.senders().into_iter().filter(|sender| moved.contains(sender)).collect()
}
