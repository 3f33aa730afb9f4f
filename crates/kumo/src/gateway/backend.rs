//! The gateway's answers: one function per question of [`Backend`], over the cluster, the contracts and the index.

use super::index::Index;
use super::jobs::{self, chain_problem};
use super::logs::{LiveLogs, RECORD_BYTES_MAX};
use super::nodes::Nodes;
use super::quote;
use crate::roles::rpc::submit_to_all;
use crate::seam::SETTLEMENT;
use ::gateway::backend::{Answer, Backend, ByteStream, FileBody};
use ::gateway::client::ValidatorClient;
use ::gateway::problem::{self, Next as _};
use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{Address, B256, Signature, U256};
use async_trait::async_trait;
use bytes::Bytes;
use cid::Cid;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use parking_lot::Mutex;
use proof::lane::is_envelope;
use protocol::abi::{IJobMarket, JOB_MARKET};
use protocol::api::{
    FileInfo, JobEvent, JobView, LogRecord, Problem, ProviderInfo, Quote, RepairReport, SequencedTransaction, Status,
    StorageNode, SubmitResponse,
};
use protocol::content::{RAW, cid_of_digest};
use protocol::network::{LanePolicy, Network};
use sdk::ChainClient;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use storage::catalogue::Stored;
use storage::cluster::{Cluster, ClusterError};
use tokio::sync::watch;

/// Job names remembered; a specification never changes.
const NAMES_MAX: usize = 4_096;
/// A chain whose newest block is older than this does not advance, seconds.
const STALE_SECONDS: u64 = 30;
/// Pause between two looks at whether a job is closed while its log is followed.
const CLOSED_POLL: Duration = Duration::from_millis(500);

/// What the gateway role answers from.
pub struct Answers {
    /// The network file.
    pub network: Network,
    /// The settlement chain.
    pub chain: ChainClient,
    /// The storage nodes, together.
    pub cluster: Cluster,
    /// The storage nodes, one by one.
    pub nodes: Arc<Nodes>,
    /// Job events and ordered transactions.
    pub index: Arc<Index>,
    /// Logs of running tasks.
    pub logs: Arc<LiveLogs>,
    /// The block after the newest whose job events are in the index.
    pub news: watch::Receiver<u64>,
    /// The validators, to submit to.
    pub validators: Vec<ValidatorClient>,
    /// Names of jobs by the digest of their specification.
    pub names: Mutex<HashMap<B256, String>>,
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

fn cluster_problem(error: ClusterError) -> Problem {
    let text = error.to_string();
    if error.is_unknown() {
        problem::problem("unknown-cid", "There is no such content", axum::http::StatusCode::NOT_FOUND, text)
            .with_next("check the CID; content that was never stored here cannot be found")
    } else if error.is_temporary() {
        problem::unavailable(text).with_next("nothing is lost: try again when more storage nodes are up")
    } else if is_bad_upload(&error) {
        problem::unprocessable(text)
    } else {
        problem::internal(text)
    }
}

/// Whether what was sent can never be stored, as opposed to a failure of ours.
fn is_bad_upload(error: &ClusterError) -> bool {
    use ClusterError as E;
    matches!(
        error,
        E::Upload(_)
            | E::Car(_)
            | E::Roots(_)
            | E::Incomplete { .. }
            | E::Node { .. }
            | E::Blocks
            | E::TooLarge(_)
            | E::Block(_)
    )
}

fn index_problem(error: eyre::Report) -> Problem {
    problem::internal(format!("the gateway's index failed: {error:#}"))
}

fn info(stored: &Stored, healthy: Option<u32>) -> FileInfo {
    FileInfo {
        cid: stored.root.to_string(),
        size: stored.bytes,
        segments: stored.segments,
        k: stored.k,
        n: stored.n,
        stored_at: stored.stored_at,
        shards_healthy: healthy,
        shards_total: stored.shards(),
    }
}

impl Answers {
    /// Runs index work where blocking on the disk stops nobody.
    async fn indexed<T, F>(&self, work: F) -> Answer<T>
    where
        T: Send + 'static,
        F: FnOnce(&Index) -> eyre::Result<T> + Send + 'static,
    {
        let index = self.index.clone();
        let done = tokio::task::spawn_blocking(move || work(&index)).await;
        done.map_err(|e| problem::internal(e.to_string()))?.map_err(index_problem)
    }

