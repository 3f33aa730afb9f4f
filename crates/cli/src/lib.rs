//! Turn words typed by a person into SDK calls.
//!
//! Data goes to stdout, talk to stderr, so that `$(kumo store put f)` is the CID and nothing else. With `--output json`
//! stdout holds exactly one JSON value (`job logs --follow` and `rollup follow` write one per line), and stderr nothing but the problem
//! document of a failure. The environment is not read here: the binary passes the network it found.
//!
//! ```text
//! words ─▶ Command (clap) ─▶ Session (network, wallet, writers) ─▶ sdk ─▶ text or JSON, exit code
//! ```

mod amount;
mod exit;
mod failure;
mod global;
mod job;
mod provider;
mod rollup;
mod session;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod time;
mod tx;
mod wallet;

pub use amount::ake;
pub use exit::Exit;
pub use failure::Failure;
pub use global::{Global, Output};
pub use sdk::AccountChoice;
pub use session::Context;
pub use table::Table;
pub use time::rfc3339;

use clap::Subcommand;
use session::Session;

/// What a user does: files, jobs, providers, rollups, wallets, transactions.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Store and fetch files: encrypted on this machine, erasure-coded over storage nodes
    #[command(subcommand)]
    Store(store::Command),
    /// Check, price, run and follow jobs
    #[command(subcommand)]
    Job(job::Command),
    /// Look at compute providers: machine, stake, reputation
    #[command(subcommand)]
    Provider(provider::Command),
    /// Order transactions of a rollup, read them with proofs, see what the namespace owes
    #[command(subcommand)]
    Rollup(rollup::Command),
    /// Look at accounts and balances
    #[command(subcommand)]
    Wallet(wallet::Command),
    /// Send coin, also so that nobody can read it before it is ordered
    #[command(subcommand)]
    Tx(tx::Command),
}

/// Runs one command; prints its result, or its failure, and says how the process should exit.
///
/// Ctrl-C and `--timeout` end a command with its own exit code; what was opened on chain goes on, and the message says so.
pub async fn run(command: Command, context: Context<'_>) -> Exit {
    let mut session = Session::new(context);
    let timeout = session.global.timeout;
    let outcome = tokio::select! {
        outcome = perform(command, &mut session) => outcome,
        () = elapsed(timeout) => Err(Failure::timed_out(timeout.unwrap_or_default())),
        () = interrupted() => Err(Failure::interrupted()),
    };
    match outcome {
        Ok(exit) => exit,
        Err(failure) => session.fail(failure),
    }
}

async fn perform(command: Command, session: &mut Session<'_>) -> Result<Exit, Failure> {
    match command {
        Command::Store(command) => store::run(command, session).await,
        Command::Job(command) => job::run(command, session).await,
        Command::Provider(command) => provider::run(command, session).await,
        Command::Rollup(command) => rollup::run(command, session).await,
        Command::Wallet(command) => wallet::run(command, session).await,
        Command::Tx(command) => tx::run(command, session).await,
    }
}

async fn elapsed(timeout: Option<std::time::Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Without a handler the system ends the process by itself.
        std::future::pending::<()>().await;
    }
}
