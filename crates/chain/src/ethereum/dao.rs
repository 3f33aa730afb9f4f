//! The irregular state change of the DAO fork.
//!
//! Where a chain supports it, the coin of 116 accounts moves to one before the first transaction of the fork block, and
//! that block and the nine after it carry a fixed text. Source: EIP-779.

use super::Ethereum;
use alloy_consensus::Header;
use alloy_evm::eth::dao_fork::{DAO_HARDFORK_ACCOUNTS, DAO_HARDFORK_BENEFICIARY};
use alloy_primitives::Address;

/// `extraData` of the first blocks after the fork.
pub(super) const EXTRA_DATA: &[u8] = b"dao-hard-fork";
/// Blocks that carry it.
const EXTRA_BLOCKS: u64 = 10;

impl Ethereum {
    /// The accounts to empty before the transactions of a block, and who receives what they had.
    pub(crate) fn drained(&self, header: &Header) -> Option<(&'static [Address], Address)> {
        let config = self.config();
        let forks = config.dao_fork_support && config.dao_fork_block == Some(header.number);
        forks.then_some((&DAO_HARDFORK_ACCOUNTS[..], DAO_HARDFORK_BENEFICIARY))
    }

    /// Whether a block must carry [`EXTRA_DATA`].
    pub(super) fn is_marked(&self, number: u64) -> bool {
        let config = self.config();
        config.dao_fork_support
            && config.dao_fork_block.is_some_and(|from| (from..from.saturating_add(EXTRA_BLOCKS)).contains(&number))
    }
}
