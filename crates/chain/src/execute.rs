//! Run the transactions of one block.
//!
//! 1. The protocol calls EIP-2935 (parent hash), EIP-4788 (beacon root) and the randomness contract, and has those slashed
//!    whom evidence in the block convicts.
//! 2. Transactions run one after the other under Osaka rules.
//! 3. The base fee of all gas used is credited to the fee vault instead of being destroyed.
//!
//! No coin is ever destroyed: what a contract that destroys itself in the transaction that made it would take with it
//! (EIP-6780) goes to the burn address. So the sum of all balances is the genesis supply plus what the minter made, and
//! no block is produced or accepted that changes the balances by anything else.
//!
//! Blocks of an imported Ethereum chain run under the forks of that chain instead (`imported`).

mod imported;
mod progress;

use crate::{
    BlockAttributes, BlockRecord, ChainError, GenesisSpec, Offenders,
    block::{logs_bloom, receipts_root, transactions_root},
    engine::Base,
    ethereum::{self, Ethereum},
    evm::{ChainEvm, ChainEvmContext, evm, inspected_evm},
    precompiles::minter::minted_by_transaction,
    state::{Overlay, Remembered, StateChanges, StateView},
    supply::check_balances,
    transactions::TRANSACTION_GAS_MIN,
};
use alloy_consensus::{
    EMPTY_OMMER_ROOT_HASH, Eip658Value, Header, Receipt, ReceiptEnvelope, Transaction as _, TxEnvelope,
    constants::EMPTY_WITHDRAWALS, transaction::Recovered,
};
use alloy_eips::{
    eip1559::BaseFeeParams,
    eip2935, eip4788,
    eip4895::Withdrawals,
    eip7685::{EMPTY_REQUESTS_HASH, Requests},
};
use alloy_evm::{Evm, EvmEnv, FromRecoveredTx};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rlp::Encodable;
use alloy_sol_types::SolCall;
use progress::Progress;
use protocol::abi::{BURN, IRandomness, IValidatorRegistry, VALIDATOR_REGISTRY};
use revm::{
    Database, DatabaseCommit,
    context::{BlockEnv, CfgEnv, TxEnv},
    context_interface::{
        block::BlobExcessGasAndPrice,
        result::{EVMError, ExecutionResult, InvalidTransaction, ResultAndState},
    },
    database::{DatabaseCommitExt, State, states::bundle_state::BundleRetention},
    database_interface::bal::EvmDatabaseError,
    inspector::Inspector,
    primitives::hardfork::SpecId,
    state::EvmState,
};
use std::sync::Arc;

/// State while a block is executed: what the block changed, above the state of its parent.
pub(crate) type BlockState = State<Remembered>;
type BlockEvmError = EVMError<EvmDatabaseError<ChainError>>;

/// What the genesis fixes for all blocks.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// The fork schedule, if this is an imported Ethereum chain; the fields below then say nothing but the chain id.
    pub ethereum: Option<Arc<Ethereum>>,
    pub chain_id: u64,
    pub gas_limit: u64,
    pub base_fee_to: Address,
    pub randomness: Option<Address>,
    /// Who slashes the validators that a block convicts.
    pub validators: Option<Address>,
    /// Sum of all balances at genesis, in wei.
    pub supply: U256,
}

/// Why a transaction is not in the block.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It is not valid at this place.
    Invalid(InvalidTransaction),
    /// Its gas limit exceeds what the block has left.
    NoRoom { gas_limit: u64, left: u64 },
    /// This node failed.
    Failed(ChainError),
}

/// A block being executed.
pub(crate) struct Execution {
    evm: ChainEvm<BlockState>,
    parent: StateView,
    rules: Rules,
    header: Header,
    transactions: Vec<TxEnvelope>,
    senders: Vec<Address>,
    receipts: Vec<ReceiptEnvelope>,
    gas_used: u64,
    transactions_bytes: usize,
    ommers: Vec<Header>,
    withdrawals: Withdrawals,
    requests: Requests,
    /// Whether this will never be a block: what is added to its state need not come from anywhere.
    simulated: bool,
    /// What the transactions so far changed, where each receipt names the state root after it.
    progress: Option<Progress>,
}

