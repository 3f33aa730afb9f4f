//! An L1 and a network that do what tests need: blocks that vanish, transactions that wait, nodes that fail, crashes.

mod network;

pub use network::{DOMAIN, Network};

use crate::l1::{Call, L1, L1Error, Receipt};
use alloy_consensus::Transaction as _;
use alloy_consensus::{TxEnvelope, transaction::SignerRecoverable as _};
use alloy_eips::eip2718::Decodable2718 as _;
use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::{SolCall, SolError};
use proof::checkpoint::{Checkpoint, Point};
use protocol::abi::l1::IKumoLightClient as Abi;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

pub const CONTRACT: Address = Address::repeat_byte(0xcc);
pub const CHAIN_ID: u64 = 1;
const CALL_GAS: u64 = 242_000;

/// The last epoch that is final.
pub fn last_final(network: &Network) -> u64 {
    network.0.lock().unwrap().links.last().unwrap().certificate.vote.source.epoch
}

/// Loses the link to this epoch.
pub fn forget(network: &Network, epoch: u64) {
    network.0.lock().unwrap().links.retain(|link| link.target.epoch != epoch);
}

/// The light client's rule, without signatures.
#[derive(Clone)]
struct Contract {
    justified: BTreeMap<u64, B256>,
    finalised: Point,
}

impl Contract {
    fn advance(&mut self, call: &Abi::advanceCall) -> Result<(), Vec<u8>> {
        let mut is_changed = false;
        for link in &call.links {
            let target = from_abi(&link.target);
            let Some(root) = self.justified.get(&link.source).copied() else {
                return Err(Abi::SourceUnknown { epoch: link.source }.abi_encode());
            };
            let span = target.epoch - link.source;
            let is_linked = span == 1 || (span == 2 && self.justified.contains_key(&(link.source + 1)));
            if link.source > self.finalised.epoch && is_linked {
                self.finalised = Point { epoch: link.source, root };
                is_changed = true;
            }
            is_changed |= self.justified.insert(target.epoch, target.root()).is_none();
            while self.justified.len() > 4 {
                self.justified.pop_first();
            }
        }
        match is_changed {
            true if from_abi(&call.finalised).epoch == self.finalised.epoch => Ok(()),
            true if self.finalised.epoch == 0 => Ok(()),
            true => Err(Abi::FinalisedMismatch { computed: B256::ZERO, root: self.finalised.root }.abi_encode()),
            false => Err(Abi::NothingNew { justifiedEpoch: 0 }.abi_encode()),
        }
    }
}

fn from_abi(checkpoint: &protocol::abi::l1::Checkpoint) -> Checkpoint {
    Checkpoint {
        epoch: checkpoint.epoch,
        height: checkpoint.height,
        seconds: checkpoint.timestamp,
        block: checkpoint.blockDigest,
        application: checkpoint.application,
        electorate: checkpoint.electorate,
        state: checkpoint.state,
    }
}

/// State after a block.
#[derive(Clone)]
struct Block {
    contract: Contract,
    nonces: BTreeMap<Address, u64>,
    receipts: BTreeMap<B256, Receipt>,
}

/// How an L1 misbehaves.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// No request is answered after so many.
    pub answers: Option<u64>,
    /// Transactions are taken and forgotten.
    pub drop_sent: bool,
    /// Transactions are taken, and the answer is lost.
    pub lose_answers: bool,
}

struct Chain {
    blocks: Vec<Block>,
    pool: Vec<TxEnvelope>,
    base_fee: u128,
    blob_base_fee: u128,
    faults: Faults,
    network: Network,
    chain_id: u64,
    sent: usize,
}

/// An L1 in memory; clones are the same one.
#[derive(Clone)]
pub struct FakeL1(Arc<Mutex<Chain>>);

