//! Streams of events and log records that survive a broken connection.
//!
//! A gateway ends a stream with an event named `end`; without it the connection broke, and is made again. A stream
//! remembers what it has handed out: it asks again with `Last-Event-ID`, and drops what it has seen. It gives up when the
//! gateway stays away for [`RECONNECTS_MAX`] tries in a row.

use super::{Gateway, GatewayError, Result};
use crate::http;
use crate::sse::{Event, Parser};
use futures::stream::{BoxStream, StreamExt};
use protocol::api::{JobEvent, LogRecord};
use reqwest::{Method, Response};
use serde::de::DeserializeOwned;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Events of one job, oldest first, each once.
pub type EventStream = BoxStream<'static, Result<JobEvent>>;
/// Log records of one job, each once, in order per attempt.
pub type LogStream = BoxStream<'static, Result<LogRecord>>;

/// Times in a row that a stream connects again without receiving anything.
pub const RECONNECTS_MAX: u32 = 20;
/// Name of a stream's last event.
const END: &str = "end";
/// Pause before connecting again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(250);

pub(super) fn events(gateway: Gateway, id: u64) -> EventStream {
    let connection = Connection::new(gateway, format!("/v1/jobs/{id}/events"));
    let seen = None;
    futures::stream::unfold((connection, seen), |(mut connection, mut seen)| async move {
        loop {
            let event: JobEvent = match connection.next().await? {
                Ok(event) => event,
                Err(error) => return Some((Err(error), (connection, seen))),
            };
            let position = (event.block_number, event.log_index);
            if seen.is_some_and(|seen| position <= seen) {
                continue;
            }
            seen = Some(position);
            return Some((Ok(event), (connection, seen)));
        }
    })
    .boxed()
}

pub(super) fn logs(gateway: Gateway, id: u64, task: Option<u32>, follow: bool) -> LogStream {
    let task = task.map(|task| format!("&task={task}")).unwrap_or_default();
    let path = format!("/v1/jobs/{id}/logs?follow={follow}{task}");
    let connection = Connection::new(gateway, path);
    let next = HashMap::new();
    futures::stream::unfold((connection, next), |(mut connection, mut next)| async move {
        loop {
            let record: LogRecord = match connection.next().await? {
                Ok(record) => record,
                Err(error) => return Some((Err(error), (connection, next))),
            };
            let expected: &mut u64 = next.entry((record.task, record.attempt, record.provider)).or_default();
            if record.seq < *expected {
                continue;
            }
            *expected = record.seq + 1;
            return Some((Ok(record), (connection, next)));
        }
    })
    .boxed()
}

/// One logical stream over as many connections as it takes.
struct Connection {
    gateway: Gateway,
    path: String,
    response: Option<Response>,
    parser: Parser,
    waiting: VecDeque<Event>,
    last_id: String,
    failures: u32,
    ended: bool,
}

impl Connection {
    fn new(gateway: Gateway, path: String) -> Self {
        let (waiting, last_id) = (VecDeque::new(), String::new());
        Self { gateway, path, response: None, parser: Parser::default(), waiting, last_id, failures: 0, ended: false }
    }

    /// The next event as `T`; `None` at the end, or after an error.
    async fn next<T: DeserializeOwned>(&mut self) -> Option<Result<T>> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                if event.name == END {
                    self.ended = true;
                    return None;
                }
                self.last_id = event.id;
                let read = serde_json::from_str(&event.data).map_err(|e| self.malformed(e.to_string()));
                self.ended |= read.is_err();
                return Some(read);
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.receive().await {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }

    /// Reads on, or connects again; an error is final.
    async fn receive(&mut self) -> Result<()> {
        let Some(response) = &mut self.response else {
            return self.connect().await;
        };
        match http::next_chunk(response).await {
            Ok(Some(chunk)) => {
                let events = self.parser.push(&chunk).map_err(|e| self.malformed(e.to_string()))?;
                self.failures = 0;
                self.waiting.extend(events);
            }
            Ok(None) => self.pause("the connection was closed").await?,
            Err(error) => self.pause(&error.to_string()).await?,
        }
        Ok(())
    }

    async fn connect(&mut self) -> Result<()> {
        let mut request = self.gateway.request(Method::GET, &self.path).header("accept", "text/event-stream");
        if !self.last_id.is_empty() {
            request = request.header("last-event-id", &self.last_id);
        }
        match self.gateway.answer(request).await {
            Ok(response) => {
                self.response = Some(response);
                self.parser = Parser::default();
                Ok(())
            }
            // A gateway that restarts comes back; one that refuses does not change its mind.
            Err(GatewayError::Unreachable { .. }) if self.failures < RECONNECTS_MAX => self.pause("not reached").await,
            Err(error) => Err(error),
        }
    }

    async fn pause(&mut self, reason: &str) -> Result<()> {
        self.response = None;
        self.failures += 1;
        if self.failures > RECONNECTS_MAX {
            return Err(self.malformed(format!("{reason}, {RECONNECTS_MAX} times in a row")));
        }
        tracing::debug!(path = %self.path, reason, "stream broke off, connecting again");
        tokio::time::sleep(RECONNECT_PAUSE).await;
        Ok(())
    }

    fn malformed(&self, reason: String) -> GatewayError {
        GatewayError::Malformed { url: self.gateway.address(&self.path), status: 200, reason }
    }
}
