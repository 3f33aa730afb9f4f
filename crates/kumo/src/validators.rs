//! Validators as the chain has them: who votes with how much stake, and who has a seat.
//!
//! Both follow from `ValidatorRegistry` in the state after a block, so every node that executed the block has the same answer. Those
//! with the largest stakes have a seat each, at most `seatsMax`, and nobody with less than `seatStakeMin`; they are also those
//! who vote on checkpoints, with one unit for each whole AKE, since only who is in the committee is heard. A seat's
//! number follows from the order of registration, so the seats of genesis are those of the network file.

use alloy_primitives::{B256, U256, keccak256};
use alloy_sol_types::SolCall;
use chain::{Chain, ChainError};
use parking_lot::Mutex;
use proof::checkpoint::{self, ValidatorSet, VoteKey};
use protocol::abi::{IValidatorRegistry, VALIDATOR_REGISTRY};
use protocol::network::{Network, Validator};
use sequencer::{Committee, Offender};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Validators read in one call: with this many it takes a tenth of the gas that a call of the system has.
const PAGE: u64 = 32;
/// Keys whose proofs were checked, remembered; when there are more, they are checked again.
const CHECKED_MAX: usize = 4096;
/// Wei of one unit of stake in Casper FFG: a whole AKE.
const UNIT_WEI: u128 = 1_000_000_000_000_000_000;
/// An address that is in order, where only the keys matter.
const SOME_P2P: &str = "127.0.0.1:1";

/// Reads the validators of a chain.
pub struct Registry {
    chain: Chain,
    /// Entries of the network file by consensus key: where those of genesis listen.
    listed: HashMap<String, Validator>,
    /// Whether keys make a validator, by their hash.
    checked: Mutex<HashMap<B256, bool>>,
}

/// Asks the registry about the state after the block `hash`.
fn ask<C: SolCall>(chain: &Chain, hash: B256, call: C) -> Result<C::Return, ChainError> {
    let answer = chain.call_after(hash, VALIDATOR_REGISTRY, call.abi_encode().into())?;
    C::abi_decode_returns(&answer).map_err(|error| {
        let reason = format!("{} answered {} bytes: {error}", C::SIGNATURE, answer.len());
        ChainError::SystemCall { contract: VALIDATOR_REGISTRY, reason }
    })
}

/// Number of the validator that has or had this key, by the state after the block `hash`; 0 if nobody.
///
/// # Errors
/// When the state cannot be read.
pub fn number(chain: &Chain, hash: B256, offender: &Offender) -> Result<u64, ChainError> {
    match offender {
        Offender::Vote(key) => ask(chain, hash, IValidatorRegistry::idOfVoteKeyCall { keyHash: keccak256(key) }),
        Offender::Consensus(key) => ask(chain, hash, IValidatorRegistry::idOfConsensusKeyCall { key: key.into() }),
    }
}

impl Registry {
    /// Validators of `chain`, whose network file this is.
    pub fn new(chain: Chain, network: &Network) -> Self {
        let listed = network.validators.iter().map(|validator| (validator.public_key.clone(), validator.clone()));
        Self { chain, listed: listed.collect(), checked: Mutex::default() }
    }

