//! The seam between ordering and execution: the sequencer's [`Application`] over the settlement chain.
//!
//! Namespace 1 is executed: the proposer puts the resulting EVM header into the block as its commitment, and every
//! other validator executes the same transactions before it votes. All other namespaces pass through as they are. A
//! bundle has at most one transaction in namespace 1, since the chain orders by price; it waits, whole, until that one
//! is executed.
//!
//! Envelopes of the encrypted lane are ordered and not executed. What was opened of them stands in namespace 1 once more,
//! before all other transactions, and is executed there ([`chain::Front`]), so that whoever follows the chain needs
//! neither keys nor envelopes.

use alloy_primitives::{B256, keccak256};
use bytes::Bytes;
use chain::{BlockAttributes, Chain, ChainError};
use proof::lane::is_envelope;
use protocol::network::LanePolicy;
use sequencer::lane::Front;
use sequencer::{Application, Block, Content, Hash, Proposal, Propose, Transaction, transaction_hash};
use std::sync::Arc;

/// Namespace of the settlement chain.
pub const SETTLEMENT: u64 = 1;

/// Executions of one proposal: one more each time that the chain's order does not fit the bundles.
const EXECUTIONS_MAX: usize = 3;

/// The settlement chain as the sequencer's application.
pub struct Settlement {
    chain: Chain,
    genesis: Bytes,
    /// Whether envelopes stand in the namespace.
    sealed: bool,
}

impl Settlement {
    /// Orders for `chain`, whose namespace has this policy.
    ///
    /// # Errors
    /// When the chain cannot read its own block 0.
    pub fn new(chain: Chain, policy: LanePolicy) -> Result<Self, ChainError> {
        let (_, header) = chain.header_by_number(0)?.ok_or(ChainError::UnknownBlock { number: 0, head: 0 })?;
        Ok(Self { chain, genesis: alloy_rlp::encode(header).into(), sealed: policy != LanePolicy::Fcfs })
    }

    /// Executes a block of somebody else.
    fn judge(&self, ancestors: &[Arc<Block>], block: &Block, front: &Front<'_>) -> Result<B256, String> {
        let is_sealed = |transaction: &Transaction| is_envelope(transaction.payload());
        if !self.sealed && block.payload.transactions(SETTLEMENT).iter().any(is_sealed) {
            return Err("it has an envelope, and the namespace has no encrypted lane".into());
        }
        self.catch_up(ancestors)?;
        // Also when a block with this commitment was executed before: the transactions may be others.
        execute_after(&self.chain, block, front)
    }

    /// Executes those of `blocks` that the chain does not hold yet: after a restart, or when this validator missed a
    /// vote.
    fn catch_up(&self, blocks: &[Arc<Block>]) -> Result<(), String> {
        blocks.iter().try_for_each(|block| execute(&self.chain, block).map(|_| ()))
    }

    /// Executes what is due and what fits of the candidates, and takes with them what their bundles have in other
    /// namespaces. Envelopes come along in their order.
    fn choose(&self, request: Propose<'_>) -> Result<Proposal, ChainError> {
        let attributes = BlockAttributes {
            timestamp: request.timestamp_millis / 1000,
            randomness: request.randomness.into(),
            parent_beacon_root: request.parent.digest().into(),
            beneficiary: protocol::abi::FEE_VAULT,
        };
        let mut content = request.candidates;
        let unsuitable = content.bundles_in(SETTLEMENT, 2);
        let mut rejected: Vec<Hash> = names(&content, &unsuitable).collect();
        content = content.without(&unsuitable);
        let due: Vec<alloy_primitives::Bytes> = request.due.iter().map(|opened| opened.clone().into()).collect();
        let mut executions = 0;
        loop {
            executions += 1;
            let transactions = content.entry(SETTLEMENT).map_or(&[][..], |entry| entry.transactions());
            let (envelopes, plain): (Vec<usize>, Vec<usize>) =
                (0..transactions.len()).partition(|index| self.sealed && is_envelope(transactions[*index].payload()));
            let candidates: Vec<_> = plain.iter().map(|index| transactions[*index].payload().clone().into()).collect();
            let proposed = self.chain.propose_after(block_hash(request.parent), attributes, &due, &candidates)?;
            let among = |chosen: &[usize]| chosen.iter().map(|index| plain[*index]).collect::<Vec<_>>();
            rejected.extend(rejections(&content, &among(&proposed.rejected)));
            let chosen = [envelopes, among(&proposed.included)].concat();
            content = match content.choose(SETTLEMENT, &chosen) {
                Ok(content) => {
                    let (taken, included) = (proposed.front.taken, proposed.front.included.len());
                    let front = proposed.front.included.iter().map(|number| request.due[*number].clone()).collect();
                    let content = content.with_front(SETTLEMENT, front);
                    let commitment = proposed.header_rlp.into();
                    return Ok(Proposal { content, commitment, rejected, taken, included });
                }
                Err(torn) if executions < EXECUTIONS_MAX => content.without(&torn.bundles),
                // Without any bundle there is nothing to tear.
                Err(_) => content.without(&content.bundles_in(SETTLEMENT, 1)),
            };
        }
    }
}

