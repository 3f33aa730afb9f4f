//! Blocks, accounts, proofs and facts.

use super::*;
use alloy_consensus::constants::KECCAK_EMPTY;
use alloy_primitives::keccak256;
use alloy_rlp::Encodable;
use alloy_rpc_types_eth::{Block, EIP1186AccountProofResponse, TransactionReceipt};
use alloy_trie::proof::verify_proof;
use alloy_trie::{Nibbles, TrieAccount};

#[tokio::test]
async fn all_tags_but_earliest_name_the_final_head() {
    let world = World::automatic().await;
    world.send(&transfer().raw(1)).await;
    for tag in ["latest", "safe", "finalized", "0x1"] {
        let block = world.get("eth_getBlockByNumber", json!([tag, false])).await;
        assert_eq!((&block["number"], &block["hash"]), (&json!("0x1"), &json!(world.chain.head().hash)), "{tag}");
    }
    assert_eq!(world.get("eth_getBlockByNumber", json!(["pending", false])).await["number"], "0x2");
    assert_eq!(world.get("eth_getBlockByNumber", json!(["earliest", false])).await["number"], "0x0");
    assert_eq!(world.get("eth_getBlockByNumber", json!(["0x2", false])).await, Value::Null);
    assert_eq!(world.get("eth_getBlockByHash", json!([B256::ZERO, true])).await, Value::Null);
}

#[tokio::test]
async fn a_block_has_the_shape_that_typed_clients_read() {
    let world = World::automatic().await;
    let hash = world.send(&Transfer { value: U256::from(5), ..transfer() }.raw(1)).await;
    let json = world.get("eth_getBlockByNumber", json!(["latest", true])).await;
    for field in ["logsBloom", "mixHash", "withdrawals", "size", "uncles", "parentBeaconBlockRoot", "requestsHash"] {
        assert!(!json[field].is_null(), "{field} is missing: {json}");
    }
    let block: Block = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(block.header.inner, world.chain.head().header);
    assert_eq!(block.header.hash, block.header.inner.hash_slow());
    let tx = &json["transactions"][0];
    assert_eq!((&tx["hash"], &tx["value"], &tx["type"]), (&hash, &json!("0x5"), &json!("0x2")));
    assert_eq!(tx["blockHash"], json["hash"]);
    assert!(tx["yParity"].is_string() && tx["gasPrice"].is_string(), "{tx}");

    let hashes = world.get("eth_getBlockByNumber", json!(["latest"])).await;
    assert_eq!(hashes["transactions"], json!([hash]));
    let by_number = world.get("eth_getTransactionByBlockNumberAndIndex", json!(["0x1", "0x0"])).await;
    let by_hash = world.get("eth_getTransactionByBlockHashAndIndex", json!([json["hash"], "0x0"])).await;
    assert_eq!((&by_number, &by_hash), (tx, tx));
    assert_eq!(world.get("eth_getTransactionByBlockNumberAndIndex", json!(["0x1", "0x1"])).await, Value::Null);
}

#[tokio::test]
async fn receipts_of_a_block_count_gas_and_logs_through() {
    let world = World::automatic().await;
    let contract = world.deploy().await;
    world.miner.automatic.store(false, Relaxed);
    for nonce in 1..=2 {
        world.send(&Transfer { nonce, to: TxKind::Call(contract), input: word(nonce), ..transfer() }.raw(1)).await;
    }
    let block = world.miner.mine();
    let id = json!({"blockHash": block.hash, "requireCanonical": true});
    let receipts = world.get("eth_getBlockReceipts", json!([id])).await;
    let typed: Vec<TransactionReceipt> = serde_json::from_value(receipts).unwrap();
    assert_eq!(typed.iter().map(|r| r.gas_used).sum::<u64>(), block.header.gas_used);
    assert_eq!(typed[1].inner.cumulative_gas_used(), block.header.gas_used);
    let positions: Vec<_> = typed.iter().flat_map(|r| r.inner.logs()).map(|log| log.log_index.unwrap()).collect();
    assert_eq!(positions, [0, 1]);
    assert_eq!(world.get("eth_getBlockTransactionCountByNumber", json!(["latest"])).await, "0x2");
    assert_eq!(world.get("eth_getBlockTransactionCountByHash", json!([block.hash])).await, "0x2");
    assert_eq!(world.get("eth_getBlockReceipts", json!(["0x99"])).await, Value::Null);
}

#[tokio::test]
async fn accounts_are_read_at_any_block_parameter() {
    let world = World::automatic().await;
    let contract = world.deploy().await;
    let to = Address::repeat_byte(0x77);
    world.send(&Transfer { nonce: 1, value: U256::from(9), ..transfer() }.raw(1)).await;
    let first = world.get("eth_getBlockByNumber", json!(["0x1", false])).await["hash"].clone();
    for (block, balance) in [
        (json!("latest"), "0x9"),
        (json!("0x1"), "0x0"),
        (json!({"blockNumber": "0x2"}), "0x9"),
        (json!({"blockHash": first}), "0x0"),
        (first.clone(), "0x0"),
    ] {
        assert_eq!(world.get("eth_getBalance", json!([to, block])).await, balance, "{block}");
    }
    assert_eq!(world.get("eth_getBalance", json!([to])).await, "0x9");
    assert_eq!(world.get("eth_getCode", json!([contract, "latest"])).await, json!(Bytes::from(CONTRACT)));
    assert_eq!(world.get("eth_getCode", json!([to, "latest"])).await, "0x");
    assert_eq!(world.get("eth_getStorageAt", json!([contract, "0x0", "latest"])).await, json!(word(0)));
    assert_eq!(world.nonce(signer(1).address(), "0x1").await, 1);
    let (code, message) = world.fail("eth_getBalance", json!([to, "0x63"])).await;
    assert_eq!((code, message.as_str()), (-32000, "header not found: block 99, head is 2"));
    let unknown = json!([to, {"blockHash": B256::ZERO}]);
    assert_eq!(world.fail("eth_getBalance", unknown).await.0, -32000);
    assert_eq!(world.fail("eth_getBalance", json!([to, "newest"])).await.0, -32602);
}

