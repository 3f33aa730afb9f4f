//! The contracts that slash, and whether they take what a run has proven.
//!
//! One chain in memory stands for both: for an L1 with `KumoLightClient` and `StakeVault`, and for the Kumo chain with
//! `ValidatorRegistry`. The light client begins at the genesis of the run and is told every justified link, as a bridge would. Then
//! the vault must take each proof against a voter; and blocks whose headers name whom blocks of the run convicted must leave exactly
//! those without stake.

use crate::keyring;
use crate::world::temporary;
use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, U256, address, keccak256};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolValue as _};
use chain::predeploys::system_contracts;
use chain::{BlockAttributes, Chain, ChainConfig, GenesisSpec, Predeploy};
use proof::checkpoint::{
    Checkpoint, Domain, Electorate, Evidence, Follower, ValidatorSet, VoteKey, abi_checkpoint, abi_key, abi_signature,
    abi_slash, abi_witness,
};
use protocol::abi::l1::{self, IKumoLightClient, IStakeVault};
use protocol::abi::{self, IValidatorRegistry, IWAKE, VALIDATOR_REGISTRY, WAKE};
use sequencer::Offender;
use sequencer::finality::Link;
use std::collections::BTreeMap;

const LIGHT_CLIENT: &str = include_str!("../../../contracts/artifacts/KumoLightClient.json");
const STAKE_VAULT: &str = include_str!("../../../contracts/artifacts/StakeVault.json");
const CLIENT: Address = address!("0x00000000000000000000000000000000000011c1");
const VAULT: Address = address!("0x00000000000000000000000000000000000011c2");
const TREASURY: Address = address!("0x00000000000000000000000000000000000011c3");

const DAY_SECONDS: u64 = 86_400;
/// Longer than any run.
const TRUST_SECONDS: u64 = 30 * DAY_SECONDS;
/// Wei behind each key, here and there.
const STAKE: u128 = 1_000_000_000_000_000_000_000;
/// Wei of the account that deposits, for stake and gas.
const FUNDS: u128 = 1_000_000 * STAKE;
const GAS_BLOCK: u64 = 1_000_000_000;
const GAS_TRANSACTION: u64 = 8_000_000;
const FEE_WEI_PER_GAS: u128 = 10_000_000_000;
/// Memory of the chain's store.
const CACHE_BYTES: usize = 4 << 20;

/// What a run has proven.
pub(crate) struct Case<'a> {
    /// What votes are bound to.
    pub domain: Domain,
    /// The checkpoint of genesis, and who votes after it.
    pub trusted: (Checkpoint, Electorate),
    /// How many validators there are; all have stake.
    pub validators: usize,
    /// Links in the order of their targets.
    pub links: &'a [Link],
    /// Evidence of votes.
    pub proofs: &'a [Evidence],
    /// Whom each block convicts that convicts anybody, in order.
    pub convictions: &'a [Vec<Offender>],
}

/// What the contracts have taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// Links.
    pub links: u64,
    /// Proofs against voters.
    pub proofs: u64,
    /// Validators that lost their stake on the chain.
    pub convicted: u64,
}

/// The chain, and the block that is built upon.
struct Court {
    chain: Chain,
    last: B256,
    seconds: u64,
    depositor: PrivateKeySigner,
    nonce: u64,
    _directory: tempfile::TempDir,
}

/// Has the contracts judge a run; the reason is that of the first refusal.
pub(crate) fn judge(case: &Case<'_>) -> Result<Judgement, String> {
    let mut court = Court::open(case)?;
    let mut calls = court.deposits(case)?;
    let (links, electorates) = advances(case)?;
    let count = links.len() as u64;
    calls.extend(links.into_iter().map(|(name, call)| (name, CLIENT, call.abi_encode(), 0)));
    court.execute(calls)?;
    let known = |root: &B256| electorates.get(root);
    for evidence in case.proofs {
        let call = abi_slash(evidence, known).map_err(|error| format!("{evidence:?}: {error}"))?;
        court.ask(VAULT, call).map_err(|reason| format!("the vault refuses {evidence:?}: {reason}"))?;
    }
    let convicted = court.convict(case)?;
    Ok(Judgement { links: count, proofs: case.proofs.len() as u64, convicted })
}

