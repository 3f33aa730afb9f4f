//! Traces over the socket: shapes, options, limits.

use super::*;

/// The contract with three transactions in block 2 and on: a call that stores, one that reverts, a transfer.
struct Traced {
    world: World,
    contract: Address,
    stored: Value,
    reverted: Value,
    moved: Value,
}

async fn traced(limits: RpcLimits) -> Traced {
    let world = World::manual(limits).await;
    world.miner.automatic.store(true, Relaxed);
    let contract = world.deploy().await;
    world.miner.automatic.store(false, Relaxed);
    let to = TxKind::Call(contract);
    let stored = world.send(&Transfer { nonce: 1, to, input: word(9), ..transfer() }.raw(1)).await;
    let input = Bytes::from_static(&[1, 2, 3, 4, 5]);
    let reverted = world.send(&Transfer { to, input, tip: GWEI / 2, ..transfer() }.raw(2)).await;
    let value = U256::from(7);
    let moved = world.send(&Transfer { value, tip: GWEI / 4, gas: 21_000, ..transfer() }.raw(3)).await;
    let block = world.miner.mine();
    assert_eq!((block.number(), block.transactions.len()), (2, 3));
    Traced { world, contract, stored, reverted, moved }
}

fn hex_address(address: Address) -> Value {
    json!(address)
}

#[tokio::test]
async fn struct_logs_show_each_opcode_as_geth_does() {
    let Traced { world, stored, moved, .. } = traced(RpcLimits::default()).await;
    let trace = world.get("debug_traceTransaction", json!([stored])).await;
    let receipt = world.get("eth_getTransactionReceipt", json!([stored])).await;
    assert_eq!(trace["gas"].as_u64().unwrap(), number(&receipt["gasUsed"]));
    assert_eq!((&trace["failed"], &trace["returnValue"]), (&json!(false), &json!("0x")));
    let logs = trace["structLogs"].as_array().unwrap();
    let gas = 200_000 - 21_000 - 16 - 31 * 4;
    let first = json!({"pc": 0, "op": "CALLDATASIZE", "gas": gas, "gasCost": 2, "depth": 1, "stack": []});
    assert_eq!(logs[0], first);
    let store = logs.iter().find(|log| log["op"] == "SSTORE").unwrap();
    assert_eq!(store["gasCost"], 22_100);
    assert_eq!(store["storage"], json!({ B256::ZERO.to_string(): B256::from(U256::from(9)) }));
    assert_eq!(logs.last().unwrap()["op"], "STOP");
    assert!(logs.iter().all(|log| log.get("refund").is_none() && log.get("error").is_none()));

    let plain = world.get("debug_traceTransaction", json!([moved])).await;
    assert_eq!(plain, json!({"gas": 21_000, "failed": false, "returnValue": "0x", "structLogs": []}));
}

#[tokio::test]
async fn struct_logs_hold_what_is_asked_for() {
    let Traced { world, stored, reverted, .. } = traced(RpcLimits::default()).await;
    let options = json!({"disableStack": true, "disableStorage": true, "enableMemory": true, "limit": 12});
    let trace = world.get("debug_traceTransaction", json!([stored, options])).await;
    let logs = trace["structLogs"].as_array().unwrap();
    assert_eq!(logs.len(), 12);
    assert!(logs.iter().all(|log| log.get("stack").is_none() && log.get("storage").is_none()));
    let trace = world.get("debug_traceTransaction", json!([stored, {"enableMemory": true}])).await;
    let last = trace["structLogs"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["memory"], json!([B256::from(U256::from(9))]));

    let trace = world.get("debug_traceTransaction", json!([reverted])).await;
    assert_eq!((&trace["failed"], &trace["returnValue"]), (&json!(true), &json!("0x0102030405")));
}