impl Rules {
    /// The rules a genesis fixes. Fails when the balances do not fit in 256 bits.
    pub(crate) fn of(spec: &GenesisSpec) -> Result<Self, ChainError> {
        let sum = spec.alloc.values().try_fold(U256::ZERO, |sum, balance| sum.checked_add(*balance));
        Ok(Self {
            ethereum: None,
            chain_id: spec.chain_id,
            gas_limit: spec.gas_limit,
            base_fee_to: spec.fee_recipient_vault.unwrap_or(BURN),
            randomness: spec.randomness,
            validators: spec.predeploys.iter().map(|it| it.address).find(|address| *address == VALIDATOR_REGISTRY),
            supply: sum.ok_or(ChainError::GenesisSupply)?,
        })
    }

    /// The rules of an Ethereum chain.
    pub(crate) fn imported(ethereum: Ethereum) -> Self {
        Self {
            chain_id: ethereum.chain_id(),
            ethereum: Some(Arc::new(ethereum)),
            gas_limit: 0,
            base_fee_to: BURN,
            randomness: None,
            validators: None,
            supply: U256::ZERO,
        }
    }
}

impl Execution {
    /// Begins the block that `header` (from [`next_header`]) describes, with the calls of the protocol.
    pub(crate) fn start(rules: &Rules, base: &Base, header: Header) -> Result<Self, ChainError> {
        let mut execution = Self::bare(rules, base, header);
        execution.prepare_block()?;
        Ok(execution)
    }

    /// The same on a state that `prepare` may change first, for blocks that are only simulated.
    pub(crate) fn start_with<E: From<ChainError>>(
        rules: &Rules,
        base: &Base,
        header: Header,
        prepare: impl FnOnce(&mut BlockState) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut execution = Self::bare(rules, base, header);
        execution.simulated = true;
        prepare(execution.evm.db_mut())?;
        execution.prepare_block()?;
        Ok(execution)
    }

    /// Begins a block without the calls of the protocol.
    pub(crate) fn bare(rules: &Rules, base: &Base, header: Header) -> Self {
        let state = State::builder().with_database(Remembered::new(base.view.clone())).with_bundle_update().build();
        Self {
            evm: evm(rules, state, evm_env(rules, &header)),
            progress: Progress::wanted(rules, &header, &base.view),
            parent: base.view.clone(),
            rules: rules.clone(),
            header,
            transactions: Vec::new(),
            senders: Vec::new(),
            receipts: Vec::new(),
            gas_used: 0,
            transactions_bytes: 0,
            ommers: Vec::new(),
            withdrawals: Withdrawals::default(),
            requests: Requests::default(),
            simulated: false,
        }
    }

    /// The calls before the transactions.
    fn prepare_block(&mut self) -> Result<(), ChainError> {
        match self.rules.ethereum.clone() {
            Some(ethereum) => self.prepare_imported(&ethereum),
            None => self.prepare(),
        }
    }

    /// The same of a block of this chain.
    fn prepare(&mut self) -> Result<(), ChainError> {
        self.call(eip2935::HISTORY_STORAGE_ADDRESS, self.header.parent_hash.0.into())?;
        let beacon_root = self.header.parent_beacon_block_root.unwrap_or_default();
        self.call(eip4788::BEACON_ROOTS_ADDRESS, beacon_root.0.into())?;
        if let Some(randomness) = self.rules.randomness {
            let call = IRandomness::setCall { value: self.header.mix_hash };
            self.call(randomness, call.abi_encode().into())?;
        }
        self.slash()
    }

