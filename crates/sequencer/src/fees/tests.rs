use super::*;
use crate::content::Content;
use proptest::prelude::*;

const PRICING: Pricing = Pricing { target_bytes: 1_000, base_fee_min: 100 };

/// A block in which each namespace has one transaction, so that it takes these bytes.
fn block(entries: &[(u64, usize)]) -> Payload {
    let entry = |(namespace, bytes): &(u64, usize)| Entry::new(*namespace, [vec![0; bytes - 20].into()]);
    Payload::new(Content { entries: entries.iter().map(entry).collect(), bundles: vec![] }).unwrap()
}

/// The accounts after blocks of these namespaces and bytes.
fn after(blocks: &[&[(u64, usize)]]) -> Accounts {
    let mut accounts = Accounts::new(PRICING).unwrap();
    for (entries, height) in blocks.iter().zip(1..) {
        accounts.apply(height, &block(entries)).unwrap();
    }
    accounts
}

#[test]
fn a_block_charges_at_the_fee_before_it() {
    let accounts = after(&[&[(7, 2_000)], &[(7, 500)]]);
    let account = accounts.account(7).unwrap();
    // The first block doubles the target: an eighth more for the second.
    assert_eq!(account.owed, 2_000 * 100 + 500 * 112);
    assert_eq!((account.transactions, account.bytes, account.height), (2, 2_500, 2));
    assert_eq!(accounts.base_fee(7), 112 - 112 * 500 / 1_000 / 8);
}

#[test]
fn at_the_target_the_fee_stays_and_beyond_twice_of_it_a_step_is_no_larger() {
    assert_eq!(after(&[&[(7, 1_000)]]).base_fee(7), 100);
    assert_eq!(after(&[&[(7, 1_001)]]).base_fee(7), 101, "at least one wei");
    assert_eq!(after(&[&[(7, 2_000)]]).base_fee(7), 112);
    assert_eq!(after(&[&[(7, 900_000)]]).base_fee(7), 112);
}

#[test]
fn a_busy_namespace_costs_no_other_one_anything() {
    let busy: &[(u64, usize)] = &[(7, 5_000), (8, 100)];
    let accounts = after(&[busy; 20]);
    assert!(accounts.base_fee(7) > 900);
    assert_eq!((accounts.base_fee(8), accounts.base_fee(9)), (100, 100));
    assert_eq!(accounts.account(8).unwrap().owed, 20 * 100 * 100);
}

#[test]
fn the_settlement_chain_owes_nothing() {
    let accounts = after(&[&[(1, 5_000)], &[(1, 5_000)]]);
    let account = accounts.account(1).unwrap();
    assert_eq!((accounts.base_fee(1), account.owed, account.bytes), (0, 0, 10_000));
}

#[test]
fn the_protocol_has_no_account() {
    let accounts = after(&[&[(0, 5_000), (7, 100)]]);
    assert_eq!((accounts.base_fee(0), accounts.account(0)), (0, None));
    assert_eq!(accounts.total().bytes, 100);
}

#[test]
fn silence_lowers_a_fee_to_the_lowest_however_high_it_was() {
    let mut accounts = after(&[]);
    for height in 1..=400 {
        accounts.apply(height, &block(&[(7, 2_000)])).unwrap();
    }
    assert_eq!(accounts.base_fee(7), u64::MAX, "it has a limit, too");
    let mut fee = accounts.base_fee(7);
    for height in 401..=800 {
        accounts.apply(height, &Payload::default()).unwrap();
        assert!(accounts.base_fee(7) <= fee);
        fee = accounts.base_fee(7);
    }
    assert_eq!(fee, 100);
}

#[test]
fn blocks_are_counted_in_order_and_once() {
    let mut accounts = after(&[&[(7, 100)]]);
    let before = accounts.clone();
    for found in [0, 1, 3] {
        assert_eq!(accounts.apply(found, &block(&[(7, 100)])), Err(FeeError::Order { found, expected: 2 }));
    }
    assert_eq!(accounts, before);
}

