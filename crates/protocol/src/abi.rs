//! The system contracts: interfaces, and the addresses at which genesis puts them.
//!
//! Bindings are generated at compile time from the import-free interface files in `contracts/src/interfaces`, so the
//! Rust side cannot drift from the Solidity side.

use alloy_primitives::{Address, B256, address, keccak256};
use alloy_sol_types::SolValue;

#[allow(missing_docs, clippy::too_many_arguments)]
mod bindings {
    use alloy_sol_types::sol;
    sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "../../contracts/src/interfaces/ICertificateVerifier.sol");
    sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "../../contracts/src/interfaces/IEscrow.sol");
    sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "../../contracts/src/interfaces/IFeeVault.sol");
    sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "../../contracts/src/interfaces/IJobMarket.sol");
    sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "../../contracts/src/interfaces/INativeMinter.sol");
    sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "../../contracts/src/interfaces/IProviderRegistry.sol");
    sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "../../contracts/src/interfaces/IRandomness.sol");
    sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "../../contracts/src/interfaces/IReputation.sol");
    sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "../../contracts/src/interfaces/IRollupRegistry.sol");
    sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "../../contracts/src/interfaces/ISlashingCourt.sol");
    sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "../../contracts/src/interfaces/IStakeManager.sol");
    sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "../../contracts/src/interfaces/IStorageProofs.sol");
    sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "../../contracts/src/interfaces/IValidatorRegistry.sol");
    sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "../../contracts/src/interfaces/IWAKE.sol");
}
pub use bindings::{
    ICertificateVerifier, IEscrow, IFeeVault, IJobMarket, INativeMinter, IProviderRegistry, IRandomness, IReputation,
    IRollupRegistry, ISlashingCourt, IStakeManager, IStorageProofs, IValidatorRegistry, IWAKE,
};

/// What is deployed on another chain: the light client of a network, and the stake of its validators.
#[allow(missing_docs, clippy::too_many_arguments)]
pub mod l1 {
    use alloy_sol_types::sol;
    sol!(#![sol(extra_derives(Debug, PartialEq, Eq))] "../../contracts/src/interfaces/IKumoL1.sol");
}

/// ERC-20 face of the coin.
pub const WAKE: Address = address!("0x0000000000000000000000000000000000A4E001");
/// The one source of voting units: wrapped plus staked.
pub const AKE_VOTES: Address = address!("0x0000000000000000000000000000000000A4E002");
/// Stake of providers, auditors and validators.
pub const STAKE_MANAGER: Address = address!("0x0000000000000000000000000000000000A4E003");
/// Who offers compute and storage.
pub const PROVIDER_REGISTRY: Address = address!("0x0000000000000000000000000000000000A4E004");
/// Jobs, bids, tasks, receipts.
pub const JOB_MARKET: Address = address!("0x0000000000000000000000000000000000A4E005");
/// Money of open jobs.
pub const ESCROW: Address = address!("0x0000000000000000000000000000000000A4E006");
/// Beta evidence per provider.
pub const REPUTATION: Address = address!("0x0000000000000000000000000000000000A4E007");
/// Audit by re-execution.
pub const SLASHING_COURT: Address = address!("0x0000000000000000000000000000000000A4E008");
/// Fee split: burn, treasury, stakers.
pub const FEE_VAULT: Address = address!("0x0000000000000000000000000000000000A4E009");
/// Randomness of recent blocks.
pub const RANDOMNESS: Address = address!("0x0000000000000000000000000000000000A4E00b");
/// OpenZeppelin `AccessManager`: who may change parameters.
pub const ACCESS_MANAGER: Address = address!("0x0000000000000000000000000000000000A4E00c");
/// Reserved for the contract that emits coin to those who secure the network; may mint where genesis says so.
pub const EMISSION_CONTROLLER: Address = address!("0x0000000000000000000000000000000000A4E00d");
/// Reserved for the contract that brings coin over from other chains; may mint where genesis says so.
pub const BRIDGE_GATEWAY: Address = address!("0x0000000000000000000000000000000000A4E00e");
/// Who owns a namespace, by which rules it is ordered, and what it owes.
pub const ROLLUP_REGISTRY: Address = address!("0x0000000000000000000000000000000000A4E00f");
/// Validators, and the stake behind each.
pub const VALIDATOR_REGISTRY: Address = address!("0x0000000000000000000000000000000000A4E010");
/// Precompile that makes coin ([`INativeMinter`]).
pub const NATIVE_MINTER: Address = address!("0x0000000000000000000000000000000000A4E100");
/// Precompile that verifies finality certificates ([`ICertificateVerifier`]).
pub const CERTIFICATE_VERIFIER: Address = address!("0x0000000000000000000000000000000000A4E101");
/// Precompile that verifies proofs of possession ([`IStorageProofs`]).
pub const STORAGE_PROOFS: Address = address!("0x0000000000000000000000000000000000A4E102");
/// Where burned coin goes; nobody has its key, and `kumo_supply` counts it as burned.
pub const BURN: Address = address!("0x000000000000000000000000000000000000dEaD");

/// Name and address of every predeploy, as printed in the network file.
pub const CONTRACTS: [(&str, Address); 13] = [
    ("WAKE", WAKE),
    ("AkeVotes", AKE_VOTES),
    ("StakeManager", STAKE_MANAGER),
    ("ProviderRegistry", PROVIDER_REGISTRY),
    ("JobMarket", JOB_MARKET),
    ("Escrow", ESCROW),
    ("Reputation", REPUTATION),
    ("SlashingCourt", SLASHING_COURT),
    ("FeeVault", FEE_VAULT),
    ("Randomness", RANDOMNESS),
    ("AccessManager", ACCESS_MANAGER),
    ("RollupRegistry", ROLLUP_REGISTRY),
    ("ValidatorRegistry", VALIDATOR_REGISTRY),
];

/// Name and address of every precompile that is not a predeploy as well; the network file names them, too.
pub const PRECOMPILES: [(&str, Address); 3] =
    [("NativeMinter", NATIVE_MINTER), ("CertificateVerifier", CERTIFICATE_VERIFIER), ("StorageProofs", STORAGE_PROOFS)];

/// Role bit of a compute provider in `IProviderRegistry.Profile.roles` is `1 << ROLE_COMPUTE`.
pub const ROLE_COMPUTE: u8 = 0;
/// Role bit of a storage node in `IProviderRegistry.Profile.roles` is `1 << ROLE_STORAGE`.
pub const ROLE_STORAGE: u8 = 1;

/// What a provider or auditor commits to: `keccak256(abi.encode(root, account, jobId, task))`.
///
/// The account in the hash makes a copied commitment worthless, and the root stays secret until an auditor shows it.
pub fn commitment(root: B256, account: Address, job_id: u64, task: u32) -> B256 {
    let id = alloy_primitives::U256::from(job_id);
    keccak256((root, account, id, alloy_primitives::U256::from(task)).abi_encode())
}

/// EIP-712 domain of receipts on chain `chain_id`.
pub fn receipt_domain(chain_id: u64) -> alloy_sol_types::Eip712Domain {
    alloy_sol_types::eip712_domain! {
        name: "Kumo JobMarket",
        version: "1",
        chain_id: chain_id,
        verifying_contract: JOB_MARKET,
    }
}
