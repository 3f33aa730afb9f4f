//! Every command of the manual, typed by a person against one running network.

use crate::checks::checks;
use crate::http;
use crate::network::{Dev, SMALL};
use crate::person::{Person, noise, word};
use crate::programs::{COPY, JOB, write_job};
use serde_json::Value;

#[test]
fn everything_works_by_hand() {
    let dev = Dev::start(&SMALL);
    checks!(
        &dev,
        [
            a_stored_file_is_its_cid_and_comes_back_equal,
            a_file_is_read_by_its_owner_alone,
            a_plain_file_is_plain_ipfs_content,
            a_job_goes_from_template_to_checked_outputs,
            a_job_that_nobody_waits_for_is_followed_by_its_id,
            a_job_that_takes_bids_is_taken_back_by_its_consumer_alone,
            providers_and_wallets_are_listed_and_shown,
            the_doctor_finds_a_healthy_network,
            the_network_is_found_by_flag_environment_and_last_dev,
        ]
    );
}

fn a_stored_file_is_its_cid_and_comes_back_equal(dev: &Dev) {
    let person = &dev.person;
    for (name, len) in [("empty", 0), ("small", 1), ("large", 3_000_000)] {
        let bytes = noise(len as u64, len);
        let file = person.write(name, &bytes);
        let cid = person.ok(&["store", "put", word(&file)]);
        assert!(cid.starts_with("baf") && !cid.contains(char::is_whitespace), "only the CID: {cid:?}");
        person.ok(&["store", "get", &cid, "-o", "copy"]);
        assert_eq!(person.read("copy"), bytes, "{name}");
        assert_eq!(person.run(&["store", "get", &cid]).stdout, bytes, "{name} to stdout");
        let listed = person.json(&["store", "ls"]);
        assert!(listed.as_array().unwrap().iter().any(|f| f["cid"] == cid.as_str()), "{listed}");
        assert!(person.ok(&["store", "ls"]).contains(&cid));
    }
    let stored = person.json(&["store", "put", word(&person.path("large"))]);
    assert_eq!((&stored["encrypted"], &stored["file_bytes"]), (&Value::from(true), &Value::from(3_000_000)));
    let cid = stored["cid"].as_str().unwrap();
    assert_eq!(person.json(&["store", "get", cid, "-o", "again"])["bytes"], 3_000_000);
    let healthy = person.json(&["store", "repair", cid]);
    assert_eq!((&healthy["damaged"], &healthy["unplaced"]), (&Value::from(0), &Value::from(0)), "{healthy}");
}

fn a_file_is_read_by_its_owner_alone(dev: &Dev) {
    let file = dev.person.write("secret", "the owner's alone, and nobody else's");
    let cid = dev.person.ok(&["store", "put", word(&file)]);
    let other = dev.person.run(&["store", "get", &cid, "--account", "1"]);
    other.refused(6, &["error[not-a-reader]", &cid]);
    let kept = http::get(&format!("{}/ipfs/{cid}?format=raw", dev.network.gateway));
    assert_eq!(kept.status, 200);
    assert!(!kept.body.windows(5).any(|w| w == b"owner"), "the gateway keeps ciphertext");
}

fn a_plain_file_is_plain_ipfs_content(dev: &Dev) {
    let text = "hello, interplanetary world\n";
    let file = dev.person.write("hello.txt", text);
    let cid = dev.person.ok(&["store", "put", "--plain", word(&file)]);
    let at = |query: &str| http::get(&format!("{}/ipfs/{cid}{query}", dev.network.gateway));
    assert_eq!(at("").body, text.as_bytes());
    let raw = at("?format=raw");
    assert_eq!((raw.content_type.as_str(), &raw.body[..]), ("application/vnd.ipld.raw", text.as_bytes()));
    let car = at("?format=car");
    assert!(car.content_type.starts_with("application/vnd.ipld.car"), "{}", car.content_type);
    assert!(car.body.ends_with(text.as_bytes()), "the last block of the archive is the file");
    assert_eq!(dev.person.ok(&["store", "get", &cid, "--account", "3"]), text.trim_end());
}

fn a_job_goes_from_template_to_checked_outputs(dev: &Dev) {
    let person = &dev.person;
    assert!(person.ok(&["job", "init"]).contains("apiVersion: kumo/v1"));
    person.ok(&["job", "init", "template.yaml"]);
    person.run(&["job", "init", "template.yaml"]).refused(3, &["template.yaml", "exists"]);
    let data = noise(9, 100_000);
    let job = write_job(person, "first", COPY, &data, JOB);
    let job = word(&job);
    assert!(person.ok(&["job", "validate", job]).starts_with("ok: copy, 2 tasks"));
    assert_eq!(person.json(&["job", "validate", job])["tasks"], 2);
    let quote = person.json(&["job", "quote", job]);
    assert_eq!((&quote["providers_fit"], &quote["providers_total"]), (&Value::from(2), &Value::from(2)), "{quote}");
    let none = person.json(&["job", "quote", job, "--set", "spec.budget.perTask=1 wei"]);
    assert_eq!(none["providers_fit"], 0);
    assert!(none["excluded"][0]["reason"].as_str().unwrap().starts_with("price:"), "{none}");
    let done = person.json(&["job", "run", job, "--wait"]);
    assert_eq!((&done["state"], &done["tasks_paid"]), (&Value::from("closed"), &Value::from(2)), "{done}");
    let id = done["id"].to_string();
    let shown = person.json(&["job", "show", &id]);
    assert_eq!((&shown["state"], &shown["tasks"][1]["state"]), (&Value::from("closed"), &Value::from("paid")));
    assert_eq!(person.ok(&["job", "logs", &id, "--task", "0"]), "working");
    assert!(person.ok(&["job", "show", &id]).contains("closed"));
    let outputs = person.json(&["job", "outputs", &id, "-o", "results"]);
    assert_eq!((outputs.as_array().unwrap().len(), &outputs[0]["exit_code"]), (2, &Value::from(0)));
    for task in 0..2 {
        assert_eq!(person.read(format!("results/task-{task}/copy")), data, "task {task}");
    }
    let stranger = person.run(&["job", "outputs", &id, "--account", "4"]);
    assert_ne!(stranger.code, Some(0), "outputs are for the consumer: {stranger:?}");
}

