//! The random transactions: signed, of every type but blobs, and wrong on purpose now and then.

use crate::program::Programs;
use alloy_consensus::{SignableTransaction, Transaction, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_network::TxSignerSync;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

/// Wei per gas that buys a place in any block of these chains.
const PRICE: u128 = 10_000_000_000;
/// Gas limit of a transaction, mostly.
const GAS_MAX: u64 = 700_000;
/// Contracts remembered as worth calling.
const KNOWN_MAX: usize = 64;

/// What the two sides have in common besides the transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// The same blocks but for their state roots and hashes, which programs do not ask for.
    SameBlocks,
    /// Their own blocks: transactions pay the same in any block, and programs do not look at it.
    OwnBlocks,
}

/// A stream of transactions.
pub struct Stream {
    rng: ChaCha12Rng,
    setting: Setting,
    chain_id: u64,
    keys: Vec<PrivateKeySigner>,
    /// Nonce that each key uses next.
    nonces: Vec<u64>,
    known: Vec<Address>,
}

/// A transaction of the stream.
#[derive(Clone, Debug)]
pub struct Item {
    pub raw: Bytes,
    pub envelope: TxEnvelope,
    /// Index of the key that signed it.
    pub key: usize,
    /// Whether the nonce is the next one.
    pub in_order: bool,
}

impl Stream {
    pub fn new(seed: u64, setting: Setting, chain_id: u64, keys: Vec<PrivateKeySigner>) -> Self {
        let mut known: Vec<Address> = keys.iter().map(PrivateKeySigner::address).collect();
        known.truncate(4);
        let nonces = vec![0; keys.len()];
        Self { rng: ChaCha12Rng::seed_from_u64(seed), setting, chain_id, keys, nonces, known }
    }

    /// The addresses of the keys.
    pub fn senders(&self) -> Vec<Address> {
        self.keys.iter().map(PrivateKeySigner::address).collect()
    }

    /// Corrects the nonces by what the state says.
    pub fn set_nonces(&mut self, nonces: Vec<u64>) {
        self.nonces = nonces;
    }

    /// A whole number from 1 to `max`.
    pub fn up_to(&mut self, max: usize) -> usize {
        self.rng.random_range(1..=max)
    }

    /// The transaction took its nonce.
    pub fn accepted(&mut self, item: &Item) {
        if !item.in_order {
            return;
        }
        let nonce = &mut self.nonces[item.key];
        if matches!(item.envelope.kind(), TxKind::Create) {
            let made = self.keys[item.key].address().create(*nonce);
            match self.known.len() < KNOWN_MAX {
                true => self.known.push(made),
                false => {
                    let index = self.rng.random_range(4..KNOWN_MAX);
                    self.known[index] = made;
                }
            }
        }
        *nonce += 1;
    }

    /// The next transaction.
    pub fn next(&mut self) -> Item {
        let key = self.rng.random_range(0..self.keys.len());
        let (to, value, input) = self.action();
        let skew = if self.rng.random_bool(0.04) { *[-1, 1].choose(&mut self.rng).expect("two") } else { 0i64 };
        let skew = if self.setting == Setting::OwnBlocks { skew.min(0) } else { skew };
        let nonce = self.nonces[key].saturating_add_signed(skew);
        let gas_limit = self.gas(to, &input);
        let envelope = self.sign(key, nonce, gas_limit, to, value, input);
        Item { raw: envelope.encoded_2718().into(), envelope, key, in_order: nonce == self.nonces[key] }
    }

    fn action(&mut self) -> (TxKind, U256, Bytes) {
        let value = match self.rng.random_range(0..40) {
            0..20 => U256::ZERO,
            20..39 => U256::from(self.rng.random_range(0..1_000_000_000_000u64)),
            // More than anybody has.
            _ => U256::from(10).pow(U256::from(25)),
        };
        let of_block = self.setting == Setting::SameBlocks;
        let mut programs = Programs { rng: &mut self.rng, known: &self.known, of_block };
        match programs.rng.random_range(0..20) {
            0..3 => (TxKind::Call(programs.address()), value, Bytes::new()),
            3..8 => {
                let program = programs.write(0);
                (TxKind::Create, value, Programs::deployer(&program).into())
            }
            8..10 => (TxKind::Create, value, programs.write(0).into()),
            // Code that may not begin as it does (EIP-3541), and too much of it (EIP-170, EIP-3860).
            10 => match programs.rng.random_range(0..3) {
                0 => (TxKind::Create, value, Programs::deployer(&[0xef, 0, 0]).into()),
                1 => (TxKind::Create, value, Bytes::from_static(&[0x61, 0x60, 0x01, 0x5f, 0xf3])),
                _ => (TxKind::Create, value, vec![0x5b; 49_153].into()),
            },
            11 => {
                let to = Address::with_last_byte(programs.rng.random_range(1..=0x11));
                let length = programs.rng.random_range(0..300);
                let input: Vec<u8> = (0..length).map(|_| programs.rng.random::<u8>() & 0x83).collect();
                (TxKind::Call(to), U256::ZERO, input.into())
            }
            _ => {
                let to = programs.address();
                // Sometimes long enough for the floor price of calldata (EIP-7623).
                let max = if programs.rng.random_bool(0.1) { 4_000 } else { 100 };
                let length = programs.rng.random_range(0..max);
                let input: Vec<u8> = (0..length).map(|_| programs.rng.random()).collect();
                (TxKind::Call(to), value, input.into())
            }
        }
    }

