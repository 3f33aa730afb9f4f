//! Requests without the SDK: what any other client would send.

use serde_json::{Value, json};
use std::time::Duration;

/// An answer over HTTP.
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// Time that one request may take.
const REQUEST: Duration = Duration::from_secs(30);

/// `GET`.
pub fn get(url: &str) -> Answer {
    try_get(url).unwrap_or_else(|e| panic!("{url}: {e}"))
}

/// `GET` from somebody who may not be there.
pub fn try_get(url: &str) -> reqwest::Result<Answer> {
    wait(send(client().get(url)))
}

/// `POST` of a body as it is.
pub fn post(url: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
    let request = client().post(url).header("content-type", content_type).body(body.into());
    wait(send(request)).unwrap_or_else(|e| panic!("{url}: {e}"))
}

/// The result of a JSON-RPC call.
pub fn rpc(url: &str, method: &str, params: Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let answer = post(url, "application/json", body).json();
    assert!(answer.get("error").is_none(), "{method}: {answer}");
    answer["result"].clone()
}

/// The newest block's number, as the JSON-RPC says.
pub fn block_number(url: &str) -> u64 {
    let text = rpc(url, "eth_blockNumber", json!([]));
    u64::from_str_radix(text.as_str().expect("a string").trim_start_matches("0x"), 16).expect("a hex number")
}

/// Hash of block 0.
pub fn genesis(url: &str) -> String {
    rpc(url, "eth_getBlockByNumber", json!(["0x0", false]))["hash"].as_str().expect("a hash").to_owned()
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().timeout(REQUEST).tls_certs_only([]).build().expect("a client needs no files")
}

async fn send(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let content_type = content_type.to_owned();
    Ok(Answer { status, content_type, body: response.bytes().await?.to_vec() })
}

fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}
