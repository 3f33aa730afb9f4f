use super::*;
use crate::{
    InvalidBlock, LogFilter,
    precompiles::randomness,
    test_support::{
        BENEFICIARY, CHAIN_ID, COIN, COUNTER_RUNTIME, TestChain, attributes, call, creation, deployer, genesis, signed,
        signer, transfer,
    },
};
use alloy_eips::{eip2718::Encodable2718, eip2935, eip4788};
use alloy_primitives::{Address, Bytes, U256, keccak256};
use alloy_trie::{HashBuilder, Nibbles, TrieAccount, root::ordered_trie_root_encoded};
use protocol::abi;
use std::collections::BTreeMap;

const STRANGER: Address = Address::repeat_byte(0x77);

/// State root from every flat value, rebuilt from nothing.
fn oracle_state_root(chain: &Chain) -> B256 {
    let snapshot = chain.snapshot();
    let mut storage: BTreeMap<Address, BTreeMap<B256, U256>> = BTreeMap::new();
    for (address, slot, value) in snapshot.slots().unwrap() {
        storage.entry(address).or_default().insert(keccak256(slot.to_be_bytes::<32>()), value);
    }
    let mut accounts = BTreeMap::new();
    for entry in snapshot.accounts().unwrap() {
        let (address, account) = entry.unwrap();
        let slots = storage.remove(&address).unwrap_or_default();
        let root = root_of(slots.into_iter().map(|(key, value)| (key, alloy_rlp::encode(value))));
        let rebuilt = TrieAccount { storage_root: root, ..account };
        assert_eq!(rebuilt, account, "storage root of {address}");
        accounts.insert(keccak256(address), alloy_rlp::encode(rebuilt));
    }
    assert!(storage.is_empty(), "storage without an account");
    root_of(accounts.into_iter())
}

fn root_of(entries: impl Iterator<Item = (B256, Vec<u8>)>) -> B256 {
    let mut builder = HashBuilder::default();
    for (key, value) in entries {
        builder.add_leaf(Nibbles::unpack(key), &value);
    }
    builder.root()
}

fn assert_roots(chain: &Chain, record: &BlockRecord) {
    assert_eq!(record.header.state_root, oracle_state_root(chain), "state root of block {}", record.number());
    let transactions: Vec<_> = record.transactions.iter().map(|item| item.encoded_2718()).collect();
    assert_eq!(record.header.transactions_root, ordered_trie_root_encoded(&transactions));
    let receipts: Vec<_> = record.receipts.iter().map(|item| item.encoded_2718()).collect();
    assert_eq!(record.header.receipts_root, ordered_trie_root_encoded(&receipts));
    assert_eq!(record.hash, keccak256(alloy_rlp::encode(&record.header)));
}

#[test]
fn genesis_has_balances_contracts_and_the_right_root() {
    let test = TestChain::new();
    let head = test.chain.head();
    assert_eq!((head.number(), head.hash), (0, test.chain.genesis_hash()));
    assert_roots(&test.chain, &head);
    let state = test.chain.state(0).unwrap();
    assert_eq!(state.balance(signer(1).address()).unwrap(), U256::from(1_000 * COIN));
    for contract in [eip2935::HISTORY_STORAGE_ADDRESS, eip4788::BEACON_ROOTS_ADDRESS, abi::RANDOMNESS] {
        assert_eq!(state.nonce(contract).unwrap(), 1);
        assert!(!state.code(contract).unwrap().is_empty());
    }
}

