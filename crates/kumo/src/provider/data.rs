//! What a task or an audit needs: the specification, the module, the key bundle, the inputs in the clear.

use super::Provider;
use alloy_primitives::{Address, B256};
use bytes::Bytes;
use compute::Job;
use compute::executor::Work;
use eyre::{Context as _, Result, eyre};
use protocol::abi::IJobMarket;
use protocol::content::{RAW, cid_of_digest};
use protocol::keys::KeyBundle;
use sdk::files::{FileKey, Unlock};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Pause between two looks for a key bundle.
const BUNDLE_POLL: Duration = Duration::from_millis(200);

/// The checked specification of a job, as the chain's digest names it.
///
/// # Errors
/// When the block cannot be fetched or is no specification.
pub async fn specification(provider: &Provider, job: &IJobMarket::Job) -> Result<Job> {
    let cid = cid_of_digest(RAW, job.terms.spec);
    let block = provider.files.block(&cid).await.wrap_err_with(|| format!("specification {cid}"))?;
    Ok(Job::from_block(&block)?)
}

/// The job's key bundle, once somebody who holds it has handed it to this account. A bundle that is not the one named in
/// the specification is passed over: its sender may want an honest provider to look wrong.
///
/// # Errors
/// When the chain does not answer. Waits for as long as the future lives.
pub async fn bundle(provider: &Provider, id: u64, spec: &Job) -> Result<KeyBundle> {
    let digest = spec.keys.ok_or_else(|| eyre!("the specification of job {id} names no key bundle"))?;
    loop {
        let found = sdk::jobs::open_bundle_named(&provider.chain, &provider.wallet, id, Some(digest)).await?;
        if let Some(bundle) = found {
            return Ok(bundle);
        }
        tokio::time::sleep(BUNDLE_POLL).await;
    }
}

/// Hands the bundle to an auditor, or to the next provider of a task, for a consumer that is not online. Does nothing when
/// they have it, or when this provider has none itself.
///
/// # Errors
/// When the chain does not answer or refuses.
pub async fn hand_on(provider: &Provider, id: u64, to: Address) -> Result<()> {
    if sdk::jobs::was_delivered(&provider.chain, id, to).await? {
        return Ok(());
    }
    let spec = specification(provider, &provider.job(id).await?).await?;
    let found = sdk::jobs::open_bundle_named(&provider.chain, &provider.wallet, id, spec.keys).await?;
    let Some(bundle) = found.filter(|_| spec.keys.is_some()) else { return Ok(()) };
    sdk::jobs::deliver(&provider.chain, &provider.wallet, id, &bundle, &[to]).await?;
    tracing::info!(provider = %provider.me(), job = id, %to, "handed the key on");
    Ok(())
}

/// A folder for one run, removed with everything in it when it goes out of scope: inputs and outputs are in the clear.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes the folder, empty.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn make(provider: &Provider, name: &str) -> Result<Self> {
        let path = provider.work.join(name);
        if path.exists() {
            std::fs::remove_dir_all(&path).wrap_err_with(|| format!("cannot empty {}", path.display()))?;
        }
        std::fs::create_dir_all(&path).wrap_err_with(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder that stays behind is emptied before its next use and at the next start.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Fetches module and inputs of one task and puts them together for the executor.
///
/// # Errors
/// When content is missing, damaged, or its key is not in the bundle.
pub async fn work(
    provider: &Provider,
    spec: &Job,
    digest: B256,
    index: u32,
    bundle: &KeyBundle,
    scratch: &Scratch,
) -> Result<Work> {
    let module_cid = spec.module.cid().ok_or_else(|| eyre!("the specification names no stored module"))?;
    let limit = compute::module::MODULE_BYTES_MAX;
    let module = Bytes::from(provider.files.get_bytes(&module_cid, &Unlock::AsStored, limit).await?);
    let mut inputs = Vec::with_capacity(spec.inputs.len());
    for (number, input) in spec.inputs.iter().enumerate() {
        let cid = input.content.cid().ok_or_else(|| eyre!("input {} is not stored", input.mount))?;
        let path = scratch.path().join(format!("in-{number}"));
        let unlock = match bundle.file(&cid) {
            Some(key) => Unlock::Key(FileKey::from_bytes(key)),
            None => Unlock::AsStored,
        };
        provider.files.get_to_file(&cid, &unlock, &path).await?;
        inputs.push((input.mount.clone(), path));
    }
    let task = spec.tasks.get(index as usize).ok_or_else(|| eyre!("the specification has no task {index}"))?;
    Ok(Work {
        module,
        args: spec.argv(index).ok_or_else(|| eyre!("the specification has no task {index}"))?,
        env: task.env.clone(),
        inputs,
        out_dir: scratch.path().join("out"),
        limits: spec.limits(),
        seed: Job::seed(digest, index),
    })
}