    /// Fills in the name from the specification; a job whose specification cannot be read has none.
    async fn named(&self, mut view: JobView) -> JobView {
        let Some(cid) = jobs::spec_cid(&view) else { return view };
        let Some(digest) = protocol::content::digest_of_cid(&cid) else { return view };
        if let Some(name) = self.names.lock().get(&digest) {
            view.name.clone_from(name);
            return view;
        }
        if let Ok(block) = self.cluster.block(&cid_of_digest(RAW, digest)).await
            && let Ok(job) = compute::Job::from_block(&block)
        {
            let mut names = self.names.lock();
            if names.len() < NAMES_MAX {
                names.insert(digest, job.name.clone());
            }
            view.name = job.name;
        }
        view
    }

    /// The key that validators made, for those who know the network from here alone; empty while there is none.
    async fn lane_key(&self) -> Answer<String> {
        for validator in &self.validators {
            match validator.lane().await {
                Ok(state) => return Ok(state.key.map_or_else(String::new, |key| key.key)),
                Err(error) => tracing::debug!(%error, "passed over a validator"),
            }
        }
        Err(problem::unavailable("no validator says what the key of the encrypted lane is"))
    }

    /// Whether the record is signed by the provider that holds this attempt of the task now.
    async fn check_log(&self, record: &LogRecord) -> Answer<()> {
        if record.sealed.len() > RECORD_BYTES_MAX {
            return Err(problem::too_large("sealed log record", RECORD_BYTES_MAX as u64));
        }
        let signer = Signature::from_raw(&record.signature)
            .and_then(|signature| signature.recover_address_from_msg(record.signing_bytes()))
            .map_err(|e| problem::forbidden(format!("the record's signature cannot be checked: {e}")))?;
        if signer != record.provider {
            return Err(problem::forbidden(format!("the record says {}, it is signed by {signer}", record.provider)));
        }
        let call = IJobMarket::taskCall { jobId: U256::from(record.job_id), index: record.task };
        let task = self.chain.call(JOB_MARKET, call).await.map_err(chain_problem)?;
        if task.provider != record.provider || task.attempt != record.attempt {
            return Err(problem::forbidden(format!(
                "job {} task {} attempt {} is held by {}, not by {}",
                record.job_id, record.task, task.attempt, task.provider, record.provider
            )));
        }
        Ok(())
    }
}

#[async_trait]
impl Backend for Answers {
    async fn network(&self) -> Answer<Network> {
        let mut network = self.network.clone();
        network.accounts.clear();
        network.validators.clear();
        network.genesis = None;
        if let Some(lane) = network.lane.as_mut().filter(|lane| lane.key.is_empty()) {
            lane.key = self.lane_key().await?;
        }
        Ok(network)
    }

