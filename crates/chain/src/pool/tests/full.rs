//! What happens when the pool is full.

use super::*;

fn priced(account: u8, nonce: u64, tip: u128) -> PooledTransaction {
    of(Address::repeat_byte(account), TxEip1559 { max_priority_fee_per_gas: tip, ..template(nonce) })
}

fn small(transactions: usize) -> Pool {
    pool_of(PoolLimits { transactions, sender_transactions: transactions, ..Default::default() })
}

fn add(pool: &Pool, account: u8, nonce: u64, tip: u128) -> Result<Arc<PooledTransaction>, PoolError> {
    pool.add(priced(account, nonce, tip), RICH, HEAD)
}

fn waiting(pool: &Pool) -> Vec<(u8, u64)> {
    let of_sender = |content: &SenderContent| {
        let all = content.pending.iter().chain(&content.queued);
        all.map(|tx| (tx.sender[0], tx.nonce())).collect::<Vec<_>>()
    };
    pool.content(None).iter().flat_map(of_sender).collect()
}

#[test]
fn the_cheapest_leaves_for_one_that_pays_more() {
    let pool = small(3);
    [(1, 5), (2, 3), (3, 4)].into_iter().for_each(|(account, tip)| drop(add(&pool, account, 0, tip).unwrap()));
    add(&pool, 4, 0, 4).unwrap();
    assert_eq!(waiting(&pool), [(1, 0), (3, 0), (4, 0)]);
    // Among equals the youngest leaves.
    add(&pool, 5, 0, 5).unwrap();
    assert_eq!(waiting(&pool), [(1, 0), (3, 0), (5, 0)]);
    assert_eq!(pool.pending_nonce(&Address::repeat_byte(2), 0), 0);
}

#[test]
fn a_newcomer_that_pays_no_more_is_told_what_would_do() {
    let pool = small(2);
    [(1, 5), (2, 3)].into_iter().for_each(|(account, tip)| drop(add(&pool, account, 0, tip).unwrap()));
    let error = add(&pool, 3, 0, 3).unwrap_err();
    let bytes = pool.bytes();
    let expected = format!(
        "txpool is full: 2 of 2 transactions, {bytes} of 134217728 bytes; this one pays 3 wei per gas over the base fee \
         1000000000 (the least of it and its sender's lower nonces), pay at least 4 wei (maxPriorityFeePerGas 4, \
         maxFeePerGas 1000000004)"
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(waiting(&pool), [(1, 0), (2, 0)]);
    add(&pool, 3, 0, 4).unwrap();
    assert_eq!(waiting(&pool), [(1, 0), (3, 0)]);
}

#[test]
fn the_base_fee_decides_who_is_cheapest() {
    let pool = small(2);
    let capped = TxEip1559 { max_fee_per_gas: 2 * GWEI, max_priority_fee_per_gas: GWEI, ..template(0) };
    pool.add(of(Address::repeat_byte(1), capped), RICH, HEAD).unwrap();
    add(&pool, 2, 0, GWEI / 2).unwrap();
    // At 1 gwei the second pays less, at 1.8 gwei the first.
    let dear = HeadState { base_fee: 1_800_000_000, ..HEAD };
    pool.add(priced(3, 0, GWEI), RICH, dear).unwrap();
    assert_eq!(waiting(&pool), [(2, 0), (3, 0)]);
}

#[test]
fn only_the_last_nonce_of_a_sender_leaves() {
    let pool = small(4);
    [(1, 0, 1), (1, 1, 50), (1, 2, 60), (2, 0, 10)]
        .into_iter()
        .for_each(|(a, n, t)| drop(add(&pool, a, n, t).unwrap()));
    // The dear ones behind the cheap one can run no earlier than it, so they are worth no more.
    add(&pool, 3, 0, 2).unwrap();
    assert_eq!(waiting(&pool), [(1, 0), (1, 1), (2, 0), (3, 0)]);
    assert_eq!(pool.status(), (4, 0));
}

#[test]
fn nobody_displaces_others_from_behind_a_cheap_transaction_of_its_own() {
    let pool = small(2);
    [(1, 0, 1), (2, 0, 10)].into_iter().for_each(|(a, n, t)| drop(add(&pool, a, n, t).unwrap()));
    let error = add(&pool, 1, 1, 1_000).unwrap_err();
    assert!(matches!(error, PoolError::Full { price: 1, price_min: 2, .. }), "{error}");
    assert_eq!(waiting(&pool), [(1, 0), (2, 0)]);
}

#[test]
fn what_cannot_run_leaves_before_what_can() {
    let pool = small(3);
    [(1, 1, 100), (1, 2, 100), (2, 0, 1)].into_iter().for_each(|(a, n, t)| drop(add(&pool, a, n, t).unwrap()));
    add(&pool, 3, 0, 0).unwrap();
    assert_eq!(waiting(&pool), [(1, 1), (2, 0), (3, 0)]);
    // Behind a gap one must pay more than another one behind a gap, and displaces none that can run.
    assert!(matches!(add(&pool, 4, 1, 100), Err(PoolError::Full { price: 100, price_min: 101, .. })));
    add(&pool, 4, 1, 101).unwrap();
    add(&pool, 5, 0, 1).unwrap();
    let error = add(&pool, 6, 7, 1_000).unwrap_err();
    assert!(error.to_string().ends_with("all can run; nonce 7 cannot before nonce 0, send nonce 0 first"), "{error}");
    assert_eq!(waiting(&pool), [(2, 0), (3, 0), (5, 0)]);
}

#[test]
fn a_replacement_needs_no_room() {
    let pool = small(2);
    [(1, 0, 5), (2, 0, 3)].into_iter().for_each(|(a, n, t)| drop(add(&pool, a, n, t).unwrap()));
    let dearer = TxEip1559 { max_fee_per_gas: 11 * GWEI, max_priority_fee_per_gas: 4, ..template(0) };
    pool.add(of(Address::repeat_byte(2), dearer), RICH, HEAD).unwrap();
    assert_eq!(waiting(&pool), [(1, 0), (2, 0)]);
    // The books follow: now 4 is the least that waits.
    assert!(matches!(add(&pool, 3, 0, 4), Err(PoolError::Full { price_min: 5, .. })));
}

#[test]
fn the_pool_is_bounded_in_bytes_and_a_refusal_changes_nothing() {
    let limit = crate::TRANSACTION_BYTES_MAX;
    let pool = pool_of(PoolLimits { bytes: limit, ..Default::default() });
    let big = |account: u8, tip: u128, length: usize| {
        let tx = TxEip1559 { max_priority_fee_per_gas: tip, input: vec![0; length].into(), ..template(0) };
        of(Address::repeat_byte(account), tx)
    };
    for (account, tip) in [(1, 5), (2, 3), (3, 9)] {
        pool.add(big(account, tip, 40_000), RICH, HEAD).unwrap();
    }
    let before = (waiting(&pool), pool.bytes());
    // It would have to displace the third, too, which pays more.
    let error = pool.add(big(4, 8, limit - 200), RICH, HEAD).unwrap_err();
    assert!(matches!(error, PoolError::Full { count: 1, price_min: 10, .. }), "{error}");
    assert_eq!((waiting(&pool), pool.bytes()), before);
    pool.add(big(4, 8, 80_000), RICH, HEAD).unwrap();
    assert_eq!(waiting(&pool), [(3, 0), (4, 0)]);
    assert!(pool.bytes() <= limit);
}
