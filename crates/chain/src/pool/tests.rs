//! The pool without a chain: accounts and heads are made up.

mod delegation;
mod full;
mod model;
mod restart;

use super::*;
use crate::InvalidTransaction;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_network::TxSignerSync;
use alloy_primitives::{TxKind, U256};
use alloy_signer_local::PrivateKeySigner;
use proptest::prelude::*;

const CHAIN_ID: u64 = 5886;
const GWEI: u128 = 1_000_000_000;
const RICH: AccountState = AccountState { nonce: 0, balance: U256::MAX, has_code: false, delegated: false };
const HEAD: HeadState = HeadState { number: 100, timestamp: 1_000, base_fee: 1_000_000_000, gas_limit: 30_000_000 };

fn signer(account: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(account)).unwrap()
}

fn template(nonce: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 100_000,
        max_fee_per_gas: 10 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to: TxKind::Call(Address::ZERO),
        ..Default::default()
    }
}

fn sign<T: SignableTransaction<alloy_primitives::Signature>>(mut tx: T, account: u8) -> Bytes
where
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    let signature = signer(account).sign_transaction_sync(&mut tx).unwrap();
    TxEnvelope::from(tx.into_signed(signature)).encoded_2718().into()
}

fn pool() -> Pool {
    Pool::new(CHAIN_ID, PoolLimits::default())
}

fn pool_of(limits: PoolLimits) -> Pool {
    limits.check().unwrap();
    Pool::new(CHAIN_ID, limits)
}

fn decode(raw: &Bytes) -> Result<PooledTransaction, PoolError> {
    pool().decode(raw.clone())
}

/// A transaction of an account that nobody has a key of: the pool believes who recovered it.
fn of(sender: Address, tx: TxEip1559) -> PooledTransaction {
    let unsigned = alloy_primitives::Signature::new(U256::from(sender.into_word().0[31] as u64 + 1), U256::ONE, false);
    Pool::trusted(&Recovered::new_unchecked(tx.into_signed(unsigned).into(), sender)).unwrap()
}

fn settle(pool: &Pool, account: u8, state: AccountState, head: u64) {
    pool.settle(&[(signer(account).address(), state)], head).unwrap();
}

fn tx(nonce: u64, account: u8) -> PooledTransaction {
    decode(&sign(template(nonce), account)).unwrap()
}

fn pool_with(nonces: &[u64]) -> Pool {
    let pool = pool();
    for nonce in nonces {
        pool.add(tx(*nonce, 1), RICH, HEAD).unwrap();
    }
    pool
}

fn nonces(txs: &[Arc<PooledTransaction>]) -> Vec<u64> {
    txs.iter().map(|tx| tx.nonce()).collect()
}

#[test]
fn a_decoded_transaction_knows_its_sender_hash_and_cost() {
    let raw = sign(TxEip1559 { value: U256::from(5), ..template(3) }, 1);
    let tx = decode(&raw).unwrap();
    assert_eq!((tx.sender, tx.nonce()), (signer(1).address(), 3));
    assert_eq!(tx.cost, U256::from(100_000u128 * 10 * GWEI + 5));
    assert_eq!((tx.hash, &tx.raw), (alloy_primitives::keccak256(&raw), &raw));
    assert_eq!(tx.decoded().encoded_2718(), raw);
}

#[test]
fn intrinsic_gas_counts_data_lists_and_authorizations() {
    let at = |gas_limit: u64| TxEip1559 { gas_limit, input: vec![1; 100].into(), ..template(0) };
    // 21,000 + 100 × 16 would do for execution, but the floor of EIP-7623 is 21,000 + 100 × 40.
    assert_eq!(decode(&sign(at(22_599), 1)).unwrap_err(), PoolError::IntrinsicGas { gas: 22_599, needed: 22_600 });
    assert_eq!(decode(&sign(at(24_999), 1)).unwrap_err(), PoolError::FloorDataGas { gas: 24_999, needed: 25_000 });
    assert!(decode(&sign(at(25_000), 1)).is_ok());

    let item = AccessListItem { address: Address::ZERO, storage_keys: vec![B256::ZERO; 2] };
    let listed = |gas_limit: u64| TxEip2930 {
        chain_id: CHAIN_ID,
        gas_limit,
        gas_price: GWEI,
        access_list: AccessList(vec![item.clone()]),
        ..Default::default()
    };
    let needed = 21_000 + 32_000 + 2_400 + 2 * 1_900;
    assert_eq!(decode(&sign(listed(needed - 1), 1)).unwrap_err(), PoolError::IntrinsicGas { gas: needed - 1, needed });
    assert!(decode(&sign(listed(needed), 1)).is_ok());
}