#[test]
fn prices_that_make_no_sense_are_refused() {
    let beyond = BLOCK_PAYLOAD_BYTES_MAX as u64 + 1;
    for (target_bytes, base_fee_min) in [(0, 1), (beyond, 1), (1, 0)] {
        let pricing = Pricing { target_bytes, base_fee_min };
        assert_eq!(Accounts::new(pricing), Err(FeeError::Pricing { target_bytes, base_fee_min }));
    }
    assert!(Accounts::new(Pricing { target_bytes: beyond - 1, base_fee_min: 1 }).is_ok());
}

#[test]
fn accounts_are_bounded_and_the_total_loses_nothing() {
    let mut accounts = Accounts::new(PRICING).unwrap();
    let namespaces = crate::limits::NAMESPACES_MAX as u64;
    let blocks = ACCOUNTS_MAX as u64 / namespaces + 2;
    for height in 1..=blocks {
        let entries: Vec<_> = (0..namespaces).map(|n| (2 + height * namespaces + n, 21)).collect();
        accounts.apply(height, &block(&entries)).unwrap();
    }
    assert_eq!((accounts.accounts.len(), accounts.used.len()), (ACCOUNTS_MAX, ACCOUNTS_MAX));
    assert_eq!(accounts.from(0).next().unwrap().1.height, 3, "the oldest went first");
    let again = accounts.height() + 1;
    let (forgotten, total) = (2 + namespaces, accounts.total());
    assert_eq!(accounts.account(forgotten), None);
    accounts.apply(again, &block(&[(forgotten, 21)])).unwrap();
    assert_eq!(accounts.account(forgotten).map(|account| (account.since, account.owed)), Some((again, 2_100)));
    let transactions = blocks * namespaces;
    assert_eq!((total.transactions, total.owed), (transactions, u128::from(transactions) * 21 * 100));
}

#[test]
fn the_inputs_of_a_namespace_name_its_blocks_in_order_and_no_others() {
    use proof::account::extend_inputs;
    use proof::namespace::NamespaceProof;
    let blocks = [block(&[(7, 100), (9, 50)]), block(&[(9, 60)]), block(&[(7, 30)])];
    let mut accounts = Accounts::new(PRICING).unwrap();
    let mut expected = proof_of_nothing();
    for (payload, height) in blocks.iter().zip(1..) {
        accounts.apply(height, payload).unwrap();
        let proof: NamespaceProof = payload.prove_namespace(7);
        let transactions = proof.verify(payload.namespaces_root().into(), 7).unwrap();
        if transactions.is_empty() {
            continue;
        }
        let root = proof::namespace::transactions_root(7, transactions);
        expected = extend_inputs(&expected, height, &root, transactions.len() as u32);
    }
    assert_eq!(accounts.account(7).unwrap().inputs, expected);
    assert_ne!(accounts.account(9).unwrap().inputs, expected);
    assert_eq!(accounts.total().inputs, proof_of_nothing(), "a sum of accounts names nothing");
}

/// What an account without blocks has.
fn proof_of_nothing() -> alloy_primitives::B256 {
    alloy_primitives::B256::ZERO
}

#[test]
fn every_account_is_proven_under_the_root() {
    let accounts = after(&[&[(1, 300), (7, 100), (9, 900)], &[(8, 50)]]);
    let root = accounts.root().unwrap().into();
    for (namespace, account) in accounts.from(0) {
        assert_eq!(accounts.prove(&accounts.tree(), namespace).unwrap().verify(root), Ok(account));
    }
    assert_eq!(accounts.from(0).count(), 4);
    assert_eq!((accounts.prove(&accounts.tree(), 2), after(&[]).root()), (None, None));
}

