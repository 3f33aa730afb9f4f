//! The circuit: `state = (((state + word) + c₀)⁵ + c₁)⁵ …` for each word of what was ordered, after MiMC.
//!
//! Eight rounds are far from what such a hash needs; the proof system does not care.
//! Source: Albrecht et al., MiMC (2016).

use super::groth16::{Key, Linear, Proof, R1cs};
use alloy_primitives::{B256, keccak256};
use ark_bn254::Fr;
use ark_ff::{BigInteger as _, PrimeField as _, Zero as _};
use serde_json::{Value, json};

/// Public inputs, in the order of `Groth16Verifier`.
pub const INPUTS: usize = 9;
const ROUNDS: u32 = 8;
const STATE: usize = 2;
const NEW_STATE: usize = 3;
/// Public inputs that are hashed: all but the states.
const WORDS: [usize; 7] = [1, 4, 5, 6, 7, 8, 9];

/// What is proven, without the state that follows.
#[derive(Clone, Copy, Debug)]
pub struct Transition {
    pub namespace: u64,
    pub height: u64,
    pub state_root: B256,
    pub inputs: B256,
    pub new_inputs: B256,
    pub state_diff: B256,
}

impl Transition {
    /// From words of a command line.
    pub fn parse(words: &[String]) -> Option<Self> {
        let [namespace, height, state_root, inputs, new_inputs, state_diff] = words else { return None };
        Some(Self {
            namespace: namespace.parse().ok()?,
            height: height.parse().ok()?,
            state_root: state_root.parse().ok()?,
            inputs: inputs.parse().ok()?,
            new_inputs: new_inputs.parse().ok()?,
            state_diff: state_diff.parse().ok()?,
        })
    }

    /// Constant and public inputs; the new state is still missing.
    fn public(&self) -> Vec<Fr> {
        let half = |bytes: &[u8]| Fr::from_be_bytes_mod_order(bytes);
        let place = Fr::from(u128::from(self.namespace) << 64 | u128::from(self.height));
        let mut public =
            vec![Fr::from(1u64), place, Fr::from_be_bytes_mod_order(self.state_root.as_slice()), Fr::zero()];
        for word in [self.inputs, self.new_inputs, self.state_diff] {
            public.extend([half(&word[..16]), half(&word[16..])]);
        }
        public
    }
}

/// The constraints, and with a transition the values that meet them.
pub fn circuit(transition: &Transition) -> (R1cs, Vec<Fr>) {
    let mut values = transition.public();
    let mut r1cs = R1cs::new(INPUTS);
    let mut state: Linear = vec![(STATE, Fr::from(1u64))];
    let last = (WORDS.len() - 1, ROUNDS - 1);
    for (place, word) in WORDS.into_iter().enumerate() {
        state.push((word, Fr::from(1u64)));
        for round in 0..ROUNDS {
            state.push((0, constant(round)));
            let square = r1cs.multiply(&mut values, &state, &state);
            let fourth = r1cs.multiply(&mut values, &square, &square);
            state = match (place, round) == last {
                true => r1cs.multiply_into(&mut values, &fourth, &state, NEW_STATE),
                false => r1cs.multiply(&mut values, &fourth, &state),
            };
        }
    }
    (r1cs, values)
}

fn constant(round: u32) -> Fr {
    Fr::from_be_bytes_mod_order(keccak256([b"kumo/example/mimc".as_slice(), &round.to_be_bytes()].concat()).as_slice())
}

/// Key, new state and proof.
pub fn prove(transition: &Transition) -> (Key, B256, Proof, Vec<Fr>) {
    let (r1cs, values) = circuit(transition);
    let key = Key::setup(&r1cs, b"kumo/example/groth16");
    let proof = key.prove(&r1cs, &values);
    let state = B256::from_slice(&values[NEW_STATE].into_bigint().to_bytes_be());
    (key, state, proof, values)
}

/// The same as JSON.
pub fn statement(transition: &Transition) -> Value {
    let (key, state, proof, _) = prove(transition);
    json!({
        "namespace": transition.namespace,
        "height": transition.height,
        "stateRoot": transition.state_root,
        "newStateRoot": state,
        "inputs": transition.inputs,
        "newInputs": transition.new_inputs,
        "stateDiff": transition.state_diff,
        "key": key.words(),
        "proof": proof.encode(),
    })
}
