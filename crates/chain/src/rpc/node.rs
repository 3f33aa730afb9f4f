//! What all methods share: the chain, the pool, the limits, and the slots for heavy work.

use super::failure::Failure;
use super::filters::Filters;
use super::limits::RpcLimits;
use super::memory::Memory;
use super::pending::PendingBlock;
use super::upstream::{Checkpoints, FinalityStatus, SyncStatus, Upstream};
use crate::pool::{Broadcast, HeadState, Pool, PooledTransaction};
use crate::{BlockRecord, Chain};
use alloy_eips::eip7840::BlobParams;
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes};
use futures::StreamExt;
use protocol::api::StakeFinality;
use revm::DatabaseRef;
use revm::state::AccountInfo;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Transactions handed over at a time when many are due.
const BROADCASTS_PARALLEL: usize = 8;

/// The node behind the methods.
pub(super) struct Node {
    pub(super) chain: Chain,
    pub(super) pool: Pool,
    pub(super) filters: Filters,
    pub(super) limits: Arc<RpcLimits>,
    pub(super) sync: SyncStatus,
    /// Head when the server started.
    pub(super) started_at: u64,
    pub(super) checkpoints: Option<Arc<dyn Checkpoints>>,
    pub(super) finality: FinalityStatus,
    pub(super) pending: PendingBlock,
    pub(super) broadcast: Arc<dyn Broadcast>,
    pub(super) memory: Memory,
    executions: Arc<Semaphore>,
}

impl Node {
    pub(super) fn new(chain: Chain, pool: Pool, upstream: Upstream, limits: RpcLimits) -> Arc<Self> {
        let Upstream { broadcast, sync, checkpoints, finality } = upstream;
        Arc::new(Self {
            pool,
            started_at: chain.head().number(),
            sync,
            checkpoints,
            finality,
            pending: PendingBlock::default(),
            chain,
            filters: Filters::new(&limits),
            memory: Memory::new(&limits),
            executions: Arc::new(Semaphore::new(limits.executions.max(1))),
            limits: Arc::new(limits),
            broadcast,
        })
    }

    /// The block a parameter names, `None` if there is no such block. `pending` is the head; `safe` and `finalized` are the
    /// newest checkpoints that the stake has justified and finalised, and the head where nobody votes.
    pub(super) fn find_block(&self, id: BlockId) -> Result<Option<Arc<BlockRecord>>, Failure> {
        Ok(match id {
            BlockId::Hash(hash) => self.chain.block_by_hash(hash.block_hash)?,
            BlockId::Number(BlockNumberOrTag::Number(number)) => self.chain.block_by_number(number)?,
            BlockId::Number(BlockNumberOrTag::Earliest) => self.chain.block_by_number(0)?,
            BlockId::Number(BlockNumberOrTag::Safe) => Some(self.by_stake(|finality| finality.justified.height)?),
            BlockId::Number(BlockNumberOrTag::Finalized) => Some(self.by_stake(|finality| finality.finalized.height)?),
            BlockId::Number(_) => Some(self.chain.head()),
        })
    }

    /// The block at a height that the stake has decided on. The head where nobody votes, or before that height is
    /// executed here.
    pub(super) fn by_stake(&self, height: fn(&StakeFinality) -> u64) -> Result<Arc<BlockRecord>, Failure> {
        let head = self.chain.head();
        let decided =
            self.finality.current().map(|finality| height(&finality)).filter(|decided| *decided < head.number());
        let Some(decided) = decided else { return Ok(head) };
        let block = self.chain.block_by_number(decided)?;
        block.ok_or(Failure::BlockNotFound { asked: decided.to_string(), head: head.number() })
    }

    /// The block a parameter names; the head if there is none.
    pub(super) fn block(&self, id: Option<BlockId>) -> Result<Arc<BlockRecord>, Failure> {
        let Some(id) = id else { return Ok(self.chain.head()) };
        let head = self.chain.head().number();
        self.find_block(id)?.ok_or_else(|| Failure::BlockNotFound { asked: name_of(id), head })
    }

    /// An account after a block; the empty account if there is none.
    pub(super) fn account(&self, block: &BlockRecord, address: Address) -> Result<AccountInfo, Failure> {
        Ok(self.chain.state(block.number())?.basic_ref(address)?.unwrap_or_default())
    }

