//! `kumo da`: whether the data of a block can be had, and having it from single shards.
//!
//! Nothing is believed but the keys in the network file: later committees are learned from the blocks that announce them,
//! the header is signed by the committee of its height, every shard is checked against the header, and a payload that was
//! put together is encoded again and compared.

use crate::follower::learn;
use crate::genesis;
use ::gateway::client::{ValidatorClient, http_client};
use alloy_primitives::B256;
use clap::{Args, Subcommand};
use eyre::{Context, Result, ensure, eyre};
use proof::certificate::Header;
use protocol::network::Network;
use sdk::rollup::Trust;
use sdk::sampling::{Sampler, Sampling};
use sequencer::committees::{Committees, Schedule};
use sequencer::{Committee, reconstruct};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Sample the data of blocks, and fetch it
#[derive(Debug, Subcommand)]
pub enum DaCommand {
    /// Draw random shards of a block, verify each, and say how likely its data is available
    ///
    /// Fails if a shard that was drawn is served by nobody. What the answer rests on is in docs/availability.md.
    #[command(after_help = "Examples:\n  kumo da sample\n  kumo da sample 1200 --samples 30 --output json")]
    Sample(SampleArguments),
    /// Put the payload of a block together from shards, whoever serves them, and write it to a file
    #[command(after_help = "Example:\n  kumo da fetch 1200 --out payload.bin")]
    Fetch(FetchArguments),
}

/// Whom to ask.
#[derive(Debug, Args)]
pub struct Asked {
    /// URL of a validator to ask, may be repeated; those of the committee if absent
    #[arg(long = "validator", value_name = "URL")]
    pub validators: Vec<String>,
}

/// `kumo da sample`.
#[derive(Debug, Args)]
pub struct SampleArguments {
    /// Which block; the newest if absent
    #[arg(value_name = "HEIGHT", value_parser = clap::value_parser!(u64).range(1..))]
    pub height: Option<u64>,
    /// Different shards to draw, 1 to 384; all if the block has fewer
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=384))]
    pub samples: u32,
    /// Whom to ask.
    #[command(flatten)]
    pub asked: Asked,
}

/// `kumo da fetch`.
#[derive(Debug, Args)]
pub struct FetchArguments {
    /// Which block
    #[arg(value_name = "HEIGHT", value_parser = clap::value_parser!(u64).range(1..))]
    pub height: u64,
    /// Where the payload is written; its format is in docs/formats.md
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Whom to ask.
    #[command(flatten)]
    pub asked: Asked,
}

/// What a command found.
#[derive(Debug)]
pub struct Found {
    /// For a person.
    pub text: String,
    /// For a program.
    pub json: Value,
    /// Whether the data was there.
    pub ok: bool,
}

/// Runs a command.
///
/// # Errors
/// When nobody proves what the block is, or, for `fetch`, too few shards are served or the file cannot be written.
pub async fn run(command: DaCommand, network: &Network) -> Result<Found> {
    match command {
        DaCommand::Sample(words) => sample(words, network).await,
        DaCommand::Fetch(words) => fetch(words, network).await,
    }
}

async fn sample(words: SampleArguments, network: &Network) -> Result<Found> {
    let urls = urls(&words.asked, network);
    let height = match words.height {
        Some(height) => height,
        None => Sampler::new(&urls, Trust::of(network)?)?.newest().await?,
    };
    let sampler = sampler(&words.asked, network, height).await?;
    let header = sampler.header(height).await?;
    let sampling = sampler.sample(&header, words.samples).await?;
    let ok = sampling.missing.is_empty();
    Ok(Found { text: text(&header, &sampling), json: to_json(&header, &sampling), ok })
}

