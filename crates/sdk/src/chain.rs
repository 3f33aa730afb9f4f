//! The settlement chain as a client sees it: calls, transactions, logs and proofs over JSON-RPC.
//!
//! Reads are retried while the node cannot be reached. A refusal of a contract comes back as a [`Revert`] with its
//! values. Transactions are in the submodule `send`.

mod send;
#[cfg(test)]
pub(crate) mod tests;

pub use send::{CONFIRM_TIMEOUT, GAS_MAX};

use crate::revert::Revert;
use crate::rpc::{Rpc, RpcError};
use crate::wallet::Wallet;
use alloy_consensus::Header;
use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_rpc_types_eth::{Block, EIP1186AccountProofResponse, Filter, Log, Transaction, TransactionReceipt};
use alloy_sol_types::{SolCall, SolEvent};
use proof::state::Account;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Time between two looks at the chain while waiting for something.
pub const POLL: Duration = Duration::from_millis(50);
/// Answers of [`ChainClient::block_at`] that are kept.
const TIMES_MAX: usize = 1024;
/// Blocks asked for in one log request; longer ranges are split.
pub const LOG_RANGE_MAX: u64 = 10_000;

/// Why the chain did not do, or did not tell, what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// No answer, or a refusal without revert data.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// The node serves another chain.
    #[error("the RPC at {url} serves chain {found}, expected chain {expected}")]
    WrongChain {
        /// URL of the node.
        url: String,
        /// Its chain id.
        found: u64,
        /// Chain id of the network.
        expected: u64,
    },
    /// A contract refused.
    #[error("{function} reverted: {revert}")]
    Reverted {
        /// Signature of the function called.
        function: &'static str,
        /// What the contract returned.
        revert: Revert,
        /// The transaction, if it was included before it failed.
        transaction: Option<B256>,
    },
    /// The contract's answer has another shape.
    #[error("{function} at {to} answered {length} bytes that are not its result")]
    Undecodable {
        /// Signature of the function called.
        function: &'static str,
        /// Contract asked.
        to: Address,
        /// Length of the answer.
        length: usize,
    },
    /// The account cannot pay.
    #[error("needs {required} wei, account {account} has {balance} wei")]
    TooPoor {
        /// Who should pay.
        account: Address,
        /// What it has.
        balance: U256,
        /// Value plus the most that gas can cost.
        required: U256,
    },
    /// More gas than one transaction may use (EIP-7825).
    #[error("{function} needs {gas} gas, one transaction may use {GAS_MAX}")]
    TooMuchGas {
        /// Signature of the function called.
        function: &'static str,
        /// Estimate.
        gas: u64,
    },
    /// Others keep sending from the same account.
    #[error("nonce of {account} was taken {tries} times by other transactions of the same account")]
    NonceRace {
        /// The account.
        account: Address,
        /// Times tried.
        tries: u32,
    },
    /// Sent, and not included in time. It may still be.
    #[error("transaction {hash} was not included within {} s; it may still be", waited.as_secs())]
    Unconfirmed {
        /// The transaction.
        hash: B256,
        /// How long was waited.
        waited: Duration,
    },
    /// The node does not have a block that it should have.
    #[error("the RPC does not know block {0}")]
    NoBlock(BlockNumberOrTag),
    /// The node's header is not the block it claims to be.
    #[error("the RPC lied about a header: {0}")]
    Header(#[from] proof::header::HeaderError),
    /// The node's proof does not show what it claims.
    #[error("the RPC lied about the state: {0}")]
    State(#[from] proof::state::StateError),
}

impl ChainError {
    /// The contract's refusal as an `E`, if it was one.
    pub fn revert<E: alloy_sol_types::SolError>(&self) -> Option<E> {
        match self {
            Self::Reverted { revert, .. } => revert.decode(),
            _ => None,
        }
    }

    /// Whether a contract refused, for whatever reason.
    pub fn is_revert(&self) -> bool {
        matches!(self, Self::Reverted { .. })
    }
}

/// First parameter of `eth_call` and `eth_estimateGas`.
#[derive(Clone, Debug, Serialize)]
struct CallParameters {
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Address>,
    to: Address,
    input: Bytes,
    #[serde(skip_serializing_if = "U256::is_zero")]
    value: U256,
}

/// A connection to the settlement chain. Clones share it, and share the order of nonces of each account.
#[derive(Clone, Debug)]
pub struct ChainClient {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    rpc: Rpc,
    chain_id: u64,
    lanes: send::Lanes,
    /// First block at or after a time; blocks are final, so an answer stays true.
    times: Mutex<HashMap<u64, u64>>,
}

impl Inner {
    fn times(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChainClient {
    /// A client for chain `chain_id` behind the JSON-RPC at `url`; nothing is sent yet.
    pub fn new(url: &str, chain_id: u64) -> Self {
        Self::over(Rpc::new(url), chain_id)
    }

    /// Like [`Self::new`], after checking that the node serves this chain. `chain_id` 0 means: whatever it serves.
    pub async fn connect(url: &str, chain_id: u64) -> Result<Self, ChainError> {
        let rpc = Rpc::new(url);
        let found: U64 = rpc.request("eth_chainId", ()).await?;
        let found = found.to::<u64>();
        if chain_id != 0 && found != chain_id {
            return Err(ChainError::WrongChain { url: rpc.url().to_owned(), found, expected: chain_id });
        }
        Ok(Self::over(rpc, found))
    }

    fn over(rpc: Rpc, chain_id: u64) -> Self {
        Self { inner: Arc::new(Inner { rpc, chain_id, lanes: send::Lanes::default(), times: Mutex::default() }) }
    }

    /// EIP-155 chain id.
    pub fn chain_id(&self) -> u64 {
        self.inner.chain_id
    }

    /// URL of the JSON-RPC.
    pub fn url(&self) -> &str {
        self.inner.rpc.url()
    }

    /// The raw JSON-RPC, for methods without a function here.
    pub fn rpc(&self) -> &Rpc {
        &self.inner.rpc
    }

    /// Number of the newest block; every block of this chain is final.
    pub async fn block_number(&self) -> Result<u64, ChainError> {
        let number: U64 = self.rpc().request("eth_blockNumber", ()).await?;
        Ok(number.to())
    }

    /// Balance in wei, at the newest block.
    pub async fn balance(&self, account: Address) -> Result<U256, ChainError> {
        Ok(self.rpc().request("eth_getBalance", (account, BlockNumberOrTag::Latest)).await?)
    }

    /// A block's header; its hash is checked against the one the node names.
    pub async fn header(&self, block: BlockNumberOrTag) -> Result<Header, ChainError> {
        let found: Option<Block<B256>> = self.rpc().request("eth_getBlockByNumber", (block, false)).await?;
        let header = found.ok_or(ChainError::NoBlock(block))?.header;
        proof::header::verify(&header.inner, header.hash)?;
        Ok(header.inner)
    }

    /// Time of the newest block, Unix seconds: the clock that contracts go by.
    pub async fn timestamp(&self) -> Result<u64, ChainError> {
        Ok(self.header(BlockNumberOrTag::Latest).await?.timestamp)
    }

    /// Asks a contract, at the newest block, without a transaction.
    pub async fn call<C: SolCall>(&self, to: Address, call: C) -> Result<C::Return, ChainError> {
        self.call_as(None, to, call, U256::ZERO).await
    }

    /// What `from` would be answered if it sent this call with `value` wei now.
    pub async fn simulate<C: SolCall>(
        &self,
        from: Address,
        to: Address,
        call: C,
        value: U256,
    ) -> Result<C::Return, ChainError> {
        self.call_as(Some(from), to, call, value).await
    }

    /// Logs that match, oldest first. A range with a first block goes to the newest block if it has no last one; long
    /// ranges are asked for piece by piece.
    pub async fn logs(&self, filter: &Filter) -> Result<Vec<Log>, ChainError> {
        let Some(from) = filter.get_from_block() else {
            return Ok(self.rpc().request("eth_getLogs", [filter]).await?);
        };
        let to = match filter.get_to_block() {
            Some(to) => to,
            None => self.block_number().await?,
        };
        let mut logs = Vec::new();
        let mut start = from;
        while start <= to {
            let end = to.min(start.saturating_add(LOG_RANGE_MAX - 1));
            let piece = filter.clone().from_block(start).to_block(end);
            logs.extend(self.rpc().request::<_, Vec<Log>>("eth_getLogs", [piece]).await?);
            let Some(next) = end.checked_add(1) else { break };
            start = next;
        }
        Ok(logs)
    }

    /// Events of type `E` among the logs that match, with the log each came in. Others are passed over.
    pub async fn events<E: SolEvent>(&self, filter: &Filter) -> Result<Vec<(E, Log)>, ChainError> {
        let filter = filter.clone().event_signature(E::SIGNATURE_HASH);
        let logs = self.logs(&filter).await?;
        let decode = |log: Log| E::decode_log_data(log.data()).ok().map(|event| (event, log));
        Ok(logs.into_iter().filter_map(decode).collect())
    }

    /// The first block whose time is `timestamp` (Unix seconds) or later; the one after the newest if there is none yet.
    pub async fn block_at(&self, timestamp: u64) -> Result<u64, ChainError> {
        if let Some(block) = self.inner.times().get(&timestamp) {
            return Ok(*block);
        }
        let newest = self.header(BlockNumberOrTag::Latest).await?;
        if newest.timestamp < timestamp {
            return Ok(newest.number + 1);
        }
        let (mut low, mut high) = (0, newest.number);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.header(middle.into()).await?.timestamp < timestamp {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let mut times = self.inner.times();
        if times.len() >= TIMES_MAX {
            times.clear();
        }
        times.insert(timestamp, low);
        Ok(low)
    }

    /// A transaction by hash.
    pub async fn transaction(&self, hash: B256) -> Result<Option<Transaction>, ChainError> {
        Ok(self.rpc().request("eth_getTransactionByHash", [hash]).await?)
    }

    /// The receipt of a transaction, once it is included.
    pub async fn receipt(&self, hash: B256) -> Result<Option<TransactionReceipt>, ChainError> {
        Ok(self.rpc().request("eth_getTransactionReceipt", [hash]).await?)
    }

    /// An account at the newest block, with its Merkle proof checked against the block's state root.
    pub async fn proved_account(&self, address: Address) -> Result<Account, ChainError> {
        let header = self.header(BlockNumberOrTag::Latest).await?;
        let found = self.proof(address, &[], header.number).await?;
        let account = Account {
            nonce: found.nonce,
            balance: found.balance,
            storage_root: found.storage_hash,
            code_hash: found.code_hash,
        };
        proof::state::verify_account(header.state_root, address, &account, &found.account_proof)?;
        Ok(account)
    }

    /// Waits until the chain has block `number`, at most `timeout`; returns the newest number.
    pub async fn wait_for_block(&self, number: u64, timeout: Duration) -> Result<u64, ChainError> {
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            let newest = self.block_number().await?;
            if newest >= number {
                return Ok(newest);
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(ChainError::NoBlock(number.into()));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn proof(
        &self,
        address: Address,
        slots: &[B256],
        block: u64,
    ) -> Result<EIP1186AccountProofResponse, ChainError> {
        let block = BlockNumberOrTag::Number(block);
        Ok(self.rpc().request("eth_getProof", (address, slots, block)).await?)
    }

    async fn call_as<C: SolCall>(
        &self,
        from: Option<Address>,
        to: Address,
        call: C,
        value: U256,
    ) -> Result<C::Return, ChainError> {
        let parameters = CallParameters { from, to, input: call.abi_encode().into(), value };
        let outcome = self.rpc().request("eth_call", (parameters, BlockNumberOrTag::Latest)).await;
        let answer: Bytes = outcome.map_err(|e| reverted(C::SIGNATURE, e))?;
        let undecodable = |_| ChainError::Undecodable { function: C::SIGNATURE, to, length: answer.len() };
        C::abi_decode_returns(&answer).map_err(undecodable)
    }
}

/// A refusal with revert data is the contract's; any other is the node's.
fn reverted(function: &'static str, error: RpcError) -> ChainError {
    match error {
        RpcError::Refused { data: Some(data), .. } => {
            ChainError::Reverted { function, revert: Revert::new(data), transaction: None }
        }
        RpcError::Refused { ref message, .. } if message.contains("execution reverted") => {
            ChainError::Reverted { function, revert: Revert::new(Bytes::new()), transaction: None }
        }
        other => other.into(),
    }
}
