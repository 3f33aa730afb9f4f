//! Content by CID.

use crate::memory::{ENDLESS, car};
use crate::site::{Site, problem};
use axum::body::Bytes;
use protocol::content::raw_cid;
use reqwest::{Method, Response, StatusCode};

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// A site with one file of 2,500 bytes; its path and its bytes.
async fn site() -> (Site, String, Vec<u8>) {
    let site = Site::start().await;
    let bytes: Vec<u8> = (0..2_500_u32).map(|n| (n % 251) as u8).collect();
    let cid = site.memory.keep(bytes.clone());
    (site, format!("/ipfs/{cid}"), bytes)
}

#[tokio::test]
async fn a_file_is_served_as_bytes_that_never_change_and_never_run() {
    let (site, path, bytes) = site().await;
    let response = site.get(&path).await;
    assert_eq!(response.status(), StatusCode::OK);
    let cid = path.trim_start_matches("/ipfs/");
    assert_eq!(header(&response, "etag"), format!("\"{cid}\""));
    assert_eq!(header(&response, "cache-control"), "public, max-age=29030400, immutable");
    assert_eq!(header(&response, "content-length"), "2500");
    assert_eq!(header(&response, "content-type"), "application/octet-stream");
    assert_eq!(header(&response, "accept-ranges"), "bytes");
    assert_eq!(header(&response, "x-ipfs-path"), path);
    assert_eq!(header(&response, "x-ipfs-roots"), cid);
    assert!(response.headers().get_all("vary").iter().any(|value| value == "accept"));
    assert!(header(&response, "content-security-policy").starts_with("sandbox"));
    assert_eq!(response.bytes().await.unwrap(), bytes);
}

#[tokio::test]
async fn names_decide_the_type_but_never_to_something_that_runs() {
    let (site, path, _) = site().await;
    let named = site.get(&format!("{path}?filename=table.csv&download=true")).await;
    assert_eq!(header(&named, "content-type"), "text/csv; charset=utf-8");
    assert_eq!(header(&named, "content-disposition"), "attachment; filename=\"table.csv\"");
    let page = site.get(&format!("{path}?filename=page.html")).await;
    assert_eq!(header(&page, "content-type"), "text/plain; charset=utf-8");
    let hostile = site.get(&format!("{path}?filename=a%22%0d%0aX-Evil:%201")).await;
    assert!(!hostile.headers().contains_key("x-evil"));
}

#[tokio::test]
async fn each_range_is_the_part_it_names() {
    let (site, path, bytes) = site().await;
    for (asked, part, told) in [
        ("bytes=0-0", 0..1, "bytes 0-0/2500"),
        ("bytes=990-1009", 990..1010, "bytes 990-1009/2500"),
        ("bytes=2000-", 2000..2500, "bytes 2000-2499/2500"),
        ("bytes=2000-9999", 2000..2500, "bytes 2000-2499/2500"),
        ("bytes=-100", 2400..2500, "bytes 2400-2499/2500"),
    ] {
        let response = site.get_with(&path, "range", asked).await;
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{asked}");
        assert_eq!(header(&response, "content-range"), told);
        assert_eq!(header(&response, "content-length"), part.len().to_string());
        assert_eq!(response.bytes().await.unwrap(), bytes[part], "{asked}");
    }
}

