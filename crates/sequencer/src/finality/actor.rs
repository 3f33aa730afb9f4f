//! Votes and evidence between validators, and the guard's word before an own vote leaves.
//!
//! ```text
//! message = 1 ‖ vote key (96) ‖ source epoch (8) ‖ root (32) ‖ target epoch (8) ‖ root (32) ‖ signature (48)
//!         | 2 ‖ evidence
//!         | 3 ‖ equivocation
//! ```
//! Every validator is connected to every other one, so nothing is passed on: whoever made a vote or found evidence
//! sends it to all, and again some blocks later if no block has it.

use super::desk::Desk;
use crate::equivocation::{EQUIVOCATION_BYTES_MAX, Equivocation};
use crate::guard::Guard;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::{IoBuf, Spawner};
use proof::checkpoint::{
    Domain, EVIDENCE_BYTES_MAX, Evidence, KEY_BYTES, Point, SIGNATURE_BYTES, Vote, VoteKey, VoteSignature,
};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Bytes of a message.
pub(crate) const VOTE_MESSAGE_BYTES_MAX: usize = 1 + EVIDENCE_BYTES_MAX;

const _: () = assert!(EQUIVOCATION_BYTES_MAX <= EVIDENCE_BYTES_MAX);

const VOTE: u8 = 1;
const EVIDENCE: u8 = 2;
const EQUIVOCATION: u8 = 3;
const VOTE_BYTES: usize = KEY_BYTES + 2 * (8 + 32) + SIGNATURE_BYTES;

/// What validators tell each other about finality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// One vote.
    Vote { key: Box<VoteKey>, vote: Vote, signature: VoteSignature },
    /// Proof that somebody broke the rules.
    Evidence(Box<Evidence>),
    /// Proof that somebody contradicted itself in the engine.
    Equivocation(Box<Equivocation>),
}

/// What the desk wants done.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// Ask the guard for the own vote.
    Sign { domain: Domain, vote: Vote },
    /// Tell all validators.
    Send(Message),
    /// Write what was kept to the disk.
    Commit,
}

impl Message {
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Evidence(evidence) => [&[EVIDENCE][..], &evidence.encode()].concat(),
            Self::Equivocation(both) => [&[EQUIVOCATION][..], &both.encode()].concat(),
            Self::Vote { key, vote, signature } => {
                let mut out = vec![VOTE];
                out.extend(key.bytes());
                for point in [vote.source, vote.target] {
                    out.extend(point.epoch.to_be_bytes());
                    out.extend(point.root.as_slice());
                }
                out.extend(signature.0);
                out
            }
        }
    }

    /// `None` if the bytes are no message.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&EVIDENCE, rest) => Evidence::decode(rest).ok().map(|evidence| Self::Evidence(Box::new(evidence))),
            (&EQUIVOCATION, rest) => Equivocation::decode(rest).ok().map(|both| Self::Equivocation(Box::new(both))),
            (&VOTE, rest) if rest.len() == VOTE_BYTES => {
                let (key, rest) = rest.split_at(KEY_BYTES);
                let (source, rest) = rest.split_at(40);
                let (target, signature) = rest.split_at(40);
                let vote = Vote { source: point(source)?, target: point(target)? };
                let key = Box::new(VoteKey::decode(key).ok()?);
                Some(Self::Vote { key, vote, signature: VoteSignature(signature.try_into().ok()?) })
            }
            _ => None,
        }
    }
}

fn point(bytes: &[u8]) -> Option<Point> {
    let (epoch, root) = bytes.split_first_chunk()?;
    Some(Point { epoch: u64::from_be_bytes(*epoch), root: root.try_into().ok().map(|root: [u8; 32]| root.into())? })
}

/// Runs until the network ends.
pub(crate) async fn run<E: Spawner>(
    context: E,
    desk: Arc<Desk>,
    guard: Arc<Guard>,
    mut tasks: mpsc::Receiver<Task>,
    (mut sender, mut receiver): (impl Sender, impl Receiver),
) {
    loop {
        // In this order and not in a random one, so that a simulation can be repeated; own tasks are few.
        tokio::select! {
            biased;
            task = tasks.recv() => match task {
                Some(Task::Send(message)) => {
                    sender.send(Recipients::All, IoBuf::from(message.encode()), false);
                }
                Some(Task::Sign { domain, vote }) => sign(&context, &desk, &guard, domain, vote).await,
                Some(Task::Commit) => commit(&context, &desk).await,
                None => return,
            },
            message = receiver.recv() => match message {
                Ok((peer, bytes)) => hear(&context, &desk, format!("{peer:?}"), bytes.as_ref()).await,
                Err(_) => return,
            },
        }
    }
}

/// Checking signatures takes a millisecond, so it is not done on the network's thread.
async fn hear<E: Spawner>(context: &E, desk: &Arc<Desk>, peer: String, bytes: &[u8]) {
    let Some(message) = Message::decode(bytes) else {
        tracing::debug!(peer, bytes = bytes.len(), "a peer sent what is no vote");
        return;
    };
    let desk = desk.clone();
    let heard = context.child("hear").shared(true).spawn(move |_| async move { desk.hear(message) });
    if let Ok(Err(error)) = heard.await {
        tracing::debug!(peer, error, "a peer sent a vote or evidence that is not true");
    }
}

async fn sign<E: Spawner>(context: &E, desk: &Arc<Desk>, guard: &Arc<Guard>, domain: Domain, vote: Vote) {
    let (signer, guard) = (desk.clone(), guard.clone());
    let signing = context.child("sign").shared(true).spawn(move |_| async move {
        match signer.secret().sign(&guard, &domain, &vote) {
            Ok(signature) => signer.signed(vote, signature),
            Err(error) => {
                let (source, target) = (vote.source.epoch, vote.target.epoch);
                tracing::error!(%error, source, target, "this validator does not vote on the checkpoint");
            }
        }
    });
    // It fails only when the validator stops.
    let _ = signing.await;
}

async fn commit<E: Spawner>(context: &E, desk: &Arc<Desk>) {
    let desk = desk.clone();
    let committing = context.child("commit").shared(true).spawn(move |_| async move { desk.commit() });
    if let Ok(Err(error)) = committing.await {
        tracing::error!(%error, "evidence cannot be kept");
    }
}
