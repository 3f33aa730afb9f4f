//! First inputs of each target: valid ones, so that the fuzzer starts behind the first checks.

use crate::{CHAIN_ID, CONTRACT, World, call, deployer, signed, signer};
use alloy_consensus::{Block, BlockBody, Header, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Decodable2718;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex};
use alloy_signer::SignerSync;
use proof::lane::{Entropy, KeyRecord, LaneKey, Opening, Record, seal};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// Writes the first inputs of a target into its folder of inputs, `corpus/TARGET`, if it is there and empty.
pub fn plant(target: &str, seeds: impl IntoIterator<Item = Vec<u8>>) {
    let folder = Path::new("corpus").join(target);
    if !fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_none()) {
        return;
    }
    for (index, seed) in seeds.into_iter().enumerate() {
        fs::write(folder.join(format!("seed-{index:02}")), seed).expect("the folder can be written");
    }
}

/// A record of each kind, and an envelope.
pub fn lane() -> Vec<Vec<u8>> {
    // The generator of G1.
    let key = hex!(
        "97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb"
    );
    let key = LaneKey::decode(&key).expect("a point of G1");
    let members = (0..4).map(B256::repeat_byte).collect();
    let records = [
        Record::Opening { target: 8, opening: Opening([7; 96]) },
        Record::Front { taken: 2, included: 1 },
        Record::Dealing { round: 1, dealing: vec![7; 200].into() },
        Record::Key(KeyRecord { round: 1, first: 9, key, required: 3, members }),
    ];
    let sealed = seal(&key, CHAIN_ID, 7, 8, b"payload", Entropy([5; 64])).expect("within the limits");
    records.iter().map(Record::encode).chain([sealed]).collect()
}

/// One transaction of each type.
pub fn transactions() -> Vec<Bytes> {
    let list = AccessList(vec![AccessListItem { address: CONTRACT, storage_keys: vec![B256::ZERO] }]);
    let legacy = TxLegacy {
        chain_id: Some(CHAIN_ID),
        gas_price: 2_000_000_000,
        gas_limit: 21_000,
        to: TxKind::Call(Address::repeat_byte(1)),
        value: U256::from(1),
        ..Default::default()
    };
    let access = TxEip2930 {
        chain_id: CHAIN_ID,
        gas_price: 2_000_000_000,
        gas_limit: 100_000,
        to: TxKind::Call(CONTRACT),
        access_list: list.clone(),
        ..Default::default()
    };
    let create = TxEip1559 { to: TxKind::Create, input: deployer(&[0x5f, 0x5f, 0xfd]), ..call(0, Bytes::new()) };
    let authority = signer(3);
    let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address: CONTRACT, nonce: 0 };
    let signature = authority.sign_hash_sync(&authorization.signature_hash());
    let set_code = TxEip7702 {
        chain_id: CHAIN_ID,
        gas_limit: 200_000,
        max_fee_per_gas: 3_000_000_000,
        to: authority.address(),
        access_list: list,
        authorization_list: vec![authorization.into_signed(signature.expect("a local key signs"))],
        ..Default::default()
    };
    vec![
        signed(2, legacy),
        signed(2, access),
        signed(2, call(0, vec![7; 32].into())),
        signed(2, create),
        signed(2, set_code),
    ]
}

/// The RLP of a valid next block of the world.
pub fn block(world: &World) -> Vec<u8> {
    let head = world.chain.head();
    let transactions = &transactions()[..1];
    let proposed = world.chain.propose(head.hash, world.attributes(), transactions).expect("the head can be built on");
    let header: Header = alloy_rlp::decode_exact(&proposed.header_rlp).expect("this chain made the header");
    let decode = |raw: &Bytes| TxEnvelope::decode_2718_exact(raw).expect("this module made the transaction");
    let body = BlockBody { transactions: transactions.iter().map(decode).collect(), ..Default::default() };
    alloy_rlp::encode(Block { header, body })
}

