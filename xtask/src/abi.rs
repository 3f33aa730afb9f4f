//! `cargo xtask abi`: build the contracts and write their artifacts; `--check` compares instead of writing.
//! `cargo xtask contracts`: their format and tests, and the limit on their size.
//!
//! An artifact holds what the chain needs to make the contract, what a client needs to talk to it, and what a reviewer
//! needs to see which sources and settings it comes from; nothing in it depends on the machine or on other contracts.

use eyre::{Context, Result, bail, ensure, eyre};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The contracts that genesis deploys; one artifact each.
pub const CONTRACTS: [&str; 13] = [
    "AccessManager",
    "AkeVotes",
    "Escrow",
    "FeeVault",
    "JobMarket",
    "ProviderRegistry",
    "Randomness",
    "Reputation",
    "RollupRegistry",
    "SlashingCourt",
    "StakeManager",
    "ValidatorRegistry",
    "WAKE",
];

/// Contracts that are deployed on another chain.
pub const L1_CONTRACTS: [&str; 3] = ["KumoLightClient", "RollupInbox", "StakeVault"];

/// Largest runtime code of a contract, in bytes (EIP-170).
const CODE_BYTES_MAX: usize = 24_576;

/// Writes the artifacts, or with `check` compares them with those in the repository.
///
/// # Errors
/// When the tool-chain fails, a contract is too large, or (with `check`) an artifact differs; the message names it.
pub fn run(check: bool) -> Result<()> {
    let contracts = contracts_folder();
    let fresh = build(&contracts)?;
    let folder = contracts.join("artifacts");
    if check { compare(&folder, &fresh) } else { write(&folder, &fresh) }
}

/// Checks the format of the contracts, runs their tests, and checks their code sizes.
///
/// # Errors
/// When the tool-chain or a test fails, a file is not formatted, or a contract is too large.
pub fn test() -> Result<()> {
    let contracts = contracts_folder();
    install(&contracts)?;
    forge(&contracts, &["fmt", "--check"])?;
    forge(&contracts, &["test"])?;
    build(&contracts)?;
    println!("contracts: tests passed, every contract is within {CODE_BYTES_MAX} bytes");
    Ok(())
}

/// Compiles everything that changed, also the tests.
///
/// # Errors
/// When the tool-chain fails.
pub fn build_tests(contracts: &Path) -> Result<()> {
    install(contracts)?;
    forge(contracts, &["build"])
}

/// One artifact: file name and text.
type Artifact = (String, String);

fn contracts_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts")
}

/// Compiles the sources alone and from scratch, so that neither tests nor a cache can show in the result.
fn build(contracts: &Path) -> Result<Vec<Artifact>> {
    install(contracts)?;
    forge(contracts, &["build", "--force", "--skip", "test"])?;
    CONTRACTS.iter().chain(&L1_CONTRACTS).map(|name| Ok((format!("{name}.json"), artifact(contracts, name)?))).collect()
}

/// Installs the pinned packages, unless they are there.
fn install(contracts: &Path) -> Result<()> {
    if contracts.join("node_modules/.package-lock.json").exists() {
        return Ok(());
    }
    execute(Command::new("npm").arg("ci").current_dir(contracts))
}

fn forge(contracts: &Path, arguments: &[&str]) -> Result<()> {
    execute(Command::new(contracts.join("node_modules/.bin/forge")).args(arguments).current_dir(contracts))
}

fn execute(command: &mut Command) -> Result<()> {
    let status =
        command.status().wrap_err_with(|| format!("cannot run {command:?}; is Node 20 or later installed?"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}

fn artifact(contracts: &Path, name: &str) -> Result<String> {
    let path = contracts.join(format!("out/{name}.sol/{name}.json"));
    let text = fs::read_to_string(&path).wrap_err_with(|| format!("cannot read {}", path.display()))?;
    let built: Value = serde_json::from_str(&text).wrap_err_with(|| format!("{} is not JSON", path.display()))?;
    let size = code(&built, "deployedBytecode")?.len() / 2 - 1;
    ensure!(size <= CODE_BYTES_MAX, "{name} has {size} bytes of code, over the limit of {CODE_BYTES_MAX}");
    let metadata = &built["metadata"];
    let value = json!({
        "contractName": name,
        "solcVersion": metadata["compiler"]["version"],
        "settingsSha256": digest([settings(metadata)?.as_bytes()]),
        "sourceSha256": source_digest(contracts, metadata)?,
        "deployedSize": size,
        "abi": built["abi"],
        "storageLayout": storage_layout(&built["storageLayout"])?,
        "bytecode": code(&built, "bytecode")?,
    });
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

/// Code as `0x…`, without anything left to link.
fn code<'a>(built: &'a Value, which: &str) -> Result<&'a str> {
    let text = built[which]["object"].as_str().ok_or_else(|| eyre!("the compiler's output has no {which}"))?;
    ensure!(!text.contains("__"), "{which} refers to a library that is not linked");
    Ok(text)
}

/// Settings that shape the code; which contract is compiled is not one of them.
fn settings(metadata: &Value) -> Result<String> {
    let mut settings = metadata["settings"].as_object().cloned().ok_or_else(|| eyre!("metadata has no settings"))?;
    settings.remove("compilationTarget");
    Ok(serde_json::to_string(&settings)?)
}

/// SHA-256 over path and text of every source that goes into a contract, in the order of their paths.
fn source_digest(contracts: &Path, metadata: &Value) -> Result<String> {
    let sources = metadata["sources"].as_object().ok_or_else(|| eyre!("metadata has no sources"))?;
    let paths: BTreeSet<&String> = sources.keys().collect();
    let mut parts = Vec::new();
    for path in paths {
        let text = fs::read(contracts.join(path)).wrap_err_with(|| format!("cannot read {path}"))?;
        parts.push(path.clone().into_bytes());
        parts.push(text);
    }
    Ok(digest(parts))
}

/// SHA-256 of length-prefixed parts, in hex.
fn digest<T: AsRef<[u8]>>(parts: impl IntoIterator<Item = T>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.as_ref().len() as u64).to_be_bytes());
        hash.update(part.as_ref());
    }
    hex::encode(hash.finalize())
}

