//! Rollups of the network post to the L1: data in calldata and in blobs, and a state with a Groth16 proof; then everything is read
//! back from the L1 alone and compared with what the network proves.

use super::{CHAIN_ID, PATIENCE, POLL, World, json};
use crate::process::{Group, root};
use eyre::{Context, Result, bail, ensure, eyre};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// anvil's account 1; its key is in anvil's documentation.
const KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
const ACCOUNT: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const NAMESPACE: &str = "7000";
/// Transactions that are submitted, and bytes of each: more than one transaction of the L1 holds.
const TRANSACTIONS: usize = 24;
const TRANSACTION_BYTES: usize = 9_000;
/// State of the example's rollup before its first transaction.
const STATE: &str = "0x0000000000000000000000000000000000000000000000000000000000000001";
const DIFF: &[u8] = b"a running hash of what was ordered";

/// Both modes, while the bridge of `world` runs.
pub fn check(world: &World) -> Result<()> {
    let files = Files::make(&world.folder.join("rollup"))?;
    let (hashes, last) = submit(world, &files)?;
    let inbox = pay(world, &files, &["deploy-inbox", "--light-client", &world.contract])?;
    let address = text(&inbox, "address")?;
    println!("l1: ok inbox deployed, {} gas", inbox["gas"]);
    for via in ["calldata", "blobs"] {
        data(world, &files, &address, via, last, &hashes)?;
    }
    state(world, &files, &address, last)
}

/// Files of this check.
struct Files {
    folder: std::path::PathBuf,
}

impl Files {
    fn make(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).wrap_err_with(|| format!("cannot make {}", folder.display()))?;
        let mut key = File::options().write(true).create_new(true).mode(0o600).open(folder.join("key"))?;
        key.write_all(KEY.as_bytes())?;
        Ok(Self { folder: folder.into() })
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<String> {
        let path = self.folder.join(name);
        fs::write(&path, content).wrap_err_with(|| format!("cannot write {}", path.display()))?;
        Ok(path.display().to_string())
    }
}

/// Submits transactions and waits until all are final; their contents in hex, and the last height.
fn submit(world: &World, files: &Files) -> Result<(Vec<String>, u64)> {
    let (mut contents, mut last) = (Vec::new(), 0);
    for number in 0..TRANSACTIONS {
        // Not compressible, and not zero: what a rollup posts is compressed already.
        let mut state = number as u64 + 1;
        let content: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8 | 1
        })
        .take(TRANSACTION_BYTES)
        .collect();
        let file = files.write("transaction", &content)?;
        let done = json(&mut world.command(&["rollup", "submit", NAMESPACE, &file, "--output", "json"]))?;
        contents.push(format!("0x{}", hex::encode(&content)));
        // One in each block: what a block has must fit into one batch.
        let (hash, begin) = (text(&done, "hash")?, Instant::now());
        last = loop {
            let status = json(&mut world.command(&["rollup", "status", &hash, "--output", "json"]))?;
            match (status["state"].as_str(), status["height"].as_u64()) {
                (Some("final" | "finalized"), Some(height)) => break height.max(last),
                _ if begin.elapsed() > PATIENCE => bail!("{hash} is not final: {status}"),
                _ => std::thread::sleep(POLL),
            }
        };
    }
    Ok((contents, last))
}

