//! Problem documents (RFC 9457): how every error of every HTTP API is told.
//!
//! A constructor fixes type, title and status; the caller gives the values. [`ProblemResponse`] makes it a response of
//! type `application/problem+json`, and [`Next::with_next`] adds what to do about it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::api::Problem;
use std::fmt::Display;
use std::time::Duration;

/// Media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";
/// Most characters of a client's own value that are repeated to it.
pub const VALUE_CHARS_MAX: usize = 128;
/// What a client that meets a full or starting service is told to wait, in seconds.
const RETRY_AFTER_SECONDS: &str = "1";

/// A value in the request is not acceptable (400). `accepted` says what would be.
pub fn bad_request(what: &str, value: impl Display, accepted: impl Display) -> Problem {
    let detail = format!("{what} is {:?}; accepted: {accepted}", shorten(value));
    problem("bad-request", "The request is not acceptable", StatusCode::BAD_REQUEST, detail)
}

/// The signature or the sender does not allow this (403).
pub fn forbidden(detail: impl Into<String>) -> Problem {
    problem("forbidden", "The sender may not do this", StatusCode::FORBIDDEN, detail)
}

/// There is no `what` of this name (404). `detail` says where was looked.
pub fn not_found(what: &str, value: impl Display, detail: impl Display) -> Problem {
    let detail = format!("{what} {}: {detail}", shorten(value));
    problem("not-found", "There is no such thing", StatusCode::NOT_FOUND, detail)
}

/// The path exists, but not for this method (405).
pub fn method_not_allowed(method: impl Display, path: &str) -> Problem {
    let detail = format!("{method} is not served at {}", shorten(path));
    let next = "the Allow header and /openapi.json name the methods that are";
    problem("method-not-allowed", "The method is not served here", StatusCode::METHOD_NOT_ALLOWED, detail)
        .with_next(next)
}

/// None of the representations asked for can be made (406).
pub fn not_acceptable(asked: impl Display, accepted: impl Display) -> Problem {
    let detail = format!("asked for {:?}; available: {accepted}", shorten(asked));
    problem("not-acceptable", "The format is not available", StatusCode::NOT_ACCEPTABLE, detail)
}

/// The client stopped sending its body (408).
pub fn body_stalled(limit: Duration) -> Problem {
    let detail = format!("no byte of the body came for {} s", limit.as_secs_f32());
    problem("body-stalled", "The request stopped halfway", StatusCode::REQUEST_TIMEOUT, detail)
}

/// The request is right but the state of things forbids it (409).
pub fn conflict(detail: impl Into<String>) -> Problem {
    problem("conflict", "The present state does not allow this", StatusCode::CONFLICT, detail)
}

/// What was asked for was there, and is no longer kept (410). `detail` says what is.
pub fn gone(detail: impl Into<String>) -> Problem {
    problem("gone", "It is no longer kept", StatusCode::GONE, detail)
}

/// A body or a part of it has more bytes than `limit` (413).
pub fn too_large(what: &str, limit: u64) -> Problem {
    let detail = format!("{what} is over the limit of {limit} bytes");
    problem("too-large", "The request is too large", StatusCode::PAYLOAD_TOO_LARGE, detail)
}

