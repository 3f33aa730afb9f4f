//! What can go wrong with the chain: the store of this node, the request, or the block of somebody else.

use alloy_primitives::{Address, B256, U256};
use revm::database_interface::DBErrorMarker;
use std::{io, path::PathBuf};

/// A failure of this node or of a request to it; never the verdict on somebody's block.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The file system refused.
    #[error("cannot use {path}: {source}")]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A second process wants the same directory.
    #[error("another kumo uses {dir}; stop it or choose another state directory")]
    Locked {
        /// The state directory.
        dir: PathBuf,
    },
    /// The database file cannot be read any more.
    #[error(
        "{path} is damaged ({reason}); restore it from a copy, or move it away and let this node fetch the chain again"
    )]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file was written by a newer program.
    #[error("{path} has format {found}, this program reads up to {supported}; use a newer kumo")]
    Format {
        /// The database file.
        path: PathBuf,
        /// Format version of the file.
        found: u32,
        /// Newest version this program knows.
        supported: u32,
    },
    /// The directory belongs to another network.
    #[error("{dir} holds the chain with genesis {stored}, this network's is {expected}; use another state directory")]
    OtherGenesis {
        /// The state directory.
        dir: PathBuf,
        /// Genesis hash found there.
        stored: B256,
        /// Genesis hash of the configuration.
        expected: B256,
    },
    /// The directory belongs to a network with another chain id.
    #[error("{dir} holds chain id {stored}, this network's is {expected}; use another state directory")]
    OtherChainId {
        /// The state directory.
        dir: PathBuf,
        /// Chain id found there.
        stored: u64,
        /// Chain id of the configuration.
        expected: u64,
    },
    /// Genesis cannot be built.
    #[error("genesis: {contract} at {address} failed: {reason}")]
    Genesis {
        /// Name of the predeploy.
        contract: String,
        /// Its address.
        address: Address,
        /// What happened.
        reason: String,
    },
    /// The sum of the genesis balances does not fit in 256 bits.
    #[error("genesis: the sum of all balances exceeds 2^256 - 1")]
    GenesisSupply,
    /// The database failed.
    #[error("database: {0}")]
    Database(#[from] Box<redb::Error>),
    /// A stored value cannot be decoded.
    #[error("stored {what} cannot be decoded: {reason}; the database is damaged")]
    Decode {
        /// Kind of value.
        what: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// A node of a trie is not in the store.
    #[error("trie node {path} below root {root} is missing; the database is damaged")]
    MissingNode {
        /// Root of the trie.
        root: B256,
        /// Nibbles of the path, one per hex digit.
        path: String,
    },
    /// Code named by an account is not in the store.
    #[error("code {0} is missing; the database is damaged")]
    MissingCode(B256),
    /// The block is not there yet.
    #[error("block {number} is beyond the head {head}")]
    UnknownBlock {
        /// Height asked for.
        number: u64,
        /// Newest finalised height.
        head: u64,
    },
    /// The state of the block has been pruned.
    #[error("state of block {number} has been pruned; the oldest kept is {oldest}")]
    Pruned {
        /// Height asked for.
        number: u64,
        /// Oldest height with state.
        oldest: u64,
    },
    /// Neither the head nor a pending block.
    #[error("block {0} is neither the head nor pending; verify it and its ancestors first")]
    NotPending(B256),
    /// Too many blocks wait for finality.
    #[error("{max} blocks wait for finality already")]
    PendingFull {
        /// Limit.
        max: usize,
    },
    /// Blocks are finalised in order.
    #[error("block {hash} extends {parent}, but the head is {head}; finalise its ancestors first")]
    NotNext {
        /// Block to finalise.
        hash: B256,
        /// Its parent.
        parent: B256,
        /// The head.
        head: B256,
    },
    /// Time runs backwards.
    #[error("timestamp {timestamp} is before the parent's {parent}")]
    Timestamp {
        /// Timestamp asked for, Unix seconds.
        timestamp: u64,
        /// Timestamp of the parent.
        parent: u64,
    },
    /// A call by the protocol itself failed.
    #[error("system call to {contract} failed: {reason}")]
    SystemCall {
        /// Contract called.
        contract: Address,
        /// What happened.
        reason: String,
    },
    /// The logs of the deposit contract are not what EIP-6110 reads.
    #[error("deposit requests cannot be read from the receipts: {0}")]
    Deposits(String),
    /// The genesis of an imported chain cannot be used.
    #[error(transparent)]
    ImportedGenesis(#[from] crate::GenesisError),
    /// An imported chain is read-only.
    #[error("this directory holds an imported chain, which only `kumo chain import` extends")]
    Imported,
    /// The EVM broke for a reason that is not the transaction's.
    #[error("execution failed: {0}")]
    Execution(String),
    /// A block needs more than its witness has.
    #[error("the witness has no {what} {which}")]
    NotInWitness {
        /// Kind of thing.
        what: &'static str,
        /// Its number.
        which: u64,
    },
    /// Block 0 was not made by execution.
    #[error("genesis is not traceable")]
    GenesisReplay,
    /// A block did not run as it did when it was made.
    #[error(
        "block {number} runs differently than when it was made: {what} at transaction {index} is {got}, expected {expected}"
    )]
    ReplayDiverged {
        /// Height of the block.
        number: u64,
        /// Position of the transaction, or their number for what follows the last one.
        index: usize,
        /// What differs.
        what: &'static str,
        /// Value in the stored block.
        expected: String,
        /// Value of this run.
        got: String,
    },
    /// An account with storage was deleted, which no rule since Cancun allows (EIP-6780).
    #[error("account {0} was deleted although it had storage")]
    StorageLeft(Address),
    /// The balances do not add up.
    #[error("balances add up to {total} wei, genesis and minting give {expected} wei")]
    SupplyBroken {
        /// Sum at genesis and what was minted since, in wei.
        expected: U256,
        /// Sum now in wei.
        total: U256,
    },
    /// Ethereum's supply depends on rewards and burned fees that are not counted here.
    #[error("the supply of an imported chain is not counted; ask a node of a kumo network")]
    SupplyUnknown,
    /// A block makes or destroys coin that the minter does not know of; it is a fault of this program.
    #[error("block {number} changes balances from {before} to {after} wei in sum, but {minted} wei were minted")]
    SupplyChanged {
        /// Height of the block.
        number: u64,
        /// Balances of all changed accounts before it, in wei.
        before: U256,
        /// Balances of the same accounts after it, in wei.
        after: U256,
        /// What the minter made in it, in wei.
        minted: U256,
    },
    /// Too many blocks in one log query.
    #[error("log query spans {asked} blocks, the limit is {max}")]
    LogRange {
        /// Blocks asked for.
        asked: u64,
        /// Limit.
        max: u64,
    },
    /// Too many logs match.
    #[error("log query matches more than {max} logs; narrow the range (block {block} was reached)")]
    LogResults {
        /// Limit.
        max: usize,
        /// Block at which the limit was reached.
        block: u64,
    },
    /// Too many slots in one proof.
    #[error("proof asks for {asked} slots, the limit is {max}")]
    ProofSlots {
        /// Slots asked for.
        asked: usize,
        /// Limit.
        max: usize,
    },
    /// The state of the block is kept, its tries are not.
    #[error("block {number} cannot be proven; the oldest that can is {oldest}")]
    ProofTooOld {
        /// Height asked for.
        number: u64,
        /// Oldest height with tries.
        oldest: u64,
    },
    /// The block is not kept here.
    #[error("block {number} is not kept here; the oldest kept but block 0 is {oldest}")]
    BlockPruned {
        /// Height asked for.
        number: u64,
        /// Oldest height kept.
        oldest: u64,
    },
    /// The disk did not take a block.
    #[error("cannot write {path}: {reason}; the chain stands still until that is corrected and it is started again")]
    WriteFailed {
        /// The database file.
        path: PathBuf,
        /// Block and reason of the first failure.
        reason: String,
    },
    /// An archive was asked for where history is gone.
    #[error(
        "{dir} cannot become an archive: states below block {oldest} are gone; begin with an empty directory, or leave out --archive"
    )]
    NoArchive {
        /// The state directory.
        dir: PathBuf,
        /// Oldest height with state.
        oldest: u64,
    },
    /// There is no chain where one should be.
    #[error("there is no chain at {path}; name the directory that holds it")]
    NoChain {
        /// Where its file should be.
        path: PathBuf,
    },
    /// A snapshot file is damaged, or was made to deceive.
    #[error("{path} is refused: {reason}")]
    BadSnapshot {
        /// The snapshot file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A copy has no room.
    #[error("{dir} has {free} bytes free and needs {needed} for a copy of the chain; make room and start again")]
    NoSpace {
        /// The state directory.
        dir: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
}

impl DBErrorMarker for ChainError {}

impl ChainError {
    /// Wraps any error of the database.
    pub(crate) fn database(error: impl Into<redb::Error>) -> Self {
        Self::Database(Box::new(error.into()))
    }

    /// A stored value of kind `what` cannot be decoded.
    pub(crate) fn decode(what: &'static str, reason: impl ToString) -> Self {
        Self::Decode { what, reason: reason.to_string() }
    }
}

macro_rules! from_database {
    ($($error:ty),*) => { $(impl From<$error> for ChainError {
        fn from(error: $error) -> Self { Self::database(error) }
    })* };
}
from_database!(redb::StorageError, redb::TableError, redb::TransactionError, redb::CommitError);

/// Why a block is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum InvalidBlock {
    /// The header is not the canonical RLP of a header.
    #[error("header cannot be decoded: {0}")]
    Header(String),
    /// A field differs from what consensus or execution gives.
    #[error("header field {field}: expected {expected}, got {got}")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// Value computed here.
        expected: String,
        /// Value in the header.
        got: String,
    },
    /// Time runs backwards.
    #[error("timestamp {timestamp} is before the parent's {parent}")]
    Timestamp {
        /// Timestamp of the block, Unix seconds.
        timestamp: u64,
        /// Timestamp of the parent.
        parent: u64,
    },
    /// A transaction cannot be decoded, or cannot be executed at its place.
    #[error("transaction {index}: {reason}")]
    Transaction {
        /// Position in the block.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// More transactions than the gas limit can pay for.
    #[error("block has {count} transactions, its gas limit allows {max}")]
    Count {
        /// Transactions in the block.
        count: usize,
        /// Limit.
        max: usize,
    },
    /// The block is too long (EIP-7934).
    #[error("block has {bytes} bytes, the limit is {max}")]
    Size {
        /// Length of its RLP.
        bytes: usize,
        /// Limit.
        max: usize,
    },
    /// The parent is neither the head nor pending: verify the ancestors first. Says nothing about the block.
    #[error("parent {0} is neither the head nor pending")]
    UnknownParent(B256),
    /// This node failed. Says nothing about the block.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

impl InvalidBlock {
    /// Whether the block itself is at fault, so that voting for it would be wrong on every node.
    pub const fn is_proven(&self) -> bool {
        !matches!(self, Self::UnknownParent(_) | Self::Chain(_))
    }
}