/// An optimistic rollup: posts, is killed, goes on, and is derived.
fn data(world: &World, files: &Files, inbox: &str, via: &str, last: u64, contents: &[String]) -> Result<()> {
    let opened = pay(world, files, &["open", NAMESPACE, "--mode", "optimistic", "--inbox", inbox])?;
    let (id, to) = (text(&opened, "id")?, last.to_string());
    let words = ["post", NAMESPACE, "--mode", "optimistic", "--inbox", inbox, "--id", &id, "--via", via, "--to", &to];
    let mut command = paying(world, files, &words);
    let first = Group::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))?;
    kill_in_flight(first, &files.folder.join("post/post.journal"))?;
    let done = json(&mut paying(world, files, &words))?;
    let covered = done["height"].as_u64().unwrap_or_default();
    ensure!(covered >= last, "block {last} is not covered: {done}");
    // Everything is there, so nothing is posted again.
    let again = json(&mut paying(world, files, &words))?;
    ensure!(again["batches"] == done["batches"] && again["gas"] == 0, "posted twice: {again} after {done}");
    let derived = derive(world, inbox, &id)?;
    let batches = derived.as_array().ok_or_else(|| eyre!("no batches"))?;
    let blocks = batches.iter().flat_map(|batch| batch["blocks"].as_array().into_iter().flatten());
    let found: Vec<&str> = blocks
        .flat_map(|block| block["transactions"].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    let mut expected: Vec<&str> = contents.iter().map(String::as_str).collect();
    let mut sorted = found.clone();
    expected.sort_unstable();
    sorted.sort_unstable();
    ensure!(sorted == expected, "{} transactions derived, {} submitted, or others", found.len(), expected.len());
    let (count, bytes) = (batches.len(), found.len() * TRANSACTION_BYTES);
    let (gas, blob_gas) = (used(world, batches, "gasUsed")?, used(world, batches, "blobGasUsed")?);
    ensure!(gas > 0, "receipts without gas");
    let [each, blob_each] = [gas, blob_gas].map(|gas| gas as f64 / bytes as f64);
    println!(
        "l1: ok {via}: {count} batches with {bytes} bytes, killed and derived again; {gas} gas, {each:.1} a byte; \
         {blob_gas} gas of blobs, {blob_each:.1} a byte"
    );
    if via == "calldata" {
        refuse(world, files, inbox, &batches[0])?;
    }
    Ok(())
}

/// Kills a poster once it has sent something, before that is deep enough to be forgotten.
fn kill_in_flight(mut poster: Group, journal: &Path) -> Result<()> {
    let begin = Instant::now();
    loop {
        // The journal is replaced as a whole, and is not there at first.
        let content = fs::read(journal).unwrap_or_default();
        let content: Value = serde_json::from_slice(&content).unwrap_or_default();
        if !content["in_flight"].is_null() {
            poster.kill();
            return Ok(());
        }
        ensure!(poster.wait(POLL / 10)?.is_none(), "it ended with nothing in flight: {content}");
        ensure!(begin.elapsed() < PATIENCE, "nothing was sent: {content}");
    }
}

/// What the first batch was posted with is taken for another rollup of the namespace as it is, and refused with one byte changed.
fn refuse(world: &World, files: &Files, inbox: &str, batch: &Value) -> Result<()> {
    let opened = pay(world, files, &["open", NAMESPACE, "--mode", "optimistic", "--inbox", inbox])?;
    let id: u64 = text(&opened, "id")?.parse()?;
    let sent = rpc(world, "eth_getTransactionByHash", json!([batch["transaction"]]))?;
    let input = text(&sent, "input")?;
    let (selector, words) = input.split_at_checked(10).ok_or_else(|| eyre!("no call in {sent}"))?;
    let (_, rest) = words.split_at_checked(64).ok_or_else(|| eyre!("no id in {sent}"))?;
    let honest = format!("{selector}{id:064x}{rest}");
    let call = |data: &str| rpc(world, "eth_call", json!([{ "from": ACCOUNT, "to": inbox, "data": data }, "latest"]));
    call(&honest).wrap_err("the batch as it was posted")?;
    let content = batch["blocks"][0]["transactions"][0].as_str().unwrap_or_default().trim_start_matches("0x");
    let (most, last) =
        content.split_at_checked(content.len().saturating_sub(2)).ok_or_else(|| eyre!("no transaction in {batch}"))?;
    let changed = honest.replacen(content, &format!("{most}{:02x}", u8::from_str_radix(last, 16)? ^ 1), 1);
    ensure!(changed != honest, "the transaction does not stand in the call");
    let selector = keccak(world, b"InputsMismatch(bytes32,bytes32)")?;
    match call(&changed) {
        Ok(answer) => bail!("a batch with a changed byte is taken: {answer}"),
        Err(error) => ensure!(error.to_string().contains(&selector[2..10]), "refused for something else: {error}"),
    }
    println!("l1: ok a batch with one byte changed is refused, the true one is taken");
    Ok(())
}

