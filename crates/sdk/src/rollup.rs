//! A namespace of the sequencer as its operator sees it: submit, read with proofs, know what is owed, pay, and be paid.
//!
//! A validator is trusted for nothing that can be proven. Blocks are checked here: a quorum of the committee in the
//! network file has signed the header, the header commits to the namespace, and no height is left out. What the
//! namespace owes comes from the block that opened the last epoch, the same way. What a validator says beyond that (the
//! state of a submission, the fee of the next block) is a hint.
//!
//! ```text
//! network file ─▶ keys of the committee ─▶ certificate ─▶ header ─▶ namespaces root ─▶ transactions, or that there are none
//!                                                                               └───▶ root of accounts ─▶ what is owed
//! ```

mod evidence;
mod mail;
mod registry;
#[cfg(test)]
mod tests;

pub use evidence::{Trust, TrustError, VerifiedAccount, VerifiedBlock};
pub use mail::{Inbox, MailError, PostTerms, Source};
pub use registry::{Ordering, Policy, Rollup};

use crate::chain::{ChainClient, ChainError};
use crate::client::Client;
use crate::gateway::{Gateway, GatewayError};
use alloy_primitives::{B256, Bytes};
use proof::lane::KeyRecord;
use protocol::api::{
    LaneState, NamespaceAccount, NamespaceFee, NamespacePage, SubmissionReceipt, SubmissionStatus, SubmitBundleRequest,
    SubmitRequest,
};

/// Blocks asked for at a time.
pub const PAGE_BLOCKS: u64 = 16;
/// Longest wait for the next block in one request, in milliseconds.
pub const WAIT_MILLIS: u64 = 20_000;

/// Largest page of blocks, in bytes of JSON: two digits for each byte of 16 MiB, or of one block beyond that.
const PAGE_BYTES_MAX: usize = 2 * (24 << 20) + (1 << 20);

