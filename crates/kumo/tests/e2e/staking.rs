//! Validators stake on the chain: they join, rotate and leave, and one that votes twice loses its stake.

use crate::finality::{NETWORK, Stakers, number};
use crate::http;
use crate::process::until;
use alloy_primitives::B256;
use proof::checkpoint::{Evidence, Point, SignedVote, Vote, Witness};
use sequencer::System;
use sequencer::ffg::VoteSecret;
use sequencer::finality::{KeptCheckpoint, Tracker};
use sequencer::guard::Guard;
use serde_json::{Value, json};

/// `kumo stake validator …` with JSON.
fn stake(stakers: &Stakers, words: &[&str]) -> Value {
    stakers.person.json(&[&["stake", "validator"], words, &["--network", NETWORK]].concat())
}

/// Two votes of a validator's key for one epoch, which two records that know nothing of each other allow.
fn double_vote(stakers: &Stakers, seat: usize, epoch: u64) -> Vec<u8> {
    let keys: Value =
        serde_json::from_slice(&stakers.person.read(format!("net/validator-{seat}/validator.key"))).unwrap();
    let secret = hex::decode(keys["votes"].as_str().expect("a secret")).expect("hex");
    let secret = VoteSecret::decode(&secret).expect("a number");
    let kept = http::get(&format!("{}/seq/v1/checkpoint", stakers.network.validators[0].api)).json();
    let kept = hex::decode(kept["kept"].as_str().expect("bytes").trim_start_matches("0x")).expect("hex");
    let kept = KeptCheckpoint::decode(&kept).expect("a checkpoint");
    let domain = Tracker::resume(&kept).expect("a state").state().parameters().domain;
    let source = Point { epoch: epoch - 1, root: B256::ZERO };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let signed = [1, 2].map(|number| {
        let vote = Vote { source, target: Point { epoch, root: B256::with_last_byte(number) } };
        let guard = Guard::create(&dir.path().join(number.to_string()), domain.genesis.0).expect("a new record");
        let signature = secret.sign(&guard, &domain, &vote).expect("nothing was signed before");
        SignedVote { vote, witness: Witness::Alone(signature) }
    });
    let [first, second] = signed;
    let evidence = Evidence { key: secret.public(), first, second };
    System { evidence: vec![evidence], ..System::default() }.encode()[0].to_vec()
}

#[test]
fn a_validator_that_votes_twice_loses_its_stake_on_the_chain() {
    let stakers = Stakers::start();
    until("the set is that of the stake", || (stakers.status(0)?["stake"] == "4000").then_some(()));
    let before = stake(&stakers, &["show", "4"]);
    assert_eq!((before["state"].as_str(), before["stake"]["display"].as_str()), (Some("active"), Some("1000 AKE")));
    let epoch = stakers.status(0).expect("it answers")["epoch"].as_u64().expect("a number");
    let (evidence, url) =
        (double_vote(&stakers, 3, epoch), format!("{}/seq/v1/evidence", stakers.network.validators[1].api));
    let mut wrong = evidence.clone();
    let last = wrong.len() - 1;
    wrong[last] ^= 1;
    assert_eq!(http::post(&url, "application/octet-stream", wrong).status, 422);
    let taken = http::post(&url, "application/octet-stream", evidence.clone());
    assert_eq!(taken.status, 200, "{}", String::from_utf8_lossy(&taken.body));
    let after = until("its stake is slashed", || {
        let shown = stake(&stakers, &["show", "4"]);
        (shown["state"] == "slashed").then_some(shown)
    });
    assert_eq!((after["stake"]["wei"].as_str(), after["slashed"]["display"].as_str()), (Some("0"), Some("1000 AKE")));
    assert_eq!(stake(&stakers, &["list"]).as_array().map(Vec::len), Some(3));
    until("it leaves the set", || (stakers.status(0)?["stake"] == "3000").then_some(()));
    assert_eq!(http::post(&url, "application/octet-stream", evidence).status, 422, "it is convicted once");
    // The rest goes on, and the rpc node agrees with the validators about what is final.
    let status = stakers.status(0).expect("it answers");
    stakers.finalized(status["epoch"].as_u64().expect("a number") + 1);
    the_conviction_can_be_executed_again(&stakers.network.rpc);
}

/// Whom a block convicts stands in its header, so that it can be executed from nothing but itself.
fn the_conviction_can_be_executed_again(rpc: &str) {
    let head = http::block_number(rpc);
    let block = (1..=head).map(|height| http::rpc(rpc, "eth_getBlockByNumber", json!([format!("{height:#x}"), false])));
    let block = block.into_iter().find(|block| block["extraData"] == "0x0000000000000004").expect("a block convicts 4");
    let replayed = http::rpc(rpc, "debug_traceBlockByNumber", json!([block["number"], { "tracer": "callTracer" }]));
    assert!(replayed.is_array(), "{replayed}");
    assert!(number(&block["number"]) > 0);
}

#[test]
fn validators_join_rotate_and_leave() {
    let stakers = Stakers::start();
    until("the set is that of the stake", || (stakers.status(0)?["stake"] == "4000").then_some(()));
    let fifth = stakers.person.json(&["node", "keys", "--dir", "fifth"]);
    let registered =
        stake(&stakers, &["register", "--keys", "fifth", "--p2p", "127.0.0.1:9", "--api", "http://127.0.0.1:10"]);
    assert_eq!((registered["id"].as_u64(), registered["state"].as_str()), (Some(5), Some("active")));
    assert_eq!((&registered["public_key"], &registered["owner"]), (&fifth["public_key"], &fifth["owner"]));
    assert_eq!(registered["p2p"], "127.0.0.1:9");
    until("it is in the set", || (stakers.status(0)?["stake"] == "5000").then_some(()));
    let more = stake(&stakers, &["add", "--keys", "fifth", "--stake", "100 AKE"]);
    assert_eq!(more["stake"]["display"], "1100 AKE");
    stakers.person.json(&["node", "keys", "--dir", "sixth"]);
    let rotated = stake(&stakers, &["rotate", "--keys", "fifth", "--new", "sixth"]);
    assert_eq!(rotated["id"], 5);
    assert_ne!(rotated["vote_key"], registered["vote_key"]);
    let moved = stake(&stakers, &["move", "--keys", "fifth", "--p2p", "[::1]:9"]);
    assert_eq!((moved["p2p"].as_str(), moved["api"].is_null()), (Some("[::1]:9"), true));
    let left = stake(&stakers, &["leave", "--keys", "fifth"]);
    assert_eq!((left["state"].as_str(), left["stake"]["display"].as_str()), (Some("leaving"), Some("1100 AKE")));
    let early = stakers.person.run(&["stake", "validator", "withdraw", "--keys", "fifth", "--network", NETWORK]);
    early.refused(1, &["StillHeld"]);
    let unknown = stakers.person.run(&["stake", "validator", "show", "77", "--network", NETWORK]);
    unknown.refused(1, &["no validator 77"]);
    until("the set is as before", || (stakers.status(0)?["stake"] == "4000").then_some(()));
    let epoch = stakers.status(0).expect("it answers")["epoch"].as_u64().expect("a number");
    stakers.finalized(epoch);
}
