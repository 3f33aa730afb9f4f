//! Runs planned blocks: each is executed like a real one, on the state that the simulated block before it left.

use super::call::{self, Place};
use super::plan::Planned;
use super::transfers::Logs;
use crate::block::BlockRecord;
use crate::engine::Base;
use crate::evm::{evm, inspected_evm};
use crate::execute::{Execution, evm_env, next_base_fee};
use crate::rpc::deadline::Deadline;
use crate::rpc::failure::{Failure, halt_reason};
use crate::rpc::node::Node;
use crate::rpc::overrides::{self, Moves};
use crate::rpc::{convert, fees};
use alloy_consensus::constants::EMPTY_WITHDRAWALS;
use alloy_consensus::transaction::Recovered;
use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header, TxEnvelope};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_evm::{Evm, EvmEnv, FromRecoveredTx};
use alloy_primitives::{B256, Bytes, Log as RawLog};
use alloy_rpc_types_eth::simulate::{SimCallResult, SimulateError, SimulatedBlock};
use alloy_rpc_types_eth::{BlockOverrides, Log, TransactionRequest};
use revm::Database;
use revm::context::TxEnv;
use revm::context::result::{ExecutionResult, HaltReason};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::database::{CacheDB, EmptyDB};
use revm::primitives::hardfork::SpecId;
use std::sync::Arc;
use std::time::Instant;

/// What a simulation is asked to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub validate: bool,
    pub trace_transfers: bool,
    pub full: bool,
    pub deadline: Instant,
}

/// A chain that grows in memory.
pub(super) struct Simulator<'a> {
    node: &'a Node,
    settings: Settings,
    tip: Base,
    /// Gas that all calls together may still be given.
    gas_left: u64,
}

/// What the calls of one block gave, but for the hash of the block.
#[derive(Default)]
struct Results {
    calls: Vec<(SimCallResult, Vec<(u64, RawLog)>)>,
    /// Position of the next log in the block.
    next_log: u64,
}

impl<'a> Simulator<'a> {
    /// A simulation on top of `base`, whose tries must be readable.
    pub(super) fn new(node: &'a Node, base: &BlockRecord, settings: Settings) -> Result<Self, Failure> {
        let view = node.chain.provable_state(base.number())?;
        let tip = Base { record: Arc::new(base.clone()), view };
        Ok(Self { node, settings, tip, gas_left: node.limits.call_gas })
    }

    /// Runs a block; it is the tip afterwards.
    pub(super) fn block(&mut self, block: Planned) -> Result<SimulatedBlock, Failure> {
        let rules = self.node.chain.rules();
        let header = self.header(&block);
        let env = self.env(&header, &block.overrides);
        overrides::check(&block.state)?;
        let moves = overrides::moves(&block.state);
        overrides::check_moves(evm(rules, CacheDB::new(EmptyDB::new()), env.clone()), &moves)?;
        let changes = overrides::as_changes(&self.tip.view, block.state)?;
        let mut execution = Execution::start_with(rules, &self.tip, header, |state| overrides::apply(state, changes))?;
        let mut results = Results::default();
        for request in block.calls {
            if Instant::now() >= self.settings.deadline {
                return Err(self.timeout());
            }
            self.call(&mut execution, &env, &moves, request, &mut results)?;
        }
        let (record, overlay) = execution.finish()?;
        self.tip = Base { record: Arc::new(record), view: self.tip.view.clone().above(Arc::new(overlay)) };
        Ok(results.show(&self.tip.record, self.settings.full))
    }

    fn timeout(&self) -> Failure {
        Failure::Timeout(self.node.limits.call_time)
    }

    /// The header before execution.
    fn header(&self, block: &Planned) -> Header {
        let rules = self.node.chain.rules();
        let (parent, overrides) = (&self.tip.record.header, &block.overrides);
        let free = if self.settings.validate { next_base_fee(parent) } else { 0 };
        let base_fee = overrides.base_fee.map_or(free, |fee| fee.saturating_to());
        let mut header = Header {
            parent_hash: self.tip.record.hash,
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: overrides.coinbase.unwrap_or(parent.beneficiary),
            difficulty: overrides.difficulty.unwrap_or(parent.difficulty),
            number: block.number,
            gas_limit: overrides.gas_limit.unwrap_or(parent.gas_limit),
            timestamp: block.timestamp,
            mix_hash: overrides.random.unwrap_or_default(),
            ..Default::default()
        };
        let spec = *evm_env(rules, &header).spec_id();
        header.base_fee_per_gas = spec.is_enabled_in(SpecId::LONDON).then_some(base_fee);
        header.withdrawals_root = spec.is_enabled_in(SpecId::SHANGHAI).then_some(EMPTY_WITHDRAWALS);
        header.requests_hash = spec.is_enabled_in(SpecId::PRAGUE).then_some(EMPTY_REQUESTS_HASH);
        if spec.is_enabled_in(SpecId::CANCUN) {
            header.blob_gas_used = Some(0);
            header.excess_blob_gas = Some(fees::next_excess_blob_gas(rules, parent, block.timestamp));
            header.parent_beacon_block_root = Some(overrides.beacon_root.unwrap_or_default());
        }
        header
    }