    async fn status(&self) -> Answer<Status> {
        let header = |tag| self.chain.header(tag);
        let tags = (BlockNumberOrTag::Finalized, BlockNumberOrTag::Safe, BlockNumberOrTag::Latest);
        let (finalized, safe, header) =
            tokio::try_join!(header(tags.0), header(tags.1), header(tags.2)).map_err(chain_problem)?;
        let nodes = self.nodes.all();
        let providers = jobs::registered(&self.chain).await?;
        let compute = 1 << protocol::abi::ROLE_COMPUTE;
        let files = self.cluster.files_count().map_err(cluster_problem)?;
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            chain_id: self.network.chain_id,
            dev: self.network.dev,
            block_number: header.number,
            block_timestamp: header.timestamp,
            safe_block_number: safe.number,
            finalized_block_number: finalized.number,
            validators: self.network.validators.len() as u32,
            storage_nodes: nodes.len() as u32,
            storage_nodes_up: nodes.iter().filter(|n| n.up).count() as u32,
            providers: providers.iter().filter(|(_, p)| p.roles & compute != 0).count() as u32,
            jobs: jobs::count(&self.chain).await?,
            files,
        })
    }

    async fn ready(&self) -> Answer<()> {
        let status = self.status().await?;
        let age = unix_seconds().saturating_sub(status.block_timestamp);
        if status.block_number == 0 || age > STALE_SECONDS {
            return Err(problem::unavailable(format!(
                "block {} is {age} s old: the chain does not advance",
                status.block_number
            )));
        }
        if status.storage_nodes_up == 0 {
            return Err(problem::unavailable(format!("0 of {} storage nodes are up", status.storage_nodes)));
        }
        Ok(())
    }

    async fn put_car(&self, car: ByteStream) -> Answer<FileInfo> {
        let stored = self.cluster.put_car(car).await.map_err(cluster_problem)?;
        Ok(info(&stored, None))
    }

    async fn files(&self, limit: usize) -> Answer<Vec<FileInfo>> {
        let files = self.cluster.files(limit).map_err(cluster_problem)?;
        Ok(files.iter().map(|f| info(f, None)).collect())
    }

    async fn file(&self, cid: Cid) -> Answer<FileInfo> {
        let stored = self.cluster.file(&cid).await.map_err(cluster_problem)?;
        let health = self.cluster.health(&cid).await.map_err(cluster_problem)?;
        Ok(info(&stored, Some(health.shards_healthy())))
    }

    async fn repair(&self, cid: Cid) -> Answer<RepairReport> {
        self.cluster.repair(&cid).await.map_err(cluster_problem)
    }

    async fn block(&self, cid: Cid) -> Answer<Bytes> {
        self.cluster.block(&cid).await.map_err(cluster_problem)
    }

    async fn car(&self, cid: Cid) -> Answer<ByteStream> {
        let stream = self.cluster.car(&cid).await.map_err(cluster_problem)?;
        Ok(stream.map_err(std::io::Error::other).boxed())
    }

    async fn unixfs(&self, cid: Cid, range: Option<Range<u64>>) -> Answer<FileBody> {
        let file = self.cluster.unixfs(&cid, range).await.map_err(cluster_problem)?;
        Ok(FileBody { size: file.size, stream: file.stream.map_err(std::io::Error::other).boxed() })
    }

    async fn storage_nodes(&self) -> Answer<Vec<StorageNode>> {
        Ok(self.nodes.all())
    }

    async fn jobs(&self, limit: usize, before: Option<u64>) -> Answer<Vec<JobView>> {
        let newest = jobs::count(&self.chain).await?;
        let last = before.map_or(newest, |before| newest.min(before.saturating_sub(1)));
        let ids = (1..=last).rev().take(limit);
        let found = futures::future::try_join_all(ids.map(|id| jobs::summary(&self.chain, id))).await?;
        Ok(futures::future::join_all(found.into_iter().map(|view| self.named(view))).await)
    }

    async fn job(&self, id: u64) -> Answer<JobView> {
        Ok(self.named(jobs::details(&self.chain, id).await?).await)
    }

    async fn job_events(&self, id: u64, after: Option<(u64, u64)>) -> Answer<BoxStream<'static, JobEvent>> {
        jobs::summary(&self.chain, id).await?;
        let follow = Follow { index: self.index.clone(), news: self.news.clone(), id, after, ended: false };
        Ok(follow.stream())
    }

    async fn job_logs(&self, id: u64, task: Option<u32>, follow: bool) -> Answer<BoxStream<'static, LogRecord>> {
        jobs::summary(&self.chain, id).await?;
        let (kept, news) = self.logs.read(id);
        let wanted = move |r: &LogRecord| r.job_id == id && task.is_none_or(|t| t == r.task);
        let kept = futures::stream::iter(kept.into_iter().filter(move |r| wanted(r)));
        if !follow {
            return Ok(kept.boxed());
        }
        let news = tokio_stream::wrappers::BroadcastStream::new(news)
            .filter_map(move |record| futures::future::ready(record.ok().filter(|r| wanted(r))))
            .take_until(closed(self.chain.clone(), id));
        Ok(kept.chain(news).boxed())
    }

    async fn push_log(&self, record: LogRecord) -> Answer<()> {
        self.check_log(&record).await?;
        self.logs.push(record);
        Ok(())
    }

    async fn quote(&self, spec: &str) -> Answer<Quote> {
        let providers = jobs::providers(&self.chain).await?;
        let now = self.chain.timestamp().await.map_err(chain_problem)?;
        quote::quote(&self.chain, &providers, now, spec).await
    }

    async fn providers(&self) -> Answer<Vec<ProviderInfo>> {
        jobs::providers(&self.chain).await
    }

    async fn provider(&self, address: Address) -> Answer<ProviderInfo> {
        jobs::provider(&self.chain, address).await
    }

    async fn submit(&self, namespace: u64, payload: Bytes) -> Answer<SubmitResponse> {
        let is_sealed = crate::lane::policy(&self.network, namespace) != LanePolicy::Fcfs && is_envelope(&payload);
        if namespace == SETTLEMENT && !is_sealed {
            return Err(problem::unprocessable(format!(
                "namespace {SETTLEMENT} is the settlement chain: its transactions go to the JSON-RPC at {}",
                self.network.rpc
            )));
        }
        submit_to_all(&self.validators, namespace, payload)
            .await
            .map_err(|e| problem::bad_gateway(format!("no validator took the transaction: {e}")))
    }

    async fn namespace_transactions(
        &self,
        namespace: u64,
        height: u64,
        limit: usize,
    ) -> Answer<Vec<SequencedTransaction>> {
        let from = self.indexed(Index::complete_from).await?;
        // 0 is as good as 1: there are no transactions in genesis.
        if height.max(1) < from {
            let detail =
                format!("this gateway has the transactions of all blocks from height {from} on, not from {height}");
            return Err(problem::gone(detail));
        }
        self.indexed(move |index| index.transactions(namespace, height, limit)).await
    }

    async fn sequenced_transaction(&self, hash: B256) -> Answer<SequencedTransaction> {
        let found = self.indexed(move |index| index.transaction(hash)).await?;
        found.ok_or_else(|| problem::not_found("transaction", hash, "not final in any namespace that is indexed here"))
    }
}

