use super::*;
use axum::body::Body;
use axum::extract::{Path as UrlPath, Query, State};
use axum::http::{HeaderMap, StatusCode as Code};
use axum::response::{IntoResponse, Response as Answer};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::StreamExt;
use protocol::api::JobEvent;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use storage::car::{CarDecoder, CarItem, header, links, section_prefix};

type Change = Box<dyn Fn(Vec<(Cid, bytes::Bytes)>) -> Vec<(Cid, bytes::Bytes)> + Send + Sync>;

/// A gateway that keeps blocks in memory, and lies where a test tells it to.
#[derive(Default)]
pub(crate) struct FakeGateway {
    pub(crate) blocks: Mutex<BTreeMap<Cid, bytes::Bytes>>,
    /// What it does to the blocks of a CAR before sending them.
    pub(crate) change: Mutex<Option<Change>>,
    /// The root it claims to have stored.
    pub(crate) claim: Mutex<Option<String>>,
    /// Bodies of event streams, one per connection, with the `Last-Event-ID` each was asked with.
    pub(crate) streams: Mutex<Vec<String>>,
    pub(crate) resumed: Mutex<Vec<String>>,
    /// Raw answers for any other path.
    pub(crate) answers: Mutex<HashMap<String, (u16, String)>>,
}

impl FakeGateway {
    pub(crate) async fn serve(self) -> (Gateway, Arc<Self>) {
        let state = Arc::new(self);
        let router = Router::new()
            .route("/v1/files", post(put_car))
            .route("/ipfs/{cid}", get(content))
            .route("/v1/jobs/{id}/events", get(events))
            .route("/v1/jobs/{id}/logs", get(events))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .fallback(other)
            .with_state(state.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (Gateway::new(&url), state)
    }

    pub(crate) fn answer(&self, path: &str, status: u16, body: impl serde::Serialize) {
        let body = serde_json::to_string(&body).unwrap();
        self.answers.lock().unwrap().insert(path.to_owned(), (status, body));
    }

    fn dag(&self, root: &Cid) -> Option<Vec<(Cid, bytes::Bytes)>> {
        let blocks = self.blocks.lock().unwrap();
        let mut found: Vec<(Cid, bytes::Bytes)> = Vec::new();
        let mut stack = vec![*root];
        while let Some(cid) = stack.pop() {
            if found.iter().any(|(known, _)| *known == cid) {
                continue;
            }
            let bytes = blocks.get(&cid)?.clone();
            stack.extend(links(&cid, &bytes).unwrap().into_iter().rev());
            found.push((cid, bytes));
        }
        Some(found)
    }
}

type Shared = State<Arc<FakeGateway>>;

async fn put_car(State(gateway): Shared, body: bytes::Bytes) -> Answer {
    let mut decoder = CarDecoder::new();
    decoder.push(&body);
    let (mut root, mut size) = (None, 0);
    while let Some(item) = decoder.next_item().unwrap() {
        match item {
            CarItem::Header(roots) => root = roots.first().copied(),
            CarItem::Block(block) => {
                size += block.bytes.len() as u64;
                gateway.blocks.lock().unwrap().insert(block.cid, block.bytes);
            }
        }
    }
    decoder.finish().unwrap();
    let cid = gateway.claim.lock().unwrap().clone().unwrap_or(root.unwrap().to_string());
    let (segments, k, n) = (1, 4, 8);
    Json(FileInfo { cid, size, segments, k, n, stored_at: 0, shards_healthy: Some(8), shards_total: 8 }).into_response()
}

async fn content(
    State(gateway): Shared,
    UrlPath(cid): UrlPath<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    let cid: Cid = cid.parse().unwrap();
    if query["format"] == "raw" {
        return match gateway.blocks.lock().unwrap().get(&cid) {
            Some(bytes) => bytes.clone().into_response(),
            None => problem(404, "no such block"),
        };
    }
    let Some(mut blocks) = gateway.dag(&cid) else { return problem(404, "no such file") };
    if let Some(change) = &*gateway.change.lock().unwrap() {
        blocks = change(blocks);
    }
    let mut car = header(&cid).to_vec();
    for (cid, bytes) in blocks {
        car.extend(section_prefix(&cid, bytes.len()));
        car.extend(bytes);
    }
    car.into_response()
}

async fn events(State(gateway): Shared, headers: HeaderMap) -> Answer {
    let last = headers.get("last-event-id").map(|id| id.to_str().unwrap().to_owned());
    gateway.resumed.lock().unwrap().push(last.unwrap_or_default());
    let mut streams = gateway.streams.lock().unwrap();
    match streams.is_empty() {
        true => problem(404, "no such job"),
        false => ([("content-type", "text/event-stream")], Body::from(streams.remove(0))).into_response(),
    }
}

async fn other(State(gateway): Shared, uri: axum::http::Uri) -> Answer {
    match gateway.answers.lock().unwrap().get(&uri.to_string()) {
        Some((status, body)) => (Code::from_u16(*status).unwrap(), body.clone()).into_response(),
        None => problem(404, "no such path"),
    }
}

fn problem(status: u16, detail: &str) -> Answer {
    let problem = Problem {
        kind: "urn:kumo:test".into(),
        title: "a problem".into(),
        status,
        detail: detail.into(),
        next: Some("try something else".into()),
    };
    (Code::from_u16(status).unwrap(), Json(problem)).into_response()
}

pub(crate) fn event(block_number: u64, log_index: u64, name: &str) -> JobEvent {
    JobEvent {
        job_id: 7,
        event: name.into(),
        block_number,
        log_index,
        timestamp: 0,
        transaction: B256::ZERO,
        task: None,
        account: None,
        fields: Default::default(),
    }
}

fn sse(events: &[JobEvent], end: bool) -> String {
    let mut out = String::from(": heartbeat\n\n");
    for event in events {
        let json = serde_json::to_string(event).unwrap();
        out += &format!("id: {}-{}\ndata: {json}\n\n", event.block_number, event.log_index);
    }
    if end {
        out += "event: end\ndata: {}\n\n";
    }
    out
}

#[tokio::test]
async fn problems_are_passed_on_with_detail_and_advice() {
    let (gateway, _) = FakeGateway::default().serve().await;
    match gateway.job(9).await {
        Err(GatewayError::Problem(problem)) => {
            assert_eq!((problem.status, problem.detail.as_str()), (404, "no such path"));
            assert_eq!(problem.next.as_deref(), Some("try something else"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_answer_that_is_no_gateways_is_an_error_with_its_status() {
    let (gateway, state) = FakeGateway::default().serve().await;
    state.answer("/v1/status", 500, "not a problem document");
    let error = gateway.status().await.unwrap_err();
    assert!(matches!(error, GatewayError::Malformed { status: 500, .. }), "{error}");
    state.answer("/v1/status", 200, [1, 2]);
    assert!(matches!(gateway.status().await, Err(GatewayError::Malformed { status: 200, .. })));
}

#[tokio::test]
async fn a_gateway_that_is_not_there_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Gateway::new(&url).status().await.unwrap_err();
    assert!(matches!(error, GatewayError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&url), "{error}");
}

#[tokio::test]
async fn lists_carry_their_page_in_the_query() {
    let (gateway, state) = FakeGateway::default().serve().await;
    state.answer("/v1/jobs?limit=5&before=40", 200, Vec::<JobView>::new());
    state.answer("/v1/namespaces/42/transactions?height=3&limit=10", 200, Vec::<SequencedTransaction>::new());
    assert!(gateway.jobs(5, Some(40)).await.unwrap().is_empty());
    assert!(gateway.namespace_transactions(42, 3, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_broken_event_stream_is_resumed_without_gap_or_repetition() {
    let [a, b, c] = [event(1, 0, "JobOpened"), event(2, 3, "BidPlaced"), event(4, 0, "JobClosed")];
    let first = sse(&[a.clone(), b.clone()], false);
    let second = sse(&[b.clone(), c.clone()], true);
    let gateway = FakeGateway { streams: Mutex::new(vec![first, second]), ..FakeGateway::default() };
    let (gateway, state) = gateway.serve().await;
    let events: Vec<JobEvent> = gateway.job_events(7).map(|event| event.unwrap()).collect().await;
    assert_eq!(events, [a, b, c]);
    assert_eq!(*state.resumed.lock().unwrap(), ["", "2-3"]);
}

#[tokio::test]
async fn a_job_that_does_not_exist_ends_its_stream_with_the_problem() {
    let (gateway, _) = FakeGateway::default().serve().await;
    let events: Vec<Result<JobEvent>> = gateway.job_events(7).collect().await;
    assert!(matches!(events.as_slice(), [Err(GatewayError::Problem(problem))] if problem.status == 404));
}

#[tokio::test]
async fn log_records_are_not_repeated_after_a_break() {
    let record = |task, seq| LogRecord {
        job_id: 7,
        task,
        attempt: 1,
        provider: Address::ZERO,
        seq,
        sealed: Bytes::new(),
        signature: Bytes::new(),
    };
    let sse = |records: &[LogRecord], end: &str| {
        let data = records.iter().map(|r| format!("data: {}\n\n", serde_json::to_string(r).unwrap()));
        data.collect::<String>() + end
    };
    let first = sse(&[record(0, 0), record(1, 0), record(0, 1)], "");
    let second = sse(&[record(0, 0), record(1, 0), record(0, 1), record(0, 2)], "event: end\ndata: {}\n\n");
    let gateway = FakeGateway { streams: Mutex::new(vec![first, second]), ..FakeGateway::default() };
    let (gateway, _) = gateway.serve().await;
    let records: Vec<(u32, u64)> =
        gateway.job_logs(7, None, true).map(|record| record.unwrap()).map(|r| (r.task, r.seq)).collect().await;
    assert_eq!(records, [(0, 0), (1, 0), (0, 1), (0, 2)]);
}

#[tokio::test]
async fn a_stream_of_something_else_is_an_error() {
    let gateway = FakeGateway { streams: Mutex::new(vec!["data: []\n\n".into()]), ..FakeGateway::default() };
    let (gateway, _) = gateway.serve().await;
    let events: Vec<Result<JobEvent>> = gateway.job_events(7).collect().await;
    assert!(matches!(events.as_slice(), [Err(GatewayError::Malformed { .. })]));
}
