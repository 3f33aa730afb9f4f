//! State overrides of calls: accounts that are other than the chain has them, and precompiles that are elsewhere.
//!
//! Whoever overrides the address of a precompile loses the precompile, because otherwise its code would never run.
//! Source: ethereum/execution-apis, `StateOverrides`.

use super::failure::Failure;
use crate::StateView;
use alloy_evm::eth::EthEvm;
use alloy_evm::overrides::{StateOverrideError, apply_state_overrides};
use alloy_evm::precompiles::PrecompilesMap;
use alloy_primitives::map::{AddressSet, B256Map};
use alloy_primitives::{Address, B256};
use alloy_rpc_types_eth::state::{AccountOverride, StateOverride};
use revm::context_interface::{Cfg, ContextTr};
use revm::handler::PrecompileProvider;
use revm::interpreter::{CallInputs, InterpreterResult};
use revm::precompile::Precompiles;
use revm::{Database, DatabaseCommit};
use std::collections::BTreeMap;

/// Slots of an account whose whole storage may be replaced in a state whose root is asked for.
const REPLACED_SLOTS_MAX: usize = 10_000;
/// A precompile that is moved to where it is.
const MOVED_TO_ITSELF_CODE: i32 = -38022;

/// What an override does with the precompile at an address: gone, or at another address.
pub(super) type Moves = BTreeMap<Address, Option<Address>>;

/// The precompiles that overrides may concern, in order of address.
pub(super) fn moves(overrides: &StateOverride) -> Moves {
    overrides.iter().map(|(address, account)| (*address, account.move_precompile_to)).collect()
}

/// Precompiles that are elsewhere. What is warm (EIP-2929) is still what the protocol says.
pub(super) struct Moved {
    precompiles: PrecompilesMap,
    warm: AddressSet,
}

impl<CTX> PrecompileProvider<CTX> for Moved
where
    CTX: ContextTr,
    PrecompilesMap: PrecompileProvider<CTX, Output = InterpreterResult>,
{
    type Output = InterpreterResult;

    fn set_spec(&mut self, spec: <CTX::Cfg as Cfg>::Spec) -> bool {
        PrecompileProvider::<CTX>::set_spec(&mut self.precompiles, spec)
    }

    fn run(&mut self, context: &mut CTX, inputs: &CallInputs) -> Result<Option<InterpreterResult>, String> {
        self.precompiles.run(context, inputs)
    }

    fn warm_addresses(&self) -> &AddressSet {
        &self.warm
    }

    fn contains(&self, address: &Address) -> bool {
        self.precompiles.get(address).is_some()
    }
}

/// The same EVM with the precompiles where the overrides want them. `inspect` says whether it has an inspector.
pub(super) fn with_moves<DB, I>(
    evm: EthEvm<DB, I, PrecompilesMap>,
    moves: &Moves,
    inspect: bool,
) -> Result<EthEvm<DB, I, Moved>, Failure>
where
    DB: alloy_evm::Database,
{
    let mut inner = evm.into_inner();
    let warm = inner.precompiles.addresses().copied().collect();
    move_precompiles(&mut inner.precompiles, moves)?;
    let precompiles = std::mem::replace(&mut inner.precompiles, PrecompilesMap::from_static(Precompiles::homestead()));
    Ok(EthEvm::new(inner.with_precompiles(Moved { precompiles, warm }), inspect))
}

/// Fails when precompiles cannot be moved like this.
pub(super) fn check_moves<DB, I>(evm: EthEvm<DB, I, PrecompilesMap>, moves: &Moves) -> Result<(), Failure>
where
    DB: alloy_evm::Database,
{
    move_precompiles(&mut evm.into_inner().precompiles, moves)
}

