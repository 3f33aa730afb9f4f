//! The seam between ordering and execution: the sequencer's [`Application`] over the settlement chain.
//!
//! Namespace 1 is executed: the proposer puts the resulting EVM header into the block as its commitment, and every other
//! validator executes the same transactions before it votes. All other namespaces pass through as they are.

use alloy_primitives::{B256, keccak256};
use bytes::Bytes;
use chain::{BlockAttributes, Chain, ChainError};
use sequencer::{Application, Block, Entry, Proposal, Propose, put_namespace, take_namespace, transaction_hash};
use std::sync::Arc;

/// Namespace of the settlement chain.
pub const SETTLEMENT: u64 = 1;

/// The settlement chain as the sequencer's application.
pub struct Settlement {
    chain: Chain,
    genesis: Bytes,
}

impl Settlement {
    /// Orders for `chain`.
    ///
    /// # Errors
    /// When the chain cannot read its own block 0.
    pub fn new(chain: Chain) -> Result<Self, ChainError> {
        let (_, header) = chain.header_by_number(0)?.ok_or(ChainError::UnknownBlock { number: 0, head: 0 })?;
        Ok(Self { chain, genesis: alloy_rlp::encode(header).into() })
    }

    /// Executes those of `blocks` that the chain does not hold yet: after a restart, or when this validator missed a vote.
    fn catch_up(&self, blocks: &[Arc<Block>]) -> Result<(), String> {
        blocks.iter().try_for_each(|block| execute(&self.chain, block).map(|_| ()))
    }
}

/// EVM block hash that a sequencer block commits to.
pub fn block_hash(block: &Block) -> B256 {
    keccak256(&block.commitment)
}

/// Executes a sequencer block on the state of its parent, unless that was done; returns the EVM block hash. The parent must
/// be the head or have been executed.
///
/// # Errors
/// When the block is not valid on its parent; the text says which field differs.
pub fn execute(chain: &Chain, block: &Block) -> Result<B256, String> {
    let hash = block_hash(block);
    if chain.is_pending(hash) || chain.head().hash == hash {
        return Ok(hash);
    }
    let parent = parent_hash(&block.commitment)?;
    let transactions = evm_bytes(settlement_transactions(block));
    chain.verify(parent, attributes(block), &block.commitment, &transactions).map_err(|e| e.to_string())
}

/// The parent hash inside an encoded header: its first field.
fn parent_hash(header: &[u8]) -> Result<B256, String> {
    use alloy_rlp::Decodable as _;
    let mut bytes = header;
    let list = alloy_rlp::Header::decode(&mut bytes).map_err(|e| format!("commitment is no header: {e}"))?;
    if !list.list {
        return Err("commitment is no header: not a list".into());
    }
    B256::decode(&mut bytes).map_err(|e| format!("commitment is no header: {e}"))
}

fn settlement_transactions(block: &Block) -> &[Bytes] {
    block.entries.iter().find(|e| e.namespace == SETTLEMENT).map_or(&[], |e| &e.transactions)
}

/// The same bytes under the EVM crates' name; no byte is copied.
fn evm_bytes(transactions: &[Bytes]) -> Vec<alloy_primitives::Bytes> {
    transactions.iter().map(|t| t.clone().into()).collect()
}

fn attributes(block: &Block) -> BlockAttributes {
    BlockAttributes {
        timestamp: block.timestamp_millis / 1000,
        randomness: block.randomness.into(),
        parent_beacon_root: block.parent.into(),
        beneficiary: protocol::abi::FEE_VAULT,
    }
}

impl Application for Settlement {
    fn genesis_commitment(&self) -> Bytes {
        self.genesis.clone()
    }

    fn propose(&self, mut request: Propose<'_>) -> Option<Proposal> {
        if let Err(error) = self.catch_up(request.ancestors) {
            tracing::error!(%error, height = request.height(), "cannot propose: an ancestor does not execute");
            return None;
        }
        let candidates = take_namespace(&mut request.candidates, SETTLEMENT);
        let transactions = candidates.map(|e| e.transactions).unwrap_or_default();
        let attributes = BlockAttributes {
            timestamp: request.timestamp_millis / 1000,
            randomness: request.randomness.into(),
            parent_beacon_root: request.parent.digest().into(),
            beneficiary: protocol::abi::FEE_VAULT,
        };
        let proposed = match self.chain.propose(block_hash(request.parent), attributes, &evm_bytes(&transactions)) {
            Ok(proposed) => proposed,
            Err(error) => {
                tracing::error!(%error, height = request.height(), "cannot propose");
                return None;
            }
        };
        let pick = |indexes: &[usize]| indexes.iter().map(|i| transactions[*i].clone()).collect::<Vec<_>>();
        let rejected = pick(&proposed.rejected).iter().map(|t| transaction_hash(SETTLEMENT, t)).collect();
        let mut entries = request.candidates;
        put_namespace(&mut entries, Entry { namespace: SETTLEMENT, transactions: pick(&proposed.included) });
        Some(Proposal { entries, commitment: proposed.header_rlp.into(), rejected })
    }

    fn verify(&self, ancestors: &[Arc<Block>], block: &Block) -> bool {
        match self.catch_up(ancestors).and_then(|()| execute(&self.chain, block)) {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(%error, height = block.height, "refused a block");
                false
            }
        }
    }

    fn finalized(&self, block: &Block) -> Result<(), String> {
        let hash = execute(&self.chain, block)?;
        self.chain.finalize(hash).map(|_| ()).map_err(|e| e.to_string())
    }

    fn finalized_height(&self) -> u64 {
        self.chain.head().header.number
    }
}