impl FakeL1 {
    pub fn new(network: &Network) -> Self {
        let start = Point { epoch: 0, root: network.at(0).root() };
        let contract = Contract { justified: BTreeMap::from([(0, start.root)]), finalised: start };
        let block = Block { contract, nonces: BTreeMap::new(), receipts: BTreeMap::new() };
        Self(Arc::new(Mutex::new(Chain {
            blocks: vec![block],
            pool: vec![],
            base_fee: 10,
            blob_base_fee: 1,
            faults: Faults::default(),
            network: network.clone(),
            chain_id: CHAIN_ID,
            sent: 0,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Chain> {
        self.0.lock().unwrap()
    }

    pub fn set_chain_id(&self, chain_id: u64) {
        self.lock().chain_id = chain_id;
    }

    pub fn set_base_fee(&self, fee: u128) {
        self.lock().base_fee = fee;
    }

    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// A block with everything in the pool that pays its base fee.
    pub fn mine(&self) {
        let mut chain = self.lock();
        let mut block = chain.blocks.last().unwrap().clone();
        let height = chain.blocks.len() as u64;
        let base = chain.base_fee;
        let mut pool = std::mem::take(&mut chain.pool);
        pool.sort_by_key(|tx| tx.nonce());
        for tx in pool {
            let sender = tx.recover_signer().unwrap();
            let nonce = block.nonces.entry(sender).or_default();
            if tx.nonce() < *nonce {
                continue;
            }
            if tx.nonce() > *nonce || tx.max_fee_per_gas() < base {
                chain.pool.push(tx);
                continue;
            }
            *nonce += 1;
            let mut contract = block.contract.clone();
            let is_ours = tx.to() == Some(CONTRACT);
            let result = match is_ours {
                true => contract.advance(&Abi::advanceCall::abi_decode(tx.input()).unwrap()),
                false => Ok(()),
            };
            if result.is_ok() {
                block.contract = contract;
            }
            let price = tx.max_fee_per_gas().min(base + tx.max_priority_fee_per_gas().unwrap());
            let receipt = Receipt { block: height, is_success: result.is_ok(), gas: CALL_GAS, price };
            block.receipts.insert(*tx.tx_hash(), receipt);
        }
        chain.blocks.push(block);
    }

    /// The last `depth` blocks never were; their transactions do not come back by themselves.
    pub fn reorganise(&self, depth: usize) {
        let mut chain = self.lock();
        let left = chain.blocks.len().saturating_sub(depth).max(1);
        chain.blocks.truncate(left);
    }

    /// The pool forgets everything.
    pub fn restart(&self) {
        self.lock().pool.clear();
    }

    /// A transaction of somebody with the same key, which waits or is mined at once.
    pub fn put(&self, tx: TxEnvelope) {
        self.lock().pool.push(tx);
    }

    pub fn finalised(&self) -> u64 {
        self.lock().blocks.last().unwrap().contract.finalised.epoch
    }

    /// Transactions that were handed over so far.
    pub fn sent(&self) -> usize {
        self.lock().sent
    }

    /// Successful and reverted transactions of the branch, by sender.
    pub fn mined(&self) -> (usize, usize) {
        let chain = self.lock();
        let receipts = &chain.blocks.last().unwrap().receipts;
        let taken = receipts.values().filter(|receipt| receipt.is_success).count();
        (taken, receipts.len() - taken)
    }

    fn ask(&self, what: &'static str) -> Result<MutexGuard<'_, Chain>, L1Error> {
        let mut chain = self.lock();
        match &mut chain.faults.answers {
            Some(0) => return Err(L1Error::Unreachable { what, reason: "down".into() }),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(chain)
    }
}

impl Chain {
    fn last(&self) -> &Block {
        self.blocks.last().unwrap()
    }

    fn answer(&self, data: &[u8]) -> Result<Bytes, L1Error> {
        let contract = &self.last().contract;
        let selector: [u8; 4] = data[..4].try_into().unwrap();
        let answer = match selector {
            Abi::domainCall::SELECTOR => {
                Abi::domainCall::abi_encode_returns(&Abi::domainReturn { chainId: 5886, genesis: DOMAIN.genesis })
            }
            Abi::isStoppedCall::SELECTOR => Abi::isStoppedCall::abi_encode_returns(&false),
            Abi::latestCall::SELECTOR => Abi::latestCall::abi_encode_returns(&Abi::latestReturn {
                epoch: contract.finalised.epoch,
                root: contract.finalised.root,
                height: 0,
                timestamp: 0,
                blockDigest: B256::ZERO,
                application: B256::ZERO,
            }),
            Abi::justifiedCall::SELECTOR => {
                let mut known = contract.justified.iter();
                let entries: [_; 4] = std::array::from_fn(|_| known.next().map_or((0, B256::ZERO), |(e, r)| (*e, *r)));
                Abi::justifiedCall::abi_encode_returns(&Abi::justifiedReturn {
                    epochs: entries.map(|(epoch, _)| epoch),
                    roots: entries.map(|(_, root)| root),
                })
            }
            Abi::electorateCall::SELECTOR => Abi::electorateCall::abi_encode_returns(&Abi::electorateReturn {
                root: self.network.members().root(),
                sets: vec![],
                settled: B256::ZERO,
            }),
            Abi::advanceCall::SELECTOR => {
                let call = Abi::advanceCall::abi_decode(data).unwrap();
                contract.clone().advance(&call).map_err(|data| L1Error::Reverted(data.into()))?;
                vec![]
            }
            other => panic!("the contract has no {other:?}"),
        };
        Ok(answer.into())
    }

    /// The rule of nodes' pools: a replacement offers a tenth more in both prices.
    fn admit(&mut self, tx: TxEnvelope) -> Result<(), L1Error> {
        let sender = tx.recover_signer().unwrap();
        if tx.nonce() < self.last().nonces.get(&sender).copied().unwrap_or_default() {
            return Err(L1Error::NonceUsed);
        }
        let same = |other: &TxEnvelope| other.nonce() == tx.nonce() && other.recover_signer().unwrap() == sender;
        if let Some(place) = self.pool.iter().position(same) {
            let other = &self.pool[place];
            if other.tx_hash() == tx.tx_hash() {
                return Err(L1Error::Known);
            }
            let tips = |tx: &TxEnvelope| tx.max_priority_fee_per_gas().unwrap_or_default();
            if tx.max_fee_per_gas() * 10 < other.max_fee_per_gas() * 11 || tips(&tx) * 10 < tips(other) * 11 {
                return Err(L1Error::Underpriced);
            }
            self.pool.remove(place);
        }
        self.pool.push(tx);
        Ok(())
    }
}

impl L1 for FakeL1 {
    async fn chain_id(&self) -> Result<u64, L1Error> {
        Ok(self.ask("chain id")?.chain_id)
    }

    async fn height(&self) -> Result<u64, L1Error> {
        Ok(self.ask("height")?.blocks.len() as u64 - 1)
    }

    async fn base_fee(&self) -> Result<u128, L1Error> {
        Ok(self.ask("base fee")?.base_fee)
    }

    async fn blob_base_fee(&self) -> Result<u128, L1Error> {
        Ok(self.ask("blob base fee")?.blob_base_fee)
    }

    async fn nonce(&self, account: Address, height: Option<u64>) -> Result<u64, L1Error> {
        let chain = self.ask("nonce")?;
        let block = match height {
            Some(height) => chain.blocks.get(height as usize),
            None => chain.blocks.last(),
        };
        let block = block.ok_or(L1Error::Unreachable { what: "nonce", reason: "no such block".into() })?;
        Ok(block.nonces.get(&account).copied().unwrap_or_default())
    }

    async fn call(&self, call: &Call) -> Result<Bytes, L1Error> {
        self.ask("call")?.answer(&call.data)
    }

    async fn estimate(&self, call: &Call) -> Result<u64, L1Error> {
        self.ask("estimate")?.answer(&call.data).map(|_| CALL_GAS)
    }

    async fn send(&self, raw: &Bytes) -> Result<(), L1Error> {
        let mut chain = self.ask("send")?;
        chain.sent += 1;
        let tx = TxEnvelope::decode_2718(&mut &raw[..]).unwrap();
        let result = match chain.faults.drop_sent {
            true => Ok(()),
            false => chain.admit(tx),
        };
        match chain.faults.lose_answers {
            true => Err(L1Error::Unreachable { what: "send", reason: "the answer was lost".into() }),
            false => result,
        }
    }

    async fn receipt(&self, hash: B256) -> Result<Option<Receipt>, L1Error> {
        Ok(self.ask("receipt")?.last().receipts.get(&hash).copied())
    }
}
