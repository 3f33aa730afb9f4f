//! `kumo tx`: send coin.

use crate::amount::amount;
use crate::session::Session;
use crate::{Exit, Failure, ake};
use clap::{Args, Subcommand};
use sdk::protocol::units::Wei;
use sdk::{Address, U256};
use serde_json::json;

/// Send coin
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send coin to an account, and wait until it is there
    ///
    /// With --encrypted nobody sees sender, receiver or amount before the place of the transaction is fixed: it goes by the
    /// encrypted lane, and takes one to two periods (some seconds) longer.
    #[command(
        after_help = "Examples:\n  kumo tx send 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 \"1.5 AKE\"\n  kumo tx send --encrypted 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 \"1.5 AKE\""
    )]
    Send(Send),
}

/// `kumo tx send`.
#[derive(Debug, Args)]
pub struct Send {
    /// Who gets it
    #[arg(value_name = "ADDRESS")]
    pub to: Address,
    /// How much, with its unit: `1.5 AKE`
    #[arg(value_name = "AMOUNT")]
    pub value: Wei,
    /// Keep it unreadable until it is ordered
    #[arg(long)]
    pub encrypted: bool,
}

pub(crate) async fn run(command: Command, session: &mut Session<'_>) -> Result<Exit, Failure> {
    match command {
        Command::Send(arguments) => send(arguments, session).await,
    }
}

async fn send(Send { to, value, encrypted }: Send, session: &mut Session<'_>) -> Result<Exit, Failure> {
    let value = U256::from(value.0);
    session.doing(format!("cannot send {}", ake(value)));
    let client = session.client().await?;
    let wallet = session.wallet(&client)?;
    let unknown = format!("{} may still reach {to}: what was handed in can be included", ake(value));
    session.money(unknown, "look at `kumo wallet balance` before you send again");
    let (receipt, sealed) = match encrypted {
        true => {
            let sent = client.transfer_sealed(&wallet, to, value).await?;
            (sent.receipt, Some((sent.target, sent.envelope)))
        }
        false => (client.chain.transfer(&wallet, to, value).await?, None),
    };
    session.nothing_paid();
    let (hash, block) = (receipt.transaction_hash, receipt.block_number.unwrap_or_default());
    let mut json = json!({ "transaction": hash, "block": block, "to": to.to_string(), "value": amount(value) });
    if let Some((target, envelope)) = sealed {
        session.say(format!("sealed for block {target}, executed in block {block}"));
        json["envelope"] = json!({ "hash": envelope, "target": target });
    }
    session.print(hash.to_string(), json)?;
    Ok(Exit::Ok)
}
