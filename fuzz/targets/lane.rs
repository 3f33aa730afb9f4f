//! Bytes as what stands in blocks for the encrypted lane: records of namespace 0, proofs of a key, envelopes.

#![no_main]

use alloy_primitives::Bytes;
use kumo_fuzz::{CHAIN_ID, MESSAGE_BYTES_MAX, seeds};
use libfuzzer_sys::fuzz_target;
use proof::lane::{Envelope, Record, Unsealer};
use proof::namespace::TransactionProof;

fuzz_target!(init: seeds::plant("lane", seeds::lane()), |data: &[u8]| {
    if data.len() > MESSAGE_BYTES_MAX {
        return;
    }
    if let Ok(record) = Record::decode(data) {
        assert_eq!(record.encode(), data, "one record has two encodings");
    }
    if let Ok(envelope) = Envelope::decode(data) {
        let _ = envelope.check();
    }
    let _ = TransactionProof::decode(data);
    let mut unsealer = Unsealer::new(CHAIN_ID, 7, None);
    let executed = unsealer.apply([data], &[Bytes::copy_from_slice(data)]);
    assert!(executed.len() + unsealer.waiting() <= 1, "one transaction is one at most");
});
