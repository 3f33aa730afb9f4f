//! Randomness answers what its contract answers.

use super::*;
use crate::{evm::constructor_evm, predeploys::system_contracts, test_support::attributes};
use abi::{IRandomness, RANDOMNESS};
use alloy_eips::eip4788::SYSTEM_ADDRESS;
use proptest::prelude::*;

/// A chain of eight blocks on which the contract stands behind the precompile.
fn chain() -> TestChain {
    let contract = system_contracts(NOBODY).into_iter().find(|predeploy| predeploy.address == RANDOMNESS).unwrap();
    let test = with_contracts(vec![contract]);
    (0..8).for_each(|_| drop(test.advance(&[])));
    test
}

/// What precompile and contract say in a block of this number.
fn both(chain: &Chain, number: U256, message: &TxEnv) -> [(bool, Bytes); 2] {
    let mut env = next_env(chain);
    env.block_env.number = number;
    let state = || CacheDB::new(chain.state(chain.head().number()).unwrap());
    let precompile = evm(chain.rules(), state(), env.clone()).transact(message.clone()).unwrap().result;
    let contract = constructor_evm(state(), env).transact(message.clone()).unwrap().result;
    [precompile, contract].map(|result| (result.is_success(), result.output().cloned().unwrap_or_default()))
}

#[test]
fn the_chain_writes_what_the_header_says_and_the_contract_finds_it() {
    let test = chain();
    for number in 1..=8u64 {
        let expected = test.chain.block_by_number(number).unwrap().unwrap().header.mix_hash;
        let question = IRandomness::atCall { blockNumber: U256::from(number) }.abi_encode();
        let answers = both(&test.chain, U256::from(9), &message(NOBODY, RANDOMNESS, question));
        assert_eq!(answers[0], (true, expected.0.into()));
        assert_eq!(answers[0], answers[1]);
        let settled = view(&test.chain, RANDOMNESS, IRandomness::settledCall { blockNumber: U256::from(number) });
        assert_eq!(settled, expected);
    }
}

#[test]
fn the_value_of_the_block_itself_is_not_settled() {
    let test = chain();
    let question = IRandomness::settledCall { blockNumber: U256::from(9) }.abi_encode();
    let result = ask(&test.chain, message(NOBODY, RANDOMNESS, question));
    refused(&result, IRandomness::NotSettled { blockNumber: U256::from(9), current: U256::from(9) });
}

#[test]
fn only_the_chain_writes() {
    let test = chain();
    let set = IRandomness::setCall { value: attributes(&test.chain.head()).randomness }.abi_encode();
    let result = ask(&test.chain, message(NOBODY, RANDOMNESS, set.clone()));
    refused(&result, IRandomness::NotSystem { caller: NOBODY });
    assert!(ask(&test.chain, message(SYSTEM_ADDRESS, RANDOMNESS, set)).is_success());
}

#[test]
fn the_ring_costs_less_than_its_contract() {
    let test = chain();
    let question = message(NOBODY, RANDOMNESS, IRandomness::atCall { blockNumber: U256::from(3) }.abi_encode());
    let state = CacheDB::new(test.chain.state(8).unwrap());
    let contract = constructor_evm(state, next_env(&test.chain)).transact(question.clone()).unwrap().result;
    assert!(ask(&test.chain, question).tx_gas_used() < contract.tx_gas_used());
}

/// Calldata of one function, with garbage behind it, in a block of some number.
fn question() -> impl Strategy<Value = (U256, Vec<u8>)> {
    let asked = prop_oneof![0u64..20, 8_180u64..8_210, any::<u64>()];
    let current = prop_oneof![9u64..20, 8_190u64..8_210, any::<u64>()];
    (0u8..5, asked, current, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(which, asked, current, garbage)| {
        let asked = U256::from(asked);
        let call = match which {
            0 => IRandomness::atCall { blockNumber: asked }.abi_encode(),
            1 => IRandomness::settledCall { blockNumber: asked }.abi_encode(),
            2 => IRandomness::RING_BLOCKSCall {}.abi_encode(),
            3 => IRandomness::setCall { value: asked.into() }.abi_encode(),
            _ => Vec::new(),
        };
        (U256::from(current), [call, garbage].concat())
    })
}

#[test]
fn precompile_and_contract_agree() {
    let test = chain();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(1_000));
    let tried = runner.run(&question(), |(current, data)| {
        let cut = data.len().saturating_sub(data.len() % 7);
        for data in [&data[..cut], &data] {
            let question = message(NOBODY, RANDOMNESS, data.to_vec());
            let [precompile, contract] = both(&test.chain, current, &question);
            prop_assert_eq!(precompile, contract);
        }
        Ok(())
    });
    tried.unwrap();
}
