//! A transaction that nobody can read before it is ordered.

use crate::http;
use crate::person::Person;
use kumo::dev::{DevNetwork, plan};
use kumo::lane::KeyMaker;
use protocol::api::SubmissionStatus;
use protocol::network::LanePolicy;
use sdk::{AccountChoice, Client, SealError, U256, Wallet};
use std::time::Duration;

fn options(person: &Person) -> plan::Options {
    plan::Options {
        state: Some(person.path("net")),
        ports_auto: true,
        validators: 4,
        storage_nodes: 1,
        providers: 0,
        block_millis: 50,
        policies: kumo::lane::policies(&[(77, LanePolicy::Encrypted)]),
        ..plan::Options::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coin_sent_by_the_encrypted_lane_arrives_and_its_envelope_says_nothing() {
    let person = Person::new();
    let network = DevNetwork::start(options(&person)).await.unwrap();
    network.ready().await.unwrap();
    let client = Client::connect(network.network().clone(), Default::default()).await.unwrap();
    let wallet = Wallet::dev(client.network(), AccountChoice::default()).unwrap();
    let (to, value) = (sdk::Address::repeat_byte(0x5e), U256::from(1_234_567_u64));
    let sent = client.transfer_sealed(&wallet, to, value).await.unwrap();
    assert!(sent.receipt.status());
    let executed = sent.receipt.block_number.unwrap();
    assert_eq!(client.chain.balance(to).await.unwrap(), value);
    // Its envelope was ordered before.
    let url = format!("{}/seq/v1/submissions/{}", network.network().validators[1].api, sent.envelope);
    let told = tokio::task::spawn_blocking(move || http::get(&url).json()).await.unwrap();
    let told: SubmissionStatus = serde_json::from_value(told).unwrap();
    let ordered = told.height.expect("it is final");
    assert!(ordered <= sent.target && sent.target < executed, "{ordered}, {}, {executed}", sent.target);
    // The chain goes on without the lane as before.
    let plain = client.chain.transfer(&wallet, to, value).await.unwrap();
    assert!(plain.status() && plain.block_number.unwrap() >= executed);
    assert_eq!(client.chain.balance(to).await.unwrap(), value * U256::from(2));
    // What is no envelope is refused where envelopes alone stand, by name; an envelope is taken.
    let refused = client.gateway.submit(77, b"plain".to_vec().into()).await.unwrap_err();
    assert!(refused.to_string().contains("namespace 77 takes envelopes"), "{refused}");
    let sealed = client.seal(77, b"for a rollup").await.unwrap();
    client.gateway.submit(77, sealed.envelope.into()).await.unwrap();
    assert!(matches!(client.seal(78, b"x").await, Err(sdk::SealError::NoLane(78))));
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validators_make_the_key_and_senders_verify_who_holds_it() {
    let person = Person::new();
    let network = DevNetwork::start(plan::Options { lane: KeyMaker::Dkg, ..options(&person) }).await.unwrap();
    network.ready().await.unwrap();
    assert!(network.network().lane.as_ref().unwrap().key.is_empty(), "the network file knows no key");
    let client = Client::connect(network.network().clone(), Default::default()).await.unwrap();
    let wallet = Wallet::dev(client.network(), AccountChoice::default()).unwrap();
    let (to, value) = (sdk::Address::repeat_byte(0x5e), U256::from(1_234_567_u64));
    let mut sent = client.transfer_sealed(&wallet, to, value).await;
    for _ in 0..600 {
        let Err(SealError::Closed { height, until }) = &sent else { break };
        assert!(until >= height);
        tokio::time::sleep(Duration::from_millis(100)).await;
        sent = client.transfer_sealed(&wallet, to, value).await;
    }
    assert!(sent.unwrap().receipt.status());
    assert_eq!(client.chain.balance(to).await.unwrap(), value);
    let record = client.rollups().unwrap().lane_key().await.unwrap().expect("there is a key");
    let committee = client.rollups().unwrap().trust().committee().to_vec();
    assert_eq!((record.check(&committee), record.required), (Ok(&record.key), 3));
    // Who knows the gateway alone is told the same key.
    let told = client.gateway.network().await.unwrap().lane.unwrap().key;
    assert_eq!(told, hex::encode(record.key.bytes()));
    network.stop().await;
}
