//! One call of a precompile: its input, its gas, and the state it may touch.

use alloy_evm::{
    EvmInternalsError,
    precompiles::{DynPrecompile, PrecompileInput},
};
use alloy_primitives::{Address, Bytes, Log, LogData, U256};
use alloy_sol_types::{SolError, SolInterface};
use revm::precompile::{PrecompileError, PrecompileHalt, PrecompileId, PrecompileOutput, PrecompileResult};

/// Gas of reading a slot: SLOAD of a cold slot (EIP-2929).
pub(super) const SLOT_READ_GAS: u64 = 2_100;
/// Gas of changing a slot that was read before and holds something (EIP-2200 less the cold access).
pub(super) const SLOT_CHANGE_GAS: u64 = 2_900;
/// Gas of filling an empty slot that was read before (EIP-2200).
pub(super) const SLOT_FILL_GAS: u64 = 20_000;
/// Gas of reading an account: a cold access (EIP-2929).
pub(super) const ACCOUNT_READ_GAS: u64 = 2_600;
/// Gas of making an account (EIP-161).
pub(super) const ACCOUNT_NEW_GAS: u64 = 25_000;
/// Gas of a log, and again of each of its topics.
pub(super) const LOG_GAS: u64 = 375;
/// Gas of a byte in a log.
pub(super) const LOG_BYTE_GAS: u64 = 8;

/// Why a call ends without an answer.
pub(super) enum Stop {
    /// The gas does not suffice; all of it is gone.
    OutOfGas,
    /// Refused with this data; the rest of the gas stays with the caller.
    Revert(Bytes),
    /// This node failed; nothing is known about the call.
    Failed(String),
}

/// Refuses without a word, as contracts do when they do not understand their calldata.
pub(super) const NOT_UNDERSTOOD: Stop = Stop::Revert(Bytes::new());

impl Stop {
    /// Refuses with an error of the interface.
    pub(super) fn error(error: impl SolError) -> Self {
        Self::Revert(error.abi_encode().into())
    }
}

impl From<EvmInternalsError> for Stop {
    fn from(error: EvmInternalsError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// A call being answered.
pub(super) struct Call<'a> {
    input: PrecompileInput<'a>,
    used: u64,
}

/// Makes a precompile of a function.
pub(super) fn precompile(name: &'static str, run: fn(&mut Call<'_>) -> Result<Bytes, Stop>) -> DynPrecompile {
    // Every answer depends on the state or is cheaper to compute than to look up.
    DynPrecompile::new_stateful(PrecompileId::Custom(name.into()), move |input| answer(input, run))
}

fn answer(input: PrecompileInput<'_>, run: fn(&mut Call<'_>) -> Result<Bytes, Stop>) -> PrecompileResult {
    let (takes_value, reservoir) = (!input.value.is_zero(), input.reservoir);
    let mut call = Call { input, used: 0 };
    let result = if takes_value { Err(NOT_UNDERSTOOD) } else { run(&mut call) };
    match result {
        Ok(bytes) => Ok(PrecompileOutput::new(call.used, bytes, reservoir)),
        Err(Stop::Revert(bytes)) => Ok(PrecompileOutput::revert(call.used, bytes, reservoir)),
        Err(Stop::OutOfGas) => Ok(PrecompileOutput::halt(PrecompileHalt::OutOfGas, reservoir)),
        Err(Stop::Failed(reason)) => Err(PrecompileError::Fatal(reason)),
    }
}

impl Call<'_> {
    /// Takes gas for what comes next.
    pub(super) fn charge(&mut self, gas: u64) -> Result<(), Stop> {
        self.used = self.used.checked_add(gas).filter(|used| *used <= self.input.gas).ok_or(Stop::OutOfGas)?;
        Ok(())
    }

    /// Bytes of calldata.
    pub(super) fn len(&self) -> u64 {
        self.input.data.len() as u64
    }

    /// The call in the words of the interface. Arrays of arrays must not be part of it: all their elements could point
    /// at one piece of calldata, and decoding would cost its square.
    pub(super) fn decode<T: SolInterface>(&self) -> Result<T, Stop> {
        T::abi_decode_validate(self.input.data).map_err(|_| NOT_UNDERSTOOD)
    }

    pub(super) fn caller(&self) -> Address {
        self.input.caller
    }

    /// Height of the block that the call is part of.
    pub(super) fn block_number(&self) -> U256 {
        self.input.internals.block_number()
    }

    /// Whether state must not be changed.
    pub(super) fn is_static(&self) -> bool {
        self.input.is_static
    }

    /// Whether the precompile acts for itself, not in the name of a contract that delegates to it.
    pub(super) fn is_direct(&self) -> bool {
        self.input.is_direct_call()
    }

    /// A slot of the precompile's own account.
    pub(super) fn load(&mut self, slot: U256) -> Result<U256, Stop> {
        self.charge(SLOT_READ_GAS)?;
        let address = self.input.bytecode_address;
        Ok(self.input.internals.sload(address, slot)?.data)
    }

    /// Changes a slot of the precompile's own account that was loaded before as `old`.
    pub(super) fn store(&mut self, slot: U256, old: U256, new: U256) -> Result<(), Stop> {
        self.charge(if old.is_zero() && !new.is_zero() { SLOT_FILL_GAS } else { SLOT_CHANGE_GAS })?;
        let address = self.input.bytecode_address;
        self.input.internals.touch_account(address)?;
        self.input.internals.sstore(address, slot, new)?;
        Ok(())
    }

    /// Makes coin. Whoever calls keeps the sum of all balances below 2²⁵⁶.
    pub(super) fn credit(&mut self, to: Address, amount: U256) -> Result<(), Stop> {
        self.charge(ACCOUNT_READ_GAS)?;
        if self.input.internals.load_account(to)?.data.info.is_empty() && !amount.is_zero() {
            self.charge(ACCOUNT_NEW_GAS)?;
        }
        self.input.internals.balance_incr(to, amount)?;
        Ok(())
    }

    /// Emits an event of the precompile.
    pub(super) fn log(&mut self, data: LogData) -> Result<(), Stop> {
        let (topics, bytes) = (data.topics().len() as u64, data.data.len() as u64);
        self.charge(LOG_GAS * (1 + topics) + LOG_BYTE_GAS * bytes)?;
        self.input.internals.log(Log { address: self.input.bytecode_address, data });
        Ok(())
    }
}
