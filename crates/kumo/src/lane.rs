//! The encrypted lane in the network file and in the directories of validators.
//!
//! The network file has the policies, and says who makes the key: the validators, or on development networks a dealer. Then
//! it has the key and what everybody knows of its shares, and `lane.share` in the directory of a validator is its share.

use crate::roles::validator::KEY_FILE;
use crate::seam::SETTLEMENT;
use eyre::{Context, Result, ensure, eyre};
use proof::lane::{LaneKey, Record};
use protocol::api::{LaneAttempt, LaneState, SharedKey, SharedKeyProof};
use protocol::network::{EPOCH_BLOCKS_DEFAULT, LANE_POLICIES_MAX, Lane, LanePolicy, Network, Validator};
use sequencer::lane::{Config, DEALER, DKG, Dealt, LaneStatus, Randomness, Secret, Sharing, epoch_blocks_min};
use sequencer::{Committee, FinalizedError, Sequencer, ValidatorKeys};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;

/// File in a validator's directory that holds its share.
const SHARE_FILE: &str = "lane.share";
/// Blocks between two targets, on networks that are made here.
const PERIOD_BLOCKS: u64 = 8;

/// Who makes the key of the encrypted lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum KeyMaker {
    /// A labelled dealer, who can read everything: the lane is open from the first block on.
    #[default]
    Dealer,
    /// The validators together, from genesis on; nobody knows the secret.
    Dkg,
}

/// The policies that were chosen, and of the settlement chain both if none was.
pub fn policies(chosen: &[(u64, LanePolicy)]) -> BTreeMap<u64, LanePolicy> {
    [(SETTLEMENT, LanePolicy::Both)].into_iter().chain(chosen.iter().copied()).collect()
}

/// Reads `7=encrypted`.
///
/// # Errors
/// When it is none, with what it may be.
pub fn policy_of(text: &str) -> Result<(u64, LanePolicy), String> {
    let expected = || format!("{text:?} is no NAMESPACE=fcfs, NAMESPACE=encrypted or NAMESPACE=both");
    let (namespace, policy) = text.split_once('=').ok_or_else(expected)?;
    let namespace: u64 = namespace.parse().map_err(|_| expected())?;
    let policy = match policy {
        "fcfs" => LanePolicy::Fcfs,
        "encrypted" => LanePolicy::Encrypted,
        "both" => LanePolicy::Both,
        _ => return Err(expected()),
    };
    match namespace {
        sequencer::SYSTEM => Err(format!("{text:?}: namespace 0 belongs to the protocol")),
        _ => Ok((namespace, policy)),
    }
}

/// The lane of a new network. A dealt key is made now, and the share of each validator below `state`.
///
/// # Errors
/// When there are too many policies, or a share cannot be written.
pub fn create(
    state: &Path,
    validators: &[Validator],
    chain_id: u64,
    policies: BTreeMap<u64, LanePolicy>,
    maker: KeyMaker,
) -> Result<Lane> {
    ensure!(policies.len() <= LANE_POLICIES_MAX, "{} policies, at most {LANE_POLICIES_MAX}", policies.len());
    match maker {
        KeyMaker::Dealer => deal(state, validators, chain_id, policies),
        KeyMaker::Dkg => Ok(Lane {
            period_blocks: PERIOD_BLOCKS,
            policies,
            dealer: DKG.to_owned(),
            sharing: String::new(),
            key: String::new(),
        }),
    }
}

/// Whether validators that make the key together have the time to hand it to another committee.
///
/// # Errors
/// When epochs are too short for it.
pub fn check_epochs(maker: KeyMaker, validators: usize, epoch_blocks: u64) -> Result<()> {
    let fewest = epoch_blocks_min(validators);
    ensure!(
        maker == KeyMaker::Dealer || epoch_blocks >= fewest,
        "epochs of {epoch_blocks} blocks are too short for a lane key that validators make together ({DKG}): {validators} of \
         them hand it to another committee in time with {fewest} blocks or more; otherwise the lane would close, and drop \
         what waits, whenever the committee changes"
    );
    Ok(())
}

fn deal(state: &Path, validators: &[Validator], chain_id: u64, policies: BTreeMap<u64, LanePolicy>) -> Result<Lane> {
    let count =
        NonZeroU32::new(validators.len() as u32).ok_or_else(|| eyre!("a network has at least one validator"))?;
    let dealt = Dealt::new(count)?;
    // Addresses are not chosen yet, and the order of the committee does not depend on them.
    let placed = validators.iter().map(|validator| Validator { p2p: "127.0.0.1:1".into(), ..validator.clone() });
    let committee = Committee::new(&placed.collect::<Vec<_>>(), chain_id)?;
    for seat in 0..validators.len() {
        let dir = state.join(format!("validator-{seat}"));
        let keys = ValidatorKeys::load(&dir.join(KEY_FILE))?;
        let secret = dealt.secret(&committee, &keys).ok_or_else(|| eyre!("seat {seat} is not in the committee"))?;
        let path = dir.join(SHARE_FILE);
        if path.exists() {
            // Of a network file that was never written: the state directory had none.
            std::fs::remove_file(&path).wrap_err_with(|| format!("cannot replace {}", path.display()))?;
        }
        secret.store(&path)?;
    }
    Ok(Lane {
        period_blocks: PERIOD_BLOCKS,
        policies,
        dealer: DEALER.to_owned(),
        sharing: hex::encode(dealt.sharing.encode()),
        key: hex::encode(dealt.sharing.public().bytes()),
    })
}

