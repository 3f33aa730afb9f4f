use crate::test_support::{COIN, FEE_MAX, TestChain, attributes, call, signed, signer, transfer};
use alloy_consensus::{TxEip1559, TxEip4844};
use alloy_primitives::{Address, B256, Bytes, U256};

const RECEIVER: Address = Address::repeat_byte(0x77);

fn tipped(number: u8, nonce: u64, tip: u128) -> Bytes {
    signed(number, TxEip1559 { max_priority_fee_per_gas: tip, ..transfer(nonce, RECEIVER, 1) })
}

#[test]
fn nonces_of_a_sender_are_put_in_order_and_gaps_wait() {
    let test = TestChain::new();
    let candidates: Vec<_> = [2u64, 0, 1, 4].map(|nonce| signed(1, transfer(nonce, RECEIVER, 1))).into();
    let (proposed, _) = test.advance(&candidates);
    assert_eq!((proposed.included, proposed.deferred, proposed.rejected), (vec![1, 2, 0], vec![3], vec![]));
}

#[test]
fn better_paying_senders_go_first() {
    let test = TestChain::new();
    let candidates = [tipped(1, 0, 1), tipped(2, 0, 30), tipped(3, 0, 2), tipped(1, 1, 40)];
    let (proposed, _) = test.advance(&candidates);
    assert_eq!(proposed.included, [1, 2, 0, 3]);
}

#[test]
fn of_two_candidates_with_one_nonce_the_better_paying_is_taken() {
    let test = TestChain::new();
    let candidates = [tipped(1, 0, 1), tipped(1, 0, 2)];
    let (proposed, _) = test.advance(&candidates);
    assert_eq!((proposed.included, proposed.deferred), (vec![1], vec![0]));
    let (proposed, _) = test.advance(&candidates);
    assert_eq!((proposed.included, proposed.rejected), (vec![], vec![0, 1]), "both nonces are final now");
}

#[test]
fn what_a_pending_ancestor_holds_is_kept_until_that_is_final() {
    let test = TestChain::new();
    let head = test.chain.head();
    let candidates = [signed(1, transfer(0, RECEIVER, 1))];
    let first = test.chain.propose(head.hash, attributes(&head), &candidates).unwrap();
    let parent = test.chain.pending_block(first.hash).unwrap();
    let second = test.chain.propose(first.hash, attributes(&parent), &candidates).unwrap();
    assert_eq!((second.included, second.deferred, second.rejected), (vec![], vec![0], vec![]));
    test.chain.finalize(first.hash).unwrap();
    let third =
        test.chain.propose(second.hash, attributes(&test.chain.pending_block(second.hash).unwrap()), &candidates);
    assert_eq!(third.unwrap().rejected, [0]);
}

#[test]
fn hopeless_candidates_are_rejected_and_others_wait() {
    let test = TestChain::new();
    let blob = TxEip4844 { chain_id: 5886, blob_versioned_hashes: vec![B256::ZERO], ..Default::default() };
    let hopeless = [
        Bytes::from_static(b"garbage"),
        signed(1, blob),
        signed(1, TxEip1559 { chain_id: 1, ..transfer(0, RECEIVER, 1) }),
        signed(1, TxEip1559 { gas_limit: 20_999, ..transfer(0, RECEIVER, 1) }),
        signed(1, TxEip1559 { gas_limit: crate::TRANSACTION_GAS_MAX + 1, ..transfer(0, RECEIVER, 1) }),
        signed(9, transfer(0, RECEIVER, 1)),
        signed(1, TxEip1559 { max_priority_fee_per_gas: FEE_MAX + 1, ..transfer(0, RECEIVER, 1) }),
    ];
    let (proposed, _) = test.advance(&hopeless);
    assert_eq!((proposed.rejected.len(), proposed.included.len(), proposed.deferred.len()), (hopeless.len(), 0, 0));
    let cheap = [signed(1, TxEip1559 { max_fee_per_gas: 1, max_priority_fee_per_gas: 1, ..transfer(0, RECEIVER, 1) })];
    let (proposed, _) = test.advance(&cheap);
    assert_eq!((proposed.deferred, proposed.rejected), (vec![0], vec![]));
}

#[test]
fn what_the_sender_cannot_pay_any_more_is_rejected_when_that_is_final() {
    let test = TestChain::new();
    let spend = |nonce| signed(1, transfer(nonce, RECEIVER, 600 * COIN));
    let candidates = [spend(0), spend(1)];
    let (proposed, _) = test.advance(&candidates);
    assert_eq!((proposed.included, proposed.deferred, proposed.rejected), (vec![0], vec![1], vec![]));
    let (proposed, _) = test.advance(&candidates);
    assert_eq!((proposed.included, proposed.deferred, proposed.rejected), (vec![], vec![], vec![0, 1]));
}

#[test]
fn what_does_not_fit_waits_for_the_next_block() {
    let test = TestChain::new();
    let gas_limit = crate::TRANSACTION_GAS_MAX;
    // An infinite loop uses all its gas, so five fit into 100 million.
    let looping = Bytes::from_static(&[0x5b, 0x5f, 0x56]);
    let burner = |nonce| {
        let creation = TxEip1559 { gas_limit, ..crate::test_support::creation(nonce, looping.clone()) };
        signed(1, creation)
    };
    let candidates: Vec<_> = (0..6).map(burner).collect();
    let (proposed, record) = test.advance(&candidates);
    assert_eq!((proposed.included, proposed.deferred), (vec![0, 1, 2, 3, 4], vec![5]));
    assert_eq!(record.header.gas_used, 5 * gas_limit);
    assert!(record.receipts.iter().all(|receipt| !receipt.is_success()));
    let (proposed, _) = test.advance(&candidates[5..]);
    assert_eq!(proposed.included, [0]);
}

#[test]
fn a_failing_call_is_included_and_pays() {
    let test = TestChain::new();
    let reverting = Bytes::from_static(&[0x5f, 0x5f, 0xfd]);
    let candidates = [
        signed(1, crate::test_support::creation(0, crate::test_support::deployer(&reverting))),
        signed(1, call(1, signer(1).address().create(0), Bytes::new())),
    ];
    let (proposed, record) = test.advance(&candidates);
    assert_eq!(proposed.included, [0, 1]);
    assert!(record.receipts[0].is_success() && !record.receipts[1].is_success());
    assert!(test.chain.state(1).unwrap().balance(protocol::abi::FEE_VAULT).unwrap() > U256::ZERO);
    test.chain.verify_supply().unwrap();
}
