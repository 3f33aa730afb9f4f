//! Pages for people: the network at a glance, and one job. Plain HTML that works without scripts.
//!
//! Everything shown may come from anybody (names of jobs, endpoints, attributes), so the templates escape it, and the
//! content security policy allows nothing but our own style sheet and icon.

mod filters;

use crate::api::{Problems, past};
use crate::app::App;
use crate::extract::{JobId, Named};
use crate::problem::ProblemResponse;
use askama::Template;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use protocol::api::{FileInfo, JobEvent, JobView, Problem, ProviderInfo, Status, StorageNode};
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Rows of a table on the status page.
const ROWS_MAX: usize = 20;
/// Events on the page of a job.
const EVENTS_MAX: usize = 500;
/// Silence of an event stream after which the past is taken to be complete.
const PATIENCE: Duration = Duration::from_millis(200);
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
/// Assets have no version in their names, so they are asked for again now and then.
const HOUR: (HeaderName, &str) = (header::CACHE_CONTROL, "public, max-age=3600");
const STYLE: &str = include_str!("../../assets/style.css");
const ICON: &str = include_str!("../../assets/icon.svg");

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(status_page))
        .routes(routes!(job_page))
        .route("/style.css", get(style))
        .route("/icon.svg", get(icon))
}

/// Each part is there or says why it is not: a page about a network in trouble must not be blank.
#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    status: Result<Status, Problem>,
    jobs: Result<Vec<JobView>, Problem>,
    providers: Result<Vec<ProviderInfo>, Problem>,
    nodes: Result<Vec<StorageNode>, Problem>,
    files: Result<Vec<FileInfo>, Problem>,
}

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    job: JobView,
    events: Vec<JobEvent>,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    problem: Problem,
}

#[utoipa::path(get, path = "/", tag = "pages", summary = "The network at a glance",
    responses((status = 200, description = "A page", body = String, content_type = "text/html"), Problems))]
pub(crate) async fn status_page(State(app): State<App>) -> Response {
    let backend = &app.backend;
    let (status, jobs, providers, nodes, files) = tokio::join!(
        backend.status(),
        backend.jobs(ROWS_MAX, None),
        backend.providers(),
        backend.storage_nodes(),
        backend.files(ROWS_MAX),
    );
    let first = |mut rows: Vec<_>| {
        rows.truncate(ROWS_MAX);
        rows
    };
    page(StatusCode::OK, StatusPage { status, jobs, providers: providers.map(first), nodes, files })
}

#[utoipa::path(get, path = "/jobs/{id}", tag = "pages", summary = "One job: tasks, bids, events",
    params(("id" = u64, Path, description = "Job id")),
    responses((status = 200, description = "A page", body = String, content_type = "text/html"),
        (status = 404, description = "A page that says so", body = String, content_type = "text/html"), Problems))]
pub(crate) async fn job_page(State(app): State<App>, id: Result<Named<JobId>, ProblemResponse>) -> Response {
    let Named(JobId(id)) = match id {
        Ok(id) => id,
        Err(ProblemResponse(problem)) => return refusal(problem),
    };
    match job(&app, id).await {
        Ok(shown) => page(StatusCode::OK, shown),
        Err(problem) => refusal(problem),
    }
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8"), HOUR], STYLE)
}

async fn icon() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "image/svg+xml"), HOUR], ICON)
}

async fn job(app: &App, id: u64) -> Result<JobPage, Problem> {
    let job = app.backend.job(id).await?;
    let _slot = app.stream_slot().map_err(|ProblemResponse(problem)| problem)?;
    let events = past(app.backend.job_events(id, None).await?, EVENTS_MAX, PATIENCE).await;
    Ok(JobPage { job, events })
}

fn refusal(problem: Problem) -> Response {
    let status = ProblemResponse(problem.clone()).into_response().status();
    page(status, ProblemPage { problem })
}

fn page(status: StatusCode, template: impl Template) -> Response {
    let html = template.render().expect("templates only format values, into memory");
    let headers = [(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, "no-store")];
    (status, headers, Html(html)).into_response()
}
