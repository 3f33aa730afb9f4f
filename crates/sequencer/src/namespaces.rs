//! Proofs about namespaces and bundles of a payload, for [`proof`] to verify.

use crate::content::{Bundle, Entry, Hash};
use crate::payload::Payload;
use proof::bundle::{self, BundleProof, Member, Position};
use proof::merkle::{self, Tree};
use proof::namespace::{
    Evidence, NamespaceLeaf, NamespaceProof, Neighbour, TransactionProof, namespaces_root, section_bytes,
};

/// What a header commits to of namespaces and bundles, with all nodes.
#[derive(Debug)]
pub(crate) struct Trees {
    pub namespaces_root: Hash,
    pub bundles_root: Hash,
    leaves: Vec<NamespaceLeaf>,
    namespaces: Tree,
    bundles: Tree,
}

impl Trees {
    /// Hashes every transaction whose hash is not known yet.
    pub fn new(payload: &Payload) -> Self {
        let sizes: Vec<u32> = payload.entries().iter().map(section_size).collect();
        let mut start = payload.encoded().len() as u32 - sizes.iter().sum::<u32>();
        let mut leaves = Vec::with_capacity(sizes.len());
        for (entry, size) in payload.entries().iter().zip(sizes) {
            leaves.push(leaf(entry, start, start + size));
            start += size;
        }
        let namespaces = Tree::new(leaves.iter().map(NamespaceLeaf::hash).collect());
        let bundle_leaf = |(bundle, hash): (&Bundle, Hash)| bundle::leaf(&hash.into(), bundle.positions.clone());
        let bundles = Tree::new(payload.bundles().iter().zip(payload.bundle_hashes()).map(bundle_leaf).collect());
        Self {
            namespaces_root: namespaces_root(leaves.len() as u32, &namespaces.root()).0,
            bundles_root: bundle::bundles_root(bundles.count() as u32, &bundles.root()).0,
            leaves,
            namespaces,
            bundles,
        }
    }
}

impl Payload {
    /// What the header commits to of each namespace, ascending, as [`Payload::entries`] are.
    pub(crate) fn leaves(&self) -> &[NamespaceLeaf] {
        &self.trees().leaves
    }
}

fn section_size(entry: &Entry) -> u32 {
    section_bytes(entry.payloads().map(bytes::Bytes::len)).expect("a payload keeps the limits of each section")
}

fn leaf(entry: &Entry, start: u32, end: u32) -> NamespaceLeaf {
    let transactions_root = merkle::root(entry.hashes().map(Into::into).collect());
    let transactions = entry.transactions().len() as u32;
    NamespaceLeaf { namespace: entry.namespace(), transactions_root, transactions, start, end }
}

impl Payload {
    /// Proof of all transactions of `namespace`, or that it has none.
    pub fn prove_namespace(&self, namespace: u64) -> NamespaceProof {
        let Trees { leaves, namespaces, .. } = self.trees();
        let place = leaves.partition_point(|leaf| leaf.namespace < namespace);
        let neighbour =
            |place: usize| leaves.get(place).map(|leaf| Neighbour { leaf: leaf.clone(), path: namespaces.path(place) });
        let index = place as u32;
        let evidence = match leaves.get(place).filter(|leaf| leaf.namespace == namespace) {
            Some(leaf) => Evidence::Present {
                index,
                start: leaf.start,
                path: namespaces.path(place),
                transactions: self.entries()[place].payloads().map(|payload| payload.clone().into()).collect(),
            },
            None => {
                Evidence::Absent { index, below: place.checked_sub(1).and_then(neighbour), above: neighbour(place) }
            }
        };
        NamespaceProof { namespaces: leaves.len() as u32, evidence }
    }

    /// Proof of transaction number `index` of `namespace`; `None` if there is no such transaction.
    pub fn prove_transaction(&self, namespace: u64, index: u32) -> Option<TransactionProof> {
        let Trees { leaves, namespaces, .. } = self.trees();
        let place = leaves.binary_search_by_key(&namespace, |leaf| leaf.namespace).ok()?;
        let entry = &self.entries()[place];
        let transaction = entry.transactions().get(index as usize)?.payload().clone().into();
        let NamespaceLeaf { start, end, transactions, .. } = leaves[place];
        Some(TransactionProof {
            namespaces: leaves.len() as u32,
            place: place as u32,
            path: namespaces.path(place),
            start,
            end,
            transactions,
            index,
            transaction_path: Tree::new(entry.hashes().map(Into::into).collect()).path(index as usize),
            transaction,
        })
    }

    /// Proof that the bundle with this name is included whole; `None` if it is not in the block.
    pub fn prove_bundle(&self, bundle: &Hash) -> Option<BundleProof> {
        let index = self.bundle_hashes().position(|hash| hash == *bundle)?;
        let member = |position: &Position| {
            let transaction = self.transactions(position.namespace)[position.index as usize].payload();
            Member { position: *position, transaction: transaction.clone().into() }
        };
        Some(BundleProof {
            bundles: self.bundles().len() as u32,
            index: index as u32,
            members: self.bundles()[index].positions.iter().map(member).collect(),
            path: self.trees().bundles.path(index),
        })
    }
}

#[cfg(test)]
mod tests;
