//! The pool without a chain: accounts and heads are made up.

use super::*;
use alloy_consensus::{
    SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, transaction::SignerRecoverable,
};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_network::TxSignerSync;
use alloy_primitives::TxKind;
use alloy_signer_local::PrivateKeySigner;
use proptest::prelude::*;

const CHAIN_ID: u64 = 5886;
const GWEI: u128 = 1_000_000_000;
const RICH: AccountState = AccountState { nonce: 0, balance: U256::MAX, has_code: false };
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

fn recover(raw: &[u8]) -> Result<Address, String> {
    TxEnvelope::decode_2718_exact(raw).unwrap().recover_signer().map_err(|e| e.to_string())
}

fn decode(raw: &Bytes) -> Result<PooledTransaction, PoolError> {
    Pool::new(CHAIN_ID).decode(raw, recover)
}

fn tx(nonce: u64, account: u8) -> PooledTransaction {
    decode(&sign(template(nonce), account)).unwrap()
}

fn pool_with(nonces: &[u64]) -> Pool {
    let pool = Pool::new(CHAIN_ID);
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
fn a_forged_signature_is_refused() {
    let error = Pool::new(CHAIN_ID).decode(&sign(template(0), 1), |_| Err("not on the curve".into())).unwrap_err();
    assert_eq!(error.to_string(), "invalid sender: not on the curve");
}

#[test]
fn the_account_and_the_head_decide_what_may_wait() {
    let pool = Pool::new(CHAIN_ID);
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
    let pool = Pool::new(CHAIN_ID);
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
    let limit = NONCE_GAP_MAX;
    let error = pool.add(tx(2 + limit + 1, 1), RICH, HEAD).unwrap_err();
    assert_eq!(error, PoolError::NonceTooHigh { next: 2, nonce: 3 + limit, limit });
    pool.add(tx(2 + limit, 1), RICH, HEAD).unwrap();
    assert_eq!(pool.status(), (2, 1));
}

#[test]
fn one_sender_cannot_fill_the_pool() {
    let pool = Pool::new(CHAIN_ID);
    let first = tx(0, 1);
    for nonce in 0..SENDER_TRANSACTIONS_MAX as u64 {
        // The same signature under another nonce and hash: the pool checks neither here.
        let mut tx = first.clone();
        tx.tx = TxEnvelope::decode_2718_exact(&sign(template(nonce), 1)).unwrap();
        tx.hash = B256::from(U256::from(nonce + 1));
        pool.add(tx, RICH, HEAD).unwrap();
    }
    let error = pool.add(tx(SENDER_TRANSACTIONS_MAX as u64, 1), RICH, HEAD).unwrap_err();
    let (sender, limit) = (signer(1).address(), SENDER_TRANSACTIONS_MAX);
    assert_eq!(error, PoolError::SenderFull { sender, count: limit, limit });
    pool.add(tx(0, 2), RICH, HEAD).unwrap();
}

#[test]
fn the_pool_is_bounded_in_bytes() {
    let pool = Pool::new(CHAIN_ID);
    let mut big = tx(0, 1);
    big.raw = vec![0; POOL_BYTES_MAX - 10].into();
    pool.add(big, RICH, HEAD).unwrap();
    let error = pool.add(tx(0, 2), RICH, HEAD).unwrap_err();
    assert!(matches!(error, PoolError::Full { count: 1, bytes_max: POOL_BYTES_MAX, .. }), "{error}");
    pool.settle(signer(1).address(), AccountState { nonce: 1, ..RICH });
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
    let pool = pool_with(&(0..REBROADCAST_MAX as u64 + 10).collect::<Vec<_>>());
    assert_eq!(pool.take_due(HEAD).len(), REBROADCAST_MAX);
    assert_eq!(pool.take_due(HEAD).len(), 10);
}

#[test]
fn what_is_mined_or_unpayable_leaves() {
    let pool = pool_with(&[0, 1, 2]);
    let sender = signer(1).address();
    pool.settle(sender, AccountState { nonce: 2, ..RICH });
    assert_eq!(nonces(&pool.content(None)[0].pending), [2]);
    assert_eq!(pool.pending_nonce(&sender, 2), 3);
    pool.settle(sender, AccountState { nonce: 2, balance: U256::ONE, ..RICH });
    assert!(pool.content(None).is_empty());
    assert!(pool.senders().is_empty());
    assert_eq!(pool.pending_nonce(&sender, 2), 2);
}

#[test]
fn an_older_view_of_an_account_takes_nothing_back() {
    let pool = pool_with(&[0, 1, 2]);
    let sender = signer(1).address();
    pool.settle(sender, AccountState { nonce: 1, ..RICH });
    pool.settle(sender, AccountState { nonce: 0, ..RICH });
    assert_eq!(nonces(&pool.content(Some(sender))[0].pending), [1, 2]);
}

#[test]
fn what_waits_too_long_is_forgotten() {
    let pool = pool_with(&[0]);
    pool.expire(HEAD.timestamp + PENDING_SECONDS_MAX);
    assert_eq!(pool.status(), (1, 0));
    pool.expire(HEAD.timestamp + PENDING_SECONDS_MAX + 1);
    assert_eq!(pool.status(), (0, 0));
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
    assert_eq!((entries.recent.len(), entries.recent_end), (RECENT_HASHES_MAX, RECENT_HASHES_MAX as u64 + 5));
}

proptest! {
    /// Bytes are untrusted: whatever they are, the answer is a verdict.
    #[test]
    fn no_bytes_break_the_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Pool::new(CHAIN_ID).decode(&bytes.into(), |_| Ok(Address::ZERO));
    }

    /// A valid transaction with one byte changed is either refused or another transaction.
    #[test]
    fn a_changed_byte_never_keeps_the_hash(position in 0usize..100, change in 1u8..) {
        let raw = sign(template(0), 1);
        let mut changed = raw.to_vec();
        let at = position % changed.len();
        changed[at] ^= change;
        if let Ok(tx) = Pool::new(CHAIN_ID).decode(&changed.into(), |_| Ok(Address::ZERO)) {
            prop_assert_ne!(tx.hash, alloy_primitives::keccak256(&raw));
        }
    }

    /// Bytes and hashes are counted right through any sequence of additions and removals.
    #[test]
    fn books_balance(steps in proptest::collection::vec((0u64..6, any::<bool>()), 0..30)) {
        let pool = Pool::new(CHAIN_ID);
        for (nonce, add) in steps {
            match add {
                true => drop(pool.add(tx(nonce, 1), RICH, HEAD)),
                false => pool.remove(&tx(nonce, 1).hash),
            }
            let entries = pool.entries.lock();
            let kept: Vec<_> = entries.senders.values().flat_map(|s| s.entries.values()).collect();
            prop_assert_eq!(entries.bytes, kept.iter().map(|e| e.tx.raw.len()).sum::<usize>());
            prop_assert_eq!(entries.by_hash.len(), kept.len());
        }
    }
}
