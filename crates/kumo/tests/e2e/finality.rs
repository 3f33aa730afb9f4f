//! What the stake finalises, over processes that are killed, and the record of what a validator has signed.

use crate::http;
use crate::person::Person;
use crate::process::{Process, until};
use alloy_sol_types::SolCall as _;
use protocol::abi::{IStakeManager, STAKE_MANAGER};
use protocol::network::Network;
use sequencer::finality::{EVIDENCE_SECONDS, UNBONDING_SECONDS};
use serde_json::{Value, json};
use std::fs;

/// Four validators and an rpc node, each a process, with short epochs.
pub struct Stakers {
    pub person: Person,
    pub network: Network,
    validators: Vec<Option<Process>>,
    rpc: Option<Process>,
}

pub const NETWORK: &str = "net/network.json";

impl Stakers {
    pub fn start() -> Self {
        let person = Person::new();
        let words = ["init", "--dir", "net", "--ports", "auto", "--block-millis", "100", "--epoch-blocks", "6"];
        person.ok(&words);
        let network = serde_json::from_slice(&person.read(NETWORK)).expect("a network file is JSON");
        let mut stakers = Self { person, network, validators: Vec::new(), rpc: None };
        stakers.validators = (0..4).map(|seat| Some(stakers.launch(seat))).collect();
        stakers.launch_rpc();
        stakers
    }

    fn launch(&self, seat: usize) -> Process {
        let (state, number) = (format!("net/validator-{seat}"), seat.to_string());
        let words = ["node", "--role", "validator", "--network", NETWORK, "--state", &state, "--seat", &number];
        let log = self.person.path(&format!("validator-{seat}.log"));
        Process::start(&format!("validator-{seat}"), self.person.command(&words), &log)
    }

    /// Kills a validator.
    pub fn kill(&mut self, seat: usize) {
        self.validators[seat].as_mut().expect("it runs").kill();
    }

    /// Stops a validator in order.
    pub fn stop(&mut self, seat: usize) {
        assert!(self.validators[seat].as_mut().expect("it runs").interrupt().success());
    }

    /// Starts a killed validator again.
    pub fn restart(&mut self, seat: usize) {
        self.validators[seat] = Some(self.launch(seat));
    }

    fn launch_rpc(&mut self) {
        self.launch_rpc_in("net/rpc", &[]);
    }

    fn launch_rpc_in(&mut self, state: &str, more: &[&str]) {
        let words = [&["node", "--role", "rpc", "--network", NETWORK, "--state", state], more].concat();
        self.rpc = Some(Process::start("rpc", self.person.command(&words), &self.person.path("rpc.log")));
    }

    /// Waits until the rpc node has computed that this epoch is finalised; what it says then.
    pub fn finalized(&self, epoch: u64) -> Value {
        until(&format!("epoch {epoch} is finalised"), || {
            http::try_get(&format!("{}/", self.network.rpc)).ok()?;
            let told = http::rpc(&self.network.rpc, "kumo_finality", json!([]));
            (number(&told["stake"]["finalized"]["epoch"]) >= epoch).then_some(told)
        })
    }

    /// Finality as a validator says it, if it answers.
    pub fn status(&self, seat: usize) -> Option<Value> {
        let url = format!("{}/seq/v1/status", self.network.validators[seat].api);
        Some(http::try_get(&url).ok()?.json()["finality"].clone())
    }

    fn protection(&self, what: &str, file: &str) -> crate::person::Ended {
        self.person.run(&["node", "slashing-protection", what, "--dir", "net/validator-3", file, "--output", "json"])
    }

    /// Target epochs in an exported file.
    fn targets(&self, file: &str) -> Vec<u64> {
        let signed: Value = serde_json::from_slice(&self.person.read(file)).expect("an export is JSON");
        let votes = signed["data"][0]["signed_attestations"].as_array().expect("votes were signed").clone();
        votes.iter().map(|vote| vote["target_epoch"].as_str().and_then(|n| n.parse().ok()).expect("a number")).collect()
    }
}

pub fn number(value: &Value) -> u64 {
    let text = value.as_str().expect("a quantity");
    u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("a hex number")
}

