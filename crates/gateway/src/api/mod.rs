//! REST under `/v1`, the health checks and the description of it all.

mod files;
mod jobs;
mod network;
mod providers;
mod sequencer;
mod streams;

use crate::app::App;
use protocol::api::Problem;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use sequencer::{PAYLOAD_BYTES_MAX, SUBMIT_BODY_BYTES_MAX, check_payload};
pub(crate) use streams::past;

/// Routes that answer at once.
pub(crate) fn quick() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(network::healthz))
        .routes(routes!(network::readyz))
        .routes(routes!(network::network))
        .routes(routes!(network::status))
        .routes(routes!(network::openapi))
        .routes(routes!(files::files))
        .routes(routes!(files::file))
        .routes(routes!(files::storage_nodes))
        .routes(routes!(jobs::jobs))
        .routes(routes!(jobs::job))
        .routes(routes!(jobs::quote))
        .routes(routes!(streams::job_events))
        .routes(routes!(streams::job_logs, jobs::push_log))
        .routes(routes!(providers::providers))
        .routes(routes!(providers::provider))
        .routes(routes!(sequencer::submit))
        .routes(routes!(sequencer::namespace_transactions))
        .routes(routes!(sequencer::transaction))
}

/// Routes that may take as long as the network is slow.
pub(crate) fn slow() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(files::put_file)).routes(routes!(files::repair))
}

/// Bytes of a body, in the words that generators of clients understand.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code, reason = "read by the macro that describes the API, never built")]
pub(crate) struct Binary(Vec<u8>);

/// The ways in which any route may fail.
#[derive(utoipa::IntoResponses)]
#[allow(dead_code, reason = "read by the macro that describes the API, never built")]
pub(crate) enum Problems {
    #[response(status = 400, content_type = "application/problem+json", description = "A name or a parameter is wrong")]
    BadRequest(Problem),
    #[response(status = 404, content_type = "application/problem+json", description = "There is no such thing")]
    NotFound(Problem),
    #[response(
        status = "4XX",
        content_type = "application/problem+json",
        description = "The request is not acceptable"
    )]
    Refused(Problem),
    #[response(
        status = "5XX",
        content_type = "application/problem+json",
        description = "The network or the gateway failed"
    )]
    Failed(Problem),
}
