//! Jobs, their events and their logs.

use crate::memory::{event, job, record};
use crate::site::{Site, piece, problem};
use alloy_primitives::Address;
use gateway::{GatewayConfig, ServeLimits};
use protocol::api::{JobEvent, JobView, LogRecord, Quote};
use reqwest::{Response, StatusCode};
use serde_json::{json, to_value};
use std::time::Duration;

async fn site() -> Site {
    let site = Site::start().await;
    site.memory.jobs.lock().unwrap().extend([job(1), job(2), job(3)]);
    site
}

/// The fields of the next event that is no comment: id, name, data.
async fn next(stream: &mut Response, buffer: &mut String) -> Option<(String, String, String)> {
    loop {
        if let Some(end) = buffer.find("\n\n") {
            let block: String = buffer.drain(..end + 2).collect();
            let field = |name: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                line.unwrap_or("").trim_start().to_owned()
            };
            match field("data") {
                data if data.is_empty() => continue,
                data => return Some((field("id"), field("event"), data)),
            }
        }
        buffer.push_str(&piece(stream).await?);
    }
}

#[tokio::test]
async fn jobs_are_paged_newest_first() {
    let site = site().await;
    let ids =
        async |path: &str| -> Vec<u64> { site.json::<Vec<JobView>>(path).await.iter().map(|job| job.id).collect() };
    assert_eq!(ids("/v1/jobs").await, [3, 2, 1]);
    assert_eq!(ids("/v1/jobs?limit=2").await, [3, 2]);
    assert_eq!(ids("/v1/jobs?limit=2&before=2").await, [1]);
    for query in ["limit=0", "limit=501", "before=x", "after=1"] {
        site.refused(&format!("/v1/jobs?{query}"), 400, "bad-request").await;
    }
}

#[tokio::test]
async fn a_job_is_found_by_its_number() {
    let site = site().await;
    assert_eq!(site.json::<JobView>("/v1/jobs/2").await, job(2));
    site.refused("/v1/jobs/4", 404, "not-found").await;
    for id in ["x", "-1", "+1", "18446744073709551616"] {
        site.refused(&format!("/v1/jobs/{id}"), 400, "bad-request").await;
    }
}

#[tokio::test]
async fn a_quote_costs_nothing_and_its_refusal_says_why() {
    let site = site().await;
    let quote = site.post("/v1/jobs/quote", json!({ "spec": "kind: Job" })).await;
    assert_eq!(quote.json::<Quote>().await.unwrap().tasks, 1);
    let refused = site.post("/v1/jobs/quote", json!({ "spec": "" })).await;
    assert_eq!(problem(refused, 422, "unprocessable").await, "the specification is empty");
}

#[tokio::test]
async fn events_come_with_the_past_then_live_and_end_with_the_job() {
    let site = site().await;
    site.memory.tell(event(1, 10, 0));
    let mut stream = site.get("/v1/jobs/1/events").await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(stream.headers()["cache-control"], "no-cache");
    let mut buffer = String::new();
    let (id, _, data) = next(&mut stream, &mut buffer).await.unwrap();
    assert_eq!((id.as_str(), serde_json::from_str::<JobEvent>(&data).unwrap()), ("10-0", event(1, 10, 0)));
    site.memory.tell(event(1, 11, 4));
    assert_eq!(next(&mut stream, &mut buffer).await.unwrap().0, "11-4");
    site.memory.close();
    assert_eq!(next(&mut stream, &mut buffer).await.unwrap(), ("".into(), "end".into(), "{}".into()));
    assert_eq!(next(&mut stream, &mut buffer).await, None);
}

