//! Ordered transactions of every namespace.

use super::Problems;
use crate::app::App;
use crate::body;
use crate::extract::{Named, Namespace, Parameters};
use crate::problem::{Reply, bad_request, too_large};
use alloy_primitives::B256;
use axum::Json;
use axum::extract::{Request, State};
use protocol::api::{SequencedTransaction, SubmitRequest, SubmitResponse};

/// Most bytes of one opaque transaction.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Largest JSON body with one transaction: two digits for a byte.
pub(crate) const SUBMIT_BODY_BYTES_MAX: u64 = 2 * PAYLOAD_BYTES_MAX as u64 + 1024;
/// Most transactions in one list.
const TRANSACTIONS_MAX: usize = 256;
/// Transactions in a list of unspecified length.
const TRANSACTIONS_DEFAULT: usize = 100;

#[utoipa::path(post, path = "/v1/submit/submit", tag = "sequencer", summary = "Submit an opaque transaction",
    description = "The payload is 1 byte to 1 MiB as 0x hex. It is ordered in its namespace and never looked into, \
                   except in namespace 1, which is the settlement chain.",
    request_body = SubmitRequest,
    responses((status = 200, description = "Taken; its hash finds it when it is final", body = SubmitResponse), Problems))]
pub(crate) async fn submit(State(app): State<App>, query: Parameters, request: Request) -> Reply<Json<SubmitResponse>> {
    query.only(&[])?;
    let limits = body::Limits { bytes_max: SUBMIT_BODY_BYTES_MAX, ..app.json() };
    let asked: SubmitRequest = body::json(request, limits).await?;
    check_payload(&asked)?;
    Ok(Json(app.backend.submit(asked.namespace, asked.payload.0).await?))
}

#[utoipa::path(get, path = "/v1/namespaces/{namespace}/transactions", tag = "sequencer",
    summary = "Final transactions of a namespace, in order",
    params(("namespace" = u64, Path, description = "Namespace"),
        ("height" = Option<u64>, Query, description = "First sequencer height; 0 if absent"),
        ("limit" = Option<u64>, Query, description = "How many, 1 to 256; 100 if absent", minimum = 1, maximum = 256)),
    responses((status = 200, description = "Transactions, in order", body = Vec<SequencedTransaction>), Problems))]
pub(crate) async fn namespace_transactions(
    State(app): State<App>,
    Named(Namespace(namespace)): Named<Namespace>,
    query: Parameters,
) -> Reply<Json<Vec<SequencedTransaction>>> {
    let query = query.only(&["height", "limit"])?;
    let height = query.number("height", 0..=u64::MAX)?.unwrap_or(0);
    let limit = query.limit("limit", TRANSACTIONS_MAX, TRANSACTIONS_DEFAULT)?;
    Ok(Json(app.backend.namespace_transactions(namespace, height, limit).await?))
}

#[utoipa::path(get, path = "/v1/transactions/{hash}", tag = "sequencer", summary = "One final transaction",
    params(("hash" = String, Path, description = "Hash from the submission, 64 hex digits")),
    responses((status = 200, description = "The transaction", body = SequencedTransaction), Problems))]
pub(crate) async fn transaction(
    State(app): State<App>,
    Named(hash): Named<B256>,
    query: Parameters,
) -> Reply<Json<SequencedTransaction>> {
    query.only(&[])?;
    Ok(Json(app.backend.sequenced_transaction(hash).await?))
}

/// Refuses a payload that no validator would take.
pub(crate) fn check_payload(asked: &SubmitRequest) -> Reply<()> {
    match asked.payload.len() {
        0 => Err(bad_request("payload", "0x", "1 byte to 1 MiB as 0x hex").into()),
        1..=PAYLOAD_BYTES_MAX => Ok(()),
        _ => Err(too_large("payload", PAYLOAD_BYTES_MAX as u64).into()),
    }
}