#[test]
fn a_transfer_pays_receiver_proposer_and_vault_and_conserves_the_supply() {
    let test = TestChain::new();
    let (proposed, record) = test.advance(&[signed(1, transfer(0, STRANGER, COIN))]);
    assert_eq!((proposed.included.as_slice(), record.gas_used.as_slice()), ([0].as_slice(), [21_000].as_slice()));
    assert_roots(&test.chain, &record);

    let state = test.chain.state(1).unwrap();
    let (base, tip) = (U256::from(21_000 * record.base_fee()), U256::from(21_000u64 * 1_000_000));
    assert_eq!(state.balance(STRANGER).unwrap(), U256::from(COIN));
    assert_eq!(state.balance(abi::FEE_VAULT).unwrap(), base);
    assert_eq!(state.balance(BENEFICIARY).unwrap(), tip);
    assert_eq!(state.balance(signer(1).address()).unwrap(), U256::from(999 * COIN) - base - tip);
    assert_eq!(state.nonce(signer(1).address()).unwrap(), 1);

    let supply = test.chain.verify_supply().unwrap();
    assert_eq!((supply.genesis, supply.burned, supply.block), (U256::from(3_000 * COIN), U256::ZERO, 1));
    assert_eq!((supply.total, supply.circulating), (supply.genesis, supply.genesis));
}

#[test]
fn coin_sent_to_the_burn_address_counts_as_burned() {
    let test = TestChain::new();
    test.advance(&[signed(1, transfer(0, abi::BURN, COIN))]);
    let supply = test.chain.verify_supply().unwrap();
    assert_eq!((supply.burned, supply.total - supply.circulating), (U256::from(COIN), U256::from(COIN)));
    assert_eq!(supply.total, supply.genesis);
}

#[test]
fn coin_of_a_contract_destroyed_in_its_first_transaction_is_burned_not_lost() {
    let test = TestChain::new();
    // ADDRESS SELFDESTRUCT: to itself, while it is being made.
    let mut transaction = creation(0, Bytes::from_static(&[0x30, 0xff]));
    transaction.value = U256::from(COIN);
    let (proposed, record) = test.advance(&[signed(1, transaction)]);
    assert_eq!(proposed.included, [0]);
    assert!(record.receipts[0].is_success());
    assert_roots(&test.chain, &record);
    assert_eq!(test.chain.verify_supply().unwrap().burned, U256::from(COIN));
}

#[test]
fn a_contract_is_deployed_called_and_its_logs_are_found() {
    let test = TestChain::new();
    test.advance(&[signed(1, creation(0, deployer(&COUNTER_RUNTIME)))]);
    let counter = signer(1).address().create(0);
    assert_eq!(test.chain.state(1).unwrap().code(counter).unwrap().original_bytes(), COUNTER_RUNTIME);

    let calls = [signed(1, call(1, counter, Bytes::new())), signed(2, call(0, counter, Bytes::new()))];
    let (_, record) = test.advance(&calls);
    assert_roots(&test.chain, &record);
    assert_eq!(test.chain.state(2).unwrap().storage(counter, U256::ZERO).unwrap(), U256::from(2));
    assert_eq!(record.gas_used.iter().sum::<u64>(), record.header.gas_used);
    assert_eq!((record.first_log_index(0), record.first_log_index(1), record.first_log_index(2)), (0, 1, 2));

    let topic = B256::with_last_byte(7);
    let wanted = LogFilter { addresses: vec![counter], topics: [vec![topic], vec![], vec![], vec![]] };
    let logs = test.chain.logs(0, u64::MAX, &wanted).unwrap();
    let places: Vec<_> = logs.iter().map(|log| (log.block_number, log.transaction_index, log.log_index)).collect();
    assert_eq!(places, [(Some(2), Some(0), Some(0)), (Some(2), Some(1), Some(1))]);
    let hash = logs[1].transaction_hash.unwrap();
    assert_eq!(test.chain.transaction(hash).unwrap(), Some((2, 1)));

    let other = LogFilter { topics: [vec![B256::ZERO], vec![], vec![], vec![]], ..wanted.clone() };
    assert!(test.chain.logs(0, 2, &other).unwrap().is_empty());
    let deeper = LogFilter { topics: [vec![], vec![topic], vec![], vec![]], ..wanted };
    assert!(test.chain.logs(0, 2, &deeper).unwrap().is_empty());
}

