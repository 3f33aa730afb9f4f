//! Submit, and ask what became of it.

use super::Node;
use crate::api::{PAYLOAD_BYTES_MAX, SUBMIT_BODY_BYTES_MAX, check_payload};
use crate::backend::Submission;
use crate::body::{self, Limits};
use crate::config::WAIT_MILLIS_MAX;
use crate::extract::{Named, Parameters};
use crate::problem::{Reply, bad_request, too_large};
use alloy_primitives::B256;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use protocol::api::{
    Problem, StatusesRequest, SubmissionAnswer, SubmissionReceipt, SubmissionState, SubmissionStatus,
    SubmitBatchRequest, SubmitBatchResponse, SubmitBundleRequest, SubmitRequest,
};
use std::time::Duration;
use tokio::time::Instant;

/// Transactions in one batch.
pub(crate) const BATCH_TRANSACTIONS_MAX: usize = 65_536;
/// Bytes of the transactions of one batch.
pub(crate) const BATCH_BYTES_MAX: usize = 8 << 20;
/// Bytes beside each transaction in a binary batch.
const FRAME_BYTES: usize = 12;
/// Largest binary body of a batch.
pub(crate) const BATCH_BODY_BYTES_MAX: usize = BATCH_BYTES_MAX + FRAME_BYTES * BATCH_TRANSACTIONS_MAX;
/// Largest JSON body of a batch: two digits for a byte, and names.
pub(crate) const BATCH_JSON_BYTES_MAX: usize = 2 * BATCH_BYTES_MAX + 64 * BATCH_TRANSACTIONS_MAX;
/// Hashes in one question.
const HASHES_MAX: usize = 1_024;
/// Media type of bytes.
pub(crate) const BINARY: &str = "application/octet-stream";

const _: () = assert!(PAYLOAD_BYTES_MAX <= BATCH_BYTES_MAX);

impl Node {
    fn limits(&self, what: &'static str, bytes_max: u64) -> Limits {
        Limits { what, bytes_max, stall: self.config.body_stall }
    }

    /// Accepts one submission.
    pub(crate) async fn accept(&self, submission: Submission, lifetime: Option<u64>) -> Reply<SubmissionReceipt> {
        let answer = self.backend.accept(vec![submission], lifetime).await?.pop();
        Ok(answer.unwrap_or_else(|| Err(crate::problem::internal("the sequencer gave no answer")))?)
    }

    /// Accepts many, each for itself.
    pub(crate) async fn accept_all(
        &self,
        submissions: Vec<Submission>,
        lifetime: Option<u64>,
    ) -> Result<SubmitBatchResponse, Problem> {
        let answer = |answer| match answer {
            Ok(receipt) => SubmissionAnswer::Accepted(receipt),
            Err(Problem { detail, .. }) => SubmissionAnswer::Refused(detail),
        };
        let answers = self.backend.accept(submissions, lifetime).await?;
        Ok(SubmitBatchResponse { answers: answers.into_iter().map(answer).collect() })
    }

    /// What became of a submission once it has come as far as `goal` or has ended otherwise, at the latest after `wait`.
    pub(crate) async fn wait_for(&self, hash: B256, goal: SubmissionState, wait: Duration) -> Reply<SubmissionStatus> {
        let deadline = Instant::now() + wait;
        loop {
            let found = self.backend.statuses(vec![hash]).await?.pop().unwrap_or_default();
            if found.state.has_reached(goal) {
                return Ok(found);
            }
            match tokio::time::timeout_at(deadline, self.backend.height_above(found.final_height)).await {
                Ok(height) => drop(height?),
                Err(_) => return Ok(found),
            }
        }
    }
}

pub(super) async fn single(
    State(node): State<Node>,
    query: Parameters,
    request: Request,
) -> Reply<Json<SubmissionReceipt>> {
    let lifetime = lifetime(query)?;
    let asked: SubmitRequest = body::json(request, node.limits("JSON body", SUBMIT_BODY_BYTES_MAX)).await?;
    check_payload(&asked)?;
    Ok(Json(node.accept(Submission::Transaction(asked.namespace, asked.payload.0), lifetime).await?))
}

