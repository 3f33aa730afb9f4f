use super::*;
use crate::merkle::Tree;
use alloy_primitives::keccak256;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What it does, and how.
type Change = (&'static str, fn(&mut Vec<Bytes>));

type Block = BTreeMap<u64, Vec<Bytes>>;

/// First byte of the first section; any will do for a proof.
const FIRST: u32 = 100;

/// The leaves by the text of the module, with nothing of its code.
fn naive_leaves(block: &Block) -> Vec<NamespaceLeaf> {
    let mut start = FIRST;
    let leaf = |(namespace, transactions): (&u64, &Vec<Bytes>)| {
        let hash = |bytes: &Bytes| {
            B256::from_slice(&Sha256::digest([namespace.to_be_bytes().as_slice(), bytes.as_ref()].concat()))
        };
        let size: usize = 4 + transactions.iter().map(|transaction| 4 + transaction.len()).sum::<usize>();
        let begin = start;
        start += size as u32;
        NamespaceLeaf {
            namespace: *namespace,
            transactions_root: naive_tree(&transactions.iter().map(hash).collect::<Vec<_>>()),
            transactions: transactions.len() as u32,
            start: begin,
            end: start,
        }
    };
    block.iter().map(leaf).collect()
}

fn naive_tree(leaves: &[B256]) -> B256 {
    match leaves {
        [] => B256::ZERO,
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            keccak256([&[1], naive_tree(left).as_slice(), naive_tree(right).as_slice()].concat())
        }
    }
}

fn naive_root(block: &Block) -> B256 {
    let hash = |leaf: &NamespaceLeaf| {
        keccak256(
            [
                &[2],
                leaf.namespace.to_be_bytes().as_slice(),
                leaf.transactions_root.as_slice(),
                &leaf.transactions.to_be_bytes(),
                &leaf.start.to_be_bytes(),
                &leaf.end.to_be_bytes(),
            ]
            .concat(),
        )
    };
    let leaves: Vec<B256> = naive_leaves(block).iter().map(hash).collect();
    keccak256([&[3], (leaves.len() as u32).to_be_bytes().as_slice(), naive_tree(&leaves).as_slice()].concat())
}

fn tree(block: &Block) -> (Vec<NamespaceLeaf>, Tree) {
    let leaves = naive_leaves(block);
    let tree = Tree::new(leaves.iter().map(NamespaceLeaf::hash).collect());
    (leaves, tree)
}

fn prove(block: &Block, namespace: u64) -> NamespaceProof {
    let (leaves, tree) = tree(block);
    let index = leaves.partition_point(|leaf| leaf.namespace < namespace);
    let neighbour =
        |place: usize| leaves.get(place).map(|leaf| Neighbour { leaf: leaf.clone(), path: tree.path(place) });
    let evidence = match block.get(&namespace) {
        Some(transactions) => Evidence::Present {
            index: index as u32,
            start: leaves[index].start,
            path: tree.path(index),
            transactions: transactions.clone(),
        },
        None => Evidence::Absent {
            index: index as u32,
            below: index.checked_sub(1).and_then(neighbour),
            above: neighbour(index),
        },
    };
    NamespaceProof { namespaces: leaves.len() as u32, evidence }
}

fn prove_one(block: &Block, namespace: u64, index: u32) -> TransactionProof {
    let (leaves, tree) = tree(block);
    let place = leaves.partition_point(|leaf| leaf.namespace < namespace);
    let hashes: Vec<B256> = block[&namespace].iter().map(|bytes| transaction_hash(namespace, bytes)).collect();
    let NamespaceLeaf { start, end, transactions, .. } = leaves[place];
    TransactionProof {
        namespaces: leaves.len() as u32,
        place: place as u32,
        path: tree.path(place),
        start,
        end,
        transactions,
        index,
        transaction_path: Tree::new(hashes).path(index as usize),
        transaction: block[&namespace][index as usize].clone(),
    }
}