fn move_precompiles(precompiles: &mut PrecompilesMap, moves: &Moves) -> Result<(), Failure> {
    let mut moved = Vec::new();
    for (address, to) in moves {
        let mut found = None;
        if precompiles.get(address).is_some() {
            precompiles.apply_precompile(address, |precompile| {
                found = precompile;
                None
            });
        }
        match (found, to) {
            (_, None) => {}
            (None, Some(_)) => return Err(Failure::Execution(format!("account {address} is not a precompile"))),
            (Some(_), Some(to)) if to == address => {
                let message = format!("movePrecompileToAddress of {address} names the address itself");
                return Err(Failure::Coded { code: MOVED_TO_ITSELF_CODE, message });
            }
            (Some(_), Some(to)) if moves.contains_key(to) => {
                return Err(Failure::Execution(format!("account {to} is already overridden")));
            }
            (Some(precompile), Some(to)) => moved.push((*to, precompile)),
        }
    }
    precompiles.extend_precompiles(moved);
    Ok(())
}

/// Changes accounts in a state.
pub(super) fn apply<DB>(database: &mut DB, overrides: StateOverride) -> Result<(), Failure>
where
    DB: Database + DatabaseCommit,
    Failure: From<DB::Error>,
{
    apply_state_overrides(overrides, database).map_err(|error| match error {
        StateOverrideError::Database(error) => error.into(),
        other => Failure::Params(other.to_string()),
    })
}

/// The same overrides with every replaced storage as a list of changed slots, because the trie must forget each old
/// slot by name.
pub(super) fn as_changes(view: &StateView, mut overrides: StateOverride) -> Result<StateOverride, Failure> {
    for (address, account) in &mut overrides {
        if account.state_diff.is_some() {
            continue;
        }
        if let Some(state) = account.state.take() {
            account.state_diff = Some(changed_slots(view, *address, state)?);
        }
    }
    Ok(overrides)
}

fn changed_slots(view: &StateView, address: Address, state: B256Map<B256>) -> Result<B256Map<B256>, Failure> {
    let old = view.slots_up_to(address, REPLACED_SLOTS_MAX)?.ok_or_else(|| {
        Failure::Limit(format!("state of {address} replaces more than {REPLACED_SLOTS_MAX} slots; use stateDiff"))
    })?;
    let mut changed: B256Map<B256> = old.into_keys().map(|slot| (B256::from(slot), B256::ZERO)).collect();
    changed.extend(state);
    Ok(changed)
}

/// Refuses what contradicts itself before anything is run.
pub(super) fn check(overrides: &StateOverride) -> Result<(), Failure> {
    let both = |account: &AccountOverride| account.state.is_some() && account.state_diff.is_some();
    match overrides.iter().find(|(_, account)| both(account)) {
        Some((address, _)) => Err(Failure::Params(format!("account {address} has both 'state' and 'stateDiff'"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Address = Address::with_last_byte(1);
    const TWO: Address = Address::with_last_byte(2);
    const FAR: Address = Address::repeat_byte(0xfa);

    fn moved(moves: &[(Address, Option<Address>)]) -> Result<PrecompilesMap, Failure> {
        let mut map = PrecompilesMap::from_static(Precompiles::latest());
        move_precompiles(&mut map, &moves.iter().copied().collect()).map(|()| map)
    }

    #[test]
    fn a_moved_precompile_is_there_and_no_longer_here() {
        let map = moved(&[(ONE, Some(FAR))]).unwrap();
        assert!(map.get(&FAR).is_some() && map.get(&ONE).is_none() && map.get(&TWO).is_some());
        let map = moved(&[(ONE, Some(TWO))]).unwrap();
        assert!(map.get(&TWO).is_some() && map.get(&ONE).is_none());
    }

    #[test]
    fn an_override_of_a_precompile_removes_it() {
        assert!(moved(&[(ONE, None)]).unwrap().get(&ONE).is_none());
    }

    #[test]
    fn what_cannot_be_moved_is_refused() {
        assert!(matches!(moved(&[(FAR, Some(ONE))]), Err(Failure::Execution(_))));
        assert!(matches!(moved(&[(ONE, Some(TWO)), (TWO, None)]), Err(Failure::Execution(_))));
        assert!(matches!(moved(&[(ONE, Some(ONE))]), Err(Failure::Coded { code: MOVED_TO_ITSELF_CODE, .. })));
    }
}
