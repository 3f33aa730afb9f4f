//! One process per role: the same network, which loses members without losing anything else.

use crate::http;
use crate::person::{Person, noise, word};
use crate::process::{Process, until};
use crate::programs::{COPY, JOB, write_job};
use protocol::network::Network;
use serde_json::Value;
use std::collections::BTreeMap;

/// The processes of one network, by the name of their state directory.
pub struct Fleet {
    pub person: Person,
    pub network: Network,
    running: BTreeMap<String, Process>,
}

impl Fleet {
    /// Makes a network and starts nothing of it.
    pub fn made() -> Self {
        let person = Person::new();
        let made =
            person.ok(&["init", "--dir", "net", "--validators", "4", "--ports", "auto", "--block-millis", "100"]);
        assert_eq!(made, "net/network.json");
        let network = serde_json::from_slice(&person.read("net/network.json")).expect("a network file is JSON");
        Self { person, network, running: BTreeMap::new() }
    }

    /// Makes a network and starts a process for every role of it, all at once, as a script would.
    fn start() -> Self {
        let mut fleet = Self::made();
        for (kind, count) in [("validator", 4), ("rpc", 1), ("gateway", 1), ("storage", 4), ("provider", 2)] {
            (0..count).for_each(|index| fleet.launch(kind, index));
        }
        until("every role is up", || {
            fleet.running.values_mut().for_each(Process::assert_alive);
            let status = http::try_get(&format!("{}/v1/status", fleet.network.gateway)).ok()?;
            let count = |field: &str| status.json()[field].as_u64();
            (count("storage_nodes_up") == Some(4) && count("providers") == Some(2)).then_some(())
        });
        fleet
    }

    pub fn launch(&mut self, kind: &str, index: usize) {
        let name = format!("{kind}-{index}");
        let (state, seat) = (format!("net/{name}"), index.to_string());
        let mut words = vec!["node", "--role", kind, "--network", "net/network.json", "--state", &state];
        if kind == "validator" {
            words.extend(["--seat", &seat]);
        }
        let log = self.person.path(&format!("{name}.log"));
        let process = Process::start(&name, self.person.command(&words), &log);
        self.running.insert(name, process);
    }

    pub fn kill(&mut self, name: &str) {
        self.running.remove(name).expect("it runs").kill();
    }

    /// Newest final height that a validator knows, if it answers.
    pub fn height(&self, seat: usize) -> Option<u64> {
        let answer = http::try_get(&format!("{}/seq/v1/status", self.network.validators[seat].api)).ok()?;
        answer.json()["height"].as_u64()
    }

    /// Waits until a validator is at `height` or above.
    fn await_height(&self, seat: usize, height: u64) {
        until(&format!("validator {seat} reaches height {height}"), || {
            self.height(seat).filter(|found| *found >= height)
        });
    }

    fn run_job(&self, name: &str) {
        // Without one of four validators every fourth block waits for a leader that is gone: bids need longer.
        let terms = JOB.replace("bidWindow: 2s", "bidWindow: 8s");
        let job = write_job(&self.person, name, COPY, name.as_bytes(), &terms);
        let done = self.person.json(&["job", "run", word(&job), "--wait", "--network", "net/network.json"]);
        assert_eq!(done["tasks_paid"], Value::from(2), "{done}");
    }

    fn get(&self, cid: &str) -> Vec<u8> {
        self.person.run(&["store", "get", cid, "--network", "net/network.json"]).stdout
    }
}

#[test]
fn one_process_per_role_is_the_same_network_and_outlives_its_members() {
    let mut fleet = Fleet::start();
    let bytes = noise(77, 1_000_000);
    let file = fleet.person.write("file", &bytes);
    let cid = fleet.person.ok(&["store", "put", word(&file), "--network", "net/network.json"]);
    fleet.run_job("first");

    let height = fleet.height(0).expect("validator 0 answers");
    fleet.kill("validator-3");
    fleet.await_height(0, height + 10);
    fleet.run_job("with-three-validators");
    fleet.launch("validator", 3);
    let height = fleet.height(0).expect("validator 0 answers");
    fleet.await_height(3, height);

    fleet.kill("validator-1");
    fleet.kill("validator-2");
    // What was on its way may still arrive; then nothing does.
    let stalled = until("two of four validators make no blocks", || {
        Some(fleet.person.run(&["doctor", "--network", "net/network.json"])).filter(|ended| ended.code == Some(1))
    });
    assert!(stalled.text().contains("no new block within"), "{}", stalled.text());
    assert_eq!(fleet.get(&cid), bytes, "files need no new blocks");
    let height = fleet.height(0).expect("validator 0 answers");
    fleet.launch("validator", 2);
    fleet.await_height(0, height + 5);
    fleet.await_height(2, height + 5);

    fleet.kill("storage-0");
    fleet.kill("gateway-0");
    fleet.launch("gateway", 0);
    until("the gateway is back", || http::try_get(&format!("{}/healthz", fleet.network.gateway)).ok());
    until("the file comes from the other storage nodes", || (fleet.get(&cid) == bytes).then_some(()));
    for process in fleet.running.values_mut() {
        assert_eq!(process.interrupt().code(), Some(0), "{}", process.log());
    }
}
