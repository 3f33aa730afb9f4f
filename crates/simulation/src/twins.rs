//! Twins: a validator that runs twice with one key, each half with its own state and its own peers.
//!
//! Two correct halves that do not know of each other do what a malicious validator can do: propose two blocks in one view,
//! vote for two, say different things to different peers. Source: Bano et al., "Twins: BFT Systems Made Robust", 2021.

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Recipients;
use commonware_p2p::simulated::{SplitOrigin, SplitTarget};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which half of the twins sees which peer; changes as the plan says.
#[derive(Clone)]
pub(crate) struct Sights(Arc<RwLock<BTreeMap<PublicKey, SplitTarget>>>);

impl Sights {
    /// All peers see both halves.
    pub fn new(peers: &[PublicKey]) -> Self {
        Self(Arc::new(RwLock::new(peers.iter().map(|peer| (peer.clone(), SplitTarget::Both)).collect())))
    }

    /// Chooses anew, peer by peer.
    pub fn set(&self, peer: &PublicKey, first: bool, both: bool) {
        let target = match (first, both) {
            (_, true) => SplitTarget::Both,
            (true, false) => SplitTarget::Primary,
            (false, false) => SplitTarget::Secondary,
        };
        self.0.write().insert(peer.clone(), target);
    }

    /// The half that a message of a peer goes to.
    pub fn route(&self, sender: &PublicKey) -> SplitTarget {
        self.0.read().get(sender).copied().unwrap_or(SplitTarget::None)
    }

    /// The peers that a message of a half goes to.
    pub fn forward(&self, half: SplitOrigin, recipients: &Recipients<PublicKey>) -> Option<Recipients<PublicKey>> {
        let sights = self.0.read();
        let own = match half {
            SplitOrigin::Primary => SplitTarget::Primary,
            SplitOrigin::Secondary => SplitTarget::Secondary,
        };
        let sees =
            |peer: &PublicKey| sights.get(peer).is_some_and(|sight| *sight == SplitTarget::Both || *sight == own);
        let seen: Vec<_> = match recipients {
            Recipients::All => sights.keys().filter(|peer| sees(peer)).cloned().collect(),
            Recipients::Some(peers) => peers.iter().filter(|peer| sees(peer)).cloned().collect(),
            Recipients::One(peer) => Some(peer).filter(|peer| sees(peer)).into_iter().cloned().collect(),
        };
        (!seen.is_empty()).then_some(Recipients::Some(seen))
    }
}
