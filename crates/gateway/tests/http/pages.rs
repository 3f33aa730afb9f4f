//! The status page and the page of a job.

use crate::memory::{event, job, provider};
use crate::site::Site;
use alloy_primitives::{Address, B256, U256};
use protocol::api::{BidView, FileInfo, StorageNode, TaskView};
use reqwest::StatusCode;
use std::sync::atomic::Ordering;

const HOSTILE: &str = "<script>alert(1)</script>\"' onload=x";

async fn page(site: &Site, path: &str, status: StatusCode) -> String {
    let response = site.get(path).await;
    assert_eq!(response.status(), status, "{path}");
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'; style-src 'self'; img-src 'self'") && !policy.contains("unsafe"));
    let text = response.text().await.unwrap();
    assert!(!text.contains("<script") && !text.contains("style=\"") && !text.contains("<style"), "{text}");
    assert!(text.contains("<html lang=\"en\">") && text.contains("<main id=\"main\">"));
    text
}

#[tokio::test]
async fn the_network_is_seen_at_a_glance() {
    let site = Site::start().await;
    site.memory.jobs.lock().unwrap().push(job(12));
    site.memory.providers.lock().unwrap().push(provider(Address::repeat_byte(0xab)));
    let text = page(&site, "/", StatusCode::OK).await;
    for shown in
        ["5886 (development)", "<a href=\"/jobs/12\">12</a>", "1.5 AKE", "2 AKE", "98.76%", "href=\"/openapi.json\""]
    {
        assert!(text.contains(shown), "{shown} is missing in {text}");
    }
    assert!(text.contains("No storage node is registered.") && text.contains("No file is stored yet."));
}

#[tokio::test]
async fn a_network_in_trouble_is_shown_with_its_trouble() {
    let site = Site::start().await;
    site.memory.down.store(true, Ordering::SeqCst);
    let text = page(&site, "/", StatusCode::OK).await;
    assert!(text.contains("no block for 9 s") && text.contains("No job was opened yet."));
}

#[tokio::test]
async fn a_job_is_shown_with_tasks_bids_and_events() {
    let site = Site::start().await;
    let mut job = job(5);
    let account = Address::repeat_byte(0xb0);
    job.bids.push(BidView { provider: account, price: U256::from(4), capacity: 2, score: U256::from(10) });
    job.tasks.push(TaskView {
        index: 0,
        state: "audited".into(),
        attempt: 1,
        provider: account,
        price: U256::from(4),
        deadline: 0,
        auditor: Address::ZERO,
        commitment: B256::ZERO,
        output: "bafyoutput".into(),
    });
    site.memory.jobs.lock().unwrap().push(job);
    site.memory.tell(event(5, 120, 3));
    let text = page(&site, "/jobs/5", StatusCode::OK).await;
    for shown in [
        "Job 5: digits",
        "audited",
        "bafyoutput",
        "120-3",
        "TaskAssigned",
        "price: <code>5</code>",
        "2026-09-21T14:13:20Z",
    ] {
        assert!(text.contains(shown), "{shown} is missing in {text}");
    }
    assert!(!text.contains(&Address::ZERO.to_string()), "nobody was drawn as auditor");
}

#[tokio::test]
async fn hostile_text_is_shown_and_not_run() {
    let site = Site::start().await;
    let (mut job, mut event) = (job(5), event(5, 1, 1));
    for field in [&mut job.name, &mut job.state, &mut job.spec] {
        *field = HOSTILE.into();
    }
    event.event = HOSTILE.into();
    event.fields.insert(HOSTILE.into(), HOSTILE.into());
    site.memory.jobs.lock().unwrap().push(job);
    site.memory.tell(event);
    let node = StorageNode {
        address: Address::ZERO,
        endpoint: HOSTILE.into(),
        up: true,
        used_bytes: 0,
        capacity_bytes: 0,
        shards: 0,
    };
    site.memory.nodes.lock().unwrap().push(node);
    let cid = HOSTILE.into();
    let file =
        FileInfo { cid, size: 0, segments: 0, k: 0, n: 0, stored_at: u64::MAX, shards_healthy: None, shards_total: 0 };
    site.memory.files.lock().unwrap().push(file);
    for path in ["/", "/jobs/5"] {
        let text = page(&site, path, StatusCode::OK).await;
        assert!(text.contains("&#60;script&#62;alert(1)") && !text.contains("\"' onload"), "{text}");
    }
}

#[tokio::test]
async fn people_get_pages_for_what_is_not_there() {
    let site = Site::start().await;
    assert!(page(&site, "/jobs/99", StatusCode::NOT_FOUND).await.contains("job 99: never opened"));
    assert!(page(&site, "/jobs/%3Cscript%3E", StatusCode::BAD_REQUEST).await.contains("job id is"));
}

#[tokio::test]
async fn style_and_icon_are_served_by_ourselves() {
    let site = Site::start().await;
    let style = site.get("/style.css").await;
    assert_eq!(style.headers()["content-type"], "text/css; charset=utf-8");
    assert!(style.text().await.unwrap().contains("prefers-color-scheme: dark"));
    assert_eq!(site.get("/icon.svg").await.headers()["content-type"], "image/svg+xml");
}
