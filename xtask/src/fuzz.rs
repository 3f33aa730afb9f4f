//! `cargo xtask fuzz`: build the targets of `fuzz/` with coverage instrumentation and run them with libFuzzer.
//!
//! Works with the stable compiler: the instrumentation is a pass of LLVM, and the engine is compiled from its crate by
//! a C++ compiler. Memory errors are not looked for, because our own code is free of `unsafe`; panics, overflows, hangs
//! and broken promises are. The folder also works with `cargo fuzz run --sanitizer none TARGET`.

use crate::process::{root, run, target_directory};
use clap::Args;
use eyre::{Context, Result, ensure, eyre};
use std::fs;
use std::process::Command;

/// The targets, in the order in which they run.
const TARGETS: [&str; 6] = ["json_rpc", "transaction", "block", "execution", "lane", "batch"];
/// What counts the edges that a run takes, and shows the operands of comparisons to the engine.
const INSTRUMENTATION: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";
/// An input that takes longer is a finding.
const INPUT_SECONDS_MAX: u32 = 20;
/// Memory of a target, in MiB; beyond it the input is a finding.
const MEMORY_MIB_MAX: u32 = 3_072;
/// Longest input, in bytes.
const INPUT_BYTES_MAX: u32 = 16_384;

/// Options of `cargo xtask fuzz`.
#[derive(Args)]
pub struct Options {
    /// Targets to run; without any, all of them
    targets: Vec<String>,
    /// Seconds for each
    #[arg(long, default_value_t = 600)]
    seconds: u32,
}

/// Runs targets one after the other.
///
/// # Errors
/// At the first finding; the input is in `fuzz/artifacts/TARGET`, and running the target with its path repeats it.
pub fn fuzz(options: &Options) -> Result<()> {
    let unknown = options.targets.iter().find(|name| !TARGETS.contains(&name.as_str()));
    ensure!(unknown.is_none(), "there is no target {unknown:?}; there are {TARGETS:?}");
    let folder = root().join("fuzz");
    let (host, built) = (host()?, target_directory()?.join("fuzz"));
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--release", "--locked", "--target", &host]).current_dir(&folder);
    // Naming the target keeps the flags from build scripts and procedural macros.
    run(build.env("RUSTFLAGS", INSTRUMENTATION).env("CARGO_TARGET_DIR", &built))?;
    for target in TARGETS {
        if !options.targets.is_empty() && !options.targets.iter().any(|name| name == target) {
            continue;
        }
        for kind in ["corpus", "artifacts"] {
            let path = folder.join(kind).join(target);
            fs::create_dir_all(&path).wrap_err_with(|| format!("cannot make {}", path.display()))?;
        }
        let mut command = Command::new(built.join(&host).join("release").join(target));
        command.arg(format!("corpus/{target}")).arg(format!("-artifact_prefix=artifacts/{target}/"));
        command.arg(format!("-max_total_time={}", options.seconds)).arg(format!("-timeout={INPUT_SECONDS_MAX}"));
        command.arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}")).arg(format!("-max_len={INPUT_BYTES_MAX}"));
        run(command.arg("-print_final_stats=1").current_dir(&folder))
            .wrap_err_with(|| format!("{target} found something"))?;
        println!("fuzz: {target} ran {} s without a finding", options.seconds);
    }
    Ok(())
}

/// The platform of the compiler.
fn host() -> Result<String> {
    let output = Command::new("rustc").args(["--version", "--verbose"]).output().wrap_err("cannot run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or_else(|| eyre!("rustc does not name its host: {text:?}"))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::metadata;

    #[test]
    fn every_target_of_the_manifest_is_run() {
        let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
        let mut named: Vec<&str> = manifest.lines().filter_map(|line| line.strip_prefix("path = \"targets/")).collect();
        named.iter_mut().for_each(|name| *name = name.trim_end_matches(".rs\""));
        named.sort_unstable();
        let mut known = TARGETS;
        known.sort_unstable();
        assert_eq!(named, known);
    }

    /// The dependencies of a package in the text of a lock file.
    fn locked<'a>(lock: &'a str, package: &str) -> Option<Vec<&'a str>> {
        let start = format!("\nname = \"{package}\"\n");
        let entry = lock.split("[[package]]").find(|entry| entry.starts_with(&start))?;
        let names = entry.lines().filter_map(|line| line.strip_prefix(" \"")?.split(['"', ' ']).next());
        Some(names.collect())
    }

    #[test]
    fn the_lock_file_knows_what_our_crates_depend_on() {
        let lock = fs::read_to_string(root().join("fuzz/Cargo.lock")).unwrap();
        for package in metadata().unwrap()["packages"].as_array().unwrap() {
            let Some(known) = locked(&lock, package["name"].as_str().unwrap()) else { continue };
            for dependency in package["dependencies"].as_array().unwrap() {
                let name = dependency["name"].as_str().unwrap();
                let needed = dependency["kind"] != "dev" && dependency["optional"] != true;
                assert!(
                    !needed || known.contains(&name),
                    "fuzz/Cargo.lock lacks {name}; `cargo metadata --manifest-path fuzz/Cargo.toml` adds it"
                );
            }
        }
        assert!(locked(&lock, "chain").is_some_and(|known| known.contains(&"redb")), "chain is not in the lock file");
    }
}
