//! How a namespace may be ordered, as `RollupRegistry` has it: its quota, and whether it is suspended for its debt.
//!
//! Read from the state after the parent of a block, which everybody who votes has executed, so all see the same. The
//! proposer leaves out what does not fit; the others refuse a block that has it. What was left out waits for the next
//! block. What can never fit, since it is larger than the quota by itself, is rejected: it would stand in the way of
//! everything behind it. The place of the terms in storage and their packing are those of
//! `contracts/src/RollupRegistry.sol`, whose tests check them.

use crate::seam::SETTLEMENT;
use alloy_primitives::{U256, keccak256};
use alloy_sol_types::SolValue as _;
use chain::{ChainError, StateView};
use protocol::abi::ROLLUP_REGISTRY;
use sequencer::{Content, Entry, Hash, SYSTEM, transaction_hash};
use std::collections::HashSet;

/// Place of the mapping with the terms in the storage of the registry.
const TERMS_SLOT: u64 = 2;
/// Bits of the owner, below the quota.
const OWNER_BITS: usize = 160;
/// Bit of the suspension: above owner, quota (4 bytes) and ordering (1 byte).
const SUSPENDED_BIT: usize = OWNER_BITS + 32 + 8;

/// Times that what a quota tears apart is taken out, and what fits is chosen again.
const TURNS_MAX: usize = 3;

/// What a block may have of one namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Most bytes in one block, tables included; 0 is no limit.
    pub quota_bytes: u32,
    /// It owes too much.
    pub suspended: bool,
}

/// What of a namespace no block can have.
#[derive(Debug, Default)]
struct Oversized {
    /// Hashes of transactions, and names of bundles.
    names: Vec<Hash>,
    /// Of all of them, also of those in bundles.
    positions: HashSet<usize>,
}

/// What namespaces may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// What may stand in the block.
    pub content: Content,
    /// Transactions and bundles that are larger than a quota.
    pub rejected: Vec<Hash>,
}

impl Terms {
    /// What the registry's storage says.
    fn of(word: U256) -> Self {
        let quota: U256 = (word >> OWNER_BITS) & U256::from(u32::MAX);
        Self { quota_bytes: quota.to::<u32>(), suspended: word.bit(SUSPENDED_BIT) }
    }

    /// Positions of those transactions of the entry that a block may have: from the front, without the `oversized`.
    fn fitting(self, entry: &Entry, oversized: &Oversized) -> Vec<usize> {
        let mut small = (0..entry.transactions().len()).filter(|position| !oversized.positions.contains(position));
        match self {
            Self { suspended: true, .. } => Vec::new(),
            Self { quota_bytes: 0, .. } => small.collect(),
            Self { quota_bytes, .. } => entry.fitting(&mut small, quota_bytes as usize),
        }
    }

    /// What of a namespace is larger than its quota by itself. A suspended one waits as it is, until it has paid.
    fn oversized(self, content: &Content, namespace: u64) -> Oversized {
        let mut found = Oversized::default();
        let (Some(entry), Self { quota_bytes: 1.., suspended: false }) = (content.entry(namespace), self) else {
            return found;
        };
        let is_larger = |positions: &[usize]| entry.bytes_at(positions) > self.quota_bytes as usize;
        let mut bundled = HashSet::new();
        for bundle in content.bundles_in(namespace, 1).into_iter().filter_map(|number| content.bundles.get(number)) {
            let members = bundle.positions.iter().filter(|position| position.namespace == namespace);
            let members: Vec<usize> = members.map(|position| position.index as usize).collect();
            if is_larger(&members) {
                found.names.extend(content.bundle_hash(bundle));
                found.positions.extend(&members);
            }
            bundled.extend(members);
        }
        for (position, transaction) in entry.transactions().iter().enumerate() {
            if !bundled.contains(&position) && is_larger(&[position]) {
                found.names.push(transaction_hash(namespace, transaction.payload()));
                found.positions.insert(position);
            }
        }
        found
    }

    fn check(self, entry: &Entry) -> Result<(), String> {
        let (namespace, bytes) = (entry.namespace(), entry.payload_bytes());
        match self {
            Self { suspended: true, .. } => Err(format!("namespace {namespace} is suspended until its debt is paid")),
            Self { quota_bytes, .. } if quota_bytes != 0 && bytes > quota_bytes as usize => {
                Err(format!("namespace {namespace} takes {bytes} bytes, its quota is {quota_bytes}"))
            }
            _ => Ok(()),
        }
    }
}

