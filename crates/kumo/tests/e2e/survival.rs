//! With `--state`, what was acknowledged survives `kill -9` at any moment, and Ctrl-C.

use crate::http;
use crate::network::Dev;
use crate::person::{Person, noise, word};
use crate::process::{Process, until};
use crate::programs::{JOB, WORK, write_job};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What must be the same after a restart.
#[derive(Debug, PartialEq)]
struct Facts {
    genesis: String,
    wallets: Value,
    job: Value,
    jobs: Value,
}

impl Facts {
    fn of(dev: &Dev, job: &str) -> Self {
        let jobs = dev.person.json(&["job", "list"]);
        let job = dev.person.json(&["job", "show", job]);
        Self { genesis: http::genesis(&dev.network.rpc), wallets: dev.person.json(&["wallet", "list"]), job, jobs }
    }
}

#[test]
fn everything_survives_kill_9_and_ctrl_c() {
    let mut dev = Dev::start(&["--validators", "4", "--storage-nodes", "4", "--providers", "2"]);
    let job = write_job(&dev.person, "work", WORK, b"data", &JOB.replace("fuel: 1G", "fuel: 4G"));
    let done = dev.person.json(&["job", "run", word(&job), "--wait"])["id"].to_string();
    let before = Facts::of(&dev, &done);
    let height = http::block_number(&dev.network.rpc);

    let files = kill_while_files_are_stored(&mut dev);
    dev.restart();
    assert_eq!(Facts::of(&dev, &done), before);
    until("the chain goes on", || (http::block_number(&dev.network.rpc) > height).then_some(()));
    assert_stored(&dev.person, &files);

    let running = dev.person.ok(&["job", "run", word(&job)]);
    dev.process.kill();
    kill_while_it_starts(&mut dev);
    dev.restart();
    assert_eq!(http::genesis(&dev.network.rpc), before.genesis);
    assert_eq!(dev.person.json(&["job", "show", &done]), before.job);
    assert_stored(&dev.person, &files);
    let ended = until("the job of before the kill is done", || {
        Some(dev.person.json(&["job", "show", &running])).filter(|job| job["state"] == "closed")
    });
    assert_eq!((&ended["tasks_paid"], &ended["tasks_failed"]), (&Value::from(2), &Value::from(0)), "{ended}");

    let after = Facts::of(&dev, &running);
    assert_eq!(dev.process.interrupt().code(), Some(0), "Ctrl-C is the usual end:\n{}", dev.process.log());
    dev.restart();
    assert_eq!(Facts::of(&dev, &running), after);
    assert_stored(&dev.person, &files);
}

type Files = Vec<(String, Vec<u8>)>;

/// Stores files one after the other and kills the network in between; returns those that were acknowledged.
fn kill_while_files_are_stored(dev: &mut Dev) -> Files {
    let (stored, killed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (person, process): (&Person, &mut Process) = (&dev.person, &mut dev.process);
    std::thread::scope(|scope| {
        let storing = scope.spawn(|| {
            let mut files = Files::new();
            while !killed.load(Ordering::SeqCst) {
                let bytes = noise(1_000 + files.len() as u64, 300_000);
                let path = person.write("upload", &bytes);
                let ended = person.run(&["store", "put", word(&path)]);
                if ended.code == Some(0) {
                    files.push((ended.text().trim_end().to_owned(), bytes));
                    stored.fetch_add(1, Ordering::SeqCst);
                }
            }
            files
        });
        until("three files are stored", || (stored.load(Ordering::SeqCst) >= 3).then_some(()));
        process.kill();
        killed.store(true, Ordering::SeqCst);
        storing.join().expect("files are stored without a panic")
    })
}

/// Starts it and kills it again as soon as it has begun to work on its files.
fn kill_while_it_starts(dev: &mut Dev) {
    let (state, log) = (dev.state(), dev.person.path("short.log"));
    let words = ["dev", "--state", word(&state), "--ports", "auto", "--storage-nodes", "4", "--providers", "2"];
    let mut process = Process::start("short-lived kumo dev", dev.person.command(&words), &log);
    until("it has begun", || {
        process.assert_alive();
        (!process.log().is_empty()).then_some(())
    });
    process.kill();
}

fn assert_stored(person: &Person, files: &[(String, Vec<u8>)]) {
    for (cid, bytes) in files {
        assert_eq!(&person.run(&["store", "get", cid]).stdout, bytes, "{cid} was acknowledged");
    }
}