/// The calls that tell the light client every justified link, and the electorates that they name, by root.
#[allow(clippy::type_complexity)]
fn advances(
    case: &Case<'_>,
) -> Result<(Vec<(String, IKumoLightClient::advanceCall)>, BTreeMap<B256, Electorate>), String> {
    let (trusted, origin) = &case.trusted;
    let mut follower = Follower::new(trusted, origin.clone()).map_err(|error| error.to_string())?;
    let mut checkpoints = BTreeMap::from([(trusted.root(), *trusted)]);
    let mut electorates = BTreeMap::from([(origin.root(), origin.clone())]);
    let (mut known, mut calls) = (origin, Vec::new());
    for link in case.links.iter().filter(|link| link.is_justified()) {
        let vote = &link.certificate.vote;
        let name = format!("link {}→{}", vote.source.epoch, vote.target.epoch);
        let refused = |reason: String| format!("{name}: {reason}");
        let source = checkpoints.get(&vote.source.root).ok_or_else(|| refused("its source is unknown".into()))?;
        let applied = follower.apply(&case.domain, &link.certificate, &link.target, &link.electorate);
        let finalised = applied.map_err(|error| refused(error.to_string()))?;
        let mut witness =
            abi_witness(&link.electorate, &link.certificate.signers, &link.certificate.signature, known.sets())
                .map_err(|error| refused(error.to_string()))?;
        if *known == link.electorate {
            witness.known.clear();
        }
        let call = IKumoLightClient::advanceCall {
            links: vec![l1::Link { source: vote.source.epoch, target: abi_checkpoint(&link.target) }],
            finalised: abi_checkpoint(if finalised.is_some() { source } else { trusted }),
            witness,
        };
        calls.push((name, call));
        known = &link.electorate;
        checkpoints.insert(link.target.root(), link.target);
        electorates.insert(known.root(), known.clone());
    }
    Ok((calls, electorates))
}

/// Name, contract, data and wei of a call.
type Call = (String, Address, Vec<u8>, u128);

impl Court {
    fn open(case: &Case<'_>) -> Result<Self, String> {
        let directory = temporary().map_err(|error| error.to_string())?;
        let depositor = PrivateKeySigner::from_bytes(&B256::repeat_byte(1)).map_err(|error| error.to_string())?;
        // The contracts must not think that votes come from the future.
        let seconds = case.links.iter().map(|link| link.target.seconds).max().unwrap_or_default() + 1;
        let genesis = genesis(case, depositor.address(), seconds);
        let config = ChainConfig { cache_bytes: CACHE_BYTES, ..ChainConfig::default() };
        let chain = Chain::open(directory.path(), &genesis, config).map_err(|error| error.to_string())?;
        let last = chain.head().hash;
        Ok(Self { chain, last, seconds, depositor, nonce: 0, _directory: directory })
    }

    /// Stake behind every key that a proof accuses.
    fn deposits(&self, case: &Case<'_>) -> Result<Vec<Call>, String> {
        let owner = self.depositor.address();
        let amount = U256::from(STAKE);
        let mut calls = vec![
            ("wrapping".to_owned(), WAKE, IWAKE::depositForCall { account: owner }.abi_encode(), FUNDS / 2),
            ("allowance".to_owned(), WAKE, IWAKE::approveCall { spender: VAULT, amount: U256::MAX }.abi_encode(), 0),
        ];
        let accused: std::collections::BTreeSet<VoteKey> = case.proofs.iter().map(|evidence| evidence.key).collect();
        for key in accused {
            let seat = seat_of(case, &Offender::Vote(*key.bytes()))?;
            let possession = keyring::with(seat, |seat| seat.keys.possession_for(&owner.into_array()));
            let possession = abi_signature(&possession).map_err(|error| error.to_string())?;
            let call = IStakeVault::depositCall { key: abi_key(&key), possession, amount };
            calls.push((format!("stake of seat {seat}"), VAULT, call.abi_encode(), 0));
        }
        Ok(calls)
    }