/// The terms of a namespace in this state. Namespaces of the protocol and of the settlement chain have none.
///
/// # Errors
/// When the state cannot be read.
pub fn terms(state: &StateView, namespace: u64) -> Result<Terms, ChainError> {
    if is_exempt(namespace) {
        return Ok(Terms::default());
    }
    Ok(Terms::of(state.storage(ROLLUP_REGISTRY, slot(namespace))?))
}

/// The content without what its namespaces may not have. A bundle leaves whole.
///
/// # Errors
/// When terms cannot be read.
pub fn admit<E>(mut content: Content, mut terms: impl FnMut(u64) -> Result<Terms, E>) -> Result<Admitted, E> {
    let namespaces: Vec<u64> = content.entries.iter().map(Entry::namespace).filter(|n| !is_exempt(*n)).collect();
    let mut rejected = Vec::new();
    for namespace in namespaces {
        let terms = terms(namespace)?;
        rejected.extend(terms.oversized(&content, namespace).names);
        content = limited(content, namespace, terms);
    }
    Ok(Admitted { content, rejected })
}

/// The content with as much of one namespace as its terms allow.
fn limited(mut content: Content, namespace: u64, terms: Terms) -> Content {
    let mut turns = 0;
    while let Some(entry) = content.entry(namespace) {
        let fitting = terms.fitting(entry, &terms.oversized(&content, namespace));
        if fitting.len() == entry.transactions().len() {
            break;
        }
        turns += 1;
        content = match content.choose(namespace, &fitting) {
            Ok(chosen) => chosen,
            Err(torn) if turns < TURNS_MAX => content.without(&torn.bundles),
            // Without any bundle there is nothing to tear.
            Err(_) => content.without(&content.bundles_in(namespace, 1)),
        };
    }
    content
}

/// Whether these entries of a block keep to the terms in `state`.
///
/// # Errors
/// With the first namespace that does not.
pub fn check(state: &StateView, entries: &[Entry]) -> Result<(), String> {
    for entry in entries.iter().filter(|entry| !is_exempt(entry.namespace())) {
        let terms = terms(state, entry.namespace()).map_err(|error| error.to_string())?;
        terms.check(entry)?;
    }
    Ok(())
}

fn is_exempt(namespace: u64) -> bool {
    namespace == SYSTEM || namespace == SETTLEMENT
}

