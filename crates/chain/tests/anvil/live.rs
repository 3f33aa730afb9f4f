//! One transaction after the other, into a running development network and into anvil.

use crate::Summary;
use crate::anvil::Anvil;
use crate::differ::{differ, number};
use crate::rpc::Rpc;
use crate::stream::{Item, Setting, Stream};
use alloy_primitives::{Address, B256, address};
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English};
use eyre::{Result, bail, ensure};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// Keys that send: the first accounts of the test mnemonic, which both sides fund alike. The first one is left alone.
const KEYS: std::ops::Range<u32> = 1..7;
const MNEMONIC: &str = "test test test test test test test test test test test junk";
/// Time a transaction may take to be mined.
const MINE_TIME: Duration = Duration::from_secs(20);
/// What a receipt says that does not depend on where in which block it is.
const OF_RECEIPT: [&str; 9] =
    ["status", "type", "gasUsed", "contractAddress", "effectiveGasPrice", "logsBloom", "from", "to", "transactionHash"];
/// Fields of a log that do not depend on the block.
const OF_LOG: [&str; 3] = ["address", "topics", "data"];
/// anvil keeps hashes of its own blocks here (EIP-2935).
const ANVIL_HISTORY: Address = address!("0x0000F90827F1C53a10cb7A02335B175320002935");
/// Calls in one batch.
const CALLS_MAX: usize = 500;

/// Runs the stream of a seed; the network must be fresh.
///
/// # Errors
/// On the first difference.
pub async fn compare(program: &Path, url: &str, seed: u64, transactions: usize) -> Result<Summary> {
    let kumo = Rpc::new(url);
    let chain_id = number(&kumo.get("eth_chainId", json!([])).await?)?;
    let anvil = Anvil::with_accounts(program, chain_id).await?;
    let mut stream = Stream::new(seed, Setting::OwnBlocks, chain_id, keys()?);
    for (ours, theirs) in states(&kumo, &stream).await?.iter().zip(&states(&anvil.rpc, &stream).await?) {
        ensure!(ours == theirs, "the network is not fresh: {ours} there, {theirs} at anvil");
    }
    let coinbase = share_coinbase(&kumo, &anvil.rpc).await?;
    let mut summary = Summary::default();
    for index in 0..transactions {
        stream.set_nonces(nonces(&anvil.rpc, &stream).await?);
        let item = stream.next();
        if let Err(difference) = step(&kumo, &anvil.rpc, &item, &mut summary).await? {
            bail!("seed {seed}, transaction {index}: {difference}\n{:?}", item.envelope);
        }
        stream.accepted(&item);
    }
    summary.accounts = compare_states(&kumo, &anvil.rpc, coinbase).await?;
    Ok(summary)
}

/// Makes anvil give its fees to whom the network gives them, because that account is warm from the start (EIP-3651).
async fn share_coinbase(kumo: &Rpc, anvil: &Rpc) -> Result<Address> {
    let head = kumo.get("eth_getBlockByNumber", json!(["latest", false])).await?;
    ensure!(number(&head["number"])? > 0, "the network has no block but its genesis");
    let coinbase: Address = serde_json::from_value(head["miner"].clone())?;
    anvil.get("anvil_setCoinbase", json!([coinbase])).await?;
    Ok(coinbase)
}

fn keys() -> Result<Vec<PrivateKeySigner>> {
    let key = |index| Ok(MnemonicBuilder::<English>::default().phrase(MNEMONIC).index(index)?.build()?);
    KEYS.map(key).collect()
}

/// Sends a transaction to both sides and compares their receipts, or that both refuse it.
async fn step(kumo: &Rpc, anvil: &Rpc, item: &Item, summary: &mut Summary) -> Result<std::result::Result<(), String>> {
    let (ours, theirs) = (send(kumo, item).await?, send(anvil, item).await?);
    match (ours, theirs) {
        (Err(_), Err(_)) => summary.refused += 1,
        (Ok(()), Ok(())) => {
            let (ours, theirs) = (receipt(kumo, item).await?, receipt(anvil, item).await?);
            let (ours, theirs) = (outcome(&ours), outcome(&theirs));
            if let Some(difference) = differ(&ours, &theirs, "receipt") {
                return Ok(Err(difference));
            }
            summary.blocks += 1;
            summary.mined += 1;
            summary.succeeded += usize::from(ours["status"] == "0x1");
            summary.logs += ours["logs"].as_array().map_or(0, Vec::len);
        }
        // anvil takes some transactions that no block can hold, and drops them when it mines.
        (Err(_), Ok(()))
            if anvil.get("eth_getTransactionReceipt", json!([item.envelope.tx_hash()])).await?.is_null() =>
        {
            anvil.get("anvil_dropAllTransactions", json!([])).await?;
            summary.refused += 1;
        }
        (ours, theirs) => return Ok(Err(format!("Kumo says {ours:?}, anvil says {theirs:?}"))),
    }
    Ok(Ok(()))
}