#[test]
fn the_protocol_writes_parent_hash_beacon_root_and_randomness() {
    let test = TestChain::new();
    let (_, record) = test.advance(&[]);
    let state = test.chain.state(1).unwrap();
    let slot = |address, slot: u64| B256::from(state.storage(address, U256::from(slot)).unwrap());
    assert_eq!(slot(eip2935::HISTORY_STORAGE_ADDRESS, 0), test.chain.genesis_hash());
    let written = state.storage(abi::RANDOMNESS, randomness::slot(U256::ONE)).unwrap();
    assert_eq!(B256::from(written), record.header.mix_hash);
    let at = record.header.timestamp % 8191 + 8191;
    assert_eq!(slot(eip4788::BEACON_ROOTS_ADDRESS, at), record.header.parent_beacon_block_root.unwrap());
    assert_eq!(state.block_hash(0).unwrap(), test.chain.genesis_hash());
    assert_eq!(state.block_hash(2).unwrap(), B256::ZERO);
}

#[test]
fn everything_survives_a_restart() {
    let test = TestChain::new();
    test.advance(&[signed(1, creation(0, deployer(&COUNTER_RUNTIME)))]);
    let (_, record) = test.advance(&[signed(2, transfer(0, STRANGER, 5))]);
    let TestChain { dir, chain } = test;
    drop(chain);

    let chain = Chain::open(dir.path(), &genesis(), ChainConfig::default()).unwrap();
    assert_eq!(chain.head(), record);
    assert_eq!(chain.block_by_hash(record.hash).unwrap(), Some(record.clone()));
    assert_eq!(chain.state(2).unwrap().balance(STRANGER).unwrap(), U256::from(5));
    assert_eq!(chain.state(1).unwrap().balance(STRANGER).unwrap(), U256::ZERO);
    assert_eq!(chain.transaction(*record.transactions[0].tx_hash()).unwrap(), Some((2, 0)));
    let test = TestChain { dir, chain };
    let (_, next) = test.advance(&[signed(2, transfer(1, STRANGER, 5))]);
    assert_roots(&test.chain, &next);
}

#[test]
fn a_block_that_is_not_finalised_leaves_no_trace() {
    let test = TestChain::new();
    let head = test.chain.head();
    let candidates = [signed(1, transfer(0, STRANGER, 1))];
    let proposed = test.chain.propose(head.hash, attributes(&head), &candidates).unwrap();
    assert!(test.chain.is_pending(proposed.hash));
    assert_eq!(test.chain.head(), head);
    assert_eq!(test.chain.state(0).unwrap().balance(STRANGER).unwrap(), U256::ZERO);
    let TestChain { dir, chain } = test;
    drop(chain);
    let chain = Chain::open(dir.path(), &genesis(), ChainConfig::default()).unwrap();
    assert_eq!(chain.head(), head);
    assert!(!chain.is_pending(proposed.hash));
    assert!(matches!(chain.finalize(proposed.hash), Err(ChainError::NotPending(_))));
}

#[test]
fn blocks_are_built_on_pending_ones_and_finalised_in_order() {
    let test = TestChain::new();
    let mut parent = test.chain.head();
    let mut hashes = Vec::new();
    for nonce in 0..3 {
        let candidates = [signed(1, transfer(nonce, STRANGER, 1))];
        let proposed = test.chain.propose(parent.hash, attributes(&parent), &candidates).unwrap();
        assert_eq!(proposed.included, [0]);
        parent = test.chain.pending_block(proposed.hash).unwrap();
        hashes.push(proposed.hash);
    }
    let error = test.chain.finalize(hashes[1]).unwrap_err();
    assert!(matches!(error, ChainError::NotNext { parent, .. } if parent == hashes[0]), "{error}");
    for hash in &hashes {
        let record = test.chain.finalize(*hash).unwrap();
        assert_roots(&test.chain, &record);
    }
    assert_eq!(test.chain.state(3).unwrap().balance(STRANGER).unwrap(), U256::from(3));
}

