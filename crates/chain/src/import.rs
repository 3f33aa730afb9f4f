//! Take the blocks of an Ethereum chain from a file of concatenated RLP, as `geth export` writes it.
//!
//! Blocks are read one at a time, so a file may be larger than memory. Each one is checked against its parent, executed,
//! and kept durably before the next one is looked at; what is kept already is passed over, so an import that was stopped
//! goes on where it ended. The seal of proof of work and the votes of proof of stake are not checked: the file is
//! trusted to be the chain it says, and everything it claims about the execution is verified.

use crate::{
    BlockRecord, Chain, ChainError, InvalidBlock,
    block::transactions_root,
    ethereum::{Body, Ethereum, check_body, check_header, differs},
    execute::{Execution, Refusal},
    verify::check_after_execution,
};
use alloy_consensus::{
    Block, Header, Transaction, TxEnvelope,
    transaction::{Recovered, SignerRecoverable},
};
use alloy_primitives::B256;
use alloy_rlp::Decodable;
use rayon::prelude::*;
use revm::primitives::hardfork::SpecId;
use std::{
    io::{self, Read},
    sync::Arc,
};

/// Length of the RLP of one block in a file, in bytes: far above what any gas limit so far could fill.
pub const IMPORT_BLOCK_BYTES_MAX: usize = 64 << 20;
/// Ommers of one block (yellow paper section 11.1).
const OMMERS_MAX: usize = 2;
/// Generations between a block and the parent of its ommer.
const OMMER_DEPTH_MAX: u64 = 7;

/// Why an import stopped. Everything before the block it stopped at is kept.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("cannot read blocks after {offset} bytes: {source}")]
    Read {
        /// Where the next block begins.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes are not a block.
    #[error("the block that begins at byte {offset} cannot be decoded: {reason}")]
    Decode {
        /// Where it begins.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// The block does not follow from its parent, or claims what its execution does not give.
    #[error("block {number} is refused: {reason}")]
    Refused {
        /// Its height.
        number: u64,
        /// What is wrong with it.
        reason: InvalidBlock,
    },
    /// The block leaves a gap.
    #[error("the file goes on with block {number}, but the chain here ends at {head}")]
    Gap {
        /// Height of the block.
        number: u64,
        /// Height of the head.
        head: u64,
    },
    /// This node failed.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// What became of a block that was handed in.
#[derive(Clone, Debug)]
pub enum Imported {
    /// It was executed and is the head now, on disk.
    Added(Arc<BlockRecord>),
    /// It was there already.
    Known(u64),
}

/// Reads blocks one after the other.
#[derive(Debug)]
pub struct BlockStream<R> {
    source: R,
    offset: u64,
}

impl<R: Read> BlockStream<R> {
    /// Reads from `source`, which should be buffered.
    pub fn new(source: R) -> Self {
        Self { source, offset: 0 }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// RLP of the next block; `None` at the end of the file. Fails over [`IMPORT_BLOCK_BYTES_MAX`], before reading them.
    pub fn next_block(&mut self) -> Result<Option<Vec<u8>>, ImportError> {
        let mut rlp = vec![0];
        if self.read_up_to(&mut rlp)? == 0 {
            return Ok(None);
        }
        let offset = self.offset;
        let wrong = |reason: String| ImportError::Decode { offset, reason };
        let length_bytes = match rlp[0] {
            0xc0..=0xf7 => 0,
            0xf8..=0xff => usize::from(rlp[0] - 0xf7),
            byte => return Err(wrong(format!("it begins with {byte:#04x}, a block is an RLP list"))),
        };
        let mut length = usize::from(rlp[0].saturating_sub(0xc0));
        if length_bytes > 0 {
            rlp.resize(1 + length_bytes, 0);
            self.read_exact(&mut rlp[1..])?;
            length = rlp[1..].iter().fold(0, |sum: usize, byte| sum.saturating_mul(256).saturating_add((*byte).into()));
        }
        if length > IMPORT_BLOCK_BYTES_MAX {
            return Err(wrong(format!("it has {length} bytes, the limit is {IMPORT_BLOCK_BYTES_MAX}")));
        }
        let begin = rlp.len();
        // Grows with what is really there, so that a wrong length costs no memory.
        let read = (&mut self.source).take(length as u64).read_to_end(&mut rlp);
        read.map_err(|source| ImportError::Read { offset, source })?;
        if rlp.len() < begin + length {
            let there = rlp.len() - begin;
            return Err(wrong(format!("the file ends after {there} of its {length} bytes")));
        }
        self.offset += rlp.len() as u64;
        Ok(Some(rlp))
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<(), ImportError> {
        match self.read_up_to(bytes)? == bytes.len() {
            true => Ok(()),
            false => Err(ImportError::Decode { offset: self.offset, reason: "the file ends within it".into() }),
        }
    }

    fn read_up_to(&mut self, bytes: &mut [u8]) -> Result<usize, ImportError> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.source.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ImportError::Read { offset: self.offset, source }),
            }
        }
        Ok(filled)
    }
}

