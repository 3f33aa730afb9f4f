//! Stands between the engine's broadcast and the channel of blocks.

use super::Division;
use super::desk::{Desk, Enough};
use super::message::{PART, Part, WHOLE};
use crate::block::Head;
use crate::erasure::{Shards, restore};
use crate::orderer::Core;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use commonware_actor::{Feedback, Unreliable};
use commonware_cryptography::Signer as _;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{CheckedSender, LimitedSender, Message, Receiver, Recipients, Sender};
use commonware_runtime::{Handle, IoBuf, IoBufs, Spawner};
use std::num::NonZeroUsize;
use std::time::SystemTime;
use tokio::sync::{mpsc, watch};

/// Blocks of this validator that wait to be sent; more are dropped, and fetched by who needs them.
const OUTGOING_MAX: usize = 16;
/// Blocks of others that wait for the engine.
const INCOMING_MAX: NonZeroUsize = NonZeroUsize::new(64).expect("not zero");

/// A block to be sent.
struct Outgoing {
    recipients: Recipients<PublicKey>,
    message: IoBufs,
    priority: bool,
}

/// The channel of blocks as the engine sends on it.
#[derive(Clone)]
pub(crate) struct BlockSender(mpsc::Sender<Outgoing>);

/// One message on its way to the actor.
pub(crate) struct Checked(mpsc::Sender<Outgoing>, Recipients<PublicKey>);

/// The channel of blocks as the engine listens to it.
pub(crate) struct BlockReceiver(mpsc::Receiver<Message<PublicKey>>);

/// The validator stops.
#[derive(Debug, thiserror::Error)]
#[error("the channel of blocks is closed")]
pub(crate) struct Closed;

impl std::fmt::Debug for BlockReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BlockReceiver")
    }
}

impl LimitedSender for BlockSender {
    type PublicKey = PublicKey;
    type Checked<'a> = Checked;

    fn check(&mut self, recipients: Recipients<PublicKey>) -> Result<Checked, SystemTime> {
        Ok(Checked(self.0.clone(), recipients))
    }
}

impl CheckedSender for Checked {
    type PublicKey = PublicKey;

    /// Those named; whom `All` means is known behind the actor.
    fn recipients(&self) -> Vec<PublicKey> {
        match &self.1 {
            Recipients::All => Vec::new(),
            Recipients::Some(peers) => peers.clone(),
            Recipients::One(peer) => vec![peer.clone()],
        }
    }

    fn send(self, message: impl Into<IoBufs> + Send, priority: bool) -> Unreliable<Feedback> {
        let Self(queue, recipients) = self;
        match queue.try_send(Outgoing { recipients, message: message.into(), priority }) {
            Ok(()) => Unreliable::new(Feedback::Ok),
            Err(mpsc::error::TrySendError::Full(_)) => Unreliable::Rejected,
            Err(mpsc::error::TrySendError::Closed(_)) => Unreliable::new(Feedback::Closed),
        }
    }
}

impl Receiver for BlockReceiver {
    type Error = Closed;
    type PublicKey = PublicKey;

    async fn recv(&mut self) -> Result<Message<PublicKey>, Closed> {
        self.0.recv().await.ok_or(Closed)
    }

    fn capacity(&self) -> NonZeroUsize {
        INCOMING_MAX
    }
}

/// Puts the layer on top of a channel: what the engine gets instead, and what keeps it going.
pub(crate) fn open<E: Spawner>(
    context: E,
    core: &Core,
    division: Division,
    (sender, receiver): (impl Sender<PublicKey = PublicKey>, impl Receiver<PublicKey = PublicKey>),
) -> (BlockSender, BlockReceiver, Handle<()>) {
    let desk = Desk::new(core.keys.consensus.public_key(), core.committees.clone(), division);
    let heights = core.heights.subscribe();
    open_desk(context, desk, heights, sender, receiver)
}