/// EVM block hash that a sequencer block commits to.
pub fn block_hash(block: &Block) -> B256 {
    keccak256(&block.commitment)
}

/// Executes a sequencer block on the state of its parent, unless that was done; returns the EVM block hash. The parent
/// must be the head or have been executed.
///
/// # Errors
/// When the block is not valid on its parent; the text says which field differs.
pub fn execute(chain: &Chain, block: &Block) -> Result<B256, String> {
    let hash = block_hash(block);
    if chain.is_pending(hash) || chain.head().hash == hash {
        return Ok(hash);
    }
    execute_after(chain, block, &Front::default())
}

/// The same, and the block must settle of what is due all that can be settled.
fn execute_after(chain: &Chain, block: &Block, front: &Front<'_>) -> Result<B256, String> {
    let parent = parent_hash(&block.commitment)?;
    let due: Vec<alloy_primitives::Bytes> = front.due.iter().map(|opened| opened.clone().into()).collect();
    let transactions = evm_bytes(block.payload.transactions(SETTLEMENT));
    let front = (&due[..], front.taken);
    chain.verify_after(parent, attributes(block), &block.commitment, front, &transactions).map_err(|e| e.to_string())
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

/// The transactions that are no envelopes, under the EVM crates' name; no byte is copied.
fn evm_bytes(transactions: &[Transaction]) -> Vec<alloy_primitives::Bytes> {
    let plain = transactions.iter().map(Transaction::payload).filter(|payload| !is_envelope(payload));
    plain.map(|payload| payload.clone().into()).collect()
}

/// Names of these bundles.
fn names<'a>(content: &'a Content, bundles: &'a [usize]) -> impl Iterator<Item = Hash> + 'a {
    bundles.iter().filter_map(|number| content.bundle_hash(&content.bundles[*number]))
}

/// Hashes of these settlement transactions, and the names of the bundles that they are in.
fn rejections(content: &Content, rejected: &[usize]) -> Vec<Hash> {
    let transactions = content.entry(SETTLEMENT).map_or(&[][..], |entry| entry.transactions());
    let hash = |index: &usize| transaction_hash(SETTLEMENT, transactions[*index].payload());
    let here = |number: &usize| {
        let mut positions = content.bundles[*number].positions.iter();
        positions.any(|p| p.namespace == SETTLEMENT && rejected.contains(&(p.index as usize)))
    };
    let bundles: Vec<usize> = content.bundles_in(SETTLEMENT, 1).into_iter().filter(here).collect();
    rejected.iter().map(hash).chain(names(content, &bundles)).collect()
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

    fn propose(&self, request: Propose<'_>) -> Option<Proposal> {
        if let Err(error) = self.catch_up(request.ancestors) {
            tracing::error!(%error, height = request.height(), "cannot propose: an ancestor does not execute");
            return None;
        }
        let height = request.height();
        match self.choose(request) {
            Ok(proposal) => Some(proposal),
            Err(error) => {
                tracing::error!(%error, height, "cannot propose");
                None
            }
        }
    }

    fn executes(&self) -> Option<u64> {
        Some(SETTLEMENT)
    }

    fn verify(&self, ancestors: &[Arc<Block>], block: &Block) -> bool {
        self.verify_front(ancestors, block, &Front::default())
    }

    fn verify_front(&self, ancestors: &[Arc<Block>], block: &Block, front: &Front<'_>) -> bool {
        match self.judge(ancestors, block, front) {
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
