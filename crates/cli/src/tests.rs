use super::*;
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::{CommandFactory, Parser};
use sdk::protocol::network::Network;
use serde_json::{Value, json};
use std::path::Path;

/// The part of the program's words that stand in this crate.
#[derive(Debug, Parser)]
struct Words {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Every command without subcommands, by its words.
fn leaves(command: &clap::Command, words: &[String]) -> Vec<(Vec<String>, clap::Command)> {
    if !command.has_subcommands() {
        return vec![(words.to_vec(), command.clone())];
    }
    let below = |sub: &clap::Command| leaves(sub, &[words, &[sub.get_name().to_owned()]].concat());
    command.get_subcommands().filter(|sub| sub.get_name() != "help").flat_map(below).collect()
}

/// Something that a required argument accepts.
fn sample(argument: &clap::Arg) -> &'static str {
    match argument.get_value_names().and_then(|names| names.first()).map(|name| name.as_str()) {
        Some("FILE" | "DIR") => "some-file",
        Some("CID") => "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
        Some("ID" | "N" | "HEIGHT") => "7",
        Some("URL") => "http://127.0.0.1:8545",
        Some("MODE") => "optimistic",
        Some("AMOUNT") => "1.5 AKE",
        Some("AKE") => "1.5",
        Some("HASH") => "0x5df6e0e2761359d30a8275058e299fcc0381534545f55cf43e41983f5d4c9456",
        Some("ADDRESS") => "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        other => panic!("no sample for {other:?}"),
    }
}

#[derive(Debug)]
struct Ran {
    exit: Exit,
    out: String,
    err: String,
}

