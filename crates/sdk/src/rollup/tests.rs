use super::*;
use axum::Router;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::routing::get;
use bridge_ethereum::{Oldest, Ordered as _};
use proof::checkpoint::Checkpoint;
use protocol::api::{CommittedAccount, KeptCheckpoint, NamespaceBlock};
use protocol::network::Network;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Three blocks of a real committee; namespace 9 has transactions in the first two.
fn vector() -> Value {
    serde_json::from_str(include_str!("../../../proof/vectors/accounts.json")).unwrap()
}

fn network(apis: &[String]) -> Network {
    let vector = vector();
    let keys = vector["committee"].as_array().unwrap();
    // The seats are in another order than the keys.
    let seat = |(place, key): (usize, &Value)| {
        let api = apis.get(place % apis.len().max(1)).cloned().unwrap_or_default();
        json!({ "public_key": key, "randomness_key": "", "p2p": "", "api": api })
    };
    let seats: Vec<Value> = keys.iter().rev().enumerate().map(seat).collect();
    let network = json!({
        "chain_id": vector["chainId"], "dev": true, "gateway": "http://127.0.0.1:1", "rpc": "http://127.0.0.1:1",
        "validators": seats,
    });
    serde_json::from_value(network).unwrap()
}

fn trust() -> Trust {
    Trust::of(&network(&[])).unwrap()
}

fn told(place: usize) -> NamespaceBlock {
    serde_json::from_value(vector()["blocks"][place].clone()).unwrap()
}

fn committed() -> CommittedAccount {
    let vector = vector();
    let bytes = |value: &Value| serde_json::from_value(value.clone()).unwrap();
    CommittedAccount {
        height: 1,
        header: bytes(&vector["blocks"][0]["header"]),
        certificate: bytes(&vector["blocks"][0]["certificate"]),
        commitment: bytes(&vector["commitment"]),
        account: bytes(&vector["accounts"][1]["proof"]),
    }
}

