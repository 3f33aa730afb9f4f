//! JSON-RPC over HTTP, as both sides speak it.

use eyre::{Result, WrapErr, bail, ensure};
use serde_json::{Value, json};

/// One endpoint.
#[derive(Clone, Debug)]
pub struct Rpc {
    http: reqwest::Client,
    url: String,
}

impl Rpc {
    pub fn new(url: &str) -> Self {
        Self { http: reqwest::Client::builder().tls_certs_only([]).build().unwrap(), url: url.to_owned() }
    }

    /// The answer to a call: its result, or its error.
    pub async fn ask(&self, method: &str, params: Value) -> Result<std::result::Result<Value, Value>> {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer: Value = self.post(&call).await?;
        Ok(match answer.get("error") {
            Some(error) => Err(error.clone()),
            None => Ok(answer["result"].clone()),
        })
    }

    /// The result of a call that must succeed.
    pub async fn get(&self, method: &str, params: Value) -> Result<Value> {
        match self.ask(method, params).await? {
            Ok(result) => Ok(result),
            Err(error) => bail!("{method} failed at {}: {error}", self.url),
        }
    }

    /// Results of many calls that must succeed, in their order.
    pub async fn get_all(&self, calls: &[(&str, Value)]) -> Result<Vec<Value>> {
        let batch = calls
            .iter()
            .enumerate()
            .map(|(id, (method, params))| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        let answers = self.post(&Value::Array(batch.collect())).await?;
        let answers = answers.as_array().cloned().unwrap_or_default();
        ensure!(answers.len() == calls.len(), "{} answers to {} calls", answers.len(), calls.len());
        answers
            .into_iter()
            .map(|answer| match answer.get("result") {
                Some(result) => Ok(result.clone()),
                None => bail!("a call of a batch failed at {}: {answer}", self.url),
            })
            .collect()
    }

    async fn post(&self, body: &Value) -> Result<Value> {
        let request = self.http.post(&self.url).json(body);
        let response = request.send().await.wrap_err_with(|| format!("{} does not answer", self.url))?;
        Ok(response.json().await?)
    }
}
