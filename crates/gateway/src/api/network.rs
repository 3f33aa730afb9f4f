//! The network and the health of this gateway.

use super::Problems;
use crate::app::App;
use crate::extract::Parameters;
use crate::problem::Reply;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use protocol::api::Status;
use protocol::network::Network;
use serde::Serialize;
use utoipa::ToSchema;

/// Answer of the health checks.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`; anything else is a problem document.
    status: &'static str,
}

/// What everything that is well says.
pub(crate) const WELL: Json<Health> = Json(Health { status: "ok" });

#[utoipa::path(get, path = "/healthz", tag = "network", summary = "The process answers",
    responses((status = 200, description = "The process answers", body = Health), Problems))]
pub(crate) async fn healthz() -> Json<Health> {
    WELL
}

#[utoipa::path(get, path = "/readyz", tag = "network", summary = "The chain advances and files can be stored",
    responses((status = 200, description = "The gateway can be used", body = Health), Problems))]
pub(crate) async fn readyz(State(app): State<App>) -> Reply<Json<Health>> {
    app.backend.ready().await?;
    Ok(WELL)
}

#[utoipa::path(get, path = "/v1/network", tag = "network", summary = "The network file, without keys and genesis",
    responses((status = 200, description = "How to reach the network", body = Network), Problems))]
pub(crate) async fn network(State(app): State<App>, query: Parameters) -> Reply<Json<Network>> {
    query.only(&[])?;
    let network = app.backend.network().await?;
    // Whatever the backend hands over, private keys do not leave by this door.
    Ok(Json(Network { accounts: Vec::new(), genesis: None, ..network }))
}

#[utoipa::path(get, path = "/v1/status", tag = "network", summary = "The network in numbers",
    responses((status = 200, description = "Counts, and the newest final block", body = Status), Problems))]
pub(crate) async fn status(State(app): State<App>, query: Parameters) -> Reply<Json<Status>> {
    query.only(&[])?;
    Ok(Json(app.backend.status().await?))
}

#[utoipa::path(get, path = "/openapi.json", tag = "network", summary = "This description",
    responses((status = 200, description = "OpenAPI 3.1", body = Object), Problems))]
pub(crate) async fn openapi(State(app): State<App>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], app.openapi().to_string())
}
