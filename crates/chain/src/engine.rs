//! The chain as others use it: a head that only moves forward, and pending blocks above it.
//!
//! All reads go to a snapshot of the store taken when the head last moved, so that a block being verified sees one
//! state from beginning to end although another one is finalised meanwhile.

use crate::{
    BlockAttributes, BlockRecord, ChainError, EthereumGenesis, GenesisSpec, InvalidTransaction, StateView,
    cache::Cache,
    ethereum::Ethereum,
    execute::{Rules, evm_env, next_base_fee, next_header},
    genesis::Genesis,
    pending::{Pending, PendingBlock},
    state::Overlay,
    store::{History, Snapshot, Store},
    transactions::Senders,
};
use alloy_consensus::{Header, TxEnvelope, transaction::Recovered};
use alloy_eips::eip7840::BlobParams;
use alloy_evm::EvmEnv;
use alloy_primitives::{Address, B256, Bloom, U256};
use parking_lot::{Mutex, RwLock};
use revm::state::Bytecode;
use std::{path::Path, sync::Arc};
use tokio::sync::broadcast;

/// Block records kept in memory.
const RECORDS_MAX: usize = 64;
/// Contract codes kept analysed in memory.
const CODES_MAX: usize = 1_024;
/// Blocks a slow subscriber may fall behind before it misses some.
const SUBSCRIBER_LAG_MAX: usize = 256;

/// How a node keeps its chain; has no influence on blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainConfig {
    /// Blocks below the head whose state can still be read and proven; [`ChainConfig::ARCHIVE`] keeps all. `None`: as
    /// the directory was told last, 10,000 for a new one.
    pub history_blocks: Option<u64>,
    /// Blocks of history that are kept in any case, because something else reads their state.
    pub history_blocks_min: u64,
    /// Memory for the cache of the database, in bytes.
    pub cache_bytes: usize,
}

impl ChainConfig {
    /// All blocks, as a number of blocks of history.
    pub const ARCHIVE: u64 = crate::store::ARCHIVE;

    const fn history(&self) -> History {
        History { asked: self.history_blocks, min: self.history_blocks_min }
    }
}

impl Default for ChainConfig {
    fn default() -> Self {
        Self { history_blocks: None, history_blocks_min: 0, cache_bytes: 256 << 20 }
    }
}

/// A chain on disk and its pending blocks. Clones share it.
#[derive(Clone)]
pub struct Chain(Arc<Inner>);

struct Inner {
    rules: Rules,
    genesis: B256,
    store: Store,
    live: RwLock<Live>,
    /// Held while a block is written, so that blocks are written one after the other.
    writer: Mutex<()>,
    senders: Senders,
    records: Cache<u64, Arc<BlockRecord>>,
    changed: Cache<u64, Arc<[Address]>>,
    codes: Arc<Cache<B256, Bytecode>>,
    finalized: broadcast::Sender<Arc<BlockRecord>>,
}

struct Live {
    head: Arc<BlockRecord>,
    snapshot: Arc<Snapshot>,
    pending: Pending,
}

/// A block to build on, and the state after it.
pub(crate) struct Base {
    pub record: Arc<BlockRecord>,
    pub view: StateView,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").field("head", &self.head().number()).finish_non_exhaustive()
    }
}

impl Chain {
    /// Opens the chain in `dir`, creating directory and chain where absent.
    ///
    /// Refuses, with an error that says what to do: a directory in use by another process, a chain with another
    /// genesis or chain id, a newer format, a damaged file.
    pub fn open(dir: &Path, genesis: &GenesisSpec, config: ChainConfig) -> Result<Self, ChainError> {
        let codes = Arc::new(Cache::new(CODES_MAX));
        let genesis = Genesis::build(genesis, StateView::empty(codes.clone()))?;
        let store = Store::open(dir, &genesis, config.cache_bytes, config.history())?;
        Self::assemble(genesis.rules, genesis.record.hash, store, codes)
    }

