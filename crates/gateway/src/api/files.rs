//! Stored files: put, list, inspect, repair; and the nodes that keep them.

use super::{Binary, Problems};
use crate::app::App;
use crate::body;
use crate::extract::{Named, Parameters};
use crate::problem::Reply;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use cid::Cid;
use protocol::api::{FileInfo, RepairReport, StorageNode};

/// Media type of a CAR.
pub(crate) const CAR: &str = "application/vnd.ipld.car";
/// Most files in one list.
const FILES_MAX: usize = 1000;
/// Files in a list of unspecified length.
const FILES_DEFAULT: usize = 100;

#[utoipa::path(post, path = "/v1/files", tag = "files", summary = "Store all blocks of a CAR",
    description = "The body is a CARv1 stream with exactly one root, whose DAG it holds completely. When the answer comes, \
                   the file is erasure-coded and placed on storage nodes.",
    request_body(content = inline(Binary), content_type = "application/vnd.ipld.car", description = "CARv1, 4 GiB at most by default"),
    responses((status = 201, description = "Stored", body = FileInfo, headers(("location" = String, description = "Path of the file"))),
        (status = 413, description = "The CAR is too large", body = protocol::api::Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is no CAR", body = protocol::api::Problem, content_type = "application/problem+json"),
        Problems))]
pub(crate) async fn put_file(State(app): State<App>, query: Parameters, request: Request) -> Reply<impl IntoResponse> {
    query.only(&[])?;
    body::require_type(&request, CAR)?;
    let _slot = app.upload_slot()?;
    let (car, upload) = body::lend(request, app.car()).await?;
    let file = upload.settle(app.backend.put_car(car).await).await?;
    let location = format!("/v1/files/{}", file.cid);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(file)))
}

#[utoipa::path(get, path = "/v1/files", tag = "files", summary = "Files this gateway knows, newest first",
    params(("limit" = Option<u64>, Query, description = "How many, 1 to 1000; 100 if absent", minimum = 1, maximum = 1000)),
    responses((status = 200, description = "Files, newest first", body = Vec<FileInfo>), Problems))]
pub(crate) async fn files(State(app): State<App>, query: Parameters) -> Reply<Json<Vec<FileInfo>>> {
    let limit = query.only(&["limit"])?.limit("limit", FILES_MAX, FILES_DEFAULT)?;
    Ok(Json(app.backend.files(limit).await?))
}

#[utoipa::path(get, path = "/v1/files/{cid}", tag = "files", summary = "One file with the health of its shards",
    params(("cid" = String, Path, description = "Root CID")),
    responses((status = 200, description = "The file", body = FileInfo), Problems))]
pub(crate) async fn file(State(app): State<App>, Named(cid): Named<Cid>, query: Parameters) -> Reply<Json<FileInfo>> {
    query.only(&[])?;
    Ok(Json(app.backend.file(cid).await?))
}

#[utoipa::path(post, path = "/v1/files/{cid}/repair", tag = "files", summary = "Rebuild damaged and missing shards",
    params(("cid" = String, Path, description = "Root CID")),
    responses((status = 200, description = "What was found and rebuilt", body = RepairReport), Problems))]
pub(crate) async fn repair(
    State(app): State<App>,
    Named(cid): Named<Cid>,
    query: Parameters,
) -> Reply<Json<RepairReport>> {
    query.only(&[])?;
    let _slot = app.upload_slot()?;
    Ok(Json(app.backend.repair(cid).await?))
}

#[utoipa::path(get, path = "/v1/storage/nodes", tag = "files", summary = "Storage nodes, and whether they are up",
    responses((status = 200, description = "Storage nodes", body = Vec<StorageNode>), Problems))]
pub(crate) async fn storage_nodes(State(app): State<App>, query: Parameters) -> Reply<Json<Vec<StorageNode>>> {
    query.only(&[])?;
    Ok(Json(app.backend.storage_nodes().await?))
}
