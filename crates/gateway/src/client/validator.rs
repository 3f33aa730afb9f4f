//! Speak to a validator.

use super::{Api, CALL_BYTES_MAX, CALL_TIMEOUT, ClientError, parse, read};
use crate::validator::PAGE_BYTES_MAX;
use axum::body::Bytes;
use protocol::api::{
    CertifiedBlock, Committees, FinalizedPage, KeptCheckpoint, LaneState, LinkPage, SubmitAllRequest,
    SubmitAllResponse, SubmitRequest, SubmitResponse, ValidatorStatus,
};
use reqwest::Client;
use std::time::Duration;

/// Time for a call that moves blocks, on top of the wait.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest block and certificate that are read, in bytes.
const BLOCK_BYTES_MAX: usize = 32 << 20;
/// Bytes of JSON per byte of a block: two digits.
const DIGITS: usize = 2;
/// Most bytes of one page: what a validator sends, or one block beyond that.
const ANSWER_BYTES_MAX: usize = DIGITS * (PAGE_BYTES_MAX + BLOCK_BYTES_MAX) + CALL_BYTES_MAX;

/// A validator.
#[derive(Clone, Debug)]
pub struct ValidatorClient {
    api: Api,
}

impl ValidatorClient {
    /// The validator at `endpoint` (an `http://` URL). Fails when that is no such URL; nothing is sent.
    pub fn new(endpoint: &str, http: Client) -> Result<Self, ClientError> {
        Ok(Self { api: Api::new(endpoint, http)? })
    }

    /// Where the validator is.
    pub fn endpoint(&self) -> &str {
        self.api.endpoint().as_str()
    }

    /// Seat, height, queue.
    pub async fn status(&self) -> Result<ValidatorStatus, ClientError> {
        self.api.get_json(self.api.url("seq/v1/status"), CALL_BYTES_MAX, CALL_TIMEOUT).await
    }

    /// Submits an opaque transaction of 1 byte to 1 MiB; it is on the validator's disk when this returns.
    pub async fn submit(&self, namespace: u64, payload: Bytes) -> Result<SubmitResponse, ClientError> {
        let url = self.api.url("seq/v1/submit");
        let asked = SubmitRequest { namespace, payload: payload.into() };
        let response = self.api.send(&url, self.api.http().post(url.clone()).json(&asked), CALL_TIMEOUT).await?;
        parse(url.clone(), read(&url, response, CALL_BYTES_MAX).await?)
    }

    /// Queues 1 to 1,024 opaque transactions of one namespace; says of each why it was not queued, in order.
    pub async fn submit_all(&self, namespace: u64, payloads: &[Bytes]) -> Result<Vec<Option<String>>, ClientError> {
        let url = self.api.url("seq/v1/submit-all");
        let payloads: Vec<_> = payloads.iter().map(|payload| payload.clone().into()).collect();
        let count = payloads.len();
        let asked = SubmitAllRequest { namespace, payloads };
        let response = self.api.send(&url, self.api.http().post(url.clone()).json(&asked), CALL_TIMEOUT).await?;
        let answer: SubmitAllResponse = parse(url.clone(), read(&url, response, CALL_BYTES_MAX).await?)?;
        match answer.refusals.len() == count {
            true => Ok(answer.refusals),
            false => Err(ClientError::Shape { url, expected: "one answer per transaction" }),
        }
    }

    /// At most `max` (1..=256) final blocks from height `from` on, in order and without gaps. Waits up to `wait_millis`
    /// (0..=25000) for the first one; an empty page means that none came. Certificates are the caller's to check.
    pub async fn finalized(&self, from: u64, max: usize, wait_millis: u64) -> Result<FinalizedPage, ClientError> {
        let mut url = self.api.url("seq/v1/finalized");
        url.set_query(Some(&format!("from={from}&max={max}&wait={wait_millis}")));
        let limit = TRANSFER_TIMEOUT + Duration::from_millis(wait_millis);
        let page: FinalizedPage = self.api.get_json(url.clone(), ANSWER_BYTES_MAX, limit).await?;
        let in_order = page.blocks.iter().zip(from..).all(|(block, height)| block.height == height);
        match in_order && page.blocks.len() <= max {
            true => Ok(page),
            false => Err(ClientError::Shape { url, expected: "blocks in order from the height asked for" }),
        }
    }

    /// The checkpoint of `epoch` with its state. What it says is the caller's to check.
    pub async fn checkpoint(&self, epoch: u64) -> Result<KeptCheckpoint, ClientError> {
        let mut url = self.api.url("seq/v1/checkpoint");
        url.set_query(Some(&format!("epoch={epoch}")));
        let kept: KeptCheckpoint = self.api.get_json(url.clone(), ANSWER_BYTES_MAX, TRANSFER_TIMEOUT).await?;
        match kept.checkpoint.epoch == epoch {
            true => Ok(kept),
            false => Err(ClientError::Shape { url, expected: "the checkpoint of the epoch asked for" }),
        }
    }

    /// Who orders which blocks, as the validator says; the blocks that announce it are the proof.
    pub async fn committees(&self) -> Result<Committees, ClientError> {
        self.api.get_json(self.api.url("seq/v1/committees"), ANSWER_BYTES_MAX, TRANSFER_TIMEOUT).await
    }

    /// Who holds the key of the encrypted lane. The proof is the caller's to check.
    pub async fn lane(&self) -> Result<LaneState, ClientError> {
        self.api.get_json(self.api.url("seq/v1/lane"), CALL_BYTES_MAX, CALL_TIMEOUT).await
    }

    /// Links that the stake voted for, to targets of epoch `from` and later, ascending; a page may be shorter than `max` (1..=256).
    /// Votes and electorates are the caller's to check.
    pub async fn links(&self, from: u64, max: usize) -> Result<LinkPage, ClientError> {
        let mut url = self.api.url("seq/v1/links");
        url.set_query(Some(&format!("from={from}&max={max}")));
        let page: LinkPage = self.api.get_json(url.clone(), ANSWER_BYTES_MAX, TRANSFER_TIMEOUT).await?;
        let epochs = || page.links.iter().map(|link| link.epoch);
        let in_order = epochs().all(|epoch| epoch >= from) && epochs().is_sorted_by(|a, b| a < b);
        match in_order && page.links.len() <= max {
            true => Ok(page),
            false => Err(ClientError::Shape { url, expected: "links in order from the epoch asked for" }),
        }
    }

    /// One final block with its certificate.
    pub async fn certified(&self, height: u64) -> Result<CertifiedBlock, ClientError> {
        let url = self.api.url(&format!("seq/v1/blocks/{height}"));
        let block: CertifiedBlock = self.api.get_json(url.clone(), ANSWER_BYTES_MAX, TRANSFER_TIMEOUT).await?;
        match block.height == height {
            true => Ok(block),
            false => Err(ClientError::Shape { url, expected: "the block of the height asked for" }),
        }
    }
}