    /// The code of an account, empty if it has none.
    pub(super) fn code(&self, block: &BlockRecord, address: Address) -> Result<Bytes, Failure> {
        let state = self.chain.state(block.number())?;
        let Some(account) = state.basic_ref(address)?.filter(|account| !account.is_empty_code_hash()) else {
            return Ok(Bytes::new());
        };
        let code = account.code.map_or_else(|| state.code_by_hash_ref(account.code_hash), Ok)?;
        Ok(code.original_bytes())
    }

    /// Parameters of the blob market at a block; `None` where there is no such market.
    pub(super) fn blobs(&self, block: &BlockRecord) -> Option<BlobParams> {
        self.chain.blob_params(block.header.timestamp)
    }

    /// A mined transaction: its block and position.
    pub(super) fn mined(&self, hash: B256) -> Result<Option<(Arc<BlockRecord>, usize)>, Failure> {
        let Some((number, index)) = self.chain.transaction(hash)? else { return Ok(None) };
        Ok(self.chain.block_by_number(number)?.map(|block| (block, index)))
    }

    /// Runs heavy work on a blocking thread, a bounded number at a time. `work` gets the time by which it must end.
    pub(super) async fn heavy<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Node, Instant) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (limit, node) = (self.limits.call_time, self.clone());
        let slot = timeout(limit, self.executions.clone().acquire_owned()).await;
        let slot = slot.map_err(|_| Failure::Busy(limit))?.map_err(|_| Failure::Internal)?;
        let running = tokio::task::spawn_blocking(move || {
            // The slot stays taken until the work ends, even when the caller has given up.
            let _slot = slot;
            work(&node, Instant::now() + node.limits.call_time)
        });
        match timeout(limit, running).await {
            Err(_) => Err(Failure::Timeout(limit)),
            Ok(Err(panic)) => {
                tracing::error!(%panic, "panic in heavy work");
                Err(Failure::Internal)
            }
            Ok(Ok(result)) => result,
        }
    }

    /// Takes a signed transaction into the pool and hands it, and what it unblocks, to the validators.
    pub(super) async fn submit(self: &Arc<Self>, raw: Bytes) -> Result<B256, Failure> {
        let decoded = self.pool.decode(raw);
        let (mut admitted, head) = self.pool.admit(&self.chain, vec![decoded])?;
        let tx = admitted.pop().ok_or(Failure::Internal)??;
        let node = self.clone();
        // A task of its own, so that a caller who hangs up does not cut the hand-over short.
        let sending = tokio::spawn(async move { node.send_ready(&tx, head).await });
        sending.await.map_err(|_| Failure::Internal)?
    }

    async fn send_ready(&self, tx: &PooledTransaction, head: HeadState) -> Result<B256, Failure> {
        let mut result = Ok(tx.hash);
        for ready in self.pool.take_ready(&tx.sender, head) {
            let sent = match &result {
                Ok(_) => self.broadcast.broadcast(ready.raw.clone()).await,
                Err(_) => Err(String::new()),
            };
            match sent {
                Ok(()) => {}
                Err(reason) if ready.hash == tx.hash => {
                    self.pool.remove(&tx.hash);
                    result = Err(Failure::Broadcast { hash: tx.hash, reason });
                }
                Err(_) => self.pool.mark_unsent(&ready.hash),
            }
        }
        result
    }

    /// The nonce that a waiting transaction waits for; `None` if it waits for no other one.
    pub(super) fn missing_nonce(&self, hash: B256) -> Result<Option<u64>, Failure> {
        let Some(tx) = self.pool.get(&hash) else { return Ok(None) };
        let next = self.account(&self.chain.head(), tx.sender)?.nonce;
        let ready = self.pool.pending_nonce(&tx.sender, next);
        Ok((tx.nonce() >= ready).then_some(ready))
    }

    /// Hands over again what is due at the head.
    pub(super) async fn send_due(&self, head: HeadState) {
        let due = futures::stream::iter(self.pool.take_due(head));
        let send = |tx: Arc<PooledTransaction>| async move {
            if let Err(reason) = self.broadcast.broadcast(tx.raw.clone()).await {
                tracing::warn!(hash = %tx.hash, reason, "transaction not handed over, will try again");
                self.pool.mark_unsent(&tx.hash);
            }
        };
        due.for_each_concurrent(BROADCASTS_PARALLEL, send).await;
    }
}

fn name_of(id: BlockId) -> String {
    match id {
        BlockId::Hash(hash) => hash.block_hash.to_string(),
        BlockId::Number(BlockNumberOrTag::Number(number)) => number.to_string(),
        BlockId::Number(tag) => tag.to_string(),
    }
}
