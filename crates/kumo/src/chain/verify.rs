//! `kumo chain verify`.

use super::{CACHE_BYTES, Done, chain_dir};
use clap::Args;
use eyre::Result;
use serde_json::json;
use std::path::PathBuf;

/// `kumo chain verify`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Directory of a validator or an rpc node that does not run, or of the chain itself
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
}

/// Checks the chain.
///
/// # Errors
/// With the first thing that is not right.
pub fn run(arguments: &Arguments) -> Result<Done> {
    let found = chain::verify_directory(&chain_dir(&arguments.state), CACHE_BYTES)?;
    let text = format!(
        "the chain is right\n  head        {} {}\n  state root  {}\n  state       {} accounts, {} slots\n  blocks      {} checked\n  history     {}",
        found.head,
        found.hash,
        found.state_root,
        found.accounts,
        found.slots,
        found.blocks,
        if found.archive { "archive".to_owned() } else { format!("from block {}", found.oldest_state) },
    );
    let json = json!({
        "head": found.head,
        "hash": found.hash,
        "state_root": found.state_root,
        "accounts": found.accounts,
        "slots": found.slots,
        "blocks": found.blocks,
        "oldest_state": found.oldest_state,
        "archive": found.archive,
    });
    Ok(Done { text, json })
}
