//! What the builder proves, `proof` believes; and nothing else under the same header.

use super::*;
use crate::content::Content;
use crate::testing::{certified, child, committee, entry, genesis};
use alloy_primitives::B256;
use bytes::Bytes;
use proof::namespace::{self, NamespaceError};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn any_payload() -> impl Strategy<Value = (BTreeMap<u64, Vec<Bytes>>, Payload)> {
    let transaction = proptest::collection::vec(any::<u8>(), 1..40).prop_map(Bytes::from);
    let namespace = prop_oneof![0..12u64, any::<u64>()];
    let block = proptest::collection::btree_map(namespace, proptest::collection::vec(transaction, 1..7), 0..14);
    block.prop_map(|block| {
        let entries = block.iter().map(|(namespace, payloads)| Entry::new(*namespace, payloads.clone())).collect();
        (block, Payload::new(Content { entries, bundles: vec![] }).unwrap())
    })
}

fn root(payload: &Payload) -> B256 {
    payload.trees().namespaces_root.into()
}

proptest! {
    #[test]
    fn every_namespace_is_proven_whole_or_absent((block, payload) in any_payload(), other in 0..14u64) {
        for namespace in block.keys().copied().chain([other]) {
            let proof = payload.prove_namespace(namespace);
            let expected = block.get(&namespace).cloned().unwrap_or_default();
            let found: Vec<Bytes> = proof.verify(root(&payload), namespace).unwrap().iter().map(|t| t.0.clone()).collect();
            prop_assert_eq!(&found, &expected);
            for (index, transaction) in expected.iter().enumerate() {
                let proof = payload.prove_transaction(namespace, index as u32).unwrap();
                prop_assert_eq!(&proof.verify(root(&payload), namespace, index as u32).unwrap().0, transaction);
                prop_assert!(transaction.len() < proof.encode().len());
            }
            prop_assert_eq!(payload.prove_transaction(namespace, expected.len() as u32), None);
        }
    }

    /// A proof of one payload verifies against another one only where both say the same.
    #[test]
    fn a_proof_is_about_one_payload((_, one) in any_payload(), (_, other) in any_payload(), namespace in 0..12u64) {
        let proof = one.prove_namespace(namespace);
        prop_assert_eq!(proof.verify(root(&other), namespace).is_ok(), root(&one) == root(&other));
    }
}

#[test]
fn leaves_name_where_the_section_stands() {
    let content = Content { entries: vec![entry(3, &["ab"]), entry(7, &["c", "def"])], bundles: vec![] };
    let payload = Payload::new(content).unwrap();
    let section = |leaf: &NamespaceLeaf| payload.encoded().slice(leaf.start as usize..leaf.end as usize);
    let sections: Vec<Bytes> = payload.trees().leaves.iter().map(section).collect();
    assert_eq!(sections[0].as_ref(), b"\0\0\0\x01\0\0\0\x02ab");
    assert_eq!(sections[1].as_ref(), b"\0\0\0\x02\0\0\0\x01\0\0\0\x04cdef");
    assert_eq!(payload.trees().leaves[1].end as usize, payload.encoded().len());
}

#[test]
fn a_bundle_is_proven_whole() {
    let position = |namespace, index| Position { namespace, index };
    let bundles = vec![
        Bundle { positions: vec![position(3, 0), position(7, 1)] },
        Bundle { positions: vec![position(7, 2), position(3, 1), position(7, 3)] },
    ];
    let entries = vec![entry(3, &["a", "b"]), entry(7, &["c", "d", "e", "f"])];
    let payload = Payload::new(Content { entries, bundles }).unwrap();
    let root = B256::from(payload.trees().bundles_root);
    let hashes: Vec<_> = payload.bundle_hashes().collect();
    for (hash, texts) in hashes.iter().zip([&["a", "d"][..], &["e", "b", "f"]]) {
        let proof = payload.prove_bundle(hash).unwrap();
        let found: Vec<_> = proof.verify(root).unwrap().iter().map(|member| member.transaction.to_vec()).collect();
        assert_eq!(found, texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>());
        assert_eq!(proof.hash(), *hash);
    }
    assert_eq!(payload.prove_bundle(&[0; 32]), None);
    assert!(payload.prove_bundle(&hashes[0]).unwrap().verify(Payload::default().trees().bundles_root.into()).is_err());
}

