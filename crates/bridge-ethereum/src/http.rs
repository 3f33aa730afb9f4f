//! An L1 by JSON-RPC over HTTP. Answers are bounded, requests have a time limit and are not repeated here: the next step does that.
//!
//! Nodes have no codes for why they refuse a transaction, only words; those of geth, reth, Nethermind, Erigon and anvil are known.

use crate::l1::{Call, L1, L1Error, Receipt};
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use serde_json::{Value, json};
use std::time::Duration;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for an answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Largest answer that is read: receipts and headers are far smaller.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// A node of an L1.
#[derive(Clone, Debug)]
pub struct HttpL1 {
    client: reqwest::Client,
    url: String,
}

/// What speaks to the server of `url`, and waits that long for an answer.
pub(crate) fn client(url: &str, timeout: Duration) -> Result<reqwest::Client, reqwest::Error> {
    let mut client = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(timeout)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none());
    if !url.starts_with("https:") {
        // Reading the system's authorities costs milliseconds, and fails where there are none.
        client = client.tls_certs_only([]);
    }
    client.build()
}

impl HttpL1 {
    /// A node at an `http://` or `https://` URL; nothing is sent yet. The latter must show a certificate of an authority that the
    /// system trusts.
    ///
    /// # Errors
    /// When no HTTP client can be made: the URL is `https://`, and the system trusts no authority.
    pub fn new(url: &str) -> Result<Self, L1Error> {
        let client = client(url, REQUEST_TIMEOUT).map_err(|error| unreachable("client", &error))?;
        Ok(Self { client, url: url.into() })
    }

    /// The result of a method.
    ///
    /// # Errors
    /// When the node is not reached, or refuses.
    pub async fn request(&self, method: &'static str, parameters: Value) -> Result<Value, L1Error> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters });
        let mut response =
            self.client.post(&self.url).json(&body).send().await.map_err(|error| unreachable(method, &error))?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(method, &error))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_BYTES_MAX {
                return Err(malformed(method, &format!("more than {ANSWER_BYTES_MAX} bytes")));
            }
        }
        let mut answer: Value =
            serde_json::from_slice(&bytes).map_err(|error| malformed(method, &error.to_string()))?;
        match answer.get("error").filter(|error| !error.is_null()) {
            Some(error) => Err(refusal(method, error)),
            None => match answer.get_mut("result") {
                Some(result) => Ok(result.take()),
                None => Err(malformed(method, "neither result nor error")),
            },
        }
    }

    async fn number(&self, method: &'static str, parameters: Value) -> Result<u64, L1Error> {
        let result = self.request(method, parameters).await?;
        read::<U64>(method, &result).map(|number| number.to())
    }
}

impl L1 for HttpL1 {
    async fn chain_id(&self) -> Result<u64, L1Error> {
        self.number("eth_chainId", json!([])).await
    }

    async fn height(&self) -> Result<u64, L1Error> {
        self.number("eth_blockNumber", json!([])).await
    }

    async fn base_fee(&self) -> Result<u128, L1Error> {
        let method = "eth_getBlockByNumber";
        let block = self.request(method, json!(["latest", false])).await?;
        read::<U256>(method, &block["baseFeePerGas"]).map(|fee| fee.saturating_to())
    }

    async fn blob_base_fee(&self) -> Result<u128, L1Error> {
        let method = "eth_blobBaseFee";
        let fee = self.request(method, json!([])).await?;
        read::<U256>(method, &fee).map(|fee| fee.saturating_to())
    }

    async fn nonce(&self, account: Address, height: Option<u64>) -> Result<u64, L1Error> {
        let block = height.map_or("latest".into(), |height| format!("{height:#x}"));
        self.number("eth_getTransactionCount", json!([account, block])).await
    }

    async fn call(&self, call: &Call) -> Result<Bytes, L1Error> {
        let result = self.request("eth_call", json!([fields(call), "latest"])).await?;
        read("eth_call", &result)
    }

    async fn estimate(&self, call: &Call) -> Result<u64, L1Error> {
        self.number("eth_estimateGas", json!([fields(call)])).await
    }