proptest! {
    #[test]
    fn the_total_is_what_the_blocks_charged(
        sent in proptest::collection::vec(proptest::collection::btree_map(1u64..6, 21usize..4_000, 0..4), 0..60),
    ) {
        let mut accounts = Accounts::new(PRICING).unwrap();
        let (mut owed, mut bytes) = (0, 0);
        for (entries, height) in sent.iter().zip(1..) {
            let entries: Vec<_> = entries.iter().map(|(namespace, bytes)| (*namespace, *bytes)).collect();
            for (namespace, taken) in &entries {
                owed += u128::from(accounts.base_fee(*namespace)) * *taken as u128;
                bytes += *taken as u64;
            }
            let before: Vec<u64> = (1..6).map(|namespace| accounts.base_fee(namespace)).collect();
            accounts.apply(height, &block(&entries)).unwrap();
            for (namespace, before) in (1..).zip(before) {
                let now = accounts.base_fee(namespace);
                prop_assert!(now.abs_diff(before) <= before / STEP + 1, "{before} to {now}");
            }
        }
        prop_assert_eq!((accounts.total().owed, accounts.total().bytes), (owed, bytes));
    }
}

/// The block that opens an epoch after four namespaces were used, two children of it, and proofs of all accounts.
fn vector() -> serde_json::Value {
    use crate::system::{SYSTEM, System};
    use crate::testing::{CHAIN_ID, certified, child, committee, genesis};
    let hex = |bytes: &[u8]| format!("0x{}", hex::encode(bytes));
    let mut accounts = Accounts::default();
    let used: [&[(u64, usize)]; 3] = [&[(1, 90), (7, 300_000)], &[(7, 600_000), (70_000, 21)], &[(u64::MAX, 5_000)]];
    for (entries, height) in used.iter().zip(1..) {
        accounts.apply(height, &block(entries)).unwrap();
    }
    let system = System { accounts: accounts.root(), ..System::default() };
    let entries = |value: u8| vec![Entry::new(9, [vec![value].into()])];
    let opening = child(&genesis(), 4, [vec![Entry::new(SYSTEM, system.encode())], entries(1)].concat());
    let first = child(&opening, 5, entries(2));
    let last = child(&first, 6, vec![]);
    let tree = accounts.tree();
    let proven = |(namespace, account): (u64, &Account)| {
        let proof = accounts.prove(&tree, namespace).unwrap();
        serde_json::json!({
            "namespace": namespace,
            "since": account.since,
            "owed": account.owed.to_string(),
            "proof": hex(&proof.encode()),
        })
    };
    let chain = [&opening, &first, &last];
    let told = |block: &&crate::Block| {
        serde_json::json!({
            "height": block.height,
            "header": hex(&block.header().encode()),
            "certificate": hex(&certified(block, &[]).certificate),
            "proof": hex(&block.payload.prove_namespace(9).encode()),
        })
    };
    let keys = committee().participants().iter().map(|key| hex(key)).collect::<Vec<_>>();
    serde_json::json!({
        "chainId": CHAIN_ID,
        "committee": keys,
        "blocks": chain.iter().map(told).collect::<Vec<_>>(),
        "headers": chain.map(|block| hex(&block.header().encode())),
        "digest": hex(&last.digest()),
        "commitment": hex(&opening.payload.prove_transaction(SYSTEM, 0).unwrap().encode()),
        "accounts": accounts.from(0).map(proven).collect::<Vec<_>>(),
    })
}

#[test]
fn the_vectors_of_accounts_are_what_the_sequencer_makes() {
    let made = vector();
    let committed: serde_json::Value =
        serde_json::from_str(include_str!("../../../proof/vectors/accounts.json")).unwrap();
    assert!(committed == made, "crates/proof/vectors/accounts.json should hold\n{made:#}");
}

#[test]
fn a_header_leads_to_the_account_and_another_one_does_not() {
    use proof::certificate::Header;
    use proof::namespace::TransactionProof;
    let vector = vector();
    let bytes = |value: &serde_json::Value| hex::decode(value.as_str().unwrap().trim_start_matches("0x")).unwrap();
    let commitment = TransactionProof::decode(&bytes(&vector["commitment"])).unwrap();
    let header = |place: usize| Header::decode(&bytes(&vector["headers"][place])).unwrap();
    let root = proof::account::committed_root(&header(0), &commitment).unwrap();
    let proof = AccountProof::decode(&bytes(&vector["accounts"][1]["proof"])).unwrap();
    assert_eq!(proof.verify(root).unwrap().namespace, 7);
    assert!(proof::account::committed_root(&header(1), &commitment).is_err());
}
