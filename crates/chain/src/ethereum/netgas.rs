//! Storage writes under Constantinople alone.
//!
//! EIP-1283 meters what a write changes in the end. Petersburg took it back on the main network before anybody used it,
//! so the EVM has no fork of this name: Petersburg's is used, with this price list and this one instruction changed.
//! The arithmetic is that of EIP-2200, which brought the idea back with Istanbul's price of a read and a stipend check.

use alloy_evm::{
    Database,
    eth::{EthEvm, EthEvmContext},
    precompiles::PrecompilesMap,
};
use revm::{
    bytecode::opcode::SSTORE,
    context::CfgEnv,
    context_interface::{Host, cfg::gas_params::GasId},
    inspector::Inspector,
    interpreter::{
        Instruction, InstructionContext, InstructionResult, instructions::host::sstore_with_gas_accounting,
        interpreter::EthInterpreter,
    },
};

/// Gas of a read and of a write that changes nothing (EIP-1283).
const SLOAD_GAS: u64 = 200;
/// Gas of a write to an empty slot.
const SSTORE_SET_GAS: u64 = 20_000;
/// Gas of a write to a slot that holds something.
const SSTORE_RESET_GAS: u64 = 5_000;

/// Sets the prices of EIP-1283.
pub(super) fn set_prices(cfg: &mut CfgEnv) {
    let mut prices = cfg.gas_params.clone();
    prices.override_gas([
        (GasId::sstore_static(), SLOAD_GAS),
        (GasId::sstore_set_without_load_cost(), SSTORE_SET_GAS - SLOAD_GAS),
        (GasId::sstore_reset_without_cold_load_cost(), SSTORE_RESET_GAS - SLOAD_GAS),
        (GasId::sstore_set_refund(), SSTORE_SET_GAS - SLOAD_GAS),
        (GasId::sstore_reset_refund(), SSTORE_RESET_GAS - SLOAD_GAS),
    ]);
    cfg.set_gas_params(prices);
}

/// The same EVM with the storage write of EIP-1283.
pub(crate) fn net_metered<DB, I>(evm: EthEvm<DB, I, PrecompilesMap>, inspect: bool) -> EthEvm<DB, I, PrecompilesMap>
where
    DB: Database,
    I: Inspector<EthEvmContext<DB>>,
{
    let mut inner = evm.into_inner();
    inner.instruction.insert_instruction(SSTORE, Instruction::new(sstore::<DB>), 0);
    EthEvm::new(inner, inspect)
}

type Step<'a, DB> = InstructionContext<'a, EthEvmContext<DB>, EthInterpreter>;

fn sstore<DB: Database>(step: Step<'_, DB>) -> Result<(), InstructionResult> {
    sstore_with_gas_accounting(step, |step, _, write| {
        // The arithmetic since Istanbul; the prices come from the list.
        let prices = step.host.gas_params();
        let cost = prices.sstore_dynamic_gas(true, &write.data, write.is_cold);
        let refund = prices.sstore_refund(true, &write.data);
        if !step.interpreter.gas.record_regular_cost(cost) {
            return Err(InstructionResult::OutOfGas);
        }
        step.interpreter.gas.record_refund(refund);
        Ok(())
    })
}
