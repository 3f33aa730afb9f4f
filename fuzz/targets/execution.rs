//! Signed transactions with arbitrary fields and code: what one node builds, another one must accept.

#![no_main]

use alloy_consensus::{TxEip1559, TxEip2930, TxEip7702, TxLegacy};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use arbitrary::Arbitrary;
use kumo_fuzz::{CHAIN_ID, CONTRACT, KEYS, World, seeds, signed, signer};
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Transactions in one input.
const STEPS_MAX: usize = 8;
/// Gas of one transaction, so that an input takes milliseconds.
const GAS_MAX: u32 = 500_000;

static WORLD: LazyLock<World> = LazyLock::new(World::new);
static OTHER: LazyLock<World> = LazyLock::new(World::new);

#[derive(Arbitrary, Debug)]
struct Step {
    key: u8,
    kind: Kind,
    nonce: u8,
    to: To,
    value: u64,
    gas: u32,
    fee: u32,
    tip: u32,
    data: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
enum Kind {
    Legacy,
    Access(Vec<(To, u8)>),
    Dynamic,
    SetCode(Vec<(u8, To, u8)>),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum To {
    Nobody,
    Contract,
    Key(u8),
    Precompile(u8),
    Made(u8, u8),
    Other(u8),
}

impl To {
    fn address(self) -> Address {
        match self {
            Self::Nobody => Address::ZERO,
            Self::Contract => CONTRACT,
            Self::Key(key) => signer(key % KEYS + 1).address(),
            Self::Precompile(number) => Address::with_last_byte(number),
            Self::Made(key, nonce) => signer(key % KEYS + 1).address().create(u64::from(nonce % 8)),
            Self::Other(byte) => Address::repeat_byte(byte),
        }
    }

    fn kind(self) -> TxKind {
        match self {
            Self::Nobody => TxKind::Create,
            to => TxKind::Call(to.address()),
        }
    }
}

impl Step {
    fn sign(&self) -> Bytes {
        let key = self.key % KEYS + 1;
        // Key 1 has sent the transactions of the first blocks.
        let nonce = u64::from(self.nonce % STEPS_MAX as u8) + if key == 1 { 3 } else { 0 };
        let (gas_limit, value) = (u64::from(self.gas % GAS_MAX), U256::from(self.value));
        let (fee, tip) = (1 + u128::from(self.fee) * 4, u128::from(self.tip));
        let (to, input) = (self.to.kind(), Bytes::copy_from_slice(&self.data));
        let dynamic = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit,
            max_fee_per_gas: fee,
            max_priority_fee_per_gas: tip,
            to,
            value,
            input: input.clone(),
            ..Default::default()
        };
        match &self.kind {
            Kind::Legacy => {
                signed(key, TxLegacy { chain_id: Some(CHAIN_ID), nonce, gas_price: fee, gas_limit, to, value, input })
            }
            Kind::Access(list) => signed(
                key,
                TxEip2930 {
                    chain_id: CHAIN_ID,
                    nonce,
                    gas_price: fee,
                    gas_limit,
                    to,
                    value,
                    access_list: access_list(list),
                    input,
                },
            ),
            Kind::Dynamic => signed(key, dynamic),
            Kind::SetCode(list) => signed(
                key,
                TxEip7702 {
                    chain_id: CHAIN_ID,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: fee,
                    max_priority_fee_per_gas: tip,
                    to: self.to.address(),
                    value,
                    access_list: AccessList::default(),
                    authorization_list: list.iter().map(authorization).collect(),
                    input,
                },
            ),
        }
    }
}

fn access_list(list: &[(To, u8)]) -> AccessList {
    let item = |(to, slot): &(To, u8)| AccessListItem {
        address: to.address(),
        storage_keys: vec![B256::with_last_byte(*slot)],
    };
    AccessList(list.iter().map(item).collect())
}

fn authorization((key, to, nonce): &(u8, To, u8)) -> alloy_eips::eip7702::SignedAuthorization {
    let authorization =
        Authorization { chain_id: U256::from(CHAIN_ID), address: to.address(), nonce: u64::from(nonce % 4) };
    let signature = signer(key % KEYS + 1).sign_hash_sync(&authorization.signature_hash());
    authorization.into_signed(signature.expect("a local key signs"))
}

fuzz_target!(init: seeds::plant("execution", seeds::plans()), |steps: Vec<Step>| {
    let transactions: Vec<Bytes> = steps.iter().take(STEPS_MAX).map(Step::sign).collect();
    let (head, attributes) = (WORLD.chain.head(), WORLD.attributes());
    let block = WORLD.chain.propose(head.hash, attributes, &transactions).expect("proposes");
    let all: BTreeSet<usize> =
        [&block.included, &block.rejected, &block.deferred].into_iter().flatten().copied().collect();
    assert_eq!(all.len(), transactions.len(), "each candidate has one fate");

    let included: Vec<Bytes> = block.included.iter().map(|index| transactions[*index].clone()).collect();
    let verified = OTHER.chain.verify(head.hash, attributes, &block.header_rlp, &included);
    assert_eq!(verified.expect("what was proposed is valid"), block.hash);
    let (ours, theirs) = (WORLD.chain.pending_block(block.hash), OTHER.chain.pending_block(block.hash));
    assert_eq!(ours, theirs, "two nodes have different receipts");
});