/// Many transactions, as JSON or as bytes; the answer is JSON, or bytes if those are asked for.
pub(super) async fn batch(
    State(node): State<Node>,
    query: Parameters,
    headers: HeaderMap,
    request: Request,
) -> Reply<Response> {
    let lifetime = lifetime(query)?;
    let has =
        |name, value: &str| headers.get(name).is_some_and(|found: &HeaderValue| found.as_bytes() == value.as_bytes());
    let (transactions, lifetime) = match has(header::CONTENT_TYPE, BINARY) {
        true => {
            let body = body::bytes(request, node.limits("batch", BATCH_BODY_BYTES_MAX as u64)).await?;
            (read_batch(body)?, lifetime)
        }
        false => {
            let limits = node.limits("JSON body", BATCH_JSON_BYTES_MAX as u64);
            let asked: SubmitBatchRequest = body::json(request, limits).await?;
            (transactions(asked.transactions), asked.lifetime.or(lifetime))
        }
    };
    check_batch(&transactions)?;
    let submissions = transactions.into_iter().map(|(namespace, payload)| Submission::Transaction(namespace, payload));
    let response = node.accept_all(submissions.collect(), lifetime).await?;
    Ok(match has(header::ACCEPT, BINARY) {
        true => ([(header::CONTENT_TYPE, BINARY)], write_answers(&response)).into_response(),
        false => Json(response).into_response(),
    })
}

pub(super) async fn bundle(
    State(node): State<Node>,
    query: Parameters,
    request: Request,
) -> Reply<Json<SubmissionReceipt>> {
    let lifetime = lifetime(query)?;
    let limits = node.limits("JSON body", SUBMIT_BODY_BYTES_MAX + 64 * 1024);
    let asked: SubmitBundleRequest = body::json(request, limits).await?;
    Ok(Json(node.accept(Submission::Bundle(transactions(asked.transactions)), asked.lifetime.or(lifetime)).await?))
}

/// What became of many.
pub(super) async fn statuses(
    State(node): State<Node>,
    query: Parameters,
    request: Request,
) -> Reply<Json<Vec<SubmissionStatus>>> {
    query.only(&[])?;
    let limits = node.limits("JSON body", (HASHES_MAX * 80) as u64);
    let asked: StatusesRequest = body::json(request, limits).await?;
    check_hashes(asked.hashes.len())?;
    Ok(Json(node.backend.statuses(asked.hashes).await?))
}

/// Refuses a question about none or too many submissions.
pub(crate) fn check_hashes(count: usize) -> Reply<()> {
    match count {
        1..=HASHES_MAX => Ok(()),
        _ => Err(bad_request("number of hashes", count, "1 to 1024").into()),
    }
}

/// What became of one; waits until it has come as far as is asked for, or has ended otherwise.
pub(super) async fn status(
    State(node): State<Node>,
    Named(hash): Named<B256>,
    query: Parameters,
) -> Reply<Json<SubmissionStatus>> {
    let query = query.only(&["until", "wait"])?;
    let wait = Duration::from_millis(query.number("wait", 0..=WAIT_MILLIS_MAX)?.unwrap_or(0));
    let goal = match query.get("until") {
        None | Some("final") => SubmissionState::Final,
        Some("included") => SubmissionState::Included,
        Some("finalized") => SubmissionState::Finalized,
        Some(other) => return Err(bad_request("until", other, "included, final, finalized").into()),
    };
    Ok(Json(node.wait_for(hash, goal, wait).await?))
}

/// The one parameter of a submission.
fn lifetime(query: Parameters) -> Reply<Option<u64>> {
    query.only(&["lifetime"])?.number("lifetime", 1..=u64::MAX)
}

/// The same where it is part of a message.
pub(crate) fn check_lifetime(lifetime: Option<u64>) -> Reply<Option<u64>> {
    match lifetime {
        Some(0) => Err(bad_request("lifetime", 0, "1 and above").into()),
        lifetime => Ok(lifetime),
    }
}

fn transactions(asked: Vec<SubmitRequest>) -> Vec<(u64, Bytes)> {
    asked.into_iter().map(|asked| (asked.namespace, asked.payload.0)).collect()
}

