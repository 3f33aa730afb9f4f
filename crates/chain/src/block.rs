//! The blocks of the chain: what goes into one, what comes out, and how roots are computed.

use crate::offenders::Offenders;
use crate::{front::Front, transactions::block_rlp_length};
use alloy_consensus::{Header, ReceiptEnvelope, TxEnvelope, proofs};
use alloy_eips::eip4895::Withdrawals;
use alloy_primitives::{Address, B256, Bloom, Bytes, U256};

/// A finalised or pending block with everything derived from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRecord {
    /// Keccak-256 of the RLP of the header.
    pub hash: B256,
    /// Ethereum header with all fields up to Osaka.
    pub header: Header,
    /// Transactions in order of execution.
    pub transactions: Vec<TxEnvelope>,
    /// Sender of each transaction.
    pub senders: Vec<Address>,
    /// Receipt of each transaction; gas in it is cumulative.
    pub receipts: Vec<ReceiptEnvelope>,
    /// Gas used by each transaction alone.
    pub gas_used: Vec<u64>,
    /// Headers of blocks that lost the race, on chains imported from proof of work; otherwise empty.
    pub ommers: Vec<Header>,
    /// Coin from the beacon chain, on imported chains since Shanghai; otherwise empty, and `None` before Shanghai.
    pub withdrawals: Option<Withdrawals>,
    /// Sum of all difficulties up to this block, on imported chains while they are proof of work.
    pub total_difficulty: Option<U256>,
    /// Length of the RLP of the whole block, in bytes.
    pub size: u64,
}

/// What consensus decides about a block before its transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockAttributes {
    /// Unix seconds; at least the parent's.
    pub timestamp: u64,
    /// Becomes `mix_hash` (PREVRANDAO) and is written to the randomness contract.
    pub randomness: B256,
    /// EIP-4788 root; whatever consensus wants readable on chain for [`BlockAttributes::timestamp`].
    pub parent_beacon_root: B256,
    /// Receives the priority fees.
    pub beneficiary: Address,
    /// Whom evidence in the block convicts; their stake is slashed before the first transaction.
    pub offenders: Offenders,
}

/// A block built by this node; it is already pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// Hash of the block.
    pub hash: B256,
    /// RLP of its header.
    pub header_rlp: Bytes,
    /// Indices of the candidates in the block, in the order of the block.
    pub included: Vec<usize>,
    /// Indices of candidates that are malformed or can never be valid on this state: drop them.
    pub rejected: Vec<usize>,
    /// Indices of candidates that may become valid (nonce gap, no room, fee too low for now, already included in a
    /// pending ancestor): keep them.
    pub deferred: Vec<usize>,
    /// How far the block comes with what was due before all candidates.
    pub front: Front,
}

impl BlockRecord {
    /// Height of the block; genesis is 0.
    pub const fn number(&self) -> u64 {
        self.header.number
    }

    /// Base fee of the block in wei per gas.
    pub fn base_fee(&self) -> u64 {
        self.header.base_fee_per_gas.unwrap_or_default()
    }

    /// The attributes consensus gave to this block.
    pub fn attributes(&self) -> BlockAttributes {
        BlockAttributes {
            timestamp: self.header.timestamp,
            randomness: self.header.mix_hash,
            parent_beacon_root: self.header.parent_beacon_block_root.unwrap_or_default(),
            beneficiary: self.header.beneficiary,
            offenders: Offenders::decode(&self.header.extra_data),
        }
    }

    /// Index of the first log of transaction `index` within the block.
    pub fn first_log_index(&self, index: usize) -> u64 {
        self.receipts.iter().take(index).map(|receipt| receipt.logs().len() as u64).sum()
    }

    /// Seals a header over executed transactions.
    pub(crate) fn new(
        header: Header,
        transactions: Vec<TxEnvelope>,
        senders: Vec<Address>,
        receipts: Vec<ReceiptEnvelope>,
    ) -> Self {
        let withdrawals = header.withdrawals_root.map(|_| Withdrawals::default());
        let size = block_rlp_length(&header, &transactions, &[], withdrawals.as_ref()) as u64;
        let gas_used = gas_of_each(&receipts);
        Self {
            hash: header.hash_slow(),
            header,
            transactions,
            senders,
            receipts,
            gas_used,
            ommers: Vec::new(),
            withdrawals,
            total_difficulty: None,
            size,
        }
    }

    /// The same block with what only blocks of other chains hold. `withdrawals` are dropped where the header has none.
    pub(crate) fn with_body(
        self,
        ommers: Vec<Header>,
        withdrawals: Withdrawals,
        total_difficulty: Option<U256>,
    ) -> Self {
        let withdrawals = self.header.withdrawals_root.map(|_| withdrawals);
        let size = block_rlp_length(&self.header, &self.transactions, &ommers, withdrawals.as_ref()) as u64;
        Self { ommers, withdrawals, total_difficulty, size, ..self }
    }
}

/// Differences of the cumulative gas of receipts.
fn gas_of_each(receipts: &[ReceiptEnvelope]) -> Vec<u64> {
    let mut before = 0;
    let mut used = Vec::with_capacity(receipts.len());
    for receipt in receipts {
        let cumulative = receipt.cumulative_gas_used();
        used.push(cumulative.saturating_sub(before));
        before = cumulative;
    }
    used
}

/// Root of the transactions trie.
pub(crate) fn transactions_root(transactions: &[TxEnvelope]) -> B256 {
    proofs::calculate_transaction_root(transactions)
}

/// Root of the receipts trie.
pub(crate) fn receipts_root(receipts: &[ReceiptEnvelope]) -> B256 {
    proofs::calculate_receipt_root(receipts)
}

/// Union of the blooms of receipts.
pub(crate) fn logs_bloom(receipts: &[ReceiptEnvelope]) -> Bloom {
    receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | *receipt.logs_bloom())
}