impl Chain {
    /// Executes a block on the head and keeps it, on disk when this returns; a block that is there already is passed over.
    ///
    /// Only for chains of [`Chain::open_ethereum`] and [`Chain::open_imported`]. Refuses the block if any field of its
    /// header, its receipts, or the state after it are not what its execution gives.
    pub fn import(&self, block_rlp: &[u8]) -> Result<Imported, ImportError> {
        let Some(ethereum) = self.rules().ethereum.clone() else {
            return Err(
                ChainError::Execution("blocks are imported into chains of an Ethereum genesis only".into()).into()
            );
        };
        let decoded = decode(block_rlp).map_err(|reason| ImportError::Decode { offset: 0, reason })?;
        let Block { header, body } = decoded;
        let body = Body { transactions: body.transactions, ommers: body.ommers, withdrawals: body.withdrawals };
        let (number, head) = (header.number, self.head());
        let refused = |reason: InvalidBlock| match reason {
            InvalidBlock::Chain(error) => ImportError::Chain(error),
            reason => ImportError::Refused { number, reason },
        };
        if number > head.number() + 1 {
            return Err(ImportError::Gap { number, head: head.number() });
        }
        if number <= head.number() {
            return self.check_known(&header, &body).map(|()| Imported::Known(number)).map_err(refused);
        }
        let record = self.execute(&ethereum, &head, header, body, block_rlp.len()).map_err(refused)?;
        Ok(Imported::Added(record))
    }

    /// Whether this is the block that is there at its height.
    fn check_known(&self, header: &Header, body: &Body) -> Result<(), InvalidBlock> {
        let hash = header.hash_slow();
        let known = self.header_by_number(header.number)?.map(|(hash, _)| hash).unwrap_or_default();
        if hash != known {
            return Err(differs("hash", known, hash));
        }
        let root = transactions_root(&body.transactions);
        match root == header.transactions_root {
            true => Ok(()),
            false => Err(differs("transactions_root", root, header.transactions_root)),
        }
    }

    fn execute(
        &self,
        ethereum: &Ethereum,
        parent: &BlockRecord,
        header: Header,
        body: Body,
        bytes: usize,
    ) -> Result<Arc<BlockRecord>, InvalidBlock> {
        check_header(ethereum, &parent.header, parent.hash, parent.total_difficulty, &header)?;
        check_body(ethereum, &header, &body, bytes)?;
        self.check_ommers(ethereum, parent, &body.ommers)?;
        let total_difficulty = parent
            .total_difficulty
            .filter(|_| !ethereum.is_merged(&header))
            .map(|total| total.saturating_add(header.difficulty));
        let senders = recover(ethereum, &header, &body.transactions)?;
        let base = self.base(parent.hash).ok_or(InvalidBlock::UnknownParent(parent.hash))?;
        let Body { ommers, withdrawals, .. } = body;
        let execution = Execution::start(self.rules(), &base, blank(&header))?;
        let mut execution = execution.with_body(ommers, withdrawals.unwrap_or_default());
        for (index, transaction) in senders.iter().enumerate() {
            execution.run(transaction).map_err(|refusal| refused(index, refusal))?;
        }
        let (mut record, overlay) = execution.finish().map_err(of_block)?;
        check_requests(&header, &record.header)?;
        check_after_execution(&header, &record.header)?;
        record.total_difficulty = total_difficulty;
        let hash = self.hold(record, overlay)?;
        Ok(self.finalize(hash)?)
    }

