//! `kumo provider`: who offers compute, with what, and how well it went so far.

use crate::amount::amount;
use crate::session::Session;
use crate::{Exit, Failure, Table, ake, rfc3339};
use clap::{Args, Subcommand};
use sdk::Address;
use sdk::protocol::api::ProviderInfo;
use serde_json::{Value, json};

/// Look at compute providers: machine, stake, reputation
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List providers with stake and reputation
    #[command(after_help = "Examples:\n  kumo provider list\n  kumo provider list --output json")]
    List,
    /// Show one provider: machine, keys, stake, reputation
    #[command(after_help = "Example:\n  kumo provider show 0x70997970C51812dc3A010C7d01b50e0d17dc79C8")]
    Show(Show),
}

/// `kumo provider show`.
#[derive(Debug, Args)]
pub struct Show {
    /// Account of the provider
    #[arg(value_name = "ADDRESS")]
    pub address: Address,
}

pub(crate) async fn run(command: Command, session: &mut Session<'_>) -> Result<Exit, Failure> {
    match command {
        Command::List => list(session).await,
        Command::Show(arguments) => show(arguments, session).await,
    }
}

async fn list(session: &mut Session<'_>) -> Result<Exit, Failure> {
    session.doing("cannot list providers");
    let providers = session.client().await?.providers().await?;
    let mut table = Table::new(&["address", "reputation", "stake", "reserved", "state"]);
    for provider in &providers {
        let percent = format!("{:.2} %", f64::from(provider.reputation_bps) / 100.0);
        let (stake, reserved) = (ake(provider.stake), ake(provider.reserved));
        table.row([provider.address.to_string(), percent, stake, reserved, state(provider)]);
    }
    session.print(table.render(), providers.iter().map(to_json).collect())?;
    Ok(Exit::Ok)
}

async fn show(arguments: Show, session: &mut Session<'_>) -> Result<Exit, Failure> {
    session.doing(format!("cannot show provider {}", arguments.address));
    let provider = session.client().await?.provider(arguments.address).await?;
    let roles = roles(provider.roles).join(", ");
    let text = format!(
        "address     {}\nroles       {roles}\nreputation  {:.2} %\nstake       {} ({} reserved)\nbalance     {}\n\
         state       {}\nkey         {}\nendpoint    {}\nmachine     {}\n",
        provider.address,
        f64::from(provider.reputation_bps) / 100.0,
        ake(provider.stake),
        ake(provider.reserved),
        ake(provider.balance),
        state(&provider),
        provider.encryption_key,
        if provider.endpoint.is_empty() { "-" } else { &provider.endpoint },
        provider.attributes,
    );
    session.print(text, to_json(&provider))?;
    Ok(Exit::Ok)
}

fn roles(bits: u8) -> Vec<&'static str> {
    [(1, "compute"), (2, "storage")].into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| name).collect()
}

fn state(provider: &ProviderInfo) -> String {
    match provider.jailed_until {
        0 => "free".to_owned(),
        until => format!("jailed until {}", rfc3339(until)),
    }
}

fn to_json(provider: &ProviderInfo) -> Value {
    // What a provider registers is meant to be JSON, and nobody checks that but the reader.
    let attributes: Value =
        serde_json::from_str(&provider.attributes).unwrap_or_else(|_| Value::String(provider.attributes.clone()));
    json!({
        "address": provider.address.to_string(),
        "roles": roles(provider.roles),
        "endpoint": provider.endpoint,
        "attributes": attributes,
        "encryption_key": provider.encryption_key.to_string(),
        "stake": amount(provider.stake),
        "reserved": amount(provider.reserved),
        "balance": amount(provider.balance),
        "reputation_bps": provider.reputation_bps,
        "jailed_until": (provider.jailed_until != 0).then(|| rfc3339(provider.jailed_until)),
    })
}
