//! The next step of a bridge: at most one transaction in flight, until it is so deep that it stays.
//!
//! ```text
//!            nothing to post ┌──────┐   mined and deep: counted
//!          ┌────────────────▶│ idle │◀───────────────────────────┐
//!          │                 └──┬───┘                            │
//!          │     plan, simulate, sign, journal, send             │
//!          │                    ▼                                │
//!          │              ┌───────────┐ mined, not deep: wait ───┤
//!          └──────────────│ in flight │ nonce used by another, deep: given up
//!                         └───────────┘
//!            not mined: send again · late: offer more · outdated: replace by what is needed now
//! ```
//!
//! Each step looks at the L1 anew and decides from that and the journal alone, so it does not matter when the process died.

use crate::blobs;
use crate::fees::{FeeLimits, Fees, cost};
use crate::journal::{InFlight, Journal, JournalError, Totals, VERSIONS_MAX};
use crate::l1::{Call, L1, L1Error, Receipt, Signed};
use crate::pace::Pace;
use crate::plan::PlanError;
use crate::work::{Job, Work};
use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEip4844, TxEip4844WithSidecar, TxEnvelope};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;

/// What the operator decides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Chain id that the L1 must have.
    pub chain_id: u64,
    /// The light client, or the inbox of a rollup.
    pub contract: Address,
    /// Blocks that must be on top of a transaction before it counts; 0 for none.
    pub confirmations: u64,
    /// Epochs that must have become final since the last post; 1 posts each, 32 takes one call for as many.
    pub epochs_min: u64,
    /// Prices.
    pub fees: FeeLimits,
    /// Milliseconds after which a transaction that is not mined is replaced by a dearer one.
    pub replace_millis: u64,
    /// Most gas of one transaction.
    pub gas_max: u64,
}

/// What a step did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The contract knows everything.
    Idle,
    /// A transaction was sent, for the first time or again.
    Sent {
        /// Its hash.
        hash: B256,
        /// Epoch that it finalises; height up to which a batch goes.
        epoch: u64,
        /// Versions so far.
        version: usize,
    },
    /// A transaction is mined and not deep enough yet.
    Waiting {
        /// Its hash.
        hash: B256,
        /// Blocks on top of it.
        depth: u64,
    },
    /// The L1 is dearer than allowed.
    TooDear {
        /// Base fee, in wei per gas.
        base: u128,
        /// Limit, in wei per gas.
        max: u128,
    },
    /// A transaction is deep enough.
    Settled {
        /// Its hash.
        hash: B256,
        /// False if it reverted, since another bridge was quicker.
        is_success: bool,
        /// Gas it used.
        gas: u64,
    },
    /// The nonce was used by a transaction that is not ours, which is deep enough.
    Abandoned {
        /// The nonce.
        nonce: u64,
    },
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum PosterError {
    /// Nothing could be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The journal could not be written; nothing was sent.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The L1 is another chain.
    #[error("the L1 has chain id {found}, {expected} is configured")]
    OtherChain {
        /// What it says.
        found: u64,
        /// What is configured.
        expected: u64,
    },
    /// The call would revert.
    #[error("the contract refuses the next call: {0}")]
    Refused(Bytes),
    /// The call needs too much gas.
    #[error("the next call needs {needed} gas, at most {max} is allowed")]
    Gas {
        /// What it needs.
        needed: u64,
        /// What is allowed.
        max: u64,
    },
}

impl From<L1Error> for PosterError {
    fn from(error: L1Error) -> Self {
        Self::Plan(error.into())
    }
}

impl PosterError {
    /// Whether trying again can help without a person.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Plan(error) => error.is_transient(),
            // The chain may move on under a simulation.
            Self::Refused(_) => true,
            Self::Journal(_) | Self::OtherChain { .. } | Self::Gas { .. } => false,
        }
    }
}

/// Posts to one contract from one account.
#[derive(Debug)]
pub struct Poster<T, W> {
    l1: T,
    work: W,
    signer: PrivateKeySigner,
    settings: Settings,
    journal: Journal,
    is_checked: bool,
}

impl<T: L1, W: Work> Poster<T, W> {
    /// A bridge; the journal says what it did before.
    pub fn new(l1: T, work: W, signer: PrivateKeySigner, settings: Settings, journal: Journal) -> Self {
        Self { l1, work, signer, settings, journal, is_checked: false }
    }