/// Variables with slot, offset and type in words: the compiler's node numbers change with every edit anywhere.
fn storage_layout(layout: &Value) -> Result<Value> {
    let variables = layout["storage"].as_array().ok_or_else(|| eyre!("the compiler's output has no storage layout"))?;
    Ok(variables.iter().map(|variable| storage_variable(variable, &layout["types"])).collect())
}

fn storage_variable(variable: &Value, types: &Value) -> Value {
    let kind = variable["type"].as_str().unwrap_or_default();
    let mut entry = Map::new();
    for key in ["label", "slot", "offset"] {
        entry.insert(key.into(), variable[key].clone());
    }
    entry.insert("type".into(), types[kind]["label"].clone());
    Value::Object(entry)
}

fn write(folder: &Path, fresh: &[Artifact]) -> Result<()> {
    fs::create_dir_all(folder)?;
    for stray in strays(folder, fresh)? {
        fs::remove_file(folder.join(stray))?;
    }
    for (name, text) in fresh {
        fs::write(folder.join(name), text).wrap_err_with(|| format!("cannot write {name}"))?;
    }
    println!("contracts: wrote {} artifacts", fresh.len());
    Ok(())
}

fn compare(folder: &Path, fresh: &[Artifact]) -> Result<()> {
    let changed = fresh.iter().filter(|(name, text)| fs::read_to_string(folder.join(name)).ok().as_ref() != Some(text));
    let mut wrong: Vec<String> = changed.map(|(name, _)| name.clone()).collect();
    wrong.extend(strays(folder, fresh)?);
    if wrong.is_empty() {
        println!("contracts: {} artifacts match their sources", fresh.len());
        return Ok(());
    }
    bail!("contracts/artifacts differ from their sources: {}; run `cargo xtask abi`", wrong.join(", "))
}

/// Files in the artifact folder that no contract has.
fn strays(folder: &Path, fresh: &[Artifact]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).wrap_err_with(|| format!("cannot read {}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !fresh.iter().any(|(known, _)| *known == name) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("kumo-xtask-abi-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn artifacts() -> Vec<Artifact> {
        vec![("A.json".into(), "a\n".into()), ("B.json".into(), "b\n".into())]
    }

    #[test]
    fn what_was_written_compares_equal() {
        let folder = folder("equal");
        write(&folder, &artifacts()).unwrap();
        compare(&folder, &artifacts()).unwrap();
    }

    #[test]
    fn changed_missing_and_stray_artifacts_are_named() {
        let folder = folder("named");
        fs::write(folder.join("A.json"), "other\n").unwrap();
        fs::write(folder.join("C.json"), "c\n").unwrap();
        let error = compare(&folder, &artifacts()).unwrap_err().to_string();
        assert!(error.contains("A.json, B.json, C.json"), "{error}");
    }

    #[test]
    fn writing_removes_artifacts_of_contracts_that_are_gone() {
        let folder = folder("gone");
        fs::write(folder.join("C.json"), "c\n").unwrap();
        write(&folder, &artifacts()).unwrap();
        compare(&folder, &artifacts()).unwrap();
    }

    #[test]
    fn storage_layout_has_no_node_numbers() {
        let layout = json!({
            "storage": [{"astId": 7, "contract": "a:A", "label": "_x", "offset": 0, "slot": "1", "type": "t_struct(S)9"}],
            "types": {"t_struct(S)9": {"label": "struct A.S"}},
        });
        let wanted = json!([{"label": "_x", "slot": "1", "offset": 0, "type": "struct A.S"}]);
        assert_eq!(storage_layout(&layout).unwrap(), wanted);
    }

    #[test]
    fn code_with_an_open_link_is_refused() {
        let built = json!({"bytecode": {"object": "0x60__$aa$__"}});
        assert!(code(&built, "bytecode").unwrap_err().to_string().contains("not linked"));
    }

    #[test]
    fn digest_separates_its_parts() {
        assert_ne!(digest(["ab", "c"]), digest(["a", "bc"]));
    }

    #[test]
    fn committed_artifacts_are_those_of_the_list() {
        let folder = contracts_folder().join("artifacts");
        let listed: Vec<Artifact> =
            CONTRACTS.iter().chain(&L1_CONTRACTS).map(|name| (format!("{name}.json"), String::new())).collect();
        assert_eq!(strays(&folder, &listed).unwrap(), Vec::<String>::new());
        assert!(listed.iter().all(|(name, _)| folder.join(name).exists()));
    }
}
