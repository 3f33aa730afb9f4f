//! Speak to the node APIs of storage nodes and validators.
//!
//! The peers are found on chain and may be anybody: redirects are not followed, bodies are bounded, and bytes that do
//! not match their hash are refused. Every call ends within a limit of time.
//!
//! ```no_run
//! # async fn f() -> Result<(), gateway::client::ClientError> {
//! use gateway::client::{ShardClient, http_client};
//! let node = ShardClient::new("http://127.0.0.1:9100", http_client())?;
//! let bytes = axum::body::Bytes::from_static(b"a shard");
//! let id = protocol::content::sha256(&bytes);
//! node.put_shard(id, bytes).await?;
//! assert!(node.has_shard(id).await?);
//! # Ok(())
//! # }
//! ```

mod shard;
mod validator;

pub use shard::ShardClient;
pub use validator::ValidatorClient;

use crate::problem;
use axum::body::Bytes;
use protocol::api::Problem;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Time to connect to a node.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for a call that moves little.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of an answer that moves little.
pub(crate) const CALL_BYTES_MAX: usize = 1 << 20;
/// Most bytes of an error that are read.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;
/// Pooled connections per node.
const IDLE_CONNECTIONS_MAX: usize = 16;
/// Time after which a pooled connection is not used again; below the idle limit of our servers, which would close it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// An HTTP client for nodes: connects within 3 seconds, follows no redirect, trusts for `https://` whom the
/// system trusts. Share one per process.
pub fn http_client() -> Client {
    let settings = || {
        Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .no_proxy()
    };
    // A system may have no authorities at all.
    let trusting = settings().build();
    trusting.unwrap_or_else(|_| settings().tls_certs_only([]).build().expect("nothing else can be missing"))
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The endpoint is not the URL of an HTTP service.
    #[error("endpoint {0:?} is no http:// or https:// URL with a host")]
    Endpoint(String),
    /// The node could not be reached, or did not answer in time.
    #[error("{url} cannot be reached")]
    Unreachable {
        /// What was asked.
        url: Url,
        /// Why.
        source: reqwest::Error,
    },
    /// The node refused, and said why.
    #[error("{url} answered {}: {}", .problem.status, .problem.detail)]
    Refused {
        /// What was asked.
        url: Url,
        /// What the node said.
        problem: Box<Problem>,
    },
    /// The node answered an error that is no problem document: something else listens there.
    #[error("{url} answered {status} without saying why")]
    Foreign {
        /// What was asked.
        url: Url,
        /// The status.
        status: u16,
    },
    /// The answer is longer than such an answer can be.
    #[error("{url} answered more than {limit} bytes")]
    TooLarge {
        /// What was asked.
        url: Url,
        /// Most bytes that are read.
        limit: usize,
    },
    /// The answer has another shape.
    #[error("{url} answered something else than {expected}")]
    Shape {
        /// What was asked.
        url: Url,
        /// What was expected.
        expected: &'static str,
    },
    /// The bytes are not those that were asked for.
    #[error("{url} answered {bytes} bytes that do not hash to what was asked for")]
    Damaged {
        /// What was asked.
        url: Url,
        /// How many bytes came.
        bytes: usize,
    },
}

impl ClientError {
    /// Whether the node is well and does not have what was asked for.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { problem, .. } if problem.status == StatusCode::NOT_FOUND.as_u16())
    }
}

impl From<ClientError> for Problem {
    /// What the node said, or 502 if it said nothing that makes sense.
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused { problem, .. } => *problem,
            other => problem::bad_gateway(other.to_string()),
        }
    }
}

/// One node.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    endpoint: Url,
    http: Client,
}

