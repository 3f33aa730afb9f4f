//! Simulated execution: `eth_call`, `eth_estimateGas` and `eth_createAccessList`.
//!
//! A call runs on the state after a block, in the environment of that block, without a signature and without a nonce;
//! fees are taken only when the caller names a price. Nothing is ever written back.

use super::deadline::{Deadline, UNWATCHED_GAS_MAX};
use super::failure::{Failure, halt_reason};
use super::node::Node;
use super::overrides::{self, Moves};
use crate::{
    BlockRecord, ChainError, StateView, TRANSACTION_GAS_MAX,
    evm::{evm, inspected_evm},
};
use alloy_eips::eip2930::{AccessList, AccessListItem, AccessListResult};
use alloy_evm::overrides::apply_block_overrides;
use alloy_evm::rpc::TryIntoTxEnv;
use alloy_evm::{Evm, EvmEnv};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, map::HashSet};
use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest, state::StateOverride};
use revm::Database;
use revm::context::TxEnv;
use revm::context::result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction, ResultAndState};
use revm::database::CacheDB;
use revm::state::EvmState;
use std::time::Instant;

/// Gas of a plain transfer.
const TRANSFER_GAS: u64 = 21_000;
/// Gas that a call with value hands to the callee on top.
const CALL_STIPEND: u64 = 2_300;
/// A gas estimate may exceed the least sufficient one by one part in this many.
const ESTIMATE_PRECISION: u64 = 64;
/// Steps of the search for an estimate; each at least halves the interval or doubles the lower bound.
const ESTIMATE_STEPS_MAX: usize = 64;

type Run = Result<ResultAndState<HaltReason>, EVMError<ChainError>>;

/// What may be changed before a call.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    pub(super) state: Option<StateOverride>,
    pub(super) block: Option<BlockOverrides>,
}

/// A call that is ready to run, as often as needed.
struct Simulation<'a> {
    node: &'a Node,
    db: CacheDB<StateView>,
    env: EvmEnv,
    request: TransactionRequest,
    moves: Moves,
    deadline: Instant,
}

/// `eth_call`: the returned data.
pub(super) fn call(
    node: &Node,
    block: &BlockRecord,
    request: TransactionRequest,
    overrides: Overrides,
    deadline: Instant,
) -> Result<Bytes, Failure> {
    let mut simulation = Simulation::new(node, block, request, overrides, deadline)?;
    let gas = simulation.payable_gas(node.limits.call_gas)?;
    match simulation.run(gas)?.result {
        ExecutionResult::Success { output, .. } => Ok(output.into_data()),
        ExecutionResult::Revert { output, .. } => Err(Failure::Reverted(output)),
        ExecutionResult::Halt { reason, .. } => Err(halted(&reason)),
    }
}

/// `eth_estimateGas`: a gas limit with which the transaction succeeds.
pub(super) fn estimate_gas(
    node: &Node,
    block: &BlockRecord,
    request: TransactionRequest,
    overrides: Overrides,
    deadline: Instant,
) -> Result<u64, Failure> {
    let mut simulation = Simulation::new(node, block, request, overrides, deadline)?;
    let cap = TRANSACTION_GAS_MAX.min(simulation.env.block_env.gas_limit).min(node.limits.call_gas);
    let highest = simulation.gas_limit(cap)?;
    if simulation.is_plain_transfer()? && highest >= TRANSFER_GAS && simulation.succeeds(TRANSFER_GAS)? {
        return Ok(TRANSFER_GAS);
    }
    let (used, likely) = simulation.measure(highest)?;
    simulation.search(used.saturating_sub(1), likely, highest)
}

/// `eth_createAccessList`: what a call touches, and the gas it uses with that list.
pub(super) fn access_list(
    node: &Node,
    block: &BlockRecord,
    request: TransactionRequest,
    overrides: Overrides,
    deadline: Instant,
) -> Result<AccessListResult, Failure> {
    let mut simulation = Simulation::new(node, block, request, overrides, deadline)?;
    let gas = simulation.payable_gas(node.limits.call_gas)?;
    let touched = simulation.run(gas)?.state;
    let access_list = simulation.list(touched)?;
    simulation.request.access_list = Some(access_list.clone());
    let result = simulation.run(gas)?.result;
    let error = match &result {
        ExecutionResult::Success { .. } => None,
        ExecutionResult::Revert { output, .. } => Some(Failure::Reverted(output.clone()).to_string()),
        ExecutionResult::Halt { reason, .. } => Some(halted(reason).to_string()),
    };
    Ok(AccessListResult { access_list, gas_used: U256::from(result.tx_gas_used()), error })
}

