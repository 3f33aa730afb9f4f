//! What an acknowledgement promises.

use crate::cluster::{Cluster, PATIENCE, wait_for};
use protocol::api::{SubmissionState, SubmissionStatus};
use sequencer::{Lifetime, Receipt, Sequencer, Submission, transaction_hash};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Instant;

const NAMESPACE: u64 = 7;

fn transaction(text: &str) -> Submission {
    Submission::Transaction(NAMESPACE, text.to_owned().into())
}

fn accept(sequencer: &Sequencer, submission: Submission) -> Receipt {
    let answers = futures::executor::block_on(sequencer.accept(vec![submission], Lifetime::default()));
    answers.into_iter().next().unwrap().unwrap()
}

fn status(sequencer: &Sequencer, hash: [u8; 32]) -> SubmissionStatus {
    sequencer.statuses(&[hash], 0).unwrap().pop().unwrap()
}

/// Waits until `is_so` holds of what `sequencer` says.
fn until(sequencer: &Sequencer, hash: [u8; 32], is_so: impl Fn(&SubmissionStatus) -> bool) -> SubmissionStatus {
    let begin = Instant::now();
    loop {
        let told = status(sequencer, hash);
        if is_so(&told) {
            return told;
        }
        assert!(begin.elapsed() < PATIENCE, "{told:?}");
        std::thread::yield_now();
    }
}

fn is_final(told: &SubmissionStatus) -> bool {
    told.state == SubmissionState::Final
}

#[test]
fn a_submission_to_one_validator_is_ordered_once_and_all_know_where() {
    let cluster = Cluster::start(4, 20);
    let single = accept(cluster.seat(2), transaction("one"));
    let bundle = accept(cluster.seat(2), Submission::Bundle(vec![(NAMESPACE, "a".into()), (8, "b".into())]));
    for receipt in [single, bundle] {
        let told = until(cluster.seat(2), receipt.hash, is_final);
        cluster.wait_for(told.height.unwrap());
        for seat in 0..4 {
            let here = status(cluster.seat(seat), receipt.hash);
            assert_eq!((here.state, here.height, here.place), (told.state, told.height, told.place));
        }
    }
    assert!(accept(cluster.seat(0), transaction("one")).is_known, "another validator knows it, too");
    cluster.wait_for(cluster.seat(0).height() + 4);
    let ordered: usize = cluster.follow(1, 1).iter().map(sequencer::Block::transaction_count).sum();
    assert_eq!(ordered, 3);
}

#[test]
fn a_submission_outlives_the_validator_that_took_it() {
    let mut cluster = Cluster::new(4, 20);
    // Two of four order nothing, so that the submission is certainly waiting when its validator stops.
    (0..2).for_each(|seat| cluster.start_seat(seat));
    let receipt = accept(cluster.seat(0), transaction("orphan"));
    until(cluster.seat(0), receipt.hash, |told| told.copies == Some(2));
    cluster.stop_seat(0);
    assert_eq!(status(cluster.seat(1), receipt.hash).state, SubmissionState::Pending);
    (2..4).for_each(|seat| cluster.start_seat(seat));
    let told = until(cluster.seat(1), receipt.hash, is_final);
    assert_eq!(told.expires, None);
    wait_for(cluster.seat(3), told.height.unwrap());
    assert_eq!(cluster.seat(3).statuses(&[receipt.hash], 0).unwrap()[0].state, SubmissionState::Final);
}

#[test]
fn states_survive_a_restart() {
    let mut cluster = Cluster::start(1, 10);
    let receipt = accept(cluster.seat(0), transaction("one"));
    let told = until(cluster.seat(0), receipt.hash, is_final);
    let short = Lifetime::new(1).unwrap();
    // Whether a lifetime of one block is enough is for the clock to decide: either ending must be kept.
    let answers = futures::executor::block_on(cluster.seat(0).accept(vec![transaction("brief")], short));
    let brief = answers.into_iter().next().unwrap().unwrap().hash;
    let ended = until(cluster.seat(0), brief, |told| told.state.has_reached(SubmissionState::Final));
    cluster.stop_all();
    cluster.start_seat(0);
    let again = status(cluster.seat(0), receipt.hash);
    assert_eq!((again.state, again.height, again.place), (told.state, told.height, told.place));
    let again = status(cluster.seat(0), brief);
    assert_eq!((again.state, again.height, again.expires), (ended.state, ended.height, ended.expires));
    assert!(accept(cluster.seat(0), transaction("one")).is_known);
}

const KILLED_DIRECTORY: &str = "SUBMISSION_TEST_DIRECTORY";

/// One of four validators, alone and so without a quorum: accepts for ever and prints each acknowledged number.
#[test]
#[ignore = "the body of the process that the next test kills"]
fn process_to_be_killed() {
    let Some(root) = std::env::var_os(KILLED_DIRECTORY) else { return };
    let mut cluster = Cluster::new(4, 20);
    cluster.move_to(root.into());
    cluster.start_seat(0);
    for number in 0.. {
        accept(cluster.seat(0), transaction(&number.to_string()));
        writeln!(std::io::stdout(), "acknowledged {number}").unwrap();
    }
}

#[test]
fn a_killed_process_loses_nothing_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["submissions::process_to_be_killed", "--exact", "--ignored", "--nocapture"])
        .env(KILLED_DIRECTORY, root.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let acknowledged = lines.map(|line| line.unwrap()).filter(|line| line.contains("acknowledged ")).take(100).count();
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(acknowledged, 100);
    let mut cluster = Cluster::new(4, 20);
    cluster.move_to(root.path().to_owned());
    cluster.start_seat(0);
    let hash = |number: usize| transaction_hash(NAMESPACE, number.to_string().as_bytes());
    let hashes: Vec<_> = (0..acknowledged).map(hash).collect();
    let told = cluster.seat(0).statuses(&hashes, 0).unwrap();
    assert!(told.iter().all(|told| told.state == SubmissionState::Pending), "{told:?}");
    // The others never heard of them.
    (1..4).for_each(|seat| cluster.start_seat(seat));
    for hash in hashes {
        until(cluster.seat(2), hash, is_final);
    }
}
