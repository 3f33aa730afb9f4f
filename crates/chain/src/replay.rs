//! Run a finalised block again, transaction by transaction, on the state of its parent.
//!
//! This is what tracing and witnesses stand on. The state between two transactions is not stored anywhere, so it is
//! made again; each transaction's receipt is compared with the stored one, so that a trace never shows an execution
//! that did not happen.

use crate::{
    BlockRecord, Chain, ChainError, StateView,
    engine::Base,
    evm::ChainEvmContext,
    execute::{BlockState, Execution, Refusal, Rules},
    state::{Overlay, Remembered},
};
use alloy_consensus::{Eip658Value, Header, ReceiptEnvelope, TxEnvelope, transaction::Recovered};
use alloy_evm::EvmEnv;
use alloy_primitives::Address;
use revm::{context_interface::result::ResultAndState, database::State, inspector::Inspector};
use std::sync::Arc;

/// A finalised block being run again.
pub(crate) struct Replay {
    execution: Execution,
    block: Arc<BlockRecord>,
    /// Whether the block has receipts to compare with.
    stored: bool,
}

impl Chain {
    /// Begins to run a finalised block again.
    ///
    /// Fails for block 0, which has no parent, and where the state of the parent has been pruned.
    pub(crate) fn replay(&self, block: Arc<BlockRecord>) -> Result<Replay, ChainError> {
        let number = block.number().checked_sub(1).ok_or(ChainError::GenesisReplay)?;
        let parent = self.block_by_number(number)?.ok_or(ChainError::GenesisReplay)?;
        Replay::start(self.rules(), Base { record: parent, view: self.state(number)? }, block)
    }

    /// What a block paid for work, in wei: to the miner of each ommer, then to its own; nothing without proof of work.
    pub(crate) fn rewards(&self, block: &BlockRecord) -> Vec<(Address, u128)> {
        let ethereum = self.rules().ethereum.as_ref();
        ethereum.map(|ethereum| ethereum.rewards(&block.header, &block.ommers)).unwrap_or_default()
    }

    /// Begins to run a block that is not of this chain but extends one of its blocks; `None` if it does not.
    pub(crate) fn replay_foreign(
        &self,
        header: Header,
        transactions: Vec<Recovered<TxEnvelope>>,
    ) -> Result<Option<Replay>, ChainError> {
        let Some(parent) = self.block_by_hash(header.parent_hash)? else { return Ok(None) };
        if parent.number().checked_add(1) != Some(header.number) {
            return Ok(None);
        }
        let view = self.state(parent.number())?;
        let (transactions, senders) = transactions.into_iter().map(Recovered::into_parts).unzip();
        let block = Arc::new(BlockRecord::new(header, transactions, senders, Vec::new()));
        let replay = Replay::start(self.rules(), Base { record: parent, view }, block)?;
        Ok(Some(Replay { stored: false, ..replay }))
    }
}

impl Replay {
    /// Begins to run `block` on `base`, its parent.
    pub(crate) fn start(rules: &Rules, base: Base, block: Arc<BlockRecord>) -> Result<Self, ChainError> {
        let execution = Execution::start(rules, &base, block.header.clone())?;
        let execution = execution.with_body(block.ommers.clone(), block.withdrawals.clone().unwrap_or_default());
        Ok(Self { execution, block, stored: true })
    }

    /// The block.
    pub(crate) fn block(&self) -> &BlockRecord {
        &self.block
    }

    /// The environment in which its transactions run.
    pub(crate) fn environment(&self) -> EvmEnv {
        self.execution.environment()
    }

    /// The state as the transactions so far left it.
    pub(crate) fn state(&mut self) -> &mut BlockState {
        self.execution.state()
    }

    /// The same, without the rest of the block.
    pub(crate) fn into_state(self) -> BlockState {
        self.execution.into_block_state()
    }

    /// The transaction at `index` with its sender.
    pub(crate) fn transaction(&self, index: usize) -> Option<Recovered<TxEnvelope>> {
        let (transaction, sender) = (self.block.transactions.get(index)?, self.block.senders.get(index)?);
        Some(Recovered::new_unchecked(transaction.clone(), *sender))
    }

    /// Runs the transaction at `index`, which must be the next one, unwatched.
    pub(crate) fn run(&mut self, index: usize) -> Result<(), ChainError> {
        let transaction = self.expected(index)?;
        self.execution.run(&transaction).map_err(|refusal| self.refused(index, refusal))?;
        self.check(index)
    }

