//! Certificates and storage proofs, and calldata that means nothing.

use super::*;
use abi::{CERTIFICATE_VERIFIER, ICertificateVerifier, IStorageProofs, STORAGE_PROOFS};
use alloy_primitives::{B256, keccak256};
use alloy_sol_types::SolInterface;
use proof::possession;
use proptest::prelude::*;

/// A certificate as the sequencer made it.
fn certificate() -> ICertificateVerifier::verifyCall {
    let vector = include_str!("../../../../proof/vectors/certificate.json");
    let json: serde_json::Value = serde_json::from_str(vector).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    ICertificateVerifier::verifyCall {
        chainId: json["chain_id"].as_u64().unwrap(),
        committee: json["committee"].as_array().unwrap().iter().map(|key| text(key).parse().unwrap()).collect(),
        header: text(&json["header"]).parse().unwrap(),
        certificate: text(&json["certificate"]).parse().unwrap(),
    }
}

/// Five challenges over 1 TiB, of which only what they touch was ever made.
fn tebibyte() -> IStorageProofs::verifyBatchCall {
    let size = 1 << 40;
    let indices = possession::draw(B256::repeat_byte(9), size, 5).unwrap();
    let leaf = |index: u64| Ok(keccak256(index.to_be_bytes()).repeat(possession::LEAF_BYTES / 32));
    let subtree = |first: u64, count: u64| Ok(keccak256([first.to_be_bytes(), count.to_be_bytes()].concat()));
    let answer = possession::answer::<possession::PossessionError>(size, &indices, leaf, subtree).unwrap();
    let (leaves, path) = (&answer.leaves, &answer.path);
    let proof = possession::Proof { root: B256::ZERO, size, indices: &indices, leaves, path };
    let Err(possession::PossessionError::Root { computed: root, .. }) = proof.verify() else { panic!("not a proof") };
    IStorageProofs::verifyBatchCall { root, size, indices, leaves: answer.leaves.into(), path: answer.path }
}

#[test]
fn a_contract_learns_what_a_committee_finalised() {
    let test = open(&genesis());
    let header = view(&test.chain, CERTIFICATE_VERIFIER, certificate());
    let expected = proof::certificate::Header::decode(&certificate().header).unwrap();
    assert_eq!((header.digest, header.height, header.parent), (expected.digest, 2, expected.parent));
    assert_eq!((header.consensusView, header.timestampMillis), (expected.view, expected.timestamp_millis));
    assert_eq!(header.randomness, expected.randomness);
    assert_eq!((header.namespacesRoot, header.commitmentHash), (expected.namespaces_root, expected.commitment_hash));
    assert_eq!((header.erasureRoot, header.bundlesRoot), (expected.erasure_root, expected.bundles_root));
}

#[test]
fn a_false_certificate_is_refused_with_its_reason() {
    let test = open(&genesis());
    let tried = |change: &dyn Fn(&mut ICertificateVerifier::verifyCall)| {
        let mut call = certificate();
        change(&mut call);
        ask(&test.chain, message(NOBODY, CERTIFICATE_VERIFIER, call.abi_encode()))
    };
    let length = U256::from(certificate().certificate.len() - 1);
    refused(&tried(&|call| call.chainId += 1), ICertificateVerifier::QuorumMissing { height: 2 });
    refused(&tried(&|call| call.committee.reverse()), ICertificateVerifier::CommitteeMalformed { size: U256::from(4) });
    refused(&tried(&|call| call.committee.clear()), ICertificateVerifier::CommitteeMalformed { size: U256::ZERO });
    refused(&tried(&|call| call.header = Bytes::new()), ICertificateVerifier::HeaderMalformed { length: U256::ZERO });
    refused(
        &tried(&|call| call.certificate = call.certificate.slice(1..)),
        ICertificateVerifier::CertificateMalformed { length },
    );
    let other = |call: &mut ICertificateVerifier::verifyCall| {
        let mut header = call.header.to_vec();
        header[0] ^= 1;
        call.header = header.into();
    };
    refused(&tried(&other), ICertificateVerifier::CertificateUnrelated { height: 2 });
}

/// Runtime that calls `target` with this much gas and calldata, and returns whether that succeeded.
fn caller(target: Address, gas: u32, data: &[u8]) -> Vec<u8> {
    let (length, offset) = ((data.len() as u16).to_be_bytes(), 54u16.to_be_bytes());
    // codecopy(0, 54, length); then the arguments of the call, from the last to the first.
    let mut code = vec![0x61, length[0], length[1], 0x61, offset[0], offset[1], 0x5f, 0x39];
    code.extend([0x5f, 0x5f, 0x61, length[0], length[1], 0x5f, 0x5f, 0x73]);
    code.extend(target);
    code.push(0x63);
    code.extend(gas.to_be_bytes());
    // call; mstore(0, success); return(0, 32)
    code.extend([0xf1, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3]);
    code.resize(54, 0);
    code.extend(data);
    code
}

