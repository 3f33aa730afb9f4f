//! The precompiles as contracts and wallets meet them.

mod answers;
mod minting;
mod ring;

use crate::{
    BlockRecord, Chain, ChainConfig, GenesisSpec, MintRules, Predeploy,
    evm::evm,
    test_support::{CHAIN_ID, COIN, TestChain, attributes, deployer, genesis, signer},
};
use alloy_evm::{Evm, EvmEnv};
use alloy_primitives::{Address, Bytes, TxKind, U256, address};
use alloy_sol_types::{SolCall, SolError};
use protocol::abi;
use revm::{context::TxEnv, context_interface::result::ExecutionResult, database::CacheDB};

/// Blocks of an epoch in these tests.
const EPOCH_BLOCKS: u64 = 4;
/// Wei that may be minted in one.
const CAP: u128 = 10 * COIN;
/// A contract that may mint.
const MINTER: Address = address!("0x00000000000000000000000000000000000c0de1");
/// A contract that may not.
const OUTSIDER: Address = address!("0x00000000000000000000000000000000000c0de2");
const NOBODY: Address = Address::repeat_byte(0x77);

/// How a contract calls, and what it does then.
#[derive(Clone, Copy)]
enum Forward {
    /// Returns or reverts with what the callee did.
    Call,
    Delegate,
    CallCode,
    Static,
    /// Reverts in any case.
    ThenRevert,
    /// Succeeds in any case.
    ThenStop,
}

/// Runtime that hands its calldata on to `target`.
fn forwarder(target: Address, how: Forward) -> Vec<u8> {
    let (opcode, takes_value) = match how {
        Forward::Call | Forward::ThenRevert | Forward::ThenStop => (0xf1, true),
        Forward::CallCode => (0xf2, true),
        Forward::Delegate => (0xf4, false),
        Forward::Static => (0xfa, false),
    };
    // calldatacopy(0, 0, size); then the arguments of the call, from the last to the first.
    let mut code = vec![0x36, 0x5f, 0x5f, 0x37, 0x5f, 0x5f, 0x36, 0x5f];
    code.extend(takes_value.then_some(0x5f));
    code.push(0x73);
    code.extend(target);
    code.extend([0x5a, opcode]);
    match how {
        Forward::ThenRevert => code.extend([0x5f, 0x5f, 0xfd]),
        Forward::ThenStop => code.push(0x00),
        _ => {
            // returndatacopy(0, 0, size); jumpi(success) to a return, else revert.
            code.extend([0x3d, 0x5f, 0x5f, 0x3e, 0x60]);
            let target = code.len() as u8 + 5;
            code.extend([target, 0x57, 0x3d, 0x5f, 0xfd, 0x5b, 0x3d, 0x5f, 0xf3]);
        }
    }
    code
}

fn contract(address: Address, runtime: &[u8]) -> Predeploy {
    let name = "Forwarder".into();
    Predeploy { name, address, creation_code: deployer(runtime), init_calls: Vec::new() }
}

/// Genesis in which key 1, [`MINTER`] and the first contract of key 3 may mint.
fn minting_genesis() -> GenesisSpec {
    let minters = vec![signer(1).address(), MINTER, signer(3).address().create(0)];
    let mint = MintRules { epoch_blocks: EPOCH_BLOCKS, cap_wei: U256::from(CAP), minters };
    GenesisSpec { mint: Some(mint), ..genesis() }
}

fn open(genesis: &GenesisSpec) -> TestChain {
    TestChain::of(genesis, ChainConfig::default())
}

/// A chain on which `contracts` stand.
fn with_contracts(contracts: Vec<Predeploy>) -> TestChain {
    open(&GenesisSpec { predeploys: contracts, ..minting_genesis() })
}

/// Environment of the block after the head, in which nobody pays for gas.
fn next_env(chain: &Chain) -> EvmEnv {
    let mut env = chain.next_evm_env(attributes(&chain.head()));
    env.cfg_env.disable_base_fee = true;
    env.cfg_env.disable_nonce_check = true;
    env.cfg_env.disable_eip3607 = true;
    env
}

fn message(from: Address, to: Address, data: impl Into<Bytes>) -> TxEnv {
    TxEnv {
        caller: from,
        kind: TxKind::Call(to),
        data: data.into(),
        gas_limit: 16_000_000,
        chain_id: Some(CHAIN_ID),
        ..Default::default()
    }
}

/// What a call on the head gives, without keeping it.
fn ask(chain: &Chain, message: TxEnv) -> ExecutionResult {
    let state = CacheDB::new(chain.state(chain.head().number()).unwrap());
    let mut evm = evm(chain.rules(), state, next_env(chain));
    evm.transact(message).expect("no calldata is a failure of the node").result
}

/// The answer of a view.
fn view<C: SolCall>(chain: &Chain, to: Address, call: C) -> C::Return {
    let result = ask(chain, message(NOBODY, to, call.abi_encode()));
    assert!(result.is_success(), "{result:?}");
    C::abi_decode_returns(result.output().unwrap()).unwrap()
}

/// Asserts that a call is refused with this error.
fn refused<E: SolError + std::fmt::Debug + PartialEq>(result: &ExecutionResult, error: E) {
    assert!(matches!(result, ExecutionResult::Revert { .. }), "{result:?}");
    assert_eq!(E::abi_decode(result.output().unwrap()).expect("the error is this one"), error);
}

fn status(record: &BlockRecord) -> Vec<bool> {
    record.receipts.iter().map(|receipt| receipt.is_success()).collect()
}

#[test]
fn precompiles_have_code_for_solidity_and_cannot_be_paid() {
    let test = open(&minting_genesis());
    let state = test.chain.state(0).unwrap();
    for (name, address) in abi::PRECOMPILES.into_iter().chain([("Randomness", abi::RANDOMNESS)]) {
        assert_eq!(state.code(address).unwrap().original_bytes(), super::MARKER, "{name}");
        assert_eq!(state.nonce(address).unwrap(), 1);
        let paid = TxEnv { value: U256::from(1), ..message(signer(1).address(), address, Bytes::new()) };
        let result = ask(&test.chain, paid);
        assert!(matches!(&result, ExecutionResult::Revert { output, .. } if output.is_empty()), "{name}: {result:?}");
    }
}

#[test]
fn an_address_next_to_a_precompile_is_an_ordinary_one() {
    let test = open(&minting_genesis());
    let beside = address!("0x0000000000000000000000000000000000A4E103");
    assert!(ask(&test.chain, message(NOBODY, beside, vec![1, 2, 3])).is_success());
}
