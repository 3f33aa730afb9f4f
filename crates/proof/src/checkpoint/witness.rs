//! What a contract of another chain is given to verify the same: points for EIP-2537, and who is missing, by path.
//!
//! `KumoLightClient` and `StakeVault` know sets by their commitments. The sum of the signers' keys follows from a set's sum, less
//! the keys of those who are missing, and with those of signers from the other sets of the electorate; a certificate
//! by everybody thus costs the same for any number of validators. Types are those of `contracts/src/interfaces/IKumoL1.sol`.

use super::{Checkpoint, Electorate, Evidence, SignedVote, Signers, ValidatorSet, VoteKey, VoteSignature, Witness};
use alloy_primitives::{B256, U256};
use protocol::abi::l1;

/// Something cannot be shown to a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// The signature is not a point.
    #[error("signature {0:?} is not a point of G1 in the right subgroup, or zero")]
    Point(VoteSignature),
    /// Nobody here knows the electorate.
    #[error("electorate {0} is unknown here, so its signers cannot be shown")]
    Electorate(B256),
    /// The key is in none of the sets of the electorate.
    #[error("the accused key is not in electorate {0}")]
    Accused(B256),
}

/// A checkpoint as contracts take it.
pub fn abi_checkpoint(checkpoint: &Checkpoint) -> l1::Checkpoint {
    l1::Checkpoint {
        epoch: checkpoint.epoch,
        height: checkpoint.height,
        timestamp: checkpoint.seconds,
        blockDigest: checkpoint.block,
        application: checkpoint.application,
        electorate: checkpoint.electorate,
        state: checkpoint.state,
    }
}

/// A key as contracts take it.
pub fn abi_key(key: &VoteKey) -> [B256; 8] {
    words(&key.to_eip2537())
}

/// A signature as contracts take it.
///
/// # Errors
/// When it is not a point of G1.
pub fn abi_signature(signature: &VoteSignature) -> Result<[B256; 4], WitnessError> {
    signature.to_eip2537().map(|bytes| words(&bytes)).ok_or(WitnessError::Point(*signature))
}

/// Who of `electorate` signed, for its own sets and for those in `known` that it has not.
pub fn abi_witness(
    electorate: &Electorate,
    signers: &Signers,
    signature: &VoteSignature,
    known: &[ValidatorSet],
) -> Result<l1::Witness, WitnessError> {
    let foreign = known.iter().filter(|set| !electorate.sets().contains(set));
    Ok(l1::Witness {
        sets: electorate.sets().iter().map(|set| voters(set, electorate, signers)).collect(),
        known: foreign.map(|set| voters(set, electorate, signers)).collect(),
        signature: abi_signature(signature)?,
    })
}

/// Evidence as the vault takes it; `electorates` knows those that the light client has accepted.
pub fn abi_slash<'a>(
    evidence: &Evidence,
    electorates: impl Fn(&B256) -> Option<&'a Electorate>,
) -> Result<l1::IStakeVault::slashCall, WitnessError> {
    Ok(l1::IStakeVault::slashCall {
        key: abi_key(&evidence.key),
        first: signed_vote(&evidence.first, &evidence.key, &electorates)?,
        second: signed_vote(&evidence.second, &evidence.key, &electorates)?,
    })
}

fn signed_vote<'a>(
    signed: &SignedVote,
    key: &VoteKey,
    electorates: &impl Fn(&B256) -> Option<&'a Electorate>,
) -> Result<l1::SignedVote, WitnessError> {
    let (source, target) = (signed.vote.source, signed.vote.target);
    let vote = |signature, electorate, set, accused| l1::SignedVote {
        sourceEpoch: source.epoch,
        sourceRoot: source.root,
        targetEpoch: target.epoch,
        targetRoot: target.root,
        signature,
        electorate,
        set,
        accused,
    };
    match &signed.witness {
        Witness::Alone(signature) => {
            let nobody = l1::Member { index: U256::ZERO, key: [B256::ZERO; 8], stake: U256::ZERO, path: vec![] };
            Ok(vote(abi_signature(signature)?, vec![], U256::ZERO, nobody))
        }
        Witness::Aggregate { electorate: root, signers, signature } => {
            let electorate = electorates(root).ok_or(WitnessError::Electorate(*root))?;
            let mut sets = electorate.sets().iter().enumerate();
            let found = sets.find_map(|(place, set)| Some((place, abi_member(set, key)?)));
            let (place, accused) = found.ok_or(WitnessError::Accused(*root))?;
            let witness = abi_witness(electorate, signers, signature, &[])?;
            Ok(vote(witness.signature, witness.sets, U256::from(place), accused))
        }
    }
}

fn voters(set: &ValidatorSet, electorate: &Electorate, signers: &Signers) -> l1::Voters {
    let levels = set.tree();
    let signs = |key: &VoteKey| electorate.position(key).is_some_and(|position| signers.contains(position));
    let missing = set.validators().iter().enumerate().filter(|(_, validator)| !signs(&validator.key));
    let keys = signers.iter().filter_map(|index| electorate.members().get(index)).map(|member| &member.key);
    l1::Voters {
        number: U256::from(set.validators().len()),
        stake: U256::from(set.total()),
        sum: words(&set.sum_to_eip2537()),
        tree: levels.last().and_then(|level| level.first()).copied().unwrap_or_default(),
        missing: missing.map(|(index, _)| member(set, &levels, index)).collect(),
        outsiders: keys.filter(|key| set.position(key).is_none()).filter_map(|key| outsider(electorate, key)).collect(),
    }
}

/// A signer, found in the first set of the electorate that has it.
fn outsider(electorate: &Electorate, key: &VoteKey) -> Option<l1::Outsider> {
    let mut sets = electorate.sets().iter().enumerate();
    let (place, set, index) = sets.find_map(|(place, set)| Some((place, set, set.position(key)?)))?;
    Some(l1::Outsider { set: U256::from(place), member: member(set, &set.tree(), index) })
}

fn member(set: &ValidatorSet, levels: &[Vec<B256>], index: usize) -> l1::Member {
    let validator = &set.validators()[index];
    let siblings = levels.iter().enumerate().filter_map(|(height, level)| level.get((index >> height) ^ 1));
    l1::Member {
        index: U256::from(index),
        key: abi_key(&validator.key),
        stake: U256::from(validator.stake),
        path: siblings.copied().collect(),
    }
}

/// The validator with this key, with its path.
pub fn abi_member(set: &ValidatorSet, key: &VoteKey) -> Option<l1::Member> {
    Some(member(set, &set.tree(), set.position(key)?))
}

fn words<const BYTES: usize, const WORDS: usize>(bytes: &[u8; BYTES]) -> [B256; WORDS] {
    const { assert!(BYTES == 32 * WORDS) };
    std::array::from_fn(|index| B256::from_slice(&bytes[32 * index..32 * (index + 1)]))
}
