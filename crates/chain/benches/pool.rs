//! What the pool costs per transaction, once its sender is recovered: taking in, choosing for a block, and following a
//! block.

use alloy_consensus::{SignableTransaction, TxEip1559, transaction::Recovered};
use alloy_primitives::{Address, Signature, TxKind, U256, keccak256};
use chain::pool::{AccountState, HeadState, Newcomer, Pool, PoolLimits, PooledTransaction};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::sync::Arc;

const CHAIN_ID: u64 = 5886;
const SENDERS: u64 = 1_000;
/// Transactions taken in.
const ADDED: u64 = 10_000;
/// Transactions in the block.
const MINED: u64 = 5_000;
const RICH: AccountState =
    AccountState { nonce: 0, balance: U256::from_limbs([0, 0, 0, 1]), has_code: false, delegated: false };
const HEAD: HeadState = HeadState { number: 1, timestamp: 1, base_fee: 1_000_000_000, gas_limit: 100_000_000 };

fn sender(number: u64) -> Address {
    Address::from_word(keccak256(number.to_be_bytes()))
}

/// A transfer whose signature nobody looks at, with a tip of its own.
fn transfer(number: u64) -> Arc<PooledTransaction> {
    let (sender, nonce) = (sender(number % SENDERS), number / SENDERS);
    let transfer = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 3_000_000_000,
        max_priority_fee_per_gas: 1_000_000 + u128::from(keccak256(number.to_be_bytes())[0]),
        to: TxKind::Call(sender),
        value: U256::from(1),
        ..Default::default()
    };
    let signature = Signature::new(U256::from_be_bytes(keccak256(number.to_be_bytes()).0), U256::from(1), false);
    let recovered = Recovered::new_unchecked(transfer.into_signed(signature).into(), sender);
    Arc::new(Pool::trusted(&recovered).expect("the cost is a number"))
}

fn newcomers(count: u64) -> Vec<Newcomer> {
    (0..count).map(|number| Newcomer { tx: transfer(number), account: RICH }).collect()
}

fn filled(pool: Pool, newcomers: &[Newcomer]) -> Pool {
    let added = pool.add_batch(newcomers.to_vec(), HEAD);
    assert!(added.iter().all(Result::is_ok), "the limits leave room for all");
    pool
}

fn empty() -> Pool {
    Pool::new(CHAIN_ID, PoolLimits::default())
}

fn pool(criterion: &mut Criterion) {
    let newcomers = newcomers(ADDED);
    let mut group = criterion.benchmark_group("pool");
    group.sample_size(20);

    group.throughput(Throughput::Elements(ADDED));
    group.bench_function("admission", |bencher| {
        bencher.iter_batched(empty, |pool| filled(pool, &newcomers), BatchSize::LargeInput);
    });
    group.bench_function("admission_and_hand_over", |bencher| {
        let hand_over = |pool: Pool| {
            for newcomer in &newcomers {
                pool.add(newcomer.tx.clone(), RICH, HEAD).expect("there is room");
                assert_eq!(pool.take_ready(&newcomer.tx.sender, HEAD).len(), 1);
            }
            pool
        };
        bencher.iter_batched(empty, hand_over, BatchSize::LargeInput);
    });

    group.throughput(Throughput::Elements(MINED));
    let full = filled(empty(), &newcomers);
    group.bench_function("selection", |bencher| bencher.iter(|| full.best(HEAD, MINED as usize)));
    let mined = AccountState { nonce: MINED / SENDERS, ..RICH };
    let accounts: Vec<_> = (0..SENDERS).map(|number| (sender(number), mined)).collect();
    group.bench_function("block", |bencher| {
        let follow = |pool: Pool| {
            pool.settle(&accounts, HEAD.number + 1).expect("the block is newer");
            assert_eq!(pool.status(), ((ADDED - MINED) as usize, 0));
            pool
        };
        bencher.iter_batched(|| filled(empty(), &newcomers), follow, BatchSize::LargeInput);
    });
    group.finish();
}

criterion_group!(benches, pool);
criterion_main!(benches);
