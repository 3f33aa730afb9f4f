//! Read request bodies within limits of size and patience.
//!
//! A refused body is read on and thrown away for a while: a client that is still sending would otherwise see its
//! connection reset before it could read why.

use crate::backend::ByteStream;
use crate::problem::{self, ProblemResponse, Reply};
use axum::body::{BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use futures::StreamExt;
use futures::stream;
use protocol::api::Problem;
use serde::de::DeserializeOwned;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Bytes of a refused body that are thrown away before the answer.
const LINGER_BYTES_MAX: usize = 16 << 20;
/// Time that this may take.
const LINGER: Duration = Duration::from_secs(2);
/// Media type of JSON.
const JSON: &str = "application/json";

/// What a body may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// What the body is called in errors.
    pub what: &'static str,
    /// Most bytes.
    pub bytes_max: u64,
    /// Longest silence of the client.
    pub stall: Duration,
}

/// Reads a JSON body.
pub(crate) async fn json<T: DeserializeOwned>(request: Request, limits: Limits) -> Reply<T> {
    require_type(&request, JSON)?;
    let bytes = bytes(request, limits).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let detail = format!("the body is not the JSON that is expected: {error}");
        ProblemResponse(Problem { detail, ..problem::bad_request("body", "", "") })
    })
}

/// Reads a whole body.
pub(crate) async fn bytes(request: Request, limits: Limits) -> Reply<Bytes> {
    let (mut stream, upload) = lend(request, limits).await?;
    let mut out = Vec::new();
    let mut result = Ok(());
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => out.extend_from_slice(&piece),
            Err(error) => {
                result = Err(problem::problem("broken-body", "The request ended early", BAD, error.to_string()))
            }
        }
    }
    drop(stream);
    upload.settle(result).await?;
    Ok(out.into())
}

const BAD: axum::http::StatusCode = axum::http::StatusCode::BAD_REQUEST;

/// Refuses a body that is not of type `accepted`; parameters of the type are ignored.
pub(crate) fn require_type(request: &Request, accepted: &str) -> Reply<()> {
    let given = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case(accepted) {
        return Ok(());
    }
    Err(problem::unsupported_media_type(given, accepted).into())
}

/// Lends a body to a backend as a stream that ends with an error when it breaks a limit. [`Upload::settle`] then turns
/// the result of the backend into the answer.
pub(crate) async fn lend(request: Request, limits: Limits) -> Reply<(ByteStream, Upload)> {
    let (parts, body) = request.into_parts();
    let body = body.into_data_stream();
    if declared(&parts.headers).is_some_and(|bytes| bytes > limits.bytes_max) {
        // A client that asked first has sent nothing yet.
        if !parts.headers.contains_key(header::EXPECT) {
            discard(body).await;
        }
        return Err(problem::too_large(limits.what, limits.bytes_max).into());
    }
    let (give_back, rest) = oneshot::channel();
    let fault = Arc::new(OnceLock::new());
    let lent = Lent { body: Some(body), give_back: Some(give_back), taken: 0, limits, fault: fault.clone() };
    let stream = stream::unfold(lent, |mut lent| async move { lent.next().await.map(|piece| (piece, lent)) });
    Ok((stream.boxed(), Upload { rest, fault }))
}

fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The gateway's side of a lent body.
pub(crate) struct Upload {
    rest: oneshot::Receiver<BodyDataStream>,
    fault: Arc<OnceLock<Problem>>,
}

impl Upload {
    /// The answer: the fault of the body if it had one, or else what the backend said.
    pub async fn settle<T>(mut self, result: Result<T, Problem>) -> Reply<T> {
        let result = match self.fault.get() {
            Some(fault) => Err(fault.clone()),
            None => result,
        };
        if result.is_err()
            && let Ok(rest) = self.rest.try_recv()
        {
            discard(rest).await;
        }
        Ok(result?)
    }
}

/// A body on loan; what is left of it comes back when the borrower drops it.
struct Lent {
    body: Option<BodyDataStream>,
    give_back: Option<oneshot::Sender<BodyDataStream>>,
    taken: u64,
    limits: Limits,
    fault: Arc<OnceLock<Problem>>,
}

