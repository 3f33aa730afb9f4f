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
fn damaged_engine_files_are_an_error_that_names_the_directory() {
    let mut cluster = Cluster::start(1, 10);
    cluster.wait_for(3);
    cluster.stop_seat(0);
    let engine = cluster.directory(0).join("consensus");
    let mut overwritten = 0;
    for partition in fs::read_dir(&engine).unwrap().map(|entry| entry.unwrap().path()) {
        if !partition.to_string_lossy().contains("application-metadata") {
            continue;
        }
        for blob in fs::read_dir(partition).unwrap().map(|entry| entry.unwrap().path()) {
            fs::write(blob, [0xa5; 64]).unwrap();
            overwritten += 1;
        }
    }
    assert!(overwritten > 0);
    match cluster.try_start(0) {
        Err(error) => assert!(error.to_string().contains(&*engine.to_string_lossy()), "{error}"),
        // An engine that recovers must continue the same chain.
        Ok(sequencer) => {
            let height = sequencer.height();
            cluster.running[0] = Some(sequencer);
            cluster.wait_for(height + 1);
        }
    }
}
