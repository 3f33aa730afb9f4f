//! Count the coin: nothing is ever created or destroyed after genesis.

use crate::{Chain, ChainError};
use alloy_primitives::U256;
use protocol::abi::BURN;

/// The supply of the native coin after the newest block, in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supply {
    /// Height of that block.
    pub block: u64,
    /// Sum of all balances at genesis.
    pub genesis: U256,
    /// Sum of all balances now; equal to `genesis`.
    pub total: U256,
    /// Balance of the burn address, which nobody can spend.
    pub burned: U256,
    /// `total - burned`.
    pub circulating: U256,
}

impl Chain {
    /// Adds up every account, which takes time in proportion to their number.
    ///
    /// Fails when the sum is not the genesis supply: a broken invariant of this chain.
    pub fn supply(&self) -> Result<Supply, ChainError> {
        let snapshot = self.snapshot();
        let genesis = self.genesis_supply();
        let mut total = U256::ZERO;
        for entry in snapshot.accounts()? {
            let (_, account) = entry?;
            total = total.checked_add(account.balance).ok_or(ChainError::SupplyBroken { genesis, total: U256::MAX })?;
        }
        if total != genesis {
            return Err(ChainError::SupplyBroken { genesis, total });
        }
        let burned = snapshot.account(BURN)?.map(|account| account.balance).unwrap_or_default();
        Ok(Supply { block: snapshot.head_number()?, genesis, total, burned, circulating: total - burned })
    }
}
