use super::*;

fn block(height: u64, lengths: &[usize]) -> BatchBlock {
    let transaction = |(place, length): (usize, &usize)| Bytes::from(vec![height as u8 ^ place as u8 ^ 0xa5; *length]);
    BatchBlock { height, transactions: lengths.iter().enumerate().map(transaction).collect() }
}

fn batch() -> Batch {
    Batch { blocks: vec![block(3, &[1, 200]), block(4, &[31]), block(900, &[5, 6, 7])] }
}

#[test]
fn a_batch_comes_back_from_calldata_and_from_blobs() {
    for blocks in [1, 2, 3] {
        let batch = Batch { blocks: batch().blocks[..blocks].to_vec() };
        assert_eq!(Batch::decode(&batch.encode()), Ok(batch.clone()));
        let blobs = batch.to_blobs().unwrap();
        assert_eq!(blobs.len(), 1);
        assert_eq!(Batch::from_blobs(&blobs), Ok(batch));
    }
}

#[test]
fn the_size_of_a_block_is_what_it_takes() {
    for lengths in [[1].as_slice(), &[200, 1], &[7; 60]] {
        let block = block(9, lengths);
        let batch = Batch { blocks: vec![block.clone()] };
        assert_eq!(Some(batch.encode().len() - 1), block.encoded_bytes());
    }
    assert_eq!(block(9, &[]).encoded_bytes(), None);
}

#[test]
fn six_blobs_are_filled_to_the_last_byte_and_no_further() {
    // Version, head of the block, number of transactions, one end.
    let most = BATCH_BYTES_MAX - 1 - BLOCK_HEAD_BYTES - 8;
    let fits = Batch { blocks: vec![block(1, &[most])] };
    let blobs = fits.to_blobs().unwrap();
    assert_eq!((blobs.len(), fits.encode().len()), (BLOBS_MAX, BATCH_BYTES_MAX));
    assert_eq!(Batch::from_blobs(&blobs), Ok(fits));
    let beyond = Batch { blocks: vec![block(1, &[most + 1])] };
    assert_eq!(beyond.to_blobs(), Err(BatchError::TooLong(BATCH_BYTES_MAX + 1)));
}

#[test]
fn blobs_that_hold_anything_else_are_refused() {
    let good = batch().to_blobs().unwrap();
    let changed = |place: usize, value: u8| {
        let mut blobs = good.clone();
        blobs[0][place] = value;
        Batch::from_blobs(&blobs)
    };
    assert_eq!(changed(64, 1), Err(BatchError::Element(2)), "the first byte of an element");
    assert_eq!(changed(BLOB_BYTES - 1, 1), Err(BatchError::Element(4095)), "padding");
    assert!(matches!(changed(1, 0xff), Err(BatchError::Blobs { count: 1, .. })), "a length beyond the blobs");
    assert!(Batch::from_blobs(&[good[0].clone(), vec![0; BLOB_BYTES]]).is_err(), "a blob too many");
    assert_eq!(Batch::from_blobs(&[&good[0][1..]]), Err(BatchError::Blobs { count: 1, bytes: BLOB_BYTES - 1 }));
    assert_eq!(Batch::from_blobs::<Vec<u8>>(&[]), Err(BatchError::Blobs { count: 0, bytes: 0 }));
    let seven = vec![good[0].clone(); 7];
    assert!(matches!(Batch::from_blobs(&seven), Err(BatchError::Blobs { count: 7, .. })));
}

#[test]
fn bytes_that_are_no_batch_are_refused() {
    let good = batch().encode();
    let ends: Vec<usize> =
        (1..=2).map(|blocks| Batch { blocks: batch().blocks[..blocks].to_vec() }.encode().len()).collect();
    for length in (0..good.len()).filter(|length| !ends.contains(length)) {
        assert_eq!(Batch::decode(&good[..length]), Err(BatchError::Malformed(length)));
    }
    let mut other = good.clone();
    other[0] = 2;
    assert_eq!(Batch::decode(&other), Err(BatchError::Malformed(other.len())));
    let twice = Batch { blocks: vec![block(3, &[1]), block(3, &[1])] };
    assert_eq!(Batch::decode(&twice.encode()), Err(BatchError::Order { height: 3, last: 3 }));
    let zero = Batch { blocks: vec![block(0, &[1])] };
    assert_eq!(Batch::decode(&zero.encode()), Err(BatchError::Order { height: 0, last: 0 }));
}

#[test]
fn leaves_lead_to_the_same_name_as_the_blocks_and_any_change_to_another() {
    let (batch, start) = (batch(), B256::repeat_byte(9));
    let leaves = Leaf::decode_all(&batch.leaves(7)).unwrap();
    let name = batch.extend(7, start);
    assert_eq!(leaves.iter().fold(start, |inputs, leaf| leaf.extend(&inputs)), name);
    assert_ne!(batch.extend(8, start), name, "of another namespace");
    assert_ne!(batch.extend(7, B256::ZERO), name, "from another start");
    let mut fewer = batch.clone();
    fewer.blocks.remove(1);
    let mut swapped = batch.clone();
    swapped.blocks[2].transactions.swap(0, 1);
    let mut moved = batch.clone();
    moved.blocks[0].height = 2;
    for other in [fewer, swapped, moved] {
        assert_ne!(other.extend(7, start), name);
    }
    let cut = batch.leaves(7);
    assert_eq!(Leaf::decode_all(&cut[1..]), Err(BatchError::Malformed(cut.len() - 1)));
}
