//! Judge another provider's receipt by running the task again.

use super::{Provider, data};
use alloy_primitives::{Address, B256, U256};
use compute::executor::Control;
use compute::matching::slots;
use eyre::Result;
use protocol::abi::{self, IJobMarket, ISlashingCourt, SLASHING_COURT};

/// The receipt to judge.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Job.
    pub id: u64,
    /// Task index.
    pub index: u32,
    /// Attempt of the receipt.
    pub attempt: u8,
    /// Who signed it.
    pub provider: Address,
    /// What it commits to.
    pub commitment: B256,
    /// Whether this is the second auditor, whose root decides.
    pub second: bool,
}

/// Re-executes and reports: the first auditor confirms, or disputes without showing its own root; the second shows its root.
///
/// # Errors
/// When the task cannot be run or the report is refused; tried again while the deadline lasts.
pub async fn judge(auditor: &Provider, case: Case, job: &IJobMarket::Job) -> Result<()> {
    let spec = data::specification(auditor, job).await?;
    let bundle = data::bundle(auditor, case.id, &spec).await?;
    let _slots = auditor.audit_slots.acquire_many(slots(&spec, &auditor.offer)).await?;
    let scratch = data::Scratch::make(auditor, &format!("audit-{}-{}-{}", case.id, case.index, case.attempt))?;
    let work = data::work(auditor, &spec, job.terms.spec, case.index, &bundle, &scratch).await?;
    let (control, logs) = Control::new(auditor.cancel.child_token());
    drop(logs);
    let outcome = auditor.executor.run(work, control).await?;
    report(auditor, case, outcome.summary.root(&bundle.secret)).await
}

async fn report(auditor: &Provider, case: Case, root: B256) -> Result<()> {
    let (job_id, task) = (U256::from(case.id), case.index);
    let agrees = abi::commitment(root, case.provider, case.id, case.index) == case.commitment;
    let none = U256::ZERO;
    if case.second {
        let call = ISlashingCourt::resolveCall { jobId: job_id, task, root };
        auditor.chain.send(&auditor.wallet, SLASHING_COURT, call, none).await?;
    } else if agrees {
        let call = ISlashingCourt::confirmCall { jobId: job_id, task, root };
        auditor.chain.send(&auditor.wallet, SLASHING_COURT, call, none).await?;
    } else {
        let commitment = abi::commitment(root, auditor.me(), case.id, case.index);
        let call = ISlashingCourt::disputeCall { jobId: job_id, task, commitment };
        auditor.chain.send(&auditor.wallet, SLASHING_COURT, call, none).await?;
    }
    tracing::info!(auditor = %auditor.me(), job = case.id, task, agrees, second = case.second, "audited");
    Ok(())
}
