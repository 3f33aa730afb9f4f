//! The trie against its definition: a rebuild from the sorted values, written as the yellow paper (appendix D) says it,
//! without any code that the trie itself uses.

use super::tests::{Checked, Update};
use super::*;
use alloy_primitives::keccak256;
use alloy_rlp::Encodable;
use alloy_trie::proof::verify_proof;
use proptest::prelude::*;

/// Root over values by key, built from nothing.
fn naive_root(values: impl IntoIterator<Item = (B256, Vec<u8>)>) -> B256 {
    let mut entries: Vec<(Vec<u8>, Vec<u8>)> = values.into_iter().map(|(key, value)| (nibbles(&key), value)).collect();
    entries.sort();
    match entries.is_empty() {
        true => keccak256([0x80]),
        false => keccak256(naive_node(&entries, 0)),
    }
}

fn nibbles(key: &B256) -> Vec<u8> {
    key.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).collect()
}

/// c(J, i): the RLP of the node for entries that share their first `depth` nibbles.
fn naive_node(entries: &[(Vec<u8>, Vec<u8>)], depth: usize) -> Vec<u8> {
    let (first, last) = (&entries[0].0, &entries[entries.len() - 1].0);
    if let [(key, value)] = entries {
        return list(&[string(&compact(&key[depth..], true)), string(value)]);
    }
    let shared = (depth..64).take_while(|at| first[*at] == last[*at]).count();
    if shared > 0 {
        let child = reference(naive_node(entries, depth + shared));
        return list(&[string(&compact(&first[depth..depth + shared], false)), child]);
    }
    let mut items: Vec<Vec<u8>> = (0..16)
        .map(|nibble| {
            let below: Vec<_> = entries.iter().filter(|(key, _)| key[depth] == nibble).cloned().collect();
            if below.is_empty() { string(&[]) } else { reference(naive_node(&below, depth + 1)) }
        })
        .collect();
    items.push(string(&[]));
    list(&items)
}

/// n(J, i): a node of less than 32 bytes stands for itself, a longer one is named by its hash.
fn reference(node: Vec<u8>) -> Vec<u8> {
    if node.len() < 32 { node } else { string(keccak256(node).as_slice()) }
}

/// HP(x, t): nibbles as bytes, with a flag for the kind of node and one for an odd number.
fn compact(nibbles: &[u8], leaf: bool) -> Vec<u8> {
    let flag = if leaf { 2 } else { 0 };
    let (first, rest) = match nibbles.len() % 2 {
        1 => ((flag + 1) << 4 | nibbles[0], &nibbles[1..]),
        _ => (flag << 4, nibbles),
    };
    std::iter::once(first).chain(rest.chunks(2).map(|pair| pair[0] << 4 | pair[1])).collect()
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let mut rlp = Vec::new();
    bytes.encode(&mut rlp);
    rlp
}

fn list(items: &[Vec<u8>]) -> Vec<u8> {
    let payload_length = items.iter().map(Vec::len).sum();
    let mut rlp = Vec::new();
    alloy_rlp::Header { list: true, payload_length }.encode(&mut rlp);
    rlp.extend(items.concat());
    rlp
}

/// A key that shares its first `shared` nibbles with all others of its family and differs from there on.
fn key_of_family(family: u8, shared: usize, rest: u64) -> B256 {
    let mut own = nibbles(&keccak256([family]));
    let tail = nibbles(&keccak256(rest.to_be_bytes()));
    own[shared..].copy_from_slice(&tail[shared..]);
    own.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect::<Vec<u8>>().as_slice().try_into().expect("32 bytes")
}

/// Keys with common prefixes of every length up to 63 nibbles: where the tails agree, so do the keys.
fn family_key() -> impl Strategy<Value = B256> {
    let shared = prop_oneof![Just(0), Just(1), Just(2), 3usize..62, Just(62), Just(63)];
    (0u8..3, shared, 0u64..12).prop_map(|(family, shared, rest)| key_of_family(family, shared, rest))
}

/// Values of one byte to two hashes: around the length at which a node no longer fits into its parent.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![prop::collection::vec(any::<u8>(), 1..4), prop::collection::vec(any::<u8>(), 24..70)]
        .prop_map(|value| string(&value))
}

fn batches() -> impl Strategy<Value = Vec<Vec<Update>>> {
    let update = (family_key(), prop::option::weighted(0.65, value()));
    prop::collection::vec(prop::collection::vec(update, 0..30), 1..8)
}

