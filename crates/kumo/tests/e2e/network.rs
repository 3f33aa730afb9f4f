//! `kumo dev` as a process, and the person who uses it.

use crate::person::{Person, word};
use crate::process::{Process, until};
use protocol::network::Network;
use std::path::PathBuf;

/// Words for a network that is small where its size does not matter.
pub const SMALL: [&str; 8] = ["--validators", "1", "--storage-nodes", "4", "--providers", "2", "--block-millis", "100"];

/// A running `kumo dev --state`.
pub struct Dev {
    pub process: Process,
    pub person: Person,
    pub network: Network,
    words: Vec<String>,
}

impl Dev {
    /// Starts a network and waits until it is ready.
    pub fn start(words: &[&str]) -> Self {
        Self::start_for(Person::new(), words)
    }

    /// The same for a person who is there already.
    pub fn start_for(person: Person, words: &[&str]) -> Self {
        let words = words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let process = launch(&person, &words);
        let mut dev = Self { process, network: unknown(), person, words };
        dev.await_ready();
        dev
    }

    /// The network file that `--config-out` wrote.
    pub fn file(&self) -> PathBuf {
        self.person.path(CONFIG)
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.person.path(STATE)
    }

    /// Starts it again on the same directory, after it was stopped in whatever way.
    pub fn restart(&mut self) {
        let _ = std::fs::remove_file(self.file());
        self.process = launch(&self.person, &self.words);
        self.await_ready();
    }

    fn await_ready(&mut self) {
        let file = self.file();
        self.network = until("kumo dev is ready", || {
            self.process.assert_alive();
            std::fs::read(&file).ok().map(|bytes| serde_json::from_slice(&bytes).expect("a network file is JSON"))
        });
    }
}

const CONFIG: &str = "network.json";
const STATE: &str = "net";

fn launch(person: &Person, words: &[String]) -> Process {
    let (state, file) = (person.path(STATE), person.path(CONFIG));
    let mut all = vec!["dev", "--state", word(&state), "--ports", "auto", "--config-out", word(&file)];
    all.extend(words.iter().map(String::as_str));
    Process::start("kumo dev", person.command(&all), &person.path("dev.log"))
}

fn unknown() -> Network {
    Network {
        lane: None,
        chain_id: 0,
        dev: false,
        rpc: String::new(),
        gateway: String::new(),
        accounts: Vec::new(),
        contracts: Default::default(),
        validators: Vec::new(),
        genesis: None,
    }
}
