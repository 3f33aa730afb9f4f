//! A chain under random transactions, from a seed.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_network::TxSignerSync;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address, hex, keccak256};
use alloy_signer_local::PrivateKeySigner;
use chain::{BlockAttributes, BlockRecord, Chain, ChainConfig, ChainError, GenesisSpec, Predeploy};
use std::path::Path;
use std::sync::Arc;

const CHAIN_ID: u64 = 5886;
/// Writes the second word of its calldata to the slot that the first one names.
pub const WRITER: Address = address!("0x0000000000000000000000000000000000001234");
/// Creation code of it: the runtime is 6 bytes, `sstore(calldata[0], calldata[32])`.
const WRITER_CODE: [u8; 16] = hex!("600680600a5f395ff36020355f355500");
/// Senders.
const SENDERS: u8 = 4;
/// Transactions per block, at most.
const TRANSACTIONS_MAX: u64 = 12;

/// Numbers that depend on the seed only (splitmix64).
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

pub fn signer(number: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(number + 1)).unwrap()
}

pub fn genesis() -> GenesisSpec {
    GenesisSpec {
        chain_id: CHAIN_ID,
        timestamp: 1,
        gas_limit: 100_000_000,
        alloc: (0..SENDERS).map(|number| (signer(number).address(), U256::MAX >> 8)).collect(),
        predeploys: vec![Predeploy {
            name: "Writer".into(),
            address: WRITER,
            creation_code: WRITER_CODE.into(),
            init_calls: Vec::new(),
        }],
        ..Default::default()
    }
}

pub fn open(dir: &Path) -> Result<Chain, ChainError> {
    Chain::open(dir, &genesis(), ChainConfig { cache_bytes: 4 << 20, ..Default::default() })
}

/// One of 512 accounts.
pub fn receiver(number: u64) -> Address {
    Address::from_word(keccak256(number.to_be_bytes()))
}

/// Proposes and finalises the next block with random transactions.
pub fn advance(chain: &Chain, random: &mut Random) -> Result<Arc<BlockRecord>, ChainError> {
    let head = chain.head();
    let state = chain.state(head.number())?;
    let mut nonces: Vec<u64> =
        (0..SENDERS).map(|number| state.nonce(signer(number).address())).collect::<Result<_, _>>()?;
    let transactions: Vec<Bytes> = (0..random.below(TRANSACTIONS_MAX + 1))
        .map(|_| {
            let sender = random.below(SENDERS.into()) as u8;
            let nonce = nonces[usize::from(sender)];
            nonces[usize::from(sender)] += 1;
            let (to, input) = match random.below(2) {
                0 => (receiver(random.below(512)), Bytes::new()),
                _ => {
                    let words = [U256::from(random.below(2_000)), U256::from(random.below(4))];
                    (WRITER, words.iter().flat_map(|word| word.to_be_bytes::<32>()).collect())
                }
            };
            transaction(sender, nonce, to, input)
        })
        .collect();
    let attributes = BlockAttributes {
        timestamp: head.header.timestamp + 1,
        randomness: keccak256(head.number().to_be_bytes()),
        ..Default::default()
    };
    let proposed = chain.propose(head.hash, attributes, &transactions)?;
    assert_eq!(proposed.included.len(), transactions.len());
    chain.finalize(proposed.hash)
}

fn transaction(sender: u8, nonce: u64, to: Address, input: Bytes) -> Bytes {
    let mut transaction = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 100_000,
        max_fee_per_gas: 2_000_000_000,
        to: TxKind::Call(to),
        value: if to == WRITER { U256::ZERO } else { U256::from(nonce + 1) },
        input,
        ..Default::default()
    };
    let signature = signer(sender).sign_transaction_sync(&mut transaction).unwrap();
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
}
