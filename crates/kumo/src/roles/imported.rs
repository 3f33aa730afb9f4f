//! The rpc role over an imported Ethereum chain: no network, no validators, nothing to follow.
//!
//! The chain in the directory brings its own rules, so no network file is needed. It is read-only: transactions that are
//! handed in are checked and stay in the pool of this node.

use super::validator::ChainOptions;
use super::{Running, lock_directory};
use chain::Chain;
use chain::rpc::{ReadOnly, RpcLimits};
use eyre::{Result, eyre};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a client finds the chain, as `--config-out` writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Served {
    /// URL of the JSON-RPC, HTTP and WebSocket on one port.
    pub rpc: String,
    /// EIP-155 chain id.
    pub chain_id: u64,
}

/// Where the chain lies in the directory of a node.
pub fn directory(state: &Path) -> PathBuf {
    state.join("chain")
}

/// Serves the imported chain in `state` on `listen`; `None` when there is no such chain, but perhaps one of Kumo.
///
/// # Errors
/// When the directory is in use or damaged, or the address is taken.
pub async fn start(
    state: &Path,
    listen: SocketAddr,
    limits: RpcLimits,
    options: ChainOptions,
) -> Result<Option<(Running, Served)>> {
    let dir = directory(state);
    if !dir.is_dir() {
        return Ok(None);
    }
    let lock = lock_directory(state)?;
    let open = move || {
        options.check(&dir)?;
        Chain::open_imported(&dir, options.config)
    };
    let Some(chain) = tokio::task::spawn_blocking(open).await?? else { return Ok(None) };
    let mut role = Running::new("rpc");
    role.hold(lock);
    let chain_id = chain.chain_id();
    let server = chain::rpc::serve(listen, chain, Arc::new(ReadOnly), limits)
        .await
        .map_err(|e| eyre!("rpc: {e}; if the port is taken, use --ports auto"))?;
    let served = Served { rpc: format!("http://{}", server.local_addr), chain_id };
    role.on_stop(move || async move { server.stop().await });
    Ok(Some((role, served)))
}
