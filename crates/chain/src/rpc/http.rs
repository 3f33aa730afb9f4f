//! JSON-RPC over HTTP/1.1: one request after the other, and the door to WebSockets.

use super::connection::Connection;
use super::dispatch::{Caller, Dispatcher, busy, too_large};
use super::limits::RpcLimits;
use super::memory::{AnswerBody, Memory, Read};
use super::websocket::Session;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::value::RawValue;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Serves the requests of one connection.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) limits: Arc<RpcLimits>,
    pub(super) memory: Memory,
    pub(super) connection: Arc<Connection>,
    pub(super) stop: watch::Receiver<bool>,
}

impl Service {
    /// Answers one request. Fails only as the connection does.
    pub(super) async fn serve(self, request: Request<Incoming>) -> Result<Response<AnswerBody>, hyper::Error> {
        if request.headers().contains_key(UPGRADE) {
            return Ok(self.upgrade(request));
        }
        if request.method() != Method::POST {
            return Ok(refuse(StatusCode::METHOD_NOT_ALLOWED, "JSON-RPC takes POST, or a WebSocket\n"));
        }
        if !is_json(&request) {
            // Browsers may send other types without asking first, so this keeps foreign pages out, too.
            return Ok(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type must be application/json\n"));
        }
        Ok(match self.memory.read(request.into_body()).await? {
            Read::Whole(body, _held) => self.answer(&body).await,
            Read::TooLarge => {
                let limit = self.limits.request_bytes;
                respond(StatusCode::PAYLOAD_TOO_LARGE, AnswerBody::new(into_text(too_large(limit)), None))
            }
            Read::Busy => unavailable(),
        })
    }

    async fn answer(&self, body: &[u8]) -> Response<AnswerBody> {
        let caller = Caller { connection: self.connection.clone(), pushes: None };
        let Some(answer) = self.dispatcher.answer(&caller, body).await else {
            // Notifications only: JSON-RPC has nothing to say, HTTP must.
            return respond(StatusCode::OK, AnswerBody::default());
        };
        match self.memory.hold_answer(&answer) {
            Some(held) => respond(StatusCode::OK, AnswerBody::new(into_text(answer), Some(held))),
            None => unavailable(),
        }
    }

    fn upgrade(self, mut request: Request<Incoming>) -> Response<AnswerBody> {
        let response = match create_response_with_body(&request, AnswerBody::default) {
            Ok(response) => response,
            Err(error) => return refuse(StatusCode::BAD_REQUEST, format!("no WebSocket: {error}\n")),
        };
        self.connection.mark_websocket();
        let upgraded = hyper::upgrade::on(&mut request);
        let Self { dispatcher, limits, memory, connection, stop } = self;
        let session = Session { dispatcher, limits, memory, connection, stop };
        tokio::spawn(async move {
            match upgraded.await {
                Ok(upgraded) => session.serve(upgraded).await,
                Err(error) => tracing::debug!(%error, "WebSocket not established"),
            }
        });
        response
    }
}

fn is_json(request: &Request<Incoming>) -> bool {
    let value = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim();
    ["application/json", "application/json-rpc"].iter().any(|json| kind.eq_ignore_ascii_case(json))
}

fn respond(status: StatusCode, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

fn refuse(status: StatusCode, reason: impl Into<String>) -> Response<AnswerBody> {
    let mut response = respond(status, AnswerBody::new(reason.into(), None));
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response
}

fn unavailable() -> Response<AnswerBody> {
    respond(StatusCode::SERVICE_UNAVAILABLE, AnswerBody::new(into_text(busy()), None))
}

fn into_text(json: Box<RawValue>) -> String {
    String::from(Box::<str>::from(json))
}
