//! Block 0 of the settlement chain, from the network file and the committed contract artifacts.

use alloy_primitives::{B256, Bytes, U256};
use alloy_sol_types::SolCall as _;
use chain::predeploys::system_contracts;
use chain::{GenesisSpec, MintRules};
use eyre::{Context as _, Result, ensure, eyre};
use protocol::abi::{self, IValidatorRegistry};
use protocol::network::{EPOCH_BLOCKS_DEFAULT, Genesis, Network, Validator, ValidatorStake};
use sequencer::Committee;
use sequencer::committees::{Committees, Schedule};

/// The genesis section of a network file.
///
/// # Errors
/// When the file is a client's and has none.
pub fn of(network: &Network) -> Result<&Genesis> {
    network.genesis.as_ref().ok_or_else(|| {
        eyre!("the network file has no genesis: use the one that `kumo init` wrote, or DIR/network.json of `kumo dev --state DIR`")
    })
}

/// The committees of a network as far as its file names them: the first one.
///
/// # Errors
/// When its validators make no committee.
pub fn committees(network: &Network) -> Result<Committees> {
    let committee = Committee::new(&network.validators, network.chain_id)?;
    let epoch_blocks = network.genesis.as_ref().map_or(EPOCH_BLOCKS_DEFAULT, |genesis| genesis.epoch_blocks);
    Ok(Committees::new(Schedule::new(committee, epoch_blocks)))
}

/// What `chain` builds block 0 from.
///
/// # Errors
/// When the network file has no genesis, or stakes that do not fit the validators.
pub fn spec(network: &Network) -> Result<GenesisSpec> {
    let genesis = of(network)?;
    let mut alloc = genesis.alloc.clone();
    let mut predeploys = system_contracts(genesis.authority);
    let registrations = registrations(network, genesis)?;
    if !registrations.is_empty() {
        let staked = genesis.stakes.iter().try_fold(U256::ZERO, |sum, stake| sum.checked_add(stake.stake));
        let balance = alloc.entry(abi::STAKE_MANAGER).or_default();
        let total = staked.and_then(|staked| balance.checked_add(staked));
        *balance = total.ok_or_else(|| eyre!("the stakes of the network file do not fit in 256 bits"))?;
    }
    let registry = predeploys.iter_mut().find(|predeploy| predeploy.address == abi::VALIDATOR_REGISTRY);
    registry.ok_or_else(|| eyre!("there is no ValidatorRegistry among the system contracts"))?.init_calls =
        registrations;
    Ok(GenesisSpec {
        chain_id: network.chain_id,
        timestamp: genesis.timestamp,
        gas_limit: genesis.gas_limit,
        alloc,
        predeploys,
        fee_recipient_vault: Some(abi::FEE_VAULT),
        randomness: Some(abi::RANDOMNESS),
        mint: genesis.mint.as_ref().map(|mint| MintRules {
            epoch_blocks: mint.epoch_blocks,
            cap_wei: mint.cap,
            minters: mint.minters.clone(),
        }),
    })
}

/// The calls that make the validators of the file those of the registry. Where they listen is not among it: the file says that, and
/// may change.
fn registrations(network: &Network, genesis: &Genesis) -> Result<Vec<Bytes>> {
    let (stakes, validators) = (&genesis.stakes, &network.validators);
    ensure!(
        stakes.is_empty() || stakes.len() == validators.len(),
        "the network file has {} stakes for {} validators; genesis.stakes has one for each, or is empty",
        stakes.len(),
        validators.len()
    );
    let seats = validators.iter().zip(stakes).enumerate();
    seats
        .map(|(seat, (validator, stake))| registration(validator, stake).wrap_err(format!("validator {seat}")))
        .collect()
}

fn registration(validator: &Validator, stake: &ValidatorStake) -> Result<Bytes> {
    let bytes = |field: &str, text: &str| hex::decode(text).wrap_err(format!("{field} is not hex: {text:?}"));
    let word = |field: &str, text: &str| {
        let hint = "networks made before reveals were those of a verifiable random function begin anew";
        B256::try_from(bytes(field, text)?.as_slice()).map_err(|_| eyre!("{field} has not 32 bytes ({hint}): {text:?}"))
    };
    let call = IValidatorRegistry::registerAtGenesisCall {
        owner: stake.owner,
        consensusKey: word("public_key", &validator.public_key)?,
        randomnessKey: word("randomness_key", &validator.randomness_key)?,
        voteKey: bytes("vote_key", &validator.vote_key)?.into(),
        proof: bytes("vote_possession", &validator.vote_possession)?.into(),
        amount: stake.stake,
    };
    Ok(call.abi_encode().into())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use chain::{Chain, ChainConfig};
    use sequencer::ValidatorKeys;

    /// Three validators with known keys, so many of which have stake.
    pub(crate) fn network(stakes: usize) -> Network {
        let validator = |seed| ValidatorKeys::from_seed(seed).validator(String::new(), String::new());
        let stake = |seat: usize| ValidatorStake {
            owner: alloy_primitives::Address::repeat_byte(0x30 + seat as u8),
            stake: crate::dev::plan::ake(1_000 + seat as u64),
        };
        let json = serde_json::json!({
            "chain_id": 5886, "rpc": "", "gateway": "",
            "genesis": { "timestamp": 1, "gas_limit": 1_000_000, "block_millis": 100, "alloc": {},
                "authority": alloy_primitives::Address::repeat_byte(1) },
        });
        let mut network: Network = serde_json::from_value(json).unwrap();
        network.validators = (0..3).map(validator).collect();
        network.genesis.as_mut().unwrap().stakes = (0..stakes).map(stake).collect();
        network
    }

    #[test]
    fn validators_of_the_file_stand_in_the_registry_with_their_stake() {
        let (dir, network) = (tempfile::tempdir().unwrap(), network(3));
        let chain = Chain::open(dir.path(), &spec(&network).unwrap(), ChainConfig::default()).unwrap();
        let registry = crate::validators::Registry::new(chain.clone(), &network);
        let seats = registry.seats(chain.head().hash).unwrap().unwrap();
        assert_eq!(seats, network.validators, "the same seats in the same order");
        let set = registry.candidate(chain.head().hash).unwrap().unwrap();
        assert_eq!((set.validators().len(), set.total()), (3, 1_000 + 1_001 + 1_002));
        assert_eq!(chain.supply().unwrap().total, crate::dev::plan::ake(3_003), "stake is part of the supply");
    }

    #[test]
    fn a_file_without_stakes_leaves_the_committee_as_it_is() {
        let (dir, network) = (tempfile::tempdir().unwrap(), network(0));
        let chain = Chain::open(dir.path(), &spec(&network).unwrap(), ChainConfig::default()).unwrap();
        let registry = crate::validators::Registry::new(chain.clone(), &network);
        assert_eq!(registry.seats(chain.head().hash).unwrap(), None);
        assert!(registry.candidate(chain.head().hash).unwrap().is_none());
    }

    #[test]
    fn stakes_for_some_of_the_validators_are_refused() {
        let error = spec(&network(2)).unwrap_err().to_string();
        assert!(error.contains("2 stakes for 3 validators"), "{error}");
    }
}
