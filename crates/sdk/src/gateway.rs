//! The gateway's REST API, one function per route.
//!
//! Bodies are the types of `protocol::api`; a problem document becomes [`GatewayError::Problem`]. Nothing that a gateway
//! says about content is believed here or elsewhere in the SDK: see [`crate::files`] and [`crate::jobs`].

mod stream;
#[cfg(test)]
pub(crate) mod tests;

pub use stream::{EventStream, LogStream};

use crate::http::{self, Backoff, BodyError};
use alloy_primitives::{Address, B256, Bytes};
use cid::Cid;
use protocol::api::{
    FileInfo, JobView, LogRecord, Problem, ProviderInfo, Quote, QuoteRequest, RepairReport, SequencedTransaction,
    Status, StorageNode, SubmitRequest, SubmitResponse,
};
use protocol::network::Network;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Largest raw block that a gateway serves, in bytes: 2 MiB, as Bitswap has it.
pub const BLOCK_BYTES_MAX: usize = 2 << 20;
/// Longest wait for a gateway to place an uploaded file.
pub const PUT_TIMEOUT: Duration = Duration::from_secs(600);
/// Media type of a CAR body.
pub const CAR_TYPE: &str = "application/vnd.ipld.car";

/// Why a gateway did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Not reached, also after several tries.
    #[error("cannot reach the gateway at {url}: {}", http::root_cause(source))]
    Unreachable {
        /// Address asked.
        url: String,
        /// What the connection said last.
        source: reqwest::Error,
    },
    /// The transfer broke off, or was longer than allowed.
    #[error("cannot read the answer of {url}: {source}")]
    Body {
        /// Address asked.
        url: String,
        /// What was wrong.
        source: BodyError,
    },
    /// The gateway says what is wrong.
    #[error("{} ({})", .0.detail, .0.title)]
    Problem(Box<Problem>),
    /// Not the answer of a gateway.
    #[error("{url} answered HTTP {status}, which is not a valid answer: {reason}")]
    Malformed {
        /// Address asked.
        url: String,
        /// HTTP status.
        status: u16,
        /// What could not be read.
        reason: String,
    },
    /// The file to upload cannot be read.
    #[error("cannot read {path}: {source}")]
    Source {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl GatewayError {
    /// HTTP status of the answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Problem(problem) => Some(problem.status),
            Self::Malformed { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// Result of every request.
pub type Result<T> = std::result::Result<T, GatewayError>;

/// A gateway by its URL. Clones share connections.
#[derive(Clone, Debug)]
pub struct Gateway {
    http: reqwest::Client,
    base: String,
}

impl Gateway {
    /// The gateway at `url`; nothing is sent yet.
    pub fn new(url: &str) -> Self {
        Self { http: http::client(url), base: http::trim_base(url) }
    }

    /// URL of the gateway.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// `GET /v1/status`.
    pub async fn status(&self) -> Result<Status> {
        self.get("/v1/status").await
    }

    /// `GET /v1/network`: the public part of the network file.
    pub async fn network(&self) -> Result<Network> {
        self.get("/v1/network").await
    }

    /// Whether the gateway takes files and the chain advances: `GET /readyz`.
    pub async fn ready(&self) -> Result<()> {
        self.answer(self.request(Method::GET, "/readyz").timeout(http::REQUEST_TIMEOUT)).await.map(drop)
    }

    /// `GET /v1/files`: newest first.
    pub async fn files(&self, limit: usize) -> Result<Vec<FileInfo>> {
        self.get(&format!("/v1/files?limit={limit}")).await
    }

    /// `GET /v1/files/{cid}`: with the health of its shards.
    pub async fn file(&self, cid: &Cid) -> Result<FileInfo> {
        self.get(&format!("/v1/files/{cid}")).await
    }

    /// `POST /v1/files/{cid}/repair`.
    pub async fn repair(&self, cid: &Cid) -> Result<RepairReport> {
        let request = self.request(Method::POST, &format!("/v1/files/{cid}/repair")).timeout(PUT_TIMEOUT);
        self.json(request).await
    }

    /// `POST /v1/files`: stores the CAR in the file at `path`, streamed. Sent again while the gateway is not reached.
    pub async fn put_car_file(&self, path: &Path) -> Result<FileInfo> {
        let failed = |source| GatewayError::Source { path: path.to_owned(), source };
        let mut backoff = Backoff::default();
        loop {
            let file = tokio::fs::File::open(path).await.map_err(failed)?;
            let length = file.metadata().await.map_err(failed)?.len();
            let body = reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::new(file));
            let request = self.put_request().header("content-length", length).body(body);
            match self.json(request).await {
                Err(GatewayError::Unreachable { source, .. }) if source.is_connect() && backoff.wait().await => {}
                outcome => return outcome,
            }
        }
    }

    /// `POST /v1/files`: stores a CAR that fits memory.
    pub async fn put_car(&self, car: Vec<u8>) -> Result<FileInfo> {
        self.json(self.put_request().body(car)).await
    }

    /// `GET /ipfs/{cid}?format=raw`: one block, not yet checked against `cid`.
    pub async fn block(&self, cid: &Cid) -> Result<bytes::Bytes> {
        let path = format!("/ipfs/{cid}?format=raw");
        let response = self.answer(self.request(Method::GET, &path).timeout(http::REQUEST_TIMEOUT)).await?;
        http::read_body(response, BLOCK_BYTES_MAX).await.map_err(|source| self.body_error(&path, source))
    }

    /// `GET /ipfs/{cid}?format=car`: the whole DAG as a stream of bytes, not yet checked.
    pub async fn car(&self, cid: &Cid) -> Result<CarBody> {
        let path = format!("/ipfs/{cid}?format=car");
        let response = self.answer(self.request(Method::GET, &path).header("accept", CAR_TYPE)).await?;
        Ok(CarBody { response, url: self.address(&path) })
    }

    /// `GET /v1/storage/nodes`.
    pub async fn storage_nodes(&self) -> Result<Vec<StorageNode>> {
        self.get("/v1/storage/nodes").await
    }

    /// `GET /v1/jobs`: newest first, only ids below `before`.
    pub async fn jobs(&self, limit: usize, before: Option<u64>) -> Result<Vec<JobView>> {
        let before = before.map(|id| format!("&before={id}")).unwrap_or_default();
        self.get(&format!("/v1/jobs?limit={limit}{before}")).await
    }

    /// `GET /v1/jobs/{id}`: with bids and tasks.
    pub async fn job(&self, id: u64) -> Result<JobView> {
        self.get(&format!("/v1/jobs/{id}")).await
    }

    /// `GET /v1/jobs/{id}/events` from the first event on; reconnects by itself, ends after `JobClosed`.
    pub fn job_events(&self, id: u64) -> EventStream {
        stream::events(self.clone(), id)
    }

    /// `GET /v1/jobs/{id}/logs`: sealed records; reconnects by itself, ends when the job closes, or at once unless `follow`.
    pub fn job_logs(&self, id: u64, task: Option<u32>, follow: bool) -> LogStream {
        stream::logs(self.clone(), id, task, follow)
    }

    /// `POST /v1/jobs/{id}/logs`: a provider's log record.
    pub async fn push_log(&self, record: &LogRecord) -> Result<()> {
        let path = format!("/v1/jobs/{}/logs", record.job_id);
        let request = self.request(Method::POST, &path).timeout(http::REQUEST_TIMEOUT).json(record);
        self.answer(request).await.map(drop)
    }

    /// `POST /v1/jobs/quote`: price and fit of a specification in JSON or YAML.
    pub async fn quote(&self, spec: &str) -> Result<Quote> {
        self.post("/v1/jobs/quote", &QuoteRequest { spec: spec.to_owned() }).await
    }

    /// `GET /v1/providers`.
    pub async fn providers(&self) -> Result<Vec<ProviderInfo>> {
        self.get("/v1/providers").await
    }

    /// `GET /v1/providers/{address}`.
    pub async fn provider(&self, address: Address) -> Result<ProviderInfo> {
        self.get(&format!("/v1/providers/{address}")).await
    }

    /// `POST /v1/submit/submit`: hands an opaque transaction of `namespace` to the sequencer; returns its hash.
    pub async fn submit(&self, namespace: u64, payload: Bytes) -> Result<B256> {
        let response: SubmitResponse = self.post("/v1/submit/submit", &SubmitRequest { namespace, payload }).await?;
        Ok(response.hash)
    }

    /// `GET /v1/namespaces/{namespace}/transactions`: final ones from sequencer height `height` on.
    pub async fn namespace_transactions(
        &self,
        namespace: u64,
        height: u64,
        limit: usize,
    ) -> Result<Vec<SequencedTransaction>> {
        self.get(&format!("/v1/namespaces/{namespace}/transactions?height={height}&limit={limit}")).await
    }

    /// `GET /v1/transactions/{hash}`: one final transaction.
    pub async fn sequenced_transaction(&self, hash: B256) -> Result<SequencedTransaction> {
        self.get(&format!("/v1/transactions/{hash}")).await
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.address(path))
    }

    fn put_request(&self) -> RequestBuilder {
        self.request(Method::POST, "/v1/files").header("content-type", CAR_TYPE).timeout(PUT_TIMEOUT)
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.json(self.request(Method::GET, path).timeout(http::REQUEST_TIMEOUT)).await
    }

    /// A `GET` whose answer may be larger than what a gateway sends.
    pub(crate) async fn get_up_to<T: DeserializeOwned>(&self, path: &str, bytes_max: usize) -> Result<T> {
        self.json_up_to(self.request(Method::GET, path).timeout(http::REQUEST_TIMEOUT), bytes_max).await
    }

    pub(crate) async fn post<B: serde::Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T> {
        self.json(self.request(Method::POST, path).timeout(http::REQUEST_TIMEOUT).json(body)).await
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        self.json_up_to(request, http::JSON_BYTES_MAX).await
    }

    async fn json_up_to<T: DeserializeOwned>(&self, request: RequestBuilder, bytes_max: usize) -> Result<T> {
        let response = self.answer(request).await?;
        let (url, status) = (response.url().to_string(), response.status().as_u16());
        let body = http::read_body(response, bytes_max).await;
        let body = body.map_err(|source| GatewayError::Body { url: url.clone(), source })?;
        serde_json::from_slice(&body).map_err(|e| GatewayError::Malformed { url, status, reason: e.to_string() })
    }

    /// Sends a request, again while the gateway cannot be reached; anything but success becomes an error.
    async fn answer(&self, request: RequestBuilder) -> Result<Response> {
        let mut backoff = Backoff::default();
        let mut request = request;
        loop {
            // A request with a streamed body cannot be copied: it is sent once.
            let copy = request.try_clone();
            let outcome = request.send().await;
            let transient = match &outcome {
                Ok(response) => response.status() == StatusCode::BAD_GATEWAY,
                Err(error) => http::is_transient(error),
            };
            match copy {
                Some(copy) if transient && backoff.wait().await => request = copy,
                _ => return self.judge(outcome).await,
            }
        }
    }

    async fn judge(&self, outcome: reqwest::Result<Response>) -> Result<Response> {
        let response = outcome.map_err(|source| GatewayError::Unreachable { url: self.base.clone(), source })?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refusal(response).await)
    }

    fn body_error(&self, path: &str, source: BodyError) -> GatewayError {
        GatewayError::Body { url: self.address(path), source }
    }
}

async fn refusal(response: Response) -> GatewayError {
    let (url, status) = (response.url().to_string(), response.status());
    let body = match http::read_body(response, http::JSON_BYTES_MAX).await {
        Ok(body) => body,
        Err(source) => return GatewayError::Body { url, source },
    };
    match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => GatewayError::Problem(Box::new(Problem { status: status.as_u16(), ..problem })),
        Err(e) => GatewayError::Malformed { url, status: status.as_u16(), reason: e.to_string() },
    }
}

/// The body of a CAR download.
#[derive(Debug)]
pub struct CarBody {
    response: Response,
    url: String,
}

impl CarBody {
    /// The next piece, `None` at the end.
    pub async fn next(&mut self) -> Result<Option<bytes::Bytes>> {
        let chunk = http::next_chunk(&mut self.response).await;
        chunk.map_err(|source| GatewayError::Body { url: self.url.clone(), source })
    }
}