impl Ran {
    /// The one JSON value on stdout.
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The one problem document on stderr.
    fn problem(&self) -> Value {
        serde_json::from_str(&self.err).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

async fn ran(line: &str, network: Result<Network, Failure>) -> Ran {
    let words = Words::try_parse_from(["kumo"].into_iter().chain(line.split(' '))).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let context = Context { global: words.global, network, out: &mut out, err: &mut err };
    let exit = run(words.command, context).await;
    Ran { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

fn nowhere() -> Result<Network, Failure> {
    Err(Failure::new(Exit::Unavailable, "no network given"))
}

fn network(gateway: &str, rpc: &str) -> Network {
    serde_json::from_value(json!({ "chain_id": 5886, "dev": true, "gateway": gateway, "rpc": rpc })).unwrap()
}

/// A network that answers what these tests ask.
async fn fake() -> Network {
    let rpc = |Json(request): Json<Value>| async move {
        let result = match request["method"].as_str().unwrap() {
            "eth_chainId" => "0x16fe",
            "eth_getBalance" => "0xde0b6b3a7640000",
            other => {
                let error = json!({ "code": -32601, "message": format!("no method {other}") });
                return Json(json!({ "jsonrpc": "2.0", "id": request["id"], "error": error }));
            }
        };
        Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }))
    };
    let status = || async {
        Json(json!({ "version": "0", "chain_id": 5886, "dev": true, "block_number": 1,
        "block_timestamp": 0, "validators": 4, "storage_nodes": 8, "storage_nodes_up": 8, "providers": 1, "jobs": 1,
        "files": 1 }))
    };
    let missing = || async {
        let problem = json!({ "type": "urn:kumo:not-found", "title": "not found", "status": 404,
            "detail": "there is no job 9, the newest is 1", "next": "kumo job list" });
        (axum::http::StatusCode::NOT_FOUND, Json(problem))
    };
    let router = Router::new()
        .route("/", post(rpc))
        .route("/v1/status", get(status))
        .route("/v1/files", get(|| async { Json(json!([file()])) }))
        .route(
            "/v1/files/{cid}/repair",
            post(|| async { Json(json!({ "checked": 8, "damaged": 2, "rebuilt": 1, "unplaced": 1 })) }),
        )
        .route("/v1/providers", get(|| async { Json(json!([provider()])) }))
        .route("/v1/providers/{address}", get(|| async { Json(provider()) }))
        .route("/v1/jobs", get(|| async { Json(json!([job()])) }))
        .route("/v1/jobs/1", get(|| async { Json(job()) }))
        .route("/v1/jobs/quote", post(|| async { Json(quote()) }))
        .fallback(missing);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    network(&url, &url)
}

fn file() -> Value {
    json!({ "cid": "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", "size": 1536, "segments": 1, "k": 4,
        "n": 8, "stored_at": 0, "shards_total": 8 })
}

fn provider() -> Value {
    json!({ "address": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "roles": 1, "endpoint": "",
        "attributes": "{\"cores\":2}", "encryption_key": sdk::B256::ZERO, "stake": "1000000000000000000",
        "reserved": "0", "reputation_bps": 9550, "jailed_until": 0, "balance": "5" })
}

fn job() -> Value {
    let zero = sdk::Address::ZERO;
    json!({ "id": 1, "consumer": zero, "state": "running", "spec": "bafy", "name": "digits",
        "price_max": "500000000000000000", "audit_bps": 500, "opened_at": 0, "bid_end": 2, "deadline": 600,
        "task_count": 1, "tasks_paid": 0, "tasks_failed": 0, "escrowed": "1", "paid": "0", "refunded": "0",
        "bids": [{ "provider": zero, "price": "1", "capacity": 2, "score": "1" }],
        "tasks": [{ "index": 0, "state": "assigned", "attempt": 1, "provider": sdk::Address::repeat_byte(1),
            "price": "1", "deadline": 60, "auditor": zero, "commitment": sdk::B256::ZERO, "output": "" }] })
}

fn quote() -> Value {
    json!({ "tasks": 4, "price_max": "500000000000000000", "escrow": "2000000000000000000", "prices": ["1", "2"],
        "providers_fit": 2, "providers_total": 3, "excluded": [{ "reason": "memory: too little", "providers": 1 }] })
}

#[test]
fn the_tree_of_words_is_sound() {
    Words::command().debug_assert();
}

#[test]
fn every_command_takes_the_global_options_and_teaches_by_example() {
    let all = leaves(&Words::command(), &[]);
    assert!(all.len() >= 17, "{} commands", all.len());
    for (words, command) in all {
        let required = command.get_positionals().filter(|argument| argument.is_required_set()).map(sample);
        let line: Vec<String> = ["kumo".to_owned()].into_iter().chain(words.clone()).collect();
        let line = line.into_iter().chain(required.map(str::to_owned));
        let named = |argument: &&clap::Arg| !argument.is_positional() && argument.is_required_set();
        let flags = command.get_arguments().filter(named);
        let line =
            line.chain(flags.flat_map(|flag| [format!("--{}", flag.get_long().unwrap()), sample(flag).to_owned()]));
        let options = ["--output", "json", "--network", "net.json", "--account", "1", "--timeout", "5s", "-v"];
        let line = line.chain(options.map(str::to_owned));
        let read = Words::try_parse_from(line).unwrap_or_else(|e| panic!("{words:?}: {e}"));
        assert_eq!(read.global.output, Output::Json);
        assert_eq!(read.global.timeout, Some(std::time::Duration::from_secs(5)));
        let help = command.get_after_help().map(|help| help.to_string()).unwrap_or_default();
        assert!(help.starts_with("Example"), "{words:?} has no example");
        assert!(help.contains(&format!("kumo {}", words.join(" "))), "{words:?}: the example is of another command");
        assert!(command.get_about().is_some(), "{words:?} says nothing about itself");
    }
}

#[test]
fn words_that_make_no_sense_are_refused() {
    for line in [
        "store put",
        "store get not-a-cid",
        "store put f --plain --reader 0x00",
        "job show seven",
        "job run f --set nonsense",
        "provider show 0x12",
        "wallet balance alice",
        "store ls --limit 0",
        "store ls --limit 501",
        "wallet list --account nobody",
        "wallet list --timeout 0s",
        "wallet list --timeout soon",
        "wallet list --output xml",
    ] {
        let error = Words::try_parse_from(["kumo"].into_iter().chain(line.split(' '))).unwrap_err();
        assert_eq!(error.exit_code(), i32::from(Exit::Usage.code()), "{line}");
    }
}

#[tokio::test]
async fn a_specification_to_start_from_needs_no_network_and_passes_its_own_check() {
    let folder = tempfile::tempdir().unwrap();
    let text = ran("job init", nowhere()).await;
    assert_eq!(text.exit, Exit::Ok);
    assert!(text.out.contains("apiVersion: kumo/v1") && text.err.is_empty());
    let json = ran("job init --output json", nowhere()).await;
    assert_eq!(json.json()["template"], text.out);
    let path = folder.path().join("job.yaml");
    let line = format!("job init {}", path.display());
    assert_eq!(ran(&line, nowhere()).await.exit, Exit::Ok);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text.out);
    let again = ran(&line, nowhere()).await;
    assert_eq!(again.exit, Exit::Invalid, "nothing is overwritten");
}

