//! Kumo's validators, with an application that fills blocks.

use crate::Result;
use crate::measure::{Figures, Load, Taken, observe};
use bytes::Bytes;
use protocol::api::StakeFinality;
use sequencer::guard::Guard;
use sequencer::{
    Application, Block, Committee, Config, Content, Entry, Limits, Proposal, Propose, Sequencer, ValidatorKeys,
};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

const CHAIN_ID: u64 = 5886;
/// Blocks of an epoch, as in a new network.
const EPOCH_BLOCKS: u64 = 32;
/// Epoch from which on checkpoints become final one after the other: nothing is weighed before epoch 2 ends.
const STEADY_EPOCH: u64 = 4;
/// Bytes of one transaction of a filled block.
const TRANSACTION_BYTES: usize = 100_000;

/// Puts the same bytes into every block it proposes, and accepts any.
#[derive(Default)]
struct Filler {
    transactions: Vec<Bytes>,
    height: AtomicU64,
    taken: Taken,
    finality: OnceLock<watch::Receiver<StakeFinality>>,
    /// Most epochs that the newest checkpoint which stake has finalised was behind.
    epochs_behind: AtomicU64,
}

impl Filler {
    fn new(bytes: usize) -> Self {
        let count = bytes / TRANSACTION_BYTES;
        let transactions = (0..count).map(|index| Bytes::from(vec![index as u8; TRANSACTION_BYTES])).collect();
        Self { transactions, ..Self::default() }
    }
}

impl Application for Filler {
    fn genesis_commitment(&self) -> Bytes {
        Bytes::new()
    }

    fn propose(&self, _request: Propose<'_>) -> Option<Proposal> {
        let filled = (!self.transactions.is_empty()).then(|| Entry::new(7, self.transactions.iter().cloned()));
        let content = Content { entries: filled.into_iter().collect(), bundles: vec![] };
        Some(Proposal { content, ..Proposal::default() })
    }

    fn verify(&self, _ancestors: &[Arc<Block>], _block: &Block) -> bool {
        true
    }

    fn finalized(&self, block: &Block) -> std::result::Result<(), String> {
        self.height.store(block.height, Ordering::Release);
        if let Some(now) = self.finality.get().map(|finality| finality.borrow().clone())
            && now.epoch >= STEADY_EPOCH
        {
            self.epochs_behind.fetch_max(now.epoch - now.finalized.epoch, Ordering::Relaxed);
        }
        self.taken.note(block.timestamp_millis * 1_000, block.payload.encoded().len());
        Ok(())
    }

    fn finalized_height(&self) -> u64 {
        self.height.load(Ordering::Acquire)
    }
}

/// Runs `seats` of a committee on these ports in this process, and measures.
pub fn run(load: Load, seconds: u64, seats: &[usize], ports: &[u16], directory: &Path) -> Result<Figures> {
    let keys: Vec<_> = (0..ports.len() as u64).map(ValidatorKeys::from_seed).collect();
    let validators: Vec<_> =
        keys.iter().zip(ports).map(|(keys, port)| keys.validator(format!("127.0.0.1:{port}"), String::new())).collect();
    let committee = Committee::new(&validators, CHAIN_ID)?;
    let genesis = Block::genesis(CHAIN_ID, 0, Bytes::new()).digest();
    let fillers: Vec<_> = seats.iter().map(|_| Arc::new(Filler::new(load.bytes))).collect();
    let mut running = Vec::new();
    for (seat, filler) in seats.iter().zip(&fillers) {
        let config = Config {
            keys: ValidatorKeys::from_seed(*seat as u64),
            committee: committee.clone(),
            listen: ([127, 0, 0, 1], ports[*seat]).into(),
            directory: directory.join(seat.to_string()),
            genesis_timestamp_millis: 0,
            block_millis: load.pace_millis,
            limits: Limits::default(),
            epoch_blocks: EPOCH_BLOCKS,
            guard: Arc::new(Guard::create(&directory.join(format!("{seat}.guard")), genesis)?),
            lane: None,
        };
        let sequencer = Sequencer::start(config, filler.clone())?;
        let _ = filler.finality.set(sequencer.finality());
        running.push(sequencer);
    }
    let taken: Vec<_> = fillers.iter().map(|filler| &filler.taken).collect();
    let behind = fillers.iter().map(|filler| filler.epochs_behind.load(Ordering::Relaxed));
    let figures = observe(&taken, seconds)?;
    let figures = Figures { finality_epochs: behind.max().unwrap_or(0), ..figures };
    // All processes measure at the same time; the first to end must not disturb the others.
    std::thread::sleep(std::time::Duration::from_secs(1));
    running.into_iter().for_each(Sequencer::stop_blocking);
    Ok(figures)
}
