//! A storage node and a validator in memory, behind their routers.

use alloy_primitives::B256;
use async_trait::async_trait;
use axum::body::Bytes;
use cid::Cid;
use gateway::backend::{Answer, FinalBlock, ShardBackend, Submission, ValidatorBackend};
use gateway::problem;
use protocol::api::{
    BlockHeader, BlockShard, CertifiedBlock, CheckpointName, CommitteeTerm, Committees, FinalizedPage, KeptCheckpoint,
    LaneAttempt, LaneState, LinkPage, NamespaceAccount, NamespaceBlock, NamespaceFee, Problem, ShardNodeInfo,
    SubmissionPlace, SubmissionReceipt, SubmissionState, SubmissionStatus, ValidatorStatus, VotedLink,
};
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

/// Its heights begin at 1. What is submitted waits until [`Seat::order`] puts it into a block.
pub struct Seat {
    pub blocks: watch::Sender<Vec<CertifiedBlock>>,
    pub waiting: Mutex<Vec<(u64, Bytes)>>,
    pub ordered: Mutex<BTreeMap<u64, BTreeMap<u64, Vec<Bytes>>>>,
    /// Lifetimes asked for.
    pub lifetimes: Mutex<Vec<Option<u64>>>,
}

impl Default for Seat {
    fn default() -> Self {
        let (waiting, ordered, lifetimes) = Default::default();
        Self { blocks: watch::Sender::new(Vec::new()), waiting, ordered, lifetimes }
    }
}

/// A payload that a validator in memory has no room for.
pub const REFUSED: &[u8] = b"refused";

pub fn transaction_hash(namespace: u64, payload: &[u8]) -> B256 {
    sha256(&[&namespace.to_be_bytes()[..], payload].concat())
}

impl Seat {
    pub fn finalize(&self, bytes: &'static [u8]) {
        self.blocks.send_modify(|blocks| {
            let height = blocks.len() as u64 + 1;
            blocks.push(CertifiedBlock { height, block: bytes.into(), certificate: vec![9].into() });
        });
    }

    /// Makes a final block of what waits.
    pub fn order(&self) {
        let mut namespaces = BTreeMap::<u64, Vec<Bytes>>::new();
        for (namespace, payload) in self.waiting.lock().unwrap().drain(..) {
            namespaces.entry(namespace).or_default().push(payload);
        }
        let height = self.blocks.borrow().len() as u64 + 1;
        self.ordered.lock().unwrap().insert(height, namespaces);
        self.finalize(b"block");
    }

    fn height(&self) -> u64 {
        self.blocks.borrow().len() as u64
    }

    fn take(&self, submission: Submission) -> Result<SubmissionReceipt, Problem> {
        let members = match submission {
            Submission::Transaction(namespace, payload) => vec![(namespace, payload)],
            Submission::Bundle(members) => members,
        };
        if members.iter().any(|(_, payload)| payload == REFUSED) {
            return Err(problem::unavailable("no room"));
        }
        let hash = transaction_hash(members[0].0, &members[0].1);
        self.waiting.lock().unwrap().extend(members);
        Ok(SubmissionReceipt { hash, expires: self.height() + 3_000, known: false })
    }

    fn find(&self, hash: B256) -> Option<(u64, SubmissionPlace)> {
        let ordered = self.ordered.lock().unwrap();
        for (height, namespaces) in ordered.iter() {
            for (namespace, payloads) in namespaces {
                let index = payloads.iter().position(|payload| transaction_hash(*namespace, payload) == hash);
                if let Some(index) = index {
                    return Some((
                        *height,
                        SubmissionPlace::Transaction { namespace: *namespace, index: index as u32 },
                    ));
                }
            }
        }
        None
    }
}

#[async_trait]
impl ValidatorBackend for Seat {
    async fn status(&self) -> Answer<ValidatorStatus> {
        Ok(ValidatorStatus { seat: Some(2), height: self.height(), ..ValidatorStatus::default() })
    }

    async fn accept(
        &self,
        submissions: Vec<Submission>,
        lifetime: Option<u64>,
    ) -> Answer<Vec<Result<SubmissionReceipt, Problem>>> {
        self.lifetimes.lock().unwrap().push(lifetime);
        Ok(submissions.into_iter().map(|submission| self.take(submission)).collect())
    }

    async fn statuses(&self, hashes: Vec<B256>) -> Answer<Vec<SubmissionStatus>> {
        let waiting: Vec<B256> = self.waiting.lock().unwrap().iter().map(|(n, p)| transaction_hash(*n, p)).collect();
        let told = |hash| {
            let status = SubmissionStatus { hash, final_height: self.height(), ..SubmissionStatus::default() };
            match self.find(hash) {
                Some((height, place)) => SubmissionStatus {
                    state: SubmissionState::Final,
                    height: Some(height),
                    place: Some(place),
                    ..status
                },
                None if waiting.contains(&hash) => SubmissionStatus { state: SubmissionState::Pending, ..status },
                None => status,
            }
        };
        Ok(hashes.into_iter().map(told).collect())
    }

