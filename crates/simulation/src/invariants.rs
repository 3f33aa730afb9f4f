//! What must hold in every run, whatever breaks.

use std::fmt;
use std::time::Duration;

/// A promise of the sequencer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// All honest validators have the same block at each height, and it never changes.
    OneBlockPerHeight,
    /// An application is given every final block once, in order, across any crash.
    EveryBlockOnce,
    /// What a validator serves as final is proven by a certificate of the committee.
    CertifiedWhenServed,
    /// No transaction is final twice, and none that nobody submitted.
    NothingTwiceNothingInvented,
    /// The proof of a namespace has all of its transactions in the block, or shows that there are none.
    NamespaceProofsComplete,
    /// The transactions of a bundle are in one block, contiguous, or nowhere.
    BundlesAtomic,
    /// Evidence names only validators that signed what excludes each other, whatever the honest ones went through.
    HonestNeverAccused,
    /// Every proof against a voter is taken by the contracts of an L1 that slash, whose light client has followed the run by its
    /// links, and everybody whom a block convicts loses all of its stake on the chain, once, and nobody else any.
    SlashProofsVerify,
    /// What the stake finalises is final, the same for all honest validators, and never taken back.
    FinalizedIsFinal,
    /// An honest validator releases its share of an opening only when the block at the target is final for it.
    NoShareBeforeFinality,
    /// All who hold a share of the encrypted lane's key agree on the key and on who holds the others.
    OneLaneKey,
    /// When all faults have ended, blocks become final again everywhere, and the stake finalises them.
    Progress,
    /// What an honest validator has acknowledged becomes final or expires, whatever happens to that validator, and nothing
    /// is final after it expired.
    AcknowledgedIsIncluded,
    /// An honest validator serves every final block, or says that it is pruned, from which height on it keeps them, and serves
    /// its header; it prunes nothing younger than the window, and none of the newest blocks.
    ServedOrPruned,
    /// Whatever a validator finds on its disk, it starts.
    StartsAgain,
    /// No input, order or fault makes the code panic.
    NoPanic,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::OneBlockPerHeight,
        Self::EveryBlockOnce,
        Self::CertifiedWhenServed,
        Self::NothingTwiceNothingInvented,
        Self::NamespaceProofsComplete,
        Self::BundlesAtomic,
        Self::HonestNeverAccused,
        Self::SlashProofsVerify,
        Self::FinalizedIsFinal,
        Self::NoShareBeforeFinality,
        Self::OneLaneKey,
        Self::Progress,
        Self::AcknowledgedIsIncluded,
        Self::ServedOrPruned,
        Self::StartsAgain,
        Self::NoPanic,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::OneBlockPerHeight => "one-block-per-height",
            Self::EveryBlockOnce => "every-block-once",
            Self::CertifiedWhenServed => "certified-when-served",
            Self::NothingTwiceNothingInvented => "nothing-twice-nothing-invented",
            Self::NamespaceProofsComplete => "namespace-proofs-complete",
            Self::BundlesAtomic => "bundles-atomic",
            Self::HonestNeverAccused => "honest-never-accused",
            Self::SlashProofsVerify => "slash-proofs-verify",
            Self::FinalizedIsFinal => "finalized-is-final",
            Self::NoShareBeforeFinality => "no-share-before-finality",
            Self::OneLaneKey => "one-lane-key",
            Self::Progress => "progress",
            Self::AcknowledgedIsIncluded => "acknowledged-is-included",
            Self::ServedOrPruned => "served-or-pruned",
            Self::StartsAgain => "starts-again",
            Self::NoPanic => "no-panic",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// Part of the run, from 0.
    pub part: usize,
    /// Events of the plan that had happened.
    pub step: usize,
    /// Simulated time since power on.
    pub at: Duration,
    /// What was seen.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, part, step, at, detail } = self;
        write!(f, "{invariant} broken in part {part} at step {step} ({} ms): {detail}", at.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_invariant_has_its_own_name() {
        let names: std::collections::BTreeSet<_> = Invariant::ALL.iter().map(|it| it.name()).collect();
        assert_eq!(names.len(), Invariant::ALL.len());
    }
}
