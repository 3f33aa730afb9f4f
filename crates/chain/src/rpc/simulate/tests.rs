//! Whole simulations over the wire.

use crate::rpc::tests::{World, number, signer, transfer};
use alloy_primitives::{Address, B256, U256};
use serde_json::{Value, json};

const POOR: &str = "0xc000000000000000000000000000000000000000";
const RICH: &str = "0xc100000000000000000000000000000000000000";

async fn simulate(world: &World, payload: Value) -> Value {
    world.get("eth_simulateV1", json!([payload, "latest"])).await
}

#[tokio::test]
async fn each_block_goes_on_from_the_one_before() {
    let world = World::automatic().await;
    let head = world.chain.head();
    let send = |value: &str| json!({"from": POOR, "to": RICH, "value": value});
    let blocks = json!({"blockStateCalls": [
        {"stateOverrides": {POOR: {"balance": "0x10"}}, "calls": [send("0x7")]},
        {"blockOverrides": {"number": format!("{:#x}", head.number() + 3)}, "calls": [send("0x7")]},
    ]});
    let answer = simulate(&world, blocks).await;
    let blocks = answer.as_array().unwrap();
    assert_eq!(blocks.len(), 3, "the gap is filled");
    assert_eq!(blocks[0]["parentHash"], json!(head.hash));
    for pair in blocks.windows(2) {
        assert_eq!(pair[1]["parentHash"], pair[0]["hash"]);
        assert_ne!(pair[1]["stateRoot"], pair[0]["stateRoot"]);
    }
    assert_eq!(blocks[1]["calls"], json!([]));
    assert_eq!((&blocks[0]["calls"][0]["status"], &blocks[2]["calls"][0]["status"]), (&json!("0x1"), &json!("0x1")));
    let again = json!({"blockStateCalls": [
        {"stateOverrides": {POOR: {"balance": "0x10"}}, "calls": [send("0x7"), send("0xa")]},
    ]});
    let (code, message) = world.fail("eth_simulateV1", json!([again])).await;
    assert_eq!(code, -38014, "{message}");
}

#[tokio::test]
async fn a_simulated_block_has_the_root_of_the_real_one() {
    let world = World::manual(Default::default()).await;
    let transfer = crate::rpc::tests::Transfer { value: U256::from(5), ..transfer() };
    world.send(&transfer.raw(1)).await;
    let head = world.chain.head();
    let call = json!({
        "from": signer(1).address(), "to": transfer.to.to(), "value": "0x5", "gas": "0x30d40", "nonce": "0x0",
        "maxFeePerGas": format!("{:#x}", transfer.fee), "maxPriorityFeePerGas": format!("{:#x}", transfer.tip),
    });
    let overrides =
        json!({"time": format!("{:#x}", head.header.timestamp + 1), "feeRecipient": Address::repeat_byte(0xbe)});
    let payload = json!({"blockStateCalls": [{"blockOverrides": overrides, "calls": [call]}], "validation": true});
    let simulated = simulate(&world, payload).await[0].clone();
    let real = world.miner.mine();
    assert_eq!(simulated["stateRoot"], json!(real.header.state_root));
    assert_eq!(simulated["receiptsRoot"], json!(real.header.receipts_root));
    assert_eq!(number(&simulated["gasUsed"]), real.header.gas_used);
    assert_ne!(simulated["hash"], json!(real.hash), "nobody signed the simulated transaction");
}

#[tokio::test]
async fn replaced_storage_forgets_the_old_slots() {
    let world = World::automatic().await;
    let contract = world.deploy().await;
    // Slot 0 is set by a call with one word.
    let set = crate::rpc::tests::Transfer {
        nonce: 1,
        to: alloy_primitives::TxKind::Call(contract),
        input: crate::rpc::tests::word(9),
        ..transfer()
    };
    world.send(&set.raw(1)).await;
    let state = |state: Value| {
        json!({"blockStateCalls": [{
            "stateOverrides": {contract.to_string(): state}, "calls": [{"to": contract}],
        }]})
    };
    let zero = B256::ZERO.to_string();
    let diff = simulate(&world, state(json!({"stateDiff": {zero: B256::ZERO}}))).await;
    let replaced = simulate(&world, state(json!({"state": {}}))).await;
    assert_eq!(replaced[0]["calls"][0]["returnData"], json!(B256::ZERO));
    assert_eq!(replaced[0]["stateRoot"], diff[0]["stateRoot"]);
    let untouched = simulate(&world, state(json!({}))).await;
    assert_eq!(untouched[0]["calls"][0]["returnData"], json!(crate::rpc::tests::word(9)));
    assert_ne!(untouched[0]["stateRoot"], replaced[0]["stateRoot"]);
}

