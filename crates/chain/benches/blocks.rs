//! What one transfer costs a node: decoding, recovering the sender, executing, hashing the state, writing it.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_network::TxSignerSync;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_signer_local::PrivateKeySigner;
use chain::{BlockAttributes, Chain, ChainConfig, GenesisSpec};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// Transfers in the block.
const TRANSFERS: u64 = 1_000;
const CHAIN_ID: u64 = 5886;

fn genesis(sender: Address) -> GenesisSpec {
    GenesisSpec {
        chain_id: CHAIN_ID,
        timestamp: 1,
        gas_limit: 100_000_000,
        alloc: [(sender, U256::MAX >> 1)].into(),
        ..Default::default()
    }
}

fn transfers(signer: &PrivateKeySigner) -> Vec<Bytes> {
    let transfer = |nonce: u64| {
        let mut transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 2_000_000_000,
            to: TxKind::Call(Address::from_word(keccak256(nonce.to_be_bytes()))),
            value: U256::from(1),
            ..Default::default()
        };
        let signature = signer.sign_transaction_sync(&mut transaction).expect("a local key signs");
        TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
    };
    (0..TRANSFERS).map(transfer).collect()
}

fn blocks(criterion: &mut Criterion) {
    let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(1)).expect("the key is in range");
    let genesis = genesis(signer.address());
    let transactions = transfers(&signer);
    let attributes = BlockAttributes { timestamp: 1, ..Default::default() };
    let open = || {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let chain = Chain::open(dir.path(), &genesis, ChainConfig::default()).expect("an empty directory is a chain");
        (dir, chain)
    };
    let (_dir, proposer) = open();
    let block = proposer.propose(proposer.genesis_hash(), attributes, &transactions).expect("the block is built");
    assert_eq!(block.included.len() as u64, TRANSFERS);

    let mut group = criterion.benchmark_group("transfers");
    group.throughput(Throughput::Elements(TRANSFERS)).sample_size(10);
    group.bench_function("verify", |bencher| {
        bencher.iter_batched(
            open,
            |(dir, chain)| {
                chain.verify(chain.genesis_hash(), attributes, &block.header_rlp, &transactions).expect("it is valid");
                (dir, chain)
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("finalize", |bencher| {
        bencher.iter_batched(
            || {
                let (dir, chain) = open();
                chain.verify(chain.genesis_hash(), attributes, &block.header_rlp, &transactions).expect("it is valid");
                (dir, chain)
            },
            |(dir, chain)| {
                chain.finalize(block.hash).expect("the disk takes it");
                (dir, chain)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, blocks);
criterion_main!(benches);
