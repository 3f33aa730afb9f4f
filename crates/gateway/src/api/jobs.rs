//! Jobs: list, inspect, price, and take the log records of their providers.

use super::Problems;
use crate::app::App;
use crate::body;
use crate::extract::{JobId, Named, Parameters};
use crate::problem::{Reply, bad_request, too_large};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use protocol::api::{JobView, LogRecord, Quote, QuoteRequest};

/// Most jobs in one list.
const JOBS_MAX: usize = 500;
/// Jobs in a list of unspecified length.
const JOBS_DEFAULT: usize = 50;
/// Most bytes of one sealed log record.
const SEALED_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a signature: r, s and the recovery id.
const SIGNATURE_BYTES: usize = 65;

#[utoipa::path(get, path = "/v1/jobs", tag = "jobs", summary = "Jobs, newest first, without bids and tasks",
    params(("limit" = Option<u64>, Query, description = "How many, 1 to 500; 50 if absent", minimum = 1, maximum = 500),
        ("before" = Option<u64>, Query, description = "Only ids below this one: the last id of the page before")),
    responses((status = 200, description = "Jobs, newest first", body = Vec<JobView>), Problems))]
pub(crate) async fn jobs(State(app): State<App>, query: Parameters) -> Reply<Json<Vec<JobView>>> {
    let query = query.only(&["limit", "before"])?;
    let limit = query.limit("limit", JOBS_MAX, JOBS_DEFAULT)?;
    let before = query.number("before", 0..=u64::MAX)?;
    Ok(Json(app.backend.jobs(limit, before).await?))
}

#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs", summary = "One job with its bids and tasks",
    params(("id" = u64, Path, description = "Job id")),
    responses((status = 200, description = "The job", body = JobView), Problems))]
pub(crate) async fn job(
    State(app): State<App>,
    Named(JobId(id)): Named<JobId>,
    query: Parameters,
) -> Reply<Json<JobView>> {
    query.only(&[])?;
    Ok(Json(app.backend.job(id).await?))
}

#[utoipa::path(post, path = "/v1/jobs/quote", tag = "jobs", summary = "What a job would cost, and who could run it",
    request_body = QuoteRequest,
    responses((status = 200, description = "Price and fit", body = Quote), Problems))]
pub(crate) async fn quote(State(app): State<App>, query: Parameters, request: Request) -> Reply<Json<Quote>> {
    query.only(&[])?;
    let asked: QuoteRequest = body::json(request, app.json()).await?;
    Ok(Json(app.backend.quote(&asked.spec).await?))
}

#[utoipa::path(post, path = "/v1/jobs/{id}/logs", tag = "jobs", summary = "Add a log record",
    description = "Only the provider that holds the task may: the record is signed.",
    params(("id" = u64, Path, description = "Job id, the same as in the record")),
    request_body = LogRecord,
    responses((status = 204, description = "Kept"), Problems))]
pub(crate) async fn push_log(
    State(app): State<App>,
    Named(JobId(id)): Named<JobId>,
    query: Parameters,
    request: Request,
) -> Reply<StatusCode> {
    query.only(&[])?;
    let record: LogRecord = body::json(request, app.json()).await?;
    agree("job_id", record.job_id, id)?;
    check(&record)?;
    app.backend.push_log(record).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shape only; who signed is the backend's to judge.
fn check(record: &LogRecord) -> Reply<()> {
    if record.sealed.is_empty() {
        return Err(bad_request("sealed", "0x", "1 to 16384 bytes").into());
    }
    if record.sealed.len() > SEALED_BYTES_MAX {
        return Err(too_large("sealed", SEALED_BYTES_MAX as u64).into());
    }
    if record.signature.len() != SIGNATURE_BYTES {
        return Err(bad_request("signature", &record.signature, "65 bytes").into());
    }
    Ok(())
}

/// Refuses a name in the body that is not the name in the path.
fn agree(what: &str, in_body: u64, in_path: u64) -> Reply<()> {
    if in_body == in_path {
        return Ok(());
    }
    Err(bad_request(what, in_body, format!("{in_path}, as in the path")).into())
}