fn block_of(namespaces: impl IntoIterator<Item = (u64, usize)>) -> Block {
    let transactions =
        |namespace, count| (0..count).map(|n| Bytes::from(format!("{namespace}/{n}").into_bytes())).collect();
    namespaces.into_iter().map(|(namespace, count)| (namespace, transactions(namespace, count))).collect()
}

fn any_block() -> impl Strategy<Value = Block> {
    let transaction = proptest::collection::vec(any::<u8>(), 1..40).prop_map(Bytes::from);
    let namespace = prop_oneof![0..12u64, any::<u64>()];
    proptest::collection::btree_map(namespace, proptest::collection::vec(transaction, 1..7), 0..14)
}

#[test]
fn a_namespace_is_read_whole_and_the_others_are_absent() {
    let block = block_of([(3, 1), (7, 5), (9, 2), (u64::MAX, 3)]);
    let root = naive_root(&block);
    for namespace in (0..12).chain([u64::MAX - 1, u64::MAX]) {
        let expected = block.get(&namespace).cloned().unwrap_or_default();
        assert_eq!(prove(&block, namespace).verify(root, namespace).unwrap(), expected, "namespace {namespace}");
    }
}

#[test]
fn nothing_is_in_an_empty_block() {
    let empty = Block::new();
    let proof = prove(&empty, 7);
    assert_eq!(proof.verify(naive_root(&empty), 7), Ok([].as_slice()));
    assert!(matches!(proof.verify(naive_root(&block_of([(9, 1)])), 7), Err(NamespaceError::Root { .. })));
}

/// Every way to lie about the transactions of a namespace, of which none may verify.
#[test]
fn what_was_changed_does_not_verify() {
    let block = block_of([(3, 1), (7, 5), (9, 2)]);
    let root = naive_root(&block);
    let changes: [Change; 7] = [
        ("dropped first", |t| drop(t.remove(0))),
        ("dropped last", |t| drop(t.pop())),
        ("dropped all", |t| t.clear()),
        ("added", |t| t.push(Bytes::from_static(b"more"))),
        ("doubled", |t| t.push(t[4].clone())),
        ("reordered", |t| t.swap(1, 2)),
        ("split", |t| {
            let (left, right) = (t[0].slice(..1), t[0].slice(1..));
            t.splice(..1, [left, right]);
        }),
    ];
    for (what, change) in changes {
        let mut proof = prove(&block, 7);
        let Evidence::Present { transactions, .. } = &mut proof.evidence else { panic!("7 is there") };
        change(transactions);
        assert!(proof.verify(root, 7).is_err(), "{what}");
    }
}

#[test]
fn a_proof_is_about_one_namespace() {
    let block = block_of([(3, 1), (7, 5), (9, 2)]);
    let root = naive_root(&block);
    for (about, asked) in [(7, 3), (7, 8), (3, 9), (8, 7), (4, 3), (10, 9), (0, 3)] {
        assert!(prove(&block, about).verify(root, asked).is_err(), "proof of {about} for {asked}");
    }
}

#[test]
fn places_counts_and_starts_are_bound() {
    let block = block_of([(3, 1), (7, 5), (9, 2), (11, 1)]);
    let root = naive_root(&block);
    let honest = prove(&block, 7);
    for namespaces in (0..9).filter(|namespaces| *namespaces != 4) {
        let proof = NamespaceProof { namespaces, ..honest.clone() };
        assert!(proof.verify(root, 7).is_err(), "{namespaces} namespaces");
    }
    let changes: [fn(&mut u32, &mut u32, &mut Vec<B256>); 6] = [
        |index, _, _| *index += 1,
        |index, _, _| *index = u32::MAX,
        |_, start, _| *start += 1,
        |_, start, _| *start = u32::MAX,
        |_, _, path| path.swap(0, 1),
        |_, _, path| path.push(B256::ZERO),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut proof = honest.clone();
        let Evidence::Present { index, start, path, .. } = &mut proof.evidence else { panic!("7 is there") };
        change(index, start, path);
        assert!(proof.verify(root, 7).is_err(), "change {number}");
    }
}

