//! Finality as a follower computes it: from the blocks it follows, believing nobody.
//!
//! The newest checkpoint is kept in one file with the state it commits to. After a restart the blocks behind it are
//! followed once more, at most an epoch of them; without the file, all. While a validator runs in the same process, its
//! checkpoints are taken over, so that the follower can go on when it stops.

use crate::seam;
use crate::validators::Registry;
use chain::rpc::FinalityStatus;
use eyre::{Context, Result, ensure, eyre};
use parking_lot::Mutex;
use proof::checkpoint::{Checkpoint, Point};
use sequencer::finality::{KeptCheckpoint, Tracker};
use sequencer::{Block, Committee, Sequencer};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// File in a follower's directory: the newest checkpoint and its state.
pub const CHECKPOINT_FILE: &str = "finality.checkpoint";

/// Finality of one network as it follows from its blocks.
pub struct Followed {
    tracker: Mutex<Tracker>,
    file: PathBuf,
    status: FinalityStatus,
}

impl Followed {
    /// Goes on from the file in `dir`, or begins at `genesis`.
    ///
    /// # Errors
    /// When the file is damaged or of another network, or the epochs are too short or too long.
    pub fn open(dir: &Path, committee: &Committee, genesis: &Block, epoch_blocks: u64) -> Result<Self> {
        let start = Tracker::genesis(committee, genesis, epoch_blocks)?;
        let file = dir.join(CHECKPOINT_FILE);
        let tracker = match fs::read(&file) {
            Ok(bytes) => resume(&bytes, &start).wrap_err_with(|| {
                format!("{} cannot be used; remove it to follow all blocks once more", file.display())
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => start,
            Err(error) => return Err(eyre!("cannot read {}: {error}", file.display())),
        };
        let status = FinalityStatus::default();
        status.seen(tracker.finality());
        Ok(Self { tracker: Mutex::new(tracker), file, status })
    }

    /// Starts from a checkpoint that the operator trusts, unless this node is past it already.
    ///
    /// # Errors
    /// When it is another one than `trusted`, too old for this clock, of another network, or cannot be kept.
    pub fn trust(&self, trusted: Point, kept: &[u8], now_seconds: u64) -> Result<Checkpoint> {
        let kept = KeptCheckpoint::decode(kept)?;
        let started = Tracker::trust(trusted, &kept, now_seconds)?;
        let mut tracker = self.tracker.lock();
        check_network(&started, &tracker)?;
        if kept.checkpoint.height > tracker.height() {
            *tracker = started;
            self.keep(&kept)?;
            self.status.seen(tracker.finality());
        }
        Ok(kept.checkpoint)
    }

    /// What the JSON-RPC is told.
    pub fn status(&self) -> FinalityStatus {
        self.status.clone()
    }

    /// The height wanted next.
    pub fn next_height(&self) -> u64 {
        self.tracker.lock().height() + 1
    }

    /// Takes a final block; one that was taken before changes nothing.
    ///
    /// # Errors
    /// When it is not the next one, the stake after it cannot be read, or the checkpoint that it opens cannot be kept.
    pub fn apply(&self, block: &Block, registry: &Registry) -> Result<()> {
        let mut tracker = self.tracker.lock();
        if block.height <= tracker.height() {
            return Ok(());
        }
        let stake = match tracker.opens(block.height) {
            true => registry.candidate(seam::block_hash(block)).wrap_err_with(|| unreadable(block.height))?,
            false => None,
        };
        let applied = tracker.apply(block, block.digest(), stake.as_ref())?;
        if let Some(opened) = applied.outcome.opened {
            self.keep(&KeptCheckpoint { checkpoint: opened.checkpoint, state: opened.state })?;
        }
        self.status.seen(tracker.finality());
        Ok(())
    }

    /// Takes over what the validator of this process computes, until it stops.
    pub async fn mirror(self: Arc<Self>, sequencer: Sequencer) {
        let mut finality = sequencer.finality();
        let mut epoch = 0;
        loop {
            let now = finality.borrow_and_update().clone();
            if now.epoch > epoch {
                epoch = now.epoch;
                let (keeper, validator) = (self.clone(), sequencer.clone());
                // It logs its own failure; a panic there must not end this.
                let _ = tokio::task::spawn_blocking(move || keeper.adopt(&validator, epoch)).await;
            }
            self.status.seen(now);
            if finality.changed().await.is_err() {
                return;
            }
        }
    }

    /// Keeps the validator's checkpoint of an epoch as if it were followed.
    fn adopt(&self, sequencer: &Sequencer, epoch: u64) {
        let adopted = sequencer.checkpoint(epoch).map_err(eyre::Report::from).and_then(|kept| {
            let Some(kept) = kept else { return Ok(()) };
            let mut tracker = self.tracker.lock();
            if kept.checkpoint.height > tracker.height() {
                *tracker = resume(&kept.encode(), &tracker)?;
                self.keep(&kept)?;
            }
            Ok(())
        });
        if let Err(error) = adopted {
            tracing::warn!(%error, epoch, "the validator's checkpoint is not taken over; its blocks will be followed");
        }
    }

    /// Replaces the file; durable when it returns.
    fn keep(&self, kept: &KeptCheckpoint) -> Result<()> {
        let new = self.file.with_extension("new");
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&new)?;
            file.write_all(&kept.encode())?;
            file.sync_all()?;
            fs::rename(&new, &self.file)
        };
        write().wrap_err_with(|| format!("cannot write {}", self.file.display()))
    }
}

fn unreadable(height: u64) -> String {
    format!(
        "the stake after block {height} cannot be read; if its state is pruned, start from a newer checkpoint that you \
         trust (--checkpoint)"
    )
}

/// The tracker after a kept checkpoint of the same network as `other`.
fn resume(bytes: &[u8], other: &Tracker) -> Result<Tracker> {
    let tracker = Tracker::resume(&KeptCheckpoint::decode(bytes)?)?;
    check_network(&tracker, other)?;
    Ok(tracker)
}

fn check_network(tracker: &Tracker, other: &Tracker) -> Result<()> {
    ensure!(
        tracker.state().parameters() == other.state().parameters(),
        "it is of a network with another genesis or other epochs"
    );
    Ok(())
}
