//! The signing scheme of each committee, as one validator holds it: it signs where it has a seat, and verifies else.

use crate::committees::Committees;
use crate::keys::ValidatorKeys;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::types::Epoch;
use commonware_cryptography::certificate::{Provider, Scoped};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Schemes kept: of the committee that orders now, and of those around it.
const KEPT_MAX: usize = 8;

/// The schemes of one validator. Cheap to clone.
#[derive(Clone)]
pub(super) struct Schemes {
    committees: Committees,
    keys: ValidatorKeys,
    made: Arc<Mutex<BTreeMap<Epoch, Arc<Scheme>>>>,
}

impl Schemes {
    pub fn new(committees: Committees, keys: ValidatorKeys) -> Self {
        Self { committees, keys, made: Arc::default() }
    }

    /// The scheme of a committee that is known.
    pub fn of(&self, epoch: Epoch) -> Option<Arc<Scheme>> {
        let mut made = self.made.lock();
        if let Some(scheme) = made.get(&epoch) {
            return Some(scheme.clone());
        }
        let committee = self.committees.of_epoch(epoch)?;
        let (namespace, participants) = (committee.namespace(), committee.participants().clone());
        let signer = Scheme::signer(namespace, participants, self.keys.consensus.clone());
        let scheme = Arc::new(signer.unwrap_or_else(|| committee.verifier().clone()));
        if made.len() >= KEPT_MAX {
            made.pop_first();
        }
        made.insert(epoch, scheme.clone());
        Some(scheme)
    }
}

impl Provider for Schemes {
    type Scope = Epoch;
    type Scheme = Scheme;

    fn scoped(&self, epoch: Epoch) -> Option<Scoped<Scheme>> {
        self.of(epoch).map(Scoped::scheme)
    }
}
