//! A running server, and how to talk to it.

use crate::memory::Memory;
use gateway::{GatewayConfig, ServeLimits, Server, serve};
use protocol::api::Problem;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Far more than anything here takes; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Site {
    pub server: Server,
    pub memory: Arc<Memory>,
    http: reqwest::Client,
}

impl Site {
    pub async fn start() -> Self {
        Self::with(GatewayConfig::default(), ServeLimits::default()).await
    }

    pub async fn with(config: GatewayConfig, limits: ServeLimits) -> Self {
        let memory = Arc::new(Memory::default());
        let router = gateway::router(memory.clone(), config);
        Self { server: serve(listener().await, router, limits).unwrap(), memory, http: client() }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.local_addr())
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path)).timeout(PATIENCE)
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub async fn get_with(&self, path: &str, name: &str, value: &str) -> Response {
        self.request(Method::GET, path).header(name, value).send().await.unwrap()
    }

    pub async fn head(&self, path: &str) -> Response {
        self.request(Method::HEAD, path).send().await.unwrap()
    }

    pub async fn post(&self, path: &str, json: serde_json::Value) -> Response {
        self.request(Method::POST, path).json(&json).send().await.unwrap()
    }

    pub async fn json<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.unwrap()
    }

    /// Asks for `path` and expects a problem of this status and kind; returns its detail.
    pub async fn refused(&self, path: &str, status: u16, slug: &str) -> String {
        problem(self.get(path).await, status, slug).await
    }
}

/// Connects anew for every request: a pooled connection may be closed by the server just when it is used again.
fn client() -> reqwest::Client {
    reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy().tls_certs_only([]).build().unwrap()
}

/// A socket on a port that is free.
pub async fn listener() -> TcpListener {
    gateway::listen(([127, 0, 0, 1], 0).into()).unwrap()
}

/// Expects a problem document of this status and kind; returns its detail.
pub async fn problem(response: Response, status: u16, slug: &str) -> String {
    let url = response.url().clone();
    assert_eq!(response.status().as_u16(), status, "{url}");
    assert_eq!(response.headers()["content-type"], "application/problem+json", "{url}");
    let problem: Problem = response.json().await.unwrap();
    assert_eq!((problem.status, problem.kind), (status, format!("urn:kumo:{slug}")), "{url}");
    assert!(!problem.title.is_empty() && !problem.detail.is_empty(), "{url}");
    problem.detail
}

/// The next piece of a body as text, or `None` at its clean end.
pub async fn piece(response: &mut Response) -> Option<String> {
    let piece = tokio::time::timeout(PATIENCE, response.chunk()).await.expect("within patience").unwrap();
    piece.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}
