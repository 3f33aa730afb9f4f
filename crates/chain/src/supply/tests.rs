use super::*;
use crate::{
    GenesisSpec, MintRules,
    state::Change,
    test_support::{COIN, TestChain, call, creation, genesis, signed, signer, transfer},
};
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, Bytes};
use alloy_sol_types::SolCall;
use proptest::prelude::*;
use protocol::abi::{INativeMinter, NATIVE_MINTER};

fn account(wei: u64) -> Option<TrieAccount> {
    Some(TrieAccount { balance: U256::from(wei), ..Default::default() })
}

fn overlay(accounts: &[(Option<TrieAccount>, Option<TrieAccount>)]) -> Overlay {
    let change =
        |(index, (old, new)): (usize, &(_, _))| (Address::with_last_byte(index as u8), Change { old: *old, new: *new });
    Overlay { accounts: accounts.iter().enumerate().map(change).collect(), ..Default::default() }
}

#[test]
fn a_block_that_moves_coin_is_accepted() {
    assert!(check_balances(1, &overlay(&[])).is_ok());
    assert!(check_balances(1, &overlay(&[(account(5), account(2)), (None, account(3))])).is_ok());
    assert!(check_balances(1, &overlay(&[(account(5), None), (account(1), account(6))])).is_ok());
}

#[test]
fn a_block_that_makes_or_destroys_coin_is_refused_with_both_sums() {
    for (after, changes) in
        [(6, [(account(5), account(2)), (None, account(4))]), (4, [(account(5), None), (None, account(4))])]
    {
        let error = check_balances(9, &overlay(&changes)).unwrap_err();
        let expected = [U256::from(5), U256::from(after), U256::ZERO];
        assert!(
            matches!(error, ChainError::SupplyChanged { number: 9, before, after, minted } if [before, after, minted] == expected),
            "{error}"
        );
    }
    let max = Some(TrieAccount { balance: U256::MAX, ..Default::default() });
    assert!(check_balances(1, &overlay(&[(max, max), (max, max)])).is_err(), "sums that overflow");
}

/// One thing that somebody does with coin.
#[derive(Clone, Debug)]
enum Move {
    Transfer {
        from: u8,
        to: u8,
        wei: u128,
    },
    /// A contract that keeps what it was given.
    Create {
        from: u8,
        wei: u128,
    },
    /// A contract that destroys itself while it is made, in favour of itself or of another.
    Destroy {
        from: u8,
        wei: u128,
        heir: Option<u8>,
    },
    Mint {
        from: u8,
        to: u8,
        wei: u128,
    },
}

fn moves() -> impl Strategy<Value = Move> {
    let (key, wei) = (1u8..4, prop_oneof![0u128..10, 0..2 * COIN, Just(990 * COIN)]);
    let heir = prop::option::of(0u8..8);
    prop_oneof![
        (key.clone(), any::<u8>(), wei.clone()).prop_map(|(from, to, wei)| Move::Transfer { from, to, wei }),
        (key.clone(), wei.clone()).prop_map(|(from, wei)| Move::Create { from, wei }),
        (key.clone(), wei.clone(), heir).prop_map(|(from, wei, heir)| Move::Destroy { from, wei, heir }),
        (key, any::<u8>(), wei).prop_map(|(from, to, wei)| Move::Mint { from, to, wei }),
    ]
}

fn transaction(nonces: &mut [u64; 4], step: &Move) -> Bytes {
    let mut next = |from: u8| {
        nonces[usize::from(from)] += 1;
        nonces[usize::from(from)] - 1
    };
    let destroying = |heir: &Option<u8>| match heir {
        None => Bytes::from_static(&[0x30, 0xff]),
        Some(heir) => Bytes::copy_from_slice(&[0x60, *heir, 0xff]),
    };
    match step {
        Move::Transfer { from, to, wei } => {
            let gas_limit = 100_000;
            signed(*from, TxEip1559 { gas_limit, ..transfer(next(*from), Address::with_last_byte(*to), *wei) })
        }
        Move::Create { from, wei } => {
            signed(*from, TxEip1559 { value: U256::from(*wei), ..creation(next(*from), Bytes::new()) })
        }
        Move::Destroy { from, wei, heir } => {
            signed(*from, TxEip1559 { value: U256::from(*wei), ..creation(next(*from), destroying(heir)) })
        }
        Move::Mint { from, to, wei } => {
            let mint = INativeMinter::mintCall { to: Address::with_last_byte(*to), amount: U256::from(*wei) };
            signed(*from, call(next(*from), NATIVE_MINTER, mint.abi_encode().into()))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_sum_of_all_balances_is_genesis_and_what_was_minted(
        blocks in prop::collection::vec(prop::collection::vec(moves(), 0..8), 1..6),
    ) {
        let minters = vec![signer(1).address(), signer(2).address()];
        let mint = Some(MintRules { epoch_blocks: 2, cap_wei: U256::from(3 * COIN), minters });
        let test = TestChain::of(&GenesisSpec { mint, ..genesis() }, Default::default());
        let mut waiting = Vec::new();
        let mut nonces = [0; 4];
        for block in blocks {
            waiting.extend(block.iter().map(|step| transaction(&mut nonces, step)));
            let (proposed, record) = test.advance(&waiting);
            let done: std::collections::BTreeSet<usize> = proposed.included.iter().copied().collect();
            let rest = waiting.iter().enumerate().filter(|(index, _)| !done.contains(index));
            waiting = rest.map(|(_, transaction)| transaction.clone()).collect();
            let counted = test.chain.verify_supply().unwrap();
            prop_assert_eq!(counted, test.chain.supply().unwrap());
            let logs = record.receipts.iter().flat_map(|receipt| receipt.logs());
            prop_assert!(counted.minted >= U256::ZERO && logs.count() <= block.len() + waiting.len() + done.len());
        }
    }
}