/// Ends when the job is closed and what was pushed before had time to arrive.
async fn closed(chain: ChainClient, id: u64) {
    let call = || IJobMarket::jobCall { jobId: U256::from(id) };
    loop {
        if let Ok(job) = chain.call(JOB_MARKET, call()).await
            && job.state == IJobMarket::JobState::Closed
        {
            tokio::time::sleep(CLOSED_POLL).await;
            return;
        }
        tokio::time::sleep(CLOSED_POLL).await;
    }
}

/// A reader of one job's events: what is in the index, then what comes, until the job closes.
struct Follow {
    index: Arc<Index>,
    news: watch::Receiver<u64>,
    id: u64,
    after: Option<(u64, u64)>,
    ended: bool,
}

impl Follow {
    fn stream(self) -> BoxStream<'static, JobEvent> {
        let batches = futures::stream::unfold(self, |mut follow| async move {
            let batch = follow.next_batch().await?;
            Some((futures::stream::iter(batch), follow))
        });
        batches.flatten().boxed()
    }

    async fn next_batch(&mut self) -> Option<Vec<JobEvent>> {
        while !self.ended {
            // Marked before reading: what arrives between the two is seen at the next turn.
            self.news.borrow_and_update();
            let (index, id, after) = (self.index.clone(), self.id, self.after);
            let read = tokio::task::spawn_blocking(move || index.events(id, after)).await;
            let batch = read.ok().and_then(Result::ok)?;
            if let Some(last) = batch.last() {
                self.after = Some((last.block_number, last.log_index));
                self.ended = batch.iter().any(|event| event.event == "JobClosed");
                return Some(batch);
            }
            self.news.changed().await.ok()?;
        }
        None
    }
}