impl<'a> Simulation<'a> {
    fn new(
        node: &'a Node,
        block: &BlockRecord,
        request: TransactionRequest,
        overrides: Overrides,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let mut db = CacheDB::new(node.chain.state(block.number())?);
        let mut env = node.chain.evm_env(&block.header);
        env.cfg_env.disable_nonce_check = true;
        env.cfg_env.disable_base_fee = true;
        env.cfg_env.disable_block_gas_limit = true;
        env.cfg_env.disable_eip3607 = true;
        env.cfg_env.tx_gas_limit_cap = Some(u64::MAX);
        if let Some(block) = overrides.block {
            apply_block_overrides(block, &mut db, &mut env.block_env);
        }
        if request.fee_cap().unwrap_or_default() == 0 {
            // Who pays nothing sees a base fee of nothing, or the price of gas would be below it.
            env.block_env.basefee = 0;
        }
        let state = overrides.state.unwrap_or_default();
        overrides::check(&state)?;
        let moves = overrides::moves(&state);
        overrides::apply(&mut db, state)?;
        let request = TransactionRequest { nonce: None, ..request };
        Ok(Self { node, db, env, request, moves, deadline })
    }

    /// The gas to run with: what was asked for, at most `cap`, and at most what the sender can pay if a price is named.
    fn gas_limit(&mut self, cap: u64) -> Result<u64, Failure> {
        let asked = self.request.gas.unwrap_or(cap).min(cap);
        let price = self.request.fee_cap().unwrap_or_default();
        if price == 0 || self.request.gas.is_some() {
            return Ok(asked);
        }
        let sender = self.request.from.unwrap_or_default();
        let balance = self.db.basic(sender)?.unwrap_or_default().balance;
        let value = self.request.value.unwrap_or_default();
        let overshot = || {
            let overshot = value - balance;
            Failure::Execution(format!(
                "insufficient funds for transfer: address {sender} has {balance}, value {value}, overshot {overshot}"
            ))
        };
        let left = balance.checked_sub(value).ok_or_else(overshot)?;
        Ok(asked.min((left / U256::from(price)).saturating_to()))
    }

    /// [`Self::gas_limit`] of a call, whose sender must be able to pay for the least that a call costs.
    fn payable_gas(&mut self, cap: u64) -> Result<u64, Failure> {
        let gas = self.gas_limit(cap)?;
        if gas >= TRANSFER_GAS || self.request.gas.is_some() {
            return Ok(gas);
        }
        let (sender, price) = (self.request.from.unwrap_or_default(), self.request.fee_cap().unwrap_or_default());
        Err(Failure::Execution(format!(
            "insufficient funds for gas * price + value: address {sender} can pay for {gas} gas at {price} wei, \
             minimum needed {TRANSFER_GAS}; leave the price out to call for nothing"
        )))
    }

    fn run(&mut self, gas: u64) -> Result<ResultAndState<HaltReason>, Failure> {
        self.transact(gas)?.map_err(refused)
    }

    /// Outer error: the request itself is malformed; inner error: the EVM refused it.
    fn transact(&mut self, gas: u64) -> Result<Run, Failure> {
        let request = TransactionRequest { gas: Some(gas), ..self.request.clone() };
        let tx: TxEnv = request.try_into_tx_env(&self.env).map_err(|e| Failure::Params(e.to_string()))?;
        let (rules, env) = (self.node.chain.rules(), self.env.clone());
        if gas <= UNWATCHED_GAS_MAX {
            let evm = evm(rules, &mut self.db, env);
            return Ok(overrides::with_moves(evm, &self.moves, false)?.transact(tx));
        }
        let mut deadline = Deadline::new(self.deadline);
        let evm = inspected_evm(rules, &mut self.db, env, &mut deadline);
        let run = overrides::with_moves(evm, &self.moves, true)?.transact(tx);
        if deadline.has_passed() {
            return Err(self.timeout());
        }
        Ok(run)
    }

    fn timeout(&self) -> Failure {
        Failure::Timeout(self.node.limits.call_time)
    }

    /// Whether the call succeeds with this much gas; an error if it fails for a reason that gas does not cure.
    fn succeeds(&mut self, gas: u64) -> Result<bool, Failure> {
        match self.transact(gas)? {
            Ok(run) => Ok(run.result.is_success()),
            Err(EVMError::Transaction(error)) if is_too_little_gas(&error) => Ok(false),
            Err(error) => Err(refused(error)),
        }
    }

