//! `kumo wallet`: accounts and balances.

use crate::amount::amount;
use crate::session::Session;
use crate::{Exit, Failure, Table, ake};
use clap::{Args, Subcommand};
use sdk::chain::ChainError;
use sdk::rpc::RpcError;
use sdk::{Address, Client, U256};
use serde_json::json;

/// Look at accounts and balances
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the development accounts of this network with their balances
    #[command(after_help = "Examples:\n  kumo wallet list\n  kumo wallet list --output json")]
    List,
    /// Print a balance, checked against the state root with a Merkle proof
    #[command(
        after_help = "Examples:\n  kumo wallet balance\n  kumo wallet balance 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    )]
    Balance(Balance),
}

/// `kumo wallet balance`.
#[derive(Debug, Args)]
pub struct Balance {
    /// Whose balance; the account of --account if absent
    #[arg(value_name = "ADDRESS")]
    pub address: Option<Address>,
}

pub(crate) async fn run(command: Command, session: &mut Session<'_>) -> Result<Exit, Failure> {
    match command {
        Command::List => list(session).await,
        Command::Balance(arguments) => balance(arguments, session).await,
    }
}

async fn list(session: &mut Session<'_>) -> Result<Exit, Failure> {
    session.doing("cannot list accounts");
    let client = session.client().await?;
    let accounts = sdk::wallet::dev_accounts(client.network())?;
    let balances = accounts.iter().map(|account| client.chain.balance(account.address));
    let balances: Vec<U256> = futures::future::try_join_all(balances).await?;
    let mut table = Table::new(&["index", "address", "balance"]);
    let mut json = Vec::new();
    for (index, (account, balance)) in accounts.iter().zip(balances).enumerate() {
        table.row([index.to_string(), account.address.to_string(), ake(balance)]);
        json.push(json!({
            "index": index,
            "address": account.address.to_string(),
            "balance": amount(balance),
        }));
    }
    session.print(table.render(), json.into())?;
    Ok(Exit::Ok)
}

async fn balance(arguments: Balance, session: &mut Session<'_>) -> Result<Exit, Failure> {
    session.doing("cannot read the balance");
    let client = session.client().await?;
    let address = match arguments.address {
        Some(address) => address,
        None => session.wallet(&client)?.address(),
    };
    let (balance, proved) = read(&client, address).await?;
    let json = json!({ "address": address.to_string(), "balance": amount(balance), "proved": proved });
    session.print(ake(balance), json)?;
    Ok(Exit::Ok)
}

/// A wrong proof is an error; a node that gives no proofs is believed, and the answer says so.
async fn read(client: &Client, address: Address) -> Result<(U256, bool), Failure> {
    match client.chain.proved_account(address).await {
        Ok(account) => Ok((account.balance, true)),
        Err(ChainError::Rpc(RpcError::Refused { .. })) => Ok((client.chain.balance(address).await?, false)),
        Err(error) => Err(error.into()),
    }
}