    /// Checks that ommers are headers of siblings of recent ancestors, each named once (yellow paper section 11.1).
    fn check_ommers(&self, ethereum: &Ethereum, parent: &BlockRecord, ommers: &[Header]) -> Result<(), InvalidBlock> {
        if ommers.is_empty() {
            return Ok(());
        }
        if ommers.len() > OMMERS_MAX {
            return Err(differs("ommers", format_args!("at most {OMMERS_MAX}"), ommers.len()));
        }
        let mut ancestors = Vec::new();
        let oldest = (parent.number() + 1).saturating_sub(OMMER_DEPTH_MAX);
        for number in oldest..=parent.number() {
            ancestors.extend(self.block_by_number(number)?);
        }
        let mut taken: Vec<B256> = ancestors.iter().map(|block| block.hash).collect();
        taken.extend(ancestors.iter().flat_map(|block| &block.ommers).map(Header::hash_slow));
        for ommer in ommers {
            let hash = ommer.hash_slow();
            if taken.contains(&hash) {
                return Err(differs("ommers", "a header that no ancestor is or names", hash));
            }
            taken.push(hash);
            // The parent of this block would make the ommer its sibling.
            let siblings = ancestors.iter().filter(|block| block.hash != parent.hash);
            let Some(origin) = siblings.into_iter().find(|block| block.hash == ommer.parent_hash) else {
                let wanted = format_args!("a child of one of the {} blocks before the parent", OMMER_DEPTH_MAX - 1);
                return Err(differs("ommers", wanted, ommer.parent_hash));
            };
            check_header(ethereum, &origin.header, origin.hash, origin.total_difficulty, ommer)?;
        }
        Ok(())
    }
}

/// Decodes a block that fills the bytes.
fn decode(rlp: &[u8]) -> Result<Block<TxEnvelope>, String> {
    let mut rest = rlp;
    let block = Block::<TxEnvelope>::decode(&mut rest).map_err(|error| error.to_string())?;
    match rest.is_empty() {
        true => Ok(block),
        false => Err(format!("{} bytes follow the block", rest.len())),
    }
}

/// The header before execution: what execution gives is still empty.
fn blank(header: &Header) -> Header {
    Header {
        state_root: B256::ZERO,
        receipts_root: B256::ZERO,
        logs_bloom: Default::default(),
        gas_used: 0,
        requests_hash: None,
        ..header.clone()
    }
}

/// Finds the senders on all cores, by the rules of the block's fork.
pub(crate) fn recover(
    ethereum: &Ethereum,
    header: &Header,
    transactions: &[TxEnvelope],
) -> Result<Vec<Recovered<TxEnvelope>>, InvalidBlock> {
    let homestead = ethereum.is_active(SpecId::HOMESTEAD, header);
    let protected = ethereum.is_replay_protected(header.number);
    let recover = |(index, transaction): (usize, &TxEnvelope)| {
        let invalid = |reason: String| InvalidBlock::Transaction { index, reason };
        let chain_id = transaction.chain_id();
        if transaction.is_legacy() && chain_id.is_some() && !protected {
            return Err(invalid("it names a chain before EIP-155".into()));
        }
        if let Some(got) = chain_id.filter(|id| *id != ethereum.chain_id()) {
            return Err(invalid(format!("it is for chain {got}, this is chain {}", ethereum.chain_id())));
        }
        // Both values of s were valid before EIP-2.
        let sender = match homestead {
            true => transaction.recover_signer(),
            false => transaction.recover_signer_unchecked(),
        };
        let sender = sender.map_err(|error| invalid(format!("its signature is invalid: {error}")))?;
        Ok(Recovered::new_unchecked(transaction.clone(), sender))
    };
    transactions.par_iter().enumerate().map(recover).collect()
}

fn refused(index: usize, refusal: Refusal) -> InvalidBlock {
    let invalid = |reason: String| InvalidBlock::Transaction { index, reason };
    match refusal {
        Refusal::Invalid(reason) => invalid(reason.to_string()),
        Refusal::NoRoom { gas_limit, left } => {
            invalid(format!("it asks for {gas_limit} gas, the block has {left} left"))
        }
        Refusal::Failed(error) => error.into(),
    }
}

/// A protocol call that fails at the end of a block makes the block invalid (EIP-7002, EIP-7251, EIP-6110).
fn of_block(error: ChainError) -> InvalidBlock {
    match error {
        ChainError::SystemCall { .. } | ChainError::Deposits(_) => {
            InvalidBlock::Field { field: "requests_hash", expected: "requests".into(), got: error.to_string() }
        }
        error => error.into(),
    }
}

fn check_requests(got: &Header, expected: &Header) -> Result<(), InvalidBlock> {
    match got.requests_hash == expected.requests_hash {
        true => Ok(()),
        false => Err(differs("requests_hash", expected.requests_hash, got.requests_hash)),
    }
}
