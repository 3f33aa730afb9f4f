//! What belongs to another network or is damaged is refused by name, and stays as it is.

use crate::network::Dev;
use crate::person::{Person, word};
use std::net::TcpListener;
use std::path::Path;

const TINY: [&str; 8] = ["--validators", "1", "--storage-nodes", "2", "--providers", "1", "--block-millis", "100"];

/// Starts a second `kumo dev` that must be refused, on a state directory.
fn refused(person: &Person, state: &Path, ports: &str, wanted: &[&str]) {
    let mut words = vec!["dev", "--state", word(state), "--ports", ports];
    words.extend(TINY);
    let ended = person.run(&words);
    ended.refused(1, wanted);
    assert!(!ended.stderr.contains("RUST_BACKTRACE"), "{}", ended.stderr);
}

#[test]
fn a_directory_and_a_port_serve_one_network_at_a_time() {
    let mut dev = Dev::start(&TINY);
    let state = dev.state();
    refused(&dev.person, &state, "auto", &["is used by another kumo process", word(&state), "--state"]);
    refused_ports(&dev);
    let taken = dev.network.gateway.trim_start_matches("http://");
    let full = state.join("network.json");
    let other = dev.person.path("other-gateway");
    let words = ["node", "--role", "gateway", "--network", word(&full), "--state", word(&other), "--listen", taken];
    dev.person.run(&words).refused(1, &[taken, "port is taken"]);
    dev.process.assert_alive();
    assert_eq!(dev.person.json(&["doctor"])["ok"], true, "the first network was not disturbed");
    dev.process.kill();
    let shape = ["dev", "--state", word(&state), "--ports", "auto", "--validators", "3"];
    dev.person.run(&shape).refused(1, &["1 validators", "--validators 3"]);
    dev.restart();
}

/// The usual ports, taken by somebody: by this test, or by whoever has them already.
fn refused_ports(dev: &Dev) {
    let _taken = [8080, 8545].map(|port| TcpListener::bind(("127.0.0.1", port)));
    let fresh = dev.person.path("fresh");
    refused(&dev.person, &fresh, "default", &["127.0.0.1:8", "port is taken", "--ports auto"]);
}

#[test]
fn a_truncated_state_file_is_named_and_nothing_else_is_lost() {
    let mut dev = Dev::start(&TINY);
    let file = dev.person.write("file", "kept");
    let cid = dev.person.ok(&["store", "put", word(&file)]);
    // Not killed: a database that was about to grow does not miss what is cut off then.
    dev.process.interrupt();
    let state = dev.state();
    for name in [
        "network.json",
        "validator-0/validator.key",
        "validator-0/chain/chain.redb",
        "validator-0/sequencer/history.redb",
        "gateway/index.redb",
        "storage-0/wallet.key",
        "provider-0/wallet.key",
    ] {
        let path = state.join(name);
        let whole = std::fs::read(&path).expect("the state file is there");
        for len in [whole.len() / 2, 10] {
            std::fs::write(&path, &whole[..len]).expect("the state file can be written");
            eprintln!("{name}: {len} of {} bytes", whole.len());
            refused(&dev.person, &state, "auto", &[word(&path)]);
        }
        std::fs::write(&path, &whole).expect("the state file can be written");
    }
    // What others can tell again is put aside instead, with a warning.
    for name in ["gateway/files.redb", "storage-0/shards/manifests.redb"] {
        let path = state.join(name);
        let len = std::fs::metadata(&path).expect("the state file is there").len();
        std::fs::File::options().write(true).open(&path).and_then(|f| f.set_len(len / 2)).expect("it can be cut");
        dev.restart();
        assert_eq!(dev.person.ok(&["store", "get", &cid]), "kept", "{name} was damaged");
        assert!(dev.process.log().contains(&format!("path={}", path.display())), "{}", dev.process.log());
        assert!(path.with_extension("damaged").exists(), "{name} is kept for inspection");
        dev.process.kill();
    }
}