    /// Opens the chain of an Ethereum genesis in `dir`, to import blocks into it; creates it where absent.
    ///
    /// Fails as [`Chain::open`] does, and for a genesis with forks that are not known here.
    pub fn open_ethereum(dir: &Path, genesis: &EthereumGenesis, config: ChainConfig) -> Result<Self, ChainError> {
        let codes = Arc::new(Cache::new(CODES_MAX));
        let genesis = Genesis::imported(genesis, StateView::empty(codes.clone()))?;
        let store = Store::open(dir, &genesis, config.cache_bytes, config.history())?;
        Self::assemble(genesis.rules, genesis.record.hash, store, codes)
    }

    /// Opens the imported chain in `dir`, whose rules are stored beside it; `None` when there is none.
    pub fn open_imported(dir: &Path, config: ChainConfig) -> Result<Option<Self>, ChainError> {
        let codes = Arc::new(Cache::new(CODES_MAX));
        let opened = Store::open_imported(dir, config.cache_bytes, config.history())?;
        let Some((store, schedule, hash)) = opened else { return Ok(None) };
        let rules = Rules::imported(Ethereum::new(&schedule)?);
        Self::assemble(rules, hash, store, codes).map(Some)
    }

    fn assemble(
        rules: Rules,
        genesis: B256,
        store: Store,
        codes: Arc<Cache<B256, Bytecode>>,
    ) -> Result<Self, ChainError> {
        let snapshot = Arc::new(store.snapshot()?);
        let head =
            Arc::new(snapshot.block(snapshot.head_number()?)?.ok_or_else(|| store.corrupt("its head is missing"))?);
        let live = RwLock::new(Live { head, snapshot, pending: Pending::default() });
        Ok(Self(Arc::new(Inner {
            senders: Senders::new(rules.chain_id),
            rules,
            genesis,
            store,
            live,
            writer: Mutex::new(()),
            records: Cache::new(RECORDS_MAX),
            changed: Cache::new(RECORDS_MAX),
            codes,
            finalized: broadcast::channel(SUBSCRIBER_LAG_MAX).0,
        })))
    }

    /// EIP-155 chain id.
    pub fn chain_id(&self) -> u64 {
        self.0.rules.chain_id
    }

    /// The fork schedule of an imported Ethereum chain; `None` for a chain of Kumo.
    pub fn imported_config(&self) -> Option<&alloy_genesis::ChainConfig> {
        self.0.rules.ethereum.as_ref().map(|ethereum| ethereum.config())
    }

    /// Parameters of the blob market at a time; `None` where there is no such market.
    pub fn blob_params(&self, timestamp: u64) -> Option<BlobParams> {
        self.0.rules.ethereum.as_ref()?.blob_params(timestamp)
    }

    /// Hash of block 0.
    pub fn genesis_hash(&self) -> B256 {
        self.0.genesis
    }

    /// Newest finalised block.
    pub fn head(&self) -> Arc<BlockRecord> {
        self.0.live.read().head.clone()
    }

