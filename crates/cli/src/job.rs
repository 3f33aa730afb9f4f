//! `kumo job`: from a specification to checked outputs.

mod results;
mod run;
mod view;

use crate::amount::amount;
use crate::session::Session;
use crate::{Exit, Failure, ake};
use clap::{Args, Subcommand};
use sdk::U256;
use sdk::jobs::{Edit, Job, TEMPLATE};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;

/// Most jobs in one list.
const LIST_MAX: u16 = 500;

/// Check, price, run and follow jobs
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print a commented specification to start from, or write it to a new file
    #[command(after_help = "Examples:\n  kumo job init > job.yaml\n  kumo job init job.yaml")]
    Init(Init),
    /// Check a specification and every local file it names; needs no network
    #[command(
        after_help = "Examples:\n  kumo job validate job.yaml\n  kumo job validate job.yaml --set spec.resources.memory=1Gi"
    )]
    Validate(Specification),
    /// Show what a job would cost and who could run it; nothing is stored or paid
    #[command(after_help = "Example:\n  kumo job quote job.yaml")]
    Quote(Specification),
    /// Store a job's files, lock its escrow, hand its keys to the selected providers; prints only its id
    ///
    /// Without --wait the command ends when providers are selected and have the keys. With --wait it accompanies the job
    /// to its close; the exit code is 20 if a task failed.
    #[command(
        after_help = "Examples:\n  kumo job run job.yaml --wait\n  id=$(kumo job run job.yaml) && kumo job logs $id -f\n  kumo job run job.yaml --set spec.verify.audit=100%"
    )]
    Run(Run),
    /// Show a job with its bids and tasks
    #[command(after_help = "Examples:\n  kumo job show 7\n  kumo job show 7 --output json")]
    Show(Id),
    /// Print what the tasks of a job print, decrypted here
    #[command(
        after_help = "Examples:\n  kumo job logs 7\n  kumo job logs 7 -f --task 2\n  kumo job logs 7 -f --output json   (one JSON value a line)"
    )]
    Logs(Logs),
    /// List jobs, newest first
    #[command(after_help = "Examples:\n  kumo job list\n  kumo job list --limit 10 --before 100")]
    List(List),
    /// List or download the outputs of a job, checked against receipts and commitments on chain
    #[command(after_help = "Examples:\n  kumo job outputs 7\n  kumo job outputs 7 -o results")]
    Outputs(Outputs),
    /// Take back a job that still takes bids; its escrow is refunded
    #[command(after_help = "Example:\n  kumo job cancel 7")]
    Cancel(Id),
}

/// `kumo job init`.
#[derive(Debug, Args)]
pub struct Init {
    /// New file; stdout if absent
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// A specification with edits.
#[derive(Debug, Args)]
pub struct Specification {
    /// The specification, YAML or JSON; paths in it are relative to its folder
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Set a field before the check, for example spec.resources.memory=1Gi; may be repeated
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<Edit>,
}

/// `kumo job run`.
#[derive(Debug, Args)]
pub struct Run {
    /// What to run.
    #[command(flatten)]
    pub specification: Specification,
    /// Stay until the job is closed; the exit code says how it went
    #[arg(long)]
    pub wait: bool,
}

/// Commands about one job.
#[derive(Debug, Args)]
pub struct Id {
    /// Id of the job
    #[arg(value_name = "ID")]
    pub id: u64,
}

/// `kumo job logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// Id of the job
    #[arg(value_name = "ID")]
    pub id: u64,
    /// Only this task
    #[arg(long, value_name = "N")]
    pub task: Option<u32>,
    /// Go on until the job is closed
    #[arg(short, long)]
    pub follow: bool,
}

/// `kumo job list`.
#[derive(Debug, Args)]
pub struct List {
    /// How many, 1 to 500
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=LIST_MAX as i64))]
    pub limit: u16,
    /// Only ids below this one
    #[arg(long, value_name = "ID")]
    pub before: Option<u64>,
}

/// `kumo job outputs`.
#[derive(Debug, Args)]
pub struct Outputs {
    /// Id of the job
    #[arg(value_name = "ID")]
    pub id: u64,
    /// Download to this folder, each task into `task-N`; without it the outputs are only listed
    #[arg(short = 'o', long = "out", value_name = "DIR")]
    pub out: Option<PathBuf>,
}

