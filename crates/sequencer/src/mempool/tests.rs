use super::*;
use proptest::prelude::*;

const PLENTY: usize = 1 << 20;

fn small() -> Limits {
    Limits {
        namespaces: 2,
        namespace_transactions: 3,
        namespace_bytes: 40,
        transactions: 5,
        bytes: 60,
        ..Limits::default()
    }
}

fn payload(size: usize, tag: u8) -> Bytes {
    Bytes::from(vec![tag; size])
}

/// Queues one payload of `size` for every tag.
fn fill(mempool: &Mempool, namespace: u64, size: usize, tags: impl IntoIterator<Item = u8>) {
    for tag in tags {
        mempool.submit(namespace, payload(size, tag)).unwrap();
    }
}

fn all(mempool: &Mempool, bytes_max: usize) -> Vec<Entry> {
    mempool.candidates(&HashSet::new(), bytes_max, 0)
}

#[test]
fn order_within_a_namespace_is_that_of_arrival() {
    let mempool = Mempool::new(Limits::default());
    for (namespace, tag) in [(5, 3), (1, 9), (5, 1), (1, 2), (5, 2)] {
        mempool.submit(namespace, payload(1, tag)).unwrap();
    }
    let expected = [(1, vec![9, 2]), (5, vec![3, 1, 2])];
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(namespace, tags)| Entry { namespace, transactions: tags.iter().map(|t| payload(1, *t)).collect() })
        .collect();
    assert_eq!(all(&mempool, PLENTY), expected);
    assert_eq!(all(&mempool, PLENTY), expected, "candidates stay until they are final");
}

#[test]
fn the_same_transaction_waits_once() {
    let mempool = Mempool::new(Limits::default());
    let first = mempool.submit(1, payload(4, 1)).unwrap();
    assert_eq!(mempool.submit(1, payload(4, 1)), Ok(first));
    assert_eq!(mempool.len(), 1);
    assert_ne!(mempool.submit(2, payload(4, 1)), Ok(first), "another namespace is another transaction");
    assert_eq!(mempool.len(), 2);
}

#[test]
fn final_and_rejected_transactions_leave() {
    let mempool = Mempool::new(Limits::default());
    let hashes: Vec<_> = (0..3).map(|tag| mempool.submit(1, payload(4, tag)).unwrap()).collect();
    mempool.reject(&hashes[..1]);
    mempool.finalized(&[Entry { namespace: 1, transactions: vec![payload(4, 1)] }]);
    assert_eq!(mempool.len(), 1);
    mempool.submit(1, payload(4, 1)).unwrap();
    assert_eq!(mempool.len(), 1, "what is final is not queued again");
    mempool.submit(1, payload(4, 0)).unwrap();
    assert_eq!(mempool.len(), 2, "what was rejected may be tried again");
}

#[test]
fn room_returns_when_transactions_leave() {
    let mempool = Mempool::new(small());
    let hashes: Vec<_> = (0..3).map(|tag| mempool.submit(1, payload(10, tag)).unwrap()).collect();
    let full = SubmitError::NamespaceFull { namespace: 1, transactions: 3, bytes: 30 };
    assert_eq!(mempool.submit(1, payload(1, 9)), Err(full));
    mempool.reject(&hashes);
    assert_eq!(mempool.len(), 0);
    mempool.submit(1, payload(40, 9)).unwrap();
    let full = SubmitError::NamespaceFull { namespace: 1, transactions: 1, bytes: 40 };
    assert_eq!(mempool.submit(1, payload(1, 8)), Err(full));
}

#[test]
fn totals_are_bounded_over_all_namespaces() {
    let mempool = Mempool::new(small());
    mempool.submit(1, payload(30, 1)).unwrap();
    mempool.submit(2, payload(30, 1)).unwrap();
    let full = SubmitError::Full { transactions: 2, bytes: 60, namespaces: 2 };
    assert_eq!(mempool.submit(2, payload(1, 2)), Err(full));

    let mempool = Mempool::new(small());
    mempool.submit(1, payload(1, 1)).unwrap();
    mempool.submit(2, payload(1, 1)).unwrap();
    let full = SubmitError::Full { transactions: 2, bytes: 2, namespaces: 2 };
    assert_eq!(mempool.submit(3, payload(1, 1)), Err(full), "a third namespace");

    for (namespace, tag) in [(1, 2), (1, 3), (2, 2)] {
        mempool.submit(namespace, payload(1, tag)).unwrap();
    }
    let full = SubmitError::Full { transactions: 5, bytes: 5, namespaces: 2 };
    assert_eq!(mempool.submit(2, payload(1, 3)), Err(full), "a sixth transaction");
}

