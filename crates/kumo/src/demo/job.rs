//! The steps about the job: hire, run, caught, paid.

use super::report::Voice;
use super::steps::{Consumer, Money, PATIENCE, POLL, supply};
use alloy_primitives::{Address, U256};
use cid::Cid;
use cli::ake;
use eyre::{Context as _, Result, bail, ensure, eyre};
use futures::StreamExt as _;
use parking_lot::Mutex;
use protocol::abi::{self, IEscrow, IFeeVault};
use protocol::api::JobEvent;
use sdk::jobs::Until;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

/// The guest, as committed with its digest.
const MODULE: &[u8] = include_bytes!("../../../../examples/digits/digits.wasm");
/// The job, as a person would write it.
const JOB: &str = include_str!("../../../../examples/digits/job.yaml");
/// Input of the job file that the demo replaces by the data set it stored.
const LOCAL_INPUT: &str = "path: ./digits.csv";
/// The best model must be better than this.
const ACCURACY_MIN: f64 = 0.90;
/// Log lines that the demo shows.
const LINES_SHOWN: usize = 6;

/// A job that was opened: its id, its events as they come, and the task that hands out its keys.
pub struct Hired {
    /// Job id.
    pub id: u64,
    /// Number of tasks.
    pub tasks: u32,
    events: watch::Receiver<Vec<JobEvent>>,
    accompany: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Hired {
    /// Events so far.
    fn seen(&self) -> Vec<JobEvent> {
        self.events.borrow().clone()
    }

    /// Waits until the events so far satisfy `enough`.
    async fn until(&self, what: &str, enough: impl Fn(&[JobEvent]) -> bool) -> Result<Vec<JobEvent>> {
        let mut events = self.events.clone();
        let seen = tokio::time::timeout(PATIENCE, events.wait_for(|seen| enough(seen))).await;
        match seen {
            Ok(Ok(seen)) => Ok(seen.clone()),
            Ok(Err(_)) => bail!("the job's event stream ended before {what}"),
            Err(_) => {
                let names: Vec<String> = self.seen().iter().map(|e| e.event.clone()).collect();
                bail!("{what} did not happen within {} s; so far: {}", PATIENCE.as_secs(), names.join(", "))
            }
        }
    }
}

impl Drop for Hired {
    fn drop(&mut self) {
        if let Some(task) = self.accompany.lock().take() {
            task.abort();
        }
    }
}

/// Posts the job with its escrow in one transaction, and waits for the contract's selection.
pub async fn hire(consumer: &Consumer, data: Cid) -> Result<(Hired, String)> {
    ensure!(JOB.contains(LOCAL_INPUT), "examples/digits/job.yaml has no line with {LOCAL_INPUT:?}");
    let file = consumer.folder.join("job.yaml");
    std::fs::write(&file, JOB.replace(LOCAL_INPUT, &format!("cid: {data}"))).wrap_err("cannot write the job file")?;
    std::fs::write(consumer.folder.join("digits.wasm"), MODULE).wrap_err("cannot write the module")?;
    let prepared = consumer.jobs.prepare(&file, &[]).await?;
    let escrow = consumer.jobs.escrow(&prepared).await?;
    let id = consumer.jobs.open(&prepared).await?;
    let tasks = prepared.job.task_count();
    let (tell, events) = watch::channel(Vec::new());
    let mut stream = consumer.jobs.follow(id);
    let (jobs, bundle) = (consumer.jobs.clone(), prepared.bundle.clone());
    let accompany = tokio::spawn(async move {
        let collect = async {
            while let Some(event) = stream.next().await {
                match event {
                    Ok(event) => tell.send_modify(|seen| seen.push(event)),
                    Err(error) => return tracing::warn!(%error, "the event stream broke"),
                }
            }
        };
        let keys = async {
            if let Err(error) = jobs.run(id, bundle, Until::Closed).await {
                tracing::warn!(%error, "cannot accompany the job");
            }
        };
        tokio::join!(collect, keys);
    });
    let hired = Hired { id, tasks, events, accompany: Mutex::new(Some(accompany)) };
    let seen = hired.until("selection", |seen| seen.iter().any(|e| e.event == "JobSelected")).await?;
    let bids = seen.iter().filter(|e| e.event == "BidPlaced").count();
    ensure!(bids >= 2, "{bids} providers bid; an auction needs at least 2");
    let view = consumer.jobs.show(id).await?;
    let best = view.bids.first().ok_or_else(|| eyre!("the job shows no bids"))?;
    let detail = format!(
        "job {id}: {tasks} tasks, {} in escrow; {bids} bids, best {} a task by {}",
        ake(escrow),
        ake(best.price),
        short(best.provider)
    );
    Ok((hired, detail))
}

/// Live log lines, told and counted while the tasks run.
pub struct Narration {
    lines: Arc<AtomicUsize>,
    reader: tokio::task::JoinHandle<()>,
}

impl Narration {
    /// Begins to read the job's live log; the first lines are told.
    pub fn begin(consumer: &Consumer, hired: &Hired, voice: Voice) -> Self {
        let lines = Arc::new(AtomicUsize::new(0));
        let (jobs, id, count) = (consumer.jobs.clone(), hired.id, lines.clone());
        let reader = tokio::spawn(async move {
            // The log can be opened as soon as the consumer's own copy of the key is on chain.
            let mut log = loop {
                match jobs.logs(id, None, true).await {
                    Ok(log) => break log,
                    Err(_) => tokio::time::sleep(POLL).await,
                }
            };
            while let Some(Ok(piece)) = log.next().await {
                for line in String::from_utf8_lossy(&piece.text).lines() {
                    if count.fetch_add(1, Ordering::Relaxed) < LINES_SHOWN {
                        voice.say(format!("task {} | {line}", piece.task));
                    }
                }
            }
        });
        Self { lines, reader }
    }