/// Why something about a namespace did not work.
#[derive(Debug, thiserror::Error)]
pub enum RollupError {
    /// The network file names no validator, or one whose key cannot be read.
    #[error("the network file has no committee that answers can be checked against: {0}")]
    Committee(String),
    /// A validator refused, or none was reached.
    #[error(transparent)]
    Validator(#[from] GatewayError),
    /// The chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A validator told something that is not true.
    #[error("the validator's answer about block {height} proves nothing: {source}")]
    Untrue {
        /// Height.
        height: u64,
        /// Why.
        source: TrustError,
    },
    /// Posting to an L1.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// The L1 does not answer, or refuses.
    #[error(transparent)]
    L1(#[from] bridge_ethereum::L1Error),
    /// A contract or a registration on an L1.
    #[error(transparent)]
    Deploy(#[from] bridge_ethereum::deploy::DeployError),
    /// What an L1 has of a rollup.
    #[error(transparent)]
    Plan(#[from] bridge_ethereum::PlanError),
    /// What is on an L1 is not what was ordered.
    #[error(transparent)]
    Derive(#[from] bridge_ethereum::DeriveError),
    /// No transaction of the namespace is counted in a block that opened an epoch.
    #[error("no block that opened an epoch counts a transaction of namespace {0} yet")]
    NotCommitted(u64),
    /// The chain does not follow on the block that commits to the account.
    #[error("no block of the chain follows on block {height} within {seconds} s at a new second")]
    NoAnchor {
        /// Height of the block that commits.
        height: u64,
        /// How long was waited.
        seconds: u64,
    },
}

/// Result of every operation.
pub type Result<T> = std::result::Result<T, RollupError>;

/// The sequencer behind a network: its validators, and what to believe of them. Clones share connections.
#[derive(Clone, Debug)]
pub struct Rollups {
    chain: ChainClient,
    validators: Vec<Gateway>,
    trust: Trust,
}

impl Rollups {
    /// The sequencer of `client`'s network.
    ///
    /// # Errors
    /// When the network file names no validators, or keys that are none. Nothing is sent.
    pub fn new(client: &Client) -> Result<Self> {
        let network = client.network();
        let trust = Trust::of(network)?;
        let validators = network.validators.iter().map(|validator| Gateway::new(&validator.api)).collect();
        Ok(Self { chain: client.chain.clone(), validators, trust })
    }

    /// What answers are checked against.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Submits one transaction (1 byte to 1 MiB); it is on the disk of a validator when this returns.
    pub async fn submit(&self, namespace: u64, payload: Bytes) -> Result<SubmissionReceipt> {
        let asked = SubmitRequest { namespace, payload };
        self.ask(async |validator| validator.post("/seq/v1/submit", &asked).await).await
    }

    /// Submits transactions (2 to 64) that must stand together in one block, in this order.
    pub async fn submit_bundle(&self, members: Vec<(u64, Bytes)>) -> Result<SubmissionReceipt> {
        let member = |(namespace, payload)| SubmitRequest { namespace, payload };
        let transactions = members.into_iter().map(member).collect();
        let asked = SubmitBundleRequest { transactions, lifetime: None };
        self.ask(async |validator| validator.post("/seq/v1/submit-bundle", &asked).await).await
    }

    /// What a validator says became of a transaction or bundle; the proof is in the block.
    pub async fn status(&self, hash: B256) -> Result<SubmissionStatus> {
        self.ask(async |validator| validator.get(&format!("/seq/v1/submissions/{hash}")).await).await
    }

    /// What a byte costs in the next block, as a validator says.
    pub async fn fee(&self, namespace: u64) -> Result<NamespaceFee> {
        self.ask(async |validator| validator.get(&format!("/seq/v1/namespaces/{namespace}/fee")).await).await
    }

    /// Final blocks from `from` (1 and more) to `to`, or as many as one answer has, with all transactions of the
    /// namespace; each is verified, none is left out. Waits up to `wait_millis` for the first one, and is empty if it
    /// did not come. Whoever tells something untrue, or has nothing, is passed over.
    pub async fn blocks(&self, namespace: u64, from: u64, to: u64, wait_millis: u64) -> Result<Vec<VerifiedBlock>> {
        let max = to.saturating_sub(from).saturating_add(1).min(PAGE_BLOCKS);
        let (mut wait, mut is_new, mut last) = (wait_millis.min(WAIT_MILLIS), false, None);
        for validator in &self.validators {
            match self.page(validator, namespace, from, max, wait).await {
                // It was waited for; another one may have had it all the time.
                Ok(page) if page.is_empty() => (wait, is_new) = (0, true),
                Err(error) if may_another_do_better(&error) => last = Some(error),
                answer => return answer,
            }
        }
        match last {
            Some(error) if !is_new => Err(error),
            None if !is_new => Err(no_validators()),
            _ => Ok(vec![]),
        }
    }

    /// Blocks from `from` on, at most `max`, as one validator proves them.
    async fn page(
        &self,
        validator: &Gateway,
        namespace: u64,
        from: u64,
        max: u64,
        wait: u64,
    ) -> Result<Vec<VerifiedBlock>> {
        let path = format!("/seq/v1/namespaces/{namespace}/blocks?from={from}&max={max}&wait={wait}");
        let page: NamespacePage = validator.get_up_to(&path, PAGE_BYTES_MAX).await?;
        let mut verified = Vec::with_capacity(page.blocks.len().min(max as usize));
        for (block, height) in page.blocks.iter().zip(from..).take(max as usize) {
            let block = self.trust.block(namespace, height, verified.last(), block);
            verified.push(block.map_err(|source| RollupError::Untrue { height, source })?);
        }
        Ok(verified)
    }

    /// What the namespace used and owes: as a validator says up to now, and as far as a block proves it.
    pub async fn account(&self, namespace: u64) -> Result<(NamespaceAccount, Option<VerifiedAccount>)> {
        let path = format!("/seq/v1/namespaces/{namespace}/account");
        let told: NamespaceAccount = self.ask(async |validator| validator.get(&path).await).await?;
        let verified = match &told.committed {
            Some(committed) => {
                let account = self.trust.account(namespace, committed);
                Some(account.map_err(|source| RollupError::Untrue { height: committed.height, source })?)
            }
            None => None,
        };
        Ok((told, verified))
    }

    /// The key of the encrypted lane that the validators made, as a final block names it; what a validator says of a round under
    /// way if there is none.
    pub async fn lane_key(&self) -> Result<std::result::Result<KeyRecord, LaneState>> {
        let told: LaneState = self.ask(async |validator| validator.get("/seq/v1/lane").await).await?;
        let Some(proof) = told.key.as_ref().and_then(|key| key.proof.as_ref()) else { return Ok(Err(told)) };
        let record = self.trust.lane_key(proof);
        Ok(Ok(record.map_err(|source| RollupError::Untrue { height: proof.height, source })?))
    }

    /// Asks one validator after the other until one is reached and not too busy.
    async fn ask<T>(&self, call: impl AsyncFn(&Gateway) -> std::result::Result<T, GatewayError>) -> Result<T> {
        let mut last = None;
        for validator in &self.validators {
            match call(validator).await {
                Err(error) if is_worth_another(&error) => last = Some(error),
                answer => return Ok(answer?),
            }
        }
        Err(last.map_or_else(no_validators, RollupError::Validator))
    }
}

fn no_validators() -> RollupError {
    RollupError::Committee("it has no validators".to_owned())
}

/// Whether another validator may have what this one has not, or prove what this one does not.
fn may_another_do_better(error: &RollupError) -> bool {
    match error {
        RollupError::Untrue { .. } => true,
        RollupError::Validator(error) => is_worth_another(error),
        _ => false,
    }
}

/// Whether another validator may do better.
fn is_worth_another(error: &GatewayError) -> bool {
    match error {
        GatewayError::Unreachable { .. } | GatewayError::Body { .. } | GatewayError::Malformed { .. } => true,
        // 410: another one may keep blocks longer.
        GatewayError::Problem(problem) => problem.status >= 500 || problem.status == 410,
        GatewayError::Source { .. } => false,
    }
}
