//! Storing files.

use crate::memory::car;
use crate::site::{Site, problem};
use axum::body::Bytes;
use cid::Cid;
use gateway::{GatewayConfig, ServeLimits};
use protocol::api::{FileInfo, RepairReport};
use protocol::content::raw_cid;
use reqwest::{Method, Response, StatusCode};

fn example(text: &'static str) -> (Cid, Vec<u8>) {
    let cid = raw_cid(text.as_bytes());
    (cid, car(&cid, &[(cid, Bytes::from(text))]))
}

async fn put(site: &Site, body: impl Into<reqwest::Body>) -> Response {
    let request = site.request(Method::POST, "/v1/files").header("content-type", "application/vnd.ipld.car; version=1");
    request.body(body).send().await.unwrap()
}

#[tokio::test]
async fn a_car_is_stored_listed_inspected_and_repaired() {
    let site = Site::start().await;
    let (cid, body) = example("a file");
    let response = put(&site, body).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.headers()["location"], format!("/v1/files/{cid}").as_str());
    let file: FileInfo = response.json().await.unwrap();
    assert_eq!((file.cid.clone(), file.size), (cid.to_string(), 6));
    let (later, body) = example("a later file");
    put(&site, body).await;
    let listed: Vec<FileInfo> = site.json("/v1/files?limit=1").await;
    assert_eq!(listed.iter().map(|file| file.cid.clone()).collect::<Vec<_>>(), [later.to_string()]);
    assert_eq!(site.json::<Vec<FileInfo>>("/v1/files").await.len(), 2);
    assert_eq!(site.json::<FileInfo>(&format!("/v1/files/{cid}")).await.shards_healthy, Some(8));
    let repaired = site.request(Method::POST, &format!("/v1/files/{cid}/repair")).send().await.unwrap();
    assert_eq!(repaired.json::<RepairReport>().await.unwrap().checked, 8);
}

#[tokio::test]
async fn what_is_no_car_is_refused_with_the_reason() {
    let site = Site::start().await;
    let detail = problem(put(&site, "not a car").await, 422, "unprocessable").await;
    assert!(detail.contains("CARv1"), "{detail}");
    let (_, mut damaged) = example("a file");
    *damaged.last_mut().unwrap() ^= 1;
    problem(put(&site, damaged).await, 422, "unprocessable").await;
    let untyped = site.request(Method::POST, "/v1/files").body("x").send().await.unwrap();
    assert_eq!(
        problem(untyped, 415, "unsupported-media-type").await,
        "content type is \"\"; accepted: application/vnd.ipld.car"
    );
    assert_eq!(site.json::<Vec<FileInfo>>("/v1/files").await, []);
}

#[tokio::test]
async fn unknown_files_and_wrong_names_are_told_apart() {
    let site = Site::start().await;
    let unknown = raw_cid(b"never stored");
    site.refused(&format!("/v1/files/{unknown}"), 404, "not-found").await;
    let detail = site.refused("/v1/files/zzz", 400, "bad-request").await;
    assert!(detail.starts_with("cid is \"zzz\"; accepted: a CID"), "{detail}");
    let repair = site.request(Method::POST, &format!("/v1/files/{unknown}/repair")).send().await.unwrap();
    problem(repair, 404, "not-found").await;
    for query in ["limit=0", "limit=1001", "limit=-1", "limit=1&limit=2", "sort=size"] {
        site.refused(&format!("/v1/files?{query}"), 400, "bad-request").await;
    }
}

#[tokio::test]
async fn a_car_over_the_limit_is_refused_declared_or_not() {
    let (_, body) = example("a file");
    let config = GatewayConfig { car_bytes_max: body.len() as u64, ..GatewayConfig::default() };
    let site = Site::with(config, ServeLimits::default()).await;
    assert_eq!(put(&site, body.clone()).await.status(), StatusCode::CREATED);
    let beyond = [body, vec![0]].concat();
    let detail = problem(put(&site, beyond.clone()).await, 413, "too-large").await;
    assert!(detail.starts_with("CAR is over the limit of "), "{detail}");
    let pieces =
        futures::stream::iter(beyond.chunks(7).map(|p| Ok::<_, std::io::Error>(p.to_vec())).collect::<Vec<_>>());
    problem(put(&site, reqwest::Body::wrap_stream(pieces)).await, 413, "too-large").await;
}

#[tokio::test]
async fn a_large_body_that_is_refused_early_still_learns_why() {
    let site = Site::start().await;
    let large = vec![0_u8; 8 << 20];
    let untyped = site.request(Method::POST, "/v1/jobs/quote").header("content-type", "application/json").body(large);
    problem(untyped.send().await.unwrap(), 413, "too-large").await;
}

#[tokio::test]
async fn uploads_beyond_the_slots_are_told_to_come_back() {
    let config = GatewayConfig { uploads_max: 0, ..GatewayConfig::default() };
    let site = Site::with(config, ServeLimits::default()).await;
    let response = put(&site, example("a file").1).await;
    assert_eq!(response.headers()["retry-after"], "1");
    problem(response, 503, "unavailable").await;
}
