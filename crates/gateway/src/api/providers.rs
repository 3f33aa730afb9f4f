//! Compute providers, their stake and their reputation.

use super::Problems;
use crate::app::App;
use crate::extract::{Named, Parameters};
use crate::problem::Reply;
use alloy_primitives::Address;
use axum::Json;
use axum::extract::State;
use protocol::api::ProviderInfo;

#[utoipa::path(get, path = "/v1/providers", tag = "providers", summary = "Compute providers",
    responses((status = 200, description = "Compute providers", body = Vec<ProviderInfo>), Problems))]
pub(crate) async fn providers(State(app): State<App>, query: Parameters) -> Reply<Json<Vec<ProviderInfo>>> {
    query.only(&[])?;
    Ok(Json(app.backend.providers().await?))
}

#[utoipa::path(get, path = "/v1/providers/{address}", tag = "providers", summary = "One provider",
    params(("address" = String, Path, description = "Account of the provider, 0x and 40 hex digits")),
    responses((status = 200, description = "The provider", body = ProviderInfo), Problems))]
pub(crate) async fn provider(
    State(app): State<App>,
    Named(address): Named<Address>,
    query: Parameters,
) -> Reply<Json<ProviderInfo>> {
    query.only(&[])?;
    Ok(Json(app.backend.provider(address).await?))
}