    /// Steps for ever, at the given pace; `millis` is the Unix time and `random` is uniform. Dropping it at any point loses nothing.
    ///
    /// Returns only the error that no waiting can help.
    pub async fn run(
        mut self,
        mut pace: Pace,
        millis: impl Fn() -> u64 + Send,
        mut random: impl FnMut() -> u64 + Send,
    ) -> PosterError {
        loop {
            let wait = match self.step(millis()).await {
                Ok(step) => {
                    report(&step);
                    pace.after(Some(&step), random())
                }
                Err(error) if error.is_transient() => {
                    let wait = pace.after(None, random());
                    tracing::warn!(%error, wait_millis = wait.as_millis() as u64, "bridge step failed, trying again");
                    wait
                }
                Err(error) => return error,
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// What was spent and reached.
    pub fn totals(&self) -> &Totals {
        self.journal.totals()
    }

    /// Does what is due at `millis` (Unix time).
    ///
    /// # Errors
    /// When L1 or node do not answer, or something is wrong for good; nothing is lost, and calling again goes on.
    pub async fn step(&mut self, millis: u64) -> Result<Step, PosterError> {
        if !self.is_checked {
            let found = self.l1.chain_id().await?;
            if found != self.settings.chain_id {
                return Err(PosterError::OtherChain { found, expected: self.settings.chain_id });
            }
            self.is_checked = true;
        }
        match self.journal.in_flight().cloned() {
            Some(in_flight) => self.follow(in_flight, millis).await,
            None => self.begin(millis).await,
        }
    }

    /// Posts what is next, if there is something.
    async fn begin(&mut self, millis: u64) -> Result<Step, PosterError> {
        let Some((job, gas)) = self.prepare().await? else { return Ok(Step::Idle) };
        let (base, max) = (self.l1.base_fee().await?, self.settings.fees.max);
        let Some(fees) = self.settings.fees.first(base) else { return Ok(Step::TooDear { base, max }) };
        let blob_base = self.blob_base_fee(&job.blobs).await?;
        let Some(blob_fee) = blob_base.map_or(Some(0), |base| self.settings.fees.first_blobs(base)) else {
            return Ok(Step::TooDear { base: blob_base.unwrap_or_default(), max });
        };
        let nonce = self.l1.nonce(self.signer.address(), None).await?;
        let Job { data, mark, blobs } = job;
        let in_flight = InFlight { nonce, data, gas, epoch: mark, blobs, versions: vec![] };
        self.send(in_flight, (fees, blob_fee), millis).await
    }

    /// Price of blobs, if there are some.
    async fn blob_base_fee(&self, blobs: &[Bytes]) -> Result<Option<u128>, PosterError> {
        match blobs.is_empty() {
            true => Ok(None),
            false => Ok(Some(self.l1.blob_base_fee().await?)),
        }
    }

    /// The next call and its gas limit, if the contract would take it now.
    async fn prepare(&self) -> Result<Option<(Job, u64)>, PosterError> {
        let Some(job) = self.work.next(&self.l1, &self.settings).await? else { return Ok(None) };
        let call = self.call(&job.data, &job.blobs)?;
        match self.l1.call(&call).await {
            Ok(_) => {}
            Err(L1Error::Reverted(data)) if self.work.is_known(&data) => return Ok(None),
            Err(L1Error::Reverted(data)) => return Err(self.refused(data)),
            Err(error) => return Err(error.into()),
        }
        let needed = match self.l1.estimate(&call).await {
            // Storage that another post warmed or filled moves the price a little.
            Ok(gas) => gas.saturating_add(gas / 5),
            Err(L1Error::Reverted(data)) => return Err(self.refused(data)),
            Err(error) => return Err(error.into()),
        };
        if needed > self.settings.gas_max {
            return Err(PosterError::Gas { needed, max: self.settings.gas_max });
        }
        Ok(Some((job, needed)))
    }

    fn refused(&self, revert: Bytes) -> PosterError {
        self.work.refusal(&revert).map_or(PosterError::Refused(revert), PosterError::Plan)
    }

    /// Looks after what is in flight.
    async fn follow(&mut self, in_flight: InFlight, millis: u64) -> Result<Step, PosterError> {
        // Before receipts are looked for, so that one that is mined meanwhile is at most seen too late.
        let height = self.l1.height().await?;
        let deep = height.checked_sub(self.settings.confirmations);
        let used = match deep {
            Some(deep) => self.l1.nonce(self.signer.address(), Some(deep)).await?,
            None => 0,
        };
        if let Some((signed, receipt)) = self.receipt(&in_flight).await? {
            return self.mined(&in_flight, signed, receipt, height);
        }
        if used > in_flight.nonce {
            // The nonce is gone for good, and not by one of ours.
            self.journal.finish(self.journal.totals().clone())?;
            return Ok(Step::Abandoned { nonce: in_flight.nonce });
        }
        if self.l1.nonce(self.signer.address(), None).await? > in_flight.nonce {
            let hash = in_flight.versions.last().map(|signed| signed.hash).unwrap_or_default();
            return Ok(Step::Waiting { hash, depth: 0 });
        }
        self.renew(in_flight, millis).await
    }

    async fn receipt(&self, in_flight: &InFlight) -> Result<Option<(Signed, Receipt)>, PosterError> {
        for signed in in_flight.versions.iter().rev() {
            if let Some(receipt) = self.l1.receipt(signed.hash).await? {
                return Ok(Some((signed.clone(), receipt)));
            }
        }
        Ok(None)
    }

    fn mined(
        &mut self,
        in_flight: &InFlight,
        signed: Signed,
        receipt: Receipt,
        height: u64,
    ) -> Result<Step, PosterError> {
        let depth = height.saturating_sub(receipt.block);
        if depth < self.settings.confirmations {
            return Ok(Step::Waiting { hash: signed.hash, depth });
        }
        let mut totals = self.journal.totals().clone();
        totals.gas += receipt.gas;
        totals.spent += cost(receipt.gas, receipt.price);
        match receipt.is_success {
            true => (totals.posted, totals.epoch) = (totals.posted + 1, in_flight.epoch.max(totals.epoch)),
            false => totals.reverted += 1,
        }
        self.journal.finish(totals)?;
        Ok(Step::Settled { hash: signed.hash, is_success: receipt.is_success, gas: receipt.gas })
    }

    /// Not mined yet: what it says may be outdated, what it offers too little, and the L1 may have lost it.
    async fn renew(&mut self, in_flight: InFlight, millis: u64) -> Result<Step, PosterError> {
        let last = in_flight.versions.last().cloned();
        let Some(last) = last else { return self.begin(millis).await };
        let base = self.l1.base_fee().await?;
        let is_late = millis.saturating_sub(last.millis) >= self.settings.replace_millis;
        let is_full = in_flight.versions.len() >= VERSIONS_MAX;
        let is_outdated = self.is_outdated(&in_flight).await?;
        if !is_late && !is_outdated || is_full {
            return self.resend(&in_flight, &last).await;
        }
        let Some(fees) = self.replacement(&in_flight, &last, base).await? else {
            self.resend(&in_flight, &last).await?;
            return Ok(Step::TooDear { base, max: self.settings.fees.max });
        };
        match self.prepare().await? {
            // Nodes do not let a transaction without blobs take the place of one with, nor the other way round.
            Some((job, _)) if job.blobs.is_empty() != in_flight.blobs.is_empty() => {
                self.resend(&in_flight, &last).await
            }
            Some((job, gas)) => {
                let Job { data, mark, blobs } = job;
                let in_flight = InFlight { data, gas, epoch: mark, blobs, ..in_flight };
                self.send(in_flight, fees, millis).await
            }
            // Somebody else has posted it. What waits may still be mined; it stays in flight until its nonce is used.
            None => Ok(Step::Waiting { hash: last.hash, depth: 0 }),
        }
    }

    /// What replaces the last version; `None` if that is above the cap.
    async fn replacement(
        &self,
        in_flight: &InFlight,
        last: &Signed,
        base: u128,
    ) -> Result<Option<(Fees, u128)>, PosterError> {
        let limits = self.settings.fees;
        Ok(match self.blob_base_fee(&in_flight.blobs).await? {
            None => limits.replacement(last.fees, base).map(|fees| (fees, 0)),
            Some(blob_base) => limits.replacement_blobs(last.fees, last.blob_fee, base, blob_base),
        })
    }

    /// Whether the contract would not take the call any more.
    async fn is_outdated(&self, in_flight: &InFlight) -> Result<bool, PosterError> {
        match self.l1.call(&self.call(&in_flight.data, &in_flight.blobs)?).await {
            Ok(_) => Ok(false),
            Err(L1Error::Reverted(_)) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Signs, journals, sends: in this order.
    async fn send(
        &mut self,
        mut in_flight: InFlight,
        (fees, blob_fee): (Fees, u128),
        millis: u64,
    ) -> Result<Step, PosterError> {
        let (hash, raw) = match in_flight.blobs.is_empty() {
            true => self.sign(&in_flight, fees)?,
            false => self.sign_blobs(&in_flight, fees, blob_fee)?,
        };
        let signed = Signed { hash, raw, fees, blob_fee, millis };
        in_flight.versions.push(signed.clone());
        self.journal.begin(in_flight.clone())?;
        self.transmit(&signed.raw).await?;
        Ok(Step::Sent { hash, epoch: in_flight.epoch, version: in_flight.versions.len() })
    }

    async fn resend(&self, in_flight: &InFlight, last: &Signed) -> Result<Step, PosterError> {
        self.transmit(&last.raw).await?;
        Ok(Step::Sent { hash: last.hash, epoch: in_flight.epoch, version: in_flight.versions.len() })
    }

    async fn transmit(&self, raw: &Bytes) -> Result<(), PosterError> {
        match self.l1.send(raw).await {
            // An older transaction waits: the next version offers more. Or one was mined: the next step finds it.
            Ok(()) | Err(L1Error::Known | L1Error::Underpriced | L1Error::NonceUsed) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn sign(&self, in_flight: &InFlight, fees: Fees) -> Result<(B256, Bytes), PosterError> {
        let transaction = TxEip1559 {
            chain_id: self.settings.chain_id,
            nonce: in_flight.nonce,
            gas_limit: in_flight.gas,
            max_fee_per_gas: fees.max,
            max_priority_fee_per_gas: fees.tip,
            to: TxKind::Call(self.settings.contract),
            value: U256::ZERO,
            access_list: Default::default(),
            input: in_flight.data.clone(),
        };
        let signature = self.signature(transaction.signature_hash())?;
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        Ok((*envelope.tx_hash(), envelope.encoded_2718().into()))
    }

    fn sign_blobs(&self, in_flight: &InFlight, fees: Fees, blob_fee: u128) -> Result<(B256, Bytes), PosterError> {
        let (sidecar, blob_versioned_hashes) = blobs::sidecar(&in_flight.blobs)?;
        let transaction = TxEip4844 {
            chain_id: self.settings.chain_id,
            nonce: in_flight.nonce,
            gas_limit: in_flight.gas,
            max_fee_per_gas: fees.max,
            max_priority_fee_per_gas: fees.tip,
            to: self.settings.contract,
            value: U256::ZERO,
            access_list: Default::default(),
            blob_versioned_hashes,
            max_fee_per_blob_gas: blob_fee,
            input: in_flight.data.clone(),
        };
        let signature = self.signature(transaction.signature_hash())?;
        // The hash is that of the transaction alone.
        let signed = TxEip4844WithSidecar::from_tx_and_sidecar(transaction, sidecar).into_signed(signature);
        Ok((*signed.hash(), signed.encoded_2718().into()))
    }

    fn signature(&self, hash: B256) -> Result<Signature, PosterError> {
        let signature = self.signer.sign_hash_sync(&hash);
        Ok(signature.map_err(|error| L1Error::Refused(format!("cannot sign: {error}")))?)
    }

    fn call(&self, data: &Bytes, blobs: &[Bytes]) -> Result<Call, PosterError> {
        let names = blobs.iter().map(|blob| blobs::name(blob)).collect::<Result<_, _>>()?;
        Ok(Call { blobs: names, ..Call::new(self.signer.address(), self.settings.contract, data.clone()) })
    }
}

fn report(step: &Step) {
    match step {
        Step::Idle | Step::Waiting { .. } => tracing::debug!(?step, "bridge"),
        Step::TooDear { base, max } => tracing::warn!(base, max, "the L1 is dearer than allowed, waiting"),
        Step::Settled { is_success: false, hash, gas } => tracing::warn!(%hash, gas, "another bridge was quicker"),
        Step::Abandoned { nonce } => tracing::warn!(nonce, "the nonce was used by a transaction that is not ours"),
        Step::Sent { .. } | Step::Settled { .. } => tracing::info!(?step, "bridge"),
    }
}
