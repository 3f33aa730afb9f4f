//! What every answer of every router has in common: time limits, security headers, and problem documents for whatever
//! goes wrong outside a handler.

use crate::problem::{ProblemResponse, internal, method_not_allowed, not_found, timeout};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use std::any::Any;
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{Any as AnyOrigin, CorsLayer};
use tracing::{error, warn};

/// Nothing may be loaded or framed; routes that show something set their own policy.
const POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Set unless the handler did.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
];
/// Time for which a browser may remember what other pages are allowed to ask.
const CORS_AGE: Duration = Duration::from_secs(3600);

/// Lets a page of any origin read and post. There are no cookies and no sessions, so no page can act for a visitor.
pub(crate) fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AnyOrigin)
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers(AnyOrigin)
        .expose_headers([
            header::ACCEPT_RANGES,
            header::CONTENT_DISPOSITION,
            header::CONTENT_LENGTH,
            header::CONTENT_RANGE,
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            HeaderName::from_static("x-ipfs-path"),
            HeaderName::from_static("x-ipfs-roots"),
        ])
        .max_age(CORS_AGE)
}

/// Completes a router: unknown paths and methods, panics, headers.
pub(crate) fn complete(router: Router) -> Router {
    router
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(secure))
}

/// Answers 504 when the head of an answer takes longer than `limit`.
pub(crate) async fn limit_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ProblemResponse(timeout(limit)).into_response(),
    }
}

async fn secure(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    if response.status().is_server_error() {
        warn!(%method, path, status = response.status().as_u16(), "request failed");
    }
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

async fn unknown_path(uri: Uri) -> ProblemResponse {
    not_found("path", uri.path(), "nothing is served here; /openapi.json lists what is").into()
}

async fn unknown_method(method: Method, uri: Uri) -> ProblemResponse {
    method_not_allowed(method, uri.path()).into()
}

/// The message stays in the log: it may hold what the client must not see.
fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("no message");
    error!(panic = text, "a handler panicked");
    ProblemResponse(internal("an unexpected fault; the log of the server has the details")).into_response()
}