    /// Has the stake of those slashed whom the header names. The contract refuses nobody; if it did, the block would go on
    /// without, on every node alike: one bad entry must not stop the chain.
    fn slash(&mut self) -> Result<(), ChainError> {
        let Some(validators) = self.rules.validators else { return Ok(()) };
        for id in Offenders::decode(&self.header.extra_data).iter() {
            let call = IValidatorRegistry::slashCall { id };
            if let Err(error) = self.try_call(validators, call.abi_encode().into())? {
                tracing::error!(id, height = self.header.number, %error, "a convicted validator is not slashed");
            }
        }
        Ok(())
    }

    /// Makes room for so many transactions, most of which touch two accounts: growing step by step copies it all often.
    pub(crate) fn expect(&mut self, transactions: usize) {
        let count = transactions.min((self.header.gas_limit / TRANSACTION_GAS_MIN) as usize);
        self.transactions.reserve(count);
        self.senders.reserve(count);
        self.receipts.reserve(count);
        let state = self.evm.db_mut();
        state.database.reserve(2 * count);
        state.cache.accounts.reserve(2 * count);
        if let Some(changed) = &mut state.transition_state {
            changed.transitions.reserve(2 * count);
        }
    }

    /// Gas the block has left.
    pub(crate) fn gas_left(&self) -> u64 {
        self.header.gas_limit - self.gas_used
    }

    /// Length of the RLP of the transactions so far, in bytes.
    pub(crate) fn transactions_bytes(&self) -> usize {
        self.transactions_bytes
    }

    /// Receipts of the transactions so far.
    pub(crate) fn receipts(&self) -> &[ReceiptEnvelope] {
        &self.receipts
    }

    /// Executes a transaction; a refused one leaves no trace.
    pub(crate) fn run(&mut self, transaction: &Recovered<TxEnvelope>) -> Result<(), Refusal> {
        let environment = self.admit(transaction)?;
        let outcome = self.evm.transact(environment).map_err(refusal)?;
        self.commit(transaction, outcome).map_err(Refusal::Failed)
    }

    /// Executes a transaction under the eyes of an inspector and changes nothing; [`Execution::commit`] does.
    pub(crate) fn inspect<I>(
        &mut self,
        transaction: &Recovered<TxEnvelope>,
        inspector: I,
    ) -> Result<ResultAndState, Refusal>
    where
        I: for<'a> Inspector<ChainEvmContext<&'a mut BlockState>>,
    {
        let environment = self.admit(transaction)?;
        let env = self.environment();
        let mut evm = inspected_evm(&self.rules, self.evm.db_mut(), env, inspector);
        evm.transact(environment).map_err(refusal)
    }

    /// The environment in which the transactions run.
    pub(crate) fn environment(&self) -> EvmEnv {
        evm_env(&self.rules, &self.header)
    }

    /// The state as the transactions so far left it.
    pub(crate) fn state(&mut self) -> &mut BlockState {
        self.evm.db_mut()
    }

    /// The state as the transactions so far left it, without the block.
    pub(crate) fn into_block_state(self) -> BlockState {
        self.evm.into_db()
    }

    /// Keeps what the execution of a transaction on this state gave.
    pub(crate) fn commit(
        &mut self,
        transaction: &Recovered<TxEnvelope>,
        outcome: ResultAndState,
    ) -> Result<(), ChainError> {
        let (envelope, sender) = (transaction.inner(), transaction.signer());
        let ResultAndState { result, state } = outcome;
        let gas_used = result.tx_gas_used();
        let lost = match self.rules.ethereum {
            Some(_) => U256::ZERO,
            None => self.coin_lost(&state, gas_used)?,
        };
        let database = self.evm.db_mut();
        database.commit(state);
        credit(database, BURN, lost)?;
        self.gas_used += gas_used;
        let status = match &mut self.progress {
            Some(progress) => Eip658Value::PostState(progress.advance(self.evm.db_mut())?),
            None => result.is_success().into(),
        };
        let receipt = Receipt { status, cumulative_gas_used: self.gas_used, logs: result.into_logs() };
        self.receipts.push(ReceiptEnvelope::from_typed(envelope.tx_type(), receipt));
        self.transactions_bytes += envelope.length();
        self.transactions.push(envelope.clone());
        self.senders.push(sender);
        Ok(())
    }

