//! What the node says of itself, the block that may come, and transactions it fills.

use super::*;
use crate::rpc::{BEHIND_BLOCKS_MAX, Certificate, Checkpoints, FinalityStatus, SyncStatus, Upstream};
use protocol::api::{CheckpointName, StakeFinality};

#[tokio::test]
async fn the_configuration_names_forks_and_precompiles() {
    let world = World::automatic().await;
    let config = world.get("eth_config", json!([])).await;
    let current = &config["current"];
    assert_eq!((&current["activationTime"], &current["chainId"]), (&json!(0), &json!("0x16fe")));
    assert_eq!(current["precompiles"]["ECREC"], json!(Address::with_last_byte(1)));
    assert_eq!(current["precompiles"]["P256VERIFY"], "0x0000000000000000000000000000000000000100");
    assert!(current["systemContracts"]["HISTORY_STORAGE_ADDRESS"].is_string(), "{current}");
    assert_eq!((&config["next"], &config["last"]), (&Value::Null, &Value::Null));
    assert_eq!(current["forkId"].as_str().unwrap().len(), 10);
}

#[tokio::test]
async fn capabilities_say_how_far_back_each_kind_of_data_goes() {
    let world = World::automatic().await;
    let capabilities = world.get("eth_capabilities", json!([])).await;
    assert_eq!(capabilities["head"]["hash"], json!(world.chain.head().hash));
    let window = |blocks: u64| json!({"type": "window", "retentionBlocks": format!("{blocks:#x}")});
    assert_eq!(capabilities["state"]["deleteStrategy"], window(10_000));
    assert_eq!(capabilities["stateproofs"]["deleteStrategy"], window(10_000));
    assert_eq!(capabilities["blocks"], json!({"disabled": false, "oldestBlock": "0x0"}));
    assert_eq!(world.get("rpc_modules", json!([])).await["eth"], "1.0");
    assert_eq!(world.get("eth_baseFee", json!([])).await, json!(format!("{:#x}", world.chain.next_base_fee())));
}

#[tokio::test]
async fn several_slots_are_read_at_once() {
    let world = World::automatic().await;
    let contract = world.deploy().await;
    let set = Transfer { nonce: 1, to: TxKind::Call(contract), input: word(5), ..transfer() };
    world.send(&set.raw(1)).await;
    let nobody = Address::repeat_byte(9);
    let asked = json!({contract.to_string(): ["0x0", B256::with_last_byte(1)], nobody.to_string(): ["0x7"]});
    let values = world.get("eth_getStorageValues", json!([asked, "latest"])).await;
    let of = |address: Address| values[format!("{address:#x}")].clone();
    assert_eq!((of(contract), of(nobody)), (json!([word(5), word(0)]), json!([word(0)])));
    assert_eq!(world.fail("eth_getStorageValues", json!([{}])).await.0, -32602);
    let many = json!({contract.to_string(): vec!["0x0"; 1_025]});
    assert_eq!(world.fail("eth_getStorageValues", json!([many])).await.0, -32005);
}

#[tokio::test]
async fn the_pending_block_holds_what_the_pool_would_give() {
    let world = World::manual(RpcLimits::default()).await;
    let hash = world.send(&transfer().raw(1)).await;
    let pending = world.get("eth_getBlockByNumber", json!(["pending", true])).await;
    assert_eq!((&pending["hash"], &pending["nonce"]), (&Value::Null, &Value::Null));
    assert_eq!((&pending["number"], &pending["parentHash"]), (&json!("0x1"), &json!(world.chain.head().hash)));
    let inside = &pending["transactions"][0];
    assert_eq!((&inside["hash"], &inside["blockHash"]), (&hash, &Value::Null));
    assert_eq!(world.get("eth_getBlockTransactionCountByNumber", json!(["pending"])).await, "0x1");
    let by_index = world.get("eth_getTransactionByBlockNumberAndIndex", json!(["pending", "0x0"])).await;
    assert_eq!(by_index["hash"], hash);
    assert_eq!(world.chain.head().number(), 0, "nothing was built for good");
    world.miner.mine();
    world.settle().await;
    let next = world.get("eth_getBlockByNumber", json!(["pending", false])).await;
    assert_eq!((&next["number"], &next["transactions"]), (&json!("0x2"), &json!([])));
    assert_eq!(world.get("eth_getHeaderByNumber", json!(["latest"])).await["number"], "0x1");
}

