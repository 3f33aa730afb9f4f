//! Block 0: balances, the system contracts, and the header over them.
//!
//! A system contract is made by running its constructor: its creation code is placed at the final address and called
//! by the system address; what it returns becomes the code, what it stored stays. So `address(this)` is right while the
//! constructor runs. When all contracts stand, the initial calls are made, also by the system address.
//! There is no beacon chain behind this one: the contracts of EIP-2935 and EIP-4788 are there, those of EIP-6110,
//! EIP-7002 and EIP-7251 are not, so the list of requests of every block is empty.

use crate::{
    BlockRecord, ChainError, GenesisError, MintRules,
    ethereum::{self, Ethereum},
    evm::{ChainEvm, constructor_evm, evm},
    execute::{Rules, genesis_env},
    precompiles::{self, minter},
    state::{Overlay, StateChanges, StateView},
};
use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, Header,
    constants::{EMPTY_RECEIPTS, EMPTY_TRANSACTIONS, EMPTY_WITHDRAWALS},
};
use alloy_eips::{eip1559::INITIAL_BASE_FEE, eip2935, eip4788, eip4895::Withdrawals, eip7685::EMPTY_REQUESTS_HASH};
use alloy_evm::Evm;
use alloy_primitives::{Address, B256, Bytes, U256};
use protocol::abi::NATIVE_MINTER;
use revm::{
    DatabaseCommit,
    context_interface::result::{ExecutionResult, Output},
    database::{State, WrapDatabaseRef, states::bundle_state::BundleRetention},
    primitives::eip170::MAX_CODE_SIZE,
    state::{Account, AccountInfo, Bytecode, EvmStorageSlot, TransactionId},
};
use std::collections::BTreeMap;

/// What block 0 is made of. Two specifications that differ in anything give different genesis hashes or chain ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenesisSpec {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Unix seconds.
    pub timestamp: u64,
    /// Gas limit of every block.
    pub gas_limit: u64,
    /// Balances in wei.
    pub alloc: BTreeMap<Address, U256>,
    /// System contracts, in the order in which they are constructed and then initialised.
    pub predeploys: Vec<Predeploy>,
    /// Receives the base fee of every block; without it the base fee goes to the burn address.
    pub fee_recipient_vault: Option<Address>,
    /// Where the randomness of each block is written and read (`IRandomness`); one of the predeploys should stand there.
    pub randomness: Option<Address>,
    /// Who may make coin, and how much; without it nobody may.
    pub mint: Option<MintRules>,
}

/// One system contract.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Predeploy {
    /// Name, for errors.
    pub name: String,
    /// Where it stands.
    pub address: Address,
    /// Creation code with the encoded constructor arguments behind it.
    pub creation_code: Bytes,
    /// Calldata of the calls made to it by the system address when all contracts stand.
    pub init_calls: Vec<Bytes>,
}

/// Block 0 with its state.
pub(crate) struct Genesis {
    pub record: BlockRecord,
    pub overlay: Overlay,
    pub rules: Rules,
}

/// The `genesis.json` of an Ethereum chain, in geth's format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EthereumGenesis(alloy_genesis::Genesis);

impl EthereumGenesis {
    /// Reads the file. Forks and fields are checked when the chain is opened.
    pub fn from_json(json: &[u8]) -> Result<Self, GenesisError> {
        serde_json::from_slice(json).map(Self).map_err(|error| GenesisError::Json(error.to_string()))
    }
}

type GenesisState = State<WrapDatabaseRef<StateView>>;

impl Genesis {
    /// Builds block 0 of an Ethereum chain on an empty state.
    pub(crate) fn imported(genesis: &EthereumGenesis, empty: StateView) -> Result<Self, ChainError> {
        let EthereumGenesis(genesis) = genesis;
        let ethereum = Ethereum::new(&genesis.config)?;
        let overlay = ethereum::genesis_state(genesis)?.apply(&empty)?;
        let header = ethereum::genesis_header(&ethereum, genesis, overlay.state_root)?;
        let total_difficulty = (!ethereum.is_merged(&header)).then_some(header.difficulty);
        let record = BlockRecord::new(header, Vec::new(), Vec::new(), Vec::new());
        let record = record.with_body(Vec::new(), Withdrawals::default(), total_difficulty);
        let overlay = overlay.sealed(0, record.hash);
        Ok(Self { record, overlay, rules: Rules::imported(ethereum) })
    }

