//! Count the coin: what the minter did not make after genesis does not exist, and nothing is destroyed.

use crate::{Chain, ChainError, StateView, precompiles::minter, state::Overlay};
use alloy_primitives::U256;
use alloy_trie::TrieAccount;
use protocol::abi::BURN;

/// The supply of the native coin after the newest block, in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supply {
    /// Height of that block.
    pub block: u64,
    /// Sum of all balances at genesis.
    pub genesis: U256,
    /// What was minted since.
    pub minted: U256,
    /// Sum of all balances: `genesis + minted`.
    pub total: U256,
    /// Balance of the burn address, which nobody can spend.
    pub burned: U256,
    /// `total - burned`.
    pub circulating: U256,
}

impl Chain {
    /// The supply by the counter of the minter: every block was checked to change the balances by what it minted, so
    /// nothing is added up here. [`Chain::verify_supply`] does. Fails for an imported chain, which has no such counter.
    pub fn supply(&self) -> Result<Supply, ChainError> {
        let state = self.state(self.head().number())?;
        let (genesis, minted) = (self.genesis_supply()?, minter::minted(&state)?);
        let (total, burned) = (genesis.saturating_add(minted), state.balance(BURN)?);
        let circulating = total.saturating_sub(burned);
        Ok(Supply { block: state.number(), genesis, minted, total, burned, circulating })
    }

    /// Adds up every account, which takes time in proportion to their number.
    ///
    /// Fails when the sum is not what genesis and the minter made: a broken invariant of this chain.
    pub fn verify_supply(&self) -> Result<Supply, ChainError> {
        let (head, snapshot, codes) = self.parts();
        let state = StateView::latest(snapshot.clone(), codes, head.number());
        let (genesis, minted) = (self.genesis_supply()?, minter::minted(&state)?);
        let expected = genesis.saturating_add(minted);
        let mut total = U256::ZERO;
        for entry in snapshot.accounts()? {
            let (_, account) = entry?;
            total =
                total.checked_add(account.balance).ok_or(ChainError::SupplyBroken { expected, total: U256::MAX })?;
        }
        if total != expected {
            return Err(ChainError::SupplyBroken { expected, total });
        }
        let burned = state.balance(BURN)?;
        Ok(Supply { block: head.number(), genesis, minted, total, burned, circulating: total - burned })
    }
}

/// Checks that a block changes the sum of all balances by exactly what it mints.
pub(crate) fn check_balances(number: u64, overlay: &Overlay) -> Result<(), ChainError> {
    let minted = minter::minted_by_block(overlay);
    let before = sum(overlay.accounts.values().map(|change| change.old));
    let after = sum(overlay.accounts.values().map(|change| change.new));
    match (before, after) {
        (Some(before), Some(after)) if before.checked_add(minted) == Some(after) => Ok(()),
        (before, after) => {
            let (before, after) = (before.unwrap_or(U256::MAX), after.unwrap_or(U256::MAX));
            Err(ChainError::SupplyChanged { number, before, after, minted })
        }
    }
}

fn sum(accounts: impl Iterator<Item = Option<TrieAccount>>) -> Option<U256> {
    accounts.flatten().try_fold(U256::ZERO, |sum, account| sum.checked_add(account.balance))
}

#[cfg(test)]
mod tests;
