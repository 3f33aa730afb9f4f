//! A network in memory: it keeps what it is given, checks what a real one checks, and fails on demand.

use alloy_primitives::{Address, B256, U256};
use async_trait::async_trait;
use axum::body::Bytes;
use cid::Cid;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use gateway::backend::{Answer, Backend, ByteStream, FileBody};
use gateway::problem;
use protocol::api::*;
use protocol::content::{matches, sha256};
use protocol::network::{Account, Genesis, Network};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Notify, broadcast};

/// Size of a file that goes on for ever, as far as any test reads.
pub const ENDLESS: u64 = 1 << 40;
const PIECE: usize = 1000;

pub struct Memory {
    pub blocks: Mutex<BTreeMap<Cid, Bytes>>,
    pub files: Mutex<Vec<FileInfo>>,
    pub jobs: Mutex<Vec<JobView>>,
    pub events: Mutex<Vec<JobEvent>>,
    pub records: Mutex<Vec<LogRecord>>,
    pub transactions: Mutex<Vec<SequencedTransaction>>,
    pub providers: Mutex<Vec<ProviderInfo>>,
    pub nodes: Mutex<Vec<StorageNode>>,
    /// New events; closing it closes every job.
    pub live: Mutex<Option<broadcast::Sender<JobEvent>>>,
    pub live_records: Mutex<Option<broadcast::Sender<LogRecord>>>,
    pub down: AtomicBool,
    pub panics: AtomicBool,
    /// A quote for `wait` says that it waits, and goes on when told.
    pub waiting: Notify,
    pub go_on: Notify,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            blocks: Default::default(),
            files: Default::default(),
            jobs: Default::default(),
            events: Default::default(),
            records: Default::default(),
            transactions: Default::default(),
            providers: Default::default(),
            nodes: Default::default(),
            live: Mutex::new(Some(broadcast::channel(64).0)),
            live_records: Mutex::new(Some(broadcast::channel(64).0)),
            down: Default::default(),
            panics: Default::default(),
            waiting: Default::default(),
            go_on: Default::default(),
        }
    }
}

impl Memory {
    pub fn keep(&self, bytes: impl Into<Bytes>) -> Cid {
        let bytes = bytes.into();
        let cid = protocol::content::raw_cid(&bytes);
        self.blocks.lock().unwrap().insert(cid, bytes);
        cid
    }

    /// Tells an event to whoever listens, and remembers it.
    pub fn tell(&self, event: JobEvent) {
        self.events.lock().unwrap().push(event.clone());
        if let Some(live) = self.live.lock().unwrap().as_ref() {
            // Nobody may be listening.
            let _ = live.send(event);
        }
    }

    /// Closes all jobs: streams end.
    pub fn close(&self) {
        self.live.lock().unwrap().take();
        self.live_records.lock().unwrap().take();
    }

    fn known(&self, id: u64) -> Answer<JobView> {
        let jobs = self.jobs.lock().unwrap();
        jobs.iter().find(|job| job.id == id).cloned().ok_or_else(|| problem::not_found("job", id, "never opened"))
    }
}

/// What is sent on `channel` until it is closed.
fn following<T: Clone + Send + 'static>(channel: &Mutex<Option<broadcast::Sender<T>>>) -> BoxStream<'static, T> {
    match channel.lock().unwrap().as_ref() {
        Some(live) => {
            stream::unfold(live.subscribe(), |mut live| async move { live.recv().await.ok().map(|item| (item, live)) })
                .boxed()
        }
        None => stream::empty().boxed(),
    }
}

/// CARv1 of `blocks` with one root.
pub fn car(root: &Cid, blocks: &[(Cid, Bytes)]) -> Vec<u8> {
    let root = root.to_bytes();
    let mut header = b"\xa2\x65roots\x81\xd8\x2a\x58".to_vec();
    header.push(u8::try_from(root.len() + 1).unwrap());
    header.push(0);
    header.extend(root);
    header.extend(b"\x67version\x01");
    let mut out = frame(&[&header]);
    for (cid, bytes) in blocks {
        out.extend(frame(&[&cid.to_bytes(), bytes]));
    }
    out
}