#[test]
fn set_code_transactions_need_an_authorization() {
    let tx = TxEip7702 { chain_id: CHAIN_ID, gas_limit: 100_000, max_fee_per_gas: GWEI, ..Default::default() };
    assert_eq!(decode(&sign(tx, 1)).unwrap_err(), PoolError::NoAuthorization);
}

#[test]
fn a_cost_beyond_256_bits_is_refused() {
    let tx = TxEip1559 { value: U256::MAX, ..template(0) };
    assert!(matches!(decode(&sign(tx, 1)), Err(PoolError::CostOverflow { value: U256::MAX, .. })));
}

#[test]
fn a_signature_of_nobody_is_refused() {
    let nobody = alloy_primitives::Signature::new(U256::MAX, U256::ONE, false);
    let raw = TxEnvelope::from(template(0).into_signed(nobody)).encoded_2718().into();
    assert!(matches!(decode(&raw), Err(PoolError::Invalid(InvalidTransaction::Signature(_)))));
}

#[test]
fn what_is_valid_on_no_state_is_told_as_clients_expect_it() {
    let message = |raw: Bytes| decode(&raw).unwrap_err().to_string();
    assert!(message(vec![3; 200_000].into()).starts_with("transaction type not supported: blob transactions"));
    assert_eq!(message(vec![2; 131_073].into()), "oversized data: transaction size 131073, limit 131072");
    let other = TxEip1559 { chain_id: 1, ..template(0) };
    assert_eq!(message(sign(other, 1)), "invalid chain id for signer: have 1 want 5886");
    let last = TxEip1559 { nonce: u64::MAX, ..template(0) };
    assert_eq!(message(sign(last, 1)), "nonce has max value: 18446744073709551615 can never run (EIP-2681)");
    assert_eq!(message(Bytes::new()), "transaction is empty");
}

#[test]
fn a_node_may_ask_for_a_tip() {
    let pool = pool_of(PoolLimits { tip_min_wei: GWEI + 1, fee_min_wei: 5 * GWEI, ..Default::default() });
    let error = pool.decode(sign(template(0), 1)).unwrap_err();
    assert_eq!(error.to_string(), "transaction underpriced: gas tip cap 1000000000, minimum needed 1000000001");
    let cheap = TxEip1559 { max_fee_per_gas: 5 * GWEI - 1, ..template(0) };
    let error = pool.decode(sign(cheap, 1)).unwrap_err();
    assert_eq!(error, PoolError::FeeTooLow { fee: 5 * GWEI - 1, base_fee: 5 * GWEI });
    let enough = TxEip1559 { max_fee_per_gas: 5 * GWEI, max_priority_fee_per_gas: GWEI + 1, ..template(0) };
    assert!(pool.decode(sign(enough, 1)).is_ok());
}

#[test]
fn a_batch_is_decoded_and_taken_in_order() {
    let pool = pool();
    let raws = vec![sign(template(0), 1), Bytes::new(), sign(template(0), 2), sign(template(1), 1)];
    let decoded = pool.decode_all(raws);
    assert_eq!(decoded[1], Err(PoolError::Empty));
    let newcomers = decoded.into_iter().flatten().map(|tx| Newcomer { tx: Arc::new(tx), account: RICH }).collect();
    let added = pool.add_batch(newcomers, HEAD);
    assert!(added.iter().all(Result::is_ok), "{added:?}");
    assert_eq!(pool.pending_nonce(&signer(1).address(), 0), 2);
    assert_eq!(pool.status(), (3, 0));
}

#[test]
fn the_account_and_the_head_decide_what_may_wait() {
    let pool = pool();
    let add = |account: AccountState, head: HeadState| pool.add(tx(5, 1), account, head).unwrap_err();
    assert_eq!(add(AccountState { nonce: 6, ..RICH }, HEAD), PoolError::NonceTooLow { next: 6, nonce: 5 });
    let sender = signer(1).address();
    assert_eq!(add(AccountState { has_code: true, ..RICH }, HEAD), PoolError::SenderHasCode { sender });
    let small = HeadState { gas_limit: 99_999, ..HEAD };
    assert_eq!(add(RICH, small), PoolError::BlockGasLimit { gas: 100_000, limit: 99_999 });
    let cost = tx(5, 1).cost;
    let balance = cost - U256::ONE;
    let poor = AccountState { balance, ..RICH };
    assert_eq!(add(poor, HEAD), PoolError::InsufficientFunds { balance, cost });
    assert!(pool.add(tx(5, 1), AccountState { balance: cost, ..RICH }, HEAD).is_ok());
}

