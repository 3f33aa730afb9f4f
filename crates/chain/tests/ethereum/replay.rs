//! Replays recorded exchanges: sends each request and compares the response.
//!
//! A file holds comments (`//`), requests (`>>`) and responses (`<<`). Responses are compared as JSON, numbers by value;
//! of two errors only the codes are. Where a comment says `speconly` only the shape is compared: the same members, of
//! the same types.

use crate::fixtures::{blocks, folder, import, open};
use chain::rpc::{ReadOnly, RpcLimits, serve};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Exchanges that cannot be equal, by a part of their path, with the reason.
const ALLOWED: [(&str, &str); 2] = [
    ("eth_sendRawTransaction/send-blob-tx", "the pool takes no blob transactions: there is no market for blobs"),
    ("eth_capabilities/get-capabilities", "logs are kept for ever here: no window after which they are deleted"),
];

/// What became of the files.
#[derive(Default)]
struct Outcome {
    passed: usize,
    failed: Vec<(String, String)>,
    skipped: Vec<(String, &'static str)>,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_exchange_is_answered_as_recorded() {
    let Some(folder) = folder("execution-apis") else { return };
    let dir = tempfile::tempdir().unwrap();
    let chain = open(&folder, dir.path());
    import(&chain, &blocks(&folder)).unwrap();
    let server = serve(([127, 0, 0, 1], 0).into(), chain, Arc::new(ReadOnly), RpcLimits::default()).await.unwrap();
    let url = format!("http://{}", server.local_addr);
    let outcome = replay(&folder, &url).await;
    println!("{} passed, {} failed, {} skipped", outcome.passed, outcome.failed.len(), outcome.skipped.len());
    for (file, reason) in &outcome.skipped {
        println!("skipped {file}: {reason}");
    }
    let mut by_method: BTreeMap<&str, usize> = BTreeMap::new();
    for (file, reason) in &outcome.failed {
        println!("FAILED {file}: {reason}");
        *by_method.entry(file.split('/').next().unwrap_or_default()).or_default() += 1;
    }
    server.stop().await;
    assert!(outcome.failed.is_empty(), "failures by method: {by_method:?}");
    assert!(outcome.passed > 0, "no exchange was found in {}", folder.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_chain_claims_neither_a_quorum_nor_a_supply() {
    let Some(folder) = folder("execution-apis") else { return };
    let dir = tempfile::tempdir().unwrap();
    let chain = open(&folder, dir.path());
    let server = serve(([127, 0, 0, 1], 0).into(), chain, Arc::new(ReadOnly), RpcLimits::default()).await.unwrap();
    let (client, url) =
        (reqwest::Client::builder().tls_certs_only([]).build().unwrap(), format!("http://{}", server.local_addr));
    let ask = async |method: &str| -> Value {
        let call = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": []});
        client.post(&url).json(&call).send().await.unwrap().json().await.unwrap()
    };
    assert_eq!(ask("kumo_finality").await["result"]["rule"], "imported");
    assert_eq!(ask("kumo_supply").await["error"]["code"], -32000);
    assert_eq!(ask("kumo_getCheckpoint").await["error"]["code"], -32000);
    server.stop().await;
}

async fn replay(folder: &Path, url: &str) -> Outcome {
    let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
    let mut outcome = Outcome::default();
    for path in exchanges(folder) {
        let name = path.strip_prefix(folder).unwrap().display().to_string();
        let text = std::fs::read_to_string(&path).unwrap();
        match replay_file(&client, url, &text).await {
            Ok(()) => outcome.passed += 1,
            Err(reason) => match ALLOWED.iter().find(|(part, _)| name.contains(part)) {
                Some((_, why)) => outcome.skipped.push((name, why)),
                None => outcome.failed.push((name, reason)),
            },
        }
    }
    outcome
}

/// Every `.io` file below a folder, in order.
fn exchanges(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|extension| extension == "io") => found.push(path),
                false => {}
            }
        }
    }
    found.sort();
    found
}

async fn replay_file(client: &reqwest::Client, url: &str, text: &str) -> Result<(), String> {
    let shape_only = text.lines().any(|line| line.starts_with("//") && line.contains("speconly"));
    let mut answer = None;
    for line in text.lines() {
        if let Some(request) = line.strip_prefix(">>") {
            let response = client.post(url).header("content-type", "application/json").body(request.trim().to_owned());
            let body = response.send().await.map_err(|e| e.to_string())?.bytes().await.map_err(|e| e.to_string())?;
            answer = Some(serde_json::from_slice::<Value>(&body).map_err(|e| format!("{e}: {body:?}"))?);
        } else if let Some(expected) = line.strip_prefix("<<") {
            let expected: Value = serde_json::from_str(expected.trim()).map_err(|e| e.to_string())?;
            let got = answer.take().ok_or("a response without a request")?;
            compare(&expected, &got, shape_only)?;
        }
    }
    Ok(())
}

