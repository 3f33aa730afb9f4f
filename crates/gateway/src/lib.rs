//! Speak HTTP, WebSocket and gRPC: the API, IPFS paths, S3, the web UI.
//!
//! Three routers answer three kinds of client, and one server runs them all:
//!
//! | router | asks | answers |
//! |---|---|---|
//! | [`router`] | [`backend::Backend`] | people, SDKs and IPFS clients: `/v1`, `/ipfs`, `/openapi.json`, the page at `/` |
//! | [`shard_router`] | [`backend::ShardBackend`] | gateways that keep shards on a storage node: `/shard/v1` |
//! | [`validator_router`] | [`backend::ValidatorBackend`] | whoever follows or feeds the sequencer: `/seq/v1`, `/v0`, `/v1`, [`grpc`] |
//!
//! The program implements the traits and starts a [`server`]; [`client`] speaks to the two node APIs. Every error is a
//! [problem document](problem). Nothing here decides anything about jobs, files or blocks.
//!
//! ```no_run
//! # async fn start(backend: std::sync::Arc<dyn gateway::backend::Backend>) -> std::io::Result<()> {
//! let listener = gateway::listen(([127, 0, 0, 1], 8080).into())?;
//! let router = gateway::router(backend, gateway::GatewayConfig::default());
//! let server = gateway::serve(listener, router, gateway::ServeLimits::default())?;
//! println!("http://{}", server.local_addr());
//! server.stop().await;
//! # Ok(())
//! # }
//! ```

pub mod backend;
pub mod client;
pub mod grpc;
pub mod problem;
pub mod server;

mod api;
mod app;
mod body;
mod config;
mod espresso;
mod extract;
mod ipfs;
mod pages;
mod shard;
mod stack;
mod validator;

pub use app::{openapi, router};
pub use config::{GatewayConfig, ShardConfig, ValidatorConfig};
pub use server::{ServeLimits, Server, listen, serve};
pub use shard::shard_router;
pub use validator::validator_router;