#[test]
fn all_that_waits_must_be_payable_together() {
    let pool = pool();
    let cost = tx(0, 1).cost;
    let two = AccountState { balance: cost * U256::from(2), ..RICH };
    pool.add(tx(0, 1), two, HEAD).unwrap();
    pool.add(tx(1, 1), two, HEAD).unwrap();
    let error = pool.add(tx(2, 1), two, HEAD).unwrap_err();
    let expected = "insufficient funds for gas * price + value: balance 2000000000000000, queued cost 2000000000000000, \
                    tx cost 1000000000000000, overshot 1000000000000000";
    assert_eq!(error.to_string(), expected);
    // A replacement frees what it replaces.
    let dearer =
        TxEip1559 { gas_limit: 50_000, max_fee_per_gas: 20 * GWEI, max_priority_fee_per_gas: 2 * GWEI, ..template(1) };
    pool.add(decode(&sign(dearer, 1)).unwrap(), two, HEAD).unwrap();
}

#[test]
fn nonces_may_run_ahead_by_the_limit_and_no_further() {
    let pool = pool_with(&[0, 1]);
    let limit = PoolLimits::default().nonce_gap;
    let error = pool.add(tx(2 + limit + 1, 1), RICH, HEAD).unwrap_err();
    assert_eq!(error, PoolError::NonceTooHigh { next: 2, nonce: 3 + limit, limit });
    pool.add(tx(2 + limit, 1), RICH, HEAD).unwrap();
    assert_eq!(pool.status(), (2, 1));
}

#[test]
fn one_sender_cannot_fill_the_pool() {
    let limit = 4;
    let pool = pool_of(PoolLimits { sender_transactions: limit, ..Default::default() });
    (0..4).for_each(|nonce| drop(pool.add(tx(nonce, 1), RICH, HEAD).unwrap()));
    let error = pool.add(tx(4, 1), RICH, HEAD).unwrap_err();
    assert_eq!(error, PoolError::SenderFull { sender: signer(1).address(), count: limit, limit });
    pool.add(tx(0, 2), RICH, HEAD).unwrap();
}

#[test]
fn a_replacement_must_raise_both_fees() {
    let pool = pool_with(&[0]);
    let replace = |fee: u128, tip: u128| {
        let tx = TxEip1559 { max_fee_per_gas: fee, max_priority_fee_per_gas: tip, ..template(0) };
        pool.add(decode(&sign(tx, 1)).unwrap(), RICH, HEAD)
    };
    let (fee_min, tip_min) = (11 * GWEI, GWEI + GWEI / 10);
    for (fee, tip) in [(fee_min - 1, tip_min), (fee_min, tip_min - 1), (100 * GWEI, GWEI)] {
        assert_eq!(replace(fee, tip).unwrap_err(), PoolError::Underpriced { fee, tip, fee_min, tip_min });
    }
    let replacement = replace(fee_min, tip_min).unwrap();
    assert_eq!(pool.status(), (1, 0));
    assert_eq!(pool.take_ready(&signer(1).address(), HEAD)[0].hash, replacement.hash);
}

#[test]
fn only_what_can_run_is_broadcast_and_only_once_at_first() {
    let pool = pool_with(&[0, 1, 3]);
    let sender = signer(1).address();
    assert_eq!(nonces(&pool.take_ready(&sender, HEAD)), [0, 1]);
    assert!(pool.take_ready(&sender, HEAD).is_empty());
    pool.add(tx(2, 1), RICH, HEAD).unwrap();
    assert_eq!(nonces(&pool.take_ready(&sender, HEAD)), [2, 3]);
}

#[test]
fn what_pays_less_than_the_base_fee_waits_for_it_to_fall() {
    let pool = pool_with(&[0, 1]);
    let dear = HeadState { base_fee: 11_000_000_000, ..HEAD };
    assert!(pool.take_due(dear).is_empty());
    let fair = HeadState { base_fee: 10_000_000_000, ..HEAD };
    assert_eq!(nonces(&pool.take_due(fair)), [0, 1]);
}