#[test]
fn losing_siblings_are_dropped_and_finalising_again_changes_nothing() {
    let test = TestChain::new();
    let head = test.chain.head();
    let winner = test.chain.propose(head.hash, attributes(&head), &[]).unwrap().hash;
    let loser = test.chain.propose(head.hash, attributes(&head), &[signed(1, transfer(0, STRANGER, 1))]).unwrap().hash;
    let record = test.chain.finalize(winner).unwrap();
    assert!(!test.chain.is_pending(loser) && !test.chain.is_pending(winner));
    assert!(matches!(test.chain.finalize(loser), Err(ChainError::NotPending(hash)) if hash == loser));
    assert_eq!(test.chain.finalize(winner).unwrap(), record);
    assert_eq!(test.chain.head(), record);
    let late = test.chain.propose(head.hash, attributes(&head), &[]);
    assert!(matches!(late, Err(ChainError::NotPending(parent)) if parent == head.hash));
}

#[test]
fn another_node_verifies_the_block_and_gets_the_same_hash() {
    let (proposer, verifier) = (TestChain::new(), TestChain::new());
    let candidates = [
        signed(2, transfer(0, STRANGER, 5)),
        signed(1, creation(0, deployer(&COUNTER_RUNTIME))),
        signed(1, call(1, signer(1).address().create(0), Bytes::new())),
    ];
    let head = proposer.chain.head();
    let proposed = proposer.chain.propose(head.hash, attributes(&head), &candidates).unwrap();
    let block: Vec<_> = proposed.included.iter().map(|index| candidates[*index].clone()).collect();
    assert_eq!(block.len(), 3);
    for chain in [&verifier.chain, &proposer.chain] {
        let hash = chain.verify(head.hash, attributes(&head), &proposed.header_rlp, &block).unwrap();
        assert_eq!(hash, proposed.hash);
        chain.finalize(hash).unwrap();
    }
    assert_eq!(verifier.chain.head(), proposer.chain.head());
    let error = verifier.chain.verify(B256::ZERO, attributes(&head), &proposed.header_rlp, &block).unwrap_err();
    assert!(matches!(error, InvalidBlock::UnknownParent(B256::ZERO)), "{error}");
    assert!(!error.is_proven(), "says nothing about the block");
}

#[test]
fn past_states_are_readable_within_the_history_and_refused_beyond() {
    let test = TestChain::with(ChainConfig { history_blocks: Some(5), ..Default::default() });
    for nonce in 0..10 {
        test.advance(&[signed(1, transfer(nonce, STRANGER, 1))]);
    }
    assert_eq!(test.chain.oldest_state().unwrap(), 5);
    for number in 5..=10 {
        let state = test.chain.state(number).unwrap();
        assert_eq!(state.number(), number);
        assert_eq!(state.balance(STRANGER).unwrap(), U256::from(number));
        assert_eq!(state.nonce(signer(1).address()).unwrap(), number);
        assert_eq!(state.storage(abi::RANDOMNESS, randomness::slot(U256::from(number + 1))).unwrap(), U256::ZERO);
        assert!(!state.storage(abi::RANDOMNESS, randomness::slot(U256::from(number))).unwrap().is_zero());
    }
    assert!(matches!(test.chain.state(4), Err(ChainError::Pruned { number: 4, oldest: 5 })));
    assert!(matches!(test.chain.state(11), Err(ChainError::UnknownBlock { number: 11, head: 10 })));
    assert!(test.chain.block_by_number(1).unwrap().is_some(), "blocks are kept");
    assert_eq!(test.chain.block_by_number(11).unwrap(), None);
}

#[test]
fn history_is_never_shorter_than_what_something_else_reads() {
    let config = |history_blocks, history_blocks_min| ChainConfig {
        history_blocks,
        history_blocks_min,
        ..ChainConfig::default()
    };
    assert_eq!(TestChain::with(config(Some(5), 8)).chain.history_blocks(), Some(8));
    assert_eq!(TestChain::with(config(None, 20_000)).chain.history_blocks(), Some(20_000), "the default is too short");
    assert_eq!(TestChain::with(config(Some(9), 8)).chain.history_blocks(), Some(9));
    assert_eq!(TestChain::with(config(Some(ChainConfig::ARCHIVE), 8)).chain.history_blocks(), None);
}