#[test]
fn a_reader_that_trusts_the_keys_alone_gets_all_of_its_namespace() {
    let block = child(&genesis(), 1, vec![entry(7, &["a", "b"]), entry(9, &["c"])]);
    let certified = certified(&block, &[]);
    let keys: Vec<B256> = committee().keys().into_iter().map(B256::from).collect();
    let trust = (committee().chain_id(), keys.as_slice());
    let header = block.header().encode();
    let read = |namespace| {
        let proof = block.payload.prove_namespace(namespace);
        let evidence: (&[u8], &[u8]) = (&header, &certified.certificate.0);
        namespace::read(trust, evidence, namespace, &proof).map(|(header, found)| (header.height, found.to_vec()))
    };
    assert_eq!(read(7), Ok((1, vec![b"a".into(), b"b".into()])));
    assert_eq!(read(8), Ok((1, vec![])));
    let mut forged = block.clone();
    forged.payload = crate::testing::payload(vec![entry(9, &["c"])]);
    let proof = forged.payload.prove_namespace(7);
    let evidence: (&[u8], &[u8]) = (&header, &certified.certificate.0);
    assert!(matches!(namespace::read(trust, evidence, 7, &proof), Err(NamespaceError::Root { .. })));
    let header = forged.header().encode();
    let evidence: (&[u8], &[u8]) = (&header, &certified.certificate.0);
    assert!(matches!(namespace::read(trust, evidence, 7, &proof), Err(NamespaceError::Certificate(_))));
}

#[test]
fn header_and_certificate_of_four_take_less_than_a_kibibyte() {
    let block = child(&genesis(), 1, vec![entry(7, &["a"])]);
    let bytes = block.header().encode().len() + certified(&block, &[]).certificate.0.len();
    assert!(bytes <= 1024, "{bytes} bytes");
}

/// A block with `count` namespaces of one transaction of 200 bytes, and three in the middle one.
fn vector_block(count: u64) -> (u64, Payload) {
    let middle = 10 * (count / 2);
    let transaction = |tag: u64| Bytes::from([tag.to_be_bytes()].concat().repeat(25));
    let transactions = |namespace: u64| match namespace {
        namespace if namespace == middle => vec![transaction(1), transaction(2), transaction(3)],
        namespace => vec![transaction(namespace)],
    };
    let entries = (0..count).map(|n| Entry::new(10 * n, transactions(10 * n))).collect();
    let position = |namespace| Position { namespace, index: 0 };
    let bundles = match count {
        1 => vec![],
        _ => vec![
            Bundle { positions: vec![position(0), position(10 * (count - 1))] },
            Bundle {
                positions: vec![Position { namespace: middle, index: 1 }, Position { namespace: middle, index: 2 }],
            },
        ],
    };
    (middle, Payload::new(Content { entries, bundles }).unwrap())
}

fn vector(count: u64) -> serde_json::Value {
    let hex = |bytes: &[u8]| format!("0x{}", hex::encode(bytes));
    let (namespace, payload) = vector_block(count);
    let one = payload.prove_transaction(namespace, 1).unwrap();
    let bundle = payload.bundle_hashes().last();
    serde_json::json!({
        "namespaces": count,
        "namespacesRoot": hex(&payload.trees().namespaces_root),
        "bundlesRoot": hex(&payload.trees().bundles_root),
        "namespace": namespace,
        "present": hex(&payload.prove_namespace(namespace).encode()),
        "transactions": payload.entries()[count as usize / 2].payloads().map(|p| hex(p)).collect::<Vec<_>>(),
        "absentNamespace": namespace + 1,
        "absent": hex(&payload.prove_namespace(namespace + 1).encode()),
        "transactionProof": hex(&one.encode()),
        "bundle": hex(&bundle.unwrap_or_default()),
        "bundleProof": hex(&bundle.map_or(vec![], |bundle| payload.prove_bundle(&bundle).unwrap().encode())),
    })
}

#[test]
fn the_vectors_that_others_test_with_are_what_the_sequencer_makes() {
    let made = serde_json::json!([vector(1), vector(16), vector(256)]);
    let committed: serde_json::Value =
        serde_json::from_str(include_str!("../../../proof/vectors/namespaces.json")).unwrap();
    assert!(committed == made, "crates/proof/vectors/namespaces.json should hold\n{made:#}");
}
