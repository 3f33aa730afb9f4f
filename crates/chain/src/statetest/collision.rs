//! Creation on top of an account that holds storage only must fail (EIP-7610).
//!
//! No such account can come into being since EIP-161, and the EVM does not look for one; only tests have them. While a
//! contract is created at one, it is given a nonce, which the EVM takes for a collision, and loses it again.

use alloy_evm::{Database, eth::EthEvmContext};
use alloy_primitives::{Address, map::HashSet};
use revm::{
    context_interface::JournalTr,
    inspector::Inspector,
    interpreter::{CreateInputs, CreateOutcome},
};

/// Lets creations at some addresses collide.
pub(super) struct StorageCollision<'a> {
    accounts: &'a HashSet<Address>,
    /// The creations that run: whether each was made to collide, and where.
    creations: Vec<Option<Address>>,
}

impl<'a> StorageCollision<'a> {
    pub(super) fn new(accounts: &'a HashSet<Address>) -> Self {
        Self { accounts, creations: Vec::new() }
    }
}

impl<DB: Database> Inspector<EthEvmContext<DB>> for StorageCollision<'_> {
    fn create(&mut self, context: &mut EthEvmContext<DB>, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        let journal = &mut context.journaled_state;
        // A database that fails is noticed when the EVM asks it the same.
        let nonce = journal.load_account(inputs.caller()).map(|caller| caller.data.info.nonce).unwrap_or_default();
        let address = inputs.created_address(nonce);
        let fresh = self.accounts.contains(&address)
            && journal.load_account(address).is_ok_and(|account| account.data.info.nonce == 0);
        if fresh && let Some(account) = journal.inner.state.get_mut(&address) {
            account.info.nonce = 1;
        }
        self.creations.push(fresh.then_some(address));
        None
    }

    fn create_end(&mut self, context: &mut EthEvmContext<DB>, _: &CreateInputs, _: &mut CreateOutcome) {
        if let Some(address) = self.creations.pop().flatten()
            && let Some(account) = context.journaled_state.inner.state.get_mut(&address)
        {
            account.info.nonce = 0;
        }
    }
}
