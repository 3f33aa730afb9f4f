//! What surrounds the transactions of an Ethereum block: rewards, withdrawals, requests.
//!
//! Sources: yellow paper section 11.3 (rewards), EIP-649, EIP-1234 (less of them), EIP-4895 (withdrawals), EIP-7685 with
//! EIP-6110, EIP-7002 and EIP-7251 (requests).

use super::Ethereum;
use alloy_consensus::{Header, ReceiptEnvelope, TxEnvelope, constants::ETH_TO_WEI};
use alloy_eips::{
    eip4895::Withdrawals,
    eip6110::{DEPOSIT_REQUEST_TYPE, MAINNET_DEPOSIT_CONTRACT_ADDRESS},
    eip7002::WITHDRAWAL_REQUEST_TYPE,
    eip7251::CONSOLIDATION_REQUEST_TYPE,
    eip7685::Requests,
};
use alloy_evm::{
    block::calc::{block_reward, ommer_reward},
    eth::eip6110::accumulate_deposits_from_logs,
};
use alloy_primitives::{Address, Bytes};
use revm::primitives::hardfork::SpecId;

/// The parts of a block beside its header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Body {
    /// In order of execution.
    pub transactions: Vec<TxEnvelope>,
    /// Headers of blocks that lost the race; always empty since Paris.
    pub ommers: Vec<Header>,
    /// Coin that leaves the beacon chain; `None` before Shanghai.
    pub withdrawals: Option<Withdrawals>,
}

impl Ethereum {
    /// What the block itself pays, in wei: rewards for work, then withdrawals.
    pub(crate) fn credits(
        &self,
        header: &Header,
        ommers: &[Header],
        withdrawals: &Withdrawals,
    ) -> Vec<(Address, u128)> {
        let mut credits = self.rewards(header, ommers);
        credits.extend(withdrawals.iter().map(|paid| (paid.address, paid.amount_wei().to::<u128>())));
        credits
    }

    /// Rewards for work, in wei: of the miner of each ommer, then of the miner of the block; none since Paris.
    pub(crate) fn rewards(&self, header: &Header, ommers: &[Header]) -> Vec<(Address, u128)> {
        if header.number == 0 || self.is_merged(header) {
            return Vec::new();
        }
        let base = self.base_reward(header);
        let ommer = |ommer: &Header| (ommer.beneficiary, ommer_reward(base, header.number, ommer.number));
        let mut rewards: Vec<_> = ommers.iter().map(ommer).collect();
        rewards.push((header.beneficiary, block_reward(base, ommers.len())));
        rewards
    }

    fn base_reward(&self, header: &Header) -> u128 {
        let ether = match self.spec(header) {
            spec if spec.is_enabled_in(SpecId::PETERSBURG) => 2,
            spec if spec.is_enabled_in(SpecId::BYZANTIUM) => 3,
            _ => 5,
        };
        ether * ETH_TO_WEI
    }

    /// The deposits that the receipts of a block announce (EIP-6110). Fails when the contract's logs are malformed.
    pub(crate) fn deposits(&self, receipts: &[ReceiptEnvelope]) -> Result<Vec<u8>, String> {
        let contract = self.config().deposit_contract_address.unwrap_or(MAINNET_DEPOSIT_CONTRACT_ADDRESS);
        let logs = receipts.iter().flat_map(|receipt| receipt.logs());
        let mut deposits = Vec::new();
        accumulate_deposits_from_logs(contract, logs, &mut deposits).map_err(|error| error.to_string())?;
        Ok(deposits)
    }
}

/// The requests of a block in order of their kind; empty ones are left out (EIP-7685).
pub(crate) fn requests(deposits: Vec<u8>, withdrawals: Bytes, consolidations: Bytes) -> Requests {
    let mut requests = Requests::default();
    for (kind, data) in [
        (DEPOSIT_REQUEST_TYPE, Bytes::from(deposits)),
        (WITHDRAWAL_REQUEST_TYPE, withdrawals),
        (CONSOLIDATION_REQUEST_TYPE, consolidations),
    ] {
        if !data.is_empty() {
            requests.push_request_with_type(kind, data);
        }
    }
    requests
}
