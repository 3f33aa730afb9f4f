//! Bad input: a clear error with value and limit, a documented exit code, and nothing paid.

use crate::checks::checks;
use crate::network::{Dev, SMALL};
use crate::person::{Ended, word};
use crate::programs::{COPY, JOB, NETWORK, write_job};

/// A well-formed address of something that nobody stored.
const UNKNOWN: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";

#[test]
fn bad_input_is_refused_with_value_and_limit_and_costs_nothing() {
    let dev = Dev::start(&SMALL);
    let before = (dev.person.json(&["wallet", "list"]), dev.person.json(&["job", "list"]));
    checks!(
        &dev,
        [
            every_problem_of_a_specification_is_named,
            what_is_no_program_is_refused_before_it_is_paid_for,
            a_job_beyond_the_balance_is_refused_with_both_amounts,
            what_does_not_exist_is_not_found,
            words_that_make_no_sense_are_usage_errors,
            failures_are_one_json_document_too,
        ]
    );
    assert_eq!((dev.person.json(&["wallet", "list"]), dev.person.json(&["job", "list"])), before, "nothing was paid");
}

/// Validates a job with one text replaced by another.
fn validate(dev: &Dev, from: &str, to: &str) -> Ended {
    assert!(JOB.contains(from), "{from}");
    let job = write_job(&dev.person, "bad", COPY, b"data", &JOB.replace(from, to));
    dev.person.run(&["job", "validate", word(&job)])
}

fn every_problem_of_a_specification_is_named(dev: &Dev) {
    let cases: [(&str, &str, &[&str]); 9] = [
        ("memory: 16Mi", "memroy: 16Mi", &["spec.resources.memroy: unknown field", "did you mean \"memory\"?"]),
        ("  budget: {perTask: \"0.5 AKE\"}\n", "", &["spec.budget: missing"]),
        ("memory: 16Mi", "memory: 16 potatoes", &["spec.resources.memory", "16 potatoes"]),
        ("memory: 16Mi", "memory: 5Gi", &["spec.resources.memory: \"5Gi\" is over the limit of 4Gi"]),
        ("attempts: 3", "attempts: 6", &["spec.scheduling.attempts: \"6\"", "from 1 to 5"]),
        ("bidWindow: 2s", "bidWindow: 2 weeks", &["spec.scheduling.bidWindow", "2 weeks"]),
        ("\"0.5 AKE\"", "0.5 EUR", &["spec.budget.perTask", "0.5 EUR"]),
        ("audit: 0%", "audit: 101%", &["spec.verify.audit", "101%", "100%"]),
        ("kind: Job", "kind: Job\nkind: Job", &["duplicate"]),
    ];
    for (from, to, wanted) in cases {
        validate(dev, from, to).refused(3, &[&["error[invalid-job]"], wanted].concat());
    }
    let both = JOB.replace("memory: 16Mi", "memory: 5Gi").replace("fuel: 1G", "fuel: 10");
    let job = write_job(&dev.person, "bad", COPY, b"data", &both);
    for command in ["validate", "quote", "run"] {
        dev.person
            .run(&["job", command, word(&job)])
            .refused(3, &["over the limit of 4Gi", "\"10\" is under the least of 1K"]);
    }
    dev.person.run(&["job", "validate", "nowhere.yaml"]).refused(5, &["nowhere.yaml"]);
}

fn what_is_no_program_is_refused_before_it_is_paid_for(dev: &Dev) {
    let job = write_job(&dev.person, "program", COPY, b"data", JOB);
    let socket = wat::parse_str(NETWORK).unwrap();
    let cases: [(&[u8], &[&str]); 3] = [
        (b"#!/bin/sh\necho hello\n", &["not a WebAssembly module", "23 21 2f 62"]),
        (&socket, &["asks for the network", "sock_accept"]),
        (&socket[..socket.len() - 3], &["program.wasm"]),
    ];
    for (bytes, wanted) in cases {
        dev.person.write("program/program.wasm", bytes);
        for command in ["validate", "run"] {
            dev.person.run(&["job", command, word(&job)]).refused(3, &[&["error[invalid-module]"], wanted].concat());
        }
    }
    std::fs::remove_file(dev.person.path("program/program.wasm")).unwrap();
    dev.person.run(&["job", "run", word(&job)]).refused(5, &["program.wasm"]);
}

fn a_job_beyond_the_balance_is_refused_with_both_amounts(dev: &Dev) {
    let job = write_job(&dev.person, "dear", COPY, b"data", JOB);
    let ended = dev.person.run(&["job", "run", word(&job), "--account", "7", "--set", "spec.budget.perTask=6000 AKE"]);
    ended.refused(6, &["error[insufficient-funds]", "12000 AKE", "has 10000 AKE", "nothing was paid"]);
}

fn what_does_not_exist_is_not_found(dev: &Dev) {
    dev.person.run(&["store", "get", UNKNOWN, "-o", "never"]).refused(5, &[UNKNOWN]);
    assert!(!dev.person.path("never").exists(), "a file is written whole or not at all");
    dev.person.run(&["store", "repair", UNKNOWN]).refused(5, &[UNKNOWN]);
    for command in ["show", "logs", "outputs"] {
        dev.person.run(&["job", command, "999"]).refused(5, &["999"]);
    }
    dev.person.run(&["store", "put", "no-such-file"]).refused(5, &["no-such-file"]);
}

fn words_that_make_no_sense_are_usage_errors(dev: &Dev) {
    for words in
        [&["store", "get", "no-cid"][..], &["job", "show", "first"], &["frobnicate"], &["wallet", "balance", "0x12"]]
    {
        let ended = dev.person.run(words);
        ended.refused(2, &["error:"]);
    }
    let tight = dev.person.run(&["store", "ls", "--timeout", "0s"]);
    tight.refused(2, &["--timeout"]);
}

fn failures_are_one_json_document_too(dev: &Dev) {
    let ended = dev.person.run(&["store", "get", UNKNOWN, "-o", "never", "--output", "json"]);
    assert_eq!((ended.code, ended.stdout.len()), (Some(5), 0));
    let problem: serde_json::Value = serde_json::from_str(&ended.stderr).expect("one JSON value on stderr");
    assert_eq!(problem["exit_code"], 5);
    assert!(problem["detail"].as_str().unwrap().contains(UNKNOWN), "{problem}");
}
