//! The frame of an Ethereum block: what the protocol does before and after its transactions, by fork.

use super::{BlockState, Execution, Progress, changes, credit, database_error};
use crate::{
    ChainError,
    ethereum::{Ethereum, requests},
    state::{Overlay, StateView},
};
use alloy_consensus::Header;
use alloy_eips::{
    eip2935, eip4788, eip4895::Withdrawals, eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
};
use alloy_evm::Evm;
use alloy_primitives::{Address, B256, Bytes};
use revm::{database::DatabaseCommitExt, primitives::hardfork::SpecId};

impl Execution {
    /// Names what the body of the block holds beside transactions; both have an effect at its end.
    pub(crate) fn with_body(mut self, ommers: Vec<Header>, withdrawals: Withdrawals) -> Self {
        (self.ommers, self.withdrawals) = (ommers, withdrawals);
        self
    }

    /// The DAO's coin moves, and the contracts of EIP-4788 and EIP-2935 hear of the parent.
    pub(super) fn prepare_imported(&mut self, ethereum: &Ethereum) -> Result<(), ChainError> {
        if let Some((accounts, beneficiary)) = ethereum.drained(&self.header) {
            drain(self.evm.db_mut(), accounts, beneficiary)?;
        }
        if ethereum.is_active(SpecId::CANCUN, &self.header) {
            let root = self.header.parent_beacon_block_root.unwrap_or_default();
            self.notify(eip4788::BEACON_ROOTS_ADDRESS, root)?;
        }
        if ethereum.is_active(SpecId::PRAGUE, &self.header) {
            self.notify(eip2935::HISTORY_STORAGE_ADDRESS, self.header.parent_hash)?;
        }
        Ok(())
    }

    /// Requests, rewards and withdrawals.
    pub(super) fn conclude_imported(&mut self, ethereum: &Ethereum) -> Result<(), ChainError> {
        if ethereum.is_active(SpecId::PRAGUE, &self.header) {
            let deposits = ethereum.deposits(&self.receipts).map_err(ChainError::Deposits)?;
            let withdrawals = self.call(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, Bytes::new())?;
            let consolidations = self.call(CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, Bytes::new())?;
            let requests = requests(deposits, withdrawals, consolidations);
            self.header.requests_hash = Some(requests.requests_hash());
            self.requests = requests;
        }
        for (address, amount) in ethereum.credits(&self.header, &self.ommers, &self.withdrawals) {
            self.evm.db_mut().increment_balances([(address, amount)]).map_err(database_error)?;
        }
        Ok(())
    }

    /// The state after the transactions so far, without the end of a block.
    pub(crate) fn into_state(mut self) -> Result<Overlay, ChainError> {
        let changes = changes(self.evm.db_mut());
        match self.progress.take() {
            Some(progress) => progress.finish(changes),
            None => changes.apply(&self.parent),
        }
    }

    /// A call whose failure is no failure of the block, as EIP-4788 and EIP-2935 say.
    fn notify(&mut self, contract: Address, word: B256) -> Result<(), ChainError> {
        match self.call(contract, word.0.into()) {
            Ok(_) => Ok(()),
            Err(ChainError::SystemCall { contract, reason }) => {
                tracing::debug!(%contract, reason, "system call failed");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Moves the balances of accounts to one.
fn drain(state: &mut BlockState, accounts: &[Address], beneficiary: Address) -> Result<(), ChainError> {
    let balances = state.drain_balances(accounts.iter().copied()).map_err(database_error)?;
    for balance in balances {
        credit(state, beneficiary, alloy_primitives::U256::from(balance))?;
    }
    Ok(())
}

impl Progress {
    /// Whether receipts of this block name state roots (before EIP-658), and the tries are there to compute them.
    pub(super) fn wanted(rules: &super::Rules, header: &Header, parent: &StateView) -> Option<Self> {
        let ethereum = rules.ethereum.as_ref()?;
        let wanted = !ethereum.is_active(SpecId::BYZANTIUM, header) && parent.has_tries();
        wanted.then(|| Self::new(parent.clone(), header.number))
    }
}