    /// The transaction as the EVM takes it, if the block has room for it.
    fn admit(&self, transaction: &Recovered<TxEnvelope>) -> Result<TxEnv, Refusal> {
        let environment = TxEnv::from_recovered_tx(transaction.inner(), transaction.signer());
        let left = self.gas_left();
        match environment.gas_limit {
            gas_limit if gas_limit > left => Err(Refusal::NoRoom { gas_limit, left }),
            _ => Ok(environment),
        }
    }

    /// Ends the block: fees, roots, header.
    pub(crate) fn finish(self) -> Result<(BlockRecord, Overlay), ChainError> {
        self.finish_with_requests().map(|(record, overlay, _)| (record, overlay))
    }

    /// The same, with the requests to the beacon chain that an imported block makes.
    pub(crate) fn finish_with_requests(mut self) -> Result<(BlockRecord, Overlay, Requests), ChainError> {
        match self.rules.ethereum.clone() {
            Some(ethereum) => self.conclude_imported(&ethereum)?,
            None => {
                let base_fee = self.header.base_fee_per_gas.unwrap_or_default();
                let fees = U256::from(base_fee) * U256::from(self.gas_used);
                credit(self.evm.db_mut(), self.rules.base_fee_to, fees)?;
            }
        }
        let (changes, progress) = (changes(self.evm.db_mut()), self.progress.take());
        let known = self.evm.db_mut().database.take();
        let (overlay, (transactions_root, (receipts_root, logs_bloom))) = rayon::join(
            || match progress {
                Some(progress) => progress.finish(changes),
                None => changes.apply_knowing(&self.parent, &known),
            },
            || {
                rayon::join(
                    || transactions_root(&self.transactions),
                    || (receipts_root(&self.receipts), logs_bloom(&self.receipts)),
                )
            },
        );
        let overlay = overlay?;
        if self.rules.ethereum.is_none() && !self.simulated {
            check_balances(self.header.number, &overlay)?;
        }
        let header = Header {
            state_root: overlay.state_root,
            transactions_root,
            receipts_root,
            logs_bloom,
            gas_used: self.gas_used,
            blob_gas_used: self.header.blob_gas_used.map(|_| blob_gas(&self.transactions)),
            ..self.header
        };
        let record = BlockRecord::new(header, self.transactions, self.senders, self.receipts);
        let record = match self.rules.ethereum {
            Some(_) => record.with_body(self.ommers, self.withdrawals, None),
            None => record,
        };
        let overlay = overlay.sealed(record.number(), record.hash);
        Ok((record, overlay, self.requests))
    }

    /// A call by the system address, which must succeed; returns its output.
    pub(crate) fn call(&mut self, contract: Address, data: Bytes) -> Result<Bytes, ChainError> {
        self.try_call(contract, data)?
    }

    /// The same; a refusal of the contract, which changes nothing, is told apart from a failure of this node.
    fn try_call(&mut self, contract: Address, data: Bytes) -> Result<Result<Bytes, ChainError>, ChainError> {
        let failed = |reason: String| ChainError::SystemCall { contract, reason };
        let outcome = self.evm.transact_system_call(eip4788::SYSTEM_ADDRESS, contract, data);
        let outcome = outcome.map_err(|error| failed(error.to_string()))?;
        match outcome.result {
            ExecutionResult::Success { output, .. } => {
                self.evm.db_mut().commit(outcome.state);
                Ok(Ok(output.into_data()))
            }
            result => Ok(Err(failed(format!("{result:?}")))),
        }
    }

