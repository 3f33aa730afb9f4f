//! What stops a validator from starting, and what it says.

use crate::cluster::{CHAIN_ID, Cluster};
use sequencer::{Committee, Sequencer, StartError};
use std::fs;
use std::net::TcpListener;
use std::sync::Arc;

#[test]
fn a_taken_port_is_named() {
    let cluster = Cluster::new(1, 20);
    let address = cluster.config(0).listen;
    let _taken = TcpListener::bind(address).unwrap();
    let error = cluster.try_start(0).err().unwrap();
    assert!(matches!(error, StartError::Address { .. }));
    assert!(error.to_string().contains(&address.to_string()));
}

#[test]
fn a_directory_in_use_is_named() {
    let cluster = Cluster::start(1, 20);
    let error = cluster.try_start(0).err().unwrap();
    assert!(matches!(&error, StartError::Locked { path } if *path == cluster.directory(0)), "{error}");
}

#[test]
fn a_stopped_validator_releases_port_and_directory() {
    let mut cluster = Cluster::start(1, 20);
    for _ in 0..3 {
        cluster.wait_for(1);
        cluster.stop_seat(0);
        drop(TcpListener::bind(cluster.config(0).listen).unwrap());
        assert_eq!(Arc::strong_count(&cluster.recorders[0]), 1, "the application is let go");
        cluster.start_seat(0);
    }
}

#[test]
fn keys_without_a_seat_wait_and_those_that_are_in_part_a_seats_are_refused() {
    let mut cluster = Cluster::with_waiting(1, 1, 20);
    cluster.start_seat(1);
    assert_eq!((cluster.seat(1).seat(), cluster.seat(1).height()), (None, 0));
    let listed = cluster.validator(0);
    let mixed = protocol::network::Validator { randomness_key: cluster.validator(1).randomness_key, ..listed };
    let mut config = cluster.config(0);
    config.committee = Committee::new(&[mixed], CHAIN_ID).unwrap();
    let error = Sequencer::start(config, cluster.recorders[0].clone()).err().unwrap();
    assert!(matches!(error, StartError::OtherKeys { seat: 0, .. }), "{error}");
}

#[test]
fn another_genesis_in_the_same_directory_is_refused() {
    let mut cluster = Cluster::start(1, 20);
    cluster.stop_seat(0);
    let mut config = cluster.config(0);
    config.genesis_timestamp_millis += 1;
    let error = Sequencer::start(config, cluster.recorders[0].clone()).err().unwrap();
    assert!(matches!(error, StartError::GenesisMismatch { .. }), "{error}");
}

#[test]
fn a_pace_beyond_a_minute_is_refused() {
    let mut cluster = Cluster::new(1, 60_001);
    assert!(matches!(cluster.try_start(0), Err(StartError::Pace { millis: 60_001 })));
    cluster.block_millis = 60_000;
    cluster.start_seat(0);
}

#[test]
fn a_damaged_history_is_named() {
    let mut cluster = Cluster::start(1, 10);
    cluster.wait_for(3);
    cluster.stop_seat(0);
    let path = cluster.directory(0).join("history.redb");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 3]).unwrap();
    let error = cluster.try_start(0).err().unwrap();
    assert!(error.to_string().contains("history.redb"), "{error}");
}

#[test]
fn without_knowing_what_it_signed_a_validator_does_not_start() {
    let mut cluster = Cluster::start(1, 10);
    cluster.wait_for(3);
    cluster.stop_seat(0);
    let engine = cluster.directory(0).join("consensus");
    let files: Vec<_> = fs::read_dir(engine.join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 2);
    let whole: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    // What the runtime writes before the file, or what the log does.
    for damaged in [0..64, 4_096..4_128] {
        for (file, whole) in files.iter().zip(&whole) {
            let mut bytes = whole.clone();
            bytes[damaged.clone()].fill(0xa5);
            fs::write(file, bytes).unwrap();
        }
        let error = cluster.try_start(0).err().expect("nothing is signed").to_string();
        assert!(error.contains(&*engine.to_string_lossy()), "{error}");
    }
    for (file, whole) in files.iter().zip(&whole) {
        fs::write(file, whole).unwrap();
    }
    cluster.start_seat(0);
    let height = cluster.seat(0).height();
    cluster.wait_for(height + 1);
}
