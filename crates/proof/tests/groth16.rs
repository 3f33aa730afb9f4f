//! Proofs that `Groth16Verifier` is tested with.

#[path = "../examples/groth16/circuit.rs"]
#[allow(dead_code)]
mod circuit;
#[path = "../examples/groth16/groth16.rs"]
#[allow(dead_code)]
mod groth16;

use alloy_primitives::B256;
use circuit::{INPUTS, Transition};
use serde_json::Value;

/// What follows after the first epoch of the inbox's vectors.
fn transition() -> Transition {
    let vector: Value = serde_json::from_str(include_str!("../vectors/inbox.json")).unwrap();
    Transition {
        namespace: 7,
        height: 3,
        state_root: B256::with_last_byte(1),
        inputs: B256::ZERO,
        new_inputs: vector["anchors"][0]["inputs"].as_str().unwrap().parse().unwrap(),
        state_diff: alloy_primitives::keccak256("diff"),
    }
}

#[test]
fn a_proof_is_of_its_public_inputs_and_no_others() {
    let (key, _, proof, values) = circuit::prove(&transition());
    let public = &values[..=INPUTS];
    assert!(key.verify(public, &proof));
    for place in 1..=INPUTS {
        let mut other = public.to_vec();
        other[place] += ark_bn254::Fr::from(1u64);
        assert!(!key.verify(&other, &proof), "input {place}");
    }
}

#[test]
fn the_vectors_of_the_verifier_are_what_the_prover_makes() {
    let made = circuit::statement(&transition());
    let committed: Value = serde_json::from_str(include_str!("../vectors/groth16.json")).unwrap();
    assert!(committed == made, "crates/proof/vectors/groth16.json should hold\n{made:#}");
}
