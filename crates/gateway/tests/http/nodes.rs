//! A storage node and a validator in memory, behind their routers.

use alloy_primitives::B256;
use async_trait::async_trait;
use axum::body::Bytes;
use cid::Cid;
use gateway::backend::{Answer, ShardBackend, ValidatorBackend};
use gateway::problem;
use protocol::api::{CertifiedBlock, FinalizedPage, ShardNodeInfo, SubmitResponse, ValidatorStatus};
use protocol::content::sha256;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::watch;

#[derive(Default)]
pub struct Shards {
    pub shards: Mutex<BTreeMap<B256, Bytes>>,
    pub manifests: Mutex<BTreeMap<Cid, Vec<Bytes>>>,
}

#[async_trait]
impl ShardBackend for Shards {
    async fn info(&self) -> Answer<ShardNodeInfo> {
        let shards = self.shards.lock().unwrap();
        let used_bytes = shards.values().map(|bytes| bytes.len() as u64).sum();
        let (address, shards) = (Default::default(), shards.len() as u64);
        Ok(ShardNodeInfo { address, used_bytes, capacity_bytes: 1 << 30, shards, damaged: 0 })
    }

    async fn put_shard(&self, id: B256, bytes: Bytes) -> Answer<()> {
        if sha256(&bytes) != id {
            return Err(problem::unprocessable(format!("{} bytes do not hash to {id}", bytes.len())));
        }
        self.shards.lock().unwrap().insert(id, bytes);
        Ok(())
    }

    async fn shard(&self, id: B256) -> Answer<Bytes> {
        let shards = self.shards.lock().unwrap();
        shards.get(&id).cloned().ok_or_else(|| problem::not_found("shard", id, "missing or damaged"))
    }

    async fn has_shard(&self, id: B256) -> Answer<bool> {
        Ok(self.shards.lock().unwrap().contains_key(&id))
    }

    async fn put_manifest(&self, root: Cid, bytes: Bytes) -> Answer<()> {
        let mut manifests = self.manifests.lock().unwrap();
        let kept = manifests.entry(root).or_default();
        if !kept.contains(&bytes) {
            kept.push(bytes);
        }
        Ok(())
    }

    async fn manifests(&self, root: Cid) -> Answer<Vec<Bytes>> {
        let manifests = self.manifests.lock().unwrap();
        manifests.get(&root).cloned().ok_or_else(|| problem::not_found("manifest", root, "none is kept"))
    }
}

/// Its heights begin at 1.
pub struct Seat {
    pub blocks: watch::Sender<Vec<CertifiedBlock>>,
}

impl Default for Seat {
    fn default() -> Self {
        Self { blocks: watch::Sender::new(Vec::new()) }
    }
}

impl Seat {
    pub fn finalize(&self, bytes: &'static [u8]) {
        self.blocks.send_modify(|blocks| {
            let height = blocks.len() as u64 + 1;
            blocks.push(CertifiedBlock { height, block: bytes.into(), certificate: vec![9].into() });
        });
    }
}

#[async_trait]
impl ValidatorBackend for Seat {
    async fn status(&self) -> Answer<ValidatorStatus> {
        Ok(ValidatorStatus { seat: 2, height: self.blocks.borrow().len() as u64, ..ValidatorStatus::default() })
    }

    async fn submit(&self, namespace: u64, payload: Bytes) -> Answer<SubmitResponse> {
        Ok(SubmitResponse { hash: sha256(&[&namespace.to_be_bytes()[..], &payload].concat()) })
    }

    async fn finalized(&self, from: u64, max: usize, wait_millis: u64) -> Answer<FinalizedPage> {
        let mut blocks = self.blocks.subscribe();
        let arrived = blocks.wait_for(|blocks| blocks.len() as u64 >= from);
        // Nothing in time is an empty page.
        let _ = tokio::time::timeout(Duration::from_millis(wait_millis), arrived).await;
        let blocks = self.blocks.borrow();
        let page = blocks.iter().filter(|block| block.height >= from).take(max).cloned().collect();
        Ok(FinalizedPage { blocks: page, height: blocks.len() as u64 })
    }

    async fn certified(&self, height: u64) -> Answer<CertifiedBlock> {
        let found = self.blocks.borrow().iter().find(|block| block.height == height).cloned();
        found.ok_or_else(|| problem::not_found("block", height, "not final"))
    }
}