    fn is_plain_transfer(&mut self) -> Result<bool, Failure> {
        let request = &self.request;
        let Some(TxKind::Call(to)) = request.to else { return Ok(false) };
        let bare = request.input.input().is_none_or(|data| data.is_empty())
            && request.access_list.as_ref().is_none_or(|list| list.is_empty())
            && request.authorization_list.is_none();
        Ok(bare && self.db.basic(to)?.is_none_or(|account| account.is_empty_code_hash()))
    }

    /// Runs with all the gas there may be: gas used, and a limit that is likely enough.
    fn measure(&mut self, highest: u64) -> Result<(u64, u64), Failure> {
        let run = match self.transact(highest)? {
            Err(EVMError::Transaction(error)) if is_too_little_gas(&error) => {
                return Err(Failure::GasAllowance(highest));
            }
            run => run.map_err(refused)?,
        };
        match run.result {
            ExecutionResult::Success { gas, .. } => {
                // One part in 64 stays with every caller (EIP-150).
                let likely = (gas.total_gas_spent().max(gas.floor_gas()) + CALL_STIPEND).saturating_mul(64) / 63;
                Ok((gas.tx_gas_used(), likely))
            }
            ExecutionResult::Revert { output, .. } => Err(Failure::Reverted(output)),
            ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. } => Err(Failure::GasAllowance(highest)),
            ExecutionResult::Halt { reason, .. } => Err(halted(&reason)),
        }
    }

    /// The least sufficient limit in `(too_little, enough]`, to within [`ESTIMATE_PRECISION`].
    fn search(&mut self, too_little: u64, likely: u64, enough: u64) -> Result<u64, Failure> {
        let (mut low, mut high, mut guess) = (too_little, enough, likely);
        for _ in 0..ESTIMATE_STEPS_MAX {
            if low + 1 >= high || high - low <= high / ESTIMATE_PRECISION {
                break;
            }
            if Instant::now() >= self.deadline {
                return Err(self.timeout());
            }
            let middle = if (low + 1..high).contains(&guess) { guess } else { low + (high - low) / 2 };
            match self.succeeds(middle)? {
                true => high = middle,
                false => low = middle,
            }
            // Most calls need little more than they use, so the lower end is where to look first.
            guess = (low + (high - low) / 2).min(low.saturating_mul(2));
        }
        Ok(high)
    }

    fn list(&mut self, touched: EvmState) -> Result<AccessList, Failure> {
        let implied = self.implied()?;
        let mut items: Vec<AccessListItem> = touched
            .into_iter()
            .map(|(address, account)| {
                let mut storage_keys: Vec<B256> = account.storage.keys().map(|slot| B256::from(*slot)).collect();
                storage_keys.sort_unstable();
                AccessListItem { address, storage_keys }
            })
            .filter(|item| !item.storage_keys.is_empty() || !implied.contains(&item.address))
            .collect();
        items.sort_unstable_by_key(|item| item.address);
        Ok(AccessList(items))
    }

    /// Addresses that are warm in any case: sender, recipient, coinbase, precompiles, and who authorised code.
    fn implied(&mut self) -> Result<HashSet<Address>, Failure> {
        let sender = self.request.from.unwrap_or_default();
        let recipient = match self.request.to {
            Some(TxKind::Call(to)) => to,
            _ => sender.create(self.db.basic(sender)?.unwrap_or_default().nonce),
        };
        let authorities = self.request.authorization_list.iter().flatten();
        let mut implied: HashSet<Address> = authorities.filter_map(|a| a.recover_authority().ok()).collect();
        implied.extend([sender, recipient, self.env.block_env.beneficiary]);
        let evm = evm(self.node.chain.rules(), &mut self.db, self.env.clone());
        implied.extend(evm.precompiles().addresses().copied());
        Ok(implied)
    }
}

fn is_too_little_gas(error: &InvalidTransaction) -> bool {
    matches!(
        error,
        InvalidTransaction::CallGasCostMoreThanGasLimit { .. } | InvalidTransaction::GasFloorMoreThanGasLimit { .. }
    )
}

pub(super) fn refused(error: EVMError<ChainError>) -> Failure {
    match error {
        EVMError::Database(error) => Failure::Chain(error),
        EVMError::Transaction(InvalidTransaction::LackOfFundForMaxFee { fee, balance }) => Failure::Execution(format!(
            "insufficient funds for gas * price + value: balance {balance}, tx cost {fee}, overshot {}",
            fee.saturating_sub(*balance)
        )),
        EVMError::Transaction(InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, gas_limit }) => {
            Failure::Execution(format!("intrinsic gas too low: gas {gas_limit}, minimum needed {initial_gas}"))
        }
        error => Failure::Execution(error.to_string()),
    }
}

fn halted(reason: &HaltReason) -> Failure {
    Failure::Execution(halt_reason(reason))
}
