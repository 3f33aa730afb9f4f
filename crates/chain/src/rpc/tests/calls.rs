//! Calls, estimates, access lists, and what they cost.

use super::*;
use alloy_sol_types::{Revert, SolError};

#[tokio::test]
async fn a_revert_comes_with_code_3_its_data_and_its_reason() {
    let world = World::automatic().await;
    let contract = world.deploy().await;
    let data = Bytes::from(Revert::from("no such lease").abi_encode());
    for method in ["eth_call", "eth_estimateGas"] {
        let error = world.ask(method, json!([{"to": contract, "data": data}])).await["error"].clone();
        let expected = json!({"code": 3, "message": "execution reverted: no such lease", "data": data});
        assert_eq!(error, expected, "{method}");
    }
}

#[tokio::test]
async fn an_estimate_is_enough_and_one_percent_below_is_not() {
    let world = World::automatic().await;
    let contract = world.deploy().await;
    let request = json!({"from": signer(1).address(), "to": contract, "input": word(9)});
    let gas = number(&world.get("eth_estimateGas", json!([request])).await);
    let call = Transfer { nonce: 1, to: TxKind::Call(contract), input: word(9), gas, ..transfer() };
    let receipt = world.get("eth_sendRawTransactionSync", json!([call.raw(1)])).await;
    assert_eq!(receipt["status"], "0x1");
    let used = number(&receipt["gasUsed"]);
    assert!(gas >= used && gas <= used + used / 32, "estimate {gas}, used {used}");

    let deployment = json!({"from": signer(1).address(), "data": init_code()});
    let gas = number(&world.get("eth_estimateGas", json!([deployment])).await);
    let create = Transfer { nonce: 2, to: TxKind::Create, input: init_code(), gas, ..transfer() };
    assert_eq!(world.get("eth_sendRawTransactionSync", json!([create.raw(1)])).await["status"], "0x1");
}

#[tokio::test]
async fn a_plain_transfer_is_estimated_at_21000() {
    let world = World::automatic().await;
    let request = json!({"from": signer(1).address(), "to": Address::repeat_byte(5), "value": "0x1"});
    assert_eq!(world.get("eth_estimateGas", json!([request])).await, "0x5208");
}

#[tokio::test]
async fn an_estimate_names_what_cannot_be_paid() {
    let world = World::automatic().await;
    let broke = Address::repeat_byte(9);
    let request = json!({"from": broke, "to": broke, "value": "0x1"});
    let (code, message) = world.fail("eth_estimateGas", json!([request])).await;
    assert_eq!(code, -32000);
    assert!(message.starts_with("insufficient funds for gas * price + value: balance 0, tx cost 1"), "{message}");
    let request = json!({"from": signer(1).address(), "to": broke, "gas": "0x100"});
    let (code, message) = world.fail("eth_estimateGas", json!([request])).await;
    assert_eq!((code, message.as_str()), (-32000, "gas required exceeds allowance (256)"));
}

#[tokio::test]
async fn a_call_at_a_price_that_its_sender_cannot_pay_says_so() {
    let world = World::automatic().await;
    let broke = Address::repeat_byte(9);
    for method in ["eth_call", "eth_createAccessList"] {
        let (code, message) = world.fail(method, json!([{"from": broke, "to": broke, "gasPrice": "0x1"}])).await;
        assert_eq!(code, -32000);
        assert!(message.starts_with("insufficient funds for gas * price + value: "), "{message}");
        world.get(method, json!([{"from": broke, "to": broke}])).await;
        world.get(method, json!([{"from": signer(1).address(), "to": broke, "gasPrice": "0x1"}])).await;
    }
}

#[tokio::test]
async fn a_call_without_end_stops_at_the_gas_limit() {
    let world = World::automatic().await;
    // JUMPDEST, PUSH1 0, JUMP.
    let overrides = json!({signer(2).address().to_string(): {"code": "0x5b600056"}});
    let call = json!([{"to": signer(2).address()}, "latest", overrides]);
    assert_eq!(world.fail("eth_call", call.clone()).await, (-32000, "out of gas".into()));
    let (code, message) = world.fail("eth_estimateGas", call).await;
    assert_eq!((code, message.as_str()), (-32000, "gas required exceeds allowance (16777216)"));
}

#[tokio::test]
async fn input_and_data_are_both_taken_and_must_not_differ() {
    let world = World::automatic().await;
    let contract = world.deploy().await;
    for field in ["input", "data"] {
        let (code, _) = world.fail("eth_call", json!([{"to": contract, field: "0x01"}])).await;
        assert_eq!(code, 3, "{field} did not reach the contract");
    }
    let both = json!([{"to": contract, "input": "0x01", "data": "0x02"}]);
    assert_eq!(world.fail("eth_call", both).await.0, -32602);
}

