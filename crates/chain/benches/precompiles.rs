//! What the precompiles of this chain cost beside ECRECOVER, whose 3,000 gas set the price of computing.
//!
//! After the measurements it prints, per case, the gas by this scale and the gas that is charged; `docs/benchmarks.md`
//! keeps a run. That table counts CPU time where the system tells it (Linux), so that other work on the machine moves no
//! price.

use alloy_evm::{
    EvmInternals,
    precompiles::{Precompile, PrecompileInput, PrecompilesMap},
};
use alloy_primitives::{Address, B256, Bytes, U256, address, hex, keccak256};
use alloy_sol_types::SolCall;
use criterion::{Criterion, criterion_group, criterion_main};
use proof::possession::{self, PossessionError};
use protocol::abi::{self, ICertificateVerifier, INativeMinter, IRandomness, IStorageProofs};
use revm::{Context, MainContext, database::EmptyDB, handler::EthPrecompiles, primitives::hardfork::SpecId};
use std::{
    fs,
    time::{Duration, Instant},
};

const ECRECOVER: Address = address!("0x0000000000000000000000000000000000000001");
const SHA256: Address = address!("0x0000000000000000000000000000000000000002");
/// Gas of ECRECOVER (Yellow Paper, appendix E.1).
const ECRECOVER_GAS: f64 = 3_000.0;
/// Time for which a case runs to find its price.
const PRICING: Duration = Duration::from_millis(500);

/// A call, and the gas it gets.
struct Case {
    name: &'static str,
    to: Address,
    data: Bytes,
    gas: u64,
}

/// A signature that recovers, in the encoding of ECRECOVER.
fn recoverable() -> Bytes {
    hex!(
        "456e9aea5e197a1f1af7a3e85a3212fa4049a3ba34c2289b4c860fc0b0c64ef3000000000000000000000000000000000000000000000000000000000000001c9242685bf161793cc25603c231bc2f568eb630ea16aa137d2664ac80388256084f8ae3bd7535248d0bd448298cc2e2071e56992d0774dc340c368ae950852ada"
    )
    .into()
}

/// Three of four signatures, by way of two descendants.
fn certificate() -> ICertificateVerifier::verifyCall {
    let json: serde_json::Value =
        serde_json::from_str(include_str!("../../proof/vectors/certificate.json")).expect("the vector is JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("a string").to_owned();
    let keys = json["committee"].as_array().expect("a list");
    ICertificateVerifier::verifyCall {
        chainId: json["chain_id"].as_u64().expect("a number"),
        committee: keys.iter().map(|key| text(key).parse().expect("a key")).collect(),
        header: text(&json["header"]).parse().expect("hex"),
        certificate: text(&json["certificate"]).parse().expect("hex"),
    }
}

/// Challenges over 1 TiB, of which only what they touch is made.
fn possession(challenges: usize) -> Bytes {
    let size = 1 << 40;
    let indices = possession::draw(B256::repeat_byte(9), size, challenges).expect("within the limits");
    let leaf = |index: u64| Ok(keccak256(index.to_be_bytes()).repeat(possession::LEAF_BYTES / 32));
    let subtree = |first: u64, count: u64| Ok(keccak256([first.to_be_bytes(), count.to_be_bytes()].concat()));
    let answer = possession::answer::<PossessionError>(size, &indices, leaf, subtree).expect("within the limits");
    let (leaves, path) = (answer.leaves.into(), answer.path);
    IStorageProofs::verifyBatchCall { root: B256::ZERO, size, indices, leaves, path }.abi_encode().into()
}

fn cases() -> Vec<Case> {
    let certified: Bytes = certificate().abi_encode().into();
    let decoded = 100 + 3 * certified.len().div_ceil(32) as u64;
    let draw = IStorageProofs::drawCall { seed: B256::ZERO, size: 1 << 40, count: U256::from(256) };
    let at = IRandomness::atCall { blockNumber: U256::ZERO };
    let case = |name, to, data: Bytes| Case { name, to, data, gas: u64::MAX };
    vec![
        case("ECRECOVER", ECRECOVER, recoverable()),
        case("SHA-256, 64 KiB", SHA256, vec![7; 65_536].into()),
        // Without gas for the signatures it stops when everything else is done.
        Case { name: "certificate, decoding", to: abi::CERTIFICATE_VERIFIER, data: certified.clone(), gas: decoded },
        case("certificate, 3 signatures", abi::CERTIFICATE_VERIFIER, certified),
        case("storage proof, 5 of 1 TiB", abi::STORAGE_PROOFS, possession(5)),
        case("storage proof, 256 of 1 TiB", abi::STORAGE_PROOFS, possession(256)),
        case("draw, 256", abi::STORAGE_PROOFS, draw.abi_encode().into()),
        case("randomness", abi::RANDOMNESS, at.abi_encode().into()),
        case("minted", abi::NATIVE_MINTER, INativeMinter::mintedCall {}.abi_encode().into()),
    ]
}

/// Runs a case once and says what it charged.
fn run(precompiles: &PrecompilesMap, case: &Case) -> u64 {
    let mut context = Context::mainnet().with_db(EmptyDB::new());
    let precompile = precompiles.get(&case.to).expect("it is installed");
    let output = precompile.call(PrecompileInput {
        data: &case.data,
        gas: case.gas,
        reservoir: 0,
        caller: Address::ZERO,
        value: U256::ZERO,
        target_address: case.to,
        is_static: true,
        bytecode_address: case.to,
        internals: EvmInternals::from_context(&mut context),
    });
    let output = output.expect("no case is a failure");
    if output.is_halt() { case.gas } else { output.gas_used }
}

/// CPU time of this thread; time since `start` where the system does not tell it.
fn spent(start: Instant) -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = stat.split_whitespace().next().and_then(|first| first.parse().ok());
    nanoseconds.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

/// Mean nanoseconds of a case.
fn nanoseconds(precompiles: &PrecompilesMap, case: &Case) -> f64 {
    let (start, mut runs) = (Instant::now(), 0u32);
    let before = spent(start);
    while spent(start) - before < PRICING {
        (0..16).for_each(|_| {
            std::hint::black_box(run(precompiles, case));
        });
        runs += 16;
    }
    (spent(start) - before).as_nanos() as f64 / f64::from(runs)
}

fn precompiles(criterion: &mut Criterion) {
    let mut installed = PrecompilesMap::from(EthPrecompiles::new(SpecId::OSAKA));
    chain::precompiles::extend(&mut installed, Some(abi::RANDOMNESS));
    let cases = cases();
    let mut group = criterion.benchmark_group("precompiles");
    for case in &cases {
        group.bench_function(case.name, |bencher| bencher.iter(|| run(&installed, case)));
    }
    group.finish();
    // Twice, in turn, so that a change of the machine's speed shows.
    for _ in 0..2 {
        let scale = ECRECOVER_GAS / nanoseconds(&installed, &cases[0]);
        for case in &cases {
            let (time, charged) = (nanoseconds(&installed, case), run(&installed, case));
            println!("{:30} {time:12.0} ns {:10.0} gas measured {charged:10} charged", case.name, time * scale);
        }
    }
}

criterion_group!(benches, precompiles);
criterion_main!(benches);