#[test]
fn sizes_outside_the_limits_are_refused_with_the_value() {
    let mempool = Mempool::new(Limits::default());
    assert_eq!(mempool.submit(1, Bytes::new()), Err(SubmitError::Size { bytes: 0 }));
    let over = TRANSACTION_BYTES_MAX + 1;
    assert_eq!(mempool.submit(1, payload(over, 0)), Err(SubmitError::Size { bytes: over }));
    mempool.submit(1, payload(1, 0)).unwrap();
    mempool.submit(1, payload(TRANSACTION_BYTES_MAX, 0)).unwrap();
}

#[test]
fn what_an_ancestor_holds_is_not_offered_again() {
    let mempool = Mempool::new(Limits::default());
    let hashes: Vec<_> = (0..3).map(|tag| mempool.submit(1, payload(4, tag)).unwrap()).collect();
    let ordered = HashSet::from([hashes[0], hashes[2]]);
    let candidates = mempool.candidates(&ordered, PLENTY, 0);
    assert_eq!(candidates, vec![Entry { namespace: 1, transactions: vec![payload(4, 1)] }]);
    assert!(mempool.candidates(&hashes.into_iter().collect(), PLENTY, 0).is_empty());
}

#[test]
fn a_busy_namespace_cannot_crowd_out_a_quiet_one() {
    let mempool = Mempool::new(Limits::default());
    fill(&mempool, 1, 1000, 0..200);
    fill(&mempool, 2, 100, 0..3);
    let candidates = all(&mempool, 20_000);
    assert_eq!(candidates[1].transactions.len(), 3, "all of the quiet one");
    assert!(candidates[0].transactions.len() >= 18, "the rest of the room is used");
}

#[test]
fn large_transactions_take_no_more_bytes_than_small_ones() {
    let mempool = Mempool::new(Limits::default());
    fill(&mempool, 1, 10_000, 0..100);
    fill(&mempool, 2, 500, 0..=255);
    let [large, small] = [0, 1].map(|i| all(&mempool, 100_000)[i].counted_bytes());
    assert!(large.abs_diff(small) <= 11_000, "{large} and {small} bytes");
}

#[test]
fn turns_rotate_when_there_is_room_for_one_namespace_only() {
    let mempool = Mempool::new(Limits::default());
    (0..4).for_each(|namespace| fill(&mempool, namespace, 50, [0]));
    let served = |turn| mempool.candidates(&HashSet::new(), 80, turn)[0].namespace;
    assert_eq!([0, 1, 2, 3, 4].map(served), [0, 1, 2, 3, 0]);
}

#[test]
fn memory_of_final_transactions_is_bounded() {
    let mempool = Mempool::new(Limits::default());
    for i in 0..=RECENT_TRANSACTIONS_MAX as u64 {
        mempool.finalized(&[Entry { namespace: i, transactions: vec![payload(1, 0)] }]);
    }
    let state = mempool.state.lock();
    assert_eq!((state.recent.len(), state.recent_order.len()), (RECENT_TRANSACTIONS_MAX, RECENT_TRANSACTIONS_MAX));
    assert!(!state.recent.contains(&transaction_hash(0, &payload(1, 0))), "the oldest is forgotten first");
}

proptest! {
    #[test]
    fn candidates_always_fit_and_stand_in_a_block(
        sent in proptest::collection::vec((0u64..5, 1usize..300, any::<u8>()), 0..60),
        bytes_max in 0usize..8_000,
        turn: u64,
    ) {
        let mempool = Mempool::new(Limits::default());
        sent.into_iter().for_each(|(namespace, size, tag)| fill(&mempool, namespace, size, [tag]));
        let candidates = mempool.candidates(&HashSet::new(), bytes_max, turn);
        prop_assert!(crate::block::counted_bytes(&candidates) <= bytes_max);
        prop_assert_eq!(crate::block::check_entries(&candidates), Ok(()));
    }
}