#[tokio::test]
async fn an_opcode_that_cannot_begin_says_why() {
    let world = World::automatic().await;
    let call = |code: &str| {
        let overrides = json!({Address::repeat_byte(0x77).to_string(): {"code": code}});
        json!([{"to": Address::repeat_byte(0x77), "gas": "0x10000"}, "latest", {"stateOverrides": overrides}])
    };
    let last = |trace: &Value| trace["structLogs"].as_array().unwrap().last().unwrap().clone();
    // ADD on an empty stack.
    let trace = world.get("debug_traceCall", call("0x01")).await;
    assert_eq!((&last(&trace)["error"], &trace["failed"]), (&json!("stack underflow (0 <=> 2)"), &json!(true)));
    // A jump into nowhere begins; an undefined opcode has no name.
    let trace = world.get("debug_traceCall", call("0x600056")).await;
    assert_eq!((&last(&trace)["op"], last(&trace).get("error")), (&json!("JUMP"), None));
    let trace = world.get("debug_traceCall", call("0x0c")).await;
    assert_eq!(last(&trace)["op"], "opcode 0xc not defined");
    // PUSH0 PUSH0 PUSH0 CREATE: the gas of the creation is not its cost.
    let trace = world.get("debug_traceCall", call("0x5f5f5ff0")).await;
    let create = trace["structLogs"].as_array().unwrap().iter().find(|log| log["op"] == "CREATE").unwrap().clone();
    assert_eq!(create["gasCost"], 32_000);
}

#[tokio::test]
async fn the_call_tracer_shows_the_tree_of_calls_with_logs() {
    let Traced { world, contract, stored, reverted, .. } = traced(RpcLimits::default()).await;
    let options = json!({"tracer": "callTracer", "tracerConfig": {"withLog": true}});
    let frame = world.get("debug_traceTransaction", json!([stored, options])).await;
    assert_eq!(
        (&frame["type"], &frame["to"], &frame["gas"]),
        (&json!("CALL"), &hex_address(contract), &json!("0x30d40"))
    );
    assert_eq!(frame["logs"][0]["topics"], json!([B256::from(U256::from(7))]));
    let frame = world.get("debug_traceTransaction", json!([reverted, {"tracer": "callTracer"}])).await;
    assert_eq!((&frame["error"], &frame["output"]), (&json!("execution reverted"), &json!("0x0102030405")));

    let caller = Address::repeat_byte(0x66);
    // Calls the contract twice without data: CALL and STATICCALL.
    let code = format!("0x5f5f5f5f5f73{}5af1505f5f5f5f73{}5afa00", hex::encode(contract), hex::encode(contract));
    let overrides = json!({caller.to_string(): {"code": code}});
    let request = json!({"to": caller});
    let options = |config: Value| json!({"tracer": "callTracer", "tracerConfig": config, "stateOverrides": overrides});
    let frame = world.get("debug_traceCall", json!([request, "latest", options(json!({}))])).await;
    let kinds: Vec<_> = frame["calls"].as_array().unwrap().iter().map(|call| call["type"].clone()).collect();
    assert_eq!(kinds, [json!("CALL"), json!("STATICCALL")]);
    assert_eq!(frame["calls"][0]["output"], json!(B256::from(U256::from(9))));
    let top = world.get("debug_traceCall", json!([request, "latest", options(json!({"onlyTopCall": true}))])).await;
    assert!(top.get("calls").is_none());
}

#[tokio::test]
async fn the_other_tracers_answer_in_their_shapes() {
    let Traced { world, contract, stored, .. } = traced(RpcLimits::default()).await;
    let trace = async |options: Value| world.get("debug_traceTransaction", json!([stored, options])).await;
    let pre = trace(json!({"tracer": "prestateTracer"})).await;
    let key = contract.to_string().to_lowercase();
    assert!(pre[&key]["code"].as_str().unwrap().len() > 2, "{pre}");
    assert!(
        trace(json!({"tracer": "prestateTracer", "tracerConfig": {"disableCode": true}})).await[&key]
            .get("code")
            .is_none()
    );
    let diff = trace(json!({"tracer": "prestateTracer", "tracerConfig": {"diffMode": true}})).await;
    let slot = B256::ZERO.to_string();
    assert_eq!(diff["post"][&key]["storage"][&slot], json!(B256::from(U256::from(9))));
    assert_eq!(trace(json!({"tracer": "4byteTracer"})).await, json!({"0x00000000-28": 1}));
    assert_eq!(trace(json!({"tracer": "noopTracer"})).await, json!({}));
    let flat = trace(json!({"tracer": "flatCallTracer"})).await;
    assert_eq!((&flat[0]["type"], &flat[0]["action"]["to"]), (&json!("call"), &hex_address(contract)));
    assert_eq!(flat[0]["transactionHash"], stored);
    let mux = json!({"tracer": "muxTracer", "tracerConfig": {"callTracer": {}, "4byteTracer": null}});
    let mux = trace(mux).await;
    assert_eq!(mux["callTracer"]["to"], hex_address(contract));
    assert_eq!(mux["4byteTracer"], json!({"0x00000000-28": 1}));
}