fn compare(expected: &Value, got: &Value, shape_only: bool) -> Result<(), String> {
    match (expected.get("error"), got.get("error")) {
        (Some(expected), Some(got)) => return equal("error.code", &expected["code"], &got["code"]),
        (Some(error), None) => return Err(format!("expected the error {error}, got {}", short(got))),
        (None, Some(error)) => return Err(format!("expected a result, got the error {error}")),
        (None, None) => {}
    }
    match shape_only {
        true => same_shape("result", &expected["result"], &got["result"]),
        false => equal("result", &expected["result"], &got["result"]),
    }
}

fn equal(path: &str, expected: &Value, got: &Value) -> Result<(), String> {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            for name in expected.keys().chain(got.keys()) {
                let member = |object: &serde_json::Map<String, Value>| object.get(name).cloned();
                let path = format!("{path}.{name}");
                match (member(expected), member(got)) {
                    (Some(expected), Some(got)) => equal(&path, &expected, &got)?,
                    (Some(expected), None) => return Err(format!("{path}: missing, expected {}", short(&expected))),
                    (None, got) => return Err(format!("{path}: unexpected {}", short(&got.unwrap_or_default()))),
                }
            }
            Ok(())
        }
        (Value::Array(expected), Value::Array(got)) if expected.len() == got.len() => {
            let pairs = expected.iter().zip(got).enumerate();
            pairs.into_iter().try_for_each(|(index, (expected, got))| equal(&format!("{path}[{index}]"), expected, got))
        }
        (Value::Number(expected), Value::Number(got)) if expected.as_f64() == got.as_f64() => Ok(()),
        (expected, got) if expected == got => Ok(()),
        (expected, got) => Err(format!("{path}: expected {}, got {}", short(expected), short(got))),
    }
}

/// Whether two values have the same members and types. The keys of maps (addresses, nonces) may differ; where either
/// side has nothing there is no shape to compare.
fn same_shape(path: &str, expected: &Value, got: &Value) -> Result<(), String> {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) if is_map(expected) && is_map(got) => {
            let values = expected.values().next().zip(got.values().next());
            values.map_or(Ok(()), |(expected, got)| same_shape(&format!("{path}.*"), expected, got))
        }
        (Value::Object(expected), Value::Object(got)) => expected.iter().try_for_each(|(name, value)| {
            let path = format!("{path}.{name}");
            let got = got.get(name).ok_or_else(|| format!("{path}: missing, expected {}", short(value)))?;
            same_shape(&path, value, got)
        }),
        (Value::Array(expected), Value::Array(got)) => {
            let first = expected.first().zip(got.first());
            first.map_or(Ok(()), |(expected, got)| same_shape(&format!("{path}[]"), expected, got))
        }
        (Value::Null, _) | (_, Value::Null) => Ok(()),
        (expected, got) if std::mem::discriminant(expected) == std::mem::discriminant(got) => Ok(()),
        (expected, got) => Err(format!("{path}: expected something like {}, got {}", short(expected), short(got))),
    }
}

fn is_map(object: &serde_json::Map<String, Value>) -> bool {
    object.keys().all(|key| key.starts_with("0x") || key.bytes().all(|byte| byte.is_ascii_digit()))
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(400) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

mod comparison {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_must_be_equal_and_numbers_equal_in_value() {
        let (one, other) = (json!({"result": {"a": 1.0, "b": [null]}}), json!({"result": {"b": [null], "a": 1}}));
        compare(&one, &other, false).unwrap();
        for wrong in [json!({"a": 2, "b": [null]}), json!({"a": 1}), json!({"a": 1, "b": [null], "c": 0}), json!(null)]
        {
            assert!(compare(&one, &json!({ "result": wrong }), false).is_err(), "{wrong}");
        }
    }

    #[test]
    fn of_two_errors_the_codes_count() {
        let error = |code: i32, message: &str| json!({"error": {"code": code, "message": message}});
        compare(&error(-32000, "a"), &error(-32000, "b"), false).unwrap();
        assert!(compare(&error(-32000, "a"), &error(-32602, "a"), false).is_err());
        assert!(compare(&error(3, "a"), &json!({"result": "0x"}), true).is_err());
    }

    #[test]
    fn a_shape_is_members_and_types() {
        let shape = |expected: Value, got: Value| compare(&json!({"result": expected}), &json!({"result": got}), true);
        shape(json!({"a": "0x1", "b": [{"c": 1}]}), json!({"a": "0x2", "b": [{"c": 9}], "d": 0})).unwrap();
        shape(json!({"0xaa": {"7": "x"}}), json!({"0xbb": {"8": "y"}})).unwrap();
        assert!(shape(json!({"a": "0x1"}), json!({"b": "0x1"})).is_err());
        assert!(shape(json!({"a": "0x1"}), json!({"a": 1})).is_err());
        assert!(shape(json!([{"a": 1}]), json!([{"b": 1}])).is_err());
    }
}
