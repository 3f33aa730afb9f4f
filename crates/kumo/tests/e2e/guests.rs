//! Guests that misbehave: the same exit code on every machine, a provider that is paid, an auditor that agrees.

use crate::network::{Dev, SMALL};
use crate::person::word;
use crate::programs::{MISBEHAVE, write_job};
use serde_json::Value;

const JOB: &str = r#"
apiVersion: kumo/v1
kind: Job
metadata: {name: misbehave}
spec:
  run: {wasm: {module: ./program.wasm}}
  tasks: [{args: [trap]}, {args: [loop]}, {args: [memory]}, {args: [output]}, {args: [print]}, {args: [code]}, {args: [fine]}]
  resources: {memory: 4Mi, fuel: 200M, output: 256Ki, logs: 4Ki, wall: 20s}
  scheduling: {bidWindow: 2s, taskTimeout: 60s, jobTimeout: 5m, attempts: 1}
  budget: {perTask: "0.5 AKE"}
  verify: {audit: 100%}
"#;

/// Exit codes of the tasks, in their order, as the manual says.
const CODES: [i64; 7] = [134, 152, 137, 153, 154, 7, 0];

#[test]
fn a_guest_that_misbehaves_has_a_documented_exit_code_and_is_paid_for() {
    let dev = Dev::start(&SMALL);
    let job = write_job(&dev.person, "misbehave", MISBEHAVE, &[], JOB);
    let done = dev.person.json(&["job", "run", word(&job), "--wait"]);
    assert_eq!((&done["tasks_paid"], &done["tasks_failed"]), (&Value::from(7), &Value::from(0)), "{done}");
    let id = done["id"].to_string();
    let outputs = dev.person.json(&["job", "outputs", &id, "-o", "results"]);
    let codes: Vec<i64> = outputs.as_array().unwrap().iter().map(|o| o["exit_code"].as_i64().unwrap()).collect();
    assert_eq!(codes, CODES);
    let shown = dev.person.json(&["job", "show", &id]);
    for task in shown["tasks"].as_array().unwrap() {
        assert_eq!((&task["state"], &task["attempt"]), (&Value::from("paid"), &Value::from(1)), "{task}");
        assert!(task["auditor"].is_string(), "another provider saw the same result: {task}");
    }
    let log = dev.person.run(&["job", "logs", &id, "--task", "4"]).stdout;
    assert!((4_000..=4_096).contains(&log.len()), "the log ends at its limit of 4 KiB: {}", log.len());
    for provider in dev.person.json(&["provider", "list"]).as_array().unwrap() {
        assert_eq!((&provider["reserved"]["wei"], &provider["stake"]["display"]), (&"0".into(), &"200 AKE".into()));
        assert!(provider["reputation_bps"].as_u64().unwrap() > 5_000, "honest work is good evidence: {provider}");
    }
}