#[tokio::test]
async fn a_proof_verifies_against_the_state_root() {
    let world = World::automatic().await;
    let contract = world.deploy().await;
    world.send(&Transfer { nonce: 1, to: TxKind::Call(contract), input: word(42), ..transfer() }.raw(1)).await;
    let full = B256::with_last_byte(1);
    let answer = world.get("eth_getProof", json!([contract, ["0x0", full], "latest"])).await;
    assert_eq!((&answer["storageProof"][0]["key"], &answer["storageProof"][1]["key"]), (&json!("0x0"), &json!(full)));
    let proof: EIP1186AccountProofResponse = serde_json::from_value(answer).unwrap();
    let account = TrieAccount {
        nonce: proof.nonce,
        balance: proof.balance,
        storage_root: proof.storage_hash,
        code_hash: proof.code_hash,
    };
    assert_eq!(proof.code_hash, keccak256(CONTRACT));
    let root = world.chain.head().header.state_root;
    let key = Nibbles::unpack(keccak256(contract));
    verify_proof(root, key, Some(alloy_rlp::encode(account)), &proof.account_proof).unwrap();
    for (slot, value) in [(B256::ZERO, 42u64), (full, 0)] {
        let entry = &proof.storage_proof[usize::from(slot == full)];
        let mut rlp = Vec::new();
        U256::from(value).encode(&mut rlp);
        let expected = (value != 0).then_some(rlp);
        verify_proof(proof.storage_hash, Nibbles::unpack(keccak256(slot)), expected, &entry.proof).unwrap();
        assert_eq!(entry.value, U256::from(value));
    }
}

#[tokio::test]
async fn an_absent_account_is_proven_absent() {
    let world = World::automatic().await;
    let nobody = Address::repeat_byte(0x12);
    let answer = world.get("eth_getProof", json!([nobody, [], "latest"])).await;
    let proof: EIP1186AccountProofResponse = serde_json::from_value(answer).unwrap();
    assert_eq!((proof.balance, proof.nonce, proof.code_hash), (U256::ZERO, 0, KECCAK_EMPTY));
    let root = world.chain.head().header.state_root;
    verify_proof(root, Nibbles::unpack(keccak256(nobody)), None, &proof.account_proof).unwrap();
    let keys = vec!["0x0"; 1_025];
    let (code, message) = world.fail("eth_getProof", json!([nobody, keys, "latest"])).await;
    assert_eq!((code, message.as_str()), (-32005, "too many keys: 1025 asked, limit 1024"));
}

#[tokio::test]
async fn facts_about_the_node_and_the_network() {
    let world = World::automatic().await;
    for (method, params, expected) in [
        ("eth_chainId", json!([]), json!("0x16fe")),
        ("net_version", json!([]), json!("5886")),
        ("net_listening", json!([]), json!(true)),
        ("net_peerCount", json!([]), json!("0x0")),
        ("eth_syncing", json!([]), json!(false)),
        ("eth_accounts", json!([]), json!([])),
        ("eth_blockNumber", json!([]), json!("0x0")),
        ("web3_sha3", json!(["0x68656c6c6f"]), json!(keccak256("hello"))),
        ("eth_getUncleCountByBlockNumber", json!(["latest"]), json!("0x0")),
        ("eth_getUncleCountByBlockHash", json!([B256::ZERO]), Value::Null),
        ("eth_getUncleByBlockNumberAndIndex", json!(["latest", "0x0"]), Value::Null),
        ("eth_getUncleByBlockHashAndIndex", json!([B256::ZERO, "0x0"]), Value::Null),
    ] {
        assert_eq!(world.get(method, params).await, expected, "{method}");
    }
    let version = world.get("web3_clientVersion", json!([])).await;
    assert!(version.as_str().unwrap().starts_with("kumo/v"), "{version}");
}

#[tokio::test]
async fn supply_and_finality_are_told() {
    let world = World::automatic().await;
    world.send(&transfer().raw(1)).await;
    let supply = world.get("kumo_supply", json!([])).await;
    assert_eq!(supply["genesis"], json!(format!("{:#x}", 3_000 * ETHER)));
    assert_eq!(supply["total"], supply["genesis"]);
    let finality = world.get("kumo_finality", json!([])).await;
    let head = json!({"number": "0x1", "hash": world.chain.head().hash});
    assert_eq!(finality, json!({"rule": "bft", "latest": head, "safe": head, "finalized": head}));
}
