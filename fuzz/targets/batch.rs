//! Bytes as a rollup's batch, as leaves, and as blobs: what an L1 holds was written by anybody.

#![no_main]

use alloy_primitives::{B256, Bytes};
use kumo_fuzz::{MESSAGE_BYTES_MAX, seeds};
use libfuzzer_sys::fuzz_target;
use proof::batch::{BLOB_BYTES, BLOBS_MAX, Batch, BatchBlock, Leaf};

fuzz_target!(init: seeds::plant("batch", valid()), |data: &[u8]| {
    if data.len() > MESSAGE_BYTES_MAX {
        return;
    }
    if let Ok(batch) = Batch::decode(data) {
        assert_eq!(batch.encode(), data, "one batch has two encodings");
        let leaves = Leaf::decode_all(&batch.leaves(7)).expect("leaves of a batch decode");
        let named = leaves.iter().fold(B256::ZERO, |inputs, leaf| leaf.extend(&inputs));
        assert_eq!(named, batch.extend(7, B256::ZERO), "leaves and blocks have two names");
        let blobs = batch.to_blobs().expect("it is far smaller than blobs");
        assert_eq!(Batch::from_blobs(&blobs), Ok(batch));
    }
    if let Ok(leaves) = Leaf::decode_all(data) {
        let encoded: Vec<u8> = leaves.iter().flat_map(Leaf::encode).collect();
        assert_eq!(encoded, data, "leaves have two encodings");
    }
    // The last byte says how many blobs there are, the others begin each of them.
    let Some((count, begin)) = data.split_last() else { return };
    let mut blob = vec![0; BLOB_BYTES];
    blob[..begin.len()].copy_from_slice(begin);
    let blobs = vec![blob; usize::from(*count) % (BLOBS_MAX + 2)];
    if let Ok(batch) = Batch::from_blobs(&blobs) {
        assert_eq!(batch.to_blobs().as_deref(), Ok(blobs.as_slice()), "a batch has two forms in blobs");
    }
});

/// A batch of two blocks, its leaves, and the beginning of its blob.
fn valid() -> Vec<Vec<u8>> {
    let block = |height, sizes: &[usize]| BatchBlock {
        height,
        transactions: sizes.iter().map(|size| Bytes::from(vec![height as u8; *size])).collect(),
    };
    let batch = Batch { blocks: vec![block(3, &[1, 40]), block(9, &[31])] };
    let mut blob = batch.to_blobs().expect("it is small")[0][..160].to_vec();
    blob.push(1);
    vec![batch.encode(), batch.leaves(7), blob]
}
