//! What the node does after each block: clear the pool of what was mined, and hand over again what was not.

use super::node::Node;
use super::server::stopped;
use crate::BlockRecord;
use crate::pool::HeadState;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// After so many blocks it is looked for what is too old.
const SWEEP_BLOCKS: u64 = 16;
/// How often the journal of the pool is put on disk.
const JOURNAL_INTERVAL: Duration = Duration::from_secs(1);

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

/// Puts the journal of the pool on disk now and then, until `stop` changes and once more.
pub(super) async fn keep_journal(node: Arc<Node>, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(JOURNAL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let last = tokio::select! {
            () = stopped(&mut stop) => true,
            _ = ticks.tick() => false,
        };
        let node = node.clone();
        match tokio::task::spawn_blocking(move || node.pool.maintain_journal()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the journal of the pool cannot be put on disk"),
            Err(panic) => tracing::error!(%panic, "panic in the journal of the pool"),
        }
        if last {
            return;
        }
    }
}

fn send_due(node: Arc<Node>) -> JoinHandle<()> {
    tokio::spawn(async move { node.send_due(HeadState::of(&node.chain.head())).await })
}

/// Takes over what `block` changed of the senders in the pool; all of them if the block or its changes are not known.
fn settle(node: &Node, block: Option<&BlockRecord>) {
    let changed = block.and_then(|block| node.chain.changed_accounts(block.number()));
    let touched = match changed {
        Some(changed) => node.pool.senders_among(&changed),
        None => node.pool.senders(),
    };
    if let Err(error) = node.pool.follow(&node.chain, &touched) {
        tracing::error!(%error, "cannot read the accounts of waiting senders");
    }
    if block.is_none_or(|block| block.number().is_multiple_of(SWEEP_BLOCKS)) {
        node.pool.expire(node.chain.head().header.timestamp);
        node.filters.remove_idle(Instant::now());
    }
}
