//! What validators send each other for the lane: shares of openings, and what it takes to make the key.
//!
//! ```text
//! message = 1 ‖ target (8) ‖ member (4) ‖ part of the opening (96)     to all
//!         | 2 ‖ round (8) ‖ commitment ‖ share (32)                    from a dealer to one member
//!         | 3 ‖ round (8) ‖ acknowledgement (64)                       its answer
//!         | 4 ‖ round (8) ‖ dealing                                    from a dealer to all
//! ```
//! Every validator is connected to every other one, so nothing is passed on: each sends what is its own, and again some
//! blocks later while it had no effect. Connections are encrypted and both ends are known, as shares of the key need.

use super::desk::Desk;
use super::secret::Part;
use bytes::Bytes;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::{IoBuf, Spawner};
use proof::lane::DEALING_BYTES_MAX;
use std::sync::Arc;
use tokio::sync::mpsc;

const SHARE: u8 = 1;
const DEALT: u8 = 2;
const ACKNOWLEDGED: u8 = 3;
const PUBLISHED: u8 = 4;
/// Bytes of a message with a share of an opening.
const SHARE_MESSAGE_BYTES: usize = 1 + 8 + Part::BYTES;
/// Bytes of a message.
pub(crate) const LANE_MESSAGE_BYTES_MAX: usize = 1 + 8 + DEALING_BYTES_MAX;

/// A share of an opening, released because its target is final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub target: u64,
    pub part: Part,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Letter {
    /// A share of an opening.
    Share(Box<Message>),
    /// A share of a key, for the member that it is sent to.
    Dealt { round: u64, dealing: Bytes },
    /// The member has it on its disk.
    Acknowledged { round: u64, acknowledgement: Bytes },
    /// What a dealer wants in a block.
    Published { round: u64, dealing: Bytes },
}

/// Something to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    /// `None` for all.
    pub to: Option<PublicKey>,
    pub letter: Letter,
}

impl Letter {
    pub fn encode(&self) -> Vec<u8> {
        let of_round = |tag: u8, round: &u64, bytes: &Bytes| [&[tag][..], &round.to_be_bytes(), bytes].concat();
        match self {
            Self::Share(share) => {
                let Message { target, part } = &**share;
                [&[SHARE][..], &target.to_be_bytes(), &part.encode()].concat()
            }
            Self::Dealt { round, dealing } => of_round(DEALT, round, dealing),
            Self::Acknowledged { round, acknowledgement } => of_round(ACKNOWLEDGED, round, acknowledgement),
            Self::Published { round, dealing } => of_round(PUBLISHED, round, dealing),
        }
    }

    /// `None` if the bytes are no message.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > LANE_MESSAGE_BYTES_MAX {
            return None;
        }
        let (tag, rest) = bytes.split_first()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (round, body) = (u64::from_be_bytes(*number), || Bytes::copy_from_slice(rest));
        match *tag {
            SHARE => {
                let target = shared_target(bytes)?;
                Some(Self::Share(Box::new(Message { target, part: Part::decode(rest)? })))
            }
            DEALT => Some(Self::Dealt { round, dealing: body() }),
            ACKNOWLEDGED => Some(Self::Acknowledged { round, acknowledgement: body() }),
            PUBLISHED => Some(Self::Published { round, dealing: body() }),
            _ => None,
        }
    }
}

/// The target of a message with a share, whoever made it; `None` if the bytes are none.
pub(crate) fn shared_target(bytes: &[u8]) -> Option<u64> {
    let target = bytes.strip_prefix(&[SHARE])?.first_chunk()?;
    (bytes.len() == SHARE_MESSAGE_BYTES).then(|| u64::from_be_bytes(*target))
}

/// Runs until the network ends. Without a lane it hears and forgets.
pub(crate) async fn run<E: Spawner>(
    context: E,
    desk: Option<Arc<Desk>>,
    (mut sender, mut receiver): (impl Sender<PublicKey = PublicKey>, impl Receiver<PublicKey = PublicKey>),
) {
    let mut tasks = match desk.as_ref().and_then(|desk| desk.tasks()) {
        Some(tasks) => tasks,
        // Nothing is ever sent through it, and it is never closed.
        None => return forget(receiver).await,
    };
    loop {
        // In this order and not in a random one, so that a simulation can be repeated; own messages are few.
        tokio::select! {
            biased;
            task = tasks.recv() => match task {
                Some(Task { to, letter }) => {
                    let recipients = to.map_or(Recipients::All, Recipients::One);
                    sender.send(recipients, IoBuf::from(letter.encode()), false);
                }
                None => return,
            },
            message = receiver.recv() => match message {
                Ok((peer, bytes)) => hear(&context, desk.as_ref(), peer, bytes.as_ref()).await,
                Err(_) => return,
            },
        }
    }
}

async fn forget(mut receiver: impl Receiver) {
    while receiver.recv().await.is_ok() {}
}

/// Checking takes a millisecond or some, and what is acknowledged is on the disk: not on the network's thread.
async fn hear<E: Spawner>(context: &E, desk: Option<&Arc<Desk>>, peer: PublicKey, bytes: &[u8]) {
    let Some(letter) = Letter::decode(bytes) else {
        tracing::debug!(%peer, bytes = bytes.len(), "a peer sent what is no message of the lane");
        return;
    };
    let Some(desk) = desk.cloned() else { return };
    let from = peer.clone();
    let heard = context.child("hear").shared(true).spawn(move |_| async move { desk.hear(&from, letter) });
    if let Ok(Err(reason)) = heard.await {
        tracing::debug!(%peer, reason, "a peer sent something false for the lane");
    }
}

/// For the queue between desk and actor.
pub(crate) type Tasks = mpsc::Receiver<Task>;
