use super::*;
use crate::block::transaction_hash;
use crate::limits::LIFETIME_BLOCKS_DEFAULT;
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
    mempool.candidates(&HashSet::new(), bytes_max, 0).entries
}

/// Of one byte each.
fn tagged(namespace: u64, tags: &[u8]) -> Entry {
    Entry::new(namespace, tags.iter().map(|tag| payload(1, *tag)))
}

/// A final block with these transactions.
fn holding(namespace: u64, transactions: impl IntoIterator<Item = Bytes>) -> Payload {
    Payload::new(Content { entries: vec![Entry::new(namespace, transactions)], bundles: vec![] }).unwrap()
}

/// Where the transactions of each bundle stand.
fn positions(content: &Content) -> Vec<Vec<(u64, u32)>> {
    let of = |bundle: &Bundle| bundle.positions.iter().map(|position| (position.namespace, position.index)).collect();
    content.bundles.iter().map(of).collect()
}

#[test]
fn order_within_a_namespace_is_that_of_arrival() {
    let mempool = Mempool::new(Limits::default());
    for (namespace, tag) in [(5, 3), (1, 9), (5, 1), (1, 2), (5, 2)] {
        mempool.submit(namespace, payload(1, tag)).unwrap();
    }
    let expected = [(1, vec![9, 2]), (5, vec![3, 1, 2])];
    let expected: Vec<_> = expected.into_iter().map(|(namespace, tags)| tagged(namespace, &tags)).collect();
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
    mempool.finalized(1, &holding(1, [payload(4, 1)]));
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
    assert_eq!(candidates.entries, vec![Entry::new(1, [payload(4, 1)])]);
    assert!(mempool.candidates(&hashes.into_iter().collect(), PLENTY, 0).entries.is_empty());
}

#[test]
fn a_busy_namespace_cannot_crowd_out_a_quiet_one() {
    let mempool = Mempool::new(Limits::default());
    fill(&mempool, 1, 1000, 0..200);
    fill(&mempool, 2, 100, 0..3);
    let candidates = all(&mempool, 20_000);
    assert_eq!(candidates[1].transactions().len(), 3, "all of the quiet one");
    assert!(candidates[0].transactions().len() >= 18, "the rest of the room is used");
}

#[test]
fn large_transactions_take_no_more_bytes_than_small_ones() {
    let mempool = Mempool::new(Limits::default());
    fill(&mempool, 1, 10_000, 0..100);
    fill(&mempool, 2, 500, 0..=255);
    let [large, small] = [0, 1].map(|i| all(&mempool, 100_000)[i].payloads().map(Bytes::len).sum::<usize>());
    assert!(large.abs_diff(small) <= 11_000, "{large} and {small} bytes");
}

#[test]
fn turns_rotate_when_there_is_room_for_one_namespace_only() {
    let mempool = Mempool::new(Limits::default());
    (1..5).for_each(|namespace| fill(&mempool, namespace, 50, [0]));
    let served = |turn| mempool.candidates(&HashSet::new(), 80, turn).entries[0].namespace();
    assert_eq!([0, 1, 2, 3, 4].map(served), [1, 2, 3, 4, 1]);
}

#[test]
fn a_bundle_is_offered_whole_in_its_order() {
    let mempool = Mempool::new(Limits::default());
    mempool.submit(5, payload(1, 1)).unwrap();
    let name = mempool.submit_bundle(vec![(9, payload(1, 2)), (5, payload(1, 3)), (9, payload(1, 4))]).unwrap();
    mempool.submit(5, payload(1, 5)).unwrap();
    let content = mempool.candidates(&HashSet::new(), PLENTY, 0);
    assert_eq!(content.entries, vec![tagged(5, &[1, 3, 5]), tagged(9, &[2, 4])]);
    assert_eq!(positions(&content), [vec![(9, 0), (5, 1), (9, 1)]]);
    assert_eq!(content.bundle_hash(&content.bundles[0]), Some(name));
    assert_eq!(mempool.len(), 5);
}

#[test]
fn the_same_bundle_waits_once_beside_its_transactions() {
    let mempool = Mempool::new(Limits::default());
    let members = vec![(5, payload(1, 1)), (9, payload(1, 2))];
    let name = mempool.submit_bundle(members.clone()).unwrap();
    assert_eq!(mempool.submit_bundle(members.clone()), Ok(name));
    assert_ne!(
        mempool.submit_bundle(members.iter().rev().cloned().collect()),
        Ok(name),
        "another order is another bundle"
    );
    mempool.submit(5, payload(1, 1)).unwrap();
    assert_eq!(mempool.len(), 5);
    // A block with both bundles and nothing else makes all of them final.
    let content = mempool.candidates(&HashSet::new(), PLENTY, 0);
    mempool.finalized(1, &Payload::new(content).unwrap());
    assert_eq!((mempool.len(), mempool.state.lock().bytes), (0, 0));
    assert_eq!(mempool.submit_bundle(members), Ok(name));
    assert_eq!(mempool.len(), 0, "what is final is not queued again");
}

