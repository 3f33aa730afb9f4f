//! What one transfer costs a node: decoding, recovering the sender, executing, hashing the state, writing it.
//!
//! Full blocks follow each other on a chain of 11,000 accounts, as in `cargo xtask bench chain`: 1,000 senders pay 10,000
//! recipients. Senders are recovered before (`recover` measures that alone), because a node does it at admission.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, TxKind, U256, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use chain::{BlockAttributes, Chain, ChainConfig, GenesisSpec};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::time::{Duration, Instant};

/// Transfers in a full block of 100 million gas.
const TRANSFERS: usize = 4_700;
/// Accounts that send.
const SENDERS: u64 = 1_000;
/// Accounts that receive.
const RECIPIENTS: u64 = 10_000;
const CHAIN_ID: u64 = 5886;

/// Accounts with the nonce each uses next.
struct Senders {
    signers: Vec<PrivateKeySigner>,
    sent: u64,
}

impl Senders {
    fn new() -> Self {
        let key = |index: u64| keccak256(index.to_be_bytes());
        let signer = |index| PrivateKeySigner::from_bytes(&key(index)).expect("a hash is in range");
        Self { signers: (0..SENDERS).map(signer).collect(), sent: 0 }
    }

    fn genesis(&self) -> GenesisSpec {
        let balance = U256::from(1_u128 << 100);
        GenesisSpec {
            chain_id: CHAIN_ID,
            timestamp: 1,
            gas_limit: 100_000_000,
            alloc: self.signers.iter().map(|signer| (signer.address(), balance)).collect(),
            ..Default::default()
        }
    }

    /// The next full block.
    fn transfers(&mut self) -> Vec<Bytes> {
        (0..TRANSFERS).map(|_| self.transfer()).collect()
    }

    fn transfer(&mut self) -> Bytes {
        let to = u64::from_be_bytes(keccak256(self.sent.to_be_bytes())[..8].try_into().expect("8 of 32 bytes"));
        let transfer = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce: self.sent / SENDERS,
            gas_limit: 21_000,
            max_fee_per_gas: u128::from(u64::MAX),
            to: TxKind::Call(Address::from_word(keccak256((to % RECIPIENTS).to_be_bytes()))),
            value: U256::from(1),
            ..Default::default()
        };
        let signer = &self.signers[(self.sent % SENDERS) as usize];
        self.sent += 1;
        let signature = signer.sign_hash_sync(&transfer.signature_hash()).expect("a local key signs");
        TxEnvelope::from(transfer.into_signed(signature)).encoded_2718().into()
    }
}

/// One chain that grows by a full block each time.
struct Growing {
    senders: Senders,
    chain: Chain,
    timestamp: u64,
    _dir: tempfile::TempDir,
}

impl Growing {
    fn new() -> Self {
        let (senders, dir) = (Senders::new(), tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory"));
        let chain = Chain::open(dir.path(), &senders.genesis(), ChainConfig::default()).expect("a new chain");
        Self { senders, chain, timestamp: 1, _dir: dir }
    }

    fn attributes(&mut self) -> BlockAttributes {
        self.timestamp += 1;
        BlockAttributes { timestamp: self.timestamp, ..Default::default() }
    }

    fn recovered(&mut self) -> Vec<Bytes> {
        let transfers = self.senders.transfers();
        transfers.iter().for_each(|transfer| drop(self.chain.recover(transfer).expect("it is signed")));
        transfers
    }

    /// Adds up the time of `step` over `blocks` full blocks; `step` gets the chain, the block's attributes and transfers.
    fn time(&mut self, blocks: u64, step: impl Fn(&Chain, BlockAttributes, &[Bytes]) -> Duration) -> Duration {
        (0..blocks)
            .map(|_| {
                let (transfers, attributes) = (self.recovered(), self.attributes());
                step(&self.chain, attributes, &transfers)
            })
            .sum()
    }
}

fn blocks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transfers");
    group.throughput(Throughput::Elements(TRANSFERS as u64)).sample_size(10);
    let mut senders = Senders::new();
    let transfers = senders.transfers();
    let dir = tempfile::tempdir().expect("a directory");
    let chain = Chain::open(dir.path(), &senders.genesis(), ChainConfig::default()).expect("a new chain");
    group.bench_function("decode, sender known", |bencher| {
        bencher.iter(|| transfers.iter().for_each(|transfer| drop(chain.recover(transfer).expect("it is signed"))));
    });
    group.bench_function("propose", |bencher| {
        let mut growing = Growing::new();
        bencher.iter_custom(|blocks| growing.time(blocks, propose));
    });
    group.bench_function("finalize", |bencher| {
        let mut growing = Growing::new();
        bencher.iter_custom(|blocks| growing.time(blocks, finalize));
    });
    group.finish();
}

/// Time to build a full block; making it final is not counted.
fn propose(chain: &Chain, attributes: BlockAttributes, transfers: &[Bytes]) -> Duration {
    let begin = Instant::now();
    let block = chain.propose(chain.head().hash, attributes, transfers).expect("the block is built");
    let time = begin.elapsed();
    assert_eq!(block.included.len(), TRANSFERS);
    chain.finalize(block.hash).expect("the disk takes it");
    time
}

/// Time to make a full block final; building it is not counted.
fn finalize(chain: &Chain, attributes: BlockAttributes, transfers: &[Bytes]) -> Duration {
    let block = chain.propose(chain.head().hash, attributes, transfers).expect("the block is built");
    assert_eq!(block.included.len(), TRANSFERS);
    let begin = Instant::now();
    chain.finalize(block.hash).expect("the disk takes it");
    begin.elapsed()
}

criterion_group!(benches, blocks);
criterion_main!(benches);
