//! Putting the contracts on an L1, from the artifacts that are committed with their sources.
//!
//! The light client begins at a checkpoint that whoever deploys it trusts; everything else follows from that.

use crate::fees::FeeLimits;
use crate::http::HttpL1;
use crate::l1::{L1, L1Error, Receipt};
use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, TxKind, U64, U256};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall as _, SolEvent as _, SolValue as _};
use proof::checkpoint::{Checkpoint, Domain, Electorate, ValidatorSet, abi_checkpoint};
use protocol::abi::l1::IRollupInbox;
use serde_json::{Value, json};
use std::time::Duration;

const LIGHT_CLIENT: &str = include_str!("../../../contracts/artifacts/KumoLightClient.json");
const ROLLUP_INBOX: &str = include_str!("../../../contracts/artifacts/RollupInbox.json");
const STAKE_VAULT: &str = include_str!("../../../contracts/artifacts/StakeVault.json");
/// How often the L1 is asked whether the transaction is mined.
const RECEIPT_TRIES_MAX: u32 = 300;

/// Stake of the validators on the L1: what the constructor of `StakeVault` is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VaultTerms {
    /// ERC-20 that is staked.
    pub token: Address,
    /// Who gets what is slashed, less the reward.
    pub treasury: Address,
    /// Seconds until stake is free after it left; more than the two below.
    pub unbond_seconds: u64,
    /// Seconds that evidence may take.
    pub evidence_seconds: u64,
    /// Least deposit, in the token's smallest unit.
    pub deposit_min: u128,
    /// Part of the stake that an offence costs, in ten thousandths.
    pub slash_bps: u16,
    /// Part of that for the reporter, in ten thousandths.
    pub reward_bps: u16,
}

/// A contract that was put on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deployed {
    /// Where.
    pub address: Address,
    /// Hash of the transaction.
    pub transaction: B256,
    /// Gas it used.
    pub gas: u64,
}

/// Why nothing was deployed.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The L1 does not answer, or refuses.
    #[error(transparent)]
    L1(#[from] L1Error),
    /// A committed artifact is damaged.
    #[error("the artifact of {0} has no bytecode")]
    Artifact(&'static str),
    /// The L1 is another chain.
    #[error("the L1 has chain id {found}, {expected} was named")]
    OtherChain {
        /// What it says.
        found: u64,
        /// What was named.
        expected: u64,
    },
    /// The L1 is dearer than allowed.
    #[error("the base fee of {base} wei per gas is above the limit of {max}")]
    TooDear {
        /// Base fee, in wei per gas.
        base: u128,
        /// Limit, in wei per gas.
        max: u128,
    },
    /// The constructor or the call reverted.
    #[error("transaction {0} reverted")]
    Reverted(B256),
    /// What an inbox says of a registration.
    #[error("transaction {0} registered nothing")]
    NotRegistered(B256),
    /// Nobody mined it.
    #[error("transaction {0} is not mined yet: look for it before you deploy again")]
    NotMined(B256),
}

/// What creates a light client of the network `domain` that begins at `trusted`, and takes nothing after `trust_seconds` without
/// anything new.
///
/// # Errors
/// When the artifact is damaged.
pub fn light_client(
    domain: &Domain,
    trust_seconds: u64,
    trusted: &Checkpoint,
    electorate: &Electorate,
) -> Result<Bytes, DeployError> {
    let sets: Vec<B256> = electorate.sets().iter().map(ValidatorSet::root).collect();
    let arguments = (domain.chain_id, domain.genesis, trust_seconds, abi_checkpoint(trusted), sets);
    code("KumoLightClient", LIGHT_CLIENT, &arguments.abi_encode_params())
}

/// What creates a vault that believes the light client at `client`.
///
/// # Errors
/// When the artifact is damaged.
pub fn vault(client: Address, terms: &VaultTerms) -> Result<Bytes, DeployError> {
    let times = (terms.unbond_seconds, terms.evidence_seconds, U256::from(terms.deposit_min));
    let fixed = (times.0, times.1, times.2, terms.slash_bps, terms.reward_bps, terms.treasury);
    code("StakeVault", STAKE_VAULT, &(terms.token, client, fixed).abi_encode_params())
}

/// What creates an inbox of rollups that believes the light client at `client`.
///
/// # Errors
/// When the artifact is damaged.
pub fn inbox(client: Address) -> Result<Bytes, DeployError> {
    code("RollupInbox", ROLLUP_INBOX, &(client,).abi_encode_params())
}

/// Begins an inbox for a namespace, in the contract at `inbox`; its id, and the transaction.
///
/// # Errors
/// As [`create`], and when the contract refuses.
pub async fn register(
    sender: &Sender<'_>,
    inbox: Address,
    call: IRollupInbox::registerCall,
) -> Result<(U256, Deployed), DeployError> {
    let done = sender.transact(TxKind::Call(inbox), call.abi_encode().into()).await?;
    let receipt = sender.l1.request("eth_getTransactionReceipt", json!([done.transaction])).await?;
    let signature = IRollupInbox::Registered::SIGNATURE_HASH;
    let id = receipt["logs"].as_array().into_iter().flatten().find_map(|log| {
        let topics: Vec<B256> = serde_json::from_value(log["topics"].clone()).ok()?;
        (topics.first() == Some(&signature)).then(|| topics.get(1).copied()).flatten()
    });
    let id = id.ok_or(DeployError::NotRegistered(done.transaction))?;
    Ok((id.into(), done))
}

/// Creates a contract on the chain `chain_id` and waits until it is there, looking every `poll`.
///
/// # Errors
/// When the L1 refuses, is too dear, or does not mine it in time.
pub async fn create(
    l1: &HttpL1,
    chain_id: u64,
    signer: &PrivateKeySigner,
    fees: FeeLimits,
    code: Bytes,
    poll: Duration,
) -> Result<Deployed, DeployError> {
    Sender { l1, chain_id, signer, fees, poll }.transact(TxKind::Create, code).await
}

/// Who sends single transactions, to which chain, and what they may cost.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// A node of the L1.
    pub l1: &'a HttpL1,
    /// The chain that it must be of.
    pub chain_id: u64,
    /// Who pays.
    pub signer: &'a PrivateKeySigner,
    /// Prices.
    pub fees: FeeLimits,
    /// How often the L1 is asked whether the transaction is mined.
    pub poll: Duration,
}