/// What stands in `namespace`.
pub fn policy(network: &Network, namespace: u64) -> LanePolicy {
    network.lane.as_ref().and_then(|lane| lane.policies.get(&namespace)).copied().unwrap_or_default()
}

/// The lane as the validator in `dir` takes part in it; `None` if the network has none.
///
/// # Errors
/// When the network file or the share is not as it should be.
pub fn config(network: &Network, committee: &Committee, keys: &ValidatorKeys, dir: &Path) -> Result<Option<Config>> {
    let Some(Lane { period_blocks, policies, dealer, sharing, key }) = &network.lane else { return Ok(None) };
    ensure!(
        dealer == DKG || (network.dev && dealer == DEALER),
        "the lane key was dealt by {dealer:?}, who can read every envelope: only {DEALER:?}, and only on a network that is \
         marked `dev`; or the validators make it: {DKG:?}"
    );
    ensure!(policies.len() <= LANE_POLICIES_MAX, "{} policies, at most {LANE_POLICIES_MAX}", policies.len());
    ensure!(!policies.contains_key(&sequencer::SYSTEM), "namespace 0 belongs to the protocol and has no policy");
    let config = |dealt| Config {
        period_blocks: *period_blocks,
        policies: policies.clone(),
        dealt,
        randomness: Randomness::System,
    };
    if dealer == DKG {
        ensure!(
            sharing.is_empty() && key.is_empty(),
            "lane.sharing and lane.key are {DKG:?}'s to make: leave them empty"
        );
        let epoch_blocks = network.genesis.as_ref().map_or(EPOCH_BLOCKS_DEFAULT, |genesis| genesis.epoch_blocks);
        check_epochs(KeyMaker::Dkg, network.validators.len(), epoch_blocks)?;
        return Ok(Some(config(None)));
    }
    let commitment = hex::decode(sharing).wrap_err("lane.sharing is not hex")?;
    let sharing = Sharing::decode(&commitment, committee).wrap_err("lane.sharing")?;
    let named = hex::decode(key).ok().and_then(|bytes| LaneKey::decode(&bytes).ok());
    ensure!(named.as_ref() == Some(sharing.public()), "lane.key {key:?} is not the key of lane.sharing");
    let secret = match committee.seat(&keys.public_key()) {
        Some(_) => Secret::load(&dir.join(SHARE_FILE), sharing, committee, keys)?,
        // It came later: it gets a share when the key is handed over.
        None => Secret::without_share(sharing),
    };
    Ok(Some(config(Some(secret))))
}

/// Who holds the key, with the proof; `None` if the network has no lane. Reads the disk.
///
/// # Errors
/// When the validator has stopped, or its history cannot be read.
pub fn state(sequencer: &Sequencer) -> Result<Option<LaneState>, FinalizedError> {
    let Some(LaneStatus { height, key, announced, attempt, has_share }) = sequencer.lane()? else { return Ok(None) };
    let key = key.map(|record| -> Result<SharedKey, FinalizedError> {
        Ok(SharedKey {
            key: hex::encode(record.key.bytes()),
            round: record.round,
            first: record.first,
            required: record.required,
            members: record.members.iter().map(hex::encode).collect(),
            proof: announced.map(|height| proof_of(sequencer, height)).transpose()?.flatten(),
        })
    });
    let attempt = attempt.map(|(round, until)| LaneAttempt { round, until });
    Ok(Some(LaneState { height, key: key.transpose()?, attempt, share: has_share }))
}

/// The proof that the block of this height names a key; `None` while it is not final.
fn proof_of(sequencer: &Sequencer, height: u64) -> Result<Option<SharedKeyProof>, FinalizedError> {
    let Some((block, certificate)) = sequencer.block(height)? else { return Ok(None) };
    let is_key = |bytes: &[u8]| matches!(Record::decode(bytes), Ok(Record::Key(_)));
    let place = block.payload.transactions(sequencer::SYSTEM).iter().position(|it| is_key(it.payload()));
    let record = place.and_then(|place| block.payload.prove_transaction(sequencer::SYSTEM, u32::try_from(place).ok()?));
    Ok(record.map(|record| SharedKeyProof {
        height,
        header: block.header().encode().into(),
        certificate: certificate.into(),
        record: record.encode().into(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_too_short_to_hand_the_key_over_are_refused_where_validators_make_it() {
        let error = check_epochs(KeyMaker::Dkg, 4, 7).unwrap_err().to_string();
        assert!(error.contains("7 blocks") && error.contains("with 8 blocks or more"), "{error}");
        check_epochs(KeyMaker::Dkg, 4, 8).unwrap();
        assert!(check_epochs(KeyMaker::Dkg, 24, 8).is_err());
        check_epochs(KeyMaker::Dealer, 4, 2).unwrap();
    }

    #[test]
    fn a_policy_is_a_namespace_and_a_word() {
        assert_eq!(policy_of("7=encrypted"), Ok((7, LanePolicy::Encrypted)));
        for bad in ["7", "=both", "x=both", "7=open", "0=fcfs"] {
            assert!(policy_of(bad).unwrap_err().contains(bad));
        }
        let chosen = policies(&[(7, LanePolicy::Encrypted), (SETTLEMENT, LanePolicy::Fcfs)]);
        assert_eq!(chosen, [(SETTLEMENT, LanePolicy::Fcfs), (7, LanePolicy::Encrypted)].into());
    }
}