    fn env(&self, header: &Header, overrides: &BlockOverrides) -> EvmEnv {
        let mut env = evm_env(self.node.chain.rules(), header);
        // A sender may be a contract, and a call may use more gas than a transaction could.
        env.cfg_env.disable_eip3607 = true;
        env.cfg_env.disable_block_gas_limit = true;
        env.cfg_env.tx_gas_limit_cap = Some(u64::MAX);
        if !self.settings.validate {
            env.cfg_env.disable_nonce_check = true;
            env.cfg_env.disable_base_fee = true;
        }
        if let Some(fee) = overrides.blob_base_fee {
            let excess_blob_gas = header.excess_blob_gas.unwrap_or_default();
            let blob_gasprice = fee.saturating_to();
            env.block_env.blob_excess_gas_and_price = Some(BlobExcessGasAndPrice { excess_blob_gas, blob_gasprice });
        }
        env
    }

    /// Runs a call and keeps its effect.
    fn call(
        &mut self,
        execution: &mut Execution,
        env: &EvmEnv,
        moves: &Moves,
        request: TransactionRequest,
        results: &mut Results,
    ) -> Result<(), Failure> {
        let rules = self.node.chain.rules();
        let sender = request.from.unwrap_or_default();
        let account = execution.state().basic(sender).map_err(|e| Failure::Execution(e.to_string()))?;
        let place = Place {
            chain_id: rules.chain_id,
            base_fee: env.block_env.basefee,
            nonce: account.map(|account| account.nonce).unwrap_or_default(),
            block_gas_left: execution.gas_left(),
            gas_left: self.gas_left,
        };
        let transaction = call::transaction(request, place, &self.settings)?;
        let transaction = Recovered::new_unchecked(transaction, sender);
        let logs = Logs::new(self.settings.trace_transfers, results.next_log);
        let watched = (logs, Deadline::new(self.settings.deadline));
        let evm = inspected_evm(rules, execution.state(), env.clone(), watched);
        let mut evm = overrides::with_moves(evm, moves, true)?;
        let outcome = evm.transact(self.environment(&transaction));
        let (logs, deadline) = evm.inspector_mut();
        let (taken, next_log) = logs.take();
        if deadline.has_passed() {
            return Err(self.timeout());
        }
        let mut outcome = outcome.map_err(call::refused)?;
        results.next_log = next_log;
        drop(evm);
        if place.nonce == u64::MAX
            && let Some(account) = outcome.state.get_mut(&sender)
        {
            // Only without validation: the greatest nonce is followed by the least.
            account.info.nonce = 0;
        }
        let result = result_of(&outcome.result);
        self.gas_left = self.gas_left.saturating_sub(result.gas_used);
        execution.commit(&transaction, outcome)?;
        results.calls.push((result, taken));
        Ok(())
    }

    fn environment(&self, transaction: &Recovered<TxEnvelope>) -> TxEnv {
        let mut environment = TxEnv::from_recovered_tx(transaction.inner(), transaction.signer());
        if !self.settings.validate {
            // Any nonce will do, also the one that no transaction may have.
            environment.nonce = environment.nonce.min(u64::MAX - 1);
        }
        environment
    }
}

impl Results {
    /// The block with its calls, whose logs now know where they are.
    fn show(self, record: &BlockRecord, full: bool) -> SimulatedBlock {
        let place = |(index, (result, logs)): (usize, (SimCallResult, Vec<(u64, RawLog)>))| {
            let hash = record.transactions.get(index).map(|tx| *tx.tx_hash());
            let logs = logs.into_iter().map(|(position, inner)| positioned(record, inner, hash, index, position));
            SimCallResult { logs: logs.collect(), ..result }
        };
        let calls = self.calls.into_iter().enumerate().map(place).collect();
        SimulatedBlock { inner: convert::block(record, full), calls }
    }
}

fn positioned(record: &BlockRecord, inner: RawLog, hash: Option<B256>, index: usize, log_index: u64) -> Log {
    Log {
        inner,
        block_hash: Some(record.hash),
        block_number: Some(record.number()),
        block_timestamp: Some(record.header.timestamp),
        transaction_hash: hash,
        transaction_index: Some(index as u64),
        log_index: Some(log_index),
        removed: false,
    }
}

fn result_of(result: &ExecutionResult<HaltReason>) -> SimCallResult {
    let gas = result.gas();
    let (return_data, error) = match result {
        ExecutionResult::Success { output, .. } => (output.data().clone(), None),
        ExecutionResult::Revert { output, .. } => (Bytes::new(), Some(reverted(output))),
        ExecutionResult::Halt { reason, .. } => (Bytes::new(), Some(halted(reason))),
    };
    SimCallResult {
        return_data,
        logs: Vec::new(),
        gas_used: result.tx_gas_used(),
        max_used_gas: Some(gas.total_gas_spent().max(gas.floor_gas())),
        status: result.is_success(),
        error,
    }
}

fn reverted(output: &Bytes) -> SimulateError {
    let message = Failure::Reverted(output.clone()).to_string();
    SimulateError { code: SimulateError::EXECUTION_REVERTED_CODE, message, data: Some(output.clone()) }
}

fn halted(reason: &HaltReason) -> SimulateError {
    SimulateError { code: SimulateError::VM_EXECUTION_ERROR_CODE, message: halt_reason(reason), data: None }
}
