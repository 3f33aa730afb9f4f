//! `kumo chain import`: blocks from a file into a state directory.

use super::ImportArguments;
use crate::roles::{imported, lock_directory};
use ::chain::{BlockRecord, BlockStream, Chain, ChainConfig, EthereumGenesis, Imported};
use cli::Output;
use eyre::{Result, WrapErr as _, eyre};
use serde::Serialize;
use std::fs::File;
use std::io::{BufReader, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Bytes of the file read at a time.
const READ_BYTES: usize = 1 << 20;
/// Time between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// What an import did.
#[derive(Debug, Serialize)]
struct Summary {
    /// Blocks executed and kept.
    imported: u64,
    /// Blocks that were there already.
    known: u64,
    /// Gas of the blocks executed.
    gas: u64,
    /// Wall time in seconds.
    seconds: f64,
    blocks_per_second: f64,
    gas_per_second: f64,
    head: Head,
}

#[derive(Debug, Serialize)]
struct Head {
    number: u64,
    hash: String,
    state_root: String,
}

/// Imports until the end of the file, or until a block is refused.
///
/// # Errors
/// When a file or the directory cannot be used, or a block is refused; what was imported before it stays.
pub fn run(arguments: &ImportArguments, output: Output) -> Result<ExitCode> {
    let file = File::open(&arguments.blocks).wrap_err_with(|| format!("cannot read {}", arguments.blocks.display()))?;
    let genesis = arguments.genesis.as_deref().map(genesis).transpose()?;
    let _lock = lock_directory(&arguments.state)?;
    let options = arguments.chain.options();
    options.check(&imported::directory(&arguments.state))?;
    let chain = open(&arguments.state, genesis.as_ref(), options.config)?;
    let mut progress = Progress::new(output);
    let mut stream = BlockStream::new(BufReader::with_capacity(READ_BYTES, file));
    while let Some(block) = stream.next_block()? {
        match chain.import(&block)? {
            Imported::Added(block) => progress.added(&block),
            Imported::Known(_) => progress.known += 1,
        }
    }
    let summary = progress.summary(&chain.head());
    let text = match output {
        Output::Json => serde_json::to_string(&summary)?,
        Output::Text => format!(
            "{} blocks imported, {} known; head {} {}\nserve it with: kumo node --role rpc --state {}",
            summary.imported,
            summary.known,
            summary.head.number,
            summary.head.hash,
            arguments.state.display()
        ),
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}

fn genesis(path: &Path) -> Result<EthereumGenesis> {
    let json = std::fs::read(path).wrap_err_with(|| format!("cannot read {}", path.display()))?;
    EthereumGenesis::from_json(&json).wrap_err_with(|| path.display().to_string())
}

fn open(state: &Path, genesis: Option<&EthereumGenesis>, config: ChainConfig) -> Result<Chain> {
    let dir = imported::directory(state);
    if let Some(genesis) = genesis {
        return Ok(Chain::open_ethereum(&dir, genesis, config)?);
    }
    let absent = || eyre!("{} holds no imported chain yet; name its genesis with --genesis FILE", state.display());
    Chain::open_imported(&dir, config)?.ok_or_else(absent)
}

/// Counts, and a line a second for people who watch.
struct Progress {
    imported: u64,
    known: u64,
    gas: u64,
    started: Instant,
    shown: Instant,
    watched: bool,
}

impl Progress {
    fn new(output: Output) -> Self {
        let watched = output == Output::Text && std::io::stderr().is_terminal();
        Self { imported: 0, known: 0, gas: 0, started: Instant::now(), shown: Instant::now(), watched }
    }

    fn added(&mut self, block: &BlockRecord) {
        self.imported += 1;
        self.gas = self.gas.saturating_add(block.header.gas_used);
        if !self.watched || self.shown.elapsed() < PROGRESS_INTERVAL {
            return;
        }
        self.shown = Instant::now();
        let seconds = self.started.elapsed().as_secs_f64();
        let (blocks, gas) = (self.imported as f64 / seconds, self.gas as f64 / seconds / 1e6);
        // Progress that cannot be shown stops nothing.
        let _ = write!(std::io::stderr(), "\rblock {}: {blocks:.0} blocks/s, {gas:.1} Mgas/s   ", block.number());
    }

    fn summary(&self, head: &BlockRecord) -> Summary {
        if self.watched {
            let _ = write!(std::io::stderr(), "\r{:60}\r", "");
        }
        // A run too short to be timed has no rate to speak of, but must not have an infinite one.
        let seconds = self.started.elapsed().as_secs_f64().max(1e-6);
        Summary {
            imported: self.imported,
            known: self.known,
            gas: self.gas,
            seconds,
            blocks_per_second: self.imported as f64 / seconds,
            gas_per_second: self.gas as f64 / seconds,
            head: Head {
                number: head.number(),
                hash: head.hash.to_string(),
                state_root: head.header.state_root.to_string(),
            },
        }
    }
}
