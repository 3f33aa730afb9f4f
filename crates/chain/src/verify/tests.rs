use crate::{
    ChainError, InvalidBlock, Proposed,
    test_support::{TestChain, attributes, signed, transfer},
};
use alloy_consensus::Header;
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256};
use alloy_rlp::Decodable;

const RECEIVER: Address = Address::repeat_byte(0x77);

/// A valid block with one transfer, built by another node.
fn block() -> (Proposed, Vec<Bytes>) {
    let proposer = TestChain::new();
    let head = proposer.chain.head();
    let transactions = vec![signed(1, transfer(0, RECEIVER, 5))];
    (proposer.chain.propose(head.hash, attributes(&head), &transactions).unwrap(), transactions)
}

/// Verifies the block with a changed header.
fn verify_changed(change: impl FnOnce(&mut Header)) -> Result<B256, InvalidBlock> {
    let (proposed, transactions) = block();
    let mut header = Header::decode(&mut proposed.header_rlp.as_ref()).unwrap();
    change(&mut header);
    let test = TestChain::new();
    let head = test.chain.head();
    let result = test.chain.verify(head.hash, attributes(&head), &alloy_rlp::encode(&header), &transactions);
    assert!(result.is_ok() || !test.chain.is_pending(header.hash_slow()));
    result
}

#[test]
fn an_unchanged_header_is_valid() {
    assert_eq!(verify_changed(|_| {}).unwrap(), block().0.hash);
}

#[test]
fn every_changed_field_is_named_with_both_values() {
    type Change = fn(&mut Header);
    let changes: [(&str, Change); 21] = [
        ("parent_hash", |header| header.parent_hash = B256::ZERO),
        ("ommers_hash", |header| header.ommers_hash = B256::ZERO),
        ("beneficiary", |header| header.beneficiary = Address::ZERO),
        ("state_root", |header| header.state_root = B256::ZERO),
        ("transactions_root", |header| header.transactions_root = B256::ZERO),
        ("receipts_root", |header| header.receipts_root = B256::ZERO),
        ("logs_bloom", |header| header.logs_bloom = Bloom::repeat_byte(1)),
        ("difficulty", |header| header.difficulty = U256::from(1)),
        ("number", |header| header.number += 1),
        ("gas_limit", |header| header.gas_limit += 1),
        ("gas_used", |header| header.gas_used += 1),
        ("timestamp", |header| header.timestamp += 1),
        ("extra_data", |header| header.extra_data = Bytes::from_static(b"x")),
        ("mix_hash", |header| header.mix_hash = B256::ZERO),
        ("nonce", |header| header.nonce = B64::repeat_byte(1)),
        ("base_fee_per_gas", |header| header.base_fee_per_gas = Some(1)),
        ("withdrawals_root", |header| header.withdrawals_root = Some(B256::ZERO)),
        ("blob_gas_used", |header| header.blob_gas_used = Some(1)),
        ("excess_blob_gas", |header| header.excess_blob_gas = Some(1)),
        ("parent_beacon_block_root", |header| header.parent_beacon_block_root = Some(B256::ZERO)),
        ("requests_hash", |header| header.requests_hash = Some(B256::ZERO)),
    ];
    for (name, change) in changes {
        let error = verify_changed(change).unwrap_err();
        assert!(error.is_proven());
        match error {
            InvalidBlock::Field { field, expected, got } => {
                assert_eq!(field, name);
                assert_ne!(expected, got, "{name}");
            }
            other => panic!("{name}: {other}"),
        }
    }
}

#[test]
fn a_timestamp_before_the_parents_is_refused() {
    let test = TestChain::new();
    let head = test.chain.head();
    let mut early = attributes(&head);
    early.timestamp = head.header.timestamp - 1;
    let error = test.chain.propose(head.hash, early, &[]).unwrap_err();
    assert!(matches!(error, ChainError::Timestamp { .. }), "{error}");

    let (proposed, transactions) = block();
    let mut header = Header::decode(&mut proposed.header_rlp.as_ref()).unwrap();
    header.timestamp = early.timestamp;
    let error = test.chain.verify(head.hash, early, &alloy_rlp::encode(&header), &transactions).unwrap_err();
    let InvalidBlock::Timestamp { timestamp, parent } = error else { panic!("{error}") };
    assert_eq!((timestamp, parent), (head.header.timestamp - 1, head.header.timestamp));

    early.timestamp = head.header.timestamp;
    assert!(test.chain.propose(head.hash, early, &[]).is_ok(), "the same second is allowed");
}