#[test]
fn a_state_that_is_held_does_not_change_when_the_head_moves() {
    let test = TestChain::new();
    let held = test.chain.state(0).unwrap();
    test.advance(&[signed(1, transfer(0, STRANGER, 1))]);
    assert_eq!(held.balance(STRANGER).unwrap(), U256::ZERO);
    assert_eq!(held.nonce(signer(1).address()).unwrap(), 0);
}

#[test]
fn subscribers_see_each_final_block_once() {
    let test = TestChain::new();
    let mut blocks = test.chain.subscribe();
    let (_, first) = test.advance(&[]);
    let (_, second) = test.advance(&[]);
    test.chain.finalize(second.hash).unwrap();
    assert_eq!(blocks.try_recv().unwrap(), first);
    assert_eq!(blocks.try_recv().unwrap(), second);
    assert!(blocks.try_recv().is_err());
}

#[test]
fn log_queries_end_at_the_head() {
    let test = TestChain::new();
    let filter = LogFilter::default();
    assert!(test.chain.logs(5, 9, &filter).unwrap().is_empty(), "beyond the head");
    assert!(test.chain.logs(0, u64::MAX, &filter).unwrap().is_empty(), "clamped to the head");
}

#[test]
fn the_base_fee_falls_when_blocks_are_empty() {
    let test = TestChain::new();
    let before = test.chain.head().base_fee();
    assert_eq!(test.chain.next_base_fee(), before - before / 8);
    let (_, record) = test.advance(&[]);
    assert_eq!(record.base_fee(), before - before / 8);
}

#[test]
fn the_environment_of_a_block_is_that_of_its_header() {
    let test = TestChain::new();
    let (_, record) = test.advance(&[]);
    let environment = test.chain.evm_env(&record.header);
    assert_eq!(environment.cfg_env.chain_id, CHAIN_ID);
    assert_eq!(environment.block_env.prevrandao, Some(record.header.mix_hash));
    assert_eq!(environment.block_env.number, U256::from(1));
    let next = test.chain.next_evm_env(attributes(&record));
    assert_eq!((next.block_env.number, next.block_env.basefee), (U256::from(2), test.chain.next_base_fee()));
}

#[test]
fn many_blocks_of_many_transactions_keep_all_roots_right() {
    let test = TestChain::new();
    let counter = signer(1).address().create(0);
    test.advance(&[signed(1, creation(0, deployer(&COUNTER_RUNTIME)))]);
    for block in 0..4u64 {
        let mut candidates = Vec::new();
        for i in 0..20u64 {
            let receiver = Address::from_word(keccak256((block * 100 + i).to_be_bytes()));
            candidates.push(signed(1, transfer(1 + block * 20 + i, receiver, 1)));
            candidates.push(signed(2, call(block * 20 + i, counter, Bytes::new())));
        }
        let (proposed, record) = test.advance(&candidates);
        assert_eq!(proposed.included.len(), 40);
        assert_roots(&test.chain, &record);
    }
    assert_eq!(test.chain.state(5).unwrap().storage(counter, U256::ZERO).unwrap(), U256::from(80));
    test.chain.verify_supply().unwrap();
}

/// Runtime that stores the second word of the calldata at the first.
const SETTER_RUNTIME: Bytes = alloy_primitives::bytes!("6020355f355500");

fn set(nonce: u64, slot: u64, value: u64) -> Bytes {
    let input = [U256::from(slot).to_be_bytes::<32>(), U256::from(value).to_be_bytes::<32>()].concat();
    signed(1, call(nonce, signer(1).address().create(0), input.into()))
}