/// Reads `namespace (8) ‖ length (4) ‖ bytes` for each transaction; they share the memory of `body`.
pub(crate) fn read_batch(mut body: Bytes) -> Reply<Vec<(u64, Bytes)>> {
    let whole = body.len();
    let mut transactions = Vec::new();
    while !body.is_empty() {
        let at = whole - body.len();
        let broken = || bad_request("byte", at, "the start of: namespace (8), length (4), bytes, each whole");
        let frame: [u8; FRAME_BYTES] = *body.first_chunk().ok_or_else(broken)?;
        let [a, b, c, d, e, f, g, h, length @ ..] = frame;
        let length = u32::from_be_bytes(length) as usize;
        if length > body.len() - FRAME_BYTES || transactions.len() == BATCH_TRANSACTIONS_MAX {
            return Err(broken().into());
        }
        let _ = body.split_to(FRAME_BYTES);
        transactions.push((u64::from_be_bytes([a, b, c, d, e, f, g, h]), body.split_to(length)));
    }
    Ok(transactions)
}

/// Refuses what no validator takes as a whole; what is wrong with one transaction is told in its answer.
pub(crate) fn check_batch(transactions: &[(u64, Bytes)]) -> Reply<()> {
    if !(1..=BATCH_TRANSACTIONS_MAX).contains(&transactions.len()) {
        return Err(bad_request("number of transactions", transactions.len(), "1 to 65536").into());
    }
    if transactions.iter().map(|(_, payload)| payload.len()).sum::<usize>() > BATCH_BYTES_MAX {
        return Err(too_large("batch", BATCH_BYTES_MAX as u64).into());
    }
    Ok(())
}

/// For each answer `1 ‖ hash (32) ‖ expires (8)`, or 41 zeros if the transaction was refused.
pub(crate) fn write_answers(response: &SubmitBatchResponse) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(41 * response.answers.len());
    for answer in &response.answers {
        match answer {
            SubmissionAnswer::Accepted(receipt) => {
                bytes.push(1);
                bytes.extend(receipt.hash);
                bytes.extend(receipt.expires.to_be_bytes());
            }
            SubmissionAnswer::Refused(_) => bytes.extend([0; 41]),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(namespace: u64, payload: &[u8]) -> Vec<u8> {
        [&namespace.to_be_bytes()[..], &(payload.len() as u32).to_be_bytes(), payload].concat()
    }

    #[test]
    fn a_batch_reads_back_and_no_cut_of_it_does() {
        let whole = [frame(7, b"one"), frame(u64::MAX, b""), frame(8, b"three")].concat();
        let expected = [(7, &b"one"[..]), (u64::MAX, b""), (8, b"three")];
        let read = read_batch(whole.clone().into()).unwrap();
        assert_eq!(read, expected.map(|(namespace, payload)| (namespace, Bytes::from(payload))));
        for length in (1..whole.len()).filter(|length| ![15, 27].contains(length)) {
            assert!(read_batch(whole[..length].to_vec().into()).is_err(), "{length} bytes");
        }
        let huge = [&[0; 8][..], &u32::MAX.to_be_bytes(), b"t"].concat();
        assert!(read_batch(huge.into()).is_err());
    }

    #[test]
    fn a_batch_is_bounded_by_count_and_by_bytes() {
        assert!(check_batch(&[]).is_err());
        assert!(check_batch(&vec![(1, Bytes::from_static(b"t")); BATCH_TRANSACTIONS_MAX]).is_ok());
        assert!(check_batch(&vec![(1, Bytes::from_static(b"t")); BATCH_TRANSACTIONS_MAX + 1]).is_err());
        let half = Bytes::from(vec![0; BATCH_BYTES_MAX / 2]);
        assert!(check_batch(&[(1, half.clone()), (1, half.clone())]).is_ok());
        assert!(check_batch(&[(1, half.clone()), (1, half), (1, Bytes::from_static(b"t"))]).is_err());
        let frames = frame(1, b"").repeat(BATCH_TRANSACTIONS_MAX + 1);
        assert!(read_batch(frames.into()).is_err());
    }
}