fn write_job(folder: &Path, text: &str) -> String {
    let mut module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x05\x03\x01\0\x01".to_vec();
    module.extend(b"\x07\x13\x02\x06memory\x02\0\x06_start\0\0\x0a\x04\x01\x02\0\x0b");
    std::fs::write(folder.join("task.wasm"), module).unwrap();
    let path = folder.join("job.yaml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn a_good_specification_is_summed_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_job(folder.path(), sdk::jobs::TEMPLATE);
    let text = ran(&format!("job validate {path}"), nowhere()).await;
    assert_eq!((text.exit, text.out.as_str()), (Exit::Ok, "ok: my-job, 4 tasks, at most 2 AKE and audits\n"));
    let json = ran(&format!("job validate {path} --set spec.matrix.seed=[1] --output json"), nowhere()).await.json();
    assert_eq!(json["tasks"], 1);
    assert_eq!(json["price_max"], json!({ "wei": "500000000000000000", "display": "0.5 AKE" }));
}

#[tokio::test]
async fn every_mistake_of_a_specification_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = sdk::jobs::TEMPLATE.replace("256Mi", "256 potatoes").replace("0.5 AKE", "0.5 ETH");
    let path = write_job(folder.path(), &wrong);
    let text = ran(&format!("job validate {path}"), nowhere()).await;
    assert_eq!(text.exit, Exit::Invalid);
    assert!(text.out.is_empty());
    for part in
        ["error[invalid-job]", "spec.resources.memory", "spec.budget.perTask", "money: nothing was paid", "next:"]
    {
        assert!(text.err.contains(part), "{part}: {}", text.err);
    }
    let problem = ran(&format!("job validate {path} --output json"), nowhere()).await.problem();
    assert_eq!(problem["type"], "urn:kumo:invalid-job");
    assert_eq!(problem["exit_code"], 3);
}

#[tokio::test]
async fn a_module_that_is_none_is_told_from_a_missing_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_job(folder.path(), sdk::jobs::TEMPLATE);
    std::fs::write(folder.path().join("task.wasm"), b"\x7fELF").unwrap();
    let problem = ran(&format!("job validate {path} --output json"), nowhere()).await.problem();
    assert_eq!(problem["type"], "urn:kumo:invalid-module");
    std::fs::remove_file(folder.path().join("task.wasm")).unwrap();
    assert_eq!(ran(&format!("job validate {path}"), nowhere()).await.exit, Exit::NotFound);
}

#[tokio::test]
async fn without_a_network_the_reason_is_told() {
    let text = ran("wallet list", nowhere()).await;
    assert_eq!(text.exit, Exit::Unavailable);
    assert!(text.err.starts_with("error[unavailable] cannot list accounts\n  no network given\n"), "{}", text.err);
    let gone = network("http://127.0.0.1:1", "http://127.0.0.1:1");
    let text = ran("job list", Ok(gone)).await;
    assert_eq!(text.exit, Exit::Unavailable);
    assert!(text.err.contains("http://127.0.0.1:1"), "{}", text.err);
}

#[tokio::test]
async fn a_network_that_never_answers_is_given_up_in_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let problem = ran("job list --timeout 100ms --output json", Ok(network(&url, &url))).await;
    assert_eq!(problem.exit, Exit::TimedOut);
    assert_eq!(problem.problem()["detail"], "not done after 0.1 s");
}

#[tokio::test]
async fn another_chain_and_real_money_are_refused() {
    let mut other = fake().await;
    other.chain_id = 1;
    assert_eq!(ran("wallet list", Ok(other)).await.exit, Exit::Invalid);
    let mut real = fake().await;
    real.dev = false;
    let problem = ran("wallet list --output json", Ok(real)).await;
    assert_eq!(problem.exit, Exit::Refused);
    assert!(problem.problem()["detail"].as_str().unwrap().contains("development accounts are refused"));
}

