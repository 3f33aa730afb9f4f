use super::*;
use crate::merkle::Tree;
use proptest::prelude::*;

/// What it does, and how.
type Change = (&'static str, fn(&mut BundleProof));

fn member(namespace: u64, index: u32, text: &'static str) -> Member {
    Member { position: Position { namespace, index }, transaction: Bytes::from_static(text.as_bytes()) }
}

/// Three bundles; the second has two transactions in namespace 7.
fn bundles() -> Vec<Vec<Member>> {
    vec![
        vec![member(5, 0, "a"), member(7, 0, "b")],
        vec![member(7, 2, "c"), member(5, 1, "d"), member(7, 3, "e")],
        vec![member(8, 0, "f"), member(9, 4, "g")],
    ]
}

fn prove(bundles: &[Vec<Member>], index: usize) -> (B256, BundleProof) {
    let proof = |index: usize, path| BundleProof {
        bundles: bundles.len() as u32,
        index: index as u32,
        members: bundles[index].clone(),
        path,
    };
    let hash = |index: usize| leaf(&proof(index, vec![]).hash(), bundles[index].iter().map(|m| m.position));
    let tree = Tree::new((0..bundles.len()).map(hash).collect());
    (bundles_root(bundles.len() as u32, &tree.root()), proof(index, tree.path(index)))
}

#[test]
fn every_bundle_is_proven_whole() {
    for index in 0..3 {
        let (root, proof) = prove(&bundles(), index);
        assert_eq!(proof.verify(root).unwrap(), bundles()[index]);
        assert_eq!(BundleProof::decode(&proof.encode()).unwrap(), proof);
        let text = serde_json::to_string(&proof).unwrap();
        assert_eq!(serde_json::from_str::<BundleProof>(&text).unwrap(), proof);
    }
}

#[test]
fn what_was_changed_does_not_verify() {
    let (root, honest) = prove(&bundles(), 1);
    let changes: [Change; 10] = [
        ("dropped", |p| drop(p.members.pop())),
        ("added", |p| p.members.push(member(10, 0, "x"))),
        ("reordered", |p| p.members.swap(0, 1)),
        ("other bytes", |p| p.members[1].transaction = Bytes::from_static(b"D")),
        ("other namespace", |p| p.members[1].position.namespace = 6),
        ("other index", |p| p.members[1].position.index = 2),
        ("other place", |p| p.index = 2),
        ("other number", |p| p.bundles = 4),
        ("longer path", |p| p.path.push(B256::ZERO)),
        ("empty transaction", |p| p.members[1].transaction = Bytes::new()),
    ];
    for (what, change) in changes {
        let mut proof = honest.clone();
        change(&mut proof);
        assert!(proof.verify(root).is_err(), "{what}");
    }
}

#[test]
fn scattered_transactions_are_no_bundle_even_under_a_root() {
    for (second, fits) in [(4, true), (5, false), (3, false), (2, false)] {
        let bundle = vec![member(7, 3, "a"), member(5, 9, "b"), member(7, second, "c")];
        let (root, proof) = prove(&[bundle], 0);
        let expected = BundleError::Scattered { namespace: 7, index: second };
        assert_eq!(proof.verify(root).err(), (!fits).then_some(expected), "second at {second}");
    }
}

#[test]
fn bundles_are_bounded() {
    let of = |count: usize, bytes: usize| {
        let transaction = Bytes::from(vec![1; bytes]);
        let position = |index: usize| Position { namespace: index as u64, index: 0 };
        (0..count).map(|index| Member { position: position(index), transaction: transaction.clone() }).collect()
    };
    let verdict = |members: Vec<Member>| {
        let (root, proof) = prove(&[members], 0);
        assert_eq!(
            BundleProof::decode(&proof.encode()).is_ok_and(|decoded| decoded.verify(root).is_ok()),
            proof.verify(root).is_ok()
        );
        proof.verify(root).is_ok()
    };
    assert!(!verdict(of(MEMBERS_MIN - 1, 1)) && verdict(of(MEMBERS_MIN, 1)));
    assert!(verdict(of(MEMBERS_MAX, 1)) && !verdict(of(MEMBERS_MAX + 1, 1)));
    assert!(verdict(of(4, BUNDLE_BYTES_MAX / 4)) && !verdict(of(4, BUNDLE_BYTES_MAX / 4 + 1)));
    assert!(!verdict(of(2, 0)));
}

#[test]
fn the_name_depends_on_namespaces_and_order() {
    let hash = |members: Vec<Member>| BundleProof { bundles: 1, index: 0, members, path: vec![] }.hash();
    let name = hash(vec![member(5, 0, "a"), member(7, 0, "b")]);
    assert_eq!(name, hash(vec![member(5, 3, "a"), member(7, 9, "b")]), "not on where it stands");
    assert_ne!(name, hash(vec![member(7, 0, "b"), member(5, 0, "a")]));
    assert_ne!(name, hash(vec![member(7, 0, "a"), member(5, 0, "b")]));
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let framed = [&[0, 0, 0, 2, 0, 0, 0, 1, 0, 2][..], &bytes].concat();
        for bytes in [bytes, framed] {
            if let Ok(proof) = BundleProof::decode(&bytes) {
                prop_assert_eq!(proof.encode(), bytes);
                prop_assert!(proof.verify(B256::ZERO).is_err());
            }
        }
    }

    #[test]
    fn a_changed_byte_proves_nothing(position in any::<prop::sample::Index>(), flip in 1..=255u8) {
        let (root, proof) = prove(&bundles(), 1);
        let mut bytes = proof.encode();
        let position = position.index(bytes.len());
        bytes[position] ^= flip;
        prop_assert!(BundleProof::decode(&bytes).map_or(true, |proof| proof.verify(root).is_err()));
    }
}
