use super::*;
use crate::testing::{child, committees, entry, genesis, proposal, signer};
use commonware_consensus::simplex::types::{
    ConflictingFinalize, ConflictingNotarize, Finalize, Notarize, Nullify, NullifyFinalize,
};
use commonware_consensus::types::{Epoch, Round, View};
use std::fs;
use tempfile::TempDir;

/// Two blocks of the same view.
fn fork() -> [types::Proposal<Digest>; 2] {
    [vec![], vec![entry(1, &["t"])]].map(|entries| proposal(&child(&genesis(), 1, entries), 0))
}

fn double_notarize(seat: u64) -> Activity {
    let votes = fork().map(|proposal| Notarize::sign(&signer(seat), proposal).unwrap());
    let [first, second] = votes;
    Activity::ConflictingNotarize(ConflictingNotarize::new(first, second))
}

fn double_finalize(seat: u64) -> Activity {
    let [first, second] = fork().map(|proposal| Finalize::sign(&signer(seat), proposal).unwrap());
    Activity::ConflictingFinalize(ConflictingFinalize::new(first, second))
}

fn nullify_and_finalize(seat: u64) -> Activity {
    let nullify = Nullify::sign::<Digest>(&signer(seat), Round::new(Epoch::zero(), View::new(1))).unwrap();
    let [finalize, _] = fork().map(|proposal| Finalize::sign(&signer(seat), proposal).unwrap());
    Activity::NullifyFinalize(NullifyFinalize::new(nullify, finalize))
}

fn records(path: &Path) -> Vec<EvidenceRecord> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_kind_of_contradiction_is_counted_and_kept() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("evidence.jsonl");
    let mut log = EvidenceLog::open(&path, committees()).unwrap();
    log.report(double_notarize(2));
    log.report(double_finalize(0));
    log.report(nullify_and_finalize(3));
    assert_eq!(log.count(), 3);
    let kept: Vec<_> = records(&path).into_iter().map(|record| (record.kind, record.seat, record.view)).collect();
    let expected = [("conflicting-notarize", 2, 1), ("conflicting-finalize", 0, 1), ("nullify-finalize", 3, 1)];
    assert_eq!(kept, expected.map(|(kind, seat, view)| (kind.to_owned(), seat, view)));
}

#[test]
fn evidence_survives_a_restart_and_the_count_begins_anew() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("evidence.jsonl");
    EvidenceLog::open(&path, committees()).unwrap().report(double_notarize(1));
    let mut log = EvidenceLog::open(&path, committees()).unwrap();
    assert_eq!(log.count(), 0);
    log.report(double_notarize(1));
    assert_eq!((log.count(), records(&path).len()), (1, 2));
}

#[test]
fn ordinary_votes_are_no_evidence() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("evidence.jsonl");
    let mut log = EvidenceLog::open(&path, committees()).unwrap();
    let [vote, _] = fork().map(|proposal| Notarize::sign(&signer(0), proposal).unwrap());
    log.report(Activity::Notarize(vote));
    assert_eq!((log.count(), records(&path).len()), (0, 0));
}

#[test]
fn forged_evidence_is_ignored() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("evidence.jsonl");
    let mut log = EvidenceLog::open(&path, committees()).unwrap();
    let [first, second] = fork();
    let mut forged = Notarize::sign(&signer(0), first.clone()).unwrap();
    forged.proposal = second;
    let genuine = Notarize::sign(&signer(0), first).unwrap();
    log.report(Activity::ConflictingNotarize(ConflictingNotarize::new(genuine, forged)));
    assert_eq!((log.count(), records(&path).len()), (0, 0));
}

#[test]
fn a_full_file_is_not_extended_but_counting_goes_on() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("evidence.jsonl");
    fs::File::create(&path).unwrap().set_len(EVIDENCE_FILE_BYTES_MAX).unwrap();
    let mut log = EvidenceLog::open(&path, committees()).unwrap();
    log.report(double_notarize(1));
    assert_eq!(log.count(), 1);
    assert_eq!(fs::metadata(&path).unwrap().len(), EVIDENCE_FILE_BYTES_MAX);
}