pub(crate) async fn run(command: Command, session: &mut Session<'_>) -> Result<Exit, Failure> {
    match command {
        Command::Init(arguments) => init(arguments, session),
        Command::Validate(arguments) => validate(arguments, session),
        Command::Quote(arguments) => quote(arguments, session).await,
        Command::Run(arguments) => run::run(arguments, session).await,
        Command::Show(arguments) => view::show(arguments, session).await,
        Command::List(arguments) => view::list(arguments, session).await,
        Command::Logs(arguments) => results::logs(arguments, session).await,
        Command::Outputs(arguments) => results::outputs(arguments, session).await,
        Command::Cancel(arguments) => cancel(arguments, session).await,
    }
}

fn init(arguments: Init, session: &mut Session<'_>) -> Result<Exit, Failure> {
    let Some(path) = arguments.file else {
        session.print(TEMPLATE, json!({ "template": TEMPLATE }))?;
        return Ok(Exit::Ok);
    };
    session.doing(format!("cannot write {}", path.display()));
    let written = std::fs::File::create_new(&path).and_then(|mut file| file.write_all(TEMPLATE.as_bytes()));
    written
        .map_err(|error| Failure::new(Exit::Invalid, error.to_string()).next("name a file that does not exist yet"))?;
    session.say(format!("wrote {}; check it with `kumo job validate {}`", path.display(), path.display()));
    session.print("", json!({ "path": path.display().to_string() }))?;
    Ok(Exit::Ok)
}

fn validate(arguments: Specification, session: &mut Session<'_>) -> Result<Exit, Failure> {
    session.doing(format!("{} is not a job that can run", arguments.file.display()));
    let job = sdk::jobs::check(&arguments.file, &arguments.set)?;
    let (tasks, most) = (job.task_count(), most(&job));
    let text = format!("ok: {}, {tasks} tasks, at most {} and audits", job.name, ake(most));
    let json = json!({
        "valid": true,
        "name": job.name,
        "tasks": tasks,
        "price_max": amount(U256::from(job.price_max.0)),
        "tasks_max": amount(most),
    });
    session.print(text, json)?;
    Ok(Exit::Ok)
}

fn most(job: &Job) -> U256 {
    U256::from(job.price_max.0) * U256::from(job.task_count())
}

async fn quote(arguments: Specification, session: &mut Session<'_>) -> Result<Exit, Failure> {
    session.doing(format!("cannot price {}", arguments.file.display()));
    let job = sdk::jobs::check(&arguments.file, &arguments.set)?;
    let client = session.client().await?;
    let quote = client.gateway.quote(&serde_json::to_string(&job.to_spec()).unwrap_or_default()).await?;
    let mut text = format!(
        "{} tasks, at most {} each; escrow {}\n{} of {} providers fit\n",
        quote.tasks,
        ake(quote.price_max),
        ake(quote.escrow),
        quote.providers_fit,
        quote.providers_total,
    );
    if let (Some(first), Some(last)) = (quote.prices.first(), quote.prices.last()) {
        text += &format!("they would ask {} to {} for a task now\n", ake(*first), ake(*last));
    }
    for exclusion in &quote.excluded {
        text += &format!("{} providers do not fit: {}\n", exclusion.providers, exclusion.reason);
    }
    let prices: Vec<_> = quote.prices.iter().map(|price| amount(*price)).collect();
    let excluded = quote.excluded.iter().map(|e| json!({ "reason": e.reason, "providers": e.providers }));
    let json = json!({
        "tasks": quote.tasks,
        "price_max": amount(quote.price_max),
        "escrow": amount(quote.escrow),
        "prices": prices,
        "providers_fit": quote.providers_fit,
        "providers_total": quote.providers_total,
        "excluded": excluded.collect::<Vec<_>>(),
    });
    session.print(text, json)?;
    Ok(Exit::Ok)
}

async fn cancel(arguments: Id, session: &mut Session<'_>) -> Result<Exit, Failure> {
    let id = arguments.id;
    session.doing(format!("cannot cancel job {id}"));
    let client = session.client().await?;
    let jobs = client.jobs(&session.wallet(&client)?);
    jobs.cancel(id).await.map_err(|error| {
        let failure = Failure::from(error);
        failure
            .money("a cancel that fails moves nothing out of the job's escrow")
            .next(format!("only its consumer can cancel a job, while it takes bids: `kumo job show {id}`"))
    })?;
    let refunded = jobs.on_chain(id).await?.refunded;
    session.say(format!("job {id} is closed, {} refunded", ake(refunded)));
    session.print("", json!({ "id": id, "state": "closed", "refunded": amount(refunded) }))?;
    Ok(Exit::Ok)
}