/// Where the terms of a namespace stand in the registry's storage.
fn slot(namespace: u64) -> U256 {
    keccak256((U256::from(namespace), U256::from(TERMS_SLOT)).abi_encode()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proof::bundle::Position;
    use sequencer::Bundle;
    use std::convert::Infallible;

    fn entry(namespace: u64, sizes: &[usize]) -> Entry {
        let transaction = |(n, size): (usize, &usize)| Bytes::from(vec![n as u8; *size]);
        Entry::new(namespace, sizes.iter().enumerate().map(transaction).collect::<Vec<_>>())
    }

    fn admitted(content: Content, quota_bytes: u32) -> Admitted {
        let terms = |namespace| match namespace {
            7 => Ok::<_, Infallible>(Terms { quota_bytes, suspended: false }),
            8 => Ok(Terms { quota_bytes: 0, suspended: true }),
            _ => Ok(Terms::default()),
        };
        admit(content, terms).unwrap()
    }

    #[test]
    fn terms_are_read_as_the_contract_packs_them() {
        // What `test_termsStandWhereValidatorsReadThem` of the contract expects.
        let owner = U256::from(0x0e00);
        let free: U256 = owner | (U256::from(70_000) << 160) | (U256::from(2) << 192);
        let suspension: U256 = U256::from(1) << 200;
        assert_eq!(Terms::of(free | suspension), Terms { quota_bytes: 70_000, suspended: true });
        assert_eq!(Terms::of(free), Terms { quota_bytes: 70_000, suspended: false });
        assert_eq!(Terms::of(U256::ZERO), Terms::default());
    }

    #[test]
    fn a_quota_takes_what_fits_from_the_front() {
        // 16 bytes of table, and 4 beside each transaction.
        let content = || Content { entries: vec![entry(1, &[900]), entry(7, &[100, 100, 100])], bundles: vec![] };
        for (quota, left) in [(0, 3), (328, 3), (327, 2), (224, 2), (223, 1), (120, 1), (119, 0)] {
            let Admitted { content: admitted, rejected } = admitted(content(), quota);
            assert_eq!(rejected.len(), if quota == 119 { 3 } else { 0 }, "{quota} bytes");
            assert_eq!(admitted.entry(7).map_or(0, |entry| entry.transactions().len()), left, "{quota} bytes");
            assert_eq!(admitted.entry(1), content().entry(1), "other namespaces stay as they are");
            let kept = admitted.entry(7).map(|entry| Terms { quota_bytes: quota, suspended: false }.check(entry));
            assert!(kept.is_none_or(|kept| kept.is_ok()));
        }
        let whole = entry(7, &[100, 100, 100]);
        let refused = Terms { quota_bytes: 327, suspended: false }.check(&whole);
        assert_eq!(refused, Err("namespace 7 takes 328 bytes, its quota is 327".to_owned()));
    }

    #[test]
    fn a_suspended_namespace_is_left_out_with_its_bundles() {
        let position = |namespace, index| Position { namespace, index };
        let bundles = vec![Bundle { positions: vec![position(8, 0), position(9, 1)] }];
        let content = Content { entries: vec![entry(8, &[5, 6]), entry(9, &[7, 8, 9])], bundles };
        let Admitted { content: admitted, rejected } = admitted(content, 0);
        assert_eq!(rejected, [[0; 32]; 0], "it waits until the debt is paid");
        assert_eq!((admitted.entry(8), admitted.bundles.len()), (None, 0));
        assert_eq!(admitted.entry(9).map(|entry| entry.transactions().len()), Some(2));
        let suspended = Terms { quota_bytes: 0, suspended: true };
        assert!(suspended.check(&entry(8, &[1])).is_err_and(|reason| reason.contains("namespace 8 is suspended")));
    }

    #[test]
    fn a_bundle_that_would_be_torn_leaves_whole_and_makes_room() {
        let position = |index| Position { namespace: 7, index };
        let bundles = vec![Bundle { positions: vec![position(1), position(2)] }];
        let content = Content { entries: vec![entry(7, &[100, 100, 100, 100])], bundles };
        // Two fit: the first, and the one behind the bundle.
        let Admitted { content: admitted, rejected } = admitted(content, 240);
        assert_eq!(rejected, [[0; 32]; 0], "the bundle fits into the next block");
        assert_eq!((admitted.entry(7).unwrap().transactions().len(), admitted.bundles.len()), (2, 0));
    }

    #[test]
    fn what_is_larger_than_the_quota_is_rejected_and_blocks_nothing() {
        let content = Content { entries: vec![entry(7, &[500, 100, 300, 100])], bundles: vec![] };
        let Admitted { content: left, rejected } = admitted(content.clone(), 224);
        let hash = |index: usize| transaction_hash(7, content.entries[0].transactions()[index].payload());
        assert_eq!(rejected, [hash(0), hash(2)]);
        assert_eq!(left.entries, [Entry::new(7, [1, 3].map(|n| Bytes::from(vec![n; 100])))]);
    }

    #[test]
    fn a_bundle_that_is_larger_than_the_quota_is_rejected_whole() {
        let position = |namespace, index| Position { namespace, index };
        let bundles = vec![
            Bundle { positions: vec![position(7, 0), position(7, 1), position(9, 0)] },
            Bundle { positions: vec![position(7, 2), position(7, 3)] },
        ];
        let content = Content { entries: vec![entry(7, &[150, 150, 50, 50, 60]), entry(9, &[10, 20])], bundles };
        let Admitted { content: left, rejected } = admitted(content.clone(), 224);
        assert_eq!(rejected, [content.bundle_hash(&content.bundles[0]).unwrap()]);
        assert_eq!(left.entry(7).unwrap().payloads().map(Bytes::len).collect::<Vec<_>>(), [50, 50, 60]);
        assert_eq!(left.entry(9).unwrap().payloads().map(Bytes::len).collect::<Vec<_>>(), [20]);
        assert_eq!(left.bundles, [Bundle { positions: vec![position(7, 0), position(7, 1)] }]);
    }
}