impl Lent {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        let Limits { what, bytes_max, stall } = self.limits;
        let piece = match timeout(stall, self.body.as_mut()?.next()).await {
            Ok(None) => {
                self.body = None;
                return None;
            }
            Ok(Some(Ok(piece))) => piece,
            Ok(Some(Err(error))) => {
                self.body = None;
                return Some(Err(io::Error::new(io::ErrorKind::UnexpectedEof, error)));
            }
            Err(_) => {
                self.body = None;
                return Some(Err(self.fail(problem::body_stalled(stall))));
            }
        };
        self.taken += piece.len() as u64;
        if self.taken > bytes_max {
            let error = self.fail(problem::too_large(what, bytes_max));
            self.hand_back();
            return Some(Err(error));
        }
        Some(Ok(piece))
    }

    fn fail(&self, problem: Problem) -> io::Error {
        let error = io::Error::other(problem.detail.clone());
        // A body has one fault: after it there is no body left to have another.
        let _ = self.fault.set(problem);
        error
    }

    fn hand_back(&mut self) {
        if let (Some(body), Some(give_back)) = (self.body.take(), self.give_back.take()) {
            // The receiver is gone when the client is; then nobody waits for the rest.
            let _ = give_back.send(body);
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.hand_back();
    }
}

async fn discard(mut body: BodyDataStream) {
    let mut left = LINGER_BYTES_MAX;
    let read = async {
        while let Some(Ok(piece)) = body.next().await {
            match left.checked_sub(piece.len()) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Out of time is as good as out of bytes: the client had its chance.
    let _ = timeout(LINGER, read).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use protocol::api::SubmitRequest;

    const LIMITS: Limits = Limits { what: "body", bytes_max: 8, stall: Duration::from_secs(5) };

    fn request(body: impl Into<Body>) -> Request {
        Request::builder().header(header::CONTENT_TYPE, "application/json; charset=utf-8").body(body.into()).unwrap()
    }

    fn pieces(pieces: Vec<io::Result<&'static str>>) -> Body {
        Body::from_stream(stream::iter(pieces))
    }

    #[tokio::test]
    async fn a_body_at_the_limit_is_read_and_one_byte_more_is_refused() {
        let body = bytes(request(pieces(vec![Ok("1234"), Ok("5678")])), LIMITS).await;
        assert_eq!(body, Ok(Bytes::from_static(b"12345678")));
        let body = bytes(request(pieces(vec![Ok("1234"), Ok("56789"), Ok("rest")])), LIMITS).await;
        assert_eq!(body, Err(problem::too_large("body", 8).into()));
    }

    #[tokio::test]
    async fn a_declared_length_over_the_limit_is_refused_at_once() {
        let mut request = request("1");
        request.headers_mut().insert(header::CONTENT_LENGTH, "9".parse().unwrap());
        assert_eq!(bytes(request, LIMITS).await, Err(problem::too_large("body", 8).into()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stops_sending_is_told_so() {
        let silent = stream::iter([Ok::<_, io::Error>("1")]).chain(stream::pending());
        let answer = bytes(request(Body::from_stream(silent)), LIMITS).await;
        assert_eq!(answer, Err(problem::body_stalled(LIMITS.stall).into()));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_not_taken_for_a_whole_one() {
        let broken = pieces(vec![Ok("12"), Err(io::Error::other("gone"))]);
        let problem = bytes(request(broken), LIMITS).await.unwrap_err().0;
        assert_eq!((problem.kind.as_str(), problem.status), ("urn:kumo:broken-body", 400));
    }

    #[tokio::test]
    async fn what_a_borrower_leaves_is_read_before_its_refusal_is_told() {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let body = stream::iter(0..4).map(move |n| {
            tell.send(n).unwrap();
            Ok::<_, io::Error>("x")
        });
        let (mut stream, upload) = lend(request(Body::from_stream(body)), LIMITS).await.unwrap();
        assert!(stream.next().await.unwrap().is_ok());
        drop(stream);
        let refusal = problem::unprocessable("no root");
        assert_eq!(upload.settle::<()>(Err(refusal.clone())).await, Err(refusal.into()));
        let mut seen = Vec::new();
        told.recv_many(&mut seen, 10).await;
        assert_eq!(seen, [0, 1, 2, 3]);
    }

    #[tokio::test]
    async fn only_the_expected_json_is_accepted() {
        let limits = Limits { bytes_max: 1000, ..LIMITS };
        let good: SubmitRequest = json(request(r#"{"namespace":7,"payload":"0x01"}"#), limits).await.unwrap();
        assert_eq!(good.namespace, 7);
        for body in ["", "{", r#"{"namespace":7}"#, r#"{"namespace":-1,"payload":"0x"}"#, "[1]"] {
            let problem = json::<SubmitRequest>(request(body), limits).await.unwrap_err().0;
            assert_eq!(problem.kind, "urn:kumo:bad-request", "{body}");
        }
        let mut text = request("{}");
        text.headers_mut().insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
        assert_eq!(json::<SubmitRequest>(text, limits).await.unwrap_err().0.status, 415);
    }
}