#[test]
fn stake_finalises_and_a_validator_without_its_record_does_not_sign() {
    let mut stakers = Stakers::start();
    let told = stakers.finalized(2);
    assert_eq!(told["rule"], "ffg");
    let heights = ["finalized", "safe", "latest"].map(|tag| number(&told[tag]["number"]));
    assert!(heights[0] < heights[1] && heights[1] < heights[2], "{told}");
    assert_eq!(number(&told["stake"]["finalized"]["block"]), heights[0]);
    let safe = http::rpc(&stakers.network.rpc, "eth_getBlockByNumber", json!(["safe", false]));
    assert!(number(&safe["number"]) >= heights[1]);
    unbonding_outlives_the_window_for_evidence(&stakers.network.rpc);
    // The rpc node computes what the validators do.
    let agreed = until("both know the same epoch", || {
        let (seen, status) = (stakers.finalized(2), stakers.status(1)?);
        (number(&seen["stake"]["epoch"]) == status["epoch"].as_u64()?).then_some((seen, status))
    });
    assert_eq!(agreed.0["stake"]["current"]["root"], agreed.1["current"]["root"]);

    for process in [stakers.validators[3].as_mut(), stakers.rpc.as_mut()] {
        process.expect("it runs").kill();
    }
    assert_eq!(stakers.protection("export", "signed.json").code, Some(0));
    let signed = stakers.targets("signed.json");
    stakers.launch_rpc();
    let epoch = number(&told["stake"]["finalized"]["epoch"]) + 3;
    stakers.finalized(epoch);

    a_new_node_starts_from_what_its_operator_trusts(&mut stakers);
    fs::remove_file(stakers.person.path("net/validator-3/signing.guard")).expect("it was there");
    let mut refused = stakers.launch(3);
    assert_ne!(refused.end().code(), Some(0));
    assert!(refused.log().contains("slashing-protection import"), "{}", refused.log());
    assert!(!stakers.person.path("net/validator-3/signing.guard").exists(), "nothing begins anew");
    let imported = stakers.protection("import", "signed.json");
    assert_eq!(imported.json()["attestations"], signed.len(), "{imported:?}");
    stakers.validators[3] = Some(stakers.launch(3));
    until("the fourth goes on voting", || {
        let status = stakers.status(3)?;
        (status["epoch"].as_u64()? > epoch + 2 && status["voted"] == "4000").then_some(())
    });
    stakers.validators[3].as_mut().expect("it runs").kill();
    assert_eq!(stakers.protection("export", "later.json").code, Some(0));
    let later = stakers.targets("later.json");
    assert_eq!(later[..signed.len()], signed, "what was signed stays known");
    assert!(later.windows(2).all(|pair| pair[0] < pair[1]), "one vote for each target: {later:?}");
    assert!(later.len() > signed.len());
}

/// What the rules of finality assume of stake, the contract begins with.
fn unbonding_outlives_the_window_for_evidence(rpc: &str) {
    let name = std::array::from_fn(|place| b"unbondSeconds".get(place).copied().unwrap_or(0));
    let call = IStakeManager::parameterCall { name: name.into() };
    let data = format!("0x{}", hex::encode(call.abi_encode()));
    let answer = http::rpc(rpc, "eth_call", json!([{ "to": STAKE_MANAGER, "data": data }, "latest"]));
    let answer = hex::decode(answer.as_str().expect("bytes").trim_start_matches("0x")).expect("hex");
    let unbond = IStakeManager::parameterCall::abi_decode_returns(&answer).expect("three words").value;
    assert_eq!(unbond.to::<u64>(), UNBONDING_SECONDS);
    assert!(unbond.to::<u64>() > EVIDENCE_SECONDS);
}

fn a_new_node_starts_from_what_its_operator_trusts(stakers: &mut Stakers) {
    let told = stakers.finalized(3);
    let (epoch, root) = (number(&told["stake"]["finalized"]["epoch"]), told["stake"]["finalized"]["root"].clone());
    stakers.rpc.take().expect("it runs").kill();
    let false_root = format!("{epoch}:0x{}", "11".repeat(32));
    stakers.launch_rpc_in("net/liar", &["--checkpoint", &false_root]);
    let refused = stakers.rpc.as_mut().expect("it was started");
    assert_ne!(refused.end().code(), Some(0));
    assert!(refused.log().contains("trusted is epoch"), "{}", refused.log());
    let trusted = format!("{epoch}:{}", root.as_str().expect("a root"));
    stakers.launch_rpc_in("net/trusting", &["--checkpoint", &trusted]);
    stakers.finalized(epoch + 2);
}