fn frame(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut length = parts.iter().map(|part| part.len()).sum::<usize>();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(parts.concat());
    out
}

fn unframe(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        length |= usize::from(first & 0x7f) << shift;
        shift += 7;
        if first & 0x80 == 0 {
            break;
        }
    }
    let (part, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(part.to_vec())
}

/// The root and the blocks of a CAR; every block must match its CID.
fn read_car(mut bytes: &[u8]) -> Option<(Cid, Vec<(Cid, Bytes)>)> {
    let header = unframe(&mut bytes)?;
    let tag = header.windows(3).position(|window| window == b"\xd8\x2a\x58")?;
    let root = Cid::read_bytes(header.get(tag + 5..)?).ok()?;
    let mut blocks = Vec::new();
    while !bytes.is_empty() {
        let framed = unframe(&mut bytes)?;
        let mut rest = framed.as_slice();
        let cid = Cid::read_bytes(&mut rest).ok()?;
        matches(&cid, rest).then_some(())?;
        blocks.push((cid, Bytes::copy_from_slice(rest)));
    }
    Some((root, blocks))
}

pub fn job(id: u64) -> JobView {
    JobView {
        id,
        consumer: Address::repeat_byte(0xc0),
        state: "running".into(),
        spec: protocol::content::raw_cid(b"{}").to_string(),
        name: "digits".into(),
        price_max: U256::from(5),
        audit_bps: 500,
        opened_at: 1_790_000_000,
        bid_end: 1_790_000_002,
        deadline: 1_790_000_600,
        task_count: 2,
        tasks_paid: 1,
        tasks_failed: 0,
        escrowed: U256::from(1_500_000_000_000_000_000_u128),
        paid: U256::from(3),
        refunded: U256::ZERO,
        bids: vec![],
        tasks: vec![],
    }
}

pub fn event(job_id: u64, block_number: u64, log_index: u64) -> JobEvent {
    JobEvent {
        job_id,
        event: "TaskAssigned".into(),
        block_number,
        log_index,
        timestamp: 1_790_000_001,
        transaction: B256::repeat_byte(1),
        task: Some(0),
        account: None,
        fields: BTreeMap::from([("price".into(), "5".into())]),
    }
}

pub fn record(job_id: u64, task: u32, seq: u64) -> LogRecord {
    LogRecord {
        job_id,
        task,
        attempt: 1,
        provider: Address::repeat_byte(0xb0),
        seq,
        sealed: vec![7; 20].into(),
        signature: vec![1; 65].into(),
    }
}

pub fn provider(address: Address) -> ProviderInfo {
    ProviderInfo {
        address,
        roles: 1,
        endpoint: String::new(),
        attributes: "{}".into(),
        encryption_key: B256::repeat_byte(2),
        stake: U256::from(2_000_000_000_000_000_000_u128),
        reserved: U256::ZERO,
        reputation_bps: 9_876,
        jailed_until: 0,
        balance: U256::ZERO,
    }
}

#[async_trait]
impl Backend for Memory {
    async fn network(&self) -> Answer<Network> {
        let account = Account { address: Address::repeat_byte(1), private_key: B256::repeat_byte(0x5e) };
        let (authority, alloc) = (Address::ZERO, BTreeMap::new());
        let genesis = Genesis {
            timestamp: 1,
            gas_limit: 2,
            block_millis: 200,
            epoch_blocks: 32,
            authority,
            alloc,
            stakes: vec![],
            mint: None,
        };
        Ok(Network {
            lane: None,
            chain_id: 5886,
            dev: true,
            rpc: "http://127.0.0.1:8545".into(),
            gateway: "http://127.0.0.1:8080".into(),
            accounts: vec![account],
            contracts: BTreeMap::new(),
            validators: vec![],
            genesis: Some(genesis),
        })
    }