    async fn submit_all(&self, namespace: u64, payloads: Vec<Bytes>) -> Answer<Vec<Option<String>>> {
        let submit = |payload| self.take(Submission::Transaction(namespace, payload)).err().map(|e| e.detail);
        Ok(payloads.into_iter().map(submit).collect())
    }

    async fn height_above(&self, height: u64) -> Answer<u64> {
        let mut blocks = self.blocks.subscribe();
        let reached = blocks.wait_for(|blocks| blocks.len() as u64 > height).await;
        Ok(reached.unwrap().len() as u64)
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

    async fn checkpoint(&self, epoch: Option<u64>) -> Answer<KeptCheckpoint> {
        match epoch {
            None | Some(3) => Ok(KeptCheckpoint {
                checkpoint: CheckpointName { epoch: 3, height: 96, ..CheckpointName::default() },
                kept: vec![7; 5].into(),
            }),
            Some(epoch) => Err(problem::not_found("checkpoint", epoch, "not kept")),
        }
    }

    async fn committees(&self) -> Answer<Committees> {
        let term = CommitteeTerm { first: 12, announced: 5, validators: vec![] };
        Ok(Committees { committees: vec![CommitteeTerm::default(), term] })
    }

    async fn lane(&self) -> Answer<LaneState> {
        let attempt = LaneAttempt { round: 3, until: 63 };
        Ok(LaneState { height: self.height(), attempt: Some(attempt), ..LaneState::default() })
    }

    async fn links(&self, from: u64, max: usize) -> Answer<LinkPage> {
        let link = |epoch| VotedLink { epoch, link: vec![epoch as u8].into() };
        Ok(LinkPage { links: (from..5).take(max).map(link).collect(), electorates: vec![] })
    }

    async fn account(&self, namespace: u64, _: Option<u64>) -> Answer<NamespaceAccount> {
        let owed = alloy_primitives::U256::from(u128::MAX);
        Ok(NamespaceAccount { namespace, height: self.height(), base_fee: 5, owed, ..NamespaceAccount::default() })
    }

    async fn fee(&self, namespace: u64) -> Answer<NamespaceFee> {
        Ok(NamespaceFee { namespace, height: self.height(), base_fee: 5, base_fee_min: 1, target_bytes: 9 })
    }

    async fn certified(&self, height: u64) -> Answer<CertifiedBlock> {
        let found = self.blocks.borrow().iter().find(|block| block.height == height).cloned();
        found.ok_or_else(|| problem::not_found("block", height, "not final"))
    }

    async fn block(&self, height: u64) -> Answer<FinalBlock> {
        if height > self.height() {
            return Err(problem::not_found("block", height, "not final"));
        }
        let namespaces = self.ordered.lock().unwrap().get(&height).cloned().unwrap_or_default();
        Ok(FinalBlock {
            height,
            view: 2 * height,
            digest: B256::with_last_byte(height as u8),
            erasure_root: B256::repeat_byte(7),
            header: Bytes::from_static(b"header"),
            certificate: Bytes::from_static(b"certificate"),
            namespaces: namespaces.into_iter().collect(),
            ..FinalBlock::default()
        })
    }

    async fn header(&self, height: u64) -> Answer<BlockHeader> {
        let FinalBlock { header, certificate, .. } = self.block(height).await?;
        Ok(BlockHeader { height, header: header.into(), certificate: certificate.into() })
    }

    async fn shard(&self, height: u64, index: u32) -> Answer<BlockShard> {
        match (height, index) {
            (1, 0..3) => Ok(BlockShard { height, proof: vec![index as u8; 9].into() }),
            (1, _) => Err(problem::not_found("shard", index, "the payload has 3")),
            _ => Err(problem::gone(format!("block {height} is pruned: this validator keeps blocks from height 7 on"))),
        }
    }

    async fn report(&self, evidence: Bytes) -> Answer<()> {
        match evidence.first() {
            Some(1) => Ok(()),
            _ => Err(problem::unprocessable("it proves nothing")),
        }
    }

    async fn height_of(&self, digest: B256) -> Answer<u64> {
        let height = u64::from(digest[31]);
        match digest == B256::with_last_byte(height as u8) && height <= self.height() {
            true => Ok(height),
            false => Err(problem::not_found("block", digest, "not final")),
        }
    }

    async fn namespace(&self, height: u64, namespace: u64) -> Answer<NamespaceBlock> {
        let FinalBlock { header, certificate, .. } = self.block(height).await?;
        let proof = format!("{height} {namespace}").into_bytes();
        Ok(NamespaceBlock { height, header: header.into(), certificate: certificate.into(), proof: proof.into() })
    }
}