/// The body has another media type than `accepted` (415).
pub fn unsupported_media_type(given: impl Display, accepted: &str) -> Problem {
    let detail = format!("content type is {:?}; accepted: {accepted}", shorten(given));
    problem("unsupported-media-type", "The body has the wrong type", StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
}

/// The range asked for is outside a file of `size` bytes (416).
pub fn range_not_satisfiable(asked: impl Display, size: u64) -> Problem {
    let detail = format!("range is {:?}, the file has {size} bytes", shorten(asked));
    problem("range-not-satisfiable", "The range is outside the file", StatusCode::RANGE_NOT_SATISFIABLE, detail)
}

/// The body is well formed and still says something impossible (422): a job specification, a CAR with a false block.
pub fn unprocessable(detail: impl Into<String>) -> Problem {
    problem("unprocessable", "The content cannot be used", StatusCode::UNPROCESSABLE_ENTITY, detail)
}

/// Our fault (500). `detail` is shown to the client, so it holds no secret and no path.
pub fn internal(detail: impl Into<String>) -> Problem {
    problem("internal", "The server failed", StatusCode::INTERNAL_SERVER_ERROR, detail)
}

/// The thing exists, but not this way of asking for it (501).
pub fn not_implemented(detail: impl Into<String>) -> Problem {
    problem("not-implemented", "The server does not do this", StatusCode::NOT_IMPLEMENTED, detail)
}

/// Another node on which the answer depends failed (502).
pub fn bad_gateway(detail: impl Into<String>) -> Problem {
    problem("bad-gateway", "Another node failed", StatusCode::BAD_GATEWAY, detail)
}

/// Not now: starting, full, or too few nodes are up (503). The response tells the client to try again.
pub fn unavailable(detail: impl Into<String>) -> Problem {
    problem("unavailable", "Not available now", StatusCode::SERVICE_UNAVAILABLE, detail)
}

/// The answer took longer than `limit` (504).
pub fn timeout(limit: Duration) -> Problem {
    let detail = format!("no answer within {} s", limit.as_secs_f32());
    problem("timeout", "The answer took too long", StatusCode::GATEWAY_TIMEOUT, detail)
}

/// There is no room left (507).
pub fn insufficient_storage(detail: impl Into<String>) -> Problem {
    problem("insufficient-storage", "There is no room left", StatusCode::INSUFFICIENT_STORAGE, detail)
}

/// A problem of a kind that this module does not name. `slug` is lower case with hyphens, and becomes `urn:kumo:<slug>`.
pub fn problem(slug: &str, title: &str, status: StatusCode, detail: impl Into<String>) -> Problem {
    Problem {
        kind: format!("urn:kumo:{slug}"),
        title: title.into(),
        status: status.as_u16(),
        detail: detail.into(),
        next: None,
    }
}

/// Adds advice to a problem.
pub trait Next {
    /// The same problem, telling what to do next.
    fn with_next(self, next: impl Into<String>) -> Self;
}

impl Next for Problem {
    fn with_next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
}

/// A problem as an HTTP response. A status outside 400..=599 becomes 500.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProblemResponse(pub Problem);

/// What a handler returns.
pub type Reply<T> = Result<T, ProblemResponse>;

impl From<Problem> for ProblemResponse {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for ProblemResponse {
    fn into_response(self) -> Response {
        let Self(mut problem) = self;
        let known = StatusCode::from_u16(problem.status).ok().filter(|s| s.is_client_error() || s.is_server_error());
        let status = known.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        problem.status = status.as_u16();
        let body = serde_json::to_vec(&problem).expect("five plain fields are always JSON");
        let mut response = (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        response
    }
}

/// The first [`VALUE_CHARS_MAX`] characters of what the client sent.
pub(crate) fn shorten(value: impl Display) -> String {
    let text = value.to_string();
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_tells_the_value_and_what_is_accepted() {
        let problem = bad_request("limit", 0, "1..=1000");
        assert_eq!(problem.detail, "limit is \"0\"; accepted: 1..=1000");
        assert_eq!((problem.kind.as_str(), problem.status), ("urn:kumo:bad-request", 400));
    }

    #[test]
    fn long_values_are_cut_at_a_character() {
        assert_eq!(shorten("é".repeat(VALUE_CHARS_MAX)), "é".repeat(VALUE_CHARS_MAX));
        assert_eq!(shorten("é".repeat(VALUE_CHARS_MAX + 1)), "é".repeat(VALUE_CHARS_MAX) + "…");
    }

    #[test]
    fn the_response_carries_type_and_status() {
        let response = ProblemResponse(conflict("job 3 is closed")).into_response();
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
        assert!(!response.headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn a_full_service_says_when_to_come_back() {
        let response = ProblemResponse(unavailable("all 4 streams are taken")).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], RETRY_AFTER_SECONDS);
    }

    #[test]
    fn a_status_that_is_no_error_becomes_500() {
        for status in [0, 200, 399, 600, 999, u16::MAX] {
            let problem = Problem { status, ..internal("odd") };
            assert_eq!(ProblemResponse(problem).into_response().status(), StatusCode::INTERNAL_SERVER_ERROR);
        }
    }
}