    async fn status(&self) -> Answer<Status> {
        assert!(!self.panics.load(Ordering::SeqCst), "the secret is 42");
        self.ready().await?;
        let jobs = self.jobs.lock().unwrap().len() as u64;
        Ok(Status { chain_id: 5886, dev: true, block_number: 77, jobs, ..Status::default() })
    }

    async fn ready(&self) -> Answer<()> {
        match self.down.load(Ordering::SeqCst) {
            true => Err(problem::unavailable("no block for 9 s")),
            false => Ok(()),
        }
    }

    async fn put_car(&self, car: ByteStream) -> Answer<FileInfo> {
        let bytes: Vec<u8> =
            car.map_ok(|bytes| bytes.to_vec()).try_concat().await.map_err(|e| problem::internal(e.to_string()))?;
        let invalid = || problem::unprocessable("the body is no CARv1 with blocks that match their CIDs");
        let (root, blocks) = read_car(&bytes).ok_or_else(invalid)?;
        let size = blocks.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        self.blocks.lock().unwrap().extend(blocks);
        let (cid, stored_at) = (root.to_string(), 1_790_000_000);
        let file = FileInfo { cid, size, segments: 1, k: 4, n: 8, stored_at, shards_healthy: None, shards_total: 8 };
        self.files.lock().unwrap().push(file.clone());
        Ok(file)
    }

    async fn files(&self, limit: usize) -> Answer<Vec<FileInfo>> {
        Ok(self.files.lock().unwrap().iter().rev().take(limit).cloned().collect())
    }

    async fn file(&self, cid: Cid) -> Answer<FileInfo> {
        let files = self.files.lock().unwrap();
        let file = files.iter().find(|file| file.cid == cid.to_string()).cloned();
        file.map(|file| FileInfo { shards_healthy: Some(8), ..file })
            .ok_or_else(|| problem::not_found("file", cid, "this gateway did not store it"))
    }

    async fn repair(&self, cid: Cid) -> Answer<RepairReport> {
        let file = self.file(cid).await?;
        Ok(RepairReport { checked: file.shards_total, ..RepairReport::default() })
    }

    async fn block(&self, cid: Cid) -> Answer<Bytes> {
        let blocks = self.blocks.lock().unwrap();
        blocks.get(&cid).cloned().ok_or_else(|| problem::not_found("block", cid, "no storage node has it"))
    }

    async fn car(&self, cid: Cid) -> Answer<ByteStream> {
        let bytes = car(&cid, &[(cid, self.block(cid).await?)]);
        Ok(stream::iter([Ok(bytes.into())]).boxed())
    }

