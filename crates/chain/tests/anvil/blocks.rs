//! Blocks that anvil mined, imported under Ethereum's rules.
//!
//! anvil 1.7 keeps cleared slots and empty accounts in its tries, so its own state roots are wrong now and then. The root
//! that a block must have is therefore computed anew, by a full rebuild from anvil's accounts; hashes of blocks differ
//! from then on, so nothing in the stream asks for them.

use crate::Summary;
use crate::anvil::{Anvil, GENESIS_TIME, accounts, dump, genesis};
use crate::differ::{differ, number};
use crate::stream::{Item, Setting, Stream};
use alloy_consensus::{Block, BlockBody, Header};
use alloy_eips::eip1559::BaseFeeParams;
use alloy_eips::eip2935::{HISTORY_SERVE_WINDOW, HISTORY_STORAGE_ADDRESS};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256, map::HashMap};
use alloy_signer_local::PrivateKeySigner;
use alloy_trie::TrieAccount;
use alloy_trie::root::{state_root_unhashed, storage_root_unhashed};
use chain::rpc::{LocalRpc, ReadOnly, RpcLimits};
use chain::{Chain, ChainConfig, EthereumGenesis};
use eyre::{Result, ensure, eyre};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

const CHAIN_ID: u64 = 1337;
/// Keys that send.
const KEYS: u8 = 6;
/// Most seconds between two blocks.
const PACE_SECONDS: usize = 12;

/// Both sides, from the same genesis.
struct Pair {
    anvil: Anvil,
    chain: Chain,
    local: LocalRpc,
    _folder: TempDir,
}

/// A difference between the two sides.
struct Difference {
    what: String,
    /// Transactions of the block in which it shows, with their places in the stream.
    block: Vec<(usize, Item)>,
}

/// Runs the stream of a seed.
///
/// # Errors
/// On the first difference, narrowed down to one transaction if it shows with one transaction a block, too.
pub async fn compare(program: &Path, seed: u64, transactions: usize, block_max: usize) -> Result<Summary> {
    let difference = match run(program, seed, transactions, block_max).await? {
        Ok(summary) => return Ok(summary),
        Err(difference) => difference,
    };
    let alone = match block_max {
        1 => None,
        _ => run(program, seed, transactions, 1).await?.err(),
    };
    let Difference { what, block } = alone.unwrap_or(difference);
    let items: Vec<String> = block.iter().map(|(index, item)| format!("  {index}: {:?}", item.envelope)).collect();
    Err(eyre!("seed {seed}: {what}\ntransactions of the block, by their place in the stream:\n{}", items.join("\n")))
}

async fn run(
    program: &Path,
    seed: u64,
    count: usize,
    block_max: usize,
) -> Result<std::result::Result<Summary, Difference>> {
    let keys = (1..=KEYS).map(|key| PrivateKeySigner::from_bytes(&B256::repeat_byte(key)));
    let mut stream = Stream::new(seed, Setting::SameBlocks, CHAIN_ID, keys.collect::<std::result::Result<_, _>>()?);
    let pair = Pair::start(program, &stream).await?;
    let (mut summary, mut index) = (Summary::default(), 0);
    while index < count {
        stream.set_nonces(pair.nonces(&stream).await?);
        let mut sent = Vec::new();
        for _ in 0..stream.up_to(block_max).min(count - index) {
            let item = stream.next();
            match pair.anvil.rpc.ask("eth_sendRawTransaction", json!([item.raw])).await? {
                Ok(_) => {
                    stream.accepted(&item);
                    sent.push((index, item));
                }
                Err(_) => summary.refused += 1,
            }
            index += 1;
        }
        let seconds = stream.up_to(PACE_SECONDS) as u64;
        let block = pair.mine(seconds).await?;
        if let Err(what) = pair.check(&block, &sent, &mut summary).await? {
            return Ok(Err(Difference { what, block: sent }));
        }
    }
    Ok(Ok(summary))
}

impl Pair {
    async fn start(program: &Path, stream: &Stream) -> Result<Self> {
        let folder = TempDir::new()?;
        let accounts = accounts(&stream.senders());
        let genesis = EthereumGenesis::from_json(genesis(CHAIN_ID, &accounts).to_string().as_bytes())?;
        let chain = Chain::open_ethereum(&folder.path().join("chain"), &genesis, ChainConfig::default())?;
        let anvil = Anvil::on_genesis(program, folder.path(), CHAIN_ID, &chain.head().header, &accounts).await?;
        let first = anvil.rpc.get("eth_getBlockByNumber", json!(["0x0", false])).await?;
        ensure!(first["hash"] == json!(chain.head().hash), "anvil's genesis is {first}");
        // Later base fees follow from their parents; anvil takes the first one as it is in the genesis.
        let base_fee = chain.head().header.next_block_base_fee(BaseFeeParams::ethereum());
        let base_fee = format!("{:#x}", base_fee.ok_or_else(|| eyre!("the genesis has no base fee"))?);
        anvil.rpc.get("anvil_setNextBlockBaseFeePerGas", json!([base_fee])).await?;
        let local = LocalRpc::new(chain.clone(), Arc::new(ReadOnly), RpcLimits::default())?;
        Ok(Self { anvil, chain, local, _folder: folder })
    }

    async fn nonces(&self, stream: &Stream) -> Result<Vec<u64>> {
        let senders = stream.senders();
        let calls: Vec<_> =
            senders.iter().map(|sender| ("eth_getTransactionCount", json!([sender, "latest"]))).collect();
        self.anvil.rpc.get_all(&calls).await?.iter().map(number).collect()
    }

