//! `kumo node snapshot`: what a validator keeps, as a folder of two files, from which another one begins at a checkpoint.
//!
//! `chain.snapshot` is that of [`chain`], `sequencer.snapshot` that of [`sequencer::transfer`]. The second proves which block the
//! first must be the state after.

use crate::genesis;
use crate::protection::GUARD_FILE;
use crate::roles::lock_directory;
use crate::roles::validator::CHAIN_DIR;
use crate::seam::{Settlement, block_hash};
use chain::{Chain, ChainConfig};
use clap::{Args, Subcommand};
use eyre::{Context as _, Result, ensure};
use proof::checkpoint::Point;
use protocol::network::Network;
use sequencer::transfer::{self, Head, Origin, Transferred};
use sequencer::{Application as _, Block, Committee};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Memory for pages of the chain.
const CACHE_BYTES: usize = 256 << 20;
const CHAIN_FILE: &str = "chain.snapshot";
const SEQUENCER_FILE: &str = "sequencer.snapshot";
/// Stands in the directory of a validator while an import is under way.
const IMPORTING_FILE: &str = "importing";
/// Directory of the sequencer in the directory of a validator.
pub const SEQUENCER_DIR: &str = "sequencer";

/// Every command below `kumo node snapshot`.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Write what a validator keeps to a new folder
    ///
    /// The validator must not run. The folder holds no keys. What is printed names the checkpoint that it begins with.
    #[command(
        after_help = "Example:\n  kumo node snapshot export --state net/validator-0 --out snapshot --network net/network.json"
    )]
    Export(Export),
    /// Make what a new validator keeps from a folder, without the blocks before its checkpoint
    ///
    /// Name the checkpoint as somebody you trust has it, when stake has finalised it: `GET /seq/v1/checkpoint?epoch=N` of his
    /// validator. Everything else is proven from there; what does not follow is refused.
    #[command(
        after_help = "Example:\n  kumo node snapshot import snapshot --state my-validator --checkpoint 7:0x… --network net/network.json"
    )]
    Import(Import),
}

/// `kumo node snapshot export`.
#[derive(Debug, Args)]
pub struct Export {
    /// Directory of the validator
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// Folder to make; there must be none of that name
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// `kumo node snapshot import`.
#[derive(Debug, Args)]
pub struct Import {
    /// Folder that `export` made
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Directory of the new validator; it may have keys, and must not have anything else yet
    #[arg(long, value_name = "DIR")]
    pub state: PathBuf,
    /// The checkpoint that you trust
    #[arg(long, value_name = "EPOCH:ROOT", value_parser = crate::args::checkpoint)]
    pub checkpoint: Point,
}

/// What is the same for all validators of a network.
struct Common {
    genesis: Block,
    committee: Committee,
    epoch_blocks: u64,
    has_lane: bool,
    /// Newest block of the chain that was opened.
    head: Head,
}

impl Common {
    fn origin(&self) -> Origin<'_> {
        let Self { genesis, committee, epoch_blocks, has_lane, .. } = self;
        Origin { genesis, committee, epoch_blocks: *epoch_blocks, has_lane: *has_lane }
    }
}

/// Does it; returns what to print, for people and as JSON.
///
/// # Errors
/// When a file or directory cannot be used, or the snapshot is not what it should be.
pub fn run(command: &SnapshotCommand, network: &Network) -> Result<(String, Value)> {
    match command {
        SnapshotCommand::Export(words) => export(words, network),
        SnapshotCommand::Import(words) => import(words, network),
    }
}

fn export(Export { state, out }: &Export, network: &Network) -> Result<(String, Value)> {
    let _lock = lock_directory(state)?;
    check_whole(state)?;
    let chain = state.join(CHAIN_DIR);
    let common = common(&chain, network)?;
    fs::create_dir(out).wrap_err_with(|| format!("cannot make {}", out.display()))?;
    let write = || -> Result<Transferred> {
        let exported = chain::export_snapshot(&chain, &out.join(CHAIN_FILE), CACHE_BYTES)?;
        ensure!(exported.head == common.head.height, "the chain went on while it was read");
        let (directory, file) = (state.join(SEQUENCER_DIR), out.join(SEQUENCER_FILE));
        Ok(transfer::export(&directory, &file, common.origin(), common.head.height)?)
    };
    let done = write().inspect_err(|_| drop(fs::remove_dir_all(out)))?;
    Ok(told("exported", out, &done, &common.head))
}

fn import(Import { folder, state, checkpoint }: &Import, network: &Network) -> Result<(String, Value)> {
    let _lock = lock_directory(state)?;
    let guard = state.join(GUARD_FILE);
    ensure!(
        !guard.exists(),
        "{} exists: these keys have voted, and whoever does not know for what must not go on with them; make new ones",
        guard.display()
    );
    let [chain, directory] = [CHAIN_DIR, SEQUENCER_DIR].map(|name| state.join(name));
    let importing = Importing::begin(state)?;
    let make = || -> Result<(Transferred, Head)> {
        chain::import_snapshot(&folder.join(CHAIN_FILE), &chain, CACHE_BYTES)?;
        let common = common(&chain, network)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let begin = transfer::Begin { origin: common.origin(), trusted: *checkpoint, head: common.head };
        Ok((transfer::import(&folder.join(SEQUENCER_FILE), &directory, begin, now)?, common.head))
    };
    let (done, head) = make().inspect_err(|_| drop(importing.undo()))?;
    importing.finish()?;
    Ok(told("imported", state, &done, &head))
}

