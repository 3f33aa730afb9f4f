//! How much memory a full pool takes. Alone in its process, so that what the process holds more than before is the pool.

use alloy_consensus::{SignableTransaction, TxEip1559, transaction::Recovered};
use alloy_primitives::{Address, Signature, TxKind, U256, keccak256};
use chain::pool::{AccountState, HeadState, POOL_TRANSACTIONS_MAX, Pool, PoolLimits};

const SENDERS: u64 = 10_000;
const LIMIT_BYTES: usize = 200 << 20;

/// Memory the process occupies, in bytes: the second number of `/proc/self/statm`, in pages of 4 KiB (proc(5)).
fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

/// A plain transfer with bytes of its own, as they come from a socket.
fn add(pool: &Pool, number: u64) {
    let (sender, nonce) = (Address::from_word(keccak256((number % SENDERS).to_be_bytes())), number / SENDERS);
    let transfer = TxEip1559 {
        chain_id: 5886,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 3_000_000_000,
        max_priority_fee_per_gas: 1_000_000 + u128::from(number),
        to: TxKind::Call(sender),
        value: U256::from(1),
        ..Default::default()
    };
    let word = |salt: u8| U256::from_be_bytes(keccak256([&number.to_be_bytes()[..], &[salt]].concat()).0);
    let signed = transfer.into_signed(Signature::new(word(1), word(2) >> 1, false));
    let tx = Pool::trusted(&Recovered::new_unchecked(signed.into(), sender)).unwrap();
    let account = AccountState { balance: U256::MAX >> 1, ..Default::default() };
    let head = HeadState { number: 1, timestamp: 1, base_fee: 1_000_000_000, gas_limit: 100_000_000 };
    pool.add(tx, account, head).unwrap();
    // Handed over, so that all books are kept, and the bytes are shared as they are then.
    pool.take_ready(&sender, head).into_iter().for_each(|tx| drop(tx.raw.clone()));
}

#[test]
#[cfg(target_os = "linux")]
fn a_hundred_thousand_transactions_fit_into_200_mib() {
    let pool = Pool::new(5886, PoolLimits::default());
    // What the first transaction of a process sets up is not the pool's.
    add(&pool, 0);
    let before = resident_bytes();
    (1..POOL_TRANSACTIONS_MAX as u64).for_each(|number| add(&pool, number));
    let taken = resident_bytes() - before;
    assert_eq!(pool.status(), (POOL_TRANSACTIONS_MAX, 0));
    println!("{} MiB, {} bytes per transaction", taken >> 20, taken / POOL_TRANSACTIONS_MAX);
    assert!(taken <= LIMIT_BYTES, "the pool takes {taken} bytes, the limit is {LIMIT_BYTES}");
}