/// A zk rollup: its state is a running hash of what was ordered, proven by the example of the crate `proof`.
fn state(world: &World, files: &Files, inbox: &str, last: u64) -> Result<()> {
    let zeros = format!("0x{}", "0".repeat(64));
    let diff_hash = keccak(world, DIFF)?;
    let key = prove(&[NAMESPACE, "1", STATE, &zeros, &zeros, &diff_hash])?;
    let verifier = deploy_verifier(world, &key["key"])?;
    let words = ["open", NAMESPACE, "--mode", "zk", "--verifier", &verifier, "--state-root", STATE, "--inbox", inbox];
    let id = text(&pay(world, files, &words)?, "id")?;
    let words =
        ["rollup", "statement", NAMESPACE, "--inbox", inbox, "--id", &id, "--l1-rpc", &world.url, "--output", "json"];
    let statement = json(&mut world.command(&words))?;
    let number = |name: &str| statement[name].as_u64().ok_or_else(|| eyre!("no {name} in {statement}"));
    let (height, covered) = (number("height")?, number("covered")?);
    ensure!(covered >= last, "the light client is behind: {statement}");
    let (inputs, new_inputs) = (text(&statement, "inputs")?, text(&statement, "new_inputs")?);
    let proven = prove(&[NAMESPACE, &covered.to_string(), STATE, &inputs, &new_inputs, &diff_hash])?;
    let proof = hex::decode(text(&proven, "proof")?.trim_start_matches("0x"))?;
    let (mut false_proof, last) = (proof.clone(), proof.len() - 1);
    // Another point, or none: the sum that the pairing checks is another one.
    false_proof[last] ^= 1;
    let (proof, diff) = (files.write("proof", &proof)?, files.write("diff", DIFF)?);
    let false_proof = files.write("false-proof", &false_proof)?;
    let (root, epoch, height) = (text(&proven, "newStateRoot")?, number("epoch")?.to_string(), height.to_string());
    let mut words = vec!["post", NAMESPACE, "--mode", "zk", "--inbox", inbox, "--id", &id, "--epoch", &epoch];
    words.extend(["--height", &height, "--state-root", &root, "--state-diff", &diff, "--proof"]);
    let refused = paying(world, files, &[words.as_slice(), &[&false_proof]].concat()).output()?;
    let why = String::from_utf8_lossy(&refused.stderr);
    ensure!(!refused.status.success() && why.contains("does not take the proof"), "a false proof was taken: {why}");
    words.push(&proof);
    let done = json(&mut paying(world, files, &words))?;
    ensure!(done["state_root"] == root.as_str(), "the inbox has another state: {done}");
    let derived = derive(world, inbox, &id)?;
    ensure!(derived[0]["state"]["diff"] == format!("0x{}", hex::encode(DIFF)), "another difference: {derived}");
    println!("l1: ok zk: a state up to block {covered} with its proof, {} gas", done["gas"]);
    Ok(())
}

fn derive(world: &World, inbox: &str, id: &str) -> Result<Value> {
    let mut command = world.command(&["rollup", "derive", NAMESPACE, "--inbox", inbox, "--id", id, "--verify"]);
    json(command.args(["--l1-rpc", &world.url, "--beacon", &world.url, "--output", "json"]))
}

