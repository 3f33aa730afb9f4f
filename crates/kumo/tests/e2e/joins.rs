//! Nodes started by hand join a running `kumo dev`, fund themselves there, and work.

use crate::http;
use crate::network::Dev;
use crate::person::word;
use crate::process::{Process, until};
use crate::programs::{COPY, JOB, write_job};
use serde_json::Value;

#[test]
fn a_provider_and_a_storage_node_started_by_hand_join_and_work() {
    let dev = Dev::start(&["--validators", "1", "--storage-nodes", "3", "--providers", "0", "--block-millis", "100"]);
    let file = dev.file();
    let launch = |role: &str, more: &[&str]| {
        let state = dev.person.path(role);
        let mut words = vec!["node", "--role", role, "--network", word(&file), "--state", word(&state)];
        words.extend(more);
        Process::start(role, dev.person.command(&words), &dev.person.path(&format!("{role}.log")))
    };
    assert_eq!(dev.person.json(&["provider", "list"]), Value::Array(vec![]));
    let mut storage = launch("storage", &["--capacity", "1Gi"]);
    let mut provider = launch("provider", &["--stake", "50"]);
    until("the provider says that its stake is too low, and how much is wanted", || {
        provider.assert_alive();
        let log = provider.log();
        (log.contains("StakeTooLow") && log.contains("wanted: 100")).then_some(())
    });
    provider.kill();
    let mut provider = launch("provider", &["--slots", "2", "--stake", "150"]);
    until("the provider is listed", || {
        provider.assert_alive();
        Some(dev.person.json(&["provider", "list"])).filter(|list| list[0]["stake"]["display"] == "150 AKE")
    });
    let nodes = until("the storage node is up", || {
        storage.assert_alive();
        let nodes = http::get(&format!("{}/v1/storage/nodes", dev.network.gateway)).json();
        let up = nodes.as_array()?.iter().filter(|node| node["up"] == true).count();
        (up == 4).then_some(nodes)
    });
    let joined = nodes.as_array().unwrap().iter().find(|node| node["capacity_bytes"] == 1 << 30).expect("the new node");
    let shards =
        |nodes: &Value| nodes.as_array()?.iter().find(|node| node["address"] == joined["address"])?["shards"].as_u64();

    let job = write_job(&dev.person, "job", COPY, b"joined", JOB);
    let done = dev.person.json(&["job", "run", word(&job), "--wait"]);
    assert_eq!(done["tasks_paid"], 2, "{done}");
    dev.person.ok(&["job", "outputs", &done["id"].to_string(), "-o", "results"]);
    assert_eq!(dev.person.read("results/task-1/copy"), b"joined");
    until("the new storage node keeps shards", || {
        shards(&http::get(&format!("{}/v1/storage/nodes", dev.network.gateway)).json()).filter(|shards| *shards > 0)
    });
    for process in [&mut provider, &mut storage] {
        assert_eq!(process.interrupt().code(), Some(0), "{}", process.log());
    }
}