/// An import that is under way: seen from outside it happens as a whole or not at all.
///
/// There is nothing in the directory before it but keys, and a file says that it is under way. So what stands beside that file
/// was made by an import that was interrupted: the next one removes it, and no validator starts with it.
struct Importing<'a> {
    state: &'a Path,
}

impl<'a> Importing<'a> {
    fn begin(state: &'a Path) -> Result<Self> {
        let importing = Self { state };
        if importing.marker().exists() {
            importing.undo()?;
        }
        for path in importing.made() {
            ensure!(!path.exists(), "{} exists: this validator has begun already", path.display());
        }
        let marker = importing.marker();
        let mark = || File::create_new(&marker)?.sync_all().and_then(|()| importing.sync());
        mark().wrap_err_with(|| format!("cannot write {}", marker.display()))?;
        Ok(importing)
    }

    fn marker(&self) -> PathBuf {
        self.state.join(IMPORTING_FILE)
    }

    /// What an import makes, its drafts among it.
    fn made(&self) -> [PathBuf; 3] {
        let sequencer = self.state.join(SEQUENCER_DIR);
        [self.state.join(CHAIN_DIR), transfer::draft(&sequencer), sequencer]
    }

    fn sync(&self) -> io::Result<()> {
        File::open(self.state)?.sync_all()
    }

    /// Removes everything, and at last the file that says so.
    fn undo(&self) -> Result<()> {
        for path in self.made().iter().filter(|path| path.exists()) {
            fs::remove_dir_all(path).wrap_err_with(|| format!("cannot remove {}", path.display()))?;
        }
        self.finish()
    }

    /// From here on it has happened.
    fn finish(&self) -> Result<()> {
        let marker = self.marker();
        let remove = || self.sync().and_then(|()| fs::remove_file(&marker)).and_then(|()| self.sync());
        remove().wrap_err_with(|| format!("cannot remove {}", marker.display()))
    }
}

/// Whether the directory of a validator is not what an interrupted import has left.
///
/// # Errors
/// When it is.
pub fn check_whole(state: &Path) -> Result<()> {
    let marker = state.join(IMPORTING_FILE);
    ensure!(
        !marker.exists(),
        "{} exists: `kumo node snapshot import` was interrupted here; run it again, it begins anew",
        marker.display()
    );
    Ok(())
}

/// Reads the network, and the chain in `dir`, which must be its chain.
fn common(dir: &Path, network: &Network) -> Result<Common> {
    let (spec, genesis) = (genesis::spec(network)?, genesis::of(network)?);
    ensure!(dir.exists(), "there is no chain in {}", dir.display());
    let chain = Chain::open(dir, &spec, ChainConfig { cache_bytes: CACHE_BYTES, ..ChainConfig::default() })?;
    let head = chain.head();
    let application = Settlement::new(chain, network)?;
    Ok(Common {
        genesis: Block::genesis(network.chain_id, genesis.timestamp * 1000, application.genesis_commitment()),
        committee: Committee::new(&network.validators, network.chain_id)?,
        epoch_blocks: genesis.epoch_blocks,
        has_lane: network.lane.is_some(),
        head: Head { height: application.finalized_height(), hash: head.hash.0, hash_of: |block| block_hash(block).0 },
    })
}

fn told(what: &str, place: &Path, done: &Transferred, head: &Head) -> (String, Value) {
    let Transferred { epoch, root, first, last, bytes } = done;
    let root = format!("0x{}", hex::encode(root));
    let (place, height) = (place.display(), head.height);
    let text = format!(
        "{what} {place}\n  checkpoint  {epoch}:{root}\n  blocks      {first} to {last}, {bytes} bytes\n  state       after block {height}"
    );
    let checkpoint = json!({ "epoch": epoch, "root": root });
    (text, json!({ "checkpoint": checkpoint, "first": first, "last": last, "head": height, "bytes": bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a killed import has left: its file, and whatever it had made by then.
    fn interrupted(state: &Path, made: &[&str]) {
        Importing::begin(state).unwrap();
        made.iter().for_each(|name| {
            fs::create_dir(state.join(name)).unwrap();
            fs::write(state.join(name).join("file"), "half").unwrap();
        });
    }

    fn names(state: &Path) -> Vec<String> {
        let entries = fs::read_dir(state).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_import_that_was_killed_anywhere_is_not_started_from_and_is_begun_anew() {
        let steps: [&[&str]; 4] = [&[], &["chain"], &["chain", "sequencer.part"], &["chain", "sequencer"]];
        for made in steps {
            let directory = tempfile::tempdir().unwrap();
            let state = directory.path();
            fs::write(state.join("validator.key"), "keys").unwrap();
            interrupted(state, made);
            let refused = check_whole(state).unwrap_err().to_string();
            assert!(refused.contains("was interrupted here; run it again"), "{refused}");
            let importing = Importing::begin(state).unwrap();
            assert_eq!(names(state), ["importing", "validator.key"], "after {made:?}");
            fs::create_dir(state.join("chain")).unwrap();
            importing.finish().unwrap();
            check_whole(state).unwrap();
            assert_eq!(names(state), ["chain", "validator.key"], "what is whole stays");
            let again = Importing::begin(state).err().unwrap().to_string();
            assert!(again.contains("this validator has begun already"), "{again}");
            assert_eq!(names(state), ["chain", "validator.key"]);
        }
    }
}