#[tokio::test]
async fn a_filled_transaction_can_be_signed_and_sent() {
    let world = World::automatic().await;
    let to = Address::repeat_byte(0x77);
    let filled =
        world.get("eth_fillTransaction", json!([{"from": signer(1).address(), "to": to, "value": "0x5"}])).await;
    let tx = &filled["tx"];
    assert_eq!((&tx["nonce"], &tx["gas"], &tx["chainId"]), (&json!("0x0"), &json!("0x5208"), &json!("0x16fe")));
    let sent = Transfer {
        gas: number(&tx["gas"]),
        fee: number(&tx["maxFeePerGas"]).into(),
        tip: number(&tx["maxPriorityFeePerGas"]).into(),
        value: U256::from(5),
        to: TxKind::Call(to),
        ..transfer()
    };
    assert_eq!(world.get("eth_sendRawTransactionSync", json!([sent.raw(1)])).await["status"], "0x1");
    let low = json!([{"from": signer(1).address(), "to": to, "maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2"}]);
    assert_eq!(world.fail("eth_fillTransaction", low).await.0, -32602);
    assert_eq!(world.fail("eth_fillTransaction", json!([{"to": to, "chainId": "0x1"}])).await.0, -32602);
}

#[tokio::test]
async fn a_filled_transaction_keeps_the_type_that_it_names() {
    let world = World::automatic().await;
    let (from, to) = (signer(1).address(), Address::repeat_byte(0x77));
    let list = json!([{"address": to, "storageKeys": [B256::ZERO]}]);
    let none = Value::Null;
    for (kind, fields, gas_price, access_list) in [
        ("0x0", json!({}), true, &none),
        ("0x0", json!({"accessList": []}), true, &none),
        ("0x0", json!({"gasPrice": "0x77359400"}), true, &none),
        ("0x1", json!({}), true, &json!([])),
        ("0x1", json!({"accessList": list}), true, &list),
        ("0x2", json!({"accessList": list}), false, &list),
    ] {
        let mut request = json!({"from": from, "to": to, "type": kind});
        request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let tx = world.get("eth_fillTransaction", json!([request])).await["tx"].clone();
        assert_eq!((&tx["type"], tx["gasPrice"].is_string()), (&json!(kind), gas_price), "{request}: {tx}");
        assert_eq!(tx["maxFeePerGas"].is_string(), !gas_price, "{request}: {tx}");
        assert_eq!(&tx["accessList"], access_list, "{request}: {tx}");
    }
    for fields in [
        json!({"type": "0x0", "accessList": list}),
        json!({"type": "0x0", "maxFeePerGas": "0x77359400"}),
        json!({"type": "0x1", "maxPriorityFeePerGas": "0x1"}),
        json!({"type": "0x2", "gasPrice": "0x77359400"}),
        json!({"type": "0x4"}),
    ] {
        let mut request = json!({"from": from, "to": to});
        request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let (code, message) = world.fail("eth_fillTransaction", json!([request])).await;
        assert_eq!((code, message.starts_with("type is ")), (-32602, true), "{request}: {message}");
    }
}

#[tokio::test]
async fn sync_sending_says_which_nonce_is_missing() {
    let world = World::manual(RpcLimits::default()).await;
    let gap = Transfer { nonce: 2, ..transfer() };
    let error = world.ask("eth_sendRawTransactionSync", json!([gap.raw(1)])).await["error"].clone();
    assert_eq!((&error["code"], &error["data"]), (&json!(5), &json!(gap.sign(1).tx_hash())));
    assert!(error["message"].as_str().unwrap().contains("waits for nonce 0"), "{error}");
}