#[tokio::test]
async fn accounts_have_exact_balances() {
    let network = fake().await;
    let list = ran("wallet list --output json", Ok(network.clone())).await.json();
    assert_eq!(list.as_array().unwrap().len(), 10);
    assert_eq!(list[0]["address"], "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
    assert_eq!(list[0]["balance"], json!({ "wei": "1000000000000000000", "display": "1 AKE" }));
    let text = ran("wallet balance --account 1", Ok(network.clone())).await;
    assert_eq!((text.exit, text.out.as_str()), (Exit::Ok, "1 AKE\n"));
    let json = ran("wallet balance --account 1 --output json", Ok(network)).await.json();
    assert_eq!(json["address"], "0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
    assert_eq!(json["proved"], false, "this node gives no proofs, and the answer says so");
}

#[tokio::test]
async fn files_are_listed_and_repaired() {
    let network = fake().await;
    let text = ran("store ls", Ok(network.clone())).await;
    assert!(text.out.contains("1.5 KiB") && text.out.contains("8 (4 of 8)"), "{}", text.out);
    let list = ran("store ls --output json", Ok(network.clone())).await.json();
    assert_eq!((list[0]["size"].as_u64(), list[0]["stored_at"].as_str()), (Some(1536), Some("1970-01-01T00:00:00Z")));
    let cid = file()["cid"].as_str().unwrap().to_owned();
    let report = ran(&format!("store repair {cid} --output json"), Ok(network)).await;
    assert_eq!(report.exit, Exit::Unavailable, "a shard without a place is no success");
    assert_eq!((report.json()["rebuilt"].as_u64(), report.problem()["exit_code"].as_u64()), (Some(1), Some(7)));
}

#[tokio::test]
async fn stdout_is_not_mixed_with_a_file() {
    let cid = file()["cid"].as_str().unwrap().to_owned();
    let problem = ran(&format!("store get {cid} --output json"), Ok(fake().await)).await;
    assert_eq!(problem.exit, Exit::Usage);
    assert_eq!(problem.problem()["next"], "add -o FILE");
}

#[tokio::test]
async fn providers_show_what_they_registered() {
    let network = fake().await;
    let list = ran("provider list --output json", Ok(network.clone())).await.json();
    assert_eq!(list[0]["attributes"], json!({ "cores": 2 }));
    assert_eq!(list[0]["stake"]["display"], "1 AKE");
    let line = "provider show 0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    let text = ran(line, Ok(network.clone())).await;
    assert!(text.out.contains("95.50 %") && text.out.contains("compute"), "{}", text.out);
    assert_eq!(ran(&format!("{line} --output json"), Ok(network)).await.json()["jailed_until"], Value::Null);
}

#[tokio::test]
async fn jobs_are_listed_shown_and_priced() {
    let network = fake().await;
    let list = ran("job list --output json", Ok(network.clone())).await.json();
    assert_eq!((list[0]["id"].as_u64(), &list[0]["tasks"]), (Some(1), &Value::Null));
    let shown = ran("job show 1 --output json", Ok(network.clone())).await.json();
    assert_eq!(shown["tasks"][0]["auditor"], Value::Null, "nobody is not an address");
    assert_eq!(shown["deadline"], "1970-01-01T00:10:00Z");
    let text = ran("job show 1", Ok(network.clone())).await;
    assert!(text.out.contains("assigned") && text.out.contains("0.5 AKE"), "{}", text.out);

    let folder = tempfile::tempdir().unwrap();
    let path = write_job(folder.path(), sdk::jobs::TEMPLATE);
    let text = ran(&format!("job quote {path}"), Ok(network.clone())).await;
    assert!(text.out.contains("2 of 3 providers fit") && text.out.contains("memory: too little"), "{}", text.out);
    let json = ran(&format!("job quote {path} --output json"), Ok(network)).await.json();
    assert_eq!(
        (json["escrow"]["wei"].as_str(), json["providers_fit"].as_u64()),
        (Some("2000000000000000000"), Some(2))
    );
}

#[tokio::test]
async fn a_job_that_does_not_exist_has_its_own_exit_code_and_the_gateways_advice() {
    let text = ran("job show 9", Ok(fake().await)).await;
    assert_eq!(text.exit, Exit::NotFound);
    let lines: Vec<&str> = text.err.lines().collect();
    assert_eq!(lines.len(), 4, "{}", text.err);
    assert_eq!(lines[0], "error[not-found] cannot show job 9");
    assert!(lines[1].contains("there is no job 9"));
    assert!(lines[2].starts_with("  money: "));
    assert_eq!(lines[3], "  next:  kumo job list");
}

#[test]
fn exit_codes_are_the_documented_ones() {
    let codes = [
        (Exit::Ok, 0),
        (Exit::Failure, 1),
        (Exit::Usage, 2),
        (Exit::Invalid, 3),
        (Exit::NotFound, 5),
        (Exit::Refused, 6),
        (Exit::Unavailable, 7),
        (Exit::TimedOut, 8),
        (Exit::Reverted, 9),
        (Exit::JobFailed, 20),
        (Exit::Interrupted, 130),
    ];
    for (exit, code) in codes {
        assert_eq!(exit.code(), code);
    }
}