#[tokio::test]
async fn a_client_that_comes_back_goes_on_where_it_was() {
    let site = site().await;
    for (block, index) in [(10, 0), (10, 1), (11, 0)] {
        site.memory.tell(event(1, block, index));
    }
    site.memory.close();
    let mut stream = site.get_with("/v1/jobs/1/events", "last-event-id", "10-0").await;
    let (mut buffer, mut ids) = (String::new(), Vec::new());
    while let Some((id, _, _)) = next(&mut stream, &mut buffer).await {
        ids.push(id);
    }
    assert_eq!(ids, ["10-1", "11-0", ""]);
    let refused = site.get_with("/v1/jobs/1/events", "last-event-id", "10").await;
    let detail = problem(refused, 400, "bad-request").await;
    assert_eq!(detail, "Last-Event-ID is \"10\"; accepted: the id of an event, block-index, such as 120-3");
    site.refused("/v1/jobs/9/events", 404, "not-found").await;
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive_by_comments() {
    let config = GatewayConfig { keep_alive: Duration::from_millis(20), ..GatewayConfig::default() };
    let site = Site::with(config, ServeLimits::default()).await;
    site.memory.jobs.lock().unwrap().push(job(1));
    let mut stream = site.get("/v1/jobs/1/events").await;
    assert_eq!(piece(&mut stream).await.unwrap(), ": keep-alive\n\n");
}

#[tokio::test]
async fn streams_beyond_the_slots_are_told_to_come_back_until_one_is_free() {
    let config = GatewayConfig { streams_max: 1, ..GatewayConfig::default() };
    let site = Site::with(config, ServeLimits::default()).await;
    site.memory.jobs.lock().unwrap().push(job(1));
    site.memory.tell(event(1, 1, 1));
    let mut first = site.get("/v1/jobs/1/events").await;
    piece(&mut first).await.unwrap();
    site.refused("/v1/jobs/1/events", 503, "unavailable").await;
    site.memory.close();
    while piece(&mut first).await.is_some() {}
    assert_eq!(site.get("/v1/jobs/1/events").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn log_records_are_taken_kept_and_followed() {
    let site = site().await;
    let push = async |record: &LogRecord| site.post("/v1/jobs/1/logs", to_value(record).unwrap()).await.status();
    assert_eq!(push(&record(1, 0, 0)).await, StatusCode::NO_CONTENT);
    assert_eq!(push(&record(1, 1, 0)).await, StatusCode::NO_CONTENT);
    let mut stream = site.get("/v1/jobs/1/logs?task=1&follow=true").await;
    let mut buffer = String::new();
    let (_, _, data) = next(&mut stream, &mut buffer).await.unwrap();
    assert_eq!(serde_json::from_str::<LogRecord>(&data).unwrap(), record(1, 1, 0));
    assert_eq!(push(&record(1, 0, 1)).await, StatusCode::NO_CONTENT);
    assert_eq!(push(&record(1, 1, 1)).await, StatusCode::NO_CONTENT);
    let (_, _, data) = next(&mut stream, &mut buffer).await.unwrap();
    assert_eq!(serde_json::from_str::<LogRecord>(&data).unwrap(), record(1, 1, 1));
    let all = site.get("/v1/jobs/1/logs").await.text().await.unwrap();
    assert_eq!((all.matches("data: {\"job_id\"").count(), all.matches("event: end").count()), (4, 1));
}

#[tokio::test]
async fn log_records_of_the_wrong_shape_or_sender_are_refused() {
    let site = site().await;
    let push = async |path: &str, record: LogRecord| site.post(path, to_value(record).unwrap()).await;
    let detail = problem(push("/v1/jobs/2/logs", record(1, 0, 0)).await, 400, "bad-request").await;
    assert_eq!(detail, "job_id is \"1\"; accepted: 2, as in the path");
    let with_bytes = |bytes: usize| LogRecord { sealed: vec![1; bytes].into(), ..record(1, 0, 0) };
    assert_eq!(push("/v1/jobs/1/logs", with_bytes(16 * 1024)).await.status(), StatusCode::NO_CONTENT);
    problem(push("/v1/jobs/1/logs", with_bytes(16 * 1024 + 1)).await, 413, "too-large").await;
    problem(push("/v1/jobs/1/logs", with_bytes(0)).await, 400, "bad-request").await;
    let unsigned = LogRecord { signature: vec![1; 64].into(), ..record(1, 0, 0) };
    problem(push("/v1/jobs/1/logs", unsigned).await, 400, "bad-request").await;
    let stranger = LogRecord { provider: Address::ZERO, ..record(1, 0, 0) };
    problem(push("/v1/jobs/1/logs", stranger).await, 403, "forbidden").await;
    for query in ["task=x", "task=4294967296", "follow=yes", "since=1"] {
        site.refused(&format!("/v1/jobs/1/logs?{query}"), 400, "bad-request").await;
    }
}