#[test]
fn what_is_not_mined_is_due_again_after_some_blocks() {
    let pool = pool_with(&[0]);
    let at = |blocks: u64| HeadState { number: HEAD.number + blocks, ..HEAD };
    assert_eq!(pool.take_due(HEAD).len(), 1);
    assert!(pool.take_due(at(REBROADCAST_BLOCKS - 1)).is_empty());
    assert_eq!(pool.take_due(at(REBROADCAST_BLOCKS)).len(), 1);
    assert!(pool.take_due(at(REBROADCAST_BLOCKS + 1)).is_empty());
    pool.mark_unsent(&tx(0, 1).hash);
    assert_eq!(pool.take_due(at(REBROADCAST_BLOCKS + 1)).len(), 1);
}

#[test]
fn what_is_due_at_once_is_bounded() {
    let pool = pool_of(PoolLimits { sender_transactions: 5_000, ..Default::default() });
    let senders = [Address::repeat_byte(1), Address::repeat_byte(2)];
    for (index, sender) in senders.into_iter().enumerate() {
        let count = if index == 0 { REBROADCAST_MAX as u64 - 5 } else { 15 };
        (0..count).for_each(|nonce| drop(pool.add(of(sender, template(nonce)), RICH, HEAD).unwrap()));
    }
    assert_eq!(pool.take_due(HEAD).len(), REBROADCAST_MAX);
    assert_eq!(pool.take_due(HEAD).len(), 10);
    assert!(pool.take_due(HEAD).is_empty());
    let later = HeadState { number: HEAD.number + REBROADCAST_BLOCKS, ..HEAD };
    assert_eq!(pool.take_due(later).len(), REBROADCAST_MAX);
    assert_eq!(pool.take_due(later).len(), 10);
    assert!(pool.take_due(later).is_empty());
}

#[test]
fn who_pays_most_is_handed_over_first_when_the_base_fee_falls() {
    let pool = pool();
    for (account, fee) in [(1, 3), (2, 5), (3, 4)] {
        let sender = Address::repeat_byte(account);
        let tx = TxEip1559 { max_fee_per_gas: fee * GWEI, ..template(0) };
        pool.add(of(sender, tx), RICH, HEAD).unwrap();
        let dear = HeadState { base_fee: 6 * GWEI as u64, ..HEAD };
        assert!(pool.take_ready(&sender, dear).is_empty());
        assert!(pool.take_due(dear).is_empty());
    }
    let fair = HeadState { base_fee: 4 * GWEI as u64, ..HEAD };
    let fees = |txs: Vec<Arc<PooledTransaction>>| txs.iter().map(|tx| tx.fee_cap() / GWEI).collect::<Vec<_>>();
    assert_eq!(fees(pool.take_due(fair)), [5, 4]);
    assert_eq!(fees(pool.take_due(HEAD)), [3]);
}

#[test]
fn a_block_gets_the_best_paying_in_an_order_that_can_run() {
    let pool = pool();
    let add = |account: u8, nonce: u64, tip: u128| {
        let tx = TxEip1559 { max_priority_fee_per_gas: tip, ..template(nonce) };
        pool.add(of(Address::repeat_byte(account), tx), RICH, HEAD).unwrap();
    };
    // Behind a cheap one waits a dear one, and behind a gap the dearest.
    [(1, 0, 2), (1, 1, 9), (2, 0, 5), (2, 1, 1), (3, 1, 100)].into_iter().for_each(|(a, n, t)| add(a, n, t));
    let tips = |count: usize| pool.best(HEAD, count).iter().map(|tx| tx.tip_cap()).collect::<Vec<_>>();
    assert_eq!(tips(10), [5, 2, 9, 1]);
    assert_eq!(tips(2), [5, 2]);
    let dear = HeadState { base_fee: 10 * GWEI as u64 + 1, ..HEAD };
    assert!(pool.best(dear, 10).is_empty());
}