    /// One block of these calls, all of which must succeed.
    fn execute(&mut self, calls: Vec<Call>) -> Result<(), String> {
        let mut transactions = Vec::new();
        for (_, to, data, wei) in &calls {
            transactions.push(self.sign(*to, data, *wei)?);
        }
        let attributes = BlockAttributes { timestamp: self.seconds, ..BlockAttributes::default() };
        let proposed = self.chain.propose(self.last, attributes, &transactions).map_err(|error| error.to_string())?;
        self.last = proposed.hash;
        let block = self.chain.pending_block(proposed.hash).ok_or("the block is not pending")?;
        for (place, (name, ..)) in calls.iter().enumerate() {
            match block.receipts.get(place) {
                Some(receipt) if receipt.status() => {}
                Some(_) => return Err(format!("a contract refuses {name}")),
                None => return Err(format!("{name} is not in the block: {} of {}", block.receipts.len(), calls.len())),
            }
        }
        Ok(())
    }

    fn sign(&mut self, to: Address, data: &[u8], wei: u128) -> Result<Bytes, String> {
        let transaction = TxEip1559 {
            chain_id: self.chain.chain_id(),
            nonce: self.nonce,
            gas_limit: GAS_TRANSACTION,
            max_fee_per_gas: FEE_WEI_PER_GAS,
            to: to.into(),
            value: U256::from(wei),
            input: data.to_vec().into(),
            ..TxEip1559::default()
        };
        self.nonce += 1;
        let signature = self.depositor.sign_hash_sync(&transaction.signature_hash());
        let signed = transaction.into_signed(signature.map_err(|error| error.to_string())?);
        Ok(TxEnvelope::from(signed).encoded_2718().into())
    }

