//! The public router: what its handlers share, and how its routes and their description are put together.

use crate::api;
use crate::backend::Backend;
use crate::body::Limits;
use crate::config::GatewayConfig;
use crate::problem::{Reply, unavailable};
use crate::{ipfs, pages, stack};
use axum::Router;
use axum::middleware::from_fn_with_state;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct App {
    pub backend: Arc<dyn Backend>,
    pub config: Arc<GatewayConfig>,
    uploads: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    openapi: Arc<str>,
}

impl App {
    fn new(backend: Arc<dyn Backend>, config: GatewayConfig, openapi: Arc<str>) -> Self {
        let slots = |n: usize| Arc::new(Semaphore::new(n.min(Semaphore::MAX_PERMITS)));
        let (uploads, streams) = (slots(config.uploads_max), slots(config.streams_max));
        Self { backend, config: Arc::new(config), uploads, streams, openapi }
    }

    /// The right to upload or repair, until dropped.
    pub fn upload_slot(&self) -> Reply<OwnedSemaphorePermit> {
        let full = |_| unavailable(format!("all {} uploads at a time are taken", self.config.uploads_max));
        Ok(self.uploads.clone().try_acquire_owned().map_err(full)?)
    }

    /// The right to an endless answer, until dropped.
    pub fn stream_slot(&self) -> Reply<OwnedSemaphorePermit> {
        let full = |_| unavailable(format!("all {} streams at a time are taken", self.config.streams_max));
        Ok(self.streams.clone().try_acquire_owned().map_err(full)?)
    }

    /// Limits of a JSON body.
    pub fn json(&self) -> Limits {
        Limits { what: "JSON body", bytes_max: self.config.json_bytes_max as u64, stall: self.config.body_stall }
    }

    /// Limits of a CAR.
    pub fn car(&self) -> Limits {
        Limits { what: "CAR", bytes_max: self.config.car_bytes_max, stall: self.config.body_stall }
    }

    /// The description of the API as JSON.
    pub fn openapi(&self) -> Arc<str> {
        self.openapi.clone()
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Kumo gateway",
        description = "Files, jobs, providers and ordered transactions of a Kumo network, and IPFS content at `/ipfs`. \
                       Errors are problem documents (RFC 9457). Amounts are strings of wei, bytes are 0x hex, times are \
                       Unix seconds. Unknown query parameters are refused, except under `/ipfs`."
    ),
    servers((url = "/", description = "This gateway")),
    tags(
        (name = "network", description = "The network and the health of this gateway"),
        (name = "files", description = "Stored, erasure-coded files"),
        (name = "ipfs", description = "Content by CID: path gateway and trustless gateway"),
        (name = "jobs", description = "Jobs, their progress and their logs"),
        (name = "providers", description = "Who computes"),
        (name = "sequencer", description = "Ordered transactions of every namespace"),
        (name = "pages", description = "Pages for people"),
    )
)]
struct Description;

/// The public API, IPFS content and the status page, answered by `backend`.
pub fn router(backend: Arc<dyn Backend>, config: GatewayConfig) -> Router {
    let (router, description) = routes(&config).split_for_parts();
    let openapi = serde_json::to_string(&description).expect("a description is plain data");
    let app = App::new(backend, config, openapi.into());
    stack::complete(router.with_state(app)).layer(stack::cors())
}

/// The OpenAPI 3.1 description that [`router`] serves at `/openapi.json`, as pretty-printed JSON.
pub fn openapi() -> String {
    let (_, description) = routes(&GatewayConfig::default()).split_for_parts();
    serde_json::to_string_pretty(&description).expect("a description is plain data")
}

fn routes(config: &GatewayConfig) -> OpenApiRouter<App> {
    let quick = api::quick().merge(ipfs::routes()).merge(pages::routes());
    let quick = quick.route_layer(from_fn_with_state(config.request_timeout, stack::limit_time));
    let slow = api::slow().route_layer(from_fn_with_state(config.upload_timeout, stack::limit_time));
    OpenApiRouter::with_openapi(Description::openapi()).merge(quick).merge(slow)
}
