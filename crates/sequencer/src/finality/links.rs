//! Links that the stake voted for, with the votes added up: what somebody who follows finality by signatures alone needs.
//!
//! Votes stand in blocks as certificates of those who were not counted yet, so those for one link are disjoint and add up to one
//! certificate with one signature. Two thirds justify its target; the rest, which comes later, makes it cheaper to check on an L1,
//! where those who are missing cost most. If a certificate overlaps with what is known, which no honest validator proposes, the
//! heavier one stays. [`proof::checkpoint::Follower`] and the contract `KumoLightClient` take such links.

use super::kept::KeptCheckpoint;
use crate::block::Block;
use crate::ffg::State;
use crate::system::System;
use proof::checkpoint::{Certificate, Checkpoint, Electorate, VoteSignature};
use std::collections::BTreeMap;

/// A link and everybody who voted for it as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The link and its votes.
    pub certificate: Certificate,
    /// Its target.
    pub target: Checkpoint,
    /// Who may vote for it.
    pub electorate: Electorate,
}

/// The bytes are no link to a checkpoint of this electorate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes are no link to a checkpoint of this electorate")]
pub struct LinkError(usize);

impl Link {
    /// Whether two thirds of every set voted for it, which justifies its target.
    pub fn is_justified(&self) -> bool {
        self.electorate.is_supermajority(&self.certificate.signers)
    }

    /// Fields of the target as in a [`KeptCheckpoint`], then the certificate. The electorate is kept beside.
    pub fn encode(&self) -> Vec<u8> {
        KeptCheckpoint { checkpoint: self.target, state: self.certificate.encode() }.encode()
    }

    /// Target and certificate of [`Link::encode`]; signatures are not checked.
    pub fn decode_parts(bytes: &[u8]) -> Result<(Checkpoint, Certificate), LinkError> {
        let fail = LinkError(bytes.len());
        let KeptCheckpoint { checkpoint, state } = KeptCheckpoint::decode(bytes).map_err(|_| fail.clone())?;
        let certificate = Certificate::decode(&state).map_err(|_| fail.clone())?;
        if certificate.vote.target != checkpoint.point() {
            return Err(fail);
        }
        Ok((checkpoint, certificate))
    }

    /// Decodes [`Link::encode`]; signatures are not checked.
    pub fn decode(bytes: &[u8], electorate: &Electorate) -> Result<Self, LinkError> {
        let (target, certificate) = Self::decode_parts(bytes)?;
        let is_theirs = certificate.signers.length() == electorate.members().len();
        if target.electorate != electorate.root() || !is_theirs {
            return Err(LinkError(bytes.len()));
        }
        Ok(Self { certificate, target, electorate: electorate.clone() })
    }

    /// Adds votes for the same link; false if nothing changed.
    fn add(&mut self, other: Certificate) -> bool {
        let known = &mut self.certificate;
        let weigh = |signers| self.electorate.weigh(signers).last().copied().unwrap_or(0);
        if other.signers.iter().any(|position| known.signers.contains(position)) {
            let is_heavier = weigh(&other.signers) > weigh(&known.signers);
            if is_heavier {
                *known = other;
            }
            return is_heavier;
        }
        let Some(signature) = VoteSignature::aggregate(&[known.signature, other.signature]) else { return false };
        known.signers.extend(&other.signers);
        known.signature = signature;
        true
    }
}

/// Links whose votes still count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links(BTreeMap<u64, Link>);

impl Links {
    /// Goes on from links that were kept.
    pub fn resume(kept: impl IntoIterator<Item = Link>) -> Self {
        Self(kept.into_iter().map(|link| (link.target.epoch, link)).collect())
    }

    /// Adds the votes in a final block to `before`, finality before it; the links that changed.
    pub fn observe(&mut self, before: &State, block: &Block) -> Vec<Link> {
        self.0.retain(|epoch, _| epoch.saturating_add(1) >= before.epoch());
        if block.height.is_multiple_of(before.parameters().epoch_blocks) {
            return Vec::new();
        }
        let votes = System::read(&block.payload).unwrap_or_default().votes;
        votes.into_iter().filter_map(|certificate| self.count(before, certificate)).collect()
    }

    fn count(&mut self, before: &State, certificate: Certificate) -> Option<Link> {
        before.check(&certificate).ok()?;
        let (target, electorate) = before.target(&certificate.vote).ok()?;
        let epoch = target.epoch;
        match self.0.get_mut(&epoch) {
            Some(link) if link.certificate.vote == certificate.vote => link.add(certificate).then(|| link.clone()),
            _ => {
                let link = Link { certificate, target: *target, electorate: electorate.clone() };
                self.0.insert(epoch, link.clone());
                Some(link)
            }
        }
    }
}
