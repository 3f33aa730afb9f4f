//! What a validator and the rpc role of one process share: the chain, and the way into the mempool.
//!
//! A process that runs both executes every block once, as the validator, and answers from that state; there is nobody
//! between the two who could lie. While the validator runs, only it moves the chain. When it stops or fails, the rpc role
//! follows the other validators on the same chain, and hands it back when the validator starts again.

use super::validator::{ChainOptions, open_chain};
use chain::Chain;
use eyre::Result;
use parking_lot::Mutex;
use protocol::network::Network;
use sequencer::Sequencer;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// The chain of one validator, for the roles of its process. Clones share it.
#[derive(Clone, Default)]
pub struct Shared(Arc<Inner>);

#[derive(Default)]
struct Inner {
    chain: tokio::sync::Mutex<Option<Chain>>,
    sequencer: Mutex<Option<Sequencer>>,
    /// Whether the validator moves the chain. Held locked while anybody else does.
    driven: Mutex<bool>,
    running: watch::Sender<bool>,
}

impl Shared {
    /// The chain in `dir`, opened once for the process.
    ///
    /// # Errors
    /// When the network file has no genesis or the state cannot be opened.
    pub async fn open(&self, dir: &Path, network: &Network, options: ChainOptions) -> Result<Chain> {
        let mut opened = self.0.chain.lock().await;
        if let Some(chain) = &*opened {
            return Ok(chain.clone());
        }
        let chain = open_chain(dir, network, options).await?;
        *opened = Some(chain.clone());
        Ok(chain)
    }

    /// The chain, if the validator of this process has opened it.
    pub async fn chain(&self) -> Option<Chain> {
        self.0.chain.lock().await.clone()
    }

    /// The validator is about to move the chain: nobody else does from now on. Waits for a block being taken.
    pub fn take_over(&self) {
        *self.0.driven.lock() = true;
        self.0.running.send_replace(true);
    }

    /// The validator runs and takes transactions.
    pub fn attach(&self, sequencer: Sequencer) {
        *self.0.sequencer.lock() = Some(sequencer);
        self.0.running.send_replace(true);
    }

    /// The validator has stopped, or never started: others may move the chain.
    pub fn release(&self) {
        *self.0.sequencer.lock() = None;
        *self.0.driven.lock() = false;
        self.0.running.send_replace(false);
    }

    /// The running validator.
    pub fn sequencer(&self) -> Option<Sequencer> {
        self.0.sequencer.lock().clone()
    }

    /// Waits for a validator that runs.
    pub async fn attached(&self) -> Sequencer {
        let mut running = self.0.running.subscribe();
        loop {
            if let Some(sequencer) = self.sequencer() {
                return sequencer;
            }
            // The sender lives in `self`, so the wait cannot fail.
            let _ = running.changed().await;
        }
    }

    /// Waits until no validator moves the chain.
    pub async fn released(&self) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.0.running.subscribe().wait_for(|running| !running).await;
    }

    /// Runs `step` unless the validator moves the chain; it cannot begin to meanwhile.
    pub fn unless_driven<T>(&self, step: impl FnOnce() -> T) -> Option<T> {
        let driven = self.0.driven.lock();
        (!*driven).then(step)
    }
}