    fn gas(&mut self, to: TxKind, input: &Bytes) -> u64 {
        match self.rng.random_range(0..40) {
            0 => self.rng.random_range(0..22_000),
            1 => (1 << 24) + self.rng.random_range(0..2),
            2..6 if to.is_call() && input.is_empty() => 21_000,
            2..6 => self.rng.random_range(21_000..120_000),
            _ => self.rng.random_range(100_000..GAS_MAX),
        }
    }

    fn sign(&mut self, key: usize, nonce: u64, gas_limit: u64, to: TxKind, value: U256, input: Bytes) -> TxEnvelope {
        let chain_id = self.chain_id;
        let (fee, tip) = self.fees();
        let dynamic = TxEip1559 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: fee,
            max_priority_fee_per_gas: tip,
            to,
            value,
            access_list: AccessList::default(),
            input,
        };
        let TxEip1559 { input, .. } = dynamic.clone();
        let signer = self.keys[key].clone();
        match (self.rng.random_range(0..8), to) {
            (0..2, _) => {
                let chain_id = Some(chain_id);
                signed(&signer, TxLegacy { chain_id, nonce, gas_price: fee, gas_limit, to, value, input })
            }
            (2, _) => {
                let access_list = self.access_list();
                let gas_price = fee;
                signed(&signer, TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input })
            }
            (3, TxKind::Call(to)) => {
                let authorization_list = self.authorizations(key, nonce);
                let access_list = self.access_list();
                signed(
                    &signer,
                    TxEip7702 {
                        chain_id,
                        nonce,
                        gas_limit,
                        max_fee_per_gas: fee,
                        max_priority_fee_per_gas: tip,
                        to,
                        value,
                        access_list,
                        authorization_list,
                        input,
                    },
                )
            }
            (4, _) => signed(&signer, TxEip1559 { access_list: self.access_list(), ..dynamic }),
            _ => signed(&signer, dynamic),
        }
    }

    /// Fee cap and tip in wei per gas. On two networks with base fees of their own both are equal, so that the price is.
    fn fees(&mut self) -> (u128, u128) {
        if self.setting == Setting::OwnBlocks {
            return (PRICE, PRICE);
        }
        match self.rng.random_range(0..30) {
            0 => (0, 0),
            1 => (1_000_000, 0),
            2 => (PRICE, 2 * PRICE),
            _ => (PRICE - self.rng.random_range(0..PRICE / 2), self.rng.random_range(0..PRICE / 2)),
        }
    }

    fn access_list(&mut self) -> AccessList {
        let items = (0..self.rng.random_range(0..4)).map(|_| AccessListItem {
            address: *self.known.choose(&mut self.rng).expect("the keys are known"),
            storage_keys: (0..self.rng.random_range(0..3))
                .map(|_| B256::with_last_byte(self.rng.random_range(0..5)))
                .collect(),
        });
        AccessList(items.collect())
    }

    fn authorizations(&mut self, sender: usize, sender_nonce: u64) -> Vec<SignedAuthorization> {
        let authorization = |stream: &mut Self| {
            let authority = stream.rng.random_range(0..stream.keys.len());
            let own = authority == sender;
            let nonce = if own { sender_nonce + 1 } else { stream.nonces[authority] };
            let nonce = if stream.rng.random_bool(0.15) { nonce + 1 } else { nonce };
            let chain_id = *[stream.chain_id, stream.chain_id, 0, 1].choose(&mut stream.rng).expect("four");
            let address = match stream.rng.random_range(0..4) {
                0 => Address::ZERO,
                _ => *stream.known.choose(&mut stream.rng).expect("the keys are known"),
            };
            let authorization = Authorization { chain_id: U256::from(chain_id), address, nonce };
            let signature = stream.keys[authority].sign_hash_sync(&authorization.signature_hash());
            authorization.into_signed(signature.expect("a local key signs"))
        };
        // None at all makes the transaction invalid.
        let count = if self.rng.random_bool(0.05) { 0 } else { self.rng.random_range(1..4) };
        (0..count).map(|_| authorization(self)).collect()
    }
}

fn signed<T>(signer: &PrivateKeySigner, mut transaction: T) -> TxEnvelope
where
    T: SignableTransaction<Signature>,
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    let signature = signer.sign_transaction_sync(&mut transaction).expect("a local key signs");
    transaction.into_signed(signature).into()
}