    /// Runs the transaction at `index`, which must be the next one, under the eyes of an inspector, and changes
    /// nothing; [`Replay::commit`] does.
    pub(crate) fn inspect<I>(&mut self, index: usize, inspector: I) -> Result<ResultAndState, ChainError>
    where
        I: for<'a> Inspector<ChainEvmContext<&'a mut BlockState>>,
    {
        let transaction = self.expected(index)?;
        self.execution.inspect(&transaction, inspector).map_err(|refusal| self.refused(index, refusal))
    }

    /// Keeps what [`Replay::inspect`] gave for the transaction at `index`.
    pub(crate) fn commit(&mut self, index: usize, outcome: ResultAndState) -> Result<(), ChainError> {
        let transaction = self.expected(index)?;
        self.execution.commit(&transaction, outcome)?;
        self.check(index)
    }

    /// Ends the block and compares its header with the stored one, hash and all.
    pub(crate) fn finish(self) -> Result<Overlay, ChainError> {
        let (record, overlay) = self.execution.finish()?;
        if record.hash == self.block.hash {
            return Ok(overlay);
        }
        let (expected, got) = first_difference(&self.block.header, &record.header);
        Err(diverged(&self.block, self.block.transactions.len(), "header", expected, got))
    }

    fn expected(&self, index: usize) -> Result<Recovered<TxEnvelope>, ChainError> {
        self.transaction(index).ok_or_else(|| {
            diverged(&self.block, index, "number of transactions", self.block.transactions.len(), index + 1)
        })
    }

    /// Compares the newest receipt with the stored one.
    fn check(&self, index: usize) -> Result<(), ChainError> {
        if !self.stored {
            return Ok(());
        }
        match (self.execution.receipts().get(index), self.block.receipts.get(index)) {
            (Some(got), Some(expected)) if is_same(got, expected) => Ok(()),
            (got, expected) => Err(diverged(&self.block, index, "receipt", summary(expected), summary(got))),
        }
    }

    fn refused(&self, index: usize, refusal: Refusal) -> ChainError {
        match refusal {
            Refusal::Failed(error) => error,
            refusal => diverged(&self.block, index, "outcome", "execution", format!("{refusal:?}")),
        }
    }
}

/// The state after a finalised block with nothing done to it yet, as transactions see it.
pub(crate) fn block_state(view: StateView) -> BlockState {
    State::builder().with_database(Remembered::new(view)).build()
}

/// Whether two receipts tell the same. Those before Byzantium name a state root (EIP-658), which is known only where
/// the tries of the parent are.
fn is_same(got: &ReceiptEnvelope, expected: &ReceiptEnvelope) -> bool {
    let status = |receipt: &ReceiptEnvelope| receipt.as_receipt().map(|receipt| receipt.status);
    match status(expected) {
        Some(Eip658Value::PostState(_)) if !matches!(status(got), Some(Eip658Value::PostState(_))) => {
            got.tx_type() == expected.tx_type()
                && got.cumulative_gas_used() == expected.cumulative_gas_used()
                && got.logs() == expected.logs()
        }
        _ => got == expected,
    }
}

/// The first field in which two headers differ, with both values.
fn first_difference(expected: &Header, got: &Header) -> (String, String) {
    let fields = |header| serde_json::to_value(header).unwrap_or_default();
    let (expected, got) = (fields(expected), fields(got));
    let names = expected.as_object().into_iter().chain(got.as_object()).flat_map(|object| object.keys());
    let field = names.into_iter().find(|name| expected[name.as_str()] != got[name.as_str()]);
    let field = field.map_or("hash", String::as_str);
    let show = |header: &serde_json::Value| format!("{field} {}", header[field]);
    (show(&expected), show(&got))
}

/// What matters of a receipt, in a line.
fn summary(receipt: Option<&ReceiptEnvelope>) -> String {
    let Some(receipt) = receipt else { return "missing".into() };
    let (status, gas, logs) = (receipt.status(), receipt.cumulative_gas_used(), receipt.logs().len());
    format!("{:?} with status {status}, {gas} gas so far and {logs} logs", receipt.tx_type())
}

fn diverged(
    block: &BlockRecord,
    index: usize,
    what: &'static str,
    expected: impl ToString,
    got: impl ToString,
) -> ChainError {
    let (expected, got) = (expected.to_string(), got.to_string());
    ChainError::ReplayDiverged { number: block.number(), index, what, expected, got }
}

#[cfg(test)]
mod tests;