#[tokio::test]
async fn a_tracer_that_is_not_there_is_refused_by_name() {
    let Traced { world, stored, .. } = traced(RpcLimits::default()).await;
    let (code, message) = world.fail("debug_traceTransaction", json!([stored, {"tracer": "{fault: 1}"}])).await;
    assert_eq!(code, -32602);
    assert!(message.contains("JavaScript") && message.contains("callTracer"), "{message}");
    let (code, message) = world.fail("debug_traceTransaction", json!([stored, {"timeout": "soon"}])).await;
    assert_eq!((code, message.contains("500ms")), (-32602, true));
}

#[tokio::test]
async fn what_is_not_there_is_named_as_geth_names_it() {
    let world = World::automatic().await;
    let unknown = B256::with_last_byte(1);
    let expected = |message: String| (-32000, message);
    assert_eq!(world.fail("debug_traceTransaction", json!([unknown])).await, expected("transaction not found".into()));
    let missing = format!("block {unknown} not found");
    assert_eq!(world.fail("debug_traceBlockByHash", json!([unknown])).await, expected(missing));
    assert_eq!(world.fail("debug_traceBlockByNumber", json!(["0x9"])).await, expected("block #9 not found".into()));
    let genesis = expected("genesis is not traceable".into());
    assert_eq!(world.fail("debug_traceBlockByNumber", json!(["0x0"])).await, genesis);
    assert_eq!(world.fail("debug_executionWitness", json!(["0x0"])).await, genesis);
    assert_eq!(world.get("debug_getRawTransaction", json!([unknown])).await, "0x");
    let bare = unknown.to_string().split_off(2);
    assert_eq!(world.fail("debug_getRawTransaction", json!([bare])).await.0, -32602);
    assert_eq!(world.get("trace_transaction", json!([unknown])).await, Value::Null);
}

#[tokio::test]
async fn a_block_is_traced_alike_by_number_hash_and_rlp() {
    let Traced { world, stored, .. } = traced(RpcLimits::default()).await;
    let options = json!({"tracer": "callTracer"});
    let by_number = world.get("debug_traceBlockByNumber", json!(["0x2", options])).await;
    assert_eq!((by_number.as_array().unwrap().len(), &by_number[0]["txHash"]), (3, &stored));
    let hash = world.chain.head().hash;
    assert_eq!(world.get("debug_traceBlockByHash", json!([hash, options])).await, by_number);
    let rlp = world.get("debug_getRawBlock", json!(["0x2"])).await;
    assert_eq!(world.get("debug_traceBlock", json!([rlp, options])).await, by_number);
    assert_eq!(world.fail("debug_traceBlock", json!(["0xc0"])).await.0, -32602);

    // The same block with another beneficiary is not of this chain, but extends it.
    let record = world.chain.head();
    let header = alloy_consensus::Header { beneficiary: Address::repeat_byte(1), ..record.header.clone() };
    let body = alloy_consensus::BlockBody {
        transactions: record.transactions.clone(),
        ommers: Vec::new(),
        withdrawals: Some(Default::default()),
    };
    let mut foreign = alloy_consensus::Block { header, body };
    let traced = world.get("debug_traceBlock", json!([Bytes::from(alloy_rlp::encode(&foreign)), options])).await;
    assert_eq!(traced, by_number);
    foreign.header.parent_hash = B256::repeat_byte(5);
    let (code, message) = world.fail("debug_traceBlock", json!([Bytes::from(alloy_rlp::encode(&foreign))])).await;
    assert_eq!((code, message.contains("parent")), (-32000, true));
}