    async fn send(&self, raw: &Bytes) -> Result<(), L1Error> {
        self.request("eth_sendRawTransaction", json!([raw])).await.map(|_| ())
    }

    async fn receipt(&self, hash: B256) -> Result<Option<Receipt>, L1Error> {
        let method = "eth_getTransactionReceipt";
        let receipt = self.request(method, json!([hash])).await?;
        if receipt.is_null() || receipt["blockNumber"].is_null() {
            return Ok(None);
        }
        let field = |name: &str| read::<U256>(method, &receipt[name]);
        Ok(Some(Receipt {
            block: field("blockNumber")?.saturating_to(),
            is_success: field("status")? == U256::from(1),
            gas: field("gasUsed")?.saturating_to(),
            price: field("effectiveGasPrice")?.saturating_to(),
        }))
    }
}

fn fields(call: &Call) -> Value {
    let mut fields = json!({ "from": call.from, "to": call.to, "data": call.data });
    if !call.blobs.is_empty() {
        fields["blobVersionedHashes"] = json!(call.blobs);
    }
    fields
}

fn read<T: serde::de::DeserializeOwned>(method: &'static str, value: &Value) -> Result<T, L1Error> {
    serde_json::from_value(value.clone()).map_err(|error| malformed(method, &error.to_string()))
}

fn unreachable(what: &'static str, error: &reqwest::Error) -> L1Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    L1Error::Unreachable { what, reason: cause.to_string() }
}

fn malformed(what: &'static str, reason: &str) -> L1Error {
    L1Error::Unreachable { what, reason: format!("the answer cannot be read: {reason}") }
}

/// What a node's error means.
fn refusal(method: &'static str, error: &Value) -> L1Error {
    let message = error["message"].as_str().unwrap_or("no message").to_owned();
    let words = message.to_lowercase();
    let says = |patterns: &[&str]| patterns.iter().any(|pattern| words.contains(pattern));
    if method == "eth_sendRawTransaction" {
        return match () {
            () if says(&["already known", "already imported", "alreadyknown", "known transaction"]) => L1Error::Known,
            () if says(&["underpriced", "replacement", "fee too low to replace"]) => L1Error::Underpriced,
            () if says(&["nonce too low", "nonce is too low", "oldnonce", "already used"]) => L1Error::NonceUsed,
            () => L1Error::Refused(message),
        };
    }
    let data = error["data"].as_str().or_else(|| error["data"]["data"].as_str()).and_then(|text| text.parse().ok());
    match data {
        Some(data) => L1Error::Reverted(data),
        None if says(&["revert"]) => L1Error::Reverted(Bytes::new()),
        None => L1Error::Unreachable { what: method, reason: message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_nodes_are_understood() {
        let sent = |message: &str| refusal("eth_sendRawTransaction", &json!({ "code": -32000, "message": message }));
        assert_eq!(sent("already known"), L1Error::Known);
        assert_eq!(sent("transaction already imported"), L1Error::Known);
        assert_eq!(sent("replacement transaction underpriced"), L1Error::Underpriced);
        assert_eq!(sent("nonce too low: next nonce 3, tx nonce 2"), L1Error::NonceUsed);
        assert_eq!(sent("insufficient funds"), L1Error::Refused("insufficient funds".into()));
    }

    #[test]
    fn reverts_are_told_from_nodes_that_cannot_answer() {
        let called = |error: Value| refusal("eth_call", &error);
        let reverted = L1Error::Reverted(Bytes::from_static(&[1, 2, 3, 4]));
        assert_eq!(called(json!({ "message": "execution reverted", "data": "0x01020304" })), reverted);
        assert_eq!(called(json!({ "message": "x", "data": { "data": "0x01020304" } })), reverted);
        assert_eq!(called(json!({ "message": "execution reverted" })), L1Error::Reverted(Bytes::new()));
        assert!(matches!(called(json!({ "message": "header not found" })), L1Error::Unreachable { .. }));
    }
}