fn a_job_that_nobody_waits_for_is_followed_by_its_id(dev: &Dev) {
    let person = &dev.person;
    let job = write_job(person, "second", COPY, &noise(10, 1_000), JOB);
    let id = person.ok(&["job", "run", word(&job)]);
    id.parse::<u64>().expect("only the id");
    let log = person.ok(&["job", "logs", &id, "-f"]);
    assert!(log.contains("task 0 | working") && log.contains("task 1 | working"), "{log}");
    let jobs = person.json(&["job", "list"]);
    assert_eq!((jobs[0]["id"].to_string(), &jobs[0]["name"]), (id.clone(), &Value::from("copy")));
    assert!(person.ok(&["job", "list"]).contains("copy"));
    let logs = person.json(&["job", "logs", &id]);
    assert!(logs.as_array().unwrap().iter().any(|line| line["text"] == "working\n"), "{logs}");
}

fn a_job_that_takes_bids_is_taken_back_by_its_consumer_alone(dev: &Dev) {
    let person = &dev.person;
    let before = person.json(&["wallet", "balance", "--account", "2"]);
    let job = write_job(
        person,
        "third",
        COPY,
        b"never run",
        &JOB.replace("bidWindow: 2s", "bidWindow: 1h").replace("audit: 0%", "audit: 100%"),
    );
    let gave_up = person.run(&["job", "run", word(&job), "--account", "2", "--timeout", "5s"]);
    assert_eq!(gave_up.code, Some(8), "{gave_up:?}");
    let id = gave_up.text().trim_end().to_owned();
    for part in [&format!("job {id} is open"), "2 AKE", "kumo job show"] {
        assert!(gave_up.stderr.contains(part), "{part:?}: where the money is: {}", gave_up.stderr);
    }
    person.run(&["job", "cancel", &id]).refused(9, &["NotConsumer"]);
    let cancelled = person.json(&["job", "cancel", &id, "--account", "2"]);
    assert_eq!((&cancelled["state"], &cancelled["refunded"]["display"]), (&"closed".into(), &"2 AKE".into()));
    let after = person.json(&["wallet", "balance", "--account", "2"]);
    let wei = |balance: &Value| balance["balance"]["wei"].as_str().unwrap().parse::<u128>().unwrap();
    let gas = wei(&before) - wei(&after);
    assert!((1..10_u128.pow(16)).contains(&gas), "all but the gas came back: {gas} wei");
}

fn providers_and_wallets_are_listed_and_shown(dev: &Dev) {
    let person = &dev.person;
    let providers = person.json(&["provider", "list"]);
    assert_eq!(providers.as_array().unwrap().len(), 2);
    let address = providers[0]["address"].as_str().unwrap();
    assert_eq!(person.json(&["provider", "show", address])["stake"]["display"], "200 AKE");
    assert!(person.ok(&["provider", "show", address]).contains(address));
    person.run(&["provider", "show", &format!("0x{}", "11".repeat(20))]).refused(5, &["0x1111"]);
    let wallets = person.json(&["wallet", "list"]);
    assert_eq!(wallets.as_array().unwrap().len(), 10);
    assert_eq!(wallets[5]["balance"]["display"], "10000 AKE");
    assert_eq!(person.ok(&["wallet", "balance", wallets[5]["address"].as_str().unwrap()]), "10000 AKE");
    assert_eq!(person.json(&["wallet", "balance", "--account", "5"])["proved"], true);
}

fn the_doctor_finds_a_healthy_network(dev: &Dev) {
    let report = dev.person.json(&["doctor"]);
    assert_eq!(report["ok"], true, "{report}");
    assert!(report["checks"].as_array().unwrap().len() >= 6);
    assert!(dev.person.ok(&["doctor"]).contains("the chain advances"));
}

fn the_network_is_found_by_flag_environment_and_last_dev(dev: &Dev) {
    let gateway = |person: &Person, words: &[&str]| {
        let mut all = words.to_vec();
        all.extend(["store", "ls", "--limit", "1"]);
        person.run(&all).code
    };
    let file = dev.file();
    let stranger = Person::new();
    stranger.run(&["store", "ls"]).refused(7, &["kumo dev", "--network", "KUMO_NETWORK"]);
    assert_eq!(gateway(&stranger, &["--network", word(&file)]), Some(0));
    assert_eq!(gateway(&Person::new().with("KUMO_NETWORK", word(&file)), &[]), Some(0));
    let urls = Person::new().with("KUMO_GATEWAY", &dev.network.gateway).with("KUMO_RPC", &dev.network.rpc);
    assert_eq!(gateway(&urls, &[]), Some(0));
    assert_eq!(gateway(&dev.person, &[]), Some(0), "the last kumo dev of this person");
    let lost = Person::new().with("KUMO_GATEWAY", "http://127.0.0.1:9").with("KUMO_RPC", "http://127.0.0.1:9");
    assert_eq!(gateway(&lost, &["--network", word(&file)]), Some(0), "the flag comes first");
    lost.run(&["store", "ls"]).refused(7, &["127.0.0.1:9"]);
}