impl Api {
    /// A path in `endpoint` is kept, its query is not.
    pub fn new(endpoint: &str, http: Client) -> Result<Self, ClientError> {
        let invalid = || ClientError::Endpoint(problem::shorten(endpoint));
        let mut url = Url::parse(endpoint).map_err(|_| invalid())?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(invalid());
        }
        url.set_query(None);
        url.set_fragment(None);
        Ok(Self { endpoint: url, http })
    }

    pub fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    pub fn http(&self) -> &Client {
        &self.http
    }

    /// The URL of `path` (relative, plain characters) below the endpoint.
    pub fn url(&self, path: &str) -> Url {
        let mut url = self.endpoint.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
        url
    }

    /// Sends a request, and turns every answer but success into an error.
    pub async fn send(&self, url: &Url, request: RequestBuilder, limit: Duration) -> Result<Response, ClientError> {
        let unreachable = |source| ClientError::Unreachable { url: url.clone(), source };
        let response = request.timeout(limit).send().await.map_err(unreachable)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = read(url, response, PROBLEM_BYTES_MAX).await.unwrap_or_default();
        match serde_json::from_slice::<Problem>(&body) {
            // The status line is what the protocol says; the document only explains it.
            Ok(problem) => {
                let problem = Box::new(Problem { status: status.as_u16(), ..problem });
                Err(ClientError::Refused { url: url.clone(), problem })
            }
            Err(_) => Err(ClientError::Foreign { url: url.clone(), status: status.as_u16() }),
        }
    }

    /// Gets JSON of at most `bytes_max` bytes.
    pub async fn get_json<T: DeserializeOwned>(
        &self,
        url: Url,
        bytes_max: usize,
        limit: Duration,
    ) -> Result<T, ClientError> {
        let response = self.send(&url, self.http.get(url.clone()), limit).await?;
        parse(url.clone(), read(&url, response, bytes_max).await?)
    }

    /// Gets bytes.
    pub async fn get_bytes(&self, url: &Url, bytes_max: usize, limit: Duration) -> Result<Bytes, ClientError> {
        let response = self.send(url, self.http.get(url.clone()), limit).await?;
        read(url, response, bytes_max).await
    }

    /// Puts bytes.
    pub async fn put(&self, url: Url, bytes: Bytes, limit: Duration) -> Result<(), ClientError> {
        self.send(&url, self.http.put(url.clone()).body(bytes), limit).await.map(drop)
    }
}

/// Reads JSON.
pub(crate) fn parse<T: DeserializeOwned>(url: Url, body: Bytes) -> Result<T, ClientError> {
    serde_json::from_slice(&body).map_err(|_| ClientError::Shape { url, expected: std::any::type_name::<T>() })
}

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read(url: &Url, mut response: Response, limit: usize) -> Result<Bytes, ClientError> {
    let too_large = || ClientError::TooLarge { url: url.clone(), limit };
    if response.content_length().is_some_and(|declared| declared > limit as u64) {
        return Err(too_large());
    }
    let mut out = Vec::new();
    while let Some(piece) =
        response.chunk().await.map_err(|source| ClientError::Unreachable { url: url.clone(), source })?
    {
        if out.len() + piece.len() > limit {
            return Err(too_large());
        }
        out.extend_from_slice(&piece);
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(endpoint: &str) -> String {
        Api::new(endpoint, http_client()).unwrap().url("shard/v1/info").to_string()
    }

    #[test]
    fn a_path_in_the_endpoint_is_kept() {
        assert_eq!(url("http://127.0.0.1:9100"), "http://127.0.0.1:9100/shard/v1/info");
        assert_eq!(url("http://node.example/a/?q#f"), "http://node.example/a/shard/v1/info");
        assert_eq!(url("https://node.example"), "https://node.example/shard/v1/info");
    }

    #[test]
    fn what_is_not_http_is_refused() {
        for endpoint in ["", "127.0.0.1:9100", "ftp://host", "file:///etc/passwd", "http://", "data:x"] {
            let error = Api::new(endpoint, http_client()).unwrap_err();
            assert!(matches!(error, ClientError::Endpoint(_)), "{endpoint:?}: {error}");
        }
    }

    #[test]
    fn what_a_node_said_is_passed_on_and_silence_is_a_bad_gateway() {
        let url = Url::parse("http://h/").unwrap();
        let said = problem::not_found("shard", 1, "missing");
        let refused = ClientError::Refused { url: url.clone(), problem: Box::new(said.clone()) };
        assert!(refused.is_not_found());
        assert_eq!(Problem::from(refused), said);
        let foreign = ClientError::Foreign { url, status: 404 };
        assert!(!foreign.is_not_found());
        assert_eq!(Problem::from(foreign).status, 502);
    }
}
