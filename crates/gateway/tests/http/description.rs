//! The OpenAPI description says what is served, in a shape that generators accept.

use crate::site::Site;
use reqwest::Method;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

const OPERATIONS: &str = "\
GET /
GET /healthz
GET /ipfs/{cid}
HEAD /ipfs/{cid}
GET /jobs/{id}
GET /openapi.json
GET /readyz
GET /v1/files
POST /v1/files
GET /v1/files/{cid}
POST /v1/files/{cid}/repair
GET /v1/jobs
POST /v1/jobs/quote
GET /v1/jobs/{id}
GET /v1/jobs/{id}/events
GET /v1/jobs/{id}/logs
POST /v1/jobs/{id}/logs
GET /v1/namespaces/{namespace}/transactions
GET /v1/network
GET /v1/providers
GET /v1/providers/{address}
GET /v1/status
GET /v1/storage/nodes
POST /v1/submit/submit
GET /v1/transactions/{hash}
";

fn description() -> Value {
    serde_json::from_str(&gateway::openapi()).unwrap()
}

fn operations(description: &Value) -> Vec<(String, String, &Map<String, Value>)> {
    let mut all = Vec::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            all.push((method.to_uppercase(), path.clone(), operation.as_object().unwrap()));
        }
    }
    all
}

/// Every `$ref` below `value`.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref") {
                found.insert(reference.as_str().unwrap().to_owned());
            }
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn exactly_the_known_operations_are_described() {
    let description = description();
    let mut listed: Vec<_> = operations(&description).into_iter().map(|(method, path, _)| (path, method)).collect();
    listed.sort();
    let listed: String = listed.into_iter().map(|(path, method)| format!("{method} {path}\n")).collect();
    assert_eq!(listed, OPERATIONS);
}

#[test]
fn every_operation_is_whole() {
    let description = description();
    let mut ids = BTreeSet::new();
    let tags: BTreeSet<_> =
        description["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    for (method, path, operation) in operations(&description) {
        let at = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{at}: the id is taken");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{at}");
        assert!(operation["tags"].as_array().unwrap().iter().all(|tag| tags.contains(tag.as_str().unwrap())), "{at}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{at}");
        for (status, response) in responses {
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{at} {status}");
        }
        let none = vec![];
        let parameters = operation.get("parameters").and_then(Value::as_array).unwrap_or(&none);
        let named: BTreeSet<_> =
            parameters.iter().filter(|p| p["in"] == "path").map(|p| p["name"].as_str().unwrap()).collect();
        let in_path: BTreeSet<_> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        assert_eq!(named, in_path, "{at}");
    }
}

#[test]
fn the_document_is_openapi_3_1_and_closed_in_itself() {
    let description = description();
    assert_eq!(description["openapi"], "3.1.0");
    assert!(description["info"]["title"].is_string() && description["info"]["version"].is_string());
    let mut found = BTreeSet::new();
    references(&description, &mut found);
    assert!(found.contains("#/components/schemas/Problem"), "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a reference within the document");
        assert!(description.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[tokio::test]
async fn everything_described_is_served() {
    let site = Site::start().await;
    let served: Value = site.json("/openapi.json").await;
    assert_eq!(served, description());
    for (method, path, _) in operations(&served) {
        let path =
            path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect::<Vec<_>>().join("/");
        let method: Method = method.parse().unwrap();
        let response = site.request(method.clone(), &path).send().await.unwrap();
        assert_ne!(response.status(), 405, "{method} {path}");
        assert_ne!(response.status(), 404, "{method} {path}: the fallback answered");
    }
}
