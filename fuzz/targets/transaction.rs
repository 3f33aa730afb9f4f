//! Bytes as a transaction: decoding, recovery, admission to the pool, and the place of one transaction in a block.

#![no_main]

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Bytes, hex};
use kumo_fuzz::{MESSAGE_BYTES_MAX, World, seeds};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static WORLD: LazyLock<World> = LazyLock::new(World::new);

fuzz_target!(init: seeds::plant("transaction", seeds::transactions().into_iter().map(Vec::from)), |data: &[u8]| {
    if data.len() > MESSAGE_BYTES_MAX {
        return;
    }
    let recovered = WORLD.chain.recover(data);
    if let Ok(transaction) = &recovered {
        assert_eq!(transaction.inner().encoded_2718(), data, "one transaction has two encodings");
    }
    let head = WORLD.chain.head();
    let block = WORLD.chain.propose(head.hash, WORLD.attributes(), &[Bytes::copy_from_slice(data)]).expect("proposes");
    assert_eq!(block.included.len() + block.rejected.len() + block.deferred.len(), 1);
    assert!(recovered.is_ok() || block.rejected == [0], "what has no sender is never kept");

    let raw = hex::encode_prefixed(data);
    let message = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["{raw}"]}}"#);
    let answer = WORLD.answer(message.as_bytes()).expect("a call has an answer");
    assert!(recovered.is_ok() || answer.contains("\"error\""), "{answer}");
    assert!(!answer.contains("-32603"), "{answer}");
});
