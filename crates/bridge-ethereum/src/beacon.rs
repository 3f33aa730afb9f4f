//! Blobs from the beacon API of an L1, which nodes have for 18 days.
//!
//! Source: Ethereum's beacon API, `getBlobs`. A block of the execution layer is named there by its beacon block, whose root the next
//! execution header has (EIP-4788); anvil, which has no beacon chain, takes the number of its own block.

use crate::derive::Blobs;
use crate::http::{self, HttpL1};
use crate::l1::{L1, L1Error};
use alloy_primitives::{B256, Bytes};
use serde_json::{Value, json};
use std::time::Duration;

/// Longest wait for an answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest answer that is read: as many blobs as a block can have some years from now, in hex.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A beacon node, and the execution node that knows how it names blocks.
#[derive(Clone, Debug)]
pub struct Beacon {
    client: reqwest::Client,
    url: String,
    l1: HttpL1,
}

impl Beacon {
    /// The beacon node at an `http://` or `https://` URL; nothing is sent yet.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(url: &str, l1: HttpL1) -> Result<Self, L1Error> {
        let client = http::client(url, REQUEST_TIMEOUT).map_err(|error| failed(&error.to_string()))?;
        Ok(Self { client, url: url.trim_end_matches('/').to_owned(), l1 })
    }

    /// How the beacon API names the block of this height.
    async fn name(&self, block: u64) -> Result<String, L1Error> {
        if self.l1.height().await? <= block {
            return Ok(block.to_string());
        }
        let next = format!("{:#x}", block + 1);
        let header = self.l1.request("eth_getBlockByNumber", json!([next, false])).await?;
        let root: Option<B256> = serde_json::from_value(header["parentBeaconBlockRoot"].clone()).unwrap_or_default();
        Ok(root.filter(|root| !root.is_zero()).map_or_else(|| block.to_string(), |root| root.to_string()))
    }
}

impl Blobs for Beacon {
    async fn blobs(&self, block: u64, names: &[B256]) -> Result<Vec<Bytes>, L1Error> {
        let wanted: Vec<String> = names.iter().map(ToString::to_string).collect();
        let (url, name) = (&self.url, self.name(block).await?);
        let path = format!("{url}/eth/v1/beacon/blobs/{name}?versioned_hashes={}", wanted.join(","));
        let mut response = self.client.get(path).send().await.map_err(|error| failed(&error.to_string()))?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error.to_string()))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_BYTES_MAX {
                return Err(failed(&format!("more than {ANSWER_BYTES_MAX} bytes")));
            }
        }
        let answer: Value = serde_json::from_slice(&bytes).map_err(|error| failed(&format!("{status}: {error}")))?;
        serde_json::from_value(answer["data"].clone()).map_err(|error| failed(&format!("{status}: {error}")))
    }
}

/// No source of blobs: for rollups that never used any.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoBlobs;

impl Blobs for NoBlobs {
    async fn blobs(&self, _: u64, _: &[B256]) -> Result<Vec<Bytes>, L1Error> {
        Err(failed("no beacon node is named"))
    }
}

fn failed(reason: &str) -> L1Error {
    L1Error::Unreachable { what: "beacon/blobs", reason: reason.to_owned() }
}