#[tokio::test]
async fn transfers_are_logs_only_if_wanted_and_never_in_the_bloom() {
    let world = World::automatic().await;
    let payload = |wanted: bool| {
        json!({
            "blockStateCalls": [{
                "stateOverrides": {POOR: {"balance": "0x10"}},
                "calls": [{"from": POOR, "to": RICH, "value": "0x7"}],
            }],
            "traceTransfers": wanted,
        })
    };
    let (with, without) = (simulate(&world, payload(true)).await, simulate(&world, payload(false)).await);
    let log = &with[0]["calls"][0]["logs"][0];
    assert_eq!(log["address"], json!("0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"));
    assert_eq!((&log["blockHash"], &log["data"]), (&with[0]["hash"], &json!(B256::with_last_byte(7))));
    assert_eq!(without[0]["calls"][0]["logs"], json!([]));
    assert_eq!(with[0]["hash"], without[0]["hash"]);
}

#[tokio::test]
async fn with_validation_a_call_is_as_strict_as_a_transaction() {
    let world = World::automatic().await;
    let sender = signer(1).address();
    let fee = format!("{:#x}", world.chain.next_base_fee());
    let low = format!("{:#x}", world.chain.next_base_fee() - 1);
    for (call, code) in [
        (json!({"from": sender, "to": RICH, "maxFeePerGas": fee, "nonce": "0x1"}), -38011),
        (json!({"from": sender, "to": RICH, "maxFeePerGas": low}), -38012),
        (json!({"from": sender, "to": RICH, "maxFeePerGas": fee, "gas": "0x5207"}), -38013),
        (json!({"from": POOR, "to": RICH, "maxFeePerGas": fee}), -38014),
        (json!({"from": sender, "to": RICH, "maxFeePerGas": fee, "gas": "0x5f5e101"}), -38015),
        (json!({"from": sender, "to": RICH, "maxFeePerGas": fee, "maxPriorityFeePerGas": "0xfffffffff"}), -32602),
    ] {
        let payload = json!({"blockStateCalls": [{"calls": [call]}], "validation": true});
        assert_eq!(world.fail("eth_simulateV1", json!([payload])).await.0, code, "{call}");
    }
    world.send(&transfer().raw(1)).await;
    let used = json!({"from": sender, "to": RICH, "maxFeePerGas": fee, "nonce": "0x0"});
    let payload = |validation: bool| json!([{"blockStateCalls": [{"calls": [used]}], "validation": validation}]);
    assert_eq!(world.fail("eth_simulateV1", payload(true)).await.0, -38010);
    assert!(world.get("eth_simulateV1", payload(false)).await.is_array());
}

#[tokio::test]
async fn reverts_and_halts_are_results_of_the_call() {
    let world = World::automatic().await;
    // PUSH1 0, PUSH1 0, REVERT; and INVALID.
    let overrides = json!({POOR: {"code": "0x60006000fd"}, RICH: {"code": "0xfe"}});
    let calls = json!([{"to": POOR}, {"to": RICH, "gas": "0x7530"}]);
    let answer = simulate(&world, json!({"blockStateCalls": [{"stateOverrides": overrides, "calls": calls}]})).await;
    let calls = &answer[0]["calls"];
    assert_eq!((&calls[0]["status"], &calls[0]["error"]["code"]), (&json!("0x0"), &json!(3)));
    assert_eq!((&calls[1]["status"], &calls[1]["error"]["code"]), (&json!("0x0"), &json!(-32015)));
    assert_eq!(calls[1]["gasUsed"], "0x7530");
}

#[tokio::test]
async fn all_calls_together_use_at_most_the_gas_of_one_call() {
    let limits = crate::rpc::RpcLimits { call_gas: 50_000, ..Default::default() };
    let world = World::manual(limits).await;
    let call = json!({"from": POOR, "to": RICH});
    let payload = json!({"blockStateCalls": [{"calls": [call, call]}, {"calls": [call]}]});
    let (code, message) = world.fail("eth_simulateV1", json!([payload])).await;
    assert_eq!(code, -38013, "the third call finds 8,000 gas left: {message}");
}

#[tokio::test]
async fn a_simulation_on_an_earlier_block_has_that_blocks_state() {
    let world = World::automatic().await;
    let contract = world.deploy().await;
    let set = |nonce: u64, value: u64| crate::rpc::tests::Transfer {
        nonce,
        to: alloy_primitives::TxKind::Call(contract),
        input: crate::rpc::tests::word(value),
        ..transfer()
    };
    world.send(&set(1, 9).raw(1)).await;
    let payload = |state: Value| {
        json!({"blockStateCalls": [{
            "stateOverrides": {contract.to_string(): state}, "calls": [{"to": contract}],
        }]})
    };
    let before = simulate(&world, payload(json!({"state": {}}))).await;
    let untouched = simulate(&world, payload(json!({}))).await;
    let number = format!("{:#x}", world.chain.head().number());
    // The slot is gone at the head, but not at the earlier block.
    world.send(&set(2, 0).raw(1)).await;
    let at = |state: Value| json!([payload(state), number.clone()]);
    let replaced = world.get("eth_simulateV1", at(json!({"state": {}}))).await;
    assert_eq!(replaced[0]["stateRoot"], before[0]["stateRoot"]);
    let again = world.get("eth_simulateV1", at(json!({}))).await;
    assert_eq!(again[0]["calls"][0]["returnData"], json!(crate::rpc::tests::word(9)));
    assert_eq!(again[0]["stateRoot"], untouched[0]["stateRoot"]);
}
