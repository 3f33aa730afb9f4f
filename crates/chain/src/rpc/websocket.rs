//! JSON-RPC over a WebSocket.
//!
//! A message is read only when an answer may be written: at most [`RpcLimits::calls_per_connection`] messages are
//! between being read and having their answer taken by the caller. So a caller that asks and does not listen stops
//! itself, by TCP, before it fills this node's memory.
//! Source: RFC 6455.

use super::connection::Connection;
use super::dispatch::{Caller, Dispatcher, Pushes, busy, too_large};
use super::limits::RpcLimits;
use super::memory::{Held, Memory};
use super::server::stopped;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use jsonrpsee::MethodSink;
use jsonrpsee::core::server::BoundedSubscriptions;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

/// Pushes buffered for one WebSocket before its subscriptions wait: what waits is accounted for, what is here is not.
const PUSHES_MAX: usize = 1;
/// How often a caller is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// A caller that says nothing for this long, not even to a ping, is gone.
const SILENCE_MAX: Duration = Duration::from_secs(75);
/// Bytes of the read buffer of each WebSocket.
const READ_BUFFER_BYTES: usize = 4 << 10;

const _: () = assert!(PING_INTERVAL.as_secs() * 2 < SILENCE_MAX.as_secs());

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// What a session needs from its server.
pub(super) struct Session {
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) limits: Arc<RpcLimits>,
    pub(super) memory: Memory,
    pub(super) connection: Arc<Connection>,
    pub(super) stop: watch::Receiver<bool>,
}

/// An answer on its way out, with what it occupies until it is written.
struct Answer {
    json: Box<RawValue>,
    _turn: OwnedSemaphorePermit,
    _held: Option<Held>,
}

impl Session {
    /// Serves an upgraded connection until either side ends it.
    pub(super) async fn serve(self, upgraded: Upgraded) {
        let limit = self.limits.websocket_bytes as usize;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(limit))
            .max_frame_size(Some(limit));
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        let (mut writer, reader) = socket.split();
        let (answer, answers) = mpsc::channel(self.limits.calls_per_connection.max(1) as usize);
        let (push, pushes) = mpsc::channel(PUSHES_MAX);
        let mut stop = self.stop.clone();
        tokio::select! {
            () = self.read(reader, answer, push) => {}
            () = write(&mut writer, answers, pushes) => {}
            () = stopped(&mut stop) => {}
        }
        // The caller may be gone, or not listen; neither matters any more.
        let _ = timeout(Duration::from_secs(1), writer.close()).await;
    }

    /// Reads messages and answers each in a task of its own; the tasks end with this future.
    async fn read(
        &self,
        mut reader: SplitStream<Socket>,
        answers: mpsc::Sender<Answer>,
        push: mpsc::Sender<Box<RawValue>>,
    ) {
        let calls = self.limits.calls_per_connection.max(1);
        let turns = Arc::new(Semaphore::new(calls as usize));
        let subscriptions = BoundedSubscriptions::new(self.limits.subscriptions_per_connection);
        let pushes = Pushes { sink: MethodSink::new(push), subscriptions };
        let caller = Caller { connection: self.connection.clone(), pushes: Some(pushes) };
        let mut tasks = JoinSet::new();
        while let Ok(turn) = turns.clone().acquire_owned().await {
            while tasks.try_join_next().is_some() {}
            match next_message(&mut reader).await {
                Incoming::Call(message) => {
                    let work = self.work(caller.clone(), message, turn, answers.clone());
                    tasks.spawn(work);
                }
                Incoming::TooLarge => {
                    let json = too_large(self.limits.websocket_bytes);
                    let _ = answers.send(Answer { json, _turn: turn, _held: None }).await;
                    // The rest of the message cannot be skipped, so the connection ends once all is written.
                    let _ = turns.acquire_many(calls).await;
                    return;
                }
                Incoming::End => return,
            }
        }
    }

    /// Answers one message.
    fn work(
        &self,
        caller: Caller,
        message: Bytes,
        turn: OwnedSemaphorePermit,
        answers: mpsc::Sender<Answer>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (dispatcher, memory) = (self.dispatcher.clone(), self.memory.clone());
        async move {
            let Some(_held) = memory.hold_request(message.len()) else {
                let _ = answers.send(Answer { json: busy(), _turn: turn, _held: None }).await;
                return;
            };
            let Some(json) = dispatcher.answer(&caller, &message).await else { return };
            let held = memory.hold_answer(&json);
            let json = if held.is_some() { json } else { busy() };
            // The only error is that the connection ended meanwhile.
            let _ = answers.send(Answer { json, _turn: turn, _held: held }).await;
        }
    }
}

enum Incoming {
    Call(Bytes),
    TooLarge,
    End,
}

/// The next message that asks for something.
async fn next_message(reader: &mut SplitStream<Socket>) -> Incoming {
    loop {
        match timeout(SILENCE_MAX, reader.next()).await {
            Ok(Some(Ok(Message::Text(text)))) => return Incoming::Call(text.into()),
            Ok(Some(Ok(Message::Binary(bytes)))) => return Incoming::Call(bytes),
            // The protocol library answers pings.
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => {}
            Ok(Some(Err(Error::Capacity(_)))) => return Incoming::TooLarge,
            Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) | Err(_) => return Incoming::End,
        }
    }
}

/// Writes answers, pushes and pings until the socket fails or nobody has anything to say any more.
async fn write(
    writer: &mut SplitSink<Socket, Message>,
    mut answers: mpsc::Receiver<Answer>,
    mut pushes: mpsc::Receiver<Box<RawValue>>,
) {
    let mut pings = tokio::time::interval(PING_INTERVAL);
    loop {
        let written = tokio::select! {
            Some(answer) = answers.recv() => writer.send(text(answer.json)).await,
            Some(push) = pushes.recv() => writer.send(text(push)).await,
            _ = pings.tick() => writer.send(Message::Ping(Bytes::new())).await,
        };
        if written.is_err() {
            return;
        }
    }
}

fn text(json: Box<RawValue>) -> Message {
    Message::text(String::from(Box::<str>::from(json)))
}
