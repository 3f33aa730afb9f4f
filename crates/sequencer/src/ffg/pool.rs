//! Votes that wait for a block, added up.
//!
//! Single votes come by gossip. Only those that would count now are kept: at most two links, one signature for each member,
//! so the pool is bounded by the electorate. Whoever proposes takes one certificate for each link, with those who were not counted
//! yet.

use super::state::{State, VoteError};
use proof::checkpoint::{Certificate, Signers, Vote, VoteKey, VoteSignature};
use std::collections::BTreeMap;

/// A vote is not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// It would not count.
    #[error(transparent)]
    Vote(#[from] VoteError),
    /// The key is not in the electorate.
    #[error("key {key} does not vote on the checkpoint of epoch {epoch}")]
    Stranger {
        /// Key, in hex.
        key: String,
        /// Epoch of the target.
        epoch: u64,
    },
    /// The signature is false.
    #[error("the vote of key {key} for epoch {epoch} has a false signature")]
    Signature {
        /// Key, in hex.
        key: String,
        /// Epoch of the target.
        epoch: u64,
    },
}

/// Votes of single validators, by link and position in the electorate.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    links: BTreeMap<Vote, BTreeMap<usize, VoteSignature>>,
}

impl Pool {
    /// Keeps a vote; false if it was known or counted before.
    pub fn insert(
        &mut self,
        state: &State,
        key: &VoteKey,
        vote: Vote,
        signature: VoteSignature,
    ) -> Result<bool, PoolError> {
        let epoch = vote.target.epoch;
        let named = || hex::encode(key.bytes());
        let position =
            state.electorate(&vote)?.position(key).ok_or_else(|| PoolError::Stranger { key: named(), epoch })?;
        let is_known = self.links.get(&vote).is_some_and(|votes| votes.contains_key(&position));
        if is_known || state.is_counted(&vote, position) {
            return Ok(false);
        }
        if !signature.verify(key, vote.signing_root(&state.parameters().domain).as_slice()) {
            return Err(PoolError::Signature { key: named(), epoch });
        }
        self.links.entry(vote).or_default().insert(position, signature);
        Ok(true)
    }

    /// What the next block should carry: for each link that counts, everybody who was not counted yet.
    pub fn certificates(&self, state: &State) -> Vec<Certificate> {
        self.links.iter().filter_map(|(vote, votes)| certify(state, vote, votes)).collect()
    }

    /// Forgets what no longer counts, or was counted; call it after every block.
    pub fn advance(&mut self, state: &State) {
        self.links.retain(|vote, votes| {
            votes.retain(|position, _| !state.is_counted(vote, *position));
            state.electorate(vote).is_ok() && !votes.is_empty()
        });
    }

    /// Votes kept.
    pub fn len(&self) -> usize {
        self.links.values().map(BTreeMap::len).sum()
    }

    /// Whether no vote is kept.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }
}

fn certify(state: &State, vote: &Vote, votes: &BTreeMap<usize, VoteSignature>) -> Option<Certificate> {
    let mut signers = Signers::none(state.electorate(vote).ok()?.members().len());
    let waiting = votes.iter().filter(|(position, _)| !state.is_counted(vote, **position));
    let signatures: Vec<VoteSignature> = waiting
        .map(|(position, signature)| {
            signers.insert(*position);
            *signature
        })
        .collect();
    let signature = VoteSignature::aggregate(&signatures)?;
    Some(Certificate { vote: *vote, signers, signature })
}

#[cfg(test)]
mod tests;
