//! The system contracts of genesis, from the artifacts that `cargo xtask abi` builds out of `contracts/`.
//!
//! They know each other by the addresses of [`protocol::abi`], so no call has to introduce them.

use crate::Predeploy;
use alloy_primitives::{Address, B256, Bytes, hex};
use protocol::abi;

/// Name, address and artifact of every system contract, in the order of [`abi::CONTRACTS`].
const ARTIFACTS: [(&str, Address, &str); 13] = [
    ("WAKE", abi::WAKE, include_str!("../../../contracts/artifacts/WAKE.json")),
    ("AkeVotes", abi::AKE_VOTES, include_str!("../../../contracts/artifacts/AkeVotes.json")),
    ("StakeManager", abi::STAKE_MANAGER, include_str!("../../../contracts/artifacts/StakeManager.json")),
    ("ProviderRegistry", abi::PROVIDER_REGISTRY, include_str!("../../../contracts/artifacts/ProviderRegistry.json")),
    ("JobMarket", abi::JOB_MARKET, include_str!("../../../contracts/artifacts/JobMarket.json")),
    ("Escrow", abi::ESCROW, include_str!("../../../contracts/artifacts/Escrow.json")),
    ("Reputation", abi::REPUTATION, include_str!("../../../contracts/artifacts/Reputation.json")),
    ("SlashingCourt", abi::SLASHING_COURT, include_str!("../../../contracts/artifacts/SlashingCourt.json")),
    ("FeeVault", abi::FEE_VAULT, include_str!("../../../contracts/artifacts/FeeVault.json")),
    ("Randomness", abi::RANDOMNESS, include_str!("../../../contracts/artifacts/Randomness.json")),
    ("AccessManager", abi::ACCESS_MANAGER, include_str!("../../../contracts/artifacts/AccessManager.json")),
    ("RollupRegistry", abi::ROLLUP_REGISTRY, include_str!("../../../contracts/artifacts/RollupRegistry.json")),
    ("ValidatorRegistry", abi::VALIDATOR_REGISTRY, include_str!("../../../contracts/artifacts/ValidatorRegistry.json")),
];

/// Every system contract. `authority` becomes the administrator of the `AccessManager`: it alone may change parameters
/// and pay from the treasury, from the first block on whose genesis timestamp is not 0 (a role granted at time 0 counts
/// as never granted).
pub fn system_contracts(authority: Address) -> Vec<Predeploy> {
    ARTIFACTS
        .into_iter()
        .map(|(name, address, artifact)| {
            let mut code = creation_code(artifact);
            if address == abi::ACCESS_MANAGER {
                // The only constructor with an argument: `constructor(address initialAdmin)`.
                code.extend_from_slice(B256::left_padding_from(authority.as_slice()).as_slice());
            }
            Predeploy { name: name.into(), address, creation_code: Bytes::from(code), init_calls: Vec::new() }
        })
        .collect()
}

fn creation_code(artifact: &str) -> Vec<u8> {
    let json: serde_json::Value = serde_json::from_str(artifact).expect("a committed artifact is JSON");
    let text = json["bytecode"].as_str().expect("a committed artifact has its bytecode");
    hex::decode(text).expect("bytecode of an artifact is hex")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHORITY: Address = Address::repeat_byte(0x11);

    #[test]
    fn every_system_contract_is_deployed_at_its_address() {
        let deployed: Vec<(String, Address)> =
            system_contracts(AUTHORITY).into_iter().map(|p| (p.name, p.address)).collect();
        let promised: Vec<(String, Address)> = abi::CONTRACTS.iter().map(|(n, a)| ((*n).into(), *a)).collect();
        assert_eq!(deployed, promised);
    }

    #[test]
    fn artifacts_are_those_of_their_names() {
        for (name, _, artifact) in ARTIFACTS {
            let json: serde_json::Value = serde_json::from_str(artifact).unwrap();
            assert_eq!(json["contractName"], name);
        }
    }

    #[test]
    fn authority_is_the_argument_of_the_access_manager_alone() {
        let other = system_contracts(Address::repeat_byte(0x22));
        for (a, b) in system_contracts(AUTHORITY).into_iter().zip(other) {
            assert_eq!(a.creation_code == b.creation_code, a.address != abi::ACCESS_MANAGER, "{}", a.name);
        }
    }
}
