//! `cargo xtask layers`: the dependency rules of ARCHITECTURE.md, checked against `cargo metadata`.
//!
//! It runs as a test too, so a back door between two engines fails the build, not the review.

use eyre::{Result, ensure, eyre};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Which crates of ours each crate may depend on. Dev-dependencies count too.
const ALLOWED: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("proof", &["protocol"]),
    ("sequencer", &["protocol", "proof"]),
    ("chain", &["protocol", "proof"]),
    ("storage", &["protocol", "proof"]),
    ("compute", &["protocol", "proof"]),
    ("bridge-ethereum", &["protocol", "proof"]),
    ("compute-wasm", &["protocol", "compute"]),
    ("gateway", &["protocol"]),
    ("sdk", &["protocol", "proof", "storage", "compute", "bridge-ethereum"]),
    ("cli", &["sdk"]),
    (
        "kumo",
        &[
            "protocol",
            "proof",
            "sequencer",
            "chain",
            "storage",
            "compute",
            "compute-wasm",
            "gateway",
            "sdk",
            "cli",
            "bridge-ethereum",
        ],
    ),
    ("simulation", &["protocol", "proof", "sequencer", "chain"]),
    ("xtask", &[]),
];

/// Heavy dependencies and the only crate that may name each of them (a name ending in `-` is a prefix).
const HEAVY: &[(&str, &[&str])] = &[
    ("revm", &["chain"]),
    ("alloy-evm", &["chain"]),
    ("commonware-", &["sequencer", "simulation"]),
    ("wasmtime", &["compute-wasm"]),
    ("jsonrpsee", &["chain"]),
    ("askama", &["gateway"]),
];

/// Fails with every violation, one a line.
pub fn run() -> Result<()> {
    let problems = violations(&metadata()?);
    ensure!(problems.is_empty(), "{} broken dependency rules:\n  {}", problems.len(), problems.join("\n  "));
    println!("layers: {} crates keep their place", ALLOWED.len());
    Ok(())
}

type Graph = BTreeMap<String, (String, BTreeSet<String>)>;

/// Name → (description, direct dependencies) of every workspace member.
fn metadata() -> Result<Graph> {
    let json = crate::process::metadata()?;
    let packages = json["packages"].as_array().ok_or_else(|| eyre!("cargo metadata lists no packages"))?;
    Ok(packages
        .iter()
        .map(|p| {
            let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
            let dependencies = p["dependencies"].as_array().into_iter().flatten().map(|d| text(&d["name"])).collect();
            (text(&p["name"]), (text(&p["description"]), dependencies))
        })
        .collect())
}

fn violations(graph: &Graph) -> Vec<String> {
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let mut problems = Vec::new();
    for (name, (description, dependencies)) in graph {
        let Some(mine) = allowed.get(name.as_str()) else {
            problems.push(format!("{name}: not in the table of xtask/src/layers.rs and ARCHITECTURE.md"));
            continue;
        };
        if description.is_empty() {
            problems.push(format!("{name}: Cargo.toml has no description"));
        }
        for dependency in dependencies {
            if graph.contains_key(dependency) && !mine.contains(&dependency.as_str()) {
                problems.push(format!("{name} may not depend on {dependency}"));
            }
            for (heavy, owners) in HEAVY {
                let hit = if heavy.ends_with('-') { dependency.starts_with(heavy) } else { dependency == heavy };
                if hit && !owners.contains(&name.as_str()) {
                    problems.push(format!("{name} may not depend on {dependency}: only {} does", owners.join(" or ")));
                }
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(name: &str, dependencies: &[&str]) -> Graph {
        let mut graph: Graph =
            ALLOWED.iter().map(|(n, _)| ((*n).to_owned(), ("text".to_owned(), BTreeSet::new()))).collect();
        graph.insert(name.to_owned(), ("text".to_owned(), dependencies.iter().map(|d| (*d).to_owned()).collect()));
        graph
    }

    #[test]
    fn the_house_keeps_its_walls() {
        assert_eq!(violations(&metadata().unwrap()), Vec::<String>::new());
    }

    #[test]
    fn engines_may_not_name_each_other() {
        assert_eq!(violations(&graph("storage", &["compute"])), ["storage may not depend on compute"]);
    }

    #[test]
    fn heavy_dependencies_stand_in_one_manifest() {
        let problems = violations(&graph("gateway", &["revm", "commonware-p2p"]));
        assert_eq!(problems.len(), 2, "{problems:?}");
    }

    #[test]
    fn an_unknown_crate_is_named() {
        assert_eq!(violations(&graph("util", &[])).len(), 1);
    }

    #[test]
    fn manifest_lib_and_architecture_say_the_same_sentence() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let architecture = std::fs::read_to_string(format!("{root}/ARCHITECTURE.md")).unwrap();
        for (name, (description, _)) in metadata().unwrap() {
            if name == "xtask" {
                continue;
            }
            let lib = std::fs::read_to_string(format!("{root}/crates/{name}/src/lib.rs")).unwrap();
            assert!(
                lib.starts_with(&format!("//! {description}")),
                "crates/{name}/src/lib.rs opens with another sentence"
            );
            assert!(architecture.contains(&description), "ARCHITECTURE.md lacks the sentence of {name}: {description}");
        }
    }
}
