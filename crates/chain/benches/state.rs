//! The state root of a chain of a million accounts, and what nothing on this machine can be faster than.
//!
//! `root` updates 2,000 accounts drawn at random from 1,000,000 in a store on disk, different ones each time, so that most
//! of their nodes are not in the database's cache; the operating system may hold the file. Beside the wall time it prints
//! the CPU time of all threads (on Linux), in which other work on the machine does not count. `floor` is recovering one
//! sender, hashing one full branch, and making 4 KiB durable.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope, transaction::SignerRecoverable};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use chain::{Chain, ChainConfig, GenesisSpec};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

/// Accounts in the state.
const ACCOUNTS: u64 = 1_000_000;
/// Accounts whose balance changes.
const UPDATES: u64 = 2_000;
/// Roots whose CPU time is counted together.
const ROOTS: u64 = 20;
/// Clock tick of `/proc` (USER_HZ), fixed on Linux.
const TICK: Duration = Duration::from_millis(10);
/// Bytes of a branch with sixteen children.
const BRANCH_BYTES: usize = 532;
/// Sizes of the database's cache, in MiB: one far below the state, and the default.
const CACHES_MIB: [usize; 2] = [64, 256];

fn account(index: u64) -> Address {
    Address::from_word(keccak256(index.to_be_bytes()))
}

/// Random new balances of random accounts; `round` is the seed.
fn updates(round: u64) -> Vec<(Address, U256)> {
    let draw =
        |index: u64| u64::from_be_bytes(keccak256((round << 32 | index).to_be_bytes())[..8].try_into().expect("8"));
    (0..UPDATES).map(|index| (account(draw(index) % ACCOUNTS), U256::from(draw(index)))).collect()
}

/// CPU time of this process, all threads; nothing where the system does not tell it.
fn cpu() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name is in brackets and may hold spaces; utime and stime are fields 14 and 15.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some(TICK * (ticks()? + ticks()?))
}

fn root(criterion: &mut Criterion) {
    let alloc = (0..ACCOUNTS).map(|index| (account(index), U256::from(1_u64 << 60))).collect();
    let genesis = GenesisSpec { chain_id: 5886, timestamp: 1, gas_limit: 100_000_000, alloc, ..Default::default() };
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory can be made");
    let mut group = criterion.benchmark_group("root of 2,000 updates, 1,000,000 accounts");
    group.sample_size(20);
    let mut round = 0;
    for mib in CACHES_MIB {
        let config = ChainConfig { cache_bytes: mib << 20, ..Default::default() };
        let chain = Chain::open(dir.path(), &genesis, config).expect("an empty directory is a chain");
        let state = chain.state(0).expect("the head has a state");
        group.bench_function(format!("cache of {mib} MiB"), |bencher| {
            bencher.iter_batched(
                || {
                    round += 1;
                    updates(round)
                },
                |updates| state.root_with(updates).expect("the store answers"),
                BatchSize::PerIteration,
            );
        });
        let batches: Vec<_> = (round + 1..=round + ROOTS).map(updates).collect();
        round += ROOTS;
        let (before, begin) = (cpu(), Instant::now());
        for batch in batches {
            std::hint::black_box(state.root_with(batch).expect("the store answers"));
        }
        let (wall, spent) = (begin.elapsed(), cpu().zip(before).map(|(after, before)| after - before));
        let each = |time: Duration| time.as_secs_f64() * 1e3 / ROOTS as f64;
        println!("cache of {mib} MiB: {:.1} ms wall, {:.1?} ms CPU per root", each(wall), spent.map(each));
    }
    group.finish();
}

fn floor(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("floor");
    let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(1)).expect("the key is in range");
    let transfer = TxEip1559 { chain_id: 5886, gas_limit: 21_000, ..Default::default() };
    let signature = signer.sign_hash_sync(&transfer.signature_hash()).expect("a local key signs");
    let transfer = TxEnvelope::from(transfer.into_signed(signature));
    group.bench_function("recover a sender", |bencher| {
        bencher.iter(|| transfer.recover_signer().expect("it is signed"))
    });
    group.bench_function("hash a branch", |bencher| bencher.iter(|| keccak256([7_u8; BRANCH_BYTES])));
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory can be made");
    let mut file = File::create(dir.path().join("floor")).expect("a file can be made");
    file.write_all(&[0; 1 << 20]).expect("the disk takes it");
    group.bench_function("fdatasync 4 KiB", |bencher| {
        bencher.iter(|| {
            file.write_all_at(&[1; 4096], 8192).expect("the disk takes it");
            file.sync_data().expect("the disk takes it");
        });
    });
    group.finish();
}

criterion_group!(benches, floor, root);
criterion_main!(benches);