#[tokio::test]
async fn a_range_outside_is_refused_and_a_strange_one_ignored() {
    let (site, path, bytes) = site().await;
    for asked in ["bytes=2500-", "bytes=2500-2501", "bytes=-0"] {
        let response = site.get_with(&path, "range", asked).await;
        assert_eq!(header(&response, "content-range"), "bytes */2500");
        assert_eq!(header(&response, "cache-control"), "");
        problem(response, 416, "range-not-satisfiable").await;
    }
    for asked in ["bytes=0-1,5-6", "items=0-1", "bytes=9-1", "nonsense"] {
        let response = site.get_with(&path, "range", asked).await;
        assert_eq!(
            (response.status(), response.bytes().await.unwrap().len()),
            (StatusCode::OK, bytes.len()),
            "{asked}"
        );
    }
    let changed = site.request(Method::GET, &path).header("range", "bytes=0-1").header("if-range", "\"other\"");
    assert_eq!(changed.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn head_tells_what_get_would_and_sends_nothing() {
    let (site, path, _) = site().await;
    for (query, kind, length) in [
        ("", "application/octet-stream", "2500"),
        ("?format=raw", "application/vnd.ipld.raw", "2500"),
        ("?format=car", "application/vnd.ipld.car; version=1; order=dfs; dups=n", ""),
    ] {
        let response = site.head(&format!("{path}{query}")).await;
        assert_eq!(response.status(), StatusCode::OK, "{query}");
        assert_eq!((header(&response, "content-type"), header(&response, "content-length")), (kind, length));
        assert_eq!(response.bytes().await.unwrap().len(), 0);
    }
    let unknown = raw_cid(b"unknown");
    for query in ["", "?format=raw", "?format=car"] {
        assert_eq!(site.head(&format!("/ipfs/{unknown}{query}")).await.status(), StatusCode::NOT_FOUND, "{query}");
    }
}

#[tokio::test]
async fn a_client_that_holds_the_content_gets_no_body() {
    let (site, path, _) = site().await;
    for query in ["", "?format=raw", "?format=car"] {
        let path = format!("{path}{query}");
        let etag = header(&site.get(&path).await, "etag").to_owned();
        let held =
            site.get_with(&path, "if-none-match", &format!("\"other\", W/{}", etag.trim_start_matches("W/"))).await;
        assert_eq!(held.status(), StatusCode::NOT_MODIFIED, "{query}");
        assert_eq!(header(&held, "etag"), etag);
        assert_eq!(held.bytes().await.unwrap().len(), 0);
        let changed = site.get_with(&path, "if-none-match", "\"other\"").await;
        assert_eq!(changed.status(), StatusCode::OK, "{query}");
    }
}

#[tokio::test]
async fn a_block_is_served_raw_by_parameter_and_by_accept() {
    let (site, path, bytes) = site().await;
    let cid = path.trim_start_matches("/ipfs/");
    for response in [
        site.get(&format!("{path}?format=raw")).await,
        site.get_with(&path, "accept", "application/vnd.ipld.raw").await,
    ] {
        assert_eq!(header(&response, "content-type"), "application/vnd.ipld.raw");
        assert_eq!(header(&response, "content-disposition"), format!("attachment; filename=\"{cid}.bin\""));
        assert_eq!(header(&response, "etag"), format!("\"{cid}.raw\""));
        assert_eq!(response.bytes().await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn a_dag_is_served_as_car_by_parameter_and_by_accept() {
    let (site, path, bytes) = site().await;
    let cid = raw_cid(&bytes);
    let expected = car(&cid, &[(cid, Bytes::from(bytes))]);
    for response in [
        site.get(&format!("{path}?format=car&dag-scope=all")).await,
        site.get_with(&path, "accept", "application/vnd.ipld.car;version=1;order=dfs;dups=n").await,
    ] {
        assert_eq!(header(&response, "content-type"), "application/vnd.ipld.car; version=1; order=dfs; dups=n");
        assert_eq!(header(&response, "content-disposition"), format!("attachment; filename=\"{cid}.car\""));
        assert_eq!(header(&response, "accept-ranges"), "none");
        assert_eq!(response.bytes().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn unknown_formats_and_content_are_told_apart() {
    let (site, path, _) = site().await;
    site.refused(&format!("{path}?format=tar"), 400, "bad-request").await;
    site.refused(&format!("{path}?format=car&car-version=2"), 400, "bad-request").await;
    let refused = site.get_with(&path, "accept", "application/vnd.ipld.dag-cbor").await;
    problem(refused, 406, "not-acceptable").await;
    site.refused("/ipfs/not-a-cid", 400, "bad-request").await;
    for query in ["", "?format=raw", "?format=car"] {
        site.refused(&format!("/ipfs/{}{query}", raw_cid(b"unknown")), 404, "not-found").await;
    }
    site.refused(&format!("{path}/below"), 404, "not-found").await;
    assert_eq!(site.get(&format!("{path}?someone-elses=parameter")).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn content_inside_a_cid_needs_no_network() {
    let site = Site::start().await;
    // The probe of trustless clients: an identity CID of nothing; and one of "hi".
    let empty = site.get("/ipfs/bafkqaaa?format=raw").await;
    assert_eq!((empty.status(), empty.bytes().await.unwrap().len()), (StatusCode::OK, 0));
    let inline = format!("/ipfs/{}", cid::Cid::try_from(&[1, 0x55, 0, 2, b'h', b'i'][..]).unwrap());
    assert_eq!(site.get(&inline).await.text().await.unwrap(), "hi");
    assert_eq!(site.get_with(&inline, "range", "bytes=1-").await.text().await.unwrap(), "i");
}

#[tokio::test]
async fn a_file_that_breaks_halfway_is_a_broken_transfer() {
    let site = Site::start().await;
    let cid = site.memory.keep("broken");
    let response = site.get(&format!("/ipfs/{cid}")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.bytes().await.is_err());
}

#[tokio::test]
async fn a_part_of_a_huge_file_costs_only_that_part() {
    let site = Site::start().await;
    let cid = site.memory.keep("endless");
    assert_eq!(header(&site.head(&format!("/ipfs/{cid}")).await, "content-length"), ENDLESS.to_string());
    let last = site.get_with(&format!("/ipfs/{cid}"), "range", "bytes=-65536").await;
    assert_eq!(header(&last, "content-length"), "65536");
}
