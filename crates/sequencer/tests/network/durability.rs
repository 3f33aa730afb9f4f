//! What survives the processes.

use crate::cluster::{Cluster, Recorder};
use protocol::api::CertifiedBlock;
use sequencer::{Application as _, StartError, VerifyError};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;

#[test]
fn all_four_restarted_from_disk_continue_the_same_chain() {
    let mut cluster = Cluster::start(4, 20);
    cluster.wait_for(6);
    let before = cluster.follow(0, 1);
    cluster.stop_all();
    (0..4).for_each(|seat| cluster.start_seat(seat));
    let height = before.len() as u64 + 4;
    cluster.wait_for(height);
    for seat in 0..4 {
        assert_eq!(cluster.follow(seat, 1)[..before.len()], before, "nothing final is undone");
    }
}

#[test]
fn an_application_that_lost_its_state_gets_every_block_again() {
    let mut cluster = Cluster::start(1, 10);
    cluster.wait_for(5);
    cluster.stop_all();
    let taken = cluster.recorders[0].blocks();
    cluster.recorders[0] = Arc::new(Recorder::default());
    cluster.start_seat(0);
    assert!(cluster.recorders[0].finalized_height() >= taken.len() as u64, "before the start returns");
    let again = cluster.recorders[0].blocks();
    assert!(taken.iter().all(|(height, block)| again[height] == *block));
}

#[test]
fn an_application_ahead_of_the_history_is_refused() {
    let mut cluster = Cluster::start(1, 10);
    cluster.wait_for(3);
    cluster.stop_all();
    std::fs::remove_dir_all(cluster.directory(0)).unwrap();
    let error = cluster.try_start(0).err().unwrap();
    assert!(matches!(error, StartError::ApplicationAhead { stored: 0, .. }), "{error}");
}

#[test]
fn certificates_verify_and_anything_changed_does_not() {
    let cluster = Cluster::start(4, 20);
    cluster.wait_for(4);
    let pages = cluster.pages(0, 1);
    let (committee, third, fourth) = (&cluster.committee, &pages[2], &pages[3]);
    let block = committee.verify(third).unwrap();
    committee.verify_child(&block, fourth).unwrap();

    let encode = |change: &dyn Fn(&mut sequencer::Block)| {
        let mut changed = block.clone();
        change(&mut changed);
        CertifiedBlock { height: changed.height, block: changed.encode().into(), ..third.clone() }
    };
    let unrelated = [
        encode(&|block| block.timestamp_millis += 1),
        encode(&|block| block.reveal[0] ^= 1),
        encode(&|block| block.randomness[0] ^= 1),
        encode(&|block| block.commitment = "other".into()),
        encode(&|block| block.height += 1),
        CertifiedBlock { certificate: fourth.certificate.clone(), ..third.clone() },
    ];
    for (i, certified) in unrelated.iter().enumerate() {
        assert!(matches!(committee.verify(certified), Err(VerifyError::Unrelated { .. })), "change {i}");
    }
    let claimed = CertifiedBlock { height: 9, ..third.clone() };
    assert!(matches!(committee.verify(&claimed), Err(VerifyError::Height { claimed: 9, actual: 3 })));
    let first = committee.verify(&pages[0]).unwrap();
    assert!(matches!(committee.verify_child(&first, third), Err(VerifyError::Parent { .. })));
}

#[test]
fn no_flipped_bit_of_a_certificate_goes_unnoticed() {
    let cluster = Cluster::start(4, 20);
    cluster.wait_for(2);
    let certified = cluster.pages(0, 1).swap_remove(1);
    for position in 0..certified.certificate.len() {
        let mut bytes = certified.certificate.to_vec();
        bytes[position] ^= 1;
        let changed = CertifiedBlock { certificate: bytes.into(), ..certified.clone() };
        // The parent's view is part of what the quorum signs; everything else names the block.
        assert!(cluster.committee.verify(&changed).is_err(), "bit flipped in byte {position}");
    }
    for length in 0..certified.certificate.len() {
        let certificate = certified.certificate.slice(..length);
        assert!(cluster.committee.verify(&CertifiedBlock { certificate, ..certified.clone() }).is_err());
    }
}

#[test]
fn another_committee_accepts_nothing() {
    let cluster = Cluster::start(1, 10);
    cluster.wait_for(1);
    let certified = cluster.pages(0, 1).swap_remove(0);
    let stranger = sequencer::ValidatorKeys::from_seed(99).validator("127.0.0.1:1".into(), String::new());
    let other = sequencer::Committee::new(&[stranger], crate::cluster::CHAIN_ID).unwrap();
    assert!(matches!(other.verify(&certified), Err(VerifyError::Quorum { .. })));
}

const KILLED_DIRECTORY: &str = "SEQUENCER_TEST_DIRECTORY";

/// Runs a validator for ever and prints each final block, until the test that started the process kills it.
#[test]
#[ignore = "the body of the process that the next test kills"]
fn process_to_be_killed() {
    let Some(root) = std::env::var_os(KILLED_DIRECTORY) else { return };
    let mut cluster = Cluster::single_in(root.into(), 5);
    cluster.start_seat(0);
    for height in 1.. {
        cluster.wait_for(height);
        let block = &cluster.recorders[0].blocks()[&height];
        writeln!(std::io::stdout(), "final {height} {:?}", block.digest()).unwrap();
    }
}

#[test]
fn a_killed_process_loses_nothing_final() {
    let root = tempfile::tempdir().unwrap();
    let mut announced: Vec<String> = Vec::new();
    for run in 0..3 {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["durability::process_to_be_killed", "--exact", "--ignored", "--nocapture"])
            .env(KILLED_DIRECTORY, root.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let read: Vec<String> = lines
            .map(|line| line.unwrap())
            .filter_map(|line| line.find("final ").map(|start| line[start..].to_owned()))
            .take(announced.len() + 15)
            .collect();
        process.kill().unwrap();
        process.wait().unwrap();
        assert_eq!(read[..announced.len()], announced, "run {run}");
        assert!(read.len() > announced.len());
        announced = read;
    }
}
