use super::*;
use crate::test_support::*;
use alloy_primitives::{U256, bytes};

/// Stores the second word of its calldata in the slot that the first one names.
const KEEPER_RUNTIME: Bytes = bytes!("602035600035550000");
/// Returns the hash of the block three below.
const HASH_RUNTIME: Bytes = bytes!("600343034060005260206000f3");

fn set(nonce: u64, keeper: Address, slot: u64, value: u64) -> Bytes {
    let input = [U256::from(slot), U256::from(value)].map(|word| word.to_be_bytes::<32>()).concat();
    signed(1, call(nonce, keeper, input.into()))
}

/// Blocks that make contracts, fill and clear slots, make accounts, and read a block hash.
fn busy() -> TestChain {
    let world = TestChain::new();
    let made = [deployer(&KEEPER_RUNTIME), deployer(&HASH_RUNTIME)];
    world.advance(&[signed(1, creation(0, made[0].clone())), signed(1, creation(1, made[1].clone()))]);
    let (keeper, hasher) = (signer(1).address().create(0), signer(1).address().create(1));
    let fill: Vec<_> = (0..24).map(|slot| set(2 + slot, keeper, slot, slot + 1)).collect();
    world.advance(&fill);
    let clear: Vec<_> = (0..24).filter(|slot| slot % 5 != 0).collect();
    let clear: Vec<_> = (26..).zip(clear).map(|(nonce, slot)| set(nonce, keeper, slot, 0)).collect();
    let nonce = 26 + clear.len() as u64;
    world.advance(&clear);
    world.advance(&[
        signed(1, call(nonce, hasher, Bytes::new())),
        signed(2, transfer(0, signer(7).address(), 1)),
        signed(3, transfer(0, signer(8).address(), 2)),
    ]);
    world.advance(&[]);
    world
}

#[test]
fn every_block_runs_on_its_witness_alone() {
    let world = busy();
    for number in 1..=world.chain.head().number() {
        let block = world.chain.block_by_number(number).unwrap().unwrap();
        let witness = world.chain.witness(block.clone()).unwrap();
        check_witness(world.chain.rules(), block.clone(), &witness).unwrap();
        assert!(!witness.state.is_empty() && !witness.keys.is_empty());
        let parent: Header = alloy_rlp::decode_exact(witness.headers.last().unwrap()).unwrap();
        assert_eq!(parent.number + 1, number);
    }
}

#[test]
fn a_witness_without_one_of_its_parts_is_not_enough() {
    let world = busy();
    // Without removals, so that nothing is there only for another order of changes.
    let block = world.chain.block_by_number(4).unwrap().unwrap();
    let whole = world.chain.witness(block.clone()).unwrap();
    let fails = |witness: &ExecutionWitness| check_witness(world.chain.rules(), block.clone(), witness).is_err();
    for index in 0..whole.state.len() {
        let mut witness = whole.clone();
        witness.state.remove(index);
        assert!(fails(&witness), "node {index} of {} is not needed", whole.state.len());
    }
    for index in 0..whole.codes.len() {
        let mut witness = whole.clone();
        witness.codes.remove(index);
        assert!(fails(&witness), "code {index} is not needed");
    }
    // Block 4 asks for the hash of block 1, so it needs the headers 1, 2 and 3.
    assert_eq!(whole.headers.len(), 3);
    for index in 0..whole.headers.len() {
        let mut witness = whole.clone();
        witness.headers.remove(index);
        assert!(fails(&witness), "header {index} is not needed");
    }
}

#[test]
fn another_block_does_not_run_on_a_witness() {
    let world = busy();
    let block = world.chain.block_by_number(4).unwrap().unwrap();
    let witness = world.chain.witness(block.clone()).unwrap();
    let mut other = (*block).clone();
    other.header.state_root = B256::repeat_byte(1);
    other.hash = other.header.hash_slow();
    let error = check_witness(world.chain.rules(), Arc::new(other), &witness).unwrap_err();
    assert!(matches!(error, ChainError::ReplayDiverged { what: "header", .. }), "{error}");
}

#[test]
fn removed_slots_bring_the_neighbours_that_any_order_of_changes_needs() {
    let world = busy();
    let block = world.chain.block_by_number(3).unwrap().unwrap();
    let witness = world.chain.witness(block).unwrap();
    let nodes = witness.state.iter().map(|node| (keccak256(node), node.clone())).collect();
    let parent: Header = alloy_rlp::decode_exact(witness.headers.last().unwrap()).unwrap();
    let state = WitnessState {
        root: parent.state_root,
        nodes: HashedNodes(nodes),
        codes: Default::default(),
        slots: Vec::new(),
        hashes: BTreeMap::new(),
    };
    let view = StateView::witnessed(Arc::new(state), 2);
    let keeper = signer(1).address().create(0);
    let root = storage_root(&view, keeper).unwrap();
    let slots: Vec<u64> = (0..24).filter(|slot| slot % 5 != 0).collect();
    for rotation in 0..slots.len() {
        let mut trie = Trie::open(StorageNodes(&view, keccak256(keeper)), root);
        for slot in slots.iter().cycle().skip(rotation).take(slots.len()) {
            trie.remove(&keccak256(U256::from(*slot).to_be_bytes::<32>())).unwrap();
        }
    }
}

#[test]
fn genesis_has_no_witness() {
    let world = TestChain::new();
    assert!(matches!(world.chain.witness(world.chain.head()), Err(ChainError::GenesisReplay)));
}
