//! `kumo job run`: prepare, open, accompany; the only command that pays.

use super::Run;
use crate::amount::amount;
use crate::session::Session;
use crate::{Exit, Failure, ake};
use futures::StreamExt;
use sdk::Jobs;
use sdk::chain::ChainError;
use sdk::jobs::{JobsError, Outcome, PreparedJob, Until};
use sdk::protocol::api::JobEvent;
use serde_json::{Value, json};
use std::time::Duration;

pub(super) async fn run(arguments: Run, session: &mut Session<'_>) -> Result<Exit, Failure> {
    let file = arguments.specification.file.display().to_string();
    session.doing(format!("cannot run {file}"));
    let client = session.client().await?;
    let jobs = client.jobs(&session.wallet(&client)?);
    let prepared = jobs.prepare(&arguments.specification.file, &arguments.specification.set).await?;
    let escrow = jobs.escrow(&prepared).await?;
    session.say(format!("{file}: {} tasks stored as {}", prepared.terms.tasks, prepared.cid));
    session.doing(format!("cannot open {file} as a job"));
    let id = open(&jobs, &prepared, escrow, session).await?;
    session.doing(format!("cannot accompany job {id}"));
    session.money(
        format!("job {id} is open and goes on; {} is in its escrow, what is not used is refunded", ake(escrow)),
        format!("see where it stands with `kumo job show {id}`"),
    );
    session.say(format!("opened job {id}, {} in escrow", ake(escrow)));
    if !session.is_json() {
        // At once, so that a script has the id even if it does not wait for the rest.
        session.print(id.to_string(), Value::Null)?;
    }
    let until = if arguments.wait { Until::Closed } else { Until::Selected };
    let outcome = accompany(&jobs, id, &prepared, until, session).await?;
    finish(id, &prepared, &outcome, until, escrow, session)
}

/// How long the last events of a closed job are waited for.
const REST: Duration = Duration::from_secs(2);

/// From the moment the transaction may have been sent, a failure says so, unless it is certain that nothing was locked.
async fn open(
    jobs: &Jobs,
    prepared: &PreparedJob,
    escrow: sdk::U256,
    session: &mut Session<'_>,
) -> Result<u64, Failure> {
    session.money(
        format!(
            "{} may have been locked in escrow; then a job was opened, and what is not used is refunded",
            ake(escrow)
        ),
        "see whether it was opened with `kumo job list` before running it again",
    );
    let opened = jobs.open(prepared).await;
    if opened.as_ref().is_err_and(is_certainly_unpaid) {
        session.nothing_paid();
    }
    Ok(opened?)
}

fn is_certainly_unpaid(error: &JobsError) -> bool {
    match error {
        JobsError::TooPoor { .. } | JobsError::Gateway(_) => true,
        JobsError::Chain(error) => !matches!(error, ChainError::Unconfirmed { .. }),
        JobsError::NotOpened(_) => false,
    }
}

/// Tells what happens while the keys are handed out.
async fn accompany(
    jobs: &Jobs,
    id: u64,
    prepared: &PreparedJob,
    until: Until,
    session: &mut Session<'_>,
) -> Result<Outcome, Failure> {
    let mut events = jobs.follow(id);
    let mut told = true;
    let work = jobs.run(id, prepared.bundle.clone(), until);
    tokio::pin!(work);
    loop {
        tokio::select! {
            outcome = &mut work => {
                let outcome = outcome?;
                if told && until == Until::Closed {
                    // The gateway tells a little later than the chain what the last block held.
                    let rest = events.by_ref().take_while(|event| std::future::ready(event.is_ok())).collect::<Vec<_>>();
                    let rest = tokio::time::timeout(REST, rest).await.unwrap_or_default();
                    rest.iter().flatten().for_each(|event| session.say(describe(event)));
                }
                return Ok(outcome);
            }
            event = events.next(), if told => match event {
                Some(Ok(event)) => session.say(describe(&event)),
                // Events are talk; the work goes by the chain.
                _ => told = false,
            },
        }
    }
}

fn finish(
    id: u64,
    prepared: &PreparedJob,
    outcome: &Outcome,
    until: Until,
    escrow: sdk::U256,
    session: &mut Session<'_>,
) -> Result<Exit, Failure> {
    let closed = outcome.state == sdk::protocol::abi::IJobMarket::JobState::Closed;
    let json = json!({
        "id": id,
        "spec": prepared.cid.to_string(),
        "state": if closed { "closed" } else { "running" },
        "tasks": outcome.tasks,
        "tasks_paid": outcome.paid,
        "tasks_failed": outcome.failed,
        "escrowed": amount(escrow),
        "paid": amount(outcome.spent),
        "refunded": amount(outcome.refunded),
    });
    session.print("", json)?;
    if !closed {
        session.say(format!("providers are at work; follow it with `kumo job logs {id} -f`"));
        return Ok(Exit::Ok);
    }
    let money = format!("{} paid, {} refunded", ake(outcome.spent), ake(outcome.refunded));
    if outcome.is_success() {
        session.say(format!("job {id} is done: {} tasks, {money}; `kumo job outputs {id}`", outcome.paid));
        return Ok(Exit::Ok);
    }
    session.money(money, format!("see why with `kumo job show {id}` and `kumo job logs {id}`"));
    session.doing(format!("job {id} failed"));
    let nobody = outcome.paid == 0 && outcome.failed == 0 && until == Until::Selected;
    match nobody {
        true => Err(Failure::new(Exit::JobFailed, "nobody bid for it; `kumo job quote` says who could")),
        false => Err(Failure::new(
            Exit::JobFailed,
            format!("{} of {} tasks were paid, {} failed", outcome.paid, outcome.tasks, outcome.failed),
        )),
    }
}

/// One line for one event.
fn describe(event: &JobEvent) -> String {
    let task = event.task.map(|task| format!(" task {task}")).unwrap_or_default();
    let account = event.account.map(|account| format!(" {account}")).unwrap_or_default();
    format!("  {}{task}{account}", words(&event.event))
}

/// `TaskAssigned` as `task assigned`.
fn words(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !out.is_empty() {
            out.push(' ');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_transaction_that_may_still_be_included_may_have_cost_something() {
        let unconfirmed = ChainError::Unconfirmed { hash: sdk::B256::ZERO, waited: Default::default() };
        assert!(!is_certainly_unpaid(&JobsError::Chain(unconfirmed)));
        let (account, none) = (sdk::Address::ZERO, sdk::U256::ZERO);
        assert!(is_certainly_unpaid(&JobsError::TooPoor { account, balance: none, required: none }));
        assert!(is_certainly_unpaid(&JobsError::Chain(ChainError::NonceRace { account, tries: 8 })));
    }

    #[test]
    fn events_are_told_in_words() {
        let event = JobEvent {
            job_id: 1,
            event: "TaskAssigned".into(),
            block_number: 1,
            log_index: 0,
            timestamp: 0,
            transaction: sdk::B256::ZERO,
            task: Some(3),
            account: None,
            fields: Default::default(),
        };
        assert_eq!(describe(&event), "  task assigned task 3");
        assert_eq!(words("JobClosed"), "job closed");
    }
}
