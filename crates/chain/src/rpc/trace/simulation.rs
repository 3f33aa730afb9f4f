//! Traced calls: transactions that nobody signed, on the state after a block or between two of its transactions.
//!
//! As with `eth_call` the nonce is not checked and fees are taken only when the caller names a price. Nothing is
//! written back.

use super::super::execute::{Overrides, refused};
use super::super::failure::Failure;
use super::super::node::Node;
use super::super::overrides::{self, Moves};
use super::budget::Budget;
use crate::BlockRecord;
use crate::evm::{ChainEvmContext, inspected_evm};
use crate::execute::{BlockState, database_error};
use crate::replay::block_state;
use alloy_consensus::TxEnvelope;
use alloy_consensus::transaction::Recovered;
use alloy_evm::overrides::apply_block_overrides;
use alloy_evm::rpc::TryIntoTxEnv;
use alloy_evm::{Evm, EvmEnv, FromRecoveredTx};
use alloy_rpc_types_eth::TransactionRequest;
use revm::context::TxEnv;
use revm::context_interface::result::ResultAndState;
use revm::{DatabaseCommit, Inspector};
use std::sync::Arc;

/// A state on which calls run, one after the other.
pub(super) struct Simulation<'a> {
    node: &'a Node,
    pub(super) state: BlockState,
    pub(super) env: EvmEnv,
    moves: Moves,
}

impl<'a> Simulation<'a> {
    /// Calls after a block.
    pub(super) fn after(node: &'a Node, block: &BlockRecord) -> Result<Self, Failure> {
        let state = block_state(node.chain.state(block.number())?);
        Ok(Self::new(node, block, state))
    }

    /// Calls before the transaction at `index` of a block.
    pub(super) fn before(
        node: &'a Node,
        block: &Arc<BlockRecord>,
        index: usize,
        budget: &mut Budget,
    ) -> Result<Self, Failure> {
        let transactions = block.transactions.len();
        if index >= transactions {
            let message = format!("txIndex {index} is beyond the {transactions} transactions of the block");
            return Err(Failure::Params(message));
        }
        let mut replay = node.chain.replay(block.clone())?;
        for earlier in 0..index {
            budget.check()?;
            replay.run(earlier)?;
        }
        Ok(Self::new(node, block, replay.into_state()))
    }

    fn new(node: &'a Node, block: &BlockRecord, state: BlockState) -> Self {
        Self { node, state, env: node.chain.evm_env(&block.header), moves: Moves::default() }
    }

    /// Changes the state and the environment.
    pub(super) fn apply(&mut self, overrides: Overrides) -> Result<(), Failure> {
        if let Some(block) = overrides.block {
            apply_block_overrides(block, &mut self.state, &mut self.env.block_env);
        }
        if let Some(state) = overrides.state {
            overrides::check(&state)?;
            self.moves = overrides::moves(&state);
            overrides::apply(&mut self.state, state)?;
        }
        Ok(())
    }

    /// A request as the EVM takes it; from here on nonces and prices are not checked.
    pub(super) fn call(&mut self, request: TransactionRequest) -> Result<TxEnv, Failure> {
        let cfg = &mut self.env.cfg_env;
        cfg.disable_nonce_check = true;
        cfg.disable_base_fee = true;
        cfg.disable_block_gas_limit = true;
        cfg.disable_eip3607 = true;
        cfg.tx_gas_limit_cap = Some(u64::MAX);
        let cap = self.node.limits.call_gas;
        let gas = request.gas.unwrap_or(cap).min(cap);
        let request = TransactionRequest { nonce: None, gas: Some(gas), ..request };
        request.try_into_tx_env(&self.env).map_err(|error| Failure::Params(error.to_string()))
    }

    /// A signed transaction as the EVM takes it, with every check of a block.
    pub(super) fn signed(&self, transaction: &Recovered<TxEnvelope>) -> TxEnv {
        TxEnv::from_recovered_tx(transaction.inner(), transaction.signer())
    }

    /// Runs a transaction under the eyes of an inspector; [`Simulation::commit`] keeps the effect.
    pub(super) fn inspect<I>(&mut self, transaction: TxEnv, inspector: I) -> Result<ResultAndState, Failure>
    where
        I: for<'s> Inspector<ChainEvmContext<&'s mut BlockState>>,
    {
        let evm = inspected_evm(self.node.chain.rules(), &mut self.state, self.env.clone(), inspector);
        let mut evm = overrides::with_moves(evm, &self.moves, true)?;
        evm.transact(transaction).map_err(|error| refused(error.map_db_err(database_error)))
    }

    /// Keeps the effect of a transaction for the ones after it.
    pub(super) fn commit(&mut self, outcome: ResultAndState) {
        self.state.commit(outcome.state);
    }
}
