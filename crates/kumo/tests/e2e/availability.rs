//! The data of blocks can be sampled and fetched while it is kept, and what is pruned says so everywhere.

use crate::http;
use crate::person::{Person, noise};
use kumo::da::{Asked, DaCommand, FetchArguments, SampleArguments, run};
use kumo::dev::{DevNetwork, plan};
use kumo::retention::Retention;
use kumo::roles::validator::ChainOptions;
use protocol::api::{SubmissionStatus, ValidatorStatus};
use protocol::network::Network;
use sdk::Client;
use serde_json::Value;
use std::time::Duration;

const NAMESPACE: u64 = 77;

fn options(person: &Person) -> plan::Options {
    plan::Options {
        state: Some(person.path("net")),
        ports_auto: true,
        validators: 4,
        storage_nodes: 1,
        providers: 0,
        block_millis: 50,
        epoch_blocks: 2,
        chain: ChainOptions { retention: Retention(Some(Duration::from_secs(1))), ..ChainOptions::default() },
        ..plan::Options::default()
    }
}

/// What validator `seat` answers.
async fn ask(network: &Network, seat: usize, path: String) -> (u16, Value) {
    let url = format!("{}{path}", network.validators[seat].api);
    let answer = tokio::task::spawn_blocking(move || http::get(&url)).await.unwrap();
    (answer.status, answer.json())
}

fn sample(height: Option<u64>) -> DaCommand {
    DaCommand::Sample(SampleArguments { height, samples: 20, asked: Asked { validators: vec![] } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_is_sampled_and_fetched_until_it_is_pruned_and_its_header_stays() {
    let person = Person::new();
    let running = DevNetwork::start(options(&person)).await.unwrap();
    running.ready().await.unwrap();
    let network = running.network().clone();
    let client = Client::connect(network.clone(), Default::default()).await.unwrap();
    let data = noise(7, 150_000);
    let hash = client.gateway.submit(NAMESPACE, data.clone().into()).await.unwrap();
    let (_, told) = ask(&network, 0, format!("/seq/v1/submissions/{hash}?until=final&wait=20000")).await;
    let told: SubmissionStatus = serde_json::from_value(told).unwrap();
    let height = told.height.expect("it is final");

    // 128 blocks must follow until it may be pruned.
    let sampled = run(sample(Some(height)), &network).await.unwrap();
    assert!(sampled.ok, "{}", sampled.text);
    assert_eq!((&sampled.json["drawn"], &sampled.json["verified"]), (&20.into(), &20.into()));
    assert!(sampled.json["payload_bytes"].as_u64().unwrap() > 150_000);
    let out = person.path("payload");
    let asked = Asked { validators: vec![network.validators[2].api.clone()] };
    run(DaCommand::Fetch(FetchArguments { height, out: out.clone(), asked }), &network).await.unwrap();
    let payload = sequencer::Payload::decode(std::fs::read(out).unwrap().into()).unwrap();
    assert_eq!(payload.transactions(NAMESPACE)[0].payload()[..], data);

    for seat in 0..4 {
        let mut patience = 600;
        loop {
            let (_, status) = ask(&network, seat, "/seq/v1/status".to_owned()).await;
            let status: ValidatorStatus = serde_json::from_value(status).unwrap();
            assert!(status.oldest_height <= status.height);
            if status.oldest_height > height {
                break;
            }
            patience -= 1;
            assert!(patience > 0, "{status:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    for path in [
        format!("/seq/v1/blocks/{height}"),
        format!("/seq/v1/finalized?from={height}"),
        format!("/seq/v1/blocks/{height}/namespaces/{NAMESPACE}"),
        format!("/seq/v1/namespaces/{NAMESPACE}/blocks?from={height}"),
    ] {
        let (status, problem) = ask(&network, 1, path.clone()).await;
        let detail = problem["detail"].as_str().unwrap_or_default();
        let expected = format!("block {height} is pruned: this validator keeps blocks from height ");
        assert!(status == 410 && detail.starts_with(&expected), "{path}: {status} {problem}");
    }
    let (status, espresso) = ask(&network, 1, format!("/v1/availability/block/{height}")).await;
    assert_eq!((status, &espresso["Custom"]["status"]), (410, &410.into()));
    let (status, header) = ask(&network, 1, format!("/seq/v1/blocks/{height}/header")).await;
    assert_eq!((status, &header["height"]), (200, &height.into()));
    let refused = run(sample(Some(height)), &network).await;
    // A validator may still have what it encoded for the first samples.
    if let Err(error) = refused {
        assert!(error.to_string().contains("is pruned"), "{error}");
    }
    assert!(run(sample(None), &network).await.unwrap().ok, "the newest block");
    running.stop().await;
}