    /// `broken` breaks after its first piece, `endless` never ends; other files are single raw blocks.
    async fn unixfs(&self, cid: Cid, range: Option<Range<u64>>) -> Answer<FileBody> {
        let block = self.block(cid).await?;
        if block == "endless" {
            let stream = stream::repeat_with(|| Ok(Bytes::from(vec![0; 64 * 1024]))).boxed();
            return Ok(FileBody { size: ENDLESS, stream });
        }
        if block == "broken" {
            let broken = async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("too many shards are lost"))
            };
            let stream = stream::iter([Ok(Bytes::from("bro"))]).chain(stream::once(broken)).boxed();
            return Ok(FileBody { size: 6, stream });
        }
        let size = block.len() as u64;
        let range = range.map_or(0..size, |range| range.start.min(size)..range.end.min(size));
        let part = block.slice(range.start as usize..range.end as usize);
        let pieces: Vec<_> = part.chunks(PIECE).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        Ok(FileBody { size, stream: stream::iter(pieces).boxed() })
    }

    async fn storage_nodes(&self) -> Answer<Vec<StorageNode>> {
        Ok(self.nodes.lock().unwrap().clone())
    }

    async fn jobs(&self, limit: usize, before: Option<u64>) -> Answer<Vec<JobView>> {
        let jobs = self.jobs.lock().unwrap();
        Ok(jobs.iter().rev().filter(|job| before.is_none_or(|id| job.id < id)).take(limit).cloned().collect())
    }

    async fn job(&self, id: u64) -> Answer<JobView> {
        self.known(id)
    }

    async fn job_events(&self, id: u64, after: Option<(u64, u64)>) -> Answer<BoxStream<'static, JobEvent>> {
        self.known(id)?;
        let events = self.events.lock().unwrap();
        let later = |event: &&JobEvent| after.is_none_or(|after| (event.block_number, event.log_index) > after);
        let past: Vec<_> = events.iter().filter(|event| event.job_id == id).filter(later).cloned().collect();
        Ok(stream::iter(past).chain(following(&self.live)).boxed())
    }

    async fn job_logs(&self, id: u64, task: Option<u32>, follow: bool) -> Answer<BoxStream<'static, LogRecord>> {
        self.known(id)?;
        let records = self.records.lock().unwrap();
        let wanted = move |record: &LogRecord| record.job_id == id && task.is_none_or(|task| record.task == task);
        let past: Vec<_> = records.iter().filter(|record| wanted(record)).cloned().collect();
        let live = if follow { following(&self.live_records) } else { stream::empty().boxed() };
        let live = live.filter(move |record| std::future::ready(wanted(record)));
        Ok(stream::iter(past).chain(live).boxed())
    }

    async fn push_log(&self, record: LogRecord) -> Answer<()> {
        self.known(record.job_id)?;
        if record.provider != Address::repeat_byte(0xb0) {
            return Err(problem::forbidden(format!("{} does not hold task {}", record.provider, record.task)));
        }
        self.records.lock().unwrap().push(record.clone());
        if let Some(live) = self.live_records.lock().unwrap().as_ref() {
            let _ = live.send(record);
        }
        Ok(())
    }

    async fn quote(&self, spec: &str) -> Answer<Quote> {
        match spec {
            "wait" => {
                self.waiting.notify_one();
                self.go_on.notified().await;
            }
            "" => return Err(problem::unprocessable("the specification is empty")),
            _ => {}
        }
        Ok(Quote {
            tasks: 1,
            price_max: U256::from(5),
            escrow: U256::from(6),
            prices: vec![U256::from(4)],
            providers_fit: 1,
            providers_total: 1,
            excluded: vec![],
        })
    }

    async fn providers(&self) -> Answer<Vec<ProviderInfo>> {
        Ok(self.providers.lock().unwrap().clone())
    }

    async fn provider(&self, address: Address) -> Answer<ProviderInfo> {
        let providers = self.providers.lock().unwrap();
        let found = providers.iter().find(|provider| provider.address == address).cloned();
        found.ok_or_else(|| problem::not_found("provider", address, "not registered"))
    }

    async fn submit(&self, namespace: u64, payload: Bytes) -> Answer<SubmitResponse> {
        let hash = sha256(&[&namespace.to_be_bytes()[..], &payload].concat());
        let mut transactions = self.transactions.lock().unwrap();
        let height = transactions.len() as u64 + 1;
        let payload = payload.into();
        transactions.push(SequencedTransaction { hash, namespace, height, index: 0, timestamp_millis: 5, payload });
        Ok(SubmitResponse { hash })
    }

    async fn namespace_transactions(
        &self,
        namespace: u64,
        height: u64,
        limit: usize,
    ) -> Answer<Vec<SequencedTransaction>> {
        let transactions = self.transactions.lock().unwrap();
        let wanted = transactions.iter().filter(|tx| tx.namespace == namespace && tx.height >= height);
        Ok(wanted.take(limit).cloned().collect())
    }

    async fn sequenced_transaction(&self, hash: B256) -> Answer<SequencedTransaction> {
        let transactions = self.transactions.lock().unwrap();
        let found = transactions.iter().find(|tx| tx.hash == hash).cloned();
        found.ok_or_else(|| problem::not_found("transaction", hash, "not final"))
    }
}