#[test]
fn neighbours_that_do_not_touch_show_no_absence() {
    let block = block_of([(3, 1), (7, 5), (9, 2)]);
    let (root, (leaves, tree)) = (naive_root(&block), tree(&block));
    let neighbour = |place: usize| Some(Neighbour { leaf: leaves[place].clone(), path: tree.path(place) });
    let absent =
        |index, below, above| NamespaceProof { namespaces: 3, evidence: Evidence::Absent { index, below, above } };
    // All of them would hide namespace 7.
    for (what, proof) in [
        ("neighbours with 7 between", absent(1, neighbour(0), neighbour(2))),
        ("the same as places 1 and 2", absent(2, neighbour(0), neighbour(2))),
        ("no lower neighbour", absent(0, None, neighbour(2))),
        ("no upper neighbour", absent(3, neighbour(0), None)),
        ("no neighbours", absent(0, None, None)),
        ("7 itself below", absent(2, neighbour(1), neighbour(2))),
        ("7 itself above", absent(1, neighbour(0), neighbour(1))),
        ("beyond the end", absent(4, neighbour(0), None)),
    ] {
        assert!(proof.verify(root, 7).is_err(), "{what}");
    }
    let shorter =
        NamespaceProof { namespaces: 1, evidence: Evidence::Absent { index: 1, below: neighbour(0), above: None } };
    assert!(shorter.verify(root, 7).is_err());
    let none = NamespaceProof { namespaces: 0, evidence: Evidence::Absent { index: 0, below: None, above: None } };
    assert!(none.verify(root, 7).is_err());
}

#[test]
fn levels_cannot_be_swapped() {
    let block = block_of([(3, 2), (7, 2)]);
    let (leaves, tree) = tree(&block);
    // The root of the leaves, or of a namespace, is not the root that a header has.
    for root in [tree.root(), leaves[1].transactions_root, leaves[1].hash()] {
        assert!(prove(&block, 7).verify(root, 7).is_err());
        assert!(prove_one(&block, 7, 0).verify(root, 7, 0).is_err());
    }
    // An inner node or a leaf presented as a transaction is hashed by SHA-256 and stays a transaction.
    let root = naive_root(&block);
    let mut proof = prove_one(&block, 7, 0);
    proof.transaction = [&[1u8], leaves[0].hash().as_slice(), leaves[1].hash().as_slice()].concat().into();
    (proof.transactions, proof.transaction_path) = (1, vec![]);
    assert!(proof.verify(root, 7, 0).is_err());
}

#[test]
fn every_transaction_is_proven_at_its_place_only() {
    let block = block_of([(3, 1), (7, 5), (9, 2)]);
    let root = naive_root(&block);
    for (namespace, transactions) in &block {
        for (index, transaction) in transactions.iter().enumerate() {
            let proof = prove_one(&block, *namespace, index as u32);
            assert_eq!(proof.verify(root, *namespace, index as u32), Ok(transaction));
            assert!(proof.verify(root, *namespace, index as u32 + 1).is_err());
            assert!(proof.verify(root, namespace + 1, index as u32).is_err());
            let moved = TransactionProof { index: proof.index + 1, ..proof.clone() };
            assert!(moved.verify(root, *namespace, index as u32 + 1).is_err());
        }
    }
    let honest = prove_one(&block, 7, 1);
    let changes: [fn(&mut TransactionProof); 9] = [
        |p| p.namespaces = 4,
        |p| p.place = 0,
        |p| p.transactions = 6,
        |p| p.transactions = u32::MAX,
        |p| p.start += 1,
        |p| p.end += 1,
        |p| p.transaction = Bytes::from_static(b"other"),
        |p| p.transaction = Bytes::new(),
        |p| p.path = p.transaction_path.clone(),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut proof = honest.clone();
        change(&mut proof);
        assert!(proof.verify(root, 7, 1).is_err(), "change {number}");
    }
}