#[test]
fn a_bundle_that_does_not_fit_is_left_out_whole_and_others_are_not() {
    let mempool = Mempool::new(Limits::default());
    mempool.submit_bundle(vec![(5, payload(600, 1)), (9, payload(600, 2))]).unwrap();
    mempool.submit(5, payload(100, 3)).unwrap();
    mempool.submit(9, payload(100, 4)).unwrap();
    let content = mempool.candidates(&HashSet::new(), 1_000, 0);
    assert_eq!(content.entries, vec![Entry::new(5, [payload(100, 3)]), Entry::new(9, [payload(100, 4)])]);
    assert_eq!(content.bundles, []);
    assert_eq!(mempool.candidates(&HashSet::new(), 2_000, 0).bundles.len(), 1);
}

#[test]
fn a_bundle_overtakes_nothing_and_holds_nothing_up() {
    let mempool = Mempool::new(Limits::default());
    fill(&mempool, 5, 100, 0..10);
    // Through a quiet namespace, nobody gets to the front of a busy one.
    mempool.submit_bundle(vec![(9, payload(1, 1)), (5, payload(1, 2))]).unwrap();
    fill(&mempool, 9, 1, [3]);
    let content = mempool.candidates(&HashSet::new(), 600, 0);
    assert_eq!(content.bundles, []);
    assert_eq!(content.entries[1], tagged(9, &[3]), "what came after it in the quiet one is served");
    let content = mempool.candidates(&HashSet::new(), PLENTY, 0);
    assert_eq!(positions(&content), [vec![(9, 1), (5, 10)]]);
}

#[test]
fn what_an_ancestor_holds_of_a_bundle_is_not_offered_again() {
    let mempool = Mempool::new(Limits::default());
    let name = mempool.submit_bundle(vec![(5, payload(1, 1)), (9, payload(1, 2))]).unwrap();
    assert_eq!(mempool.candidates(&HashSet::from([name]), PLENTY, 0), Content::default());
    let alone = HashSet::from([transaction_hash(5, &payload(1, 1))]);
    assert_eq!(
        mempool.candidates(&alone, PLENTY, 0).bundles.len(),
        1,
        "one of its transactions alone is not the bundle"
    );
}

#[test]
fn bundles_are_bounded_by_size_and_by_room() {
    let mempool = Mempool::new(small());
    let of = |count: usize, size: usize| (0..count).map(|tag| (1, payload(size, tag as u8))).collect::<Vec<_>>();
    for (count, size) in [(0, 1), (1, 1), (65, 1), (2, 0), (2, BUNDLE_BYTES_MAX / 2 + 1)] {
        let refused = SubmitError::Bundle { transactions: count, bytes: count * size };
        assert_eq!(mempool.submit_bundle(of(count, size)), Err(refused));
    }
    let full = SubmitError::NamespaceFull { namespace: 1, transactions: 0, bytes: 0 };
    assert_eq!(mempool.submit_bundle(of(4, 1)), Err(full.clone()), "four transactions where three may wait");
    assert_eq!(mempool.submit_bundle(of(2, 21)), Err(full), "42 bytes where 40 may wait");
    let three = vec![(1, payload(1, 0)), (2, payload(1, 0)), (3, payload(1, 0))];
    assert!(matches!(mempool.submit_bundle(three), Err(SubmitError::Full { .. })), "three namespaces where two may be");
    let name = mempool.submit_bundle(of(3, 10)).unwrap();
    mempool.reject(&[name]);
    assert_eq!(mempool.len(), 0);
    assert!(mempool.submit_bundle(of(2, 20)).is_ok(), "room returned");
}

/// What is sent in the property test: a transaction, or a bundle.
type Sent = Vec<(u64, usize, u8)>;

fn any_sent() -> impl Strategy<Value = Sent> {
    proptest::collection::vec((1u64..6, 1usize..300, any::<u8>()), 1..5)
}

proptest! {
    #[test]
    fn candidates_always_fit_and_stand_in_a_block(
        sent in proptest::collection::vec(any_sent(), 0..40),
        bytes_max in 8usize..8_000,
        turn in 0u64..LIFETIME_BLOCKS_DEFAULT,
    ) {
        let mempool = Mempool::new(Limits::default());
        for members in sent {
            let mut members: Vec<_> = members.into_iter().map(|(namespace, size, tag)| (namespace, payload(size, tag))).collect();
            match members.len() {
                1 => mempool.submit(members[0].0, members.remove(0).1).unwrap(),
                _ => mempool.submit_bundle(members).unwrap(),
            };
        }
        let content = mempool.candidates(&HashSet::new(), bytes_max, turn);
        let payload = Payload::new(content).unwrap();
        prop_assert!(payload.encoded().len() <= bytes_max);
        let count = payload.transaction_count();
        let before = mempool.len();
        mempool.finalized(1, &payload);
        prop_assert!(mempool.len() <= before - count.min(before), "what was offered leaves");
        if bytes_max > 7_900 && before == count {
            prop_assert_eq!(mempool.len(), 0);
        }
    }
}
