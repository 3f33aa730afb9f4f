//! A chain that nobody extends: transactions wait in the pool of this node and are handed to nobody.

use crate::pool::Broadcast;
use alloy_primitives::{B256, Bytes, keccak256};
use async_trait::async_trait;

/// The way to no validators.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOnly;

#[async_trait]
impl Broadcast for ReadOnly {
    async fn broadcast(&self, raw: Bytes) -> Result<(), String> {
        let hash: B256 = keccak256(&raw);
        tracing::info!(%hash, "this chain is read-only: the transaction stays in the pool of this node");
        Ok(())
    }
}
