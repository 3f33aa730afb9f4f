use super::Front;
use crate::test_support::{TestChain, attributes, creation, signed, transfer};
use crate::{InvalidBlock, Proposed};
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, Bytes};

const RECEIVER: Address = Address::repeat_byte(0x77);

fn plain(number: u8, nonce: u64) -> Bytes {
    signed(number, transfer(nonce, RECEIVER, 1))
}

/// One that asks for `gas`.
fn asking(number: u8, gas_limit: u64) -> Bytes {
    signed(number, TxEip1559 { gas_limit, ..transfer(0, RECEIVER, 1) })
}

fn propose(test: &TestChain, due: &[Bytes], candidates: &[Bytes]) -> Proposed {
    let head = test.chain.head();
    test.chain.propose_after(head.hash, attributes(&head), due, candidates).unwrap()
}

/// What another node says of a block that settles `taken` of `due`.
fn verify(proposed: &Proposed, due: &[Bytes], taken: usize, transactions: &[Bytes]) -> Result<(), InvalidBlock> {
    let test = TestChain::new();
    let head = test.chain.head();
    let header = &proposed.header_rlp;
    test.chain.verify_after(head.hash, attributes(&head), header, (due, taken), transactions).map(drop)
}

#[test]
fn what_is_due_comes_before_all_candidates_in_its_order_whatever_they_pay() {
    let test = TestChain::new();
    let due = [plain(2, 0), plain(1, 0), plain(2, 1)];
    let dear = signed(3, TxEip1559 { max_priority_fee_per_gas: 40, ..transfer(0, RECEIVER, 1) });
    let proposed = propose(&test, &due, std::slice::from_ref(&dear));
    assert_eq!(proposed.front, Front { taken: 3, included: vec![0, 1, 2] });
    assert_eq!(proposed.included, [0]);
    let transactions = [&due[..], std::slice::from_ref(&dear)].concat();
    assert_eq!(verify(&proposed, &due, 3, &transactions).map_err(|error| error.to_string()), Ok(()));
    let record = test.chain.finalize(proposed.hash).unwrap();
    assert_eq!(record.transactions.len(), 4);
}

#[test]
fn what_cannot_run_at_its_place_is_passed_over() {
    let test = TestChain::new();
    let due = [Bytes::from_static(b"junk"), plain(1, 1), plain(1, 0), plain(1, 0), plain(9, 0), plain(2, 0)];
    let proposed = propose(&test, &due, &[]);
    assert_eq!(proposed.front, Front { taken: 6, included: vec![2, 5] });
    let transactions = [due[2].clone(), due[5].clone()];
    assert!(verify(&proposed, &due, 6, &transactions).is_ok());
}

#[test]
fn nobody_leaves_out_or_adds_or_turns_around() {
    let test = TestChain::new();
    let due = [plain(2, 0), plain(1, 0)];
    let without = propose(&test, &due[..1], &[]);
    let refused = |proposed: &Proposed, taken, transactions: &[Bytes]| {
        verify(proposed, &due, taken, transactions).unwrap_err().to_string()
    };
    let text = refused(&without, 1, &due[..1]);
    assert!(text.contains("of 2 transactions that are due 2 can be settled, the block says 1"), "{text}");
    let text = refused(&without, 2, &due[..1]);
    assert!(text.contains("transaction 1 of those that are due stands here"), "{text}");
    let turned = propose(&test, &[due[1].clone(), due[0].clone()], &[]);
    let text = refused(&turned, 2, &[due[1].clone(), due[0].clone()]);
    assert!(text.contains("transaction 0"), "{text}");
    let before = propose(&test, &[plain(3, 0), due[0].clone(), due[1].clone()], &[]);
    let text = refused(&before, 2, &[plain(3, 0), due[0].clone(), due[1].clone()]);
    assert!(text.contains("transaction 0"), "{text}");
}

#[test]
fn what_the_block_has_no_room_for_comes_first_in_the_next_one() {
    let test = TestChain::new();
    let limit = test.chain.head().header.gas_limit;
    let each = crate::TRANSACTION_GAS_MAX;
    // A constructor that jumps to itself until its gas is gone.
    let endless = Bytes::from_static(&[0x5b, 0x60, 0x00, 0x56]);
    let spender = |nonce| signed(1, TxEip1559 { gas_limit: each, ..creation(nonce, endless.clone()) });
    let spenders: Vec<Bytes> = (0..limit / each).map(spender).collect();
    let due = [spenders, vec![asking(2, each), plain(3, 0)]].concat();
    let proposed = propose(&test, &due, &[plain(3, 1)]);
    let taken = due.len() - 2;
    assert_eq!(proposed.front.taken, taken, "the one that asks for more than is left, and what is behind it, wait");
    assert_eq!((proposed.included.len(), proposed.deferred.len()), (0, 1), "no other transaction goes before them");
    assert!(verify(&proposed, &due, taken, &due[..taken]).is_ok());
    let error = verify(&proposed, &due, taken, &[&due[..taken], &[plain(3, 1)]].concat()).unwrap_err().to_string();
    assert!(error.contains("2 transactions that are due come before it"), "{error}");
    test.chain.finalize(proposed.hash).unwrap();
    assert_eq!(propose(&test, &due[taken..], &[]).front.included.len(), 2);
}

#[test]
fn one_that_asks_for_more_than_any_block_has_is_passed_over() {
    let test = TestChain::new();
    let limit = test.chain.head().header.gas_limit;
    let proposed = propose(&test, &[asking(1, limit + 1), plain(2, 0)], &[]);
    assert_eq!(proposed.front, Front { taken: 2, included: vec![1] });
}

#[test]
fn a_block_that_is_pending_is_still_asked_how_much_it_settles() {
    let test = TestChain::new();
    let head = test.chain.head();
    let due = [plain(2, 0), Bytes::from_static(b"junk")];
    let proposed = propose(&test, &due, &[]);
    let say = |taken| {
        let header = &proposed.header_rlp;
        test.chain.verify_after(head.hash, attributes(&head), header, (&due, taken), &due[..1])
    };
    assert!(say(1).is_err(), "junk is settled, too");
    assert_eq!(say(2).unwrap(), proposed.hash);
}
