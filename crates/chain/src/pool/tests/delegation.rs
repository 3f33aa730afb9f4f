//! Accounts that delegate their code (EIP-7702).

use super::*;
use alloy_eips::eip7702::Authorization;
use alloy_signer::SignerSync;

const DELEGATED: AccountState = AccountState { delegated: true, ..RICH };

/// Account 1 delegates for `authority`.
fn set_code(nonce: u64, sender: u8, authority: u8) -> PooledTransaction {
    let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address: Address::repeat_byte(9), nonce: 0 };
    let signature = signer(authority).sign_hash_sync(&authorization.signature_hash()).unwrap();
    let tx = TxEip7702 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 100_000,
        max_fee_per_gas: 10 * GWEI,
        max_priority_fee_per_gas: GWEI,
        authorization_list: vec![authorization.into_signed(signature)],
        ..Default::default()
    };
    decode(&sign(tx, sender)).unwrap()
}

#[test]
fn the_authorities_of_a_transaction_are_known() {
    assert_eq!(set_code(0, 1, 2).authorities(), [signer(2).address()]);
}

#[test]
fn a_delegated_account_has_one_transaction_in_flight() {
    let pool = pool();
    let sender = signer(1).address();
    assert_eq!(pool.add(tx(1, 1), DELEGATED, HEAD).unwrap_err(), PoolError::DelegatedGap { next: 0, nonce: 1 });
    pool.add(tx(0, 1), DELEGATED, HEAD).unwrap();
    let error = pool.add(tx(1, 1), DELEGATED, HEAD).unwrap_err();
    assert_eq!(error, PoolError::DelegatedInFlight { sender, waiting: 0 });
    assert!(error.to_string().starts_with("in-flight transaction limit reached for delegated accounts"));
    // Replacing it is not a second one.
    let dearer = TxEip1559 { max_fee_per_gas: 11 * GWEI, max_priority_fee_per_gas: 2 * GWEI, ..template(0) };
    pool.add(decode(&sign(dearer, 1)).unwrap(), DELEGATED, HEAD).unwrap();
    settle(&pool, 1, AccountState { nonce: 1, ..DELEGATED }, 101);
    let head = HeadState { number: 101, ..HEAD };
    pool.add(tx(1, 1), AccountState { nonce: 1, ..DELEGATED }, head).unwrap();
}

#[test]
fn who_is_about_to_delegate_is_limited_until_that_is_mined() {
    let pool = pool();
    pool.add(set_code(0, 1, 2), RICH, HEAD).unwrap();
    pool.add(tx(0, 2), RICH, HEAD).unwrap();
    let error = pool.add(tx(1, 2), RICH, HEAD).unwrap_err();
    assert_eq!(error, PoolError::DelegatedInFlight { sender: signer(2).address(), waiting: 0 });
    // The transaction leaves without having delegated anything.
    settle(&pool, 1, AccountState { nonce: 1, ..RICH }, 101);
    pool.add(tx(1, 2), RICH, HeadState { number: 101, ..HEAD }).unwrap();
}

#[test]
fn nobody_can_delegate_an_account_with_a_queue() {
    let pool = pool();
    [0, 1].into_iter().for_each(|nonce| drop(pool.add(tx(nonce, 2), RICH, HEAD).unwrap()));
    let error = pool.add(set_code(0, 1, 2), RICH, HEAD).unwrap_err();
    assert_eq!(error, PoolError::AuthorityReserved { authority: signer(2).address(), count: 2 });
    settle(&pool, 2, AccountState { nonce: 1, ..RICH }, 101);
    pool.add(set_code(0, 1, 2), RICH, HeadState { number: 101, ..HEAD }).unwrap();
}