    /// Each block as it is finalised; a subscriber that falls 256 blocks behind misses some.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<BlockRecord>> {
        self.0.finalized.subscribe()
    }

    /// Whether the block was proposed or verified here and is neither finalised nor lost.
    pub fn is_pending(&self, hash: B256) -> bool {
        self.0.live.read().pending.get(&hash).is_some()
    }

    /// A pending block.
    pub fn pending_block(&self, hash: B256) -> Option<Arc<BlockRecord>> {
        self.0.live.read().pending.get(&hash).map(|block| block.record.clone())
    }

    /// Makes a pending child of the head final: one atomic write, on disk when this returns.
    ///
    /// Pending blocks that do not descend from it are dropped. Finalising a block that is already final returns it.
    pub fn finalize(&self, hash: B256) -> Result<Arc<BlockRecord>, ChainError> {
        let _writer = self.0.writer.lock();
        let (head, block) = {
            let live = self.0.live.read();
            (live.head.clone(), live.pending.get(&hash).cloned())
        };
        let Some(PendingBlock { record, overlay }) = block else {
            return self.block_by_hash(hash)?.ok_or(ChainError::NotPending(hash));
        };
        let parent = record.header.parent_hash;
        if parent != head.hash {
            return Err(ChainError::NotNext { hash, parent, head: head.hash });
        }
        self.0.store.append(&record, &overlay)?;
        let snapshot = Arc::new(self.0.store.snapshot()?);
        {
            let mut live = self.0.live.write();
            live.pending.finalized(hash);
            live.head = record.clone();
            live.snapshot = snapshot;
        }
        self.0.records.insert(record.number(), record.clone());
        self.0.changed.insert(record.number(), overlay.accounts.keys().copied().collect());
        // Nobody listening is not a failure.
        let _ = self.0.finalized.send(record.clone());
        Ok(record)
    }

    /// A finalised block; `None` beyond the head. Fails between block 0 and [`Chain::oldest_block`].
    pub fn block_by_number(&self, number: u64) -> Result<Option<Arc<BlockRecord>>, ChainError> {
        if let Some(record) = self.0.records.get(&number) {
            return Ok(Some(record));
        }
        let snapshot = self.snapshot();
        let Some(record) = snapshot.block(number)?.map(Arc::new) else { return kept(&snapshot, number) };
        self.0.records.insert(number, record.clone());
        Ok(Some(record))
    }

    /// A finalised block.
    pub fn block_by_hash(&self, hash: B256) -> Result<Option<Arc<BlockRecord>>, ChainError> {
        match self.snapshot().number(hash)? {
            Some(number) => self.block_by_number(number),
            None => Ok(None),
        }
    }

    /// Accounts that a block finalised lately by this process changed, in no order; `None` for any other block.
    pub(crate) fn changed_accounts(&self, number: u64) -> Option<Arc<[Address]>> {
        self.0.changed.get(&number)
    }

    /// Header of a finalised block with its hash, without reading the rest of the block.
    pub fn header_by_number(&self, number: u64) -> Result<Option<(B256, Header)>, ChainError> {
        let snapshot = self.snapshot();
        match snapshot.header(number)? {
            Some(header) => Ok(Some(header)),
            None => kept(&snapshot, number),
        }
    }

    /// Oldest block but block 0 that is kept; 0 when all are.
    pub fn oldest_block(&self) -> Result<u64, ChainError> {
        self.snapshot().blocks_from()
    }

    /// Height and index of a finalised transaction.
    pub fn transaction(&self, hash: B256) -> Result<Option<(u64, usize)>, ChainError> {
        self.snapshot().transaction(hash)
    }

    /// State after the finalised block `number`.
    ///
    /// Fails beyond the head, and below [`Chain::oldest_state`].
    pub fn state(&self, number: u64) -> Result<StateView, ChainError> {
        let (head, snapshot) = self.head_and_snapshot();
        StateView::at(snapshot, self.0.codes.clone(), number, head.number())
    }

    /// The state after the head or a pending block; `None` if the block is neither.
    pub fn state_after(&self, hash: B256) -> Option<StateView> {
        Some(self.base(hash)?.view)
    }

    /// Oldest block whose state can be read.
    pub fn oldest_state(&self) -> Result<u64, ChainError> {
        self.snapshot().history_from()
    }

    /// Blocks below the head whose state is kept; `None` if nothing is ever pruned.
    pub fn history_blocks(&self) -> Option<u64> {
        self.0.store.history_blocks()
    }

    /// EVM environment in which the transactions of a block ran: for calls and traces on top of [`Chain::state`].
    pub fn evm_env(&self, header: &Header) -> EvmEnv {
        evm_env(&self.0.rules, header)
    }

    /// EVM environment of a next block on the head, with these attributes.
    pub fn next_evm_env(&self, attributes: BlockAttributes) -> EvmEnv {
        evm_env(&self.0.rules, &next_header(&self.0.rules, &self.head(), attributes))
    }

    /// Base fee of a child of the head, in wei per gas.
    pub fn next_base_fee(&self) -> u64 {
        let head = self.head();
        match self.0.rules.ethereum {
            None => next_base_fee(&head.header),
            // The next block may be the first with a base fee.
            Some(_) => {
                let attributes = BlockAttributes { timestamp: head.header.timestamp + 1, ..Default::default() };
                next_header(&self.0.rules, &head, attributes).base_fee_per_gas.unwrap_or_default()
            }
        }
    }

    /// Decodes a transaction and recovers its sender, under the rules that hold for every state.
    pub fn recover(&self, transaction: &[u8]) -> Result<Recovered<TxEnvelope>, InvalidTransaction> {
        self.0.senders.recover(transaction)
    }

    /// Sum of all balances at genesis, in wei; an imported chain does not tell.
    pub(crate) fn genesis_supply(&self) -> Result<U256, ChainError> {
        match self.0.rules.ethereum {
            None => Ok(self.0.rules.supply),
            Some(_) => Err(ChainError::SupplyUnknown),
        }
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.0.rules
    }

    #[cfg(test)]
    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn senders(&self) -> &Senders {
        &self.0.senders
    }

    pub(crate) fn bloom(&self, number: u64) -> Result<Bloom, ChainError> {
        Ok(self.header_by_number(number)?.map(|(_, header)| header.logs_bloom).unwrap_or_default())
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.0.live.read().snapshot.clone()
    }

    fn head_and_snapshot(&self) -> (Arc<BlockRecord>, Arc<Snapshot>) {
        let live = self.0.live.read();
        (live.head.clone(), live.snapshot.clone())
    }

    /// The head with its snapshot, and the code cache.
    pub(crate) fn parts(&self) -> (Arc<BlockRecord>, Arc<Snapshot>, Arc<Cache<B256, Bytecode>>) {
        let (head, snapshot) = self.head_and_snapshot();
        (head, snapshot, self.0.codes.clone())
    }

    /// The head or a pending block, with the state after it; `None` for any other hash.
    pub(crate) fn base(&self, hash: B256) -> Option<Base> {
        let live = self.0.live.read();
        let codes = self.0.codes.clone();
        if live.head.hash == hash {
            let view = StateView::latest(live.snapshot.clone(), codes, live.head.number());
            return Some(Base { record: live.head.clone(), view });
        }
        let record = live.pending.get(&hash)?.record.clone();
        let view = StateView::latest(live.snapshot.clone(), codes, live.head.number());
        Some(Base { record, view: view.with_overlays(live.pending.overlays(hash)) })
    }

    /// Keeps an executed block; it must descend from the head.
    pub(crate) fn hold(&self, record: BlockRecord, overlay: Overlay) -> Result<B256, ChainError> {
        let hash = record.hash;
        let parent = record.header.parent_hash;
        let mut live = self.0.live.write();
        if live.head.hash == hash {
            return Ok(hash);
        }
        // The head may have moved past a sibling of this block while it was executed.
        if live.head.hash != parent && live.pending.get(&parent).is_none() {
            return Err(ChainError::NotPending(parent));
        }
        live.pending.insert(PendingBlock { record: Arc::new(record), overlay: Arc::new(overlay) })?;
        Ok(hash)
    }
}

/// Nothing, for a block beyond the head; an error for one that is no longer, or was never, in this directory.
fn kept<T>(snapshot: &Snapshot, number: u64) -> Result<Option<T>, ChainError> {
    let oldest = snapshot.blocks_from()?;
    if number < oldest {
        return Err(ChainError::BlockPruned { number, oldest });
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