/// Gas of one kind of the transactions that posted these batches.
fn used(world: &World, batches: &[Value], kind: &str) -> Result<u64> {
    let mut sum = 0;
    for batch in batches {
        let receipt = rpc(world, "eth_getTransactionReceipt", json!([batch["transaction"]]))?;
        // Transactions without blobs have no gas of blobs.
        let gas = receipt[kind].as_str().unwrap_or("0x0").trim_start_matches("0x");
        sum += u64::from_str_radix(gas, 16).wrap_err_with(|| format!("no gas in {receipt}"))?;
    }
    Ok(sum)
}

/// Key, state and proof from the example.
fn prove(words: &[&str]) -> Result<Value> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--locked", "-p", "proof", "--example", "groth16", "--"]).args(words);
    let output = command.current_dir(root()).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the prover failed: {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn deploy_verifier(world: &World, key: &Value) -> Result<String> {
    let path = root().join("contracts/out/Groth16Verifier.sol/Groth16Verifier.json");
    let built: Value =
        serde_json::from_slice(&fs::read(&path).wrap_err_with(|| format!("cannot read {}", path.display()))?)?;
    let code = built["bytecode"]["object"].as_str().ok_or_else(|| eyre!("{} has no code", path.display()))?;
    let words = key.as_array().ok_or_else(|| eyre!("the key is no list"))?;
    // abi.encode of a list of words: where it begins, its length, the words.
    let mut data = format!("{code}{:064x}{:064x}", 32, words.len());
    words.iter().filter_map(Value::as_str).for_each(|word| data.push_str(word.trim_start_matches("0x")));
    let sent = rpc(world, "eth_sendTransaction", json!([{ "from": ACCOUNT, "data": data, "gas": "0x4c4b40" }]))?;
    let begin = Instant::now();
    loop {
        let receipt = rpc(world, "eth_getTransactionReceipt", json!([sent]))?;
        if let Some(address) = receipt["contractAddress"].as_str() {
            return Ok(address.to_owned());
        }
        ensure!(begin.elapsed() < PATIENCE, "the verifier is not deployed: {receipt}");
        std::thread::sleep(POLL);
    }
}

fn keccak(world: &World, bytes: &[u8]) -> Result<String> {
    let hash = rpc(world, "web3_sha3", json!([format!("0x{}", hex::encode(bytes))]))?;
    hash.as_str().map(str::to_owned).ok_or_else(|| eyre!("no hash: {hash}"))
}

/// Runs a command that pays on the L1; its JSON.
fn pay(world: &World, files: &Files, words: &[&str]) -> Result<Value> {
    json(&mut paying(world, files, words))
}

fn paying(world: &World, files: &Files, words: &[&str]) -> Command {
    let mut command = world.command(&["rollup"]);
    command.args(words).args(["--output", "json", "--l1-rpc", &world.url, "--l1-chain-id", CHAIN_ID]);
    command.args(["--l1-poll-millis", "200", "--key-file"]).arg(files.folder.join("key"));
    if words[0] == "post" {
        command.args(["--confirmations", "2", "--state"]).arg(files.folder.join("post"));
    }
    command
}

fn text(json: &Value, name: &str) -> Result<String> {
    json[name].as_str().map(str::to_owned).ok_or_else(|| eyre!("no {name} in {json}"))
}

/// One request to anvil, which is asked for little: an answer is read until it closes the connection.
fn rpc(world: &World, method: &str, parameters: Value) -> Result<Value> {
    let host = world.url.trim_start_matches("http://");
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters }).to_string();
    let mut stream = TcpStream::connect(host)?;
    write!(stream, "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nConnection: close\r\n")?;
    write!(stream, "Content-Length: {}\r\n\r\n{body}", body.len())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or_else(|| eyre!("no answer to {method}: {answer}"))?;
    let mut answer: Value = serde_json::from_str(body).wrap_err_with(|| format!("{method}: {body}"))?;
    match answer.get("error") {
        Some(error) => bail!("{method}: {error}"),
        None => Ok(answer["result"].take()),
    }
}
