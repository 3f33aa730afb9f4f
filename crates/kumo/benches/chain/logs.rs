//! `eth_getLogs` over 10,000 blocks of which every hundredth holds one log that is wanted.
//!
//! anvil makes the empty blocks on demand. Kumo's are built beforehand, through the library and each durable on disk as a
//! validator would; then a server of this process answers over a socket.

use crate::measure::Times;
use crate::peer::Peer;
use crate::wire::Connection;
use crate::work::{CHAIN_ID, LogWork};
use alloy_primitives::{Bytes, U256, keccak256};
use async_trait::async_trait;
use chain::pool::Broadcast;
use chain::{BlockAttributes, Chain, ChainConfig, GenesisSpec};
use eyre::{Result, ensure};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Blocks that a query spans.
pub const BLOCKS: u64 = 10_000;
/// Blocks for each one that holds a log.
const SPARSE: u64 = 100;
/// Times that the query is asked.
const QUERIES: usize = 100;

/// A node that orders nothing.
struct Nowhere;

#[async_trait]
impl Broadcast for Nowhere {
    async fn broadcast(&self, _: Bytes) -> Result<(), String> {
        Err("this chain is only read".into())
    }
}

/// Transfers that [`LogWork`] must hold.
pub const TRANSFERS: u64 = BLOCKS / SPARSE;

/// On anvil, above whatever it holds.
pub fn of_anvil(peer: &Peer, work: &LogWork) -> Result<Times> {
    let mut connection = Connection::open(peer.address)?;
    // Blocks between those made here would push the last transfers out of the range.
    connection.call("evm_setIntervalMining", json!([0]))?;
    connection.call("anvil_setBalance", json!([work.sender, U256::from(1_u128 << 90)]))?;
    for raw in &work.before {
        connection.call("eth_sendRawTransaction", json!([raw]))?;
    }
    connection.call("anvil_mine", json!(["0x1"]))?;
    let first = connection.number("eth_blockNumber", json!([]))? + 1;
    for raw in &work.transfers {
        connection.call("eth_sendRawTransaction", json!([raw]))?;
        connection.call("anvil_mine", json!([format!("{SPARSE:#x}")]))?;
    }
    query(&mut connection, work, first)
}

/// On a chain of Kumo in `directory`.
pub fn of_kumo(directory: &Path, work: &LogWork) -> Result<Times> {
    let state = tempfile::tempdir_in(directory)?;
    let genesis = GenesisSpec {
        chain_id: CHAIN_ID,
        timestamp: 1,
        gas_limit: 100_000_000,
        alloc: [(work.sender, U256::from(1_u128 << 90))].into(),
        ..Default::default()
    };
    let chain = Chain::open(state.path(), &genesis, ChainConfig::default())?;
    extend(&chain, &work.before)?;
    let first = chain.head().number() + 1;
    for raw in &work.transfers {
        extend(&chain, std::slice::from_ref(raw))?;
        for _ in 1..SPARSE {
            extend(&chain, &[])?;
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let address = ([127, 0, 0, 1], 0).into();
    let server = runtime.block_on(chain::rpc::serve(address, chain, Arc::new(Nowhere), Default::default()))?;
    let times = query(&mut Connection::open(server.local_addr)?, work, first);
    runtime.block_on(server.stop());
    times
}

/// One block with these transactions, final.
fn extend(chain: &Chain, transactions: &[Bytes]) -> Result<()> {
    let head = chain.head();
    let attributes = BlockAttributes { timestamp: head.header.timestamp + 1, ..Default::default() };
    let block = chain.propose(head.hash, attributes, transactions)?;
    ensure!(block.included.len() == transactions.len(), "a block holds {:?} of its candidates", block.included);
    chain.finalize(block.hash)?;
    Ok(())
}

fn query(connection: &mut Connection, work: &LogWork, first: u64) -> Result<Times> {
    let filter = json!([{
        "fromBlock": format!("{first:#x}"),
        "toBlock": format!("{:#x}", first + BLOCKS - 1),
        "address": work.token,
        "topics": [keccak256("Transfer(address,address,uint256)"), work.sender.into_word()],
    }]);
    let logs = connection.call("eth_getLogs", filter.clone())?;
    let found = logs.as_array().map_or(0, Vec::len) as u64;
    ensure!(found == TRANSFERS, "found {found} logs, {TRANSFERS} were made");
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": filter}).to_string();
    let mut times = Vec::with_capacity(QUERIES);
    for _ in 0..QUERIES {
        let begin = Instant::now();
        let answer = connection.post(body.as_bytes())?;
        times.push(begin.elapsed());
        ensure!(serde_json::from_slice::<Value>(&answer)?["error"].is_null(), "the query was refused");
    }
    Ok(Times::of(times))
}
