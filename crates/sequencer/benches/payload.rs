//! What the payload of a block costs: encoding, the three roots, and the proofs of a namespace.
//!
//! `cargo bench -p sequencer --bench payload`

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use proof::namespace::NamespaceProof;
use sequencer::{Content, Entry, Payload};
use std::hint::black_box;

const MIB: usize = 1024 * 1024;
/// Bytes of a transaction.
const TRANSACTION: usize = 200;

/// About `bytes` bytes in `namespaces` namespaces.
fn content(bytes: usize, namespaces: usize) -> Content {
    let each = bytes / namespaces / TRANSACTION;
    let transaction = |namespace: usize, n: usize| {
        let tag = [(namespace as u64).to_be_bytes(), (n as u64).to_be_bytes()].concat();
        Bytes::from(tag.into_iter().cycle().take(TRANSACTION).collect::<Vec<_>>())
    };
    let entry = |namespace: usize| Entry::new(namespace as u64 * 2, (0..each).map(|n| transaction(namespace, n)));
    Content { entries: (0..namespaces).map(entry).collect(), bundles: vec![] }
}

/// A payload as it came from the network: nothing of it is hashed yet.
fn received(bytes: usize, namespaces: usize) -> Bytes {
    Payload::new(content(bytes, namespaces)).expect("it is within the limits").encoded().clone()
}

fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("payload");
    for (name, bytes, namespaces) in
        [("4 KiB", 4096, 1), ("100 kB", 100_000, 4), ("1 MiB", MIB, 16), ("7 MiB", 7 * MIB, 256)]
    {
        let encoded = received(bytes, namespaces);
        group.throughput(Throughput::Bytes(encoded.len() as u64));
        let decode = || Payload::decode(encoded.clone()).expect("it was encoded");
        group.bench_function(format!("{name}: decode"), |b| b.iter(decode));
        group.bench_function(format!("{name}: namespaces root"), |b| {
            b.iter_batched(decode, |payload| black_box(payload.namespaces_root()), BatchSize::LargeInput)
        });
        group.bench_function(format!("{name}: erasure root"), |b| {
            b.iter_batched(decode, |payload| black_box(payload.erasure_root()), BatchSize::LargeInput)
        });
    }
    group.finish();
}

fn prove(c: &mut Criterion) {
    let mut group = c.benchmark_group("proof");
    for namespaces in [1, 16, 256, 4096] {
        // Of the namespace asked for, some 40 transactions, whatever else there is.
        let mut content = content(namespaces * TRANSACTION, namespaces);
        content.entries[namespaces / 2] =
            Entry::new(namespaces as u64 / 2 * 2, (0..40u8).map(|n| Bytes::from(vec![n; TRANSACTION])));
        let payload = Payload::new(content).expect("it is within the limits");
        let (root, namespace) = (payload.namespaces_root().into(), namespaces as u64 / 2 * 2);
        for (what, namespace) in [("present", namespace), ("absent", namespace + 1)] {
            let bytes = payload.prove_namespace(namespace).encode();
            group.bench_function(format!("{namespaces} namespaces, {what}: prove"), |b| {
                b.iter(|| payload.prove_namespace(black_box(namespace)).encode())
            });
            group.bench_function(format!("{namespaces} namespaces, {what}: verify"), |b| {
                b.iter(|| {
                    let proof = NamespaceProof::decode(black_box(&bytes)).expect("it was encoded");
                    proof.verify(root, namespace).expect("it was proven").len()
                })
            });
        }
    }
    group.finish();
}

criterion_group!(benches, build, prove);
criterion_main!(benches);
