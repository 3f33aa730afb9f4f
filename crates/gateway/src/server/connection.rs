//! One connection: speak HTTP, count what it does, end it when it is useless or the server stops.

use super::activity::{Activity, Verdict};
use super::{ServeLimits, Stopping};
use crate::problem::{ProblemResponse, unavailable};
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::debug;

/// Largest head of a request, in bytes.
const HEAD_BYTES_MAX: u32 = 64 * 1024;
/// Requests at a time on one HTTP/2 connection.
const HTTP2_STREAMS_MAX: u32 = 64;
/// Pause after which an HTTP/2 peer is asked whether it still lives.
const HTTP2_PING: Duration = Duration::from_secs(20);

/// What all connections of a server share.
pub(super) struct Shared {
    router: Router,
    limits: ServeLimits,
    pub stopping: CancellationToken,
    pub connections: Arc<Semaphore>,
    requests: Arc<Semaphore>,
}

impl Shared {
    pub fn new(router: Router, limits: ServeLimits, stopping: CancellationToken) -> Self {
        let slots = |n: usize| Arc::new(Semaphore::new(n.clamp(1, Semaphore::MAX_PERMITS)));
        let (connections, requests) = (slots(limits.connections_max), slots(limits.requests_max));
        Self { router, limits, stopping, connections, requests }
    }

    fn pressed(&self) -> bool {
        self.connections.available_permits() < self.limits.connections_max.div_ceil(4)
    }
}

/// One accepted connection. Cloned into the service that answers its requests.
#[derive(Clone)]
pub(super) struct Connection {
    shared: Arc<Shared>,
    activity: Arc<Activity>,
    accepted: Instant,
}

impl Connection {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, activity: Arc::default(), accepted: Instant::now() }
    }

    /// Serves `stream` until the client leaves, is useless for too long, or the server stops.
    pub async fn run(self, stream: TcpStream) {
        // Answers are small and wait for nothing; without this an event could be held back for 40 ms.
        let _ = stream.set_nodelay(true);
        let builder = builder();
        // A stream over a WebSocket leaves this connection; the router bounds how many there are.
        let http = builder.serve_connection_with_upgrades(TokioIo::new(stream), self.clone());
        tokio::pin!(http);
        let mut deadline: Option<Instant> = None;
        let mut look = Instant::now();
        loop {
            tokio::select! {
                ended = http.as_mut() => {
                    if let Err(error) = ended { debug!(error = %error, "connection broke") }
                    return;
                }
                () = self.shared.stopping.cancelled(), if deadline.is_none() => {
                    http.as_mut().graceful_shutdown();
                    deadline = Some(Instant::now() + self.shared.limits.drain);
                }
                () = tokio::time::sleep_until(deadline.unwrap_or(look)) => {
                    if deadline.is_some() { return }
                    match self.activity.verdict(self.age(), &self.shared.limits, self.shared.pressed()) {
                        Verdict::Keep(time) => look = Instant::now() + time,
                        Verdict::Close => return,
                    }
                }
            }
        }
    }

    fn age(&self) -> Duration {
        self.accepted.elapsed()
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // The idle limit also covers heads that come a byte at a time, for both versions of HTTP.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEAD_BYTES_MAX as usize);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).max_concurrent_streams(HTTP2_STREAMS_MAX).max_header_list_size(HEAD_BYTES_MAX);
    http2.keep_alive_interval(HTTP2_PING);
    builder
}

impl hyper::service::Service<Request<Incoming>> for Connection {
    type Response = Response<Sent>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let connection = self.clone();
        let waiting = Waiting::new(&connection);
        Box::pin(async move {
            let response = connection.answer(request).await;
            drop(waiting);
            Ok(response.map(|body| Sent::new(body, connection)))
        })
    }
}

impl Connection {
    async fn answer(&self, request: Request<Incoming>) -> Response {
        let Ok(_slot) = self.shared.requests.try_acquire() else {
            let detail = format!("{} requests are being answered", self.shared.limits.requests_max);
            return ProblemResponse(unavailable(detail)).into_response();
        };
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Stopping(self.shared.stopping.clone()));
        let Ok(response) = self.shared.router.clone().oneshot(request).await;
        response
    }
}

/// Counts a request until its answer begins or the client gives it up.
struct Waiting(Connection);

impl Waiting {
    fn new(connection: &Connection) -> Self {
        connection.activity.request(connection.age());
        Self(connection.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.activity.answered(self.0.age());
    }
}

/// A response body that counts as activity of its connection.
pub(super) struct Sent {
    body: Body,
    connection: Connection,
}

impl Sent {
    fn new(body: Body, connection: Connection) -> Self {
        connection.activity.body(connection.age());
        Self { body, connection }
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.connection.activity.sent(self.connection.age());
    }
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.connection.activity.progress(self.connection.age());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
