//! Speak to a storage node.

use super::{Api, CALL_BYTES_MAX, CALL_TIMEOUT, ClientError};
use crate::shard::frames;
use alloy_primitives::B256;
use axum::body::Bytes;
use cid::Cid;
use protocol::api::ShardNodeInfo;
use protocol::content::sha256;
use reqwest::Client;
use std::time::Duration;

/// Time for a call that moves a shard or manifests.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest shard that is read, in bytes.
const SHARD_BYTES_MAX: usize = 32 << 20;

/// A storage node.
#[derive(Clone, Debug)]
pub struct ShardClient {
    api: Api,
}

impl ShardClient {
    /// The node at `endpoint` (an `http://` URL). Fails when that is no such URL; nothing is sent.
    pub fn new(endpoint: &str, http: Client) -> Result<Self, ClientError> {
        Ok(Self { api: Api::new(endpoint, http)? })
    }

    /// Where the node is.
    pub fn endpoint(&self) -> &str {
        self.api.endpoint().as_str()
    }

    /// Who the node is and what it keeps.
    pub async fn info(&self) -> Result<ShardNodeInfo, ClientError> {
        self.api.get_json(self.api.url("shard/v1/info"), CALL_BYTES_MAX, CALL_TIMEOUT).await
    }

    /// Keeps a shard; it is durable when this returns.
    pub async fn put_shard(&self, id: B256, bytes: Bytes) -> Result<(), ClientError> {
        self.api.put(self.shard_url(id), bytes, TRANSFER_TIMEOUT).await
    }

    /// A shard, whose hash is checked; [`ClientError::is_not_found`] when it is missing or damaged there.
    pub async fn shard(&self, id: B256) -> Result<Bytes, ClientError> {
        let url = self.shard_url(id);
        let bytes = self.api.get_bytes(&url, SHARD_BYTES_MAX, TRANSFER_TIMEOUT).await?;
        match sha256(&bytes) == id {
            true => Ok(bytes),
            false => Err(ClientError::Damaged { url, bytes: bytes.len() }),
        }
    }

    /// Whether the node says that it has a shard and that it is healthy.
    pub async fn has_shard(&self, id: B256) -> Result<bool, ClientError> {
        let url = self.shard_url(id);
        // The answer to HEAD has no body, so nothing but the status can be said.
        match self.api.send(&url, self.api.http().head(url.clone()), CALL_TIMEOUT).await {
            Ok(_) => Ok(true),
            Err(ClientError::Foreign { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Keeps a manifest of the DAG `root`.
    pub async fn put_manifest(&self, root: &Cid, bytes: Bytes) -> Result<(), ClientError> {
        self.api.put(self.manifest_url(root), bytes, TRANSFER_TIMEOUT).await
    }

    /// The manifests that the node keeps for `root`, at most 1024 and 64 MiB; whether they are true is the caller's to
    /// check.
    pub async fn manifests(&self, root: &Cid) -> Result<Vec<Bytes>, ClientError> {
        let url = self.manifest_url(root);
        let bytes = self.api.get_bytes(&url, frames::FRAMES_BYTES_MAX, TRANSFER_TIMEOUT).await?;
        frames::decode(bytes).ok_or(ClientError::Shape { url, expected: "a list of manifests" })
    }

    fn shard_url(&self, id: B256) -> reqwest::Url {
        self.api.url(&format!("shard/v1/shards/{}", hex::encode(id)))
    }

    fn manifest_url(&self, root: &Cid) -> reqwest::Url {
        self.api.url(&format!("shard/v1/manifests/{root}"))
    }
}
