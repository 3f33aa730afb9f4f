//! `proof::certificate`, which knows nothing of the consensus engine, decides as the engine's own verifier does.

use super::*;
use crate::block::Block;
use crate::committee::{Committee, VerifyError};
use crate::limits;
use crate::testing::{CHAIN_ID, certified, child, committee, entry, genesis, keys};
use alloy_primitives::B256;
use proof::certificate::{self as light, CertificateError};
use protocol::api::CertifiedBlock;
use serde_json::json;

/// What both say about the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Final,
    Malformed,
    Unrelated,
    NoQuorum,
}

fn by_engine(committee: &Committee, certified: &CertifiedBlock) -> Verdict {
    match committee.verify(certified) {
        // The reveal is checked after the certificate, and by the committee before it signs.
        Ok(_) | Err(VerifyError::Reveal { .. }) => Verdict::Final,
        Err(VerifyError::Certificate { .. }) => Verdict::Malformed,
        Err(VerifyError::Unrelated { .. }) => Verdict::Unrelated,
        Err(VerifyError::Quorum { .. }) => Verdict::NoQuorum,
        Err(other) => panic!("{other}"),
    }
}

fn by_light_client(committee: &Committee, certified: &CertifiedBlock) -> Verdict {
    let keys: Vec<B256> = committee.keys().into_iter().map(B256::from).collect();
    let header = Block::decode(certified.block.0.clone()).unwrap().header();
    let outcome = light::verify(committee.chain_id(), &keys, &header.encode(), &certified.certificate.0);
    match outcome {
        Ok(found) => {
            assert_eq!((found.digest.0, found.parent.0, found.height), (header.digest(), header.parent, header.height));
            assert_eq!((found.view, found.timestamp_millis), (header.view, header.timestamp_millis));
            assert_eq!((found.randomness.0, found.namespaces_root.0), (header.randomness, header.namespaces_root));
            assert_eq!((found.erasure_root.0, found.bundles_root.0), (header.erasure_root, header.bundles_root));
            assert_eq!(found.commitment_hash.0, header.commitment_hash);
            Verdict::Final
        }
        Err(CertificateError::Certificate(_)) => Verdict::Malformed,
        Err(CertificateError::Unrelated(_)) => Verdict::Unrelated,
        Err(CertificateError::Quorum(_)) => Verdict::NoQuorum,
        Err(other) => panic!("{other}"),
    }
}

fn agree(committee: &Committee, certified: &CertifiedBlock) -> Verdict {
    let verdict = by_engine(committee, certified);
    assert_eq!(by_light_client(committee, certified), verdict, "certificate {:?}", certified.certificate);
    verdict
}

/// Blocks 1 to 4 above genesis.
fn chain() -> Vec<Block> {
    let mut chain = vec![genesis()];
    for view in 1..=4 {
        let next = child(chain.last().unwrap(), 70 * view, vec![entry(view, &["t"])]);
        chain.push(next);
    }
    chain
}

fn with_certificate(certified: &CertifiedBlock, certificate: Vec<u8>) -> CertifiedBlock {
    CertifiedBlock { certificate: Bytes::from(certificate).into(), ..certified.clone() }
}

#[test]
fn limits_are_the_same() {
    assert_eq!(light::COMMITTEE_MAX, limits::COMMITTEE_MAX);
    assert_eq!(light::HEADERS_MAX, limits::CERTIFICATE_HEADERS_MAX);
    assert_eq!(light::CERTIFICATE_BYTES_MAX, limits::CERTIFICATE_BYTES_MAX);
    const { assert!(light::HEADER_BYTES_MAX <= limits::HEADER_BYTES_MAX) };
}

#[test]
fn certificates_of_the_engine_are_believed() {
    let chain = chain();
    for (first, last) in [(1, 1), (1, 2), (1, 4), (3, 4), (4, 4)] {
        let certified = certified(&chain[first], &chain[first + 1..=last]);
        assert_eq!(agree(&committee(), &certified), Verdict::Final, "{first} by {last}");
    }
    let gap = certified(&chain[1], &chain[3..=3]);
    assert_eq!(agree(&committee(), &gap), Verdict::Unrelated);
    let other_chain = Committee::new(&validators(4), CHAIN_ID + 1).unwrap();
    assert_eq!(agree(&other_chain, &certified(&chain[1], &[])), Verdict::NoQuorum);
    for size in [3, 5] {
        let other = Committee::new(&validators(size), CHAIN_ID).unwrap();
        assert_ne!(agree(&other, &certified(&chain[1], &[])), Verdict::Final, "{size} members");
    }
}

