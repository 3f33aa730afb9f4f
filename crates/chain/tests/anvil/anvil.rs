//! anvil with a genesis of our making.
//!
//! Its own genesis block claims an empty state, so it is started from a saved state that consists of the right one.
//! It keeps hashes of blocks (EIP-2935) but no beacon roots (EIP-4788), so the contract of the latter is left out.

use crate::rpc::Rpc;
use alloy_consensus::Header;
use alloy_eips::eip2935;
use alloy_primitives::{Address, Bytes, U256, address};
use eyre::{Result, WrapErr, bail};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// Receives the priority fees of blocks.
pub const COINBASE: Address = address!("0x00000000000000000000000000000000c01bba5e");
/// Gas limit of a block.
pub const GAS_LIMIT: u64 = 30_000_000;
/// Unix seconds of the genesis.
pub const GENESIS_TIME: u64 = 1_900_000_000;
/// Time it has to start.
const START_TIME: Duration = Duration::from_secs(20);

/// A running anvil that mines when told; stops when dropped.
pub struct Anvil {
    pub rpc: Rpc,
    _process: Child,
}

/// An account of a genesis.
pub struct Account {
    pub address: Address,
    pub balance: U256,
    pub code: Bytes,
    pub nonce: u64,
}

/// The accounts of a genesis: funded keys, and the contract that keeps hashes of blocks.
pub fn accounts(keys: &[Address]) -> Vec<Account> {
    let balance = U256::from(10).pow(U256::from(21));
    let funded = |address: &Address| Account { address: *address, balance, code: Bytes::new(), nonce: 0 };
    let mut accounts: Vec<Account> = keys.iter().map(funded).collect();
    let (address, code) = (eip2935::HISTORY_STORAGE_ADDRESS, eip2935::HISTORY_STORAGE_CODE.clone());
    accounts.push(Account { address, balance: U256::ZERO, code, nonce: 1 });
    accounts
}

/// The genesis as `genesis.json` of geth.
pub fn genesis(chain_id: u64, accounts: &[Account]) -> Value {
    let account = |a: &Account| {
        let fields = json!({"balance": a.balance, "code": a.code, "nonce": format!("{:#x}", a.nonce)});
        (a.address.to_string(), fields)
    };
    json!({
        "config": {
            "chainId": chain_id, "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0, "eip158Block": 0,
            "byzantiumBlock": 0, "constantinopleBlock": 0, "petersburgBlock": 0, "istanbulBlock": 0, "berlinBlock": 0,
            "londonBlock": 0, "terminalTotalDifficulty": 0, "terminalTotalDifficultyPassed": true,
            "shanghaiTime": 0, "cancunTime": 0, "pragueTime": 0, "osakaTime": 0,
            "blobSchedule": {
                "cancun": {"target": 3, "max": 6, "baseFeeUpdateFraction": 3_338_477},
                "prague": {"target": 6, "max": 9, "baseFeeUpdateFraction": 5_007_716},
                "osaka": {"target": 6, "max": 9, "baseFeeUpdateFraction": 5_007_716},
            },
        },
        "nonce": "0x0", "timestamp": format!("{GENESIS_TIME:#x}"), "extraData": "0x", "difficulty": "0x0",
        "gasLimit": format!("{GAS_LIMIT:#x}"), "baseFeePerGas": "0x3b9aca00",
        "alloc": accounts.iter().map(account).collect::<serde_json::Map<String, Value>>(),
    })
}

impl Anvil {
    /// Starts it on this genesis block, whose header must be the one of [`genesis`] with these accounts.
    pub async fn on_genesis(
        program: &Path,
        folder: &Path,
        chain_id: u64,
        header: &Header,
        accounts: &[Account],
    ) -> Result<Self> {
        let state = folder.join("anvil.json");
        std::fs::write(&state, saved_state(header, accounts)?.to_string())?;
        let time = GENESIS_TIME.to_string();
        let mut command = Command::new(program);
        command.arg("--load-state").arg(&state).args(["--timestamp", &time, "--accounts", "0", "--no-mining"]);
        let anvil = Self::start(command, chain_id).await?;
        anvil.rpc.get("anvil_setCoinbase", json!([COINBASE])).await?;
        Ok(anvil)
    }

    /// Starts it with its own ten accounts, mining each transaction at once.
    pub async fn with_accounts(program: &Path, chain_id: u64) -> Result<Self> {
        Self::start(Command::new(program), chain_id).await
    }

    async fn start(mut command: Command, chain_id: u64) -> Result<Self> {
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port().to_string();
        let (chain_id, gas_limit) = (chain_id.to_string(), GAS_LIMIT.to_string());
        command.args(["--port", &port, "--chain-id", &chain_id, "--gas-limit", &gas_limit, "--hardfork", "osaka"]);
        // Ethereum's own limits, no more and no less; no contract that Ethereum's genesis does not have.
        command.args(["--enable-tx-gas-limit", "--disable-min-priority-fee", "--disable-default-create2-deployer"]);
        command.arg("--silent").stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let process = command.spawn().wrap_err_with(|| format!("cannot run {command:?}"))?;
        let rpc = Rpc::new(&format!("http://127.0.0.1:{port}"));
        let begin = Instant::now();
        while rpc.ask("eth_chainId", json!([])).await.is_err() {
            if begin.elapsed() > START_TIME {
                bail!("anvil does not answer within {} s", START_TIME.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { rpc, _process: process })
    }
}

/// The file that `--load-state` takes: block 0 alone.
fn saved_state(header: &Header, accounts: &[Account]) -> Result<Value> {
    let account = |a: &Account| {
        let fields = json!({"balance": a.balance, "code": a.code, "nonce": a.nonce, "storage": {}});
        (a.address.to_string(), fields)
    };
    Ok(json!({
        "block": {
            "number": "0x0", "beneficiary": header.beneficiary, "timestamp": format!("{:#x}", header.timestamp),
            "gas_limit": header.gas_limit, "basefee": header.base_fee_per_gas, "difficulty": "0x0",
            "prevrandao": header.mix_hash, "slot_num": 0,
            "blob_excess_gas_and_price": {"excess_blob_gas": 0, "blob_gasprice": 1},
        },
        "accounts": accounts.iter().map(account).collect::<serde_json::Map<String, Value>>(),
        "best_block_number": 0,
        "blocks": [{"header": serde_json::to_value(header)?, "transactions": [], "ommers": [], "withdrawals": null}],
        "transactions": [],
        "historical_states": null,
    }))
}

/// All accounts of an anvil with their storage.
///
/// # Errors
/// When it does not answer with a state.
pub async fn dump(rpc: &Rpc) -> Result<Value> {
    use std::io::Read;
    let compressed: Bytes = serde_json::from_value(rpc.get("anvil_dumpState", json!([])).await?)?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(compressed.as_ref()).read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}