/// The same with what it needs of the validator.
pub(super) fn open_desk<E: Spawner>(
    context: E,
    desk: Desk,
    heights: watch::Receiver<u64>,
    sender: impl Sender<PublicKey = PublicKey>,
    mut receiver: impl Receiver<PublicKey = PublicKey>,
) -> (BlockSender, BlockReceiver, Handle<()>) {
    let (queue, mut outgoing) = mpsc::channel(OUTGOING_MAX);
    let (incoming, delivered) = mpsc::channel(INCOMING_MAX.get());
    let handle = context.child("actor").spawn(move |context| async move {
        let mut actor = Actor { context, desk, heights, sender, incoming };
        loop {
            // In this order and not in a random one, so that a simulation can be repeated; own blocks are few.
            let is_open = tokio::select! {
                biased;
                own = outgoing.recv() => match own {
                    Some(own) => actor.send(own).await,
                    None => None,
                },
                message = receiver.recv() => match message {
                    Ok((peer, message)) => actor.hear(peer, message).await,
                    Err(_) => None,
                },
            };
            if is_open.is_none() {
                return;
            }
        }
    });
    (BlockSender(queue), BlockReceiver(delivered), handle)
}

struct Actor<E, S> {
    context: E,
    desk: Desk,
    heights: watch::Receiver<u64>,
    sender: S,
    incoming: mpsc::Sender<Message<PublicKey>>,
}

impl<E: Spawner, S: Sender<PublicKey = PublicKey>> Actor<E, S> {
    /// Computes on another thread; `None` when the validator stops.
    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        self.context.child("compute").shared(true).spawn(move |_| async move { work() }).await.ok()
    }

    /// Sends a block of this validator.
    async fn send(&mut self, own: Outgoing) -> Option<()> {
        let Outgoing { recipients, mut message, priority } = own;
        if matches!(recipients, Recipients::All) {
            let block = message.clone().copy_to_bytes(message.remaining());
            if let Some((head, payload)) = Head::split(&block).filter(|(head, _)| self.desk.divides(head)) {
                let encoded = self.compute(move || Shards::encode(&payload)).await?;
                if let Ok(shards) = encoded {
                    for (member, part) in self.desk.divide(&head, &shards) {
                        self.sender.send(Recipients::One(member), IoBuf::from(part.encode()), priority);
                    }
                    return Some(());
                }
            }
        }
        message.prepend(IoBuf::from(&[WHOLE][..]));
        self.sender.send(recipients, message, priority);
        Some(())
    }

    /// Takes a message of a peer.
    async fn hear(&mut self, peer: PublicKey, mut message: IoBuf) -> Option<()> {
        match message.as_ref().first() {
            Some(&WHOLE) => {
                message.advance(1);
                self.incoming.send((peer, message)).await.ok()
            }
            Some(&PART) => {
                message.advance(1);
                self.take(peer, Bytes::from(message)).await
            }
            _ => Some(()),
        }
    }

    async fn take(&mut self, peer: PublicKey, part: Bytes) -> Option<()> {
        let Some(part) = Part::decode(part) else {
            tracing::debug!(?peer, "a peer sent what is no part of a block");
            return Some(());
        };
        let height = *self.heights.borrow();
        self.desk.forget(height);
        let taken = match self.desk.take(&peer, part, height) {
            Ok(taken) => taken,
            Err(refusal) => {
                tracing::debug!(?peer, ?refusal, "a peer sent a part of a block that is not taken");
                return Some(());
            }
        };
        if let Some((others, own)) = taken.hand_on {
            self.sender.send(Recipients::Some(others), IoBuf::from(own.encode()), true);
        }
        let Some(Enough { opener, head, shards }) = taken.enough else { return Some(()) };
        let put_together = move || {
            // Of shards that are no codeword comes a block that nobody asks for: the digest names its contents.
            let payload = restore(head.payload_bytes, &shards).ok()?;
            let mut block = BytesMut::with_capacity(head.encoded().len() + payload.len());
            block.put_slice(head.encoded());
            block.put_slice(&payload);
            Some(block.freeze())
        };
        match self.compute(put_together).await? {
            Some(block) => self.incoming.send((opener, IoBuf::from(block))).await.ok(),
            None => {
                tracing::warn!(?opener, "the shards of a block do not give it");
                Some(())
            }
        }
    }
}