/// A quorum that signs with a word.
struct Signed(Chain);

#[async_trait]
impl Checkpoints for Signed {
    async fn checkpoint(&self, height: u64) -> Result<Certificate, String> {
        let (_, header) = self.0.header_by_number(height).unwrap().ok_or("no such block")?;
        let commitment = alloy_rlp::encode(header).into();
        let [header, block, certificate] = [&b"header"[..], b"block", b"quorum"].map(Bytes::from_static);
        Ok(Certificate { commitment, header, block, certificate })
    }
}

#[tokio::test]
async fn a_node_behind_others_says_so_and_a_checkpoint_proves_a_block() {
    let world = World::automatic().await;
    assert_eq!(world.get("eth_syncing", json!([])).await, false);
    let (code, message) = world.fail("kumo_getCheckpoint", json!([])).await;
    assert!(code == -32000 && message.contains("no quorum"), "{code} {message}");

    let sync = SyncStatus::default();
    let upstream = Upstream {
        broadcast: world.miner.clone(),
        sync: sync.clone(),
        checkpoints: Some(Arc::new(Signed(world.chain.clone()))),
        finality: FinalityStatus::default(),
    };
    let server = serve(([127, 0, 0, 1], 0).into(), world.chain.clone(), upstream, RpcLimits::default()).await.unwrap();
    let world = World { server, ..world };
    sync.seen(BEHIND_BLOCKS_MAX + 1);
    let status = world.get("eth_syncing", json!([])).await;
    assert_eq!((&status["currentBlock"], &status["highestBlock"]), (&json!("0x0"), &json!("0x11")));
    sync.seen(0);
    assert_eq!(world.get("eth_syncing", json!([])).await, false);
    let checkpoint = world.get("kumo_getCheckpoint", json!(["latest"])).await;
    assert_eq!(checkpoint["block"]["hash"], json!(world.chain.head().hash));
    assert_eq!(checkpoint["sequencerHeader"], json!(Bytes::from_static(b"header")));
    assert_eq!(checkpoint["certificate"], json!(Bytes::from_static(b"quorum")));
}

#[tokio::test]
async fn safe_and_finalized_are_what_the_stake_has_decided() {
    let world = World::automatic().await;
    for account in 1..=3 {
        world.send(&transfer().raw(account)).await;
    }
    let finality = FinalityStatus::default();
    let upstream = Upstream { finality: finality.clone(), ..Upstream::from(world.miner.clone()) };
    let server = serve(([127, 0, 0, 1], 0).into(), world.chain.clone(), upstream, RpcLimits::default()).await.unwrap();
    let world = World { server, ..world };
    let number = async |tag: &str| world.get("eth_getBlockByNumber", json!([tag, false])).await["number"].clone();
    let head = number("latest").await;
    assert_eq!((number("safe").await, number("finalized").await), (head.clone(), head.clone()), "nobody votes");

    let point = |epoch| CheckpointName { epoch, height: epoch * 2, root: Default::default() };
    let decided = StakeFinality {
        epoch: 2,
        epoch_blocks: 2,
        justified: point(1),
        finalized: point(0),
        ..StakeFinality::default()
    };
    finality.seen(decided.clone());
    assert_eq!(
        (number("latest").await, number("safe").await, number("finalized").await),
        (head, "0x2".into(), "0x0".into())
    );
    let told = world.get("kumo_finality", json!([])).await;
    assert_eq!(
        (&told["rule"], &told["safe"]["number"], &told["stake"]["epochBlocks"]),
        (&json!("ffg"), &json!("0x2"), &json!("0x2"))
    );
    assert_eq!(told["stake"]["justified"]["epoch"], json!("0x1"));
    // The stake may have decided on blocks that this node has yet to execute.
    finality.seen(StakeFinality { epoch: 90, justified: point(89), finalized: point(88), ..decided });
    assert_eq!(number("finalized").await, number("latest").await);
}
