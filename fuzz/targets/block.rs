//! Bytes as a block: its RLP as an importer reads it, and its parts as a validator gets them from consensus.
//!
//! The first byte says how the rest is read: as the RLP of a block, as parts with their lengths in front, or as edits
//! of a valid block.

#![no_main]

use alloy_consensus::{Block, Header, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Bytes, keccak256};
use alloy_rlp::Decodable;
use chain::BlockAttributes;
use kumo_fuzz::{MESSAGE_BYTES_MAX, World, seeds};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static WORLD: LazyLock<World> = LazyLock::new(World::new);
static VALID: LazyLock<Vec<u8>> = LazyLock::new(|| seeds::block(&WORLD));

fuzz_target!(init: seeds::plant("block", seeds::blocks(&WORLD)), |data: &[u8]| {
    let Some((kind, rest)) = data.split_first().filter(|_| data.len() <= MESSAGE_BYTES_MAX) else { return };
    match kind % 3 {
        0 => whole(rest),
        1 => parts(rest),
        _ => whole(&edited(rest)),
    }
});

/// A block as one RLP list.
fn whole(mut rlp: &[u8]) {
    let Ok(block) = Block::<TxEnvelope>::decode(&mut rlp) else { return };
    let transactions: Vec<Bytes> = block.body.transactions.iter().map(|tx| tx.encoded_2718().into()).collect();
    verify(&alloy_rlp::encode(&block.header), &transactions);
}

/// Header and transactions, each with two bytes of length in front.
fn parts(mut rest: &[u8]) {
    let mut parts = Vec::new();
    while let [low, high, tail @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(tail.len());
        let (part, tail) = tail.split_at(length);
        parts.push(Bytes::copy_from_slice(part));
        rest = tail;
    }
    if let Some((header, transactions)) = parts.split_first() {
        verify(header, transactions);
    }
}

/// The valid block with some bytes replaced: three bytes of input give position and value.
fn edited(edits: &[u8]) -> Vec<u8> {
    let mut rlp = VALID.clone();
    for edit in edits.chunks_exact(3) {
        let position = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % rlp.len();
        rlp[position] = edit[2];
    }
    rlp
}

fn verify(header_rlp: &[u8], transactions: &[Bytes]) {
    let attributes = match Header::decode(&mut &header_rlp[..]) {
        Ok(header) => BlockAttributes {
            timestamp: header.timestamp,
            randomness: header.mix_hash,
            parent_beacon_root: header.parent_beacon_block_root.unwrap_or_default(),
            beneficiary: header.beneficiary,
            ..Default::default()
        },
        Err(_) => WORLD.attributes(),
    };
    let head = WORLD.chain.head();
    if let Ok(hash) = WORLD.chain.verify(head.hash, attributes, header_rlp, transactions) {
        assert_eq!(hash, keccak256(header_rlp));
        let record = WORLD.chain.pending_block(hash).expect("a block that was verified is pending");
        assert_eq!(record.transactions.len(), transactions.len());
    }
}