#[tokio::test]
async fn a_call_runs_before_a_transaction_if_told_so() {
    let Traced { world, contract, .. } = traced(RpcLimits::default()).await;
    let value = async |options: Value| {
        let options = json!({"tracer": "callTracer", "txIndex": options});
        world.get("debug_traceCall", json!([{"to": contract}, "0x2", options])).await["output"].clone()
    };
    assert_eq!(value(json!("0x0")).await, json!(B256::ZERO));
    assert_eq!(value(json!("0x1")).await, json!(B256::from(U256::from(9))));
    assert_eq!(value(Value::Null).await, json!(B256::from(U256::from(9))));
    let beyond = json!([{"to": contract}, "0x2", {"txIndex": "0x3"}]);
    assert_eq!(world.fail("debug_traceCall", beyond).await.0, -32602);
}

#[tokio::test]
async fn a_trace_beyond_its_memory_is_an_error_that_names_the_limit() {
    let world = World::manual(RpcLimits { trace_bytes: 100_000, ..Default::default() }).await;
    // JUMPDEST, PUSH0, JUMP: without end.
    let overrides = json!({Address::repeat_byte(0x77).to_string(): {"code": "0x5b5f56"}});
    let request = json!({"to": Address::repeat_byte(0x77)});
    let options = json!({"stateOverrides": overrides});
    let (code, message) = world.fail("debug_traceCall", json!([request, "latest", options])).await;
    assert_eq!((code, message.contains("100000 bytes")), (-32005, true), "{message}");
    let (code, _) = world.fail("trace_call", json!([request, ["vmTrace"], "latest", overrides])).await;
    assert_eq!(code, -32005);
    // A limit of entries stops the record, not the call.
    let options = json!({"stateOverrides": overrides, "limit": 10});
    let request = json!({"to": Address::repeat_byte(0x77), "gas": "0x10000"});
    let trace = world.get("debug_traceCall", json!([request, "latest", options])).await;
    assert_eq!(trace["structLogs"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn calls_that_pass_on_much_data_are_counted() {
    let world = World::manual(RpcLimits { trace_bytes: 1 << 20, ..Default::default() }).await;
    // JUMPDEST; 64 KiB of memory passed to address 0x5a again and again; JUMP 0.
    let code = "0x5b5f5f620100005f5f605a5af1505f56";
    let overrides = json!({Address::repeat_byte(0x77).to_string(): {"code": code}});
    let request = json!({"to": Address::repeat_byte(0x77)});
    let options = json!({"tracer": "callTracer", "stateOverrides": overrides});
    let (code, message) = world.fail("debug_traceCall", json!([request, "latest", options])).await;
    assert_eq!((code, message.contains("1048576 bytes")), (-32005, true), "{message}");
}

#[tokio::test]
async fn a_trace_beyond_its_time_is_an_error() {
    let world = World::automatic().await;
    let overrides = json!({Address::repeat_byte(0x77).to_string(): {"code": "0x5b5f56"}});
    let request = json!({"to": Address::repeat_byte(0x77)});
    let options = json!({"tracer": "noopTracer", "timeout": "1ns", "stateOverrides": overrides});
    let (code, message) = world.fail("debug_traceCall", json!([request, "latest", options])).await;
    assert_eq!((code, message.starts_with("execution timeout")), (-32000, true), "{message}");
}

#[tokio::test]
async fn parity_traces_name_their_place() {
    let Traced { world, contract, stored, reverted, moved } = traced(RpcLimits::default()).await;
    let traces = world.get("trace_block", json!(["0x2"])).await;
    assert_eq!(traces.as_array().unwrap().len(), 3);
    let place = |trace: &Value| (trace["transactionHash"].clone(), trace["transactionPosition"].clone());
    assert_eq!(place(&traces[1]), (reverted.clone(), json!(1)));
    assert_eq!(traces[1]["error"], "Reverted");
    assert_eq!((&traces[2]["action"]["value"], &traces[2]["blockNumber"]), (&json!("0x7"), &json!(2)));
    assert_eq!(world.get("trace_transaction", json!([moved])).await, json!([traces[2]]));
    assert_eq!(world.get("trace_get", json!([moved, []])).await, traces[2]);
    assert_eq!(world.get("trace_get", json!([moved, ["0x0"]])).await, Value::Null);
    assert_eq!(world.get("trace_block", json!(["0x0"])).await, json!([]));
    assert_eq!(world.get("trace_block", json!(["0x99"])).await, Value::Null);

    let creation = &world.get("trace_block", json!(["0x1"])).await[0];
    assert_eq!((&creation["type"], &creation["result"]["address"]), (&json!("create"), &hex_address(contract)));
    let types = json!(["trace", "vmTrace", "stateDiff"]);
    let replayed = world.get("trace_replayTransaction", json!([stored, types])).await;
    let slot = B256::ZERO.to_string();
    let key = contract.to_string().to_lowercase();
    let change = json!({"*": {"from": B256::ZERO, "to": B256::from(U256::from(9))}});
    assert_eq!(replayed["stateDiff"][&key]["storage"][&slot], change);
    assert_eq!(replayed["vmTrace"]["ops"][0]["op"], "CALLDATASIZE");
    let block = world.get("trace_replayBlockTransactions", json!(["0x2", types])).await;
    assert_eq!((&block[0]["transactionHash"], &block[0]["stateDiff"]), (&stored, &replayed["stateDiff"]));
    assert_eq!(world.get("trace_replayBlockTransactions", json!(["0x2", ["trace"]])).await[0]["vmTrace"], Value::Null);
}

#[tokio::test]
async fn traced_calls_build_on_each_other_and_are_kept_nowhere() {
    let Traced { world, contract, .. } = traced(RpcLimits::default()).await;
    let (write, read) = (json!({"to": contract, "data": word(5)}), json!({"to": contract}));
    let results = world.get("trace_callMany", json!([[[write, ["trace"]], [read, ["trace"]]], "latest"])).await;
    assert_eq!(results[1]["output"], json!(B256::from(U256::from(5))));
    let alone = world.get("trace_call", json!([read, ["trace"], "latest"])).await;
    assert_eq!(alone["output"], json!(B256::from(U256::from(9))));
    let raw = Transfer { nonce: 2, to: TxKind::Call(contract), ..transfer() }.raw(1);
    assert_eq!(world.get("trace_rawTransaction", json!([raw, ["trace"]])).await["output"], alone["output"]);
    let stale = Transfer { nonce: 1, to: TxKind::Call(contract), ..transfer() }.raw(1);
    assert_eq!(world.fail("trace_rawTransaction", json!([stale, ["trace"]])).await.0, -32000);
    let many: Vec<_> = (0..101).map(|_| json!([read, ["trace"]])).collect();
    assert_eq!(world.fail("trace_callMany", json!([many])).await.0, -32005);
}

#[tokio::test]
async fn a_trace_filter_selects_pages_and_is_bounded() {
    let limits = RpcLimits { trace_blocks: 3, trace_results: 3, ..Default::default() };
    let Traced { world, contract, .. } = traced(limits).await;
    let find = async |filter: Value| world.get("trace_filter", json!([filter])).await.as_array().unwrap().len();
    let all = json!({"fromBlock": "0x1", "toBlock": "latest"});
    let with = |extra: Value| {
        let mut filter = all.clone();
        filter.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        filter
    };
    let (one, two) = (signer(1).address(), signer(2).address());
    assert_eq!(find(with(json!({"fromAddress": [one]}))).await, 2);
    assert_eq!(find(with(json!({"toAddress": [contract]}))).await, 3);
    assert_eq!(find(with(json!({"fromAddress": [two], "toAddress": [contract]}))).await, 1);
    assert_eq!(
        find(with(json!({"fromAddress": [two], "toAddress": [Address::repeat_byte(0x77)], "mode": "union"}))).await,
        2
    );
    assert_eq!(find(with(json!({"after": 1, "count": 2}))).await, 2);
    assert_eq!(find(with(json!({"after": 3}))).await, 1);
    let (code, message) = world.fail("trace_filter", json!([all])).await;
    assert_eq!((code, message.contains("more than 3 traces")), (-32005, true), "{message}");
    world.miner.mine();
    let (code, message) = world.fail("trace_filter", json!([{"fromBlock": "0x0", "toBlock": "latest"}])).await;
    assert_eq!((code, message.contains("4 blocks asked, limit 3")), (-32005, true), "{message}");
    assert_eq!(world.fail("trace_filter", json!([{"fromBlock": "0x9"}])).await.0, -32602);
}

#[tokio::test]
async fn otterscan_finds_what_it_asks_for() {
    let Traced { world, contract, stored, reverted, moved } = traced(RpcLimits::default()).await;
    assert_eq!(world.get("ots_getApiLevel", json!([])).await, 8);
    assert_eq!(world.get("ots_hasCode", json!([contract, "latest"])).await, true);
    assert_eq!(world.get("ots_hasCode", json!([contract, "0x0"])).await, false);
    assert_eq!(world.get("ots_getTransactionError", json!([reverted])).await, "0x0102030405");
    assert_eq!(world.get("ots_getTransactionError", json!([stored])).await, "0x");
    assert_eq!(world.get("ots_getInternalOperations", json!([stored])).await, json!([]));
    let entries = world.get("ots_traceTransaction", json!([stored])).await;
    assert_eq!(
        (&entries[0]["type"], &entries[0]["depth"], &entries[0]["to"]),
        (&json!("CALL"), &json!(0), &hex_address(contract))
    );

    let creator = world.get("ots_getContractCreator", json!([contract])).await;
    assert_eq!(creator["creator"], json!(signer(1).address()));
    assert_eq!(world.get("ots_getContractCreator", json!([signer(1).address()])).await, Value::Null);
    let by_nonce = async |account: u8, nonce: &str| {
        world.get("ots_getTransactionBySenderAndNonce", json!([signer(account).address(), nonce])).await
    };
    assert_eq!(by_nonce(1, "0x0").await, creator["hash"]);
    assert_eq!(by_nonce(1, "0x1").await, stored);
    assert_eq!(by_nonce(1, "0x2").await, Value::Null);

    let details = world.get("ots_getBlockDetails", json!(["0x2"])).await;
    // The explorer itself writes numbers.
    assert_eq!(world.get("ots_getBlockDetails", json!([2])).await, details);
    assert_eq!((&details["block"]["transactionCount"], &details["issuance"]["issuance"]), (&json!(3), &json!("0x0")));
    assert_eq!(world.get("ots_getBlockDetailsByHash", json!([world.chain.head().hash])).await, details);
    let page = world.get("ots_getBlockTransactions", json!(["0x2", 0, 2])).await;
    let hashes =
        |page: &Value| page["transactions"].as_array().unwrap().iter().map(|tx| tx["hash"].clone()).collect::<Vec<_>>();
    assert_eq!(hashes(&page["fullblock"]), [reverted.clone(), moved.clone()]);
    let page = world.get("ots_getBlockTransactions", json!(["0x2", 1, 2])).await;
    assert_eq!(hashes(&page["fullblock"]), [stored]);
}

#[tokio::test]
async fn otterscan_searches_both_ways_a_page_at_a_time() {
    let Traced { world, contract, stored, reverted, .. } = traced(RpcLimits::default()).await;
    let created = world.chain.block_by_number(1).unwrap().unwrap();
    let created = json!(created.transactions[0].tx_hash());
    let search = async |method: &str, block: u64, size: usize| {
        let page = world.get(method, json!([contract, block, size])).await;
        let hashes: Vec<_> = page["txs"].as_array().unwrap().iter().map(|tx| tx["hash"].clone()).collect();
        (hashes, page["firstPage"].as_bool().unwrap(), page["lastPage"].as_bool().unwrap())
    };
    let newest = vec![reverted.clone(), stored.clone()];
    assert_eq!(search("ots_searchTransactionsBefore", 0, 1).await, (newest.clone(), true, false));
    assert_eq!(search("ots_searchTransactionsBefore", 2, 5).await, (vec![created.clone()], false, true));
    assert_eq!(search("ots_searchTransactionsAfter", 0, 1).await, (vec![created], false, true));
    assert_eq!(search("ots_searchTransactionsAfter", 1, 5).await, (newest, true, false));
    assert_eq!(world.fail("ots_searchTransactionsBefore", json!([contract, 0, 101])).await.0, -32005);
}

#[tokio::test]
async fn a_witness_comes_over_the_wire() {
    let Traced { world, contract, .. } = traced(RpcLimits::default()).await;
    let witness = world.get("debug_executionWitness", json!(["0x2"])).await;
    assert!(witness["keys"].as_array().unwrap().contains(&hex_address(contract)));
    let by_hash = world.get("debug_executionWitnessByBlockHash", json!([world.chain.head().hash])).await;
    assert_eq!(by_hash, witness);
}
