//! Ethereum JSON-RPC over HTTP and WebSocket on one port.
//!
//! Serves the finalised chain and a pool of transactions on their way to the sequencer. Everything a caller can ask
//! for is bounded by [`RpcLimits`]; heavy work runs on blocking threads, a few at a time, so that light reads stay
//! quick. The shapes are those of ethereum/execution-apis.
//!
//! ```no_run
//! # async fn example(chain: chain::Chain, validators: chain::rpc::Upstream) -> Result<(), chain::rpc::RpcError> {
//! let limits = chain::rpc::RpcLimits::default();
//! let server = chain::rpc::serve(([127, 0, 0, 1], 8545).into(), chain, validators, limits).await?;
//! println!("http and ws at {}", server.local_addr);
//! server.stop().await;
//! # Ok(()) }
//! ```
//!
//! ```text
//! socket ─▶ connection slot ─▶ HTTP/1.1 or WebSocket ─▶ dispatch (batches, panics) ─▶ method
//!                                                                                  │
//!                       pool ◀─ follow (after each block) ─ chain ◀────────────────┘
//! ```

pub mod api;
mod connection;
mod convert;
mod deadline;
mod dispatch;
mod eth;
mod execute;
mod facts;
mod failure;
mod fees;
mod fill;
mod filters;
mod follow;
mod http;
mod limits;
mod local;
mod logs;
mod memory;
mod namespaces;
mod node;
mod overrides;
mod params;
mod pending;
mod read_only;
mod server;
mod settings;
mod simulate;
mod slot;
mod submit;
mod subscriptions;
mod testing;
#[cfg(test)]
mod tests;
pub mod trace;
mod upstream;
mod websocket;

pub use limits::RpcLimits;
pub use local::LocalRpc;
pub use read_only::ReadOnly;
pub use upstream::{BEHIND_BLOCKS_MAX, Certificate, Checkpoints, FinalityStatus, SyncStatus, Upstream};

use crate::Chain;
use crate::pool::{Pool, PoolLimits};
use api::{EthServer, KumoServer, NetServer, RpcInfoServer, TxPoolServer, Web3Server};
use jsonrpsee::Methods;
use jsonrpsee::core::RegisterMethodError;
use node::Node;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use testing::TestingServer;
use trace::api::{DebugServer, OtsServer, TraceServer};

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address} for JSON-RPC: {source}")]
    Bind {
        /// Where to listen.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Two namespaces claim one method.
    #[error("cannot register the JSON-RPC methods: {0}")]
    Register(#[from] RegisterMethodError),
}

/// A running server. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct RpcServer {
    /// Where it listens; the port is the real one if 0 was asked for.
    pub local_addr: SocketAddr,
    running: server::Running,
}

impl RpcServer {
    /// Stops accepting, lets running calls end for up to 5 s, closes everything.
    pub async fn stop(self) {
        self.running.stop().await;
    }

    /// Number of open connections.
    pub fn connections(&self) -> usize {
        self.running.connections()
    }
}

/// Serves `chain` on `address` until the result is stopped or dropped. `upstream` is the network behind it; where
/// transactions go is enough.
///
/// Must run inside a Tokio runtime with timers and IO.
pub async fn serve(
    address: SocketAddr,
    chain: Chain,
    upstream: impl Into<Upstream>,
    limits: RpcLimits,
) -> Result<RpcServer, RpcError> {
    let pool = Pool::new(chain.chain_id(), PoolLimits::default());
    serve_pool(address, chain, pool, upstream, limits).await
}

/// The same with a pool that was opened before, to choose its limits and let it survive a restart: [`Pool::open`].
///
/// # Errors
/// As [`serve`].
pub async fn serve_pool(
    address: SocketAddr,
    chain: Chain,
    pool: Pool,
    upstream: impl Into<Upstream>,
    limits: RpcLimits,
) -> Result<RpcServer, RpcError> {
    server::start(address, Node::new(chain, pool, upstream.into(), limits)).await
}

fn methods(node: Arc<Node>) -> Result<Methods, RegisterMethodError> {
    let namespaces = || namespaces::Namespaces(node.clone());
    let mut methods = Methods::new();
    methods.merge(EthServer::into_rpc(eth::Eth(node.clone())))?;
    methods.merge(NetServer::into_rpc(namespaces()))?;
    methods.merge(Web3Server::into_rpc(namespaces()))?;
    methods.merge(TxPoolServer::into_rpc(namespaces()))?;
    methods.merge(KumoServer::into_rpc(namespaces()))?;
    methods.merge(RpcInfoServer::into_rpc(namespaces()))?;
    methods.merge(DebugServer::into_rpc(trace::Debug(node.clone())))?;
    methods.merge(TraceServer::into_rpc(trace::Parity(node.clone())))?;
    methods.merge(OtsServer::into_rpc(trace::Otterscan(node.clone())))?;
    if node.chain.imported_config().is_some() {
        methods.merge(TestingServer::into_rpc(testing::Builder(node)))?;
    }
    Ok(methods)
}
