//! `kumo job show` and `kumo job list`.

use super::{Id, List};
use crate::amount::amount;
use crate::session::Session;
use crate::{Exit, Failure, Table, ake, rfc3339};
use sdk::Address;
use sdk::protocol::api::{BidView, JobView, TaskView};
use serde_json::{Value, json};

pub(super) async fn show(arguments: Id, session: &mut Session<'_>) -> Result<Exit, Failure> {
    session.doing(format!("cannot show job {}", arguments.id));
    let client = session.client().await?;
    let job = client.gateway.job(arguments.id).await?;
    session.print(text(&job), to_json(&job, true))?;
    Ok(Exit::Ok)
}

pub(super) async fn list(arguments: List, session: &mut Session<'_>) -> Result<Exit, Failure> {
    session.doing("cannot list jobs");
    let client = session.client().await?;
    let jobs = client.gateway.jobs(arguments.limit.into(), arguments.before).await?;
    let mut table = Table::new(&["id", "name", "state", "tasks", "paid", "failed", "cost", "opened"]);
    for job in &jobs {
        table.row([
            job.id.to_string(),
            job.name.clone(),
            job.state.clone(),
            job.task_count.to_string(),
            job.tasks_paid.to_string(),
            job.tasks_failed.to_string(),
            ake(job.paid),
            rfc3339(job.opened_at),
        ]);
    }
    session.print(table.render(), jobs.iter().map(|job| to_json(job, false)).collect())?;
    Ok(Exit::Ok)
}

fn text(job: &JobView) -> String {
    let mut out = format!(
        "job        {} {}\nstate      {}\nconsumer   {}\nspec       {}\nopened     {}\nbids until {}\ndeadline   {}\n\
         tasks      {} ({} paid, {} failed)\nprice      at most {} a task\nmoney      {} in escrow at first, {} paid, {} refunded\n",
        job.id,
        job.name,
        job.state,
        job.consumer,
        job.spec,
        rfc3339(job.opened_at),
        rfc3339(job.bid_end),
        rfc3339(job.deadline),
        job.task_count,
        job.tasks_paid,
        job.tasks_failed,
        ake(job.price_max),
        ake(job.escrowed),
        ake(job.paid),
        ake(job.refunded),
    );
    if !job.bids.is_empty() {
        let mut bids = Table::new(&["bidder", "price", "tasks at a time"]);
        for bid in &job.bids {
            bids.row([bid.provider.to_string(), ake(bid.price), bid.capacity.to_string()]);
        }
        out += &format!("\n{}", bids.render());
    }
    if !job.tasks.is_empty() {
        let mut tasks = Table::new(&["task", "state", "attempt", "provider", "price", "auditor"]);
        for task in &job.tasks {
            tasks.row([
                task.index.to_string(),
                task.state.clone(),
                task.attempt.to_string(),
                some(task.provider).unwrap_or_else(|| "-".to_owned()),
                ake(task.price),
                some(task.auditor).unwrap_or_else(|| "-".to_owned()),
            ]);
        }
        out += &format!("\n{}", tasks.render());
    }
    out
}

/// The zero address stands for nobody.
fn some(address: Address) -> Option<String> {
    (address != Address::ZERO).then(|| address.to_string())
}

fn to_json(job: &JobView, whole: bool) -> Value {
    let mut json = json!({
        "id": job.id,
        "name": job.name,
        "state": job.state,
        "consumer": job.consumer.to_string(),
        "spec": job.spec,
        "price_max": amount(job.price_max),
        "audit_bps": job.audit_bps,
        "opened_at": rfc3339(job.opened_at),
        "bid_end": rfc3339(job.bid_end),
        "deadline": rfc3339(job.deadline),
        "task_count": job.task_count,
        "tasks_paid": job.tasks_paid,
        "tasks_failed": job.tasks_failed,
        "escrowed": amount(job.escrowed),
        "paid": amount(job.paid),
        "refunded": amount(job.refunded),
    });
    if whole {
        json["bids"] = job.bids.iter().map(bid_json).collect();
        json["tasks"] = job.tasks.iter().map(task_json).collect();
    }
    json
}

fn bid_json(bid: &BidView) -> Value {
    json!({
        "provider": bid.provider.to_string(),
        "price": amount(bid.price),
        "capacity": bid.capacity,
        "score": bid.score.to_string(),
    })
}

fn task_json(task: &TaskView) -> Value {
    json!({
        "index": task.index,
        "state": task.state,
        "attempt": task.attempt,
        "provider": some(task.provider),
        "price": amount(task.price),
        "deadline": (task.deadline != 0).then(|| rfc3339(task.deadline)),
        "auditor": some(task.auditor),
        "commitment": (!task.commitment.is_zero()).then(|| task.commitment.to_string()),
        "output": (!task.output.is_empty()).then_some(&task.output),
    })
}
