//! WebSocket streams: many submissions over one connection, and a namespace as it becomes final.
//!
//! A stream ends with a close frame whose reason says why. A client that reads too slowly holds up nothing but itself:
//! nothing is prepared before the frame before it was taken.

use super::Node;
use super::namespaces::reach;
use super::submit::{BATCH_BODY_BYTES_MAX, check_batch, read_batch, write_answers};
use crate::backend::Submission;
use crate::extract::{Named, Namespace, Parameters};
use crate::problem::{ProblemResponse, Reply, unavailable};
use crate::server::Stopping;
use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, State};
use axum::response::Response;
use serde::Serialize;
use std::future::pending;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Time that a client may take to take one frame.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// Silence of a client after which a stream of submissions ends.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Most characters of the reason in a close frame.
const REASON_CHARS_MAX: usize = 100;

/// Why a stream ends.
pub(crate) enum End {
    /// The client is gone, or does not take what it is sent.
    Gone,
    /// The server says so.
    Because(String),
}

impl From<ProblemResponse> for End {
    fn from(ProblemResponse(problem): ProblemResponse) -> Self {
        Self::Because(problem.detail)
    }
}

impl Node {
    /// A place among the streams.
    pub(crate) fn stream_slot(&self) -> Reply<OwnedSemaphorePermit> {
        let limit = self.config.streams_max;
        let slot = self.streams.clone().try_acquire_owned();
        slot.map_err(|_| unavailable(format!("all {limit} streams of this validator are taken")).into())
    }
}

/// Upgrades to a WebSocket that `body` speaks on until it ends, or the server stops.
pub(crate) fn upgrade<F>(
    upgrade: WebSocketUpgrade,
    slot: OwnedSemaphorePermit,
    stopping: Option<Extension<Stopping>>,
    body: impl FnOnce(WebSocketSender) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = (WebSocketSender, End)> + Send + 'static,
{
    let stopped = async move {
        match stopping {
            Some(Extension(stopping)) => stopping.wait().await,
            None => pending().await,
        }
    };
    upgrade.max_message_size(BATCH_BODY_BYTES_MAX).max_frame_size(BATCH_BODY_BYTES_MAX).on_upgrade(
        async move |socket| {
            let _slot = slot;
            tokio::select! {
                (sender, end) = body(WebSocketSender(socket)) => sender.close(end).await,
                () = stopped => {}
            }
        },
    )
}

/// One side of a WebSocket.
pub(crate) struct WebSocketSender(WebSocket);

impl WebSocketSender {
    /// Sends one JSON value.
    pub async fn json(&mut self, value: &impl Serialize) -> Result<(), End> {
        let text = serde_json::to_string(value).map_err(|error| End::Because(error.to_string()))?;
        self.send(Message::Text(text.into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match tokio::time::timeout(SEND_TIMEOUT, self.0.send(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(End::Gone),
        }
    }

    /// Waits for `next`, or until the client goes away.
    pub async fn or_gone<T>(&mut self, next: impl Future<Output = Reply<T>>) -> Result<T, End> {
        tokio::pin!(next);
        loop {
            tokio::select! {
                value = &mut next => return Ok(value?),
                message = self.0.recv() => match message {
                    None | Some(Err(_) | Ok(Message::Close(_))) => return Err(End::Gone),
                    // Whoever only listens has nothing to say.
                    Some(Ok(_)) => {}
                },
            }
        }
    }

    async fn close(mut self, end: End) {
        if let End::Because(reason) = end {
            let reason: String = reason.chars().take(REASON_CHARS_MAX).filter(char::is_ascii).collect();
            let frame = CloseFrame { code: axum::extract::ws::close_code::POLICY, reason: reason.into() };
            // The connection ends either way.
            let _ = self.send(Message::Close(Some(frame))).await;
        }
    }
}

/// Takes binary batches, one a message, and answers each, in order, when it is on the disk.
pub(super) async fn submissions(
    State(node): State<Node>,
    query: Parameters,
    stopping: Option<Extension<Stopping>>,
    socket: WebSocketUpgrade,
) -> Reply<Response> {
    let query = query.only(&["lifetime"])?;
    let lifetime = query.number("lifetime", 1..=u64::MAX)?;
    let slot = node.stream_slot()?;
    Ok(upgrade(socket, slot, stopping, async move |mut sender| {
        loop {
            if let Err(end) = take_batch(&node, lifetime, &mut sender).await {
                return (sender, end);
            }
        }
    }))
}

async fn take_batch(node: &Node, lifetime: Option<u64>, sender: &mut WebSocketSender) -> Result<(), End> {
    let message = match tokio::time::timeout(IDLE_TIMEOUT, sender.0.recv()).await {
        Ok(Some(Ok(message))) => message,
        Ok(_) => return Err(End::Gone),
        Err(_) => return Err(End::Because(format!("no message for {} s", IDLE_TIMEOUT.as_secs()))),
    };
    match message {
        Message::Binary(batch) => {
            let transactions: Vec<(u64, Bytes)> = read_batch(batch)?;
            check_batch(&transactions)?;
            let submissions = transactions.into_iter().map(|(n, payload)| Submission::Transaction(n, payload));
            let response = node.accept_all(submissions.collect(), lifetime).await.map_err(ProblemResponse)?;
            sender.send(Message::Binary(write_answers(&response).into())).await
        }
        Message::Close(_) => Err(End::Gone),
        Message::Text(_) => Err(End::Because("messages are binary batches".to_owned())),
        Message::Ping(_) | Message::Pong(_) => Ok(()),
    }
}

/// Sends one proof for each height from `from` on, as each becomes final.
pub(super) async fn namespace(
    State(node): State<Node>,
    Named(Namespace(namespace)): Named<Namespace>,
    query: Parameters,
    stopping: Option<Extension<Stopping>>,
    socket: WebSocketUpgrade,
) -> Reply<Response> {
    let query = query.only(&["from"])?;
    let from = query.number("from", 1..=u64::MAX)?.unwrap_or(1);
    let slot = node.stream_slot()?;
    Ok(upgrade(socket, slot, stopping, async move |mut sender| {
        for height in from.. {
            let next = async {
                reach(&node, height).await?;
                Ok(node.backend.namespace(height, namespace).await?)
            };
            let told = match sender.or_gone(next).await {
                Ok(block) => sender.json(&block).await,
                Err(end) => Err(end),
            };
            if let Err(end) = told {
                return (sender, end);
            }
        }
        (sender, End::Gone)
    }))
}