    /// Who votes on checkpoints, with which stake, by the state after the block `hash`; `None` if nobody is registered.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn candidate(&self, hash: B256) -> Result<Option<ValidatorSet>, ChainError> {
        let voter = |validator: &IValidatorRegistry::Validator| {
            let key = VoteKey::decode(&validator.voteKey).ok()?;
            Some(checkpoint::Validator { key, stake: (validator.stake / UNIT_WEI).max(1) })
        };
        let voters = self.seated(hash)?.iter().filter_map(voter).collect();
        // Nobody, or keys whose sum is zero, which cannot be chosen as each is proven to be possessed.
        Ok(ValidatorSet::sorted(voters).ok())
    }

    /// Who has a seat, in the order of the seats; `None` if nobody is registered.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn seats(&self, hash: B256) -> Result<Option<Vec<Validator>>, ChainError> {
        let seats: Vec<Validator> = self.seated(hash)?.iter().map(|validator| self.seat(validator)).collect();
        Ok((!seats.is_empty()).then_some(seats))
    }

    /// Whether an offender has stake to lose by the state after the block `hash`. The last active validator has not: nobody would be
    /// left to go on.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn is_liable(&self, hash: B256, offender: &Offender) -> Result<bool, ChainError> {
        let id = number(&self.chain, hash, offender)?;
        let validator = ask(&self.chain, hash, IValidatorRegistry::validatorCall { id })?;
        Ok(match validator.state {
            IValidatorRegistry::State::Active => ask(&self.chain, hash, IValidatorRegistry::countCall {})? > U256::ONE,
            IValidatorRegistry::State::Leaving => validator.stake > 0,
            _ => false,
        })
    }

    /// Registrations with a seat, in the order of their numbers.
    fn seated(&self, hash: B256) -> Result<Vec<IValidatorRegistry::Validator>, ChainError> {
        let least = self.parameter(hash, "seatStakeMin")?;
        let most = self.parameter(hash, "seatsMax")?.saturating_to::<usize>();
        let mut seated = self.active(hash)?;
        seated.retain(|validator| U256::from(validator.stake) >= least && self.is_sound(validator));
        seated.sort_by_key(|validator| (Reverse(validator.stake), validator.id));
        seated.truncate(most.min(sequencer::limits::COMMITTEE_MAX));
        seated.sort_by_key(|validator| validator.id);
        Ok(seated)
    }

    fn active(&self, hash: B256) -> Result<Vec<IValidatorRegistry::Validator>, ChainError> {
        let count = ask(&self.chain, hash, IValidatorRegistry::countCall {})?.saturating_to::<u64>();
        let mut active = Vec::new();
        for from in (0..count.min(checkpoint::VALIDATORS_MAX as u64)).step_by(PAGE as usize) {
            let page = IValidatorRegistry::listCall { from: U256::from(from), max: U256::from(PAGE) };
            active.extend(ask(&self.chain, hash, page)?);
        }
        Ok(active)
    }

    fn parameter(&self, hash: B256, name: &str) -> Result<U256, ChainError> {
        let name = std::array::from_fn(|place| name.as_bytes().get(place).copied().unwrap_or(0));
        Ok(ask(&self.chain, hash, IValidatorRegistry::parameterCall { name: name.into() })?.value)
    }

    /// Whether the keys are such that a committee can have them; the contract checks only some of it.
    fn is_sound(&self, validator: &IValidatorRegistry::Validator) -> bool {
        let keys =
            [&validator.consensusKey[..], &validator.randomnessKey[..], &validator.voteKey, &validator.proof].concat();
        let name = keccak256(keys);
        if let Some(known) = self.checked.lock().get(&name) {
            return *known;
        }
        let alone = Validator { p2p: SOME_P2P.to_owned(), ..keys_of(validator) };
        let refused = Committee::new(&[alone], self.chain.chain_id()).err();
        if let Some(reason) = &refused {
            tracing::warn!(id = validator.id, %reason, "a registered validator has neither seat nor vote");
        }
        let mut checked = self.checked.lock();
        if checked.len() >= CHECKED_MAX {
            checked.clear();
        }
        checked.insert(name, refused.is_none());
        refused.is_none()
    }

    /// The entry that a network file would have. Where it listens: as registered, else as the network file says.
    fn seat(&self, validator: &IValidatorRegistry::Validator) -> Validator {
        let keys = keys_of(validator);
        let listed = self.listed.get(&keys.public_key);
        let endpoint = &validator.endpoint;
        if let (0, Some(listed)) = (endpoint.port, listed) {
            return Validator { p2p: listed.p2p.clone(), api: listed.api.clone(), ..keys };
        }
        Validator { p2p: address(endpoint.ip, endpoint.port).to_string(), api: endpoint.api.clone(), ..keys }
    }
}

fn keys_of(validator: &IValidatorRegistry::Validator) -> Validator {
    Validator {
        public_key: hex::encode(validator.consensusKey),
        randomness_key: hex::encode(validator.randomnessKey),
        vote_key: hex::encode(&validator.voteKey),
        vote_possession: hex::encode(&validator.proof),
        p2p: String::new(),
        api: String::new(),
    }
}

/// The address that a registration means; IPv4 in its own form.
pub fn address(ip: u128, port: u16) -> SocketAddr {
    SocketAddr::new(Ipv6Addr::from(ip).to_canonical(), port)
}

/// The address as a registration has it.
pub fn registered(address: SocketAddr) -> (u128, u16) {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    (ip.into(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_registry() {
        for text in ["10.0.0.1:9000", "[2001:db8::1]:9000"] {
            let (ip, port) = registered(text.parse().unwrap());
            assert_eq!(address(ip, port).to_string(), text);
        }
        assert_eq!(registered("10.0.0.1:9000".parse().unwrap()).0, 0xffff_0a00_0001);
    }
}
