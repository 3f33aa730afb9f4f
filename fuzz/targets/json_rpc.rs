//! Bytes as a JSON-RPC message, answered by the methods that the server has.

#![no_main]

use kumo_fuzz::{MESSAGE_BYTES_MAX, World, seeds};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::sync::LazyLock;

static WORLD: LazyLock<World> = LazyLock::new(World::new);

fuzz_target!(init: seeds::plant("json_rpc", seeds::messages()), |data: &[u8]| {
    if data.len() > MESSAGE_BYTES_MAX {
        return;
    }
    let Some(answer) = WORLD.answer(data) else { return };
    let answer: Value = serde_json::from_str(&answer).expect("answers are JSON");
    for answer in answer.as_array().unwrap_or(&vec![answer.clone()]) {
        assert_eq!(answer["jsonrpc"], "2.0", "{answer}");
        assert!(answer.get("result").is_some() != answer.get("error").is_some(), "{answer}");
        assert_ne!(answer["error"]["code"], -32603, "a fault of the node: {answer}");
    }
});