#[test]
fn a_proof_has_at_most_a_kibibyte_beside_the_transactions() {
    let block = block_of((0..u64::from(NAMESPACES_MAX)).map(|n| (2 * n + 1, 1)));
    let root = naive_root(&block);
    let absent = prove(&block, 4_096);
    assert_eq!(absent.verify(root, 4_096), Ok([].as_slice()));
    assert_eq!(absent.encode().len(), 881);
    let present = prove(&block, 4_097);
    let section = section_bytes([6]).unwrap() as usize;
    assert_eq!(present.verify(root, 4_097).unwrap(), block[&4_097]);
    assert_eq!(present.encode().len() - section, 397);
    assert_eq!(NamespaceProof::decode(&absent.encode()).as_ref(), Ok(&absent));
}

#[test]
fn one_namespace_too_many_is_refused() {
    let namespaces = NAMESPACES_MAX + 1;
    let block = block_of((0..u64::from(namespaces)).map(|n| (n, 1)));
    let proof = prove(&block, 7);
    assert_eq!(proof.verify(naive_root(&block), 7), Err(NamespaceError::Place { index: 7, namespaces }));
    assert!(NamespaceProof::decode(&proof.encode()).is_err());
}

#[test]
fn sections_are_bounded() {
    assert_eq!(section_bytes([]), None);
    assert_eq!(section_bytes([0]), None);
    assert_eq!(section_bytes([1]), Some(9));
    assert_eq!(section_bytes([TRANSACTION_BYTES_MAX]), Some(TRANSACTION_BYTES_MAX as u32 + 8));
    assert_eq!(section_bytes([TRANSACTION_BYTES_MAX + 1]), None);
    assert_eq!(section_bytes([TRANSACTION_BYTES_MAX; 8]), None);
    assert_eq!(section_bytes(vec![1; TRANSACTIONS_MAX as usize]), Some(4 + 5 * TRANSACTIONS_MAX));
    assert_eq!(section_bytes(vec![1; TRANSACTIONS_MAX as usize + 1]), None);
}