    /// What contracts that were made and destroyed in this transaction take with them, in wei.
    fn coin_lost(&mut self, state: &EvmState, gas_used: u64) -> Result<U256, ChainError> {
        if !state.values().any(|account| account.is_selfdestructed()) {
            return Ok(U256::ZERO);
        }
        let base_fee = self.header.base_fee_per_gas.unwrap_or_default();
        let mut before = minted_by_transaction(state);
        let mut after = U256::from(base_fee) * U256::from(gas_used);
        for (address, account) in state {
            let info = self.evm.db_mut().basic(*address).map_err(database_error)?;
            before += info.map(|info| info.balance).unwrap_or_default();
            if !account.is_selfdestructed() {
                after += account.info.balance;
            }
        }
        Ok(before.saturating_sub(after))
    }
}

/// Blob gas of transactions (EIP-4844).
fn blob_gas(transactions: &[TxEnvelope]) -> u64 {
    transactions.iter().filter_map(|tx| tx.blob_gas_used()).sum()
}

/// Environment of the EVM for the block of this header.
pub(crate) fn evm_env(rules: &Rules, header: &Header) -> EvmEnv {
    if let Some(ethereum) = &rules.ethereum {
        return ethereum.evm_env(header);
    }
    let block_env = BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.beneficiary,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.unwrap_or_default(),
        difficulty: U256::ZERO,
        prevrandao: Some(header.mix_hash),
        blob_excess_gas_and_price: Some(BlobExcessGasAndPrice::new_with_spec(0, SpecId::OSAKA)),
        ..Default::default()
    };
    EvmEnv::new(CfgEnv::new_with_spec(SpecId::OSAKA).with_chain_id(rules.chain_id), block_env)
}

/// Environment for the constructors of genesis.
pub(crate) fn genesis_env(rules: &Rules, spec: &GenesisSpec) -> EvmEnv {
    let header = Header { timestamp: spec.timestamp, gas_limit: spec.gas_limit, ..Default::default() };
    evm_env(rules, &header)
}

/// What happened since the last call, as new values of accounts and slots.
fn changes(state: &mut BlockState) -> StateChanges {
    state.merge_transitions(BundleRetention::PlainState);
    StateChanges::from_bundle(state.take_bundle())
}

/// Base fee of a child of this block, in wei per gas (EIP-1559).
pub(crate) fn next_base_fee(parent: &Header) -> u64 {
    parent.next_block_base_fee(BaseFeeParams::ethereum()).unwrap_or_default()
}

/// Header of a child before execution: roots, bloom and gas used are still empty.
pub(crate) fn next_header(rules: &Rules, parent: &BlockRecord, attributes: BlockAttributes) -> Header {
    if let Some(ethereum) = &rules.ethereum {
        return ethereum::child(ethereum, parent, attributes);
    }
    Header {
        parent_hash: parent.hash,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: attributes.beneficiary,
        number: parent.number() + 1,
        gas_limit: rules.gas_limit,
        timestamp: attributes.timestamp,
        mix_hash: attributes.randomness,
        base_fee_per_gas: Some(next_base_fee(&parent.header)),
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(attributes.parent_beacon_root),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        extra_data: attributes.offenders.encode(),
        state_root: B256::ZERO,
        ..Default::default()
    }
}

/// Adds to a balance. No balance exceeds the supply, so the sum cannot overflow.
fn credit(state: &mut BlockState, address: Address, amount: U256) -> Result<(), ChainError> {
    if amount.is_zero() {
        return Ok(());
    }
    // The database interface takes 128 bits at a time.
    let mut rest = amount;
    while !rest.is_zero() {
        let part = rest.min(U256::from(u128::MAX));
        state.increment_balances([(address, part.to::<u128>())]).map_err(database_error)?;
        rest -= part;
    }
    Ok(())
}

fn refusal(error: BlockEvmError) -> Refusal {
    match error {
        EVMError::Transaction(invalid) => Refusal::Invalid(invalid),
        EVMError::Database(error) => Refusal::Failed(database_error(error)),
        other => Refusal::Failed(ChainError::Execution(other.to_string())),
    }
}

pub(crate) fn database_error(error: EvmDatabaseError<ChainError>) -> ChainError {
    match error {
        EvmDatabaseError::Database(error) => error,
        other => ChainError::Execution(other.to_string()),
    }
}