    /// Log lines seen so far.
    pub fn count(&self) -> usize {
        self.lines.load(Ordering::Relaxed)
    }
}

impl Drop for Narration {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Waits until every task has a receipt, while log lines come in.
pub async fn run(consumer: &Consumer, hired: &Hired, narration: &Narration) -> Result<((), String)> {
    let receipted = |seen: &[JobEvent]| tasks_with(seen, "ReceiptSubmitted").len() as u32 == hired.tasks;
    let seen = hired.until("a receipt for every task", receipted).await?;
    let keys: BTreeSet<Address> = seen.iter().filter(|e| e.event == "KeyDelivered").filter_map(|e| e.account).collect();
    let holders: BTreeSet<Address> = seen
        .iter()
        .filter(|e| e.event == "TaskAssigned" || e.event == "AuditorDrawn")
        .filter_map(|e| e.account)
        .chain([consumer.wallet.address()])
        .collect();
    ensure!(keys.is_subset(&holders), "a key went to an account that holds no task and no audit");
    ensure!(narration.count() > 0, "no live log line arrived");
    let providers: BTreeSet<Address> =
        seen.iter().filter(|e| e.event == "ReceiptSubmitted").filter_map(|e| e.account).collect();
    let detail = format!(
        "{} tasks ran as WebAssembly on {} providers; keys wrapped to {} accounts; {} live log lines; receipts on chain",
        hired.tasks,
        providers.len(),
        keys.len(),
        narration.count()
    );
    Ok(((), detail))
}

/// Waits until the dishonest provider was exposed by an audit, slashed, and each of its tasks run again by another.
pub async fn caught(consumer: &Consumer, hired: &Hired, before: &Money) -> Result<((), String)> {
    let cheat = consumer.cheat;
    let name = short(cheat);
    let by_cheat = move |e: &&JobEvent| e.account == Some(cheat);
    let cheated = move |seen: &[JobEvent]| -> BTreeSet<u32> {
        seen.iter().filter(by_cheat).filter(|e| e.event == "ReceiptSubmitted").filter_map(|e| e.task).collect()
    };
    let redone = move |seen: &[JobEvent]| -> BTreeSet<u32> {
        seen.iter().filter(|e| e.event == "TaskPaid" && e.account != Some(cheat)).filter_map(|e| e.task).collect()
    };
    let all_redone = move |seen: &[JobEvent]| {
        let wrong = cheated(seen);
        !wrong.is_empty() && wrong.is_subset(&redone(seen))
    };
    let seen = hired.until("every falsified task run again by another provider", all_redone).await?;
    let paid_for_it = seen.iter().filter(by_cheat).any(|e| e.event == "TaskPaid");
    ensure!(!paid_for_it, "the dishonest provider {name} was paid");
    let slashed: U256 = seen
        .iter()
        .filter(by_cheat)
        .filter(|e| e.event == "Slashed")
        .filter_map(|e| e.fields.get("amount")?.parse::<U256>().ok())
        .sum();
    ensure!(!slashed.is_zero(), "the dishonest provider {name} was not slashed");
    let now = consumer.gateway.provider(cheat).await?;
    let was = before.provider(cheat)?;
    ensure!(now.reputation_bps < was.reputation_bps, "the reputation of {name} did not fall");
    ensure!(now.stake < was.stake, "the stake of {name} did not shrink");
    let detail = format!(
        "{name} (dishonest on purpose) falsified {} tasks; two auditors agreed against it; slashed {}, reputation {} → {}; others ran the tasks again",
        cheated(&seen).len(),
        ake(slashed),
        percent(was.reputation_bps),
        percent(now.reputation_bps)
    );
    Ok(((), detail))
}

/// Waits for the close and checks the money to the wei, and the result.
pub async fn paid(consumer: &Consumer, hired: &Hired, before: &Money) -> Result<(Map<String, Value>, String)> {
    let seen = hired.until("the close of the job", |seen| seen.iter().any(|e| e.event == "JobClosed")).await?;
    let view = consumer.jobs.show(hired.id).await?;
    ensure!(view.tasks_paid == hired.tasks, "{} of {} tasks were paid", view.tasks_paid, hired.tasks);
    ensure!(
        view.paid + view.refunded == view.escrowed,
        "escrow: {} paid + {} refunded is not {} escrowed",
        view.paid,
        view.refunded,
        view.escrowed
    );
    let call = IEscrow::balanceOfCall { jobId: U256::from(hired.id) };
    let left = consumer.chain.call(abi::ESCROW, call).await?;
    ensure!(left.is_zero(), "{left} wei are left in escrow");
    let total = supply(&consumer.chain).await?;
    ensure!(total.total == total.genesis, "supply: balances add up to {}, genesis gave {}", total.total, total.genesis);
    ensure!(total.burned > before.supply.burned, "no fee was burned");
    let treasury = consumer.chain.call(abi::FEE_VAULT, IFeeVault::treasuryBalanceCall {}).await?;
    ensure!(treasury > before.treasury, "the treasury got no share of the fees");
    let raised = consumer.gateway.providers().await?.iter().filter(|now| improved(before, now)).count();
    ensure!(raised > 0, "no honest provider gained reputation");
    let best = best_model(consumer, hired).await?;
    ensure!(best > ACCURACY_MIN, "the best model is right in {best:.4} of the images, wanted more than {ACCURACY_MIN}");
    let fees: U256 = seen.iter().filter_map(|e| e.fields.get("fee")?.parse::<U256>().ok()).sum();
    let detail = format!(
        "{} to providers and auditors, {} market fee (burn, treasury, stakers), {} refunded; supply is {} to the wei; best model {:.2} % right",
        ake(view.paid - fees),
        ake(fees),
        ake(view.refunded),
        ake(total.total),
        best * 100.0
    );
    let Value::Object(mut job) = serde_json::to_value(&view)? else { bail!("a job view is a JSON object") };
    job.insert("best_accuracy".to_owned(), best.into());
    Ok((job, detail))
}

fn improved(before: &Money, now: &protocol::api::ProviderInfo) -> bool {
    before.provider(now.address).is_ok_and(|was| now.reputation_bps > was.reputation_bps)
}

/// Downloads every output, checked against receipts and commitments, and returns the best accuracy.
async fn best_model(consumer: &Consumer, hired: &Hired) -> Result<f64> {
    let folder = consumer.folder.join("outputs");
    let outputs = consumer.jobs.outputs(hired.id).await?;
    let mut best: f64 = 0.0;
    for output in &outputs {
        let task = output.manifest.task;
        let files = consumer.jobs.download(output, &folder.join(task.to_string())).await?;
        let metrics = files.iter().find(|f| f.ends_with("metrics.json"));
        let metrics = metrics.ok_or_else(|| eyre!("task {task} has no metrics.json"))?;
        let metrics: Value = serde_json::from_slice(&std::fs::read(metrics)?)?;
        best = best.max(metrics["accuracy"].as_f64().ok_or_else(|| eyre!("metrics without accuracy"))?);
    }
    Ok(best)
}

fn tasks_with(seen: &[JobEvent], event: &str) -> BTreeSet<u32> {
    seen.iter().filter(|e| e.event == event).filter_map(|e| e.task).collect()
}

fn short(address: Address) -> String {
    let text = address.to_string();
    format!("{}…{}", &text[..6], &text[38..])
}

fn percent(bps: u16) -> String {
    format!("{}.{:02} %", bps / 100, bps % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_for_people() {
        assert_eq!(percent(9_705), "97.05 %");
        assert_eq!(short(Address::repeat_byte(0xab)).chars().count(), 11);
    }

    #[test]
    fn the_committed_module_is_the_one_named_by_its_digest() {
        let named = include_str!("../../../../examples/digits/digits.wasm.sha256");
        let digest = alloy_primitives::hex::encode(protocol::content::sha256(MODULE));
        assert!(named.starts_with(&digest), "{named} is not {digest}");
    }
}
