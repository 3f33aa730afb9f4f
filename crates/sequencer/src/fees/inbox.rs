//! What `RollupInbox` on an L1 is tested with: blocks of three epochs, what their accounts say of a namespace, and its batches.

use super::{Account, Accounts};
use crate::block::Block;
use crate::content::Entry;
use crate::system::{SYSTEM, System};
use crate::testing::{CHAIN_ID, child, genesis};
use proof::account::{AccountProof, accounts_root, tree};
use proof::batch::{Batch, BatchBlock};
use serde_json::{Value, json};

const NAMESPACE: u64 = 7;
const EPOCH_BLOCKS: u64 = 4;

/// Sizes of the transactions of the namespace in each block. The last epoch has none.
const USED: [&[usize]; 12] = [&[40, 1], &[300], &[], &[25], &[7, 7, 7], &[], &[90], &[], &[], &[], &[], &[]];

fn hex(bytes: impl AsRef<[u8]>) -> String {
    format!("0x{}", hex::encode(bytes))
}

fn transactions(height: u64) -> Vec<bytes::Bytes> {
    let sizes = USED[height as usize - 1].iter().enumerate();
    sizes.map(|(place, size)| vec![(16 * height) as u8 ^ place as u8; *size].into()).collect()
}

/// The block of `height` with this root of accounts, and a transaction of another namespace.
fn block(parent: &Block, height: u64, accounts: Option<[u8; 32]>) -> Block {
    let system = System { accounts, ..System::default() };
    let mut entries = Vec::new();
    if !system.is_empty() {
        entries.push(Entry::new(SYSTEM, system.encode()));
    }
    let ours = transactions(height);
    if !ours.is_empty() {
        entries.push(Entry::new(NAMESPACE, ours));
    }
    entries.push(Entry::new(9, [vec![height as u8].into()]));
    child(parent, height, entries)
}

fn anchor(block: &Block, proof: &AccountProof) -> Value {
    json!({
        "height": block.height,
        "header": hex(block.header().encode()),
        "digest": hex(block.digest()),
        "commitment": hex(block.payload.prove_transaction(SYSTEM, 0).unwrap().encode()),
        "account": hex(proof.encode()),
        "since": proof.account.since,
        "inputs": hex(proof.account.inputs),
    })
}

/// An anchor to an account that was forgotten and began anew.
fn restarted(parent: &Block, account: &Account) -> Value {
    let account = Account { since: account.since + 1, ..*account };
    let tree = tree([account]);
    let block = block(parent, 12, Some(accounts_root(1, &tree.root()).0));
    anchor(&block, &AccountProof { accounts: 1, index: 0, path: vec![], account })
}

fn batch(heights: std::ops::RangeInclusive<u64>) -> Value {
    let made = heights
        .filter(|height| !USED[*height as usize - 1].is_empty())
        .map(|height| BatchBlock { height, transactions: transactions(height).into_iter().map(Into::into).collect() });
    let batch = Batch { blocks: made.collect() };
    json!({ "batch": hex(batch.encode()), "leaves": hex(batch.leaves(NAMESPACE)) })
}

fn vector() -> Value {
    let (mut accounts, mut parent) = (Accounts::default(), genesis());
    let (mut anchors, mut stranger) = (Vec::new(), Value::Null);
    let mut again = Value::Null;
    for height in 1..=12u64 {
        let opens = height.is_multiple_of(EPOCH_BLOCKS);
        let tree = accounts.tree();
        if height == 12 {
            again = restarted(&parent, accounts.account(NAMESPACE).unwrap());
        }
        let block = block(&parent, height, accounts.root().filter(|_| opens));
        if opens {
            anchors.push(anchor(&block, &accounts.prove(&tree, NAMESPACE).unwrap()));
            stranger = anchor(&block, &accounts.prove(&tree, 9).unwrap());
        }
        accounts.apply(height, &block.payload).unwrap();
        parent = block;
    }
    json!({
        "chainId": CHAIN_ID,
        "namespace": NAMESPACE,
        "anchors": anchors,
        "stranger": stranger,
        "restarted": again,
        "epochs": [batch(1..=3), batch(4..=7), batch(8..=11)],
        "blocks": [batch(1..=1), batch(2..=2), batch(4..=4), batch(5..=5), batch(7..=7)],
    })
}

#[test]
fn the_vectors_of_the_inbox_are_what_the_sequencer_makes() {
    let made = vector();
    let committed: Value = serde_json::from_str(include_str!("../../../proof/vectors/inbox.json")).unwrap();
    assert!(committed == made, "crates/proof/vectors/inbox.json should hold\n{made:#}");
}

#[test]
fn batches_lead_from_one_anchor_to_the_next() {
    let vector = vector();
    let bytes = |value: &Value| hex::decode(value.as_str().unwrap().trim_start_matches("0x")).unwrap();
    let mut inputs = alloy_primitives::B256::ZERO;
    for (anchor, epoch) in vector["anchors"].as_array().unwrap().iter().zip(vector["epochs"].as_array().unwrap()) {
        if epoch["leaves"] != "0x" {
            inputs = Batch::decode(&bytes(&epoch["batch"])).unwrap().extend(NAMESPACE, inputs);
        }
        let account = AccountProof::decode(&bytes(&anchor["account"])).unwrap().account;
        assert_eq!(account.inputs, inputs);
    }
}
