//! Our blocks in Espresso's JSON (version 0.3 of its header).

use super::tagged;
use crate::backend::FinalBlock;
use alloy_primitives::B256;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use protocol::api::NamespaceBlock;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The bytes of a base64 text with padding.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

pub(super) fn to_base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn from_base64_url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

pub(super) fn to_base64_url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Transactions of namespaces that Espresso can name, in the order of the block.
pub(super) fn transactions(block: &FinalBlock) -> impl Iterator<Item = (u64, &[u8])> {
    let narrow = block.namespaces.iter().filter(|(namespace, _)| u32::try_from(*namespace).is_ok());
    narrow.flat_map(|(namespace, payloads)| payloads.iter().map(|payload| (*namespace, payload.as_ref())))
}

/// Table of namespaces and payload as Espresso encodes them, integers of 32 bits, little endian: number of namespaces,
/// then each with the end of its section; a section is the number of its transactions, their ends, their bytes.
fn encoded(block: &FinalBlock) -> (Vec<u8>, Vec<u8>) {
    let (mut table, mut payload, mut count) = (vec![0; 4], Vec::new(), 0u32);
    for (namespace, transactions) in &block.namespaces {
        let Ok(namespace) = u32::try_from(*namespace) else { continue };
        payload.extend((transactions.len() as u32).to_le_bytes());
        let mut end = 0;
        for transaction in transactions {
            end += transaction.len() as u32;
            payload.extend(end.to_le_bytes());
        }
        transactions.iter().for_each(|transaction| payload.extend(transaction));
        table.extend(namespace.to_le_bytes());
        table.extend((payload.len() as u32).to_le_bytes());
        count += 1;
    }
    table[..4].copy_from_slice(&count.to_le_bytes());
    (table, payload)
}

fn block_hash(block: &FinalBlock) -> String {
    tagged::write("BLOCK", block.digest)
}

pub(super) fn payload_hash(block: &FinalBlock) -> String {
    tagged::write("HASH", block.erasure_root)
}

/// A header.
pub(super) fn header(block: &FinalBlock) -> Value {
    let zero = "0x0000000000000000000000000000000000000000";
    let nothing = tagged::write("MERKLE_COMM", [0; 32]);
    let (table, _) = encoded(block);
    json!({
        "version": { "Version": { "major": 0, "minor": 3 } },
        "fields": {
            "chain_config": { "chain_config": { "Left": {
                "chain_id": "0", "max_block_size": "8388608", "base_fee": "0",
                "fee_contract": zero, "fee_recipient": zero, "bid_recipient": zero,
            } } },
            "height": block.height,
            "timestamp": block.timestamp_millis / 1000,
            "timestamp_millis": block.timestamp_millis,
            "l1_head": 0,
            "l1_finalized": null,
            "payload_commitment": payload_hash(block),
            "builder_commitment": tagged::write("BUILDER_COMMITMENT", block.namespaces_root),
            "ns_table": { "bytes": to_base64(table) },
            "block_merkle_tree_root": nothing,
            "fee_merkle_tree_root": nothing,
            "reward_merkle_tree_root": nothing,
            "fee_info": { "account": zero, "amount": "0" },
            "builder_signature": null,
        },
    })
}

/// A leaf with what certifies it.
pub(super) fn leaf(block: &FinalBlock) -> Value {
    json!({
        "leaf": {
            "view_number": block.view,
            "parent_commitment": tagged::write("COMMIT", block.parent),
            "block_header": header(block),
            "block_payload": null,
        },
        "qc": {
            "data": { "leaf_commit": tagged::write("COMMIT", block.digest) },
            "view_number": block.view,
            "signatures": to_base64(&block.certificate),
            "signed_header": to_base64(&block.header),
        },
    })
}

fn payload_data(block: &FinalBlock) -> (Value, usize) {
    let (table, payload) = encoded(block);
    let size = payload.len();
    (json!({ "raw_payload": to_base64(payload), "ns_table": { "bytes": to_base64(table) } }), size)
}

/// A header with its payload.
pub(super) fn block(block: &FinalBlock) -> Value {
    let (payload, size) = payload_data(block);
    json!({
        "header": header(block),
        "payload": payload,
        "hash": block_hash(block),
        "size": size,
        "num_transactions": transactions(block).count(),
    })
}

/// A payload.
pub(super) fn payload(block: &FinalBlock) -> Value {
    let (data, size) = payload_data(block);
    json!({
        "height": block.height,
        "block_hash": block_hash(block),
        "hash": payload_hash(block),
        "size": size,
        "num_transactions": transactions(block).count(),
        "data": data,
    })
}

/// What a block has, without its transactions.
pub(super) fn summary(block: &FinalBlock) -> Value {
    let namespaces: serde_json::Map<String, Value> = (block.namespaces.iter())
        .filter(|(namespace, _)| u32::try_from(*namespace).is_ok())
        .map(|(namespace, transactions)| {
            let size: usize = transactions.iter().map(|transaction| transaction.len()).sum();
            (namespace.to_string(), json!({ "num_transactions": transactions.len(), "size": size }))
        })
        .collect();
    json!({
        "header": header(block),
        "hash": block_hash(block),
        "size": encoded(block).1.len(),
        "num_transactions": transactions(block).count(),
        "namespaces": namespaces,
    })
}

/// What goes for the common data of verifiable dispersal: nothing but the root over the shards.
pub(super) fn vid_common(block: &FinalBlock) -> Value {
    json!({
        "height": block.height,
        "block_hash": block_hash(block),
        "payload_hash": payload_hash(block),
        "common": { "erasure_root": block.erasure_root },
    })
}

/// A transaction at a position of its block.
pub(super) fn transaction(block: &FinalBlock, index: usize, proof: Option<&NamespaceBlock>) -> Option<Value> {
    let (namespace, payload) = transactions(block).nth(index)?;
    Some(json!({
        "transaction": { "namespace": namespace, "payload": to_base64(payload) },
        "hash": tagged::write("TX", transaction_hash(namespace, payload)),
        "index": index,
        "block_hash": block_hash(block),
        "block_height": block.height,
        "proof": proof.map(namespace_proof),
    }))
}

/// All transactions of a namespace with their proof, or none.
pub(super) fn namespace(block: &FinalBlock, namespace: u64, proof: &NamespaceBlock) -> Value {
    let found = block.namespaces.iter().find(|(other, _)| *other == namespace);
    let found = found.map_or(&[][..], |(_, transactions)| transactions);
    let transactions: Vec<Value> =
        found.iter().map(|payload| json!({ "namespace": namespace, "payload": to_base64(payload) })).collect();
    json!({ "proof": namespace_proof(proof), "transactions": transactions })
}

fn namespace_proof(proof: &NamespaceBlock) -> Value {
    json!({ "Kumo": { "header": proof.header, "certificate": proof.certificate, "proof": proof.proof } })
}

/// SHA-256 over the namespace (8 bytes, big endian) and the payload.
pub(super) fn transaction_hash(namespace: u64, payload: &[u8]) -> B256 {
    B256::from_slice(&Sha256::new().chain_update(namespace.to_be_bytes()).chain_update(payload).finalize())
}
