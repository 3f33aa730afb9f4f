//! Throughput of the inner loops of storage: coding, importing, encrypting.
//!
//! `cargo bench -p storage`

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use storage::crypt::{Decryptor, Encryptor, FileKey, OsRandom, SecretKey};
use storage::erasure::Code;
use storage::unixfs::Importer;

const MIB: usize = 1024 * 1024;

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * 2_654_435_761) >> 11) as u8).collect()
}

fn erasure(c: &mut Criterion) {
    let mut group = c.benchmark_group("erasure");
    for (k, n, shard) in [(4, 8, 4 * MIB), (10, 20, MIB), (16, 40, MIB)] {
        let code = Code::new(k, n).expect("the code is in range");
        let data: Vec<Vec<u8>> = bytes(k * shard).chunks(shard).map(<[u8]>::to_vec).collect();
        group.throughput(Throughput::Bytes((k * shard) as u64));
        group.bench_function(format!("encode {k} of {n}"), |b| b.iter(|| code.encode(black_box(&data))));
        let parity = code.encode(&data).expect("shards have one length");
        // Shard 0 is lost; the first parity shard stands in for it.
        let mut present: Vec<(usize, &[u8])> = data.iter().map(Vec::as_slice).enumerate().skip(1).collect();
        present.push((k, &parity[0]));
        group.bench_function(format!("rebuild shard 0 of {k} of {n}"), |b| {
            b.iter(|| code.missing_data(black_box(&present)))
        });
    }
    group.finish();
}

fn import(c: &mut Criterion) {
    let file = bytes(64 * MIB);
    let mut group = c.benchmark_group("unixfs");
    group.throughput(Throughput::Bytes(file.len() as u64));
    group.bench_function("import 64 MiB", |b| {
        b.iter(|| {
            let mut importer = Importer::default();
            file.chunks(64 * 1024).for_each(|part| importer.push(part, &mut |block| drop(black_box(block))));
            importer.finish(&mut |block| drop(black_box(block)))
        });
    });
    group.finish();
}

fn crypt(c: &mut Criterion) {
    let file = bytes(16 * MIB);
    let secret = SecretKey::random(&mut OsRandom);
    let key = FileKey::random(&mut OsRandom);
    let encryptor = Encryptor::new(&key, &[secret.public()], &mut OsRandom).expect("one good recipient");
    let encrypt = || {
        let mut encryptor = encryptor.clone();
        let mut out = encryptor.push(black_box(&file));
        out.extend(encryptor.finish());
        out
    };
    let sealed = encrypt();
    let mut group = c.benchmark_group("crypt");
    group.throughput(Throughput::Bytes(file.len() as u64));
    group.bench_function("encrypt 16 MiB", |b| b.iter(encrypt));
    group.bench_function("decrypt 16 MiB", |b| {
        b.iter(|| {
            let mut decryptor = Decryptor::with_key(&key);
            let start = decryptor.push(black_box(&sealed)).expect("nothing was changed");
            (start, decryptor.finish().expect("nothing was changed"))
        });
    });
    group.finish();
}

criterion_group! {
    name = throughput;
    config = Criterion::default().sample_size(10).measurement_time(std::time::Duration::from_secs(3));
    targets = erasure, import, crypt
}
criterion_main!(throughput);