/// `bytes` with one bit changed at `place`.
fn changed(bytes: &Bytes, place: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[place] ^= 1;
    bytes.into()
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn rollups(apis: &[String]) -> Rollups {
    let network = network(apis);
    Rollups {
        chain: ChainClient::new(&network.rpc, network.chain_id),
        validators: network.validators.iter().map(|validator| Gateway::new(&validator.api)).collect(),
        trust: Trust::of(&network).unwrap(),
    }
}

#[test]
fn blocks_are_verified_and_follow_on_each_other() {
    let trust = trust();
    let first = trust.block(9, 1, None, &told(0)).unwrap();
    let second = trust.block(9, 2, Some(&first), &told(1)).unwrap();
    let third = trust.block(9, 3, Some(&second), &told(2)).unwrap();
    let transactions = [&first, &second, &third].map(|block| block.transactions.clone());
    assert_eq!(transactions, [vec![Bytes::from([1])], vec![Bytes::from([2])], vec![]]);
    assert!(third.evidence_bytes <= 1024, "header, certificate and proof: {} bytes", third.evidence_bytes);
    let skipped = trust.block(9, 3, Some(&first), &told(2));
    assert!(matches!(skipped, Err(TrustError::Parent { .. })), "{skipped:?}");
}

#[test]
fn whatever_a_validator_changes_is_noticed() {
    let (trust, good) = (trust(), told(0));
    for place in (0..good.proof.len()).step_by(7) {
        let bad = NamespaceBlock { proof: changed(&good.proof, place), ..good.clone() };
        assert!(trust.block(9, 1, None, &bad).is_err(), "proof byte {place}");
    }
    for place in (0..good.header.len()).step_by(31) {
        let bad = NamespaceBlock { header: changed(&good.header, place), ..good.clone() };
        assert!(matches!(trust.block(9, 1, None, &bad), Err(TrustError::Certificate(_))), "header byte {place}");
    }
    // The proof of one namespace says nothing about another, and a block is not one of another height.
    assert!(matches!(trust.block(8, 1, None, &good), Err(TrustError::Transactions(_))));
    assert_eq!(trust.block(9, 2, None, &good), Err(TrustError::Height(1)));
}

#[test]
fn another_committee_is_not_believed() {
    let mut network = network(&[]);
    network.validators[0].public_key = B256::repeat_byte(9).to_string();
    assert!(matches!(Trust::of(&network).unwrap().block(9, 1, None, &told(0)), Err(TrustError::Certificate(_))));
    network.validators[0].public_key = "0x12".to_owned();
    assert!(matches!(Trust::of(&network), Err(RollupError::Committee(_))));
    network.validators.clear();
    assert!(matches!(Trust::of(&network), Err(RollupError::Committee(_))));
}

#[test]
fn an_account_is_proven_or_refused() {
    let (trust, good) = (trust(), committed());
    let verified = trust.account(7, &good).unwrap();
    assert_eq!(verified.account.owed.to_string(), vector()["accounts"][1]["owed"].as_str().unwrap());
    assert_eq!(trust.account(8, &good), Err(TrustError::Namespace(7)));
    let forged = CommittedAccount { account: changed(&good.account, good.account.len() - 1), ..good.clone() };
    assert!(matches!(trust.account(7, &forged), Err(TrustError::Account(_))));
    let other = CommittedAccount { commitment: changed(&good.commitment, good.commitment.len() - 1), ..good };
    assert!(matches!(trust.account(7, &other), Err(TrustError::Account(_) | TrustError::Transactions(_))));
}

#[tokio::test]
async fn a_validator_that_is_down_is_passed_over_and_one_that_lies_is_not_believed() {
    let page = |lie: bool| {
        let mut blocks = vector()["blocks"].clone();
        if lie {
            blocks[1]["proof"] = blocks[0]["proof"].clone();
        }
        let answer = json!({ "blocks": blocks, "height": 3 });
        Router::new().route(
            "/seq/v1/namespaces/{namespace}/blocks",
            get(move |Path(namespace): Path<u64>| async move {
                assert_eq!(namespace, 9);
                axum::Json(answer)
            }),
        )
    };
    let busy = serve(Router::new().fallback(|| async { StatusCode::SERVICE_UNAVAILABLE })).await;
    let (honest, liar) = (serve(page(false)).await, serve(page(true)).await);
    let found = rollups(&[busy.clone(), honest.clone()]).blocks(9, 1, u64::MAX, 0).await.unwrap();
    assert_eq!(found.iter().map(|block| block.height).collect::<Vec<_>>(), [1, 2, 3]);
    let two = rollups(&[honest]).blocks(9, 1, 2, 0).await.unwrap();
    assert_eq!(two.len(), 2, "no more than was asked for");
    let refused = rollups(&[liar]).blocks(9, 1, 3, 0).await;
    assert!(matches!(refused, Err(RollupError::Untrue { height: 2, .. })), "{refused:?}");
}

/// A validator that answers requests for blocks of namespace 9 with these.
async fn teller(blocks: Value) -> String {
    let answer = json!({ "blocks": blocks, "height": 3 });
    let route = "/seq/v1/namespaces/9/blocks";
    serve(Router::new().route(route, get(move || async move { axum::Json(answer) }))).await
}

#[tokio::test]
async fn whoever_lies_or_lags_is_passed_over_for_one_that_proves_the_blocks() {
    let mut forged = vector()["blocks"].clone();
    forged[2]["proof"] = forged[0]["proof"].clone();
    let (honest, liar, lagging) =
        (teller(vector()["blocks"].clone()).await, teller(forged).await, teller(json!([])).await);
    let down = serve(Router::new().fallback(|| async { StatusCode::SERVICE_UNAVAILABLE })).await;
    for first in [[liar.clone(), lagging.clone()], [lagging.clone(), liar.clone()], [down.clone(), liar.clone()]] {
        let asked = rollups(&[first.as_slice(), std::slice::from_ref(&honest)].concat());
        let found = asked.blocks(9, 1, 3, 0).await.unwrap();
        assert_eq!(found.iter().map(|block| block.height).collect::<Vec<_>>(), [1, 2, 3]);
        let blocks = asked.source(9).blocks(1, 3).await.unwrap();
        assert_eq!(blocks.iter().map(|block| block.height).collect::<Vec<_>>(), [1, 2]);
    }
    assert_eq!(rollups(&[down.clone(), lagging, liar.clone()]).blocks(9, 1, 3, 0).await.unwrap(), []);
    let refused = rollups(&[liar, down]).blocks(9, 1, 3, 0).await;
    assert!(refused.is_err(), "{refused:?}");
}

/// A validator that keeps blocks from `oldest` on, and blocks as the vector has them.
async fn pruner(oldest: u64) -> String {
    let page = move |Query(asked): Query<BTreeMap<String, u64>>| async move {
        let from = asked["from"];
        if from < oldest {
            let gone = json!({ "type": "urn:kumo:x", "title": "gone", "status": 410, "detail": "pruned" });
            return (StatusCode::GONE, axum::Json(gone));
        }
        let blocks = vector()["blocks"].as_array().unwrap().iter().skip(from as usize - 1).cloned().collect::<Vec<_>>();
        (StatusCode::OK, axum::Json(json!({ "blocks": blocks, "height": 3 })))
    };
    let status = json!({ "height": 3, "oldest_height": oldest, "pending": 0, "evidence": 0 });
    let router = Router::new().route("/seq/v1/namespaces/9/blocks", get(page));
    serve(router.route("/seq/v1/status", get(move || async move { axum::Json(status) }))).await
}

#[tokio::test]
async fn the_oldest_block_is_the_first_that_somebody_proves_whatever_is_said() {
    let (all, two, three) = (pruner(1).await, pruner(2).await, pruner(3).await);
    let status = json!({ "height": 3, "oldest_height": 1, "pending": 0, "evidence": 0 });
    let boaster = serve(Router::new().route("/seq/v1/status", get(move || async move { axum::Json(status) }))).await;
    let oldest = async |apis: &[String]| rollups(apis).source(9).oldest(1).await;
    let sure = |height| Ok(Oldest { height, is_sure: true });
    assert_eq!(oldest(&[three.clone(), all]).await, sure(1));
    assert_eq!(oldest(&[boaster.clone(), three.clone(), two]).await, sure(2));
    let down = serve(Router::new().fallback(|| async { StatusCode::SERVICE_UNAVAILABLE })).await;
    assert_eq!(oldest(&[three, down]).await, Ok(Oldest { height: 3, is_sure: false }));
    assert!(oldest(&[boaster]).await.is_err());
}

/// A validator that proves the account of namespace 7 at block 1, and has this checkpoint.
async fn keeper(checkpoint: &Checkpoint) -> String {
    let account = NamespaceAccount { namespace: 7, committed: Some(committed()), ..Default::default() };
    let Checkpoint { epoch, height, seconds, block, application, electorate, state } = *checkpoint;
    let mut kept: Vec<u8> = [epoch, height, seconds].iter().flat_map(|number| number.to_be_bytes()).collect();
    [block, application, electorate, state].iter().for_each(|word| kept.extend(word));
    let kept = KeptCheckpoint { kept: kept.into(), ..Default::default() };
    let router = Router::new().route("/seq/v1/namespaces/7/account", get(move || async move { axum::Json(account) }));
    serve(router.route("/seq/v1/checkpoint", get(move || async move { axum::Json(kept) }))).await
}

#[tokio::test]
async fn a_checkpoint_with_another_root_than_the_l1_has_is_passed_over_unless_everybody_has_it() {
    let block = trust().account(7, &committed()).unwrap().digest;
    let [application, electorate, state] = [5, 6, 7].map(B256::repeat_byte);
    let honest = Checkpoint { epoch: 1, height: 1, seconds: 9, block, application, electorate, state };
    let forged = Checkpoint { state: B256::repeat_byte(8), ..honest };
    let (teller, liar) = (keeper(&honest).await, keeper(&forged).await);
    let evidence = async |apis: &[String], root| rollups(apis).source(7).evidence(1, 1, root).await;
    let found = evidence(&[liar.clone(), teller.clone()], honest.root()).await.unwrap().unwrap();
    assert_eq!(found.checkpoint, honest);
    let other = evidence(std::slice::from_ref(&liar), honest.root()).await.unwrap().unwrap();
    assert_eq!(other.checkpoint, forged, "the poster says that the network is another one");
    let down = serve(Router::new().fallback(|| async { StatusCode::NOT_FOUND })).await;
    assert!(!matches!(evidence(&[liar, down], honest.root()).await, Ok(Some(_))), "one liar is not everybody");
}

#[tokio::test]
async fn a_refusal_is_told_and_not_tried_elsewhere() {
    let problem = json!({ "type": "urn:kumo:x", "title": "no", "status": 422, "detail": "namespace 0 is reserved" });
    let refusing = move || async move { (StatusCode::UNPROCESSABLE_ENTITY, axum::Json(problem)) };
    let first = serve(Router::new().fallback(refusing)).await;
    let error = rollups(&[first, "http://127.0.0.1:1".to_owned()]).submit(0, Bytes::from([1])).await.unwrap_err();
    assert!(error.to_string().contains("namespace 0 is reserved"), "{error}");
}
