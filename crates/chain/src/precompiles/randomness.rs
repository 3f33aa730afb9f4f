//! `Randomness`: a ring of the randomness of recent blocks.
//!
//! The answers and the storage are those of `contracts/src/Randomness.sol`, whose code stands at the same address; a
//! test compares them call by call. The chain writes the value of a block before its first transaction.
//!
//! Who can bias what: `docs/decisions/0006-randomness.md`.

use super::call::{Call, NOT_UNDERSTOOD, Stop};
use alloy_eips::eip4788::SYSTEM_ADDRESS;
use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_sol_types::SolValue;
use protocol::abi::{IRandomness, IRandomness::IRandomnessCalls};

/// Gas of understanding the call.
const BASE_GAS: u64 = 100;
/// Blocks that are remembered, the current one included.
const RING_BLOCKS: U256 = U256::from_limbs([8_192, 0, 0, 0]);

/// Answers a call.
pub(super) fn run(call: &mut Call<'_>) -> Result<Bytes, Stop> {
    call.charge(BASE_GAS)?;
    match call.decode::<IRandomnessCalls>()? {
        IRandomnessCalls::set(set) => write(call, set.value),
        IRandomnessCalls::at(query) => read(call, query.blockNumber),
        IRandomnessCalls::settled(query) => settled(call, query.blockNumber),
        IRandomnessCalls::RING_BLOCKS(_) => Ok(RING_BLOCKS.abi_encode().into()),
    }
}

fn write(call: &mut Call<'_>, value: B256) -> Result<Bytes, Stop> {
    let caller = call.caller();
    if caller != SYSTEM_ADDRESS {
        return Err(Stop::error(IRandomness::NotSystem { caller }));
    }
    if call.is_static() || !call.is_direct() {
        return Err(NOT_UNDERSTOOD);
    }
    let slot = slot(call.block_number());
    let old = call.load(slot)?;
    call.store(slot, old, value.into())?;
    Ok(Bytes::new())
}

fn read(call: &mut Call<'_>, number: U256) -> Result<Bytes, Stop> {
    let current = call.block_number();
    if number > current || current - number >= RING_BLOCKS {
        return Err(Stop::error(IRandomness::OutOfRange { blockNumber: number, current }));
    }
    Ok(call.load(slot(number))?.abi_encode().into())
}

fn settled(call: &mut Call<'_>, number: U256) -> Result<Bytes, Stop> {
    let current = call.block_number();
    if number >= current {
        return Err(Stop::error(IRandomness::NotSettled { blockNumber: number, current }));
    }
    read(call, number)
}

/// Where the value of a block is kept: `mapping(uint256 => bytes32)` at slot 0 in Solidity's layout.
pub(crate) fn slot(number: U256) -> U256 {
    let key = [B256::from(number % RING_BLOCKS), B256::ZERO].concat();
    keccak256(key).into()
}