impl Sender<'_> {
    /// Sends one transaction and waits until it is mined; the address is that of the contract that it creates or calls.
    ///
    /// # Errors
    /// When the L1 refuses, is too dear, or does not mine it in time.
    pub async fn transact(&self, to: TxKind, input: Bytes) -> Result<Deployed, DeployError> {
        let Self { l1, chain_id, signer, fees, poll } = *self;
        let found = l1.chain_id().await?;
        if found != chain_id {
            return Err(DeployError::OtherChain { found, expected: chain_id });
        }
        let base = l1.base_fee().await?;
        let offered = fees.first(base).ok_or(DeployError::TooDear { base, max: fees.max })?;
        let nonce = l1.nonce(signer.address(), None).await?;
        let mut asked = json!({ "from": signer.address(), "data": &input });
        if let TxKind::Call(contract) = to {
            asked["to"] = json!(contract);
        }
        let needed = l1.request("eth_estimateGas", json!([asked])).await?;
        let malformed = |error: serde_json::Error| L1Error::Unreachable { what: "gas", reason: error.to_string() };
        let needed: u64 = serde_json::from_value::<U64>(needed).map_err(malformed)?.to();
        let transaction = TxEip1559 {
            chain_id,
            nonce,
            gas_limit: needed.saturating_add(needed / 10),
            max_fee_per_gas: offered.max,
            max_priority_fee_per_gas: offered.tip,
            to,
            value: U256::ZERO,
            access_list: Default::default(),
            input,
        };
        let signature = signer.sign_hash_sync(&transaction.signature_hash());
        let signature = signature.map_err(|error| L1Error::Refused(format!("cannot sign: {error}")))?;
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        let hash = *envelope.tx_hash();
        match l1.send(&envelope.encoded_2718().into()).await {
            Ok(()) | Err(L1Error::Known) => {}
            Err(error) => return Err(error.into()),
        }
        let Receipt { is_success, gas, .. } = mined(l1, hash, poll).await?;
        let address = match to {
            TxKind::Create => signer.address().create(nonce),
            TxKind::Call(contract) => contract,
        };
        match is_success {
            true => Ok(Deployed { address, transaction: hash, gas }),
            false => Err(DeployError::Reverted(hash)),
        }
    }
}

async fn mined(l1: &HttpL1, hash: B256, poll: Duration) -> Result<Receipt, DeployError> {
    for _ in 0..RECEIPT_TRIES_MAX {
        // Nodes lose connections; the transaction is on its way all the same.
        if let Ok(Some(receipt)) = l1.receipt(hash).await {
            return Ok(receipt);
        }
        tokio::time::sleep(poll).await;
    }
    Err(DeployError::NotMined(hash))
}

fn code(name: &'static str, artifact: &str, arguments: &[u8]) -> Result<Bytes, DeployError> {
    let fail = || DeployError::Artifact(name);
    let artifact: Value = serde_json::from_str(artifact).map_err(|_| fail())?;
    let code: Bytes = artifact["bytecode"].as_str().and_then(|text| text.parse().ok()).ok_or_else(fail)?;
    Ok([&code[..], arguments].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{DOMAIN, Network};

    #[test]
    fn the_artifacts_have_code_and_arguments_follow_it() {
        let network = Network::new(0);
        let short = light_client(&DOMAIN, 1, &network.at(0), &network.members()).unwrap();
        let long = light_client(&DOMAIN, 2, &network.at(0), &network.members()).unwrap();
        assert_eq!(short.len(), long.len());
        assert_ne!(short, long, "the terms are part of it");
        assert!(short.len() > 4_096, "{}", short.len());
        let terms = VaultTerms {
            token: Address::repeat_byte(1),
            treasury: Address::repeat_byte(2),
            unbond_seconds: 3,
            evidence_seconds: 2,
            deposit_min: 1,
            slash_bps: 5_000,
            reward_bps: 1_000,
        };
        let vault = vault(Address::repeat_byte(3), &terms).unwrap();
        assert!(vault.ends_with(&[[0; 12].as_slice(), &[2; 20]].concat()), "the treasury is the last argument");
    }
}
