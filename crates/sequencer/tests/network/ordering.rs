//! What a healthy network promises.

use crate::cluster::{CHAIN_ID, Cluster};
use bytes::Bytes;
use sequencer::{Block, SubmitError, limits, mix_randomness, transaction_hash};

#[test]
fn ten_validators_order_large_blocks_that_go_in_parts() {
    let cluster = Cluster::start(10, 50);
    let payload = |seat: usize| bytes::Bytes::from(vec![seat as u8; 150_000]);
    for seat in [0, 4, 9] {
        cluster.seat(seat).submit(7, payload(seat)).unwrap();
    }
    let ordered = |seat: usize| -> Vec<bytes::Bytes> {
        let blocks = cluster.follow(seat, 1);
        let of = |block: &sequencer::Block| block.payload.transactions(7).iter().map(|t| t.payload().clone()).collect();
        blocks.iter().flat_map(|block| -> Vec<bytes::Bytes> { of(block) }).collect()
    };
    let mut height = 1;
    while ordered(0).len() < 3 {
        height += 1;
        cluster.wait_for(height);
    }
    let first = ordered(0);
    assert_eq!(first.len(), 3);
    for seat in 1..10 {
        assert_eq!(ordered(seat), first);
    }
}

#[test]
fn four_validators_agree_on_every_block() {
    let cluster = Cluster::start(4, 20);
    cluster.wait_for(10);
    let chain = cluster.follow(0, 1);
    assert!(chain.len() >= 10);
    for seat in 1..4 {
        assert_eq!(cluster.follow(seat, 1)[..10], chain[..10]);
    }
    for recorder in &cluster.recorders {
        assert_eq!(recorder.blocks().into_values().take(10).collect::<Vec<_>>(), chain[..10]);
    }
}

#[test]
fn blocks_keep_pace_and_continue_genesis() {
    let cluster = Cluster::start(4, 50);
    cluster.wait_for(8);
    let chain = cluster.follow(2, 1);
    let genesis = Block::genesis(CHAIN_ID, 1_000, Bytes::from(vec![0; 8]));
    assert_eq!(cluster.seat(1).genesis().unwrap(), genesis);
    assert_eq!(chain[0].parent, genesis.digest());
    assert_eq!(Some(chain[0].randomness), mix_randomness(&genesis.randomness, &chain[0].reveal));
    for pair in chain.windows(2) {
        assert!(pair[1].timestamp_millis >= pair[0].timestamp_millis + 50, "blocks are at least a pace apart");
        assert_ne!(pair[0].randomness, pair[1].randomness);
    }
}

#[test]
fn transactions_of_many_namespaces_are_ordered_and_read_back() {
    let cluster = Cluster::start(4, 20);
    let payload = |namespace: u64, i: u8| Bytes::from(vec![namespace as u8, i]);
    let mut sent = Vec::new();
    for namespace in [9, 1, 4] {
        for i in 0..20 {
            // Every validator hears of every transaction, as when a client posts to all.
            let hashes = (0..4).map(|seat| cluster.seat(seat).submit(namespace, payload(namespace, i)).unwrap());
            let hashes: Vec<_> = hashes.collect();
            assert!(hashes.iter().all(|hash| *hash == transaction_hash(namespace, &payload(namespace, i))));
            sent.push((namespace, payload(namespace, i)));
        }
    }
    let mut height = 1;
    let ordered = loop {
        cluster.wait_for(height);
        let chain = cluster.follow(3, 1);
        let count: usize = chain.iter().map(Block::transaction_count).sum();
        if count >= sent.len() {
            break chain;
        }
        height += 1;
    };
    for namespace in [9, 1, 4] {
        let read: Vec<Bytes> = ordered
            .iter()
            .flat_map(|block| block.payload.transactions(namespace))
            .map(|transaction| transaction.payload().clone())
            .collect();
        assert_eq!(read, (0..20).map(|i| payload(namespace, i)).collect::<Vec<_>>(), "once each, in order");
    }
    cluster.wait_for(ordered.len() as u64);
    assert!((0..4).all(|seat| cluster.seat(seat).status().pending == 0), "final transactions leave every mempool");
}

