//! The methods without a socket: for programs that embed a chain, and for fuzzing.

use super::connection::{Connections, Slot};
use super::dispatch::{Caller, Dispatcher};
use super::node::Node;
use super::{RpcError, RpcLimits, Upstream, methods};
use crate::Chain;
use crate::pool::{Pool, PoolLimits};

/// Answers JSON-RPC messages in this process, exactly as the server answers an HTTP body.
///
/// Nothing follows the chain here: filters and the pool are as old as the last message that looked.
pub struct LocalRpc {
    dispatcher: Dispatcher,
    slot: Slot,
}

impl LocalRpc {
    /// The methods over `chain`. Transactions go to `upstream`.
    ///
    /// # Errors
    /// Only [`RpcError::Register`].
    pub fn new(chain: Chain, upstream: impl Into<Upstream>, limits: RpcLimits) -> Result<Self, RpcError> {
        let pool = Pool::new(chain.chain_id(), PoolLimits::default());
        let node = Node::new(chain, pool, upstream.into(), limits);
        let dispatcher = Dispatcher::new(methods(node.clone())?, node.limits.clone()).with_node(node);
        let slot = Connections::new(1).open().expect("the first slot of one is free");
        Ok(Self { dispatcher, slot })
    }

    /// Answers a call or a batch; `None` if it asks for no answer. The length of `message` is the caller's to limit.
    ///
    /// Must run inside a Tokio runtime with timers.
    pub async fn answer(&self, message: &[u8]) -> Option<String> {
        let caller = Caller { connection: self.slot.connection.clone(), pushes: None };
        let answer = self.dispatcher.answer(&caller, message).await?;
        Some(String::from(Box::<str>::from(answer)))
    }
}

impl std::fmt::Debug for LocalRpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalRpc").finish_non_exhaustive()
    }
}