/// Inputs of the target `block`, one for each way it reads them.
pub fn blocks(world: &World) -> Vec<Vec<u8>> {
    vec![[[0].as_slice(), &block(world)].concat(), vec![1, 4, 0, 1, 2, 3, 4], vec![2, 0, 0, 0xf9]]
}

/// Inputs of the target `execution`: long enough for a few transactions.
pub fn plans() -> Vec<Vec<u8>> {
    (0u8..4).map(|byte| vec![byte.wrapping_mul(85); 256]).collect()
}

/// Calls with parameters that the methods accept, as far as they exist.
pub fn messages() -> Vec<Vec<u8>> {
    let (account, zero) = (signer(1).address(), B256::ZERO);
    let request = json!({"from": account, "to": CONTRACT, "data": "0x01", "value": "0x1", "gas": "0xffff"});
    let filter = json!({"fromBlock": "0x0", "toBlock": "latest", "address": CONTRACT, "topics": [null, [zero]]});
    let overrides =
        json!({CONTRACT.to_string(): {"balance": "0x1", "code": "0x5f5ffd", "stateDiff": {zero.to_string(): zero}}});
    let simulated = json!({"blockStateCalls": [{"blockOverrides": {"time": "0x7fffffff"}, "stateOverrides": overrides, "calls": [request]}], "validation": false});
    let tracer = json!({"tracer": "callTracer", "tracerConfig": {"withLog": true}});
    let raw = &transactions()[2];
    let calls: Vec<(&str, Value)> = vec![
        ("eth_chainId", json!([])),
        ("eth_feeHistory", json!(["0x3", "latest", [10.0, 50.0]])),
        ("eth_getBalance", json!([account, "pending"])),
        ("eth_getTransactionCount", json!([account, {"blockNumber": "0x1"}])),
        ("eth_getCode", json!([CONTRACT, {"blockHash": zero, "requireCanonical": true}])),
        ("eth_getStorageAt", json!([CONTRACT, "0x0", "finalized"])),
        ("eth_getProof", json!([CONTRACT, ["0x0", zero], "safe"])),
        ("eth_call", json!([request, "latest", overrides, {"number": "0x99", "baseFeePerGas": "0x1"}])),
        ("eth_estimateGas", json!([request, "0x2"])),
        ("eth_createAccessList", json!([request])),
        ("eth_simulateV1", json!([simulated, "latest"])),
        ("eth_getBlockByNumber", json!(["earliest", true])),
        ("eth_getBlockReceipts", json!(["0x1"])),
        ("eth_getTransactionByBlockNumberAndIndex", json!(["0x1", "0x0"])),
        ("eth_sendRawTransaction", json!([raw])),
        ("eth_sendRawTransactionSync", json!([raw, 1])),
        ("eth_fillTransaction", json!([request])),
        ("eth_getLogs", json!([filter])),
        ("eth_newFilter", json!([filter])),
        ("eth_getFilterChanges", json!(["0x1"])),
        ("eth_subscribe", json!(["logs", filter])),
        ("web3_sha3", json!(["0x00"])),
        ("txpool_content", json!([])),
        ("txpool_contentFrom", json!([account])),
        ("debug_traceCall", json!([request, "latest", tracer])),
        ("debug_traceTransaction", json!([zero, {"tracer": "prestateTracer"}])),
        ("debug_traceBlockByNumber", json!(["0x1", {"tracer": "4byteTracer"}])),
        ("debug_executionWitness", json!(["0x1"])),
        ("debug_getRawBlock", json!(["0x1"])),
        ("trace_block", json!(["0x1"])),
        ("trace_filter", json!([{"fromBlock": "0x1", "toBlock": "0x2", "count": 3}])),
        ("trace_replayBlockTransactions", json!(["0x1", ["trace", "vmTrace", "stateDiff"]])),
        ("ots_getBlockDetails", json!(["0x1"])),
        ("kumo_supply", json!([])),
    ];
    let call = |(method, params): (&str, Value)| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let mut messages: Vec<Value> = calls.into_iter().map(call).collect();
    messages.push(Value::Array(messages[..3].to_vec()));
    messages.into_iter().map(|message| message.to_string().into_bytes()).collect()
}