    /// What a contract answers after the last block; nothing of it is kept.
    fn ask<C: SolCall>(&self, contract: Address, call: C) -> Result<C::Return, String> {
        let answer = self.chain.call_after(self.last, contract, call.abi_encode().into());
        C::abi_decode_returns(&answer.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
    }

    /// Blocks that convict as those of the run did; how many have lost their stake by that.
    fn convict(&mut self, case: &Case<'_>) -> Result<u64, String> {
        let mut guilty = BTreeMap::new();
        for offenders in case.convictions {
            let numbers = offenders.iter().map(|offender| self.number(offender)).collect::<Result<Vec<u64>, _>>()?;
            let attributes = BlockAttributes {
                timestamp: self.seconds,
                offenders: numbers.iter().copied().collect(),
                ..BlockAttributes::default()
            };
            let proposed = self.chain.propose(self.last, attributes, &[]).map_err(|error| error.to_string())?;
            self.last = proposed.hash;
            for (offender, number) in offenders.iter().zip(numbers) {
                guilty.insert(number, seat_of(case, offender)?);
            }
        }
        for number in 1..=case.validators as u64 {
            let validator = self.ask(VALIDATOR_REGISTRY, IValidatorRegistry::validatorCall { id: number })?;
            let is_slashed = validator.state == IValidatorRegistry::State::Slashed;
            let lost = (validator.slashed, validator.stake);
            let expected = if is_slashed { (STAKE, 0) } else { (0, STAKE) };
            if is_slashed != guilty.contains_key(&number) || lost != expected {
                let verdict = if guilty.contains_key(&number) { "convicted" } else { "innocent" };
                return Err(format!("validator {number} is {verdict} and lost {} of {STAKE} wei", validator.slashed));
            }
        }
        Ok(guilty.len() as u64)
    }

    /// Number of the validator that an offender is.
    fn number(&self, offender: &Offender) -> Result<u64, String> {
        let number = match offender {
            Offender::Vote(key) => {
                self.ask(VALIDATOR_REGISTRY, IValidatorRegistry::idOfVoteKeyCall { keyHash: keccak256(key) })
            }
            Offender::Consensus(key) => {
                self.ask(VALIDATOR_REGISTRY, IValidatorRegistry::idOfConsensusKeyCall { key: key.into() })
            }
        };
        number.and_then(|number| if number == 0 { Err(format!("{offender:?} is not registered")) } else { Ok(number) })
    }
}

/// The seat that a key belongs to.
fn seat_of(case: &Case<'_>, offender: &Offender) -> Result<usize, String> {
    let is_its = |seat: &usize| keyring::with(*seat, |seat| seat.offenders().contains(offender));
    (0..case.validators).find(is_its).ok_or_else(|| format!("{offender:?} is nobody's key"))
}

fn genesis(case: &Case<'_>, depositor: Address, seconds: u64) -> GenesisSpec {
    let mut predeploys = system_contracts(depositor);
    let registry = predeploys.iter_mut().find(|predeploy| predeploy.address == VALIDATOR_REGISTRY);
    registry.expect("it is a system contract").init_calls = (0..case.validators).map(registration).collect();
    let (trusted, electorate) = &case.trusted;
    let sets: Vec<B256> = electorate.sets().iter().map(ValidatorSet::root).collect();
    let Domain { chain_id, genesis } = case.domain;
    let client = (chain_id, genesis, TRUST_SECONDS, abi_checkpoint(trusted), sets).abi_encode_params();
    let times = (2 * TRUST_SECONDS, DAY_SECONDS);
    let terms = (times.0, times.1, U256::from(1), 10_000u16, 5_000u16, TREASURY);
    let vault = (WAKE, CLIENT, terms).abi_encode_params();
    for (name, address, artifact, arguments) in
        [("KumoLightClient", CLIENT, LIGHT_CLIENT, client), ("StakeVault", VAULT, STAKE_VAULT, vault)]
    {
        let creation_code = [creation_code(artifact), arguments].concat().into();
        predeploys.push(Predeploy { name: name.into(), address, creation_code, init_calls: Vec::new() });
    }
    let staked = U256::from(STAKE) * U256::from(case.validators);
    GenesisSpec {
        chain_id,
        timestamp: seconds,
        gas_limit: GAS_BLOCK,
        alloc: [(depositor, U256::from(FUNDS)), (abi::STAKE_MANAGER, staked)].into(),
        predeploys,
        fee_recipient_vault: Some(abi::FEE_VAULT),
        randomness: Some(abi::RANDOMNESS),
        mint: None,
    }
}

/// The call that makes a seat a validator with stake.
fn registration(seat: usize) -> Bytes {
    let bytes = |text: &str| -> Bytes { hex::decode(text).expect("a key is hex").into() };
    let call = keyring::with(seat, |seat| IValidatorRegistry::registerAtGenesisCall {
        owner: Address::from_word(keccak256(&seat.vote_key)),
        consensusKey: B256::from_slice(seat.peer.as_ref()),
        randomnessKey: seat.validator.randomness_key.parse().expect("a key has 32 bytes"),
        voteKey: seat.vote_key.clone().into(),
        proof: bytes(&seat.validator.vote_possession),
        amount: U256::from(STAKE),
    });
    call.abi_encode().into()
}

fn creation_code(artifact: &str) -> Vec<u8> {
    let json: serde_json::Value = serde_json::from_str(artifact).expect("a committed artifact is JSON");
    let text = json["bytecode"].as_str().expect("a committed artifact has its bytecode");
    hex::decode(text.trim_start_matches("0x")).expect("bytecode of an artifact is hex")
}

#[cfg(test)]
mod tests;