#[test]
fn slots_set_and_cleared_across_pending_blocks_keep_all_roots_right() {
    let test = TestChain::new();
    test.advance(&[signed(1, creation(0, deployer(&SETTER_RUNTIME)))]);
    let mut nonce = 0;
    let mut next = |slot, value| {
        nonce += 1;
        set(nonce, slot, value)
    };
    let blocks: [Vec<Bytes>; 5] = [
        (0..20).map(|slot| next(slot, slot + 1)).collect(),
        (0..20).step_by(2).map(|slot| next(slot, 0)).collect(),
        (0..20).map(|slot| next(slot, 0)).collect(),
        vec![next(3, 0), next(4, 9)],
        vec![next(4, 0)],
    ];
    let mut parent = test.chain.head();
    let mut hashes = Vec::new();
    for candidates in &blocks {
        let proposed = test.chain.propose(parent.hash, attributes(&parent), candidates).unwrap();
        assert_eq!(proposed.included.len(), candidates.len());
        parent = test.chain.pending_block(proposed.hash).unwrap();
        hashes.push(proposed.hash);
    }
    for hash in hashes {
        let record = test.chain.finalize(hash).unwrap();
        assert_roots(&test.chain, &record);
    }
    let contract = signer(1).address().create(0);
    let past = test.chain.state(2).unwrap();
    assert_eq!(past.storage(contract, U256::from(4)).unwrap(), U256::from(5));
    assert_eq!(test.chain.state(5).unwrap().storage(contract, U256::from(4)).unwrap(), U256::from(9));
    assert_eq!(test.chain.state(6).unwrap().storage(contract, U256::from(4)).unwrap(), U256::ZERO);
}

#[test]
fn an_account_can_delegate_to_code_and_take_it_back() {
    use alloy_consensus::TxEip7702;
    use alloy_eips::eip7702::Authorization;
    use alloy_signer::SignerSync;

    let test = TestChain::new();
    test.advance(&[signed(1, creation(0, deployer(&COUNTER_RUNTIME)))]);
    let counter = signer(1).address().create(0);
    let delegate = |nonce, to: Address| {
        let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address: to, nonce };
        let signature = signer(2).sign_hash_sync(&authorization.signature_hash()).unwrap();
        TxEip7702 {
            chain_id: CHAIN_ID,
            nonce: nonce + 1,
            gas_limit: 200_000,
            max_fee_per_gas: crate::test_support::FEE_MAX,
            to: signer(2).address(),
            authorization_list: vec![authorization.into_signed(signature)],
            ..Default::default()
        }
    };
    let (_, record) = test.advance(&[signed(1, delegate(0, counter))]);
    assert!(record.receipts[0].is_success());
    assert_roots(&test.chain, &record);
    let state = test.chain.state(2).unwrap();
    assert_eq!(state.storage(signer(2).address(), U256::ZERO).unwrap(), U256::from(1));
    assert!(state.code(signer(2).address()).unwrap().is_eip7702());

    let mut undo = delegate(1, Address::ZERO);
    undo.to = STRANGER;
    let (proposed, record) = test.advance(&[signed(1, undo)]);
    assert_eq!(proposed.included, [0]);
    assert_roots(&test.chain, &record);
    assert!(test.chain.state(3).unwrap().code(signer(2).address()).unwrap().is_empty());
}

#[test]
fn blocks_are_verified_while_others_are_finalised() {
    let (proposer, verifier) = (TestChain::new(), TestChain::new());
    let mut parent = proposer.chain.head();
    let mut blocks = Vec::new();
    for nonce in 0..20 {
        let transactions = vec![signed(1, transfer(nonce, STRANGER, 1)), signed(2, transfer(nonce, STRANGER, 1))];
        let proposed = proposer.chain.propose(parent.hash, attributes(&parent), &transactions).unwrap();
        let ordered: Vec<_> = proposed.included.iter().map(|index| transactions[*index].clone()).collect();
        blocks.push((parent.hash, attributes(&parent), proposed.header_rlp, ordered));
        parent = proposer.chain.pending_block(proposed.hash).unwrap();
    }
    let (verified, finalise) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let verified = verified;
            for (parent, attributes, header, transactions) in &blocks {
                verified.send(verifier.chain.verify(*parent, *attributes, header, transactions).unwrap()).unwrap();
            }
        });
        for hash in finalise {
            verifier.chain.finalize(hash).unwrap();
        }
    });
    assert_eq!(verifier.chain.head().hash, parent.hash);
    assert_eq!(verifier.chain.head().header.state_root, oracle_state_root(&verifier.chain));
}