#[tokio::test]
async fn a_call_sees_state_and_block_as_overridden() {
    let world = World::automatic().await;
    let contract = world.deploy().await;
    let slot = B256::ZERO.to_string();
    let overrides = json!({contract.to_string(): {"stateDiff": {slot: word(77)}}});
    assert_eq!(world.get("eth_call", json!([{"to": contract}, "latest", overrides])).await, json!(word(77)));
    assert_eq!(world.get("eth_call", json!([{"to": contract}, "latest"])).await, json!(word(0)));

    // NUMBER, PUSH1 0, MSTORE, PUSH1 32, PUSH1 0, RETURN.
    let code = json!({contract.to_string(): {"code": "0x4360005260206000f3"}});
    let number = json!([{"to": contract}, "latest", code, {"number": "0x1234"}]);
    assert_eq!(world.get("eth_call", number).await, json!(word(0x1234)));

    let broke = Address::repeat_byte(9);
    let rich = json!({broke.to_string(): {"balance": "0xffff"}});
    let call = json!([{"from": broke, "to": contract, "value": "0xffff"}, "latest", rich]);
    assert_eq!(world.get("eth_call", call).await, json!(word(0)));
}

#[tokio::test]
async fn a_call_finds_a_precompile_where_the_overrides_put_it() {
    let world = World::automatic().await;
    let (sha256, far) = (Address::with_last_byte(2), Address::repeat_byte(0xfa));
    let moved = json!({sha256.to_string(): {"movePrecompileToAddress": far}});
    let hash = world.get("eth_call", json!([{"to": sha256, "input": "0x01"}])).await;
    assert_eq!(world.get("eth_call", json!([{"to": far, "input": "0x01"}, "latest", moved])).await, hash);
    assert_eq!(world.get("eth_call", json!([{"to": sha256, "input": "0x01"}, "latest", moved])).await, "0x");
    let no_precompile = json!({far.to_string(): {"movePrecompileToAddress": sha256}});
    let (code, message) = world.fail("eth_call", json!([{"to": far}, "latest", no_precompile])).await;
    assert!(code == -32000 && message.ends_with("is not a precompile"), "{code} {message}");
    let both = json!({far.to_string(): {"state": {}, "stateDiff": {}}});
    assert_eq!(world.fail("eth_call", json!([{"to": far}, "latest", both])).await.0, -32602);
}

#[tokio::test]
async fn a_call_reads_the_block_it_names() {
    let world = World::automatic().await;
    let contract = world.deploy().await;
    for (nonce, value) in [(1, 5), (2, 6)] {
        world.send(&Transfer { nonce, to: TxKind::Call(contract), input: word(value), ..transfer() }.raw(1)).await;
    }
    let hash = world.get("eth_getBlockByNumber", json!(["0x2", false])).await["hash"].clone();
    for block in [json!("0x2"), hash.clone(), json!({"blockHash": hash}), json!({"blockNumber": "0x2"})] {
        assert_eq!(world.get("eth_call", json!([{"to": contract}, block])).await, json!(word(5)), "{block}");
    }
    assert_eq!(world.get("eth_call", json!([{"to": contract}, "0x3"])).await, json!(word(6)));
    assert_eq!(world.get("eth_call", json!([{"to": contract}, "earliest"])).await, "0x");
}

#[tokio::test]
async fn an_access_list_names_the_touched_slots_and_what_they_cost() {
    let world = World::automatic().await;
    let contract = world.deploy().await;
    let request = json!({"from": signer(1).address(), "to": contract, "input": word(3)});
    let answer = world.get("eth_createAccessList", json!([request, "latest"])).await;
    assert_eq!(answer["accessList"], json!([{"address": contract, "storageKeys": [B256::ZERO]}]));
    assert!(number(&answer["gasUsed"]) > 21_000);
    assert!(answer.get("error").is_none(), "{answer}");
    let reverting = json!({"to": contract, "input": "0x01"});
    let answer = world.get("eth_createAccessList", json!([reverting])).await;
    assert_eq!(answer["error"], "execution reverted");
}

#[tokio::test]
async fn fee_history_has_one_more_base_fee_than_blocks() {
    let world = World::automatic().await;
    for nonce in 0..3 {
        world.send(&Transfer { nonce, tip: GWEI * u128::from(nonce + 1), ..transfer() }.raw(1)).await;
    }
    let history = world.get("eth_feeHistory", json!(["0x2", "latest", [0, 50, 100]])).await;
    assert_eq!(history["oldestBlock"], "0x2");
    assert_eq!(history["baseFeePerGas"].as_array().unwrap().len(), 3);
    assert_eq!(history["gasUsedRatio"], json!([0.00021, 0.00021]));
    let [two, three] = [2, 3].map(|gwei| json!(format!("{:#x}", gwei * GWEI)));
    assert_eq!(history["reward"], json!([[two, two, two], [three, three, three]]));
    assert_eq!(world.get("eth_maxPriorityFeePerGas", json!([])).await, two);

    let all = world.get("eth_feeHistory", json!([1024, "latest", []])).await;
    assert_eq!((&all["oldestBlock"], all.get("reward")), (&json!("0x0"), None));
    assert_eq!(all["baseFeePerGas"].as_array().unwrap().len(), 5);
    assert_eq!(world.fail("eth_feeHistory", json!(["0x1", "latest", [2, 1]])).await.0, -32602);
}

#[tokio::test]
async fn the_gas_price_pays_for_the_next_block() {
    let world = World::automatic().await;
    let price = number(&world.get("eth_gasPrice", json!([])).await);
    let tip = number(&world.get("eth_maxPriorityFeePerGas", json!([])).await);
    assert_eq!(price, world.chain.next_base_fee() + tip);
    assert_eq!(u128::from(tip), super::super::fees::TIP_MIN_WEI);
    assert_eq!(world.get("eth_blobBaseFee", json!([])).await, "0x1");
}
