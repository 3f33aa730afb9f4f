//! `kumo chain snapshot`: a chain as one file.

use super::{CACHE_BYTES, Done, chain_dir};
use crate::roles::lock_directory;
use chain::Exported;
use clap::{Args, Subcommand};
use eyre::Result;
use serde_json::json;
use std::path::PathBuf;

/// Every command below `kumo chain snapshot`.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Write the state, the newest 256 blocks and block 0 to a new file
    #[command(after_help = "Example:\n  kumo chain snapshot export --state ./rpc --out chain.snapshot")]
    Export(Export),
    /// Make the chain of a new rpc node from a file; its state root is computed from scratch and must be the head's
    #[command(after_help = "Example:\n  kumo chain snapshot import chain.snapshot --state ./new-rpc")]
    Import(Import),
}

/// `kumo chain snapshot export`.
#[derive(Debug, Args)]
pub struct Export {
    /// Directory of a validator or an rpc node that does not run, or of the chain itself
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// File to make; there must be none of that name
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// `kumo chain snapshot import`.
#[derive(Debug, Args)]
pub struct Import {
    /// File that `export` made
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Directory of the node that will use it; it must not have a chain yet
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
}

/// Does it.
///
/// # Errors
/// When a file or directory cannot be used, or the snapshot is not what it should be.
pub fn run(command: SnapshotCommand) -> Result<Done> {
    match command {
        SnapshotCommand::Export(Export { state, out }) => {
            let done = chain::export_snapshot(&chain_dir(&state), &out, CACHE_BYTES)?;
            Ok(told("exported", &out, &done))
        }
        SnapshotCommand::Import(Import { file, state }) => {
            let _lock = lock_directory(&state)?;
            let done = chain::import_snapshot(&file, &chain_dir(&state), CACHE_BYTES)?;
            Ok(told("imported", &state, &done))
        }
    }
}

fn told(what: &str, place: &std::path::Path, done: &Exported) -> Done {
    let Exported { head, hash, state_root, rows, bytes } = done;
    let place = place.display();
    let text = format!(
        "{what} {place}\n  head        {head} {hash}\n  state root  {state_root}\n  size        {rows} rows, {bytes} bytes"
    );
    Done { text, json: json!({ "head": head, "hash": hash, "state_root": state_root, "rows": rows, "bytes": bytes }) }
}