#[test]
fn a_transaction_sent_again_after_it_is_final_is_not_ordered_again() {
    let cluster = Cluster::start(1, 10);
    let sequencer = cluster.seat(0);
    sequencer.submit(7, Bytes::from_static(b"once")).unwrap();
    let mut height = 1;
    while cluster.follow(0, 1).iter().all(|block| block.transaction_count() == 0) {
        height += 1;
        cluster.wait_for(height);
    }
    sequencer.submit(7, Bytes::from_static(b"once")).unwrap();
    sequencer.submit(7, Bytes::from_static(b"twice")).unwrap();
    while cluster.follow(0, 1).iter().map(Block::transaction_count).sum::<usize>() < 2 {
        height += 1;
        cluster.wait_for(height);
    }
    let blocks = cluster.follow(0, 1);
    let read: Vec<_> =
        blocks.iter().flat_map(|b| b.payload.entries()).flat_map(|entry| entry.payloads().cloned()).collect();
    assert_eq!(read, [&b"once"[..], b"twice"]);
}

#[test]
fn a_bundle_is_ordered_whole_and_its_reader_needs_the_keys_alone() {
    let cluster = Cluster::start(4, 20);
    let members =
        vec![(7, Bytes::from_static(b"buy")), (9, Bytes::from_static(b"sell")), (7, Bytes::from_static(b"pay"))];
    let names: Vec<_> = (0..4).map(|seat| cluster.seat(seat).submit_bundle(members.clone()).unwrap()).collect();
    assert!(names.iter().all(|name| *name == names[0]), "it has one name");
    let mut height = 1;
    while cluster.follow(0, 1).iter().all(|block| block.transaction_count() == 0) {
        height += 1;
        cluster.wait_for(height);
    }
    cluster.wait_for(height + 4);
    let blocks = cluster.follow(1, 1);
    assert_eq!(blocks.iter().map(Block::transaction_count).sum::<usize>(), 3, "once, although all of them had it");
    let height = blocks.iter().find(|block| block.transaction_count() > 0).unwrap().height;

    // Everything that a reader of namespace 7 gets from a validator that it does not trust.
    let (block, certificate) = cluster.seat(2).block(height).unwrap().unwrap();
    let (header, proof) = (block.header().encode(), block.payload.prove_namespace(7).encode());
    let keys: Vec<_> = cluster.committee.keys().into_iter().map(Into::into).collect();
    let proof = proof::namespace::NamespaceProof::decode(&proof).unwrap();
    let trust = (cluster.committee.chain_id(), keys.as_slice());
    let (header, transactions) = proof::namespace::read(trust, (&header, &certificate), 7, &proof).unwrap();
    assert_eq!(transactions.iter().map(|t| t.to_vec()).collect::<Vec<_>>(), [b"buy".to_vec(), b"pay".to_vec()]);
    let bundle = block.payload.prove_bundle(&names[0]).unwrap();
    let found: Vec<_> = bundle.verify(header.bundles_root).unwrap().iter().map(|m| m.transaction.to_vec()).collect();
    assert_eq!(found, [b"buy".to_vec(), b"sell".to_vec(), b"pay".to_vec()]);
}

#[test]
fn transactions_beyond_the_size_limits_are_refused() {
    let cluster = Cluster::start(1, 20);
    let sequencer = cluster.seat(0);
    let largest = Bytes::from(vec![1; limits::TRANSACTION_BYTES_MAX]);
    let larger = Bytes::from(vec![1; limits::TRANSACTION_BYTES_MAX + 1]);
    sequencer.submit(1, largest).unwrap();
    assert_eq!(sequencer.submit(1, larger), Err(SubmitError::Size { bytes: 1_048_577 }));
    assert_eq!(sequencer.submit(1, Bytes::new()), Err(SubmitError::Size { bytes: 0 }));
}

#[test]
fn a_single_validator_is_a_network() {
    let cluster = Cluster::start(1, 10);
    cluster.wait_for(5);
    assert_eq!(cluster.committee.quorum(), 1);
    let status = cluster.seat(0).status();
    assert_eq!((status.seat, status.evidence), (Some(0), 0));
    assert!(cluster.follow(0, 1).len() >= 5);
}

#[test]
fn pages_of_final_blocks_are_bounded_and_start_where_asked() {
    let cluster = Cluster::start(1, 10);
    cluster.wait_for(6);
    let sequencer = cluster.seat(0);
    let heights = |from, max| -> Vec<u64> {
        sequencer.finalized(from, max).unwrap().into_iter().map(|certified| certified.height).collect()
    };
    assert_eq!(heights(0, 2), [1, 2], "genesis has no certificate");
    assert_eq!(heights(3, 3), [3, 4, 5]);
    assert_eq!(heights(u64::MAX, 3), [0; 0]);
    assert_eq!(heights(1, 0), [0; 0]);
}