async fn fetch(words: FetchArguments, network: &Network) -> Result<Found> {
    let sampler = sampler(&words.asked, network, words.height).await?;
    let header = sampler.header(words.height).await?;
    let collected = sampler.collect(&header).await?;
    let root = header.erasure_root.0;
    let shards: Vec<_> = collected.shards.into_iter().map(|(index, shard)| (index, shard.0)).collect();
    let count = shards.len();
    let payload = tokio::task::spawn_blocking(move || reconstruct(collected.payload_bytes, &shards, &root)).await??;
    let file = words.out;
    std::fs::write(&file, &payload).wrap_err_with(|| format!("cannot write {}", file.display()))?;
    let json = json!({
        "height": header.height,
        "digest": header.digest.to_string(),
        "bytes": payload.len(),
        "shards": count,
        "file": file,
    });
    Ok(Found { text: file.display().to_string(), json, ok: true })
}

/// The validators that are asked before the committee of the height is known.
fn urls(asked: &Asked, network: &Network) -> Vec<String> {
    match asked.validators.is_empty() {
        true => network.validators.iter().map(|validator| validator.api.clone()).collect(),
        false => asked.validators.clone(),
    }
}

/// Asks the validators, and believes the committee that ordered the block.
async fn sampler(asked: &Asked, network: &Network, height: u64) -> Result<Sampler> {
    let known = urls(asked, network);
    // A network file without genesis is that of a client, which knows the first committee alone.
    let Ok(genesis) = genesis::of(network) else { return Ok(Sampler::new(&known, Trust::of(network)?)?) };
    let first = Committee::new(&network.validators, network.chain_id)?;
    let committees = Committees::new(Schedule::new(first, genesis.epoch_blocks));
    learn_from_any(&known, &committees).await?;
    let committee = committees.at(height);
    let keys = committee.keys().into_iter().map(B256::from).collect();
    let seated = || committee.validators().iter().map(|validator| validator.api.clone()).filter(|url| !url.is_empty());
    let urls = if asked.validators.is_empty() { seated().collect() } else { known };
    Ok(Sampler::new(&urls, Trust::new(network.chain_id, keys)?)?)
}

/// Learns the committees from the first validator that proves them.
async fn learn_from_any(urls: &[String], committees: &Committees) -> Result<()> {
    let mut last = eyre!("the network file names no validators");
    for url in urls {
        let learned = async { learn(&ValidatorClient::new(url, http_client())?, committees).await };
        match learned.await {
            Ok(()) => return Ok(()),
            Err(error) => last = error.wrap_err(format!("{url} does not prove who orders")),
        }
    }
    ensure!(!urls.is_empty(), "the network file names no validators");
    Err(last)
}

fn text(header: &Header, sampling: &Sampling) -> String {
    let Sampling { payload_bytes, code, drawn, verified, missing, chance, faults } = sampling;
    let mut text = format!(
        "block      {} {}\npayload    {payload_bytes} bytes; any {} of {} shards give it back\nsamples    {verified} of {drawn} \
         served and verified\n",
        header.height, header.digest, code.data, code.total
    );
    match missing.is_empty() {
        true if *verified >= code.data => {
            text.push_str("available  as many shards were seen as give the payload back\n")
        }
        true => text.push_str(&format!("available  the chance to be wrong about that is {chance:.1e}\n")),
        false => text.push_str(&format!("missing    shards {missing:?}: the data may be withheld\n")),
    }
    for fault in faults {
        text.push_str(&format!("fault      {} shard {}: {}\n", fault.validator, fault.index, fault.reason));
    }
    text
}

fn to_json(header: &Header, sampling: &Sampling) -> Value {
    let Sampling { payload_bytes, code, drawn, verified, missing, chance, faults } = sampling;
    let fault = |fault: &sdk::sampling::Fault| json!({ "validator": fault.validator, "shard": fault.index, "reason": fault.reason });
    json!({
        "height": header.height,
        "digest": header.digest.to_string(),
        "payload_bytes": payload_bytes,
        "shards": code.total,
        "needed": code.data,
        "drawn": drawn,
        "verified": verified,
        "missing": missing,
        "chance": chance,
        "faults": faults.iter().map(fault).collect::<Vec<_>>(),
    })
}
