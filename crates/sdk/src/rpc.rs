//! Ethereum JSON-RPC over HTTP: one request, one checked answer.
//!
//! Requests that did not reach the node are sent again a few times (five times at most); an answer, also a
//! refusal, is final. Everything read is bounded.

use crate::http::{self, Backoff, BodyError};
use alloy_primitives::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// The node could not be reached, also after several tries.
    #[error("cannot reach the RPC at {url}: {}", http::root_cause(source))]
    Unreachable {
        /// URL of the node.
        url: String,
        /// What the connection said last.
        source: reqwest::Error,
    },
    /// The body could not be read.
    #[error("cannot read the answer of {url} to {method}")]
    Body {
        /// URL of the node.
        url: String,
        /// JSON-RPC method.
        method: &'static str,
        /// What was wrong with the body.
        source: BodyError,
    },
    /// Not the answer of a JSON-RPC server.
    #[error("the RPC at {url} answered {method} with HTTP {status} and no valid result: {reason}")]
    Malformed {
        /// URL of the node.
        url: String,
        /// JSON-RPC method.
        method: &'static str,
        /// HTTP status.
        status: u16,
        /// What could not be read.
        reason: String,
    },
    /// The node understood, and refused.
    #[error("{method}: {message} (code {code})")]
    Refused {
        /// JSON-RPC method.
        method: &'static str,
        /// JSON-RPC error code.
        code: i64,
        /// The node's words.
        message: String,
        /// Revert data, if any.
        data: Option<Bytes>,
    },
}

/// A JSON-RPC endpoint.
#[derive(Debug)]
pub struct Rpc {
    http: reqwest::Client,
    url: String,
    next_id: AtomicU64,
}

#[derive(Serialize)]
struct Request<'a, P> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: P,
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    result: serde_json::Value,
    #[serde(default)]
    error: Option<ErrorObject>,
}

#[derive(Deserialize)]
struct ErrorObject {
    code: i64,
    message: String,
    #[serde(default)]
    data: serde_json::Value,
}

impl Rpc {
    /// An endpoint at `url`; nothing is sent yet.
    pub fn new(url: &str) -> Self {
        Self { http: http::client(url), url: http::trim_base(url), next_id: AtomicU64::new(1) }
    }

    /// URL of the endpoint.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls `method`; `params` is a tuple or an array. A `null` result needs `R = Option<_>`.
    pub async fn request<P: Serialize, R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, RpcError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let body = serde_json::to_vec(&Request { jsonrpc: "2.0", id, method, params })
            .expect("parameters are plain data, which always has a JSON form");
        let response = self.post(method, body.into()).await?;
        let status = response.status().as_u16();
        let body = http::read_body(response, http::JSON_BYTES_MAX).await.map_err(|source| RpcError::Body {
            url: self.url.clone(),
            method,
            source,
        })?;
        self.read(method, status, &body)
    }

    async fn post(&self, method: &'static str, body: bytes::Bytes) -> Result<reqwest::Response, RpcError> {
        let mut backoff = Backoff::default();
        loop {
            let request = self.http.post(&self.url).header("content-type", "application/json");
            let outcome = request.timeout(http::REQUEST_TIMEOUT).body(body.clone()).send().await;
            let again = match &outcome {
                Ok(response) => http::is_busy(response.status()),
                Err(error) => http::is_transient(error),
            };
            if again && backoff.wait().await {
                tracing::debug!(method, url = %self.url, "rpc not reached, trying again");
                continue;
            }
            return outcome.map_err(|source| RpcError::Unreachable { url: self.url.clone(), source });
        }
    }

    fn read<R: DeserializeOwned>(&self, method: &'static str, status: u16, body: &[u8]) -> Result<R, RpcError> {
        let malformed = |reason: String| RpcError::Malformed { url: self.url.clone(), method, status, reason };
        let response: Response = serde_json::from_slice(body).map_err(|e| malformed(e.to_string()))?;
        if let Some(error) = response.error {
            let data = revert_data(&error.data);
            return Err(RpcError::Refused { method, code: error.code, message: error.message, data });
        }
        serde_json::from_value(response.result).map_err(|e| malformed(e.to_string()))
    }
}

/// Revert data as nodes report it: a hex string, or an object that holds one.
fn revert_data(data: &serde_json::Value) -> Option<Bytes> {
    let text = data.as_str().or_else(|| data.get("data").and_then(|inner| inner.as_str()))?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::U64;

    fn read<R: DeserializeOwned>(body: &str) -> Result<R, RpcError> {
        Rpc::new("http://node").read("eth_test", 200, body.as_bytes())
    }

    #[test]
    fn results_are_read() {
        assert_eq!(read::<U64>(r#"{"jsonrpc":"2.0","id":1,"result":"0x10"}"#).unwrap(), U64::from(16));
        assert_eq!(read::<Option<U64>>(r#"{"jsonrpc":"2.0","id":1,"result":null}"#).unwrap(), None);
    }

    #[test]
    fn refusals_carry_the_revert_data_however_it_is_wrapped() {
        for data in [r#""0x01ff""#, r#"{"data":"0x01ff"}"#] {
            let body = format!(r#"{{"id":1,"error":{{"code":3,"message":"execution reverted","data":{data}}}}}"#);
            match read::<U64>(&body) {
                Err(RpcError::Refused { code: 3, data: Some(data), .. }) => assert_eq!(data.as_ref(), [1, 255]),
                other => panic!("{other:?}"),
            }
        }
        let body = r#"{"id":1,"error":{"code":-32601,"message":"no such method"}}"#;
        assert!(matches!(read::<U64>(body), Err(RpcError::Refused { code: -32601, data: None, .. })));
    }

    #[test]
    fn nonsense_is_an_error_that_names_the_node() {
        for body in ["", "<html>", "{}", r#"{"result":"0xzz"}"#, r#"{"result":{}}"#] {
            let error = read::<U64>(body).unwrap_err();
            assert!(matches!(error, RpcError::Malformed { .. }), "{body}: {error:?}");
            assert!(error.to_string().contains("http://node"));
        }
    }
}
