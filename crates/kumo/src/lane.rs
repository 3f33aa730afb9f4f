//! The encrypted lane in the network file and in the directories of validators.
//!
//! The network file has the policies, the lane key and what everybody knows of its shares; `lane.share` in the directory
//! of a validator is its share.

use crate::roles::validator::KEY_FILE;
use crate::seam::SETTLEMENT;
use eyre::{Context, Result, ensure, eyre};
use proof::lane::LaneKey;
use protocol::network::{LANE_POLICIES_MAX, Lane, LanePolicy, Network, Validator};
use sequencer::lane::{Config, DEALER, Dealt, Secret, Sharing};
use sequencer::{Committee, ValidatorKeys};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;

/// File in a validator's directory that holds its share.
const SHARE_FILE: &str = "lane.share";
/// Blocks between two targets, on networks that are made here.
const PERIOD_BLOCKS: u64 = 8;

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

/// Makes the key of a development network, and the share of each validator below `state`.
///
/// # Errors
/// When a share cannot be written.
pub fn deal(
    state: &Path,
    validators: &[Validator],
    chain_id: u64,
    policies: BTreeMap<u64, LanePolicy>,
) -> Result<Lane> {
    let count =
        NonZeroU32::new(validators.len() as u32).ok_or_else(|| eyre!("a network has at least one validator"))?;
    ensure!(policies.len() <= LANE_POLICIES_MAX, "{} policies, at most {LANE_POLICIES_MAX}", policies.len());
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
        network.dev && dealer == DEALER,
        "the lane key was dealt by {dealer:?}, who can read every envelope: only {DEALER:?}, and only on a network that is \
         marked `dev`"
    );
    ensure!(policies.len() <= LANE_POLICIES_MAX, "{} policies, at most {LANE_POLICIES_MAX}", policies.len());
    ensure!(!policies.contains_key(&sequencer::SYSTEM), "namespace 0 belongs to the protocol and has no policy");
    let commitment = hex::decode(sharing).wrap_err("lane.sharing is not hex")?;
    let sharing = Sharing::decode(&commitment, committee).wrap_err("lane.sharing")?;
    let named = hex::decode(key).ok().and_then(|bytes| LaneKey::decode(&bytes).ok());
    ensure!(named.as_ref() == Some(sharing.public()), "lane.key {key:?} is not the key of lane.sharing");
    let secret = match committee.seat(&keys.public_key()) {
        Some(_) => Secret::load(&dir.join(SHARE_FILE), sharing, committee, keys)?,
        // It came later: it judges what is opened, and helps to open nothing.
        None => Secret::without_share(sharing),
    };
    Ok(Some(Config { period_blocks: *period_blocks, policies: policies.clone(), secret }))
}

#[cfg(test)]
mod tests {
    use super::*;

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