#[test]
fn gas_is_what_the_documentation_says_and_is_paid_before_the_work() {
    let (certificate, claim) = (certificate().abi_encode(), tebibyte());
    let words = |data: &[u8]| data.len().div_ceil(32) as u32;
    let hashes = (claim.indices.len() + claim.path.len()) as u32;
    let claim = claim.abi_encode();
    let cases = [
        (CERTIFICATE_VERIFIER, 100 + 3 * words(&certificate) + 3 * 3_600, certificate),
        (STORAGE_PROOFS, 100 + 3 * words(&claim) + 12 * hashes, claim),
    ];
    for (target, gas, data) in cases {
        for (gas, expected) in [(gas, 1), (gas - 1, 0), (gas / 2, 0), (0, 0)] {
            let test = with_contracts(vec![contract(OUTSIDER, &caller(target, gas, &data))]);
            let result = ask(&test.chain, message(NOBODY, OUTSIDER, Bytes::new()));
            let succeeded = U256::from_be_slice(result.output().unwrap());
            assert_eq!(succeeded, U256::from(expected), "{target} with {gas} gas");
        }
    }
}

#[test]
fn challenges_are_drawn_and_answered() {
    let test = open(&genesis());
    let claim = tebibyte();
    let draw = IStorageProofs::drawCall { seed: B256::repeat_byte(9), size: 1 << 40, count: U256::from(5) };
    assert_eq!(view(&test.chain, STORAGE_PROOFS, draw), claim.indices);
    assert!(view(&test.chain, STORAGE_PROOFS, claim.clone()));
    let changes: [fn(&mut IStorageProofs::verifyBatchCall); 5] = [
        |claim| claim.root.0[0] ^= 1,
        |claim| claim.size += 256,
        |claim| claim.indices[0] += 1,
        |claim| claim.path[0].0[0] ^= 1,
        |claim| claim.path.push(B256::ZERO),
    ];
    for change in changes {
        let mut false_claim = claim.clone();
        change(&mut false_claim);
        assert!(!view(&test.chain, STORAGE_PROOFS, false_claim));
    }
}

#[test]
fn challenges_out_of_range_are_named() {
    let test = open(&genesis());
    let draw = |size, count| {
        let call = IStorageProofs::drawCall { seed: B256::ZERO, size, count };
        ask(&test.chain, message(NOBODY, STORAGE_PROOFS, call.abi_encode()))
    };
    assert!(draw(1 << 60, U256::from(256)).is_success());
    for (size, challenges) in
        [(0, U256::from(1)), ((1 << 60) + 1, U256::from(1)), (1, U256::from(257)), (1, U256::MAX), (1, U256::ZERO)]
    {
        refused(&draw(size, challenges), IStorageProofs::ChallengeOutOfRange { size, challenges });
    }
    let none = IStorageProofs::verifyBatchCall { indices: vec![], ..tebibyte() };
    let result = ask(&test.chain, message(NOBODY, STORAGE_PROOFS, none.abi_encode()));
    refused(&result, IStorageProofs::ChallengeOutOfRange { size: 1 << 40, challenges: U256::ZERO });
}

#[test]
fn five_challenges_over_a_tebibyte_leave_room_for_a_contract() {
    let test = open(&genesis());
    let result = ask(&test.chain, message(NOBODY, STORAGE_PROOFS, tebibyte().abi_encode()));
    // The calldata alone, by EIP-7623, is nearly all of it; execution would have to exceed it to cost anything.
    let (total, execution) = (result.tx_gas_used(), result.gas().total_gas_spent());
    assert!(total <= 280_000, "{total}");
    assert!(execution + 100_000 <= total, "{execution} of {total}");
}

/// Calldata with a valid selector more often than not.
fn calldata() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let selectors = prop::sample::select(
        abi::INativeMinter::INativeMinterCalls::selectors()
            .chain(ICertificateVerifier::ICertificateVerifierCalls::selectors())
            .chain(IStorageProofs::IStorageProofsCalls::selectors())
            .chain(abi::IRandomness::IRandomnessCalls::selectors())
            .collect::<Vec<_>>(),
    );
    // Words that look like offsets and lengths reach the decoder's corners.
    let word = prop_oneof![
        (0u64..300).prop_map(|small| U256::from(small).to_be_bytes::<32>()),
        any::<[u8; 32]>(),
        Just([0xff; 32]),
    ];
    (0usize..4, selectors, prop::collection::vec(word, 0..24), prop::collection::vec(any::<u8>(), 0..33))
        .prop_map(|(target, selector, words, tail)| (target, [selector.as_slice(), &words.concat(), &tail].concat()))
}

#[test]
fn no_calldata_breaks_a_precompile() {
    let test = open(&minting_genesis());
    let targets = [abi::NATIVE_MINTER, CERTIFICATE_VERIFIER, STORAGE_PROOFS, abi::RANDOMNESS];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(2_000));
    let tried = runner.run(&calldata(), |(target, data)| {
        let result = ask(&test.chain, message(signer(1).address(), targets[target], data));
        prop_assert!(!matches!(result, ExecutionResult::Halt { .. }), "{:?}", result);
        Ok(())
    });
    tried.unwrap();
    for call in [certificate().abi_encode(), tebibyte().abi_encode()] {
        // Of what is cut, more than the padding of the last word is missing.
        for length in (0..call.len() - 32).step_by(7) {
            for target in targets {
                let result = ask(&test.chain, message(NOBODY, target, call[..length].to_vec()));
                assert!(matches!(result, ExecutionResult::Revert { .. }), "{length} bytes: {result:?}");
            }
        }
    }
}
