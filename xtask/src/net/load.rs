//! Transactions that come all the time, and what was promised about each.

use super::http;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Namespace of the transactions.
const NAMESPACE: u64 = 7_001;
/// Bytes of each.
const PAYLOAD_BYTES: usize = 200;
/// Pause of each submitter after every answer.
const PAUSE: Duration = Duration::from_millis(100);

/// Submits to every validator until it is stopped.
pub struct Load {
    acknowledged: Arc<Mutex<Vec<String>>>,
    is_stopped: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins; `round` makes the transactions differ from those of other loads.
    pub fn start(validators: &[SocketAddr], round: u64) -> Self {
        let (acknowledged, is_stopped) = (Arc::new(Mutex::new(vec![])), Arc::new(AtomicBool::new(false)));
        let submit = |address: &SocketAddr| {
            let (address, acknowledged, is_stopped) = (*address, acknowledged.clone(), is_stopped.clone());
            std::thread::spawn(move || {
                for number in 0.. {
                    if is_stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    // A refusal, or no answer, promises nothing.
                    if let Ok(receipt) = http::post(address, "/seq/v1/submit", &transaction(address, round, number)) {
                        let hash = receipt["hash"].as_str().unwrap_or_default().to_owned();
                        acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push(hash);
                    }
                    std::thread::sleep(PAUSE);
                }
            })
        };
        let threads = validators.iter().map(submit).collect();
        Self { acknowledged, is_stopped, threads }
    }

    /// Stops; the hashes of all that was acknowledged.
    pub fn stop(self) -> Vec<String> {
        self.is_stopped.store(true, Ordering::Relaxed);
        for thread in self.threads {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
        std::mem::take(&mut *self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn transaction(address: SocketAddr, round: u64, number: u64) -> Value {
    let text = format!("{address} {round} {number} ");
    let payload: Vec<u8> = text.bytes().cycle().take(PAYLOAD_BYTES).collect();
    json!({ "namespace": NAMESPACE, "payload": format!("0x{}", hex::encode(payload)) })
}
