//! `kumo store`: files.

use crate::amount::bytes;
use crate::session::Session;
use crate::{Exit, Failure, Table, rfc3339};
use clap::{Args, Subcommand};
use sdk::files::{Protection, Unlock};
use sdk::protocol::api::FileInfo;
use sdk::{B256, Cid};
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// Most files in one list.
const LIST_MAX: u16 = 500;

/// Store and fetch files: encrypted on this machine, erasure-coded over storage nodes
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Encrypt and store a file; prints only its CID
    ///
    /// The file is encrypted here with a fresh key that is wrapped to your account: neither the gateway nor a storage node
    /// can read it. With --plain it is stored as it is, and every IPFS client can fetch it.
    #[command(
        after_help = "Examples:\n  kumo store put data.csv\n  cid=$(kumo store put data.csv)\n  kumo store put --plain index.html"
    )]
    Put(Put),
    /// Fetch a file, check every block against its CID, decrypt it if it is yours
    #[command(after_help = "Examples:\n  kumo store get bafybei… -o data.csv\n  kumo store get bafybei… | head")]
    Get(Get),
    /// List the files that the gateway knows, newest first
    #[command(after_help = "Examples:\n  kumo store ls\n  kumo store ls --limit 5 --output json")]
    Ls(Ls),
    /// Find damaged and missing shards of a file and rebuild them
    #[command(after_help = "Example:\n  kumo store repair bafybei…")]
    Repair(Repair),
}

/// `kumo store put`.
#[derive(Debug, Args)]
pub struct Put {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Do not encrypt: everybody can read it
    #[arg(long)]
    pub plain: bool,
    /// Also readable by the holder of this X25519 key (0x and 64 hex digits); may be repeated
    #[arg(long, value_name = "KEY", conflicts_with = "plain")]
    pub reader: Vec<B256>,
}

/// `kumo store get`.
#[derive(Debug, Args)]
pub struct Get {
    /// Its address
    #[arg(value_name = "CID")]
    pub cid: Cid,
    /// Write it here, whole or not at all; stdout if absent
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Do not decrypt: the bytes as stored
    #[arg(long)]
    pub raw: bool,
}

/// `kumo store ls`.
#[derive(Debug, Args)]
pub struct Ls {
    /// How many, 1 to 500
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=LIST_MAX as i64))]
    pub limit: u16,
}

/// `kumo store repair`.
#[derive(Debug, Args)]
pub struct Repair {
    /// The file
    #[arg(value_name = "CID")]
    pub cid: Cid,
}

pub(crate) async fn run(command: Command, session: &mut Session<'_>) -> Result<Exit, Failure> {
    match command {
        Command::Put(arguments) => put(arguments, session).await,
        Command::Get(arguments) => get(arguments, session).await,
        Command::Ls(arguments) => ls(arguments, session).await,
        Command::Repair(arguments) => repair(arguments, session).await,
    }
}

async fn put(arguments: Put, session: &mut Session<'_>) -> Result<Exit, Failure> {
    session.doing(format!("cannot store {}", arguments.file.display()));
    let client = session.client().await?;
    let protection = match arguments.plain {
        true => Protection::Plain,
        false => {
            let owner = session.wallet(&client)?.exchange_public();
            Protection::Encrypted([owner].into_iter().chain(arguments.reader).collect())
        }
    };
    let stored = client.files.put(&arguments.file, &protection).await?;
    let info = &stored.info;
    let how = if stored.key.is_some() { "encrypted" } else { "plain" };
    session.say(format!(
        "stored {} {how}: {} of {} shards, any {} of {} rebuild a segment",
        bytes(stored.file_bytes),
        info.shards_healthy.unwrap_or(info.shards_total),
        info.shards_total,
        info.k,
        info.n,
    ));
    let mut json = file_json(info);
    json["file_bytes"] = stored.file_bytes.into();
    json["encrypted"] = stored.key.is_some().into();
    session.print(stored.cid.to_string(), json)?;
    Ok(Exit::Ok)
}

async fn get(arguments: Get, session: &mut Session<'_>) -> Result<Exit, Failure> {
    session.doing(format!("cannot fetch {}", arguments.cid));
    if session.is_json() && arguments.out.is_none() {
        let failure = Failure::new(Exit::Usage, "with --output json stdout is for JSON, and the file needs a place");
        return Err(failure.next("add -o FILE"));
    }
    let client = session.client().await?;
    // A plain file can be fetched without any account.
    let wallet = session.wallet(&client).ok();
    let unlock = match &wallet {
        Some(wallet) if !arguments.raw => Unlock::Wallet(wallet),
        _ => Unlock::AsStored,
    };
    let cid = arguments.cid;
    let Some(path) = arguments.out else {
        client.files.get(&cid, &unlock, &mut Piped(session.out())).await.map_err(output_failure)?;
        return Ok(Exit::Ok);
    };
    let fetched = client.files.get_to_file(&cid, &unlock, &path).await?;
    session.say(format!("wrote {} to {}", bytes(fetched.bytes), path.display()));
    let json = json!({
        "cid": cid.to_string(),
        "path": path.display().to_string(),
        "bytes": fetched.bytes,
        "encrypted": fetched.encrypted,
    });
    session.print("", json)?;
    Ok(Exit::Ok)
}

async fn ls(arguments: Ls, session: &mut Session<'_>) -> Result<Exit, Failure> {
    session.doing("cannot list files");
    let files = session.client().await?.files.list(arguments.limit.into()).await?;
    let mut table = Table::new(&["cid", "size", "shards", "stored"]);
    for file in &files {
        let shards = format!("{} ({} of {})", file.shards_total, file.k, file.n);
        table.row([file.cid.clone(), bytes(file.size), shards, rfc3339(file.stored_at)]);
    }
    session.print(table.render(), files.iter().map(file_json).collect())?;
    Ok(Exit::Ok)
}

async fn repair(arguments: Repair, session: &mut Session<'_>) -> Result<Exit, Failure> {
    session.doing(format!("cannot repair {}", arguments.cid));
    let report = session.client().await?.files.repair(&arguments.cid).await?;
    let text = format!(
        "{} shards checked, {} damaged or missing, {} rebuilt, {} without a place",
        report.checked, report.damaged, report.rebuilt, report.unplaced
    );
    let json = json!({
        "cid": arguments.cid.to_string(),
        "checked": report.checked,
        "damaged": report.damaged,
        "rebuilt": report.rebuilt,
        "unplaced": report.unplaced,
    });
    session.print(text, json)?;
    match report.unplaced {
        0 => Ok(Exit::Ok),
        unplaced => Err(Failure::new(Exit::Unavailable, format!("{unplaced} shards found no storage node with room"))
            .money("the file can still be read as long as enough shards are left")
            .next("start another storage node, then repair again")),
    }
}

fn file_json(file: &FileInfo) -> Value {
    json!({
        "cid": file.cid,
        "size": file.size,
        "segments": file.segments,
        "k": file.k,
        "n": file.n,
        "stored_at": rfc3339(file.stored_at),
        "shards_healthy": file.shards_healthy,
        "shards_total": file.shards_total,
    })
}

fn output_failure(error: sdk::FilesError) -> Failure {
    match error {
        sdk::FilesError::Output(error) => Failure::output(error),
        other => other.into(),
    }
}

/// A blocking writer as an asynchronous one: stdout of a program that does nothing else meanwhile.
struct Piped<'a>(&'a mut (dyn Write + Send));

impl AsyncWrite for Piped<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(self.get_mut().0.write(data))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(self.get_mut().0.flush())
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.poll_flush(context)
    }
}
