//! Validators, blocks and chains for the tests of this module.

use super::key::VoteSecret;
use super::leak::Leak;
use super::state::{Input, Outcome, Parameters, State};
use alloy_primitives::{B256, keccak256};
use proof::checkpoint::{Certificate, Domain, Electorate, Signers, Validator, ValidatorSet, Vote, VoteSignature};
use std::ops::Range;

pub const DOMAIN: Domain = Domain { chain_id: 5886, genesis: B256::repeat_byte(0x11) };
pub const EPOCH_BLOCKS: u64 = 4;
const GENESIS_SECONDS: u64 = 1_000_000;

pub fn parameters() -> Parameters {
    Parameters {
        domain: DOMAIN,
        epoch_blocks: EPOCH_BLOCKS,
        unbonding_seconds: 10_000,
        evidence_seconds: 2_000,
        leak: Leak { period_seconds: 10, grace_periods: 4, quotient: 100 },
    }
}

/// Validators of these seeds, in the order of the seeds, and their set.
pub fn committee(seeds: Range<u64>, stake: u128) -> (Vec<VoteSecret>, ValidatorSet) {
    let secrets: Vec<VoteSecret> = seeds.map(VoteSecret::from_seed).collect();
    let set = set(&secrets, &vec![stake; secrets.len()]);
    (secrets, set)
}

pub fn set(secrets: &[VoteSecret], stakes: &[u128]) -> ValidatorSet {
    let validators =
        secrets.iter().zip(stakes).map(|(secret, stake)| Validator { key: secret.public(), stake: *stake });
    ValidatorSet::sorted(validators.collect()).unwrap()
}

/// A certificate by these validators, whatever they signed before.
pub fn certify<'a>(
    vote: Vote,
    electorate: &Electorate,
    signing: impl IntoIterator<Item = &'a VoteSecret>,
) -> Certificate {
    let mut signers = Signers::none(electorate.members().len());
    let mut signatures: Vec<VoteSignature> = Vec::new();
    for secret in signing {
        if electorate.position(&secret.public()).is_some_and(|position| signers.insert(position)) {
            signatures.push(secret.sign_unguarded(&DOMAIN, &vote));
        }
    }
    let signature = VoteSignature::aggregate(&signatures).unwrap_or(VoteSignature([0; 48]));
    Certificate { vote, signers, signature }
}

/// One branch of blocks and its state.
#[derive(Clone, Debug)]
pub struct Branch {
    pub state: State,
    /// Tells blocks of branches apart.
    pub salt: u8,
    pub l1_seconds: Option<u64>,
}

impl Branch {
    pub fn new(set: ValidatorSet) -> Self {
        let state = State::genesis(parameters(), &input(0, 0), set).unwrap();
        Self { state, salt: 0, l1_seconds: None }
    }

    /// A block with these votes, and what it changed.
    pub fn block(&mut self, votes: &[Certificate], candidate: Option<&ValidatorSet>) -> Outcome {
        let next = input(self.salt, self.state.height() + 1);
        self.state.apply(&Input { votes, candidate, l1_seconds: self.l1_seconds, ..next }).unwrap()
    }

    /// The block of the next checkpoint.
    pub fn open(&mut self, candidate: Option<&ValidatorSet>) -> Outcome {
        loop {
            let outcome = self.block(&[], candidate);
            if outcome.opened.is_some() {
                return outcome;
            }
        }
    }

    /// Certificate for the vote of the current epoch.
    pub fn duty(&self, signing: &[VoteSecret]) -> Certificate {
        let vote = self.state.duty().unwrap();
        certify(vote, self.state.electorate(&vote).unwrap(), signing)
    }

    /// One epoch in which these validators vote: the next checkpoint, and a block with their votes.
    pub fn epoch(&mut self, signing: &[VoteSecret], candidate: Option<&ValidatorSet>) -> Outcome {
        let outcome = self.open(candidate);
        if !signing.is_empty() {
            let votes = [self.duty(signing)];
            self.block(&votes, None);
        }
        outcome
    }

    pub fn finalized(&self) -> u64 {
        self.state.justification().finalized.epoch
    }

    pub fn justified(&self) -> u64 {
        self.state.justification().current.epoch
    }
}

/// Block `height` without votes; blocks of another `salt` differ.
pub fn input(salt: u8, height: u64) -> Input<'static> {
    Input {
        height,
        block: keccak256([&[salt][..], &height.to_be_bytes()].concat()),
        seconds: GENESIS_SECONDS.saturating_add(height),
        application: B256::repeat_byte(0xaa),
        l1_seconds: None,
        candidate: None,
        votes: &[],
    }
}