fn check_root(trie: &Checked) {
    assert_eq!(trie.root, naive_root(trie.values.clone()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_commit_gives_the_root_of_the_definition(batches in batches()) {
        let mut trie = Checked::new();
        for batch in batches {
            trie.apply(&batch);
            check_root(&trie);
            trie.check();
        }
    }

    #[test]
    fn how_updates_are_grouped_into_commits_does_not_matter(batches in batches()) {
        let (mut grouped, mut single, mut whole) = (Checked::new(), Checked::new(), Checked::new());
        batches.iter().for_each(|batch| grouped.apply(batch));
        batches.iter().flatten().for_each(|update| single.apply(std::slice::from_ref(update)));
        whole.apply(&batches.concat());
        prop_assert_eq!(grouped.root, single.root);
        prop_assert_eq!(grouped.root, whole.root);
        prop_assert_eq!(&grouped.memory.0, &single.memory.0);
        prop_assert_eq!(&grouped.memory.0, &whole.memory.0);
    }

    #[test]
    fn the_order_of_updates_to_different_keys_does_not_matter(batches in batches(), seed in any::<u64>()) {
        let updates: std::collections::BTreeMap<_, _> = batches.concat().into_iter().collect();
        let mut shuffled: Vec<Update> = updates.clone().into_iter().collect();
        shuffled.sort_by_key(|(key, _)| keccak256([key.as_slice(), &seed.to_be_bytes()].concat()));
        let (mut sorted, mut mixed) = (Checked::new(), Checked::new());
        sorted.apply(&updates.into_iter().collect::<Vec<_>>());
        mixed.apply(&shuffled);
        prop_assert_eq!(sorted.root, mixed.root);
    }

    #[test]
    fn undoing_a_batch_gives_back_root_and_nodes(before in batches(), batch in batches()) {
        let mut trie = Checked::new();
        before.iter().for_each(|batch| trie.apply(batch));
        let (root, nodes, values) = (trie.root, trie.memory.0.clone(), trie.values.clone());
        let batch = batch.concat();
        trie.apply(&batch);
        let undo: Vec<Update> = batch.iter().map(|(key, _)| (*key, values.get(key).cloned())).collect();
        trie.apply(&undo);
        prop_assert_eq!(trie.root, root);
        prop_assert_eq!(&trie.memory.0, &nodes);
    }

    #[test]
    fn keys_there_and_not_there_are_proven(batches in batches(), others in prop::collection::vec(family_key(), 8)) {
        let mut trie = Checked::new();
        batches.iter().for_each(|batch| trie.apply(batch));
        let present: Vec<B256> = trie.values.keys().copied().collect();
        present.iter().chain(&others).for_each(|key| trie.check_proof(key));
    }

    #[test]
    fn a_changed_proof_proves_nothing(batches in batches(), key in family_key(), at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut trie = Checked::new();
        batches.iter().for_each(|batch| trie.apply(batch));
        let mut proof = prove(&&trie.memory, trie.root, &key).unwrap();
        if !proof.is_empty() {
            let node = at.index(proof.len());
            let mut bytes = proof[node].to_vec();
            let byte = at.index(bytes.len());
            bytes[byte] ^= flip;
            proof[node] = bytes.into();
            let value = trie.values.get(&key).cloned();
            prop_assert!(verify_proof(trie.root, Nibbles::unpack(key), value, &proof).is_err());
        }
    }

    #[test]
    fn a_proof_of_another_value_is_refused(batches in batches(), key in family_key(), other in value()) {
        let mut trie = Checked::new();
        batches.iter().for_each(|batch| trie.apply(batch));
        prop_assume!(trie.values.get(&key) != Some(&other));
        let proof = prove(&&trie.memory, trie.root, &key).unwrap();
        prop_assert!(verify_proof(trie.root, Nibbles::unpack(key), Some(other), &proof).is_err());
        if trie.values.contains_key(&key) {
            prop_assert!(verify_proof(trie.root, Nibbles::unpack(key), None, &proof).is_err());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Batches beyond the size from which on nodes are hashed in parallel, on a trie of a few thousand.
    #[test]
    fn large_batches_give_the_root_of_the_definition(
        sizes in prop::collection::vec((200u64..1_500, 0.2f64..0.9), 2..5),
        salt in any::<u64>(),
    ) {
        let mut trie = Checked::new();
        for (round, (size, kept)) in sizes.into_iter().enumerate() {
            let update = |number: u64| {
                let key = keccak256(((number * 7 % 2_000) ^ salt).to_be_bytes());
                let coin = keccak256([key.as_slice(), &[round as u8]].concat());
                let kept = f64::from(coin[0]) < kept * 256.0;
                (key, kept.then(|| string(&coin[..1 + usize::from(coin[1] % 32)])))
            };
            trie.apply(&(0..size).map(update).collect::<Vec<_>>());
            check_root(&trie);
        }
        trie.check();
    }
}

#[test]
fn the_definition_agrees_with_known_roots() {
    assert_eq!(naive_root([]), EMPTY_ROOT_HASH);
    let entries = [(keccak256([1]), vec![1]), (keccak256([2]), vec![2; 40])];
    let mut trie = Checked::new();
    trie.apply(&entries.clone().map(|(key, value)| (key, Some(value))));
    assert_eq!(naive_root(entries), trie.oracle());
}
