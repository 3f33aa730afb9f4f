//! Who makes coin, how much, and what a reverted frame leaves of it.

use super::*;
use crate::{
    ChainError,
    test_support::{FEE_MAX, call, signed},
};
use abi::{BURN, INativeMinter, NATIVE_MINTER};
use alloy_consensus::TxEip1559;
use alloy_sol_types::SolEvent;

fn mint(to: Address, amount: u128) -> Bytes {
    INativeMinter::mintCall { to, amount: U256::from(amount) }.abi_encode().into()
}

fn minted(chain: &Chain) -> (U256, U256) {
    let minted = view(chain, NATIVE_MINTER, INativeMinter::mintedCall {});
    (minted, view(chain, NATIVE_MINTER, INativeMinter::mintedInEpochCall {}))
}

fn balance(chain: &Chain, account: Address) -> U256 {
    chain.state(chain.head().number()).unwrap().balance(account).unwrap()
}

#[test]
fn a_minter_makes_coin_and_everybody_sees_it() {
    let test = open(&minting_genesis());
    let (_, record) = test.advance(&[signed(1, call(0, NATIVE_MINTER, mint(NOBODY, COIN)))]);
    assert_eq!(status(&record), [true]);
    let log = &record.receipts[0].logs()[0];
    assert_eq!(log.address, NATIVE_MINTER);
    let event =
        INativeMinter::Minted { minter: signer(1).address(), to: NOBODY, amount: U256::from(COIN), epoch: U256::ZERO };
    assert_eq!(INativeMinter::Minted::decode_log_data(&log.data).unwrap(), event);
    assert_eq!(balance(&test.chain, NOBODY), U256::from(COIN));
    assert_eq!(minted(&test.chain), (U256::from(COIN), U256::from(COIN)));
    let supply = test.chain.supply().unwrap();
    assert_eq!((supply.minted, supply.total), (U256::from(COIN), U256::from(3_001 * COIN)));
    assert_eq!(test.chain.verify_supply().unwrap(), supply);
}

#[test]
fn genesis_says_who_may_mint_and_how_much() {
    let test = open(&minting_genesis());
    let is_minter = |account| view(&test.chain, NATIVE_MINTER, INativeMinter::isMinterCall { account });
    assert!(is_minter(signer(1).address()) && is_minter(MINTER));
    assert!(!is_minter(signer(2).address()) && !is_minter(Address::ZERO));
    assert_eq!(view(&test.chain, NATIVE_MINTER, INativeMinter::capCall {}), U256::from(CAP));
    let result = ask(&test.chain, message(signer(2).address(), NATIVE_MINTER, mint(NOBODY, 1)));
    refused(&result, INativeMinter::NotMinter { caller: signer(2).address() });

    let without = open(&genesis());
    let result = ask(&without.chain, message(signer(1).address(), NATIVE_MINTER, mint(NOBODY, 1)));
    refused(&result, INativeMinter::NotMinter { caller: signer(1).address() });
    assert_eq!(view(&without.chain, NATIVE_MINTER, INativeMinter::epochCall {}), U256::ZERO);
}

#[test]
fn the_rules_of_minting_are_part_of_the_genesis_hash() {
    let rules = minting_genesis().mint.unwrap();
    let variants = [
        None,
        Some(rules.clone()),
        Some(MintRules { epoch_blocks: EPOCH_BLOCKS + 1, ..rules.clone() }),
        Some(MintRules { cap_wei: U256::from(CAP + 1), ..rules.clone() }),
        Some(MintRules { minters: vec![MINTER], ..rules.clone() }),
    ];
    let hashes: std::collections::BTreeSet<_> = variants
        .iter()
        .map(|mint| open(&GenesisSpec { mint: mint.clone(), ..genesis() }).chain.genesis_hash())
        .collect();
    assert_eq!(hashes.len(), variants.len());
    let timeless = GenesisSpec { mint: Some(MintRules { epoch_blocks: 0, ..rules }), ..genesis() };
    let dir = tempfile::tempdir().unwrap();
    let error = Chain::open(dir.path(), &timeless, ChainConfig::default()).unwrap_err();
    assert!(matches!(error, ChainError::Genesis { address: NATIVE_MINTER, .. }), "{error}");
}

