//! `NativeMinter`: the only way to make coin after genesis.
//!
//! Genesis fixes the minters, the length of an epoch in blocks and the cap of what all of them together may mint in one
//! (`GenesisSpec::mint`). All of it stands in the storage of the precompile's account, so that the state root commits
//! to it, like the counters: what a reverted frame minted was never minted.

use super::call::{Call, Stop};
use crate::{ChainError, StateView, state::Overlay};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolEvent, SolValue};
use protocol::abi::{INativeMinter, INativeMinter::INativeMinterCalls, NATIVE_MINTER};
use revm::state::EvmState;

/// Gas of understanding the call.
const BASE_GAS: u64 = 100;

/// Sum of all balances at genesis, in wei.
const GENESIS_SUPPLY: U256 = U256::ZERO;
/// Wei minted since genesis.
const MINTED: U256 = U256::ONE;
/// Epoch of the counter in the next slot.
const EPOCH: U256 = U256::from_limbs([2, 0, 0, 0]);
/// Wei minted in that epoch.
const MINTED_IN_EPOCH: U256 = U256::from_limbs([3, 0, 0, 0]);
/// Blocks of an epoch; 0 where nobody may mint.
const EPOCH_BLOCKS: U256 = U256::from_limbs([4, 0, 0, 0]);
/// Wei that may be minted in an epoch.
const CAP: U256 = U256::from_limbs([5, 0, 0, 0]);
/// `mapping(address => bool)` of the minters, at this slot in Solidity's layout.
const MINTERS: U256 = U256::from_limbs([6, 0, 0, 0]);

/// Who may make coin, and how much; part of genesis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MintRules {
    /// Blocks of an epoch (1..).
    pub epoch_blocks: u64,
    /// Wei that all minters together may mint in one epoch.
    pub cap_wei: U256,
    /// Accounts that may mint.
    pub minters: Vec<Address>,
}

/// Answers a call.
pub(super) fn run(call: &mut Call<'_>) -> Result<Bytes, Stop> {
    call.charge(BASE_GAS)?;
    if !call.is_direct() {
        return Err(Stop::error(INativeMinter::NotDirect {}));
    }
    let value = match call.decode::<INativeMinterCalls>()? {
        INativeMinterCalls::mint(mint) => return mint_coin(call, &mint),
        INativeMinterCalls::isMinter(query) => return Ok(is_minter(call, query.account)?.abi_encode().into()),
        INativeMinterCalls::epoch(_) => Epoch::load(call)?.number,
        INativeMinterCalls::mintedInEpoch(_) => Epoch::load(call)?.minted,
        INativeMinterCalls::cap(_) => call.load(CAP)?,
        INativeMinterCalls::minted(_) => call.load(MINTED)?,
    };
    Ok(value.abi_encode().into())
}

fn mint_coin(call: &mut Call<'_>, mint: &INativeMinter::mintCall) -> Result<Bytes, Stop> {
    if call.is_static() {
        return Err(Stop::error(INativeMinter::ReadOnly {}));
    }
    let (caller, amount) = (call.caller(), mint.amount);
    if !is_minter(call, caller)? {
        return Err(Stop::error(INativeMinter::NotMinter { caller }));
    }
    let epoch = Epoch::load(call)?;
    let (cap, minted, genesis) = (call.load(CAP)?, call.load(MINTED)?, call.load(GENESIS_SUPPLY)?);
    // The sum of all balances has to stay below 2^256, whatever the cap says.
    let left = cap.saturating_sub(epoch.minted).min(U256::MAX - genesis.saturating_add(minted));
    if amount > left {
        return Err(Stop::error(INativeMinter::CapExceeded { epoch: epoch.number, asked: amount, left }));
    }
    call.store(EPOCH, epoch.stored_number, epoch.number)?;
    call.store(MINTED_IN_EPOCH, epoch.stored_minted, epoch.minted + amount)?;
    call.store(MINTED, minted, minted + amount)?;
    call.credit(mint.to, amount)?;
    let event = INativeMinter::Minted { minter: caller, to: mint.to, amount, epoch: epoch.number };
    call.log(event.encode_log_data())?;
    Ok(INativeMinter::mintCall::abi_encode_returns(&INativeMinter::mintReturn {}).into())
}

/// The current epoch, and what the counter says.
struct Epoch {
    number: U256,
    minted: U256,
    stored_number: U256,
    stored_minted: U256,
}

impl Epoch {
    fn load(call: &mut Call<'_>) -> Result<Self, Stop> {
        let blocks = call.load(EPOCH_BLOCKS)?;
        let number = call.block_number().checked_div(blocks).unwrap_or_default();
        let (stored_number, stored_minted) = (call.load(EPOCH)?, call.load(MINTED_IN_EPOCH)?);
        let minted = if stored_number == number { stored_minted } else { U256::ZERO };
        Ok(Self { number, minted, stored_number, stored_minted })
    }
}

fn is_minter(call: &mut Call<'_>, account: Address) -> Result<bool, Stop> {
    Ok(!call.load(minter_slot(account))?.is_zero())
}

fn minter_slot(account: Address) -> U256 {
    let key = [account.into_word(), B256::from(MINTERS)].concat();
    keccak256(key).into()
}

/// Storage of the precompile's account in block 0. Fails when an epoch has no blocks.
pub(crate) fn genesis_storage(supply: U256, rules: Option<&MintRules>) -> Result<Vec<(U256, U256)>, ChainError> {
    let mut storage = vec![(GENESIS_SUPPLY, supply)];
    if let Some(MintRules { epoch_blocks, cap_wei, minters }) = rules {
        if *epoch_blocks == 0 {
            let reason = "an epoch must have at least one block".into();
            return Err(ChainError::Genesis { contract: "NativeMinter".into(), address: NATIVE_MINTER, reason });
        }
        storage.extend([(EPOCH_BLOCKS, U256::from(*epoch_blocks)), (CAP, *cap_wei)]);
        storage.extend(minters.iter().map(|minter| (minter_slot(*minter), U256::ONE)));
    }
    Ok(storage)
}

/// Wei minted since genesis.
pub(crate) fn minted(state: &StateView) -> Result<U256, ChainError> {
    state.storage(NATIVE_MINTER, MINTED)
}

/// Wei that a transaction minted, from the state it leaves.
pub(crate) fn minted_by_transaction(state: &EvmState) -> U256 {
    let slot = state.get(&NATIVE_MINTER).and_then(|account| account.storage.get(&MINTED));
    slot.map(|slot| slot.present_value().saturating_sub(slot.original_value())).unwrap_or_default()
}

/// Wei that a block minted, from what it changes.
pub(crate) fn minted_by_block(overlay: &Overlay) -> U256 {
    let change = overlay.storage.get(&(NATIVE_MINTER, MINTED));
    change.map(|change| change.new.saturating_sub(change.old)).unwrap_or_default()
}