    /// Builds block 0 on an empty state.
    pub(crate) fn build(spec: &GenesisSpec, empty: StateView) -> Result<Self, ChainError> {
        let rules = Rules::of(spec)?;
        let mut state = State::builder().with_database(WrapDatabaseRef(empty.clone())).with_bundle_update().build();
        place_accounts(&mut state, spec)?;
        place_precompiles(&mut state, &rules, spec)?;
        for predeploy in &spec.predeploys {
            construct(&mut state, &rules, spec, predeploy)?;
        }
        for predeploy in &spec.predeploys {
            for call in &predeploy.init_calls {
                let evm = evm(&rules, &mut state, genesis_env(&rules, spec));
                call_as_system(evm, predeploy, call.clone())?;
            }
        }
        state.merge_transitions(BundleRetention::PlainState);
        let overlay = StateChanges::from_bundle(state.take_bundle()).apply(&empty)?;
        let record = BlockRecord::new(header(spec, overlay.state_root), Vec::new(), Vec::new(), Vec::new());
        let overlay = overlay.sealed(0, record.hash);
        Ok(Self { record, overlay, rules })
    }
}

fn place_accounts(state: &mut GenesisState, spec: &GenesisSpec) -> Result<(), ChainError> {
    for (address, balance) in &spec.alloc {
        change(state, *address, |info| AccountInfo { balance: *balance, ..info })?;
    }
    for (address, code) in [
        (eip2935::HISTORY_STORAGE_ADDRESS, &eip2935::HISTORY_STORAGE_CODE),
        (eip4788::BEACON_ROOTS_ADDRESS, &eip4788::BEACON_ROOTS_CODE),
    ] {
        set_code(state, address, code.clone())?;
    }
    Ok(())
}

fn place_precompiles(state: &mut GenesisState, rules: &Rules, spec: &GenesisSpec) -> Result<(), ChainError> {
    for address in precompiles::marked().chain(rules.randomness) {
        set_code(state, address, precompiles::MARKER)?;
    }
    let storage = minter::genesis_storage(rules.supply, spec.mint.as_ref())?;
    let info = revm::Database::basic(state, NATIVE_MINTER).map_err(|e| ChainError::Execution(e.to_string()))?;
    let mut account = Account::from(info.unwrap_or_default());
    let slot = |value| EvmStorageSlot::new_changed(U256::ZERO, value, TransactionId::ZERO);
    account.storage.extend(storage.into_iter().map(|(key, value)| (key, slot(value))));
    account.mark_touch();
    state.commit([(NATIVE_MINTER, account)].into_iter().collect());
    Ok(())
}

/// Changes an account. It is read first, because the state takes an account it has not seen for unchanged.
fn change(
    state: &mut GenesisState,
    address: Address,
    change: impl FnOnce(AccountInfo) -> AccountInfo,
) -> Result<(), ChainError> {
    let info = revm::Database::basic(state, address).map_err(|error| ChainError::Execution(error.to_string()))?;
    let mut account = Account::from(change(info.unwrap_or_default()));
    account.mark_touch();
    state.commit([(address, account)].into_iter().collect());
    Ok(())
}

fn set_code(state: &mut GenesisState, address: Address, code: Bytes) -> Result<(), ChainError> {
    let code = Bytecode::new_raw_checked(code).map_err(|error| ChainError::Execution(format!("{address}: {error}")))?;
    change(state, address, |info| info.with_code(code).with_nonce(1))
}

/// Runs a constructor in place and installs the code it returns.
fn construct(
    state: &mut GenesisState,
    rules: &Rules,
    spec: &GenesisSpec,
    predeploy: &Predeploy,
) -> Result<(), ChainError> {
    set_code(state, predeploy.address, predeploy.creation_code.clone())?;
    let evm = constructor_evm(&mut *state, genesis_env(rules, spec));
    let code = call_as_system(evm, predeploy, Bytes::new())?;
    if code.is_empty() || code.len() > MAX_CODE_SIZE {
        let reason = format!("its constructor returned {} bytes of code (1..={MAX_CODE_SIZE})", code.len());
        return Err(failed(predeploy, reason));
    }
    set_code(state, predeploy.address, code)
}

/// Calls a contract from the system address and returns its output.
fn call_as_system(
    mut evm: ChainEvm<&mut GenesisState>,
    predeploy: &Predeploy,
    data: Bytes,
) -> Result<Bytes, ChainError> {
    let outcome = evm
        .transact_system_call(eip4788::SYSTEM_ADDRESS, predeploy.address, data)
        .map_err(|error| failed(predeploy, error))?;
    match outcome.result {
        ExecutionResult::Success { output: Output::Call(output), .. } => {
            evm.db_mut().commit(outcome.state);
            Ok(output)
        }
        other => Err(failed(predeploy, format!("{other:?}"))),
    }
}

fn failed(predeploy: &Predeploy, reason: impl ToString) -> ChainError {
    ChainError::Genesis { contract: predeploy.name.clone(), address: predeploy.address, reason: reason.to_string() }
}

fn header(spec: &GenesisSpec, state_root: B256) -> Header {
    Header {
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        state_root,
        transactions_root: EMPTY_TRANSACTIONS,
        receipts_root: EMPTY_RECEIPTS,
        gas_limit: spec.gas_limit,
        timestamp: spec.timestamp,
        base_fee_per_gas: Some(INITIAL_BASE_FEE),
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests;