#[test]
fn the_cap_holds_for_all_minters_together_and_returns_with_the_epoch() {
    let test = with_contracts(vec![contract(MINTER, &forwarder(NATIVE_MINTER, Forward::Call))]);
    let (direct, through) = (CAP - 3, 3);
    let (_, record) = test.advance(&[
        signed(1, call(0, NATIVE_MINTER, mint(NOBODY, direct))),
        signed(2, call(0, MINTER, mint(NOBODY, through + 1))),
        signed(2, call(1, MINTER, mint(NOBODY, through))),
        signed(2, call(2, MINTER, mint(NOBODY, 1))),
    ]);
    let mut statuses = status(&record);
    statuses.sort_unstable();
    assert_eq!(statuses, [false, false, true, true]);
    assert_eq!(minted(&test.chain), (U256::from(CAP), U256::from(CAP)));
    let result = ask(&test.chain, message(signer(1).address(), NATIVE_MINTER, mint(NOBODY, 1)));
    refused(&result, INativeMinter::CapExceeded { epoch: U256::ZERO, asked: U256::from(1), left: U256::ZERO });
    let nothing = ask(&test.chain, message(signer(1).address(), NATIVE_MINTER, mint(NOBODY, 0)));
    assert!(nothing.is_success());

    for _ in 2..EPOCH_BLOCKS {
        test.advance(&[]);
    }
    assert_eq!(view(&test.chain, NATIVE_MINTER, INativeMinter::epochCall {}), U256::from(1), "in the block to come");
    assert_eq!(minted(&test.chain), (U256::from(CAP), U256::ZERO));
    let (_, record) = test.advance(&[signed(1, call(1, NATIVE_MINTER, mint(NOBODY, CAP)))]);
    assert_eq!((record.number(), status(&record)), (EPOCH_BLOCKS, vec![true]));
    assert_eq!(minted(&test.chain), (U256::from(2 * CAP), U256::from(CAP)));
    test.chain.verify_supply().unwrap();
}

#[test]
fn all_coin_ever_fits_in_256_bits() {
    let mut spec = minting_genesis();
    spec.mint.as_mut().unwrap().cap_wei = U256::MAX;
    spec.alloc.insert(NOBODY, U256::MAX - U256::from(3_000 * COIN) - U256::from(5));
    let test = open(&spec);
    let result = ask(&test.chain, message(signer(1).address(), NATIVE_MINTER, mint(NOBODY, 6)));
    refused(&result, INativeMinter::CapExceeded { epoch: U256::ZERO, asked: U256::from(6), left: U256::from(5) });
    let (_, record) = test.advance(&[signed(1, call(0, NATIVE_MINTER, mint(NOBODY, 5)))]);
    assert_eq!(status(&record), [true]);
    assert_eq!(test.chain.verify_supply().unwrap().total, U256::MAX);
}

#[test]
fn only_a_plain_call_mints() {
    let by = |how| with_contracts(vec![contract(MINTER, &forwarder(NATIVE_MINTER, how))]);
    let tried = |how| ask(&by(how).chain, message(signer(2).address(), MINTER, mint(NOBODY, 1)));
    assert!(tried(Forward::Call).is_success());
    refused(&tried(Forward::Delegate), INativeMinter::NotDirect {});
    refused(&tried(Forward::CallCode), INativeMinter::NotDirect {});
    refused(&tried(Forward::Static), INativeMinter::ReadOnly {});
    // A contract that is no minter cannot borrow the right of who calls it.
    let outsider = with_contracts(vec![contract(OUTSIDER, &forwarder(NATIVE_MINTER, Forward::Delegate))]);
    let result = ask(&outsider.chain, message(signer(1).address(), OUTSIDER, mint(NOBODY, 1)));
    refused(&result, INativeMinter::NotDirect {});
    let outsider = with_contracts(vec![contract(OUTSIDER, &forwarder(NATIVE_MINTER, Forward::Call))]);
    let result = ask(&outsider.chain, message(signer(1).address(), OUTSIDER, mint(NOBODY, 1)));
    refused(&result, INativeMinter::NotMinter { caller: OUTSIDER });
}

