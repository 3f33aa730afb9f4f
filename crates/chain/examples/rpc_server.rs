//! An Ethereum chain for one developer: JSON-RPC on a local port, blocks mined as transactions come, no consensus.
//!
//! ```text
//! cargo run -p chain --example rpc_server -- 8545
//! cast block-number --rpc-url http://127.0.0.1:8545
//! ```
//!
//! The account of private key `0x0101…01` (32 bytes of 1) has 10,000 coins. State lives in a temporary directory and
//! is gone afterwards.

use alloy_primitives::{Address, Bytes, U256, address};
use async_trait::async_trait;
use chain::pool::Broadcast;
use chain::rpc::{RpcLimits, serve};
use chain::{BlockAttributes, Chain, ChainConfig, GenesisSpec};
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

const RICH: Address = address!("0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1");
const COIN: u128 = 1_000_000_000_000_000_000;

/// Stands for the validators: puts every transaction into a block of its own, at once.
struct Miner {
    chain: Chain,
    one_at_a_time: Mutex<()>,
}

#[async_trait]
impl Broadcast for Miner {
    async fn broadcast(&self, raw: Bytes) -> Result<(), String> {
        let mining = self.one_at_a_time.lock().map_err(|e| e.to_string())?;
        let head = self.chain.head();
        let timestamp = seconds_now().max(head.header.timestamp);
        let attributes = BlockAttributes { timestamp, ..Default::default() };
        let block = self.chain.propose(head.hash, attributes, &[raw]).map_err(|e| e.to_string())?;
        self.chain.finalize(block.hash).map_err(|e| e.to_string())?;
        drop(mining);
        Ok(())
    }
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::args().nth(1).map_or(Ok(8545), |port| port.parse())?;
    let state = tempfile::tempdir()?;
    let genesis = GenesisSpec {
        chain_id: 5886,
        timestamp: seconds_now(),
        gas_limit: 100_000_000,
        alloc: [(RICH, U256::from(10_000 * COIN))].into(),
        ..Default::default()
    };
    let chain = Chain::open(state.path(), &genesis, ChainConfig::default())?;
    let miner = Arc::new(Miner { chain: chain.clone(), one_at_a_time: Mutex::new(()) });
    let server = serve(([127, 0, 0, 1], port).into(), chain, miner, RpcLimits::default()).await?;
    println!("http://{} and ws://{}, chain id 5886; Ctrl-C ends", server.local_addr, server.local_addr);
    tokio::signal::ctrl_c().await?;
    server.stop().await;
    Ok(())
}
