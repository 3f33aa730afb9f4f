//! A committee of four with known keys, and chains that they signed.

use crate::application::OrderOnly;
use crate::block::Block;
use crate::certificate::{Certificate, Finalization};
use crate::committee::Committee;
use crate::committees::{Candidates, Committees, Schedule};
use crate::content::{Content, Entry};
use crate::fees::Ledger;
use crate::finality::Tracker;
use crate::finality::desk::Desk;
use crate::history::History;
use crate::keys::ValidatorKeys;
use crate::limits::Limits;
use crate::mempool::Mempool;
use crate::orderer::Core;
use crate::payload::Payload;
use crate::randomness;
use bytes::Bytes;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::{Finalize, Proposal};
use commonware_consensus::types::{Epoch, Round, View};
use commonware_cryptography::sha256;
use commonware_parallel::Sequential;
use commonware_utils::non_empty;
use parking_lot::RwLock;
use protocol::api::CertifiedBlock;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

pub const CHAIN_ID: u64 = 5886;

pub fn keys(seat: u64) -> ValidatorKeys {
    ValidatorKeys::from_seed(seat)
}

pub fn committee() -> Committee {
    let validators: Vec<_> =
        (0..4).map(|seat| keys(seat).validator(format!("127.0.0.1:{}", 9000 + seat), String::new())).collect();
    Committee::new(&validators, CHAIN_ID).unwrap()
}

/// Epochs of four blocks, and no committee announced.
pub fn committees() -> Committees {
    Committees::new(Schedule::new(committee(), 4))
}

pub fn genesis() -> Block {
    Block::genesis(CHAIN_ID, 1_000, Bytes::new())
}

pub fn entry(namespace: u64, payloads: &[&'static str]) -> Entry {
    Entry::new(namespace, payloads.iter().map(|text| Bytes::from_static(text.as_bytes())))
}

/// A payload without bundles.
pub fn payload(entries: Vec<Entry>) -> Payload {
    Payload::new(Content { entries, bundles: vec![] }).unwrap()
}

/// A valid child of `parent`, proposed in `view` by whose turn it is.
pub fn child(parent: &Block, view: u64, entries: Vec<Entry>) -> Block {
    let payload = payload(entries);
    let proposer = keys(u64::from(committee().proposer(view)));
    let height = parent.height + 1;
    let reveal = randomness::reveal(&proposer.randomness, CHAIN_ID, height);
    Block {
        parent: parent.digest(),
        height,
        view,
        timestamp_millis: parent.timestamp_millis + 200,
        randomness: randomness::mix(&parent.randomness, &reveal).unwrap(),
        reveal,
        erasure_root: payload.erasure_root(),
        payload,
        commitment: Bytes::new(),
    }
}

pub fn signer(seat: u64) -> Scheme {
    let committee = committee();
    Scheme::signer(committee.namespace(), committee.participants().clone(), keys(seat).consensus).unwrap()
}

pub fn proposal(block: &Block, parent_view: u64) -> Proposal<sha256::Digest> {
    let round = Round::new(Epoch::zero(), View::new(block.view));
    Proposal::new(round, View::new(parent_view), sha256::Digest(block.digest()))
}

/// Finalization of `block` by three of four.
pub fn finalization(block: &Block) -> Finalization {
    let vote = |seat| Finalize::sign(&signer(seat), proposal(block, block.view - 1)).unwrap();
    let votes = [vote(0), vote(1), vote(2)];
    Finalization::from_finalizes(&signer(3), non_empty![@votes.iter()], &Sequential).unwrap()
}

/// `block` with the finalization of the last of `descendants`, or its own.
pub fn certified(block: &Block, descendants: &[Block]) -> CertifiedBlock {
    let certificate = Certificate {
        descendants: descendants.iter().map(Block::header).collect(),
        finalization: finalization(descendants.last().unwrap_or(block)),
    };
    CertifiedBlock { height: block.height, block: block.encode().into(), certificate: certificate.encode().into() }
}

/// The shared state of seat 0 with an [`OrderOnly`] application.
pub fn core(pace: Duration) -> Arc<Core> {
    let limits = Limits::default();
    let directory = tempfile::tempdir().unwrap();
    let history = Arc::new(History::open(&directory.path().join("history.redb")).unwrap());
    let tracker = Tracker::genesis(&committee(), &genesis(), 4).unwrap();
    Arc::new(Core {
        desk: Arc::new(Desk::new(keys(0).votes.clone(), tracker, history.clone()).unwrap()),
        committees: committees(),
        candidates: Candidates::open(history).unwrap(),
        keys: keys(0),
        application: Arc::new(OrderOnly::default()),
        lane: None,
        mempool: Arc::new(Mempool::new(limits)),
        ledger: Ledger::open(directory.path(), [0; 32], 4),
        pace,
        proposal_bytes: limits.proposal_bytes(),
        gate: RwLock::new(()),
        heights: watch::Sender::new(0),
        failure: watch::Sender::new(None),
    })
}

/// A folder of published vectors, or a word on why the test is skipped.
pub(crate) fn vectors(name: &str) -> Option<std::path::PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/testdata");
    let root = std::env::var_os("KUMO_TESTDATA").map_or_else(|| default.into(), std::path::PathBuf::from);
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: {} is absent; name the folder of the vectors in KUMO_TESTDATA", folder.display());
    None
}

/// Every JSON file in a folder of vectors, sorted.
pub(crate) fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    files
}
