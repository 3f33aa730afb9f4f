//! Shares between validators.
//!
//! ```text
//! message = 1 ‖ target (8) ‖ member (4) ‖ part of the opening (96)
//! ```
//! Every validator is connected to every other one, so nothing is passed on: each sends its own share to all, and again
//! some blocks later while no block has the opening.

use super::desk::Desk;
use super::secret::Part;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::{IoBuf, Spawner};
use std::sync::Arc;
use tokio::sync::mpsc;

const SHARE: u8 = 1;
/// Bytes of a message.
pub(crate) const LANE_MESSAGE_BYTES_MAX: usize = 1 + 8 + Part::BYTES;

/// A share of an opening, released because its target is final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub target: u64,
    pub part: Part,
}

impl Message {
    pub fn encode(&self) -> Vec<u8> {
        [&[SHARE][..], &self.target.to_be_bytes(), &self.part.encode()].concat()
    }

    /// `None` if the bytes are no message.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let target = shared_target(bytes)?;
        Some(Self { target, part: Part::decode(&bytes[9..])? })
    }
}

/// The target of a message with a share, whoever made it; `None` if the bytes are none.
pub(crate) fn shared_target(bytes: &[u8]) -> Option<u64> {
    let target = bytes.strip_prefix(&[SHARE])?.first_chunk()?;
    (bytes.len() == LANE_MESSAGE_BYTES_MAX).then(|| u64::from_be_bytes(*target))
}

/// Runs until the network ends. Without a lane it hears and forgets.
pub(crate) async fn run<E: Spawner>(
    context: E,
    desk: Option<Arc<Desk>>,
    (mut sender, mut receiver): (impl Sender, impl Receiver),
) {
    let mut tasks = match desk.as_ref().and_then(|desk| desk.tasks()) {
        Some(tasks) => tasks,
        // Nothing is ever sent through it, and it is never closed.
        None => return forget(receiver).await,
    };
    loop {
        // In this order and not in a random one, so that a simulation can be repeated; own shares are few.
        tokio::select! {
            biased;
            task = tasks.recv() => match task {
                Some(message) => {
                    sender.send(Recipients::All, IoBuf::from(Message::encode(&message)), false);
                }
                None => return,
            },
            message = receiver.recv() => match message {
                Ok((peer, bytes)) => hear(&context, desk.as_ref(), format!("{peer:?}"), bytes.as_ref()).await,
                Err(_) => return,
            },
        }
    }
}

async fn forget(mut receiver: impl Receiver) {
    while receiver.recv().await.is_ok() {}
}

/// Checking a share takes a millisecond, so it is not done on the network's thread.
async fn hear<E: Spawner>(context: &E, desk: Option<&Arc<Desk>>, peer: String, bytes: &[u8]) {
    let Some(message) = Message::decode(bytes) else {
        tracing::debug!(peer, bytes = bytes.len(), "a peer sent what is no share");
        return;
    };
    let Some(desk) = desk.cloned() else { return };
    let heard = context.child("hear").shared(true).spawn(move |_| async move { desk.hear(message) });
    if let Ok(Err(target)) = heard.await {
        tracing::debug!(peer, target, "a peer sent a share that is none");
    }
}

/// For the queue between desk and actor.
pub(crate) type Tasks = mpsc::Receiver<Message>;