#[test]
fn what_a_reverted_frame_minted_was_never_minted() {
    // The minter mints and reverts; whoever called it goes on.
    let test = with_contracts(vec![
        contract(MINTER, &forwarder(NATIVE_MINTER, Forward::ThenRevert)),
        contract(OUTSIDER, &forwarder(MINTER, Forward::ThenStop)),
    ]);
    let (_, record) = test
        .advance(&[signed(2, call(0, OUTSIDER, mint(NOBODY, COIN))), signed(2, call(1, MINTER, mint(NOBODY, COIN)))]);
    assert_eq!(status(&record), [true, false]);
    assert!(record.receipts.iter().all(|receipt| receipt.logs().is_empty()));
    assert_eq!(balance(&test.chain, NOBODY), U256::ZERO);
    assert_eq!(minted(&test.chain), (U256::ZERO, U256::ZERO));
    test.chain.verify_supply().unwrap();
}

#[test]
fn minting_is_paid_before_it_is_done() {
    let test = open(&minting_genesis());
    let gas = |gas_limit| TxEnv { gas_limit, ..message(signer(1).address(), NATIVE_MINTER, mint(NOBODY, 1)) };
    let used = ask(&test.chain, gas(1_000_000)).tx_gas_used();
    assert!((80_000..160_000).contains(&used), "{used}");
    assert!(ask(&test.chain, gas(used)).is_success());
    for less in [1, 500, 3_000, 30_000] {
        let result = ask(&test.chain, gas(used - less));
        assert!(matches!(result, ExecutionResult::Halt { .. }), "{less} less: {result:?}");
    }
    let poor = TxEip1559 { gas_limit: used - 1, ..call(0, NATIVE_MINTER, mint(NOBODY, 1)) };
    let (_, record) = test.advance(&[signed(1, poor)]);
    assert_eq!((status(&record), minted(&test.chain).0), (vec![false], U256::ZERO));
}

#[test]
fn coin_minted_to_a_contract_that_destroys_itself_is_burned() {
    let minter = signer(3).address().create(0);
    let data = mint(minter, COIN);
    // codecopy(0, 21, 68); call(gas, minter, 0, 0, 68, 0, 0); pop; selfdestruct(address), with the calldata behind.
    let mut code = vec![0x60, 0x44, 0x60, 0, 0x5f, 0x39, 0x5f, 0x5f, 0x60, 0x44, 0x5f, 0x5f, 0x73];
    code.extend(NATIVE_MINTER);
    code.extend([0x5a, 0xf1, 0x50, 0x30, 0xff]);
    code[3] = code.len() as u8;
    code.extend(data);
    let test = open(&minting_genesis());
    let creation = TxEip1559 { value: U256::from(7), ..crate::test_support::creation(0, code.into()) };
    let (_, record) = test.advance(&[signed(3, creation)]);
    assert_eq!(status(&record), [true]);
    assert_eq!(minted(&test.chain).0, U256::from(COIN));
    assert_eq!(balance(&test.chain, BURN), U256::from(COIN + 7));
    let supply = test.chain.verify_supply().unwrap();
    assert_eq!((supply.burned, supply.circulating), (U256::from(COIN + 7), U256::from(3_000 * COIN - 7)));
}

#[test]
fn calls_and_estimates_see_the_minter() {
    let test = open(&minting_genesis());
    let needed = ask(&test.chain, message(signer(1).address(), NATIVE_MINTER, mint(NOBODY, 1))).tx_gas_used();
    let transaction =
        TxEip1559 { gas_limit: needed, max_fee_per_gas: FEE_MAX, ..call(0, NATIVE_MINTER, mint(NOBODY, 1)) };
    let (_, record) = test.advance(&[signed(1, transaction)]);
    assert_eq!((status(&record), record.gas_used[0]), (vec![true], needed));
}
