use super::*;
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use proof::merkle::Tree;
use proof::shard::{erasure_root, leaf};
use serde_json::{Value, json};
use std::sync::Arc;

/// Four shards of data, twelve in all: what is in them does not matter to whoever samples.
const PAYLOAD_BYTES: u32 = 60_000;

/// Proofs of all shards of a payload, and a header that commits to them.
fn world() -> (Header, Arc<Vec<ShardProof>>) {
    let code = Code::of(PAYLOAD_BYTES).unwrap();
    assert_eq!((code.data, code.total), (4, 12));
    let shards: Vec<Bytes> = (0..code.total).map(|i| vec![i as u8; code.shard_bytes as usize].into()).collect();
    let tree = Tree::new(shards.iter().map(|shard| leaf(shard)).collect());
    let erasure_root = erasure_root(PAYLOAD_BYTES, &tree.root());
    let proof = |(index, shard): (usize, &Bytes)| ShardProof {
        payload_bytes: PAYLOAD_BYTES,
        index: index as u32,
        path: tree.path(index),
        shard: shard.clone(),
    };
    let vector: Value = serde_json::from_str(include_str!("../../../proof/vectors/accounts.json")).unwrap();
    let encoded: Bytes = serde_json::from_value(vector["blocks"][0]["header"].clone()).unwrap();
    let header = Header { erasure_root, ..Header::decode(&encoded).unwrap() };
    (header, Arc::new(shards.iter().enumerate().map(proof).collect()))
}

/// A validator that answers for shard `index` with what `answer` says.
async fn serve(answer: impl Fn(u32) -> Option<Vec<u8>> + Clone + Send + Sync + 'static) -> String {
    let route = get(async move |Path((height, index)): Path<(u64, u32)>| match answer(index) {
        Some(proof) => Ok(axum::Json(json!({ "height": height, "proof": Bytes::from(proof) }))),
        None => Err(StatusCode::NOT_FOUND),
    });
    let router = Router::new().route("/seq/v1/blocks/{height}/shards/{index}", route);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn sampler(urls: &[String]) -> Sampler {
    Sampler::new(urls, Trust::new(1, vec![B256::ZERO]).unwrap()).unwrap()
}

fn code(data: u32) -> Code {
    Code { data, total: EXPANSION * data, shard_bytes: 2 }
}

#[test]
fn the_chance_is_what_counting_gives() {
    // Of 6 shards 1 is served: one sample hits it with 1/6, two never.
    assert!((chance(code(2), 1, 1) - 1.0 / 6.0).abs() < 1e-12);
    assert_eq!(chance(code(2), 2, 2), 0.0);
    // Of 12 shards 3 are served: two samples hit with 3/12 · 2/11, one of two with that and 2 · 3/12 · 9/11.
    assert!((chance(code(4), 2, 2) - 6.0 / 132.0).abs() < 1e-12);
    assert!((chance(code(4), 2, 1) - (6.0 + 54.0) / 132.0).abs() < 1e-12);
    // Copies: to hide the payload is to hide all of them.
    assert_eq!(chance(code(1), 1, 1), 0.0);
    assert_eq!(chance(code(4), 5, 0), 1.0);
}

#[test]
fn each_sample_divides_the_chance_by_more_than_three() {
    for data in [1, 2, 8, 128] {
        for samples in 1..=data {
            let chance = chance(code(data), samples, samples);
            assert!(chance <= 3f64.powi(-(samples as i32)), "{samples} of {data}: {chance}");
        }
        let enough = samples_for(code(data), 1e-9);
        assert!(enough <= data.min(19), "{enough} of {data}");
        assert!(chance(code(data), enough, enough) <= 1e-9);
    }
    assert_eq!(samples_for(code(128), 1e-9), 18);
}

#[test]
fn what_is_drawn_is_different_and_within_the_shards() {
    let mut seed = 7u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Ok(seed >> 11)
    };
    let mut seen = [0u32; 12];
    for _ in 0..2_000 {
        let drawn = draw(12, 4, &mut random).unwrap();
        assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), 4);
        drawn.iter().for_each(|index| seen[*index as usize] += 1);
    }
    // 667 each, with a deviation of 21.
    assert!(seen.iter().all(|count| (540..800).contains(count)), "{seen:?}");
    assert_eq!(draw(3, 3, &mut random).unwrap(), [0, 1, 2]);
}

#[tokio::test]
async fn shards_that_verify_count_whoever_serves_them() {
    let (header, shards) = world();
    let all = shards.clone();
    let honest = serve(move |index| all.get(index as usize).map(ShardProof::encode)).await;
    let silent = serve(|_| None).await;
    let sampling = sampler(&[silent.clone(), honest.clone()]).sample(&header, 4).await.unwrap();
    assert_eq!((sampling.drawn, sampling.verified, sampling.chance), (4, 4, 0.0));
    assert_eq!((sampling.payload_bytes, sampling.code.total), (PAYLOAD_BYTES, 12));
    assert!(sampling.missing.is_empty());
    assert!(sampling.faults.iter().all(|fault| fault.validator == silent), "{:?}", sampling.faults);
    let most = sampler(&[honest]).sample(&header, 99).await.unwrap();
    assert_eq!((most.drawn, most.verified), (12, 12));
}

#[tokio::test]
async fn a_withheld_payload_is_noticed_and_a_liar_proves_nothing() {
    let (header, shards) = world();
    let few = shards.clone();
    // Three of the four shards that are needed, and forgeries of the others.
    let hiding = serve(move |index| {
        let mut proof = few.get(index as usize)?.clone();
        if index >= 3 {
            proof.shard = vec![200; proof.shard.len()].into();
        }
        Some(proof.encode())
    });
    let url = hiding.await;
    let sampling = sampler(std::slice::from_ref(&url)).sample(&header, 12).await.unwrap();
    assert_eq!((sampling.drawn, sampling.verified, sampling.missing.len()), (12, 3, 9));
    assert_eq!(sampling.chance, 1.0, "every sampler that draws all sees as many");
    assert!(sampling.faults[0].reason.contains("the header has"), "{:?}", sampling.faults[0]);
    let error = sampler(&[url]).collect(&header).await.unwrap_err();
    assert!(matches!(error, SamplingError::TooFew { found: 3, needed: 4, .. }), "{error}");
    // The shard of another number is not the one that was drawn.
    let same = shards.clone();
    let repeating = serve(move |_| Some(same[5].encode())).await;
    let error = sampler(&[repeating]).sample(&header, 2).await.unwrap_err();
    assert!(error.to_string().contains("it is shard 5"), "{error}");
}

#[tokio::test]
async fn any_shards_that_are_enough_are_collected() {
    let (header, shards) = world();
    let last = shards.clone();
    let partial = serve(move |index| {
        last.get(index as usize).filter(|proof| [1, 7, 10, 11].contains(&proof.index)).map(ShardProof::encode)
    });
    let collected = sampler(&[partial.await]).collect(&header).await.unwrap();
    assert_eq!(collected.payload_bytes, PAYLOAD_BYTES);
    let numbers: Vec<u32> = collected.shards.iter().map(|(index, _)| *index).collect();
    assert_eq!(numbers, [1, 7, 10, 11]);
    assert_eq!(collected.shards[1].1, shards[7].shard);
    assert!(matches!(Sampler::new(&[], Trust::new(1, vec![B256::ZERO]).unwrap()), Err(SamplingError::Nobody)));
}