#[test]
fn transactions_that_do_not_belong_are_refused() {
    let (proposed, transactions) = block();
    let test = TestChain::new();
    let head = test.chain.head();
    let verify = |transactions: &[Bytes]| {
        test.chain.verify(head.hash, attributes(&head), &proposed.header_rlp, transactions).unwrap_err()
    };
    assert!(matches!(verify(&[]), InvalidBlock::Field { field: "transactions_root", .. }));
    let garbage = [transactions[0].clone(), Bytes::from_static(&[1, 2, 3])];
    assert!(matches!(verify(&garbage), InvalidBlock::Transaction { index: 1, .. }));
    let twice = [transactions[0].clone(), transactions[0].clone()];
    let error = verify(&twice);
    assert!(matches!(&error, InvalidBlock::Transaction { index: 1, reason } if reason.contains("nonce")), "{error}");
    let poor = [signed(9, transfer(0, RECEIVER, 1))];
    assert!(matches!(verify(&poor), InvalidBlock::Transaction { index: 0, .. }));
}

#[test]
fn a_pending_block_with_other_transactions_is_refused_without_execution() {
    let (proposed, transactions) = block();
    let test = TestChain::new();
    let head = test.chain.head();
    let verify = |list: &[Bytes]| test.chain.verify(head.hash, attributes(&head), &proposed.header_rlp, list);
    verify(&transactions).unwrap();
    verify(&transactions).unwrap();
    assert!(matches!(verify(&[]), Err(InvalidBlock::Field { field: "transactions_root", .. })));
    assert!(matches!(verify(&[Bytes::from_static(&[9])]), Err(InvalidBlock::Transaction { .. })));
}

#[test]
fn a_final_block_stays_valid_and_a_block_too_full_is_refused_unseen() {
    let (proposed, transactions) = block();
    let test = TestChain::new();
    let head = test.chain.head();
    let verify = |list: &[Bytes]| test.chain.verify(head.hash, attributes(&head), &proposed.header_rlp, list);
    let max = (head.header.gas_limit / 21_000) as usize;
    let error = verify(&vec![Bytes::new(); max + 1]).unwrap_err();
    let InvalidBlock::Count { count, max: limit } = error else { panic!("{error}") };
    assert_eq!((count, limit), (max + 1, max));
    assert!(matches!(verify(&vec![Bytes::new(); max]), Err(InvalidBlock::Transaction { index: 0, .. })));
    let large = vec![Bytes::from(vec![0; crate::TRANSACTION_BYTES_MAX]); 64];
    assert!(matches!(verify(&large), Err(InvalidBlock::Size { .. })));

    test.chain.finalize(verify(&transactions).unwrap()).unwrap();
    assert_eq!(verify(&transactions).unwrap(), proposed.hash);
    assert!(matches!(verify(&[]), Err(InvalidBlock::Field { field: "transactions_root", .. })));
}

#[test]
fn other_encodings_of_a_header_are_refused() {
    let (proposed, transactions) = block();
    let test = TestChain::new();
    let head = test.chain.head();
    let verify = |header: &[u8]| test.chain.verify(head.hash, attributes(&head), header, &transactions).unwrap_err();
    let longer = [proposed.header_rlp.as_ref(), &[0]].concat();
    let shorter = &proposed.header_rlp[..proposed.header_rlp.len() - 1];
    for header in [longer.as_slice(), shorter, &[], &[0xc0], &[0xff; 64]] {
        let error = verify(header);
        assert!(matches!(error, InvalidBlock::Header(_)), "{error}");
    }
}