async fn send(rpc: &Rpc, item: &Item) -> Result<std::result::Result<(), Value>> {
    Ok(rpc.ask("eth_sendRawTransaction", json!([item.raw])).await?.map(|_| ()))
}

async fn receipt(rpc: &Rpc, item: &Item) -> Result<Value> {
    let begin = Instant::now();
    while begin.elapsed() < MINE_TIME {
        let receipt = rpc.get("eth_getTransactionReceipt", json!([item.envelope.tx_hash()])).await?;
        if !receipt.is_null() {
            return Ok(receipt);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bail!("{} was not mined within {} s", item.envelope.tx_hash(), MINE_TIME.as_secs())
}

fn outcome(receipt: &Value) -> Value {
    let pick = |value: &Value, fields: &[&str]| -> serde_json::Map<String, Value> {
        fields.iter().map(|field| ((*field).to_owned(), value[*field].clone())).collect()
    };
    let mut outcome = pick(receipt, &OF_RECEIPT);
    let logs = receipt["logs"].as_array().into_iter().flatten();
    outcome.insert("logs".into(), logs.map(|log| Value::Object(pick(log, &OF_LOG))).collect());
    Value::Object(outcome)
}

async fn nonces(rpc: &Rpc, stream: &Stream) -> Result<Vec<u64>> {
    let of = |sender: Address| ("eth_getTransactionCount", json!([sender, "latest"]));
    rpc.get_all(&stream.senders().into_iter().map(of).collect::<Vec<_>>()).await?.iter().map(number).collect()
}

/// Nonces and balances of the senders.
async fn states(rpc: &Rpc, stream: &Stream) -> Result<Vec<Value>> {
    let of = |sender: Address| {
        ["eth_getTransactionCount", "eth_getBalance"].map(|method| (method, json!([sender, "latest"])))
    };
    rpc.get_all(&stream.senders().into_iter().flat_map(of).collect::<Vec<_>>()).await
}

/// Compares every account that anvil has, with its whole storage, but for those that the protocol moves; how many there
/// are.
async fn compare_states(kumo: &Rpc, anvil: &Rpc, coinbase: Address) -> Result<usize> {
    let dump = crate::anvil::dump(anvil).await?;
    let Some(accounts) = dump["accounts"].as_object() else { bail!("anvil's state has no accounts") };
    let mut calls: Vec<(String, &str, Value)> = Vec::new();
    let mut compared = 0;
    for (account, state) in accounts {
        let account: Address = account.parse()?;
        if account == coinbase || account == ANVIL_HISTORY {
            continue;
        }
        compared += 1;
        for method in ["eth_getBalance", "eth_getTransactionCount", "eth_getCode"] {
            calls.push((format!("{method} of {account}"), method, json!([account, "latest"])));
        }
        for slot in state["storage"].as_object().into_iter().flat_map(|storage| storage.keys()) {
            let slot: B256 = slot.parse()?;
            calls.push((format!("slot {slot} of {account}"), "eth_getStorageAt", json!([account, slot, "latest"])));
        }
    }
    for part in calls.chunks(CALLS_MAX) {
        let asked: Vec<_> = part.iter().map(|(_, method, params)| (*method, params.clone())).collect();
        let (ours, theirs) = (kumo.get_all(&asked).await?, anvil.get_all(&asked).await?);
        for ((what, ..), (ours, theirs)) in part.iter().zip(ours.iter().zip(&theirs)) {
            if let Some(difference) = differ(ours, theirs, what) {
                bail!("{difference}");
            }
        }
    }
    Ok(compared)
}