#[test]
fn tables_that_lie_do_not_decode() {
    let block = block_of([(7, 3)]);
    let bytes = prove(&block, 7).encode();
    // namespaces, tag, index, start, no path, then the number of transactions and their ends.
    let (count, ends) = (13, 17);
    let with = |position: usize, value: u32| {
        let mut bytes = bytes.clone();
        bytes[position..position + 4].copy_from_slice(&value.to_be_bytes());
        NamespaceProof::decode(&bytes)
    };
    assert!(with(count, 3).is_ok(), "unchanged");
    for value in [0, 2, 4, TRANSACTIONS_MAX + 1, u32::MAX] {
        assert!(with(count, value).is_err(), "{value} transactions");
    }
    for value in [0, 3, u32::MAX] {
        assert!(with(ends + 4, value).is_err(), "second end at {value}");
    }
    for length in 0..bytes.len() {
        assert!(NamespaceProof::decode(&bytes[..length]).is_err(), "{length} bytes");
    }
    assert!(NamespaceProof::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
}

#[test]
fn json_says_the_same() {
    let block = block_of([(3, 1), (7, 2)]);
    for namespace in [3, 5, 9] {
        let proof = prove(&block, namespace);
        let text = serde_json::to_string(&proof).unwrap();
        assert_eq!(serde_json::from_str::<NamespaceProof>(&text).unwrap(), proof);
    }
    let proof = prove_one(&block, 7, 1);
    let text = serde_json::to_string(&proof).unwrap();
    assert_eq!(serde_json::from_str::<TransactionProof>(&text).unwrap(), proof);
    assert!(serde_json::from_str::<TransactionProof>(&text.replace("place", "plaice")).is_err());
    let none = r#"{"namespaces":0,"evidence":{"absent":{"index":0,"below":null,"above":null}}}"#;
    assert_eq!(serde_json::to_string(&prove(&Block::new(), 1)).unwrap(), none);
}

proptest! {
    #[test]
    fn any_block_answers_for_any_namespace(block in any_block(), namespace in prop_oneof![0..14u64, any::<u64>()]) {
        let root = naive_root(&block);
        let proof = prove(&block, namespace);
        let expected = block.get(&namespace).cloned().unwrap_or_default();
        prop_assert_eq!(proof.verify(root, namespace).unwrap(), &expected);
        prop_assert_eq!(NamespaceProof::decode(&proof.encode()).unwrap(), proof);
        for index in 0..expected.len() as u32 {
            let proof = prove_one(&block, namespace, index);
            prop_assert_eq!(proof.verify(root, namespace, index).unwrap(), &expected[index as usize]);
            prop_assert_eq!(TransactionProof::decode(&proof.encode()).unwrap(), proof);
        }
    }

    /// Whatever a changed encoding still proves, it is the truth.
    #[test]
    fn a_changed_byte_proves_nothing_else(
        block in any_block(),
        namespace in 0..14u64,
        position in any::<prop::sample::Index>(),
        flip in 1..=255u8,
    ) {
        let root = naive_root(&block);
        let mut bytes = prove(&block, namespace).encode();
        let position = position.index(bytes.len());
        bytes[position] ^= flip;
        if let Ok(proof) = NamespaceProof::decode(&bytes) {
            prop_assert_eq!(proof.encode(), bytes);
            prop_assert!(proof.verify(root, namespace).is_err());
        }
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400), namespaces in 0..40u32, tag in 0..3u8) {
        let framed = [&namespaces.to_be_bytes()[..], &[tag], &bytes].concat();
        for bytes in [bytes, framed] {
            if let Ok(proof) = NamespaceProof::decode(&bytes) {
                prop_assert!(proof.verify(B256::ZERO, 1).is_err());
                prop_assert_eq!(proof.encode(), bytes.clone());
            }
            if let Ok(proof) = TransactionProof::decode(&bytes) {
                prop_assert!(proof.verify(B256::ZERO, 1, 0).is_err());
            }
        }
    }
}

/// What the sequencer made: the same vectors test the Solidity library.
#[test]
fn vectors_of_the_sequencer_verify() {
    let vectors: serde_json::Value = serde_json::from_str(include_str!("../../vectors/namespaces.json")).unwrap();
    let vectors = vectors.as_array().unwrap();
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        let bytes = |key: &str| vector[key].as_str().unwrap().parse::<Bytes>().unwrap();
        let root: B256 = vector["namespacesRoot"].as_str().unwrap().parse().unwrap();
        let (namespace, absent) = (vector["namespace"].as_u64().unwrap(), vector["absentNamespace"].as_u64().unwrap());
        let expected: Vec<Bytes> = serde_json::from_value(vector["transactions"].clone()).unwrap();
        let proof = NamespaceProof::decode(&bytes("present")).unwrap();
        assert_eq!(proof.verify(root, namespace).unwrap(), expected);
        let proof = NamespaceProof::decode(&bytes("absent")).unwrap();
        assert_eq!(proof.verify(root, absent), Ok([].as_slice()));
        let proof = TransactionProof::decode(&bytes("transactionProof")).unwrap();
        assert_eq!(proof.verify(root, namespace, 1), Ok(&expected[1]));
        if vector["namespaces"] == 1 {
            continue;
        }
        let bundles: B256 = vector["bundlesRoot"].as_str().unwrap().parse().unwrap();
        let proof = crate::bundle::BundleProof::decode(&bytes("bundleProof")).unwrap();
        assert!(proof.verify(bundles).is_ok());
        assert_eq!(format!("{:#x}", proof.hash()), vector["bundle"].as_str().unwrap());
    }
}
