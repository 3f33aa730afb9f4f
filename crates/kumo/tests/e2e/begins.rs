//! A validator that begins at a checkpoint, from what another one keeps, and is needed at once.

use crate::finality::{NETWORK, Stakers};
use crate::http;
use crate::process::{Process, until};
use serde_json::Value;
use std::net::TcpListener;

/// Addresses nobody uses at the moment.
fn free() -> [String; 2] {
    let sockets = [(); 2].map(|()| TcpListener::bind(("127.0.0.1", 0)).expect("a port"));
    sockets.map(|socket| socket.local_addr().expect("an address").to_string())
}

fn launch(stakers: &Stakers, p2p: &str, api: &str) -> Process {
    let words =
        ["node", "--role", "validator", "--network", NETWORK, "--state", "fifth", "--p2p", p2p, "--listen", api];
    Process::start("fifth", stakers.person.command(&words), &stakers.person.path("fifth.log"))
}

fn status(api: &str) -> Option<Value> {
    Some(http::try_get(&format!("http://{api}/seq/v1/status")).ok()?.json())
}

fn height(api: &str) -> Option<u64> {
    status(api)?["height"].as_u64()
}

#[test]
fn a_validator_begins_at_a_checkpoint_and_is_needed_at_once() {
    let mut stakers = Stakers::start();
    // Beyond what the lane is kept after.
    stakers.finalized(11);
    stakers.stop(2);
    let export =
        ["node", "snapshot", "export", "--state", "net/validator-2", "--out", "snapshot", "--network", NETWORK];
    let exported = stakers.person.json(&export);
    stakers.person.run(&export).refused(1, &["cannot make snapshot"]);
    stakers.restart(2);
    let (epoch, first) = (exported["checkpoint"]["epoch"].as_u64().unwrap(), exported["first"].as_u64().unwrap());
    assert!(first > 6, "the blocks of the first epoch are not in it: {exported}");
    stakers.finalized(epoch);
    let kept = http::get(&format!("{}/seq/v1/checkpoint?epoch={epoch}", stakers.network.validators[0].api)).json();
    assert_eq!(kept["checkpoint"]["root"], exported["checkpoint"]["root"], "what is finalised since");

    stakers.person.json(&["node", "keys", "--dir", "fifth"]);
    let import = |root: &str| {
        let point = format!("{epoch}:{root}");
        let words = ["node", "snapshot", "import", "snapshot", "--state", "fifth", "--network", NETWORK];
        stakers.person.run(&[&words[..], &["--checkpoint", &point, "--output", "json"]].concat())
    };
    import(&format!("0x{}", "01".repeat(32))).refused(1, &["is refused"]);
    assert!(!stakers.person.path("fifth/chain").exists(), "nothing is left of what was refused");
    let file = stakers.person.path("snapshot/sequencer.snapshot");
    let whole = std::fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    std::fs::write(&file, damaged).unwrap();
    let root = kept["checkpoint"]["root"].as_str().unwrap();
    import(root).refused(1, &["is refused"]);
    std::fs::write(&file, whole).unwrap();
    // Killed when the chain was there, and the rest was not.
    import(root);
    std::fs::remove_dir_all(stakers.person.path("fifth/sequencer")).unwrap();
    std::fs::write(stakers.person.path("fifth/importing"), "").unwrap();
    let start = ["node", "--role", "validator", "--network", NETWORK, "--state", "fifth"];
    let start = [&start[..], &["--p2p", "127.0.0.1:1", "--listen", "127.0.0.1:1"]].concat();
    stakers.person.run(&start).refused(1, &["fifth/importing exists", "run it again"]);
    let imported = import(root);
    assert!(!stakers.person.path("fifth/importing").exists());
    assert_eq!((imported.code, &imported.json()["first"]), (Some(0), &exported["first"]), "{imported:?}");

    let [p2p, api] = free();
    let url = format!("http://{api}");
    let register =
        ["stake", "validator", "register", "--keys", "fifth", "--p2p", &p2p, "--api", &url, "--network", NETWORK];
    stakers.person.json(&register);
    let mut fifth = launch(&stakers, &p2p, &api);
    until("it has a seat", || status(&api)?["seat"].as_u64());
    // Of five four are needed.
    stakers.kill(0);
    let begun = height(&api).expect("it answers");
    until("blocks become final with its votes", || height(&api).filter(|height| *height > begun + 12));
    fifth.kill();
    let mut fifth = launch(&stakers, &p2p, &api);
    let begun = until("it is back", || height(&api));
    until("it goes on", || height(&api).filter(|height| *height > begun + 6));
    let page = http::get(&format!("{url}/seq/v1/finalized?from={first}")).json();
    assert_eq!(page["blocks"][0]["height"].as_u64(), Some(first), "what it has, it serves");
    let before = http::get(&format!("{url}/seq/v1/finalized?from={}", first - 1));
    assert!(before.status >= 400 || before.json()["blocks"] == Value::Array(vec![]), "{}", before.status);
    fifth.assert_alive();
}