#[test]
fn verdicts_agree_on_every_changed_bit_and_every_cut() {
    let chain = chain();
    for certified in [certified(&chain[2], &[]), certified(&chain[1], &chain[2..=2])] {
        let original = certified.certificate.0.to_vec();
        let mut verdicts = Vec::new();
        for bit in 0..original.len() * 8 {
            // Of the signatures, which are expensive, some.
            if bit > 8 * (original.len() - 190) && bit % 97 != 0 {
                continue;
            }
            let mut changed = original.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            verdicts.push(agree(&committee(), &with_certificate(&certified, changed)));
        }
        for length in 0..original.len() {
            let cut = with_certificate(&certified, original[..length].to_vec());
            assert_eq!(agree(&committee(), &cut), Verdict::Malformed);
        }
        let longer = [original.as_slice(), &[0]].concat();
        assert_eq!(agree(&committee(), &with_certificate(&certified, longer)), Verdict::Malformed);
        for verdict in [Verdict::Malformed, Verdict::Unrelated, Verdict::NoQuorum] {
            assert!(verdicts.contains(&verdict), "{verdict:?} never came up");
        }
        assert!(!verdicts.contains(&Verdict::Final));
    }
}

#[test]
fn verdicts_agree_on_every_field_of_the_block() {
    let chain = chain();
    let good = certified(&chain[2], &[]);
    let changes: [fn(&mut Block); 7] = [
        |block| block.erasure_root[0] ^= 1,
        |block| block.parent[0] ^= 1,
        |block| block.view += 1,
        |block| block.timestamp_millis += 1,
        |block| block.reveal[0] ^= 1,
        |block| block.randomness[0] ^= 1,
        |block| block.commitment = Bytes::from_static(b"other"),
    ];
    for change in changes {
        let mut block = chain[2].clone();
        change(&mut block);
        let changed = CertifiedBlock { block: block.encode().into(), ..good.clone() };
        assert_eq!(agree(&committee(), &changed), Verdict::Unrelated);
    }
}

/// Every encoding of the eight points of small order, canonical or not: the keys and commitments about which Ed25519
/// libraries disagree.
const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
];

#[test]
fn verdicts_agree_on_signatures_about_which_libraries_differ() {
    let block = chain().remove(1);
    let real = Certificate { descendants: vec![], finalization: crate::testing::finalization(&block) }.encode();
    // Proposal, then a bitmap of one member, then one signature.
    let proposal = &real[..real.len() - (8 + 1 + 1 + 3 * 64)];
    let mut verdicts = Vec::new();
    for key in SMALL_ORDER {
        let mut validators = validators(1);
        validators[0].public_key = key.to_owned();
        let committee = Committee::new(&validators, CHAIN_ID).unwrap();
        for commitment in SMALL_ORDER.into_iter().chain(["02".repeat(32).as_str()]) {
            for last in [0, 0x10] {
                let scalar = [[0; 31].as_slice(), &[last]].concat();
                let signature = [hex::decode(commitment).unwrap(), scalar].concat();
                let bytes = [proposal, &1u64.to_be_bytes(), &[1, 1], &signature].concat();
                let certified = with_certificate(&certified(&block, &[]), bytes);
                verdicts.push(agree(&committee, &certified));
            }
        }
    }
    assert!(verdicts.contains(&Verdict::Final) && verdicts.contains(&Verdict::NoQuorum));
    assert!(!verdicts.contains(&Verdict::Malformed));
}

fn validators(size: u64) -> Vec<protocol::network::Validator> {
    (0..size).map(|seat| keys(seat).validator(format!("127.0.0.1:{}", 9000 + seat), String::new())).collect()
}

#[test]
fn the_vector_that_others_test_with_is_what_the_sequencer_makes() {
    let chain = chain();
    let certified = certified(&chain[2], &chain[3..=4]);
    let header = chain[2].header();
    let made = json!({
        "chain_id": CHAIN_ID,
        "committee": committee().keys().iter().map(hex::encode).collect::<Vec<_>>(),
        "header": hex::encode(header.encode()),
        "certificate": hex::encode(&certified.certificate.0),
        "digest": hex::encode(header.digest()),
        "height": header.height,
    });
    let committed: serde_json::Value =
        serde_json::from_str(include_str!("../../../proof/vectors/certificate.json")).unwrap();
    assert_eq!(committed, made, "crates/proof/vectors/certificate.json should hold\n{made:#}");
}