#[test]
fn what_is_mined_leaves() {
    let pool = pool_with(&[0, 1, 2, 5]);
    let sender = signer(1).address();
    settle(&pool, 1, AccountState { nonce: 2, ..RICH }, 101);
    assert_eq!(nonces(&pool.content(None)[0].pending), [2]);
    assert_eq!(pool.pending_nonce(&sender, 2), 3);
    // Nonces 3 and 4 came another way.
    settle(&pool, 1, AccountState { nonce: 5, ..RICH }, 102);
    assert_eq!(nonces(&pool.content(None)[0].pending), [5]);
    settle(&pool, 1, AccountState { nonce: 9, ..RICH }, 103);
    assert!(pool.content(None).is_empty());
    assert!(pool.senders().is_empty());
    assert_eq!(pool.pending_nonce(&sender, 9), 9);
    assert_eq!(pool.bytes(), 0);
}

#[test]
fn what_a_shrunken_balance_cannot_pay_leaves_from_the_last_nonce_on() {
    let pool = pool_with(&[0, 1, 2, 4]);
    let cost = tx(0, 1).cost;
    settle(&pool, 1, AccountState { balance: cost * U256::from(2), ..RICH }, 101);
    assert_eq!(nonces(&pool.content(None)[0].pending), [0, 1]);
    assert_eq!(pool.status(), (2, 0));
    settle(&pool, 1, AccountState { balance: cost - U256::ONE, ..RICH }, 102);
    assert!(pool.senders().is_empty());
}

#[test]
fn an_older_view_of_an_account_is_refused() {
    let pool = pool_with(&[0, 1, 2]);
    let sender = signer(1).address();
    settle(&pool, 1, AccountState { nonce: 1, ..RICH }, 101);
    let outdated = PoolError::Outdated { head: 100, newest: 101 };
    assert_eq!(pool.settle(&[(sender, RICH)], 100), Err(outdated.clone()));
    assert_eq!(pool.add(tx(3, 1), RICH, HEAD).unwrap_err(), outdated);
    assert_eq!(nonces(&pool.content(Some(sender))[0].pending), [1, 2]);
}

#[test]
fn a_refused_transaction_leaves_those_behind_it_waiting() {
    let pool = pool_with(&[0, 1, 2]);
    let sender = signer(1).address();
    pool.take_ready(&sender, HEAD);
    pool.remove(&tx(1, 1).hash);
    assert_eq!((pool.status(), pool.pending_nonce(&sender, 0)), ((1, 1), 1));
    pool.add(tx(1, 1), RICH, HEAD).unwrap();
    assert_eq!((pool.status(), pool.pending_nonce(&sender, 0)), ((3, 0), 3));
    assert_eq!(nonces(&pool.take_ready(&sender, HEAD)), [1]);
}

#[test]
fn what_waits_too_long_behind_a_gap_is_forgotten() {
    let pool = pool_with(&[0, 2, 3]);
    let limit = PoolLimits::default().queued_seconds;
    pool.expire(HEAD.timestamp + limit);
    assert_eq!(pool.status(), (1, 2));
    pool.expire(HEAD.timestamp + limit + 1);
    assert_eq!(pool.status(), (1, 0));
}

#[test]
fn pollers_get_each_hash_once_and_the_newest_when_late() {
    let pool = pool_with(&[0]);
    let start = pool.cursor();
    pool.add(tx(1, 1), RICH, HEAD).unwrap();
    let (hashes, next) = pool.added_since(start);
    assert_eq!(hashes, [tx(1, 1).hash]);
    assert_eq!(pool.added_since(next), (vec![], next));
    let all = pool.added_since(0).0;
    assert_eq!(all.len(), 2);
    let mut entries = Entries::default();
    (0..RECENT_HASHES_MAX + 5).for_each(|i| entries.remember(B256::from(U256::from(i))));
    assert_eq!(
        (entries.recent_since(0).len(), entries.recent_end()),
        (RECENT_HASHES_MAX, RECENT_HASHES_MAX as u64 + 5)
    );
}

proptest! {
    /// Bytes are untrusted: whatever they are, the answer is a verdict.
    #[test]
    fn no_bytes_break_the_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes.into());
    }

    /// A valid transaction with one byte changed is either refused or another transaction.
    #[test]
    fn a_changed_byte_never_keeps_the_hash(position in 0usize..100, change in 1u8..) {
        let raw = sign(template(0), 1);
        let mut changed = raw.to_vec();
        let at = position % changed.len();
        changed[at] ^= change;
        if let Ok(tx) = decode(&changed.into()) {
            prop_assert_ne!(tx.hash, alloy_primitives::keccak256(&raw));
        }
    }
}