    /// Lets anvil mine what waits there, and forget what it did not mine.
    async fn mine(&self, seconds: u64) -> Result<Value> {
        let time = self.chain.head().header.timestamp.max(GENESIS_TIME) + seconds;
        self.anvil.rpc.get("evm_setNextBlockTimestamp", json!([time])).await?;
        self.anvil.rpc.get("evm_mine", json!([])).await?;
        self.anvil.rpc.get("anvil_dropAllTransactions", json!([])).await?;
        self.anvil.rpc.get("eth_getBlockByNumber", json!(["latest", true])).await
    }

    /// Imports the block and compares what both sides say about it.
    async fn check(
        &self,
        block: &Value,
        sent: &[(usize, Item)],
        summary: &mut Summary,
    ) -> Result<std::result::Result<(), String>> {
        let header: Header = serde_json::from_value(block.clone())?;
        ensure!(json!(header.hash_slow()) == block["hash"], "anvil's block is not what its hash says: {block}");
        let dump = dump(&self.anvil.rpc).await?;
        summary.accounts = dump["accounts"].as_object().map_or(0, serde_json::Map::len);
        let state_root = state_root(&dump, &self.hashes()?)?;
        let header = Header { state_root, parent_hash: self.chain.head().hash, ..header };
        let rlp = encode(header, block, sent)?;
        if let Err(error) = self.chain.import(&rlp) {
            let receipts = self.anvil.rpc.get("eth_getBlockReceipts", json!([block["number"]])).await?;
            return Ok(Err(format!("{error}\nanvil's receipts: {receipts:#}")));
        }
        let number = &block["number"];
        let logs = json!([{"fromBlock": number, "toBlock": number}]);
        for (method, params) in [
            ("eth_getBlockByNumber", json!([number, true])),
            ("eth_getBlockReceipts", json!([number])),
            ("eth_getLogs", logs),
        ] {
            let (ours, theirs) = (self.ask(method, &params).await?, self.anvil.rpc.get(method, params.clone()).await?);
            if let Some(difference) = differ(&ours, &theirs, method) {
                return Ok(Err(difference));
            }
        }
        let record = self.chain.head();
        summary.blocks += 1;
        summary.mined += record.transactions.len();
        summary.succeeded += record.receipts.iter().filter(|receipt| receipt.status()).count();
        summary.logs += record.receipts.iter().map(|receipt| receipt.logs().len()).sum::<usize>();
        Ok(Ok(()))
    }

    /// Hashes of the blocks so far, by the slot that keeps them (EIP-2935).
    fn hashes(&self) -> Result<Vec<(B256, U256)>> {
        let mut hashes = Vec::new();
        for number in 0..=self.chain.head().number() {
            let (hash, _) = self.chain.header_by_number(number)?.ok_or_else(|| eyre!("block {number} is gone"))?;
            hashes.push((U256::from(number % HISTORY_SERVE_WINDOW as u64).into(), hash.into()));
        }
        Ok(hashes)
    }

    async fn ask(&self, method: &str, params: &Value) -> Result<Value> {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = self.local.answer(call.to_string().as_bytes()).await;
        let answer: Value = serde_json::from_str(&answer.ok_or_else(|| eyre!("{method} has no answer"))?)?;
        ensure!(answer.get("error").is_none(), "{method} {params}: {answer}");
        Ok(answer["result"].clone())
    }
}

/// The RLP of a block that anvil describes, made of transactions that were sent.
fn encode(header: Header, block: &Value, sent: &[(usize, Item)]) -> Result<Vec<u8>> {
    let sent: HashMap<B256, &Item> = sent.iter().map(|(_, item)| (*item.envelope.tx_hash(), item)).collect();
    let mut transactions = Vec::new();
    for transaction in block["transactions"].as_array().into_iter().flatten() {
        let hash: B256 = serde_json::from_value(transaction["hash"].clone())?;
        let item = sent.get(&hash).ok_or_else(|| eyre!("anvil mined {hash}, which was not sent for this block"))?;
        transactions.push(item.envelope.clone());
    }
    let body = BlockBody { transactions, ommers: Vec::<Header>::new(), withdrawals: Some(Default::default()) };
    Ok(alloy_rlp::encode(Block { header, body }))
}

/// Root over anvil's accounts, built at once, with these hashes of blocks in place of anvil's own.
fn state_root(dump: &Value, hashes: &[(B256, U256)]) -> Result<B256> {
    let mut accounts = Vec::new();
    for (address, account) in dump["accounts"].as_object().into_iter().flatten() {
        let code: Bytes = serde_json::from_value(account["code"].clone())?;
        let address: Address = address.parse()?;
        let mut slots: Vec<(B256, U256)> = Vec::new();
        for (slot, value) in account["storage"].as_object().into_iter().flatten() {
            let value: U256 = serde_json::from_value(value.clone())?;
            if !value.is_zero() {
                slots.push((slot.parse()?, value));
            }
        }
        if address == HISTORY_STORAGE_ADDRESS {
            slots = hashes.to_vec();
        }
        let account = TrieAccount {
            nonce: serde_json::from_value(account["nonce"].clone())?,
            balance: serde_json::from_value(account["balance"].clone())?,
            storage_root: storage_root_unhashed(slots),
            code_hash: keccak256(code),
        };
        if account != TrieAccount::default() {
            accounts.push((address, account));
        }
    }
    Ok(state_root_unhashed(accounts))
}
