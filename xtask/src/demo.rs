//! `cargo xtask demo`: build the release program, run the whole loop, and check what it claims.

use crate::process::target_directory;
use eyre::{Context, Result, bail, ensure};
use serde_json::Value;
use std::process::{Command, Stdio};

/// Steps that the demo must report, in order.
const STEPS: [&str; 8] = ["network", "wallet", "store", "hire", "run", "caught", "paid", "rollup"];

/// Builds and runs `kumo demo --exit --output json`; prints each step with its time, and the peak memory.
pub fn run() -> Result<()> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let built = Command::new(env!("CARGO")).args(["build", "--release", "--locked"]).current_dir(root).status()?;
    ensure!(built.success(), "cargo build --release failed: {built}");
    let program = target_directory()?.join("release/kumo");
    let output = Command::new(&program)
        .args(["demo", "--exit", "--output", "json"])
        .stderr(Stdio::inherit())
        .output()
        .wrap_err_with(|| format!("cannot run {}", program.display()))?;
    let text = String::from_utf8(output.stdout).wrap_err("the demo's stdout is not UTF-8")?;
    let report: Value = serde_json::from_str(&text)
        .wrap_err_with(|| format!("the demo must print exactly one JSON object on stdout, it printed: {text:?}"))?;
    check(&report, output.status.success())?;
    for step in report["steps"].as_array().into_iter().flatten() {
        println!("{:>8} ms  {}", step["ms"], step["name"].as_str().unwrap_or_default());
    }
    println!("demo: every step's check passed; {}", program_size(&program)?);
    Ok(())
}

fn check(report: &Value, exited_well: bool) -> Result<()> {
    let names: Vec<&str> =
        report["steps"].as_array().into_iter().flatten().filter_map(|s| s["name"].as_str()).collect();
    for step in report["steps"].as_array().into_iter().flatten() {
        if step["ok"] != Value::Bool(true) {
            bail!("step {} failed: {}", step["name"], step["detail"]);
        }
    }
    ensure!(names == STEPS, "the demo ran the steps {names:?}, wanted {STEPS:?}");
    ensure!(report["ok"] == Value::Bool(true), "the demo says ok = {}", report["ok"]);
    ensure!(report["job"].is_object() && report["balances"].is_object(), "the report lacks job or balances");
    ensure!(exited_well, "the demo reported success but did not exit with 0");
    Ok(())
}

fn program_size(program: &std::path::Path) -> Result<String> {
    Ok(format!("release binary {:.1} MiB", std::fs::metadata(program)?.len() as f64 / f64::from(1 << 20)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report() -> Value {
        let steps: Vec<Value> = STEPS.iter().map(|n| json!({"name": n, "ok": true, "ms": 1, "detail": ""})).collect();
        json!({"ok": true, "steps": steps, "job": {}, "balances": {}})
    }

    #[test]
    fn a_failed_or_missing_step_fails_the_check() {
        check(&report(), true).unwrap();
        let mut failed = report();
        failed["steps"][5]["ok"] = json!(false);
        assert!(check(&failed, true).unwrap_err().to_string().contains("caught"));
        let mut short = report();
        short["steps"].as_array_mut().unwrap().pop();
        assert!(check(&short, true).is_err());
        assert!(check(&report(), false).is_err(), "the exit code counts, too");
    }
}
